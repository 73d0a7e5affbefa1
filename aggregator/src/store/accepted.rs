//! Batches that were checked against the catalog, ready to be counted.
//!
//! Reports are checked one by one: what fits is kept, what does not is refused with its reason, and neither holds up
//! the other.

use std::ops::RangeInclusive;
use std::sync::Arc;

use deniable::registry::RegistryHash;
use deniable::{Batch, BatchId, Encoding, Epoch, MetricId, Params, Section, fits};

use super::layout::NO_TAGS;
use super::public::{Registries, TagFault};
use super::refusal::{Reason, Refusal};
use crate::catalog::{Catalog, Definition};

/// What batches are checked against, and where they come from.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// The metrics that are asked.
    pub catalog: &'a Catalog,
    /// The registries whose tags are known.
    pub registries: &'a Registries,
    /// The epochs that take reports.
    pub open: RangeInclusive<Epoch>,
    /// The name of the write key that the batch came under; empty if none was asked for.
    pub source: &'a str,
}

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
    pub(super) source: Arc<str>,
    pub(super) sections: Vec<AcceptedSection>,
}

/// The reports of one definition, epoch and choice of tags in an accepted batch.
#[derive(Clone, Debug)]
pub(super) struct AcceptedSection {
    pub(super) definition: Arc<Definition>,
    pub(super) epoch: Epoch,
    /// As [`Tags`](super::Tags) display.
    pub(super) tags: Box<str>,
    /// Cohort in two bytes, little-endian, then the bits; each record has the same length.
    pub(super) records: Vec<u8>,
}

impl Accepted {
    /// Checks every report of a batch: against its definition, the epochs that are open, and the registry that its tags
    /// are of.
    pub fn check(batch: &Batch<'_>, terms: &Terms<'_>) -> Checked {
        let mut refused = Refused::default();
        let mut sections = Vec::with_capacity(batch.sections().len());
        for section in batch.sections() {
            match AcceptedSection::check(section, terms, &mut refused) {
                Ok(accepted) if accepted.records.is_empty() => {}
                Ok(accepted) => sections.push(accepted),
                Err(refusal) => refused.add(refusal, section.len()),
            }
        }
        Checked { accepted: Self { id: batch.id(), source: terms.source.into(), sections }, refused }
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

    /// The name of the write key that it came under.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn sections(&self) -> &[AcceptedSection] {
        &self.sections
    }
}

impl AcceptedSection {
    /// Notes the reports that do not fit in `refused`, and refuses all together if none can be counted.
    fn check(section: &Section<'_>, terms: &Terms<'_>, refused: &mut Refused) -> Result<Self, Refusal> {
        let definition = find(section, terms.catalog)?;
        check_epoch(section, &terms.open)?;
        let tags = tags(section, terms.registries)?;
        let mut records = Vec::with_capacity(section.len() * (2 + section.stream().bit_bytes()));
        for (cohort, bits) in section.reports() {
            if fits(definition.params(), cohort, bits) {
                records.extend_from_slice(&cohort.to_le_bytes());
                records.extend_from_slice(bits);
            } else {
                refused.add(misfit(section.stream().metric(), definition.params(), cohort, bits), 1);
            }
        }
        Ok(Self { definition: Arc::clone(definition), epoch: section.epoch(), tags, records })
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

/// The text of a section's tags, which have their meaning from the registry that it names.
fn tags(section: &Section<'_>, registries: &Registries) -> Result<Box<str>, Refusal> {
    let (metric, registry) = (section.stream().metric(), section.registry());
    if registry == RegistryHash::NONE {
        return Ok(NO_TAGS.into());
    }
    let Some(public) = registries.get(registry) else {
        return Err(Refusal::UnknownRegistry { metric: metric.clone(), registry });
    };
    match public.tags(metric, section.tags()) {
        Ok(tags) => Ok(tags.to_string().into()),
        Err(TagFault::Count { found, expected }) => {
            Err(Refusal::TagCount { metric: metric.clone(), registry, found, expected })
        }
        Err(TagFault::Place { name, place, labels }) => {
            Err(Refusal::TagPlace { metric: metric.clone(), registry, name, place, labels })
        }
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
