//! `deniable store`: the care of a store.

mod backup;
mod export;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use deniable_aggregator::store::{DiskStore, Store, Verified};

/// Checks a store, makes it smaller, copies and restores it, or writes out what it counts.
///
/// One process at a time can use a store, so a collector that has it must be stopped first. Only a backup can be had from
/// a collector that runs.
#[derive(Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Subcommand)]
enum StoreCommand {
    /// Reads everything: every page against its checksum, every count against its bounds, every sum against its parts
    Verify(Place),
    /// Writes the store anew, as small as it can be and without what is no longer counted in it: earlier sums, forgotten ids.
    /// It needs the space of both. The disk, file system and backups may keep what the old file held
    Compact(Place),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Export(export::ExportArgs),
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
            tell_sound(&mut out, dir, &DiskStore::open(dir)?.verify()?)?;
        }
        StoreCommand::Compact(Place { store: dir }) => {
            let mut store = DiskStore::open(dir)?;
            let before = store.size_bytes()?;
            store.compact()?;
            writeln!(out, "{}: {before} bytes before, {} now", dir.display(), store.size_bytes()?)?;
        }
        StoreCommand::Backup(args) => backup::run(args, &mut out)?,
        StoreCommand::Restore(args) => backup::restore(args, &mut out)?,
        StoreCommand::Export(args) => export::run(args, out)?,
    }
    Ok(())
}

fn tell_sound(out: &mut impl Write, place: &Path, verified: &Verified) -> io::Result<()> {
    let Verified { reports, rows, kept, moved, batch_ids } = verified;
    writeln!(
        out,
        "{} is sound: {reports} reports in {rows} rows, {kept} of them kept, {moved} more in the lake, {batch_ids} batch ids",
        place.display()
    )
}
