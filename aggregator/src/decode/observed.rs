//! Counts with the known noise taken out: an unbiased share for each bit of each cohort, and its variance.
//!
//! With p* and q* the chance of a reported one where the signal bit is 0 or 1, d = q* − p* and N_i the reports
//! of cohort i, the share of its signals with bit j is y_ij = (c_ij / N_i − p*) / d. Over repeated draws of
//! devices and noise its variance is r(1 − r) / (N_i d²), r the rate of reported ones.

use deniable::{Encoding, Params};

use super::Counts;

/// The unbiased bit shares of every cohort that has reports.
pub(super) struct Observed {
    pub(super) encoding: Encoding,
    pub(super) bits: usize,
    /// N_i for each cohort i.
    pub(super) reports: Vec<f64>,
    /// y, cohort by cohort; 0 where a cohort has no reports and therefore no weight.
    pub(super) shares: Vec<f64>,
    /// p*.
    pub(super) zero: f64,
    /// d = q* − p*.
    pub(super) gain: f64,
}

impl Observed {
    /// Takes the noise out of `counts`, which are of the shape of `params`.
    pub(super) fn new(params: &Params, counts: &Counts) -> Self {
        let (cohorts, bits) = (counts.cohorts(), counts.bits());
        let (zero, gain) = (params.channel().zero(), params.channel().gain());
        let share =
            |of: u64| move |&ones: &u64| if of == 0 { 0.0 } else { (ones as f64 / of as f64 - zero) / gain };
        let shares =
            (0..cohorts).flat_map(|i| counts.ones(i).iter().map(share(counts.reports()[i]))).collect();
        let reports = counts.reports().iter().map(|&of| of as f64).collect();
        Self { encoding: params.encoding(), bits, reports, shares, zero, gain }
    }

    /// N, all reports.
    pub(super) fn total(&self) -> f64 {
        self.reports.iter().sum()
    }

    /// The rows that carry information: those of cohorts with reports.
    pub(super) fn equations(&self) -> usize {
        self.reports.iter().filter(|&&of| of > 0.0).count() * self.bits
    }

    /// The mean bit share over all reports, a first guess of every row's.
    pub(super) fn mean_share(&self) -> f64 {
        let weighted =
            self.shares.chunks(self.bits).zip(&self.reports).map(|(row, of)| of * row.iter().sum::<f64>());
        weighted.sum::<f64>() / (self.total() * self.bits as f64)
    }

    /// The weight of every row, one over its variance where the expected bit share is `expected(row)` and
    /// `excess` is variance beyond the known noise. Rows of cohorts without reports weigh nothing.
    pub(super) fn weights(&self, expected: impl Fn(usize) -> f64, excess: f64) -> Vec<f64> {
        let weight = |row: usize| {
            let of = self.reports[row / self.bits];
            let rate = self.zero + self.gain * expected(row).clamp(0.0, 1.0);
            if of == 0.0 { 0.0 } else { 1.0 / (rate * (1.0 - rate) / (of * self.gain * self.gain) + excess) }
        };
        (0..self.shares.len()).map(weight).collect()
    }
}
