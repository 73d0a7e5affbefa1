//! `deniable sum`: from reports to counts.

use std::path::PathBuf;

use anyhow::Result;
use deniable_aggregator::decode::Sums;

use super::counts::{Format, print_counts};
use super::output::Output;
use super::{parameters, reports};

/// Sum reports into counts, which `deniable decode --counts` reads.
///
/// A file whose name ends in .csv holds reports of google/rappor: client,cohort,bloom,prr,irr. Any other holds one
/// batch, as it is sent to a collector; all of its reports must be of these parameters.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Parameters: google/rappor's params.csv, or ours as .toml or .json
    #[arg(long, value_name = "FILE")]
    params: PathBuf,
    /// Files of reports
    #[arg(value_name = "REPORTS", required = true)]
    reports: Vec<PathBuf>,
    /// File to write instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How to write the counts
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (params, _) = parameters::read(&args.params)?;
    let mut sums = Sums::new(&params);
    reports::each(&args.reports, &params, |cohort, bits| sums.add(cohort, bits))?;
    let mut out = Output::to(args.out.as_deref())?;
    print_counts(&mut out, &sums.into_counts(), args.format)?;
    out.finish()
}
