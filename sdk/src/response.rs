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

/// A stage made ready to answer: its thresholds spread into masks.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    stage: Response,
    encoding: Encoding,
    bits: usize,
    /// For each random word to draw, from the least significant: the thresholds' bits, for an input of 0 and of 1.
    masks: [(u64, u64); PRECISION as usize],
    words: usize,
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
        Self { stage, encoding, bits, masks, words: (PRECISION - skipped) as usize }
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
            let (signal, out) = (&signal[done..], &mut out[done..]);
            done += match signal.len().div_ceil(LANE_BYTES) {
                1 => self.respond_lanes::<1>(signal, out, rng),
                2 | 3 => self.respond_lanes::<2>(signal, out, rng),
                _ => self.respond_lanes::<4>(signal, out, rng),
            };
        }
        let unused = out.len() * 8 - self.bits;
        if let Some(last) = out.last_mut() {
            *last &= u8::MAX >> unused;
        }
    }

    /// Answers for the next `L` lanes of 64 bits, or as much of them as is left, and says how many bytes that was.
    fn respond_lanes<const L: usize>(&self, signal: &[u8], out: &mut [u8], rng: &mut impl Rng) -> usize {
        let mut random = [[[0; LANE_BYTES]; L]; PRECISION as usize];
        rng.fill_bytes(random[..self.words].as_flattened_mut().as_flattened_mut());
        let (zero, one) = self.compare(&random[..self.words]);
        for (lane, (signal, out)) in
            signal.chunks(LANE_BYTES).zip(out.chunks_mut(LANE_BYTES)).take(L).enumerate()
        {
            let mut input = [0; LANE_BYTES];
            input[..signal.len()].copy_from_slice(signal);
            let input = u64::from_le_bytes(input);
            let answer = (one[lane] & input) | (zero[lane] & !input);
            out.copy_from_slice(&answer.to_le_bytes()[..out.len()]);
        }
        signal.len().min(L * LANE_BYTES)
    }

    /// Where u < threshold, in `L` lanes of 64 places at once, for the thresholds of an input of 0 and of 1.
    fn compare<const L: usize>(&self, random: &[[[u8; LANE_BYTES]; L]]) -> ([u64; L], [u64; L]) {
        // With the mask all ones or all zeros, majority(¬word, mask, less) is (low | less) & high.
        let step = |less: u64, not: u64, mask: u64| ((not & mask) | less) & (not | mask);
        let (mut zero, mut one) = ([0; L], [0; L]);
        for (words, &(zero_mask, one_mask)) in random.iter().zip(&self.masks) {
            for lane in 0..L {
                let not = !u64::from_le_bytes(words[lane]);
                zero[lane] = step(zero[lane], not, zero_mask);
                one[lane] = step(one[lane], not, one_mask);
            }
        }
        // A threshold of 2³² has no bit among the 32 words: every u is below it. P(1|0) is never 1.
        let certain = if self.stage.one() == Probability::ONE { u64::MAX } else { 0 };
        (zero, one.map(|lane| lane | certain))
    }

    fn respond_direct(&self, signal: &[u8], out: &mut [u8], rng: &mut impl Rng) {
        let draw = rng.next_u64() >> PRECISION;
        let (zero, one) = (self.stage.zero().numerator(), self.stage.one().numerator());
        let truth = place_of_one(signal);
        let kept = u64::from(draw < one);
        let other = draw.saturating_sub(one) / zero.max(1);
        let other = other + u64::from(other >= truth);
        let answer = kept * truth + (1 - kept) * other;
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = (u64::from(answer / 8 == i as u64) << (answer % 8)) as u8;
        }
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
