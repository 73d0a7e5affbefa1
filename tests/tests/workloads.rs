//! The four populations, event by event, through the state machine: every device answers every metric as its drawn values say.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use deniable::calendar::{Moment, Timestamp};
use deniable::insight::{Device, Event};
use deniable::registry::Registry;
use deniable::{DeviceSecret, MetricId};
use deniable_aggregator::catalog::Catalog;
use deniable_tests::answers::label;
use deniable_tests::workload::{self, Draws, Person, Population, Unit};
use serde_json::{Value, json};

const SEED: u64 = 20_210_918;
/// Units of each population; the ignored test runs the default size.
const UNITS: u64 = 3000;

/// Units whose devices are run once more, as they are outside of tests: answering the metrics of their group alone.
const ROTATED: u64 = 300;

/// Answers by metric, in the order in which they were given.
type Answers = BTreeMap<String, Vec<String>>;

fn registry(population: &Population) -> Arc<Registry> {
    let catalog = Catalog::load(Path::new(population.registry)).unwrap();
    // Through the bytes that a client receives.
    Arc::new(Registry::from_catalog(&catalog.registry().catalog()).unwrap())
}

fn secret(unit: u64) -> DeviceSecret {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&unit.to_le_bytes());
    DeviceSecret::from_bytes(bytes)
}

/// What a device of a person answers that was installed just now.
fn run(mut device: Device, person: &Person) -> Answers {
    let registry = Arc::clone(device.registry());
    let mut answers = Vec::new();
    for event in &person.events {
        let properties = event.read();
        let event_at = Moment::utc(Timestamp::from_millis(event.at_ms));
        answers
            .extend(device.track(&Event { name: event.name, properties: &properties, at: None }, event_at));
    }
    answers.extend(device.advance(person.end));
    let counters = device.counters();
    assert_eq!((counters.unknown_events, counters.unknown_properties, counters.unfit_properties), (0, 0, 0));
    let mut by_metric = Answers::new();
    for answered in answers {
        let metric = registry.metric(&answered.metric).unwrap();
        by_metric.entry(answered.metric.to_string()).or_default().push(label(metric, &answered.given));
    }
    by_metric
}

/// Runs a population, checks every answer of every device, and hands on every person.
fn check(population: &Population, units: u64, mut each: impl FnMut(&Person)) {
    let registry = registry(population);
    for unit in 0..units {
        let secret = secret(unit);
        let arms = Device::new(Arc::clone(&registry), &secret, Moment::utc(Timestamp::from_millis(0)));
        let fixed = population.arms.iter().map(|name| ((*name).to_owned(), json!(arms.arm(name).unwrap())));
        let mut rng = Draws::new(SEED, unit);
        let drawn: Unit = population.workload.draw(&mut rng, &fixed.collect());
        for person in (population.people)(&drawn, &mut rng) {
            let device = || Device::new(Arc::clone(&registry), &secret, person.install);
            let answers = run(device().answering_everything(), &person);
            for (metric, expected) in &person.answers {
                let found = answers.get(*metric).map_or(&[][..], |answers| answers);
                assert!(
                    found == expected,
                    "{} unit {unit}, {metric}: {found:?} is not {expected:?}",
                    population.name
                );
            }
            let asked = registry.metrics().map(|metric| metric.id().as_str());
            let open: Vec<&str> = asked.filter(|id| !person.answers.contains_key(id)).collect();
            assert!(open.iter().all(|id| *id == "transitions"), "nothing is expected of {open:?}");
            if unit < ROTATED {
                let group = registry.rotation().group_of(&secret);
                let held = |metric: &String| group.holds(&MetricId::new(metric).unwrap());
                let rotated = answers.into_iter().filter(|(metric, _)| held(metric)).collect();
                assert_eq!(run(device(), &person), rotated, "{} unit {unit}", population.name);
            }
            each(&person);
        }
    }
}

/// How often each answer came, by the truth of the workload that it is to be compared with. `a/b` is the part b of truth a.
#[derive(Default)]
struct Shares(BTreeMap<String, BTreeMap<String, f64>>);

impl Shares {
    fn count(&mut self, truth: impl Into<String>, label: impl Into<String>) {
        *self.0.entry(truth.into()).or_default().entry(label.into()).or_default() += 1.0;
    }

    /// The share of a label, and its variance if the true share is `expected`.
    fn share(&self, truth: &str, label: &str, expected: f64) -> (f64, f64) {
        let counts = &self.0[truth];
        let total: f64 = counts.values().sum();
        (counts.get(label).copied().unwrap_or(0.0) / total, expected * (1.0 - expected) / total)
    }

    /// Every share within five standard errors of the workload's truth; a false alarm has a chance below 10⁻⁶.
    fn agree(&self, population: &Population) {
        for truth in self.0.keys() {
            let mut labels = Vec::new();
            flatten("", find(population, truth), &mut labels);
            for (label, expected) in labels {
                let (found, variance) = self.share(truth, &label, expected);
                near(&format!("{} {truth} {label}", population.name), found, expected, variance);
            }
        }
    }

    /// Checks that with these and `others` no truth of the workload is left out.
    fn cover(&self, population: &Population, others: &[&str]) {
        let checked =
            self.0.keys().map(|truth| truth.split('/').next().unwrap()).chain(others.iter().copied());
        let checked: BTreeSet<&str> = checked.collect();
        let all: BTreeSet<&str> = population.workload.truth.keys().map(String::as_str).collect();
        assert_eq!(checked, all, "{}", population.name);
    }

    /// The difference of two shares of one label within five standard errors of a truth.
    fn differ(&self, population: &Population, truth: &str, label: &str, pair: [&str; 2]) {
        let [(a, va), (b, vb)] = pair.map(|truth| self.share(truth, label, self.share(truth, label, 0.0).0));
        near(truth, a - b, find(population, truth).as_f64().unwrap(), va + vb);
    }
}

fn near(what: &str, found: f64, expected: f64, variance: f64) {
    // The truths have four to six digits.
    let tolerance = 5.0 * variance.sqrt() + 1e-4;
    assert!((found - expected).abs() <= tolerance, "{what}: {found} is not {expected} ± {tolerance}");
}

fn find<'p>(population: &'p Population, truth: &str) -> &'p Value {
    let (truth, part) = truth.split_once('/').unwrap_or((truth, ""));
    let value = &population.workload.truth[truth];
    match value {
        Value::Object(parts) if !part.is_empty() => &parts[part],
        Value::Array(parts) => &parts[part.parse::<usize>().unwrap()],
        value => value,
    }
}

/// The shares in a truth: a number is that of `yes`, a table has one for each label.
fn flatten(prefix: &str, truth: &Value, out: &mut Vec<(String, f64)>) {
    match truth {
        Value::Object(parts) => parts.iter().for_each(|(label, part)| {
            let label = if prefix.is_empty() { label.clone() } else { format!("{prefix}|{label}") };
            flatten(&label, part, out);
        }),
        share => {
            out.push((if prefix.is_empty() { "yes" } else { prefix }.to_owned(), share.as_f64().unwrap()));
        }
    }
}

fn yes(value: &Value) -> String {
    if *value == json!(true) { "yes" } else { "no" }.to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("none").to_owned()
}

#[test]
fn onboarding_is_answered_as_it_was_drawn() {
    onboarding(UNITS);
}

fn onboarding(units: u64) {
    let population = workload::onboarding();
    let mut shares = Shares::default();
    check(&population, units, |person| {
        let unit = &person.unit;
        if unit["legacy"] == json!(true) {
            return;
        }
        let device = text(&unit["device"]);
        shares.count("activation_rate", yes(&unit["activated"]));
        shares.count(format!("activation_rate_by_device/{device}"), yes(&unit["activated"]));
        shares.count("first_session_path", text(&unit["first_session_path"]));
        shares.count("first_session_activation_rate", yes(&json!(unit["activation_session"] == json!("1"))));
        shares.count("paid_rate", yes(&unit["paid"]));
        if unit["activated"] == json!(true) {
            let session = text(&unit["activation_session"]);
            shares.count("activation_session_by_device", format!("{device}|{session}"));
            shares.count("activation_session", session);
            let early = ["2", "3", "4"].contains(&text(&unit["activation_session"]).as_str());
            shares.count("sessions_2_to_4", yes(&json!(early)));
        }
        match text(&unit["class"]).as_str() {
            "s2" => {
                shares.count("path_given_session2_activation", text(&unit["first_session_path"]));
                shares.count("tutorial_given_session2_activation", yes(&unit["tutorial_viewed"]));
                shares.count("publish_in_s1_given_session2_activation", yes(&unit["publish_succeeded"]));
            }
            "s1" => shares.count("onboarding_given_session1_activation", yes(&unit["onboarding_run"])),
            _ => {}
        }
        let steps = [
            "questionnaire_shown",
            "channel_connected",
            "trigger_clicked",
            "publish_attempted",
            "publish_succeeded",
        ];
        let deepest = steps.iter().take_while(|step| unit[**step] == json!(true)).last();
        shares.count("first_session_funnel_deepest", deepest.map_or("none", |step| *step));
    });
    shares.agree(&population);
    shares.cover(&population, &[]);
}

#[test]
fn the_sign_in_dialog_is_answered_as_it_was_drawn() {
    persona(UNITS);
}

fn persona(units: u64) {
    let population = workload::persona();
    let (mut shares, mut signed) = (Shares::default(), Shares::default());
    let mut quantiles: BTreeMap<(String, &str, u32), Vec<bool>> = BTreeMap::new();
    check(&population, units, |person| {
        let unit = &person.unit;
        let (variant, step) = (text(&unit["variant"]), text(&unit["deepest_step"]));
        if text(&unit["user_kind"]) == "new" {
            shares.count(format!("deepest_step_new_{variant}"), step.clone());
        }
        for (age, active) in unit["active_week"].as_array().unwrap().iter().enumerate() {
            shares.count(format!("retention_by_week/{age}"), yes(active));
        }
        shares.count(
            format!("placement_click_rate/{}", text(&unit["placement"])),
            yes(&unit["button_clicked"]),
        );
        shares.count("relying_party_top10", text(&unit["relying_party"]));
        let platform = text(&unit["platform"]);
        let load = unit["load_ms"].as_f64().unwrap();
        for (truth, quantile) in [("median", 0.5), ("p95", 0.95)] {
            let limit =
                find(&population, &format!("load_ms_{truth}_by_platform/{platform}")).as_f64().unwrap();
            quantiles
                .entry((platform.clone(), truth, (quantile * 100.0) as u32))
                .or_default()
                .push(load < limit);
        }
        signed.count(&*variant, yes(&json!(step == "signed_in")));
        shares.count("signin_rate_all", yes(&json!(step == "signed_in")));
        shares.count("error_kind", text(&unit["error_screen"]));
        shares.count("error_any", yes(&json!(text(&unit["error_screen"]) != "none")));
    });
    shares.agree(&population);
    let arms = ["deepest_step_new_short_form", "deepest_step_new_control"];
    shares.differ(&population, "dialog_bounce_effect_new", "bounced_at_dialog", arms);
    shares.differ(&population, "dialog_signin_effect_new", "signed_in", arms);
    signed.differ(&population, "dialog_signin_effect_all", "yes", ["short_form", "control"]);
    let others = ["dialog_bounce_effect_new", "dialog_signin_effect_new", "dialog_signin_effect_all"];
    let quantile_truths = ["load_ms_median_by_platform", "load_ms_p95_by_platform"];
    shares.cover(&population, &[&others[..], &quantile_truths].concat());
    for ((platform, truth, percent), below) in quantiles {
        let (n, expected) = (below.len() as f64, f64::from(percent) / 100.0);
        let found = below.iter().filter(|below| **below).count() as f64 / n;
        near(&format!("{truth} of {platform}"), found, expected, expected * (1.0 - expected) / n);
    }
}

#[test]
fn services_are_answered_as_they_were_drawn_by_account_and_by_device() {
    fxa(UNITS);
}

fn fxa(units: u64) {
    let hub = workload::fxa_hub();
    let mut shares = Shares::default();
    check(&hub, units, |person| {
        let used = text(&person.unit["services_used"]);
        let used: Vec<&str> = used.split('+').collect();
        let services = used.len();
        for service in ["sync", "hello", "readinglist"] {
            shares.count(format!("service_used/{service}"), yes(&json!(used.contains(&service))));
        }
        for (a, b) in [("sync", "hello"), ("sync", "readinglist"), ("hello", "readinglist")] {
            shares
                .count(format!("pair_overlap/{a}+{b}"), yes(&json!(used.contains(&a) && used.contains(&b))));
        }
        shares.count("number_of_services", services.to_string());
        shares.count("two_or_more_accounts", yes(&json!(services > 1)));
        shares.count("mobile_login", yes(&person.unit["mobile_login"]));
        shares.count("signed_up_this_month", yes(&person.unit["signed_up_this_month"]));
    });
    shares.agree(&hub);
    shares.cover(&hub, &["two_or_more_active_devices", "active_devices_per_account"]);

    let devices = workload::fxa_devices();
    let mut shares = Shares::default();
    let mut active = 0.0;
    check(&devices, units, |person| {
        active += 1.0;
        shares.count("two_or_more_active_devices", person.answers["two_or_more"][0].clone());
    });
    // An account has one active device, or two with the share p that makes the mean.
    let (n, mean) = (units as f64, find(&devices, "active_devices_per_account").as_f64().unwrap());
    near("devices", active / n, mean, (mean - 1.0) * (2.0 - mean) / n);
    shares.agree(&devices);
}

#[test]
fn the_campaign_is_answered_as_it_was_drawn() {
    campaign(UNITS);
}

fn campaign(units: u64) {
    let population = workload::campaign();
    let (mut shares, mut by_source, mut slots) = (Shares::default(), Shares::default(), Shares::default());
    let mut donations: Vec<f64> = Vec::new();
    check(&population, units, |person| {
        let unit = &person.unit;
        shares.count("deepest_step", text(&unit["deepest_step"]));
        let (source, deepest) = (text(&unit["source"]), text(&unit["deepest_step"]));
        shares.count(format!("deepest_step_by_source/{source}"), deepest.clone());
        let signed_up = ["signup", "donation"].contains(&deepest.as_str());
        shares.count("signup_or_more", yes(&json!(signed_up)));
        by_source.count(&*source, yes(&json!(signed_up)));
        donations.extend(unit["donation_usd"].as_f64());
        if text(&unit["visitor_type"]) == "email_supporter" {
            slots.count(text(&unit["slot"]), yes(&unit["slot_clicked"]));
        }
        shares.count("donor_rate", yes(&json!(text(&unit["deepest_step"]) == "donation")));
        shares.count("repeat_donor_rate", yes(&unit["donated_again"]));
        shares.count("call_placed", yes(&unit["call_placed"]));
        shares.count("visits_both_sites", yes(&unit["visits_both_sites"]));
        shares.count("political_skew", text(&unit["political_skew"]));
        shares.count("passion_issue", text(&unit["passion_issue"]));
    });
    shares.agree(&population);
    slots.differ(&population, "slot_effect_email_supporters", "yes", ["issue_module", "subscribe_box"]);
    let others = ["slot_effect_email_supporters", "donation_mean_untruncated", "cost_per_signup_or_more"];
    shares.cover(&population, &others);
    // A log-normal number of median 25 and σ 1.1 has the variance 25²·e^1.21·(e^1.21 − 1).
    let n = donations.len() as f64;
    let variance = 625.0 * 1.21f64.exp() * (1.21f64.exp() - 1.0) / n;
    let mean = find(&population, "donation_mean_untruncated").as_f64().unwrap();
    near("donation", donations.iter().sum::<f64>() / n, mean, variance);
    // Dollars spent at 200,000 devices, per sign-up: a ratio with the relative error of its denominator.
    for (source, dollars) in [("ad_network_a", 12_000.0), ("ad_network_b", 9000.0)] {
        let expected = find(&population, &format!("cost_per_signup_or_more/{source}")).as_f64().unwrap();
        let people: f64 = by_source.0.values().flat_map(BTreeMap::values).sum();
        let signed_up = by_source.0[source].get("yes").copied().unwrap_or(0.0);
        let found = signed_up * 200_000.0 / people;
        near(source, found, dollars / expected, found * 200_000.0 / people);
    }
}

/// Half a minute in a release build.
#[test]
#[ignore = "the default size of the workloads; run it in a release build"]
fn all_populations_at_their_default_size() {
    onboarding(200_000);
    persona(200_000);
    fxa(200_000);
    campaign(200_000);
}
