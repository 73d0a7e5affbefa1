//! What a fresh machine lacks.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::step::{Steps, command};
use crate::{ci, package};

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
    npm_tools(steps)?;
    chromium(steps)
}

/// The browser that the package is tested in. Playwright's own would be a download apart from the system's.
fn chromium(steps: &mut Steps) -> anyhow::Result<()> {
    if Path::new("/usr/bin/chromium").exists() {
        return Ok(());
    }
    steps.run("Chromium", command("apt-get install --yes --no-install-recommends chromium"))
}

fn node_is_new_enough() -> anyhow::Result<()> {
    let version = output(Command::new("node").arg("--version"))
        .with_context(|| format!("Node is needed, version {NODE} or later"))?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    ensure!(major >= Some(NODE), "Node {NODE} or later is needed, but this is {}", version.trim());
    Ok(())
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
