//! What only the holder of an admin's token may have done.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::spawn_blocking;

use super::access::Role;
use super::directory::{Found, ReloadError};
use super::http::{App, Health, OK};
use super::problem::{Kind, Problem};
use super::writer::WriterError;

/// The bytes of a file that are read at a time.
const PIECE_BYTES: usize = 256 << 10;
/// For a client to take a piece; one that does not is let go.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads the files of the token's project anew.
pub(super) async fn reload(State(app): State<App>, headers: HeaderMap) -> Result<Json<Health>, Problem> {
    let found = app.reader(&headers, Role::Admin)?;
    // It reads files, and the store may be busy.
    let read = spawn_blocking(move || app.directory.reload_one(&found)).await;
    read.map_err(|_| WriterError::Stopped)?.map_err(refused)?;
    Ok(Json(OK))
}

/// What is wrong stands in the log, with places on this machine that are not for the network.
fn refused(_: ReloadError) -> Problem {
    let detail = "the files cannot be used, so the old stay in force: the collector's log tells why";
    Problem::new(Kind::ReloadRefused, detail)
}

/// Sends a copy of the store of the token's project, with every batch that was acknowledged before.
pub(super) async fn backup(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let Found { project, .. } = app.reader(&headers, Role::Admin)?;
    let place = Arc::clone(&project.backup).try_acquire_owned();
    let place = place.map_err(|_| {
        Problem::new(Kind::Busy, "another backup of this project is being made: ask again when it is over")
    })?;
    let name = project.name.clone();
    let copied = spawn_blocking(move || project.store.copy()).await;
    let (file, length) = copied.map_err(|_| WriterError::Stopped)??;
    tracing::info!(project = %name, bytes = length, "a backup was made");
    let (send, pieces) = mpsc::channel(1);
    tokio::spawn(read(file, send, place));
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::new(FileBody { pieces, left: length })).into_response())
}

/// Reads a file piece by piece, as fast as somebody takes them. The `place` is held until then.
async fn read(mut file: File, send: mpsc::Sender<io::Result<Bytes>>, place: OwnedSemaphorePermit) {
    loop {
        let Ok((back, piece)) = spawn_blocking(move || {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let read = file.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece);
            (file, read.map(|_| piece))
        })
        .await
        else {
            break;
        };
        file = back;
        let is_over = piece.as_ref().is_ok_and(Vec::is_empty);
        let failed = piece.is_err();
        if is_over || send.send_timeout(piece.map(Bytes::from), PATIENCE).await.is_err() || failed {
            break;
        }
    }
    drop(place);
}

/// The body of an answer that is read from a file.
struct FileBody {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

impl hyper::body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(context).map(|piece| match piece? {
            Ok(piece) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Some(Ok(Frame::data(piece)))
            }
            Err(error) => Some(Err(error)),
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
