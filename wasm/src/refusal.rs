//! Refusals: a code, and the details that the package's TypeScript needs to say it in the words of the sdk.

use deniable::{BatchError, EncodeError, MetricError, ParamsError, ProbabilityError};

use crate::wire::Answer;

/// Why there is no answer, as a number. `wasm/ts/encoder.ts` and `wasm/ts/core.ts` have the same list, with the codes and words that
/// a page sees.
#[derive(Clone, Copy)]
pub(crate) enum Refusal {
    OutOfRange = 1,
    NoProbability,
    NoInformation,
    NoStage,
    Unprotected,
    NotDirect,
    BadParams,
    BadMetricName,
    WrongKind,
    UnknownChoice,
    TooManyChoices,
    TextLength,
    BadValue,
    EmptyBatch,
    BatchTooLarge,
    BadKey,
    BadBatch,
    BadCatalog,
    UnreadableState,
    NewerState,
}

/// An error of the sdk, which can tell its code and details.
pub(crate) trait Refuse {
    fn refuse(self, answer: &mut Answer<'_>);
}

fn tell<const N: usize>(answer: &mut Answer<'_>, code: Refusal, details: [f64; N]) {
    answer.refuse(code);
    details.into_iter().for_each(|detail| answer.number(detail));
}

impl Refuse for ParamsError {
    fn refuse(self, answer: &mut Answer<'_>) {
        match self {
            Self::OutOfRange { what, value, low, high } => {
                answer.refuse(Refusal::OutOfRange);
                answer.text(what);
                [value, low, high].into_iter().for_each(|number| answer.number(number as f64));
            }
            Self::Probability(ProbabilityError::OutOfRange { value }) => {
                tell(answer, Refusal::NoProbability, [value]);
            }
            Self::NoInformation { zero, one } => {
                tell(answer, Refusal::NoInformation, [zero.as_f64(), one.as_f64()]);
            }
            Self::NoStage => answer.refuse(Refusal::NoStage),
            Self::Unprotected { what } => {
                answer.refuse(Refusal::Unprotected);
                answer.text(what);
            }
            Self::NotDirect { zero, one, bits } => {
                tell(answer, Refusal::NotDirect, [zero.as_f64(), one.as_f64(), bits as f64]);
            }
            _ => answer.refuse(Refusal::BadParams),
        }
    }
}

impl Refuse for MetricError {
    fn refuse(self, answer: &mut Answer<'_>) {
        answer.refuse(Refusal::BadMetricName);
        if let Self::BadName { name } = self {
            answer.text(&name);
        }
    }
}

impl Refuse for EncodeError {
    fn refuse(self, answer: &mut Answer<'_>) {
        match self {
            Self::WrongKind { encoding, kind } => {
                answer.refuse(Refusal::WrongKind);
                answer.whole(encoding as u32);
                answer.text(kind);
            }
            Self::UnknownChoice { choice, choices } => {
                tell(answer, Refusal::UnknownChoice, [choice as f64, choices as f64]);
            }
            Self::TooManyChoices { found, limit } => {
                tell(answer, Refusal::TooManyChoices, [found as f64, limit as f64]);
            }
            Self::TextLength { size } => tell(answer, Refusal::TextLength, [size as f64]),
            _ => answer.refuse(Refusal::BadValue),
        }
    }
}

impl Refuse for BatchError {
    fn refuse(self, answer: &mut Answer<'_>) {
        match self {
            Self::Empty => answer.refuse(Refusal::EmptyBatch),
            Self::TooLarge { size } => tell(answer, Refusal::BatchTooLarge, [size as f64]),
            Self::Key => answer.refuse(Refusal::BadKey),
            _ => answer.refuse(Refusal::BadBatch),
        }
    }
}
