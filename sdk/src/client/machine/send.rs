//! What is written and sent, and what comes of it.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::super::answer::{Receipt, Reply, Verdict, judge};
use super::super::options::Consent;
use super::super::queue::{Finished, NextUpload, Outgoing};
use super::super::state;
use super::super::status::{MAX_REASONS, StorageError};
use super::Core;
use crate::binary::{Binary, Writer};
use crate::calendar::{Moment, Timestamp};
use crate::report::BatchId;

/// A state to be made durable, in one step: after a crash the storage holds these bytes or those before.
pub struct Commit {
    /// Its number.
    pub number: u64,
    /// The whole state. It holds the secret, and is wiped from memory when dropped.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Whether the person was forgotten since the last that is durable: then whatever the host has of earlier states, those that it
    /// set aside included, is to be gone with this one.
    pub erases: bool,
}

impl core::fmt::Debug for Commit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Commit({}, {} bytes)", self.number, self.bytes.len())
    }
}

impl Core {
    /// The state to write, if it is time: reports, charges and consent at once, events when
    /// [`Options::write_delay`](super::super::Options::write_delay) has passed, or at once if `urgent`. Forms the next batch. One commit is on its way at a time; tell
    /// [`Core::committed`] or [`Core::commit_failed`] what became of it.
    pub fn commit(&mut self, now: Moment, urgent: bool) -> Option<Commit> {
        self.advance(now);
        if self.queue.forms_at().is_some_and(|at| at <= now.at) {
            self.journal.press(now.at);
        }
        let due = self.journal.due(self.options.write_delay).is_some_and(|at| at <= now.at);
        let hurried = urgent && self.journal.is_ready();
        if !due && !hurried {
            return None;
        }
        let next = self.journal.next();
        self.queue.form(next, now.at, &self.options, &mut self.randomness);
        let number = self.journal.take_number();
        let bytes = self.write(number);
        self.journal.begin(bytes.len());
        Some(Commit { number, bytes, erases: self.erased_by.is_some() })
    }

    fn write(&self, commit: u64) -> Zeroizing<Vec<u8>> {
        let device = self.device.as_ref().map(|device| Zeroizing::new(device.store()));
        let front = |to: &mut Writer<'_>| {
            self.ledger.write(to);
            self.decided.write(to);
        };
        let rest = |to: &mut Writer<'_>| {
            commit.write(to);
            self.secret.write(to);
            device.write(to);
            self.queue.write(to);
            self.counts.write(to);
            self.catalog.write(to);
        };
        state::write(&front, &rest)
    }

    /// The commit of that number is durable: what it holds may be sent.
    pub fn committed(&mut self, number: u64) {
        self.journal.succeed(number);
        self.erased_by.take_if(|commit| *commit <= number);
    }

    /// The commit of that number failed, and may be durable or not. It is tried again, later each time.
    pub fn commit_failed(&mut self, number: u64, error: StorageError, now: Moment) {
        self.journal.fail(number, error, now.at);
    }

    /// When to call [`Core::commit`] and [`Core::next_upload`] again, if nothing happens before; None if nothing waits.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let commit = self.journal.due(self.options.write_delay);
        let upload = self.queue.wakes_at(self.journal.durable());
        match (commit, upload) {
            (Some(commit), Some(upload)) => Some(commit.min(upload)),
            (commit, upload) => commit.or(upload),
        }
    }

    /// What to send next. Only what is durable is sent, one upload at a time; tell [`Core::finish_upload`] what came of it.
    pub fn next_upload(&mut self, now: Moment) -> NextUpload {
        self.advance(now);
        if self.consent() != Consent::Given {
            return NextUpload::Nothing;
        }
        self.queue.next(self.journal.durable(), now.at, &self.options)
    }

    /// Takes what came of an upload.
    pub fn finish_upload(&mut self, id: BatchId, reply: Reply<'_>, now: Moment) -> Finished {
        self.advance(now);
        let Some(mut batch) = self.queue.finished(id) else { return Finished::Unknown };
        let (verdict, outcome) = judge(&reply, batch.reports.len() as u64, now.at);
        self.last_outcome = Some(outcome);
        match verdict {
            Verdict::Received(receipt) => {
                self.queue.succeed();
                self.journal.press(now.at);
                self.received(batch, &receipt)
            }
            Verdict::Never(reason) => {
                self.queue.succeed();
                self.journal.press(now.at);
                let reports = batch.len() as u64;
                self.count_refused(reason, reports);
                Finished::Dropped { reports }
            }
            Verdict::TooLarge => {
                self.journal.press(now.at);
                self.too_large(batch)
            }
            Verdict::Later { asked, unsure } => {
                batch.unsure |= unsure;
                self.queue.put_back(batch);
                self.journal.note(now.at);
                Finished::Retrying(self.queue.fail(asked, now.at, &mut self.randomness))
            }
        }
    }

    fn received(&mut self, batch: Outgoing, receipt: &Receipt<'_>) -> Finished {
        let refused = receipt.refused();
        for (reason, reports) in &receipt.refused {
            self.count_refused(reason, *reports);
        }
        let counted = receipt.counted;
        if receipt.duplicate {
            // Of a half it cannot be told whether itself or the whole was counted before.
            self.counts.dropped.uncertain += batch.rest.len() as u64;
        } else {
            let cut_off = batch.cut_off(self.journal.next(), &mut self.randomness);
            cut_off.into_iter().for_each(|batch| self.queue.put_back(batch));
        }
        self.counts.counted += counted;
        Finished::Delivered { counted, refused }
    }

    fn too_large(&mut self, batch: Outgoing) -> Finished {
        if batch.reports.len() > 1 {
            let (first, second) = batch.halve(self.journal.next(), &mut self.randomness);
            second.into_iter().for_each(|batch| self.queue.put_back(batch));
            self.queue.put_back(first);
            return Finished::Split;
        }
        self.counts.dropped.too_large += 1;
        self.counts.dropped.uncertain += batch.rest.len() as u64;
        Finished::Dropped { reports: batch.len() as u64 }
    }

    fn count_refused(&mut self, reason: &str, reports: u64) {
        const OTHER: &str = "other";
        let refused = &mut self.counts.refused;
        let place = |refused: &[(String, u64)], reason| refused.iter().position(|(known, _)| known == reason);
        let room = refused.len() < MAX_REASONS && reason.len() <= 40;
        let reason = if room || place(refused, reason).is_some() { reason } else { OTHER };
        let place = place(refused, reason).unwrap_or_else(|| {
            refused.push((reason.to_owned(), 0));
            refused.len() - 1
        });
        refused[place].1 += reports;
    }
}
