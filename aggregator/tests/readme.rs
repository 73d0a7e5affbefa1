//! The README is true: its commands run in the order they stand, its client reports, and its numbers are computed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use deniable::{Answers, MetricId, Params};
use deniable_aggregator::catalog::Catalog;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(relative: &str) -> String {
    fs::read_to_string(root().join(relative)).unwrap()
}

/// The code blocks of the README in one language, in order.
fn blocks(language: &str) -> Vec<String> {
    let readme = read("README.md");
    let parts = readme.split("```").skip(1).step_by(2);
    parts.filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n')).map(str::to_owned).collect()
}

/// A reader's shell: a directory of their own with the project's test data in it, and the program on the path.
struct Shell {
    home: tempfile::TempDir,
    collector: Option<(Child, String)>,
}

impl Shell {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(root().join("tests").canonicalize().unwrap(), home.path().join("tests"))
            .unwrap();
        let files = [
            ("metrics.toml", &blocks("toml")[0]),
            ("app.toml", &blocks("toml")[1]),
            ("events.jsonl", &blocks("json")[0]),
        ];
        files.iter().for_each(|(name, text)| fs::write(home.path().join(name), text).unwrap());
        Self { home, collector: None }
    }

    /// Runs one line as it stands, but for what a test must change: the port, the build, the number of devices.
    fn run(&mut self, line: &str, cwd: &mut PathBuf) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["cd", folder] => *cwd = cwd.join(folder),
            ["cargo", "xtask", "ci"] => {
                assert!(read(".ci/run").contains(line), ".ci/run runs something else");
            }
            ["cargo", "run", "--release", "--", "demo"] => {
                self.deniable(&["demo", "--devices", "10000"], cwd);
            }
            ["cargo", "run", "--package", "deniable", "--example", example] => self.example(example),
            ["deniable", "serve", .., "--print-config"] => self.deniable(&words[1..], cwd),
            ["deniable", "serve", ref arguments @ ..] => self.serve(arguments),
            ["deniable", "ready"] => {
                let (_, url) =
                    self.collector.as_ref().expect("the README starts a collector before it asks one");
                self.deniable(&["ready", url], cwd);
            }
            ["deniable", ref arguments @ ..] => self.deniable(arguments, cwd),
            _ => panic!("the README has a command that this test does not know: {line}"),
        }
    }

    fn deniable(&self, arguments: &[&str], cwd: &Path) {
        let output =
            Command::new(env!("CARGO_BIN_EXE_deniable")).args(arguments).current_dir(cwd).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "deniable {arguments:?}: {said}");
        assert!(!output.stdout.is_empty(), "deniable {arguments:?} printed nothing");
    }

    fn serve(&mut self, arguments: &[&str]) {
        self.stop();
        let arguments =
            arguments.iter().map(|word| if *word == "127.0.0.1:8080" { "127.0.0.1:0" } else { word });
        let mut child = Command::new(env!("CARGO_BIN_EXE_deniable"))
            .arg("serve")
            .args(arguments)
            .env("DENIABLE_LISTEN", "127.0.0.1:0")
            .current_dir(&self.home)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        self.collector = Some((child, url));
    }

    /// Ends the collector, if one runs.
    fn stop(&mut self) {
        if let Some((mut child, _)) = self.collector.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn example(&self, example: &str) {
        let (_, url) = self.collector.as_ref().expect("the README starts a collector before its client");
        let output = Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--package", "deniable", "--example", example, "--", url])
            .current_dir(root())
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(r#""status":"accepted""#), "{said}");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn every_command_runs() {
    let mut shell = Shell::new();
    let commands = blocks("sh");
    assert!(commands.len() >= 6, "{commands:?}");
    for block in commands {
        let mut cwd = shell.home.path().to_owned();
        block.lines().for_each(|line| shell.run(line, &mut cwd));
    }
}

#[test]
fn the_clients_are_those_that_are_run_elsewhere() {
    assert!(read("sdk/examples/first_client.rs").contains(blocks("rust")[0].trim()));
    // The documentation's examples are compiled.
    let docs: Vec<_> = read("sdk/src/native/mod.rs")
        .lines()
        .map(|line| line.trim_start_matches("//!").strip_prefix(' ').unwrap_or_default().to_owned())
        .collect();
    assert!(docs.join("\n").contains(blocks("rust")[1].trim()));
    assert!(read("wasm/README.md").contains(blocks("ts")[0].trim()));
}

#[test]
fn the_first_metric_has_the_parameters_that_its_client_chooses() {
    let catalog = Catalog::parse(&blocks("toml")[0]).unwrap();
    let metric = catalog.get(&MetricId::new("relying_party").unwrap(), 1).unwrap();
    assert_eq!(*metric.params(), Params::for_epsilon(2.0, Some(4.0), Answers::Open).unwrap());
}

#[test]
fn the_table_of_costs_is_computed() {
    let chosen = |one, answers| (Params::for_epsilon(one, Some(2.0 * one), answers).unwrap(), answers);
    let classic = |k, f, p, q| (Params::rappor(k, 2, 128, f, p, q).unwrap(), Answers::Open);
    let rows = [
        ("yes or no", chosen(1.0, Answers::Closed(2))),
        ("20 values", chosen(1.0, Answers::Closed(20))),
        ("open strings", chosen(1.0, Answers::Open)),
        ("open strings", chosen(2.0, Answers::Open)),
        ("open strings", chosen(4.0, Answers::Open)),
        ("google/rappor, k = 128, f = .5, p = .25, q = .75", classic(128, 0.5, 0.25, 0.75)),
        ("google/rappor, k = 8, f = .45, p = .39, q = .61", classic(8, 0.45, 0.39, 0.61)),
    ];
    let readme = read("README.md");
    let missing: Vec<String> = rows
        .into_iter()
        .map(|(name, (params, answers))| {
            format!(
                "| {name} | {:.2} | {:.2} | {:.0} | {:.2} |",
                params.epsilon_one(),
                params.epsilon_infinity(),
                (params.variance() * 1e6).sqrt(),
                params.excess_variance(answers).unwrap()
            )
        })
        .filter(|row| !readme.contains(row))
        .collect();
    assert!(missing.is_empty(), "the README lacks these rows:\n{}", missing.join("\n"));
}
