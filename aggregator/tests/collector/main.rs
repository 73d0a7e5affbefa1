//! The collector and its store, seen from outside: over HTTP, as a process, and on disk.

#![allow(clippy::unwrap_used)] // a test that cannot go on may panic

mod backup;
mod clock;
mod conformance;
mod crash;
mod fixture;
mod guards;
mod http;
mod lake;
mod process;
mod projects;
mod store;
mod support;
mod tags;
