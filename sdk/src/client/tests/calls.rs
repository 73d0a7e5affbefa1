//! What each call does.

use super::*;
use crate::insight::Property;

#[test]
fn an_event_becomes_an_answer_a_report_a_commit_and_an_upload() {
    let mut core = core();
    assert_eq!(core.track("saved", &[("x", Property::Flag(true))], at(1)), Tracked::Taken);
    core.advance(at(DAY));
    assert_eq!(core.status().waiting, 1);
    assert!(matches!(core.next_upload(at(DAY)), NextUpload::WaitUntil(due) if due > at(DAY).at));
    let later = at(DAY + HOUR);
    let commit = core.commit(later, false).unwrap();
    assert!(!matches!(core.next_upload(later), NextUpload::Send(_)), "nothing leaves before it is durable");
    core.committed(commit.number);
    let NextUpload::Send(upload) = core.next_upload(later) else { panic!("nothing to send") };
    let batch = Batch::parse(&upload.body).unwrap();
    assert_eq!((batch.report_count(), batch.sections()[0].registry()), (1, registry().hash()));
    let finished = core.finish_upload(upload.id, receipt(&upload.body).reply(), later);
    assert_eq!(finished, Finished::Delivered { counted: 1, refused: 0 });
    assert_eq!(core.next_upload(later), NextUpload::Nothing);
}

#[test]
fn the_program_records_what_it_knows_itself() {
    let mut core = core();
    assert_eq!(core.record(&theme(), Answer::Text("dark"), at(1)), Recorded::Reported);
    let of = |name| MetricId::new(name).unwrap();
    assert_eq!(core.record(&of("saves"), Answer::Flag(true), at(1)), Recorded::AnsweredByDevice);
    assert_eq!(core.record(&of("nothing"), Answer::Flag(true), at(1)), Recorded::Unknown);
    assert_eq!(core.status().refusals.not_asked, 2);
    let bodies = {
        core.flush(at(1));
        drain(&mut core, at(1))
    };
    // The report belongs to the week, whose Monday is the 13th of November 2023.
    assert_eq!(Batch::parse(&bodies[0]).unwrap().sections()[0].epoch().0, 19_674);
}

#[test]
fn a_metric_past_its_last_day_or_of_another_group_is_an_answer() {
    let mut declared = declared();
    declared["metrics"]["theme"]["expires"] = json!("2023-11-14");
    let registry = registry_of(declared.clone());
    let mut core = Core::open(registry, options(), None, &mut host(), at(0)).unwrap();
    assert_eq!(core.record(&theme(), Answer::Text("dark"), at(0)), Recorded::Reported);
    assert_eq!(core.record(&theme(), Answer::Text("dark"), at(DAY)), Recorded::Expired);
    assert_eq!(core.status().refusals.expired, 1);

    declared["metrics"]["theme"]["expires"] = json!(null);
    declared["privacy"] = json!({ "weekly": 2.0, "lifetime": 2.0 });
    let registry = registry_of(declared);
    assert!(registry.rotation().is_needed());
    let recorded = |seed| {
        let mut host = TestHost::new(at(0), [seed; 32]);
        let mut core = Core::open(Arc::clone(&registry), options(), None, &mut host, at(0)).unwrap();
        let recorded = core.record(&theme(), Answer::Text("dark"), at(0));
        assert_eq!(core.status().refusals.not_rotated_in, u64::from(recorded == Recorded::NotRotatedIn));
        recorded
    };
    let all: Vec<Recorded> = (0..20).map(recorded).collect();
    assert!(all.contains(&Recorded::Reported) && all.contains(&Recorded::NotRotatedIn));
}

#[test]
fn without_consent_nothing_is_kept_and_nothing_written() {
    let mut client = Client::open(registry(), Options::default(), host()).unwrap();
    assert_eq!(client.track("saved", &[]), Tracked::NoConsent);
    assert_eq!(client.record(&theme(), Answer::Text("dark")), Recorded::NoConsent);
    client.reset();
    client.flush();
    assert_eq!((client.experiment("form").arm(), client.segment("payer")), (None, None));
    assert_eq!((client.status().refusals.no_consent, client.status().consent), (2, Consent::Pending));
    assert_eq!((client.host().disk.writes, client.host().disk.load().is_none()), (0, true));
    client.opt_in();
    assert_eq!(client.track("saved", &[]), Tracked::Taken);
    assert_eq!(client.host().disk.writes, 1);
}

#[test]
fn who_opts_out_leaves_nothing_but_what_was_spent() {
    let mut client = client();
    let upload = upload(&mut client);
    client.track("identify", &[("plan", Property::Text("paid"))]);
    assert_eq!(client.segment("payer"), Some("yes"));
    let before = client.ledger();
    client.opt_out();
    assert_eq!(client.track("saved", &[]), Tracked::NoConsent);
    // An answer that comes late finds nothing.
    assert_eq!(client.finish_upload(upload.id, receipt(&upload.body).reply()), Finished::Unknown);
    assert_eq!(client.next_upload(), NextUpload::Nothing);
    assert_eq!((client.status().consent, client.status().dropped.erased), (Consent::Withdrawn, 1));
    assert_eq!(client.ledger().for_life, before.for_life);

    let stored = client.host().disk.load().unwrap().to_vec();
    let mut host = host();
    host.disk.put(Some(stored));
    let mut client = Client::open(registry(), options(), host).unwrap();
    assert_eq!(
        client.status().consent,
        Consent::Withdrawn,
        "what the person said outlives the program's default"
    );
    client.opt_in();
    assert_eq!(client.segment("payer"), Some("no"));
    assert_eq!(client.record(&theme(), Answer::Text("dark")), Recorded::Reported);
    let after = client.ledger();
    assert!(after.for_life.spent.get() > before.for_life.spent.get() + 0.9, "a new secret answers anew");
}

#[test]
fn a_reset_forgets_answers_and_arms_and_keeps_consent() {
    let arms = |resets: usize| {
        let mut client = client();
        client.track("identify", &[("plan", Property::Text("paid"))]);
        for _ in 0..resets {
            client.track("saved", &[]);
            client.reset();
            assert_eq!((client.segment("payer"), client.status().consent), (Some("no"), Consent::Given));
        }
        client.experiment("form").arm().map(String::from)
    };
    let drawn: Vec<_> = (0..12).map(arms).collect();
    assert!(drawn.contains(&Some("long".into())) && drawn.contains(&Some("short".into())));
}

#[test]
fn pages_and_traits_are_events() {
    let mut client = client();
    assert_eq!(client.page("start", &[]), Tracked::Taken);
    assert_eq!(client.identify(&[("plan", Property::Text("free"))]), Tracked::Taken);
    assert_eq!(client.track("unheard", &[]), Tracked::Unknown);
    let status = client.status();
    assert_eq!((status.events.unknown_events, status.events.unknown_properties), (1, 0));
    let many: Vec<(&str, Property<'_>)> = (0..100).map(|_| ("plan", Property::Text("free"))).collect();
    client.identify(&many);
    assert_eq!(client.status().refusals.too_many_properties, 36);
}

#[test]
fn a_timer_gives_its_seconds_to_the_event_of_its_name_or_to_a_metric() {
    let mut declared = declared();
    declared["metrics"]["slow"] = json!({ "version": 1, "question": "Was loading slow?", "every": "day", "epsilon": 1.0,
        "source": { "max": { "events": ["loaded"], "property": "duration", "window": "day" } }, "kind": { "at_least": 2.0 } });
    let mut core = Core::open(registry_of(declared), options(), None, &mut host(), at(0)).unwrap();
    let slow = |core: &mut Core, now| {
        let preview = core.preview(now);
        preview.iter().find(|preview| preview.metric.as_str() == "slow").unwrap().answer.clone().unwrap()
    };
    core.start_timer("loaded", at(0));
    core.track("loaded", &[], at(1999));
    assert_eq!(slow(&mut core, at(1999)), "no");
    core.start_timer("loaded", at(2000));
    core.track("loaded", &[], at(4000));
    assert_eq!(slow(&mut core, at(4000)), "yes");
    // An event that declares no duration gets none, and a clock that was set back measures none.
    core.start_timer("saved", at(5000));
    core.track("saved", &[], at(6000));
    assert_eq!(core.status().events.unknown_properties, 0);
    core.start_timer("work", at(5000));
    assert_eq!(core.stop_timer("work", at(4000)), None);
    core.start_timer("work", at(5000));
    assert_eq!((core.stop_timer("work", at(6500)), core.stop_timer("work", at(7000))), (Some(1.5), None));
    let took = |core: &mut Core| core.record_timer(&theme(), "work", at(9000));
    assert_eq!(took(&mut core), None);
    core.start_timer("work", at(8000));
    assert!(matches!(took(&mut core), Some(Recorded::Unfit(_))), "a theme is no number of seconds");
    for i in 0..100 {
        core.start_timer(&format!("t{i}"), at(0));
    }
    assert_eq!((core.stop_timer("t67", at(0)), core.stop_timer("t68", at(0))), (None, Some(0.0)));
}

#[test]
fn timers_go_on_in_a_client_of_the_same_secret_alone() {
    let mut before = core();
    before.track("saved", &[], at(0));
    let stored = before.commit(at(0), true).unwrap();
    before.start_timer("work", at(1000));
    let restore = || Core::open(registry(), options(), Some(&stored.bytes), &mut host(), at(2000)).unwrap();
    let mut after = restore();
    after.take_timers(&mut before);
    assert_eq!(after.stop_timer("work", at(3000)), Some(2.0));
    before.start_timer("work", at(1000));
    let mut erased = restore();
    erased.reset(at(2000));
    erased.take_timers(&mut before);
    assert_eq!(erased.stop_timer("work", at(3000)), None);
}

#[test]
fn a_preview_shows_the_true_answer_the_others_and_the_odds() {
    let mut core = core();
    core.track("saved", &[], at(1));
    let previews = core.preview(at(HOUR));
    let saves = &previews[0];
    assert_eq!((saves.metric.as_str(), saves.answer.as_deref()), ("saves", Some("yes")));
    assert_eq!(saves.possible, ["no", "yes"]);
    let Odds::Choice { truth, other, answers: 2 } = saves.odds else { panic!("{:?}", saves.odds) };
    // ε = 1: e/(e + 1) = 0.7311.
    assert!((truth - 0.7311).abs() < 1e-4 && (truth + other - 1.0).abs() < 1e-9);
    let words = saves.in_words();
    assert!(
        words.contains("If your answer is yes") && words.contains("73.1 %") && words.contains("26.9 %"),
        "{words}"
    );
    assert_eq!(saves.ends.unwrap().to_string(), "2023-11-14");
    // The program alone knows its own.
    assert_eq!((previews[1].metric.as_str(), previews[1].answer.as_deref()), ("theme", None));
    assert_eq!(previews[1].possible, ["dark", "light", "system", "other"]);
    // Nothing ended by it.
    assert_eq!((core.status().waiting, core.ledger(at(HOUR)).reports), (0, 0));
}

#[test]
fn the_odds_are_those_of_the_parameters() {
    use crate::{Encoding, Params, Response};
    let one = |encoding, bits, hashes, zero, one| {
        let stage = Response::nearest(zero, one).unwrap();
        Odds::of(&Params::new(encoding, bits, hashes, 1, None, Some(stage)).unwrap())
    };
    // Four answers: the true one with five eighths, each other one with an eighth.
    let direct = one(Encoding::Direct, 4, 1, 0.125, 0.625);
    assert!(matches!(direct, Odds::Choice { truth, other, answers: 4 } if truth == 0.625 && other == 0.125));
    assert!(direct.in_words("b").contains("says b is 62.5 %"), "{}", direct.in_words("b"));
    assert!(direct.in_words("b").contains("remaining 37.5 %") && direct.in_words("b").contains("12.5 %"));
    let unary = one(Encoding::Unary, 10, 2, 0.25, 0.75);
    assert_eq!(unary, Odds::Bits { set: 0.75, unset: 0.25, bits: 10, most_set: 2 });
    assert!(unary.in_words("x").contains("10 coin tosses"));
    // f = 1/2, p = 1/4, q = 3/4: p* = 3/8 and q* = 5/8.
    let chained = Odds::of(&Params::rappor(128, 2, 64, 0.5, 0.25, 0.75).unwrap());
    assert_eq!(chained, Odds::Bits { set: 0.625, unset: 0.375, bits: 128, most_set: 2 });
}

#[test]
fn a_changed_catalog_is_kept_until_the_program_brings_another() {
    let mut client = client();
    let waiting = registry().hash();
    assert_eq!(client.record(&theme(), Answer::Text("dark")), Recorded::Reported);
    let mut changed = declared();
    changed["metrics"]["theme"]["version"] = json!(2);
    changed["metrics"]["theme"]["kind"] = json!({ "labels": ["dark", "light"] });
    let changed = registry_of(changed);
    assert_eq!(client.catalog(&changed.catalog()), Taken::Changed);
    assert_eq!(client.catalog(&changed.catalog()), Taken::Unchanged);
    assert_eq!(client.record(&theme(), Answer::Text("dark")), Recorded::Reported);
    client.flush();
    let NextUpload::Send(upload) = client.next_upload() else { panic!("nothing to send") };
    let batch = Batch::parse(&upload.body).unwrap();
    let sections: Vec<_> = batch.sections().iter().map(|s| (s.stream().version(), s.registry())).collect();
    assert!(sections.contains(&(1, waiting)) && sections.contains(&(2, changed.hash())), "{sections:?}");
    assert_eq!(client.ledger().reports, 2);

    let stored = client.host().disk.load().unwrap().to_vec();
    let opened = |brought| {
        let core = Core::open(brought, options(), Some(&stored), &mut host(), at(0)).unwrap();
        core.status().registry
    };
    assert_eq!(opened(registry()), changed.hash());
    let mut newer = declared();
    newer["session_gap_minutes"] = json!(20);
    let newer = registry_of(newer);
    assert_eq!(opened(Arc::clone(&newer)), newer.hash());
}
