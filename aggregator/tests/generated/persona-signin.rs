//! Typed wrappers of the events of registry c86b4707519fcc67.
//!
//! Made by `deniable gen`: make it anew when the registry changes, and change nothing here.
//!
//! Each event is a struct of its properties; those that are left out are not tracked. Give it to a client by
//! `event.track(|name, properties| client.track(name, properties))`.

#![allow(dead_code, non_camel_case_types, non_snake_case, unreachable_pub)]

use deniable::insight::Property;

/// The event "app_opened".
///
/// Asked: How many weeks after its install is a device active?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AppOpened;

impl AppOpened {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("app_opened", &[])
    }
}

/// The event "bounced_at_dialog".
///
/// Asked: How far does a new user come in the dialog, with each of its two forms?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BouncedAtDialog;

impl BouncedAtDialog {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("bounced_at_dialog", &[])
    }
}

/// The event "button_clicked".
///
/// Asked: Is the sign-in button clicked, at each of its three places?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ButtonClicked;

impl ButtonClicked {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("button_clicked", &[])
    }
}

/// The event "button_shown".
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ButtonShown;

impl ButtonShown {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("button_shown", &[])
    }
}

/// The event "dialog_ready".
///
/// Asked: How far does a new user come in the dialog, with each of its two forms?
///
/// Asked: How long does the dialog take to load, in milliseconds, on desktop and mobile?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DialogReady {
    /// The property "load_ms".
    pub load_ms: Option<f64>,
    /// The property "platform".
    pub platform: Option<DialogReadyPlatform>,
    /// The property "user_kind".
    pub user_kind: Option<DialogReadyUserKind>,
}

impl DialogReady {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        let properties = [
            self.load_ms.map(|value| ("load_ms", Property::Number(value))),
            self.platform.map(|value| ("platform", Property::Text(value.label()))),
            self.user_kind.map(|value| ("user_kind", Property::Text(value.label()))),
        ];
        track("dialog_ready", &properties.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// What the property "platform" of "dialog_ready" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialogReadyPlatform {
    /// "desktop".
    Desktop,
    /// "mobile".
    Mobile,
    /// "other".
    Other,
}

impl DialogReadyPlatform {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Mobile => "mobile",
            Self::Other => "other",
        }
    }
}

/// What the property "user_kind" of "dialog_ready" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialogReadyUserKind {
    /// "new".
    New,
    /// "returning".
    Returning,
    /// "other".
    Other,
}

impl DialogReadyUserKind {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Returning => "returning",
            Self::Other => "other",
        }
    }
}

/// The event "email_entered".
///
/// Asked: How far does a new user come in the dialog, with each of its two forms?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EmailEntered;

impl EmailEntered {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("email_entered", &[])
    }
}

/// The event "email_verified".
///
/// Asked: How far does a new user come in the dialog, with each of its two forms?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EmailVerified;

impl EmailVerified {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("email_verified", &[])
    }
}

/// The event "error_shown".
///
/// Asked: Does a device see an error screen?
///
/// Asked: Which error screen does a device see first?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ErrorShown {
    /// The property "kind".
    pub kind: Option<ErrorShownKind>,
}

impl ErrorShown {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        let properties = [
            self.kind.map(|value| ("kind", Property::Text(value.label()))),
        ];
        track("error_shown", &properties.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// What the property "kind" of "error_shown" can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorShownKind {
    /// "network".
    Network,
    /// "bad_password".
    BadPassword,
    /// "verification_expired".
    VerificationExpired,
    /// "server".
    Server,
    /// "other".
    Other,
}

impl ErrorShownKind {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::BadPassword => "bad_password",
            Self::VerificationExpired => "verification_expired",
            Self::Server => "server",
            Self::Other => "other",
        }
    }
}

/// The event "password_created".
///
/// Asked: How far does a new user come in the dialog, with each of its two forms?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PasswordCreated;

impl PasswordCreated {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("password_created", &[])
    }
}

/// The event "rp_signin".
///
/// Asked: Which relying party does a device sign in to?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RpSignin<'a> {
    /// The property "host".
    pub host: Option<&'a str>,
}

impl<'a> RpSignin<'a> {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        let properties = [
            self.host.map(|value| ("host", Property::Text(value))),
        ];
        track("rp_signin", &properties.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// The event "signed_in".
///
/// Asked: How far does a new user come in the dialog, with each of its two forms?
///
/// Asked: Does a dialog end with a sign-in?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SignedIn;

impl SignedIn {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("signed_in", &[])
    }
}

/// The event "verification_sent".
///
/// Asked: How far does a new user come in the dialog, with each of its two forms?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VerificationSent;

impl VerificationSent {
    /// Gives the event to what tracks it, as its name and its properties.
    pub fn track<R>(self, track: impl FnOnce(&str, &[(&str, Property<'_>)]) -> R) -> R {
        track("verification_sent", &[])
    }
}
