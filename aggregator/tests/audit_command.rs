//! `deniable audit` on the encoder that ships.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

fn audit(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deniable"));
    command.arg("audit").args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

const SHORT: [&str; 4] = ["--trials", "2000", "--seed", "1"];

#[test]
fn parameters_in_words_are_audited_and_the_seed_repeats_it() {
    let run = || text(&audit(&[&["16,1,4,0.5,0.25,0.75", "--format", "json"][..], &SHORT].concat()));
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    let audit: Value = serde_json::from_str(&first).unwrap();
    let findings = audit["findings"].as_array().unwrap();
    for loss in ["one", "infinity"] {
        assert!(
            findings
                .iter()
                .any(|finding| finding["loss"] == loss && finding["pair"] == "first and last bits")
        );
    }
    for finding in findings {
        assert!(finding["bound"].as_f64().unwrap() <= finding["claim"].as_f64().unwrap(), "{finding}");
    }
}

#[test]
fn a_metric_is_audited_in_its_version() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metrics.toml");
    fs::write(
        &file,
        r#"
        [metrics.yes]
        version = 2
        question = "Yes?"
        report = { encoding = "unary", bits = 3, permanent = { zero = 0.25, one = 0.5 } }
        [[metrics.yes.older]]
        version = 1
        report = { encoding = "direct", bits = 2, instantaneous = { zero = 0.25, one = 0.75 } }
        "#,
    )
    .unwrap();
    let metric = ["yes", "--metrics", file.to_str().unwrap()];
    let current = text(&audit(&[&metric[..], &SHORT].concat()));
    assert!(current.contains("ε∞") && current.contains("last two"), "{current}");
    let older = text(&audit(&[&metric[..], &SHORT, &["--version", "1"]].concat()));
    assert!(older.contains("no ε∞ is claimed") && older.contains("1.099"), "{older}");
    let output = audit(&[&metric[..], &["--version", "3"]].concat());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && message.contains("no version 3: it has [1, 2]"), "{message}");
    let output = audit(&["no", "--metrics", file.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no metric no"));
}

#[test]
fn what_cannot_be_audited_is_refused_with_what_could() {
    for (arguments, said) in [
        (&["16,1"][..], "k,h,m,f,p,q"),
        (&["16,1,4,0.5,0.75,0.25"], "P(1|0) must be below"),
        (&["16,one,4,0.5,0.25,0.75"], "h is \"one\""),
        (&["{\"encoding\":\"flower\"}"], "flower"),
        (&["missing.toml"], "missing.toml"),
        (&["16,1,4,0.5,0.25,0.75", "--trials", "10"], "1000 to 1000000"),
        (&["16,1,4,0.5,0.25,0.75", "--confidence", "1"], "less than 1"),
    ] {
        let output = audit(arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty() && message.contains(said), "{message}");
    }
}
