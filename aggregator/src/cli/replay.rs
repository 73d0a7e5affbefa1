//! `deniable replay`: files of events through the state machine of each user's device.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use deniable::calendar::{Day, Moment, Timestamp};
use deniable::insight::{Answered, Counters, Device, Event, Given};
use deniable::registry::{Metric, Registry, RegistryHash};
use deniable::{
    BatchId, DeviceSecret, Encoder, MAX_BATCH_BYTES, Randomness, Report, SystemEntropy, WriteKey, write_batch,
};
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::events::{RawEvent, Sorted};
use serde_json::{Value, json};

/// Replays raw events through the on-device state machine, user by user, and writes what the devices would have sent.
///
/// Reads JSON lines with `event`, `timestamp`, `user_id` and `properties`, or with `_n`, `_t`, `_p` and properties beside them,
/// or CSV with such columns. Each user gets a device that is installed with the first event and draws a secret of its own.
/// Metrics that rotate are reported by their share of the devices, each of which answers one group of them; --values shows
/// what every device would answer to all of them.
///
/// Users' events may be interleaved and out of order. The file may be larger than memory: it is sorted by user in parts that are
/// written to temporary files, with the events as they are, which are gone when the program ends.
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

/// The most reports that are held and written together. A batch mixes the reports of all users among them.
const MAX_REPORTS: usize = 200_000;

/// The most bytes that a report takes beside its bits and cohort, where it is the only one of its section.
const SECTION_BYTES: usize = 128;

pub(crate) fn run(args: &ReplayArgs) -> Result<()> {
    let catalog = Catalog::load(&args.registry)?;
    let registry = Arc::new(catalog.registry().clone());
    let sorted = Sorted::read(&args.events)?;
    let until = args.until.map(|day| Timestamp::from_seconds(i64::from(day.0) * 86_400));
    let Some(end) = until.or(sorted.latest()) else { bail!("{} holds no event", args.events.display()) };
    let sink = match &args.reports {
        Some(directory) => Sink::Reports(Box::new(Randomizing::new(directory, registry.hash(), args.key)?)),
        None => Sink::Values(io::BufWriter::new(io::stdout().lock())),
    };
    let mut replay = Replay { registry, end, everything: args.values, sink, replayed: Replayed::default() };
    let mut open: Option<User> = None;
    for happened in sorted {
        let (name, event) = happened?;
        let mut user = match open.take() {
            Some(user) if user.name == name => user,
            other => {
                other.map_or(Ok(()), |user| replay.finish(user))?;
                replay.begin(name, event.at)?
            }
        };
        replay.track(&mut user, &event)?;
        open = Some(user);
    }
    open.map_or(Ok(()), |user| replay.finish(user))?;
    replay.sink.finish()?;
    replay.replayed.tell()
}

/// A user, as far as the events have come.
struct User {
    name: Box<str>,
    secret: DeviceSecret,
    device: Device,
    latest: Moment,
}

/// What is held is one user's device, whatever the number of users and events.
struct Replay<'a> {
    registry: Arc<Registry>,
    end: Timestamp,
    /// Whether every device answers the metrics of all groups.
    everything: bool,
    sink: Sink<'a>,
    replayed: Replayed,
}

impl Replay<'_> {
    fn begin(&mut self, name: Box<str>, install: Moment) -> Result<User> {
        let secret = DeviceSecret::draw(&mut SystemEntropy)?;
        let device = Device::new(Arc::clone(&self.registry), &secret, install);
        let device = if self.everything { device.answering_everything() } else { device };
        Ok(User { name, secret, device, latest: install })
    }

    fn track(&mut self, user: &mut User, event: &RawEvent) -> Result<()> {
        self.replayed.events += 1;
        if event.at.at > self.end {
            return Ok(());
        }
        let fitted = event.fitted(&self.registry);
        let properties: Vec<_> = fitted.iter().map(|(name, value)| (*name, value.as_property())).collect();
        let answers =
            user.device.track(&Event { name: &event.name, properties: &properties, at: None }, event.at);
        user.latest = event.at;
        self.take(user, &answers)
    }

    fn finish(&mut self, mut user: User) -> Result<()> {
        let last = Moment { at: self.end.max(user.latest.at), ..user.latest };
        let answers = user.device.advance(last);
        self.take(&user, &answers)?;
        self.replayed.users += 1;
        self.replayed.add(user.device.counters());
        Ok(())
    }

    fn take(&mut self, user: &User, answers: &[Answered]) -> Result<()> {
        self.replayed.answers += answers.len();
        for answered in answers {
            let metric =
                self.registry.metric(&answered.metric).context("an answer to a metric of the registry")?;
            match &mut self.sink {
                Sink::Values(out) => writeln!(out, "{}", line(user, &self.registry, metric, answered))?,
                Sink::Reports(randomizing) => randomizing.push(user, metric, answered)?,
            }
        }
        Ok(())
    }
}

/// Where answers go.
enum Sink<'a> {
    Values(io::BufWriter<io::StdoutLock<'a>>),
    Reports(Box<Randomizing<'a>>),
}

impl Sink<'_> {
    fn finish(&mut self) -> Result<()> {
        match self {
            Self::Values(out) => Ok(out.flush()?),
            Self::Reports(randomizing) => randomizing.write(),
        }
    }
}

fn line(user: &User, registry: &Registry, metric: &Metric, answered: &Answered) -> Value {
    let tags = registry.tags().zip(&answered.tags);
    let tags = tags.map(|((name, labels), place)| (name.to_owned(), json!(labels[*place])));
    json!({
        "user": user.name,
        "metric": answered.metric,
        "version": answered.version,
        "epoch": Day(answered.epoch.0),
        "value": value(metric, &answered.given),
        "tags": tags.collect::<serde_json::Map<_, _>>(),
    })
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

/// Randomizes answers, and writes the reports of many users together.
struct Randomizing<'a> {
    directory: &'a Path,
    registry: RegistryHash,
    key: WriteKey,
    randomness: Randomness,
    reports: Vec<Report>,
    batches: usize,
}

impl<'a> Randomizing<'a> {
    fn new(directory: &'a Path, registry: RegistryHash, key: WriteKey) -> Result<Self> {
        fs::create_dir(directory).with_context(|| {
            format!("--reports {}: the directory must not exist yet", directory.display())
        })?;
        let randomness = Randomness::from_system()?;
        Ok(Self { directory, registry, key, randomness, reports: Vec::new(), batches: 0 })
    }

    fn push(&mut self, user: &User, metric: &Metric, answered: &Answered) -> Result<()> {
        let domain = metric.domain().context("a metric with a source has a list of answers")?;
        let encoder = Encoder::new(metric.id().clone(), metric.version(), *metric.params(), &user.secret);
        let value = answered.given.value(domain, encoder.rounding())?;
        let report = encoder.encode(value, answered.epoch, &mut self.randomness)?;
        self.reports.push(report.published(self.registry, &answered.tags)?);
        if self.reports.len() < MAX_REPORTS { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<()> {
        // Sorted, so that neighbours in a batch are of one metric and epoch, and not of one user.
        self.reports.sort_unstable();
        let mut rest = std::mem::take(&mut self.reports);
        while !rest.is_empty() {
            let after = rest.split_off(fitting(&rest));
            let batch = write_batch(self.key, BatchId(self.randomness.draw_id()), &rest)?;
            self.batches += 1;
            let path = self.directory.join(format!("{:06}.batch", self.batches));
            fs::write(&path, batch).with_context(|| format!("cannot write {}", path.display()))?;
            rest = after;
        }
        Ok(())
    }
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

/// How much was read, and what was dropped.
#[derive(Default)]
struct Replayed {
    users: usize,
    events: usize,
    answers: usize,
    counters: Counters,
}

impl Replayed {
    fn add(&mut self, counters: &Counters) {
        let sum = &mut self.counters;
        sum.unknown_events += counters.unknown_events;
        sum.unneeded_events += counters.unneeded_events;
        sum.unknown_properties += counters.unknown_properties;
        sum.unfit_properties += counters.unfit_properties;
        sum.other_labels += counters.other_labels;
    }

    /// Says it on standard error.
    fn tell(&self) -> Result<()> {
        let Self { users, events, answers, counters } = self;
        let mut err = io::stderr().lock();
        writeln!(err, "{users} users, {events} events, {answers} answers")?;
        let dropped = [
            ("events with an unknown name", counters.unknown_events),
            ("events that no metric needs", counters.unneeded_events),
            ("properties with an unknown name", counters.unknown_properties),
            ("properties of another type", counters.unfit_properties),
            ("labels that became `other`", counters.other_labels),
        ];
        for (what, count) in dropped.into_iter().filter(|(_, count)| *count > 0) {
            writeln!(err, "{count} {what}")?;
        }
        Ok(())
    }
}
