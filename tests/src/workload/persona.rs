//! The sign-in dialog.

use std::collections::BTreeMap;

use serde_json::json;

use super::{DAY, Draws, Emitted, HOUR, MINUTE, Person, SECOND, Unit, bin, is, midnight, text, utc, yes_no};

const STEPS: [&str; 6] = [
    "bounced_at_dialog",
    "email_entered",
    "password_created",
    "verification_sent",
    "email_verified",
    "signed_in",
];
const LOAD_EDGES: [i64; 9] = [250, 500, 750, 1000, 1500, 2000, 3000, 5000, 10_000];
const WEEKS: u64 = 12;

pub(super) fn people(unit: &Unit, rng: &mut Draws) -> Vec<Person> {
    let week = unit["install_week"].as_u64().expect("a week");
    let start = midnight("2024-01-01") + week as i64 * 7 * DAY;
    // A Monday morning, so that the seven days since the install are the week.
    let install = start + 8 * HOUR + rng.below(10 * HOUR as u64) as i64;
    let mut events = dialog(unit, install);
    let active: Vec<bool> =
        unit["active_week"].as_array().expect("weeks").iter().map(|week| *week == json!(true)).collect();
    for (age, _) in active.iter().enumerate().filter(|(age, active)| **active && week + (*age as u64) < WEEKS)
    {
        let monday = start + age as i64 * 7 * DAY;
        let at = if age == 0 { install + HOUR } else { monday + rng.below((7 * DAY - HOUR) as u64) as i64 };
        let event = |at_ms| Emitted { name: "app_opened", at_ms, properties: Vec::new() };
        events.extend([event(at), event(at + 5 * MINUTE)]);
    }
    let new = text(unit, "user_kind") == "new";
    let deepest = text(unit, "deepest_step");
    let signed_in = deepest == "signed_in";
    let error = text(unit, "error_screen");
    let load = unit["load_ms"].as_f64().expect("milliseconds");
    let retention = (week..WEEKS).map(|now| {
        let age = (now - week) as usize;
        if active.get(age) == Some(&true) { age.to_string() } else { "inactive".to_owned() }
    });
    let answers = BTreeMap::from([
        ("deepest_step", vec![if new { deepest } else { "ineligible" }.to_owned()]),
        ("signin", vec![yes_no(signed_in)]),
        ("error_any", vec![yes_no(error != "none")]),
        ("error_kind", vec![error.to_owned()]),
        ("load_ms_by_platform", vec![format!("{}|{}", text(unit, "platform"), bin(load, &LOAD_EDGES))]),
        ("button_click", vec![yes_no(is(unit, "button_clicked"))]),
        ("relying_party", vec![if signed_in { text(unit, "relying_party") } else { "(none)" }.to_owned()]),
        ("retention_by_week", retention.collect()),
    ]);
    let end = utc(midnight("2024-01-01") + WEEKS as i64 * 7 * DAY);
    vec![Person { install: utc(install), events, end, answers, unit: unit.clone() }]
}

fn dialog(unit: &Unit, install: i64) -> Vec<Emitted> {
    let ready = vec![
        ("platform", unit["platform"].clone()),
        ("user_kind", unit["user_kind"].clone()),
        ("load_ms", unit["load_ms"].clone()),
    ];
    let mut events = vec![("dialog_ready", ready), ("button_shown", Vec::new())];
    let new = text(unit, "user_kind") == "new";
    let deepest = STEPS.iter().position(|step| *step == text(unit, "deepest_step")).expect("a step");
    let steps = STEPS.iter().enumerate().filter(|(i, _)| *i <= deepest && (new || ![2, 3, 4].contains(i)));
    events.extend(steps.map(|(_, step)| (*step, Vec::new())));
    if text(unit, "error_screen") != "none" {
        events.push(("error_shown", vec![("kind", unit["error_screen"].clone())]));
    }
    if is(unit, "button_clicked") {
        events.push(("button_clicked", Vec::new()));
    }
    if text(unit, "deepest_step") == "signed_in" {
        events.push(("rp_signin", vec![("host", unit["relying_party"].clone())]));
    }
    let at = (0..).map(|i| install + i * 20 * SECOND);
    at.zip(events).map(|(at_ms, (name, properties))| Emitted { name, at_ms, properties }).collect()
}
