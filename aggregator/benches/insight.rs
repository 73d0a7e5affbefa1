//! What an event and the end of an epoch cost, for the largest example registry and for one with every reduction.
//!
//! `track` is one event of a device that has seen 1,000 or 1,000,000 before, so that growth would show; `epoch end` answers
//! all that is due when a week, and with it a day and perhaps a month, ends, and `everything due` what is asked once;
//! `restore` starts from a stored state. The device answers the metrics of all groups, more than any device does.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot set up should stop")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use deniable::DeviceSecret;
use deniable::calendar::{Moment, Timestamp};
use deniable::insight::{Device, Event, Property};
use deniable::registry::Registry;
use deniable_aggregator::catalog::Catalog;

const FILES: [(&str, &str); 2] = [
    ("onboarding", include_str!("../data/registries/onboarding.toml")),
    ("every reduction", include_str!("every_reduction.toml")),
];

const MINUTE_MS: i64 = 60_000;
const WEEK_MS: i64 = 7 * 24 * 60 * MINUTE_MS;
/// The end of the longest window of what the onboarding registry asks once.
const LAST_ONCE_MS: i64 = 67 * 24 * 60 * MINUTE_MS;
/// A Monday.
const START_MS: i64 = 1_704_067_200_000;

fn at(ms: i64) -> Moment {
    Moment::utc(Timestamp::from_millis(START_MS + ms))
}

const PROPERTIES: [(&str, Property<'_>); 4] = [
    ("area", Property::Text("trial")),
    ("l", Property::Text("q")),
    ("x", Property::Number(1.5)),
    ("t", Property::Text("some text")),
];

/// The events that happen in turn.
const NAMES: [&str; 4] = ["page_viewed", "trial_started", "publish_attempted", "seen"];

fn event(i: usize) -> Event<'static> {
    let name = NAMES[i % NAMES.len()];
    let properties = match name {
        "page_viewed" => &PROPERTIES[..1],
        "seen" => &PROPERTIES[1..],
        _ => &[],
    };
    Event { name, properties, at: None }
}

/// A device that has seen so many events, one in ten minutes.
fn seasoned(registry: &Arc<Registry>, events: usize) -> (Device, i64) {
    let device = Device::new(Arc::clone(registry), &DeviceSecret::from_bytes([7; 32]), at(0));
    let mut device = device.answering_everything();
    let mut ms = 0;
    for i in 0..events {
        ms += 10 * MINUTE_MS;
        device.track(&event(i), at(ms));
    }
    (device, ms)
}

fn insight(c: &mut Criterion) {
    for (name, text) in FILES {
        let registry = Arc::new(Catalog::parse(text).unwrap().registry().clone());
        let mut group = c.benchmark_group(name);
        for events in [1000, 1_000_000] {
            let (mut device, ms) = seasoned(&registry, events);
            let state = device.store();
            assert!(state.len() < 65_536, "{name}: a state of {} bytes", state.len());
            let mut i = 0;
            group.bench_function(format!("track after {events}"), |b| {
                b.iter(|| {
                    i += 1;
                    device.track(black_box(&event(i)), at(ms + i as i64))
                });
            });
            let monday = (ms / WEEK_MS + 1) * WEEK_MS;
            group.bench_function(format!("epoch end after {events}"), |b| {
                let ready = || {
                    let mut device = Device::restore(
                        Arc::clone(&registry),
                        &DeviceSecret::from_bytes([7; 32]),
                        state.clone(),
                    )
                    .unwrap()
                    .answering_everything();
                    device.advance(at(monday - 1));
                    device
                };
                b.iter_batched_ref(ready, |device| device.advance(at(monday)), BatchSize::LargeInput);
            });
            group.bench_function(format!("restore {} bytes", state.len()), |b| {
                let secret = DeviceSecret::from_bytes([7; 32]);
                b.iter_batched(
                    || state.clone(),
                    |state| Device::restore(Arc::clone(&registry), &secret, state).unwrap(),
                    BatchSize::LargeInput,
                );
            });
        }
        let (device, _) = seasoned(&registry, 1000);
        let state = device.store();
        group.bench_function("everything due", |b| {
            let ready = || {
                let secret = DeviceSecret::from_bytes([7; 32]);
                let device = Device::restore(Arc::clone(&registry), &secret, state.clone()).unwrap();
                let mut device = device.answering_everything();
                device.advance(at(LAST_ONCE_MS - 1));
                device
            };
            b.iter_batched_ref(ready, |device| device.advance(at(LAST_ONCE_MS)), BatchSize::LargeInput);
        });
        group.finish();
    }
}

criterion_group!(benches, insight);
criterion_main!(benches);
