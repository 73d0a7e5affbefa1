//! What a decode is asked to do.

use super::DecodeError;

/// How the candidates that are fitted together are chosen.
///
/// Whatever the choice, every candidate gets the estimate that it has, or would have, in the weighted
/// least-squares fit of the chosen ones and itself, so that no figure is chosen by its own noise. How the methods
/// compare was measured; `ACCURACY.md` of this crate has the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// [`Method::All`] where there are twice as many equations as candidates and at most 600 of these, else
    /// [`Method::Screen`].
    #[default]
    Auto,
    /// All candidates at once. Unbiased whatever the truth is, but there must be more equations than candidates.
    All,
    /// Rounds that let in what stands out from the noise and put out what no longer does. The fastest for many
    /// candidates, and its intervals hold even where strings are as many as equations.
    Screen,
    /// Those with a positive share in a non-negative least-squares fit. Many of them are noise.
    NonNegative,
    /// Those on the LASSO path where chance alone would begin to let in others. Chooses much as [`Method::Screen`] does,
    /// more slowly.
    Lasso,
}

/// What "detected" means over many candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Correction {
    /// The chance of any false detection stays below the level: p-values times the number of candidates.
    #[default]
    Bonferroni,
    /// The same chance, by steps (Holm 1979): never less powerful than Bonferroni.
    Holm,
    /// The expected part of false detections among all stays below the level (Benjamini and Hochberg 1995).
    BenjaminiHochberg,
}

/// What a decode is asked to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    pub(super) alpha: f64,
    pub(super) correction: Correction,
    pub(super) method: Method,
    pub(super) joint: bool,
}

impl Options {
    /// Options with the significance level `alpha`, which [`Correction`] gives a meaning.
    ///
    /// # Errors
    /// [`DecodeError::Alpha`] unless `alpha` lies strictly between 0 and 1.
    pub fn new(alpha: f64) -> Result<Self, DecodeError> {
        let valid = alpha > 0.0 && alpha < 1.0;
        if valid { Ok(Self { alpha, ..Self::default() }) } else { Err(DecodeError::Alpha { value: alpha }) }
    }

    /// These options with another correction.
    #[must_use]
    pub fn correction(self, correction: Correction) -> Self {
        Self { correction, ..self }
    }

    /// These options with the covariances of the detected figures, or without.
    #[must_use]
    pub fn joint(self, joint: bool) -> Self {
        Self { joint, ..self }
    }

    /// These options with another method.
    #[must_use]
    pub fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }
}

impl Default for Options {
    /// A level of 5 %, Bonferroni's correction, the method by size, no covariances.
    fn default() -> Self {
        Self { alpha: 0.05, correction: Correction::default(), method: Method::default(), joint: false }
    }
}
