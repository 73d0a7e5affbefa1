//! The collector's answers, without a socket.

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use base64::Engine;
use base64::prelude::{BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use deniable::registry::Registry;
use deniable::{MAX_BATCH_BYTES, SystemEntropy, WriteKey};
use deniable_aggregator::collect::{Access, Collector, Limits, Origins, Project, Rates, Settings, Token};
use deniable_aggregator::store::{DiskStore, Selection, Store};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{Section, batch, catalog, exactly_once, planted, settings, today};

/// Runs requests against a collector of one project, and gives back its store.
async fn with_access<F: Future<Output = ()>>(
    dir: &Path,
    (access, settings): (Access, Settings),
    requests: impl FnOnce(Router) -> F,
) -> DiskStore {
    let store = Arc::new(DiskStore::create(dir).unwrap());
    let collector = Collector::new(vec![Project::alone(store, catalog(), access)], settings).unwrap();
    let app = collector.router();
    requests(app).await;
    collector.finish().await.unwrap();
    DiskStore::open(dir).unwrap()
}

async fn with_settings<F: Future<Output = ()>>(
    dir: &Path,
    settings: Settings,
    requests: impl FnOnce(Router) -> F,
) -> DiskStore {
    with_access(dir, (Access::open(), settings), requests).await
}

async fn with_collector<F: Future<Output = ()>>(dir: &Path, requests: impl FnOnce(Router) -> F) -> DiskStore {
    with_settings(dir, settings(), requests).await
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    retry_after: Option<String>,
    media_type: String,
    pub(crate) body: Value,
}

/// The text that answers a request with success.
pub(crate) async fn text_of(app: &Router, request: Request<Body>) -> String {
    let response = app.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = to_bytes(response.into_body(), 100_000).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

pub(crate) async fn send(app: &Router, request: Request<Body>) -> Answer {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let header = |name| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let (retry_after, media_type) = (header(header::RETRY_AFTER), header(header::CONTENT_TYPE).unwrap());
    let status = parts.status;
    let body = to_bytes(body, 10_000).await.unwrap();
    Answer { status, retry_after, media_type, body: serde_json::from_slice(&body).unwrap() }
}

pub(crate) async fn post(app: &Router, body: Vec<u8>) -> Answer {
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
        assert_eq!(first.body, json!({ "status": "accepted", "reports": 3, "refused": {} }));
        let again = post(&app, body).await;
        assert_eq!(again.status, StatusCode::OK);
        assert_eq!(again.body, json!({ "status": "duplicate", "reports": 3, "refused": {} }));
    };
    exactly_once(&with_collector(dir.path(), send).await, [1]).unwrap();
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
    exactly_once(&with_collector(dir.path(), send).await, 0..100).unwrap();
}

/// Cohort and bits.
type Record = (u16, Vec<u8>);

/// Each body of which nothing is counted: status, name of the problem, and what its detail must give.
fn refused() -> Vec<(Vec<u8>, u16, &'static str, &'static [&'static str])> {
    let good = Section::of("host", 2, today(), &[(0, &[1]), (3, &[11])]);
    let with = |change: &dyn Fn(&mut Section)| {
        let mut bad = good.clone();
        change(&mut bad);
        batch(77, &[bad])
    };
    let report = |change: &dyn Fn(&mut Record)| {
        with(&|section| {
            section.records.truncate(1);
            change(&mut section.records[0]);
        })
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
        (report(&|r| r.0 = 4), 400, "impossible-report", &["cohort 4", "4 cohorts"]),
        (report(&|r| r.1[1] |= 1 << 4), 400, "impossible-report", &["12", "unused places"]),
        (report(&|r| r.1[1] |= 1 << 7), 400, "impossible-report", &["12"]),
        (with(&|s| s.epoch = today() + 2), 400, "epoch-ahead", &["clock", "1970-01-01"]),
        (with(&|s| s.epoch = u32::MAX), 400, "epoch-ahead", &["4294967295"]),
        (with(&|s| s.epoch = today() - 46), 410, "epoch-closed", &["oldest", "drop"]),
        (with(&|s| s.epoch = 0), 410, "epoch-closed", &["epoch 0"]),
        (with(&|s| s.records.clear()), 400, "empty-batch", &["at least one report"]),
        (batch(77, &[]), 400, "empty-batch", &["at least one section"]),
        (
            batch(77, &[Section::of("pick", 1, today(), &[(0, &[1, 200])])]),
            400,
            "impossible-report",
            &["sets 2 bits", "exactly 1"],
        ),
        (
            batch(77, &[Section::of("pick", 1, today(), &[(0, &[])])]),
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
async fn a_batch_without_a_good_report_is_refused_by_name_and_leaves_nothing_behind() {
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
    let store = with_collector(dir.path(), send).await;
    exactly_once(&store, [1, 7]).unwrap();
}

/// A good report beside each bad one: the bad are counted by reason, the good are kept.
#[tokio::test]
async fn bad_reports_are_refused_one_by_one_and_the_good_ones_kept() {
    let dir = tempfile::tempdir().unwrap();
    let host = |epoch, reports: &[(u16, &[usize])]| Section::of("host", 2, epoch, reports);
    let mut guest = host(today(), &[(0, &[1]), (0, &[2])]);
    guest.metric = "guest".into();
    let mut newer = host(today(), &[(0, &[1])]);
    newer.version = 3;
    let mut other = host(today(), &[(0, &[1]), (1, &[1]), (2, &[1])]);
    other.fingerprint = [7; 8];
    let mut impossible = host(today(), &[(3, &[5]), (0, &[1]), (3, &[6])]);
    impossible.records[0].0 = 4;
    impossible.records[2].1[1] |= 1 << 4;
    let sections = [
        guest,
        newer,
        impossible,
        other,
        host(today() - 46, &[(0, [1].as_slice()); 4]),
        host(today() + 2, &[(0, [1].as_slice()); 5]),
        host(today() - 45, &[(1, &[3])]),
        host(today() + 1, &[(2, &[4])]),
    ];
    let send = async |app: Router| {
        let answer = post(&app, batch(1, &sections)).await;
        assert_eq!(answer.status, StatusCode::OK);
        let refused = json!({
            "unknown-metric": 2, "unknown-version": 1, "other-parameters": 3, "impossible-report": 2,
            "epoch-closed": 4, "epoch-ahead": 5,
        });
        assert_eq!(answer.body, json!({ "status": "accepted", "reports": 3, "refused": refused }));
        // A batch of which nothing is counted tells the numbers too.
        let answer = post(&app, batch(2, &sections[..2])).await;
        assert_eq!(answer.body["refused"], json!({ "unknown-metric": 2, "unknown-version": 1 }));
    };
    let store = with_collector(dir.path(), send).await;
    let counts = crate::support::counts(&store, "host", 2);
    assert_eq!(counts.reports(), [1, 1, 1, 0]);
    assert_eq!([counts.ones(0)[1], counts.ones(1)[3], counts.ones(2)[4]], [1, 1, 1]);
    assert_eq!(store.holdings(&Selection::all()).unwrap().len(), 3);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

async fn post_as(app: &Router, media_type: &str, coding: Option<&str>, body: impl Into<Body>) -> Answer {
    let mut request = Request::post("/v1/reports").header(header::CONTENT_TYPE, media_type);
    if let Some(coding) = coding {
        request = request.header(header::CONTENT_ENCODING, coding);
    }
    send(app, request.body(body.into()).unwrap()).await
}

const TEXT: &str = "text/plain;charset=UTF-8";
const BINARY: &str = "application/octet-stream";

#[tokio::test]
async fn a_batch_comes_as_bytes_or_text_packed_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let send = async |app: Router| {
        let body = |n| batch(n, &planted(n));
        let text = |n| BASE64_URL_SAFE_NO_PAD.encode(body(n));
        let answers = [
            post_as(&app, BINARY, Some("gzip"), gzip(&body(1))).await,
            post_as(&app, TEXT, None, text(2)).await,
            post_as(&app, "text/plain", Some("GZIP"), gzip(text(3).as_bytes())).await,
            post_as(&app, BINARY, Some("identity"), body(4)).await,
        ];
        assert!(answers.iter().all(|answer| answer.body["status"] == "accepted"));
    };
    exactly_once(&with_collector(dir.path(), send).await, 1..5).unwrap();
}

#[tokio::test]
async fn what_cannot_be_unpacked_is_refused_and_so_is_what_unpacks_to_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let send = async |app: Router| {
        let whole = batch(1, &planted(1));
        let padded = BASE64_URL_SAFE.encode(&whole[..whole.len() - whole.len() % 3 - 1]);
        assert!(padded.ends_with('='));
        let packed = gzip(&whole);
        // 1 MiB and a byte in 1 kB, and 256 MiB in 256 kB.
        let bomb = gzip(&vec![0; MAX_BATCH_BYTES + 1]);
        let large = gzip(&vec![0; 1 << 28]);
        assert!(bomb.len() < 2000 && large.len() < MAX_BATCH_BYTES);
        let cases = [
            (TEXT, None, padded.into(), 400, "undecodable"),
            (TEXT, None, whole.clone(), 400, "undecodable"),
            (BINARY, Some("gzip"), whole.clone(), 400, "undecodable"),
            (BINARY, Some("gzip"), packed[..packed.len() - 1].to_vec(), 400, "undecodable"),
            (BINARY, Some("gzip"), [&packed[..], &packed[..]].concat(), 400, "undecodable"),
            (BINARY, None, packed, 400, "malformed-batch"),
            (BINARY, Some("br"), whole, 415, "unsupported-media-type"),
            (BINARY, Some("gzip"), bomb, 413, "batch-too-large"),
            (BINARY, Some("gzip"), large, 413, "batch-too-large"),
        ];
        for (media_type, coding, body, status, name) in cases {
            let answer = post_as(&app, media_type, coding, body).await;
            assert_eq!(answer.body["type"], format!("urn:deniable:problem:{name}"), "{}", answer.body);
            assert_eq!(answer.status.as_u16(), status);
        }
        // The memory of what was refused is free again.
        assert_eq!(post(&app, batch(2, &planted(2))).await.body["status"], "accepted");
    };
    let limits = Limits { memory_bytes: 4 * MAX_BATCH_BYTES, ..Limits::default() };
    let settings = Settings { limits, ..settings() };
    exactly_once(&with_settings(dir.path(), settings, send).await, [2]).unwrap();
}

#[tokio::test]
async fn the_catalog_is_sent_once_and_then_only_its_tag() {
    let dir = tempfile::tempdir().unwrap();
    let requests = async |app: Router| {
        let get = |tags: Option<String>| {
            let mut request = Request::get("/v1/catalog");
            if let Some(tags) = tags {
                request = request.header(header::IF_NONE_MATCH, tags);
            }
            app.clone().oneshot(request.body(Body::empty()).unwrap())
        };
        let whole = get(None).await.unwrap();
        assert_eq!(whole.status(), StatusCode::OK);
        let tag = whole.headers()[header::ETAG].to_str().unwrap().to_owned();
        let body: Value =
            serde_json::from_slice(&to_bytes(whole.into_body(), 10_000).await.unwrap()).unwrap();
        let catalog = catalog();
        let metrics = body["metrics"].as_array().unwrap();
        assert_eq!(metrics.iter().map(|m| &m["metric"]).collect::<Vec<_>>(), ["host", "pick"]);
        let current = catalog.get(&crate::support::metric("host"), 2).unwrap();
        assert_eq!((&metrics[0]["version"], &metrics[0]["question"]), (&json!(2), &json!("Which host?")));
        assert_eq!(metrics[0]["report"], serde_json::to_value(current.params()).unwrap());
        assert_eq!(metrics[0]["fingerprint"], current.stream().fingerprint().to_string());
        for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let again = get(Some(known)).await.unwrap();
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(again.headers()[header::ETAG], tag);
            assert!(to_bytes(again.into_body(), 1).await.unwrap().is_empty());
        }
        assert_eq!(get(Some("\"other\"".to_owned())).await.unwrap().status(), StatusCode::OK);
    };
    with_collector(dir.path(), requests).await;
}

#[tokio::test]
async fn a_device_gets_the_whole_registry() {
    const DEVICE: &str = "application/vnd.deniable.catalog";
    let dir = tempfile::tempdir().unwrap();
    let requests = async |app: Router| {
        let get = |accept: &'static str, tag: &str| {
            let request = Request::get("/v1/catalog").header(header::ACCEPT, accept);
            app.clone().oneshot(request.header(header::IF_NONE_MATCH, tag).body(Body::empty()).unwrap())
        };
        let whole = get(DEVICE, "").await.unwrap();
        assert_eq!(whole.headers()[header::CONTENT_TYPE], DEVICE);
        assert_eq!(whole.headers()[header::VARY], "accept");
        let tag = whole.headers()[header::ETAG].to_str().unwrap().to_owned();
        let body = to_bytes(whole.into_body(), 10_000).await.unwrap();
        assert_eq!(Registry::from_catalog(&body).unwrap().hash(), catalog().registry().hash());
        assert_eq!(get(DEVICE, &tag).await.unwrap().status(), StatusCode::NOT_MODIFIED);
        let both = get("text/html, application/vnd.deniable.catalog;q=0.9", "").await.unwrap();
        assert_eq!(both.headers()[header::ETAG], tag);
        // Another form has another tag.
        assert_eq!(get("application/json", &tag).await.unwrap().status(), StatusCode::OK);
    };
    with_collector(dir.path(), requests).await;
}

#[tokio::test]
async fn only_listed_pages_may_read_answers() {
    let dir = tempfile::tempdir().unwrap();
    let requests = async |app: Router| {
        let ask = |method: &str, origin: &str| {
            let request = Request::builder().method(method).uri("/v1/reports").header(header::ORIGIN, origin);
            let request = request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
            app.clone().oneshot(request.body(Body::from(batch(1, &planted(1)))).unwrap())
        };
        for method in ["OPTIONS", "POST"] {
            let answer = ask(method, "https://app.example").await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example");
            let answer = ask(method, "https://other.example").await.unwrap();
            assert!(!answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        }
    };
    let origins = Origins::Listed(vec!["https://app.example".parse().unwrap()]);
    with_settings(dir.path(), Settings { origins, ..settings() }, requests).await;
}

/// The same batch under another key.
pub(crate) fn under(key: WriteKey, mut batch: Vec<u8>) -> Vec<u8> {
    batch[5..21].copy_from_slice(&key.0);
    batch
}

#[tokio::test]
async fn with_keys_only_theirs_are_counted_and_only_tokens_read() {
    let dir = tempfile::tempdir().unwrap();
    let (app_key, old_key) = (WriteKey([1; 16]), WriteKey([2; 16]));
    let token = Token::draw(&mut SystemEntropy).unwrap();
    let access = Access::parse(&format!(
        "[[key]]\nname = \"app\"\nkey = \"{app_key}\"\norigins = [\"https://app.example\"]\n[[key]]\nname = \"old\"\nkey = \"{old_key}\"\nrevoked = true\n[[token]]\nname = \"me\"\nsha256 = \"{}\"\nrole = \"admin\"",
        token.sha256()
    ))
    .unwrap();
    let more = RefCell::new(Vec::new());
    let rates = Rates { key: 2.try_into().unwrap(), ..Rates::default() };
    let requests = async |app: Router| {
        let post_from = async |key, origin: &str, n| {
            let request = Request::post("/v1/reports").header(header::ORIGIN, origin);
            send(&app, request.body(under(key, batch(n, &planted(n))).into()).unwrap()).await
        };
        let page = "https://app.example";
        assert_eq!(post_from(app_key, page, 1).await.body["status"], "accepted");
        for (key, origin, name) in [
            (WriteKey::NONE, page, "unknown-key"),
            (old_key, page, "revoked-key"),
            (app_key, "https://other.example", "other-origin"),
        ] {
            let answer = post_from(key, origin, 2).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN);
            assert_eq!(answer.body["type"], format!("urn:deniable:problem:{name}"));
            assert!(!answer.body.to_string().contains(&key.to_string()));
        }
        let read = async |question: &str, token: &str| {
            let request = Request::get(format!("/v1/counts{question}"));
            send(&app, request.header(header::AUTHORIZATION, token).body(Body::empty()).unwrap()).await
        };
        let bearer = format!("Bearer {}", token.reveal());
        for question in ["", "?metric=host&version=2", "?metric=secret&version=1", "?nonsense"] {
            assert_eq!(read(question, "Bearer dnbl_x").await.status, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(read("", &bearer).await.body[0]["metric"], "host");
        let sums = read("?metric=host&version=2", &bearer).await.body;
        assert_eq!(sums["cohorts"][3], json!({ "reports": 1, "ones": [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] }));
        let none = read(&format!("?metric=host&version=2&to={}", today() - 5), &bearer).await.body;
        assert_eq!(none["cohorts"][3]["reports"], 0);
        for (question, status) in [
            ("?metric=host", 400),
            ("?metric=Host&version=2", 400),
            ("?version=x", 400),
            ("?metric=host&version=9", 409),
        ] {
            assert_eq!(read(question, &bearer).await.status.as_u16(), status, "{question}");
        }
        let mut bad = Section::of("host", 2, today(), &[(0, &[1]), (0, &[2])]);
        bad.metric = "guest".into();
        post_from(app_key, page, 1).await;
        let with_bad = under(app_key, batch(3, &[vec![bad], planted(3)].concat()));
        assert_eq!(post(&app, with_bad).await.body["refused"], json!({ "unknown-metric": 2 }));
        let request = Request::get("/metrics").header(header::AUTHORIZATION, &bearer);
        let text = text_of(&app, request.body(Body::empty()).unwrap()).await;
        for line in [
            "deniable_batches_total{project=\"default\",outcome=\"accepted\"} 2",
            "deniable_batches_total{project=\"default\",outcome=\"duplicate\"} 1",
            "deniable_reports_total{project=\"default\",outcome=\"accepted\"} 6",
            "deniable_reports_total{project=\"default\",outcome=\"unknown-metric\"} 2",
            "deniable_problems_total{problem=\"revoked-key\"} 1",
            "deniable_commit_seconds_count{project=\"default\"} 3",
            "deniable_memory_bytes 0",
            "deniable_waiting_batches{project=\"default\"} 0",
            &format!("deniable_last_closed_epoch{{project=\"default\"}} {}", today() - 46),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
        }
        assert!(text.contains("deniable_store_bytes{") && !text.contains(&app_key.to_string()));
        assert_eq!(
            send(&app, Request::get("/metrics").body(Body::empty()).unwrap()).await.status,
            StatusCode::UNAUTHORIZED
        );
        // Two a second, and eight at once: a hundred together are too many.
        let together = (4..100).map(async |n| (n, post_from(app_key, page, n).await));
        let mut refused = 0;
        for (n, answer) in futures_util::future::join_all(together).await {
            if answer.status == StatusCode::OK {
                more.borrow_mut().push(n);
                continue;
            }
            assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(answer.body["type"], "urn:deniable:problem:too-many");
            assert_eq!(answer.retry_after.as_deref(), Some("1"));
            refused += 1;
        }
        assert!(refused > 0, "the rate has no limit");
    };
    let settings = Settings { rates, ..settings() };
    let store = with_access(dir.path(), (access, settings), requests).await;
    exactly_once(&store, [1, 3].into_iter().chain(more.into_inner())).unwrap();
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
    exactly_once(&with_collector(dir.path(), send).await, []).unwrap();
}

#[tokio::test]
async fn only_batches_are_taken_and_only_where_they_belong() {
    let dir = tempfile::tempdir().unwrap();
    let requests = async |app: Router| {
        for media_type in ["application/json", "text/html"] {
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
        let health = send(&app, Request::get("/readyz").body(Body::empty()).unwrap()).await;
        assert_eq!((health.status, health.body), (StatusCode::OK, json!({ "status": "ok" })));
    };
    exactly_once(&with_collector(dir.path(), requests).await, [2]).unwrap();
}

#[tokio::test]
async fn a_full_queue_asks_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    // Less than any batch takes.
    let limits = Limits { memory_bytes: 100, ..Limits::default() };
    let settings = Settings { limits, ..settings() };
    let send = async |app: Router| {
        let answer = post(&app, batch(1, &planted(1))).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.body["type"], "urn:deniable:problem:busy");
        assert!(answer.retry_after.unwrap().parse::<u32>().unwrap() > 0);
    };
    exactly_once(&with_settings(dir.path(), settings, send).await, []).unwrap();
}

#[tokio::test]
async fn without_its_store_the_collector_promises_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(DiskStore::create(dir.path()).unwrap());
    let project = Project::alone(store, catalog(), Access::open());
    let collector = Collector::new(vec![project], settings()).unwrap();
    let app = collector.router();
    collector.finish().await.unwrap();
    let answer = post(&app, batch(1, &planted(1))).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body["type"], "urn:deniable:problem:store-failed");
    assert!(answer.retry_after.is_some());
    let health = send(&app, Request::get("/readyz").body(Body::empty()).unwrap()).await;
    assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
    let health = send(&app, Request::get("/healthz").body(Body::empty()).unwrap()).await;
    assert_eq!(health.status, StatusCode::OK);
}
