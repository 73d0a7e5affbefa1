//! The collector's addresses.
//!
//! | address | takes | answers |
//! |---|---|---|
//! | `POST /v1/reports` | a batch, as `application/octet-stream`, or as base64url in `text/plain`; either may be packed by `gzip` | `{"status":"accepted","reports":n,"refused":{…}}`, or `"duplicate"` |
//! | `GET /v1/catalog` | | the current metrics with their parameters, and an `ETag` |
//! | `GET /v1/counts` | an analyst's token | what the store holds, or with `?metric=…&version=…` and perhaps `&from=…&to=…`, the counts of those epochs |
//! | `GET /metrics` | an analyst's token | the collector's own figures, for Prometheus |
//! | `GET /healthz` | | `{"status":"ok"}` while the program answers |
//! | `GET /readyz` | | `{"status":"ok"}` while batches are taken |
//!
//! `reports` is the number of reports that are counted, and `refused` how many were not, by reason; the reports of a
//! batch are refused one by one. If none can be counted the answer is a [`Problem`], as it is to all else. Answers of
//! 408, 429 and 503 may be tried again, under the same batch id; other refusals stay refusals.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use deniable::{Batch, Epoch, MetricId};
use serde::{Deserialize, Serialize};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use super::access::Origin;
use super::body;
use super::memory::Memory;
use super::metrics::Metrics;
use super::problem::{Kind, Problem, by_reason};
use super::published::Published;
use super::rates::{Limiter, Neighbourhood};
use super::settings::{Origins, Settings};
use super::writer::{Committed, Writer, WriterError};
use crate::catalog::Catalog;
use crate::store::{Accepted, Checked, Registries, Selection, Store, Terms};

/// How long a browser may remember which pages may read answers.
const CORS_AGE_SECONDS: u64 = 86_400;

/// What is asked, and what was: reports may still come under a registry of before.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The metrics.
    pub catalog: Catalog,
    /// The registries that were ever served, and this catalog's.
    pub registries: Registries,
}

#[derive(Clone)]
struct App {
    asked: Arc<Asked>,
    store: Arc<dyn Store>,
    published: Published,
    writer: Writer,
    metrics: Metrics,
    memory: Memory,
    limiter: Arc<Limiter>,
    settings: Arc<Settings>,
}

/// Makes the collector's service: batches are checked against what is `asked` and committed by `writer` to
/// `store`, and what happens is counted in `metrics`.
pub fn router(
    asked: Arc<Asked>,
    (store, writer, metrics): (Arc<dyn Store>, Writer, Metrics),
    settings: Settings,
) -> Router {
    let app = App {
        published: Published::new(&asked.catalog),
        asked,
        store,
        writer,
        metrics,
        memory: Memory::new(settings.limits.memory_bytes),
        limiter: Arc::new(Limiter::new(settings.rates)),
        settings: Arc::new(settings),
    };
    Router::new()
        .route("/v1/reports", post(receive))
        .route("/v1/catalog", get(catalog_of))
        .route("/v1/counts", get(counts))
        .route("/metrics", get(metrics_of))
        .route("/healthz", get(async || Json(OK)))
        .route("/readyz", get(ready))
        .fallback(async || Problem::new(Kind::NotFound, "batches are sent to POST /v1/reports"))
        .method_not_allowed_fallback(async || {
            Problem::new(Kind::MethodNotAllowed, "batches are sent with POST to /v1/reports")
        })
        .layer(cors(&app.settings))
        .with_state(app)
}

fn cors(settings: &Settings) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE, header::CONTENT_ENCODING, header::IF_NONE_MATCH])
        .expose_headers([header::ETAG, header::RETRY_AFTER])
        .max_age(std::time::Duration::from_secs(CORS_AGE_SECONDS));
    match &settings.origins {
        Origins::Listed(listed) => {
            let origins = listed.iter().map(Origin::header).chain(settings.access.origins());
            layer.allow_origin(AllowOrigin::list(origins.cloned()))
        }
        Origins::Any => layer.allow_origin(Any),
    }
}

/// What a supervisor learns.
#[derive(Serialize)]
struct Health {
    status: &'static str,
}

const OK: Health = Health { status: "ok" };

/// What a sender learns of its batch.
#[derive(Serialize)]
struct Receipt {
    status: &'static str,
    reports: usize,
    refused: BTreeMap<&'static str, usize>,
}

async fn receive(State(app): State<App>, request: Request) -> Result<Json<Receipt>, Problem> {
    count(&app, request).await.inspect_err(|problem| app.metrics.problem(problem))
}

async fn count(app: &App, request: Request) -> Result<Json<Receipt>, Problem> {
    let App { limiter, settings, .. } = app;
    if let Some(neighbourhood) = request.extensions().get::<Neighbourhood>() {
        limiter.check_neighbourhood(*neighbourhood).map_err(Problem::too_many)?;
    }
    let headers = request.headers().clone();
    let (body, memory) = body::receive(request, &app.memory, settings.limits.body_timeout).await?;
    let batch = Batch::parse(&body)?;
    let source = settings.access.check_key(batch.key(), &headers)?;
    if !settings.access.is_open() {
        limiter.check_key(batch.key()).map_err(Problem::too_many)?;
    }
    let Asked { catalog, registries } = &*app.asked;
    let terms = Terms { catalog, registries, open: settings.window.open(), source };
    let Checked { accepted, refused } = Accepted::check(&batch, &terms);
    // The accepted reports are a copy; between here and the parsing nothing waits, so there are few of both at a time.
    drop(batch);
    drop(body);
    if accepted.is_empty() {
        return Err(refused.into());
    }
    let reports = accepted.report_count();
    let committed = app.writer.commit(accepted, memory).await?;
    app.metrics.received(committed, reports, &refused);
    let status = match committed {
        Committed::Now => "accepted",
        Committed::Before => "duplicate",
    };
    Ok(Json(Receipt { status, reports, refused: by_reason(&refused) }))
}

async fn catalog_of(State(app): State<App>, headers: HeaderMap) -> Response {
    app.published.answer(&headers)
}

/// Which counts an analyst wants; without a metric the list of all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    metric: Option<MetricId>,
    version: Option<u32>,
    from: Option<Epoch>,
    to: Option<Epoch>,
}

/// The counts of a metric version: the reports of each cohort, and of those that set each bit.
#[derive(Serialize)]
struct Sums {
    cohorts: Vec<Cohort>,
}

#[derive(Serialize)]
struct Cohort {
    reports: u64,
    ones: Vec<u64>,
}

async fn counts(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    app.settings.access.check_token(request.headers())?;
    let wanted = Query::<Wanted>::try_from_uri(request.uri());
    let Query(wanted) = wanted.map_err(|error| Problem::new(Kind::BadQuery, error.body_text()))?;
    let store = Arc::clone(&app.store);
    // Reading may wait for the disk, and must not keep requests waiting.
    let read = tokio::task::spawn_blocking(move || read(&*store, wanted)).await;
    read.map_err(|_| Problem::from(WriterError::Stopped))?
}

fn read(store: &dyn Store, wanted: Wanted) -> Result<Response, Problem> {
    let (metric, version) = match wanted {
        Wanted { metric: None, version: None, from: None, to: None } => {
            return Ok(Json(store.holdings(&Selection::all())?).into_response());
        }
        Wanted { metric: Some(metric), version: Some(version), .. } => (metric, version),
        _ => return Err(Problem::new(Kind::BadQuery, "give both metric and version, or nothing")),
    };
    let epochs = wanted.from.unwrap_or(Epoch(0))..=wanted.to.unwrap_or(Epoch(u32::MAX));
    let counts = store.counts(&metric, version, &Selection::of_epochs(epochs))?;
    let cohort =
        |(cohort, reports): (usize, &u64)| Cohort { reports: *reports, ones: counts.ones(cohort).to_vec() };
    Ok(Json(Sums { cohorts: counts.reports().iter().enumerate().map(cohort).collect() }).into_response())
}

async fn metrics_of(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    app.settings.access.check_token(&headers)?;
    let written = tokio::task::spawn_blocking(move || app.metrics.write(&*app.store, &app.memory)).await;
    let text = written.map_err(|_| Problem::from(WriterError::Stopped))??;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

async fn ready(State(app): State<App>) -> Result<Json<Health>, Problem> {
    if app.writer.is_running() { Ok(Json(OK)) } else { Err(WriterError::Stopped.into()) }
}
