//! What is durable, and when to write next.

use core::time::Duration;

use super::queue::{after, doubled};
use super::status::{StorageError, StorageStatus};
use crate::calendar::Timestamp;

/// The first wait after a commit that failed, doubled with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The commits of a client: one at a time, with numbers that rise.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// The last that was handed out.
    number: u64,
    /// The last that is durable.
    durable: u64,
    writing: bool,
    /// Since when something waits to be written.
    dirty: Option<Timestamp>,
    /// Whether that must not wait for more.
    urgent: bool,
    failures: u32,
    retry_at: Option<Timestamp>,
    error: Option<StorageError>,
    state_bytes: usize,
}

impl Journal {
    pub(super) fn resumed(number: u64) -> Self {
        Self { number, durable: number, ..Self::default() }
    }

    /// The number of the commit that takes up what changes now.
    pub(super) fn next(&self) -> u64 {
        self.number + 1
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// Something changed that may wait to be written with more.
    pub(super) fn note(&mut self, now: Timestamp) {
        self.dirty.get_or_insert(now);
    }

    /// Something changed that is to be written at once.
    pub(super) fn press(&mut self, now: Timestamp) {
        self.note(now);
        self.urgent = true;
    }

    /// When the next commit is due; None while there is nothing to write, or something is being written.
    pub(super) fn due(&self, write_delay: Duration) -> Option<Timestamp> {
        let dirty = self.dirty.filter(|_| !self.writing)?;
        let due = if self.urgent { dirty } else { after(dirty, write_delay) };
        Some(self.retry_at.map_or(due, |retry| due.max(retry)))
    }

    /// Whether there is something to write and nothing is being written.
    pub(super) fn is_ready(&self) -> bool {
        self.dirty.is_some() && !self.writing
    }

    pub(super) fn begin(&mut self, state_bytes: usize) {
        (self.writing, self.dirty, self.urgent) = (true, None, false);
        self.state_bytes = state_bytes;
    }

    /// Takes the number of the commit that begins.
    pub(super) fn take_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    pub(super) fn succeed(&mut self, number: u64) {
        if self.writing && number == self.number {
            (self.writing, self.durable) = (false, number);
            (self.failures, self.retry_at, self.error) = (0, None, None);
        }
    }

    /// The commit may be durable or not, so everything is written again in the next.
    pub(super) fn fail(&mut self, number: u64, error: StorageError, now: Timestamp) {
        if self.writing && number == self.number {
            self.writing = false;
            self.press(now);
            let wait = doubled(FIRST_WAIT, self.failures, LONGEST_WAIT);
            self.failures = self.failures.saturating_add(1);
            self.retry_at = Some(after(now, wait));
            self.error = Some(error);
        }
    }

    /// Brings back within reach what a clock that was set back has moved beyond it.
    pub(super) fn mend(&mut self, now: Timestamp) {
        self.dirty = self.dirty.map(|since| since.min(now));
        self.retry_at = self.retry_at.map(|at| at.min(after(now, LONGEST_WAIT)));
    }

    pub(super) fn status(&self) -> StorageStatus {
        StorageStatus {
            error: self.error,
            retry_at: self.retry_at,
            commit: self.durable,
            state_bytes: self.state_bytes,
        }
    }
}
