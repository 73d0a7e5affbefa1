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

use axum::serve::ListenerExt;
use thiserror::Error;
use tokio::net::TcpListener;

pub use self::http::router;
pub use self::problem::{Kind, Problem};
pub use self::writer::{DEFAULT_QUEUE_BYTES, Writer, WriterError};
use crate::catalog::Catalog;
use crate::store::{Store, StoreError};

/// How long requests that have begun may take to end once the collector is told to stop. Nothing that was
/// acknowledged depends on it.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the collector on `listener` until `stop` is ready or the store fails, finishes what has begun, and
/// leaves the store closed.
///
/// # Errors
/// A [`CollectError`] if the store cannot take the catalog's metrics or fails later, or the listener fails.
pub async fn serve(
    listener: TcpListener,
    store: Store,
    catalog: Catalog,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), CollectError> {
    store.declare(catalog.definitions().map(AsRef::as_ref))?;
    let (writer, running) = Writer::start(store, DEFAULT_QUEUE_BYTES)?;
    let app = router(Arc::new(catalog), writer.clone());
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let failed = writer.clone();
    let until = async move {
        tokio::select! {
            () = stop => {}
            () = failed.failed() => {}
        }
        tracing::info!("stopping: finishing the requests that have begun");
        // If nobody listens, the server has ended already.
        let _ = stopping.send(());
    };
    // A client waits for each answer, so small packets must not wait for more.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let server = axum::serve(listener, app).with_graceful_shutdown(until).into_future();
    let deadline = async {
        if stopped.await.is_ok() {
            tokio::time::sleep(STOP_TIMEOUT).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        served = server => served?,
        () = deadline => tracing::warn!(seconds = STOP_TIMEOUT.as_secs(), "some requests did not end in time"),
    }
    Ok(running.finish().await?)
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
