//! Counts as a crowd of devices would have them sent, drawn from their exact distribution without making reports.
//!
//! For planning and for measuring the decoder. Each device is in a cohort chosen with equal chances. Given
//! their signals, the ones of a bit are binomial, p* where the signal has a 0 and q* where it has a 1; in the
//! direct encoding the bit that is set is multinomial. Every device sends one report.

use deniable::{Encoding, Params};
use rand::{Rng, RngExt};
use rand_distr::{Binomial, Distribution};

use crate::decode::{Counts, Design, Reports};

/// Draws the counts of a crowd in which `devices[s]` devices have the string of column s of `strings`.
///
/// # Panics
/// If `strings` was made for other parameters or `devices` has not a number for each of its columns.
pub fn counts(params: &Params, strings: &Design, devices: &[u64], rng: &mut impl Rng) -> Counts {
    assert_eq!(devices.len(), strings.columns(), "one number of devices for each column");
    assert_eq!((strings.cohorts(), strings.bits()), (params.cohorts(), params.bits()), "one shape");
    let mut signals = Signals::new(params);
    for (column, &devices) in devices.iter().enumerate() {
        signals.add(strings.column(column), devices, rng);
    }
    let ones = match params.encoding() {
        Encoding::Direct => signals.direct(params, rng),
        Encoding::Unary | Encoding::Bloom => signals.bitwise(params, rng),
    };
    Counts::new(params.bits(), signals.reports, ones)
        .expect("no bit has more ones than its cohort has reports")
}

/// Draws the whole reports of such a crowd, one by one.
///
/// # Panics
/// As [`counts`], and for the direct encoding, whose reports are not of independent bits.
pub fn reports(params: &Params, strings: &Design, devices: &[u64], rng: &mut impl Rng) -> Reports {
    assert_eq!(devices.len(), strings.columns(), "one number of devices for each column");
    assert_eq!((strings.cohorts(), strings.bits()), (params.cohorts(), params.bits()), "one shape");
    assert_ne!(params.encoding(), Encoding::Direct, "bits that are drawn independently");
    let mut reports = Reports::new(params);
    let (zero, one) = (params.channel().zero(), params.channel().one());
    for (column, &devices) in devices.iter().enumerate() {
        for _ in 0..devices {
            let cohort = rng.random_range(0..params.cohorts());
            let mut bits = vec![0u8; params.bits().div_ceil(8)];
            for bit in 0..params.bits() {
                let set =
                    strings.column(column).binary_search(&((cohort * params.bits() + bit) as u32)).is_ok();
                bits[bit / 8] |= u8::from(rng.random_bool(if set { one } else { zero })) << (bit % 8);
            }
            reports.add(cohort as u16, &bits).expect("a report that was drawn fits");
        }
    }
    reports
}

/// How many devices each cohort has, and in how many of their signals each bit is set.
struct Signals {
    bits: usize,
    reports: Vec<u64>,
    ones: Vec<u64>,
}

impl Signals {
    fn new(params: &Params) -> Self {
        let (bits, cohorts) = (params.bits(), params.cohorts());
        Self { bits, reports: vec![0; cohorts], ones: vec![0; cohorts * bits] }
    }

    /// Spreads `devices` over the cohorts; each sets the `cells` of its cohort.
    fn add(&mut self, cells: &[u32], devices: u64, rng: &mut impl Rng) {
        let cohorts = self.reports.len();
        let mut left = devices;
        let mut cells = cells.iter().map(|&cell| cell as usize).peekable();
        for cohort in 0..cohorts {
            let here = binomial(left, 1.0 / (cohorts - cohort) as f64, rng);
            left -= here;
            self.reports[cohort] += here;
            while let Some(cell) = cells.next_if(|cell| cell / self.bits == cohort) {
                self.ones[cell] += here;
            }
        }
    }

    fn bitwise(&self, params: &Params, rng: &mut impl Rng) -> Vec<u64> {
        let (zero, one) = (params.channel().zero(), params.channel().one());
        let draw = |(cell, &set): (usize, &u64)| {
            let unset = self.reports[cell / self.bits] - set;
            binomial(set, one, rng) + binomial(unset, zero, rng)
        };
        self.ones.iter().enumerate().map(draw).collect()
    }

    /// A device keeps its bit with chance q*, or has any other with equal chances.
    fn direct(&self, params: &Params, rng: &mut impl Rng) -> Vec<u64> {
        let mut reported = vec![0; self.ones.len()];
        for (cohort, row) in self.ones.chunks(self.bits).enumerate() {
            let reported = &mut reported[cohort * self.bits..][..self.bits];
            for (bit, &set) in row.iter().enumerate() {
                let kept = binomial(set, params.channel().one(), rng);
                reported[bit] += kept;
                let mut left = set - kept;
                let others = (0..self.bits).filter(|other| *other != bit);
                for (place, other) in others.enumerate() {
                    let here = binomial(left, 1.0 / (self.bits - 1 - place) as f64, rng);
                    reported[other] += here;
                    left -= here;
                }
            }
        }
        reported
    }
}

fn binomial(n: u64, p: f64, rng: &mut impl Rng) -> u64 {
    Binomial::new(n, p).expect("p is a probability").sample(rng)
}
