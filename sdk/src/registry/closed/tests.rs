//! Questions that look at each other: how often they may, and that no answer looks more often than was counted.

use std::format;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use super::{Closed, LOOK, MAX_STEPS, Read, Steps, Test};
use crate::DeviceSecret;
use crate::calendar::{Moment, Timestamp};
use crate::insight::{Device, Event, looked};
use crate::registry::{CatalogError, Declared, Faults, Place, Problem, Registry};

/// Each level is `in` where the one below is, which it looks at twice.
#[derive(Clone, Copy)]
enum Chain {
    /// In one condition.
    Pair,
    /// In two rules.
    Rules,
}

fn is(name: &str, label: &str) -> Value {
    json!({ "is": { "name": name, "labels": [label] } })
}

/// Segments `level_00`, which is `in` where something was seen, to the one before `levels`, and a metric over the last.
fn declared(chain: Chain, levels: usize) -> Value {
    let name = |level: usize| format!("level_{level:02}");
    let rule = |when| json!({ "when": when, "label": "in" });
    let mut segments = Map::new();
    for level in 0..levels {
        let rules = match (level.checked_sub(1).map(name), chain) {
            (None, _) => vec![rule(is("seen", "yes"))],
            (Some(below), Chain::Pair) => vec![rule(json!({ "all": [is(&below, "in"), is(&below, "in")] }))],
            (Some(below), Chain::Rules) => vec![rule(is(&below, "in")), rule(is(&below, "in"))],
        };
        segments.insert(name(level), json!({ "rules": { "rules": rules, "otherwise": "out" } }));
    }
    json!({
        "events": { "seen": {} },
        "dimensions": { "seen": { "source": { "any": { "events": ["seen"], "window": "ever" } }, "kind": "boolean" } },
        "segments": segments,
        "metrics": { "last": { "version": 1, "question": "?", "every": "week", "epsilon": 1.0,
            "source": { "named": name(levels - 1) }, "kind": "category" } },
    })
}

fn compiled(declared: Value) -> Result<Registry, Faults> {
    Registry::new(&serde_json::from_value::<Declared>(declared).unwrap())
}

fn with(mut declared: Value, field: &str, value: Value) -> Value {
    declared["metrics"]["last"][field] = value;
    declared
}

fn at(day: i64) -> Moment {
    Moment::utc(Timestamp::from_seconds(1_700_000_000 + day * 86_400))
}

fn device(registry: Registry) -> Device {
    Device::new(Arc::new(registry), &DeviceSecret::from_bytes([3; 32]), at(0)).answering_everything()
}

fn see(device: &mut Device) {
    device.track(&Event { name: "seen", properties: &[], at: None }, at(0));
}

/// A registry that no compiler made, as a client reads it.
fn served(registry: &Registry) -> Result<Registry, CatalogError> {
    Registry::from_catalog(&registry.catalog())
}

/// A question by its number of labels and how it is read.
fn question(labels: usize, read: Read) -> Closed {
    Closed::new((0..labels).map(|label| label.to_string()).collect(), read, Vec::new())
}

fn look_at(closed: usize, places: Vec<usize>) -> Test {
    Test::Is { closed, places }
}

/// By hand: the dimension takes 128, and the first level 64 + 64 + 128 + 1 = 257. Each further one takes twice the one below
/// and 64·4 + 2 in one condition, 64·3 + 2 in two rules: 515·2ⁿ − 258 and 451·2ⁿ − 194.
#[test]
fn a_chain_that_doubles_is_refused_where_it_goes_too_far() {
    for (chain, first, steps) in [(Chain::Pair, "level_07", 65_662), (Chain::Rules, "level_08", 115_262)] {
        let Faults(faults) = compiled(declared(chain, 60)).unwrap_err();
        assert_eq!(faults[0].place, Place::new(["segments", first]));
        assert_eq!(faults[0].problem, Problem::TooManySteps { steps });
        let said = faults[0].to_string();
        let steps = steps.to_string();
        assert!(
            ["segments.", first, &steps, "limit of 65536", "less often"]
                .iter()
                .all(|part| said.contains(part)),
            "{said}"
        );
        // What names it is not at fault for that.
        assert!(faults.iter().all(|fault| fault.place != Place::new(["segments", "level_09"])), "{faults:?}");
    }
}

#[test]
fn a_metric_that_puts_long_chains_together_is_refused() {
    let crossed = |chain, name: &str| with(declared(chain, 8), "source", json!({ "cross": [name, name] }));
    let Faults(faults) = compiled(crossed(Chain::Rules, "level_07")).unwrap_err();
    assert_eq!(faults[0].place, Place::new(["metrics", "last", "source", "cross"]));
    assert_eq!(faults[0].problem, Problem::TooManySteps { steps: 64 + 2 * 57_534 });
    // 65,468 by itself, and 64 + 64 + 32,702 + 1 for the condition.
    let pair = with(declared(Chain::Pair, 7), "source", json!({ "cross": ["level_06", "level_06"] }));
    assert!(compiled(pair.clone()).is_ok());
    let Faults(faults) = compiled(with(pair, "eligible", is("level_06", "in"))).unwrap_err();
    assert_eq!(faults[0].place, Place::new(["metrics", "last"]));
    assert_eq!(faults[0].problem, Problem::TooManySteps { steps: 98_299 });
}

/// Written out, the pairs would fill all memory.
#[test]
fn a_cross_of_long_lists_is_refused_before_it_is_written_out() {
    let labels: Vec<String> = (0..4000).map(|label| label.to_string()).collect();
    let mut long = with(declared(Chain::Pair, 1), "source", json!({ "cross": ["long", "long"] }));
    long["events"]["seen"] = json!({ "properties": { "l": { "labels": labels } } });
    long["dimensions"]["long"] = json!({ "source": { "last": { "events": ["seen"], "property": "l", "window": "ever" } }, "kind": "category" });
    let faults = compiled(long).unwrap_err().to_string();
    // With `other` and `none`.
    assert_eq!(
        faults,
        "metrics.last.source.cross: there are 16016004 labels, but there must be from 2 to 4096"
    );
}

/// 7·2ⁿ − 4 looks at questions and conditions where each level looks twice.
#[test]
fn the_longest_chain_that_is_taken_answers_right_in_the_looks_that_were_counted() {
    let registry = served(&compiled(declared(Chain::Pair, 7)).unwrap()).unwrap();
    let mut device = device(registry);
    assert_eq!(device.segment("level_06"), Some("out"));
    see(&mut device);
    looked::take();
    assert_eq!(device.segment("level_06"), Some("in"));
    assert_eq!(looked::take(), 444);
    let (_, closed) = device.registry().named.iter().find(|(name, _)| name == "level_06").unwrap();
    assert_eq!(device.registry().closed[*closed].steps, 32_702);
    // An epoch that ends reads it once, for the one metric, and a report that is previewed as often.
    device.peek();
    assert_eq!(looked::take(), 444);
    assert_eq!(device.advance(at(8)).len(), 1);
    assert_eq!(looked::take(), 444);
}

#[test]
fn a_catalog_of_endless_chains_is_refused() {
    let sound = compiled(declared(Chain::Pair, 1)).unwrap();
    let crossed = |below| Read::Cross(below, below);
    let ruled = |below| {
        let rule = |label| (look_at(below, vec![0]), label);
        Read::Rules { rules: vec![rule(0), rule(1)], otherwise: 0 }
    };
    let nested = |below| {
        let test = Test::Not(vec![Test::Any(vec![look_at(below, vec![0])]), look_at(below, vec![0])]);
        Read::Rules { rules: vec![(test, 0)], otherwise: 0 }
    };
    let once = |below| Read::Rules { rules: vec![(look_at(below, vec![]), 0)], otherwise: 0 };
    let chains: [(&dyn Fn(usize) -> Read, usize); 4] =
        [(&crossed, 60), (&ruled, 60), (&nested, 60), (&once, 100_000)];
    for (place, (read, levels)) in chains.into_iter().enumerate() {
        let chain = |levels| {
            let mut registry = sound.clone();
            for _ in 0..levels {
                registry.closed.push(question(2, read(registry.closed.len() - 1)));
            }
            served(&registry).map(drop)
        };
        assert_eq!(chain(3), Ok(()), "{place}");
        assert_eq!(chain(levels), Err(CatalogError::Corrupt), "{place}");
    }
    // What no question says may be said by a plan.
    let mut registry = sound;
    let tests = |count: usize| Some(Test::Any((0..count).map(|_| look_at(0, vec![])).collect()));
    for (count, expected) in [(339, Ok(())), (340, Err(CatalogError::Corrupt))] {
        // The segment takes 257, the condition 64, and each look at the dimension 64 + 128.
        registry.metrics[0].plan.as_mut().unwrap().eligible = tests(count);
        assert_eq!(257 + 64 + count * 192 <= MAX_STEPS, expected.is_ok());
        assert_eq!(served(&registry).map(drop), expected, "{count}");
    }
}

/// What lies deepest of all that is taken, in questions and in conditions, is read on the stack of a test.
#[test]
fn the_deepest_catalog_that_is_taken_is_read() {
    for nested in [0, 1, 100] {
        let mut registry = compiled(declared(Chain::Pair, 1)).unwrap();
        loop {
            let below = registry.closed.len() - 1;
            let test = (0..nested).fold(look_at(below, vec![0]), |test, _| Test::All(vec![test]));
            let mut level = question(2, Read::Rules { rules: vec![(test, 0)], otherwise: 1 });
            level.steps = Steps::new(registry.cells.len(), 0, &registry.closed).of(&level);
            if level.steps > MAX_STEPS {
                break;
            }
            registry.closed.push(level);
        }
        let levels = registry.closed.len();
        registry.named.push(("deepest".into(), levels - 1));
        let mut device = device(served(&registry).unwrap());
        looked::take();
        assert_eq!(device.segment("deepest"), Some("1"));
        see(&mut device);
        assert_eq!(device.segment("deepest"), Some("0"));
        let looks = looked::take() / 2;
        assert!(
            (MAX_STEPS * 9 / 10 / LOOK..=MAX_STEPS / LOOK).contains(&looks),
            "{looks} looks in {levels} levels"
        );
    }
}

#[test]
fn each_look_and_each_item_that_is_searched_is_counted() {
    let below = [question(2, Read::Flag(0)), question(2, Read::Flag(0))]
        .map(|closed| Closed { steps: 1000, ..closed });
    let steps = |labels, read| Steps::new(2, 1, &below).of(&question(labels, read));
    let rule = |test| Read::Rules { rules: vec![(test, 0)], otherwise: 0 };
    let nearest = |features: &[usize], centers: usize| Read::Nearest {
        features: features.iter().map(|cell| (*cell, (0.0, 1.0))).collect(),
        centers: vec![vec![0.0]; centers],
    };
    for (read, expected) in [
        (Read::Flag(1), 128),
        (Read::AtLeast { cell: 1, least: 1.0 }, 128),
        (Read::Place { cell: 1, none: 0 }, 128),
        (Read::Mapped { cell: 1, places: vec![0; 50], none: 0 }, 128),
        (Read::Texts { cell: 1, other: 0, none: 0 }, 128 + 7),
        (Read::Numbers { cell: 1, values: vec![0.0; 50], other: 0, none: 0 }, 128 + 50),
        (Read::Bins { cell: 1, edges: vec![0.0; 6], none: 0 }, 128),
        (Read::Retention { cell: 1, weeks: 3 }, 128),
        (nearest(&[0, 1, 1], 5), 64 + 3 * 64 + 15),
        (Read::Arm(0), 128),
        (Read::Cross(0, 1), 64 + 2000),
        (rule(look_at(1, vec![0; 9])), 64 + 64 + 1000 + 9),
        (rule(Test::AtLeast { cell: 1, least: 1.0 }), 64 + 128),
        (rule(Test::Installed { from: None, until: None }), 64 + 64),
        (rule(Test::Not(vec![Test::All(vec![]), Test::Any(vec![])])), 64 + 3 * 64),
    ] {
        assert_eq!(steps(7, read.clone()), expected, "{read:?}");
    }
    for nowhere in [
        Read::Flag(2),
        Read::Texts { cell: 2, other: 0, none: 0 },
        Read::Numbers { cell: 2, values: vec![0.0], other: 0, none: 0 },
        nearest(&[0, 2], 0),
        Read::Arm(1),
        Read::Cross(2, 0),
        Read::Cross(0, 2),
        rule(look_at(2, vec![])),
        rule(Test::Any(vec![Test::AtLeast { cell: 2, least: 1.0 }])),
    ] {
        assert_eq!(steps(7, nowhere.clone()), usize::MAX, "{nowhere:?}");
    }
}

fn random_test(coins: &mut chacha20::ChaCha8Rng, before: usize, depth: usize) -> Test {
    let kind = coins.random_range(0..if depth == 0 { 1 } else { 5 });
    if kind < 2 {
        let places = (0..coins.random_range(0..3)).map(|_| coins.random_range(0..3)).collect();
        return look_at(coins.random_range(0..before), places);
    }
    let within = (0..coins.random_range(0..4)).map(|_| random_test(coins, before, depth - 1)).collect();
    [Test::All, Test::Any, Test::Not][kind - 2](within)
}

/// Whether a condition holds where the questions have these answers, each of which is known.
fn holds(test: &Test, places: &[usize]) -> bool {
    match test {
        Test::All(tests) => !tests.iter().any(|test| !holds(test, places)),
        Test::Any(tests) => tests.iter().any(|test| holds(test, places)),
        Test::Not(tests) => !tests.iter().any(|test| holds(test, places)),
        Test::Is { closed, places: wanted } => wanted.contains(&places[*closed]),
        Test::AtLeast { .. } | Test::Installed { .. } => unreachable!("none is drawn"),
    }
}

/// Random questions over questions: what is taken is answered as by one who answers each question once, from the first to the last,
/// with no more looks than were counted; and what is refused has a question that takes too many.
#[test]
fn what_is_taken_is_answered_right_in_the_looks_that_were_counted() {
    let sound = compiled(declared(Chain::Pair, 1)).unwrap();
    let mut coins = chacha20::ChaCha8Rng::seed_from_u64(11);
    let (mut taken, mut refused, mut most) = (0, 0, 0);
    for _ in 0..1000 {
        let mut registry = sound.clone();
        let seen = coins.random_range(0..2);
        // The dimension says yes or no, the segment in or out.
        let mut places = vec![seen, 1 - seen];
        for own in registry.closed.len()..coins.random_range(3..90) {
            let labels = coins.random_range(1..5);
            let (read, place) = if coins.random_range(0..4) == 0 {
                let (a, b) = (coins.random_range(0..own), coins.random_range(0..own));
                (Read::Cross(a, b), places[a] * registry.closed[b].labels.len() + places[b])
            } else {
                let rules: Vec<(Test, usize)> = (0..coins.random_range(0..3))
                    .map(|_| (random_test(&mut coins, own, 3), coins.random_range(0..labels)))
                    .collect();
                let first = rules.iter().find(|(test, _)| holds(test, &places)).map(|(_, place)| *place);
                (Read::Rules { rules, otherwise: 0 }, first.unwrap_or(0))
            };
            places.push(place.min(labels - 1));
            registry.closed.push(question(labels, read));
            registry.named.push((format!("drawn {own}"), own));
        }
        let Ok(read) = served(&registry) else {
            refused += 1;
            let over = registry.closed.clone().iter().enumerate().any(|(own, closed)| {
                let steps = Steps::new(registry.cells.len(), 0, &registry.closed[..own]).of(closed);
                registry.closed[own].steps = steps;
                steps > MAX_STEPS
            });
            assert!(over, "{registry:?}");
            continue;
        };
        taken += 1;
        let mut device = device(read);
        if seen == 1 {
            see(&mut device);
        }
        for (own, place) in places.into_iter().enumerate().skip(2) {
            looked::take();
            let label = device.segment(&format!("drawn {own}")).unwrap();
            let (looks, closed) = (looked::take(), &device.registry().closed[own]);
            assert_eq!(label, closed.labels[place], "{closed:?}");
            assert!(looks * LOOK <= closed.steps, "{looks} looks: {closed:?}");
            most = most.max(looks);
        }
    }
    assert!(
        taken > 100 && refused > 100 && most > 100,
        "{taken} taken, {refused} refused, {most} looks at most"
    );
}
