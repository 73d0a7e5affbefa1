//! From what a folder holds to a core: the last state, else the one before, else a new beginning.

use std::io;
use std::path::Path;
use std::prelude::v1::*;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::error::OpenError;
use super::folder::{Folder, FolderError, Generation};
use super::status::StateStatus;
use crate::SystemEntropy;
use crate::calendar::Moment;
use crate::client::{self, Core, StateError};
use crate::registry::Registry;

/// What a core begins with.
pub(super) struct Beginning<'a> {
    pub(super) registry: Arc<Registry>,
    pub(super) options: &'a client::Options,
    pub(super) path: &'a Path,
    pub(super) now: Moment,
}

/// Why what a folder holds is not taken up.
pub(super) enum NotRestored {
    /// The folder or the state stands in the way.
    Folder(FolderError),
    /// The client could not begin at all.
    Open(OpenError),
}

impl From<FolderError> for NotRestored {
    fn from(error: FolderError) -> Self {
        Self::Folder(error)
    }
}

impl From<OpenError> for NotRestored {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// A state, as it was found.
enum Found {
    Nothing,
    Good(Box<Core>),
    Damaged(Zeroizing<Vec<u8>>),
}

impl Beginning<'_> {
    /// Begins without a place for the state.
    pub(super) fn idle(&self, error: FolderError) -> Result<(Core, StateStatus), OpenError> {
        Ok((self.fresh()?, StateStatus::Idle(Arc::new(error))))
    }

    /// Takes up what the folder holds. What is damaged is kept aside.
    pub(super) fn restore(&self, folder: &mut Folder) -> Result<(Core, StateStatus), NotRestored> {
        let last = match self.read(folder, Generation::Last)? {
            Found::Good(core) => return Ok((*core, StateStatus::Kept)),
            Found::Nothing => None,
            Found::Damaged(bytes) => Some((bytes, self.keep_aside(folder, Generation::Last)?)),
        };
        match (self.read(folder, Generation::Before)?, last) {
            (Found::Good(core), None) => Ok((*core, StateStatus::Kept)),
            (Found::Good(mut core), Some((bytes, kept_as))) => {
                core.take_over(&bytes, self.now);
                Ok((*core, StateStatus::TakenFromBefore { kept_as }))
            }
            (Found::Nothing, None) => match folder.kept_aside() {
                None => Ok((self.fresh()?, StateStatus::Kept)),
                // Nothing was written since it was moved.
                Some((kept_as, bytes)) => {
                    Ok((self.anew(&Zeroizing::new(bytes))?, StateStatus::BegunAnew { kept_as }))
                }
            },
            (Found::Nothing, Some((bytes, kept_as))) => {
                Ok((self.anew(&bytes)?, StateStatus::BegunAnew { kept_as }))
            }
            (Found::Damaged(before), last) => {
                let before_kept_as = self.keep_aside(folder, Generation::Before)?;
                let (last, kept_as) = last.unwrap_or_else(|| (before.clone(), before_kept_as));
                let core = self.anew(&last)?;
                // What was spent is worth a second look.
                let lost = core.ledger(self.now).lost_states > 0;
                let core = if lost { self.anew(&before)? } else { core };
                Ok((core, StateStatus::BegunAnew { kept_as }))
            }
        }
    }

    fn read(&self, folder: &Folder, generation: Generation) -> Result<Found, NotRestored> {
        let bytes = match folder.state(generation) {
            Ok(None) => return Ok(Found::Nothing),
            Ok(Some(bytes)) => Zeroizing::new(bytes),
            // Too large, or a folder of that name.
            Err(error) if is_no_state(&error) => return Ok(Found::Damaged(Zeroizing::default())),
            Err(error) => return Err(FolderError::of_open(self.path, error).into()),
        };
        match self.open(Some(&bytes)) {
            Ok(core) => Ok(Found::Good(Box::new(core))),
            Err(client::OpenError::Unreadable { error: source @ StateError::Newer { .. }, .. }) => {
                Err(FolderError::Newer { path: self.path.to_owned(), source }.into())
            }
            Err(client::OpenError::Unreadable { .. }) => Ok(Found::Damaged(bytes)),
            Err(error) => Err(OpenError::from(error).into()),
        }
    }

    fn keep_aside(&self, folder: &mut Folder, generation: Generation) -> Result<String, NotRestored> {
        let kept = folder.keep_aside(generation);
        Ok(kept.map_err(|error| FolderError::NotKeptAside { path: self.path.to_owned(), source: error })?)
    }

    fn fresh(&self) -> Result<Core, OpenError> {
        Ok(self.open(None)?)
    }

    fn open(&self, stored: Option<&[u8]>) -> Result<Core, client::OpenError> {
        Core::open(Arc::clone(&self.registry), self.options.clone(), stored, &mut SystemEntropy, self.now)
    }

    fn anew(&self, unreadable: &[u8]) -> Result<Core, OpenError> {
        let (registry, options) = (Arc::clone(&self.registry), self.options.clone());
        Ok(Core::begin_anew(registry, options, unreadable, &mut SystemEntropy, self.now)?)
    }
}

fn is_no_state(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::IsADirectory)
}
