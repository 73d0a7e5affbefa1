//! A short run of what the fuzzers run, wherever tests run: the corpus as it is, and changed at random with fixed seeds.
//!
//! It is blind, where libFuzzer is led by coverage (`fuzz/README.md`); what libFuzzer found worth keeping is the corpus.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use deniable_tests::fuzz;
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The order of a folder is its own; the seeds should meet the same files everywhere.
    files.sort();
    assert!(!files.is_empty());
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

/// One to four changes of the kinds that reach a parser: a bit, a byte, a field at its limit, a cut, a repeat, a splice.
fn change(bytes: &mut Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) {
    let mut below = |n: usize| (rng.next_u64() % n.max(1) as u64) as usize;
    for _ in 0..=below(4) {
        if bytes.is_empty() {
            bytes.extend(other);
        }
        let at = below(bytes.len());
        let end = (at + 1 + below(32)).min(bytes.len());
        match below(7) {
            0 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << below(8)),
            1 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte = below(256) as u8),
            2 => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = 0xFF),
            3 => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = 0),
            4 => bytes.truncate(at),
            5 => {
                let repeated = bytes[at..end].to_vec();
                bytes.splice(at..at, repeated);
            }
            _ => {
                bytes.truncate(at);
                bytes.extend(&other[below(other.len())..]);
            }
        }
    }
}

fn run(target: fn(&[u8]), corpus: &[Vec<u8>], rounds: usize) {
    corpus.iter().for_each(|bytes| target(bytes));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for round in 0..rounds {
        let mut bytes = corpus[round % corpus.len()].clone();
        let other = &corpus[(rng.next_u64() % corpus.len() as u64) as usize];
        change(&mut bytes, other, &mut rng);
        target(&bytes);
    }
}

#[test]
fn bodies_that_anybody_sends_are_read_or_refused() {
    run(fuzz::batch, &corpus("batch"), 200_000);
}

#[test]
fn whatever_can_be_built_can_be_encoded() {
    run(fuzz::encode, &corpus("encode"), 20_000);
}

#[test]
fn whatever_is_asked_and_answered_is_refused_or_reported() {
    run(fuzz::domain, &corpus("domain"), 20_000);
}

#[test]
fn whatever_is_posted_is_counted_or_refused() {
    run(fuzz::body, &corpus("body"), 4000);
}

#[test]
fn a_damaged_store_is_an_error_or_holds_what_was_committed() {
    run(fuzz::store, &corpus("store"), 1000);
}
