//! What the client takes of its host: the time of a call and of a commit, and the commits and bytes of a day.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot set up should stop")]
#![allow(clippy::print_stdout, reason = "bytes and commits are no times, so criterion has no place for them")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use deniable::calendar::{Moment, Timestamp};
use deniable::client::{Consent, Core, NextUpload, Options, Reply};
use deniable::insight::Property;
use deniable::registry::{Declared, Registry};
use deniable::{Answer, Batch, MetricId, SystemEntropy};

const SECOND: i64 = 1000;
const DAY: i64 = 86_400 * SECOND;

fn registry() -> Arc<Registry> {
    let declared: Declared = serde_json::from_str(
        r#"{
        "privacy": { "weekly": 16.0, "lifetime": 32.0 },
        "events": {
            "page": { "properties": { "name": "text", "load_ms": "number" } },
            "saved": { "properties": { "kind": { "labels": ["text", "image", "table"] } } }
        },
        "metrics": {
            "saves": { "version": 1, "question": "Was anything saved today?", "every": "day", "epsilon": 1.0,
                "source": { "any": { "events": ["saved"], "window": "day" } }, "kind": "boolean" },
            "kind": { "version": 1, "question": "What is saved most?", "every": "week", "epsilon": 1.0,
                "source": { "most_common": { "events": ["saved"], "property": "kind", "window": "week" } }, "kind": "category" },
            "load": { "version": 1, "question": "How long does a page take?", "every": "week", "epsilon": 1.0,
                "source": { "median": { "events": ["page"], "property": "load_ms", "window": "week" } },
                "kind": { "histogram": { "edges": [100, 300, 1000] } } },
            "last": { "version": 1, "question": "Which page was the last?", "every": "week", "epsilon": 1.0,
                "source": { "last": { "events": ["page"], "property": "name", "window": "week" } }, "kind": "string" },
            "theme": { "version": 1, "question": "Which theme?", "kind": { "labels": ["dark", "light"] }, "epsilon": 1.0 }
        }
    }"#,
    )
    .unwrap();
    Arc::new(Registry::new(&declared).unwrap())
}

fn at(millis: i64) -> Moment {
    Moment::utc(Timestamp::from_millis(1_700_000_000_000 + millis))
}

fn open(stored: Option<&[u8]>) -> Core {
    let options = Options { consent: Consent::Given, ..Options::default() };
    Core::open(registry(), options, stored, &mut SystemEntropy, at(0)).unwrap()
}

fn event(core: &mut Core, number: i64, now: Moment) {
    if number % 2 == 0 {
        core.page("start", &[("load_ms", Property::Number((number % 700) as f64))], now);
    } else {
        core.track("saved", &[("kind", Property::Text("image"))], now);
    }
}

/// What so many events of a day write and send.
fn day(events: i64) {
    let mut core = open(None);
    let (mut commits, mut written, mut sent, mut uploads) = (0u64, 0, 0, 0);
    let days = 28;
    for number in 0..events * days {
        let now = at(number * DAY / events);
        event(&mut core, number, now);
        while let Some(commit) = core.commit(now, false) {
            commits += 1;
            written += commit.bytes.len();
            core.committed(commit.number);
            let NextUpload::Send(upload) = core.next_upload(now) else { continue };
            (uploads, sent) = (uploads + 1, sent + upload.body.len());
            let reports = Batch::parse(&upload.body).unwrap().report_count();
            let body = format!(r#"{{"status":"accepted","reports":{reports},"refused":{{}}}}"#);
            let reply = Reply::Answered { status: 200, retry_after: None, body: body.as_bytes() };
            core.finish_upload(upload.id, reply, now);
        }
    }
    let all = (events * days) as f64;
    println!(
        "{events} events a day: {:.3} commits and {:.0} bytes written per event, {} bytes of state, {:.1} uploads and {:.0} bytes sent a day",
        commits as f64 / all,
        written as f64 / all,
        core.status().storage.state_bytes,
        f64::from(uploads) / days as f64,
        sent as f64 / days as f64,
    );
}

fn calls(c: &mut Criterion) {
    for events in [10, 1000, 100_000] {
        day(events);
    }
    let mut core = open(None);
    let mut number = 0;
    c.bench_function("track", |b| {
        b.iter(|| {
            number += 1;
            event(black_box(&mut core), number, at(number));
        });
    });
    c.bench_function("commit", |b| {
        b.iter(|| {
            number += 1;
            event(&mut core, number, at(number));
            let commit = core.commit(at(number), true).unwrap();
            core.committed(commit.number);
            commit.bytes.len()
        });
    });
    let stored = {
        event(&mut core, 0, at(number));
        core.commit(at(number), true).unwrap().bytes
    };
    c.bench_function("open", |b| b.iter(|| open(Some(&stored))));
    let theme = MetricId::new("theme").unwrap();
    c.bench_function("record", |b| b.iter(|| open(None).record(&theme, Answer::Text("dark"), at(1))));
    c.bench_function("preview", |b| b.iter(|| core.preview(at(number)).len()));
    c.bench_function("status and ledger", |b| b.iter(|| (core.status(), core.ledger(at(number)))));
}

criterion_group!(benches, calls);
criterion_main!(benches);
