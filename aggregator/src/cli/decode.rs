//! `deniable decode`: from counts to figures.

use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use deniable::{MetricId, Params};
use deniable_aggregator::decode::{Counts, Decoded, Design, Options, Reports, decode, decode_reports};
use deniable_aggregator::guard::Survey;
use deniable_aggregator::map_file::{Hashing, read_design};
use deniable_aggregator::rappor_files;
use deniable_aggregator::store::DiskStore;

use super::beside;
use super::figures::{Presentation, show};
use super::progress::Busy;
use super::selection::Chosen;
use super::{parameters, reports};

/// Decode counts into each candidate's share of the reports, with its uncertainty.
///
/// Reads a metric from a store, with a list of --candidates: the strings that may have been reported, or for a closed
/// list its values in order. Or takes files: --params, --counts, and either --map or --candidates. Those of google/rappor
/// are taken as they are, and candidates then hashed as its clients do.
///
/// Figures are of the devices that reported, and scaled to no others. Where metrics rotate, `deniable check` says which share
/// of all devices answers each.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["store", "params"]))]
#[command(group = clap::ArgGroup::new("sums").args(["counts", "reports"]))]
pub(crate) struct Args {
    /// Directory of a collector's store
    #[arg(long, value_name = "DIR", requires = "metric", requires = "candidates")]
    store: Option<PathBuf>,
    /// Metric to decode
    #[arg(long, value_name = "NAME", value_parser = MetricId::new, requires = "store")]
    metric: Option<MetricId>,
    #[command(flatten)]
    chosen: Chosen,
    /// Parameters: google/rappor's params.csv with the header k,h,m,p,q,f and one row, or ours as .toml or .json
    #[arg(long, value_name = "FILE", requires = "sums")]
    params: Option<PathBuf>,
    /// Counts: for each cohort a row with its reports and the ones of each bit
    #[arg(long, value_name = "FILE", requires = "params")]
    counts: Option<PathBuf>,
    /// Whole reports in place of counts, as for `deniable sum`
    #[arg(long, value_name = "FILE", requires = "params", num_args = 1..)]
    reports: Vec<PathBuf>,
    /// Candidates with their cells, as `deniable map` and google/rappor's tools write them
    #[arg(long, value_name = "FILE", requires = "params")]
    map: Option<PathBuf>,
    /// Candidates, one per line
    #[arg(long, value_name = "FILE", required_unless_present = "map", conflicts_with = "map")]
    candidates: Option<PathBuf>,
    #[command(flatten)]
    presentation: Presentation,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let presentation = &args.presentation;
    let options = presentation.options()?;
    let (params, design, evidence, survey) = args.evidence()?;
    let busy = Busy::new("decoding");
    let decoded = evidence.decode(&params, &design, presentation, &options);
    drop(busy);
    if let (Err(_), Some(survey)) = (&decoded, &survey) {
        // What cannot be decoded may be what the guards found.
        beside::write(survey, &mut io::stderr())?;
    }
    show(&params, &decoded?, survey.as_ref(), presentation, &mut io::stdout().lock())
}

/// What figures are decoded from.
enum Evidence {
    Counts(Counts),
    Reports(Reports),
}

impl Evidence {
    fn decode(
        self,
        params: &Params,
        design: &Design,
        presentation: &Presentation,
        options: &Options,
    ) -> Result<Decoded> {
        Ok(match self {
            Self::Counts(counts) if !presentation.likelihood() => decode(params, &counts, design, options)?,
            Self::Counts(_) => bail!("the likelihood needs whole reports: give --reports in place of counts"),
            Self::Reports(reports) if presentation.likelihood() => decode_reports(&reports, design, options)?,
            Self::Reports(reports) => decode(params, &reports.counts(), design, options)?,
        })
    }
}

impl Args {
    /// What to decode, and what stands beside the figures if it comes from a store.
    fn evidence(&self) -> Result<(Params, Design, Evidence, Option<Survey>)> {
        if let (Some(store), Some(metric)) = (&self.store, &self.metric) {
            let store = DiskStore::open(store)?;
            let (params, counts) = self.chosen.sum(&store, metric)?;
            let survey = self.chosen.survey(&store, metric)?;
            return Ok((params, self.design(&params)?, Evidence::Counts(counts), Some(survey)));
        }
        let path = self.params.as_deref().expect("clap requires a store or parameters");
        let (params, hashing) = parameters::read(path)?;
        let busy = Busy::new("reading the candidates");
        let design = self.hashed_design(&params, hashing)?;
        drop(busy);
        if let Some(counts) = &self.counts {
            return Ok((params, design, Evidence::Counts(rappor_files::read_counts(counts, &params)?), None));
        }
        let mut reports = Reports::new(&params);
        reports::each(&self.reports, &params, |cohort, bits| reports.add(cohort, bits))?;
        Ok((params, design, Evidence::Reports(reports), None))
    }

    fn design(&self, params: &Params) -> Result<Design> {
        let list = self.candidates.as_deref().context("--candidates is missing")?;
        Ok(Design::of_names(params, rappor_files::read_candidates(list)?)?)
    }

    fn hashed_design(&self, params: &Params, hashing: Hashing) -> Result<Design> {
        match (&self.map, &self.candidates) {
            (Some(map), _) => Ok(read_design(map, params, hashing)?),
            (None, Some(list)) => Ok(hashing.design(params, rappor_files::read_candidates(list)?)?),
            (None, None) => unreachable!("clap requires one of the two"),
        }
    }
}
