//! The status as JSON. Its names are part of the interface and stay as they are.

use std::collections::BTreeMap;
use std::prelude::v1::*;

use serde::Serialize;

use crate::client::{Begun, ClockState, Consent, Outcome};
use crate::native::{StateStatus, Status};

#[derive(Serialize)]
struct View<'a> {
    /// Whether the threads are at work.
    working: bool,
    consent: &'static str,
    /// `new`, `restored`, `anew` or `idle`.
    state: &'static str,
    /// Where a damaged state is kept, or what stands in the way of one.
    state_detail: Option<String>,
    clock_is_set: bool,
    storage_error: Option<String>,
    waiting: u64,
    on_the_way: u64,
    counted: u64,
    refused: BTreeMap<&'a str, u64>,
    /// Made, but not to be counted any more.
    dropped: u64,
    last_upload: Option<&'static str>,
    last_upload_status: Option<u16>,
    network_error: Option<String>,
    catalog_error: Option<String>,
    registry: String,
    unknown_events: u64,
}

/// Writes a status.
pub(super) fn json(status: &Status) -> String {
    let client = &status.client;
    let dropped = &client.dropped;
    let (last_upload, last_upload_status) = client.uploads.last.map(outcome).unzip();
    let (state, state_detail) = state(status);
    let catalog_error = status.catalog.as_ref().map(ToString::to_string);
    let view = View {
        working: status.working,
        consent: match client.consent {
            Consent::Pending => "pending",
            Consent::Given => "given",
            Consent::Withdrawn => "withdrawn",
        },
        state,
        state_detail,
        clock_is_set: client.clock == ClockState::Plausible,
        storage_error: client.storage.error.map(|error| error.to_string()),
        waiting: client.waiting,
        on_the_way: client.on_the_way,
        counted: client.uploads.counted,
        refused: client.uploads.refused.iter().map(|(reason, count)| (reason.as_str(), *count)).collect(),
        dropped: dropped.too_old + dropped.no_room + dropped.too_large + dropped.uncertain + dropped.erased,
        last_upload,
        last_upload_status: last_upload_status.flatten(),
        network_error: status.network.map(|fault| fault.to_string()),
        catalog_error: catalog_error.or_else(|| client.catalog_error.as_ref().map(ToString::to_string)),
        registry: client.registry.to_string(),
        unknown_events: client.events.unknown_events,
    };
    serde_json::to_string(&view).expect("plain data has a JSON form")
}

fn state(status: &Status) -> (&'static str, Option<String>) {
    match &status.state {
        StateStatus::Idle(why) => ("idle", Some(super::with_causes(&**why))),
        StateStatus::TakenFromBefore { kept_as } => ("restored", Some(kept_as.clone())),
        StateStatus::BegunAnew { kept_as } => ("anew", Some(kept_as.clone())),
        StateStatus::Kept => match status.client.begun {
            Begun::New => ("new", None),
            Begun::Restored => ("restored", None),
            Begun::Anew(error) => ("anew", Some(error.to_string())),
        },
    }
}

fn outcome(outcome: Outcome) -> (&'static str, Option<u16>) {
    match outcome {
        Outcome::Delivered => ("delivered", None),
        Outcome::Refused { status } => ("refused", Some(status)),
        Outcome::TooLarge => ("too_large", None),
        Outcome::Unreachable => ("unreachable", None),
        Outcome::TimedOut => ("timed_out", None),
        Outcome::Redirected { status } => ("redirected", Some(status)),
        Outcome::Limited { status } => ("limited", Some(status)),
        Outcome::Failed { status } => ("failed", Some(status)),
        Outcome::KeyRefused { status } => ("key_refused", Some(status)),
        Outcome::NotACollector { status } => ("not_a_collector", Some(status)),
    }
}
