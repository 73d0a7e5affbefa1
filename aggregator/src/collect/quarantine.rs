//! What figures leave out, by the word of a project's admin.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use deniable::{Epoch, MetricId};
use serde::{Deserialize, Serialize};

use super::access::Role;
use super::http::{App, query};
use super::problem::{Kind, Problem};
use super::writer::WriterError;
use crate::store::{Aside, Store, StoreError};
use crate::survey::{self, Omitted};

/// What is to be set aside or taken back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    source: Option<String>,
    metric: Option<MetricId>,
    epoch: Option<Epoch>,
}

/// What became of it.
#[derive(Serialize)]
pub(super) struct Changed {
    changed: bool,
    #[serde(flatten)]
    omitted: Omitted,
}

/// Lists what is set aside.
pub(super) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Json<Vec<Omitted>>, Problem> {
    let found = app.reader(&headers, Role::Read)?;
    on_store(&found.project.store, survey::set_aside).await.map(Json)
}

/// Sets something aside.
pub(super) async fn set_aside(State(app): State<App>, request: Request) -> Result<Json<Changed>, Problem> {
    change(app, request, |store, what| store.set_aside(what)).await
}

/// Takes something back.
pub(super) async fn take_back(State(app): State<App>, request: Request) -> Result<Json<Changed>, Problem> {
    change(app, request, |store, what| store.take_back(what)).await
}

async fn change(
    app: App,
    request: Request,
    change: fn(&dyn Store, &Aside) -> Result<bool, StoreError>,
) -> Result<Json<Changed>, Problem> {
    let found = app.reader(request.headers(), Role::Admin)?;
    let what = match query(&request)? {
        Named { source: Some(source), metric: None, epoch: None } => Aside::Source { source },
        Named { source: None, metric: Some(metric), epoch: Some(epoch) } => Aside::Epoch { metric, epoch },
        _ => return Err(Problem::new(Kind::BadQuery, "give either a source, or a metric and an epoch")),
    };
    let project = found.project.name.clone();
    let changed = on_store(&found.project.store, move |store| {
        let changed = change(store, &what)?;
        tracing::info!(%project, %what, changed, "what figures leave out was told by an admin");
        Ok(Changed { changed, omitted: survey::omitted(store, &what)? })
    });
    changed.await.map(Json)
}

/// Runs steps on a store: they may wait for the disk, and must not keep requests waiting.
async fn on_store<T: Send + 'static>(
    store: &Arc<dyn Store>,
    steps: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let store = Arc::clone(store);
    let done = tokio::task::spawn_blocking(move || steps(&*store)).await;
    Ok(done.map_err(|_| WriterError::Stopped)??)
}
