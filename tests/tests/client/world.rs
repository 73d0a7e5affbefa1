//! A device, its disk, the network and a collector, driven by a list of operations and checked after each.
//!
//! The responses of the registry are so sure that a report shows its value, so the model knows from what left the device alone what it
//! must have cost: it knows nothing of the client's ledger, queue or state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use deniable::calendar::{Day, Moment, Timestamp};
use deniable::client::testing::{Answered, Disk, Fate, Network};
use deniable::client::{
    Consent, Core, Finished, NextUpload, OpenError, Options, Refusals, Reply, Status, StorageError, Upload,
    stored_commit,
};
use deniable::insight::Property;
use deniable::registry::Registry;
use deniable::{Answer, Batch, Entropy, EntropyError, MetricId, Params, Randomness};
use deniable_aggregator::catalog::Catalog;
use sha2::{Digest, Sha256};

use super::collector::Collector;
use super::history::{Fault, Op, Seen};

/// The 14th of November 2023, a Tuesday, at 22:13.
const BEGIN_MS: i64 = 1_700_000_000_000;
const MINUTE: i64 = 60_000;
const LABELS: [&str; 4] = ["a", "b", "c", "d"];

const FIRST: &str = r#"
[privacy]
weekly = 40.0
lifetime = 60.0

[events.saved]

[metrics.theme]
version = 1
question = "Which theme?"
kind = { labels = ["a", "b", "c", "d"] }
epsilon = 15.0
epsilon_infinity = 16.0

[metrics.active]
version = 1
question = "Was anything saved today?"
source = { any = { events = ["saved"], window = "day" } }
kind = "boolean"
every = "day"
epsilon = 15.0
epsilon_infinity = 16.0
"#;

/// The theme is asked with one more answer, and so in another version. Devices may still send the first.
fn second() -> String {
    let catalog = Catalog::parse(FIRST).unwrap();
    let params = catalog.registry().metric(&MetricId::new("theme").unwrap()).unwrap().params();
    let stage = |stage: deniable::Response| {
        format!("{{ zero = {}, one = {} }}", stage.zero().as_f64(), stage.one().as_f64())
    };
    let changed = FIRST
        .replace("version = 1\nquestion = \"Which theme?\"", "version = 2\nquestion = \"Which theme?\"")
        .replace("\"d\"] }", "\"d\", \"e\"] }");
    format!(
        "{changed}\n[[metrics.theme.older]]\nversion = 1\nreport = {{ encoding = \"direct\", bits = {}, hashes = 1, cohorts = 1, \
         permanent = {}, instantaneous = {} }}\n",
        params.bits(),
        stage(params.permanent().unwrap()),
        stage(params.instantaneous().unwrap())
    )
}

/// The entropy of a run.
struct Seeded(Randomness);

impl Entropy for Seeded {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        for part in out.chunks_mut(16) {
            part.copy_from_slice(&self.0.draw_id()[..part.len()]);
        }
        Ok(())
    }
}

/// A report as it left: its metric, version, the secret it was made under, its epoch, and its value.
type Left = (String, u32, u64, u32, usize);

pub(crate) struct World {
    fault: Fault,
    registry: Arc<Registry>,
    upgraded: Catalog,
    is_upgraded: bool,
    params: BTreeMap<(String, u32), Params>,
    core: Core,
    entropy: Seeded,
    now: i64,
    disk: Disk,
    network: Network,
    collector: Collector,
    /// Counts the secrets.
    secrets: u64,
    secret: u64,
    /// The secret of each commit.
    secret_of: BTreeMap<u64, u64>,
    batches: BTreeSet<[u8; 16]>,
    left: Vec<Left>,
    /// What left in batches that were then cut in two.
    split: Vec<Left>,
    resent: u64,
    crashes: u64,
    halved: u64,
}

/// Runs a list of operations, and says what is wrong with what happened.
pub(crate) fn run(fault: Fault, ops: &[Op]) -> Result<Seen, String> {
    let mut world = World::new(fault);
    for op in ops {
        world.apply(op)?;
    }
    world.settle()
}

fn options() -> Options {
    Options { consent: Consent::Given, ..Options::default() }
}

impl World {
    fn new(fault: Fault) -> Self {
        let catalog = Catalog::parse(FIRST).unwrap();
        let upgraded = Catalog::parse(&second()).unwrap();
        let registry = Arc::new(Registry::from_catalog(&catalog.registry().catalog()).unwrap());
        let definitions = catalog.definitions().chain(upgraded.definitions());
        let params = definitions.map(|definition| {
            let stream = definition.stream();
            ((stream.metric().to_string(), stream.version()), *definition.params())
        });
        let mut entropy = Seeded(Randomness::from_seed([3; 32]));
        let now = Moment::utc(Timestamp::from_millis(BEGIN_MS));
        let core = Core::open(Arc::clone(&registry), options(), None, &mut entropy, now).unwrap();
        let mut disk = Disk::default();
        if fault == Fault::SyncForgotten {
            disk.forget_sync();
        }
        Self {
            fault,
            params: params.collect(),
            core,
            entropy,
            registry,
            upgraded,
            is_upgraded: false,
            now: BEGIN_MS,
            disk,
            network: Network::default(),
            collector: Collector::new(catalog),
            secrets: 0,
            secret: 0,
            secret_of: BTreeMap::new(),
            batches: BTreeSet::new(),
            left: Vec::new(),
            split: Vec::new(),
            resent: 0,
            crashes: 0,
            halved: 0,
        }
    }

    fn moment(&self) -> Moment {
        Moment::utc(Timestamp::from_millis(self.now))
    }

    pub(crate) fn apply(&mut self, op: &Op) -> Result<(), String> {
        let now = self.moment();
        self.collector.set_clock(self.now);
        match *op {
            Op::Track => {
                self.core.track("saved", &[("unknown", Property::Flag(true))], now);
            }
            Op::Record(label) => {
                let theme = MetricId::new("theme").unwrap();
                self.core.record(&theme, Answer::Text(LABELS[label % LABELS.len()]), now);
            }
            Op::Pass(millis) => {
                self.now += millis;
                let now = self.moment();
                self.collector.set_clock(self.now);
                self.core.advance(now);
            }
            Op::Write => self.write(false)?,
            Op::Flush => {
                self.core.flush(now);
                self.write(true)?;
            }
            Op::Send(fate) => self.send(fate)?,
            Op::Release => {
                let (network, collector) = (&mut self.network, &self.collector);
                network.release(|body| collector.post(body));
            }
            Op::Stranger(status) => {
                self.write(false)?;
                if let NextUpload::Send(upload) = self.core.next_upload(now) {
                    self.leaves(&upload)?;
                    if status == 413 {
                        self.split.extend(self.reports_of(&upload));
                    }
                    let answered = Answered::new(status, "<html>please log in</html>");
                    let finished = self.core.finish_upload(upload.id, answered.reply(), now);
                    self.halved += u64::from(finished == Finished::Split);
                }
            }
            Op::CrashAfter(step, kept) => self.disk.crash_after(step, kept),
            Op::Restart => self.reopen()?,
            Op::StorageFails(fails) => self.disk.fail(fails.then_some(StorageError::Full)),
            Op::OptOut => {
                self.core.opt_out(now);
                self.new_secret();
                self.write(true)?;
            }
            Op::OptIn => {
                self.core.opt_in(now);
                self.write(true)?;
            }
            Op::Reset => {
                self.core.reset(now);
                self.new_secret();
                self.write(true)?;
            }
            Op::Upgrade => {
                self.is_upgraded = true;
                self.collector.serve(self.upgraded.clone());
                self.core.catalog(&self.upgraded.registry().catalog(), now);
            }
        }
        Ok(())
    }

    fn new_secret(&mut self) {
        self.secrets += 1;
        self.secret = self.secrets;
    }

    fn write(&mut self, urgent: bool) -> Result<(), String> {
        let now = self.moment();
        let Some(commit) = self.core.commit(now, urgent) else { return Ok(()) };
        self.secret_of.insert(commit.number, self.secret);
        let bytes = match self.fault {
            Fault::CommitSkipped => {
                self.core.committed(commit.number);
                return Ok(());
            }
            Fault::ChargeForgotten => with_ledger_of(&commit.bytes, self.disk.load()),
            _ => commit.bytes.to_vec(),
        };
        match self.disk.write(&bytes) {
            Ok(()) => self.core.committed(commit.number),
            Err(_) if self.disk.crashed() => {
                self.crashes += 1;
                self.reopen()?;
            }
            Err(error) => self.core.commit_failed(commit.number, error, now),
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.core = self.opened()?;
        let commit = self.disk.load().map(|bytes| stored_commit(bytes).unwrap());
        match commit {
            Some(commit) => self.secret = self.secret_of[&commit],
            None => self.new_secret(),
        }
        Ok(())
    }

    /// A client from what is durable.
    fn opened(&mut self) -> Result<Core, String> {
        let (registry, now) = (Arc::clone(&self.registry), self.moment());
        Core::open(registry, options(), self.disk.load(), &mut self.entropy, now)
            .map_err(|error: OpenError| format!("after a crash: {error}"))
    }

    fn send(&mut self, fate: Fate) -> Result<(), String> {
        self.write(false)?;
        let now = self.moment();
        let NextUpload::Send(upload) = self.core.next_upload(now) else { return Ok(()) };
        self.leaves(&upload)?;
        let mut sent = upload.clone();
        if self.fault == Fault::NewIdOnRetry {
            sent.body[21..37].copy_from_slice(&self.entropy.0.draw_id());
        }
        let collector = &self.collector;
        let answered = self.network.send(&sent, fate, |body| collector.post(body));
        let reply = answered.as_ref().map_or(Reply::TimedOut, Answered::reply);
        let finished = self.core.finish_upload(upload.id, reply, now);
        match (&answered, finished) {
            (Some(Answered { status: 200, .. }), Finished::Delivered { .. }) => Ok(()),
            (Some(Answered { status: 200, .. }), other) => Err(format!("a receipt is taken for {other:?}")),
            _ => Ok(()),
        }
    }

    /// Notes what leaves, and checks that its charge is durable, covers it, and keeps the caps.
    fn leaves(&mut self, upload: &Upload) -> Result<(), String> {
        let batch = Batch::parse(&upload.body).unwrap();
        if !self.batches.insert(batch.id().0) {
            self.resent += 1;
        } else {
            for report in self.reports_of(upload) {
                // A part of a batch that was cut in two left before.
                match self.split.iter().position(|split| *split == report) {
                    Some(place) => drop(self.split.remove(place)),
                    None => self.left.push(report),
                }
            }
        }
        let now = self.moment();
        let durable = self.opened()?.ledger(now);
        if durable.reports < self.left.len() as u64 {
            let left = self.left.len();
            return Err(format!("{left} reports left, but {} charges are durable", durable.reports));
        }
        let cost = self.cost(|_| true);
        if durable.for_life.spent.get() + 1e-9 < cost {
            return Err(format!("{cost} was spent, but the ledger says {:?}", durable.for_life));
        }
        self.caps(cost)
    }

    fn reports_of(&self, upload: &Upload) -> Vec<Left> {
        let batch = Batch::parse(&upload.body).unwrap();
        let sections = batch.sections().iter().flat_map(|section| {
            let stream = section.stream();
            section.reports().map(move |(_, bits)| {
                let value = (0..stream.bits()).find(|i| bits[i / 8] >> (i % 8) & 1 == 1).unwrap();
                (stream.metric().to_string(), stream.version(), self.secret, section.epoch().0, value)
            })
        });
        sections.collect()
    }

    fn caps(&self, life: f64) -> Result<(), String> {
        let privacy = self.registry.privacy();
        let weeks: BTreeSet<Day> = self.left.iter().map(|left| Day(left.3).week()).collect();
        for week in weeks {
            let cost = self.cost(|left| Day(left.3).week() == week);
            if cost > privacy.weekly + 1e-6 {
                return Err(format!("{cost} was spent in the week of {week}"));
            }
        }
        if life > privacy.lifetime + 1e-6 { Err(format!("{life} was spent for life")) } else { Ok(()) }
    }

    /// What the reports that left cost: those of one metric version, secret and value together, the rest added up.
    fn cost(&self, of: impl Fn(&Left) -> bool) -> f64 {
        let mut counts: BTreeMap<(&str, u32, u64, usize), u64> = BTreeMap::new();
        for left in self.left.iter().filter(|left| of(left)) {
            *counts.entry((&left.0, left.1, left.2, left.4)).or_default() += 1;
        }
        let cost = |((metric, version, ..), reports): (&(&str, u32, u64, usize), &u64)| {
            self.params[&((*metric).to_owned(), *version)].epsilon_of_reports(*reports).get()
        };
        counts.iter().map(cost).sum()
    }

    /// Lets everything arrive that can, and accounts for every report.
    fn settle(mut self) -> Result<Seen, String> {
        self.disk.fail(None);
        self.apply(&Op::Write)?;
        for _ in 0..200 {
            self.apply(&Op::Release)?;
            self.apply(&Op::Flush)?;
            self.apply(&Op::Send(Fate::Arrives))?;
            self.write(true)?;
            let status = self.core.status();
            if status.waiting + status.on_the_way == 0 || status.consent != Consent::Given {
                break;
            }
            self.apply(&Op::Pass(20 * MINUTE))?;
        }
        self.apply(&Op::Restart)?;
        let (status, ledger) = (self.core.status(), self.core.ledger(self.moment()));
        let dropped = status.dropped;
        let gone = dropped.too_old + dropped.no_room + dropped.too_large + dropped.uncertain + dropped.erased;
        let refused: u64 = status.uploads.refused.iter().map(|(_, count)| count).sum();
        let (made, counted) = (ledger.reports, status.uploads.counted);
        if made != counted + refused + gone + status.waiting + status.on_the_way {
            return Err(format!("{made} reports were made, but {status:?}"));
        }
        if ledger.lost_states > 0 {
            return Err("a state was lost".to_owned());
        }
        if status.waiting + status.on_the_way > 0 && status.consent == Consent::Given {
            return Err(format!("reports stay behind: {status:?}"));
        }
        let collected = self.collector.counted();
        // What was given up, or came again too late, may have been counted before.
        let gone = gone + refused;
        if collected < counted || collected > counted + gone {
            return Err(format!(
                "the collector counts {collected} reports, the client {counted}, and {gone} are gone"
            ));
        }
        Ok(self.seen(&status, collected))
    }

    fn seen(&self, status: &Status, collected: u64) -> Seen {
        let Refusals { week_spent, life_spent, .. } = status.refusals;
        Seen {
            left: self.left.len() as u64,
            collected,
            erased: status.dropped.erased,
            too_old: status.dropped.too_old,
            refused: status.uploads.refused.iter().map(|(_, count)| count).sum(),
            over_cap: week_spent + life_spent,
            resent: self.resent,
            crashes: self.crashes,
            halved: self.halved,
        }
    }
}

/// A state with the ledger of another one.
fn with_ledger_of(state: &[u8], other: Option<&[u8]>) -> Vec<u8> {
    let Some(other) = other else { return state.to_vec() };
    let end = |bytes: &[u8]| 13 + u32::from_le_bytes(bytes[9..13].try_into().unwrap()) as usize;
    let check = |bytes: &[u8]| Sha256::digest(bytes)[..8].to_vec();
    let mut spliced = state[..5].to_vec();
    let ledger = &other[13..end(other)];
    let rest = &state[end(state) + 8..state.len() - 8];
    spliced.extend(((13 + ledger.len() + 8 + rest.len() + 8) as u32).to_le_bytes());
    spliced.extend((ledger.len() as u32).to_le_bytes());
    spliced.extend(ledger);
    spliced.extend(check(&spliced));
    spliced.extend(rest);
    spliced.extend(check(&spliced));
    spliced
}
