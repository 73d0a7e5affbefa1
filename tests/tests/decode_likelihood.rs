//! Whole reports say more than their counts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use deniable::{Encoding, Params, Response};
use deniable_aggregator::decode::{DecodeError, Decoded, Design, Options, Reports, decode, decode_reports};
use deniable_aggregator::simulate;
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

const SEEDS: u64 = 20;

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| format!("v{i}")).collect()
}

/// Twenty strings, the first with most of the devices, and candidates of which the last five are absent.
fn devices() -> Vec<u64> {
    (0..20).map(|i| 1600 / (i + 1)).collect()
}

fn truth(name: &str, devices: &[u64]) -> f64 {
    let index: usize = name[1..].parse().unwrap();
    devices.get(index).copied().unwrap_or(0) as f64 / devices.iter().sum::<u64>() as f64
}

/// The mean square error, and the part of the 95 % intervals that hold the truth.
fn judge(decoded: &[Decoded], devices: &[u64]) -> (f64, f64) {
    let (mut square, mut inside, mut all) = (0.0, 0.0, 0.0);
    for figure in decoded.iter().flat_map(|decoded| &decoded.figures) {
        let truth = truth(&figure.names[0], devices);
        let (low, high) = figure.share.interval_95();
        square += (figure.share.value - truth).powi(2);
        inside += f64::from(u8::from((low..=high).contains(&truth)));
        all += 1.0;
    }
    (square / all, inside / all)
}

fn decoded(params: &Params, strings: &Design, design: &Design) -> (Vec<Decoded>, Vec<Decoded>) {
    let options = Options::default();
    let run = |seed| {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let reports = simulate::reports(params, strings, &devices(), &mut rng);
        let counts = decode(params, &reports.counts(), design, &options).unwrap();
        (counts, decode_reports(&reports, design, &options).unwrap())
    };
    (0..SEEDS).map(run).unzip()
}

#[test]
fn with_two_hashes_and_a_weak_noise_the_likelihood_is_much_closer() {
    // ε₁ = 2 · ln(q(1−p) / (p(1−q))) = 4.39.
    let params = Params::rappor(32, 2, 8, 0.0, 0.25, 0.75).unwrap();
    let strings = Design::of_names(&params, names(0..20)).unwrap();
    let design = Design::of_names(&params, names(0..25)).unwrap();
    let (counts, whole) = decoded(&params, &strings, &design);
    let ((by_counts, _), (by_likelihood, coverage)) = (judge(&counts, &devices()), judge(&whole, &devices()));
    assert!(by_likelihood < 0.75 * by_counts, "{by_likelihood} is not well below {by_counts}");
    // 500 intervals, correlated within a run: 91 % is four standard errors off.
    assert!((0.91..=0.99).contains(&coverage), "{coverage}");
}

#[test]
fn strings_outside_the_candidates_go_to_the_rest() {
    let params = Params::rappor(32, 2, 8, 0.0, 0.25, 0.75).unwrap();
    let strings = Design::of_names(&params, names(0..20)).unwrap();
    // The strings from v10 on, of 16 % of the devices, are no candidates.
    let design = Design::of_names(&params, names(0..10)).unwrap();
    let (_, whole) = decoded(&params, &strings, &design);
    let missing: f64 = (10..20).map(|i| truth(&format!("v{i}"), &devices())).sum();
    let mean = whole.iter().map(|decoded| decoded.unexplained.unwrap().value).sum::<f64>() / SEEDS as f64;
    assert!((mean - missing).abs() < 0.03, "{mean} of {missing}");
}

#[test]
fn one_bit_for_each_value_is_worth_its_counts() {
    let params = Params::new(Encoding::Unary, 20, 1, 1, None, Response::nearest(0.1, 0.5).ok()).unwrap();
    let design = Design::of_names(&params, names(0..20)).unwrap();
    let (counts, whole) = decoded(&params, &design, &design);
    let ((by_counts, _), (by_likelihood, coverage)) = (judge(&counts, &devices()), judge(&whole, &devices()));
    assert!(by_likelihood < 1.02 * by_counts, "{by_likelihood} above {by_counts}");
    assert!((0.91..=0.99).contains(&coverage), "{coverage}");
}

/// Reports of one value and a little noise: beyond a share of 1 they would be likelier still.
#[test]
fn reports_that_speak_against_no_share_are_refused() {
    let params = Params::new(Encoding::Unary, 3, 1, 1, None, Response::nearest(0.001, 0.999).ok()).unwrap();
    let design = Design::of_names(&params, names(0..3)).unwrap();
    let mut reports = Reports::new(&params);
    (0..290).for_each(|_| reports.add(0, &[0b001]).unwrap());
    (0..5).for_each(|_| reports.add(0, &[0b011]).and_then(|()| reports.add(0, &[0b101])).unwrap());
    let refused = decode_reports(&reports, &design, &Options::default());
    assert!(matches!(refused, Err(DecodeError::Unbounded { reports: 300 })), "{refused:?}");
    assert!(decode(&params, &reports.counts(), &design, &Options::default()).is_ok());
}

#[test]
fn too_many_candidates_and_sets_are_refused() {
    let params = Params::rappor(32, 2, 8, 0.0, 0.25, 0.75).unwrap();
    let design = Design::of_names(&params, names(0..601)).unwrap();
    let refused = decode_reports(&Reports::new(&params), &design, &Options::default());
    assert!(matches!(refused, Err(DecodeError::TooManyCandidates { have: 601, most: 600 })), "{refused:?}");
    let sets = Params::new(Encoding::Unary, 4, 2, 1, None, Response::nearest(0.1, 0.5).ok()).unwrap();
    let design = Design::of_names(&sets, names(0..4)).unwrap();
    let refused = decode_reports(&Reports::new(&sets), &design, &Options::default());
    assert!(matches!(refused, Err(DecodeError::Sets { hashes: 2 })), "{refused:?}");
}
