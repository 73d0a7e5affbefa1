//! Raw events, kept for a while so that a metric added later can ask about the past.

use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::tally::Occasion;
use super::{Event, Property};
use crate::calendar::{Day, Timestamp};

/// The most bytes of names and properties that are kept. The oldest events go first.
pub const MAX_KEPT_BYTES: usize = 32 * 1024;

/// What an event takes beside its texts.
const EVENT_BYTES: usize = 32;

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    events: VecDeque<KeptEvent>,
    bytes: usize,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct KeptEvent {
    at: Timestamp,
    day: Day,
    session: u32,
    name: String,
    properties: Vec<(String, KeptProperty)>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
enum KeptProperty {
    Flag(bool),
    Number(f64),
    Text(String),
}

impl Kept {
    /// Keeps an event. Returns how many had to go for it.
    pub(super) fn push(
        &mut self,
        event: &Event<'_>,
        declared: impl Fn(&str) -> bool,
        when: &Occasion,
    ) -> u64 {
        let properties = event.properties.iter().filter(|(name, _)| declared(name));
        let properties =
            properties.filter_map(|(name, property)| Some(((*name).to_owned(), keep(*property)?)));
        let Occasion { at, day, session } = *when;
        let kept =
            KeptEvent { at, day, session, name: event.name.to_owned(), properties: properties.collect() };
        self.bytes += kept.bytes();
        self.events.push_back(kept);
        let mut dropped = 0;
        while self.bytes > MAX_KEPT_BYTES {
            self.drop_oldest();
            dropped += 1;
        }
        dropped
    }

    /// Drops what happened before a day, and what a clock that was set back has not reached yet.
    pub(super) fn forget(&mut self, before: Day, after: Timestamp) {
        while self.events.front().is_some_and(|event| event.day < before) {
            self.drop_oldest();
        }
        while self.events.back().is_some_and(|event| event.at > after) {
            let dropped = self.events.pop_back();
            self.bytes -= dropped.map_or(0, |event| event.bytes());
        }
    }

    fn drop_oldest(&mut self) {
        let dropped = self.events.pop_front();
        self.bytes -= dropped.map_or(0, |event| event.bytes());
    }

    /// Calls `each` with every kept event, the oldest first.
    pub(super) fn replay(&self, mut each: impl FnMut(&Event<'_>, &Occasion)) {
        for kept in &self.events {
            let properties: Vec<(&str, Property<'_>)> = kept
                .properties
                .iter()
                .map(|(name, property)| {
                    let property = match property {
                        KeptProperty::Flag(flag) => Property::Flag(*flag),
                        KeptProperty::Number(number) => Property::Number(*number),
                        KeptProperty::Text(text) => Property::Text(text),
                    };
                    (name.as_str(), property)
                })
                .collect();
            let event = Event { name: &kept.name, properties: &properties, at: Some(kept.at) };
            each(&event, &Occasion { at: kept.at, day: kept.day, session: kept.session });
        }
    }
}

impl KeptEvent {
    fn bytes(&self) -> usize {
        let properties = self.properties.iter().map(|(name, property)| {
            name.len() + if let KeptProperty::Text(text) = property { text.len() } else { 8 }
        });
        EVENT_BYTES + self.name.len() + properties.sum::<usize>()
    }
}

fn keep(property: Property<'_>) -> Option<KeptProperty> {
    match property {
        Property::Flag(flag) => Some(KeptProperty::Flag(flag)),
        Property::Number(number) => Some(KeptProperty::Number(number)),
        Property::Text(text) if text.len() <= super::MAX_TEXT_BYTES => {
            Some(KeptProperty::Text(text.to_owned()))
        }
        Property::Text(_) => None,
    }
}
