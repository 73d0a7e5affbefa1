//! From reports to counts at memory speed.
//!
//! Adding 1 to a counter for each set bit of each report costs an operation per bit. Here a word holds one
//! binary digit of 64 counters at once: fifteen reports of a cohort are added by a tree of carry-save adders
//! to four such digits (the positional population count of Klarqvist, Muła and Lemire 2021), these are added
//! to sixteen digits, and only when those are full, after 65,535 reports, are the counters themselves touched.

use deniable::{Params, fits};
use rayon::prelude::*;
use thiserror::Error;

use super::Counts;

/// Reports that are added at once.
const BLOCK: usize = 15;
/// Binary digits kept per bit.
const DIGITS: usize = 16;
/// Blocks after which the digits are full.
const FULL: usize = ((1 << DIGITS) - 1) / BLOCK;

/// The sums of a growing set of reports.
///
/// ```
/// use deniable::Params;
/// use deniable_aggregator::decode::Sums;
/// let params = Params::rappor(16, 2, 4, 0.5, 0.25, 0.75)?;
/// let mut sums = Sums::new(&params);
/// sums.add(3, &[0b0000_0001, 0b1000_0000])?;
/// assert_eq!(sums.into_counts().ones(3), [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sums {
    params: Params,
    cohorts: Vec<Cohort>,
}

/// The reports of one cohort; empty vectors until the first.
#[derive(Clone, Debug, Default)]
struct Cohort {
    reports: u64,
    /// Up to [`BLOCK`] reports that wait to be added, word by word: word w of report i at `w · BLOCK + i`.
    waiting: Vec<u64>,
    waits: usize,
    /// The digits of word w at `w · DIGITS`, lowest first.
    digits: Vec<u64>,
    /// Blocks added to the digits.
    blocks: usize,
    ones: Vec<u64>,
}

impl Sums {
    /// Sums of no reports, for reports of these parameters.
    pub fn new(params: &Params) -> Self {
        Self { params: *params, cohorts: vec![Cohort::default(); params.cohorts()] }
    }

    /// Sums reports that lie one after the other: `bits` holds ⌈k/8⌉ bytes for each of `cohorts`. Uses every core.
    ///
    /// # Errors
    /// [`SumsError::Length`] if the two do not fit, or as [`Sums::add`] for the first wrong report found.
    pub fn of(params: &Params, cohorts: &[u16], bits: &[u8]) -> Result<Self, SumsError> {
        let size = params.bits().div_ceil(8);
        if bits.len() != cohorts.len() * size {
            return Err(SumsError::Length { reports: cohorts.len(), found: bits.len(), size });
        }
        let share = cohorts.len().div_ceil(rayon::current_num_threads()).max(1);
        let part = |(cohorts, bits): (&[u16], &[u8])| {
            let mut sums = Self::new(params);
            cohorts
                .iter()
                .zip(bits.chunks_exact(size))
                .try_for_each(|(&cohort, bits)| sums.add(cohort, bits))?;
            Ok(sums)
        };
        let parts = cohorts.par_chunks(share).zip(bits.par_chunks(share * size)).map(part);
        parts.try_reduce(|| Self::new(params), |a, b| Ok(a.merged(b)))
    }

    /// Adds one report: its cohort and its ⌈k/8⌉ bytes, bit j of the report being bit j mod 8 of byte ⌊j/8⌋.
    ///
    /// # Errors
    /// [`SumsError::Report`] if the cohort is not below m, the length is another, a bit beyond k is set, or a direct
    /// report has not exactly one bit set. The sums stay as they were.
    pub fn add(&mut self, cohort: u16, bits: &[u8]) -> Result<(), SumsError> {
        self.cohort(cohort, bits)?.add(bits);
        Ok(())
    }

    /// Adds `times` reports that are alike, as [`Sums::add`] does one.
    ///
    /// # Errors
    /// As [`Sums::add`].
    pub fn add_alike(&mut self, cohort: u16, bits: &[u8], times: u64) -> Result<(), SumsError> {
        let sums = self.cohort(cohort, bits)?;
        match times {
            0 => {}
            1 => sums.add(bits),
            times => sums.add_alike(bits, times),
        }
        Ok(())
    }

    /// Adds reports of one cohort, as [`Sums::add`] does one.
    ///
    /// # Errors
    /// As [`Sums::add`]; the reports before the wrong one are added.
    pub fn add_each<'a>(
        &mut self,
        cohort: u16,
        reports: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), SumsError> {
        let mut reports = reports.into_iter();
        let Some(first) = reports.next() else { return Ok(()) };
        let params = self.params;
        let sums = self.cohort(cohort, first)?;
        sums.add(first);
        // The cohort is found, and its room made, once for all.
        reports.try_for_each(|bits| {
            if !fits(&params, cohort, bits) {
                return Err(unfit(&params, cohort, bits));
            }
            sums.add(bits);
            Ok(())
        })
    }

    /// The sums that a report belongs to.
    fn cohort(&mut self, cohort: u16, bits: &[u8]) -> Result<&mut Cohort, SumsError> {
        if !fits(&self.params, cohort, bits) {
            return Err(unfit(&self.params, cohort, bits));
        }
        Ok(&mut self.cohorts[usize::from(cohort)])
    }

    /// These sums and the others'.
    ///
    /// # Panics
    /// If the others are of other parameters.
    #[must_use]
    pub fn merged(mut self, other: Self) -> Self {
        assert_eq!(self.params, other.params, "sums of the same parameters");
        self.cohorts.iter_mut().zip(other.cohorts).for_each(|(cohort, other)| cohort.merge(other));
        self
    }

    /// The counts of all reports added.
    pub fn into_counts(self) -> Counts {
        let bits = self.params.bits();
        let (mut reports, mut ones) = (Vec::new(), Vec::with_capacity(bits * self.cohorts.len()));
        for mut cohort in self.cohorts {
            cohort.settle();
            reports.push(cohort.reports);
            cohort.ones.resize(bits, 0);
            ones.append(&mut cohort.ones);
        }
        Counts::new(bits, reports, ones).expect("a bit is counted once per report at most")
    }
}

fn unfit(params: &Params, cohort: u16, bits: &[u8]) -> SumsError {
    SumsError::Report { cohort, bytes: bits.len(), cohorts: params.cohorts(), bits: params.bits() }
}

impl Cohort {
    /// Makes room for the first report.
    fn prepare(&mut self, bits: &[u8]) {
        if self.waiting.is_empty() {
            let words = bits.len().div_ceil(8);
            self.waiting = vec![0; words * BLOCK];
            self.digits = vec![0; words * DIGITS];
            self.ones = vec![0; words * 64];
        }
    }

    /// Adds to the counters themselves.
    fn add_alike(&mut self, bits: &[u8], times: u64) {
        self.prepare(bits);
        for (byte, ones) in bits.iter().zip(self.ones.chunks_mut(8)) {
            ones.iter_mut().enumerate().for_each(|(bit, count)| *count += u64::from(byte >> bit & 1) * times);
        }
        self.reports += times;
    }

    fn add(&mut self, bits: &[u8]) {
        self.prepare(bits);
        let (words, rest) = bits.as_chunks::<8>();
        let mut slots = self.waiting.iter_mut().skip(self.waits).step_by(BLOCK);
        for (word, slot) in words.iter().zip(slots.by_ref()) {
            *slot = u64::from_le_bytes(*word);
        }
        if let (Some(slot), false) = (slots.next(), rest.is_empty()) {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            *slot = u64::from_le_bytes(last);
        }
        self.reports += 1;
        self.waits += 1;
        if self.waits == BLOCK {
            self.add_block();
        }
    }

    /// Adds the waiting reports to the digits.
    fn add_block(&mut self) {
        for (words, digits) in self.waiting.as_chunks::<BLOCK>().0.iter().zip(self.digits.as_chunks_mut().0) {
            add_number(digits, count(words));
        }
        self.waiting.fill(0);
        self.waits = 0;
        self.blocks += 1;
        if self.blocks == FULL {
            self.spill();
        }
    }

    /// Adds the digits to the counters.
    fn spill(&mut self) {
        for (digits, ones) in self.digits.as_chunks_mut::<DIGITS>().0.iter_mut().zip(self.ones.chunks_mut(64))
        {
            for (place, digit) in digits.iter().enumerate() {
                for (bit, count) in ones.iter_mut().enumerate() {
                    *count += ((digit >> bit) & 1) << place;
                }
            }
            digits.fill(0);
        }
        self.blocks = 0;
    }

    fn settle(&mut self) {
        self.add_block();
        self.spill();
    }

    fn merge(&mut self, mut other: Self) {
        if other.reports == 0 {
            return;
        }
        if self.reports == 0 {
            *self = other;
            return;
        }
        other.settle();
        self.reports += other.reports;
        self.ones.iter_mut().zip(other.ones).for_each(|(count, other)| *count += other);
    }
}

/// The two-digit sum of three one-digit numbers in each of 64 places: digit and carry.
fn carry_save(a: u64, b: u64, c: u64) -> (u64, u64) {
    let half = a ^ b;
    (half ^ c, (a & b) | (half & c))
}

/// The number of ones in each of 64 places, four binary digits, lowest first.
fn count(x: &[u64; BLOCK]) -> [u64; 4] {
    let (a, c0) = carry_save(x[0], x[1], x[2]);
    let (b, c1) = carry_save(x[3], x[4], x[5]);
    let (c, c2) = carry_save(x[6], x[7], x[8]);
    let (d, c3) = carry_save(x[9], x[10], x[11]);
    let (e, c4) = carry_save(x[12], x[13], x[14]);
    let (f, c5) = carry_save(a, b, c);
    let (ones, c6) = carry_save(d, e, f);
    let (g, d0) = carry_save(c0, c1, c2);
    let (h, d1) = carry_save(c3, c4, c5);
    let (twos, d2) = carry_save(g, h, c6);
    let (fours, eights) = carry_save(d0, d1, d2);
    [ones, twos, fours, eights]
}

fn add_number(digits: &mut [u64; DIGITS], number: [u64; 4]) {
    let mut carry = 0;
    for (digit, number) in digits.iter_mut().zip(number) {
        (*digit, carry) = carry_save(*digit, number, carry);
    }
    for digit in &mut digits[4..] {
        (*digit, carry) = (*digit ^ carry, *digit & carry);
        if carry == 0 {
            break;
        }
    }
}

/// Reports that cannot be summed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SumsError {
    /// A report that no encoder of these parameters makes.
    #[error(
        "a report of cohort {cohort} with {bytes} bytes is none of these parameters: cohorts go from 0 to {}, and {bits} bits need {} bytes with no bit set beyond them; leave it out, or sum it under its own parameters",
        .cohorts - 1, .bits.div_ceil(8)
    )]
    Report {
        /// Its cohort.
        cohort: u16,
        /// Its bytes.
        bytes: usize,
        /// m.
        cohorts: usize,
        /// k.
        bits: usize,
    },
    /// The bytes do not hold as many reports as there are cohorts.
    #[error("{reports} reports of {size} bytes need {}, but there are {found}", .reports * .size)]
    Length {
        /// The cohorts given.
        reports: usize,
        /// The bytes given.
        found: usize,
        /// The bytes of a report.
        size: usize,
    },
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha12Rng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Reports in memory, and the counts of a plain loop over their bits.
    fn reports(params: &Params, number: usize) -> (Vec<u16>, Vec<u8>, Counts) {
        let (bits, size) = (params.bits(), params.bits().div_ceil(8));
        let mut rng = ChaCha12Rng::seed_from_u64(7);
        let (mut cohorts, mut bytes) = (vec![0; number], vec![0; number * size]);
        rng.fill_bytes(&mut bytes);
        let (mut of, mut ones) = (vec![0; params.cohorts()], vec![0; params.cohorts() * bits]);
        for (cohort, report) in cohorts.iter_mut().zip(bytes.chunks_mut(size)) {
            *cohort = (rng.next_u32() as usize % params.cohorts()) as u16;
            report[size - 1] &= 0xff >> (size * 8 - bits);
            of[usize::from(*cohort)] += 1;
            for bit in (0..bits).filter(|bit| report[bit / 8] >> (bit % 8) & 1 == 1) {
                ones[usize::from(*cohort) * bits + bit] += 1;
            }
        }
        (cohorts, bytes, Counts::new(bits, of, ones).unwrap())
    }

    #[test]
    fn sums_are_those_of_a_plain_loop_at_every_width() {
        for bits in [2, 7, 8, 9, 63, 64, 65, 128, 200] {
            let params = Params::rappor(bits, 1, 3, 0.5, 0.25, 0.75).unwrap();
            for number in [0, 1, 14, 15, 16, 44, 45, 46, 1000] {
                let (cohorts, bytes, expected) = reports(&params, number);
                let sums = Sums::of(&params, &cohorts, &bytes).unwrap();
                assert_eq!(sums.into_counts(), expected, "{bits} bits, {number} reports");
            }
        }
    }

    #[test]
    fn full_digits_spill_into_the_counters() {
        let params = Params::rappor(8, 1, 1, 0.5, 0.25, 0.75).unwrap();
        let mut sums = Sums::new(&params);
        for _ in 0..200_000 {
            sums.add(0, &[0b1000_0001]).unwrap();
        }
        assert_eq!(sums.into_counts().ones(0), [200_000, 0, 0, 0, 0, 0, 0, 200_000]);
    }

    #[test]
    fn reports_that_are_alike_count_as_often_as_they_come() {
        let params = Params::rappor(12, 1, 3, 0.5, 0.25, 0.75).unwrap();
        let (cohorts, bytes, _) = reports(&params, 100);
        let [mut alike, mut each, mut one_by_one] = [(); 3].map(|()| Sums::new(&params));
        for (place, (cohort, bits)) in cohorts.iter().zip(bytes.chunks(2)).enumerate() {
            alike.add_alike(*cohort, bits, place as u64 % 4).unwrap();
            (0..place % 4).for_each(|_| one_by_one.add(*cohort, bits).unwrap());
            each.add_each(*cohort, std::iter::repeat_n(bits, place % 4)).unwrap();
        }
        let expected = one_by_one.into_counts();
        assert_eq!(alike.into_counts(), expected);
        assert_eq!(each.into_counts(), expected);
        let unfit = [&[1, 0][..], &[0, 0b1_0000]];
        assert!(matches!(Sums::new(&params).add_each(0, unfit), Err(SumsError::Report { .. })));
    }

    #[test]
    fn parts_merge_to_the_whole_whatever_their_order() {
        let params = Params::rappor(12, 1, 3, 0.5, 0.25, 0.75).unwrap();
        let (cohorts, bytes, expected) = reports(&params, 500);
        let part = |range: std::ops::Range<usize>| {
            Sums::of(&params, &cohorts[range.clone()], &bytes[2 * range.start..2 * range.end]).unwrap()
        };
        for order in [[0..100, 100..101, 101..500], [101..500, 0..100, 100..101]] {
            let merged = order.into_iter().map(part).fold(Sums::new(&params), Sums::merged);
            assert_eq!(merged.into_counts(), expected);
        }
    }

    #[test]
    fn what_is_no_report_is_refused_and_not_counted() {
        let params = Params::rappor(12, 1, 3, 0.5, 0.25, 0.75).unwrap();
        let mut sums = Sums::new(&params);
        for (cohort, bits) in [(3, &[0, 0][..]), (0, &[0]), (0, &[0, 0, 0]), (0, &[0, 0b1_0000])] {
            assert!(matches!(sums.add(cohort, bits), Err(SumsError::Report { .. })), "{cohort} {bits:?}");
        }
        assert_eq!(sums.into_counts(), Counts::empty(&params));
        assert!(matches!(Sums::of(&params, &[0], &[0]), Err(SumsError::Length { .. })));
    }
}
