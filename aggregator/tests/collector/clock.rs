//! A collector whose clock is set wrong while it serves.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use deniable::Epoch;
use deniable_aggregator::collect::{Access, Clock, Collector, Project, Settings, Window};
use deniable_aggregator::store::{DiskStore, Store};

use crate::http::post;
use crate::support::{Section, batch, catalog};

const DAY: Duration = Duration::from_secs(86_400);

/// A clock that a test sets: what it says, and how long it has run.
struct SetClock(Mutex<(SystemTime, Duration)>);

impl SetClock {
    fn set(&self, day: u32, runs: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = (UNIX_EPOCH + day * DAY, now.1 + runs);
    }
}

impl Clock for SetClock {
    fn wall(&self) -> SystemTime {
        self.0.lock().unwrap().0
    }

    fn running(&self) -> Duration {
        self.0.lock().unwrap().1
    }
}

#[tokio::test]
async fn a_clock_that_is_set_ahead_for_a_while_costs_no_report() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SetClock(Mutex::new((UNIX_EPOCH + 20_000 * DAY, Duration::ZERO))));
    let settings = Settings { window: Window::with_clock(45, clock.clone()), ..Settings::default() };
    let store = Arc::new(DiskStore::create(dir.path()).unwrap());
    let project = Project::alone(store.clone(), catalog(), Access::open());
    let collector = Collector::new(vec![project], settings).unwrap();
    let app = collector.router();
    let send = async |id, epoch| {
        let section = Section::of("host", 2, epoch, &[(0, &[1])]);
        post(&app, batch(id, &[section])).await.status.as_u16()
    };
    assert_eq!(send(1, 20_000).await, 200);
    // Ten years ahead after a second, and a batch comes.
    clock.set(23_650, Duration::from_secs(1));
    assert_eq!(send(2, 20_000).await, 200);
    assert_eq!(store.open_from().unwrap(), Epoch(20_000 - 45));
    // Set right: what was open is open, and time goes on.
    clock.set(20_000, Duration::from_secs(60));
    assert_eq!((send(3, 20_000).await, send(4, 20_000 - 45).await), (200, 200));
    clock.set(20_046, 46 * DAY);
    assert_eq!((send(5, 20_000).await, send(6, 20_001).await), (410, 200));
    assert_eq!(store.open_from().unwrap(), Epoch(20_001));
    collector.finish().await.unwrap();
}
