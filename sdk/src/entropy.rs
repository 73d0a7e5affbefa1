//! Randomness: where the coins come from.
//!
//! A privacy loss is proved for coins that nobody can predict. [`Randomness`] is a ChaCha generator with
//! 8 rounds, seeded with 256 bits from the host's cryptographic generator. The best attack known reaches 7 rounds
//! at a cost beyond any machine's, and needs the generator's output (Aumasson, *Too Much Crypto*, 2019); a
//! report shows only comparisons with it, and a batch 16 bytes of it as its id. A host that cannot give the whole
//! seed gives an [`EntropyError`], and nothing is encoded. There is no other way to make one, but for the
//! `test-util` feature, whose seeds protect nobody.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use zeroize::Zeroizing;

/// A source of unpredictable bytes: the operating system, or the page's `crypto`.
pub trait Entropy {
    /// Fills all of `out`.
    ///
    /// # Errors
    /// [`EntropyError`] if not all of `out` could be filled. What it holds then is not used.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError>;
}

/// The host gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host gave no randomness, so nothing can be reported: {reason}")]
pub struct EntropyError {
    /// What the host said.
    pub reason: &'static str,
}

/// The operating system's generator; in a browser, `crypto.getRandomValues`.
#[cfg(feature = "system-entropy")]
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

#[cfg(feature = "system-entropy")]
impl Entropy for SystemEntropy {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        use rand::TryRng;
        rand::rngs::SysRng
            .try_fill_bytes(out)
            .map_err(|_| EntropyError { reason: "the operating system's generator failed" })
    }
}

/// The coins of the instantaneous response.
///
/// It is neither `Clone` nor serializable: the same coins twice would let two reports be subtracted. A process that forks
/// copies it all the same, so the child must make its own; and so does a machine whose memory is saved and brought back, which nothing
/// in it can notice.
pub struct Randomness(ChaCha8Rng);

impl Randomness {
    /// Draws a seed of 32 bytes from `entropy`.
    ///
    /// # Errors
    /// Those of `entropy`.
    pub fn from_entropy(entropy: &mut impl Entropy) -> Result<Self, EntropyError> {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(&mut *seed)?;
        Ok(Self(ChaCha8Rng::from_seed(*seed)))
    }

    /// Draws a seed from the operating system.
    ///
    /// # Errors
    /// [`EntropyError`] if it has none to give.
    #[cfg(feature = "system-entropy")]
    pub fn from_system() -> Result<Self, EntropyError> {
        Self::from_entropy(&mut SystemEntropy)
    }

    /// Makes predictable coins, for tests.
    ///
    /// # Privacy
    /// None: who knows the seed can undo the instantaneous response.
    #[cfg(any(test, feature = "test-util"))]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// Draws 16 random bytes, for an identifier that must not repeat.
    pub fn draw_id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        self.0.fill_bytes(&mut id);
        id
    }

    /// Draws a whole number from 0 to `most`, uniform but for a bias below `most`·2⁻⁶⁴.
    pub(crate) fn draw_up_to(&mut self, most: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * (u128::from(most) + 1)) >> 64) as u64
    }

    /// Draws what is to stay secret.
    pub(crate) fn draw_secret(&mut self) -> Zeroizing<[u8; 32]> {
        let mut secret = Zeroizing::new([0; 32]);
        self.0.fill_bytes(&mut *secret);
        secret
    }

    pub(crate) fn generator(&mut self) -> &mut ChaCha8Rng {
        &mut self.0
    }
}

impl core::fmt::Debug for Randomness {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Randomness(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes and fails.
    struct Short;

    impl Entropy for Short {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
            out[..4].fill(7);
            Err(EntropyError { reason: "short read" })
        }
    }

    #[test]
    fn a_host_that_fails_gives_no_randomness_at_all() {
        assert_eq!(Randomness::from_entropy(&mut Short).unwrap_err(), EntropyError { reason: "short read" });
    }

    #[cfg(feature = "system-entropy")]
    #[test]
    fn two_seeds_of_the_system_differ() {
        let draw = || Randomness::from_system().unwrap().draw_id();
        assert_ne!(draw(), draw());
    }
}
