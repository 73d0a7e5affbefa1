//! When and how reports leave, and what an answer means for them.

use core::time::Duration;
use std::collections::BTreeSet;

use super::*;
use crate::WriteKey;

/// A core with so many reports that wait.
fn with_reports(options: Options, reports: usize) -> Core {
    let mut declared = declared();
    declared["privacy"] = json!({ "weekly": 64.0, "lifetime": 64.0 });
    let mut core = Core::open(registry_of(declared), options, None, &mut host(), at(0)).unwrap();
    for _ in 0..reports {
        assert_eq!(core.record(&theme(), Answer::Text("dark"), at(0)), Recorded::Reported);
    }
    core
}

fn commit(core: &mut Core, now: i64) {
    let commit = core.commit(at(now), true).unwrap();
    core.committed(commit.number);
}

fn next(core: &mut Core, now: i64) -> Upload {
    match core.next_upload(at(now)) {
        NextUpload::Send(upload) => upload,
        other => panic!("{other:?}"),
    }
}

fn reports(upload: &Upload) -> usize {
    Batch::parse(&upload.body).unwrap().report_count()
}

#[test]
fn reports_leave_at_random_times_within_the_delay() {
    let mut due = BTreeSet::new();
    for seed in 0..40 {
        let mut host = TestHost::new(at(0), [seed; 32]);
        let mut core = Core::open(registry(), options(), None, &mut host, at(0)).unwrap();
        core.record(&theme(), Answer::Text("dark"), at(0));
        commit(&mut core, 0);
        let NextUpload::WaitUntil(at_millis) = core.next_upload(at(0)) else { panic!("it leaves at once") };
        due.insert(at_millis.millis_since(at(0).at));
    }
    assert!(due.len() > 35, "{due:?}");
    let (first, last) = (*due.first().unwrap(), *due.last().unwrap());
    assert!((0..HOUR / 4).contains(&first) && (3 * HOUR / 4..=HOUR).contains(&last), "{first} to {last}");
}

#[test]
fn a_batch_mixes_metrics_and_says_neither_order_nor_time() {
    let mut core = with_reports(Options { key: WriteKey([5; 16]), ..options() }, 3);
    core.advance(at(3 * DAY));
    commit(&mut core, 3 * DAY + HOUR);
    let upload = next(&mut core, 3 * DAY + HOUR);
    let batch = Batch::parse(&upload.body).unwrap();
    assert_eq!((batch.key(), batch.id(), batch.report_count()), (WriteKey([5; 16]), upload.id, 6));
    let metrics: BTreeSet<_> = batch.sections().iter().map(|s| s.stream().metric().to_string()).collect();
    assert_eq!(metrics.len(), 2);
    assert_eq!(upload.content_type, "application/octet-stream");
}

#[test]
fn bodies_keep_to_their_limit_and_the_queue_to_its_own() {
    let mut core = with_reports(Options { body_bytes: 4096, queue_bytes: 8192, ..options() }, 500);
    let status = core.status();
    assert!(status.queue_bytes <= 8192 && status.dropped.no_room > 300, "{status:?}");
    assert_eq!(status.waiting + status.dropped.no_room, 500);
    core.flush(at(1));
    let bodies = drain(&mut core, at(1));
    assert!(bodies.len() > 1 && bodies.iter().all(|body| body.len() <= 4096));
    let sent: usize = bodies.iter().map(|body| Batch::parse(body).unwrap().report_count()).sum();
    assert_eq!(sent as u64, status.waiting);
    let ids: BTreeSet<_> = bodies.iter().map(|body| Batch::parse(body).unwrap().id()).collect();
    assert_eq!(ids.len(), bodies.len());
}

#[test]
fn the_oldest_go_first() {
    let options = Options { queue_bytes: 4096, ..options() };
    let mut core = with_reports(options, 0);
    let fits = 4096 / 50;
    for week in 0..3 {
        for _ in 0..fits / 2 {
            core.record(&theme(), Answer::Text("dark"), at(7 * DAY * week));
        }
    }
    core.flush(at(14 * DAY));
    let body = drain(&mut core, at(14 * DAY)).concat();
    let epochs: Vec<u32> = Batch::parse(&body).unwrap().sections().iter().map(|s| s.epoch().0).collect();
    assert!(epochs.contains(&(19_674 + 14)) && !epochs.contains(&19_674), "{epochs:?}");
}

#[test]
fn a_batch_keeps_its_id_and_bytes_over_failures_and_restarts() {
    let mut core = with_reports(options(), 2);
    core.flush(at(0));
    let stored = core.commit(at(0), true).unwrap();
    core.committed(stored.number);
    let first = next(&mut core, 0);
    assert!(matches!(core.finish_upload(first.id, Reply::TimedOut, at(1)), Finished::Retrying(_)));
    assert!(matches!(core.next_upload(at(1)), NextUpload::WaitUntil(_)));
    let again = next(&mut core, MINUTE);
    assert_eq!(first, again);
    let registry = Arc::clone(core.registry());
    let mut reopened = Core::open(registry, options(), Some(&stored.bytes), &mut host(), at(MINUTE)).unwrap();
    assert_eq!(next(&mut reopened, MINUTE), first);
}

#[test]
fn an_upload_that_the_host_forgot_is_tried_again() {
    let mut core = with_reports(options(), 1);
    core.flush(at(0));
    commit(&mut core, 0);
    let first = next(&mut core, 0);
    assert_eq!(core.next_upload(at(MINUTE)), NextUpload::Nothing);
    assert!(matches!(core.next_upload(at(10 * MINUTE)), NextUpload::WaitUntil(_)));
    assert_eq!(next(&mut core, 12 * MINUTE), first);
}

#[test]
fn waits_double_with_jitter_up_to_a_day() {
    let waits = |seed| {
        let mut host = TestHost::new(at(0), [seed; 32]);
        let mut core = Core::open(registry(), options(), None, &mut host, at(0)).unwrap();
        core.record(&theme(), Answer::Text("dark"), at(0));
        core.flush(at(0));
        commit(&mut core, 0);
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..16 {
            let upload = next(&mut core, now);
            let Finished::Retrying(at_millis) = core.finish_upload(upload.id, Reply::Unreachable, at(now))
            else {
                panic!("an unreachable collector ends nothing")
            };
            let wait = at_millis.millis_since(at(now).at);
            waits.push(wait);
            now += wait;
        }
        waits
    };
    let (a, b) = (waits(1), waits(2));
    for (failures, wait) in a.iter().enumerate() {
        let doubled = (30_000i64 << failures).min(DAY);
        assert!((doubled / 2..=doubled).contains(wait), "{failures}: {wait}");
    }
    assert_ne!(a, b);
}

#[test]
fn a_collector_may_ask_to_wait_in_seconds_or_until_a_date() {
    let wait = |retry_after: &str| {
        let mut core = with_reports(options(), 1);
        core.flush(at(0));
        commit(&mut core, 0);
        let upload = next(&mut core, 0);
        let reply = Reply::Answered { status: 503, retry_after: Some(retry_after), body: b"" };
        let Finished::Retrying(until) = core.finish_upload(upload.id, reply, at(0)) else { panic!() };
        until.millis_since(at(0).at)
    };
    assert_eq!(wait("7200"), 2 * HOUR);
    // The clock shows 09:00.
    assert_eq!(wait("Mon, 13 Nov 2023 12:30:00 GMT"), 3 * HOUR + 30 * MINUTE);
    assert_eq!(wait("999999999"), DAY, "nobody silences a device for ever");
    for nothing in [
        "",
        "soon",
        "-5",
        "Mon, 13 Nov 2023",
        "Mon, 32 Nov 2023 12:30:00 GMT",
        "0",
        "Mon, 13 Nov 2000 12:30:00 GMT",
    ] {
        assert!((15_000..=30_000).contains(&wait(nothing)), "{nothing}");
    }
}

#[test]
fn the_reasons_of_reports_that_were_refused_are_counted() {
    let mut core = with_reports(options(), 5);
    core.flush(at(0));
    commit(&mut core, 0);
    let upload = next(&mut core, 0);
    let body = br#" { "refused" : { "epoch-closed" : 2, "unknown-version":1 }, "more": [1, {"x": "\"}"}], "reports":2,"status" : "duplicate" } "#;
    let reply = Reply::Answered { status: 200, retry_after: None, body };
    assert_eq!(core.finish_upload(upload.id, reply, at(0)), Finished::Delivered { counted: 2, refused: 3 });
    let uploads = core.status().uploads;
    assert_eq!((uploads.counted, uploads.last), (2, Some(Outcome::Delivered)));
    assert_eq!(
        uploads.refused.into_iter().collect::<Vec<_>>(),
        [("epoch-closed".into(), 2), ("unknown-version".into(), 1)]
    );
}

/// One answer after the other to a batch of four: the reports of each upload that follows.
fn after(answers: &[Answered]) -> (Core, Vec<(usize, String)>) {
    let mut core = with_reports(options(), 4);
    core.flush(at(0));
    let (mut now, mut sent) = (0, Vec::new());
    for answer in answers {
        if let Some(commit) = core.commit(at(now), true) {
            core.committed(commit.number);
        }
        let upload = next(&mut core, now);
        sent.push((reports(&upload), upload.id.to_string()));
        core.finish_upload(upload.id, answer.reply(), at(now));
        now += DAY;
    }
    (core, sent)
}

fn accepted(reports: usize) -> Answered {
    Answered::new(200, &format!(r#"{{"status":"accepted","reports":{reports},"refused":{{}}}}"#))
}

fn duplicate(reports: usize) -> Answered {
    Answered::new(200, &format!(r#"{{"status":"duplicate","reports":{reports},"refused":{{}}}}"#))
}

#[test]
fn a_batch_that_is_too_large_goes_in_parts() {
    let too_large = Answered::new(413, "");
    let (core, sent) = after(&[too_large.clone(), too_large.clone(), accepted(1), accepted(1), accepted(2)]);
    assert_eq!(sent.iter().map(|(reports, _)| *reports).collect::<Vec<_>>(), [4, 2, 1, 1, 2]);
    assert_eq!((core.status().uploads.counted, core.status().dropped.too_large), (4, 0));
    let (core, sent) = after(&[too_large.clone(), too_large.clone(), too_large]);
    assert_eq!(sent.iter().map(|(reports, _)| *reports).collect::<Vec<_>>(), [4, 2, 1]);
    assert_eq!((core.status().dropped.too_large, core.status().on_the_way), (1, 3));
}

#[test]
fn what_may_have_been_counted_is_not_sent_under_another_id() {
    let too_large = Answered::new(413, "");
    let lost = Answered::new(502, "");
    // The first try may have been counted. The half goes under its id, the rest not before the answer.
    let (core, sent) = after(&[lost.clone(), too_large.clone(), accepted(2), accepted(2)]);
    assert_eq!(sent.iter().map(|(reports, _)| *reports).collect::<Vec<_>>(), [4, 4, 2, 2]);
    assert!(sent[..3].iter().all(|(_, id)| *id == sent[0].1) && sent[3].1 != sent[0].1);
    assert_eq!((core.status().uploads.counted, core.status().dropped.uncertain), (4, 0));
    // The half is a duplicate: the rest was counted before, or is lost, and is never counted twice.
    let (core, sent) = after(&[lost, too_large, duplicate(2)]);
    assert_eq!(sent.len(), 3);
    let status = core.status();
    assert_eq!((status.uploads.counted, status.dropped.uncertain, status.on_the_way), (2, 2, 0));
}

#[test]
fn a_failed_commit_lets_nothing_leave_and_is_tried_again() {
    let mut core = with_reports(options(), 1);
    core.flush(at(0));
    let failed = core.commit(at(0), true).unwrap();
    assert!(core.commit(at(0), true).is_none(), "one commit at a time");
    core.commit_failed(failed.number, StorageError::Full, at(0));
    assert!(!matches!(core.next_upload(at(0)), NextUpload::Send(_)));
    assert!(core.commit(at(4000), false).is_none());
    assert_eq!(core.wake_at().map(|wake| wake.millis_since(at(0).at)), Some(5000));
    let again = core.commit(at(5000), false).unwrap();
    assert!(again.number > failed.number);
    // What is said of the first too late means nothing.
    core.committed(failed.number);
    assert!(!matches!(core.next_upload(at(5000)), NextUpload::Send(_)));
    core.committed(again.number);
    assert_eq!(reports(&next(&mut core, 5000)), 1);
}

#[test]
fn events_wait_to_be_written_together_and_consent_does_not() {
    let mut core = core();
    core.track("saved", &[], at(0));
    assert!(core.commit(at(4999), false).is_none());
    assert_eq!(core.wake_at(), Some(at(5000).at));
    let commit = core.commit(at(5000), false).unwrap();
    core.committed(commit.number);
    assert_eq!(core.wake_at(), None);
    core.opt_out(at(6000));
    assert!(core.commit(at(6000), false).is_some());
}

#[test]
fn a_clock_that_is_set_back_strands_nothing() {
    let mut core = with_reports(options(), 1);
    core.advance(at(0));
    commit(&mut core, 0);
    let earlier = -300 * DAY;
    core.advance(at(earlier));
    let wake = core.wake_at().unwrap();
    assert!(wake.millis_since(at(earlier).at) <= HOUR, "{wake:?}");
    let later = earlier + HOUR;
    commit(&mut core, later);
    let upload = next(&mut core, later);
    core.finish_upload(upload.id, Reply::Unreachable, at(later));
    core.advance(at(later - 300 * DAY));
    let wait = core.wake_at().unwrap().millis_since(at(later - 300 * DAY).at);
    assert!(wait <= Duration::from_secs(86_400).as_millis() as i64, "{wait}");
}

#[test]
fn what_a_collector_would_refuse_for_its_age_is_dropped_and_counted() {
    let mut core = with_reports(options(), 2);
    core.advance(at(45 * DAY));
    assert_eq!(core.status().dropped.too_old, 0);
    core.advance(at(46 * DAY));
    // The two of the first week, and the answer of the day of that Monday.
    assert_eq!(core.status().dropped.too_old, 3);
}
