//! The collector: batches come in over HTTP and are answered when they are durable.
//!
//! ```text
//! POST /v1/reports ─► read, parse, check against the catalog ─► writer ─► one commit for many ─► answers
//!                     (many connections at once)               (one thread)
//! ```
//!
//! Invariants: success is said only after the durable commit of the whole batch; a batch sent again gets the same
//! success and changes nothing; a refused batch leaves nothing behind. What cannot be taken now is refused with
//! 503 and `Retry-After`, so waiting batches never hold more memory than the writer's limit. Logs hold no
//! addresses, no bits and no batch ids.

mod http;
mod problem;
mod writer;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use self::http::router;
pub use self::problem::{Kind, Problem};
pub use self::writer::{DEFAULT_QUEUE_BYTES, Running, Writer, WriterError};
use crate::catalog::Catalog;
use crate::store::{Store, StoreError};

/// How long requests that have begun may take to end once the collector is told to stop. Nothing that was
/// acknowledged depends on it.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A collector whose store has room for its metrics.
#[derive(Debug)]
pub struct Collector {
    app: Router,
    writer: Writer,
    running: Running,
}

impl Collector {
    /// Makes a collector of the metrics of `catalog`, which are counted in `store`.
    ///
    /// # Errors
    /// A [`CollectError`] if the store counts a version under other parameters, or the system gives no thread.
    pub fn new(store: Store, catalog: Catalog) -> Result<Self, CollectError> {
        store.declare(catalog.definitions().map(AsRef::as_ref))?;
        let (writer, running) = Writer::start(store, DEFAULT_QUEUE_BYTES)?;
        Ok(Self { app: router(Arc::new(catalog), writer.clone()), writer, running })
    }

    /// Serves on `listener` until `stop` is ready or the store fails, finishes what has begun, and leaves the
    /// store closed.
    ///
    /// # Errors
    /// A [`CollectError`] if the store or the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), CollectError> {
        let Self { app, writer, running } = self;
        let (stopping, stopped) = oneshot::channel();
        let until = async move {
            tokio::select! {
                () = stop => {}
                () = writer.failed() => {}
            }
            tracing::info!("stopping: finishing the requests that have begun");
            // If nobody listens, the server has ended already.
            let _ = stopping.send(());
        };
        let deadline = async {
            match stopped.await {
                Ok(()) => tokio::time::sleep(STOP_TIMEOUT).await,
                Err(_) => std::future::pending().await,
            }
        };
        // A client waits for each answer, so small packets must not wait for more.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "no TCP_NODELAY");
            }
        });
        tokio::select! {
            served = axum::serve(listener, app).with_graceful_shutdown(until).into_future() => served?,
            () = deadline => tracing::warn!(seconds = STOP_TIMEOUT.as_secs(), "some requests did not end in time"),
        }
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
    /// The network or a thread failed.
    #[error("the collector cannot go on")]
    Io(#[from] io::Error),
}
