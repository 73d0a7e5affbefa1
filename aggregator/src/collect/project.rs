//! Projects: each has questions, keys, tokens and a store of its own, and learns nothing of the others.

use std::borrow::Borrow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::access::{Access, AccessError};
use super::published::Published;
use crate::catalog::{Catalog, CatalogError};
use crate::store::{Registries, Store, StoreError};

/// The most bytes of a project's name.
const MAX_NAME_BYTES: usize = 64;

/// The name of a project: up to 64 of `a` to `z`, `0` to `9`, `-` and `_`, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectName(Arc<str>);

impl ProjectName {
    /// The name of a project that is the only one.
    pub fn sole() -> Self {
        Self("default".into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ProjectName {
    type Error = BadName;

    fn try_from(name: String) -> Result<Self, BadName> {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_".contains(&c);
        let begins = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        if begins && name.len() <= MAX_NAME_BYTES && name.bytes().all(fits) {
            Ok(Self(name.into()))
        } else {
            Err(BadName { name })
        }
    }
}

impl FromStr for ProjectName {
    type Err = BadName;

    fn from_str(name: &str) -> Result<Self, BadName> {
        Self::try_from(name.to_owned())
    }
}

impl From<ProjectName> for String {
    fn from(name: ProjectName) -> Self {
        name.as_str().to_owned()
    }
}

impl Borrow<str> for ProjectName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no project.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{name:?} is no name for a project: it has up to {MAX_NAME_BYTES} lower-case letters, digits, '-' and '_', and begins with a letter"
)]
pub struct BadName {
    name: String,
}

/// A project as a collector takes it.
#[derive(Debug)]
pub struct Project {
    pub(super) name: ProjectName,
    pub(super) store: Arc<dyn Store>,
    pub(super) rules: Rules,
    pub(super) files: Option<Files>,
}

impl Project {
    /// Makes a project whose rules were read from files, and are read again when it is told to.
    pub fn new(name: ProjectName, store: Arc<dyn Store>, (rules, files): (Rules, Files)) -> Self {
        Self { name, store, rules, files: Some(files) }
    }

    /// Makes the only project of a collector, from what is in memory. It stays as it is.
    pub fn alone(store: Arc<dyn Store>, catalog: Catalog, access: Access) -> Self {
        Self { name: ProjectName::sole(), store, rules: Rules::new(catalog, access), files: None }
    }
}

/// What of a project can change while it is served: its questions, keys and tokens.
#[derive(Debug)]
pub struct Rules {
    pub(super) catalog: Catalog,
    /// Those that were ever served, as reports may still come under one of before.
    pub(super) registries: Registries,
    pub(super) published: Published,
    pub(super) access: Access,
}

impl Rules {
    fn new(catalog: Catalog, access: Access) -> Self {
        Self { published: Published::new(&catalog), catalog, registries: Registries::default(), access }
    }

    /// Makes room for the questions in a store, and learns the registries that it has seen.
    pub(super) fn declare(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        store.declare(&self.catalog)?;
        self.registries = store.registries()?;
        Ok(())
    }
}

/// The files that say what a project asks, and who may write and read.
#[derive(Clone, Debug)]
pub struct Files {
    /// The registry.
    pub metrics: PathBuf,
    /// The keys and tokens; without them anybody writes and nobody reads.
    pub access: Option<PathBuf>,
}

impl Files {
    /// Reads the files.
    ///
    /// # Errors
    /// A [`RulesError`] that names the file at fault, and the lines.
    pub fn load(&self) -> Result<Rules, RulesError> {
        self.with(Catalog::load(&self.metrics)?)
    }

    /// Reads the files again; a registry must not have changed a metric under its old version.
    pub(super) fn load_after(&self, earlier: &Rules) -> Result<Rules, RulesError> {
        self.with(Catalog::load_after(&self.metrics, &earlier.catalog)?)
    }

    fn with(&self, catalog: Catalog) -> Result<Rules, RulesError> {
        let access = self.access.as_deref().map_or_else(|| Ok(Access::open()), Access::load)?;
        Ok(Rules::new(catalog, access))
    }
}

/// Files of a project that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RulesError {
    /// The registry.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Keys and tokens.
    #[error(transparent)]
    Access(#[from] AccessError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_plain_and_begin_with_a_letter() {
        let name = |text: &str| ProjectName::try_from(text.to_owned());
        for good in ["a", "shop-2_eu", &"a".repeat(64)] {
            assert_eq!(name(good).unwrap().as_str(), good);
        }
        for bad in ["", "Shop", "2shop", "-", "a b", "a/b", "ä", &"a".repeat(65)] {
            assert!(name(bad).unwrap_err().to_string().contains(bad), "{bad}");
        }
        assert_eq!(name(ProjectName::sole().as_str()).unwrap(), ProjectName::sole());
    }
}
