//! The catalog that was fetched last, as it is kept: the collector's tag of it, a line feed, and the catalog.

use std::prelude::v1::*;
use std::sync::Arc;
use std::time::Duration;

use super::error::{CatalogFault, OpenError};
use super::folder::Folder;
use super::http::{Fetched, Http};
use super::options::Catalog;
use crate::registry::{Privacy, Registry};

/// A catalog of the collector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The tag by which the collector knows it; empty if there is none.
    pub(super) tag: String,
    /// Its bytes.
    pub(super) catalog: Vec<u8>,
    /// How long ago the collector gave it or said that it is still the same, if that can be told.
    pub(super) age: Option<Duration>,
}

impl Kept {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [self.tag.as_bytes(), b"\n", &self.catalog].concat()
    }

    fn from_bytes(bytes: &[u8], age: Option<Duration>) -> Option<Self> {
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let tag = core::str::from_utf8(&bytes[..end]).ok()?.to_owned();
        Some(Self { tag, catalog: bytes[end + 1..].to_vec(), age })
    }

    /// Reads what the folder keeps. A catalog that cannot be used is not there.
    fn load(folder: Option<&Folder>, limits: Privacy) -> Option<(Self, Registry)> {
        let folder = folder?;
        let kept = Self::from_bytes(&folder.catalog().ok()??, folder.catalog_age())?;
        let registry = Registry::from_catalog_within(&kept.catalog, limits).ok()?;
        Some((kept, registry))
    }
}

/// The registry to begin with, and what is kept of the collector's catalog if it is to be renewed.
pub(super) fn begin(
    from: &Catalog,
    folder: Option<&mut Folder>,
    http: &Http,
    limits: Privacy,
) -> Result<(Arc<Registry>, Option<Kept>), OpenError> {
    let kept = || Kept::load(folder.as_deref(), limits);
    if let Some(bytes) = from.built_in() {
        let registry = Arc::new(Registry::from_catalog_within(bytes, limits)?);
        let kept = from.is_fetched().then(|| kept().map(|(kept, _)| kept).unwrap_or_default());
        return Ok((registry, kept));
    }
    if let Some((kept, registry)) = kept() {
        return Ok((Arc::new(registry), Some(kept)));
    }
    let fault = match http.catalog("") {
        Fetched::Catalog { tag, body } => match Registry::from_catalog_within(&body, limits) {
            Ok(registry) => {
                let kept = Kept { tag, catalog: body, age: Some(Duration::ZERO) };
                if let Some(folder) = folder {
                    // If it cannot be kept it is fetched again at the next start.
                    let _ = folder.keep_catalog(&kept.to_bytes());
                }
                return Ok((Arc::new(registry), Some(kept)));
            }
            Err(error) => CatalogFault::Unusable(error),
        },
        // Nothing was said to be had, so this is no answer to the question.
        Fetched::Same => CatalogFault::NoCatalog(304),
        Fetched::Refused(status) => CatalogFault::NoCatalog(status),
        Fetched::Failed(fault) => CatalogFault::Network(fault),
    };
    Err(OpenError::NoCatalog(fault))
}
