//! The ids of batches, in a table for each span of epochs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use deniable::Epoch;
use redb::{ReadableTable, TableHandle, WriteTransaction};

use super::super::layout::{self, IDS, SPAN_EPOCHS};

/// The tables of batch ids.
pub(super) struct Spans<'txn>(BTreeMap<String, redb::Table<'txn, &'static [u8; 16], ()>>);

impl<'txn> Spans<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        let mut spans = BTreeMap::new();
        for table in txn.list_tables()? {
            let name = table.name();
            if layout::last_epoch(name).is_some() {
                spans.insert(name.to_owned(), txn.open_table(layout::ids(name))?);
            }
        }
        Ok(Self(spans))
    }

    pub(super) fn contain(&self, id: &[u8; 16]) -> Result<bool, redb::Error> {
        for table in self.0.values() {
            if table.get(id)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn insert(
        &mut self,
        txn: &'txn WriteTransaction,
        newest: Epoch,
        id: &[u8; 16],
    ) -> Result<(), redb::Error> {
        let name = format!("{IDS}{}", newest.0 / SPAN_EPOCHS);
        let table = match self.0.entry(name) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(free) => {
                let table = txn.open_table(layout::ids(free.key()))?;
                free.insert(table)
            }
        };
        table.insert(id, ())?;
        Ok(())
    }
}
