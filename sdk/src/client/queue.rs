//! Reports that wait, batches on their way, and when to try again.
//!
//! A report waits a random time. Then it joins the next batch, with whatever else is due, in random order of metrics. A
//! batch has its random id from the commit that forms it, and keeps id and bytes however often it is sent, so that a collector
//! counts it once. One batch is on its way at a time; the next is formed when it has arrived.

use alloc::vec;
use alloc::vec::Vec;
use core::mem;
use core::slice;
use core::time::Duration;

use super::options::Options;
use crate::binary::binary;
use crate::calendar::Timestamp;
use crate::entropy::Randomness;
use crate::metric::Epoch;
use crate::report::{BatchId, Report, write_batch};

/// The first wait after a failure.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// The longest wait after a failure, and the longest that a collector may ask for.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(86_400);
/// An upload that the host did not finish within this is taken for lost.
const LONGEST_UPLOAD: Duration = Duration::from_secs(600);

/// What waits and what is on its way.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) waiting: Vec<Waiting>,
    pub(super) batches: Vec<Outgoing>,
    /// Failures since the last success.
    pub(super) failures: u32,
    /// When to try again.
    pub(super) retry_at: Option<Timestamp>,
    /// The upload that the host carries out, and since when.
    uploading: Option<(BatchId, Timestamp)>,
    bytes: usize,
}

/// A report that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) report: Report,
    pub(super) due: Timestamp,
}

/// A batch.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) id: BatchId,
    pub(super) reports: Vec<Report>,
    /// What was cut off because the batch was too large, and waits to learn whether the whole of it was counted before.
    pub(super) rest: Vec<Report>,
    /// The commit that holds it.
    pub(super) since: u64,
    /// Whether it may have been counted, in this form, without our knowing.
    pub(super) unsure: bool,
}

binary!(struct Queue { waiting, batches, failures, retry_at; uploading: None; bytes: 0 });
binary!(struct Waiting { report, due });
// Whoever reads a batch may have sent it before.
binary!(struct Outgoing { id, reports, rest; since: 0; unsure: true });

/// What the host is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextUpload {
    /// Send this, and tell [`finish_upload`](super::Core::finish_upload) what came of it.
    Send(Upload),
    /// There is something to send, but not before this instant. Ask again then.
    WaitUntil(Timestamp),
    /// There is nothing to send.
    Nothing,
}

/// A body to be sent by POST to `/v1/reports` of the collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The batch.
    pub id: BatchId,
    /// The bytes to send.
    pub body: Vec<u8>,
    /// Their type, for the header of that name.
    pub content_type: &'static str,
}

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The collector has the batch, and counts this many of its reports.
    Delivered {
        /// The reports that it counts.
        counted: u64,
        /// The reports that it does not; [`UploadStatus::refused`](super::UploadStatus::refused) says why.
        refused: u64,
    },
    /// The collector will never take it: its reports are dropped.
    Dropped {
        /// The reports.
        reports: u64,
    },
    /// It was too large, and goes in two parts.
    Split,
    /// It is tried again, not before this instant.
    Retrying(Timestamp),
    /// There is no such batch on its way; it was erased, or had been answered before.
    Unknown,
}

impl Queue {
    /// Takes up what was read. False if there can be no such queue.
    pub(super) fn take_up(&mut self) -> bool {
        self.weigh();
        self.batches.iter().all(|batch| !batch.reports.is_empty())
    }

    /// The number of reports.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.batches.iter().map(Outgoing::len).sum::<usize>()
    }

    /// The sum of what `count` says of each report.
    pub(super) fn sum(&self, count: &dyn Fn(&Report) -> usize) -> usize {
        let waiting = self.waiting.iter().map(|waiting| count(&waiting.report)).sum::<usize>();
        let batched = |batch: &Outgoing| batch.reports().map(count).sum::<usize>();
        waiting + self.batches.iter().map(batched).sum::<usize>()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, report: Report, now: Timestamp, options: &Options, coins: &mut Randomness) {
        self.bytes += size(&report);
        self.waiting.push(Waiting { report, due: after(now, draw(options.delay, coins)) });
    }

    /// Drops the oldest until the rest has room, and says how many. What is being sent stays.
    pub(super) fn shrink(&mut self, most: usize) -> usize {
        if self.bytes <= most {
            return 0;
        }
        let mut left = self.bytes;
        self.drop_if(&mut |reports, rest| {
            let drops = left > most;
            if drops {
                left -= reports.iter().chain(rest).map(size).sum::<usize>();
            }
            drops
        })
    }

    /// Drops what is in no batch yet, and says how many.
    #[cfg(feature = "native")]
    pub(super) fn drop_waiting(&mut self) -> usize {
        let dropped = mem::take(&mut self.waiting).len();
        self.weigh();
        dropped
    }

    /// Drops what a collector would refuse for its age, and says how many.
    pub(super) fn expire(&mut self, oldest: Epoch) -> usize {
        self.drop_if(&mut |reports, rest| reports.iter().chain(rest).all(|report| report.epoch() < oldest))
    }

    /// Drops batches, but not the one that is being sent, and reports that wait, and says how many reports went. `drops` is shown the
    /// reports of a batch and its rest, or the one report that waits.
    fn drop_if(&mut self, drops: &mut dyn FnMut(&[Report], &[Report]) -> bool) -> usize {
        let (before, uploading) = (self.len(), self.uploading.map(|(id, _)| id));
        self.batches.retain(|batch| Some(batch.id) == uploading || !drops(&batch.reports, &batch.rest));
        self.waiting.retain(|waiting| !drops(slice::from_ref(&waiting.report), &[]));
        self.weigh();
        before - self.len()
    }

    fn weigh(&mut self) {
        self.bytes = self.sum(&size);
    }

    /// Draws anew what a clock that was set back has moved beyond reach.
    pub(super) fn mend(&mut self, now: Timestamp, options: &Options, coins: &mut Randomness) {
        let latest = after(now, options.delay);
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.due > latest) {
            waiting.due = after(now, draw(options.delay, coins));
        }
        let latest = after(now, LONGEST_WAIT);
        self.retry_at = self.retry_at.map(|at| at.min(latest));
    }

    /// Gives up an upload of which the host said nothing for too long.
    pub(super) fn give_up(&mut self, now: Timestamp, coins: &mut Randomness) {
        let lost = |&(_, since): &(BatchId, Timestamp)| {
            now.millis_since(since).unsigned_abs() >= LONGEST_UPLOAD.as_millis() as u64
        };
        if let Some((id, _)) = self.uploading.take_if(|upload| lost(upload)) {
            self.batches.iter_mut().filter(|batch| batch.id == id).for_each(|batch| batch.unsure = true);
            self.fail(None, now, coins);
        }
    }

    /// Lets all that waits leave as soon as it can.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        for waiting in &mut self.waiting {
            waiting.due = waiting.due.min(now);
        }
    }

    /// When the next batch may be formed; None while there is one, or nothing waits.
    pub(super) fn forms_at(&self) -> Option<Timestamp> {
        let due = self.waiting.iter().map(|waiting| waiting.due).min()?;
        self.batches.is_empty().then(|| self.retry_at.map_or(due, |retry| due.max(retry)))
    }

    /// When there is something to do; None if nothing is to be sent, or a commit has to come first.
    pub(super) fn wakes_at(&self, durable: u64) -> Option<Timestamp> {
        match (self.uploading, self.batches.first()) {
            (Some((_, since)), _) => Some(after(since, LONGEST_UPLOAD)),
            (None, None) => self.forms_at(),
            (None, Some(batch)) if batch.since > durable => None,
            (None, Some(_)) => Some(self.retry_at.unwrap_or(Timestamp::from_millis(0))),
        }
    }

    /// Forms a batch of what is due, for the commit of that number.
    pub(super) fn form(&mut self, since: u64, now: Timestamp, options: &Options, coins: &mut Randomness) {
        if self.forms_at().is_none_or(|at| at > now) {
            return;
        }
        // In random order, so that neither age nor metric decides what goes first.
        let mut due = Vec::new();
        for (place, waiting) in self.waiting.iter().enumerate() {
            if waiting.due <= now {
                due.push(place);
            }
        }
        shuffle(&mut due, coins);
        let mut room = options.body_bytes - BATCH_BYTES;
        let mut taken = vec![false; self.waiting.len()];
        for i in due {
            if let Some(left) = room.checked_sub(size(&self.waiting[i].report)) {
                (room, taken[i]) = (left, true);
            }
        }
        let mut reports = Vec::new();
        for (waiting, goes) in mem::take(&mut self.waiting).into_iter().zip(taken) {
            if goes {
                reports.push(waiting.report);
            } else {
                self.waiting.push(waiting);
            }
        }
        if !reports.is_empty() {
            self.batches.push(Outgoing::new(BatchId(coins.draw_id()), reports, since));
        }
    }

    pub(super) fn next(&mut self, durable: u64, now: Timestamp, options: &Options) -> NextUpload {
        if self.uploading.is_some() {
            return NextUpload::Nothing;
        }
        let Some(batch) = self.batches.first() else {
            return self.forms_at().map_or(NextUpload::Nothing, NextUpload::WaitUntil);
        };
        if let Some(at) = self.retry_at.filter(|at| *at > now) {
            return NextUpload::WaitUntil(at);
        }
        if batch.since > durable {
            return NextUpload::WaitUntil(now);
        }
        let body = write_batch(options.key, batch.id, &batch.reports);
        let body = body.expect("a batch that was formed has reports, and no more than its limit");
        self.uploading = Some((batch.id, now));
        NextUpload::Send(Upload { id: batch.id, body, content_type: "application/octet-stream" })
    }

    /// Takes back the batch whose upload ended, if it is still there.
    pub(super) fn finished(&mut self, id: BatchId) -> Option<Outgoing> {
        self.uploading.take_if(|(uploading, _)| *uploading == id)?;
        let place = self.batches.iter().position(|batch| batch.id == id)?;
        let batch = self.batches.remove(place);
        self.weigh();
        Some(batch)
    }

    /// Puts a batch in front of all others.
    pub(super) fn put_back(&mut self, batch: Outgoing) {
        self.bytes += batch.bytes();
        self.batches.insert(0, batch);
    }

    /// The endpoint works.
    pub(super) fn succeed(&mut self) {
        (self.failures, self.retry_at) = (0, None);
    }

    /// Waits, twice as long with each failure, by a random part of the half; or as long as the collector asked, if that is longer.
    pub(super) fn fail(
        &mut self,
        asked: Option<Duration>,
        now: Timestamp,
        coins: &mut Randomness,
    ) -> Timestamp {
        let doubled = doubled(FIRST_WAIT, self.failures, LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        let wait = doubled / 2 + draw(doubled / 2, coins);
        let wait = wait.max(asked.unwrap_or_default()).min(LONGEST_WAIT);
        let at = after(now, wait);
        self.retry_at = Some(at);
        at
    }
}

impl Outgoing {
    fn new(id: BatchId, reports: Vec<Report>, since: u64) -> Self {
        Self { id, reports, rest: Vec::new(), since, unsure: false }
    }

    pub(super) fn len(&self) -> usize {
        self.reports.len() + self.rest.len()
    }

    fn reports(&self) -> impl Iterator<Item = &Report> {
        self.reports.iter().chain(&self.rest)
    }

    fn bytes(&self) -> usize {
        self.reports().map(size).sum()
    }

    /// Cuts it in two, for a commit of that number. The first half keeps the id. Should the whole have been counted without our
    /// knowing, the collector calls the half a duplicate; so the other half waits for the answer and goes only if it is another.
    pub(super) fn halve(mut self, since: u64, coins: &mut Randomness) -> (Self, Option<Self>) {
        let second = self.reports.split_off(self.reports.len().div_ceil(2));
        self.since = since;
        if self.unsure || !self.rest.is_empty() {
            self.rest.extend(second);
            self.unsure = false;
            return (self, None);
        }
        let second = Self::new(BatchId(coins.draw_id()), second, since);
        (self, Some(second))
    }

    /// What was cut off, as a batch of its own.
    pub(super) fn cut_off(self, since: u64, coins: &mut Randomness) -> Option<Self> {
        (!self.rest.is_empty()).then(|| Self::new(BatchId(coins.draw_id()), self.rest, since))
    }
}

/// The bytes of a batch beside its sections.
const BATCH_BYTES: usize = 64;
/// The most bytes of a section beside its reports, the metric's name and the tags.
const SECTION_BYTES: usize = 40;

/// The most bytes that a report takes in a batch.
fn size(report: &Report) -> usize {
    let stream = report.stream();
    let tags = 2 * report.tags().len();
    SECTION_BYTES + stream.metric().as_str().len() + tags + 2 + stream.bit_bytes()
}

/// An instant so much later, where nothing waits for more than a week.
pub(super) fn after(now: Timestamp, wait: Duration) -> Timestamp {
    Timestamp::from_millis(now.as_millis() + wait.as_millis() as i64)
}

/// A wait that doubles with each failure, up to the longest.
pub(super) fn doubled(first: Duration, failures: u32, longest: Duration) -> Duration {
    Duration::from_millis((first.as_millis() as u64) << failures.min(12)).min(longest)
}

/// A random part of a duration.
fn draw(most: Duration, coins: &mut Randomness) -> Duration {
    Duration::from_millis(coins.draw_up_to(most.as_millis() as u64))
}

fn shuffle(places: &mut [usize], coins: &mut Randomness) {
    for i in (1..places.len()).rev() {
        places.swap(i, coins.draw_up_to(i as u64) as usize);
    }
}
