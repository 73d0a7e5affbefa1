//! `deniable privacy`: what parameters cost, and what they give for it.

use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use deniable::rappor::{Client, Profile, Settings};
use deniable::{Answers, Encoding, Epsilon, MetricId, Params, Response};
use deniable_aggregator::amplify::Shuffle;
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::rappor_files;
use serde::Serialize;

use super::parameters;
use super::table::table;

/// Show what parameters cost: the privacy loss, and how far their accuracy is from the best that it could buy.
///
/// Parameters of google/rappor are also shown as each of its clients really draws them, with the true loss, for its
/// clients round f, p and q, each in its own way; what a client would do wrong in silence is refused.
///
/// ε₁ is the loss of one report, ε∞ that of all reports of one value, for ever. "variance" is that of a rare value's
/// share over the least that any mechanism has at this ε₁: so many times the devices are needed for an equal error.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["params", "metrics"]))]
pub(crate) struct Args {
    /// Parameters: google/rappor's params.csv, or ours as .toml or .json
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// File of metrics
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Metric to show, in all its versions; every metric if left out
    #[arg(long, value_name = "NAME", value_parser = MetricId::new, requires = "metrics", conflicts_with = "params")]
    metric: Option<MetricId>,
    /// Also show what one report costs after shuffling, one from each of N devices. N counts the smallest group of
    /// reports that share their cohort, epoch and every other clear tag
    #[arg(long, value_name = "N", requires = "delta")]
    shuffled: Option<NonZeroU64>,
    /// The δ of the loss after shuffling, well below 1/N
    #[arg(long, value_name = "D", requires = "shuffled")]
    delta: Option<f64>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs; null where there is no bound or no such stage
    Json,
    /// For spreadsheets; empty where there is no bound or no such stage
    Csv,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let crowd = args.shuffled.zip(args.delta);
    let rows = match (&args.params, &args.metrics) {
        (Some(file), _) if file.extension().is_some_and(|extension| extension == "csv") => {
            clients(&rappor_files::read_settings(file)?, crowd)?
        }
        (Some(file), _) => vec![Row::new(file.display().to_string(), &parameters::read(file)?.0, crowd)?],
        (None, Some(file)) => metrics(file, args.metric.as_ref(), crowd)?,
        (None, None) => unreachable!("clap requires one of the two sources"),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    match args.format {
        Format::Table => write_table(&rows, crowd, &mut out)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &rows).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(&mut out);
            rows.iter().try_for_each(|row| csv.serialize(row)).map_err(io::Error::from)?;
            csv.flush()?;
        }
    }
    Ok(out.flush()?)
}

/// How many devices are shuffled, and with which δ.
type Crowd = Option<(NonZeroU64, f64)>;

fn metrics(file: &Path, metric: Option<&MetricId>, crowd: Crowd) -> Result<Vec<Row>> {
    let catalog = Catalog::load(file)?;
    let mut rows = Vec::new();
    for definition in catalog.definitions() {
        let stream = definition.stream();
        if metric.is_none_or(|metric| metric == stream.metric()) {
            let name = format!("{} v{}", stream.metric(), stream.version());
            rows.push(Row::new(name, definition.params(), crowd)?);
        }
    }
    ensure!(!rows.is_empty(), "{} defines no such metric: check the name", file.display());
    Ok(rows)
}

/// The parameters as they are stated, and as each client of google/rappor draws them.
fn clients(settings: &Settings, crowd: Crowd) -> Result<Vec<Row>> {
    let stated = match settings.params() {
        Ok(params) => Row::new("as stated", &params, crowd)?.drawn(settings.f, settings.p, settings.q),
        Err(error) => Row::refused("as stated", &error),
    };
    let client = |client: Client| match Profile::new(client, settings) {
        Ok(profile) => Ok(Row::new(client.to_string(), profile.params(), crowd)?.drawn(
            profile.f(),
            profile.p(),
            profile.q(),
        )),
        Err(error) => Ok(Row::refused(client.to_string(), &error)),
    };
    [Ok(stated)].into_iter().chain(Client::ALL.map(client)).collect()
}

/// What is printed of one set of parameters, or why it is refused.
#[derive(Default, Serialize)]
struct Row {
    parameters: String,
    refused: Option<String>,
    encoding: Option<Encoding>,
    bits: Option<usize>,
    hashes: Option<usize>,
    cohorts: Option<usize>,
    f: Option<f64>,
    p: Option<f64>,
    q: Option<f64>,
    permanent_zero: Option<f64>,
    permanent_one: Option<f64>,
    instantaneous_zero: Option<f64>,
    instantaneous_one: Option<f64>,
    reported_zero: Option<f64>,
    reported_one: Option<f64>,
    epsilon_one: Option<Epsilon>,
    epsilon_infinity: Option<Epsilon>,
    variance_over_optimum: Option<f64>,
    shuffled_epsilon: Option<f64>,
}

impl Row {
    fn new(parameters: impl Into<String>, params: &Params, crowd: Crowd) -> Result<Self> {
        let sides = |stage: Option<Response>| {
            stage.map(|stage| (stage.zero().as_f64(), stage.one().as_f64())).unzip()
        };
        let (permanent_zero, permanent_one) = sides(params.permanent());
        let (instantaneous_zero, instantaneous_one) = sides(params.instantaneous());
        let shuffled = |(reports, delta)| Shuffle::of(params).epsilon(reports, delta);
        Ok(Self {
            parameters: parameters.into(),
            encoding: Some(params.encoding()),
            bits: Some(params.bits()),
            hashes: Some(params.hashes()),
            cohorts: Some(params.cohorts()),
            permanent_zero,
            permanent_one,
            instantaneous_zero,
            instantaneous_one,
            reported_zero: Some(params.channel().zero()),
            reported_one: Some(params.channel().one()),
            epsilon_one: Some(params.epsilon_one()),
            epsilon_infinity: Some(params.epsilon_infinity()),
            variance_over_optimum: params.excess_variance(answers(params)),
            shuffled_epsilon: crowd.map(shuffled).transpose()?,
            ..Self::default()
        })
    }

    /// With the classic f, p and q, as they are drawn.
    fn drawn(self, f: f64, p: f64, q: f64) -> Self {
        Self { f: Some(f), p: Some(p), q: Some(q), ..self }
    }

    fn refused(parameters: impl Into<String>, why: &dyn std::error::Error) -> Self {
        Self { parameters: parameters.into(), refused: Some(why.to_string()), ..Self::default() }
    }
}

/// What the parameters alone say of the answers.
fn answers(params: &Params) -> Answers {
    match (params.encoding(), params.hashes()) {
        (Encoding::Bloom, _) => Answers::Open,
        (Encoding::Unary, names @ 2..) => Answers::Set(names),
        (Encoding::Unary | Encoding::Direct, _) => Answers::Closed(params.bits().max(2)),
    }
}

fn write_table(rows: &[Row], crowd: Crowd, out: &mut dyn Write) -> Result<()> {
    let classic = rows.iter().any(|row| row.f.is_some());
    let mut header = vec!["", "encoding", "k", "h", "m"];
    header.extend(if classic { &["f", "p", "q"][..] } else { &["permanent", "instantaneous"] });
    header.extend(["p*", "q*", "ε₁", "ε∞", "variance"]);
    header.extend(crowd.map(|_| "shuffled"));
    let mut table = table(header, 2..);
    for row in rows.iter().filter(|row| row.refused.is_none()) {
        let mut cells = vec![row.parameters.clone(), text(row.encoding)];
        cells.extend([row.bits, row.hashes, row.cohorts].map(text));
        if classic {
            cells.extend([row.f, row.p, row.q].map(probability));
        } else {
            cells.push(stage(row.permanent_zero, row.permanent_one));
            cells.push(stage(row.instantaneous_zero, row.instantaneous_one));
        }
        cells.extend([row.reported_zero, row.reported_one].map(probability));
        cells.extend([row.epsilon_one, row.epsilon_infinity].map(text));
        cells.push(row.variance_over_optimum.map_or_else(String::new, |ratio| format!("× {ratio:.2}")));
        cells.extend(row.shuffled_epsilon.map(|epsilon| format!("{:.5}", up(epsilon, 1e5))));
        table.add_row(cells);
    }
    writeln!(out, "{table}")?;
    if let Some((reports, delta)) = crowd {
        writeln!(
            out,
            "shuffled: the ε of one report among {reports} that agree in cohort, epoch and every clear tag, at δ = {delta:e}"
        )?;
    }
    for (row, why) in rows.iter().filter_map(|row| row.refused.as_ref().map(|why| (row, why))) {
        writeln!(out, "{}: refused, {why}", row.parameters)?;
    }
    Ok(())
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn probability(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.6}"))
}

fn stage(zero: Option<f64>, one: Option<f64>) -> String {
    if zero.is_none() { "none".to_owned() } else { format!("{}, {}", probability(zero), probability(one)) }
}

/// `value` rounded up to one of `steps` parts.
fn up(value: f64, steps: f64) -> f64 {
    (value * steps).ceil() / steps
}
