//! The store: counts that survive, and the ids of the batches that are in them.
//!
//! Batches go in by [`Store::commit`], many to one durable transaction, and become sums; a batch id that was seen
//! before changes nothing. [`Store::counts`] reads the sums of a metric version over epochs. [`DiskStore`] is the
//! store of a collector; [`MemoryStore`] keeps the same promises but that of durability, for tests.
//!
//! Invariants: a batch is counted as a whole and at most once, whatever crashes in between; a metric version is
//! only ever counted under one set of parameters; nothing links the reports of a batch or tells their order.
//! `layout` describes the bytes on disk. One process at a time holds a store.
//!
//! # Counted once, for ever
//! Ids are not kept for ever. A commit closes all epochs before a bound, and closed epochs take no report again,
//! wherever the clock stands later. Once every report that a batch has in the counts is of a closed epoch, its id is
//! forgotten: were the batch sent again, all its reports would be refused for their epoch. So an old batch is told
//! by the epochs that it carries anyway, and needs no time of its own.

mod accepted;
mod boundary;
mod disk;
mod error;
#[cfg(test)]
mod faults;
mod fold;
mod layout;
mod memory;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use deniable::{Epoch, MetricId, Params};
use serde::Serialize;

pub use self::accepted::{Accepted, Checked, Reason, Refusal, Refused};
pub use self::disk::{DiskStore, Verified};
pub use self::error::StoreError;
pub use self::memory::MemoryStore;
use crate::catalog::Definition;
use crate::decode::Counts;

/// The metric versions of a store, each with the parameters that it is counted under.
pub type Streams = BTreeMap<(MetricId, u32), Params>;

/// What keeps counts. It is shared between the thread that commits and those that read.
pub trait Store: fmt::Debug + Send + Sync {
    /// Makes room for metric versions, so that their batches can be committed.
    ///
    /// # Errors
    /// [`StoreError::OtherParameters`] if a version is stored under other parameters; nothing is declared then.
    fn declare(&self, definitions: &[&Definition]) -> Result<(), StoreError>;

    /// Closes all epochs before `open_from`, counts batches in one durable transaction, and says of each what became
    /// of it, in their order.
    ///
    /// When this returns, the batches survive a crash of the program and of the machine. An id that stands twice
    /// among `batches` is counted once. Epochs that were closed stay closed, also if `open_from` is older later.
    ///
    /// # Errors
    /// A [`StoreError`] if the transaction failed. It is unknown then whether the batches are counted; committing
    /// them again under the same ids settles it.
    fn commit(&self, batches: &[Accepted], open_from: Epoch) -> Result<Vec<Outcome>, StoreError>;

    /// The oldest epoch that takes reports.
    ///
    /// # Errors
    /// A [`StoreError`] if it cannot be read.
    fn open_from(&self) -> Result<Epoch, StoreError>;

    /// The bytes that it takes on disk; 0 for a store in memory.
    ///
    /// # Errors
    /// A [`StoreError`] if they cannot be told.
    fn size_bytes(&self) -> Result<u64, StoreError>;

    /// Lists what is held, by metric, version and epoch.
    ///
    /// # Errors
    /// A [`StoreError`] if it cannot be read or is damaged.
    fn holdings(&self) -> Result<Vec<Holding>, StoreError>;

    /// The parameters under which each metric version is counted, whether or not there are reports yet.
    ///
    /// # Errors
    /// A [`StoreError`] if they cannot be read or are damaged.
    fn streams(&self) -> Result<Streams, StoreError>;

    /// The sums of a metric version over `epochs`; empty counts if there are no reports.
    ///
    /// # Errors
    /// [`StoreError::UnknownStream`] if the version was never declared here.
    fn counts(
        &self,
        metric: &MetricId,
        version: u32,
        epochs: RangeInclusive<Epoch>,
    ) -> Result<Counts, StoreError>;
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is counted now.
    Counted,
    /// A batch of this id was counted before, so this one changed nothing.
    Duplicate,
    /// It has reports of an epoch that was closed since it was checked, so nothing of it is counted.
    Closed,
}

/// What the store holds of a metric version in one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// The metric.
    pub metric: MetricId,
    /// Its version.
    pub version: u32,
    /// The epoch.
    pub epoch: Epoch,
    /// The reports of all cohorts.
    pub reports: u64,
}
