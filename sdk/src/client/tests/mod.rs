//! The client as a program uses it, on hosts that do what hosts can do.

mod bad_input;
mod calls;
mod caps;
mod sending;
mod stored;
mod year;

use alloc::sync::Arc;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::json;

use super::testing::{Answered, TestHost};
use super::*;
use crate::calendar::{Moment, Timestamp};
use crate::registry::{Declared, Registry};
use crate::{Answer, Batch, MetricId};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// So many milliseconds after Monday the 13th of November 2023, 09:00.
fn at(millis: i64) -> Moment {
    Moment::utc(Timestamp::from_millis(1_699_866_000_000 + millis))
}

/// A metric that the device answers each day, and one that the program answers.
fn declared() -> serde_json::Value {
    json!({
        "privacy": { "weekly": 8.0, "lifetime": 16.0 },
        "events": {
            "saved": {},
            "loaded": { "properties": { "duration": "number" } },
            "page": { "properties": { "name": "text" } },
            "identify": { "properties": { "plan": { "labels": ["free", "paid"] } } },
        },
        "segments": { "payer": { "rules": {
            "otherwise": "no",
            "rules": [{ "label": "yes", "when": { "happened": {
                "events": ["identify"], "where": { "plan": { "is": ["paid"] } }, "window": "ever" } } }],
        } } },
        "experiments": { "form": { "arms": { "long": 1, "short": 1 } } },
        "metrics": {
            "saves": { "version": 1, "question": "Was anything saved today?", "every": "day", "epsilon": 1.0,
                "source": { "any": { "events": ["saved"], "window": "day" } }, "kind": "boolean" },
            "theme": { "version": 1, "question": "Which theme?", "epsilon": 1.0,
                "kind": { "labels": ["dark", "light", "system"] } },
        }
    })
}

fn registry_of(declared: serde_json::Value) -> Arc<Registry> {
    let declared: Declared = serde_json::from_value(declared).unwrap();
    Arc::new(Registry::new(&declared).unwrap())
}

fn registry() -> Arc<Registry> {
    registry_of(declared())
}

fn options() -> Options {
    Options { consent: Consent::Given, ..Options::default() }
}

fn host() -> TestHost {
    TestHost::new(at(0), [7; 32])
}

fn client() -> Client<TestHost> {
    Client::open(registry(), options(), host()).unwrap()
}

fn core() -> Core {
    Core::open(registry(), options(), None, &mut host(), at(0)).unwrap()
}

fn theme() -> MetricId {
    MetricId::new("theme").unwrap()
}

/// What a collector says of a batch that it counts.
fn receipt(body: &[u8]) -> Answered {
    let reports = Batch::parse(body).unwrap().report_count();
    Answered::new(200, &format!(r#"{{"status":"accepted","reports":{reports},"refused":{{}}}}"#))
}

/// A problem of the collector.
fn problem(status: u16, name: &str) -> Answered {
    Answered::new(
        status,
        &format!(
            r#"{{"type":"urn:deniable:problem:{name}","title":"x","status":{status},"detail":"a \"text\" {{"}}"#
        ),
    )
}

/// Makes a report, lets its time come, and takes the upload.
fn upload(client: &mut Client<TestHost>) -> Upload {
    assert_eq!(client.record(&theme(), Answer::Text("dark")), Recorded::Reported);
    client.flush();
    let NextUpload::Send(upload) = client.next_upload() else { panic!("nothing to send") };
    upload
}

/// Writes and sends until nothing is left to do now, and gives the bodies.
fn drain(core: &mut Core, now: Moment) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    loop {
        if let Some(commit) = core.commit(now, true) {
            core.committed(commit.number);
        }
        let NextUpload::Send(upload) = core.next_upload(now) else { return bodies };
        core.finish_upload(upload.id, receipt(&upload.body).reply(), now);
        bodies.push(upload.body);
    }
}
