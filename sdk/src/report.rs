//! Reports, and the batches that carry them.
//!
//! # Batch format, version 2
//! All integers are little-endian. A batch has no slack: every byte is accounted for.
//!
//! | bytes | content |
//! |---|---|
//! | 4 | `dnbl` |
//! | 1 | version, 2 |
//! | 16 | write key; 0 throughout for a collector that asks for none |
//! | 16 | batch id, random |
//! | 2 | number of sections, 1 to 65,535 |
//!
//! then each section, for one metric version, epoch, registry and choice of tags:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | length L of the metric's name, 1 to 64 |
//! | L | the name, ASCII |
//! | 4 | version of the metric |
//! | 4 | epoch |
//! | 8 | fingerprint of the parameters |
//! | 8 | hash of the registry; 0 throughout for reports that were made without one |
//! | 1 | number T of public tags, 0 to 16; 0 without a registry |
//! | 2 · T | the tags: each one's place in its list of labels, in the order of the registry's tags |
//! | 2 | k, the bits of a report, 1 to 4096 |
//! | 4 | number n of reports, at least 1 |
//! | n · (2 + ⌈k/8⌉) | the reports: cohort, then the bits, bit i in place i mod 8 of byte ⌊i/8⌋; unused places are 0 |
//!
//! Reports of one metric version thus have one length whatever their value. Sections are sorted, and the reports
//! within one too, so that a batch does not say in which order they were made. Key and id stand in the body, because
//! a beacon of a page can set no header.

mod batch;
mod error;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use bitvec::order::Lsb0;
use bitvec::slice::BitSlice;
use smallvec::SmallVec;

pub use self::batch::{Batch, Section, write_batch};
pub use self::error::BatchError;
use crate::binary::{Binary, Reader, Writer, binary};
use crate::metric::{Epoch, Stream};
use crate::registry::RegistryHash;

/// The most bytes in a batch.
pub const MAX_BATCH_BYTES: usize = 1 << 20;
/// The most public tags beside a report. A registry has no more, and a device shows few bits in the clear.
pub const MAX_TAGS: usize = 16;

/// The bytes that hold a report's bits; in place for the usual widths, which saves a call to the allocator.
pub(crate) type BitBytes = SmallVec<[u8; 16]>;

/// A randomized answer: k bits from one cohort. Only an [`Encoder`](crate::Encoder) makes one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Report {
    stream: Arc<Stream>,
    epoch: Epoch,
    registry: RegistryHash,
    tags: Vec<u16>,
    cohort: u16,
    bits: BitBytes,
}

impl Report {
    pub(crate) fn new(stream: Arc<Stream>, epoch: Epoch, cohort: u16, bits: BitBytes) -> Self {
        Self { stream, epoch, registry: RegistryHash::NONE, tags: Vec::new(), cohort, bits }
    }

    /// Attaches what is public beside the answer: the registry that asked, and the device's tags as places in their
    /// lists, in the order of [`Registry::tags`](crate::registry::Registry::tags).
    ///
    /// # Errors
    /// [`BatchError::Tags`] for more than [`MAX_TAGS`] tags, or tags without a registry, and [`BatchError::TagPlace`] for
    /// a place that no list has.
    ///
    /// # Privacy
    /// Tags are shown as they are. A registry bounds how many bits they say together.
    pub fn published(self, registry: RegistryHash, tags: &[usize]) -> Result<Self, BatchError> {
        error::check_tags(registry, tags.len())?;
        let mut places = Vec::with_capacity(tags.len());
        for &place in tags {
            places.push(u16::try_from(place).map_err(|_| BatchError::TagPlace { place })?);
        }
        Ok(Self { registry, tags: places, ..self })
    }

    /// What this report answers.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The period it belongs to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The registry that asked; [`RegistryHash::NONE`] if none did.
    pub fn registry(&self) -> RegistryHash {
        self.registry
    }

    /// The public tags, as places in their lists.
    pub fn tags(&self) -> &[u16] {
        &self.tags
    }

    /// Says whether both lie in one section of a batch, where the second adds no bytes but its own.
    pub fn shares_section(&self, other: &Self) -> bool {
        self.epoch == other.epoch
            && self.registry == other.registry
            && self.tags == other.tags
            && self.stream == other.stream
    }

    /// The cohort, from 0 to m − 1.
    pub fn cohort(&self) -> u16 {
        self.cohort
    }

    /// The k bits.
    pub fn bits(&self) -> &BitSlice<u8, Lsb0> {
        &BitSlice::from_slice(&self.bits)[..self.stream.bits()]
    }

    /// The bytes that hold the k bits, as they stand in a batch.
    pub fn bytes(&self) -> &[u8] {
        &self.bits
    }
}

/// A report that a device keeps until it is counted: what it answers, then the answer.
impl Binary for Report {
    fn write(&self, to: &mut Writer<'_>) {
        self.stream.write(to);
        self.epoch.write(to);
        self.registry.0.write(to);
        self.tags.write(to);
        self.cohort.write(to);
        to.counted(&self.bits);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let report = Self {
            stream: Arc::new(Binary::read(from)),
            epoch: Binary::read(from),
            registry: RegistryHash(Binary::read(from)),
            tags: Binary::read(from),
            cohort: Binary::read(from),
            bits: BitBytes::from_slice(from.counted()),
        };
        let tagged = error::check_tags(report.registry, report.tags.len()).is_ok();
        if !tagged || report.bits.len() != report.stream.bit_bytes() {
            from.fail();
        }
        report
    }
}

impl fmt::Debug for Report {
    /// Says what it answers, and nothing of the answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Report({} version {}, epoch {})", self.stream.metric(), self.stream.version(), self.epoch)
    }
}

/// The name of a batch: 16 random bytes, so that a collector counts it once however often it is sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub [u8; 16]);

binary!(struct BatchId { 0 });

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchId({self})")
    }
}

/// Says for which project of a collector a batch is: 16 bytes that the collector's operator gives to every copy of an
/// application. It is no secret, as every copy holds it; the operator can revoke it.
///
/// As text it has 32 hexadecimal digits. It is not printed by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteKey(pub [u8; 16]);

impl WriteKey {
    /// No key, for a collector that asks for none.
    pub const NONE: Self = Self([0; 16]);
}

impl FromStr for WriteKey {
    type Err = BatchError;

    fn from_str(text: &str) -> Result<Self, BatchError> {
        let mut key = [0; 16];
        if text.len() != 2 * key.len() {
            return Err(BatchError::Key);
        }
        for (place, digit) in text.bytes().enumerate() {
            let digit = char::from(digit).to_digit(16).ok_or(BatchError::Key)?;
            key[place / 2] = key[place / 2] << 4 | digit as u8;
        }
        Ok(Self(key))
    }
}

impl fmt::Display for WriteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for WriteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteKey(..)")
    }
}
