//! Timers: how long something took, in seconds.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::calendar::Timestamp;

/// The most timers that run at a time. With more the oldest is forgotten.
pub(super) const MAX_TIMERS: usize = 32;

/// Timers that run. They are kept in memory alone: what runs when a program ends is not measured.
#[derive(Debug, Default)]
pub(super) struct Timers(Vec<(String, Timestamp)>);

impl Timers {
    /// Starts a timer, or starts it anew.
    pub(super) fn start(&mut self, name: &str, now: Timestamp) {
        self.stop(name, now);
        if self.0.len() == MAX_TIMERS {
            self.0.remove(0);
        }
        self.0.push((name.to_owned(), now));
    }

    /// Ends a timer: the seconds that passed. None if it does not run, or the clock was set back meanwhile.
    pub(super) fn stop(&mut self, name: &str, now: Timestamp) -> Option<f64> {
        let place = self.0.iter().position(|(running, _)| running == name)?;
        let (_, started) = self.0.remove(place);
        let millis = now.millis_since(started);
        (millis >= 0).then(|| millis as f64 / 1000.0)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
