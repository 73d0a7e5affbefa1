//! Events: what an audit asks of an observation, and which to ask.

use std::collections::HashMap;
use std::fmt;

use deniable::{Encoding, Params};
use rayon::prelude::*;

use super::Rate;
use super::bound::Bound;
use super::pair::Pair;
use super::subject::Observed;

/// A bit or cohort counts as evidence from this many standard deviations on; among tens of thousands of them that
/// mean nothing, hardly one reaches it.
const EVIDENCE: f64 = 4.5;
/// The single facts that are tried two by two.
const COUPLED: usize = 12;
/// The exact reports that are tried.
const EXACT: usize = 8;
/// The thresholds of the score that are tried, at most.
const THRESHOLDS: usize = 40;

/// How the observations of a pair of values are looked at: bit by bit, by the bits in which the two signals differ, and
/// by cohort.
///
/// Signals that depend on the cohort differ in other places in each; where they do not, the places are seen as bits.
#[derive(Clone, Debug)]
pub(super) struct View {
    bits: usize,
    cohorts: usize,
    hashes: usize,
    /// For each cohort the bits that the first value alone sets, then those of the second.
    differences: Vec<[Vec<usize>; 2]>,
}

impl View {
    pub(super) fn new(params: &Params, pair: &Pair) -> Self {
        let depends = params.encoding() == Encoding::Bloom;
        let differences = (0..if depends { params.cohorts() } else { 0 })
            .into_par_iter()
            .map(|cohort| pair.differences(params, cohort as u16))
            .collect();
        Self { bits: params.bits(), cohorts: params.cohorts(), hashes: params.hashes(), differences }
    }

    fn holds(&self, fact: Fact, seen: &Observed) -> bool {
        match fact {
            Fact::Bit { index, set } => seen.bit(index) == set,
            Fact::Own { side, rank, set } => {
                self.own(seen, side).get(rank).is_some_and(|&bit| seen.bit(bit) == set)
            }
            Fact::Cohort(cohort) => self.cohort(seen) == cohort,
        }
    }

    /// The bits that the value of `side` alone sets in the cohort that the observation says.
    fn own(&self, seen: &Observed, side: usize) -> &[usize] {
        self.differences.get(usize::from(seen.cohort)).map_or(&[], |sides| &sides[side])
    }

    /// The cohort, or m for one that should not be.
    fn cohort(&self, seen: &Observed) -> usize {
        usize::from(seen.cohort).min(self.cohorts)
    }

    fn facts(&self, seen: &Observed) -> impl Iterator<Item = Fact> {
        let bits = (0..self.bits).map(|index| Fact::Bit { index, set: seen.bit(index) });
        let own = [0, 1].into_iter().flat_map(move |side| {
            let fact = move |(rank, &bit): (usize, &usize)| Fact::Own { side, rank, set: seen.bit(bit) };
            self.own(seen, side).iter().enumerate().map(fact)
        });
        bits.chain(own).chain([Fact::Cohort(self.cohort(seen))])
    }

    /// Every fact that can be, each at its [`View::place`].
    fn all_facts(&self) -> impl Iterator<Item = Fact> {
        let both = [false, true];
        let bits = (0..self.bits).flat_map(move |index| both.map(|set| Fact::Bit { index, set }));
        let own = [0, 1].into_iter().flat_map(move |side| {
            (0..self.hashes).flat_map(move |rank| both.map(|set| Fact::Own { side, rank, set }))
        });
        bits.chain(own).chain((0..=self.cohorts).map(Fact::Cohort))
    }

    fn place(&self, fact: Fact) -> usize {
        match fact {
            Fact::Bit { index, set } => 2 * index + usize::from(set),
            Fact::Own { side, rank, set } => 2 * (self.bits + side * self.hashes + rank) + usize::from(set),
            Fact::Cohort(cohort) => 2 * (self.bits + 2 * self.hashes) + cohort,
        }
    }

    /// In how many observations each fact is so, by place.
    fn count(&self, sample: &[Observed]) -> Vec<u32> {
        let places = 2 * (self.bits + 2 * self.hashes) + self.cohorts + 1;
        let count = |chunk: &[Observed]| {
            let mut counts = vec![0; places];
            chunk.iter().flat_map(|seen| self.facts(seen)).for_each(|fact| counts[self.place(fact)] += 1);
            counts
        };
        let add = |a: Vec<u32>, b: Vec<u32>| a.iter().zip(b).map(|(a, b)| a + b).collect();
        let chunk = sample.len().div_ceil(rayon::current_num_threads()).max(1);
        sample.par_chunks(chunk).map(count).reduce(|| vec![0; places], add)
    }
}

/// Something that is so in an observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fact {
    /// A bit has this value.
    Bit { index: usize, set: bool },
    /// Of the bits that in this cohort the value of `side` alone sets, the one at `rank` has this value.
    Own { side: usize, rank: usize, set: bool },
    /// The report says this cohort.
    Cohort(usize),
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Bit { index, set } => write!(f, "bit {index} = {}", u8::from(set)),
            Self::Own { side, rank, set } => {
                let value = ["first", "second"][side];
                write!(f, "own bit {rank} of the {value} = {}", u8::from(set))
            }
            Self::Cohort(cohort) => write!(f, "cohort {cohort}"),
        }
    }
}

/// A fact, and its log-likelihood ratio.
type Evidence = (Fact, f64);

/// A yes/no question about an observation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// All of these are so; it always comes if there are none.
    All(Vec<Fact>),
    /// The evidence adds up to at least this.
    Score { evidence: Vec<Evidence>, at_least: f64 },
    /// It is this very report.
    Exact(Observed),
}

impl Event {
    /// How many of the observations it comes in.
    pub(super) fn rate(&self, view: &View, sample: &[Observed]) -> Rate {
        let hits = sample.par_iter().filter(|seen| self.comes(view, seen)).count();
        Rate { hits, trials: sample.len() }
    }

    fn comes(&self, view: &View, seen: &Observed) -> bool {
        match self {
            Self::All(facts) => facts.iter().all(|&fact| view.holds(fact, seen)),
            Self::Score { evidence, at_least } => score(view, evidence, seen) >= *at_least,
            Self::Exact(report) => report == seen,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(facts) if facts.is_empty() => f.write_str("any report"),
            Self::All(facts) => {
                let facts: Vec<String> = facts.iter().map(Fact::to_string).collect();
                f.write_str(&facts.join(", "))
            }
            Self::Score { evidence, at_least } => {
                write!(f, "score of {} facts ≥ {at_least:.2}", evidence.len())
            }
            Self::Exact(_) => f.write_str("one exact report"),
        }
    }
}

/// The event by which `likelier` can be told best from `rarer`, as far as these observations tell.
pub(super) fn choose(view: &View, likelier: &[Observed], rarer: &[Observed], bound: &Bound) -> Event {
    let evidence = evidence(view, likelier, rarer);
    let mut events = few_facts(&evidence);
    events.extend(thresholds(view, &evidence, likelier, rarer));
    events.extend(frequent(likelier));
    let proved = |event: &Event| bound.log_ratio(event.rate(view, likelier), event.rate(view, rarer));
    let proved = events.into_iter().map(|event| (proved(&event), event));
    let best = proved.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map_or(Event::All(vec![]), |(_, event)| event)
}

/// The facts whose counts differ by more than chance, with their log-likelihood ratios, the surest first.
fn evidence(view: &View, likelier: &[Observed], rarer: &[Observed]) -> Vec<Evidence> {
    let (a, b) = (view.count(likelier), view.count(rarer));
    let trials = likelier.len().min(rarer.len()) as f64;
    let mut found: Vec<(f64, Evidence)> = view
        .all_facts()
        .zip(a.into_iter().zip(b))
        .map(|(fact, (a, b))| {
            let (a, b) = (f64::from(a), f64::from(b));
            let rate = (a + b) / (2.0 * trials);
            let deviations = (a - b) / (2.0 * trials * rate * (1.0 - rate)).sqrt();
            (deviations, (fact, ((a + 0.5) / (b + 0.5)).ln()))
        })
        .filter(|(deviations, _)| deviations.abs() > EVIDENCE)
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().map(|(_, evidence)| evidence).collect()
}

/// The surest facts alone and two by two.
fn few_facts(evidence: &[Evidence]) -> Vec<Event> {
    let surest: Vec<Fact> =
        evidence.iter().filter(|(_, weight)| *weight > 0.0).map(|(fact, _)| *fact).take(COUPLED).collect();
    let couples = surest.iter().enumerate().flat_map(|(i, a)| surest[i + 1..].iter().map(|b| vec![*a, *b]));
    surest.iter().map(|fact| vec![*fact]).chain(couples).map(Event::All).collect()
}

/// Thresholds of the score, so that each is passed by about √2 as many observations as the next.
fn thresholds(view: &View, evidence: &[Evidence], likelier: &[Observed], rarer: &[Observed]) -> Vec<Event> {
    if evidence.is_empty() {
        return Vec::new();
    }
    let score = |seen: &Observed| score(view, evidence, seen);
    let mut scores: Vec<f64> = likelier.par_iter().chain(rarer).map(score).collect();
    scores.par_sort_unstable_by(|a, b| b.total_cmp(a));
    let ranks =
        (0..THRESHOLDS).map(|i| 8.0 * 2f64.powf(i as f64 / 2.0)).take_while(|r| *r < scores.len() as f64);
    let mut chosen: Vec<f64> = ranks.map(|rank| scores[rank as usize]).collect();
    chosen.dedup();
    chosen.into_iter().map(|at_least| Event::Score { evidence: evidence.to_vec(), at_least }).collect()
}

/// The reports that come most often, if any comes often.
fn frequent(sample: &[Observed]) -> impl Iterator<Item = Event> {
    let mut counts = HashMap::<&Observed, u32>::new();
    sample.iter().for_each(|seen| *counts.entry(seen).or_default() += 1);
    let mut often: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 9).collect();
    // Ties in the order of their content, so that a seed gives one answer.
    often.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| (a.0.cohort, &a.0.bits).cmp(&(b.0.cohort, &b.0.bits))));
    often.into_iter().take(EXACT).map(|(report, _)| Event::Exact(report.clone()))
}

fn score(view: &View, evidence: &[Evidence], seen: &Observed) -> f64 {
    evidence.iter().filter(|(fact, _)| view.holds(*fact, seen)).map(|(_, weight)| weight).sum()
}
