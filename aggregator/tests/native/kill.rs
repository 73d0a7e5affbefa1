//! SIGKILL at random moments in the middle of reporting: what is charged on the disk is counted once and never lost, and nothing was
//! ever counted that is not charged on the disk.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use deniable::client::{self, Consent, Recorded};
use deniable::native::{Catalog, Flushed, NativeClient, Options};
use deniable::{Answer, MetricId};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::site::{LONG, Site, until};

const KILLS: u32 = 30;
const FOLDER: &str = "DENIABLE_TEST_FOLDER";
const URL: &str = "DENIABLE_TEST_URL";
const KEY: &str = "DENIABLE_TEST_KEY";

fn open(folder: &Path, url: &str, key: &str) -> NativeClient {
    let settings = client::Options {
        key: key.parse().unwrap(),
        consent: Consent::Given,
        delay: Duration::ZERO,
        ..client::Options::default()
    };
    NativeClient::open(Options::new(folder, url, Catalog::Fetched).client(settings)).unwrap()
}

#[test]
#[ignore = "is the program that the next test kills"]
fn a_program_that_reports_for_ever() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let client = open(folder.as_ref(), &std::env::var(URL).unwrap(), &std::env::var(KEY).unwrap());
    let slow = MetricId::new("slow").unwrap();
    loop {
        assert_eq!(client.record(&slow, Answer::Flag(false)), Recorded::Reported);
        // Faster than the collector is no use, as the oldest reports go when the queue is full.
        loop {
            let status = client.status().client;
            if status.waiting + status.on_the_way < 20 {
                break;
            }
            std::thread::yield_now();
        }
    }
}

/// What a state on the disk says, without the program that wrote it.
#[derive(Debug, Default)]
struct OnDisk {
    charged: u64,
    waiting: u64,
    spent: f64,
}

impl OnDisk {
    fn read(folder: &Path, key: &str) -> Self {
        let copy = tempfile::tempdir().unwrap();
        let copied = copy.path().join("state");
        fs::create_dir(&copied).unwrap();
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copied.join(entry.file_name())).unwrap();
        }
        // Nobody listens there.
        let client = open(&copied, "http://127.0.0.1:9", key);
        let (ledger, status) = (client.ledger(), client.status().client);
        assert_eq!((ledger.lost_states, status.dropped), (0, client::Dropped::default()));
        let charged = ledger.metrics.iter().map(|spent| spent.reports).sum();
        Self { charged, waiting: status.waiting + status.on_the_way, spent: ledger.for_life.spent.get() }
    }
}

#[test]
fn what_is_charged_is_counted_once_whenever_the_program_dies() {
    let site = Site::new();
    let folder = site.folder("state");
    let mut chance = ChaCha8Rng::seed_from_u64(7);
    let mut before = OnDisk::default();
    let mut in_between = 0;
    for kill in 0..KILLS {
        let mut program = Command::new(std::env::current_exe().unwrap())
            .args(["kill::a_program_that_reports_for_ever", "--exact", "--ignored"])
            .env(FOLDER, &folder)
            .env(URL, &site.url)
            .env(KEY, &site.key)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if kill % 3 == 0 {
            // Maybe before it has begun.
            wait(Duration::from_micros(chance.random_range(20_000..200_000)));
        } else {
            for _ in 0..chance.random_range(1..12) {
                let seen = written(&folder);
                until(|| written(&folder) != seen);
            }
            wait(Duration::from_micros(chance.random_range(0..5_000)));
        }
        program.kill().unwrap();
        program.wait().unwrap();

        if !folder.join("state").exists() && !folder.join("state.old").exists() {
            assert_eq!(site.counted("slow"), 0, "something left before there was a state");
            continue;
        }
        let (disk, counted) = (OnDisk::read(&folder, &site.key), site.counted("slow"));
        assert!(counted <= disk.charged, "kill {kill}: {counted} counted, {disk:?}");
        assert!(counted + disk.waiting >= disk.charged, "kill {kill}: lost: {counted} counted, {disk:?}");
        assert!(disk.charged >= before.charged && disk.spent >= before.spent, "{disk:?} after {before:?}");
        in_between += u32::from(disk.waiting > 0);
        before = disk;
    }
    assert!(in_between > 0, "no kill came while something was under way, so they show little");
    let client = open(&folder, &site.url, &site.key);
    assert_eq!(client.flush(LONG), Flushed::Done);
    let charged: u64 = client.ledger().metrics.iter().map(|spent| spent.reports).sum();
    assert!(charged >= before.charged && charged > 100, "{charged}");
    assert_eq!(site.counted("slow"), charged);
}

/// When a state was last written.
fn written(folder: &Path) -> Option<SystemTime> {
    fs::metadata(folder.join("state")).and_then(|state| state.modified()).ok()
}

/// Lets a random time pass.
fn wait(time: Duration) {
    let (_sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(time);
}
