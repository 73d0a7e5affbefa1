//! Rotation: which metrics a device answers where all of them together would cost it more than the caps.
//!
//! What a device's reports cost adds up over its metrics. If the sum for a week or for ever is over its cap, the metrics are
//! put into groups, each within both caps, and every device answers one group's metrics alone. It draws the group uniformly
//! by its secret, for life. A metric stands in as many groups as have room for it, so its share of the devices is known
//! exactly: groups that hold it / all groups.
//!
//! # Which groups
//! First-fit by decreasing size (Johnson 1973): the metrics in the order of the greatest part of a cap that each takes, of
//! equal ones the first by name, go into the first group with room. Then each group in turn takes in what still fits, the
//! metrics that stand in the fewest groups first. The groups are a function of the registry alone, equal on every platform.
//!
//! # Privacy
//! The draw depends on nothing that happened, so that a device answers or not says nothing of any answer. Who sees all
//! reports of one device learns its group, a random number below the number of groups.
//!
//! # What changes with the registry
//! The draw is one number in [0, 1) for life, and the group is its place among the groups, so a registry whose groups change
//! may put a device into another one. What it spent before stays spent; its ledger refuses what would go over the caps.

use alloc::vec::Vec;
use core::fmt;

use super::Registry;
use super::declared::Privacy;
use super::metric::Metric;
use crate::identity::DeviceSecret;
use crate::metric::MetricId;

/// The groups of a registry's metrics, of which each device answers one.
#[derive(Clone, Copy)]
pub struct Rotation<'r> {
    registry: &'r Registry,
}

impl<'r> Rotation<'r> {
    pub(super) fn new(registry: &'r Registry) -> Self {
        Self { registry }
    }

    /// Whether there is more than one group, so that no metric need be answered by every device.
    pub fn is_needed(self) -> bool {
        self.registry.groups.len() > 1
    }

    /// All metrics as if one device answered them.
    pub fn everything(self) -> Group<'r> {
        Group { caps: self.registry.privacy, metrics: self.registry.metrics.iter().collect() }
    }

    /// The groups; at least one.
    pub fn groups(self) -> impl ExactSizeIterator<Item = Group<'r>> {
        (0..self.registry.groups.len()).map(move |place| self.group(place))
    }

    /// The group that a device answers, for life.
    pub fn group_of(self, secret: &DeviceSecret) -> Group<'r> {
        self.group(self.registry.group_of(secret))
    }

    fn group(self, place: usize) -> Group<'r> {
        let Registry { metrics, groups, privacy, .. } = self.registry;
        Group { caps: *privacy, metrics: groups[place].iter().map(|place| &metrics[*place]).collect() }
    }

    /// The share of devices that answer a metric; None for a metric of another registry.
    pub fn share(self, metric: &MetricId) -> Option<Share> {
        let holding = self.groups().filter(|group| group.holds(metric)).count();
        (holding > 0).then(|| Share::new(holding, self.registry.groups.len()))
    }
}

/// Metrics that one device answers, and what they cost it.
#[derive(Clone, Debug)]
pub struct Group<'r> {
    caps: Privacy,
    metrics: Vec<&'r Metric>,
}

impl<'r> Group<'r> {
    /// Whether a metric is one of them.
    pub fn holds(&self, metric: &MetricId) -> bool {
        self.metrics().any(|id| id == metric)
    }

    /// The metrics, by name.
    pub fn metrics(&self) -> impl ExactSizeIterator<Item = &'r MetricId> {
        self.metrics.iter().map(|metric| metric.id())
    }

    /// The most ε that they cost a device in a week, rounded up. A metric that the program answers by itself, as often as it
    /// likes, counts with its ε∞, or with the whole cap if that is less: beyond it the ledger refuses.
    pub fn weekly_epsilon(&self) -> f64 {
        self.sum().weekly
    }

    /// The most ε that they cost a device for ever, for one answer to each, counted like [`Self::weekly_epsilon`].
    pub fn lifetime_epsilon(&self) -> f64 {
        self.sum().lifetime
    }

    fn sum(&self) -> Cost {
        Cost::sum(self.metrics.iter().map(|metric| Cost::of(metric, self.caps)))
    }
}

/// An exact share of all devices, in lowest terms, above 0 and at most 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Share {
    numerator: usize,
    denominator: usize,
}

impl Share {
    fn new(some: usize, all: usize) -> Self {
        let divisor = greatest_common_divisor(some, all);
        Self { numerator: some / divisor, denominator: all / divisor }
    }

    /// The upper number.
    pub const fn numerator(self) -> usize {
        self.numerator
    }

    /// The lower number.
    pub const fn denominator(self) -> usize {
        self.denominator
    }

    /// The nearest double.
    pub const fn as_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

impl fmt::Display for Share {
    /// `1`, or two numbers like `3/8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => self.numerator.fmt(f),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

/// What metrics cost a device in a week and for ever.
#[derive(Clone, Copy, Default)]
struct Cost {
    weekly: f64,
    lifetime: f64,
}

impl Cost {
    fn of(metric: &Metric, caps: Privacy) -> Self {
        let unplanned = metric.params.epsilon_infinity().get();
        match &metric.plan {
            Some(_) => Self { weekly: metric.weekly_epsilon(), lifetime: metric.lifetime_epsilon() },
            None => Self { weekly: unplanned.min(caps.weekly), lifetime: unplanned.min(caps.lifetime) },
        }
    }

    /// The sum, rounded up.
    fn sum(costs: impl Iterator<Item = Self>) -> Self {
        costs.fold(Self::default(), |sum, cost| Self {
            weekly: add_up(sum.weekly, cost.weekly),
            lifetime: add_up(sum.lifetime, cost.lifetime),
        })
    }

    fn is_within(self, caps: Privacy) -> bool {
        self.weekly <= caps.weekly && self.lifetime <= caps.lifetime
    }

    /// The greatest part of a cap that it takes.
    fn part(self, caps: Privacy) -> f64 {
        (self.weekly / caps.weekly).max(self.lifetime / caps.lifetime)
    }
}

/// The groups of metrics that stand in the order of their names, told by their places, ascending.
pub(super) fn groups(metrics: &[Metric], caps: Privacy) -> Vec<Vec<usize>> {
    let costs: Vec<Cost> = metrics.iter().map(|metric| Cost::of(metric, caps)).collect();
    let mut places: Vec<usize> = (0..metrics.len()).collect();
    // The sorts are stable: of equal parts the first by name.
    places.sort_by(|a, b| costs[*b].part(caps).total_cmp(&costs[*a].part(caps)));
    let with = |group: &[usize], place: usize| {
        let before = group.partition_point(|other| *other < place);
        let grown = [&group[..before], &[place], &group[before..]].concat();
        Some(grown).filter(|grown| Cost::sum(grown.iter().map(|place| costs[*place])).is_within(caps))
    };
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &place in &places {
        let grown = groups.iter().enumerate().find_map(|(i, group)| Some((i, with(group, place)?)));
        match grown {
            Some((group, grown)) => groups[group] = grown,
            None => groups.push(Vec::from([place])),
        }
    }
    let mut standing = alloc::vec![1; metrics.len()];
    for group in &mut groups {
        // Of those that stand in equally many groups, the larger first.
        places.sort_by_key(|place| standing[*place]);
        for &place in &places {
            if !group.contains(&place)
                && let Some(grown) = with(group, place)
            {
                *group = grown;
                standing[place] += 1;
            }
        }
    }
    groups
}

/// a + b for numbers from 0, rounded up; exact where one is 0.
fn add_up(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { a + b } else { (a + b).next_up() }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec;

    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use serde_json::{Value, json};

    use super::*;
    use crate::registry::{Declared, Registry};

    /// A registry of metrics answered once, each with its ε, under these caps.
    fn registry(weekly: f64, lifetime: f64, epsilons: &[(String, f64)]) -> Registry {
        let source = json!({ "any": { "events": ["e"], "window": { "days": 7 } } });
        let metric = |epsilon: f64| json!({ "version": 1, "question": "?", "source": source, "kind": "boolean", "every": "once", "epsilon": epsilon });
        let metrics: serde_json::Map<String, Value> =
            epsilons.iter().map(|(name, epsilon)| (name.clone(), metric(*epsilon))).collect();
        let declared = json!({
            "privacy": { "weekly": weekly, "lifetime": lifetime },
            "events": { "e": {} },
            "metrics": metrics,
        });
        Registry::new(&serde_json::from_value::<Declared>(declared).unwrap()).unwrap()
    }

    fn names(epsilons: &[(&str, f64)]) -> Vec<(String, f64)> {
        epsilons.iter().map(|(name, epsilon)| ((*name).to_string(), *epsilon)).collect()
    }

    fn held(rotation: Rotation<'_>) -> Vec<Vec<String>> {
        rotation.groups().map(|group| group.metrics().map(ToString::to_string).collect()).collect()
    }

    fn share(rotation: Rotation<'_>, metric: &str) -> String {
        rotation.share(&MetricId::new(metric).unwrap()).unwrap().to_string()
    }

    #[test]
    fn metrics_within_the_caps_are_answered_by_everyone() {
        let registry = registry(4.0, 8.0, &names(&[("a", 2.0), ("b", 1.0), ("c", 1.0)]));
        let rotation = registry.rotation();
        assert!(!rotation.is_needed());
        assert_eq!(held(rotation), [["a", "b", "c"]]);
        assert_eq!(share(rotation, "a"), "1");
        assert_eq!(rotation.share(&MetricId::new("d").unwrap()), None);
        let only = rotation.groups().next().unwrap();
        assert!(rotation.everything().metrics().eq(only.metrics()));
    }

    /// Worked by hand. By size: d (4), a and b (2), c (1). First fit: {d}, {a, b}, {c}. Then the third group, with room for 3,
    /// takes a, the first of those that stand in one group and fit, and no more.
    #[test]
    fn groups_are_first_fit_and_then_filled() {
        let registry = registry(4.0, 8.0, &names(&[("a", 2.0), ("b", 2.0), ("c", 1.0), ("d", 4.0)]));
        let rotation = registry.rotation();
        assert_eq!(held(rotation), [vec!["d"], vec!["a", "b"], vec!["a", "c"]]);
        assert_eq!(["a", "b", "c", "d"].map(|name| share(rotation, name)), ["2/3", "1/3", "1/3", "1/3"]);
        let everything = rotation.everything();
        assert!((everything.weekly_epsilon() - 9.0).abs() < 1e-6, "{everything:?}");
        assert!(
            everything.weekly_epsilon() > 4.0 && rotation.groups().nth(1).unwrap().weekly_epsilon() <= 4.0
        );
    }

    /// The caps of a week and of a life bind alike: each metric takes 1 in a week, but 2 for ever.
    #[test]
    fn the_cap_of_a_life_rotates_too() {
        let week = |name: &str| {
            let metric = json!({ "version": 1, "question": "?", "every": "week", "epsilon": 1.0, "kind": "boolean",
                "source": { "any": { "events": ["e"], "window": "week" } } });
            (String::from(name), metric)
        };
        let metrics: serde_json::Map<String, Value> = ["a", "b", "c"].map(week).into_iter().collect();
        let declared = |lifetime: f64| json!({ "privacy": { "weekly": 4.0, "lifetime": lifetime }, "events": { "e": {} }, "metrics": metrics });
        let groups = |lifetime| {
            let declared = serde_json::from_value(declared(lifetime)).unwrap();
            Registry::new(&declared).unwrap().rotation().groups().len()
        };
        assert_eq!([2.0, 4.0, 5.9, 6.0].map(groups), [3, 2, 2, 1]);
    }

    /// A program that answers by itself may report as often as it likes: it takes ε∞, or a whole cap where that has no bound.
    #[test]
    fn a_metric_of_the_program_takes_all_that_it_may_spend() {
        let direct = json!({ "encoding": "unary", "bits": 2, "instantaneous": { "zero": 0.25, "one": 0.5 } });
        let metrics = json!({
            "unbounded": { "version": 1, "question": "?", "report": direct },
            "bounded": { "version": 1, "question": "?", "kind": "boolean", "epsilon": 1.0 },
        });
        let declared = serde_json::from_value(json!({ "metrics": metrics })).unwrap();
        let registry = Registry::new(&declared).unwrap();
        assert_eq!(held(registry.rotation()), [["unbounded"], ["bounded"]]);
        let group = registry.rotation().groups().nth(1).unwrap();
        assert!((group.weekly_epsilon() - 2.0).abs() < 1e-6, "{group:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn every_group_is_within_the_caps_and_has_no_room_left(
            tenths in prop::collection::vec(1..40u32, 1..20), weekly in 4.0..12.0, lifetime in 4.0..12.0,
        ) {
            let epsilons: Vec<(String, f64)> =
                tenths.iter().enumerate().map(|(i, tenths)| (std::format!("m{i}"), f64::from(*tenths) / 10.0)).collect();
            let registry = registry(weekly, lifetime, &epsilons);
            let rotation = registry.rotation();
            for metric in registry.metrics() {
                prop_assert!(rotation.share(metric.id()).is_some(), "{} stands in no group", metric.id());
            }
            for group in rotation.groups() {
                prop_assert!(group.weekly_epsilon() <= weekly && group.lifetime_epsilon() <= lifetime);
                let cost: f64 = group.metrics().map(|id| registry.metric(id).unwrap().weekly_epsilon()).sum();
                prop_assert!((group.weekly_epsilon() - cost).abs() < 1e-9);
                for metric in registry.metrics().filter(|metric| !group.holds(metric.id())) {
                    let more = cost + metric.weekly_epsilon();
                    prop_assert!(more > weekly.min(lifetime) - 1e-9, "{} fits: {more}", metric.id());
                }
            }
            prop_assert_eq!(rotation.is_needed(), rotation.everything().weekly_epsilon() > weekly.min(lifetime));
        }
    }

    #[test]
    fn shares_are_in_lowest_terms() {
        for (some, all, shown) in [(2, 4, "1/2"), (3, 3, "1"), (6, 8, "3/4"), (1, 7, "1/7")] {
            assert_eq!(Share::new(some, all).to_string(), shown);
        }
        assert_eq!((Share::new(6, 8).numerator(), Share::new(6, 8).denominator()), (3, 4));
        assert!((Share::new(6, 8).as_f64() - 0.75).abs() < 1e-15);
    }
}
