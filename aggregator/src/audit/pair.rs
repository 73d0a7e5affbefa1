//! The pairs of values that an audit compares.
//!
//! The loss of a pair depends on how their signals differ, so the pairs lie where mistakes do: neighbouring bits at
//! both ends, the first bit and the last, signals that share as few bits as can be found, and signals that are equal. Which bits a text sets
//! depends on the cohort; a pair of texts is therefore chosen for each cohort, which the claim covers, as the cohort
//! is drawn without looking at the value.

use std::collections::HashMap;

use deniable::{Encoding, Params, Value, bloom_bits};
use rayon::prelude::*;

/// The texts that are hashed in search of pairs, in all cohorts together.
const HASHES: usize = 1 << 21;
/// The fewest and the most texts that are tried in a cohort.
const TEXTS: (usize, usize) = (64, 1 << 16);

/// Two values.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    name: String,
    inputs: [Input; 2],
    equal: bool,
}

impl Pair {
    fn new(name: &str, inputs: [Input; 2]) -> Self {
        Self { name: name.to_owned(), inputs, equal: false }
    }

    fn equal(name: &str, inputs: [Input; 2]) -> Self {
        Self { equal: true, ..Self::new(name, inputs) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn inputs(&self) -> &[Input; 2] {
        &self.inputs
    }

    /// Says whether the two values have one signal in every cohort.
    pub(super) fn is_equal(&self) -> bool {
        self.equal
    }

    /// The bits that the first value sets in `cohort` and the second does not, and the other way round.
    pub(super) fn differences(&self, params: &Params, cohort: u16) -> [Vec<usize>; 2] {
        let [a, b] = [0, 1].map(|side| self.inputs[side].ones(params, cohort));
        [minus(&a, &b), minus(&b, &a)]
    }
}

/// A value, whatever the cohort.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Choice(usize),
    Choices(Vec<usize>),
    /// The text for each cohort.
    Texts(Vec<String>),
}

impl Input {
    /// The value in a cohort.
    pub(super) fn value(&self, cohort: u16) -> Value<'_> {
        match self {
            Self::Choice(choice) => Value::Choice(*choice),
            Self::Choices(choices) => Value::Choices(choices),
            Self::Texts(texts) => Value::Text(&texts[usize::from(cohort) % texts.len()]),
        }
    }

    fn ones(&self, params: &Params, cohort: u16) -> Vec<usize> {
        match self.value(cohort) {
            Value::Text(text) => text_ones(params, cohort, text),
            _ => match self {
                Self::Choice(choice) => vec![*choice],
                Self::Choices(choices) => choices.clone(),
                Self::Texts(_) => unreachable!("its value is a text"),
            },
        }
    }
}

/// The pairs to audit under `params`, without repeats.
pub(super) fn pairs(params: &Params) -> Vec<Pair> {
    let k = params.bits();
    let edges: &[_] = match k {
        1 => &[],
        2 => &[("first and last", 0, 1)],
        3 => &[("first two", 0, 1), ("last two", 1, 2), ("first and last", 0, 2)],
        _ => &[("first two", 0, 1), ("last two", k - 2, k - 1), ("first and last", 0, k - 1)],
    };
    match params.encoding() {
        Encoding::Bloom => text_pairs(params, edges),
        Encoding::Direct | Encoding::Unary => {
            let choices = |&(name, a, b): &_| Pair::new(name, [Input::Choice(a), Input::Choice(b)]);
            let mut pairs: Vec<Pair> = edges.iter().map(choices).collect();
            if params.encoding() == Encoding::Unary {
                pairs.extend(set_pairs(params));
            }
            pairs.push(Pair::equal("equal", [Input::Choice(k - 1), Input::Choice(k - 1)]));
            pairs
        }
    }
}

/// Sets: none against as many as may be, and two that are as large and as far apart as can be.
fn set_pairs(params: &Params) -> Vec<Pair> {
    let (k, h) = (params.bits(), params.hashes());
    let first: Vec<usize> = (0..h).collect();
    let mut pairs = vec![Pair::new("none and most", [Input::Choices(vec![]), Input::Choices(first.clone())])];
    if h > 1 && h < k {
        let last = (k - h.min(k - h)..k).collect();
        pairs.push(Pair::new("disjoint sets", [Input::Choices(first), Input::Choices(last)]));
    }
    pairs
}

/// Pairs of texts that set the bits at the edges, that share hardly a bit, and that set the same bits.
fn text_pairs(params: &Params, edges: &[(&'static str, usize, usize)]) -> Vec<Pair> {
    let (least, most) = TEXTS;
    let texts: Vec<String> =
        (0..(HASHES / params.cohorts()).clamp(least, most)).map(|number| format!("value-{number}")).collect();
    let search = |find: &(dyn Fn(&mut Ones<'_>) -> Option<[usize; 2]> + Sync)| {
        let found: Option<Vec<[usize; 2]>> = (0..params.cohorts())
            .into_par_iter()
            .map(|c| find(&mut Ones::new(params, &texts, c as u16)))
            .collect();
        found.map(|found| {
            [0, 1].map(|side| Input::Texts(found.iter().map(|two| texts[two[side]].clone()).collect()))
        })
    };
    let mut pairs: Vec<Pair> = edges
        .iter()
        .filter_map(|&(name, a, b)| {
            search(&|ones| ones.setting(a, b)).map(|inputs| Pair::new(&format!("{name} bits"), inputs))
        })
        .collect();
    pairs.extend(search(&|ones| Some(ones.apart())).map(|inputs| Pair::new("far apart", inputs)));
    pairs.push(match search(&|ones| ones.alike()) {
        Some(inputs) => Pair::equal("equal bits", inputs),
        None => {
            let same = Input::Texts(vec![texts[0].clone()]);
            Pair::equal("same text", [same.clone(), same])
        }
    });
    pairs
}

/// The bits that texts set in one cohort, hashed as they are asked for.
struct Ones<'a> {
    params: &'a Params,
    texts: &'a [String],
    cohort: u16,
    known: Vec<Vec<usize>>,
}

impl<'a> Ones<'a> {
    fn new(params: &'a Params, texts: &'a [String], cohort: u16) -> Self {
        Self { params, texts, cohort, known: Vec::new() }
    }

    fn of(&mut self, text: usize) -> &[usize] {
        for next in self.known.len()..=text {
            self.known.push(text_ones(self.params, self.cohort, &self.texts[next]));
        }
        &self.known[text]
    }

    /// The most bits that each of two texts can set without sharing one.
    fn full(&self) -> usize {
        self.params.hashes().min(self.params.bits() / 2)
    }

    /// A text that sets bit `a` and one that sets bit `b`, which share no bit and set as many as they can; or the first
    /// that set one and not the other.
    fn setting(&mut self, a: usize, b: usize) -> Option<[usize; 2]> {
        let full = self.full();
        let sets = |ones: &[usize], one: usize, other: usize| ones.contains(&one) && !ones.contains(&other);
        let count = self.texts.len();
        let first = |ones: &mut Self| (0..count).find(|&t| sets(ones.of(t), a, b));
        let first_full = (0..count).find(|&t| sets(self.of(t), a, b) && self.of(t).len() == full);
        let one = first_full.or_else(|| first(self))?;
        let taken = self.of(one).to_vec();
        let apart = |ones: &[usize]| ones.len() == full && minus(ones, &taken).len() == full;
        let other = (0..count).find(|&t| sets(self.of(t), b, a) && apart(self.of(t)));
        other.or_else(|| (0..count).find(|&t| sets(self.of(t), b, a))).map(|other| [one, other])
    }

    /// The first text, and the one that shares the fewest bits with it.
    fn apart(&mut self) -> [usize; 2] {
        let first = self.of(0).to_vec();
        let mut best = (0, 0);
        for text in 1..self.texts.len() {
            let other = self.of(text);
            let apart = minus(other, &first).len() + minus(&first, other).len();
            if apart > best.1 {
                best = (text, apart);
            }
            if apart == 2 * self.full() {
                break;
            }
        }
        [0, best.0]
    }

    /// Two texts that set the same bits.
    fn alike(&mut self) -> Option<[usize; 2]> {
        let mut seen = HashMap::new();
        (0..self.texts.len())
            .find_map(|text| seen.insert(self.of(text).to_vec(), text).map(|first| [first, text]))
    }
}

fn text_ones(params: &Params, cohort: u16, text: &str) -> Vec<usize> {
    let mut ones: Vec<usize> = bloom_bits(params.bits(), params.hashes(), cohort, text.as_bytes()).collect();
    ones.sort_unstable();
    ones.dedup();
    ones
}

fn minus(a: &[usize], b: &[usize]) -> Vec<usize> {
    a.iter().copied().filter(|bit| !b.contains(bit)).collect()
}

#[cfg(test)]
mod tests {
    use deniable::Response;

    use super::*;

    fn params(encoding: Encoding, k: usize, h: usize, m: usize) -> Params {
        Params::new(encoding, k, h, m, None, Some(Response::nearest(0.25, 0.75).unwrap())).unwrap()
    }

    fn named<'a>(pairs: &'a [Pair], name: &str) -> &'a Pair {
        pairs.iter().find(|pair| pair.name() == name).unwrap_or_else(|| panic!("no {name} in {pairs:?}"))
    }

    #[test]
    fn texts_set_in_every_cohort_the_bits_that_their_pair_is_named_by() {
        let params = params(Encoding::Bloom, 33, 2, 16);
        let pairs = pairs(&params);
        for cohort in 0..16 {
            let [a, b] = named(&pairs, "first and last bits").differences(&params, cohort);
            assert!(a.contains(&0) && b.contains(&32) && (a.len(), b.len()) == (2, 2), "{a:?} {b:?}");
            let [a, b] = named(&pairs, "far apart").differences(&params, cohort);
            assert_eq!(a.len() + b.len(), 4);
            let equal = named(&pairs, "equal bits");
            assert!(equal.differences(&params, cohort).iter().all(Vec::is_empty));
            let [first, second] = equal.inputs();
            assert!(first.value(cohort) != second.value(cohort), "two texts, not one");
        }
    }

    #[test]
    fn shapes_at_their_limits_have_pairs() {
        for (encoding, k, h, m) in [
            (Encoding::Unary, 1, 1, 1),
            (Encoding::Unary, 3, 3, 2),
            (Encoding::Unary, 4096, 16, 1),
            (Encoding::Direct, 2, 1, 1),
            (Encoding::Bloom, 2, 1, 1),
            (Encoding::Bloom, 2, 2, 3),
            (Encoding::Bloom, 4096, 16, 65_536),
        ] {
            let params = params(encoding, k, h, m);
            let pairs = pairs(&params);
            assert_eq!(pairs.iter().filter(|pair| pair.is_equal()).count(), 1);
            let differ = |pair: &&Pair| pair.differences(&params, 0).iter().any(|bits| !bits.is_empty());
            assert_eq!(pairs.iter().filter(differ).count(), pairs.len() - 1, "{encoding} {k} {h} {m}");
            assert!(pairs.len() > 1);
        }
    }
}
