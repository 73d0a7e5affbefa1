//! The lake as an operator and an analyst use it: by commands that are killed, by a collector, in S3, and with a program
//! that is not ours.

mod s3;
mod second_program;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use deniable::{Epoch, MetricId, Params};
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::decode::Counts;
use deniable_aggregator::lake::{Lake, check as check_lake, compact};
use deniable_aggregator::store::{DiskStore, Outcome, Selection, Store};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use tokio::runtime::Runtime;

use crate::process::{Collector, deniable, error_of, holds};
use crate::support::{Choices, Section, batch, check, metric};

/// The README's first metric, and one whose reports are wide and kept.
const METRICS: &str = r#"
[metrics.relying_party]
version = 1
question = "Which relying party?"
keep_reports = true
report = { encoding = "bloom", bits = 128, hashes = 1, cohorts = 128, instantaneous = { zero = 0.25, one = 0.75 } }

[metrics.wide]
version = 3
question = "Which of many?"
keep_reports = true
report = { encoding = "unary", bits = 4096, cohorts = 2, instantaneous = { zero = 0.25, one = 0.5 } }
"#;

/// The epochs of `relying_party`; all are closed.
const EPOCHS: std::ops::Range<u32> = 20_000..20_020;

/// A store whose epochs are closed, and the place for its lake.
struct Closed {
    dir: tempfile::TempDir,
    /// What is counted of each epoch of `relying_party`.
    expected: BTreeMap<u32, Counts>,
}

impl Closed {
    fn new(wide: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("metrics.toml"), METRICS).unwrap();
        let store = DiskStore::create(&dir.path().join("store")).unwrap();
        let catalog = Catalog::parse(METRICS).unwrap();
        store.declare(&catalog).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (id, epoch) in EPOCHS.enumerate() {
            for (place, source) in ["app", "web"].into_iter().enumerate() {
                let section = section(&catalog, "relying_party", epoch, 60, &mut rng);
                let body = batch(2 * id as u64 + place as u64, &[section]);
                commit(&store, &catalog, &body, source);
            }
        }
        for id in 0..wide.div_ceil(1000) {
            let section = section(&catalog, "wide", EPOCHS.start, 1000.min(wide - 1000 * id), &mut rng);
            commit(&store, &catalog, &batch(1000 + id as u64, &[section]), "");
        }
        store.commit(&[], Epoch(EPOCHS.end + 30)).unwrap();
        let expected = tell(&store);
        Self { dir, expected }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn lake(&self) -> String {
        self.path("lake").to_str().unwrap().to_owned()
    }

    /// A command on the store.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = deniable(words);
        command.arg("--store").arg(self.path("store")).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn say(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The store with its lake, as the library reads it.
    fn open(&self, runtime: &Runtime) -> DiskStore {
        let lake = Lake::create(&self.lake(), runtime.handle().clone()).unwrap();
        DiskStore::open(&self.path("store")).unwrap().with_lake(lake)
    }
}

/// A section of random reports.
fn section(catalog: &Catalog, name: &str, epoch: u32, reports: usize, rng: &mut ChaCha8Rng) -> Section {
    let definition = catalog.definitions().find(|found| found.stream().metric().as_str() == name).unwrap();
    let (stream, params): (_, &Params) = (definition.stream(), definition.params());
    let record = |_| {
        let mut bits = vec![0; stream.bit_bytes()];
        rng.fill_bytes(&mut bits);
        ((rng.next_u32() % params.cohorts() as u32) as u16, bits)
    };
    Section {
        metric: name.to_owned(),
        version: stream.version(),
        epoch,
        fingerprint: stream.fingerprint().0,
        registry: [0; 8],
        tags: Vec::new(),
        bits: stream.bits() as u16,
        records: (0..reports).map(record).collect(),
    }
}

fn commit(store: &DiskStore, catalog: &Catalog, body: &[u8], source: &str) {
    let checked = check(body, catalog, &store.registries().unwrap(), source);
    assert_eq!(checked.refused.first(), None);
    assert_eq!(store.commit(&[checked.accepted], Epoch(0)).unwrap(), [Outcome::Counted]);
}

fn tell(store: &DiskStore) -> BTreeMap<u32, Counts> {
    let of = |epoch| {
        let selection = Selection::of_epochs(Epoch(epoch)..=Epoch(epoch));
        (epoch, store.counts(&metric("relying_party"), 1, &selection).unwrap())
    };
    EPOCHS.map(of).collect()
}

/// Files below a folder, also those that are not whole yet.
fn files(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

/// Kills that the test wants to have seen, each in the middle of a compaction.
const KILLS: usize = 12;
/// Stores that it may take; a compaction that is looked at too late has ended, as most have where the test gets little time.
const STORES: usize = 1000;

/// Compactions are killed again and again, after one more file has begun each time; between two lives each epoch is counted
/// from the store or from the lake.
#[test]
fn sigkill_in_a_compaction_loses_no_count_and_repeats_none() {
    let runtime = Runtime::new().unwrap();
    let (mut choices, mut kills) = (Choices(5), 0);
    for _ in 0..STORES {
        kills += kill_until_all_is_moved(&Closed::new(0), &mut choices, &runtime);
        if kills >= KILLS {
            return;
        }
    }
    panic!("the test tried too little: {kills} kills");
}

fn kill_until_all_is_moved(closed: &Closed, choices: &mut Choices, runtime: &Runtime) -> usize {
    let (mut kills, mut moved) = (0, 0);
    loop {
        let before = files(&closed.path("lake"));
        let wanted = before + 1 + choices.below(3) as usize;
        let mut child = closed.command(&["lake", "compact", "--lake", &closed.lake()]).spawn().unwrap();
        let ended = loop {
            if files(&closed.path("lake")) >= wanted {
                child.kill().unwrap();
            }
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
        };
        let store = closed.open(runtime);
        assert!(tell(&store) == closed.expected, "after {kills} kills");
        let moves = store.moves().unwrap().values().filter(|entry| entry.is_moved()).count();
        assert!(moves >= moved);
        moved = moves;
        if ended.success() {
            break;
        }
        kills += 1;
    }
    let store = closed.open(runtime);
    assert_eq!(moved, EPOCHS.len());
    let checked = check_lake(&store, store.lake().unwrap()).unwrap();
    assert_eq!((checked.epochs, checked.reports, checked.kept), (20, 2400, 2400));
    // Nothing that was cut off is left behind, and nothing else was written.
    assert_eq!(files(&closed.path("lake")), 2 * EPOCHS.len());
    assert_eq!(store.verify().unwrap().moved, 2400);
    kills
}

#[test]
fn every_command_that_reads_a_store_reads_what_was_moved() {
    let closed = Closed::new(0);
    let all = ["counts", "--metric", "relying_party", "--format", "csv"];
    let one = [&all[..], &["--epoch", "20003"]].concat();
    let (counts, of_one, list) =
        (closed.say(&all), closed.say(&one), closed.say(&["counts", "--format", "csv"]));
    let export = closed.say(&["store", "export"]);
    let error = error_of(&closed.command(&["lake", "compact"]).output().unwrap());
    holds(&error, &["no lake yet", "--lake"]);

    let said = closed.say(&["lake", "compact", "--lake", &closed.lake()]);
    holds(&said, &["moved 20 epochs with 2400 reports", &closed.lake()]);
    assert!(closed.say(&["lake", "compact"]).contains("moved 0 epochs"));
    // The store remembers its lake.
    assert_eq!(closed.say(&all), counts);
    assert_eq!(closed.say(&one), of_one);
    assert_eq!(closed.say(&["counts", "--format", "csv"]), list);
    assert_eq!(closed.say(&["store", "export"]), export);
    holds(&closed.say(&["lake", "list"]), &["relying_party", "20019", "120", "moved"]);
    holds(&closed.say(&["lake", "verify"]), &["is sound", "20 epochs with 2400 reports, 2400 of them kept"]);
    holds(&closed.say(&["store", "verify"]), &["0 reports", "2400 more in the lake"]);

    // A lake that has gone elsewhere is asked for, and found there.
    let elsewhere = closed.path("elsewhere");
    fs::rename(closed.path("lake"), &elsewhere).unwrap();
    let error = error_of(&closed.command(&all).output().unwrap());
    holds(&error, &[&closed.lake()]);
    let place = elsewhere.to_str().unwrap();
    assert_eq!(closed.say(&[&all[..], &["--lake", place]].concat()), counts);
    // A place without the files is no lake of this store; the right one is remembered.
    let empty = closed.path("empty");
    let error = closed.command(&["lake", "compact", "--lake", empty.to_str().unwrap()]).output().unwrap();
    holds(&error_of(&error), &["not there"]);

    closed.say(&["lake", "compact", "--lake", place]);
    assert_eq!(closed.say(&all), counts);

    // What was changed is told by name, and never a figure.
    let file = first_file(&elsewhere.join("counts"));
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = closed.command(&["lake", "verify", "--lake", place]).output().unwrap();
    holds(&error_of(&error), &[file.file_name().unwrap().to_str().unwrap()]);
}

fn first_file(folder: &Path) -> PathBuf {
    let mut path = folder.to_owned();
    while path.is_dir() {
        let paths = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
        path = paths.min().unwrap();
    }
    path
}

/// A collector with a lake moves at its start what is closed, while it takes and counts reports.
#[test]
fn a_collector_moves_closed_epochs_by_itself() {
    let closed = Closed::new(0);
    let lake = closed.lake();
    // The last reports are of long ago.
    let words = ["serve", "--listen", "127.0.0.1:0", "--lake", &lake, "--accept-date", "2099-12-31"];
    let mut serve = closed.command(&words);
    let collector = Collector::start(serve.arg("--metrics").arg(closed.path("metrics.toml")));
    // Files appear as epochs are moved; the last is there before its epoch is moved, which the next start sees to.
    while files(&closed.path("lake").join("counts")) < EPOCHS.len() {
        std::thread::yield_now();
    }
    collector.kill();
    let runtime = Runtime::new().unwrap();
    let store = closed.open(&runtime);
    assert!(tell(&store) == closed.expected);
    compact(&store, store.lake().unwrap()).unwrap();
    assert!(tell(&store) == closed.expected);
    let metrics: Vec<MetricId> =
        store.moves().unwrap().into_keys().map(|partition| partition.metric).collect();
    assert_eq!(metrics.len(), EPOCHS.len());
}
