//! The project's chores, as `cargo xtask NAME`.
//!
//! Nothing but rustup, Node and npm is taken for granted: what else is needed is fetched once, into `target/tools`
//! and `wasm/node_modules`.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program speaks to a terminal")]

mod ci;
mod package;
mod setup;
mod step;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::step::Steps;

const HELP: &str = "\
cargo xtask ci        every check: format, lints, documentation, no_std, WASM, tests
cargo xtask wasm      builds the npm package in wasm/pkg and prints its size
cargo xtask vectors   rewrites tests/data/encoder_vectors.json from the native encoder
cargo xtask help      this text";

fn main() -> ExitCode {
    match run(std::env::args().nth(1).as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Option<&str>) -> anyhow::Result<()> {
    std::env::set_current_dir(root()).context("the workspace's folder cannot be entered")?;
    let mut steps = Steps::default();
    match chore {
        Some("ci") => ci::run(&mut steps),
        Some("wasm") => {
            setup::wasm(&mut steps)?;
            package::build(&mut steps)
        }
        Some("vectors") => ci::write_vectors(),
        None | Some("help" | "--help" | "-h") => {
            println!("{HELP}");
            Ok(())
        }
        Some(other) => bail!("there is no chore {other:?}; there are:\n{HELP}"),
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask lies in the workspace's folder").to_owned()
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
