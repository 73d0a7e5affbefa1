//! The thread that writes: it alone has the folder, so nothing else ever waits for the disk.

use std::prelude::v1::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::shared::Shared;

/// How long the writer of a client that is being closed waits for the other thread at a time.
const SHORT_WAIT: Duration = Duration::from_millis(100);

/// Says that a thread has ended, however it ended.
pub(super) struct Ending<'a>(pub(super) &'a Shared, pub(super) fn(&mut super::shared::Inner) -> &mut bool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        *(self.1)(&mut self.0.lock()) = false;
        self.0.tell();
    }
}

/// Writes what is due until the client is closed, and then everything.
pub(super) fn run(shared: &Arc<Shared>, mut folder: Folder) {
    let ending = Ending(shared, |inner| &mut inner.writing);
    let mut inner = shared.lock();
    loop {
        let now = shared.clock.now();
        let ends = inner.stop.is_some_and(|until| !inner.sending || until <= Instant::now());
        let urgent = inner.urgent || ends;
        if let Some(commit) = inner.core.commit(now, urgent) {
            (inner.urgent, inner.committing) = (false, true);
            drop(inner);
            let stored =
                if commit.erases { folder.store_alone(&commit.bytes) } else { folder.store(&commit.bytes) };
            inner = shared.lock();
            inner.committing = false;
            match stored {
                Ok(()) => inner.core.committed(commit.number),
                Err(error) => inner.core.commit_failed(commit.number, error, shared.clock.now()),
            }
            shared.tell();
            if !(ends && stored.is_err()) {
                continue;
            }
        }
        if inner.urgent {
            // There was nothing to write.
            inner.urgent = false;
            shared.tell();
        }
        if let Some(catalog) = inner.keep.take() {
            drop(inner);
            // If it cannot be kept it is fetched again.
            let _ = folder.keep_catalog(&catalog);
            inner = shared.lock();
            continue;
        }
        if ends {
            break;
        }
        inner = match inner.stop {
            // Also if nothing is told, what becomes due is written in time to be sent.
            Some(until) => {
                shared.wait(inner, until.saturating_duration_since(Instant::now()).min(SHORT_WAIT))
            }
            None => shared.wait_to_write(inner, now.at),
        };
    }
    drop(inner);
    // The lock of the folder ends before anybody learns that the client is closed.
    drop(folder);
    drop(ending);
}
