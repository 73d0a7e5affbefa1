//! `deniable store backup` and `restore`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use deniable_aggregator::store::DiskStore;
use zeroize::Zeroizing;

use super::tell_sound;

/// The variable that holds the token. On the command line every user of the machine could read it.
const TOKEN: &str = "DENIABLE_TOKEN";

/// Copies a store to a file and verifies the copy: of a running collector, or in a directory.
///
/// A copy from a running collector holds every batch that it acknowledged before the copy began. The token of an admin
/// stands in the variable DENIABLE_TOKEN; it says which project is meant.
#[derive(Args)]
pub(super) struct BackupArgs {
    #[command(flatten)]
    origin: Origin,
    /// File to make; it must not exist
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// What is copied.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Origin {
    /// Directory of the counts, if no collector is using it
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Where a running collector listens, as http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    from: Option<String>,
}

/// Makes a store of a backup, after it was verified.
///
/// Batches that were acknowledged after the backup are not in it. Those that devices send again are counted then, once.
#[derive(Args)]
pub(super) struct RestoreArgs {
    /// File that `deniable store backup` made
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Directory of the new store; it must be empty or not exist
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
}

pub(super) fn run(args: &BackupArgs, out: &mut impl Write) -> Result<()> {
    let to = &args.to;
    ensure!(!to.exists(), "{} exists: give the backup a name of its own", to.display());
    // Under its own name it is whole.
    let part = part(to)?;
    let made = copy(&args.origin, &part).and_then(|()| {
        let verified = DiskStore::verify_copy(&part)?;
        fs::rename(&part, to).with_context(|| format!("cannot make {}", to.display()))?;
        Ok(verified)
    });
    let verified = made.inspect_err(|_| {
        // The first failure is the one to tell.
        let _ = fs::remove_file(&part);
    })?;
    Ok(tell_sound(out, to, &verified)?)
}

pub(super) fn restore(args: &RestoreArgs, out: &mut impl Write) -> Result<()> {
    let verified = DiskStore::restore(&args.from, &args.store)?;
    Ok(tell_sound(out, &args.store, &verified)?)
}

fn part(to: &Path) -> Result<PathBuf> {
    let mut name = to.file_name().context("--to has to name a file")?.to_owned();
    name.push(".part");
    Ok(to.with_file_name(name))
}

fn copy(origin: &Origin, part: &Path) -> Result<()> {
    match (&origin.store, &origin.from) {
        (Some(dir), _) => Ok(DiskStore::open(dir)?.copy_to(part)?),
        (None, Some(url)) => download(url, part),
        (None, None) => bail!("give --store or --from"),
    }
}

fn download(url: &str, part: &Path) -> Result<()> {
    let token = Zeroizing::new(std::env::var(TOKEN).with_context(|| {
        format!("a running collector gives a backup to an admin alone: set {TOKEN} to the token of one")
    })?);
    let bearer = Zeroizing::new(format!("Bearer {}", *token));
    let address = format!("{}/v1/admin/backup", url.trim_end_matches('/'));
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let asked = agent.get(&address).header("authorization", bearer.as_str()).call();
    let mut answer = asked.with_context(|| format!("no collector answers at {url}"))?;
    let status = answer.status();
    if !status.is_success() {
        let said = answer.body_mut().read_to_string().unwrap_or_default();
        bail!("the collector at {url} gives no backup: {status} {said}");
    }
    let mut file = File::create_new(part).with_context(|| format!("cannot make {}", part.display()))?;
    let mut body = answer.body_mut().with_config().limit(u64::MAX).reader();
    io::copy(&mut body, &mut file).with_context(|| format!("the backup from {url} broke off"))?;
    Ok(file.sync_all()?)
}
