//! The collector's addresses.
//!
//! | address | takes | answers |
//! |---|---|---|
//! | `POST /v1/reports` | a batch, as `application/octet-stream`, or as base64url in `text/plain`; either may be packed by `gzip` | `{"status":"accepted","reports":n,"refused":{…}}`, or `"duplicate"` |
//! | `GET /v1/catalog` | | the current metrics with their parameters, and an `ETag` |
//! | `GET /healthz` | | `{"status":"ok"}` while batches are taken |
//!
//! `reports` is the number of reports that are counted, and `refused` how many were not, by reason; the reports of a
//! batch are refused one by one. If none can be counted the answer is a [`Problem`], as it is to all else. Answers of
//! 408, 429 and 503 may be tried again, under the same batch id; other refusals stay refusals.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use deniable::Batch;
use serde::Serialize;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use super::body;
use super::memory::Memory;
use super::problem::{Kind, Problem, by_reason};
use super::published::Published;
use super::settings::{Origins, Settings};
use super::writer::{Committed, Writer, WriterError};
use crate::catalog::Catalog;
use crate::store::{Accepted, Checked};

/// How long a browser may remember which pages may read answers.
const CORS_AGE_SECONDS: u64 = 86_400;

#[derive(Clone)]
struct App {
    catalog: Arc<Catalog>,
    published: Published,
    writer: Writer,
    memory: Memory,
    settings: Arc<Settings>,
}

/// Makes the collector's service: batches are checked against `catalog` and committed by `writer`.
pub fn router(catalog: Arc<Catalog>, writer: Writer, settings: Settings) -> Router {
    let app = App {
        published: Published::new(&catalog),
        catalog,
        writer,
        memory: Memory::new(settings.limits.memory_bytes),
        settings: Arc::new(settings),
    };
    Router::new()
        .route("/v1/reports", post(receive))
        .route("/v1/catalog", get(catalog_of))
        .route("/healthz", get(health))
        .fallback(async || Problem::new(Kind::NotFound, "batches are sent to POST /v1/reports"))
        .method_not_allowed_fallback(async || {
            Problem::new(Kind::MethodNotAllowed, "batches are sent with POST to /v1/reports")
        })
        .layer(cors(&app.settings.origins))
        .with_state(app)
}

fn cors(origins: &Origins) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE, header::CONTENT_ENCODING, header::IF_NONE_MATCH])
        .expose_headers([header::ETAG, header::RETRY_AFTER])
        .max_age(std::time::Duration::from_secs(CORS_AGE_SECONDS));
    match origins {
        Origins::Listed(origins) => layer.allow_origin(AllowOrigin::list(origins.iter().cloned())),
        Origins::Any => layer.allow_origin(Any),
    }
}

/// What a sender learns of its batch.
#[derive(Serialize)]
struct Receipt {
    status: &'static str,
    reports: usize,
    refused: BTreeMap<&'static str, usize>,
}

async fn receive(State(app): State<App>, request: Request) -> Result<Json<Receipt>, Problem> {
    let (body, memory) = body::receive(request, &app.memory, app.settings.limits.body_timeout).await?;
    let Checked { accepted, refused } =
        Accepted::check(&Batch::parse(&body)?, &app.catalog, &app.settings.window.open());
    // The accepted reports are a copy; between here and the parsing nothing waits, so there are few of both at a time.
    drop(body);
    if accepted.is_empty() {
        return Err(refused.into());
    }
    let reports = accepted.report_count();
    let status = match app.writer.commit(accepted, memory).await? {
        Committed::Now => "accepted",
        Committed::Before => "duplicate",
    };
    Ok(Json(Receipt { status, reports, refused: by_reason(&refused) }))
}

async fn catalog_of(State(app): State<App>, headers: HeaderMap) -> Response {
    app.published.answer(&headers)
}

async fn health(State(app): State<App>) -> Result<Json<serde_json::Value>, Problem> {
    if app.writer.is_running() {
        Ok(Json(serde_json::json!({ "status": "ok" })))
    } else {
        Err(WriterError::Stopped.into())
    }
}
