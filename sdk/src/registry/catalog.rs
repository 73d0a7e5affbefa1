//! The catalog: a compiled registry as a client receives it.
//!
//! # Format 2
//! `dnct`, a version byte (2), then the registry in its [binary form](crate::binary): the events, the cells, what reads them,
//! the metrics with their parameters, and the groups that devices draw. A client needs no reader of text and no
//! compiler. The first eight bytes of the catalog's SHA-256 name the registry.
//!
//! Not told are who owns a metric and which older versions a collector still takes: they are no client's business, and
//! change no answer.
//!
//! # Trust
//! Whoever serves a catalog decides what is asked, as the author of a registry does. Reading one checks what the device relies on:
//! places lie within their lists, no question is read from itself, no answer takes more than 65,536 steps, the state has its bound,
//! and parameters and domains are sound.
//! Then whatever it says costs what its parameters say, its caps and the bits of its tags are no larger than a registry's may be
//! ([`Privacy::MOST`], or less by [`Registry::check_limits`]), and no event makes the device fail.

use alloc::vec::Vec;

use super::closed::{MAX_STEPS, Steps, Test};
use super::declared::Privacy;
use super::plan::{EventPlan, Reduction, Route, listed};
use super::{Property, Registry, RegistryHash};
use crate::binary::{self, Binary, Reader, Writer, binary};
use crate::insight::{MAX_STATE_BYTES, bound};
use crate::params::MAX_BITS;
use crate::report::MAX_TAGS;

const MAGIC: [u8; 4] = *b"dnct";
const FORMAT: u8 = 2;

/// How deep conditions may lie in each other: deeper than a file of metrics can be read, and no danger to a stack.
const MAX_DEPTH: usize = 128;

/// The most steps, names or labels that one 64-bit word tells apart.
const WORD: usize = 64;

binary!(struct Registry {
    privacy, session_gap_minutes, lookback_days, events, cells, closed, named, trials, tags, metrics, groups;
    hash: RegistryHash::NONE
});

impl Registry {
    /// Reads a catalog.
    ///
    /// # Errors
    /// A [`CatalogError`] for bytes that are no catalog, one of another version, or one that no compiler wrote.
    pub fn from_catalog(bytes: &[u8]) -> Result<Self, CatalogError> {
        Self::from_catalog_within(bytes, Privacy::MOST)
    }

    /// Reads a catalog that spends and shows no more than a program allows, nor than any registry may.
    ///
    /// # Errors
    /// As [`Registry::from_catalog`] and [`Registry::check_limits`].
    pub fn from_catalog_within(bytes: &[u8], limits: Privacy) -> Result<Self, CatalogError> {
        let body = bytes.strip_prefix(&MAGIC).ok_or(CatalogError::NotACatalog)?;
        let (&format, body) = body.split_first().ok_or(CatalogError::NotACatalog)?;
        if format != FORMAT {
            return Err(CatalogError::Format { found: format });
        }
        let mut registry: Self = binary::read(body).ok_or(CatalogError::Corrupt)?;
        registry.hash = RegistryHash::of(bytes);
        if !registry.is_in_time() || !registry.is_sound() || registry.complete().is_none() {
            return Err(CatalogError::Corrupt);
        }
        registry.check_limits(Privacy::MOST)?;
        registry.check_limits(limits)?;
        Ok(registry)
    }

    /// The bytes that a client receives.
    pub fn catalog(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(FORMAT);
        self.write(&mut Writer::new(&mut bytes));
        bytes
    }

    /// Adds what follows from the rest. None if the device's state could be larger than its bound.
    fn complete(&mut self) -> Option<()> {
        let mut texts = alloc::vec![false; self.cells.len()];
        for event in &mut self.events {
            event.complete();
            for Route { cell, property, .. } in &event.routes {
                texts[*cell] |= property.is_some_and(|place| event.properties[place].1 == Property::Text);
            }
        }
        for (cell, text) in self.cells.iter_mut().zip(texts) {
            cell.bytes = bound::of_cell(&cell.reduction, text);
        }
        let done = bound::for_done(bound::of_once(&self.metrics));
        // A page has sizes of 32 bits, which the cells of a large catalog could pass.
        let bytes: u64 = self.cells.iter().map(|cell| cell.bytes as u64).sum();
        ((bound::FIXED_BYTES + done) as u64 + bytes <= MAX_STATE_BYTES as u64).then_some(())
    }

    /// Notes the steps of each question, which is read from cells and from questions before it, and says whether all are in time.
    fn is_in_time(&mut self) -> bool {
        let (cells, trials) = (self.cells.len(), self.trials.len());
        for mut question in core::mem::take(&mut self.closed) {
            question.steps = Steps::new(cells, trials, &self.closed).of(&question);
            if question.steps > MAX_STEPS {
                return false;
            }
            self.closed.push(question);
        }
        let mut plans = self.metrics.iter().filter_map(|metric| metric.plan.as_ref());
        plans.all(|plan| Steps::new(cells, trials, &self.closed).of_plan(plan) <= MAX_STEPS)
    }

    fn is_sound(&self) -> bool {
        let Privacy { weekly, lifetime, public_bits } = self.privacy;
        let closed = |place: &usize| *place < self.closed.len();
        (weekly > 0.0 && lifetime > 0.0 && public_bits >= 0.0)
            && (1..=1440).contains(&self.session_gap_minutes)
            && self.lookback_days <= 366
            && self.cells.iter().all(|cell| cell.reduction.is_bounded())
            && self.events.is_sorted_by(|a, b| a.name < b.name)
            && self.events.iter().all(|event| self.is_sound_event(event))
            && self.closed.iter().all(|closed| (1..=MAX_BITS).contains(&closed.labels.len()))
            && self.named.iter().all(|(_, place)| closed(place))
            && self.trials.iter().all(|trial| closed(&trial.closed) && trial.arms.iter().any(|arm| arm.1 > 0))
            && self.tags.len() <= MAX_TAGS
            && self.tags.iter().all(|(_, place)| closed(place))
            && self.shown_bits() <= public_bits
            && self.metrics.is_sorted_by(|a, b| a.id < b.id)
            && !self.groups.is_empty()
            && self.groups.iter().flatten().all(|place| *place < self.metrics.len())
    }

    fn is_sound_event(&self, event: &EventPlan) -> bool {
        let EventPlan { properties, routes, .. } = event;
        let is_sound = |route: &Route| {
            let inputs = self.cells.get(route.cell).map_or(0, |cell| cell.reduction.inputs());
            usize::from(route.role) < inputs
                && route.property.is_none_or(|place| place < properties.len())
                && route.filters.iter().all(|(place, _)| *place < properties.len())
        };
        properties.is_sorted_by(|a, b| a.0 < b.0)
            && properties.iter().all(|(_, kind)| listed(kind).len() < MAX_BITS)
            && routes.iter().all(is_sound)
    }
}

impl Reduction {
    /// How many kinds of events it tells apart.
    fn inputs(&self) -> usize {
        match self {
            Self::Minutes => 2,
            Self::Step { events, .. } | Self::Move { events } => usize::from(*events),
            Self::Funnel { optional, .. } => optional.len(),
            _ => 1,
        }
    }

    /// Whether what it keeps is bounded by what a compiler would ask for.
    fn is_bounded(&self) -> bool {
        match self {
            Self::MostCommon(labels) => *labels <= MAX_BITS,
            Self::Funnel { optional, .. } => optional.len() <= WORD,
            _ => true,
        }
    }
}

/// A condition: how many there are in it, itself included, and each of them before those that lie in it.
impl Binary for Test {
    fn write(&self, to: &mut Writer<'_>) {
        to.number(self.conditions());
        self.write_each(to);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let mut left = from.count();
        let test = Self::read_each(from, &mut left, MAX_DEPTH);
        from.or_fail((left == 0).then_some(test), Self::All(Vec::new()))
    }
}

impl Test {
    fn within(&self) -> &[Self] {
        match self {
            Self::All(tests) | Self::Any(tests) | Self::Not(tests) => tests,
            Self::AtLeast { .. } | Self::Is { .. } | Self::Installed { .. } => &[],
        }
    }

    fn conditions(&self) -> u64 {
        1 + self.within().iter().map(Self::conditions).sum::<u64>()
    }

    fn write_each(&self, to: &mut Writer<'_>) {
        let (number, tests) = match self {
            Self::All(tests) => (0, tests),
            Self::Any(tests) => (1, tests),
            Self::Not(tests) => (2, tests),
            Self::AtLeast { cell, least } => {
                to.number(3);
                (*cell, *least).write(to);
                return;
            }
            Self::Is { closed, places } => {
                to.number(4);
                closed.write(to);
                places.write(to);
                return;
            }
            Self::Installed { from, until } => {
                to.number(5);
                (*from, *until).write(to);
                return;
            }
        };
        to.number(number);
        to.number(tests.len() as u64);
        tests.iter().for_each(|test| test.write_each(to));
    }

    /// Takes up a condition and those in it, of the `left` that there are, which lie no deeper than `depth`.
    fn read_each(from: &mut Reader<'_>, left: &mut usize, depth: usize) -> Self {
        let next = left.checked_sub(1).filter(|_| depth > 0);
        *left = from.or_fail(next, 0);
        let kind = from.number();
        match kind {
            3 => Self::AtLeast { cell: Binary::read(from), least: Binary::read(from) },
            4 => Self::Is { closed: Binary::read(from), places: Binary::read(from) },
            5 => Self::Installed { from: Binary::read(from), until: Binary::read(from) },
            _ => {
                let mut within = Vec::new();
                let count = from.up_to(*left as u64) as usize;
                from.times(count, &mut |from| {
                    within.push(Self::read_each(from, left, depth.saturating_sub(1)));
                });
                match kind {
                    0 => Self::All(within),
                    1 => Self::Any(within),
                    _ => from.or_fail((kind == 2).then_some(Self::Not(within)), Self::All(Vec::new())),
                }
            }
        }
    }
}

/// Bytes that give no registry.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The bytes begin otherwise.
    #[error("these bytes are no catalog: a catalog begins with \"dnct\"")]
    NotACatalog,
    /// A catalog of another version.
    #[error(
        "the catalog has format {found}, but this program reads format {FORMAT}; update the older of program and collector"
    )]
    Format {
        /// Its version.
        found: u8,
    },
    /// The bytes break off or go on, or hold what no registry can say.
    #[error("the catalog is damaged or cut short; fetch it again")]
    Corrupt,
    /// It would spend or show more than the program allows.
    #[error("the catalog has {value} for {what}, but this program allows {limit}; lower it in the registry")]
    BeyondLimits {
        /// Which limit.
        what: &'static str,
        /// What the catalog has.
        value: f64,
        /// What is allowed.
        limit: f64,
    },
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec;

    use rand::{Rng, RngExt, SeedableRng};
    use serde_json::{Value, json};

    use super::*;
    use crate::DeviceSecret;
    use crate::calendar::{Moment, Timestamp};
    use crate::insight::{Device, Event};
    use crate::registry::{Declared, Read};

    /// Every reduction and every way to read one.
    fn catalog() -> Vec<u8> {
        let of = |property: &str| json!({ "events": ["a"], "property": property, "window": "ever" });
        let seen = json!({ "count": { "events": ["a", "b"], "window": "week" } });
        let asked = |source: Value, kind: Value, every| json!({ "version": 1, "question": "?", "source": source, "kind": kind, "every": every, "epsilon": 0.1 });
        let metric = |source, kind| asked(source, kind, "week");
        let number = json!({ "number": { "low": 0, "high": 9 } });
        let deep = json!({ "all": [{ "not": [{ "any": [{ "is": { "name": "first", "labels": ["p"] } },
            { "installed": { "from": "2020-01-01" } }] }] }, { "happened": { "events": ["a"], "window": "week" } }] });
        let declared = json!({
            "lookback_days": 3,
            "tags": ["arm"],
            "events": { "a": { "properties": { "f": "flag", "l": { "labels": ["p", "q"] }, "t": "text", "x": "number" } }, "b": {} },
            "dimensions": {
                "first": { "source": { "first": of("l") }, "kind": "category" },
                "text": { "source": { "last": of("t") }, "kind": { "labels": ["u", "v"] } },
            },
            "segments": { "group": { "rules": { "rules": [{ "when": deep, "label": "in" }], "otherwise": "out" } } },
            "experiments": { "arm": { "arms": { "one": 1, "two": 2 } } },
            "funnels": { "way": { "window": "week", "steps": [
                { "name": "a", "events": ["a"] }, { "name": "b", "events": ["b"], "optional": true }] } },
            "metrics": {
                "bins": metric(seen.clone(), json!({ "histogram": { "edges": [1, 3] } })),
                "common": metric(json!({ "most_common": of("l") }), json!("category")),
                "crossed": metric(json!({ "cross": ["first", "group"] }), json!("category")),
                "distinct": metric(json!({ "distinct_count": of("t") }), number.clone()),
                "free": metric(json!({ "last": of("t") }), json!("string")),
                "labels": metric(json!({ "distinct": of("l") }), json!("set")),
                "median": metric(json!({ "median": of("x") }), number.clone()),
                "minutes": metric(json!({ "minutes": { "from": { "events": ["a"] }, "to": { "events": ["b"] }, "window": "week" } }), number),
                "moves": metric(json!({ "move": { "events": ["a", "b"], "window": "week" } }), json!("category")),
                "shown": asked(json!({ "presence": { "events": ["a", "b"] } }), json!("category"), "day"),
                "steps": metric(json!({ "step": { "events": ["a", "b"], "positions": 3, "window": "week" } }), json!("category")),
                "stays": metric(json!({ "any": { "events": ["a"], "window": "week" } }), json!({ "retention": { "weeks": 2 } })),
                "way": metric(json!({ "funnel": "way" }), json!("category")),
            },
        });
        Registry::new(&serde_json::from_value::<Declared>(declared).unwrap()).unwrap().catalog()
    }

    /// Events of every kind over some weeks.
    fn run(registry: Registry) {
        let at = |day: i64| Moment::utc(Timestamp::from_seconds(1_700_000_000 + day * 86_400));
        let mut device =
            Device::new(Arc::new(registry), &DeviceSecret::from_bytes([3; 32]), at(0)).answering_everything();
        for day in 0..20 {
            let properties = [
                ("f", crate::insight::Property::Flag(true)),
                ("l", crate::insight::Property::Text(["p", "q", "r"][day as usize % 3])),
                ("t", crate::insight::Property::Text("u")),
                ("x", crate::insight::Property::Number(day as f64)),
            ];
            device.track(&Event { name: "a", properties: &properties, at: None }, at(day));
            device.track(&Event { name: "b", properties: &properties, at: None }, at(day));
            device.arm("arm");
            device.tags();
        }
        let (registry, bytes) = (Arc::clone(device.registry()), device.store());
        drop(Device::restore(registry, &DeviceSecret::from_bytes([3; 32]), bytes));
    }

    #[test]
    fn a_catalog_is_read_as_it_was_written() {
        let bytes = catalog();
        let read = Registry::from_catalog(&bytes).unwrap();
        assert_eq!(read.catalog(), bytes);
        run(read);
    }

    /// Whatever a damaged catalog says, it is refused, or a device can live with it.
    #[test]
    fn no_damage_makes_a_device_fail() {
        let bytes = catalog();
        let mut coins = rand_chacha(7);
        let mut read = 0;
        for _ in 0..20_000 {
            let mut damaged = bytes.clone();
            for _ in 0..coins.random_range(1..4) {
                let place = coins.random_range(5..damaged.len());
                damaged[place] = [coins.next_u32() as u8, 0, 1, 0xFF, damaged[place].wrapping_add(1)]
                    [coins.random_range(0..5)];
            }
            if let Ok(registry) = Registry::from_catalog(&damaged) {
                read += 1;
                run(registry);
            }
        }
        assert!(read > 1000, "only {read} damaged catalogs were read, which tries little");
    }

    fn rand_chacha(seed: u64) -> chacha20::ChaCha8Rng {
        chacha20::ChaCha8Rng::seed_from_u64(seed)
    }

    #[test]
    fn conditions_too_deep_for_a_stack_are_refused() {
        let nested = |depth: usize| (0..depth).fold(Test::All(vec![]), |test, _| Test::Not(vec![test]));
        let read = |depth| {
            let mut bytes = Vec::new();
            nested(depth).write(&mut Writer::new(&mut bytes));
            binary::read::<Test>(&bytes).is_some()
        };
        assert!(read(MAX_DEPTH - 1));
        assert!(!read(MAX_DEPTH));
    }

    /// A condition that claims more within it than there are bytes, which would fill all memory were it believed.
    #[test]
    fn conditions_that_are_not_there_are_not_awaited() {
        let mut bytes = Vec::new();
        let mut to = Writer::new(&mut bytes);
        [1 << 40, 0, 1 << 39].into_iter().for_each(|number| to.number(number));
        assert!(binary::read::<Test>(&bytes).is_none());
    }

    /// Caps without end, or tags that name a device: more than any registry may say, so no compiler wrote it.
    #[test]
    fn a_catalog_that_spends_or_shows_more_than_a_registry_may_is_refused() {
        let changed = |change: &dyn Fn(&mut Registry)| {
            let mut registry = Registry::from_catalog(&catalog()).unwrap();
            change(&mut registry);
            Registry::from_catalog(&registry.catalog()).map(drop)
        };
        assert_eq!(changed(&|registry| registry.privacy = Privacy::MOST), Ok(()));
        for beyond in [64.1, 1e300, f64::INFINITY, f64::NAN, 0.0, -1.0] {
            assert!(changed(&|r| r.privacy.weekly = beyond).is_err(), "{beyond} a week");
            assert!(changed(&|r| r.privacy.lifetime = beyond).is_err(), "{beyond} for life");
        }
        // One tag of two labels says a bit.
        for (bits, shown) in [(1.0, true), (0.9, false), (-1.0, false), (f64::NAN, false)] {
            assert_eq!(changed(&|r| r.privacy.public_bits = bits).is_ok(), shown, "{bits}");
        }
        let many = |registry: &mut Registry| {
            registry.privacy.public_bits = 1e9;
            let tag = registry.tags[0].1;
            registry.closed[tag].labels = (0..4000).map(|i| std::format!("{i}")).collect();
            registry.tags.push((std::string::String::from("again"), tag));
        };
        assert!(matches!(changed(&many), Err(CatalogError::BeyondLimits { limit: 16.0, .. })));
    }

    #[test]
    fn a_question_read_from_itself_is_refused() {
        let mut registry = Registry::from_catalog(&catalog()).unwrap();
        let own = registry.closed.len() - 1;
        registry.closed[own].read = Read::Cross(own, 0);
        assert_eq!(Registry::from_catalog(&registry.catalog()).map(drop), Err(CatalogError::Corrupt));
    }
}
