//! From counts to population figures: a pure function of parameters, counts, candidates and options.

mod counts;

pub use counts::{Counts, CountsError};
