//! `deniable gen`: typed wrappers of a registry's events.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::generate::{rust, typescript};

/// Write typed wrappers of a registry's events, with which a wrong name, label or type does not compile.
///
/// The file begins with the registry's hash and is the same whenever it is made. Whatever a program was built with, the device
/// counts what its registry does not declare, and drops it.
#[derive(clap::Args)]
pub(crate) struct GenArgs {
    /// File of metrics
    #[arg(value_name = "FILE")]
    metrics: PathBuf,
    /// Language of the wrappers
    #[arg(long, value_enum)]
    lang: Lang,
    /// File to write, in place of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Lang {
    /// A module over the npm package's `track`
    Ts,
    /// A module over the crate's `track`
    Rust,
}

pub(crate) fn run(args: &GenArgs) -> Result<()> {
    let catalog = Catalog::load(&args.metrics)?;
    let (declared, hash) = (catalog.declared(), catalog.registry().hash());
    let text = match args.lang {
        Lang::Ts => typescript(declared, hash),
        Lang::Rust => rust(declared, hash),
    };
    let mut out = io::stdout().lock();
    match &args.out {
        Some(path) => {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
            let events = declared.events.len();
            writeln!(out, "{}: wrappers of {events} events of registry {hash}", path.display())?;
        }
        None => out.write_all(text.as_bytes())?,
    }
    Ok(())
}
