//! Moves closed epochs from a store to its lake, so that a crash at any step loses nothing and counts nothing twice. The
//! head of the module tells the steps.

use deniable::Params;

use super::layout::{Content, Kind, Move, Partition};
use super::{File, Lake, LakeError};
use crate::store::DiskStore;

/// What a compaction has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Epochs of metric versions.
    pub epochs: u64,
    /// Their reports.
    pub reports: u64,
}

/// Moves every closed epoch that is not moved yet, and first those that a crash has left on their way. Others may commit
/// and read meanwhile.
///
/// # Errors
/// A [`LakeError`] if the store or the lake fails. What was moved before stays moved, and the rest is moved the next time.
pub fn compact(store: &DiskStore, lake: &Lake) -> Result<Compacted, LakeError> {
    let _alone = store.moving();
    lake.check_place(store)?;
    let (moves, unmoved) = (store.moves()?, store.unmoved()?);
    let mut compacted = Compacted::default();
    let (begun, fresh): (Vec<_>, Vec<_>) =
        unmoved.iter().partition(|(partition, _)| moves.contains_key(*partition));
    for (partition, params) in begun.into_iter().chain(fresh) {
        let epoch = Moving { store, lake, partition, params };
        compacted.reports += epoch.run(moves.get(partition))?;
        compacted.epochs += 1;
    }
    Ok(compacted)
}

impl Lake {
    /// Checks that what the store has moved is here, if it moved it elsewhere, and has the store remember this place then.
    fn check_place(&self, store: &DiskStore) -> Result<(), LakeError> {
        if store.lake_place()?.is_none_or(|place| place == self.url()) {
            return Ok(());
        }
        for (partition, entry) in store.moves()?.iter().filter(|(_, entry)| entry.is_moved()) {
            for (kind, content) in contents(entry) {
                let path = content.path(kind, partition);
                if self.place.size(&path)?.is_none() {
                    return Err(self.damaged(&path, "it is not there".to_owned()));
                }
            }
        }
        Ok(store.remember_lake(self.url())?)
    }
}

/// The files of an epoch.
pub(super) fn contents(entry: &Move) -> impl Iterator<Item = (Kind, &Content)> {
    Kind::ALL.into_iter().filter_map(|kind| Some((kind, entry.content(kind)?)))
}

/// The move of one epoch.
struct Moving<'a> {
    store: &'a DiskStore,
    lake: &'a Lake,
    partition: &'a Partition,
    params: &'a Params,
}

impl Moving<'_> {
    /// Moves it and tells its reports. `begun` is what an earlier attempt noted.
    fn run(&self, begun: Option<&Move>) -> Result<u64, LakeError> {
        let counts = self.tell(Kind::Counts)?;
        let reports = Some(self.tell(Kind::Reports)?).filter(|content| content.rows() > 0);
        let entry = Move::new(counts, reports);
        if let Some(other) = begun.filter(|begun| **begun != entry) {
            self.remove(other)?;
        }
        self.check_folders(&entry)?;
        self.store.begin_move(self.partition, &entry, self.lake.url())?;
        for (kind, content) in contents(&entry) {
            let file = File { kind, partition: self.partition, params: self.params, content };
            self.lake.write(&file, |take| self.store.each_held(kind, self.partition, take))?;
        }
        for (kind, content) in contents(&entry) {
            self.lake.verify(&File { kind, partition: self.partition, params: self.params, content })?;
        }
        let moved = entry.counts.reports();
        self.store.finish_move(self.partition, entry)?;
        Ok(moved)
    }

    fn tell(&self, kind: Kind) -> Result<Content, LakeError> {
        Content::tell(kind, self.partition, self.params, |take| {
            self.store.each_held(kind, self.partition, take)
        })
    }

    /// Removes the files of an attempt whose rows were others.
    fn remove(&self, other: &Move) -> Result<(), LakeError> {
        contents(other)
            .try_for_each(|(kind, content)| self.lake.place.delete(&content.path(kind, self.partition)))
    }

    /// Checks that no file lies where this epoch belongs but its own, and removes parts of files.
    fn check_folders(&self, entry: &Move) -> Result<(), LakeError> {
        for kind in Kind::ALL {
            let folder = kind.folder(self.partition);
            self.lake.place.sweep(&folder)?;
            let own = entry.content(kind).map(|content| content.path(kind, self.partition));
            let found = self.lake.place.list(&folder)?;
            if let Some(foreign) = found.into_iter().find(|path| Some(path) != own.as_ref()) {
                return Err(LakeError::Foreign { object: self.lake.place.name(&foreign) });
            }
        }
        Ok(())
    }
}
