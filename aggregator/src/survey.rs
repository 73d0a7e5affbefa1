//! What an analyst should know beside a figure: the alarms of its reports, and what is left out of it.

use std::collections::BTreeMap;
use std::fmt;

use deniable::{Epoch, MetricId};
use serde::{Deserialize, Serialize};

use crate::decode::Counts;
use crate::guard::{Alarm, Cell, Volumes, Watch};
use crate::store::{Aside, Holding, LeftOut, Selection, Store, StoreError};

/// What stands beside a figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Survey {
    /// What honest reports would hardly show, in the epochs of the figure. It is of all tags, since it is the devices of an
    /// epoch that are judged.
    pub alarms: Vec<Alarm>,
    /// The reports with an improbable number of ones in these epochs, alarming or not.
    pub improbable: u64,
    /// What the figure leaves out.
    pub left_out: Vec<Omitted>,
}

/// Reports that a figure leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Omitted {
    /// What was set aside.
    #[serde(flatten)]
    pub what: Aside,
    /// The reports that would be counted else.
    pub reports: u64,
}

impl fmt::Display for Omitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "left out: {} reports of {}", self.reports, self.what)
    }
}

impl Survey {
    /// Surveys the reports to a metric version that `selection` takes, those among them that it leaves out, and
    /// everything else of their epochs and sources.
    ///
    /// # Errors
    /// Those of the store.
    pub fn of(
        store: &dyn Store,
        metric: &MetricId,
        version: u32,
        selection: &Selection,
    ) -> Result<Self, StoreError> {
        let params = store.params(metric, version)?;
        let left_out = selection.left_out();
        let mut volumes = store.volumes(metric, version)?;
        // What is set aside is no past to compare with.
        volumes.retain(|source, epochs| {
            epochs.retain(|epoch, _| !left_out.holds(metric, *epoch, source));
            !epochs.is_empty()
        });
        let everything = Selection::of_epochs(selection.epochs().clone());
        let taken = selection.clone().without(LeftOut::default());
        let (mut watch, mut omitted) = (Watch::new(&params, &volumes), BTreeMap::<Aside, u64>::new());
        let mut gathered = Gathered { cell: None, watch: &mut watch, volumes: &volumes };
        store.each_row(metric, version, &everything, &mut |place, sums| match left_out.reason(
            metric,
            place.epoch,
            place.source,
        ) {
            Some(what) if taken.takes(metric, place.epoch, place.source, place.tags) => {
                *omitted.entry(what.clone()).or_default() += sums.reports;
            }
            Some(_) => {}
            None => {
                let counts = gathered.counts(place.epoch, place.source, || Counts::empty(&params));
                counts.add(place.cohort, sums.reports, sums.ones).expect("a store shows what fits");
            }
        })?;
        gathered.judge();
        let improbable = volumes.values().flat_map(|epochs| epochs.range(selection.epochs().clone()));
        Ok(Self {
            improbable: improbable.map(|(_, volume)| volume.improbable).sum(),
            alarms: watch.alarms(),
            left_out: omitted.into_iter().map(|(what, reports)| Omitted { what, reports }).collect(),
        })
    }

    /// Adds the survey of other epochs.
    pub fn extend(&mut self, other: Self) {
        self.alarms.extend(other.alarms);
        self.improbable += other.improbable;
        for omitted in other.left_out {
            match self.left_out.iter_mut().find(|held| held.what == omitted.what) {
                Some(held) => held.reports += omitted.reports,
                None => self.left_out.push(omitted),
            }
        }
    }
}

/// What a store holds of a metric version in one epoch, and how much of it is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// What is held.
    #[serde(flatten)]
    pub holding: Holding,
    /// Those of its reports that are set aside.
    pub left_out: u64,
}

/// Lists what a store holds of a selection, set aside or not.
///
/// # Errors
/// Those of the store.
pub fn held(store: &dyn Store, selection: &Selection) -> Result<Vec<Held>, StoreError> {
    let counted = store.holdings(&selection.clone().without(store.left_out()?))?;
    let key = |holding: &Holding| (holding.metric.clone(), holding.version, holding.epoch);
    let counted: BTreeMap<_, u64> = counted.iter().map(|holding| (key(holding), holding.reports)).collect();
    let held = |holding: Holding| {
        let left_out = holding.reports - counted.get(&key(&holding)).copied().unwrap_or_default();
        Held { holding, left_out }
    };
    let all = selection.clone().without(LeftOut::default());
    Ok(store.holdings(&all)?.into_iter().map(held).collect())
}

/// All that is set aside in a store, each with the reports that it takes from figures. What is of a source and of an epoch
/// is in both.
///
/// # Errors
/// Those of the store.
pub fn set_aside(store: &dyn Store) -> Result<Vec<Omitted>, StoreError> {
    let left_out = store.left_out()?;
    left_out.iter().map(|what| omitted(store, what)).collect()
}

/// How many reports it is, or would be, to set something aside.
///
/// # Errors
/// Those of the store.
pub fn omitted(store: &dyn Store, what: &Aside) -> Result<Omitted, StoreError> {
    let mut reports = 0;
    for (metric, version) in store.streams()?.into_keys() {
        for (source, epochs) in store.volumes(&metric, version)? {
            let of = |epoch: Epoch| match what {
                Aside::Source { source: wanted } => *wanted == source,
                Aside::Epoch { metric: wanted, epoch: day } => (wanted, *day) == (&metric, epoch),
            };
            let volumes = epochs.iter().filter(|(epoch, _)| of(**epoch));
            reports += volumes.map(|(_, volume)| volume.reports).sum::<u64>();
        }
    }
    Ok(Omitted { what: what.clone(), reports })
}

/// The cell whose rows are being shown. A store shows the rows of an epoch and source one after another.
struct Gathered<'a, 'b> {
    cell: Option<Cell>,
    watch: &'b mut Watch<'a>,
    volumes: &'a Volumes,
}

impl Gathered<'_, '_> {
    /// The counts of a cell; the one before, if it was another, is judged.
    fn counts(&mut self, epoch: Epoch, source: &str, empty: impl FnOnce() -> Counts) -> &mut Counts {
        if self.cell.as_ref().is_some_and(|cell| (cell.epoch, cell.source.as_str()) != (epoch, source)) {
            self.judge();
        }
        let volume = self.volumes.get(source).and_then(|epochs| epochs.get(&epoch));
        let improbable = volume.map_or(0, |volume| volume.improbable);
        let cell = || Cell { epoch, source: source.to_owned(), counts: empty(), improbable };
        &mut self.cell.get_or_insert_with(cell).counts
    }

    fn judge(&mut self) {
        self.cell.take().iter().for_each(|cell| self.watch.see(cell));
    }
}
