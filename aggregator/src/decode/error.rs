//! Why a decode gives no figures. Failure never looks like zeros.

use thiserror::Error;

/// Input that has no figures in it, or a fit that failed.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There is nothing to look for.
    #[error("there are no candidates: give at least one string to look for")]
    NoCandidates,
    /// A candidate is the empty string.
    #[error("candidate {place} is empty: remove it, or give the string that it should be")]
    EmptyCandidate {
        /// Its place in the list, from 1.
        place: usize,
    },
    /// A candidate is listed twice.
    #[error("candidate {candidate:?} is listed twice, at places {first} and {second}: keep one of them")]
    DuplicateCandidate {
        /// The candidate.
        candidate: String,
        /// Where it is first, from 1.
        first: usize,
        /// Where it is again, from 1.
        second: usize,
    },
    /// A candidate sets no bit in any cohort.
    #[error("candidate {candidate:?} sets no bit in any cohort: make its row of the map anew")]
    NoCells {
        /// The candidate.
        candidate: String,
    },
    /// A candidate sets a bit that reports of these parameters do not have.
    #[error(
        "candidate {candidate:?} sets cell {cell}, but these parameters have cells 0 to {} only: the map was made for others; make it anew",
        .rows - 1
    )]
    CellOutside {
        /// The candidate.
        candidate: String,
        /// Its cell, cohort · k + bit.
        cell: usize,
        /// k·m.
        rows: usize,
    },
    /// Counts, design and parameters are of different shapes.
    #[error(
        "the {what} have {cohorts} cohorts of {bits} bits, but the parameters have {wanted_cohorts} of {wanted_bits}: use the {what} made under these parameters"
    )]
    Shape {
        /// Counts or candidates.
        what: &'static str,
        /// Cohorts found.
        cohorts: usize,
        /// Bits found.
        bits: usize,
        /// m.
        wanted_cohorts: usize,
        /// k.
        wanted_bits: usize,
    },
    /// So few reports that not even a candidate that everybody reports would be detected.
    #[error(
        "{have} reports are too few: under these parameters and with {candidates} candidates not even a string that everyone reports would stand out from the noise with fewer than {need}; collect more, or ask for fewer candidates"
    )]
    TooFewReports {
        /// The reports there are.
        have: u64,
        /// The reports needed.
        need: u64,
        /// The candidates asked for.
        candidates: usize,
    },
    /// A bit is set in more or in fewer reports than the noise allows, whatever the strings are.
    #[error(
        "bit {bit} of cohort {cohort} is set in {ones} of {reports} reports, but under these parameters it would be in {least} to {most} whatever the strings: the reports were made under other parameters, or are forged"
    )]
    Impossible {
        /// The cohort, from 0.
        cohort: usize,
        /// The bit, from 0.
        bit: usize,
        /// Its count.
        ones: u64,
        /// The cohort's reports.
        reports: u64,
        /// The fewest that chance explains.
        least: u64,
        /// The most that chance explains.
        most: u64,
    },
    /// All bits together are set more or less often than the noise allows.
    #[error(
        "a report has {found:.3} ones on average, but under these parameters it would have {least:.3} to {most:.3} whatever the strings: the reports were made under other parameters, or are forged"
    )]
    ImpossibleOnes {
        /// The ones per report.
        found: f64,
        /// The fewest that chance explains.
        least: f64,
        /// The most that chance explains.
        most: f64,
    },
    /// More candidates than equations, and all were to be fitted at once.
    #[error(
        "{candidates} candidates cannot be fitted at once to the {equations} bits of all cohorts with reports: choose a method that selects, leave candidates out, or use more cohorts"
    )]
    Underdetermined {
        /// The candidates to be told apart.
        candidates: usize,
        /// k times the cohorts that have reports.
        equations: usize,
    },
    /// Candidates whose columns are linear combinations of one another.
    #[error("{} cannot be told apart in these cohorts: {}; leave some of them out, or use more cohorts", groups.len(), listed(groups))]
    RankDeficient {
        /// The groups within which no figure can be had.
        groups: Vec<Vec<String>>,
    },
    /// A report that names several values was given to a method for one.
    #[error(
        "reports that hold sets of up to {hashes} values have no likelihood under a single value: decode their counts"
    )]
    Sets {
        /// The most values of a set.
        hashes: usize,
    },
    /// Whole reports that speak against no share, so that their likelihood has no peak near the possible shares.
    #[error(
        "the likelihood of {reports} reports still rises where shares are impossible, so it bounds none of them: collect more, or decode their counts"
    )]
    Unbounded {
        /// The reports.
        reports: u64,
    },
    /// More candidates than the likelihood of whole reports is worth.
    #[error(
        "{have} candidates are too many for the likelihood of whole reports, which takes {most}: decode their counts"
    )]
    TooManyCandidates {
        /// The candidates.
        have: usize,
        /// The most allowed.
        most: usize,
    },
    /// The fit did not settle.
    #[error(
        "the fit did not settle: after {iterations} rounds a figure still moves by {gap:e} of all reports"
    )]
    NotConverged {
        /// The rounds made.
        iterations: usize,
        /// The largest change of the last round, as a share of all reports.
        gap: f64,
    },
    /// A significance level that is no probability strictly between 0 and 1.
    #[error("the significance level is {value}, but must lie strictly between 0 and 1; 0.05 is usual")]
    Alpha {
        /// What was given.
        value: f64,
    },
}

fn listed(groups: &[Vec<String>]) -> String {
    let few = |group: &Vec<String>| {
        let more = group.len().saturating_sub(5);
        let first = group.iter().take(5).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        if more == 0 { first } else { format!("{first} and {more} more") }
    };
    groups.iter().map(few).collect::<Vec<_>>().join("; ")
}
