//! `deniable decode` on files of google/rappor.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn data(case: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/google-rappor").join(case).join(file)
}

fn decode(case: &str, map: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deniable"));
    command.args(["decode", "--params"]).arg(data(case, "params.csv"));
    command.arg("--counts").arg(data(case, "counts.csv")).arg("--map").arg(map).args(more);
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn csv_begins_with_the_columns_of_the_reference() {
    let map = data("e03-zipf1-small", "map.csv");
    let text = text(&decode("e03-zipf1-small", &map, &["--format", "csv"]));
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    assert!(header.starts_with(
        "string,estimate,std_error,proportion,prop_std_error,prop_low_95,prop_high_95,p_value,detected"
    ));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0][0]), (110, "v1"));
    let estimates: Vec<f64> = rows.iter().map(|row| row[1].parse().unwrap()).collect();
    assert!(estimates.is_sorted_by(|a, b| a >= b));
}

#[test]
fn a_list_of_candidates_does_for_the_map() {
    let case = "e03-zipf1-small";
    let by_map = text(&decode(case, &data(case, "map.csv"), &["--format", "json"]));
    let mut command = Command::new(env!("CARGO_BIN_EXE_deniable"));
    command.args(["decode", "--format", "json", "--params"]).arg(data(case, "params.csv"));
    command.arg("--counts").arg(data(case, "counts.csv"));
    command.arg("--candidates").arg(data(case, "candidates.txt"));
    assert_eq!(text(&command.output().unwrap()), by_map);
    let json: serde_json::Value = serde_json::from_str(&by_map).unwrap();
    assert_eq!(json["reports"], 1_000_000);
    assert_eq!(json["figures"][0]["string"], "v1");
}

#[test]
fn one_bit_reports_print_true_and_false() {
    let table = text(&decode("e12-boolean", &data("e12-boolean", "map.csv"), &[]));
    assert!(table.contains("TRUE") && table.contains("FALSE"), "{table}");
    assert!(table.contains("18.13 %"), "{table}");
}

#[test]
fn a_map_for_other_parameters_is_refused_by_line() {
    let output = decode("e12-boolean", &data("e03-zipf1-small", "map.csv"), &[]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(message.contains("line 1: 257 columns") && message.contains("are 65"), "{message}");
}

#[test]
fn corrections_and_methods_change_what_is_detected() {
    let case = "e03-zipf1-small";
    let detected = |more: &[&str]| {
        let arguments = [&["--format", "json"], more].concat();
        let text = text(&decode(case, &data(case, "map.csv"), &arguments));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json["figures"].as_array().unwrap().iter().filter(|figure| figure["detected"] == true).count()
    };
    let (strict, lenient) = (detected(&[]), detected(&["--correction", "benjamini-hochberg"]));
    assert!(strict < lenient, "{strict} by Bonferroni, {lenient} by Benjamini and Hochberg");
    assert!(detected(&["--alpha", "1e-9"]) < strict);
    assert!(detected(&["--correction", "holm"]) >= strict);
    for method in ["all", "screen", "nonnegative", "lasso"] {
        assert!(detected(&["--method", method]).abs_diff(strict) <= 5, "{method}");
    }
}

#[test]
fn covariances_are_told_on_request() {
    let case = "e03-zipf1-small";
    let text = text(&decode(case, &data(case, "map.csv"), &["--format", "json", "--joint"]));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let error = json["figures"][0]["prop_std_error"].as_f64().unwrap();
    let variance = json["covariances"][0][0].as_f64().unwrap();
    assert!((variance.sqrt() / error - 1.0).abs() < 1e-9, "{variance} {error}");
}

#[test]
fn a_picture_is_drawn_as_svg_or_png_and_as_nothing_else() {
    let (case, home) = ("e03-zipf1-small", tempfile::tempdir().unwrap());
    let draw = |name: &str| {
        let path = home.path().join(name);
        let output = decode(case, &data(case, "map.csv"), &["--plot", path.to_str().unwrap()]);
        (output, std::fs::read(path))
    };
    let (output, svg) = draw("figures.svg");
    assert!(output.status.success());
    let svg = String::from_utf8(svg.unwrap()).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("v11"));
    assert!(draw("figures.png").1.unwrap().starts_with(b"\x89PNG\r\n"));
    let (output, gif) = draw("figures.gif");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && gif.is_err() && message.contains(".svg or .png"), "{message}");
}

#[test]
fn whole_reports_are_decoded_by_their_likelihood_and_counts_are_not() {
    let home = tempfile::tempdir().unwrap();
    let case = "e01-exp-tiny";
    let list = home.path().join("candidates.txt");
    std::fs::write(&list, "v1\nv2\nv3\n").unwrap();
    let run = |source: &str, file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deniable"));
        command.args(["decode", "--method", "likelihood", "--params"]).arg(data(case, "params.csv"));
        command.arg(source).arg(data(case, file)).arg("--candidates").arg(&list).output().unwrap()
    };
    assert!(text(&run("--reports", "reports.csv")).contains("of 3 candidates detected among 1000 reports"));
    let refused = run("--counts", "counts.csv");
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && message.contains("--reports"), "{message}");
}

#[test]
fn wrong_files_are_refused_with_line_value_and_limit() {
    let (case, home) = ("e03-zipf1-small", tempfile::tempdir().unwrap());
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let counts = std::fs::read_to_string(data(case, "counts.csv")).unwrap();
    let second = counts.lines().nth(1).unwrap();
    let with = |row: String| counts.replacen(second, &row, 1);
    let first_of = |value: &str| value.to_owned() + &second[second.find(',').unwrap()..];
    let refused = |params: &Path, counts: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deniable"));
        command.args(["decode", "--params"]).arg(params).arg("--counts").arg(counts);
        let output = command.arg("--map").arg(data(case, "map.csv")).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (text, expected) in [
        (with(first_of("inf")), "line 2, column 1: \"inf\" is not a whole number"),
        (with(first_of("-5")), "line 2, column 1: \"-5\" is not a whole number"),
        (with(first_of("NA")), "line 2, column 1: \"NA\" is not a whole number"),
        (with(first_of("100")), "cohort 1 has 100 reports, but bit 0 is counted"),
        (with(second.to_owned() + ",7"), "line 2: 10 columns"),
        (counts.clone() + second, "129 rows"),
        (counts.lines().take(100).collect::<Vec<_>>().join("\n"), "100 rows"),
    ] {
        let message = refused(&data(case, "params.csv"), &write("counts.csv", &text));
        assert!(message.contains(expected), "{message}");
    }
    for (text, expected) in [
        ("k,h,m,p,q,f\n8,2,128,0.5,0.5,0.45\n", "carry no information"),
        ("k,h,m,p,q,f\n8,2,128,inf,0.6,0.45\n", "inf is not a probability"),
        ("k,h,m,p,q,f\n8,2,128,0.4,0.6,1\n", "carry no information"),
        ("k,h,m,p,q,f\n8,2,70000,0.4,0.6,0.45\n", "70000"),
        ("k,h,m,f,p,q\n8,2,128,0.4,0.6,0.45\n", "must be k,h,m,p,q,f"),
        ("k,h,m,p,q,f\n", "0 rows"),
        ("k,h,m,p,q,f\n8,2,128,0.4,0.6,0.45\n8,2,128,0.4,0.6,0.45\n", "3 rows"),
    ] {
        let message = refused(&write("params.csv", text), &data(case, "counts.csv"));
        assert!(message.contains(expected), "{message}");
    }
    let message = refused(&home.path().join("missing.csv"), &data(case, "counts.csv"));
    assert!(message.contains("missing.csv cannot be read"), "{message}");
}
