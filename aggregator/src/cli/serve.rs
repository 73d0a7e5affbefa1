//! `deniable serve`: the collector.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::collect::{
    Access, Collector, DEFAULT_OPEN_DAYS, Origins, Rates, Settings, Tls, Window,
};
use deniable_aggregator::store::DiskStore;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Collects reports over HTTP and counts them in a store.
///
/// Batches are sent to POST /v1/reports and answered when they are durable; a batch that is sent again counts once.
/// GET /v1/catalog gives the metrics, GET /readyz tells whether batches are taken; an analyst's token reads GET /v1/counts
/// and GET /metrics. When ready, one line `listening on http://ADDRESS` is printed.
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
    /// Days after its first for which an epoch takes reports. Longer for longer epochs, or devices that are off for long
    #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_OPEN_DAYS)]
    open_days: u32,
    /// Page that may read answers, as https://app.example, or * for all; may be given several times. The pages of write
    /// keys may anyway
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// File of write keys and analysts' tokens, which `deniable init` makes. Without one, batches of any key are taken,
    /// so only this machine may reach the collector, and nobody reads
    #[arg(long, value_name = "FILE")]
    access: Option<PathBuf>,
    /// File with the TLS certificate, and those that it depends on, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// File with the private key of the certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// The most requests a second, lasting, of 256 neighbouring addresses (a /56 of IPv6). A proxy on this machine is
    /// not limited
    #[arg(long, value_name = "RATE", default_value_t = Rates::default().neighbourhood)]
    address_rate: NonZeroU32,
    /// The most batches a second, lasting, under one write key
    #[arg(long, value_name = "RATE", default_value_t = Rates::default().key)]
    key_rate: NonZeroU32,
}

impl ServeArgs {
    fn settings(&self) -> anyhow::Result<Settings> {
        let origins = if self.allow_origin.iter().any(|origin| origin == "*") {
            Origins::Any
        } else {
            Origins::Listed(self.allow_origin.iter().map(|origin| origin.parse()).collect::<Result<_, _>>()?)
        };
        Ok(Settings {
            window: Window::new(self.open_days),
            rates: Rates { neighbourhood: self.address_rate, key: self.key_rate },
            access: self.access()?,
            origins,
            tls: self
                .tls_certificate
                .as_ref()
                .zip(self.tls_key.as_ref())
                .map(|(c, k)| Tls::load(c, k))
                .transpose()?,
            ..Settings::default()
        })
    }

    fn access(&self) -> anyhow::Result<Access> {
        match &self.access {
            Some(file) => Ok(Access::load(file)?),
            None if self.listen.ip().is_loopback() => {
                tracing::warn!(
                    "no --access: everybody on this machine may send batches, and nobody may read counts"
                );
                Ok(Access::open())
            }
            None => bail!(
                "whoever reaches {} could send batches: give write keys with --access FILE (`deniable init DIR` makes one), or listen on the loopback",
                self.listen
            ),
        }
    }
}

pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi).init();
    let catalog = Catalog::load(&args.metrics)?;
    tokio::runtime::Runtime::new().context("the system gave no threads")?.block_on(serve(args, catalog))
}

async fn serve(args: &ServeArgs, catalog: Catalog) -> anyhow::Result<()> {
    let settings = args.settings()?;
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let listener = listen(args.listen).await?;
    let collector = Collector::new(Arc::new(DiskStore::create(&args.store)?), catalog, settings)?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
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

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        let port = address.port();
        format!("cannot listen on {address}: if port {port} is in use, stop the program that has it or choose another with --listen; --listen {}:0 takes a free one", address.ip())
    })
}
