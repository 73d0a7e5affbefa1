//! The store on disk, to the byte.
//!
//! # Format 2
//! A store is a directory that holds `store.redb`, a database of redb, and nothing else of ours. While it is being
//! made, the file is called `store.redb.new`; its rename is the moment from which the store exists.
//! redb keeps keys in the order of their parts, text by its bytes.
//!
//! | table | key | value |
//! |---|---|---|
//! | `deniable` | `"format"` | the format's number, u32 |
//! | | `"open-from"` | the oldest epoch that takes reports, u32; all take them if it is missing |
//! | `streams` | metric (text), version (u32) | fingerprint of the parameters (8 bytes), the parameters as JSON (text) |
//! | `registries` | hash of a registry that was served (8 bytes) | its catalog (bytes), what it shows in the clear as JSON (text), see below |
//! | `batches-S` | batch id (16 bytes) | nothing |
//! | `rows` | metric (text), version (u32), epoch (u32), source (text), tags (text), cohort (u16) | a row, see below |
//! | `totals-2` | metric (text), version (u32), epoch (u32), source (text), tags (text) | the reports of all its rows, u64 |
//! | `reports` | metric (text), version (u32), epoch (u32), source (text), tags (text), cohort (u16), bits (⌈k/8⌉ bytes) | how many such reports there are, u64 |
//! | `volumes` | metric (text), version (u32), epoch (u32), source (text) | the reports of all its rows, u64; those with an improbable number of ones, u64 |
//! | `aside` | metric (text), epoch (u32), source (text) | nothing |
//!
//! | `lake` | metric (text), version (u32), epoch (u32) | an epoch that is moving or moved to the lake, as JSON (text), see below |
//! | `lake-place` | nothing | where the lake is, a URL (text) |
//!
//! A batch id lies in the table of its newest counted epoch e: S = ⌊e/16⌋ in decimal. The table is dropped when all
//! its epochs are closed.
//!
//! The source is the name of the write key under which reports came, empty if there was none. Tags are a JSON object
//! without blanks that gives each public tag its label, names ascending; `{}` if there are none.
//!
//! A row has 8 · (1 + k) bytes, all u64 little-endian: the number of reports, then for each bit from 0 to k − 1 the
//! number of reports in which it was set. A cohort without reports has no row.
//!
//! `reports` holds what came to metrics that keep their reports, equal reports together, so that their order is gone.
//! The same reports are in the rows.
//!
//! An epoch that is on its way to the lake is
//! `{"state":"moving","counts":{"name":…,"rows":…,"reports":…},"reports":null}`, with a second object of that kind if its
//! reports are kept. The state becomes `moved` in the transaction that drops its `rows` and `reports`; its totals stay.
//! Volumes stay when the rows of an epoch go elsewhere: a source is compared with its own past.
//!
//! An entry of `aside` sets aside a source, if its metric is empty, and the epoch is 0 then; else an epoch of the metric,
//! and the source is empty.
//!
//! What a registry shows is `{"tags":[[name,[label,…]],…],"untagged":[metric,…]}`: its tags in order, each with its labels
//! in order, and the metrics beside which it shows none.
//!
//! # Format 1
//! Had, in place of `rows` and `totals-2`, the tables `counts` and `totals` with the same values under keys without
//! source and tags, and none of `registries`, `reports`, `volumes` and `aside`. When such a store is opened, what it holds moves to the
//! empty source and no tags, in one transaction; older programs cannot open it then.
//!
//! # What is not there
//! No time but epochs, no report but those of metrics that keep them, and nothing that leads from a batch id to counts:
//! after its commit a batch is part of sums.
//!
//! The pages of the database are another matter: redb writes a changed page anew and reuses the old one late, so the file
//! can hold earlier sums, earlier numbers of kept reports and forgotten batch ids beside what is current. Two copies of
//! the file from moments close to each other, or one that holds both, tell what came between. So protect the file and its
//! copies as you would protect the reports on their way. [`DiskStore::compact`](super::DiskStore::compact) writes a file
//! that holds what is current alone, and so does a backup.

use redb::TableDefinition;

use super::fold::add_reports;

/// The text of no tags.
pub(super) const NO_TAGS: &str = "{}";

/// The format that this program writes and reads.
pub(super) const FORMAT: u32 = 2;
/// The key of the format's number.
pub(super) const FORMAT_KEY: &str = "format";
/// The key of the oldest epoch that takes reports.
pub(super) const FLOOR_KEY: &str = "open-from";
/// The epochs whose batch ids share a table. Each batch is looked up in every table, so there should be few; each is
/// kept until its last epoch is closed, so it should not be long.
pub(super) const SPAN_EPOCHS: u32 = 16;
/// What the names of tables of batch ids begin with.
pub(super) const IDS: &str = "batches-";
/// The database.
pub(super) const FILE: &str = "store.redb";
/// The database while it is being made.
pub(super) const NEW_FILE: &str = "store.redb.new";
/// A copy while it is being made.
pub(super) const COPY_FILE: &str = "store.redb.copy";
/// A copy until it has been verified and becomes the database.
pub(super) const RESTORED_FILE: &str = "store.redb.restored";

/// Metric, version and epoch.
pub(super) type EpochKey<'a> = (&'a str, u32, u32);
/// Metric, version, epoch, source and tags.
pub(super) type PlaceKey<'a> = (&'a str, u32, u32, &'a str, &'a str);
/// Metric, version, epoch, source, tags and cohort.
pub(super) type RowKey<'a> = (&'a str, u32, u32, &'a str, &'a str, u16);
/// Metric, version, epoch, source, tags, cohort and bits.
pub(super) type ReportKey<'a> = (&'a str, u32, u32, &'a str, &'a str, u16, &'a [u8]);

pub(super) const META: TableDefinition<'_, &str, u32> = TableDefinition::new("deniable");
pub(super) const STREAMS: TableDefinition<'_, (&str, u32), (&[u8; 8], &str)> =
    TableDefinition::new("streams");
pub(super) const REGISTRIES: TableDefinition<'_, &[u8; 8], (&[u8], &str)> =
    TableDefinition::new("registries");
pub(super) const ROWS: TableDefinition<'_, RowKey<'static>, &[u8]> = TableDefinition::new("rows");
pub(super) const TOTALS: TableDefinition<'_, PlaceKey<'static>, u64> = TableDefinition::new("totals-2");
pub(super) const REPORTS: TableDefinition<'_, ReportKey<'static>, u64> = TableDefinition::new("reports");

pub(super) const LAKE: TableDefinition<'_, EpochKey<'static>, &str> = TableDefinition::new("lake");
pub(super) const LAKE_PLACE: TableDefinition<'_, (), &str> = TableDefinition::new("lake-place");
/// Metric, version, epoch and source.
pub(super) type CellKey<'a> = (&'a str, u32, u32, &'a str);

pub(super) const VOLUMES: TableDefinition<'_, CellKey<'static>, (u64, u64)> = TableDefinition::new("volumes");
pub(super) const ASIDE: TableDefinition<'_, (&str, u32, &str), ()> = TableDefinition::new("aside");

/// The tables of format 1 whose keys were shorter.
pub(super) mod format_1 {
    use redb::TableDefinition;

    pub(in crate::store) const COUNTS: TableDefinition<'_, (&str, u32, u32, u16), &[u8]> =
        TableDefinition::new("counts");
    pub(in crate::store) const TOTALS: TableDefinition<'_, (&str, u32, u32), u64> =
        TableDefinition::new("totals");
}

/// The table of batch ids of that name.
pub(super) fn ids(name: &str) -> TableDefinition<'_, &'static [u8; 16], ()> {
    TableDefinition::new(name)
}

/// The last epoch whose batch ids lie in the table of that name; `None` if it is no table of batch ids.
pub(super) fn last_epoch(name: &str) -> Option<u32> {
    let span: u32 = name.strip_prefix(IDS)?.parse().ok()?;
    Some(span.saturating_mul(SPAN_EPOCHS).saturating_add(SPAN_EPOCHS - 1))
}

/// The sums of one cohort, as they are worked on in memory.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) reports: u64,
    pub(super) ones: Vec<u64>,
}

impl Row {
    /// Makes this the row of no reports of `bits` bits.
    pub(super) fn clear(&mut self, bits: usize) {
        self.reports = 0;
        self.ones.clear();
        self.ones.resize(bits, 0);
    }

    /// Reads a stored row of `bits` bits; `None` if it has another length or a bit is set in more reports than there are.
    #[must_use]
    pub(super) fn read(&mut self, bits: usize, bytes: &[u8]) -> Option<()> {
        let (words, rest) = bytes.as_chunks::<8>();
        let (reports, ones) = words.split_first()?;
        if ones.len() != bits || !rest.is_empty() {
            return None;
        }
        self.reports = u64::from_le_bytes(*reports);
        self.ones.clear();
        self.ones.extend(ones.iter().map(|word| u64::from_le_bytes(*word)));
        self.ones.iter().all(|&count| count <= self.reports).then_some(())
    }

    /// Counts reports, which were checked to set no bit beyond k.
    pub(super) fn add<'a>(&mut self, reports: impl IntoIterator<Item = &'a [u8]>) {
        self.reports += add_reports(&mut self.ones, reports);
    }

    /// Writes the row behind what `out` held, which is cleared.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.reports.to_le_bytes());
        self.ones.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_every_bit_position_and_reads_back() {
        for k in [1, 7, 8, 9, 16, 4096] {
            let (mut row, mut bytes) = (Row::default(), Vec::new());
            row.clear(k);
            for bit in 0..k {
                let mut report = vec![0u8; k.div_ceil(8)];
                report[bit / 8] |= 1 << (bit % 8);
                // Bit i is set in one report, or in two if i is odd.
                (0..=bit % 2).for_each(|_| row.add([report.as_slice()]));
            }
            row.write(&mut bytes);
            assert_eq!(bytes.len(), 8 * (1 + k));
            let mut back = Row::default();
            back.read(k, &bytes).unwrap();
            assert_eq!(back.reports, (k + k / 2) as u64);
            assert!(back.ones.iter().enumerate().all(|(bit, &count)| count == 1 + bit as u64 % 2));
        }
    }

    #[test]
    fn a_damaged_row_is_not_read() {
        let row = |words: &[u64]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
        let read = |bytes: &[u8]| Row::default().read(2, bytes);
        assert!(read(&row(&[3, 3, 0])).is_some());
        assert!(read(&row(&[3, 4, 0])).is_none());
        assert!(read(&row(&[3, 3])).is_none());
        assert!(read(&row(&[3, 3, 0, 0])).is_none());
        assert!(read(&row(&[3, 3, 0])[..23]).is_none());
        assert!(read(&[]).is_none());
    }
}
