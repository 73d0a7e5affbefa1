//! Refusals, as JavaScript sees them: a `DeniableError` with a code that stays and a message for people.

use deniable::{BatchError, EncodeError, EntropyError, MetricError, ParamsError};
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(raw_module = "./error.js")]
extern "C" {
    /// The class of all errors, written in JavaScript so that it is an `Error`.
    #[derive(Debug)]
    pub type DeniableError;

    #[wasm_bindgen(constructor)]
    fn new(code: &str, message: &str) -> DeniableError;
}

impl From<ParamsError> for DeniableError {
    fn from(error: ParamsError) -> Self {
        let code = match error {
            ParamsError::OutOfRange { .. } => "out-of-range",
            ParamsError::Probability(_) => "no-probability",
            ParamsError::NoInformation { .. } => "no-information",
            ParamsError::NoStage => "no-stage",
            ParamsError::Unprotected { .. } => "unprotected",
            ParamsError::NotDirect { .. } => "not-direct",
            _ => "bad-params",
        };
        Self::new(code, &error.to_string())
    }
}

impl From<MetricError> for DeniableError {
    fn from(error: MetricError) -> Self {
        Self::new("bad-metric-name", &error.to_string())
    }
}

impl From<EncodeError> for DeniableError {
    fn from(error: EncodeError) -> Self {
        let code = match error {
            EncodeError::WrongKind { .. } => "wrong-kind",
            EncodeError::UnknownChoice { .. } => "unknown-choice",
            EncodeError::TooManyChoices { .. } => "too-many-choices",
            EncodeError::TextLength { .. } => "text-length",
            _ => "bad-value",
        };
        Self::new(code, &error.to_string())
    }
}

impl From<BatchError> for DeniableError {
    fn from(error: BatchError) -> Self {
        let code = match error {
            BatchError::Empty => "empty-batch",
            BatchError::TooLarge { .. } => "batch-too-large",
            BatchError::Key => "bad-key",
            _ => "bad-batch",
        };
        Self::new(code, &error.to_string())
    }
}

impl From<EntropyError> for DeniableError {
    fn from(error: EntropyError) -> Self {
        Self::new("no-randomness", &error.to_string())
    }
}

/// An argument that JavaScript should not have passed.
pub(crate) fn bad_argument(message: &str) -> DeniableError {
    DeniableError::new("bad-argument", message)
}

/// What a function here may throw.
pub(crate) type Result<T> = core::result::Result<T, DeniableError>;
