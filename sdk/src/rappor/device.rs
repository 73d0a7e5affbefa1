//! A device under a client of google/rappor: from a string to the report that this client would have sent.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use bitvec::order::Lsb0;
use bitvec::vec::BitVec;
use md5::{Digest, Md5};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::drbg::{HmacDrbg, mac};
use super::profile::{Client, Profile, RapporError};
use crate::entropy::{Entropy, EntropyError};

/// The bits of a Bloom filter, a permanent response or a report, bit 0 first.
pub type Bits = BitVec<u8, Lsb0>;

/// The least bytes in a secret that the Java client takes.
const JAVA_SECRET_BYTES: usize = 48;
/// The most bytes that the Java client asks of its generator at once.
const JAVA_REQUEST_BYTES: usize = 937;
/// The bytes that the Java client keeps of a hash, and the zeros that it hashes after a value.
const JAVA_HASH_BYTES: usize = 19;
/// Report bytes that the C++ client for byte reports draws coins for at once.
const CPP_GROUP: usize = 4;
/// Sets a permanent response apart from other uses of a secret, in C++ and Java.
const PERMANENT: &[u8] = &[1];

/// One device: its secret, and the name of what it reports.
///
/// ```
/// use deniable::rappor::{Client, Device, Profile, Settings, Wire};
/// let settings = Settings { bits: 8, hashes: 2, cohorts: 128, f: 0.5, p: 0.25, q: 0.75 };
/// let device = Device::new(Profile::new(Client::Cpp32, &settings)?, b"secret", b"metric-name")?;
/// let cohort = device.cohort().expect("only the Python client is told its cohort");
/// let permanent = device.permanent(&device.bloom(cohort, b"foo")?)?;
/// assert_eq!((cohort, device.wire(&permanent)), (121, Wire::Number(120)));
/// # Ok::<(), deniable::rappor::RapporError>(())
/// ```
pub struct Device {
    profile: Profile,
    secret: Zeroizing<Vec<u8>>,
    encoder: Vec<u8>,
}

impl Device {
    /// Makes the device that holds `secret` and reports under the name `encoder`, which the Python client ignores.
    ///
    /// # Errors
    /// [`RapporError::Secret`] if the Java client would refuse the secret.
    pub fn new(profile: Profile, secret: &[u8], encoder: &[u8]) -> Result<Self, RapporError> {
        if profile.client() == Client::Java && secret.len() < JAVA_SECRET_BYTES {
            return Err(RapporError::Secret { size: secret.len() });
        }
        Ok(Self { profile, secret: Zeroizing::new(secret.to_vec()), encoder: encoder.to_vec() })
    }

    /// The parameters.
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The cohort that the secret assigns, below m. The Python client has none: its caller says.
    pub fn cohort(&self) -> Option<u32> {
        let mut draw = [0; 4];
        let number = match self.profile.client() {
            Client::Python => return None,
            // A byte of zero was meant to set this use apart, but the reference loses it at the end of a C string.
            Client::Cpp32 => u32::from_le_bytes(core::array::from_fn(|i| mac(&self.secret, &[])[i])),
            Client::CppBytes => {
                HmacDrbg::new(&[&self.secret]).fill(&mut draw);
                u32::from_le_bytes(draw)
            }
            Client::Java => {
                HmacDrbg::new(&[&self.secret, &[0]]).fill(&mut draw);
                i32::from_be_bytes(draw).unsigned_abs()
            }
        };
        Some(number & (self.profile.params().cohorts() as u32 - 1))
    }

    /// The bits that `value` sets in `cohort`.
    ///
    /// # Errors
    /// [`RapporError::NoCohort`] unless `cohort` is below m.
    pub fn bloom(&self, cohort: u32, value: &[u8]) -> Result<Bits, RapporError> {
        let (k, cohorts) = (self.bits(), self.profile.params().cohorts());
        if cohort as usize >= cohorts {
            return Err(RapporError::NoCohort { cohort, cohorts });
        }
        let digest = Md5::new().chain_update(cohort.to_be_bytes()).chain_update(value).finalize();
        let client = self.profile.client();
        let mut bits = Bits::repeat(false, k);
        for bytes in digest.chunks_exact(client.hash_bytes(k)).take(self.profile.params().hashes()) {
            let append = |number: usize, byte: &u8| number << 8 | usize::from(*byte);
            let number = match client {
                Client::CppBytes => bytes.iter().rev().fold(0, append),
                Client::Python | Client::Cpp32 | Client::Java => bytes.iter().fold(0, append),
            };
            bits.set(number % k, true);
        }
        Ok(bits)
    }

    /// The permanent response to `bloom`, the same for ever.
    ///
    /// # Errors
    /// [`RapporError::Width`] unless there are k bits.
    pub fn permanent(&self, bloom: &Bits) -> Result<Bits, RapporError> {
        self.check_width(bloom)?;
        let stream = self.noise(bloom);
        let answer = |(byte, bit): (&u8, bool)| {
            if byte >> 1 < self.profile.noise_threshold() { byte & 1 == 1 } else { bit }
        };
        Ok(stream.iter().zip(bloom.iter().by_vals()).map(answer).collect())
    }

    /// The instantaneous response to a permanent one: the report.
    ///
    /// It draws as many bytes of `entropy`, in the same order, as the client does of its host: for each coin 7 bytes
    /// (Python), 1 (C++) or 3 (Java), big-endian, the excess bits of the last one dropped. Python and C++ draw for p at
    /// every bit and then for q, C++ with byte reports so for each 4 bytes of the report; Java draws for
    /// one of the two at each bit, and not at all if p is 0 and q is 1.
    ///
    /// # Errors
    /// [`RapporError::Width`] unless there are k bits, and [`RapporError::Entropy`] if `entropy` fails.
    pub fn instantaneous(&self, permanent: &Bits, entropy: &mut impl Entropy) -> Result<Bits, RapporError> {
        self.check_width(permanent)?;
        let (clear, set) = self.profile.coin_thresholds();
        let report: Result<Bits, EntropyError> = match self.profile.client() {
            Client::Python | Client::Cpp32 => {
                let (p, q) = self.coin_pairs(permanent.len(), entropy)?;
                let choose = |(i, bit): (usize, bool)| if bit { q[i] } else { p[i] };
                Ok(permanent.iter().by_vals().enumerate().map(choose).collect())
            }
            Client::CppBytes => self.respond_in_groups(permanent, entropy),
            Client::Java if clear == 0 && self.profile.q() == 1.0 => Ok(permanent.clone()),
            Client::Java => {
                let coin = |bit| Ok(self.coins(if bit { set } else { clear }, 1, entropy)?[0]);
                permanent.iter().by_vals().map(coin).collect()
            }
        };
        Ok(report?)
    }

    /// The wire begins with the highest byte and goes in groups of bytes; in the coins of a group the first byte comes last.
    fn respond_in_groups(&self, permanent: &Bits, entropy: &mut impl Entropy) -> Result<Bits, EntropyError> {
        let bytes = permanent.len() / 8;
        let draw = |_| self.coin_pairs(8 * CPP_GROUP, entropy);
        let groups: Vec<_> = (0..bytes.div_ceil(CPP_GROUP)).map(draw).collect::<Result<_, _>>()?;
        let choose = |(i, bit): (usize, bool)| {
            let byte = bytes - 1 - i / 8;
            let (p, q) = &groups[byte / CPP_GROUP];
            let coin = 8 * (CPP_GROUP - 1 - byte % CPP_GROUP) + i % 8;
            if bit { q[coin] } else { p[coin] }
        };
        Ok(permanent.iter().by_vals().enumerate().map(choose).collect())
    }

    /// A report or a permanent response as the client hands it on.
    pub fn wire(&self, bits: &Bits) -> Wire {
        let bytes = bits.as_raw_slice();
        match self.profile.client() {
            Client::Python | Client::Cpp32 => Wire::Number(number(bits)),
            Client::CppBytes => Wire::Bytes(bytes.iter().rev().copied().collect()),
            Client::Java => Wire::Bytes(bytes.to_vec()),
        }
    }

    fn bits(&self) -> usize {
        self.profile.params().bits()
    }

    fn check_width(&self, bits: &Bits) -> Result<(), RapporError> {
        let (found, bits) = (bits.len(), self.bits());
        if found == bits { Ok(()) } else { Err(RapporError::Width { found, bits }) }
    }

    /// The keyed stream of at least k bytes that the permanent response to `bloom` is drawn from.
    fn noise(&self, bloom: &Bits) -> Zeroizing<Vec<u8>> {
        let word = || Zeroizing::new(number(bloom).to_be_bytes());
        let mut stream = Zeroizing::new(vec![0; self.bits()]);
        match self.profile.client() {
            Client::Python => *stream = mac(&self.secret, &[&*word()]).to_vec(),
            Client::Cpp32 => {
                *stream = mac(&self.secret, &[PERMANENT, &self.encoder, &*word()]).to_vec();
            }
            Client::CppBytes => {
                let bytes: Zeroizing<Vec<u8>> =
                    Zeroizing::new(bloom.as_raw_slice().iter().rev().copied().collect());
                HmacDrbg::new(&[&self.secret, PERMANENT, &self.encoder, &bytes]).fill(&mut stream);
            }
            Client::Java => {
                let bytes = bloom.as_raw_slice();
                let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                let hash = Sha256::new()
                    .chain_update(&self.encoder)
                    .chain_update([0])
                    .chain_update(&bytes[..length])
                    .chain_update([1])
                    .chain_update([0; JAVA_HASH_BYTES])
                    .finalize();
                let mut drbg = HmacDrbg::new(&[&self.secret, PERMANENT, &hash[..JAVA_HASH_BYTES]]);
                stream.chunks_mut(JAVA_REQUEST_BYTES).for_each(|piece| drbg.fill(piece));
            }
        }
        stream
    }

    /// Throws `count` coins for p, then as many for q.
    fn coin_pairs(
        &self,
        count: usize,
        entropy: &mut impl Entropy,
    ) -> Result<(Vec<bool>, Vec<bool>), EntropyError> {
        let (clear, set) = self.profile.coin_thresholds();
        Ok((self.coins(clear, count, entropy)?, self.coins(set, count, entropy)?))
    }

    /// Throws `count` coins that are 1 below `threshold`.
    fn coins(
        &self,
        threshold: u64,
        count: usize,
        entropy: &mut impl Entropy,
    ) -> Result<Vec<bool>, EntropyError> {
        let client = self.profile.client();
        let size = client.coin_bytes();
        let mut bytes = Zeroizing::new(vec![0; count * size]);
        entropy.fill(&mut bytes)?;
        let excess = 8 * size as u32 - client.coin_bits();
        let coin =
            |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) >> excess;
        Ok(bytes.chunks_exact(size).map(|bytes| coin(bytes) < threshold).collect())
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// What a client hands on for sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A number whose bit i is bit i of the report: Python and C++ with 32 bits.
    Number(u32),
    /// Bytes: C++ with the highest byte first, Java with the lowest.
    Bytes(Vec<u8>),
}

/// Bits as a report stands in the reference's CSV files: bit k − 1 first.
pub fn bit_string(bits: &Bits) -> String {
    bits.iter().by_vals().rev().map(|bit| if bit { '1' } else { '0' }).collect()
}

/// The number whose bit i is bit i, of at most 32.
fn number(bits: &Bits) -> u32 {
    bits.iter_ones().fold(0, |number, bit| number | 1 << bit)
}
