//! The reader of batches against bodies that a program of its own wrote, `tests/data/batch_vectors.py`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use deniable::{Batch, BatchError, MAX_BATCH_BYTES};
use serde_json::Value;

fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("../data/batch_vectors.json")).unwrap()
}

fn body(vector: &Value) -> Vec<u8> {
    let hex = vector["body"].as_str().unwrap();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn every_body_is_read_or_refused_as_the_format_says() {
    for vector in vectors() {
        let body = body(&vector);
        match Batch::parse(&body) {
            Ok(batch) => {
                assert_eq!(serde_json::to_value(&batch).unwrap(), vector["parsed"], "{}", vector["name"]);
            }
            Err(error) => assert_eq!(error.to_string(), vector["error"], "{}", vector["name"]),
        }
    }
}

#[test]
fn a_batch_that_ends_anywhere_before_its_end_is_refused() {
    for vector in vectors().iter().filter(|vector| vector["parsed"].is_object()) {
        let body = body(vector);
        for end in 0..body.len() {
            let refused = Batch::parse(&body[..end]);
            assert!(
                matches!(refused, Err(BatchError::Truncated { found, needed }) if found == end && needed > end),
                "{} up to {end}: {refused:?}",
                vector["name"]
            );
        }
    }
}

#[test]
fn a_batch_over_the_limit_is_refused_unread() {
    let refused = Batch::parse(&[0; MAX_BATCH_BYTES + 1]);
    assert_eq!(refused, Err(BatchError::TooLarge { size: MAX_BATCH_BYTES + 1 }));
    assert_eq!(Batch::parse(&[0; MAX_BATCH_BYTES]), Err(BatchError::NotABatch));
}
