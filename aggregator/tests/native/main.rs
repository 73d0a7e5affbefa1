//! Native programs that report to a real collector: the examples, a program in C, and one that is killed again and again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod c_program;
mod examples;
mod kill;
mod site;
