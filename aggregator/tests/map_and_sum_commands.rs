//! `deniable map` and `deniable sum` against the files of google/rappor, and on input that is wrong.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use deniable::Params;
use tempfile::TempDir;

fn data(case: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/google-rappor").join(case).join(file)
}

fn run(command: &str, arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_deniable")).arg(command).args(arguments).output().unwrap()
}

fn failure(output: &Output) -> String {
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Our parameters in a file.
fn our_params(home: &TempDir) -> PathBuf {
    let params = Params::new(
        deniable::Encoding::Bloom,
        32,
        1,
        4,
        None,
        Some(deniable::Response::nearest(0.25, 0.5).unwrap()),
    );
    let path = home.path().join("params.json");
    fs::write(&path, serde_json::to_string(&params.unwrap()).unwrap()).unwrap();
    path
}

#[test]
fn a_map_under_the_references_parameters_is_its_map_byte_for_byte() {
    let case = "e03-zipf1-small";
    let (params, candidates) = (data(case, "params.csv"), data(case, "candidates.txt"));
    let output = run("map", &["--params".as_ref(), &params, "--candidates".as_ref(), &candidates]);
    assert!(output.status.success());
    assert!(output.stdout == fs::read(data(case, "map.csv")).unwrap(), "the map differs");
}

#[test]
fn reports_of_the_reference_sum_to_its_counts() {
    let case = "e01-exp-tiny";
    let output = run("sum", &["--params".as_ref(), &data(case, "params.csv"), &data(case, "reports.csv")]);
    assert!(output.status.success(), "{output:?}");
    let expected = fs::read_to_string(data(case, "counts.csv")).unwrap().replace('\r', "");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn a_map_of_ours_is_refused_under_other_parameters() {
    let home = TempDir::new().unwrap();
    let (params, map, counts) =
        (our_params(&home), home.path().join("map.csv"), home.path().join("counts.csv"));
    let list = home.path().join("candidates.txt");
    fs::write(&list, "a\nb\n").unwrap();
    fs::write(&counts, "0,".repeat(32).replace("0,", "10,") + "10\n").unwrap();
    assert!(
        run("map", &["--params".as_ref(), &params, "--candidates".as_ref(), &list, "--out".as_ref(), &map])
            .status
            .success()
    );
    let other = home.path().join("other.json");
    fs::write(&other, fs::read_to_string(&params).unwrap().replace("0.25", "0.125")).unwrap();
    fs::write(&counts, vec!["8".to_owned() + &",2".repeat(32); 4].join("\n")).unwrap();
    let arguments = |params: &Path| {
        ["--params".as_ref(), params, "--counts".as_ref(), &counts, "--map".as_ref(), &map]
            .map(Path::to_owned)
    };
    let decode = |params: &Path| {
        let arguments = arguments(params);
        run("decode", &arguments.each_ref().map(PathBuf::as_path))
    };
    let message = failure(&decode(&other));
    assert!(message.contains("made for parameters") && message.contains("deniable map"), "{message}");
    assert!(decode(&params).status.success());
}

#[test]
fn reports_that_are_none_are_refused_by_line() {
    let home = TempDir::new().unwrap();
    let (params, reports) = (data("e01-exp-tiny", "params.csv"), home.path().join("reports.csv"));
    let head = "client,cohort,bloom,prr,irr\n1,5,0,0,01010101\n";
    for (row, expected) in [
        ("2,128,0,0,01010101", "line 3, column 2: \"128\" is no cohort"),
        ("2,5,0,0,0101010", "line 3, column 5: \"0101010\" is not a report of 8 digits"),
        ("2,5,0,0,01010102", "line 3, column 5"),
        ("2,5,0,01010101", "line 3: 4 columns"),
        ("2,inf,0,0,01010101", "line 3, column 2: \"inf\" is not a whole number"),
    ] {
        fs::write(&reports, head.to_owned() + row).unwrap();
        let message = failure(&run("sum", &["--params".as_ref(), &params, &reports]));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_file_that_is_no_batch_is_refused() {
    let home = TempDir::new().unwrap();
    let batch = home.path().join("batch");
    fs::write(&batch, "no batch").unwrap();
    let message = failure(&run("sum", &["--params".as_ref(), &our_params(&home), &batch]));
    assert!(message.contains("holds no batch"), "{message}");
}

#[test]
fn empty_and_non_utf8_candidates_are_refused_by_line() {
    let home = TempDir::new().unwrap();
    let list = home.path().join("candidates.txt");
    for (content, expected) in
        [(&b"a\n\nb\n"[..], "line 2, column 1: \"\" is empty"), (b"a\nb\xff\n", "is not UTF-8")]
    {
        fs::write(&list, content).unwrap();
        let (out, params) = (home.path().join("map.csv"), our_params(&home));
        let arguments: [&Path; 6] =
            ["--params".as_ref(), &params, "--candidates".as_ref(), &list, "--out".as_ref(), &out];
        let message = failure(&run("map", &arguments));
        assert!(message.contains(expected), "{message}");
        let left: Vec<_> =
            fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "only parameters and candidates: {left:?}");
    }
}
