//! `deniable quarantine`: what figures leave out, until it is taken back.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use deniable::{Epoch, MetricId};
use deniable_aggregator::store::{Aside, DiskStore, Store};
use deniable_aggregator::survey::{Omitted, omitted, set_aside};
use serde::Deserialize;

/// A collector that commits to a busy disk may take a while.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sets a source, or an epoch of a metric, aside: its reports are kept, and no figure counts them until they are taken
/// back. What is left out stands beside each figure.
///
/// A store that no collector uses is given by --store. Of a running collector, --collector and an admin's --token do it.
#[derive(Args)]
pub(crate) struct QuarantineArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Leaves reports out of all figures from now on
    Add(Change),
    /// Takes reports back into the figures
    Remove(Change),
    /// Lists what is set aside, with the reports of each
    List(Place),
}

#[derive(Args)]
struct Change {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["source", "metric"]))]
struct What {
    /// Name of a write key: all reports that came under it, or come. "" is what came without a key
    #[arg(long, value_name = "NAME", conflicts_with = "epoch")]
    source: Option<String>,
    /// Metric of the epoch
    #[arg(long, value_name = "NAME", value_parser = MetricId::new, requires = "epoch")]
    metric: Option<MetricId>,
    /// Epoch of the metric: the days from 1970-01-01 to its first
    #[arg(long, value_name = "E", requires = "metric")]
    epoch: Option<u32>,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("place").required(true).args(["store", "collector"]))]
struct Place {
    /// Directory of the counts
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Where a running collector listens, as http://127.0.0.1:8080
    #[arg(long, value_name = "URL", requires = "token")]
    collector: Option<String>,
    /// File that holds an admin's token and nothing else
    #[arg(long, value_name = "FILE", requires = "collector")]
    token: Option<PathBuf>,
}

pub(crate) fn run(args: &QuarantineArgs) -> Result<()> {
    let mut out = io::stdout().lock();
    match &args.command {
        Command::Add(change) => {
            let (omitted, changed) = change.apply(true)?;
            let before = if changed { "" } else { " was set aside before" };
            writeln!(out, "{omitted}{before}")?;
        }
        Command::Remove(change) => {
            let (Omitted { what, reports }, changed) = change.apply(false)?;
            let said = if changed { "counted again" } else { "was not set aside" };
            writeln!(out, "{said}: {reports} reports of {what}")?;
        }
        Command::List(place) => {
            let all = place.list()?;
            all.iter().try_for_each(|omitted| writeln!(out, "{omitted}"))?;
            if all.is_empty() {
                writeln!(out, "nothing is set aside")?;
            }
        }
    }
    Ok(())
}

impl Change {
    fn apply(&self, is_aside: bool) -> Result<(Omitted, bool)> {
        let what = self.what.aside();
        if let Some(dir) = &self.place.store {
            let store = DiskStore::open(dir)?;
            let changed = if is_aside { store.set_aside(&what)? } else { store.take_back(&what)? };
            return Ok((omitted(&store, &what)?, changed));
        }
        let method = if is_aside { "POST" } else { "DELETE" };
        let Changed { omitted, changed } = serde_json::from_str(&self.place.ask(method, Some(&what))?)
            .context("the collector's answer is not understood: is it of this version?")?;
        Ok((omitted, changed))
    }
}

impl What {
    fn aside(&self) -> Aside {
        match (&self.source, &self.metric, self.epoch) {
            (_, Some(metric), Some(epoch)) => Aside::Epoch { metric: metric.clone(), epoch: Epoch(epoch) },
            (source, ..) => Aside::Source { source: source.clone().expect("clap requires one of the two") },
        }
    }
}

/// What a collector answers to a change.
#[derive(Deserialize)]
struct Changed {
    changed: bool,
    #[serde(flatten)]
    omitted: Omitted,
}

impl Place {
    fn list(&self) -> Result<Vec<Omitted>> {
        match &self.store {
            Some(dir) => Ok(set_aside(&DiskStore::open(dir)?)?),
            None => serde_json::from_str(&self.ask("GET", None)?)
                .context("the collector's answer is not understood: is it of this version?"),
        }
    }

    /// Asks a running collector, as the holder of a token.
    fn ask(&self, method: &str, what: Option<&Aside>) -> Result<String> {
        let (Some(collector), Some(token)) = (&self.collector, &self.token) else {
            unreachable!("clap requires both where there is no store")
        };
        let token = fs::read_to_string(token)
            .with_context(|| format!("cannot read the token in {}", token.display()))?;
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build()
            .into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/v1/admin/quarantine{}", collector.trim_end_matches('/'), query(what)))
            .header("Authorization", format!("Bearer {}", token.trim()))
            .body(())
            .context("the collector's address or the token is no good: give --collector http://HOST:PORT, and in the file of --token one line")?;
        let mut answer =
            agent.run(request).with_context(|| format!("no collector answers at {collector}"))?;
        let (status, said) = (answer.status(), answer.body_mut().read_to_string().unwrap_or_default());
        if !status.is_success() {
            bail!("the collector at {collector} refuses: {status} {said}");
        }
        Ok(said)
    }
}

/// What is meant, as the query of an address.
fn query(what: Option<&Aside>) -> String {
    // Names of keys are free text.
    let escaped = |text: &str| -> String {
        let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        text.bytes()
            .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    };
    match what {
        None => String::new(),
        Some(Aside::Source { source }) => format!("?source={}", escaped(source)),
        Some(Aside::Epoch { metric, epoch }) => format!("?metric={metric}&epoch={epoch}"),
    }
}
