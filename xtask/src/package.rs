//! The npm package: the encoder as WASM, its bindings, and the few files around them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::setup::wasm_bindgen;
use crate::step::{Steps, command};
use crate::target;

/// The target of the package.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

const BUILD: &str = "cargo build --package deniable-wasm --profile wasm --target";
const SOURCE: &str = "wasm/js";
const PACKAGE: &str = "wasm/pkg";

/// Builds the package anew and prints its size.
pub(crate) fn build(steps: &mut Steps) -> anyhow::Result<()> {
    steps.run("encoder as WASM", command(&format!("{BUILD} {TARGET}")))?;
    if Path::new(PACKAGE).exists() {
        fs::remove_dir_all(PACKAGE).with_context(|| format!("the old {PACKAGE} cannot be removed"))?;
    }
    let module = target().join(TARGET).join("wasm/deniable_wasm.wasm");
    let mut bindings = Command::new(wasm_bindgen());
    bindings.args(["--target", "web", "--out-dir", PACKAGE, "--out-name", "bindings"]);
    bindings
        .args(["--remove-name-section", "--remove-producers-section", "--omit-default-module-path"])
        .arg(module);
    steps.run("bindings", bindings)?;
    copy_the_rest()?;
    steps.run("size of the package", command(&format!("node wasm/sizes.mjs {PACKAGE}")))
}

fn copy_the_rest() -> anyhow::Result<()> {
    for file in fs::read_dir(SOURCE).with_context(|| format!("{SOURCE} cannot be read"))? {
        let path = file?.path();
        let name = path.file_name().expect("an entry of a folder has a name");
        fs::copy(&path, Path::new(PACKAGE).join(name))
            .with_context(|| format!("{} cannot be copied", path.display()))?;
    }
    fs::copy("wasm/README.md", Path::new(PACKAGE).join("README.md"))
        .context("wasm/README.md cannot be copied")?;
    let manifest = fs::read_to_string(Path::new(PACKAGE).join("package.json"))?;
    let version = concat!("\"version\": \"", env!("CARGO_PKG_VERSION"), "\"");
    ensure!(manifest.contains(version), "{SOURCE}/package.json must say {version}, as the workspace does");
    Ok(())
}
