//! Backups while the collector serves: what was acknowledged before one began is in it, once, whatever came meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use deniable_aggregator::store::{DiskStore, Selection, Store, StoreError, Verified};

use crate::http::under;
use crate::process::{ADMIN_SITE_KEY, Client, Reply, Site, deniable, error_of, holds};
use crate::support::{accepted, batch, catalog, exactly_once, planted, planted_counts};

const CLIENTS: usize = 4;
/// How many more batches come when a backup begins.
const BATCHES: u64 = 2000;

/// Runs a command with the arguments and, at its end, a path.
fn run(arguments: &[&str], paths: &[(&str, &Path)], token: &str) -> Output {
    let mut command = deniable(arguments);
    paths.iter().for_each(|(flag, path)| {
        command.arg(flag).arg(path);
    });
    command.env("DENIABLE_TOKEN", token).output().unwrap()
}

fn succeeds(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Ends the work when its holder ends, be it by a panic, so that nobody waits for ever.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_backup_under_load_holds_every_batch_acknowledged_before_it() {
    let site = Site::new();
    let (collector, token) = site.start_with_admin();
    let from = format!("http://{}", collector.address);
    let (next, limit, over) = (AtomicU64::new(0), AtomicU64::new(BATCHES), AtomicBool::new(false));
    let acknowledged = Mutex::new(BTreeSet::new());
    let wait_for = |count: usize| {
        while acknowledged.lock().unwrap().len() < count && !over.load(Ordering::Relaxed) {
            thread::yield_now();
        }
    };
    let place = |name: &str| site.dir.path().join(name);
    let backup = |n: usize| {
        let file = place(&format!("backup-{n}.redb"));
        // Those of before, and those that were on their way by its end.
        let before = acknowledged.lock().unwrap().clone();
        limit.fetch_add(BATCHES, Ordering::Relaxed);
        let said = succeeds(run(&["store", "backup", "--from", &from], &[("--to", &file)], &token));
        holds(&said, &["is sound"]);
        wait_for(before.len() + 1);
        (file, before)
    };
    let backups = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let _end = End(&over);
                let client = Client::new();
                while !over.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    while n >= limit.load(Ordering::Relaxed) {
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                        thread::yield_now();
                    }
                    assert_eq!(
                        client.send(&collector.address, &under(ADMIN_SITE_KEY, batch(n, &planted(n)))),
                        Reply::Accepted
                    );
                    acknowledged.lock().unwrap().insert(n);
                }
            });
        }
        let _end = End(&over);
        wait_for(200);
        [backup(0), backup(1)]
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    collector.kill();
    for (n, (file, before)) in backups.iter().enumerate() {
        let restored = place(&format!("restored-{n}"));
        succeeds(run(&["store", "restore"], &[("--from", file), ("--store", &restored)], ""));
        let store = DiskStore::open(&restored).unwrap();
        let found: BTreeMap<u64, u64> = planted_counts(&store).unwrap();
        assert!(found.values().all(|times| *times == 1));
        assert!(
            before.iter().all(|n| found.contains_key(n)),
            "lost: {:?}",
            before.iter().find(|n| !found.contains_key(n))
        );
        assert!(found.keys().all(|n| acknowledged.contains(n)));
        // The copy knows the batches that it holds.
        let sent: Vec<_> = found.keys().map(|n| accepted(*n, &planted(*n))).collect();
        store.commit(&sent, store.open_from().unwrap()).unwrap();
        exactly_once(&store, found.into_keys()).unwrap();
    }
    exactly_once(&DiskStore::open(&site.store()).unwrap(), acknowledged).unwrap();
}

/// A store that holds planted batches.
fn store(dir: &Path) -> DiskStore {
    let store = DiskStore::create(dir).unwrap();
    store.declare(&catalog()).unwrap();
    let batches: Vec<_> = (0..50).map(|n| accepted(n, &planted(n))).collect();
    store.commit(&batches, deniable::Epoch(0)).unwrap();
    store
}

#[test]
fn a_copy_holds_all_that_the_store_holds() {
    let dir = tempfile::tempdir().unwrap();
    let (first, copy, second) =
        (dir.path().join("first"), dir.path().join("copy"), dir.path().join("second"));
    let store = store(&first);
    store.copy_to(&copy).unwrap();
    // What is committed now is not in it.
    store.commit(&[accepted(60, &planted(60))], deniable::Epoch(0)).unwrap();
    // Another's file is left as it is.
    assert!(matches!(store.copy_to(&copy), Err(StoreError::Io { .. })));
    let verified = DiskStore::restore(&copy, &second).unwrap();
    assert_eq!(
        verified,
        Verified { reports: 150, rows: verified.rows, kept: verified.kept, moved: 0, batch_ids: 50 }
    );
    let restored = DiskStore::open(&second).unwrap();
    exactly_once(&restored, 0..50).unwrap();
    assert_eq!(restored.streams().unwrap(), store.streams().unwrap());
    assert_eq!(restored.registries().unwrap(), store.registries().unwrap());
    assert_eq!(restored.open_from().unwrap(), store.open_from().unwrap());
    exactly_once(&store, (0..50).chain([60])).unwrap();
}

#[test]
fn a_backup_is_restored_to_an_empty_place_alone_and_only_if_it_is_sound() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    drop(store(&place("store")));
    let backup = || run(&["store", "backup"], &[("--store", &place("store")), ("--to", &place("copy"))], "");
    holds(&succeeds(backup()), &["is sound", "150 reports"]);
    holds(&error_of(&backup()), &["copy", "exists"]);
    let restore = |copy: &str, to: &str| {
        run(&["store", "restore"], &[("--from", &place(copy)), ("--store", &place(to))], "")
    };
    let before = fs::read(place("store").join("store.redb")).unwrap();
    holds(&error_of(&restore("copy", "store")), &["store", "not empty"]);
    assert_eq!(fs::read(place("store").join("store.redb")).unwrap(), before);
    // A byte that differs, in each of a hundred places, an end cut off, and something else.
    let whole = fs::read(place("copy")).unwrap();
    fs::write(place("short"), &whole[..whole.len() / 2]).unwrap();
    fs::write(place("other"), "no store").unwrap();
    for bad in ["short", "other"] {
        let error = error_of(&restore(bad, "new"));
        assert!(!error.is_empty() && !place("new").join("store.redb").exists(), "{bad}: {error}");
        assert!(fs::read_dir(place("new")).unwrap().next().is_none(), "{bad} left something behind");
    }
    holds(&succeeds(restore("copy", "new")), &["150 reports"]);
    exactly_once(&DiskStore::open(&place("new")).unwrap(), 0..50).unwrap();
    let error =
        error_of(&run(&["store", "backup", "--from", "http://127.0.0.1:1"], &[("--to", &place("x"))], "t"));
    holds(&error, &["http://127.0.0.1:1"]);
    let error = error_of(&run(&["store", "backup"], &[("--to", &place("x"))], ""));
    holds(&error, &["--store", "--from"]);
}

#[test]
fn only_an_admin_gets_a_backup() {
    let site = Site::new();
    let (collector, _) = site.start_with_admin();
    let from = format!("http://{}", collector.address);
    let file = site.dir.path().join("copy");
    let error = error_of(&run(&["store", "backup", "--from", &from], &[("--to", &file)], "dnbl_wrong"));
    holds(&error, &["401", "token"]);
    assert!(!file.exists() && fs::read_dir(site.dir.path()).unwrap().count() == 3);
    collector.kill();
}

#[test]
fn counts_are_exported_for_other_programs() {
    let dir = tempfile::tempdir().unwrap();
    let held = store(&dir.path().join("store"));
    let rows = held.holdings(&Selection::all()).unwrap();
    drop(held);
    let export = |format: &str| {
        succeeds(run(&["store", "export", "--format", format], &[("--store", &dir.path().join("store"))], ""))
    };
    let csv = export("csv");
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("metric,version,epoch,source,tags,cohort,reports,ones"));
    let first: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!((first[0], first[1], first[3], first[5], first[6]), ("host", "2", "", "3", "50"));
    assert_eq!(first[7], "50 0 0 0 0 0 0 0 0 0 0 50");
    let json = export("json-lines");
    let total: u64 = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|row| {
            assert!(row["ones"].as_array().is_some() && row["tags"].as_object().is_some(), "{row}");
            row["reports"].as_u64().unwrap()
        })
        .sum();
    assert_eq!(total, rows.iter().map(|held| held.reports).sum::<u64>());
    assert_eq!(json.lines().count(), csv.lines().count() - 1);
}
