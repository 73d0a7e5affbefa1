//! A collector as `deniable init` makes it, asking the questions of the examples; and programs built for the test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The most that anything here may take, also where a machine has much else to do.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// A running collector. It is killed when the test ends.
pub(crate) struct Site {
    home: tempfile::TempDir,
    collector: Child,
    pub(crate) url: String,
    pub(crate) key: String,
    token: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("collector");
        let deniable = || Command::new(env!("CARGO_BIN_EXE_deniable"));
        let output = deniable().arg("init").arg(&dir).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let after = |words: &str| said.lines().find_map(|line| line.strip_prefix(words)).unwrap().to_owned();
        fs::copy(root().join("sdk/examples/questions.toml"), dir.join("metrics.toml")).unwrap();
        let mut collector = deniable()
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(dir.join("deniable.toml"))
            .env("DENIABLE_LIMITS_TOKEN_RATE", "100000")
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(collector.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect(&line).to_owned();
        let (key, token) =
            (after("write key, for the application: "), after("token, for the analyst, shown this once: "));
        Self { home, collector, url, key, token }
    }

    /// A folder for a program.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// How many reports of a metric are counted.
    pub(crate) fn counted(&self, metric: &str) -> u64 {
        let request = ureq::get(format!("{}/v1/counts", self.url));
        let answer = request.header("authorization", format!("Bearer {}", self.token)).call().unwrap();
        let text = answer.into_body().read_to_string().unwrap();
        let holdings: Value = serde_json::from_str(&text).unwrap();
        let holdings = holdings.as_array().unwrap().iter().filter(|holding| holding["metric"] == metric);
        holdings.map(|holding| holding["reports"].as_u64().unwrap()).sum()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.collector.kill().unwrap();
        self.collector.wait().unwrap();
    }
}

/// The project's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Runs cargo for the crate `deniable`, and gives the files that it made, as it names them.
pub(crate) fn built(arguments: &[&str]) -> Vec<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(arguments).args(["--package", "deniable", "--features", "native,ffi"]);
    let output = cargo.args(["--message-format", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let made = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let manifest = root().join("sdk/Cargo.toml").canonicalize().unwrap();
    let ours = made.filter(|message| message["manifest_path"].as_str().map(Path::new) == Some(&manifest));
    let files = |message: Value| match &message["filenames"] {
        Value::Array(files) => files.iter().map(|file| file.as_str().unwrap().into()).collect(),
        _ => Vec::<PathBuf>::new(),
    };
    ours.flat_map(files).collect()
}

/// The program of an example.
pub(crate) fn example(name: &str) -> PathBuf {
    let made = built(&["build", "--example", name]);
    made.into_iter().find(|file| file.file_name().is_some_and(|file| file == name)).unwrap()
}

/// Waits until something is so that another program brings about.
pub(crate) fn until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < LONG, "it does not come about");
        std::thread::yield_now();
    }
}
