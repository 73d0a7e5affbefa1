//! What only the holder of an admin's token may have done.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;

use super::access::Role;
use super::directory::ReloadError;
use super::http::{App, Health, OK};
use super::problem::{Kind, Problem};
use super::writer::WriterError;

/// Reads the files of the token's project anew.
pub(super) async fn reload(State(app): State<App>, headers: HeaderMap) -> Result<Json<Health>, Problem> {
    let found = app.reader(&headers, Role::Admin)?;
    // It reads files, and the store may be busy.
    let read = tokio::task::spawn_blocking(move || app.directory.reload_one(&found)).await;
    read.map_err(|_| WriterError::Stopped)?.map_err(refused)?;
    Ok(Json(OK))
}

/// What is wrong stands in the log, with places on this machine that are not for the network.
fn refused(_: ReloadError) -> Problem {
    Problem::new(
        Kind::ReloadRefused,
        "the files cannot be used, so the old stay in force: the collector's log tells why",
    )
}
