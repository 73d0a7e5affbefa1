//! What the collector counts of itself, in the text format of Prometheus. Numbers alone: nothing here says who sent
//! what.
//!
//! What is of a project has its name as a label, and is read with a token of that project; what is not, all may read.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::guards::Guards;
use super::memory::Memory;
use super::problem::Kind;
use super::project::ProjectName;
use super::writer::Committed;
use crate::store::{Refused, Store, StoreError};

/// What the names of all figures begin with.
const PREFIX: &str = "deniable";

/// A label of one word.
type Label = [(&'static str, &'static str); 1];

/// The figures of the whole collector.
#[derive(Clone)]
pub(super) struct Metrics(Arc<Content>);

struct Content {
    registry: Registry,
    problems: Family<Label, Counter>,
    memory_bytes: Gauge,
}

impl Metrics {
    /// Begins at zero.
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let (problems, memory_bytes) = (Family::<Label, Counter>::default(), Gauge::default());
        registry.register(
            "problems",
            "Requests that were answered with a problem, by its name",
            problems.clone(),
        );
        registry.register_with_unit("memory", "What requests hold", Unit::Bytes, memory_bytes.clone());
        Self(Arc::new(Content { registry, problems, memory_bytes }))
    }

    /// Counts a request that was answered with a problem.
    pub(super) fn problem(&self, kind: Kind) {
        self.0.problems.get_or_create(&[("problem", kind.name())]).inc();
    }

    /// Writes all, as it is now, with the figures of one project.
    pub(super) fn write(
        &self,
        memory: &Memory,
        project: &ProjectMetrics,
        store: &dyn Store,
    ) -> Result<String, StoreError> {
        self.0.memory_bytes.set(whole(memory.held_bytes() as u64));
        project.observe(store)?;
        let mut text = String::new();
        encode_registry(&mut text, &self.0.registry)
            .and_then(|()| encode_registry(&mut text, &project.0.registry))
            .and_then(|()| encode_eof(&mut text))
            .expect("text can be written to");
        Ok(text)
    }
}

/// The figures of a project.
#[derive(Clone)]
pub(super) struct ProjectMetrics(Arc<ProjectContent>);

struct ProjectContent {
    registry: Registry,
    batches: Family<Label, Counter>,
    reports: Family<Label, Counter>,
    reloads: Family<Label, Counter>,
    commit_seconds: Histogram,
    waiting: Gauge,
    store_bytes: Gauge,
    last_closed: Gauge,
    guards: Guards,
}

/// A batch that waits for its commit; dropping it ends the waiting.
#[derive(Debug)]
pub(super) struct Waiting(Gauge);

impl ProjectMetrics {
    /// Begins at zero.
    pub(super) fn new(project: &ProjectName) -> Self {
        let label = ("project".into(), project.to_string().into());
        let mut registry = Registry::with_prefix_and_labels(PREFIX, [label].into_iter());
        let [batches, reports, reloads] = [(); 3].map(|()| Family::<Label, Counter>::default());
        // From 0.25 ms, a fast disk, to 8 s, a failing one.
        let commit_seconds = Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let [waiting, store_bytes, last_closed] = [(); 3].map(|()| Gauge::default());
        registry.register("batches", "Batches that were answered with success, by outcome", batches.clone());
        registry.register(
            "reports",
            "Reports, by what became of them; those of duplicates are not among them",
            reports.clone(),
        );
        registry.register("reloads", "How often files were read anew, by outcome", reloads.clone());
        registry.register_with_unit("commit", "How long commits took", Unit::Seconds, commit_seconds.clone());
        registry.register("waiting_batches", "Batches that wait for their commit", waiting.clone());
        registry.register_with_unit(
            "store",
            "What the store takes on disk",
            Unit::Bytes,
            store_bytes.clone(),
        );
        registry.register(
            "last_closed_epoch",
            "The newest epoch that takes no reports any more; -1 if all take them",
            last_closed.clone(),
        );
        let guards = Guards::register(&mut registry);
        let content = ProjectContent {
            registry,
            batches,
            reports,
            reloads,
            commit_seconds,
            waiting,
            store_bytes,
            last_closed,
            guards,
        };
        Self(Arc::new(content))
    }

    /// Counts a batch of which some reports were accepted.
    pub(super) fn received(&self, committed: Committed, reports: usize, refused: &Refused) {
        let outcome = match committed {
            Committed::Now => "accepted",
            Committed::Before => "duplicate",
        };
        self.0.batches.get_or_create(&[("outcome", outcome)]).inc();
        if committed == Committed::Now {
            self.0.reports.get_or_create(&[("outcome", outcome)]).inc_by(reports as u64);
            self.refused(refused);
        }
    }

    /// Counts reports that were refused.
    pub(super) fn refused(&self, refused: &Refused) {
        for (reason, reports) in refused.counts() {
            self.0.reports.get_or_create(&[("outcome", reason.name())]).inc_by(reports as u64);
        }
    }

    /// Counts a reading of the project's files.
    pub(super) fn reloaded(&self, succeeded: bool) {
        let outcome = if succeeded { "done" } else { "refused" };
        self.0.reloads.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Notes how long a commit took.
    pub(super) fn committed(&self, took: Duration) {
        self.0.commit_seconds.observe(took.as_secs_f64());
    }

    /// Counts a batch as waiting.
    pub(super) fn wait(&self) -> Waiting {
        self.0.waiting.inc();
        Waiting(self.0.waiting.clone())
    }

    /// Reads what the store has to tell.
    fn observe(&self, store: &dyn Store) -> Result<(), StoreError> {
        self.0.store_bytes.set(whole(store.size_bytes()?));
        let open_from = store.open_from()?;
        self.0.last_closed.set(i64::from(open_from.0) - 1);
        self.0.guards.observe(store, open_from)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

impl fmt::Debug for ProjectMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProjectMetrics(..)")
    }
}
