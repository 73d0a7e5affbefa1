//! What a registry declares, as it is written: plain data that [`Registry::new`](super::Registry::new) checks.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::binary::binary;
use crate::calendar::Day;
use crate::metric::MetricId;
use crate::params::Params;

/// A whole registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// The version of this notation: 1.
    #[serde(default = "one")]
    pub format: u32,
    /// A session ends when this many minutes pass without an event; 1 to 1440.
    #[serde(default = "thirty")]
    pub session_gap_minutes: u32,
    /// Days for which raw events stay on the device, so that a metric added later can ask about them; 0 keeps none.
    #[serde(default)]
    pub lookback_days: u32,
    /// What a device may spend and show.
    #[serde(default)]
    pub privacy: Privacy,
    /// Dimensions and experiments whose value travels in the clear beside each report.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The events that a program tracks.
    #[serde(default)]
    pub events: BTreeMap<String, EventType>,
    /// Named questions with a closed list of answers, for crosses, conditions and tags.
    #[serde(default)]
    pub dimensions: BTreeMap<String, Dimension>,
    /// Named groups of devices.
    #[serde(default)]
    pub segments: BTreeMap<String, Segment>,
    /// Named sequences of steps.
    #[serde(default)]
    pub funnels: BTreeMap<String, Funnel>,
    /// Tests of variants.
    #[serde(default)]
    pub experiments: BTreeMap<String, Experiment>,
    /// The questions.
    #[serde(default)]
    pub metrics: BTreeMap<MetricId, MetricDeclaration>,
}

fn one() -> u32 {
    1
}

fn thirty() -> u32 {
    30
}

/// The most that a device spends and shows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Privacy {
    /// The most ε that all metrics which a device answers cost it in a week. A metric that costs more by itself is refused;
    /// metrics that do so together rotate.
    pub weekly: f64,
    /// The most ε that all metrics which a device answers cost it, for ever.
    pub lifetime: f64,
    /// The most bits that all public tags together say.
    pub public_bits: f64,
}

impl Privacy {
    /// The most that a registry may say of each.
    pub const MOST: Self = Self { weekly: 64.0, lifetime: 64.0, public_bits: 16.0 };
}

impl Default for Privacy {
    fn default() -> Self {
        Self { weekly: 8.0, lifetime: 16.0, public_bits: 4.0 }
    }
}

binary!(struct Privacy { weekly, lifetime, public_bits });

/// An event and its properties.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventType {
    /// The properties that are read. Others are dropped.
    #[serde(default)]
    pub properties: BTreeMap<String, Property>,
}

/// What a property can be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Property {
    /// True or false.
    Flag,
    /// A finite number.
    Number,
    /// An open string.
    Text,
    /// One of a list. Whatever else it is becomes `other`.
    Labels(Vec<String>),
}

binary!(enum Property { 0 Flag, 1 Number, 2 Text, 3 Labels(labels) });

/// What a property must be for its event to count. All fields that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// It is one of these labels or texts.
    pub is: Option<Vec<String>>,
    /// It is a number that is not below this one.
    pub at_least: Option<f64>,
    /// It is a number below this one.
    pub below: Option<f64>,
    /// It is this flag.
    pub flag: Option<bool>,
}

/// Some events of a stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Of {
    /// Their names.
    pub events: Vec<String>,
    /// What their properties must be.
    #[serde(default, rename = "where")]
    pub filters: BTreeMap<String, Filter>,
    /// The property that is reduced.
    #[serde(default)]
    pub property: Option<String>,
    /// When they happened.
    pub window: Window,
}

/// Some events, for one end of a stretch or one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matching {
    /// Their names.
    pub events: Vec<String>,
    /// What their properties must be.
    #[serde(default, rename = "where")]
    pub filters: BTreeMap<String, Filter>,
}

/// The stretch of time whose events count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// The current session.
    Session,
    /// The current local day.
    Day,
    /// The current week, from Monday.
    Week,
    /// The current month.
    Month,
    /// All time since the install.
    Ever,
    /// The first session after the install.
    FirstSession,
    /// The day of the install and those after it, so many in all.
    Days(u16),
}

binary!(enum Window { 0 Session, 1 Day, 2 Week, 3 Month, 4 Ever, 5 FirstSession, 6 Days(days) });

/// A reduction of events to one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Whether any happened.
    Any(Of),
    /// The property of the first.
    First(Of),
    /// The property of the last.
    Last(Of),
    /// The label that came most often; of several the first in the list.
    MostCommon(Of),
    /// How many there were.
    Count(Of),
    /// The sum of a number.
    Sum(Of),
    /// The least number.
    Min(Of),
    /// The greatest number.
    Max(Of),
    /// The middle number, of an even count the lower one, within 1/32 of itself.
    Median(Of),
    /// The labels that came.
    Distinct(Of),
    /// How many different labels or texts came, up to 256.
    DistinctCount(Of),
    /// The minutes from the first event of one kind to the first of another that follows.
    Minutes {
        /// The start.
        from: Matching,
        /// The end.
        to: Matching,
        /// When both happened.
        window: Window,
    },
    /// The number of the session, from 1, in which events had happened `times` times within so many days.
    Reached {
        /// Their names.
        events: Vec<String>,
        /// What their properties must be.
        #[serde(default, rename = "where")]
        filters: BTreeMap<String, Filter>,
        /// How often; 1 to 64.
        times: u16,
        /// Within how many days of 24 hours.
        within_days: u16,
        /// When all of it happened.
        window: Window,
    },
    /// The event at one position of the device's way, which each device draws for itself.
    Step {
        /// The events that make up the way.
        events: Vec<String>,
        /// The number of positions; 1 to 64.
        positions: u16,
        /// When they happened.
        window: Window,
    },
    /// One move of the device's way from an event to the next, drawn from all its moves.
    Move {
        /// The events that make up the way.
        events: Vec<String>,
        /// When they happened.
        window: Window,
    },
    /// Whether the device was active on the day, and whether that day was the first of its week, month or ever.
    Presence {
        /// The events that count as activity.
        events: Vec<String>,
    },
    /// The deepest step of a funnel.
    Funnel(String),
    /// A dimension, a segment, or the device's arm of an experiment.
    Named(String),
    /// Every pair of two named ones.
    Cross(String, String),
}

/// How a reduction becomes an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Yes or no.
    Boolean,
    /// Yes if the number is at least this one.
    AtLeast(f64),
    /// One of the labels that the source has.
    Category,
    /// One of these labels of a text or number; anything else is `other`.
    Labels(Vec<String>),
    /// The labels that came, of at most 8.
    Set,
    /// An open string.
    String,
    /// The mean of numbers between two ends.
    Number {
        /// The lower end.
        low: f64,
        /// The upper end.
        high: f64,
    },
    /// The bin of a number, for shares and quantiles.
    Histogram {
        /// Where each bin but the first begins, ascending.
        edges: Vec<f64>,
    },
    /// The age in weeks of a device that was active, up to `weeks`.
    Retention {
        /// The greatest age told apart; 1 to 520.
        weeks: u16,
    },
}

/// A named question with a closed list of answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dimension {
    /// What it is computed from.
    pub source: Source,
    /// How that becomes one of a closed list.
    pub kind: Kind,
    /// Whether it must never be crossed with anything.
    #[serde(default)]
    pub sensitive: bool,
}

/// A named group that a device belongs to: that of the first rule that holds, or of the nearest centre.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// Rules in order.
    Rules {
        /// The rules.
        rules: Vec<Rule>,
        /// The label of devices for which none holds.
        otherwise: String,
        /// Whether it must never be crossed with anything.
        #[serde(default)]
        sensitive: bool,
    },
    /// The centres of a published model; the nearest one's label, by Euclidean distance of the scaled features.
    Centroids {
        /// Numbers, in the order of the coordinates. A device that has none counts as 0.
        features: Vec<Feature>,
        /// Where each label's centre is.
        centers: Vec<Center>,
        /// Whether it must never be crossed with anything.
        #[serde(default)]
        sensitive: bool,
    },
}

/// One rule of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The label.
    pub label: String,
    /// What must hold.
    pub when: Condition,
}

/// One coordinate of a model: (x − mean) / scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// x.
    pub source: Source,
    /// What is taken away.
    #[serde(default)]
    pub mean: f64,
    /// What it is divided by; above 0.
    pub scale: f64,
}

/// A centre of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Center {
    /// The label.
    pub label: String,
    /// Its scaled coordinates.
    pub at: Vec<f64>,
}

/// What is true of a device or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// All hold.
    All(Vec<Condition>),
    /// At least one holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Vec<Condition>),
    /// So many events happened.
    Happened {
        /// Their names.
        events: Vec<String>,
        /// What their properties must be.
        #[serde(default, rename = "where")]
        filters: BTreeMap<String, Filter>,
        /// When they happened.
        window: Window,
        /// The least number; from 1.
        #[serde(default = "one")]
        at_least: u32,
    },
    /// A dimension or segment has one of these labels. It is looked at again wherever it is named, and an answer takes at most
    /// [65,536 steps](crate::insight#bounds).
    Is {
        /// Its name.
        name: String,
        /// The labels.
        labels: Vec<String>,
    },
    /// The app was installed on these days, the last excluded.
    Installed {
        /// The first day.
        #[serde(default)]
        from: Option<Day>,
        /// The day after the last.
        #[serde(default)]
        until: Option<Day>,
    },
}

/// A sequence of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Funnel {
    /// The steps.
    pub steps: Vec<FunnelStep>,
    /// When they happened.
    pub window: Window,
    /// In which order they count.
    #[serde(default)]
    pub order: Order,
}

/// A step of a funnel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunnelStep {
    /// Its name.
    pub name: String,
    /// The events that make it.
    pub events: Vec<String>,
    /// What their properties must be.
    #[serde(default, rename = "where")]
    pub filters: BTreeMap<String, Filter>,
    /// Whether the steps after it can be reached without it.
    #[serde(default)]
    pub optional: bool,
}

/// The order in which the steps of a funnel count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// A step counts after those before it; other events may lie between.
    #[default]
    Sequence,
    /// Steps may happen in any order; the deepest is the last before the first that is missing.
    Any,
}

binary!(enum Order { 0 Sequence, 1 Any });

/// A test of variants. Every device draws an arm, whoever may take part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// The weight of each arm, above 0.
    pub arms: BTreeMap<String, u32>,
    /// Who takes part; everybody if left out. It stays private: others answer `ineligible`.
    #[serde(default)]
    pub eligible: Option<Condition>,
    /// Who draws an arm.
    #[serde(default)]
    pub drawn_by: DrawnBy,
}

/// Who draws an arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrawnBy {
    /// Every device.
    #[default]
    Everyone,
    /// Those who are eligible; refused, because having an arm would then tell.
    Eligible,
}

/// When a metric is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// One time, when the window since the install ends.
    Once,
    /// At the end of each session.
    Session,
    /// At the end of each local day.
    Day,
    /// At the end of each week.
    Week,
    /// At the end of each month.
    Month,
    /// When an event happens; refused, because the report alone would then tell that it did.
    Event(String),
}

binary!(enum Every { 0 Once, 1 Session, 2 Day, 3 Week, 4 Month, 5 Event(name) });

/// How exact a metric's figures are to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Precision {
    /// Half the width of a small share's 95 % interval, between 0 and 1.
    pub half_width: f64,
    /// The number of devices that report in one epoch; of a metric that rotates, its share of all.
    pub devices: u32,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricDeclaration {
    /// The version of its definition. A change of the encoding wants a new one.
    pub version: NonZeroU32,
    /// What is asked, in words.
    pub question: String,
    /// Who answers for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// The day from which it is no longer answered.
    #[serde(default)]
    pub expires: Option<Day>,
    /// What it is computed from. Without one the program answers by itself.
    #[serde(default)]
    pub source: Option<Source>,
    /// How that becomes an answer.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// When it is answered.
    #[serde(default)]
    pub every: Option<Every>,
    /// ε₁, the privacy loss of one report.
    #[serde(default)]
    pub epsilon: Option<f64>,
    /// ε∞, the privacy loss of all reports of one value; twice ε₁ if left out.
    #[serde(default)]
    pub epsilon_infinity: Option<f64>,
    /// How exact it is to be, in place of ε₁.
    #[serde(default)]
    pub precision: Option<Precision>,
    /// The parameters themselves, in place of ε₁.
    #[serde(default)]
    pub report: Option<Params>,
    /// Whether it must never be crossed with anything.
    #[serde(default)]
    pub sensitive: bool,
    /// Who takes part; everybody if left out. Others answer `ineligible`.
    #[serde(default)]
    pub eligible: Option<Condition>,
    /// The experiment whose arms are compared.
    #[serde(default)]
    pub experiment: Option<String>,
    /// Versions that devices may still send.
    #[serde(default)]
    pub older: Vec<Older>,
}

/// An older version of a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Older {
    /// The version.
    pub version: NonZeroU32,
    /// Its parameters.
    pub report: Params,
}
