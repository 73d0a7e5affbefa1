//! The store: counts that survive, and the ids of the batches that are in them.
//!
//! Batches go in by [`Store::commit`], many to one durable transaction, and become sums; a batch id that was seen
//! before changes nothing. [`Store::counts`] reads the sums of a metric version over epochs.
//!
//! Invariants: a batch is counted as a whole and at most once, whatever crashes in between; a metric version is
//! only ever counted under one set of parameters; nothing links the reports of a batch or tells their order.
//! `layout` describes the bytes on disk. One process at a time holds a store.

mod accepted;
mod layout;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};

use deniable::{Epoch, Fingerprint, MetricId, Params};
use redb::{
    Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction,
};
use serde::Serialize;
use thiserror::Error;

use self::accepted::AcceptedSection;
pub use self::accepted::{Accepted, Refusal};
use self::layout::{BATCHES, COUNTS, FILE, FORMAT, FORMAT_KEY, META, NEW_FILE, Row, STREAMS};
use crate::catalog::Definition;
use crate::decode::Counts;

/// Memory for pages of the database. The rows that are being counted are few; ids are looked up at random.
const CACHE_BYTES: usize = 256 << 20;

/// A day, counted from 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub u32);

impl Day {
    /// The day of a time; the first day for a clock that stands before 1970.
    pub fn of(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self(u32::try_from(seconds / 86_400).unwrap_or(u32::MAX))
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is counted now.
    Counted,
    /// A batch of this id was counted before, so this one changed nothing.
    Duplicate,
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
    /// The reports of all cohorts.
    pub reports: u64,
}

/// A directory of counts.
#[derive(Debug)]
pub struct Store {
    db: Database,
    dir: PathBuf,
}

impl Store {
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
    /// As [`Store::create`], and [`StoreError::NoStore`] if there is none.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let file = dir.join(FILE);
        if !file.is_file() {
            return Err(StoreError::NoStore { dir: dir.to_owned() });
        }
        let db = Database::builder().set_cache_size(CACHE_BYTES).open(&file);
        let store = Self { db: db.map_err(|error| cannot_open(dir, error))?, dir: dir.to_owned() };
        store.check_format()?;
        Ok(store)
    }

    /// Makes the database under its temporary name, complete and durable, and then gives it its own.
    fn make(dir: &Path) -> Result<Self, StoreError> {
        let at = |source| StoreError::Io { dir: dir.to_owned(), source };
        let new = dir.join(NEW_FILE);
        let create = || Database::builder().set_cache_size(CACHE_BYTES).create(&new);
        let db = match create() {
            Err(DatabaseError::Storage(_)) if new.exists() => {
                // A crash left it unfinished; nothing was ever counted in it.
                fs::remove_file(&new).map_err(at)?;
                create()
            }
            result => result,
        };
        let store = Self { db: db.map_err(|error| cannot_open(dir, error))?, dir: dir.to_owned() };
        let txn = store.begin()?;
        store.run(|| {
            txn.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
            txn.open_table(STREAMS)?;
            txn.open_table(BATCHES)?;
            txn.open_table(COUNTS)?;
            Ok(txn.commit()?)
        })?;
        fs::rename(&new, dir.join(FILE)).map_err(at)?;
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(at)?;
        Ok(store)
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

    /// Makes room for metric versions, so that their batches can be committed.
    ///
    /// # Errors
    /// [`StoreError::OtherParameters`] if a version is stored under other parameters; nothing is declared then.
    pub fn declare<'a>(
        &self,
        definitions: impl IntoIterator<Item = &'a Definition>,
    ) -> Result<(), StoreError> {
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

    fn insert_stream(&self, txn: &WriteTransaction, definition: &Definition) -> Result<(), StoreError> {
        let stream = definition.stream();
        let params = serde_json::to_string(definition.params()).expect("parameters have a JSON form");
        self.run(|| {
            let key = (stream.metric().as_str(), stream.version());
            txn.open_table(STREAMS)?.insert(key, (&stream.fingerprint().0, params.as_str()))?;
            Ok(())
        })
    }

    /// Counts batches in one durable transaction, and says of each what became of it, in their order.
    ///
    /// When this returns, the batches survive a crash of the program and of the machine. An id that stands twice
    /// among `batches` is counted once.
    ///
    /// # Errors
    /// A [`StoreError`] if the transaction failed. It is unknown then whether the batches are counted; committing
    /// them again under the same ids settles it.
    pub fn commit(&self, batches: &[Accepted], today: Day) -> Result<Vec<Outcome>, StoreError> {
        let txn = self.begin()?;
        let outcomes = self.insert_ids(&txn, batches, today)?;
        let fresh: Vec<_> = batches
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| **outcome == Outcome::Counted)
            .flat_map(|(batch, _)| batch.sections())
            .collect();
        if !fresh.is_empty() {
            self.add(&txn, &fresh)?;
            self.run(|| Ok(txn.commit()?))?;
        }
        Ok(outcomes)
    }

    fn insert_ids(
        &self,
        txn: &WriteTransaction,
        batches: &[Accepted],
        today: Day,
    ) -> Result<Vec<Outcome>, StoreError> {
        self.run(|| {
            let mut ids = txn.open_table(BATCHES)?;
            let mut outcomes = Vec::with_capacity(batches.len());
            for batch in batches {
                let id = batch.id().0;
                // A repeated batch keeps the day of the first.
                let known = ids.get(&id)?.is_some();
                if !known {
                    ids.insert(&id, today.0)?;
                }
                outcomes.push(if known { Outcome::Duplicate } else { Outcome::Counted });
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
            for reports in records.chunk_by(|a, b| a.0 == b.0) {
                let key = (metric, version, epoch.0, reports[0].0);
                match self.run(|| Ok(counts.get(key)?))? {
                    Some(stored) => row
                        .read(stream.bits(), stored.value())
                        .ok_or_else(|| self.damaged(format!("the row {key:?}")))?,
                    None => row.clear(stream.bits()),
                }
                reports.iter().for_each(|(_, bits)| row.add(bits));
                row.write(&mut bytes);
                self.run(|| Ok(counts.insert(key, bytes.as_slice()).map(drop)?))?;
            }
        }
        Ok(())
    }

    /// Lists what is held, by metric, version and epoch.
    ///
    /// # Errors
    /// A [`StoreError`] if it cannot be read or is damaged.
    pub fn holdings(&self) -> Result<Vec<Holding>, StoreError> {
        let txn = self.read()?;
        let mut holdings = Vec::<Holding>::new();
        for ((metric, version), params) in self.streams_held(&txn)? {
            let all = Epoch(0)..=Epoch(u32::MAX);
            self.rows(&txn, &metric, version, params.bits(), &all, |epoch, _, row| {
                match holdings
                    .last_mut()
                    .filter(|h| (&h.metric, h.version, h.epoch) == (&metric, version, epoch))
                {
                    Some(holding) => holding.reports += row.reports,
                    None => holdings.push(Holding {
                        metric: metric.clone(),
                        version,
                        epoch,
                        reports: row.reports,
                    }),
                }
            })?;
        }
        Ok(holdings)
    }

    /// The parameters under which each metric version is counted, whether or not there are reports yet.
    ///
    /// # Errors
    /// A [`StoreError`] if they cannot be read or are damaged.
    pub fn streams(&self) -> Result<BTreeMap<(MetricId, u32), Params>, StoreError> {
        self.streams_held(&self.read()?)
    }

    /// The sums of a metric version over `epochs`; empty counts if there are no reports.
    ///
    /// # Errors
    /// [`StoreError::UnknownStream`] if the version was never declared here.
    pub fn counts(
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

    fn streams_held(&self, txn: &ReadTransaction) -> Result<BTreeMap<(MetricId, u32), Params>, StoreError> {
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
        steps().map_err(|error| StoreError::Database { dir: self.dir.clone(), source: Box::new(error) })
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged { dir: self.dir.clone(), what }
    }
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

/// A store that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no store.
    #[error("there is no store in {}: check the path; `deniable serve` makes a new one", .dir.display())]
    NoStore {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory holds something that is not a store.
    #[error(
        "{} is not a store of deniable: it holds {found:?}; give an empty or a new directory", .dir.display()
    )]
    NotOurs {
        /// The directory.
        dir: PathBuf,
        /// What was found in it.
        found: String,
    },
    /// Another process holds the store.
    #[error(
        "the store in {} is held by another process: one at a time can use it; stop that one, often a `deniable serve`, and try again", .dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The store was written by another version of this program.
    #[error(
        "the store in {} has format {found}, but this program knows format {FORMAT}: use the version of deniable that wrote it", .dir.display()
    )]
    Format {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The parameters of a metric version are not those it is counted under.
    #[error(
        "the store in {} counts metric {metric} version {version} under other parameters: give the changed definition a new version, and list the old one as older while devices still send it", .dir.display()
    )]
    OtherParameters {
        /// The directory.
        dir: PathBuf,
        /// The metric.
        metric: MetricId,
        /// Its version.
        version: u32,
    },
    /// The metric version was never counted here.
    #[error(
        "the store in {} has no metric {metric} in version {version}: `deniable counts --store DIR` lists what it has", .dir.display()
    )]
    UnknownStream {
        /// The directory.
        dir: PathBuf,
        /// The metric.
        metric: MetricId,
        /// Its version.
        version: u32,
    },
    /// Something stored is not as it was written.
    #[error("the store in {} is damaged: {what} cannot be read; restore it from a copy", .dir.display())]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What was found damaged.
        what: String,
    },
    /// The directory cannot be read or written.
    #[error("cannot use the directory {}: check the path, its permissions and the free space", .dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database failed.
    #[error("the store in {} failed: check its permissions and the free space", .dir.display())]
    Database {
        /// The directory.
        dir: PathBuf,
        /// What the database said.
        source: Box<redb::Error>,
    },
}
