//! Batches, written and read by the table at the head of `report`.

use alloc::collections::BinaryHeap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use super::error::check_tags;
use super::{BatchError, BatchId, MAX_BATCH_BYTES, Report, WriteKey};
use crate::metric::{Epoch, MetricId, Stream};
use crate::params::{Fingerprint, MAX_BITS};
use crate::registry::RegistryHash;

const MAGIC: [u8; 4] = *b"dnbl";
pub(super) const FORMAT: u8 = 2;
const HEADER_BYTES: usize = 4 + 1 + 16 + 16 + 2;

/// Writes reports as one batch, sorted.
///
/// # Errors
/// [`BatchError::Empty`] without reports, and [`BatchError::TooLarge`] if they do not fit into
/// [`MAX_BATCH_BYTES`]; send them in several batches then.
pub fn write_batch(key: WriteKey, id: BatchId, reports: &[Report]) -> Result<Vec<u8>, BatchError> {
    // A page downloads what sorts here, and a heap takes a tenth of what the sort of a slice does.
    let reports = reports.iter().collect::<BinaryHeap<_>>().into_sorted_vec();
    if reports.is_empty() {
        return Err(BatchError::Empty);
    }
    let mut out = Vec::new();
    out.extend_from_slice(&MAGIC);
    out.push(FORMAT);
    out.extend_from_slice(&key.0);
    out.extend_from_slice(&id.0);
    // The number of sections, when it is known.
    out.extend_from_slice(&[0; 2]);
    let mut section_count = 0;
    for section in reports.chunk_by(|one, other| one.shares_section(other)) {
        write_section(section, &mut out);
        section_count += 1;
    }
    if out.len() > MAX_BATCH_BYTES {
        return Err(BatchError::TooLarge { size: out.len() });
    }
    // A section takes more than 16 bytes, so a batch within its size limit has fewer than 65,536.
    out[HEADER_BYTES - 2..HEADER_BYTES].copy_from_slice(&(section_count as u16).to_le_bytes());
    Ok(out)
}

fn write_section(reports: &[&Report], out: &mut Vec<u8>) {
    let (first, stream) = (reports[0], reports[0].stream());
    let metric = stream.metric().as_str();
    out.push(metric.len() as u8);
    out.extend_from_slice(metric.as_bytes());
    out.extend_from_slice(&stream.version().to_le_bytes());
    out.extend_from_slice(&first.epoch.0.to_le_bytes());
    out.extend_from_slice(&stream.fingerprint().0);
    out.extend_from_slice(&first.registry.0);
    out.push(first.tags.len() as u8);
    first.tags.iter().for_each(|place| out.extend_from_slice(&place.to_le_bytes()));
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

/// The reports of one metric version, epoch, registry and choice of tags in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    stream: Stream,
    epoch: Epoch,
    registry: RegistryHash,
    /// Two bytes for each, little-endian.
    tags: &'a [u8],
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
        let registry = RegistryHash(input.array()?);
        let tag_count = usize::from(input.array::<1>()?[0]);
        check_tags(registry, tag_count)?;
        let tags = input.take(2 * tag_count)?;
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
        Ok(Self { stream, epoch, registry, tags, reports })
    }

    /// What these reports answer.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The period they belong to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The registry that asked; [`RegistryHash::NONE`] if none did.
    pub fn registry(&self) -> RegistryHash {
        self.registry
    }

    /// The public tags: the place of each in its list of labels, in the order of the registry's tags. A stranger may
    /// send places that no list has.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = u16> + use<'a> {
        self.tags.as_chunks::<2>().0.iter().map(|place| u16::from_le_bytes(*place))
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
        let mut view = serializer.serialize_struct("Section", 8)?;
        view.serialize_field("metric", self.stream.metric())?;
        view.serialize_field("version", &self.stream.version())?;
        view.serialize_field("epoch", &self.epoch)?;
        view.serialize_field("fingerprint", &format_args!("{}", self.stream.fingerprint()))?;
        view.serialize_field("registry", &format_args!("{}", self.registry))?;
        view.serialize_field("tags", &self.tags().collect::<Vec<_>>())?;
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
        let bits: String =
            (0..self.k).map(|i| if self.bits[i / 8] >> (i % 8) & 1 == 1 { '1' } else { '0' }).collect();
        let mut view = serializer.serialize_struct("Report", 2)?;
        view.serialize_field("cohort", &self.cohort)?;
        view.serialize_field("bits", &bits)?;
        view.end()
    }
}
