//! The bound beside enumerations of what a shuffled crowd says, and beside the published closed form.

use std::collections::BTreeMap;

use deniable::{Answers, Response};

use super::*;

/// The probability of each report, under one value.
type Law = Vec<f64>;

/// Every device's report under each value of `params`, in full: for bits, each of the 2^k reports.
fn laws(params: &Params) -> Vec<Law> {
    let (p, q, k) = (params.channel().zero(), params.channel().one(), params.bits());
    let flips = |signal: usize, report: usize| {
        let bit = |i| match (signal >> i & 1, report >> i & 1) {
            (0, 1) => p,
            (0, _) => 1.0 - p,
            (_, 1) => q,
            _ => 1.0 - q,
        };
        (0..k).map(bit).product()
    };
    match params.encoding() {
        Encoding::Direct => {
            (0..k).map(|value| (0..k).map(|report| if report == value { q } else { p }).collect()).collect()
        }
        Encoding::Unary | Encoding::Bloom => (0usize..1 << k)
            .filter(|signal| signal.count_ones() as usize <= params.hashes())
            .map(|signal| (0..1 << k).map(|report| flips(signal, report)).collect())
            .collect(),
    }
}

/// The law of the multiset of reports of devices with these laws.
fn shuffled<'a>(devices: impl Iterator<Item = &'a Law>) -> BTreeMap<Vec<u8>, f64> {
    let mut laws = BTreeMap::from([(Vec::new(), 1.0)]);
    for device in devices {
        let mut next = BTreeMap::new();
        for (counts, probability) in &laws {
            for (report, share) in device.iter().enumerate() {
                let mut counts: Vec<u8> = counts.clone();
                counts.resize(device.len(), 0);
                counts[report] += 1;
                *next.entry(counts).or_insert(0.0) += probability * share;
            }
        }
        laws = next;
    }
    laws
}

/// Every choice of values for `count` devices, in ascending order.
fn crowds(values: usize, count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let extend = |crowd: Vec<usize>| {
        let least = crowd.last().copied().unwrap_or(0);
        (least..values).map(move |value| crowd.iter().copied().chain([value]).collect())
    };
    crowds(values, count - 1).into_iter().flat_map(extend).collect()
}

/// The exact δ at each ε: the worst over two values of one device and all values of the others.
fn exact(params: &Params, reports: usize, epsilons: &[f64]) -> Vec<f64> {
    let laws = laws(params);
    let mut worst = vec![0.0f64; epsilons.len()];
    for crowd in crowds(laws.len(), reports - 1) {
        let others = || crowd.iter().map(|&value| &laws[value]);
        let all: Vec<_> = laws.iter().map(|own| shuffled(others().chain([own]))).collect();
        for (p, q) in all.iter().flat_map(|p| all.iter().map(move |q| (p, q))) {
            for (worst, epsilon) in worst.iter_mut().zip(epsilons) {
                let more = |(counts, p): (&Vec<u8>, &f64)| (p - epsilon.exp() * q[counts]).max(0.0);
                *worst = worst.max(p.iter().map(more).sum());
            }
        }
    }
    worst
}

fn one_stage(encoding: Encoding, bits: usize, hashes: usize, zero: f64, one: f64) -> Params {
    let stage = Response::nearest(zero, one).unwrap();
    Params::new(encoding, bits, hashes, 1, None, Some(stage)).unwrap()
}

fn crowd(reports: u64) -> NonZeroU64 {
    NonZeroU64::new(reports).unwrap()
}

/// The least and the greatest ratio of `bound` to the exact δ, over a grid of ε.
fn ratios(params: &Params, bound: &Shuffle, reports: std::ops::RangeInclusive<usize>) -> (f64, f64) {
    let (mut least, mut most) = (f64::INFINITY, 0.0f64);
    for n in reports {
        let epsilons: Vec<f64> = [0.0, 0.25, 0.5, 0.75].map(|x| x * params.epsilon_one().get()).to_vec();
        for (exact, epsilon) in exact(params, n, &epsilons).into_iter().zip(&epsilons) {
            let ratio = bound.delta(crowd(n as u64), *epsilon) / exact;
            (least, most) = (least.min(ratio), most.max(ratio));
        }
    }
    (least, most)
}

#[test]
fn yes_or_no_is_bounded_and_closely() {
    for zero in [0.45, 0.25, 0.125, 0.03125] {
        let params = one_stage(Encoding::Direct, 2, 1, zero, 1.0 - zero);
        let (least, most) = ratios(&params, &Shuffle::of(&params), 2..=12);
        assert!(least >= 1.0 && most < 1.4, "P(1|0) = {zero}: {least} to {most} of the exact δ");
    }
}

#[test]
fn other_reports_are_bounded() {
    for (params, reports, within) in [
        (one_stage(Encoding::Direct, 3, 1, 0.125, 0.75), 2..=8, 1.2),
        (one_stage(Encoding::Direct, 5, 1, 0.125, 0.5), 2..=4, 1.3),
        (one_stage(Encoding::Unary, 1, 1, 0.25, 0.5), 2..=12, 30.0),
        (one_stage(Encoding::Unary, 2, 1, 0.25, 0.5), 2..=6, 30.0),
        (one_stage(Encoding::Unary, 3, 1, 0.125, 0.5), 2..=4, 30.0),
        (one_stage(Encoding::Unary, 3, 2, 0.125, 0.5), 2..=3, 40.0),
        (one_stage(Encoding::Bloom, 3, 2, 0.25, 0.75), 2..=3, 20.0),
        (one_stage(Encoding::Bloom, 4, 2, 0.375, 0.625), 2..=2, 20.0),
    ] {
        let (least, most) = ratios(&params, &Shuffle::of(&params), reports);
        let (encoding, bits) = (params.encoding(), params.bits());
        assert!(least >= 1.0 && most < within, "{encoding} {bits}: {least} to {most} of the exact δ");
    }
}

/// The enumeration notices clones that there are not, a victim that says less than it does, and another n.
#[test]
fn a_planted_fault_is_caught_by_the_enumeration() {
    let params = one_stage(Encoding::Direct, 3, 1, 0.125, 0.75);
    let least = |fault: &dyn Fn(&mut Pair)| {
        let mut bound = Shuffle::of(&params);
        fault(&mut bound.pairs[0]);
        ratios(&params, &bound, 2..=6).0
    };
    assert!(least(&|_| ()) >= 1.0);
    assert!(least(&|pair| pair.clones[0] *= 1.1) < 1.0);
    assert!(least(&|pair| pair.clones[1] *= 1.5) < 1.0);
    assert!(least(&|pair| pair.own[0] *= 0.95) < 1.0);
    let epsilon = [params.epsilon_one().get() / 2.0];
    assert!(Shuffle::of(&params).delta(crowd(7), epsilon[0]) < exact(&params, 6, &epsilon)[0]);
}

/// Feldman, McMillan, Talwar 2021, theorem 3.1, where it holds.
fn closed_form(epsilon_one: f64, reports: f64, delta: f64) -> Option<f64> {
    let odds = epsilon_one.exp();
    let holds = epsilon_one <= (reports / (16.0 * (2.0 / delta).ln())).ln();
    let spread = 8.0 * (odds * (4.0 / delta).ln() / reports).sqrt() + 8.0 * odds / reports;
    holds.then(|| ((odds - 1.0) / (odds + 1.0) * spread).ln_1p())
}

/// Their reduction, for whatever is private to this degree.
fn any_mechanism(epsilon_one: f64) -> Shuffle {
    let odds = epsilon_one.exp();
    let own = [odds / (odds + 1.0), 1.0 / (odds + 1.0), 0.0];
    Shuffle { pairs: vec![Pair { own, clones: [0.5 / odds, 0.0] }], epsilon_one }
}

#[test]
fn the_sum_is_below_the_closed_form_and_our_mechanisms_below_any() {
    for epsilon in [0.1, 1.0, 4.0] {
        for reports in [1000, 1_000_000, 1_000_000_000u64] {
            for delta in [1e-4, 1e-10] {
                let Some(closed) = closed_form(epsilon, reports as f64, delta) else { continue };
                let any = any_mechanism(epsilon).epsilon(crowd(reports), delta).unwrap();
                assert!(any <= closed.min(epsilon), "{epsilon} {reports} {delta}: {any} above {closed}");
                for answers in [Answers::Closed(2), Answers::Closed(5), Answers::Open] {
                    let params = Params::for_epsilon(epsilon, None, answers).unwrap();
                    let ours = Shuffle::of(&params).epsilon(crowd(reports), delta).unwrap();
                    assert!(ours <= any, "{epsilon} {reports} {delta} {answers:?}: {ours} above {any}");
                }
            }
        }
    }
}

/// The same sum, term by term.
fn term_by_term(pair: &Pair, reports: u64, epsilon: f64) -> f64 {
    let ([own, other, rest], [r, s]) = (pair.own, pair.clones);
    let odds = epsilon.exp();
    let law = |draws, share: f64| {
        let ways = move |ones| statrs::function::factorial::ln_binomial(draws, ones);
        let ln = move |ones: u64| ones as f64 * share.ln() + (draws - ones) as f64 * (1.0 - share).ln();
        move |ones: u64| (ways(ones) + ln(ones)).exp()
    };
    let mut sum = 0.0;
    for both in 0..=reports {
        let weight = law(reports, 2.0 * r)(both);
        let coins: Vec<f64> = (0..=both).map(law(both, 0.5)).collect();
        for others in 0..=(if s > 0.0 { reports - both } else { 0 }) {
            let weight =
                if s > 0.0 { weight * law(reports - both, s / (1.0 - 2.0 * r))(others) } else { weight };
            let excess = |(ones, coin): (usize, &f64)| {
                let (ones, zeros) = (ones as f64, both as f64 - ones as f64);
                let signal = (own * ones + other * zeros) / r - odds * (other * ones + own * zeros) / r;
                let hidden = if s > 0.0 { (odds - 1.0) * rest / s * others as f64 } else { 0.0 };
                coin * (signal - hidden).max(0.0)
            };
            sum += weight * coins.iter().enumerate().map(excess).sum::<f64>();
        }
    }
    sum / reports as f64
}

/// One per cent less than the ε that the blocks find is too little by the sum itself.
#[test]
fn the_blocks_cost_less_than_one_per_cent_of_epsilon() {
    for (params, reports) in [
        (one_stage(Encoding::Direct, 2, 1, 0.25, 0.75), 1500),
        (one_stage(Encoding::Direct, 5, 1, 0.125, 0.5), 150),
        (one_stage(Encoding::Unary, 8, 1, 0.25, 0.5), 150),
    ] {
        let shuffle = Shuffle::of(&params);
        let delta = 1e-4;
        let epsilon = shuffle.epsilon(crowd(reports), delta).unwrap();
        let [at, below] = [1.0, 0.99].map(|x| term_by_term(&shuffle.pairs[0], reports, x * epsilon));
        assert!(at <= delta && below > delta, "{:?}: {at} and {below}", params.encoding());
    }
}

#[test]
fn a_larger_crowd_hides_better_and_no_crowd_worse_than_none() {
    for answers in [Answers::Closed(2), Answers::Closed(12), Answers::Open] {
        let params = Params::for_epsilon(2.0, Some(4.0), answers).unwrap();
        let shuffle = Shuffle::of(&params);
        let of = |reports: u64| shuffle.epsilon(crowd(reports), 1e-8).unwrap();
        let losses: Vec<f64> = [1, 2, 10, 100, 1000, 10_000, 1_000_000, u64::MAX].map(of).to_vec();
        assert!(losses.is_sorted_by(|a, b| a >= b), "{losses:?}");
        assert_eq!(losses[0], params.epsilon_one().get());
        // 1/√n: a hundred times the reports, a tenth of ε.
        let ratio = losses[5] / losses[6];
        assert!((9.0..13.0).contains(&ratio), "{losses:?}");
        let [strict, loose] = [1e-12, 1e-4].map(|delta| shuffle.epsilon(crowd(1000), delta).unwrap());
        assert!(strict > loose);
        assert_eq!(shuffle.delta(crowd(1000), 2.0), 0.0);
        assert!(shuffle.delta(crowd(1000), loose) <= 1e-4);
    }
}

#[test]
fn two_hashes_hide_worse_than_one_and_every_overlap_counts() {
    let params = Params::rappor(64, 2, 64, 0.5, 0.25, 0.75).unwrap();
    let shuffle = Shuffle::of(&params);
    // (2,2), (2,1), (2,0), (1,1), (1,0) bits of one signal and the other.
    assert_eq!(shuffle.pairs.len(), 5);
    let of = |pairs: &[Pair]| {
        let some = Shuffle { pairs: pairs.to_vec(), epsilon_one: shuffle.epsilon_one };
        some.epsilon(crowd(10_000), 1e-8).unwrap()
    };
    let all = shuffle.epsilon(crowd(10_000), 1e-8).unwrap();
    assert!(shuffle.pairs.iter().all(|pair| of(&[*pair]) <= all * (1.0 + SEARCH)));
    assert!(of(&shuffle.pairs[3..4]) < all);
}

#[test]
fn what_is_no_delta_is_refused() {
    let shuffle = Shuffle::of(&Params::for_epsilon(1.0, None, Answers::Open).unwrap());
    for delta in [0.0, -1e-9, 1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(shuffle.epsilon(crowd(1000), delta), Err(AmplifyError::Delta { .. })), "{delta}");
    }
}
