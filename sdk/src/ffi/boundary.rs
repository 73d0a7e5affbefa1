//! What C hands over is read here, each kind once; and no panic goes past here.
//!
//! This is where most of the crate's `unsafe` is. It rests on what the header asks of its callers: a pointer is null or points to what its
//! type says, and that stays as it is during the call.

use core::cell::RefCell;
use core::ffi::{CStr, c_char};
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::prelude::v1::*;
use std::{format, ptr, slice};

use super::types::{DeniableClient, DeniableKind, DeniableProperty, DeniableResult};
use crate::insight::Property;
use crate::native::NativeClient;

std::thread_local! {
    /// What the last call of this thread that failed said.
    static ERROR: RefCell<CString> = RefCell::default();
}

/// A call that cannot be carried out.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) result: DeniableResult,
    pub(super) text: String,
}

impl Fault {
    pub(super) fn new(result: DeniableResult, text: impl Into<String>) -> Self {
        Self { result, text: text.into() }
    }
}

/// Carries out a call. A fault or a panic is noted for this thread, and `otherwise` says what C gets then.
pub(super) fn call<T>(
    otherwise: impl FnOnce(DeniableResult) -> T,
    body: impl FnOnce() -> Result<T, Fault>,
) -> T {
    let panicked = |_| Err(Fault::new(DeniableResult::Panicked, "the library failed; please report it"));
    // What a panic leaves behind is the client's own, which goes on with it.
    match catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(panicked) {
        Ok(result) => result,
        Err(fault) => {
            ERROR.with_borrow_mut(|error| *error = c_text(fault.text));
            otherwise(fault.result)
        }
    }
}

/// Where the text of this thread's last fault stands, until its next.
pub(super) fn error_text() -> *const c_char {
    ERROR.with_borrow(|error| error.as_ptr())
}

/// A text for C, cut off at a NUL.
pub(super) fn c_text(text: String) -> CString {
    CString::new(text).unwrap_or_else(|error| {
        let end = error.nul_position();
        let mut bytes = error.into_vec();
        bytes.truncate(end);
        CString::new(bytes).unwrap_or_default()
    })
}

/// A text that C owns from now on.
pub(super) fn given_to_c(text: String) -> *mut c_char {
    c_text(text).into_raw()
}

/// The client behind a handle.
///
/// # Safety
/// It is null or came from `deniable_open` and was not closed.
pub(super) unsafe fn client<'a>(client: *const DeniableClient) -> Result<&'a NativeClient, Fault> {
    // SAFETY: promised by the caller; the client is only ever shared.
    let client = unsafe { client.as_ref() };
    client
        .map(|client| &client.0)
        .ok_or_else(|| Fault::new(DeniableResult::NullPointer, "the client is null"))
}

/// A text.
///
/// # Safety
/// It is null or ends with a NUL, and stays as it is for `'a`.
pub(super) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str, Fault> {
    // SAFETY: promised by the caller.
    let text = unsafe { optional_text(text, what) }?;
    text.ok_or_else(|| Fault::new(DeniableResult::NullPointer, format!("{what} is null")))
}

/// A text, or None for null.
///
/// # Safety
/// As of [`text`].
pub(super) unsafe fn optional_text<'a>(text: *const c_char, what: &str) -> Result<Option<&'a str>, Fault> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not null, and so it ends with a NUL, as promised by the caller.
    let text = unsafe { CStr::from_ptr(text) };
    let text = text.to_str();
    text.map(Some).map_err(|_| Fault::new(DeniableResult::NotUtf8, format!("{what} is not UTF-8")))
}

/// An array; null is one without elements.
///
/// # Safety
/// It is null or holds so many elements, and stays as it is for `'a`.
pub(super) unsafe fn list<'a, T>(first: *const T, count: usize, what: &str) -> Result<&'a [T], Fault> {
    let null = |why| Err(Fault::new(DeniableResult::NullPointer, format!("{what} {why}")));
    match (first.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => null("is null but has elements"),
        (false, _) if count.checked_mul(size_of::<T>()).is_none_or(|size| size > isize::MAX as usize) => {
            null("has more elements than memory can hold")
        }
        // SAFETY: not null, no larger than memory, and otherwise as promised by the caller.
        (false, _) => Ok(unsafe { slice::from_raw_parts(first, count) }),
    }
}

/// The properties of an event.
///
/// # Safety
/// The array as of [`list`], and the texts in it as of [`text`].
pub(super) unsafe fn properties<'a>(
    first: *const DeniableProperty,
    count: usize,
) -> Result<Vec<(&'a str, Property<'a>)>, Fault> {
    // SAFETY: promised by the caller.
    let list = unsafe { list(first, count, "the properties") }?;
    // SAFETY: promised by the caller for each.
    list.iter().map(|property| unsafe { one_property(property) }).collect()
}

/// # Safety
/// The texts in it as of [`text`].
unsafe fn one_property<'a>(property: &DeniableProperty) -> Result<(&'a str, Property<'a>), Fault> {
    const FLAG: i32 = DeniableKind::Flag as i32;
    const NUMBER: i32 = DeniableKind::Number as i32;
    const TEXT: i32 = DeniableKind::Text as i32;
    // SAFETY: promised by the caller.
    let name = unsafe { text(property.name, "the name of a property") }?;
    let value = match property.kind {
        FLAG => Property::Flag(property.flag),
        NUMBER => Property::Number(property.number),
        // SAFETY: promised by the caller.
        TEXT => Property::Text(unsafe { text(property.text, "the text of a property") }?),
        kind => {
            let text = format!("the kind of property {name:?} is {kind}, but must be from {FLAG} to {TEXT}");
            return Err(Fault::new(DeniableResult::Invalid, text));
        }
    };
    Ok((name, value))
}

/// What a call gives that could not be carried out and gives a pointer.
pub(super) fn null<T>(_: DeniableResult) -> *mut T {
    ptr::null_mut()
}
