//! Readers of the files of google/rappor: `params.csv`, `counts.csv` and `map.csv`.
//!
//! They are taken exactly as its tools write them, with CR LF or LF at the ends of lines, and read as a
//! stream. What is wrong in them is told with file, line, value, limit and remedy.
//!
//! - `params.csv`: the header `k,h,m,p,q,f` and one row.
//! - `counts.csv`: no header; for each cohort a row with its reports and then the ones of bit 0, 1, … k − 1.
//! - `map.csv`: no header; a row for each candidate: the string, then m·h cells `cohort · k + bit + 1`, cohort by cohort.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use csv::ByteRecord;
use deniable::rappor::Settings;
use deniable::{Params, ParamsError};
use thiserror::Error;

use crate::decode::{Candidates, Counts, CountsError};

const HEADER: [&str; 6] = ["k", "h", "m", "p", "q", "f"];

/// Reads `params.csv`.
///
/// # Errors
/// A [`FileError`] if the file cannot be read, is not as described in the [module head](self), or its
/// parameters cannot be.
pub fn read_params(path: &Path) -> Result<Params, FileError> {
    read_settings(path)?.params().map_err(|source| FileError::Params { path: path.into(), source })
}

/// Reads `params.csv` without asking whether such parameters can be.
///
/// # Errors
/// A [`FileError`] if the file cannot be read or is not as described in the [module head](self).
pub fn read_settings(path: &Path) -> Result<Settings, FileError> {
    let mut table = Table::open(path)?;
    let mut next = |what| table.next(HEADER.len(), what)?.ok_or_else(|| FileError::rows(path, what, 0, 2));
    let header = next("the header k,h,m,p,q,f")?;
    if !header.fields().eq(HEADER.iter().map(|name| name.as_bytes())) {
        let found = header.fields().map(String::from_utf8_lossy).collect::<Vec<_>>().join(",");
        return Err(FileError::Header { path: path.into(), found });
    }
    let row = next("a row of parameters")?;
    if table.next(HEADER.len(), "a row of parameters")?.is_some() {
        return Err(FileError::rows(path, "a header and one row of parameters", 3, 2));
    }
    let [bits, hashes, cohorts] = [row.number(0)?, row.number(1)?, row.number(2)?];
    let [p, q, f] = [row.number(3)?, row.number(4)?, row.number(5)?];
    Ok(Settings { bits, hashes, cohorts, f, p, q })
}

/// Reads `counts.csv` of reports under `params`.
///
/// # Errors
/// A [`FileError`] if the file cannot be read, is not as described in the [module head](self), or has counts
/// that no reports can have.
pub fn read_counts(path: &Path, params: &Params) -> Result<Counts, FileError> {
    let (cohorts, bits) = (params.cohorts(), params.bits());
    let mut table = Table::open(path)?;
    let (mut reports, mut ones) = (Vec::with_capacity(cohorts), Vec::with_capacity(cohorts * bits));
    while let Some(row) = table.next(bits + 1, "a cohort's reports and its k counts")? {
        if reports.len() == cohorts {
            return Err(FileError::rows(path, "one row for each cohort", cohorts + 1, cohorts));
        }
        reports.push(row.number(0)?);
        for column in 1..=bits {
            ones.push(row.number(column)?);
        }
    }
    if reports.len() != cohorts {
        return Err(FileError::rows(path, "one row for each cohort", reports.len(), cohorts));
    }
    Counts::new(bits, reports, ones).map_err(|source| FileError::Counts { path: path.into(), source })
}

/// Reads `map.csv` for reports under `params`.
///
/// # Errors
/// A [`FileError`] if the file cannot be read or is not as described in the [module head](self): a row of
/// another size or a cell of another cohort means that the map was made for other parameters.
pub fn read_map(path: &Path, params: &Params) -> Result<Candidates, FileError> {
    Table::open(path)?.map(params)
}

/// Reads a list of candidates as a stream, one per line, blanks around them stripped as the reference does.
///
/// # Errors
/// A [`FileError`] if the file cannot be opened, and for each line that is empty, not UTF-8 or cannot be read.
pub fn stream_candidates(
    path: &Path,
) -> Result<impl Iterator<Item = Result<String, FileError>> + use<>, FileError> {
    let file = File::open(path).map_err(|source| FileError::Read { path: path.into(), source })?;
    let path = path.to_owned();
    let name = move |(index, line): (usize, std::io::Result<Vec<u8>>)| {
        let line = line.map_err(|source| FileError::Read { path: path.clone(), source })?;
        let line = line.trim_ascii();
        let wrong = match str::from_utf8(line) {
            Ok("") => Wrong::Empty,
            Ok(name) => return Ok(name.to_owned()),
            Err(_) => Wrong::Utf8,
        };
        Err(FileError::at(&path, index as u64 + 1, 0, line, wrong))
    };
    Ok(BufReader::new(file).split(b'\n').enumerate().map(name))
}

/// Reads a list of candidates, as [`stream_candidates`] does, to its end.
///
/// # Errors
/// As [`stream_candidates`].
pub fn read_candidates(path: &Path) -> Result<Vec<String>, FileError> {
    stream_candidates(path)?.collect()
}

/// Reads `reports.csv` as a stream: after a header of any names rows of client, cohort, two columns that are not
/// looked at, and the report's bits, the last one first. `report` is told the cohort and the bits, bit j of the
/// report being bit j mod 8 of byte ⌊j/8⌋.
///
/// # Errors
/// A [`FileError`] if the file cannot be read, or a row has not five columns, a cohort below m, and k digits 0 or 1.
pub fn read_reports(
    path: &Path,
    params: &Params,
    mut report: impl FnMut(u16, &[u8]),
) -> Result<(), FileError> {
    const COLUMNS: usize = 5;
    let what = "client, cohort, bloom, prr and irr";
    let (bits, highest) = (params.bits(), params.cohorts() - 1);
    let mut table = Table::open(path)?;
    table.next(COLUMNS, what)?;
    let mut bytes = vec![0; bits.div_ceil(8)];
    while let Some(row) = table.next(COLUMNS, what)? {
        let cohort: usize = row.number(1)?;
        if cohort > highest {
            return Err(row.error(1, Wrong::Cohort { highest }));
        }
        let digits = row.field(4);
        if digits.len() != bits || !digits.iter().all(|digit| matches!(digit, b'0' | b'1')) {
            return Err(row.error(4, Wrong::Bits { bits }));
        }
        bytes.fill(0);
        for (bit, _) in digits.iter().rev().enumerate().filter(|(_, digit)| **digit == b'1') {
            bytes[bit / 8] |= 1 << (bit % 8);
        }
        report(cohort as u16, &bytes);
    }
    Ok(())
}

/// A CSV file without header, whose rows know their lines.
pub(crate) struct Table<'a> {
    path: &'a Path,
    reader: csv::Reader<Box<dyn Read>>,
}

impl<'a> Table<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(|source| FileError::Read { path: path.into(), source })?;
        // With CR LF as the end, the LF would count as part of the next row, and lines would be told wrong.
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .terminator(csv::Terminator::Any(b'\n'))
            .from_reader(Box::new(file) as _);
        Ok(Self { path, reader })
    }

    /// Passes over a record of any columns and returns its fields.
    pub(crate) fn skip_record(&mut self) -> Result<Option<Vec<String>>, FileError> {
        let mut record = ByteRecord::new();
        let more = self.reader.read_byte_record(&mut record);
        let more = more.map_err(|source| FileError::Csv { path: self.path.into(), source })?;
        let text = |field| String::from_utf8_lossy(field).trim_end_matches('\r').to_owned();
        Ok(more.then(|| record.iter().map(text).collect()))
    }

    /// Reads the rest as a map for reports under `params`.
    pub(crate) fn map(&mut self, params: &Params) -> Result<Candidates, FileError> {
        let (bits, hashes) = (params.bits(), params.hashes());
        let size = params.cohorts() * hashes;
        let mut candidates = Candidates { names: Vec::new(), cells: Vec::new() };
        while let Some(row) = self.next(size + 1, "a candidate and its m·h cells")? {
            candidates.names.push(row.text(0)?.to_owned());
            let mut cells = Vec::with_capacity(size);
            for column in 1..=size {
                let low = (column - 1) / hashes * bits + 1;
                let cell: usize = row.number(column)?;
                if !(low..low + bits).contains(&cell) {
                    return Err(row.error(column, Wrong::Cell { low, high: low + bits - 1 }));
                }
                cells.push((cell - 1) as u32);
            }
            candidates.cells.push(cells);
        }
        Ok(candidates)
    }

    /// The next row, which must have `columns` columns.
    fn next(&mut self, columns: usize, what: &'static str) -> Result<Option<Row<'a>>, FileError> {
        let mut record = ByteRecord::new();
        loop {
            let more = self.reader.read_byte_record(&mut record);
            if !more.map_err(|source| FileError::Csv { path: self.path.into(), source })? {
                return Ok(None);
            }
            if record.as_slice() != b"\r" {
                break;
            }
        }
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != columns {
            let (path, found) = (self.path.into(), record.len());
            return Err(FileError::Columns { path, line, found, wanted: columns, what });
        }
        Ok(Some(Row { path: self.path, line, record }))
    }
}

struct Row<'a> {
    path: &'a Path,
    line: u64,
    record: ByteRecord,
}

impl Row<'_> {
    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.record.len()).map(|column| self.field(column))
    }

    /// The field without the CR that may end the line.
    fn field(&self, column: usize) -> &[u8] {
        let field = &self.record[column];
        field.strip_suffix(b"\r").unwrap_or(field)
    }

    fn text(&self, column: usize) -> Result<&str, FileError> {
        let text = str::from_utf8(self.field(column)).map_err(|_| self.error(column, Wrong::Utf8))?;
        if text.is_empty() { Err(self.error(column, Wrong::Empty)) } else { Ok(text) }
    }

    /// Reads a number; blanks around it are allowed. Infinities and NaN are refused by [`Params`] or by the type.
    fn number<T: FromStr + Bounds>(&self, column: usize) -> Result<T, FileError> {
        let text = str::from_utf8(self.field(column)).ok().map(str::trim);
        text.and_then(|text| text.parse().ok()).ok_or_else(|| self.error(column, Wrong::Number(T::WANTED)))
    }

    fn error(&self, column: usize, wrong: Wrong) -> FileError {
        FileError::at(self.path, self.line, column, self.field(column), wrong)
    }
}

trait Bounds {
    const WANTED: &'static str;
}

impl Bounds for usize {
    const WANTED: &'static str = "a whole number, 0 or above";
}

impl Bounds for u64 {
    const WANTED: &'static str = "a whole number, 0 or above";
}

impl Bounds for f64 {
    const WANTED: &'static str = "a number";
}

/// What is wrong with one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Wrong {
    /// It is empty where a string is wanted.
    #[error("is empty: give a candidate, or remove the line")]
    Empty,
    /// It is not UTF-8.
    #[error("is not UTF-8: save the file as UTF-8")]
    Utf8,
    /// It is no number of the wanted kind.
    #[error("is not {0}")]
    Number(&'static str),
    /// It is no cohort.
    #[error(
        "is no cohort of these parameters, which go from 0 to {highest}: the reports were made under others"
    )]
    Cohort {
        /// m − 1.
        highest: usize,
    },
    /// It is no report.
    #[error(
        "is not a report of {bits} digits 0 or 1: the reports were made under other parameters, or are damaged"
    )]
    Bits {
        /// k.
        bits: usize,
    },
    /// It is a cell of another cohort, or of none.
    #[error("must be from {low} to {high}: the map was made for other parameters; make it anew for these")]
    Cell {
        /// The first cell of the column's cohort.
        low: usize,
        /// The last.
        high: usize,
    },
}

/// A file that cannot be read or is not what it should be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be opened or read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no CSV, or reading it failed on the way.
    #[error("{} cannot be read as CSV", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// The header of the parameters is another one.
    #[error("{}: the header is {found:?}, but must be k,h,m,p,q,f", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The header found.
        found: String,
    },
    /// A row has the wrong number of columns.
    #[error(
        "{}, line {line}: {found} columns, but {what} are {wanted}: the file was made for other parameters, or is damaged",
        path.display()
    )]
    Columns {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The columns found.
        found: usize,
        /// The columns wanted.
        wanted: usize,
        /// What a row is.
        what: &'static str,
    },
    /// The file has the wrong number of rows.
    #[error("{}: {found} rows, but {what} makes {wanted}: the file was made for other parameters, or is cut off", path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// What the rows are.
        what: &'static str,
        /// The rows found, or one too many.
        found: usize,
        /// The rows wanted.
        wanted: usize,
    },
    /// One field is wrong.
    #[error("{}, line {line}, column {}: {value:?} {wrong}", path.display(), column + 1)]
    Field {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column, from 0.
        column: usize,
        /// What is there, its first 40 bytes.
        value: String,
        /// What is wrong with it.
        wrong: Wrong,
    },
    /// The parameters cannot be.
    #[error("{}, line 2", path.display())]
    Params {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParamsError,
    },
    /// The counts cannot be.
    #[error("{}", path.display())]
    Counts {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CountsError,
    },
}

impl FileError {
    fn at(path: &Path, line: u64, column: usize, value: &[u8], wrong: Wrong) -> Self {
        let value = String::from_utf8_lossy(&value[..value.len().min(40)]).into_owned();
        Self::Field { path: path.into(), line, column, value, wrong }
    }

    fn rows(path: &Path, what: &'static str, found: usize, wanted: usize) -> Self {
        Self::Rows { path: path.into(), what, found, wanted }
    }
}
