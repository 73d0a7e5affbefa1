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
    runtimes(steps)?;
    chromium(steps)
}

/// The browser that the package is tested in. Playwright's own would be a download apart from the system's.
fn chromium(steps: &mut Steps) -> anyhow::Result<()> {
    if Path::new("/usr/bin/chromium").exists() {
        return Ok(());
    }
    let install = || {
        command(
            "apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends chromium",
        )
    };
    if steps.run("Chromium", install()).is_ok() {
        return Ok(());
    }
    // The lists of a machine that was made long ago name packages that are no longer there.
    steps.run("package lists", command("apt-get update"))?;
    steps.run("Chromium", install())
}

fn node_is_new_enough() -> anyhow::Result<()> {
    let version = output(Command::new("node").arg("--version"))
        .with_context(|| format!("Node is needed, version {NODE} or later"))?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    ensure!(major >= Some(NODE), "Node {NODE} or later is needed, but this is {}", version.trim());
    Ok(())
}

fn npm_tools(steps: &mut Steps) -> anyhow::Result<()> {
    if is_installed("wasm", "package-lock.json")? {
        return Ok(());
    }
    steps.run("npm tools", command("npm ci --prefix wasm --no-fund --no-audit"))
}

/// The runtimes beside Node. Each comes as a program for one platform, which not every registry has for all, and then a lock file is
/// refused; their versions are exact without one.
fn runtimes(steps: &mut Steps) -> anyhow::Result<()> {
    if is_installed("tests/node", "package.json")? {
        return Ok(());
    }
    steps.run("runtimes", command("npm install --prefix tests/node --no-package-lock --no-fund --no-audit"))
}

/// npm notes what it installed in a file, which is older than what asked for it if that has changed since.
fn is_installed(folder: &str, asking: &str) -> anyhow::Result<bool> {
    let changed = |path: &str| fs::metadata(Path::new(folder).join(path)).and_then(|file| file.modified());
    let asked = changed(asking).with_context(|| format!("{folder}/{asking} is missing"))?;
    Ok(changed("node_modules/.package-lock.json").is_ok_and(|installed| installed >= asked))
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{} failed", command.get_program().display());
    Ok(String::from_utf8(output.stdout)?)
}
