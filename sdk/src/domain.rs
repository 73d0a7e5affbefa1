//! Domains: what the answers to a question can be, and which value of a report stands for each.
//!
//! | domain | answers | value |
//! |---|---|---|
//! | yes or no | a boolean | one of two |
//! | labels | one of a closed list, perhaps with an `other` for all else | its place |
//! | histogram | a number | its bin: below the first edge, between two, or from the last on |
//! | mean | a number, perhaps none | one of two, by stochastic rounding, or a third for none |
//! | set | any of at most 8 names | the subset |
//! | text | an open string | itself |
//!
//! # Mean
//! A device draws once, from its secret, where between low and high its threshold lies, and says 1 where its number is
//! above that. A number x then becomes 1 on a share (x − low)/(high − low) of all devices, so the share s of ones in
//! the crowd has the expectation of the mean: low + (high − low)·s is unbiased. The threshold stays, so that a device whose
//! number stays says one thing for ever and a permanent stage bounds it by ε∞; with a threshold drawn anew for each report, the
//! share of its ones would tell its number in time (Ding, Kulkarni, Yekhanin, *Collecting Telemetry Data Privately*,
//! 2017, section 4, α-point rounding). Numbers outside count as the nearest end.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::binary::{Binary, Reader, Writer, binary};
use crate::choose::{Answers, MAX_SET};
use crate::encoder::{MAX_VALUE_BYTES, Value};
use crate::params::MAX_BITS;
use crate::probability::Probability;
use crate::sorted::by_name;

/// What the answers to a question can be. It cannot be built unsound.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Flag,
    Labels { names: Vec<String>, other: Other },
    Histogram { edges: Vec<f64> },
    Mean { low: f64, high: f64, nothing: bool },
    Set { names: Vec<String> },
    Text,
}

/// What becomes of a label that is not in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// It counts as one further value, the last.
    Counted,
    /// It is refused.
    Refused,
}

binary!(enum Other { 0 Counted, 1 Refused });
binary!(enum Kind {
    0 Flag,
    1 Labels { names, other },
    2 Histogram { edges },
    3 Mean { low, high, nothing },
    4 Set { names },
    5 Text,
});

impl Binary for Domain {
    fn write(&self, to: &mut Writer<'_>) {
        self.0.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let domain = Kind::read(from).checked().ok();
        from.or_fail(domain, Self::flag())
    }
}

/// Where a device rounds the numbers of a mean: uniform over devices, and the same for ever on each.
#[derive(Clone, Copy)]
pub struct Rounding(u32);

impl Rounding {
    pub(crate) const fn new(draw: u32) -> Self {
        Self(draw)
    }

    fn is_below(self, share: Probability) -> bool {
        u64::from(self.0) < share.numerator()
    }
}

/// An answer, before it becomes a value.
#[derive(Clone, Copy)]
pub enum Answer<'a> {
    /// Yes or no.
    Flag(bool),
    /// A number, for a histogram or a mean.
    Number(f64),
    /// A label of a closed list, or an open string.
    Text(&'a str),
    /// Names of a set, in any order, repeats allowed.
    Names(&'a [&'a str]),
    /// Nothing to say, for a mean of those who have a number.
    Nothing,
}

impl Answer<'_> {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Flag(_) => "yes or no",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::Names(_) => "a set of names",
            Self::Nothing => "nothing",
        }
    }
}

impl Domain {
    /// Yes or no: no is the first value and yes the second.
    pub const fn flag() -> Self {
        Self(Kind::Flag)
    }

    /// An open string of 1 to [`MAX_VALUE_BYTES`] bytes.
    pub const fn text() -> Self {
        Self(Kind::Text)
    }

    /// A closed list of labels, in the order of their values.
    ///
    /// # Errors
    /// A [`DomainError`] for an empty or repeated label, or fewer than 2 or more than 4096 values with `other`.
    pub fn labels<S: Into<String>>(
        names: impl IntoIterator<Item = S>,
        other: Other,
    ) -> Result<Self, DomainError> {
        Kind::Labels { names: list(names), other }.checked()
    }

    /// A histogram whose bins are below the first edge, from each edge up to the next, and from the last edge on.
    ///
    /// # Errors
    /// A [`DomainError`] for no edges or more than 4095, for one that is not finite, or edges that do not ascend.
    pub fn histogram(edges: impl Into<Vec<f64>>) -> Result<Self, DomainError> {
        Kind::Histogram { edges: edges.into() }.checked()
    }

    /// The mean of numbers between `low` and `high`. The narrower the range, the more exact the mean.
    ///
    /// # Errors
    /// A [`DomainError`] unless both are finite and `low` is below `high`.
    pub fn mean(low: f64, high: f64) -> Result<Self, DomainError> {
        Kind::Mean { low, high, nothing: false }.checked()
    }

    /// The mean of numbers between `low` and `high` over those who have one; who has none says so by a third value.
    ///
    /// # Errors
    /// As [`Domain::mean`].
    pub fn mean_or_nothing(low: f64, high: f64) -> Result<Self, DomainError> {
        Kind::Mean { low, high, nothing: true }.checked()
    }

    /// A set of 2 to 8 names, any of which an answer may hold.
    ///
    /// # Errors
    /// A [`DomainError`] for an empty or repeated name, or too few or too many.
    pub fn set<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Result<Self, DomainError> {
        Kind::Set { names: list(names) }.checked()
    }

    /// What [`Params::for_epsilon`](crate::Params::for_epsilon) needs to know of this domain.
    pub fn answers(&self) -> Answers {
        match &self.0 {
            Kind::Flag => Answers::Closed(2),
            Kind::Mean { nothing, .. } => Answers::Closed(2 + usize::from(*nothing)),
            Kind::Labels { names, other } => {
                Answers::Closed(names.len() + usize::from(*other == Other::Counted))
            }
            Kind::Histogram { edges } => Answers::Closed(edges.len() + 1),
            Kind::Set { names } => Answers::Set(names.len()),
            Kind::Text => Answers::Open,
        }
    }

    /// The labels of a closed list, or the names of a set; empty for other answers.
    pub fn names(&self) -> &[String] {
        match &self.0 {
            Kind::Labels { names, .. } | Kind::Set { names } => names,
            Kind::Flag | Kind::Histogram { .. } | Kind::Mean { .. } | Kind::Text => &[],
        }
    }

    /// The value that stands for an answer on a device whose [`Encoder::rounding`](crate::Encoder::rounding) is `rounding`.
    ///
    /// ```
    /// use deniable::{Answer, Answers, DeviceSecret, Domain, Encoder, MetricId, Params, SystemEntropy, Value};
    /// let seconds = Domain::histogram([1.0, 3.0, 10.0])?;
    /// let params = Params::for_epsilon(1.0, Some(2.0), seconds.answers())?;
    /// let secret = DeviceSecret::draw(&mut SystemEntropy)?;
    /// let encoder = Encoder::new(MetricId::new("load_seconds")?, 1, params, &secret);
    /// assert_eq!(seconds.value(Answer::Number(4.2), encoder.rounding())?, Value::Choice(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A [`DomainError`] for an answer of another kind, one outside the domain, or a number that is not finite. It never
    /// names the answer.
    pub fn value<'a>(&self, answer: Answer<'a>, rounding: Rounding) -> Result<Value<'a>, DomainError> {
        match (&self.0, answer) {
            (Kind::Flag, Answer::Flag(yes)) => Ok(Value::Choice(usize::from(yes))),
            (Kind::Labels { names, other }, Answer::Text(label)) => match place(names, label) {
                Some(place) => Ok(Value::Choice(place)),
                None if *other == Other::Counted => Ok(Value::Choice(names.len())),
                None => Err(DomainError::Unlisted { listed: names.len() }),
            },
            (Kind::Histogram { .. } | Kind::Mean { .. }, Answer::Number(value)) if !value.is_finite() => {
                Err(DomainError::NotFinite { what: "the answer", value })
            }
            (Kind::Histogram { edges }, Answer::Number(number)) => {
                Ok(Value::Choice(edges.partition_point(|edge| *edge <= number)))
            }
            (Kind::Mean { nothing: true, .. }, Answer::Nothing) => Ok(Value::Choice(2)),
            (Kind::Mean { low, high, .. }, Answer::Number(number)) => {
                let share = (number.clamp(*low, *high) / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
                let share = Probability::nearest(share).expect("a share of a range is a probability");
                Ok(Value::Choice(usize::from(rounding.is_below(share))))
            }
            (Kind::Set { names: listed }, Answer::Names(names)) => {
                let mut set = 0;
                for name in names {
                    let unlisted = DomainError::Unlisted { listed: listed.len() };
                    set |= 1 << place(listed, name).ok_or(unlisted)?;
                }
                Ok(Value::Subset(set))
            }
            (Kind::Text, Answer::Text(text)) => match text.len() {
                1..=MAX_VALUE_BYTES => Ok(Value::Text(text)),
                size => Err(DomainError::TextLength { size }),
            },
            (_, answer) => Err(DomainError::WrongKind { kind: answer.kind(), wanted: self.wanted() }),
        }
    }

    fn wanted(&self) -> &'static str {
        match &self.0 {
            Kind::Flag => "yes or no",
            Kind::Labels { .. } | Kind::Text => "a text",
            Kind::Histogram { .. } | Kind::Mean { .. } => "a number",
            Kind::Set { .. } => "a set of names",
        }
    }
}

impl Kind {
    /// The domain of this kind, if there can be one.
    fn checked(self) -> Result<Domain, DomainError> {
        match &self {
            Self::Flag | Self::Text => {}
            Self::Labels { names, other } => {
                let values = names.len() + usize::from(*other == Other::Counted);
                count("labels", values, 2, MAX_BITS)?;
                distinct(names)?;
            }
            Self::Histogram { edges } => {
                count("edges", edges.len(), 1, MAX_BITS - 1)?;
                if let Some(&edge) = edges.iter().find(|edge| !edge.is_finite()) {
                    return Err(DomainError::NotFinite { what: "an edge", value: edge });
                }
                if let Some(pair) = edges.windows(2).find(|pair| pair[0] >= pair[1]) {
                    return Err(DomainError::Edges { edge: pair[0], next: pair[1] });
                }
            }
            Self::Mean { low, high, .. } => {
                for &value in [low, high] {
                    if !value.is_finite() {
                        return Err(DomainError::NotFinite { what: "an end of the range", value });
                    }
                }
                if low >= high {
                    return Err(DomainError::Range { low: *low, high: *high });
                }
            }
            Self::Set { names } => {
                count("names of a set", names.len(), 2, MAX_SET)?;
                distinct(names)?;
            }
        }
        Ok(Domain(self))
    }
}

impl fmt::Display for Domain {
    /// Says what the answers can be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Flag => f.write_str("yes or no"),
            Kind::Labels { names, .. } => write!(f, "one of {} labels", names.len()),
            Kind::Histogram { edges } => write!(f, "a number, in {} bins", edges.len() + 1),
            Kind::Mean { low, high, nothing: false } => write!(f, "a number from {low} to {high}"),
            Kind::Mean { low, high, nothing: true } => write!(f, "a number from {low} to {high}, or none"),
            Kind::Set { names } => write!(f, "any of {} names", names.len()),
            Kind::Text => f.write_str("an open text"),
        }
    }
}

fn place(names: &[String], name: &str) -> Option<usize> {
    names.iter().position(|listed| listed == name)
}

fn list<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}

/// Checks that no name is empty, and none stands twice.
fn distinct(names: &[String]) -> Result<(), DomainError> {
    if names.iter().any(String::is_empty) {
        return Err(DomainError::EmptyName);
    }
    let sorted = by_name(names);
    let is_repeated = |pair: &&[u16]| names[usize::from(pair[0])] == names[usize::from(pair[1])];
    match sorted.windows(2).find(is_repeated) {
        Some(pair) => Err(DomainError::RepeatedName { name: names[usize::from(pair[0])].clone() }),
        None => Ok(()),
    }
}

fn count(what: &'static str, found: usize, low: usize, high: usize) -> Result<(), DomainError> {
    if (low..=high).contains(&found) { Ok(()) } else { Err(DomainError::Count { what, found, low, high }) }
}

/// A domain that cannot be, or an answer outside of one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// Too few or too many of something.
    #[error("there are {found} {what}, but there must be from {low} to {high}")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// The least allowed.
        low: usize,
        /// The most allowed.
        high: usize,
    },
    /// A name without a letter.
    #[error("a name in the list is empty; leave it out")]
    EmptyName,
    /// A name that stands twice.
    #[error("{name:?} stands twice in the list; leave one out")]
    RepeatedName {
        /// The name.
        name: String,
    },
    /// Edges that do not ascend.
    #[error("edge {next} follows edge {edge}, but edges must ascend; sort them and leave out repeats")]
    Edges {
        /// An edge.
        edge: f64,
        /// The one after it.
        next: f64,
    },
    /// A range without inside.
    #[error("the range from {low} to {high} is empty; give the lower end first")]
    Range {
        /// The lower end.
        low: f64,
        /// The upper end.
        high: f64,
    },
    /// Infinity, or no number at all.
    #[error("{what} is {value}, but must be a finite number")]
    NotFinite {
        /// What was to be a number.
        what: &'static str,
        /// What it is; infinite or not a number.
        value: f64,
    },
    /// An answer of another kind.
    #[error("the answer is {kind}, but the question wants {wanted}")]
    WrongKind {
        /// What was given.
        kind: &'static str,
        /// What the domain takes.
        wanted: &'static str,
    },
    /// A label or name that is not in the list.
    #[error("the answer is not among the {listed} that are listed; list it, or let others be counted")]
    Unlisted {
        /// The length of the list.
        listed: usize,
    },
    /// A text that is empty or too long.
    #[error("a text of {size} bytes cannot be an answer: 1 to {MAX_VALUE_BYTES} are allowed")]
    TextLength {
        /// Its size.
        size: usize,
    },
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec;

    use super::*;

    fn value<'a>(domain: &Domain, answer: Answer<'a>) -> Result<Value<'a>, DomainError> {
        domain.value(answer, Rounding::new(0x8000_0000))
    }

    #[test]
    fn labels_have_their_places_and_the_rest_is_other_or_refused() {
        let counted = Domain::labels(["a", "b"], Other::Counted).unwrap();
        let refused = Domain::labels(["a", "b"], Other::Refused).unwrap();
        assert_eq!((counted.answers(), refused.answers()), (Answers::Closed(3), Answers::Closed(2)));
        assert_eq!(value(&counted, Answer::Text("b")), Ok(Value::Choice(1)));
        assert_eq!(value(&counted, Answer::Text("secret")), Ok(Value::Choice(2)));
        let error = value(&refused, Answer::Text("secret")).unwrap_err();
        assert_eq!(error, DomainError::Unlisted { listed: 2 });
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn a_number_falls_into_the_bin_that_begins_at_it() {
        let bins = Domain::histogram([1.0, 3.0]).unwrap();
        for (number, bin) in [(f64::MIN, 0), (0.999, 0), (1.0, 1), (2.9, 1), (3.0, 2), (f64::MAX, 2)] {
            assert_eq!(value(&bins, Answer::Number(number)), Ok(Value::Choice(bin)), "{number}");
        }
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(matches!(value(&bins, Answer::Number(number)), Err(DomainError::NotFinite { .. })));
        }
    }

    #[test]
    fn a_mean_is_rounded_up_on_its_share_of_all_devices() {
        let range = Domain::mean(-1.0, 9.0).unwrap();
        let rounded = |number, draw| match range.value(Answer::Number(number), Rounding::new(draw)) {
            Ok(Value::Choice(choice)) => choice,
            other => panic!("{other:?}"),
        };
        // 2 is three tenths of the way: the first three tenths of all draws say 1, and no other.
        let edge = (0.3 * 4_294_967_296.0f64).round() as u32;
        assert_eq!([0, edge - 1, edge, u32::MAX].map(|draw| rounded(2.0, draw)), [1, 1, 0, 0]);
        assert_eq!([0, u32::MAX].map(|draw| rounded(-50.0, draw)), [0, 0]);
        assert_eq!([0, u32::MAX].map(|draw| rounded(50.0, draw)), [1, 1]);
        let widest = Domain::mean(f64::MIN, f64::MAX).unwrap();
        assert_eq!(widest.value(Answer::Number(0.0), Rounding::new(0x7FFF_FFFF)), Ok(Value::Choice(1)));
        assert_eq!(widest.value(Answer::Number(0.0), Rounding::new(0x8000_0000)), Ok(Value::Choice(0)));
    }

    #[test]
    fn who_has_no_number_is_a_third_value() {
        let range = Domain::mean_or_nothing(0.0, 10.0).unwrap();
        assert_eq!(range.answers(), Answers::Closed(3));
        assert_eq!(value(&range, Answer::Nothing), Ok(Value::Choice(2)));
        assert_eq!(value(&range, Answer::Number(10.0)), Ok(Value::Choice(1)));
        assert!(value(&Domain::mean(0.0, 10.0).unwrap(), Answer::Nothing).is_err());
    }

    #[test]
    fn a_set_is_its_subset_whatever_the_order() {
        let set = Domain::set(["a", "b", "c"]).unwrap();
        assert_eq!(value(&set, Answer::Names(&["c", "a", "c"])), Ok(Value::Subset(0b101)));
        assert_eq!(value(&set, Answer::Names(&[])), Ok(Value::Subset(0)));
        assert!(value(&set, Answer::Names(&["d"])).is_err());
    }

    #[test]
    fn unsound_domains_are_refused() {
        let labels = |names: &[&str]| Domain::labels(names.iter().copied(), Other::Refused).unwrap_err();
        assert!(matches!(labels(&["a"]), DomainError::Count { found: 1, .. }));
        assert!(matches!(labels(&["a", "a"]), DomainError::RepeatedName { .. }));
        assert_eq!(labels(&["a", ""]), DomainError::EmptyName);
        let many = (0..4096).map(|i| i.to_string());
        assert!(Domain::labels(many.clone(), Other::Refused).is_ok());
        assert!(matches!(Domain::labels(many, Other::Counted), Err(DomainError::Count { found: 4097, .. })));
        for edges in [
            vec![],
            vec![1.0, 1.0],
            vec![2.0, 1.0],
            vec![f64::NAN],
            vec![1.0, f64::INFINITY],
            vec![0.0; 4096],
        ] {
            assert!(Domain::histogram(edges.clone()).is_err(), "{edges:?}");
        }
        for (low, high) in [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
            assert!(Domain::mean(low, high).is_err(), "{low} {high}");
        }
        assert!(Domain::set(["a"]).is_err());
        assert!(Domain::set((0..9).map(|i| i.to_string())).is_err());
    }

    #[test]
    fn an_answer_of_another_kind_is_refused() {
        let answers = [Answer::Flag(true), Answer::Number(1.0), Answer::Text("a"), Answer::Names(&["a"])];
        for (domain, takes) in [
            (Domain::flag(), 0),
            (Domain::histogram([0.0]).unwrap(), 1),
            (Domain::mean(0.0, 1.0).unwrap(), 1),
            (Domain::labels(["a", "b"], Other::Refused).unwrap(), 2),
            (Domain::text(), 2),
            (Domain::set(["a", "b"]).unwrap(), 3),
        ] {
            for (i, answer) in answers.into_iter().enumerate() {
                let refused = matches!(value(&domain, answer), Err(DomainError::WrongKind { .. }));
                assert_eq!(refused, i != takes, "{domain:?} {i}");
            }
        }
    }
}
