//! Counts of reports: how many came from each cohort, and how many of those had each bit set.
//!
//! This is all that collector, store and decoder share: `reports[m]` and `ones[m][k]`. Counts of disjoint
//! sets of reports add up, so they can be gathered in any order and any number of places.

use deniable::Params;
use thiserror::Error;

/// The sums of a set of reports, by cohort and bit.
///
/// No bit is set in more reports than its cohort has; counts that say otherwise cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    bits: usize,
    reports: Vec<u64>,
    ones: Vec<u64>,
}

impl Counts {
    /// Makes the counts of no reports, for reports of these parameters.
    pub fn empty(params: &Params) -> Self {
        Self {
            bits: params.bits(),
            reports: vec![0; params.cohorts()],
            ones: vec![0; params.cohorts() * params.bits()],
        }
    }

    /// Makes counts from `reports`, one number per cohort, and `ones`, `bits` numbers per cohort in cohort order.
    ///
    /// # Errors
    /// A [`CountsError`] if the lengths do not fit or a bit is set in more reports than there are.
    pub fn new(bits: usize, reports: Vec<u64>, ones: Vec<u64>) -> Result<Self, CountsError> {
        if ones.len() != reports.len() * bits || bits == 0 {
            return Err(CountsError::Shape { cohorts: reports.len(), bits, found: ones.len() });
        }
        for (cohort, (&of, row)) in reports.iter().zip(ones.chunks(bits)).enumerate() {
            if let Some(bit) = row.iter().position(|&count| count > of) {
                return Err(CountsError::TooManyOnes { cohort, bit, ones: row[bit], reports: of });
            }
        }
        Ok(Self { bits, reports, ones })
    }

    /// k, the bits of each report.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// m, the number of cohorts.
    pub fn cohorts(&self) -> usize {
        self.reports.len()
    }

    /// The reports of each cohort.
    pub fn reports(&self) -> &[u64] {
        &self.reports
    }

    /// The reports of all cohorts.
    pub fn total(&self) -> u64 {
        self.reports.iter().sum()
    }

    /// How many reports of `cohort` had each bit set.
    ///
    /// # Panics
    /// If there is no such cohort.
    pub fn ones(&self, cohort: usize) -> &[u64] {
        &self.ones[cohort * self.bits..][..self.bits]
    }

    /// Adds `reports` of one cohort, of which so many had each bit set.
    ///
    /// # Errors
    /// A [`CountsError`] if there is no such cohort, there are other bits, or one is set in more reports than there are;
    /// these counts stay as they were.
    pub fn add(&mut self, cohort: u16, reports: u64, ones: &[u64]) -> Result<(), CountsError> {
        let (cohorts, bits) = (self.cohorts(), self.bits);
        let cohort = usize::from(cohort);
        if cohort >= cohorts || ones.len() != bits {
            return Err(CountsError::Shape { cohorts, bits, found: ones.len() });
        }
        if let Some(bit) = ones.iter().position(|&count| count > reports) {
            return Err(CountsError::TooManyOnes { cohort, bit, ones: ones[bit], reports });
        }
        self.reports[cohort] += reports;
        self.ones[cohort * bits..][..bits].iter_mut().zip(ones).for_each(|(sum, count)| *sum += count);
        Ok(())
    }

    /// Adds the counts of other reports to these.
    ///
    /// # Errors
    /// [`CountsError::Shape`] if the others have another shape; these stay as they were.
    pub fn merge(&mut self, other: &Self) -> Result<(), CountsError> {
        if (other.bits, other.cohorts()) != (self.bits, self.cohorts()) {
            let (cohorts, bits) = (self.cohorts(), self.bits);
            return Err(CountsError::Shape { cohorts, bits, found: other.ones.len() });
        }
        for (to, from) in self.reports.iter_mut().zip(&other.reports) {
            *to += from;
        }
        for (to, from) in self.ones.iter_mut().zip(&other.ones) {
            *to += from;
        }
        Ok(())
    }
}

/// Counts that no reports can have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CountsError {
    /// The table has the wrong size.
    #[error("{cohorts} cohorts of {bits} bits need {} counts, but there are {found}", .cohorts * .bits)]
    Shape {
        /// m.
        cohorts: usize,
        /// k.
        bits: usize,
        /// The counts given.
        found: usize,
    },
    /// A bit is set in more reports than its cohort has.
    #[error(
        "cohort {cohort} has {reports} reports, but bit {bit} is counted {ones} times: the counts are damaged, or their columns are shifted"
    )]
    TooManyOnes {
        /// The cohort, from 0.
        cohort: usize,
        /// The bit, from 0.
        bit: usize,
        /// Its count.
        ones: u64,
        /// The cohort's reports.
        reports: u64,
    },
}
