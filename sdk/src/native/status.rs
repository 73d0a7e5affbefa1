//! What a program learns of its client.

use std::prelude::v1::*;
use std::sync::Arc;

use super::error::CatalogFault;
use super::folder::FolderError;
use super::http::NetworkFault;
use crate::client;

/// How a native client is doing. It holds no answer and no secret, and may be logged.
#[derive(Clone, Debug)]
pub struct Status {
    /// What the client says of itself.
    pub client: client::Status,
    /// How the state was found.
    pub state: StateStatus,
    /// Why the last upload or look for a catalog had no answer; None if it had one.
    pub network: Option<NetworkFault>,
    /// Why the catalog could not be fetched the last time; None if it was, or is not to be fetched.
    pub catalog: Option<CatalogFault>,
    /// Whether the threads that write and send are at work; they are not in an idle client, nor in one that was closed.
    pub working: bool,
}

/// How the state was found when the client opened.
#[derive(Clone, Debug)]
pub enum StateStatus {
    /// As it was left, or there was none.
    Kept,
    /// The last state was damaged and is kept under this name in the folder. The one before was taken up.
    TakenFromBefore {
        /// The name.
        kept_as: String,
    },
    /// The state was damaged and is kept under this name in the folder. The client began anew; what was spent was taken over
    /// if it could be read, see [`LedgerView::lost_states`](crate::client::LedgerView::lost_states).
    BegunAnew {
        /// The name.
        kept_as: String,
    },
    /// There is no place for a state. The client takes events and answers in memory, and as nothing can be charged durably,
    /// nothing ever leaves. Put right what stands in the way, and open it anew.
    Idle(Arc<FolderError>),
}

/// What came of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing waits any more: the collector has everything, or will never take it.
    Done,
    /// Something could not be sent now. It is tried again later.
    NotSent(client::Outcome),
    /// The state could not be written, so nothing may leave.
    NotWritten(client::StorageError),
    /// The time was over before.
    TimedOut,
    /// The client is idle or closed.
    NotWorking,
}

/// What came of closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Everything is durable, and no thread is left.
    Written,
    /// The last commit failed: what happened since the one before is lost, and nothing of it has left.
    NotWritten(client::StorageError),
    /// A thread still waits for the network or the disk, and ends when it has its answer. What it sends is durable, and counted
    /// once.
    TimedOut,
    /// The client was idle, so nothing was ever written, or had been closed before.
    NotWorking,
}
