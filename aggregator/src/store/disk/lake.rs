//! What the store knows of the lake: which epochs are moving there and which are moved, and where it is.
//!
//! An epoch is moved in one transaction, which drops its rows. So a reader who learns from one transaction what is moved
//! and what is held here misses nothing and counts nothing twice.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use deniable::{Epoch, MetricId, Params, fits};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::super::layout::{FLOOR_KEY, LAKE, LAKE_PLACE, META, REPORTS, ROWS};
use super::super::{Place, Selection, Store, StoreError, Sums, Tags};
use super::DiskStore;
use super::read::KnownTags;
use crate::lake::{Cells, Content, File, Kind, Lake, LakeError, Move, Partition, Row, TakeRow};

impl DiskStore {
    /// The same store with a lake, from which it reads what was moved.
    #[must_use]
    pub fn with_lake(self, lake: Lake) -> Self {
        Self { lake: Some(lake), ..self }
    }

    /// The lake that it reads from.
    pub fn lake(&self) -> Option<&Lake> {
        self.lake.as_ref()
    }

    /// Where epochs were moved to last; none if none ever was.
    ///
    /// # Errors
    /// A [`StoreError`] if it cannot be read.
    pub fn lake_place(&self) -> Result<Option<String>, StoreError> {
        let txn = self.read()?;
        self.run(|| Ok(txn.open_table(LAKE_PLACE)?.get(())?.map(|place| place.value().to_owned())))
    }

    /// The epochs that are moving or moved.
    ///
    /// # Errors
    /// A [`StoreError`] if they cannot be read or are damaged.
    pub fn moves(&self) -> Result<BTreeMap<Partition, Move>, StoreError> {
        self.moves_in(&self.read()?)
    }

    /// The closed epochs that are not moved, each with its parameters.
    ///
    /// # Errors
    /// A [`StoreError`] if they cannot be read or are damaged.
    pub fn unmoved(&self) -> Result<BTreeMap<Partition, Params>, StoreError> {
        let txn = self.read()?;
        let (streams, moves, open_from) = (self.streams_in(&txn)?, self.moves_in(&txn)?, self.open_from()?);
        let mut unmoved = BTreeMap::new();
        for (metric, version, epoch, ..) in self.totals_in(&txn)?.into_keys() {
            let params = streams.get(&(metric.clone(), version)).copied();
            let partition = Partition { metric, version, epoch };
            if epoch < open_from && moves.get(&partition).is_none_or(|entry| !entry.is_moved()) {
                let undeclared = || self.damaged(format!("the total of {partition}, which is not declared,"));
                let params = params.ok_or_else(undeclared)?;
                unmoved.insert(partition, params);
            }
        }
        Ok(unmoved)
    }

    /// Lets one move epochs at a time.
    pub(crate) fn moving(&self) -> MutexGuard<'_, ()> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over the rows of an epoch that are held here, in the order of their places.
    pub(crate) fn each_held(
        &self,
        kind: Kind,
        partition: &Partition,
        take: &mut TakeRow<'_>,
    ) -> Result<(), LakeError> {
        let txn = self.read()?;
        let stream = (&partition.metric, partition.version);
        let selection = Selection::of_epochs(partition.epoch..=partition.epoch);
        let (mut taken, mut text) = (Ok(()), TextOfTags::default());
        let mut hand = |place: &Place<'_>, reports: u64, cells: Cells<'_>| {
            if taken.is_ok() {
                let tags = text.of(place.tags);
                taken = take(&Row { source: place.source, tags, cohort: place.cohort, reports, cells });
            }
        };
        match kind {
            Kind::Counts => self.each_row_in(&txn, stream, &selection, &mut |place, sums| {
                hand(place, sums.reports, Cells::Ones(sums.ones));
            }),
            Kind::Reports => self.each_report_in(&txn, stream, &selection, &mut |place, bits, times| {
                hand(place, times, Cells::Bits(bits));
            }),
        }?;
        taken
    }

    /// Notes, durably, that the lake has another place.
    pub(crate) fn remember_lake(&self, place: &str) -> Result<(), StoreError> {
        let txn = self.begin()?;
        self.run(|| {
            txn.open_table(LAKE_PLACE)?.insert((), place)?;
            Ok(txn.commit()?)
        })
    }

    /// Notes, durably, that an epoch is moving to the lake at `place`.
    pub(crate) fn begin_move(
        &self,
        partition: &Partition,
        entry: &Move,
        place: &str,
    ) -> Result<(), StoreError> {
        let txn = self.begin()?;
        self.check_unmoved(&txn, partition)?;
        self.run(|| Ok(txn.open_table(LAKE_PLACE)?.insert((), place).map(drop)?))?;
        self.note_move(&txn, partition, entry)?;
        self.run(|| Ok(txn.commit()?))
    }

    /// Notes that an epoch is moved, and drops its rows, in one durable transaction.
    pub(crate) fn finish_move(&self, partition: &Partition, entry: Move) -> Result<(), StoreError> {
        let txn = self.begin()?;
        self.check_unmoved(&txn, partition)?;
        let dropped = self.run(|| drop_epoch(&txn, partition))?;
        let written = (entry.counts.rows(), entry.reports.as_ref().map_or(0, Content::rows));
        if dropped != written {
            // The transaction ends here, and nothing is dropped.
            return Err(self
                .damaged(format!("{partition} has {dropped:?} rows where {written:?} were moved, and so")));
        }
        self.note_move(&txn, partition, &entry.moved())?;
        self.run(|| Ok(txn.commit()?))
    }

    fn note_move(
        &self,
        txn: &WriteTransaction,
        partition: &Partition,
        entry: &Move,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(entry).expect("a move has a JSON form");
        let key = (partition.metric.as_str(), partition.version, partition.epoch.0);
        self.run(|| Ok(txn.open_table(LAKE)?.insert(key, text.as_str()).map(drop)?))
    }

    /// Checks that an epoch takes no reports any more, and is still held here.
    fn check_unmoved(&self, txn: &WriteTransaction, partition: &Partition) -> Result<(), StoreError> {
        let key = (partition.metric.as_str(), partition.version, partition.epoch.0);
        let (open_from, text) = self.run(|| {
            let open_from = txn.open_table(META)?.get(FLOOR_KEY)?.map_or(0, |floor| floor.value());
            let text = txn.open_table(LAKE)?.get(key)?.map(|text| text.value().to_owned());
            Ok((open_from, text))
        })?;
        let is_moved = match text {
            Some(text) => self.parse(partition, &text)?.is_moved(),
            None => false,
        };
        if is_moved || partition.epoch.0 >= open_from {
            return Err(self.damaged(format!("the note on {partition}, which cannot be moved now,")));
        }
        Ok(())
    }

    pub(super) fn moves_in(&self, txn: &ReadTransaction) -> Result<BTreeMap<Partition, Move>, StoreError> {
        let mut moves = BTreeMap::new();
        let entries = self.run(|| Ok(txn.open_table(LAKE)?.range::<(&str, u32, u32)>(..)?))?;
        for entry in entries {
            let (key, text) = self.run(|| Ok(entry?))?;
            let (name, version, epoch) = key.value();
            let metric =
                MetricId::new(name).map_err(|_| self.damaged(format!("the note {:?}", key.value())))?;
            let partition = Partition { metric, version, epoch: Epoch(epoch) };
            let entry = self.parse(&partition, text.value())?;
            moves.insert(partition, entry);
        }
        Ok(moves)
    }

    fn parse(&self, partition: &Partition, text: &str) -> Result<Move, StoreError> {
        let damaged = |_| self.damaged(format!("the note on {partition}"));
        serde_json::from_str(text).map_err(damaged)
    }

    pub(super) fn each_moved_row(
        &self,
        txn: &ReadTransaction,
        stream: (&MetricId, u32),
        selection: &Selection,
        show: &mut dyn FnMut(&Place<'_>, &Sums<'_>),
    ) -> Result<(), StoreError> {
        self.each_moved(txn, Kind::Counts, stream, selection, &mut |params, place, row| {
            let Cells::Ones(ones) = row.cells else { return false };
            let fits =
                usize::from(row.cohort) < params.cohorts() && ones.iter().all(|count| *count <= row.reports);
            if fits {
                show(place, &Sums { reports: row.reports, ones });
            }
            fits
        })
    }

    pub(super) fn each_moved_report(
        &self,
        txn: &ReadTransaction,
        stream: (&MetricId, u32),
        selection: &Selection,
        show: &mut dyn FnMut(&Place<'_>, &[u8], u64),
    ) -> Result<(), StoreError> {
        self.each_moved(txn, Kind::Reports, stream, selection, &mut |params, place, row| {
            let Cells::Bits(bits) = row.cells else { return false };
            let fits = fits(params, row.cohort, bits);
            if fits {
                show(place, bits, row.reports);
            }
            fits
        })
    }

    /// Shows each moved row that a selection takes. `show` says whether it fits the parameters.
    fn each_moved(
        &self,
        txn: &ReadTransaction,
        kind: Kind,
        (metric, version): (&MetricId, u32),
        selection: &Selection,
        show: &mut dyn FnMut(&Params, &Place<'_>, &Row<'_>) -> bool,
    ) -> Result<(), StoreError> {
        let params = self.params_in(txn, metric, version)?;
        for (partition, moved) in self.moves_in(txn)? {
            let is_meant = (&partition.metric, partition.version) == (metric, version)
                && selection.epochs().contains(&partition.epoch);
            let Some(content) = moved.content(kind).filter(|_| is_meant && moved.is_moved()) else {
                continue;
            };
            let lake = self.lake_of(&partition)?;
            let file = File { kind, partition: &partition, params: &params, content };
            let (epoch, known) = (partition.epoch, RefCell::new(KnownTags::default()));
            let takes = |source: &str, tags: &str| {
                known.borrow_mut().parse(tags).is_none_or(|tags| selection.takes(metric, epoch, source, tags))
            };
            lake.each_row(&file, takes, |row| {
                let mut known = known.borrow_mut();
                let fits = known.parse(row.tags).is_some_and(|tags| {
                    show(&params, &Place { epoch, source: row.source, tags, cohort: row.cohort }, row)
                });
                if fits { Ok(()) } else { Err(file.damaged(lake, "a row does not fit the parameters")) }
            })?;
        }
        Ok(())
    }

    fn lake_of(&self, partition: &Partition) -> Result<&Lake, StoreError> {
        let (dir, partition) = (self.dir.clone(), partition.to_string());
        match &self.lake {
            Some(lake) => Ok(lake),
            None => Err(StoreError::InLake { dir, partition, place: self.lake_place()?.unwrap_or_default() }),
        }
    }
}

/// Drops the rows and reports of an epoch, and says how many there were of each.
fn drop_epoch(txn: &WriteTransaction, partition: &Partition) -> Result<(u64, u64), redb::Error> {
    let (name, version, epoch) = (partition.metric.as_str(), partition.version, partition.epoch.0);
    let (mut rows, mut reports) = (0, 0);
    let rows_from = |epoch| (name, version, epoch, "", "", 0);
    // A closed epoch is not the last.
    txn.open_table(ROWS)?.retain_in(rows_from(epoch)..rows_from(epoch + 1), |_, _| {
        rows += 1;
        false
    })?;
    let reports_from = |epoch| (name, version, epoch, "", "", 0, &[][..]);
    txn.open_table(REPORTS)?.retain_in(reports_from(epoch)..reports_from(epoch + 1), |_, _| {
        reports += 1;
        false
    })?;
    Ok((rows, reports))
}

/// The text of the tags that were written last: neighbours mostly have the same.
#[derive(Default)]
struct TextOfTags(Option<(Tags, String)>);

impl TextOfTags {
    fn of(&mut self, tags: &Tags) -> &str {
        if self.0.as_ref().is_none_or(|(known, _)| known != tags) {
            self.0 = None;
        }
        &self.0.get_or_insert_with(|| (tags.clone(), tags.to_string())).1
    }
}
