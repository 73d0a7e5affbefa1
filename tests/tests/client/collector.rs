//! A real collector in this process, without sockets.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use deniable::Epoch;
use deniable::calendar::Day;
use deniable::client::testing::Answered;
use deniable::registry::Metric;
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::collect::{self, Access, Clock, Project, Settings, Window};
use deniable_aggregator::decode::Counts;
use deniable_aggregator::store::{MemoryStore, Selection, Store};
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// A clock that is set by hand, in seconds.
#[derive(Default)]
struct ManualClock(AtomicU64);

impl Clock for ManualClock {
    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + self.running()
    }

    fn running(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// A collector whose clock is set by hand.
pub(crate) struct Collector {
    runtime: Runtime,
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    days: u32,
    serving: Option<collect::Collector>,
    app: Router,
}

impl Collector {
    pub(crate) fn new(catalog: Catalog) -> Self {
        Self::open_for(catalog, 45)
    }

    /// A collector whose epochs take reports for so many days.
    pub(crate) fn open_for(catalog: Catalog, days: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (store, clock) = (Arc::default(), Arc::default());
        let mut collector = Self { runtime, store, clock, days, serving: None, app: Router::new() };
        collector.serve(catalog);
        collector
    }

    /// Serves another catalog from now on.
    pub(crate) fn serve(&mut self, catalog: Catalog) {
        if let Some(before) = self.serving.take() {
            self.app = Router::new();
            self.runtime.block_on(before.finish()).unwrap();
        }
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let window = Window::with_clock(self.days, clock).accepting(Some(Day(u32::MAX)));
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let project = Project::alone(store, catalog, Access::open());
        let serving = collect::Collector::new(vec![project], Settings { window, ..Settings::default() });
        let serving = serving.unwrap();
        self.app = serving.router();
        self.serving = Some(serving);
    }

    /// Moves its clock to the client's, but never back.
    pub(crate) fn set_clock(&self, millis: i64) {
        self.clock.0.fetch_max((millis / 1000) as u64, Ordering::Relaxed);
    }

    pub(crate) fn post(&self, body: &[u8]) -> Answered {
        let request = Request::post("/v1/reports").header(header::CONTENT_TYPE, "application/octet-stream");
        let request = request.body(Body::from(body.to_vec())).unwrap();
        let (status, body) = self.runtime.block_on(async {
            let response = self.app.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            (status, to_bytes(response.into_body(), 100_000).await.unwrap())
        });
        Answered { status, retry_after: None, body: body.to_vec() }
    }

    /// The counts of a metric.
    pub(crate) fn counts(&self, metric: &Metric, epochs: RangeInclusive<Epoch>) -> Counts {
        let selection = Selection::of_epochs(epochs);
        self.store.counts(metric.id(), metric.version(), &selection).unwrap()
    }

    /// The reports of a metric by the labels of a public tag.
    pub(crate) fn reports_by(&self, metric: &Metric, tag: &str) -> BTreeMap<Option<String>, u64> {
        let counts = self.store.counts_by(metric.id(), metric.version(), &Selection::all(), tag).unwrap();
        counts.into_iter().map(|(label, counts)| (label, counts.total())).collect()
    }

    /// All reports that are counted.
    pub(crate) fn counted(&self) -> u64 {
        let holdings = self.store.holdings(&Selection::all()).unwrap();
        holdings.iter().map(|holding| holding.reports).sum()
    }
}
