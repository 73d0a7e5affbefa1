//! The Bloom filter: which of k bits a string sets, in its cohort.
//!
//! Cohorts hash differently, so that two strings that collide in one cohort part in another (Erlingsson, Pihur,
//! Korolova 2014, section 3). The hashes are the 32-bit words of SHA-256, each scaled to 0..k, which is
//! uniform but for a bias below k·2⁻³². Two hashes of a string may fall on one bit, as in any Bloom filter.

use sha2::{Digest, Sha256};

/// Bits that a hash may set: this many words in one SHA-256 digest.
const WORDS: usize = 8;
/// Sets these hashes apart from any other use of SHA-256 over the same bytes.
const DOMAIN: u8 = 0xB1;

/// The bits, each below `bits` (k), that `value` sets in `cohort`: one for each of `hashes` (h), in hash order.
///
/// Word i of SHA-256(B1 ‖ ⌊i/8⌋ ‖ cohort as 2 bytes, big-endian ‖ value), taken mod 8 and big-endian, times k over 2³².
///
/// ```
/// let bits: Vec<_> = deniable::bloom_bits(128, 2, 7, b"example.org").collect();
/// assert_eq!(bits.len(), 2);
/// ```
pub fn bloom_bits(bits: usize, hashes: usize, cohort: u16, value: &[u8]) -> impl Iterator<Item = usize> {
    (0..hashes.div_ceil(WORDS)).flat_map(move |block| {
        let digest = Sha256::new()
            .chain_update([DOMAIN, block as u8])
            .chain_update(cohort.to_be_bytes())
            .chain_update(value)
            .finalize();
        (0..(hashes - block * WORDS).min(WORDS)).map(move |i| {
            let word = u32::from_be_bytes(core::array::from_fn(|j| digest[4 * i + j]));
            ((u64::from(word) * bits as u64) >> 32) as usize
        })
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn bits_follow_the_written_formula() {
        // Worked with another program: python3, hashlib.sha256(bytes([0xB1, 0, 0, 7]) + b"example.org").
        let bits: Vec<_> = bloom_bits(128, 3, 7, b"example.org").collect();
        assert_eq!(bits, [37, 120, 93]);
        // The ninth hash comes from the second digest.
        assert_eq!(bloom_bits(128, 9, 7, b"example.org").nth(8), Some(88));
    }

    /// χ² over k cells; 240 is beyond the 1 − 10⁻⁸ quantile of both widths' degrees of freedom.
    #[test]
    fn every_bit_is_hit_alike_in_widths_that_are_no_power_of_two() {
        for k in [100usize, 128] {
            let mut hits = std::vec![0u32; k];
            for value in 0u32..10_000 {
                for bit in bloom_bits(k, 2, (value % 64) as u16, &value.to_be_bytes()) {
                    hits[bit] += 1;
                }
            }
            let mean = 20_000.0 / k as f64;
            let chi2: f64 = hits.iter().map(|&n| (f64::from(n) - mean).powi(2) / mean).sum();
            assert!(chi2 < 240.0, "k = {k}: χ² = {chi2}");
        }
    }

    #[test]
    fn cohorts_and_hashes_differ() {
        let row = |cohort| bloom_bits(4096, 16, cohort, b"v").collect::<Vec<_>>();
        assert_ne!(row(0), row(1));
        let mut bits = row(0);
        bits.sort_unstable();
        bits.dedup();
        assert!(bits.len() > 12, "16 hashes into 4096 bits hardly collide: {bits:?}");
    }
}
