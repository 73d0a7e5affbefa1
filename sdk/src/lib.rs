//! Local differential privacy for product analytics.
//!
//! A device turns a value into a randomized [`Report`] that proves nothing about the person who holds it, and a
//! server decodes the crowd's figures from many. This crate is the device's side and what both sides share:
//!
//! - [`Params`]: the shape of a report and the stages that randomize it, with their privacy loss ε₁ and ε∞;
//! - [`Domain`]: what the answers to a question can be, and which [`Value`] stands for each;
//! - [`Encoder`]: from a value to a [`Report`];
//! - [`write_batch`] and [`Batch`]: reports on their way to a collector.
//!
//! The core has no clock, thread, file, socket or global: randomness is an argument, and it runs without `std`.
//!
//! # Features
//! - `system-entropy` (default): [`SystemEntropy`], the operating system's or the page's generator.
//! - `native`: the client for native programs. Brings `std`.
//! - `ffi`: the same for programs in C, see `include/deniable.h`.
//! - `rappor-compat`: what google/rappor computes, for reading its data.
//! - `test-util`: a seedable [`Randomness`], for tests alone.

#![no_std]
#![cfg_attr(not(feature = "ffi"), forbid(unsafe_code))]

extern crate alloc;
#[cfg(any(test, feature = "native"))]
extern crate std;

mod binary;
mod bloom;
pub mod calendar;
mod choose;
pub mod client;
mod domain;
mod encoder;
mod entropy;
#[cfg(feature = "ffi")]
#[expect(unsafe_code, reason = "C hands over pointers, which only unsafe code can read")]
pub mod ffi;
mod identity;
pub mod insight;
mod metric;
#[cfg(feature = "native")]
pub mod native;
mod params;
mod privacy;
mod probability;
#[cfg(feature = "rappor-compat")]
pub mod rappor;
pub mod registry;
mod report;
mod response;
mod sorted;

pub use bloom::bloom_bits;
pub use choose::{Answers, MAX_SET};
pub use domain::{Answer, Domain, DomainError, Other, Rounding};
pub use encoder::{EncodeError, Encoder, MAX_VALUE_BYTES, Memo, Value};
#[cfg(feature = "system-entropy")]
pub use entropy::SystemEntropy;
pub use entropy::{Entropy, EntropyError, Randomness};
pub use identity::DeviceSecret;
pub use metric::{Epoch, MAX_METRIC_BYTES, MetricError, MetricId, Stream, fits};
pub use params::{Encoding, Fingerprint, MAX_BITS, MAX_COHORTS, MAX_HASHES, Params, ParamsError, Response};
pub use privacy::{Channel, Epsilon};
pub use probability::{Probability, ProbabilityError};
pub use report::{
    Batch, BatchError, BatchId, MAX_BATCH_BYTES, MAX_TAGS, Report, Section, WriteKey, write_batch,
};
