//! The npm package as its users meet it: what it refuses and how, and the first client of its README.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use deniable::{
    Answers, Batch, BatchError, DeviceSecret, EncodeError, Encoder, Encoding, Epoch, MetricId, Params,
    ParamsError, Randomness, Response, Value,
};
use deniable_tests::node;
use serde_json::json;

fn classic(bits: usize, f: f64, p: f64) -> Result<Params, ParamsError> {
    Params::rappor(bits, 2, 8, f, p, 0.75)
}

fn list(stage: Option<(f64, f64)>) -> Result<Params, ParamsError> {
    let stage = stage.map(|(zero, one)| Response::nearest(zero, one).unwrap());
    Params::new(Encoding::Unary, 4, 2, 1, None, stage)
}

fn encode(params: Params, value: Value<'_>) -> EncodeError {
    let secret = DeviceSecret::from_bytes([0; 32]);
    let encoder = Encoder::new(MetricId::new("m").unwrap(), 1, params, &secret);
    encoder.encode(value, Epoch(1), &mut Randomness::from_seed([0; 32])).unwrap_err()
}

/// Each provoked refusal with its code, and with its message where that is the sdk's.
fn expected() -> Vec<(&'static str, &'static str, Option<String>)> {
    let params = |refused: Result<Params, ParamsError>| Some(refused.unwrap_err().to_string());
    let choices = list(Some((0.25, 0.75))).unwrap();
    let texts = classic(16, 0.5, 0.25).unwrap();
    let encode = |params, value| Some(encode(params, value).to_string());
    let long = "é".repeat(2049);
    let direct = Response::nearest(0.25, 0.75)
        .and_then(|stage| Params::new(Encoding::Direct, 3, 1, 1, None, Some(stage)));
    vec![
        ("bits_out_of_range", "out-of-range", params(classic(4097, 0.5, 0.25))),
        ("bits_half", "bad-argument", None),
        ("bits_wrapping", "bad-argument", None),
        ("bits_nan", "bad-argument", None),
        ("bits_as_text", "bad-argument", None),
        ("field_missing", "bad-argument", None),
        ("field_misspelt", "bad-argument", None),
        ("stage_misspelt", "bad-argument", None),
        ("no_object", "bad-argument", None),
        ("nothing", "bad-argument", None),
        ("encoding_unknown", "bad-argument", None),
        ("no_probability", "no-probability", params(classic(16, 1.5, 0.25))),
        ("no_information", "no-information", params(classic(16, 0.5, 0.75))),
        ("no_stage", "no-stage", params(list(None))),
        ("unprotected", "unprotected", params(list(Some((0.0, 0.5))))),
        ("not_direct", "not-direct", params(direct)),
        ("metric_name", "bad-metric-name", Some(MetricId::new("Metric").unwrap_err().to_string())),
        ("version_negative", "bad-argument", None),
        ("secret_short", "bad-argument", None),
        ("wrong_kind", "wrong-kind", encode(texts, Value::Choice(1))),
        ("unknown_choice", "unknown-choice", encode(choices, Value::Choice(4))),
        ("half_a_choice", "bad-argument", None),
        ("too_many_choices", "too-many-choices", encode(choices, Value::Choices(&[0, 1, 2]))),
        ("text_empty", "text-length", encode(texts, Value::Text(""))),
        ("text_long", "text-length", encode(texts, Value::Text(&long))),
        ("epoch_in_milliseconds", "bad-argument", None),
        ("batch_empty", "empty-batch", Some(BatchError::Empty.to_string())),
        ("batch_too_large", "batch-too-large", None),
        ("batch_id_short", "bad-argument", None),
        ("batch_key_short", "bad-key", None),
        ("report_spent", "bad-argument", None),
        ("report_forged", "bad-argument", None),
        ("no_crypto", "no-randomness", None),
        ("no_crypto_for_a_secret", "no-randomness", None),
        ("crypto_failing", "no-randomness", None),
        ("crypto_failing_for_an_id", "no-randomness", None),
    ]
}

#[test]
fn every_refusal_is_a_typed_error_with_the_message_of_the_sdk() {
    let printed = node::node([&*node::path("tests/node/refusals.mjs"), &*node::package()]);
    let thrown: Vec<(String, serde_json::Value)> = serde_json::from_str(&printed).unwrap();
    let expected = expected();
    assert_eq!(thrown.len(), expected.len());
    for ((name, error), (expected_name, code, message)) in thrown.iter().zip(expected) {
        assert_eq!(name, expected_name);
        assert_eq!((&error["ours"], &error["code"]), (&json!(true), &json!(code)), "{name}: {error}");
        assert_eq!(error["name"], "DeniableError", "{name}");
        if let Some(message) = message {
            assert_eq!(error["message"], message, "{name}");
        }
    }
}

#[test]
fn what_is_read_of_a_report_is_what_is_sent() {
    let printed = node::node([&*node::path("tests/node/report.mjs"), &*node::package()]);
    let read: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let params = Params::rappor(100, 2, 65_536, 0.5, 0.25, 0.75).unwrap();
    assert_eq!(read["fingerprint"], params.fingerprint().to_string());
    let epsilons = [params.epsilon_one(), params.epsilon_infinity()];
    assert_eq!(read["epsilons"], json!(epsilons.map(|epsilon| epsilon.get().to_string())));

    let body: Vec<u8> = serde_json::from_value(read["batch"].clone()).unwrap();
    let batch = Batch::parse(&body).unwrap();
    let section = &batch.sections()[0];
    let stream = section.stream();
    assert_eq!(read["report"], json!([stream.metric(), stream.version(), section.epoch()]));
    let (cohort, bits) = section.reports().next().unwrap();
    assert_eq!(read["cohorts"], json!([cohort, cohort, cohort]));
    assert_eq!(read["bits"], json!(bits));
}

/// The code of a row like `["bad-key", …` or `BAD_KEY,`, in small letters alone.
fn code(row: &str) -> Option<String> {
    let quoted = row.strip_prefix("[\"").and_then(|row| row.split('"').next());
    let named = row.strip_suffix(',').filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
    Some(quoted.or(named)?.replace(['-', '_'], "").to_lowercase())
}

/// A module tells a refusal by its place in a list that Rust and TypeScript both have.
#[test]
fn typescript_and_the_modules_list_the_same_refusals() {
    let [rust, codes, encoder, client] =
        ["wasm/src/refusal.rs", "wasm/ts/refusal.ts", "wasm/ts/encoder.ts", "wasm/ts/core.ts"]
            .map(|file| fs::read_to_string(node::path(file)).unwrap());
    let (_, rust) = rust.split_once("enum Refusal {").unwrap();
    let rust = rust.split('}').next().unwrap().split(',').map(|name| name.replace("= 1", ""));
    let rust: Vec<_> = rust.map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect();
    let rows = |file: &str, close| {
        let (_, table) = file.split_once("const REFUSALS: Refusals = ").unwrap();
        let rows = table.split(close).next().unwrap().lines().filter_map(|line| line.strip_prefix("  "));
        rows.map(str::to_owned).collect::<Vec<_>>()
    };
    let encoder: Vec<_> = rows(&encoder, "\n];").iter().filter_map(|row| code(row)).collect();
    assert_eq!(encoder, rust[..encoder.len()]);

    // A client meets few of those, and the others.
    let client = rows(&client, "\n};");
    let client: BTreeMap<usize, String> = client
        .iter()
        .map(|row| row.split_once(": ").unwrap())
        .map(|(at, row)| (at.parse().unwrap(), code(row).unwrap()))
        .collect();
    assert!(client.iter().all(|(at, code)| rust[*at] == *code), "{client:?}");
    assert!((encoder.len()..rust.len()).all(|at| client.contains_key(&at)), "{client:?}");
    for (name, code) in [("OUT_OF_RANGE", "out-of-range"), ("BAD_KEY", "bad-key")] {
        assert!(codes.contains(&format!("const {name}: Refusal = [\"{code}\"")), "{name}");
    }
    let typed: Vec<_> = codes.lines().filter_map(|line| line.trim().strip_prefix("| \"")).collect();
    let typed: Vec<_> = typed.iter().map(|line| line.split('"').next().unwrap().replace('-', "")).collect();
    assert!(rust.iter().all(|code| typed.contains(code)), "{typed:?}");
}

/// The fenced blocks of the README, by language.
fn readme() -> BTreeMap<String, String> {
    let text = fs::read_to_string(node::package().join("README.md")).unwrap();
    let fenced = text.split("```").skip(1).step_by(2);
    fenced
        .filter_map(|block| block.split_once('\n'))
        .map(|(tongue, code)| (tongue.into(), code.into()))
        .collect()
}

/// Makes a folder an app that has the package installed, and the README's client as its only file.
fn make_app(app: &Path, client: &str) {
    let installed = app.join("node_modules/deniable");
    fs::create_dir_all(&installed).unwrap();
    for file in fs::read_dir(node::package()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), installed.join(file.file_name())).unwrap();
    }
    fs::write(app.join("package.json"), r#"{ "type": "module" }"#).unwrap();
    fs::write(app.join("client.ts"), client).unwrap();
}

#[test]
fn the_readmes_client_compiles_runs_and_prints_what_it_says() {
    let readme = readme();
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path();
    make_app(app, &readme["ts"]);
    let tsc = node::path("wasm/node_modules/typescript/bin/tsc");
    assert!(tsc.exists(), "TypeScript is not installed; `cargo xtask wasm` installs it");
    let options = "--strict --target es2022 --module nodenext --lib es2022,dom --types --noEmitOnError";
    node::run(Command::new("node").arg(tsc).args(options.split(' ')).arg("client.ts").current_dir(app));

    let body = app.join("body");
    let printed = node::run(
        Command::new("node")
            .arg("--import")
            .arg(node::path("tests/node/collector_stub.mjs"))
            .arg("client.js")
            .env("BODY", &body)
            .current_dir(app),
    );
    assert_eq!(printed, readme["text"]);
    let body = fs::read(body).unwrap();
    let batch = Batch::parse(&body).unwrap();
    let section = &batch.sections()[0];
    assert_eq!((section.stream().metric().as_str(), section.len()), ("relying_party", 1));
    let params = Params::for_epsilon(2.0, Some(4.0), Answers::Open).unwrap();
    assert_eq!(section.stream().fingerprint(), params.fingerprint());
}
