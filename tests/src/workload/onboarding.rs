//! Onboarding and activation.

use std::collections::BTreeMap;

use serde_json::json;

use super::{DAY, Draws, Emitted, HOUR, MINUTE, Person, SECOND, Unit, bin, is, midnight, text, utc, yes_no};

const FLAGS: [&str; 9] = [
    "questionnaire_shown",
    "channel_connected",
    "onboarding_run",
    "pro_enabled",
    "trial_started",
    "tutorial_viewed",
    "trigger_clicked",
    "publish_attempted",
    "publish_succeeded",
];
const FUNNEL: [&str; 5] =
    ["questionnaire_shown", "channel_connected", "trigger_clicked", "publish_attempted", "publish_succeeded"];
const SESSION_EDGES: [i64; 10] = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const MINUTE_EDGES: [i64; 8] = [5, 10, 15, 20, 26, 40, 60, 120];
/// Days that are asked about since the install.
const ASKED_DAYS: i64 = 67;

pub(super) fn people(unit: &Unit, rng: &mut Draws) -> Vec<Person> {
    let window = midnight("2021-09-18");
    // Devices from before the window are those that must be dropped.
    let install = if is(unit, "legacy") {
        window - 1 - rng.below(60 * DAY as u64) as i64
    } else {
        window + rng.below(67 * DAY as u64) as i64
    };
    let mut story = Story { events: Vec::new(), at: install, rng };
    story.tell(unit);
    // Nothing is emitted after the window; nobody is asked about more than 67 days.
    let end = midnight("2021-11-24");
    let asked_until = (install.div_euclid(DAY) + ASKED_DAYS) * DAY;
    let events: Vec<Emitted> = story.events.into_iter().filter(|event| event.at_ms < end).collect();
    let seen: Vec<&Emitted> = events.iter().filter(|event| event.at_ms < asked_until).collect();
    let answers = answers(unit, &seen);
    vec![Person {
        install: utc(install),
        end: utc(asked_until.max(end) + HOUR),
        events,
        answers,
        unit: unit.clone(),
    }]
}

struct Story<'r> {
    events: Vec<Emitted>,
    at: i64,
    rng: &'r mut Draws,
}

impl Story<'_> {
    fn tell(&mut self, unit: &Unit) {
        let activating = activating_session(unit);
        let sessions = activating.unwrap_or(1) + unit["sessions_extra"].as_u64().expect("sessions");
        for session in 1..=sessions {
            if session > 1 {
                let hours = 20.0 * (1.2 * self.rng.normal()).exp();
                self.at += ((hours * HOUR as f64) as i64).max(31 * MINUTE);
            }
            let before = self.events.len();
            if session == 1 {
                self.first(unit);
            }
            if activating == Some(session) {
                self.activate(unit);
            }
            if is(unit, "paid") && session == sessions {
                self.emit("paid", vec![("usd", unit["ltv"].clone())]);
            }
            if self.events.len() == before {
                self.emit("builder_opened", Vec::new());
            }
        }
    }

    fn emit(&mut self, name: &'static str, properties: Vec<(&'static str, serde_json::Value)>) {
        if !self.events.is_empty() && self.events.last().is_some_and(|last| last.at_ms == self.at) {
            self.at += (self.rng.exponential(150.0 * SECOND as f64) as i64).clamp(1, 1700 * SECOND);
        }
        self.events.push(Emitted { name, at_ms: self.at, properties });
    }

    fn first(&mut self, unit: &Unit) {
        let account = [
            "device",
            "country_group",
            "traffic_source",
            "hear_source",
            "industry",
            "initial_channel",
            "followers",
        ];
        self.emit("account_created", account.into_iter().map(|name| (name, unit[name].clone())).collect());
        let area = match text(unit, "first_session_path") {
            "onboarding" => "onboarding",
            "trial_first" => "trial",
            "tutorial_reader" => "tutorial",
            "connect_and_leave" => "connect",
            _ => "landing",
        };
        self.emit("page_viewed", vec![("area", json!(area))]);
        for name in FLAGS {
            match name {
                // The trial follows within seconds, as its flag says.
                "pro_enabled" if is(unit, "trial_started") => {
                    self.emit("pro_enabled", Vec::new());
                    self.at += unit["trial_lag_seconds"].as_i64().expect("seconds") * SECOND;
                    self.events.push(Emitted {
                        name: "trial_started",
                        at_ms: self.at,
                        properties: Vec::new(),
                    });
                }
                "pro_enabled" | "trial_started" => {}
                name if is(unit, name) => self.emit(name, Vec::new()),
                _ => {}
            }
        }
    }

    /// The activating session's own events: the onboarding that ends in it, publishing, activation.
    fn activate(&mut self, unit: &Unit) {
        let took =
            unit["minutes_onboarding_to_publish"].as_f64().map(|minutes| (minutes * MINUTE as f64) as i64);
        if let Some(took) = took {
            self.emit("onboarding_opened", Vec::new());
            let opened = self.at;
            if !is(unit, "publish_attempted") {
                self.emit_now("publish_attempted");
                self.emit_now("publish_succeeded");
            }
            // Filler keeps a long onboarding in one session.
            while opened + took - self.at > 20 * MINUTE {
                self.at += 20 * MINUTE;
                self.events.push(Emitted { name: "page_viewed", at_ms: self.at, properties: Vec::new() });
            }
            self.at = opened + took;
            self.emit_now("activated");
        } else {
            if !is(unit, "publish_attempted") {
                self.emit("publish_attempted", Vec::new());
                self.emit("publish_succeeded", Vec::new());
            }
            self.emit("activated", Vec::new());
        }
    }

    fn emit_now(&mut self, name: &'static str) {
        self.events.push(Emitted { name, at_ms: self.at, properties: Vec::new() });
    }
}

fn activating_session(unit: &Unit) -> Option<u64> {
    match text(unit, "activation_session") {
        "" => None,
        "11+" => unit["activation_session_tail"].as_u64(),
        number => number.parse().ok(),
    }
}

fn answers(unit: &Unit, seen: &[&Emitted]) -> BTreeMap<&'static str, Vec<String>> {
    let has = |name: &str| seen.iter().any(|event| event.name == name);
    // A history that the end of the window cuts before the activation has none.
    let session = activating_session(unit).filter(|_| has("activated"));
    let class = session.map_or("none".to_owned(), |session| bin(session as f64, &[2, 3]));
    let in_session = session.map_or("none".to_owned(), |session| bin(session as f64, &SESSION_EDGES));
    let legacy = is(unit, "legacy");
    let say = |answer: String| vec![if legacy { "ineligible".to_owned() } else { answer }];
    let deepest = FUNNEL.iter().take_while(|step| first_session(unit, step, &has)).last();
    let minutes = session.and(unit["minutes_onboarding_to_publish"].as_f64());
    let minutes = minutes.map(|minutes| (minutes * MINUTE as f64).floor() / MINUTE as f64);
    // Of a device that came at the very end of the window, the first page may be cut.
    let path = if has("page_viewed") { text(unit, "first_session_path") } else { "bounce" };
    let device = text(unit, "device");
    let by_class = |flag: &str| say(format!("{}|{class}", yes_no(first_session(unit, flag, &has))));
    BTreeMap::from([
        ("activation_rate", say(yes_no(session.is_some()))),
        ("activation_rate_by_device", say(format!("{device}|{}", yes_no(session.is_some())))),
        ("activation_session", say(in_session.clone())),
        ("activation_session_by_device", say(format!("{device}|{in_session}"))),
        ("first_session_activation_rate", say(yes_no(session == Some(1)))),
        ("first_session_funnel_deepest", say(deepest.map_or("none", |step| *step).to_owned())),
        ("first_session_path", say(path.to_owned())),
        ("path_by_activation", say(format!("{path}|{class}"))),
        ("tutorial_by_activation", by_class("tutorial_viewed")),
        ("publish_by_activation", by_class("publish_attempted")),
        ("onboarding_by_activation", by_class("onboarding_run")),
        ("minutes_onboarding_to_publish", say(minutes.map_or("none".to_owned(), |m| bin(m, &MINUTE_EDGES)))),
        ("paid_rate", say(yes_no(has("paid")))),
    ])
}

/// Whether a flag's event happened in the first session, as far as the window shows it.
fn first_session(unit: &Unit, flag: &str, has: &impl Fn(&str) -> bool) -> bool {
    is(unit, flag) && has(flag)
}
