//! The store on a disk that fails: any operation may be its last, and a power cut keeps any part of what was
//! written since the last sync.

mod lake;

use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use deniable::{BatchId, Epoch, MetricId};
use flate2::read::GzDecoder;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use redb::StorageBackend;

use super::accepted::{Accepted, AcceptedSection};
use super::disk::DiskStore;
use super::layout::NO_TAGS;
use super::{Outcome, Selection, Store, StoreError};
use crate::catalog::Catalog;

/// What fails, once the disk's operations are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The disk is gone, and the power with it: of what was not synced, any part may be there.
    PowerCut,
    /// Nothing can be written any more; what was written stays.
    Full,
    /// As a power cut, on a disk that says it has synced and has not.
    LyingDisk,
}

/// A disk that works for a number of operations.
#[derive(Debug)]
struct Disk {
    /// What a power cut leaves for sure.
    synced: Vec<u8>,
    /// What is read.
    written: Vec<u8>,
    /// What was written since the last sync.
    pending: Vec<Change>,
    operations_left: u32,
    fault: Fault,
}

#[derive(Debug)]
enum Change {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl Change {
    /// Makes the change to `image`, or only the beginning of it if `bytes` says so.
    fn apply(&self, image: &mut Vec<u8>, bytes: usize) {
        match self {
            Self::Length(length) => image.resize(*length, 0),
            Self::Bytes(at, content) => {
                let content = &content[..bytes.min(content.len())];
                image.resize(image.len().max(at + content.len()), 0);
                image[*at..][..content.len()].copy_from_slice(content);
            }
        }
    }
}

impl Disk {
    fn of(image: Vec<u8>, operations_left: u32, fault: Fault) -> Self {
        Self { synced: image.clone(), written: image, pending: Vec::new(), operations_left, fault }
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        self.spend()?;
        change.apply(&mut self.written, usize::MAX);
        self.pending.push(change);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.spend()?;
        if self.fault != Fault::LyingDisk {
            self.synced.clone_from(&self.written);
            self.pending.clear();
        }
        Ok(())
    }

    fn spend(&mut self) -> io::Result<()> {
        let left = self.operations_left.checked_sub(1);
        self.operations_left = left.ok_or_else(|| io::Error::from(io::ErrorKind::StorageFull))?;
        Ok(())
    }

    /// What is on the disk after the fault: each pending change whole, in part or not at all.
    fn after_fault(&self, chance: &mut ChaCha8Rng) -> Vec<u8> {
        if self.fault == Fault::Full {
            return self.written.clone();
        }
        let mut image = self.synced.clone();
        for change in &self.pending {
            match chance.random_range(0..3) {
                0 => {}
                1 => change.apply(&mut image, usize::MAX),
                // A sector is written whole.
                _ => change.apply(&mut image, 512 * chance.random_range(0..8)),
            }
        }
        image
    }
}

/// The disk as the database sees it.
#[derive(Debug)]
struct Backend(Arc<Mutex<Disk>>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock().unwrap();
        let bytes = disk.written.get(offset as usize..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().change(Change::Length(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.lock().unwrap().sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().change(Change::Bytes(offset as usize, data.to_vec()))
    }
}

fn catalog() -> Catalog {
    Catalog::parse(
        "[metrics.pick]\nversion = 1\nquestion = \"?\"\nreport = { encoding = \"unary\", bits = 256, cohorts = 4, instantaneous = { zero = 0.25, one = 0.5 } }",
    )
    .unwrap()
}

const EPOCHS: [Epoch; 2] = [Epoch(100), Epoch(120)];

/// Batch `n`: in each epoch a report that sets a bit of a cohort that no other batch sets.
fn planted(n: u16, catalog: &Catalog) -> Accepted {
    let definition = catalog.definitions().next().unwrap();
    let mut record = (n / 256).to_le_bytes().to_vec();
    record.extend([0; 32]);
    record[2 + usize::from(n % 256 / 8)] = 1 << (n % 8);
    let section = |epoch| AcceptedSection {
        definition: Arc::clone(definition),
        epoch,
        tags: NO_TAGS.into(),
        records: record.clone(),
    };
    let id = BatchId(u128::from(n).to_le_bytes());
    Accepted { id, source: "".into(), sections: EPOCHS.map(section).to_vec() }
}

/// Commits groups of batches until the disk fails, and says which were acknowledged; none if it failed while it was
/// opened.
fn commit_until_the_fault(disk: &Arc<Mutex<Disk>>, first: u16) -> (Vec<u16>, u16) {
    let catalog = catalog();
    let (mut acknowledged, mut next) = (Vec::new(), first);
    let Ok(store) = DiskStore::on(Backend(Arc::clone(disk))) else { return (acknowledged, next) };
    if store.declare(&catalog).is_err() {
        return (acknowledged, next);
    }
    loop {
        let group: Vec<u16> = (next..next + 1 + next % 5).collect();
        next += group.len() as u16;
        let batches: Vec<_> = group.iter().map(|n| planted(*n, &catalog)).collect();
        match store.commit(&batches, Epoch(90)) {
            Ok(_) => acknowledged.extend(group),
            Err(_) => return (acknowledged, next),
        }
    }
}

/// Opens what a fault has left, and compares it with what was acknowledged: each of those once, every other at most
/// once, each batch whole. Leaves all batches counted.
fn check(image: Vec<u8>, acknowledged: &[u16], sent: u16) -> Result<Vec<u8>, String> {
    let disk = Arc::new(Mutex::new(Disk::of(image, u32::MAX, Fault::Full)));
    let store = DiskStore::on(Backend(Arc::clone(&disk))).map_err(|error| format!("{error:?}"))?;
    let catalog = catalog();
    store.declare(&catalog).map_err(|error| format!("{error:?}"))?;
    let pick = MetricId::new("pick").unwrap();
    let counts = EPOCHS.map(|epoch| store.counts(&pick, 1, &Selection::of_epochs(epoch..=epoch)).unwrap());
    // What was counted is known by its id, and what was not can be sent again.
    let batches: Vec<_> = (0..sent).map(|n| planted(n, &catalog)).collect();
    let outcomes = store.commit(&batches, Epoch(90)).unwrap();
    for (n, outcome) in (0..sent).zip(outcomes) {
        let times = [0, 1].map(|epoch: usize| counts[epoch].ones(usize::from(n / 256))[usize::from(n % 256)]);
        let agreed = match outcome {
            Outcome::Duplicate => times == [1, 1],
            Outcome::Counted => times == [0, 0] && !acknowledged.contains(&n),
            Outcome::Closed => false,
        };
        if !agreed {
            return Err(format!(
                "batch {n} is counted {times:?} times, and {outcome:?} when it is sent again"
            ));
        }
    }
    let held: u64 = store.holdings(&Selection::all()).unwrap().iter().map(|holding| holding.reports).sum();
    if held != 2 * u64::from(sent) {
        return Err(format!("after all {sent} batches {held} reports are held"));
    }
    drop(store);
    let image = disk.lock().unwrap().written.clone();
    Ok(image)
}

/// Lives of a store, each ended by a fault after a random number of operations and begun with what the last left.
/// Returns how many batches were acknowledged.
fn lives(fault: Fault, seed: u64) -> Result<usize, String> {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let (mut image, mut sent, mut acknowledged, mut total) = (Vec::new(), 0, Vec::new(), 0);
    for _ in 0..3 {
        let disk = Arc::new(Mutex::new(Disk::of(image, chance.random_range(1..400), fault)));
        let (now, next) = commit_until_the_fault(&disk, sent);
        total += now.len();
        acknowledged.extend(now);
        sent = next;
        let left = disk.lock().unwrap().after_fault(&mut chance);
        image = match check(left.clone(), &acknowledged, sent) {
            Ok(image) => image,
            // Before its first commit a store is not there yet; `create` begins anew then.
            Err(_) if acknowledged.is_empty() => Vec::new(),
            Err(error) => return Err(error),
        };
        acknowledged = if image.is_empty() { Vec::new() } else { (0..sent).collect() };
        sent = acknowledged.len() as u16;
    }
    Ok(total)
}

const SEEDS: u64 = 100;

fn survive(fault: Fault) {
    let life = |seed| lives(fault, seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let acknowledged: usize = (0..SEEDS).map(life).sum();
    assert!(acknowledged > 1000, "the test tried too little: {acknowledged} batches were acknowledged");
}

#[test]
fn after_a_power_cut_each_acknowledged_batch_is_counted_once_and_no_other_twice() {
    survive(Fault::PowerCut);
}

#[test]
fn after_a_full_disk_each_acknowledged_batch_is_counted_once_and_no_other_twice() {
    survive(Fault::Full);
}

/// The database of a store of format 1 that `tests/collector/fixture.rs` describes.
fn store_of_format_1() -> Vec<u8> {
    let mut image = Vec::new();
    let packed = include_bytes!("../../tests/data/store-1.redb.gz");
    GzDecoder::new(&packed[..]).read_to_end(&mut image).unwrap();
    image
}

/// Everything that a store tells.
fn told(image: Vec<u8>) -> Result<String, String> {
    let disk = Arc::new(Mutex::new(Disk::of(image, u32::MAX, Fault::Full)));
    let store = DiskStore::on(Backend(disk)).map_err(|error| format!("{error:?}"))?;
    let streams = store.streams().map_err(|error| format!("{error:?}"))?;
    let counts: Vec<_> = streams
        .keys()
        .map(|(metric, version)| store.counts(metric, *version, &Selection::all()).unwrap())
        .collect();
    let holdings = store.holdings(&Selection::all()).unwrap();
    let said = format!("{:?} {holdings:?} {counts:?}", store.open_from().unwrap());
    Ok(format!("{said} {:?}", store.verify().map_err(|error| format!("{error:?}"))?))
}

/// Ends the change of format after each of its operations in turn, and gives back what is told of what is left.
fn interrupted_migrations(fault: Fault) -> Vec<Result<String, String>> {
    let mut chance = ChaCha8Rng::seed_from_u64(7);
    let mut left = Vec::new();
    for operations in 0.. {
        let disk = Arc::new(Mutex::new(Disk::of(store_of_format_1(), operations, fault)));
        let opened = DiskStore::on(Backend(Arc::clone(&disk)));
        let is_whole = opened.is_ok() && disk.lock().unwrap().operations_left > 0;
        drop(opened);
        left.push(told(disk.lock().unwrap().after_fault(&mut chance)));
        if is_whole {
            break;
        }
    }
    left
}

#[test]
fn a_change_of_format_that_ends_anywhere_leaves_a_store_that_opens_with_all_it_had() {
    let whole = told(store_of_format_1()).unwrap();
    assert!(whole.contains("batch_ids: 12"), "{whole}");
    for fault in [Fault::PowerCut, Fault::Full] {
        let left = interrupted_migrations(fault);
        assert!(left.len() > 20, "the test tried too little: {} operations", left.len());
        for (operations, told) in left.into_iter().enumerate() {
            assert_eq!(told.as_ref(), Ok(&whole), "{fault:?} after {operations} operations");
        }
    }
}

/// The twin: a disk that forgets what it said it has synced loses batches, and that is noticed.
#[test]
fn a_disk_that_lies_is_noticed() {
    let noticed = (0..SEEDS).filter(|seed| lives(Fault::LyingDisk, *seed).is_err()).count();
    assert!(noticed > SEEDS as usize / 2, "{noticed} of {SEEDS}");
}
