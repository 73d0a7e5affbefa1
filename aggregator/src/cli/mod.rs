//! The command line: one module per command, each with its arguments and its `run`.

mod audit;
mod beside;
mod check;
mod config;
mod counts;
mod decode;
mod demo;
mod figures;
mod generate;
mod init;
mod inspect;
mod lake;
mod map;
mod output;
mod parameters;
mod plot;
mod privacy;
mod progress;
mod quarantine;
mod ready;
mod replay;
mod reports;
mod selection;
mod serve;
mod store;
mod sum;
mod table;

use std::io::{self, Write};
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
    Demo(demo::Args),
    Init(init::InitArgs),
    Serve(serve::ServeArgs),
    Ready(ready::ReadyArgs),
    Check(check::CheckArgs),
    Gen(generate::GenArgs),
    Store(store::StoreArgs),
    Lake(lake::LakeArgs),
    Counts(counts::CountsArgs),
    Quarantine(quarantine::QuarantineArgs),
    Decode(decode::Args),
    Map(map::Args),
    Sum(sum::Args),
    Inspect(inspect::InspectArgs),
    Audit(audit::Args),
    Privacy(privacy::Args),
    Replay(replay::ReplayArgs),
}

/// Runs the command that the process was given. A failure is told on standard error, with its causes.
pub(crate) fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Serve(args) => serve::run(args),
        Command::Ready(args) => ready::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Gen(args) => generate::run(&args),
        Command::Store(args) => store::run(&args),
        Command::Lake(args) => lake::run(&args),
        Command::Counts(args) => counts::run(&args),
        Command::Quarantine(args) => quarantine::run(&args),
        Command::Decode(args) => decode::run(&args),
        Command::Map(args) => map::run(&args),
        Command::Sum(args) => sum::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Privacy(args) => privacy::run(&args),
        Command::Replay(args) => replay::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Who read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Without standard error there is nobody left to tell.
            let _ = writeln!(io::stderr(), "deniable: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(broken))
}
