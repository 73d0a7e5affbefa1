//! The store on disk, on redb.

mod backup;
mod commit;
mod ids;
mod lake;
mod migrate;
mod read;
mod verify;
mod volumes;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use deniable::{Epoch, MetricId, Params};
use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, WriteTransaction,
};

pub use self::verify::Verified;
use super::accepted::Accepted;
use super::boundary::{Caught, caught};
use super::layout::{
    ASIDE, FILE, FLOOR_KEY, FORMAT, FORMAT_KEY, LAKE, LAKE_PLACE, META, NEW_FILE, REGISTRIES, REPORTS, ROWS,
    STREAMS, TOTALS, VOLUMES,
};
use super::{
    Aside, Holding, LeftOut, Outcome, Place, Registries, Selection, Store, StoreError, Streams, Sums,
};
use crate::catalog::Catalog;
use crate::guard::Volumes;
use crate::lake::Lake;

/// Memory for pages of the database. The rows that are being counted are few; ids are looked up at random.
const CACHE_BYTES: usize = 128 << 20;

/// A directory of counts.
#[derive(Debug)]
pub struct DiskStore {
    db: Caught,
    dir: PathBuf,
    /// Where epochs are that were moved.
    lake: Option<Lake>,
    /// Held by who moves epochs.
    moving: Mutex<()>,
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

    /// Opens the store in `dir`. One of an older format becomes one of this format first, in one step.
    ///
    /// # Errors
    /// As [`DiskStore::create`], and [`StoreError::NoStore`] if there is none.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let file = dir.join(FILE);
        if !file.is_file() {
            return Err(StoreError::NoStore { dir: dir.to_owned() });
        }
        Self::open_file(&file, dir)
    }

    /// Opens the database in `file`, as the store of `dir`.
    fn open_file(file: &Path, dir: &Path) -> Result<Self, StoreError> {
        let db = caught(dir, || builder().open(file).map_err(|error| cannot_open(dir, error)))?;
        let store = Self::of(db, dir);
        store.bring_to_format()?;
        Ok(store)
    }

    fn of(db: Database, dir: &Path) -> Self {
        Self { db: Caught::new(db), dir: dir.to_owned(), lake: None, moving: Mutex::new(()) }
    }

    /// Makes the database under its temporary name, complete and durable, and then gives it its own.
    fn make(dir: &Path) -> Result<Self, StoreError> {
        let at = |source| StoreError::Io { dir: dir.to_owned(), source };
        let new = dir.join(NEW_FILE);
        if new.exists() {
            // A crash left it unfinished, and nothing was ever counted in it; or another process is making it just now.
            match caught(dir, || builder().open(&new).map(drop).map_err(|error| cannot_open(dir, error))) {
                Err(held @ StoreError::InUse { .. }) => return Err(held),
                _ => fs::remove_file(&new).map_err(at)?,
            }
        }
        let db = caught(dir, || builder().create(&new).map_err(|error| cannot_open(dir, error)))?;
        let store = Self::of(db, dir);
        store.write_tables()?;
        fs::rename(&new, dir.join(FILE)).map_err(at)?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(at)?;
        Ok(store)
    }

    /// Writes the store anew, as small as it can be. The file holds nothing then of what was stored earlier and is no longer:
    /// sums before the last, ids that were forgotten, epochs that went elsewhere.
    ///
    /// What the old file held stays on the medium until the system writes over it, and in whatever copies were made.
    /// While this runs, both files take their space. A crash leaves the one or the other.
    ///
    /// # Errors
    /// A [`StoreError`] if the store cannot be read or the new file not be written; the store is as it was then.
    pub fn compact(&mut self) -> Result<(), StoreError> {
        let at = |source| StoreError::Io { dir: self.dir.clone(), source };
        let file = self.copy_beside()?;
        let mut copy = Self::open_file(&file, &self.dir)?;
        caught(&self.dir, || {
            let shrunk = copy.db.compact();
            shrunk.map(drop).map_err(|error| StoreError::Database {
                dir: self.dir.clone(),
                source: Box::new(error.into()),
            })
        })?;
        fs::rename(&file, self.dir.join(FILE)).map_err(at)?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(at)?;
        // The old database ends here; its file has no name any more.
        std::mem::swap(&mut self.db, &mut copy.db);
        Ok(())
    }

    /// The store on storage of a test's own, made anew where there is none.
    #[cfg(test)]
    pub(super) fn on(backend: impl redb::StorageBackend) -> Result<Self, StoreError> {
        let dir = Path::new("storage of a test");
        let is_new = backend.len().is_ok_and(|length| length == 0);
        let db = Database::builder().create_with_backend(backend).map_err(|error| cannot_open(dir, error))?;
        let store = Self::of(db, dir);
        if is_new {
            store.write_tables()?;
        } else {
            store.bring_to_format()?;
        }
        Ok(store)
    }

    fn write_tables(&self) -> Result<(), StoreError> {
        let txn = self.begin()?;
        self.run(|| {
            txn.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
            txn.open_table(STREAMS)?;
            txn.open_table(REGISTRIES)?;
            txn.open_table(ROWS)?;
            txn.open_table(TOTALS)?;
            txn.open_table(REPORTS)?;
            txn.open_table(LAKE)?;
            txn.open_table(LAKE_PLACE)?;
            txn.open_table(VOLUMES)?;
            txn.open_table(ASIDE)?;
            Ok(txn.commit()?)
        })
    }

    fn bring_to_format(&self) -> Result<(), StoreError> {
        let format = self.run(|| {
            let table = self.db.begin_read()?.open_table(META)?;
            Ok(table.get(FORMAT_KEY)?.map(|format| format.value()))
        });
        let dir = self.dir.clone();
        match format {
            Ok(Some(FORMAT)) => Ok(()),
            Ok(Some(1)) => self.migrate_from_format_1(),
            Ok(Some(found)) => Err(StoreError::Format { dir, found }),
            Err(StoreError::Database { source, .. }) if is_io(&source) => {
                Err(StoreError::Database { dir, source })
            }
            Ok(None) | Err(_) => Err(StoreError::NotOurs { dir, found: FILE.to_owned() }),
        }
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
    fn declare(&self, catalog: &Catalog) -> Result<(), StoreError> {
        caught(&self.dir, || self.insert_catalog(catalog))
    }

    fn commit(&self, batches: &[Accepted], open_from: Epoch) -> Result<Vec<Outcome>, StoreError> {
        caught(&self.dir, || self.commit_group(batches, open_from))
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

    fn copy(&self) -> Result<(File, u64), StoreError> {
        caught(&self.dir, || self.copy_unnamed())
    }

    fn holdings(&self, selection: &Selection) -> Result<Vec<Holding>, StoreError> {
        caught(&self.dir, || self.holdings_in(&self.read()?, selection))
    }

    fn streams(&self) -> Result<Streams, StoreError> {
        caught(&self.dir, || self.streams_in(&self.read()?))
    }

    fn registries(&self) -> Result<Registries, StoreError> {
        caught(&self.dir, || self.registries_in(&self.read()?))
    }

    fn params(&self, metric: &MetricId, version: u32) -> Result<Params, StoreError> {
        caught(&self.dir, || self.params_in(&self.read()?, metric, version))
    }

    fn volumes(&self, metric: &MetricId, version: u32) -> Result<Volumes, StoreError> {
        caught(&self.dir, || self.volumes_in(&self.read()?, (metric, version)))
    }

    fn left_out(&self) -> Result<LeftOut, StoreError> {
        caught(&self.dir, || self.left_out_in(&self.read()?))
    }

    fn set_aside(&self, what: &Aside) -> Result<bool, StoreError> {
        caught(&self.dir, || self.note(what, true))
    }

    fn take_back(&self, what: &Aside) -> Result<bool, StoreError> {
        caught(&self.dir, || self.note(what, false))
    }

    fn each_row(
        &self,
        metric: &MetricId,
        version: u32,
        selection: &Selection,
        show: &mut dyn FnMut(&Place<'_>, &Sums<'_>),
    ) -> Result<(), StoreError> {
        caught(&self.dir, || {
            let (txn, stream) = (self.read()?, (metric, version));
            self.each_moved_row(&txn, stream, selection, show)?;
            self.each_row_in(&txn, stream, selection, show)
        })
    }

    fn each_report(
        &self,
        metric: &MetricId,
        version: u32,
        selection: &Selection,
        show: &mut dyn FnMut(&Place<'_>, &[u8], u64),
    ) -> Result<(), StoreError> {
        caught(&self.dir, || {
            let (txn, stream) = (self.read()?, (metric, version));
            self.each_moved_report(&txn, stream, selection, show)?;
            self.each_report_in(&txn, stream, selection, show)
        })
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
