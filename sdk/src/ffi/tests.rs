//! The boundary, with what C can get wrong.

use core::ffi::CStr;
use std::path::Path;
use std::prelude::v1::*;
use std::thread;

use super::*;
use crate::registry::{Declared, Registry};

fn catalog() -> Vec<u8> {
    let declared: Declared = serde_json::from_str(
        r#"{
        "events": { "saved": { "properties": { "kind": "text" } } },
        "metrics": {
            "theme": { "version": 1, "question": "Which theme?", "kind": { "labels": ["dark", "light"] }, "epsilon": 1.0 }
        }
    }"#,
    )
    .unwrap();
    Registry::new(&declared).unwrap().catalog()
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// Opens with a catalog built in, after `change` was made to the options.
fn open(folder: &Path, change: impl FnOnce(&mut DeniableOptions)) -> *mut DeniableClient {
    let (folder, endpoint) = (c(folder.to_str().unwrap()), c("http://127.0.0.1:9"));
    let catalog = catalog();
    let mut options = DeniableOptions {
        folder: folder.as_ptr(),
        endpoint: endpoint.as_ptr(),
        write_key: ptr::null(),
        catalog: catalog.as_ptr(),
        catalog_bytes: catalog.len(),
        fetch_catalog: false,
        consent: DeniableConsent::Given as i32,
        root_certificates: ptr::null(),
        plain_http: false,
    };
    change(&mut options);
    unsafe { deniable_open(&options) }
}

fn error() -> String {
    unsafe { CStr::from_ptr(deniable_error_text()) }.to_str().unwrap().to_owned()
}

fn taken(text: *mut c_char) -> String {
    let copy = unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned();
    unsafe { deniable_free_text(text) };
    copy
}

fn property(name: *const c_char, kind: i32, text: *const c_char) -> DeniableProperty {
    DeniableProperty { name, kind, flag: false, number: 0.0, text }
}

#[test]
fn what_is_null_or_not_utf8_is_answered_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let client = open(&home.path().join("state"), |_| {});
    assert!(!client.is_null(), "{}", error());
    let (saved, theme, dark) = (c("saved"), c("theme"), c("dark"));
    let bad = CString::new([0xff, 0xfe]).unwrap();
    let (none, nobody) = (ptr::null(), ptr::null::<DeniableClient>());
    use DeniableResult::{Invalid, NotUtf8, NullPointer, Ok, Unfit, Unknown};
    let track = |client, event, properties: &[DeniableProperty]| unsafe {
        deniable_track(client, event, properties.as_ptr(), properties.len())
    };
    let text = DeniableKind::Text as i32;
    let check = |result, expected, said: &str| {
        assert_eq!(result, expected, "{said}");
        assert!(error().contains(said), "{said}: {}", error());
    };
    check(track(nobody, saved.as_ptr(), &[]), NullPointer, "client is null");
    check(track(client, none, &[]), NullPointer, "event is null");
    check(track(client, bad.as_ptr(), &[]), NotUtf8, "event is not UTF-8");
    check(
        track(client, saved.as_ptr(), &[property(none, 0, none)]),
        NullPointer,
        "name of a property is null",
    );
    check(
        track(client, saved.as_ptr(), &[property(dark.as_ptr(), text, none)]),
        NullPointer,
        "text of a property",
    );
    check(
        track(client, saved.as_ptr(), &[property(dark.as_ptr(), text, bad.as_ptr())]),
        NotUtf8,
        "not UTF-8",
    );
    check(track(client, saved.as_ptr(), &[property(dark.as_ptr(), 3, none)]), Invalid, "from 0 to 2");
    check(
        unsafe { deniable_track(client, saved.as_ptr(), ptr::null(), 1) },
        NullPointer,
        "null but has elements",
    );
    check(
        unsafe { deniable_record_names(client, theme.as_ptr(), [none; 1].as_ptr(), usize::MAX) },
        NullPointer,
        "more elements than memory",
    );
    check(unsafe { deniable_record_text(client, theme.as_ptr(), none) }, NullPointer, "answer is null");
    check(
        unsafe { deniable_record_text(client, c("no metric!").as_ptr(), dark.as_ptr()) },
        Invalid,
        "metric",
    );
    check(unsafe { deniable_record_flag(nobody, theme.as_ptr(), true) }, NullPointer, "client is null");
    check(unsafe { deniable_opt_out(nobody) }, NullPointer, "client is null");
    check(unsafe { deniable_flush(nobody, 1) }, NullPointer, "client is null");
    check(unsafe { deniable_close(ptr::null_mut(), 1) }, NullPointer, "client is null");
    // What was said last is that of this thread.
    assert_eq!(unsafe { deniable_opt_in(nobody) }, NullPointer);
    assert_eq!(error(), "the client is null");
    assert_eq!(thread::spawn(error).join().unwrap(), "");
    assert!(
        unsafe { deniable_status(nobody) }.is_null() && unsafe { deniable_segment(client, none) }.is_null()
    );
    unsafe { deniable_free_text(ptr::null_mut()) };

    let kind = c("kind");
    let draft = [property(kind.as_ptr(), text, dark.as_ptr())];
    assert_eq!(track(client, saved.as_ptr(), &draft), Ok);
    assert_eq!(track(client, dark.as_ptr(), &draft), Unknown);
    assert_eq!(unsafe { deniable_record_number(client, theme.as_ptr(), f64::NAN) }, Unfit);
    assert_eq!(unsafe { deniable_record_text(client, theme.as_ptr(), dark.as_ptr()) }, Ok);
    let status: serde_json::Value = serde_json::from_str(&taken(unsafe { deniable_status(client) })).unwrap();
    assert_eq!(
        (&status["working"], &status["state"], &status["unknown_events"]),
        (&true.into(), &"new".into(), &1.into())
    );
    assert_eq!(unsafe { deniable_close(client, 300_000) }, Ok);
}

#[test]
fn a_client_that_cannot_open_says_why_with_its_causes() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state");
    let (bad, key) = (c("reports.example"), c("12"));
    let fails = |said: &str, change: &dyn Fn(&mut DeniableOptions)| {
        assert!(open(&folder, change).is_null(), "{said}");
        assert!(error().contains(said), "{}", error());
    };
    fails("the folder is null", &|options| options.folder = ptr::null());
    fails("no endpoint", &|options| options.endpoint = bad.as_ptr());
    fails("32 hexadecimal digits", &|options| options.write_key = key.as_ptr());
    fails("from 0 to 2", &|options| options.consent = 7);
    fails("begins with \"dnct\"", &|options| options.catalog_bytes = 2);
    fails("there is no catalog yet", &|options| options.catalog_bytes = 0);
    assert!(unsafe { deniable_open(ptr::null()) }.is_null());
    assert_eq!(error(), "the options are null");

    let client = open(&folder, |_| {});
    fails("another process", &|_| {});
    assert_eq!(unsafe { deniable_close(client, 300_000) }, DeniableResult::Ok);
}

#[test]
fn no_panic_goes_past_the_boundary() {
    let result = call(as_it_is, || std::panic::panic_any("a fault"));
    assert_eq!(result, DeniableResult::Panicked);
    assert!(error().contains("please report it"));
    assert_eq!(boundary::c_text("a\0b".to_owned()).as_bytes(), b"a");
}
