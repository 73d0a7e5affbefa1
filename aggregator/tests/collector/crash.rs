//! SIGKILL in the middle of the work: what was acknowledged is counted exactly once, and so is what is sent again.
//!
//! Clients post planted batches from several threads and keep on until each is acknowledged; a batch without
//! answer is sent again, and so are some that were acknowledged. The collector is killed after given numbers of
//! acknowledgements, always while other batches are on their way.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Sender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use deniable_aggregator::store::DiskStore;

use crate::process::{Client, Reply, Site};
use crate::support::{Choices, batch, exactly_once, planted, planted_counts};

const BATCHES: u64 = 6000;
const CLIENTS: usize = 8;
const KILLS: u64 = 100;

/// What clients and the test share.
struct Work {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: VecDeque<u64>,
    acknowledged: Vec<u64>,
    /// Where the collector listens; none while it is down.
    address: Option<String>,
    /// Batches that a client has and that are not acknowledged.
    open: usize,
    /// No more kills come: the work is over when all is acknowledged.
    is_last: bool,
    /// Nothing more is to be sent.
    over: bool,
}

impl State {
    /// An acknowledged batch, as long as kills come.
    fn again(&self) -> Option<u64> {
        self.acknowledged.get(self.acknowledged.len() / 2).copied().filter(|_| !self.is_last)
    }
}

/// Ends the work when its holder ends, be it by a panic, so that a failure is told and nobody waits for ever.
struct End<'a>(&'a Work);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.changed.notify_all();
    }
}

impl Work {
    fn new() -> Self {
        let waiting = (0..BATCHES).collect();
        let state =
            State { waiting, acknowledged: Vec::new(), address: None, open: 0, is_last: false, over: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The state, whether or not somebody panicked with it: each change of it is complete.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch and where to send it; none when all is acknowledged. However late a kill comes, something is on its way: when
    /// every batch is acknowledged, some go again.
    fn next(&self) -> Option<(u64, String)> {
        let mut state = self.lock();
        loop {
            if state.over || state.is_last && state.waiting.is_empty() && state.open == 0 {
                return None;
            }
            if let Some(address) = state.address.clone()
                && let Some(n) = state.waiting.pop_front().or_else(|| state.again())
            {
                state.open += 1;
                return Some((n, address));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn settle(&self, n: u64, address: &str, reply: Reply, acknowledgements: &Sender<u64>) {
        let mut state = self.lock();
        state.open -= 1;
        if reply == Reply::None {
            // This collector is gone; wait for the next.
            state.address.take_if(|known| known == address);
            state.waiting.push_back(n);
        } else {
            state.acknowledged.push(n);
            // After a failure nobody listens.
            let _ = acknowledgements.send(n);
        }
        self.changed.notify_all();
    }

    /// Tells the clients of a new collector, and gives them some acknowledged batches to send again.
    fn resume(&self, address: &str, choices: &mut Choices) {
        let mut state = self.lock();
        state.address = Some(address.to_owned());
        let count = state.acknowledged.len() as u64;
        for _ in 0..20.min(count) {
            let again = state.acknowledged[choices.below(count) as usize];
            state.waiting.push_front(again);
        }
        self.changed.notify_all();
    }
}

#[test]
fn sigkill_loses_no_acknowledged_batch_and_repeats_none() {
    let site = Site::new();
    let work = Work::new();
    let (acknowledge, acknowledgements) = mpsc::channel();
    let mut choices = Choices(20_260_101);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (work, acknowledge) = (&work, acknowledge.clone());
            scope.spawn(move || {
                let _end = End(work);
                let client = Client::new();
                while let Some((n, address)) = work.next() {
                    let reply = client.send(&address, &batch(n, &planted(n)));
                    work.settle(n, &address, reply, &acknowledge);
                }
            });
        }
        drop(acknowledge);
        let _end = End(&work);
        for _ in 0..KILLS {
            let collector = site.start();
            work.resume(&collector.address, &mut choices);
            // Only what this collector acknowledges counts towards its end.
            acknowledgements.try_iter().for_each(drop);
            let after = 1 + choices.below(60) as usize;
            assert_eq!(acknowledgements.iter().take(after).count(), after, "the work ended before the kill");
            collector.kill();
            // Between two lives, the file holds whole batches, and each at most once.
            let counted = planted_counts(&DiskStore::open(&site.store()).unwrap()).unwrap();
            assert!(counted.values().all(|times| *times == 1), "{counted:?}");
            for n in &work.lock().acknowledged {
                assert!(counted.contains_key(n), "batch {n} was acknowledged and is lost");
            }
        }
        let collector = site.start();
        work.lock().is_last = true;
        work.resume(&collector.address, &mut choices);
        // Until the last client has let go of its sender.
        acknowledgements.iter().for_each(drop);
        collector.kill();
    });
    exactly_once(&DiskStore::open(&site.store()).unwrap(), 0..BATCHES).unwrap();
    let verified = DiskStore::open(&site.store()).unwrap().verify().unwrap();
    assert_eq!((verified.reports, verified.batch_ids), (3 * BATCHES, BATCHES));
}
