//! Measures the decoder over a named grid and prints the table that is kept in `aggregator/ACCURACY.md`:
//!
//! ```text
//! cargo run --release -p deniable-aggregator --example accuracy > aggregator/ACCURACY.md
//! ```
//!
//! A cell is a distribution of 100 strings, a number of reports, parameters and a list of candidates. Each is
//! simulated with several seeds and decoded. `--only TEXT` runs the cells whose name contains a text.

#![allow(clippy::print_stdout, reason = "the table goes to standard output")]

use std::time::Instant;

use clap::Parser;
use deniable::{Answers, Params};
use deniable_aggregator::decode::{Decoded, Design, Options, decode};
use deniable_aggregator::simulate;
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

const STRINGS: usize = 100;

#[derive(Parser)]
struct Args {
    /// Runs only the cells whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Candidates evaluated per cell, which sets the number of seeds: at least this many runs
    #[arg(long, default_value_t = 20)]
    seeds: u64,
}

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
    seconds: f64,
}

impl Tally {
    fn add(&mut self, decoded: &Decoded, truth: &[f64], seconds: f64) {
        self.runs += 1.0;
        self.seconds += seconds;
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

    fn print(&self, name: &str, optimum: f64) {
        let rmse = (self.square_error / self.figures).sqrt();
        let coverage = |present: usize| match self.of[present] {
            0.0 => "".to_owned(),
            of => format!("{:.3}", self.inside[present] / of),
        };
        println!(
            "| {name} | {:.2} | {:.3} | {:.2} | {:.1} | {} | {} | {:.3} | {} |",
            rmse / optimum,
            self.variation / self.runs,
            self.false_positives / self.runs,
            self.false_negatives / self.runs,
            coverage(1),
            coverage(0),
            self.seconds / self.runs,
            peak_mib(),
        );
    }
}

/// The most memory this process has held since it was last asked, in MiB; 0 where the system does not tell.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
    // Writing 5 starts the peak anew. Where that fails the figure is the peak of all cells so far.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    kib.unwrap_or(0u64) / 1024
}

fn main() {
    let args = Args::parse();
    println!(
        "| cell | RMSE / optimum | TV | false + | false − | coverage, true | coverage, absent | seconds | peak MiB |"
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
                    if !name.contains(&args.only) {
                        continue;
                    }
                    let design = design.get_or_insert_with(|| {
                        Design::of_names(&params, candidates(STRINGS * factor, missing))
                            .expect("distinct names")
                    });
                    let total = 10f64.powi(exponent);
                    let seeds = if factor == 1000 { args.seeds.div_ceil(10) } else { args.seeds };
                    run(&name, &params, &strings, design, &shares, total, seeds);
                }
            }
        }
    }
}

fn run(
    name: &str,
    params: &Params,
    strings: &Design,
    design: &Design,
    shares: &[f64],
    total: f64,
    seeds: u64,
) {
    let devices: Vec<u64> = shares.iter().map(|share| (share * total).round() as u64).collect();
    let all = devices.iter().sum::<u64>() as f64;
    let truth: Vec<f64> = devices.iter().map(|&n| n as f64 / all).collect();
    let mut tally = Tally::default();
    for seed in 0..seeds {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let counts = simulate::counts(params, strings, &devices, &mut rng);
        let start = Instant::now();
        match decode(params, &counts, design, &Options::default()) {
            Ok(decoded) => tally.add(&decoded, &truth, start.elapsed().as_secs_f64()),
            Err(error) => {
                println!("| {name} | {error} |");
                return;
            }
        }
    }
    let odds = params.epsilon_one().get().exp();
    tally.print(name, (4.0 * odds / ((odds - 1.0).powi(2) * all)).sqrt());
}
