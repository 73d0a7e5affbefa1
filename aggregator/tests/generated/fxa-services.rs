//! Typed wrappers of the events of registry d363739dbd0572b3.
//!
//! Made by `deniable gen`: make it anew when the registry changes, and change nothing here.
//!
//! Each event is a struct of its properties; those that are left out are not tracked. Give it to a client by
//! `event.track(|name, properties| client.track(name, properties))`.

#![allow(dead_code, non_camel_case_types, non_snake_case, unreachable_pub)]

use deniable::insight::Property;

/// The event "account_login".
///
/// Asked: Was there a login from a phone this month?
///
/// Asked: Is it active on the day, and is that its first day of the week, of the month or ever?
///
/// Asked: Was the account made this month?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AccountLogin {
    /// The property "mobile".
    pub mobile: Option<bool>,
    /// The property "sign_up".
    pub sign_up: Option<bool>,
}

impl AccountLogin {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        let properties = [
            self.mobile.map(|value| ("mobile", Property::Flag(value))),
            self.sign_up.map(|value| ("sign_up", Property::Flag(value))),
        ];
        track("account_login", &properties.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// The event "service_used".
///
/// Asked: How many services were used this month?
///
/// Asked: Is it active on the day, and is that its first day of the week, of the month or ever?
///
/// Asked: Which services were used this month?
///
/// Asked: Was more than one service used this month?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServiceUsed {
    /// The property "service".
    pub service: Option<ServiceUsedService>,
}

impl ServiceUsed {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        let properties = [
            self.service.map(|value| ("service", Property::Text(value.label()))),
        ];
        track("service_used", &properties.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// What the property "service" of "service_used" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceUsedService {
    /// "sync".
    Sync,
    /// "hello".
    Hello,
    /// "readinglist".
    Readinglist,
    /// "other".
    Other,
}

impl ServiceUsedService {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Hello => "hello",
            Self::Readinglist => "readinglist",
            Self::Other => "other",
        }
    }
}
