//! Figures against the truth of simulated crowds: coverage, false detections, and twins with a planted fault.
//!
//! All runs of a test have fixed seeds. Shares of runs are judged by the binomial distribution at four standard
//! errors or more, a false alarm in 16,000; figures of one run are correlated, for which there is room.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use deniable::{Answers, Encoding, Params, Response};
use deniable_aggregator::decode::{Counts, DecodeError, Decoded, Design, Method, Options, decode};
use deniable_aggregator::simulate;
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

/// A crowd whose string i is had by `devices[i]` devices, and candidates `v0`, `v1`, ….
struct Crowd {
    params: Params,
    strings: Design,
    devices: Vec<u64>,
    design: Design,
}

impl Crowd {
    /// The devices fall off exponentially over `strings` strings; `candidates` names them and more, or fewer.
    fn new(params: Params, strings: usize, devices: u64, candidates: impl Iterator<Item = usize>) -> Self {
        Self::salted("", params, strings, devices, candidates)
    }

    /// The same with names that end in `salt`, and so hash differently.
    fn salted(
        salt: &str,
        params: Params,
        strings: usize,
        devices: u64,
        candidates: impl Iterator<Item = usize>,
    ) -> Self {
        let named = |names: Vec<usize>| names.into_iter().map(|i| format!("v{i}{salt}")).collect::<Vec<_>>();
        let weights: Vec<f64> = (0..strings).map(|i| (-5.0 * i as f64 / strings as f64).exp()).collect();
        let sum: f64 = weights.iter().sum();
        Self {
            params,
            strings: Design::of_names(&params, named((0..strings).collect())).unwrap(),
            devices: weights.iter().map(|weight| (devices as f64 * weight / sum).round() as u64).collect(),
            design: Design::of_names(&params, named(candidates.collect())).unwrap(),
        }
    }

    fn counts(&self, seed: u64) -> Counts {
        simulate::counts(&self.params, &self.strings, &self.devices, &mut ChaCha12Rng::seed_from_u64(seed))
    }

    fn truth(&self, name: &str) -> f64 {
        let index: usize = name[1..].split('-').next().unwrap().parse().unwrap();
        self.devices.get(index).copied().unwrap_or(0) as f64 / self.devices.iter().sum::<u64>() as f64
    }

    fn judge(&self, seeds: u64, decoded: impl Fn(u64) -> Decoded) -> Judged {
        let mut judged = Judged::default();
        (0..seeds).for_each(|seed| judged.add(self, &decoded(seed)));
        judged
    }

    fn decode(&self, seed: u64) -> Decoded {
        decode(&self.params, &self.counts(seed), &self.design, &Options::default()).unwrap()
    }
}

/// What a number of runs adds up to.
#[derive(Debug, Default)]
struct Judged {
    runs: f64,
    /// Intervals that hold the truth, and all: of strings that are there.
    there: (f64, f64),
    /// Of those that are not.
    absent: (f64, f64),
    /// Runs in which something absent was detected.
    false_alarms: f64,
}

impl Judged {
    fn add(&mut self, crowd: &Crowd, decoded: &Decoded) {
        for figure in &decoded.figures {
            let truth = crowd.truth(&figure.names[0]);
            let (low, high) = figure.share.interval_95();
            let part = if truth > 0.0 { &mut self.there } else { &mut self.absent };
            part.0 += f64::from(u8::from((low..=high).contains(&truth)));
            part.1 += 1.0;
        }
        let absent = decoded.figures.iter().any(|f| f.detected && crowd.truth(&f.names[0]) == 0.0);
        self.false_alarms += f64::from(u8::from(absent));
        self.runs += 1.0;
    }

    fn is_calibrated(&self) -> bool {
        let covers = |(inside, all): (f64, f64)| all == 0.0 || (0.93..=0.97).contains(&(inside / all));
        let false_alarms = self.false_alarms / self.runs;
        covers(self.there)
            && covers(self.absent)
            && false_alarms < 0.05 + 4.0 * (0.05 * 0.95 / self.runs).sqrt()
    }
}

fn classic(bits: usize, cohorts: usize) -> Params {
    Params::rappor(bits, 2, cohorts, 0.5, 0.25, 0.75).unwrap()
}

#[test]
fn intervals_cover_when_all_candidates_are_fitted() {
    for (name, params) in [
        ("classic", classic(32, 16)),
        ("ours", Params::for_epsilon(2.0, None, Answers::Open).unwrap()),
        ("weak noise", Params::rappor(16, 2, 16, 0.0, 0.15, 0.85).unwrap()),
    ] {
        let crowd = Crowd::new(params, 30, 100_000, 0..60);
        let judged = crowd.judge(100, |seed| crowd.decode(seed));
        assert!(judged.is_calibrated(), "{name}: {judged:?}");
    }
}

#[test]
fn intervals_cover_when_strings_are_missing_from_the_candidates() {
    // Six of thirty strings, with a fifth of the devices, are no candidates. Where they hash to is fixed for given
    // names, so each run has its own.
    let mut judged = Judged::default();
    for seed in 0..200 {
        let candidates = (0..60).filter(|i| i % 5 != 4);
        let crowd = Crowd::salted(&format!("-{seed}"), classic(32, 16), 30, 100_000, candidates);
        judged.add(&crowd, &crowd.decode(seed));
    }
    assert!(judged.is_calibrated(), "{judged:?}");
}

#[test]
fn intervals_cover_when_candidates_are_selected() {
    // 2,000 candidates on 2,048 equations, of which 30 are there.
    let crowd = Crowd::new(classic(64, 32), 30, 300_000, 0..2000);
    let judged = crowd.judge(50, |seed| crowd.decode(seed));
    assert!(judged.is_calibrated(), "{judged:?}");
}

#[test]
fn closed_lists_are_covered_in_both_encodings() {
    let direct = Params::for_epsilon(2.0, None, Answers::Closed(8)).unwrap();
    let unary = Params::for_epsilon(1.0, None, Answers::Closed(40)).unwrap();
    assert_eq!((direct.encoding(), unary.encoding()), (Encoding::Direct, Encoding::Unary));
    for (params, values) in [(direct, 8), (unary, 40)] {
        let crowd = Crowd::new(params, values - 2, 20_000, 0..values);
        let judged = crowd.judge(300, |seed| crowd.decode(seed));
        assert!(judged.is_calibrated(), "{}: {judged:?}", params.encoding());
    }
}

#[test]
fn the_judge_notices_planted_faults() {
    let crowd = Crowd::new(classic(32, 16), 30, 1_000_000, 0..60);
    // f off by a tenth.
    let other = Params::rappor(32, 2, 16, 0.55, 0.25, 0.75).unwrap();
    let wrong_noise = |seed| decode(&other, &crowd.counts(seed), &crowd.design, &Options::default()).unwrap();
    assert!(!crowd.judge(20, wrong_noise).is_calibrated());
    // Standard errors that are a tenth too small.
    let too_sure = |seed| {
        let mut decoded = crowd.decode(seed);
        decoded.figures.iter_mut().for_each(|figure| figure.share.std_error *= 0.9);
        decoded
    };
    assert!(!crowd.judge(100, too_sure).is_calibrated());
    // One cohort's counts belong to another.
    let shifted = |seed| {
        let counts = crowd.counts(seed);
        let cohorts: Vec<usize> = (0..16).map(|i| (i + 1) % 16).collect();
        let reports = cohorts.iter().map(|&i| counts.reports()[i]).collect();
        let ones = cohorts.iter().flat_map(|&i| counts.ones(i).to_vec()).collect();
        let counts = Counts::new(32, reports, ones).unwrap();
        decode(&crowd.params, &counts, &crowd.design, &Options::default()).unwrap()
    };
    assert!(!crowd.judge(20, shifted).is_calibrated());
}

#[test]
fn every_method_finds_the_frequent_and_leaves_the_absent() {
    let crowd = Crowd::new(classic(64, 32), 30, 1_000_000, 0..300);
    for method in [Method::All, Method::Screen, Method::NonNegative, Method::Lasso] {
        let options = Options::default().method(method);
        let decoded = decode(&crowd.params, &crowd.counts(1), &crowd.design, &options).unwrap();
        let detected: Vec<_> =
            decoded.figures.iter().filter(|f| f.detected).map(|f| f.names[0].as_str()).collect();
        assert!((0..8).all(|i| detected.contains(&format!("v{i}").as_str())), "{method:?}: {detected:?}");
        assert!(detected.iter().all(|name| crowd.truth(name) > 0.0), "{method:?}: {detected:?}");
    }
}

#[test]
fn the_rest_is_what_no_candidate_has() {
    let crowd = Crowd::new(classic(32, 16), 30, 1_000_000, 10..30);
    let truth: f64 = (0..10).map(|i| crowd.truth(&format!("v{i}"))).sum();
    let inside = (0..50).filter(|&seed| {
        let (low, high) = crowd.decode(seed).unexplained.unwrap().interval_95();
        (low..=high).contains(&truth)
    });
    // Ten strings hash as they do, which is no average over hashes: one standard error of room.
    assert!(inside.count() >= 40);
}

#[test]
fn covariances_predict_the_error_of_a_sum() {
    let crowd = Crowd::new(classic(16, 4), 10, 200_000, 0..12);
    let options = Options::default().joint(true);
    let standardized = |seed| {
        let decoded = decode(&crowd.params, &crowd.counts(seed), &crowd.design, &options).unwrap();
        let joint = decoded.joint.unwrap();
        let pairs = (0..3).flat_map(|i| (0..3).map(move |j| (i, j)));
        let variance: f64 = pairs.map(|(i, j)| joint.covariance(i, j)).sum();
        let error =
            decoded.figures[..3].iter().map(|f| f.share.value - crowd.truth(&f.names[0])).sum::<f64>();
        error * error / variance
    };
    let mean = (0..200).map(standardized).sum::<f64>() / 200.0;
    // The mean of 200 squares of standard normals: its standard error is 0.1.
    assert!((0.6..=1.4).contains(&mean), "{mean}");
}

#[test]
fn forged_reports_shift_a_share_by_no_more_than_said() {
    let crowd = Crowd::new(classic(16, 4), 10, 100_000, 0..12);
    let before = crowd.decode(1);
    let (target, forged) = (&before.figures[0], 500);
    // The forger gives cohort 0 reports with the target's bits set and no others.
    let counts = crowd.counts(1);
    let column = (0..12).find(|&c| crowd.design.name(c) == target.names[0]).unwrap();
    let mut ones: Vec<u64> = (0..4).flat_map(|cohort| counts.ones(cohort).to_vec()).collect();
    crowd
        .design
        .column(column)
        .iter()
        .filter(|&&cell| cell < 16)
        .for_each(|&cell| ones[cell as usize] += forged);
    let mut reports = counts.reports().to_vec();
    reports[0] += forged;
    let counts = Counts::new(16, reports, ones).unwrap();
    let after = decode(&crowd.params, &counts, &crowd.design, &Options::default()).unwrap();
    let shifted =
        after.figures.iter().find(|f| f.names == target.names).unwrap().share.value - target.share.value;
    let bound = target.influence.unwrap() * forged as f64;
    assert!(shifted > 0.2 * bound && shifted < 1.05 * bound, "{shifted} of {bound}");
}

#[test]
fn cohorts_without_reports_are_left_out() {
    let crowd = Crowd::new(classic(32, 16), 30, 300_000, 0..40);
    let counts = crowd.counts(3);
    let keep = |cohort: usize| cohort % 4 != 1;
    let reports = (0..16).map(|i| if keep(i) { counts.reports()[i] } else { 0 }).collect();
    let ones =
        (0..16).flat_map(|i| counts.ones(i).iter().map(move |&n| if keep(i) { n } else { 0 })).collect();
    let counts = Counts::new(32, reports, ones).unwrap();
    let decoded = decode(&crowd.params, &counts, &crowd.design, &Options::default()).unwrap();
    assert_eq!(decoded.empty_cohorts, [1, 5, 9, 13]);
    let first = decoded.figures.iter().find(|figure| figure.names[0] == "v0").unwrap();
    assert!((first.share.value - crowd.truth("v0")).abs() < 4.0 * first.share.std_error);
}

#[test]
fn failures_are_typed() {
    let params = classic(16, 2);
    let names = |n: usize| (0..n).map(|i| format!("v{i}")).collect::<Vec<_>>();
    let design = Design::of_names(&params, names(4)).unwrap();
    let flat = |of: u64, ones: u64| Counts::new(16, vec![of; 2], vec![ones; 32]).unwrap();
    let run =
        |counts: &Counts, design: &Design| decode(&params, counts, design, &Options::default()).unwrap_err();
    for total in [0, 1] {
        let mut counts = Counts::empty(&params);
        counts.merge(&Counts::new(16, vec![total, 0], vec![0; 32]).unwrap()).unwrap();
        assert!(matches!(run(&counts, &design), DecodeError::TooFewReports { need: 2, .. }));
    }
    let few = run(&flat(3, 1), &design);
    assert!(matches!(few, DecodeError::TooFewReports { have: 6, need, .. } if need > 6), "{few}");
    let ones = run(&flat(100_000, 60_000), &design);
    assert!(matches!(ones, DecodeError::ImpossibleOnes { .. }), "{ones}");
    let foreign = Design::of_names(&classic(16, 3), names(4)).unwrap();
    assert!(matches!(run(&flat(100_000, 40_000), &foreign), DecodeError::Shape { what: "candidates", .. }));
    // One cohort of four bits with one hash tells at most four candidates apart; bits 0 and 1 always go together.
    let narrow = Params::new(Encoding::Bloom, 4, 2, 1, None, Response::nearest(0.25, 0.75).ok()).unwrap();
    let cells = vec![vec![0, 1], vec![1, 2], vec![2, 3], vec![3, 0]];
    let candidates = deniable_aggregator::decode::Candidates { names: names(4), cells };
    let design = Design::of_map(&narrow, candidates).unwrap();
    let counts = Counts::new(4, vec![100_000], vec![50_000; 4]).unwrap();
    let error = decode(&narrow, &counts, &design, &Options::default().method(Method::All)).unwrap_err();
    let DecodeError::RankDeficient { groups } = error else { panic!("{error}") };
    assert_eq!(groups, [names(4)]);
}

#[test]
fn candidates_that_cannot_be_told_apart_share_a_figure() {
    let params = Params::rappor(4, 1, 1, 0.5, 0.25, 0.75).unwrap();
    let names = ["a", "b", "c"].map(str::to_owned).to_vec();
    let cells = vec![vec![0], vec![1], vec![0]];
    let design = Design::of_map(&params, deniable_aggregator::decode::Candidates { names, cells }).unwrap();
    let counts = Counts::new(4, vec![100_000], vec![53_750, 43_750, 38_750, 38_750]).unwrap();
    let decoded = decode(&params, &counts, &design, &Options::default()).unwrap();
    assert_eq!(decoded.figures[0].names, ["a", "c"]);
    assert!((decoded.figures[0].share.value - 0.6).abs() < 0.02, "{:?}", decoded.figures[0]);
}

#[test]
fn the_answer_is_the_same_on_any_number_of_cores() {
    let crowd = Crowd::new(classic(64, 32), 30, 300_000, 0..2000);
    let counts = crowd.counts(1);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| decode(&crowd.params, &counts, &crowd.design, &Options::default()).unwrap())
    };
    let one = on(1);
    assert!(one == on(2) && one == on(5));
}

#[test]
fn our_parameters_need_fewer_users_than_the_classic_ones() {
    let classic = classic(128, 128);
    let ours = Params::for_epsilon(classic.epsilon_one().get(), None, Answers::Open).unwrap();
    let square_error = |params: Params| {
        let crowd = Crowd::new(params, 50, 100_000, 0..200);
        let errors = (0..40).flat_map(|seed| {
            let figures = crowd.decode(seed).figures;
            figures
                .into_iter()
                .map(|f| (f.share.value - crowd.truth(&f.names[0])).powi(2))
                .collect::<Vec<_>>()
        });
        errors.sum::<f64>()
    };
    // Users for equal error grow like the square error. Both sums are of 8,000 squares: their ratio has a
    // standard error of 2 %.
    let ratio = square_error(classic) / square_error(ours);
    assert!(ratio > 2.4, "{ratio}");
}
