//! Weighted least squares on a support, by Cholesky's factorisation of the normal equations.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn, SymmetricEigen};
use rayon::prelude::*;

use super::{DecodeError, Design};

/// A pivot below this share of its diagonal means that the column is a combination of the ones before it.
const DEPENDENT: f64 = 1e-9;

/// Parts that a sum over rows is made of, whatever the number of cores, so that it is the same everywhere.
const PARTS: usize = 8;

/// The columns that a fit explains the shares with: candidates, and the background of strings that are none.
#[derive(Clone)]
pub(super) struct Model<'a> {
    pub(super) design: &'a Design,
    /// Candidates by their column in the design.
    pub(super) columns: Vec<usize>,
    /// For each bit the coefficient of the background; empty if it is left out.
    pub(super) background: &'a [f64],
}

/// A weighted least-squares fit: coefficients, and what their covariance is made of.
pub(super) struct Fit {
    /// One coefficient per column of the model, the background's last.
    pub(super) coefficients: DVector<f64>,
    /// The factor of XᵀWX; its inverse is the covariance while the weights are inverse variances.
    pub(super) factor: Cholesky<f64, Dyn>,
    /// y − Xβ.
    pub(super) residuals: Vec<f64>,
}

impl Model<'_> {
    /// The number of coefficients.
    pub(super) fn size(&self) -> usize {
        self.columns.len() + usize::from(!self.background.is_empty())
    }

    /// Adds X·`coefficients` to `rows`.
    pub(super) fn add_to(&self, coefficients: &[f64], rows: &mut [f64]) {
        for (&column, &coefficient) in self.columns.iter().zip(coefficients) {
            for &row in self.design.column(column) {
                rows[row as usize] += coefficient;
            }
        }
        if let (false, Some(&coefficient)) = (self.background.is_empty(), coefficients.last()) {
            for chunk in rows.chunks_mut(self.background.len()) {
                chunk.iter_mut().zip(self.background).for_each(|(row, rate)| *row += coefficient * rate);
            }
        }
    }

    /// Xᵀ·`rows`.
    pub(super) fn transposed(&self, rows: &[f64]) -> DVector<f64> {
        let dot = |&column: &usize| self.design.column(column).iter().map(|&row| rows[row as usize]).sum();
        let mut result: Vec<f64> = self.columns.iter().map(dot).collect();
        if !self.background.is_empty() {
            let chunks = rows.chunks(self.background.len());
            result.push(
                chunks.map(|chunk| chunk.iter().zip(self.background).map(|(a, b)| a * b).sum::<f64>()).sum(),
            );
        }
        DVector::from_vec(result)
    }

    /// XᵀWX.
    fn gram(&self, weights: &[f64]) -> DMatrix<f64> {
        let (size, by_row) = (self.size(), self.by_row(weights.len()));
        let chunk = weights.len().div_ceil(PARTS).max(1);
        let part = |(part, weights): (usize, &[f64])| {
            let mut gram = DMatrix::zeros(size, size);
            for (row, &weight) in (part * chunk..).zip(weights) {
                self.add_row(&mut gram, by_row.row(row), row, weight);
            }
            gram
        };
        let parts: Vec<DMatrix<f64>> = weights.par_chunks(chunk).enumerate().map(part).collect();
        let mut gram = parts.into_iter().fold(DMatrix::zeros(size, size), |sum, part| sum + part);
        gram.fill_upper_triangle_with_lower_triangle();
        gram
    }

    /// Adds weight · x·xᵀ to the lower triangle, x the row whose candidates are at `places`, ascending.
    fn add_row(&self, gram: &mut DMatrix<f64>, places: &[u32], row: usize, weight: f64) {
        if weight == 0.0 {
            return;
        }
        let last = self.columns.len();
        let rate =
            if self.background.is_empty() { 0.0 } else { self.background[row % self.background.len()] };
        for (first, &place) in places.iter().enumerate() {
            let mut lower = gram.column_mut(place as usize);
            for &other in &places[first..] {
                lower[other as usize] += weight;
            }
            if rate != 0.0 {
                lower[last] += weight * rate;
            }
        }
        if rate != 0.0 {
            gram[(last, last)] += weight * rate * rate;
        }
    }

    /// For each of `rows` rows the places of the candidates that set it.
    pub(super) fn by_row(&self, rows: usize) -> ByRow {
        let mut starts = vec![0; rows + 1];
        let cells = || {
            self.columns.iter().enumerate().flat_map(|(place, &column)| {
                self.design.column(column).iter().map(move |&row| (place as u32, row as usize))
            })
        };
        cells().for_each(|(_, row)| starts[row + 1] += 1);
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut places = vec![0; starts[rows]];
        for (place, row) in cells() {
            places[next[row]] = place;
            next[row] += 1;
        }
        ByRow { starts, places }
    }

    /// Fits `shares` with `weights`.
    ///
    /// # Errors
    /// [`DecodeError::RankDeficient`] with the groups of candidates that only a combination of is determined.
    pub(super) fn fit(&self, shares: &[f64], weights: &[f64]) -> Result<Fit, DecodeError> {
        let gram = self.gram(weights);
        let factor = Cholesky::new(gram.clone())
            .filter(|factor| is_independent(factor, &gram))
            .ok_or_else(|| DecodeError::RankDeficient { groups: self.dependent_groups(&gram) })?;
        let weighted: Vec<f64> = shares.iter().zip(weights).map(|(share, weight)| share * weight).collect();
        let coefficients = factor.solve(&self.transposed(&weighted));
        let mut fitted = vec![0.0; shares.len()];
        self.add_to(coefficients.as_slice(), &mut fitted);
        let residuals = shares.iter().zip(&fitted).map(|(share, fitted)| share - fitted).collect();
        Ok(Fit { coefficients, factor, residuals })
    }

    /// The groups of candidates that share a direction which no row of the design sees.
    fn dependent_groups(&self, gram: &DMatrix<f64>) -> Vec<Vec<String>> {
        let scale: Vec<f64> =
            gram.diagonal().iter().map(|d| if *d > 0.0 { d.sqrt().recip() } else { 1.0 }).collect();
        let scaled = DMatrix::from_fn(gram.nrows(), gram.ncols(), |i, j| gram[(i, j)] * scale[i] * scale[j]);
        let eigen = SymmetricEigen::new(scaled);
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (vector, _) in
            eigen.eigenvectors.column_iter().zip(&eigen.eigenvalues).filter(|(_, value)| **value < 1e-8)
        {
            let mut group: Vec<usize> = (0..self.columns.len()).filter(|&i| vector[i].abs() > 1e-6).collect();
            let (joined, apart): (Vec<_>, Vec<_>) =
                groups.into_iter().partition(|other| other.iter().any(|i| group.contains(i)));
            group.extend(joined.into_iter().flatten());
            group.sort_unstable();
            group.dedup();
            groups = apart;
            groups.push(group);
        }
        let name = |i: usize| self.design.name(self.columns[i]).to_owned();
        groups.into_iter().map(|group| group.into_iter().map(name).collect()).collect()
    }
}

/// The candidates of a model by the rows that they set.
pub(super) struct ByRow {
    starts: Vec<usize>,
    places: Vec<u32>,
}

impl ByRow {
    /// The places of the candidates that set `row`, ascending.
    pub(super) fn row(&self, row: usize) -> &[u32] {
        &self.places[self.starts[row]..self.starts[row + 1]]
    }
}

fn is_independent(factor: &Cholesky<f64, Dyn>, gram: &DMatrix<f64>) -> bool {
    let pivots = factor.l_dirty().diagonal();
    pivots.iter().zip(gram.diagonal().iter()).all(|(pivot, diagonal)| pivot * pivot > DEPENDENT * diagonal)
}
