//! Which epochs take reports now.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use deniable::Epoch;
use deniable::calendar::Day;
use thiserror::Error;

/// What tells a collector the time.
pub trait Clock: Send + Sync {
    /// The time of day, which somebody may set wrong.
    fn wall(&self) -> SystemTime;

    /// How long the clock has run, whatever it is set to.
    fn running(&self) -> Duration;
}

/// The system's clock.
struct SystemClock(Instant);

impl Clock for SystemClock {
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn running(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The epochs that take reports, as they move with the clock: epochs are named by the day on which they begin.
///
/// Closed epochs stay closed, so the oldest open one never trusts a clock that is set ahead: while the program runs it
/// moves on no faster than time does, and [`Window::check`] compares the clock with what a store has seen before.
/// The newest open epoch follows the clock, as nothing is lost by a clock that is set right again.
#[derive(Clone)]
pub struct Window {
    days: u32,
    accepted: Option<Day>,
    clock: Arc<dyn Clock>,
    began: (SystemTime, Duration),
}

/// How long after its first day an epoch takes reports: a month's reports, and two weeks for devices that were off.
pub const DEFAULT_OPEN_DAYS: u32 = 45;
/// How far the clock may be ahead of the last day that a store has seen: a collector's holidays, and less than
/// [`DEFAULT_OPEN_DAYS`], so that a wrong clock within it closes no epoch whose reports still come.
pub const MAX_DAYS_AHEAD: u32 = 30;

impl Window {
    /// Lets an epoch take reports for `days` days after the day on which it began, by the system's clock.
    pub fn new(days: u32) -> Self {
        Self::with_clock(days, Arc::new(SystemClock(Instant::now())))
    }

    /// As [`Window::new`], by another clock.
    pub fn with_clock(days: u32, clock: Arc<dyn Clock>) -> Self {
        let began = (clock.wall(), clock.running());
        Self { days, accepted: None, clock, began }
    }

    /// Accepts a clock that stands at `day` or before, however far ahead of a store that is.
    #[must_use]
    pub fn accepting(self, day: Option<Day>) -> Self {
        Self { accepted: day, ..self }
    }

    /// The oldest epoch that takes reports.
    pub fn oldest(&self) -> Epoch {
        let (wall, running) = self.began;
        let passed = self.clock.running().saturating_sub(running);
        let at_most = wall.checked_add(passed).map_or(u32::MAX, day);
        Epoch(day(self.clock.wall()).min(at_most).saturating_sub(self.days))
    }

    /// The epochs that take reports. A day begins up to 14 hours earlier in some places than in UTC, so tomorrow's
    /// does.
    pub fn open(&self) -> RangeInclusive<Epoch> {
        self.oldest()..=Epoch(day(self.clock.wall()).saturating_add(1))
    }

    /// Compares the clock with what a store has seen: `open_from` is its oldest open epoch, `newest` the newest that it
    /// has reports of.
    ///
    /// # Errors
    /// [`ClockAhead`] if the clock is over [`MAX_DAYS_AHEAD`] ahead and its day was not accepted.
    pub fn check(&self, open_from: Epoch, newest: Option<Epoch>) -> Result<(), ClockAhead> {
        let closed = (open_from > Epoch(0)).then(|| open_from.0.saturating_add(self.days));
        let Some(last) = closed.max(newest.map(|epoch| epoch.0)) else { return Ok(()) };
        let today = day(self.clock.wall());
        let accepted = self.accepted.is_some_and(|accepted| today <= accepted.0);
        if accepted || today.saturating_sub(last) <= MAX_DAYS_AHEAD {
            return Ok(());
        }
        Err(ClockAhead { today: Day(today), last: Day(last) })
    }
}

/// The day of a moment, counted from 1970-01-01 UTC; the first for one before it.
fn day(at: SystemTime) -> u32 {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    u32::try_from(seconds / 86_400).unwrap_or(u32::MAX)
}

/// A clock that is far ahead of what a store has seen. To go by it would close epochs for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the clock says {today}, but the store was last used on {last}, over {MAX_DAYS_AHEAD} days before: set the clock, or if it is right, accept it with --accept-date {today}"
)]
pub struct ClockAhead {
    /// What the clock says.
    pub today: Day,
    /// The last day that the store has seen.
    pub last: Day,
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("days", &self.days).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A clock that a test sets, by seconds.
    struct TestClock(Mutex<(u64, u64)>);

    impl TestClock {
        fn at_day(day: u64) -> Arc<Self> {
            Arc::new(Self(Mutex::new((day * DAY, 0))))
        }

        /// Sets the time of day, after the clock ran on for a while.
        fn set(&self, wall: u64, runs: u64) {
            let mut now = self.0.lock().unwrap();
            *now = (wall, now.1 + runs);
        }
    }

    impl Clock for TestClock {
        fn wall(&self) -> SystemTime {
            UNIX_EPOCH + Duration::from_secs(self.0.lock().unwrap().0)
        }

        fn running(&self) -> Duration {
            Duration::from_secs(self.0.lock().unwrap().1)
        }
    }

    const DAY: u64 = 86_400;

    #[test]
    fn the_window_ends_with_tomorrow_and_never_before_1970() {
        let clock = TestClock::at_day(20_000);
        let window = Window::with_clock(45, clock.clone());
        assert_eq!(window.open(), Epoch(19_955)..=Epoch(20_001));
        clock.set(20_000 * DAY - 1, 0);
        assert_eq!(window.open(), Epoch(19_954)..=Epoch(20_000));
        clock.set(0, 0);
        assert_eq!((window.oldest(), window.open()), (Epoch(0), Epoch(0)..=Epoch(1)));
        struct Before;
        impl Clock for Before {
            fn wall(&self) -> SystemTime {
                UNIX_EPOCH - Duration::from_secs(1)
            }
            fn running(&self) -> Duration {
                Duration::ZERO
            }
        }
        assert_eq!(Window::with_clock(45, Arc::new(Before)).open(), Epoch(0)..=Epoch(1));
    }

    #[test]
    fn a_clock_that_is_set_ahead_closes_no_epoch() {
        let clock = TestClock::at_day(20_000);
        let window = Window::with_clock(45, clock.clone());
        // A year ahead after a minute: the newest epoch follows, the oldest does not.
        clock.set(20_365 * DAY, 60);
        assert_eq!(window.open(), Epoch(19_955)..=Epoch(20_366));
        // Ten days later, still a year ahead: ten days have passed.
        clock.set(20_375 * DAY, 10 * DAY);
        assert_eq!(window.oldest(), Epoch(19_965));
        // Set right again.
        clock.set(20_010 * DAY + 60, 0);
        assert_eq!(window.open(), Epoch(19_965)..=Epoch(20_011));
        // Set back, the oldest goes back too; what a store has closed it keeps closed.
        clock.set(19_000 * DAY, 60);
        assert_eq!(window.oldest(), Epoch(18_955));
    }

    #[test]
    fn a_start_with_a_clock_far_ahead_is_refused_until_its_date_is_accepted() {
        let at = |day| Window::with_clock(45, TestClock::at_day(day));
        // The store closed what is older than day 20,000, and has reports of a day after.
        let check = |window: &Window| window.check(Epoch(20_000 - 45), Some(Epoch(20_001)));
        assert_eq!(check(&at(20_031)), Ok(()));
        let error = check(&at(20_032)).unwrap_err();
        assert_eq!(error, ClockAhead { today: Day(20_032), last: Day(20_001) });
        let message = error.to_string();
        assert!(
            ["2024-11-05", "2024-10-05", "--accept-date 2024-11-05"]
                .iter()
                .all(|part| message.contains(part)),
            "{message}"
        );
        assert_eq!(check(&at(20_032).accepting(Some(Day(20_032)))), Ok(()));
        assert!(check(&at(20_033).accepting(Some(Day(20_032)))).is_err());
        // A clock that is behind loses nothing, and a store that has seen nothing knows no better.
        assert_eq!(check(&at(10_000)), Ok(()));
        assert_eq!(at(90_000).check(Epoch(0), None), Ok(()));
        assert!(at(90_000).check(Epoch(0), Some(Epoch(1))).is_err());
        assert!(at(20_031).check(Epoch(20_000 - 45), None).is_err());
    }
}
