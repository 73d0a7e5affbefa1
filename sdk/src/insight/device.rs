//! The state machine of one device.

use alloc::sync::Arc;
use alloc::vec::Vec;

use smallvec::SmallVec;

use super::clock::{Clock, Reading};
use super::kept::Kept;
use super::read::{View, instance};
use super::tally::{Got, Occasion, Tally};
use super::{Answered, Counters, Event, MAX_TEXT_BYTES, Property};
use crate::calendar::{Day, Moment, Timestamp};
use crate::identity::DeviceSecret;
use crate::metric::MetricId;
use crate::registry::{self, Cell, Check, EventPlan, Every, Metric, OTHER, Plan, Registry, Window};

/// The most epochs of one kind that are answered after a long sleep, beside the one that was open.
const MAX_CAUGHT_UP: usize = 30;

/// The properties of an event, each in the place of its declaration. A few of them take no memory of their own.
type Properties<'a> = SmallVec<[Option<Got<'a>>; 8]>;

/// Which metrics a device answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Those of the group in this place.
    Group(usize),
    /// All, whatever they cost together.
    Everything,
}

/// One device: where it is in time, and what its cells remember.
///
/// ```
/// use std::sync::Arc;
/// use deniable::DeviceSecret;
/// use deniable::calendar::{Moment, Timestamp};
/// use deniable::insight::{Device, Event, Given};
/// use deniable::registry::{Declared, Registry};
///
/// let declared: Declared = serde_json::from_str(r#"{
///     "events": { "saved": {} },
///     "metrics": { "saves": { "version": 1, "question": "Did the device save anything today?", "every": "day",
///         "source": { "any": { "events": ["saved"], "window": "day" } }, "kind": "boolean", "epsilon": 1.0 } }
/// }"#)?;
/// let registry = Arc::new(Registry::new(&declared)?);
/// let at = |hours: i64| Moment::utc(Timestamp::from_seconds(hours * 3600));
/// let mut device = Device::new(registry, &DeviceSecret::from_bytes([7; 32]), at(0));
/// assert!(device.track(&Event { name: "saved", properties: &[], at: None }, at(10)).is_empty());
/// let answers = device.advance(at(25));
/// assert!(answers[0].given == Given::Choice(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Device {
    pub(super) registry: Arc<Registry>,
    pub(super) asked: Asked,
    pub(super) secret: DeviceSecret,
    pub(super) clock: Clock,
    pub(super) tallies: Vec<Tally>,
    /// Metrics that are answered once, and were: each with its version.
    pub(super) done: Vec<(MetricId, u32)>,
    pub(super) counters: Counters,
    pub(super) kept: Kept,
}

impl Device {
    /// Begins with a device that was installed just now.
    pub fn new(registry: Arc<Registry>, secret: &DeviceSecret, install: Moment) -> Self {
        Self {
            clock: Clock::new(install),
            tallies: registry.cells.iter().map(|_| Tally::Empty).collect(),
            done: Vec::new(),
            counters: Counters::default(),
            kept: Kept::default(),
            asked: Asked::Group(registry.group_of(secret)),
            secret: secret.clone(),
            registry,
        }
    }

    /// Lets it answer every metric, also those of other groups.
    ///
    /// # Privacy
    /// The answers together cost more than the registry's caps if its metrics [rotate](crate::registry::Rotation). This is
    /// for tests and replays of events, and none of it may be reported.
    #[must_use]
    pub fn answering_everything(self) -> Self {
        Self { asked: Asked::Everything, ..self }
    }

    /// Forgets everything: the state of a device that was installed just now, under a secret that was drawn anew.
    pub fn reset(&mut self, secret: &DeviceSecret, install: Moment) {
        let everything = self.asked == Asked::Everything;
        let begun = Self::new(Arc::clone(&self.registry), secret, install);
        *self = if everything { begun.answering_everything() } else { begun };
    }

    /// The questions it answers.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// How often something was dropped or put right.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many cells met more different texts than they tell apart, and count fewer than there were.
    pub fn overflowed(&self) -> usize {
        self.tallies.iter().filter(|tally| tally.overflowed()).count()
    }

    /// The number of the current or last session, from 1; 0 before the first event.
    pub fn session(&self) -> u32 {
        self.clock.session
    }

    /// The arm of an experiment that this device has drawn, for ever; None if there is no such experiment. Show it to everybody
    /// or to those who are eligible: the answer of the others says so.
    pub fn arm(&self, experiment: &str) -> Option<&str> {
        let place = self.registry.trials.iter().position(|trial| trial.name == experiment)?;
        let arm = self.view(self.clock.today).arm(place);
        self.registry.trials[place].arms.get(arm).map(|(name, _)| name.as_str())
    }

    /// The label of a segment or dimension that this device has now; None if there is no such name.
    pub fn segment(&self, name: &str) -> Option<&str> {
        let (_, closed) = *self.registry.named.iter().find(|(named, _)| named == name)?;
        let label = self.view(self.clock.today).place(closed);
        self.registry.closed[closed].labels.get(label).map(alloc::string::String::as_str)
    }

    /// What it would answer if every open epoch ended now. Nothing ends, and nothing is remembered of it.
    pub fn peek(&self) -> Vec<Answered> {
        let today = self.clock.today;
        let mut answers = Vec::new();
        for (metric, plan) in planned(&self.registry) {
            let period = match plan.every {
                Every::Week | Every::Once => today.week(),
                Every::Month => today.month(),
                Every::Session | Every::Day | Every::Event(_) => today,
            };
            if !self.is_done(metric) {
                self.answer_one(metric, plan, period, period, &mut answers);
            }
        }
        answers
    }

    /// The local day whose epoch is open.
    pub(crate) fn today(&self) -> Day {
        self.clock.today
    }

    /// The public tags, as places in their lists.
    pub(crate) fn tags(&self) -> Vec<usize> {
        self.view(self.clock.today).tags()
    }

    /// Takes up an event, and answers for the epochs that ended before it.
    pub fn track(&mut self, event: &Event<'_>, now: Moment) -> Vec<Answered> {
        let answers = self.advance(now);
        self.take_up(event, now.at);
        answers
    }

    /// Takes up an event after [`Device::advance`] was told the time, and says whether it is declared.
    pub(crate) fn take_up(&mut self, event: &Event<'_>, now: Timestamp) -> bool {
        let registry = Arc::clone(&self.registry);
        let Some(plan) = registry.event(event.name) else {
            self.counters.unknown_events += 1;
            return false;
        };
        self.counters.from_future += u64::from(event.at.is_some_and(|at| at > now));
        self.counters.before_install += u64::from(event.at.is_some_and(|at| at < self.clock.install.at));
        let occasion = self.occasion(event);
        let lookback = registry.lookback_days > 0;
        if lookback {
            self.counters.kept_dropped += self.kept.push(event, plan, &occasion);
        } else if plan.routes.is_empty() {
            self.counters.unneeded_events += 1;
        }
        let properties = properties(plan, event, &mut self.counters);
        for route in &plan.routes {
            if passes(&route.filters, &properties) {
                let got = route.property.and_then(|place| properties[place]);
                self.add(&registry.cells[route.cell], route.cell, route.role, got, &occasion);
            }
        }
        true
    }

    /// Lets time pass, and answers for the epochs that ended.
    pub fn advance(&mut self, now: Moment) -> Vec<Answered> {
        let mut answers = Vec::new();
        let ended = match self.clock.read(now) {
            Reading::Onward => {
                let session = self.end_session(&mut answers);
                self.end_days(&mut answers) || session
            }
            Reading::SetBack => {
                self.set_back(now, &mut answers);
                true
            }
        };
        // What is answered once becomes due with the end of a day or a session.
        if ended {
            self.answer_once(&mut answers);
        }
        answers
    }

    /// Places an event in time, and begins a session with it if none is open.
    fn occasion(&mut self, event: &Event<'_>) -> Occasion {
        let clock = &mut self.clock;
        let at = clock.time_of(event.at);
        if !clock.open {
            clock.open = true;
            clock.session = clock.session.saturating_add(1);
            clock.session_day = clock.today;
        }
        clock.last_event = at;
        Occasion { at, day: clock.today, session: clock.session }
    }

    pub(super) fn add(
        &mut self,
        cell: &Cell,
        index: usize,
        role: u16,
        got: Option<Got<'_>>,
        when: &Occasion,
    ) {
        let counts = match cell.window {
            Window::FirstSession => when.session == 1,
            Window::Days(days) => when.day.0.saturating_sub(self.clock.install.day().0) < u32::from(days),
            Window::Session | Window::Day | Window::Week | Window::Month | Window::Ever => true,
        };
        if counts {
            let (secret, clock) = (&self.secret, &self.clock);
            let draw = || secret.draw_for(&cell.key.to_be_bytes(), instance(cell.window, clock, clock.today));
            self.tallies[index].add(&cell.reduction, role, got, when, draw);
        }
    }

    /// Ends the session if its gap has passed, and says whether it did.
    fn end_session(&mut self, answers: &mut Vec<Answered>) -> bool {
        let gap_ms = i64::from(self.registry.session_gap_minutes) * 60_000;
        let over = self.clock.session_is_over(gap_ms);
        if over {
            self.close_session(answers);
        }
        over
    }

    fn close_session(&mut self, answers: &mut Vec<Answered>) {
        self.clock.open = false;
        self.answer(&Every::Session, self.clock.session_day, answers);
        self.restart(Window::Session);
    }

    /// Ends the days before the clock's, and says whether there were any.
    fn end_days(&mut self, answers: &mut Vec<Answered>) -> bool {
        let (from, to) = (self.clock.today, self.clock.latest.day());
        if to <= from {
            return false;
        }
        self.end_epochs(&Every::Day, Window::Day, from, to, Day::next, answers);
        self.end_epochs(&Every::Week, Window::Week, from.week(), to.week(), Day::next_week, answers);
        self.end_epochs(&Every::Month, Window::Month, from.month(), to.month(), Day::next_month, answers);
        self.clock.today = to;
        self.forget_kept();
        true
    }

    /// Ends the epochs from the open one up to the one that begins with `to`.
    fn end_epochs(
        &mut self,
        every: &Every,
        window: Window,
        from: Day,
        to: Day,
        next: fn(Day) -> Day,
        answers: &mut Vec<Answered>,
    ) {
        if from >= to {
            return;
        }
        self.answer(every, from, answers);
        self.restart(window);
        let (mut slept, mut day) = (0usize, next(from));
        while day < to {
            (slept, day) = (slept + 1, next(day));
        }
        let skipped = slept.saturating_sub(MAX_CAUGHT_UP);
        self.counters.epochs_skipped += skipped as u64;
        let mut day = from;
        for place in 0..slept {
            day = next(day);
            if place >= skipped {
                self.answer(every, day, answers);
            }
        }
    }

    fn set_back(&mut self, now: Moment, answers: &mut Vec<Answered>) {
        self.counters.clock_set_back += 1;
        if self.clock.open {
            self.close_session(answers);
        }
        let before = self.clock.today;
        self.clock.set_back(now);
        let today = self.clock.today;
        for (window, goes_back) in [
            (Window::Day, today != before),
            (Window::Week, today.week() != before.week()),
            (Window::Month, today.month() != before.month()),
        ] {
            if goes_back {
                self.restart(window);
            }
        }
        self.tallies.iter_mut().for_each(|tally| tally.forget_after(now.at, today));
        self.forget_kept();
    }

    /// Drops the kept events that the registry's `lookback_days` no longer covers.
    pub(super) fn forget_kept(&mut self) {
        let days = self.registry.lookback_days;
        if days == 0 {
            self.kept = Kept::default();
        }
        self.kept.forget(Day(self.clock.today.0.saturating_sub(days)), self.clock.latest.at);
    }

    fn restart(&mut self, window: Window) {
        let registry = Arc::clone(&self.registry);
        for (cell, tally) in registry.cells.iter().zip(&mut self.tallies) {
            if cell.window == window {
                tally.restart();
            }
        }
    }

    /// Answers every metric of this rhythm for an epoch.
    fn answer(&self, every: &Every, period: Day, answers: &mut Vec<Answered>) {
        for (metric, plan) in planned(&self.registry) {
            if plan.every == *every {
                self.answer_one(metric, plan, period, period, answers);
            }
        }
    }

    /// Answers a metric for an epoch, if the device is asked it and its window ended before its last day.
    fn answer_one(&self, metric: &Metric, plan: &Plan, period: Day, ended: Day, answers: &mut Vec<Answered>) {
        if self.is_asked(metric) && metric.expires().is_none_or(|day| ended < day) {
            let view = self.view(period);
            answers.push(Answered {
                metric: metric.id().clone(),
                version: metric.version(),
                epoch: period.epoch(),
                given: view.answer(plan),
                // What is sensitive is not shown beside anything.
                tags: if metric.is_sensitive() { Vec::new() } else { view.tags() },
            });
        }
    }

    /// Answers the metrics whose window since the install has ended.
    fn answer_once(&mut self, answers: &mut Vec<Answered>) {
        let registry = Arc::clone(&self.registry);
        let clock = &self.clock;
        let first_is_over = clock.session > 1 || (clock.session == 1 && !clock.open);
        let due = |plan: &Plan| {
            plan.every == Every::Once
                && clock.days_since_install() >= u32::from(plan.days)
                && (first_is_over || !plan.first_session)
        };
        for (metric, plan) in planned(&registry) {
            if !due(plan) || self.is_done(metric) {
                continue;
            }
            let ended =
                if plan.days > 0 { Day(clock.install.day().0 + u32::from(plan.days)) } else { clock.today };
            // One of another group is done as well: its time has passed, whatever group the device comes into.
            self.answer_one(metric, plan, ended.week(), ended, answers);
            self.done.push((metric.id().clone(), metric.version()));
        }
    }

    /// Whether a metric that is answered once was.
    fn is_done(&self, metric: &Metric) -> bool {
        self.done.iter().any(|(id, version)| id == metric.id() && *version == metric.version())
    }

    /// Whether the device answers a metric: by its secret and the registry alone, whatever happened on it.
    fn is_asked(&self, metric: &Metric) -> bool {
        match self.asked {
            Asked::Everything => true,
            Asked::Group(group) => self.registry.holds(group, metric.id()),
        }
    }

    fn view(&self, period: Day) -> View<'_> {
        View {
            registry: &self.registry,
            secret: &self.secret,
            tallies: &self.tallies,
            clock: &self.clock,
            period,
        }
    }
}

fn planned(registry: &Registry) -> impl Iterator<Item = (&Metric, &Plan)> {
    registry.metrics().filter_map(|metric| Some((metric, metric.plan.as_ref()?)))
}

/// Reads the properties of an event by their declarations; what does not fit is dropped and counted.
pub(super) fn properties<'a>(plan: &EventPlan, event: &Event<'a>, counters: &mut Counters) -> Properties<'a> {
    let mut properties = SmallVec::from_elem(None, plan.properties.len());
    for (name, property) in event.properties {
        let Some(place) = plan.place_of(name) else {
            counters.unknown_properties += 1;
            continue;
        };
        let got = match (&plan.properties[place].1, *property) {
            (registry::Property::Flag, Property::Flag(flag)) => Some(Got::Flag(flag)),
            (registry::Property::Number, Property::Number(number)) if number.is_finite() => {
                Some(Got::Number(number))
            }
            (registry::Property::Text, Property::Text(text)) if text.len() <= MAX_TEXT_BYTES => {
                Some(Got::Text(text))
            }
            (registry::Property::Labels(_), Property::Text(text)) => {
                let listed = plan.label(place, text);
                counters.other_labels += u64::from(listed.is_none() && text != OTHER);
                Some(Got::Label(listed.unwrap_or_else(|| plan.other(place))))
            }
            _ => None,
        };
        counters.unfit_properties += u64::from(got.is_none());
        properties[place] = got;
    }
    properties
}

pub(super) fn passes(filters: &[(usize, Check)], properties: &[Option<Got<'_>>]) -> bool {
    filters.iter().all(|(place, check)| match (check, properties[*place]) {
        (Check::Labels(labels), Some(Got::Label(label))) => labels.contains(&label),
        (Check::Texts(texts), Some(Got::Text(text))) => texts.iter().any(|listed| listed == text),
        (Check::Number { at_least, below }, Some(Got::Number(x))) => (*at_least..*below).contains(&x),
        (Check::Flag(wanted), Some(Got::Flag(flag))) => *wanted == flag,
        _ => false,
    })
}
