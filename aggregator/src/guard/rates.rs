//! Guards the rates of ones: what no values of honest devices can give.
//!
//! Of the N reports of a cohort, each sets bit j with p* or with q*, independently of the others, as its signal says. Whatever
//! the values, the count of the bit therefore lies, in the sense of probability, between Bin(N, p*) and Bin(N, q*); and the
//! ones of all bits together between those of signals with the fewest ones and with the most, where each signal of w
//! ones gives Bin(w, q*) + Bin(k − w, p*). The bounds on all bits of all cohorts hold together but for half of the level, and
//! those on all sums but for the other half. A direct report has one 1 always, so its sum is not guarded.
//!
//! That reports of one epoch are independent rests on each being of another device; a permanent response that is
//! repeated in a later epoch is of another set of counts.

use deniable::{Encoding, Params};

use super::ones::{response, signal_ones};
use super::tail::{Coins, fewest, most};
use crate::decode::Counts;

/// A count beyond what any values give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OddRate {
    pub(super) cohort: usize,
    /// The bit; none if it is the sum of all.
    pub(super) bit: Option<usize>,
    pub(super) ones: u64,
    pub(super) reports: u64,
    /// The limit that it is beyond.
    pub(super) limit: u64,
}

/// Finds the bit whose count is farthest beyond its limits, if any is.
pub(super) fn odd_bit(params: &Params, counts: &Counts, level: f64) -> Option<OddRate> {
    let channel = params.channel();
    let each = level / 4.0 / (occupied(counts).count() * params.bits()) as f64;
    let of_cohort = |cohort: usize| {
        let reports = counts.reports()[cohort];
        let least = fewest(&[Coins { count: reports, one: channel.zero() }], each);
        let greatest = most(&[Coins { count: reports, one: channel.one() }], each);
        let odd = move |(bit, &ones): (usize, &u64)| {
            let limit = ones.clamp(least, greatest);
            (limit != ones).then_some(OddRate { cohort, bit: Some(bit), ones, reports, limit })
        };
        counts.ones(cohort).iter().enumerate().filter_map(odd)
    };
    farthest(occupied(counts).flat_map(of_cohort))
}

/// Finds the cohort whose ones together are farthest beyond their limits, if any are.
pub(super) fn odd_sum(params: &Params, counts: &Counts, level: f64) -> Option<OddRate> {
    if params.encoding() == Encoding::Direct {
        return None;
    }
    let each = level / 4.0 / occupied(counts).count() as f64;
    let (few, many) = signal_ones(params);
    let odd = |cohort: usize| {
        let reports = counts.reports()[cohort];
        let ones = counts.ones(cohort).iter().sum::<u64>();
        let least = fewest(&response(params, reports, few), each);
        let limit = ones.clamp(least, most(&response(params, reports, many), each));
        (limit != ones).then_some(OddRate { cohort, bit: None, ones, reports, limit })
    };
    farthest(occupied(counts).filter_map(odd))
}

/// The cohorts that have reports.
fn occupied(counts: &Counts) -> impl Iterator<Item = usize> {
    (0..counts.cohorts()).filter(|cohort| counts.reports()[*cohort] > 0)
}

fn farthest(odd: impl Iterator<Item = OddRate>) -> Option<OddRate> {
    odd.max_by_key(|odd| odd.ones.abs_diff(odd.limit))
}

#[cfg(test)]
mod tests {
    use deniable::Response;
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;
    use rand_distr::{Binomial, Distribution};

    use super::*;

    /// Counts of `reports` reports a cohort, of which `share` have the signal bit that stands for their cohort.
    fn counts(params: &Params, reports: u64, share: f64, rng: &mut ChaCha8Rng) -> Counts {
        let channel = params.channel();
        let (k, m) = (params.bits(), params.cohorts());
        let holders = (share * reports as f64) as u64;
        let mut draw = |n: u64, p: f64| Binomial::new(n, p).unwrap().sample(rng);
        let ones = (0..m).flat_map(|cohort| (0..k).map(move |bit| (cohort, bit))).map(|(cohort, bit)| {
            let with = if bit == cohort % k { holders } else { 0 };
            draw(with, channel.one()) + draw(reports - with, channel.zero())
        });
        let ones = ones.collect();
        Counts::new(k, vec![reports; m], ones).unwrap()
    }

    fn params(encoding: Encoding) -> Params {
        let stage = Response::nearest(0.25, 0.5).unwrap();
        let bits = if encoding == Encoding::Direct { 3 } else { 16 };
        Params::new(encoding, bits, 1, 8, None, Some(stage)).unwrap()
    }

    /// At a level of 1 in 100, of 2000 honest epochs each guard alarms at no more than 20, plus 4·√20 by chance (its
    /// false-alarm rate is below 10⁻³). All values alike are the edge of what can be, and so the hardest.
    #[test]
    fn honest_populations_alarm_no_more_often_than_stated() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut bits, mut sums) = (0, 0);
        for round in 0..2000 {
            let encoding = [Encoding::Unary, Encoding::Bloom][round % 2];
            let share = [0.0, 1.0][round / 2 % 2];
            let params = params(encoding);
            let counts = counts(&params, [20, 200, 5000][round % 3], share, &mut rng);
            bits += usize::from(odd_bit(&params, &counts, 0.01).is_some());
            // A string has a bit, so without one there are too few.
            let can_be = encoding == Encoding::Unary || share == 1.0;
            sums += usize::from(can_be && odd_sum(&params, &counts, 0.01).is_some());
        }
        assert!(bits <= 20 + 18 && sums <= 20 + 18, "{bits} {sums}");
    }

    #[test]
    fn a_bit_that_is_set_too_often_or_too_seldom_is_named() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let params = params(Encoding::Unary);
        let planted = |ones: u64, rng: &mut ChaCha8Rng| {
            let honest = counts(&params, 1000, 0.5, rng);
            let mut all: Vec<u64> = (0..8).flat_map(|cohort| honest.ones(cohort).to_vec()).collect();
            all[3 * 16 + 7] = ones;
            odd_bit(&params, &Counts::new(16, vec![1000; 8], all).unwrap(), 1e-6)
        };
        assert_eq!(planted(250, &mut rng), None);
        for ones in [700, 100, 0, 1000] {
            let odd = planted(ones, &mut rng).unwrap();
            assert_eq!((odd.cohort, odd.bit, odd.ones, odd.reports), (3, Some(7), ones, 1000));
        }
    }

    /// Each bit could be everybody's, but one hash sets one bit only.
    #[test]
    fn too_many_ones_in_all_are_noticed_though_no_bit_is_impossible() {
        let params = params(Encoding::Bloom);
        let counts = Counts::new(16, vec![1000; 8], vec![400; 16 * 8]).unwrap();
        assert_eq!(odd_bit(&params, &counts, 1e-6), None);
        let odd = odd_sum(&params, &counts, 1e-6).unwrap();
        assert_eq!((odd.bit, odd.ones), (None, 6400));
        assert!(odd.limit < 6400 && odd.limit > 250 * 15 + 500);
        // Nor are reports of nothing possible where each has a string.
        let nothing = Counts::new(16, vec![10_000; 8], vec![2500; 16 * 8]).unwrap();
        assert!(odd_sum(&params, &nothing, 1e-6).is_some_and(|odd| odd.ones < odd.limit));
    }

    #[test]
    fn a_direct_count_is_guarded_by_its_bits() {
        let params = params(Encoding::Direct);
        let all_alike = Counts::new(3, vec![1000; 8], [1000, 0, 0].repeat(8)).unwrap();
        assert_eq!(odd_sum(&params, &all_alike, 1e-6), None);
        assert!(odd_bit(&params, &all_alike, 1e-6).is_some());
        assert_eq!(odd_bit(&params, &Counts::empty(&params), 1e-6), None);
    }
}
