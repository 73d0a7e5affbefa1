//! The handle of a native client.

use std::prelude::v1::*;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::catalog;
use super::error::OpenError;
use super::folder::{Folder, FolderError};
use super::http::{self, Endpoint, Http};
use super::options::Options;
use super::restore::{Beginning, NotRestored};
use super::shared::Shared;
use super::status::{Closed, Flushed, StateStatus, Status};
use super::{send, write};
use crate::WriteKey;
use crate::calendar::Moment;
use crate::client::{Core, LedgerView, Preview, Recorded, Taken, Tracked};
use crate::domain::Answer;
use crate::insight::Property;
use crate::metric::MetricId;

/// How long a client waits for its threads that was dropped without being closed.
const DROP_WAIT: Duration = Duration::from_secs(2);
/// How long consent waits to be durable.
pub(super) const CONSENT_WAIT: Duration = Duration::from_secs(2);
/// What a disk may take beyond the time that closing was given.
const DISK_GRACE: Duration = Duration::from_secs(1);

/// A client in a native program, at work in the background. Clones are handles of the same client, for any thread.
///
/// Events and answers are taken in memory, in a bounded time: the calls never wait for disk or network and never fail. One thread
/// writes, one sends. They do not keep the program alive: what happened since the last commit, a few seconds
/// ([`write_delay`](crate::client::Options::write_delay)), is lost unless the client is [closed](Self::close) or its last handle
/// dropped. A report, its charge and consent are written at once.
///
/// # Fork
/// A child made by `fork` has no threads, so nothing that it does leaves or is written; it must open a client of its own, on
/// another folder. In the child the copied handle takes nothing and says that there is no consent.
#[derive(Clone, Debug)]
pub struct NativeClient(Arc<Handle>);

/// What the last handle ends.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    state: StateStatus,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// An experiment, as it stands on this device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Experiment {
    arm: Option<String>,
}

impl Experiment {
    /// The arm that this device drew, for ever; None without consent, or if there is no such experiment.
    pub fn arm(&self) -> Option<&str> {
        self.arm.as_deref()
    }
}

impl NativeClient {
    /// Opens the state in its folder and begins to work.
    ///
    /// A state that is damaged is kept aside, and one that cannot be kept at all leaves the client idle: [`Self::status`] says so,
    /// and the program goes on. With [`Catalog::Fetched`](super::Catalog::Fetched) the first start waits for the catalog, for a minute
    /// at most.
    ///
    /// # Errors
    /// An [`OpenError`] for what the program must put right: another process on the same state, an endpoint, catalog or setting that
    /// cannot be used, or a system without randomness or threads.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let http = http(&options)?;
        let mut folder = match Folder::open(&options.folder) {
            Err(error @ FolderError::InUse { .. }) => return Err(OpenError::InUse(error)),
            opened => opened,
        };
        let (registry, kept) =
            catalog::begin(&options.catalog, folder.as_mut().ok(), &http, options.client.limits)?;
        let Options { client, folder: path, clock, .. } = &options;
        let beginning = Beginning { registry, options: client, path, now: clock.now() };
        let (restored, folder) = match folder {
            Ok(mut folder) => (beginning.restore(&mut folder), Some(folder)),
            Err(error) => (Err(error.into()), None),
        };
        let (core, state) = match restored {
            Err(NotRestored::Folder(error)) => beginning.idle(error)?,
            Err(NotRestored::Open(error)) => return Err(error),
            Ok(restored) => restored,
        };
        let shared = Arc::new(Shared::new(core, options.clock));
        let works = !matches!(state, StateStatus::Idle(_));
        let threads = match folder.filter(|_| works) {
            Some(folder) => start(&shared, folder, http, kept)?,
            None => Vec::new(),
        };
        Ok(Self(Arc::new(Handle { shared, state, threads: Mutex::new(threads) })))
    }

    /// Takes up an event. See [`Core::track`].
    pub fn track(&self, event: &str, properties: &[(&str, Property<'_>)]) -> Tracked {
        self.change(Tracked::NoConsent, |core, now| core.track(event, properties, now))
    }

    /// Takes up the view of a page or screen. See [`Core::page`].
    pub fn page(&self, name: &str, properties: &[(&str, Property<'_>)]) -> Tracked {
        self.change(Tracked::NoConsent, |core, now| core.page(name, properties, now))
    }

    /// Takes up what is known of the person. See [`Core::identify`].
    pub fn identify(&self, traits: &[(&str, Property<'_>)]) -> Tracked {
        self.change(Tracked::NoConsent, |core, now| core.identify(traits, now))
    }

    /// Takes an answer to a metric that the program answers by itself. See [`Core::record`].
    pub fn record(&self, metric: &MetricId, answer: Answer<'_>) -> Recorded {
        self.change(Recorded::NoConsent, |core, now| core.record(metric, answer, now))
    }

    /// Starts a timer. See [`Core::start_timer`].
    pub fn start_timer(&self, name: &str) {
        self.change((), |core, now| core.start_timer(name, now));
    }

    /// Ends a timer. See [`Core::stop_timer`].
    pub fn stop_timer(&self, name: &str) -> Option<f64> {
        self.change(None, |core, now| core.stop_timer(name, now))
    }

    /// An experiment, to ask for this device's arm. In an idle client arms last as long as the program.
    pub fn experiment(&self, name: &str) -> Experiment {
        let arm = self.change(None, |core, _| core.experiment(name).arm().map(str::to_owned));
        Experiment { arm }
    }

    /// The label of a segment or dimension that this device has now. See [`Core::segment`].
    pub fn segment(&self, name: &str) -> Option<String> {
        self.change(None, |core, _| core.segment(name).map(str::to_owned))
    }

    /// The person agrees. See [`Core::opt_in`]. Waits until that is written, two seconds at most.
    pub fn opt_in(&self) {
        self.change_and_write(Core::opt_in);
    }

    /// The person does not agree, or no longer. See [`Core::opt_out`]. Waits until everything is erased from the disk, two seconds
    /// at most.
    pub fn opt_out(&self) {
        self.change_and_write(Core::opt_out);
    }

    /// Forgets the person. See [`Core::reset`]. Waits until everything is erased from the disk, two seconds at most.
    pub fn reset(&self) {
        self.change_and_write(Core::reset);
    }

    /// What would be sent if every epoch ended now. See [`Core::preview`].
    pub fn preview(&self) -> Vec<Preview> {
        self.change(Vec::new(), Core::preview)
    }

    /// What was spent and may be spent. See [`Core::ledger`].
    pub fn ledger(&self) -> LedgerView {
        self.0.shared.change(|core, now| core.ledger(now))
    }

    /// Takes a catalog that the program got by itself. See [`Core::catalog`].
    pub fn catalog(&self, catalog: &[u8]) -> Taken {
        self.0.shared.change(|core, now| core.catalog(catalog, now))
    }

    /// How the client is doing.
    pub fn status(&self) -> Status {
        let inner = self.0.shared.lock();
        Status {
            client: inner.core.status(),
            state: self.0.state.clone(),
            network: inner.network,
            catalog: inner.catalog.clone(),
            working: inner.writing && inner.sending,
        }
    }

    /// Lets all that waits leave now, and waits for it, but no longer than `timeout`. A collector that asked to be left alone is left
    /// alone.
    ///
    /// # Privacy
    /// The time of sending then tells when the program did this. See [`Core::flush`].
    pub fn flush(&self, timeout: Duration) -> Flushed {
        let shared = &self.0.shared;
        if !shared.is_ours() {
            return Flushed::NotWorking;
        }
        let until = Instant::now() + timeout;
        let mut inner = shared.lock();
        inner.core.flush(shared.clock.now());
        inner.urgent = true;
        shared.tell();
        loop {
            let (status, now) = (inner.core.status(), shared.clock.now().at);
            let left = until.saturating_duration_since(Instant::now());
            if !(inner.writing && inner.sending) {
                return Flushed::NotWorking;
            }
            if inner.is_written() {
                if let Some(error) = status.storage.error {
                    return Flushed::NotWritten(error);
                }
                if status.waiting + status.on_the_way == 0 {
                    return Flushed::Done;
                }
                if let Some(outcome) = status.uploads.last
                    && status.uploads.retry_at.is_some_and(|at| at > now)
                {
                    return Flushed::NotSent(outcome);
                }
            }
            if left.is_zero() {
                return Flushed::TimedOut;
            }
            inner = shared.wait(inner, left);
        }
    }

    /// Sends what is due, writes everything and ends the threads, but waits no longer than `timeout`. Further events and answers are
    /// not written.
    ///
    /// Nothing is hurried to the collector by it: what still waits for its random time leaves after the next start.
    /// [`Self::flush`] first to send it now.
    pub fn close(&self, timeout: Duration) -> Closed {
        self.0.close(timeout)
    }

    /// Changes the core, if this process opened it.
    fn change<T>(&self, otherwise: T, change: impl FnOnce(&mut Core, Moment) -> T) -> T {
        if self.0.shared.is_ours() { self.0.shared.change(change) } else { otherwise }
    }

    fn change_and_write(&self, change: impl FnOnce(&mut Core, Moment)) {
        let shared = &self.0.shared;
        if !shared.is_ours() {
            return;
        }
        let until = Instant::now() + CONSENT_WAIT;
        let mut inner = shared.lock();
        change(&mut inner.core, shared.clock.now());
        inner.urgent = true;
        shared.tell();
        while inner.writing && !inner.is_written() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            inner = shared.wait(inner, left);
        }
    }
}

fn http(options: &Options) -> Result<Http, OpenError> {
    let endpoint = Endpoint::parse(&options.endpoint, options.plain_http)?;
    let roots = options.roots.as_deref().map(http::certificates).transpose()?;
    let key = (options.client.key != WriteKey::NONE).then_some(options.client.key);
    Ok(Http::new(endpoint, key, roots, options.limits))
}

fn start(
    shared: &Arc<Shared>,
    folder: Folder,
    http: Http,
    kept: Option<catalog::Kept>,
) -> Result<Vec<JoinHandle<()>>, OpenError> {
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        thread::Builder::new().name(name.to_owned()).spawn(run).map_err(OpenError::Threads)
    };
    let mut inner = shared.lock();
    let writer = Arc::clone(shared);
    let writer = spawn("deniable-write", Box::new(move || write::run(&writer, folder)))?;
    inner.writing = true;
    let sender = Arc::clone(shared);
    let sender = spawn("deniable-send", Box::new(move || send::run(&sender, &http, kept)));
    inner.sending = sender.is_ok();
    if sender.is_err() {
        inner.stop = Some(Instant::now());
    }
    Ok(Vec::from([writer, sender?]))
}

impl Handle {
    fn close(&self, timeout: Duration) -> Closed {
        if !self.shared.is_ours() {
            return Closed::NotWorking;
        }
        let until = Instant::now() + timeout;
        let mut inner = self.shared.lock();
        if !inner.writing || inner.stop.is_some() {
            return Closed::NotWorking;
        }
        inner.stop = Some(until);
        self.shared.tell();
        while inner.writing || inner.sending {
            let grace = if inner.writing { DISK_GRACE } else { Duration::ZERO };
            let left = (until + grace).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Closed::TimedOut;
            }
            inner = self.shared.wait(inner, left);
        }
        let error = inner.core.status().storage.error;
        drop(inner);
        // Both have said that they end, and do nothing after that.
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        threads.into_iter().for_each(|thread| drop(thread.join()));
        error.map_or(Closed::Written, Closed::NotWritten)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close(DROP_WAIT);
    }
}
