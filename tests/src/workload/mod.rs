//! The four populations of the workload files: their units, their events, and what each device should answer.
//!
//! Written from the workload files alone, apart from the code under test. A unit becomes time-stamped events by the rules of
//! its file, and expected answers by its drawn values, not by its events.

mod campaign;
mod draw;
mod fxa;
mod onboarding;
mod persona;

use std::collections::BTreeMap;

use deniable::calendar::{Day, Moment, Timestamp};
use deniable::insight::Property;
use serde_json::Value;

pub use self::draw::{Draws, Unit, Workload};

/// A unit's event: its name, when, and its properties.
#[derive(Clone, Debug)]
pub struct Emitted {
    /// Its name.
    pub name: &'static str,
    /// When.
    pub at_ms: i64,
    /// Its properties.
    pub properties: Vec<(&'static str, Value)>,
}

impl Emitted {
    /// Its properties as a device is told of them.
    pub fn read(&self) -> Vec<(&'static str, Property<'_>)> {
        let property = |value| match value {
            &Value::Bool(flag) => Property::Flag(flag),
            Value::Number(number) => {
                Property::Number(number.as_f64().expect("numbers of workloads are doubles"))
            }
            Value::String(text) => Property::Text(text),
            other => panic!("no property is {other}"),
        };
        self.properties.iter().map(|(name, value)| (*name, property(value))).collect()
    }
}

/// One device of a population: what happens on it, and what it should answer.
pub struct Person {
    /// When the app was installed.
    pub install: Moment,
    /// What happens, in order.
    pub events: Vec<Emitted>,
    /// When its clock is read for the last time.
    pub end: Moment,
    /// The expected answers of each metric, in the order of their epochs.
    pub answers: BTreeMap<&'static str, Vec<String>>,
    /// The drawn values.
    pub unit: Unit,
}

/// A population.
pub struct Population {
    /// Its name, that of its workload file.
    pub name: &'static str,
    /// Its registry.
    pub registry: &'static str,
    /// Its workload.
    pub workload: Workload,
    /// The experiments whose arms the device draws.
    pub arms: &'static [&'static str],
    /// From drawn values to the devices of a unit.
    pub people: fn(&Unit, &mut Draws) -> Vec<Person>,
}

macro_rules! population {
    ($name:literal, $arms:expr, $people:path) => {
        Population {
            name: $name,
            registry: concat!(env!("CARGO_MANIFEST_DIR"), "/../aggregator/data/registries/", $name, ".toml"),
            workload: Workload::parse(include_str!(concat!("../../data/workloads/", $name, ".json"))),
            arms: $arms,
            people: $people,
        }
    };
}

/// Onboarding of a chat-bot builder.
pub fn onboarding() -> Population {
    population!("onboarding", &[], onboarding::people)
}

/// A sign-in dialog.
pub fn persona() -> Population {
    population!("persona-signin", &["variant", "placement"], persona::people)
}

/// Services of an account, where the account's origin sees all of them.
pub fn fxa_hub() -> Population {
    population!("fxa-services", &[], fxa::accounts)
}

/// Services of an account, where each device sees its own.
pub fn fxa_devices() -> Population {
    population!("fxa-services", &[], fxa::devices)
}

/// A campaign with two sites.
pub fn campaign() -> Population {
    population!("campaign", &["slot"], campaign::people)
}

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The instant at which a day begins.
fn midnight(date: &str) -> i64 {
    i64::from(date.parse::<Day>().expect("a date").0) * DAY
}

fn utc(at_ms: i64) -> Moment {
    Moment::utc(Timestamp::from_millis(at_ms))
}

fn is(unit: &Unit, node: &str) -> bool {
    unit[node] == Value::Bool(true)
}

fn text<'u>(unit: &'u Unit, node: &str) -> &'u str {
    unit[node].as_str().unwrap_or("")
}

fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

/// The bin of a number, as a histogram with these edges names it.
fn bin(x: f64, edges: &[i64]) -> String {
    let above = edges.iter().filter(|edge| **edge as f64 <= x).count();
    match (above, edges) {
        (0, [first, ..]) => format!("<{first}"),
        (n, edges) if n == edges.len() => format!(">={}", edges[n - 1]),
        (n, edges) => format!("{}..{}", edges[n - 1], edges[n]),
    }
}
