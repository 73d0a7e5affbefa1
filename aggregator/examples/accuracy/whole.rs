//! What whole reports say beyond their counts.

use deniable::Params;
use deniable_aggregator::decode::{Decoded, Design, Options, decode, decode_reports};
use deniable_aggregator::simulate;
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;
use rayon::prelude::*;

const REPORTS: u64 = 20_000;
const SEEDS: u64 = 40;

pub(crate) fn print() {
    println!(
        "## Whole reports\n\nRoot mean square error over that of the best mechanism there can be at the same ε₁, from the counts and by the likelihood of the reports, and the coverage of the latter's 95 % intervals: {REPORTS} reports of equally frequent strings, all of them candidates, over {SEEDS} seeds; one stage (p, 1 − p).\n"
    );
    println!("| k | h | m | strings | ε₁ | counts | likelihood | coverage |");
    println!("|---|---|---|---|---|---|---|---|");
    for (bits, hashes, cohorts, strings) in [(32, 1, 8, 20), (32, 2, 8, 20), (32, 2, 8, 5), (64, 2, 16, 40)] {
        for epsilon in [1.0, 2.0, 4.0] {
            // ε₁ = 2h · ln((1 − p) / p).
            let p = 1.0 / ((epsilon / (2.0 * f64::from(hashes))).exp() + 1.0);
            let params =
                Params::rappor(bits, hashes as usize, cohorts, 0.0, p, 1.0 - p).expect("p is below one half");
            print_row(&params, strings);
        }
    }
    println!();
}

fn print_row(params: &Params, strings: usize) {
    let design =
        Design::of_names(params, (0..strings).map(|i| format!("v{i}")).collect()).expect("distinct names");
    let truth = 1.0 / strings as f64;
    let devices = vec![REPORTS / strings as u64; strings];
    let options = Options::default();
    let square =
        |decoded: &Decoded| decoded.figures.iter().map(|f| (f.share.value - truth).powi(2)).sum::<f64>();
    let run = |seed| {
        let reports = simulate::reports(params, &design, &devices, &mut ChaCha12Rng::seed_from_u64(seed));
        let counts = decode(params, &reports.counts(), &design, &options).expect("the reports suffice");
        let whole = decode_reports(&reports, &design, &options).expect("the reports suffice");
        let inside = whole.figures.iter().filter(|figure| {
            let (low, high) = figure.share.interval_95();
            (low..=high).contains(&truth)
        });
        (square(&counts), square(&whole), inside.count() as f64)
    };
    let runs: Vec<(f64, f64, f64)> = (0..SEEDS).into_par_iter().map(run).collect();
    let mean = |part: fn(&(f64, f64, f64)) -> f64| {
        runs.iter().map(part).sum::<f64>() / (SEEDS * strings as u64) as f64
    };
    let odds = params.epsilon_one().get().exp();
    let optimum = 4.0 * odds / ((odds - 1.0).powi(2) * REPORTS as f64);
    println!(
        "| {} | {} | {} | {strings} | {:.1} | {:.2} | {:.2} | {:.3} |",
        params.bits(),
        params.hashes(),
        params.cohorts(),
        params.epsilon_one().get(),
        (mean(|run| run.0) / optimum).sqrt(),
        (mean(|run| run.1) / optimum).sqrt(),
        mean(|run| run.2),
    );
}
