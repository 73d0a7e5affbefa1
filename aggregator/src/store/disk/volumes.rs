//! How much came from where, and what of it is set aside.

use deniable::{Epoch, MetricId};
use redb::{ReadTransaction, ReadableTable};

use super::super::layout::{ASIDE, CellKey, VOLUMES};
use super::super::{Aside, LeftOut, StoreError};
use super::DiskStore;
use crate::guard::{Volume, Volumes};

/// Metric, version, epoch and source.
pub(super) type HeldCell = (MetricId, u32, Epoch, String);

impl DiskStore {
    pub(super) fn volumes_in(
        &self,
        txn: &ReadTransaction,
        (metric, version): (&MetricId, u32),
    ) -> Result<Volumes, StoreError> {
        self.params_in(txn, metric, version)?;
        let name = metric.as_str();
        let mut volumes = Volumes::new();
        // Nothing sorts before the empty text.
        self.each_volume_in(txn, (name, version, 0, ""), &mut |(found, of, epoch, source), volume| {
            let wanted = (found.as_str(), of) == (name, version);
            if wanted {
                volumes.entry(source).or_default().insert(epoch, volume);
            }
            wanted
        })?;
        Ok(volumes)
    }

    /// Shows volumes from a cell on, as long as more are wanted.
    pub(super) fn each_volume_in(
        &self,
        txn: &ReadTransaction,
        from: CellKey<'_>,
        show: &mut dyn FnMut(HeldCell, Volume) -> bool,
    ) -> Result<(), StoreError> {
        let range = self.run(|| Ok(txn.open_table(VOLUMES)?.range(from..)?))?;
        for entry in range {
            let (key, value) = self.run(|| Ok(entry?))?;
            let ((name, version, epoch, source), (reports, improbable)) = (key.value(), value.value());
            let metric = MetricId::new(name).ok().filter(|_| improbable <= reports);
            let metric = metric.ok_or_else(|| self.damaged(format!("the volume {:?}", key.value())))?;
            let cell = (metric, version, Epoch(epoch), source.to_owned());
            if !show(cell, Volume { reports, improbable }) {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn left_out_in(&self, txn: &ReadTransaction) -> Result<LeftOut, StoreError> {
        let raw = self.run(|| {
            let mut raw = Vec::new();
            for entry in txn.open_table(ASIDE)?.iter()? {
                let (key, _) = entry?;
                let (metric, epoch, source) = key.value();
                raw.push((metric.to_owned(), epoch, source.to_owned()));
            }
            Ok(raw)
        })?;
        raw.into_iter()
            .map(|(metric, epoch, source)| match MetricId::new(&metric) {
                _ if metric.is_empty() => Ok(Aside::Source { source }),
                Ok(metric) => Ok(Aside::Epoch { metric, epoch: Epoch(epoch) }),
                Err(_) => Err(self.damaged(format!("what is set aside of metric {metric:?}"))),
            })
            .collect()
    }

    /// Notes or forgets that something is set aside, and says whether that changed anything.
    pub(super) fn note(&self, what: &Aside, is_aside: bool) -> Result<bool, StoreError> {
        let key = match what {
            Aside::Source { source } => ("", 0, source.as_str()),
            Aside::Epoch { metric, epoch } => (metric.as_str(), epoch.0, ""),
        };
        let txn = self.begin()?;
        self.run(|| {
            let mut table = txn.open_table(ASIDE)?;
            let was_aside =
                if is_aside { table.insert(key, ())?.is_some() } else { table.remove(key)?.is_some() };
            drop(table);
            txn.commit()?;
            Ok(was_aside != is_aside)
        })
    }
}
