//! Draws the units of a workload file: its nodes in order, each from an integer generator with a fixed seed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// A workload, as its file describes it.
#[derive(Deserialize)]
pub struct Workload {
    nodes: Vec<Node>,
    /// The population values that samples converge to, by id.
    #[serde(deserialize_with = "truths")]
    pub truth: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    given: Vec<String>,
    #[serde(default)]
    when: BTreeMap<String, Vec<Value>>,
    #[serde(default, rename = "override")]
    overrides: Vec<Override>,
    weights: Option<BTreeMap<String, u64>>,
    table: Option<BTreeMap<String, Value>>,
    ppm: Option<Value>,
    first: Option<u64>,
    stop_ppm: Option<u64>,
    median: Option<f64>,
    sigma: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    lo: Option<u64>,
    hi: Option<u64>,
    items: Option<u32>,
    exponent: Option<f64>,
    label: Option<String>,
}

#[derive(Deserialize)]
struct Override {
    r#if: BTreeMap<String, Vec<Value>>,
    ppm: u64,
}

fn truths<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Value>, D::Error> {
    #[derive(Deserialize)]
    struct Truth {
        id: String,
        value: Value,
    }
    let truths = Vec::<Truth>::deserialize(deserializer)?;
    Ok(truths.into_iter().map(|truth| (truth.id, truth.value)).collect())
}

/// What was drawn for one unit, by node.
pub type Unit = BTreeMap<String, Value>;

impl Workload {
    /// Reads a workload file.
    ///
    /// # Panics
    /// If the text is no workload.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).expect("a workload file")
    }

    /// Draws one unit. Nodes in `fixed` keep their value: arms are drawn by the device itself.
    pub fn draw(&self, rng: &mut Draws, fixed: &Unit) -> Unit {
        let mut unit = Unit::new();
        for node in &self.nodes {
            let value = match fixed.get(&node.id) {
                Some(value) => value.clone(),
                None if holds(&node.when, &unit) => node.draw(&unit, rng),
                None => Value::Null,
            };
            unit.insert(node.id.clone(), value);
        }
        unit
    }
}

/// Whether each named node has one of the listed values.
fn holds(conditions: &BTreeMap<String, Vec<Value>>, unit: &Unit) -> bool {
    conditions.iter().all(|(node, values)| unit.get(node).is_some_and(|value| values.contains(value)))
}

/// A value as it stands in the name of a row.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Node {
    fn row(&self, unit: &Unit) -> Option<&Value> {
        let table = self.table.as_ref()?;
        let parents: Vec<String> = self.given.iter().map(|parent| text(&unit[parent])).collect();
        let any_last = [&parents[..parents.len().saturating_sub(1)], &["*".to_owned()]].concat();
        table.get(&parents.join("|")).or_else(|| table.get(&any_last.join("|")))
    }

    fn draw(&self, unit: &Unit, rng: &mut Draws) -> Value {
        match self.kind.as_str() {
            "categorical" => match self.row(unit) {
                Some(row) => rng.category(&weights(row)),
                None => rng.category(self.weights.as_ref().expect("weights")),
            },
            "bernoulli" => {
                let base = self.row(unit).or(self.ppm.as_ref()).and_then(Value::as_u64).expect("ppm");
                let last = self.overrides.iter().rev().find(|other| holds(&other.r#if, unit));
                json!(rng.below(1_000_000) < last.map_or(base, |other| other.ppm))
            }
            "bernoulli_vector" => {
                let ppm: Vec<u64> = Vec::deserialize(self.ppm.as_ref().expect("ppm")).expect("numbers");
                json!(ppm.iter().map(|ppm| rng.below(1_000_000) < *ppm).collect::<Vec<_>>())
            }
            "geometric" => {
                let (first, stop) = (self.first.expect("first"), self.stop_ppm.expect("stop"));
                let most = self.max.expect("max") as u64;
                let failures =
                    std::iter::from_fn(|| (rng.below(1_000_000) >= stop).then_some(())).take(100).count();
                json!((first + failures as u64).min(most))
            }
            "lognormal" => {
                let row = self.row(unit);
                let of = |field: &str, own: Option<f64>| {
                    row.and_then(|row| row[field].as_f64()).or(own).expect("median and sigma")
                };
                let x = of("median", self.median) * (of("sigma", self.sigma) * rng.normal()).exp();
                json!(x.clamp(self.min.expect("min"), self.max.expect("max")))
            }
            "uniform_int" => {
                let (low, high) = (self.lo.expect("lo"), self.hi.expect("hi"));
                json!(low + rng.below(high - low + 1))
            }
            "zipf" => {
                let items = self.items.expect("items");
                let rank = rng.zipf(items, self.exponent.expect("exponent"));
                let (pattern, digits) =
                    (self.label.as_ref().expect("label"), if items < 1000 { 3 } else { 4 });
                json!(pattern.replace(&format!("{{rank:0{digits}}}"), &format!("{rank:0digits$}")))
            }
            "map" => self.row(unit).cloned().expect("a row for every parent"),
            "per_service_choice" => {
                let row = self.row(unit).expect("a row");
                let weights: Vec<u64> = Vec::deserialize(row).expect("numbers");
                let services = unit["services_used"].as_str().expect("services");
                let choices =
                    services.split('+').map(|service| (service.to_owned(), json!(rng.place(&weights))));
                Value::Object(choices.collect())
            }
            other => panic!("no node is of type {other:?}"),
        }
    }
}

fn weights(row: &Value) -> BTreeMap<String, u64> {
    BTreeMap::deserialize(row).expect("weights")
}

/// A seeded generator of integers (SplitMix64, Steele, Lea and Flood 2014) and what is drawn from them.
pub struct Draws(u64);

impl Draws {
    /// The generator of a unit.
    pub fn new(seed: u64, unit: u64) -> Self {
        let mut seeded = Self(seed);
        Self(seeded.next() ^ Self(unit).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`; the bias is below `limit`·2⁻⁶⁴.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// A number above 0 and below 1.
    fn uniform(&mut self) -> f64 {
        (self.below(1 << 52) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// A standard normal number (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// An exponential number of this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.uniform().ln()
    }

    fn place(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (place, weight) in weights.iter().enumerate() {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return place,
            }
        }
        unreachable!("the draw is below the sum")
    }

    fn category(&mut self, weights: &BTreeMap<String, u64>) -> Value {
        let values: Vec<u64> = weights.values().copied().collect();
        let place = self.place(&values);
        json!(weights.keys().nth(place).expect("a place of the list"))
    }

    /// A rank from 1, of weight rank to the power of minus `exponent`.
    fn zipf(&mut self, items: u32, exponent: f64) -> u32 {
        let weight = |rank: u32| f64::from(rank).powf(-exponent);
        let total: f64 = (1..=items).map(weight).sum();
        let mut left = self.uniform() * total;
        for rank in 1..items {
            left -= weight(rank);
            if left < 0.0 {
                return rank;
            }
        }
        items
    }
}
