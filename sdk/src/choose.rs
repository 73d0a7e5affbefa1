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

use crate::params::{Encoding, MAX_BITS, Params, ParamsError, Response};
use crate::probability::Probability;

/// What the values of a metric can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// A list of this many values, one of which a device has.
    Closed(usize),
    /// Strings that are not known beforehand.
    Open,
}

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
    /// assert!(params.excess_variance(Answers::Open) < 1.1);
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
        let (encoding, bits, cohorts) = match answers {
            Answers::Closed(values) if (values as f64) < 3.0 * odds + 2.0 => (Encoding::Direct, values, 1),
            Answers::Closed(values) => (Encoding::Unary, values, 1),
            Answers::Open => {
                let bits = (libm::ceil(BLOOM_BITS_PER_ODDS * odds) as usize).next_power_of_two();
                (Encoding::Bloom, bits.min(MAX_BITS), OPEN_COHORTS)
            }
        };
        // A shape out of range is told before its stages are worked out.
        crate::params::in_range("the number of values", bits, 2, MAX_BITS)?;
        let whole = stage(encoding, bits, epsilon_one)?;
        let (permanent, instantaneous) = match epsilon_infinity {
            None => (None, whole),
            Some(epsilon) => {
                let permanent = stage(encoding, bits, epsilon)?;
                (Some(permanent), remainder(encoding, bits, permanent, whole)?)
            }
        };
        Self::new(encoding, bits, 1, cohorts, permanent, Some(instantaneous))
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
    /// users needed for equal error grow in this proportion.
    pub fn excess_variance(&self, answers: Answers) -> f64 {
        self.variance() / subset_selection(self.epsilon_one().get(), answers)
    }
}

/// The variance per report of a rare value's share under subset selection, at its best subset size.
fn subset_selection(epsilon: f64, answers: Answers) -> f64 {
    let odds = libm::exp(epsilon);
    let Answers::Closed(values) = answers else { return 4.0 * odds / ((odds - 1.0) * (odds - 1.0)) };
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

/// The optimal single stage that costs at most `epsilon`.
fn stage(encoding: Encoding, bits: usize, epsilon: f64) -> Result<Response, ParamsError> {
    let odds = libm::exp(epsilon);
    let zero = match encoding {
        Encoding::Direct => 1.0 / (odds + bits as f64 - 1.0),
        Encoding::Unary | Encoding::Bloom => 1.0 / (odds + 1.0),
    };
    // The first step at or above the wanted P(1|0) costs at most ε, but for the rounding of ε itself.
    let mut numerator = steps_up(zero);
    loop {
        let stage = from_zero(encoding, bits, numerator)?;
        if crate::Channel::of(stage).epsilon(encoding, bits, 1).get() <= epsilon {
            return Ok(stage);
        }
        numerator += 1;
    }
}

/// The stage that follows `permanent` so that the two together cost no more than `whole`, and hardly less.
fn remainder(
    encoding: Encoding,
    bits: usize,
    permanent: Response,
    whole: Response,
) -> Result<Response, ParamsError> {
    let value = |p: Probability| p.as_f64();
    let wanted = match encoding {
        Encoding::Direct => {
            (value(permanent.one()) - value(whole.one())) / (value(permanent.one()) * bits as f64 - 1.0)
        }
        Encoding::Unary | Encoding::Bloom => {
            (value(whole.zero()) - value(permanent.zero())) / (1.0 - 2.0 * value(permanent.zero()))
        }
    };
    let most = crate::Channel::of(whole).epsilon(encoding, bits, 1);
    let mut numerator = steps_up(wanted);
    loop {
        let stage = match encoding {
            Encoding::Direct => from_zero(encoding, bits, numerator)?,
            Encoding::Unary | Encoding::Bloom => {
                let zero = Probability::from_numerator(numerator)?;
                Response::new(zero, zero.complement())?
            }
        };
        if crate::Channel::chained(permanent, stage).epsilon(encoding, bits, 1) <= most {
            return Ok(stage);
        }
        numerator += 1;
    }
}

/// The optimal stage with this P(1|0): one half for P(1|1), or what the other values leave of 1.
fn from_zero(encoding: Encoding, bits: usize, zero: u64) -> Result<Response, ParamsError> {
    let one = match encoding {
        Encoding::Direct => {
            let others = zero.saturating_mul(bits as u64 - 1).min(Probability::ONE.numerator());
            Probability::from_numerator(Probability::ONE.numerator() - others)?
        }
        Encoding::Unary | Encoding::Bloom => Probability::HALF,
    };
    Response::new(Probability::from_numerator(zero)?, one)
}

fn steps_up(probability: f64) -> u64 {
    libm::ceil(probability * Probability::ONE.numerator() as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_and_nearly_used_up() {
        for (one, infinity) in [(0.1, 0.2), (0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 16.0)] {
            for answers in [Answers::Closed(2), Answers::Closed(7), Answers::Closed(1000), Answers::Open] {
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
        for answers in [Answers::Closed(5), Answers::Closed(500), Answers::Open] {
            let one = Params::for_epsilon(2.0, None, answers).unwrap();
            let two = Params::for_epsilon(2.0, Some(3.0), answers).unwrap();
            assert!((one.channel().zero() - two.channel().zero()).abs() < 1e-8);
            assert!((one.channel().one() - two.channel().one()).abs() < 1e-8);
            let ratio = two.excess_variance(answers) / one.excess_variance(answers);
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
    fn defaults_are_near_the_optimum_and_the_classic_ones_are_not() {
        for epsilon in [0.5, 1.0, 2.0, 4.0] {
            for answers in [Answers::Closed(2), Answers::Closed(20), Answers::Closed(2000), Answers::Open] {
                let excess = Params::for_epsilon(epsilon, None, answers).unwrap().excess_variance(answers);
                assert!((0.999..1.35).contains(&excess), "ε = {epsilon}, {answers:?}: {excess}");
            }
        }
        let classic = Params::rappor(128, 2, 128, 0.5, 0.25, 0.75).unwrap();
        assert!(classic.excess_variance(Answers::Open) > 2.0, "{}", classic.excess_variance(Answers::Open));
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
