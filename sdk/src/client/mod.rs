//! The client: what leaves the device, when, and at what cost.
//!
//! [`Core`] is a state machine. It is told of events, answers and the time, and of what became of commits and uploads; it
//! says what is to be written and what is to be sent. It reads no clock, touches no disk and opens no socket. [`Client`] is a core on a
//! [`Host`] that stores at once.

mod answer;
mod host;
mod journal;
mod ledger;
mod machine;
mod options;
mod preview;
mod queue;
mod state;
mod status;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod timer;

pub use self::answer::{Outcome, Reply};
pub use self::host::{Client, Host};
pub use self::ledger::{Budgeted, Cap, LedgerView, Spent};
pub use self::machine::{
    Commit, Core, DURATION, Experiment, IDENTIFY, MAX_PROPERTIES, PAGE, Recorded, Taken, Tracked, Unfit,
};
pub use self::options::{Consent, Options, OptionsError};
pub use self::preview::{Odds, Preview};
pub use self::queue::{Finished, NextUpload, Upload};
pub use self::state::{OpenError, StateError, stored_commit};
pub use self::status::{
    Begun, ClockState, Dropped, MAX_REASONS, Refusals, Status, StorageError, StorageStatus, UploadStatus,
};
