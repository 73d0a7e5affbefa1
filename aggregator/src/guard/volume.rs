//! Guards the volume of a source: reports of an epoch against those of its own past epochs.
//!
//! How many devices report is no matter of chance, so no law bounds it. The guard compares the logarithm of an epoch's
//! reports with the median of the past ones, in units of their median absolute deviation (MAD): a source that varies much may
//! vary much, and a few past outliers move neither. If the logarithms of honest volumes were independent draws of one
//! normal law, the ratio would exceed the quantile of Student's t with n/3 degrees of freedom, for a history of n, with a
//! probability of at most [`SURGE_RATE`]; that was found by simulation (a million histories of each n from 8 to 56), and a test
//! repeats it. Where volumes grow, or have seasons longer than the history, it may alarm more often: it asks for a
//! look, and proves nothing.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// How often an epoch of an honest source alarms at most, if its volumes are log-normal and independent.
pub const SURGE_RATE: f64 = 1e-3;
/// The fewest past epochs that can be compared with.
pub(super) const MIN_HISTORY: usize = 8;
/// The past epochs that are compared with: eight weeks of days.
pub(super) const MAX_HISTORY: usize = 56;
/// Below this, an epoch's reports move no figure, and vary by the chance of who reports.
const MIN_REPORTS: u64 = 100;
/// No alarm below this many times the median: a steady source should not alarm at a little more.
const MIN_FACTOR: f64 = 2.0;
/// The standard deviations of a normal law in its MAD.
const PER_MAD: f64 = 1.4826;

/// How many times the median of the `past` epochs, oldest first, the reports of an epoch are, and up to how many are usual;
/// `None` if they cannot be compared.
pub(super) fn surge(past: &[u64], reports: u64) -> Option<(f64, f64)> {
    let past = &past[past.len().saturating_sub(MAX_HISTORY)..];
    if past.len() < MIN_HISTORY || reports < MIN_REPORTS {
        return None;
    }
    let logs: Vec<f64> = past.iter().map(|reports| (*reports).max(1) as f64).map(f64::ln).collect();
    let middle = median(logs.clone());
    let deviation = PER_MAD * median(logs.iter().map(|log| (log - middle).abs()).collect());
    let law = StudentsT::new(0.0, 1.0, past.len() as f64 / 3.0).expect("the degrees of freedom are positive");
    let limit = (law.inverse_cdf(1.0 - SURGE_RATE) * deviation).exp().max(MIN_FACTOR);
    Some((reports as f64 / middle.exp(), limit))
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    let upper = numbers.len() / 2;
    let lower = numbers.len().div_ceil(2) - 1;
    f64::midpoint(numbers[lower], numbers[upper])
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;
    use rand_distr::{Distribution, LogNormal};

    use super::*;

    fn alarms(past: &[u64], reports: u64) -> bool {
        surge(past, reports).is_some_and(|(value, limit)| value > limit)
    }

    /// Of 20,000 epochs of each history 20 alarm, plus 4·√20 by chance (a false-alarm rate below 10⁻³). The volumes
    /// vary so much that the least factor plays no part.
    #[test]
    fn honest_sources_alarm_no_more_often_than_stated() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let volumes = LogNormal::new(12.0, 0.8).unwrap();
        for history in [8, 9, 14, 28, 56] {
            let mut found = 0;
            for _ in 0..20_000 {
                let past: Vec<u64> = (0..history).map(|_| volumes.sample(&mut rng) as u64).collect();
                found += usize::from(alarms(&past, volumes.sample(&mut rng) as u64));
            }
            assert!(found <= 20 + 18, "{found} with a history of {history}");
        }
    }

    #[test]
    fn tenfold_volume_alarms_and_a_past_surge_does_not_hide_it() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let volumes = LogNormal::new(8.0, 0.1).unwrap();
        let mut past: Vec<u64> = (0..60).map(|_| volumes.sample(&mut rng) as u64).collect();
        assert!(!alarms(&past, 3000) && !alarms(&past, 10) && alarms(&past, 30_000));
        past[15..18].fill(30_000);
        assert!(alarms(&past, 30_000));
        // Only the newest epochs count.
        past.splice(0..0, [100_000_000; 100]);
        assert!(alarms(&past, 30_000));
    }

    #[test]
    fn without_history_or_with_few_reports_there_is_nothing_to_compare() {
        assert_eq!(surge(&[1000; MIN_HISTORY - 1], 100_000), None);
        assert_eq!(surge(&[1; 20], MIN_REPORTS - 1), None);
        assert_eq!(surge(&[1000; MIN_HISTORY], 2000), Some((2000.0 / 1000f64.ln().exp(), MIN_FACTOR)));
        assert!(surge(&[0; 20], 100).is_some_and(|(value, _)| (value - 100.0).abs() < 1e-9));
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-12);
    }
}
