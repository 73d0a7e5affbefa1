use std::string::ToString;
use std::{vec, vec::Vec};

use super::*;
use crate::{DeviceSecret, Encoder, MetricId, Params, Randomness, Value};

fn reports(metric: &str, bits: usize, epoch: u32, count: u8) -> Vec<Report> {
    let params = Params::rappor(bits, 2, 8, 0.5, 0.25, 0.75).unwrap();
    let mut randomness = Randomness::from_seed([5; 32]);
    let report = |i| {
        let secret = DeviceSecret::from_bytes([i; 32]);
        let encoder = Encoder::new(MetricId::new(metric).unwrap(), 3, params, &secret);
        encoder.encode(Value::Text("v"), Epoch(epoch), &mut randomness).unwrap()
    };
    (0..count).map(report).collect()
}

fn mixed() -> Vec<Report> {
    [reports("a", 12, 7, 3), reports("b", 64, 7, 2), reports("a", 12, 8, 1)].concat()
}

const REGISTRY: RegistryHash = RegistryHash([3; 8]);

/// Reports that differ in what is public beside them alone.
fn published() -> Vec<Report> {
    let other = RegistryHash([4; 8]);
    let public: [(RegistryHash, &[usize]); 5] = [
        (REGISTRY, &[1, 2]),
        (REGISTRY, &[2, 1]),
        (other, &[1, 2]),
        (REGISTRY, &[]),
        (RegistryHash::NONE, &[]),
    ];
    let report = |(registry, tags)| reports("a", 12, 7, 1).remove(0).published(registry, tags).unwrap();
    public.map(report).to_vec()
}

#[test]
fn what_is_written_is_read_back() {
    let body = write_batch(WriteKey([7; 16]), BatchId([9; 16]), &mixed()).unwrap();
    let batch = Batch::parse(&body).unwrap();
    assert_eq!((batch.key(), batch.id(), batch.report_count()), (WriteKey([7; 16]), BatchId([9; 16]), 6));
    let mut found = Vec::new();
    for section in batch.sections() {
        assert_eq!(section.stream().version(), 3);
        for (cohort, bits) in section.reports() {
            found.push((section.stream().metric().to_string(), section.epoch(), cohort, bits.to_vec()));
        }
    }
    let mut sent: Vec<_> = mixed()
        .iter()
        .map(|r| (r.stream().metric().to_string(), r.epoch(), r.cohort(), r.bits.to_vec()))
        .collect();
    sent.sort();
    found.sort();
    assert_eq!(found, sent);
}

#[test]
fn reports_of_other_registries_or_tags_lie_in_other_sections() {
    let sent = published();
    for (i, one) in sent.iter().enumerate() {
        for (j, other) in sent.iter().enumerate() {
            assert_eq!(one.shares_section(other), i == j, "{i} and {j}");
        }
    }
    let twice = [sent.clone(), sent.clone()].concat();
    let body = write_batch(WriteKey::NONE, BatchId([9; 16]), &twice).unwrap();
    let batch = Batch::parse(&body).unwrap();
    assert!(batch.sections().iter().all(|section| section.len() == 2));
    let mut found: Vec<_> = batch
        .sections()
        .iter()
        .map(|section| (section.registry(), section.tags().collect::<Vec<_>>()))
        .collect();
    let mut expected: Vec<_> =
        sent.iter().map(|report| (report.registry(), report.tags().to_vec())).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn only_so_many_tags_are_published_and_only_with_their_registry() {
    let publish = |registry, tags: &[usize]| reports("a", 12, 7, 1).remove(0).published(registry, tags);
    assert_eq!(publish(REGISTRY, &[65_535; 16]).unwrap().tags(), [65_535; 16]);
    let (count, limit) = (17, 16);
    assert_eq!(publish(REGISTRY, &[0; 17]), Err(BatchError::Tags { count, limit }));
    assert_eq!(publish(RegistryHash::NONE, &[0]), Err(BatchError::Tags { count: 1, limit: 0 }));
    assert_eq!(publish(REGISTRY, &[65_536]), Err(BatchError::TagPlace { place: 65_536 }));
}

#[test]
fn a_write_key_is_read_from_its_text_alone() {
    let key = WriteKey(core::array::from_fn(|i| (17 * i) as u8));
    let text = key.to_string();
    assert_eq!(text, "00112233445566778899aabbccddeeff");
    assert_eq!(text.parse(), Ok(key));
    assert_eq!(text.to_uppercase().parse(), Ok(key));
    let longer = text.clone() + "0";
    for bad in ["", &text[1..], &longer, "+0112233445566778899aabbccddeeff", "é112233445566778899aabbccddeef"]
    {
        assert_eq!(bad.parse::<WriteKey>(), Err(BatchError::Key), "{bad}");
    }
    assert_eq!(std::format!("{key:?}"), "WriteKey(..)");
}

#[test]
fn a_batch_does_not_tell_the_order_of_its_reports() {
    let reversed: Vec<_> = mixed().into_iter().rev().collect();
    let id = BatchId([9; 16]);
    assert_eq!(write_batch(WriteKey::NONE, id, &mixed()), write_batch(WriteKey::NONE, id, &reversed));
    let reversed: Vec<_> = published().into_iter().rev().collect();
    assert_eq!(write_batch(WriteKey::NONE, id, &published()), write_batch(WriteKey::NONE, id, &reversed));
}

#[test]
fn a_batch_cut_anywhere_is_refused() {
    let body = write_batch(WriteKey::NONE, BatchId([9; 16]), &[mixed(), published()].concat()).unwrap();
    for end in 0..body.len() {
        assert!(matches!(Batch::parse(&body[..end]), Err(BatchError::Truncated { .. })), "{end}");
    }
    let longer = [&body[..], &[0]].concat();
    let (expected, found) = (body.len(), longer.len());
    assert_eq!(Batch::parse(&longer), Err(BatchError::Trailing { expected, found }));
}

#[test]
fn what_is_no_batch_is_refused_by_name() {
    let body = write_batch(WriteKey::NONE, BatchId([9; 16]), &reports("a", 12, 7, 1)).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut body = body.clone();
        body[at..at + bytes.len()].copy_from_slice(bytes);
        Batch::parse(&body).unwrap_err()
    };
    assert_eq!(with(0, b"x"), BatchError::NotABatch);
    assert_eq!(with(4, &[1]), BatchError::Format { found: 1 });
    assert_eq!(with(4, &[3]), BatchError::Format { found: 3 });
    assert_eq!(with(37, &[0, 0]), BatchError::Empty);
    assert!(matches!(with(40, b"A"), BatchError::Metric(_)));
    assert!(matches!(with(40, &[0xFF]), BatchError::Metric(_)));
    // The section: name at 40, version at 41, epoch at 45, fingerprint at 49, registry at 57, number of tags at 65,
    // k at 66, count at 68.
    assert_eq!(with(65, &[1]), BatchError::Tags { count: 1, limit: 0 });
    assert_eq!(with(64, &[1, 17]), BatchError::Tags { count: 17, limit: 16 });
    assert_eq!(with(66, &[0, 0]), BatchError::Bits { bits: 0 });
    assert_eq!(with(66, &[1, 16]), BatchError::Bits { bits: 4097 });
    assert_eq!(with(68, &[0; 4]), BatchError::Empty);
    assert!(matches!(with(68, &[0xFF; 4]), BatchError::Truncated { .. }));
}

#[test]
fn a_batch_over_the_limit_is_neither_written_nor_read() {
    assert_eq!(write_batch(WriteKey::NONE, BatchId([0; 16]), &[]), Err(BatchError::Empty));
    let report = reports("a", 4096, 7, 1).remove(0);
    let many = vec![report; MAX_BATCH_BYTES / 512];
    assert!(matches!(write_batch(WriteKey::NONE, BatchId([0; 16]), &many), Err(BatchError::TooLarge { .. })));
    let size = MAX_BATCH_BYTES + 1;
    assert_eq!(Batch::parse(&vec![0; size]), Err(BatchError::TooLarge { size }));
}

#[test]
fn the_view_for_people_shows_bit_0_first() {
    let report = reports("a", 12, 7, 1).remove(0).published(REGISTRY, &[1, 0]).unwrap();
    let bits: std::string::String = report.bits().iter().map(|bit| if *bit { '1' } else { '0' }).collect();
    let cohort = report.cohort();
    let body = write_batch(WriteKey::NONE, BatchId([9; 16]), &[report]).unwrap();
    let view = serde_json::to_value(Batch::parse(&body).unwrap()).unwrap();
    assert_eq!(view["key"], "00".repeat(16));
    assert_eq!(view["id"], "09".repeat(16));
    assert_eq!(view["sections"][0]["metric"], "a");
    assert_eq!(view["sections"][0]["registry"], "03".repeat(8));
    assert_eq!(view["sections"][0]["tags"], serde_json::json!([1, 0]));
    assert_eq!(view["sections"][0]["reports"][0], serde_json::json!({ "cohort": cohort, "bits": bits }));
}
