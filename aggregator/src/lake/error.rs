//! What can go wrong with a lake.

use std::io;

use parquet::errors::ParquetError;
use thiserror::Error;

use super::layout::FORMAT;
use crate::store::StoreError;

/// A lake that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LakeError {
    /// The place of a lake is neither a folder nor a bucket.
    #[error(
        "{place:?} is no place for a lake: give a folder, as a path or as file:///path, or s3://bucket/prefix without user, password, query or fragment"
    )]
    Place {
        /// What was given.
        place: String,
    },
    /// A folder cannot be used.
    #[error("cannot use the folder {folder}: check the path, its permissions and the free space")]
    Folder {
        /// The folder.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
    /// A setting of the environment that the connection to S3 does not know.
    #[error("the setting {setting} of S3 is not supported here: unset it")]
    Setting {
        /// Its name.
        setting: &'static str,
    },
    /// The certificates of this machine cannot be read.
    #[error("the certificates that this machine trusts cannot be read: install its CA certificates")]
    Certificates {
        /// What the system said.
        source: io::Error,
    },
    /// The storage refused or failed.
    #[error(
        "{object} cannot be read or written: check the place of the lake, its permissions and the connection"
    )]
    Storage {
        /// The object, with its place.
        object: String,
        /// What the storage said.
        source: Box<object_store::Error>,
    },
    /// An object is not a file of Parquet as it was written.
    #[error("{object} cannot be read as Parquet: it was changed or damaged; restore it from a copy")]
    Parquet {
        /// The object, with its place.
        object: String,
        /// What the reader said.
        source: ParquetError,
    },
    /// An object holds something else than it should.
    #[error("{object} is not as it was written: {what}; restore it from a copy")]
    Damaged {
        /// The object, with its place.
        object: String,
        /// What was found.
        what: String,
    },
    /// An object was written by another version of this program.
    #[error(
        "{object} has format {found:?}, but this program knows format {FORMAT}: use the version of deniable that wrote it"
    )]
    Format {
        /// The object, with its place.
        object: String,
        /// Its format.
        found: String,
    },
    /// The folder of an epoch holds an object that this store has not written.
    #[error(
        "{object} is not of this store: a lake belongs to one store; give this store a place of its own, or, if the store was restored from an older copy, move the object away after comparing"
    )]
    Foreign {
        /// The object, with its place.
        object: String,
    },
    /// Rows came in another order than that of a file.
    #[error(
        "the rows of {partition} are not sorted, or one counts nothing: check the store with `deniable store verify`"
    )]
    Order {
        /// Metric, version and epoch.
        partition: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
