//! The client's state machine.

mod send;
mod take;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

pub use self::send::Commit;
pub use self::take::{DURATION, IDENTIFY, MAX_PROPERTIES, PAGE, Recorded, Tracked, Unfit};
use super::answer::Outcome;
use super::journal::Journal;
use super::ledger::{Budget, Ledger, LedgerView};
use super::options::{Consent, Options};
use super::preview::Preview;
use super::queue::{Outgoing, Queue};
use super::state::{self, Counts, Front, OpenError, StateError, Stored, StoredCatalog};
use super::status::{Begun, ClockState, Status, UploadStatus};
use super::timer::Timers;
use crate::calendar::{Day, Moment, Timestamp};
use crate::entropy::{Entropy, Randomness};
use crate::identity::DeviceSecret;
use crate::insight::Device;
use crate::metric::Epoch;
use crate::registry::{CatalogError, Metric, Registry, RegistryHash};

/// 2020-01-01T00:00Z: a clock before it was never set.
const EARLIEST: Timestamp = Timestamp::from_seconds(1_577_836_800);

/// A client without clock, disk or network: it is told of events, the time, and what became of commits and uploads, and says what
/// is to be written and sent.
pub struct Core {
    options: Options,
    registry: Arc<Registry>,
    /// The registry that the program brought.
    brought: RegistryHash,
    /// The catalog that took its place.
    catalog: Option<StoredCatalog>,
    catalog_error: Option<CatalogError>,
    randomness: Randomness,
    secret: DeviceSecret,
    /// What the person said; None if nobody asked through this client.
    decided: Option<Consent>,
    /// There is none without consent, or before the clock was set.
    device: Option<Device>,
    ledger: Ledger,
    queue: Queue,
    journal: Journal,
    timers: Timers,
    /// The commit by which the person is forgotten, until it is durable.
    erased_by: Option<u64>,
    counts: Counts,
    last_outcome: Option<Outcome>,
    begun: Begun,
    clock: ClockState,
    /// The last reading of the clock.
    latest: Timestamp,
    /// The day on which reports were last looked through for their age.
    expired: Option<Day>,
}

/// What became of a catalog.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// It is that of the registry in use.
    Unchanged,
    /// Its questions are answered from now on.
    Changed,
    /// It cannot be used; the questions stay as they were.
    Unusable(CatalogError),
}

/// An experiment, as it stands on this device.
#[derive(Clone, Copy)]
pub struct Experiment<'c> {
    device: Option<&'c Device>,
    name: &'c str,
}

impl<'c> Experiment<'c> {
    /// The arm that this device drew, for ever; None without consent, or if there is no such experiment.
    pub fn arm(&self) -> Option<&'c str> {
        self.device?.arm(self.name)
    }
}

impl Core {
    /// Begins with what was stored, or anew if nothing was.
    ///
    /// `registry` is what the program brings; a catalog that was received and stored since then takes its place.
    ///
    /// # Errors
    /// An [`OpenError`]. If the stored state cannot be read, it hands the bytes back; there is no client then. See
    /// [`Core::begin_anew`].
    pub fn open(
        registry: Arc<Registry>,
        options: Options,
        stored: Option<&[u8]>,
        entropy: &mut impl Entropy,
        now: Moment,
    ) -> Result<Self, OpenError> {
        options.check()?;
        registry.check_limits(options.limits)?;
        let Some(bytes) = stored else {
            return Self::begin(registry, options, Front::default(), Begun::New, entropy, now);
        };
        let randomness = Randomness::from_entropy(entropy)?;
        let unreadable = |error| OpenError::Unreadable { error, bytes: bytes.into() };
        Self::restore(registry, options, bytes, randomness, now).map_err(unreadable)
    }

    fn restore(
        registry: Arc<Registry>,
        options: Options,
        bytes: &[u8],
        randomness: Randomness,
        now: Moment,
    ) -> Result<Self, StateError> {
        let (front, stored) = state::read(bytes)?;
        let Stored { commit, secret, device, queue, counts, catalog } = stored;
        let mut core = Self::new(registry, options, front, Begun::Restored, secret, randomness, now);
        core.journal = Journal::resumed(commit);
        core.queue = queue;
        core.counts = counts;
        if !core.queue.take_up() {
            return Err(StateError::Corrupt);
        }
        if let Some(stored) = catalog
            && stored.came_to(core.brought)
        {
            if let Ok(received) = Registry::from_catalog_within(&stored.catalog, core.options.limits) {
                core.registry = Arc::new(received);
            }
            core.catalog = Some(stored);
        }
        if let Some(mut bytes) = device {
            let device = Device::restore(Arc::clone(&core.registry), &core.secret, mem::take(&mut *bytes));
            core.device = Some(device.map_err(|_| StateError::Corrupt)?);
        }
        core.ledger.close_unasked(&core.registry);
        core.erase_if_withdrawn(now);
        core.advance(now);
        Ok(core)
    }

    /// Begins anew after a state that could not be read, whose bytes were kept aside.
    ///
    /// What was spent and what the person said of consent are taken over if that part of the state is whole. If not, what was spent is
    /// unknown, [`LedgerView::lost_states`] says so, and nothing is kept before [`Core::opt_in`], for the person may have
    /// opted out. The secret is lost in any case, so every answer is charged anew.
    ///
    /// # Errors
    /// An [`OpenError`] if the host has no randomness, or a setting is outside its range.
    pub fn begin_anew(
        registry: Arc<Registry>,
        options: Options,
        unreadable: &[u8],
        entropy: &mut impl Entropy,
        now: Moment,
    ) -> Result<Self, OpenError> {
        options.check()?;
        registry.check_limits(options.limits)?;
        let why = state::read(unreadable).err().unwrap_or(StateError::Corrupt);
        let front = state::salvage(unreadable);
        // Where it is unknown what the person said, the person is to be asked.
        let unknown = || Front { ledger: Ledger::lost(), decided: Some(Consent::Pending) };
        let mut front = front.unwrap_or_else(unknown);
        front.ledger.close_secret();
        front.ledger.close_unasked(&registry);
        let mut core = Self::begin(registry, options, front, Begun::Anew(why), entropy, now)?;
        // What is known of them is to outlive the bytes.
        core.journal.press(now.at);
        Ok(core)
    }

    /// Takes over what was spent and said from a later state than the one that was restored, as far as it can be read; its reports may
    /// have left. So may those that waited, in a batch whose id is lost with it.
    #[cfg(feature = "native")]
    pub(crate) fn take_over(&mut self, later: &[u8], now: Moment) {
        // It is kept aside, so that the next beginning no longer finds it.
        self.journal.press(now.at);
        self.counts.dropped.uncertain += self.queue.drop_waiting() as u64;
        let Some(Front { ledger, decided }) = state::salvage(later) else {
            return self.ledger.lose();
        };
        (self.ledger, self.decided) = (ledger, decided);
        self.ledger.close_unasked(&self.registry);
        self.erase_if_withdrawn(now);
    }

    fn begin(
        registry: Arc<Registry>,
        options: Options,
        front: Front,
        begun: Begun,
        entropy: &mut impl Entropy,
        now: Moment,
    ) -> Result<Self, OpenError> {
        let (secret, randomness) = (DeviceSecret::draw(entropy)?, Randomness::from_entropy(entropy)?);
        let mut core = Self::new(registry, options, front, begun, secret, randomness, now);
        core.advance(now);
        Ok(core)
    }

    fn new(
        registry: Arc<Registry>,
        options: Options,
        Front { ledger, decided }: Front,
        begun: Begun,
        secret: DeviceSecret,
        randomness: Randomness,
        now: Moment,
    ) -> Self {
        Self {
            brought: registry.hash(),
            catalog: None,
            catalog_error: None,
            device: None,
            queue: Queue::default(),
            journal: Journal::default(),
            timers: Timers::default(),
            erased_by: None,
            counts: Counts::default(),
            last_outcome: None,
            clock: clock(now),
            latest: Timestamp::from_millis(i64::MAX),
            expired: None,
            options,
            registry,
            decided,
            ledger,
            begun,
            secret,
            randomness,
        }
    }

    /// An experiment, to ask for this device's arm.
    pub fn experiment<'c>(&'c self, name: &'c str) -> Experiment<'c> {
        Experiment { device: self.device.as_ref(), name }
    }

    /// The label of a segment or dimension that this device has now; None without consent, or if there is no such name.
    pub fn segment(&self, name: &str) -> Option<&str> {
        self.device.as_ref()?.segment(name)
    }

    /// The person agrees. Without a state that was kept the device begins as if it were installed now.
    pub fn opt_in(&mut self, now: Moment) {
        if self.decided != Some(Consent::Given) {
            self.decided = Some(Consent::Given);
            self.journal.press(now.at);
        }
        self.advance(now);
    }

    /// The person does not agree, or no longer. Events, answers, what waits and the secret are erased with the next commit; what was
    /// spent stays.
    pub fn opt_out(&mut self, now: Moment) {
        self.decided = Some(Consent::Withdrawn);
        self.erase(now);
    }

    /// Forgets the person, say because another one logs in: events, answers, what waits and the secret are erased with the next
    /// commit; what was spent stays. Consent stays as it is.
    pub fn reset(&mut self, now: Moment) {
        if self.holds_answers() || self.begun != Begun::New {
            self.erase(now);
            self.advance(now);
        }
    }

    /// Erases what was kept under a consent by default that the program withdraws.
    fn erase_if_withdrawn(&mut self, now: Moment) {
        if self.consent() == Consent::Withdrawn && self.holds_answers() {
            self.erase(now);
        }
    }

    fn holds_answers(&self) -> bool {
        self.device.is_some() || self.queue.len() > 0
    }

    fn consent(&self) -> Consent {
        self.decided.unwrap_or(self.options.consent)
    }

    fn erase(&mut self, now: Moment) {
        self.counts.dropped.erased += self.queue.len() as u64;
        self.queue = Queue::default();
        self.timers.clear();
        self.device = None;
        self.secret = DeviceSecret::from_bytes(*self.randomness.draw_secret());
        self.ledger.close_secret();
        self.erased_by = Some(self.journal.next());
        self.journal.press(now.at);
    }

    /// Lets time pass: what is due becomes reports, and what is too old goes.
    pub fn advance(&mut self, now: Moment) {
        self.clock = clock(now);
        if now.at < self.latest {
            self.journal.mend(now.at);
            self.queue.mend(now.at, &self.options, &mut self.randomness);
        }
        self.latest = now.at;
        if self.ready_quietly() {
            if self.device.is_none() {
                self.device = Some(Device::new(Arc::clone(&self.registry), &self.secret, now));
                self.journal.note(now.at);
            }
            let answers = self.device.as_mut().map(|device| device.advance(now)).unwrap_or_default();
            self.report_all(&answers, now);
        }
        self.queue.give_up(now.at, &mut self.randomness);
        self.expire(now);
    }

    /// Drops what became too old with the day.
    fn expire(&mut self, now: Moment) {
        let today = Moment::utc(now.at).day();
        if self.clock == ClockState::Plausible && self.expired != Some(today) {
            self.expired = Some(today);
            let oldest = Epoch(today.0.saturating_sub(self.options.max_age_days));
            let dropped = self.queue.expire(oldest);
            if dropped > 0 {
                self.counts.dropped.too_old += dropped as u64;
                self.journal.note(now.at);
            }
        }
    }

    /// Lets all that waits leave as soon as it can, without its random delay.
    ///
    /// # Privacy
    /// The time of sending then tells when the program did this.
    pub fn flush(&mut self, now: Moment) {
        self.advance(now);
        self.queue.hurry(now.at);
    }

    fn ready_quietly(&self) -> bool {
        self.consent() == Consent::Given && self.clock == ClockState::Plausible
    }

    /// What would be sent if every epoch ended now. Nothing ends by it.
    pub fn preview(&mut self, now: Moment) -> Vec<Preview> {
        self.advance(now);
        let Some(device) = &self.device else { return Vec::new() };
        let answers = device.peek();
        let mut previews = Vec::new();
        for metric in self.registry.metrics() {
            if metric.every().is_none() && is_asked(&self.registry, &self.secret, metric) {
                previews.push(Preview::of_program(metric, device.today().week().epoch()));
            }
            // The device answers those that are asked.
            if let Some(answered) = answers.iter().find(|answered| answered.metric == *metric.id()) {
                previews.push(Preview::of_device(metric, answered));
            }
        }
        previews
    }

    /// What was spent and may be spent.
    pub fn ledger(&self, now: Moment) -> LedgerView {
        let (registry, secret) = (&self.registry, &self.secret);
        let budget = Budget::new(registry, &|metric| is_asked(registry, secret, metric));
        let waiting = |stream: &_| self.queue.sum(&|report| usize::from(report.stream() == stream)) as u64;
        self.ledger.view(&budget, now.day().week(), waiting)
    }

    /// How the client is doing.
    pub fn status(&self) -> Status {
        let on_the_way = self.queue.batches.iter().map(Outgoing::len).sum::<usize>();
        Status {
            consent: self.consent(),
            begun: self.begun,
            clock: self.clock,
            storage: self.journal.status(),
            uploads: UploadStatus {
                last: self.last_outcome,
                failures: self.queue.failures,
                retry_at: self.queue.retry_at,
                counted: self.counts.counted,
                refused: self.counts.refused.clone(),
            },
            waiting: self.queue.waiting.len() as u64,
            on_the_way: on_the_way as u64,
            queue_bytes: self.queue.bytes(),
            dropped: self.counts.dropped,
            refusals: self.counts.refusals,
            registry: self.registry.hash(),
            catalog_error: self.catalog_error.clone(),
            events: self.device.as_ref().map(|device| *device.counters()).unwrap_or_default(),
            overflowed_cells: self.device.as_ref().map_or(0, Device::overflowed),
        }
    }

    /// Takes the catalog that a collector offers. Reports that wait keep what they were made under.
    pub fn catalog(&mut self, catalog: &[u8], now: Moment) -> Taken {
        let registry = match Registry::from_catalog_within(catalog, self.options.limits) {
            Ok(registry) => registry,
            Err(error) => {
                self.catalog_error = Some(error.clone());
                return Taken::Unusable(error);
            }
        };
        self.catalog_error = None;
        if registry.hash() == self.registry.hash() {
            return Taken::Unchanged;
        }
        // What is due was asked by the registry before.
        self.advance(now);
        self.registry = Arc::new(registry);
        self.catalog = Some(StoredCatalog::new(self.brought, catalog.to_vec()));
        self.ledger.close_unasked(&self.registry);
        self.device = self.device.take().map(|device| {
            let restored = Device::restore(Arc::clone(&self.registry), &self.secret, device.store());
            restored.expect("what was just stored is whole")
        });
        self.journal.press(now.at);
        Taken::Changed
    }

    /// The questions that are answered.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }
}

fn clock(now: Moment) -> ClockState {
    if now.at < EARLIEST { ClockState::NotSet } else { ClockState::Plausible }
}

/// Whether the device answers a metric.
fn is_asked(registry: &Registry, secret: &DeviceSecret, metric: &Metric) -> bool {
    registry.holds(registry.group_of(secret), metric.id())
}
