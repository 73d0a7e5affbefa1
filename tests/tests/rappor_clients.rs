//! The clients of google/rappor, bit for bit against what they computed themselves.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use deniable::rappor::{
    Bits, Client, Device, HmacDrbg, Profile, RapporError, Settings, Wire, bit_string, bloom_bits,
};
use deniable::{Entropy, EntropyError};
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Vectors {
    python: Vec<Vector>,
    cpp32: Vec<Vector>,
    cppvec: Vec<Vector>,
    java: Vec<Vector>,
    hmac_drbg_derived: Vec<Stream>,
}

/// What one client made of one string. Each client has some of the fields.
#[derive(Clone, Deserialize)]
struct Vector {
    k: usize,
    h: usize,
    m: usize,
    f: f64,
    p: f64,
    q: f64,
    secret_hex: Hex,
    word_hex: Hex,
    cohort: u32,
    bloom_bits: Vec<usize>,
    encoder_id_hex: Option<Hex>,
    assigned_cohort: Option<u32>,
    effective_f: Option<f64>,
    bloom: Option<u32>,
    prr: Option<u32>,
    irr: Option<u32>,
    irr_csv: Option<String>,
    p_mask: Option<u32>,
    q_mask: Option<u32>,
    irr_rand_hex: Option<Hex>,
    #[serde(alias = "bloom_le_hex")]
    bloom_hex: Option<Hex>,
    #[serde(alias = "prr_le_hex")]
    prr_hex: Option<Hex>,
    #[serde(alias = "irr_le_hex")]
    irr_hex: Option<Hex>,
}

#[derive(Deserialize)]
struct Stream {
    seed_hex: Hex,
    n: usize,
    cpp_sha256: Hex,
    java_sha256: Hex,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

static VECTORS: LazyLock<Vectors> = LazyLock::new(|| {
    let file = File::open(data("vectors.json.gz")).unwrap();
    serde_json::from_reader(flate2::read::GzDecoder::new(file)).unwrap()
});

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/google-rappor").join(name)
}

impl Vector {
    fn settings(&self) -> Settings {
        Settings { bits: self.k, hashes: self.h, cohorts: self.m, f: self.f, p: self.p, q: self.q }
    }

    /// What the client computes here: cohort, Bloom filter, permanent response, report.
    fn compute(&self, client: Client, coins: &[u8]) -> (Option<u32>, [Bits; 3]) {
        let name = self.encoder_id_hex.as_ref().map_or(&[][..], |id| &id.0);
        let profile = Profile::new(client, &self.settings()).unwrap();
        let device = Device::new(profile, &self.secret_hex.0, name).unwrap();
        let bloom = device.bloom(self.cohort, &self.word_hex.0).unwrap();
        let permanent = device.permanent(&bloom).unwrap();
        let mut recorded = Recorded(coins.iter().copied().collect());
        let report = device.instantaneous(&permanent, &mut recorded).unwrap();
        assert!(recorded.0.is_empty(), "{} random bytes are left over", recorded.0.len());
        (device.cohort(), [bloom, permanent, report])
    }

    fn numbers(&self) -> [Wire; 3] {
        [self.bloom, self.prr, self.irr].map(|number| Wire::Number(number.unwrap()))
    }

    fn bytes(&self) -> [Wire; 3] {
        [&self.bloom_hex, &self.prr_hex, &self.irr_hex].map(|hex| Wire::Bytes(hex.clone().unwrap().0))
    }

    fn set_bits(&self) -> Bits {
        let mut bits = Bits::repeat(false, self.k);
        self.bloom_bits.iter().for_each(|bit| bits.set(*bit, true));
        bits
    }

    /// The coins of `mask` as 7 bytes each: the least number for a 1, the greatest for a 0.
    fn python_coins(&self, mask: Option<u32>) -> impl Iterator<Item = u8> {
        let byte = move |bit: usize| if mask.unwrap() >> bit & 1 == 1 { 0 } else { 0xFF };
        (0..self.k).flat_map(move |bit| [byte(bit); 7])
    }
}

fn wire(client: Client, vector: &Vector, bits: &[Bits; 3]) -> [Wire; 3] {
    let profile = Profile::new(client, &vector.settings()).unwrap();
    let device = Device::new(profile, &vector.secret_hex.0, &[]).unwrap();
    bits.each_ref().map(|bits| device.wire(bits))
}

/// The random bytes that a client was handed.
struct Recorded(VecDeque<u8>);

impl Entropy for Recorded {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        for byte in out {
            *byte = self.0.pop_front().ok_or(EntropyError { reason: "the recording is at its end" })?;
        }
        Ok(())
    }
}

#[test]
fn python_agrees() {
    assert_eq!(VECTORS.python.len(), 324);
    for vector in &VECTORS.python {
        let coins: Vec<u8> =
            vector.python_coins(vector.p_mask).chain(vector.python_coins(vector.q_mask)).collect();
        let (cohort, bits) = vector.compute(Client::Python, &coins);
        assert_eq!(cohort, None);
        assert_eq!(bits[0], vector.set_bits());
        assert!(
            bloom_bits(vector.k, vector.h, vector.cohort, &vector.word_hex.0).eq(vector.bloom_bits.clone())
        );
        assert_eq!(wire(Client::Python, vector, &bits), vector.numbers());
        assert_eq!(bit_string(&bits[2]), *vector.irr_csv.as_ref().unwrap());
    }
}

#[test]
fn cpp_with_32_bits_agrees() {
    assert_eq!(VECTORS.cpp32.len(), 276);
    for vector in &VECTORS.cpp32 {
        let (cohort, bits) = vector.compute(Client::Cpp32, &vector.irr_rand_hex.as_ref().unwrap().0);
        assert_eq!(cohort, vector.assigned_cohort);
        assert_eq!(bits[0], vector.set_bits());
        assert_eq!(wire(Client::Cpp32, vector, &bits), vector.numbers());
    }
}

#[test]
fn cpp_with_bytes_agrees() {
    assert_eq!(VECTORS.cppvec.len(), 144);
    for vector in &VECTORS.cppvec {
        let (cohort, bits) = vector.compute(Client::CppBytes, &vector.irr_rand_hex.as_ref().unwrap().0);
        assert_eq!(cohort, vector.assigned_cohort);
        assert_eq!(bits[0], vector.set_bits());
        assert_eq!(wire(Client::CppBytes, vector, &bits), vector.bytes());
    }
}

#[test]
fn java_agrees() {
    assert_eq!(VECTORS.java.len(), 168);
    for vector in &VECTORS.java {
        // A uniform number byte/256 is the first of the three bytes of a float.
        let coins: Vec<u8> =
            vector.irr_rand_hex.as_ref().unwrap().0.iter().flat_map(|byte| [*byte, 0, 0]).collect();
        let (cohort, bits) = vector.compute(Client::Java, &coins);
        assert_eq!(cohort, Some(vector.cohort));
        assert_eq!(bits[0], vector.set_bits());
        assert_eq!(wire(Client::Java, vector, &bits), vector.bytes());
        let profile = Profile::new(Client::Java, &vector.settings()).unwrap();
        assert_eq!(Some(profile.f()), vector.effective_f);
    }
}

#[test]
fn the_generator_agrees_in_one_request_and_in_pieces() {
    assert_eq!(VECTORS.hmac_drbg_derived.len(), 20);
    for stream in &VECTORS.hmac_drbg_derived {
        let mut whole = vec![0; stream.n];
        HmacDrbg::new(&[&stream.seed_hex.0]).fill(&mut whole);
        assert_eq!(Sha256::digest(&whole)[..], stream.cpp_sha256.0);
        let mut pieces = vec![0; stream.n];
        let mut drbg = HmacDrbg::new(&[&stream.seed_hex.0]);
        pieces.chunks_mut(937).for_each(|piece| drbg.fill(piece));
        assert_eq!(Sha256::digest(&pieces)[..], stream.java_sha256.0);
    }
}

/// The comparison notices a threshold of f that is off by one, a cohort that is ignored, and another client.
#[test]
fn a_planted_fault_is_seen() {
    let wrong = |fault: &dyn Fn(&mut Vector)| {
        VECTORS.cpp32.iter().any(|vector| {
            let mut faulty = vector.clone();
            fault(&mut faulty);
            let bits = faulty.compute(Client::Cpp32, &vector.irr_rand_hex.as_ref().unwrap().0).1;
            wire(Client::Cpp32, vector, &bits) != vector.numbers()
        })
    };
    assert!(!wrong(&|_| ()));
    assert!(wrong(&|vector| vector.f += 1.0 / 128.0));
    assert!(wrong(&|vector| vector.q = (vector.q - 1.0 / 64.0).max(0.0)));
    assert!(wrong(&|vector| vector.cohort = 0));
    assert!(wrong(&|vector| vector.encoder_id_hex = None));
}

#[test]
fn a_short_read_gives_no_report() {
    let vector = &VECTORS.cppvec[0];
    let profile = Profile::new(Client::CppBytes, &vector.settings()).unwrap();
    let device = Device::new(profile, b"secret", b"name").unwrap();
    let bloom = device.bloom(0, b"foo").unwrap();
    let mut recorded = Recorded(vec![7; 63].into());
    assert!(matches!(device.instantaneous(&bloom, &mut recorded), Err(RapporError::Entropy(_))));
}

#[test]
fn what_does_not_fit_the_device_is_refused() {
    let settings = VECTORS.java[0].settings();
    let java = Profile::new(Client::Java, &settings).unwrap();
    assert!(matches!(Device::new(java, &[0; 47], b""), Err(RapporError::Secret { size: 47 })));
    let device = Device::new(java, &[0; 48], b"").unwrap();
    assert!(matches!(device.bloom(128, b"foo"), Err(RapporError::NoCohort { cohort: 128, cohorts: 128 })));
    assert!(matches!(
        device.permanent(&Bits::repeat(false, 9)),
        Err(RapporError::Width { found: 9, bits: 8 })
    ));
    assert_eq!(format!("{device:?}").matches("secret").count(), 0);
}

#[test]
fn maps_hold_the_hashes() {
    let mut seen = 0;
    for (k, h, m) in [(8, 2, 4), (16, 2, 4), (32, 1, 3), (128, 2, 3)] {
        let path = data("maps").join(format!("map_{k}-{h}-{m}.csv"));
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(&path).unwrap();
        for row in reader.byte_records() {
            let row = row.unwrap();
            let cells: Vec<usize> =
                row.iter().skip(1).map(|cell| str::from_utf8(cell).unwrap().parse().unwrap()).collect();
            let hashed: Vec<usize> = (0..m)
                .flat_map(|cohort| {
                    bloom_bits(k, h, cohort, &row[0]).map(move |bit| cohort as usize * k + bit + 1)
                })
                .collect();
            assert_eq!(hashed, cells, "{:?} in {}", String::from_utf8_lossy(&row[0]), path.display());
            seen += 1;
        }
    }
    assert_eq!(seen, 36);
}
