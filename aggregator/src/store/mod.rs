//! The store: counts that survive, and the ids of the batches that are in them.
//!
//! Batches go in by [`Store::commit`], many to one durable transaction, and become sums by metric version, epoch, source,
//! public tags and cohort; a batch id that was seen before changes nothing. [`Store::counts`] reads the sums of the
//! reports that a [`Selection`] takes. [`DiskStore`] is the store of a collector; [`MemoryStore`] keeps the same
//! promises but that of durability, for tests.
//!
//! The reports of a metric that the collector's file says `keep_reports` of are kept beside the sums, equal ones together.
//!
//! Closed epochs may be moved to a [lake](crate::lake); who reads the store reads them there.
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
mod aside;
mod boundary;
mod disk;
mod error;
#[cfg(test)]
mod faults;
mod fold;
mod layout;
mod memory;
mod public;
mod refusal;
mod selection;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;

use deniable::{Epoch, MetricId, Params};
use serde::Serialize;

pub use self::accepted::{Accepted, Checked, Refused, Terms};
pub use self::aside::{Aside, LeftOut};
pub use self::disk::{DiskStore, Verified};
pub use self::error::StoreError;
pub use self::memory::MemoryStore;
pub use self::public::{Public, Registries, Tags};
pub use self::refusal::{Reason, Refusal};
pub use self::selection::{Selection, Tag, TagError};
use crate::catalog::Catalog;
use crate::decode::{Counts, Reports};
use crate::guard::Volumes;

/// The metric versions of a store, each with the parameters that it is counted under.
pub type Streams = BTreeMap<(MetricId, u32), Params>;

/// What keeps counts. It is shared between the thread that commits and those that read.
pub trait Store: fmt::Debug + Send + Sync {
    /// Makes room for the metric versions of a catalog, so that their batches can be committed, and keeps its registry,
    /// so that tags have meaning for ever.
    ///
    /// # Errors
    /// [`StoreError::OtherParameters`] if a version is stored under other parameters; nothing is declared then.
    fn declare(&self, catalog: &Catalog) -> Result<(), StoreError>;

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

    /// Copies what is committed now, while others go on committing, to a file that has no name and ends when it is closed.
    /// Returns it with its length in bytes. [`DiskStore::restore`] makes a store of it.
    ///
    /// # Errors
    /// A [`StoreError`] if the copy cannot be made; [`StoreError::NotOnDisk`] for a store in memory.
    fn copy(&self) -> Result<(File, u64), StoreError>;

    /// Lists what is held of a selection, by metric, version and epoch.
    ///
    /// # Errors
    /// A [`StoreError`] if it cannot be read or is damaged.
    fn holdings(&self, selection: &Selection) -> Result<Vec<Holding>, StoreError>;

    /// The parameters under which each metric version is counted, whether or not there are reports yet.
    ///
    /// # Errors
    /// A [`StoreError`] if they cannot be read or are damaged.
    fn streams(&self) -> Result<Streams, StoreError>;

    /// What each registry shows that was ever declared here.
    ///
    /// # Errors
    /// A [`StoreError`] if they cannot be read or are damaged.
    fn registries(&self) -> Result<Registries, StoreError>;

    /// The parameters under which a metric version is counted.
    ///
    /// # Errors
    /// [`StoreError::UnknownStream`] if the version was never declared here.
    fn params(&self, metric: &MetricId, version: u32) -> Result<Params, StoreError>;

    /// How many reports came to a metric version in each epoch and from each source, and how many of them had an improbable
    /// number of ones; also of what is set aside, and of epochs whose rows are no longer here.
    ///
    /// # Errors
    /// As [`Store::params`].
    fn volumes(&self, metric: &MetricId, version: u32) -> Result<Volumes, StoreError>;

    /// What is set aside: what figures are to leave out, by [`Selection::without`].
    ///
    /// # Errors
    /// A [`StoreError`] if it cannot be read or is damaged.
    fn left_out(&self) -> Result<LeftOut, StoreError>;

    /// Sets something aside, durably; false if it was before. Its reports stay, and more are taken.
    ///
    /// # Errors
    /// A [`StoreError`] if the transaction failed.
    fn set_aside(&self, what: &Aside) -> Result<bool, StoreError>;

    /// Takes back what was set aside, durably; false if it was not.
    ///
    /// # Errors
    /// A [`StoreError`] if the transaction failed.
    fn take_back(&self, what: &Aside) -> Result<bool, StoreError>;

    /// Shows each row of a metric version that a selection takes, in the order of their places, and first those that were
    /// moved to a lake. Each fits the parameters of the version.
    ///
    /// # Errors
    /// As [`Store::params`].
    fn each_row(
        &self,
        metric: &MetricId,
        version: u32,
        selection: &Selection,
        show: &mut dyn FnMut(&Place<'_>, &Sums<'_>),
    ) -> Result<(), StoreError>;

    /// Shows each different report that is kept of a metric version and that a selection takes, with the bytes of its bits
    /// and how many such reports there are. Each fits the parameters of the version.
    ///
    /// # Errors
    /// As [`Store::params`].
    fn each_report(
        &self,
        metric: &MetricId,
        version: u32,
        selection: &Selection,
        show: &mut dyn FnMut(&Place<'_>, &[u8], u64),
    ) -> Result<(), StoreError>;

    /// The sums of the reports to a metric version that a selection takes; empty counts if there are none.
    ///
    /// # Errors
    /// As [`Store::params`].
    fn counts(&self, metric: &MetricId, version: u32, selection: &Selection) -> Result<Counts, StoreError> {
        let mut counts = Counts::empty(&self.params(metric, version)?);
        self.each_row(metric, version, selection, &mut |place, sums| {
            counts.add(place.cohort, sums.reports, sums.ones).expect(FITS);
        })?;
        Ok(counts)
    }

    /// The same sums for each label of a public tag. Reports without that tag are under none.
    ///
    /// # Errors
    /// As [`Store::params`].
    fn counts_by(
        &self,
        metric: &MetricId,
        version: u32,
        selection: &Selection,
        tag: &str,
    ) -> Result<BTreeMap<Option<String>, Counts>, StoreError> {
        let params = self.params(metric, version)?;
        let mut by_label = BTreeMap::new();
        self.each_row(metric, version, selection, &mut |place, sums| {
            let label = place.tags.label(tag).map(str::to_owned);
            let counts = by_label.entry(label).or_insert_with(|| Counts::empty(&params));
            counts.add(place.cohort, sums.reports, sums.ones).expect(FITS);
        })?;
        Ok(by_label)
    }

    /// The reports themselves that are kept of a metric version and that a selection takes.
    ///
    /// # Errors
    /// As [`Store::params`].
    fn reports(&self, metric: &MetricId, version: u32, selection: &Selection) -> Result<Reports, StoreError> {
        let mut reports = Reports::new(&self.params(metric, version)?);
        self.each_report(metric, version, selection, &mut |place, bits, times| {
            (0..times).for_each(|_| reports.add(place.cohort, bits).expect(FITS));
        })?;
        Ok(reports)
    }
}

/// Why what a store shows can be added up.
const FITS: &str = "a store shows only what fits the parameters";

/// Where reports are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The epoch.
    pub epoch: Epoch,
    /// The name of the write key under which they came; empty if there was none.
    pub source: &'a str,
    /// Their public tags.
    pub tags: &'a Tags,
    /// The cohort.
    pub cohort: u16,
}

/// The sums of one place: no bit is set in more reports than there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums<'a> {
    /// The reports.
    pub reports: u64,
    /// How many of them set each of the k bits.
    pub ones: &'a [u64],
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
    /// The reports of all sources, tags and cohorts.
    pub reports: u64,
}
