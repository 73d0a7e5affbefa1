//! The design matrix X: which rows (a bit of a cohort) each candidate sets.
//!
//! X is binary and sparse, (m·k) × M with at most h·m ones in a column, and is kept by columns. Candidates
//! whose columns are equal cannot be told apart by any decoder; they share one column and one figure.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use deniable::{Encoding, Params, bloom_bits, rappor};
use rayon::prelude::*;

use super::error::DecodeError;

/// A sparse binary matrix with a row for each bit of each cohort and a column for each distinguishable candidate.
#[derive(Clone, Debug)]
pub struct Design {
    cohorts: usize,
    bits: usize,
    names: Vec<String>,
    twins: HashMap<usize, Vec<String>>,
    starts: Vec<usize>,
    rows: Vec<u32>,
    background: Vec<f64>,
}

/// Candidates and the cells they set, before equal columns are merged.
#[derive(Debug)]
pub struct Candidates {
    /// The candidate strings, each once and none empty.
    pub names: Vec<String>,
    /// For each candidate the cells `cohort · k + bit` that it sets, in any order, repeats allowed.
    pub cells: Vec<Vec<u32>>,
}

impl Candidates {
    /// Candidates of which each sets the bits that `hash(name, cohort, set)` hands to `set`.
    fn hashed(
        params: &Params,
        names: Vec<String>,
        hash: impl Fn(&str, u32, &mut dyn FnMut(usize)) + Sync,
    ) -> Self {
        let bits = params.bits() as u32;
        let cells = |name: &String| {
            let mut cells = Vec::with_capacity(params.cohorts() * params.hashes());
            for cohort in 0..params.cohorts() as u32 {
                hash(name, cohort, &mut |bit| cells.push(cohort * bits + bit as u32));
            }
            cells
        };
        let cells = names.par_iter().map(cells).collect();
        Self { names, cells }
    }

    fn listed(params: &Params, names: Vec<String>) -> Self {
        let (bits, cohorts) = (params.bits() as u32, params.cohorts() as u32);
        let cells = |bit: u32| (0..cohorts).map(|cohort| cohort * bits + bit).collect();
        let cells = (0..names.len() as u32).map(cells).collect();
        Self { names, cells }
    }
}

impl Design {
    /// Makes the design of a map: `candidates` with the cells they set, hashed like google/rappor's.
    ///
    /// # Errors
    /// A [`DecodeError`] for no candidates, an empty or repeated one, or a cell beyond k·m.
    pub fn of_map(params: &Params, candidates: Candidates) -> Result<Self, DecodeError> {
        Self::new(params, candidates, |bit| rappor::bit_rate(bit, params.bits()))
    }

    /// Makes the design of a map in which all bits are set with equal chances: `candidates` hashed like ours.
    ///
    /// # Errors
    /// As [`Design::of_map`].
    pub fn of_uniform_map(params: &Params, candidates: Candidates) -> Result<Self, DecodeError> {
        Self::new(params, candidates, |_| 1.0 / params.bits() as f64)
    }

    /// Hashes `names` as google/rappor's clients do and makes their design, on every core.
    ///
    /// # Errors
    /// As [`Design::of_map`].
    pub fn rappor(params: &Params, names: Vec<String>) -> Result<Self, DecodeError> {
        let (bits, hashes) = (params.bits(), params.hashes());
        let hash = |name: &str, cohort: u32, set: &mut dyn FnMut(usize)| {
            rappor::bloom_bits(bits, hashes, cohort, name.as_bytes()).for_each(set);
        };
        Self::of_map(params, Candidates::hashed(params, names, hash))
    }

    /// Makes the design of `names` under `params`, on every core: hashed as [`deniable::bloom_bits`] does, or for
    /// the direct and the unary encoding each name a bit, in order.
    ///
    /// # Errors
    /// As [`Design::of_map`], and a closed list may not have more names than reports have bits.
    pub fn of_names(params: &Params, names: Vec<String>) -> Result<Self, DecodeError> {
        let (bits, hashes) = (params.bits(), params.hashes());
        let candidates = match params.encoding() {
            Encoding::Bloom => Candidates::hashed(params, names, |name, cohort, set| {
                bloom_bits(bits, hashes, cohort as u16, name.as_bytes()).for_each(set);
            }),
            Encoding::Direct | Encoding::Unary => Candidates::listed(params, names),
        };
        Self::of_uniform_map(params, candidates)
    }

    fn new(
        params: &Params,
        candidates: Candidates,
        bit_rate: impl Fn(usize) -> f64,
    ) -> Result<Self, DecodeError> {
        check_names(&candidates.names)?;
        let rows = params.bits() * params.cohorts();
        let mut cells = candidates.cells;
        for (name, cells) in candidates.names.iter().zip(&mut cells) {
            cells.sort_unstable();
            cells.dedup();
            if let Some(&cell) = cells.last().filter(|&&cell| cell as usize >= rows) {
                return Err(DecodeError::CellOutside { candidate: name.clone(), cell: cell as usize, rows });
            }
            if cells.is_empty() {
                return Err(DecodeError::NoCells { candidate: name.clone() });
            }
        }
        let mut design = Self::merged(params, candidates.names, &cells);
        if params.encoding() == Encoding::Bloom {
            let occupied = |bit| 1.0 - (1.0 - bit_rate(bit)).powi(params.hashes() as i32);
            design.background = (0..params.bits()).map(occupied).collect();
        }
        Ok(design)
    }

    fn merged(params: &Params, names: Vec<String>, cells: &[Vec<u32>]) -> Self {
        let state = RandomState::new();
        let mut seen: HashMap<u64, Vec<usize>> = HashMap::with_capacity(names.len());
        let mut design = Self {
            cohorts: params.cohorts(),
            bits: params.bits(),
            names: Vec::with_capacity(names.len()),
            twins: HashMap::new(),
            starts: vec![0],
            rows: Vec::with_capacity(cells.iter().map(Vec::len).sum()),
            background: Vec::new(),
        };
        for (name, cells) in names.into_iter().zip(cells) {
            let alike = seen.entry(state.hash_one(cells)).or_default();
            if let Some(&column) = alike.iter().find(|&&column| design.column(column) == cells) {
                design.twins.entry(column).or_default().push(name);
            } else {
                alike.push(design.names.len());
                design.names.push(name);
                design.rows.extend_from_slice(cells);
                design.starts.push(design.rows.len());
            }
        }
        design
    }

    /// M, the number of distinguishable candidates.
    pub fn columns(&self) -> usize {
        self.names.len()
    }

    /// The number of candidates, those that cannot be told apart counted singly.
    pub fn candidates(&self) -> usize {
        self.names.len() + self.twins.values().map(Vec::len).sum::<usize>()
    }

    /// m·k, the number of rows.
    pub fn rows(&self) -> usize {
        self.cohorts * self.bits
    }

    /// m, the cohorts.
    pub fn cohorts(&self) -> usize {
        self.cohorts
    }

    /// k, the bits of a report.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// The rows that the candidate of `column` sets, ascending.
    pub fn column(&self, column: usize) -> &[u32] {
        &self.rows[self.starts[column]..self.starts[column + 1]]
    }

    /// The candidate of `column`, the first of those that share it.
    pub fn name(&self, column: usize) -> &str {
        &self.names[column]
    }

    /// The other candidates that share `column` and cannot be told from [`Design::name`].
    pub fn twins(&self, column: usize) -> &[String] {
        self.twins.get(&column).map_or(&[], Vec::as_slice)
    }

    /// For each bit of k, the probability that a random string sets it; empty when strings are not hashed.
    pub(crate) fn background(&self) -> &[f64] {
        &self.background
    }
}

fn check_names(names: &[String]) -> Result<(), DecodeError> {
    if names.is_empty() {
        return Err(DecodeError::NoCandidates);
    }
    let mut seen = HashMap::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(DecodeError::EmptyCandidate { place: place + 1 });
        }
        if let Some(first) = seen.insert(name, place) {
            let candidate = name.clone();
            return Err(DecodeError::DuplicateCandidate { candidate, first: first + 1, second: place + 1 });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        Params::rappor(8, 2, 2, 0.5, 0.25, 0.75).unwrap()
    }

    fn design(cells: &[&[u32]]) -> Result<Design, DecodeError> {
        let names = (0..cells.len()).map(|i| format!("c{i}")).collect();
        Design::of_map(&params(), Candidates { names, cells: cells.iter().map(|c| c.to_vec()).collect() })
    }

    #[test]
    fn equal_columns_are_merged_and_repeated_cells_count_once() {
        let design = design(&[&[1, 9], &[9, 1, 1], &[1, 10]]).unwrap();
        assert_eq!((design.columns(), design.candidates(), design.rows()), (2, 3, 16));
        assert_eq!((design.column(0), design.column(1)), (&[1, 9][..], &[1, 10][..]));
        assert_eq!((design.name(0), design.twins(0)), ("c0", &["c1".to_owned()][..]));
        assert!(design.twins(1).is_empty());
    }

    #[test]
    fn cells_outside_and_candidates_without_cells_are_refused() {
        assert!(matches!(design(&[&[1, 16]]), Err(DecodeError::CellOutside { cell: 16, rows: 16, .. })));
        assert!(matches!(design(&[&[1], &[]]), Err(DecodeError::NoCells { .. })));
        assert!(matches!(design(&[]), Err(DecodeError::NoCandidates)));
    }

    #[test]
    fn empty_and_repeated_candidates_are_refused_with_their_places() {
        let build = |names: &[&str]| Design::rappor(&params(), names.iter().map(|&n| n.into()).collect());
        assert!(matches!(build(&["a", ""]), Err(DecodeError::EmptyCandidate { place: 2 })));
        let error = build(&["a", "b", "a"]).unwrap_err();
        assert!(matches!(error, DecodeError::DuplicateCandidate { first: 1, second: 3, .. }), "{error}");
    }
}
