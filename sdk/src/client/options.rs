//! What a program decides about its client.

use core::time::Duration;

use crate::binary::binary;
use crate::registry::Privacy;
use crate::report::{MAX_BATCH_BYTES, WriteKey};

/// What a program decides about its client. Every setting has a default that suits most.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The key of the collector's project; none by default.
    pub key: WriteKey,
    /// Whether the person has agreed, as long as neither [`opt_in`](super::Core::opt_in) nor
    /// [`opt_out`](super::Core::opt_out) was called; [`Consent::Pending`] by default, under which nothing is kept.
    pub consent: Consent,
    /// Each report waits a random part of this before it may leave, so that the time of sending does not tell when it was made;
    /// an hour by default, at most a week.
    pub delay: Duration,
    /// The most bytes of a body; 60 KiB by default, which a page may send while it closes. From 4 KiB to
    /// [`MAX_BATCH_BYTES`].
    pub body_bytes: usize,
    /// The most bytes of reports that wait or are on their way; 256 KiB by default. Beyond it the oldest go. From 4 KiB to
    /// 16 MiB.
    pub queue_bytes: usize,
    /// Reports of epochs that began this many days ago are dropped, because a collector would refuse them; 45 by default, as
    /// there. From 1 to 3660.
    pub max_age_days: u32,
    /// How long events may wait to be written with others; 5 seconds by default, at most an hour. What happened since the last
    /// writing is lost in a crash. Reports, charges and consent never wait.
    pub write_delay: Duration,
    /// The most that a catalog may spend and show, whatever it says itself; what any registry may say by default. One with more
    /// is not used. The caps of a program whose catalog is fetched are those that the collector chooses within this.
    pub limits: Privacy,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            key: WriteKey::NONE,
            consent: Consent::Pending,
            delay: Duration::from_secs(3600),
            body_bytes: 60 * 1024,
            queue_bytes: 256 * 1024,
            max_age_days: 45,
            write_delay: Duration::from_secs(5),
            limits: Privacy::MOST,
        }
    }
}

impl Options {
    pub(super) fn check(&self) -> Result<(), OptionsError> {
        const KIB: u64 = 1024;
        let most = |what, value, most| in_range(what, value, 0, most);
        most("delay, in seconds,", self.delay.as_secs(), 7 * 86_400)?;
        most("write_delay, in seconds,", self.write_delay.as_secs(), 3600)?;
        in_range("body_bytes", self.body_bytes as u64, 4 * KIB, MAX_BATCH_BYTES as u64)?;
        in_range("queue_bytes", self.queue_bytes as u64, 4 * KIB, 16 * KIB * KIB)?;
        in_range("max_age_days", self.max_age_days.into(), 1, 3660)
    }
}

fn in_range(what: &'static str, value: u64, low: u64, high: u64) -> Result<(), OptionsError> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(OptionsError { what, value, low, high }) }
}

/// A setting outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {value}, but must be from {low} to {high}")]
pub struct OptionsError {
    /// Which setting.
    pub what: &'static str,
    /// What was given.
    pub value: u64,
    /// The least allowed.
    pub low: u64,
    /// The most allowed.
    pub high: u64,
}

/// Whether the person has agreed that answers are kept and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Nobody was asked yet. Nothing is taken up and nothing reported; what was kept while it was given by default rests.
    Pending,
    /// Yes.
    Given,
    /// No, or no longer. What was kept is erased and nothing is reported.
    Withdrawn,
}

binary!(enum Consent { 0 Pending, 1 Given, 2 Withdrawn });
