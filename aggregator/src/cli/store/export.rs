//! `deniable store export`: all counts, for other programs.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use deniable::MetricId;
use deniable_aggregator::store::{DiskStore, Place, Selection, Store, Sums, Tags};
use serde::Serialize;

use crate::cli::lake::{LakePlace, Opened};

/// Writes all counts: a row for each metric, version, epoch, source, public tags and cohort.
///
/// `source` is the name of the write key, `reports` how many there are, and `ones` in how many of them each bit was set.
/// In CSV `tags` are JSON, and `ones` are numbers with blanks between.
#[derive(Args)]
pub(super) struct ExportArgs {
    /// Directory of the counts
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    #[command(flatten)]
    place: LakePlace,
    /// How to write
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A header, then a line for each row
    Csv,
    /// A JSON object for each row, on a line of its own
    JsonLines,
}

#[derive(Serialize)]
struct Row<'a> {
    metric: &'a MetricId,
    version: u32,
    epoch: u32,
    source: &'a str,
    tags: &'a Tags,
    cohort: u16,
    reports: u64,
    ones: &'a [u64],
}

impl<'a> Row<'a> {
    fn of(metric: &'a MetricId, version: u32, place: &Place<'a>, sums: &Sums<'a>) -> Self {
        let Place { epoch, source, tags, cohort } = *place;
        let Sums { reports, ones } = *sums;
        Self { metric, version, epoch: epoch.0, source, tags, cohort, reports, ones }
    }
}

pub(super) fn run(args: &ExportArgs, out: impl Write) -> Result<()> {
    let Opened { store, _runtime } = args.place.open(&args.store)?;
    let mut out = BufWriter::new(out);
    match args.format {
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(&mut out);
            let header = ["metric", "version", "epoch", "source", "tags", "cohort", "reports", "ones"];
            csv.write_record(header).map_err(io::Error::from)?;
            each(&store, |row| {
                let ones: Vec<String> = row.ones.iter().map(ToString::to_string).collect();
                let Row { metric, version, epoch, source, tags, cohort, reports, .. } = row;
                let tags = tags.to_string();
                csv.serialize((metric, version, epoch, source, tags, cohort, reports, ones.join(" ")))
                    .map_err(io::Error::from)
            })?;
            csv.flush()?;
        }
        Format::JsonLines => each(&store, |row| {
            serde_json::to_writer(&mut out, &row).map_err(io::Error::from)?;
            writeln!(out)
        })?,
    }
    Ok(out.flush()?)
}

/// Writes every row, until one cannot be written.
fn each(store: &DiskStore, mut write: impl FnMut(Row<'_>) -> io::Result<()>) -> Result<()> {
    for (metric, version) in store.streams()?.into_keys() {
        let mut written = Ok(());
        store.each_row(&metric, version, &Selection::all(), &mut |place, sums| {
            if written.is_ok() {
                written = write(Row::of(&metric, version, place, sums));
            }
        })?;
        written?;
    }
    Ok(())
}
