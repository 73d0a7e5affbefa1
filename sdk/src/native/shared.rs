//! What the handles of a client share with its two threads.
//!
//! One mutex guards the core, and is held for work in memory alone: whoever writes or sends lets go of it first. One
//! condition tells of every change that somebody may wait for.

use std::prelude::v1::*;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::error::CatalogFault;
use super::http::NetworkFault;
use crate::calendar::{Moment, Timestamp};
use crate::client::Core;

/// A thread that waits for a time of the wall clock looks at least so often whether that clock was set.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// What cannot be done though it is due waits for a change, and so long at most.
const WAIT_FOR_CHANGE: Duration = Duration::from_secs(1);

/// What handles and threads share.
#[derive(Debug)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    pub(super) clock: Clock,
    /// The process that opened the client. A child made by `fork` has a copy of the memory, but no threads.
    process: u32,
}

/// What the mutex guards.
pub(super) struct Inner {
    pub(super) core: Core,
    /// Everything is to be written now.
    pub(super) urgent: bool,
    /// A commit is on its way to the disk.
    pub(super) committing: bool,
    /// The threads are to end, and not to wait for anything beyond this instant.
    pub(super) stop: Option<Instant>,
    pub(super) writing: bool,
    pub(super) sending: bool,
    pub(super) network: Option<NetworkFault>,
    pub(super) catalog: Option<CatalogFault>,
    /// A catalog to be kept in the folder.
    pub(super) keep: Option<Vec<u8>>,
    /// When the writer looks again by itself.
    writer_wakes: Timestamp,
}

impl Inner {
    /// Whether what was urgent has been written, or could not be.
    pub(super) fn is_written(&self) -> bool {
        !self.urgent && !self.committing
    }
}

impl core::fmt::Debug for Inner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Inner(writing {}, sending {})", self.writing, self.sending)
    }
}

impl Shared {
    pub(super) fn new(core: Core, clock: Clock) -> Self {
        let inner = Inner {
            core,
            urgent: false,
            committing: false,
            stop: None,
            writing: false,
            sending: false,
            network: None,
            catalog: None,
            keep: None,
            writer_wakes: Timestamp::from_millis(0),
        };
        Self { inner: Mutex::new(inner), changed: Condvar::new(), clock, process: std::process::id() }
    }

    /// Says whether this process opened the client, and not one that it was forked from.
    pub(super) fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }

    /// Takes the core. A thread that panicked with it may have left an event half counted, which is no reason to fail the
    /// program.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all who wait that something changed.
    pub(super) fn tell(&self) {
        self.changed.notify_all();
    }

    /// Changes the core, and wakes the writer if it has to write earlier for it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Core, Moment) -> T) -> T {
        let now = self.clock.now();
        let mut inner = self.lock();
        let result = change(&mut inner.core, now);
        if inner.core.wake_at().is_some_and(|at| at < inner.writer_wakes) {
            // Once is enough.
            inner.writer_wakes = Timestamp::from_millis(0);
            self.tell();
        }
        result
    }

    /// Waits for a change, and no longer than until `at` or for a minute. What is due already waits a second.
    pub(super) fn wait_until<'a>(
        &self,
        inner: MutexGuard<'a, Inner>,
        at: Option<Timestamp>,
        now: Timestamp,
    ) -> MutexGuard<'a, Inner> {
        let wait = at.map_or(LONGEST_WAIT, |at| {
            let wait = u64::try_from(at.millis_since(now)).unwrap_or(0);
            if wait == 0 { WAIT_FOR_CHANGE } else { Duration::from_millis(wait).min(LONGEST_WAIT) }
        });
        self.wait(inner, wait)
    }

    /// Waits as [`Shared::wait_until`], for the thread that writes.
    pub(super) fn wait_to_write<'a>(
        &self,
        mut inner: MutexGuard<'a, Inner>,
        now: Timestamp,
    ) -> MutexGuard<'a, Inner> {
        let at = inner.core.wake_at();
        inner.writer_wakes = at.unwrap_or(Timestamp::from_millis(i64::MAX));
        self.wait_until(inner, at, now)
    }

    /// Waits for a change, and no longer than `wait`.
    pub(super) fn wait<'a>(&self, inner: MutexGuard<'a, Inner>, wait: Duration) -> MutexGuard<'a, Inner> {
        let waited = self.changed.wait_timeout(inner, wait);
        waited.map_or_else(|poisoned| poisoned.into_inner().0, |(inner, _)| inner)
    }
}
