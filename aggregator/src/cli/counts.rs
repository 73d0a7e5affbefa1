//! `deniable counts`: what a store holds.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use deniable::MetricId;
use deniable_aggregator::decode::Counts;
use deniable_aggregator::guard::{Held, Survey, held};
use deniable_aggregator::store::{DiskStore, Holding, Store};
use serde::Serialize;

use super::beside;
use super::selection::Chosen;
use super::table::table;

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
    #[command(flatten)]
    chosen: Chosen,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// For people; the counts of a metric are summed over bits
    Table,
    /// For spreadsheets and `deniable decode`
    Csv,
    /// For programs
    Json,
}

pub(crate) fn run(args: &CountsArgs) -> anyhow::Result<()> {
    let store = DiskStore::open(&args.store)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    match &args.metric {
        None => print_holdings(&mut out, &store, args.format)?,
        Some(metric) => {
            let (_, counts) = args.chosen.sum(&store, metric)?;
            let survey = args.chosen.survey(&store, metric)?;
            print_surveyed(&mut out, &counts, &survey, args.format)?;
        }
    }
    Ok(out.flush()?)
}

fn print_holdings(out: &mut impl Write, store: &dyn Store, format: Format) -> anyhow::Result<()> {
    const HEADER: [&str; 5] = ["metric", "version", "epoch", "reports", "left out"];
    let holdings = held(store)?;
    let cells = |Held { holding, left_out }: &Held| {
        let Holding { metric, version, epoch, reports } = holding;
        [
            metric.to_string(),
            version.to_string(),
            epoch.to_string(),
            reports.to_string(),
            left_out.to_string(),
        ]
    };
    match format {
        Format::Table => print_table(out, &HEADER, holdings.iter().map(cells))?,
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(out);
            csv.write_record(HEADER).map_err(io::Error::from)?;
            for holding in &holdings {
                csv.write_record(cells(holding)).map_err(io::Error::from)?;
            }
            csv.flush()?;
        }
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &holdings).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

/// Prints counts with what stands beside them; where counts are all that fits, the rest goes to standard error.
fn print_surveyed(
    out: &mut impl Write,
    counts: &Counts,
    survey: &Survey,
    format: Format,
) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Surveyed<'a> {
        cohorts: Vec<serde_json::Value>,
        #[serde(flatten)]
        beside: &'a Survey,
    }
    match format {
        Format::Table => {
            print_counts(out, counts, format)?;
            beside::write(survey, out)?;
        }
        Format::Csv => {
            print_counts(out, counts, format)?;
            beside::write(survey, &mut io::stderr())?;
        }
        Format::Json => {
            serde_json::to_writer(&mut *out, &Surveyed { cohorts: rows(counts), beside: survey })
                .map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

/// The cohorts as they are in JSON.
fn rows(counts: &Counts) -> Vec<serde_json::Value> {
    let row =
        |cohort| serde_json::json!({ "reports": counts.reports()[cohort], "ones": counts.ones(cohort) });
    (0..counts.cohorts()).map(row).collect()
}

pub(super) fn print_counts(out: &mut impl Write, counts: &Counts, format: Format) -> anyhow::Result<()> {
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
            serde_json::to_writer(&mut *out, &self::rows(counts)).map_err(io::Error::from)?;
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
    let mut table = table(header.iter().copied(), 1..);
    rows.for_each(|row| {
        table.add_row(row);
    });
    writeln!(out, "{table}")
}
