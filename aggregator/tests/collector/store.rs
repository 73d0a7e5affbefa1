//! The store on disk against a model, after reopening, and in directories that are not fit for it.

use std::fs;
use std::path::Path;

use deniable::Epoch;
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::store::{Aside, DiskStore, Outcome, Store, StoreError, Verified};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableHandle};

use crate::support::{
    Section, accepted, catalog, exactly_once, metric, of_epoch, planted, planted_counts, today,
};

/// Every epoch is open.
const ALL: Epoch = Epoch(0);

fn declare(store: &dyn Store, catalog: &Catalog) -> Result<(), StoreError> {
    store.declare(catalog)
}

fn open(dir: &Path) -> DiskStore {
    let store = DiskStore::create(dir).unwrap();
    declare(&store, &catalog()).unwrap();
    store
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = || accepted(5, &planted(5));
    assert_eq!(store.commit(&[batch()], Epoch(7)).unwrap(), [Outcome::Counted]);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.open_from().unwrap(), Epoch(7));
    assert_eq!(
        store.commit(&[batch(), accepted(6, &planted(6))], ALL).unwrap(),
        [Outcome::Duplicate, Outcome::Counted]
    );
    exactly_once(&store, [5, 6]).unwrap();
}

/// Ids go with the last epoch that needs them, table by table.
#[test]
fn ids_are_forgotten_when_no_open_epoch_needs_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = |id, epoch| accepted(id, &[Section::of("host", 2, epoch, &[(0, &[1])])]);
    // Epochs 96 to 111 share a table.
    store.commit(&[batch(1, 96), batch(2, 111), batch(3, 112)], Epoch(90)).unwrap();
    let mut store = Some(store);
    let mut ids_at = |open_from| {
        store.take().unwrap().commit(&[], Epoch(open_from)).unwrap();
        let ids = dump(dir.path()).iter().filter(|(entry, _)| entry.starts_with("batches-")).count();
        store = Some(open(dir.path()));
        ids
    };
    assert_eq!([ids_at(111), ids_at(112), ids_at(127), ids_at(128)], [3, 1, 1, 0]);
}

/// The twin of the tests that ask for exactly one count: what loses, repeats or splits a batch is noticed.
#[test]
fn losing_repeating_and_splitting_a_batch_are_noticed() {
    let fault = |commit: &dyn Fn(&dyn Store)| {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        commit(&store);
        exactly_once(&store, 0..10).unwrap_err()
    };
    let all = |store: &dyn Store| {
        let batches: Vec<_> = (0..10).map(|n| accepted(n, &planted(n))).collect();
        store.commit(&batches, ALL).unwrap();
    };
    // A store that does not know its ids counts a repeated batch as if it had another id.
    let repeated = fault(&|store| {
        all(store);
        store.commit(&[accepted(1003, &planted(3))], ALL).unwrap();
    });
    assert!(repeated.contains("too often: [(3, 2)]"), "{repeated}");
    let lost = fault(&|store| {
        let batches: Vec<_> = (0..9).map(|n| accepted(n, &planted(n))).collect();
        store.commit(&batches, ALL).unwrap();
    });
    assert!(lost.contains("lost: [9]"), "{lost}");
    let split = fault(&|store| {
        all(store);
        store.commit(&[accepted(1003, &planted(10)[..2])], ALL).unwrap();
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
            store.commit(&[accepted(id as u64, &sections)], ALL).unwrap();
        }
        drop(store);
        dump(dir.path())
    };
    let one = content(&[&[0, 1, 2, 3, 4, 5], &[6, 7, 8, 9, 10, 11], &[12, 13, 14, 15, 16, 17]]);
    let other = content(&[&[17, 3, 8], &[16, 2, 1, 15, 14, 13, 12, 11, 10, 9], &[0, 4, 5, 6, 7]]);
    assert!(one == other && !one.is_empty());
}

pub(crate) type RowKey = (&'static str, u32, u32, &'static str, &'static str, u16);
pub(crate) type ReportKey = (&'static str, u32, u32, &'static str, &'static str, u16, &'static [u8]);

pub(crate) const ROWS: TableDefinition<'_, RowKey, &[u8]> = TableDefinition::new("rows");
const TOTALS: TableDefinition<'_, (&str, u32, u32, &str, &str), u64> = TableDefinition::new("totals-2");
pub(crate) const REPORTS: TableDefinition<'_, ReportKey, u64> = TableDefinition::new("reports");
const VOLUMES: TableDefinition<'_, (&str, u32, u32, &str), (u64, u64)> = TableDefinition::new("volumes");
const ASIDE: TableDefinition<'_, (&str, u32, &str), ()> = TableDefinition::new("aside");

/// Verifies a store that was changed behind its back.
pub(crate) fn verify_changed(
    dir: &Path,
    change: &dyn Fn(&redb::WriteTransaction),
) -> Result<Verified, StoreError> {
    let db = Database::open(dir.join("store.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    change(&txn);
    txn.commit().unwrap();
    drop(db);
    DiskStore::open(dir).unwrap().verify()
}

/// A key and its value, as they lie in a table.
pub(crate) type Entry = (String, Vec<u8>);

/// Every entry of every table, read with redb alone.
pub(crate) fn dump(dir: &Path) -> Vec<Entry> {
    let db = Database::open(dir.join("store.redb")).unwrap();
    let txn = db.begin_read().unwrap();
    let mut names: Vec<_> = txn.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
    names.sort();
    let ids: Vec<_> = names.extract_if(.., |name| name.starts_with("batches-")).collect();
    assert_eq!(
        names,
        [
            "aside",
            "deniable",
            "lake",
            "lake-place",
            "registries",
            "reports",
            "rows",
            "streams",
            "totals-2",
            "volumes"
        ]
    );
    for name in ["lake", "lake-place"] {
        let table = txn.list_tables().unwrap().find(|table| table.name() == name).unwrap();
        assert_eq!(txn.open_untyped_table(table).unwrap().len().unwrap(), 0, "{name}");
    }
    let mut entries = Vec::new();
    for name in &ids {
        let batches = txn.open_table(TableDefinition::<&[u8; 16], ()>::new(name)).unwrap();
        for entry in batches.iter().unwrap() {
            entries.push((format!("{name} {:?}", entry.unwrap().0.value()), Vec::new()));
        }
    }
    for entry in txn.open_table(TOTALS).unwrap().iter().unwrap() {
        let (key, total) = entry.unwrap();
        entries.push((format!("total {:?}", key.value()), total.value().to_le_bytes().to_vec()));
    }
    for entry in txn.open_table(ROWS).unwrap().iter().unwrap() {
        let (key, row) = entry.unwrap();
        entries.push((format!("{:?}", key.value()), row.value().to_vec()));
    }
    for entry in txn.open_table(REPORTS).unwrap().iter().unwrap() {
        let (key, times) = entry.unwrap();
        entries.push((format!("report {:?}", key.value()), times.value().to_le_bytes().to_vec()));
    }
    for entry in txn.open_table(VOLUMES).unwrap().iter().unwrap() {
        let (key, volume) = entry.unwrap();
        entries.push((format!("volume {:?} {:?}", key.value(), volume.value()), Vec::new()));
    }
    for entry in txn.open_table(ASIDE).unwrap().iter().unwrap() {
        entries.push((format!("aside {:?}", entry.unwrap().0.value()), Vec::new()));
    }
    entries
}

#[test]
fn the_bytes_on_disk_are_those_that_the_layout_describes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(&[accepted(258, &[Section::of("host", 1, 40, &[(2, &[0, 7]), (2, &[7])])])], ALL).unwrap();
    store.set_aside(&Aside::Source { source: "web".to_owned() }).unwrap();
    store.set_aside(&Aside::Epoch { metric: metric("host"), epoch: Epoch(40) }).unwrap();
    drop(store);
    let id = [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let row: Vec<u8> = [2u64, 1, 0, 0, 0, 0, 0, 0, 2].iter().flat_map(|n| n.to_le_bytes()).collect();
    let expected = [
        // ⌊40/16⌋
        (format!("batches-2 {id:?}"), Vec::new()),
        (r#"total ("host", 1, 40, "", "{}")"#.to_owned(), 2u64.to_le_bytes().to_vec()),
        (r#"("host", 1, 40, "", "{}", 2)"#.to_owned(), row),
        (r#"volume ("host", 1, 40, "") (2, 0)"#.to_owned(), Vec::new()),
        (r#"aside ("", 0, "web")"#.to_owned(), Vec::new()),
        (r#"aside ("host", 40, "")"#.to_owned(), Vec::new()),
    ];
    assert_eq!(dump(dir.path()), expected);
}

#[test]
fn a_directory_that_is_not_ours_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    let error = DiskStore::create(dir.path()).unwrap_err();
    assert!(error.to_string().contains("letter.txt"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    for foreign in [b"no database".repeat(1000), Vec::new()] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("store.redb"), &foreign).unwrap();
        let error = DiskStore::create(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::NotOurs { .. }), "{error:?}");
        assert_eq!(fs::read(dir.path().join("store.redb")).unwrap(), foreign);
    }

    let dir = tempfile::tempdir().unwrap();
    let db = Database::create(dir.path().join("store.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(TableDefinition::<u8, u8>::new("theirs")).unwrap();
    txn.commit().unwrap();
    drop(db);
    assert!(matches!(DiskStore::create(dir.path()), Err(StoreError::NotOurs { .. })));
    assert!(matches!(DiskStore::open(Path::new("/no/such/store")), Err(StoreError::NoStore { .. })));
}

#[test]
fn a_newer_format_is_refused_with_its_number() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let db = Database::open(dir.path().join("store.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(TableDefinition::<&str, u32>::new("deniable")).unwrap().insert("format", 3).unwrap();
    txn.commit().unwrap();
    drop(db);
    let error = DiskStore::create(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Format { found: 3, .. }), "{error}");
}

#[test]
fn a_store_that_is_held_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let error = DiskStore::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }));
    let message = error.to_string();
    assert!(message.contains("stop") && message.contains(&*dir.path().to_string_lossy()), "{message}");
    drop(store);
    DiskStore::open(dir.path()).unwrap();
}

/// A crash while a store is made leaves a file that was never the store's; the next start makes it anew.
#[test]
fn a_store_that_was_never_finished_is_made_anew() {
    for left in [Vec::new(), b"half a database".repeat(500)] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("store.redb.new"), left).unwrap();
        let store = open(dir.path());
        store.commit(&[accepted(1, &planted(1))], ALL).unwrap();
        exactly_once(&store, [1]).unwrap();
        assert!(!dir.path().join("store.redb.new").exists());
    }
}

#[test]
fn a_damaged_row_is_an_error_and_never_a_figure() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(&[accepted(1, &planted(1))], ALL).unwrap();
    drop(store);
    let db = Database::open(dir.path().join("store.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    let key = ("host", 2, today(), "", "{}", 3);
    txn.open_table(ROWS).unwrap().insert(key, [7u8; 24].as_slice()).unwrap();
    txn.commit().unwrap();
    drop(db);
    let store = open(dir.path());
    assert!(planted_counts(&store).unwrap_err().contains("damaged"));
    // It is not added to either, and the whole group is left uncounted.
    let error = store.commit(&[accepted(3, &planted(3))], ALL).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(counts_of_pick(&store), 1);
}

/// Each entry that is changed behind the store's back is found.
#[test]
fn verify_finds_what_does_not_add_up() {
    let day = today();
    let row = |reports: u64| {
        [vec![reports], vec![0; 12]].concat().iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>()
    };
    let verify = |change: &dyn Fn(&redb::WriteTransaction)| {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.commit(&[accepted(1, &planted(1)), accepted(2, &planted(2))], ALL).unwrap();
        drop(store);
        verify_changed(dir.path(), change)
    };
    assert_eq!(verify(&|_| ()).unwrap(), Verified { reports: 6, rows: 5, kept: 0, moved: 0, batch_ids: 2 });
    let damaged = |change: &dyn Fn(&redb::WriteTransaction), said: &str| {
        let error = verify(change).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }) && error.to_string().contains(said), "{error}");
    };
    let total = |key, reports| {
        move |txn: &redb::WriteTransaction| {
            txn.open_table(TOTALS).unwrap().insert(key, reports).unwrap();
        }
    };
    damaged(&total(("host", 2, day, "", "{}"), 3), "total");
    damaged(&total(("host", 2, 7, "", "{}"), 1), "total");
    damaged(&total(("host", 2, day, "web", "{}"), 1), "total");
    damaged(&total(("host", 2, day, "", "{ }"), 2), "total");
    let insert = |key, bytes: Vec<u8>| {
        move |txn: &redb::WriteTransaction| {
            txn.open_table(ROWS).unwrap().insert(key, &bytes[..]).unwrap();
        }
    };
    damaged(&insert(("host", 2, day, "", "{}", 3), row(3)), "total");
    damaged(&insert(("host", 2, day, "", "{}", 3), vec![1; 24]), "row");
    damaged(&insert(("host", 2, day, "", "{}", 4), row(0)), "row");
    damaged(&insert(("host", 2, day, "", "tags", 3), row(1)), "row");
    damaged(&insert(("guest", 2, day, "", "{}", 0), row(0)), "not declared");
    let volume = |key, volume| {
        move |txn: &redb::WriteTransaction| {
            txn.open_table(VOLUMES).unwrap().insert(key, volume).unwrap();
        }
    };
    damaged(&volume(("host", 2, day, ""), (1, 0)), "volume");
    damaged(&volume(("host", 2, day, ""), (2, 3)), "volume");
    // The volume of an epoch whose rows are elsewhere is no damage.
    assert!(verify(&volume(("host", 2, 7, "web"), (5, 1))).is_ok());
    let aside = |txn: &redb::WriteTransaction| {
        txn.open_table(ASIDE).unwrap().insert(("NO METRIC", 7, ""), ()).unwrap();
    };
    damaged(&aside, "set aside");
}

#[test]
fn a_compacted_store_is_smaller_and_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    for n in 0..200 {
        store.commit(&[accepted(n, &planted(n))], ALL).unwrap();
    }
    let before = store.size_bytes().unwrap();
    store.compact().unwrap();
    assert!(store.size_bytes().unwrap() < before);
    exactly_once(&store, 0..200).unwrap();
    drop(store);
    assert_eq!(DiskStore::open(dir.path()).unwrap().verify().unwrap().batch_ids, 200);
}

/// What was stored once and is no longer is in the file, and is not after it was compacted.
#[test]
fn a_compacted_store_holds_nothing_of_earlier() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store.redb");
    let id = 0x0123_4567_89AB_CDEF;
    let holds_id = || {
        let bytes = fs::read(&file).unwrap();
        bytes.windows(16).any(|window| window == u128::from(id).to_le_bytes())
    };
    let mut store = open(dir.path());
    let batch = |id, epoch| accepted(id, &[Section::of("host", 2, epoch, &[(0, &[1])])]);
    store.commit(&[batch(id, 100)], ALL).unwrap();
    // Its epoch is closed, so the id is forgotten.
    store.commit(&[batch(2, 200)], Epoch(150)).unwrap();
    assert!(holds_id());
    // A crash while it was compacted left a part.
    fs::write(dir.path().join("store.redb.copy"), b"half").unwrap();
    store.compact().unwrap();
    assert!(!holds_id());
    // It goes on with the new file.
    assert_eq!(
        store.commit(&[batch(2, 200), batch(3, 200)], ALL).unwrap(),
        [Outcome::Duplicate, Outcome::Counted]
    );
    assert!(matches!(DiskStore::open(dir.path()), Err(StoreError::InUse { .. })));
    drop(store);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let expected = Verified { reports: 3, rows: 2, kept: 0, batch_ids: 2, moved: 0 };
    assert_eq!(DiskStore::open(dir.path()).unwrap().verify().unwrap(), expected);
}

fn counts_of_pick(store: &dyn Store) -> u64 {
    store.counts(&metric("pick"), 1, &of_epoch(today())).unwrap().total()
}
