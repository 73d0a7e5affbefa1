//! The deniable encoder for JavaScript, as WebAssembly: thin layers over the crate `deniable`, with no algorithm of their own.
//!
//! A module has two functions, `room` and `call`, and speaks in bytes: see `abi` for the way in and out, and `wire` for what
//! the bytes mean. Classes, types and messages for people are the package's TypeScript. Randomness comes in as an argument.
//! Given one secret and one seed, native and WASM reports are equal to the byte.
//!
//! A page downloads all of it, so nothing here formats text: a refusal is a code and its numbers, see `refusal`.

#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod abi;
#[cfg(feature = "encoder")]
mod encoder;
mod refusal;
mod wire;
