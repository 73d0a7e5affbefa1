//! The collector: batches come in over HTTP and are answered when they are durable.
//!
//! ```text
//! POST /v1/reports ─► read, parse, check against the catalog ─► writer ─► one commit for many ─► answers
//!                     (many connections at once)               (one thread)
//! ```
//!
//! Invariants: success is said only after the durable commit of a batch; a batch sent again gets the same success and
//! changes nothing; reports are refused one by one, and what is refused leaves nothing behind. What cannot be taken
//! now is refused with 503 and `Retry-After`, so that requests never hold more memory than [`Limits`] allow, nor more
//! connections, nor any of them for longer. Logs hold no addresses, no bits, no keys and no batch ids.

mod access;
mod body;
mod clock;
mod http;
mod memory;
mod metrics;
mod problem;
mod published;
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

pub use self::access::{Access, AccessError, AccessFault, Origin, Token};
pub use self::clock::{DEFAULT_OPEN_DAYS, Window};
pub use self::http::{Asked, router};
pub use self::memory::{Held, Memory};
pub use self::metrics::Metrics;
pub use self::problem::{Kind, Problem};
pub use self::rates::Rates;
pub use self::settings::{Limits, Origins, Settings};
pub use self::tls::{Tls, TlsError};
pub use self::writer::{Committed, Running, Writer, WriterError};
use crate::catalog::Catalog;
use crate::store::{Store, StoreError};

/// How long requests that have begun may take to end once the collector is told to stop. Nothing that was
/// acknowledged depends on it.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A collector whose store has room for its metrics.
#[derive(Debug)]
pub struct Collector {
    app: Router,
    limits: Limits,
    tls: Option<Tls>,
    writer: Writer,
    running: Running,
}

impl Collector {
    /// Makes a collector of the metrics of `catalog`, which are counted in `store`.
    ///
    /// # Errors
    /// A [`CollectError`] if the store counts a version under other parameters, or the system gives no thread.
    pub fn new(store: Arc<dyn Store>, catalog: Catalog, settings: Settings) -> Result<Self, CollectError> {
        store.declare(&catalog)?;
        let asked = Asked { catalog, registries: store.registries()? };
        let (closed, oldest) = (store.open_from()?, settings.window.oldest());
        if closed > oldest {
            tracing::warn!(%closed, %oldest, "the store has closed newer epochs than the clock tells: their reports are refused; check the clock");
        }
        let metrics = Metrics::new();
        let (limits, tls) = (settings.limits, settings.tls.clone());
        let (writer, running) = Writer::start(Arc::clone(&store), settings.window.clone(), metrics.clone())?;
        let app = router(Arc::new(asked), (store, writer.clone(), metrics), settings);
        Ok(Self { app, limits, tls, writer, running })
    }

    /// Serves on `listener` until `stop` is ready or the store fails, finishes what has begun, and leaves the
    /// store closed.
    ///
    /// # Errors
    /// A [`CollectError`] if the store fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), CollectError> {
        let Self { app, limits, tls, writer, running } = self;
        let until = async {
            tokio::select! {
                () = stop => {}
                () = writer.failed() => {}
            }
            tracing::info!("stopping: finishing the requests that have begun");
        };
        server::serve(app, listener, (limits, tls), until, STOP_TIMEOUT).await;
        Ok(running.finish().await?)
    }
}

/// A collector that cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The writer stopped.
    #[error(transparent)]
    Writer(#[from] WriterError),
}
