//! Which epochs take reports now.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use deniable::Epoch;

/// The epochs that take reports, as they move with the clock: epochs are named by the day on which they begin.
#[derive(Clone)]
pub struct Window {
    days: u32,
    now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

/// How long after its first day an epoch takes reports: a month's reports, and two weeks for devices that were off.
pub const DEFAULT_OPEN_DAYS: u32 = 45;

impl Window {
    /// Lets an epoch take reports for `days` days after the day on which it began, by the system's clock.
    pub fn new(days: u32) -> Self {
        Self::with_clock(days, SystemTime::now)
    }

    /// As [`Window::new`], by another clock.
    pub fn with_clock(days: u32, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self { days, now: Arc::new(now) }
    }

    /// The oldest epoch that takes reports.
    pub fn oldest(&self) -> Epoch {
        Epoch(self.today().saturating_sub(self.days))
    }

    /// The epochs that take reports. A day begins up to 14 hours earlier in some places than in UTC, so tomorrow's
    /// does.
    pub fn open(&self) -> RangeInclusive<Epoch> {
        let today = self.today();
        Epoch(today.saturating_sub(self.days))..=Epoch(today.saturating_add(1))
    }

    /// The day, counted from 1970-01-01 UTC; the first for a clock that stands before it.
    fn today(&self) -> u32 {
        let seconds = (self.now)().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        u32::try_from(seconds / 86_400).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("days", &self.days).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_window_ends_with_tomorrow_and_never_before_1970() {
        let at =
            |seconds: u64| Window::with_clock(45, move || UNIX_EPOCH + Duration::from_secs(seconds)).open();
        assert_eq!(at(20_000 * 86_400), Epoch(19_955)..=Epoch(20_001));
        assert_eq!(at(20_000 * 86_400 - 1), Epoch(19_954)..=Epoch(20_000));
        assert_eq!(at(0), Epoch(0)..=Epoch(1));
        let before = Window::with_clock(45, || UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!((before.oldest(), before.open()), (Epoch(0), Epoch(0)..=Epoch(1)));
    }
}
