//! Upper bounds on sums over binomial laws, by blocks.

use statrs::function::factorial::ln_binomial;

use super::TAIL;

/// Blocks of [`FairCoins`] per standard deviation.
const BLOCKS: f64 = 32.0;

/// The probability of `ones` of `draws` that are one with probability `p`, 0 < p < 1, each.
fn probability(draws: u64, p: f64, ones: u64) -> f64 {
    let zeros = draws - ones;
    (ln_binomial(draws, ones) + ones as f64 * p.ln() + zeros as f64 * (-p).ln_1p()).exp()
}

/// The ratio of the probability of `ones` + 1 to that of `ones`. It falls as `ones` grows.
fn step(draws: u64, p: f64, ones: u64) -> f64 {
    (draws - ones) as f64 / (ones + 1) as f64 * (p / (1.0 - p))
}

/// 1 + ratio + … of `terms` terms.
fn series(ratio: f64, terms: u64) -> f64 {
    let below = ratio - 1.0;
    // Close to 1 the formula would cancel, and the greater of first and last term will do.
    if below.abs() * (terms as f64) < 1e-6 {
        return terms as f64 * ratio.max(1.0).powf(terms as f64);
    }
    (terms as f64 * below.ln_1p()).exp_m1() / below
}

/// At least the probability of `low` to `high` ones, ends included, of `draws`.
pub(super) fn mass(draws: u64, p: f64, low: u64, high: u64) -> f64 {
    probability(draws, p, low) * series(step(draws, p, low), high - low + 1)
}

/// Numbers between which all but twice `tail` of a binomial law lies, `tail` on each side.
///
/// Bernstein's inequality: P(|X − np| ≥ t) ≤ exp(−t²/2(σ² + t/3)) on each side.
pub(super) fn range(draws: u64, p: f64, tail: f64) -> (u64, u64) {
    let (mean, variance, log) = (draws as f64 * p, draws as f64 * p * (1.0 - p), -tail.ln());
    let reach = log / 3.0 + ((log / 3.0).powi(2) + 2.0 * log * variance).sqrt();
    ((mean - reach).max(0.0) as u64, ((mean + reach).ceil() as u64).min(draws))
}

/// The heads of fair coins, in blocks that are narrow against their standard deviation, but for tails of [`TAIL`].
pub(super) struct FairCoins {
    first: f64,
    width: f64,
    /// For each block at least its mass and that times the mean heads, and the same for all blocks from it on.
    blocks: Vec<([f64; 2], [f64; 2])>,
}

impl FairCoins {
    pub(super) fn new(draws: u64) -> Self {
        let (first, last) = range(draws, 0.5, TAIL);
        let width = (((draws as f64).sqrt() / 2.0 / BLOCKS) as u64).max(1);
        let mut blocks: Vec<_> = (first..=last)
            .step_by(width as usize)
            .map(|low| {
                let high = (low + width - 1).min(draws);
                let mass = mass(draws, 0.5, low, high);
                // Where the weights fall, the middle is not below the mean; where they rise, the end is not.
                let falling = step(draws, 0.5, low) <= 1.0;
                let mean = if falling { (low + high) as f64 / 2.0 } else { high as f64 };
                ([mass, mass * mean], [0.0; 2])
            })
            .collect();
        let mut from = [0.0; 2];
        for (block, from_here) in blocks.iter_mut().rev() {
            from = [from[0] + block[0], from[1] + block[1]];
            *from_here = from;
        }
        Self { first: first as f64, width: width as f64, blocks }
    }

    /// At least the mean of (`gain`·X − `base`)₊ of X heads.
    pub(super) fn mean_excess(&self, gain: f64, base: f64) -> f64 {
        let crossing = ((base / gain - self.first) / self.width).floor();
        if crossing < 0.0 {
            return self.from(0, gain, base);
        }
        let crossed = crossing as usize;
        let Some(([mass, _], _)) = self.blocks.get(crossed) else { return 0.0 };
        // Within the block that is crossed the excess is at most that at its end.
        let end = self.first + (crossing + 1.0) * self.width - 1.0;
        mass * (gain * end - base).max(0.0) + self.from(crossed + 1, gain, base)
    }

    /// The mean of `gain`·X − `base` over the blocks from one on.
    fn from(&self, block: usize, gain: f64, base: f64) -> f64 {
        self.blocks.get(block).map_or(0.0, |(_, [mass, heads])| (gain * heads - base * mass).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_keep_their_digits_for_many_draws() {
        // Worked in 50 digits by another program.
        for (draws, p, ones, exact) in EXACT {
            let error = probability(draws, p, ones) / exact - 1.0;
            assert!(error.abs() < 5e-5, "{draws} {p} {ones}: {error}");
        }
    }

    const EXACT: [(u64, f64, u64, f64); 6] = [
        (10, 0.25, 3, 0.250282287597656),
        (1000, 0.5, 560, 1.864277611308209e-5),
        (1_000_000, 0.125, 124_000, 1.238922278872235e-5),
        (1_000_000_000, 0.5, 500_100_000, 5.200563146957047e-14),
        (1_000_000_000, 0.25, 249_900_000, 7.625204434253052e-17),
        (1_000_000_000, 0.0009765625, 976_000, 0.000343525647565170),
    ];

    #[test]
    fn a_block_holds_at_least_its_mass_and_hardly_more() {
        for (draws, p) in [(50, 0.3), (2000, 0.01), (100_000, 0.5)] {
            let (first, last) = range(draws, p, 1e-12);
            let width = ((draws as f64 * p * (1.0 - p)).sqrt() / 4.0) as u64 + 1;
            for low in (first..=last).step_by(width as usize) {
                let high = (low + width - 1).min(draws);
                let exact: f64 = (low..=high).map(|ones| probability(draws, p, ones)).sum();
                let ratio = mass(draws, p, low, high) / exact;
                assert!((1.0 - 1e-9..1.2).contains(&ratio), "{draws} {p} {low}: {ratio}");
            }
            let outside = 1.0 - (first..=last).map(|ones| probability(draws, p, ones)).sum::<f64>();
            assert!(outside < 1e-9, "{outside}");
        }
    }

    #[test]
    fn the_mean_excess_is_at_least_the_exact_one_and_hardly_more() {
        for (draws, gain, base) in [
            (20, 1.5, 16.0),
            (20, 1.5, 0.0),
            (2000, 1.0, 1010.0),
            (100_000, 2.0, 100_800.0),
            (4000, 0.5, 990.0),
        ] {
            let value = |ones: u64| (gain * ones as f64 - base).max(0.0);
            let exact: f64 = (0..=draws).map(|ones| probability(draws, 0.5, ones) * value(ones)).sum();
            let ratio = FairCoins::new(draws).mean_excess(gain, base) / exact;
            assert!((1.0 - 1e-9..1.02).contains(&ratio), "{draws} {gain} {base}: {ratio}");
        }
        assert_eq!(FairCoins::new(20).mean_excess(1.0, 20.0), 0.0);
    }
}
