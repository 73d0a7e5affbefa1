//! The client's state machine.

use alloc::sync::Arc;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::answer::{Outcome, Receipt, Reply, Verdict, judge};
use super::journal::Journal;
use super::ledger::{Budget, Cap, Ledger, LedgerView};
use super::options::{Consent, Options};
use super::preview::Preview;
use super::queue::{Finished, NextUpload, Outgoing, Queue, StoredQueue};
use super::state::{self, Counts, OpenError, Stored, StoredCatalog};
use super::status::{Begun, ClockState, MAX_REASONS, Status, StorageError, UploadStatus};
use super::timer::Timers;
use crate::calendar::{Day, Moment, Timestamp};
use crate::domain::{Answer, DomainError};
use crate::encoder::{EncodeError, Encoder, Value};
use crate::entropy::{Entropy, Randomness};
use crate::identity::DeviceSecret;
use crate::insight::{Answered, Device, Event, Property};
use crate::metric::{Epoch, MetricId};
use crate::registry::{CatalogError, Metric, Registry, RegistryHash};

/// The most properties of one event that are read.
pub const MAX_PROPERTIES: usize = 64;

/// The property that a timer adds to the event of its name: the seconds that passed.
pub const DURATION: &str = "duration";

/// The event of [`Core::page`].
pub const PAGE: &str = "page";

/// The event of [`Core::identify`].
pub const IDENTIFY: &str = "identify";

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
    counts: Counts,
    last_outcome: Option<Outcome>,
    begun: Begun,
    clock: ClockState,
    /// The last reading of the clock.
    latest: Timestamp,
    /// The day on which reports were last looked through for their age.
    expired: Option<Day>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracked {
    /// It was taken up.
    Taken,
    /// No event of that name is declared. It was counted and forgotten.
    Unknown,
    /// There is no consent. It was forgotten.
    NoConsent,
    /// The clock was never set, so it has no time. It was forgotten.
    ClockNotSet,
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Recorded {
    /// A report of it was made and charged. It leaves after the next commit, in its time.
    Reported,
    /// A report would have passed a cap. The metric is silent for the rest of that week, or for ever.
    BudgetSpent(Cap),
    /// There is no consent. It was forgotten.
    NoConsent,
    /// The metric is past its last day.
    Expired,
    /// This device answers other metrics.
    NotRotatedIn,
    /// There is no such metric.
    Unknown,
    /// The device answers this metric itself, from events.
    AnsweredByDevice,
    /// The answer is of the wrong kind, or outside the metric's domain.
    Unfit(Unfit),
    /// The clock was never set, so there is no epoch.
    ClockNotSet,
}

/// An answer that a metric has no place for. It never names the answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// It is outside the metric's domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// It does not fit the metric's parameters.
    #[error(transparent)]
    Encode(#[from] EncodeError),
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

/// A state to be made durable, in one step: after a crash the storage holds these bytes or those before.
pub struct Commit {
    /// Its number.
    pub number: u64,
    /// The whole state. It holds the secret, and is wiped from memory when dropped.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl core::fmt::Debug for Commit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Commit({}, {} bytes)", self.number, self.bytes.len())
    }
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
        let Some(bytes) = stored else {
            return Self::begin(registry, options, Ledger::default(), Begun::New, entropy, now);
        };
        let unreadable = |error| OpenError::Unreadable { error, bytes: bytes.into() };
        let (ledger, mut stored) = state::read(bytes).map_err(unreadable)?;
        let secret = DeviceSecret::from_bytes(stored.secret);
        let (brought, catalog) = (registry.hash(), stored.catalog.take());
        let catalog = catalog.filter(|catalog| catalog.came_to(brought));
        let received = catalog.as_ref().and_then(|stored| Registry::from_catalog(&stored.catalog).ok());
        let registry = received.map_or(registry, Arc::new);
        let device = stored.device.take().map(|bytes| Device::restore(Arc::clone(&registry), &secret, bytes));
        let device = device.transpose().map_err(|_| unreadable(state::StateError::Corrupt))?;
        let queue = core::mem::take(&mut stored.queue).restore();
        let queue = queue.ok_or_else(|| unreadable(state::StateError::Corrupt))?;
        let mut core = Self {
            randomness: Randomness::from_entropy(entropy)?,
            catalog_error: None,
            decided: stored.decided,
            queue,
            journal: Journal::resumed(stored.commit),
            timers: Timers::default(),
            counts: core::mem::take(&mut stored.counts),
            last_outcome: None,
            begun: Begun::Restored,
            clock: clock(now),
            latest: Timestamp::from_millis(i64::MAX),
            expired: None,
            options,
            registry,
            brought,
            catalog,
            secret,
            device,
            ledger,
        };
        core.ledger.close_unasked(&core.registry);
        core.advance(now);
        Ok(core)
    }

    /// Begins anew after a state that could not be read, whose bytes were kept aside.
    ///
    /// What was spent is taken over if that part of the state is whole; if not, it is unknown, and
    /// [`LedgerView::lost_states`] says so. The secret is lost in any case, so every answer is charged anew.
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
        let why = state::read(unreadable).err().unwrap_or(state::StateError::Corrupt);
        let ledger = state::salvage(unreadable);
        let lost = u32::from(ledger.is_none());
        let mut ledger = ledger.unwrap_or_default();
        ledger.lost_states = ledger.lost_states.saturating_add(lost);
        ledger.close_secret();
        ledger.close_unasked(&registry);
        Self::begin(registry, options, ledger, Begun::Anew(why), entropy, now)
    }

    fn begin(
        registry: Arc<Registry>,
        options: Options,
        ledger: Ledger,
        begun: Begun,
        entropy: &mut impl Entropy,
        now: Moment,
    ) -> Result<Self, OpenError> {
        let mut core = Self {
            secret: DeviceSecret::draw(entropy)?,
            randomness: Randomness::from_entropy(entropy)?,
            brought: registry.hash(),
            catalog: None,
            catalog_error: None,
            decided: None,
            device: None,
            queue: Queue::default(),
            journal: Journal::default(),
            timers: Timers::default(),
            counts: Counts::default(),
            last_outcome: None,
            clock: clock(now),
            latest: Timestamp::from_millis(i64::MAX),
            expired: None,
            options,
            registry,
            ledger,
            begun,
        };
        core.advance(now);
        Ok(core)
    }

    /// Takes up an event. It costs a bounded time and memory, does not wait, and cannot fail.
    pub fn track(&mut self, event: &str, properties: &[(&str, Property<'_>)], now: Moment) -> Tracked {
        if let Err(refusal) = self.ready(now) {
            return match refusal {
                Closed::NoConsent => Tracked::NoConsent,
                Closed::ClockNotSet => Tracked::ClockNotSet,
            };
        }
        let read = &properties[..properties.len().min(MAX_PROPERTIES)];
        self.counts.refusals.too_many_properties += (properties.len() - read.len()) as u64;
        let duration = self.timers.stop(event, now.at).map(|seconds| (DURATION, Property::Number(seconds)));
        let duration = duration.filter(|_| self.registry.property(event, DURATION).is_some());
        let with_duration: Vec<_>;
        let properties = match duration {
            Some(duration) => {
                with_duration = read.iter().copied().chain([duration]).collect();
                &with_duration[..]
            }
            None => read,
        };
        let answers = match &mut self.device {
            Some(device) => device.track(&Event { name: event, properties, at: None }, now),
            None => Vec::new(),
        };
        self.journal.note(now.at);
        self.report_all(&answers, now);
        if self.registry.event_names.contains_key(event) { Tracked::Taken } else { Tracked::Unknown }
    }

    /// Takes up the view of a page or screen: the event [`PAGE`] with its `name` among its properties.
    pub fn page(&mut self, name: &str, properties: &[(&str, Property<'_>)], now: Moment) -> Tracked {
        self.track_with(PAGE, ("name", Property::Text(name)), properties, now)
    }

    fn track_with(
        &mut self,
        event: &str,
        first: (&str, Property<'_>),
        properties: &[(&str, Property<'_>)],
        now: Moment,
    ) -> Tracked {
        let read = properties.iter().take(MAX_PROPERTIES - 1).copied();
        let properties: Vec<_> = [first].into_iter().chain(read).collect();
        self.track(event, &properties, now)
    }

    /// Takes up what is known of the person: the event [`IDENTIFY`] with the traits as its properties, for questions to be
    /// computed from.
    ///
    /// # Privacy
    /// There is no identifier to give, because none could ever leave the device.
    pub fn identify(&mut self, traits: &[(&str, Property<'_>)], now: Moment) -> Tracked {
        self.track(IDENTIFY, traits, now)
    }

    /// Takes an answer to a metric that the program answers by itself. Its report belongs to the week.
    ///
    /// # Privacy
    /// Each report costs ε₁ and all of one answer at most ε∞; the ledger refuses what would pass the caps.
    pub fn record(&mut self, metric: &MetricId, answer: Answer<'_>, now: Moment) -> Recorded {
        if let Err(refusal) = self.ready(now) {
            return match refusal {
                Closed::NoConsent => Recorded::NoConsent,
                Closed::ClockNotSet => Recorded::ClockNotSet,
            };
        }
        let registry = Arc::clone(&self.registry);
        let recorded = match registry.metric(metric) {
            None => Recorded::Unknown,
            Some(metric) if metric.every().is_some() => Recorded::AnsweredByDevice,
            Some(metric) => self.record_known(metric, answer, now),
        };
        let refusals = &mut self.counts.refusals;
        match &recorded {
            Recorded::Unknown | Recorded::AnsweredByDevice => refusals.not_asked += 1,
            Recorded::Expired => refusals.expired += 1,
            Recorded::NotRotatedIn => refusals.not_rotated_in += 1,
            Recorded::Unfit(_) => refusals.unfit += 1,
            _ => {}
        }
        self.journal.note(now.at);
        recorded
    }

    fn record_known(&mut self, metric: &Metric, answer: Answer<'_>, now: Moment) -> Recorded {
        let Some(device) = &self.device else { return Recorded::NoConsent };
        let today = device.today();
        if metric.expires().is_some_and(|day| day <= today) {
            return Recorded::Expired;
        }
        if !is_asked(&self.registry, &self.secret, metric) {
            return Recorded::NotRotatedIn;
        }
        let tags = if metric.is_sensitive() { Vec::new() } else { device.tags() };
        let encoder = self.encoder(metric);
        let value = match metric.domain() {
            Some(domain) => domain.value(answer, encoder.rounding()),
            None => plain_value(answer),
        };
        match value {
            Ok(value) => self.report(metric, &encoder, value, (today.week().epoch(), &tags), now.at),
            Err(error) => Recorded::Unfit(error.into()),
        }
    }

    /// Starts a timer, or starts it anew. The next event of that name gets the seconds that passed as its property
    /// [`DURATION`], if it declares one.
    pub fn start_timer(&mut self, name: &str, now: Moment) {
        if self.consent() == Consent::Given {
            self.timers.start(name, now.at);
        }
    }

    /// Ends a timer: the seconds that passed. None if it does not run, or the clock was set back meanwhile.
    pub fn stop_timer(&mut self, name: &str, now: Moment) -> Option<f64> {
        self.timers.stop(name, now.at)
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
        if self.device.is_some() || self.queue.len() > 0 {
            self.erase(now);
            self.advance(now);
        }
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

    /// Whether events and answers are taken; counts that they are not.
    fn ready(&mut self, now: Moment) -> Result<(), Closed> {
        let consent = self.consent();
        let refusals = &mut self.counts.refusals;
        if consent != Consent::Given {
            refusals.no_consent += 1;
            return Err(Closed::NoConsent);
        }
        if clock(now) == ClockState::NotSet {
            self.clock = ClockState::NotSet;
            refusals.clock_not_set += 1;
            return Err(Closed::ClockNotSet);
        }
        self.advance(now);
        Ok(())
    }

    fn encoder(&self, metric: &Metric) -> Encoder {
        Encoder::new(metric.id().clone(), metric.version(), *metric.params(), &self.secret)
    }

    fn report_all(&mut self, answers: &[Answered], now: Moment) {
        let registry = Arc::clone(&self.registry);
        for answered in answers {
            let Some(metric) = registry.metric(&answered.metric) else { continue };
            if !is_asked(&registry, &self.secret, metric) {
                continue;
            }
            let encoder = self.encoder(metric);
            // What the device answers by itself has a domain.
            let value = metric.domain().map(|domain| answered.given.value(domain, encoder.rounding()));
            let Some(Ok(value)) = value else {
                self.counts.refusals.unfit += 1;
                continue;
            };
            self.report(metric, &encoder, value, (answered.epoch, &answered.tags), now.at);
        }
    }

    /// Charges a report and makes it.
    fn report(
        &mut self,
        metric: &Metric,
        encoder: &Encoder,
        value: Value<'_>,
        (epoch, tags): (Epoch, &[usize]),
        now: Timestamp,
    ) -> Recorded {
        let pattern = match encoder.pattern(&self.secret, value) {
            Ok(pattern) => pattern,
            Err(error) => return Recorded::Unfit(error.into()),
        };
        let (registry, secret) = (&self.registry, &self.secret);
        let budget = Budget::new(registry, |metric| is_asked(registry, secret, metric));
        if let Err(cap) = self.ledger.charge(&budget, metric, pattern, Day(epoch.0).week()) {
            match cap {
                Cap::Week => self.counts.refusals.week_spent += 1,
                Cap::Life => self.counts.refusals.life_spent += 1,
            }
            self.journal.note(now);
            return Recorded::BudgetSpent(cap);
        }
        let report = encoder.encode(value, epoch, &mut self.randomness);
        let report = report.expect("its pattern was found, so it fits");
        let report = report.published(registry.hash(), tags);
        let report = report.expect("a registry has no more tags and labels than a report has room for");
        self.queue.push(report, now, &self.options, &mut self.randomness);
        self.counts.dropped.no_room += self.queue.shrink(self.options.queue_bytes) as u64;
        self.journal.press(now);
        Recorded::Reported
    }

    /// What would be sent if every epoch ended now. Nothing ends by it.
    pub fn preview(&mut self, now: Moment) -> Vec<Preview> {
        self.advance(now);
        let Some(device) = &self.device else { return Vec::new() };
        let answers = device.peek();
        let asked = self.registry.metrics().filter(|metric| is_asked(&self.registry, &self.secret, metric));
        let preview = |metric: &Metric| match metric.every() {
            None => Some(Preview::of_program(metric, device.today().week().epoch())),
            Some(_) => {
                let answered = answers.iter().find(|answered| answered.metric == *metric.id())?;
                Some(Preview::of_device(metric, answered))
            }
        };
        asked.filter_map(preview).collect()
    }

    /// What was spent and may be spent.
    pub fn ledger(&self, now: Moment) -> LedgerView {
        let (registry, secret) = (&self.registry, &self.secret);
        let budget = Budget::new(registry, |metric| is_asked(registry, secret, metric));
        let waiting = |stream: &_| self.queue.reports().filter(|report| report.stream() == stream).count();
        self.ledger.view(&budget, now.day().week(), |stream| waiting(stream) as u64)
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
        let registry = match Registry::from_catalog(catalog) {
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

    /// The state to write, if it is time: reports, charges and consent at once, events when
    /// [`Options::write_delay`] has passed, or at once if `urgent`. Forms the next batch. One commit is on its way at a time; tell
    /// [`Core::committed`] or [`Core::commit_failed`] what became of it.
    pub fn commit(&mut self, now: Moment, urgent: bool) -> Option<Commit> {
        self.advance(now);
        if self.queue.forms_at().is_some_and(|at| at <= now.at) {
            self.journal.press(now.at);
        }
        let due = self.journal.due(self.options.write_delay).is_some_and(|at| at <= now.at);
        if !due && !(urgent && self.journal.is_ready()) {
            return None;
        }
        let next = self.journal.next();
        self.queue.form(next, now.at, &self.options, &mut self.randomness);
        let number = self.journal.take_number();
        let bytes = self.write(number);
        self.journal.begin(bytes.len());
        Some(Commit { number, bytes })
    }

    fn write(&self, commit: u64) -> Zeroizing<Vec<u8>> {
        let stored = Stored {
            commit,
            decided: self.decided,
            secret: *self.secret.to_bytes(),
            device: self.device.as_ref().map(Device::store),
            queue: StoredQueue::of(&self.queue),
            counts: self.counts.clone(),
            catalog: self.catalog.clone(),
        };
        state::write(&self.ledger, &stored)
    }

    /// The commit of that number is durable: what it holds may be sent.
    pub fn committed(&mut self, number: u64) {
        self.journal.succeed(number);
    }

    /// The commit of that number failed, and may be durable or not. It is tried again, later each time.
    pub fn commit_failed(&mut self, number: u64, error: StorageError, now: Moment) {
        self.journal.fail(number, error, now.at);
    }

    /// When to call [`Core::commit`] and [`Core::next_upload`] again, if nothing happens before; None if nothing waits.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let commit = self.journal.due(self.options.write_delay);
        let upload = self.queue.wakes_at(self.journal.durable());
        [commit, upload].into_iter().flatten().min()
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
    pub fn finish_upload(&mut self, id: crate::BatchId, reply: Reply<'_>, now: Moment) -> Finished {
        self.advance(now);
        let Some(mut batch) = self.queue.finished(id) else { return Finished::Unknown };
        let (verdict, outcome) = judge(&reply, batch.reports.len() as u64, now.at);
        self.last_outcome = Some(outcome);
        match verdict {
            Verdict::Received(receipt) => {
                self.queue.succeed();
                self.journal.press(now.at);
                self.received(batch, receipt)
            }
            Verdict::Never(reason) => {
                self.queue.succeed();
                self.journal.press(now.at);
                let reports = batch.len() as u64;
                self.count_refused(&reason, reports);
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

    fn received(&mut self, batch: Outgoing, receipt: Receipt) -> Finished {
        let refused = receipt.refused();
        for (reason, reports) in &receipt.refused {
            self.count_refused(reason, *reports);
        }
        let mut counted = receipt.counted;
        let (rest, unsure) = (batch.rest.len() as u64, batch.unsure);
        match (receipt.duplicate, unsure) {
            // The half was counted now, so the whole never was.
            (false, _) => {
                let cut_off = batch.cut_off(self.journal.next(), &mut self.randomness);
                cut_off.into_iter().for_each(|batch| self.queue.put_back(batch));
            }
            // The whole was counted before.
            (true, false) => counted += rest,
            // The whole was counted before, or the half was.
            (true, true) => self.counts.dropped.uncertain += rest,
        }
        self.counts.counted += counted;
        Finished::Delivered { counted, refused }
    }

    fn too_large(&mut self, batch: Outgoing) -> Finished {
        if batch.reports.len() > 1 {
            let halves = batch.halve(self.journal.next(), &mut self.randomness);
            halves.into_iter().rev().for_each(|half| self.queue.put_back(half));
            return Finished::Split;
        }
        self.counts.dropped.too_large += 1;
        self.counts.dropped.uncertain += batch.rest.len() as u64;
        Finished::Dropped { reports: batch.len() as u64 }
    }

    fn count_refused(&mut self, reason: &str, reports: u64) {
        const OTHER: &str = "other";
        let refused = &mut self.counts.refused;
        let known = refused.contains_key(reason) || (refused.len() < MAX_REASONS && reason.len() <= 40);
        *refused.entry(if known { reason } else { OTHER }.into()).or_default() += reports;
    }
}

/// Why events and answers are not taken.
enum Closed {
    NoConsent,
    ClockNotSet,
}

fn clock(now: Moment) -> ClockState {
    if now.at < EARLIEST { ClockState::NotSet } else { ClockState::Plausible }
}

/// Whether the device answers a metric.
fn is_asked(registry: &Registry, secret: &DeviceSecret, metric: &Metric) -> bool {
    registry.rotation().group_of(secret).holds(metric.id())
}

/// The value of an answer to a metric whose registry states its parameters alone: a text, or a place in its list.
fn plain_value(answer: Answer<'_>) -> Result<Value<'_>, DomainError> {
    match answer {
        Answer::Flag(yes) => Ok(Value::Choice(usize::from(yes))),
        Answer::Text(text) => Ok(Value::Text(text)),
        Answer::Number(place) if place >= 0.0 && libm::trunc(place) == place => {
            Ok(Value::Choice(place as usize))
        }
        other => {
            Err(DomainError::WrongKind { kind: other.kind(), wanted: "a text, or a place counted from 0" })
        }
    }
}
