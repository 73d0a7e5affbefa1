//! The queue as it is stored.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Outgoing, Queue, Waiting};
use crate::binary::binary;
use crate::calendar::Timestamp;
use crate::metric::{Epoch, MetricId, Stream};
use crate::params::{Fingerprint, MAX_BITS};
use crate::registry::RegistryHash;
use crate::report::{BatchId, BitBytes, Report};

/// The queue as it is stored.
#[derive(Default)]
pub(in super::super) struct StoredQueue {
    waiting: Vec<(StoredReport, Timestamp)>,
    batches: Vec<StoredBatch>,
    failures: u32,
    retry_at: Option<Timestamp>,
}

struct StoredBatch {
    id: [u8; 16],
    reports: Vec<StoredReport>,
    rest: Vec<StoredReport>,
}

struct StoredReport {
    metric: MetricId,
    version: u32,
    fingerprint: [u8; 8],
    bit_count: u16,
    epoch: Epoch,
    registry: [u8; 8],
    tags: Vec<u16>,
    cohort: u16,
    bits: Vec<u8>,
}

binary!(struct StoredQueue { waiting, batches, failures, retry_at });
binary!(struct StoredBatch { id, reports, rest });
binary!(struct StoredReport { metric, version, fingerprint, bit_count, epoch, registry, tags, cohort, bits });

impl StoredReport {
    fn of(report: &Report) -> Self {
        let stream = report.stream();
        Self {
            metric: stream.metric().clone(),
            version: stream.version(),
            fingerprint: stream.fingerprint().0,
            bit_count: stream.bits() as u16,
            epoch: report.epoch(),
            registry: report.registry().0,
            tags: report.tags().to_vec(),
            cohort: report.cohort(),
            bits: report.bytes().to_vec(),
        }
    }

    /// The report, if there can be one of this shape.
    fn restore(self) -> Option<Report> {
        let width = usize::from(self.bit_count);
        if !(1..=MAX_BITS).contains(&width) || self.bits.len() != width.div_ceil(8) {
            return None;
        }
        let stream =
            Stream::from_wire(self.metric, self.version, Fingerprint(self.fingerprint), self.bit_count);
        let report = Report::new(Arc::new(stream), self.epoch, self.cohort, BitBytes::from_vec(self.bits));
        let tags: Vec<usize> = self.tags.into_iter().map(usize::from).collect();
        report.published(RegistryHash(self.registry), &tags).ok()
    }
}

impl StoredQueue {
    pub(in super::super) fn of(queue: &Queue) -> Self {
        let stored = |reports: &[Report]| reports.iter().map(StoredReport::of).collect();
        let batch = |batch: &Outgoing| StoredBatch {
            id: batch.id.0,
            reports: stored(&batch.reports),
            rest: stored(&batch.rest),
        };
        Self {
            waiting: queue.waiting.iter().map(|w| (StoredReport::of(&w.report), w.due)).collect(),
            batches: queue.batches.iter().map(batch).collect(),
            failures: queue.failures,
            retry_at: queue.retry_at,
        }
    }

    /// The queue of a program that begins: its batches may have been sent. None if there can be no such queue.
    pub(in super::super) fn restore(self) -> Option<Queue> {
        let waiting =
            |(report, due): (StoredReport, Timestamp)| Some(Waiting { report: report.restore()?, due });
        let mut queue = Queue {
            waiting: self.waiting.into_iter().map(waiting).collect::<Option<_>>()?,
            batches: self.batches.into_iter().map(StoredBatch::restore).collect::<Option<_>>()?,
            failures: self.failures,
            retry_at: self.retry_at,
            uploading: None,
            bytes: 0,
        };
        queue.weigh();
        Some(queue)
    }
}

impl StoredBatch {
    fn restore(self) -> Option<Outgoing> {
        let restored = |reports: Vec<StoredReport>| -> Option<Vec<Report>> {
            reports.into_iter().map(StoredReport::restore).collect()
        };
        let (reports, rest) = (restored(self.reports)?, restored(self.rest)?);
        (!reports.is_empty()).then_some(Outgoing {
            id: BatchId(self.id),
            reports,
            rest,
            since: 0,
            unsure: true,
        })
    }
}
