//! Stores of earlier formats keep opening, with all that was in them.
//!
//! `tests/data/store-N.redb.gz` is the database of a store of format N, packed. It holds [`batches`], and was written by
//! the program of that format, with
//!
//! ```text
//! cargo test --package deniable-aggregator --test collector -- --ignored write_the_store_of_this_format
//! ```
//!
//! A change of the format makes a file of its own and leaves the earlier ones as they are.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use deniable::Epoch;
use deniable_aggregator::store::{DiskStore, Outcome, Selection, Store};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use redb::{Database, ReadableDatabase, TableDefinition};

use crate::support::{Choices, Section, accepted, catalog, metric, of_epoch};

/// The oldest epoch that takes reports in the stores.
const OPEN_FROM: Epoch = Epoch(19_990);

fn data(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/store-{format}.redb.gz"))
}

/// Twelve batches of two metrics in three versions, over three weeks.
fn batches() -> Vec<(u64, Vec<Section>)> {
    let mut choices = Choices(11);
    let mut section = || {
        let (name, version, cohorts, bits) =
            [("host", 1, 4, 8), ("host", 2, 4, 12), ("pick", 1, 64, 256)][choices.below(3) as usize];
        let epoch = 20_000 + choices.below(21) as u32;
        let reports: Vec<(u16, Vec<usize>)> = (0..=choices.below(4))
            .map(|_| {
                let ones = match name {
                    // A direct report sets one bit.
                    "pick" => vec![choices.below(bits) as usize],
                    _ => (0..bits as usize).filter(|_| choices.below(2) == 1).collect(),
                };
                (choices.below(cohorts) as u16, ones)
            })
            .collect();
        let reports: Vec<_> = reports.iter().map(|(cohort, ones)| (*cohort, ones.as_slice())).collect();
        Section::of(name, version, epoch, &reports)
    };
    (1..=12).map(|id| (id, vec![section(), section()])).collect()
}

fn unpack(format: u32, dir: &Path) {
    let mut bytes = Vec::new();
    GzDecoder::new(File::open(data(format)).unwrap()).read_to_end(&mut bytes).unwrap();
    fs::write(dir.join("store.redb"), bytes).unwrap();
}

/// Compares all that the store holds with the batches, and sends them again.
fn check(store: &dyn Store) {
    let mut expected = BTreeMap::<(String, u32, u32, u16), (u64, Vec<u64>)>::new();
    for section in batches().iter().flat_map(|(_, sections)| sections) {
        for (cohort, bits) in &section.records {
            let key = (section.metric.clone(), section.version, section.epoch, *cohort);
            let row = expected.entry(key).or_insert_with(|| (0, vec![0; usize::from(section.bits)]));
            row.0 += 1;
            let ones = (0..row.1.len()).filter(|bit| bits[bit / 8] >> (bit % 8) & 1 == 1);
            ones.for_each(|bit| row.1[bit] += 1);
        }
    }
    let total: u64 = expected.values().map(|row| row.0).sum();
    assert!(total > 40, "the fixture holds too little: {total} reports");
    assert_eq!(
        store.holdings(&Selection::all()).unwrap().iter().map(|holding| holding.reports).sum::<u64>(),
        total
    );
    for ((name, version, epoch, cohort), (reports, ones)) in expected {
        let counts = store.counts(&metric(&name), version, &of_epoch(epoch)).unwrap();
        assert_eq!(counts.reports()[usize::from(cohort)], reports);
        assert_eq!(counts.ones(usize::from(cohort)), ones);
    }
    assert_eq!(store.open_from().unwrap(), OPEN_FROM);
    let again: Vec<_> = batches().iter().map(|(id, sections)| accepted(*id, sections)).collect();
    assert_eq!(store.commit(&again, OPEN_FROM).unwrap(), [Outcome::Duplicate; 12]);
}

#[test]
fn a_store_of_the_first_format_still_opens() {
    let dir = tempfile::tempdir().unwrap();
    unpack(1, dir.path());
    check(&DiskStore::open(dir.path()).unwrap());
    // And once more, after what opening it may have changed.
    let store = DiskStore::open(dir.path()).unwrap();
    check(&store);
    assert_eq!(store.verify().unwrap().batch_ids, 12);
}

#[test]
#[ignore = "writes a file of the repository"]
fn write_the_store_of_this_format() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DiskStore::create(dir.path()).unwrap();
    store.declare(&catalog()).unwrap();
    let batches: Vec<_> = batches().iter().map(|(id, sections)| accepted(*id, sections)).collect();
    store.commit(&batches, OPEN_FROM).unwrap();
    store.compact().unwrap();
    drop(store);
    let file = dir.path().join("store.redb");
    let database = Database::open(&file).unwrap();
    let meta = database.begin_read().unwrap().open_table(TableDefinition::<&str, u32>::new("deniable"));
    let format = meta.unwrap().get("format").unwrap().unwrap().value();
    drop(database);
    let mut packed = GzEncoder::new(File::create(data(format)).unwrap(), Compression::best());
    packed.write_all(&fs::read(file).unwrap()).unwrap();
    packed.finish().unwrap();
}
