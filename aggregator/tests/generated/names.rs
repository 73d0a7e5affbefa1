//! Typed wrappers of the events of registry 9fb7648db954b5e6.
//!
//! Made by `deniable gen`: make it anew when the registry changes, and change nothing here.
//!
//! Each event is a struct of its properties; those that are left out are not tracked. Give it to a client by
//! `event.track(|name, properties| client.track(name, properties))`.

#![allow(dead_code, non_camel_case_types, non_snake_case, unreachable_pub)]

use deniable::insight::Property;

/// The event "Sign Up!".
///
/// Asked: Does it sign */ up?
/// #![forbid(unsafe_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SignUp_26572bbe<'a> {
    /// The property "__proto__".
    pub proto: Option<bool>,
    /// The property "first name".
    pub first_name_1b836d86: Option<&'a str>,
    /// The property "first-name".
    pub first_name_2362fd78: Option<&'a str>,
    /// The property "self".
    pub self_06c604b3: Option<bool>,
    /// The property "size".
    pub size: Option<f64>,
    /// The property "type".
    pub type_1303c06b: Option<SignUpType>,
}

impl<'a> SignUp_26572bbe<'a> {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        let properties = [
            self.proto.map(|value| ("__proto__", Property::Flag(value))),
            self.first_name_1b836d86.map(|value| ("first name", Property::Text(value))),
            self.first_name_2362fd78.map(|value| ("first-name", Property::Text(value))),
            self.self_06c604b3.map(|value| ("self", Property::Flag(value))),
            self.size.map(|value| ("size", Property::Number(value))),
            self.type_1303c06b.map(|value| ("type", Property::Text(value.label()))),
        ];
        track("Sign Up!", &properties.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// What the property "type" of "Sign Up!" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUpType {
    /// "self".
    Self_06c604b3,
    /// "Self".
    Self_85bc0f95,
    /// "-1".
    N1_1bad6b8c,
    /// "1".
    N1_6b86b273,
    /// "*/ // \"quoted\" \\ ★".
    Quoted,
    /// "other".
    Other,
}

impl SignUpType {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Self_06c604b3 => "self",
            Self::Self_85bc0f95 => "Self",
            Self::N1_1bad6b8c => "-1",
            Self::N1_6b86b273 => "1",
            Self::Quoted => "*/ // \"quoted\" \\ ★",
            Self::Other => "other",
        }
    }
}

/// The event "new\nline".
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NewLine;

impl NewLine {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("new\nline", &[])
    }
}

/// The event "property".
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Property_fc918413;

impl Property_fc918413 {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("property", &[])
    }
}

/// The event "sign".
///
/// Asked: Does it sign */ up?
/// #![forbid(unsafe_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sign {
    /// The property "up".
    pub up: Option<SignUp_3c9f25f9>,
}

impl Sign {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        let properties = [
            self.up.map(|value| ("up", Property::Text(value.label()))),
        ];
        track("sign", &properties.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// What the property "up" of "sign" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUp_3c9f25f9 {
    /// "a".
    A,
    /// "b".
    B,
    /// "other".
    Other,
}

impl SignUp_3c9f25f9 {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::Other => "other",
        }
    }
}

/// The event "sign-up".
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SignUp_d82cace2;

impl SignUp_d82cace2 {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("sign-up", &[])
    }
}

/// The event "sign_up".
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SignUp_7104daea;

impl SignUp_7104daea {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("sign_up", &[])
    }
}
