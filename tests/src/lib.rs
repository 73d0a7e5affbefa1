//! Tests that cross crates live in `tests/tests`; what several of them need is here.

pub mod node;
