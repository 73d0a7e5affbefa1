//! A store in memory, for tests of what is built on a store.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use deniable::{BatchId, Epoch, MetricId};

use super::accepted::Accepted;
use super::fold::add_reports;
use super::{Holding, Outcome, Store, StoreError, Streams};
use crate::catalog::Definition;
use crate::decode::Counts;

/// A store that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    streams: Streams,
    /// As [`Epoch`].
    open_from: u32,
    /// With the newest epoch that a batch counts.
    ids: BTreeSet<(Epoch, BatchId)>,
    /// Reports, and those of them that set each bit.
    rows: BTreeMap<RowKey, (u64, Vec<u64>)>,
}

/// Metric, version, epoch and cohort.
type RowKey = (MetricId, u32, Epoch, u16);

impl MemoryStore {
    /// The content, whether or not somebody panicked with it: each change of it is complete.
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn add(&mut self, batch: &Accepted) {
        for section in batch.sections() {
            let stream = section.definition.stream();
            for (cohort, bits) in section.records() {
                let key = (stream.metric().clone(), stream.version(), section.epoch, cohort);
                let (reports, ones) = self.rows.entry(key).or_insert_with(|| (0, vec![0; stream.bits()]));
                *reports += add_reports(ones, [bits]);
            }
        }
    }

    fn decide(&self, batch: &Accepted) -> Outcome {
        if self.ids.iter().any(|(_, id)| *id == batch.id()) {
            Outcome::Duplicate
        } else if batch.epochs().is_some_and(|(oldest, _)| oldest.0 < self.open_from) {
            Outcome::Closed
        } else {
            Outcome::Counted
        }
    }

    fn is_declared(&self, definition: &Definition) -> bool {
        let stream = definition.stream();
        self.streams.get(&(stream.metric().clone(), stream.version())) == Some(definition.params())
    }
}

impl Store for MemoryStore {
    fn declare(&self, definitions: &[&Definition]) -> Result<(), StoreError> {
        let mut content = self.lock();
        let mut streams = content.streams.clone();
        for definition in definitions {
            let (metric, version) = (definition.stream().metric().clone(), definition.stream().version());
            let held = streams.entry((metric.clone(), version)).or_insert(*definition.params());
            if held != definition.params() {
                return Err(StoreError::OtherParameters { dir: Path::new("memory").into(), metric, version });
            }
        }
        content.streams = streams;
        Ok(())
    }

    fn commit(&self, batches: &[Accepted], open_from: Epoch) -> Result<Vec<Outcome>, StoreError> {
        let mut content = self.lock();
        for section in batches.iter().flat_map(Accepted::sections) {
            if !content.is_declared(&section.definition) {
                let (metric, version) =
                    (section.definition.stream().metric().clone(), section.definition.stream().version());
                return Err(StoreError::OtherParameters { dir: Path::new("memory").into(), metric, version });
            }
        }
        content.open_from = content.open_from.max(open_from.0);
        let floor = Epoch(content.open_from);
        content.ids.retain(|(newest, _)| *newest >= floor);
        let mut outcomes = Vec::with_capacity(batches.len());
        for batch in batches {
            let outcome = content.decide(batch);
            if outcome == Outcome::Counted {
                let newest = batch.epochs().map_or(floor, |(_, newest)| newest);
                content.ids.insert((newest, batch.id()));
                content.add(batch);
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    fn open_from(&self) -> Result<Epoch, StoreError> {
        Ok(Epoch(self.lock().open_from))
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn holdings(&self) -> Result<Vec<Holding>, StoreError> {
        let mut totals = BTreeMap::<_, u64>::new();
        for ((metric, version, epoch, _), (reports, _)) in &self.lock().rows {
            *totals.entry((metric.clone(), *version, *epoch)).or_default() += reports;
        }
        let holding = |((metric, version, epoch), reports)| Holding { metric, version, epoch, reports };
        Ok(totals.into_iter().map(holding).collect())
    }

    fn streams(&self) -> Result<Streams, StoreError> {
        Ok(self.lock().streams.clone())
    }

    fn counts(
        &self,
        metric: &MetricId,
        version: u32,
        epochs: RangeInclusive<Epoch>,
    ) -> Result<Counts, StoreError> {
        let content = self.lock();
        let Some(params) = content.streams.get(&(metric.clone(), version)) else {
            let metric = metric.clone();
            return Err(StoreError::UnknownStream { dir: Path::new("memory").into(), metric, version });
        };
        let k = params.bits();
        let (mut reports, mut ones) = (vec![0; params.cohorts()], vec![0; params.cohorts() * k]);
        let keys = (metric.clone(), version, *epochs.start(), 0)
            ..=(metric.clone(), version, *epochs.end(), u16::MAX);
        for ((_, _, _, cohort), row) in content.rows.range(keys) {
            let cohort = usize::from(*cohort);
            reports[cohort] += row.0;
            ones[cohort * k..][..k].iter_mut().zip(&row.1).for_each(|(sum, count)| *sum += count);
        }
        Ok(Counts::new(k, reports, ones).expect("no row has a bit in more reports than there are"))
    }
}
