//! From rows to counts.

use deniable::Params;

use super::read::{Run, Singles};
use super::rows::{Cells, Row};
use crate::decode::{Counts, Sums};

/// The sums of rows of either kind.
pub(super) struct Totals {
    bits: usize,
    reports: Vec<u64>,
    ones: Vec<u64>,
    /// Of rows that are reports.
    sums: Sums,
}

impl Totals {
    pub(super) fn new(params: &Params) -> Self {
        let (bits, cohorts) = (params.bits(), params.cohorts());
        Self { bits, reports: vec![0; cohorts], ones: vec![0; cohorts * bits], sums: Sums::new(params) }
    }

    /// Adds the rows of a run, or says what is wrong with one.
    pub(super) fn add(&mut self, run: &Run<'_>) -> Result<(), String> {
        let Some(mut singles) = run.singles() else {
            return run.rows().try_for_each(|row| self.add_row(&row));
        };
        singles.try_for_each(|Singles { cohort, bits, width }| {
            self.sums.add_each(cohort, bits.chunks_exact(width)).map_err(|error| error.to_string())
        })
    }

    fn add_row(&mut self, row: &Row<'_>) -> Result<(), String> {
        match row.cells {
            Cells::Bits(bits) => {
                self.sums.add_alike(row.cohort, bits, row.reports).map_err(|error| error.to_string())
            }
            Cells::Ones(ones) => {
                self.add_sums(row, ones).ok_or_else(|| format!("a row of cohort {}", row.cohort))
            }
        }
    }

    fn add_sums(&mut self, row: &Row<'_>, ones: &[u64]) -> Option<()> {
        let cohort = usize::from(row.cohort);
        let reports = self.reports.get_mut(cohort)?;
        *reports = reports.checked_add(row.reports)?;
        let sums = &mut self.ones[cohort * self.bits..][..self.bits];
        sums.iter_mut().zip(ones).try_for_each(|(sum, count)| {
            *sum = sum.checked_add(*count)?;
            Some(())
        })
    }

    pub(super) fn finish(self) -> Result<Counts, String> {
        let mut counts =
            Counts::new(self.bits, self.reports, self.ones).map_err(|error| error.to_string())?;
        counts.merge(&self.sums.into_counts()).map_err(|error| error.to_string())?;
        Ok(counts)
    }
}
