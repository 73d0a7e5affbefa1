//! Every history: lists of operations, shrunk when one goes wrong; and the same harness with a fault planted, which it must notice.

use std::cell::RefCell;

use deniable::client::testing::{Fate, Kept, Step};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::history::{Fault, Op, Seen};
use super::world::run;

const CASES: u32 = 300;
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Arrives),
        1 => Just(Fate::RequestLost),
        2 => Just(Fate::AnswerLost),
        1 => Just(Fate::Repeated),
        1 => Just(Fate::Held),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let step = proptest::sample::select(&Step::ALL[..]);
    let kept = proptest::sample::select(&[Kept::Nothing, Kept::Part, Kept::All][..]);
    prop_oneof![
        4 => Just(Op::Track),
        6 => (0..4usize).prop_map(Op::Record),
        6 => (1..240i64).prop_map(|minutes| Op::Pass(minutes * MINUTE)),
        4 => (1..12i64).prop_map(|days| Op::Pass(days * DAY)),
        1 => (1..60i64).prop_map(|days| Op::Pass(-days * DAY)),
        1 => (1..60i64).prop_map(|days| Op::Pass(days * DAY)),
        2 => (1..600i64).prop_map(|minutes| Op::Pass(-minutes * MINUTE)),
        6 => Just(Op::Write),
        3 => Just(Op::Flush),
        10 => fate().prop_map(Op::Send),
        2 => Just(Op::Release),
        1 => proptest::sample::select(&[200u16, 302, 400, 404, 413, 429, 500][..]).prop_map(Op::Stranger),
        3 => (step, kept).prop_map(|(step, kept)| Op::CrashAfter(step, kept)),
        2 => Just(Op::Restart),
        1 => any::<bool>().prop_map(Op::StorageFails),
        1 => Just(Op::OptOut),
        2 => Just(Op::OptIn),
        1 => Just(Op::Reset),
        1 => Just(Op::Upgrade),
    ]
}

/// Runs random histories, and gives what they came to, or the shortest that goes wrong.
fn explore(fault: Fault, cases: u32) -> Result<Seen, String> {
    let seen = RefCell::new(Seen::default());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]);
    let histories = proptest::collection::vec(op(), 1..60);
    let outcome = TestRunner::new_with_rng(config, rng).run(&histories, |ops| {
        seen.borrow_mut().add(&run(fault, &ops).map_err(TestCaseError::fail)?);
        Ok(())
    });
    outcome.map(|()| seen.into_inner()).map_err(|error| error.to_string())
}

#[test]
fn every_history_is_charged_sent_and_counted_once() {
    let seen = explore(Fault::None, CASES).unwrap();
    let tried = [
        seen.left,
        seen.collected,
        seen.erased,
        seen.too_old,
        seen.refused,
        seen.over_cap,
        seen.resent,
        seen.crashes,
        seen.halved,
    ];
    assert!(tried.iter().all(|times| *times > 0), "{seen:?}");
}

#[test]
#[ignore = "many more histories; some minutes in a release build"]
fn a_great_many_histories() {
    let seen = explore(Fault::None, 20_000).unwrap();
    assert!(seen.halved > 0 && seen.left > 20_000, "{seen:?}");
}

#[test]
fn a_commit_that_is_skipped_is_noticed() {
    let error = explore(Fault::CommitSkipped, CASES).unwrap_err();
    assert!(error.contains("charges are durable"), "{error}");
}

#[test]
fn a_charge_that_is_forgotten_is_noticed() {
    let error = explore(Fault::ChargeForgotten, CASES).unwrap_err();
    assert!(error.contains("charges are durable") || error.contains("was spent"), "{error}");
}

#[test]
fn a_new_batch_id_on_retry_is_noticed() {
    let error = explore(Fault::NewIdOnRetry, CASES).unwrap_err();
    assert!(error.contains("the collector counts"), "{error}");
}

#[test]
fn a_write_that_does_not_wait_for_the_disk_is_noticed() {
    let error = explore(Fault::SyncForgotten, CASES).unwrap_err();
    assert!(error.contains("after a crash"), "{error}");
}
