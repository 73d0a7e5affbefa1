//! The device secret and the coins, both from the host's `crypto`.

use deniable::{Entropy, EntropyError};
use js_sys::Uint8Array;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::Result;
use crate::input;

/// `crypto.getRandomValues`, in pages, workers and Node alike.
pub(crate) struct Crypto;

impl Entropy for Crypto {
    fn fill(&mut self, out: &mut [u8]) -> core::result::Result<(), EntropyError> {
        getrandom::fill(out)
            .map_err(|_| EntropyError { reason: "crypto.getRandomValues is missing here, or it failed" })
    }
}

/// 256 secret bits that a device draws once and keeps.
///
/// Permanent responses are derived from it, so a device that loses it answers every question anew, and pays for it
/// anew. Keep it where only this page or program reads, and never send it.
#[wasm_bindgen]
pub struct DeviceSecret(pub(crate) deniable::DeviceSecret);

#[wasm_bindgen]
impl DeviceSecret {
    /// Draws a new secret from `crypto`.
    ///
    /// # Errors
    /// A `DeniableError` with the code `no-randomness` if the host has none to give.
    pub fn draw() -> Result<DeviceSecret> {
        Ok(Self(deniable::DeviceSecret::draw(&mut Crypto)?))
    }

    /// Takes up a secret that was stored.
    ///
    /// # Errors
    /// A `DeniableError` with the code `bad-argument` unless there are 32 bytes.
    #[wasm_bindgen(js_name = fromBytes)]
    pub fn from_bytes(bytes: &Uint8Array) -> Result<DeviceSecret> {
        let mut secret = [0; 32];
        input::bytes("the secret", bytes, &mut secret)?;
        Ok(Self(deniable::DeviceSecret::from_bytes(secret)))
    }

    /// The 32 bytes to store.
    #[wasm_bindgen(js_name = toBytes, unchecked_return_type = "Uint8Array<ArrayBuffer>")]
    pub fn to_bytes(&self) -> Uint8Array {
        Uint8Array::from(&self.0.to_bytes()[..])
    }
}

/// The coins of reports: a generator seeded with 256 bits from `crypto`. One serves any number of reports.
#[wasm_bindgen]
pub struct Randomness(pub(crate) deniable::Randomness);

#[wasm_bindgen]
impl Randomness {
    /// Draws a seed from `crypto`.
    ///
    /// # Errors
    /// A `DeniableError` with the code `no-randomness` if the host has none to give. Nothing can be reported then.
    #[wasm_bindgen(js_name = fromCrypto)]
    pub fn from_crypto() -> Result<Randomness> {
        Ok(Self(deniable::Randomness::from_entropy(&mut Crypto)?))
    }
}
