//! The `deniable` command: start, stop, what it prints, and what it says when it cannot start.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use deniable::calendar::Day;
use deniable::{Epoch, MAX_BATCH_BYTES, SystemEntropy, WriteKey};
use deniable_aggregator::collect::Token;
use deniable_aggregator::store::{DiskStore, Store};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::http::under;
use crate::support::{
    METRICS, Section, accepted, batch, catalog, exactly_once, planted, today, within_a_day,
};

/// The command under test.
pub(crate) fn deniable(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deniable"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

/// The key of a site with an admin.
pub(crate) const ADMIN_SITE_KEY: WriteKey = WriteKey([9; 16]);

/// A directory for a collector: its metrics, and the place of its store.
pub(crate) struct Site {
    pub(crate) dir: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("metrics.toml"), METRICS).unwrap();
        Self { dir }
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn serve(&self, listen: &str) -> Command {
        let (store, metrics) = (self.store(), self.dir.path().join("metrics.toml"));
        let mut command = deniable(&["serve", "--listen", listen, "--store"]);
        command.arg(store).arg("--metrics").arg(metrics).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts a collector and waits until it says where it listens.
    pub(crate) fn start(&self) -> Collector {
        Collector::start(&mut self.serve("127.0.0.1:0"))
    }

    /// As [`Site::start`], with the token of an admin.
    pub(crate) fn start_with_admin(&self) -> (Collector, String) {
        let (token, access) = (Token::draw(&mut SystemEntropy).unwrap(), self.dir.path().join("access.toml"));
        let sha256 = token.sha256();
        let text = format!(
            "[[key]]\nname = \"app\"\nkey = \"{}\"\n[[token]]\nname = \"me\"\nsha256 = \"{sha256}\"\nrole = \"admin\"\n",
            ADMIN_SITE_KEY
        );
        fs::write(&access, text).unwrap();
        let collector = Collector::start(self.serve("127.0.0.1:0").arg("--access").arg(access));
        (collector, token.reveal().to_owned())
    }
}

/// A running collector; it is killed if a test ends before it.
pub(crate) struct Collector {
    child: Child,
    pub(crate) address: String,
}

impl Collector {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on http://").expect(&line).trim_end().to_owned();
        Self { child, address }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    fn terminate(mut self) -> (ExitStatus, String) {
        self.signal("-TERM");
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap(), log)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a collector answered to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Accepted,
    Duplicate,
    /// No answer, or one that asks to come again.
    None,
}

/// A client that keeps its connection.
pub(crate) struct Client(ureq::Agent);

impl Client {
    pub(crate) fn new() -> Self {
        Self(ureq::Agent::config_builder().http_status_as_error(false).build().new_agent())
    }

    pub(crate) fn send(&self, address: &str, body: &[u8]) -> Reply {
        let request = self.0.post(format!("http://{address}/v1/reports"));
        let Ok(mut response) = request.content_type("application/octet-stream").send(body) else {
            return Reply::None;
        };
        let status = response.status().as_u16();
        let Ok(text) = response.body_mut().read_to_string() else { return Reply::None };
        let answer: Value = serde_json::from_str(&text).unwrap();
        match (status, answer["status"].as_str()) {
            (200, Some("accepted")) => Reply::Accepted,
            (200, Some("duplicate")) => Reply::Duplicate,
            (503, _) => Reply::None,
            _ => panic!("{status}: {text}"),
        }
    }
}

pub(crate) fn error_of(output: &Output) -> String {
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn sigterm_ends_it_with_everything_acknowledged_on_disk() {
    let site = Site::new();
    let collector = site.start();
    let client = Client::new();
    for n in 0..20 {
        assert_eq!(client.send(&collector.address, &batch(n, &planted(n))), Reply::Accepted);
    }
    let (status, log) = collector.terminate();
    assert!(status.success(), "{status}: {log}");
    exactly_once(&DiskStore::open(&site.store()).unwrap(), 0..20).unwrap();
}

#[test]
fn a_body_without_end_is_cut_off_at_the_limit() {
    let site = Site::new();
    let collector = site.start();
    let mut stream = TcpStream::connect(&collector.address).unwrap();
    let head = "POST /v1/reports HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // One byte over the limit and no end in sight: the answer must come all the same.
    write!(stream, "{:x}\r\n", MAX_BATCH_BYTES + 1).unwrap();
    stream.write_all(&vec![0; MAX_BATCH_BYTES + 1]).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    holds(&line, &["413"]);
}

#[test]
fn what_stands_in_its_way_is_named_with_a_remedy() {
    let site = Site::new();
    let collector = site.start();
    let port = collector.address.rsplit(':').next().unwrap();

    let other = Site::new();
    let error = error_of(&other.serve(&collector.address).output().unwrap());
    holds(&error, &[port, "in use", "--listen"]);
    assert!(!other.store().exists(), "a collector that cannot listen left a store behind");

    let error = error_of(&site.serve("127.0.0.1:0").output().unwrap());
    holds(&error, &[site.store().to_str().unwrap(), "another process", "stop"]);
    let error = error_of(&deniable(&["counts", "--store"]).arg(site.store()).output().unwrap());
    holds(&error, &["another process", "deniable serve"]);

    fs::create_dir(other.store()).unwrap();
    fs::write(other.store().join("notes"), "mine").unwrap();
    let error = error_of(&other.serve("127.0.0.1:0").output().unwrap());
    holds(&error, &["not a store", "notes", "empty"]);

    fs::write(other.dir.path().join("metrics.toml"), METRICS.replace("bits = 12", "bits = 0")).unwrap();
    let error = error_of(&other.serve("127.0.0.1:0").output().unwrap());
    holds(&error, &["metrics.toml", "line 5", "bits is 0", "4096"]);

    // The store remembers what it counts the versions under.
    collector.kill();
    fs::write(site.dir.path().join("metrics.toml"), METRICS.replace("bits = 12", "bits = 16")).unwrap();
    let error = error_of(&site.serve("127.0.0.1:0").output().unwrap());
    holds(&error, &["host version 2", "other parameters", "new version"]);
}

fn counts_of(store: &Path, arguments: &[&str]) -> String {
    let output = deniable(&["counts", "--store"]).arg(store).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn counts_are_printed_as_a_list_and_as_files_for_decode() {
    let site = Site::new();
    let collector = site.start();
    let one: (u16, &[usize]) = (1, &[0, 11]);
    let two: (u16, &[usize]) = (3, &[11]);
    let (eve, day_after) = (today() - 1, today());
    let day = |epoch| Section::of("host", 2, epoch, &[one, two]);
    let old = Section::of("host", 1, eve, &[one].map(|_| (0, [7].as_slice())));
    let sent = batch(1, &[day(eve), day(day_after), old]);
    assert_eq!(Client::new().send(&collector.address, &sent), Reply::Accepted);
    collector.kill();
    let store = site.store();

    let list = format!(
        "metric,version,epoch,reports,left out\nhost,1,{eve},1,0\nhost,2,{eve},2,0\nhost,2,{day_after},2,0\n"
    );
    assert_eq!(counts_of(&store, &["--format", "csv"]), list);
    let json: Value = serde_json::from_str(&counts_of(&store, &["--format", "json"])).unwrap();
    let row =
        serde_json::json!({ "metric": "host", "version": 2, "epoch": eve, "reports": 2, "left_out": 0 });
    assert_eq!(json[1], row);
    holds(&counts_of(&store, &[]), &["metric", "host", "reports"]);

    let host = ["--metric", "host", "--version", "2", "--format", "csv"];
    let empty = "0,0,0,0,0,0,0,0,0,0,0,0,0\n";
    let whole = format!("{empty}2,2,0,0,0,0,0,0,0,0,0,0,2\n{empty}2,0,0,0,0,0,0,0,0,0,0,0,2\n");
    assert_eq!(counts_of(&store, &host), whole);
    // Epochs that overlap are counted once.
    let (range, last) = (format!("{eve}-{day_after}"), day_after.to_string());
    let both = [&host[..], &["--epoch", &range, "--epoch", &last]].concat();
    assert_eq!(counts_of(&store, &both), whole);
    let half = [&host[..], &["--epoch", &last]].concat();
    assert_eq!(counts_of(&store, &half), whole.replace('2', "1"));

    let error = |arguments: &[&str]| {
        error_of(&deniable(&["counts", "--store"]).arg(&store).args(arguments).output().unwrap())
    };
    holds(&error(&["--metric", "host"]), &["[1, 2]", "--version"]);
    holds(&error(&["--metric", "guest"]), &["guest"]);
    holds(&error(&["--metric", "host", "--version", "9"]), &["version 9"]);
    holds(&error(&["--metric", "host", "--epoch", "8-7"]), &["8-7", "earlier"]);
    let error = error_of(&deniable(&["counts", "--store", "/no/such"]).output().unwrap());
    holds(&error, &["/no/such", "no store"]);
}

#[test]
fn a_store_is_verified_and_compacted_when_no_collector_uses_it() {
    let site = Site::new();
    let collector = site.start();
    assert_eq!(Client::new().send(&collector.address, &batch(1, &planted(1))), Reply::Accepted);
    let care = |name| deniable(&["store", name, "--store"]).arg(site.store()).output().unwrap();
    holds(&error_of(&care("verify")), &["another process"]);
    collector.kill();
    let said = String::from_utf8(care("verify").stdout).unwrap();
    holds(&said, &["sound: 3 reports in 3 rows, 0 of them kept, 0 more in the lake, 1 batch ids"]);
    holds(&String::from_utf8(care("compact").stdout).unwrap(), &["bytes before"]);
    exactly_once(&DiskStore::open(&site.store()).unwrap(), [1]).unwrap();
}

#[test]
fn a_batch_is_shown_for_people() {
    let site = Site::new();
    let file = site.dir.path().join("batch");
    fs::write(&file, batch(1, &[Section::of("host", 1, 7, &[(2, &[0, 6])])])).unwrap();
    let output = deniable(&["inspect"]).arg(&file).output().unwrap();
    let view: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(view["id"], "01000000000000000000000000000000");
    assert_eq!(view["sections"][0]["metric"], "host");
    assert_eq!(view["sections"][0]["reports"][0], serde_json::json!({ "cohort": 2, "bits": "10000010" }));
    fs::write(&file, "no batch").unwrap();
    holds(&error_of(&deniable(&["inspect"]).arg(&file).output().unwrap()), &["holds no batch"]);
}

#[test]
fn what_init_makes_is_served_and_the_open_internet_needs_it() {
    let site = Site::new();
    let home = site.dir.path().join("home");
    let init = |arguments: &[&str]| deniable(&["init"]).arg(&home).args(arguments).output().unwrap();
    let output = init(&["--origin", "https://app.example"]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let after = |words: &str| said.lines().find_map(|line| line.strip_prefix(words)).unwrap().to_owned();
    let key = after("write key, for the application: ");
    let token = after("token, for the analyst, shown this once: ");
    let next = after("next: deniable ");
    let access = fs::read_to_string(home.join("access.toml")).unwrap();
    assert!(access.contains(&key) && access.contains("https://app.example") && !access.contains(&token));
    holds(&error_of(&init(&[])), &["home", "must not exist"]);

    let next: Vec<&str> = next.split(' ').collect();
    let collector = Collector::start(deniable(&next).args(["--listen", "127.0.0.1:0"]));
    let url = format!("http://{}/v1/", collector.address);
    let catalog = ureq::get(format!("{url}catalog")).call().unwrap().into_body().read_to_string().unwrap();
    holds(&catalog, &["dark_mode"]);
    let refused = ureq::post(format!("{url}reports")).send(&batch(1, &planted(1))[..]);
    assert!(matches!(refused, Err(ureq::Error::StatusCode(403))), "{refused:?}");
    let counts = ureq::get(format!("{url}counts"));
    let list = counts.header("authorization", format!("Bearer {token}")).call().unwrap();
    assert_eq!(list.into_body().read_to_string().unwrap(), "[]");
    let (status, log) = collector.terminate();
    assert!(status.success() && !log.contains(&key) && !log.contains(&token), "{log}");

    // Without keys, only this machine may reach it.
    let error = error_of(&site.serve("0.0.0.0:0").output().unwrap());
    holds(&error, &["0.0.0.0:0", "--access", "deniable init"]);
    let (_, log) = site.start().terminate();
    holds(&log, &["--access", "everybody on this machine"]);
}

#[test]
fn settings_are_printed_with_where_they_were_set() {
    let site = Site::new();
    let file = site.dir.path().join("deniable.toml");
    fs::write(&file, "store = \"counts\"\n[limits]\nconnections = 7\n").unwrap();
    let print = || {
        let mut command = deniable(&["serve", "--print-config", "--open-days", "60", "--config"]);
        command.arg(&file).env("DENIABLE_LISTEN", "127.0.0.1:9").output().unwrap()
    };
    let said = String::from_utf8(print().stdout).unwrap();
    let place = file.display();
    for line in [
        "listen = \"127.0.0.1:9\" # DENIABLE_LISTEN".to_owned(),
        "open_days = 60 # --open-days".to_owned(),
        format!("limits.connections = 7 # {place} line 3"),
    ] {
        holds(&said, &[&line]);
    }
    assert!(!site.dir.path().join("counts").exists());
    fs::write(&file, "stare = \"counts\"\n[limits]\nconnections = \"many\"\n").unwrap();
    let error = error_of(&print());
    holds(
        &error,
        &["line 1: stare", "store", "line 3: limits.connections", "many", "from 1", "store is not set"],
    );
    let error = error_of(&deniable(&["serve", "--config", "/no/file"]).output().unwrap());
    holds(&error, &["/no/file", "check the path"]);
}

#[test]
fn a_clock_far_ahead_of_the_store_is_refused_until_its_date_is_accepted() {
    let site = Site::new();
    let last = today() - 100;
    let store = DiskStore::create(&site.store()).unwrap();
    store.declare(&catalog()).unwrap();
    let old = [Section::of("host", 2, last, &[(0, &[1])])];
    store.commit(&[accepted(1, &old)], Epoch(last - 45)).unwrap();
    drop(store);
    let date = |day| Day(day).to_string();
    within_a_day(|today| {
        let error = error_of(&site.serve("127.0.0.1:0").output().unwrap());
        let remedy = format!("--accept-date {}", date(today));
        move || holds(&error, &["clock", &date(today), &date(last), &remedy])
    })();
    assert_eq!(DiskStore::open(&site.store()).unwrap().open_from().unwrap(), Epoch(last - 45));
    let yesterday = date(today() - 1);
    error_of(&site.serve("127.0.0.1:0").args(["--accept-date", &yesterday]).output().unwrap());
    // A day later than today, as the clock may move on while this runs.
    let tomorrow = date(today() + 1);
    let collector = Collector::start(site.serve("127.0.0.1:0").args(["--accept-date", &tomorrow]));
    assert_eq!(Client::new().send(&collector.address, &batch(2, &planted(2))), Reply::Accepted);
    collector.kill();
}

/// Waits for a line of the log, and returns all before it and itself.
fn log_until(log: &mut impl BufRead, part: &str) -> String {
    let mut text = String::new();
    while !text.contains(part) {
        assert!(log.read_line(&mut text).unwrap() > 0, "the log ends without {part:?}: {text}");
    }
    text
}

#[test]
fn at_sighup_keys_and_metrics_are_read_anew() {
    let site = Site::new();
    let access = site.dir.path().join("access.toml");
    let keys = |key: u8| format!("[[key]]\nname = \"app\"\nkey = \"{}\"\n", WriteKey([key; 16]));
    fs::write(&access, keys(1)).unwrap();
    let mut collector = Collector::start(site.serve("127.0.0.1:0").arg("--access").arg(&access));
    let mut log = BufReader::new(collector.child.stderr.take().unwrap());
    let url = format!("http://{}/v1/reports", collector.address);
    let status = |n: u64, key: u8| {
        let body = under(WriteKey([key; 16]), batch(n, &planted(n)));
        match ureq::post(&url).send(&body[..]) {
            Ok(answer) => answer.status().as_u16(),
            Err(ureq::Error::StatusCode(status)) => status,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!((status(1, 1), status(2, 2)), (200, 403));
    fs::write(&access, "[[key]]\nname = \"app\"\nkey = \"12\"\n").unwrap();
    collector.signal("-HUP");
    let said = log_until(&mut log, "stay as they were");
    holds(&said, &["ERROR", "access.toml", "line 3", "32 hexadecimal"]);
    assert_eq!((status(3, 1), status(4, 2)), (200, 403));
    fs::write(&access, keys(2)).unwrap();
    collector.signal("-HUP");
    log_until(&mut log, "were read anew");
    assert_eq!((status(5, 1), status(6, 2)), (403, 200));
    collector.kill();
    exactly_once(&DiskStore::open(&site.store()).unwrap(), [1, 3, 6]).unwrap();
}

/// At the most that can be logged, whatever a client does.
#[test]
fn logs_hold_no_addresses_keys_tokens_ids_or_bits() {
    let site = Site::new();
    let home = site.dir.path().join("home");
    let said = String::from_utf8(deniable(&["init"]).arg(&home).output().unwrap().stdout).unwrap();
    let after = |words: &str| said.lines().find_map(|line| line.strip_prefix(words)).unwrap().to_owned();
    let key = after("write key, for the application: ");
    let token = after("token, for the operator, shown this once: ");
    let mut serve = deniable(&["serve", "--listen", "127.0.0.1:0", "--config"]);
    let collector = Collector::start(serve.arg(home.join("deniable.toml")).env("RUST_LOG", "trace"));
    let url = |path: &str| format!("http://{}{path}", collector.address);
    let bits: (u16, &[usize]) = (3, &[0, 2, 5, 7, 8, 11]);
    let mut section = Section::of("host", 2, today(), &[bits]);
    let metrics = deniable_aggregator::catalog::Catalog::load(&home.join("metrics.toml")).unwrap();
    let stream = metrics.definitions().next().unwrap().stream();
    let id = 0x1122_3344_5566_7788;
    let unknown = under(key.parse().unwrap(), batch(id, &[section.clone()]));
    section.metric = stream.metric().to_string();
    (section.version, section.fingerprint, section.bits) =
        (stream.version(), stream.fingerprint().0, stream.bits() as u16);
    section.records = vec![(0, vec![1])];
    let good = under(key.parse().unwrap(), batch(id, &[section.clone()]));
    section.fingerprint = [9; 8];
    let other = under(key.parse().unwrap(), batch(id, &[section]));
    let mut answers = Vec::new();
    for body in
        [&good, &good, &unknown, &other, &good[..40].to_vec(), &under(WriteKey([9; 16]), good.clone())]
    {
        let answer = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        answers.push(answer.post(url("/v1/reports")).send(&body[..]).unwrap().status().as_u16());
    }
    assert_eq!(answers, [200, 200, 404, 409, 400, 403]);
    for path in
        ["/v1/counts", "/metrics", "/v1/counts?metric=secret&version=1", &format!("/v1/catalog?key={key}")]
    {
        let _ = ureq::get(url(path)).header("authorization", format!("Bearer {token}")).call();
        let _ = ureq::get(url(path)).header("authorization", "Bearer dnbl_wrong").call();
    }
    let reload = ureq::post(url("/v1/admin/reload")).header("authorization", format!("Bearer {token}"));
    reload.send_empty().unwrap();
    // Half a request, and one that is no HTTP.
    for text in ["POST /v1/reports HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc", "\u{1}\u{2}nonsense\r\n\r\n"] {
        TcpStream::connect(&collector.address).unwrap().write_all(text.as_bytes()).unwrap();
    }
    let (status, log) = collector.terminate();
    assert!(status.success() && log.contains("TRACE") | log.contains("DEBUG"), "{log}");
    // But where it listens itself, which the operator has set.
    let log: String = log.lines().filter(|line| !line.contains("setting key=listen")).collect();
    let hash: String = Sha256::digest(&token).iter().map(|byte| format!("{byte:02x}")).collect();
    let id_text = "8877665544332211";
    for secret in ["127.0.0.1", "::1", &key, &token, "dnbl_", &hash, id_text, "1122334455667788", "10100101"]
    {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}

#[test]
fn a_body_that_says_it_has_ten_gigabytes_is_not_waited_for() {
    let site = Site::new();
    let collector = site.start();
    let mut stream = TcpStream::connect(&collector.address).unwrap();
    let head = "POST /v1/reports HTTP/1.1\r\nhost: a\r\ncontent-length: 10737418240\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // As much as a batch can have, and a little more of the ten gigabytes.
    stream.write_all(&vec![0; MAX_BATCH_BYTES + 1]).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    holds(&line, &["413"]);
    assert_eq!(Client::new().send(&collector.address, &batch(1, &planted(1))), Reply::Accepted);
}

#[test]
fn projects_of_a_file_are_served_beside_each_other() {
    let site = Site::new();
    let dir = site.dir.path();
    let mut file = String::new();
    for (name, key) in [("shop", 1), ("blog", 2)] {
        let key = WriteKey([key; 16]);
        fs::write(dir.join(format!("{name}.keys")), format!("[[key]]\nname = \"app\"\nkey = \"{key}\"\n"))
            .unwrap();
        file += &format!(
            "[projects.{name}]\nmetrics = \"metrics.toml\"\naccess = \"{name}.keys\"\nstore = \"{name}\"\n"
        );
    }
    fs::write(dir.join("deniable.toml"), &file).unwrap();
    let serve = || {
        let mut command = deniable(&["serve", "--listen", "127.0.0.1:0", "--config"]);
        command.arg(dir.join("deniable.toml"));
        command
    };
    let collector = Collector::start(&mut serve());
    for n in 0..10 {
        let key = WriteKey([1 + n as u8 % 2; 16]);
        let sent = Client::new().send(&collector.address, &under(key, batch(n, &planted(n))));
        assert_eq!(sent, Reply::Accepted);
    }
    let url = format!("http://{}", collector.address);
    let ready = |arguments: &[&str]| deniable(&["ready", &url]).args(arguments).output().unwrap();
    assert!(ready(&[]).status.success() && ready(&["--project", "blog"]).status.success());
    holds(&error_of(&ready(&["--project", "other"])), &["not ready", "404", "no project of that name"]);
    collector.kill();
    holds(&error_of(&ready(&[])), &["no collector answers"]);
    exactly_once(&DiskStore::open(&dir.join("shop")).unwrap(), [0, 2, 4, 6, 8]).unwrap();
    exactly_once(&DiskStore::open(&dir.join("blog")).unwrap(), [1, 3, 5, 7, 9]).unwrap();
    fs::copy(dir.join("shop.keys"), dir.join("blog.keys")).unwrap();
    holds(&error_of(&serve().output().unwrap()), &["blog and shop have a write key in common"]);
}
