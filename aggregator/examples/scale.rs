//! Measures how long a decode takes, and how much memory, as candidates grow: k = 128, h = 2, m = 128.
//!
//! ```text
//! RAYON_NUM_THREADS=2 cargo run --release -p deniable-aggregator --example scale
//! ```

#![allow(clippy::print_stdout, reason = "the table goes to standard output")]

use std::time::Instant;

use deniable::Params;
use deniable_aggregator::decode::{Design, Options, decode};
use deniable_aggregator::simulate;
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

fn main() {
    let params = Params::rappor(128, 2, 128, 0.5, 0.25, 0.75).expect("the classic parameters are sound");
    let names = |size: usize| (0..size).map(|i| format!("https://example.org/{i}")).collect();
    let strings = Design::of_names(&params, names(100)).expect("100 strings");
    let devices: Vec<u64> =
        (0..100).map(|i| (1e6 / 20.0 * (-(f64::from(i) + 0.5) / 20.0).exp()) as u64).collect();
    let counts = simulate::counts(&params, &strings, &devices, &mut ChaCha12Rng::seed_from_u64(1));
    println!("| candidates | design, s | decode, s | detected | peak MiB |");
    println!("|---|---|---|---|---|");
    let sizes: Vec<usize> =
        std::env::args().skip(1).map(|size| size.parse().expect("a number of candidates")).collect();
    for size in if sizes.is_empty() { vec![1_000, 10_000, 100_000, 1_000_000] } else { sizes } {
        let start = Instant::now();
        let design = Design::of_names(&params, names(size)).expect("distinct names");
        let built = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let decoded =
            decode(&params, &counts, &design, &Options::default()).expect("a million reports suffice");
        let seconds = start.elapsed().as_secs_f64();
        let detected = decoded.figures.iter().filter(|figure| figure.detected).count();
        println!("| {size} | {built:.3} | {seconds:.3} | {detected} | {} |", peak_mib());
    }
}

/// The most memory this process has held, in MiB; 0 where the system does not tell.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
    kib.unwrap_or(0u64) / 1024
}
