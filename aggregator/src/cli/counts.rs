//! `deniable counts`: what a store holds.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use deniable::MetricId;
use deniable_aggregator::decode::Counts;
use deniable_aggregator::store::Holding;
use deniable_aggregator::survey::{Held, Survey, held};
use serde::Serialize;

use super::beside;
use super::lake::{LakePlace, Opened};
use super::selection::{Chosen, Found, Part};
use super::table::table;

/// Prints what a store and its lake hold: without --metric the list of its streams, with it the counts of one.
///
/// The counts as CSV have a row for each cohort and no header: the reports of the cohort, then for each bit the
/// reports in which it was set. `deniable decode --counts` reads them. With --by each row begins with the label, which is
/// empty for reports without that tag. Beside the counts stand the alarms of the guards and what `deniable quarantine` leaves
/// out of them, on standard error if they are CSV. A store that a collector is using cannot be read; stop the collector first.
#[derive(Args)]
pub(crate) struct CountsArgs {
    /// Directory of the counts
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    #[command(flatten)]
    place: LakePlace,
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
    let Opened { store, _runtime } = args.place.open(&args.store)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    match &args.metric {
        None => {
            let held = held(&store, &args.chosen.anywhere(&store)?)?;
            print_holdings(&mut out, &held, args.format)?;
        }
        Some(metric) => print_found(&mut out, &args.chosen.find(&store, metric)?, args.format)?,
    }
    Ok(out.flush()?)
}

fn print_holdings(out: &mut impl Write, holdings: &[Held], format: Format) -> anyhow::Result<()> {
    const HEADER: [&str; 5] = ["metric", "version", "epoch", "reports", "left out"];
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

/// Counts with what stands beside them.
#[derive(Serialize)]
struct Surveyed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cohorts: Option<Vec<Cohort<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<Labelled<'a>>,
    #[serde(flatten)]
    beside: &'a Survey,
}

impl<'a> Surveyed<'a> {
    fn new(Found { parts, survey, .. }: &'a Found) -> Self {
        let (whole, split): (Vec<_>, Vec<_>) = parts.iter().partition(|part| part.label.is_none());
        let labelled =
            |part: &'a Part| Labelled { label: part.label(), cohorts: rows(&part.counts).collect() };
        Self {
            cohorts: whole.first().map(|part| rows(&part.counts).collect()),
            labels: split.into_iter().map(labelled).collect(),
            beside: survey,
        }
    }
}

fn rows(counts: &Counts) -> impl Iterator<Item = Cohort<'_>> {
    (0..counts.cohorts()).map(|i| Cohort { reports: counts.reports()[i], ones: counts.ones(i) })
}

/// Prints the counts of each part, and what stands beside them; where counts are all that fits, on standard error.
fn print_found(out: &mut impl Write, found: &Found, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => {
            for part in &found.parts {
                part.heading().map_or(Ok(()), |heading| writeln!(out, "{heading}"))?;
                print_counts(out, &part.counts, format)?;
            }
            beside::write(&found.survey, out)?;
        }
        Format::Csv => {
            found.parts.iter().try_for_each(|part| print_csv(out, part))?;
            beside::write(&found.survey, &mut io::stderr())?;
        }
        Format::Json => {
            serde_json::to_writer(&mut *out, &Surveyed::new(found)).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn print_csv(out: &mut impl Write, part: &Part) -> anyhow::Result<()> {
    if part.label.is_none() {
        return print_counts(out, &part.counts, Format::Csv);
    }
    let mut csv = csv::Writer::from_writer(out);
    for Cohort { reports, ones } in rows(&part.counts) {
        csv.serialize((part.label(), reports, ones)).map_err(io::Error::from)?;
    }
    Ok(csv.flush()?)
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
