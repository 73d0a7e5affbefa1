//! The client as a native program uses it, with a collector on the loopback.

mod catalog;
mod network;
mod state;

use std::format;
use std::path::Path;
use std::prelude::v1::*;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use super::client::CONSENT_WAIT;
use super::clock::Clock;
use super::http::Limits;
use super::testing::{Collector, receipt};
use super::*;
use crate::calendar::{Moment, Timestamp};
use crate::client::{self, ClockState, Consent, Recorded, Tracked};
use crate::insight::Property;
use crate::registry::{Declared, Registry};
use crate::{Answer, Batch, MetricId};

/// The most that anything here may take, also where a machine has much else to do.
const LONG: Duration = Duration::from_secs(300);
/// An address where nobody listens, as no system gives its port away.
const NOBODY: &str = "http://127.0.0.1:9";
/// 2026-01-05, a Monday, at noon.
const NOON_MS: i64 = 1_767_614_400_000;
const DAY_MS: i64 = 86_400_000;

/// A question that the device answers from events, and one that the program answers; `words` tells registries apart.
fn registry(words: &str) -> Registry {
    let declared: Declared = serde_json::from_str(&format!(
        r#"{{
        "events": {{ "saved": {{ "properties": {{ "kind": "text" }} }} }},
        "metrics": {{
            "saves": {{ "version": 1, "question": "{words}", "every": "day",
                "source": {{ "any": {{ "events": ["saved"], "window": "day" }} }}, "kind": "boolean", "epsilon": 0.5 }},
            "theme": {{ "version": 1, "question": "Which theme?", "kind": {{ "labels": ["dark", "light"] }},
                "epsilon": 0.1, "epsilon_infinity": 0.2 }}
        }}
    }}"#
    ))
    .unwrap();
    Registry::new(&declared).unwrap()
}

fn catalog(words: &str) -> Vec<u8> {
    registry(words).catalog()
}

/// A clock that runs as the system's does, but from a noon on: no day ends while a test runs.
fn from_noon() -> Clock {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    Clock::given(|| {
        let at = NOON_MS + START.elapsed().as_millis() as i64;
        Moment::utc(Timestamp::from_millis(at))
    })
}

/// Options of a device that reports at once.
fn options(folder: &Path, url: &str) -> Options {
    let client = client::Options { consent: Consent::Given, delay: Duration::ZERO, ..Default::default() };
    let catalog = Catalog::BuiltIn(catalog("Did it save?"));
    Options { clock: from_noon(), ..Options::new(folder.join("state"), url, catalog).client(client) }
}

fn theme() -> MetricId {
    MetricId::new("theme").unwrap()
}

fn record(client: &NativeClient) {
    assert_eq!(client.record(&theme(), Answer::Text("dark")), Recorded::Reported);
}

/// Waits until something is so that another thread brings about.
fn until(mut what: impl FnMut() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < LONG, "it does not come about");
        thread::yield_now();
    }
}

/// Opens a client, once the one before has let go of the folder, which it does later than told where a disk is slow.
fn open(options: &Options) -> Result<NativeClient, OpenError> {
    let mut opened = NativeClient::open(options.clone());
    until(|| {
        let in_use = matches!(opened, Err(OpenError::InUse(_)));
        if in_use {
            opened = NativeClient::open(options.clone());
        }
        !in_use
    });
    opened
}

/// A clock that a test moves.
fn clock(start_ms: i64) -> (Arc<AtomicI64>, Clock) {
    let millis = Arc::new(AtomicI64::new(start_ms));
    let read = Arc::clone(&millis);
    (millis, Clock::given(move || Moment::utc(Timestamp::from_millis(read.load(Ordering::SeqCst)))))
}

#[test]
fn answers_reach_the_collector_once_and_are_remembered() {
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::counting());
    let client = NativeClient::open(options(home.path(), &collector.url)).unwrap();
    assert_eq!(client.flush(LONG), Flushed::Done);
    for _ in 0..3 {
        record(&client);
    }
    assert_eq!(client.track("saved", &[("kind", Property::Text("draft"))]), Tracked::Taken);
    assert_eq!(client.track("unheard", &[]), Tracked::Unknown);
    assert_eq!(client.flush(LONG), Flushed::Done);
    let sent =
        || collector.batches().iter().map(|body| Batch::parse(body).unwrap().report_count()).sum::<usize>();
    assert_eq!(sent(), 3);
    let status = client.status();
    assert_eq!((status.client.uploads.counted, status.client.waiting), (3, 0));
    assert!(status.working && status.network.is_none() && matches!(status.state, StateStatus::Kept));
    assert_eq!(client.close(LONG), Closed::Written);
    assert!(!client.status().working);
    assert_eq!((client.close(LONG), client.flush(LONG)), (Closed::NotWorking, Flushed::NotWorking));

    let again = NativeClient::open(options(home.path(), &collector.url)).unwrap();
    assert_eq!(again.status().client.uploads.counted, 3);
    assert_eq!(again.ledger().metrics.iter().map(|spent| spent.reports).sum::<u64>(), 3);
    assert_eq!((again.flush(LONG), sent()), (Flushed::Done, 3));
}

#[test]
fn handles_go_to_any_thread_and_the_last_one_closes() {
    fn shareable<T: Send + Sync + Clone + 'static>() {}
    shareable::<NativeClient>();
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::counting());
    let client = NativeClient::open(options(home.path(), &collector.url)).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || (0..10).for_each(|_| record(&client)))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let error = NativeClient::open(options(home.path(), &collector.url)).unwrap_err();
    assert!(matches!(&error, OpenError::InUse(FolderError::InUse { .. })), "{error}");
    drop(client);
    // What was recorded is on the disk, and the folder is free.
    let again = open(&options(home.path(), &collector.url)).unwrap();
    assert_eq!(again.ledger().metrics.iter().map(|spent| spent.reports).sum::<u64>(), 40);
    assert_eq!(again.flush(LONG), Flushed::Done);
    assert_eq!(again.status().client.uploads.counted, 40);
}

#[test]
fn a_setting_outside_its_range_is_named() {
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::counting());
    let mut options = options(home.path(), &collector.url);
    options.client.body_bytes = 1;
    let error = NativeClient::open(options).unwrap_err();
    assert!(
        matches!(error, OpenError::Client(_)) && error.to_string().contains("body_bytes is 1"),
        "{error}"
    );
}

#[test]
fn nothing_waits_for_a_collector_that_is_silent() {
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::new(|_, _| None));
    let limits = Limits { whole: 2 * LONG, ..Limits::default() };
    let client = NativeClient::open(Options { limits, ..options(home.path(), &collector.url) }).unwrap();
    record(&client);
    until(|| collector.holds_one());
    // An upload is under way, and all goes on.
    record(&client);
    assert_eq!(client.track("saved", &[]), Tracked::Taken);
    assert_eq!(client.status().client.on_the_way, 1);
    assert_eq!(client.flush(Duration::from_millis(50)), Flushed::TimedOut);
    let start = Instant::now();
    assert_eq!(client.close(Duration::from_millis(100)), Closed::TimedOut);
    assert!(start.elapsed() < LONG);
    // The state is written and free, though a thread still waits.
    collector.answers(|_, body| Some(receipt(body)));
    let again = open(&options(home.path(), &collector.url)).unwrap();
    assert_eq!(again.flush(LONG), Flushed::Done);
    // The batch that was under way came again as it was.
    let batches = collector.batches();
    assert_eq!((batches.len(), &batches[0]), (3, &batches[1]));
}

#[test]
fn closing_sends_what_is_due_and_nothing_else() {
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::counting());
    for run in 1..=5 {
        let client = NativeClient::open(options(home.path(), &collector.url)).unwrap();
        record(&client);
        assert_eq!(client.close(LONG), Closed::Written);
        assert_eq!(client.status().client.uploads.counted, run);
    }
    let mut options = options(home.path(), &collector.url);
    options.client.delay = Duration::from_secs(600_000);
    let client = NativeClient::open(options).unwrap();
    record(&client);
    assert_eq!(client.close(LONG), Closed::Written);
    assert_eq!((client.status().client.uploads.counted, client.status().client.waiting), (5, 1));
}

#[test]
fn consent_is_durable_when_the_call_returns() {
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::counting());
    let folder = home.path().join("state");
    let opened = |consent| {
        let options = options(home.path(), &collector.url).consent(consent);
        open(&options).unwrap()
    };
    let client = opened(Consent::Pending);
    assert_eq!(client.record(&theme(), Answer::Text("dark")), Recorded::NoConsent);
    client.opt_in();
    record(&client);
    until(|| client.status().client.uploads.counted == 1);
    std::fs::write(folder.join("state.damaged.1"), "what could not be read once").unwrap();
    let start = Instant::now();
    client.opt_out();
    // The call waits for a disk that is slow, but not for ever.
    if start.elapsed() >= CONSENT_WAIT {
        client.flush(LONG);
    }
    let on_disk = std::fs::read(folder.join("state")).unwrap();
    for name in ["state.old", "state.damaged.1"] {
        assert!(!folder.join(name).exists(), "{name} still tells of the person");
    }
    assert_eq!(client.track("saved", &[]), Tracked::NoConsent);
    drop(client);
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("state")).unwrap();
    std::fs::write(copy.path().join("state/lock"), "").unwrap();
    std::fs::write(copy.path().join("state/state"), on_disk).unwrap();
    let copied = NativeClient::open(options(copy.path(), &collector.url)).unwrap();
    assert_eq!(copied.status().client.consent, Consent::Withdrawn);
    // A choice outlives what the program says by itself.
    assert_eq!(opened(Consent::Given).status().client.consent, Consent::Withdrawn);
}

#[test]
fn a_clock_that_was_never_set_takes_nothing_and_one_that_is_put_right_goes_on() {
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::counting());
    let (millis, clock) = clock(DAY_MS);
    let options = Options { clock, ..options(home.path(), &collector.url) };
    let client = NativeClient::open(options).unwrap();
    assert_eq!(client.track("saved", &[]), Tracked::ClockNotSet);
    assert_eq!(client.record(&theme(), Answer::Text("dark")), Recorded::ClockNotSet);
    assert_eq!(client.status().client.clock, ClockState::NotSet);
    millis.store(NOON_MS, Ordering::SeqCst);
    record(&client);
    assert_eq!(client.flush(LONG), Flushed::Done);
    assert_eq!(client.status().client.clock, ClockState::Plausible);
    // A day later the device answers from its events by itself.
    client.track("saved", &[]);
    millis.store(NOON_MS + DAY_MS, Ordering::SeqCst);
    assert_eq!(client.flush(LONG), Flushed::Done);
    assert_eq!(client.status().client.uploads.counted, 2);
    // And goes on after the clock was set back by a week.
    millis.store(NOON_MS - 7 * DAY_MS, Ordering::SeqCst);
    record(&client);
    assert_eq!(client.flush(LONG), Flushed::Done);
    assert_eq!(client.status().client.uploads.counted, 3);
}
