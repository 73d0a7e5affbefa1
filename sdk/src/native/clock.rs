//! The wall clock, and how far local time is ahead of UTC.
//!
//! Days, weeks and months of a device are those of its user's calendar, so the offset counts: "did it today" must turn at the
//! user's midnight. It comes from the system's time zone by `jiff`, which reads the zone's rules itself and so is safe
//! beside threads that change the environment, where the C library is not. A system without a zone has UTC.

use std::fmt;
#[cfg(test)]
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;

use crate::calendar::{Moment, Timestamp};

/// What the time is.
#[derive(Clone)]
pub(super) struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    #[cfg(test)]
    Given(Arc<dyn Fn() -> Moment + Send + Sync>),
}

impl Clock {
    /// The system's.
    pub(super) const SYSTEM: Self = Self(Source::System);

    /// One that a test moves.
    #[cfg(test)]
    pub(super) fn given(clock: impl Fn() -> Moment + Send + Sync + 'static) -> Self {
        Self(Source::Given(Arc::new(clock)))
    }

    /// The time.
    pub(super) fn now(&self) -> Moment {
        match &self.0 {
            Source::System => at(SystemTime::now()),
            #[cfg(test)]
            Source::Given(clock) => clock(),
        }
    }
}

/// A time of the system, in its zone. One before 1970 is the beginning of 1970.
fn at(time: SystemTime) -> Moment {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = Timestamp::from_millis(since.as_millis().try_into().unwrap_or(i64::MAX));
    Moment { at, offset_minutes: offset_minutes(&TimeZone::system(), at) }
}

fn offset_minutes(zone: &TimeZone, at: Timestamp) -> i16 {
    let Ok(at) = jiff::Timestamp::from_millisecond(at.as_millis()) else { return 0 };
    // An offset is less than 26 hours.
    (zone.to_offset(at).seconds() / 60) as i16
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_offset_is_that_of_the_zone_at_that_time() {
        let of = |zone: &str, seconds| {
            offset_minutes(&TimeZone::get(zone).unwrap(), Timestamp::from_seconds(seconds))
        };
        // 2024-01-15 and 2024-07-15, at noon.
        let (winter, summer) = (1_705_320_000, 1_721_044_800);
        assert_eq!((of("Europe/Berlin", winter), of("Europe/Berlin", summer)), (60, 120));
        assert_eq!((of("America/St_Johns", winter), of("Asia/Kathmandu", winter)), (-210, 345));
        assert_eq!(of("UTC", summer), 0);
    }

    #[test]
    fn a_clock_before_1970_or_far_ahead_is_no_panic() {
        assert_eq!(at(UNIX_EPOCH - Duration::from_secs(86_400)).at, Timestamp::from_seconds(0));
        let far = at(UNIX_EPOCH + Duration::from_secs(1 << 40)).at;
        assert_eq!(far, Timestamp::from_millis(i64::MAX));
    }
}
