//! Counts from reports in memory, on one core: the target is 50 million reports of 128 bits a second.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use deniable::Params;
use deniable_aggregator::decode::Sums;
use rand::rngs::ChaCha12Rng;
use rand::{Rng, SeedableRng};

const REPORTS: usize = 1 << 20;

fn sums(criterion: &mut Criterion) {
    let one_core = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread is had");
    let mut group = criterion.benchmark_group("sums");
    for bits in [16, 128, 1024] {
        let params = Params::rappor(bits, 2, 128, 0.5, 0.25, 0.75).expect("the parameters are sound");
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut bytes = vec![0; REPORTS * bits / 8];
        rng.fill_bytes(&mut bytes);
        let cohorts: Vec<u16> = (0..REPORTS).map(|_| (rng.next_u32() % 128) as u16).collect();
        // The bytes moved: the bits, and two for the cohort.
        group.throughput(Throughput::ElementsAndBytes {
            elements: REPORTS as u64,
            bytes: (REPORTS * (bits / 8 + 2)) as u64,
        });
        group.bench_function(BenchmarkId::from_parameter(format!("{bits} bits")), |bencher| {
            bencher.iter(|| one_core.install(|| Sums::of(&params, black_box(&cohorts), black_box(&bytes))));
        });
    }
    group.finish();
}

criterion_group!(benches, sums);
criterion_main!(benches);
