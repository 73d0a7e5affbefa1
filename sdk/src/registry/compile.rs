//! From what a registry declares to what a device runs: reductions become cells, and events know the cells they move.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::closed::MAX_STEPS;
use super::declared::{Declared, Filter, Matching, Of, Property, Source, Window};
use super::fault::{Fault, Place, Problem};
use super::plan::{Cell, Check, EventPlan, Reduction, Route, Shape, check, shape};
use crate::domain::{Domain, Other};
use crate::insight::{MAX_KEPT_BYTES, MAX_STATE_BYTES, bound};

/// Labels of a presence cell, in the order of their values.
const PRESENCE: [&str; 6] = ["absent", "day", "week", "month", "week_and_month", "ever"];

/// What is being compiled, and what was found to be wrong.
pub(super) struct Compiler<'d> {
    pub(super) declared: &'d Declared,
    pub(super) faults: Vec<Fault>,
    pub(super) cells: Vec<Cell>,
    /// Where each cell was first asked for.
    places: Vec<Place>,
    by_key: BTreeMap<u64, usize>,
    pub(super) events: Vec<EventPlan>,
}

/// Some events and how they are told: one input of a reduction.
struct Input<'d> {
    events: &'d [String],
    filters: &'d BTreeMap<String, Filter>,
    property: Option<&'d str>,
    place: Place,
}

impl<'d> Compiler<'d> {
    pub(super) fn new(declared: &'d Declared) -> Self {
        let mut compiler = Self {
            declared,
            faults: Vec::new(),
            cells: Vec::new(),
            places: Vec::new(),
            by_key: BTreeMap::new(),
            events: Vec::new(),
        };
        for (name, event) in &declared.events {
            let place = Place::new(["events", name, "properties"]);
            for (property, kind) in &event.properties {
                if let Property::Labels(labels) = kind
                    && let Err(error) = Domain::labels(labels.iter().cloned(), Other::Counted)
                {
                    compiler.fault(place.at(property), error.into());
                }
            }
            let properties = event.properties.iter().map(|(name, kind)| (name.clone(), kind.clone()));
            compiler.events.push(EventPlan::new(name.clone(), properties.collect()));
        }
        compiler
    }

    pub(super) fn fault(&mut self, place: Place, problem: Problem) {
        let fault = Fault { place, problem };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    pub(super) fn in_range(&mut self, place: Place, value: f64, low: f64, high: f64) {
        if !(low..=high).contains(&value) {
            self.fault(place, Problem::OutOfRange { value, low, high });
        }
    }

    /// Whether an answer takes no more steps than it may, which is a fault if not.
    pub(super) fn in_time(&mut self, place: &Place, steps: usize) -> bool {
        if steps > MAX_STEPS {
            self.fault(place.clone(), Problem::TooManySteps { steps });
        }
        steps <= MAX_STEPS
    }

    /// The cell of an inline source, and the type of what it finds. None after a fault.
    pub(super) fn cell(&mut self, place: &Place, source: &'d Source) -> Option<(usize, Shape)> {
        let place = match source {
            Source::Any(_) => place.at("any"),
            Source::First(_) => place.at("first"),
            Source::Last(_) => place.at("last"),
            Source::MostCommon(_) => place.at("most_common"),
            Source::Count(_) => place.at("count"),
            Source::Sum(_) => place.at("sum"),
            Source::Min(_) => place.at("min"),
            Source::Max(_) => place.at("max"),
            Source::Median(_) => place.at("median"),
            Source::Distinct(_) => place.at("distinct"),
            Source::DistinctCount(_) => place.at("distinct_count"),
            Source::Minutes { .. } => place.at("minutes"),
            Source::Reached { .. } => place.at("reached"),
            Source::Step { .. } => place.at("step"),
            Source::Move { .. } => place.at("move"),
            Source::Presence { .. } => place.at("presence"),
            Source::Funnel(_) => place.at("funnel"),
            Source::Named(_) => place.at("named"),
            Source::Cross(..) => place.at("cross"),
        };
        let before = self.faults.len();
        let (reduction, window, shape, inputs) = self.reduce(&place, source)?;
        if let Window::Days(days) = window {
            self.in_range(place.at("window"), f64::from(days), 1.0, 3660.0);
        }
        let routes: Vec<(usize, Route)> = inputs
            .into_iter()
            .enumerate()
            .flat_map(|(role, input)| self.routes(role as u16, &input))
            .collect();
        let funnel = if let Source::Funnel(name) = source { self.declared.funnels.get(name) } else { None };
        let definition = (source, funnel, self.reduced(source));
        let bytes = bound::of_cell(&reduction, shape == Shape::Text);
        let cell = self.insert(&place, Cell { key: key(&definition), reduction, window, bytes }, routes);
        (self.faults.len() == before).then_some((cell, shape))
    }

    /// The declaration of the property that a source reduces, whose labels are counted by their places.
    fn reduced(&self, source: &Source) -> Option<&'d Property> {
        let (Source::First(of) | Source::Last(of) | Source::MostCommon(of) | Source::Distinct(of)) = source
        else {
            return None;
        };
        self.declared.events.get(of.events.first()?)?.properties.get(of.property.as_ref()?)
    }

    /// The cell that counts matching events.
    pub(super) fn count(&mut self, place: &Place, of: &Matching, window: Window) -> usize {
        let input = Input { events: &of.events, filters: &of.filters, property: None, place: place.clone() };
        let routes = self.routes(0, &input);
        let (reduction, key) = (Reduction::Count, key(&("count", of, window)));
        let bytes = bound::of_cell(&reduction, false);
        self.insert(place, Cell { key, reduction, window, bytes }, routes)
    }

    fn insert(&mut self, place: &Place, cell: Cell, routes: Vec<(usize, Route)>) -> usize {
        if let Some(&known) = self.by_key.get(&cell.key) {
            return known;
        }
        let index = self.cells.len();
        self.by_key.insert(cell.key, index);
        self.cells.push(cell);
        self.places.push(place.clone());
        // The last input first, so that one event does not make two steps.
        for (event, route) in routes.into_iter().rev() {
            self.events[event].routes.push(Route { cell: index, ..route });
        }
        index
    }

    /// Refuses a registry whose state could outgrow its bound on some device. `once` are the bytes of what is answered once.
    pub(super) fn state(&mut self, once: usize) {
        let kept = if self.declared.lookback_days > 0 { MAX_KEPT_BYTES } else { 0 };
        let cells: usize = self.cells.iter().map(|cell| cell.bytes).sum();
        let total = bound::FIXED_BYTES + once + kept + cells;
        let largest = self.cells.iter().zip(&self.places).max_by_key(|(cell, _)| cell.bytes);
        if let Some((cell, place)) = largest.filter(|_| total > MAX_STATE_BYTES) {
            let problem =
                Problem::StateTooLarge { total, cells: self.cells.len(), largest: cell.bytes, kept };
            self.fault(place.clone(), problem);
        }
    }

    fn reduce(
        &mut self,
        place: &Place,
        source: &'d Source,
    ) -> Option<(Reduction, Window, Shape, Vec<Input<'d>>)> {
        let simple =
            |of: &'d Of, reduction, shape| Some((reduction, of.window, shape, vec![of.input(place)]));
        match source {
            Source::Any(of) => {
                self.no_property(place, of);
                simple(of, Reduction::Any, Shape::Flag)
            }
            Source::Count(of) => {
                self.no_property(place, of);
                simple(of, Reduction::Count, Shape::Number)
            }
            Source::First(of) => simple(of, Reduction::First, self.property(place, of)?),
            Source::Last(of) => simple(of, Reduction::Last, self.property(place, of)?),
            Source::MostCommon(of) => {
                let labels = self.labels(place, of)?;
                simple(of, Reduction::MostCommon(labels.len()), Shape::Labels(labels))
            }
            Source::Sum(of) => simple(of, Reduction::Sum, self.number(place, of)?),
            Source::Min(of) => simple(of, Reduction::Min, self.number(place, of)?),
            Source::Max(of) => simple(of, Reduction::Max, self.number(place, of)?),
            Source::Median(of) => simple(of, Reduction::Median, self.number(place, of)?),
            Source::Distinct(of) => {
                let mut labels = self.labels(place, of)?;
                // A set holds listed labels only.
                labels.truncate(64);
                let listed = self.listed(of)?;
                labels.truncate(listed);
                simple(of, Reduction::Distinct, Shape::Set(labels))
            }
            Source::DistinctCount(of) => match self.property(place, of)? {
                Shape::Text | Shape::Labels(_) => simple(of, Reduction::DistinctCount, Shape::Number),
                other => {
                    let wanted = "a property with labels or an open text";
                    self.fault(place.at("property"), Problem::WrongType { found: other.describe(), wanted });
                    None
                }
            },
            Source::Minutes { from, to, window } => {
                let inputs = vec![from.input(place.at("from")), to.input(place.at("to"))];
                Some((Reduction::Minutes, *window, Shape::Number, inputs))
            }
            Source::Reached { events, filters, times, within_days, window } => {
                self.in_range(place.at("times"), f64::from(*times), 1.0, 64.0);
                self.in_range(place.at("within_days"), f64::from(*within_days), 1.0, 3660.0);
                let within_ms = i64::from(*within_days) * 86_400_000;
                let input = Input { events, filters, property: None, place: place.clone() };
                Some((Reduction::Reached { times: *times, within_ms }, *window, Shape::Number, vec![input]))
            }
            Source::Step { events, positions, window } => {
                self.in_range(place.at("positions"), f64::from(*positions), 1.0, 64.0);
                let labels =
                    (1..=*positions).flat_map(|p| events.iter().map(move |event| format!("{p}:{event}")));
                let labels = labels.chain((1..=*positions).map(|p| format!("{p}:end"))).collect();
                let reduction = Reduction::Step { events: events.len() as u16, positions: *positions };
                Some((reduction, *window, Shape::Closed(labels), each(events, place)))
            }
            Source::Move { events, window } => {
                let from = || ["start"].into_iter().chain(events.iter().map(String::as_str));
                let labels = from().flat_map(|a| events.iter().map(move |b| format!("{a}>{b}"))).collect();
                let reduction = Reduction::Move { events: events.len() as u16 };
                Some((reduction, *window, Shape::Labels(labels), each(events, place)))
            }
            Source::Presence { events } => {
                let labels = PRESENCE.map(str::to_owned).to_vec();
                let input = Input { events, filters: &EMPTY, property: None, place: place.clone() };
                Some((Reduction::Presence, Window::Day, Shape::Closed(labels), vec![input]))
            }
            Source::Funnel(name) => self.funnel(place, name),
            Source::Named(_) | Source::Cross(..) => {
                self.fault(
                    place.clone(),
                    Problem::Misplaced { why: "name things in metrics and conditions only" },
                );
                None
            }
        }
    }

    fn funnel(&mut self, place: &Place, name: &str) -> Option<(Reduction, Window, Shape, Vec<Input<'d>>)> {
        let Some(funnel) = self.declared.funnels.get(name) else {
            let declared = list(self.declared.funnels.keys());
            self.fault(place.clone(), Problem::Unknown { what: "funnel", name: name.to_owned(), declared });
            return None;
        };
        let place = Place::new(["funnels", name]);
        if funnel.steps.is_empty() || funnel.steps.len() > 64 {
            self.in_range(place.at("steps"), funnel.steps.len() as f64, 1.0, 64.0);
            return None;
        }
        let labels = ["none"].into_iter().chain(funnel.steps.iter().map(|step| step.name.as_str()));
        let inputs = funnel.steps.iter().enumerate().map(|(i, step)| Input {
            events: &step.events,
            filters: &step.filters,
            property: None,
            place: place.at("steps").item(i),
        });
        let optional = funnel.steps.iter().map(|step| step.optional).collect();
        let reduction = Reduction::Funnel { optional, order: funnel.order };
        Some((reduction, funnel.window, Shape::Closed(labels.map(str::to_owned).collect()), inputs.collect()))
    }

    /// Where the events of an input go: the cell's place is filled in when it is known.
    fn routes(&mut self, role: u16, input: &Input<'_>) -> Vec<(usize, Route)> {
        if input.events.is_empty() {
            self.fault(input.place.at("events"), Problem::TooFew { what: "event", least: 1 });
        }
        let mut routes = Vec::new();
        for (i, name) in input.events.iter().enumerate() {
            let place = input.place.at("events").item(i);
            let Ok(event) = self.events.binary_search_by(|event| event.name.cmp(name)) else {
                let declared = list(self.declared.events.keys());
                self.fault(place, Problem::Unknown { what: "event", name: name.clone(), declared });
                continue;
            };
            if input.events[..i].contains(name) {
                self.fault(
                    place,
                    Problem::Overlap { name: name.clone(), other: "an event before it".to_owned() },
                );
            }
            let property = input.property.and_then(|property| self.events[event].place_of(property));
            let filters = self.filters(event, name, input);
            routes.push((event, Route { cell: usize::MAX, role, filters, property }));
        }
        routes
    }

    fn filters(&mut self, event: usize, name: &str, input: &Input<'_>) -> Vec<(usize, Check)> {
        let mut checks = Vec::new();
        for (property, filter) in input.filters {
            let place = input.place.at("where").at(property);
            let plan = &self.events[event];
            let Some(index) = plan.place_of(property) else {
                let (what, declared) =
                    ("property of this event", list(plan.properties.iter().map(|(name, _)| name)));
                let name = format!("{name}.{property}");
                self.fault(place, Problem::Unknown { what, name, declared });
                continue;
            };
            match check(&plan.properties[index].1, filter) {
                Ok(check) => checks.push((index, check)),
                Err(problem) => self.fault(place, problem),
            }
        }
        checks
    }

    /// The type of the property that a reduction is over, the same in all of its events.
    fn property(&mut self, place: &Place, of: &'d Of) -> Option<Shape> {
        let Some(property) = &of.property else {
            let why = "this reduction is over a property of the events";
            self.fault(place.at("property"), Problem::Missing { why });
            return None;
        };
        // Unknown events are told even where the property is at fault.
        self.routes(0, &of.input(place));
        let mut found: Option<&'d Property> = None;
        for name in &of.events {
            let Some(event) = self.declared.events.get(name) else { continue };
            let Some(kind) = event.properties.get(property) else {
                let declared = list(event.properties.keys());
                let name = format!("{name}.{property}");
                let what = "property of this event";
                self.fault(place.at("property"), Problem::Unknown { what, name, declared });
                return None;
            };
            if found.is_some_and(|found| found != kind) {
                let found = format!("{property:?}, which differs between the events");
                let wanted = "one type and one list of labels in all events";
                self.fault(place.at("property"), Problem::WrongType { found, wanted });
                return None;
            }
            found = Some(kind);
        }
        found.map(shape)
    }

    fn no_property(&mut self, place: &Place, of: &'d Of) {
        if of.property.is_some() {
            let why = "this reduction is over the events themselves; leave `property` out";
            self.fault(place.at("property"), Problem::Misplaced { why });
        }
    }

    fn number(&mut self, place: &Place, of: &'d Of) -> Option<Shape> {
        let shape = self.property(place, of)?;
        if shape == Shape::Number {
            return Some(shape);
        }
        let problem = Problem::WrongType { found: shape.describe(), wanted: "a number" };
        self.fault(place.at("property"), problem);
        None
    }

    fn labels(&mut self, place: &Place, of: &'d Of) -> Option<Vec<String>> {
        match self.property(place, of)? {
            Shape::Labels(labels) => Some(labels),
            other => {
                let wanted = "a property with a list of labels";
                self.fault(place.at("property"), Problem::WrongType { found: other.describe(), wanted });
                None
            }
        }
    }

    /// The number of labels that the property lists, which may not include `other`.
    fn listed(&self, of: &Of) -> Option<usize> {
        match self.declared.events.get(of.events.first()?)?.properties.get(of.property.as_ref()?)? {
            Property::Labels(labels) => Some(labels.len()),
            _ => None,
        }
    }
}

static EMPTY: BTreeMap<String, Filter> = BTreeMap::new();

fn each<'d>(events: &'d [String], place: &Place) -> Vec<Input<'d>> {
    if events.is_empty() {
        return vec![Input { events, filters: &EMPTY, property: None, place: place.clone() }];
    }
    let input = |event| Input {
        events: core::slice::from_ref(event),
        filters: &EMPTY,
        property: None,
        place: place.clone(),
    };
    events.iter().map(input).collect()
}

impl Of {
    fn input(&self, place: &Place) -> Input<'_> {
        Input {
            events: &self.events,
            filters: &self.filters,
            property: self.property.as_deref(),
            place: place.clone(),
        }
    }
}

impl Matching {
    fn input(&self, place: Place) -> Input<'_> {
        Input { events: &self.events, filters: &self.filters, property: None, place }
    }
}

/// A list of names for a message, cut after ten.
pub(super) fn list<'s>(names: impl IntoIterator<Item = &'s String>) -> String {
    let names: BTreeSet<&str> = names.into_iter().map(String::as_str).collect();
    let mut shown: Vec<&str> = names.iter().copied().take(10).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    if names.len() > shown.len() {
        shown.push("…");
    }
    shown.join(", ")
}

/// The first 8 bytes of a definition's SHA-256.
fn key(definition: &impl Serialize) -> u64 {
    let bytes = postcard::to_allocvec(definition).expect("plain data has a binary form");
    let digest = Sha256::digest(&bytes);
    u64::from_be_bytes(core::array::from_fn(|i| digest[i]))
}
