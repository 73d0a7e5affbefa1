//! Counts from the reports of a lake, on one core, beside the fold of the same reports in memory.
//!
//! The target is 10⁸ reports of 128 bits in 3 s, 33 million a second. `LAKE_REPORTS=100000000` runs it at that size, which
//! takes 1.7 GB on disk and about a minute to write.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use deniable::{Epoch, MetricId, Params};
use deniable_aggregator::decode::Sums;
use deniable_aggregator::lake::{Cells, Content, File, Kind, Lake, Partition, Row, TakeRow};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

const BYTES: usize = 16;
const COHORTS: usize = 128;

/// Reports of a cohort after the other, the bits of each ascending.
fn reports(number: usize) -> Vec<[u8; BYTES]> {
    let mut reports = vec![[0; BYTES]; number];
    ChaCha8Rng::seed_from_u64(1).fill_bytes(reports.as_flattened_mut());
    reports.chunks_mut(number.div_ceil(COHORTS)).for_each(<[_]>::sort_unstable);
    reports
}

fn lake(criterion: &mut Criterion) {
    let number =
        std::env::var("LAKE_REPORTS").map_or(1 << 20, |text| text.parse().expect("LAKE_REPORTS is a number"));
    let runtime = tokio::runtime::Runtime::new().expect("the system gives threads");
    let dir = tempfile::tempdir().expect("there is room for files");
    let place = dir.path().to_str().expect("the path is text");
    let lake = Lake::create(place, runtime.handle().clone()).expect("the folder is there");
    let params = Params::rappor(8 * BYTES, 2, COHORTS, 0.5, 0.25, 0.75).expect("the parameters are sound");
    let metric = MetricId::new("bench").expect("the name is sound");
    let partition = Partition { metric, version: 1, epoch: Epoch(20_000) };
    let reports = reports(number);
    let per_cohort = number.div_ceil(COHORTS);
    let rows = |take: &mut TakeRow<'_>| {
        reports.iter().enumerate().try_for_each(|(place, bits)| {
            let cohort = (place / per_cohort) as u16;
            take(&Row { source: "app", tags: "", cohort, reports: 1, cells: Cells::Bits(bits) })
        })
    };
    let content = Content::tell(Kind::Reports, &partition, &params, rows).expect("the rows ascend");
    let file = File { kind: Kind::Reports, partition: &partition, params: &params, content: &content };
    lake.write(&file, rows).expect("there is room for the file");

    let mut group = criterion.benchmark_group("lake");
    group.sample_size(10).throughput(Throughput::Elements(number as u64));
    group.bench_function("reports to counts", |bencher| {
        bencher.iter(|| lake.counts(&file, |_, _| true).expect("the file is whole"));
    });
    group.bench_function("in memory", |bencher| {
        bencher.iter(|| {
            let mut sums = Sums::new(&params);
            for (place, bits) in black_box(&reports).iter().enumerate() {
                sums.add((place / per_cohort) as u16, bits).expect("the report is sound");
            }
            sums.into_counts()
        });
    });
    group.finish();
}

criterion_group!(benches, lake);
criterion_main!(benches);
