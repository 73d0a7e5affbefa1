//! Batches that were checked against the catalog, ready to be counted.

use std::sync::Arc;

use deniable::{Batch, BatchId, Encoding, Epoch, MetricId, Params, Section, fits};
use thiserror::Error;

use crate::catalog::{Catalog, Definition};

/// A batch in which every report fits its metric's definition.
///
/// Only [`Accepted::check`] makes one, so what counts it never checks again.
#[derive(Clone, Debug)]
pub struct Accepted {
    id: BatchId,
    sections: Vec<AcceptedSection>,
}

/// The reports of one definition and epoch in an accepted batch.
#[derive(Clone, Debug)]
pub(super) struct AcceptedSection {
    pub(super) definition: Arc<Definition>,
    pub(super) epoch: Epoch,
    /// Cohort in two bytes, little-endian, then the bits; each record has the same length.
    records: Vec<u8>,
}

impl Accepted {
    /// Checks a batch as a whole: if one report is wrong, none is taken.
    ///
    /// # Errors
    /// A [`Refusal`] that gives the value, the limit and the remedy.
    pub fn check(batch: &Batch<'_>, catalog: &Catalog) -> Result<Self, Refusal> {
        let sections = batch
            .sections()
            .iter()
            .map(|section| AcceptedSection::check(section, catalog))
            .collect::<Result<_, _>>()?;
        Ok(Self { id: batch.id(), sections })
    }

    /// The number of reports.
    pub fn report_count(&self) -> usize {
        self.sections.iter().map(|section| section.records().len()).sum()
    }

    pub(super) fn id(&self) -> BatchId {
        self.id
    }

    pub(super) fn sections(&self) -> &[AcceptedSection] {
        &self.sections
    }
}

impl AcceptedSection {
    fn check(section: &Section<'_>, catalog: &Catalog) -> Result<Self, Refusal> {
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
        let mut records = Vec::with_capacity(section.len() * (2 + stream.bit_bytes()));
        for (cohort, bits) in section.reports() {
            if !fits(definition.params(), cohort, bits) {
                return Err(misfit(metric, definition.params(), cohort, bits));
            }
            records.extend_from_slice(&cohort.to_le_bytes());
            records.extend_from_slice(bits);
        }
        Ok(Self { definition: Arc::clone(definition), epoch: section.epoch(), records })
    }

    /// The cohort and the bits of each report.
    pub(super) fn records(&self) -> impl ExactSizeIterator<Item = (u16, &[u8])> {
        self.records.chunks_exact(2 + self.definition.stream().bit_bytes()).map(|record| {
            let (cohort, bits) = record.split_at(2);
            (u16::from_le_bytes([cohort[0], cohort[1]]), bits)
        })
    }
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

/// A batch that the catalog has no place for.
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
}
