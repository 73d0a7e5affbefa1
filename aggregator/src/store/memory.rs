//! A store in memory, for tests of what is built on a store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use deniable::{BatchId, Epoch, MetricId, Params};

use super::accepted::Accepted;
use super::fold::add_reports;
use super::public::{Public, Tags};
use super::{
    Aside, Holding, LeftOut, Outcome, Place, Registries, Selection, Store, StoreError, Streams, Sums,
};
use crate::catalog::{Catalog, Definition};
use crate::guard::Volumes;

/// A store that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    streams: Streams,
    registries: Registries,
    /// As [`Epoch`].
    open_from: u32,
    /// With the newest epoch that a batch counts.
    ids: BTreeSet<(Epoch, BatchId)>,
    /// Reports, and those of them that set each bit.
    rows: BTreeMap<RowKey, (u64, Vec<u64>)>,
    volumes: BTreeMap<(MetricId, u32), Volumes>,
    left_out: LeftOut,
    /// Reports that are kept, with their bits, and how many equal ones there are.
    reports: BTreeMap<(RowKey, Vec<u8>), u64>,
}

/// Metric, version, epoch, source, tags and cohort.
type RowKey = (MetricId, u32, Epoch, String, Tags, u16);

fn place((_, _, epoch, source, tags, cohort): &RowKey) -> Place<'_> {
    Place { epoch: *epoch, source, tags, cohort: *cohort }
}

impl MemoryStore {
    /// The content, whether or not somebody panicked with it: each change of it is complete.
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn add(&mut self, batch: &Accepted) {
        for section in batch.sections() {
            let (stream, source) = (section.definition.stream(), batch.source().to_owned());
            let tags = Tags::parse(&section.tags).expect("the tags of a checked section are canonical");
            let place = (stream.metric().clone(), stream.version(), section.epoch, source, tags);
            let sources = self.volumes.entry((place.0.clone(), place.1)).or_default();
            let volume = sources.entry(place.3.clone()).or_default().entry(place.2).or_default();
            for (cohort, bits) in section.records() {
                volume.reports += 1;
                volume.improbable += u64::from(section.definition.ones().is_improbable(bits));
                let (metric, version, epoch, source, tags) = place.clone();
                let key = (metric, version, epoch, source, tags, cohort);
                let row = self.rows.entry(key.clone());
                let (reports, ones) = row.or_insert_with(|| (0, vec![0; stream.bits()]));
                *reports += add_reports(ones, [bits]);
                if section.definition.keeps_reports() {
                    *self.reports.entry((key, bits.to_vec())).or_default() += 1;
                }
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

    fn params(&self, metric: &MetricId, version: u32) -> Result<Params, StoreError> {
        self.streams.get(&(metric.clone(), version)).copied().ok_or_else(|| StoreError::UnknownStream {
            dir: Path::new("memory").into(),
            metric: metric.clone(),
            version,
        })
    }

    fn is_declared(&self, definition: &Definition) -> bool {
        let stream = definition.stream();
        self.streams.get(&(stream.metric().clone(), stream.version())) == Some(definition.params())
    }
}

impl Store for MemoryStore {
    fn declare(&self, catalog: &Catalog) -> Result<(), StoreError> {
        let mut content = self.lock();
        let mut streams = content.streams.clone();
        for definition in catalog.definitions() {
            let (metric, version) = (definition.stream().metric().clone(), definition.stream().version());
            let held = streams.entry((metric.clone(), version)).or_insert(*definition.params());
            if held != definition.params() {
                return Err(StoreError::OtherParameters { dir: Path::new("memory").into(), metric, version });
            }
        }
        content.streams = streams;
        let registry = catalog.registry();
        content.registries.extend([(registry.hash(), Public::of(registry))]);
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

    fn copy(&self) -> Result<(File, u64), StoreError> {
        Err(StoreError::NotOnDisk)
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn holdings(&self, selection: &Selection) -> Result<Vec<Holding>, StoreError> {
        let mut totals = BTreeMap::<_, u64>::new();
        for ((metric, version, epoch, source, tags, _), (reports, _)) in &self.lock().rows {
            if selection.takes(metric, *epoch, source, tags) {
                *totals.entry((metric.clone(), *version, *epoch)).or_default() += reports;
            }
        }
        let holding = |((metric, version, epoch), reports)| Holding { metric, version, epoch, reports };
        Ok(totals.into_iter().map(holding).collect())
    }

    fn streams(&self) -> Result<Streams, StoreError> {
        Ok(self.lock().streams.clone())
    }

    fn registries(&self) -> Result<Registries, StoreError> {
        Ok(self.lock().registries.clone())
    }

    fn params(&self, metric: &MetricId, version: u32) -> Result<Params, StoreError> {
        self.lock().params(metric, version)
    }

    fn volumes(&self, metric: &MetricId, version: u32) -> Result<Volumes, StoreError> {
        let content = self.lock();
        content.params(metric, version)?;
        Ok(content.volumes.get(&(metric.clone(), version)).cloned().unwrap_or_default())
    }

    fn left_out(&self) -> Result<LeftOut, StoreError> {
        Ok(self.lock().left_out.clone())
    }

    fn set_aside(&self, what: &Aside) -> Result<bool, StoreError> {
        Ok(self.lock().left_out.insert(what.clone()))
    }

    fn take_back(&self, what: &Aside) -> Result<bool, StoreError> {
        Ok(self.lock().left_out.remove(what))
    }

    fn each_row(
        &self,
        metric: &MetricId,
        version: u32,
        selection: &Selection,
        show: &mut dyn FnMut(&Place<'_>, &Sums<'_>),
    ) -> Result<(), StoreError> {
        let content = self.lock();
        content.params(metric, version)?;
        for (key, (reports, ones)) in &content.rows {
            let (of, found, epoch, source, tags, _) = key;
            if (of, *found) == (metric, version) && selection.takes(metric, *epoch, source, tags) {
                show(&place(key), &Sums { reports: *reports, ones });
            }
        }
        Ok(())
    }

    fn each_report(
        &self,
        metric: &MetricId,
        version: u32,
        selection: &Selection,
        show: &mut dyn FnMut(&Place<'_>, &[u8], u64),
    ) -> Result<(), StoreError> {
        let content = self.lock();
        content.params(metric, version)?;
        for ((key, bits), times) in &content.reports {
            let (of, found, epoch, source, tags, _) = key;
            if (of, *found) == (metric, version) && selection.takes(metric, *epoch, source, tags) {
                show(&place(key), bits, *times);
            }
        }
        Ok(())
    }
}
