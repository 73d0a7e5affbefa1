//! The collector's answers, without a socket.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use deniable::MAX_BATCH_BYTES;
use deniable_aggregator::collect::{DEFAULT_QUEUE_BYTES, Writer, router};
use deniable_aggregator::store::Store;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{Section, batch, catalog, exactly_once, planted};

/// Runs requests against a collector, and gives back its store.
async fn with_collector<F: Future<Output = ()>>(
    dir: &Path,
    queue_bytes: usize,
    requests: impl FnOnce(Router) -> F,
) -> Store {
    let store = Store::create(dir).unwrap();
    store.declare(catalog().definitions().map(AsRef::as_ref)).unwrap();
    let (writer, running) = Writer::start(store, queue_bytes).unwrap();
    requests(router(Arc::new(catalog()), writer)).await;
    running.finish().await.unwrap();
    Store::open(dir).unwrap()
}

struct Answer {
    status: StatusCode,
    retry_after: Option<String>,
    media_type: String,
    body: Value,
}

async fn send(app: &Router, request: Request<Body>) -> Answer {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let header = |name| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let (retry_after, media_type) = (header(header::RETRY_AFTER), header(header::CONTENT_TYPE).unwrap());
    let status = parts.status;
    let body = to_bytes(body, 10_000).await.unwrap();
    Answer { status, retry_after, media_type, body: serde_json::from_slice(&body).unwrap() }
}

async fn post(app: &Router, body: Vec<u8>) -> Answer {
    let request = Request::post("/v1/reports").header(header::CONTENT_TYPE, "application/octet-stream");
    send(app, request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_batch_sent_again_gets_the_same_success_and_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let send = async |app: Router| {
        let body = batch(1, &planted(1));
        let first = post(&app, body.clone()).await;
        assert_eq!((first.status, &*first.media_type), (StatusCode::OK, "application/json"));
        assert_eq!(first.body, json!({ "status": "accepted", "reports": 3 }));
        let again = post(&app, body).await;
        assert_eq!(again.status, StatusCode::OK);
        assert_eq!(again.body, json!({ "status": "duplicate", "reports": 3 }));
    };
    exactly_once(&with_collector(dir.path(), DEFAULT_QUEUE_BYTES, send).await, [1]).unwrap();
}

#[tokio::test]
async fn many_at_once_are_each_answered_for_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let send = async |app: Router| {
        let requests: Vec<_> = (0..200)
            .map(|n| {
                let app = app.clone();
                // Each batch twice, close together.
                tokio::spawn(
                    async move { post(&app, batch(n / 2, &planted(n / 2))).await.body["status"].clone() },
                )
            })
            .collect();
        let mut accepted = 0;
        for request in requests {
            accepted += usize::from(request.await.unwrap() == "accepted");
        }
        assert_eq!(accepted, 100);
    };
    exactly_once(&with_collector(dir.path(), DEFAULT_QUEUE_BYTES, send).await, 0..100).unwrap();
}

/// Each refused body: status, name of the problem, and what its detail must give.
fn refused() -> Vec<(Vec<u8>, u16, &'static str, &'static [&'static str])> {
    let good = Section::of("host", 2, 20_000, &[(0, &[1]), (3, &[11])]);
    let with = |change: &dyn Fn(&mut Section)| {
        // A good section goes first: it must not be counted either.
        let mut bad = good.clone();
        change(&mut bad);
        batch(77, &[good.clone(), bad])
    };
    let whole = batch(77, &planted(7));
    let mut longer = whole.clone();
    longer.push(0);
    let mut newer = whole.clone();
    newer[4] = 9;
    vec![
        (with(&|s| s.metric = "guest".into()), 404, "unknown-metric", &["guest", "add"]),
        (with(&|s| s.metric = "Host".into()), 400, "malformed-batch", &["Host", "lower-case"]),
        (with(&|s| s.version = 3), 409, "unknown-version", &["host", "3", "1, 2", "update"]),
        (with(&|s| s.fingerprint = [7; 8]), 409, "other-parameters", &["0707070707070707", "new version"]),
        (with(&|s| s.bits = 13), 409, "other-parameters", &["host"]),
        (with(&|s| s.bits = 5000), 400, "malformed-batch", &["5000", "4096"]),
        (with(&|s| s.records[1].0 = 4), 400, "impossible-report", &["cohort 4", "4 cohorts"]),
        (with(&|s| s.records[1].1[1] |= 1 << 4), 400, "impossible-report", &["12", "unused places"]),
        (with(&|s| s.records[0].1[1] |= 1 << 7), 400, "impossible-report", &["12"]),
        (with(&|s| s.records.clear()), 400, "empty-batch", &["at least one report"]),
        (batch(77, &[]), 400, "empty-batch", &["at least one section"]),
        (
            batch(77, &[good.clone(), Section::of("pick", 1, 1, &[(0, &[1, 200])])]),
            400,
            "impossible-report",
            &["sets 2 bits", "exactly 1"],
        ),
        (
            batch(77, &[good.clone(), Section::of("pick", 1, 1, &[(0, &[])])]),
            400,
            "impossible-report",
            &["sets 0 bits"],
        ),
        (whole[..whole.len() - 1].to_vec(), 400, "truncated-batch", &["cut short", "has"]),
        (Vec::new(), 400, "truncated-batch", &["has 0"]),
        (longer, 400, "malformed-batch", &["ends after"]),
        (newer, 400, "malformed-batch", &["format 9", "update"]),
        (b"GIF89a and so on, long enough".to_vec(), 400, "malformed-batch", &["no batch"]),
        (vec![0; MAX_BATCH_BYTES + 1], 413, "batch-too-large", &["1048576", "split"]),
    ]
}

#[tokio::test]
async fn what_is_wrong_is_refused_as_a_whole_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let send = async |app: Router| {
        post(&app, batch(1, &planted(1))).await;
        for (body, status, name, said) in refused() {
            let answer = post(&app, body).await;
            assert_eq!(answer.status.as_u16(), status, "{name}: {}", answer.body);
            assert_eq!(answer.media_type, "application/problem+json");
            assert_eq!(answer.body["type"], format!("urn:deniable:problem:{name}"));
            assert_eq!(answer.body["status"], status);
            let detail = answer.body["detail"].as_str().unwrap();
            assert!(said.iter().all(|part| detail.contains(part)), "{name}: {detail}");
        }
        // The id of the refused batches is still free.
        assert_eq!(post(&app, batch(77, &planted(7))).await.body["status"], "accepted");
    };
    let store = with_collector(dir.path(), DEFAULT_QUEUE_BYTES, send).await;
    exactly_once(&store, [1, 7]).unwrap();
}

#[tokio::test]
async fn every_prefix_of_a_batch_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let send = async |app: Router| {
        let whole = batch(9, &planted(9));
        for length in 0..whole.len() {
            let answer = post(&app, whole[..length].to_vec()).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{length} bytes: {}", answer.body);
        }
    };
    exactly_once(&with_collector(dir.path(), DEFAULT_QUEUE_BYTES, send).await, []).unwrap();
}

#[tokio::test]
async fn only_batches_are_taken_and_only_where_they_belong() {
    let dir = tempfile::tempdir().unwrap();
    let requests = async |app: Router| {
        for media_type in ["application/json", "text/plain"] {
            let request = Request::post("/v1/reports").header(header::CONTENT_TYPE, media_type);
            let answer = send(&app, request.body(Body::from(batch(1, &planted(1)))).unwrap()).await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
            assert_eq!(answer.body["type"], "urn:deniable:problem:unsupported-media-type");
            let detail = answer.body["detail"].as_str().unwrap();
            assert!(detail.contains(media_type) && detail.contains("octet-stream"));
        }
        // A page that posts bytes declares nothing.
        let undeclared = Request::post("/v1/reports").body(Body::from(batch(2, &planted(2)))).unwrap();
        assert_eq!(send(&app, undeclared).await.body["status"], "accepted");
        let elsewhere = send(&app, Request::post("/v2/reports").body(Body::empty()).unwrap()).await;
        assert_eq!(elsewhere.body["type"], "urn:deniable:problem:not-found");
        let otherwise = send(&app, Request::get("/v1/reports").body(Body::empty()).unwrap()).await;
        assert_eq!(otherwise.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(otherwise.body["type"], "urn:deniable:problem:method-not-allowed");
        let health = send(&app, Request::get("/healthz").body(Body::empty()).unwrap()).await;
        assert_eq!((health.status, health.body), (StatusCode::OK, json!({ "status": "ok" })));
    };
    exactly_once(&with_collector(dir.path(), DEFAULT_QUEUE_BYTES, requests).await, [2]).unwrap();
}

#[tokio::test]
async fn a_full_queue_asks_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    // Less than any batch takes.
    let send = async |app: Router| {
        let answer = post(&app, batch(1, &planted(1))).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.body["type"], "urn:deniable:problem:busy");
        assert!(answer.retry_after.unwrap().parse::<u32>().unwrap() > 0);
    };
    exactly_once(&with_collector(dir.path(), 100, send).await, []).unwrap();
}

#[tokio::test]
async fn without_its_store_the_collector_promises_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path()).unwrap();
    let (writer, running) = Writer::start(store, DEFAULT_QUEUE_BYTES).unwrap();
    running.finish().await.unwrap();
    let app = router(Arc::new(catalog()), writer);
    let answer = post(&app, batch(1, &planted(1))).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body["type"], "urn:deniable:problem:store-failed");
    assert!(answer.retry_after.is_some());
    let health = send(&app, Request::get("/healthz").body(Body::empty()).unwrap()).await;
    assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
}
