//! What can happen to a device, what can be planted, and what a history comes to.

use deniable::client::testing::{Fate, Kept, Step};

/// What happens.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Track,
    Record(usize),
    /// The clock moves, back if below 0.
    Pass(i64),
    /// The program writes what is due.
    Write,
    Flush,
    /// The program sends what it may.
    Send(Fate),
    /// What the network held arrives.
    Release,
    /// Something answers in the collector's place.
    Stranger(u16),
    /// The next write crashes the machine.
    CrashAfter(Step, Kept),
    /// The program is killed, and started again.
    Restart,
    StorageFails(bool),
    OptOut,
    OptIn,
    Reset,
    Upgrade,
}

/// What is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The host says that a commit is durable, and never wrote it.
    CommitSkipped,
    /// Reports are stored, their charges are not.
    ChargeForgotten,
    /// A batch that is sent again gets another id.
    NewIdOnRetry,
    /// A write does not wait for the disk.
    SyncForgotten,
}

/// What histories came to, so that none of it is never tried.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) left: u64,
    pub(crate) collected: u64,
    pub(crate) erased: u64,
    pub(crate) too_old: u64,
    pub(crate) refused: u64,
    pub(crate) over_cap: u64,
    pub(crate) resent: u64,
    pub(crate) crashes: u64,
    pub(crate) halved: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.left += other.left;
        self.collected += other.collected;
        self.erased += other.erased;
        self.too_old += other.too_old;
        self.refused += other.refused;
        self.over_cap += other.over_cap;
        self.resent += other.resent;
        self.crashes += other.crashes;
        self.halved += other.halved;
    }
}
