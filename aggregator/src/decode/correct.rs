//! P-values corrected for looking at many candidates.

use super::options::Correction;

/// Corrects `p_values` for a family of `size` tests, at least as many as there are p-values.
pub(super) fn adjusted(p_values: &[f64], size: usize, correction: Correction) -> Vec<f64> {
    let size = size as f64;
    match correction {
        Correction::Bonferroni => p_values.iter().map(|p| (p * size).min(1.0)).collect(),
        Correction::Holm => {
            let ranked = ranked(p_values);
            let steps =
                ranked.iter().enumerate().map(|(rank, &i)| (p_values[i] * (size - rank as f64)).min(1.0));
            placed(&ranked, running(steps, f64::max))
        }
        Correction::BenjaminiHochberg => {
            let mut ranked = ranked(p_values);
            let first = ranked.len();
            ranked.reverse();
            let steps = ranked.iter().enumerate().map(|(i, &at)| p_values[at] * size / (first - i) as f64);
            placed(&ranked, running(steps.map(|p| p.min(1.0)), f64::min))
        }
    }
}

/// The places of the p-values, smallest first.
fn ranked(p_values: &[f64]) -> Vec<usize> {
    let mut ranked: Vec<usize> = (0..p_values.len()).collect();
    ranked.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    ranked
}

/// The largest, or the smallest, of all values so far.
fn running(values: impl Iterator<Item = f64>, choose: fn(f64, f64) -> f64) -> Vec<f64> {
    let mut best = None;
    values.map(|value| *best.insert(best.map_or(value, |best| choose(best, value)))).collect()
}

fn placed(places: &[usize], values: Vec<f64>) -> Vec<f64> {
    let mut result = vec![1.0; places.len()];
    places.iter().zip(values).for_each(|(&place, value)| result[place] = value);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(correction: Correction, expected: [f64; 4]) {
        // Worked by hand for four tests; R's p.adjust agrees.
        let found = adjusted(&[0.01, 0.04, 0.03, 0.005], 4, correction);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{correction:?}: {found} is not {expected}");
        }
    }

    #[test]
    fn bonferroni_multiplies_by_the_size() {
        check(Correction::Bonferroni, [0.04, 0.16, 0.12, 0.02]);
    }

    #[test]
    fn holm_steps_down() {
        check(Correction::Holm, [0.03, 0.06, 0.06, 0.02]);
    }

    #[test]
    fn benjamini_and_hochberg_step_up() {
        check(Correction::BenjaminiHochberg, [0.02, 0.04, 0.04, 0.02]);
    }

    #[test]
    fn tests_that_are_not_listed_count_too() {
        assert_eq!(adjusted(&[0.01], 10, Correction::Holm), [0.1]);
        assert_eq!(adjusted(&[0.2], 10, Correction::Bonferroni), [1.0]);
    }
}
