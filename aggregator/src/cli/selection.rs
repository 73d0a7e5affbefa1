//! Which of a metric's reports in a store are meant.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::RangeInclusive;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use deniable::{Epoch, MetricId, Params};
use deniable_aggregator::decode::{Counts, Reports};
use deniable_aggregator::store::{Selection, Store, Tag};
use deniable_aggregator::survey::Survey;

/// A version of a metric, and some of its epochs and public tags.
#[derive(clap::Args)]
pub(crate) struct Chosen {
    /// Version of the metric; may be left out if the store has only one
    #[arg(long, value_name = "N", requires = "metric")]
    version: Option<u32>,
    /// Epoch to count, or a range of them like 20000-20006; may be given several times. All if left out
    #[arg(long, value_name = "E", requires = "metric")]
    epoch: Vec<Epochs>,
    /// Count only reports with this label of a public tag; may be given several times: for one tag either label counts,
    /// of several tags each must
    #[arg(long, value_name = "NAME=LABEL", requires = "store")]
    tag: Vec<Tag>,
    /// Split by the labels of this public tag, each for itself
    #[arg(long, value_name = "NAME", requires_all = ["store", "metric"])]
    by: Option<String>,
}

/// The chosen reports of a metric version.
pub(crate) struct Found {
    pub(crate) version: u32,
    pub(crate) params: Params,
    /// One, or one for each label.
    pub(crate) parts: Vec<Part>,
    /// What stands beside the figures of all parts.
    pub(crate) survey: Survey,
}

/// Reports that are counted for themselves.
pub(crate) struct Part {
    /// The tag that the reports are split by, with the label of these; none for those that do not have it.
    pub(crate) label: Label,
    pub(crate) counts: Counts,
}

impl Part {
    /// The label of these reports, if they have one.
    pub(crate) fn label(&self) -> Option<&str> {
        self.label.as_ref()?.1.as_deref()
    }

    /// Which reports these are, for people; nothing if they are all that were chosen.
    pub(crate) fn heading(&self) -> Option<String> {
        self.label.as_ref().map(|(tag, label)| match label {
            Some(label) => format!("{tag} = {label}"),
            None => format!("no {tag}"),
        })
    }
}

impl Chosen {
    /// All that is chosen, whatever the metric.
    pub(crate) fn anywhere(&self, store: &dyn Store) -> Result<Selection> {
        Ok(Selection::all().with_tags(&self.tag, &store.registries()?)?)
    }

    /// The sums of the chosen reports to `metric`, without what is set aside.
    pub(crate) fn find(&self, store: &dyn Store, metric: &MetricId) -> Result<Found> {
        let (version, params) = self.stream(store, metric)?;
        let (mut parts, mut survey) = (BTreeMap::new(), Survey::default());
        for selection in self.selections(store)? {
            match &self.by {
                Some(tag) => {
                    for (label, counts) in store.counts_by(metric, version, &selection, tag)? {
                        add(&mut parts, Some((tag.clone(), label)), counts)?;
                    }
                }
                None => add(&mut parts, None, store.counts(metric, version, &selection)?)?,
            }
            survey.extend(Survey::of(store, metric, version, &selection)?);
        }
        let parts = parts.into_iter().map(|(label, counts)| Part { label, counts });
        Ok(Found { version, params, parts: parts.collect(), survey })
    }

    /// The reports of a part themselves.
    ///
    /// # Errors
    /// If the store has not kept all of them.
    pub(crate) fn reports(
        &self,
        store: &dyn Store,
        (metric, version): (&MetricId, u32),
        part: &Part,
    ) -> Result<Reports> {
        let mut reports = Reports::new(&store.params(metric, version)?);
        for mut selection in self.selections(store)? {
            if let Some((tag, label)) = &part.label {
                selection = selection.with_label(tag, label.as_deref());
            }
            reports.append(store.reports(metric, version, &selection)?);
        }
        let (kept, all) = (reports.len(), part.counts.total());
        ensure!(
            kept as u64 == all,
            "the likelihood needs whole reports, but of {all} reports to metric {metric} the store has kept {kept}: set keep_reports = true of the metric in the collector's file, and choose epochs that began after that"
        );
        Ok(reports)
    }

    /// The chosen reports, each in one selection only, without what is set aside.
    fn selections(&self, store: &dyn Store) -> Result<Vec<Selection>> {
        let (registries, left_out) = (store.registries()?, store.left_out()?);
        if let Some(tag) = &self.by {
            registries.check_tag(tag)?;
        }
        let selection =
            |epochs| Selection::of_epochs(epochs).without(left_out.clone()).with_tags(&self.tag, &registries);
        Ok(disjoint(self.epoch.clone()).into_iter().map(selection).collect::<Result<_, _>>()?)
    }

    fn stream(&self, store: &dyn Store, metric: &MetricId) -> Result<(u32, Params)> {
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

type Label = Option<(String, Option<String>)>;

fn add(parts: &mut BTreeMap<Label, Counts>, label: Label, counts: Counts) -> Result<()> {
    match parts.entry(label) {
        Entry::Vacant(free) => {
            free.insert(counts);
        }
        Entry::Occupied(mut held) => held.get_mut().merge(&counts)?,
    }
    Ok(())
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
