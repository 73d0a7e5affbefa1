//! The client with a real collector: what a device reports, loses, repeats and pays for in every history.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod collector;
mod history;
mod model;
mod populations;
mod world;
