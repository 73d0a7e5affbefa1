//! How sure the figures are: standard errors from the known noise.
//!
//! A figure is a linear function aᵀy of the bit shares. What it estimates is the share *among the devices that
//! reported*, so two parts make up its variance. Conditional on who reported what, each bit's noise is
//! independent: Σ a² v, with v = (θ q*(1 − q*) + (1 − θ) p*(1 − p*)) / (N_i d²). And the devices of each cohort
//! are a sample of their own: with C = diag(β) − ββᵀ and B_i = A_i X_i, the composition of the cohorts adds
//! Σ_i B_i C B_iᵀ / N_i − C / N. In the direct encoding the bits of a report exclude one another, and the
//! two parts together are those of a multinomial.

use deniable::{Channel, Encoding};
use nalgebra::DVector;
use rayon::prelude::*;

use super::observed::Observed;
use super::settle::Settled;

/// What the variances of a settled fit are made of.
pub(super) struct Inference<'a> {
    settled: &'a Settled<'a>,
    observed: &'a Observed,
    channel: Channel,
    /// The fitted shares, at least 0 and at most 1 together.
    plausible: Vec<f64>,
}

/// How sure a linear function of the shares is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Certainty {
    /// Its variance about the share among those who reported.
    pub(super) of_sample: f64,
    /// Its variance about the share in the population that they were drawn from.
    pub(super) of_population: f64,
    /// The largest shift that one forged report could cause, to first order.
    pub(super) influence: Option<f64>,
}

impl Certainty {
    /// What is known of a candidate outside the fit: one variance for both.
    pub(super) fn outside(variance: f64) -> Self {
        Self { of_sample: variance, of_population: variance, influence: None }
    }
}

impl<'a> Inference<'a> {
    pub(super) fn new(settled: &'a Settled<'a>, observed: &'a Observed, channel: Channel) -> Self {
        let positive: Vec<f64> = settled.shares().iter().map(|share| share.max(0.0)).collect();
        let sum = positive.iter().sum::<f64>().max(1.0);
        let plausible = positive.iter().map(|share| share / sum).collect();
        Self { settled, observed, channel, plausible }
    }

    /// How sure each candidate's share is.
    pub(super) fn shares(&self) -> Vec<Certainty> {
        (0..self.plausible.len()).into_par_iter().map(|place| self.of(&self.sum_of([place]))).collect()
    }

    /// How sure the sum of all candidates' shares is.
    pub(super) fn sum(&self) -> Certainty {
        self.of(&self.sum_of(0..self.plausible.len()))
    }

    /// The covariances, about the shares among those who reported, of the candidates at `places`, row by row.
    ///
    /// By Cov(a, b) = (Var(a + b) − Var a − Var b) / 2.
    pub(super) fn covariances(&self, places: &[usize]) -> Vec<f64> {
        let variance = |places: &[usize]| self.of(&self.sum_of(places.iter().copied())).of_sample;
        let own: Vec<f64> = places.par_iter().map(|&place| variance(&[place])).collect();
        let size = places.len();
        let lower: Vec<(usize, usize)> = (0..size).flat_map(|i| (0..i).map(move |j| (i, j))).collect();
        let cross: Vec<f64> = lower
            .par_iter()
            .map(|&(i, j)| (variance(&[places[i], places[j]]) - own[i] - own[j]) / 2.0)
            .collect();
        let mut covariances = vec![0.0; size * size];
        for ((i, j), covariance) in lower.into_iter().zip(cross) {
            covariances[i * size + j] = covariance;
            covariances[j * size + i] = covariance;
        }
        for (i, variance) in own.into_iter().enumerate() {
            covariances[i * size + i] = variance;
        }
        covariances
    }

    fn sum_of(&self, places: impl IntoIterator<Item = usize>) -> DVector<f64> {
        let mut combination = DVector::zeros(self.settled.model.size());
        places.into_iter().for_each(|place| combination[place] = 1.0);
        combination
    }

    /// How sure `combination`ᵀβ̂ = aᵀy is.
    fn of(&self, combination: &DVector<f64>) -> Certainty {
        let direction = self.settled.fit.factor.solve(combination);
        let mut rows = vec![0.0; self.settled.weights.len()];
        self.settled.model.add_to(direction.as_slice(), &mut rows);
        rows.iter_mut().zip(&self.settled.weights).for_each(|(row, weight)| *row *= weight);
        let of_population = match self.observed.encoding {
            Encoding::Direct => self.multinomial(&rows),
            Encoding::Unary | Encoding::Bloom => self.bit_noise(&rows) + self.composition(&rows),
        };
        let (mut sum, mut squares) = (0.0, 0.0);
        for (share, part) in self.plausible.iter().zip(combination.iter()) {
            sum += share * part;
            squares += share * part * part;
        }
        let sampling = (squares - sum * sum) / self.observed.total();
        let of_sample = (of_population - sampling).max(0.0);
        Certainty { of_sample, of_population, influence: Some(self.influence(&rows)) }
    }

    /// One more report with bits b in cohort i moves aᵀy by Σ_j a_ij (b_j − r_ij) / ((N_i + 1) d): its largest
    /// size over all cohorts and bits that a report can have.
    fn influence(&self, rows: &[f64]) -> f64 {
        let (zero, gain, bits) = (self.channel.zero(), self.channel.gain(), self.observed.bits);
        let shift = |(cohort, (rows, of)): (usize, (&[f64], &f64))| {
            let rate = |bit: usize| zero + gain * self.settled.expected[cohort * bits + bit];
            let mean: f64 = rows.iter().enumerate().map(|(bit, a)| a * rate(bit)).sum();
            let (least, most) = match self.observed.encoding {
                Encoding::Direct => rows
                    .iter()
                    .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &a| (a.min(low), a.max(high))),
                Encoding::Unary | Encoding::Bloom => {
                    rows.iter().fold((0.0, 0.0), |(low, high), &a| (low + a.min(0.0), high + a.max(0.0)))
                }
            };
            (most - mean).max(mean - least) / ((of + 1.0) * gain)
        };
        rows.chunks(bits).zip(&self.observed.reports).enumerate().map(shift).fold(0.0, f64::max)
    }

    /// Σ a² (v + τ²): the noise of the responses, given the signals.
    fn bit_noise(&self, rows: &[f64]) -> f64 {
        let (zero, one, gain) = (self.channel.zero(), self.channel.one(), self.channel.gain());
        let noise = |row: usize| {
            let of = self.observed.reports[row / self.observed.bits];
            let share = self.settled.expected[row];
            let known =
                (share * one * (1.0 - one) + (1.0 - share) * zero * (1.0 - zero)) / (of * gain * gain);
            known + self.settled.excess
        };
        let terms = rows.iter().enumerate().filter(|(_, a)| **a != 0.0);
        terms.map(|(row, a)| a * a * noise(row)).sum()
    }

    /// Σ_i aᵢᵀ Xᵢ C Xᵢᵀ aᵢ / N_i: who happened to be in which cohort.
    fn composition(&self, rows: &[f64]) -> f64 {
        let (bits, reports) = (self.observed.bits, &self.observed.reports);
        let mut of_cohort = vec![0.0; reports.len()];
        let mut square = 0.0;
        for (&column, &share) in self.settled.model.columns.iter().zip(&self.plausible) {
            if share == 0.0 {
                continue;
            }
            let cells = self.settled.model.design.column(column);
            for cells in cells.chunk_by(|a, b| *a as usize / bits == *b as usize / bits) {
                let cohort = cells[0] as usize / bits;
                let hit: f64 = cells.iter().map(|&cell| rows[cell as usize]).sum();
                of_cohort[cohort] += share * hit;
                if reports[cohort] > 0.0 {
                    square += share * hit * hit / reports[cohort];
                }
            }
        }
        let mean = of_cohort.iter().zip(reports).filter(|(_, of)| **of > 0.0).map(|(hit, of)| hit * hit / of);
        square - mean.sum::<f64>() + self.unexplained_composition(rows, &of_cohort)
    }

    /// The same for the strings that are no candidates, whose bits are random.
    fn unexplained_composition(&self, rows: &[f64], explained: &[f64]) -> f64 {
        let background = self.settled.model.background;
        let rest = (1.0 - self.plausible.iter().sum::<f64>()).max(0.0);
        if background.is_empty() || rest == 0.0 {
            return 0.0;
        }
        let bits = self.observed.bits;
        let cohorts =
            rows.chunks(bits).zip(&self.observed.reports).zip(explained).filter(|((_, of), _)| **of > 0.0);
        let term = |((rows, of), hit): ((&[f64], &f64), &f64)| {
            let mean: f64 = rows.iter().zip(background).map(|(a, b)| a * b).sum();
            let spread: f64 = rows.iter().zip(background).map(|(a, b)| a * a * b * (1.0 - b)).sum();
            (rest * (spread + mean * mean) - (rest * mean).powi(2) - 2.0 * rest * mean * hit) / of
        };
        cohorts.map(term).sum()
    }

    /// One bit of each report is set: variance of Σ a over a multinomial, plus the excess.
    fn multinomial(&self, rows: &[f64]) -> f64 {
        let (zero, gain, bits) = (self.channel.zero(), self.channel.gain(), self.observed.bits);
        let mut variance = 0.0;
        for (cohort, (rows, of)) in rows.chunks(bits).zip(&self.observed.reports).enumerate() {
            if *of == 0.0 {
                continue;
            }
            let rate = |bit: usize| zero + gain * self.settled.expected[cohort * bits + bit];
            let mean: f64 = rows.iter().enumerate().map(|(bit, a)| a * rate(bit)).sum();
            let square: f64 = rows.iter().enumerate().map(|(bit, a)| a * a * rate(bit)).sum();
            variance += (square - mean * mean) / (of * gain * gain);
            variance += self.settled.excess * rows.iter().map(|a| a * a).sum::<f64>();
        }
        variance
    }
}
