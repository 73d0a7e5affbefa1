//! Guards of the figures: what in the counts cannot be chance.
//!
//! Anybody who has a write key, and every copy of an application has it, can send forged reports that are well-formed. A
//! forged report is counted like any other, since nothing tells it apart for sure. What can be told is that counts
//! as a whole depart from what honest devices could have sent, and that is said beside the figure: pure functions of
//! counts and parameters, which raise an [`Alarm`] with its value, its limit and a remedy. Nothing is ever left out for an
//! alarm; an analyst who judges that a source or an epoch is forged sets it aside (`deniable quarantine`).
//!
//! | guard | finds | how often it alarms at honest reports |
//! |---|---|---|
//! | `improbable-reports` | more reports with an improbable number of ones than chance makes | a quarter of [`LEVEL`] |
//! | `cohort-total` | a cohort that has too many or too few of the reports | an eighth |
//! | `cohort-spread` | cohorts that together spread unevenly | an eighth |
//! | `bit-rate` | a bit that is set more often, or less often, than any values give | a quarter |
//! | `ones-total` | ones in all that no values give | a quarter |
//! | `volume` | a sudden increase of the reports of a source | [`SURGE_RATE`], and only if volumes are log-normal |
//!
//! All but the last are bounds on probabilities that hold for every number of reports and any values of the devices, by
//! proofs in the guards' modules; together they raise a false alarm for at most one of 10⁶ [`Cell`]s.
//!
//! # What is judged
//! A [`Cell`]: the reports of one metric version, epoch and source. In one epoch each device answers a metric at most
//! once, so these reports are of different devices and independent, which sums over epochs are not. An alarm
//! belongs to its cell and is the same whatever else is asked for. If a program breaks the assumption, and sends n reports a
//! device and epoch under one secret, the totals of its cohorts vary n times as much and may alarm: that it is no honest
//! client is what the alarm says.

mod cohorts;
mod ones;
mod rates;
mod tail;
mod volume;

use std::collections::BTreeMap;
use std::fmt;

use deniable::{Epoch, Params};
use serde::{Serialize, Serializer};

pub use self::ones::{IMPROBABLE_RATE, Ones};
use self::rates::OddRate;
use self::tail::{Coins, most};
pub use self::volume::SURGE_RATE;
use crate::decode::Counts;

/// The most of honest cells that the guards of chance raise an alarm for.
pub const LEVEL: f64 = 1e-6;

/// The reports of one epoch from one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The epoch.
    pub epoch: Epoch,
    /// The name of the write key that they came under; empty if there was none.
    pub source: String,
    /// Their sums.
    pub counts: Counts,
    /// How many of them had an improbable number of ones, by [`Ones`].
    pub improbable: u64,
}

/// What can raise an alarm. The names stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// Reports with an improbable number of ones.
    ImprobableReports,
    /// The reports of a cohort.
    CohortTotal,
    /// The spread of all cohorts.
    CohortSpread,
    /// The rate of a bit.
    BitRate,
    /// The ones of all bits.
    OnesTotal,
    /// The volume of a source.
    Volume,
}

impl Guard {
    /// Every guard.
    pub const ALL: [Self; 6] = [
        Self::ImprobableReports,
        Self::CohortTotal,
        Self::CohortSpread,
        Self::BitRate,
        Self::OnesTotal,
        Self::Volume,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImprobableReports => "improbable-reports",
            Self::CohortTotal => "cohort-total",
            Self::CohortSpread => "cohort-spread",
            Self::BitRate => "bit-rate",
            Self::OnesTotal => "ones-total",
            Self::Volume => "volume",
        }
    }

    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::ImprobableReports | Self::BitRate | Self::OnesTotal => {
                "look for a client that randomizes wrongly or forges reports; if it is not yours, set the source or the epoch aside with `deniable quarantine add`"
            }
            Self::CohortTotal | Self::CohortSpread => {
                "look for a client that draws cohorts unevenly, shares a secret or reports twice an epoch; if reports were forged, set the source or the epoch aside with `deniable quarantine add`"
            }
            Self::Volume => {
                "if no release or campaign explains it, set the source or the epoch aside with `deniable quarantine add`, and give the application a new write key"
            }
        }
    }
}

impl Serialize for Guard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Something that honest reports would hardly show.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alarm {
    /// What raised it.
    pub guard: Guard,
    /// The epoch of the reports.
    pub epoch: Epoch,
    /// Their source.
    pub source: String,
    /// What was measured.
    pub value: f64,
    /// The limit that it is beyond: above, or below where there are too few.
    pub limit: f64,
    /// What was found, in words.
    pub found: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// The guard of a metric version, who sees its cells one by one.
#[derive(Debug)]
pub struct Watch<'a> {
    params: &'a Params,
    volumes: &'a Volumes,
    alarms: Vec<Alarm>,
}

/// How many reports came in an epoch from a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// All of them.
    pub reports: u64,
    /// Those with an improbable number of ones, by [`Ones`].
    pub improbable: u64,
}

/// The volumes of a metric version, by source and epoch.
pub type Volumes = BTreeMap<String, BTreeMap<Epoch, Volume>>;

impl<'a> Watch<'a> {
    /// Begins to watch. `volumes` are what each source is compared with: the epochs before that of a cell.
    pub fn new(params: &'a Params, volumes: &'a Volumes) -> Self {
        Self { params, volumes, alarms: Vec::new() }
    }

    /// Judges a cell.
    pub fn see(&mut self, cell: &Cell) {
        let Self { params, volumes, alarms } = self;
        alarms.extend(Judge { params, cell }.alarms());
        let past = volumes.get(&cell.source).into_iter().flat_map(|epochs| epochs.range(..cell.epoch));
        let past: Vec<u64> = past.map(|(_, volume)| volume.reports).collect();
        alarms.extend(volume(cell.epoch, &cell.source, &past, cell.counts.total()));
    }

    /// The alarms, in the order in which the cells were seen.
    pub fn alarms(self) -> Vec<Alarm> {
        self.alarms
    }
}

/// Judges the volume of a source in an epoch by that of its past epochs, oldest first.
fn volume(epoch: Epoch, source: &str, past: &[u64], reports: u64) -> Option<Alarm> {
    let (value, limit) = volume::surge(past, reports).filter(|(value, limit)| value > limit)?;
    let found = format!(
        "{reports} reports are {value:.1} times as many as usual, where up to {limit:.1} times happen"
    );
    Some(alarm(Guard::Volume, epoch, source, (value, limit), found))
}

fn alarm(guard: Guard, epoch: Epoch, source: &str, (value, limit): (f64, f64), found: String) -> Alarm {
    Alarm { guard, epoch, source: source.to_owned(), value, limit, found, remedy: guard.remedy() }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { guard, epoch, source, found, remedy, .. } = self;
        write!(f, "alarm {}: epoch {epoch}, source {source:?}: {found}; {remedy}", guard.name())
    }
}

struct Judge<'a> {
    params: &'a Params,
    cell: &'a Cell,
}

impl Judge<'_> {
    fn alarms(&self) -> impl Iterator<Item = Alarm> {
        let all = [
            self.improbable(),
            self.cohort_total(),
            self.cohort_spread(),
            self.bit_rate(),
            self.ones_total(),
        ];
        all.into_iter().flatten()
    }

    fn alarm(&self, guard: Guard, value: f64, limit: f64, found: String) -> Alarm {
        alarm(guard, self.cell.epoch, &self.cell.source, (value, limit), found)
    }

    fn improbable(&self) -> Option<Alarm> {
        let (found, reports) = (self.cell.improbable, self.cell.counts.total());
        let limit = most(&[Coins { count: reports, one: IMPROBABLE_RATE }], LEVEL / 4.0);
        (found > limit).then(|| {
            let words = format!(
                "{found} of {reports} reports have an improbable number of ones, where chance makes up to {limit}"
            );
            self.alarm(Guard::ImprobableReports, found as f64, limit as f64, words)
        })
    }

    fn cohort_total(&self) -> Option<Alarm> {
        let odd = cohorts::odd_total(self.cell.counts.reports(), LEVEL / 8.0)?;
        let (all, side) = (self.cell.counts.total(), side(odd.reports, odd.limit));
        let words = format!(
            "cohort {} has {} of {all} reports, where chance gives {side} {}",
            odd.cohort, odd.reports, odd.limit
        );
        Some(self.alarm(Guard::CohortTotal, odd.reports as f64, odd.limit as f64, words))
    }

    fn cohort_spread(&self) -> Option<Alarm> {
        let (value, limit) = cohorts::spread(self.cell.counts.reports(), LEVEL / 8.0)?;
        (value > limit).then(|| {
            let words = format!(
                "the cohorts' totals are {value:.0} nats from even, where chance takes them up to {limit:.0}"
            );
            self.alarm(Guard::CohortSpread, value, limit, words)
        })
    }

    fn bit_rate(&self) -> Option<Alarm> {
        let odd = rates::odd_bit(self.params, &self.cell.counts, LEVEL / 4.0)?;
        Some(self.rate(Guard::BitRate, odd))
    }

    fn ones_total(&self) -> Option<Alarm> {
        let odd = rates::odd_sum(self.params, &self.cell.counts, LEVEL / 4.0)?;
        Some(self.rate(Guard::OnesTotal, odd))
    }

    fn rate(&self, guard: Guard, odd: OddRate) -> Alarm {
        let OddRate { cohort, bit, ones, reports, limit } = odd;
        let what = bit.map_or_else(|| "all bits".to_owned(), |bit| format!("bit {bit}"));
        let side = side(ones, limit);
        let words = format!(
            "{what} of cohort {cohort} count {ones} ones in {reports} reports, where values of any kind give {side} {limit}"
        );
        self.alarm(guard, ones as f64, limit as f64, words)
    }
}

fn side(value: u64, limit: u64) -> &'static str {
    if value > limit { "up to" } else { "at least" }
}

#[cfg(test)]
mod tests;
