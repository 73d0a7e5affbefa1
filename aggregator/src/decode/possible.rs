//! Whether counts can come from reports of these parameters at all.
//!
//! A bit is reported with a rate from p* to q*, and a signal has at most h ones, at least one if strings are
//! hashed, exactly one in the direct encoding. What lies outside by more than chance allows is no figure but a
//! mistake: other parameters, shifted columns, or forged reports.

use deniable::{Encoding, Params};

use super::{Counts, DecodeError};

/// Standard deviations that chance is allowed; beyond, for all bits of all cohorts together, it has less than 10⁻⁶.
const CHANCE: f64 = 8.0;
/// What clients may round their probabilities to: google/rappor's compare one byte.
const ROUNDING: f64 = 1.0 / 256.0;

/// Refuses counts that no population can explain.
///
/// # Errors
/// [`DecodeError::Impossible`] or [`DecodeError::ImpossibleOnes`].
pub(super) fn check(params: &Params, counts: &Counts) -> Result<(), DecodeError> {
    let (zero, one) = (params.channel().zero(), params.channel().one());
    for cohort in 0..counts.cohorts() {
        let reports = counts.reports()[cohort];
        let (least, most) = (limit(zero, reports, -1.0), limit(one, reports, 1.0));
        if let Some(bit) = counts.ones(cohort).iter().position(|ones| !(least..=most).contains(ones)) {
            let ones = counts.ones(cohort)[bit];
            return Err(DecodeError::Impossible { cohort, bit, ones, reports, least, most });
        }
    }
    ones_per_report(params, counts)
}

/// How many of `reports` may have a bit of this rate, at the end of the range that `side` says.
fn limit(rate: f64, reports: u64, side: f64) -> u64 {
    let reports = reports as f64;
    let reach = CHANCE * ((reports * rate * (1.0 - rate)).sqrt() + 1.0) + ROUNDING * reports;
    (reports * rate + side * reach).clamp(0.0, reports).round() as u64
}

fn ones_per_report(params: &Params, counts: &Counts) -> Result<(), DecodeError> {
    let (bits, hashes) = (params.bits() as f64, params.hashes() as f64);
    let reports = counts.total() as f64;
    let found = (0..counts.cohorts()).flat_map(|cohort| counts.ones(cohort)).sum::<u64>() as f64 / reports;
    let channel = params.channel();
    let (fewest, slack) = match params.encoding() {
        Encoding::Direct => (1.0, 0.0),
        // Each bit varies by at most 1/4, independently of the others.
        Encoding::Unary => (0.0, CHANCE * (bits / 4.0 / reports).sqrt() + ROUNDING * bits),
        Encoding::Bloom => (1.0, CHANCE * (bits / 4.0 / reports).sqrt() + ROUNDING * bits),
    };
    let expected = |ones: f64| bits * channel.zero() + ones * channel.gain();
    let (least, most) = match params.encoding() {
        Encoding::Direct => (1.0, 1.0),
        Encoding::Unary | Encoding::Bloom => (expected(fewest) - slack, expected(hashes) + slack),
    };
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(DecodeError::ImpossibleOnes { found, least, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        Params::rappor(8, 1, 2, 0.0, 0.25, 0.75).unwrap()
    }

    fn counts(ones: [u64; 8]) -> Counts {
        Counts::new(8, vec![10_000, 0], [ones, [0; 8]].concat()).unwrap()
    }

    #[test]
    fn what_the_strings_could_explain_passes() {
        // Everybody has the string of bit 0, or strings spread evenly.
        assert_eq!(check(&params(), &counts([7500, 2500, 2500, 2500, 2500, 2500, 2500, 2500])), Ok(()));
        assert_eq!(check(&params(), &counts([3125; 8])), Ok(()));
    }

    #[test]
    fn a_bit_that_is_set_too_often_or_too_seldom_is_named() {
        let high = check(&params(), &counts([2500, 2500, 2500, 8200, 2500, 2500, 2500, 2500]));
        assert!(
            matches!(high, Err(DecodeError::Impossible { cohort: 0, bit: 3, ones: 8200, .. })),
            "{high:?}"
        );
        let low = check(&params(), &counts([7500, 2500, 2500, 2500, 2500, 2500, 2500, 1900]));
        assert!(matches!(low, Err(DecodeError::Impossible { bit: 7, ones: 1900, .. })), "{low:?}");
    }

    #[test]
    fn too_many_ones_in_all_are_noticed_though_no_bit_is_impossible() {
        // Each bit could be everybody's, but one hash sets one bit only.
        let error = check(&params(), &counts([5000; 8])).unwrap_err();
        assert!(matches!(error, DecodeError::ImpossibleOnes { .. }), "{error}");
        let direct =
            Params::new(Encoding::Direct, 3, 1, 1, None, deniable::Response::nearest(0.25, 0.5).ok())
                .unwrap();
        let one_each = Counts::new(3, vec![100], vec![50, 25, 25]).unwrap();
        assert_eq!(check(&direct, &one_each), Ok(()));
        let too_many = Counts::new(3, vec![100], vec![50, 25, 26]).unwrap();
        assert!(matches!(check(&direct, &too_many), Err(DecodeError::ImpossibleOnes { .. })));
    }
}
