//! What a report answers: a metric, its version, the parameters it was made under, and an epoch.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::binary::{Binary, Reader, Writer, binary};
use crate::params::{Encoding, Fingerprint, MAX_BITS, Params};

/// The most bytes in the name of a metric.
pub const MAX_METRIC_BYTES: usize = 64;

/// The name of a metric: a lower-case letter, then lower-case letters, digits, `_`, `-` or `.`, at most 64 in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct MetricId(Box<str>);

impl MetricId {
    /// Checks a name.
    ///
    /// # Errors
    /// [`MetricError::BadName`], which says what is allowed.
    pub fn new(name: &str) -> Result<Self, MetricError> {
        let good = name.len() <= MAX_METRIC_BYTES
            && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
            && name.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.'));
        if good { Ok(Self(name.into())) } else { Err(MetricError::BadName { name: name.into() }) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MetricId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for MetricId {
    type Error = MetricError;

    fn try_from(name: String) -> Result<Self, MetricError> {
        Self::new(&name)
    }
}

impl Binary for MetricId {
    fn write(&self, to: &mut Writer<'_>) {
        to.counted(self.as_str().as_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let id = Self::new(from.text()).ok();
        from.or_fail(id, Self(Box::default()))
    }
}

/// A name that no metric can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// The name breaks the rules.
    #[error(
        "{name:?} is no metric name: it must start with a lower-case letter, go on with lower-case letters, digits, '_', '-' or '.', and have at most {MAX_METRIC_BYTES} bytes"
    )]
    BadName {
        /// What was given.
        name: Box<str>,
    },
}

/// The period that a report belongs to: the day on which it began, counted from 1970-01-01 UTC.
///
/// A report says no finer time than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

binary!(struct Epoch { 0 });

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A stream of reports that may be counted together, epoch by epoch: one metric in one version.
///
/// A change of a metric's encoding is a new version; the fingerprint notices where that was forgotten.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    metric: MetricId,
    version: u32,
    fingerprint: Fingerprint,
    bits: u16,
}

impl Binary for Stream {
    fn write(&self, to: &mut Writer<'_>) {
        self.metric.write(to);
        self.version.write(to);
        self.fingerprint.0.write(to);
        self.bits.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let (metric, version) = Binary::read(from);
        let (fingerprint, bits) = (Fingerprint(Binary::read(from)), Binary::read(from));
        if !(1..=MAX_BITS).contains(&usize::from(bits)) {
            from.fail();
        }
        Self { metric, version, fingerprint, bits }
    }
}

impl Stream {
    /// Names the reports of a metric version made under `params`.
    pub fn new(metric: MetricId, version: u32, params: &Params) -> Self {
        Self { metric, version, fingerprint: params.fingerprint(), bits: params.bits() as u16 }
    }

    pub(crate) fn from_wire(metric: MetricId, version: u32, fingerprint: Fingerprint, bits: u16) -> Self {
        Self { metric, version, fingerprint, bits }
    }

    /// The metric.
    pub fn metric(&self) -> &MetricId {
        &self.metric
    }

    /// The version of its definition.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The fingerprint of its parameters.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// k, the bits of each report.
    pub fn bits(&self) -> usize {
        usize::from(self.bits)
    }

    /// The bytes that hold the bits of one report.
    pub fn bit_bytes(&self) -> usize {
        self.bits().div_ceil(8)
    }
}

/// Says whether `bits` could be a report of one of `params.cohorts()` cohorts under `params`: the right length, no
/// bit beyond k, and for the direct encoding exactly one bit set.
pub fn fits(params: &Params, cohort: u16, bits: &[u8]) -> bool {
    let k = params.bits();
    let beyond = |last: &u8| !k.is_multiple_of(8) && last >> (k % 8) != 0;
    usize::from(cohort) < params.cohorts()
        && bits.len() == k.div_ceil(8)
        && !bits.last().is_some_and(beyond)
        && (params.encoding() != Encoding::Direct || bits.iter().map(|b| b.count_ones()).sum::<u32>() == 1)
}
