//! What a program can learn of its client: what it holds, what it lost, and what stands in its way.

use alloc::string::String;
use alloc::vec::Vec;

use super::answer::Outcome;
use super::options::Consent;
use super::state::StateError;
use crate::binary::binary;
use crate::calendar::Timestamp;
use crate::insight::Counters;
use crate::registry::{CatalogError, RegistryHash};

/// How a client is doing. It holds no answer and no secret, and may be logged.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Whether the person has agreed.
    pub consent: Consent,
    /// How the client began.
    pub begun: Begun,
    /// Whether the clock can be used.
    pub clock: ClockState,
    /// How writing goes.
    pub storage: StorageStatus,
    /// How sending goes.
    pub uploads: UploadStatus,
    /// Reports that wait for their time, or for a batch.
    pub waiting: u64,
    /// Reports in batches that are not known to have arrived.
    pub on_the_way: u64,
    /// The bytes that both take.
    pub queue_bytes: usize,
    /// Reports that were made but will not be counted.
    pub dropped: Dropped,
    /// Answers that did not become reports, and calls that were not taken.
    pub refusals: Refusals,
    /// The registry whose questions are answered.
    pub registry: RegistryHash,
    /// Why the last catalog that was received is not used; None if it is.
    pub catalog_error: Option<CatalogError>,
    /// Events that were dropped or put right.
    pub events: Counters,
    /// How many cells met more different texts than they tell apart.
    pub overflowed_cells: usize,
}

/// How a client began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// There was no state: the first run.
    New,
    /// With the state that was stored.
    Restored,
    /// The stored state could not be read, was set aside, and the client began anew.
    Anew(StateError),
}

/// Whether the clock can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockState {
    /// It shows a time after 2020.
    Plausible,
    /// It shows a time before 2020, so it was never set. Events and answers are not taken until it is, because their epochs
    /// would be wrong. What waits is still sent.
    NotSet,
}

/// Why the host could not store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The place is read-only.
    #[error("the storage is read-only; let the program write there, or choose another place")]
    ReadOnly,
    /// There is no room.
    #[error("the storage is full; make room")]
    Full,
    /// It cannot replace a state in one step.
    #[error("the storage cannot replace a file in one step; choose a place on a file system that can rename")]
    NotAtomic,
    /// It belongs to someone else.
    #[error("the storage belongs to another user; choose a place of this user's own")]
    Denied,
    /// Another process works on it.
    #[error("another process has this state open; give each process a state of its own")]
    InUse,
    /// Something else.
    #[error("the storage failed: {reason}")]
    Other {
        /// What the host said.
        reason: &'static str,
    },
}

/// How writing goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageStatus {
    /// Why the last commit failed; None if it did not. Nothing new is sent while commits fail.
    pub error: Option<StorageError>,
    /// When the next commit is tried, after one that failed.
    pub retry_at: Option<Timestamp>,
    /// The number of the last durable commit.
    pub commit: u64,
    /// The bytes of the last state that was written.
    pub state_bytes: usize,
}

/// How sending goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadStatus {
    /// How the last upload of this run ended; None if there was none.
    pub last: Option<Outcome>,
    /// Uploads that failed since the last that did not.
    pub failures: u32,
    /// When the next is tried, after one that failed.
    pub retry_at: Option<Timestamp>,
    /// Reports that the collector counts, ever.
    pub counted: u64,
    /// Reports that the collector refused, ever, by its reason. At most [`MAX_REASONS`] reasons are kept apart.
    pub refused: Vec<(String, u64)>,
}

/// How many reasons of refusal are kept apart; the rest is `other`.
pub const MAX_REASONS: usize = 16;

/// Reports that were made but will not be counted, ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// They were older than [`Options::max_age_days`](super::Options::max_age_days).
    pub too_old: u64,
    /// They were the oldest when [`Options::queue_bytes`](super::Options::queue_bytes) was passed.
    pub no_room: u64,
    /// One was too large for the way to the collector even by itself.
    pub too_large: u64,
    /// It cannot be known whether they were counted, so they were not sent again.
    pub uncertain: u64,
    /// They were erased by a reset or when consent was withdrawn.
    pub erased: u64,
}

binary!(struct Dropped { too_old, no_room, too_large, uncertain, erased });

/// Answers that did not become reports, and calls that were not taken, ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Calls without consent.
    pub no_consent: u64,
    /// Calls while the clock was not set.
    pub clock_not_set: u64,
    /// Answers that would have passed the week's cap.
    pub week_spent: u64,
    /// Answers that would have passed the cap for life.
    pub life_spent: u64,
    /// Answers recorded for a metric after its last day.
    pub expired: u64,
    /// Answers recorded for a metric that is not asked, or not by the program.
    pub not_asked: u64,
    /// Answers recorded for a metric that this device does not answer.
    pub not_rotated_in: u64,
    /// Answers of the wrong kind or outside the metric's domain.
    pub unfit: u64,
    /// Properties beyond [`MAX_PROPERTIES`](super::MAX_PROPERTIES) of one event.
    pub too_many_properties: u64,
}

binary!(struct Refusals { no_consent, clock_not_set, week_spent, life_spent, expired, not_asked, not_rotated_in, unfit, too_many_properties });
