//! The lake in S3: a server that speaks as much of its protocol as is asked of it, and keeps objects in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::{Closed, holds};
use crate::process::error_of;

const KEY: &str = "AKIATESTKEY";
const SECRET: &str = "hidden/secret+of/a+test";

/// What the server holds, and what it was asked.
#[derive(Debug, Default)]
struct Bucket {
    objects: BTreeMap<String, Bytes>,
    /// Parts of uploads that are not complete.
    uploads: BTreeMap<String, BTreeMap<u32, Bytes>>,
    requests: Vec<String>,
    unsigned: usize,
}

type Shared = Arc<Mutex<Bucket>>;

async fn answer(
    State(bucket): State<Shared>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut bucket = bucket.lock().unwrap();
    let value =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    bucket.requests.push(format!("{method} {uri}"));
    bucket.unsigned +=
        usize::from(!value("authorization").starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY}/")));
    let path = uri.path().replace("%3D", "=");
    let Some(path) = path.strip_prefix("/bucket") else { return StatusCode::NOT_FOUND.into_response() };
    let key = path.trim_start_matches('/').to_owned();
    let asked = |name: &str| query.get(name).cloned();
    match (method.as_str(), asked("uploadId")) {
        ("POST", None) if query.contains_key("uploads") => {
            bucket.uploads.insert(key, BTreeMap::new());
            xml("<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
        }
        ("POST", None) if query.contains_key("delete") => {
            let text = String::from_utf8(body.to_vec()).unwrap();
            for key in text.split("<Key>").skip(1) {
                bucket.objects.remove(key.split("</Key>").next().unwrap());
            }
            xml("<DeleteResult></DeleteResult>")
        }
        ("PUT", Some(_)) => {
            let part = asked("partNumber").unwrap().parse().unwrap();
            bucket.uploads.get_mut(&key).unwrap().insert(part, body);
            ([(header::ETAG, format!("\"{part}\""))], "").into_response()
        }
        ("POST", Some(_)) => {
            let parts = bucket.uploads.remove(&key).unwrap();
            bucket.objects.insert(key, parts.into_values().flatten().collect());
            xml("<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>")
        }
        ("PUT", None) => {
            bucket.objects.insert(key, body);
            ([(header::ETAG, "\"1\"")], "").into_response()
        }
        ("GET", None) if query.contains_key("list-type") => {
            xml(&list(&bucket, &asked("prefix").unwrap_or_default()))
        }
        ("GET" | "HEAD", None) => match bucket.objects.get(&key) {
            Some(object) => part_of(object, &value("range")),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

fn xml(text: &str) -> Response {
    ([(header::CONTENT_TYPE, "application/xml")], text.to_owned()).into_response()
}

/// The objects and folders right below a prefix.
fn list(bucket: &Bucket, prefix: &str) -> String {
    let (mut contents, mut folders) = (String::new(), std::collections::BTreeSet::new());
    for (key, object) in bucket.objects.iter().filter(|(key, _)| key.starts_with(prefix)) {
        match key[prefix.len()..].split_once('/') {
            Some((folder, _)) => {
                folders
                    .insert(format!("<CommonPrefixes><Prefix>{prefix}{folder}/</Prefix></CommonPrefixes>"));
            }
            None => {
                contents += &format!(
                    "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>1</ETag></Contents>",
                    object.len()
                );
            }
        }
    }
    let folders: String = folders.into_iter().collect();
    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}{folders}</ListBucketResult>")
}

fn part_of(object: &Bytes, range: &str) -> Response {
    let modified = (header::LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT");
    let etag = (header::ETAG, "\"1\"");
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return ([modified, etag], object.clone()).into_response();
    };
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let told = format!("bytes {first}-{last}/{}", object.len());
    let head = (StatusCode::PARTIAL_CONTENT, [modified, etag], [(header::CONTENT_RANGE, told)]);
    (head.0, head.1, head.2, object.slice(first..=last)).into_response()
}

/// A server on the loopback.
fn serve(runtime: &Runtime) -> (Shared, String) {
    let bucket = Shared::default();
    let app = Router::new()
        .fallback(answer)
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(Arc::clone(&bucket));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(async move { axum::serve(listener, app).await });
    (bucket, address)
}

#[test]
fn a_lake_in_s3_is_written_read_and_verified_and_no_secret_is_told() {
    let runtime = Runtime::new().unwrap();
    let (bucket, address) = serve(&runtime);
    // 18,000 reports of 512 bytes are more than a part of an upload.
    let closed = Closed::new(18_000);
    let run = |words: &[&str]| {
        let mut command = closed.command(words);
        command
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_REGION", "eu-test-1");
        let output = command.env("AWS_ENDPOINT", &address).env("AWS_ALLOW_HTTP", "true").output().unwrap();
        for said in [&output.stdout, &output.stderr] {
            let said = String::from_utf8_lossy(said);
            assert!(!said.contains(SECRET) && !said.contains(KEY), "{said}");
        }
        output
    };
    let say = |words: &[&str]| {
        let output = run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let counts = ["counts", "--metric", "relying_party", "--format", "csv"];
    let wide = ["counts", "--metric", "wide", "--format", "csv"];
    let before = [say(&counts), say(&wide)];
    let said = say(&["lake", "compact", "--lake", "s3://bucket/deep/lake"]);
    holds(&said, &["s3://bucket/deep/lake", "moved 21 epochs with 20400 reports"]);
    assert_eq!([say(&counts), say(&wide)], before);
    holds(&say(&["lake", "verify"]), &["is sound", "20400 of them kept"]);
    {
        let bucket = bucket.lock().unwrap();
        assert_eq!(bucket.unsigned, 0);
        assert_eq!(bucket.objects.len(), 42);
        assert!(bucket.objects.keys().all(|key| key.starts_with("deep/lake/") && key.ends_with(".parquet")));
        let parts = bucket.requests.iter().filter(|request| request.contains("partNumber")).count();
        assert!(parts > 1 && bucket.uploads.is_empty(), "{parts} parts");
    }
    // An object that is gone is told by its name.
    let lost = bucket.lock().unwrap().objects.pop_first().unwrap().0;
    holds(
        &error_of(&run(&counts)),
        &["s3://bucket/deep/lake", lost.rsplit('/').next().unwrap(), "not there"],
    );
}

/// Without leave, nothing is sent in the clear.
#[test]
fn plain_http_needs_leave() {
    let runtime = Runtime::new().unwrap();
    let (bucket, address) = serve(&runtime);
    let closed = Closed::new(0);
    let mut command = closed.command(&["lake", "compact", "--lake", "s3://bucket"]);
    command.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_ENDPOINT", &address);
    let error = error_of(&command.env_remove("AWS_ALLOW_HTTP").output().unwrap());
    assert!(!error.contains(SECRET), "{error}");
    assert_eq!(bucket.lock().unwrap().requests.len(), 0);
}
