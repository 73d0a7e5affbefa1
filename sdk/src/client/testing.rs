//! Hosts for tests: a clock that is set by hand, a disk that crashes after any step of a write, and a network that loses, repeats, delays
//! and reorders.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use rand::Rng;

use super::answer::Reply;
use super::host::Host;
use super::queue::Upload;
use super::status::StorageError;
use crate::calendar::{Moment, Timestamp};
use crate::entropy::{Entropy, EntropyError, Randomness};

/// A host whose clock is set by hand, whose entropy has a seed, and whose disk is a [`Disk`].
pub struct TestHost {
    /// What the clock shows.
    pub now: Moment,
    /// Where the state lies.
    pub disk: Disk,
    /// States that were set aside.
    pub aside: Vec<Vec<u8>>,
    entropy: Randomness,
}

impl TestHost {
    /// Makes a host with an empty disk.
    pub fn new(now: Moment, seed: [u8; 32]) -> Self {
        let entropy = Randomness::from_seed(seed);
        Self { now, disk: Disk::default(), aside: Vec::new(), entropy }
    }

    /// Moves the clock by so many milliseconds, back if below 0.
    pub fn pass(&mut self, millis: i64) {
        self.now.at = Timestamp::from_millis(self.now.at.as_millis().saturating_add(millis));
    }
}

impl Entropy for TestHost {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.entropy.generator().fill_bytes(out);
        Ok(())
    }
}

impl Host for TestHost {
    fn now(&mut self) -> Moment {
        self.now
    }

    fn load(&mut self) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.disk.load().map(<[u8]>::to_vec))
    }

    fn store(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.disk.write(bytes)
    }

    fn set_aside(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.aside.push(bytes.to_vec());
        Ok(())
    }

    fn clear_aside(&mut self) -> Result<(), StorageError> {
        self.aside.clear();
        Ok(())
    }
}

/// How a state is written: to a new file, which then takes the place of the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Some of the bytes are in the new file.
    Half,
    /// All bytes are in the new file, and may be lost.
    Written,
    /// The new file is durable.
    Synced,
    /// The new file has the old one's name, which may be lost.
    Renamed,
    /// The name is durable.
    Done,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Self; 5] = [Self::Half, Self::Written, Self::Synced, Self::Renamed, Self::Done];
}

/// What a crash keeps of what was not durable yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// A part, where a part is possible.
    Part,
    /// Everything.
    All,
}

/// A disk that holds one state.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    state: Option<Vec<u8>>,
    crash: Option<(Step, Kept)>,
    crashed: bool,
    failing: Option<StorageError>,
    without_sync: bool,
    /// How often a state was written.
    pub writes: u64,
    /// The bytes of all of them.
    pub bytes_written: u64,
}

impl Disk {
    /// Crashes the machine in the next write, after a step.
    pub fn crash_after(&mut self, step: Step, kept: Kept) {
        self.crash = Some((step, kept));
    }

    /// Whether it crashed: the program is to be opened anew. Says so once.
    pub fn crashed(&mut self) -> bool {
        core::mem::take(&mut self.crashed)
    }

    /// Lets all writes fail, or work again.
    pub fn fail(&mut self, error: Option<StorageError>) {
        self.failing = error;
    }

    /// Leaves out the sync of the new file, as a planted fault: a crash may then leave a torn state.
    pub fn forget_sync(&mut self) {
        self.without_sync = true;
    }

    /// What lies there.
    pub fn load(&self) -> Option<&[u8]> {
        self.state.as_deref()
    }

    /// Puts bytes there from outside.
    pub fn put(&mut self, bytes: Option<Vec<u8>>) {
        self.state = bytes;
    }

    /// Writes a state, step by step.
    ///
    /// # Errors
    /// What [`Disk::fail`] said, or that the machine crashed.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        if let Some(error) = self.failing {
            return Err(error);
        }
        self.writes += 1;
        self.bytes_written += bytes.len() as u64;
        let Some((step, kept)) = self.crash.take() else {
            self.state = Some(bytes.to_vec());
            return Ok(());
        };
        self.crashed = true;
        let torn = self.without_sync && kept == Kept::Part;
        match (step, kept) {
            (Step::Half | Step::Written | Step::Synced, _) | (Step::Renamed, Kept::Nothing) => {}
            (Step::Renamed | Step::Done, _) if torn => self.state = Some(bytes[..bytes.len() / 2].to_vec()),
            (Step::Renamed | Step::Done, _) => self.state = Some(bytes.to_vec()),
        }
        Err(StorageError::Other { reason: "the machine crashed" })
    }
}

/// What happens to a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Both arrive.
    Arrives,
    /// The request is lost.
    RequestLost,
    /// The request arrives, its answer does not.
    AnswerLost,
    /// The request arrives twice.
    Repeated,
    /// The request arrives later, perhaps after requests that were sent later; its answer is lost.
    Held,
}

/// What a collector answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The status code of HTTP.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answered {
    /// An answer without headers.
    pub fn new(status: u16, body: &str) -> Self {
        Self { status, retry_after: None, body: body.as_bytes().to_owned() }
    }

    /// As a client takes it.
    pub fn reply(&self) -> Reply<'_> {
        let Self { status, retry_after, body } = self;
        Reply::Answered { status: *status, retry_after: retry_after.as_deref(), body }
    }
}

/// A network before a collector.
#[derive(Debug, Default)]
pub struct Network {
    held: Vec<Vec<u8>>,
}

impl Network {
    /// Sends an upload. None if no answer comes.
    pub fn send(
        &mut self,
        upload: &Upload,
        fate: Fate,
        mut collector: impl FnMut(&[u8]) -> Answered,
    ) -> Option<Answered> {
        match fate {
            Fate::Arrives => Some(collector(&upload.body)),
            Fate::RequestLost => None,
            Fate::AnswerLost => {
                collector(&upload.body);
                None
            }
            Fate::Repeated => {
                collector(&upload.body);
                Some(collector(&upload.body))
            }
            Fate::Held => {
                self.held.push(upload.body.clone());
                None
            }
        }
    }

    /// Lets what was held arrive, the last first.
    pub fn release(&mut self, mut collector: impl FnMut(&[u8]) -> Answered) {
        while let Some(body) = self.held.pop() {
            collector(&body);
        }
    }
}
