//! Where a device is in time: the clock it believes, its session, and its day.

use crate::binary::binary;
use crate::calendar::{Day, Moment, Timestamp};

/// A clock that goes back by less than this stands still; beyond, it is believed.
const STANDS_STILL_MS: i64 = 86_400_000;

/// What a reading of the clock means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Time goes on, or stands still.
    Onward,
    /// The clock was set back.
    SetBack,
}

/// Where a device is in time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Clock {
    pub(super) install: Moment,
    pub(super) latest: Moment,
    /// The local day whose epoch is open. It goes back only when the clock was set back.
    pub(super) today: Day,
    /// The number of the current or last session, from 1; 0 before the first.
    pub(super) session: u32,
    /// Whether the session may still go on.
    pub(super) open: bool,
    pub(super) session_day: Day,
    pub(super) last_event: Timestamp,
}

binary!(struct Clock { install, latest, today, session, open, session_day, last_event });

impl Clock {
    pub(super) fn new(install: Moment) -> Self {
        let today = install.day();
        Self {
            install,
            latest: install,
            today,
            session: 0,
            open: false,
            session_day: today,
            last_event: install.at,
        }
    }

    /// Takes a reading. After [`Reading::SetBack`] the caller closes what was open and calls [`Clock::set_back`].
    pub(super) fn read(&mut self, now: Moment) -> Reading {
        let behind = self.latest.at.millis_since(now.at);
        if behind >= STANDS_STILL_MS {
            return Reading::SetBack;
        }
        self.latest = if behind > 0 { Moment { at: self.latest.at, ..now } } else { now };
        Reading::Onward
    }

    /// Believes a clock that was set back.
    pub(super) fn set_back(&mut self, now: Moment) {
        self.latest = now;
        self.today = now.day();
        self.last_event = self.last_event.min(now.at);
    }

    /// The time of an event: what it says, but neither before the last event nor in the future.
    pub(super) fn time_of(&self, at: Option<Timestamp>) -> Timestamp {
        at.map_or(self.latest.at, |at| at.clamp(self.last_event, self.latest.at.max(self.last_event)))
    }

    pub(super) fn session_is_over(&self, gap_ms: i64) -> bool {
        self.open && self.latest.at.millis_since(self.last_event) >= gap_ms
    }

    pub(super) fn days_since_install(&self) -> u32 {
        self.today.0.saturating_sub(self.install.day().0)
    }
}
