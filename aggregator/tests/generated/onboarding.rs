//! Typed wrappers of the events of registry 56fe1e2231d52725.
//!
//! Made by `deniable gen`: make it anew when the registry changes, and change nothing here.
//!
//! Each event is a struct of its properties; those that are left out are not tracked. Give it to a client by
//! `event.track(|name, properties| client.track(name, properties))`.

#![allow(dead_code, non_camel_case_types, non_snake_case, unreachable_pub)]

use deniable::insight::Property;

/// The event "account_created".
///
/// Asked: Does a new device activate within 67 days, by the device it is?
///
/// Asked: In which session does a new device activate, by the device it is?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AccountCreated {
    /// The property "country_group".
    pub country_group: Option<AccountCreatedCountryGroup>,
    /// The property "device".
    pub device: Option<AccountCreatedDevice>,
    /// The property "followers".
    pub followers: Option<f64>,
    /// The property "hear_source".
    pub hear_source: Option<AccountCreatedHearSource>,
    /// The property "industry".
    pub industry: Option<AccountCreatedIndustry>,
    /// The property "initial_channel".
    pub initial_channel: Option<AccountCreatedInitialChannel>,
    /// The property "traffic_source".
    pub traffic_source: Option<AccountCreatedTrafficSource>,
}

impl AccountCreated {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        let properties = [
            self.country_group.map(|value| ("country_group", Property::Text(value.label()))),
            self.device.map(|value| ("device", Property::Text(value.label()))),
            self.followers.map(|value| ("followers", Property::Number(value))),
            self.hear_source.map(|value| ("hear_source", Property::Text(value.label()))),
            self.industry.map(|value| ("industry", Property::Text(value.label()))),
            self.initial_channel.map(|value| ("initial_channel", Property::Text(value.label()))),
            self.traffic_source.map(|value| ("traffic_source", Property::Text(value.label()))),
        ];
        track("account_created", &properties.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// What the property "country_group" of "account_created" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountCreatedCountryGroup {
    /// "latam".
    Latam,
    /// "north_america".
    NorthAmerica,
    /// "europe".
    Europe,
    /// "apac".
    Apac,
    /// "mea".
    Mea,
    /// "other".
    Other,
}

impl AccountCreatedCountryGroup {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Latam => "latam",
            Self::NorthAmerica => "north_america",
            Self::Europe => "europe",
            Self::Apac => "apac",
            Self::Mea => "mea",
            Self::Other => "other",
        }
    }
}

/// What the property "device" of "account_created" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountCreatedDevice {
    /// "Desktop".
    Desktop,
    /// "Android".
    Android,
    /// "iOS".
    IOs,
    /// "other".
    Other,
}

impl AccountCreatedDevice {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Desktop => "Desktop",
            Self::Android => "Android",
            Self::IOs => "iOS",
            Self::Other => "other",
        }
    }
}

/// What the property "hear_source" of "account_created" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountCreatedHearSource {
    /// "search".
    Search,
    /// "social".
    Social,
    /// "friend".
    Friend,
    /// "video".
    Video,
    /// "other".
    Other,
}

impl AccountCreatedHearSource {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Social => "social",
            Self::Friend => "friend",
            Self::Video => "video",
            Self::Other => "other",
        }
    }
}

/// What the property "industry" of "account_created" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountCreatedIndustry {
    /// "ecommerce".
    Ecommerce,
    /// "agency".
    Agency,
    /// "education".
    Education,
    /// "creator".
    Creator,
    /// "services".
    Services,
    /// "other".
    Other,
}

impl AccountCreatedIndustry {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ecommerce => "ecommerce",
            Self::Agency => "agency",
            Self::Education => "education",
            Self::Creator => "creator",
            Self::Services => "services",
            Self::Other => "other",
        }
    }
}

/// What the property "initial_channel" of "account_created" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountCreatedInitialChannel {
    /// "instagram".
    Instagram,
    /// "messenger".
    Messenger,
    /// "other".
    Other,
}

impl AccountCreatedInitialChannel {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Instagram => "instagram",
            Self::Messenger => "messenger",
            Self::Other => "other",
        }
    }
}

/// What the property "traffic_source" of "account_created" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountCreatedTrafficSource {
    /// "organic".
    Organic,
    /// "paid_social".
    PaidSocial,
    /// "referral".
    Referral,
    /// "partner".
    Partner,
    /// "direct".
    Direct,
    /// "other".
    Other,
}

impl AccountCreatedTrafficSource {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Organic => "organic",
            Self::PaidSocial => "paid_social",
            Self::Referral => "referral",
            Self::Partner => "partner",
            Self::Direct => "direct",
            Self::Other => "other",
        }
    }
}

/// The event "activated".
///
/// Asked: Does a new device activate within 67 days?
///
/// Asked: Does a new device activate within 67 days, by the device it is?
///
/// Asked: In which session does a new device activate?
///
/// Asked: In which session does a new device activate, by the device it is?
///
/// Asked: Does a new device activate in its first session?
///
/// Asked: How many minutes pass from opening the onboarding to activation?
///
/// Asked: Did devices that activate in session 1, 2, later or never run the onboarding in their first session?
///
/// Asked: Which way did devices take through their first session that activate in session 1, 2, later or never?
///
/// Asked: Did devices that activate in session 1, 2, later or never try to publish in their first session?
///
/// Asked: Did devices that activate in session 1, 2, later or never see the tutorial in their first session?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activated;

impl Activated {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("activated", &[])
    }
}

/// The event "builder_opened".
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BuilderOpened;

impl BuilderOpened {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("builder_opened", &[])
    }
}

/// The event "channel_connected".
///
/// Asked: How far does a new device come in its first session?
///
/// Asked: What do devices do next, in one of their moves in the first session?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChannelConnected;

impl ChannelConnected {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("channel_connected", &[])
    }
}

/// The event "onboarding_opened".
///
/// Asked: How many minutes pass from opening the onboarding to activation?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OnboardingOpened;

impl OnboardingOpened {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("onboarding_opened", &[])
    }
}

/// The event "onboarding_run".
///
/// Asked: Did devices that activate in session 1, 2, later or never run the onboarding in their first session?
///
/// Asked: What do devices do next, in one of their moves in the first session?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OnboardingRun;

impl OnboardingRun {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("onboarding_run", &[])
    }
}

/// The event "page_viewed".
///
/// Asked: Which way does a new device take through its first session?
///
/// Asked: Which way did devices take through their first session that activate in session 1, 2, later or never?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PageViewed {
    /// The property "area".
    pub area: Option<PageViewedArea>,
}

impl PageViewed {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        let properties = [
            self.area.map(|value| ("area", Property::Text(value.label()))),
        ];
        track("page_viewed", &properties.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// What the property "area" of "page_viewed" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageViewedArea {
    /// "onboarding".
    Onboarding,
    /// "trial".
    Trial,
    /// "tutorial".
    Tutorial,
    /// "connect".
    Connect,
    /// "landing".
    Landing,
    /// "other".
    Other,
}

impl PageViewedArea {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Onboarding => "onboarding",
            Self::Trial => "trial",
            Self::Tutorial => "tutorial",
            Self::Connect => "connect",
            Self::Landing => "landing",
            Self::Other => "other",
        }
    }
}

/// The event "paid".
///
/// Asked: Does a new device pay within 67 days?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Paid {
    /// The property "usd".
    pub usd: Option<f64>,
}

impl Paid {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        let properties = [
            self.usd.map(|value| ("usd", Property::Number(value))),
        ];
        track("paid", &properties.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// The event "pro_enabled".
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProEnabled;

impl ProEnabled {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("pro_enabled", &[])
    }
}

/// The event "publish_attempted".
///
/// Asked: How far does a new device come in its first session?
///
/// Asked: Did devices that activate in session 1, 2, later or never try to publish in their first session?
///
/// Asked: What do devices do next, in one of their moves in the first session?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PublishAttempted;

impl PublishAttempted {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("publish_attempted", &[])
    }
}

/// The event "publish_succeeded".
///
/// Asked: How far does a new device come in its first session?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PublishSucceeded;

impl PublishSucceeded {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("publish_succeeded", &[])
    }
}

/// The event "questionnaire_shown".
///
/// Asked: How far does a new device come in its first session?
///
/// Asked: What do devices do next, in one of their moves in the first session?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QuestionnaireShown;

impl QuestionnaireShown {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("questionnaire_shown", &[])
    }
}

/// The event "trial_started".
///
/// Asked: What do devices do next, in one of their moves in the first session?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TrialStarted;

impl TrialStarted {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("trial_started", &[])
    }
}

/// The event "trigger_clicked".
///
/// Asked: How far does a new device come in its first session?
///
/// Asked: What do devices do next, in one of their moves in the first session?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TriggerClicked;

impl TriggerClicked {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("trigger_clicked", &[])
    }
}

/// The event "tutorial_viewed".
///
/// Asked: What do devices do next, in one of their moves in the first session?
///
/// Asked: Did devices that activate in session 1, 2, later or never see the tutorial in their first session?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TutorialViewed;

impl TutorialViewed {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("tutorial_viewed", &[])
    }
}
