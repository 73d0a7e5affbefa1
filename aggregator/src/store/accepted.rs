//! Batches that were checked against the catalog, ready to be counted.
//!
//! Reports are checked one by one: what fits is kept, what does not is refused with its reason, and neither holds up
//! the other.

use std::ops::RangeInclusive;
use std::sync::Arc;

use deniable::{Batch, BatchId, Encoding, Epoch, MetricId, Params, Section, fits};
use thiserror::Error;

use crate::catalog::{Catalog, Definition};

/// A batch after its check: what can be counted, and what was refused.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The reports that fit; perhaps none.
    pub accepted: Accepted,
    /// The others.
    pub refused: Refused,
}

/// How many reports of a batch were refused, by reason, and the first refusal in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    counts: [usize; Reason::ALL.len()],
    first: Option<Refusal>,
}

impl Refused {
    fn add(&mut self, refusal: Refusal, reports: usize) {
        self.counts[refusal.reason() as usize] += reports;
        self.first.get_or_insert(refusal);
    }

    /// The reasons that occurred, with the number of reports refused for each.
    pub fn counts(&self) -> impl Iterator<Item = (Reason, usize)> {
        let count = |reason: Reason| (reason, self.counts[reason as usize]);
        Reason::ALL.into_iter().map(count).filter(|(_, reports)| *reports > 0)
    }

    /// The first refusal, which says what to do about it.
    pub fn first(&self) -> Option<&Refusal> {
        self.first.as_ref()
    }
}

/// The reports of a batch that fit their metrics' definitions.
///
/// Only [`Accepted::check`] makes one, so what counts it never checks again.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub(super) id: BatchId,
    pub(super) sections: Vec<AcceptedSection>,
}

/// The reports of one definition and epoch in an accepted batch.
#[derive(Clone, Debug)]
pub(super) struct AcceptedSection {
    pub(super) definition: Arc<Definition>,
    pub(super) epoch: Epoch,
    /// Cohort in two bytes, little-endian, then the bits; each record has the same length.
    pub(super) records: Vec<u8>,
}

impl Accepted {
    /// Checks every report of a batch against its definition and the epochs that are `open`.
    pub fn check(batch: &Batch<'_>, catalog: &Catalog, open: &RangeInclusive<Epoch>) -> Checked {
        let mut refused = Refused::default();
        let mut sections = Vec::with_capacity(batch.sections().len());
        for section in batch.sections() {
            match find(section, catalog).and_then(|found| check_epoch(section, open).map(|()| found)) {
                Ok(definition) => {
                    let accepted = AcceptedSection::check(section, definition, &mut refused);
                    if !accepted.records.is_empty() {
                        sections.push(accepted);
                    }
                }
                Err(refusal) => refused.add(refusal, section.len()),
            }
        }
        Checked { accepted: Self { id: batch.id(), sections }, refused }
    }

    /// The number of reports.
    pub fn report_count(&self) -> usize {
        self.sections.iter().map(|section| section.records().len()).sum()
    }

    /// Says whether no report was accepted.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// The oldest and the newest epoch of its reports; none if it has no reports.
    pub(super) fn epochs(&self) -> Option<(Epoch, Epoch)> {
        let epochs = || self.sections.iter().map(|section| section.epoch);
        epochs().min().zip(epochs().max())
    }

    pub(super) fn id(&self) -> BatchId {
        self.id
    }

    pub(super) fn sections(&self) -> &[AcceptedSection] {
        &self.sections
    }
}

impl AcceptedSection {
    fn check(section: &Section<'_>, definition: &Arc<Definition>, refused: &mut Refused) -> Self {
        let mut records = Vec::with_capacity(section.len() * (2 + section.stream().bit_bytes()));
        for (cohort, bits) in section.reports() {
            if fits(definition.params(), cohort, bits) {
                records.extend_from_slice(&cohort.to_le_bytes());
                records.extend_from_slice(bits);
            } else {
                refused.add(misfit(section.stream().metric(), definition.params(), cohort, bits), 1);
            }
        }
        Self { definition: Arc::clone(definition), epoch: section.epoch(), records }
    }

    /// The cohort and the bits of each report.
    pub(super) fn records(&self) -> impl ExactSizeIterator<Item = (u16, &[u8])> {
        self.records.chunks_exact(2 + self.definition.stream().bit_bytes()).map(|record| {
            let (cohort, bits) = record.split_at(2);
            (u16::from_le_bytes([cohort[0], cohort[1]]), bits)
        })
    }
}

/// The definition that a section names.
fn find<'a>(section: &Section<'_>, catalog: &'a Catalog) -> Result<&'a Arc<Definition>, Refusal> {
    let stream = section.stream();
    let (metric, version) = (stream.metric(), stream.version());
    let Some(definition) = catalog.get(metric, version) else {
        let known: Vec<_> = catalog.versions(metric).map(|v| v.to_string()).collect();
        return Err(if known.is_empty() {
            Refusal::UnknownMetric { metric: metric.clone() }
        } else {
            Refusal::UnknownVersion { metric: metric.clone(), version, known: known.join(", ") }
        });
    };
    if stream != definition.stream() {
        return Err(Refusal::OtherParameters {
            metric: metric.clone(),
            version,
            found: stream.fingerprint().to_string(),
            expected: definition.stream().fingerprint().to_string(),
        });
    }
    Ok(definition)
}

fn check_epoch(section: &Section<'_>, open: &RangeInclusive<Epoch>) -> Result<(), Refusal> {
    let (metric, epoch) = (section.stream().metric(), section.epoch());
    let (oldest, newest) = (*open.start(), *open.end());
    if epoch < oldest {
        return Err(Refusal::EpochClosed { metric: metric.clone(), epoch, oldest });
    }
    if epoch > newest {
        return Err(Refusal::EpochAhead { metric: metric.clone(), epoch, newest });
    }
    Ok(())
}

/// Says why a report does not fit, without saying what it holds.
fn misfit(metric: &MetricId, params: &Params, cohort: u16, bits: &[u8]) -> Refusal {
    let metric = metric.clone();
    let (cohorts, k) = (params.cohorts(), params.bits());
    if usize::from(cohort) >= cohorts {
        return Refusal::Cohort { metric, cohort, cohorts };
    }
    let ones: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
    let beyond = k % 8 != 0 && bits.last().is_some_and(|last| last >> (k % 8) != 0);
    if params.encoding() == Encoding::Direct && !beyond {
        return Refusal::Direct { metric, ones };
    }
    Refusal::BitsBeyond { metric, bits: k }
}

/// A report that is not counted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No metric of that name is asked.
    #[error("metric {metric} is not asked here: add it to the collector's metrics, or stop reporting it")]
    UnknownMetric {
        /// The name.
        metric: MetricId,
    },
    /// The metric is asked in other versions.
    #[error(
        "metric {metric} is not asked here in version {version}, but in {known}: update the client, or list the version as an older one"
    )]
    UnknownVersion {
        /// The metric.
        metric: MetricId,
        /// The version of the reports.
        version: u32,
        /// The versions that are asked.
        known: String,
    },
    /// The version is known with other parameters.
    #[error(
        "metric {metric} version {version} was reported under parameters {found}, but here they are {expected}: give changed parameters a new version"
    )]
    OtherParameters {
        /// The metric.
        metric: MetricId,
        /// Its version.
        version: u32,
        /// The fingerprint of the reports.
        found: String,
        /// The fingerprint of the definition.
        expected: String,
    },
    /// A cohort that the metric does not have.
    #[error(
        "a report to metric {metric} is of cohort {cohort}, but its {cohorts} cohorts are counted from 0: correct the client"
    )]
    Cohort {
        /// The metric.
        metric: MetricId,
        /// The cohort of the report.
        cohort: u16,
        /// m.
        cohorts: usize,
    },
    /// Bits set where a report has none.
    #[error("a report to metric {metric} sets bits beyond its {bits}: leave the unused places 0")]
    BitsBeyond {
        /// The metric.
        metric: MetricId,
        /// k.
        bits: usize,
    },
    /// A direct report that does not name exactly one value.
    #[error(
        "a report to metric {metric} sets {ones} bits, but the direct encoding sets exactly 1: correct the client"
    )]
    Direct {
        /// The metric.
        metric: MetricId,
        /// The bits that are set.
        ones: u32,
    },
    /// The epoch takes no reports any more.
    #[error(
        "a report to metric {metric} is of epoch {epoch}, but the oldest that is still open is {oldest} (days since 1970-01-01): drop it"
    )]
    EpochClosed {
        /// The metric.
        metric: MetricId,
        /// The epoch of the report.
        epoch: Epoch,
        /// The oldest open epoch.
        oldest: Epoch,
    },
    /// The epoch has not begun.
    #[error(
        "a report to metric {metric} is of epoch {epoch}, but the newest that has begun is {newest} (days since 1970-01-01): correct the device's clock"
    )]
    EpochAhead {
        /// The metric.
        metric: MetricId,
        /// The epoch of the report.
        epoch: Epoch,
        /// The newest open epoch.
        newest: Epoch,
    },
}

impl Refusal {
    /// Its reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::UnknownMetric { .. } => Reason::UnknownMetric,
            Self::UnknownVersion { .. } => Reason::UnknownVersion,
            Self::OtherParameters { .. } => Reason::OtherParameters,
            Self::Cohort { .. } | Self::BitsBeyond { .. } | Self::Direct { .. } => Reason::ImpossibleReport,
            Self::EpochClosed { .. } => Reason::EpochClosed,
            Self::EpochAhead { .. } => Reason::EpochAhead,
        }
    }
}

/// Why reports are refused. The names are part of the protocol and stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The metric is not asked here.
    UnknownMetric,
    /// The metric is not asked in that version.
    UnknownVersion,
    /// The metric version is asked with other parameters.
    OtherParameters,
    /// The report is none that its metric can have.
    ImpossibleReport,
    /// The epoch takes no reports any more.
    EpochClosed,
    /// The epoch has not begun.
    EpochAhead,
}

impl Reason {
    /// Every reason, in the order of their places.
    pub const ALL: [Self; 6] = [
        Self::UnknownMetric,
        Self::UnknownVersion,
        Self::OtherParameters,
        Self::ImpossibleReport,
        Self::EpochClosed,
        Self::EpochAhead,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownMetric => "unknown-metric",
            Self::UnknownVersion => "unknown-version",
            Self::OtherParameters => "other-parameters",
            Self::ImpossibleReport => "impossible-report",
            Self::EpochClosed => "epoch-closed",
            Self::EpochAhead => "epoch-ahead",
        }
    }
}
