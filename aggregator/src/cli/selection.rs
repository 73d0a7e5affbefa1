//! Which of a metric's reports in a store are meant.

use std::ops::RangeInclusive;
use std::str::FromStr;

use anyhow::{Context, bail};
use deniable::{Epoch, MetricId, Params};
use deniable_aggregator::decode::Counts;
use deniable_aggregator::guard::Survey;
use deniable_aggregator::store::{Selection, Store};

/// A version of a metric and some of its epochs.
#[derive(clap::Args)]
pub(crate) struct Chosen {
    /// Version of the metric; may be left out if the store has only one
    #[arg(long, value_name = "N", requires = "metric")]
    version: Option<u32>,
    /// Epoch to count, or a range of them like 20000-20006; may be given several times. All if left out
    #[arg(long, value_name = "E", requires = "metric")]
    epoch: Vec<Epochs>,
}

impl Chosen {
    /// What stands beside the figures of the chosen reports.
    pub(crate) fn survey(&self, store: &dyn Store, metric: &MetricId) -> anyhow::Result<Survey> {
        let (version, _) = self.stream(store, metric)?;
        let left_out = store.left_out()?;
        let mut survey = Survey::default();
        for epochs in disjoint(self.epoch.clone()) {
            let selection = Selection::of_epochs(epochs).without(left_out.clone());
            survey.extend(Survey::of(store, metric, version, &selection)?);
        }
        Ok(survey)
    }

    /// The parameters of `metric` and the sums of the chosen reports, without what is set aside.
    pub(crate) fn sum(&self, store: &dyn Store, metric: &MetricId) -> anyhow::Result<(Params, Counts)> {
        let (version, params) = self.stream(store, metric)?;
        let left_out = store.left_out()?;
        let mut total: Option<Counts> = None;
        for epochs in disjoint(self.epoch.clone()) {
            let selection = Selection::of_epochs(epochs).without(left_out.clone());
            let counts = store.counts(metric, version, &selection)?;
            match &mut total {
                Some(total) => total.merge(&counts)?,
                None => total = Some(counts),
            }
        }
        Ok((params, total.context("no epoch was chosen")?))
    }

    fn stream(&self, store: &dyn Store, metric: &MetricId) -> anyhow::Result<(u32, Params)> {
        let mut streams = store.streams()?;
        streams.retain(|(name, version), _| {
            name == metric && self.version.is_none_or(|chosen| chosen == *version)
        });
        let versions: Vec<u32> = streams.keys().map(|(_, version)| *version).collect();
        match (&versions[..], streams.pop_first()) {
            ([version], Some((_, params))) => Ok((*version, params)),
            ([], _) => match self.version {
                Some(version) => bail!(
                    "the store has no metric {metric} in version {version}: `deniable counts --store` lists its streams"
                ),
                None => {
                    bail!("the store has no metric {metric}: `deniable counts --store` lists its streams")
                }
            },
            _ => bail!("the store has metric {metric} in versions {versions:?}: choose one with --version"),
        }
    }
}

/// Epochs from one to another, both included.
#[derive(Clone, Debug)]
struct Epochs(RangeInclusive<Epoch>);

impl FromStr for Epochs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self(Epoch(first)..=Epoch(last))),
            _ => Err(
                "give a day as a number of days since 1970-01-01, or two with '-' between, the earlier first"
                    .to_owned(),
            ),
        }
    }
}

/// The same epochs, each in one range only; all epochs if there are none.
fn disjoint(mut epochs: Vec<Epochs>) -> Vec<RangeInclusive<Epoch>> {
    if epochs.is_empty() {
        return vec![Epoch(0)..=Epoch(u32::MAX)];
    }
    epochs.sort_by_key(|range| *range.0.start());
    let mut ranges = Vec::<RangeInclusive<Epoch>>::new();
    for Epochs(range) in epochs {
        match ranges.last_mut().filter(|last| range.start() <= last.end()) {
            Some(last) => *last = *last.start()..=*last.end().max(range.end()),
            None => ranges.push(range),
        }
    }
    ranges
}
