//! The collector: batches come in over HTTP and are answered when they are durable.
//!
//! ```text
//! POST /v1/reports ─► read, parse, check against the catalog ─► writer ─► one commit for many ─► answers
//!                     (many connections at once)               (one thread)
//! ```
//!
//! A collector serves one project or several, each with questions, keys, tokens, a store and a writer of its own. The key of a
//! batch says which project it is for.
//!
//! Invariants: success is said only after the durable commit of a batch; a batch sent again gets the same success and
//! changes nothing; reports are refused one by one, and what is refused leaves nothing behind. What cannot be taken
//! now is refused with 503 and `Retry-After`, so that requests never hold more memory than [`Limits`] allow, nor more
//! connections, nor any of them for longer. What is sent or asked under the key or token of one project never reaches
//! another. Logs hold no addresses, no bits, no keys and no batch ids.

mod access;
mod admin;
mod body;
mod clock;
mod counts;
mod directory;
mod guards;
mod http;
mod memory;
mod metrics;
mod problem;
mod project;
mod published;
mod quarantine;
mod rates;
mod server;
mod settings;
mod tls;
mod writer;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub use self::access::{Access, AccessError, AccessFault, Origin, Role, Token};
pub use self::body::receive;
pub use self::clock::{Clock, ClockAhead, DEFAULT_OPEN_DAYS, MAX_DAYS_AHEAD, Window};
pub use self::directory::{ConflictError, ReloadError};
use self::directory::{Directory, Served, Table};
use self::http::App;
pub use self::memory::{Held, Memory};
use self::metrics::ProjectMetrics;
pub use self::problem::{Kind, Problem};
pub use self::project::{BadName, Files, Project, ProjectName, Rules, RulesError};
pub use self::rates::Rates;
pub use self::settings::{Limits, Origins, Settings};
pub use self::tls::{Tls, TlsError};
pub use self::writer::WriterError;
use self::writer::{Running, Writer};
use crate::store::{Selection, Store, StoreError};

/// How long requests that have begun may take to end once the collector is told to stop. Nothing that was
/// acknowledged depends on it.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How often epochs are closed where no batch comes.
const CLOSE_INTERVAL: Duration = Duration::from_secs(3600);

/// A collector whose stores have room for their metrics.
#[derive(Debug)]
pub struct Collector {
    app: App,
    limits: Limits,
    tls: Option<Tls>,
    running: Vec<(ProjectName, Running)>,
}

impl Collector {
    /// Makes a collector of projects, each counted in its own store.
    ///
    /// # Errors
    /// A [`CollectError`] if two projects have a name, a key or a token in common, a store counts a version under other
    /// parameters, the clock is far ahead of what a store has seen, or the system gives no thread.
    pub fn new(projects: Vec<Project>, settings: Settings) -> Result<Self, CollectError> {
        let (mut names, mut all, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for Project { name, store, mut rules, files } in projects {
            check_clock(&name, &*store, &settings.window)?;
            rules.declare(&*store)?;
            names.push(name);
            all.push(Arc::new(rules));
            rest.push((store, files));
        }
        let table = Table::new(all, &names)?;
        let (mut served, mut running) = (Vec::new(), Vec::new());
        for (name, (store, files)) in names.into_iter().zip(rest) {
            let metrics = ProjectMetrics::new(&name);
            let (writer, thread) =
                Writer::start(Arc::clone(&store), settings.window.clone(), metrics.clone())?;
            running.push((name.clone(), thread));
            let backup = Arc::new(Semaphore::new(1));
            served.push(Arc::new(Served { name, store, writer, metrics, backup, files }));
        }
        let directory = Arc::new(Directory::new(served, table));
        let (limits, tls) = (settings.limits, settings.tls.clone());
        Ok(Self { app: App::new(directory, settings), limits, tls, running })
    }

    /// The service, for who brings requests by other ways than a socket.
    pub fn router(&self) -> Router {
        http::router(self.app.clone())
    }

    /// A way to have files read anew while the collector serves.
    pub fn reloader(&self) -> Reloader {
        Reloader { directory: Arc::clone(&self.app.directory), tls: self.tls.clone() }
    }

    /// Serves on `listener` until `stop` is ready or the stores of all projects have failed, finishes what has begun, and
    /// leaves the stores closed.
    ///
    /// # Errors
    /// A [`CollectError`] if a store fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), CollectError> {
        let directory = Arc::clone(&self.app.directory);
        let until = async {
            tokio::select! {
                () = stop => {}
                () = all_failed(&directory) => {}
                () = close_epochs(&directory) => {}
            }
            tracing::info!("stopping: finishing the requests that have begun");
        };
        server::serve(self.router(), listener, (self.limits, self.tls.clone()), until, STOP_TIMEOUT).await;
        self.finish().await
    }

    /// Commits what was taken, and leaves the stores closed.
    ///
    /// # Errors
    /// The first [`CollectError`] if stores have failed; the others are still closed.
    pub async fn finish(self) -> Result<(), CollectError> {
        let mut result = Ok(());
        for (project, running) in self.running {
            let finished = running.finish().await;
            result = result.and(finished.map_err(|source| CollectError::Project { project, source }));
        }
        result
    }
}

/// Reads the files of a running collector anew.
#[derive(Clone, Debug)]
pub struct Reloader {
    directory: Arc<Directory>,
    tls: Option<Tls>,
}

impl Reloader {
    /// Reads questions, keys and tokens of all projects anew, and the certificate. What cannot be used leaves the old in
    /// force; the log and the figures of the project tell. It reads files, so it takes a while.
    pub fn reload(&self) {
        self.directory.reload_all();
        match self.tls.as_ref().map(Tls::reload) {
            None => {}
            Some(Ok(())) => tracing::info!("the certificate was read anew"),
            Some(Err(error)) => {
                tracing::error!(cause = %directory::causes(&error), "the certificate stays as it was");
            }
        }
    }
}

fn check_clock(name: &ProjectName, store: &dyn Store, window: &Window) -> Result<(), CollectError> {
    let (closed, oldest) = (store.open_from()?, window.oldest());
    let newest = store.holdings(&Selection::all())?.iter().map(|holding| holding.epoch).max();
    window.check(closed, newest).map_err(|source| CollectError::Clock { project: name.clone(), source })?;
    if closed > oldest {
        tracing::warn!(project = %name, %closed, %oldest, "the store has closed newer epochs than the clock tells: their reports are refused; check the clock");
    }
    Ok(())
}

async fn all_failed(directory: &Directory) {
    for project in directory.projects() {
        project.writer.failed().await;
    }
}

/// Closes epochs for ever, so that they are closed and their time is known also where no batch comes.
async fn close_epochs(directory: &Directory) {
    loop {
        directory.projects().iter().for_each(|project| project.writer.close());
        tokio::time::sleep(CLOSE_INTERVAL).await;
    }
}

/// A collector that cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gave no thread to write with.
    #[error(transparent)]
    Writer(#[from] WriterError),
    /// The store of a project failed while it was served.
    #[error("project {project} has stopped")]
    Project {
        /// The project.
        project: ProjectName,
        /// Why.
        source: WriterError,
    },
    /// The clock is far ahead.
    #[error("project {project} is not served")]
    Clock {
        /// The project.
        project: ProjectName,
        /// The clock and the store's last day.
        source: ClockAhead,
    },
    /// Projects that cannot be served beside each other.
    #[error(transparent)]
    Conflict(#[from] ConflictError),
}
