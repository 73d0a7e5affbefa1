//! Non-negative weighted least squares and its LASSO path, by coordinate descent on the sparse design.
//!
//! Minimises ½ Σ w (y − Xβ)² + λ Σ s⁻¹β over β ≥ 0, where s is the standard error that a candidate would have alone, so
//! that λ counts standard errors. The background's coefficient is free. λ = 0 is non-negative least squares.
//! A full pass over all candidates finds those that the optimum may need (the sequential strong rule of
//! Tibshirani et al. 2012), sweeps over these alone bring them to rest, and another full pass checks the
//! conditions of Karush, Kuhn and Tucker for the rest.

use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

use super::{DecodeError, Design};

/// A coordinate is at rest when it moves by less than this part of its standard error.
const REST: f64 = 1e-2;
/// Sweeps after which a fit is given up.
const MAX_SWEEPS: usize = 20_000;
/// Each step of the path lowers the penalty to this part of the one before.
const STEP: f64 = 0.9;

/// The candidates with a positive share in the non-negative fit, and these shares.
///
/// # Errors
/// [`DecodeError::NotConverged`] if the coordinates do not come to rest.
pub(super) fn nonnegative(
    design: &Design,
    background: &[f64],
    shares: &[f64],
    weights: &[f64],
) -> Result<Vec<(usize, f64)>, DecodeError> {
    let mut descent = Descent::new(design, background, shares, weights);
    descent.settle(0.0, f64::INFINITY)?;
    Ok(descent.support().into_iter().map(|column| (column, descent.coefficients[column])).collect())
}

/// The candidates with a positive share where the path ends: at the penalty below which chance alone would let in
/// more than `false_rate` of them, or where they become `limit` many.
///
/// # Errors
/// As [`nonnegative`].
pub(super) fn lasso(
    design: &Design,
    background: &[f64],
    shares: &[f64],
    weights: &[f64],
    (false_rate, limit): (f64, usize),
) -> Result<Vec<usize>, DecodeError> {
    let mut descent = Descent::new(design, background, shares, weights);
    let mut before = descent.largest_gradient();
    let mut support = Vec::new();
    loop {
        let penalty = before * STEP;
        descent.settle(penalty, before)?;
        let next = descent.support();
        let by_chance = design.columns() as f64 * Normal::standard().sf(penalty);
        if next.len() > limit || by_chance > false_rate * next.len().max(1) as f64 {
            return Ok(support);
        }
        (support, before) = (next, penalty);
    }
}

struct Descent<'a> {
    design: &'a Design,
    background: &'a [f64],
    weights: &'a [f64],
    /// w·(y − Xβ).
    weighted: Vec<f64>,
    /// xᵀWx of each candidate, one over its variance alone.
    curvatures: Vec<f64>,
    background_curvature: f64,
    coefficients: Vec<f64>,
}

impl<'a> Descent<'a> {
    fn new(design: &'a Design, background: &'a [f64], shares: &[f64], weights: &'a [f64]) -> Self {
        let curvature = |column| {
            design.column(column).iter().map(|&row| weights[row as usize]).sum::<f64>().max(f64::MIN_POSITIVE)
        };
        let curvatures = (0..design.columns()).into_par_iter().map(curvature).collect();
        let background_curvature =
            weights.iter().zip(background.iter().cycle()).map(|(w, b)| w * b * b).sum();
        let weighted = shares.iter().zip(weights).map(|(share, weight)| share * weight).collect();
        let coefficients = vec![0.0; design.columns()];
        let mut descent =
            Self { design, background, weights, weighted, curvatures, background_curvature, coefficients };
        descent.move_background();
        descent
    }

    fn support(&self) -> Vec<usize> {
        (0..self.coefficients.len()).filter(|&column| self.coefficients[column] > 0.0).collect()
    }

    /// How far the fit would like to raise a candidate, in standard errors.
    fn gradient(&self, column: usize) -> f64 {
        let rows = self.design.column(column).iter();
        rows.map(|&row| self.weighted[row as usize]).sum::<f64>() / self.curvatures[column].sqrt()
    }

    fn largest_gradient(&self) -> f64 {
        (0..self.design.columns())
            .into_par_iter()
            .map(|column| self.gradient(column))
            .reduce(|| 0.0, f64::max)
    }

    /// The candidates that are in the fit or whose gradient exceeds `above`.
    fn wanted(&self, above: f64) -> Vec<usize> {
        let wanted = |column: &usize| self.coefficients[*column] > 0.0 || self.gradient(*column) > above;
        (0..self.design.columns()).into_par_iter().filter(wanted).collect()
    }

    /// Brings all coordinates to rest under `penalty`, given that they rest under the penalty `before`.
    fn settle(&mut self, penalty: f64, before: f64) -> Result<(), DecodeError> {
        let mut sweeps = 0;
        let mut active = self.wanted((2.0 * penalty - before).max(penalty / 2.0));
        loop {
            loop {
                let moved = self.sweep(&active, penalty);
                sweeps += 1;
                if moved < REST {
                    break;
                }
                if sweeps > MAX_SWEEPS {
                    let least = self.curvatures.iter().copied().fold(f64::INFINITY, f64::min);
                    return Err(DecodeError::NotConverged { iterations: sweeps, gap: moved / least.sqrt() });
                }
            }
            let next = self.wanted(penalty + REST);
            if next.iter().all(|column| self.coefficients[*column] > 0.0) {
                return Ok(());
            }
            active = next;
        }
    }

    /// Moves each of `columns` to its best place; returns the largest move in standard errors.
    fn sweep(&mut self, columns: &[usize], penalty: f64) -> f64 {
        let mut largest = self.move_background();
        for &column in columns {
            let error = self.curvatures[column].sqrt().recip();
            let old = self.coefficients[column];
            let new = (old + (self.gradient(column) - penalty) * error).max(0.0);
            let step = new - old;
            if step != 0.0 {
                self.coefficients[column] = new;
                for &row in self.design.column(column) {
                    self.weighted[row as usize] -= self.weights[row as usize] * step;
                }
                largest = largest.max(step.abs() / error);
            }
        }
        largest
    }

    fn move_background(&mut self) -> f64 {
        if self.background_curvature == 0.0 {
            return 0.0;
        }
        let background = self.background.iter().cycle();
        let gradient: f64 = self.weighted.iter().zip(background.clone()).map(|(u, b)| u * b).sum();
        let step = gradient / self.background_curvature;
        for ((weighted, weight), rate) in self.weighted.iter_mut().zip(self.weights).zip(background) {
            *weighted -= weight * rate * step;
        }
        step.abs() * self.background_curvature.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use deniable::Params;

    use super::*;
    use crate::decode::Candidates;

    /// Four rows and three overlapping candidates.
    fn design() -> Design {
        let params = Params::rappor(4, 1, 1, 0.5, 0.25, 0.75).unwrap();
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        Design::of_map(&params, Candidates { names, cells: vec![vec![0, 1], vec![1, 2], vec![2, 3]] })
            .unwrap()
    }

    #[test]
    fn a_share_that_would_be_negative_is_left_out() {
        // The unconstrained fit of these shares has b = −0.3; without it a = 0.45 and c = 0.3.
        let support = nonnegative(&design(), &[], &[0.6, 0.3, 0.0, 0.6], &[1.0; 4]).unwrap();
        let [(0, a), (2, c)] = support[..] else { panic!("{support:?}") };
        assert!((a - 0.45).abs() < 1e-9 && (c - 0.3).abs() < 1e-9, "{a} {c}");
        let all = nonnegative(&design(), &[], &[0.5, 0.8, 0.5, 0.2], &[1.0; 4]).unwrap();
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn the_path_lets_in_what_stands_out_and_stops_at_chance() {
        // a is 50 standard errors away from 0, b and c are not one.
        let weights = [1e4; 4];
        let support = lasso(&design(), &[], &[0.36, 0.355, 0.002, 0.0], &weights, (0.1, 3)).unwrap();
        assert_eq!(support, [0]);
        assert!(lasso(&design(), &[], &[0.36, 0.36, 0.36, 0.36], &weights, (0.1, 1)).unwrap().len() <= 1);
    }
}
