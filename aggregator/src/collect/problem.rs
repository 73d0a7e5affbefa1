//! Refusals as a client reads them: `application/problem+json` of RFC 9457.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use deniable::BatchError;
use serde::Serialize;

use super::writer::WriterError;
use crate::store::Refusal;

/// After how many seconds a client that was refused for now may try again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// The kinds of refusal. Their names are part of the protocol and stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The body ends before the batch does.
    TruncatedBatch,
    /// The batch has no report.
    EmptyBatch,
    /// The body is no batch, or one of another format.
    MalformedBatch,
    /// A report is none that its metric can have.
    ImpossibleReport,
    /// The body did not arrive.
    UnreadableBody,
    /// The metric is not asked here.
    UnknownMetric,
    /// The metric is not asked in that version.
    UnknownVersion,
    /// The metric version is asked with other parameters.
    OtherParameters,
    /// The batch is over the limit.
    BatchTooLarge,
    /// The body is not declared as bytes.
    UnsupportedMediaType,
    /// There is nothing at this address.
    NotFound,
    /// The address does not take this method.
    MethodNotAllowed,
    /// Too many batches wait; try again later.
    Busy,
    /// The store has failed; try again later.
    StoreFailed,
}

impl Kind {
    /// The status, the stable name and the title.
    const fn describe(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::TruncatedBatch => {
                (StatusCode::BAD_REQUEST, "urn:deniable:problem:truncated-batch", "The batch is cut short")
            }
            Self::EmptyBatch => {
                (StatusCode::BAD_REQUEST, "urn:deniable:problem:empty-batch", "The batch has no report")
            }
            Self::MalformedBatch => {
                (StatusCode::BAD_REQUEST, "urn:deniable:problem:malformed-batch", "The body is no batch")
            }
            Self::ImpossibleReport => (
                StatusCode::BAD_REQUEST,
                "urn:deniable:problem:impossible-report",
                "A report does not fit its metric",
            ),
            Self::UnreadableBody => {
                (StatusCode::BAD_REQUEST, "urn:deniable:problem:unreadable-body", "The body did not arrive")
            }
            Self::UnknownMetric => {
                (StatusCode::NOT_FOUND, "urn:deniable:problem:unknown-metric", "The metric is not asked here")
            }
            Self::UnknownVersion => (
                StatusCode::CONFLICT,
                "urn:deniable:problem:unknown-version",
                "The metric is not asked in this version",
            ),
            Self::OtherParameters => (
                StatusCode::CONFLICT,
                "urn:deniable:problem:other-parameters",
                "The metric is asked with other parameters",
            ),
            Self::BatchTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "urn:deniable:problem:batch-too-large",
                "The batch is too large",
            ),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "urn:deniable:problem:unsupported-media-type",
                "The body is not declared as a batch",
            ),
            Self::NotFound => {
                (StatusCode::NOT_FOUND, "urn:deniable:problem:not-found", "There is nothing at this address")
            }
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "urn:deniable:problem:method-not-allowed",
                "This address does not take this method",
            ),
            Self::Busy => {
                (StatusCode::SERVICE_UNAVAILABLE, "urn:deniable:problem:busy", "Too many batches wait")
            }
            Self::StoreFailed => {
                (StatusCode::SERVICE_UNAVAILABLE, "urn:deniable:problem:store-failed", "The store has failed")
            }
        }
    }
}

/// A refusal: its kind, and what is wrong with this request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: String,
}

impl Problem {
    /// Makes a refusal.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl From<BatchError> for Problem {
    fn from(error: BatchError) -> Self {
        let kind = match error {
            BatchError::Truncated { .. } => Kind::TruncatedBatch,
            BatchError::Empty => Kind::EmptyBatch,
            BatchError::TooLarge { .. } => Kind::BatchTooLarge,
            _ => Kind::MalformedBatch,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::UnknownMetric { .. } => Kind::UnknownMetric,
            Refusal::UnknownVersion { .. } => Kind::UnknownVersion,
            Refusal::OtherParameters { .. } => Kind::OtherParameters,
            Refusal::Cohort { .. } | Refusal::BitsBeyond { .. } | Refusal::Direct { .. } => {
                Kind::ImpossibleReport
            }
        };
        Self::new(kind, refusal.to_string())
    }
}

impl From<WriterError> for Problem {
    fn from(error: WriterError) -> Self {
        match error {
            WriterError::Full => Self::new(Kind::Busy, error.to_string()),
            // What failed in the store is for the operator, who finds it in the log.
            WriterError::Stopped | WriterError::Store(_) | WriterError::Thread { .. } => {
                Self::new(Kind::StoreFailed, WriterError::Stopped.to_string())
            }
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    name: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, name, title) = self.kind.describe();
        let body = Body { name, title, status: status.as_u16(), detail: &self.detail };
        let body = serde_json::to_vec(&body).expect("text and numbers have a JSON form");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}
