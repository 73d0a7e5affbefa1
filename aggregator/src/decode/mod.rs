//! From counts to population figures: a pure function of parameters, counts, candidates and options.
//!
//! [`decode`] takes the noise out of the counts, explains what is left by the candidates' bits with weighted
//! least squares, and states each candidate's share with the error that the known noise gives it. Estimates
//! are unbiased and not clipped; beside each stands a consistent share, which is not negative and sums to at
//! most one with the others.

mod counts;
mod descent;
mod design;
mod error;
mod figures;
mod infer;
mod observed;
mod select;
mod settle;
mod shrink;
mod solve;

pub use counts::{Counts, CountsError};
pub use design::{Candidates, Design};
pub use error::DecodeError;
pub use figures::{Decoded, Figure, Share};

use deniable::{Encoding, Params};
use statrs::distribution::{ContinuousCDF, Normal};

use self::infer::{Inference, Variance};
use self::observed::Observed;
use self::select::Scored;
use self::settle::Settled;
use self::solve::Model;

/// Up to this many candidates all are fitted at once, if there are equations enough.
const FIT_ALL: usize = 600;

/// What a decode is asked to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    alpha: f64,
}

impl Options {
    /// Options with the chance `alpha` of calling any absent candidate detected, over all candidates together.
    ///
    /// # Errors
    /// [`DecodeError::Alpha`] unless `alpha` lies strictly between 0 and 1.
    pub fn new(alpha: f64) -> Result<Self, DecodeError> {
        if alpha > 0.0 && alpha < 1.0 { Ok(Self { alpha }) } else { Err(DecodeError::Alpha { value: alpha }) }
    }

    /// The family-wise significance level.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }
}

impl Default for Options {
    /// A significance level of 5 %.
    fn default() -> Self {
        Self { alpha: 0.05 }
    }
}

/// Estimates the share of each candidate of `design` among the reports of `counts`.
///
/// # Precision
/// Standard errors count the noise of the responses, the chance of who is in which cohort, and what the
/// strings outside the candidates add. They describe the error against the shares among those who reported.
///
/// # Errors
/// A [`DecodeError`] if counts or design do not fit `params`, the reports are too few for any candidate to
/// stand out, or candidates cannot be told apart.
pub fn decode(
    params: &Params,
    counts: &Counts,
    design: &Design,
    options: &Options,
) -> Result<Decoded, DecodeError> {
    if (design.cohorts(), design.bits()) != (params.cohorts(), params.bits()) {
        return Err(DecodeError::Shape {
            what: "candidates",
            cohorts: design.cohorts(),
            bits: design.bits(),
            wanted_cohorts: params.cohorts(),
            wanted_bits: params.bits(),
        });
    }
    let observed = Observed::new(params, counts)?;
    if counts.total() < 2 {
        return Err(DecodeError::TooFewReports {
            have: counts.total(),
            need: 2,
            candidates: design.candidates(),
        });
    }
    let settled = fitted(design, &observed)?;
    let inference = Inference::new(&settled, &observed, params.channel());
    let scored = scored(&settled, &observed, &inference);
    enough_reports(counts, design, options, &scored)?;
    let errors = scored.iter().map(|(share, variance)| (*share, variance.of_population.sqrt()));
    let plausible = shrink::plausible(&errors.collect::<Vec<_>>());
    let unexplained = match params.encoding() {
        Encoding::Unary if params.hashes() > 1 => None,
        _ => Some(Share::new(1.0 - settled.shares().iter().sum::<f64>(), inference.sum().of_sample)),
    };
    Ok(Decoded::new(counts, design, options.alpha, &scored, &plausible, unexplained))
}

/// Fits all candidates at once where there are equations enough, and those that stand out where there are not.
fn fitted<'a>(design: &'a Design, observed: &Observed) -> Result<Settled<'a>, DecodeError> {
    let columns = design.columns();
    if columns > FIT_ALL || 2 * columns > observed.equations().max(design.bits()) + design.bits() {
        return select::screened(design, design.background(), observed);
    }
    let all = |background| Model { design, columns: (0..columns).collect(), background };
    // With one cohort whose every bit has a candidate, the background is a combination of them.
    Settled::new(all(design.background()), observed).or_else(|_| Settled::new(all(&[]), observed))
}

/// The estimate and the variances of every candidate of the design.
fn scored(settled: &Settled<'_>, observed: &Observed, inference: &Inference<'_>) -> Vec<(f64, Variance)> {
    let members = settled.shares().iter().copied().zip(inference.shares());
    if settled.model.columns.len() == settled.model.design.columns() {
        return members.collect();
    }
    let alone = |Scored { share, error }| {
        (share, Variance { of_sample: error * error, of_population: error * error })
    };
    let mut scored: Vec<_> = select::added(settled, observed).into_iter().map(alone).collect();
    for (&column, member) in settled.model.columns.iter().zip(members) {
        scored[column] = member;
    }
    scored
}

/// Refuses when even a share of one would not be called detected.
fn enough_reports(
    counts: &Counts,
    design: &Design,
    options: &Options,
    scored: &[(f64, Variance)],
) -> Result<(), DecodeError> {
    let candidates = design.candidates();
    let least =
        scored.iter().map(|(_, variance)| variance.of_population.sqrt()).fold(f64::INFINITY, f64::min);
    let limit = least * Normal::standard().inverse_cdf(1.0 - options.alpha / candidates as f64);
    if limit <= 1.0 {
        return Ok(());
    }
    let need = (counts.total() as f64 * limit * limit).ceil() as u64;
    Err(DecodeError::TooFewReports { have: counts.total(), need, candidates })
}
