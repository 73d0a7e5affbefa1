//! What a device stores at most: the size of its cells at their worst, of what it answered once, and of the events it keeps.
//!
//! The sum is checked where a registry is compiled, not on the device: a registry whose worst case does not fit is refused as
//! a whole, and names its largest cell. So no device ever has to give up what it remembers, which would change its answers,
//! and change them most on the devices on which most happens. Only the kept events are dropped, the oldest first, and counted:
//! no answer is made from them but those of a metric that is new.

use super::MAX_TEXT_BYTES;
use super::tally::{MAX_DISTINCT, MAX_MAGNITUDES};
use crate::metric::MetricId;
use crate::registry::{Every, Metric, Reduction};

/// The most bytes of a stored state, whatever the registry and the events.
pub const MAX_STATE_BYTES: usize = 64 * 1024;

/// The most bytes of raw events that are kept. The oldest go first.
pub const MAX_KEPT_BYTES: usize = 32 * 1024;

/// What is stored beside cells, metrics answered once and kept events: the frame, the clock, the counters, and how many there
/// are of each.
pub(crate) const FIXED_BYTES: usize = 192;

/// What is left at least for metrics that were answered once, those of earlier registries among them.
const DONE_BYTES: usize = 4 * 1024;

/// Numbers are stored in groups of seven bits.
const VARINT_U16: usize = 3;
const VARINT_U32: usize = 5;
const VARINT_U64: usize = 10;
/// The exponent of a number and five bits more, with its sign.
const MAGNITUDE: usize = 3;
/// A time up to the year 9999 in milliseconds, or a difference of two.
const TIME: usize = 7;

/// What a metric that was answered once takes: its name with the length, and its version.
pub(crate) fn of_done(metric: &MetricId) -> usize {
    1 + metric.as_str().len() + VARINT_U32
}

/// What the metrics take that are answered once.
pub(crate) fn of_once(metrics: &[Metric]) -> usize {
    let once = metrics.iter().filter(|metric| matches!(metric.every(), Some(Every::Once)));
    once.map(|metric| of_done(metric.id())).sum()
}

/// What there is for all that was answered once, where the registry's own metrics take `own`.
pub(crate) fn for_done(own: usize) -> usize {
    own.max(DONE_BYTES)
}

/// What a cell takes at most, with its key and its kind. `text` says whether the property that it holds is an open text.
pub(crate) fn of_cell(reduction: &Reduction, text: bool) -> usize {
    let held = match reduction {
        Reduction::Any => 0,
        Reduction::First | Reduction::Last if text => 1 + VARINT_U16 + MAX_TEXT_BYTES,
        Reduction::First | Reduction::Last => 1 + size_of::<f64>(),
        Reduction::MostCommon(labels) => VARINT_U16 + labels * VARINT_U32,
        Reduction::Count | Reduction::Distinct | Reduction::Funnel { .. } => VARINT_U64,
        Reduction::Sum | Reduction::Min | Reduction::Max => size_of::<f64>(),
        Reduction::Median => VARINT_U16 + MAX_MAGNITUDES * (MAGNITUDE + VARINT_U32),
        Reduction::DistinctCount => VARINT_U16 + MAX_DISTINCT * VARINT_U64 + 1,
        Reduction::Minutes => TIME + 1 + TIME,
        Reduction::Reached { times, .. } => 1 + usize::from(*times).saturating_sub(1) * TIME + 1 + VARINT_U32,
        Reduction::Step { .. } => VARINT_U16 + VARINT_U16 + 1 + VARINT_U16,
        Reduction::Move { .. } => VARINT_U64 + 1 + VARINT_U16 + VARINT_U32 + VARINT_U32,
        Reduction::Presence => 1 + VARINT_U32 + 1 + 1,
    };
    VARINT_U64 + 1 + held
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::{String, ToString};
    use std::sync::Arc;
    use std::vec::Vec;

    use serde_json::{Map, Value, json};

    use super::*;
    use crate::DeviceSecret;
    use crate::binary::{self, Binary};
    use crate::calendar::{Moment, Timestamp};
    use crate::insight::tally::Tally;
    use crate::insight::{Counters, Device, Event, Property};
    use crate::registry::{Declared, Faults, Registry};

    const LABELS: usize = 300;
    const MINUTE_MS: i64 = 60_000;
    /// In the year 9900, where times take the most bytes.
    const LATE_MS: i64 = 250_000_000_000_000;

    fn at(ms: i64) -> Moment {
        Moment { at: Timestamp::from_millis(LATE_MS + ms), offset_minutes: -1440 }
    }

    /// Answered every day but asked about all time, so that nothing is ever forgotten.
    fn metric(source: &Value, kind: &Value) -> Value {
        json!({ "version": 1, "question": "?", "source": source, "kind": kind, "every": "day", "epsilon": 0.01 })
    }

    fn registry(lookback_days: u32, metrics: &Map<String, Value>) -> Result<Arc<Registry>, Faults> {
        let labels: Vec<String> = (0..LABELS).map(|i| i.to_string()).collect();
        let declared = json!({
            "lookback_days": lookback_days,
            "privacy": { "weekly": 64, "lifetime": 64 },
            "events": {
                "a": { "properties": { "x": "number", "t": "text", "u": "text", "l": { "labels": labels } } },
                "b": {},
            },
            "funnels": { "f": { "window": "ever", "order": "any", "steps": [
                { "name": "a", "events": ["a"] }, { "name": "b", "events": ["b"] }] } },
            "metrics": metrics,
        });
        Registry::new(&serde_json::from_value::<Declared>(declared).unwrap()).map(Arc::new)
    }

    /// Each reduction over all time, with the kind of its answer.
    fn reductions() -> Vec<(&'static str, Value, Value)> {
        let of = |property: &str| json!({ "events": ["a"], "property": property, "window": "ever" });
        let bare = json!({ "events": ["a"], "window": "ever" });
        let bins = json!({ "histogram": { "edges": [1] } });
        let way = json!({ "events": ["a", "b"], "window": "ever" });
        let matching = |event: &str| json!({ "events": [event] });
        let steps = json!({ "events": ["a", "b"], "positions": 64, "window": "ever" });
        let reached = json!({ "events": ["a"], "times": 64, "within_days": 1, "window": "ever" });
        let minutes = json!({ "from": matching("b"), "to": matching("a"), "window": "ever" });
        Vec::from([
            ("any", json!({ "any": bare }), json!("boolean")),
            ("count", json!({ "count": bare }), bins.clone()),
            ("first", json!({ "first": of("t") }), json!("string")),
            ("last", json!({ "last": of("u") }), json!("string")),
            ("label", json!({ "last": of("l") }), json!("category")),
            ("most_common", json!({ "most_common": of("l") }), json!("category")),
            ("sum", json!({ "sum": of("x") }), bins.clone()),
            ("min", json!({ "min": of("x") }), bins.clone()),
            ("max", json!({ "max": of("x") }), bins.clone()),
            ("median", json!({ "median": of("x") }), bins.clone()),
            ("distinct_count", json!({ "distinct_count": of("t") }), bins.clone()),
            ("minutes", json!({ "minutes": minutes }), bins.clone()),
            ("reached", json!({ "reached": reached }), bins),
            ("step", json!({ "step": steps }), json!("category")),
            ("move", json!({ "move": way }), json!("category")),
            ("presence", json!({ "presence": { "events": ["a"] } }), json!("category")),
            ("funnel", json!({ "funnel": "f" }), json!("category")),
        ])
    }

    /// Events that let every cell hold as much as it can: long texts that all differ, numbers of all magnitudes, every label.
    fn exhaust(device: &mut Device, events: i64, mut each: impl FnMut(&Device)) {
        let long = "x".repeat(MAX_TEXT_BYTES - 12);
        for i in 0..events {
            let text = format!("{long}{i:012}");
            let label = (i as usize % LABELS).to_string();
            let x = (i - events / 2) as f64 * libm::pow(1.3, (i % 2000) as f64);
            let properties = [
                ("x", Property::Number(x)),
                ("t", Property::Text("an earlier value of that name")),
                ("t", Property::Text(&text)),
                ("u", Property::Text(if i % 2 == 0 { "" } else { &text })),
                ("l", Property::Text(&label)),
                ("undeclared", Property::Text(&text)),
            ];
            let name = if i % 7 == 0 { "b" } else { "a" };
            device.track(&Event { name, properties: &properties, at: None }, at(i * 40 * MINUTE_MS));
            each(device);
        }
    }

    /// Lets every count be as great as it can, which no test has the time for.
    fn saturate(device: &mut Device) {
        for tally in &mut device.tallies {
            match tally {
                Tally::Counts(counts) => counts.fill(u32::MAX),
                Tally::Magnitudes(counts) => counts.iter_mut().for_each(|(_, count)| *count = u32::MAX),
                _ => {}
            }
        }
    }

    #[test]
    fn no_cell_outgrows_its_bound_and_the_large_ones_come_near() {
        for (name, source, kind) in reductions() {
            let registry = registry(0, &Map::from_iter([(name.into(), metric(&source, &kind))])).unwrap();
            let mut device = Device::new(Arc::clone(&registry), &DeviceSecret::from_bytes([1; 32]), at(0));
            let size = |device: &Device| {
                binary::size(|to| {
                    u64::MAX.write(to);
                    device.tallies[0].write(to);
                })
            };
            let mut most = 0;
            exhaust(&mut device, 4000, |device| most = most.max(size(device)));
            saturate(&mut device);
            most = most.max(size(&device));
            let bound = registry.cells[0].bytes;
            assert!(most <= bound, "{name}: {most} bytes, bound {bound}");
            if bound > 100 {
                assert!(most > bound * 3 / 4, "{name}: {most} bytes, bound {bound}");
            }
        }
    }

    /// A registry filled to the brim, events that fill every cell, and the largest clock and counters.
    #[test]
    fn no_events_make_a_state_larger_than_its_bound() {
        let mut metrics = Map::new();
        for (name, source, kind) in reductions() {
            metrics.insert(name.into(), metric(&source, &kind));
        }
        let mut refused = None;
        for i in 0..100 {
            // Each over a window of its own, so that no two share a cell.
            let window = json!({ "days": 3000 + i });
            let source = json!({ "distinct_count": { "events": ["a"], "property": "t", "window": window } });
            metrics
                .insert(format!("more_{i:02}"), metric(&source, &json!({ "histogram": { "edges": [1] } })));
            if let Err(faults) = registry(7, &metrics) {
                metrics.remove(&format!("more_{i:02}"));
                refused = Some(faults.to_string());
                break;
            }
        }
        let refused = refused.unwrap();
        for part in ["metrics.median.source.median: ", "over the limit of 65536", "32768 for kept events"] {
            assert!(refused.contains(part), "{refused}");
        }
        let registry = registry(7, &metrics).unwrap();
        let secret = DeviceSecret::from_bytes([1; 32]);
        let mut device = Device::new(Arc::clone(&registry), &secret, at(0));
        let (mut most, mut events) = (0, 0);
        exhaust(&mut device, 6000, |device| {
            events += 1;
            if events % 50 == 0 {
                most = most.max(device.store().len());
            }
        });
        saturate(&mut device);
        device.counters = worst_counters();
        device.clock.session = u32::MAX;
        most = most.max(device.store().len());
        assert!(most <= MAX_STATE_BYTES, "{most}");
        assert!(most > MAX_STATE_BYTES * 3 / 4, "{most} bytes try nothing");
        let restored = Device::restore(registry, &secret, device.store()).unwrap();
        assert_eq!(restored.store(), device.store());
    }

    fn worst_counters() -> Counters {
        let max = u64::MAX;
        Counters {
            unknown_events: max,
            unneeded_events: max,
            unknown_properties: max,
            unfit_properties: max,
            other_labels: max,
            from_future: max,
            before_install: max,
            clock_set_back: max,
            epochs_skipped: max,
            kept_dropped: max,
        }
    }

    #[test]
    fn what_is_fixed_fits() {
        let source = json!({ "any": { "events": ["a"], "window": "ever" } });
        let metrics = Map::from_iter([("any".into(), metric(&source, &json!("boolean")))]);
        let registry = registry(0, &metrics).unwrap();
        let mut device = Device::new(Arc::clone(&registry), &DeviceSecret::from_bytes([1; 32]), at(0));
        device.advance(Moment { at: Timestamp::from_millis(i64::MAX), offset_minutes: i16::MIN });
        device.counters = worst_counters();
        device.clock.session = u32::MAX;
        let size = device.store().len();
        assert!(size <= FIXED_BYTES + registry.cells[0].bytes, "{size}");
    }

    /// Twenty registries, each with other metrics that are answered once under the longest names.
    #[test]
    fn metrics_of_earlier_registries_are_forgotten_where_there_is_no_room() {
        let secret = DeviceSecret::from_bytes([1; 32]);
        let mut stored: Option<Vec<u8>> = None;
        for round in 0..20i64 {
            let source = json!({ "any": { "events": ["a"], "window": { "days": 1 } } });
            let once = |i| {
                let metric = json!({ "version": 1, "question": "?", "source": source, "kind": "boolean", "every": "once", "epsilon": 0.01 });
                (format!("{:x<60}{round:02}{i:02}", "m"), metric)
            };
            let registry = registry(0, &(0..30).map(once).collect()).unwrap();
            let mut device = match stored {
                None => Device::new(Arc::clone(&registry), &secret, at(0)),
                Some(bytes) => Device::restore(Arc::clone(&registry), &secret, bytes).unwrap(),
            };
            let answers = device.advance(at((round + 2) * 1440 * MINUTE_MS)).len();
            assert_eq!(answers, 30, "round {round}");
            let bytes = device.store();
            assert!(bytes.len() < FIXED_BYTES + registry.cells[0].bytes + DONE_BYTES, "{}", bytes.len());
            stored = Some(bytes);
        }
    }
}
