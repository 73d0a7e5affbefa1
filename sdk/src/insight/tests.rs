//! Sessions, clocks, bounds and stored states.

use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec::Vec;

use serde_json::{Value, json};

use super::{Answered, Device, Event, Given, MAX_TEXT_BYTES, Property, StateError};
use crate::DeviceSecret;
use crate::calendar::{Moment, Timestamp};
use crate::registry::{Declared, Registry};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2024-03-30T00:00Z, a Saturday. In the night that follows, much of Europe puts its clocks forward.
const START: i64 = 19_812 * DAY;

fn secret() -> DeviceSecret {
    DeviceSecret::from_bytes([5; 32])
}

fn at(seconds: i64) -> Moment {
    Moment::utc(Timestamp::from_seconds(START + seconds))
}

/// A registry with these metrics, each a source, a kind and a rhythm.
fn registry(lookback_days: u32, metrics: &[(&str, Value, Value, &str)]) -> Arc<Registry> {
    Arc::new(Registry::new(&declared(lookback_days, metrics)).unwrap())
}

fn declared(lookback_days: u32, metrics: &[(&str, Value, Value, &str)]) -> Declared {
    let metrics: BTreeMap<&str, Value> = metrics
        .iter()
        .map(|(name, source, kind, every)| {
            let metric = json!({ "version": 1, "question": "?", "source": source, "kind": kind, "every": every, "epsilon": 0.5 });
            (*name, metric)
        })
        .collect();
    let declared = json!({
        "lookback_days": lookback_days,
        "events": {
            "seen": { "properties": { "x": "number", "t": "text", "l": { "labels": ["p", "q"] }, "f": "flag" } },
            "unused": {},
        },
        "metrics": metrics,
    });
    serde_json::from_value(declared).unwrap()
}

fn count(window: &str) -> Value {
    json!({ "count": { "events": ["seen"], "window": window } })
}

fn number() -> Value {
    json!({ "number": { "low": 0, "high": 100 } })
}

fn counting(window: &str, every: &str) -> Arc<Registry> {
    Arc::new(Registry::new(&declared_counting(window, every)).unwrap())
}

fn declared_counting(window: &str, every: &str) -> Declared {
    declared(0, &[("count", count(window), number(), every)])
}

fn device(registry: &Arc<Registry>) -> Device {
    Device::new(Arc::clone(registry), &secret(), at(0))
}

const SEEN: Event<'_> = Event { name: "seen", properties: &[], at: None };

fn numbers(answers: &[Answered]) -> Vec<(u32, Option<f64>)> {
    let number = |given: &Given| match given {
        Given::Number(number) => *number,
        _ => panic!("not a number"),
    };
    answers.iter().map(|answered| (answered.epoch.0, number(&answered.given))).collect()
}

#[test]
fn a_session_goes_on_through_midnight_and_ends_after_the_gap() {
    let mut device = device(&counting("session", "session"));
    let mut answers = Vec::new();
    for minutes in [23 * 60 + 50, 24 * 60 + 15, 24 * 60 + 44] {
        answers.extend(device.track(&SEEN, at(minutes * MINUTE)));
    }
    assert!(answers.is_empty());
    assert!(device.advance(at(25 * HOUR + 13 * MINUTE)).is_empty());
    let ended = device.advance(at(25 * HOUR + 14 * MINUTE));
    assert_eq!(numbers(&ended), [(19_812, Some(3.0))]);
    assert_eq!(device.session(), 1);
    device.track(&SEEN, at(26 * HOUR));
    assert_eq!(device.session(), 2);
}

/// The night in which 02:00 becomes 03:00 in Berlin: the local day has 23 hours, and the session is one.
#[test]
fn daylight_saving_moves_the_day_but_no_session() {
    let mut device = device(&registry(
        0,
        &[("day", count("day"), number(), "day"), ("session", count("session"), number(), "session")],
    ));
    let local = |seconds: i64, offset_minutes| Moment { offset_minutes, ..at(seconds) };
    // 23:30 on Saturday, 01:50 on Sunday, 03:10 on Sunday, of which the last two are 20 minutes apart.
    device.track(&SEEN, local(22 * HOUR + 30 * MINUTE, 60));
    let mut answers = device.track(&SEEN, local(DAY + 50 * MINUTE, 60));
    answers.extend(device.track(&SEEN, local(DAY + 70 * MINUTE, 120)));
    assert_eq!(numbers(&answers), [(19_812, Some(1.0)), (19_812, Some(1.0))]);
    assert_eq!(device.session(), 2);
    // Midnight is at 22:00 UTC now.
    assert_eq!(numbers(&device.advance(local(2 * DAY - 2 * HOUR - 1, 120))), [(19_813, Some(2.0))]);
    assert_eq!(numbers(&device.advance(local(2 * DAY - 2 * HOUR, 120))), [(19_813, Some(2.0))]);
    // Flying west, the day stays.
    assert!(device.advance(local(2 * DAY - 2 * HOUR, -600)).is_empty());
}

#[test]
fn a_long_sleep_answers_the_open_epoch_and_the_last_thirty() {
    let mut device = device(&counting("day", "day"));
    device.track(&SEEN, at(HOUR));
    let answers = numbers(&device.advance(at(100 * DAY)));
    assert_eq!(answers.len(), 31);
    assert_eq!(
        (answers[0], answers[1], answers[30]),
        ((19_812, Some(1.0)), (19_882, Some(0.0)), (19_911, Some(0.0)))
    );
    assert_eq!(device.counters().epochs_skipped, 69);
}

#[test]
fn a_clock_that_was_wrong_does_not_freeze_the_device() {
    let mut device = device(&counting("day", "day"));
    device.track(&SEEN, at(HOUR));
    // An hour back, time stands still; years ahead and back again, it goes on from there.
    assert!(device.track(&SEEN, at(0)).is_empty());
    device.advance(at(5000 * DAY));
    assert!(device.advance(at(3 * DAY)).is_empty());
    assert_eq!(device.counters().clock_set_back, 1);
    device.track(&SEEN, at(3 * DAY + HOUR));
    assert_eq!(numbers(&device.advance(at(4 * DAY))), [(19_815, Some(1.0))]);
    for extreme in [i64::MIN, -1, i64::MAX] {
        device.track(&SEEN, Moment { at: Timestamp::from_millis(extreme), offset_minutes: i16::MAX });
        device.advance(Moment { at: Timestamp::from_seconds(extreme), offset_minutes: i16::MIN });
    }
}

#[test]
fn what_is_unknown_or_does_not_fit_is_counted_and_dropped() {
    let last = json!({ "last": { "events": ["seen"], "property": "l", "window": "day" } });
    let mut device = device(&registry(0, &[("last", last, json!("category"), "day")]));
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    let properties = [
        ("l", Property::Text("neither")),
        ("x", Property::Number(f64::NAN)),
        ("t", Property::Text(&long)),
        ("f", Property::Number(1.0)),
        ("nothing", Property::Flag(true)),
    ];
    let time = |seconds| Some(at(seconds).at);
    device.track(&Event { name: "seen", properties: &properties, at: time(2 * HOUR) }, at(HOUR));
    device.track(&Event { at: time(-DAY), ..SEEN }, at(HOUR));
    device.track(&Event { name: "unheard", ..SEEN }, at(HOUR));
    device.track(&Event { name: "unused", ..SEEN }, at(HOUR));
    let c = *device.counters();
    assert_eq!((c.unknown_events, c.unneeded_events, c.unknown_properties, c.unfit_properties), (1, 1, 1, 3));
    assert_eq!((c.other_labels, c.from_future, c.before_install), (1, 1, 1));
    // What says `other` itself did not become it.
    device.track(&Event { properties: &[("l", Property::Text("other"))], ..SEEN }, at(HOUR));
    assert_eq!(device.counters().other_labels, 1);
    let answers = device.advance(at(DAY));
    assert_eq!(answers[0].given, Given::Choice(2));
    let label = &device.registry().metric(&answers[0].metric).unwrap().labels()[2];
    assert_eq!(label, "other");
}

#[test]
fn each_of_many_properties_is_read() {
    let names: Vec<String> = (10..30).map(|number| format!("x{number}")).collect();
    let properties: BTreeMap<&str, &str> = names.iter().map(|name| (name.as_str(), "number")).collect();
    let metric = |name: &String| {
        let source = json!({ "last": { "events": ["seen"], "property": name, "window": "day" } });
        let metric = json!({ "version": 1, "question": "?", "source": source, "kind": number(), "every": "day", "epsilon": 0.5 });
        (name.clone(), metric)
    };
    let metrics: BTreeMap<String, Value> = names.iter().map(metric).collect();
    let declared = json!({ "events": { "seen": { "properties": properties } }, "metrics": metrics });
    let declared: Declared = serde_json::from_value(declared).unwrap();
    let mut device = device(&Arc::new(Registry::new(&declared).unwrap())).answering_everything();
    let given: Vec<_> =
        names.iter().zip(1..).map(|(name, x)| (name.as_str(), Property::Number(f64::from(x)))).collect();
    device.track(&Event { properties: &given, ..SEEN }, at(0));
    let answers = numbers(&device.advance(at(DAY)));
    assert_eq!(answers, (1..=20).map(|x| (19_812, Some(f64::from(x)))).collect::<Vec<_>>());
    assert_eq!(device.counters().unknown_properties, 0);
}

/// From an event before the install to one from the future, an hour after it: each is put at the nearest time that can be.
#[test]
fn impossible_times_are_clamped() {
    let matching = json!({ "events": ["seen"], "where": { "f": { "flag": true } } });
    let to = json!({ "events": ["seen"], "where": { "f": { "flag": false } } });
    let minutes = json!({ "minutes": { "from": matching, "to": to, "window": "day" } });
    let mut device = device(&registry(0, &[("minutes", minutes, number(), "day")]));
    let flag = |flag| [("f", Property::Flag(flag))];
    device.track(&Event { properties: &flag(true), at: Some(at(-DAY).at), ..SEEN }, at(0));
    device.track(&Event { properties: &flag(false), at: Some(at(9 * DAY).at), ..SEEN }, at(HOUR));
    assert_eq!((device.counters().before_install, device.counters().from_future), (1, 1));
    assert_eq!(numbers(&device.advance(at(DAY))), [(19_812, Some(60.0))]);
}

#[test]
fn an_expired_metric_is_no_longer_answered() {
    let mut declared = declared_counting("day", "day");
    declared.metrics.values_mut().for_each(|metric| metric.expires = Some("2024-04-01".parse().unwrap()));
    let mut device = device(&Arc::new(Registry::new(&declared).unwrap()));
    assert_eq!(numbers(&device.advance(at(9 * DAY))), [(19_812, Some(0.0)), (19_813, Some(0.0))]);
}

#[test]
fn arms_are_drawn_by_weight_and_do_not_change() {
    let mut declared = declared_counting("day", "day");
    let arms = json!({ "arms": { "a": 3, "b": 1 } });
    declared.experiments.insert("e".into(), serde_json::from_value(arms).unwrap());
    let registry = Arc::new(Registry::new(&declared).unwrap());
    let arm = |i: u16| {
        let mut bytes = [1; 32];
        bytes[..2].copy_from_slice(&i.to_be_bytes());
        let device = Device::new(Arc::clone(&registry), &DeviceSecret::from_bytes(bytes), at(0));
        String::from(device.arm("e").unwrap())
    };
    assert_eq!(arm(7), arm(7));
    // Five standard errors of 4000 draws with probability 3/4.
    let share = (0..4000).filter(|i| arm(*i) == "a").count() as f64 / 4000.0;
    assert!((share - 0.75).abs() < 5.0 * (0.75f64 * 0.25 / 4000.0).sqrt(), "{share}");
    assert!(device(&registry).arm("other").is_none());
}

/// One of five moves, drawn by 5000 devices: each has the share 1/5 within five standard errors.
#[test]
fn every_move_and_every_position_has_the_same_chance() {
    let events: BTreeMap<String, Value> = (0..6).map(|i| (format!("e{i}"), json!({}))).collect();
    let names: Vec<&String> = events.keys().collect();
    let metric = |source: Value| json!({ "version": 1, "question": "?", "every": "day", "epsilon": 1.0, "kind": "category", "source": source });
    let declared = json!({ "events": events, "metrics": {
        "move": metric(json!({ "move": { "events": names, "window": "day" } })),
        "step": metric(json!({ "step": { "events": names, "positions": 5, "window": "day" } })),
    } });
    let registry = Arc::new(Registry::new(&serde_json::from_value(declared).unwrap()).unwrap());
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for i in 0..5000u16 {
        let mut bytes = [2; 32];
        bytes[..2].copy_from_slice(&i.to_be_bytes());
        let mut device = Device::new(Arc::clone(&registry), &DeviceSecret::from_bytes(bytes), at(0));
        for name in ["e0", "e1", "e2", "e3", "e4"] {
            device.track(&Event { name, ..SEEN }, at(HOUR));
        }
        for answered in device.advance(at(DAY)) {
            let Given::Choice(choice) = answered.given else { panic!("not a choice") };
            *counts
                .entry(registry.metric(&answered.metric).unwrap().labels()[choice].clone())
                .or_default() += 1.0;
        }
    }
    let tolerance = 5.0 * (0.2f64 * 0.8 / 5000.0).sqrt();
    assert_eq!(counts.len(), 10, "{counts:?}");
    assert!(counts.values().all(|count| (count / 5000.0 - 0.2).abs() < tolerance), "{counts:?}");
}

#[test]
fn a_metric_added_later_asks_about_the_past() {
    let before = registry(7, &[("count", count("week"), number(), "week")]);
    let sum = json!({ "sum": { "events": ["seen"], "property": "x", "window": "week" } });
    let ever = json!({ "distinct_count": { "events": ["seen"], "property": "t", "window": "ever" } });
    let after = registry(
        7,
        &[
            ("count", count("week"), number(), "week"),
            ("sum", sum, number(), "week"),
            ("texts", ever, number(), "week"),
        ],
    );
    let mut device = device(&before);
    for (day, text) in [(0, "a"), (1, "b"), (2, "a"), (3, "c")] {
        let properties = [("x", Property::Number(2.0)), ("t", Property::Text(text))];
        device.track(&Event { properties: &properties, ..SEEN }, at(day * DAY + HOUR));
    }
    let mut device = Device::restore(after, &secret(), device.store()).unwrap();
    // The week began on the third day; "count" did not see its events twice.
    let answers = device.advance(at(9 * DAY));
    assert_eq!(numbers(&answers), [(19_814, Some(2.0)), (19_814, Some(4.0)), (19_814, Some(3.0))]);
    // What is older than seven days is gone.
    let sum = json!({ "sum": { "events": ["seen"], "property": "x", "window": "ever" } });
    let later = registry(7, &[("sum", sum, number(), "week")]);
    let mut device = Device::restore(later, &secret(), device.store()).unwrap();
    assert_eq!(numbers(&device.advance(at(16 * DAY))), [(19_821, Some(4.0))]);
}

#[test]
fn memory_is_bounded_and_overflow_is_told() {
    let text = json!({ "distinct_count": { "events": ["seen"], "property": "t", "window": "ever" } });
    let median = json!({ "median": { "events": ["seen"], "property": "x", "window": "ever" } });
    let reached =
        json!({ "reached": { "events": ["seen"], "times": 64, "within_days": 1, "window": "ever" } });
    let histogram = json!({ "histogram": { "edges": [1] } });
    let mut device = device(&registry(
        30,
        &[
            ("texts", text, number(), "week"),
            ("median", median, number(), "week"),
            ("reached", reached, histogram, "week"),
        ],
    ));
    for i in 0..20_000 {
        let text = i.to_string();
        let x = f64::from(i - 10_000) * 1.1f64.powi(i % 700);
        let properties = [("t", Property::Text(&text)), ("x", Property::Number(x))];
        device.track(&Event { properties: &properties, ..SEEN }, at(i64::from(i) * 40 * MINUTE));
    }
    let size = device.store().len();
    assert!(size < 65_536, "{size}");
    assert_eq!(device.overflowed(), 1);
    assert!(device.counters().kept_dropped > 0);
    let answers = device.advance(at(20_000 * 40 * MINUTE + 8 * DAY));
    let texts = answers.iter().find(|answered| answered.metric.as_str() == "texts").unwrap();
    assert_eq!(texts.given, Given::Number(Some(256.0)));
}

#[test]
fn reset_forgets_everything() {
    let registry = registry(7, &[("count", count("ever"), number(), "day")]);
    let mut device = device(&registry);
    device.track(&SEEN, at(HOUR));
    device.track(&Event { name: "unheard", ..SEEN }, at(HOUR));
    let fresh = DeviceSecret::from_bytes([6; 32]);
    device.reset(&fresh, at(DAY));
    assert_eq!(device.store(), Device::new(registry, &fresh, at(DAY)).store());
}

#[test]
fn damaged_short_and_newer_states_are_refused_and_handed_back() {
    let registry = registry(7, &[("count", count("ever"), number(), "day")]);
    let mut device = device(&registry);
    device.track(&Event { properties: &[("t", Property::Text("hidden"))], ..SEEN }, at(HOUR));
    let bytes = device.store();
    let restore = |bytes: &[u8]| Device::restore(Arc::clone(&registry), &secret(), bytes.to_vec()).map(drop);
    assert!(restore(&bytes).is_ok());
    for cut in 0..bytes.len() {
        let refused = restore(&bytes[..cut]).unwrap_err();
        assert_eq!(*refused.bytes, bytes[..cut]);
        assert!(matches!(refused.error, StateError::Corrupt | StateError::NotAState), "{cut}");
    }
    for place in 5..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        let refused = restore(&changed).unwrap_err();
        assert_eq!(refused.error, StateError::Corrupt, "{place}");
        assert!(!format!("{refused:?} {refused}").contains("hidden"));
    }
    let mut newer = bytes.clone();
    newer[4] = 3;
    assert_eq!(restore(&newer).unwrap_err().error, StateError::Newer { found: 3 });
}

/// A state as each format wrote it. They must open for ever.
#[test]
fn a_state_of_every_format_still_opens() {
    let registry = registry(
        7,
        &[
            ("count", count("ever"), number(), "day"),
            (
                "last",
                json!({ "last": { "events": ["seen"], "property": "l", "window": "week" } }),
                json!("category"),
                "week",
            ),
        ],
    );
    let mut device = device(&registry);
    let properties =
        [("l", Property::Text("q")), ("x", Property::Number(1.5)), ("t", Property::Text("text"))];
    device.track(&Event { properties: &properties, ..SEEN }, at(HOUR));
    device.track(&Event { name: "unheard", ..SEEN }, at(2 * HOUR));
    let hex: String = device.store().iter().map(|byte| format!("{byte:02x}")).collect();
    let fixtures = [include_str!("state_v1.hex"), include_str!("state_v2.hex")].map(str::trim);
    assert_eq!(hex, fixtures[1], "the bytes changed: that is a new format, and this one must still open");
    for fixture in fixtures {
        let byte = |i| u8::from_str_radix(&fixture[i..i + 2], 16).unwrap();
        let bytes = (0..fixture.len()).step_by(2).map(byte).collect();
        let mut opened = Device::restore(Arc::clone(&registry), &secret(), bytes).unwrap();
        let answers = opened.advance(at(DAY));
        assert_eq!(numbers(&answers), [(19_812, Some(1.0))]);
        assert_eq!(opened.counters().unknown_events, 1);
        // The event that was kept is there for a metric that is new.
        let sum = json!({ "sum": { "events": ["seen"], "property": "x", "window": "ever" } });
        let later = self::registry(7, &[("sum", sum, number(), "day")]);
        let mut later = Device::restore(later, &secret(), opened.store()).unwrap();
        assert_eq!(numbers(&later.advance(at(2 * DAY))), [(19_813, Some(1.5))]);
    }
}

/// Three metrics of which the caps allow one: each device answers its own, and stays with it when its state is stored and
/// when other metrics come due.
#[test]
fn a_device_answers_the_metrics_of_its_group_alone() {
    let once = json!({ "count": { "events": ["seen"], "window": { "days": 2 } } });
    let mut declared = declared(
        0,
        &[
            ("day", count("day"), number(), "day"),
            ("once", once, json!({ "at_least": 1 }), "once"),
            ("week", count("week"), number(), "week"),
        ],
    );
    (declared.privacy.weekly, declared.privacy.lifetime) = (1.0, 1.0);
    let registry = Arc::new(Registry::new(&declared).unwrap());
    assert_eq!(registry.rotation().groups().len(), 3);
    let answered = |device: Device, secret: &DeviceSecret| {
        let bytes = device.store();
        let everything = device.answering_everything().advance(at(8 * DAY)).len();
        let mut restored = Device::restore(Arc::clone(&registry), secret, bytes).unwrap();
        let answers = restored.advance(at(8 * DAY));
        // Those of other groups are done, too: a group that changes later brings no late answer.
        assert!(restored.answering_everything().advance(at(8 * DAY + HOUR)).is_empty());
        let names: std::collections::BTreeSet<String> =
            answers.iter().map(|answered| answered.metric.to_string()).collect();
        (everything, names)
    };
    let mut devices: BTreeMap<String, u32> = BTreeMap::new();
    for i in 0..60u8 {
        let secret = DeviceSecret::from_bytes([i; 32]);
        let mut device = Device::new(Arc::clone(&registry), &secret, at(0));
        device.track(&SEEN, at(HOUR));
        let (everything, names) = answered(device, &secret);
        // Eight days, one Monday and one answer given once.
        assert_eq!((everything, names.len()), (10, 1));
        let group: Vec<String> =
            registry.rotation().group_of(&secret).metrics().map(ToString::to_string).collect();
        assert_eq!(names.iter().cloned().collect::<Vec<_>>(), group);
        *devices.entry(group.concat()).or_default() += 1;
    }
    assert_eq!(devices.len(), 3, "{devices:?}");
}

#[test]
fn nothing_that_holds_an_answer_prints_it() {
    let mut device = device(&registry(
        0,
        &[(
            "last",
            json!({ "last": { "events": ["seen"], "property": "t", "window": "day" } }),
            json!("string"),
            "day",
        )],
    ));
    device.track(&Event { properties: &[("t", Property::Text("hidden"))], ..SEEN }, at(HOUR));
    let answers = device.advance(at(DAY));
    assert_eq!(answers[0].given, Given::Text("hidden".into()));
    let printed = format!("{answers:?} {:?}", answers[0].given);
    assert!(!printed.contains("hidden"), "{printed}");
}
