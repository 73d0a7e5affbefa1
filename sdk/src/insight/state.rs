//! The stored state of a device.
//!
//! # State format, version 2
//! | bytes | content |
//! |---|---|
//! | 4 | `dnst` |
//! | 1 | version, 2 |
//! | … | the state in its [binary form](crate::binary); each tally stands under the hash of its cell's definition |
//! | 8 | the first bytes of the SHA-256 of all before |
//!
//! It has at most [`MAX_STATE_BYTES`](super::MAX_STATE_BYTES). In version 1 a number, which means nothing now, followed the kept
//! events.
//!
//! Tallies of cells that a new registry no longer has are dropped. Cells that are new begin with the raw events that were kept.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::Counters;
use super::bound;
use super::clock::Clock;
use super::device::{Device, passes, properties};
use super::kept::Kept;
use super::tally::{Occasion, Tally};
use crate::binary::{self, Binary, Writer, binary};
use crate::identity::DeviceSecret;
use crate::metric::MetricId;
use crate::registry::{Registry, Window};

const MAGIC: [u8; 4] = *b"dnst";
const FORMAT: u8 = 2;
const CHECK_BYTES: usize = 8;

/// What is read. In version 1 a number follows it.
struct Stored {
    clock: Clock,
    tallies: Vec<(u64, Tally)>,
    done: Vec<(MetricId, u32)>,
    counters: Counters,
    kept: Kept,
}

binary!(struct Stored { clock, tallies, done, counters, kept });

impl Device {
    /// The bytes to store, at most [`MAX_STATE_BYTES`](super::MAX_STATE_BYTES). Keep them where only this program reads, beside
    /// the secret.
    pub fn store(&self) -> Vec<u8> {
        // Room for all, so that no part of it is left behind in memory.
        let state = binary::size(|to| self.write(to));
        let mut bytes = Vec::with_capacity(MAGIC.len() + 1 + state + CHECK_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(FORMAT);
        self.write(&mut Writer::new(&mut bytes));
        let check = check(&bytes);
        bytes.extend_from_slice(&check);
        bytes
    }

    /// Writes what [`Stored`] reads.
    fn write(&self, to: &mut Writer<'_>) {
        self.clock.write(to);
        to.number(self.tallies.len() as u64);
        for (cell, tally) in self.registry.cells.iter().zip(&self.tallies) {
            cell.key.write(to);
            tally.write(to);
        }
        self.done.write(to);
        self.counters.write(to);
        self.kept.write(to);
    }

    /// Takes up a stored state, under the same registry or a changed one.
    ///
    /// # Errors
    /// [`Unreadable`], which hands the bytes back, so that they can be kept aside. There is no device then, and nothing is
    /// answered on guesses; the program decides whether to begin anew.
    pub fn restore(
        registry: Arc<Registry>,
        secret: &DeviceSecret,
        mut bytes: Vec<u8>,
    ) -> Result<Self, Unreadable> {
        let parsed = parse(&bytes).map_err(|error| Unreadable { error, bytes: bytes.as_slice().into() });
        bytes.zeroize();
        let mut stored = parsed?;
        let mut device = Self::new(registry, secret, stored.clock.install);
        (device.clock, device.done) = (stored.clock, stored.done);
        (device.counters, device.kept) = (stored.counters, stored.kept);
        let mut known = Vec::new();
        for (cell, tally) in device.registry.cells.iter().zip(&mut device.tallies) {
            let found = stored.tallies.iter_mut().find(|(key, _)| *key == cell.key);
            known.push(found.is_some());
            if let Some((_, found)) = found {
                core::mem::swap(tally, found);
            }
        }
        device.counters.kept_dropped += device.kept.measure();
        device.look_back(&known);
        device.forget_kept();
        device.forget_done();
        Ok(device)
    }

    /// Drops what was answered once and is no longer asked, if there is no room for it.
    fn forget_done(&mut self) {
        let registry = Arc::clone(&self.registry);
        let asked = |(id, version): &(MetricId, u32)| {
            registry.metric(id).is_some_and(|metric| metric.version() == *version)
        };
        let others = self.done.iter().filter(|done| !asked(done));
        let others: usize = others.map(|(id, _)| bound::of_done(id)).sum();
        let own = bound::of_once(&registry.metrics);
        if own + others > bound::for_done(own) {
            self.done.retain(asked);
        }
    }

    /// Lets the cells that remember nothing see the raw events that were kept.
    fn look_back(&mut self, known: &[bool]) {
        let registry = Arc::clone(&self.registry);
        let kept = core::mem::take(&mut self.kept);
        kept.replay(|event, when| {
            let Some(plan) = registry.event(event.name) else { return };
            // They were counted when they came.
            let properties = properties(plan, event, &mut Counters::default());
            for route in plan.routes.iter().filter(|route| !known[route.cell]) {
                let cell = &registry.cells[route.cell];
                if self.is_current(cell.window, when) && passes(&route.filters, &properties) {
                    let got = route.property.and_then(|place| properties[place]);
                    self.add(cell, route.cell, route.role, got, when);
                }
            }
        });
        self.kept = kept;
    }

    /// Whether a past occasion lies in the window that is open now.
    fn is_current(&self, window: Window, when: &Occasion) -> bool {
        let clock = &self.clock;
        match window {
            Window::Session => clock.open && when.session == clock.session,
            Window::Day => when.day == clock.today,
            Window::Week => when.day.week() == clock.today.week(),
            Window::Month => when.day.month() == clock.today.month(),
            Window::Ever | Window::FirstSession | Window::Days(_) => true,
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Stored, StateError> {
    let body = bytes.strip_prefix(&MAGIC).ok_or(StateError::NotAState)?;
    let &format = body.first().ok_or(StateError::Corrupt)?;
    if format > FORMAT {
        return Err(StateError::Newer { found: format });
    }
    let (whole, found) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(StateError::Corrupt)?;
    if check(whole) != *found {
        return Err(StateError::Corrupt);
    }
    let stored = whole.get(MAGIC.len() + 1..).ok_or(StateError::Corrupt)?;
    let stored = match format {
        1 => binary::read::<(Stored, usize)>(stored).map(|(stored, _)| stored),
        FORMAT => binary::read(stored),
        _ => None,
    };
    stored.ok_or(StateError::Corrupt)
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = Sha256::digest(bytes);
    core::array::from_fn(|i| digest[i])
}

/// A stored state that cannot be taken up, with its bytes.
pub struct Unreadable {
    /// Why.
    pub error: StateError,
    /// What was stored, to be kept aside.
    pub bytes: Box<[u8]>,
}

impl fmt::Debug for Unreadable {
    /// Says why, and nothing of the state.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unreadable({:?}, {} bytes)", self.error, self.bytes.len())
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl core::error::Error for Unreadable {}

/// Why a stored state cannot be taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The bytes begin otherwise.
    #[error(
        "these bytes are no state of a device: a state begins with \"dnst\"; keep them aside and begin anew"
    )]
    NotAState,
    /// A newer program wrote it.
    #[error(
        "the state has format {found}, but this program reads up to {FORMAT}; keep it aside and update the program"
    )]
    Newer {
        /// Its version.
        found: u8,
    },
    /// It was cut short or changed.
    #[error("the state is damaged or cut short; keep it aside and begin anew")]
    Corrupt,
}
