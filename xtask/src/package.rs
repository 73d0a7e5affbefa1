//! The npm package: a WebAssembly module for each entry, and the TypeScript around it.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::step::{Steps, command};
use crate::target;

/// The target of the package.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

const BUILD: &str = "cargo build --package deniable-wasm --profile wasm --target";
/// A smaller SHA-256, and code that is smallest when packed: as many inlined calls as each module says, and none of the three
/// rewritings of LLVM that gain speed, or bytes before packing.
const FLAGS: &str = r#"--cfg sha2_backend_soft="compact" -C llvm-args=--disable-lsr -C llvm-args=--enable-load-pre=false -C llvm-args=--simplifycfg-sink-common=false -C llvm-args=--inline-threshold="#;
/// What makes the modules smallest when packed. The first kilobyte of memory is the far end of the stack, so no access reaches it
/// by a sum that wraps around. The features are those that the compiler uses, which browsers have had since 2022; with more it
/// would invent types that they lack.
const OPTIMIZE: &str = "node wasm/node_modules/binaryen/bin/wasm-opt --low-memory-unused --one-caller-inline-max-function-size 30 \
                        --flatten --rereloop -Oz --converge -Oz --reorder-functions --strip-debug --strip-producers \
                        --strip-target-features --mvp-features --enable-bulk-memory --enable-bulk-memory-opt \
                        --enable-multivalue --enable-mutable-globals --enable-nontrapping-float-to-int \
                        --enable-reference-types --enable-sign-ext";
const TYPES: &str = "node wasm/node_modules/typescript/bin/tsc --project wasm";
const PACKAGE: &str = "wasm/pkg";

/// Builds the package anew, prints its size, and fails if an entry is over its limit.
pub(crate) fn build(steps: &mut Steps) -> anyhow::Result<()> {
    if Path::new(PACKAGE).exists() {
        fs::remove_dir_all(PACKAGE).with_context(|| format!("the old {PACKAGE} cannot be removed"))?;
    }
    module(steps, "encoder", 30)?;
    module(steps, "client", 5)?;
    steps.run("types", command(TYPES))?;
    steps.run("bundles", command(&format!("node wasm/build.mjs {PACKAGE}")))?;
    let manifest = fs::read_to_string(Path::new(PACKAGE).join("package.json"))?;
    let version = concat!("\"version\": \"", env!("CARGO_PKG_VERSION"), "\"");
    ensure!(manifest.contains(version), "wasm/npm/package.json must say {version}, as the workspace does");
    steps.run("size of the package", command(&format!("node wasm/sizes.mjs {PACKAGE}")))
}

/// Builds the module of an entry, which has the name of a feature of the crate.
fn module(steps: &mut Steps, entry: &'static str, inlining: u32) -> anyhow::Result<()> {
    let mut build = command(&format!("{BUILD} {TARGET} --no-default-features --features {entry}"));
    build.env("RUSTFLAGS", format!("{FLAGS}{inlining}"));
    steps.run(entry, build)?;
    fs::create_dir_all(PACKAGE).with_context(|| format!("{PACKAGE} cannot be made"))?;
    let mut optimize = command(OPTIMIZE);
    optimize.arg(target().join(TARGET).join("wasm/deniable_wasm.wasm"));
    optimize.arg("-o").arg(Path::new(PACKAGE).join(entry).with_extension("wasm"));
    steps.run("module", optimize)
}
