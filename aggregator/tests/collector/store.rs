//! The store against a model, after reopening, and in directories that are not fit for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use deniable::Epoch;
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::store::{Day, Holding, Outcome, Store, StoreError};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};

use crate::support::{
    Choices, METRICS, Section, accepted, catalog, counts, exactly_once, metric, planted, planted_counts,
};

const TODAY: Day = Day(20_000);

fn open(dir: &Path) -> Store {
    let store = Store::create(dir).unwrap();
    store.declare(catalog().definitions().map(AsRef::as_ref)).unwrap();
    store
}

/// Random batches, repeated ids, groups of every size and a reopening now and then; the model is a map and a set.
#[test]
fn counts_are_those_of_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut choices = Choices(1);
    let mut seen = BTreeSet::new();
    let mut model = BTreeMap::<(&str, u32, u32, u16), (u64, [u64; 12])>::new();
    for _ in 0..120 {
        let mut group = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..choices.below(6) {
            let id = choices.below(200);
            let (version, bits) = if choices.below(2) == 0 { (1, 8) } else { (2, 12) };
            let epoch = 20_000 + choices.below(3) as u32;
            let reports: Vec<(u16, Vec<usize>)> = (0..=choices.below(8))
                .map(|_| (choices.below(4) as u16, (0..bits).filter(|_| choices.below(2) == 1).collect()))
                .collect();
            let borrowed: Vec<_> = reports.iter().map(|(cohort, ones)| (*cohort, ones.as_slice())).collect();
            group.push(accepted(id, &[Section::of("host", version, epoch, &borrowed)]));
            let fresh = seen.insert(id);
            expected.push(if fresh { Outcome::Counted } else { Outcome::Duplicate });
            if fresh {
                for (cohort, ones) in &reports {
                    let row = model.entry(("host", version, epoch, *cohort)).or_default();
                    row.0 += 1;
                    ones.iter().for_each(|bit| row.1[*bit] += 1);
                }
            }
        }
        assert_eq!(store.commit(&group, TODAY).unwrap(), expected);
        if choices.below(10) == 0 {
            drop(store);
            store = open(dir.path());
        }
    }
    for version in [1, 2] {
        for epoch in 20_000..20_003 {
            let found = store.counts(&metric("host"), version, Epoch(epoch)..=Epoch(epoch)).unwrap();
            for cohort in 0..4 {
                let row = model.get(&("host", version, epoch, cohort)).copied().unwrap_or_default();
                let cohort = usize::from(cohort);
                assert_eq!(found.reports()[cohort], row.0);
                assert_eq!(found.ones(cohort), &row.1[..found.bits()]);
            }
        }
    }
    assert!(seen.len() > 100 && model.len() == 24, "the test tried too little");
}

#[test]
fn holdings_list_what_was_counted_by_metric_version_and_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.holdings().unwrap(), []);
    let one: (u16, &[usize]) = (0, &[1]);
    let two = Section::of("host", 2, 7, &[one, (3, &[])]);
    let sections = [Section::of("host", 1, 9, &[one]), two, Section::of("pick", 1, 7, &[one])];
    store.commit(&[accepted(1, &sections), accepted(2, &sections)], TODAY).unwrap();
    let holding = |name, version, epoch, reports| Holding {
        metric: metric(name),
        version,
        epoch: Epoch(epoch),
        reports,
    };
    let expected = [holding("host", 1, 9, 2), holding("host", 2, 7, 4), holding("pick", 1, 7, 2)];
    assert_eq!(store.holdings().unwrap(), expected);
    assert_eq!(counts(&store, "host", 2).reports(), [2, 0, 0, 2]);
    // An epoch without reports is empty, a version without definition is an error.
    assert_eq!(store.counts(&metric("host"), 2, Epoch(8)..=Epoch(9)).unwrap().total(), 0);
    let unknown = store.counts(&metric("host"), 3, Epoch(0)..=Epoch(9));
    assert!(matches!(unknown, Err(StoreError::UnknownStream { version: 3, .. })));
}

#[test]
fn a_batch_id_is_counted_once_in_a_group_later_and_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = || accepted(5, &planted(5));
    assert_eq!(
        store.commit(&[batch(), accepted(6, &planted(6)), batch()], TODAY).unwrap(),
        [Outcome::Counted, Outcome::Counted, Outcome::Duplicate]
    );
    assert_eq!(store.commit(&[batch()], TODAY).unwrap(), [Outcome::Duplicate]);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.commit(&[batch()], TODAY).unwrap(), [Outcome::Duplicate]);
    exactly_once(&store, [5, 6]).unwrap();
}

/// The twin of the tests that ask for exactly one count: what loses, repeats or splits a batch is noticed.
#[test]
fn losing_repeating_and_splitting_a_batch_are_noticed() {
    let fault = |commit: &dyn Fn(&Store)| {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        commit(&store);
        exactly_once(&store, 0..10).unwrap_err()
    };
    let all = |store: &Store| {
        let batches: Vec<_> = (0..10).map(|n| accepted(n, &planted(n))).collect();
        store.commit(&batches, TODAY).unwrap();
    };
    // A store that does not know its ids counts a repeated batch as if it had another id.
    let repeated = fault(&|store| {
        all(store);
        store.commit(&[accepted(1003, &planted(3))], TODAY).unwrap();
    });
    assert!(repeated.contains("too often: [(3, 2)]"), "{repeated}");
    let lost = fault(&|store| {
        let batches: Vec<_> = (0..9).map(|n| accepted(n, &planted(n))).collect();
        store.commit(&batches, TODAY).unwrap();
    });
    assert!(lost.contains("lost: [9]"), "{lost}");
    let split = fault(&|store| {
        all(store);
        store.commit(&[accepted(1003, &planted(10)[..2])], TODAY).unwrap();
    });
    assert!(split.contains("batch 10 is counted in parts"), "{split}");
}

/// The bytes of two stores are alike whatever batch brought a report, so they hold no link between reports.
#[test]
fn nothing_stored_tells_which_reports_came_together_or_in_what_order() {
    let reports: Vec<Section> = (0..6).flat_map(planted).collect();
    let content = |groups: &[&[usize]]| {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for (id, group) in groups.iter().enumerate() {
            let sections: Vec<_> = group.iter().map(|n| reports[*n].clone()).collect();
            store.commit(&[accepted(id as u64, &sections)], TODAY).unwrap();
        }
        drop(store);
        dump(dir.path())
    };
    let one = content(&[&[0, 1, 2, 3, 4, 5], &[6, 7, 8, 9, 10, 11], &[12, 13, 14, 15, 16, 17]]);
    let other = content(&[&[17, 3, 8], &[16, 2, 1, 15, 14, 13, 12, 11, 10, 9], &[0, 4, 5, 6, 7]]);
    assert!(one == other && !one.is_empty());
}

/// A key and its value, as they lie in a table.
type Entry = (String, Vec<u8>);

/// Every entry of every table, read with redb alone.
fn dump(dir: &Path) -> Vec<Entry> {
    let db = Database::open(dir.join("store.redb")).unwrap();
    let txn = db.begin_read().unwrap();
    let mut names: Vec<_> = txn.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["batches", "counts", "deniable", "streams"]);
    let mut entries = Vec::new();
    let batches = txn.open_table(TableDefinition::<&[u8; 16], u32>::new("batches")).unwrap();
    for entry in batches.iter().unwrap() {
        let (id, day) = entry.unwrap();
        entries.push((format!("batch {:?}", id.value()), day.value().to_le_bytes().to_vec()));
    }
    let counts = TableDefinition::<(&str, u32, u32, u16), &[u8]>::new("counts");
    for entry in txn.open_table(counts).unwrap().iter().unwrap() {
        let (key, row) = entry.unwrap();
        entries.push((format!("{:?}", key.value()), row.value().to_vec()));
    }
    entries
}

#[test]
fn the_bytes_on_disk_are_those_that_the_layout_describes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(&[accepted(258, &[Section::of("host", 1, 7, &[(2, &[0, 7]), (2, &[7])])])], TODAY).unwrap();
    drop(store);
    let id = [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let row: Vec<u8> = [2u64, 1, 0, 0, 0, 0, 0, 0, 2].iter().flat_map(|n| n.to_le_bytes()).collect();
    let expected = [
        (format!("batch {id:?}"), 20_000u32.to_le_bytes().to_vec()),
        (r#"("host", 1, 7, 2)"#.to_owned(), row),
    ];
    assert_eq!(dump(dir.path()), expected);
}

#[test]
fn a_version_is_never_counted_under_two_sets_of_parameters() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let changed = Catalog::parse(&METRICS.replacen("bits = 12", "bits = 16", 1)).unwrap();
    let error = store.declare(changed.definitions().map(AsRef::as_ref)).unwrap_err();
    assert!(matches!(&error, StoreError::OtherParameters { version: 2, .. }), "{error}");
    assert_eq!(store.streams().unwrap()[&(metric("host"), 2)].bits(), 12);
    // A definition that the store was never told of is not counted either.
    let empty = tempfile::tempdir().unwrap();
    let undeclared = Store::create(empty.path()).unwrap();
    assert!(undeclared.commit(&[accepted(1, &planted(1))], TODAY).is_err());
    undeclared.declare(catalog().definitions().map(AsRef::as_ref)).unwrap();
    assert_eq!(undeclared.commit(&[accepted(1, &planted(1))], TODAY).unwrap(), [Outcome::Counted]);
}

#[test]
fn a_directory_that_is_not_ours_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    let error = Store::create(dir.path()).unwrap_err();
    assert!(error.to_string().contains("letter.txt"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    for foreign in [b"no database".repeat(1000), Vec::new()] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("store.redb"), &foreign).unwrap();
        let error = Store::create(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::NotOurs { .. }), "{error:?}");
        assert_eq!(fs::read(dir.path().join("store.redb")).unwrap(), foreign);
    }

    let dir = tempfile::tempdir().unwrap();
    let db = Database::create(dir.path().join("store.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(TableDefinition::<u8, u8>::new("theirs")).unwrap();
    txn.commit().unwrap();
    drop(db);
    assert!(matches!(Store::create(dir.path()), Err(StoreError::NotOurs { .. })));
    assert!(matches!(Store::open(Path::new("/no/such/store")), Err(StoreError::NoStore { .. })));
}

#[test]
fn a_newer_format_is_refused_with_its_number() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let db = Database::open(dir.path().join("store.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(TableDefinition::<&str, u32>::new("deniable")).unwrap().insert("format", 2).unwrap();
    txn.commit().unwrap();
    drop(db);
    let error = Store::create(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Format { found: 2, .. }), "{error}");
}

#[test]
fn a_store_that_is_held_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }));
    let message = error.to_string();
    assert!(message.contains("stop") && message.contains(&*dir.path().to_string_lossy()), "{message}");
    drop(store);
    Store::open(dir.path()).unwrap();
}

/// A crash while a store is made leaves a file that was never the store's; the next start makes it anew.
#[test]
fn a_store_that_was_never_finished_is_made_anew() {
    for left in [Vec::new(), b"half a database".repeat(500)] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("store.redb.new"), left).unwrap();
        let store = open(dir.path());
        store.commit(&[accepted(1, &planted(1))], TODAY).unwrap();
        exactly_once(&store, [1]).unwrap();
        assert!(!dir.path().join("store.redb.new").exists());
    }
}

#[test]
fn a_damaged_row_is_an_error_and_never_a_figure() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(&[accepted(1, &planted(1))], TODAY).unwrap();
    drop(store);
    let db = Database::open(dir.path().join("store.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    let counts = TableDefinition::<(&str, u32, u32, u16), &[u8]>::new("counts");
    txn.open_table(counts).unwrap().insert(("host", 2, 20_000, 3), [7u8; 24].as_slice()).unwrap();
    txn.commit().unwrap();
    drop(db);
    let store = open(dir.path());
    assert!(planted_counts(&store).unwrap_err().contains("damaged"));
    // It is not added to either, and the whole group is left uncounted.
    let error = store.commit(&[accepted(3, &planted(3))], TODAY).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(counts_of_pick(&store), 1);
}

fn counts_of_pick(store: &Store) -> u64 {
    store.counts(&metric("pick"), 1, Epoch(20_000)..=Epoch(20_000)).unwrap().total()
}
