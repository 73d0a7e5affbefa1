//! What travels in the clear beside reports: public tags, by name and label.
//!
//! A batch names its registry and gives places in that registry's lists. The store keeps every registry that was served,
//! and stores tags as text, so that reports of many registries are counted together and a label means the same for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use deniable::MetricId;
use deniable::registry::{Registry, RegistryHash};
use serde::{Deserialize, Serialize};

use super::selection::{TagError, labels_of};

/// Public tags: a label for each name.
///
/// As text they are a JSON object without blanks, its names ascending, which is one text for equal tags; `{}` for none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// Reads what [`Tags`] display as; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<Self>(text).ok().filter(|tags| tags.to_string() == text)
    }

    /// The label of that name.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Each name with its label.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, label)| (name.as_str(), label.as_str()))
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).expect("text has a JSON form"))
    }
}

impl<N: Into<String>, L: Into<String>> FromIterator<(N, L)> for Tags {
    fn from_iter<I: IntoIterator<Item = (N, L)>>(tags: I) -> Self {
        Self(tags.into_iter().map(|(name, label)| (name.into(), label.into())).collect())
    }
}

/// What a registry shows in the clear: its tags, each with the labels that it can have, and which metrics have none beside
/// them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Public {
    tags: Vec<(String, Vec<String>)>,
    untagged: BTreeSet<MetricId>,
}

impl Public {
    /// What `registry` shows.
    pub fn of(registry: &Registry) -> Self {
        let sensitive = registry.metrics().filter(|metric| metric.is_sensitive());
        Self {
            tags: registry.tags().map(|(name, labels)| (name.to_owned(), labels.to_vec())).collect(),
            untagged: sensitive.map(|metric| metric.id().clone()).collect(),
        }
    }

    /// The tags that stand beside a report to `metric`, by their places.
    pub(super) fn tags(
        &self,
        metric: &MetricId,
        mut places: impl ExactSizeIterator<Item = u16>,
    ) -> Result<Tags, TagFault> {
        let tags = if self.untagged.contains(metric) { &[] } else { &self.tags[..] };
        if places.len() != tags.len() {
            return Err(TagFault::Count { found: places.len(), expected: tags.len() });
        }
        let label = |(name, labels): &(String, Vec<String>)| {
            let place = places.next().expect("there are as many places as tags");
            match labels.get(usize::from(place)) {
                Some(label) => Ok((name.clone(), label.clone())),
                None => Err(TagFault::Place { name: name.clone(), place, labels: labels.len() }),
            }
        };
        tags.iter().map(label).collect()
    }
}

/// Places that are no tags of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TagFault {
    Count { found: usize, expected: usize },
    Place { name: String, place: u16, labels: usize },
}

/// What each registry that was ever served shows, by the registry's hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registries(BTreeMap<RegistryHash, Public>);

impl Registries {
    /// What the registry of that hash shows.
    pub fn get(&self, hash: RegistryHash) -> Option<&Public> {
        self.0.get(&hash)
    }

    /// Says whether any of the registries has a tag of that name.
    ///
    /// # Errors
    /// [`TagError::UnknownTag`] if none has, which lists those there are.
    pub fn check_tag(&self, name: &str) -> Result<(), TagError> {
        labels_of(name, self).map(drop)
    }

    /// The labels that a tag has in any of the registries; none if there is no such tag.
    pub fn labels(&self, name: &str) -> BTreeSet<&str> {
        let tags = self.0.values().flat_map(|public| &public.tags).filter(|(tag, _)| tag == name);
        tags.flat_map(|(_, labels)| labels.iter().map(String::as_str)).collect()
    }

    /// The names of the tags of all registries.
    pub fn names(&self) -> BTreeSet<&str> {
        self.0.values().flat_map(|public| &public.tags).map(|(name, _)| name.as_str()).collect()
    }
}

impl FromIterator<(RegistryHash, Public)> for Registries {
    fn from_iter<I: IntoIterator<Item = (RegistryHash, Public)>>(registries: I) -> Self {
        Self(registries.into_iter().collect())
    }
}

impl Extend<(RegistryHash, Public)> for Registries {
    fn extend<I: IntoIterator<Item = (RegistryHash, Public)>>(&mut self, registries: I) {
        self.0.extend(registries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    const REGISTRY: &str = r#"
tags = ["size", "os"]

[events.start]
properties = { os = { labels = ["ios", "web"] }, size = { labels = ["s", "l"] } }

[dimensions.os]
source = { first = { events = ["start"], property = "os", window = "ever" } }
kind = "category"

[dimensions.size]
source = { first = { events = ["start"], property = "size", window = "ever" } }
kind = "category"

[metrics.starts]
version = 1
question = "How many?"
source = { any = { events = ["start"], window = "day" } }
kind = "boolean"
every = "day"
epsilon = 1.0

[metrics.secret]
version = 1
question = "Whether?"
sensitive = true
source = { any = { events = ["start"], window = "day" } }
kind = "boolean"
every = "day"
epsilon = 1.0
"#;

    #[test]
    fn tags_are_one_text_and_no_other_text_is_read() {
        let tags: Tags = [("plan", "free"), ("arm", "b \"2\"")].into_iter().collect();
        let text = r#"{"arm":"b \"2\"","plan":"free"}"#;
        assert_eq!(tags.to_string(), text);
        assert_eq!(Tags::parse(text), Some(tags));
        assert_eq!(Tags::parse("{}"), Some(Tags::default()));
        for other in ["", "[]", "{ }", r#"{"plan":"free","arm":"b"}"#, r#"{"a":1}"#, r#"{"a":"b","a":"b"}"#] {
            assert_eq!(Tags::parse(other), None, "{other}");
        }
    }

    #[test]
    fn places_are_read_by_their_registry_and_never_beyond_its_lists() {
        let catalog = Catalog::parse(REGISTRY).unwrap_or_else(|faults| panic!("{faults}"));
        let public = Public::of(catalog.registry());
        let labels: Vec<_> = catalog.registry().tags().map(|(_, labels)| labels.to_vec()).collect();
        let [starts, secret] = ["starts", "secret"].map(|name| MetricId::new(name).unwrap());
        let read = |metric, places: &[u16]| public.tags(metric, places.iter().copied());
        for (i, size) in labels[0].iter().enumerate() {
            for (j, os) in labels[1].iter().enumerate() {
                let expected = [("size", size), ("os", os)].into_iter().collect::<Tags>();
                assert_eq!(read(&starts, &[i as u16, j as u16]), Ok(expected));
            }
        }
        let beyond = labels[1].len() as u16;
        let fault = TagFault::Place { name: "os".to_owned(), place: beyond, labels: labels[1].len() };
        assert_eq!(read(&starts, &[0, beyond]), Err(fault));
        assert!(matches!(read(&starts, &[u16::MAX, 0]), Err(TagFault::Place { .. })));
        assert_eq!(read(&starts, &[]), Err(TagFault::Count { found: 0, expected: 2 }));
        assert_eq!(read(&starts, &[0, 0, 0]), Err(TagFault::Count { found: 3, expected: 2 }));
        assert_eq!(read(&secret, &[]), Ok(Tags::default()));
        assert_eq!(read(&secret, &[0, 0]), Err(TagFault::Count { found: 2, expected: 0 }));
    }
}
