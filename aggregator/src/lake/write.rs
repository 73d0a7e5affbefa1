//! From rows to a file.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use deniable::Params;
use parquet::data_type::{
    ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};

use super::layout::{Content, Kind, Partition};
use super::rows::{Cells, Row};

/// Writes rows, which come in their order, group by group.
///
/// A group has one source and one set of tags if there are enough rows of them, so that who asks for those reads no
/// others; few rows share a group.
pub(super) struct FileWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    kind: Kind,
    width: usize,
    group: Group,
    group_rows: usize,
}

/// The rows of a group, column by column.
#[derive(Default)]
struct Group {
    sources: Vec<ByteArray>,
    tags: Vec<ByteArray>,
    cohorts: Vec<i32>,
    reports: Vec<i64>,
    ones: Vec<i64>,
    bits: Vec<u8>,
}

impl<W: Write + Send> FileWriter<W> {
    pub(super) fn new(
        out: W,
        kind: Kind,
        partition: &Partition,
        params: &Params,
        content: &Content,
    ) -> Result<Self> {
        let properties = kind.properties(kind.entries(partition, params, content));
        let file = SerializedFileWriter::new(out, kind.schema(params), Arc::new(properties))?;
        let width = params.bits().div_ceil(8);
        Ok(Self { file, kind, width, group: Group::default(), group_rows: kind.group_rows(params) })
    }

    pub(super) fn add(&mut self, row: &Row<'_>) -> Result<()> {
        let held = self.group.cohorts.len();
        let is_other = held > 0 && !self.group.ends_with(row);
        if held == self.group_rows || is_other && held > self.group_rows / 8 {
            self.flush()?;
        }
        self.group.add(row);
        Ok(())
    }

    /// Writes the last group and the end, and returns what was written to.
    pub(super) fn finish(mut self) -> Result<W> {
        if !self.group.cohorts.is_empty() {
            self.flush()?;
        }
        self.file.into_inner()
    }

    fn flush(&mut self) -> Result<()> {
        let group = std::mem::take(&mut self.group);
        let mut out = self.file.next_row_group()?;
        group.write(&mut out, self.kind, self.width)?;
        out.close().map(drop)
    }
}

impl Group {
    fn ends_with(&self, row: &Row<'_>) -> bool {
        let is =
            |last: Option<&ByteArray>, text: &str| last.is_some_and(|last| last.data() == text.as_bytes());
        is(self.sources.last(), row.source) && is(self.tags.last(), row.tags)
    }

    fn add(&mut self, row: &Row<'_>) {
        push(&mut self.sources, row.source);
        push(&mut self.tags, row.tags);
        self.cohorts.push(i32::from(row.cohort));
        // Columns of unsigned numbers keep their bits.
        self.reports.push(row.reports.cast_signed());
        match row.cells {
            Cells::Ones(ones) => self.ones.extend(ones.iter().map(|count| count.cast_signed())),
            Cells::Bits(bits) => self.bits.extend_from_slice(bits),
        }
    }

    fn write<W: Write + Send>(
        self,
        out: &mut SerializedRowGroupWriter<'_, W>,
        kind: Kind,
        width: usize,
    ) -> Result<()> {
        write_column::<ByteArrayType, _>(out, &self.sources, None)?;
        write_column::<ByteArrayType, _>(out, &self.tags, None)?;
        write_column::<Int32Type, _>(out, &self.cohorts, None)?;
        write_column::<Int64Type, _>(out, &self.reports, None)?;
        match kind {
            Kind::Counts => {
                let (definition, repetition) = levels(self.cohorts.len(), self.ones.len());
                write_column::<Int64Type, _>(out, &self.ones, Some((&definition, &repetition)))
            }
            Kind::Reports => {
                let bits = Bytes::from(self.bits);
                let values: Vec<FixedLenByteArray> = (0..bits.len() / width)
                    .map(|row| ByteArray::from(bits.slice(row * width..(row + 1) * width)).into())
                    .collect();
                write_column::<FixedLenByteArrayType, _>(out, &values, None)
            }
        }
    }
}

/// Adds a text; the same text again shares its bytes.
fn push(texts: &mut Vec<ByteArray>, text: &str) {
    let again = texts.last().filter(|last| last.data() == text.as_bytes()).cloned();
    texts.push(again.unwrap_or_else(|| ByteArray::from(text)));
}

/// The levels of lists of equal length: each value is there, and all but the first of a list go on with it.
fn levels(rows: usize, values: usize) -> (Vec<i16>, Vec<i16>) {
    let length = values / rows;
    (vec![1; values], (0..values).map(|place| i16::from(place % length != 0)).collect())
}

fn write_column<T: parquet::data_type::DataType, W: Write + Send>(
    out: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<(&[i16], &[i16])>,
) -> Result<()> {
    let mut column = out.next_column()?.ok_or_else(|| ParquetError::EOF("a column is missing".to_owned()))?;
    let (definition, repetition) = levels.unzip();
    column.typed::<T>().write_batch(values, definition, repetition)?;
    column.close()
}
