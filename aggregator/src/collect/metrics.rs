//! What the collector counts of itself, in the text format of Prometheus. Numbers alone: nothing here says who sent
//! what.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::memory::Memory;
use super::problem::Problem;
use super::writer::Committed;
use crate::store::{Refused, Store, StoreError};

/// A label of one word.
type Label = [(&'static str, &'static str); 1];

/// The collector's counters.
#[derive(Clone)]
pub struct Metrics(Arc<Content>);

struct Content {
    registry: Registry,
    batches: Family<Label, Counter>,
    reports: Family<Label, Counter>,
    problems: Family<Label, Counter>,
    commit_seconds: Histogram,
    memory_bytes: Gauge,
    store_bytes: Gauge,
    open_from: Gauge,
}

impl Metrics {
    /// Begins at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("deniable");
        let [batches, reports, problems] = [(); 3].map(|()| Family::<Label, Counter>::default());
        // From 0.25 ms, a fast disk, to 8 s, a failing one.
        let commit_seconds = Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let [memory_bytes, store_bytes, open_from] = [(); 3].map(|()| Gauge::default());
        registry.register("batches", "Batches that were answered with success, by outcome", batches.clone());
        registry.register(
            "reports",
            "Reports, by what became of them; those of duplicates are not among them",
            reports.clone(),
        );
        registry.register(
            "problems",
            "Requests that were answered with a problem, by its name",
            problems.clone(),
        );
        registry.register_with_unit("commit", "How long commits took", Unit::Seconds, commit_seconds.clone());
        registry.register_with_unit("memory", "What requests hold", Unit::Bytes, memory_bytes.clone());
        registry.register_with_unit(
            "store",
            "What the store takes on disk",
            Unit::Bytes,
            store_bytes.clone(),
        );
        registry.register("open_from_epoch", "The oldest epoch that takes reports", open_from.clone());
        Self(Arc::new(Content {
            registry,
            batches,
            reports,
            problems,
            commit_seconds,
            memory_bytes,
            store_bytes,
            open_from,
        }))
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

    /// Counts a request that was answered with a problem.
    pub(super) fn problem(&self, problem: &Problem) {
        self.0.problems.get_or_create(&[("problem", problem.kind().name())]).inc();
        problem.refused().into_iter().for_each(|refused| self.refused(refused));
    }

    fn refused(&self, refused: &Refused) {
        for (reason, reports) in refused.counts() {
            self.0.reports.get_or_create(&[("outcome", reason.name())]).inc_by(reports as u64);
        }
    }

    /// Notes how long a commit took.
    pub(super) fn committed(&self, took: Duration) {
        self.0.commit_seconds.observe(took.as_secs_f64());
    }

    /// Writes all, as it is now.
    pub(super) fn write(&self, store: &dyn Store, memory: &Memory) -> Result<String, StoreError> {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.0.memory_bytes.set(whole(memory.held_bytes() as u64));
        self.0.store_bytes.set(whole(store.size_bytes()?));
        self.0.open_from.set(store.open_from()?.0.into());
        let mut text = String::new();
        encode(&mut text, &self.0.registry).expect("text can be written to");
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}
