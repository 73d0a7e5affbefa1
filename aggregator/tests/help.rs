//! What `--help` says is a checked file, so that a change of it is seen and read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::Command;

/// The help of the program and of each command, one after the other.
fn help() -> String {
    let of = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_deniable")).args(arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let whole = of(&[]);
    let commands = whole.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let named = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let names = commands.lines().filter(named).filter_map(|line| line.split_whitespace().next());
    let of_command = |name| format!("\n$ deniable {name} --help\n{}", of(&[name]));
    let sections: String = names.filter(|name| *name != "help").map(of_command).collect();
    format!("$ deniable --help\n{whole}{sections}")
}

#[test]
fn help_is_the_checked_file() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os("WRITE_HELP").is_some() {
        std::fs::write(&file, help()).unwrap();
    }
    let checked = std::fs::read_to_string(&file).unwrap();
    assert_eq!(help(), checked, "read the change, and write it with WRITE_HELP=1 cargo test --test help");
}
