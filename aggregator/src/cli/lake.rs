//! `deniable lake`: closed epochs as files of Parquet.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use deniable_aggregator::lake::{Kind, Lake, check, compact};
use deniable_aggregator::store::DiskStore;
use tokio::runtime::{Builder, Runtime};

use super::table::table;

/// Moves closed epochs out of a store into files of Parquet, lists them, and checks them.
///
/// The lake is a folder, or s3://BUCKET/PREFIX with the settings of the environment: AWS_ACCESS_KEY_ID,
/// AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT and the like. The store remembers where its lake is, and every command
/// that reads the store reads what was moved, too. `deniable serve --lake` moves epochs by itself; a collector that uses the
/// store must be stopped first for the commands here.
#[derive(Args)]
pub(crate) struct LakeArgs {
    #[command(subcommand)]
    command: LakeCommand,
}

#[derive(Subcommand)]
enum LakeCommand {
    /// Moves every closed epoch that is not moved yet, and first those that a crash has left half-way
    Compact(Of),
    /// Lists what was moved
    List(Of),
    /// Reads every file that was moved, and compares it with what was written
    Verify(Of),
}

#[derive(Args)]
struct Of {
    /// Directory of the counts
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    #[command(flatten)]
    place: LakePlace,
}

/// Where the lake is.
#[derive(Args)]
pub(crate) struct LakePlace {
    /// Lake of the store: a folder or s3://BUCKET/PREFIX. Where epochs were moved to last, if left out
    #[arg(long, value_name = "PLACE", requires = "store")]
    lake: Option<String>,
}

/// A store with its lake, if it has one.
pub(crate) struct Opened {
    pub(crate) store: DiskStore,
    /// What the lake's requests run on; it is kept as long as the store.
    pub(crate) _runtime: Option<Runtime>,
}

impl LakePlace {
    /// Opens the store in `dir` with its lake.
    pub(crate) fn open(&self, dir: &Path) -> Result<Opened> {
        self.open_as(dir, Lake::open)
    }

    fn open_as(
        &self,
        dir: &Path,
        find: impl FnOnce(&str, tokio::runtime::Handle) -> Result<Lake, deniable_aggregator::lake::LakeError>,
    ) -> Result<Opened> {
        let store = DiskStore::open(dir)?;
        let place = match &self.lake {
            Some(place) => Some(place.clone()),
            None => store.lake_place()?,
        };
        let Some(place) = place else { return Ok(Opened { store, _runtime: None }) };
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.context("the system gave no threads")?;
        let lake = find(&place, runtime.handle().clone())?;
        Ok(Opened { store: store.with_lake(lake), _runtime: Some(runtime) })
    }
}

pub(crate) fn run(args: &LakeArgs) -> Result<()> {
    let mut out = io::stdout().lock();
    match &args.command {
        LakeCommand::Compact(Of { store, place }) => {
            let Opened { store, _runtime } = place.open_as(store, Lake::create)?;
            let lake =
                store.lake().context("the store has no lake yet: say where it should be with --lake")?;
            let compacted = compact(&store, lake)?;
            writeln!(
                out,
                "{}: moved {} epochs with {} reports",
                lake.url(),
                compacted.epochs,
                compacted.reports
            )?;
        }
        LakeCommand::List(Of { store, place }) => list(&mut out, &place.open(store)?.store)?,
        LakeCommand::Verify(Of { store, place }) => {
            let Opened { store, _runtime } = place.open(store)?;
            // As after a first compaction that found every epoch open.
            let Some(lake) = store.lake() else { return Ok(writeln!(out, "nothing was moved to a lake")?) };
            let checked = check(&store, lake)?;
            writeln!(
                out,
                "{} is sound: {} epochs with {} reports, {} of them kept",
                lake.url(),
                checked.epochs,
                checked.reports,
                checked.kept
            )?;
        }
    }
    Ok(())
}

fn list(out: &mut impl Write, store: &DiskStore) -> Result<()> {
    let mut table = table(["metric", "version", "epoch", "reports", "kept", "state"], 1..5);
    for (partition, entry) in store.moves()? {
        let kept = entry.content(Kind::Reports).map_or(0, deniable_aggregator::lake::Content::reports);
        table.add_row([
            partition.metric.to_string(),
            partition.version.to_string(),
            partition.epoch.to_string(),
            entry.counts.reports().to_string(),
            kept.to_string(),
            if entry.is_moved() { "moved" } else { "moving" }.to_owned(),
        ]);
    }
    Ok(writeln!(out, "{table}")?)
}
