#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| deniable_tests::fuzz::body(data));
