//! A real collector in this process, without sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use deniable::client::testing::Answered;
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::collect::{Metrics, Settings, Window, Writer, router};
use deniable_aggregator::store::{MemoryStore, Store};
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// A collector whose clock is set by hand.
pub(crate) struct Collector {
    runtime: Runtime,
    app: Router,
    parts: (Arc<MemoryStore>, Writer, Metrics),
    settings: Settings,
    seconds: Arc<AtomicU64>,
}

impl Collector {
    pub(crate) fn new(catalog: Catalog) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let seconds = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&seconds);
        let now = move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed));
        let settings = Settings { window: Window::with_clock(45, now), ..Settings::default() };
        let store = Arc::new(MemoryStore::default());
        let metrics = Metrics::new();
        let (writer, _running) =
            Writer::start(Arc::clone(&store) as Arc<dyn Store>, settings.window.clone(), metrics.clone())
                .unwrap();
        let app = Router::new();
        let mut collector = Self { runtime, app, parts: (store, writer, metrics), settings, seconds };
        collector.serve(catalog);
        collector
    }

    /// Serves another catalog from now on.
    pub(crate) fn serve(&mut self, catalog: Catalog) {
        let (store, writer, metrics) = self.parts.clone();
        store.declare(&catalog.definitions().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap();
        self.app = router(Arc::new(catalog), (store, writer, metrics), self.settings.clone());
    }

    /// Moves its clock to the client's, but never back.
    pub(crate) fn set_clock(&self, millis: i64) {
        self.seconds.fetch_max((millis / 1000) as u64, Ordering::Relaxed);
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

    pub(crate) fn store(&self) -> &MemoryStore {
        &self.parts.0
    }

    /// All reports that are counted.
    pub(crate) fn counted(&self) -> u64 {
        self.store().holdings().unwrap().iter().map(|holding| holding.reports).sum()
    }
}
