//! Which of the stored reports are meant.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use deniable::{Epoch, MetricId};

use super::aside::LeftOut;
use super::public::Tags;

/// Some of the reports of a store: those of some epochs and tags, without what is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    epochs: RangeInclusive<Epoch>,
    tags: BTreeMap<String, BTreeSet<String>>,
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
    pub fn with_tag(mut self, name: &str, label: &str) -> Self {
        self.tags.entry(name.to_owned()).or_default().insert(label.to_owned());
        self
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
        let tagged = |(name, labels): (&String, &BTreeSet<String>)| {
            tags.label(name).is_some_and(|label| labels.contains(label))
        };
        self.epochs.contains(&epoch)
            && self.tags.iter().all(tagged)
            && !self.left_out.holds(metric, epoch, source)
    }
}

#[cfg(test)]
mod tests {
    use super::super::aside::Aside;
    use super::*;

    #[test]
    fn labels_of_one_tag_are_alternatives_and_tags_are_conditions() {
        let metric = MetricId::new("m").unwrap();
        let takes = |selection: &Selection, tags: &[(&str, &str)]| {
            selection.takes(&metric, Epoch(5), "web", &tags.iter().copied().collect())
        };
        let free = Selection::all().with_tag("plan", "free");
        assert!(takes(&free, &[("plan", "free"), ("os", "ios")]) && !takes(&free, &[("plan", "pro")]));
        assert!(!takes(&free, &[]) && !takes(&free, &[("os", "free")]) && takes(&Selection::all(), &[]));
        let either = free.clone().with_tag("plan", "pro");
        assert!(takes(&either, &[("plan", "pro")]) && takes(&either, &[("plan", "free")]));
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
