//! The check of everything that is stored, against itself.

use std::collections::BTreeMap;

use deniable::registry::RegistryHash;
use deniable::{Epoch, MetricId, Params};
use redb::{ReadTransaction, ReadableTableMetadata, TableHandle};
use sha2::{Digest, Sha256};

use super::super::boundary::caught;
use super::super::layout::{self, REGISTRIES, REPORTS, ROWS};
use super::super::{Place, Selection, StoreError, Tags};
use super::read::Held;
use super::volumes::HeldCell;
use super::{DiskStore, cannot_open};

/// What a sound store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Reports that are counted.
    pub reports: u64,
    /// Rows of sums.
    pub rows: u64,
    /// Those of the reports that are kept as such, too.
    pub kept: u64,
    /// Reports that were moved to the lake, which this does not read.
    pub moved: u64,
    /// Ids of batches that would be recognized.
    pub batch_ids: u64,
}

/// The epoch, source, tags and cohort of a row, with its sums.
type Rows = BTreeMap<(Epoch, String, Tags, u16), (u64, Vec<u64>)>;

impl DiskStore {
    /// Reads everything that is stored, and compares each sum with its parts.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if something is not as it was written.
    pub fn verify(mut self) -> Result<Verified, StoreError> {
        let dir = self.dir.clone();
        let checked = || self.db.check_integrity().map_err(|error| cannot_open(&dir, error));
        if !caught(&dir, checked)? {
            return Err(
                self.damaged("a page that differs from its checksum, or the list of free pages".into())
            );
        }
        caught(&dir, || self.verify_content())
    }

    fn verify_content(&self) -> Result<Verified, StoreError> {
        let txn = self.read()?;
        self.verify_registries(&txn)?;
        let mut sums = BTreeMap::<Held, u64>::new();
        let (mut rows, mut kept, mut different) = (0, 0, 0);
        for ((metric, version), params) in self.streams_in(&txn)? {
            let mut of_reports = self.sums_of_reports(&txn, (&metric, version), &params)?;
            different += of_reports.different;
            kept += of_reports.rows.values().map(|(reports, _)| reports).sum::<u64>();
            self.each_row_in(&txn, (&metric, version), &Selection::all(), &mut |place, sum| {
                rows += 1;
                let (epoch, source, tags) = (place.epoch, place.source.to_owned(), place.tags.clone());
                if let Some((reports, ones)) = of_reports.rows.get(&key(place)) {
                    let within = ones.iter().zip(sum.ones).all(|(part, whole)| part <= whole);
                    if within && *reports <= sum.reports {
                        of_reports.rows.remove(&key(place));
                    }
                }
                *sums.entry((metric.clone(), version, epoch, source, tags)).or_default() += sum.reports;
            })?;
            if !of_reports.rows.is_empty() {
                let what = format!(
                    "the reports that are kept of {metric} version {version}, which are not in its rows,"
                );
                return Err(self.damaged(what));
            }
        }
        self.verify_lengths(&txn, rows, different)?;
        let mut totals = self.totals_in(&txn)?;
        let moved = self.verify_moved(&txn, &mut totals)?;
        if totals != sums {
            return Err(self.damaged("a total that is not the sum of its rows".into()));
        }
        self.verify_volumes(&txn, &sums)?;
        self.left_out_in(&txn)?;
        Ok(Verified { reports: sums.values().sum(), rows, kept, moved, batch_ids: self.batch_ids(&txn)? })
    }

    /// Takes the totals of moved epochs out of `totals`, compares them with what was moved, and returns their sum.
    fn verify_moved(
        &self,
        txn: &ReadTransaction,
        totals: &mut BTreeMap<Held, u64>,
    ) -> Result<u64, StoreError> {
        let mut all = 0;
        for (partition, moved) in self.moves_in(txn)?.into_iter().filter(|(_, entry)| entry.is_moved()) {
            let of = |(metric, version, epoch, ..): &Held| {
                (metric, *version, *epoch) == (&partition.metric, partition.version, partition.epoch)
            };
            let mut held = 0;
            totals.retain(|place, reports| {
                let is_moved = of(place);
                held += if is_moved { *reports } else { 0 };
                !is_moved
            });
            if held != moved.counts.reports() {
                return Err(self.damaged(format!("the total of {partition}, which was moved,")));
            }
            all += held;
        }
        Ok(all)
    }

    /// Compares the volume of each cell that has rows with their reports. Those of epochs that are elsewhere have none.
    fn verify_volumes(&self, txn: &ReadTransaction, sums: &BTreeMap<Held, u64>) -> Result<(), StoreError> {
        let mut cells = BTreeMap::<HeldCell, u64>::new();
        for ((metric, version, epoch, source, _), reports) in sums {
            *cells.entry((metric.clone(), *version, *epoch, source.clone())).or_default() += reports;
        }
        self.each_volume_in(txn, ("", 0, 0, ""), &mut |cell, volume| {
            if cells.get(&cell) == Some(&volume.reports) {
                cells.remove(&cell);
            }
            true
        })?;
        match cells.first_key_value() {
            None => Ok(()),
            Some((cell, _)) => {
                Err(self.damaged(format!("the volume {cell:?}, which is not the sum of its rows,")))
            }
        }
    }

    /// Compares each catalog with its name.
    fn verify_registries(&self, txn: &ReadTransaction) -> Result<(), StoreError> {
        self.registries_in(txn)?;
        let entries = self.run(|| Ok(txn.open_table(REGISTRIES)?.range::<&[u8; 8]>(..)?))?;
        for entry in entries {
            let (hash, value) = self.run(|| Ok(entry?))?;
            if !Sha256::digest(value.value().0).starts_with(hash.value()) {
                return Err(self.damaged(format!("the catalog of registry {}", RegistryHash(*hash.value()))));
            }
        }
        Ok(())
    }

    fn sums_of_reports(
        &self,
        txn: &ReadTransaction,
        stream: (&MetricId, u32),
        params: &Params,
    ) -> Result<Kept, StoreError> {
        let mut kept = Kept { rows: Rows::new(), different: 0 };
        self.each_report_in(txn, stream, &Selection::all(), &mut |place, bits, times| {
            kept.different += 1;
            let (reports, ones) = kept.rows.entry(key(place)).or_insert_with(|| (0, vec![0; params.bits()]));
            *reports += times;
            let set = |bit: &usize| bits[bit / 8] >> (bit % 8) & 1 == 1;
            (0..params.bits()).filter(set).for_each(|bit| ones[bit] += times);
        })?;
        Ok(kept)
    }

    /// Compares how many rows and reports there are with how many belong to a metric.
    fn verify_lengths(&self, txn: &ReadTransaction, rows: u64, reports: u64) -> Result<(), StoreError> {
        let all_rows = self.run(|| Ok(txn.open_table(ROWS)?.len()?))?;
        if all_rows != rows {
            return Err(self.damaged(format!("{} rows of metrics that are not declared", all_rows - rows)));
        }
        let all_reports = self.run(|| Ok(txn.open_table(REPORTS)?.len()?))?;
        if all_reports != reports {
            let beyond = all_reports - reports;
            return Err(self.damaged(format!("{beyond} reports to metrics that are not declared")));
        }
        Ok(())
    }

    fn batch_ids(&self, txn: &ReadTransaction) -> Result<u64, StoreError> {
        self.run(|| {
            let mut ids = 0;
            for table in txn.list_tables()?.filter(|table| layout::last_epoch(table.name()).is_some()) {
                ids += txn.open_table(layout::ids(table.name()))?.len()?;
            }
            Ok(ids)
        })
    }
}

/// The sums of the reports that are kept, and how many different ones there are.
struct Kept {
    rows: Rows,
    different: u64,
}

fn key(place: &Place<'_>) -> (Epoch, String, Tags, u16) {
    (place.epoch, place.source.to_owned(), place.tags.clone(), place.cohort)
}
