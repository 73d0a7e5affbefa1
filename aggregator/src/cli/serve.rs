//! `deniable serve`: the collector.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use deniable_aggregator::collect::{Collector, Files, Project, ProjectName, Reloader};
use deniable_aggregator::lake::{Compacted, Lake, compact};
use deniable_aggregator::store::DiskStore;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::config::{Config, Flags, Places};

/// How often closed epochs are looked for. They close once a day.
const COMPACT_EVERY: Duration = Duration::from_secs(600);
/// How long the end waits for what cannot be cut short.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Collects reports over HTTP and counts them in a store.
///
/// Batches are sent to POST /v1/reports and answered when they are durable; a batch that is sent again counts once.
/// GET /v1/catalog gives the metrics, GET /readyz tells whether batches are taken; tokens read GET /v1/counts and
/// GET /metrics. When ready, one line `listening on http://ADDRESS` is printed.
///
/// What is set stands in a file, in variables like DENIABLE_LISTEN or DENIABLE_LIMITS_KEY_RATE, or in flags. SIGHUP has
/// metrics, keys, tokens and the certificate read anew; files with faults leave the old in force. SIGINT and SIGTERM end the
/// collector after the requests that have begun. RUST_LOG sets what is logged.
#[derive(Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    flags: Flags,
    /// Print the settings, each with where it was set, and end
    #[arg(long)]
    print_config: bool,
}

pub(crate) fn run(args: ServeArgs) -> anyhow::Result<()> {
    let config = Config::load(args.flags)?;
    if args.print_config {
        return Ok(config.write(&mut io::stdout().lock())?);
    }
    let filter = EnvFilter::try_new(&config.log).expect("the settings check what is logged");
    let ansi = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi).init();
    config.log();
    let runtime = tokio::runtime::Runtime::new().context("the system gave no threads")?;
    let ended = runtime.block_on(serve(&config));
    // An epoch that is on its way to the lake is moved again at the next start.
    runtime.shutdown_timeout(LAST_WAIT);
    ended
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    // From here on signals wait for who handles them; a SIGHUP would end the process otherwise.
    let hangup = signal(SignalKind::hangup())?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let settings = config.settings()?;
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let listener = listen(config.listen).await?;
    let projects = config.projects.iter().map(project).collect::<anyhow::Result<_>>()?;
    let collector = Collector::new(projects, settings)?;
    tokio::spawn(reload(hangup, collector.reloader()));
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    // The socket takes connections from here on; they are answered as soon as the service runs.
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {scheme}://{}", listener.local_addr()?)?;
    out.flush()?;
    drop(out);
    Ok(collector.serve(listener, stop).await?)
}

fn project(places: &Places) -> anyhow::Result<Project> {
    let Places { name, store, metrics, access, lake } = places;
    if access.is_none() {
        tracing::warn!(
            "no file of keys (--access): everybody on this machine may send batches, and nobody may read counts"
        );
    }
    let files = Files { metrics: metrics.clone(), access: access.clone() };
    // A registry with faults leaves no store behind.
    let rules = files.load()?;
    let store = Arc::new(with_lake(DiskStore::create(store)?, lake.as_deref())?);
    if lake.is_some() {
        tokio::spawn(move_epochs(name.clone(), Arc::clone(&store)));
    }
    Ok(Project::new(name.clone(), store, (rules, files)))
}

/// The store with the lake that is set, or else with the one that it last moved epochs to, which is only read.
fn with_lake(store: DiskStore, lake: Option<&Path>) -> anyhow::Result<DiskStore> {
    let runtime = Handle::current();
    if let Some(lake) = lake {
        return Ok(store.with_lake(Lake::create(&lake.to_string_lossy(), runtime)?));
    }
    let Some(place) = store.lake_place()? else { return Ok(store) };
    match Lake::open(&place, runtime) {
        Ok(lake) => Ok(store.with_lake(lake)),
        Err(error) => {
            tracing::warn!(%place, %error, "the lake cannot be used: what was moved there cannot be read");
            Ok(store)
        }
    }
}

/// Moves closed epochs to the lake, at once what a crash has left half-way, and then again and again.
async fn move_epochs(project: ProjectName, store: Arc<DiskStore>) {
    let mut next = tokio::time::interval(COMPACT_EVERY);
    loop {
        next.tick().await;
        let store = Arc::clone(&store);
        let moved = tokio::task::spawn_blocking(move || store.lake().map(|lake| compact(&store, lake))).await;
        match moved {
            Ok(Some(Ok(Compacted { epochs, reports }))) if epochs > 0 => {
                tracing::info!(project = project.as_str(), epochs, reports, "moved epochs to the lake");
            }
            Ok(Some(Err(error))) => {
                let cause = error.source().map(ToString::to_string);
                tracing::warn!(project = project.as_str(), %error, cause, "epochs stay in the store for now");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(project = project.as_str(), %error, "the move to the lake broke off");
            }
        }
    }
}

/// Reads files anew at each signal, for ever.
async fn reload(mut hangup: Signal, reloader: Reloader) {
    while hangup.recv().await.is_some() {
        let reloader = reloader.clone();
        // The log tells what came of it.
        let _ = tokio::task::spawn_blocking(move || reloader.reload()).await;
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        let port = address.port();
        format!("cannot listen on {address}: if port {port} is in use, stop the program that has it or choose another with --listen; --listen {}:0 takes a free one", address.ip())
    })
}
