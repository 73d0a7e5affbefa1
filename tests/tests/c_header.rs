//! The header for C is the one that the module `ffi` gives.
//!
//! After a meant change: `WRITE_HEADER=1 cargo test --package deniable-tests --test c_header`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

#[test]
fn the_header_is_that_of_the_code() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk");
    let config = cbindgen::Config::from_file(sdk.join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in ["types.rs", "mod.rs"] {
        builder = builder.with_src(sdk.join("src/ffi").join(source));
    }
    let mut made = Vec::new();
    builder.generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let header = sdk.join("include/deniable.h");
    if std::env::var_os("WRITE_HEADER").is_some() {
        fs::write(&header, &made).unwrap();
    }
    assert!(fs::read_to_string(header).unwrap() == made, "the header is old: see the head of this test");
}
