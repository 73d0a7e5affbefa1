//! `deniable audit`: tries to falsify the privacy that parameters claim.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;
use deniable::{MetricId, Params, Randomness};
use deniable_aggregator::audit::{Audit, Auditor, Finding, Plan, Shipped};
use deniable_aggregator::catalog::Catalog;

use super::parameters;
use super::progress::Progress;
use super::table::table;

/// Try to falsify the privacy loss that parameters claim, on the encoder that devices run.
///
/// Encodes pairs of values on simulated devices, and looks for something in their reports that tells the two apart
/// better than e^ε to 1. Prints a lower confidence bound of ε₁ (one report) and ε∞ (all reports of one value) for
/// each pair. Fails if a bound is above its claim. A pass is no proof; more trials look closer.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to audit: a metric of the file given by --metrics; or parameters, as a .toml or .json file or google/rappor's
    /// params.csv, as JSON, or as the six numbers k,h,m,f,p,q
    #[arg(value_name = "METRIC|PARAMS")]
    what: String,
    /// File of metrics that METRIC is defined in
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Version of the metric; the current one if left out
    #[arg(long, value_name = "N", requires = "metrics")]
    version: Option<u32>,
    /// Reports of each value of a pair for ε₁; a fifth as many devices are watched for a lifetime for ε∞
    #[arg(long, value_name = "N", default_value_t = Plan::TRIALS)]
    trials: usize,
    /// Confidence in all bounds together; an encoder that keeps its claims fails at most with what is left to 1
    #[arg(long, value_name = "C", default_value_t = Plan::CONFIDENCE)]
    confidence: f64,
    /// Seed of an audit to repeat; drawn if left out
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How to print the bounds
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// All bounds with what they are proved by, as one object
    Json,
    /// All bounds with what they are proved by, one a row
    Csv,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (subject, params) = args.subject()?;
    let seed = args.seed.map_or_else(draw_seed, Ok)?;
    let plan = Plan::new(args.trials, args.confidence, seed)?;
    let auditor = Auditor::new(params, plan);
    let progress = Progress::new("devices", auditor.devices());
    let audit = auditor.run(&subject, &|devices| progress.advance(devices))?;
    drop(progress);
    let mut out = io::stdout().lock();
    match args.format {
        Format::Table => write_table(&audit, &params, &mut out)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &audit).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Format::Csv => write_csv(&audit, &mut out)?,
    }
    verdict(&audit)
}

fn draw_seed() -> Result<u64> {
    let [seed, _] = Randomness::from_system()?.draw_id().as_chunks().0[..] else {
        unreachable!("16 bytes are two times 8");
    };
    Ok(u64::from_le_bytes(seed))
}

impl Args {
    fn subject(&self) -> Result<(Shipped, Params)> {
        let (metric, version, params) = match &self.metrics {
            Some(file) => self.defined(&Catalog::load(file)?)?,
            None => (MetricId::new("audit")?, 1, parameters::parse(&self.what)?),
        };
        Ok((Shipped::new(metric, version, params), params))
    }

    fn defined(&self, catalog: &Catalog) -> Result<(MetricId, u32, Params)> {
        let metric = MetricId::new(&self.what)?;
        let versions: Vec<u32> = catalog.versions(&metric).collect();
        let version = self.version.or(versions.last().copied());
        let definition = version.and_then(|version| catalog.get(&metric, version));
        match (definition, self.version) {
            (Some(definition), _) => Ok((metric, definition.stream().version(), *definition.params())),
            (None, Some(version)) if !versions.is_empty() => {
                bail!("metric {metric} has no version {version}: it has {versions:?}")
            }
            _ => bail!("the file defines no metric {metric}: check its name"),
        }
    }
}

fn write_table(audit: &Audit, params: &Params, out: &mut dyn Write) -> Result<()> {
    let mut table = table(["loss", "pair", "claim", "bound", "trials", "proved by", ""], 2..=4);
    for finding in &audit.findings {
        table.add_row([
            finding.loss.symbol().to_owned(),
            finding.pair.clone(),
            format!("{:.3}", finding.claim),
            format!("{:.3}", finding.bound),
            format!("2 × {}", finding.likelier.trials),
            format!("{}: {} to {}", finding.event, finding.likelier.hits, finding.rarer.hits),
            if finding.refutes() { "REFUTED" } else { "holds" }.to_owned(),
        ]);
    }
    writeln!(out, "{table}")?;
    let (confidence, seed) = (percent(audit.confidence), audit.seed);
    writeln!(
        out,
        "Each loss is at least its bound, with {confidence} confidence in all of them; seed {seed}."
    )?;
    if !params.epsilon_infinity().is_bounded() {
        writeln!(out, "Without a permanent stage no ε∞ is claimed, and none was audited.")?;
    }
    Ok(())
}

/// A confidence without the digits that floating point adds.
fn percent(share: f64) -> String {
    format!("{} %", (share * 1e8).round() / 1e6)
}

fn write_csv(audit: &Audit, out: &mut dyn Write) -> Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record([
        "loss",
        "pair",
        "claim",
        "bound",
        "refuted",
        "trials",
        "event",
        "likelier_hits",
        "rarer_hits",
    ])?;
    for finding in &audit.findings {
        writer.write_record([
            finding.loss.symbol(),
            &finding.pair,
            &finding.claim.to_string(),
            &finding.bound.to_string(),
            &finding.refutes().to_string(),
            &finding.likelier.trials.to_string(),
            &finding.event,
            &finding.likelier.hits.to_string(),
            &finding.rarer.hits.to_string(),
        ])?;
    }
    Ok(writer.flush()?)
}

/// An error that names the claim that is furthest off, if any is refuted.
fn verdict(audit: &Audit) -> Result<()> {
    let excess = |finding: &&Finding| finding.bound - finding.claim;
    let worst = audit.refutations().max_by(|a, b| excess(a).total_cmp(&excess(b)));
    let Some(Finding { loss, pair, claim, bound, .. }) = worst else { return Ok(()) };
    let (symbol, count) = (loss.symbol(), audit.refutations().count());
    bail!(
        "the audit refutes {count} of {} claims: {symbol} is at least {bound:.3} for the pair \"{pair}\", but {claim:.3} is claimed; do not ship this encoder",
        audit.findings.len()
    )
}

#[cfg(test)]
mod tests {
    use deniable_aggregator::audit::{Loss, Rate};

    use super::*;

    fn audit(bounds: &[f64]) -> Audit {
        let finding = |&bound: &f64| Finding {
            loss: Loss::Infinity,
            pair: format!("pair of {bound}"),
            claim: 2.0,
            bound,
            event: "bit 0 = 1".to_owned(),
            likelier: Rate { hits: 9, trials: 10 },
            rarer: Rate { hits: 1, trials: 10 },
        };
        Audit { confidence: 0.999, seed: 7, findings: bounds.iter().map(finding).collect() }
    }

    #[test]
    fn a_bound_above_its_claim_is_an_error_that_names_the_worst() {
        assert!(verdict(&audit(&[0.0, 1.9, 2.0])).is_ok());
        let message = verdict(&audit(&[1.0, 2.5, 3.25, 2.1])).unwrap_err().to_string();
        for said in ["refutes 3 of 4", "ε∞", "at least 3.250", "\"pair of 3.25\"", "2.000 is claimed"] {
            assert!(message.contains(said), "{said}: {message}");
        }
    }

    #[test]
    fn what_refutes_is_marked_in_each_format() {
        let params = Params::rappor(16, 1, 4, 0.5, 0.25, 0.75).unwrap();
        let (mut table, mut csv) = (Vec::new(), Vec::new());
        write_table(&audit(&[1.0, 2.5]), &params, &mut table).unwrap();
        write_csv(&audit(&[1.0, 2.5]), &mut csv).unwrap();
        let (table, csv) = (String::from_utf8(table).unwrap(), String::from_utf8(csv).unwrap());
        assert_eq!(table.lines().filter(|line| line.contains("REFUTED")).count(), 1);
        assert!(table.contains("99.9 % confidence") && table.contains("seed 7"), "{table}");
        assert_eq!(csv.lines().filter(|line| line.contains(",true,")).count(), 1, "{csv}");
    }
}
