//! `deniable demo`: the whole chain on this machine, with people whose answers are known.

mod collector;
mod population;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use deniable::{
    Answers, BatchId, DeviceSecret, Encoder, Epoch, MetricId, Params, Randomness, Report, SystemEntropy,
    Value, WriteKey, write_batch,
};
use deniable_aggregator::decode::{self, Decoded, Design, Figure, Options};
use deniable_aggregator::store::{DiskStore, Selection, Store};
use rayon::prelude::*;

use self::collector::Collector;
use self::population::Population;
use super::progress::Progress;
use super::table::table;

/// Run the whole chain on this machine: simulated people, real encoder, real collector, decoded figures.
///
/// Draws the users of a sign-in dialog and lets each device answer one question: which relying party did you
/// sign in to? Every answer goes through the encoder and over HTTP to a collector on a loopback port, which is then killed
/// without warning. The reports it acknowledged are decoded and set beside the truth.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many devices to simulate, from 10,000
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(10_000..))]
    devices: u32,
    /// Draws another population. The devices' coin flips come from the system and differ each time
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Keep the store, the metrics and the candidates in this new directory, for `deniable decode`
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// The question that the devices answer.
const METRIC: &str = "relying_party";
const QUESTION: &str = "Which relying party did this device sign in to?";
/// What a device says that has not signed in. Everybody reports, so that reporting itself says nothing.
const NONE: &str = "(none)";
/// The privacy losses of one report and of all reports of one value.
const EPSILON_ONE: f64 = 2.0;
const EPSILON_INFINITY: f64 = 4.0;
/// Reports in one batch, as a relay would gather them.
const BATCH: usize = 200;
/// Candidates that nobody has, to show that they are not found.
const ABSENT: usize = 100;
/// Rows of the table.
const SHOWN: usize = 20;

pub(crate) fn run(args: &Args) -> Result<()> {
    let directory = Directory::new(args.keep.as_deref())?;
    let params = Params::for_epsilon(EPSILON_ONE, Some(EPSILON_INFINITY), Answers::Open)?;
    let population = Population::load()?;
    directory.write(params, &candidates(&population))?;
    let people = population.draw(args.devices as usize, args.seed)?;

    let collector = Collector::start(&directory.store(), &directory.metrics())?;
    introduce(&params, &collector);
    let began = Instant::now();
    let epoch = today()?;
    report_all(&people, population.hosts(), (params, epoch), &collector)?;
    let reported = began.elapsed();
    let restarts = collector.kill()?;

    let began = Instant::now();
    let decoded = decode_store(&directory, (&params, epoch), candidates(&population))?;
    ensure!(
        decoded.reports == u64::from(args.devices),
        "{} reports were acknowledged, but {} are in the store",
        args.devices,
        decoded.reports
    );
    let truth = truth(&people, population.hosts());
    show(&decoded, &truth);
    say(&format!(
        "\n{} devices reported in {:.1} s ({:.0} a second); decoded in {:.2} s.",
        args.devices,
        reported.as_secs_f64(),
        f64::from(args.devices) / reported.as_secs_f64(),
        began.elapsed().as_secs_f64(),
    ));
    if restarts > 0 {
        say(&format!("The collector died on the way and was started again (restarts: {restarts})."));
    }
    say("The collector was killed without warning; every report that it acknowledged is counted once.");
    if args.keep.is_some() {
        directory.say_how_to_decode();
    }
    Ok(())
}

/// Where the demo keeps its files: a directory that the user named, or one that goes when the demo ends.
struct Directory {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Directory {
    fn new(keep: Option<&Path>) -> Result<Self> {
        let Some(path) = keep else {
            let temporary = tempfile::tempdir().context("no temporary directory could be made")?;
            return Ok(Self { path: temporary.path().to_owned(), _temporary: Some(temporary) });
        };
        fs::create_dir(path)
            .with_context(|| format!("--keep {}: the directory must not exist yet", path.display()))?;
        Ok(Self { path: path.to_owned(), _temporary: None })
    }

    fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    fn metrics(&self) -> PathBuf {
        self.path.join("metrics.toml")
    }

    fn candidates(&self) -> PathBuf {
        self.path.join("candidates.txt")
    }

    fn write(&self, params: Params, candidates: &[String]) -> Result<()> {
        #[derive(serde::Serialize)]
        struct Metric {
            version: u32,
            question: &'static str,
            report: Params,
        }
        let metric = Metric { version: 1, question: QUESTION, report: params };
        let file = HashMap::from([("metrics", HashMap::from([(METRIC, metric)]))]);
        fs::write(self.metrics(), toml::to_string(&file)?)?;
        Ok(fs::write(self.candidates(), candidates.join("\n") + "\n")?)
    }

    fn say_how_to_decode(&self) {
        let (store, candidates) = (self.store(), self.candidates());
        say(&format!(
            "Decode it again: deniable decode --store {} --metric {METRIC} --candidates {}",
            store.display(),
            candidates.display()
        ));
    }
}

/// The hosts, the answer of those who have none, and some that nobody has.
fn candidates(population: &Population) -> Vec<String> {
    let absent = (1..=ABSENT).map(|i| format!("absent-{i:03}.example"));
    population.hosts().iter().cloned().chain([NONE.to_owned()]).chain(absent).collect()
}

fn introduce(params: &Params, collector: &Collector) {
    let channel = params.channel();
    say(QUESTION);
    say(&format!(
        "Each device sends {} bits. A bit that its answer sets is sent as 1 with probability {:.3}, any other with {:.3},",
        params.bits(),
        channel.one(),
        channel.zero()
    ));
    say(&format!(
        "so one report costs it ε₁ = {:.2} and all reports of one answer, for ever, ε∞ = {:.2}.",
        params.epsilon_one(),
        params.epsilon_infinity()
    ));
    say(&format!("Collector: process {} at {}\n", collector.pid(), collector.url()));
}

/// Lets every device make its report and posts them in batches, on every core.
fn report_all(
    people: &[Option<usize>],
    hosts: &[String],
    (params, epoch): (Params, Epoch),
    collector: &Collector,
) -> Result<()> {
    let progress = Progress::new("devices reported", people.len() as u64);
    people.par_chunks(BATCH).try_for_each(|devices| {
        let mut randomness = Randomness::from_system()?;
        let reports = devices
            .iter()
            .map(|host| report(host.map_or(NONE, |host| &hosts[host]), (params, epoch), &mut randomness))
            .collect::<Result<Vec<_>>>()?;
        collector.post(&write_batch(WriteKey::NONE, BatchId(randomness.draw_id()), &reports)?)?;
        progress.advance(devices.len() as u64);
        Ok(())
    })
}

/// The epoch that begins now: the demo's lasts for a day.
fn today() -> Result<Epoch> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    Ok(Epoch(u32::try_from(since_1970.as_secs() / 86_400)?))
}

/// One device: it draws its secret, and answers.
fn report(answer: &str, (params, epoch): (Params, Epoch), randomness: &mut Randomness) -> Result<Report> {
    let secret = DeviceSecret::draw(&mut SystemEntropy)?;
    let encoder = Encoder::new(MetricId::new(METRIC)?, 1, params, &secret);
    Ok(encoder.encode(Value::Text(answer), epoch, randomness)?)
}

fn decode_store(
    directory: &Directory,
    (params, epoch): (&Params, Epoch),
    candidates: Vec<String>,
) -> Result<Decoded> {
    let store = DiskStore::open(&directory.store())?;
    let counts = store.counts(&MetricId::new(METRIC)?, 1, &Selection::of_epochs(epoch..=epoch))?;
    let design = Design::of_names(params, candidates)?;
    Ok(decode::decode(params, &counts, &design, &Options::default())?)
}

fn truth<'a>(people: &[Option<usize>], hosts: &'a [String]) -> HashMap<&'a str, u32> {
    let mut truth = HashMap::new();
    for host in people {
        *truth.entry(host.map_or(NONE, |host| &hosts[host])).or_default() += 1;
    }
    truth
}

/// Prints the figures of the truly largest beside the truth, and how often the intervals of all hold it.
fn show(decoded: &Decoded, truth: &HashMap<&str, u32>) {
    let reports = decoded.reports as f64;
    let of = |figure: &Figure| truth.get(figure.names[0].as_str()).copied().unwrap_or(0);
    let holds = |figure: &&Figure| {
        let (low, high) = figure.share.interval_95();
        (low..=high).contains(&(f64::from(of(figure)) / reports))
    };
    let headings = ["relying party", "truth", "estimate", "95 % interval", "holds the truth", "detected"];
    let mut table = table(headings, 1..=3);
    let mut figures: Vec<&Figure> = decoded.figures.iter().collect();
    figures.sort_by_key(|figure| std::cmp::Reverse(of(figure)));
    for figure in figures.into_iter().take(SHOWN) {
        let (low, high) = figure.share.interval_95();
        table.add_row([
            figure.names.join(" | "),
            of(figure).to_string(),
            format!("{:.0}", figure.share.value * reports),
            format!("{:.0} to {:.0}", low * reports, high * reports),
            yes_or_no(holds(&figure)),
            yes_or_no(figure.detected),
        ]);
    }
    say(&table.to_string());
    let detected = decoded.figures.iter().filter(|figure| figure.detected);
    let (found, absent): (Vec<_>, Vec<_>) = detected.partition(|figure| of(figure) > 0);
    say(&format!(
        "{} candidates: {} detected, {} of them absent. The 95 % intervals of {} hold the truth.",
        decoded.figures.len(),
        found.len() + absent.len(),
        absent.len(),
        decoded.figures.iter().filter(holds).count()
    ));
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

#[allow(clippy::print_stdout, reason = "the demo's whole purpose is to be read")]
fn say(line: &str) {
    println!("{line}");
}
