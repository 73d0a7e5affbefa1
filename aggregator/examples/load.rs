//! Load on a collector over loopback: throughput, latency and memory, beside the same commits without HTTP; what becomes
//! of more than it can take; and the time to open a large store after a kill.
//!
//! `cargo run --release --package deniable-aggregator --example load [SECONDS]`
//!
//! The collector is a process of its own, this program again, so that its memory is known for itself.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and ends where it cannot go on"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use deniable::{
    Answers, Batch, BatchId, DeviceSecret, Encoder, Epoch, MetricId, Params, Randomness, SystemEntropy,
    Value, WriteKey, write_batch,
};
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::collect::{Access, Collector, Limits, Project, Rates, Settings};
use deniable_aggregator::store::{Accepted, DiskStore, Registries, Selection, Store, Terms};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

const CONNECTIONS: usize = 64;
/// Requests that begin in a second, whatever becomes of those before.
const OFFERED_A_SECOND: u64 = 20_000;
/// Requests that are open at a time at most, as file descriptors are bounded.
const OPEN: usize = 4000;
/// A client that waits for longer gives up.
const PATIENCE: Duration = Duration::from_secs(5);
/// What this program is told to be a collector, with its limits.
const COLLECTOR: &str = "collector";
/// Bodies to choose from, so that not all reports are alike.
const BODIES: usize = 64;
/// Where the id lies in a batch.
const ID: std::ops::Range<usize> = 21..37;

/// The key of all batches.
const KEY: WriteKey = WriteKey([7; 16]);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let [_, word, limits] = &arguments[..]
        && word == COLLECTOR
    {
        return runtime.block_on(collect(limits));
    }
    let seconds = arguments.get(1).map_or(10, |text| text.parse().unwrap());
    let time = Duration::from_secs(seconds);
    println!("{CONNECTIONS} connections, {seconds} s each; k = 128, 128 cohorts");
    println!(
        "reports/batch | commits alone: reports/s | over HTTP: reports/s, batches/s | ratio | p50, p99 ms | collector's peak MB"
    );
    for reports in [1, 20, 100] {
        let bodies = bodies(reports);
        let alone = commits_alone(&bodies, time / 2) * reports as f64;
        let collector = Process::start("wide");
        let mut latencies = runtime.block_on(over_http(collector.address, &bodies, time));
        latencies.sort_unstable();
        let batches = latencies.len() as f64 / seconds as f64;
        let served = batches * reports as f64;
        let at = |part: f64| f64::from(latencies[(latencies.len() as f64 * part) as usize]) / 1000.0;
        println!(
            "{reports:>13} | {alone:>24.0} | {served:>20.0}, {batches:>9.0} | {:>5.2} | {:>5.1}, {:>5.1} | {:>7}",
            served / alone,
            at(0.5),
            at(0.99),
            collector.peak_megabytes()
        );
    }
    println!(
        "beyond what it can take: {OFFERED_A_SECOND} requests begin in a second, each on a connection of its own"
    );
    let bodies = bodies(100);
    for (limits, what) in [
        ("wide", "limits as they are"),
        ("narrow", "64 connections, 64 KiB of bodies"),
        ("keyed", "and 500 batches a second under the key"),
    ] {
        let collector = Process::start(limits);
        let outcomes = runtime.block_on(beyond(collector.address, &bodies, time / 2));
        println!("{what}: {outcomes}; collector's peak {} MB", collector.peak_megabytes());
        // It is still there, and takes what it can.
        assert!(
            !runtime
                .block_on(over_http(collector.address, &bodies[..1], Duration::from_millis(200)))
                .is_empty()
        );
    }
    recovery();
}

/// A collector on a free port, until nobody holds its standard input.
async fn collect(limits: &str) {
    let (_dir, store) = store();
    let mut settings = Settings::default();
    let mut access = Access::open();
    if limits != "wide" {
        settings.limits = Limits { connections: CONNECTIONS, memory_bytes: 64 << 10, ..settings.limits };
    }
    if limits == "keyed" {
        settings.rates = Rates { key: 500.try_into().unwrap(), ..settings.rates };
        access = Access::parse(&format!("[[key]]\nname = \"app\"\nkey = \"{KEY}\"\n")).unwrap();
    }
    let collector = Collector::new(vec![Project::alone(store, catalog(), access)], settings).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let stop = async {
        let ended = tokio::task::spawn_blocking(|| io::stdin().read(&mut [0]));
        ended.await.unwrap().unwrap();
    };
    collector.serve(listener, stop).await.unwrap();
}

/// A collector as a process of its own.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(limits: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([COLLECTOR, limits])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { address: line.trim().parse().unwrap(), child }
    }

    /// The most memory that it has had.
    fn peak_megabytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success(), "the collector failed");
    }
}

/// What became of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Accepted,
    /// 429 or 503, with `Retry-After`.
    Later(u16),
    /// No connection or no answer in time.
    Unanswered,
    /// Not begun, as too many were open.
    NotBegun,
}

struct Outcomes(BTreeMap<Outcome, usize>);

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> =
            self.0.iter().map(|(outcome, count)| format!("{outcome:?} {count}")).collect();
        f.write_str(&counts.join(", "))
    }
}

/// Begins requests at a constant rate, whether or not those before were answered.
async fn beyond(address: SocketAddr, bodies: &[Vec<u8>], time: Duration) -> Outcomes {
    const TICK: Duration = Duration::from_millis(5);
    let free = Arc::new(Semaphore::new(OPEN));
    let (send, mut outcomes) = mpsc::unbounded_channel();
    let mut tick = tokio::time::interval(TICK);
    let (began, mut n) = (Instant::now(), 0_u64);
    while began.elapsed() < time {
        tick.tick().await;
        let due = (began.elapsed().as_secs_f64() * OFFERED_A_SECOND as f64) as u64;
        while n < due {
            n += 1;
            let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
                send.send(Outcome::NotBegun).unwrap();
                continue;
            };
            let (request, send) = (request(&bodies[n as usize % bodies.len()], 1 << 60 | n), send.clone());
            tokio::spawn(async move {
                let outcome = tokio::time::timeout(PATIENCE, once(address, &request)).await;
                drop(permit);
                send.send(outcome.ok().and_then(Result::ok).unwrap_or(Outcome::Unanswered)).unwrap();
            });
        }
    }
    drop(send);
    let mut counts = BTreeMap::new();
    while let Some(outcome) = outcomes.recv().await {
        *counts.entry(outcome).or_default() += 1;
    }
    Outcomes(counts)
}

/// One request on a connection of its own.
async fn once(address: SocketAddr, request: &[u8]) -> io::Result<Outcome> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request).await?;
    let mut answer = vec![0; 1024];
    let read = stream.read(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer[..read]);
    match answer.split(' ').nth(1).and_then(|status| status.parse().ok()) {
        Some(200) => Ok(Outcome::Accepted),
        Some(status @ (429 | 503)) => {
            assert!(answer.contains("retry-after: "), "{answer}");
            Ok(Outcome::Later(status))
        }
        None if read == 0 => Ok(Outcome::Unanswered),
        _ => panic!("{answer}"),
    }
}

/// A request with a batch of that number.
fn request(body: &[u8], n: u64) -> Vec<u8> {
    let head = format!("POST /v1/reports HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
    let at = head.len() + ID.start..head.len() + ID.end;
    let mut request = head.into_bytes();
    request.extend(body);
    request[at].copy_from_slice(&id(n));
    request
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
            write_batch(KEY, BatchId([0; 16]), &reports.collect::<Vec<_>>()).unwrap()
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
async fn over_http(address: SocketAddr, bodies: &[Vec<u8>], time: Duration) -> Vec<u32> {
    let end = Instant::now() + time;
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|client| {
            let body = bodies[client % bodies.len()].clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (mut latencies, mut answer) = (Vec::new(), vec![0; 1024]);
                while Instant::now() < end {
                    let request = request(&body, (client as u64) << 40 | latencies.len() as u64);
                    let began = Instant::now();
                    stream.write_all(&request).await.unwrap();
                    let read = stream.read(&mut answer).await.unwrap();
                    let answer = String::from_utf8_lossy(&answer[..read]);
                    // After more than it could take, it may ask for a pause.
                    assert!(
                        ["200", "429", "503"].iter().any(|status| answer[9..].starts_with(status)),
                        "{answer}"
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
    latencies
}
