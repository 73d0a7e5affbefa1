//! A metric as it is asked: its answers, its parameters and what it costs.

use alloc::string::String;
use alloc::vec::Vec;

use super::closed::Test;
use super::declared::Every;
use crate::binary::binary;
use crate::calendar::Day;
use crate::domain::Domain;
use crate::metric::{MetricId, Stream};
use crate::params::Params;

/// A question as it was compiled.
#[derive(Clone, Debug)]
pub struct Metric {
    pub(super) id: MetricId,
    pub(super) version: u32,
    pub(super) question: String,
    pub(super) owner: Option<String>,
    pub(super) expires: Option<Day>,
    pub(super) sensitive: bool,
    pub(super) params: Params,
    pub(super) domain: Option<Domain>,
    pub(super) older: Vec<(u32, Params)>,
    pub(crate) plan: Option<Plan>,
}

/// How and when a device answers a metric.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) every: Every,
    pub(crate) answer: Answer,
    pub(crate) eligible: Option<Test>,
    /// The closed question of the arm, if it is part of the answer.
    pub(crate) arm: Option<usize>,
    /// The place of `ineligible`.
    pub(crate) ineligible: usize,
    /// For a metric answered once: the days since the install after which it is due, and whether the first session must be over.
    pub(crate) days: u16,
    pub(crate) first_session: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Closed(usize),
    Set(usize),
    Text(usize),
    Number(usize),
}

binary!(struct Metric {
    id, version, question, expires, sensitive, params, domain, plan; owner: None; older: Vec::new()
});
binary!(struct Plan { every, answer, eligible, arm, ineligible, days, first_session });
binary!(enum Answer { 0 Closed(place), 1 Set(cell), 2 Text(cell), 3 Number(cell) });

impl Metric {
    /// Its name.
    pub fn id(&self) -> &MetricId {
        &self.id
    }

    /// The version of its definition.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What is asked, in words.
    pub fn question(&self) -> &str {
        &self.question
    }

    /// Who answers for it; None on a device, which is not told.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// The day from which it is no longer answered.
    pub fn expires(&self) -> Option<Day> {
        self.expires
    }

    /// Whether it must never be crossed with anything.
    pub fn is_sensitive(&self) -> bool {
        self.sensitive
    }

    /// How an answer is randomized.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// What its answers can be; None if the registry states parameters alone.
    pub fn domain(&self) -> Option<&Domain> {
        self.domain.as_ref()
    }

    /// The labels of a closed list, or of a set; empty for other answers.
    pub fn labels(&self) -> &[String] {
        self.domain.as_ref().map_or(&[], Domain::names)
    }

    /// When the device's state machine answers it; None if the program answers by itself.
    pub fn every(&self) -> Option<&Every> {
        self.plan.as_ref().map(|plan| &plan.every)
    }

    /// Its reports in its current version.
    pub fn stream(&self) -> Stream {
        Stream::new(self.id.clone(), self.version, &self.params)
    }

    /// Versions that devices may still send, with their parameters; none on a device, which sends its own.
    pub fn older(&self) -> impl Iterator<Item = (u32, &Params)> {
        self.older.iter().map(|(version, params)| (*version, params))
    }

    /// The most ε that its reports cost a device in a week in which its answer stays.
    pub fn weekly_epsilon(&self) -> f64 {
        match self.every() {
            Some(Every::Day) => self.params.epsilon_of_reports(7).get(),
            // There is no most number of sessions.
            Some(Every::Session) => self.params.epsilon_infinity().get(),
            _ => self.params.epsilon_one().get(),
        }
    }

    /// The most ε that all reports of one answer cost a device, for ever.
    pub fn lifetime_epsilon(&self) -> f64 {
        match self.every() {
            Some(Every::Once) => self.params.epsilon_one().get(),
            _ => self.params.epsilon_infinity().get(),
        }
    }

    /// What differs from `earlier` in what the reports mean.
    pub(super) fn change_from(&self, earlier: &Self) -> Option<&'static str> {
        if self.params.fingerprint() != earlier.params.fingerprint() {
            Some("encoding")
        } else if self.domain.is_some() && earlier.domain.is_some() && self.domain != earlier.domain {
            Some("list of answers")
        } else {
            None
        }
    }
}
