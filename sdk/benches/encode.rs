//! What a report costs, beside the bare hashing and random bytes that it cannot do without.
//!
//! `full` is a value's whole way to a report; `memoized` starts from the permanent response. `floor` is the same
//! SHA-256, HMAC-SHA256 and ChaCha work on the same number of bytes, with nothing done to them.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot set up should stop")]

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use deniable::{DeviceSecret, Encoder, Encoding, Epoch, MetricId, Params, Randomness, Response, Value};
use hmac::{Hmac, KeyInit, Mac};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

const WIDTHS: [usize; 4] = [16, 64, 128, 1024];
const EPOCH: Epoch = Epoch(20_000);

/// The random bytes of one stage over k bits: 8 bytes for each of `words` random words of 64 places.
fn stage_bytes(encoding: Encoding, bits: usize, words: usize) -> usize {
    if encoding == Encoding::Direct { 8 } else { bits.div_ceil(64) * 8 * words }
}

struct Case {
    name: &'static str,
    encoding: Encoding,
    /// Random words in which the probabilities differ: 32 in general, fewer if they are dyadic.
    words: usize,
}

fn params(case: &Case, bits: usize) -> Params {
    let (permanent, instantaneous) = match (case.encoding, case.words) {
        (Encoding::Direct, _) => (direct(bits, 0.6), direct(bits, 0.5)),
        (_, 2) => (Response::nearest(0.25, 0.75), Response::nearest(0.25, 0.75)),
        _ => (Response::nearest(0.1, 0.9), Response::nearest(0.3, 0.7)),
    };
    Params::new(case.encoding, bits, 1, 64, Some(permanent.unwrap()), Some(instantaneous.unwrap())).unwrap()
}

/// k-ary randomized response near the wanted P(1|1).
fn direct(bits: usize, one: f64) -> Result<Response, deniable::ParamsError> {
    let steps = (1u64 << 32) as f64;
    let zero = ((1.0 - one) / (bits as f64 - 1.0) * steps).floor();
    Response::nearest(zero / steps, 1.0 - zero * (bits as f64 - 1.0) / steps)
}

fn encode(c: &mut Criterion) {
    for case in [
        Case { name: "direct", encoding: Encoding::Direct, words: 32 },
        Case { name: "unary/general", encoding: Encoding::Unary, words: 32 },
        Case { name: "unary/dyadic", encoding: Encoding::Unary, words: 2 },
        Case { name: "bloom/general", encoding: Encoding::Bloom, words: 32 },
        Case { name: "bloom/dyadic", encoding: Encoding::Bloom, words: 2 },
    ] {
        for bits in WIDTHS {
            let mut group = c.benchmark_group(format!("{}/k={bits}", case.name));
            measure(&mut group, &case, bits);
            floor(&mut group, &case, bits);
            group.finish();
        }
    }
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, case: &Case, bits: usize) {
    let metric = MetricId::new("relying_party").unwrap();
    let encoder = Encoder::new(metric, 1, params(case, bits), &DeviceSecret::from_bytes([7; 32]));
    let value =
        if case.encoding == Encoding::Bloom { Value::Text("rp-001.example") } else { Value::Choice(3) };
    let mut randomness = Randomness::from_system().unwrap();
    group.bench_function("full", |b| {
        b.iter(|| encoder.encode(black_box(value), EPOCH, &mut randomness).unwrap());
    });
    let memo = encoder.memoize(value).unwrap();
    group.bench_function("memoized", |b| {
        b.iter(|| black_box(&memo).report(EPOCH, &mut randomness));
    });
}

fn floor(group: &mut BenchmarkGroup<'_, WallTime>, case: &Case, bits: usize) {
    let size = stage_bytes(case.encoding, bits, case.words);
    let (mut coins, mut signal) = (vec![0; size], vec![0; bits.div_ceil(8)]);
    let mut rng = ChaCha8Rng::from_seed([1; 32]);
    let keyed = Hmac::<Sha256>::new_from_slice(&[2; 32]).unwrap();
    group.bench_function("full floor", |b| {
        b.iter(|| {
            if case.encoding == Encoding::Bloom {
                let digest = Sha256::new().chain_update([0; 4]).chain_update(b"rp-001.example").finalize();
                signal[0] = digest[0];
            }
            let seed = keyed.clone().chain_update(&signal).finalize().into_bytes();
            ChaCha8Rng::from_seed(seed.into()).fill_bytes(black_box(&mut coins));
            rng.fill_bytes(black_box(&mut coins));
        });
    });
    group.bench_function("memoized floor", |b| b.iter(|| rng.fill_bytes(black_box(&mut coins))));
}

criterion_group!(benches, encode);
criterion_main!(benches);
