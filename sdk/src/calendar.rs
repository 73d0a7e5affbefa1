//! Time as an argument: instants, the device's local offset, and the days, weeks and months that answers belong to.
//!
//! The calendar is the proleptic Gregorian one, computed from a day's number (Hinnant, *chrono-Compatible Low-Level Date
//! Algorithms*, 2014). Weeks begin on Monday.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::binary::{Binary, Reader, Writer, binary};
use crate::metric::Epoch;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// Times beyond the year 9999 are clocks gone wrong.
const LATEST_MS: i64 = 253_402_300_799_000;

/// An instant: milliseconds since 1970-01-01T00:00Z, at least 0 and at most the end of the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Zeroize)]
#[serde(from = "i64")]
pub struct Timestamp(i64);

impl Timestamp {
    /// Takes milliseconds since 1970-01-01T00:00Z; what lies outside the range becomes its nearest end.
    pub const fn from_millis(millis: i64) -> Self {
        Self(if millis < 0 {
            0
        } else if millis > LATEST_MS {
            LATEST_MS
        } else {
            millis
        })
    }

    /// Takes seconds since 1970-01-01T00:00Z; what lies outside the range becomes its nearest end.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// Milliseconds since 1970-01-01T00:00Z.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The milliseconds from `earlier` to this instant; below 0 if it is not earlier.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

impl From<i64> for Timestamp {
    fn from(millis: i64) -> Self {
        Self::from_millis(millis)
    }
}

/// What a device's clock shows: an instant, and how far local time is ahead of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The instant.
    pub at: Timestamp,
    /// Minutes by which local time is ahead of UTC, daylight saving included; from −1440 to 1440.
    pub offset_minutes: i16,
}

impl Moment {
    /// An instant where local time is UTC.
    pub const fn utc(at: Timestamp) -> Self {
        Self { at, offset_minutes: 0 }
    }

    /// The local day.
    pub(crate) fn day(self) -> Day {
        let offset = i64::from(self.offset_minutes.clamp(-1440, 1440)) * 60_000;
        Day((self.at.0 + offset).div_euclid(DAY_MS).max(0) as u32)
    }
}

/// A day: its number, counted from 1970-01-01. Serialized for people it is a date like 2024-05-31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Zeroize)]
pub struct Day(pub u32);

impl Day {
    /// The Monday of its week. The week of 1970-01-01, a Thursday, counts as one that began that day.
    pub fn week(self) -> Self {
        Self(self.0.saturating_sub((self.0 + 3) % 7))
    }

    /// The first day of its month.
    pub fn month(self) -> Self {
        let (_, _, day) = self.civil();
        Self(self.0 - (day - 1))
    }

    /// The day after it.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The Monday of the next week.
    pub(crate) fn next_week(self) -> Self {
        Self(self.0 + 7).week()
    }

    /// The first day of the next month.
    pub(crate) fn next_month(self) -> Self {
        Self(self.month().0 + 31).month()
    }

    /// The epoch that begins on it.
    pub fn epoch(self) -> Epoch {
        Epoch(self.0)
    }

    /// Year, month and day, the latter two from 1.
    fn civil(self) -> (u32, u32, u32) {
        let z = self.0 + 719_468;
        let era = z / 146_097;
        let day_of_era = z % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        (year_of_era + era * 400 + u32::from(month <= 2), month, day)
    }

    pub(crate) fn from_civil(year: u32, month: u32, day: u32) -> Option<Self> {
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
            return None;
        }
        let shifted = if month <= 2 { year - 1 } else { year };
        let (era, year_of_era) = (shifted / 400, shifted % 400);
        let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let found = Self((era * 146_097 + day_of_era).checked_sub(719_468)?);
        (found.civil() == (year, month, day)).then_some(found)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// A text that is no date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a date is written like 2027-01-31, from the year 1970 on")]
pub struct NoDate;

impl FromStr for Day {
    type Err = NoDate;

    fn from_str(text: &str) -> Result<Self, NoDate> {
        let mut parts = text.splitn(3, '-').map(|part| part.parse::<u32>().map_err(|_| NoDate));
        let mut next = || parts.next().ok_or(NoDate)?;
        let (year, month, day) = (next()?, next()?, next()?);
        Self::from_civil(year, month, day).ok_or(NoDate)
    }
}

impl Binary for Timestamp {
    fn write(&self, to: &mut Writer<'_>) {
        self.0.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        i64::read(from).into()
    }
}

binary!(struct Moment { at, offset_minutes });

impl Binary for Day {
    fn write(&self, to: &mut Writer<'_>) {
        self.0.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        // The last day of the year 9999, so that no arithmetic on days overflows.
        Self(u32::read(from).min(2_932_896))
    }
}

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u32(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = alloc::string::String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            // The last day of the year 9999, so that no arithmetic on days overflows.
            u32::deserialize(deserializer).map(|day| Self(day.min(2_932_896)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn days_weeks_and_months_are_those_of_the_calendar() {
        for (text, number, week, month) in [
            ("1970-01-01", 0, "1970-01-01", "1970-01-01"),
            ("2000-02-29", 11_016, "2000-02-28", "2000-02-01"),
            ("2024-01-01", 19_723, "2024-01-01", "2024-01-01"),
            ("2024-03-03", 19_785, "2024-02-26", "2024-03-01"),
            ("2024-12-31", 20_088, "2024-12-30", "2024-12-01"),
            ("9999-12-31", 2_932_896, "9999-12-27", "9999-12-01"),
        ] {
            let day: Day = text.parse().unwrap();
            assert_eq!((day.0, day.to_string().as_str()), (number, text));
            assert_eq!((day.week().to_string().as_str(), day.month().to_string().as_str()), (week, month));
        }
        assert_eq!("2024-01-31".parse::<Day>().unwrap().next_month().to_string(), "2024-02-01");
        for bad in
            ["", "2024-02-30", "2023-02-29", "1969-12-31", "2024-13-01", "2024-1", "2024-01-00", "x-1-1"]
        {
            assert_eq!(bad.parse::<Day>(), Err(NoDate), "{bad}");
        }
    }

    #[test]
    fn the_local_day_follows_the_offset() {
        let at = Timestamp::from_seconds(86_400 * 10 + 3600);
        let day = |offset_minutes| Moment { at, offset_minutes }.day().0;
        assert_eq!((day(0), day(-60), day(-61), day(22 * 60), day(23 * 60)), (10, 10, 9, 10, 11));
        assert_eq!(Moment { at: Timestamp::from_millis(-5), offset_minutes: -600 }.day(), Day(0));
    }
}
