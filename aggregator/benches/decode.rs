//! Time of a decode as candidates grow, on two cores: k = 128, h = 2, m = 128, a million reports of 100 strings.
//!
//! The targets are 0.2 s for 1,000 candidates, 1 s for 10,000 and 5 s for 100,000; the example `scale` measures
//! 1,000,000 once, with its memory.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use deniable::Params;
use deniable_aggregator::decode::{Design, Options, decode};
use deniable_aggregator::simulate;
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

fn names(size: usize) -> Vec<String> {
    (0..size).map(|i| format!("https://example.org/{i}")).collect()
}

fn decodes(criterion: &mut Criterion) {
    let two_cores = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads are had");
    let params = Params::rappor(128, 2, 128, 0.5, 0.25, 0.75).expect("the classic parameters are sound");
    let strings = Design::of_names(&params, names(100)).expect("100 strings");
    let devices: Vec<u64> = (0..100).map(|i| (5e4 * (-(f64::from(i) + 0.5) / 20.0).exp()) as u64).collect();
    let counts = simulate::counts(&params, &strings, &devices, &mut ChaCha12Rng::seed_from_u64(1));
    let mut group = criterion.benchmark_group("candidates");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for size in [1_000, 10_000, 100_000] {
        // The bytes moved: a row index of four bytes for each bit of each candidate in each cohort.
        group.throughput(Throughput::Bytes((size * 2 * 128 * 4) as u64));
        group.bench_function(BenchmarkId::new("design", size), |bencher| {
            bencher.iter(|| two_cores.install(|| Design::of_names(&params, black_box(names(size)))));
        });
        let design = Design::of_names(&params, names(size)).expect("distinct names");
        group.bench_function(BenchmarkId::new("decode", size), |bencher| {
            bencher.iter(|| {
                two_cores.install(|| decode(&params, black_box(&counts), &design, &Options::default()))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decodes);
criterion_main!(benches);
