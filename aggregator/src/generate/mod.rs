//! Typed wrappers of a registry's events, for programs: a wrong name of an event or a property, a label that is not listed or a
//! value of another type does not compile.
//!
//! The text is a function of the registry alone, and begins with its hash. Nothing in it is more than types and one call: the
//! device checks every event again, so a program that was built for another registry is counted and not believed.

mod names;
mod rust;
mod typescript;

use std::collections::{BTreeMap, BTreeSet};

use deniable::registry::{Declared, RegistryHash};
use serde_json::Value;

pub use self::rust::rust;
pub use self::typescript::typescript;

/// The questions that are asked about each event, by the name of the event, each question once and in the order of the
/// metrics.
fn questions(declared: &Declared) -> BTreeMap<String, Vec<String>> {
    let tables = serde_json::to_value(declared).expect("what is declared has a JSON form");
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, metric) in &declared.metrics {
        let mut used = Used { tables: &tables, events: BTreeSet::new(), seen: BTreeSet::new() };
        used.look(&tables["metrics"][name.as_str()]);
        for event in used.events {
            let questions = asked.entry(event).or_default();
            if !questions.contains(&metric.question) {
                questions.push(metric.question.clone());
            }
        }
    }
    asked
}

/// The events that a declaration names, and that what it refers to names.
struct Used<'d> {
    tables: &'d Value,
    events: BTreeSet<String>,
    seen: BTreeSet<(&'static str, &'d str)>,
}

impl<'d> Used<'d> {
    fn look(&mut self, value: &'d Value) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| self.field(key, value)),
            Value::Array(items) => items.iter().for_each(|item| self.look(item)),
            _ => {}
        }
    }

    fn field(&mut self, key: &str, value: &'d Value) {
        let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        match (key, value) {
            ("events", _) => self.events.extend(texts.map(str::to_owned)),
            ("funnel", Value::String(name)) => self.follow("funnels", name),
            ("experiment", Value::String(name)) => self.follow("experiments", name),
            ("named", Value::String(name)) => self.follow_name(name),
            ("cross", _) => texts.for_each(|name| self.follow_name(name)),
            ("is", Value::Object(is)) => {
                is.get("name").and_then(Value::as_str).into_iter().for_each(|name| self.follow_name(name));
            }
            _ => self.look(value),
        }
    }

    fn follow_name(&mut self, name: &'d str) {
        ["dimensions", "segments", "experiments"].into_iter().for_each(|table| self.follow(table, name));
    }

    fn follow(&mut self, table: &'static str, name: &'d str) {
        if self.seen.insert((table, name)) {
            self.look(&self.tables[table][name]);
        }
    }
}

/// The labels of a property, with `other` at the end unless it is listed: what is in no list.
fn with_other(labels: &[String]) -> Vec<&str> {
    let other = (!labels.iter().any(|label| label == OTHER)).then_some(OTHER);
    labels.iter().map(String::as_str).chain(other).collect()
}

const OTHER: &str = "other";

/// What stands at the beginning of each file.
fn header(hash: RegistryHash) -> [String; 3] {
    [
        format!("Typed wrappers of the events of registry {hash}."),
        String::new(),
        "Made by `deniable gen`: make it anew when the registry changes, and change nothing here.".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn questions_are_found_through_names_funnels_and_conditions() {
        let text = include_str!("../../data/registries/onboarding.toml");
        let asked = questions(Catalog::parse(text).unwrap().declared());
        // By a funnel, by a cross of dimensions, and by rules.
        let of = |event: &str, words: &str| asked[event].iter().any(|question| question.contains(words));
        assert!(of("channel_connected", "How far does a new device come"));
        assert!(of("tutorial_viewed", "see the tutorial"));
        assert!(of("page_viewed", "Which way does a new device take"));
        assert!(!of("paid", "tutorial"));
        assert!(!asked.contains_key("builder_opened"), "no metric asks about it");
    }
}
