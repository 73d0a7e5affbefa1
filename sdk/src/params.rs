//! Parameters of a report: its shape (k, h, m) and its response stages.
//!
//! [`Params`] can be neither built nor deserialized invalid, so what holds one never checks again.
//! The letters are those of Erlingsson, Pihur and Korolova, *RAPPOR* (2014), section 3: `bits` is k,
//! `hashes` is h, `cohorts` is m, and the classic f, p, q are stages of [`Params::rappor`].

use core::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::binary::{Binary, Reader, Writer, binary};
use crate::privacy::{Channel, Epsilon};
use crate::probability::{Probability, ProbabilityError};

/// The most bits in a report (k).
pub const MAX_BITS: usize = 4096;
/// The most hash functions of a Bloom filter (h), and the most names in a set.
pub const MAX_HASHES: usize = 16;
/// The most cohorts (m).
pub const MAX_COHORTS: usize = 1 << 16;

/// How a value becomes a signal of k bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// One bit of k is set, and the response keeps exactly one bit set: k-ary randomized response.
    /// Best when there are fewer than 3e^ε + 2 values.
    Direct,
    /// A bit for each of k known values, each flipped independently: basic RAPPOR.
    /// A signal has at most h ones, so h above 1 makes room for sets.
    Unary,
    /// The bits of a Bloom filter that hashes an open string with the cohort: RAPPOR.
    Bloom,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Unary => "unary",
            Self::Bloom => "bloom",
        })
    }
}

/// One response stage: the probability of a 1 where its input is 0, and where its input is 1.
///
/// `zero` is always below `one`, or the stage would say nothing of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawResponse")]
pub struct Response {
    zero: Probability,
    one: Probability,
}

impl Response {
    /// Makes the stage (P(1|0), P(1|1)).
    ///
    /// # Errors
    /// [`ParamsError::NoInformation`] unless `zero` is below `one`.
    pub fn new(zero: Probability, one: Probability) -> Result<Self, ParamsError> {
        if zero < one { Ok(Self { zero, one }) } else { Err(ParamsError::NoInformation { zero, one }) }
    }

    /// Makes the stage from the multiples of 2⁻³² nearest to the numbers given.
    ///
    /// # Errors
    /// As [`Response::new`], and [`ParamsError::Probability`] for what is no probability.
    pub fn nearest(zero: f64, one: f64) -> Result<Self, ParamsError> {
        Self::new(Probability::nearest(zero)?, Probability::nearest(one)?)
    }

    /// P(1 | 0).
    pub const fn zero(self) -> Probability {
        self.zero
    }

    /// P(1 | 1).
    pub const fn one(self) -> Probability {
        self.one
    }
}

/// The shape of a report and the stages that randomize it.
///
/// ```
/// use deniable::Params;
/// let params = Params::rappor(128, 2, 64, 0.5, 0.25, 0.75)?;
/// assert_eq!(format!("{:.2}", params.epsilon_one()), "2.05");
/// assert_eq!(format!("{:.2}", params.epsilon_infinity()), "4.40");
/// # Ok::<(), deniable::ParamsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawParams")]
pub struct Params {
    encoding: Encoding,
    bits: u16,
    hashes: u8,
    cohorts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    permanent: Option<Response>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instantaneous: Option<Response>,
}

impl Params {
    /// Makes parameters of `bits` (k, 1 to 4096), `hashes` (h, 1 to 16), `cohorts` (m, 1 to 65,536), a permanent
    /// stage that is memoized for ever and an instantaneous stage that is drawn for each report.
    ///
    /// # Errors
    /// A [`ParamsError`] that names the value and its limit: a shape out of range, no stage at all, a stage that
    /// does not fit the encoding, or stages under which ε₁ or a memoized ε∞ would be infinite.
    pub fn new(
        encoding: Encoding,
        bits: usize,
        hashes: usize,
        cohorts: usize,
        permanent: Option<Response>,
        instantaneous: Option<Response>,
    ) -> Result<Self, ParamsError> {
        in_range("bits", bits, 1, MAX_BITS)?;
        in_range("hashes", hashes, 1, MAX_HASHES)?;
        in_range("cohorts", cohorts, 1, MAX_COHORTS)?;
        match encoding {
            Encoding::Direct => {
                in_range("bits of the direct encoding", bits, 2, MAX_BITS)?;
                in_range("hashes of the direct encoding", hashes, 1, 1)?;
                for stage in permanent.iter().chain(&instantaneous) {
                    one_bit_stays_set(*stage, bits)?;
                }
            }
            Encoding::Unary => in_range("hashes of the unary encoding", hashes, 1, bits.min(MAX_HASHES))?,
            Encoding::Bloom => in_range("bits of the bloom encoding", bits, 2, MAX_BITS)?,
        }
        let params = Self {
            encoding,
            bits: bits as u16,
            hashes: hashes as u8,
            cohorts: cohorts as u32,
            permanent,
            instantaneous,
        };
        if permanent.is_none() && instantaneous.is_none() {
            return Err(ParamsError::NoStage);
        }
        if !params.epsilon_one().is_bounded() {
            return Err(ParamsError::Unprotected { what: "one report (ε₁)" });
        }
        if permanent.is_some() && !params.epsilon_infinity().is_bounded() {
            return Err(ParamsError::Unprotected { what: "the permanent response (ε∞)" });
        }
        Ok(params)
    }

    /// Makes the classic parameters of google/rappor: permanent stage (f/2, 1 − f/2), instantaneous stage (p, q),
    /// the Bloom encoding, or a single unary bit when k is 1. With f = 0 there is no permanent stage.
    ///
    /// # Errors
    /// As [`Params::new`].
    pub fn rappor(
        bits: usize,
        hashes: usize,
        cohorts: usize,
        f: f64,
        p: f64,
        q: f64,
    ) -> Result<Self, ParamsError> {
        let flip = Probability::nearest(f)?.as_f64() / 2.0;
        let permanent = if f == 0.0 { None } else { Some(Response::nearest(flip, 1.0 - flip)?) };
        let encoding = if bits == 1 { Encoding::Unary } else { Encoding::Bloom };
        Self::new(encoding, bits, hashes, cohorts, permanent, Some(Response::nearest(p, q)?))
    }

    /// How a value becomes a signal.
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// k, the bits of a report.
    pub const fn bits(&self) -> usize {
        self.bits as usize
    }

    /// h, the most ones in a signal.
    pub const fn hashes(&self) -> usize {
        self.hashes as usize
    }

    /// m, the cohorts that devices are spread over.
    pub const fn cohorts(&self) -> usize {
        self.cohorts as usize
    }

    /// The stage whose answer is kept for ever, if there is one.
    pub const fn permanent(&self) -> Option<Response> {
        self.permanent
    }

    /// The stage that is drawn anew for each report, if there is one.
    pub const fn instantaneous(&self) -> Option<Response> {
        self.instantaneous
    }

    /// p* and q*, what a report says of a signal bit through both stages.
    pub fn channel(&self) -> Channel {
        match (self.permanent, self.instantaneous) {
            (Some(permanent), Some(instantaneous)) => Channel::chained(permanent, instantaneous),
            (Some(stage), None) | (None, Some(stage)) => Channel::of(stage),
            (None, None) => unreachable!("Params::new refuses parameters without a stage"),
        }
    }

    /// ε₁, the privacy loss of one report. Always bounded.
    pub fn epsilon_one(&self) -> Epsilon {
        self.channel().epsilon(self.encoding, self.bits(), self.hashes())
    }

    /// ε∞, the privacy loss of all reports of one value, for ever; unbounded without a permanent stage.
    pub fn epsilon_infinity(&self) -> Epsilon {
        match self.permanent {
            Some(stage) => Channel::of(stage).epsilon(self.encoding, self.bits(), self.hashes()),
            None => Epsilon::UNBOUNDED,
        }
    }

    /// The first 8 bytes of SHA-256 over these parameters. Reports carry it, so that a report made under
    /// other parameters is never counted with these.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update(b"deniable params v1");
        hash.update([self.encoding as u8, self.hashes]);
        hash.update(self.bits.to_be_bytes());
        hash.update(self.cohorts.to_be_bytes());
        for stage in [self.permanent, self.instantaneous] {
            // No stage has P(1|0) = 1, so this pair cannot be mistaken for a stage.
            let absent = (Probability::ONE, Probability::ZERO);
            let (zero, one) = stage.map_or(absent, |stage| (stage.zero, stage.one));
            hash.update(zero.numerator().to_be_bytes());
            hash.update(one.numerator().to_be_bytes());
        }
        let digest = hash.finalize();
        Fingerprint(core::array::from_fn(|i| digest[i]))
    }
}

/// A short name for a set of parameters, equal only for equal parameters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 8]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

pub(crate) fn in_range(what: &'static str, value: usize, low: usize, high: usize) -> Result<(), ParamsError> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(ParamsError::OutOfRange { what, value, low, high })
    }
}

/// The direct encoding keeps exactly one of k bits set, so its probabilities add up: q + (k−1)p = 1.
fn one_bit_stays_set(stage: Response, bits: usize) -> Result<(), ParamsError> {
    let others = stage.zero.numerator() * (bits as u64 - 1);
    if others + stage.one.numerator() == Probability::ONE.numerator() {
        Ok(())
    } else {
        Err(ParamsError::NotDirect { zero: stage.zero, one: stage.one, bits })
    }
}

/// Parameters that cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// A shape outside its limits.
    #[error("{what} is {value}, but must be from {low} to {high}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// What was given.
        value: usize,
        /// The least allowed.
        low: usize,
        /// The most allowed.
        high: usize,
    },
    /// What was to be a probability is none.
    #[error(transparent)]
    Probability(#[from] ProbabilityError),
    /// A stage whose output says nothing of its input, or inverts it.
    #[error(
        "P(1|0) = {zero} and P(1|1) = {one} carry no information: P(1|0) must be below P(1|1); choose two different probabilities"
    )]
    NoInformation {
        /// P(1 | 0).
        zero: Probability,
        /// P(1 | 1).
        one: Probability,
    },
    /// A privacy loss that cannot be aimed at.
    #[error("{what} = {value} cannot be aimed at: it must be above {above} and at most {most}")]
    Epsilon {
        /// Which loss.
        what: &'static str,
        /// What was given.
        value: f64,
        /// It must be above this.
        above: f64,
        /// The most allowed.
        most: f64,
    },
    /// Neither stage is there.
    #[error(
        "there is no response stage, so nothing would be randomized: give a permanent or an instantaneous one"
    )]
    NoStage,
    /// The stages leave the value in the open.
    #[error(
        "{what} would have no bound on its privacy loss: some bit is certain; keep P(1|0) above 0 and P(1|1) below 1"
    )]
    Unprotected {
        /// Which loss is unbounded.
        what: &'static str,
    },
    /// A stage of the direct encoding whose probabilities do not add up to one.
    #[error(
        "P(1|0) = {zero} and P(1|1) = {one} do not fit the direct encoding of {bits} values: P(1|1) + {} · P(1|0) must be 1 exactly, in steps of 2^-32",
        .bits - 1
    )]
    NotDirect {
        /// P(1 | 0).
        zero: Probability,
        /// P(1 | 1).
        one: Probability,
        /// The number of values.
        bits: usize,
    },
}

binary!(enum Encoding { 0 Direct, 1 Unary, 2 Bloom });

/// The numerators of its two probabilities.
impl Binary for Response {
    fn write(&self, to: &mut Writer<'_>) {
        self.zero.write(to);
        self.one.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let (zero, one) = Binary::read(from);
        if zero >= one {
            from.fail();
        }
        Self { zero, one }
    }
}

/// Its shape, then both stages.
impl Binary for Params {
    fn write(&self, to: &mut Writer<'_>) {
        self.encoding.write(to);
        [self.bits(), self.hashes(), self.cohorts()].iter().for_each(|number| number.write(to));
        self.permanent.write(to);
        self.instantaneous.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let (encoding, bits) = Binary::read(from);
        let (hashes, cohorts) = Binary::read(from);
        let (permanent, instantaneous) = Binary::read(from);
        let params = Self::new(encoding, bits, hashes, cohorts, permanent, instantaneous).ok();
        let nothing = Self { encoding, bits: 0, hashes: 0, cohorts: 0, permanent, instantaneous };
        from.or_fail(params, nothing)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawResponse {
    zero: Probability,
    one: Probability,
}

impl TryFrom<RawResponse> for Response {
    type Error = ParamsError;

    fn try_from(raw: RawResponse) -> Result<Self, ParamsError> {
        Self::new(raw.zero, raw.one)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawParams {
    encoding: Encoding,
    bits: usize,
    #[serde(default = "one")]
    hashes: usize,
    #[serde(default = "one")]
    cohorts: usize,
    permanent: Option<Response>,
    instantaneous: Option<Response>,
}

fn one() -> usize {
    1
}

impl TryFrom<RawParams> for Params {
    type Error = ParamsError;

    fn try_from(raw: RawParams) -> Result<Self, ParamsError> {
        Self::new(raw.encoding, raw.bits, raw.hashes, raw.cohorts, raw.permanent, raw.instantaneous)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn stage(zero: f64, one: f64) -> Option<Response> {
        Some(Response::nearest(zero, one).unwrap())
    }

    #[test]
    fn both_ends_of_each_range_are_allowed_and_no_more() {
        let build = |k, h, m| Params::new(Encoding::Bloom, k, h, m, None, stage(0.25, 0.5));
        for (k, h, m) in [(2, 1, 1), (4096, 16, 65_536)] {
            assert!(build(k, h, m).is_ok(), "{k} {h} {m}");
        }
        for (k, h, m) in
            [(0, 1, 1), (1, 1, 1), (4097, 1, 1), (8, 0, 1), (8, 17, 1), (8, 1, 0), (8, 1, 65_537)]
        {
            assert!(matches!(build(k, h, m), Err(ParamsError::OutOfRange { .. })), "{k} {h} {m}");
        }
        let message = build(5000, 1, 1).unwrap_err().to_string();
        assert!(message.contains("5000") && message.contains("4096"), "{message}");
    }

    #[test]
    fn stages_that_protect_or_tell_nothing_are_refused() {
        assert!(matches!(Response::nearest(0.5, 0.5), Err(ParamsError::NoInformation { .. })));
        assert!(matches!(Response::nearest(0.6, 0.5), Err(ParamsError::NoInformation { .. })));
        let build = |prr, irr| Params::new(Encoding::Unary, 4, 1, 1, prr, irr);
        assert_eq!(build(None, None), Err(ParamsError::NoStage));
        assert!(matches!(build(None, stage(0.0, 0.5)), Err(ParamsError::Unprotected { .. })));
        assert!(matches!(build(None, stage(0.5, 1.0)), Err(ParamsError::Unprotected { .. })));
        // A permanent stage that keeps a bit as it is promises an ε∞ that it does not give.
        assert!(matches!(build(stage(0.0, 0.5), stage(0.25, 0.75)), Err(ParamsError::Unprotected { .. })));
    }

    #[test]
    fn the_direct_encoding_wants_probabilities_that_add_up() {
        let build = |zero, one| Params::new(Encoding::Direct, 3, 1, 1, None, stage(zero, one));
        assert!(build(0.25, 0.5).is_ok());
        assert!(matches!(build(0.25, 0.75), Err(ParamsError::NotDirect { bits: 3, .. })));
    }

    #[test]
    fn deserialized_is_checked_like_built() {
        let good = Params::rappor(16, 2, 8, 0.5, 0.25, 0.75).unwrap();
        let text = serde_json::to_string(&good).unwrap();
        assert_eq!(serde_json::from_str::<Params>(&text).unwrap(), good);
        for bad in [
            text.replace("\"bits\":16", "\"bits\":0"),
            text.replace("\"bits\":16", "\"bits\":70000"),
            text.replace("\"hashes\":2", "\"hashes\":300"),
            text.replace("\"one\":0.75", "\"one\":0.25"),
            text.replace("\"one\":0.75", "\"one\":1.5"),
            text.replace("bloom", "flower"),
            text.replace("cohorts", "cohort"),
        ] {
            assert!(serde_json::from_str::<Params>(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_parameter_moves_the_fingerprint() {
        let base = Params::rappor(16, 2, 8, 0.5, 0.25, 0.75).unwrap();
        let others = [
            Params::rappor(17, 2, 8, 0.5, 0.25, 0.75).unwrap(),
            Params::rappor(16, 1, 8, 0.5, 0.25, 0.75).unwrap(),
            Params::rappor(16, 2, 9, 0.5, 0.25, 0.75).unwrap(),
            Params::rappor(16, 2, 8, 0.25, 0.25, 0.75).unwrap(),
            Params::rappor(16, 2, 8, 0.5, 0.26, 0.75).unwrap(),
            Params::rappor(16, 2, 8, 0.5, 0.25, 0.76).unwrap(),
            Params::rappor(16, 2, 8, 0.0, 0.25, 0.75).unwrap(),
            Params::new(Encoding::Bloom, 16, 2, 8, stage(0.25, 0.75), None).unwrap(),
            Params::new(Encoding::Unary, 16, 2, 8, stage(0.25, 0.75), stage(0.25, 0.75)).unwrap(),
        ];
        for other in others {
            assert_ne!(base.fingerprint(), other.fingerprint(), "{other:?}");
        }
    }

    #[test]
    fn the_fingerprint_stays_as_it_was() {
        let params = Params::rappor(16, 2, 8, 0.5, 0.25, 0.75).unwrap();
        assert_eq!(params.fingerprint().to_string(), "ffb4494fe24fb2fa");
    }
}
