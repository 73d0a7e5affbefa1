//! What the collector, or something in its place, answers, and where it shows.

use super::super::http::tests::tls_server;
use super::super::testing::answer;
use super::*;
use crate::client::Outcome;

const HTML: &[u8] = b"<!doctype html><title>Sign in to the network</title>";

/// A client whose one report met this answer.
fn met(answer: Option<Vec<u8>>) -> (Flushed, Status) {
    let patience = if answer.is_some() { LONG } else { Duration::from_millis(500) };
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::new(move |_, _| answer.clone()));
    let met = at(home.path(), &collector.url, patience);
    // Whatever came of it, the collector that is there again gets the report.
    collector.answers(|_, body| Some(receipt(body)));
    met
}

fn at(home: &Path, url: &str, patience: Duration) -> (Flushed, Status) {
    let limits = Limits { whole: patience, ..Limits::default() };
    let client = NativeClient::open(Options { limits, ..options(home, url) }).unwrap();
    record(&client);
    let flushed = client.flush(LONG);
    (flushed, client.status())
}

#[test]
fn each_answer_has_one_outcome_and_the_report_waits() {
    let limited = answer("429 Too Many Requests", "retry-after: 7200\r\n", b"");
    for (name, given, outcome) in [
        ("HTML", answer("200 OK", "", HTML), Outcome::NotACollector { status: 200 }),
        ("no body", answer("204 No Content", "", b""), Outcome::NotACollector { status: 204 }),
        ("too long", answer("200 OK", "", &[b' '; 100_000]), Outcome::NotACollector { status: 200 }),
        ("moved", answer("301 Moved", "location: /elsewhere\r\n", b""), Outcome::Redirected { status: 301 }),
        (
            "sent on",
            answer("308 Moved", "location: /elsewhere\r\n", b""),
            Outcome::Redirected { status: 308 },
        ),
        ("limited", limited.clone(), Outcome::Limited { status: 429 }),
        ("failed", answer("500 Failed", "", HTML), Outcome::Failed { status: 500 }),
        ("busy", answer("503 Busy", "retry-after: 2\r\n", b""), Outcome::Failed { status: 503 }),
        ("not there", answer("404 Not Found", "", HTML), Outcome::NotACollector { status: 404 }),
    ] {
        let (flushed, status) = met(Some(given));
        assert_eq!(flushed, Flushed::NotSent(outcome), "{name}");
        assert_eq!(status.client.uploads.last, Some(outcome), "{name}");
        assert_eq!((status.client.on_the_way, status.network), (1, None), "{name}");
        assert!(status.client.uploads.retry_at.is_some() && status.client.uploads.failures == 1, "{name}");
    }
    let start = from_noon().now().at;
    let (_, status) = met(Some(limited));
    let wait = status.client.uploads.retry_at.unwrap().millis_since(start);
    let passed = from_noon().now().at.millis_since(start);
    assert!((7_200_000..=7_200_000 + passed).contains(&wait), "{wait}");
}

#[test]
fn a_batch_that_is_too_large_goes_in_two_parts() {
    let home = tempfile::tempdir().unwrap();
    let small = |body: &[u8]| Batch::parse(body).unwrap().report_count() <= 1;
    let collector = Collector::new(move |_, body| {
        Some(if small(body) { receipt(body) } else { answer("413 Too Large", "", b"") })
    });
    let (millis, clock) = clock(NOON_MS);
    let mut options = options(home.path(), &collector.url);
    (options.client.delay, options.clock) = (Duration::from_secs(60), clock);
    let client = NativeClient::open(options).unwrap();
    (0..3).for_each(|_| record(&client));
    millis.store(NOON_MS + 60_000, Ordering::SeqCst);
    assert_eq!(client.flush(LONG), Flushed::Done);
    assert_eq!(client.status().client.uploads.counted, 3);
    assert!(collector.batches().iter().any(|body| !small(body)));
}

#[test]
fn a_refused_batch_is_dropped_and_counted() {
    let problem = br#"{"type":"urn:deniable:problem:unknown-metric","title":"x","status":404,"detail":"x"}"#;
    let (flushed, status) = met(Some(answer("404 Not Found", "", problem)));
    assert_eq!(flushed, Flushed::Done);
    assert_eq!(status.client.uploads.refused, [("unknown-metric".into(), 1)]);
    let problem = br#"{"type":"urn:deniable:problem:revoked-key","title":"x","status":403,"detail":"x"}"#;
    let (flushed, status) = met(Some(answer("403 Forbidden", "", problem)));
    assert_eq!(flushed, Flushed::NotSent(Outcome::KeyRefused { status: 403 }));
    assert_eq!(status.client.on_the_way, 1);
}

#[test]
fn where_nothing_answers_the_reason_is_told() {
    let (flushed, status) = met(None);
    assert_eq!(flushed, Flushed::NotSent(Outcome::TimedOut));
    assert_eq!(status.network, Some(NetworkFault::TimedOut));
    let home = tempfile::tempdir().unwrap();
    let (flushed, status) = at(home.path(), NOBODY, LONG);
    assert_eq!(flushed, Flushed::NotSent(Outcome::Unreachable));
    assert_eq!(status.network, Some(NetworkFault::Unreachable));
    assert_eq!(status.client.on_the_way, 1);
    // It is still there when the program starts again, and arrives when the time of the next try has come.
    let collector = Collector::counting();
    let (_, clock) = clock(status.client.uploads.retry_at.unwrap().as_millis());
    let client = NativeClient::open(Options { clock, ..options(home.path(), &collector.url) }).unwrap();
    assert_eq!(client.flush(LONG), Flushed::Done);
    assert_eq!(client.status().client.uploads.counted, 1);
}

#[test]
fn a_collector_without_a_certificate_of_its_name_gets_nothing() {
    let report_to = |name| {
        let home = tempfile::tempdir().unwrap();
        let (url, authority, served) = tls_server(name);
        let client = NativeClient::open(options(home.path(), &url).root_certificates(authority)).unwrap();
        record(&client);
        let flushed = client.flush(LONG);
        served.join().unwrap();
        (flushed, client.status().network)
    };
    let stranger = (Flushed::NotSent(Outcome::Unreachable), Some(NetworkFault::Certificate));
    assert_eq!(report_to("other.example"), stranger);
    // Under its own name the server is heard, though what it says is no receipt.
    assert_eq!(report_to("localhost"), (Flushed::NotSent(Outcome::NotACollector { status: 200 }), None));
}

#[test]
fn an_endpoint_that_cannot_be_right_is_refused_when_it_is_given() {
    let home = tempfile::tempdir().unwrap();
    for url in ["reports.example", "http://reports.example", "https://reports.example?key=1"] {
        let error = NativeClient::open(options(home.path(), url)).unwrap_err();
        assert!(matches!(error, OpenError::Endpoint(_)) && error.to_string().contains("https"), "{error}");
    }
    let certificates = options(home.path(), "https://a.example").root_certificates("no certificate");
    assert!(matches!(NativeClient::open(certificates), Err(OpenError::Endpoint(_))));
    assert!(!home.path().join("state").exists(), "a client that cannot open left a folder behind");
}
