//! The deniable encoder and client for JavaScript, as WebAssembly: thin layers over the crate `deniable`, with no algorithm of their own.
//!
//! A module has two functions, `room` and `call`, and speaks in bytes: see `abi` for the way in and out, and `wire` for what
//! the bytes mean. Classes, types and messages for people are the package's TypeScript. Randomness comes in as an argument.
//! Given one secret and one seed, native and WASM reports are equal to the byte.
//!
//! A page downloads all of it, so nothing here formats text: a refusal is a code and its numbers, see `refusal`.

#![cfg_attr(target_family = "wasm", no_std)]
#![cfg_attr(
    not(all(feature = "encoder", feature = "client")),
    allow(dead_code, reason = "each module uses a part of the wire")
)]

extern crate alloc;

mod abi;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "encoder")]
mod encoder;
mod refusal;
mod wire;
