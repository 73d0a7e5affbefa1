//! The checks that must pass before a commit. The tests come last, so that their own lines close the output.

use crate::step::{self, Steps, command};
use crate::{package, setup};

/// A target that has no standard library, so that what builds for it uses none.
pub(crate) const NO_STD: &str = "thumbv7em-none-eabi";

const LINTS: &str = "cargo clippy --workspace --all-targets --all-features -- -D warnings";
const DOCS: &str = "cargo doc --workspace --all-features --no-deps";
const SDK: &str = "cargo build --package deniable --no-default-features --features rappor-compat --target";
/// Reads the Dockerfile where no engine runs that would.
const DOCKERFILE: &str = "npx --yes dockerfile-utils@0.16.3 lint aggregator/deploy/Dockerfile";
const VECTORS: &str = "cargo test --package deniable-tests --test wasm_parity -- --ignored write_the_vectors";

/// Runs every check.
pub(crate) fn run(steps: &mut Steps) -> anyhow::Result<()> {
    setup::toolchain(steps)?;
    setup::wasm(steps)?;
    steps.run("format", command("cargo fmt --all --check"))?;
    steps.run("lints", command(LINTS))?;
    let mut docs = command(DOCS);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    steps.run("documentation", docs)?;
    steps.run("sdk without std", command(&format!("{SDK} {NO_STD}")))?;
    steps.run("sdk for wasm32", command(&format!("{SDK} {}", package::TARGET)))?;
    package::build(steps)?;
    steps.run("Dockerfile", command(DOCKERFILE))?;
    println!("\n{steps}");
    step::run_tests(command("cargo test --workspace --no-fail-fast"))
}

/// Rewrites the golden vectors of the encoder.
pub(crate) fn write_vectors() -> anyhow::Result<()> {
    step::run("vectors", command(VECTORS))
}
