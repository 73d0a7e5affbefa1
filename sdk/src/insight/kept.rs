//! Raw events, kept for a while so that a metric added later can ask about the past.

use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::bound::MAX_KEPT_BYTES;
use super::tally::Occasion;
use super::{Event, Property};
use crate::binary::{self, Binary, binary};
use crate::calendar::{Day, Timestamp};
use crate::registry::EventPlan;

/// Events in the order in which they came, within [`MAX_KEPT_BYTES`] as they are stored.
#[derive(Default)]
pub(super) struct Kept {
    events: VecDeque<KeptEvent>,
    /// The bytes of all events.
    bytes: usize,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct KeptEvent {
    at: Timestamp,
    day: Day,
    session: u32,
    name: String,
    properties: Vec<(String, KeptProperty)>,
}

#[derive(Zeroize)]
enum KeptProperty {
    Flag(bool),
    Number(f64),
    Text(String),
}

binary!(struct Kept { events; bytes: 0 });
binary!(struct KeptEvent { at, day, session, name, properties });
binary!(enum KeptProperty { 0 Flag(flag), 1 Number(number), 2 Text(text) });

impl Kept {
    /// Measures events that were read, and drops the oldest of what is too much. Returns how many had to go.
    pub(super) fn measure(&mut self) -> u64 {
        self.bytes = self.events.iter().map(KeptEvent::bytes).sum();
        self.shrink()
    }

    /// Keeps an event with the properties that are declared. Returns how many events had to go for it.
    pub(super) fn push(&mut self, event: &Event<'_>, plan: &EventPlan, when: &Occasion) -> u64 {
        let mut properties = Vec::with_capacity(event.properties.len());
        for (name, _) in &plan.properties {
            // Of a name that stands twice the last one counts.
            let last = event.properties.iter().rev().find(|(given, _)| given == name);
            if let Some(property) = last.and_then(|(_, property)| keep(*property)) {
                properties.push((name.clone(), property));
            }
        }
        let Occasion { at, day, session } = *when;
        let kept = KeptEvent { at, day, session, name: event.name.to_owned(), properties };
        self.bytes += kept.bytes();
        self.events.push_back(kept);
        self.shrink()
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

    fn shrink(&mut self) -> u64 {
        let before = self.events.len();
        while self.bytes > MAX_KEPT_BYTES {
            self.drop_oldest();
        }
        (before - self.events.len()) as u64
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
    /// Its size as it is stored.
    fn bytes(&self) -> usize {
        binary::size(|to| self.write(to))
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
