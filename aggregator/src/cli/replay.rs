//! `deniable replay`: files of events through the state machine of each user's device.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use deniable::calendar::{Day, Moment, Timestamp};
use deniable::insight::{Answered, Counters, Device, Event, Given};
use deniable::registry::{Metric, Registry};
use deniable::{
    BatchId, DeviceSecret, Encoder, MAX_BATCH_BYTES, Randomness, Report, SystemEntropy, WriteKey, write_batch,
};
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::events::{self, User};
use rayon::prelude::*;
use serde_json::{Value, json};

/// Replays raw events through the on-device state machine, user by user, and writes what the devices would have sent.
///
/// Reads JSON lines with `event`, `timestamp`, `user_id` and `properties`, or with `_n`, `_t`, `_p` and properties beside them,
/// or CSV with such columns. Each user gets a device that is installed with the first event and draws a secret of its own.
/// Metrics that rotate are reported by their share of the devices, each of which answers one group of them; --values shows
/// what every device would answer to all of them.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("output").required(true))]
pub(crate) struct ReplayArgs {
    /// File of events; CSV if its name ends in .csv, else JSON lines
    #[arg(value_name = "FILE")]
    events: PathBuf,
    /// File of metrics
    #[arg(long, value_name = "FILE")]
    registry: PathBuf,
    /// Print the answers themselves as JSON lines, before anything is randomized. For testing
    #[arg(long, group = "output")]
    values: bool,
    /// Write randomized reports to this new directory, as batches that a collector takes
    #[arg(long, value_name = "DIR", group = "output")]
    reports: Option<PathBuf>,
    /// Write key of the collector's project, for the batches
    #[arg(long, value_name = "HEX", default_value_t = WriteKey::NONE, hide_default_value = true)]
    key: WriteKey,
    /// Day on which each device's clock is read for the last time, at its beginning; the last event's time if left out
    #[arg(long, value_name = "DATE")]
    until: Option<Day>,
}

/// The most bytes that a report takes beside its bits and cohort, where it is the only one of its section.
const SECTION_BYTES: usize = 128;

pub(crate) fn run(args: &ReplayArgs) -> Result<()> {
    let catalog = Catalog::load(&args.registry)?;
    let registry = Arc::new(catalog.registry().clone());
    let users = events::read(&args.events)?;
    let last = users.iter().flat_map(|user| &user.events).map(|event| event.at.at).max();
    let until = args.until.map(|day| Timestamp::from_seconds(i64::from(day.0) * 86_400));
    let Some(end) = until.or(last) else { bail!("{} holds no event", args.events.display()) };
    let begin = |secret: &DeviceSecret, install| {
        let device = Device::new(Arc::clone(&registry), secret, install);
        if args.values { device.answering_everything() } else { device }
    };
    let replayed = users.par_iter().map(|user| Replayed::new(user, begin, end));
    let replayed = replayed.collect::<Result<Vec<_>>>()?;
    match &args.reports {
        Some(directory) => write_reports(args, directory, &registry, &replayed)?,
        None => print_values(&users, &registry, &replayed)?,
    }
    tell(&users, &replayed)
}

/// One user's device after the last event.
struct Replayed {
    secret: DeviceSecret,
    answers: Vec<Answered>,
    counters: Counters,
}

impl Replayed {
    fn new(user: &User, begin: impl Fn(&DeviceSecret, Moment) -> Device, end: Timestamp) -> Result<Self> {
        let secret = DeviceSecret::draw(&mut SystemEntropy)?;
        let first = user.events.first().context("a user has at least one event")?;
        let mut device = begin(&secret, first.at);
        let registry = Arc::clone(device.registry());
        let mut answers = Vec::new();
        let mut latest = first.at;
        for event in user.events.iter().take_while(|event| event.at.at <= end) {
            let fitted = event.fitted(&registry);
            let properties: Vec<_> =
                fitted.iter().map(|(name, value)| (*name, value.as_property())).collect();
            let properties = &properties[..];
            answers.extend(device.track(&Event { name: &event.name, properties, at: None }, event.at));
            latest = event.at;
        }
        answers.extend(device.advance(Moment { at: end.max(latest.at), ..latest }));
        Ok(Self { secret, answers, counters: *device.counters() })
    }
}

fn print_values(users: &[User], registry: &Registry, replayed: &[Replayed]) -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for (user, replayed) in users.iter().zip(replayed) {
        for answered in &replayed.answers {
            let metric =
                registry.metric(&answered.metric).context("an answer to a metric of the registry")?;
            let tags = registry.tags().zip(&answered.tags);
            let tags = tags.map(|((name, labels), place)| (name.to_owned(), json!(labels[*place])));
            let line = json!({
                "user": user.id,
                "metric": answered.metric,
                "version": answered.version,
                "epoch": Day(answered.epoch.0),
                "value": value(metric, &answered.given),
                "tags": tags.collect::<serde_json::Map<_, _>>(),
            });
            writeln!(out, "{line}")?;
        }
    }
    Ok(out.flush()?)
}

fn value(metric: &Metric, given: &Given) -> Value {
    match given {
        Given::Choice(choice) => json!(metric.labels()[*choice]),
        Given::Subset(set) => {
            let names = metric.labels().iter().enumerate().filter(|(place, _)| set >> place & 1 == 1);
            names.map(|(_, name)| json!(name)).collect()
        }
        Given::Text(text) => json!(text),
        Given::Number(number) => json!(number),
    }
}

/// Randomizes every answer and writes the reports of all users together.
fn write_reports(
    args: &ReplayArgs,
    directory: &Path,
    registry: &Registry,
    replayed: &[Replayed],
) -> Result<()> {
    fs::create_dir(directory)
        .with_context(|| format!("--reports {}: the directory must not exist yet", directory.display()))?;
    let reports = replayed.par_iter().map(|replayed| randomize(registry, replayed));
    let mut reports: Vec<Report> = reports.collect::<Result<Vec<_>>>()?.concat();
    // Sorted, so that neighbours in a batch are of one metric and epoch, and not of one user.
    reports.sort_unstable();
    let mut randomness = Randomness::from_system()?;
    let mut rest = &reports[..];
    let mut number = 0;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(fitting(rest));
        let batch = write_batch(args.key, BatchId(randomness.draw_id()), batch.to_vec())?;
        number += 1;
        let path = directory.join(format!("{number:06}.batch"));
        fs::write(&path, batch).with_context(|| format!("cannot write {}", path.display()))?;
        rest = after;
    }
    Ok(())
}

/// How many of the first reports fit into one batch, at least one.
fn fitting(reports: &[Report]) -> usize {
    let mut size = SECTION_BYTES;
    let bytes = |report: &Report| 2 + report.stream().bit_bytes();
    let new = |i: usize| i == 0 || !reports[i - 1].shares_section(&reports[i]);
    let mut fits = |i: &usize| {
        size += bytes(&reports[*i]) + if new(*i) { SECTION_BYTES } else { 0 };
        size <= MAX_BATCH_BYTES
    };
    (0..reports.len()).take_while(|i| fits(i)).count().max(1)
}

fn randomize(registry: &Registry, replayed: &Replayed) -> Result<Vec<Report>> {
    let mut randomness = Randomness::from_system()?;
    let report = |answered: &Answered| {
        let metric = registry.metric(&answered.metric).context("an answer to a metric of the registry")?;
        let domain = metric.domain().context("a metric with a source has a list of answers")?;
        let encoder = Encoder::new(metric.id().clone(), metric.version(), *metric.params(), &replayed.secret);
        let value = answered.given.value(domain, encoder.rounding())?;
        let report = encoder.encode(value, answered.epoch, &mut randomness)?;
        Ok(report.published(registry.hash(), &answered.tags)?)
    };
    replayed.answers.iter().map(report).collect()
}

/// Says on standard error how much was read, and what was dropped.
fn tell(users: &[User], replayed: &[Replayed]) -> Result<()> {
    let sum = |of: fn(&Counters) -> u64| replayed.iter().map(|replayed| of(&replayed.counters)).sum::<u64>();
    let mut err = io::stderr().lock();
    let events: usize = users.iter().map(|user| user.events.len()).sum();
    let answers: usize = replayed.iter().map(|replayed| replayed.answers.len()).sum();
    writeln!(err, "{} users, {events} events, {answers} answers", users.len())?;
    let dropped = [
        ("events with an unknown name", sum(|counters| counters.unknown_events)),
        ("events that no metric needs", sum(|counters| counters.unneeded_events)),
        ("properties with an unknown name", sum(|counters| counters.unknown_properties)),
        ("properties of another type", sum(|counters| counters.unfit_properties)),
        ("labels that became `other`", sum(|counters| counters.other_labels)),
    ];
    for (what, count) in dropped.into_iter().filter(|(_, count)| *count > 0) {
        writeln!(err, "{count} {what}")?;
    }
    Ok(())
}
