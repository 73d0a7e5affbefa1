//! `deniable counts`: what a store holds.

use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use comfy_table::{Cell, CellAlignment, Table, presets};
use deniable::{Epoch, MetricId};
use deniable_aggregator::decode::Counts;
use deniable_aggregator::store::{Holding, Store};

/// Prints what a store holds: without --metric the list of its streams, with it the counts of one.
///
/// The counts as CSV have a row for each cohort and no header: the reports of the cohort, then for each bit the
/// reports in which it was set. `deniable decode --counts` reads them. A store that a collector is using cannot
/// be read; stop the collector first.
#[derive(Args)]
pub(crate) struct CountsArgs {
    /// Directory of the counts
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Metric to print the counts of
    #[arg(long, value_name = "NAME", value_parser = MetricId::new)]
    metric: Option<MetricId>,
    /// Version of the metric; may be left out if the store has only one
    #[arg(long, value_name = "N", requires = "metric")]
    version: Option<u32>,
    /// Epoch to count, or a range of them like 20000-20006; may be given several times. All if left out
    #[arg(long, value_name = "E", requires = "metric")]
    epoch: Vec<Epochs>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people; the counts of a metric are summed over bits
    Table,
    /// For spreadsheets and `deniable decode`
    Csv,
    /// For programs
    Json,
}

/// Epochs from one to another, both included.
#[derive(Clone, Debug)]
struct Epochs(RangeInclusive<Epoch>);

impl FromStr for Epochs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self(Epoch(first)..=Epoch(last))),
            _ => Err(
                "give a day as a number of days since 1970-01-01, or two with '-' between, the earlier first"
                    .to_owned(),
            ),
        }
    }
}

pub(crate) fn run(args: CountsArgs) -> anyhow::Result<()> {
    let store = Store::open(&args.store)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    match args.metric {
        None => print_holdings(&mut out, &store.holdings()?, args.format)?,
        Some(metric) => {
            let version = version_of(&store, &metric, args.version)?;
            let counts = sum(&store, &metric, version, args.epoch)?;
            print_counts(&mut out, &counts, args.format)?;
        }
    }
    Ok(out.flush()?)
}

fn version_of(store: &Store, metric: &MetricId, chosen: Option<u32>) -> anyhow::Result<u32> {
    if let Some(version) = chosen {
        return Ok(version);
    }
    let streams = store.streams()?;
    let versions: Vec<u32> = streams.into_keys().filter(|key| key.0 == *metric).map(|key| key.1).collect();
    match versions[..] {
        [version] => Ok(version),
        [] => bail!("the store has no metric {metric}: without --metric its streams are listed"),
        _ => bail!("the store has metric {metric} in versions {versions:?}: choose one with --version"),
    }
}

fn sum(store: &Store, metric: &MetricId, version: u32, epochs: Vec<Epochs>) -> anyhow::Result<Counts> {
    let mut total: Option<Counts> = None;
    for epochs in disjoint(epochs) {
        let counts = store.counts(metric, version, epochs)?;
        match &mut total {
            Some(total) => total.merge(&counts)?,
            None => total = Some(counts),
        }
    }
    total.context("no epoch was chosen")
}

/// The same epochs, each in one range only; all epochs if there are none.
fn disjoint(mut epochs: Vec<Epochs>) -> Vec<RangeInclusive<Epoch>> {
    if epochs.is_empty() {
        return vec![Epoch(0)..=Epoch(u32::MAX)];
    }
    epochs.sort_by_key(|range| *range.0.start());
    let mut ranges = Vec::<RangeInclusive<Epoch>>::new();
    for Epochs(range) in epochs {
        match ranges.last_mut().filter(|last| range.start() <= last.end()) {
            Some(last) => *last = *last.start()..=*last.end().max(range.end()),
            None => ranges.push(range),
        }
    }
    ranges
}

fn print_holdings(out: &mut impl Write, holdings: &[Holding], format: Format) -> anyhow::Result<()> {
    const HEADER: [&str; 4] = ["metric", "version", "epoch", "reports"];
    let cells = |h: &Holding| {
        [h.metric.to_string(), h.version.to_string(), h.epoch.to_string(), h.reports.to_string()]
    };
    match format {
        Format::Table => print_table(out, &HEADER, holdings.iter().map(cells))?,
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(out);
            csv.write_record(HEADER).map_err(io::Error::from)?;
            for holding in holdings {
                csv.write_record(cells(holding)).map_err(io::Error::from)?;
            }
            csv.flush()?;
        }
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, holdings).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn print_counts(out: &mut impl Write, counts: &Counts, format: Format) -> anyhow::Result<()> {
    let rows = (0..counts.cohorts()).map(|cohort| (counts.reports()[cohort], counts.ones(cohort)));
    match format {
        Format::Table => {
            let cells = rows.enumerate().map(|(cohort, (reports, ones))| {
                [cohort.to_string(), reports.to_string(), ones.iter().sum::<u64>().to_string()]
            });
            print_table(out, &["cohort", "reports", "bits set"], cells)?;
        }
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(out);
            for (reports, ones) in rows {
                csv.serialize((reports, ones)).map_err(io::Error::from)?;
            }
            csv.flush()?;
        }
        Format::Json => {
            let rows: Vec<_> =
                rows.map(|(reports, ones)| serde_json::json!({ "reports": reports, "ones": ones })).collect();
            serde_json::to_writer(&mut *out, &rows).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

/// Prints a table whose first column is text or a place and whose others are numbers.
fn print_table<const N: usize>(
    out: &mut impl Write,
    header: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    for row in rows {
        let align = |column| if column == 0 { CellAlignment::Left } else { CellAlignment::Right };
        let cells = row.into_iter().enumerate();
        table.add_row(cells.map(|(column, text)| Cell::new(text).set_alignment(align(column))));
    }
    writeln!(out, "{table}")
}
