//! A fit whose weights agree with it: known noise at the fitted rates, plus what the noise does not explain.
//!
//! The known noise of a row is r(1 − r), r its rate of ones. Under strong noise r is much the same everywhere; the
//! weaker the noise, the more the rows differ, and the more it is worth to fit once more with what was fitted.
//!
//! Strings that are no candidates put mass on random bits. Their mean is the background's; what is left of
//! them is an excess of the residuals over the known noise, equal on all rows. It is estimated from the
//! weighted residual sum of squares by the method of moments (Paule and Mandel 1982) and added to every
//! row's variance, or the intervals would be too narrow.

use super::solve::{Fit, Model};
use super::{DecodeError, observed::Observed};

/// A fit, its weights, and the variances that they come from.
pub(super) struct Settled<'a> {
    pub(super) model: Model<'a>,
    pub(super) fit: Fit,
    pub(super) weights: Vec<f64>,
    /// Xβ, the expected bit share of each row, in `[0, 1]`.
    pub(super) expected: Vec<f64>,
    /// Variance of each row beyond the known noise.
    pub(super) excess: f64,
}

impl<'a> Settled<'a> {
    /// Fits `observed`, weighs the rows anew by what was fitted, and fits again.
    ///
    /// # Errors
    /// [`DecodeError::RankDeficient`] if the model's columns depend on one another.
    pub(super) fn new(model: Model<'a>, observed: &Observed) -> Result<Self, DecodeError> {
        let mean = observed.mean_share();
        Self::weighted(model, observed, |_| mean, 0.0)?.again(observed)
    }

    /// Fits the same model with weights that agree with what was fitted.
    ///
    /// # Errors
    /// As [`Settled::new`].
    pub(super) fn again(self, observed: &Observed) -> Result<Self, DecodeError> {
        let Self { model, expected, excess, .. } = self;
        Self::weighted(model, observed, |row| expected[row], excess)
    }

    /// Fits another model with the weights that agree with what was fitted here.
    ///
    /// # Errors
    /// As [`Settled::new`].
    pub(super) fn then(&self, model: Model<'a>, observed: &Observed) -> Result<Self, DecodeError> {
        Self::weighted(model, observed, |row| self.expected[row], self.excess)
    }

    fn weighted(
        model: Model<'a>,
        observed: &Observed,
        expected: impl Fn(usize) -> f64,
        extra: f64,
    ) -> Result<Self, DecodeError> {
        let weights = observed.weights(&expected, extra);
        let fit = model.fit(&observed.shares, &weights)?;
        let expected: Vec<f64> =
            observed.shares.iter().zip(&fit.residuals).map(|(y, e)| (y - e).clamp(0.0, 1.0)).collect();
        let known = observed.weights(|row| expected[row], 0.0);
        let freedom = observed.equations().saturating_sub(model.size());
        let excess = excess(&fit.residuals, &known, freedom);
        Ok(Self { model, fit, weights, expected, excess })
    }

    /// The coefficients of the candidates, without the background's.
    pub(super) fn shares(&self) -> &[f64] {
        &self.fit.coefficients.as_slice()[..self.model.columns.len()]
    }
}

/// The variance τ² that makes Σ e² / (v + τ²) equal to its degrees of freedom, or 0 if the known noise v suffices.
fn excess(residuals: &[f64], weights: &[f64], freedom: usize) -> f64 {
    let misfit = |extra: f64| -> f64 {
        let terms = residuals.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
        terms.map(|(residual, weight)| residual * residual / (1.0 / weight + extra)).sum()
    };
    let freedom = freedom as f64;
    if freedom == 0.0 || misfit(0.0) <= freedom {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, residuals.iter().map(|e| e * e).sum::<f64>() / freedom);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if misfit(middle) > freedom { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_excess_is_what_the_known_noise_lacks() {
        // Residuals of variance 4 where 1 is known: an excess of 3. By hand: Σ 4 / (1 + τ²) = 1 each.
        let residuals = [2.0, -2.0, 2.0, -2.0];
        assert!((excess(&residuals, &[1.0; 4], 4) - 3.0).abs() < 1e-9);
        assert_eq!(excess(&residuals, &[0.25; 4], 4), 0.0);
        assert_eq!(excess(&residuals, &[1.0; 4], 0), 0.0);
    }
}
