//! The audit against the encoder that ships, and against twins with one fault each, which it must refute.
//!
//! Every audit has a fixed seed and a confidence of 0.9999: over seeds, an encoder that keeps its claims would be
//! refuted in at most one run of 10,000. The seeds here are not chosen: any would do but for that.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::hash::{DefaultHasher, Hash, Hasher};

use deniable::{
    Answers, DeviceSecret, EncodeError, Encoding, Entropy, EntropyError, MetricId, Params, Response, Value,
    bloom_bits,
};
use deniable_aggregator::audit::{Audit, Auditor, Loss, Observed, Plan, Shipped, Subject};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

const CONFIDENCE: f64 = 0.9999;

fn audit(subject: &impl Subject, params: Params, trials: usize) -> Audit {
    Auditor::new(params, Plan::new(trials, CONFIDENCE, 1).unwrap()).run(subject, &|_| ()).unwrap()
}

fn shipped(params: Params) -> Shipped {
    Shipped::new(MetricId::new("audited").unwrap(), 1, params)
}

fn refuted(audit: &Audit, loss: Loss) -> bool {
    audit.refutations().any(|finding| finding.loss == loss)
}

fn closed(values: usize, one: f64, infinity: Option<f64>) -> Params {
    Params::for_epsilon(one, infinity, Answers::Closed(values)).unwrap()
}

/// The optimal chain for ε₁ = 1 and ε∞ = 2 with few bits and cohorts.
fn chained(encoding: Encoding, bits: usize, hashes: usize, cohorts: usize) -> Params {
    let wide = Params::for_epsilon(1.0, Some(2.0), Answers::Open).unwrap();
    Params::new(encoding, bits, hashes, cohorts, wide.permanent(), wide.instantaneous()).unwrap()
}

fn classic(hashes: usize) -> Params {
    Params::rappor(16, hashes, 4, 0.5, 0.25, 0.75).unwrap()
}

/// The encoder keeps its claims, and the audit comes close enough to them to mean something.
#[test]
fn the_shipped_encoder_keeps_its_claims() {
    for (name, params) in [
        ("yes/no", closed(2, 1.0, Some(2.0))),
        ("direct, one stage", closed(8, 1.0, None)),
        ("direct", closed(8, 1.0, Some(2.0))),
        ("unary, one stage", closed(20, 1.0, None)),
        ("unary", closed(20, 1.0, Some(2.0))),
        (
            "bloom, one stage",
            Params::new(Encoding::Bloom, 24, 1, 8, None, closed(20, 1.0, None).instantaneous()).unwrap(),
        ),
        ("bloom", chained(Encoding::Bloom, 24, 1, 8)),
        ("classic", classic(1)),
    ] {
        let audit = audit(&shipped(params), params, 40_000);
        assert_eq!(audit.refutations().count(), 0, "{name}: {audit:#?}");
        for (loss, claim) in [(Loss::One, params.epsilon_one()), (Loss::Infinity, params.epsilon_infinity())]
        {
            let bound = audit.bound(loss);
            let least = if claim.is_bounded() { 0.8 * claim.get() } else { 0.0 };
            assert!(bound >= least, "{name}: only {bound} of {claim}");
        }
    }
}

/// Shapes at their limits, and permanent responses that are reported as they are.
#[test]
fn the_shipped_encoder_keeps_its_claims_at_the_limits() {
    let stage = closed(30, 2.0, None).instantaneous();
    for (name, params) in [
        ("one bit", Params::new(Encoding::Unary, 1, 1, 1, stage, stage).unwrap()),
        ("sets", chained(Encoding::Unary, 9, 3, 2)),
        ("two bits, every hash", Params::new(Encoding::Bloom, 2, 2, 3, stage, None).unwrap()),
        ("permanent alone", Params::new(Encoding::Unary, 5, 1, 4, stage, None).unwrap()),
        ("classic, two hashes", classic(2)),
        ("many cohorts", chained(Encoding::Bloom, 64, 1, 1 << 16)),
    ] {
        let audit = audit(&shipped(params), params, 20_000);
        assert_eq!(audit.refutations().count(), 0, "{name}: {audit:#?}");
        let bound = audit.bound(Loss::One);
        assert!(bound >= 0.6 * params.epsilon_one().get(), "{name}: only {bound}");
    }
}

#[test]
fn an_audit_with_a_seed_is_repeated_to_the_last_digit() {
    let params = chained(Encoding::Bloom, 16, 1, 4);
    let run = || audit(&shipped(params), params, 2000);
    assert_eq!(run(), run());
}

/// What a twin does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Nothing,
    /// A loop that ends one bit early.
    LastBitNotRandomized,
    /// Noise is added to the signal and never takes from it.
    TrueBitsNeverCleared,
    /// The permanent stage is made for nine tenths of the flips that are claimed.
    PermanentStageOff,
    /// The permanent answer is kept in memory and not over a restart.
    PermanentAnswerPerRun,
    /// The cohort is taken from the value.
    CohortTellsTheValue,
    /// Of four bytes asked for two arrive, and the others stay zero.
    ShortReads,
}

/// RAPPOR from its paper, a bit at a time, with a fault.
struct Twin {
    params: Params,
    fault: Fault,
}

struct TwinDevice {
    cohort: u16,
    memory: u64,
    coins: ChaCha8Rng,
}

impl Subject for Twin {
    type Device = TwinDevice;

    fn start(&self, secret: DeviceSecret, entropy: &mut impl Entropy) -> Result<TwinDevice, EntropyError> {
        let mut seed = [0; 32];
        entropy.fill(&mut seed)?;
        let mut coins = ChaCha8Rng::from_seed(seed);
        let mut stored = ChaCha8Rng::from_seed(*secret.to_bytes());
        let cohort = ((u64::from(stored.next_u32()) * self.params.cohorts() as u64) >> 32) as u16;
        let per_run = self.fault == Fault::PermanentAnswerPerRun;
        let memory = if per_run { coins.next_u64() } else { stored.next_u64() };
        Ok(TwinDevice { cohort, memory, coins })
    }

    fn cohort(&self, device: &TwinDevice) -> u16 {
        device.cohort
    }

    fn report(&self, device: &mut TwinDevice, value: Value<'_>) -> Result<Observed, EncodeError> {
        let signal = self.signal(value, device.cohort);
        let mut memo = DefaultHasher::new();
        (device.memory, &signal).hash(&mut memo);
        let mut memo = ChaCha8Rng::seed_from_u64(memo.finish());
        let permanent = match self.params.permanent() {
            Some(stage) => self.respond(self.permanent_stage(stage), &signal, &mut memo),
            None => signal.clone(),
        };
        let mut bits = match self.params.instantaneous() {
            Some(stage) => self.respond(stage, &permanent, &mut device.coins),
            None => permanent,
        };
        match self.fault {
            Fault::LastBitNotRandomized => bits[signal.len() - 1] = signal[signal.len() - 1],
            Fault::TrueBitsNeverCleared => {
                bits.iter_mut().zip(&signal).for_each(|(bit, truth)| *bit |= truth);
            }
            _ => {}
        }
        let cohort = match (self.fault, signal.iter().position(|bit| *bit)) {
            (Fault::CohortTellsTheValue, Some(first)) => device.cohort & !1 | (first % 2) as u16,
            _ => device.cohort,
        };
        let pack = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
        Ok(Observed { cohort, bits: bits.chunks(8).map(pack).collect() })
    }
}

impl Twin {
    fn signal(&self, value: Value<'_>, cohort: u16) -> Vec<bool> {
        let mut signal = vec![false; self.params.bits()];
        match value {
            Value::Choice(choice) => signal[choice] = true,
            Value::Choices(choices) => choices.iter().for_each(|&choice| signal[choice] = true),
            Value::Subset(set) => {
                (0..8).filter(|i| set >> i & 1 == 1).for_each(|choice| signal[choice] = true);
            }
            Value::Text(text) => {
                let (k, h) = (self.params.bits(), self.params.hashes());
                bloom_bits(k, h, cohort, text.as_bytes()).for_each(|bit| signal[bit] = true);
            }
        }
        signal
    }

    fn permanent_stage(&self, stage: Response) -> Response {
        if self.fault != Fault::PermanentStageOff {
            return stage;
        }
        Response::nearest(0.9 * stage.zero().as_f64(), 1.0 - 0.9 * (1.0 - stage.one().as_f64())).unwrap()
    }

    fn respond(&self, stage: Response, input: &[bool], coins: &mut ChaCha8Rng) -> Vec<bool> {
        let draw = |coins: &mut ChaCha8Rng| {
            let whole = coins.next_u32();
            u64::from(if self.fault == Fault::ShortReads { whole & 0xFFFF } else { whole })
        };
        let (zero, one) = (stage.zero().numerator(), stage.one().numerator());
        if self.params.encoding() != Encoding::Direct {
            return input.iter().map(|bit| draw(coins) < if *bit { one } else { zero }).collect();
        }
        let truth = input.iter().position(|bit| *bit).unwrap();
        let answer = match draw(coins).checked_sub(one) {
            None => truth,
            Some(rest) => {
                (0..input.len()).filter(|place| *place != truth).nth((rest / zero) as usize).unwrap()
            }
        };
        (0..input.len()).map(|place| place == answer).collect()
    }
}

fn twin(params: Params, fault: Fault, trials: usize) -> Audit {
    audit(&Twin { params, fault }, params, trials)
}

#[test]
fn a_twin_without_a_fault_is_not_refuted() {
    for params in [closed(8, 1.0, Some(2.0)), chained(Encoding::Unary, 10, 1, 2), classic(1)] {
        let audit = twin(params, Fault::Nothing, 20_000);
        assert_eq!(audit.refutations().count(), 0, "{audit:#?}");
    }
}

#[test]
fn a_last_bit_that_is_not_randomized_is_found() {
    for params in [closed(20, 1.0, None), chained(Encoding::Unary, 10, 1, 2), classic(2)] {
        let audit = twin(params, Fault::LastBitNotRandomized, 10_000);
        assert!(refuted(&audit, Loss::One), "{audit:#?}");
        // One wrong bit among many: the pair that holds it finds it, and says so.
        let worst = audit.refutations().max_by(|a, b| a.bound.total_cmp(&b.bound)).unwrap();
        assert!(worst.pair.contains("last"), "{worst:?}");
    }
}

#[test]
fn true_bits_that_are_never_cleared_are_found() {
    for params in [closed(20, 1.0, None), chained(Encoding::Unary, 10, 1, 2), classic(1)] {
        let audit = twin(params, Fault::TrueBitsNeverCleared, 10_000);
        assert!(refuted(&audit, Loss::One), "{audit:#?}");
        assert!(refuted(&audit, Loss::Infinity) || params.permanent().is_none(), "{audit:#?}");
    }
}

/// With f = 0.45 instead of 0.5 and h = 1 the losses are ε₁ = 1.129 instead of 1.022 and ε∞ = 2.474 instead of 2.197.
/// The events that show it come with 0.131 and 0.051 under the rarer value, in 100,000 and 20,000 trials: each
/// logarithm is known to 4 standard deviations, 0.05 and 0.14, which leaves the claims out.
#[test]
fn an_f_that_is_a_tenth_too_small_is_found() {
    let audit = twin(classic(1), Fault::PermanentStageOff, 200_000);
    assert!(refuted(&audit, Loss::One), "{audit:#?}");
    assert!(refuted(&audit, Loss::Infinity), "{audit:#?}");
}

/// Each report alone is as private as claimed; only a lifetime shows that the noise averages out.
#[test]
fn a_permanent_answer_that_does_not_outlive_the_process_is_found() {
    for params in [closed(8, 1.0, Some(2.0)), chained(Encoding::Unary, 10, 1, 2), classic(1)] {
        let audit = twin(params, Fault::PermanentAnswerPerRun, 10_000);
        assert!(!refuted(&audit, Loss::One), "{audit:#?}");
        assert!(refuted(&audit, Loss::Infinity), "{audit:#?}");
    }
}

#[test]
fn a_cohort_that_tells_the_value_is_found() {
    for params in [chained(Encoding::Unary, 10, 1, 2), chained(Encoding::Bloom, 16, 1, 64), classic(2)] {
        let audit = twin(params, Fault::CohortTellsTheValue, 10_000);
        assert!(refuted(&audit, Loss::One), "{audit:#?}");
    }
}

/// Zeros are below every threshold, so the direct encoding always keeps the truth. Independent bits would all be 1,
/// which tells nothing: the test of rates finds that.
#[test]
fn short_reads_taken_for_zeros_are_found() {
    for params in [closed(2, 1.0, None), closed(8, 1.0, Some(2.0))] {
        let audit = twin(params, Fault::ShortReads, 10_000);
        assert!(refuted(&audit, Loss::One), "{audit:#?}");
    }
}

/// The shipped encoder on a host whose generator fills the first bytes of the seed and calls it done.
struct OnShortEntropy {
    encoder: Shipped,
    filled: usize,
}

impl Subject for OnShortEntropy {
    type Device = <Shipped as Subject>::Device;

    fn start(&self, secret: DeviceSecret, entropy: &mut impl Entropy) -> Result<Self::Device, EntropyError> {
        self.encoder.start(secret, &mut Short { entropy, filled: self.filled })
    }

    fn cohort(&self, device: &Self::Device) -> u16 {
        self.encoder.cohort(device)
    }

    fn report(&self, device: &mut Self::Device, value: Value<'_>) -> Result<Observed, EncodeError> {
        self.encoder.report(device, value)
    }
}

struct Short<'a, E> {
    entropy: &'a mut E,
    filled: usize,
}

impl<E: Entropy> Entropy for Short<'_, E> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.entropy.fill(&mut out[..self.filled])
    }
}

/// Without a permanent stage the coins are all there is. No seed at all makes the report a function of the value; one
/// byte of it leaves 256 reports for each value, and no bit's rate tells.
#[test]
fn a_seed_that_was_filled_in_part_is_found() {
    for (params, filled) in [(closed(8, 1.0, None), 0), (closed(20, 1.0, None), 1)] {
        let subject = |filled| OnShortEntropy { encoder: shipped(params), filled };
        let short = audit(&subject(filled), params, 20_000);
        assert!(refuted(&short, Loss::One), "{filled} bytes: {short:#?}");
        assert_eq!(audit(&subject(32), params, 20_000).refutations().count(), 0);
    }
}
