//! `deniable store`: the care of a store that no collector is using.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use deniable_aggregator::store::{DiskStore, Store};

/// Checks a store, or makes it smaller. A collector that uses it must be stopped first.
#[derive(Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Subcommand)]
enum StoreCommand {
    /// Reads everything: every page against its checksum, every count against its bounds, every sum against its parts
    Verify(Place),
    /// Gives back the space that is free inside
    Compact(Place),
}

#[derive(Args)]
struct Place {
    /// Directory of the counts
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
}

pub(crate) fn run(args: &StoreArgs) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match &args.command {
        StoreCommand::Verify(Place { store: dir }) => {
            let verified = DiskStore::open(dir)?.verify()?;
            writeln!(
                out,
                "{} is sound: {} reports in {} rows, {} of them kept, {} more in the lake, {} batch ids",
                dir.display(),
                verified.reports,
                verified.rows,
                verified.kept,
                verified.moved,
                verified.batch_ids
            )?;
        }
        StoreCommand::Compact(Place { store: dir }) => {
            let mut store = DiskStore::open(dir)?;
            let before = store.size_bytes()?;
            store.compact()?;
            writeln!(out, "{}: {before} bytes before, {} now", dir.display(), store.size_bytes()?)?;
        }
    }
    Ok(())
}
