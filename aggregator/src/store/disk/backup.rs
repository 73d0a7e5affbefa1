//! Copies of a store: made while it is used, verified, and made stores again.
//!
//! A copy is a database of the same tables, written from one read transaction. So it holds what was committed before and
//! nothing of what was committed after, and none of the earlier sums that the store's own free pages may hold.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use redb::{
    Database, Key, ReadTransaction, ReadableTable, TableDefinition, TableHandle, Value, WriteTransaction,
};

use super::super::StoreError;
use super::super::boundary::caught;
use super::super::layout::{
    self, ASIDE, COPY_FILE, FILE, LAKE, LAKE_PLACE, META, REGISTRIES, REPORTS, RESTORED_FILE, ROWS, STREAMS,
    TOTALS, VOLUMES,
};
use super::{DiskStore, Verified, cannot_open};

/// Memory for pages of a copy. It is written from the first to the last.
const CACHE_BYTES: usize = 16 << 20;

impl DiskStore {
    /// Copies what is committed now to a new file, which is durable when this returns.
    ///
    /// # Errors
    /// A [`StoreError`] if the store cannot be read, or the file exists or cannot be written. It is removed then.
    pub fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        // Another's file is not written over.
        File::create_new(file).map_err(|source| at(file, source))?;
        caught(&self.dir, || self.fill(file)).inspect_err(|_| {
            // The first failure is the one to tell.
            let _ = fs::remove_file(file);
        })
    }

    /// As [`DiskStore::copy_to`], to a file beside the store that has no name and ends when it is closed; with its length.
    pub(super) fn copy_unnamed(&self) -> Result<(File, u64), StoreError> {
        let path = self.copy_beside()?;
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, file) = opened.map_err(|source| at(&path, source))?;
        fs::remove_file(&path).map_err(|source| at(&path, source))?;
        Ok((file, length))
    }

    /// As [`DiskStore::copy_to`], to a file beside the store.
    pub(super) fn copy_beside(&self) -> Result<PathBuf, StoreError> {
        let path = self.dir.join(COPY_FILE);
        match fs::remove_file(&path) {
            // A crash left it.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(&path, error)),
        }
        self.copy_to(&path)?;
        Ok(path)
    }

    /// Reads all of a copy, as [`DiskStore::verify`] does of a store.
    ///
    /// # Errors
    /// As [`DiskStore::verify`], and [`StoreError::NotOurs`] if the file is no copy of a store.
    pub fn verify_copy(file: &Path) -> Result<Verified, StoreError> {
        Self::open_file(file, file)?.verify()
    }

    /// Makes a store in `dir` of the copy in `file`, after it was verified.
    ///
    /// # Errors
    /// [`StoreError::Occupied`] if `dir` holds anything, and those of [`DiskStore::verify_copy`]; `dir` holds no store then.
    pub fn restore(file: &Path, dir: &Path) -> Result<Verified, StoreError> {
        fs::create_dir_all(dir).map_err(|source| at(dir, source))?;
        if fs::read_dir(dir).map_err(|source| at(dir, source))?.next().is_some() {
            return Err(StoreError::Occupied { dir: dir.to_owned() });
        }
        let restored = dir.join(RESTORED_FILE);
        let made = Self::bring(file, &restored).and_then(|verified| {
            fs::rename(&restored, dir.join(FILE))
                .and_then(|()| File::open(dir)?.sync_all())
                .map_err(|source| at(dir, source))?;
            Ok(verified)
        });
        made.inspect_err(|_| {
            // The first failure is the one to tell.
            let _ = fs::remove_file(&restored);
        })
    }

    fn bring(file: &Path, restored: &Path) -> Result<Verified, StoreError> {
        fs::copy(file, restored).map_err(|source| at(file, source))?;
        File::open(restored).and_then(|file| file.sync_all()).map_err(|source| at(restored, source))?;
        Self::verify_copy(restored)
    }

    fn fill(&self, file: &Path) -> Result<(), StoreError> {
        let db = Database::builder().set_cache_size(CACHE_BYTES).create(file);
        let db = db.map_err(|error| cannot_open(file, error))?;
        let from = self.read()?;
        let unknown = self.run(|| {
            let to = db.begin_write()?;
            for table in from.list_tables()? {
                let name = table.name();
                if !copy_table(name, &from, &to)? {
                    return Ok(Some(name.to_owned()));
                }
            }
            to.commit()?;
            Ok(None)
        })?;
        match unknown {
            Some(name) => Err(self.damaged(format!("the table {name:?}, which this program does not know,"))),
            None => Ok(()),
        }
    }
}

/// Copies the table of that name; false if there should be none.
fn copy_table(name: &str, from: &ReadTransaction, to: &WriteTransaction) -> Result<bool, redb::Error> {
    match name {
        name if name == META.name() => copy_entries(META, from, to)?,
        name if name == STREAMS.name() => copy_entries(STREAMS, from, to)?,
        name if name == REGISTRIES.name() => copy_entries(REGISTRIES, from, to)?,
        name if name == ROWS.name() => copy_entries(ROWS, from, to)?,
        name if name == TOTALS.name() => copy_entries(TOTALS, from, to)?,
        name if name == REPORTS.name() => copy_entries(REPORTS, from, to)?,
        name if name == LAKE.name() => copy_entries(LAKE, from, to)?,
        name if name == LAKE_PLACE.name() => copy_entries(LAKE_PLACE, from, to)?,
        name if name == VOLUMES.name() => copy_entries(VOLUMES, from, to)?,
        name if name == ASIDE.name() => copy_entries(ASIDE, from, to)?,
        name if layout::last_epoch(name).is_some() => copy_entries(layout::ids(name), from, to)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn copy_entries<K: Key + 'static, V: Value + 'static>(
    table: TableDefinition<'_, K, V>,
    from: &ReadTransaction,
    to: &WriteTransaction,
) -> Result<(), redb::Error> {
    let mut copy = to.open_table(table)?;
    for entry in from.open_table(table)?.iter()? {
        let (key, value) = entry?;
        copy.insert(key.value(), value.value())?;
    }
    Ok(())
}

fn at(path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { dir: path.to_owned(), source }
}
