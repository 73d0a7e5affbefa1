//! Typed wrappers of the events of registry 71b395cc60a2cdd0.
//!
//! Made by `deniable gen`: make it anew when the registry changes, and change nothing here.
//!
//! Each event is a struct of its properties; those that are left out are not tracked. Give it to a client by
//! `event.track(|name, properties| client.track(name, properties))`.

#![allow(dead_code, non_camel_case_types, non_snake_case, unreachable_pub)]

use deniable::insight::Property;

/// The event "call_placed".
///
/// Asked: Does a device place a call?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CallPlaced;

impl CallPlaced {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("call_placed", &[])
    }
}

/// The event "donated".
///
/// Asked: How far do visitors come: visit, issue page, sign-up, donation?
///
/// Asked: How far do visitors from each source come?
///
/// Asked: How many dollars is the first donation?
///
/// Asked: Does a device donate?
///
/// Asked: Does a device donate at least twice?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Donated {
    /// The property "usd".
    pub usd: Option<f64>,
}

impl Donated {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        let properties = [
            self.usd.map(|value| ("usd", Property::Number(value))),
        ];
        track("donated", &properties.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// The event "issue_viewed".
///
/// Asked: How far do visitors come: visit, issue page, sign-up, donation?
///
/// Asked: How far do visitors from each source come?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct IssueViewed;

impl IssueViewed {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("issue_viewed", &[])
    }
}

/// The event "page_viewed".
///
/// Asked: How far do visitors come: visit, issue page, sign-up, donation?
///
/// Asked: How far do visitors from each source come?
///
/// Asked: Which page sent the visitor?
///
/// Asked: Do subscribers click what stands at the top, with each of its two contents?
///
/// Asked: What kind of visitor is it?
///
/// Asked: Does a device visit both sites?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PageViewed<'a> {
    /// The property "referrer".
    pub referrer: Option<&'a str>,
    /// The property "site".
    pub site: Option<PageViewedSite>,
    /// The property "source".
    pub source: Option<PageViewedSource>,
    /// The property "visitor_type".
    pub visitor_type: Option<PageViewedVisitorType>,
}

impl<'a> PageViewed<'a> {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        let properties = [
            self.referrer.map(|value| ("referrer", Property::Text(value))),
            self.site.map(|value| ("site", Property::Text(value.label()))),
            self.source.map(|value| ("source", Property::Text(value.label()))),
            self.visitor_type.map(|value| ("visitor_type", Property::Text(value.label()))),
        ];
        track("page_viewed", &properties.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// What the property "site" of "page_viewed" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageViewedSite {
    /// "main".
    Main,
    /// "project".
    Project,
    /// "other".
    Other,
}

impl PageViewedSite {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Project => "project",
            Self::Other => "other",
        }
    }
}

/// What the property "source" of "page_viewed" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageViewedSource {
    /// "direct".
    Direct,
    /// "search".
    Search,
    /// "social".
    Social,
    /// "email".
    Email,
    /// "ad_network_a".
    AdNetworkA,
    /// "ad_network_b".
    AdNetworkB,
    /// "referral".
    Referral,
    /// "other".
    Other,
}

impl PageViewedSource {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Search => "search",
            Self::Social => "social",
            Self::Email => "email",
            Self::AdNetworkA => "ad_network_a",
            Self::AdNetworkB => "ad_network_b",
            Self::Referral => "referral",
            Self::Other => "other",
        }
    }
}

/// What the property "visitor_type" of "page_viewed" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageViewedVisitorType {
    /// "first_time".
    FirstTime,
    /// "returning".
    Returning,
    /// "email_supporter".
    EmailSupporter,
    /// "donor".
    Donor,
    /// "other".
    Other,
}

impl PageViewedVisitorType {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::FirstTime => "first_time",
            Self::Returning => "returning",
            Self::EmailSupporter => "email_supporter",
            Self::Donor => "donor",
            Self::Other => "other",
        }
    }
}

/// The event "profile_answered".
///
/// Asked: Which issue moves visitors most?
///
/// Asked: Where do visitors place themselves?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProfileAnswered {
    /// The property "passion_issue".
    pub passion_issue: Option<ProfileAnsweredPassionIssue>,
    /// The property "political_skew".
    pub political_skew: Option<ProfileAnsweredPoliticalSkew>,
}

impl ProfileAnswered {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        let properties = [
            self.passion_issue.map(|value| ("passion_issue", Property::Text(value.label()))),
            self.political_skew.map(|value| ("political_skew", Property::Text(value.label()))),
        ];
        track("profile_answered", &properties.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// What the property "passion_issue" of "profile_answered" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileAnsweredPassionIssue {
    /// "funding_reform".
    FundingReform,
    /// "climate".
    Climate,
    /// "health".
    Health,
    /// "jobs".
    Jobs,
    /// "education".
    Education,
    /// "immigration".
    Immigration,
    /// "privacy".
    Privacy,
    /// "taxes".
    Taxes,
    /// "foreign_policy".
    ForeignPolicy,
    /// "other".
    Other,
}

impl ProfileAnsweredPassionIssue {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::FundingReform => "funding_reform",
            Self::Climate => "climate",
            Self::Health => "health",
            Self::Jobs => "jobs",
            Self::Education => "education",
            Self::Immigration => "immigration",
            Self::Privacy => "privacy",
            Self::Taxes => "taxes",
            Self::ForeignPolicy => "foreign_policy",
            Self::Other => "other",
        }
    }
}

/// What the property "political_skew" of "profile_answered" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileAnsweredPoliticalSkew {
    /// "progressive".
    Progressive,
    /// "moderate".
    Moderate,
    /// "conservative".
    Conservative,
    /// "libertarian".
    Libertarian,
    /// "other".
    Other,
    /// "undeclared".
    Undeclared,
}

impl ProfileAnsweredPoliticalSkew {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Progressive => "progressive",
            Self::Moderate => "moderate",
            Self::Conservative => "conservative",
            Self::Libertarian => "libertarian",
            Self::Other => "other",
            Self::Undeclared => "undeclared",
        }
    }
}

/// The event "signed_up".
///
/// Asked: How far do visitors come: visit, issue page, sign-up, donation?
///
/// Asked: How far do visitors from each source come?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SignedUp;

impl SignedUp {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("signed_up", &[])
    }
}

/// The event "slot_clicked".
///
/// Asked: Do subscribers click what stands at the top, with each of its two contents?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SlotClicked;

impl SlotClicked {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("slot_clicked", &[])
    }
}
