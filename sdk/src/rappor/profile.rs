//! The parameters of a client of google/rappor: as they are stated, and as the client really draws them.

use core::fmt;

use crate::entropy::EntropyError;
use crate::params::{Encoding, Params, ParamsError, Response, in_range};
use crate::privacy::Epsilon;
use crate::probability::{Probability, ProbabilityError};

/// The steps of the threshold for f: 7 bits of a byte.
const NOISE_STEPS: f64 = 128.0;

/// A client of google/rappor.
///
/// | | hash i of D | permanent stream | f·128 is | p and q are multiples of |
/// |---|---|---|---|---|
/// | Python | D\[i\] mod k | HMAC(secret, BE32(bits)) | rounded up | 2⁻⁵³, rounded up |
/// | C++, 32 bits | D\[i\] mod k | HMAC(secret, 01 ‖ encoder ‖ BE32(bits)) | cut off | 2⁻⁸, cut off |
/// | C++, bytes | ⌈⌈log₂ k⌉/8⌉ bytes, little-endian, mod k | DRBG(secret, 01 ‖ encoder ‖ bits, big-endian) | cut off | 2⁻⁸, cut off |
/// | Java | 256·D\[2i\] + D\[2i+1\] mod k | DRBG(secret, 01 ‖ 19 bytes of a SHA-256 of encoder and bits) | rounded to the nearest | 2⁻²⁴, rounded up |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// Reports of up to 32 bits. Its permanent noise depends on the secret and the bits alone: two variables
    /// of one device with equal bits get the same.
    Python,
    /// C++, reports of up to 32 bits.
    Cpp32,
    /// C++, reports of whole bytes.
    CppBytes,
    /// Java, reports of up to 4096 bits.
    Java,
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Python, Self::Cpp32, Self::CppBytes, Self::Java];

    /// Random bytes that one coin of the instantaneous response takes.
    pub(super) const fn coin_bytes(self) -> usize {
        match self {
            Self::Python => 7,
            Self::Cpp32 | Self::CppBytes => 1,
            Self::Java => 3,
        }
    }

    /// Bits of a coin: those of a double, a byte, or a float.
    pub(super) const fn coin_bits(self) -> u32 {
        match self {
            Self::Python => 53,
            Self::Cpp32 | Self::CppBytes => 8,
            Self::Java => 24,
        }
    }

    /// Bytes of the digest that one hash takes.
    pub(super) const fn hash_bytes(self, bits: usize) -> usize {
        match self {
            Self::Python | Self::Cpp32 => 1,
            Self::CppBytes => {
                if bits > 256 {
                    2
                } else {
                    1
                }
            }
            Self::Java => 2,
        }
    }

    /// T: below it of 128 the permanent bit is noise.
    fn noise(self, f: f64) -> u8 {
        let steps = match self {
            Self::Python => libm::ceil(f * NOISE_STEPS),
            Self::Cpp32 | Self::CppBytes => libm::trunc(f64::from(f as f32) * NOISE_STEPS),
            Self::Java => libm::floor(f * NOISE_STEPS + 0.5),
        };
        steps as u8
    }

    /// The count of a coin's values that give a 1.
    fn threshold(self, probability: f64) -> u64 {
        let steps = libm::ldexp(1.0, self.coin_bits() as i32);
        let values = match self {
            Self::Cpp32 | Self::CppBytes => libm::trunc(f64::from(probability as f32) * steps),
            Self::Python | Self::Java => libm::ceil(probability * steps),
        };
        values as u64
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Python => "Python",
            Self::Cpp32 => "C++ 32-bit",
            Self::CppBytes => "C++ bytes",
            Self::Java => "Java",
        })
    }
}

/// The parameters of google/rappor as its `params.csv` states them, unchecked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// k, the bits of a report.
    pub bits: usize,
    /// h, the hash functions.
    pub hashes: usize,
    /// m, the cohorts.
    pub cohorts: usize,
    /// f, the share of noise in the permanent response.
    pub f: f64,
    /// p, the chance of a reported 1 where the permanent response is 0.
    pub p: f64,
    /// q, the same where it is 1.
    pub q: f64,
}

impl Settings {
    /// The parameters as stated, to the nearest 2⁻³².
    ///
    /// # Errors
    /// Those of [`Params::rappor`].
    pub fn params(&self) -> Result<Params, ParamsError> {
        Params::rappor(self.bits, self.hashes, self.cohorts, self.f, self.p, self.q)
    }
}

/// The parameters of one client, within its limits, and its privacy loss.
///
/// ```
/// use deniable::rappor::{Client, Profile, Settings};
/// let stated = Settings { bits: 16, hashes: 2, cohorts: 64, f: 0.45, p: 0.39, q: 0.61 };
/// let python = Profile::new(Client::Python, &stated)?;
/// let cpp = Profile::new(Client::Cpp32, &stated)?;
/// assert_eq!((python.f(), cpp.f()), (58.0 / 128.0, 57.0 / 128.0));
/// assert_eq!((cpp.p(), cpp.q()), (99.0 / 256.0, 156.0 / 256.0));
/// assert!(cpp.params().epsilon_infinity() > python.params().epsilon_infinity());
/// # Ok::<(), deniable::rappor::RapporError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    client: Client,
    noise: u8,
    clear: u64,
    set: u64,
    params: Params,
}

impl Profile {
    /// Checks the parameters stated against the limits of `client`, and rounds them as it does.
    ///
    /// # Errors
    /// A [`RapporError`] for what the client cannot do, or does wrong in silence: a probability that becomes
    /// another one than stated in kind, and not merely by a rounding, and parameters that protect or tell nothing.
    pub fn new(client: Client, stated: &Settings) -> Result<Self, RapporError> {
        check_shape(client, stated)?;
        for value in [stated.f, stated.p, stated.q] {
            Probability::nearest(value)?;
        }
        let noise = client.noise(stated.f);
        let (clear, set) = (client.threshold(stated.p), client.threshold(stated.q));
        let highest = 1 << client.coin_bits();
        for (what, value, steps, of) in [
            ("f", stated.f, u64::from(noise), NOISE_STEPS as u64),
            ("p", stated.p, clear, highest),
            ("q", stated.q, set, highest),
        ] {
            if value > 0.0 && steps == 0 {
                return Err(RapporError::Vanishes { client, what, value, steps: of });
            }
            if what != "f" && steps == of && highest == 256 {
                return Err(RapporError::Certain { client, what, value });
            }
        }
        let params = accounted(client, stated, noise, clear, set)?;
        Ok(Self { client, noise, clear, set, params })
    }

    /// Whose parameters these are.
    pub const fn client(&self) -> Client {
        self.client
    }

    /// The parameters that account for the client's privacy loss: f as drawn, and p and q as drawn, rounded
    /// outward to 2⁻³², so that no loss is below the true one.
    ///
    /// If p exceeds q they are those of the report with each bit inverted, which says the same.
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// f as the client draws it, exactly.
    pub fn f(&self) -> f64 {
        f64::from(self.noise) / NOISE_STEPS
    }

    /// p as the client draws it, exactly.
    pub fn p(&self) -> f64 {
        libm::ldexp(self.clear as f64, -(self.client.coin_bits() as i32))
    }

    /// q as the client draws it, exactly.
    pub fn q(&self) -> f64 {
        libm::ldexp(self.set as f64, -(self.client.coin_bits() as i32))
    }

    /// ε₁, the true privacy loss of one report of this client.
    pub fn epsilon_one(&self) -> Epsilon {
        self.params.epsilon_one()
    }

    /// ε∞, the true privacy loss of all its reports of one value; unbounded without permanent noise.
    pub fn epsilon_infinity(&self) -> Epsilon {
        self.params.epsilon_infinity()
    }

    pub(super) const fn noise_threshold(&self) -> u8 {
        self.noise
    }

    /// The thresholds of p and q.
    pub(super) const fn coin_thresholds(&self) -> (u64, u64) {
        (self.clear, self.set)
    }
}

fn check_shape(client: Client, stated: &Settings) -> Result<(), RapporError> {
    let Settings { bits, hashes, cohorts, .. } = *stated;
    let (most_bits, most_hashes, most_cohorts) = match client {
        Client::Python | Client::Cpp32 => (32, 16, 1 << 16),
        Client::CppBytes => (4096, 16 / client.hash_bytes(bits), 1 << 16),
        Client::Java => (4096, 8, 128),
    };
    in_range("bits of this client", bits, 1, most_bits)?;
    in_range("hashes of this client", hashes, 1, most_hashes)?;
    in_range("cohorts of this client", cohorts, 1, most_cohorts)?;
    if client == Client::CppBytes && !bits.is_multiple_of(8) {
        return Err(RapporError::WholeBytes { bits });
    }
    if client != Client::Python && !cohorts.is_power_of_two() {
        return Err(RapporError::Cohorts { client, cohorts });
    }
    Ok(())
}

/// The parameters whose channel is the client's or one that tells more.
///
/// Lowering P(1|0) and raising P(1|1) of a stage makes a channel of which the original is a post-processing, so the
/// privacy loss can only grow. Inverting all bits of a report changes nothing of what it says.
fn accounted(
    client: Client,
    stated: &Settings,
    noise: u8,
    clear: u64,
    set: u64,
) -> Result<Params, RapporError> {
    let whole = Probability::ONE.numerator();
    let scale = |count: u64, up: bool| match client.coin_bits() {
        fine if fine > 32 => (count + if up { (1 << (fine - 32)) - 1 } else { 0 }) >> (fine - 32),
        coarse => count << (32 - coarse),
    };
    let (zero, one) = if clear <= set {
        (scale(clear, false), scale(set, true))
    } else {
        (whole - scale(clear, true), whole - scale(set, false))
    };
    let stage =
        |zero, one| Response::new(Probability::from_numerator(zero)?, Probability::from_numerator(one)?);
    let flip = u64::from(noise) << 24;
    let permanent = if noise == 0 { None } else { Some(stage(flip, whole - flip)?) };
    let encoding = if stated.bits == 1 { Encoding::Unary } else { Encoding::Bloom };
    let hashes = if stated.bits == 1 { 1 } else { stated.hashes };
    Ok(Params::new(encoding, stated.bits, hashes, stated.cohorts, permanent, Some(stage(zero, one)?))?)
}

/// What a client of google/rappor cannot do, or would do wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RapporError {
    /// The parameters cannot be, whatever the client.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// What was to be a probability is none.
    #[error(transparent)]
    Probability(#[from] ProbabilityError),
    /// The number of cohorts is no power of two.
    #[error("the {client} client takes a power of two for the number of cohorts, not {cohorts}")]
    Cohorts {
        /// The client.
        client: Client,
        /// What was given.
        cohorts: usize,
    },
    /// The bits do not fill bytes.
    #[error("the C++ client for byte reports takes a multiple of 8 bits, not {bits}")]
    WholeBytes {
        /// What was given.
        bits: usize,
    },
    /// A probability that the client turns into zero, so that noise or signal is gone.
    #[error(
        "{what} = {value} is below 1/{steps}, and the {client} client draws it as 0; raise it, or state 0"
    )]
    Vanishes {
        /// The client.
        client: Client,
        /// Which probability.
        what: &'static str,
        /// What was given.
        value: f64,
        /// The steps between 0 and 1 that the client knows.
        steps: u64,
    },
    /// A certainty whose threshold overflows a byte.
    #[error(
        "{what} = {value} makes the {client} client's threshold overflow to 0, so that it would never report a 1; keep it at or below 255/256"
    )]
    Certain {
        /// The client.
        client: Client,
        /// Which probability.
        what: &'static str,
        /// What was given.
        value: f64,
    },
    /// A device secret that the client refuses.
    #[error("a secret of {size} bytes is too short for the Java client: it takes at least 48")]
    Secret {
        /// Its size.
        size: usize,
    },
    /// A cohort that there is not.
    #[error("cohort {cohort} cannot be: there are {cohorts}, counted from 0")]
    NoCohort {
        /// What was given.
        cohort: u32,
        /// m.
        cohorts: usize,
    },
    /// Bits of another width.
    #[error("{found} bits were given, but a report of these parameters has {bits}")]
    Width {
        /// What was given.
        found: usize,
        /// k.
        bits: usize,
    },
    /// The host gave no randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(f: f64, p: f64, q: f64) -> Settings {
        Settings { bits: 16, hashes: 2, cohorts: 64, f, p, q }
    }

    #[test]
    fn each_client_rounds_in_its_own_way() {
        // 0.3 · 128 = 38.4, 0.39 · 256 = 99.84, 0.61 · 256 = 156.16.
        let of = |client| {
            let profile = Profile::new(client, &stated(0.3, 0.39, 0.61)).unwrap();
            (profile.f() * 128.0, profile.p() * 256.0, profile.q() * 256.0)
        };
        assert_eq!(of(Client::Cpp32), (38.0, 99.0, 156.0));
        assert_eq!(of(Client::CppBytes), (38.0, 99.0, 156.0));
        let (f, p, q) = of(Client::Python);
        assert!(f == 39.0 && (p - 99.84).abs() < 1e-12 && (q - 156.16).abs() < 1e-12);
        // 0.39 · 2²⁴ = 6543114.24 and 0.61 · 2²⁴ = 10234101.76.
        let (f, p, q) = of(Client::Java);
        assert_eq!((f, p * 65_536.0, q * 65_536.0), (38.0, 6_543_115.0, 10_234_102.0));
    }

    #[test]
    fn the_privacy_loss_is_that_of_the_thresholds() {
        // T = 57: ε∞ = 4·ln((256 − 57)/57) by hand; with the nominal f = 0.45 it would be 4.947.
        let cpp = Profile::new(Client::Cpp32, &stated(0.45, 0.39, 0.61)).unwrap();
        assert!((cpp.epsilon_infinity().get() - 4.0 * libm::log(199.0 / 57.0)).abs() < 1e-12);
        // p = 99/256, q = 156/256: p* = (99·199 + 156·57)/2¹⁶ = 28593/65536, q* = (156·199 + 99·57)/2¹⁶ = 36687/65536.
        let one = 2.0 * libm::log(36_687.0 * (65_536.0 - 28_593.0) / (28_593.0 * (65_536.0 - 36_687.0)));
        assert!((cpp.epsilon_one().get() - one).abs() < 1e-12);
    }

    #[test]
    fn the_loss_of_an_inverted_report_is_the_same() {
        let loss = |p, q| {
            let profile = Profile::new(Client::Cpp32, &stated(0.25, p, q)).unwrap();
            (profile.epsilon_one(), profile.epsilon_infinity())
        };
        assert_eq!(loss(0.75, 0.5), loss(0.25, 0.5));
    }

    #[test]
    fn what_the_reference_does_wrong_in_silence_is_refused() {
        let new = |client, f, p, q| Profile::new(client, &stated(f, p, q));
        for client in [Client::Cpp32, Client::CppBytes] {
            assert!(matches!(new(client, 0.5, 0.25, 1.0), Err(RapporError::Certain { what: "q", .. })));
            assert!(matches!(new(client, 0.5, 1.0, 0.5), Err(RapporError::Certain { what: "p", .. })));
            assert!(matches!(new(client, 0.5, 0.003, 0.5), Err(RapporError::Vanishes { what: "p", .. })));
            assert!(new(client, 0.5, 0.0, 255.0 / 256.0).is_ok());
        }
        assert!(matches!(
            new(Client::Cpp32, 0.0078, 0.25, 0.75),
            Err(RapporError::Vanishes { what: "f", .. })
        ));
        assert!(matches!(
            new(Client::Java, 0.0039, 0.25, 0.75),
            Err(RapporError::Vanishes { what: "f", .. })
        ));
        assert_eq!(new(Client::Python, 1e-9, 0.25, 0.75).unwrap().f(), 1.0 / 128.0);
        assert!(new(Client::Java, 0.5, 0.0, 1.0).is_ok());
    }

    #[test]
    fn what_protects_or_tells_nothing_is_refused() {
        for client in Client::ALL {
            let new = |f, p, q| Profile::new(client, &stated(f, p, q));
            assert!(matches!(
                new(1.0, 0.25, 0.75),
                Err(RapporError::Params(ParamsError::NoInformation { .. }))
            ));
            assert!(matches!(
                new(0.5, 0.5, 0.5),
                Err(RapporError::Params(ParamsError::NoInformation { .. }))
            ));
            assert!(matches!(new(0.0, 0.0, 0.5), Err(RapporError::Params(ParamsError::Unprotected { .. }))));
            for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
                assert!(matches!(new(bad, 0.25, 0.75), Err(RapporError::Probability(_))), "{bad}");
                assert!(matches!(new(0.5, bad, 0.75), Err(RapporError::Probability(_))), "{bad}");
                assert!(matches!(new(0.5, 0.25, bad), Err(RapporError::Probability(_))), "{bad}");
            }
        }
    }

    #[test]
    fn each_client_keeps_its_limits() {
        let shape = |client, bits, hashes, cohorts| {
            Profile::new(client, &Settings { bits, hashes, cohorts, ..stated(0.5, 0.25, 0.75) }).is_ok()
        };
        for (client, good, bad) in [
            (
                Client::Python,
                &[(32, 16, 3), (1, 1, 1)][..],
                &[(33, 1, 1), (0, 1, 1), (8, 17, 1), (8, 0, 1), (8, 1, 0)][..],
            ),
            (Client::Cpp32, &[(32, 16, 64), (7, 1, 1)], &[(33, 1, 1), (8, 1, 3), (8, 17, 1)]),
            (
                Client::CppBytes,
                &[(256, 16, 64), (264, 8, 64), (4096, 8, 1)],
                &[(12, 1, 1), (264, 9, 1), (8, 1, 3)],
            ),
            (Client::Java, &[(4096, 8, 128), (63, 1, 1)], &[(4097, 1, 1), (8, 9, 1), (8, 1, 256), (8, 1, 3)]),
        ] {
            for &(k, h, m) in good {
                assert!(shape(client, k, h, m), "{client} {k} {h} {m}");
            }
            for &(k, h, m) in bad {
                assert!(!shape(client, k, h, m), "{client} {k} {h} {m}");
            }
        }
    }
}
