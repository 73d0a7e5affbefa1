//! HMAC_DRBG with SHA-256 (NIST SP 800-90A revision 1, section 10.1.2), without reseeding: a stream of bytes from a
//! seed. Only the reference's clients need it.

use core::fmt;

use hmac::{KeyInit, Mac};
use zeroize::ZeroizeOnDrop;

use crate::identity::Prf;

/// The generator's state, wiped from memory when dropped.
#[derive(ZeroizeOnDrop)]
pub struct HmacDrbg {
    key: [u8; 32],
    value: [u8; 32],
}

impl HmacDrbg {
    /// Instantiates the generator with seed material, here in pieces: entropy, nonce and personalization in one.
    pub fn new(seed: &[&[u8]]) -> Self {
        let mut drbg = Self { key: [0; 32], value: [1; 32] };
        drbg.update(seed);
        drbg
    }

    /// Fills `out` as one request. Two requests are not one of their joint length: the state moves on after each.
    pub fn fill(&mut self, out: &mut [u8]) {
        for piece in out.chunks_mut(self.value.len()) {
            self.value = mac(&self.key, &[&self.value]);
            piece.copy_from_slice(&self.value[..piece.len()]);
        }
        self.update(&[]);
    }

    /// HMAC_DRBG_Update: the second half runs only if there is data.
    fn update(&mut self, data: &[&[u8]]) {
        for domain in [0, 1] {
            self.key = mac(&self.key, &[&[&self.value[..], &[domain]], data].concat());
            self.value = mac(&self.key, &[&self.value]);
            if data.iter().all(|piece| piece.is_empty()) {
                break;
            }
        }
    }
}

impl fmt::Debug for HmacDrbg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacDrbg(..)")
    }
}

/// HMAC-SHA256 over the pieces in order.
pub(super) fn mac(key: &[u8], pieces: &[&[u8]]) -> [u8; 32] {
    let mut mac = Prf::new_from_slice(key).expect("HMAC takes a key of any length");
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().into()
}
