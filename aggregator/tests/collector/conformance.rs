//! What every store promises, asked of each: of the one on disk, and of the one in memory.

use std::collections::{BTreeMap, BTreeSet};

use deniable::Epoch;
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::store::{DiskStore, Holding, MemoryStore, Outcome, Selection, Store, StoreError};

use crate::support::{
    Choices, METRICS, Section, accepted, catalog, counts, exactly_once, metric, of_epoch, planted, today,
};

/// Every epoch is open.
const ALL: Epoch = Epoch(0);

fn declare(store: &dyn Store, catalog: &Catalog) -> Result<(), StoreError> {
    store.declare(catalog)
}

/// Asks something of each store, new and knowing the catalog.
fn of_each(ask: impl Fn(&dyn Store)) {
    let dir = tempfile::tempdir().unwrap();
    let disk = DiskStore::create(dir.path()).unwrap();
    let memory = MemoryStore::default();
    for store in [&disk as &dyn Store, &memory] {
        declare(store, &catalog()).unwrap();
        ask(store);
    }
}

fn batch_of(id: u64, epochs: &[u32]) -> deniable_aggregator::store::Accepted {
    let sections: Vec<_> = epochs.iter().map(|epoch| Section::of("host", 2, *epoch, &[(1, &[2])])).collect();
    accepted(id, &sections)
}

/// Random batches, repeated ids, groups of every size, epochs that close; the model is a map and a set.
#[test]
fn counts_are_those_of_a_model() {
    of_each(|store| {
        let mut choices = Choices(1);
        let mut seen = BTreeMap::new();
        let mut model = BTreeMap::<(u32, u32, u16), (u64, [u64; 12])>::new();
        let (mut open_from, mut outcomes) = (20_000, [0; 3]);
        for _ in 0..300 {
            open_from += u32::from(choices.below(12) == 0) * choices.below(9) as u32;
            let mut group = Vec::new();
            let mut expected = Vec::new();
            for _ in 0..choices.below(6) {
                let id = choices.below(500);
                let (version, bits) = if choices.below(2) == 0 { (1, 8) } else { (2, 12) };
                let epoch = open_from + choices.below(24) as u32 - 2;
                let reports: Vec<(u16, Vec<usize>)> = (0..=choices.below(8))
                    .map(|_| (choices.below(4) as u16, (0..bits).filter(|_| choices.below(2) == 1).collect()))
                    .collect();
                let borrowed: Vec<_> =
                    reports.iter().map(|(cohort, ones)| (*cohort, ones.as_slice())).collect();
                group.push(accepted(id, &[Section::of("host", version, epoch, &borrowed)]));
                // A store may forget an id as soon as its epochs are closed, and need not: both refuse the batch.
                let known = seen.get(&id).is_some_and(|counted| *counted >= open_from);
                let outcome = match () {
                    () if known => Outcome::Duplicate,
                    () if epoch < open_from => Outcome::Closed,
                    () => Outcome::Counted,
                };
                if seen.contains_key(&id) && !known {
                    group.pop();
                    continue;
                }
                outcomes[outcome as usize] += 1;
                expected.push(outcome);
                if outcome == Outcome::Counted {
                    seen.insert(id, epoch);
                    for (cohort, ones) in &reports {
                        let row = model.entry((version, epoch, *cohort)).or_default();
                        row.0 += 1;
                        ones.iter().for_each(|bit| row.1[*bit] += 1);
                    }
                }
            }
            assert_eq!(store.commit(&group, Epoch(open_from)).unwrap(), expected);
        }
        let epochs: BTreeSet<_> = model.keys().map(|(version, epoch, _)| (*version, *epoch)).collect();
        for (version, epoch) in epochs {
            let found = store.counts(&metric("host"), version, &of_epoch(epoch)).unwrap();
            for cohort in 0..4 {
                let row = model.get(&(version, epoch, cohort)).copied().unwrap_or_default();
                let cohort = usize::from(cohort);
                assert_eq!(found.reports()[cohort], row.0);
                assert_eq!(found.ones(cohort), &row.1[..found.bits()]);
            }
        }
        let total: u64 = model.values().map(|row| row.0).sum();
        assert_eq!(
            store.holdings(&Selection::all()).unwrap().iter().map(|holding| holding.reports).sum::<u64>(),
            total
        );
        assert!(outcomes.iter().all(|times| *times > 20), "the test tried too little: {outcomes:?}");
    });
}

#[test]
fn a_batch_id_is_counted_once_in_a_group_and_later() {
    of_each(|store| {
        let batch = || accepted(5, &planted(5));
        assert_eq!(
            store.commit(&[batch(), accepted(6, &planted(6)), batch()], ALL).unwrap(),
            [Outcome::Counted, Outcome::Counted, Outcome::Duplicate]
        );
        assert_eq!(store.commit(&[batch()], ALL).unwrap(), [Outcome::Duplicate]);
        assert_eq!(store.commit(&[], ALL).unwrap(), []);
        exactly_once(store, [5, 6]).unwrap();
    });
}

/// Sent again on every day from its first to long after its id is forgotten, a batch counts once.
#[test]
fn an_old_batch_is_never_counted_again() {
    of_each(|store| {
        let batch = || batch_of(1, &[100, 103]);
        assert_eq!(store.commit(&[batch()], Epoch(90)).unwrap(), [Outcome::Counted]);
        let mut outcomes = BTreeSet::new();
        for open_from in 90..200 {
            let outcome = store.commit(&[batch()], Epoch(open_from)).unwrap()[0];
            assert_ne!(outcome, Outcome::Counted, "when {open_from} is the oldest open epoch");
            outcomes.insert(format!("{outcome:?}"));
        }
        // It was forgotten on the way.
        assert_eq!(outcomes.len(), 2, "{outcomes:?}");
        assert_eq!(counts(store, "host", 2).total(), 2);
    });
}

/// A clock that is set back opens no epoch again, and a batch that was forgotten is refused all the same.
#[test]
fn a_closed_epoch_stays_closed_when_the_clock_is_set_back() {
    of_each(|store| {
        assert_eq!(store.commit(&[batch_of(1, &[100])], Epoch(90)).unwrap(), [Outcome::Counted]);
        store.commit(&[], Epoch(200)).unwrap();
        assert_eq!(store.open_from().unwrap(), Epoch(200));
        let late = [batch_of(1, &[100]), batch_of(2, &[199]), batch_of(3, &[199, 200]), batch_of(4, &[200])];
        assert_eq!(
            store.commit(&late, Epoch(90)).unwrap(),
            [Outcome::Closed, Outcome::Closed, Outcome::Closed, Outcome::Counted]
        );
        assert_eq!(store.open_from().unwrap(), Epoch(200));
        assert_eq!(counts(store, "host", 2).total(), 2);
    });
}

#[test]
fn holdings_list_what_was_counted_by_metric_version_and_epoch() {
    of_each(|store| {
        assert_eq!(store.holdings(&Selection::all()).unwrap(), []);
        let one: (u16, &[usize]) = (0, &[1]);
        let two = Section::of("host", 2, 7, &[one, (3, &[])]);
        let sections = [Section::of("host", 1, 9, &[one]), two, Section::of("pick", 1, 7, &[one])];
        store.commit(&[accepted(1, &sections), accepted(2, &sections)], ALL).unwrap();
        let holding = |name, version, epoch, reports| Holding {
            metric: metric(name),
            version,
            epoch: Epoch(epoch),
            reports,
        };
        let expected = [holding("host", 1, 9, 2), holding("host", 2, 7, 4), holding("pick", 1, 7, 2)];
        assert_eq!(store.holdings(&Selection::all()).unwrap(), expected);
        assert_eq!(counts(store, "host", 2).reports(), [2, 0, 0, 2]);
        // An epoch without reports is empty, a version without definition is an error.
        assert_eq!(
            store.counts(&metric("host"), 2, &Selection::of_epochs(Epoch(8)..=Epoch(9))).unwrap().total(),
            0
        );
        let unknown = store.counts(&metric("host"), 3, &Selection::all());
        assert!(matches!(unknown, Err(StoreError::UnknownStream { version: 3, .. })));
    });
}

#[test]
fn a_version_is_never_counted_under_two_sets_of_parameters() {
    of_each(|store| {
        let changed = Catalog::parse(&METRICS.replacen("bits = 12", "bits = 16", 1)).unwrap();
        let error = declare(store, &changed).unwrap_err();
        assert!(matches!(&error, StoreError::OtherParameters { version: 2, .. }), "{error}");
        assert_eq!(store.streams().unwrap()[&(metric("host"), 2)].bits(), 12);
    });
    // A definition that the store was never told of is not counted either.
    let dir = tempfile::tempdir().unwrap();
    let disk = DiskStore::create(dir.path()).unwrap();
    for store in [&disk as &dyn Store, &MemoryStore::default()] {
        assert!(store.commit(&[accepted(1, &planted(1))], ALL).is_err());
        assert_eq!(store.open_from().unwrap(), ALL);
        declare(store, &catalog()).unwrap();
        assert_eq!(
            store.commit(&[accepted(1, &planted(1))], Epoch(today() - 9)).unwrap(),
            [Outcome::Counted]
        );
    }
}
