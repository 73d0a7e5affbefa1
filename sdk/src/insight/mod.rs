//! Answers on the device: a state machine that turns events into one value for each question when its time has come.
//!
//! A [`Device`] is told of events and of the time; it keeps sessions, days, weeks and months, moves the cells of its
//! [`Registry`](crate::registry::Registry), and hands out an [`Answered`] for each metric whose epoch ended. A device with
//! nothing to say answers too, so that reporting itself says nothing. Where metrics [rotate](crate::registry::Rotation) it
//! answers those of its group, which it drew by its secret; all cells are moved, whatever the group, so that their answers are
//! whole if a later registry asks for them.
//!
//! # Time
//! The clock is an argument, and may be wrong. While it stands or goes back by less than a day, time stands still. A clock that
//! went back further is believed: what was open is closed without an answer for the days that come again. A clock that
//! jumped ahead, or a long sleep, ends every epoch between; of each kind the first and the last thirty are answered.
//! Days are local days, and never run back when the offset changes.
//!
//! # Bounds
//! A stored state has at most [`MAX_STATE_BYTES`], whatever the registry and the events: every cell has a bound, a registry whose
//! cells could together outgrow it is refused, raw events are kept for
//! [`lookback_days`](crate::registry::Declared::lookback_days) in at most [`MAX_KEPT_BYTES`], and texts over [`MAX_TEXT_BYTES`]
//! are dropped and counted. No cost grows with the number of events.
//!
//! An answer takes at most 65,536 steps, and so does each public tag beside it: 64 for each condition, question and cell that is looked
//! at, as often as it is named, and one for each item of a list that is searched. A registry with a longer one, such as a chain of
//! segments that each name the one before twice, is refused, by its compiler and by its readers.
//!
//! # What is wiped
//! When a device is reset or dropped, its secret, what its cells hold and the events it keeps are overwritten in memory before
//! the memory is freed, and so is what a cell gives up for a later value. Stored bytes that are taken up are wiped after they
//! were read. Not wiped are the bytes of [`Device::store`] and the texts of an [`Answered`], which belong to the caller; the
//! times and sessions of kept events where their list grew; and copies that a move left on the stack.

pub(crate) mod bound;
mod clock;
mod device;
mod kept;
mod read;
mod state;
mod tally;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub use self::bound::{MAX_KEPT_BYTES, MAX_STATE_BYTES};
pub use self::device::Device;
pub use self::state::{StateError, Unreadable};

#[cfg(test)]
pub(crate) use self::read::looked;

use crate::binary::binary;
use crate::calendar::Timestamp;
use crate::domain::{self, Domain, DomainError, Rounding};
use crate::encoder::Value;
use crate::metric::{Epoch, MetricId};

/// The most bytes of a text property.
pub const MAX_TEXT_BYTES: usize = 512;

/// What a device without a text says for one.
pub const NO_TEXT: &str = "(none)";

/// Something that happened.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its properties. Of a name that stands twice the last one counts.
    pub properties: &'a [(&'a str, Property<'a>)],
    /// When it happened; now if left out. Times ahead of the clock or before the install are clamped and counted.
    pub at: Option<Timestamp>,
}

/// A property of an event.
#[derive(Clone, Copy, PartialEq)]
pub enum Property<'a> {
    /// True or false.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A label or an open text.
    Text(&'a str),
}

/// The answer to a metric for an epoch that ended.
#[derive(Clone, PartialEq)]
pub struct Answered {
    /// The metric.
    pub metric: MetricId,
    /// Its version.
    pub version: u32,
    /// The epoch.
    pub epoch: Epoch,
    /// The answer.
    pub given: Given,
    /// The public tags, as places in their lists, in the order of [`Registry::tags`](crate::registry::Registry::tags);
    /// empty beside a sensitive metric.
    pub tags: Vec<usize>,
}

impl fmt::Debug for Answered {
    /// Says what is answered, and never how.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answered({} version {}, epoch {})", self.metric, self.version, self.epoch)
    }
}

/// An answer, before anything is randomized.
#[derive(Clone, PartialEq)]
pub enum Given {
    /// A place in the metric's list.
    Choice(usize),
    /// A bit for each name of the metric's set.
    Subset(u8),
    /// An open text, [`NO_TEXT`] if there is none.
    Text(String),
    /// A number, or none.
    Number(Option<f64>),
}

impl Given {
    /// The value that stands for it in a report of a metric with this domain, on a device whose
    /// [`Encoder::rounding`](crate::Encoder::rounding) is `rounding`.
    ///
    /// # Errors
    /// A [`DomainError`] if it is no answer of the domain.
    pub fn value<'a>(&'a self, domain: &Domain, rounding: Rounding) -> Result<Value<'a>, DomainError> {
        match self {
            Self::Choice(choice) => Ok(Value::Choice(*choice)),
            Self::Subset(set) => Ok(Value::Subset(*set)),
            Self::Text(text) => domain.value(domain::Answer::Text(text), rounding),
            Self::Number(Some(number)) => domain.value(domain::Answer::Number(*number), rounding),
            Self::Number(None) => domain.value(domain::Answer::Nothing, rounding),
        }
    }
}

impl fmt::Debug for Given {
    /// Says what kind of answer it is, and never which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Choice(_) => "Given(a choice)",
            Self::Subset(_) => "Given(a set)",
            Self::Text(_) => "Given(a text)",
            Self::Number(_) => "Given(a number)",
        })
    }
}

/// How often something was dropped or put right since the state began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events with a name that is not declared.
    pub unknown_events: u64,
    /// Events that no metric needs, where nothing is kept for later.
    pub unneeded_events: u64,
    /// Properties with a name that is not declared.
    pub unknown_properties: u64,
    /// Properties of another type than declared, numbers that are not finite, and texts that are too long.
    pub unfit_properties: u64,
    /// Labels that became `other`.
    pub other_labels: u64,
    /// Events from the future.
    pub from_future: u64,
    /// Events from before the install.
    pub before_install: u64,
    /// Times that the clock was set back by a day or more.
    pub clock_set_back: u64,
    /// Epochs of a long sleep that were not answered.
    pub epochs_skipped: u64,
    /// Kept events that had to go before their time.
    pub kept_dropped: u64,
}

binary!(struct Counters { unknown_events, unneeded_events, unknown_properties, unfit_properties, other_labels, from_future, before_install, clock_set_back, epochs_skipped, kept_dropped });
