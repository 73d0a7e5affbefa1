//! A client on a host that stores at once: what a native program needs.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::answer::Reply;
use super::ledger::LedgerView;
use super::machine::{Core, Experiment, Recorded, Taken, Tracked};
use super::options::Options;
use super::preview::Preview;
use super::queue::{Finished, NextUpload};
use super::state::{OpenError, StateError};
use super::status::{Status, StorageError};
use crate::calendar::{Moment, Timestamp};
use crate::domain::Answer;
use crate::entropy::Entropy;
use crate::insight::Property;
use crate::metric::MetricId;
use crate::registry::Registry;
use crate::report::BatchId;

/// What a client needs of the program around it: a clock, randomness, and a place for one state.
pub trait Host: Entropy {
    /// What the clock shows.
    fn now(&mut self) -> Moment;

    /// The bytes that were stored last; None if there never were any.
    ///
    /// # Errors
    /// A [`StorageError`] if it cannot be known what is stored.
    fn load(&mut self) -> Result<Option<Vec<u8>>, StorageError>;

    /// Puts these bytes in the place of those before, durably and in one step: after a crash at any instant
    /// [`Host::load`] gives either these or those.
    ///
    /// # Errors
    /// A [`StorageError`]. The bytes may be stored all the same.
    fn store(&mut self, bytes: &[u8]) -> Result<(), StorageError>;

    /// Keeps aside a state that cannot be read, for people to look at, where the next state does not overwrite it.
    ///
    /// # Errors
    /// A [`StorageError`]. The client does not begin then.
    fn set_aside(&mut self, bytes: &[u8]) -> Result<(), StorageError>;

    /// Removes all states that were set aside: the person is to be forgotten.
    ///
    /// # Errors
    /// A [`StorageError`]. It is tried again.
    fn clear_aside(&mut self) -> Result<(), StorageError>;
}

/// A [`Core`] with its host. Calls change the memory alone, but for [`Client::work`], [`Client::flush`] and
/// those that concern consent, which write as well.
pub struct Client<H> {
    core: Core,
    host: H,
}

impl<H: Host> Client<H> {
    /// Begins with what the host has stored. A state that is damaged is set aside, and the client begins anew;
    /// [`Status::begun`] says so.
    ///
    /// # Errors
    /// An [`OpenError`]: a setting outside its range, no randomness, a host that cannot load or set aside, or a state
    /// from a newer program, which stays where it is.
    pub fn open(registry: Arc<Registry>, options: Options, mut host: H) -> Result<Self, OpenError> {
        let stored = host.load().map_err(OpenError::Storage)?;
        let now = host.now();
        let opened = Core::open(Arc::clone(&registry), options.clone(), stored.as_deref(), &mut host, now);
        let core = match opened {
            Err(OpenError::Unreadable { error, bytes }) if !matches!(error, StateError::Newer { .. }) => {
                host.set_aside(&bytes).map_err(OpenError::Storage)?;
                Core::begin_anew(registry, options, &bytes, &mut host, now)?
            }
            opened => opened?,
        };
        Ok(Self { core, host })
    }

    /// As [`Core::track`].
    pub fn track(&mut self, event: &str, properties: &[(&str, Property<'_>)]) -> Tracked {
        let now = self.host.now();
        self.core.track(event, properties, now)
    }

    /// As [`Core::page`].
    pub fn page(&mut self, name: &str, properties: &[(&str, Property<'_>)]) -> Tracked {
        let now = self.host.now();
        self.core.page(name, properties, now)
    }

    /// As [`Core::identify`].
    pub fn identify(&mut self, traits: &[(&str, Property<'_>)]) -> Tracked {
        let now = self.host.now();
        self.core.identify(traits, now)
    }

    /// As [`Core::record`].
    pub fn record(&mut self, metric: &MetricId, answer: Answer<'_>) -> Recorded {
        let now = self.host.now();
        self.core.record(metric, answer, now)
    }

    /// As [`Core::start_timer`].
    pub fn start_timer(&mut self, name: &str) {
        let now = self.host.now();
        self.core.start_timer(name, now);
    }

    /// As [`Core::stop_timer`].
    pub fn stop_timer(&mut self, name: &str) -> Option<f64> {
        let now = self.host.now();
        self.core.stop_timer(name, now)
    }

    /// As [`Core::record_timer`].
    pub fn record_timer(&mut self, metric: &MetricId, name: &str) -> Option<Recorded> {
        let now = self.host.now();
        self.core.record_timer(metric, name, now)
    }

    /// As [`Core::experiment`].
    pub fn experiment<'c>(&'c self, name: &'c str) -> Experiment<'c> {
        self.core.experiment(name)
    }

    /// As [`Core::segment`].
    pub fn segment(&self, name: &str) -> Option<&str> {
        self.core.segment(name)
    }

    /// As [`Core::opt_in`], and writes it.
    pub fn opt_in(&mut self) {
        let now = self.host.now();
        self.core.opt_in(now);
        self.write(true);
    }

    /// As [`Core::opt_out`], and writes it.
    pub fn opt_out(&mut self) {
        let now = self.host.now();
        self.core.opt_out(now);
        self.write(true);
    }

    /// As [`Core::reset`], and writes it.
    pub fn reset(&mut self) {
        let now = self.host.now();
        self.core.reset(now);
        self.write(true);
    }

    /// As [`Core::preview`].
    pub fn preview(&mut self) -> Vec<Preview> {
        let now = self.host.now();
        self.core.preview(now)
    }

    /// As [`Core::ledger`].
    pub fn ledger(&mut self) -> LedgerView {
        let now = self.host.now();
        self.core.ledger(now)
    }

    /// As [`Core::status`].
    pub fn status(&self) -> Status {
        self.core.status()
    }

    /// As [`Core::catalog`].
    pub fn catalog(&mut self, catalog: &[u8]) -> Taken {
        let now = self.host.now();
        self.core.catalog(catalog, now)
    }

    /// Writes what is due, and says when to call again, at the latest.
    pub fn work(&mut self) -> Option<Timestamp> {
        self.write(false);
        self.core.wake_at()
    }

    /// As [`Core::flush`], and writes it: what waits can be sent now.
    pub fn flush(&mut self) {
        let now = self.host.now();
        self.core.flush(now);
        self.write(true);
    }

    /// As [`Core::next_upload`], after writing what is due.
    pub fn next_upload(&mut self) -> NextUpload {
        self.write(false);
        let now = self.host.now();
        self.core.next_upload(now)
    }

    /// As [`Core::finish_upload`].
    pub fn finish_upload(&mut self, id: BatchId, reply: Reply<'_>) -> Finished {
        let now = self.host.now();
        self.core.finish_upload(id, reply, now)
    }

    fn write(&mut self, urgent: bool) {
        let now = self.host.now();
        let Some(commit) = self.core.commit(now, urgent) else { return };
        let cleared = if commit.erases { self.host.clear_aside() } else { Ok(()) };
        match cleared.and_then(|()| self.host.store(&commit.bytes)) {
            Ok(()) => self.core.committed(commit.number),
            Err(error) => {
                let now = self.host.now();
                self.core.commit_failed(commit.number, error, now);
            }
        }
    }

    /// The state machine, for what has no call here.
    pub fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    /// The host.
    pub fn host(&mut self) -> &mut H {
        &mut self.host
    }
}
