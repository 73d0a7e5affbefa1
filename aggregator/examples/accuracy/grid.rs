//! The decoder over a named grid of simulated crowds.
//!
//! A cell is a distribution of 100 strings, a number of reports, parameters and a list of candidates.

use std::time::Instant;

use deniable::{Answers, Params};
use deniable_aggregator::decode::{DecodeError, Decoded, Design, Options, decode};
use deniable_aggregator::simulate;
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;
use rayon::prelude::*;

const STRINGS: usize = 100;

/// The shares of the strings, by name.
fn distributions() -> [(&'static str, Vec<f64>); 4] {
    let normal = |weight: &dyn Fn(f64) -> f64| -> Vec<f64> {
        let weights: Vec<f64> = (0..STRINGS).map(|i| weight(i as f64 + 0.5)).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / sum).collect()
    };
    [
        ("uniform", normal(&|_| 1.0)),
        ("gauss", normal(&|x| (-0.5 * ((x - 50.0) / 16.7).powi(2)).exp())),
        ("exp", normal(&|x| (-x / 20.0).exp())),
        ("zipf", normal(&|x| 1.0 / (x + 0.5))),
    ]
}

/// The reference's defaults and ours at the same ε₁.
fn parameters() -> [(&'static str, Params); 2] {
    let reference = Params::rappor(128, 2, 128, 0.5, 0.25, 0.75).expect("the classic parameters are sound");
    let ours = Params::for_epsilon(reference.epsilon_one().get(), None, Answers::Open)
        .expect("2.04 is a sound loss");
    [("rappor", reference), ("ours", ours)]
}

/// The first `STRINGS` of a list of `size` strings are true, or nine in ten of them if some are `missing`.
fn candidates(size: usize, missing: bool) -> Vec<String> {
    let left_out = |i: &usize| missing && *i < STRINGS && i % 10 == 4;
    (0..size).filter(|i| !left_out(i)).map(|i| format!("v{i}")).collect()
}

/// What one cell adds up to over its seeds.
#[derive(Default)]
struct Tally {
    runs: f64,
    square_error: f64,
    figures: f64,
    variation: f64,
    false_positives: f64,
    false_negatives: f64,
    inside: [f64; 2],
    of: [f64; 2],
}

impl Tally {
    fn add(&mut self, decoded: &Decoded, truth: &[f64]) {
        self.runs += 1.0;
        let mut missing: f64 = truth.iter().sum();
        let mut variation = 0.0;
        for figure in &decoded.figures {
            let index: usize = figure.names[0][1..].parse().expect("names are v and a number");
            let share = truth.get(index).copied().unwrap_or(0.0);
            let (low, high) = figure.share.interval_95();
            let present = usize::from(share > 0.0);
            self.inside[present] += f64::from(u8::from((low..=high).contains(&share)));
            self.of[present] += 1.0;
            self.square_error += (figure.share.value - share).powi(2);
            self.figures += 1.0;
            self.false_positives += f64::from(u8::from(figure.detected && share == 0.0));
            self.false_negatives += f64::from(u8::from(!figure.detected && share > 0.0));
            missing -= share;
            variation += (figure.consistent - share).abs();
        }
        self.variation += (variation + missing) / 2.0;
    }

    fn plus(self, other: &Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            square_error: self.square_error + other.square_error,
            figures: self.figures + other.figures,
            variation: self.variation + other.variation,
            false_positives: self.false_positives + other.false_positives,
            false_negatives: self.false_negatives + other.false_negatives,
            inside: [self.inside[0] + other.inside[0], self.inside[1] + other.inside[1]],
            of: [self.of[0] + other.of[0], self.of[1] + other.of[1]],
        }
    }

    fn print(&self, name: &str, optimum: f64, seconds: f64, peak: u64) {
        let rmse = (self.square_error / self.figures).sqrt();
        let coverage = |present: usize| match self.of[present] {
            0.0 => String::new(),
            of => format!("{:.3}", self.inside[present] / of),
        };
        println!(
            "| {name} | {:.2} | {:.3} | {:.2} | {:.1} | {} | {} | {seconds:.3} | {peak} |",
            rmse / optimum,
            self.variation / self.runs,
            self.false_positives / self.runs,
            self.false_negatives / self.runs,
            coverage(1),
            coverage(0),
        );
    }
}

pub(crate) fn print(only: &str, seeds: u64) {
    println!(
        "## Grid\n\n100 strings; `rappor` is k = 128, h = 2, m = 128, p = 0.25, q = 0.75, f = 0.5 (ε₁ = 2.04), `ours` what `Params::for_epsilon` chooses for the same ε₁. Candidates are the strings themselves, ten times as many, ten times as many without ten of the strings, or a thousand times as many. RMSE is of the unbiased shares of all candidates, over that of the best mechanism there can be, √(4e^ε / ((e^ε − 1)² N)); its square is the number of users needed for equal error. Total variation is of the consistent shares. False positives and negatives are per run, at a family-wise level of 5 %. Where strings are missing, which absent candidate resembles them is fixed by the hashes of their names for all seeds of a cell: one cell may exceed the level where others stay below it. Coverage is of the 95 % intervals, over {seeds} seeds, a tenth of that for 100,000 candidates. Seconds are of one decode on all cores.\n"
    );
    println!(
        "| cell | RMSE / optimum | TV | false + | false − | coverage, there | coverage, absent | seconds | peak MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (kind, params) in parameters() {
        let strings = Design::of_names(&params, candidates(STRINGS, false)).expect("100 strings");
        let lists =
            [("exact", 1, false), ("x10", 10, false), ("x10-missing", 10, true), ("x1000", 1000, false)];
        for (list, factor, missing) in lists {
            let mut design = None;
            for (distribution, shares) in distributions() {
                for exponent in 4..=7 {
                    let name = format!("{kind} {list} {distribution} 1e{exponent}");
                    if !name.contains(only) {
                        continue;
                    }
                    let design = design.get_or_insert_with(|| {
                        Design::of_names(&params, candidates(STRINGS * factor, missing))
                            .expect("distinct names")
                    });
                    let total = 10f64.powi(exponent);
                    let seeds = if factor == 1000 { seeds.div_ceil(10) } else { seeds };
                    Cell { params: &params, strings: &strings, design, shares: &shares, total }
                        .run(&name, seeds);
                }
            }
        }
    }
}

struct Cell<'a> {
    params: &'a Params,
    strings: &'a Design,
    design: &'a Design,
    shares: &'a [f64],
    total: f64,
}

impl Cell<'_> {
    fn run(&self, name: &str, seeds: u64) {
        let devices: Vec<u64> = self.shares.iter().map(|share| (share * self.total).round() as u64).collect();
        let all = devices.iter().sum::<u64>() as f64;
        let truth: Vec<f64> = devices.iter().map(|&n| n as f64 / all).collect();
        let decoded = |seed: u64| -> Result<Decoded, DecodeError> {
            let mut rng = ChaCha12Rng::seed_from_u64(seed);
            let counts = simulate::counts(self.params, self.strings, &devices, &mut rng);
            decode(self.params, &counts, self.design, &Options::default())
        };
        // One run alone for its time and memory, then all.
        crate::peak_mib();
        let start = Instant::now();
        let first = decoded(0);
        let (seconds, peak) = (start.elapsed().as_secs_f64(), crate::peak_mib());
        if let Err(error) = first {
            println!("| {name} | {error} |");
            return;
        }
        let tally = |seed| {
            let mut tally = Tally::default();
            tally.add(&decoded(seed).expect("what one seed allows the others do"), &truth);
            tally
        };
        let tally = (0..seeds).into_par_iter().map(tally).reduce(Tally::default, |a, b| a.plus(&b));
        let odds = self.params.epsilon_one().get().exp();
        tally.print(name, (4.0 * odds / ((odds - 1.0).powi(2) * all)).sqrt(), seconds, peak);
    }
}
