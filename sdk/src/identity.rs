//! The device secret, and what is derived from it: the cohort, the threshold of a mean, the key of the permanent
//! response, draws that are no answers, the group of metrics that the device answers, and names for the ledger.
//!
//! The secret never leaves the device and no report depends on it but through a pseudo-random function. Each use
//! has its own label, and every field has a fixed length or a length before it, so no two uses share an input.
//!
//! # Inputs
//! HMAC-SHA256 under the secret of `deniable v1`, a label byte, and then
//!
//! | label | for | fields |
//! |---|---|---|
//! | 1 | the cohort | metric with its length before it in a byte, version, fingerprint, 0 |
//! | 2 | the key of the permanent response | the same, with the cohort for 0 |
//! | 3 | the threshold of a mean | as for the cohort |
//! | 4 | a draw | name with its length before it in 8 bytes, instance |
//! | 5 | the group of metrics | none: one draw for life |
//! | 6 | the key of the names of signals | as for the permanent response; under that key the signal alone |
//!
//! Numbers are big-endian. What is wanted is in the first bytes of the output.

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::binary::{Binary, Reader, Writer};
use crate::domain::Rounding;
use crate::entropy::{Entropy, EntropyError};
use crate::metric::Stream;

/// HMAC-SHA256 with its key absorbed.
pub(crate) type Prf = Hmac<Sha256>;

const COHORT: u8 = 1;
const PERMANENT: u8 = 2;
const ROUNDING: u8 = 3;
const DRAW: u8 = 4;
const GROUP: u8 = 5;
const PATTERN: u8 = 6;

/// 256 secret bits that a device draws once and keeps.
///
/// Permanent responses are derived from it, so a device that loses it answers every question anew, and pays
/// for it anew. It is wiped from memory when dropped, compared in constant time and never printed.
#[derive(Clone, ZeroizeOnDrop)]
pub struct DeviceSecret([u8; 32]);

impl Binary for DeviceSecret {
    fn write(&self, to: &mut Writer<'_>) {
        self.0.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        Self(Binary::read(from))
    }
}

impl DeviceSecret {
    /// Draws a new secret.
    ///
    /// # Errors
    /// Those of `entropy`.
    pub fn draw(entropy: &mut impl Entropy) -> Result<Self, EntropyError> {
        let mut secret = Self([0; 32]);
        entropy.fill(&mut secret.0)?;
        Ok(secret)
    }

    /// Takes up a secret that was stored.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store, wiped from memory when dropped. Keep them where only this program reads.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0)
    }

    /// The cohort of this device for one metric version, from 0 to `cohorts` − 1.
    ///
    /// Metrics do not share it, so it does not link the reports of one device. It is uniform but for a bias
    /// below `cohorts`·2⁻⁶⁴.
    pub(crate) fn cohort(&self, stream: &Stream, cohorts: usize) -> u16 {
        let draw = Zeroizing::new(self.derive(COHORT, stream, 0));
        let (head, _) = draw.split_at(8);
        let draw = u64::from_be_bytes(head.try_into().expect("8 of 32 bytes"));
        place(draw, cohorts as u64) as u16
    }

    /// Where this device rounds the numbers of a mean.
    pub(crate) fn rounding(&self, stream: &Stream) -> Rounding {
        let draw = Zeroizing::new(self.derive(ROUNDING, stream, 0));
        Rounding::new(u32::from_be_bytes(core::array::from_fn(|i| draw[i])))
    }

    /// The function that gives the coins of the permanent response for a signal.
    pub(crate) fn permanent(&self, stream: &Stream, cohort: u16) -> PermanentCoins {
        let key = Zeroizing::new(self.derive(PERMANENT, stream, cohort));
        PermanentCoins(keyed(&key))
    }

    /// A number that this device draws once for a name and an instance of it, for choices that are no answers: an arm of
    /// an experiment, a position of a way.
    pub(crate) fn draw_for(&self, name: &[u8], instance: u64) -> u64 {
        let mut prf = self.labelled(DRAW);
        prf.update(&(name.len() as u64).to_be_bytes());
        prf.update(name);
        prf.update(&instance.to_be_bytes());
        number(prf)
    }

    /// A name for a signal that says nothing of it to who has not the secret: by it the ledger knows a signal again.
    pub(crate) fn pattern(&self, stream: &Stream, cohort: u16, signal: &[u8]) -> u64 {
        let key = Zeroizing::new(self.derive(PATTERN, stream, cohort));
        let mut prf = keyed(&key);
        prf.update(signal);
        number(prf)
    }

    /// The group of metrics that this device answers, from 0 to `groups` − 1: the place of one draw for life among them.
    ///
    /// It is uniform but for a bias below `groups`·2⁻⁶⁴, and depends on nothing but the secret and the number of groups.
    pub(crate) fn group(&self, groups: usize) -> usize {
        place(number(self.labelled(GROUP)), groups as u64) as usize
    }

    /// The function under the secret, with the label of a use absorbed.
    fn labelled(&self, label: u8) -> Prf {
        let mut prf = keyed(&self.0);
        prf.update(b"deniable v1");
        prf.update(&[label]);
        prf
    }

    fn derive(&self, label: u8, stream: &Stream, cohort: u16) -> [u8; 32] {
        let metric = stream.metric().as_str().as_bytes();
        let mut prf = self.labelled(label);
        prf.update(&[metric.len() as u8]);
        prf.update(metric);
        prf.update(&stream.version().to_be_bytes());
        // Other parameters, other coins: one u compared with two thresholds could tell an input for certain.
        prf.update(&stream.fingerprint().0);
        prf.update(&cohort.to_be_bytes());
        prf.finalize().into_bytes().into()
    }
}

/// The coins of a device's permanent responses to one metric version: a function of the signal alone, so that
/// two values with one signal get one answer and nothing needs to be stored.
#[derive(Clone)]
pub(crate) struct PermanentCoins(Prf);

impl PermanentCoins {
    /// The coins for a signal, given as the bytes of its bits.
    pub(crate) fn for_signal(&self, signal: &[u8]) -> ChaCha8Rng {
        let mut prf = self.0.clone();
        prf.update(signal);
        let seed: Zeroizing<[u8; 32]> = Zeroizing::new(prf.finalize().into_bytes().into());
        ChaCha8Rng::from_seed(*seed)
    }
}

/// The place of a draw among so many, from 0: which n-th of all 64-bit numbers it lies in.
pub(crate) fn place(draw: u64, places: u64) -> u64 {
    ((u128::from(draw) * u128::from(places)) >> 64) as u64
}

/// The number in the first bytes of an output.
fn number(prf: Prf) -> u64 {
    let output = prf.finalize().into_bytes();
    u64::from_be_bytes(core::array::from_fn(|i| output[i]))
}

fn keyed(key: &[u8; 32]) -> Prf {
    Prf::new_from_slice(key).expect("HMAC takes a key of any length")
}

impl fmt::Debug for DeviceSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceSecret(..)")
    }
}

impl PartialEq for DeviceSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for DeviceSecret {}

#[cfg(test)]
mod tests {
    use std::format;

    use rand::Rng;

    use super::*;
    use crate::{Answer, Domain, MetricId, Params, Value};

    fn stream(name: &str, version: u32) -> Stream {
        let params = Params::rappor(16, 2, 64, 0.5, 0.25, 0.75).unwrap();
        Stream::new(MetricId::new(name).unwrap(), version, &params)
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", DeviceSecret::from_bytes([0xAB; 32])), "DeviceSecret(..)");
    }

    #[test]
    fn secrets_are_equal_only_if_every_byte_is() {
        let secret = DeviceSecret::from_bytes([1; 32]);
        let mut bytes = *secret.to_bytes();
        assert_eq!(secret, DeviceSecret::from_bytes(bytes));
        bytes[31] ^= 1;
        assert_ne!(secret, DeviceSecret::from_bytes(bytes));
    }

    /// Parameters changed under an old version must not meet old coins: where a bit is 1 the stages (a, 1/2) and
    /// (a', 1/2) would then always agree, and each disagreement would prove a 0.
    #[test]
    fn parameters_of_one_version_do_not_share_coins() {
        let coins = |f| {
            let params = Params::rappor(16, 2, 64, f, 0.25, 0.75).unwrap();
            let stream = Stream::new(MetricId::new("a").unwrap(), 1, &params);
            DeviceSecret::from_bytes([7; 32]).permanent(&stream, 3).for_signal(&[1, 0])
        };
        assert_eq!(coins(0.5).next_u64(), coins(0.5).next_u64());
        assert_ne!(coins(0.5).next_u64(), coins(0.25).next_u64());
    }

    /// χ² of 64 cells over 64,000 devices; the 1 − 10⁻⁶ quantile with 63 degrees of freedom is 127.
    #[test]
    fn cohorts_are_uniform_and_differ_between_metrics_and_versions() {
        let mut counts = [0u32; 64];
        let mut same = [0u32; 2];
        for i in 0..64_000u32 {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&i.to_be_bytes());
            let secret = DeviceSecret::from_bytes(bytes);
            let cohort = secret.cohort(&stream("a", 1), 64);
            counts[usize::from(cohort)] += 1;
            same[0] += u32::from(cohort == secret.cohort(&stream("b", 1), 64));
            same[1] += u32::from(cohort == secret.cohort(&stream("a", 2), 64));
        }
        let chi2: f64 = counts.iter().map(|&c| (f64::from(c) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi2 < 127.0, "χ² = {chi2}");
        // One in 64 agrees by chance: 1000 ± 5·31.4.
        assert!(same.iter().all(|&n| (843..1157).contains(&n)), "{same:?}");
    }

    /// The mean answer of n devices whose number lies three tenths of the way is 0.3 ± 5·√(0.3·0.7/n); a number at 0.31
    /// is further off than that.
    #[test]
    fn thresholds_are_uniform_over_devices_and_stay() {
        let range = Domain::mean(0.0, 1.0).unwrap();
        let stream = stream("a", 1);
        let n = 60_000u32;
        let answer = |device: u32, number| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&device.to_be_bytes());
            let rounding = DeviceSecret::from_bytes(bytes).rounding(&stream);
            range.value(Answer::Number(number), rounding) == Ok(Value::Choice(1))
        };
        let share = |number| (0..n).filter(|&device| answer(device, number)).count() as f64 / f64::from(n);
        let tolerance = 5.0 * (0.3f64 * 0.7 / f64::from(n)).sqrt();
        assert!((share(0.3) - 0.3).abs() < tolerance);
        assert!((share(0.31) - 0.3).abs() > tolerance);
        assert!((0..100).all(|device| answer(device, 0.5) == answer(device, 0.5)));
    }

    fn device(i: u32) -> DeviceSecret {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&i.to_be_bytes());
        DeviceSecret::from_bytes(bytes)
    }

    /// The groups of a secret never change; a change here moves devices to other metrics and is a break. The numbers are
    /// those of Python's `hmac`.
    #[test]
    fn groups_are_stable() {
        let secret = DeviceSecret::from_bytes([7; 32]);
        let groups = [1, 2, 3, 8, 1000, 1_000_000].map(|groups| secret.group(groups));
        assert_eq!(groups, [0, 0, 0, 1, 130, 130955]);
    }

    /// χ² of 7 groups over 70,000 devices; the 1 − 10⁻⁶ quantile with 6 degrees of freedom is 38.3. The twin takes
    /// the rest of one of 16, which gives the first two groups 3 in 16 and the others 2.
    #[test]
    fn groups_are_uniform_and_a_biased_draw_is_noticed() {
        let chi2 = |group: &dyn Fn(u32) -> usize| {
            let mut counts = [0u32; 7];
            (0..70_000).for_each(|i| counts[group(i)] += 1);
            counts.iter().map(|&c| (f64::from(c) - 10_000.0).powi(2) / 10_000.0).sum::<f64>()
        };
        let uniform = chi2(&|i| device(i).group(7));
        assert!(uniform < 38.3, "χ² = {uniform}");
        let biased = chi2(&|i| device(i).group(16) % 7);
        assert!(biased > 38.3, "χ² = {biased}");
    }

    /// χ² of 4 groups by 16 cohorts over 64,000 devices; the 1 − 10⁻⁶ quantile with 63 degrees of freedom is 127. The twin
    /// takes the group from the cohort's own draw.
    #[test]
    fn groups_say_nothing_of_cohorts() {
        let stream = stream("a", 1);
        let chi2 = |group: &dyn Fn(&DeviceSecret) -> usize| {
            let mut counts = [0u32; 64];
            for secret in (0..64_000).map(device) {
                counts[group(&secret) * 16 + usize::from(secret.cohort(&stream, 16))] += 1;
            }
            counts.iter().map(|&c| (f64::from(c) - 1000.0).powi(2) / 1000.0).sum::<f64>()
        };
        let independent = chi2(&|secret| secret.group(4));
        assert!(independent < 127.0, "χ² = {independent}");
        let linked = chi2(&|secret| usize::from(secret.cohort(&stream, 4)));
        assert!(linked > 127.0, "χ² = {linked}");
    }
}
