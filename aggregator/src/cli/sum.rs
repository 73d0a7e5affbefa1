//! `deniable sum`: from reports to counts.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use deniable::{Batch, MAX_BATCH_BYTES, Params};
use deniable_aggregator::decode::Sums;
use deniable_aggregator::rappor_files::read_reports;

use super::counts::{Format, print_counts};
use super::output::Output;
use super::parameters;
use super::progress::Progress;

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

/// Bytes of reports from which on progress is shown.
const LONG: u64 = 1 << 24;
/// Reports between two steps of the progress bar.
const STEP: u64 = 1 << 14;

pub(crate) fn run(args: &Args) -> Result<()> {
    let (params, _) = parameters::read(&args.params)?;
    let mut sums = Sums::new(&params);
    let size = |path: &PathBuf| path.metadata().map(|file| file.len()).unwrap_or(0);
    let total = args.reports.iter().map(size).sum();
    let progress = (total > LONG).then(|| Progress::new("bytes of reports", total));
    let advance = |bytes| progress.iter().for_each(|progress| progress.advance(bytes));
    for path in &args.reports {
        if path.extension().is_some_and(|extension| extension == "csv") {
            add_table(&mut sums, path, &params, advance)?;
        } else {
            add_batch(&mut sums, path, &params)?;
            advance(size(path));
        }
    }
    drop(progress);
    let mut out = Output::to(args.out.as_deref())?;
    print_counts(&mut out, &sums.into_counts(), args.format)?;
    out.finish()
}

fn add_table(sums: &mut Sums, path: &Path, params: &Params, advance: impl Fn(u64)) -> Result<()> {
    // Client, cohort and separators are about 20 bytes beside the three strings of bits.
    let (mut reports, row) = (0u64, 3 * params.bits() as u64 + 20);
    let mut refused = Ok(());
    read_reports(path, params, |cohort, bits| {
        if refused.is_ok() {
            refused = sums.add(cohort, bits);
        }
        reports += 1;
        if reports.is_multiple_of(STEP) {
            advance(STEP * row);
        }
    })?;
    refused.with_context(|| path.display().to_string())
}

fn add_batch(sums: &mut Sums, path: &Path, params: &Params) -> Result<()> {
    let name = path.display();
    let mut body = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BATCH_BYTES as u64 + 1).read_to_end(&mut body))
        .with_context(|| format!("{name} cannot be read"))?;
    let batch = Batch::parse(&body).with_context(|| format!("{name} holds no batch"))?;
    for section in batch.sections() {
        let (found, wanted) = (section.stream().fingerprint(), params.fingerprint());
        if found != wanted {
            bail!(
                "{name}: reports of {} are of parameters {found}, but these are {wanted}: sum them under their own",
                section.stream().metric()
            );
        }
        for (cohort, bits) in section.reports() {
            sums.add(cohort, bits).with_context(|| name.to_string())?;
        }
    }
    Ok(())
}
