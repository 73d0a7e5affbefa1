//! The collector and its store, seen from outside: over HTTP, as a process, and on disk.

mod crash;
mod http;
mod process;
mod store;
mod support;
