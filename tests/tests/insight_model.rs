//! The state machine against a naive reference that keeps every event for ever and computes each answer from all of them.
//!
//! Random events, waits, changes of the local offset and clocks that are set back, with shrinking. Every reduction is asked over
//! every window. Random positions and moves, which the reference cannot know, must be some position and some move of the way.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use deniable::calendar::{Day, Moment, Timestamp};
use deniable::insight::{Device, Event, Property};
use deniable::registry::Registry;
use deniable::{DeviceSecret, MetricId};
use deniable_tests::answers::label;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

const DAY_MS: i64 = 86_400_000;
const GAP_MS: i64 = 30 * 60_000;
const LABELS: [&str; 3] = ["p", "q", "other"];
const MODEL: [(&str, &str, &str); 9] = [
    ("session", "session", "session"),
    ("day", "day", "day"),
    ("week", "week", "week"),
    ("month", "month", "month"),
    ("ever_day", "ever", "day"),
    ("ever_week", "ever", "week"),
    ("first_session", "first_session", "week"),
    ("first_days", "days", "once"),
    ("first_once", "first_session", "once"),
];
/// One registry of all would need more room than a device gives.
const PARTS: [&[(&str, &str, &str)]; 2] = [MODEL.split_at(5).0, MODEL.split_at(5).1];
/// The days of the window since the install.
const FIRST_DAYS: u32 = 3;

fn reductions(window: &Value) -> Vec<(&'static str, Value, Value)> {
    let number = json!({ "number": { "low": -1e9, "high": 1e9 } });
    let of = |property: Option<&str>| json!({ "events": ["a", "b"], "property": property, "window": window, "where": { "f": { "flag": true } } });
    let plain = || json!({ "events": ["a", "b"], "window": window });
    let matching = |name: &str| json!({ "events": [name] });
    vec![
        ("any", json!({ "any": of(None) }), json!("boolean")),
        ("count", json!({ "count": of(None) }), number.clone()),
        ("first", json!({ "first": of(Some("l")) }), json!("category")),
        ("last", json!({ "last": of(Some("t")) }), json!("string")),
        ("most", json!({ "most_common": of(Some("l")) }), json!("category")),
        ("sum", json!({ "sum": of(Some("x")) }), number.clone()),
        ("min", json!({ "min": of(Some("x")) }), number.clone()),
        ("max", json!({ "max": of(Some("x")) }), number.clone()),
        ("median", json!({ "median": of(Some("x")) }), number.clone()),
        ("distinct", json!({ "distinct": of(Some("l")) }), json!("set")),
        ("distinct_count", json!({ "distinct_count": of(Some("t")) }), number.clone()),
        (
            "minutes",
            json!({ "minutes": { "from": matching("a"), "to": matching("b"), "window": window } }),
            number.clone(),
        ),
        (
            "reached",
            json!({ "reached": { "events": ["a"], "times": 3, "within_days": 2, "window": window } }),
            number,
        ),
        (
            "step",
            json!({ "step": { "events": ["a", "b", "c"], "positions": 4, "window": window } }),
            json!("category"),
        ),
        ("move", json!({ "move": plain() }), json!("category")),
        ("in_order", json!({ "funnel": format!("in_order_{}", window_name(window)) }), json!("category")),
        ("any_order", json!({ "funnel": format!("any_order_{}", window_name(window)) }), json!("category")),
    ]
}

fn window_name(window: &Value) -> &str {
    window.as_str().unwrap_or("days")
}

fn registry(part: &[(&str, &str, &str)]) -> Arc<Registry> {
    let properties = json!({ "f": "flag", "x": "number", "l": { "labels": ["p", "q"] }, "t": "text" });
    let mut metrics = serde_json::Map::new();
    let mut funnels = serde_json::Map::new();
    let mut add = |name: String, source: Value, kind: Value, every: &str| {
        let metric = json!({
            "version": 1, "question": "?", "source": source, "kind": kind, "every": every, "epsilon": 0.5,
        });
        metrics.insert(name, metric);
    };
    for &(name, window, every) in part {
        let window = if window == "days" { json!({ "days": FIRST_DAYS }) } else { json!(window) };
        for (reduction, source, kind) in reductions(&window) {
            add(format!("{reduction}.{name}"), source, kind, every);
        }
        for order in ["sequence", "any"] {
            let funnel = json!({ "window": window, "order": order, "steps": [
                { "name": "one", "events": ["a"] }, { "name": "two", "events": ["b"], "optional": true },
                { "name": "three", "events": ["c"] }, { "name": "four", "events": ["a"] },
            ]});
            let prefix = if order == "any" { "any_order" } else { "in_order" };
            funnels.insert(format!("{prefix}_{}", window_name(&window)), funnel);
        }
    }
    add(
        "presence.day".into(),
        json!({ "presence": { "events": ["a", "b", "c"] } }),
        json!("category"),
        "day",
    );
    let active = json!({ "any": { "events": ["a", "b", "c"], "window": "week" } });
    add("retention.week".into(), active, json!({ "retention": { "weeks": 2 } }), "week");
    let declared = json!({
        "events": { "a": { "properties": properties }, "b": { "properties": properties }, "c": {} },
        "funnels": funnels, "metrics": metrics,
    });
    let compiled = Registry::new(&serde_json::from_value(declared).unwrap()).unwrap();
    // As devices receive it.
    Arc::new(Registry::from_catalog(&compiled.catalog()).unwrap())
}

#[derive(Clone, Debug)]
struct Seen {
    name: &'static str,
    flag: bool,
    x: Option<f64>,
    label: usize,
    text: &'static str,
}

#[derive(Clone, Debug)]
enum Op {
    Track(Seen),
    Wait(i64),
    Back(i64),
    Offset(i16),
    Restore,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c")];
    let x = prop::option::of((-40i32..40).prop_map(|x| f64::from(x) / 3.0));
    let text = prop_oneof![Just("u"), Just("v"), Just("w")];
    let seen = (name, prop::bool::weighted(0.8), x, 0usize..3, text)
        .prop_map(|(name, flag, x, label, text)| Op::Track(Seen { name, flag, x, label, text }));
    let minutes = |range: std::ops::Range<i64>| range.prop_map(|minutes| Op::Wait(minutes * 60_000));
    let wait = prop_oneof![
        6 => minutes(0..29),
        2 => prop_oneof![Just(Op::Wait(GAP_MS - 1)), Just(Op::Wait(GAP_MS)), Just(Op::Wait(GAP_MS + 1))],
        4 => minutes(31..1500),
        2 => minutes(1440..30_000),
        1 => minutes(30_000..90_000),
    ];
    let back = prop_oneof![(0..DAY_MS).prop_map(Op::Back), (DAY_MS..50 * DAY_MS).prop_map(Op::Back)];
    let offset = (-14i16..15).prop_map(|hours| Op::Offset(hours * 60));
    prop::collection::vec(
        prop_oneof![12 => seen, 8 => wait, 1 => back, 1 => offset, 1 => Just(Op::Restore)],
        0..60,
    )
}

/// All that ever happened, in order.
#[derive(Clone)]
enum Entry {
    Event { seen: Seen, at: i64, day: Day, session: u32, windows: [u32; 3] },
    SetBack { now: i64, today: Day },
}

struct Reference {
    registry: Arc<Registry>,
    install: Moment,
    latest: Moment,
    today: Day,
    session: u32,
    open: bool,
    session_day: Day,
    last: i64,
    /// How many days, weeks and months were begun.
    begun: [u32; 3],
    log: Vec<Entry>,
    once: Vec<String>,
}

type Answers = Vec<(String, u32, String)>;

impl Reference {
    fn new(registry: Arc<Registry>, install: Moment) -> Self {
        let today = day(install);
        let last = install.at.as_millis();
        let (log, once) = (Vec::new(), Vec::new());
        Self {
            registry,
            install,
            latest: install,
            today,
            session: 0,
            open: false,
            session_day: today,
            last,
            begun: [0; 3],
            log,
            once,
        }
    }

    fn advance(&mut self, now: Moment) -> Answers {
        let mut answers = Vec::new();
        let (before, after) = (self.latest.at.as_millis(), now.at.as_millis());
        if before - after >= DAY_MS {
            if self.open {
                self.close_session(&mut answers);
            }
            (self.latest, self.last) = (now, self.last.min(after));
            let (was, is) = (std::mem::replace(&mut self.today, day(now)), day(now));
            self.begun[0] += u32::from(was != is);
            self.begun[1] += u32::from(was.week() != is.week());
            self.begun[2] += u32::from(was.month() != is.month());
            self.log.push(Entry::SetBack { now: after, today: is });
        } else {
            self.latest = Moment { at: Timestamp::from_millis(before.max(after)), ..now };
            if self.open && self.latest.at.as_millis() - self.last >= GAP_MS {
                self.close_session(&mut answers);
            }
            let to = day(self.latest);
            if to > self.today {
                let from = self.today;
                let days: Vec<Day> = (from.0..to.0).map(Day).collect();
                let starts = |start: fn(Day) -> Day| {
                    let mut starts: Vec<Day> =
                        days.iter().map(|day| start(*day)).filter(|s| *s < start(to)).collect();
                    starts.dedup();
                    starts
                };
                self.end("day", 0, &days, &mut answers);
                self.end("week", 1, &starts(Day::week), &mut answers);
                self.end("month", 2, &starts(Day::month), &mut answers);
                self.today = to;
            }
        }
        self.answer_once(&mut answers);
        answers.sort();
        answers
    }

    fn end(&mut self, every: &str, kind: usize, starts: &[Day], answers: &mut Answers) {
        for (i, start) in starts.iter().enumerate() {
            if i == 0 || starts.len() - i <= 30 {
                self.answer(every, *start, answers);
            }
            if i == 0 {
                self.begun[kind] += 1;
            }
        }
    }

    fn close_session(&mut self, answers: &mut Answers) {
        self.answer("session", self.session_day, answers);
        self.open = false;
    }

    fn answer_once(&mut self, answers: &mut Answers) {
        let install = day(self.install);
        let days_over = self.today.0 >= install.0 + FIRST_DAYS;
        let first_over = self.session > 1 || (self.session == 1 && !self.open);
        for (name, over, epoch) in [
            ("first_days", days_over, Day(install.0 + FIRST_DAYS).week()),
            ("first_once", first_over, self.today.week()),
        ] {
            if over && !self.once.iter().any(|known| known == name) {
                self.once.push(name.to_owned());
                self.answer_named(name, epoch, answers);
            }
        }
    }

    fn answer(&self, every: &str, period: Day, answers: &mut Answers) {
        for (name, _, _) in MODEL.iter().filter(|(_, _, asked)| *asked == every) {
            self.answer_named(name, period, answers);
        }
        if every == "day" {
            answers.push(("presence.day".into(), period.0, self.presence(period)));
        }
        if every == "week" {
            let active = self.events("week", period).next().is_some();
            let age = (period.week().0 - day(self.install).week().0.min(period.week().0)) / 7;
            let label = match (active, age) {
                (false, _) => "inactive".to_owned(),
                (true, 0..=2) => age.to_string(),
                _ => "older".to_owned(),
            };
            answers.push(("retention.week".into(), period.0, label));
        }
    }

    fn answer_named(&self, name: &str, period: Day, answers: &mut Answers) {
        let window = MODEL.iter().find(|(known, _, _)| *known == name).unwrap().1;
        for (reduction, _, _) in reductions(&json!("ever")) {
            answers.push((format!("{reduction}.{name}"), period.0, self.reduce(reduction, window, period)));
        }
    }

    /// The events of the window that is open, in order; those of one that ended long ago are none.
    fn events<'a>(&'a self, window: &'a str, period: Day) -> impl Iterator<Item = &'a Entry> {
        let current = [self.today, self.today.week(), self.today.month()];
        self.log.iter().filter(move |entry| {
            let Entry::Event { day: on, session, windows, .. } = entry else { return false };
            match window {
                "session" => *session == self.session,
                "day" => windows[0] == self.begun[0] && period == current[0],
                "week" => windows[1] == self.begun[1] && period == current[1],
                "month" => windows[2] == self.begun[2] && period == current[2],
                "ever" => true,
                "first_session" => *session == 1,
                "days" => on.0.saturating_sub(day(self.install).0) < FIRST_DAYS,
                _ => unreachable!(),
            }
        })
    }

    fn reduce(&self, reduction: &str, window: &str, period: Day) -> String {
        let all: Vec<&Entry> = self.events(window, period).collect();
        let seen = |entry: &&Entry| match entry {
            Entry::Event { seen, .. } => seen.clone(),
            Entry::SetBack { .. } => unreachable!(),
        };
        let way: Vec<Seen> = all.iter().map(seen).collect();
        let matched: Vec<&Seen> = way.iter().filter(|seen| seen.name != "c" && seen.flag).collect();
        let mut xs: Vec<f64> = matched.iter().filter_map(|seen| seen.x).collect();
        let number = |number: Option<f64>| format!("{number:?}");
        match reduction {
            "any" => if matched.is_empty() { "no" } else { "yes" }.into(),
            "count" => number(Some(matched.len() as f64)),
            "first" => matched.first().map_or("none", |seen| LABELS[seen.label]).into(),
            "last" => matched.last().map_or("(none)", |seen| seen.text).into(),
            "most" => {
                let count = |label| matched.iter().filter(|seen| seen.label == label).count();
                let most = (0..3).rev().max_by_key(|label| count(*label)).filter(|label| count(*label) > 0);
                most.map_or("none", |label| LABELS[label]).into()
            }
            "sum" => number(xs.iter().copied().reduce(|a, b| a + b)),
            "min" => number(xs.iter().copied().reduce(f64::min)),
            "max" => number(xs.iter().copied().reduce(f64::max)),
            "median" => {
                xs.sort_by(f64::total_cmp);
                let middle = xs.get(xs.len().saturating_sub(1) / 2);
                number(middle.map(|x| f64::from_bits(x.to_bits() >> 47 << 47)))
            }
            "distinct" => {
                let names = (0..2).filter(|label| matched.iter().any(|seen| seen.label == *label));
                names.map(|label| LABELS[label]).collect::<Vec<_>>().join("+")
            }
            "distinct_count" => {
                let texts: std::collections::BTreeSet<_> = matched.iter().map(|seen| seen.text).collect();
                number(Some(texts.len() as f64))
            }
            "minutes" => number(self.minutes(&all)),
            "reached" => number(self.reached(window, period)),
            "in_order" => in_order(&way),
            "any_order" => any_order(&way),
            "step" => {
                let end = |p: usize| format!("{p}:end");
                let steps =
                    (1..=4).map(|p| way.get(p - 1).map_or(end(p), |seen| format!("{p}:{}", seen.name)));
                steps.collect::<Vec<_>>().join(" ")
            }
            "move" => {
                let names: Vec<&str> = way.iter().map(|seen| seen.name).filter(|name| *name != "c").collect();
                let starts = ["start"].into_iter().chain(names.iter().copied());
                let moves: Vec<String> = starts.zip(&names).map(|(a, b)| format!("{a}>{b}")).collect();
                if moves.is_empty() { "none".into() } else { moves.join(" ") }
            }
            _ => unreachable!(),
        }
    }

    /// From the first `a` to the first `b` after it. A clock that went back before an open start forgets it.
    fn minutes(&self, events: &[&Entry]) -> Option<f64> {
        let mut from: Option<i64> = None;
        for entry in &self.log {
            match entry {
                Entry::SetBack { now, .. } => from = from.filter(|from| from <= now),
                event @ Entry::Event { seen, at, .. }
                    if events.iter().any(|known| std::ptr::eq(*known, event)) =>
                {
                    match (seen.name, from) {
                        ("b", Some(from)) => return Some((at - from) as f64 / 60_000.0),
                        ("a", None) => from = Some(*at),
                        _ => {}
                    }
                }
                Entry::Event { .. } => {}
            }
        }
        None
    }

    fn reached(&self, window: &str, period: Day) -> Option<f64> {
        let inside: Vec<&Entry> = self.events(window, period).collect();
        let mut times = Vec::new();
        for entry in &self.log {
            match entry {
                Entry::SetBack { .. } => times.clear(),
                event @ Entry::Event { seen, at, session, .. } => {
                    if seen.name == "a" && inside.iter().any(|known| std::ptr::eq(*known, event)) {
                        times.push(*at);
                        if times.len() >= 3 && at - times[times.len() - 3] <= 2 * DAY_MS {
                            return Some(f64::from(*session));
                        }
                    }
                }
            }
        }
        None
    }

    fn presence(&self, period: Day) -> String {
        let active = period == self.today && self.events("day", period).next().is_some();
        if !active {
            return "absent".into();
        }
        // The last active day before this one; days that a clock was set back from count as the day it was set back to.
        let mut before: Option<Day> = None;
        for entry in &self.log {
            match entry {
                Entry::SetBack { today, .. } => before = before.map(|day| day.min(*today)),
                Entry::Event { windows, day, .. } if windows[0] != self.begun[0] => {
                    before = before.max(Some(*day));
                }
                Entry::Event { .. } => {}
            }
        }
        match before {
            None => "ever",
            Some(b) => match (b.week() < period.week(), b.month() < period.month()) {
                (false, false) => "day",
                (true, false) => "week",
                (false, true) => "month",
                (true, true) => "week_and_month",
            },
        }
        .into()
    }

    fn track(&mut self, seen: &Seen, now: Moment) -> Answers {
        let answers = self.advance(now);
        let at = self.latest.at.as_millis();
        if !self.open {
            (self.open, self.session, self.session_day) = (true, self.session + 1, self.today);
        }
        self.last = at;
        let (day, session, windows) = (self.today, self.session, self.begun);
        self.log.push(Entry::Event { seen: seen.clone(), at, day, session, windows });
        answers
    }
}

fn in_order(way: &[Seen]) -> String {
    let steps = ["a", "b", "c", "a"];
    let mut deepest = 0;
    for seen in way {
        let optional = |step: usize| step == 1;
        let next =
            (deepest..4).rev().find(|step| steps[*step] == seen.name && (deepest..*step).all(optional));
        deepest = next.map_or(deepest, |step| step + 1);
    }
    ["none", "one", "two", "three", "four"][deepest].into()
}

fn any_order(way: &[Seen]) -> String {
    let has = |name: &str| way.iter().any(|seen| seen.name == name);
    match (has("a"), has("b"), has("c")) {
        (false, ..) => "none",
        (true, _, true) => "four",
        (true, true, false) => "two",
        (true, false, false) => "one",
    }
    .into()
}

fn day(moment: Moment) -> Day {
    let local = moment.at.as_millis() + i64::from(moment.offset_minutes) * 60_000;
    Day(u32::try_from(local.div_euclid(DAY_MS)).unwrap())
}

/// Runs both, and says where they differ.
fn compare(
    registry: &Arc<Registry>,
    ops: &[Op],
    change: impl Fn(&Seen) -> Seen,
) -> Result<(), TestCaseError> {
    // A Thursday evening, so that days, weeks and months are near their ends.
    let mut now = Moment { at: Timestamp::from_seconds(1_706_810_000), offset_minutes: 60 };
    let secret = DeviceSecret::from_bytes([9; 32]);
    let mut device = Device::new(Arc::clone(registry), &secret, now).answering_everything();
    let mut reference = Reference::new(Arc::clone(registry), now);
    for op in ops.iter().chain(&[Op::Wait(40 * DAY_MS)]) {
        let shift = |ms: i64| Timestamp::from_millis(now.at.as_millis() + ms);
        let (found, expected) = match op {
            Op::Wait(ms) => {
                now.at = shift(*ms);
                (device.advance(now), reference.advance(now))
            }
            Op::Back(ms) => {
                now.at = shift(-ms);
                (device.advance(now), reference.advance(now))
            }
            Op::Offset(offset) => {
                now.offset_minutes = *offset;
                (device.advance(now), reference.advance(now))
            }
            Op::Restore => {
                device = Device::restore(Arc::clone(registry), &secret, device.store()).unwrap();
                device = device.answering_everything();
                continue;
            }
            Op::Track(seen) => {
                let other = change(seen);
                let mut properties = vec![
                    ("f", Property::Flag(other.flag)),
                    ("l", Property::Text(["p", "q", "unlisted"][other.label])),
                    ("t", Property::Text(other.text)),
                ];
                properties.extend(other.x.map(|x| ("x", Property::Number(x))));
                let event = Event { name: other.name, properties: &properties, at: None };
                (device.track(&event, now), reference.track(seen, now))
            }
        };
        // The reference answers all of the model.
        let asked = |name: &str| registry.metric(&MetricId::new(name).unwrap()).is_some();
        let expected: Answers = expected.into_iter().filter(|(name, _, _)| asked(name)).collect();
        let mut found: Answers = found
            .iter()
            .map(|answered| {
                let metric = reference.registry.metric(&answered.metric).unwrap();
                (answered.metric.to_string(), answered.epoch.0, label(metric, &answered.given))
            })
            .collect();
        found.sort();
        prop_assert_eq!(found.len(), expected.len(), "{:?}: {:?} against {:?}", op, found, expected);
        for (found, expected) in found.iter().zip(&expected) {
            let one_of = expected.0.starts_with("step.") || expected.0.starts_with("move.");
            let agrees = if one_of {
                expected.2.split(' ').any(|possible| possible == found.2)
            } else {
                found.2 == expected.2
            };
            prop_assert!(
                found.0 == expected.0 && found.1 == expected.1 && agrees,
                "{:?}: {:?} is not {:?}",
                op,
                found,
                expected
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_device_answers_like_one_that_keeps_everything(ops in ops()) {
        for part in PARTS {
            compare(&registry(part), &ops, Seen::clone)?;
        }
    }
}

/// The comparison sees a device that mistakes one property of one event.
#[test]
fn a_device_that_mistakes_an_event_is_noticed() {
    let seen = Seen { name: "a", flag: true, x: Some(1.0), label: 0, text: "u" };
    let ops = [Op::Track(seen.clone()), Op::Wait(60_000), Op::Track(Seen { name: "b", ..seen.clone() })];
    let registries = PARTS.map(registry);
    assert!(registries.iter().all(|registry| compare(registry, &ops, Seen::clone).is_ok()));
    let faults: BTreeMap<&str, fn(&Seen) -> Seen> = BTreeMap::from([
        ("flag", (|seen: &Seen| Seen { flag: false, ..seen.clone() }) as fn(&Seen) -> Seen),
        ("number", |seen| Seen { x: Some(2.0), ..seen.clone() }),
        ("label", |seen| Seen { label: 1, ..seen.clone() }),
        ("text", |seen| Seen { text: "v", ..seen.clone() }),
        ("name", |seen| Seen { name: "c", ..seen.clone() }),
    ]);
    for (fault, change) in faults {
        assert!(registries.iter().all(|registry| compare(registry, &ops, change).is_err()), "{fault}");
    }
}
