//! Guards a single report: the number of its ones.
//!
//! A signal of w ones among k bits is reported with Bin(w, q*) + Bin(k − w, p*) ones, all coins independent over the
//! device's secret and the report's own randomness. As q* > p*, this number grows with w in the sense of probability, so of
//! all values those with the most ones are the worst case above, and those with the fewest below. A report is improbable if
//! its number of ones lies outside a range which, for every value, chance leaves with a probability of at most
//! [`IMPROBABLE_RATE`]: half of it above under the most ones, half below under the fewest, by the exact distribution.
//!
//! A direct report always has one 1 (a report that has not is refused), so there is nothing to guard.

use deniable::{Encoding, Params};

use super::tail::{Coins, distribution};

/// The most that chance makes improbable of honest reports, whatever their values.
pub const IMPROBABLE_RATE: f64 = 1e-6;

/// The numbers of ones that an honest report has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ones {
    fewest: u32,
    most: u32,
}

impl Ones {
    /// Works out the range for reports of `params`. It takes time in the order of k², so do it once.
    pub fn of(params: &Params) -> Self {
        let k = params.bits();
        if params.encoding() == Encoding::Direct {
            return Self { fewest: 1, most: 1 };
        }
        let (least, greatest) = signal_ones(params);
        let highest = distribution(&response(params, 1, greatest));
        let lowest = distribution(&response(params, 1, least));
        // How many of the outermost numbers have less than half of the rate together.
        let outside = |chances: &mut dyn Iterator<Item = &f64>| {
            let mut sum = 0.0;
            chances
                .take_while(|chance| {
                    sum += **chance;
                    sum <= IMPROBABLE_RATE / 2.0
                })
                .count()
        };
        let above = outside(&mut highest.iter().rev());
        let below = outside(&mut lowest.iter());
        Self { fewest: below as u32, most: (k - above) as u32 }
    }

    /// The least and the greatest number.
    pub fn range(self) -> (u32, u32) {
        (self.fewest, self.most)
    }

    /// Whether a report with these bits, which were checked to fit its parameters, is improbable.
    pub fn is_improbable(self, bits: &[u8]) -> bool {
        let ones: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
        !(self.fewest..=self.most).contains(&ones)
    }
}

/// The fewest and the most ones that a signal can have.
pub(super) fn signal_ones(params: &Params) -> (u64, u64) {
    let (k, h) = (params.bits() as u64, params.hashes() as u64);
    match params.encoding() {
        Encoding::Direct => (1, 1),
        // A set may be empty.
        Encoding::Unary => (0, h.min(k)),
        // A string has at least one bit, as its hashes may all meet.
        Encoding::Bloom => (1, h.min(k)),
    }
}

/// The coins of `reports` reports whose signals have `ones` ones each.
pub(super) fn response(params: &Params, reports: u64, ones: u64) -> [Coins; 2] {
    let channel = params.channel();
    let zeros = params.bits() as u64 - ones;
    [
        Coins { count: reports * ones, one: channel.one() },
        Coins { count: reports * zeros, one: channel.zero() },
    ]
}

#[cfg(test)]
mod tests {
    use deniable::{DeviceSecret, Encoder, Epoch, MetricId, Randomness, Response, Value};

    use super::*;

    fn unary(bits: usize, hashes: usize) -> Params {
        let stage = Response::nearest(0.25, 0.5).unwrap();
        Params::new(Encoding::Unary, bits, hashes, 1, None, Some(stage)).unwrap()
    }

    /// By enumeration of all reports of three bits: the rate is kept, and one number less would not keep it.
    #[test]
    fn the_range_is_that_of_an_enumeration() {
        for k in 1..=20 {
            let params = unary(k, 1);
            let (fewest, most) = Ones::of(&params).range();
            let mut chances = vec![0.0; k + 1];
            for report in 0u32..1 << k {
                // The first bit is the signal's one.
                let chance = |bit: usize| match (bit, report >> bit & 1) {
                    (0, _) => 0.5,
                    (_, 1) => 0.25,
                    _ => 0.75,
                };
                chances[report.count_ones() as usize] += (0..k).map(chance).product::<f64>();
            }
            let above = |most: usize| chances[most + 1..].iter().sum::<f64>();
            assert!(above(most as usize) <= IMPROBABLE_RATE / 2.0);
            assert!(most == 0 || above(most as usize - 1) > IMPROBABLE_RATE / 2.0, "{k}: {most}");
            assert_eq!(fewest, 0, "{k}: no ones at all happen to 0.75^20");
        }
    }

    /// Bin(2, 5/8) + Bin(126, 3/8) above and Bin(1, 5/8) + Bin(127, 3/8) below, convolved by SciPy 1.17.
    #[test]
    fn a_known_range() {
        let params = Params::rappor(128, 2, 64, 0.5, 0.25, 0.75).unwrap();
        assert_eq!(Ones::of(&params).range(), (KNOWN_FEWEST, KNOWN_MOST));
    }

    const KNOWN_FEWEST: u32 = 23;
    const KNOWN_MOST: u32 = 76;

    #[test]
    fn narrow_reports_and_direct_ones_have_no_improbable_numbers() {
        assert_eq!(Ones::of(&unary(1, 1)).range(), (0, 1));
        assert_eq!(Ones::of(&unary(8, 1)).range(), (0, 8));
        let stage = Response::nearest(0.25, 0.5).unwrap();
        let direct = Params::new(Encoding::Direct, 3, 1, 1, None, Some(stage)).unwrap();
        assert!(!Ones::of(&direct).is_improbable(&[2]));
    }

    /// Of 200,000 honest reports at most one is improbable but with a chance of 0.02; with a planted report it is told.
    #[test]
    fn honest_reports_pass_and_planted_ones_are_told() {
        let params = Params::rappor(64, 2, 4, 0.5, 0.25, 0.75).unwrap();
        let guard = Ones::of(&params);
        let mut randomness = Randomness::from_seed([3; 32]);
        let mut improbable = 0;
        for device in 0..20_000u32 {
            let mut secret = [0; 32];
            secret[..4].copy_from_slice(&device.to_le_bytes());
            let encoder =
                Encoder::new(MetricId::new("m").unwrap(), 1, params, &DeviceSecret::from_bytes(secret));
            let memo = encoder.memoize(Value::Text(["a", "bc"][device as usize % 2])).unwrap();
            for _ in 0..10 {
                let report = memo.report(Epoch(1), &mut randomness);
                let mut bits = [0; 8];
                report.bits().iter_ones().for_each(|bit| bits[bit / 8] |= 1 << (bit % 8));
                improbable += u32::from(guard.is_improbable(&bits));
            }
        }
        assert!(improbable <= 1, "{improbable}");
        assert!(guard.is_improbable(&[0xFF; 8]) && guard.is_improbable(&[0; 8]));
    }
}
