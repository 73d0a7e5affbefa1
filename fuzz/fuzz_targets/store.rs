#![no_main]

use std::panic;
use std::sync::Once;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // libFuzzer's hook ends the process at any panic. One that the store catches and makes an error is no find; one
    // that comes out of it still ends the process, where it arrives.
    static UNHOOK: Once = Once::new();
    UNHOOK.call_once(|| drop(panic::take_hook()));
    deniable_tests::fuzz::store(data);
});
