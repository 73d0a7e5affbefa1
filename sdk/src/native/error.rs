//! Why a client does not open.

use std::io;
use std::prelude::v1::*;

use thiserror::Error;

use super::folder::FolderError;
use super::http::{EndpointError, NetworkFault};
use crate::client;
use crate::registry::CatalogError;

/// A client that cannot be opened: what the program or its installer must put right. What only stands in the way of the state is no
/// error but an idle client, see [`StateStatus::Idle`](super::StateStatus::Idle).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the state.
    #[error(transparent)]
    InUse(FolderError),
    /// The endpoint or its certificates cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The client could not begin: a setting is outside its range, or the system has no randomness.
    #[error(transparent)]
    Client(#[from] client::OpenError),
    /// The catalog that the program brings cannot be used.
    #[error("the catalog that the program brings cannot be used")]
    Catalog(#[from] CatalogError),
    /// There is no catalog yet, and the collector gave none.
    #[error("there is no catalog yet, and the collector gave none: {0}")]
    NoCatalog(CatalogFault),
    /// The system gave no threads.
    #[error("the system gave no thread for the client")]
    Threads(#[source] io::Error),
}

/// Why the collector's catalog is not had.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum CatalogFault {
    /// There was no answer.
    #[error(transparent)]
    Network(NetworkFault),
    /// The endpoint answered otherwise.
    #[error("the endpoint answered with status {0} and no catalog; check that it is a collector's address")]
    NoCatalog(u16),
    /// What it gave is no catalog that can be used.
    #[error(transparent)]
    Unusable(CatalogError),
}
