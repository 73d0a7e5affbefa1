//! Which of the stored reports are meant.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::str::FromStr;

use deniable::{Epoch, MetricId};
use thiserror::Error;

use super::aside::LeftOut;
use super::public::{Registries, Tags};

/// Some of the reports of a store: those of some epochs and tags, without what is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    epochs: RangeInclusive<Epoch>,
    /// The labels of each tag, and none for reports without it.
    tags: BTreeMap<String, BTreeSet<Option<String>>>,
    left_out: LeftOut,
}

impl Default for Selection {
    fn default() -> Self {
        Self::all()
    }
}

impl Selection {
    /// All reports.
    pub fn all() -> Self {
        Self::of_epochs(Epoch(0)..=Epoch(u32::MAX))
    }

    /// The reports of these epochs.
    pub fn of_epochs(epochs: RangeInclusive<Epoch>) -> Self {
        Self { epochs, tags: BTreeMap::new(), left_out: LeftOut::default() }
    }

    /// Those with this label of a tag. Given again for the same tag, those with either label; for another tag, those with
    /// both tags.
    #[must_use]
    pub fn with_tag(self, name: &str, label: &str) -> Self {
        self.with_label(name, Some(label))
    }

    /// As [`Selection::with_tag`]; for no label, those without that tag.
    #[must_use]
    pub fn with_label(mut self, name: &str, label: Option<&str>) -> Self {
        self.tags.entry(name.to_owned()).or_default().insert(label.map(str::to_owned));
        self
    }

    /// Those with these tags, as with [`Selection::with_tag`].
    ///
    /// # Errors
    /// A [`TagError`] for a name or a label that no registry has.
    pub fn with_tags(self, tags: &[Tag], registries: &Registries) -> Result<Self, TagError> {
        tags.iter().try_fold(self, |selection, Tag { name, label }| {
            let labels = labels_of(name, registries)?;
            if !labels.contains(label.as_str()) {
                let (name, label) = (name.clone(), label.clone());
                return Err(TagError::UnknownLabel { name, label, known: list(labels) });
            }
            Ok(selection.with_tag(name, label))
        })
    }

    /// Those that are not left out.
    #[must_use]
    pub fn without(self, left_out: LeftOut) -> Self {
        Self { left_out, ..self }
    }

    /// What is left out of them.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// The epochs.
    pub fn epochs(&self) -> &RangeInclusive<Epoch> {
        &self.epochs
    }

    /// Says whether a report is among them.
    pub fn takes(&self, metric: &MetricId, epoch: Epoch, source: &str, tags: &Tags) -> bool {
        let tagged = |(name, labels): (&String, &BTreeSet<Option<String>>)| {
            labels.iter().any(|label| label.as_deref() == tags.label(name))
        };
        self.epochs.contains(&epoch)
            && self.tags.iter().all(tagged)
            && !self.left_out.holds(metric, epoch, source)
    }
}

/// A label of a public tag, as people write it: `name=label`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The tag.
    pub name: String,
    /// Its label.
    pub label: String,
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let (name, label) = text.split_once('=').ok_or_else(|| TagError::Text { text: text.to_owned() })?;
        Ok(Self { name: name.to_owned(), label: label.to_owned() })
    }
}

/// The labels of a tag that some registry has.
pub(super) fn labels_of<'a>(name: &str, registries: &'a Registries) -> Result<BTreeSet<&'a str>, TagError> {
    let labels = registries.labels(name);
    if labels.is_empty() {
        return Err(TagError::UnknownTag { name: name.to_owned(), known: list(registries.names()) });
    }
    Ok(labels)
}

fn list(names: BTreeSet<&str>) -> String {
    if names.is_empty() { "none".to_owned() } else { names.into_iter().collect::<Vec<_>>().join(", ") }
}

/// A tag that no report has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TagError {
    /// It is written otherwise.
    #[error("{text:?} is no tag: write its name, '=' and a label, as in plan=free")]
    Text {
        /// What was given.
        text: String,
    },
    /// No registry has such a tag.
    #[error("no registry that was served here has the tag {name:?}; known are: {known}")]
    UnknownTag {
        /// What was given.
        name: String,
        /// The tags there are.
        known: String,
    },
    /// The tag has no such label.
    #[error("tag {name:?} has no label {label:?} in any registry that was served here; known are: {known}")]
    UnknownLabel {
        /// The tag.
        name: String,
        /// What was given.
        label: String,
        /// The labels there are.
        known: String,
    },
}

#[cfg(test)]
mod tests {
    use super::super::aside::Aside;
    use super::*;

    #[test]
    pub(super) fn labels_of_one_tag_are_alternatives_and_tags_are_conditions() {
        let metric = MetricId::new("m").unwrap();
        let takes = |selection: &Selection, tags: &[(&str, &str)]| {
            selection.takes(&metric, Epoch(5), "web", &tags.iter().copied().collect())
        };
        let free = Selection::all().with_tag("plan", "free");
        assert!(takes(&free, &[("plan", "free"), ("os", "ios")]) && !takes(&free, &[("plan", "pro")]));
        assert!(!takes(&free, &[]) && !takes(&free, &[("os", "free")]) && takes(&Selection::all(), &[]));
        let either = free.clone().with_tag("plan", "pro");
        assert!(takes(&either, &[("plan", "pro")]) && takes(&either, &[("plan", "free")]));
        let none = free.clone().with_label("plan", None);
        assert!(takes(&none, &[]) && takes(&none, &[("plan", "free")]) && !takes(&none, &[("plan", "pro")]));
        let both = free.with_tag("os", "ios");
        assert!(takes(&both, &[("plan", "free"), ("os", "ios")]) && !takes(&both, &[("plan", "free")]));
    }

    #[test]
    fn what_is_left_out_is_not_taken_and_the_rest_is() {
        let [metric, other] = ["m", "n"].map(|name| MetricId::new(name).unwrap());
        let source = Aside::Source { source: "old".to_owned() };
        let epoch = Aside::Epoch { metric: metric.clone(), epoch: Epoch(5) };
        let left_out: LeftOut = [source, epoch].into_iter().collect();
        let selection = Selection::of_epochs(Epoch(4)..=Epoch(6)).without(left_out);
        let takes = |metric, epoch, source| selection.takes(metric, Epoch(epoch), source, &Tags::default());
        assert!(takes(&metric, 4, "") && takes(&metric, 6, "web") && takes(&other, 5, ""));
        assert!(!takes(&metric, 5, "") && !takes(&metric, 4, "old") && !takes(&other, 5, "old"));
        assert!(!takes(&metric, 3, "") && !takes(&metric, 7, ""));
    }
}
