//! What a device runs: cells, and the events that move them.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::compile::list;
use super::declared::{Filter, Order, Property, Window};
use super::fault::Problem;
use crate::binary::binary;
use crate::sorted::by_name;

/// One reduction over one window, with what it needs to know of its definition.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// A hash of the definition, under which its tally is stored.
    pub(crate) key: u64,
    pub(crate) reduction: Reduction,
    pub(crate) window: Window,
    /// The most bytes that its tally takes in a stored state.
    pub(crate) bytes: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Reduction {
    Any,
    First,
    Last,
    /// Of how many labels, `other` included.
    MostCommon(usize),
    Count,
    Sum,
    Min,
    Max,
    Median,
    Distinct,
    DistinctCount,
    Minutes,
    Reached {
        times: u16,
        within_ms: i64,
    },
    Step {
        events: u16,
        positions: u16,
    },
    Move {
        events: u16,
    },
    Presence,
    Funnel {
        optional: Vec<bool>,
        order: Order,
    },
}

binary!(struct Cell { key, reduction, window; bytes: 0 });
binary!(enum Reduction {
    0 Any,
    1 First,
    2 Last,
    3 MostCommon(labels),
    4 Count,
    5 Sum,
    6 Min,
    7 Max,
    8 Median,
    9 Distinct,
    10 DistinctCount,
    11 Minutes,
    12 Reached { times, within_ms },
    13 Step { events, positions },
    14 Move { events },
    15 Presence,
    16 Funnel { optional, order },
});
binary!(struct Route { cell, role, filters, property });
binary!(enum Check { 0 Labels(labels), 1 Texts(texts), 2 Number { at_least, below }, 3 Flag(flag) });
binary!(struct EventPlan { name, properties, routes; labels: Vec::new() });

/// The type of what a cell finds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Flag,
    Number,
    Text,
    /// One of these labels, or none of them.
    Labels(Vec<String>),
    /// Always one of these labels.
    Closed(Vec<String>),
    /// Some of these labels.
    Set(Vec<String>),
}

impl Shape {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Flag => "a flag".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Text => "an open text".to_owned(),
            Self::Labels(names) | Self::Closed(names) => format!("one of {} labels", names.len()),
            Self::Set(names) => format!("a set of {} labels", names.len()),
        }
    }
}

/// What an event does to a cell.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) cell: usize,
    /// Which of the cell's inputs the event is: a step, an end, a name.
    pub(crate) role: u16,
    pub(crate) filters: Vec<(usize, Check)>,
    /// The place of the reduced property among those of the event.
    pub(crate) property: Option<usize>,
}

/// What a property must be.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    Labels(Vec<u16>),
    Texts(Vec<String>),
    Number { at_least: f64, below: f64 },
    Flag(bool),
}

/// An event as a device knows it.
#[derive(Clone, Debug)]
pub(crate) struct EventPlan {
    pub(crate) name: String,
    /// By name.
    pub(crate) properties: Vec<(String, Property)>,
    /// The places of each property's labels, by their names.
    labels: Vec<Vec<u16>>,
    pub(crate) routes: Vec<Route>,
}

/// The label of what is not in a list.
pub(crate) const OTHER: &str = "other";

impl EventPlan {
    /// An event of these properties, which are sorted, that moves no cell yet.
    pub(super) fn new(name: String, properties: Vec<(String, Property)>) -> Self {
        let mut event = Self { name, properties, labels: Vec::new(), routes: Vec::new() };
        event.complete();
        event
    }

    /// Adds what follows from the rest.
    pub(super) fn complete(&mut self) {
        self.labels = self.properties.iter().map(|(_, kind)| by_name(listed(kind))).collect();
    }

    /// The place of a label of the property in that place; None if it is not listed.
    pub(crate) fn label(&self, property: usize, label: &str) -> Option<u16> {
        let (labels, sorted) = (listed(&self.properties[property].1), &self.labels[property]);
        let found = sorted.binary_search_by(|place| labels[usize::from(*place)].as_str().cmp(label));
        found.ok().map(|found| sorted[found])
    }

    /// The place of `other` among the labels of the property in that place: its own if it is listed, or the one after the last.
    pub(crate) fn other(&self, property: usize) -> u16 {
        self.label(property, OTHER).unwrap_or(self.labels[property].len() as u16)
    }

    /// The place of a property. Names of other lengths are passed over without being read, which is faster than a search among
    /// the few that an event has.
    pub(crate) fn place_of(&self, property: &str) -> Option<usize> {
        self.properties.iter().position(|(name, _)| name == property)
    }
}

/// The labels that a property lists.
pub(super) fn listed(property: &Property) -> &[String] {
    match property {
        Property::Labels(labels) => labels,
        Property::Flag | Property::Number | Property::Text => &[],
    }
}

/// The labels of a property, with `other` at the end unless it is listed.
pub(super) fn with_other(labels: &[String]) -> Vec<String> {
    let other = (!labels.iter().any(|label| label == OTHER)).then(|| OTHER.to_owned());
    labels.iter().cloned().chain(other).collect()
}

pub(super) fn shape(property: &Property) -> Shape {
    match property {
        Property::Flag => Shape::Flag,
        Property::Number => Shape::Number,
        Property::Text => Shape::Text,
        Property::Labels(labels) => Shape::Labels(with_other(labels)),
    }
}

pub(super) fn check(property: &Property, filter: &Filter) -> Result<Check, Problem> {
    let wrong = |wanted| Err(Problem::WrongType { found: shape(property).describe(), wanted });
    match (property, filter) {
        (Property::Labels(labels), Filter { is: Some(is), at_least: None, below: None, flag: None }) => {
            let labels = with_other(labels);
            let place = |name: &String| match labels.iter().position(|label| label == name) {
                Some(place) => Ok(place as u16),
                None => Err(Problem::Unknown { what: "label", name: name.clone(), declared: list(&labels) }),
            };
            is.iter().map(place).collect::<Result<_, _>>().map(Check::Labels)
        }
        (Property::Text, Filter { is: Some(is), at_least: None, below: None, flag: None }) => {
            Ok(Check::Texts(is.clone()))
        }
        (Property::Flag, Filter { is: None, at_least: None, below: None, flag: Some(flag) }) => {
            Ok(Check::Flag(*flag))
        }
        (Property::Number, Filter { is: None, at_least, below, flag: None })
            if at_least.is_some() || below.is_some() =>
        {
            let at_least = at_least.unwrap_or(f64::NEG_INFINITY);
            Ok(Check::Number { at_least, below: below.unwrap_or(f64::INFINITY) })
        }
        (Property::Labels(_) | Property::Text, _) => wrong("a filter `is = [..]` alone"),
        (Property::Flag, _) => wrong("a filter `flag = true` or `flag = false` alone"),
        (Property::Number, _) => wrong("a filter `at_least` or `below`"),
    }
}
