//! What would be sent now, for the person whom it concerns.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::calendar::Day;
use crate::choose::Answers;
use crate::domain::Domain;
use crate::insight::{Answered, Given, NO_TEXT};
use crate::metric::{Epoch, MetricId};
use crate::params::{Encoding, Params};
use crate::privacy::Epsilon;
use crate::registry::{Every, Metric, OTHER};

/// What the device would say of a metric if its epoch ended now, and how much the report would tell of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// The metric.
    pub metric: MetricId,
    /// What is asked, in words.
    pub question: String,
    /// The true answer, which does not leave the device; in words. None if only the program knows it.
    pub answer: Option<String>,
    /// The answers of a closed list, or the names of a set; empty if any text can be one. A number is told as whether it lies below or above
    /// the threshold that the device drew for itself.
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
            Some(Every::Day) => Some(began.next()),
            Some(Every::Week) => Some(began.next_week()),
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
    let mut labels = metric.labels().to_vec();
    let unlisted: &[&str] = match metric.domain().map(Domain::answers) {
        Some(Answers::Closed(2)) if labels.is_empty() => &["below", "above"],
        Some(Answers::Closed(3)) if labels.is_empty() => &["below", "above", NO_TEXT],
        Some(Answers::Closed(answers)) if answers == labels.len() + 1 => &[OTHER],
        _ => &[],
    };
    for label in unlisted {
        labels.push(String::from(*label));
    }
    labels
}

fn words(metric: &Metric, given: &Given) -> String {
    match given {
        Given::Choice(choice) => metric.labels().get(*choice).cloned().unwrap_or_else(|| {
            let mut place = String::new();
            write_whole(&mut place, *choice as u64, 1);
            place
        }),
        Given::Subset(set) => {
            let mut named = String::new();
            for (_, name) in metric.labels().iter().enumerate().filter(|(i, _)| set >> i & 1 == 1) {
                named.push_str(if named.is_empty() { "" } else { ", " });
                named.push_str(name);
            }
            if named.is_empty() { NO_TEXT.to_owned() } else { named }
        }
        Given::Text(text) => text.clone(),
        Given::Number(number) => number.map_or_else(|| NO_TEXT.to_owned(), thousandths),
    }
}

fn percent(chance: f64) -> String {
    let tenths = libm::round(chance * 1000.0) as u32;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// A number for people, to three decimals.
fn thousandths(number: f64) -> String {
    let thousandths = libm::round(libm::fabs(number) * 1000.0) as u64;
    let mut text = String::from(if number < 0.0 { "-" } else { "" });
    write_whole(&mut text, thousandths / 1000, 1);
    if !thousandths.is_multiple_of(1000) {
        text.push('.');
        write_whole(&mut text, thousandths % 1000, 3);
    }
    text
}

/// Writes a whole number with at least so many digits; a page would download all that `format!` can do.
fn write_whole(text: &mut String, number: u64, digits: u32) {
    if number >= 10 || digits > 1 {
        write_whole(text, number / 10, digits.saturating_sub(1));
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}
