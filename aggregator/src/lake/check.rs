//! The check of a whole lake against what its store says of it.

use std::collections::BTreeSet;

use object_store::path::Path;

use super::compact::contents;
use super::{File, Kind, Lake, LakeError, Move, Partition};
use crate::store::{DiskStore, Store};

/// What a sound lake holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Epochs of metric versions.
    pub epochs: u64,
    /// Their reports.
    pub reports: u64,
    /// Those of them that are kept as such, too.
    pub kept: u64,
}

/// Reads every value of every file, and compares it with its name, reports with their sums, and the files that there are
/// with those that the store has moved.
///
/// # Errors
/// [`LakeError::Damaged`] or [`LakeError::Foreign`] for the first file that is not as it should be.
pub fn check(store: &DiskStore, lake: &Lake) -> Result<Checked, LakeError> {
    let _alone = store.moving();
    let (moves, streams) = (store.moves()?, store.streams()?);
    let (mut checked, mut known) = (Checked::default(), BTreeSet::new());
    for (partition, entry) in &moves {
        known.extend(contents(entry).map(|(kind, content)| content.path(kind, partition)));
        let Some(params) = streams.get(&(partition.metric.clone(), partition.version)) else { continue };
        if entry.is_moved() {
            let file = |kind, content| File { kind, partition, params, content };
            contents(entry).try_for_each(|(kind, content)| lake.verify(&file(kind, content)))?;
            lake.compare(partition, entry, &file)?;
            checked.epochs += 1;
            checked.reports += entry.counts.reports();
            checked.kept += entry.reports.as_ref().map_or(0, super::Content::reports);
        }
    }
    for kind in Kind::ALL {
        let found = lake.place.list(&Path::from(kind.name()))?;
        if let Some(foreign) = found.into_iter().find(|path| !known.contains(path)) {
            return Err(LakeError::Foreign { object: lake.place.name(&foreign) });
        }
    }
    Ok(checked)
}

impl Lake {
    /// Compares the sums of an epoch with those folded from its reports: nothing is in the reports that is not in the sums.
    fn compare<'a>(
        &self,
        partition: &Partition,
        entry: &'a Move,
        file: &impl Fn(Kind, &'a super::Content) -> File<'a>,
    ) -> Result<(), LakeError> {
        let Some(reports) = &entry.reports else { return Ok(()) };
        let whole = self.counts(&file(Kind::Counts, &entry.counts), |_, _| true)?;
        let part = self.counts(&file(Kind::Reports, reports), |_, _| true)?;
        let within = |part: &[u64], whole: &[u64]| part.iter().zip(whole).all(|(part, whole)| part <= whole);
        let is_part = within(part.reports(), whole.reports())
            && (0..whole.cohorts()).all(|cohort| within(part.ones(cohort), whole.ones(cohort)));
        if is_part {
            return Ok(());
        }
        let path = reports.path(Kind::Reports, partition);
        Err(self.damaged(&path, "it has reports that are not in the counts".to_owned()))
    }
}
