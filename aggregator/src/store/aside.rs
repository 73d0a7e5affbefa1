//! What is set aside: sources, and epochs of metrics, whose reports figures leave out until they are taken back.
//!
//! Nothing is deleted. To set aside is a note beside the counts, in one durable commit, and so is to take back.

use std::collections::BTreeSet;
use std::fmt;

use deniable::{Epoch, MetricId};
use serde::{Deserialize, Serialize};

/// Something that is set aside as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Aside {
    /// The reports of a source to all metrics, in all epochs.
    Source {
        /// The name of the write key; `""` is all that came without one.
        source: String,
    },
    /// The reports to a metric in one epoch, in all versions and from all sources.
    Epoch {
        /// The metric.
        metric: MetricId,
        /// The epoch.
        epoch: Epoch,
    },
}

impl fmt::Display for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source { source } => write!(f, "source {source:?}"),
            Self::Epoch { metric, epoch } => write!(f, "epoch {epoch} of metric {metric}"),
        }
    }
}

/// What is not counted, whatever else is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut(BTreeSet<Aside>);

impl LeftOut {
    /// Notes that something is set aside; false if it was before.
    pub fn insert(&mut self, what: Aside) -> bool {
        self.0.insert(what)
    }

    /// Forgets that something is set aside; false if it was not.
    pub fn remove(&mut self, what: &Aside) -> bool {
        self.0.remove(what)
    }

    /// All of it, sources first.
    pub fn iter(&self) -> impl Iterator<Item = &Aside> {
        self.0.iter()
    }

    /// For which reason reports to `metric` of that epoch and source are left out, if they are. Where there are two, it is
    /// the source.
    pub fn reason(&self, metric: &MetricId, epoch: Epoch, source: &str) -> Option<&Aside> {
        if self.0.is_empty() {
            return None;
        }
        let of_source = self.0.get(&Aside::Source { source: source.to_owned() });
        of_source.or_else(|| self.0.get(&Aside::Epoch { metric: metric.clone(), epoch }))
    }

    /// Says whether they are left out.
    pub fn holds(&self, metric: &MetricId, epoch: Epoch, source: &str) -> bool {
        self.reason(metric, epoch, source).is_some()
    }
}

impl FromIterator<Aside> for LeftOut {
    fn from_iter<T: IntoIterator<Item = Aside>>(items: T) -> Self {
        Self(items.into_iter().collect())
    }
}
