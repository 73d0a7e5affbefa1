//! What crosses the boundary, as C sees it.

use core::ffi::{c_char, c_uchar};

use crate::native::NativeClient;

/// A client. What it holds is not for C to see.
///
/// All functions may be called on it by any thread, several at a time, but for `deniable_close`, which must be the last.
pub struct DeniableClient(pub(super) NativeClient);

/// What became of a call: 0 if all is well; above 0 an answer that a program can expect; below 0 a mistake in the call or a client that
/// cannot be opened, of which `deniable_error_text` says more.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeniableResult {
    /// It was taken up, or done.
    Ok = 0,
    /// No event or metric of that name is declared. It was forgotten.
    Unknown = 1,
    /// There is no consent. It was forgotten.
    NoConsent = 2,
    /// The clock was never set, so there is no time to give it. It was forgotten.
    ClockNotSet = 3,
    /// A report would have passed a cap of the privacy budget.
    BudgetSpent = 4,
    /// The metric is past its last day.
    Expired = 5,
    /// This device answers other metrics.
    NotRotatedIn = 6,
    /// The device answers this metric by itself, from events.
    AnsweredByDevice = 7,
    /// The answer is of the wrong kind or outside what the metric can be.
    Unfit = 8,
    /// Something could not be sent now. It is tried again later.
    NotSent = 9,
    /// The state could not be written, so nothing may leave.
    NotWritten = 10,
    /// The time was over before all was done.
    TimedOut = 11,
    /// The client has no place for its state, so nothing is written or sent. `deniable_status` says why.
    NotWorking = 12,
    /// A pointer that must be given is null, or an array is too long to be one.
    NullPointer = -1,
    /// A text is not UTF-8.
    NotUtf8 = -2,
    /// An argument cannot be used.
    Invalid = -3,
    /// The client could not be opened.
    NotOpened = -4,
    /// The library failed. This is a fault of it, and the client may go on.
    Panicked = -5,
}

/// Whether the person has agreed.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeniableConsent {
    /// Nobody was asked yet. Nothing is kept and nothing reported.
    Pending = 0,
    /// Yes.
    Given = 1,
    /// No. Nothing is kept and nothing reported.
    Withdrawn = 2,
}

/// What a program decides when it opens its client. Set all of it to zero, then what is needed. It is read during the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DeniableOptions {
    /// The folder of the state, which is made if there is none, and which the client has for itself.
    pub folder: *const c_char,
    /// The address of the collector, as `https://reports.example`.
    pub endpoint: *const c_char,
    /// The write key of the collector's project, 32 hexadecimal digits; null for none.
    pub write_key: *const c_char,
    /// The catalog that the program brings; null if the collector gives it.
    pub catalog: *const c_uchar,
    /// The bytes of the catalog.
    pub catalog_bytes: usize,
    /// Whether the collector's catalog takes the place of the one that the program brings.
    pub fetch_catalog: bool,
    /// A `deniable_consent`: what holds until `deniable_opt_in` or `deniable_opt_out` was called.
    pub consent: i32,
    /// Certificates of the authorities to trust, as PEM; null for those that browsers trust.
    pub root_certificates: *const c_char,
    /// Whether `http://` is allowed beyond this machine.
    pub plain_http: bool,
}

/// Of which kind a property is.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeniableKind {
    /// `flag` counts.
    Flag = 0,
    /// `number` counts.
    Number = 1,
    /// `text` counts.
    Text = 2,
}

/// A property of an event.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DeniableProperty {
    /// Its name.
    pub name: *const c_char,
    /// A `deniable_kind`.
    pub kind: i32,
    /// Yes or no.
    pub flag: bool,
    /// A number.
    pub number: f64,
    /// A text.
    pub text: *const c_char,
}
