//! ε against its definition: the likelihood of every sequence of reports under every value, by enumeration.
//!
//! It knows of a mechanism only what each stage does to each bit, and sums over all permanent responses, so it shares
//! nothing with the closed forms it checks.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use deniable::{Encoding, Params, Probability, Response};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The chance that a stage turns the bits `input` into `output`, bit i in place i.
fn turns(encoding: Encoding, k: usize, stage: Option<Response>, input: usize, output: usize) -> f64 {
    let Some(stage) = stage else { return f64::from(u8::from(input == output)) };
    let (zero, one) = (stage.zero().as_f64(), stage.one().as_f64());
    if encoding == Encoding::Direct {
        return if output.count_ones() != 1 {
            0.0
        } else if input == output {
            one
        } else {
            zero
        };
    }
    let bit = |i: usize| {
        let set = if input >> i & 1 == 1 { one } else { zero };
        if output >> i & 1 == 1 { set } else { 1.0 - set }
    };
    (0..k).map(bit).product()
}

/// The largest ln of a ratio of likelihoods of `n` reports of one value, over all pairs of `signals`.
fn exact(params: &Params, signals: &[usize], n: u32) -> f64 {
    let (encoding, k) = (params.encoding(), params.bits());
    let patterns = 1usize << k;
    let table = |stage| -> Vec<Vec<f64>> {
        (0..patterns).map(|x| (0..patterns).map(|y| turns(encoding, k, stage, x, y)).collect()).collect()
    };
    let (permanent, instantaneous) = (table(params.permanent()), table(params.instantaneous()));
    let mut worst = 0.0f64;
    for code in 0..patterns.pow(n) {
        let reports: Vec<usize> = (0..n).map(|i| code / patterns.pow(i) % patterns).collect();
        let given: Vec<f64> =
            (0..patterns).map(|memo| reports.iter().map(|&y| instantaneous[memo][y]).product()).collect();
        let likelihood = |x: &usize| -> f64 { permanent[*x].iter().zip(&given).map(|(a, b)| a * b).sum() };
        let likelihoods: Vec<f64> = signals.iter().map(likelihood).collect();
        let most = likelihoods.iter().copied().fold(0.0, f64::max);
        let least = likelihoods.iter().copied().fold(f64::INFINITY, f64::min);
        // A direct report with no bit or two has no likelihood at all.
        if most > 0.0 {
            worst = worst.max((most / least).ln());
        }
    }
    worst
}

fn signals(params: &Params) -> Vec<usize> {
    let ones = |pattern: &usize| pattern.count_ones() as usize;
    let all = 0..1usize << params.bits();
    match params.encoding() {
        Encoding::Direct => all.filter(|pattern| ones(pattern) == 1).collect(),
        Encoding::Unary => all.filter(|pattern| ones(pattern) <= params.hashes()).collect(),
        Encoding::Bloom => all.filter(|pattern| (1..=params.hashes()).contains(&ones(pattern))).collect(),
    }
}

fn stage(encoding: Encoding, k: usize) -> impl Strategy<Value = Option<Response>> {
    let step = 1u64..(1 << 32);
    (0..4, step.clone(), step).prop_filter_map("a stage that says something", move |(absent, a, b)| {
        let others = k as u64 - 1;
        let (zero, one) = match encoding {
            Encoding::Direct => (a / others.max(1), (1 << 32) - a / others.max(1) * others),
            Encoding::Unary | Encoding::Bloom => (a.min(b), a.max(b)),
        };
        let probability = |numerator| Probability::from_numerator(numerator).ok();
        if absent == 0 {
            return Some(None);
        }
        Response::new(probability(zero)?, probability(one)?).ok().map(Some)
    })
}

fn params() -> impl Strategy<Value = Params> {
    let encoding = prop_oneof![Just(Encoding::Direct), Just(Encoding::Unary), Just(Encoding::Bloom)];
    (encoding, 1usize..=4, 1usize..=3)
        .prop_flat_map(|(encoding, k, h)| (Just((encoding, k, h)), stage(encoding, k), stage(encoding, k)))
        .prop_filter_map("parameters that protect", |((encoding, k, h), permanent, instantaneous)| {
            let h = if encoding == Encoding::Direct { 1 } else { h };
            Params::new(encoding, k, h, 1, permanent, instantaneous).ok()
        })
}

fn check(test: impl Fn(Params) -> Result<(), TestCaseError>) {
    let config = Config { cases: 2000, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[2; 32]);
    TestRunner::new_with_rng(config, rng).run(&params(), test).unwrap();
}

/// Never below what enumeration finds, and no further above it than the rounding of the enumeration itself. A Bloom filter
/// with as many hashes as bits is counted as if a signal could have no ones, which costs tightness alone.
#[test]
fn every_loss_is_the_largest_that_enumeration_finds() {
    check(|params| {
        let signals = signals(&params);
        let tight = params.encoding() != Encoding::Bloom || params.hashes() < params.bits();
        for n in 1..=if params.bits() == 4 { 2 } else { 3 } {
            let (claim, found) = (params.epsilon_of_reports(n.into()).get(), exact(&params, &signals, n));
            prop_assert!(claim >= found - 1e-11, "{n} reports: {claim} is claimed and {found} found");
            prop_assert!(
                !tight || claim <= found * (1.0 + 1e-9) + 1e-11,
                "{n} reports: {claim} is claimed where {found} would do"
            );
        }
        Ok(())
    });
}

/// All reports of one value tell at most its permanent response.
#[test]
fn the_loss_for_ever_is_that_of_the_permanent_response_itself() {
    check(|params| {
        let Some(stage) = params.permanent() else { return Ok(()) };
        let bare =
            Params::new(params.encoding(), params.bits(), params.hashes(), 1, Some(stage), None).unwrap();
        let (claim, found) = (params.epsilon_infinity().get(), exact(&bare, &signals(&bare), 1));
        prop_assert!(claim >= found - 1e-11, "{claim} is claimed and {found} found");
        prop_assert!(exact(&params, &signals(&params), 2) <= claim + 1e-11);
        Ok(())
    });
}

/// The twin: a stage that clears a bit a little too rarely costs more than is claimed, and enumeration says so.
#[test]
fn enumeration_finds_a_loss_that_is_claimed_too_low() {
    let stage = Some(Response::nearest(0.25, 0.75).unwrap());
    let claimed = Params::new(Encoding::Unary, 2, 1, 1, None, stage).unwrap();
    let actual =
        Params::new(Encoding::Unary, 2, 1, 1, None, Some(Response::nearest(0.25, 0.76).unwrap())).unwrap();
    assert!(exact(&actual, &signals(&actual), 1) > claimed.epsilon_one().get() + 1e-3);
}
