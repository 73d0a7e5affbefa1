//! Load on a collector over loopback: throughput, latency and memory, beside the same commits without HTTP; and the
//! time to open a large store after a kill.
//!
//! `cargo run --release --package deniable-aggregator --example load [SECONDS]`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and ends where it cannot go on"
)]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use deniable::{
    Answers, Batch, BatchId, DeviceSecret, Encoder, Epoch, MetricId, Params, Randomness, SystemEntropy,
    Value, WriteKey, write_batch,
};
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::collect::{Access, Collector, Project, Settings};
use deniable_aggregator::store::{Accepted, DiskStore, Registries, Selection, Store, Terms};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: usize = 64;
/// Bodies to choose from, so that not all reports are alike.
const BODIES: usize = 64;
/// Where the id lies in a batch.
const ID: std::ops::Range<usize> = 21..37;

fn main() {
    let seconds = std::env::args().nth(1).map_or(10, |text| text.parse().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("{CONNECTIONS} connections, {seconds} s each; k = 128, 128 cohorts");
    println!(
        "reports/batch | commits alone: reports/s | over HTTP: reports/s, batches/s | ratio | p50, p99 ms | peak MB"
    );
    for reports in [1, 20, 100] {
        let bodies = bodies(reports);
        let alone = commits_alone(&bodies, Duration::from_secs(seconds) / 2) * reports as f64;
        let mut latencies = runtime.block_on(over_http(&bodies, Duration::from_secs(seconds)));
        latencies.sort_unstable();
        let batches = latencies.len() as f64 / seconds as f64;
        let served = batches * reports as f64;
        let at = |part: f64| f64::from(latencies[(latencies.len() as f64 * part) as usize]) / 1000.0;
        println!(
            "{reports:>13} | {alone:>24.0} | {served:>20.0}, {batches:>9.0} | {:>5.2} | {:>5.1}, {:>5.1} | {:>7}",
            served / alone,
            at(0.5),
            at(0.99),
            peak_megabytes()
        );
    }
    recovery();
}

/// Counts 10⁸ reports in 10⁶ batches, takes what a kill would leave, and opens it.
fn recovery() {
    const GROUP: u64 = 4096;
    let (dir, store) = store();
    let (bodies, catalog) = (bodies(100), catalog());
    store.declare(&catalog).unwrap();
    for first in (0..1_000_000).step_by(GROUP as usize) {
        let group: Vec<_> =
            (first..first + GROUP).map(|n| accepted(&bodies[n as usize % BODIES], n, &catalog)).collect();
        store.commit(&group, Epoch(0)).unwrap();
    }
    let left = tempfile::tempdir().unwrap();
    // The store is still open, so the file is as a kill leaves it.
    let bytes = fs::copy(dir.path().join("store.redb"), left.path().join("store.redb")).unwrap();
    let began = Instant::now();
    let opened = DiskStore::open(left.path()).unwrap();
    let took = began.elapsed();
    let reports: u64 =
        opened.holdings(&Selection::all()).unwrap().iter().map(|holding| holding.reports).sum();
    println!("recovery of {reports} reports, {} MB: {:.2} s", bytes >> 20, took.as_secs_f64());
}

fn accepted(body: &[u8], n: u64, catalog: &Catalog) -> Accepted {
    let mut body = body.to_vec();
    body[ID].copy_from_slice(&id(n));
    let terms = Terms { catalog, registries: &Registries::default(), open: today()..=today(), source: "" };
    Accepted::check(&Batch::parse(&body).unwrap(), &terms).accepted
}

fn params() -> Params {
    Params::for_epsilon(2.0, Some(4.0), Answers::Open).unwrap()
}

fn catalog() -> Catalog {
    let report = serde_json::to_value(params()).unwrap();
    let report = toml::to_string(
        &serde_json::json!({ "metrics": { "host": { "version": 1, "question": "?", "report": report } } }),
    );
    Catalog::parse(&report.unwrap()).unwrap()
}

fn today() -> Epoch {
    Epoch((SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400) as u32)
}

fn bodies(reports: usize) -> Vec<Vec<u8>> {
    let mut randomness = Randomness::from_system().unwrap();
    (0..BODIES)
        .map(|_| {
            let reports = (0..reports).map(|_| {
                let secret = DeviceSecret::draw(&mut SystemEntropy).unwrap();
                let encoder = Encoder::new(MetricId::new("host").unwrap(), 1, params(), &secret);
                encoder.encode(Value::Text("shop.example"), today(), &mut randomness).unwrap()
            });
            write_batch(WriteKey::NONE, BatchId([0; 16]), reports.collect()).unwrap()
        })
        .collect()
}

/// An id as random as those of devices, from a counter (SplitMix64, Steele, Lea and Flood 2014).
fn id(n: u64) -> [u8; 16] {
    let mix = |n: u64| {
        let z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (u128::from(mix(n)) << 64 | u128::from(mix(!n))).to_le_bytes()
}

fn store() -> (tempfile::TempDir, Arc<DiskStore>) {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::create(dir.path()).unwrap();
    (dir, Arc::new(store))
}

/// Batches a second, committed by one thread as many at a time as there are connections.
fn commits_alone(bodies: &[Vec<u8>], time: Duration) -> f64 {
    let (_dir, store) = store();
    let catalog = catalog();
    store.declare(&catalog).unwrap();
    let (began, mut n) = (Instant::now(), 0);
    while began.elapsed() < time {
        let group: Vec<_> = (0..CONNECTIONS)
            .map(|i| {
                n += 1;
                accepted(&bodies[i % BODIES], n, &catalog)
            })
            .collect();
        store.commit(&group, Epoch(0)).unwrap();
    }
    n as f64 / began.elapsed().as_secs_f64()
}

/// The microseconds that each batch took.
async fn over_http(bodies: &[Vec<u8>], time: Duration) -> Vec<u32> {
    let (_dir, store) = store();
    let project = Project::alone(store, catalog(), Access::open());
    let collector = Collector::new(vec![project], Settings::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(collector.serve(listener, async { stopped.await.unwrap_or_default() }));
    let end = Instant::now() + time;
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|client| {
            let body = bodies[client % BODIES].clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let head =
                    format!("POST /v1/reports HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
                let mut request = head.clone().into_bytes();
                request.extend(body);
                let at = head.len() + ID.start..head.len() + ID.end;
                let (mut latencies, mut answer) = (Vec::new(), vec![0; 1024]);
                while Instant::now() < end {
                    request[at.clone()].copy_from_slice(&id((client as u64) << 40 | latencies.len() as u64));
                    let began = Instant::now();
                    stream.write_all(&request).await.unwrap();
                    let read = stream.read(&mut answer).await.unwrap();
                    assert!(
                        answer[..read].starts_with(b"HTTP/1.1 200"),
                        "{}",
                        String::from_utf8_lossy(&answer[..read])
                    );
                    latencies.push(began.elapsed().as_micros() as u32);
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for client in clients {
        latencies.extend(client.await.unwrap());
    }
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
    latencies
}

/// The most memory that the process has had, collector and clients together.
fn peak_megabytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}
