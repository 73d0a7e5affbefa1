//! The client for native programs: a [`Core`](crate::client::Core) with a folder for its state, the system's clock and
//! randomness, and two threads, of which one writes and one sends.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use deniable::client::Consent;
//! use deniable::insight::Property;
//! use deniable::native::{Catalog, NativeClient, OpenError, Options};
//!
//! fn main() -> Result<(), OpenError> {
//!     // A folder that the client has for itself, and a collector, which says what is asked.
//!     let options = Options::new("state", "https://reports.example", Catalog::Fetched).consent(Consent::Given);
//!     let client = NativeClient::open(options)?;
//!
//!     // Never waits and never fails. What is asked about events is answered on the device.
//!     client.track("opened", &[("screen", Property::Text("home"))]);
//!
//!     // Reports leave in the background, each after a random time. What is left waits on the disk for the next start.
//!     client.close(Duration::from_secs(2));
//!     Ok(())
//! }
//! ```
//!
//! # What can go wrong, and what comes of it
//! The program goes on in each case, nothing is reported that was not charged, and nothing that was charged is lost if it
//! can be kept at all.
//!
//! | state | what comes of it | [`Status`] |
//! |---|---|---|
//! | no folder | it is made, for this user alone (0700, files 0600) | `state` is `Kept` |
//! | the folder is open to others | they lose their rights in it | `Kept` |
//! | another process has it | [`OpenError::InUse`], with the id of the process | |
//! | folder or a file belongs to another user, or the folder holds other things | idle: nothing is touched, nothing leaves | `Idle(NotOurs)`, `Idle(Foreign)` |
//! | read-only, full, or without locks when the client opens | idle | `Idle(ReadOnly)`, `Idle(Full)`, `Idle(NoLocks)` |
//! | read-only or full later | the last state stays, commits are tried again after 5 s to 10 min, nothing new leaves | `client.storage.error` is `ReadOnly`, `Full` |
//! | a file system that cannot rename | as above | `NotAtomic` |
//! | the folder is removed | as above, until the program starts anew | `Other` |
//! | a crash at any moment | the state of the last commit; what a half commit left is removed | `Kept` |
//! | the last state is damaged | it is kept as `state.damaged.N`, and the state before is taken up, with what the last one says was spent; if that cannot be read either, `lost_states` counts it; reports that were in no batch then may have left since, and are dropped | `TakenFromBefore`, `client.dropped.uncertain` |
//! | both states are damaged | they are kept, and the client begins anew with what was spent, if that can be read | `BegunAnew`, `client.begun`, [`lost_states`](crate::client::LedgerView::lost_states) |
//! | the state is of a newer program | it stays as it is; idle | `Idle(Newer)` |
//! | a clock before 2020 | events and answers are not taken | `client.clock` is `NotSet` |
//!
//! | network | what comes of it | [`Status`] |
//! |---|---|---|
//! | no address, no connection, no HTTP | tried again after 30 s, twice as long each time, by a random part, up to a day | `network`, `client.uploads.last` is `Unreachable` |
//! | a certificate of another name or an unknown authority | as above; nothing is sent | `network` is `Certificate` |
//! | no answer, or not the whole of it, within a minute | as above; the batch counts once | `TimedOut` |
//! | a redirect | not followed; as above | `Redirected` |
//! | HTML, a body that is too long or not a receipt, with success | as above | `NotACollector` |
//! | 413 | sent in two parts | `TooLarge` |
//! | 429, 503 with `Retry-After` | as asked for, up to a day | `Limited`, `Failed` |
//! | other 5xx | as without connection | `Failed` |
//! | a key that is unknown or revoked | as without connection | `KeyRefused` |
//! | a catalog that cannot be had or used | the questions stay; asked for again after 10 min | `catalog` |

mod catalog;
mod client;
mod clock;
mod disk;
mod error;
mod folder;
mod http;
mod options;
mod restore;
mod send;
mod shared;
mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod write;

pub use self::client::{Experiment, NativeClient};
pub use self::error::{CatalogFault, OpenError};
pub use self::folder::FolderError;
pub use self::http::{EndpointError, NetworkFault};
pub use self::options::{Catalog, Options};
pub use self::status::{Closed, Flushed, StateStatus, Status};
