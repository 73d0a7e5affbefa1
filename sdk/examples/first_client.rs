//! A first client: answers one question once, and posts the report to a collector.

#![allow(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::time::{SystemTime, UNIX_EPOCH};

use deniable::{
    Answers, BatchId, DeviceSecret, Encoder, Epoch, MetricId, Params, Randomness, SystemEntropy, Value,
    WriteKey, write_batch,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let collector = std::env::args().nth(1).unwrap_or("http://127.0.0.1:8080".into());

    // Once per device. Store the bytes where only this program reads, and take them up with `from_bytes`.
    let secret = DeviceSecret::draw(&mut SystemEntropy)?;

    // The same on both sides. One report costs ε₁ ≤ 2, and all reports of one value together ε∞ ≤ 4.
    let params = Params::for_epsilon(2.0, Some(4.0), Answers::Open)?;
    let encoder = Encoder::new(MetricId::new("relying_party")?, 1, params, &secret);

    let mut randomness = Randomness::from_system()?;
    // An epoch is named by the day on which it began, counted from 1970-01-01.
    let today = Epoch((SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 86_400).try_into()?);
    let report = encoder.encode(Value::Text("shop.example"), today, &mut randomness)?;

    // If the answer is lost, send the same bytes again: the collector counts a batch once.
    let batch = write_batch(WriteKey::NONE, BatchId(randomness.draw_id()), &[report])?;
    let answer = ureq::post(format!("{collector}/v1/reports")).send(&batch)?.into_body().read_to_string()?;
    println!("sent {} bytes: {answer}", batch.len());
    Ok(())
}
