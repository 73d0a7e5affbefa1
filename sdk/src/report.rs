//! Reports, and the batches that carry them.
//!
//! # Batch format, version 1
//! All integers are little-endian. A batch has no slack: every byte is accounted for.
//!
//! | bytes | content |
//! |---|---|
//! | 4 | `dnbl` |
//! | 1 | version, 1 |
//! | 16 | write key; 0 throughout for a collector that asks for none |
//! | 16 | batch id, random |
//! | 2 | number of sections, 1 to 65,535 |
//!
//! then each section, for one metric version and epoch:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | length L of the metric's name, 1 to 64 |
//! | L | the name, ASCII |
//! | 4 | version of the metric |
//! | 4 | epoch |
//! | 8 | fingerprint of the parameters |
//! | 2 | k, the bits of a report, 1 to 4096 |
//! | 4 | number n of reports, at least 1 |
//! | n · (2 + ⌈k/8⌉) | the reports: cohort, then the bits, bit i in place i mod 8 of byte ⌊i/8⌋; unused places are 0 |
//!
//! Reports of one metric version thus have one length whatever their value. Sections are sorted, and the reports
//! within one too, so that a batch does not say in which order they were made. Key and id stand in the body, because
//! a beacon of a page can set no header.

use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use bitvec::order::Lsb0;
use bitvec::slice::BitSlice;
use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};
use smallvec::SmallVec;

use crate::metric::{Epoch, MetricError, MetricId, Stream};
use crate::params::{Fingerprint, MAX_BITS};

/// The most bytes in a batch.
pub const MAX_BATCH_BYTES: usize = 1 << 20;

const MAGIC: [u8; 4] = *b"dnbl";
const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 4 + 1 + 16 + 16 + 2;

/// The bytes that hold a report's bits; in place for the usual widths, which saves a call to the allocator.
pub(crate) type BitBytes = SmallVec<[u8; 16]>;

/// A randomized answer: k bits from one cohort. Only an [`Encoder`](crate::Encoder) makes one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Report {
    stream: Arc<Stream>,
    epoch: Epoch,
    cohort: u16,
    bits: BitBytes,
}

impl Report {
    pub(crate) fn new(stream: Arc<Stream>, epoch: Epoch, cohort: u16, bits: BitBytes) -> Self {
        Self { stream, epoch, cohort, bits }
    }

    /// What this report answers.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The period it belongs to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
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

impl fmt::Debug for Report {
    /// Says what it answers, and nothing of the answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Report({} version {}, epoch {})", self.stream.metric(), self.stream.version(), self.epoch)
    }
}

/// The name of a batch: 16 random bytes, so that a collector counts it once however often it is sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub [u8; 16]);

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
        if text.len() != 2 * key.len() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(BatchError::Key);
        }
        let value = |digit: u8| (digit as char).to_digit(16).unwrap_or_default() as u8;
        for (byte, [high, low]) in key.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
            *byte = value(*high) << 4 | value(*low);
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

/// Writes reports as one batch, sorted.
///
/// # Errors
/// [`BatchError::Empty`] without reports, and [`BatchError::TooLarge`] if they do not fit into
/// [`MAX_BATCH_BYTES`]; send them in several batches then.
pub fn write_batch(key: WriteKey, id: BatchId, reports: Vec<Report>) -> Result<Vec<u8>, BatchError> {
    // A page downloads what sorts here, and a heap takes a tenth of what a slice's sort does.
    let reports = BinaryHeap::from(reports).into_sorted_vec();
    let sections = || reports.chunk_by(|a, b| a.epoch == b.epoch && a.stream == b.stream);
    let section_count = sections().count();
    if section_count == 0 {
        return Err(BatchError::Empty);
    }
    let size = HEADER_BYTES + sections().map(section_bytes).sum::<usize>();
    if size > MAX_BATCH_BYTES {
        return Err(BatchError::TooLarge { size });
    }
    let mut out = Vec::with_capacity(size);
    out.extend_from_slice(&MAGIC);
    out.push(FORMAT);
    out.extend_from_slice(&key.0);
    out.extend_from_slice(&id.0);
    // A section takes more than 16 bytes, so a batch within its size limit has fewer than 65,536.
    out.extend_from_slice(&(section_count as u16).to_le_bytes());
    for section in sections() {
        write_section(section, &mut out);
    }
    Ok(out)
}

fn section_bytes(reports: &[Report]) -> usize {
    let stream = reports[0].stream();
    23 + stream.metric().as_str().len() + reports.len() * (2 + stream.bit_bytes())
}

fn write_section(reports: &[Report], out: &mut Vec<u8>) {
    let stream = reports[0].stream();
    let metric = stream.metric().as_str();
    out.push(metric.len() as u8);
    out.extend_from_slice(metric.as_bytes());
    out.extend_from_slice(&stream.version().to_le_bytes());
    out.extend_from_slice(&reports[0].epoch.0.to_le_bytes());
    out.extend_from_slice(&stream.fingerprint().0);
    out.extend_from_slice(&(stream.bits() as u16).to_le_bytes());
    out.extend_from_slice(&(reports.len() as u32).to_le_bytes());
    for report in reports {
        out.extend_from_slice(&report.cohort.to_le_bytes());
        out.extend_from_slice(&report.bits);
    }
}

/// A batch as it was received: well-formed to the last byte, borrowed from the body it came in.
///
/// Serialized it is a view for people, with each report's bits as a string, bit 0 first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    key: WriteKey,
    id: BatchId,
    sections: Vec<Section<'a>>,
}

impl<'a> Batch<'a> {
    /// Reads a batch.
    ///
    /// # Errors
    /// A [`BatchError`] that says where the body departs from the format. Nothing of such a body is used.
    pub fn parse(body: &'a [u8]) -> Result<Self, BatchError> {
        if body.len() > MAX_BATCH_BYTES {
            return Err(BatchError::TooLarge { size: body.len() });
        }
        let mut input = Input { body, at: 0 };
        if input.take(4)? != MAGIC {
            return Err(BatchError::NotABatch);
        }
        let format = input.array::<1>()?[0];
        if format != FORMAT {
            return Err(BatchError::Format { found: format });
        }
        let key = WriteKey(input.array()?);
        let id = BatchId(input.array()?);
        let count = u16::from_le_bytes(input.array()?);
        if count == 0 {
            return Err(BatchError::Empty);
        }
        let sections = (0..count).map(|_| Section::parse(&mut input)).collect::<Result<_, _>>()?;
        if input.at < body.len() {
            return Err(BatchError::Trailing { expected: input.at, found: body.len() });
        }
        Ok(Self { key, id, sections })
    }

    /// The key it was sent under.
    pub fn key(&self) -> WriteKey {
        self.key
    }

    /// The name of the batch.
    pub fn id(&self) -> BatchId {
        self.id
    }

    /// The reports, by metric version and epoch.
    pub fn sections(&self) -> &[Section<'a>] {
        &self.sections
    }

    /// The number of reports in all sections.
    pub fn report_count(&self) -> usize {
        self.sections.iter().map(Section::len).sum()
    }
}

/// The reports of one metric version and epoch in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    stream: Stream,
    epoch: Epoch,
    reports: &'a [u8],
}

impl<'a> Section<'a> {
    fn parse(input: &mut Input<'a>) -> Result<Self, BatchError> {
        let length = usize::from(input.array::<1>()?[0]);
        let name = core::str::from_utf8(input.take(length)?).unwrap_or("\u{fffd}");
        let metric = MetricId::new(name)?;
        let version = u32::from_le_bytes(input.array()?);
        let epoch = Epoch(u32::from_le_bytes(input.array()?));
        let fingerprint = Fingerprint(input.array()?);
        let bits = u16::from_le_bytes(input.array()?);
        if !(1..=MAX_BITS).contains(&usize::from(bits)) {
            return Err(BatchError::Bits { bits });
        }
        let stream = Stream::from_wire(metric, version, fingerprint, bits);
        let count = u32::from_le_bytes(input.array()?) as usize;
        if count == 0 {
            return Err(BatchError::Empty);
        }
        let reports = input.take(count.saturating_mul(2 + stream.bit_bytes()))?;
        Ok(Self { stream, epoch, reports })
    }

    /// What these reports answer.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The period they belong to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The number of reports, at least 1.
    pub fn len(&self) -> usize {
        self.reports.len() / (2 + self.stream.bit_bytes())
    }

    /// Says whether there are no reports; a section that was parsed has some.
    pub fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    /// The cohort and the bytes of the bits of each report. Bits beyond k may be set in what a stranger
    /// sent: [`fits`](crate::fits) tells.
    pub fn reports(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        self.reports.chunks_exact(2 + self.stream.bit_bytes()).map(|record| {
            let (cohort, bits) = record.split_at(2);
            (u16::from_le_bytes([cohort[0], cohort[1]]), bits)
        })
    }
}

/// The part of a body that is still to be read.
struct Input<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BatchError> {
        let end = self.at.saturating_add(count);
        let bytes = self
            .body
            .get(self.at..end)
            .ok_or(BatchError::Truncated { needed: end, found: self.body.len() })?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BatchError> {
        Ok(self.take(N)?.try_into().expect("N bytes were taken"))
    }
}

impl Serialize for Batch<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut view = serializer.serialize_struct("Batch", 3)?;
        view.serialize_field("key", &format_args!("{}", self.key))?;
        view.serialize_field("id", &format_args!("{}", self.id))?;
        view.serialize_field("sections", &self.sections)?;
        view.end()
    }
}

impl Serialize for Section<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut view = serializer.serialize_struct("Section", 6)?;
        view.serialize_field("metric", self.stream.metric())?;
        view.serialize_field("version", &self.stream.version())?;
        view.serialize_field("epoch", &self.epoch)?;
        view.serialize_field("fingerprint", &format_args!("{}", self.stream.fingerprint()))?;
        view.serialize_field("bits", &self.stream.bits())?;
        view.serialize_field("reports", &ReportsView(self))?;
        view.end()
    }
}

struct ReportsView<'a>(&'a Section<'a>);

impl Serialize for ReportsView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for (cohort, bits) in self.0.reports() {
            list.serialize_element(&ReportView { cohort, bits, k: self.0.stream.bits() })?;
        }
        list.end()
    }
}

struct ReportView<'a> {
    cohort: u16,
    bits: &'a [u8],
    k: usize,
}

impl Serialize for ReportView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bits: alloc::string::String =
            (0..self.k).map(|i| if self.bits[i / 8] >> (i % 8) & 1 == 1 { '1' } else { '0' }).collect();
        let mut view = serializer.serialize_struct("Report", 2)?;
        view.serialize_field("cohort", &self.cohort)?;
        view.serialize_field("bits", &bits)?;
        view.end()
    }
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
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::{vec, vec::Vec};

    use super::*;
    use crate::{DeviceSecret, Encoder, Params, Randomness, Value};

    fn reports(metric: &str, bits: usize, epoch: u32, count: u8) -> Vec<Report> {
        let params = Params::rappor(bits, 2, 8, 0.5, 0.25, 0.75).unwrap();
        let mut randomness = Randomness::from_seed([5; 32]);
        let report = |i| {
            let secret = DeviceSecret::from_bytes([i; 32]);
            let encoder = Encoder::new(MetricId::new(metric).unwrap(), 3, params, &secret);
            encoder.encode(Value::Text("v"), Epoch(epoch), &mut randomness).unwrap()
        };
        (0..count).map(report).collect()
    }

    fn mixed() -> Vec<Report> {
        [reports("a", 12, 7, 3), reports("b", 64, 7, 2), reports("a", 12, 8, 1)].concat()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let body = write_batch(WriteKey([7; 16]), BatchId([9; 16]), mixed()).unwrap();
        let batch = Batch::parse(&body).unwrap();
        assert_eq!((batch.key(), batch.id(), batch.report_count()), (WriteKey([7; 16]), BatchId([9; 16]), 6));
        let mut found = Vec::new();
        for section in batch.sections() {
            assert_eq!(section.stream().version(), 3);
            for (cohort, bits) in section.reports() {
                found.push((section.stream().metric().to_string(), section.epoch(), cohort, bits.to_vec()));
            }
        }
        let mut sent: Vec<_> = mixed()
            .iter()
            .map(|r| (r.stream().metric().to_string(), r.epoch(), r.cohort(), r.bits.to_vec()))
            .collect();
        sent.sort();
        found.sort();
        assert_eq!(found, sent);
    }

    #[test]
    fn a_write_key_is_read_from_its_text_alone() {
        let key = WriteKey(core::array::from_fn(|i| (17 * i) as u8));
        let text = key.to_string();
        assert_eq!(text, "00112233445566778899aabbccddeeff");
        assert_eq!(text.parse(), Ok(key));
        assert_eq!(text.to_uppercase().parse(), Ok(key));
        let longer = text.clone() + "0";
        for bad in
            ["", &text[1..], &longer, "+0112233445566778899aabbccddeeff", "é112233445566778899aabbccddeef"]
        {
            assert_eq!(bad.parse::<WriteKey>(), Err(BatchError::Key), "{bad}");
        }
        assert_eq!(std::format!("{key:?}"), "WriteKey(..)");
    }

    #[test]
    fn a_batch_does_not_tell_the_order_of_its_reports() {
        let mut reversed = mixed();
        reversed.reverse();
        let id = BatchId([9; 16]);
        assert_eq!(write_batch(WriteKey::NONE, id, mixed()), write_batch(WriteKey::NONE, id, reversed));
    }

    #[test]
    fn a_batch_cut_anywhere_is_refused() {
        let body = write_batch(WriteKey::NONE, BatchId([9; 16]), mixed()).unwrap();
        for end in 0..body.len() {
            assert!(matches!(Batch::parse(&body[..end]), Err(BatchError::Truncated { .. })), "{end}");
        }
        let longer = [&body[..], &[0]].concat();
        let (expected, found) = (body.len(), longer.len());
        assert_eq!(Batch::parse(&longer), Err(BatchError::Trailing { expected, found }));
    }

    #[test]
    fn what_is_no_batch_is_refused_by_name() {
        let body = write_batch(WriteKey::NONE, BatchId([9; 16]), reports("a", 12, 7, 1)).unwrap();
        let with = |at: usize, bytes: &[u8]| {
            let mut body = body.clone();
            body[at..at + bytes.len()].copy_from_slice(bytes);
            Batch::parse(&body).unwrap_err()
        };
        assert_eq!(with(0, b"x"), BatchError::NotABatch);
        assert_eq!(with(4, &[2]), BatchError::Format { found: 2 });
        assert_eq!(with(37, &[0, 0]), BatchError::Empty);
        assert!(matches!(with(40, b"A"), BatchError::Metric(_)));
        assert!(matches!(with(40, &[0xFF]), BatchError::Metric(_)));
        // The section: name at 40, version at 41, epoch at 45, fingerprint at 49, k at 57, count at 59.
        assert_eq!(with(57, &[0, 0]), BatchError::Bits { bits: 0 });
        assert_eq!(with(57, &[1, 16]), BatchError::Bits { bits: 4097 });
        assert_eq!(with(59, &[0; 4]), BatchError::Empty);
        assert!(matches!(with(59, &[0xFF; 4]), BatchError::Truncated { .. }));
    }

    #[test]
    fn a_batch_over_the_limit_is_neither_written_nor_read() {
        assert_eq!(write_batch(WriteKey::NONE, BatchId([0; 16]), Vec::new()), Err(BatchError::Empty));
        let report = reports("a", 4096, 7, 1).remove(0);
        let many = vec![report; MAX_BATCH_BYTES / 512];
        assert!(matches!(
            write_batch(WriteKey::NONE, BatchId([0; 16]), many),
            Err(BatchError::TooLarge { .. })
        ));
        let size = MAX_BATCH_BYTES + 1;
        assert_eq!(Batch::parse(&vec![0; size]), Err(BatchError::TooLarge { size }));
    }

    #[test]
    fn the_view_for_people_shows_bit_0_first() {
        let report = reports("a", 12, 7, 1).remove(0);
        let bits: std::string::String =
            report.bits().iter().map(|bit| if *bit { '1' } else { '0' }).collect();
        let cohort = report.cohort();
        let body = write_batch(WriteKey::NONE, BatchId([9; 16]), vec![report]).unwrap();
        let view = serde_json::to_value(Batch::parse(&body).unwrap()).unwrap();
        assert_eq!(view["key"], "00".repeat(16));
        assert_eq!(view["id"], "09".repeat(16));
        assert_eq!(view["sections"][0]["metric"], "a");
        assert_eq!(view["sections"][0]["reports"][0], serde_json::json!({ "cohort": cohort, "bits": bits }));
    }
}
