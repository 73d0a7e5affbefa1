//! The thread that sends, and that fetches the catalog.

use std::prelude::v1::*;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use super::catalog::Kept;
use super::error::CatalogFault;
use super::http::{Fetched, Http, NetworkFault, Sent};
use super::shared::{Inner, Shared};
use super::write::Ending;
use crate::calendar::Timestamp;
use crate::client::{NextUpload, Reply, Taken, Upload};

/// How old a catalog may be before it is asked for again.
const CATALOG_AGE: Duration = Duration::from_secs(6 * 3600);
/// How long to wait after a catalog that could not be had.
const CATALOG_RETRY: Duration = Duration::from_secs(600);

/// Sends what may leave until the client is closed, and then what is due. With a catalog that is kept, that one is renewed.
pub(super) fn run(shared: &Arc<Shared>, http: &Http, mut kept: Option<Kept>) {
    let _ending = Ending(shared, |inner| &mut inner.sending);
    let age = kept.as_ref().and_then(|kept| kept.age).unwrap_or(CATALOG_AGE);
    let mut ask_at = Instant::now() + CATALOG_AGE.saturating_sub(age);
    let mut inner = shared.lock();
    loop {
        if inner.stop.is_none()
            && let Some(kept) = &mut kept
            && ask_at <= Instant::now()
        {
            drop(inner);
            let fetched = http.catalog(&kept.tag);
            inner = shared.lock();
            ask_at = Instant::now() + take(shared, &mut inner, kept, fetched);
            continue;
        }
        let now = shared.clock.now();
        let next = inner.core.next_upload(now);
        if let Some(until) = inner.stop
            && (!is_due(&next, now.at)
                || until <= Instant::now()
                || inner.core.status().storage.error.is_some())
        {
            break;
        }
        inner = match next {
            NextUpload::Send(upload) => {
                drop(inner);
                send(shared, http, &upload)
            }
            NextUpload::WaitUntil(at) => shared.wait_until(inner, Some(at), now.at),
            NextUpload::Nothing => shared.wait_until(inner, None, now.at),
        };
    }
}

/// Whether there is something to send at once, or as soon as it is durable.
fn is_due(next: &NextUpload, now: Timestamp) -> bool {
    match next {
        NextUpload::Send(_) => true,
        NextUpload::WaitUntil(at) => *at <= now,
        NextUpload::Nothing => false,
    }
}

fn send<'a>(shared: &'a Shared, http: &Http, upload: &Upload) -> MutexGuard<'a, Inner> {
    let sent = http.send(&upload.body, upload.content_type);
    let (reply, fault) = match &sent {
        Sent::Answered { status, retry_after, body } => {
            (Reply::Answered { status: *status, retry_after: retry_after.as_deref(), body }, None)
        }
        Sent::Failed(NetworkFault::TimedOut) => (Reply::TimedOut, Some(NetworkFault::TimedOut)),
        Sent::Failed(fault) => (Reply::Unreachable, Some(*fault)),
    };
    let now = shared.clock.now();
    let mut inner = shared.lock();
    inner.core.finish_upload(upload.id, reply, now);
    inner.network = fault;
    shared.tell();
    inner
}

/// Takes what came of asking for the catalog, and says when to ask again.
fn take(shared: &Shared, inner: &mut Inner, kept: &mut Kept, fetched: Fetched) -> Duration {
    let now = shared.clock.now();
    let fault = match fetched {
        // The registry in use may be the one that the program brings.
        Fetched::Same => match inner.core.catalog(&kept.catalog, now) {
            Taken::Unusable(error) => Some(CatalogFault::Unusable(error)),
            Taken::Unchanged | Taken::Changed => {
                // Kept anew, it is as young as this look at it.
                inner.keep = Some(kept.to_bytes());
                None
            }
        },
        Fetched::Catalog { tag, body } => match inner.core.catalog(&body, now) {
            Taken::Unusable(error) => Some(CatalogFault::Unusable(error)),
            Taken::Unchanged | Taken::Changed => {
                *kept = Kept { tag, catalog: body, age: None };
                inner.keep = Some(kept.to_bytes());
                None
            }
        },
        Fetched::Refused(status) => Some(CatalogFault::NoCatalog(status)),
        Fetched::Failed(fault) => Some(CatalogFault::Network(fault)),
    };
    inner.network = match &fault {
        Some(CatalogFault::Network(fault)) => Some(*fault),
        _ => None,
    };
    let again = if fault.is_some() { CATALOG_RETRY } else { CATALOG_AGE };
    inner.catalog = fault;
    shared.tell();
    again
}
