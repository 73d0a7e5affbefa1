//! Native and WASM encoders give equal bytes, and both give the bytes they always gave.
//!
//! The package under test is the one that ships. Its randomness is injected where a page's comes from: the
//! script replaces `crypto.getRandomValues`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use deniable::{
    BatchId, DeviceSecret, Encoder, Encoding, Epoch, MetricId, Params, Probability, Randomness, Response,
    Value, WriteKey, write_batch,
};
use deniable_tests::node;
use serde_json::json;

/// Reports that one device makes in a row, from one seed, and sends as one batch.
struct Case {
    params: Params,
    version: u32,
    secret: [u8; 32],
    seed: [u8; 32],
    write_key: [u8; 16],
    batch_id: [u8; 16],
    answers: Vec<Answer>,
    golden: bool,
}

#[derive(Clone)]
enum Answer {
    Choice(usize),
    Choices(Vec<usize>),
    Text(&'static str),
}

const METRIC: &str = "parity-check_1.0";
/// Each answer gets an epoch of its own, counted from here, so that a batch keeps their order.
const EPOCH: u32 = 20_000;

impl Case {
    /// The device, the seed and the version vary with `number`.
    fn new(number: u32, params: Params, golden: bool) -> Self {
        let bytes = |salt: u32| {
            let start = (4 * number + salt).wrapping_mul(2_654_435_761).to_le_bytes();
            core::array::from_fn::<u8, 32, _>(|i| start[i % 4] ^ (i as u8).wrapping_mul(89))
        };
        let half = |salt| bytes(salt)[..16].try_into().unwrap();
        let (write_key, batch_id) = (half(3), half(2));
        let answers = answers(params);
        Self {
            params,
            version: number,
            secret: bytes(0),
            seed: bytes(1),
            write_key,
            batch_id,
            answers,
            golden,
        }
    }

    fn native(&self) -> String {
        let secret = DeviceSecret::from_bytes(self.secret);
        let encoder = Encoder::new(MetricId::new(METRIC).unwrap(), self.version, self.params, &secret);
        let mut randomness = Randomness::from_seed(self.seed);
        let reports = (EPOCH..).zip(&self.answers).map(|(epoch, answer)| {
            let value = match answer {
                Answer::Choice(choice) => Value::Choice(*choice),
                Answer::Choices(choices) => Value::Choices(choices),
                Answer::Text(text) => Value::Text(text),
            };
            encoder.encode(value, Epoch(epoch), &mut randomness).unwrap()
        });
        let reports: Vec<_> = reports.collect();
        hex(&write_batch(WriteKey(self.write_key), BatchId(self.batch_id), &reports).unwrap())
    }

    fn json(&self) -> serde_json::Value {
        let values = self.answers.iter().map(|answer| match answer {
            Answer::Choice(choice) => json!(choice),
            Answer::Choices(choices) => json!(choices),
            Answer::Text(text) => json!(text),
        });
        json!({
            "metric": METRIC,
            "version": self.version,
            "params": self.params,
            "secret": hex(&self.secret),
            "seed": hex(&self.seed),
            "write_key": hex(&self.write_key),
            "batch_id": hex(&self.batch_id),
            "epoch": EPOCH,
            "values": values.collect::<Vec<_>>(),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const WIDTHS: [usize; 8] = [1, 7, 8, 64, 100, 128, 1024, 4096];
const HASHES: [usize; 4] = [1, 2, 8, 16];
const COHORTS: [usize; 4] = [1, 7, 64, 65_536];

/// Every encoding, width, number of hashes and of cohorts, with one stage and with two, with dyadic and with
/// general probabilities. Golden are those of at most 2 hashes, 64 cohorts and general probabilities.
fn grid() -> Vec<Case> {
    let mut cases = Vec::new();
    for encoding in [Encoding::Direct, Encoding::Unary, Encoding::Bloom] {
        for (k, h) in WIDTHS.into_iter().flat_map(|k| HASHES.map(|h| (k, h))) {
            for (m, dyadic) in COHORTS.into_iter().flat_map(|m| [(m, true), (m, false)]) {
                let golden = h <= 2 && m == 64 && !dyadic;
                for stages in stages(encoding, k, dyadic) {
                    // The direct encoding has one hash, one bit is no list, and a set fits its list.
                    let Ok(params) = Params::new(encoding, k, h, m, stages[0], stages[1]) else { continue };
                    cases.push(Case::new(cases.len() as u32, params, golden));
                }
            }
        }
    }
    assert_eq!(cases.len(), 24 * (7 + (1 + 2 + 3 + 5 * 4) + 7 * 4), "a part of the grid was refused");
    cases
}

/// The permanent stage alone, the instantaneous stage alone, and both.
fn stages(encoding: Encoding, k: usize, dyadic: bool) -> [[Option<Response>; 2]; 3] {
    let pairs = match (encoding, dyadic) {
        (Encoding::Direct, true) => [direct(k, 1 << 18), direct(k, 1 << 19)],
        (Encoding::Direct, false) => [direct(k, 123_457), direct(k, 7_777)],
        (_, true) => [(0.25, 0.75), (0.5, 0.75)],
        (_, false) => [(0.123_456_7, 0.654_321), (1.0 / 3.0, 0.5)],
    };
    let [permanent, instantaneous] = pairs.map(|(zero, one)| Some(Response::nearest(zero, one).unwrap()));
    [[permanent, None], [None, instantaneous], [permanent, instantaneous]]
}

/// A stage that keeps exactly one of `k` bits set, each other one with probability `numerator` · 2⁻³².
fn direct(k: usize, numerator: u64) -> (f64, f64) {
    let zero = Probability::from_numerator(numerator).unwrap();
    let others = Probability::from_numerator(numerator * (k as u64 - 1)).unwrap();
    (zero.as_f64(), others.complement().as_f64())
}

fn answers(params: Params) -> Vec<Answer> {
    let (last, h) = (params.bits() - 1, params.hashes());
    match params.encoding() {
        Encoding::Direct => [0, last, last / 2, 0].map(Answer::Choice).to_vec(),
        Encoding::Unary => {
            let set = (0..h).map(|i| i * last / h.max(2)).collect();
            vec![Answer::Choice(0), Answer::Choice(last), Answer::Choices(vec![]), Answer::Choices(set)]
        }
        Encoding::Bloom => ["shop.example", "Zażółć gęślą jaźń", "例え.テスト", "🦀", "shop.example"]
            .map(Answer::Text)
            .to_vec(),
    }
}

/// A list in JSON, one element in a line.
fn list(elements: impl Iterator<Item = serde_json::Value>) -> String {
    let lines: Vec<_> = elements.map(|element| element.to_string()).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// The batches that the package makes of a list of cases.
fn wasm(cases: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.json");
    fs::write(&file, cases).unwrap();
    let printed = node::node([&*node::path("tests/node/parity.mjs"), &*node::package(), &*file]);
    serde_json::from_str(&printed).unwrap()
}

#[test]
fn native_and_wasm_give_equal_bytes() {
    let cases = grid();
    let wasm = wasm(&list(cases.iter().map(Case::json)));
    assert_eq!(wasm.len(), cases.len());
    for (case, wasm) in cases.iter().zip(wasm) {
        assert_eq!(case.native(), wasm, "is the package up to date (`cargo xtask wasm`)? {}", case.json());
    }
}

const VECTORS: &str = "tests/data/encoder_vectors.json";

/// What the native encoder makes of the golden cases now: cases with their batches.
fn vectors() -> String {
    list(grid().iter().filter(|case| case.golden).map(|case| {
        let mut vector = case.json();
        vector["batch"] = case.native().into();
        vector
    }))
}

#[test]
fn native_gives_the_vectors() {
    let (golden, now) = (fs::read_to_string(node::path(VECTORS)).unwrap(), vectors());
    assert_eq!(golden.lines().count(), now.lines().count());
    for (golden, now) in golden.lines().zip(now.lines()) {
        assert_eq!(
            golden, now,
            "reports are no longer what they were; if that is meant, `cargo xtask vectors`"
        );
    }
}

#[test]
#[ignore = "rewrites the vectors, where the encoder was meant to change: `cargo xtask vectors`"]
fn write_the_vectors() {
    fs::write(node::path(VECTORS), vectors()).unwrap();
}

#[test]
fn wasm_gives_the_vectors() {
    let text = fs::read_to_string(node::path(VECTORS)).unwrap();
    let golden: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let wasm = wasm(&text);
    assert_eq!(wasm.len(), golden.len());
    for (golden, wasm) in golden.iter().zip(wasm) {
        assert_eq!(golden["batch"], wasm, "{}", golden["params"]);
    }
}
