//! `deniable init`: what a collector on the open internet needs, in one directory.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use deniable::{Answers, Entropy, Params, SystemEntropy, WriteKey};
use deniable_aggregator::collect::{Origin, Role, Token};

/// The file of settings, with every setting in it.
pub(super) const SETTINGS: &str = include_str!("init/deniable.toml");
/// Its name.
const SETTINGS_FILE: &str = "deniable.toml";

/// Makes a directory with settings, a first metric, a write key and tokens.
///
/// The directory holds deniable.toml, metrics.toml and access.toml; `deniable serve` makes the store in it. The write key
/// goes into the application and is no secret. The tokens are printed here, once, and kept only as their hashes: one for
/// who reads counts, one for the operator.
#[derive(Args)]
pub(crate) struct InitArgs {
    /// Directory to make; it must not exist
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Page that may use the write key, as https://app.example; may be given several times. Any client may if left out
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<Origin>,
}

#[derive(serde::Serialize)]
struct AccessFile {
    key: [KeyEntry; 1],
    token: [TokenEntry; 2],
}

#[derive(serde::Serialize)]
struct KeyEntry {
    name: &'static str,
    key: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    origins: Vec<Origin>,
}

#[derive(serde::Serialize)]
struct TokenEntry {
    name: &'static str,
    sha256: String,
    role: Role,
}

pub(crate) fn run(args: &InitArgs) -> Result<()> {
    let dir = &args.dir;
    let mut key = [0; 16];
    SystemEntropy.fill(&mut key)?;
    let key = WriteKey(key);
    let [analyst, operator] = [Token::draw(&mut SystemEntropy)?, Token::draw(&mut SystemEntropy)?];
    let entry = |name, token: &Token, role| TokenEntry { name, sha256: token.sha256(), role };
    let access = AccessFile {
        key: [KeyEntry { name: "app", key: key.to_string(), origins: args.origin.clone() }],
        token: [entry("analyst", &analyst, Role::Read), entry("operator", &operator, Role::Admin)],
    };
    // Only the operator reads what is made here.
    DirBuilder::new()
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}: it must not exist yet", dir.display()))?;
    write(&dir.join(SETTINGS_FILE), SETTINGS)?;
    write(&dir.join("metrics.toml"), &first_metric()?)?;
    write(&dir.join("access.toml"), &toml::to_string(&access)?)?;
    let mut out = io::stdout().lock();
    writeln!(out, "write key, for the application: {key}")?;
    writeln!(out, "token, for the analyst, shown this once: {}", analyst.reveal())?;
    writeln!(out, "token, for the operator, shown this once: {}", operator.reveal())?;
    writeln!(out, "next: deniable serve --config {}", dir.join(SETTINGS_FILE).display())?;
    Ok(())
}

/// A metric to begin with: one of the questions that most applications have.
fn first_metric() -> Result<String> {
    let params = Params::for_epsilon(1.0, Some(2.0), Answers::Closed(2))?;
    let report = toml::to_string(&params)?;
    Ok(format!(
        "# What is asked, and how an answer is randomized. One report costs ε₁ ≤ 1, all of one answer ε∞ ≤ 2.\n\n\
         [metrics.dark_mode]\nquestion = \"Is the dark mode on?\"\nversion = 1\n\n[metrics.dark_mode.report]\n{}",
        report
            .replace("[permanent]", "[metrics.dark_mode.report.permanent]")
            .replace("[instantaneous]", "[metrics.dark_mode.report.instantaneous]")
    ))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(file.sync_all()?)
}
