//! Which project a key or a token belongs to, and how its files are read anew.
//!
//! A key and a token stand in one project alone, so that they say which it is. What a request finds here it keeps to
//! its end, also if the files are read anew meanwhile: then the next request finds the new.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use axum::http::{HeaderMap, HeaderValue};
use deniable::WriteKey;
use subtle::{ConditionallySelectable, ConstantTimeEq};
use thiserror::Error;
use tokio::sync::Semaphore;

use super::access::{Role, token_hash};
use super::metrics::ProjectMetrics;
use super::problem::{Kind, Problem};
use super::project::{Files, ProjectName, Rules, RulesError};
use super::writer::Writer;
use crate::store::{Store, StoreError};

/// A project that is being served.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) name: ProjectName,
    pub(super) store: Arc<dyn Store>,
    pub(super) writer: Writer,
    pub(super) metrics: ProjectMetrics,
    /// The place of the one backup that may be made at a time.
    pub(super) backup: Arc<Semaphore>,
    pub(super) files: Option<Files>,
}

/// The projects of a collector.
#[derive(Debug)]
pub(super) struct Directory {
    projects: Vec<Arc<Served>>,
    table: RwLock<Arc<Table>>,
    /// Held while files are read anew, so that none of two readings is lost.
    reloading: Mutex<()>,
}

/// A project with the rules that hold for one request.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) project: Arc<Served>,
    pub(super) rules: Arc<Rules>,
    place: u32,
}

/// Who may what, by the places of the projects.
#[derive(Debug)]
pub(super) struct Table {
    rules: Vec<Arc<Rules>>,
    keys: HashMap<WriteKey, usize>,
    tokens: Vec<Holder>,
}

/// Whose a token is.
#[derive(Clone, Copy, Debug)]
struct Holder {
    sha256: [u8; 32],
    place: u32,
    role: Role,
}

impl Directory {
    /// Serves projects, whose places are those of `table`.
    pub(super) fn new(projects: Vec<Arc<Served>>, table: Table) -> Self {
        Self { projects, table: RwLock::new(Arc::new(table)), reloading: Mutex::new(()) }
    }

    /// All projects.
    pub(super) fn projects(&self) -> &[Arc<Served>] {
        &self.projects
    }

    /// The project that a batch under `key` is for, if the key may be used as `headers` say that it is.
    pub(super) fn of_key(&self, key: WriteKey, headers: &HeaderMap) -> Result<Found, Problem> {
        let table = self.table();
        // A key that no project knows is refused by the first, as by any.
        let place = table.keys.get(&key).copied().unwrap_or_default();
        table.rules[place].access.check_key(key, headers)?;
        Ok(self.found(&table, place))
    }

    /// The project whose token the request has, if its holder may do what `needed` may; and the token's hash.
    pub(super) fn of_token(&self, headers: &HeaderMap, needed: Role) -> Result<(Found, [u8; 32]), Problem> {
        let table = self.table();
        let holder = table.holder(&token_hash(headers)).ok_or_else(|| {
            Problem::new(
                Kind::Unauthorized,
                "give the token of an analyst, as \"Authorization: Bearer TOKEN\"",
            )
        })?;
        if !holder.role.covers(needed) {
            return Err(Problem::new(
                Kind::Forbidden,
                "the role of this token does not allow it: ask the operator for another",
            ));
        }
        Ok((self.found(&table, holder.place as usize), holder.sha256))
    }

    /// The only project; none if there are several.
    pub(super) fn sole(&self) -> Option<Found> {
        (self.projects.len() == 1).then(|| self.found(&self.table(), 0))
    }

    /// Says whether a page may read answers, as the page of a key.
    pub(super) fn is_page(&self, origin: &HeaderValue) -> bool {
        self.table().rules.iter().any(|rules| rules.access.origins().any(|known| known == origin))
    }

    /// Reads the files of all projects anew. Those of a project that cannot be used leave it as it is; the log and the
    /// project's figures tell.
    pub(super) fn reload_all(&self) {
        for place in 0..self.projects.len() {
            // The log tells.
            let _ = self.reload(place);
        }
    }

    /// As [`Directory::reload_all`], of one project.
    pub(super) fn reload_one(&self, found: &Found) -> Result<(), ReloadError> {
        self.reload(found.place as usize)
    }

    fn reload(&self, place: usize) -> Result<(), ReloadError> {
        let project = &self.projects[place];
        let _alone: MutexGuard<'_, ()> = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.replace(place);
        project.metrics.reloaded(result.is_ok());
        match &result {
            Ok(()) => tracing::info!(project = %project.name, "questions, keys and tokens were read anew"),
            Err(error) => {
                tracing::error!(project = %project.name, cause = %causes(error), "questions, keys and tokens stay as they were");
            }
        }
        result
    }

    fn replace(&self, place: usize) -> Result<(), ReloadError> {
        let (project, held) = (&self.projects[place], self.table());
        let files = project.files.as_ref().ok_or(ReloadError::NoFiles)?;
        let mut rules = files.load_after(&held.rules[place])?;
        rules.declare(&*project.store)?;
        let mut all = held.rules.clone();
        all[place] = Arc::new(rules);
        let names: Vec<ProjectName> = self.projects.iter().map(|project| project.name.clone()).collect();
        let table = Table::new(all, &names)?;
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        Ok(())
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn found(&self, table: &Table, place: usize) -> Found {
        let (project, rules) = (Arc::clone(&self.projects[place]), Arc::clone(&table.rules[place]));
        Found { project, rules, place: place as u32 }
    }
}

impl Table {
    /// Looks whether projects can be told apart.
    pub(super) fn new(rules: Vec<Arc<Rules>>, names: &[ProjectName]) -> Result<Self, ConflictError> {
        let twice = names.iter().enumerate().find(|(place, name)| names[..*place].contains(name));
        if let Some((_, name)) = twice {
            return Err(ConflictError::Name { name: name.clone() });
        }
        let (mut keys, mut tokens) = (HashMap::new(), Vec::<Holder>::new());
        let both = |one: usize, other: usize| [one, other].map(|place| names[place].clone());
        for (place, rules) in rules.iter().enumerate() {
            if rules.access.is_open() && names.len() > 1 {
                return Err(ConflictError::Open { name: names[place].clone() });
            }
            for key in rules.access.keys() {
                if let Some(other) = keys.insert(key, place) {
                    return Err(ConflictError::Key { names: both(other, place) });
                }
            }
            for grant in rules.access.grants() {
                if let Some(other) = tokens.iter().find(|holder| holder.sha256 == grant.sha256) {
                    return Err(ConflictError::Token { names: both(other.place as usize, place) });
                }
                tokens.push(Holder { sha256: grant.sha256, place: place as u32, role: grant.role });
            }
        }
        Ok(Self { rules, keys, tokens })
    }

    /// Whose a token is. Every known token is compared, in constant time.
    fn holder(&self, sha256: &[u8; 32]) -> Option<Holder> {
        let mut found = 0;
        for (number, holder) in (1_u32..).zip(&self.tokens) {
            found.conditional_assign(&number, holder.sha256.ct_eq(sha256));
        }
        Some(self.tokens[found.checked_sub(1)? as usize])
    }
}

/// An error with its causes, on one line.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let rest = std::iter::successors(error.source(), |cause| cause.source());
    rest.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Projects that cannot be served beside each other.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConflictError {
    /// Two projects have one name.
    #[error("two projects are called {name}: give each a name of its own")]
    Name {
        /// The name.
        name: ProjectName,
    },
    /// Several projects, and one of them takes batches under any key.
    #[error(
        "project {name} has no keys, but beside others a batch is known by its key alone: give it a file of keys"
    )]
    Open {
        /// The project.
        name: ProjectName,
    },
    /// One key stands in two projects.
    #[error("projects {} and {} have a write key in common: draw a new one for one of them", .names[0], .names[1])]
    Key {
        /// The projects.
        names: [ProjectName; 2],
    },
    /// One token stands twice.
    #[error("projects {} and {} have a token in common, or it stands twice: draw a new one", .names[0], .names[1])]
    Token {
        /// The projects, perhaps the same.
        names: [ProjectName; 2],
    },
}

/// Files that were read anew and are not used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The project was made from memory.
    #[error("this project has no files to read")]
    NoFiles,
    /// A file cannot be used.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// Keys or tokens are those of another project.
    #[error(transparent)]
    Conflict(#[from] ConflictError),
    /// The store counts a version under other parameters, or fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}
