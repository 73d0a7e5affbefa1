//! From a value to a report, and from reports to a batch.

use deniable::{BatchId, Entropy, Epoch, MetricId, Value, WriteKey};
use js_sys::Uint8Array;
use wasm_bindgen::JsValue;
use wasm_bindgen::convert::TryFromJsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::{Result, bad_argument};
use crate::input::{self, whole};
use crate::params::Params;
use crate::secrets::{Crypto, DeviceSecret, Randomness};

/// Makes the reports of one device for one version of one metric.
///
/// A report costs `epsilonOne` of privacy, and all reports of one value together at most `epsilonInfinity`.
#[wasm_bindgen]
pub struct Encoder(deniable::Encoder);

#[wasm_bindgen]
impl Encoder {
    /// Makes an encoder.
    ///
    /// # Errors
    /// A `DeniableError` with the code `bad-metric-name` or `bad-argument`.
    #[wasm_bindgen(constructor)]
    pub fn new(metric: &str, version: f64, params: &Params, secret: &DeviceSecret) -> Result<Encoder> {
        let (metric, version) = (MetricId::new(metric)?, whole("version", version)?);
        Ok(Self(deniable::Encoder::new(metric, version, params.0, &secret.0)))
    }

    /// The cohort of this device for this metric, from 0.
    #[wasm_bindgen(getter)]
    pub fn cohort(&self) -> u16 {
        self.0.cohort()
    }

    /// Encodes one of a list, by its place from 0. The epoch is the day on which the period began, counted from
    /// 1970-01-01 UTC.
    ///
    /// # Errors
    /// A `DeniableError` with the code `unknown-choice`, `wrong-kind` or `bad-argument`. No report is made then.
    #[wasm_bindgen(js_name = encodeChoice)]
    pub fn encode_choice(&self, choice: f64, epoch: f64, randomness: &mut Randomness) -> Result<Report> {
        let choice = whole("choice", choice)? as usize;
        self.encode(Value::Choice(choice), epoch, randomness)
    }

    /// Encodes some of a list, by their places from 0; perhaps none.
    ///
    /// # Errors
    /// As `encodeChoice`, and `too-many-choices`.
    #[wasm_bindgen(js_name = encodeChoices)]
    #[expect(clippy::needless_pass_by_value, reason = "JavaScript hands over a copy")]
    pub fn encode_choices(
        &self,
        choices: Vec<f64>,
        epoch: f64,
        randomness: &mut Randomness,
    ) -> Result<Report> {
        let choices = choices
            .iter()
            .map(|&choice| Ok(whole("choice", choice)? as usize))
            .collect::<Result<Vec<_>>>()?;
        self.encode(Value::Choices(&choices), epoch, randomness)
    }

    /// Encodes a text of 1 to 4096 bytes in UTF-8.
    ///
    /// # Errors
    /// A `DeniableError` with the code `text-length`, `wrong-kind` or `bad-argument`. No report is made then.
    #[wasm_bindgen(js_name = encodeText)]
    pub fn encode_text(&self, text: &str, epoch: f64, randomness: &mut Randomness) -> Result<Report> {
        self.encode(Value::Text(text), epoch, randomness)
    }
}

impl Encoder {
    fn encode(&self, value: Value<'_>, epoch: f64, randomness: &mut Randomness) -> Result<Report> {
        let epoch = Epoch(whole("epoch", epoch)?);
        Ok(Report(self.0.encode(value, epoch, &mut randomness.0)?))
    }
}

/// A randomized answer: all that leaves the device about a value. Only an `Encoder` makes one.
#[wasm_bindgen]
pub struct Report(deniable::Report);

#[wasm_bindgen]
impl Report {
    /// The metric that it answers.
    #[wasm_bindgen(getter)]
    pub fn metric(&self) -> String {
        self.0.stream().metric().as_str().into()
    }

    /// The version of the metric.
    #[wasm_bindgen(getter)]
    pub fn version(&self) -> u32 {
        self.0.stream().version()
    }

    /// The period that it belongs to.
    #[wasm_bindgen(getter)]
    pub fn epoch(&self) -> u32 {
        self.0.epoch().0
    }

    /// The cohort that it comes from.
    #[wasm_bindgen(getter)]
    pub fn cohort(&self) -> u16 {
        self.0.cohort()
    }

    /// Its bits, eight in a byte: bit i in place i mod 8 of byte ⌊i/8⌋.
    #[wasm_bindgen(getter, unchecked_return_type = "Uint8Array<ArrayBuffer>")]
    pub fn bits(&self) -> Vec<u8> {
        self.0.bits().domain().collect()
    }
}

/// Writes reports as one batch, the body of one request. To repeat a request send the same bytes again: the
/// collector counts a batch once.
///
/// The reports are taken over and cannot be used again, even where this fails. The write key is the text of 32
/// digits that the collector's operator gave; leave it out for a collector that asks for none. The id is 16 random
/// bytes, drawn from `crypto` unless given.
///
/// # Errors
/// A `DeniableError` with the code `empty-batch`, `batch-too-large` (over 1 MiB), `bad-key`, `bad-argument` or
/// `no-randomness`.
#[wasm_bindgen(js_name = writeBatch, unchecked_return_type = "Uint8Array<ArrayBuffer>")]
pub fn write_batch(
    #[wasm_bindgen(unchecked_param_type = "Report[]")] reports: Vec<JsValue>,
    key: Option<String>,
    id: Option<Uint8Array>,
) -> Result<Vec<u8>> {
    let spent = |_| bad_argument("a batch is made of reports, each of which goes into one batch");
    let reports = reports
        .into_iter()
        .map(|report| Ok(Report::try_from_js_value(report).map_err(spent)?.0))
        .collect::<Result<_>>()?;
    let key = key.map_or(Ok(WriteKey::NONE), |key| key.parse())?;
    let mut batch_id = [0; 16];
    match id {
        Some(id) => input::bytes("the id", &id, &mut batch_id)?,
        None => Crypto.fill(&mut batch_id)?,
    }
    Ok(deniable::write_batch(key, BatchId(batch_id), reports)?)
}
