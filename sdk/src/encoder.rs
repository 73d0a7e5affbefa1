//! The encoder: a value goes in, a randomized report comes out, and the value goes no further.
//!
//! ```text
//! value ─► signal ─► permanent response ─► instantaneous response ─► report
//! ```
//!
//! The signal is the value's bits; the permanent response is a function of the device secret and the signal; the
//! instantaneous response is drawn anew for each report. Either stage may be absent from the parameters.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::bloom::bloom_bits;
use crate::domain::Rounding;
use crate::entropy::Randomness;
use crate::identity::{DeviceSecret, PermanentCoins};
use crate::metric::{Epoch, MetricId, Stream};
use crate::params::{Encoding, MAX_BITS, Params};
use crate::report::{BitBytes, Report};
use crate::response::Sampler;

/// The most bytes in a value of an open set of strings.
pub const MAX_VALUE_BYTES: usize = 4096;

/// An answer to a metric's question, before anything is randomized.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// One of a closed list, by its place from 0: for the direct and unary encodings.
    Choice(usize),
    /// Several of a closed list, at most h of them and perhaps none: for the unary encoding.
    Choices(&'a [usize]),
    /// A subset of the first eight of a list, bit i for name i: for the unary encoding, or for the direct encoding of
    /// all 2ⁿ subsets.
    Subset(u8),
    /// A string of an open set: for the Bloom encoding.
    Text(&'a str),
}

impl Value<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Choice(_) => "a choice",
            Self::Choices(_) | Self::Subset(_) => "a set of choices",
            Self::Text(_) => "a text",
        }
    }
}

impl fmt::Debug for Value<'_> {
    /// Says what kind of value it is, and never which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.kind())
    }
}

/// What a device says for ever when its value is this one: the value's permanent response, kept at hand.
///
/// It draws the same reports as [`Encoder::encode`] with the same value, and saves the hashing. It is wiped from memory when
/// dropped, and cannot outlive or leave the encoder that made it.
pub struct Memo<'e> {
    encoder: &'e Encoder,
    permanent: Zeroizing<Vec<u8>>,
}

impl Memo<'_> {
    /// Draws a report.
    ///
    /// # Privacy
    /// As [`Encoder::encode`].
    pub fn report(&self, epoch: Epoch, randomness: &mut Randomness) -> Report {
        self.encoder.draw(&self.permanent, epoch, randomness)
    }
}

impl fmt::Debug for Memo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo(..)")
    }
}

/// Makes the reports of one device for one metric version.
///
/// ```
/// use deniable::{DeviceSecret, Encoder, Epoch, MetricId, Params, Randomness, SystemEntropy, Value};
///
/// let secret = DeviceSecret::draw(&mut SystemEntropy)?; // once per device; store it
/// let mut randomness = Randomness::from_system()?;
/// let params = Params::rappor(128, 2, 64, 0.5, 0.25, 0.75)?;
/// let encoder = Encoder::new(MetricId::new("relying_party")?, 1, params, &secret);
/// let report = encoder.encode(Value::Text("shop.example"), Epoch(20_000), &mut randomness)?;
/// assert_eq!(report.bits().len(), 128);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Encoder {
    params: Params,
    stream: Arc<Stream>,
    cohort: u16,
    rounding: Rounding,
    permanent: Option<(Sampler, PermanentCoins)>,
    instantaneous: Option<Sampler>,
}

impl Encoder {
    /// Makes the encoder of the device that holds `secret`. Its cohort follows from the secret and the metric.
    pub fn new(metric: MetricId, version: u32, params: Params, secret: &DeviceSecret) -> Self {
        let stream = Stream::new(metric, version, &params);
        let cohort = secret.cohort(&stream, params.cohorts());
        let sampler = |stage| Sampler::new(params.encoding(), params.bits(), stage);
        Self {
            params,
            cohort,
            rounding: secret.rounding(&stream),
            permanent: params.permanent().map(|stage| (sampler(stage), secret.permanent(&stream, cohort))),
            instantaneous: params.instantaneous().map(sampler),
            stream: Arc::new(stream),
        }
    }

    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// What its reports answer.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The cohort of this device, from 0 to m − 1.
    pub fn cohort(&self) -> u16 {
        self.cohort
    }

    /// Where this device rounds the numbers of a mean, for [`Domain::value`](crate::Domain::value).
    pub fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// Encodes one value.
    ///
    /// # Errors
    /// An [`EncodeError`] if the value does not fit the parameters; no randomness is used then.
    ///
    /// # Privacy
    /// The report costs ε₁, and all reports of one signal together at most ε∞.
    pub fn encode(
        &self,
        value: Value<'_>,
        epoch: Epoch,
        randomness: &mut Randomness,
    ) -> Result<Report, EncodeError> {
        let size = self.stream.bit_bytes();
        let (mut signal, mut permanent) = ([0; MAX_BITS / 8], [0; MAX_BITS / 8]);
        let (signal, permanent) = (&mut signal[..size], &mut permanent[..size]);
        let written = self.write_signal(value, signal);
        if written.is_ok() {
            self.write_permanent(signal, permanent);
        }
        let report = written.map(|()| self.draw(permanent, epoch, randomness));
        signal.zeroize();
        permanent.zeroize();
        report
    }

    /// Prepares to report `value` many times.
    ///
    /// # Errors
    /// An [`EncodeError`] if the value does not fit the parameters.
    pub fn memoize(&self, value: Value<'_>) -> Result<Memo<'_>, EncodeError> {
        let size = self.stream.bit_bytes();
        let (mut signal, mut permanent) = (Zeroizing::new(vec![0; size]), Zeroizing::new(vec![0; size]));
        self.write_signal(value, &mut signal)?;
        self.write_permanent(&signal, &mut permanent);
        Ok(Memo { encoder: self, permanent })
    }

    /// A name for the signal of `value` under the secret of this device, by which the ledger knows it again. Without a
    /// permanent response all reports cost the same whatever they say, and have one name.
    pub(crate) fn pattern(&self, secret: &DeviceSecret, value: Value<'_>) -> Result<u64, EncodeError> {
        let mut signal = Zeroizing::new(vec![0; self.stream.bit_bytes()]);
        self.write_signal(value, &mut signal)?;
        Ok(self.permanent.as_ref().map_or(0, |_| secret.pattern(&self.stream, self.cohort, &signal)))
    }

    /// Writes the bits of `value` into `signal`, which is all zeros.
    fn write_signal(&self, value: Value<'_>, signal: &mut [u8]) -> Result<(), EncodeError> {
        match (self.params.encoding(), value) {
            (Encoding::Direct | Encoding::Unary, Value::Choice(choice)) => self.choose(choice, signal),
            (Encoding::Unary, Value::Choices(choices)) => {
                choices.iter().try_for_each(|choice| self.choose(*choice, signal))?;
                self.check_set(signal)
            }
            (Encoding::Unary, Value::Subset(set)) => {
                (0..8).filter(|i| set >> i & 1 == 1).try_for_each(|choice| self.choose(choice, signal))?;
                self.check_set(signal)
            }
            (Encoding::Direct, Value::Subset(set)) if self.params.bits().is_power_of_two() => {
                self.choose(usize::from(set), signal)
            }
            (Encoding::Bloom, Value::Text(text)) if (1..=MAX_VALUE_BYTES).contains(&text.len()) => {
                let (k, h) = (self.params.bits(), self.params.hashes());
                bloom_bits(k, h, self.cohort, text.as_bytes()).for_each(|bit| set(signal, bit));
                Ok(())
            }
            (Encoding::Bloom, Value::Text(text)) => Err(EncodeError::TextLength { size: text.len() }),
            (encoding, value) => Err(EncodeError::WrongKind { encoding, kind: value.kind() }),
        }
    }

    fn choose(&self, choice: usize, signal: &mut [u8]) -> Result<(), EncodeError> {
        let choices = self.params.bits();
        if choice >= choices {
            return Err(EncodeError::UnknownChoice { choice, choices });
        }
        set(signal, choice);
        Ok(())
    }

    /// Checks that a set that was written is no larger than the parameters make room for.
    fn check_set(&self, signal: &[u8]) -> Result<(), EncodeError> {
        let found = signal.iter().map(|byte| byte.count_ones() as usize).sum();
        let limit = self.params.hashes();
        if found > limit { Err(EncodeError::TooManyChoices { found, limit }) } else { Ok(()) }
    }

    fn write_permanent(&self, signal: &[u8], out: &mut [u8]) {
        match &self.permanent {
            Some((sampler, coins)) => sampler.respond(signal, out, &mut coins.for_signal(signal)),
            None => out.copy_from_slice(signal),
        }
    }

    fn draw(&self, permanent: &[u8], epoch: Epoch, randomness: &mut Randomness) -> Report {
        let mut bits = BitBytes::from_slice(permanent);
        if let Some(sampler) = &self.instantaneous {
            sampler.respond(permanent, &mut bits, randomness.generator());
        }
        Report::new(Arc::clone(&self.stream), epoch, self.cohort, bits)
    }
}

fn set(signal: &mut [u8], bit: usize) {
    signal[bit / 8] |= 1 << (bit % 8);
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("stream", &self.stream)
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

/// A value that the parameters have no place for. It never holds a text, but may hold a choice or a length: what a device
/// must not tell, it must not log either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The value is of a kind that the encoding does not take.
    #[error(
        "the {encoding} encoding does not take {kind}: direct takes a choice, unary a choice or a set of them, bloom a text"
    )]
    WrongKind {
        /// The encoding.
        encoding: Encoding,
        /// The kind of value.
        kind: &'static str,
    },
    /// A place beyond the closed list.
    #[error("choice {choice} is not in the list, whose {choices} choices are counted from 0")]
    UnknownChoice {
        /// What was given.
        choice: usize,
        /// The length of the list.
        choices: usize,
    },
    /// A set with more names than the parameters make room for.
    #[error("a set of {found} choices is over the limit of {limit}; raise `hashes`, or choose fewer")]
    TooManyChoices {
        /// The size of the set.
        found: usize,
        /// h.
        limit: usize,
    },
    /// A text that is empty or too long.
    #[error("a text of {size} bytes cannot be a value: 1 to {MAX_VALUE_BYTES} are allowed")]
    TextLength {
        /// Its size.
        size: usize,
    },
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;

    use super::*;
    use crate::params::Response;

    const EPOCH: Epoch = Epoch(1);

    fn encoder(params: Params, secret: u8) -> Encoder {
        Encoder::new(MetricId::new("m").unwrap(), 1, params, &DeviceSecret::from_bytes([secret; 32]))
    }

    fn one_stage(encoding: Encoding, bits: usize, hashes: usize) -> Params {
        let stage = Response::nearest(0.25, 0.5).unwrap();
        Params::new(encoding, bits, hashes, 4, None, Some(stage)).unwrap()
    }

    fn two_stages() -> Params {
        Params::rappor(64, 2, 4, 0.5, 0.25, 0.75).unwrap()
    }

    fn signal(encoder: &Encoder, value: Value<'_>) -> Result<Vec<u8>, EncodeError> {
        let mut signal = vec![0; encoder.stream.bit_bytes()];
        encoder.write_signal(value, &mut signal).map(|()| signal)
    }

    #[test]
    fn the_permanent_response_never_changes_and_differs_between_devices_and_values() {
        let of = |secret, text| {
            encoder(two_stages(), secret).memoize(Value::Text(text)).unwrap().permanent.clone()
        };
        assert_eq!(of(1, "a"), of(1, "a"));
        assert_ne!(of(1, "a"), of(1, "b"));
        assert_ne!(of(1, "a"), of(2, "a"));
    }

    #[test]
    fn values_with_one_signal_share_one_permanent_response() {
        let encoder = encoder(Params::rappor(2, 1, 1, 0.5, 0.25, 0.75).unwrap(), 1);
        let of = |text| signal(&encoder, Value::Text(text)).unwrap();
        let twin = ["b", "c", "d", "e", "f", "g"].into_iter().find(|text| of(text) == of("a")).unwrap();
        let memo = |text| encoder.memoize(Value::Text(text)).unwrap().permanent.clone();
        assert_eq!(memo(twin), memo("a"));
    }

    #[test]
    fn a_memo_draws_the_reports_of_its_value() {
        let encoder = encoder(two_stages(), 1);
        let memo = encoder.memoize(Value::Text("a")).unwrap();
        let seeded = || Randomness::from_seed([3; 32]);
        let encoded = encoder.encode(Value::Text("a"), EPOCH, &mut seeded()).unwrap();
        assert_eq!(memo.report(EPOCH, &mut seeded()), encoded);
    }

    #[test]
    fn each_report_is_drawn_anew() {
        let encoder = encoder(two_stages(), 1);
        let mut randomness = Randomness::from_seed([3; 32]);
        let mut report = || encoder.encode(Value::Text("a"), EPOCH, &mut randomness).unwrap();
        assert_ne!(report(), report());
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused_and_draws_nothing() {
        let direct = encoder(Params::for_epsilon(1.0, None, crate::Answers::Closed(4)).unwrap(), 1);
        let unary = encoder(one_stage(Encoding::Unary, 10, 2), 1);
        let bloom = encoder(two_stages(), 1);
        let mut randomness = Randomness::from_seed([3; 32]);
        let long = "x".repeat(MAX_VALUE_BYTES + 1);
        for (encoder, value) in [
            (&direct, Value::Choice(4)),
            (&direct, Value::Choice(usize::MAX)),
            (&direct, Value::Choices(&[1])),
            (&direct, Value::Text("a")),
            (&unary, Value::Choice(10)),
            (&unary, Value::Choices(&[1, 2, 3])),
            (&unary, Value::Choices(&[1, 10])),
            (&unary, Value::Text("a")),
            (&bloom, Value::Choice(0)),
            (&bloom, Value::Text("")),
            (&bloom, Value::Text(&long)),
        ] {
            assert!(encoder.encode(value, EPOCH, &mut randomness).is_err(), "{value:?}");
        }
        assert_eq!(randomness.draw_id(), Randomness::from_seed([3; 32]).draw_id());
        let message = direct.memoize(Value::Choice(4)).unwrap_err().to_string();
        assert!(message.contains('4') && message.contains("list"), "{message}");
    }

    #[test]
    fn a_set_counts_each_choice_once_and_may_be_empty() {
        let unary = encoder(one_stage(Encoding::Unary, 10, 2), 1);
        let of = |choices| signal(&unary, Value::Choices(choices));
        assert_eq!(of(&[9, 1, 9, 1]), Ok(vec![0b10, 0b10]));
        assert_eq!(of(&[]), Ok(vec![0, 0]));
        assert_eq!(signal(&unary, Value::Subset(0b1000_0010)), Ok(vec![0b1000_0010, 0]));
        assert!(signal(&unary, Value::Subset(0b111)).is_err());
        let direct = encoder(Params::for_epsilon(2.0, None, crate::Answers::Set(3)).unwrap(), 1);
        assert_eq!(signal(&direct, Value::Subset(0b110)), Ok(vec![1 << 6]));
        assert!(signal(&direct, Value::Subset(8)).is_err());
    }

    #[test]
    fn nothing_that_holds_a_value_prints_it() {
        let encoder = encoder(two_stages(), 1);
        let value = Value::Text("secret");
        let memo = encoder.memoize(value).unwrap();
        let report = memo.report(EPOCH, &mut Randomness::from_seed([3; 32]));
        for printed in [format!("{value:?}"), format!("{memo:?}"), format!("{report:?}")] {
            assert!(!printed.contains("secret") && !printed.contains('['), "{printed}");
        }
    }
}
