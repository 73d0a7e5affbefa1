//! How many ones chance allows among independent coins, with bounds that hold for every number of coins.
//!
//! For S, the ones of independent coins with chances pᵢ, and any λ ≥ 0, Chernoff's bound is
//!
//! ```text
//! P(S ≥ c) ≤ exp(ψ(λ) − λc),   ψ(λ) = Σ ln(1 + pᵢ(e^λ − 1))
//! ```
//!
//! It is least where c = ψ′(λ), and falls as λ grows, so one search over λ finds the c from which on it is below a level.
//! Against the exact tail it gives away a factor of about √(2π)·λσ, some per cent of the distance from the mean at the
//! levels used here. It needs neither a large number nor a normal approximation.

/// Independent coins of one chance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coins {
    /// How many.
    pub(super) count: u64,
    /// The chance of a one, above 0 and below 1.
    pub(super) one: f64,
}

/// The greatest λ that is tried: beyond it the bound moves by less than its rounding.
const MOST_TILT: f64 = 100.0;
/// Halvings of the interval of λ.
const STEPS: usize = 64;

/// A number of ones that is exceeded with a probability of at most `level`.
pub(super) fn most(coins: &[Coins], level: f64) -> u64 {
    let all: u64 = coins.iter().map(|coins| coins.count).sum();
    let (mut low, mut high) = (0.0, MOST_TILT);
    if ln_bound(coins, high) > level.ln() {
        return all;
    }
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if ln_bound(coins, middle) > level.ln() { low = middle } else { high = middle }
    }
    // From the tilted mean on it is too improbable.
    (tilted_mean(coins, high).ceil() as u64).saturating_sub(1).min(all)
}

/// A number of ones that is fallen short of with a probability of at most `level`.
pub(super) fn fewest(coins: &[Coins], level: f64) -> u64 {
    let zeros: Vec<Coins> = coins.iter().map(|coins| Coins { one: 1.0 - coins.one, ..*coins }).collect();
    let all: u64 = coins.iter().map(|coins| coins.count).sum();
    all - most(&zeros, level)
}

/// ψ′(λ).
fn tilted_mean(coins: &[Coins], tilt: f64) -> f64 {
    let mean =
        |coins: &Coins| coins.count as f64 * coins.one / (coins.one + (1.0 - coins.one) * (-tilt).exp());
    coins.iter().map(mean).sum()
}

/// ψ(λ) − λψ′(λ): it falls from 0 as λ grows, since its derivative is −λψ″(λ).
fn ln_bound(coins: &[Coins], tilt: f64) -> f64 {
    let ln_mean = |coins: &Coins| coins.count as f64 * (coins.one * tilt.exp_m1()).ln_1p();
    coins.iter().map(ln_mean).sum::<f64>() - tilt * tilted_mean(coins, tilt)
}

/// The distribution of the ones among a few coins, exactly but for rounding: all its terms are positive.
pub(super) fn distribution(coins: &[Coins]) -> Vec<f64> {
    let all: u64 = coins.iter().map(|coins| coins.count).sum();
    let mut chances = vec![0.0; 1 + all as usize];
    chances[0] = 1.0;
    let each = coins.iter().flat_map(|coins| (0..coins.count).map(|_| coins.one));
    for (tossed, one) in each.enumerate() {
        for ones in (1..=tossed + 1).rev() {
            chances[ones] = chances[ones] * (1.0 - one) + chances[ones - 1] * one;
        }
        chances[0] *= 1.0 - one;
    }
    chances
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [f64; 4] = [1e-2, 1e-4, 1e-6, 1e-9];

    fn cases() -> Vec<Vec<Coins>> {
        let coins = |count, one| Coins { count, one };
        vec![
            vec![coins(1, 0.5)],
            vec![coins(30, 0.5)],
            vec![coins(500, 0.25)],
            vec![coins(2000, 1.0 / 64.0)],
            vec![coins(2, 0.75), coins(126, 0.25)],
            vec![coins(100, 0.999), coins(900, 0.001)],
        ]
    }

    /// Worked out exactly, for every level and on both sides.
    #[test]
    fn the_exact_tail_is_below_the_level_and_not_far_below() {
        for coins in cases() {
            let exact = distribution(&coins);
            assert!((exact.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let mean: f64 = exact.iter().enumerate().map(|(ones, chance)| ones as f64 * chance).sum();
            for level in LEVELS {
                let (low, high) = (fewest(&coins, level) as usize, most(&coins, level) as usize);
                let above: f64 = exact[high + 1..].iter().sum();
                let below: f64 = exact[..low].iter().sum();
                assert!(above <= level && below <= level, "{coins:?} {level}: {above} {below}");
                // The tightest limit that there is lies at least two thirds as far from the mean.
                let mut from_here = exact.iter().rev().scan(0.0, |sum, chance| {
                    *sum += chance;
                    Some(*sum)
                });
                let beyond = from_here.position(|tail| tail > level).unwrap_or_default();
                let tightest = exact.len() - 1 - beyond;
                assert!(tightest <= high);
                assert!(
                    tightest as f64 + 1.0 - mean >= 0.66 * (high as f64 - mean),
                    "{coins:?} {level}: {tightest} {high}"
                );
            }
        }
    }

    #[test]
    fn limits_of_very_many_coins_are_those_of_the_normal_law() {
        let coins = [Coins { count: 1_000_000_000_000, one: 0.25 }];
        let deviation = (1e12f64 * 0.25 * 0.75).sqrt();
        // exp(−z²/2) = level
        let reach = (2.0 * 1e6f64.ln()).sqrt() * deviation;
        for limit in [most(&coins, 1e-6) as f64 - 2.5e11, 2.5e11 - fewest(&coins, 1e-6) as f64] {
            assert!((limit / reach - 1.0).abs() < 1e-3, "{limit} {reach}");
        }
    }

    #[test]
    fn what_is_not_improbable_has_no_limit() {
        let coins = [Coins { count: 8, one: 0.75 }];
        assert_eq!((most(&coins, 1e-6), fewest(&coins, 1e-6)), (8, 0));
        assert_eq!((most(&[], 1e-6), fewest(&[], 1e-6)), (0, 0));
    }
}
