//! Services of an account.

use std::collections::BTreeMap;

use serde_json::json;

use super::{DAY, Draws, Emitted, HOUR, Person, Unit, is, midnight, text, utc, yes_no};

const SERVICES: [&str; 3] = ["sync", "hello", "readinglist"];
const DAYS: i64 = 31;

/// The account's origin, which sees every service.
pub(super) fn accounts(unit: &Unit, rng: &mut Draws) -> Vec<Person> {
    let used: Vec<&'static str> = used(unit);
    vec![person(unit, &used, true, rng)]
}

/// Each device that used anything, which sees its own services.
pub(super) fn devices(unit: &Unit, rng: &mut Draws) -> Vec<Person> {
    let on = |device: u64| -> Vec<&'static str> {
        used(unit).into_iter().filter(|service| unit["service_device"][service] == json!(device)).collect()
    };
    let active = (0..3).map(on).filter(|services| !services.is_empty());
    active.enumerate().map(|(i, services)| person(unit, &services, i == 0, rng)).collect()
}

fn used(unit: &Unit) -> Vec<&'static str> {
    let used: Vec<&str> = text(unit, "services_used").split('+').collect();
    SERVICES.into_iter().filter(|service| used.contains(service)).collect()
}

fn person(unit: &Unit, services: &[&'static str], has_login: bool, rng: &mut Draws) -> Person {
    let start = midnight("2024-05-01");
    let (mobile, sign_up) =
        (has_login && is(unit, "mobile_login"), has_login && is(unit, "signed_up_this_month"));
    let mut events = Vec::new();
    for service in services {
        for _ in 0..1 + rng.below(4) {
            let at_ms = start + rng.below((DAYS * DAY) as u64) as i64;
            events.push(Emitted {
                name: "service_used",
                at_ms,
                properties: vec![("service", json!(service))],
            });
        }
    }
    events.sort_by_key(|event| event.at_ms);
    let first = events[0].at_ms;
    let login = vec![("mobile", json!(mobile)), ("sign_up", json!(sign_up))];
    events.insert(0, Emitted { name: "account_login", at_ms: first, properties: login });
    let days: Vec<i64> = events.iter().map(|event| event.at_ms.div_euclid(DAY)).collect();
    let answers = BTreeMap::from([
        ("services_used", vec![services.join("+")]),
        ("number_of_services", vec![services.len().to_string()]),
        ("two_or_more", vec![yes_no(services.len() > 1)]),
        ("mobile_login", vec![yes_no(mobile)]),
        ("signed_up_this_month", vec![yes_no(sign_up)]),
        ("presence", presence(&days, midnight("2024-06-01") / DAY)),
    ]);
    let install = utc(first);
    Person { install, events, end: utc(midnight("2024-06-01") + HOUR), answers, unit: unit.clone() }
}

/// What the device says of each day from its install to the end of the month.
fn presence(active: &[i64], end: i64) -> Vec<String> {
    let first = active[0];
    // 1970-01-01 was a Thursday.
    let week = |day: i64| (day + 3).div_euclid(7);
    let say = |day: i64| {
        if !active.contains(&day) {
            "absent"
        } else if day == first {
            "ever"
        } else if active.iter().any(|other| *other < day && week(*other) == week(day)) {
            "day"
        } else {
            "week"
        }
    };
    (first..end).map(|day| say(day).to_owned()).collect()
}
