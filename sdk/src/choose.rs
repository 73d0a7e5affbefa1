//! Parameters near the optimum of local privacy, from the privacy loss that one is willing to pay.
//!
//! The noise of a rare value's share, per report, is r(1−r)/(q*−p*)² with r the rate of its bit among those who have
//! another value. For a given ε it is least where P(1|1) = 1/2 and P(1|0) = 1/(e^ε+1), 4e^ε/(e^ε−1)² (Wang,
//! Blocki, Li, Jha, *Locally Differentially Private Protocols for Frequency Estimation*, 2017, section 4.3), and
//! lower with k-ary randomized response while d < 3e^ε + 2 (ibid., section 4.4). No mechanism does better than subset
//! selection (Ye, Barg, *Optimal Schemes for Discrete Distribution Estimation under Locally Differential Privacy*,
//! 2018), which has the same 4e^ε/(e^ε−1)² when the values are many; [`Params::excess_variance`] compares with it.
//!
//! # The chain
//! Two stages need cost no accuracy against one. With a permanent stage (a, 1/2), a = 1/(e^ε∞+1), the
//! instantaneous stage (p, 1−p), p = (p* − a)/(1 − 2a), makes the two together (p*, 1/2): the optimum for ε₁. For
//! the direct encoding, whose stages are k-ary randomized responses with P(1|1) = b for ε∞ and q* for ε₁, it is
//! p = (b − q*)/(bk − 1).
//!
//! # Sets
//! Two sets of n names can differ in every name. As unary bits each name then has ε/n, best spent by the symmetric stage
//! (1/(e^(ε/n)+1), e^(ε/n)/(e^(ε/n)+1)), and its share has the noise of a gain tanh(ε/2n). As one direct value of 2ⁿ the
//! gain is (e^ε−1)/(e^ε+2ⁿ−1) for every name at once. The encoding of the larger gain is chosen.

use crate::params::{Encoding, MAX_BITS, Params, ParamsError, Response, in_range};
use crate::privacy::{Channel, Epsilon};
use crate::probability::Probability;

/// What the values of a metric can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// A list of this many values, one of which a device has.
    Closed(usize),
    /// A set of these many names, any of which a device may have, at most 8.
    Set(usize),
    /// Strings that are not known beforehand.
    Open,
}

/// The most names in a set. A set as one direct value has 2⁸ values then.
pub const MAX_SET: usize = 8;

/// Bits of a Bloom filter per e^ε. With one hash, a rare value's bit is shared with 1/k of everybody; at k = 16·e^ε
/// that costs a few hundredths of variance, and more bits would only cost bytes.
const BLOOM_BITS_PER_ODDS: f64 = 16.0;

/// Cohorts for open strings: with them, k·m equations tell many thousands of candidates apart.
const OPEN_COHORTS: usize = 128;

/// The largest ε that is worth the name. At 2⁻³² steps probabilities no longer follow a larger one closely.
const MAX_EPSILON: f64 = 16.0;

impl Params {
    /// Chooses parameters of which one report costs at most `epsilon_one` (ε₁) and all reports of one value at most
    /// `epsilon_infinity` (ε∞), and whose figures are about as exact as any such parameters allow.
    ///
    /// Without an ε∞ each report is drawn afresh, and the costs of repeated reports add up.
    ///
    /// ```
    /// use deniable::{Answers, Encoding, Params};
    /// let params = Params::for_epsilon(2.0, Some(4.0), Answers::Open)?;
    /// assert_eq!((params.encoding(), params.bits(), params.hashes()), (Encoding::Bloom, 128, 1));
    /// assert!(params.epsilon_one().get() <= 2.0 && params.epsilon_infinity().get() <= 4.0);
    /// assert!(params.excess_variance(Answers::Open).is_some_and(|excess| excess < 1.1));
    /// # Ok::<(), deniable::ParamsError>(())
    /// ```
    ///
    /// # Errors
    /// [`ParamsError::Epsilon`] unless 0 < ε₁ < ε∞ ≤ 16, and [`ParamsError::OutOfRange`] for a closed list of fewer than
    /// 2 or more than 4096 values.
    pub fn for_epsilon(
        epsilon_one: f64,
        epsilon_infinity: Option<f64>,
        answers: Answers,
    ) -> Result<Self, ParamsError> {
        check_epsilon("ε₁", epsilon_one, 0.0)?;
        if let Some(epsilon) = epsilon_infinity {
            check_epsilon("ε∞", epsilon, epsilon_one)?;
        }
        let odds = libm::exp(epsilon_one);
        let shape = |encoding, bits| Shape { encoding, bits, hashes: 1 };
        let (shape, cohorts) = match answers {
            Answers::Closed(values) if (values as f64) < 3.0 * odds + 2.0 => {
                (shape(Encoding::Direct, values), 1)
            }
            Answers::Closed(values) => (shape(Encoding::Unary, values), 1),
            Answers::Set(names) => (set_shape(names, epsilon_one)?, 1),
            Answers::Open => {
                let bits = (libm::ceil(BLOOM_BITS_PER_ODDS * odds) as usize).next_power_of_two();
                (shape(Encoding::Bloom, bits.min(MAX_BITS)), OPEN_COHORTS)
            }
        };
        // A shape out of range is told before its stages are worked out.
        in_range("the number of values", shape.bits, 2, MAX_BITS)?;
        let whole = shape.stage(epsilon_one)?;
        let (permanent, instantaneous) = match epsilon_infinity {
            None => (None, whole),
            Some(epsilon) => {
                let permanent = shape.stage(epsilon)?;
                (Some(permanent), shape.remainder(permanent, whole)?)
            }
        };
        Self::new(shape.encoding, shape.bits, shape.hashes, cohorts, permanent, Some(instantaneous))
    }

    /// The variance of a rare value's estimated share, times the number of reports.
    ///
    /// For more than one hash it counts the noise of one bit, averaged over the hashes.
    pub fn variance(&self) -> f64 {
        let channel = self.channel();
        let shared = match self.encoding() {
            Encoding::Bloom => 1.0 - libm::pow(1.0 - 1.0 / self.bits() as f64, self.hashes() as f64),
            Encoding::Direct | Encoding::Unary => 0.0,
        };
        let rate = channel.zero() + channel.gain() * shared;
        let gain = channel.gain() * (1.0 - shared);
        let averaged = if self.encoding() == Encoding::Bloom { self.hashes() as f64 } else { 1.0 };
        rate * (1.0 - rate) / (gain * gain) / averaged
    }

    /// [`Params::variance`] over that of subset selection at the same ε₁, which no mechanism beats: 1 is perfect, and the
    /// users needed for equal error grow in this proportion. None for a set as unary bits, of which each tells of a name
    /// and not of a value.
    pub fn excess_variance(&self, answers: Answers) -> Option<f64> {
        let values = match (answers, self.encoding()) {
            (Answers::Set(_), Encoding::Unary | Encoding::Bloom) => return None,
            (Answers::Open, _) => None,
            (Answers::Closed(values), _) => Some(values),
            (Answers::Set(names), Encoding::Direct) => Some(1 << names),
        };
        Some(self.variance() / subset_selection(self.epsilon_one().get(), values))
    }
}

/// The variance per report of a rare value's share under subset selection among so many values, or among very many.
fn subset_selection(epsilon: f64, values: Option<usize>) -> f64 {
    let odds = libm::exp(epsilon);
    let Some(values) = values else { return 4.0 * odds / ((odds - 1.0) * (odds - 1.0)) };
    let d = values as f64;
    let variance = |size: f64| {
        let total = size * odds + d - size;
        let own = size * odds / total;
        let other = (size * odds * (size - 1.0) + (d - size) * size) / ((d - 1.0) * total);
        other * (1.0 - other) / ((own - other) * (own - other))
    };
    let size = libm::floor(d / (odds + 1.0)).max(1.0);
    variance(size).min(variance((size + 1.0).min(d - 1.0)))
}

fn check_epsilon(what: &'static str, value: f64, above: f64) -> Result<(), ParamsError> {
    if value > above && value <= MAX_EPSILON {
        Ok(())
    } else {
        Err(ParamsError::Epsilon { what, value, above, most: MAX_EPSILON })
    }
}

/// A set of `names` names as one direct value or as unary bits, whichever keeps more of the signal.
fn set_shape(names: usize, epsilon: f64) -> Result<Shape, ParamsError> {
    in_range("the names of a set", names, 2, MAX_SET)?;
    let odds = libm::exp(epsilon);
    let direct = (odds - 1.0) / (odds + (1 << names) as f64 - 1.0);
    let unary = libm::tanh(epsilon / (2.0 * names as f64));
    Ok(if direct > unary {
        Shape { encoding: Encoding::Direct, bits: 1 << names, hashes: 1 }
    } else {
        Shape { encoding: Encoding::Unary, bits: names, hashes: names }
    })
}

/// The shape of a report that stages are sought for.
#[derive(Clone, Copy)]
struct Shape {
    encoding: Encoding,
    bits: usize,
    hashes: usize,
}

impl Shape {
    fn epsilon(self, channel: Channel) -> Epsilon {
        channel.epsilon(self.encoding, self.bits, self.hashes)
    }

    /// The optimal single stage that costs at most `epsilon`.
    fn stage(self, epsilon: f64) -> Result<Response, ParamsError> {
        let zero = match self.encoding {
            Encoding::Direct => 1.0 / (libm::exp(epsilon) + self.bits as f64 - 1.0),
            Encoding::Unary | Encoding::Bloom => 1.0 / (libm::exp(epsilon / self.hashes as f64) + 1.0),
        };
        self.first(zero, |zero| self.optimal(zero), |stage| self.epsilon(Channel::of(stage)).get() <= epsilon)
    }

    /// The stage that follows `permanent` so that the two together cost no more than `whole`, and hardly less.
    fn remainder(self, permanent: Response, whole: Response) -> Result<Response, ParamsError> {
        let (a, b) = (permanent.zero().as_f64(), permanent.one().as_f64());
        let (zero, one) = (whole.zero().as_f64(), whole.one().as_f64());
        let most = self.epsilon(Channel::of(whole));
        let fits = |stage| self.epsilon(Channel::chained(permanent, stage)) <= most;
        match self.encoding {
            Encoding::Direct => {
                self.first((b - one) / (b * self.bits as f64 - 1.0), |p| self.optimal(p), fits)
            }
            Encoding::Unary | Encoding::Bloom => self.first((zero - a) / (1.0 - 2.0 * a), symmetric, fits),
        }
    }

    /// The optimal stage with this P(1|0): for one bit of many one half for P(1|1), for a set the symmetric one, and for
    /// the direct encoding what the other values leave of 1.
    fn optimal(self, zero: Probability) -> Result<Response, ParamsError> {
        match self.encoding {
            Encoding::Direct => {
                let others = zero.numerator().saturating_mul(self.bits as u64 - 1);
                let one = Probability::ONE.numerator().saturating_sub(others);
                Response::new(zero, Probability::from_numerator(one)?)
            }
            Encoding::Unary if self.hashes > 1 => symmetric(zero),
            Encoding::Unary | Encoding::Bloom => Response::new(zero, Probability::HALF),
        }
    }

    /// The stage of the first step at or above `zero` that fits; a few more steps may be needed where ε itself was rounded.
    fn first(
        self,
        zero: f64,
        stage: impl Fn(Probability) -> Result<Response, ParamsError>,
        fits: impl Fn(Response) -> bool,
    ) -> Result<Response, ParamsError> {
        let mut numerator = libm::ceil(zero * Probability::ONE.numerator() as f64) as u64;
        loop {
            let stage = stage(Probability::from_numerator(numerator)?)?;
            if fits(stage) {
                return Ok(stage);
            }
            numerator += 1;
        }
    }
}

fn symmetric(zero: Probability) -> Result<Response, ParamsError> {
    Response::new(zero, zero.complement())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_and_nearly_used_up() {
        for (one, infinity) in [(0.1, 0.2), (0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 16.0)] {
            for answers in [2, 7, 1000]
                .map(Answers::Closed)
                .into_iter()
                .chain([2, 5, 8].map(Answers::Set))
                .chain([Answers::Open])
            {
                let params = Params::for_epsilon(one, Some(infinity), answers).unwrap();
                let costs = [(params.epsilon_one().get(), one), (params.epsilon_infinity().get(), infinity)];
                for (cost, limit) in costs {
                    assert!(cost <= limit && cost > limit * 0.999, "{answers:?} {limit}: {cost}");
                }
            }
        }
    }

    #[test]
    fn the_chain_costs_no_accuracy() {
        for answers in [Answers::Closed(5), Answers::Closed(500), Answers::Set(6), Answers::Open] {
            let one = Params::for_epsilon(2.0, None, answers).unwrap();
            let two = Params::for_epsilon(2.0, Some(3.0), answers).unwrap();
            assert!((one.channel().zero() - two.channel().zero()).abs() < 1e-8);
            assert!((one.channel().one() - two.channel().one()).abs() < 1e-8);
            let ratio = two.variance() / one.variance();
            assert!((ratio - 1.0).abs() < 1e-6, "{ratio}");
        }
    }

    #[test]
    fn the_encoding_changes_where_its_variance_does() {
        // 3e² + 2 = 24.17.
        let encoding = |d| Params::for_epsilon(2.0, None, Answers::Closed(d)).unwrap().encoding();
        assert_eq!((encoding(24), encoding(25)), (Encoding::Direct, Encoding::Unary));
    }

    #[test]
    fn a_set_is_sent_as_one_value_or_as_bits_by_what_keeps_more() {
        let shape = |epsilon, names| {
            let params = Params::for_epsilon(epsilon, None, Answers::Set(names)).unwrap();
            (params.encoding(), params.bits(), params.hashes())
        };
        // Two names at ε = 1: gains 1.718/5.718 = 0.300 against tanh(1/4) = 0.245. Eight: 0.0067 against 0.0624.
        assert_eq!(shape(1.0, 2), (Encoding::Direct, 4, 1));
        assert_eq!(shape(1.0, 8), (Encoding::Unary, 8, 8));
        // Eight names at ε = 6: 402.4/658.4 = 0.61 against tanh(3/8) = 0.36.
        assert_eq!(shape(6.0, 8), (Encoding::Direct, 256, 1));
        assert!(Params::for_epsilon(1.0, None, Answers::Set(9)).is_err());
    }

    #[test]
    fn defaults_are_near_the_optimum_and_the_classic_ones_are_not() {
        for epsilon in [0.5, 1.0, 2.0, 4.0] {
            for answers in [Answers::Closed(2), Answers::Closed(20), Answers::Closed(2000), Answers::Open] {
                let excess =
                    Params::for_epsilon(epsilon, None, answers).unwrap().excess_variance(answers).unwrap();
                assert!((0.999..1.35).contains(&excess), "ε = {epsilon}, {answers:?}: {excess}");
            }
        }
        let classic = Params::rappor(128, 2, 128, 0.5, 0.25, 0.75).unwrap();
        let excess = classic.excess_variance(Answers::Open).unwrap();
        assert!(excess > 2.0, "{excess}");
    }

    #[test]
    fn absurd_budgets_are_refused() {
        for (one, infinity) in
            [(0.0, None), (-1.0, None), (f64::NAN, None), (17.0, None), (2.0, Some(2.0)), (1.0, Some(99.0))]
        {
            let refused = Params::for_epsilon(one, infinity, Answers::Open);
            assert!(matches!(refused, Err(ParamsError::Epsilon { .. })), "{one} {infinity:?}");
        }
        for values in [0, 1, 4097] {
            let refused = Params::for_epsilon(1.0, None, Answers::Closed(values));
            assert!(matches!(refused, Err(ParamsError::OutOfRange { .. })), "{values}");
        }
    }
}
