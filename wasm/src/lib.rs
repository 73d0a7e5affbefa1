//! The deniable encoder for browsers and Node: thin types over the crate `deniable`, with no algorithm of their own.
//!
//! Each type holds one of `deniable` and passes calls on; given one secret and one seed, native and WASM reports are
//! equal to the byte. What JavaScript hands over is checked here once, because it may hand over anything:
//! see `input`. Every refusal is a `DeniableError` with a stable code: see `error`.
//!
//! The doc comments of this crate are the documentation that TypeScript shows.

#![forbid(unsafe_code)]

mod encoder;
mod error;
mod input;
mod params;
mod secrets;

pub use encoder::{Encoder, Report, write_batch};
pub use params::Params;
pub use secrets::{DeviceSecret, Randomness};
