//! What is read: of one moment, whatever is committed meanwhile.

use std::collections::BTreeMap;

use deniable::registry::RegistryHash;
use deniable::{Epoch, Fingerprint, MetricId, Params, fits};
use redb::{ReadTransaction, ReadableTable};

use super::super::layout::{PlaceKey, REGISTRIES, REPORTS, ROWS, Row, STREAMS, TOTALS};
use super::super::public::Tags;
use super::super::{Holding, Place, Registries, Selection, StoreError, Streams, Sums};
use super::DiskStore;

/// Metric, version, epoch, source and tags.
pub(super) type Held = (MetricId, u32, Epoch, String, Tags);

impl DiskStore {
    pub(super) fn streams_in(&self, txn: &ReadTransaction) -> Result<Streams, StoreError> {
        let raw = self.run(|| {
            let mut raw = Vec::new();
            for entry in txn.open_table(STREAMS)?.iter()? {
                let (key, value) = entry?;
                let ((metric, version), (fingerprint, params)) = (key.value(), value.value());
                raw.push((metric.to_owned(), version, Fingerprint(*fingerprint), params.to_owned()));
            }
            Ok(raw)
        })?;
        raw.into_iter()
            .map(|(name, version, fingerprint, params)| {
                let metric = MetricId::new(&name).ok();
                let params = serde_json::from_str(&params).ok();
                metric
                    .zip(params)
                    .filter(|(_, params): &(_, Params)| params.fingerprint() == fingerprint)
                    .map(|(metric, params)| ((metric, version), params))
                    .ok_or_else(|| self.damaged(format!("the entry of metric {name:?} version {version}")))
            })
            .collect()
    }

    pub(super) fn params_in(
        &self,
        txn: &ReadTransaction,
        metric: &MetricId,
        version: u32,
    ) -> Result<Params, StoreError> {
        let (dir, key) = (&self.dir, (metric.clone(), version));
        let unknown = |(metric, version)| StoreError::UnknownStream { dir: dir.clone(), metric, version };
        self.streams_in(txn)?.remove(&key).ok_or_else(|| unknown(key))
    }

    pub(super) fn registries_in(&self, txn: &ReadTransaction) -> Result<Registries, StoreError> {
        let raw = self.run(|| {
            let mut raw = Vec::new();
            for entry in txn.open_table(REGISTRIES)?.iter()? {
                let (hash, value) = entry?;
                raw.push((RegistryHash(*hash.value()), value.value().1.to_owned()));
            }
            Ok(raw)
        })?;
        raw.into_iter()
            .map(|(hash, public)| match serde_json::from_str(&public) {
                Ok(public) => Ok((hash, public)),
                Err(_) => Err(self.damaged(format!("what registry {hash} shows"))),
            })
            .collect()
    }

    pub(super) fn holdings_in(
        &self,
        txn: &ReadTransaction,
        selection: &Selection,
    ) -> Result<Vec<Holding>, StoreError> {
        let mut held = BTreeMap::<(MetricId, u32, Epoch), u64>::new();
        for ((metric, version, epoch, source, tags), reports) in self.totals_in(txn)? {
            if selection.takes(&metric, epoch, &source, &tags) {
                *held.entry((metric, version, epoch)).or_default() += reports;
            }
        }
        let holding = |((metric, version, epoch), reports)| Holding { metric, version, epoch, reports };
        Ok(held.into_iter().map(holding).collect())
    }

    pub(super) fn totals_in(&self, txn: &ReadTransaction) -> Result<BTreeMap<Held, u64>, StoreError> {
        let mut totals = BTreeMap::new();
        let entries = self.run(|| Ok(txn.open_table(TOTALS)?.range::<PlaceKey<'_>>(..)?))?;
        for entry in entries {
            let (key, total) = self.run(|| Ok(entry?))?;
            let (name, version, epoch, source, tags) = key.value();
            let Some((metric, tags)) = MetricId::new(name).ok().zip(Tags::parse(tags)) else {
                return Err(self.damaged(format!("the total {:?}", key.value())));
            };
            totals.insert((metric, version, Epoch(epoch), source.to_owned(), tags), total.value());
        }
        Ok(totals)
    }

    pub(super) fn each_row_in(
        &self,
        txn: &ReadTransaction,
        (metric, version): (&MetricId, u32),
        selection: &Selection,
        show: &mut dyn FnMut(&Place<'_>, &Sums<'_>),
    ) -> Result<(), StoreError> {
        let params = self.params_in(txn, metric, version)?;
        let (name, epochs) = (metric.as_str(), selection.epochs());
        // Nothing sorts before the empty text and cohort 0.
        let keys = (name, version, epochs.start().0, "", "", 0)..;
        let range = self.run(|| Ok(txn.open_table(ROWS)?.range(keys)?))?;
        let (mut row, mut known) = (Row::default(), KnownTags::default());
        for entry in range {
            let (key, value) = self.run(|| Ok(entry?))?;
            let (found, of, epoch, source, text, cohort) = key.value();
            let epoch = Epoch(epoch);
            if (found, of) != (name, version) || epoch > *epochs.end() {
                break;
            }
            let damaged = || self.damaged(format!("the row {:?}", key.value()));
            let tags = known.parse(text).ok_or_else(damaged)?;
            if !selection.takes(metric, epoch, source, tags) {
                continue;
            }
            row.read(params.bits(), value.value())
                .filter(|()| usize::from(cohort) < params.cohorts())
                .ok_or_else(damaged)?;
            show(&Place { epoch, source, tags, cohort }, &Sums { reports: row.reports, ones: &row.ones });
        }
        Ok(())
    }

    pub(super) fn each_report_in(
        &self,
        txn: &ReadTransaction,
        (metric, version): (&MetricId, u32),
        selection: &Selection,
        show: &mut dyn FnMut(&Place<'_>, &[u8], u64),
    ) -> Result<(), StoreError> {
        let params = self.params_in(txn, metric, version)?;
        let (name, epochs) = (metric.as_str(), selection.epochs());
        let keys = (name, version, epochs.start().0, "", "", 0, &[][..])..;
        let range = self.run(|| Ok(txn.open_table(REPORTS)?.range(keys)?))?;
        let mut known = KnownTags::default();
        for entry in range {
            let (key, times) = self.run(|| Ok(entry?))?;
            let (found, of, epoch, source, text, cohort, bits) = key.value();
            let epoch = Epoch(epoch);
            if (found, of) != (name, version) || epoch > *epochs.end() {
                break;
            }
            let damaged = || self.damaged(format!("a report that is kept of {metric} version {version}"));
            let tags = known.parse(text).filter(|_| fits(&params, cohort, bits)).ok_or_else(damaged)?;
            if selection.takes(metric, epoch, source, tags) {
                show(&Place { epoch, source, tags, cohort }, bits, times.value());
            }
        }
        Ok(())
    }
}

/// The tags that were read last: neighbours mostly have the same.
#[derive(Default)]
pub(super) struct KnownTags(Option<(String, Tags)>);

impl KnownTags {
    pub(super) fn parse(&mut self, text: &str) -> Option<&Tags> {
        if self.0.as_ref().is_none_or(|(known, _)| known != text) {
            self.0 = Some((text.to_owned(), Tags::parse(text)?));
        }
        self.0.as_ref().map(|(_, tags)| tags)
    }
}
