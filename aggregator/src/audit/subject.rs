//! What is audited, and the encoder that ships.

use deniable::{
    DeviceSecret, EncodeError, Encoder, Entropy, EntropyError, Epoch, MetricId, Params, Randomness, Value,
};

/// What a stranger sees of one report.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observed {
    /// The cohort it says.
    pub cohort: u16,
    /// Its bits, bit i in place i mod 8 of byte ⌊i/8⌋.
    pub bits: Vec<u8>,
}

impl Observed {
    /// Says whether bit `index` is set.
    pub(super) fn bit(&self, index: usize) -> bool {
        self.bits[index / 8] >> (index % 8) & 1 == 1
    }
}

/// A mechanism to audit: devices that report values.
pub trait Subject: Sync {
    /// A device while its program runs.
    type Device;

    /// Starts the program of the device that holds `secret`, with coins from `entropy`. A device that starts again has
    /// the same secret and other coins.
    ///
    /// # Errors
    /// [`EntropyError`] if it cannot start without better coins.
    fn start(&self, secret: DeviceSecret, entropy: &mut impl Entropy) -> Result<Self::Device, EntropyError>;

    /// The cohort that the device hashes with.
    fn cohort(&self, device: &Self::Device) -> u16;

    /// Reports `value`.
    ///
    /// # Errors
    /// [`EncodeError`] if the value does not fit the parameters.
    fn report(&self, device: &mut Self::Device, value: Value<'_>) -> Result<Observed, EncodeError>;
}

/// The encoder of [`deniable`], as devices run it.
#[derive(Clone, Debug)]
pub struct Shipped {
    metric: MetricId,
    version: u32,
    params: Params,
}

impl Shipped {
    /// The encoder of a metric version with these parameters.
    pub fn new(metric: MetricId, version: u32, params: Params) -> Self {
        Self { metric, version, params }
    }
}

impl Subject for Shipped {
    type Device = (Encoder, Randomness);

    fn start(&self, secret: DeviceSecret, entropy: &mut impl Entropy) -> Result<Self::Device, EntropyError> {
        let encoder = Encoder::new(self.metric.clone(), self.version, self.params, &secret);
        Ok((encoder, Randomness::from_entropy(entropy)?))
    }

    fn cohort(&self, (encoder, _): &Self::Device) -> u16 {
        encoder.cohort()
    }

    fn report(
        &self,
        (encoder, randomness): &mut Self::Device,
        value: Value<'_>,
    ) -> Result<Observed, EncodeError> {
        let report = encoder.encode(value, Epoch(0), randomness)?;
        Ok(Observed { cohort: report.cohort(), bits: report.bits().domain().collect() })
    }
}
