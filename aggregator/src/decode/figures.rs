//! What a decode answers: a figure for each candidate, and the totals.

use statrs::distribution::{ContinuousCDF, Normal};

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
    /// Its share in a distribution that is not negative and sums to at most one, nearest to the truth as far as all
    /// estimates together can tell. Biased towards zero.
    pub consistent: f64,
    /// The chance of an estimate this high if nobody reported the candidate.
    pub p_value: f64,
    /// The p-value corrected for all candidates.
    pub p_adjusted: f64,
    /// Whether the corrected p-value is below the level.
    pub detected: bool,
    /// The largest shift of the share that one forged report could cause; b of them cause at most b times as much.
    /// None for candidates that were not fitted together.
    pub influence: Option<f64>,
}

/// Covariances between the errors of several shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Joint {
    size: usize,
    covariances: Vec<f64>,
}

impl Joint {
    pub(super) fn new(size: usize, covariances: Vec<f64>) -> Self {
        Self { size, covariances }
    }

    /// How many figures it covers: the first ones that are detected.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The covariance of the i-th and the j-th detected figure's shares.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn covariance(&self, i: usize, j: usize) -> f64 {
        assert!(i < self.size && j < self.size, "{i} and {j} must be below {}", self.size);
        self.covariances[i * self.size + j]
    }
}

/// The answer of a decode.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// N, the reports.
    pub reports: u64,
    /// The cohorts that had none and were left out, from 0.
    pub empty_cohorts: Vec<usize>,
    /// The significance level of [`Figure::detected`].
    pub alpha: f64,
    /// The share at which a typical candidate is detected half of the time.
    pub detection_limit: f64,
    /// A figure for each candidate, by descending estimate.
    pub figures: Vec<Figure>,
    /// How many candidates were fitted together: all, or those that stood out.
    pub fitted: usize,
    /// The share of reports that none of the candidates fitted together explains. None for sets, whose shares need not
    /// sum to one.
    pub unexplained: Option<Share>,
    /// How the errors of the detected figures go together, if it was asked for.
    pub joint: Option<Joint>,
}
