//! What a registry refuses, and what it makes of what it takes.

use std::string::{String, ToString};

use std::vec::Vec;

use serde_json::{Value, json};

use super::{CatalogError, Declared, Every, Registry};
use crate::MetricId;
use crate::choose::Answers;

/// A registry in which everything that can be declared is declared once.
fn sound() -> Value {
    let week = |source: Value, kind: Value| json!({ "version": 1, "question": "?", "source": source, "kind": kind, "every": "week", "epsilon": 1.0 });
    json!({
        "privacy": { "weekly": 4.0, "lifetime": 8.0, "public_bits": 2.0 },
        "tags": ["dialog"],
        "events": {
            "opened": { "properties": { "screen": { "labels": ["home", "search"] }, "seconds": "number", "text": "text", "first": "flag" } },
            "bought": { "properties": { "usd": "number" } },
        },
        "dimensions": {
            "screen": { "source": { "last": { "events": ["opened"], "property": "screen", "window": "week" } }, "kind": "category" },
            "buyer": { "source": { "any": { "events": ["bought"], "window": "ever" } }, "kind": "boolean" },
            "belief": { "source": { "last": { "events": ["opened"], "property": "screen", "window": "ever" } }, "kind": "category", "sensitive": true },
        },
        "segments": {
            "visitor": { "rules": { "otherwise": "guest", "rules": [
                { "label": "buyer", "when": { "all": [{ "is": { "name": "buyer", "labels": ["yes"] } }] } } ] } },
            "model": { "centroids": {
                "features": [{ "source": { "count": { "events": ["opened"], "window": "week" } }, "scale": 2.0 }],
                "centers": [{ "label": "rare", "at": [0.0] }, { "label": "often", "at": [3.0] }] } },
        },
        "funnels": { "buying": { "window": "week", "steps": [
            { "name": "open", "events": ["opened"] }, { "name": "buy", "events": ["bought"] }] } },
        "experiments": { "dialog": { "arms": { "a": 1, "b": 1 },
            "eligible": { "happened": { "events": ["bought"], "window": "ever" } } } },
        "metrics": {
            "screen": week(json!({ "named": "screen" }), json!("category")),
            "crossed": week(json!({ "cross": ["screen", "buyer"] }), json!("category")),
            "path": week(json!({ "funnel": "buying" }), json!("category")),
            "trial": { "version": 1, "question": "?", "source": { "named": "buyer" }, "kind": "category",
                "every": "week", "epsilon": 1.0, "experiment": "dialog" },
            "model": week(json!({ "named": "model" }), json!("category")),
            "visitor": week(json!({ "named": "visitor" }), json!("category")),
            "first": { "version": 1, "question": "?", "every": "once", "epsilon": 1.0,
                "source": { "count": { "events": ["opened"], "window": { "days": 7 } } }, "kind": { "at_least": 3 } },
        },
    })
}

fn registry(value: Value) -> Result<Registry, super::Faults> {
    Registry::new(&serde_json::from_value::<Declared>(value).unwrap())
}

/// The sound registry with one value put in the place of another.
fn with(pointer: &str, value: Value) -> Value {
    let mut declared = sound();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match declared.pointer_mut(parent).unwrap() {
        Value::Object(table) => {
            table.insert(key.into(), value);
        }
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        _ => panic!("{parent} has no places"),
    }
    declared
}

#[test]
fn each_fault_is_told_where_it_is_with_what_was_found_and_what_is_allowed() {
    let of = |window: &str| json!({ "events": ["opened"], "property": "screen", "window": window });
    for (pointer, value, said) in [
        ("/format", json!(2), &["format", "2", "1"][..]),
        ("/session_gap_minutes", json!(0), &["session_gap_minutes", "0", "1440"]),
        ("/lookback_days", json!(400), &["lookback_days", "400", "366"]),
        ("/privacy/weekly", json!(0.0), &["privacy.weekly", "64"]),
        ("/metrics", json!({}), &["metrics", "[metrics.NAME]"]),
        // Names.
        (
            "/metrics/screen/source",
            json!({ "named": "nobody" }),
            &["metrics.screen.source.named", "nobody", "screen"],
        ),
        (
            "/metrics/path/source",
            json!({ "funnel": "nothing" }),
            &["metrics.path.source.funnel", "nothing", "buying"],
        ),
        (
            "/funnels/buying/steps/0/events/0",
            json!("closed"),
            &["funnels.buying.steps[0].events[0]", "closed", "opened"],
        ),
        ("/funnels/buying/steps/1/name", json!("open"), &["funnels.buying.steps[1].name", "step before it"]),
        (
            "/segments/screen",
            sound()["segments"]["visitor"].clone(),
            &["segments.screen", "also the name of a dimension"],
        ),
        ("/metrics/trial/experiment", json!("nothing"), &["metrics.trial.experiment", "nothing", "dialog"]),
        (
            "/segments/visitor/rules/rules/0/when/all/0/is/labels/0",
            json!("maybe"),
            &["when.all[0].is.labels[0]", "maybe", "yes"],
        ),
        (
            "/events/opened/properties/screen",
            json!({ "labels": ["home", "home"] }),
            &["events.opened.properties.screen", "home", "twice"],
        ),
        // Types.
        (
            "/dimensions/screen/source",
            json!({ "sum": of("week") }),
            &["dimensions.screen.source.sum.property", "number is wanted"],
        ),
        (
            "/dimensions/screen/source",
            json!({ "first": { "events": ["opened", "bought"], "property": "screen", "window": "week" } }),
            &["source.first.property", "bought.screen", "usd"],
        ),
        ("/dimensions/buyer/kind", json!("set"), &["dimensions.buyer.kind", "a flag", "a set"]),
        (
            "/dimensions/screen/source/last/where",
            json!({ "seconds": { "is": ["1"] } }),
            &["where.seconds", "at_least"],
        ),
        ("/segments/model/centroids/centers/0/at", json!([1.0, 2.0]), &["centers[0].at", "2", "1"]),
        ("/segments/model/centroids/features/0/scale", json!(0.0), &["features[0].scale", "0"]),
        // Lists without end.
        ("/dimensions/screen/source/last/property", json!("text"), &["dimensions.screen.kind", "no end"]),
        // Presence that tells.
        ("/metrics/screen/every", json!({ "event": "bought" }), &["metrics.screen.every", "reveal", "once"]),
        (
            "/experiments/dialog/drawn_by",
            json!("eligible"),
            &["experiments.dialog.drawn_by", "reveal", "ineligible"],
        ),
        // Sensitive.
        (
            "/metrics/crossed/source",
            json!({ "cross": ["belief", "buyer"] }),
            &["metrics.crossed.source.cross", "belief", "sensitive"],
        ),
        ("/metrics/trial/sensitive", json!(true), &["metrics.trial.experiment", "sensitive"]),
        ("/metrics/trial/source", json!({ "named": "belief" }), &["metrics.trial.experiment", "sensitive"]),
        (
            "/segments/visitor/rules/rules/0/when/all/0/is",
            json!({ "name": "belief", "labels": ["home"] }),
            &["is.name", "belief", "condition"],
        ),
        ("/tags", json!(["belief"]), &["tags[0]", "belief", "sensitive"]),
        ("/tags", json!(["dialog", "visitor", "buyer"]), &["tags", "3.00 bits", "cap of 2"]),
        ("/tags", json!(["screen"]), &["tags[0]", "must not change"]),
        ("/tags", Value::from(["dialog"; 17]), &["tags", "17", "from 0 to 16"]),
        // Costs.
        ("/metrics/screen/epsilon", json!(5.0), &["metrics.screen.epsilon", "a week", "4", "privacy.weekly"]),
        (
            "/metrics/screen/epsilon_infinity",
            json!(9.0),
            &["metrics.screen.epsilon", "for ever", "8", "privacy.lifetime"],
        ),
        ("/metrics/screen/every", json!("day"), &["metrics.screen.source", "\"week\"", "\"day\""]),
        ("/metrics/first/source/count/window", json!("ever"), &["metrics.first.every", "never be due"]),
        (
            "/metrics/screen/report",
            json!({ "encoding": "direct", "bits": 9, "instantaneous": { "zero": 0.0625, "one": 0.5 } }),
            &["metrics.screen.epsilon", "one of `report`, `epsilon` and `precision`"],
        ),
        ("/metrics/screen/epsilon", Value::Null, &["metrics.screen.epsilon", "missing", "precision"]),
        ("/metrics/screen/kind", Value::Null, &["metrics.screen.kind", "missing"]),
        ("/metrics/screen/question", json!(" "), &["metrics.screen.question", "in words"]),
        ("/metrics/screen/source", Value::Null, &["metrics.screen.every", "needs a source"]),
        (
            "/metrics/screen/older",
            json!([{ "version": 1, "report": { "encoding": "unary", "bits": 2, "instantaneous": { "zero": 0.25, "one": 0.5 } } }]),
            &["metrics.screen.older[0].version", "current version 1"],
        ),
    ] {
        let faults = registry(with(pointer, value)).map(drop).expect_err(pointer).to_string();
        assert!(said.iter().all(|part| faults.contains(part)), "{pointer}: {faults} lacks one of {said:?}");
    }
}

#[test]
fn what_is_not_known_at_all_is_refused_by_its_name() {
    for (pointer, value) in [
        ("/metrics/screen/windw", json!("week")),
        ("/metrics/screen/kind", json!("guess")),
        ("/metrics/screen/source", json!({ "mean": {} })),
        ("/metrics/screen/version", json!(0)),
    ] {
        let error = serde_json::from_value::<Declared>(with(pointer, value)).map(drop).expect_err(pointer);
        assert!(error.to_string().contains("expected") || error.to_string().contains("unknown"), "{error}");
    }
}

#[test]
fn all_faults_come_at_once() {
    let mut declared = with("/metrics/screen/epsilon", json!(5.0));
    declared["format"] = json!(3);
    declared["experiments"]["dialog"]["drawn_by"] = json!("eligible");
    let faults = registry(declared).unwrap_err();
    assert_eq!(faults.0.len(), 4, "{faults}");
}

#[test]
fn a_sound_registry_knows_its_answers_and_costs() {
    let registry = registry(sound()).unwrap_or_else(|faults| panic!("{faults}"));
    let metric = |name| registry.metric(&MetricId::new(name).unwrap()).unwrap();
    assert_eq!(metric("screen").labels(), ["home", "search", "other", "none"]);
    assert_eq!(metric("crossed").labels().len(), 8);
    assert_eq!(metric("path").labels(), ["none", "open", "buy"]);
    // The arm is a public tag; who is not eligible says so.
    assert_eq!(metric("trial").labels(), ["no", "yes", "ineligible"]);
    assert_eq!(metric("first").every(), Some(&Every::Once));
    assert_eq!(metric("screen").domain().unwrap().answers(), Answers::Closed(4));
    let cost = |name| (metric(name).weekly_epsilon(), metric(name).lifetime_epsilon());
    let near = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() < 1e-3 && (b - d).abs() < 1e-3;
    assert!(near(cost("screen"), (1.0, 2.0)), "{:?}", cost("screen"));
    assert!(near(cost("first"), (1.0, 1.0)), "{:?}", cost("first"));
    let private = with("/tags", json!([]));
    let private = self::registry(private).unwrap();
    let trial = private.metric(&MetricId::new("trial").unwrap()).unwrap();
    assert_eq!(trial.labels(), ["a|no", "a|yes", "b|no", "b|yes", "ineligible"]);
}

/// 1.96·√(v/n) with v of two values at ε: the half-width is reached, and not with a thousandth less of ε.
#[test]
fn a_wanted_precision_is_reached_and_no_more_than_that() {
    let mut declared = with("/metrics/screen/precision", json!({ "half_width": 0.01, "devices": 100_000 }));
    declared["metrics"]["screen"]["epsilon"] = Value::Null;
    let registry = registry(declared.clone()).unwrap();
    let params = *registry.metric(&MetricId::new("screen").unwrap()).unwrap().params();
    let half_width = |params: &crate::Params| 1.96 * (params.variance() / 100_000.0).sqrt();
    assert!(half_width(&params) <= 0.01);
    let one = params.epsilon_one().get();
    let less = crate::Params::for_epsilon(one * 0.999, Some(2.0 * one), Answers::Closed(4)).unwrap();
    assert!(half_width(&less) > 0.01);
    declared["metrics"]["screen"]["precision"]["devices"] = json!(10);
    let faults = self::registry(declared).unwrap_err().to_string();
    assert!(faults.contains("10 devices"), "{faults}");
}

#[test]
fn a_catalog_gives_the_same_registry_and_damage_is_noticed() {
    let first = registry(sound()).unwrap();
    let bytes = first.catalog();
    let read = Registry::from_catalog(&bytes).unwrap();
    assert_eq!((read.hash(), read.catalog()), (first.hash(), bytes.clone()));
    assert_ne!(registry(with("/metrics/screen/epsilon", json!(1.5))).unwrap().hash(), first.hash());
    assert_ne!(first.hash(), super::RegistryHash::NONE);
    assert_eq!(Registry::from_catalog(b"other").map(drop), Err(CatalogError::NotACatalog));
    let mut newer = bytes.clone();
    newer[4] = 3;
    assert_eq!(Registry::from_catalog(&newer).map(drop), Err(CatalogError::Format { found: 3 }));
    for cut in 5..bytes.len() {
        assert!(Registry::from_catalog(&bytes[..cut]).is_err(), "{cut}");
    }
    assert!(Registry::from_catalog(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn more_labels_than_there_are_places_are_a_fault() {
    let labels: Vec<String> = (0..70_000).map(|label| label.to_string()).collect();
    let declared = with("/events/opened/properties/screen", json!({ "labels": labels }));
    let faults = registry(declared).unwrap_err().to_string();
    assert!(faults.contains("70001"), "{}", &faults[..1000.min(faults.len())]);
}

#[test]
fn a_change_of_meaning_wants_a_new_version() {
    let before = registry(sound()).unwrap();
    let after = |pointer: &str, value| registry(with(pointer, value)).unwrap();
    assert!(before.unversioned_since(&before).is_empty());
    let relabelled = after("/events/opened/properties/screen", json!({ "labels": ["home", "find"] }));
    let changed: Vec<String> =
        relabelled.unversioned_since(&before).iter().map(ToString::to_string).collect();
    assert_eq!(changed.len(), 2, "{changed:?}");
    assert!(changed.iter().all(|fault| fault.contains("list of answers changed")), "{changed:?}");
    let costlier = after("/metrics/screen/epsilon", json!(2.0)).unversioned_since(&before);
    assert!(costlier[0].to_string().contains("encoding changed"), "{costlier:?}");
    let mut versioned = with("/metrics/screen/epsilon", json!(2.0));
    versioned["metrics"]["screen"]["version"] = json!(2);
    assert!(registry(versioned).unwrap().unversioned_since(&before).is_empty());
}
