//! What is charged, and what the caps refuse.

use std::collections::BTreeMap;
use std::vec;

use proptest::prelude::*;

use super::*;
use crate::registry::{CatalogError, Privacy};
use crate::{Epsilon, Params};

fn open(weekly: f64, lifetime: f64) -> Core {
    let mut declared = declared();
    declared["privacy"] = json!({ "weekly": weekly, "lifetime": lifetime });
    Core::open(registry_of(declared), options(), None, &mut host(), at(0)).unwrap()
}

fn record(core: &mut Core, label: &str, now: i64) -> Recorded {
    core.record(&theme(), Answer::Text(label), at(now))
}

#[test]
fn an_answer_that_stays_is_charged_once_up_to_its_limit() {
    let mut core = open(8.0, 16.0);
    let params = *registry().metric(&theme()).unwrap().params();
    for reports in 1..=20 {
        assert_eq!(record(&mut core, "dark", 0), Recorded::Reported);
        let spent = core.ledger(at(0)).metrics[1].for_life;
        assert_eq!(spent, params.epsilon_of_reports(reports));
    }
    // Another answer is another pattern.
    assert_eq!(record(&mut core, "light", 0), Recorded::Reported);
    assert_eq!(core.ledger(at(0)).metrics[1].for_life, params.epsilon_of_values([20, 1]));
    assert_eq!(core.ledger(at(0)).this_week.spent, core.ledger(at(0)).for_life.spent);
}

#[test]
fn answers_that_change_are_refused_from_the_cap_on_whatever_they_are_then() {
    // Four answers cost 8; what is promised to the other metric, 2, is not for this one.
    let mut core = open(64.0, 6.5);
    let mut outcomes = Vec::new();
    for week in 0..40 {
        outcomes.push(record(
            &mut core,
            ["dark", "light", "system", "else"][week as usize / 10],
            7 * DAY * week,
        ));
    }
    let refused = outcomes.iter().position(|o| *o == Recorded::BudgetSpent(Cap::Life)).unwrap();
    assert!(outcomes[..refused].iter().all(|outcome| *outcome == Recorded::Reported));
    assert!(outcomes[refused..].iter().all(|outcome| *outcome == Recorded::BudgetSpent(Cap::Life)));
    // An answer that it gave before would cost nothing more, but that would tell which answers are new.
    assert_eq!(record(&mut core, "dark", 7 * DAY * 40), Recorded::BudgetSpent(Cap::Life));
    let ledger = core.ledger(at(7 * DAY * 40));
    assert_eq!(ledger.metrics[1].stopped_by, Some(Cap::Life));
    assert_eq!(core.status().refusals.life_spent, ledger.metrics[1].refused);
}

#[test]
fn what_is_promised_to_one_metric_is_not_spent_by_another() {
    let mut core = open(64.0, 6.5);
    // The device's own metric comes to its ε∞ of 2 in time, however much the program's would take.
    for day in 0..30 {
        let label = format!("{day}");
        record(&mut core, ["dark", "light", "system", &label][day as usize % 4], DAY * day);
    }
    let ledger = core.ledger(at(DAY * 30));
    assert_eq!(ledger.metrics[0].refused, 0);
    assert_eq!(ledger.metrics[0].reports, 29);
    assert!(ledger.for_life.spent.get() <= 6.5 && ledger.metrics[1].refused > 0);
}

#[test]
fn a_week_that_is_spent_says_nothing_of_the_next() {
    let mut core = open(4.0, 64.0);
    let labels = ["dark", "light", "system"];
    let week: Vec<_> = labels.iter().map(|label| record(&mut core, label, 0)).collect();
    assert_eq!(week[0], Recorded::Reported);
    assert_eq!(week[2], Recorded::BudgetSpent(Cap::Week));
    assert_eq!(record(&mut core, "dark", DAY), Recorded::BudgetSpent(Cap::Week));
    assert_eq!(core.ledger(at(DAY)).metrics[1].stopped_by, Some(Cap::Week));
    assert_eq!(record(&mut core, "system", 7 * DAY), Recorded::Reported);
    // A clock that goes back finds the week as it was.
    assert_eq!(record(&mut core, "dark", DAY), Recorded::BudgetSpent(Cap::Week));
}

#[test]
fn resets_and_new_versions_never_lower_a_sum() {
    let mut core = open(64.0, 64.0);
    let mut spent = 0.0;
    for round in 0..6 {
        record(&mut core, "dark", 0);
        let now = core.ledger(at(0)).for_life.spent.get();
        assert!(now > spent + 0.9, "round {round}: {now} after {spent}");
        core.reset(at(0));
        assert_eq!(core.ledger(at(0)).for_life.spent.get(), now);
        let mut newer = declared();
        newer["privacy"] = json!({ "weekly": 64.0, "lifetime": 64.0 });
        newer["metrics"]["theme"]["version"] = json!(round + 2);
        assert_eq!(core.catalog(&registry_of(newer).catalog(), at(0)), Taken::Changed);
        let ledger = core.ledger(at(0));
        assert_eq!((ledger.for_life.spent.get(), ledger.metrics[1].reports), (now, 0));
        assert!(ledger.this_week.spent.get() >= now - 1e-9);
        spent = now;
    }
    assert_eq!(core.ledger(at(0)).reports, 6);
}

#[test]
fn a_device_that_slept_spends_the_budgets_of_its_weeks() {
    // Seven answers cost 2 at most if they are one, and 4 if there are two; the cap of a week lets each through.
    let mut core = open(8.0, 8.0);
    core.track("saved", &[], at(0));
    core.advance(at(28 * DAY));
    assert_eq!((core.ledger(at(28 * DAY)).metrics[0].reports, core.status().refusals.week_spent), (28, 0));
}

/// Whatever a catalog says, no more is spent or shown than the program allows.
#[test]
fn a_catalog_beyond_the_programs_limits_is_not_used() {
    let limits = |weekly, lifetime, public_bits| Privacy { weekly, lifetime, public_bits };
    let mut tagged = declared();
    tagged["tags"] = json!(["payer"]);
    let tagged = registry_of(tagged).catalog();
    for (limits, beyond) in [
        (limits(8.0, 16.0, 1.0), None),
        (limits(7.9, 16.0, 1.0), Some("privacy.weekly")),
        (limits(8.0, 15.9, 1.0), Some("privacy.lifetime")),
        (limits(8.0, 16.0, 0.9), Some("the bits of all tags")),
    ] {
        let mut small = declared();
        small["privacy"] = json!({ "weekly": 4.0, "lifetime": 4.0 });
        let options = Options { limits, ..options() };
        let mut core = Core::open(registry_of(small), options, None, &mut host(), at(0)).unwrap();
        let (before, taken) = (core.registry().hash(), core.catalog(&tagged, at(0)));
        match (beyond, taken) {
            (None, taken) => assert_eq!(taken, Taken::Changed),
            (Some(named), Taken::Unusable(CatalogError::BeyondLimits { what, .. })) => {
                assert_eq!(named, what);
            }
            (Some(named), taken) => panic!("{named}: {taken:?}"),
        }
        assert_eq!(core.registry().hash() == before, beyond.is_some(), "the questions stay as they were");
    }
    // One that was taken when more was allowed is not taken up again, and one that the program brings not at all.
    let mut core = core();
    assert_eq!(core.catalog(&tagged, at(0)), Taken::Changed);
    let state = core.commit(at(0), true).unwrap().bytes.to_vec();
    let strict = || Options { limits: limits(8.0, 16.0, 0.0), ..options() };
    let core = Core::open(registry(), strict(), Some(&state), &mut host(), at(0)).unwrap();
    assert_eq!(core.registry().hash(), registry().hash());
    let brought = Arc::new(Registry::from_catalog(&tagged).unwrap());
    for limits in [limits(8.0, 16.0, 0.0), limits(8.0, f64::NAN, 1.0)] {
        let options = Options { limits, ..options() };
        let refused = Core::open(Arc::clone(&brought), options, Some(&state), &mut host(), at(0));
        assert!(matches!(refused, Err(OpenError::Catalog(_))));
    }
}

/// However little a program allows, what a client holds can be erased before there is a catalog.
#[test]
fn a_registry_that_asks_nothing_is_within_every_limit() {
    let mut before = core();
    let state = before.commit(at(0), true).unwrap().bytes;
    let limits = Privacy { weekly: 0.5, lifetime: 0.5, public_bits: 0.0 };
    let opened = Core::open(
        Arc::new(Registry::empty()),
        Options { limits, ..options() },
        Some(&state),
        &mut host(),
        at(0),
    );
    let mut core = opened.unwrap();
    core.opt_out(at(0));
    assert!(core.commit(at(0), true).unwrap().erases);
}

/// What somebody does who wants to learn more than the caps allow, or a person who has reason to.
#[derive(Clone, Debug)]
enum Act {
    /// An answer to `theme` or to one of its copies under another name, by its place.
    Record(usize, usize),
    /// A catalog with this version, ε in tenths, these caps in fourths, and so many copies of the question.
    Catalog(u32, u32, u32, u32, usize),
    Reset,
    OptOutAndIn,
    /// The program ends before or after what was done is durable.
    Reopen(bool),
    /// The clock goes to this week.
    Week(i64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0..3usize, 0..4usize).prop_map(|(metric, label)| Act::Record(metric, label)),
        2 => (1..4u32, 5..12u32, 4..80u32, 4..80u32, 0..3usize).prop_map(|(v, e, w, l, n)| Act::Catalog(v, e, w, l, n)),
        1 => Just(Act::Reset),
        1 => Just(Act::OptOutAndIn),
        2 => any::<bool>().prop_map(Act::Reopen),
        2 => (0..12i64).prop_map(Act::Week),
    ]
}

fn copies(version: u32, tenths: u32, weekly: u32, lifetime: u32, copies: usize) -> Arc<Registry> {
    let mut declared = declared();
    declared["privacy"] = json!({ "weekly": f64::from(weekly) / 4.0, "lifetime": f64::from(lifetime) / 4.0 });
    let metrics = declared["metrics"].as_object_mut().unwrap();
    metrics.remove("saves");
    metrics["theme"]["version"] = json!(version);
    metrics["theme"]["epsilon"] = json!(f64::from(tenths) / 10.0);
    // A metric that repeats costs as much as its answers.
    for copy in 0..copies {
        let theme = metrics["theme"].clone();
        metrics.insert(format!("theme_{copy}"), theme);
    }
    let declared: Declared = serde_json::from_value(declared).unwrap();
    Registry::new(&declared).map_or_else(|_| copies_of_one(), Arc::new)
}

fn copies_of_one() -> Arc<Registry> {
    copies(1, 5, 8, 8, 0)
}

proptest! {
    /// Whatever catalogs come and go, and whatever clock, person and crashes do: reports that may leave are charged at least what
    /// they cost by a count kept apart, and no more of them are made than the caps of the moment and the program's limits allow.
    #[test]
    fn no_catalog_clock_or_crash_lets_more_out_than_is_charged(acts in prop::collection::vec(act(), 1..80)) {
        type Made = BTreeMap<(u32, MetricId, u32, [u8; 8], usize), (Params, u64)>;
        let cost = |made: &Made| made.values().map(|(params, n)| params.epsilon_of_reports(*n).get()).sum::<f64>();
        let limits = Privacy { weekly: 12.0, lifetime: 14.0, public_bits: 0.0 };
        let options = || Options { limits, ..options() };
        let brought = copies_of_one();
        let mut entropy = host();
        let mut core = Core::open(Arc::clone(&brought), options(), None, &mut entropy, at(0)).unwrap();
        let (mut disk, mut now, mut secret, mut durable_secret) = (None, 0, 0, 0);
        // What was made since the first beginning, and what of it is durable.
        let (mut weeks, mut durable) = (BTreeMap::<i64, Made>::new(), BTreeMap::<i64, Made>::new());
        for act in acts {
            match act {
                Act::Record(metric, label) => {
                    let id = MetricId::new(["theme", "theme_0", "theme_1"][metric]).unwrap();
                    let label = ["dark", "light", "system", "else"][label];
                    if core.record(&id, Answer::Text(label), at(now)) == Recorded::Reported {
                        let asked = core.registry().metric(&id).unwrap();
                        let key = (secret, id, asked.version(), asked.params().fingerprint().0, label.len());
                        let week = weeks.entry(now / (7 * DAY)).or_default();
                        week.entry(key).or_insert((*asked.params(), 0)).1 += 1;
                        let caps = core.registry().privacy();
                        let (cap, spent) = (caps.weekly.min(limits.weekly), cost(week));
                        prop_assert!(spent <= cap + 1e-6, "{spent} of {cap} in a week");
                    }
                }
                Act::Catalog(v, e, w, l, n) => drop(core.catalog(&copies(v, e, w, l, n).catalog(), at(now))),
                Act::Reset => {
                    core.reset(at(now));
                    secret += 1;
                }
                Act::OptOutAndIn => {
                    core.opt_out(at(now));
                    core.opt_in(at(now));
                    secret += 1;
                }
                Act::Reopen(crashes) => {
                    if crashes {
                        (weeks, secret) = (durable.clone(), durable_secret);
                    } else if let Some(commit) = core.commit(at(now), true) {
                        core.committed(commit.number);
                        (disk, durable, durable_secret) = (Some(commit.bytes.to_vec()), weeks.clone(), secret);
                    }
                    core = Core::open(Arc::clone(&brought), options(), disk.as_deref(), &mut entropy, at(now)).unwrap();
                }
                Act::Week(week) => now = 7 * DAY * week,
            }
            let mut ever = Made::new();
            for (key, (params, n)) in weeks.values().flatten() {
                ever.entry(key.clone()).or_insert((*params, 0)).1 += n;
            }
            let (spent, made) = (core.ledger(at(now)).for_life.spent.get(), cost(&ever));
            prop_assert!(spent >= made - 1e-9, "{made} left, {spent} are charged");
            prop_assert!(made <= limits.lifetime + 1e-6, "{made} of {}", limits.lifetime);
        }
    }

    /// Weeks in any order, more than are kept apart: no week's sum is below what was charged in it.
    #[test]
    fn no_week_is_ever_charged_too_little(weeks in prop::collection::vec(0..30i64, 1..60)) {
        let mut core = open(64.0, 64.0);
        let params = *core.registry().metric(&theme()).unwrap().params();
        let mut charged = vec![0u64; 30];
        for week in weeks {
            let now = 7 * DAY * week;
            if record(&mut core, "dark", now) == Recorded::Reported {
                charged[week as usize] += 1;
            }
            let known = |week: usize| core.ledger(at(7 * DAY * week as i64)).metrics[1].this_week;
            for (week, reports) in charged.iter().enumerate() {
                let least: Epsilon = params.epsilon_of_reports(*reports);
                prop_assert!(known(week) >= least, "week {week}: {:?} for {reports}", known(week));
            }
        }
    }
}
