//! Guards the totals of cohorts: each device draws its cohort uniformly, so the reports spread evenly.
//!
//! # The assumption
//! The reports of one epoch are of different devices, as a device answers a metric once an epoch, and so of independent
//! cohorts: given their number N, the totals are multinomial with m equal chances. That is why totals are judged epoch by
//! epoch. Summed over e epochs they would vary up to e times as much, since a device keeps its cohort for ever, and
//! an honest population would alarm.
//!
//! # Two guards
//! *A total*: each nᵢ is Bin(N, 1/m), and all 2m bounds hold together but for the level ([`tail`](super::tail)). It finds
//! a cohort that is stuffed, or starved.
//!
//! *The spread*: the relative entropy N·D = Σ nᵢ ln(nᵢ/(N/m)). For it (Agrawal, *Finite-sample concentration of the
//! multinomial in relative entropy*, IEEE Trans. Inf. Theory 66, 2020, theorem 1.2)
//!
//! ```text
//! P(N·D ≥ t) ≤ e^−t (e·t/(m − 1))^(m − 1)   for t > m − 1
//! ```
//!
//! whatever N is, where χ² with its m − 1 degrees would need N/m to be large. It finds many cohorts that are each a little
//! off, as from clients that draw cohorts wrongly. The proof: in turn, each total given those before is
//! binomial; of a binomial law, E exp(λ·N·D) ≤ 1/(1 − λ) for 0 ≤ λ < 1; N·D is the sum of these by the chain
//! rule; the bound is Chernoff's at λ = 1 − (m − 1)/t.

use super::tail::{Coins, fewest, most};

/// A total beyond what chance allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OddTotal {
    pub(super) cohort: usize,
    pub(super) reports: u64,
    /// The limit that it is beyond.
    pub(super) limit: u64,
}

/// Finds the total that is farthest beyond its limits, if any is.
pub(super) fn odd_total(totals: &[u64], level: f64) -> Option<OddTotal> {
    let (all, m) = (totals.iter().sum::<u64>(), totals.len());
    if m < 2 {
        return None;
    }
    let coins = [Coins { count: all, one: 1.0 / m as f64 }];
    let each = level / (2 * m) as f64;
    let (least, greatest) = (fewest(&coins, each), most(&coins, each));
    let odd = |(cohort, &reports): (usize, &u64)| {
        let limit = reports.clamp(least, greatest);
        (limit != reports).then_some(OddTotal { cohort, reports, limit })
    };
    totals.iter().enumerate().filter_map(odd).max_by_key(|odd| odd.reports.abs_diff(odd.limit))
}

/// The relative entropy of the totals against even ones, in nats times reports, and its limit; `None` if there is
/// only one cohort.
pub(super) fn spread(totals: &[u64], level: f64) -> Option<(f64, f64)> {
    let all: u64 = totals.iter().sum();
    let freedom = totals.len().checked_sub(1).filter(|freedom| *freedom > 0)? as f64;
    let even = all as f64 / totals.len() as f64;
    let part =
        |reports: &u64| if *reports == 0 { 0.0 } else { *reports as f64 * (*reports as f64 / even).ln() };
    Some((totals.iter().map(part).sum(), spread_limit(freedom, level)))
}

/// The t at which the bound is `level`: t − f − f·ln(t/f) = −ln level.
fn spread_limit(freedom: f64, level: f64) -> f64 {
    let excess = |t: f64| t - freedom - freedom * (t / freedom).ln() + level.ln();
    let (mut low, mut high) = (freedom, 2.0 * freedom - 4.0 * level.ln());
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if excess(middle) < 0.0 { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use super::super::tail::distribution;
    use super::*;

    fn draw(rng: &mut ChaCha8Rng, m: usize, reports: usize) -> Vec<u64> {
        let mut totals = vec![0; m];
        (0..reports).for_each(|_| totals[rng.random_range(0..m)] += 1);
        totals
    }

    /// The lemma behind the bound on the spread, by the exact distribution.
    #[test]
    fn the_moments_of_a_binomial_entropy_are_bounded() {
        for count in [1, 2, 3, 7, 30, 200] {
            for one in [0.01, 0.25, 0.5, 0.9] {
                let exact = distribution(&[Coins { count, one }]);
                for tilt in [0.1, 0.5, 0.9, 0.99] {
                    let n = count as f64;
                    let part = |k: f64, p: f64| if k == 0.0 { 0.0 } else { k * (k / (n * p)).ln() };
                    let entropy = |ones: usize| part(ones as f64, one) + part(n - ones as f64, 1.0 - one);
                    // By logarithms, as both factors may be beyond what a number holds.
                    let term = |(ones, chance): (usize, &f64)| (chance.ln() + tilt * entropy(ones)).exp();
                    let moment: f64 = exact.iter().enumerate().map(term).sum();
                    assert!(moment <= 1.0 / (1.0 - tilt), "{count} {one} {tilt}: {moment}");
                }
            }
        }
    }

    #[test]
    fn the_limit_of_the_spread_is_where_the_bound_is_the_level() {
        for (freedom, level) in [(1.0, 1e-2), (3.0, 1e-6), (63.0, 1e-7), (65_535.0, 1e-9)] {
            let t = spread_limit(freedom, level);
            let ln_bound = -t + freedom * (1.0 + (t / freedom).ln());
            assert!(t > freedom && (ln_bound / f64::ln(level) - 1.0).abs() < 1e-6, "{freedom} {level}");
        }
    }

    /// At a level of 1 in 100, of 4000 honest epochs each guard alarms at no more than 40, plus 4·√40 by chance (its
    /// false-alarm rate is below 10⁻⁴).
    #[test]
    fn honest_populations_alarm_no_more_often_than_stated() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut odd, mut uneven) = (0, 0);
        for round in 0..4000 {
            let m = [2, 3, 16, 64][round % 4];
            let totals = draw(&mut rng, m, [1, 10, 100, 1000][round / 4 % 4]);
            odd += usize::from(odd_total(&totals, 0.01).is_some());
            uneven += usize::from(spread(&totals, 0.01).is_some_and(|(value, limit)| value > limit));
        }
        assert!(odd <= 40 + 25 && uneven <= 40 + 25, "{odd} {uneven}");
    }

    #[test]
    fn a_stuffed_and_a_starved_cohort_are_named() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut totals = draw(&mut rng, 16, 16_000);
        assert_eq!(odd_total(&totals, 1e-6), None);
        totals[5] += 300;
        assert!(
            matches!(odd_total(&totals, 1e-6), Some(OddTotal { cohort: 5, reports, limit }) if reports > limit)
        );
        totals[5] -= 300;
        totals[9] -= 300;
        assert!(
            matches!(odd_total(&totals, 1e-6), Some(OddTotal { cohort: 9, reports, limit }) if reports < limit)
        );
    }

    /// Half of the cohorts a tenth over, half a tenth under: no total is odd, but all together are.
    #[test]
    fn many_small_departures_are_noticed_together() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut totals = draw(&mut rng, 64, 64_000);
        let (value, limit) = spread(&totals, 1e-6).unwrap();
        assert!(value < limit);
        totals
            .iter_mut()
            .enumerate()
            .for_each(|(i, total)| if i % 2 == 0 { *total += 100 } else { *total -= 100 });
        assert_eq!(odd_total(&totals, 1e-6), None);
        let (value, limit) = spread(&totals, 1e-6).unwrap();
        assert!(value > limit, "{value} {limit}");
    }

    /// Why epochs are judged one by one: devices that answer in each of thirty epochs are honest and look uneven.
    #[test]
    fn a_sum_over_epochs_would_alarm_where_no_epoch_does() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let epoch = draw(&mut rng, 64, 20_000);
        assert_eq!(odd_total(&epoch, 1e-6), None);
        let sum: Vec<u64> = epoch.iter().map(|total| 30 * total).collect();
        assert!(odd_total(&sum, 1e-6).is_some());
    }
}
