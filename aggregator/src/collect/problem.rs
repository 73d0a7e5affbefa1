//! Refusals as a client reads them: `application/problem+json` of RFC 9457.

use std::collections::BTreeMap;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use deniable::BatchError;
use serde::Serialize;

use super::memory::Full;
use super::writer::WriterError;
use crate::store::{Reason, Refused, StoreError};

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
    /// No report of the batch can be counted; the reason is that of the first.
    Refused(Reason),
    /// The write key is not known here.
    UnknownKey,
    /// The write key was revoked.
    RevokedKey,
    /// The write key is for other pages.
    OtherOrigin,
    /// Only an analyst may read this.
    Unauthorized,
    /// The role of the token does not allow this.
    Forbidden,
    /// The files that were read anew cannot be used.
    ReloadRefused,
    /// The question cannot be understood.
    BadQuery,
    /// Too many requests under one key or from one neighbourhood of addresses; try again later.
    TooMany,
    /// The body did not arrive.
    UnreadableBody,
    /// The body did not arrive in time.
    TooSlow,
    /// The body is not the gzip or base64url that it is declared as.
    Undecodable,
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
    /// The name by which metrics know it: the end of its type.
    pub(super) fn name(self) -> &'static str {
        let (_, name, _) = self.describe();
        name.rsplit(':').next().expect("a split has a first part")
    }

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
            Self::Refused(reason) => describe_reason(reason),
            Self::UnknownKey => {
                (StatusCode::FORBIDDEN, "urn:deniable:problem:unknown-key", "The write key is not known here")
            }
            Self::RevokedKey => {
                (StatusCode::FORBIDDEN, "urn:deniable:problem:revoked-key", "The write key was revoked")
            }
            Self::OtherOrigin => {
                (StatusCode::FORBIDDEN, "urn:deniable:problem:other-origin", "The key is for other pages")
            }
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "urn:deniable:problem:unauthorized", "Only analysts may read this")
            }
            Self::Forbidden => {
                (StatusCode::FORBIDDEN, "urn:deniable:problem:forbidden", "The token does not allow this")
            }
            Self::ReloadRefused => {
                (StatusCode::CONFLICT, "urn:deniable:problem:reload-refused", "The project stays as it was")
            }
            Self::BadQuery => {
                (StatusCode::BAD_REQUEST, "urn:deniable:problem:bad-query", "The question is not understood")
            }
            Self::TooMany => {
                (StatusCode::TOO_MANY_REQUESTS, "urn:deniable:problem:too-many", "Too many requests")
            }
            Self::UnreadableBody => {
                (StatusCode::BAD_REQUEST, "urn:deniable:problem:unreadable-body", "The body did not arrive")
            }
            Self::TooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "urn:deniable:problem:too-slow", "The body took too long")
            }
            Self::Undecodable => {
                (StatusCode::BAD_REQUEST, "urn:deniable:problem:undecodable", "The body cannot be unpacked")
            }
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

const fn describe_reason(reason: Reason) -> (StatusCode, &'static str, &'static str) {
    match reason {
        Reason::UnknownMetric => {
            (StatusCode::NOT_FOUND, "urn:deniable:problem:unknown-metric", "The metric is not asked here")
        }
        Reason::UnknownVersion => (
            StatusCode::CONFLICT,
            "urn:deniable:problem:unknown-version",
            "The metric is not asked in this version",
        ),
        Reason::OtherParameters => (
            StatusCode::CONFLICT,
            "urn:deniable:problem:other-parameters",
            "The metric is asked with other parameters",
        ),
        Reason::ImpossibleReport => (
            StatusCode::BAD_REQUEST,
            "urn:deniable:problem:impossible-report",
            "A report does not fit its metric",
        ),
        Reason::EpochClosed => {
            (StatusCode::GONE, "urn:deniable:problem:epoch-closed", "The epoch takes no reports any more")
        }
        Reason::EpochAhead => {
            (StatusCode::BAD_REQUEST, "urn:deniable:problem:epoch-ahead", "The epoch has not begun")
        }
        Reason::UnknownRegistry => (
            StatusCode::CONFLICT,
            "urn:deniable:problem:unknown-registry",
            "The registry was never served here",
        ),
        Reason::ImpossibleTags => (
            StatusCode::BAD_REQUEST,
            "urn:deniable:problem:impossible-tags",
            "The tags are not of their registry",
        ),
    }
}

/// A refusal: its kind, and what is wrong with this request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: String,
    /// What was refused of a batch; boxed, as most problems have none.
    refused: Option<Box<Refused>>,
    retry_after_seconds: Option<u64>,
}

impl Problem {
    /// Makes a refusal.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), refused: None, retry_after_seconds: None }
    }

    /// Too many requests; another may come after some seconds.
    pub(super) fn too_many(retry_after_seconds: u64) -> Self {
        let detail = format!("too many requests came: send this one again in {retry_after_seconds} seconds");
        Self { retry_after_seconds: Some(retry_after_seconds), ..Self::new(Kind::TooMany, detail) }
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

impl From<Refused> for Problem {
    /// The refusal of a batch that has no report to count.
    fn from(refused: Refused) -> Self {
        match refused.first() {
            Some(first) => {
                let problem = Self::new(Kind::Refused(first.reason()), first.to_string());
                Self { refused: Some(Box::new(refused)), ..problem }
            }
            None => BatchError::Empty.into(),
        }
    }
}

impl From<Full> for Problem {
    fn from(full: Full) -> Self {
        Self::new(Kind::Busy, full.to_string())
    }
}

impl From<StoreError> for Problem {
    /// The refusal of a question. What failed in the store is for the operator, who finds it in the log.
    fn from(error: StoreError) -> Self {
        if let StoreError::UnknownStream { metric, version, .. } = &error {
            let detail = format!("nothing was ever counted of metric {metric} in version {version}");
            return Self::new(Kind::Refused(Reason::UnknownVersion), detail);
        }
        tracing::error!(%error, cause = ?error, "the store could not be read");
        WriterError::Stopped.into()
    }
}

impl From<WriterError> for Problem {
    fn from(error: WriterError) -> Self {
        match error {
            WriterError::Closed => Self::new(Kind::Busy, error.to_string()),
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
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    refused: BTreeMap<&'static str, usize>,
}

/// Numbers of refused reports, as answers give them.
pub(super) fn by_reason(refused: &Refused) -> BTreeMap<&'static str, usize> {
    refused.counts().map(|(reason, reports)| (reason.name(), reports)).collect()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, name, title) = self.kind.describe();
        let refused = self.refused.as_deref().map(by_reason).unwrap_or_default();
        let body = Body { name, title, status: status.as_u16(), detail: &self.detail, refused };
        let body = serde_json::to_vec(&body).expect("text and numbers have a JSON form");
        let mut response = (status, body).into_response();
        // For who counts problems.
        response.extensions_mut().insert(self.kind);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
