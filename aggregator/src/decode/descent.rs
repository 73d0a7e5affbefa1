//! Non-negative weighted least squares by coordinate descent on the sparse design.
//!
//! Minimises ½ Σ w (y − Xβ)² over β ≥ 0 with Σβ ≤ 1. The sum is bounded by a common penalty, the multiplier of
//! that constraint, found by bisection. Coordinates move until none moves by a small part of its standard error.

use super::DecodeError;
use super::solve::Model;

/// A coordinate is at rest when it moves by less than this part of its standard error.
const REST: f64 = 1e-4;
/// Sweeps after which the fit is given up.
const MAX_SWEEPS: usize = 20_000;

/// Shares of the model's candidates that are not negative and sum to at most one. The background is free.
///
/// # Errors
/// [`DecodeError::NotConverged`] if the coordinates do not come to rest.
pub(super) fn nonnegative(
    model: &Model<'_>,
    shares: &[f64],
    weights: &[f64],
) -> Result<Vec<f64>, DecodeError> {
    let mut descent = Descent::new(model, shares, weights);
    descent.settle(0.0)?;
    if descent.sum() <= 1.0 {
        return Ok(descent.coefficients);
    }
    let (mut low, mut high) = (0.0, descent.curvatures.iter().fold(0.0, |a: f64, &b| a.max(b)));
    while high - low > 1e-6 * high {
        let penalty = f64::midpoint(low, high);
        descent.settle(penalty)?;
        if descent.sum() > 1.0 { low = penalty } else { high = penalty }
    }
    descent.settle(high)?;
    Ok(descent.coefficients)
}

struct Descent<'a> {
    model: &'a Model<'a>,
    weights: &'a [f64],
    /// w·(y − Xβ).
    weighted: Vec<f64>,
    /// xᵀWx of each candidate.
    curvatures: Vec<f64>,
    background_curvature: f64,
    coefficients: Vec<f64>,
}

impl<'a> Descent<'a> {
    fn new(model: &'a Model<'a>, shares: &[f64], weights: &'a [f64]) -> Self {
        let weighted = shares.iter().zip(weights).map(|(share, weight)| share * weight).collect();
        let curvature =
            |&column: &usize| model.design.column(column).iter().map(|&row| weights[row as usize]).sum();
        let curvatures: Vec<f64> = model.columns.iter().map(curvature).collect();
        let bits = model.background.len().max(1);
        let background_curvature = weights
            .chunks(bits)
            .map(|chunk| chunk.iter().zip(model.background).map(|(w, b)| w * b * b).sum::<f64>())
            .sum();
        let coefficients = vec![0.0; model.columns.len()];
        Self { model, weights, weighted, curvatures, background_curvature, coefficients }
    }

    fn sum(&self) -> f64 {
        self.coefficients.iter().sum()
    }

    /// Moves all coordinates until they rest, then only those above zero, until both rest.
    fn settle(&mut self, penalty: f64) -> Result<(), DecodeError> {
        let all: Vec<usize> = (0..self.coefficients.len()).collect();
        let mut sweeps = 0;
        loop {
            if self.sweep(&all, penalty) < REST {
                return Ok(());
            }
            let active: Vec<usize> = all.iter().copied().filter(|&i| self.coefficients[i] > 0.0).collect();
            let mut moved = f64::INFINITY;
            while moved >= REST {
                moved = self.sweep(&active, penalty);
                sweeps += 1;
                if sweeps > MAX_SWEEPS {
                    let least = self.curvatures.iter().fold(f64::INFINITY, |a, &b| a.min(b));
                    return Err(DecodeError::NotConverged { iterations: sweeps, gap: moved / least.sqrt() });
                }
            }
        }
    }

    /// Moves each of `coordinates` to its best place; returns the largest move in standard errors.
    fn sweep(&mut self, coordinates: &[usize], penalty: f64) -> f64 {
        let mut largest = self.move_background();
        for &i in coordinates {
            let rows = self.model.design.column(self.model.columns[i]);
            let gradient: f64 = rows.iter().map(|&row| self.weighted[row as usize]).sum();
            let old = self.coefficients[i];
            let new = if self.curvatures[i] > 0.0 {
                (old + (gradient - penalty) / self.curvatures[i]).max(0.0)
            } else {
                0.0
            };
            let step = new - old;
            if step != 0.0 {
                self.coefficients[i] = new;
                for &row in rows {
                    self.weighted[row as usize] -= self.weights[row as usize] * step;
                }
                largest = largest.max(step.abs() * self.curvatures[i].sqrt());
            }
        }
        largest
    }

    fn move_background(&mut self) -> f64 {
        let background = self.model.background;
        if background.is_empty() || self.background_curvature == 0.0 {
            return 0.0;
        }
        let chunks = self.weighted.chunks(background.len());
        let gradient: f64 = chunks.map(|u| u.iter().zip(background).map(|(u, b)| u * b).sum::<f64>()).sum();
        let step = gradient / self.background_curvature;
        for (row, weighted) in self.weighted.iter_mut().enumerate() {
            *weighted -= self.weights[row] * background[row % background.len()] * step;
        }
        step.abs() * self.background_curvature.sqrt()
    }
}
