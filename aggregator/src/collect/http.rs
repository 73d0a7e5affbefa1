//! The collector's addresses.
//!
//! | address | takes | answers |
//! |---|---|---|
//! | `POST /v1/reports` | a batch, as `application/octet-stream` | `{"status":"accepted","reports":n}`, or `"duplicate"` |
//! | `GET /healthz` | | `{"status":"ok"}` while batches are taken |
//!
//! All else is answered with a [`Problem`]. Answers of 503 may be tried again, under the same batch id; other
//! refusals stay refusals.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use deniable::{Batch, MAX_BATCH_BYTES};
use serde::Serialize;

use super::problem::{Kind, Problem};
use super::writer::{Writer, WriterError};
use crate::catalog::Catalog;
use crate::store::{Accepted, Outcome};

#[derive(Clone)]
struct App {
    catalog: Arc<Catalog>,
    writer: Writer,
}

/// Makes the collector's service: batches are checked against `catalog` and committed by `writer`.
pub fn router(catalog: Arc<Catalog>, writer: Writer) -> Router {
    Router::new()
        .route("/v1/reports", post(receive))
        .route("/healthz", get(health))
        .fallback(async || Problem::new(Kind::NotFound, "batches are sent to POST /v1/reports"))
        .method_not_allowed_fallback(async || {
            Problem::new(Kind::MethodNotAllowed, "batches are sent with POST to /v1/reports")
        })
        .layer(DefaultBodyLimit::max(MAX_BATCH_BYTES))
        .with_state(App { catalog, writer })
}

/// What a sender learns of its batch.
#[derive(Serialize)]
struct Receipt {
    status: &'static str,
    reports: usize,
}

async fn receive(State(app): State<App>, request: Request) -> Result<Json<Receipt>, Problem> {
    check_media_type(request.headers())?;
    let body = read(request).await?;
    let batch = Accepted::check(&Batch::parse(&body)?, &app.catalog)?;
    let reports = batch.report_count();
    let size_bytes = body.len();
    // The batch keeps its own copy of the reports.
    drop(body);
    let status = match app.writer.commit(batch, size_bytes).await? {
        Outcome::Counted => "accepted",
        Outcome::Duplicate => "duplicate",
    };
    Ok(Json(Receipt { status, reports }))
}

/// Refuses what says that it is something else. A page that posts bytes declares nothing.
fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    const BATCH: &str = "application/octet-stream";
    let Some(declared) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let declared = declared.to_str().unwrap_or("unreadable");
    if declared.trim().eq_ignore_ascii_case(BATCH) {
        return Ok(());
    }
    let detail = format!("the content type is {declared:?}, but a batch is sent as {BATCH:?}, or with none");
    Err(Problem::new(Kind::UnsupportedMediaType, detail))
}

/// Reads the body, and stops where it goes over the limit.
async fn read(request: Request) -> Result<Bytes, Problem> {
    Bytes::from_request(request, &()).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = format!("the body is over the limit of {MAX_BATCH_BYTES} bytes: split the batch");
            Problem::new(Kind::BatchTooLarge, detail)
        } else {
            Problem::new(Kind::UnreadableBody, "the body ended early: send the batch again")
        }
    })
}

async fn health(State(app): State<App>) -> Result<Json<serde_json::Value>, Problem> {
    if app.writer.is_running() {
        Ok(Json(serde_json::json!({ "status": "ok" })))
    } else {
        Err(WriterError::Stopped.into())
    }
}
