//! What holds for every set of parameters that can be built: it encodes, its batches are read back, its counts are undone to
//! the truth, and it is told from every other.
//!
//! Cases come from a generator with a fixed seed, so a run that passes passes again.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;

use deniable::{
    Batch, BatchId, DeviceSecret, Encoder, Encoding, Epoch, MetricId, Params, ParamsError, Probability,
    Randomness, Report, Response, Value, WriteKey, bloom_bits, fits, write_batch,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const CASES: u32 = 500;
/// Reports of one case.
const REPORTS: usize = 400;
/// The chance that any of all bits of all cases lies outside its tolerance.
const ALPHA: f64 = 1e-6;

fn check<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[1; 32]);
    TestRunner::new_with_rng(config, rng).run(strategy, test).unwrap();
}

/// Mostly few, sometimes up to the most.
fn size(most: usize) -> impl Strategy<Value = usize> {
    prop_oneof![6 => 1..=most.min(40), 2 => 1..=most.min(300), 1 => 1..=most, 1 => Just(most)]
}

/// Numerators of every magnitude, near 0 and near 1 too.
fn numerator() -> impl Strategy<Value = u64> {
    let any = 0..=1u64 << 32;
    let small = (0u32..33, 0..=1u64 << 32).prop_map(|(shift, n)| n >> shift);
    let large = (0u32..33, 0..=1u64 << 32).prop_map(|(shift, n)| (1 << 32) - (n >> shift));
    prop_oneof![any, small, large]
}

fn stage(encoding: Encoding, bits: usize) -> impl Strategy<Value = Option<Response>> {
    (any::<bool>(), numerator(), numerator()).prop_filter_map(
        "a stage that says something",
        move |(some, a, b)| {
            let probability = |numerator| Probability::from_numerator(numerator).ok();
            let others = (bits as u64).saturating_sub(1).max(1);
            let (zero, one) = match encoding {
                Encoding::Direct => (a / others, (1 << 32) - a / others * others),
                Encoding::Unary | Encoding::Bloom => (a.min(b), a.max(b)),
            };
            if some {
                Response::new(probability(zero)?, probability(one)?).ok().map(Some)
            } else {
                Some(None)
            }
        },
    )
}

/// Any parameters that can be built.
fn params() -> impl Strategy<Value = Params> {
    let encoding = prop_oneof![Just(Encoding::Direct), Just(Encoding::Unary), Just(Encoding::Bloom)];
    (encoding, size(4096), size(16), size(1 << 16))
        .prop_flat_map(|(encoding, k, h, m)| {
            (Just((encoding, k, h, m)), stage(encoding, k), stage(encoding, k))
        })
        .prop_filter_map("parameters that protect", |((encoding, k, h, m), permanent, instantaneous)| {
            let h = if encoding == Encoding::Direct { 1 } else { h };
            Params::new(encoding, k, h, m, permanent, instantaneous).ok()
        })
}

/// A value by number, in words that live as long as the numbers do.
#[derive(Clone, Debug)]
struct Answer {
    choices: Vec<usize>,
    text: String,
}

impl Answer {
    fn new(params: &Params, number: u32) -> Self {
        let (k, h) = (params.bits(), params.hashes());
        let size = number as usize % (h + 1);
        let choices = (0..size).map(|i| (number as usize).wrapping_mul(2 * i + 1) % k).collect();
        Self { choices, text: format!("value {number}") }
    }

    fn value(&self, encoding: Encoding) -> Value<'_> {
        match (encoding, &self.choices[..]) {
            (Encoding::Bloom, _) => Value::Text(&self.text),
            (Encoding::Unary, choices) => Value::Choices(choices),
            (Encoding::Direct, choices) => Value::Choice(choices.first().copied().unwrap_or(0)),
        }
    }

    fn signal(&self, params: &Params, cohort: u16) -> Vec<usize> {
        let mut ones: Vec<usize> = match self.value(params.encoding()) {
            Value::Text(text) => {
                bloom_bits(params.bits(), params.hashes(), cohort, text.as_bytes()).collect()
            }
            Value::Choice(choice) => vec![choice],
            Value::Choices(choices) => choices.to_vec(),
            Value::Subset(_) => unreachable!("no answer is given as one"),
        };
        ones.sort_unstable();
        ones.dedup();
        ones
    }
}

/// Reports of devices of their own, with what each set before it was randomized.
fn reports(params: &Params, numbers: &[u32], seed: u8) -> Vec<(Report, Vec<usize>)> {
    let mut randomness = Randomness::from_seed([seed; 32]);
    let report = |(device, &number): (usize, &u32)| {
        let mut secret = [seed; 32];
        secret[..8].copy_from_slice(&(device as u64).to_le_bytes());
        let encoder =
            Encoder::new(MetricId::new("any").unwrap(), 1, *params, &DeviceSecret::from_bytes(secret));
        // A few values that many have, as in life.
        let answer = Answer::new(params, number % 7);
        let report =
            encoder.encode(answer.value(params.encoding()), Epoch(number % 3), &mut randomness).unwrap();
        let signal = answer.signal(params, report.cohort());
        (report, signal)
    };
    numbers.iter().enumerate().map(report).collect()
}

fn numbers(count: usize) -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(any::<u32>(), count)
}

/// The largest error of an undone share, over the tolerance, and the tolerance.
///
/// Where reports of bit j are 1 with independent probabilities of mean r, their share lies within √(ln(2/α)/2n) of r but
/// for a chance of α (Hoeffding 1963, theorem 2). Undone, that is over q* − p*. Here α is shared by all bits of all cases.
fn error(params: &Params, reports: &[(Report, Vec<usize>)]) -> (f64, f64) {
    let (channel, n) = (params.channel(), reports.len() as f64);
    let tests = f64::from(CASES) * params.bits() as f64;
    let tolerance = ((2.0 * tests / ALPHA).ln() / (2.0 * n)).sqrt() / channel.gain();
    let (mut ones, mut truth) = (vec![0.0; params.bits()], vec![0.0; params.bits()]);
    for (report, signal) in reports {
        report.bits().iter_ones().for_each(|bit| ones[bit] += 1.0 / n);
        signal.iter().for_each(|bit| truth[*bit] += 1.0 / n);
    }
    let undone = |share: f64| (share - channel.zero()) / channel.gain();
    let errors = ones.into_iter().zip(truth).map(|(share, truth)| (undone(share) - truth).abs());
    (errors.fold(0.0, f64::max) / tolerance, tolerance)
}

#[test]
fn counts_are_undone_to_the_truth() {
    let sharp = Cell::new(0);
    check(&(params(), numbers(REPORTS), any::<u8>()), |(params, numbers, seed)| {
        let (error, tolerance) = error(&params, &reports(&params, &numbers, seed));
        prop_assert!(error <= 1.0, "{error} times the tolerance of {tolerance}");
        sharp.set(sharp.get() + u32::from(tolerance < 0.5));
        Ok(())
    });
    // Where the stages let hardly anything through, any count is within the tolerance; here are enough others.
    assert!(sharp.get() >= CASES / 10, "only {} cases say anything", sharp.get());
}

#[test]
fn counts_of_an_encoder_that_ignores_its_cohort_are_not_undone_to_the_truth() {
    let params = Params::rappor(16, 2, 4, 0.1, 0.1, 0.9).unwrap();
    let mut reports = reports(&params, &[5; REPORTS], 1);
    assert!(error(&params, &reports).0 <= 1.0);
    reports.iter_mut().for_each(|(_, signal)| *signal = Answer::new(&params, 5).signal(&params, 0));
    assert!(error(&params, &reports).0 > 1.0);
}

#[test]
fn a_batch_is_read_back_as_it_was_written() {
    check(&(params(), (1usize..40).prop_flat_map(numbers), any::<[u8; 16]>()), |(params, numbers, id)| {
        let reports: Vec<Report> =
            reports(&params, &numbers, 3).into_iter().map(|(report, _)| report).collect();
        let mut sent: Vec<(u32, u16, Vec<u8>)> = reports
            .iter()
            .map(|report| (report.epoch().0, report.cohort(), report.bits().domain().collect()))
            .collect();
        let body = write_batch(WriteKey::NONE, BatchId(id), &reports).unwrap();
        let mut reversed = reports;
        reversed.reverse();
        prop_assert_eq!(
            &write_batch(WriteKey::NONE, BatchId(id), &reversed).unwrap(),
            &body,
            "the order of reports shows"
        );
        let batch = Batch::parse(&body).unwrap();
        prop_assert_eq!(batch.id(), BatchId(id));
        let mut read = Vec::new();
        for section in batch.sections() {
            prop_assert_eq!(section.stream().fingerprint(), params.fingerprint());
            prop_assert_eq!(section.stream().bits(), params.bits());
            for (cohort, bits) in section.reports() {
                prop_assert!(fits(&params, cohort, bits));
                read.push((section.epoch().0, cohort, bits.to_vec()));
            }
        }
        sent.sort();
        read.sort();
        prop_assert_eq!(read, sent);
        Ok(())
    });
}

#[test]
fn a_batch_that_is_cut_or_changed_is_refused_or_read_but_never_a_panic() {
    let cases = (params(), (1usize..4).prop_flat_map(numbers), any::<usize>(), 1..=255u8);
    check(&cases, |(params, numbers, place, flip)| {
        let reports: Vec<Report> =
            reports(&params, &numbers, 4).into_iter().map(|(report, _)| report).collect();
        let body = write_batch(WriteKey::NONE, BatchId([1; 16]), &reports).unwrap();
        for end in 0..body.len() {
            prop_assert!(Batch::parse(&body[..end]).is_err(), "cut to {end} bytes");
        }
        let mut longer = body.clone();
        longer.push(0);
        prop_assert!(Batch::parse(&longer).is_err());
        let mut changed = body.clone();
        let at = place % body.len();
        changed[at] ^= flip;
        deniable_tests::fuzz::batch(&changed);
        Ok(())
    });
}

#[test]
fn parameters_are_read_back_as_they_were_written() {
    check(&params(), |params| {
        let text = serde_json::to_string(&params).unwrap();
        prop_assert_eq!(serde_json::from_str::<Params>(&text).unwrap(), params);
        prop_assert!(params.epsilon_one().is_bounded() && params.epsilon_one().get() > 0.0);
        if params.permanent().is_some() {
            // Noise on top of an answer tells no more than the answer.
            prop_assert!(
                params.epsilon_one().get() <= params.epsilon_infinity().get() * (1.0 + 1e-9) + 1e-12
            );
        }
        Ok(())
    });
}

#[test]
fn other_parameters_have_another_fingerprint() {
    check(&(params(), params()), |(one, other)| {
        prop_assert_eq!(one == other, one.fingerprint() == other.fingerprint());
        let remade = |k, h, m| Params::new(one.encoding(), k, h, m, one.permanent(), one.instantaneous());
        let (k, h, m) = (one.bits(), one.hashes(), one.cohorts());
        let near: [Result<Params, ParamsError>; 4] =
            [remade(k + 1, h, m), remade(k, h + 1, m), remade(k, h, m + 1), remade(k, h, m / 2)];
        for near in near.into_iter().flatten() {
            prop_assert!(near.fingerprint() != one.fingerprint(), "{near:?}");
        }
        Ok(())
    });
}
