//! The catalog as clients receive it, with a tag that changes when it does: for people the current version of each metric
//! as JSON, and for devices, which ask for `application/vnd.deniable.catalog`, the whole registry in the bytes that they read.

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

/// The media type of the whole registry, in the bytes that devices read.
const WHOLE: &str = "application/vnd.deniable.catalog";

/// The catalog, written once in each of its forms.
#[derive(Clone, Debug)]
pub(super) struct Published {
    list: Form,
    whole: Form,
}

/// A form of the catalog, with a tag that changes when it does.
#[derive(Clone, Debug)]
struct Form {
    media_type: HeaderValue,
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
        let list =
            serde_json::to_vec(&List { metrics: metrics.collect() }).expect("definitions have a JSON form");
        Self {
            list: Form::new("application/json", list),
            whole: Form::new(WHOLE, catalog.registry().catalog()),
        }
    }

    /// Answers a request: with the form that it asks for, or with no more than that the client has it.
    pub(super) fn answer(&self, request: &HeaderMap) -> Response {
        let accepted = request.get_all(header::ACCEPT).iter().filter_map(|types| types.to_str().ok());
        let mut accepted = accepted.flat_map(|types| types.split([',', ';'])).map(str::trim);
        let form = if accepted.any(|media_type| media_type == WHOLE) { &self.whole } else { &self.list };
        form.answer(request)
    }
}

impl Form {
    fn new(media_type: &'static str, body: Vec<u8>) -> Self {
        let mut tag = "\"".to_owned();
        for byte in &Sha256::digest(&body)[..16] {
            write!(tag, "{byte:02x}").expect("text can be written to");
        }
        tag.push('"');
        let tag = HeaderValue::from_str(&tag).expect("hexadecimal digits are fit for a header");
        Self { media_type: HeaderValue::from_static(media_type), body: body.into(), tag }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let headers = [
            (header::ETAG, self.tag.clone()),
            (header::CACHE_CONTROL, CACHE_CONTROL),
            (header::VARY, HeaderValue::from(header::ACCEPT)),
        ];
        if self.is_known(request) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, [(header::CONTENT_TYPE, self.media_type.clone())], self.body.clone()).into_response()
    }

    /// Compares tags as RFC 9110, section 13.1.2, asks: weakly, since a proxy that packs answers weakens them.
    fn is_known(&self, request: &HeaderMap) -> bool {
        let tags = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
        tags.flat_map(|tags| tags.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == self.tag.as_bytes())
    }
}
