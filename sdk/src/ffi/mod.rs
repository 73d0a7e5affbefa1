//! The client for programs in C, and in whatever can call C: see `sdk/include/deniable.h`, which is made from this module.
//!
//! A client is an opaque handle. Texts are UTF-8 and end with a NUL; a null pointer where something must be given, and a text that
//! is not UTF-8, are answered with a result below 0 and change nothing. No panic leaves the library, unless it was built to abort
//! on panics. Every function can be called from any thread; `deniable_close` is the last call on its client. After `fork` a child opens a
//! client of its own, see [`NativeClient`].

mod boundary;
mod status;
#[cfg(test)]
mod tests;
mod types;

use core::ffi::c_char;
use std::ffi::CString;
use std::prelude::v1::*;
use std::ptr;
use std::time::Duration;

use self::boundary::{Fault, call, client, given_to_c, list, null, optional_text, properties, text};
pub use self::types::{
    DeniableClient, DeniableConsent, DeniableKind, DeniableOptions, DeniableProperty, DeniableResult,
};
use crate::client::{Consent, Recorded, Tracked};
use crate::domain::Answer;
use crate::metric::MetricId;
use crate::native::{Catalog, Closed, Flushed, NativeClient, Options};

/// Opens a client, or gives null; `deniable_error_text` says why. End it with `deniable_close`.
///
/// With a catalog that the collector gives, the first start waits for it, a minute at most.
///
/// # Safety
/// `options` is null or points to options, whose pointers are null or point to what they say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_open(options: *const DeniableOptions) -> *mut DeniableClient {
    call(null, || {
        // SAFETY: promised by the caller.
        let options = unsafe { options.as_ref() };
        let options =
            options.ok_or_else(|| Fault::new(DeniableResult::NullPointer, "the options are null"))?;
        // SAFETY: promised by the caller.
        let options = unsafe { read(options) }?;
        let opened = NativeClient::open(options);
        let opened = opened.map_err(|error| Fault::new(DeniableResult::NotOpened, with_causes(&error)))?;
        Ok(Box::into_raw(Box::new(DeniableClient(opened))))
    })
}

/// Takes up an event with `count` properties, which may be null if there are none.
///
/// # Safety
/// `client` is null or open. `event` is null or a text. `properties` is null or holds `count` of them, with texts in them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_track(
    client: *const DeniableClient,
    event: *const c_char,
    properties: *const DeniableProperty,
    count: usize,
) -> DeniableResult {
    call(as_it_is, || {
        // SAFETY: promised by the caller.
        let (client, event) = unsafe { (self::client(client)?, text(event, "the event")?) };
        // SAFETY: promised by the caller.
        let properties = unsafe { self::properties(properties, count) }?;
        Ok(tracked(client.track(event, &properties)))
    })
}

/// Takes up the view of a page or screen, with `count` properties.
///
/// # Safety
/// As of `deniable_track`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_page(
    client: *const DeniableClient,
    name: *const c_char,
    properties: *const DeniableProperty,
    count: usize,
) -> DeniableResult {
    call(as_it_is, || {
        // SAFETY: promised by the caller.
        let (client, name) = unsafe { (self::client(client)?, text(name, "the name of the page")?) };
        // SAFETY: promised by the caller.
        let properties = unsafe { self::properties(properties, count) }?;
        Ok(tracked(client.page(name, &properties)))
    })
}

/// Takes up what is known of the person, as `count` properties. There is no place for an identifier, as none ever leaves.
///
/// # Safety
/// As of `deniable_track`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_identify(
    client: *const DeniableClient,
    properties: *const DeniableProperty,
    count: usize,
) -> DeniableResult {
    call(as_it_is, || {
        // SAFETY: promised by the caller.
        let (client, properties) = unsafe { (self::client(client)?, self::properties(properties, count)?) };
        Ok(tracked(client.identify(&properties)))
    })
}

/// Answers a metric by yes or no.
///
/// # Safety
/// `client` is null or open. `metric` is null or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_record_flag(
    client: *const DeniableClient,
    metric: *const c_char,
    answer: bool,
) -> DeniableResult {
    // SAFETY: promised by the caller.
    unsafe { record(client, metric, || Ok(Answer::Flag(answer))) }
}

/// Answers a metric by a number.
///
/// # Safety
/// As of `deniable_record_flag`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_record_number(
    client: *const DeniableClient,
    metric: *const c_char,
    answer: f64,
) -> DeniableResult {
    // SAFETY: promised by the caller.
    unsafe { record(client, metric, || Ok(Answer::Number(answer))) }
}

/// Answers a metric by a label or an open text.
///
/// # Safety
/// As of `deniable_record_flag`, and `answer` is null or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_record_text(
    client: *const DeniableClient,
    metric: *const c_char,
    answer: *const c_char,
) -> DeniableResult {
    // SAFETY: promised by the caller.
    unsafe { record(client, metric, || Ok(Answer::Text(text(answer, "the answer")?))) }
}

/// Answers a metric by `count` names of its set.
///
/// # Safety
/// As of `deniable_record_flag`, and `names` is null or holds `count` texts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_record_names(
    client: *const DeniableClient,
    metric: *const c_char,
    names: *const *const c_char,
    count: usize,
) -> DeniableResult {
    call(as_it_is, || {
        // SAFETY: promised by the caller.
        let names = unsafe { list(names, count, "the names") }?;
        // SAFETY: promised by the caller for each.
        let names: Result<Vec<&str>, Fault> =
            names.iter().map(|name| unsafe { text(*name, "a name") }).collect();
        let names = names?;
        // SAFETY: promised by the caller.
        Ok(unsafe { record(client, metric, || Ok(Answer::Names(&names))) })
    })
}

/// Answers a metric, of those who have a number, by none.
///
/// # Safety
/// As of `deniable_record_flag`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_record_nothing(
    client: *const DeniableClient,
    metric: *const c_char,
) -> DeniableResult {
    // SAFETY: promised by the caller.
    unsafe { record(client, metric, || Ok(Answer::Nothing)) }
}

/// The person agrees. Waits until that is written, two seconds at most.
///
/// # Safety
/// `client` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_opt_in(client: *const DeniableClient) -> DeniableResult {
    // SAFETY: promised by the caller.
    unsafe { simple(client, NativeClient::opt_in) }
}

/// The person does not agree, or no longer: events, answers, what waits and the secret are erased. Waits until that is written, two
/// seconds at most.
///
/// # Safety
/// `client` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_opt_out(client: *const DeniableClient) -> DeniableResult {
    // SAFETY: promised by the caller.
    unsafe { simple(client, NativeClient::opt_out) }
}

/// Forgets the person, say because another one logs in. Consent and what was spent stay.
///
/// # Safety
/// `client` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_reset(client: *const DeniableClient) -> DeniableResult {
    // SAFETY: promised by the caller.
    unsafe { simple(client, NativeClient::reset) }
}

/// The arm of an experiment that this device drew, for ever; null without consent, or if there is no such experiment. Free it with
/// `deniable_free_text`.
///
/// # Safety
/// `client` is null or open. `name` is null or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_experiment_arm(
    client: *const DeniableClient,
    name: *const c_char,
) -> *mut c_char {
    call(null, || {
        // SAFETY: promised by the caller.
        let (client, name) = unsafe { (self::client(client)?, text(name, "the name of the experiment")?) };
        let experiment = client.experiment(name);
        Ok(experiment.arm().map_or(ptr::null_mut(), |arm| given_to_c(arm.to_owned())))
    })
}

/// The label of a segment or dimension that this device has now; null without consent, or if there is no such name. Free it with
/// `deniable_free_text`.
///
/// # Safety
/// `client` is null or open. `name` is null or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_segment(client: *const DeniableClient, name: *const c_char) -> *mut c_char {
    call(null, || {
        // SAFETY: promised by the caller.
        let (client, name) = unsafe { (self::client(client)?, text(name, "the name of the segment")?) };
        Ok(client.segment(name).map_or(ptr::null_mut(), given_to_c))
    })
}

/// How the client is doing, as a JSON object; null if `client` is. It holds no answer and no secret. Free it with
/// `deniable_free_text`.
///
/// # Safety
/// `client` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_status(client: *const DeniableClient) -> *mut c_char {
    call(null, || {
        // SAFETY: promised by the caller.
        let client = unsafe { self::client(client) }?;
        Ok(given_to_c(status::json(&client.status())))
    })
}

/// Lets all that waits leave now, and waits for it, but no longer than so many milliseconds.
///
/// # Safety
/// `client` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_flush(
    client: *const DeniableClient,
    timeout_milliseconds: u32,
) -> DeniableResult {
    call(as_it_is, || {
        // SAFETY: promised by the caller.
        let client = unsafe { self::client(client) }?;
        Ok(match client.flush(Duration::from_millis(timeout_milliseconds.into())) {
            Flushed::Done => DeniableResult::Ok,
            Flushed::NotSent(_) => DeniableResult::NotSent,
            Flushed::NotWritten(_) => DeniableResult::NotWritten,
            Flushed::TimedOut => DeniableResult::TimedOut,
            Flushed::NotWorking => DeniableResult::NotWorking,
        })
    })
}

/// Sends what is due, writes everything, ends the client and frees it, but waits no longer than so many milliseconds. The client is gone
/// whatever the result is. What still waits for its random time leaves after the next start.
///
/// # Safety
/// `client` is null or open. No other call on it is under way, and none follows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_close(
    client: *mut DeniableClient,
    timeout_milliseconds: u32,
) -> DeniableResult {
    call(as_it_is, || {
        if client.is_null() {
            return Err(Fault::new(DeniableResult::NullPointer, "the client is null"));
        }
        // SAFETY: not null, so it came from `deniable_open`, and nobody uses it any more, as promised by the caller.
        let client = unsafe { Box::from_raw(client) };
        Ok(match client.0.close(Duration::from_millis(timeout_milliseconds.into())) {
            Closed::Written => DeniableResult::Ok,
            Closed::NotWritten(_) => DeniableResult::NotWritten,
            Closed::TimedOut => DeniableResult::TimedOut,
            Closed::NotWorking => DeniableResult::NotWorking,
        })
    })
}

/// What the last call of this thread that gave a result below 0, or null, has to say, in English; empty if there was none. It stays until
/// this thread's next such call, and is not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn deniable_error_text() -> *const c_char {
    boundary::error_text()
}

/// Frees a text that the library gave away. Null is fine.
///
/// # Safety
/// `text` is null, or came from a function that says to free it so, and was not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deniable_free_text(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: not null, so it is a text that was given away, as promised by the caller.
        drop(unsafe { CString::from_raw(text) });
    }
}

/// # Safety
/// The pointers are null or point to what they say.
unsafe fn read(options: &DeniableOptions) -> Result<Options, Fault> {
    // SAFETY: promised by the caller, for each of these.
    let (folder, endpoint, key, roots, catalog) = unsafe {
        (
            text(options.folder, "the folder")?,
            text(options.endpoint, "the endpoint")?,
            optional_text(options.write_key, "the write key")?,
            optional_text(options.root_certificates, "the text of root certificates")?,
            list(options.catalog, options.catalog_bytes, "the catalog")?.to_vec(),
        )
    };
    let catalog = match (catalog.is_empty(), options.fetch_catalog) {
        (true, _) => Catalog::Fetched,
        (false, true) => Catalog::BuiltInThenFetched(catalog),
        (false, false) => Catalog::BuiltIn(catalog),
    };
    let mut read = Options::new(folder, endpoint, catalog).consent(consent(options.consent)?);
    if let Some(key) = key {
        let key = key.parse();
        read =
            read.key(key.map_err(|error: crate::BatchError| {
                Fault::new(DeniableResult::Invalid, error.to_string())
            })?);
    }
    if let Some(roots) = roots {
        read = read.root_certificates(roots);
    }
    Ok(if options.plain_http { read.plain_http() } else { read })
}

fn consent(number: i32) -> Result<Consent, Fault> {
    const PENDING: i32 = DeniableConsent::Pending as i32;
    const GIVEN: i32 = DeniableConsent::Given as i32;
    const WITHDRAWN: i32 = DeniableConsent::Withdrawn as i32;
    match number {
        PENDING => Ok(Consent::Pending),
        GIVEN => Ok(Consent::Given),
        WITHDRAWN => Ok(Consent::Withdrawn),
        _ => {
            let text = format!("consent is {number}, but must be from {PENDING} to {WITHDRAWN}");
            Err(Fault::new(DeniableResult::Invalid, text))
        }
    }
}

/// An error with what caused it.
fn with_causes(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn as_it_is(result: DeniableResult) -> DeniableResult {
    result
}

/// # Safety
/// `client` is null or open.
unsafe fn simple(client: *const DeniableClient, change: impl FnOnce(&NativeClient)) -> DeniableResult {
    call(as_it_is, || {
        // SAFETY: promised by the caller.
        change(unsafe { self::client(client) }?);
        Ok(DeniableResult::Ok)
    })
}

/// # Safety
/// `client` is null or open. `metric` is null or a text.
unsafe fn record<'a>(
    client: *const DeniableClient,
    metric: *const c_char,
    answer: impl FnOnce() -> Result<Answer<'a>, Fault>,
) -> DeniableResult {
    call(as_it_is, || {
        // SAFETY: promised by the caller.
        let (client, metric) = unsafe { (self::client(client)?, text(metric, "the metric")?) };
        let metric = MetricId::new(metric);
        let metric = metric.map_err(|error| Fault::new(DeniableResult::Invalid, error.to_string()))?;
        Ok(recorded(&client.record(&metric, answer()?)))
    })
}

fn tracked(tracked: Tracked) -> DeniableResult {
    match tracked {
        Tracked::Taken => DeniableResult::Ok,
        Tracked::Unknown => DeniableResult::Unknown,
        Tracked::NoConsent => DeniableResult::NoConsent,
        Tracked::ClockNotSet => DeniableResult::ClockNotSet,
    }
}

fn recorded(recorded: &Recorded) -> DeniableResult {
    match recorded {
        Recorded::Reported => DeniableResult::Ok,
        Recorded::BudgetSpent(_) => DeniableResult::BudgetSpent,
        Recorded::NoConsent => DeniableResult::NoConsent,
        Recorded::Expired => DeniableResult::Expired,
        Recorded::NotRotatedIn => DeniableResult::NotRotatedIn,
        Recorded::Unknown => DeniableResult::Unknown,
        Recorded::AnsweredByDevice => DeniableResult::AnsweredByDevice,
        Recorded::Unfit(_) => DeniableResult::Unfit,
        Recorded::ClockNotSet => DeniableResult::ClockNotSet,
    }
}
