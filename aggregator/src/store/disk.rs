//! The store on disk, on redb.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::{fs, io};

use deniable::{Epoch, Fingerprint, MetricId, Params};
use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, TableHandle, WriteTransaction,
};

use super::accepted::{Accepted, AcceptedSection};
use super::boundary::{Caught, caught};
use super::layout::{
    self, COUNTS, FILE, FLOOR_KEY, FORMAT, FORMAT_KEY, IDS, META, NEW_FILE, Row, SPAN_EPOCHS, STREAMS, TOTALS,
};
use super::{Holding, Outcome, Store, StoreError, Streams};
use crate::catalog::Definition;
use crate::decode::Counts;

/// Memory for pages of the database. The rows that are being counted are few; ids are looked up at random.
const CACHE_BYTES: usize = 128 << 20;

/// A directory of counts.
#[derive(Debug)]
pub struct DiskStore {
    db: Caught,
    dir: PathBuf,
}

impl DiskStore {
    /// Opens the store in `dir`, or makes a new one if `dir` is empty or does not exist.
    ///
    /// # Errors
    /// A [`StoreError`] if the directory holds something else, a store of a newer format, or one that another
    /// process holds. Such a directory is left as it was.
    pub fn create(dir: &Path) -> Result<Self, StoreError> {
        let at = |source| StoreError::Io { dir: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(at)?;
        if !dir.join(FILE).exists() {
            for entry in fs::read_dir(dir).map_err(at)? {
                let name = entry.map_err(at)?.file_name();
                if name != NEW_FILE {
                    let found = name.to_string_lossy().into_owned();
                    return Err(StoreError::NotOurs { dir: dir.to_owned(), found });
                }
            }
            return Self::make(dir);
        }
        Self::open(dir)
    }

    /// Opens the store in `dir`.
    ///
    /// # Errors
    /// As [`DiskStore::create`], and [`StoreError::NoStore`] if there is none.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let file = dir.join(FILE);
        if !file.is_file() {
            return Err(StoreError::NoStore { dir: dir.to_owned() });
        }
        let db = caught(dir, || builder().open(&file).map_err(|error| cannot_open(dir, error)))?;
        let store = Self { db: Caught::new(db), dir: dir.to_owned() };
        store.check_format()?;
        Ok(store)
    }

    /// Makes the database under its temporary name, complete and durable, and then gives it its own.
    fn make(dir: &Path) -> Result<Self, StoreError> {
        let at = |source| StoreError::Io { dir: dir.to_owned(), source };
        let new = dir.join(NEW_FILE);
        if new.exists() {
            // A crash left it unfinished, and nothing was ever counted in it; or another process is making it just now.
            match caught(dir, || builder().open(&new).map_err(|error| cannot_open(dir, error))) {
                Err(held @ StoreError::InUse { .. }) => return Err(held),
                _ => fs::remove_file(&new).map_err(at)?,
            }
        }
        let db = caught(dir, || builder().create(&new).map_err(|error| cannot_open(dir, error)))?;
        let store = Self { db: Caught::new(db), dir: dir.to_owned() };
        store.write_tables()?;
        fs::rename(&new, dir.join(FILE)).map_err(at)?;
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(at)?;
        Ok(store)
    }

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
        let txn = self.read()?;
        let mut sums = BTreeMap::<(MetricId, u32, Epoch), u64>::new();
        let mut rows = 0;
        for ((metric, version), params) in self.streams_held(&txn)? {
            let mut beyond = None;
            self.rows(
                &txn,
                &metric,
                version,
                params.bits(),
                &(Epoch(0)..=Epoch(u32::MAX)),
                |epoch, cohort, row| {
                    rows += 1;
                    *sums.entry((metric.clone(), version, epoch)).or_default() += row.reports;
                    beyond = beyond.or((usize::from(cohort) >= params.cohorts()).then_some(cohort));
                },
            )?;
            if let Some(cohort) = beyond {
                return Err(self.damaged(format!("a row of {metric} version {version} for cohort {cohort}")));
            }
        }
        let all_rows = self.run(|| Ok(txn.open_table(COUNTS)?.len()?))?;
        if all_rows != rows {
            return Err(self.damaged(format!("{} rows of metrics that are not declared", all_rows - rows)));
        }
        let totals =
            self.holdings()?.into_iter().map(|held| ((held.metric, held.version, held.epoch), held.reports));
        if totals.collect::<BTreeMap<_, _>>() != sums {
            return Err(self.damaged("a total that is not the sum of its rows".into()));
        }
        let batch_ids = self.run(|| {
            let mut ids = 0;
            for table in txn.list_tables()?.filter(|table| layout::last_epoch(table.name()).is_some()) {
                ids += txn.open_table(layout::ids(table.name()))?.len()?;
            }
            Ok(ids)
        })?;
        Ok(Verified { reports: sums.values().sum(), rows, batch_ids })
    }

    /// Gives back the space that is free inside.
    ///
    /// # Errors
    /// A [`StoreError`] if the store fails.
    pub fn compact(&mut self) -> Result<(), StoreError> {
        let dir = self.dir.clone();
        caught(&dir, || {
            let compacted = self.db.compact();
            compacted
                .map(drop)
                .map_err(|error| StoreError::Database { dir: dir.clone(), source: Box::new(error.into()) })
        })
    }

    /// The store on storage of a test's own, made anew where there is none.
    #[cfg(test)]
    pub(super) fn on(backend: impl redb::StorageBackend) -> Result<Self, StoreError> {
        let dir = Path::new("storage of a test");
        let is_new = backend.len().is_ok_and(|length| length == 0);
        let db = Database::builder().create_with_backend(backend).map_err(|error| cannot_open(dir, error))?;
        let store = Self { db: Caught::new(db), dir: dir.to_owned() };
        if is_new {
            store.write_tables()?;
        } else {
            store.check_format()?;
        }
        Ok(store)
    }

    fn write_tables(&self) -> Result<(), StoreError> {
        let txn = self.begin()?;
        self.run(|| {
            txn.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
            txn.open_table(STREAMS)?;
            txn.open_table(COUNTS)?;
            txn.open_table(TOTALS)?;
            Ok(txn.commit()?)
        })
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let format = self.run(|| {
            let table = self.db.begin_read()?.open_table(META)?;
            Ok(table.get(FORMAT_KEY)?.map(|format| format.value()))
        });
        let dir = self.dir.clone();
        match format {
            Ok(Some(FORMAT)) => Ok(()),
            Ok(Some(found)) => Err(StoreError::Format { dir, found }),
            Err(StoreError::Database { source, .. }) if is_io(&source) => {
                Err(StoreError::Database { dir, source })
            }
            Ok(None) | Err(_) => Err(StoreError::NotOurs { dir, found: FILE.to_owned() }),
        }
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

    /// Adds reports to their rows. Each row is read and written once, in the order of its key, whatever the order
    /// and number of the batches.
    fn add(&self, txn: &WriteTransaction, sections: &[&AcceptedSection]) -> Result<(), StoreError> {
        let mut by_stream = BTreeMap::<_, Vec<&AcceptedSection>>::new();
        for section in sections {
            by_stream.entry((section.definition.stream(), section.epoch)).or_default().push(section);
        }
        let streams = self.run(|| Ok(txn.open_table(STREAMS)?))?;
        let mut counts = self.run(|| Ok(txn.open_table(COUNTS)?))?;
        let mut totals = self.run(|| Ok(txn.open_table(TOTALS)?))?;
        let (mut row, mut bytes) = (Row::default(), Vec::new());
        for ((stream, epoch), sections) in by_stream {
            let (metric, version) = (stream.metric().as_str(), stream.version());
            let stored = self.run(|| Ok(streams.get((metric, version))?.map(|held| *held.value().0)))?;
            if stored != Some(stream.fingerprint().0) {
                let (dir, metric) = (self.dir.clone(), stream.metric().clone());
                return Err(StoreError::OtherParameters { dir, metric, version });
            }
            let mut records: Vec<_> = sections.iter().flat_map(|section| section.records()).collect();
            records.sort_unstable_by_key(|&(cohort, _)| cohort);
            self.run(|| {
                let key = (metric, version, epoch.0);
                let total = totals.get(key)?.map_or(0, |total| total.value()) + records.len() as u64;
                Ok(totals.insert(key, total).map(drop)?)
            })?;
            for reports in records.chunk_by(|a, b| a.0 == b.0) {
                let key = (metric, version, epoch.0, reports[0].0);
                match self.run(|| Ok(counts.get(key)?))? {
                    Some(stored) => row
                        .read(stream.bits(), stored.value())
                        .ok_or_else(|| self.damaged(format!("the row {key:?}")))?,
                    None => row.clear(stream.bits()),
                }
                row.add(reports.iter().map(|(_, bits)| *bits));
                row.write(&mut bytes);
                self.run(|| Ok(counts.insert(key, bytes.as_slice()).map(drop)?))?;
            }
        }
        Ok(())
    }

    fn streams_held(&self, txn: &ReadTransaction) -> Result<Streams, StoreError> {
        let raw = self.run(|| {
            let mut raw = Vec::new();
            for entry in txn.open_table(STREAMS)?.iter()? {
                let (key, value) = entry?;
                let ((metric, version), (fingerprint, params)) = (key.value(), value.value());
                raw.push((metric.to_owned(), version, Fingerprint(*fingerprint), params.to_owned()));
            }
            Ok(raw)
        })?;
        raw.into_iter()
            .map(|(name, version, fingerprint, params)| {
                let metric = MetricId::new(&name).ok();
                let params = serde_json::from_str(&params).ok();
                metric
                    .zip(params)
                    .filter(|(_, params): &(_, Params)| params.fingerprint() == fingerprint)
                    .map(|(metric, params)| ((metric, version), params))
                    .ok_or_else(|| self.damaged(format!("the entry of metric {name:?} version {version}")))
            })
            .collect()
    }

    fn rows(
        &self,
        txn: &ReadTransaction,
        metric: &MetricId,
        version: u32,
        bits: usize,
        epochs: &RangeInclusive<Epoch>,
        mut each: impl FnMut(Epoch, u16, &Row),
    ) -> Result<(), StoreError> {
        let name = metric.as_str();
        let keys = (name, version, epochs.start().0, 0)..=(name, version, epochs.end().0, u16::MAX);
        let range = self.run(|| Ok(txn.open_table(COUNTS)?.range(keys)?))?;
        let mut row = Row::default();
        for entry in range {
            let (key, value) = self.run(|| Ok(entry?))?;
            let (_, _, epoch, cohort) = key.value();
            row.read(bits, value.value())
                .ok_or_else(|| self.damaged(format!("the row {:?}", key.value())))?;
            each(Epoch(epoch), cohort, &row);
        }
        Ok(())
    }

    fn begin(&self) -> Result<WriteTransaction, StoreError> {
        self.run(|| {
            let mut txn = self.db.begin_write()?;
            txn.set_durability(Durability::Immediate)?;
            Ok(txn)
        })
    }

    fn read(&self) -> Result<ReadTransaction, StoreError> {
        self.run(|| Ok(self.db.begin_read()?))
    }

    /// Runs steps on the database, and names the directory if one fails.
    fn run<T>(&self, steps: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
        caught(&self.dir, || {
            steps().map_err(|error| StoreError::Database { dir: self.dir.clone(), source: Box::new(error) })
        })
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged { dir: self.dir.clone(), what }
    }
}

impl Store for DiskStore {
    fn declare(&self, definitions: &[&Definition]) -> Result<(), StoreError> {
        let held = self.streams_held(&self.read()?)?;
        let txn = self.begin()?;
        for definition in definitions {
            let stream = definition.stream();
            let key = (stream.metric().clone(), stream.version());
            match held.get(&key) {
                Some(params) if params == definition.params() => {}
                Some(_) => {
                    let (metric, version) = key;
                    return Err(StoreError::OtherParameters { dir: self.dir.clone(), metric, version });
                }
                None => self.insert_stream(&txn, definition)?,
            }
        }
        self.run(|| Ok(txn.commit()?))
    }

    fn commit(&self, batches: &[Accepted], open_from: Epoch) -> Result<Vec<Outcome>, StoreError> {
        let txn = self.begin()?;
        let (open_from, closed) = self.close(&txn, open_from)?;
        let outcomes = self.insert_ids(&txn, batches, open_from)?;
        let fresh: Vec<_> = batches
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| **outcome == Outcome::Counted)
            .flat_map(|(batch, _)| batch.sections())
            .collect();
        if closed || !fresh.is_empty() {
            self.add(&txn, &fresh)?;
            self.run(|| Ok(txn.commit()?))?;
        }
        Ok(outcomes)
    }

    fn open_from(&self) -> Result<Epoch, StoreError> {
        self.run(|| {
            let floor = self.db.begin_read()?.open_table(META)?.get(FLOOR_KEY)?;
            Ok(Epoch(floor.map_or(0, |floor| floor.value())))
        })
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        let file = fs::metadata(self.dir.join(FILE));
        file.map(|file| file.len()).map_err(|source| StoreError::Io { dir: self.dir.clone(), source })
    }

    fn holdings(&self) -> Result<Vec<Holding>, StoreError> {
        let raw = self.run(|| {
            let mut raw = Vec::new();
            for entry in self.db.begin_read()?.open_table(TOTALS)?.iter()? {
                let (key, reports) = entry?;
                let (metric, version, epoch) = key.value();
                raw.push((metric.to_owned(), version, Epoch(epoch), reports.value()));
            }
            Ok(raw)
        })?;
        raw.into_iter()
            .map(|(name, version, epoch, reports)| match MetricId::new(&name) {
                Ok(metric) => Ok(Holding { metric, version, epoch, reports }),
                Err(_) => Err(self.damaged(format!("the total of metric {name:?}"))),
            })
            .collect()
    }

    fn streams(&self) -> Result<Streams, StoreError> {
        self.streams_held(&self.read()?)
    }

    fn counts(
        &self,
        metric: &MetricId,
        version: u32,
        epochs: RangeInclusive<Epoch>,
    ) -> Result<Counts, StoreError> {
        let txn = self.read()?;
        let key = (metric.clone(), version);
        let Some(params) = self.streams_held(&txn)?.remove(&key) else {
            return Err(StoreError::UnknownStream { dir: self.dir.clone(), metric: key.0, version });
        };
        let k = params.bits();
        let (mut reports, mut ones) = (vec![0; params.cohorts()], vec![0; params.cohorts() * k]);
        let mut beyond = None;
        self.rows(&txn, metric, version, k, &epochs, |_, cohort, row| {
            let Some(total) = reports.get_mut(usize::from(cohort)) else {
                beyond = Some(cohort);
                return;
            };
            *total += row.reports;
            let sums = &mut ones[usize::from(cohort) * k..][..k];
            sums.iter_mut().zip(&row.ones).for_each(|(sum, count)| *sum += count);
        })?;
        if let Some(cohort) = beyond {
            return Err(self.damaged(format!("a row of {metric} version {version} for cohort {cohort}")));
        }
        Ok(Counts::new(k, reports, ones).expect("no row has a bit in more reports than there are"))
    }
}

/// What a sound store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Reports that are counted.
    pub reports: u64,
    /// Rows of sums.
    pub rows: u64,
    /// Ids of batches that would be recognized.
    pub batch_ids: u64,
}

/// The tables of batch ids.
struct Spans<'txn>(BTreeMap<String, redb::Table<'txn, &'static [u8; 16], ()>>);

impl<'txn> Spans<'txn> {
    fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        let mut spans = BTreeMap::new();
        for table in txn.list_tables()? {
            let name = table.name();
            if layout::last_epoch(name).is_some() {
                spans.insert(name.to_owned(), txn.open_table(layout::ids(name))?);
            }
        }
        Ok(Self(spans))
    }

    fn contain(&self, id: &[u8; 16]) -> Result<bool, redb::Error> {
        for table in self.0.values() {
            if table.get(id)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn insert(
        &mut self,
        txn: &'txn WriteTransaction,
        newest: Epoch,
        id: &[u8; 16],
    ) -> Result<(), redb::Error> {
        let name = format!("{IDS}{}", newest.0 / SPAN_EPOCHS);
        let table = match self.0.entry(name) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(free) => {
                let table = txn.open_table(layout::ids(free.key()))?;
                free.insert(table)
            }
        };
        table.insert(id, ())?;
        Ok(())
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn cannot_open(dir: &Path, error: DatabaseError) -> StoreError {
    let dir = dir.to_owned();
    match redb::Error::from(error) {
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse { dir },
        // What redb says of a file that does not begin like its own.
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            StoreError::NotOurs { dir, found: FILE.to_owned() }
        }
        error => StoreError::Database { dir, source: Box::new(error) },
    }
}

fn is_io(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(_) | redb::Error::Corrupted(_))
}
