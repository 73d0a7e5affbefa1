//! `deniable counts`: what a store holds.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use deniable::MetricId;
use deniable_aggregator::decode::Counts;
use deniable_aggregator::store::{DiskStore, Holding, Store};
use serde::Serialize;

use super::selection::{Chosen, Part};
use super::table::table;

/// Prints what a store holds: without --metric the list of its streams, with it the counts of one.
///
/// The counts as CSV have a row for each cohort and no header: the reports of the cohort, then for each bit the
/// reports in which it was set. `deniable decode --counts` reads them. With --by each row begins with the label, which is
/// empty for reports without that tag. A store that a collector is using cannot be read; stop the collector first.
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
        None => print_holdings(&mut out, &store.holdings(&args.chosen.anywhere(&store)?)?, args.format)?,
        Some(metric) => print_parts(&mut out, &args.chosen.find(&store, metric)?.parts, args.format)?,
    }
    Ok(out.flush()?)
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

/// The counts of a label, as programs read them.
#[derive(Serialize)]
struct Labelled<'a> {
    label: Option<&'a str>,
    cohorts: Vec<Cohort<'a>>,
}

#[derive(Serialize)]
struct Cohort<'a> {
    reports: u64,
    ones: &'a [u64],
}

fn rows(counts: &Counts) -> impl Iterator<Item = Cohort<'_>> {
    (0..counts.cohorts()).map(|i| Cohort { reports: counts.reports()[i], ones: counts.ones(i) })
}

/// Prints the counts of each part under its label, or without one if there is only one part of all.
fn print_parts(out: &mut impl Write, parts: &[Part], format: Format) -> anyhow::Result<()> {
    if let [Part { label: None, counts }] = parts {
        return print_counts(out, counts, format);
    }
    match format {
        Format::Table => {
            for part in parts {
                writeln!(out, "{}", part.heading().unwrap_or_default())?;
                print_counts(out, &part.counts, format)?;
            }
        }
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(out);
            for part in parts {
                for Cohort { reports, ones } in rows(&part.counts) {
                    csv.serialize((part.label(), reports, ones)).map_err(io::Error::from)?;
                }
            }
            csv.flush()?;
        }
        Format::Json => {
            let all = parts
                .iter()
                .map(|part| Labelled { label: part.label(), cohorts: rows(&part.counts).collect() });
            serde_json::to_writer(&mut *out, &all.collect::<Vec<_>>()).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

pub(super) fn print_counts(out: &mut impl Write, counts: &Counts, format: Format) -> anyhow::Result<()> {
    let rows = rows(counts);
    match format {
        Format::Table => {
            let cells = rows.enumerate().map(|(cohort, Cohort { reports, ones })| {
                [cohort.to_string(), reports.to_string(), ones.iter().sum::<u64>().to_string()]
            });
            print_table(out, &["cohort", "reports", "bits set"], cells)?;
        }
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(out);
            for Cohort { reports, ones } in rows {
                csv.serialize((reports, ones)).map_err(io::Error::from)?;
            }
            csv.flush()?;
        }
        Format::Json => {
            serde_json::to_writer(&mut *out, &rows.collect::<Vec<_>>()).map_err(io::Error::from)?;
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
