//! From format 1 to format 2, in one transaction: a crash leaves the one or the other.

use redb::{ReadableTable, WriteTransaction};

use super::super::StoreError;
use super::super::layout::{
    ASIDE, FORMAT, FORMAT_KEY, LAKE, LAKE_PLACE, META, NO_TAGS, REGISTRIES, REPORTS, ROWS, TOTALS, VOLUMES,
    format_1,
};
use super::DiskStore;

/// Where reports came from before that was noted.
const NO_SOURCE: &str = "";

impl DiskStore {
    /// Moves rows and totals to the empty source and no tags; the totals are its volumes.
    pub(super) fn migrate_from_format_1(&self) -> Result<(), StoreError> {
        let txn = self.begin()?;
        self.run(|| {
            move_rows(&txn)?;
            move_totals(&txn)?;
            txn.open_table(REGISTRIES)?;
            txn.open_table(REPORTS)?;
            txn.open_table(LAKE)?;
            txn.open_table(LAKE_PLACE)?;
            txn.open_table(ASIDE)?;
            txn.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
            Ok(txn.commit()?)
        })
    }
}

fn move_rows(txn: &WriteTransaction) -> Result<(), redb::Error> {
    let old = txn.open_table(format_1::COUNTS)?;
    let mut rows = txn.open_table(ROWS)?;
    for entry in old.iter()? {
        let (key, row) = entry?;
        let (metric, version, epoch, cohort) = key.value();
        rows.insert((metric, version, epoch, NO_SOURCE, NO_TAGS, cohort), row.value())?;
    }
    Ok(txn.delete_table(old).map(drop)?)
}

fn move_totals(txn: &WriteTransaction) -> Result<(), redb::Error> {
    let old = txn.open_table(format_1::TOTALS)?;
    let (mut totals, mut volumes) = (txn.open_table(TOTALS)?, txn.open_table(VOLUMES)?);
    for entry in old.iter()? {
        let (key, total) = entry?;
        let (metric, version, epoch) = key.value();
        totals.insert((metric, version, epoch, NO_SOURCE, NO_TAGS), total.value())?;
        // Which of them were improbable was not noted.
        volumes.insert((metric, version, epoch, NO_SOURCE), (total.value(), 0))?;
    }
    Ok(txn.delete_table(old).map(drop)?)
}
