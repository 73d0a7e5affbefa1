//! Sums over the bits of many reports, eight bits at a time.
//!
//! A byte of a report is spread over the eight bytes of a word, one for each bit, so that one addition counts eight
//! bits. A byte counts up to 255, so every 255 reports the words are emptied into the wide sums.

/// The reports after which a byte may overflow.
const FULL: u32 = u8::MAX as u32;

/// Byte b spread out: byte i of word b is bit i of b.
const SPREAD: [u64; 256] = {
    let mut spread = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            spread[byte] |= ((byte as u64) >> bit & 1) << (8 * bit);
            bit += 1;
        }
        byte += 1;
    }
    spread
};

/// Adds reports to `ones`, the sums of their k bits, and returns how many there were. A report has ⌈k/8⌉ bytes and sets
/// no bit beyond k.
pub(super) fn add_reports<'a>(ones: &mut [u64], reports: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut words = vec![0u64; ones.len().div_ceil(8)];
    let (mut total, mut held) = (0, 0);
    for bits in reports {
        words.iter_mut().zip(bits).for_each(|(word, byte)| *word += SPREAD[usize::from(*byte)]);
        held += 1;
        if held == FULL {
            empty(&mut words, ones);
            held = 0;
        }
        total += 1;
    }
    empty(&mut words, ones);
    total
}

fn empty(words: &mut [u64], ones: &mut [u64]) {
    for (word, sums) in words.iter_mut().zip(ones.chunks_mut(8)) {
        sums.iter_mut().zip(word.to_le_bytes()).for_each(|(sum, count)| *sum += u64::from(count));
        *word = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Around the place where bytes are emptied, for every width modulo 8.
    #[test]
    fn sums_are_those_of_one_bit_after_another() {
        for k in (1..=17usize).chain([64, 4096]) {
            for count in [0usize, 1, 254, 255, 256, 511, 1000] {
                // Bit i of report n is set if n is a multiple of i + 1.
                let report = |n: usize| {
                    let mut bytes = vec![0u8; k.div_ceil(8)];
                    (0..k).filter(|i| n.is_multiple_of(i + 1)).for_each(|i| bytes[i / 8] |= 1 << (i % 8));
                    bytes
                };
                let reports: Vec<_> = (0..count).map(report).collect();
                let mut ones = vec![7; k];
                let total = add_reports(&mut ones, reports.iter().map(Vec::as_slice));
                assert_eq!(total, count as u64);
                let expected: Vec<u64> = (0..k).map(|i| 7 + count.div_ceil(i + 1) as u64).collect();
                assert_eq!(ones, expected, "k = {k}, {count} reports");
            }
        }
    }
}
