//! What would be sent now, for the person whom it concerns.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::calendar::Day;
use crate::insight::{Answered, Given, NO_TEXT};
use crate::metric::{Epoch, MetricId};
use crate::params::{Encoding, Params};
use crate::privacy::Epsilon;
use crate::registry::{Every, Metric};

/// What the device would say of a metric if its epoch ended now, and how much the report would tell of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// The metric.
    pub metric: MetricId,
    /// What is asked, in words.
    pub question: String,
    /// The true answer, which does not leave the device; in words. None if only the program knows it.
    pub answer: Option<String>,
    /// The answers of a closed list; empty if any text can be one.
    pub possible: Vec<String>,
    /// What the report says in place of the answer.
    pub odds: Odds,
    /// ε₁, what one report costs.
    pub epsilon_one: Epsilon,
    /// ε∞, what all reports of one answer cost together.
    pub epsilon_infinity: Epsilon,
    /// The epoch that the report would belong to.
    pub epoch: Epoch,
    /// When that epoch ends, on the device's calendar; None for a session, or if only the program knows.
    pub ends: Option<Day>,
}

/// How likely each report is, through both stages: before the permanent response was drawn, of which the device has one for life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Odds {
    /// The report names one of so many answers.
    Choice {
        /// The chance that it names the true one.
        truth: f64,
        /// The chance that it names a given other one.
        other: f64,
        /// The number of answers.
        answers: usize,
    },
    /// The report has a bit for each answer, or for each place of a Bloom filter.
    Bits {
        /// The chance that a bit is set which the true answer sets.
        set: f64,
        /// The chance that a bit is set which the true answer leaves.
        unset: f64,
        /// The number of bits.
        bits: usize,
        /// The most bits that an answer sets.
        most_set: usize,
    },
}

impl Odds {
    /// The odds of a report under these parameters.
    pub fn of(params: &Params) -> Self {
        let channel = params.channel();
        match params.encoding() {
            Encoding::Direct => {
                Self::Choice { truth: channel.one(), other: channel.zero(), answers: params.bits() }
            }
            Encoding::Unary | Encoding::Bloom => Self::Bits {
                set: channel.one(),
                unset: channel.zero(),
                bits: params.bits(),
                most_set: params.hashes(),
            },
        }
    }

    /// Says for a person what the report tells of an answer.
    pub fn in_words(&self, answer: &str) -> String {
        let percent = |chance: f64| format!("{:.1} %", chance * 100.0);
        match *self {
            Self::Choice { truth, other, answers } => {
                let others = (answers - 1) as f64 * other;
                format!(
                    "If your answer is {answer}, the chance that the report says {answer} is {}; with the remaining {} it says one of \
                     the others. If your answer is another, the report still says {answer} with a chance of {}.",
                    percent(truth),
                    percent(others),
                    percent(other)
                )
            }
            Self::Bits { set, unset, bits, .. } => format!(
                "The report is {bits} coin tosses. If your answer is {answer}, each bit that stands for it is set with a chance of {}; \
                 for every other answer such a bit is set with a chance of {}.",
                percent(set),
                percent(unset)
            ),
        }
    }
}

impl Preview {
    /// Says for a person what the report would tell.
    pub fn in_words(&self) -> String {
        self.odds.in_words(self.answer.as_deref().unwrap_or("the true one"))
    }

    pub(super) fn of_device(metric: &Metric, answered: &Answered) -> Self {
        let began = Day(answered.epoch.0);
        let ends = match metric.every() {
            Some(Every::Day) => Some(Day(began.0 + 1)),
            Some(Every::Week) => Some(Day(began.0 + 7).week()),
            Some(Every::Month) => Some(began.next_month()),
            Some(Every::Once | Every::Session | Every::Event(_)) | None => None,
        };
        let answer = Some(words(metric, &answered.given));
        Self { answer, ends, ..Self::of_program(metric, answered.epoch) }
    }

    pub(super) fn of_program(metric: &Metric, epoch: Epoch) -> Self {
        let params = metric.params();
        Self {
            metric: metric.id().clone(),
            question: metric.question().to_owned(),
            answer: None,
            possible: possible(metric),
            odds: Odds::of(params),
            epsilon_one: params.epsilon_one(),
            epsilon_infinity: params.epsilon_infinity(),
            epoch,
            ends: None,
        }
    }
}

/// The answers of a closed list.
fn possible(metric: &Metric) -> Vec<String> {
    match (metric.labels(), metric.params().encoding()) {
        ([], Encoding::Direct) if metric.params().bits() == 2 => {
            vec!["below".to_owned(), "above".to_owned()]
        }
        (labels, _) => labels.to_vec(),
    }
}

fn words(metric: &Metric, given: &Given) -> String {
    match given {
        Given::Choice(choice) => metric.labels().get(*choice).cloned().unwrap_or_else(|| choice.to_string()),
        Given::Subset(set) => {
            let names = metric.labels().iter().enumerate().filter(|(i, _)| set >> i & 1 == 1);
            let names: Vec<&str> = names.map(|(_, name)| name.as_str()).collect();
            if names.is_empty() { NO_TEXT.to_owned() } else { names.join(", ") }
        }
        Given::Text(text) => text.clone(),
        Given::Number(number) => number.map_or_else(|| NO_TEXT.to_owned(), |number| number.to_string()),
    }
}
