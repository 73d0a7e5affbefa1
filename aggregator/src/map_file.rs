//! Candidate maps: which bits each candidate sets, written once and read by many decodes.
//!
//! A row per candidate: the string, then its m·h cells `cohort · k + bit + 1`, cohort by cohort, lines ended by CR LF.
//! Under google/rappor's hashing that is all, byte for byte what its own tool writes. Under ours a first row
//! `# deniable map`, the fingerprint of the parameters, comes before, and a map for others is refused.
//! Both are written and read as streams.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use deniable::{Encoding, Params, bloom_bits, rappor};
use rayon::prelude::*;
use thiserror::Error;

use crate::decode::{DecodeError, Design};
use crate::rappor_files::{self, FileError, Table};

/// What the first field of our maps is.
const MARK: &str = "# deniable map";
/// Candidates that are hashed together on all cores before they are written.
const CHUNK: usize = 1024;

/// Whose hash functions a map is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hashing {
    /// [`deniable::bloom_bits`].
    Deniable,
    /// [`deniable::rappor::bloom_bits`], for the reports of google/rappor.
    Rappor,
}

impl Hashing {
    /// Makes the design of `names`.
    ///
    /// # Errors
    /// As [`Design::of_names`].
    pub fn design(self, params: &Params, names: Vec<String>) -> Result<Design, DecodeError> {
        match self {
            Self::Deniable => Design::of_names(params, names),
            Self::Rappor => Design::rappor(params, names),
        }
    }

    fn cells(self, params: &Params, name: &str) -> Vec<usize> {
        let (bits, hashes, name) = (params.bits(), params.hashes(), name.as_bytes());
        let mut cells = Vec::with_capacity(params.cohorts() * hashes);
        for cohort in 0..params.cohorts() {
            match self {
                Self::Deniable => cells.extend(bloom_bits(bits, hashes, cohort as u16, name)),
                Self::Rappor => cells.extend(rappor::bloom_bits(bits, hashes, cohort as u32, name)),
            }
            cells[cohort * hashes..].iter_mut().for_each(|bit| *bit += cohort * bits);
        }
        cells
    }
}

/// Hashes `names` on every core, makes of each name and its cells, from 0 and in cohort order, what `make` makes,
/// and hands it to `emit` in order.
///
/// # Errors
/// [`MapError::NotHashed`] unless the parameters hash strings, [`MapError::File`] for a name that cannot be read, and
/// [`MapError::Write`] if `emit` fails.
pub fn hash_each<T: Send>(
    params: &Params,
    hashing: Hashing,
    names: impl Iterator<Item = Result<String, FileError>>,
    make: impl Fn(&str, &[usize]) -> T + Sync,
    mut emit: impl FnMut(T) -> io::Result<()>,
) -> Result<(), MapError> {
    if params.encoding() != Encoding::Bloom {
        return Err(MapError::NotHashed { encoding: params.encoding() });
    }
    let mut names = names.peekable();
    while names.peek().is_some() {
        let chunk: Vec<String> = names.by_ref().take(CHUNK).collect::<Result<_, _>>()?;
        let made: Vec<T> = chunk.par_iter().map(|name| make(name, &hashing.cells(params, name))).collect();
        made.into_iter().try_for_each(&mut emit).map_err(|source| MapError::Write { source })?;
    }
    Ok(())
}

/// Writes the map of `names` to `out`.
///
/// # Errors
/// As [`hash_each`].
pub fn write_map(
    out: &mut dyn Write,
    params: &Params,
    hashing: Hashing,
    names: impl Iterator<Item = Result<String, FileError>>,
) -> Result<(), MapError> {
    if hashing == Hashing::Deniable {
        let mark = format!("{MARK},{}\r\n", params.fingerprint());
        out.write_all(mark.as_bytes()).map_err(|source| MapError::Write { source })?;
    }
    hash_each(params, hashing, names, csv_row, |row| out.write_all(&row))
}

fn csv_row(name: &str, cells: &[usize]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b',')).from_writer(Vec::new());
    writer.write_record([name]).expect("a vector takes all");
    let mut row = writer.into_inner().expect("a vector takes all");
    row.pop();
    for cell in cells {
        write!(row, ",{}", cell + 1).expect("a vector takes all");
    }
    row.extend_from_slice(b"\r\n");
    row
}

/// Reads a map for `params` and makes its design; `hashing` says whose reports the parameters are of.
///
/// # Errors
/// [`MapError::Fingerprint`] or [`MapError::Profile`] for a map of other parameters or another hashing, and as
/// [`rappor_files::read_map`] and [`Design::of_map`].
pub fn read_design(path: &Path, params: &Params, hashing: Hashing) -> Result<Design, MapError> {
    let mark =
        Table::open(path)?.skip_record()?.filter(|fields| fields.first().is_some_and(|field| field == MARK));
    match (hashing, mark) {
        (Hashing::Rappor, None) => Ok(Design::of_map(params, rappor_files::read_map(path, params)?)?),
        (Hashing::Deniable, Some(mark)) => {
            let (wanted, found) =
                (params.fingerprint().to_string(), mark.get(1).cloned().unwrap_or_default());
            if wanted != found {
                return Err(MapError::Fingerprint { path: path.into(), found, wanted });
            }
            let mut table = Table::open(path)?;
            table.skip_record()?;
            Ok(Design::of_uniform_map(params, table.map(params)?)?)
        }
        (_, mark) => {
            let (is, needs) =
                if mark.is_some() { ("our", "google/rappor's") } else { ("google/rappor's", "our") };
            Err(MapError::Profile { path: path.into(), is, needs })
        }
    }
}

/// A map that cannot be written or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MapError {
    /// The parameters do not hash strings, so there is nothing to map.
    #[error("the {encoding} encoding does not hash: its values are the bits in order, and it needs no map")]
    NotHashed {
        /// The encoding.
        encoding: Encoding,
    },
    /// The map was made for other parameters.
    #[error(
        "{}: the map was made for parameters {found:?}, but these are {wanted}: make it anew with `deniable map`",
        path.display()
    )]
    Fingerprint {
        /// The file.
        path: PathBuf,
        /// The fingerprint in the map.
        found: String,
        /// That of the parameters.
        wanted: String,
    },
    /// The map was made with other hash functions.
    #[error(
        "{}: the map is of {is} hash functions, but these parameters need {needs}: make it anew with `deniable map`",
        path.display()
    )]
    Profile {
        /// The file.
        path: PathBuf,
        /// Whose hash functions the map is of.
        is: &'static str,
        /// Whose are needed.
        needs: &'static str,
    },
    /// The names cannot be read, or the file is no map.
    #[error(transparent)]
    File(#[from] FileError),
    /// The candidates make no design.
    #[error(transparent)]
    Candidates(#[from] DecodeError),
    /// The map cannot be written.
    #[error("the map cannot be written")]
    Write {
        /// Why.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(cohorts: usize) -> Params {
        Params::rappor(16, 2, cohorts, 0.5, 0.25, 0.75).unwrap()
    }

    fn written(params: &Params, hashing: Hashing, names: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        let names = names.iter().map(|&name| Ok(name.to_owned()));
        write_map(&mut out, params, hashing, names).unwrap();
        out
    }

    fn read(bytes: &[u8], params: &Params, hashing: Hashing) -> Result<Design, MapError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read_design(file.path(), params, hashing)
    }

    #[test]
    fn under_the_references_hashing_it_is_the_references_file() {
        // Rows of map_16-2-4.csv, made by google/rappor's hash_candidates.
        let names = ["foo", "comma,\"quote\"", "h\u{e9}llo"];
        let expected = "foo,7,7,31,21,44,36,53,61\r\n\"comma,\"\"quote\"\"\",9,15,29,30,42,41,60,62\r\n\
                        h\u{e9}llo,6,8,29,29,41,48,51,64\r\n";
        assert_eq!(String::from_utf8(written(&params(4), Hashing::Rappor, &names)).unwrap(), expected);
    }

    #[test]
    fn what_is_written_is_the_design_of_the_names() {
        for hashing in [Hashing::Deniable, Hashing::Rappor] {
            let names = ["a", "b,c", "\u{e9}"];
            let design = read(&written(&params(3), hashing, &names), &params(3), hashing).unwrap();
            let direct = hashing.design(&params(3), names.map(str::to_owned).to_vec()).unwrap();
            for column in 0..3 {
                assert_eq!(design.name(column), direct.name(column));
                assert_eq!(design.column(column), direct.column(column));
            }
            assert_eq!(design.background(), direct.background());
        }
    }

    #[test]
    fn a_map_of_other_parameters_or_another_hashing_is_refused() {
        let ours = written(&params(3), Hashing::Deniable, &["a"]);
        let other = Params::rappor(16, 2, 3, 0.5, 0.25, 0.8).unwrap();
        assert!(matches!(read(&ours, &other, Hashing::Deniable), Err(MapError::Fingerprint { .. })));
        assert!(matches!(read(&ours, &params(3), Hashing::Rappor), Err(MapError::Profile { .. })));
        let reference = written(&params(3), Hashing::Rappor, &["a"]);
        assert!(matches!(read(&reference, &params(3), Hashing::Deniable), Err(MapError::Profile { .. })));
    }
}
