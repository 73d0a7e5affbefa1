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
//! # One bit of k (direct)
//! One number u: below 2³²·P(1|1) the true bit stays; the rest is shared by the other k − 1 bits in equal,
//! whole parts, because the stage's probabilities add up exactly.

use rand::Rng;
use zeroize::Zeroize;

use crate::params::{Encoding, Response};
use crate::probability::Probability;

/// Random bits in one number u.
const PRECISION: u32 = 32;

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
        let mut random = [0; 8 * PRECISION as usize];
        let random = &mut random[..8 * self.words];
        for (signal, out) in signal.chunks(8).zip(out.chunks_mut(8)) {
            rng.fill_bytes(random);
            let (zero, one) = self.compare(random);
            let mut lane = [0; 8];
            lane[..signal.len()].copy_from_slice(signal);
            let signal = u64::from_le_bytes(lane);
            let lane = ((one & signal) | (zero & !signal)).to_le_bytes();
            out.copy_from_slice(&lane[..out.len()]);
        }
        random.zeroize();
        if let (Some(last), 1..) = (out.last_mut(), self.bits % 8) {
            *last &= (1 << (self.bits % 8)) - 1;
        }
    }

    /// Where u < threshold, in 64 places at once, for the thresholds of an input of 0 and of 1.
    fn compare(&self, random: &[u8]) -> (u64, u64) {
        let (mut zero, mut one) = (0, 0);
        for (word, (zero_mask, one_mask)) in random.chunks_exact(8).zip(&self.masks) {
            let not = !u64::from_le_bytes(word.try_into().expect("chunks of 8 bytes"));
            zero = (not & (zero_mask | zero)) | (zero_mask & zero);
            one = (not & (one_mask | one)) | (one_mask & one);
        }
        // A threshold of 2³² has no bit among the 32 words: every u is below it. P(1|0) is never 1.
        let certain = if self.stage.one() == Probability::ONE { u64::MAX } else { 0 };
        (zero, one | certain)
    }

    fn respond_direct(&self, signal: &[u8], out: &mut [u8], rng: &mut impl Rng) {
        let draw = rng.next_u64() >> PRECISION;
        let (zero, one) = (self.stage.zero().numerator(), self.stage.one().numerator());
        // The place of the true bit, counted without a branch on it.
        let truth =
            (0..self.bits as u64).map(|i| i * u64::from(signal[i as usize / 8] >> (i % 8) & 1)).sum::<u64>();
        let kept = u64::from(draw < one);
        let other = draw.saturating_sub(one) / zero.max(1);
        let other = other + u64::from(other >= truth);
        let answer = kept * truth + (1 - kept) * other;
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = (u64::from(answer / 8 == i as u64) << (answer % 8)) as u8;
        }
    }
}
