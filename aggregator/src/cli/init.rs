//! `deniable init`: what a collector on the open internet needs, in one directory.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use deniable::{Answers, Entropy, Params, SystemEntropy, WriteKey};
use deniable_aggregator::collect::{Origin, Token};

/// Makes a directory with a first metric, a write key and an analyst's token.
///
/// The directory holds metrics.toml and access.toml; `deniable serve` makes the store in it. The write key goes into
/// the application and is no secret. The token is printed here, once, and kept only as its hash: give it to the analyst.
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
    token: [TokenEntry; 1],
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
}

pub(crate) fn run(args: &InitArgs) -> Result<()> {
    let dir = &args.dir;
    let mut key = [0; 16];
    SystemEntropy.fill(&mut key)?;
    let (key, token) = (WriteKey(key), Token::draw(&mut SystemEntropy)?);
    let access = AccessFile {
        key: [KeyEntry { name: "app", key: key.to_string(), origins: args.origin.clone() }],
        token: [TokenEntry { name: "analyst", sha256: token.sha256() }],
    };
    // Only the operator reads what is made here.
    DirBuilder::new()
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}: it must not exist yet", dir.display()))?;
    write(&dir.join("metrics.toml"), &first_metric()?)?;
    write(&dir.join("access.toml"), &toml::to_string(&access)?)?;
    let mut out = io::stdout().lock();
    writeln!(out, "write key, for the application: {key}")?;
    writeln!(out, "token, for the analyst, shown this once: {}", token.reveal())?;
    let at = |name| dir.join(name).display().to_string();
    writeln!(
        out,
        "next: deniable serve --metrics {} --access {} --store {}",
        at("metrics.toml"),
        at("access.toml"),
        at("store")
    )?;
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
