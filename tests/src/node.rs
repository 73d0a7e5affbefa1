//! Runs scripts in Node, against the npm package as it was built.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file or folder, from the workspace's folder.
pub fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(relative)
}

/// The folder of the built package.
///
/// # Panics
/// If it was not built, saying how to build it.
pub fn package() -> PathBuf {
    let package = path("wasm/pkg");
    assert!(
        package.join("encoder.wasm").exists(),
        "the npm package is not built; build it with `cargo xtask wasm`"
    );
    package
}

/// Runs Node with these arguments and returns what it prints.
///
/// # Panics
/// If Node cannot be run or fails, with what it said.
pub fn node<'a>(arguments: impl IntoIterator<Item = &'a Path>) -> String {
    run(Command::new("node").args(arguments))
}

/// Runs a command and returns what it prints.
///
/// # Panics
/// If it cannot be run or fails, with what it said.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed:\n{out}{err}");
    out.into_owned()
}
