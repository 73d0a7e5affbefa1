//! `deniable check`: is a file of metrics sound, and what does each metric say and cost.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use comfy_table::{ColumnConstraint, Table};
use deniable::MetricId;
use deniable::registry::{Every, Metric, Privacy, Registry, Rotation};
use deniable_aggregator::catalog::Catalog;

use super::table::table;

/// Validates a file of metrics, and prints what each metric reports, its encoding, ε₁ and ε∞.
///
/// Metrics that together cost a device more than the caps of [privacy] rotate: each device draws one of the groups that are
/// printed, by its secret and for life, and answers that group's metrics alone. A metric's share is the exact share of devices
/// that answer it.
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
    writeln!(out, "{}", overview(registry))?;
    tell_rotation(registry.rotation(), registry.privacy(), &mut out)?;
    for (tag, labels) in registry.tags() {
        writeln!(out, "In the clear beside each report: {tag}, one of {}.", labels.join(", "))?;
    }
    writeln!(out, "Registry {}, a catalog of {} bytes.", registry.hash(), bytes.len())?;
    if let Some(path) = &args.catalog {
        fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// What all metrics cost together, and the groups that this makes.
fn tell_rotation(rotation: Rotation<'_>, caps: Privacy, out: &mut dyn Write) -> io::Result<()> {
    let everything = rotation.everything();
    writeln!(
        out,
        "All metrics together cost a device at most ε = {:.2} in a week, of a cap of {:.2}, and {:.2} for ever, for one answer to \
         each, of a cap of {:.2}.",
        up(everything.weekly_epsilon()),
        caps.weekly,
        up(everything.lifetime_epsilon()),
        caps.lifetime
    )?;
    if !rotation.is_needed() {
        return writeln!(out, "Every device answers all of them.");
    }
    let groups = rotation.groups();
    writeln!(
        out,
        "So they rotate: each device draws one of {} groups by its secret, for life, and answers no other metrics.",
        groups.len()
    )?;
    let mut table = table(["group", "metrics", "ε a week", "ε for ever"], 2..);
    for (number, group) in (1..).zip(groups) {
        let metrics: Vec<&str> = group.metrics().map(MetricId::as_str).collect();
        let costs = [group.weekly_epsilon(), group.lifetime_epsilon()].map(|cost| format!("{:.2}", up(cost)));
        let [weekly, lifetime] = costs;
        table.add_row([number.to_string(), metrics.join(", "), weekly, lifetime]);
    }
    writeln!(out, "{table}")?;
    writeln!(out, "Figures are of the devices that answer, the share of all that stands in the first table.")
}

/// Rounded up to the two decimals that are printed.
fn up(epsilon: f64) -> f64 {
    (epsilon * 100.0).ceil() / 100.0
}

fn overview(registry: &Registry) -> Table {
    let headings = ["metric", "question", "when", "answers", "encoding", "ε₁", "ε∞", "share"];
    let mut table = table(headings, 5..);
    if let Some(name) = table.column_mut(0) {
        name.set_constraint(ColumnConstraint::ContentWidth);
    }
    for metric in registry.metrics() {
        let params = metric.params();
        table.add_row([
            format!("{} v{}", metric.id(), metric.version()),
            metric.question().to_owned(),
            metric.every().map_or("by the program", every).to_owned(),
            answers(metric),
            format!("{}, {} bits", params.encoding(), params.bits()),
            format!("{:.3}", params.epsilon_one()),
            format!("{:.3}", params.epsilon_infinity()),
            registry.rotation().share(metric.id()).map_or_else(String::new, |share| share.to_string()),
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
