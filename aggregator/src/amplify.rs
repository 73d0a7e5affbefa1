//! What a shuffled crowd adds to the privacy of one report: (ε, δ) for n reports that nobody can tell apart.
//!
//! The ε₁ of a report holds against whoever knows which device sent it. Once the reports of n devices are shuffled, one per
//! device, each hides among the others, and what all of them say of one device is (ε, δ)-private for an ε that falls like
//! 1/√n (Erlingsson and others, *Amplification by Shuffling*, 2019). This is a bound on that ε, computed, with every step
//! rounded against us.
//!
//! # Which n
//! Whatever a report shows in the clear parts the crowd. So n is the number of devices in the *smallest* group of
//! reports that agree in everything but their bits: cohort, metric, version, epoch, and any other tag that is kept. The
//! bound holds if the other n − 1 devices answer honestly and are not known to the observer.
//!
//! # Reduction
//! Let a device have one of two values, whose reports have the laws P and Q. Write e₀ = e^ε₁ for the ratio that no report
//! exceeds under any two values, e₁ ≤ e₀ for that of P and Q, and β for their total variation. Where P > Q put
//! A = (P − Q)/β, where Q > P put B = (Q − P)/β, and let C be what remains; with α = β/(e₁ − 1),
//!
//! ```text
//! P = e₁α·A + α·B + γ·C       Q = α·A + e₁α·B + γ·C       γ = 1 − α − e₁α
//! ```
//!
//! because at a report with P/Q = c > 1 the mass α·A takes (c−1)/(e₁−1) ≤ 1 of Q. Every other device has, whatever its
//! value, a law of at least max(P, Q)/e₀, which is exactly
//!
//! ```text
//! r·A + r·B + s·C,       r = e₁α/e₀,   s = γ/e₀
//! ```
//!
//! So with these probabilities it is a *clone*, drawn from A, from B or from C; tell the observer who is none. What is left
//! says no more than how many of the n reports are of A, B and C, and the likelihood ratio of that triple is that of
//! the sums of (e₁α/r, α/r, γ/s) and (α/r, e₁α/r, γ/s) over it. Feldman, McMillan and Talwar (*Hiding Among the Clones*,
//! 2021, section 3) began this with C absent and r = 1/2e₀; the parameters (e₁, β, e₀) are those of
//! Wang and others' variation-ratio reduction (*Privacy Amplification via Shuffling: Unified, Simplified, and Tightened*,
//! 2024). They count the clones of A and B alone. Here those of C are told from devices that are no clone at all, which
//! loses next to nothing and leaves no gap: the stronger clones of Feldman, McMillan and Talwar (*Stronger Privacy
//! Amplification by Shuffling*, 2023) turned out, as its erratum says, not to hold for every mechanism.
//!
//! For the direct encoding the clones of C are as many as C itself leaves, s = γ: any value is reported with at least
//! the probability of a wrong one. For bits, A and B are the sets of bits that only one of two signals has. All
//! numbers of them up to h are tried, and the worst counts.
//!
//! # The sum
//! With (N₁, N₂, N₃) drawn n times from (r, r, s), the divergence is (Balle, Bell, Gascón, Nissim, *The Privacy Blanket of
//! the Shuffle Model*, 2019, section 5)
//!
//! ```text
//! δ(ε) = 1/n · E[ (g·N₁ − l·N₂ − z·N₃)₊ ],   g = (e₁α − e^ε·α)/r,  l = (e^ε·e₁α − α)/r,  z = (e^ε − 1)·γ/s
//! ```
//!
//! N₁ + N₂ and then N₃ are taken in blocks and each block by its end that is worse for us: more draws spread
//! N₁ further, and fewer drift down; more clones of C hide better. Sums within a block are bounded by geometric series,
//! as binomial probabilities are log-concave.
//!
//! # Precision
//! The bound on δ exceeds the sum by less than a few per cent, that on ε by less than one per cent (tests hold it beside
//! an enumeration). Floating error stays below margins that are added to both.

mod binomial;

use std::num::NonZeroU64;

use deniable::{Encoding, Params};
use thiserror::Error;

use self::binomial::{FairCoins, mass, range};

/// More reports than this are counted as this many, which hide no better than more do.
const MOST_REPORTS: u64 = 1_000_000_000;
/// Mass of a binomial tail that is not summed but added to δ in full.
const TAIL: f64 = 1e-24;
/// More than the relative error of three binomial probabilities of at most [`MOST_REPORTS`] draws.
const MARGIN: f64 = 1.0 + 2e-4;
/// More than the relative error of a pair's parameters, whose logarithm ε takes.
const SLACK: f64 = 1e-8;
/// Blocks per standard deviation.
const BLOCKS: f64 = 6.0;
/// How closely ε is searched, relative.
const SEARCH: f64 = 1e-4;

/// How the reports of one metric hide each other.
///
/// ```
/// use deniable::{Answers, Params};
/// use deniable_aggregator::amplify::Shuffle;
/// let params = Params::for_epsilon(2.0, None, Answers::Closed(2))?;
/// let crowd = 100_000.try_into()?;
/// let epsilon = Shuffle::of(&params).epsilon(crowd, 1e-9)?;
/// assert!(epsilon < 0.06);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Shuffle {
    pairs: Vec<Pair>,
    epsilon_one: f64,
}

impl Shuffle {
    /// The reports under `params`, one from each device.
    pub fn of(params: &Params) -> Self {
        let channel = params.channel();
        let epsilon_one = params.epsilon_one().get();
        let pairs = match params.encoding() {
            Encoding::Direct => vec![Pair::direct(channel.zero(), channel.one(), params.bits())],
            Encoding::Unary | Encoding::Bloom => {
                let (most, bits) = (params.hashes(), params.bits());
                let counts = (1..=most).rev().flat_map(|a| (0..=a).rev().map(move |b| (a, b)));
                let possible = counts.filter(|(a, b)| a + b <= bits);
                let worst = epsilon_one.exp();
                possible.map(|(a, b)| Pair::bits(channel.zero(), channel.one(), a, b, worst)).collect()
            }
        };
        Self { pairs, epsilon_one }
    }

    /// The δ with which `reports` shuffled reports are (`epsilon`, δ)-private, rounded up. 0 from ε₁ on.
    pub fn delta(&self, reports: NonZeroU64, epsilon: f64) -> f64 {
        if epsilon >= self.epsilon_one {
            return 0.0;
        }
        let delta = |pair: &Pair| pair.hide_among(reports).delta(epsilon);
        self.pairs.iter().map(delta).fold(0.0, f64::max)
    }

    /// The ε with which `reports` shuffled reports are (ε, `delta`)-private, rounded up; never more than ε₁.
    ///
    /// # Errors
    /// [`AmplifyError::Delta`] unless `delta` lies strictly between 0 and 1.
    pub fn epsilon(&self, reports: NonZeroU64, delta: f64) -> Result<f64, AmplifyError> {
        if !(delta > 0.0 && delta < 1.0) {
            return Err(AmplifyError::Delta { value: delta });
        }
        // The first pair differs most and nearly always decides; the others are only asked whether they agree.
        let raise = |low, pair: &Pair| pair.hide_among(reports).epsilon(delta, low, self.epsilon_one);
        Ok(self.pairs.iter().fold(0.0, raise))
    }
}

/// Two laws of a report and the clones of them that the other devices make.
#[derive(Clone, Copy, Debug)]
struct Pair {
    /// e₁α, α, γ: the shares of A, B, C in P.
    own: [f64; 3],
    /// r and s: the shares of A (and of B) and of C in everybody's law.
    clones: [f64; 2],
}

impl Pair {
    /// Two values of the direct encoding of `values` values, with P(1|0) = `zero` and P(1|1) = `one`.
    fn direct(zero: f64, one: f64, values: usize) -> Self {
        let others = (values - 2) as f64 * zero;
        Self { own: [one, zero, others], clones: [zero, others] }
    }

    /// Two signals that differ in `a` bits of one and `b` bits of the other, among reports of ratio up to `worst`.
    fn bits(zero: f64, one: f64, a: usize, b: usize, worst: f64) -> Self {
        let raise = one / zero;
        let clear = (1.0 - zero) / (1.0 - one);
        let power = |x: f64, n: usize| x.powi(n as i32);
        let ratio = (power(raise, a) * power(clear, b)).max(power(raise, b) * power(clear, a));
        Self::of(ratio, variation(zero, one, a, b), worst)
    }

    fn of(ratio: f64, variation: f64, worst: f64) -> Self {
        let alpha = variation / (ratio - 1.0);
        let rest = 1.0 - alpha - ratio * alpha;
        // So little can be shown to the observer: that only helps it, and by less than the slack.
        let rest = if rest < SLACK / 10.0 { 0.0 } else { rest };
        Self { own: [ratio * alpha, alpha, rest], clones: [ratio * alpha / worst, rest / worst] }
    }

    /// Prepares the sum for `reports` reports: all of it that does not depend on ε.
    fn hide_among(self, reports: NonZeroU64) -> Crowd {
        let reports = reports.get().min(MOST_REPORTS);
        let [r, s] = self.clones;
        let others = |high: u64| match s {
            0.0 => vec![(0.0, 1.0)],
            _ => {
                blocks(reports - high, s / (1.0 - 2.0 * r)).map(|(low, _, mass)| (low as f64, mass)).collect()
            }
        };
        let block = |(low, high, mass)| Block {
            mass,
            draws: high as f64,
            spared: (high - low) as f64,
            coins: FairCoins::new(high),
            others: others(high),
        };
        Crowd { pair: self, reports: reports as f64, blocks: blocks(reports, 2.0 * r).map(block).collect() }
    }
}

/// The reports of a crowd among which those of a pair hide.
struct Crowd {
    pair: Pair,
    reports: f64,
    /// By the number of reports from A or B.
    blocks: Vec<Block>,
}

/// The crowds with about one number of reports from A or B.
struct Block {
    mass: f64,
    /// The most such reports in this block, and how many fewer there may be.
    draws: f64,
    spared: f64,
    /// How many of the most are from A.
    coins: FairCoins,
    /// Numbers of reports from C, each the least of a block, with the mass of that block.
    others: Vec<(f64, f64)>,
}

impl Crowd {
    /// The least ε from `low` to `high` whose δ is at most `delta`, rounded up.
    fn epsilon(&self, delta: f64, mut low: f64, mut high: f64) -> f64 {
        if self.delta(low) <= delta {
            return low;
        }
        while high - low > SEARCH * high {
            let middle = if low < high / 16.0 { high / 4.0 } else { (low + high) / 2.0 };
            if self.delta(middle) <= delta {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
    }

    /// An upper bound on both hockey-stick divergences, which are equal as A and B have equal clones.
    fn delta(&self, epsilon: f64) -> f64 {
        let [own, other, rest] = self.pair.own;
        let [r, s] = self.pair.clones;
        let odds = (epsilon - SLACK).exp().max(1.0);
        let (gain, loss) = ((own - odds * other) / r, (odds * own - other) / r);
        if gain <= 0.0 {
            return 0.0;
        }
        let hidden = if s > 0.0 { (odds - 1.0) * rest / s } else { 0.0 };
        let block = |block: &Block| {
            // The block's spread at its most draws, its mean at its least.
            let base = loss * block.draws - (loss - gain) / 2.0 * block.spared;
            let excess = |&(others, mass): &(f64, f64)| {
                mass * block.coins.mean_excess(gain + loss, base + hidden * others)
            };
            block.mass * block.others.iter().map(excess).sum::<f64>()
        };
        let sum: f64 = self.blocks.iter().map(block).sum();
        // What no block holds is at most this for each report: two tails of each of the three laws.
        let left_out = 6.0 * TAIL * (gain + loss);
        (sum / self.reports * MARGIN + left_out).min(1.0)
    }
}

/// Splits what a binomial law takes, but for a [`TAIL`] on each side, into blocks that are narrow against its standard
/// deviation: the least and the greatest number of each, and at least its mass.
fn blocks(draws: u64, share: f64) -> impl Iterator<Item = (u64, u64, f64)> {
    let (first, last) = range(draws, share, TAIL);
    let deviation = (draws as f64 * share * (1.0 - share)).sqrt();
    let width = ((deviation / BLOCKS) as u64).max(1);
    (first..=last).step_by(width as usize).map(move |low| {
        let high = (low + width - 1).min(last);
        (low, high, mass(draws, share, low, high))
    })
}

/// The total variation of reports of two signals that differ in `a` bits of one and `b` bits of the other.
fn variation(zero: f64, one: f64, a: usize, b: usize) -> f64 {
    let law = |p: f64, n: usize, ones: usize| {
        let ways = statrs::function::factorial::binomial(n as u64, ones as u64);
        ways * p.powi(ones as i32) * (1.0 - p).powi((n - ones) as i32)
    };
    let outcomes = (0..=a).flat_map(|i| (0..=b).map(move |j| (i, j)));
    let more = |(i, j)| (law(one, a, i) * law(zero, b, j) - law(zero, a, i) * law(one, b, j)).max(0.0);
    outcomes.map(more).sum()
}

/// A shuffled crowd that cannot be accounted for.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum AmplifyError {
    /// δ is no such chance.
    #[error(
        "δ = {value} is not allowed: it must lie strictly between 0 and 1, and well below 1 over the number of reports"
    )]
    Delta {
        /// What was given.
        value: f64,
    },
}

#[cfg(test)]
mod tests;
