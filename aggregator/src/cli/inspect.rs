//! `deniable inspect`: a batch, for people.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use deniable::{Batch, MAX_BATCH_BYTES};

/// Prints a batch file as JSON: its key and id, and of each section the metric version, the epoch, the registry, the places
/// of its public tags, and the reports, bit 0 first.
#[derive(Args)]
pub(crate) struct InspectArgs {
    /// File with the bytes of one batch, as they are sent to a collector
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let name = args.file.display();
    let mut body = Vec::new();
    File::open(&args.file)
        .and_then(|file| file.take(MAX_BATCH_BYTES as u64 + 1).read_to_end(&mut body))
        .with_context(|| format!("cannot read {name}: check the path and its permissions"))?;
    let batch = Batch::parse(&body).with_context(|| format!("{name} holds no batch"))?;
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &batch).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}
