//! `deniable serve`: the collector.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::collect::Collector;
use deniable_aggregator::store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Collects reports over HTTP and counts them in a store.
///
/// Batches are sent to POST /v1/reports and answered when they are durable; a batch that is sent again counts once.
/// GET /healthz tells whether batches are taken. When ready, one line `listening on http://ADDRESS` is printed.
/// SIGINT and SIGTERM end the collector after the requests that have begun. RUST_LOG sets what is logged.
#[derive(Args)]
pub(crate) struct ServeArgs {
    /// Directory of the counts; made if it does not exist. One process at a time can use it
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// File that defines the metrics
    #[arg(long, value_name = "FILE", default_value = "metrics.toml")]
    metrics: PathBuf,
    /// Address and port to listen on; port 0 takes a free one. Put a TLS proxy in front of any but the loopback
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi).init();
    let catalog = Catalog::load(&args.metrics)?;
    tokio::runtime::Runtime::new().context("the system gave no threads")?.block_on(serve(args, catalog))
}

async fn serve(args: &ServeArgs, catalog: Catalog) -> anyhow::Result<()> {
    let listener = listen(args.listen).await?;
    let collector = Collector::new(Store::create(&args.store)?, catalog)?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    // The socket takes connections from here on; they are answered as soon as the service runs.
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{}", listener.local_addr()?)?;
    out.flush()?;
    drop(out);
    Ok(collector.serve(listener, stop).await?)
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        let port = address.port();
        format!("cannot listen on {address}: if port {port} is in use, stop the program that has it or choose another with --listen; --listen {}:0 takes a free one", address.ip())
    })
}
