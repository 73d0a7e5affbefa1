//! Why reports are not counted.

use deniable::registry::RegistryHash;
use deniable::{Epoch, MetricId};
use thiserror::Error;

/// A report that is not counted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No metric of that name is asked.
    #[error("metric {metric} is not asked here: add it to the collector's metrics, or stop reporting it")]
    UnknownMetric {
        /// The name.
        metric: MetricId,
    },
    /// The metric is asked in other versions.
    #[error(
        "metric {metric} is not asked here in version {version}, but in {known}: update the client, or list the version as an older one"
    )]
    UnknownVersion {
        /// The metric.
        metric: MetricId,
        /// The version of the reports.
        version: u32,
        /// The versions that are asked.
        known: String,
    },
    /// The version is known with other parameters.
    #[error(
        "metric {metric} version {version} was reported under parameters {found}, but here they are {expected}: give changed parameters a new version"
    )]
    OtherParameters {
        /// The metric.
        metric: MetricId,
        /// Its version.
        version: u32,
        /// The fingerprint of the reports.
        found: String,
        /// The fingerprint of the definition.
        expected: String,
    },
    /// A cohort that the metric does not have.
    #[error(
        "a report to metric {metric} is of cohort {cohort}, but its {cohorts} cohorts are counted from 0: correct the client"
    )]
    Cohort {
        /// The metric.
        metric: MetricId,
        /// The cohort of the report.
        cohort: u16,
        /// m.
        cohorts: usize,
    },
    /// Bits set where a report has none.
    #[error("a report to metric {metric} sets bits beyond its {bits}: leave the unused places 0")]
    BitsBeyond {
        /// The metric.
        metric: MetricId,
        /// k.
        bits: usize,
    },
    /// A direct report that does not name exactly one value.
    #[error(
        "a report to metric {metric} sets {ones} bits, but the direct encoding sets exactly 1: correct the client"
    )]
    Direct {
        /// The metric.
        metric: MetricId,
        /// The bits that are set.
        ones: u32,
    },
    /// The epoch takes no reports any more.
    #[error(
        "a report to metric {metric} is of epoch {epoch}, but the oldest that is still open is {oldest} (days since 1970-01-01): drop it"
    )]
    EpochClosed {
        /// The metric.
        metric: MetricId,
        /// The epoch of the report.
        epoch: Epoch,
        /// The oldest open epoch.
        oldest: Epoch,
    },
    /// The epoch has not begun.
    #[error(
        "a report to metric {metric} is of epoch {epoch}, but the newest that has begun is {newest} (days since 1970-01-01): correct the device's clock"
    )]
    EpochAhead {
        /// The metric.
        metric: MetricId,
        /// The epoch of the report.
        epoch: Epoch,
        /// The newest open epoch.
        newest: Epoch,
    },
    /// The registry that it names was never served here.
    #[error(
        "a report to metric {metric} was made under registry {registry}, which was never served here: give the client the collector's own catalog, or serve that registry once"
    )]
    UnknownRegistry {
        /// The metric.
        metric: MetricId,
        /// The registry.
        registry: RegistryHash,
    },
    /// It has another number of tags than its registry says.
    #[error(
        "a report to metric {metric} has {found} tags, but registry {registry} shows {expected} beside it: correct the client"
    )]
    TagCount {
        /// The metric.
        metric: MetricId,
        /// The registry.
        registry: RegistryHash,
        /// The tags of the report.
        found: usize,
        /// The tags that it should have.
        expected: usize,
    },
    /// A tag is beyond the registry's list of labels.
    #[error(
        "a report to metric {metric} has tag {name:?} at place {place}, but registry {registry} counts its {labels} labels from 0: correct the client"
    )]
    TagPlace {
        /// The metric.
        metric: MetricId,
        /// The registry.
        registry: RegistryHash,
        /// The tag.
        name: String,
        /// The place that the report gives.
        place: u16,
        /// How many labels there are.
        labels: usize,
    },
}

impl Refusal {
    /// Its reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::UnknownMetric { .. } => Reason::UnknownMetric,
            Self::UnknownVersion { .. } => Reason::UnknownVersion,
            Self::OtherParameters { .. } => Reason::OtherParameters,
            Self::Cohort { .. } | Self::BitsBeyond { .. } | Self::Direct { .. } => Reason::ImpossibleReport,
            Self::EpochClosed { .. } => Reason::EpochClosed,
            Self::EpochAhead { .. } => Reason::EpochAhead,
            Self::UnknownRegistry { .. } => Reason::UnknownRegistry,
            Self::TagCount { .. } | Self::TagPlace { .. } => Reason::ImpossibleTags,
        }
    }
}

/// Why reports are refused. The names are part of the protocol and stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The metric is not asked here.
    UnknownMetric,
    /// The metric is not asked in that version.
    UnknownVersion,
    /// The metric version is asked with other parameters.
    OtherParameters,
    /// The report is none that its metric can have.
    ImpossibleReport,
    /// The epoch takes no reports any more.
    EpochClosed,
    /// The epoch has not begun.
    EpochAhead,
    /// The registry was never served here.
    UnknownRegistry,
    /// The tags are none that the registry can have.
    ImpossibleTags,
}

impl Reason {
    /// Every reason, in the order of their places.
    pub const ALL: [Self; 8] = [
        Self::UnknownMetric,
        Self::UnknownVersion,
        Self::OtherParameters,
        Self::ImpossibleReport,
        Self::EpochClosed,
        Self::EpochAhead,
        Self::UnknownRegistry,
        Self::ImpossibleTags,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownMetric => "unknown-metric",
            Self::UnknownVersion => "unknown-version",
            Self::OtherParameters => "other-parameters",
            Self::ImpossibleReport => "impossible-report",
            Self::EpochClosed => "epoch-closed",
            Self::EpochAhead => "epoch-ahead",
            Self::UnknownRegistry => "unknown-registry",
            Self::ImpossibleTags => "impossible-tags",
        }
    }
}
