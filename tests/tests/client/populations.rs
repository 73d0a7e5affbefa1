//! The four populations, from events through clients, a collector and the decoder to figures.
//!
//! Every device is a client with a state of its own, that writes and sends as it goes. A figure is compared with the share of the answers
//! that were reported, for rotation and caps decide by chance and history who reports; whether answers are those of
//! the population is tested where they are computed.

use std::collections::BTreeMap;
use std::iter;
use std::path::Path;
use std::sync::Arc;

use deniable::calendar::{Day, Moment, Timestamp};
use deniable::client::{Consent, Core, Finished, NextUpload, Options};
use deniable::registry::{Declared, Every, Kind, Metric, Registry};
use deniable::{Batch, Entropy, EntropyError, Epoch, MetricId};
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::decode::{self, DecodeError, Decoded, Design, decode};
use deniable_tests::workload::{self, Draws, Person, Population, Unit};
use rand::rngs::ChaCha12Rng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::collector::Collector;

const SEED: u64 = 20_210_919;
/// Units of each population; the ignored test runs more.
const UNITS: u64 = 3000;

struct Seeded(ChaCha12Rng);

impl Seeded {
    /// The entropy of a device.
    fn of(unit: u64, device: usize) -> Self {
        Self(ChaCha12Rng::seed_from_u64(SEED ^ (unit << 8) ^ device as u64))
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.0.fill_bytes(out);
        Ok(())
    }
}

/// How often each answer was reported, by metric and epoch; of metrics that a device answers once, by metric alone.
type Truth = BTreeMap<(MetricId, Option<Epoch>), BTreeMap<String, u64>>;

/// A population that reports.
struct Crowd {
    declared: Declared,
    registry: Arc<Registry>,
    collector: Collector,
    truth: Truth,
    reports: u64,
}

/// A device at work.
struct Reporter<'c> {
    core: Core,
    crowd: &'c mut Crowd,
    person: &'c Person,
}

fn open(registry: &Arc<Registry>, entropy: &mut Seeded, now: Moment) -> Core {
    let options = Options { consent: Consent::Given, ..Options::default() };
    Core::open(Arc::clone(registry), options, None, entropy, now).unwrap()
}

impl Crowd {
    fn new(population: &Population) -> Self {
        let catalog = Catalog::load(Path::new(population.registry)).unwrap();
        let registry = Arc::new(Registry::from_catalog(&catalog.registry().catalog()).unwrap());
        let declared = catalog.declared().clone();
        let collector = Collector::open_for(catalog, 3650);
        Self { declared, registry, collector, truth: Truth::new(), reports: 0 }
    }

    fn run(population: &Population, units: u64) -> Self {
        let mut crowd = Self::new(population);
        for unit in 0..units {
            let begun = Moment::utc(Timestamp::from_seconds(1_600_000_000));
            let probe = open(&crowd.registry, &mut Seeded::of(unit, 0), begun);
            let arms = population.arms.iter();
            let fixed = arms.map(|name| ((*name).to_owned(), json!(probe.experiment(name).arm().unwrap())));
            let mut rng = Draws::new(SEED, unit);
            let drawn: Unit = population.workload.draw(&mut rng, &fixed.collect());
            for (device, person) in (population.people)(&drawn, &mut rng).iter().enumerate() {
                crowd.report(person, &mut Seeded::of(unit, device));
            }
        }
        assert_eq!(crowd.collector.counted(), crowd.reports);
        crowd
    }

    fn report(&mut self, person: &Person, entropy: &mut Seeded) {
        let core = open(&self.registry, entropy, person.install);
        let mut reporter = Reporter { core, crowd: self, person };
        for event in &person.events {
            let properties = event.read();
            let now = Moment::utc(Timestamp::from_millis(event.at_ms));
            reporter.core.track(event.name, &properties, now);
            reporter.work(now);
        }
        reporter.core.advance(person.end);
        reporter.work(person.end);
        reporter.core.flush(person.end);
        reporter.work(person.end);
        let status = reporter.core.status();
        assert_eq!((status.waiting, status.on_the_way), (0, 0));
        assert_eq!((status.events.unknown_events, status.events.unfit_properties), (0, 0));
        self.reports += status.uploads.counted;
    }
}

impl Reporter<'_> {
    /// Writes and sends what is due.
    fn work(&mut self, now: Moment) {
        while let Some(commit) = self.core.commit(now, false) {
            self.core.committed(commit.number);
            let NextUpload::Send(upload) = self.core.next_upload(now) else { continue };
            self.note(&upload.body);
            self.crowd.collector.set_clock(now.at.as_millis());
            let answered = self.crowd.collector.post(&upload.body);
            let finished = self.core.finish_upload(upload.id, answered.reply(), now);
            assert!(matches!(finished, Finished::Delivered { refused: 0, .. }), "{finished:?}");
        }
    }

    /// Notes the true answer of each report that leaves.
    fn note(&mut self, body: &[u8]) {
        for section in Batch::parse(body).unwrap().sections() {
            let metric = self.crowd.registry.metric(section.stream().metric()).unwrap();
            let Some(answers) = self.person.answers.get(metric.id().as_str()) else { continue };
            let answer = &answers[place(metric, self.person.install, section.epoch())];
            let epoch = (metric.every() != Some(&Every::Once)).then_some(section.epoch());
            let shares = self.crowd.truth.entry((metric.id().clone(), epoch)).or_default();
            *shares.entry(answer.clone()).or_default() += section.len() as u64;
        }
    }
}

/// The place of an epoch among those of a device.
fn place(metric: &Metric, install: Moment, epoch: Epoch) -> usize {
    let day = Day((install.at.as_millis() / 86_400_000) as u32);
    let (first, next): (Day, fn(Day) -> Day) = match metric.every().unwrap() {
        Every::Day => (day, |day| Day(day.0 + 1)),
        Every::Week => (day.week(), |day| Day(day.0 + 7)),
        Every::Month => (day.month(), |day| Day(day.0 + 31).month()),
        _ => return 0,
    };
    iter::successors(Some(first), |day| Some(next(*day))).take_while(|day| day.0 < epoch.0).count()
}

/// What the reports of a metric should come to: the share of each candidate, and the variance that the device's own draws add.
struct Expected {
    names: Vec<String>,
    shares: BTreeMap<String, (f64, f64)>,
}

impl Expected {
    fn new(declared: &Declared, metric: &Metric, truth: &BTreeMap<String, u64>) -> Self {
        let reports: u64 = truth.values().sum();
        let mut shares: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for (answer, times) in truth {
            let weight = *times as f64 / reports as f64;
            for (name, chance) in candidates(declared, metric, answer) {
                let (share, variance) = shares.entry(name).or_default();
                *share += weight * chance;
                *variance += weight * chance * (1.0 - chance) / reports as f64;
            }
        }
        Self { names: names(declared, metric, &shares), shares }
    }
}

/// The candidates that an answer makes a device report, before any response, and with which chance.
fn candidates(declared: &Declared, metric: &Metric, answer: &str) -> Vec<(String, f64)> {
    let number = |text: &str| text.strip_prefix("Some(")?.strip_suffix(')')?.parse::<f64>().ok();
    match kind(declared, metric) {
        Kind::Number { low, high } => match number(answer) {
            Some(number) => {
                let above = ((number - low) / (high - low)).clamp(0.0, 1.0);
                vec![("below".to_owned(), 1.0 - above), ("above".to_owned(), above)]
            }
            None => vec![("nothing".to_owned(), 1.0)],
        },
        Kind::Set if answer.is_empty() => vec![("nothing".to_owned(), 1.0)],
        _ => vec![(answer.to_owned(), 1.0)],
    }
}

/// The candidates in the order of their bits.
fn names(declared: &Declared, metric: &Metric, shares: &BTreeMap<String, (f64, f64)>) -> Vec<String> {
    let labels = metric.labels();
    match kind(declared, metric) {
        Kind::Number { .. } => ["below", "above", "nothing"].map(str::to_owned).to_vec(),
        Kind::Set => {
            let subset = |set: usize| {
                let names = labels.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1);
                let names = names.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join("+");
                if names.is_empty() { "nothing".to_owned() } else { names }
            };
            (0..1 << labels.len()).map(subset).collect()
        }
        _ if labels.is_empty() => shares.keys().cloned().collect(),
        _ => labels.to_vec(),
    }
}

fn kind<'d>(declared: &'d Declared, metric: &Metric) -> &'d Kind {
    declared.metrics[metric.id()].kind.as_ref().unwrap()
}

/// How figures compare with the truth.
#[derive(Debug, Default)]
struct Judged {
    figures: u64,
    inside: u64,
    /// The greatest distance, in standard errors.
    worst: f64,
    /// Metrics with too few reports for a figure.
    silent: Vec<String>,
}

impl Crowd {
    /// Compares all figures with the truth, or with what `twist` makes of it.
    fn judge(&self, twist: impl Fn(&mut Expected)) -> Judged {
        let mut judged = Judged::default();
        for ((id, epoch), truth) in &self.truth {
            let metric = self.registry.metric(id).unwrap();
            let mut expected = Expected::new(&self.declared, metric, truth);
            let epochs = epoch.map_or(Epoch(0)..=Epoch(u32::MAX), |epoch| epoch..=epoch);
            let counts = self.collector.counts(metric, epochs);
            assert_eq!(counts.total(), truth.values().sum::<u64>(), "{id}");
            let design = Design::of_names(metric.params(), expected.names.clone()).unwrap();
            twist(&mut expected);
            match decode(metric.params(), &counts, &design, &decode::Options::default()) {
                Ok(decoded) => judged.add(&decoded, &expected),
                Err(DecodeError::TooFewReports { .. }) => judged.silent.push(format!("{id} {epoch:?}")),
                Err(error) => panic!("{id}: {error}"),
            }
        }
        judged
    }
}

impl Judged {
    fn add(&mut self, decoded: &Decoded, expected: &Expected) {
        for figure in &decoded.figures {
            let of = |name: &String| expected.shares.get(name).copied().unwrap_or_default();
            let (share, variance) =
                figure.names.iter().map(of).fold((0.0, 0.0), |(s, v), (share, more)| (s + share, v + more));
            let error = (figure.share.std_error.powi(2) + variance).sqrt();
            let distance = (figure.share.value - share).abs() / error;
            self.figures += 1;
            self.inside += u64::from(distance < 1.96);
            self.worst = self.worst.max(distance);
        }
    }

    /// All figures within five standard errors, a false alarm in 1,000 runs of 1,000 figures each, and as many inside their 95 % interval as four
    /// standard deviations allow.
    fn agrees(&self) -> bool {
        let n = self.figures as f64;
        self.worst < 5.0 && self.inside as f64 > 0.95 * n - 4.0 * (0.95 * 0.05 * n).sqrt()
    }
}

fn check(population: &Population, units: u64) {
    let crowd = Crowd::run(population, units);
    for (tag, labels) in crowd.registry.tags() {
        for metric in crowd.registry.metrics() {
            let by_label = crowd.collector.reports_by(metric, tag);
            let tagged = labels.iter().filter(|label| by_label.contains_key(&Some((*label).clone()))).count();
            // What is sensitive is not shown beside anything.
            let expected = if metric.is_sensitive() { 0 } else { labels.len() };
            assert_eq!(tagged, expected, "{tag} beside {}: {by_label:?}", metric.id());
        }
    }
    let judged = crowd.judge(|_| {});
    assert!(judged.agrees() && judged.silent.is_empty(), "{}: {judged:?}", population.name);
    // Figures of answers that were mixed up must not pass.
    let twin = crowd.judge(|expected| {
        let rotated = expected.names.iter().cycle().skip(1).cloned();
        let shares = rotated.zip(&expected.names).map(|(to, from)| (to, expected.shares.get(from).copied()));
        expected.shares = shares.map(|(to, share)| (to, share.unwrap_or_default())).collect();
    });
    assert!(!twin.agrees(), "{}: {twin:?}", population.name);
}

#[test]
fn figures_of_onboarding_match() {
    check(&workload::onboarding(), UNITS);
}

#[test]
fn figures_of_the_sign_in_dialog_match() {
    check(&workload::persona(), UNITS);
}

#[test]
fn figures_of_services_match() {
    check(&workload::fxa_hub(), UNITS);
    check(&workload::fxa_devices(), UNITS);
}

#[test]
fn figures_of_the_campaign_match() {
    check(&workload::campaign(), UNITS);
}

#[test]
#[ignore = "a hundred thousand units of each; some minutes in a release build"]
fn figures_of_large_populations_match() {
    for population in [
        workload::onboarding(),
        workload::persona(),
        workload::fxa_hub(),
        workload::fxa_devices(),
        workload::campaign(),
    ] {
        check(&population, 100_000);
    }
}
