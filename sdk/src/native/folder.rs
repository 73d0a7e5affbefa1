//! The state on disk: a folder that one process has for itself, and in it the last state and the one before.
//!
//! | name | what |
//! |---|---|
//! | `lock` | locked by the process that uses the folder |
//! | `state` | the state, as of the last commit |
//! | `state.old` | the state as of the commit before, which is taken up if `state` is missing or damaged |
//! | `state.new` | a commit under way; what a crash left of one is removed when the folder is opened |
//! | `catalog`, `catalog.new` | the catalog that was fetched last, and one being written |
//! | `state.damaged.N` | a state that could not be read, kept for people; N from 1 to 9 |
//!
//! A state that a newer program wrote stays where it is, for that program.
//!
//! # What survives
//! A commit writes `state.new` and waits until its bytes are durable, renames `state` to `state.old` and `state.new` to
//! `state`, and waits until the names are durable. Whatever breaks off in between, `state` or else `state.old` is whole,
//! and holds the old or the new state. Should a disk lie, so that `state` is a beginning of the new one, its own
//! checksum tells, and `state.old` is the old one. What `state` says was spent is taken over, if that part of it is whole.
//!
//! A commit that forgets the person removes `state.old` and all that was kept aside before `state` is replaced, so that nothing
//! of them is left once it is durable. What the disk itself keeps of removed files is beyond it.

use std::format;
use std::io;
use std::path::{Path, PathBuf};
use std::prelude::v1::*;
use std::time::Duration;

use thiserror::Error;

use super::disk::{Disk, Files};
use crate::client::{StateError, StorageError};

const STATE: &str = "state";
const OLD: &str = "state.old";
const NEW: &str = "state.new";
const CATALOG: &str = "catalog";
const NEW_CATALOG: &str = "catalog.new";
/// A file that is made to see for whom this process acts, and removed at once.
pub(super) const PROBE: &str = "probe";

/// The files of a folder that are read or replaced.
pub(super) const NAMES: [&str; 6] = [super::disk::LOCK, STATE, OLD, NEW, CATALOG, NEW_CATALOG];

/// How many damaged states are kept. The last is replaced by further ones.
const KEPT_ASIDE: u32 = 9;

/// Which of the two states that a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// That of the last commit.
    Last,
    /// That of the commit before.
    Before,
}

impl Generation {
    const fn name(self) -> &'static str {
        match self {
            Self::Last => STATE,
            Self::Before => OLD,
        }
    }
}

/// The folder of a state.
#[derive(Debug)]
pub(super) struct Folder<F = Disk>(F);

impl Folder {
    /// Makes the folder if there is none, takes it for this process, and clears away what a crash left.
    pub(super) fn open(path: &Path) -> Result<Self, FolderError> {
        let disk = Disk::open(path)?;
        Self::over(disk).map_err(|source| FolderError::of_open(path, source))
    }
}

impl<F: Files> Folder<F> {
    fn over(mut files: F) -> io::Result<Self> {
        for leftover in [NEW, NEW_CATALOG, PROBE] {
            files.remove(leftover)?;
        }
        Ok(Self(files))
    }

    /// The bytes of a state; None if there is none.
    pub(super) fn state(&self, generation: Generation) -> io::Result<Option<Vec<u8>>> {
        self.0.read(generation.name())
    }

    /// Replaces the state. When this returns, the new one survives a crash of the machine.
    pub(super) fn store(&mut self, state: &[u8]) -> Result<(), StorageError> {
        self.write_new(state)?;
        let renamed = self.0.rename(STATE, OLD).and_then(|()| self.0.rename(NEW, STATE));
        renamed.map_err(|error| of_rename(&error))?;
        self.0.sync().map_err(|error| of_write(&error))
    }

    /// Replaces the state, and removes all others. When this returns, neither a crash of the machine nor a look into the folder brings
    /// any of them back.
    pub(super) fn store_alone(&mut self, state: &[u8]) -> Result<(), StorageError> {
        // First, as a disk that is full has room again by it.
        self.remove_others().map_err(|error| of_write(&error))?;
        self.write_new(state)?;
        self.0.rename(NEW, STATE).map_err(|error| of_rename(&error))?;
        self.0.sync().map_err(|error| of_write(&error))
    }

    /// Removes every state but the last, which a crash brings back until another one takes its place.
    fn remove_others(&mut self) -> io::Result<()> {
        if self.0.read(STATE)?.is_none() {
            self.0.rename(OLD, STATE)?;
        }
        self.0.remove(OLD)?;
        (1..=KEPT_ASIDE).try_for_each(|n| self.0.remove(&aside(n)))?;
        self.0.sync()
    }

    fn write_new(&mut self, state: &[u8]) -> Result<(), StorageError> {
        self.0.write(NEW, state).map_err(|error| {
            // What was written takes room that the disk may lack.
            let _ = self.0.remove(NEW);
            of_write(&error)
        })
    }

    /// Takes a state that is damaged out of the way, and gives the name that it is kept under.
    pub(super) fn keep_aside(&mut self, generation: Generation) -> Result<String, StorageError> {
        let free = (1..KEPT_ASIDE).find(|n| matches!(self.0.read(&aside(*n)), Ok(None)));
        let name = aside(free.unwrap_or(KEPT_ASIDE));
        let renamed = self.0.rename(generation.name(), &name).and_then(|()| self.0.sync());
        renamed.map_err(|error| of_rename(&error))?;
        Ok(name)
    }

    /// The damaged state with the last of the names that they are kept under. It is empty if it cannot be read at all.
    pub(super) fn kept_aside(&self) -> Option<(String, Vec<u8>)> {
        (1..=KEPT_ASIDE).rev().map(aside).find_map(|name| match self.0.read(&name) {
            Ok(None) => None,
            read => Some((name, read.ok().flatten().unwrap_or_default())),
        })
    }

    /// The catalog that was kept last.
    pub(super) fn catalog(&self) -> io::Result<Option<Vec<u8>>> {
        self.0.read(CATALOG)
    }

    /// How long ago that catalog was kept; None if it cannot be told, as after the clock was set back.
    pub(super) fn catalog_age(&self) -> Option<Duration> {
        self.0.modified(CATALOG).ok()?.elapsed().ok()
    }

    /// Keeps a catalog for the next start.
    pub(super) fn keep_catalog(&mut self, catalog: &[u8]) -> Result<(), StorageError> {
        self.0.write(NEW_CATALOG, catalog).map_err(|error| of_write(&error))?;
        let renamed = self.0.rename(NEW_CATALOG, CATALOG).and_then(|()| self.0.sync());
        renamed.map_err(|error| of_rename(&error))
    }
}

/// The name of a state that is kept aside.
fn aside(n: u32) -> String {
    format!("{STATE}.damaged.{n}")
}

/// What a failed write means.
fn of_write(error: &io::Error) -> StorageError {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => StorageError::ReadOnly,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StorageError::Full
        }
        io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle => {
            StorageError::Other { reason: "the folder is gone; start the program again" }
        }
        _ => StorageError::Other { reason: "the system could not write the file" },
    }
}

/// What a failed rename means.
fn of_rename(error: &io::Error) -> StorageError {
    match error.kind() {
        io::ErrorKind::Unsupported | io::ErrorKind::CrossesDevices | io::ErrorKind::InvalidInput => {
            StorageError::NotAtomic
        }
        _ => of_write(error),
    }
}

/// A folder that cannot hold the state.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FolderError {
    /// Another process has it.
    #[error(
        "another process{} uses the state in {}: end it, or give each process a folder of its own",
        .process.map_or_else(String::new, |id| format!(", {id},")),
        .path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The id of the process, if it can be told.
        process: Option<u32>,
    },
    /// It holds something else.
    #[error("{} is not a folder of states, as it holds {found:?}: give an empty folder", .path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// The folder or a file in it belongs to another user.
    #[error(
        "{} belongs to user {owner}, but this program runs as user {user}: give it a folder of its own",
        .path.display()
    )]
    NotOurs {
        /// The folder or file.
        path: PathBuf,
        /// The number of the user that owns it.
        owner: u32,
        /// The number of the user that this process acts for.
        user: u32,
    },
    /// Nothing may be written there.
    #[error(
        "the state in {} cannot be written: make the folder writable for the user that this program runs as",
        .path.display()
    )]
    ReadOnly {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room.
    #[error("there is no room for a state in {}: free some space", .path.display())]
    Full {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file system has no locks, so a second process would not be noticed.
    #[error("the file system of {} cannot lock files: keep the state on a local disk", .path.display())]
    NoLocks {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A newer program wrote the state. It stays as it is.
    #[error("the state in {} cannot be used by this program", .path.display())]
    Newer {
        /// The folder.
        path: PathBuf,
        /// What was found.
        source: StateError,
    },
    /// A damaged state cannot be kept aside, and so not be replaced.
    #[error("a damaged state in {} cannot be renamed: check the disk", .path.display())]
    NotKeptAside {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: StorageError,
    },
    /// The system gave another reason.
    #[error("the folder {} cannot be used: check the path", .path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FolderError {
    pub(super) fn of_open(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match of_write(&source) {
            StorageError::ReadOnly => Self::ReadOnly { path, source },
            StorageError::Full => Self::Full { path, source },
            _ => Self::Unusable { path, source },
        }
    }
}

#[cfg(test)]
mod tests;
