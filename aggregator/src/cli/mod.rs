//! The command line: one module per command, each with its arguments and its `run`.

mod decode;

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
enum Command {
    Decode(decode::Args),
}

/// Runs the command that the process was given. A failure is told on standard error, with its causes.
pub(crate) fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Decode(args) => decode::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

#[allow(clippy::print_stderr, reason = "a command's failure is told here and nowhere else")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("deniable: {error:#}");
    ExitCode::FAILURE
}
