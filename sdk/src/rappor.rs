//! The clients of google/rappor, byte for byte, for taking over its fleets and reading its data. For compatibility only.
//!
//! There are four, and no two of them agree ([`Client`]). A [`Profile`] is the parameters of one of them, checked
//! and as that client really draws them; it knows its true privacy loss. A [`Device`] encodes. What the reference
//! does wrong in silence, such as answering zeros where a 1 was certain, is refused here with a [`RapporError`].
//!
//! Use the crate's own [`Encoder`](crate::Encoder) for anything new: coins of eight bits, hashes that
//! reach 256 bits, and permanent answers that two variables of one device may share are the reference's own.
//!
//! # What all of them do
//! The bits of a string come from D = MD5(BE32(cohort) ‖ string). Python and C++ with 32-bit reports take
//! hash i as D\[i\] mod k ([`bloom_bits`]): one byte reaches 256 values, so only the first 256 bits of a wider
//! report are ever set, and where k does not divide 256 the low bits are set more often than the high ones.
//!
//! The permanent response takes a byte b of a keyed stream for each bit: if b >> 1 is below a threshold T of 128,
//! the bit becomes b & 1, or else stays. So f is T/128, whatever was asked for. The instantaneous response draws a bit
//! with probability p and one with probability q for each place, and the permanent bit chooses between them.

mod device;
mod drbg;
mod profile;

pub use device::{Bits, Device, Wire, bit_string};
pub use drbg::HmacDrbg;
pub use profile::{Client, Profile, RapporError, Settings};

use md5::{Digest, Md5};

/// The bits that `hashes` hash functions set for `value` in `cohort`, from 0 to `bits` − 1, repeats kept.
///
/// # Panics
/// If `hashes` exceeds the 16 bytes of the digest, or `bits` is 0.
///
/// ```
/// // From the reference's map for k = 16, h = 2: the row of foo begins 7,7,31,21, cells cohort · k + bit + 1.
/// assert!(deniable::rappor::bloom_bits(16, 2, 0, b"foo").eq([6, 6]));
/// assert!(deniable::rappor::bloom_bits(16, 2, 1, b"foo").eq([14, 4]));
/// ```
pub fn bloom_bits(
    bits: usize,
    hashes: usize,
    cohort: u32,
    value: &[u8],
) -> impl Iterator<Item = usize> + use<> {
    let digest = Md5::new().chain_update(cohort.to_be_bytes()).chain_update(value).finalize();
    (0..hashes).map(move |i| usize::from(digest[i]) % bits)
}

/// The probability that one hash of a random string sets bit `bit` of `bits`.
pub fn bit_rate(bit: usize, bits: usize) -> f64 {
    if bit >= bits {
        return 0.0;
    }
    (256 / bits + usize::from(bit < 256 % bits)) as f64 / 256.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_of_all_bits_add_up_to_one() {
        for bits in [1, 3, 8, 100, 128, 255, 256, 300] {
            let sum: f64 = (0..bits).map(|bit| bit_rate(bit, bits)).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{bits}: {sum}");
        }
    }
}
