//! What a program tells: events, answers and times, and how they become reports.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::super::ledger::{Budget, Cap};
use super::super::options::Consent;
use super::super::status::ClockState;
use super::{Core, clock, is_asked};
use crate::calendar::{Day, Moment, Timestamp};
use crate::domain::{Answer, DomainError};
use crate::encoder::{EncodeError, Encoder, Value};
use crate::insight::{Answered, Event, Property};
use crate::metric::{Epoch, MetricId};
use crate::registry::Metric;

/// The most properties of one event that are read.
pub const MAX_PROPERTIES: usize = 64;

/// The property that a timer adds to the event of its name: the seconds that passed.
pub const DURATION: &str = "duration";

/// The event of [`Core::page`].
pub const PAGE: &str = "page";

/// The event of [`Core::identify`].
pub const IDENTIFY: &str = "identify";

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

impl Core {
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
        let mut with_duration: Vec<_>;
        let properties = match duration {
            Some(duration) => {
                with_duration = read.to_vec();
                with_duration.push(duration);
                &with_duration
            }
            None => read,
        };
        let event = Event { name: event, properties, at: None };
        // `ready` has let time pass up to it.
        let known = self.device.as_mut().is_some_and(|device| device.take_up(&event, now.at));
        self.journal.note(now.at);
        if known { Tracked::Taken } else { Tracked::Unknown }
    }

    /// Takes up the view of a page or screen: the event [`PAGE`] with its `name` among its properties.
    pub fn page(&mut self, name: &str, properties: &[(&str, Property<'_>)], now: Moment) -> Tracked {
        let read = &properties[..properties.len().min(MAX_PROPERTIES - 1)];
        let mut with_name = Vec::with_capacity(1 + read.len());
        with_name.push(("name", Property::Text(name)));
        with_name.extend_from_slice(read);
        self.track(PAGE, &with_name, now)
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
    /// Each report costs ε₁ and all of one answer at most ε∞; the ledger refuses what would pass the caps. That something was
    /// answered is not hidden: answer for everybody, not only for those to whom something happened.
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

    /// Goes on with the timers of a client whose place this one takes, if both are of one secret: between an erasure and what was
    /// before it no time is measured. False if somebody else had the person forgotten: then what the other was told, and is not
    /// durable, is to be forgotten as well.
    pub fn take_timers(&mut self, before: &mut Self) -> bool {
        let is_same = self.secret == before.secret;
        if is_same {
            self.timers = mem::take(&mut before.timers);
        }
        is_same || before.erased_by.is_some()
    }

    /// Ends a timer: the seconds that passed. None if it does not run, or the clock was set back meanwhile.
    pub fn stop_timer(&mut self, name: &str, now: Moment) -> Option<f64> {
        self.timers.stop(name, now.at)
    }

    /// Ends a timer, and takes the seconds that passed as the answer to a metric that the program answers by itself, as
    /// [`Core::record`] does. None as in [`Core::stop_timer`].
    pub fn record_timer(&mut self, metric: &MetricId, name: &str, now: Moment) -> Option<Recorded> {
        let seconds = self.stop_timer(name, now)?;
        Some(self.record(metric, Answer::Number(seconds), now))
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

    pub(super) fn report_all(&mut self, answers: &[Answered], now: Moment) {
        for answered in answers {
            let registry = Arc::clone(&self.registry);
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
        let budget = Budget::new(registry, &|metric| is_asked(registry, secret, metric));
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
}

/// Why events and answers are not taken.
enum Closed {
    NoConsent,
    ClockNotSet,
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
