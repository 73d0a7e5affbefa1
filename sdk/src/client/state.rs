//! The stored state of a client.
//!
//! # State format, version 1
//! All integers are little-endian.
//!
//! | bytes | content |
//! |---|---|
//! | 4 | `dncl` |
//! | 1 | version, 1 |
//! | 4 | length of the whole, in bytes |
//! | 4 | length L of the ledger |
//! | L | the ledger and what the person said of consent, in [binary form](crate::binary) |
//! | 8 | the first bytes of the SHA-256 of all before |
//! | … | the rest in binary form: number of the commit, secret, device, queue, counters, catalog |
//! | 8 | the first bytes of the SHA-256 of all before |
//!
//! The device has the format of [`Device::store`](crate::insight::Device::store) and is an own document in this one. The ledger stands
//! first, under a checksum of its own, so that what was spent, and that somebody does not agree, outlive damage to the rest.
//!
//! A reader takes every version up to its own. A new version adds a struct of what version 1 held, which turns into the
//! current one, as the fixture in the tests keeps on showing.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::ledger::Ledger;
use super::options::{Consent, OptionsError};
use super::queue::Queue;
use super::status::{Dropped, Refusals};
use crate::binary::{self, Writer, binary};
use crate::entropy::EntropyError;
use crate::identity::DeviceSecret;
use crate::registry::{CatalogError, RegistryHash};

const MAGIC: [u8; 4] = *b"dncl";
const FORMAT: u8 = 1;
const CHECK_BYTES: usize = 8;
/// Magic, version, and both lengths.
const HEAD_BYTES: usize = 4 + 1 + 4 + 4;

/// What outlives damage to the rest.
#[derive(Default)]
pub(super) struct Front {
    pub(super) ledger: Ledger,
    /// What the person said, if anybody asked.
    pub(super) decided: Option<Consent>,
}

/// The rest.
pub(super) struct Stored {
    pub(super) commit: u64,
    pub(super) secret: DeviceSecret,
    pub(super) device: Option<Zeroizing<Vec<u8>>>,
    pub(super) queue: Queue,
    pub(super) counts: Counts,
    pub(super) catalog: Option<StoredCatalog>,
}

binary!(struct Front { ledger, decided });
binary!(struct Stored { commit, secret, device, queue, counts, catalog });
binary!(struct StoredCatalog { brought, catalog });
binary!(struct Counts { dropped, refusals, counted, refused });

/// A catalog that was received, and the name of the registry that the program itself brought then.
#[derive(Clone)]
pub(super) struct StoredCatalog {
    pub(super) brought: Vec<u8>,
    pub(super) catalog: Vec<u8>,
}

impl StoredCatalog {
    pub(super) fn new(brought: RegistryHash, catalog: Vec<u8>) -> Self {
        Self { brought: brought.0.to_vec(), catalog }
    }

    pub(super) fn came_to(&self, brought: RegistryHash) -> bool {
        self.brought == brought.0
    }
}

/// What is counted for ever.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) dropped: Dropped,
    pub(super) refusals: Refusals,
    pub(super) counted: u64,
    pub(super) refused: Vec<(String, u64)>,
}

/// The bytes of a state, of which `front` writes what [`Front`] reads, and `rest` what [`Stored`] reads. They hold the secret, and are wiped from memory when dropped.
pub(super) fn write(front: &dyn Fn(&mut Writer<'_>), rest: &dyn Fn(&mut Writer<'_>)) -> Zeroizing<Vec<u8>> {
    let ledger = binary::size(front);
    let whole = HEAD_BYTES + ledger + binary::size(rest) + 2 * CHECK_BYTES;
    let mut bytes = Zeroizing::new(Vec::with_capacity(whole));
    bytes.extend_from_slice(&MAGIC);
    bytes.push(FORMAT);
    bytes.extend_from_slice(&(whole as u32).to_le_bytes());
    bytes.extend_from_slice(&(ledger as u32).to_le_bytes());
    front(&mut Writer::new(&mut bytes));
    let sum = check(&bytes);
    bytes.extend_from_slice(&sum);
    rest(&mut Writer::new(&mut bytes));
    let sum = check(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

/// Reads a state.
pub(super) fn read(bytes: &[u8]) -> Result<(Front, Stored), StateError> {
    let head = head(bytes)?;
    if bytes.len() != head.whole {
        return Err(StateError::Length { expected: head.whole, found: bytes.len() });
    }
    let front = front(bytes, &head).ok_or(StateError::Corrupt)?;
    let rest = checked(bytes).and_then(|bytes| bytes.get(head.rest..)).ok_or(StateError::Corrupt)?;
    let stored = binary::read(rest).ok_or(StateError::Corrupt)?;
    Ok((front, stored))
}

/// What was spent and said, from a state whose rest may be damaged or cut off.
pub(super) fn salvage(bytes: &[u8]) -> Option<Front> {
    front(bytes, &head(bytes).ok()?)
}

struct Head {
    whole: usize,
    /// Where the rest begins, after the ledger and its checksum.
    rest: usize,
}

fn head(bytes: &[u8]) -> Result<Head, StateError> {
    let body = bytes.strip_prefix(&MAGIC).ok_or(StateError::NotAState)?;
    let &format = body.first().ok_or(StateError::Corrupt)?;
    if format > FORMAT {
        return Err(StateError::Newer { found: format });
    }
    if format != FORMAT {
        return Err(StateError::Corrupt);
    }
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let lengths = number(5).zip(number(9));
    let (whole, ledger) = lengths.ok_or(StateError::Corrupt)?;
    Ok(Head { whole, rest: HEAD_BYTES.saturating_add(ledger).saturating_add(CHECK_BYTES) })
}

fn front(bytes: &[u8], head: &Head) -> Option<Front> {
    let front = checked(bytes.get(..head.rest)?)?.get(HEAD_BYTES..)?;
    binary::read(front)
}

/// The bytes before the checksum that ends them, if it is theirs.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (body, found) = bytes.split_last_chunk::<CHECK_BYTES>()?;
    (check(body) == *found).then_some(body)
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = Sha256::digest(bytes);
    core::array::from_fn(|i| digest[i])
}

/// The number of the commit that wrote a state, to learn whether another program wrote since.
///
/// # Errors
/// A [`StateError`] for bytes that are no readable state.
pub fn stored_commit(bytes: &[u8]) -> Result<u64, StateError> {
    read(bytes).map(|(_, stored)| stored.commit)
}

/// Why a stored state cannot be taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The bytes begin otherwise.
    #[error(
        "these bytes are no state of a client: a state begins with \"dncl\"; keep them aside and begin anew"
    )]
    NotAState,
    /// A newer program wrote it.
    #[error(
        "the state has format {found}, but this program reads up to {FORMAT}; update the program, or keep the state aside and begin anew"
    )]
    Newer {
        /// Its version.
        found: u8,
    },
    /// It has another length than it says.
    #[error(
        "the state says that it has {expected} bytes, but there are {found}; keep it aside and begin anew"
    )]
    Length {
        /// What it says.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// It was changed or cut short.
    #[error("the state is damaged or cut short; keep it aside and begin anew")]
    Corrupt,
}

/// A client that cannot be opened. Nothing was reported.
#[non_exhaustive]
pub enum OpenError {
    /// The stored state cannot be read.
    Unreadable {
        /// Why.
        error: StateError,
        /// What was stored, to be kept aside.
        bytes: Box<[u8]>,
    },
    /// The host has no randomness.
    Entropy(EntropyError),
    /// A setting is outside its range.
    Options(OptionsError),
    /// The registry is beyond [`Options::limits`](super::Options::limits).
    Catalog(CatalogError),
    /// The host cannot load.
    Storage(super::status::StorageError),
}

impl fmt::Debug for OpenError {
    /// Says why, and nothing of the state.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { error, bytes } => write!(f, "Unreadable({error:?}, {} bytes)", bytes.len()),
            Self::Entropy(error) => error.fmt(f),
            Self::Options(error) => error.fmt(f),
            Self::Catalog(error) => error.fmt(f),
            Self::Storage(error) => fmt::Debug::fmt(error, f),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { error, .. } => error.fmt(f),
            Self::Entropy(error) => error.fmt(f),
            Self::Options(error) => error.fmt(f),
            Self::Catalog(error) => error.fmt(f),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => Some(error),
            Self::Entropy(error) => Some(error),
            Self::Options(error) => Some(error),
            Self::Catalog(error) => Some(error),
            Self::Storage(error) => Some(error),
        }
    }
}

impl From<EntropyError> for OpenError {
    fn from(error: EntropyError) -> Self {
        Self::Entropy(error)
    }
}

impl From<OptionsError> for OpenError {
    fn from(error: OptionsError) -> Self {
        Self::Options(error)
    }
}

impl From<CatalogError> for OpenError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}
