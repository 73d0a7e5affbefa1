//! What several reports, values, metrics, epochs and secrets cost together.
//!
//! # Sums
//! Mechanisms with independent coins cost the sum of their ε (Dwork, Roth, *The Algorithmic Foundations of Differential
//! Privacy*, 2014, theorem 3.16). Independent are
//!
//! - reports that are drawn afresh, in one epoch or in several: each costs ε₁;
//! - the permanent responses to different signals, for they are values of a pseudo-random function at different
//!   points: each value that a device has had, with all its reports, costs at most ε∞, and n values n·ε∞;
//! - metrics, and versions of one: the function is another;
//! - secrets: a device that lost its own answers every question anew and pays for each anew.
//!
//! # Reports of one value
//! Reports that share a permanent response have no independent coins, and n of them may cost *more* than n·ε₁.
//! Take one bit, its permanent stage (a, b) and its instantaneous stage (p, q). With Λ the ratio of the likelihoods of all n
//! reports of that bit under a permanent 1 and a permanent 0, the ratio of their likelihoods under the signals is
//!
//! ```text
//! (b·Λ + 1 − b) / (a·Λ + 1 − a)
//! ```
//!
//! and grows with Λ, which lies between ((1−q)/(1−p))ⁿ, reached by n zeros, and (q/p)ⁿ, reached by n ones. So with
//! t = (p/q)ⁿ and s = ((1−q)/(1−p))ⁿ the bit raises and lowers the likelihood at most by
//!
//! ```text
//! (b + (1−b)·t) / (a + (1−a)·t)   and   ((1−a) + a·s) / ((1−b) + b·s)
//! ```
//!
//! which take the places of q/p and (1−p)/(1−q) in the ε of one report (see the [module head](super)). For the direct encoding
//! the likelihoods are a·Σ Rᶜ + (b−a)·Rᵛ, c running over how often each of k values was reported, v how often the true one, and
//! R = q/p. Their ratio is greatest if all n reports name the true value, and is then the first of the two, since
//! b + (k−1)·a = 1. With n it grows from e^ε₁ to e^ε∞.
//!
//! # What a sum does not cover
//! That a value changed. A sum bounds what is learnt of *which* values a device had, when another history would have
//! changed at the same times. From many reports of a memoized metric one sees when the permanent response became another
//! one, as Ding, Kulkarni and Yekhanin (*Collecting Telemetry Data Privately*, 2017) point out of every memoization; no
//! number of ε∞ bounds that. Reports drawn afresh do not have this leak: n·ε₁ covers every other history.

use core::iter::Sum;

use super::{Epsilon, log_ratio_up, over_bits, scale_up};
use crate::params::{Encoding, Params, Response};
use crate::probability::Probability;

/// More than the relative error of the few steps of arithmetic in [`likelihood_up`].
const OUTWARD: f64 = 1.0 + 8.0 * f64::EPSILON;

impl Epsilon {
    /// Nothing was said.
    pub const ZERO: Self = Self(0.0);

    /// A loss that was computed and stored before.
    pub(crate) const fn stored(loss: f64) -> Self {
        Self(loss)
    }

    /// The loss of two mechanisms with independent coins, rounded up.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (some, Self::ZERO) | (Self::ZERO, some) => some,
            (Self(a), Self(b)) => Self((a + b).next_up()),
        }
    }

    /// The loss of `count` mechanisms with independent coins that cost this much each, rounded up.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        if count == 0 { Self::ZERO } else { Self(scale_up(self.0, count)) }
    }
}

impl Sum for Epsilon {
    fn sum<I: Iterator<Item = Self>>(losses: I) -> Self {
        losses.fold(Self::ZERO, Self::plus)
    }
}

impl Params {
    /// What `reports` reports of one value of one device cost: nothing, ε₁, and then more with each, up to ε∞.
    /// Without a permanent stage each costs ε₁.
    ///
    /// The reports of a memoized value may cost more than so many ε₁, because they share their permanent response. This is
    /// the exact loss: with a permanent stage (a, b) and an instantaneous stage (p, q), n reports cost what one report
    /// would of a single stage whose q/p is (b + (1−b)·t)/(a + (1−a)·t), t = (p/q)ⁿ, and whose (1−p)/(1−q) is likewise
    /// ((1−a) + a·s)/((1−b) + b·s), s = ((1−q)/(1−p))ⁿ.
    ///
    /// ```
    /// use deniable::Params;
    /// let params = Params::rappor(128, 2, 64, 0.5, 0.25, 0.75)?;
    /// let costs = [0, 1, 2, 1000].map(|reports| format!("{:.2}", params.epsilon_of_reports(reports)));
    /// assert_eq!(costs, ["0.00", "2.05", "3.39", "4.40"]);
    /// # Ok::<(), deniable::ParamsError>(())
    /// ```
    pub fn epsilon_of_reports(&self, reports: u64) -> Epsilon {
        match (self.permanent(), self.instantaneous(), reports) {
            (_, _, 0) => Epsilon::ZERO,
            (_, _, 1) => self.epsilon_one(),
            (None, _, _) => self.epsilon_one().times(reports),
            (Some(_), None, _) => self.epsilon_infinity(),
            (Some(permanent), Some(report), _) => {
                let loss = self.epsilon_of_memoized(permanent, report, reports);
                if loss < self.epsilon_infinity() { loss } else { self.epsilon_infinity() }
            }
        }
    }

    fn epsilon_of_memoized(&self, permanent: Response, report: Response, reports: u64) -> Epsilon {
        let (a, b) = (permanent.zero(), permanent.one());
        let (p, q) = (report.zero(), report.one());
        let rise = |x: Probability, y: Probability| log_ratio_up(x.numerator().into(), y.numerator().into());
        let raise = likelihood_up(b, a, rise(q, p), reports);
        if self.encoding() == Encoding::Direct {
            return Epsilon(raise);
        }
        let clear =
            likelihood_up(a.complement(), b.complement(), rise(p.complement(), q.complement()), reports);
        over_bits(raise, clear, self.bits(), self.hashes())
    }

    /// What the reports of one device for one metric version cost under one secret, given how many reports each of its
    /// values has had; at most ε∞ for each value that has had any.
    ///
    /// Values with one signal are one value here. Add up the costs of metrics, of versions and of secrets.
    ///
    /// # Privacy
    /// It bounds what is learnt of which values the device had, not of when one followed on another: reports of a memoized
    /// metric show that its permanent response changed. Without a permanent stage it bounds both.
    pub fn epsilon_of_values(&self, reports_of_each: impl IntoIterator<Item = u64>) -> Epsilon {
        reports_of_each.into_iter().map(|reports| self.epsilon_of_reports(reports)).sum()
    }
}

/// ln((b + (1−b)·t)/(a + (1−a)·t)) for t = e^(−reports·rise) and a < b, rounded up.
fn likelihood_up(b: Probability, a: Probability, rise: f64, reports: u64) -> f64 {
    let (a, b) = (a.as_f64(), b.as_f64());
    // It falls as t grows, so t is rounded down.
    let t = libm::exp(-scale_up(rise, reports)).next_down().next_down().max(0.0);
    let ratio = (b + (1.0 - b) * t) / (a + (1.0 - a) * t) * OUTWARD;
    libm::log(ratio).next_up().next_up().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Answers;

    fn stage(zero: f64, one: f64) -> Option<Response> {
        Some(Response::nearest(zero, one).unwrap())
    }

    fn is(epsilon: Epsilon, exact: f64) -> bool {
        (exact..exact + 1e-12).contains(&epsilon.get())
    }

    #[test]
    fn sums_are_never_below_the_exact_ones() {
        let tenth = Epsilon(0.1);
        assert_eq!(tenth.plus(Epsilon::ZERO), tenth);
        assert_eq!((tenth.times(0), tenth.times(1)), (Epsilon::ZERO, tenth));
        // The doubles 0.1 and 0.2 add up to 0.3000000000000000166, which is not a double.
        assert_eq!(tenth.plus(Epsilon(0.2)).get(), (0.1 + 0.2_f64).next_up());
        assert!(tenth.times(10).get() > 1.0);
        assert!(tenth.times(u64::MAX).get() > 1.8e18);
        let sum: Epsilon = [tenth; 10].into_iter().sum();
        assert!(sum.get() > 1.0 && sum.get() < 1.0 + 1e-14);
        assert!(!tenth.plus(Epsilon::UNBOUNDED).is_bounded());
        assert_eq!(Epsilon::UNBOUNDED.times(0), Epsilon::ZERO);
    }

    #[test]
    fn several_reports_of_a_value_cost_what_was_worked_by_hand() {
        // f = 1/2, p = 1/4, q = 3/4, h = 2. Three reports: t = 1/27, so (3/4 + 1/108)/(1/4 + 3/108) = 41/15
        // on each side of each bit.
        let classic = Params::rappor(128, 2, 64, 0.5, 0.25, 0.75).unwrap();
        assert!(is(classic.epsilon_of_reports(3), 4.0 * libm::log(41.0 / 15.0) - 1e-14));
        // Two: t = 1/9, (3/4 + 1/36)/(1/4 + 3/36) = 7/3.
        assert!(is(classic.epsilon_of_reports(2), 4.0 * libm::log(7.0 / 3.0) - 1e-14));
    }

    /// Likelihoods of all 3ⁿ sequences of reports, summed over the permanent responses.
    #[test]
    fn direct_reports_cost_what_enumeration_finds() {
        let params = Params::new(Encoding::Direct, 3, 1, 1, stage(0.0625, 0.875), stage(0.25, 0.5)).unwrap();
        let likelihood = |value: usize, reports: &[usize]| -> f64 {
            let given = |memo: usize| -> f64 {
                reports.iter().map(|&report| if report == memo { 0.5 } else { 0.25 }).product()
            };
            (0..3).map(|memo| if memo == value { 0.875 } else { 0.0625 } * given(memo)).sum()
        };
        for n in 1..=5 {
            let mut worst = 0.0f64;
            for code in 0..3usize.pow(n) {
                let reports: std::vec::Vec<_> = (0..n).map(|i| code / 3usize.pow(i) % 3).collect();
                worst = worst.max(libm::log(likelihood(0, &reports) / likelihood(1, &reports)));
            }
            let loss = params.epsilon_of_reports(n.into());
            assert!(is(loss, worst - 1e-14), "{n}: {loss} against {worst}");
        }
    }

    /// One bit whose reports share their permanent response: a bound of n·ε₁ would be wrong.
    #[test]
    fn a_shared_permanent_response_can_cost_more_than_the_sum() {
        let params =
            Params::new(Encoding::Unary, 1, 1, 1, stage(1.0 / 64.0, 0.5), stage(0.4375, 0.5625)).unwrap();
        // Ten ones: t = (7/9)¹⁰; worked in 30 digits.
        assert!(is(params.epsilon_of_reports(10), 1.734_718_790_743_107_8 - 1e-14));
        assert!(params.epsilon_of_reports(10) > params.epsilon_one().times(10));
    }

    #[test]
    fn the_cost_grows_from_one_report_to_all_of_them() {
        for answers in [Answers::Closed(2), Answers::Closed(7), Answers::Closed(100), Answers::Open] {
            let params = Params::for_epsilon(1.0, Some(3.0), answers).unwrap();
            let costs: std::vec::Vec<_> = [0, 1, 2, 3, 10, 100, 10_000, u64::MAX]
                .iter()
                .map(|&n| params.epsilon_of_reports(n))
                .collect();
            assert!(costs.is_sorted(), "{costs:?}");
            assert_eq!((costs[0], costs[1]), (Epsilon::ZERO, params.epsilon_one()));
            assert!(costs[2] > costs[1] && costs[7].get() > params.epsilon_infinity().get() - 1e-12);
            assert!(costs[7] <= params.epsilon_infinity());
        }
    }

    #[test]
    fn values_secrets_and_metrics_add_up() {
        let memoized = Params::for_epsilon(1.0, Some(2.0), Answers::Open).unwrap();
        let fresh = Params::for_epsilon(1.0, None, Answers::Closed(4)).unwrap();
        // Three values, of which one was never reported, and many reports of the others.
        let history = memoized.epsilon_of_values([1_000_000, 0, 1_000_000]);
        assert!((history.get() - 2.0 * memoized.epsilon_infinity().get()).abs() < 1e-9);
        // Reports drawn afresh in 52 epochs, whatever their values.
        assert!((fresh.epsilon_of_values([50, 2]).get() - 52.0 * fresh.epsilon_one().get()).abs() < 1e-9);
        // The device lost its secret and met one of its values again.
        let device: Epsilon =
            [history, memoized.epsilon_of_values([1]), fresh.epsilon_of_reports(1)].into_iter().sum();
        assert!(device.get() > history.get() + 1.99 && device.get() < history.get() + 2.0 + 1e-9);
    }

    #[test]
    fn one_stage_alone_costs_the_same_for_ever_or_each_time() {
        let permanent = Params::new(Encoding::Bloom, 16, 1, 4, stage(0.25, 0.75), None).unwrap();
        assert_eq!(permanent.epsilon_of_reports(50), permanent.epsilon_infinity());
        let fresh = Params::new(Encoding::Bloom, 16, 1, 4, None, stage(0.25, 0.75)).unwrap();
        assert_eq!(fresh.epsilon_of_reports(50), fresh.epsilon_one().times(50));
    }
}
