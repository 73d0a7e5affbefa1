//! The decoder on google/rappor's own cases, beside what its decoder answered.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use deniable_aggregator::decode::{Correction, Counts, Decoded, Design, Method, Options, decode};
use deniable_aggregator::rappor_files::{read_candidates, read_counts, read_params};
use flate2::read::GzDecoder;
use tempfile::TempDir;

type Shares = HashMap<String, f64>;

/// One case: what it was made from, what the reference answered, and what we decode.
struct Case {
    name: String,
    params: deniable::Params,
    counts: Counts,
    design: Design,
    truth: Shares,
    reference: Shares,
    /// The mean of its total variation over its seeds: its decode draws random numbers.
    variation: f64,
}

impl Case {
    fn read(folder: &Path, home: &TempDir) -> Self {
        let file = |name: &str| plain(folder, name, home);
        let params = read_params(&file("params.csv")).expect("params.csv is sound");
        let counts = read_counts(&file("counts.csv"), &params).expect("counts.csv is sound");
        let names = match params.bits() {
            1 => vec!["TRUE".to_owned()],
            _ => read_candidates(&file("candidates.txt")).expect("candidates.txt is sound"),
        };
        let design = if params.bits() == 1 {
            Design::of_names(&params, names)
        } else {
            Design::rappor(&params, names)
        };
        let devices = column(&file("true_hist.csv"), "string", "count");
        let total: f64 = devices.iter().map(|(_, count)| count).sum();
        let metrics = column(&file("peer_metrics.csv"), "seed", "total_variation");
        let variation = metrics.iter().map(|(_, variation)| variation).sum::<f64>() / metrics.len() as f64;
        Self {
            name: folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            params,
            counts,
            design: design.expect("the candidates are sound"),
            truth: devices.into_iter().filter(|(_, n)| *n > 0.0).map(|(name, n)| (name, n / total)).collect(),
            reference: column(&file("peer_results_seed1.csv"), "string", "proportion").into_iter().collect(),
            variation,
        }
    }

    fn decode(&self, options: &Options) -> Option<Decoded> {
        decode(&self.params, &self.counts, &self.design, options).ok()
    }

    /// Half the sum of absolute errors, and the root of the mean square one, over all strings named anywhere.
    fn errors(&self, shares: &Shares) -> (f64, f64) {
        let known = (0..self.design.columns()).map(|column| self.design.name(column));
        let names: BTreeSet<&str> = known.chain(self.truth.keys().map(String::as_str)).collect();
        let at = |shares: &Shares, name: &str| shares.get(name).copied().unwrap_or(0.0);
        let off: Vec<f64> = names.iter().map(|name| at(shares, name) - at(&self.truth, name)).collect();
        let square = off.iter().map(|off| off * off).sum::<f64>() / off.len() as f64;
        (off.iter().map(|off| off.abs()).sum::<f64>() / 2.0, square.sqrt())
    }

    fn consistent(&self, decoded: &Decoded) -> Shares {
        let mut shares: Shares = decoded.figures.iter().map(|f| (f.names[0].clone(), f.consistent)).collect();
        if let ("TRUE", 1, Some(rest)) =
            (&*decoded.figures[0].names[0], self.params.bits(), &decoded.unexplained)
        {
            shares.insert("FALSE".to_owned(), rest.value);
        }
        shares
    }

    /// Detected strings: how many, how many of them absent, and how many true ones that the reference found are not
    /// among them.
    fn detections(&self, decoded: &Decoded) -> (usize, usize, usize) {
        let detected: BTreeSet<&str> =
            decoded.figures.iter().filter(|f| f.detected).map(|f| f.names[0].as_str()).collect();
        let absent = detected.iter().filter(|name| !self.truth.contains_key(**name)).count();
        let found = self.reference.keys().filter(|name| self.truth.contains_key(*name) && *name != "FALSE");
        (detected.len(), absent, found.filter(|name| !detected.contains(name.as_str())).count())
    }

    fn coverage(&self, decoded: &Decoded) -> f64 {
        let inside = decoded.figures.iter().filter(|figure| {
            let (low, high) = figure.share.interval_95();
            (low..=high).contains(self.truth.get(&figure.names[0]).unwrap_or(&0.0))
        });
        inside.count() as f64 / decoded.figures.len() as f64
    }

    fn print(&self) {
        let Some(decoded) = self.decode(&Options::default()) else { return };
        let (variation, error) = self.errors(&self.consistent(&decoded));
        let (_, reference_error) = self.errors(&self.reference);
        let (detected, absent, lost) = self.detections(&decoded);
        let wider = self.decode(&Options::default().correction(Correction::BenjaminiHochberg));
        let (_, wider_absent, wider_lost) =
            wider.map(|decoded| self.detections(&decoded)).unwrap_or_default();
        let reference_absent = self.reference.keys().filter(|name| !self.truth.contains_key(*name)).count();
        println!(
            "| {} | {variation:.3} | {:.3} | {:.2e} | {:.2e} | {detected} | {absent} | {} | {reference_absent} | {lost} | {wider_lost} ({wider_absent}) | {:.3} |",
            self.name,
            self.variation,
            error,
            reference_error,
            self.reference.len(),
            self.coverage(&decoded),
        );
    }

    fn print_methods(&self) {
        let methods = [Method::All, Method::Screen, Method::Lasso, Method::NonNegative];
        let cell = |method| match self.decode(&Options::default().method(method)) {
            None => "–".to_owned(),
            Some(decoded) => {
                let (variation, _) = self.errors(&self.consistent(&decoded));
                let (detected, absent, _) = self.detections(&decoded);
                format!("{variation:.3}, {detected} ({absent})")
            }
        };
        println!("| {} | {} |", self.name, methods.map(cell).join(" | "));
    }
}

pub(crate) fn print(folder: &Path) {
    let home = tempfile::tempdir().expect("a temporary folder is had");
    let mut folders: Vec<PathBuf> =
        fs::read_dir(folder).expect("the cases can be listed").flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let cases: Vec<Case> = folders.iter().map(|folder| Case::read(folder, &home)).collect();
    println!(
        "## Cases of google/rappor\n\nThe same counts and candidates, decoded by us and by its R code. Total variation (TV) and root mean square error are of our consistent shares, and of all that it reports; its TV is the mean of five seeds, for it draws random numbers, its other figures are of seed 1. *Lost* are true strings that it reports and we do not detect, at a family-wise level of 5 % and, with the absent ones that are then detected, at a false discovery rate of 5 %. It reports what is two standard errors above zero, without correction: some of its true finds are no more significant than noise, and no test at that level can keep them. Of a single bit only TRUE is counted here. *Coverage* is the part of our 95 % intervals that hold the truth, over all candidates.\n"
    );
    println!(
        "| case | TV | its TV | RMSE | its RMSE | detected | absent | its reported | absent | lost | lost at FDR (absent) | coverage |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    cases.iter().for_each(Case::print);
    println!(
        "\n### Methods\n\nTotal variation, detected strings, and absent ones among these in parentheses. A dash is a typed failure: more candidates than equations, or a fit that did not settle.\n\nFitting all candidates is the default where there are twice as many equations as candidates, and at most 600 of these: nothing is selected there, and its intervals hold whatever the truth is. Beyond, screening is the default. It and the LASSO path choose much the same strings; but screening weighs each by its standard error in the fit, and where strings are as many as equations (e08) it lets in few, which keeps its intervals true: simulated anew, 94 % of them hold the truth there, and 92 % of those after the path. Non-negative least squares takes in hundreds of strings of no significance; where there are more candidates than equations the frequent ones lose certainty to them, or it does not settle.\n"
    );
    println!("| case | all | screen | lasso | non-negative |");
    println!("|---|---|---|---|---|");
    cases.iter().for_each(Case::print_methods);
    println!();
}

/// The file `name` of `folder`, unpacked into `home` if there is only a gzipped one.
fn plain(folder: &Path, name: &str, home: &TempDir) -> PathBuf {
    let path = folder.join(name);
    if path.exists() {
        return path;
    }
    let unpacked = home.path().join(name);
    let packed = File::open(folder.join(format!("{name}.gz"))).expect("the file is there, plain or gzipped");
    io::copy(&mut GzDecoder::new(packed), &mut File::create(&unpacked).expect("the folder is ours"))
        .expect("it unpacks");
    unpacked
}

/// The columns `key` and `value` of a CSV file with a header.
fn column(path: &Path, key: &str, value: &str) -> Vec<(String, f64)> {
    let mut text = String::new();
    File::open(path).and_then(|mut file| file.read_to_string(&mut text)).expect("the file can be read");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().expect("there is a header").clone();
    let [key, value] =
        [key, value].map(|name| header.iter().position(|h| h == name).expect("there is the column"));
    let row = |row: csv::StringRecord| (row[key].to_owned(), row[value].parse().unwrap_or(f64::NAN));
    reader.records().map(|record| row(record.expect("the rows are alike"))).collect()
}
