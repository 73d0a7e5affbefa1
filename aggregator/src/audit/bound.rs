//! Bounds of a probability from a count, and of the ratio of two.

use statrs::distribution::{Beta, ContinuousCDF};

use super::Rate;

/// Bounds that each fail with a chance of at most α.
pub(super) struct Bound {
    alpha: f64,
}

impl Bound {
    pub(super) fn new(alpha: f64) -> Self {
        Self { alpha }
    }

    /// A lower bound of ln(P/Q), at least 0, for the probabilities of an event that came in `likelier` and `rarer`.
    /// Each of the two may fail with half of α.
    pub(super) fn log_ratio(&self, likelier: Rate, rarer: Rate) -> f64 {
        let (low, high) = (lower(likelier, self.alpha / 2.0), upper(rarer, self.alpha / 2.0));
        if low > 0.0 { (low / high).ln().max(0.0) } else { 0.0 }
    }
}

/// The lower bound of Clopper and Pearson: under this probability so many hits or more come with chance α.
fn lower(rate: Rate, alpha: f64) -> f64 {
    match rate.hits {
        0 => 0.0,
        hits => beta(hits, rate.trials - hits + 1).inverse_cdf(alpha),
    }
}

/// The upper bound of Clopper and Pearson.
fn upper(rate: Rate, alpha: f64) -> f64 {
    1.0 - lower(Rate { hits: rate.trials - rate.hits, trials: rate.trials }, alpha)
}

fn beta(a: usize, b: usize) -> Beta {
    Beta::new(a as f64, b as f64).expect("both counts are above 0")
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{Binomial, DiscreteCDF};

    use super::*;

    #[test]
    fn bounds_of_certain_events_are_the_closed_form() {
        // With n hits of n, p^n = α; with none, (1−p)^n = α.
        let all = Rate { hits: 1000, trials: 1000 };
        let none = Rate { hits: 0, trials: 1000 };
        assert!((lower(all, 1e-6) - 1e-6f64.powf(1e-3)).abs() < 1e-12);
        assert!((upper(none, 1e-6) - (1.0 - 1e-6f64.powf(1e-3))).abs() < 1e-12);
        assert_eq!((lower(none, 1e-6), upper(all, 1e-6)), (0.0, 1.0));
    }

    /// The defining property, with the binomial distribution itself.
    #[test]
    fn under_the_bound_the_count_is_just_unlikely_enough() {
        for (hits, trials) in [(1, 1000), (3, 50_000), (70, 1000), (2500, 50_000), (49_999, 50_000)] {
            for alpha in [1e-3, 1e-5, 1e-8] {
                let rate = Rate { hits, trials };
                let at_low = Binomial::new(lower(rate, alpha), trials as u64).unwrap();
                let at_high = Binomial::new(upper(rate, alpha), trials as u64).unwrap();
                for tail in [at_low.sf(hits as u64 - 1), at_high.cdf(hits as u64)] {
                    // Beside a probability of 1 − 10⁻¹³ floats leave three digits.
                    assert!((tail / alpha - 1.0).abs() < 1e-3, "{hits} of {trials}: {tail} for {alpha}");
                }
            }
        }
    }

    #[test]
    fn a_ratio_is_bounded_from_below_and_never_below_zero() {
        let bound = Bound::new(1e-4);
        let rate = |hits| Rate { hits, trials: 10_000 };
        let proved = bound.log_ratio(rate(5000), rate(1000));
        assert!(proved < 5f64.ln() && proved > 1.4, "{proved}");
        assert_eq!(bound.log_ratio(rate(1000), rate(1000)), 0.0);
        assert_eq!(bound.log_ratio(rate(0), rate(0)), 0.0);
    }
}
