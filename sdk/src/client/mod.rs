//! The client: what leaves the device, when, and at what cost.
//!
//! [`Core`] is a state machine. It is told of events, answers and the time, and of what became of commits and uploads; it
//! says what is to be written and what is to be sent. It reads no clock, touches no disk and opens no socket. [`Client`] is a core on a
//! [`Host`] that stores at once.
//!
//! ```
//! use std::sync::Arc;
//!
//! use deniable::SystemEntropy;
//! use deniable::calendar::{Moment, Timestamp};
//! use deniable::client::{Consent, Core, Finished, NextUpload, Options, Reply, Tracked};
//! use deniable::registry::{Declared, Registry};
//!
//! let declared: Declared = serde_json::from_str(r#"{
//!     "events": { "saved": {} },
//!     "metrics": { "saves": { "version": 1, "question": "Was anything saved today?", "every": "day",
//!         "source": { "any": { "events": ["saved"], "window": "day" } }, "kind": "boolean", "epsilon": 1.0 } }
//! }"#)?;
//! let registry = Arc::new(Registry::new(&declared)?);
//! let after = |hours: i64| Moment::utc(Timestamp::from_seconds(1_700_000_000 + hours * 3600));
//!
//! let options = Options { consent: Consent::Given, ..Options::default() };
//! let mut core = Core::open(Arc::clone(&registry), options.clone(), None, &mut SystemEntropy, after(0))?;
//! assert_eq!(core.track("saved", &[], after(1)), Tracked::Taken);
//! println!("{}", core.preview(after(1))[0].in_words());
//!
//! // The day ends; its report waits a random part of an hour. Write what is to be durable, then send.
//! core.advance(after(24));
//! let commit = core.commit(after(25), false).expect("a report is to be written");
//! let disk = commit.bytes.to_vec();
//! core.committed(commit.number);
//! let NextUpload::Send(upload) = core.next_upload(after(25)) else { panic!("a batch is to be sent") };
//!
//! // POST upload.body to /v1/reports of the collector, and say what came of it.
//! let body = br#"{"status":"accepted","reports":1,"refused":{}}"#;
//! let reply = Reply::Answered { status: 200, retry_after: None, body };
//! let finished = core.finish_upload(upload.id, reply, after(25));
//! assert_eq!(finished, Finished::Delivered { counted: 1, refused: 0 });
//! assert!(core.ledger(after(25)).for_life.spent.get() >= 1.0 - 1e-6);
//!
//! // The program ends, and begins with what it stored.
//! let core = Core::open(registry, options, Some(&disk), &mut SystemEntropy, after(25))?;
//! assert_eq!(core.ledger(after(25)).reports, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a host does
//! Whenever something was told, and when [`Core::wake_at`] says so: take [`Core::commit`], write its bytes in one step, and say
//! [`Core::committed`] or [`Core::commit_failed`]; then take [`Core::next_upload`], send it, and say [`Core::finish_upload`].
//!
//! # Invariants
//! - A report may leave when one commit that holds the report, its charge and its batch with its id is durable. What was not committed has
//!   never left, so a crash leaves nothing that could be made and charged otherwise the second time.
//! - A batch keeps id and bytes until it is known what became of it, over restarts too, so a collector counts it once. A batch
//!   that has to be cut because it is too large goes on under its id where it may have been counted already; what cannot be known is
//!   dropped and counted in [`Dropped::uncertain`], never sent twice.
//! - What was spent is never lowered: not by a reset, not without consent, not by another catalog, and not by a damaged state whose
//!   ledger is whole. An older state that is put back, as from a backup, is whole and cannot be told from the last: what was spent since
//!   is then unknown, and what waited then goes again.
//! - No call fails into the program, waits, or takes memory without bound. State, queue, timers and reasons have limits; what goes over
//!   them is dropped, the oldest first, and counted.
//!
//! # What goes wrong
//! Each has one outcome, which [`Core::status`] shows.
//!
//! | what | outcome | seen in |
//! |---|---|---|
//! | the storage is read-only, full, someone else's, or cannot replace a state in one step | events and answers are kept in memory, within their limits; nothing new is sent; written again after 5 s, 10 s, … up to 10 min | [`StorageStatus::error`] |
//! | another process has the state open, or it cannot be loaded | [`Client::open`] fails with [`OpenError::Storage`] | the error |
//! | the state is damaged, cut short, or no state at all | [`Client::open`] sets it aside and begins anew, with what was spent and said of consent if that part is whole; if not, it waits for [`Core::opt_in`] | [`Begun::Anew`], [`LedgerView::lost_states`] |
//! | the state is from a newer program | [`Client::open`] fails with [`OpenError::Unreadable`], the state stays where it is | the error |
//! | the clock stands before 2020 | events and answers are refused until it is set; what waits is still sent | [`Status::clock`], [`Refusals::clock_not_set`] |
//! | the clock goes back or jumps | as in [`insight`](crate::insight); waits that it moved out of reach are drawn anew | [`Counters`](crate::insight::Counters) |
//! | the collector is unreachable or too slow | sent again after a random 15 to 30 s, doubled each time up to a day | [`Outcome::Unreachable`], [`Outcome::TimedOut`] |
//! | the address redirects | the same; a host follows no redirect | [`Outcome::Redirected`] |
//! | success, with a body that is no receipt for this batch, say a portal's page | the same | [`Outcome::NotACollector`] |
//! | 404, 405 or 415, or any other refusal that is no collector's | the same | [`Outcome::NotACollector`] |
//! | the write key is unknown, revoked, or for other pages | the same, so that an operator can put it right | [`Outcome::KeyRefused`] |
//! | 408, 425 or 429 | the same, but not before `Retry-After`, of a day at most | [`Outcome::Limited`] |
//! | 5xx, or a body that broke on its way | the same | [`Outcome::Failed`] |
//! | 413 | the batch is cut in two; a report that is too large by itself is dropped | [`Outcome::TooLarge`], [`Dropped::too_large`] |
//! | a problem of the collector with the batch itself | its reports are dropped | [`Outcome::Refused`], [`UploadStatus::refused`] |
//! | single reports of a batch are refused | they are dropped | [`UploadStatus::refused`] |
//! | reports wait longer than a collector takes them | they are dropped | [`Dropped::too_old`] |
//! | more waits than there is room for | the oldest are dropped | [`Dropped::no_room`] |
//! | the catalog changes while reports wait | they go with the hash, version and tags they were made under | [`Status::registry`] |
//! | a catalog that cannot be read | the questions stay as they were | [`Status::catalog_error`] |
//! | an event that is not declared, or a property of another type | counted and forgotten | [`Status::events`] |
//! | an answer of the wrong kind for its metric | [`Recorded::Unfit`] | [`Refusals::unfit`] |
//! | the host has no randomness, or a setting is outside its range | nothing opens | [`OpenError`] |

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
