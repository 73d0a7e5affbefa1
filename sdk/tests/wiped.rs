//! Raw values are gone from memory when a device forgets them: the process searches its own memory for one.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use deniable::DeviceSecret;
use deniable::calendar::{Moment, Timestamp};
use deniable::insight::{Device, Event, Property};
use deniable::registry::{Declared, Registry};
use serde_json::json;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The sought bytes, each with all its bits turned, so that this list is none of their places.
const TURNED: [u8; 16] =
    [0x91, 0x8B, 0x97, 0x96, 0x8C, 0xDF, 0x96, 0x8C, 0xDF, 0x8C, 0x90, 0x8A, 0x98, 0x97, 0x8B, 0xC4];
const PAGE: usize = 4096;

/// A text of the sought bytes, over and over.
fn sought(bytes: usize) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes));
    text.extend(TURNED.iter().cycle().take(bytes).map(|byte| char::from(!byte)));
    text
}

/// How many pages of memory that this process can write hold the sought bytes.
fn pages_with_it() -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut page = Box::new([0u8; PAGE]);
    let mut found = 0;
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        for at in (from..to).step_by(PAGE).filter(|_| rest.starts_with("rw")) {
            if memory.read_exact_at(&mut page[..], at).is_ok() {
                let here = |window: &[u8]| window.iter().zip(TURNED).all(|(byte, turned)| *byte == !turned);
                found += usize::from(page.windows(TURNED.len()).any(here));
            }
            // The copy must not be found in its turn.
            page.zeroize();
        }
    }
    found
}

fn at(minutes: i64) -> Moment {
    Moment::utc(Timestamp::from_seconds(1_700_000_000 + minutes * 60))
}

fn secret() -> DeviceSecret {
    DeviceSecret::from_bytes([3; 32])
}

fn device(lookback_days: u32) -> Device {
    let of = json!({ "events": ["e"], "property": "t", "window": "ever" });
    let metric = |source| json!({ "version": 1, "question": "?", "source": source, "kind": "string", "every": "week", "epsilon": 1.0 });
    let declared = json!({
        "lookback_days": lookback_days,
        "events": { "e": { "properties": { "t": "text" } } },
        "metrics": { "first": metric(json!({ "first": of })), "last": metric(json!({ "last": of })) },
    });
    let registry = Registry::new(&serde_json::from_value::<Declared>(declared).unwrap()).unwrap();
    Device::new(Arc::new(registry), &secret(), at(0))
}

fn track(device: &mut Device, text: &str, minutes: i64) {
    device.track(&Event { name: "e", properties: &[("t", Property::Text(text))], at: None }, at(minutes));
}

/// One test, because two at a time would find each other's values.
#[test]
fn raw_values_are_gone_when_a_device_forgets_them() {
    assert_eq!(pages_with_it(), 0);

    // Kept events and cells, stored and taken up, dropped.
    let mut first = device(7);
    track(&mut first, &sought(400), 1);
    assert!(pages_with_it() > 0);
    let second = Device::restore(Arc::clone(first.registry()), &secret(), first.store()).unwrap();
    drop(first);
    assert!(pages_with_it() > 0);
    drop(second);
    assert_eq!(pages_with_it(), 0);

    // Reset.
    let mut reset = device(7);
    track(&mut reset, &sought(300), 1);
    assert!(pages_with_it() > 0);
    reset.reset(&DeviceSecret::from_bytes([4; 32]), at(2));
    assert_eq!(pages_with_it(), 0);

    // A later text in the place of an earlier one, whether it needs more room or less.
    for bytes in [1, 500] {
        let mut last = device(0);
        track(&mut last, "another", 1);
        track(&mut last, &sought(200), 2);
        assert!(pages_with_it() > 0);
        track(&mut last, &"-".repeat(bytes), 3);
        assert_eq!(pages_with_it(), 0, "{bytes}");
    }

    // Kept events that are too old, or too many.
    let mut old = device(1);
    track(&mut old, "first", 1);
    track(&mut old, &sought(200), 2);
    track(&mut old, "last", 3);
    assert!(pages_with_it() > 0);
    old.advance(at(3 * 1440));
    assert_eq!(pages_with_it(), 0);
    track(&mut old, &sought(200), 3 * 1440);
    for i in 0..200 {
        track(&mut old, &format!("{i:0>400}"), 3 * 1440 + 1);
    }
    assert_eq!(pages_with_it(), 0);

    // What is merely dropped is found.
    let dropped: Vec<String> = (0..64).map(|_| String::clone(&sought(400))).collect();
    drop(dropped);
    assert!(pages_with_it() > 0);
}

/// The bytes of a secret are copied by moves, which no search can tell from the secret itself; its type says the rest.
#[test]
fn secrets_are_wiped_when_dropped() {
    fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<DeviceSecret>();
}
