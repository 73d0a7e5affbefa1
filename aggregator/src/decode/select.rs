//! Choosing a support when there are too many candidates to fit all of them.
//!
//! Rounds of screening: fit the support, score every other candidate by its correlation with what is left,
//! let in the significant ones, put out those that no longer are, until nothing changes. The fit on the
//! support then stands for the selected, and [`added`] gives every other candidate the figure it would have if
//! it joined the support, so no figure is chosen by its own noise.

use std::collections::BTreeSet;

use nalgebra::DVector;
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

use super::observed::Observed;
use super::settle::Settled;
use super::solve::{ByRow, Model};
use super::{DecodeError, Design, descent};

/// Rounds after which the support is taken as it is; screening has no objective that it must reach.
const ROUNDS: usize = 30;
/// The rate of false members (Benjamini and Hochberg) at which candidates join the support. Measured where strings are
/// as many as equations: at a tenth, members that owe their place to what the others leave over spoil the intervals.
const JOIN: f64 = 0.02;
/// The rate of false members at which the LASSO path ends.
const PATH_END: f64 = 0.1;
/// A member leaves when it is less significant than this many standard errors.
const LEAVE: f64 = 3.0;

/// An estimate and its standard error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scored {
    pub(super) share: f64,
    pub(super) error: f64,
}

/// Fits all candidates at once.
///
/// # Errors
/// [`DecodeError::Underdetermined`] if there are more of them than equations, [`DecodeError::RankDeficient`] if they
/// depend on one another.
pub(super) fn all<'a>(design: &'a Design, observed: &Observed) -> Result<Settled<'a>, DecodeError> {
    let (candidates, equations) = (design.columns(), observed.equations());
    if candidates > equations {
        return Err(DecodeError::Underdetermined { candidates, equations });
    }
    let model = |background| Model { design, columns: (0..design.columns()).collect(), background };
    // With one cohort whose every bit has a candidate, the background is a combination of them.
    Settled::new(model(design.background()), observed).or_else(|_| Settled::new(model(&[]), observed))
}

/// Chooses the candidates that stand out from the noise and fits them.
///
/// # Errors
/// [`DecodeError::RankDeficient`] if the chosen ones depend on one another.
pub(super) fn screened<'a>(design: &'a Design, observed: &Observed) -> Result<Settled<'a>, DecodeError> {
    let mut members = BTreeSet::new();
    let mut seen = Vec::new();
    let mut settled = fit(design, observed, members.iter().copied())?;
    loop {
        let next = next_members(&members, &scores(&settled), limit(observed));
        if next == members || seen.len() == ROUNDS || seen.contains(&next) {
            return settled.again(observed);
        }
        let columns = next.iter().copied().collect();
        settled = settled.then(Model { design, columns, background: design.background() }, observed)?;
        seen.push(std::mem::replace(&mut members, next));
    }
}

/// Chooses the candidates with positive shares in the non-negative fit, the largest if there are too many, and fits them.
///
/// # Errors
/// As [`screened`], and [`DecodeError::NotConverged`].
pub(super) fn positive<'a>(design: &'a Design, observed: &Observed) -> Result<Settled<'a>, DecodeError> {
    let weights = observed.weights(|_| observed.mean_share(), 0.0);
    let mut support = descent::nonnegative(design, design.background(), &observed.shares, &weights)?;
    support.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    support.truncate(limit(observed));
    fit(design, observed, support.into_iter().map(|(column, _)| column))
}

/// Chooses the candidates at the end of the LASSO path, fits them, and again those that stay significant.
///
/// # Errors
/// As [`positive`].
pub(super) fn on_path<'a>(design: &'a Design, observed: &Observed) -> Result<Settled<'a>, DecodeError> {
    let weights = observed.weights(|_| observed.mean_share(), 0.0);
    let end = (PATH_END, limit(observed));
    let support = descent::lasso(design, design.background(), &observed.shares, &weights, end)?;
    let settled = fit(design, observed, support.iter().copied())?;
    let scores = member_scores(&settled);
    fit(
        design,
        observed,
        support.into_iter().zip(scores).filter(|(_, score)| *score > LEAVE).map(|(column, _)| column),
    )
}

/// The most candidates that are fitted together, for these equations.
fn limit(observed: &Observed) -> usize {
    (observed.equations() / 3).clamp(1, 2000)
}

fn fit<'a>(
    design: &'a Design,
    observed: &Observed,
    columns: impl Iterator<Item = usize>,
) -> Result<Settled<'a>, DecodeError> {
    Settled::new(Model { design, columns: columns.collect(), background: design.background() }, observed)
}

fn next_members(members: &BTreeSet<usize>, scores: &[f64], limit: usize) -> BTreeSet<usize> {
    let mut ranked: Vec<usize> = (0..scores.len()).filter(|&i| scores[i] > LEAVE).collect();
    ranked.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let tail = |score: f64| Normal::standard().sf(score);
    let significant = (0..ranked.len())
        .rev()
        .find(|&place| tail(scores[ranked[place]]) <= JOIN * (place + 1) as f64 / scores.len() as f64)
        .map_or(0, |place| place + 1);
    // What one round lets in is bounded, so that one strong candidate's shadows wait for the next round.
    let room = (members.len() / 2).max(8);
    let joining = ranked[..significant].iter().copied().filter(|i| !members.contains(i)).take(room);
    let staying = members.iter().copied().filter(|&i| scores[i] > LEAVE);
    let mut next: Vec<usize> = staying.chain(joining).collect();
    next.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    next.into_iter().take(limit).collect()
}

/// For each candidate its estimate over its standard error, members and others; 0 for those far from joining.
fn scores(settled: &Settled<'_>) -> Vec<f64> {
    let adding = Adding::new(settled);
    let score = |column| {
        // What is left of a column is seldom half of it.
        let (gradient, own) = adding.alone(column);
        if gradient < LEAVE / 2.0 * own.sqrt() {
            0.0
        } else {
            adding.score(column).map_or(0.0, |s| s.share / s.error)
        }
    };
    let mut scores: Vec<f64> = (0..settled.model.design.columns()).into_par_iter().map(score).collect();
    for (&column, score) in settled.model.columns.iter().zip(member_scores(settled)) {
        scores[column] = score;
    }
    scores
}

fn member_scores(settled: &Settled<'_>) -> Vec<f64> {
    let inverse = settled.fit.factor.inverse();
    let shares = settled.shares().iter().enumerate();
    shares.map(|(place, share)| share / inverse[(place, place)].sqrt()).collect()
}

/// For each candidate the estimate it would have if it joined the support, and its standard error. None for one
/// that the support determines: its members, and combinations of them.
pub(super) fn added(settled: &Settled<'_>) -> Vec<Option<Scored>> {
    let adding = Adding::new(settled);
    (0..settled.model.design.columns()).into_par_iter().map(|column| adding.score(column)).collect()
}

/// What it takes to add one column to a fit.
///
/// With r the residuals of the fit on the support S, a new column x gets xᵀWr / D with variance 1/D, where
/// D = xᵀWx − gᵀG⁻¹g, g = X_SᵀWx and G = X_SᵀWX_S.
struct Adding<'a> {
    settled: &'a Settled<'a>,
    /// w·r.
    weighted: Vec<f64>,
    /// For each row the members of the support that set it.
    places: ByRow,
}

impl<'a> Adding<'a> {
    fn new(settled: &'a Settled<'a>) -> Self {
        let weighted = settled.fit.residuals.iter().zip(&settled.weights).map(|(e, w)| e * w).collect();
        Self { settled, weighted, places: settled.model.by_row(settled.weights.len()) }
    }

    /// xᵀWr and xᵀWx.
    fn alone(&self, column: usize) -> (f64, f64) {
        let add = |(gradient, own): (f64, f64), &row: &u32| {
            (gradient + self.weighted[row as usize], own + self.settled.weights[row as usize])
        };
        self.settled.model.design.column(column).iter().fold((0.0, 0.0), add)
    }

    fn score(&self, column: usize) -> Option<Scored> {
        let (gradient, own) = self.alone(column);
        let mut explained = self.overlap(column);
        self.settled.fit.factor.l_dirty().solve_lower_triangular_unchecked_mut(&mut explained);
        let left = own - explained.norm_squared();
        (left > 1e-9 * own).then(|| Scored { share: gradient / left, error: left.sqrt().recip() })
    }

    /// X_SᵀWx.
    fn overlap(&self, column: usize) -> DVector<f64> {
        let model = &self.settled.model;
        let mut overlap = DVector::zeros(model.size());
        for &row in model.design.column(column) {
            let weight = self.settled.weights[row as usize];
            for &place in self.places.row(row as usize) {
                overlap[place as usize] += weight;
            }
            if !model.background.is_empty() {
                overlap[model.columns.len()] +=
                    weight * model.background[row as usize % model.background.len()];
            }
        }
        overlap
    }
}
