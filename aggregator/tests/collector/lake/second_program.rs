//! The lake as DuckDB reads it: the same counts, from the sums and folded from the reports, also of chosen epochs.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::Closed;

/// What is installed from PyPI.
const DUCKDB: &str = "duckdb>=1.4,<3";
/// What pip says when it cannot reach PyPI.
const OFFLINE: [&str; 6] = [
    "connection broken by",
    "Read timed out",
    "NewConnectionError",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "Could not fetch URL",
];

fn run(command: &mut Command) -> Output {
    let program = command.get_program().to_owned();
    command
        .output()
        .unwrap_or_else(|error| panic!("{} is needed, version 3.9 or later: {error}", program.display()))
}

/// A Python that has DuckDB, in an environment of its own below the target folder; none if there is no network.
fn python() -> Option<PathBuf> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("duckdb");
    // One process installs at a time.
    let lock = fs::File::create(home.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let (python, done) = (home.join("bin/python"), home.join("installed"));
    if fs::read_to_string(&done).is_ok_and(|installed| installed == DUCKDB) {
        return Some(python);
    }
    let made = run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home));
    assert!(made.status.success(), "python3 cannot make an environment; install its module venv: {made:?}");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", DUCKDB];
    let installed = run(Command::new(&python).args(pip));
    if !installed.status.success() {
        let said = String::from_utf8_lossy(&installed.stderr).into_owned();
        assert!(OFFLINE.iter().any(|words| said.contains(words)), "pip cannot install {DUCKDB}: {said}");
        return None;
    }
    fs::write(done, DUCKDB).unwrap();
    Some(python)
}

/// The first block of SQL of the README, which reads `lake`.
fn readme() -> String {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let (_, rest) = readme.split_once("```sql\n").expect("the README has a query");
    rest.split("```").next().unwrap().to_owned()
}

/// Reports of a cohort, and of those with each bit, as `deniable counts` prints them.
fn printed(csv: &str) -> Vec<Vec<u64>> {
    csv.lines().map(|line| line.split(',').map(|count| count.parse().unwrap()).collect()).collect()
}

#[test]
fn another_program_reads_the_same_counts() {
    let Some(python) = python() else {
        // Not `eprintln!`, which is shown of failing tests alone.
        writeln!(io::stderr(), "SKIPPED: there is no network, and DuckDB is not installed yet").unwrap();
        return;
    };
    let closed = Closed::new(0);
    let of = |words: &[&str]| {
        printed(&closed.say(&[&["counts", "--metric", "relying_party", "--format", "csv"], words].concat()))
    };
    let (all, some) = (of(&[]), of(&["--epoch", "20003-20007"]));
    closed.say(&["lake", "compact", "--lake", &closed.lake()]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/collector/lake/second_program.py");
    let output = run(Command::new(python).arg(script).arg(closed.lake()).arg(readme()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let table = |name: &str| serde_json::from_value::<Vec<Vec<u64>>>(found[name].clone()).unwrap();
    assert_eq!(table("sums"), all);
    assert_eq!(table("reports"), all);
    assert_eq!(table("sums_of_some_epochs"), some);
    assert_eq!(table("reports_of_some_epochs"), some);
    // The README asks for the reports of each day of a week.
    let week: u64 = of(&["--epoch", "20000-20006"]).iter().map(|row| row[0]).sum();
    assert_eq!(table("readme").iter().map(|row| row[1]).sum::<u64>(), week);
    assert!(table("readme").len() == 7, "{}", found["readme"]);
    let entries = &found["entries"];
    assert_eq!((&entries["deniable.format"], &entries["deniable.bits"]), (&"1".into(), &"128".into()));
    assert!(entries["deniable.params"].as_str().unwrap().contains("bloom"), "{entries}");
    let described =
        ["VARCHAR", "VARCHAR", "USMALLINT", "UBIGINT", "UBIGINT[]", "BIGINT", "VARCHAR", "BIGINT"];
    assert_eq!(found["types"], Value::from(described.to_vec()));
    assert_eq!(found["order"], Value::from(true), "rows are not sorted");
}
