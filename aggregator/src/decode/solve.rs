//! Weighted least squares on a support, by Cholesky's factorisation of the normal equations.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn, SymmetricEigen};
use rayon::prelude::*;

use super::{DecodeError, Design};

/// A pivot below this share of its diagonal means that the column is a combination of the ones before it.
const DEPENDENT: f64 = 1e-9;

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
    pub(super) fn gram(&self, weights: &[f64]) -> DMatrix<f64> {
        let size = self.size();
        let by_row = self.entries_by_row(weights.len());
        let chunk = weights.len().div_ceil(rayon::current_num_threads()).max(1);
        let part = |first: usize| {
            let mut gram = DMatrix::zeros(size, size);
            for row in first..weights.len().min(first + chunk) {
                add_outer(&mut gram, &by_row[row], weights[row]);
            }
            gram
        };
        let starts: Vec<usize> = (0..weights.len()).step_by(chunk).collect();
        let mut gram = starts
            .into_par_iter()
            .map(part)
            .reduce(|| DMatrix::zeros(0, 0), |a, b| if a.is_empty() { b } else { a + b });
        gram.fill_upper_triangle_with_lower_triangle();
        gram
    }

    fn entries_by_row(&self, rows: usize) -> Vec<Vec<(u32, f64)>> {
        let mut by_row = vec![Vec::new(); rows];
        for (place, &column) in self.columns.iter().enumerate() {
            for &row in self.design.column(column) {
                by_row[row as usize].push((place as u32, 1.0));
            }
        }
        if !self.background.is_empty() {
            for (row, entries) in by_row.iter_mut().enumerate() {
                entries.push((self.columns.len() as u32, self.background[row % self.background.len()]));
            }
        }
        by_row
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

/// Adds weight · entries·entriesᵀ to the lower triangle; `entries` ascend.
fn add_outer(gram: &mut DMatrix<f64>, entries: &[(u32, f64)], weight: f64) {
    if weight == 0.0 {
        return;
    }
    for (place, &(column, a)) in entries.iter().enumerate() {
        let mut lower = gram.column_mut(column as usize);
        for &(row, b) in &entries[place..] {
            lower[row as usize] += weight * a * b;
        }
    }
}

fn is_independent(factor: &Cholesky<f64, Dyn>, gram: &DMatrix<f64>) -> bool {
    let pivots = factor.l_dirty().diagonal();
    pivots.iter().zip(gram.diagonal().iter()).all(|(pivot, diagonal)| pivot * pivot > DEPENDENT * diagonal)
}
