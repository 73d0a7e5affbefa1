//! What a decode answers: a figure for each candidate, and the totals.

use statrs::distribution::{ContinuousCDF, Normal};

use super::infer::Variance;
use super::{Counts, Design};

/// The two-sided 95 % point of the normal distribution.
const TWO_SIDED_95: f64 = 1.959_963_984_540_054;

/// A share of all reports with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The estimate, unbiased and not clipped: noise may put it below 0 or above 1.
    pub value: f64,
    /// Its standard error.
    pub std_error: f64,
}

impl Share {
    pub(super) fn new(value: f64, variance: f64) -> Self {
        Self { value, std_error: variance.sqrt() }
    }

    /// The 95 % interval, not clipped.
    pub fn interval_95(&self) -> (f64, f64) {
        let reach = TWO_SIDED_95 * self.std_error;
        (self.value - reach, self.value + reach)
    }

    /// The chance of an estimate this high if the share were 0.
    pub fn tail(&self) -> f64 {
        Normal::standard().sf(self.value / self.std_error)
    }
}

/// What is known of one candidate, or of several that cannot be told apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The candidate, or all that share one figure because they set the same bits in every cohort.
    pub names: Vec<String>,
    /// Its share of the reports.
    pub share: Share,
    /// Its share in a distribution that is not negative and sums to at most one. Biased, and for display.
    pub consistent: f64,
    /// The chance of an estimate this high if nobody reported the candidate.
    pub p_value: f64,
    /// Whether the p-value stays below the level after correction for all candidates.
    pub detected: bool,
}

/// The answer of a decode.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// N, the reports.
    pub reports: u64,
    /// The cohorts that had none and were left out, from 0.
    pub empty_cohorts: Vec<usize>,
    /// The family-wise significance level of [`Figure::detected`].
    pub alpha: f64,
    /// A figure for each candidate, by descending estimate.
    pub figures: Vec<Figure>,
    /// The share of reports that no candidate explains. None for sets, whose shares need not sum to one.
    pub unexplained: Option<Share>,
}

impl Decoded {
    pub(super) fn new(
        counts: &Counts,
        design: &Design,
        alpha: f64,
        scored: &[(f64, Variance)],
        consistent: &[f64],
        unexplained: Option<Share>,
    ) -> Self {
        let threshold = alpha / design.candidates() as f64;
        let figure = |column: usize| {
            let (value, variance) = scored[column];
            let p_value = Normal::standard().sf(value / variance.of_population.sqrt());
            let mut names = vec![design.name(column).to_owned()];
            names.extend_from_slice(design.twins(column));
            Figure {
                names,
                share: Share::new(value, variance.of_sample),
                consistent: consistent[column],
                p_value,
                detected: p_value < threshold,
            }
        };
        let mut figures: Vec<Figure> = (0..design.columns()).map(figure).collect();
        figures.sort_by(|a, b| b.share.value.total_cmp(&a.share.value));
        let empty = counts.reports().iter().enumerate().filter(|(_, of)| **of == 0);
        let empty_cohorts = empty.map(|(cohort, _)| cohort).collect();
        Self { reports: counts.total(), empty_cohorts, alpha, figures, unexplained }
    }
}
