//! How figures are judged and shown: table, JSON, CSV, picture.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;
use deniable::Params;
use deniable_aggregator::decode::{Correction, Decoded, Figure, Joint, Method, Options, Share};
use deniable_aggregator::survey::Survey;
use serde::Serialize;

use super::selection::Part;
use super::table::table;
use super::{beside, plot};

/// How a decode is judged and shown, whatever its source.
#[derive(clap::Args)]
pub(crate) struct Presentation {
    /// The significance level of "detected"
    #[arg(long, default_value_t = 0.05)]
    alpha: f64,
    /// What the level means over many candidates
    #[arg(long, value_enum, default_value_t = Correct::Bonferroni)]
    correction: Correct,
    /// How the candidates that are fitted together are chosen
    #[arg(long, value_enum, default_value_t = Choose::Auto)]
    method: Choose,
    /// How to print the figures
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Show every candidate in the table, not only the detected ones
    #[arg(long)]
    all: bool,
    /// Draw the first shares with their intervals to a file that ends in .svg or .png
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Add the covariances of the detected candidates to the JSON
    #[arg(long)]
    joint: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Correct {
    /// The chance of any false detection
    Bonferroni,
    /// The same chance, by steps, with a little more power
    Holm,
    /// The expected part of false detections among the detected
    BenjaminiHochberg,
}

#[derive(Clone, Copy, ValueEnum)]
enum Choose {
    /// All where there are equations enough, else screen
    Auto,
    /// Fit all candidates at once
    All,
    /// Let in what stands out, in rounds
    Screen,
    /// Those with a positive share in a non-negative fit
    Nonnegative,
    /// Those on the LASSO path
    Lasso,
    /// By the likelihood of whole reports: needs --reports, or a store that keeps them
    Likelihood,
}

impl Presentation {
    /// Whether whole reports are to be decoded by their likelihood.
    pub(crate) fn likelihood(&self) -> bool {
        matches!(self.method, Choose::Likelihood)
    }

    pub(crate) fn options(&self) -> Result<Options> {
        let correction = match self.correction {
            Correct::Bonferroni => Correction::Bonferroni,
            Correct::Holm => Correction::Holm,
            Correct::BenjaminiHochberg => Correction::BenjaminiHochberg,
        };
        let method = match self.method {
            Choose::Auto | Choose::Likelihood => Method::Auto,
            Choose::All => Method::All,
            Choose::Screen => Method::Screen,
            Choose::Nonnegative => Method::NonNegative,
            Choose::Lasso => Method::Lasso,
        };
        Ok(Options::new(self.alpha)?.correction(correction).method(method).joint(self.joint))
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people: the detected candidates and the totals
    Table,
    /// All figures and totals as one object
    Json,
    /// All figures, google/rappor's columns first
    Csv,
}

/// What was decoded of some reports: of all, or of those with one label.
pub(crate) struct Shown {
    part: Option<Split>,
    decoded: Result<Decoded>,
}

struct Split {
    heading: String,
    label: Option<String>,
}

impl Shown {
    /// The figures of all reports.
    pub(crate) fn whole(decoded: Decoded) -> Self {
        Self { part: None, decoded: Ok(decoded) }
    }

    /// The figures of a part. One label may have too few reports; the others are shown all the same.
    pub(crate) fn part(part: &Part, decoded: Result<Decoded>) -> Self {
        let split = |heading| Split { heading, label: part.label().map(str::to_owned) };
        Self { part: part.heading().map(split), decoded }
    }
}

/// Prints the figures of reports of `params` to `out`, with what stands `beside` them, and draws them if that was asked for.
///
/// # Errors
/// If there are no figures of any part.
pub(crate) fn show(
    params: &Params,
    mut shown: Vec<Shown>,
    beside: Option<&Survey>,
    presentation: &Presentation,
    out: &mut dyn Write,
) -> Result<()> {
    let tell = |out: &mut dyn Write| beside.map_or(Ok(()), |survey| beside::write(survey, out));
    if shown.iter().all(|shown| shown.decoded.is_err()) {
        // What cannot be decoded may be what the guards found.
        tell(&mut io::stderr())?;
        return shown.pop().map_or(Ok(()), |last| last.decoded.map(drop));
    }
    if let Some(path) = &presentation.plot {
        let [Shown { part: None, decoded: Ok(decoded) }] = &shown[..] else {
            bail!("--plot draws one picture: choose a label with --tag in place of --by");
        };
        let bars: Vec<plot::Bar> = rows(params, decoded).iter().map(Row::bar).collect();
        plot::draw(path, &bars)?;
    }
    match presentation.format {
        Format::Table => {
            shown.iter().try_for_each(|shown| shown.write_table(params, presentation.all, out))?;
            Ok(tell(out)?)
        }
        Format::Json => write_json(params, &shown, beside, out),
        Format::Csv => {
            // A table of figures has no place for it.
            tell(&mut io::stderr())?;
            let rows = shown.iter().map(|shown| shown.rows(params)).collect::<Result<Vec<_>>>()?;
            write_csv(&rows.concat(), out)
        }
    }
}

impl Shown {
    fn label(&self) -> Option<&str> {
        self.part.as_ref()?.label.as_deref()
    }

    fn write_table(&self, params: &Params, all: bool, out: &mut dyn Write) -> Result<()> {
        if let Some(Split { heading, .. }) = &self.part {
            writeln!(out, "{heading}")?;
        }
        match &self.decoded {
            Ok(decoded) => write_table(decoded, &rows(params, decoded), all, out),
            Err(error) => Ok(writeln!(out, "cannot be decoded: {error:#}")?),
        }
    }

    fn to_json(&self, params: &Params) -> Result<serde_json::Value> {
        Ok(match &self.decoded {
            Ok(decoded) => serde_json::to_value(Answer::new(decoded, &rows(params, decoded)))?,
            Err(error) => serde_json::json!({ "error": format!("{error:#}") }),
        })
    }

    /// The rows, with their label if reports were split; what has none is told on standard error.
    fn rows(&self, params: &Params) -> Result<Vec<Row>> {
        let label = self.part.as_ref().map(|part| part.label.clone().unwrap_or_default());
        match &self.decoded {
            Ok(decoded) => {
                Ok(rows(params, decoded).into_iter().map(|row| Row { label: label.clone(), ..row }).collect())
            }
            Err(error) => {
                let heading = self.part.as_ref().map_or("", |part| &part.heading);
                writeln!(io::stderr(), "{heading} cannot be decoded: {error:#}")?;
                Ok(Vec::new())
            }
        }
    }
}

/// A figure as it is printed; google/rappor's columns first, under its names.
#[derive(Clone, Serialize)]
struct Row {
    string: String,
    estimate: f64,
    std_error: f64,
    proportion: f64,
    prop_std_error: f64,
    prop_low_95: f64,
    prop_high_95: f64,
    p_value: f64,
    detected: bool,
    p_adjusted: f64,
    consistent_proportion: f64,
    /// Reports that one forged report could count for.
    influence: Option<f64>,
    /// Where reports were split by a public tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
}

impl Row {
    fn bar(&self) -> plot::Bar {
        plot::Bar {
            name: self.string.clone(),
            share: 100.0 * self.proportion,
            low: 100.0 * self.prop_low_95,
            high: 100.0 * self.prop_high_95,
            detected: self.detected,
        }
    }

    fn new(names: &[String], share: &Share, reports: f64) -> Self {
        let (prop_low_95, prop_high_95) = share.interval_95();
        Self {
            string: names.join(" | "),
            estimate: share.value * reports,
            std_error: share.std_error * reports,
            proportion: share.value,
            prop_std_error: share.std_error,
            prop_low_95,
            prop_high_95,
            p_value: 1.0,
            p_adjusted: 1.0,
            detected: false,
            consistent_proportion: share.value.clamp(0.0, 1.0),
            influence: None,
            label: None,
        }
    }
}

fn rows(params: &Params, decoded: &Decoded) -> Vec<Row> {
    let reports = decoded.reports as f64;
    let row = |figure: &Figure| Row {
        p_value: figure.p_value,
        p_adjusted: figure.p_adjusted,
        detected: figure.detected,
        influence: figure.influence.map(|shift| shift * reports),
        consistent_proportion: figure.consistent,
        ..Row::new(&figure.names, &figure.share, reports)
    };
    let mut rows: Vec<Row> = decoded.figures.iter().map(row).collect();
    // A report of one bit has two answers, and the candidate is one of them.
    if let (1, Some(rest), [only]) = (params.bits(), &decoded.unexplained, &mut rows[..]) {
        let mut other = Row::new(&["FALSE".to_owned()], rest, reports);
        other.consistent_proportion = 1.0 - only.consistent_proportion;
        other.p_value = rest.tail();
        other.p_adjusted = other.p_value;
        other.detected = other.p_value < decoded.alpha;
        other.influence = only.influence;
        rows.push(other);
        rows.sort_by(|a, b| b.estimate.total_cmp(&a.estimate));
    }
    rows
}

fn write_csv(rows: &[Row], out: &mut dyn Write) -> Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    rows.iter().try_for_each(|row| writer.serialize(row))?;
    Ok(writer.flush()?)
}

fn write_json(params: &Params, shown: &[Shown], beside: Option<&Survey>, out: &mut dyn Write) -> Result<()> {
    #[derive(Serialize)]
    struct Labelled<'a> {
        label: Option<&'a str>,
        #[serde(flatten)]
        answer: serde_json::Value,
    }
    #[derive(Serialize)]
    struct Surveyed<'a> {
        #[serde(flatten)]
        whole: Option<serde_json::Value>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        labels: Vec<Labelled<'a>>,
        #[serde(flatten)]
        beside: Option<&'a Survey>,
    }
    let mut all = Surveyed { whole: None, labels: Vec::new(), beside };
    for part in shown {
        let answer = part.to_json(params)?;
        match part.part {
            None => all.whole = Some(answer),
            Some(_) => all.labels.push(Labelled { label: part.label(), answer }),
        }
    }
    serde_json::to_writer_pretty(&mut *out, &all)?;
    Ok(writeln!(out)?)
}

#[derive(Serialize)]
struct Rest {
    proportion: f64,
    std_error: f64,
}

/// All figures and totals, as programs read them.
#[derive(Serialize)]
struct Answer<'a> {
    reports: u64,
    empty_cohorts: &'a [usize],
    alpha: f64,
    detection_limit: f64,
    fitted: usize,
    unexplained: Option<Rest>,
    figures: &'a [Row],
    /// Of the proportions of the first detected figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    covariances: Option<Vec<Vec<f64>>>,
}

impl<'a> Answer<'a> {
    fn new(decoded: &'a Decoded, figures: &'a [Row]) -> Self {
        let rest = |rest: Share| Rest { proportion: rest.value, std_error: rest.std_error };
        Self {
            reports: decoded.reports,
            empty_cohorts: &decoded.empty_cohorts,
            alpha: decoded.alpha,
            detection_limit: decoded.detection_limit,
            fitted: decoded.fitted,
            unexplained: decoded.unexplained.map(rest),
            figures,
            covariances: decoded.joint.as_ref().map(covariances),
        }
    }
}

fn covariances(joint: &Joint) -> Vec<Vec<f64>> {
    (0..joint.size()).map(|i| (0..joint.size()).map(|j| joint.covariance(i, j)).collect()).collect()
}

fn write_table(decoded: &Decoded, rows: &[Row], all: bool, out: &mut dyn Write) -> Result<()> {
    let headings = ["candidate", "reports", "±", "share", "95 % interval", "p-value", "detected"];
    let mut table = table(headings, 1..=5);
    for row in rows.iter().filter(|row| all || row.detected) {
        table.add_row([
            row.string.clone(),
            format!("{:.0}", row.estimate),
            format!("{:.0}", row.std_error),
            percent(row.proportion),
            format!("{} to {}", percent(row.prop_low_95), percent(row.prop_high_95)),
            significance(row.p_value),
            if row.detected { "yes" } else { "no" }.to_owned(),
        ]);
    }
    writeln!(out, "{table}")?;
    let detected = rows.iter().filter(|row| row.detected).count();
    writeln!(
        out,
        "{detected} of {} candidates detected among {} reports, at a level of {}.",
        rows.len(),
        decoded.reports,
        decoded.alpha
    )?;
    writeln!(out, "A share of {} is detected half of the time.", percent(decoded.detection_limit))?;
    if let (Some(rest), true) = (&decoded.unexplained, rows.len() == decoded.figures.len()) {
        let (low, high) = rest.interval_95();
        let (rest, low, high) = (percent(rest.value), percent(low), percent(high));
        let whom = if decoded.fitted == rows.len() { "no candidate" } else { "no candidate that stands out" };
        writeln!(out, "{rest} of the reports are of {whom} (95 % interval {low} to {high}).")?;
    }
    let influences = rows.iter().filter(|row| row.detected).filter_map(|row| row.influence);
    if let Some(most) = influences.reduce(f64::max) {
        writeln!(out, "One forged report could count for up to {most:.0} reports of a detected candidate.")?;
    }
    if !decoded.empty_cohorts.is_empty() {
        writeln!(out, "{} cohorts had no reports and were left out.", decoded.empty_cohorts.len())?;
    }
    Ok(())
}

fn significance(p_value: f64) -> String {
    if p_value < 1e-300 { "< 1e-300".to_owned() } else { format!("{p_value:.1e}") }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
