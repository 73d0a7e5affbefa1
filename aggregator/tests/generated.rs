//! `deniable gen`: what it writes for the example registries is compiled here, and what must not compile does not.
//!
//! After a meant change of the registries or of what is written:
//! `WRITE_GENERATED=1 cargo test -p deniable-aggregator --test generated`

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use deniable::insight::Property;
use serde_json::json;

#[rustfmt::skip]
#[path = "generated/campaign.rs"]
mod campaign;
#[rustfmt::skip]
#[path = "generated/fxa-services.rs"]
mod fxa_services;
#[rustfmt::skip]
#[path = "generated/names.rs"]
mod names;
#[rustfmt::skip]
#[path = "generated/onboarding.rs"]
mod onboarding;
#[rustfmt::skip]
#[path = "generated/persona-signin.rs"]
mod persona_signin;

/// Names that are no identifiers, that would become one, and that are words of the languages.
const NAMES: &str = r#"
[events."Sign Up!".properties]
type = { labels = ["self", "Self", "-1", "1", "*/ // \"quoted\" \\ ★"] }
"first name" = "text"
first-name = "text"
size = "number"
__proto__ = "flag"
self = "flag"

[events]
"sign-up" = {}
sign_up = {}
sign = { properties = { up = { labels = ["a", "b"] } } }
property = {}
"new\nline" = {}

[metrics.signs]
version = 1
question = """Does it sign */ up?
#![forbid(unsafe_code)]"""
source = { any = { events = ["Sign Up!", "sign"], window = "day" } }
kind = "boolean"
every = "day"
epsilon = 1.0
"#;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/generated")
}

fn generated(registry: &Path, lang: &str) -> String {
    let program = env!("CARGO_BIN_EXE_deniable");
    let output = Command::new(program).arg("gen").arg(registry).args(["--lang", lang]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_written_is_the_checked_file() {
    let registries = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/registries");
    let mut files: Vec<PathBuf> =
        fs::read_dir(registries).unwrap().map(|entry| entry.unwrap().path()).collect();
    let own = tempfile::tempdir().unwrap();
    files.push(own.path().join("names.toml"));
    fs::write(&files[4], NAMES).unwrap();
    for file in files {
        for (lang, extension) in [("rust", "rs"), ("ts", "ts")] {
            let written = generated(&file, lang);
            let name = Path::new(file.file_name().unwrap()).with_extension(extension);
            let checked = folder().join(name);
            if std::env::var_os("WRITE_GENERATED").is_some() {
                fs::write(&checked, &written).unwrap();
            }
            let expected = fs::read_to_string(&checked).unwrap();
            assert!(written == expected, "{} is not what is written now", checked.display());
            let hash =
                deniable_aggregator::catalog::Catalog::load(&file).unwrap().registry().hash().to_string();
            assert!(written.lines().next().unwrap().contains(&hash));
        }
    }
}

/// An event as a client is given it.
fn given(name: &str, properties: &[(&str, Property<'_>)]) -> serde_json::Value {
    let value = |property: &Property<'_>| match property {
        Property::Flag(flag) => json!(flag),
        Property::Number(number) => json!(number),
        Property::Text(text) => json!(text),
    };
    let properties: serde_json::Map<_, _> =
        properties.iter().map(|(name, property)| ((*name).to_owned(), value(property))).collect();
    json!([name, properties])
}

#[test]
fn a_wrapped_event_is_the_event_and_its_properties() {
    use onboarding::{AccountCreated, AccountCreatedDevice};
    let created = AccountCreated {
        device: Some(AccountCreatedDevice::IOs),
        followers: Some(3.0),
        ..AccountCreated::default()
    };
    assert_eq!(created.track(given), json!(["account_created", { "device": "iOS", "followers": 3.0 }]));
    assert_eq!(onboarding::Activated.track(given), json!(["activated", {}]));
    let host = persona_signin::RpSignin { host: Some("shop.example") };
    assert_eq!(host.track(given), json!(["rp_signin", { "host": "shop.example" }]));
    let login = fxa_services::AccountLogin { mobile: Some(true), sign_up: None };
    assert_eq!(login.track(given), json!(["account_login", { "mobile": true }]));
    assert_eq!(campaign::Donated { usd: Some(0.5) }.track(given), json!(["donated", { "usd": 0.5 }]));
}

#[test]
fn names_that_are_no_identifiers_reach_the_client_as_they_are() {
    let tracked = names::SignUp_26572bbe {
        first_name_1b836d86: Some("a"),
        first_name_2362fd78: Some("b"),
        ..names::SignUp_26572bbe::default()
    };
    let expected = json!(["Sign Up!", { "first name": "a", "first-name": "b" }]);
    assert_eq!(tracked.track(given), expected);
    assert_eq!(names::NewLine.track(given)[0], "new\nline");
}

/// Each program with the code of the error that its one fault gives; None compiles. The crate `deniable` is stood in for by the
/// one type that the wrappers use, which the tests above compare with the real one.
#[test]
fn what_is_wrong_does_not_compile() {
    let folder = tempfile::tempdir().unwrap();
    let rustc = |source: &Path, name: &str| {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(rustc);
        command.args([
            "--edition",
            "2021",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
            "--crate-name",
            name,
        ]);
        command
            .arg("--extern")
            .arg(format!("deniable={}", folder.path().join("libdeniable.rmeta").display()));
        command.arg("--out-dir").arg(folder.path()).arg(source).output().unwrap()
    };
    let stand_in = "pub mod insight { #[derive(Clone, Copy)] pub enum Property<'a> { Flag(bool), Number(f64), Text(&'a str) } }";
    let source = folder.path().join("deniable.rs");
    fs::write(&source, stand_in).unwrap();
    // Made first without itself, so that the others find it.
    fs::write(folder.path().join("libdeniable.rmeta"), "").unwrap();
    let made = rustc(&source, "deniable");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let wrappers = self::folder().join("onboarding.rs");
    let created = |fields: &str| format!("AccountCreated {{ {fields}, ..AccountCreated::default() }}");
    for (i, (event, error)) in [
        (created("device: Some(AccountCreatedDevice::IOs)"), None),
        ("AccountMade::default()".to_owned(), Some("E0433")),
        (created("devise: None"), Some("E0560")),
        (created("device: Some(AccountCreatedDevice::Toaster)"), Some("E0599")),
        (created("device: Some(\"iOS\")"), Some("E0308")),
        (created("device: Some(AccountCreatedIndustry::Agency)"), Some("E0308")),
        (created("followers: Some(\"many\")"), Some("E0308")),
        ("Activated { device: None }".to_owned(), Some("E0560")),
    ]
    .into_iter()
    .enumerate()
    {
        let source = folder.path().join("case.rs");
        let text = format!(
            "#[path = {wrappers:?}] pub mod typed;\nuse typed::*;\npub fn case() {{ {event}.track(|_, _| ()); }}\n"
        );
        fs::write(&source, text).unwrap();
        let output = rustc(&source, &format!("case{i}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), error.is_none(), "{event}: {said}");
        assert!(error.is_none_or(|code| said.contains(&format!("error[{code}]"))), "{event}: {said}");
        assert!(error.is_some() || said.is_empty(), "{event}: {said}");
    }
}
