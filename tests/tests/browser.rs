//! The client of the npm package in a real browser, against a real collector. Each test is a script of `tests/browser`, which says
//! what it holds.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::process::Command;

use deniable_tests::node;

/// The program `deniable`, which Cargo builds beside the tests of the workspace.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("deniable");
    assert!(program.exists(), "build the collector first: `cargo build --package deniable-aggregator`");
    program
}

/// Runs a script and returns what it prints.
fn run(script: &str) -> String {
    let browser = PathBuf::from("/usr/bin/chromium");
    assert!(browser.exists(), "Chromium is missing; `cargo xtask wasm` installs it");
    let folder = tempfile::tempdir().unwrap();
    let mut node = Command::new("node");
    node.arg(node::path("tests/browser").join(script).with_extension("mjs"));
    node::run(node.arg(node::package()).arg(program()).arg(folder.path()))
}

#[test]
fn two_tabs_share_one_ledger_and_a_reload_goes_on() {
    run("tabs");
}

#[test]
fn a_crash_between_charge_and_send_loses_nothing() {
    run("crash");
}

#[test]
fn a_content_policy_without_wasm_gives_a_clear_error() {
    run("policy");
}

#[test]
fn a_browser_that_keeps_nothing_is_told_of() {
    run("storage");
}

#[test]
fn nothing_leaves_without_consent_and_opting_out_erases() {
    run("consent");
}

#[test]
fn a_no_and_a_reset_hold_whatever_happens_around_them() {
    run("forgets");
}

#[test]
fn answers_of_strangers_lose_nothing_and_count_nothing_twice() {
    run("answers");
}

#[test]
fn catalogs_and_states_of_other_programs_lose_nothing() {
    run("catalogs");
}

#[test]
fn what_is_due_leaves_with_a_closing_page_and_counts_once() {
    run("closing");
}

#[test]
fn no_argument_throws_or_breaks_the_client() {
    run("calls");
}

#[test]
fn a_crowd_decodes_to_the_right_figures() {
    run("crowd");
}

#[test]
fn the_vectors_are_the_same_in_a_browser() {
    run("vectors");
}

#[test]
fn the_example_page_and_its_panel_work_by_mouse_and_keyboard() {
    run("example");
}

#[test]
fn the_packed_package_runs_in_node_deno_bun_vite_and_webpack() {
    run("packed");
}

#[test]
fn a_module_that_is_not_to_be_had_is_told_of_and_taken_up_later() {
    run("modules");
}

#[test]
fn pages_that_are_left_or_made_ready_ahead_go_on_when_they_are_seen() {
    run("visits");
}

#[test]
fn the_panel_holds_many_questions_and_other_words() {
    run("panel");
}

#[test]
fn workers_share_the_state_of_pages() {
    run("workers");
}

#[test]
fn pages_are_fast() {
    println!("{}", run("speed"));
}
