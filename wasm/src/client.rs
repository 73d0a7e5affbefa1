//! The operations of the entry `deniable`: one client, without clock, disk or network. What TypeScript reads of the answers
//! stands in `wasm/ts/core.ts`, in the same order.

use alloc::sync::Arc;
use alloc::vec::Vec;

use deniable::calendar::{Moment, Timestamp};
use deniable::client::{
    Begun, ClockState, Consent, Core, Finished, LedgerView, NextUpload, Odds, OpenError, Options, Outcome,
    Preview, Recorded, Reply, Spent, StateError, Status, StorageError, Taken, Tracked, Unfit,
};
use deniable::insight::Property;
use deniable::registry::{Privacy, Registry};
use deniable::{Answer as Given, BatchId, EncodeError, Entropy, EntropyError, MetricId};

use crate::refusal::{Refusal, Refuse};
use crate::wire::{Answer, Arguments};

/// The client of the page.
pub(crate) struct Client {
    core: Option<Core>,
}

impl Client {
    pub(crate) const fn new() -> Self {
        Self { core: None }
    }

    /// Carries out an operation.
    pub(crate) fn call(&mut self, operation: u32, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
        if operation == 0 {
            return self.open(from, to);
        }
        let core = self.core.as_mut().expect("the page opens before all else");
        match operation {
            1 => track(core, from, to),
            2 => record(core, from, to),
            3 => turn(core, from, to),
            4 => to.optional(core.experiment(from.text()).arm(), Answer::text),
            5 => to.optional(core.segment(from.text()), Answer::text),
            6 => commit(core, from, to),
            7 => match from.whole() {
                0 => core.committed(from.number() as u64),
                error => core.commit_failed(from.number() as u64, storage_error(error), moment(from)),
            },
            8 => next_upload(core, from, to),
            9 => finish_upload(core, from, to),
            10 => to.optional(core.wake_at(), Answer::time),
            11 => take_catalog(core, from, to),
            12 => to.list(core.preview(moment(from)).iter(), write_preview),
            13 => write_ledger(to, &core.ledger(moment(from))),
            _ => write_status(to, &core.status()),
        }
    }

    /// Opens a client with whether there is a catalog, the catalog, options, what is stored, and 64 random bytes. The page says whether a
    /// state that cannot be read was kept aside, and learns whether what it told before is to be told again.
    fn open(&mut self, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
        let (asks, catalog) = (from.whole() == 1, from.bytes());
        let registry = if asks { Registry::from_catalog(catalog) } else { Ok(Registry::empty()) };
        let registry = match registry {
            Ok(registry) => Arc::new(registry),
            Err(_) => return to.refuse(Refusal::BadCatalog),
        };
        let Some(options) = options(from) else {
            return to.refuse(Refusal::BadKey);
        };
        let (stored, kept_aside) = (from.bytes(), from.whole() == 1);
        let (mut drawn, now) = (Drawn(from.bytes()), moment(from));
        let opened = if kept_aside {
            Core::begin_anew(registry, options, stored, &mut drawn, now)
        } else {
            let stored = (!stored.is_empty()).then_some(stored);
            Core::open(registry, options, stored, &mut drawn, now)
        };
        match opened {
            Ok(mut core) => {
                // What another tab wrote knows nothing of this page's timers.
                let goes_on = self.core.as_mut().is_none_or(|before| core.take_timers(before));
                to.whole(goes_on.into());
                self.core = Some(core);
            }
            Err(OpenError::Unreadable { error: StateError::Newer { .. }, .. }) => {
                to.refuse(Refusal::NewerState);
            }
            Err(OpenError::Options(error)) => {
                to.refuse(Refusal::OutOfRange);
                to.text(error.what);
                [error.value, error.low, error.high].into_iter().for_each(|number| to.number(number as f64));
            }
            Err(OpenError::Catalog(_)) => to.refuse(Refusal::BadCatalog),
            Err(_) => to.refuse(Refusal::UnreadableState),
        }
    }
}

/// Random bytes that the page drew.
struct Drawn<'a>(&'a [u8]);

impl Entropy for Drawn<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        let drawn = self.0.split_off(..out.len());
        out.copy_from_slice(drawn.ok_or(EntropyError { reason: "the page drew too few bytes" })?);
        Ok(())
    }
}

/// The options that the page chose; None if its key is none.
fn options(from: &mut Arguments<'_>) -> Option<Options> {
    let key = from.text();
    let key = if key.is_empty() { deniable::WriteKey::NONE } else { key.parse().ok()? };
    let consent = match from.whole() {
        0 => Consent::Pending,
        1 => Consent::Given,
        _ => Consent::Withdrawn,
    };
    let delay = core::time::Duration::from_millis(from.number() as u64);
    let limits = Privacy { weekly: from.number(), lifetime: from.number(), public_bits: from.number() };
    Some(Options { key, consent, delay, limits, ..Options::default() })
}

/// An instant in milliseconds since 1970, and how many minutes local time is ahead of UTC.
fn moment(from: &mut Arguments<'_>) -> Moment {
    let (at, offset) = (from.number(), from.number());
    Moment { at: Timestamp::from_millis(at as i64), offset_minutes: offset as i16 }
}

fn property<'a>(from: &mut Arguments<'a>) -> (&'a str, Property<'a>) {
    let name = from.text();
    let value = match from.whole() {
        0 => Property::Flag(from.whole() == 1),
        1 => Property::Number(from.number()),
        _ => Property::Text(from.text()),
    };
    (name, value)
}

fn track(core: &mut Core, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
    let (kind, name) = (from.whole(), from.text());
    let (properties, now) = (from.list(property), moment(from));
    let tracked = match kind {
        0 => core.track(name, &properties, now),
        1 => core.page(name, &properties, now),
        _ => core.identify(&properties, now),
    };
    to.whole(match tracked {
        Tracked::Taken => 0,
        Tracked::Unknown => 1,
        Tracked::NoConsent => 2,
        Tracked::ClockNotSet => 3,
    });
}

fn record(core: &mut Core, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
    let metric = match MetricId::new(from.text()) {
        Ok(metric) => metric,
        Err(error) => return error.refuse(to),
    };
    let names: Vec<&str>;
    let given = match from.whole() {
        0 => Given::Flag(from.whole() == 1),
        1 => Given::Number(from.number()),
        2 => Given::Text(from.text()),
        3 => {
            names = from.list(Arguments::text);
            Given::Names(&names)
        }
        _ => Given::Nothing,
    };
    to.whole(match core.record(&metric, given, moment(from)) {
        Recorded::Reported => 0,
        Recorded::Unknown => 1,
        Recorded::NoConsent => 2,
        Recorded::ClockNotSet => 3,
        Recorded::BudgetSpent(_) => 4,
        Recorded::Expired => 5,
        Recorded::NotRotatedIn => 6,
        Recorded::AnsweredByDevice => 7,
        Recorded::Unfit(Unfit::Encode(EncodeError::TextLength { .. })) => 8,
        _ => 9,
    });
}

/// What changes the client as a whole, and timers.
fn turn(core: &mut Core, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
    let (kind, name, now) = (from.whole(), from.text(), moment(from));
    match kind {
        0 => core.opt_in(now),
        1 => core.opt_out(now),
        2 => core.reset(now),
        3 => core.flush(now),
        4 => core.advance(now),
        5 => core.start_timer(name, now),
        _ => return to.optional(core.stop_timer(name, now), Answer::number),
    }
    to.whole(0);
}

fn commit(core: &mut Core, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
    let urgent = from.whole() == 1;
    to.optional(core.commit(moment(from), urgent), |to, commit| {
        to.number(commit.number as f64);
        to.bytes(&commit.bytes);
        to.whole(commit.erases.into());
    });
}

fn storage_error(kind: u32) -> StorageError {
    match kind {
        1 => StorageError::Full,
        2 => StorageError::Denied,
        _ => StorageError::Other { reason: "the browser's storage failed" },
    }
}

fn next_upload(core: &mut Core, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
    match core.next_upload(moment(from)) {
        NextUpload::Send(upload) => {
            to.whole(1);
            to.bytes(&upload.id.0);
            to.bytes(&upload.body);
        }
        NextUpload::WaitUntil(_) | NextUpload::Nothing => to.whole(0),
    }
}

fn finish_upload(core: &mut Core, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
    let id = BatchId(from.key());
    let (status, retry_after, body) = (from.whole() as u16, from.text(), from.bytes());
    let retry_after = (!retry_after.is_empty()).then_some(retry_after);
    let reply = match status {
        0 => Reply::Unreachable,
        1 => Reply::TimedOut,
        status => Reply::Answered { status, retry_after, body },
    };
    to.whole(match core.finish_upload(id, reply, moment(from)) {
        Finished::Delivered { .. } => 0,
        Finished::Dropped { .. } => 1,
        Finished::Split => 2,
        Finished::Retrying(_) => 3,
        Finished::Unknown => 4,
    });
}

fn take_catalog(core: &mut Core, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
    let catalog = from.bytes();
    to.whole(match core.catalog(catalog, moment(from)) {
        Taken::Unchanged => 0,
        Taken::Changed => 1,
        Taken::Unusable(_) => 2,
    });
}

fn write_preview(to: &mut Answer<'_>, preview: &Preview) {
    to.text(preview.metric.as_str());
    to.text(&preview.question);
    to.optional(preview.answer.as_deref(), Answer::text);
    to.list(preview.possible.iter(), |to, answer| to.text(answer));
    let (shape, odds) = match preview.odds {
        Odds::Choice { truth, other, answers } => (0, [truth, other, answers as f64, 1.0]),
        Odds::Bits { set, unset, bits, most_set } => (1, [set, unset, bits as f64, most_set as f64]),
    };
    to.whole(shape);
    odds.into_iter().for_each(|odds| to.number(odds));
    to.number(preview.epsilon_one.get());
    to.number(preview.epsilon_infinity.get());
    to.optional(preview.ends, |to, day| to.whole(day.0));
}

fn write_spent(to: &mut Answer<'_>, spent: &Spent) {
    to.text(spent.metric.as_str());
    to.whole(spent.version);
    [spent.reports, spent.waiting, spent.refused].into_iter().for_each(|count| to.number(count as f64));
    [spent.this_week, spent.for_life].into_iter().for_each(|epsilon| to.number(epsilon.get()));
    to.whole(spent.stopped_by.map_or(0, |cap| 1 + cap as u32));
}

fn write_ledger(to: &mut Answer<'_>, ledger: &LedgerView) {
    to.list(ledger.metrics.iter(), write_spent);
    for sum in [ledger.this_week, ledger.for_life] {
        [sum.spent.get(), sum.cap.get(), sum.left()].into_iter().for_each(|epsilon| to.number(epsilon));
    }
    to.number(ledger.reports as f64);
    to.whole(ledger.lost_states);
}

fn write_status(to: &mut Answer<'_>, status: &Status) {
    to.whole(status.consent as u32);
    to.whole(match status.begun {
        Begun::New => 0,
        Begun::Restored => 1,
        Begun::Anew(_) => 2,
    });
    to.whole(u32::from(status.clock == ClockState::NotSet));
    to.bytes(&status.registry.0);
    to.whole(u32::from(status.catalog_error.is_some()));
    to.whole(u32::from(status.storage.error.is_some()));
    [status.storage.commit, status.storage.state_bytes as u64].into_iter().for_each(|n| to.number(n as f64));
    let uploads = &status.uploads;
    let (outcome, code) = uploads.last.map_or((0, 0), outcome);
    to.whole(outcome);
    to.whole(code);
    to.whole(uploads.failures);
    to.optional(uploads.retry_at, Answer::time);
    to.number(uploads.counted as f64);
    to.list(uploads.refused.iter(), |to, (reason, count)| {
        to.text(reason);
        to.number(*count as f64);
    });
    let (dropped, refusals) = (status.dropped, status.refusals);
    let counts = [
        status.waiting,
        status.on_the_way,
        dropped.too_old,
        dropped.no_room,
        dropped.too_large,
        dropped.uncertain,
        dropped.erased,
        refusals.no_consent,
        refusals.clock_not_set,
        refusals.week_spent,
        refusals.life_spent,
        refusals.expired,
        refusals.not_asked,
        refusals.not_rotated_in,
        refusals.unfit,
        refusals.too_many_properties,
    ];
    counts.into_iter().for_each(|count| to.number(count as f64));
}

/// The outcome of an upload, and the status code of HTTP where there is one.
fn outcome(outcome: Outcome) -> (u32, u32) {
    match outcome {
        Outcome::Delivered => (1, 0),
        Outcome::Refused { status } => (2, status.into()),
        Outcome::TooLarge => (3, 413),
        Outcome::Unreachable => (4, 0),
        Outcome::TimedOut => (5, 0),
        Outcome::Redirected { status } => (6, status.into()),
        Outcome::Limited { status } => (7, status.into()),
        Outcome::Failed { status } => (8, status.into()),
        Outcome::KeyRefused { status } => (9, status.into()),
        Outcome::NotACollector { status } => (10, status.into()),
    }
}
