//! Probabilities as exact multiples of 2⁻³².
//!
//! The client that flips the coins, the decoder that undoes them and the auditor that checks the privacy
//! loss must mean the same number. A [`Probability`] is therefore an integer count of 2⁻³²: the sampler
//! compares 32 random bits with it, and nothing is lost between its description and its use.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::binary::{Binary, Reader, Writer};

/// A probability in `[0, 1]`, an exact multiple of 2⁻³².
///
/// In serialized form it is a number; every multiple of 2⁻³² is exact as an `f64`, so a round trip keeps it.
///
/// # Precision
/// A number that is not a multiple is rounded to the nearest one, an error of at most 2⁻³³.
///
/// ```
/// use deniable::Probability;
/// let third = Probability::nearest(1.0 / 3.0)?;
/// assert_eq!(third.numerator(), 1_431_655_765);
/// # Ok::<(), deniable::ProbabilityError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probability(u64);

/// The number of steps between 0 and 1.
const STEPS: u64 = 1 << 32;

impl Probability {
    /// Never.
    pub const ZERO: Self = Self(0);
    /// A fair coin.
    pub const HALF: Self = Self(STEPS / 2);
    /// Always.
    pub const ONE: Self = Self(STEPS);

    /// Makes the probability `numerator · 2⁻³²`.
    ///
    /// # Errors
    /// [`ProbabilityError::OutOfRange`] if `numerator` exceeds 2³².
    pub const fn from_numerator(numerator: u64) -> Result<Self, ProbabilityError> {
        if numerator <= STEPS {
            Ok(Self(numerator))
        } else {
            Err(ProbabilityError::OutOfRange { value: numerator as f64 / STEPS as f64 })
        }
    }

    /// Makes the multiple of 2⁻³² nearest to `value`.
    ///
    /// # Errors
    /// [`ProbabilityError::OutOfRange`] if `value` is outside `[0, 1]` or not a number.
    pub fn nearest(value: f64) -> Result<Self, ProbabilityError> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(libm::round(value * STEPS as f64) as u64))
        } else {
            Err(ProbabilityError::OutOfRange { value })
        }
    }

    /// The count of 2⁻³², from 0 to 2³² inclusive.
    pub const fn numerator(self) -> u64 {
        self.0
    }

    /// One minus this probability, exactly.
    pub const fn complement(self) -> Self {
        Self(STEPS - self.0)
    }

    /// This probability as a float, exactly.
    pub const fn as_f64(self) -> f64 {
        self.0 as f64 / STEPS as f64
    }
}

impl fmt::Debug for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Probability({})", self.as_f64())
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_f64(), f)
    }
}

impl Binary for Probability {
    fn write(&self, to: &mut Writer<'_>) {
        to.number(self.0);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        Self(from.up_to(STEPS))
    }
}

impl Serialize for Probability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for Probability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::nearest(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A number that is no probability.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbabilityError {
    /// The number lies outside `[0, 1]`.
    #[error("{value} is not a probability: it must lie between 0 and 1")]
    OutOfRange {
        /// What was given.
        value: f64,
    },
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn both_ends_and_the_smallest_step_are_exact() {
        let step = 1.0 / 4_294_967_296.0;
        for (value, numerator) in
            [(0.0, 0), (step, 1), (0.5, STEPS / 2), (1.0 - step, STEPS - 1), (1.0, STEPS), (step * 0.4, 0)]
        {
            assert_eq!(Probability::nearest(value).unwrap().numerator(), numerator, "{value}");
        }
    }

    #[test]
    fn what_is_no_probability_is_refused_with_its_value() {
        for value in [-1e-9, 1.0 + 1e-9, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Probability::nearest(value).is_err(), "{value}");
        }
        assert!(Probability::from_numerator(STEPS + 1).is_err());
        assert!(Probability::nearest(1.5).unwrap_err().to_string().contains("1.5"));
    }

    #[test]
    fn serialized_and_read_back_it_is_the_same() {
        for numerator in [0, 1, 1_431_655_765, STEPS - 1, STEPS] {
            let p = Probability::from_numerator(numerator).unwrap();
            let text = serde_json::to_string(&p).unwrap();
            assert_eq!(serde_json::from_str::<Probability>(&text).unwrap(), p);
        }
        assert!(serde_json::from_str::<Probability>("1.01").is_err());
    }
}
