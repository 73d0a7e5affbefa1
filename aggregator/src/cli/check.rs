//! `deniable check`: is a file of metrics sound, and what does each metric say and cost.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use comfy_table::{ColumnConstraint, Table};
use deniable::registry::{Every, Metric};
use deniable_aggregator::catalog::Catalog;

use super::table::table;

/// Validates a file of metrics, and prints what each metric reports, its encoding, ε₁ and ε∞.
#[derive(Args)]
pub(crate) struct CheckArgs {
    /// File of metrics
    #[arg(value_name = "FILE")]
    metrics: PathBuf,
    /// The file as it was before: refuses an encoding that changed without a new version
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Write the compact catalog that clients receive to this file
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
}

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let name = args.metrics.display();
    let catalog = Catalog::load(&args.metrics)?;
    if let Some(path) = &args.against {
        let earlier = Catalog::load(path)?;
        let text = fs::read_to_string(&args.metrics).with_context(|| format!("cannot read {name}"))?;
        catalog
            .follows(&text, &earlier)
            .with_context(|| format!("{name} does not follow {}", path.display()))?;
    }
    let registry = catalog.registry();
    let bytes = registry.catalog();
    let mut out = io::stdout().lock();
    writeln!(out, "{}", overview(registry.metrics()))?;
    let weekly: f64 = registry.metrics().map(Metric::weekly_epsilon).sum();
    let lifetime: f64 = registry.metrics().map(Metric::lifetime_epsilon).sum();
    writeln!(
        out,
        "All together cost a device at most ε = {weekly:.2} in a week, and {lifetime:.2} for ever for one answer to each."
    )?;
    for (tag, labels) in registry.tags() {
        writeln!(out, "In the clear beside each report: {tag}, one of {}.", labels.join(", "))?;
    }
    writeln!(out, "Registry {}, a catalog of {} bytes.", registry.hash(), bytes.len())?;
    if let Some(path) = &args.catalog {
        fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn overview<'m>(metrics: impl Iterator<Item = &'m Metric>) -> Table {
    let mut table = table(["metric", "question", "when", "answers", "encoding", "ε₁", "ε∞"], 5..);
    if let Some(name) = table.column_mut(0) {
        name.set_constraint(ColumnConstraint::ContentWidth);
    }
    for metric in metrics {
        let params = metric.params();
        table.add_row([
            format!("{} v{}", metric.id(), metric.version()),
            metric.question().to_owned(),
            metric.every().map_or("by the program", every).to_owned(),
            answers(metric),
            format!("{}, {} bits", params.encoding(), params.bits()),
            format!("{:.3}", params.epsilon_one()),
            format!("{:.3}", params.epsilon_infinity()),
        ]);
    }
    table
}

fn every(every: &Every) -> &'static str {
    match every {
        Every::Once => "once",
        Every::Session => "each session",
        Every::Day => "each day",
        Every::Week => "each week",
        Every::Month => "each month",
        Every::Event(_) => "with an event",
    }
}

/// What a metric reports: its labels, cut after eight.
fn answers(metric: &Metric) -> String {
    let labels = metric.labels();
    match (metric.domain(), labels) {
        (None, _) => "as the program says".to_owned(),
        (Some(domain), []) => domain.to_string(),
        (Some(_), labels) if labels.len() <= 8 => labels.join(", "),
        (Some(_), labels) => format!("{}, … ({} in all)", labels[..8].join(", "), labels.len()),
    }
}
