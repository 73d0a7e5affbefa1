//! `deniable counts` and `deniable decode` by public tags, and on reports that a store has kept.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use deniable::{
    Batch, BatchId, DeviceSecret, Encoder, Epoch, MetricId, Randomness, Value, WriteKey, write_batch,
};
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::store::{Accepted, DiskStore, Selection, Store, Terms};
use serde_json::Value as Json;

/// `color` and `shape` are asked alike, and only the reports of one are kept.
const METRICS: &str = r#"
tags = ["plan"]

[events.start]
properties = { plan = { labels = ["free", "pro"] } }

[dimensions.plan]
source = { first = { events = ["start"], property = "plan", window = "ever" } }
kind = "category"

[metrics.color]
version = 1
question = "Which color?"
keep_reports = true
report = { encoding = "unary", bits = 3, instantaneous = { zero = 0.05, one = 0.95 } }

[metrics.shape]
version = 1
question = "Which shape?"
report = { encoding = "unary", bits = 3, instantaneous = { zero = 0.05, one = 0.95 } }
"#;

/// How many devices of each plan say which of three values; those of the last have no registry.
const ANSWERS: [(Option<&str>, [usize; 3]); 3] =
    [(Some("free"), [700, 200, 100]), (Some("pro"), [100, 100, 400]), (None, [60, 180, 60])];

/// A folder with a store and a list of candidates.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("values.txt"), "red\ngreen\nblue\n").unwrap();
    let catalog = Catalog::parse(METRICS).unwrap_or_else(|faults| panic!("{faults}"));
    let store = DiskStore::create(&folder.path().join("store")).unwrap();
    store.declare(&catalog).unwrap();
    let registries = store.registries().unwrap();
    let labels: Vec<String> = catalog.registry().tags().next().unwrap().1.to_vec();
    let mut randomness = Randomness::from_seed([1; 32]);
    let mut reports = Vec::new();
    for definition in catalog.definitions() {
        let metric = definition.stream().metric().clone();
        let secret = DeviceSecret::from_bytes([2; 32]);
        let encoder = Encoder::new(metric, 1, *definition.params(), &secret);
        for (plan, counts) in ANSWERS {
            for (choice, count) in counts.into_iter().enumerate() {
                for i in 0..count {
                    let epoch = Epoch(20_000 + i as u32 % 2);
                    let report = encoder.encode(Value::Choice(choice), epoch, &mut randomness).unwrap();
                    reports.push(match plan {
                        Some(plan) => {
                            let place = labels.iter().position(|label| label == plan).unwrap();
                            report.published(catalog.registry().hash(), &[place]).unwrap()
                        }
                        None => report,
                    });
                }
            }
        }
    }
    let body = write_batch(WriteKey::NONE, BatchId([1; 16]), &reports).unwrap();
    let open = Epoch(0)..=Epoch(u32::MAX);
    let terms = Terms { catalog: &catalog, registries: &registries, open, source: "" };
    let checked = Accepted::check(&Batch::parse(&body).unwrap(), &terms);
    store.commit(&[checked.accepted], Epoch(0)).unwrap();
    folder
}

fn deniable(folder: &Path, line: &str) -> Output {
    let arguments = line.split_whitespace();
    Command::new(env!("CARGO_BIN_EXE_deniable")).args(arguments).current_dir(folder).output().unwrap()
}

fn out(folder: &Path, line: &str) -> String {
    let output = deniable(folder, line);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn error(folder: &Path, line: &str) -> String {
    let output = deniable(folder, line);
    assert!(!output.status.success() && output.stdout.is_empty(), "{line}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The reports that a CSV of counts says.
fn total(csv: &str) -> u64 {
    csv.lines().map(|row| row.split(',').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn counts_are_chosen_and_split_by_tags() {
    let folder = folder();
    let folder = folder.path();
    let count =
        |more: &str| total(&out(folder, &format!("counts --store store --metric color --format csv {more}")));
    assert_eq!([count(""), count("--tag plan=free"), count("--tag plan=pro")], [1900, 1000, 600]);
    assert_eq!(count("--tag plan=free --tag plan=pro"), 1600);
    assert_eq!(count("--tag plan=pro --epoch 20001"), 300);
    let held = out(folder, "counts --store store --tag plan=free --format csv");
    assert_eq!(held.lines().collect::<Vec<_>>()[1], "color,1,20000,500,0");

    let by = "counts --store store --metric color --by plan";
    let table = out(folder, by);
    let headings: Vec<_> = table.lines().filter(|line| line.contains("plan")).collect();
    assert_eq!(headings, ["no plan", "plan = free", "plan = pro"]);
    let json: Json = serde_json::from_str(&out(folder, &format!("{by} --format json"))).unwrap();
    let labels: Vec<_> = json["labels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| (&part["label"], &part["cohorts"][0]["reports"]))
        .collect();
    let [none, free, pro] = [Json::Null, "free".into(), "pro".into()];
    assert_eq!(labels, [(&none, &300.into()), (&free, &1000.into()), (&pro, &600.into())]);
    let csv = out(folder, &format!("{by} --epoch 20000 --format csv"));
    let starts: Vec<_> = csv.lines().map(|row| row.rsplitn(4, ',').last().unwrap()).collect();
    assert_eq!(starts, [",150", "free,500", "pro,300"]);
}

#[test]
fn a_tag_that_is_not_there_is_refused_with_those_that_are() {
    let folder = folder();
    let store = "counts --store store --metric color";
    for (more, said) in [
        ("--tag size=s", "known are: plan"),
        ("--by size", "known are: plan"),
        ("--tag plan=gold", "free"),
        ("--tag plan", "plan=free"),
    ] {
        let message = error(folder.path(), &format!("{store} {more}"));
        assert!(message.contains(said), "{more}: {message}");
    }
    assert!(error(folder.path(), "counts --store store --by plan").contains("--metric"));
}

/// What a device shows in the clear travels with its reports from `deniable replay`, by the place in its registry's list.
#[test]
fn replayed_reports_carry_their_registry_and_tags() {
    let folder = tempfile::tempdir().unwrap();
    let (tags, _) = METRICS.split_once("[metrics.color]").unwrap();
    let started = "source = { any = { events = [\"start\"], window = \"day\" } }\nkind = \"boolean\"\nevery = \"day\"\nepsilon = 1.0";
    let registry = format!("{tags}\n[metrics.started]\nversion = 1\nquestion = \"?\"\n{started}\n");
    fs::write(folder.path().join("metrics.toml"), &registry).unwrap();
    let event = |user: &str, plan: &str| {
        format!(
            r#"{{"event":"start","timestamp":"2024-05-01T10:00:00Z","user_id":"{user}","properties":{{"plan":"{plan}"}}}}"#
        )
    };
    let events = [event("ann", "free"), event("bob", "pro"), event("eve", "pro")].join("\n");
    fs::write(folder.path().join("events.jsonl"), events).unwrap();
    out(folder.path(), "replay events.jsonl --registry metrics.toml --until 2024-05-02 --reports batches");
    let catalog = Catalog::parse(&registry).unwrap_or_else(|faults| panic!("{faults}"));
    let labels = catalog.registry().tags().next().unwrap().1.to_vec();
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for batch in fs::read_dir(folder.path().join("batches")).unwrap() {
        let line = format!("inspect {}", batch.unwrap().path().display());
        let shown: Json = serde_json::from_str(&out(folder.path(), &line)).unwrap();
        for section in shown["sections"].as_array().unwrap() {
            assert_eq!(section["registry"], catalog.registry().hash().to_string());
            let place = section["tags"][0].as_u64().unwrap() as usize;
            *found.entry(labels[place].clone()).or_default() += section["reports"].as_array().unwrap().len();
        }
    }
    assert_eq!(found, BTreeMap::from([("free".to_owned(), 1), ("pro".to_owned(), 2)]));
}

/// The share of each candidate, in the order of the list.
fn shares(answer: &Json) -> [f64; 3] {
    let of = |name: &str| {
        let figures = answer["figures"].as_array().unwrap();
        figures.iter().find(|figure| figure["string"] == name).unwrap()["proportion"].as_f64().unwrap()
    };
    ["red", "green", "blue"].map(of)
}

/// The noise of 300 reports moves a share by a standard error of √(0.0475 / 300) / 0.9 = 0.014, so 0.1 is seven of them.
fn near(found: [f64; 3], counts: [usize; 3]) {
    let total: usize = counts.iter().sum();
    for (share, count) in found.into_iter().zip(counts) {
        assert!((share - count as f64 / total as f64).abs() < 0.1, "{found:?} for {counts:?}");
    }
}

#[test]
fn every_label_is_decoded_for_itself_from_counts_and_from_kept_reports() {
    let folder = folder();
    let folder = folder.path();
    let line = "decode --store store --metric color --candidates values.txt --all";
    for method in ["auto", "likelihood"] {
        let split = format!("{line} --by plan --method {method} --format json");
        let answer: Json = serde_json::from_str(&out(folder, &split)).unwrap();
        let parts = answer["labels"].as_array().unwrap();
        assert_eq!(parts.len(), 3);
        for (plan, counts) in ANSWERS {
            let part = parts.iter().find(|part| part["label"].as_str() == plan).unwrap();
            assert_eq!(part["reports"], counts.iter().sum::<usize>());
            near(shares(part), counts);
        }
        let whole: Json =
            serde_json::from_str(&out(folder, &format!("{line} --method {method} --format json"))).unwrap();
        near(shares(&whole), [0, 1, 2].map(|i| ANSWERS.iter().map(|(_, counts)| counts[i]).sum()));
    }
    let table = out(folder, &format!("{line} --by plan"));
    assert!(table.contains("plan = free") && table.contains("among 600 reports"), "{table}");
    let csv = out(folder, &format!("{line} --by plan --format csv"));
    assert!(csv.lines().next().unwrap().ends_with(",influence,label"), "{csv}");
    assert_eq!(csv.lines().filter(|row| row.ends_with(",pro")).count(), 3);
    assert!(error(folder, &format!("{line} --by plan --plot a.svg")).contains("--tag"));
}

/// A label with too few reports says so, and the others are shown.
#[test]
fn a_label_without_figures_does_not_hide_the_others() {
    let folder = folder();
    let line = "decode --store store --metric shape --candidates values.txt --by plan --epoch 20000";
    let store = DiskStore::open(&folder.path().join("store")).unwrap();
    let shape = MetricId::new("shape").unwrap();
    let catalog = Catalog::parse(METRICS).unwrap_or_else(|faults| panic!("{faults}"));
    let definition = catalog.get(&shape, 1).unwrap();
    let secret = DeviceSecret::from_bytes([2; 32]);
    let encoder = Encoder::new(shape.clone(), 1, *definition.params(), &secret);
    let mut randomness = Randomness::from_seed([1; 32]);
    let report = encoder.encode(Value::Choice(0), Epoch(20_000), &mut randomness).unwrap();
    let labels = catalog.registry().tags().next().unwrap().1;
    let other = labels.iter().position(|label| !["free", "pro"].contains(&label.as_str())).unwrap();
    let report = report.published(catalog.registry().hash(), &[other]).unwrap();
    let body = write_batch(WriteKey::NONE, BatchId([2; 16]), &[report]).unwrap();
    let registries = store.registries().unwrap();
    let open = Epoch(0)..=Epoch(u32::MAX);
    let terms = Terms { catalog: &catalog, registries: &registries, open, source: "" };
    let accepted = Accepted::check(&Batch::parse(&body).unwrap(), &terms).accepted;
    store.commit(&[accepted], Epoch(0)).unwrap();
    assert_eq!(store.counts(&shape, 1, &Selection::all()).unwrap().total(), 1901);
    drop(store);
    let table = out(folder.path(), line);
    assert!(table.contains("cannot be decoded") && table.contains("plan = free"), "{table}");
    let json: Json = serde_json::from_str(&out(folder.path(), &format!("{line} --format json"))).unwrap();
    let failed =
        json["labels"].as_array().unwrap().iter().find(|part| part["label"] == labels[other].as_str());
    assert!(failed.unwrap()["error"].as_str().unwrap().contains("report"), "{json}");
    // The likelihood wants reports that this metric does not keep.
    let message = error(folder.path(), &format!("{line} --method likelihood"));
    assert!(message.contains("keep_reports"), "{message}");
}
