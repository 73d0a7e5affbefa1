//! `deniable decode`: from counts to figures.

use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use deniable::{MetricId, Params};
use deniable_aggregator::decode::{Counts, Decoded, Design, Options, Reports, decode, decode_reports};
use deniable_aggregator::map_file::{Hashing, read_design};
use deniable_aggregator::rappor_files;

use super::figures::{Presentation, Shown, show};
use super::lake::{LakePlace, Opened};
use super::progress::Busy;
use super::selection::{Chosen, Found, Part};
use super::{parameters, reports};

/// Decode counts into each candidate's share of the reports, with its uncertainty.
///
/// Reads a metric from a store, with a list of --candidates: the strings that may have been reported, or for a closed
/// list its values in order. Or takes files: --params, --counts, and either --map or --candidates. Those of google/rappor
/// are taken as they are, and candidates then hashed as its clients do.
///
/// With --by each label of a public tag is decoded for itself. The likelihood needs whole reports: of a store, those of metrics
/// with keep_reports = true.
///
/// Figures are of the devices that reported, and scaled to no others. Where metrics rotate, `deniable check` says which share
/// of all devices answers each.
///
/// Figures of a store have the alarms of the guards beside them, and what `deniable quarantine` leaves out; on standard error
/// if they are CSV.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["store", "params"]))]
#[command(group = clap::ArgGroup::new("sums").args(["counts", "reports"]))]
pub(crate) struct Args {
    /// Directory of a collector's store
    #[arg(long, value_name = "DIR", requires = "metric", requires = "candidates")]
    store: Option<PathBuf>,
    #[command(flatten)]
    place: LakePlace,
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
    let mut out = io::stdout().lock();
    let (Some(store), Some(metric)) = (&args.store, &args.metric) else {
        let (params, design, evidence) = args.evidence()?;
        let busy = Busy::new("decoding");
        let decoded = evidence.decode(&params, &design, &options, presentation.likelihood())?;
        drop(busy);
        return show(&params, vec![Shown::whole(decoded)], None, presentation, &mut out);
    };
    let Opened { store, _runtime } = args.place.open(store)?;
    let Found { version, params, parts, survey } = args.chosen.find(&store, metric)?;
    ensure!(!parts.is_empty(), "none of the chosen reports to metric {metric} is in the store");
    let design = args.design(&params)?;
    let busy = Busy::new("decoding");
    let decode = |part: &Part| {
        let evidence = if presentation.likelihood() {
            Evidence::Reports(args.chosen.reports(&store, (metric, version), part)?)
        } else {
            Evidence::Counts(part.counts.clone())
        };
        evidence.decode(&params, &design, &options, presentation.likelihood())
    };
    let shown: Vec<_> = parts.iter().map(|part| Shown::part(part, decode(part))).collect();
    drop(busy);
    show(&params, shown, Some(&survey), presentation, &mut out)
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
        options: &Options,
        likelihood: bool,
    ) -> Result<Decoded> {
        Ok(match self {
            Self::Counts(_) if likelihood => {
                bail!("the likelihood needs whole reports: give --reports in place of counts")
            }
            Self::Counts(counts) => decode(params, &counts, design, options)?,
            Self::Reports(reports) if likelihood => decode_reports(&reports, design, options)?,
            Self::Reports(reports) => decode(params, &reports.counts(), design, options)?,
        })
    }
}

impl Args {
    fn evidence(&self) -> Result<(Params, Design, Evidence)> {
        let path = self.params.as_deref().expect("clap requires a store or parameters");
        let (params, hashing) = parameters::read(path)?;
        let busy = Busy::new("reading the candidates");
        let design = self.hashed_design(&params, hashing)?;
        drop(busy);
        if let Some(counts) = &self.counts {
            return Ok((params, design, Evidence::Counts(rappor_files::read_counts(counts, &params)?)));
        }
        let mut reports = Reports::new(&params);
        reports::each(&self.reports, &params, |cohort, bits| reports.add(cohort, bits))?;
        Ok((params, design, Evidence::Reports(reports)))
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
