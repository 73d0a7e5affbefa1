//! The command line: one module per command, each with its arguments and its `run`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Private product analytics: collect randomized reports, decode population figures.
#[derive(Parser)]
#[command(name = "deniable", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {}

/// Runs the command that the process was given. A failure is told on standard error, with its causes.
pub(crate) fn run() -> ExitCode {
    match Cli::parse().command {}
}
