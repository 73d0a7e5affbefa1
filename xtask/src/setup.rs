//! What a fresh machine lacks.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::step::{Steps, command};
use crate::{ci, package, target};

/// The oldest Node that the package promises to run in.
const NODE: u32 = 20;

/// Fetches the parts of the toolchain that the checks need.
pub(crate) fn toolchain(steps: &mut Steps) -> anyhow::Result<()> {
    steps.run("toolchain parts", command("rustup component add rustfmt clippy"))?;
    steps.run("target without std", command(&format!("rustup target add {}", ci::NO_STD)))
}

/// Fetches what the package is built and checked with.
pub(crate) fn wasm(steps: &mut Steps) -> anyhow::Result<()> {
    steps.run("target wasm32", command(&format!("rustup target add {}", package::TARGET)))?;
    node_is_new_enough()?;
    wasm_bindgen_of_our_version(steps)?;
    npm_tools(steps)
}

/// The program that writes the JavaScript side of the bindings.
pub(crate) fn wasm_bindgen() -> PathBuf {
    target().join("tools/bin/wasm-bindgen")
}

fn node_is_new_enough() -> anyhow::Result<()> {
    let version = output(Command::new("node").arg("--version"))
        .with_context(|| format!("Node is needed, version {NODE} or later"))?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    ensure!(major >= Some(NODE), "Node {NODE} or later is needed, but this is {}", version.trim());
    Ok(())
}

/// The program and the library must be of one version, to the last digit.
fn wasm_bindgen_of_our_version(steps: &mut Steps) -> anyhow::Result<()> {
    let version = locked_version("wasm-bindgen")?;
    let found = output(Command::new(wasm_bindgen()).arg("--version")).unwrap_or_default();
    if found.trim() == format!("wasm-bindgen {version}") {
        return Ok(());
    }
    let mut install = Command::new("cargo");
    install.args(["install", "wasm-bindgen-cli", "--force", "--version"]).arg(format!("={version}"));
    install.arg("--root").arg(target().join("tools"));
    steps.run("wasm-bindgen", install)
}

fn locked_version(package: &str) -> anyhow::Result<String> {
    let lock = fs::read_to_string("Cargo.lock").context("Cargo.lock cannot be read")?;
    let entry = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = lock.split_once(&entry).with_context(|| format!("Cargo.lock has no {package}"))?;
    Ok(rest.split('"').next().expect("a split has a first part").to_owned())
}

/// npm notes what it installed in a file, which is older than the lock file if that has changed since.
fn npm_tools(steps: &mut Steps) -> anyhow::Result<()> {
    let changed = |path| fs::metadata(path).and_then(|file| file.modified());
    let installed = changed("wasm/node_modules/.package-lock.json").ok();
    if installed >= Some(changed("wasm/package-lock.json").context("wasm/package-lock.json is missing")?) {
        return Ok(());
    }
    steps.run("npm tools", command("npm ci --prefix wasm --no-fund --no-audit"))
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{} failed", command.get_program().display());
    Ok(String::from_utf8(output.stdout)?)
}
