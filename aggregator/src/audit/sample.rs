//! Trials: fresh devices that report one of two values.

use std::ops::Range;

use deniable::{DeviceSecret, Entropy, EntropyError, Params};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;

use super::event::View;
use super::pair::{Input, Pair};
use super::subject::{Observed, Subject};
use super::{AuditError, Loss};

/// Runs of the program in a device's lifetime. What a device should keep is kept from run to run.
const RUNS: usize = 8;
/// The most reports of a lifetime, where the instantaneous stage hides nearly everything.
const MOST_REPORTS: usize = 2048;

/// Parts that the trials of a sample are split into, to be shared by all cores and told to the progress.
const CHUNKS: usize = 64;

/// The trials of one pair of values for one loss.
pub(super) struct Trials<'a, S> {
    subject: &'a S,
    params: &'a Params,
    loss: Loss,
    inputs: &'a [Input; 2],
    view: View,
    seed: u64,
    number: usize,
}

impl<'a, S: Subject> Trials<'a, S> {
    /// `number` sets the pair apart from others under one `seed`.
    pub(super) fn new(
        subject: &'a S,
        params: &'a Params,
        loss: Loss,
        pair: &'a Pair,
        seed: u64,
        number: usize,
    ) -> Self {
        let view = View::new(params, pair);
        Self { subject, params, loss, inputs: pair.inputs(), view, seed, number }
    }

    /// How observations of this pair are looked at.
    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// Runs the trials in `range` of the first value (`side` 0) or the second.
    pub(super) fn draw(
        &self,
        side: usize,
        range: Range<usize>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Observed>, AuditError> {
        let trials: Vec<usize> = range.collect();
        let chunks: Result<Vec<_>, _> = trials
            .par_chunks(trials.len().div_ceil(CHUNKS))
            .map(|chunk| {
                let seen: Result<Vec<_>, _> = chunk.iter().map(|&trial| self.observe(side, trial)).collect();
                progress(chunk.len() as u64);
                seen
            })
            .collect();
        Ok(chunks?.into_iter().flatten().collect())
    }

    fn observe(&self, side: usize, trial: usize) -> Result<Observed, AuditError> {
        let mut source = self.source(side, trial);
        let mut secret = [0; 32];
        source.fill(&mut secret)?;
        match self.loss {
            Loss::One => {
                let mut device = self.subject.start(DeviceSecret::from_bytes(secret), &mut source)?;
                let value = self.inputs[side].value(self.subject.cohort(&device));
                Ok(self.subject.report(&mut device, value)?)
            }
            Loss::Infinity => self.live(side, secret, &mut source),
        }
    }

    /// A whole lifetime: which bits are set in more reports than their permanent bit would explain if it were 0.
    fn live(&self, side: usize, secret: [u8; 32], source: &mut Source) -> Result<Observed, AuditError> {
        let (reports, threshold) = lifetime(self.params);
        let mut ones = vec![0u32; self.params.bits()];
        let mut cohort = 0;
        for _ in 0..RUNS {
            let mut device = self.subject.start(DeviceSecret::from_bytes(secret), source)?;
            let value = self.inputs[side].value(self.subject.cohort(&device));
            for _ in 0..reports / RUNS {
                let seen = self.subject.report(&mut device, value)?;
                cohort = seen.cohort;
                for (index, ones) in ones.iter_mut().enumerate() {
                    *ones += u32::from(seen.bit(index));
                }
            }
        }
        let mut bits = vec![0; ones.len().div_ceil(8)];
        for (index, ones) in ones.into_iter().enumerate() {
            bits[index / 8] |= u8::from(f64::from(ones) > threshold * reports as f64) << (index % 8);
        }
        Ok(Observed { cohort, bits })
    }

    /// The coins of one trial, apart from those of every other.
    fn source(&self, side: usize, trial: usize) -> Source {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        let part = (self.number * 2 + side) * 2 + usize::from(self.loss == Loss::Infinity);
        generator.set_stream((part as u64) << 32 | trial as u64);
        Source(generator)
    }
}

/// The reports of a lifetime, a multiple of the runs, and the share of ones above which a permanent bit is taken for 1.
/// So many that the share of ones of either kind of bit is four standard deviations from that threshold.
fn lifetime(params: &Params) -> (usize, f64) {
    let (p, q) = params.instantaneous().map_or((0.0, 1.0), |s| (s.zero().as_f64(), s.one().as_f64()));
    let variance = (p * (1.0 - p)).max(q * (1.0 - q));
    let reports = (64.0 * variance / (q - p).powi(2)).min(MOST_REPORTS as f64) as usize;
    (reports.max(1).next_multiple_of(RUNS), (p + q) / 2.0)
}

/// Coins with a seed, so that an audit can be repeated.
struct Source(ChaCha8Rng);

impl Entropy for Source {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.0.fill_bytes(out);
        Ok(())
    }
}
