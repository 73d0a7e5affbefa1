//! Shares that are plausible together: non-negative, and as near to the truth as the estimates allow.
//!
//! Unbiased estimates of many rare strings scatter about the truth, half of those of absent strings below zero.
//! How the true shares are distributed is learned from all estimates at once, as the maximum-likelihood
//! prior on a grid (Kiefer and Wolfowitz 1956; Koenker and Mizera 2014), and each share is the median of its
//! posterior, which minimises the expected total variation. The prior begins with half of its mass at zero and
//! the rest falling with size, and takes few steps of expectation maximisation where there are few candidates
//! to learn from; without data it therefore says zero.

use std::collections::BTreeMap;

/// Beyond this many standard errors an estimate is taken as it is.
const CLEAR: f64 = 10.0;
/// Points of the prior's grid per standard error.
const STEPS: f64 = 4.0;
/// Points of the prior's grid: a little beyond what is clear.
const POINTS: usize = 52;
/// Estimates are learned from in bins of one part in this many of a standard error.
const BINS: f64 = 20.0;
/// The fewest and the most rounds of learning, and the candidates for each round beyond the fewest.
const ROUNDS: (usize, usize, usize) = (10, 300, 12);

/// The plausible share of each estimate, given as (estimate, standard error). They sum to at most one.
pub(super) fn plausible(estimates: &[(f64, f64)]) -> Vec<f64> {
    let Some(prior) = Prior::learn(estimates) else { return vec![0.0; estimates.len()] };
    let mut shares: Vec<f64> =
        estimates.iter().map(|&(estimate, error)| prior.median(estimate, error)).collect();
    let sum: f64 = shares.iter().sum();
    if sum > 1.0 {
        shares.iter_mut().for_each(|share| *share /= sum);
    }
    shares
}

/// A distribution of true shares over multiples of `unit / STEPS`, from 0.
struct Prior {
    /// A typical standard error.
    unit: f64,
    weights: [f64; POINTS],
}

impl Prior {
    fn learn(estimates: &[(f64, f64)]) -> Option<Self> {
        let mut errors: Vec<f64> = estimates.iter().map(|(_, error)| *error).filter(|e| *e > 0.0).collect();
        if errors.is_empty() {
            return None;
        }
        let middle = errors.len() / 2;
        let unit = *errors.select_nth_unstable_by(middle, f64::total_cmp).1;
        let mut prior = Self { unit, weights: at_first() };
        let bins = prior.binned(estimates);
        let (least, most, each) = ROUNDS;
        for _ in 0..(least + estimates.len() / each).min(most) {
            prior.weights = improved(&prior.weights, &bins);
        }
        Some(prior)
    }

    /// The likelihoods of the grid's points in each bin of alike estimates, and how many estimates it holds.
    fn binned(&self, estimates: &[(f64, f64)]) -> Vec<([f64; POINTS], f64)> {
        let mut bins: BTreeMap<(i64, i64), f64> = BTreeMap::new();
        for (estimate, error) in estimates.iter().map(|(x, e)| (x / self.unit, e / self.unit)) {
            if error > 0.0 && estimate < CLEAR * error {
                // Errors within a tenth of each other share a bin.
                let bin = ((estimate * BINS).round() as i64, (error.ln() * 10.0).round() as i64);
                *bins.entry(bin).or_default() += 1.0;
            }
        }
        let bin = |((x, e), n): ((i64, i64), f64)| (likelihoods(x as f64 / BINS, (e as f64 / 10.0).exp()), n);
        bins.into_iter().map(bin).collect()
    }

    /// The posterior median, between the points of the grid by proportion.
    fn median(&self, estimate: f64, error: f64) -> f64 {
        if error == 0.0 || estimate >= CLEAR * error {
            return estimate.max(0.0);
        }
        let likelihoods = likelihoods(estimate / self.unit, error / self.unit);
        let mass: Vec<f64> = self.weights.iter().zip(likelihoods).map(|(weight, l)| weight * l).collect();
        let mut left = mass.iter().sum::<f64>() / 2.0;
        let mut point = 0;
        while point + 1 < POINTS && mass[point] < left {
            left -= mass[point];
            point += 1;
        }
        match point {
            0 => 0.0,
            _ => (point as f64 - 0.5 + left / mass[point]) / STEPS * self.unit,
        }
    }
}

fn at_first() -> [f64; POINTS] {
    let falling = |point: usize| 1.0 / (point as f64 + 1.0);
    let sum: f64 = (1..POINTS).map(falling).sum();
    std::array::from_fn(|point| if point == 0 { 0.5 } else { 0.5 * falling(point) / sum })
}

fn improved(weights: &[f64; POINTS], bins: &[([f64; POINTS], f64)]) -> [f64; POINTS] {
    let mut next = [0.0; POINTS];
    let mut total = 0.0;
    for (likelihoods, estimates) in bins {
        let density: f64 = likelihoods.iter().zip(weights).map(|(l, weight)| l * weight).sum();
        for ((next, l), weight) in next.iter_mut().zip(likelihoods).zip(weights) {
            *next += estimates * l * weight / density;
        }
        total += estimates;
    }
    if total == 0.0 { *weights } else { next.map(|next| next / total) }
}

/// The normal likelihoods of an estimate at the grid's points, the largest of them 1. Both are in units.
fn likelihoods(estimate: f64, error: f64) -> [f64; POINTS] {
    let exponents: [f64; POINTS] =
        std::array::from_fn(|point| -0.5 * ((estimate - point as f64 / STEPS) / error).powi(2));
    let largest = exponents.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    exponents.map(|exponent| (exponent - largest).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_estimates_stay_and_noise_becomes_zero() {
        let mut estimates = vec![(0.5, 0.01), (0.2, 0.01)];
        estimates.extend((0..200).map(|i| (0.01 * f64::from(i % 21 - 10) / 5.0, 0.01)));
        let shares = plausible(&estimates);
        assert_eq!(&shares[..2], &[0.5, 0.2]);
        assert!(shares[2..].iter().all(|share| *share == 0.0), "{shares:?}");
    }

    #[test]
    fn equal_shares_are_drawn_together() {
        // A hundred strings of 1 % each, seen with an error of 0.4 % that is spread evenly over ±0.7 %.
        let estimates: Vec<_> =
            (0..100).map(|i| (0.01 + 0.007 * (f64::from(i) - 49.5) / 50.0, 0.004)).collect();
        let shares = plausible(&estimates);
        let off =
            |shares: &mut dyn Iterator<Item = f64>| shares.map(|share| (share - 0.01).abs()).sum::<f64>();
        assert!(off(&mut shares.iter().copied()) < 0.3 * off(&mut estimates.iter().map(|(x, _)| *x)));
    }

    #[test]
    fn shares_sum_to_at_most_one() {
        let shares = plausible(&[(0.8, 0.01), (0.7, 0.01), (-0.5, 0.01)]);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(shares[2], 0.0);
    }
}
