//! Files of reports, read as streams.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use deniable::{Batch, MAX_BATCH_BYTES, Params};
use deniable_aggregator::decode::SumsError;
use deniable_aggregator::rappor_files::read_reports;

use super::progress::Progress;

/// Bytes of reports from which on progress is shown.
const LONG: u64 = 1 << 24;
/// Reports between two steps of the progress bar.
const STEP: u64 = 1 << 14;

/// Hands the cohort and the bits of each report in `paths` to `add`. A file whose name ends in .csv holds reports of
/// google/rappor; any other holds one batch, whose reports must be of `params`.
pub(crate) fn each(
    paths: &[PathBuf],
    params: &Params,
    mut add: impl FnMut(u16, &[u8]) -> Result<(), SumsError>,
) -> Result<()> {
    let size = |path: &PathBuf| path.metadata().map(|file| file.len()).unwrap_or(0);
    let total = paths.iter().map(size).sum();
    let progress = (total > LONG).then(|| Progress::new("bytes of reports", total));
    let advance = |bytes| progress.iter().for_each(|progress| progress.advance(bytes));
    for path in paths {
        if path.extension().is_some_and(|extension| extension == "csv") {
            each_row(path, params, &mut add, advance)?;
        } else {
            each_of_batch(path, params, &mut add)?;
            advance(size(path));
        }
    }
    Ok(())
}

fn each_row(
    path: &Path,
    params: &Params,
    add: &mut impl FnMut(u16, &[u8]) -> Result<(), SumsError>,
    advance: impl Fn(u64),
) -> Result<()> {
    // Client, cohort and separators are about 20 bytes beside the three strings of bits.
    let (mut reports, row) = (0u64, 3 * params.bits() as u64 + 20);
    let mut refused = Ok(());
    read_reports(path, params, |cohort, bits| {
        if refused.is_ok() {
            refused = add(cohort, bits);
        }
        reports += 1;
        if reports.is_multiple_of(STEP) {
            advance(STEP * row);
        }
    })?;
    refused.with_context(|| path.display().to_string())
}

fn each_of_batch(
    path: &Path,
    params: &Params,
    add: &mut impl FnMut(u16, &[u8]) -> Result<(), SumsError>,
) -> Result<()> {
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
            add(cohort, bits).with_context(|| name.to_string())?;
        }
    }
    Ok(())
}
