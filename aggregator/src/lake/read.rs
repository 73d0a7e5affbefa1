//! From a file to rows.

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use bytes::Bytes;
use bytes::buf::{Buf, Reader};
use deniable::Params;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::statistics::Statistics;

use super::layout::{CELLS, COHORT, Kind, REPORTS, SOURCE, TAGS};
use super::rows::{Cells, Row};

/// The bytes of a file's end that are asked for first; the description of a hundred groups has room in it. Tests have small
/// files.
pub(super) const TAIL_BYTES: u64 = if cfg!(test) { 1 << 10 } else { 64 << 10 };

/// How far a reader believes what a group says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Every value is read.
    Values,
    /// A column whose least value is its greatest is not read.
    Statistics,
}

/// A part of a file in memory, read as if it were the whole.
#[derive(Clone, Debug)]
pub(super) struct Window {
    start: u64,
    bytes: Bytes,
    file_bytes: u64,
}

impl Window {
    pub(super) fn new(start: u64, bytes: Bytes, file_bytes: u64) -> Self {
        Self { start, bytes, file_bytes }
    }
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.file_bytes
    }
}

impl ChunkReader for Window {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let from = start.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        match from.filter(|from| *from <= self.bytes.len()) {
            Some(from) => Ok(self.bytes.slice(from..).reader()),
            None => Err(ParquetError::EOF(format!("byte {start} lies outside of its group"))),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let rest = self.get_read(start)?.into_inner();
        if length > rest.len() {
            return Err(ParquetError::EOF(format!("{length} bytes from {start} leave their group")));
        }
        Ok(rest.slice(..length))
    }
}

/// Reads the description of a file from its end. If that is too short, says how many bytes are needed.
pub(super) fn describe(tail: &Bytes, file_bytes: u64) -> Result<ParquetMetaData> {
    caught(|| {
        let mut reader = ParquetMetaDataReader::new();
        reader.try_parse_sized(tail, file_bytes)?;
        reader.finish()
    })
}

/// Runs a step of the reader of Parquet, which panics over some damaged files where it should refuse them.
fn caught<T>(step: impl FnOnce() -> Result<T>) -> Result<T> {
    let damaged = |_| Err(ParquetError::General("the file is damaged".to_owned()));
    panic::catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(damaged)
}

/// Where the bytes of a group lie in its file.
pub(super) fn group_range(group: &RowGroupMetaData) -> Range<u64> {
    let ranges = || group.columns().iter().map(ColumnChunkMetaData::byte_range);
    let start = ranges().map(|(start, _)| start).min().unwrap_or(0);
    let end = ranges().map(|(start, length)| start.saturating_add(length)).max().unwrap_or(0);
    start..end
}

/// The rows of a group, column by column.
#[derive(Debug)]
pub(super) struct Group {
    rows: usize,
    sources: Column<ByteArray>,
    tags: Column<ByteArray>,
    cohorts: Vec<i32>,
    reports: Column<i64>,
    cells: Columns,
}

#[derive(Debug)]
enum Column<T> {
    All(T),
    Each(Vec<T>),
}

#[derive(Debug)]
enum Columns {
    Ones(Vec<u64>, usize),
    Bits(Bytes, usize),
}

impl<T> Column<T> {
    fn get(&self, row: usize) -> &T {
        match self {
            Self::All(value) => value,
            Self::Each(values) => &values[row],
        }
    }
}

impl Group {
    /// Reads a group from its bytes.
    pub(super) fn read(
        kind: Kind,
        params: &Params,
        group: &RowGroupMetaData,
        window: &Arc<Window>,
        depth: Depth,
    ) -> Result<Self> {
        caught(|| Self::of(kind, params, &Chunks { group, window, depth }))
    }

    fn of(kind: Kind, params: &Params, columns: &Chunks<'_>) -> Result<Self> {
        let rows = columns.rows()?;
        let k = params.bits();
        let cells = match kind {
            Kind::Counts => {
                let ones = columns.values::<Int64Type>(CELLS, rows * k)?;
                Columns::Ones(ones.into_iter().map(i64::cast_unsigned).collect(), k)
            }
            Kind::Reports => Columns::Bits(columns.bits(rows * k.div_ceil(8))?, k.div_ceil(8)),
        };
        let cohorts = columns.values::<Int32Type>(COHORT, rows)?;
        if let Some(cohort) = cohorts.iter().find(|cohort| u16::try_from(**cohort).is_err()) {
            return Err(ParquetError::General(format!("a row is of cohort {cohort}")));
        }
        Ok(Self {
            rows,
            sources: columns.texts(SOURCE)?,
            tags: columns.texts(TAGS)?,
            cohorts,
            reports: columns.numbers(REPORTS)?,
            cells,
        })
    }

    /// The reports of all rows.
    pub(super) fn reports(&self) -> u64 {
        match &self.reports {
            Column::All(each) => each.cast_unsigned().saturating_mul(self.rows as u64),
            Column::Each(reports) => reports.iter().fold(0, |sum, n| sum.saturating_add(n.cast_unsigned())),
        }
    }

    /// Hands over each run of rows that have the same source and tags, if those are `wanted`.
    pub(super) fn each_run<E>(
        &self,
        wanted: impl Fn(&str, &str) -> bool,
        mut take: impl FnMut(&Run<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut from = 0;
        while from < self.rows {
            let to = self.end_of_run(from);
            let (source, tags) = (text(self.sources.get(from)), text(self.tags.get(from)));
            if wanted(source, tags) {
                take(&Run { group: self, rows: from..to, source, tags })?;
            }
            from = to;
        }
        Ok(())
    }

    /// Where the source or the tags of row `from` end.
    fn end_of_run(&self, from: usize) -> usize {
        match (&self.sources, &self.tags) {
            (Column::All(_), Column::All(_)) => self.rows,
            (sources, tags) => {
                let first = (sources.get(from), tags.get(from));
                (from..self.rows)
                    .find(|row| (sources.get(*row), tags.get(*row)) != first)
                    .unwrap_or(self.rows)
            }
        }
    }
}

/// Rows of a group that have the same source and tags.
pub(super) struct Run<'a> {
    group: &'a Group,
    rows: Range<usize>,
    source: &'a str,
    tags: &'a str,
}

/// Rows of a cohort that have no more in common than that each is one report: their bits, one after the other.
pub(super) struct Singles<'a> {
    pub(super) cohort: u16,
    pub(super) bits: &'a [u8],
    pub(super) width: usize,
}

impl Run<'_> {
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.clone().map(|row| {
            let cells = match &self.group.cells {
                Columns::Ones(ones, k) => Cells::Ones(&ones[row * k..][..*k]),
                Columns::Bits(bits, width) => Cells::Bits(&bits[row * width..][..*width]),
            };
            let (cohort, reports) =
                (self.group.cohorts[row] as u16, self.group.reports.get(row).cast_unsigned());
            Row { source: self.source, tags: self.tags, cohort, reports, cells }
        })
    }

    /// The same rows, cohort by cohort, if each is one report.
    pub(super) fn singles(&self) -> Option<impl Iterator<Item = Singles<'_>>> {
        let (Column::All(1), Columns::Bits(bits, width)) = (&self.group.reports, &self.group.cells) else {
            return None;
        };
        let mut rest = &bits[self.rows.start * width..self.rows.end * width];
        let cohorts = self.group.cohorts[self.rows.clone()].chunk_by(|a, b| a == b);
        Some(cohorts.map(move |cohort| {
            let (bits, others) = rest.split_at(cohort.len() * width);
            rest = others;
            Singles { cohort: cohort[0] as u16, bits, width: *width }
        }))
    }
}

/// Text was checked when it was read.
fn text(bytes: &ByteArray) -> &str {
    std::str::from_utf8(bytes.data()).unwrap_or_default()
}

/// The columns of a group in its file.
struct Chunks<'a> {
    group: &'a RowGroupMetaData,
    window: &'a Arc<Window>,
    depth: Depth,
}

impl Chunks<'_> {
    fn rows(&self) -> Result<usize> {
        usize::try_from(self.group.num_rows())
            .map_err(|_| ParquetError::General("a group has no length".to_owned()))
    }

    fn pages(&self, column: usize) -> Result<SerializedPageReader<Window>> {
        SerializedPageReader::new(Arc::clone(self.window), self.group.column(column), self.rows()?, None)
    }

    fn values<T: DataType>(&self, column: usize, expected: usize) -> Result<Vec<T::T>> {
        let description = self.group.column(column).column_descr_ptr();
        let reader = get_column_reader(description.clone(), Box::new(self.pages(column)?));
        let mut reader: ColumnReaderImpl<T> = get_typed_column_reader(reader);
        let is_list = description.max_rep_level() > 0;
        let (mut values, mut definition, mut repetition) = (Vec::new(), Vec::new(), Vec::new());
        let levels = is_list.then_some((&mut definition, &mut repetition));
        let (definition, repetition) = levels.unzip();
        reader.read_records(self.rows()?, definition, repetition, &mut values)?;
        if values.len() != expected {
            let found = values.len();
            let name = description.name();
            return Err(ParquetError::General(format!(
                "column {name} has {found} values in place of {expected}"
            )));
        }
        Ok(values)
    }

    fn texts(&self, column: usize) -> Result<Column<ByteArray>> {
        let column = match (self.depth, self.group.column(column).statistics()) {
            (Depth::Statistics, Some(Statistics::ByteArray(found)))
                if found.min_is_exact() && found.max_is_exact() && found.min_opt() == found.max_opt() =>
            {
                found.min_opt().map(|all| Column::All(all.clone()))
            }
            _ => None,
        }
        .map_or_else(|| self.values::<ByteArrayType>(column, self.rows()?).map(Column::Each), Ok)?;
        let is_text = |value: &ByteArray| std::str::from_utf8(value.data()).is_ok();
        let sound = match &column {
            Column::All(value) => is_text(value),
            Column::Each(values) => values.iter().all(is_text),
        };
        if sound { Ok(column) } else { Err(ParquetError::General("a source or tags are no text".to_owned())) }
    }

    fn numbers(&self, column: usize) -> Result<Column<i64>> {
        match (self.depth, self.group.column(column).statistics()) {
            (Depth::Statistics, Some(Statistics::Int64(found)))
                if found.min_opt().is_some() && found.min_opt() == found.max_opt() =>
            {
                Ok(Column::All(found.min_opt().copied().unwrap_or_default()))
            }
            _ => self.values::<Int64Type>(column, self.rows()?).map(Column::Each),
        }
    }

    /// The bits of all rows, one after the other, as they lie in the page: the column is written plain, and such pages hold
    /// nothing but values. A group has one page of them.
    fn bits(&self, expected: usize) -> Result<Bytes> {
        let mut pages = self.pages(CELLS)?;
        match (pages.get_next_page()?, pages.get_next_page()?) {
            (Some(Page::DataPage { buf, encoding: Encoding::PLAIN, .. }), None) if buf.len() == expected => {
                Ok(buf)
            }
            _ => Err(ParquetError::General(format!("column bits is not one plain page of {expected} bytes"))),
        }
    }
}
