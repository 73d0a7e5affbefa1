//! Local differential privacy for product analytics.
#![no_std]

#[cfg(test)]
extern crate std;

mod params;
mod privacy;
mod probability;

pub use params::{Encoding, Fingerprint, MAX_BITS, MAX_COHORTS, MAX_HASHES, Params, ParamsError, Response};
pub use privacy::{Channel, Epsilon};
pub use probability::{Probability, ProbabilityError};
