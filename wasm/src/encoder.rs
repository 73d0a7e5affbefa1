//! The operations of the entry `deniable/encoder`.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use deniable::{
    BatchId, DeviceSecret, Encoder, Encoding, Entropy, EntropyError, Epoch, MetricId, Params, ParamsError,
    Randomness, Report, Response, Value, WriteKey,
};

use crate::refusal::Refuse;
use crate::wire::{Answer, Arguments};

/// What the page holds by its place.
enum Object {
    Free,
    Encoder(Box<Encoder>),
    Randomness(Box<Randomness>),
    Report(Report),
}

/// The objects of the page.
pub(crate) struct Objects {
    objects: Vec<Object>,
    free: Vec<usize>,
}

impl Objects {
    pub(crate) const fn new() -> Self {
        Self { objects: Vec::new(), free: Vec::new() }
    }

    /// Carries out an operation.
    pub(crate) fn call(&mut self, operation: u32, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
        match operation {
            0 => drop(self.take(from.size())),
            1 => check(from, to),
            2 => self.seed(from, to),
            3 => self.encoder(from, to),
            4 => self.encode(from, to),
            5 => self.bits(from, to),
            _ => self.batch(from, to),
        }
    }

    fn keep(&mut self, object: Object, to: &mut Answer<'_>) {
        let place = self.free.pop().unwrap_or(self.objects.len());
        if place == self.objects.len() {
            self.objects.push(object);
        } else {
            self.objects[place] = object;
        }
        to.whole(place as u32);
    }

    fn take(&mut self, place: usize) -> Object {
        self.free.push(place);
        mem::replace(&mut self.objects[place], Object::Free)
    }

    fn seed(&mut self, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
        let randomness = Randomness::from_entropy(&mut Drawn(from.key()));
        let randomness = randomness.expect("the page drew the seed already");
        self.keep(Object::Randomness(Box::new(randomness)), to);
    }

    fn encoder(&mut self, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
        let metric = match MetricId::new(from.text()) {
            Ok(metric) => metric,
            Err(error) => return error.refuse(to),
        };
        let (version, secret) = (from.whole(), DeviceSecret::from_bytes(from.key()));
        match params(from) {
            Ok(params) => {
                let encoder = Box::new(Encoder::new(metric, version, params, &secret));
                let cohort = encoder.cohort();
                self.keep(Object::Encoder(encoder), to);
                to.whole(cohort.into());
            }
            Err(error) => error.refuse(to),
        }
    }

    fn encode(&mut self, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
        let places = [from.size(), from.size()];
        let Ok([Object::Encoder(encoder), Object::Randomness(randomness)]) =
            self.objects.get_disjoint_mut(places)
        else {
            unreachable!("the page's classes hold these places")
        };
        let (epoch, kind) = (Epoch(from.whole()), from.whole());
        let report = match kind {
            0 => encoder.encode(Value::Choice(from.size()), epoch, randomness),
            1 => encoder.encode(Value::Choices(&from.list(Arguments::size)), epoch, randomness),
            _ => encoder.encode(Value::Text(from.text()), epoch, randomness),
        };
        match report {
            Ok(report) => self.keep(Object::Report(report), to),
            Err(error) => error.refuse(to),
        }
    }

    fn bits(&self, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
        let Object::Report(report) = &self.objects[from.size()] else {
            unreachable!("the page's classes hold this place")
        };
        to.bytes(report.bytes());
    }

    fn batch(&mut self, from: &mut Arguments<'_>, to: &mut Answer<'_>) {
        let key = from.text();
        let key = if key.is_empty() { Ok(WriteKey::NONE) } else { key.parse() };
        let id = BatchId(from.key());
        let reports = from.list(|from| match self.take(from.size()) {
            Object::Report(report) => report,
            _ => unreachable!("the page's classes hold this place"),
        });
        match key.and_then(|key| deniable::write_batch(key, id, &reports)) {
            Ok(batch) => to.bytes(&batch),
            Err(error) => error.refuse(to),
        }
    }
}

/// Random bytes that the page drew.
struct Drawn([u8; 32]);

impl Entropy for Drawn {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

/// Tells what parameters cost.
fn check(from: &mut Arguments<'_>, to: &mut Answer<'_>) {
    match params(from) {
        Ok(params) => {
            to.number(params.epsilon_one().get());
            to.number(params.epsilon_infinity().get());
            to.bytes(&params.fingerprint().0);
        }
        Err(error) => error.refuse(to),
    }
}

/// Reads parameters: the encoding, or 3 for the classic ones; k, h and m; then the permanent and the instantaneous stage, each
/// as 0, or as 1 and its probabilities, or f, p and q.
fn params(from: &mut Arguments<'_>) -> Result<Params, ParamsError> {
    let kind = from.whole();
    let [bits, hashes, cohorts] = [from.size(), from.size(), from.size()];
    let encoding = match kind {
        0 => Encoding::Direct,
        1 => Encoding::Unary,
        2 => Encoding::Bloom,
        _ => return Params::rappor(bits, hashes, cohorts, from.number(), from.number(), from.number()),
    };
    Params::new(encoding, bits, hashes, cohorts, stage(from)?, stage(from)?)
}

fn stage(from: &mut Arguments<'_>) -> Result<Option<Response>, ParamsError> {
    if from.whole() == 0 {
        return Ok(None);
    }
    Response::nearest(from.number(), from.number()).map(Some)
}
