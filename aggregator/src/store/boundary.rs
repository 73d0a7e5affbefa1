//! Where the database's panics end.
//!
//! redb compares pages with their checksums when it is asked to ([`DiskStore::verify`](super::DiskStore::verify)), not
//! whenever it reads one. On a page that is damaged it mostly answers with an error, but at some places it panics: on a
//! kind of node that there is none of, on an offset beyond the page, on text that is no UTF-8. To verify every page before
//! each start would cost a read of the whole file, and could not see what breaks later. That a bit of a sum flipped on
//! the disk is seen by `verify` alone, and only until the sum is written again, with a new checksum. So whatever is asked of the
//! database is asked here, and a panic becomes [`StoreError::Damaged`].
//!
//! That is sound, since nothing of a step that panicked is kept: a transaction that was not committed leaves the file as it
//! was, and redb's own locks stay poisoned, so that further steps fail too until the store is opened anew. To close such
//! a database is one of them: [`Caught`] drops it here as well. The collector stops at the first error of its store. A
//! program that is built to abort at a panic ends there, with nothing written.

use std::ops::{Deref, DerefMut};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use redb::Database;

use super::StoreError;

/// Runs steps on the database of the store in `dir`; a panic in them is damage.
pub(super) fn caught<T>(dir: &Path, steps: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    panic::catch_unwind(AssertUnwindSafe(steps)).unwrap_or_else(|_| {
        let what = "a page that the database trusted".to_owned();
        Err(StoreError::Damaged { dir: dir.to_owned(), what })
    })
}

/// A database that is closed at the boundary.
#[derive(Debug)]
pub(super) struct Caught(Option<Database>);

impl Caught {
    pub(super) fn new(db: Database) -> Self {
        Self(Some(db))
    }
}

/// It is there until the drop.
const OPEN: &str = "the database is taken by the drop alone";

impl Deref for Caught {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0.as_ref().expect(OPEN)
    }
}

impl DerefMut for Caught {
    fn deref_mut(&mut self) -> &mut Database {
        self.0.as_mut().expect(OPEN)
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        let db = self.0.take();
        // What it could not write at its end is repaired when it is opened again, or told there.
        let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(db)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_damage_and_all_else_passes() {
        let dir = Path::new("place");
        assert_eq!(caught(dir, || Ok(7)).unwrap(), 7);
        let refused = caught::<()>(dir, || Err(StoreError::NoStore { dir: dir.to_owned() }));
        assert!(matches!(refused, Err(StoreError::NoStore { .. })));
        let error = caught::<()>(dir, || panic!("as redb does")).unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. }) && error.to_string().contains("place"),
            "{error}"
        );
    }
}
