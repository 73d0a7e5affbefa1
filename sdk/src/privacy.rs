//! Privacy loss, computed from the exact probabilities and rounded up.
//!
//! A mechanism is ε-locally private if no report is more than e^ε times likelier under one value than under
//! another (Duchi, Jordan, Wainwright 2013, definition 1). Here every mechanism reports k bits.
//!
//! # Unary and Bloom
//! Given the signal the bits are independent, 1 with probability p where the signal is 0 and q where it is 1,
//! p < q (Erlingsson, Pihur, Korolova 2014, section 3). Two values whose signals have the ones A and B give a
//! report y the likelihood ratio
//!
//! ```text
//! Π over A∖B of P(y_j | 1)/P(y_j | 0)  ·  Π over B∖A of P(y_j | 0)/P(y_j | 1)
//! ```
//!
//! A factor of the first product is at most q/p (where y_j = 1) and one of the second at most (1−p)/(1−q)
//! (where y_j = 0), and a report reaches all of these at once. So with a = |A∖B| and b = |B∖A|
//!
//! ```text
//! ε = max over (a, b) of  a·ln(q/p) + b·ln((1−p)/(1−q)),   a ≤ h,  b ≤ h,  a + b ≤ k
//! ```
//!
//! which for k ≥ 2h is the h·ln(q(1−p)/(p(1−q))) of the RAPPOR paper (equation 6, and theorem 1 for ε∞).
//! The maximum counts every pair of signals of at most h ones, so it holds whatever the values hash to, and for
//! a signal with no ones as well. The cohort is drawn without looking at the value and reveals nothing of it.
//!
//! # Direct
//! Exactly one of k bits is set: the true one with probability q, each other with probability p, q + (k−1)p = 1.
//! The likelihood ratio is at most q/p, so ε = ln(q/p) (Kairouz, Bonawitz, Ramage 2016, section 3).
//!
//! # Two stages
//! Through both stages a bit is reported 1 with p* = p(1−a) + qa where the signal is 0 and q* = p(1−b) + qb
//! where it is 1, for a permanent stage (a, b) and an instantaneous stage (p, q). One report therefore costs
//! the ε of (p*, q*), called ε₁. Any number of reports of one value reveal at most the memoized permanent
//! response, by post-processing, so for ever they cost the ε of (a, b), called ε∞. What a number of reports costs
//! between the two, and what several values, metrics, epochs and secrets cost together, is derived with
//! [`Params::epsilon_of_reports`](crate::Params::epsilon_of_reports).
//!
//! # Precision
//! p* and q* are exact multiples of 2⁻⁶⁴. Each later step of floating arithmetic is rounded away from zero by at least
//! its own error, so the printed ε is never below the true one; it exceeds it by less than 10⁻¹³·(1 + ε).

mod composition;

use core::fmt;

use serde::{Serialize, Serializer};

use crate::params::{Encoding, Response};

/// A privacy loss ε ≥ 0, rounded up; infinite where there is no bound.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Epsilon(f64);

impl Epsilon {
    /// No bound at all.
    pub const UNBOUNDED: Self = Self(f64::INFINITY);

    /// The loss in nats.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Says whether there is a bound.
    pub const fn is_bounded(self) -> bool {
        self.0.is_finite()
    }
}

impl fmt::Display for Epsilon {
    /// Prints as many decimals as asked, rounded up in the last one; three if nothing is asked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_bounded() {
            return f.write_str("unbounded");
        }
        let decimals = f.precision().unwrap_or(3).min(9);
        let scale = libm::pow(10.0, decimals as f64);
        write!(f, "{:.decimals$}", libm::ceil(self.0 * scale) / scale)
    }
}

impl Serialize for Epsilon {
    /// A number, or null where there is no bound.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.is_bounded().then_some(self.0).serialize(serializer)
    }
}

/// What a report says of a signal bit through all stages: p* = P(1 | 0) and q* = P(1 | 1), as exact multiples of 2⁻⁶⁴.
///
/// This is all a decoder needs to know of the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    zero: u128,
    one: u128,
}

/// The number of steps between 0 and 1 in a [`Channel`].
const STEPS: u128 = 1 << 64;

impl Channel {
    /// The channel of one stage.
    pub const fn of(stage: Response) -> Self {
        Self { zero: (stage.zero().numerator() as u128) << 32, one: (stage.one().numerator() as u128) << 32 }
    }

    /// The channel of a permanent stage followed by an instantaneous one.
    pub const fn chained(permanent: Response, instantaneous: Response) -> Self {
        Self {
            zero: through(instantaneous, permanent.zero().numerator()),
            one: through(instantaneous, permanent.one().numerator()),
        }
    }

    /// p*, the probability of a reported 1 where the signal is 0.
    pub const fn zero(self) -> f64 {
        nearest(self.zero) / STEPS as f64
    }

    /// q*, the probability of a reported 1 where the signal is 1.
    pub const fn one(self) -> f64 {
        nearest(self.one) / STEPS as f64
    }

    /// q* − p*, the share of a signal bit that reaches the report.
    pub const fn gain(self) -> f64 {
        nearest(self.one - self.zero) / STEPS as f64
    }

    /// The privacy loss of one pass, for signals of at most `hashes` ones among `bits`.
    pub(crate) fn epsilon(self, encoding: Encoding, bits: usize, hashes: usize) -> Epsilon {
        let raise = log_ratio_up(self.one, self.zero);
        if encoding == Encoding::Direct {
            return Epsilon(raise);
        }
        let clear = log_ratio_up(STEPS - self.zero, STEPS - self.one);
        over_bits(raise, clear, bits, hashes)
    }
}

/// The loss of signals of at most `hashes` ones among `bits`, each of whose bits costs `raise` where it appears and
/// `clear` where it vanishes.
fn over_bits(raise: f64, clear: f64, bits: usize, hashes: usize) -> Epsilon {
    let most = hashes.min(bits);
    let rest = (bits - most).min(most);
    let (larger, smaller) = if raise > clear { (raise, clear) } else { (clear, raise) };
    let loss = scale_up(larger, most as u64);
    Epsilon(if rest == 0 { loss } else { (loss + scale_up(smaller, rest as u64)).next_up() })
}

/// P(reported 1) = p(1 − x) + qx for a permanent bit that is 1 with probability x, in steps of 2⁻⁶⁴.
const fn through(stage: Response, x: u64) -> u128 {
    stage.zero().numerator() as u128 * ((1 << 32) - x) as u128 + stage.one().numerator() as u128 * x as u128
}

/// The double nearest to a number of steps: the sum of two that are exact. A page would download more for 128 bits.
const fn nearest(steps: u128) -> f64 {
    (steps >> 32) as u64 as f64 * (1u64 << 32) as f64 + steps as u32 as f64
}

/// ln(a/b), rounded up. Infinite if `b` is 0.
fn log_ratio_up(a: u128, b: u128) -> f64 {
    if b == 0 {
        return f64::INFINITY;
    }
    // The conversions and the division err by at most half a unit in the last place each, and `b` is
    // rounded down, so two steps up bound the quotient. `libm::log` errs by less than one unit.
    let quotient = (nearest(a).next_up() / nearest(b).next_down()).next_up();
    libm::log(quotient).next_up().next_up().max(0.0)
}

/// `x · n`, rounded up, for n of at least 1.
fn scale_up(x: f64, n: u64) -> f64 {
    let count = n as f64;
    let count = if count as u64 >= n { count } else { count.next_up() };
    if n == 1 { x } else { (x * count).next_up() }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::Params;

    fn response(zero: f64, one: f64) -> Response {
        Response::nearest(zero, one).unwrap()
    }

    #[test]
    fn classic_parameters_cost_what_the_paper_says() {
        // f = 1/2, p = 1/4, q = 3/4, h = 2: p* = 3/8, q* = 5/8, ε₁ = 2·ln(25/9), ε∞ = 4·ln 3.
        let params = Params::rappor(128, 2, 64, 0.5, 0.25, 0.75).unwrap();
        assert!((params.epsilon_one().get() - 2.043_302_495_063_963).abs() < 1e-12);
        assert!((params.epsilon_infinity().get() - 4.394_449_154_672_439).abs() < 1e-12);
        assert_eq!((params.channel().zero(), params.channel().one()), (0.375, 0.625));
    }

    #[test]
    fn steps_become_the_nearest_double() {
        let halfway = (1u128 << 63) + (1 << 10);
        for steps in
            [0, 1, (1 << 32) - 1, 1 << 53, (1 << 53) + 1, halfway - 1, halfway, halfway + 1, STEPS - 1, STEPS]
        {
            assert_eq!(nearest(steps), steps as f64, "{steps}");
        }
    }

    #[test]
    fn the_loss_is_never_below_the_exact_one() {
        // ln 3 to 25 digits is 1.098612288668109691395245; the nearest double is below it.
        let params = Params::new(Encoding::Direct, 2, 1, 1, None, Some(response(0.25, 0.75))).unwrap();
        let loss = params.epsilon_one().get();
        assert!(loss > 1.098_612_288_668_109_6, "{loss}");
        assert!(loss < 1.098_612_288_668_111, "{loss}");
    }

    #[test]
    fn a_single_bit_costs_its_worse_side_alone() {
        // One yes/no bit can only appear or vanish: ln(q/p) = ln 6 against ln((1−p)/(1−q)) = ln(9/4).
        let params = Params::new(Encoding::Unary, 1, 1, 1, None, Some(response(0.1, 0.6))).unwrap();
        assert!((params.epsilon_one().get() - libm::log(6.0)).abs() < 1e-8);
    }

    #[test]
    fn without_a_permanent_stage_nothing_bounds_repeated_reports() {
        let params = Params::new(Encoding::Unary, 4, 1, 1, None, Some(response(0.25, 0.5))).unwrap();
        assert!(!params.epsilon_infinity().is_bounded());
        assert_eq!(params.epsilon_infinity().to_string(), "unbounded");
    }

    #[test]
    fn printing_rounds_up() {
        assert_eq!(Epsilon(1.0001).to_string(), "1.001");
        assert_eq!(std::format!("{:.1}", Epsilon(2.01)), "2.1");
    }
}
