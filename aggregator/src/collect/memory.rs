//! The memory that requests may hold together: bodies on their way in, and batches that wait for their commit.
//!
//! Each piece of a body is paid for when it arrives, so that a sender holds no more than it has sent. What cannot be
//! paid for is refused at once; nothing waits for memory.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes that requests may hold together.
#[derive(Clone, Debug)]
pub struct Memory {
    free: Arc<Semaphore>,
    bytes: usize,
}

/// Bytes that a request holds; dropping it gives them back.
#[derive(Debug, Default)]
pub struct Held(Option<OwnedSemaphorePermit>);

impl Memory {
    /// Allows `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(bytes)), bytes }
    }

    /// Takes `bytes` more for `held`.
    pub(super) fn take(&self, held: &mut Held, bytes: usize) -> Result<(), Full> {
        let bytes = u32::try_from(bytes).map_err(|_| Full)?;
        let more = Arc::clone(&self.free).try_acquire_many_owned(bytes).map_err(|_| Full)?;
        match &mut held.0 {
            Some(permit) => permit.merge(more),
            None => held.0 = Some(more),
        }
        Ok(())
    }

    /// The bytes that requests hold now.
    pub fn held_bytes(&self) -> usize {
        self.bytes - self.free.available_permits()
    }
}

/// The memory is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many batches wait to be stored: send this one again later")]
pub(super) struct Full;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back_and_nothing_beyond_is_given() {
        let memory = Memory::new(10);
        let (mut one, mut two) = (Held::default(), Held::default());
        memory.take(&mut one, 4).unwrap();
        memory.take(&mut one, 3).unwrap();
        assert_eq!(memory.take(&mut two, 4), Err(Full));
        memory.take(&mut two, 3).unwrap();
        assert_eq!(memory.take(&mut two, 1), Err(Full));
        assert_eq!(memory.held_bytes(), 10);
        drop(one);
        assert_eq!(memory.held_bytes(), 3);
        memory.take(&mut two, 7).unwrap();
        assert_eq!(memory.take(&mut two, usize::MAX), Err(Full));
    }
}
