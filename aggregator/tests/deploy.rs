//! The unit for systemd and the recipe for a container are sound, and as strict as they say.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "what is left out is told")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What systemd calls a service that has little more than it needs; 0 is nothing, 100 everything.
const EXPOSURE: u32 = 15;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap()
}

/// The unit with a program that is there, in a directory of its own.
fn unit() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (path, unit) = (dir.path().join("deniable.service"), read("deniable.service"));
    let program = "/usr/local/bin/deniable";
    assert!(unit.contains(&format!("ExecStart={program} serve --config ")));
    fs::write(&path, unit.replace(program, env!("CARGO_BIN_EXE_deniable"))).unwrap();
    (dir, path)
}

/// Runs `systemd-analyze`, where there is one.
fn analyze(arguments: &[&str], unit: &Path) -> Option<String> {
    let output = match Command::new("systemd-analyze").args(arguments).arg(unit).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("left out: systemd-analyze is not on this machine ({error})");
            return None;
        }
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "systemd-analyze {arguments:?}: {said}");
    Some(said)
}

#[test]
fn the_unit_is_understood_by_systemd() {
    let (_dir, path) = unit();
    if let Some(said) = analyze(&["verify", "--man=no"], &path) {
        assert!(!said.contains("deniable.service"), "{said}");
    }
}

#[test]
fn the_unit_leaves_the_service_little() {
    let (_dir, path) = unit();
    analyze(&["security", "--offline=yes", &format!("--threshold={EXPOSURE}")], &path);
    let unit = read("deniable.service");
    for line in [
        "DynamicUser=yes",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "ExecReload=/bin/kill -HUP $MAINPID",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
}

/// `cargo xtask ci` reads the syntax; this what it says.
#[test]
fn the_container_is_small_runs_as_nobody_and_tells_its_health() {
    let recipe = read("Dockerfile").replace("\\\n", " ");
    let lines: Vec<Vec<&str>> = recipe
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split_whitespace().collect())
        .collect();
    let of =
        |name: &str| lines.iter().filter(|line| line[0] == name).map(|line| &line[1..]).collect::<Vec<_>>();
    let images = of("FROM");
    assert!(
        images.iter().all(|image| image[0].contains(':') && !image[0].ends_with(":latest")),
        "{images:?}"
    );
    assert!(
        images.last().unwrap()[0].contains("distroless") && images.last().unwrap()[0].ends_with(":nonroot")
    );
    let version = env!("CARGO_PKG_RUST_VERSION");
    assert!(images[0][0].contains(&format!("rust:{version}-")), "{images:?} is not of Rust {version}");
    let user: u32 = of("USER")[0][0].split(':').next().unwrap().parse().unwrap();
    assert!(user > 0);
    assert!(
        lines.iter().position(|line| line[0] == "USER") > lines.iter().rposition(|line| line[0] == "FROM")
    );
    assert!(recipe.contains("cargo build --release --locked"));
    let program = format!("[\"{}\"]", "/usr/bin/deniable");
    assert_eq!(of("ENTRYPOINT"), [&[program.as_str()]]);
    // The commands that it runs are those that there are.
    let health = recipe.lines().find(|line| line.starts_with("HEALTHCHECK")).unwrap();
    assert!(health.ends_with("CMD [\"/usr/bin/deniable\", \"ready\"]"), "{health}");
    for command in ["ready", "serve", "init"] {
        let help = Command::new(env!("CARGO_BIN_EXE_deniable")).args([command, "--help"]).output().unwrap();
        assert!(help.status.success() && recipe.contains(command), "{command}");
    }
}
