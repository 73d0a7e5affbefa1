//! From counts to population figures: a pure function of parameters, counts, candidates and options.
//!
//! [`decode`] takes the noise out of the counts, explains what is left by the candidates' bits with weighted
//! least squares, and states each candidate's share with the error that the known noise gives it. Estimates
//! are unbiased and not clipped; beside each stands a consistent share, which is not negative and sums to at
//! most one with the others.

mod correct;
mod counts;
mod descent;
mod design;
mod error;
mod figures;
mod infer;
mod likelihood;
mod observed;
mod options;
mod possible;
mod select;
mod settle;
mod shrink;
mod solve;
mod sums;

pub use counts::{Counts, CountsError};
pub use design::{Candidates, Design};
pub use error::DecodeError;
pub use figures::{Decoded, Figure, Joint, Share};
pub use likelihood::{Reports, decode_reports};
pub use options::{Correction, Method, Options};
pub use sums::{Sums, SumsError};

use std::collections::HashMap;

use deniable::{Encoding, Params};
use statrs::distribution::{ContinuousCDF, Normal};

use self::infer::{Certainty, Inference};
use self::observed::Observed;
use self::settle::Settled;

/// Up to this many candidates all are fitted at once, if there are equations enough.
const FIT_ALL: usize = 600;
/// The covariances of at most this many detected candidates are told.
const MAX_JOINT: usize = 100;

/// Estimates the share of each candidate of `design` among the reports of `counts`.
///
/// # Precision
/// Standard errors count the noise of the responses, the chance of who is in which cohort, and what the
/// strings outside the candidates add. They describe the error against the shares among those who reported.
///
/// # Errors
/// A [`DecodeError`] if counts or design do not fit `params`, no population can explain the counts, the reports are
/// too few for any candidate to stand out, candidates cannot be told apart, or the fit does not settle.
pub fn decode(
    params: &Params,
    counts: &Counts,
    design: &Design,
    options: &Options,
) -> Result<Decoded, DecodeError> {
    same_shape(params, "counts", counts.cohorts(), counts.bits())?;
    same_shape(params, "candidates", design.cohorts(), design.bits())?;
    let (have, candidates) = (counts.total(), design.candidates());
    if have < 2 {
        return Err(DecodeError::TooFewReports { have, need: 2, candidates });
    }
    possible::check(params, counts)?;
    let observed = Observed::new(params, counts);
    let settled = fitted(design, &observed, options.method)?;
    let inference = Inference::new(&settled, &observed, params.channel());
    let estimates = estimates(&settled, &inference)?;
    let unexplained = match params.encoding() {
        Encoding::Unary if params.hashes() > 1 => None,
        _ => Some((1.0 - settled.shares().iter().sum::<f64>(), inference.sum().of_sample)),
    };
    let fitted = settled.model.columns.len();
    let mut decoded = answer(counts, design, options, &Answer { estimates, fitted, unexplained })?;
    if options.joint {
        decoded.joint = Some(joint(&settled, &inference, &decoded.figures));
    }
    Ok(decoded)
}

/// What was estimated, before it is judged.
struct Answer {
    /// For each column of the design.
    estimates: Vec<(f64, Certainty)>,
    /// The candidates fitted together.
    fitted: usize,
    /// The share of none of these and its variance.
    unexplained: Option<(f64, f64)>,
}

/// Judges estimates: refuses them if nothing could have been detected, and orders them.
fn answer(
    counts: &Counts,
    design: &Design,
    options: &Options,
    answer: &Answer,
) -> Result<Decoded, DecodeError> {
    let (have, candidates) = (counts.total(), design.candidates());
    let limits = Limits::new(&answer.estimates, options.alpha / candidates as f64);
    if limits.least > 1.0 {
        let need = (have as f64 * limits.least * limits.least).ceil() as u64;
        return Err(DecodeError::TooFewReports { have, need, candidates });
    }
    let empty = counts.reports().iter().enumerate().filter(|(_, of)| **of == 0);
    Ok(Decoded {
        reports: have,
        empty_cohorts: empty.map(|(cohort, _)| cohort).collect(),
        alpha: options.alpha,
        detection_limit: limits.typical,
        figures: figures(design, options, &answer.estimates),
        fitted: answer.fitted,
        unexplained: answer.unexplained.map(|(share, variance)| Share::new(share, variance)),
        joint: None,
    })
}

fn same_shape(params: &Params, what: &'static str, cohorts: usize, bits: usize) -> Result<(), DecodeError> {
    let (wanted_cohorts, wanted_bits) = (params.cohorts(), params.bits());
    if (cohorts, bits) == (wanted_cohorts, wanted_bits) {
        Ok(())
    } else {
        Err(DecodeError::Shape { what, cohorts, bits, wanted_cohorts, wanted_bits })
    }
}

/// Chooses the candidates to fit together, and fits them.
fn fitted<'a>(design: &'a Design, observed: &Observed, method: Method) -> Result<Settled<'a>, DecodeError> {
    let columns = design.columns();
    let few = columns <= FIT_ALL && 2 * columns <= observed.equations();
    match method {
        // A closed list is fitted whole: its candidates share no bits.
        Method::Auto if few || design.background().is_empty() => select::all(design, observed),
        Method::All => select::all(design, observed),
        Method::Auto | Method::Screen => select::screened(design, observed),
        Method::NonNegative => select::positive(design, observed),
        Method::Lasso => select::on_path(design, observed),
    }
}

/// The estimate of every candidate of the design, and how sure it is.
fn estimates(settled: &Settled<'_>, inference: &Inference<'_>) -> Result<Vec<(f64, Certainty)>, DecodeError> {
    let members = settled.shares().iter().copied().zip(inference.shares());
    let design = settled.model.design;
    if settled.model.columns.len() == design.columns() {
        return Ok(members.collect());
    }
    let mut estimates: Vec<Option<(f64, Certainty)>> = select::added(settled)
        .into_iter()
        .map(|added| added.map(|added| (added.share, Certainty::outside(added.error * added.error))))
        .collect();
    for (&column, member) in settled.model.columns.iter().zip(members) {
        estimates[column] = Some(member);
    }
    let undetermined = estimates.iter().enumerate().filter(|(_, estimate)| estimate.is_none());
    let group: Vec<String> = undetermined.map(|(column, _)| design.name(column).to_owned()).collect();
    if group.is_empty() {
        Ok(estimates.into_iter().flatten().collect())
    } else {
        Err(DecodeError::RankDeficient { groups: vec![group] })
    }
}

/// The shares that are detected half of the time: of the candidate that is surest, and of a typical one.
struct Limits {
    least: f64,
    typical: f64,
}

impl Limits {
    fn new(estimates: &[(f64, Certainty)], level: f64) -> Self {
        let threshold = Normal::standard().inverse_cdf(1.0 - level);
        let mut errors: Vec<f64> =
            estimates.iter().map(|(_, certainty)| certainty.of_population.sqrt()).collect();
        let middle = errors.len() / 2;
        let typical = threshold * *errors.select_nth_unstable_by(middle, f64::total_cmp).1;
        Self { least: threshold * errors.into_iter().fold(f64::INFINITY, f64::min), typical }
    }
}

/// The figures by descending estimate.
fn figures(design: &Design, options: &Options, estimates: &[(f64, Certainty)]) -> Vec<Figure> {
    let errors: Vec<(f64, f64)> =
        estimates.iter().map(|(share, sure)| (*share, sure.of_population.sqrt())).collect();
    let plausible = shrink::plausible(&errors);
    let p_values: Vec<f64> =
        errors.iter().map(|(share, error)| Normal::standard().sf(share / error)).collect();
    let adjusted = correct::adjusted(&p_values, design.candidates(), options.correction);
    let mut order: Vec<usize> = (0..design.columns()).collect();
    order.sort_by(|&a, &b| estimates[b].0.total_cmp(&estimates[a].0));
    let figure = |&column: &usize| {
        let (value, certainty) = estimates[column];
        let mut names = vec![design.name(column).to_owned()];
        names.extend_from_slice(design.twins(column));
        Figure {
            names,
            share: Share::new(value, certainty.of_sample),
            consistent: plausible[column],
            p_value: p_values[column],
            p_adjusted: adjusted[column],
            detected: adjusted[column] < options.alpha,
            influence: certainty.influence,
        }
    };
    order.iter().map(figure).collect()
}

/// The covariances of the first detected figures, as far as they were fitted together.
fn joint(settled: &Settled<'_>, inference: &Inference<'_>, figures: &[Figure]) -> Joint {
    let columns = settled.model.columns.iter().enumerate();
    let places: HashMap<&str, usize> =
        columns.map(|(place, &column)| (settled.model.design.name(column), place)).collect();
    let detected = figures.iter().filter(|figure| figure.detected).take(MAX_JOINT);
    let places: Vec<usize> =
        detected.map_while(|figure| places.get(figure.names[0].as_str()).copied()).collect();
    Joint::new(places.len(), inference.covariances(&places))
}
