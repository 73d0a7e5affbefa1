//! What the fuzzers run on bytes that anybody might send. Each function panics if something is wrong.
//!
//! The crate in `fuzz/` feeds them from libFuzzer; `tests/tests/fuzz_corpus.rs` feeds them from the same corpus, changed
//! at random, wherever tests run.

mod body;
mod store;

pub use self::body::body;
pub use self::store::store;

use arbitrary::{Arbitrary, Unstructured};
use deniable::{
    Answer, Batch, BatchId, DeviceSecret, Domain, EncodeError, Encoder, Encoding, Epoch, MetricId, Other,
    Params, Probability, Randomness, Report, Response, Section, Value, WriteKey, fits, write_batch,
};

/// Reads a batch. One that is well-formed says all of its bytes: written again by the table of the format it is the same.
pub fn batch(body: &[u8]) {
    if let Ok(batch) = Batch::parse(body) {
        assert_eq!(write_again(&batch), body);
        let reports: usize = batch.sections().iter().map(|section| section.reports().count()).sum();
        assert_eq!(reports, batch.report_count());
        serde_json::to_string(&batch).expect("a batch has a view for people");
    }
}

/// The bytes of a batch, put down by the table in the format's description.
fn write_again(batch: &Batch<'_>) -> Vec<u8> {
    let mut out = b"dnbl\x02".to_vec();
    out.extend(batch.key().0);
    out.extend(batch.id().0);
    out.extend((batch.sections().len() as u16).to_le_bytes());
    for section in batch.sections() {
        let (stream, metric) = (section.stream(), section.stream().metric().as_str());
        out.push(metric.len() as u8);
        out.extend(metric.as_bytes());
        out.extend(stream.version().to_le_bytes());
        out.extend(section.epoch().0.to_le_bytes());
        out.extend(stream.fingerprint().0);
        out.extend(section.registry().0);
        out.push(section.tags().len() as u8);
        out.extend(section.tags().flat_map(u16::to_le_bytes));
        out.extend((stream.bits() as u16).to_le_bytes());
        out.extend((section.len() as u32).to_le_bytes());
        for (cohort, bits) in section.reports() {
            out.extend(cohort.to_le_bytes());
            out.extend(bits);
        }
    }
    out
}

/// Parameters, a device and its values, out of arbitrary bytes: whatever can be built reports every value that fits, and
/// the reports are read back as they were written.
pub fn encode(data: &[u8]) {
    let mut input = Unstructured::new(data);
    if let Ok(case) = Case::arbitrary(&mut input) {
        case.run();
    }
}

#[derive(Arbitrary, Debug)]
struct Case {
    encoding: u8,
    bits: u16,
    hashes: u8,
    cohorts: u32,
    permanent: Option<(u64, u64)>,
    instantaneous: Option<(u64, u64)>,
    secret: [u8; 32],
    values: Vec<Input>,
}

#[derive(Arbitrary, Debug)]
enum Input {
    Choice(u16),
    Choices(Vec<u16>),
    Subset(u8),
    Text(String),
}

impl Case {
    fn params(&self) -> Option<Params> {
        let encoding = [Encoding::Direct, Encoding::Unary, Encoding::Bloom][usize::from(self.encoding % 3)];
        // Most shapes are within the limits, some are at them and some beyond.
        let (bits, hashes, cohorts) =
            (usize::from(self.bits) % 4100, usize::from(self.hashes) % 18, self.cohorts as usize % 65_540);
        let direct = encoding == Encoding::Direct;
        let stage = |given: Option<(u64, u64)>| {
            given.map(|(zero, one)| {
                let zero =
                    if direct { zero % ((1 << 32) / bits.max(1) as u64) } else { zero % ((1 << 32) + 1) };
                let rest = (1u64 << 32).saturating_sub(zero * (bits as u64).saturating_sub(1));
                let one = if direct { rest } else { one % ((1 << 32) + 2) };
                let probability = |numerator| Probability::from_numerator(numerator).ok();
                Response::new(probability(zero)?, probability(one)?).ok()
            })
        };
        let (permanent, instantaneous) = (stage(self.permanent), stage(self.instantaneous));
        let hashes = if direct { 1 } else { hashes };
        Params::new(encoding, bits, hashes, cohorts, permanent.flatten(), instantaneous.flatten()).ok()
    }

    fn run(&self) {
        let Some(params) = self.params() else { return };
        let metric = MetricId::new("fuzz").expect("the name keeps the rules");
        let encoder = Encoder::new(metric, 1, params, &DeviceSecret::from_bytes(self.secret));
        let mut randomness = Randomness::from_seed(self.secret);
        let reports: Vec<Report> = self
            .values
            .iter()
            .filter_map(|answer| match answer.report(&encoder, &mut randomness) {
                Ok(report) => Some(report),
                Err(refusal) => {
                    assert!(!refusal.to_string().is_empty());
                    None
                }
            })
            .collect();
        assert!(reports.iter().all(|report| report.bits().len() == params.bits()));
        let count = reports.len();
        if let Ok(body) = write_batch(WriteKey::NONE, BatchId(randomness.draw_id()), &reports) {
            batch(&body);
            let read = Batch::parse(&body).expect("what was written can be read");
            assert_eq!(read.report_count(), count);
            let all_fit =
                read.sections().iter().flat_map(Section::reports).all(|(c, bits)| fits(&params, c, bits));
            assert!(all_fit, "a report of {params:?} does not fit them");
        }
    }
}

impl Input {
    fn report(&self, encoder: &Encoder, randomness: &mut Randomness) -> Result<Report, EncodeError> {
        let choices: Vec<usize>;
        // Every choice of the list, and one beyond it.
        let within = |choice: &u16| usize::from(*choice) % (encoder.params().bits() + 1);
        let value = match self {
            Self::Choice(choice) => Value::Choice(within(choice)),
            Self::Choices(given) => {
                choices = given.iter().map(within).collect();
                Value::Choices(&choices)
            }
            Self::Subset(set) => Value::Subset(*set),
            Self::Text(text) => Value::Text(text),
        };
        encoder.encode(value, Epoch(20_000), randomness)
    }
}

/// A question and what is answered to it, out of arbitrary bytes: it is refused, or there are parameters for it that keep
/// their budget, and every answer is refused or can be reported.
pub fn domain(data: &[u8]) {
    let mut input = Unstructured::new(data);
    if let Ok(question) = Question::arbitrary(&mut input) {
        question.run();
    }
}

#[derive(Arbitrary, Debug)]
struct Question {
    kind: Kind,
    epsilon_one: Number,
    epsilon_infinity: Option<Number>,
    answers: Vec<Given>,
}

#[derive(Arbitrary, Debug)]
enum Kind {
    Flag,
    Text,
    Labels { names: Vec<String>, counted: bool },
    Histogram { edges: Vec<Number> },
    Mean { low: Number, high: Number },
    Set { names: Vec<String> },
}

/// Any number at all, or one that people might give.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Number {
    Any(f64),
    Usual(i16),
}

impl Number {
    fn get(self) -> f64 {
        match self {
            Self::Any(number) => number,
            Self::Usual(number) => f64::from(number) / 2048.0,
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Given {
    Flag(bool),
    Number(Number),
    Text(String),
    Names(Vec<String>),
    /// Of the listed names, every one whose place is in the bits.
    Listed(u8),
}

impl Question {
    fn domain(&self) -> Option<Domain> {
        let domain = match &self.kind {
            Kind::Flag => Ok(Domain::flag()),
            Kind::Text => Ok(Domain::text()),
            Kind::Labels { names, counted } => {
                Domain::labels(names, if *counted { Other::Counted } else { Other::Refused })
            }
            Kind::Histogram { edges } => {
                Domain::histogram(edges.iter().map(|edge| edge.get()).collect::<Vec<_>>())
            }
            Kind::Mean { low, high } => Domain::mean(low.get(), high.get()),
            Kind::Set { names } => Domain::set(names),
        };
        domain.ok()
    }

    fn names(&self) -> &[String] {
        match &self.kind {
            Kind::Labels { names, .. } | Kind::Set { names } => names,
            _ => &[],
        }
    }

    fn run(&self) {
        let Some(domain) = self.domain() else { return };
        let (one, infinity) = (self.epsilon_one.get(), self.epsilon_infinity.map(Number::get));
        let Ok(params) = Params::for_epsilon(one, infinity, domain.answers()) else { return };
        assert!(params.epsilon_one().get() <= one);
        assert!(infinity.is_none_or(|infinity| params.epsilon_infinity().get() <= infinity));
        let metric = MetricId::new("fuzz").expect("the name keeps the rules");
        let encoder = Encoder::new(metric, 1, params, &DeviceSecret::from_bytes([7; 32]));
        let mut randomness = Randomness::from_seed([8; 32]);
        for given in &self.answers {
            let names: Vec<&str> = match given {
                Given::Listed(set) => {
                    let listed = self.names().iter().enumerate();
                    listed
                        .filter(|(i, _)| *i < 8 && set >> i & 1 == 1)
                        .map(|(_, name)| name.as_str())
                        .collect()
                }
                Given::Names(names) => names.iter().map(String::as_str).collect(),
                _ => Vec::new(),
            };
            let answer = match given {
                Given::Flag(yes) => Answer::Flag(*yes),
                Given::Number(number) => Answer::Number(number.get()),
                Given::Text(text) => Answer::Text(text),
                Given::Listed(_) if matches!(self.kind, Kind::Labels { .. }) => {
                    Answer::Text(names.first().copied().unwrap_or(""))
                }
                Given::Names(_) | Given::Listed(_) => Answer::Names(&names),
            };
            match domain.value(answer, encoder.rounding()) {
                Ok(value) => {
                    let report = encoder.encode(value, Epoch(1), &mut randomness);
                    assert!(report.is_ok(), "{report:?} for {self:?}");
                }
                Err(refusal) => assert!(!refusal.to_string().is_empty()),
            }
        }
    }
}
