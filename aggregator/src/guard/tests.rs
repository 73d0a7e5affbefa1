//! Whole cells of honest devices, encoded one by one, and the same with planted faults.

use deniable::{DeviceSecret, Encoder, Encoding, MetricId, Randomness, Response, Value};

use super::*;

const REPORTS: u32 = 4000;

fn bloom() -> Params {
    Params::rappor(32, 2, 8, 0.5, 0.25, 0.75).unwrap()
}

fn unary() -> Params {
    let stage = Response::nearest(0.2, 0.5).unwrap();
    Params::new(Encoding::Unary, 32, 1, 4, None, Some(stage)).unwrap()
}

/// What a report sets, in which cohort.
type Drawn = (u16, Vec<u8>);

/// The reports of devices that all have one value, which is the most uneven that honest counts can be.
fn honest(params: Params, seed: u8) -> Vec<Drawn> {
    let mut randomness = Randomness::from_seed([seed; 32]);
    let report = |device: u32| {
        let mut secret = [seed; 32];
        secret[..4].copy_from_slice(&device.to_le_bytes());
        let encoder = Encoder::new(MetricId::new("m").unwrap(), 1, params, &DeviceSecret::from_bytes(secret));
        let value = if params.encoding() == Encoding::Bloom { Value::Text("v") } else { Value::Choice(3) };
        let report = encoder.encode(value, Epoch(1), &mut randomness).unwrap();
        let mut bytes = vec![0; params.bits().div_ceil(8)];
        report.bits().iter_ones().for_each(|bit| bytes[bit / 8] |= 1 << (bit % 8));
        (report.cohort(), bytes)
    };
    (0..REPORTS).map(report).collect()
}

fn cell(params: &Params, epoch: u32, source: &str, reports: &[Drawn]) -> Cell {
    let (k, guard) = (params.bits(), Ones::of(params));
    let (mut totals, mut ones) = (vec![0; params.cohorts()], vec![0; params.cohorts() * k]);
    for (cohort, bits) in reports {
        totals[usize::from(*cohort)] += 1;
        for bit in (0..k).filter(|bit| bits[bit / 8] >> (bit % 8) & 1 == 1) {
            ones[usize::from(*cohort) * k + bit] += 1;
        }
    }
    let improbable = reports.iter().filter(|(_, bits)| guard.is_improbable(bits)).count() as u64;
    let counts = Counts::new(k, totals, ones).unwrap();
    Cell { epoch: Epoch(epoch), source: source.to_owned(), counts, improbable }
}

/// Judges cells, each source with all of its cells as its volumes.
fn judge(params: &Params, cells: &[Cell]) -> Vec<Alarm> {
    let mut volumes = Volumes::new();
    for cell in cells {
        let volume = Volume { reports: cell.counts.total(), improbable: cell.improbable };
        volumes.entry(cell.source.clone()).or_default().insert(cell.epoch, volume);
    }
    let mut watch = Watch::new(params, &volumes);
    cells.iter().for_each(|cell| watch.see(cell));
    watch.alarms()
}

fn names(alarms: &[Alarm]) -> Vec<&'static str> {
    alarms.iter().map(|alarm| alarm.guard.name()).collect()
}

#[test]
fn honest_devices_raise_no_alarm() {
    for params in [bloom(), unary()] {
        let cells: Vec<Cell> =
            (0..12).map(|epoch| cell(&params, epoch, "web", &honest(params, epoch as u8))).collect();
        assert_eq!(judge(&params, &cells), []);
    }
}

/// Forged reports that set every bit, a fiftieth of all: each is improbable, and all bits but one are set too often.
#[test]
fn reports_of_all_ones_alarm() {
    let params = unary();
    let mut reports = honest(params, 1);
    reports.iter_mut().step_by(50).for_each(|(_, bits)| bits.fill(0xFF));
    let alarms = judge(&params, &[cell(&params, 7, "web", &reports)]);
    assert!(names(&alarms).contains(&"improbable-reports"), "{alarms:?}");
    let improbable = &alarms[0];
    assert_eq!((improbable.epoch, improbable.source.as_str(), improbable.value), (Epoch(7), "web", 80.0));
    assert!(improbable.limit < 10.0);
    // A tenth of them moves the rates beyond what values can give.
    reports.iter_mut().step_by(5).for_each(|(_, bits)| bits.fill(0xFF));
    let alarms = judge(&params, &[cell(&params, 7, "web", &reports)]);
    assert_eq!(names(&alarms), ["improbable-reports", "bit-rate", "ones-total"]);
}

#[test]
fn a_stuffed_cohort_alarms_beside_the_source_that_stuffs_it() {
    let params = bloom();
    let mut stuffed = honest(params, 2);
    stuffed.iter_mut().step_by(10).for_each(|(cohort, _)| *cohort = 5);
    let cells = [cell(&params, 7, "app", &honest(params, 1)), cell(&params, 7, "web", &stuffed)];
    let alarms = judge(&params, &cells);
    assert_eq!(names(&alarms)[0], "cohort-total");
    assert!(alarms.iter().all(|alarm| alarm.source == "web"));
    assert!(alarms[0].found.starts_with("cohort 5 has") && alarms[0].value > alarms[0].limit);
}

#[test]
fn tenfold_volume_alarms_in_its_epoch_and_source_alone() {
    let params = unary();
    let few: Vec<Drawn> = honest(params, 3).into_iter().take(400).collect();
    let mut cells: Vec<Cell> =
        (0..20).flat_map(|epoch| ["app", "web"].map(|source| cell(&params, epoch, source, &few))).collect();
    assert_eq!(judge(&params, &cells), []);
    cells.push(cell(&params, 20, "app", &few));
    cells.push(cell(&params, 20, "web", &honest(params, 4)));
    // The order in which cells come is no matter.
    cells.reverse();
    let alarms = judge(&params, &cells);
    let [alarm] = &alarms[..] else { panic!("{alarms:?}") };
    assert_eq!((alarm.guard, alarm.epoch, alarm.source.as_str()), (Guard::Volume, Epoch(20), "web"));
    assert!((alarm.value - 10.0).abs() < 1e-9 && alarm.limit < 10.0);
}

#[test]
fn names_are_stable_and_every_guard_has_a_remedy() {
    let names = Guard::ALL.map(Guard::name);
    let expected =
        ["improbable-reports", "cohort-total", "cohort-spread", "bit-rate", "ones-total", "volume"];
    assert_eq!(names, expected);
    assert!(Guard::ALL.iter().all(|guard| guard.remedy().contains("deniable quarantine")));
}
