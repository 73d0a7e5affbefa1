//! `deniable privacy` on parameters of google/rappor and on ours, and on input that is wrong.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use deniable::{Encoding, Params, Response};
use deniable_aggregator::amplify::Shuffle;
use serde_json::Value;
use tempfile::TempDir;

fn run(home: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_deniable"))
        .current_dir(home.path())
        .arg("privacy")
        .args(arguments)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn rows(home: &TempDir, arguments: &[&str]) -> Vec<Value> {
    let arguments = [arguments, &["--format", "json"]].concat();
    serde_json::from_str(&text(&run(home, &arguments))).unwrap()
}

/// A directory with `params.csv` as given, and some metrics.
fn home(params: &str) -> TempDir {
    let home = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(Path::join(home.path(), name), text).unwrap();
    write("params.csv", &format!("k,h,m,p,q,f\r\n{params}\r\n"));
    write("params.toml", "encoding = \"direct\"\nbits = 2\ninstantaneous = { zero = 0.25, one = 0.75 }\n");
    write(
        "metrics.toml",
        r#"
[metrics.host]
version = 2
question = "Which host?"
report = { encoding = "bloom", bits = 16, hashes = 2, cohorts = 8, permanent = { zero = 0.25, one = 0.75 }, instantaneous = { zero = 0.25, one = 0.75 } }

[[metrics.host.older]]
version = 1
report = { encoding = "unary", bits = 4, instantaneous = { zero = 0.25, one = 0.5 } }

[metrics.ready]
version = 1
question = "Ready?"
report = { encoding = "direct", bits = 2, instantaneous = { zero = 0.25, one = 0.75 } }
"#,
    );
    home
}

fn number(row: &Value, field: &str) -> f64 {
    row[field].as_f64().unwrap_or_else(|| panic!("{field} in {row}"))
}

#[test]
fn each_client_of_the_reference_has_its_own_loss() {
    let rows = rows(&home("8,2,128,0.39,0.61,0.45"), &["--params", "params.csv"]);
    let names: Vec<&str> = rows.iter().map(|row| row["parameters"].as_str().unwrap()).collect();
    assert_eq!(names, ["as stated", "Python", "C++ 32-bit", "C++ bytes", "Java"]);
    let f: Vec<f64> = rows.iter().map(|row| number(row, "f") * 128.0).collect();
    assert_eq!(f, [57.6, 58.0, 57.0, 57.0, 58.0]);
    for (row, noise) in rows.iter().zip([57.6f64, 58.0, 57.0, 57.0, 58.0]) {
        let exact = 4.0 * ((256.0 - noise) / noise).ln();
        assert!((number(row, "epsilon_infinity") - exact).abs() < 1e-7, "{row}");
    }
    // p = 99/256 and q = 156/256 through T = 57: p* = 28593/65536.
    assert_eq!(number(&rows[2], "reported_zero"), 28_593.0 / 65_536.0);
    assert!(number(&rows[0], "variance_over_optimum") > 3.0);
    assert!(rows.iter().all(|row| row["refused"].is_null() && row["shuffled_epsilon"].is_null()));
}

#[test]
fn a_client_that_would_be_wrong_is_refused_and_the_others_are_not() {
    let home = home("16,2,64,0.25,1,0.5");
    let of = rows(&home, &["--params", "params.csv"]);
    let refused: Vec<bool> = of.iter().map(|row| !row["refused"].is_null()).collect();
    assert_eq!(refused, [false, false, true, true, false]);
    let table = text(&run(&home, &["--params", "params.csv"]));
    assert!(table.contains("C++ 32-bit: refused, q = 1") && table.contains("255/256"), "{table}");
}

#[test]
fn metrics_are_shown_with_their_stages_and_losses() {
    let home = home("");
    let all = rows(&home, &["--metrics", "metrics.toml"]);
    let names: Vec<&str> = all.iter().map(|row| row["parameters"].as_str().unwrap()).collect();
    assert_eq!(names, ["host v1", "host v2", "ready v1"]);
    let host = rows(&home, &["--metrics", "metrics.toml", "--metric", "host"]);
    assert_eq!((host.len(), host[1]["permanent_zero"].as_f64()), (2, Some(0.25)));
    assert!(host[0]["epsilon_infinity"].is_null() && host[0]["permanent_zero"].is_null());
    // p* = 3/8, q* = 5/8, h = 2: 2·ln(25/9).
    assert!((number(&host[1], "epsilon_one") - 2.0 * (25.0f64 / 9.0).ln()).abs() < 1e-12);
    let table = text(&run(&home, &["--metrics", "metrics.toml"]));
    assert!(table.contains("unbounded") && table.contains("2.044") && table.contains("none"), "{table}");
}

#[test]
fn a_crowd_lowers_the_loss_and_says_which_crowd() {
    let home = home("");
    let crowd = ["--params", "params.toml", "--shuffled", "100000", "--delta", "1e-9"];
    let [row] = &rows(&home, &crowd)[..] else { panic!("one set of parameters, one row") };
    let (one, shuffled) = (number(row, "epsilon_one"), number(row, "shuffled_epsilon"));
    assert!((one - 3.0f64.ln()).abs() < 1e-12);
    let params = Params::new(Encoding::Direct, 2, 1, 1, None, Some(Response::nearest(0.25, 0.75).unwrap()));
    let of = Shuffle::of(&params.unwrap());
    assert_eq!(shuffled, of.epsilon(100_000.try_into().unwrap(), 1e-9).unwrap());
    assert!(shuffled < one / 20.0);
    let table = text(&run(&home, &crowd));
    assert!(table.contains("cohort") && table.contains("100000") && table.contains("1e-9"), "{table}");
}

#[test]
fn csv_has_a_header_and_a_row_for_each() {
    let text = text(&run(&home("8,2,128,0.39,0.61,0.45"), &["--params", "params.csv", "--format", "csv"]));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("parameters,refused,encoding,bits,hashes,cohorts,f,p,q,"), "{}", lines[0]);
    assert_eq!(lines.len(), 6);
    let columns = lines[0].split(',').count();
    assert!(lines.iter().all(|line| line.split(',').count() == columns));
}

#[test]
fn wrong_input_is_told_with_its_value() {
    let home = home("8,2,128,0.39,0.61,0.45");
    for (arguments, said) in [
        (&[][..], &["--params", "--metrics"][..]),
        (&["--params", "none.csv"], &["none.csv"]),
        (&["--params", "params.csv", "--metric", "host"], &["--params", "--metric"]),
        (&["--metrics", "metrics.toml", "--metric", "hosts"], &["metrics.toml", "no such metric"]),
        (&["--params", "params.csv", "--shuffled", "1000"], &["--delta"]),
        (&["--params", "params.csv", "--shuffled", "0", "--delta", "1e-6"], &["0"]),
        (&["--params", "params.csv", "--shuffled", "10", "--delta", "1.5"], &["1.5", "between 0 and 1"]),
        (&["--params", "params.csv", "--shuffled", "10", "--delta", "NaN"], &["NaN"]),
    ] {
        let output = run(&home, arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}: {output:?}");
        assert!(said.iter().all(|part| error.contains(part)), "{arguments:?}: {error}");
    }
    fs::write(home.path().join("params.csv"), "k,h,m,p,q,f\n8,2,128,0.39,x,0.45\n").unwrap();
    let error = String::from_utf8(run(&home, &["--params", "params.csv"]).stderr).unwrap();
    assert!(error.contains("line 2") && error.contains("\"x\""), "{error}");
}
