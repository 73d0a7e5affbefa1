//! The demo reaches its end, and so does every report, when the collector is killed in the middle.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use deniable::MetricId;
use deniable_aggregator::store::{DiskStore, Selection, Store};

#[test]
fn a_collector_killed_in_the_middle_loses_and_doubles_nothing() {
    let home = tempfile::tempdir().unwrap();
    let kept = home.path().join("kept");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_deniable"))
        .args(["demo", "--devices", "40000", "--seed", "7", "--keep"])
        .arg(&kept)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(demo.stdout.take().unwrap());
    let pid = collector(&mut stdout);

    // The first tenth of the devices is acknowledged; the rest meets a dead collector.
    let mut stderr = BufReader::new(demo.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("devices reported") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the demo ended before a tenth had reported");
    }
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());

    let (mut said, mut told) = (String::new(), String::new());
    stdout.read_to_string(&mut said).unwrap();
    stderr.read_to_string(&mut told).unwrap();
    assert!(demo.wait().unwrap().success(), "{said}{told}");
    assert!(said.contains("restarts: 1"), "{said}");

    let store = DiskStore::open(&kept.join("store")).unwrap();
    let holdings = store.holdings(&Selection::all()).unwrap();
    assert_eq!(holdings.len(), 1);
    assert_eq!(
        (&holdings[0].metric, holdings[0].reports),
        (&MetricId::new("relying_party").unwrap(), 40_000)
    );
}

/// The process that the demo says its collector is.
fn collector(stdout: &mut impl BufRead) -> String {
    for line in stdout.lines() {
        if let Some(rest) = line.unwrap().strip_prefix("Collector: process ") {
            return rest.split(' ').next().unwrap().to_owned();
        }
    }
    panic!("the demo did not say where its collector is");
}

#[test]
fn a_directory_that_exists_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_deniable"))
        .args(["demo", "--keep"])
        .arg(home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("must not exist"), "{said}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}
