//! Every bit position reports 1 as often as its stages say, in every cohort, and every cohort is as large as any other.
//!
//! Three statistics are judged for each set of parameters, each with a false-alarm rate of 10⁻⁶ under the normal
//! approximation (every cell expects hundreds of ones and zeros): χ² of all cells (cohort × bit), the largest deviation of
//! one bit over all cohorts (Bonferroni over the bits), and χ² of the cohorts' sizes. Seeds are fixed. Twins with a
//! planted fault must fail.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use deniable::{
    Answers, DeviceSecret, Encoder, Encoding, Epoch, MetricId, Params, Probability, Randomness, Response,
    Value, bloom_bits,
};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

const ALPHA: f64 = 1e-6;
const REPORTS: usize = 100_000;

/// A report as a list of its bits, with its cohort.
type Seen = (u16, Vec<bool>);

fn encoder(params: Params, secret: [u8; 32]) -> Encoder {
    Encoder::new(MetricId::new("rates").unwrap(), 1, params, &DeviceSecret::from_bytes(secret))
}

/// Reports of one value, each from a fresh device.
fn reports(params: Params, value: Value<'_>) -> impl Iterator<Item = Seen> {
    let mut seeds = ChaCha8Rng::seed_from_u64(1);
    let mut draw = move || {
        let mut seed = [0; 32];
        seeds.fill_bytes(&mut seed);
        seed
    };
    let mut randomness = Randomness::from_seed(draw());
    (0..REPORTS).map(move |_| {
        let report = encoder(params, draw()).encode(value, Epoch(0), &mut randomness).unwrap();
        (report.cohort(), report.bits().iter().by_vals().collect())
    })
}

/// The chances of deviations as large as were seen, if the reports are what they should be.
#[derive(Debug)]
struct Verdict {
    cells: f64,
    worst_bit: f64,
    cohorts: f64,
}

impl Verdict {
    fn passes(&self) -> bool {
        [self.cells, self.worst_bit, self.cohorts].iter().all(|p| *p > ALPHA)
    }
}

fn judge(params: Params, value: Value<'_>, reports: impl Iterator<Item = Seen>) -> Verdict {
    let (k, m) = (params.bits(), params.cohorts());
    let (mut sizes, mut ones) = (vec![0u32; m], vec![vec![0u32; k]; m]);
    for (cohort, bits) in reports {
        sizes[usize::from(cohort)] += 1;
        ones[usize::from(cohort)].iter_mut().zip(bits).for_each(|(ones, bit)| *ones += u32::from(bit));
    }
    let direct = params.encoding() == Encoding::Direct;
    let (mut cells, mut deviations, mut variances) = (0.0, vec![0.0; k], vec![0.0; k]);
    for (cohort, (size, ones)) in sizes.iter().zip(&ones).enumerate() {
        for (bit, ones) in ones.iter().enumerate() {
            let rate = rate(&params, value, cohort as u16, bit);
            let expected = f64::from(*size) * rate;
            let deviation = f64::from(*ones) - expected;
            let variance = expected * (1.0 - rate);
            // Of the direct encoding's bits one is set, so they are the cells of a multinomial.
            cells += deviation * deviation / if direct { expected } else { variance };
            deviations[bit] += deviation;
            variances[bit] += variance;
        }
    }
    let largest = deviations.iter().zip(&variances).map(|(d, v)| d.abs() / v.sqrt()).fold(0.0, f64::max);
    let mean = REPORTS as f64 / m as f64;
    let spread: f64 = sizes.iter().map(|size| (f64::from(*size) - mean).powi(2) / mean).sum();
    Verdict {
        cells: chi_squared(cells, m * (k - usize::from(direct))),
        worst_bit: 2.0 * k as f64 * Normal::standard().sf(largest),
        cohorts: chi_squared(spread, m - 1),
    }
}

fn chi_squared(statistic: f64, freedom: usize) -> f64 {
    if freedom == 0 { 1.0 } else { ChiSquared::new(freedom as f64).unwrap().sf(statistic) }
}

/// p* or q*, by what the value sets in the cohort.
fn rate(params: &Params, value: Value<'_>, cohort: u16, bit: usize) -> f64 {
    let set = match value {
        Value::Choice(choice) => choice == bit,
        Value::Choices(choices) => choices.contains(&bit),
        Value::Subset(set) if params.encoding() == Encoding::Direct => usize::from(set) == bit,
        Value::Subset(set) => set >> bit & 1 == 1,
        Value::Text(text) => {
            bloom_bits(params.bits(), params.hashes(), cohort, text.as_bytes()).any(|one| one == bit)
        }
    };
    if set { params.channel().one() } else { params.channel().zero() }
}

fn stage(zero: f64, one: f64) -> Option<Response> {
    Some(Response::nearest(zero, one).unwrap())
}

fn bloom() -> Params {
    Params::rappor(32, 2, 8, 0.5, 0.25, 0.75).unwrap()
}

const TEXT: Value<'_> = Value::Text("shop.example");

#[test]
fn every_bit_of_every_cohort_has_its_rate() {
    let closed = |k, infinity| Params::for_epsilon(1.0, infinity, Answers::Closed(k)).unwrap();
    let set = |names| Params::for_epsilon(1.0, Some(2.0), Answers::Set(names)).unwrap();
    let unary = |k, h, prr, irr| Params::new(Encoding::Unary, k, h, 4, prr, irr).unwrap();
    for (params, value) in [
        (closed(2, Some(2.0)), Value::Choice(1)),
        (closed(7, None), Value::Choice(0)),
        (closed(7, Some(2.0)), Value::Choice(6)),
        (closed(65, None), Value::Choice(64)),
        (closed(65, Some(2.0)), Value::Choice(0)),
        (set(2), Value::Subset(0b10)),
        (set(6), Value::Subset(0b10_0101)),
        // Lanes of one, two, four and more words, cut within a byte and a word; dyadic and general; either stage alone.
        (unary(1, 1, stage(0.25, 0.75), stage(0.3, 0.6)), Value::Choice(0)),
        (unary(63, 3, stage(0.1, 0.8), None), Value::Choices(&[0, 31, 62])),
        (unary(129, 1, None, stage(0.25, 0.5)), Value::Choice(128)),
        (unary(300, 2, stage(0.2, 0.7), stage(0.3, 0.6)), Value::Choices(&[])),
        (bloom(), TEXT),
        (Params::new(Encoding::Bloom, 20, 3, 64, stage(0.125, 0.5), None).unwrap(), TEXT),
        (Params::new(Encoding::Bloom, 16, 1, 5, None, stage(0.1, 0.5)).unwrap(), TEXT),
    ] {
        let verdict = judge(params, value, reports(params, value));
        assert!(verdict.passes(), "{params:?}: {verdict:?}");
    }
}

#[test]
fn a_bit_that_is_off_by_three_per_cent_is_found() {
    let mut coins = ChaCha8Rng::seed_from_u64(2);
    let twin = reports(bloom(), TEXT).map(|(cohort, mut bits)| {
        bits[31] &= coins.next_u32() % 100 >= 3;
        (cohort, bits)
    });
    let verdict = judge(bloom(), TEXT, twin);
    assert!(verdict.worst_bit < ALPHA, "{verdict:?}");
}

#[test]
fn a_cohort_that_is_ignored_is_found() {
    let cohorts: Vec<u16> = reports(bloom(), TEXT).map(|(cohort, _)| cohort).collect();
    // The bits were hashed for another cohort than the report says.
    let twin =
        reports(bloom(), TEXT).zip(cohorts.into_iter().skip(1).cycle()).map(|((_, bits), c)| (c, bits));
    let verdict = judge(bloom(), TEXT, twin);
    assert!(verdict.cells < ALPHA, "{verdict:?}");
}

#[test]
fn a_cohort_that_is_drawn_too_rarely_is_found() {
    let mut coins = ChaCha8Rng::seed_from_u64(3);
    // A tenth of cohort 7 is left out of the draw, as by a remainder of a small number.
    let twin = reports(bloom(), TEXT).filter(|(cohort, _)| *cohort != 7 || coins.next_u32() % 10 > 0);
    let verdict = judge(bloom(), TEXT, twin);
    assert!(verdict.cohorts < ALPHA, "{verdict:?}");
}

#[test]
fn random_words_that_stay_zero_are_found() {
    // Zero is below every threshold above 0: the last byte's bits are all 1 in three reports of a hundred.
    let mut coins = ChaCha8Rng::seed_from_u64(4);
    let twin = reports(bloom(), TEXT).map(|(cohort, mut bits)| {
        if coins.next_u32() % 100 < 3 {
            bits[24..].fill(true);
        }
        (cohort, bits)
    });
    let verdict = judge(bloom(), TEXT, twin);
    assert!(verdict.worst_bit < ALPHA, "{verdict:?}");
}

/// In 400,000 draws a step of 2⁻³² comes with a chance of 10⁻⁴; the seed is one where it does not.
#[test]
fn the_smallest_steps_from_zero_and_one_are_hardly_ever_taken() {
    let step = Probability::from_numerator(1).unwrap();
    let stage = Response::new(step, step.complement()).unwrap();
    let params = Params::new(Encoding::Unary, 4, 1, 1, Some(stage), None).unwrap();
    for (_, bits) in reports(params, Value::Choice(2)) {
        assert_eq!(bits, [false, false, true, false]);
    }
}

/// Neither the value nor the outcome shows in how many coins were used: what is drawn next is always the same.
#[test]
fn every_value_uses_the_same_coins() {
    let closed = |k| Params::for_epsilon(1.0, Some(2.0), Answers::Closed(k)).unwrap();
    let sets = Params::new(Encoding::Unary, 70, 3, 1, None, stage(0.25, 0.5)).unwrap();
    let set = |names| Params::for_epsilon(1.0, Some(2.0), Answers::Set(names)).unwrap();
    let cases: [(Params, &[Value<'_>]); 6] = [
        (set(2), &[Value::Subset(0), Value::Subset(3)]),
        (set(8), &[Value::Subset(0), Value::Subset(0xFF), Value::Choices(&[3])]),
        (closed(5), &[Value::Choice(0), Value::Choice(3), Value::Choice(4)]),
        (closed(1000), &[Value::Choice(0), Value::Choice(63), Value::Choice(64), Value::Choice(999)]),
        (sets, &[Value::Choices(&[]), Value::Choices(&[69]), Value::Choices(&[0, 1, 2])]),
        (
            bloom(),
            &[
                Value::Text("a"),
                TEXT,
                Value::Text("a text that takes more than one block of SHA-256 to hash"),
            ],
        ),
    ];
    for (params, values) in cases {
        for device in 0..50 {
            let encoder = encoder(params, [device; 32]);
            let mut randomness = values.iter().map(|value| {
                let mut randomness = Randomness::from_seed([device; 32]);
                for _ in 0..3 {
                    encoder.encode(*value, Epoch(0), &mut randomness).unwrap();
                }
                randomness.draw_id()
            });
            let first = randomness.next().unwrap();
            assert!(randomness.all(|next| next == first), "{params:?}");
        }
    }
}

/// A value that is refused leaves no trace in the coins.
#[test]
fn a_value_that_is_refused_uses_no_coins() {
    let untouched = Randomness::from_seed([9; 32]).draw_id();
    for (params, value) in [
        (bloom(), Value::Text("")),
        (bloom(), Value::Choice(0)),
        (Params::for_epsilon(1.0, None, Answers::Closed(5)).unwrap(), Value::Choice(5)),
        (Params::for_epsilon(1.0, None, Answers::Closed(50)).unwrap(), Value::Choices(&[1, 2])),
    ] {
        let mut randomness = Randomness::from_seed([9; 32]);
        encoder(params, [1; 32]).encode(value, Epoch(0), &mut randomness).unwrap_err();
        assert_eq!(randomness.draw_id(), untouched);
    }
}
