//! The registry: the questions that are asked, how a device answers them from its events, and what each answer costs.
//!
//! [`Declared`] is the registry as it is written, plain data in one notation for files and for clients. [`Registry`] is what
//! was checked and compiled from it: reductions became cells, events know the cells that they move, and every question has
//! its answers and its parameters. A registry with faults tells all of them at once.
//!
//! A client receives what was compiled, as bytes: see [`Registry::catalog`].

mod ask;
mod catalog;
mod closed;
mod compile;
mod declared;
mod fault;
mod metric;
mod plan;
mod rotation;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use sha2::{Digest, Sha256};

pub use self::catalog::CatalogError;
pub use self::declared::{
    Center, Condition, Declared, Dimension, DrawnBy, EventType, Every, Experiment, Feature, Filter, Funnel,
    FunnelStep, Kind, Matching, MetricDeclaration, Of, Older, Order, Precision, Privacy, Property, Rule,
    Segment, Source, Window,
};
pub use self::fault::{Fault, Faults, Place, Problem};
pub use self::metric::Metric;
pub use self::rotation::{Group, Rotation, Share};

pub(crate) use self::closed::{Closed, Read, Test, Trial};
pub(crate) use self::metric::{Answer, Plan};
pub(crate) use self::plan::{Cell, Check, EventPlan, OTHER, Reduction};

use self::compile::Compiler;
use crate::identity::DeviceSecret;
use crate::insight::bound;
use crate::metric::MetricId;
use crate::report::MAX_TAGS;

/// The name of a registry: the first eight bytes of the SHA-256 of its catalog.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryHash(pub [u8; 8]);

impl RegistryHash {
    /// The name of no registry, for reports that were made without one.
    pub const NONE: Self = Self([0; 8]);

    fn of(catalog: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(catalog).into();
        Self(*digest.first_chunk().expect("a digest has more bytes"))
    }
}

impl fmt::Display for RegistryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RegistryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryHash({self})")
    }
}

/// Questions that were checked and compiled.
#[derive(Clone, Debug)]
pub struct Registry {
    hash: RegistryHash,
    privacy: Privacy,
    pub(crate) session_gap_minutes: u32,
    pub(crate) lookback_days: u32,
    /// By name.
    pub(crate) metrics: Vec<Metric>,
    /// The places of each group's metrics, ascending. There is a group at least.
    groups: Vec<Vec<usize>>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) closed: Vec<Closed>,
    /// The closed question of each dimension and segment.
    pub(crate) named: Vec<(String, usize)>,
    pub(crate) trials: Vec<Trial>,
    /// By name.
    pub(crate) events: Vec<EventPlan>,
    pub(crate) tags: Vec<(String, usize)>,
}

impl Registry {
    /// Checks and compiles a registry.
    ///
    /// # Errors
    /// All its [`Faults`] at once.
    pub fn new(declared: &Declared) -> Result<Self, Faults> {
        let mut compiler = Compiler::new(declared);
        compiler.limits();
        let mut names = compiler.names();
        let tags = compiler.tags(&names);
        let mut metrics = Vec::new();
        for (id, metric) in &declared.metrics {
            if let Some(metric) = compiler.metric(&mut names, id, metric) {
                metrics.push(metric);
            }
        }
        compiler.unused_names();
        compiler.state(bound::for_done(bound::of_once(&metrics)));
        let Compiler { faults, cells, events, .. } = compiler;
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        let groups = rotation::groups(&metrics, declared.privacy);
        let closed::Names { closed, named, trials } = names;
        let mut registry = Self {
            hash: RegistryHash::NONE,
            privacy: declared.privacy,
            session_gap_minutes: declared.session_gap_minutes,
            lookback_days: declared.lookback_days,
            metrics,
            groups,
            cells,
            closed,
            named: named.into_iter().collect(),
            trials,
            events,
            tags,
        };
        registry.hash = RegistryHash::of(&registry.catalog());
        Ok(registry)
    }

    /// A registry that asks nothing and spends nothing, under which a client can still erase what it holds, whatever its limits.
    pub fn empty() -> Self {
        Self {
            hash: RegistryHash::NONE,
            privacy: Privacy { weekly: 0.0, lifetime: 0.0, public_bits: 0.0 },
            session_gap_minutes: 30,
            lookback_days: 0,
            metrics: Vec::new(),
            groups: Vec::from([Vec::new()]),
            cells: Vec::new(),
            closed: Vec::new(),
            named: Vec::new(),
            trials: Vec::new(),
            events: Vec::new(),
            tags: Vec::new(),
        }
    }

    /// Its name.
    pub fn hash(&self) -> RegistryHash {
        self.hash
    }

    /// The most that a device spends and shows.
    pub fn privacy(&self) -> Privacy {
        self.privacy
    }

    /// The metrics, by name.
    pub fn metrics(&self) -> impl Iterator<Item = &Metric> {
        self.metrics.iter()
    }

    /// The metric of that name.
    pub fn metric(&self, id: &MetricId) -> Option<&Metric> {
        self.place_of(id).map(|place| &self.metrics[place])
    }

    fn place_of(&self, id: &MetricId) -> Option<usize> {
        self.metrics.binary_search_by(|metric| metric.id.cmp(id)).ok()
    }

    /// What a device knows of the events of that name.
    pub(crate) fn event(&self, name: &str) -> Option<&EventPlan> {
        let place = self.events.binary_search_by(|event| event.name.as_str().cmp(name));
        place.ok().map(|place| &self.events[place])
    }

    /// Which metrics each device answers, so that all of them together stay within the caps.
    pub fn rotation(&self) -> Rotation<'_> {
        Rotation::new(self)
    }

    /// The place of the group that a device answers, for life.
    pub(crate) fn group_of(&self, secret: &DeviceSecret) -> usize {
        secret.group(self.groups.len())
    }

    /// Whether the group in that place holds a metric.
    pub(crate) fn holds(&self, group: usize, metric: &MetricId) -> bool {
        self.place_of(metric).is_some_and(|place| self.groups[group].contains(&place))
    }

    /// What a property of an event can be; None if either is not declared.
    pub fn property(&self, event: &str, property: &str) -> Option<&Property> {
        let event = self.event(event)?;
        event.place_of(property).map(|place| &event.properties[place].1)
    }

    /// The public tags with their labels: what travels in the clear beside each report.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.tags.iter().map(|(name, closed)| (name.as_str(), &self.closed[*closed].labels[..]))
    }

    /// Checks that it spends and shows no more than a program allows, whatever it says itself.
    ///
    /// # Errors
    /// [`CatalogError::BeyondLimits`] for the first of its caps, or the bits of its tags, beyond that of `limits`.
    pub fn check_limits(&self, limits: Privacy) -> Result<(), CatalogError> {
        let Privacy { weekly, lifetime, .. } = self.privacy;
        for (what, value, limit) in [
            ("privacy.weekly", weekly, limits.weekly),
            ("privacy.lifetime", lifetime, limits.lifetime),
            ("the bits of all tags", self.shown_bits(), limits.public_bits),
        ] {
            if value.partial_cmp(&limit).is_none_or(Ordering::is_gt) {
                return Err(CatalogError::BeyondLimits { what, value, limit });
            }
        }
        Ok(())
    }

    /// The bits that all public tags together say.
    fn shown_bits(&self) -> f64 {
        self.tags().map(|(_, labels)| libm::log2(labels.len() as f64)).sum()
    }

    /// What changed since `earlier` that a new version was needed for and did not get.
    pub fn unversioned_since(&self, earlier: &Self) -> Vec<Fault> {
        let changed = |metric: &Metric| {
            let before = earlier.metric(metric.id()).filter(|before| before.version() == metric.version())?;
            let (what, version) = (metric.change_from(before)?, metric.version());
            let place = Place::new(["metrics", metric.id().as_str(), "version"]);
            Some(Fault { place, problem: Problem::Unversioned { what, version } })
        };
        self.metrics().filter_map(changed).collect()
    }
}

impl Compiler<'_> {
    fn limits(&mut self) {
        let declared = self.declared;
        if declared.format != 1 {
            self.fault(Place::new(["format"]), Problem::Format { found: declared.format });
        }
        let gap = f64::from(declared.session_gap_minutes);
        self.in_range(Place::new(["session_gap_minutes"]), gap, 1.0, 1440.0);
        self.in_range(Place::new(["lookback_days"]), f64::from(declared.lookback_days), 0.0, 366.0);
        let Privacy { weekly, lifetime, public_bits } = declared.privacy;
        let place = Place::new(["privacy"]);
        self.in_range(place.at("weekly"), weekly, 0.01, Privacy::MOST.weekly);
        self.in_range(place.at("lifetime"), lifetime, 0.01, Privacy::MOST.lifetime);
        self.in_range(place.at("public_bits"), public_bits, 0.0, Privacy::MOST.public_bits);
        if declared.metrics.is_empty() {
            let why = "define at least one metric in a table [metrics.NAME]";
            self.fault(Place::new(["metrics"]), Problem::Missing { why });
        }
    }

    fn tags(&mut self, names: &closed::Names) -> Vec<(String, usize)> {
        let count = self.declared.tags.len() as f64;
        self.in_range(Place::new(["tags"]), count, 0.0, MAX_TAGS as f64);
        let mut tags: Vec<(String, usize)> = Vec::new();
        let mut bits = 0.0;
        for (i, name) in self.declared.tags.iter().enumerate() {
            let place = Place::new(["tags"]).item(i);
            let Some(closed) = self.named(names, &place, name) else { continue };
            if tags.iter().any(|(known, _)| known == name) {
                self.fault(
                    place.clone(),
                    Problem::Overlap { name: name.clone(), other: "a tag before it".into() },
                );
            }
            let question = &names.closed[closed];
            if question.sensitive {
                self.fault(
                    place.clone(),
                    Problem::Sensitive { name: name.clone(), with: "shown in the clear" },
                );
            }
            let tumbling = |window: &&Window| {
                matches!(window, Window::Session | Window::Day | Window::Week | Window::Month)
            };
            if question.windows.iter().find(tumbling).is_some() {
                let why =
                    "a tag must not change with each session, day, week or month; ask over \"ever\" or days";
                self.fault(place, Problem::Misplaced { why });
            }
            bits += libm::log2(question.labels.len() as f64);
            tags.push((name.clone(), closed));
        }
        let cap = self.declared.privacy.public_bits;
        if bits > cap {
            self.fault(Place::new(["tags"]), Problem::TooPublic { bits, cap });
        }
        tags
    }

    /// Funnels that no metric uses are still checked.
    fn unused_names(&mut self) {
        for (name, funnel) in &self.declared.funnels {
            let place = Place::new(["funnels", name, "steps"]);
            for (i, step) in funnel.steps.iter().enumerate() {
                if step.name == closed::NONE || funnel.steps[..i].iter().any(|other| other.name == step.name)
                {
                    let other = "a step before it, or of no step at all".into();
                    self.fault(place.item(i).at("name"), Problem::Overlap { name: step.name.clone(), other });
                }
            }
        }
    }
}
