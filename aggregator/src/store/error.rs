//! What can go wrong with a store.

use std::io;
use std::path::PathBuf;

use deniable::MetricId;
use thiserror::Error;

use super::layout::FORMAT;
use crate::lake::LakeError;

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
    /// There is something where a store would be restored.
    #[error("{} is not empty: restore to a new or an empty directory", .dir.display())]
    Occupied {
        /// The directory.
        dir: PathBuf,
    },
    /// A store in memory has no file.
    #[error("this store is in memory alone: it cannot be copied to a file")]
    NotOnDisk,
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
    /// What is asked for was moved to a lake, which is not at hand.
    #[error(
        "the store in {} has moved {partition} to the lake at {place}: say where the lake is now with --lake", .dir.display()
    )]
    InLake {
        /// The directory.
        dir: PathBuf,
        /// Metric, version and epoch.
        partition: String,
        /// Where the lake was.
        place: String,
    },
    /// The lake failed.
    #[error(transparent)]
    Lake(Box<LakeError>),
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

impl From<LakeError> for StoreError {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::Store(error) => error,
            error => Self::Lake(Box::new(error)),
        }
    }
}
