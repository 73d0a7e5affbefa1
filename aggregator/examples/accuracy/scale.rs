//! How long a decode takes, and how much memory, as candidates grow.

use std::time::Instant;

use deniable::Params;
use deniable_aggregator::decode::{Design, Options, decode};
use deniable_aggregator::simulate;
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

pub(crate) fn print() {
    let params = Params::rappor(128, 2, 128, 0.5, 0.25, 0.75).expect("the classic parameters are sound");
    let names = |size: usize| (0..size).map(|i| format!("https://example.org/{i}")).collect();
    let strings = Design::of_names(&params, names(100)).expect("100 strings");
    let devices: Vec<u64> = (0..100).map(|i| (5e4 * (-(f64::from(i) + 0.5) / 20.0).exp()) as u64).collect();
    let counts = simulate::counts(&params, &strings, &devices, &mut ChaCha12Rng::seed_from_u64(1));
    let two_cores = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads are had");
    println!(
        "## Speed\n\nTwo cores; k = 128, h = 2, m = 128, that is 16,384 equations; a million reports of 100 strings."
    );
    println!("Hashing the candidates and decoding are timed apart.\n");
    println!("| candidates | hashing, s | decode, s | detected | peak MiB |");
    println!("|---|---|---|---|---|");
    for size in [1_000, 10_000, 100_000, 1_000_000] {
        let start = Instant::now();
        let design = two_cores.install(|| Design::of_names(&params, names(size))).expect("distinct names");
        let built = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let decoded = two_cores.install(|| decode(&params, &counts, &design, &Options::default()));
        let (decoded, seconds) = (decoded.expect("a million reports suffice"), start.elapsed().as_secs_f64());
        let detected = decoded.figures.iter().filter(|figure| figure.detected).count();
        println!("| {size} | {built:.3} | {seconds:.3} | {detected} | {} |", crate::peak_mib());
    }
    println!();
}
