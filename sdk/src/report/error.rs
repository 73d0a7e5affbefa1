//! What a body of a batch can have wrong.

use super::batch::FORMAT;
use super::{MAX_BATCH_BYTES, MAX_TAGS};
use crate::metric::MetricError;
use crate::params::MAX_BITS;
use crate::registry::RegistryHash;

/// Says whether reports of `registry` may have so many tags beside them.
pub(super) fn check_tags(registry: RegistryHash, count: usize) -> Result<(), BatchError> {
    let limit = if registry == RegistryHash::NONE { 0 } else { MAX_TAGS };
    if count > limit { Err(BatchError::Tags { count, limit }) } else { Ok(()) }
}

/// A body that is no batch, or reports that make none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The body does not begin like a batch.
    #[error("this is no batch: it does not begin with \"dnbl\"")]
    NotABatch,
    /// A batch of another format.
    #[error("this batch has format {found}, but only format {FORMAT} is known here; update the older side")]
    Format {
        /// Its format.
        found: u8,
    },
    /// The body ends too early.
    #[error("the batch is cut short: it needs at least {needed} bytes but has {found}")]
    Truncated {
        /// The bytes needed to go on.
        needed: usize,
        /// The bytes there are.
        found: usize,
    },
    /// The body goes on after its end.
    #[error("the batch ends after {expected} bytes, but the body has {found}")]
    Trailing {
        /// The bytes of the batch.
        expected: usize,
        /// The bytes of the body.
        found: usize,
    },
    /// More than a batch may hold.
    #[error("a batch of {size} bytes is over the limit of {MAX_BATCH_BYTES}; split it")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// No reports.
    #[error("a batch must hold at least one section and each section at least one report")]
    Empty,
    /// A name that no metric has.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// A text that is no write key.
    #[error(
        "a write key has 32 hexadecimal digits: copy it whole from where the collector's operator gave it"
    )]
    Key,
    /// A width that no report has.
    #[error("reports of {bits} bits cannot be: the limit is 1 to {MAX_BITS}")]
    Bits {
        /// What was found.
        bits: u16,
    },
    /// More tags than there may be.
    #[error(
        "reports with {count} tags beside them cannot be: the limit is {limit} ({MAX_TAGS} with a registry that says what they are, none without)"
    )]
    Tags {
        /// Their number.
        count: usize,
        /// The most there may be.
        limit: usize,
    },
    /// A tag that is the place of no label.
    #[error("a tag of place {place} cannot be: the limit is 65535, and a registry's lists are shorter")]
    TagPlace {
        /// The place.
        place: usize,
    },
}
