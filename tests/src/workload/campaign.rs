//! The campaign.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{DAY, Draws, Emitted, MINUTE, Person, Unit, is, midnight, text, utc, yes_no};

const STEPS: [&str; 4] = ["visit", "issue_page", "signup", "donation"];

pub(super) fn people(unit: &Unit, rng: &mut Draws) -> Vec<Person> {
    // The first visit leaves the month room for a second donation.
    let install = midnight("2024-09-01") + rng.below(25 * DAY as u64) as i64;
    let events = events(unit, install, rng);
    let deepest = text(unit, "deepest_step");
    let donated = deepest == "donation";
    let again = is(unit, "donated_again");
    let supporter = text(unit, "visitor_type") == "email_supporter";
    let referrer = if unit["referrer"].is_null() { "(none)" } else { text(unit, "referrer") };
    let answers = BTreeMap::from([
        ("deepest_step", vec![deepest.to_owned()]),
        ("deepest_step_by_source", vec![format!("{}|{deepest}", text(unit, "source"))]),
        ("visitor_type", vec![text(unit, "visitor_type").to_owned()]),
        ("visits_both_sites", vec![yes_no(is(unit, "visits_both_sites"))]),
        ("donor", vec![yes_no(donated)]),
        ("repeat_donor", vec![yes_no(again)]),
        ("donation_usd", vec![format!("{:?}", unit["donation_usd"].as_f64())]),
        ("call_placed", vec![yes_no(is(unit, "call_placed"))]),
        ("political_skew", vec![text(unit, "political_skew").to_owned()]),
        ("passion_issue", vec![text(unit, "passion_issue").to_owned()]),
        (
            "slot_click",
            vec![if supporter { yes_no(is(unit, "slot_clicked")) } else { "ineligible".to_owned() }],
        ),
        ("referrer", vec![referrer.to_owned()]),
    ]);
    vec![Person {
        install: utc(install),
        events,
        end: utc(midnight("2024-10-01")),
        answers,
        unit: unit.clone(),
    }]
}

fn events(unit: &Unit, install: i64, rng: &mut Draws) -> Vec<Emitted> {
    let sites = if text(unit, "first_site") == "main" { ["main", "project"] } else { ["project", "main"] };
    let mut viewed = vec![
        ("site", json!(sites[0])),
        ("source", unit["source"].clone()),
        ("visitor_type", unit["visitor_type"].clone()),
    ];
    if !unit["referrer"].is_null() {
        viewed.push(("referrer", unit["referrer"].clone()));
    }
    let profile = vec![
        ("political_skew", unit["political_skew"].clone()),
        ("passion_issue", unit["passion_issue"].clone()),
    ];
    let mut events: Vec<(&'static str, Vec<(&'static str, Value)>)> =
        vec![("page_viewed", viewed), ("profile_answered", profile)];
    let deepest = STEPS.iter().position(|step| *step == text(unit, "deepest_step")).expect("a step");
    events.extend(["issue_viewed", "signed_up"].into_iter().take(deepest).map(|name| (name, Vec::new())));
    if deepest == 3 {
        events.push(("donated", vec![("usd", unit["donation_usd"].clone())]));
    }
    if is(unit, "call_placed") {
        events.push(("call_placed", Vec::new()));
    }
    if is(unit, "slot_clicked") {
        events.push(("slot_clicked", Vec::new()));
    }
    if is(unit, "visits_both_sites") {
        events.push(("page_viewed", vec![("site", json!(sites[1]))]));
    }
    let mut emitted: Vec<Emitted> = Vec::new();
    let mut at_ms = install;
    for (name, properties) in events {
        emitted.push(Emitted { name, at_ms, properties });
        at_ms += (rng.exponential(2.0 * MINUTE as f64) as i64).min(28 * MINUTE);
    }
    if is(unit, "donated_again") {
        let at_ms = at_ms + DAY + rng.below(2 * DAY as u64) as i64;
        emitted.push(Emitted { name: "donated", at_ms, properties: vec![("usd", json!(5))] });
    }
    emitted
}
