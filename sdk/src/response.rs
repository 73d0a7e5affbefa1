//! Randomized response: the coin flips of a stage, many bits at once.
//!
//! # Independent bits (unary and Bloom)
//! Each bit compares 32 random bits u with the threshold of its input: it is reported 1 if u < 2³²·P(1|x), so
//! its probability is exact. 64 bits are compared at once: random word i holds bit i of 64 numbers u, and running
//! from the least significant word to the most, with t the threshold's bit in all places,
//!
//! ```text
//! less ← majority(¬word, t, less)
//! ```
//!
//! ends with `less` set where u < threshold. Both thresholds are compared with the same u, and the input selects.
//! Words below the last set bit of both thresholds could not change the outcome and are not drawn, so a
//! fair coin takes one word. How many words are drawn depends on the stage and k alone, and nothing branches on
//! the input or the outcome.
//!
//! Lanes of 64 bits are taken four at a time, then two, then one. Words are drawn from the least significant to the
//! most, and each for all lanes taken together; a permanent response depends on this order, so it must stay.
//!
//! # One bit of k (direct)
//! One number u: below 2³²·P(1|1) the true bit stays; the rest is shared by the other k − 1 bits in equal,
//! whole parts, because the stage's probabilities add up exactly.

use rand::Rng;

use crate::params::{Encoding, Response};
use crate::probability::Probability;

/// Random bits in one number u.
const PRECISION: u32 = 32;
/// Bytes of the 64 bits that one random word serves.
const LANE_BYTES: usize = 8;
/// The most lanes taken together.
const MAX_LANES: usize = 4;

/// A stage made ready to answer: its thresholds spread into masks.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    stage: Response,
    encoding: Encoding,
    bits: usize,
    /// For each random word to draw, from the least significant: the thresholds' bits, for an input of 0 and of 1.
    masks: [(u64, u64); PRECISION as usize],
    words: usize,
    /// One wrong value's share of the numbers u, for the direct encoding.
    part: Part,
}

impl Sampler {
    pub(crate) fn new(encoding: Encoding, bits: usize, stage: Response) -> Self {
        let (zero, one) = (stage.zero().numerator(), stage.one().numerator());
        let skipped = (zero | one).trailing_zeros().min(PRECISION);
        let mut masks = [(0, 0); PRECISION as usize];
        for (i, mask) in (skipped..PRECISION).zip(&mut masks) {
            let spread = |threshold: u64| 0u64.wrapping_sub(threshold >> i & 1);
            *mask = (spread(zero), spread(one));
        }
        Self { stage, encoding, bits, masks, words: (PRECISION - skipped) as usize, part: Part::new(zero) }
    }

    /// Answers for `signal`, k bits, into `out`, of the same length. Both are bytes with bit i in place i mod 8 of byte
    /// ⌊i/8⌋; places beyond k stay 0.
    pub(crate) fn respond(&self, signal: &[u8], out: &mut [u8], rng: &mut impl Rng) {
        debug_assert_eq!((signal.len(), out.len()), (self.bits.div_ceil(8), self.bits.div_ceil(8)));
        match self.encoding {
            Encoding::Direct => self.respond_direct(signal, out, rng),
            Encoding::Unary | Encoding::Bloom => self.respond_bits(signal, out, rng),
        }
    }

    fn respond_bits(&self, signal: &[u8], out: &mut [u8], rng: &mut impl Rng) {
        let mut done = 0;
        while done < signal.len() {
            let lanes = match (signal.len() - done).div_ceil(LANE_BYTES) {
                1 => 1,
                2 | 3 => 2,
                _ => MAX_LANES,
            };
            let end = signal.len().min(done + lanes * LANE_BYTES);
            self.respond_lanes(lanes, &signal[done..end], &mut out[done..end], rng);
            done = end;
        }
        let unused = out.len() * 8 - self.bits;
        if let Some(last) = out.last_mut() {
            *last &= u8::MAX >> unused;
        }
    }

    /// Answers for `lanes` lanes of 64 bits, the last of which may be shorter.
    fn respond_lanes(&self, lanes: usize, signal: &[u8], out: &mut [u8], rng: &mut impl Rng) {
        let mut random = [0; MAX_LANES * LANE_BYTES * PRECISION as usize];
        let random = &mut random[..self.words * lanes * LANE_BYTES];
        rng.fill_bytes(random);
        let mut less = [(0, 0); MAX_LANES];
        match lanes {
            1 => self.compare(random, &mut less[..1]),
            2 => self.compare(random, &mut less[..2]),
            _ => self.compare(random, &mut less),
        }
        // A threshold of 2³² has no bit among the 32 words: every u is below it. P(1|0) is never 1.
        let certain = if self.stage.one() == Probability::ONE { u64::MAX } else { 0 };
        for ((signal, out), (zero, one)) in
            signal.chunks(LANE_BYTES).zip(out.chunks_mut(LANE_BYTES)).zip(less)
        {
            let mut input = [0; LANE_BYTES];
            input[..signal.len()].copy_from_slice(signal);
            let input = u64::from_le_bytes(input);
            let answer = ((one | certain) & input) | (zero & !input);
            out.copy_from_slice(&answer.to_le_bytes()[..out.len()]);
        }
    }

    /// Where u < threshold, in as many lanes of 64 places at once as `less` has, for the thresholds of an input of 0 and of 1.
    // Compiled for each number of lanes it runs in vector registers. A page would download it thrice.
    #[cfg_attr(not(target_family = "wasm"), inline(always))]
    fn compare(&self, random: &[u8], less: &mut [(u64, u64)]) {
        // With the mask all ones or all zeros, majority(¬word, mask, less) is (low | less) & high.
        let step = |less: u64, not: u64, mask: u64| ((not & mask) | less) & (not | mask);
        for (words, &(zero_mask, one_mask)) in random.chunks_exact(LANE_BYTES * less.len()).zip(&self.masks) {
            for (word, (zero, one)) in words.as_chunks::<LANE_BYTES>().0.iter().zip(&mut *less) {
                let not = !u64::from_le_bytes(*word);
                *zero = step(*zero, not, zero_mask);
                *one = step(*one, not, one_mask);
            }
        }
    }

    fn respond_direct(&self, signal: &[u8], out: &mut [u8], rng: &mut impl Rng) {
        let draw = rng.next_u64() >> PRECISION;
        let one = self.stage.one().numerator();
        let truth = place_of_one(signal);
        let kept = u64::from(draw < one);
        let other = self.part.of(draw.saturating_sub(one));
        let other = other + u64::from(other >= truth);
        let answer = kept * truth + (1 - kept) * other;
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = (u64::from(answer / 8 == i as u64) << (answer % 8)) as u8;
        }
    }
}

/// Divides numbers of 32 bits by a fixed one with a multiplication, as a division's time may depend on the number.
///
/// With the multiplier ⌈2⁶⁴/d⌉ the product exceeds x·2⁶⁴/d by less than x < 2³² ≤ 2⁶⁴/d, so the quotient is exact.
#[derive(Clone, Debug)]
struct Part {
    multiplier: u128,
}

impl Part {
    fn new(divisor: u64) -> Self {
        // ⌈n/d⌉ = ⌊(n − 1)/d⌋ + 1, and n − 1 fits into 64 bits.
        Self { multiplier: u128::from(u64::MAX / divisor.max(1)) + 1 }
    }

    fn of(&self, number: u64) -> u64 {
        ((u128::from(number) * self.multiplier) >> 64) as u64
    }
}

/// The place of the only 1, found without a branch on it.
fn place_of_one(signal: &[u8]) -> u64 {
    let mut place = 0;
    for (i, byte) in signal.iter().enumerate() {
        let found = u64::from(*byte != 0);
        place |= found * (8 * i as u64 + u64::from(byte.trailing_zeros() & 7));
    }
    place
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;
    use std::vec;
    use std::vec::Vec;

    use rand::rngs::ChaCha8Rng;
    use rand::{SeedableRng, TryRng};

    use super::*;

    /// A generator that gives what it was told to and counts it.
    struct Script {
        bytes: Vec<u8>,
        used: usize,
    }

    impl Script {
        fn new(bytes: Vec<u8>) -> Self {
            Self { bytes, used: 0 }
        }
    }

    impl TryRng for Script {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            let mut bytes = [0; 4];
            self.try_fill_bytes(&mut bytes)?;
            Ok(u32::from_le_bytes(bytes))
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            let mut bytes = [0; 8];
            self.try_fill_bytes(&mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        }

        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
            out.copy_from_slice(&self.bytes[self.used..self.used + out.len()]);
            self.used += out.len();
            Ok(())
        }
    }

    fn stage(zero: u64, one: u64) -> Response {
        let probability = |numerator| Probability::from_numerator(numerator).unwrap();
        Response::new(probability(zero), probability(one)).unwrap()
    }

    fn skipped(stage: Response) -> u32 {
        (stage.zero().numerator() | stage.one().numerator()).trailing_zeros().min(PRECISION)
    }

    /// The random bytes from which the number u of bit i becomes `numbers[i]`, but for the places that are not drawn.
    fn script(stage: Response, numbers: &[u64]) -> Vec<u8> {
        let mut lanes: Vec<Vec<u64>> = numbers.chunks(64).map(<[u64]>::to_vec).collect();
        lanes.iter_mut().for_each(|lane| lane.resize(64, 0));
        let mut bytes = Vec::new();
        while !lanes.is_empty() {
            let together = [1, 1, 2, 2, 4][lanes.len().min(4)];
            let group: Vec<_> = lanes.drain(..together).collect();
            for place in skipped(stage)..PRECISION {
                for lane in &group {
                    let word = lane.iter().rev().fold(0u64, |word, number| word << 1 | (number >> place & 1));
                    bytes.extend(word.to_le_bytes());
                }
            }
        }
        bytes
    }

    /// What the stage answers to the bits `signal`, each with its own number u, and the random bytes it leaves.
    fn answer(stage: Response, signal: &[bool], numbers: &[u64]) -> (Vec<bool>, usize) {
        let mut script = Script::new(script(stage, numbers));
        let mut packed = vec![0u8; signal.len().div_ceil(8)];
        signal.iter().enumerate().for_each(|(i, bit)| packed[i / 8] |= u8::from(*bit) << (i % 8));
        let mut out = vec![0u8; packed.len()];
        Sampler::new(Encoding::Unary, signal.len(), stage).respond(&packed, &mut out, &mut script);
        let bit = |i: usize| out[i / 8] >> (i % 8) & 1 == 1;
        assert!((signal.len()..8 * out.len()).all(|i| !bit(i)), "a place beyond k is set");
        ((0..signal.len()).map(bit).collect(), script.bytes.len() - script.used)
    }

    /// The definition: a bit is reported 1 where its number is below its threshold.
    fn reference(stage: Response, signal: &[bool], numbers: &[u64]) -> Vec<bool> {
        let threshold = |bit: bool| if bit { stage.one().numerator() } else { stage.zero().numerator() };
        let drawn = |number: u64| number >> skipped(stage) << skipped(stage);
        signal.iter().zip(numbers).map(|(bit, number)| drawn(*number) < threshold(*bit)).collect()
    }

    #[test]
    fn parts_are_what_a_division_gives() {
        let mut numbers = ChaCha8Rng::from_seed([4; 32]);
        for divisor in [1, 2, 3, 1_048_575, (1 << 31) - 1, 1 << 31, u64::from(u32::MAX)] {
            let part = Part::new(divisor);
            let edges = [
                0,
                divisor - 1,
                divisor,
                divisor + 1,
                u64::from(u32::MAX) / divisor * divisor,
                u64::from(u32::MAX),
            ];
            let random = (0..1000).map(|_| u64::from(numbers.next_u32()));
            for number in edges.into_iter().filter(|n| *n <= u64::from(u32::MAX)).chain(random) {
                assert_eq!(part.of(number), number / divisor, "{number} / {divisor}");
            }
        }
    }

    #[test]
    fn bits_are_compared_as_one_by_one() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for round in 0..3000 {
            // Thresholds of every number of trailing zeros, so of every number of words.
            let mut threshold =
                || (rng.next_u64() & 0xFFFF_FFFF) >> (round % 33) << (round % 31) & 0xFFFF_FFFF;
            let (a, b) = (threshold(), threshold());
            if a == b {
                continue;
            }
            let stage = stage(a.min(b), a.max(b));
            let bits = 1 + rng.next_u32() as usize % 600;
            let signal: Vec<bool> = (0..bits).map(|_| rng.next_u32() & 1 == 1).collect();
            let numbers: Vec<u64> = (0..bits).map(|_| u64::from(rng.next_u32())).collect();
            let (answer, left) = answer(stage, &signal, &numbers);
            assert_eq!(answer, reference(stage, &signal, &numbers), "{stage:?}, {bits} bits");
            assert_eq!(left, 0, "{stage:?}, {bits} bits");
        }
    }

    #[test]
    fn thresholds_are_met_to_the_step_at_both_ends() {
        const LAST: u64 = (1 << 32) - 1;
        for (zero, one) in
            [(0, 1), (1, 2), (1, LAST), (LAST - 1, LAST), (LAST, 1 << 32), (0, 1 << 32), (1, 1 << 31)]
        {
            let near = |t: u64| [t.saturating_sub(2), t.saturating_sub(1), t, t + 1].map(|u| u.min(LAST));
            let numbers: Vec<u64> = [near(zero), near(one), [0, 1, LAST - 1, LAST]].concat();
            for input in [false, true] {
                let signal = vec![input; numbers.len()];
                let stage = stage(zero, one);
                let (answer, _) = answer(stage, &signal, &numbers);
                assert_eq!(answer, reference(stage, &signal, &numbers), "{zero} {one} {input}");
            }
        }
    }

    /// Over all numbers of the places that are drawn, exactly as many are answered 1 as the probability says.
    #[test]
    fn probabilities_are_exact_by_enumeration() {
        for (zero, one) in [(0, 1), (1, 4095), (4095, 4096), (819, 2048), (1, 2), (1000, 1001)] {
            let numbers: Vec<u64> = (0..1 << 12).map(|number| number << 20).collect();
            for (input, expected) in [(false, zero), (true, one)] {
                let signal = vec![input; numbers.len()];
                let (answer, _) = answer(stage(zero << 20, one << 20), &signal, &numbers);
                assert_eq!(
                    answer.iter().filter(|bit| **bit).count(),
                    expected as usize,
                    "{zero} {one} {input}"
                );
            }
        }
    }

    /// Every boundary between two answers lies where the probabilities put it.
    #[test]
    fn one_bit_of_k_is_chosen_to_the_step() {
        const ALL: u64 = 1 << 32;
        for (bits, zero) in [(2, 1), (2, ALL / 2 - 1), (3, 7), (9, ALL / 18), (4096, 1), (4096, 900_000)] {
            let one = ALL - zero * (bits - 1);
            let sampler = Sampler::new(Encoding::Direct, bits as usize, stage(zero, one));
            for truth in [0, 1, bits / 2, bits - 1] {
                let mut signal = vec![0; (bits as usize).div_ceil(8)];
                signal[truth as usize / 8] = 1 << (truth % 8);
                let answer = |number: u64| {
                    let mut out = vec![0; signal.len()];
                    // The lower half of the word is not looked at.
                    let mut script = Script::new((number << 32 | 0xABCD).to_le_bytes().to_vec());
                    sampler.respond(&signal, &mut out, &mut script);
                    assert_eq!(out.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
                    let place = out.iter().position(|byte| *byte != 0).unwrap();
                    (8 * place as u32 + out[place].trailing_zeros(), script.used)
                };
                assert_eq!([answer(0), answer(one - 1)], [(truth as u32, 8); 2]);
                let others = (0..bits).filter(|place| *place != truth);
                for (rank, other) in others.enumerate().filter(|(rank, _)| rank % 97 < 3) {
                    let start = one + rank as u64 * zero;
                    let ends = [answer(start), answer(start + zero - 1)];
                    assert_eq!(ends, [(other as u32, 8); 2], "{bits} {zero} {truth} {other}");
                }
                assert_eq!(answer(ALL - 1).0, (if truth == bits - 1 { bits - 2 } else { bits - 1 }) as u32);
            }
        }
    }
}
