//! The catalog as clients receive it: the current version of each metric, with a tag that changes when it does.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use deniable::{MetricId, Params};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::catalog::{Catalog, Definition};

/// How long a client may go on with what it has. It asks again then, and mostly learns that nothing has changed.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("max-age=300");

/// The catalog, written once.
#[derive(Clone, Debug)]
pub(super) struct Published {
    body: Bytes,
    tag: HeaderValue,
}

#[derive(Serialize)]
struct List<'a> {
    metrics: Vec<Metric<'a>>,
}

#[derive(Serialize)]
struct Metric<'a> {
    metric: &'a MetricId,
    version: u32,
    question: &'a str,
    fingerprint: String,
    report: &'a Params,
}

impl Published {
    pub(super) fn new(catalog: &Catalog) -> Self {
        let current: BTreeMap<_, &Definition> = catalog
            .definitions()
            .map(|definition| (definition.stream().metric(), definition.as_ref()))
            .collect();
        let metrics = current.into_values().map(|definition| Metric {
            metric: definition.stream().metric(),
            version: definition.stream().version(),
            question: definition.question(),
            fingerprint: definition.stream().fingerprint().to_string(),
            report: definition.params(),
        });
        let body =
            serde_json::to_vec(&List { metrics: metrics.collect() }).expect("definitions have a JSON form");
        let mut tag = "\"".to_owned();
        for byte in &Sha256::digest(&body)[..16] {
            write!(tag, "{byte:02x}").expect("text can be written to");
        }
        tag.push('"');
        let tag = HeaderValue::from_str(&tag).expect("hexadecimal digits are fit for a header");
        Self { body: body.into(), tag }
    }

    /// Answers a request: with the catalog, or with no more than that the client has it.
    pub(super) fn answer(&self, request: &HeaderMap) -> Response {
        let headers = [(header::ETAG, self.tag.clone()), (header::CACHE_CONTROL, CACHE_CONTROL)];
        if self.is_known(request) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        let media_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        (headers, [media_type], self.body.clone()).into_response()
    }

    /// Compares tags as RFC 9110, section 13.1.2, asks: weakly, since a proxy that packs answers weakens them.
    fn is_known(&self, request: &HeaderMap) -> bool {
        let tags = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
        tags.flat_map(|tags| tags.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == self.tag.as_bytes())
    }
}
