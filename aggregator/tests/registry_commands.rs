//! `deniable check` and `deniable replay`, as they are run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use deniable::Batch;
use deniable::registry::Registry;
use deniable_aggregator::catalog::Catalog;
use serde_json::Value;

const REGISTRY: &str = r#"
[events.opened]
properties = { screen = { labels = ["home", "search"] }, seconds = "number" }

[metrics.first_screen]
version = 1
question = "Which screen opens first on a day?"
source = { first = { events = ["opened"], property = "screen", window = "day" } }
kind = "category"
every = "day"
epsilon = 1.0

[metrics.seconds]
version = 1
question = "How long is the longest look of a day?"
source = { max = { events = ["opened"], property = "seconds", window = "day" } }
kind = { number = { low = 0, high = 60 } }
every = "day"
epsilon = 1.0
"#;

const EVENTS: &str = r#"{"event":"opened","timestamp":"2024-05-01T10:00:00Z","user_id":"ann","properties":{"screen":"search","seconds":4}}
{"event":"opened","timestamp":"2024-05-01T11:00:00Z","user_id":"bob","properties":{"screen":"attic","seconds":9}}
{"event":"opened","timestamp":"2024-05-01T12:00:00Z","user_id":"ann","properties":{"screen":"home","seconds":2.5}}
{"event":"unheard","timestamp":"2024-05-02T09:00:00Z","user_id":"ann","properties":{}}
"#;

fn deniable(arguments: &[&str], cwd: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_deniable")).args(arguments).current_dir(cwd).output().unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("metrics.toml"), REGISTRY).unwrap();
    fs::write(folder.path().join("events.jsonl"), EVENTS).unwrap();
    folder
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn every_example_is_sound_and_its_catalog_is_the_same_registry() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/registries");
    let files: Vec<PathBuf> = fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4);
    for file in files {
        let folder = tempfile::tempdir().unwrap();
        let output = deniable(&["check", file.to_str().unwrap(), "--catalog", "catalog"], folder.path());
        let (out, err) = said(&output);
        assert!(output.status.success(), "{err}");
        let registry = Catalog::load(&file).unwrap().registry().clone();
        let read = Registry::from_catalog(&fs::read(folder.path().join("catalog")).unwrap()).unwrap();
        assert_eq!(read.hash(), registry.hash());
        assert_eq!(read.catalog(), registry.catalog());
        assert!(out.contains(&registry.hash().to_string()), "{out}");
        // Cells wrap, so a question is sought by its words.
        let words: Vec<&str> = out.split_whitespace().collect();
        for metric in registry.metrics() {
            let epsilon = format!("{:.3}", metric.params().epsilon_one());
            let mut sought = metric.question().split_whitespace().chain([metric.id().as_str(), &epsilon]);
            assert!(sought.all(|word| words.contains(&word)), "{}: {out}", metric.id());
        }
    }
}

#[test]
fn all_faults_are_told_at_once_with_their_lines() {
    let folder = folder();
    let bad = REGISTRY
        .replace(
            "events = [\"opened\"], property = \"screen\"",
            "events = [\"closed\"], property = \"screen\"",
        )
        .replace("property = \"seconds\"", "property = \"screen\"");
    fs::write(folder.path().join("bad.toml"), &bad).unwrap();
    let output = deniable(&["check", "bad.toml"], folder.path());
    assert!(!output.status.success());
    let (_, err) = said(&output);
    for part in [
        "bad.toml",
        "line 8: metrics.first_screen.source.first",
        "\"closed\" is no event; declared are opened",
    ] {
        assert!(err.contains(part), "{err}");
    }
    for part in ["line 16: metrics.seconds.source.max.property", "a number is wanted"] {
        assert!(err.contains(part), "{err}");
    }
    let broken = bad.replace("version = 1", "version = 0");
    fs::write(folder.path().join("bad.toml"), broken).unwrap();
    let (_, err) = said(&deniable(&["check", "bad.toml"], folder.path()));
    assert!(
        err.contains("line 6: metrics.first_screen") && err.contains("line 14: metrics.seconds"),
        "{err}"
    );
}

#[test]
fn an_encoding_that_changed_wants_a_new_version() {
    let folder = folder();
    let changed = REGISTRY.replacen("epsilon = 1.0", "epsilon = 2.0", 1);
    fs::write(folder.path().join("changed.toml"), &changed).unwrap();
    let (_, err) = said(&deniable(&["check", "changed.toml", "--against", "metrics.toml"], folder.path()));
    for part in ["line 6: metrics.first_screen.version", "encoding changed", "raise the version"] {
        assert!(err.contains(part), "{err}");
    }
    fs::write(folder.path().join("changed.toml"), changed.replacen("version = 1", "version = 2", 1)).unwrap();
    let output = deniable(&["check", "changed.toml", "--against", "metrics.toml"], folder.path());
    assert!(output.status.success(), "{:?}", said(&output));
}

#[test]
fn a_replay_gives_the_values_of_every_user_and_every_day() {
    let folder = folder();
    let arguments =
        ["replay", "events.jsonl", "--registry", "metrics.toml", "--values", "--until", "2024-05-03"];
    let output = deniable(&arguments, folder.path());
    let (out, err) = said(&output);
    assert!(output.status.success(), "{err}");
    let mut values = BTreeMap::new();
    for line in out.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let key = ["user", "metric", "epoch"].map(|field| line[field].as_str().unwrap().to_owned()).join(" ");
        values.insert(key, line["value"].clone());
    }
    let expected = [
        ("ann first_screen 2024-05-01", Value::from("search")),
        ("ann first_screen 2024-05-02", Value::from("none")),
        ("ann seconds 2024-05-01", Value::from(4.0)),
        ("ann seconds 2024-05-02", Value::Null),
        ("bob first_screen 2024-05-01", Value::from("other")),
        ("bob first_screen 2024-05-02", Value::from("none")),
        ("bob seconds 2024-05-01", Value::from(9.0)),
        ("bob seconds 2024-05-02", Value::Null),
    ];
    assert_eq!(values, expected.map(|(key, value)| (key.to_owned(), value)).into());
    for part in ["2 users, 4 events, 8 answers", "1 events with an unknown name", "1 labels that became"] {
        assert!(err.contains(part), "{err}");
    }
}

#[test]
fn metrics_over_the_caps_rotate() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("rotating.toml"), format!("[privacy]\nweekly = 3.0\nlifetime = 3.0\n{REGISTRY}")).unwrap();
    let (out, err) = said(&deniable(&["check", "metrics.toml"], folder.path()));
    assert!(out.contains("Every device answers all of them.") && err.is_empty(), "{out}{err}");
    let (out, _) = said(&deniable(&["check", "rotating.toml"], folder.path()));
    for part in ["ε = 4.00 in a week, of a cap of 3.00", "one of 2 groups", "│ 2       first_screen", "1/2"]
    {
        assert!(out.contains(part), "{out}");
    }
    // Each of the two users answers one of the two metrics on both days; for testing, every device answers both.
    let replay = ["replay", "events.jsonl", "--registry", "rotating.toml", "--until", "2024-05-03"];
    let (_, err) = said(&deniable(&[&replay[..], &["--reports", "out"]].concat(), folder.path()));
    assert!(err.contains("2 users, 4 events, 4 answers"), "{err}");
    let (_, err) = said(&deniable(&[&replay[..], &["--values"]].concat(), folder.path()));
    assert!(err.contains("2 users, 4 events, 8 answers"), "{err}");
}

#[test]
fn a_replay_without_values_writes_batches_of_reports_alone() {
    let folder = folder();
    let arguments = ["replay", "events.jsonl", "--registry", "metrics.toml", "--until", "2024-05-03"];
    let (_, err) = said(&deniable(&arguments, folder.path()));
    assert!(err.contains("--values") && err.contains("--reports"), "{err}");
    let output = deniable(&[&arguments[..], &["--reports", "out"]].concat(), folder.path());
    assert!(output.status.success() && output.stdout.is_empty(), "{:?}", said(&output));
    let bytes = fs::read(folder.path().join("out/000001.batch")).unwrap();
    let batch = serde_json::to_value(Batch::parse(&bytes).unwrap()).unwrap();
    let sections = batch["sections"].as_array().unwrap();
    let reports = sections.iter().map(|section| section["reports"].as_array().unwrap().len());
    assert_eq!((sections.len(), reports.sum::<usize>()), (4, 8));
    let registry = Catalog::load(&folder.path().join("metrics.toml")).unwrap().registry().hash();
    for section in sections {
        assert_eq!(section["registry"], registry.to_string());
    }
}
