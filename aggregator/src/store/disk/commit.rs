//! What is written: catalogs, and batches as they become sums.

use std::collections::BTreeMap;

use deniable::Epoch;
use redb::{ReadableTable, Table, TableHandle, WriteTransaction};

use super::super::accepted::{Accepted, AcceptedSection};
use super::super::layout::{
    self, CellKey, FLOOR_KEY, META, PlaceKey, REGISTRIES, REPORTS, ROWS, ReportKey, Row, RowKey, STREAMS,
    TOTALS, VOLUMES,
};
use super::super::public::Public;
use super::super::{Outcome, StoreError};
use super::DiskStore;
use super::ids::Spans;
use crate::catalog::{Catalog, Definition};
use crate::guard::Volume;

/// The reports of a place that arrived together: cohort and bits of each, sorted by cohort, and by bits if they are kept.
type Records<'a> = Vec<(u16, &'a [u8])>;

impl DiskStore {
    pub(super) fn insert_catalog(&self, catalog: &Catalog) -> Result<(), StoreError> {
        let held = self.streams_in(&self.read()?)?;
        let txn = self.begin()?;
        for definition in catalog.definitions() {
            let stream = definition.stream();
            let key = (stream.metric().clone(), stream.version());
            match held.get(&key) {
                Some(params) if params == definition.params() => {}
                Some(_) => return Err(self.other_parameters(definition)),
                None => self.insert_stream(&txn, definition)?,
            }
        }
        let registry = catalog.registry();
        let public = serde_json::to_string(&Public::of(registry)).expect("text and lists have a JSON form");
        self.run(|| {
            let value = (&registry.catalog()[..], public.as_str());
            txn.open_table(REGISTRIES)?.insert(&registry.hash().0, value)?;
            Ok(txn.commit()?)
        })
    }

    fn insert_stream(&self, txn: &WriteTransaction, definition: &Definition) -> Result<(), StoreError> {
        let stream = definition.stream();
        let params = serde_json::to_string(definition.params()).expect("parameters have a JSON form");
        self.run(|| {
            let key = (stream.metric().as_str(), stream.version());
            txn.open_table(STREAMS)?.insert(key, (&stream.fingerprint().0, params.as_str()))?;
            Ok(())
        })
    }

    pub(super) fn commit_group(
        &self,
        batches: &[Accepted],
        open_from: Epoch,
    ) -> Result<Vec<Outcome>, StoreError> {
        let txn = self.begin()?;
        let (open_from, closed) = self.close(&txn, open_from)?;
        let outcomes = self.insert_ids(&txn, batches, open_from)?;
        let fresh: Vec<_> = batches
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| **outcome == Outcome::Counted)
            .flat_map(|(batch, _)| batch.sections().iter().map(|section| (batch.source(), section)))
            .collect();
        if closed || !fresh.is_empty() {
            self.add(&txn, &fresh)?;
            self.run(|| Ok(txn.commit()?))?;
        }
        Ok(outcomes)
    }

    /// Closes the epochs before `open_from` and forgets the ids that only they need. Returns the oldest epoch that is
    /// open now, and whether that has changed.
    fn close(&self, txn: &WriteTransaction, open_from: Epoch) -> Result<(Epoch, bool), StoreError> {
        self.run(|| {
            let mut meta = txn.open_table(META)?;
            let floor = meta.get(FLOOR_KEY)?.map_or(0, |floor| floor.value());
            if open_from.0 <= floor {
                return Ok((Epoch(floor), false));
            }
            meta.insert(FLOOR_KEY, open_from.0)?;
            for table in txn.list_tables()?.collect::<Vec<_>>() {
                if layout::last_epoch(table.name()).is_some_and(|last| last < open_from.0) {
                    txn.delete_table(table)?;
                }
            }
            Ok((open_from, true))
        })
    }

    /// Decides of each batch whether it is counted, and notes the ids of those that are.
    fn insert_ids(
        &self,
        txn: &WriteTransaction,
        batches: &[Accepted],
        open_from: Epoch,
    ) -> Result<Vec<Outcome>, StoreError> {
        self.run(|| {
            let mut spans = Spans::open(txn)?;
            let mut outcomes = Vec::with_capacity(batches.len());
            for batch in batches {
                let outcome = match batch.epochs() {
                    _ if spans.contain(&batch.id().0)? => Outcome::Duplicate,
                    Some((oldest, _)) if oldest < open_from => Outcome::Closed,
                    epochs => {
                        let newest = epochs.map_or(open_from, |(_, newest)| newest);
                        spans.insert(txn, newest, &batch.id().0)?;
                        Outcome::Counted
                    }
                };
                outcomes.push(outcome);
            }
            Ok(outcomes)
        })
    }

    /// Adds reports, each with its source, to their rows. Each row is read and written once, in the order of its key,
    /// whatever the order and number of the batches.
    fn add(&self, txn: &WriteTransaction, sections: &[(&str, &AcceptedSection)]) -> Result<(), StoreError> {
        let mut by_place = BTreeMap::<_, Vec<&AcceptedSection>>::new();
        for (source, section) in sections {
            let place = (section.definition.stream(), section.epoch, *source, &*section.tags);
            by_place.entry(place).or_default().push(section);
        }
        let streams = self.run(|| Ok(txn.open_table(STREAMS)?))?;
        let mut adder = self.run(|| Adder::open(txn))?;
        for ((stream, epoch, source, tags), sections) in by_place {
            let (metric, version) = (stream.metric().as_str(), stream.version());
            let definition = &sections[0].definition;
            let stored = self.run(|| Ok(streams.get((metric, version))?.map(|held| *held.value().0)))?;
            if stored != Some(stream.fingerprint().0) {
                return Err(self.other_parameters(definition));
            }
            let mut records: Records<'_> = sections.iter().flat_map(|section| section.records()).collect();
            if definition.keeps_reports() {
                records.sort_unstable();
            } else {
                records.sort_unstable_by_key(|&(cohort, _)| cohort);
            }
            let place = (metric, version, epoch.0, source, tags);
            adder.add_total(self, place, records.len() as u64)?;
            let ones = definition.ones();
            let improbable = records.iter().filter(|(_, bits)| ones.is_improbable(bits)).count();
            adder.add_volume(
                self,
                place,
                Volume { reports: records.len() as u64, improbable: improbable as u64 },
            )?;
            adder.add_rows(self, place, stream.bits(), &records)?;
            if definition.keeps_reports() {
                self.run(|| adder.keep(place, &records))?;
            }
        }
        Ok(())
    }

    fn other_parameters(&self, definition: &Definition) -> StoreError {
        let stream = definition.stream();
        let (dir, metric) = (self.dir.clone(), stream.metric().clone());
        StoreError::OtherParameters { dir, metric, version: stream.version() }
    }
}

/// The tables that reports are added to.
struct Adder<'txn> {
    rows: Table<'txn, RowKey<'static>, &'static [u8]>,
    totals: Table<'txn, PlaceKey<'static>, u64>,
    volumes: Table<'txn, CellKey<'static>, (u64, u64)>,
    reports: Table<'txn, ReportKey<'static>, u64>,
    row: Row,
    bytes: Vec<u8>,
}

impl<'txn> Adder<'txn> {
    fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        let (rows, totals) = (txn.open_table(ROWS)?, txn.open_table(TOTALS)?);
        let (volumes, reports) = (txn.open_table(VOLUMES)?, txn.open_table(REPORTS)?);
        Ok(Self { rows, totals, volumes, reports, row: Row::default(), bytes: Vec::new() })
    }

    fn add_total(&mut self, store: &DiskStore, place: PlaceKey<'_>, reports: u64) -> Result<(), StoreError> {
        store.run(|| {
            let total = self.totals.get(place)?.map_or(0, |total| total.value()) + reports;
            Ok(self.totals.insert(place, total).map(drop)?)
        })
    }

    fn add_volume(
        &mut self,
        store: &DiskStore,
        (metric, version, epoch, source, _): PlaceKey<'_>,
        more: Volume,
    ) -> Result<(), StoreError> {
        let key = (metric, version, epoch, source);
        store.run(|| {
            let (reports, improbable) = self.volumes.get(key)?.map_or((0, 0), |held| held.value());
            let sum = (reports + more.reports, improbable + more.improbable);
            Ok(self.volumes.insert(key, sum).map(drop)?)
        })
    }

    fn add_rows(
        &mut self,
        store: &DiskStore,
        (metric, version, epoch, source, tags): PlaceKey<'_>,
        bits: usize,
        records: &Records<'_>,
    ) -> Result<(), StoreError> {
        for reports in records.chunk_by(|a, b| a.0 == b.0) {
            let key = (metric, version, epoch, source, tags, reports[0].0);
            match store.run(|| Ok(self.rows.get(key)?))? {
                Some(stored) => self
                    .row
                    .read(bits, stored.value())
                    .ok_or_else(|| store.damaged(format!("the row {key:?}")))?,
                None => self.row.clear(bits),
            }
            self.row.add(reports.iter().map(|(_, bits)| *bits));
            self.row.write(&mut self.bytes);
            store.run(|| Ok(self.rows.insert(key, self.bytes.as_slice()).map(drop)?))?;
        }
        Ok(())
    }

    /// Keeps reports as such, equal ones together.
    fn keep(
        &mut self,
        (metric, version, epoch, source, tags): PlaceKey<'_>,
        records: &Records<'_>,
    ) -> Result<(), redb::Error> {
        for equal in records.chunk_by(|a, b| a == b) {
            let (cohort, bits) = equal[0];
            let key = (metric, version, epoch, source, tags, cohort, bits);
            let times = self.reports.get(key)?.map_or(0, |times| times.value());
            self.reports.insert(key, times + equal.len() as u64)?;
        }
        Ok(())
    }
}
