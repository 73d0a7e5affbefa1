//! Cases of google/rappor, decoded beside its own answer and the truth.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use deniable::Params;
use deniable_aggregator::decode::{Counts, Decoded, Design, Options, decode};
use deniable_aggregator::rappor_files::{read_candidates, read_counts, read_map, read_params};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/google-rappor").join(name)
}

/// The columns `key` and `value` of a CSV file without quoted commas.
fn column(path: &Path, key: &str, value: &str) -> HashMap<String, f64> {
    let text = std::fs::read_to_string(path).unwrap().replace('"', "");
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let [key, value] = [key, value].map(|name| header.iter().position(|h| *h == name).unwrap());
    let pair = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[key].to_owned(), cells[value].parse().unwrap())
    };
    lines.map(pair).collect()
}

fn truth(name: &str) -> HashMap<String, f64> {
    let counts = column(&case(name).join("true_hist.csv"), "string", "count");
    let total: f64 = counts.values().sum();
    counts.into_iter().map(|(string, count)| (string, count / total)).collect()
}

fn load(name: &str) -> (Params, Counts, Design) {
    let params = read_params(&case(name).join("params.csv")).unwrap();
    let counts = read_counts(&case(name).join("counts.csv"), &params).unwrap();
    let map = read_map(&case(name).join("map.csv"), &params).unwrap();
    let design = Design::of_map(&params, map).unwrap();
    (params, counts, design)
}

fn answer(name: &str) -> Decoded {
    let (params, counts, design) = load(name);
    decode(&params, &counts, &design, &Options::default()).unwrap()
}

fn total_variation(shares: &HashMap<String, f64>, truth: &HashMap<String, f64>) -> f64 {
    let others = shares.iter().filter(|(name, _)| !truth.contains_key(*name));
    let known = truth.iter().map(|(name, share)| (shares.get(name).unwrap_or(&0.0) - share).abs());
    (known.sum::<f64>() + others.map(|(_, share)| share.abs()).sum::<f64>()) / 2.0
}

#[test]
fn a_hashed_list_is_the_map_that_the_reference_made() {
    let (params, _, design) = load("e03-zipf1-small");
    let names = read_candidates(&case("e03-zipf1-small").join("candidates.txt")).unwrap();
    let hashed = Design::rappor(&params, names).unwrap();
    assert_eq!(hashed.columns(), design.columns());
    for column in 0..design.columns() {
        assert_eq!(hashed.name(column), design.name(column));
        assert_eq!(hashed.column(column), design.column(column), "{}", design.name(column));
    }
}

/// Cases with lists of candidates; the map of any is made from its list.
const LISTED: [&str; 8] = [
    "e02-demo",
    "e03-zipf1-small",
    "e04-gauss-small",
    "e05-unif-small",
    "e06-exp-small",
    "e07-zipf1.5-medium",
    "e08-exp-medium",
    "e11-chrome8",
];

fn listed(name: &str) -> Decoded {
    let params = read_params(&case(name).join("params.csv")).unwrap();
    let counts = read_counts(&case(name).join("counts.csv"), &params).unwrap();
    let names = read_candidates(&case(name).join("candidates.txt")).unwrap();
    decode(&params, &counts, &Design::rappor(&params, names).unwrap(), &Options::default()).unwrap()
}

/// Root of the sum of squared errors, over the strings named anywhere.
fn distance(shares: &HashMap<String, f64>, truth: &HashMap<String, f64>) -> f64 {
    let others = shares.iter().filter(|(name, _)| !truth.contains_key(*name)).map(|(_, share)| share * share);
    let known = truth.iter().map(|(name, share)| (shares.get(name).unwrap_or(&0.0) - share).powi(2));
    (known.sum::<f64>() + others.sum::<f64>()).sqrt()
}

#[test]
fn the_consistent_shares_are_closer_to_the_truth_than_the_references() {
    for name in LISTED {
        let (decoded, truth) = (listed(name), truth(name));
        let consistent: HashMap<String, f64> =
            decoded.figures.iter().map(|figure| (figure.names[0].clone(), figure.consistent)).collect();
        assert!(consistent.values().all(|share| *share >= 0.0));
        assert!(consistent.values().sum::<f64>() <= 1.0 + 1e-9);
        let metrics = column(&case(name).join("peer_metrics.csv"), "seed", "total_variation");
        // Its decode draws random numbers: what it achieves is the mean over its seeds.
        let mean = metrics.values().sum::<f64>() / metrics.len() as f64;
        let ours = total_variation(&consistent, &truth);
        assert!(ours < mean, "{name}: total variation {ours}, the reference's {metrics:?}");
        let reference = column(&case(name).join("peer_results_seed1.csv"), "string", "proportion");
        let (ours, theirs) = (distance(&consistent, &truth), distance(&reference, &truth));
        assert!(ours < theirs, "{name}: distance {ours}, the reference's {theirs}");
    }
}

#[test]
fn nothing_absent_is_detected_and_the_intervals_hold_the_truth() {
    for name in LISTED {
        let (decoded, truth) = (listed(name), truth(name));
        let at = |name: &str| truth.get(name).copied().unwrap_or(0.0);
        let absent = decoded.figures.iter().filter(|f| f.detected && at(&f.names[0]) == 0.0);
        assert_eq!(absent.count(), 0, "{name}");
        let inside = decoded.figures.iter().filter(|figure| {
            let (low, high) = figure.share.interval_95();
            (low..=high).contains(&at(&figure.names[0]))
        });
        let (inside, all) = (inside.count() as f64, decoded.figures.len() as f64);
        // Four standard errors of independent intervals; those of one decode are not quite.
        assert!(inside / all > 0.95 - 4.0 * (0.95 * 0.05 / all).sqrt(), "{name}: {inside} of {all}");
    }
}

#[test]
fn what_is_detected_is_true_and_its_intervals_hold_the_truth() {
    let (decoded, truth) = (answer("e03-zipf1-small"), truth("e03-zipf1-small"));
    assert_eq!(decoded.reports, 1_000_000);
    let detected: Vec<&str> = decoded
        .figures
        .iter()
        .filter(|figure| figure.detected)
        .map(|figure| figure.names[0].as_str())
        .collect();
    assert!(detected.iter().all(|name| truth.contains_key(*name)), "{detected:?}");
    assert!(["v1", "v2", "v3", "v4", "v5", "v6"].iter().all(|name| detected.contains(name)), "{detected:?}");
    let inside = decoded.figures.iter().filter(|figure| {
        let (low, high) = figure.share.interval_95();
        (low..=high).contains(truth.get(&figure.names[0]).unwrap_or(&0.0))
    });
    // Binomial(110, 0.95) is below 95 with a chance of 0.02 %.
    assert!(inside.count() >= 95);
}

#[test]
fn one_bit_reports_give_the_share_of_true() {
    let (decoded, truth) = (answer("e12-boolean"), truth("e12-boolean"));
    let [only] = &decoded.figures[..] else { panic!("{decoded:?}") };
    assert_eq!((only.names[0].as_str(), only.detected), ("TRUE", true));
    assert!((only.share.value - truth["TRUE"]).abs() < 1.96 * only.share.std_error);
    let reference = column(&case("e12-boolean").join("peer_results_seed1.csv"), "string", "estimate");
    assert!((only.share.value * 200_000.0 - reference["TRUE"]).abs() < 1.0);
    let rest = decoded.unexplained.unwrap();
    assert!((rest.value + only.share.value - 1.0).abs() < 1e-12);
}

#[test]
fn the_figures_stay_as_they_were() {
    let decoded = answer("e03-zipf1-small");
    let first = &decoded.figures[0];
    let rest = decoded.unexplained.unwrap();
    let found = [first.share.value, first.share.std_error, first.consistent, rest.value, rest.std_error];
    let known =
        [0.191_446_226_846, 0.003_691_392_947, 0.191_446_226_846, 0.049_651_978_891, 0.038_232_528_563];
    for (found, known) in found.into_iter().zip(known) {
        assert!((found - known).abs() < 1e-9, "{found} is not {known}");
    }
}
