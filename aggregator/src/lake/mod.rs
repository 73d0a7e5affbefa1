//! The lake: closed epochs as files of Parquet, in a folder or in S3, for this program and for any other.
//!
//! A closed epoch never changes again. It is moved out of the store, which so stays small, into files that explain
//! themselves; `deniable counts` and `decode` go on to read it as if nothing had happened.
//!
//! # Layout, format 1
//! ```text
//! counts/metric=M/version=V/epoch=E/NAME.parquet
//! reports/metric=M/version=V/epoch=E/NAME.parquet
//! ```
//! An epoch of a metric version has one file of counts, and one of reports if its metric keeps those. M is the metric's
//! name, V its version and E the epoch, days since 1970-01-01, in decimal: engines read them as columns and skip what
//! is not asked for. NAME is 32 hexadecimal digits of a SHA-256 of the rows, see below.
//!
//! | column | type | content |
//! |---|---|---|
//! | `source` | string | the name of the write key that the reports came under; empty if there was none |
//! | `tags` | string | their public tags as canonical text; empty if there are none |
//! | `cohort` | unsigned, 16 bits | their cohort, from 0 to m − 1 |
//! | `reports` | unsigned, 64 bits | how many they are, at least 1 |
//! | `ones` | list of unsigned, 64 bits | only of counts: for each of the k bits, how many of them set it |
//! | `bits` | fixed-length bytes, ⌈k/8⌉ | only of reports: the bits that each of them has; bit i in place i mod 8 of byte ⌊i/8⌋ |
//!
//! No column is ever null. Rows are sorted by source, tags, cohort and bits, each combination once, so that the order
//! in which reports came is gone; the sums of the reports' bits are the counts. Pages are not compressed: the bits are
//! random, `ones` are packed by their differences, and the other columns are dictionaries.
//!
//! The entries of each file's metadata make it readable without this program: `deniable.format` (`1`), `deniable.kind`
//! (`counts` or `reports`), `deniable.metric`, `.version`, `.epoch`, `.bits` (k), `.cohorts` (m), `.fingerprint` (16
//! hexadecimal digits), `.params` (the parameters as JSON, enough to decode with) and `.content` (NAME).
//!
//! NAME is the beginning of the SHA-256 of a line `deniable lake 1 KIND M V E FINGERPRINT` and of each row: source and tags,
//! each after its length (u32), cohort (u16), reports (u64), then `ones` (u64 each) or `bits`; integers are
//! little-endian. So whoever holds the same rows gives a file the same name, and a file tells whether it is whole.
//!
//! # How an epoch is moved
//! 1. Its rows are read once to tell NAME, and NAME is noted in the store as *moving*, durably.
//! 2. The files are written. A file appears under its name when it is whole and durable.
//! 3. The files are read back, every value, and must tell the same NAME.
//! 4. One transaction of the store notes the epoch as *moved* and drops its rows.
//!
//! Who reads counts learns in one transaction which epochs are moved and what the store holds of the others, and moved
//! files never change: so an epoch is read from one of the two, never from both or from none. A crash leaves an epoch
//! moving, and the next compaction, at the latest that of the next start, moves it again: the same rows give the same
//! names, so it writes over what there is. Should the rows tell another name, the files noted are removed first. A file
//! that this store has not noted stops the move, since whoever reads the lake alone would count it too.
//!
//! In S3, a rule of the bucket should remove uploads that were never completed; a folder is swept of them.
//!
//! A lake belongs to one store. Whoever reads the lake may read every report in it: protect it as you would the store.

mod check;
mod compact;
mod connect;
mod error;
mod layout;
mod place;
mod read;
mod rows;
mod totals;
mod write;

use std::fmt;
use std::sync::Arc;

use deniable::Params;
use object_store::path::Path;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use tokio::runtime::Handle;

pub use self::check::{Checked, check};
pub use self::compact::{Compacted, compact};
pub use self::error::LakeError;
use self::layout::Digester;
pub use self::layout::{Content, Kind, Move, Partition};
use self::place::{Absent, Place};
use self::read::{Depth, Group, Run, TAIL_BYTES, Window, describe, group_range};
pub use self::rows::{Cells, Row, TakeRow};
use self::totals::Totals;
use self::write::FileWriter;
use crate::decode::Counts;

/// A place of closed epochs. Its calls wait for the storage: make them on a thread that may wait.
#[derive(Clone)]
pub struct Lake {
    place: Place,
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lake({})", self.place.url())
    }
}

impl Lake {
    /// Opens the lake at a folder, given as a path or as `file:///path`, or at `s3://bucket/prefix`. The settings of S3 are
    /// those of the environment, `AWS_ACCESS_KEY_ID` and the like; they are never printed.
    ///
    /// # Errors
    /// A [`LakeError`] if there is no such folder, or the place or a setting is not understood.
    pub fn open(place: &str, runtime: Handle) -> Result<Self, LakeError> {
        Ok(Self { place: Place::open(place, Absent::Refuse, runtime)? })
    }

    /// As [`Lake::open`], and makes the folder if it is not there.
    ///
    /// # Errors
    /// As [`Lake::open`].
    pub fn create(place: &str, runtime: Handle) -> Result<Self, LakeError> {
        Ok(Self { place: Place::open(place, Absent::Make, runtime)? })
    }

    /// The lake on storage of a test's own.
    #[cfg(test)]
    pub(crate) fn on(objects: Arc<dyn object_store::ObjectStore>, runtime: Handle) -> Self {
        Self { place: Place::on(objects, runtime) }
    }

    /// Where it is, as a URL.
    pub fn url(&self) -> &str {
        self.place.url()
    }

    /// Writes the file of `content`, whose rows `rows` hands over in their order. It appears when it is whole and durable.
    ///
    /// # Errors
    /// A [`LakeError`] if it cannot be written, and what `rows` fails with.
    pub fn write(
        &self,
        file: &File<'_>,
        rows: impl FnOnce(&mut TakeRow<'_>) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        let path = file.path();
        let failed = |source| LakeError::Parquet { object: self.place.name(&path), source };
        let out = self.place.create(&path);
        let mut writer =
            FileWriter::new(out, file.kind, file.partition, file.params, file.content).map_err(failed)?;
        rows(&mut |row| writer.add(row).map_err(failed))?;
        writer.finish().map_err(failed)?.finish()
    }

    /// Hands over the rows of a file whose source and tags are `wanted`.
    ///
    /// # Errors
    /// A [`LakeError`] if the file is not there, is not one of the partition and its parameters, or has not as many rows
    /// and reports as its content says.
    pub fn each_row(
        &self,
        file: &File<'_>,
        wanted: impl Fn(&str, &str) -> bool,
        mut take: impl FnMut(&Row<'_>) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        self.each_run(file, Depth::Statistics, wanted, |run| run.rows().try_for_each(|row| take(&row)))
    }

    /// The counts of a file's reports whose source and tags are `wanted`, folded from the reports themselves if it holds
    /// those.
    ///
    /// # Errors
    /// As [`Lake::each_row`], and [`LakeError::Damaged`] if a row is none that the parameters can have.
    pub fn counts(&self, file: &File<'_>, wanted: impl Fn(&str, &str) -> bool) -> Result<Counts, LakeError> {
        let mut totals = Totals::new(file.params);
        self.each_run(file, Depth::Statistics, wanted, |run| {
            totals.add(run).map_err(|what| self.damaged(&file.path(), what))
        })?;
        totals.finish().map_err(|what| self.damaged(&file.path(), what))
    }

    /// Reads every value of a file, and compares its rows with their name.
    ///
    /// # Errors
    /// [`LakeError::Damaged`] if they tell another, and as [`Lake::each_row`].
    pub fn verify(&self, file: &File<'_>) -> Result<(), LakeError> {
        let mut digester = Digester::new(file.kind, file.partition, file.params);
        let mut in_order = true;
        self.each_run(
            file,
            Depth::Values,
            |_, _| true,
            |run| {
                run.rows().for_each(|row| in_order &= digester.add(&row));
                Ok(())
            },
        )?;
        if !in_order {
            return Err(self.damaged(&file.path(), "its rows are not sorted".to_owned()));
        }
        let found = digester.finish();
        if found != *file.content {
            return Err(self.damaged(&file.path(), format!("its rows tell the name {}", found.name)));
        }
        Ok(())
    }

    fn each_run(
        &self,
        file: &File<'_>,
        depth: Depth,
        wanted: impl Fn(&str, &str) -> bool,
        mut take: impl FnMut(&Run<'_>) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        let path = file.path();
        let failed = |source| LakeError::Parquet { object: self.place.name(&path), source };
        let Some(file_bytes) = self.place.size(&path)? else {
            return Err(self.damaged(&path, "it is not there".to_owned()));
        };
        let described = self.describe(&path, file_bytes)?;
        self.check(file, &path, &described)?;
        let mut reports = 0u64;
        for group in described.row_groups() {
            let range = group_range(group);
            if range.end > file_bytes {
                return Err(
                    self.damaged(&path, format!("a group ends at byte {} of {file_bytes}", range.end))
                );
            }
            let window = Window::new(range.start, self.place.read(&path, range)?, file_bytes);
            let group =
                Group::read(file.kind, file.params, group, &Arc::new(window), depth).map_err(failed)?;
            reports = reports.saturating_add(group.reports());
            group.each_run(&wanted, &mut take)?;
        }
        if reports != file.content.reports {
            let what = format!("it has {reports} reports where {} were written", file.content.reports);
            return Err(self.damaged(&path, what));
        }
        Ok(())
    }

    fn describe(&self, path: &Path, file_bytes: u64) -> Result<ParquetMetaData, LakeError> {
        let mut tail_bytes = TAIL_BYTES;
        loop {
            let start = file_bytes.saturating_sub(tail_bytes);
            let tail = self.place.read(path, start..file_bytes)?;
            match describe(&tail, file_bytes) {
                Err(ParquetError::NeedMoreData(needed)) if needed as u64 > tail_bytes && start > 0 => {
                    tail_bytes = needed as u64;
                }
                found => {
                    let object = || self.place.name(path);
                    return found.map_err(|source| LakeError::Parquet { object: object(), source });
                }
            }
        }
    }

    /// Checks that a file says of itself what it should, and has the columns that it should.
    fn check(&self, file: &File<'_>, path: &Path, described: &ParquetMetaData) -> Result<(), LakeError> {
        let found = described.file_metadata();
        let entries = found.key_value_metadata().map(Vec::as_slice).unwrap_or_default();
        for expected in file.kind.entries(file.partition, file.params, file.content) {
            let value =
                entries.iter().find(|entry| entry.key == expected.key).and_then(|entry| entry.value.clone());
            if value == expected.value {
                continue;
            }
            let (object, found) = (self.place.name(path), value.unwrap_or_default());
            return Err(if expected.key.ends_with(".format") {
                LakeError::Format { object, found }
            } else {
                let what = format!("its {} is {found:?} in place of {:?}", expected.key, expected.value);
                LakeError::Damaged { object, what }
            });
        }
        if *found.schema() != *file.kind.schema(file.params) {
            return Err(self.damaged(path, "it has other columns".to_owned()));
        }
        let rows = u64::try_from(found.num_rows()).unwrap_or_default();
        if rows != file.content.rows {
            let what = format!("it has {rows} rows where {} were written", file.content.rows);
            return Err(self.damaged(path, what));
        }
        Ok(())
    }

    fn damaged(&self, path: &Path, what: String) -> LakeError {
        LakeError::Damaged { object: self.place.name(path), what }
    }
}

/// A file of a lake: what it should hold, and so where it lies.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Sums or reports.
    pub kind: Kind,
    /// Of which epoch.
    pub partition: &'a Partition,
    /// Under which parameters.
    pub params: &'a Params,
    /// What was written.
    pub content: &'a Content,
}

impl File<'_> {
    pub(crate) fn damaged(&self, lake: &Lake, what: &str) -> LakeError {
        lake.damaged(&self.path(), what.to_owned())
    }

    fn path(&self) -> Path {
        self.content.path(self.kind, self.partition)
    }
}

#[cfg(test)]
mod tests;
