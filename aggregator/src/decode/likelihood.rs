//! Figures from whole reports, by maximum likelihood.
//!
//! Counts forget which bits were set together. With two or more hashes, or few values, that costs accuracy: a
//! report that has both bits of a string says more than two reports that have one each. Where the reports
//! themselves are at hand, each string v has a likelihood L(r|v) = (q*/p*)^ones · ((1−q*)/(1−p*))^zeros over the bits that v
//! sets, relative to a report of noise alone, and the shares are those of a mixture (Fanti, Pihur,
//! Erlingsson 2016). Strings that are no candidates are one more component, whose bits are random.
//!
//! The mixture is climbed by expectation maximisation with squared steps (SQUAREM, Varadhan and Roland 2008) until
//! the gap to the highest likelihood, at most Σ_r L(r|v)/f(r) − N for the best v (Lindsay 1983), is small. One step of
//! Newton's method from there, with the shares bound only by their sum, gives estimates that are not clipped;
//! their covariance is the inverse of the observed information.
//!
//! It asks for many unexplained strings, if any: a single frequent one is not random.

use deniable::{Encoding, Params, fits};
use nalgebra::{Cholesky, DMatrix, DVector};
use rayon::prelude::*;

use super::figures::Decoded;
use super::infer::Certainty;
use super::options::Options;
use super::{Answer, Counts, DecodeError, Design, Sums, SumsError, answer, possible, same_shape};

/// Candidates beyond which the information matrix is not worth its time; counts do as well then.
pub(super) const MAX_CANDIDATES: usize = 600;
/// The gap in log-likelihood at which the climb stops: below the half that chance costs each share, and a step of
/// Newton's method follows.
const GAP: f64 = 0.1;
/// Different reports whose terms are added up on one core.
const PART: usize = 1 << 14;
/// The mean square of the relative change of a report's density beyond which the last step is not believed. From a peak it
/// is about the number of shares over the number of reports; where no report speaks against a share, it is 1.
const WIDEST_STEP: f64 = 0.25;
/// Evaluations after which it is given up.
const MAX_STEPS: usize = 20_000;

/// Reports kept whole, equal ones together.
///
/// # Privacy
/// These are single reports, protected by ε₁ alone. The collector's store keeps them only for metrics that say so, and only
/// their sums of all others.
#[derive(Clone, Debug)]
pub struct Reports {
    params: Params,
    /// Cohort (two bytes, big-endian) and bits of each report, one after the other.
    bytes: Vec<u8>,
}

impl Reports {
    /// No reports, under these parameters.
    pub fn new(params: &Params) -> Self {
        Self { params: *params, bytes: Vec::new() }
    }

    /// Adds a report, as [`Sums::add`].
    ///
    /// # Errors
    /// As [`Sums::add`].
    pub fn add(&mut self, cohort: u16, bits: &[u8]) -> Result<(), SumsError> {
        if !fits(&self.params, cohort, bits) {
            let (cohorts, size) = (self.params.cohorts(), self.params.bits());
            return Err(SumsError::Report { cohort, bytes: bits.len(), cohorts, bits: size });
        }
        self.bytes.extend_from_slice(&cohort.to_be_bytes());
        self.bytes.extend_from_slice(bits);
        Ok(())
    }

    /// Adds other reports, of the same parameters.
    ///
    /// # Panics
    /// If their parameters are others.
    pub fn append(&mut self, mut other: Self) {
        assert!(self.params == other.params, "reports of other parameters are not decoded together");
        self.bytes.append(&mut other.bytes);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.size()
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Their counts.
    pub fn counts(&self) -> Counts {
        let mut sums = Sums::new(&self.params);
        for (cohort, bits) in self.each() {
            sums.add(cohort, bits).expect("a report that was added fits");
        }
        sums.into_counts()
    }

    fn size(&self) -> usize {
        2 + self.params.bits().div_ceil(8)
    }

    fn each(&self) -> impl Iterator<Item = (u16, &[u8])> {
        self.bytes
            .chunks_exact(self.size())
            .map(|report| (u16::from_be_bytes([report[0], report[1]]), &report[2..]))
    }

    /// Each different report with the number of times it is there.
    fn distinct(&self) -> Vec<(&[u8], f64)> {
        let mut reports: Vec<&[u8]> = self.bytes.chunks_exact(self.size()).collect();
        reports.par_sort_unstable();
        reports.chunk_by(|a, b| a == b).map(|equal| (equal[0], equal.len() as f64)).collect()
    }
}

/// Estimates the share of each candidate of `design` from whole reports.
///
/// # Errors
/// As [`decode`](super::decode), and [`DecodeError::Sets`] for sets of values, [`DecodeError::TooManyCandidates`] beyond
/// 600, [`DecodeError::Unbounded`] for so few reports that none speaks against some share.
pub fn decode_reports(reports: &Reports, design: &Design, options: &Options) -> Result<Decoded, DecodeError> {
    let params = &reports.params;
    same_shape(params, "candidates", design.cohorts(), design.bits())?;
    if params.encoding() == Encoding::Unary && params.hashes() > 1 {
        return Err(DecodeError::Sets { hashes: params.hashes() });
    }
    if design.columns() > MAX_CANDIDATES {
        return Err(DecodeError::TooManyCandidates { have: design.columns(), most: MAX_CANDIDATES });
    }
    let counts = reports.counts();
    let (have, candidates) = (counts.total(), design.candidates());
    if have < 2 {
        return Err(DecodeError::TooFewReports { have, need: 2, candidates });
    }
    possible::check(params, &counts)?;
    let mixture = Mixture::new(reports, design);
    let peak = mixture.climb()?;
    let (estimates, rest) = mixture.newton(&peak, design)?;
    let rest = rest.unwrap_or_else(|| (1.0 - estimates.iter().map(|(share, _)| share).sum::<f64>(), 0.0));
    answer(&counts, design, options, &Answer { fitted: estimates.len(), estimates, unexplained: Some(rest) })
}

/// Reports and the likelihood of each under each component: the candidates and, if there is one, the rest.
struct Mixture {
    /// How often each different report is there.
    times: Vec<f64>,
    /// N.
    total: f64,
    candidates: usize,
    /// For each report and candidate an index into `ratios`.
    codes: Vec<u8>,
    /// (q*/p*)^ones · ((1−q*)/(1−p*))^zeros at ones · (h + 1) + zeros.
    ratios: Vec<f64>,
    /// For each report its likelihood under the rest; empty if nothing is left for a rest.
    rest: Vec<f64>,
}

impl Mixture {
    fn new(reports: &Reports, design: &Design) -> Self {
        let (params, distinct) = (&reports.params, reports.distinct());
        let ratios = ratios(params);
        let code = |(report, column): (&[u8], usize)| {
            let cells = cells_of(design, column, report);
            let ones = cells.iter().filter(|&&cell| is_set(report, cell as usize % design.bits())).count();
            (ones * (params.hashes() + 1) + cells.len() - ones) as u8
        };
        let columns = design.columns();
        let codes = distinct
            .par_iter()
            .flat_map_iter(|&(report, _)| (0..columns).map(move |column| code((report, column))))
            .collect();
        let rest = rest(params, design, &ratios, &distinct);
        let times: Vec<f64> = distinct.iter().map(|(_, times)| *times).collect();
        Self { total: times.iter().sum(), times, candidates: columns, codes, ratios, rest }
    }

    fn components(&self) -> usize {
        self.candidates + usize::from(!self.rest.is_empty())
    }

    /// The likelihoods of a report, the rest's last.
    fn likelihoods(&self, report: usize) -> impl Iterator<Item = f64> {
        let codes = &self.codes[report * self.candidates..][..self.candidates];
        codes.iter().map(|&code| self.ratios[usize::from(code)]).chain(self.rest.get(report).copied())
    }

    /// Adds up what `add` adds for each report and its number, in parts that are the same on any number of cores.
    fn sum<T: Send>(
        &self,
        none: impl Fn() -> T + Sync,
        add: impl Fn(&mut T, usize, f64) + Sync,
        plus: impl Fn(&mut T, T),
    ) -> T {
        let part = |(part, times): (usize, &[f64])| {
            let mut sum = none();
            (part * PART..).zip(times).for_each(|(report, &times)| add(&mut sum, report, times));
            sum
        };
        let parts: Vec<T> = self.times.par_chunks(PART).enumerate().map(part).collect();
        parts.into_iter().fold(none(), |mut sum, part| {
            plus(&mut sum, part);
            sum
        })
    }

    /// The log-likelihood of `shares`, and Σ_r L(r|v)/f(r) for each component.
    fn evaluate(&self, shares: &[f64]) -> (f64, Vec<f64>) {
        let add = |(log, gradient): &mut (f64, Vec<f64>), report, times: f64| {
            let density: f64 = self.likelihoods(report).zip(shares).map(|(l, share)| l * share).sum();
            *log += times * density.ln();
            gradient
                .iter_mut()
                .zip(self.likelihoods(report))
                .for_each(|(sum, l)| *sum += times * l / density);
        };
        let plus = |sum: &mut (f64, Vec<f64>), part: (f64, Vec<f64>)| {
            sum.0 += part.0;
            sum.1.iter_mut().zip(part.1).for_each(|(sum, part)| *sum += part);
        };
        self.sum(|| (0.0, vec![0.0; shares.len()]), add, plus)
    }

    /// One step of expectation maximisation.
    fn step(&self, shares: &[f64], gradient: &[f64]) -> Vec<f64> {
        shares.iter().zip(gradient).map(|(share, gradient)| share * gradient / self.total).collect()
    }

    /// The shares of the highest likelihood.
    fn climb(&self) -> Result<Vec<f64>, DecodeError> {
        let mut shares = vec![1.0 / self.components() as f64; self.components()];
        let (mut log, mut gradient) = self.evaluate(&shares);
        let mut steps = 1;
        loop {
            let gap = gradient.iter().copied().fold(0.0, f64::max) - self.total;
            if gap < GAP {
                return Ok(shares);
            }
            if steps > MAX_STEPS {
                return Err(DecodeError::NotConverged { iterations: steps, gap: gap / self.total });
            }
            let first = self.step(&shares, &gradient);
            let (_, first_gradient) = self.evaluate(&first);
            let second = self.step(&first, &first_gradient);
            let leap = leap(&shares, &first, &second);
            let landed = self.evaluate(&leap);
            steps += 2;
            (shares, (log, gradient)) = if landed.0 >= log {
                (leap, landed)
            } else {
                steps += 1;
                let evaluated = self.evaluate(&second);
                (second, evaluated)
            };
        }
    }

    /// The estimate and certainty of each candidate, and the share of the rest with its variance.
    #[allow(clippy::type_complexity, reason = "two lists of pairs, used once")]
    fn newton(
        &self,
        peak: &[f64],
        design: &Design,
    ) -> Result<(Vec<(f64, Certainty)>, Option<(f64, f64)>), DecodeError> {
        let size = self.components();
        let (information, score) = self.information(peak);
        let scale = information.diagonal().map(|d| d.sqrt().recip());
        let scaled = DMatrix::from_fn(size, size, |i, j| information[(i, j)] * scale[i] * scale[j]);
        let inverse =
            Cholesky::new(scaled).map(|factor| factor.inverse()).filter(|inverse| inverse.max() < 1e9);
        let inverse = inverse.ok_or_else(|| DecodeError::RankDeficient {
            groups: vec![(0..design.columns()).map(|column| design.name(column).to_owned()).collect()],
        })?;
        let inverse = DMatrix::from_fn(size, size, |i, j| inverse[(i, j)] * scale[i] * scale[j]);
        // The step that keeps the sum, and the covariance in the plane of that sum.
        let along = inverse.column_sum();
        let step = &inverse * &score - &along * (along.dot(&score) / along.sum());
        // In units of one report's density. A step this wide left what the second derivative knows of.
        if step.dot(&score) > WIDEST_STEP * self.total {
            return Err(DecodeError::Unbounded { reports: self.total as u64 });
        }
        let covariance = &inverse - &along * along.transpose() / along.sum();
        let certainty = |i: usize| {
            let (of_population, share) = (covariance[(i, i)], peak[i]);
            let of_sample = (of_population - share * (1.0 - share) / self.total).max(0.0);
            (peak[i] + step[i], Certainty { of_sample, of_population, influence: None })
        };
        let mut all: Vec<(f64, Certainty)> = (0..size).map(certainty).collect();
        let rest =
            if self.rest.is_empty() { None } else { all.pop().map(|(share, sure)| (share, sure.of_sample)) };
        Ok((all, rest))
    }

    /// Σ_r L Lᵀ/f² and Σ_r L/f at `shares`.
    fn information(&self, shares: &[f64]) -> (DMatrix<f64>, DVector<f64>) {
        let size = shares.len();
        type Sums = (DMatrix<f64>, DVector<f64>);
        let add = |(matrix, score): &mut Sums, report, times: f64| {
            let likelihoods = DVector::from_iterator(size, self.likelihoods(report));
            let density: f64 = likelihoods.iter().zip(shares).map(|(l, share)| l * share).sum();
            matrix.syger(times / (density * density), &likelihoods, &likelihoods, 1.0);
            score.axpy(times / density, &likelihoods, 1.0);
        };
        let plus = |sum: &mut Sums, part: Sums| {
            sum.0 += part.0;
            sum.1 += part.1;
        };
        let (mut matrix, score) = self.sum(|| (DMatrix::zeros(size, size), DVector::zeros(size)), add, plus);
        matrix.fill_upper_triangle_with_lower_triangle();
        (matrix, score)
    }
}

/// The squared step of SQUAREM (scheme S3) from three successive iterates, kept within the simplex.
fn leap(start: &[f64], first: &[f64], second: &[f64]) -> Vec<f64> {
    let moves: Vec<(f64, f64)> =
        start.iter().zip(first).zip(second).map(|((a, b), c)| (b - a, (c - b) - (b - a))).collect();
    let norm = |part: fn(&(f64, f64)) -> f64| moves.iter().map(|m| part(m).powi(2)).sum::<f64>().sqrt();
    let bend = norm(|m| m.1);
    let length = if bend > 0.0 { (norm(|m| m.0) / bend).max(1.0) } else { 1.0 };
    let place = |(share, (r, v)): (&f64, &(f64, f64))| share + 2.0 * length * r + length * length * v;
    // No share may reach 0 for good: expectation maximisation could not raise it again.
    let floor = second.iter().map(|share| share * 1e-3);
    let mut shares: Vec<f64> =
        start.iter().zip(&moves).map(place).zip(floor).map(|(a, b)| a.max(b)).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
    shares
}

/// (q*/p*)^ones · ((1−q*)/(1−p*))^zeros at ones · (h + 1) + zeros; in the direct encoding a bit that is not the
/// report's says nothing beyond not being it.
fn ratios(params: &Params) -> Vec<f64> {
    let (zero, one) = (params.channel().zero(), params.channel().one());
    let unset = if params.encoding() == Encoding::Direct { 1.0 } else { (1.0 - one) / (1.0 - zero) };
    let most = params.hashes() as i32;
    (0..=most)
        .flat_map(|ones| (0..=most).map(move |zeros| (one / zero).powi(ones) * unset.powi(zeros)))
        .collect()
}

fn is_set(report: &[u8], bit: usize) -> bool {
    report[2 + bit / 8] >> (bit % 8) & 1 == 1
}

/// The cells that the candidate of `column` sets in the cohort of `report`.
fn cells_of<'a>(design: &'a Design, column: usize, report: &[u8]) -> &'a [u32] {
    let cells = design.column(column);
    let first = usize::from(u16::from_be_bytes([report[0], report[1]])) * design.bits();
    let start = cells.partition_point(|&cell| (cell as usize) < first);
    let length = cells[start..].partition_point(|&cell| (cell as usize) < first + design.bits());
    &cells[start..start + length]
}

/// The likelihood of each report under strings that are no candidates.
fn rest(params: &Params, design: &Design, ratios: &[f64], distinct: &[(&[u8], f64)]) -> Vec<f64> {
    let hashes = params.hashes();
    if params.encoding() == Encoding::Bloom {
        let by_ones: Vec<f64> = (0..=params.bits()).map(|ones| random_string(ones, params, ratios)).collect();
        let ones = |report: &[u8]| report[2..].iter().map(|byte| byte.count_ones() as usize).sum::<usize>();
        return distinct.iter().map(|(report, _)| by_ones[ones(report)]).collect();
    }
    // Values that are not listed, each as likely as the others; they have the same bit in every cohort.
    let listed: Vec<usize> = (0..design.columns())
        .flat_map(|column| design.column(column).first())
        .map(|&cell| cell as usize)
        .collect();
    let others: Vec<usize> = (0..params.bits()).filter(|bit| !listed.contains(bit)).collect();
    if others.is_empty() {
        return Vec::new();
    }
    let mean = |report: &[u8]| {
        let ones = others.iter().filter(|&&bit| is_set(report, bit)).count() as f64 / others.len() as f64;
        ones * ratios[hashes + 1] + (1.0 - ones) * ratios[1]
    };
    distinct.iter().map(|(report, _)| mean(report)).collect()
}

/// The mean likelihood, over random strings, of a report with `ones` bits set: h bits are drawn, with repeats.
fn random_string(ones: usize, params: &Params, ratios: &[f64]) -> f64 {
    let (bits, hashes) = (params.bits() as f64, params.hashes());
    let (set, unset) = (ones as f64, bits - ones as f64);
    // The chance of having drawn i different set bits and j different unset ones, at i · (h + 1) + j.
    let mut chances = vec![0.0; ratios.len()];
    chances[0] = 1.0;
    for _ in 0..hashes {
        let mut next = vec![0.0; ratios.len()];
        for (index, chance) in chances.into_iter().enumerate().filter(|(_, chance)| *chance > 0.0) {
            let (i, j) = ((index / (hashes + 1)) as f64, (index % (hashes + 1)) as f64);
            next[index] += chance * (i + j) / bits;
            if i < set {
                next[index + hashes + 1] += chance * (set - i) / bits;
            }
            if j < unset {
                next[index + 1] += chance * (unset - j) / bits;
            }
        }
        chances = next;
    }
    chances.iter().zip(ratios).map(|(chance, ratio)| chance * ratio).sum()
}
