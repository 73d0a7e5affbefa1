//! Parameters of a report.

use deniable::Encoding;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::{Result, bad_argument};
use crate::input::Fields;

/// The objects that parameters are made from.
#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** How a value becomes bits: one of a few (`direct`), one or some of a list (`unary`), or an open text (`bloom`). */
export type Encoding = "direct" | "unary" | "bloom";

/** A response stage: how probable a reported 1 is where the bit is 0 and where it is 1. `zero` is below `one`. */
export interface ResponseStage {
  zero: number;
  one: number;
}

/** Parameters in full. At least one stage must be given. */
export interface ParamsInit {
  encoding: Encoding;
  /** The bits of a report (k), 1 to 4096: the number of choices, or the width of the Bloom filter. */
  bits: number;
  /** The hash functions of the Bloom filter, or the most choices in a set (h), 1 to 16. Without it, 1. */
  hashes?: number;
  /** The cohorts that devices are spread over (m), 1 to 65536. Without it, 1. */
  cohorts?: number;
  /** The stage whose answer a device keeps for ever. */
  permanent?: ResponseStage;
  /** The stage that is drawn anew for each report. */
  instantaneous?: ResponseStage;
}

/** The classic parameters of RAPPOR (Erlingsson, Pihur, Korolova 2014). */
export interface RapporInit {
  /** The width of the Bloom filter (k), 1 to 4096. */
  bits: number;
  /** Its hash functions (h), 1 to 16. */
  hashes: number;
  /** The cohorts (m), 1 to 65536. */
  cohorts: number;
  /** The share of bits that the permanent response replaces by coin flips. */
  f: number;
  /** How probable a reported 1 is where the permanent response is 0. */
  p: number;
  /** How probable a reported 1 is where the permanent response is 1. */
  q: number;
}
"#;

/// The shape of a report and the stages that randomize it, with their privacy loss.
///
/// A collector counts a report only if both sides have equal parameters, to the bit.
#[wasm_bindgen]
pub struct Params(pub(crate) deniable::Params);

#[wasm_bindgen]
impl Params {
    /// Makes parameters from all their parts.
    ///
    /// # Errors
    /// A `DeniableError` for a value out of range, for stages that tell nothing, and for stages that protect nothing.
    #[wasm_bindgen(constructor)]
    pub fn new(#[wasm_bindgen(unchecked_param_type = "ParamsInit")] init: &JsValue) -> Result<Params> {
        let fields =
            Fields::new(init, &["encoding", "bits", "hashes", "cohorts", "permanent", "instantaneous"])?;
        Ok(Self(deniable::Params::new(
            encoding(&fields)?,
            fields.whole("bits")?,
            fields.whole_or_one("hashes")?,
            fields.whole_or_one("cohorts")?,
            fields.stage("permanent")?,
            fields.stage("instantaneous")?,
        )?))
    }

    /// Makes the classic parameters of RAPPOR. Open texts go into a Bloom filter; with 1 bit it is a yes or no.
    ///
    /// # Errors
    /// As the constructor.
    pub fn rappor(#[wasm_bindgen(unchecked_param_type = "RapporInit")] init: &JsValue) -> Result<Params> {
        let fields = Fields::new(init, &["bits", "hashes", "cohorts", "f", "p", "q"])?;
        Ok(Self(deniable::Params::rappor(
            fields.whole("bits")?,
            fields.whole("hashes")?,
            fields.whole("cohorts")?,
            fields.number("f")?,
            fields.number("p")?,
            fields.number("q")?,
        )?))
    }

    /// ε₁, the privacy loss of one report, in nats and rounded up.
    #[wasm_bindgen(getter, js_name = epsilonOne)]
    pub fn epsilon_one(&self) -> f64 {
        self.0.epsilon_one().get()
    }

    /// ε∞, the privacy loss of all reports of one value, for ever; `Infinity` without a permanent stage.
    #[wasm_bindgen(getter, js_name = epsilonInfinity)]
    pub fn epsilon_infinity(&self) -> f64 {
        self.0.epsilon_infinity().get()
    }

    /// A short name for these parameters, 16 hexadecimal digits. Reports carry it.
    #[wasm_bindgen(getter)]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint().to_string()
    }
}

fn encoding(fields: &Fields<'_>) -> Result<Encoding> {
    match fields.get("encoding").and_then(|field| field.as_string()).as_deref() {
        Some("direct") => Ok(Encoding::Direct),
        Some("unary") => Ok(Encoding::Unary),
        Some("bloom") => Ok(Encoding::Bloom),
        _ => Err(bad_argument("encoding must be \"direct\", \"unary\" or \"bloom\"")),
    }
}
