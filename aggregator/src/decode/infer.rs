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

/// The two variances of a linear function of the shares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variance {
    /// About the share among those who reported.
    pub(super) of_sample: f64,
    /// About the share in the population that they were drawn from.
    pub(super) of_population: f64,
}

impl<'a> Inference<'a> {
    pub(super) fn new(settled: &'a Settled<'a>, observed: &'a Observed, channel: Channel) -> Self {
        let positive: Vec<f64> = settled.shares().iter().map(|share| share.max(0.0)).collect();
        let sum = positive.iter().sum::<f64>().max(1.0);
        let plausible = positive.iter().map(|share| share / sum).collect();
        Self { settled, observed, channel, plausible }
    }

    /// The variance of each candidate's share.
    pub(super) fn shares(&self) -> Vec<Variance> {
        let size = self.settled.model.size();
        (0..self.plausible.len())
            .into_par_iter()
            .map(|place| {
                let mut combination = DVector::zeros(size);
                combination[place] = 1.0;
                self.of(&combination)
            })
            .collect()
    }

    /// The variance of the sum of all candidates' shares.
    pub(super) fn sum(&self) -> Variance {
        let candidates = self.plausible.len();
        self.of(&DVector::from_fn(self.settled.model.size(), |i, _| f64::from(u8::from(i < candidates))))
    }

    /// The variance of `combination`ᵀβ̂.
    fn of(&self, combination: &DVector<f64>) -> Variance {
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
        Variance { of_sample: (of_population - sampling).max(0.0), of_population }
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
