//! Tests that cross crates live in `tests/tests`; what several of them need, or the fuzzers too, is here.

#![forbid(unsafe_code)]

pub mod answers;
pub mod fuzz;
pub mod node;
pub mod workload;
