//! Every line of the table of what goes wrong in the head of the module.

use super::*;
use crate::{Entropy, EntropyError};

/// A client that has a report to write, on a disk that fails.
fn on_failing(error: StorageError) -> Client<TestHost> {
    let mut client = client();
    client.host().disk.fail(Some(error));
    client.track("saved", &[]);
    client.record(&theme(), Answer::Text("dark"));
    client.flush();
    client
}

#[test]
fn a_place_that_cannot_be_written_keeps_everything_in_memory_until_it_can() {
    for error in [
        StorageError::ReadOnly,
        StorageError::Full,
        StorageError::NotAtomic,
        StorageError::Denied,
        StorageError::InUse,
        StorageError::Other { reason: "the cable" },
    ] {
        let mut client = on_failing(error);
        assert_eq!(client.status().storage.error, Some(error));
        assert!(!matches!(client.next_upload(), NextUpload::Send(_)), "{error}: nothing is durable");
        assert_eq!(client.track("saved", &[]), Tracked::Taken);
        client.host().disk.fail(None);
        client.host().pass(5000);
        client.work();
        assert_eq!(client.status().storage.error, None);
        assert!(matches!(client.next_upload(), NextUpload::Send(_)), "{error}");
    }
}

#[test]
fn a_state_that_cannot_be_loaded_or_set_aside_opens_nothing() {
    struct Unreachable(TestHost, bool);
    impl Entropy for Unreachable {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
            self.0.fill(out)
        }
    }
    impl Host for Unreachable {
        fn now(&mut self) -> Moment {
            self.0.now
        }
        fn load(&mut self) -> Result<Option<Vec<u8>>, StorageError> {
            if self.1 { Ok(Some(b"dncl\0".to_vec())) } else { Err(StorageError::InUse) }
        }
        fn store(&mut self, _: &[u8]) -> Result<(), StorageError> {
            panic!("nothing may be overwritten")
        }
        fn set_aside(&mut self, _: &[u8]) -> Result<(), StorageError> {
            Err(StorageError::Denied)
        }
        fn clear_aside(&mut self) -> Result<(), StorageError> {
            Err(StorageError::Denied)
        }
    }
    for (loads, error) in [(false, StorageError::InUse), (true, StorageError::Denied)] {
        let opened = Client::open(registry(), options(), Unreachable(host(), loads));
        assert!(matches!(opened.err(), Some(OpenError::Storage(found)) if found == error));
    }
}

#[test]
fn what_is_no_state_is_set_aside_and_the_client_begins_anew() {
    for bytes in [&b""[..], b"someone else's", b"dncl", b"dncl\x01"] {
        let mut host = host();
        host.disk.put(Some(bytes.to_vec()));
        let mut client = Client::open(registry(), options(), host).unwrap();
        assert!(matches!(client.status().begun, Begun::Anew(_)));
        assert_eq!(
            (client.host().aside.clone(), client.ledger().lost_states),
            (std::vec![bytes.to_vec()], 1)
        );
        // Whoever used it may have opted out.
        assert_eq!(client.track("saved", &[]), Tracked::NoConsent);
        client.opt_in();
        assert_eq!(client.track("saved", &[]), Tracked::Taken);
    }
}

#[test]
fn a_clock_that_was_never_set_takes_nothing_until_it_is() {
    let mut client = client();
    let upload_before = upload(&mut client);
    assert!(matches!(client.finish_upload(upload_before.id, Reply::TimedOut), Finished::Retrying(_)));
    let now = client.host().now.at.as_millis();
    client.host().pass(HOUR - now);
    assert_eq!(client.track("saved", &[]), Tracked::ClockNotSet);
    assert_eq!(client.record(&theme(), Answer::Text("dark")), Recorded::ClockNotSet);
    let status = client.status();
    assert_eq!(
        (status.clock, status.refusals.clock_not_set, status.dropped.too_old),
        (ClockState::NotSet, 2, 0)
    );
    client.host().pass(HOUR);
    assert!(
        matches!(client.next_upload(), NextUpload::WaitUntil(_) | NextUpload::Send(_)),
        "what waits is sent"
    );
    client.host().pass(now);
    assert_eq!(client.track("saved", &[]), Tracked::Taken);
    assert_eq!(client.status().clock, ClockState::Plausible);

    // A first start under such a clock is no install in 1970.
    let mut host = TestHost::new(Moment::utc(Timestamp::from_seconds(0)), [1; 32]);
    host.now.offset_minutes = 60;
    let mut client = Client::open(registry(), options(), host).unwrap();
    assert_eq!(client.track("saved", &[]), Tracked::ClockNotSet);
    client.flush();
    assert_eq!(client.host().disk.writes, 0);
}

/// What an answer means: the outcome that status() shows, and whether the batch stays.
#[test]
fn each_answer_has_one_meaning() {
    let html = "<html>please log in</html>";
    let ours = r#"{"status":"accepted","reports":1,"refused":{}}"#;
    let keeps = true;
    let goes = false;
    let answers = [
        (Answered::new(200, ours), Outcome::Delivered, goes),
        (Answered::new(200, html), Outcome::NotACollector { status: 200 }, keeps),
        (Answered::new(200, ""), Outcome::NotACollector { status: 200 }, keeps),
        (Answered::new(204, ""), Outcome::NotACollector { status: 204 }, keeps),
        (Answered::new(200, r#"{"status":"ok"}"#), Outcome::NotACollector { status: 200 }, keeps),
        // A receipt for another number of reports is another batch's.
        (
            Answered::new(200, r#"{"status":"accepted","reports":2,"refused":{}}"#),
            Outcome::NotACollector { status: 200 },
            keeps,
        ),
        (Answered::new(200, &format!("{ours} {ours}")), Outcome::NotACollector { status: 200 }, keeps),
        (Answered::new(301, html), Outcome::Redirected { status: 301 }, keeps),
        (Answered::new(307, ""), Outcome::Redirected { status: 307 }, keeps),
        (problem(400, "malformed-batch"), Outcome::Refused { status: 400 }, goes),
        (problem(400, "impossible-report"), Outcome::Refused { status: 400 }, goes),
        (problem(404, "unknown-metric"), Outcome::Refused { status: 404 }, goes),
        (problem(409, "unknown-version"), Outcome::Refused { status: 409 }, goes),
        (problem(410, "epoch-closed"), Outcome::Refused { status: 410 }, goes),
        (problem(400, "truncated-batch"), Outcome::Failed { status: 400 }, keeps),
        (problem(400, "unreadable-body"), Outcome::Failed { status: 400 }, keeps),
        (problem(403, "unknown-key"), Outcome::KeyRefused { status: 403 }, keeps),
        (problem(404, "not-found"), Outcome::NotACollector { status: 404 }, keeps),
        (Answered::new(404, html), Outcome::NotACollector { status: 404 }, keeps),
        (Answered::new(403, html), Outcome::NotACollector { status: 403 }, keeps),
        (problem(413, "batch-too-large"), Outcome::TooLarge, goes),
        (Answered::new(413, html), Outcome::TooLarge, goes),
        (problem(408, "too-slow"), Outcome::Limited { status: 408 }, keeps),
        (problem(429, "too-many"), Outcome::Limited { status: 429 }, keeps),
        (Answered::new(429, html), Outcome::Limited { status: 429 }, keeps),
        (Answered::new(500, html), Outcome::Failed { status: 500 }, keeps),
        (problem(503, "busy"), Outcome::Failed { status: 503 }, keeps),
        (Answered::new(999, ""), Outcome::Failed { status: 999 }, keeps),
    ];
    for (answer, outcome, keeps) in answers {
        let mut client = client();
        let sent = upload(&mut client);
        client.finish_upload(sent.id, answer.reply());
        let status = client.status();
        assert_eq!((status.uploads.last, status.on_the_way == 1), (Some(outcome), keeps), "{answer:?}");
        let ends = [outcome == Outcome::Delivered, outcome == Outcome::TooLarge];
        let ends = ends.contains(&true) || matches!(outcome, Outcome::Refused { .. });
        assert_eq!(status.uploads.retry_at.is_some(), !ends, "{answer:?}");
        let refused: u64 = status.uploads.refused.iter().map(|(_, count)| count).sum();
        assert_eq!(refused, u64::from(matches!(outcome, Outcome::Refused { .. })), "{answer:?}");
    }
    for (reply, outcome) in [(Reply::Unreachable, Outcome::Unreachable), (Reply::TimedOut, Outcome::TimedOut)]
    {
        let mut client = client();
        let sent = upload(&mut client);
        assert!(matches!(client.finish_upload(sent.id, reply), Finished::Retrying(_)));
        assert_eq!((client.status().uploads.last, client.status().on_the_way), (Some(outcome), 1));
    }
}

#[test]
fn reasons_that_a_stranger_makes_up_take_no_room() {
    let mut core = core();
    for week in 0..40 {
        let now = at(7 * DAY * week);
        core.record(&theme(), Answer::Text("dark"), now);
        core.flush(now);
        let commit = core.commit(now, true).unwrap();
        core.committed(commit.number);
        let NextUpload::Send(sent) = core.next_upload(now) else { panic!("nothing to send") };
        core.finish_upload(sent.id, problem(400, &format!("made-up-{week}")).reply(), now);
    }
    let refused = core.status().uploads.refused;
    assert_eq!((refused.len(), &refused[0]), (MAX_REASONS + 1, &("made-up-0".into(), 1)));
    assert!(refused.iter().any(|(reason, count)| reason == "other" && *count >= 24), "{refused:?}");
}

#[test]
fn a_catalog_that_cannot_be_used_changes_nothing() {
    let mut client = client();
    let before = client.status().registry;
    client.record(&theme(), Answer::Text("dark"));
    for bytes in [&b""[..], b"<html>", b"dnct\x09", b"dnct\x01"] {
        assert!(matches!(client.catalog(bytes), Taken::Unusable(_)));
        let status = client.status();
        assert_eq!((status.registry, status.catalog_error.is_some(), status.waiting), (before, true, 1));
    }
    assert_eq!(client.catalog(&registry().catalog()), Taken::Unchanged);
    assert_eq!(client.status().catalog_error, None);
}

#[test]
fn an_answer_of_the_wrong_kind_is_refused_without_naming_it() {
    let mut client = client();
    for answer in [Answer::Flag(true), Answer::Number(3.0), Answer::Names(&["dark"]), Answer::Nothing] {
        let Recorded::Unfit(unfit) = client.record(&theme(), answer) else { panic!("it fits") };
        assert!(unfit.to_string().contains("wants a text"), "{unfit}");
    }
    assert_eq!((client.status().refusals.unfit, client.ledger().reports), (4, 0));
}

#[test]
fn a_setting_outside_its_range_or_a_host_without_randomness_opens_nothing() {
    struct Dry;
    impl Entropy for Dry {
        fn fill(&mut self, _: &mut [u8]) -> Result<(), EntropyError> {
            Err(EntropyError { reason: "dry" })
        }
    }
    assert!(matches!(
        Core::open(registry(), options(), None, &mut Dry, at(0)).err(),
        Some(OpenError::Entropy(_))
    ));
    let second = core::time::Duration::from_secs(1);
    for wrong in [
        Options { delay: 8 * 86_400 * second, ..options() },
        Options { write_delay: 3601 * second, ..options() },
        Options { body_bytes: 4095, ..options() },
        Options { body_bytes: crate::MAX_BATCH_BYTES + 1, ..options() },
        Options { queue_bytes: 0, ..options() },
        Options { max_age_days: 0, ..options() },
    ] {
        let error = Core::open(registry(), wrong, None, &mut host(), at(0)).err();
        let Some(OpenError::Options(error)) = error else { panic!("it opens") };
        assert!(error.to_string().contains(&error.value.to_string()), "{error}");
    }
}
