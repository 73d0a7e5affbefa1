//! Sorting by user and time what does not fit into memory.
//!
//! Events are gathered up to a budget, sorted, and written to a temporary file that has no name, as a run; runs are merged
//! when they are read. Of more than [`MAX_RUNS`] runs one is made first. So what is held in memory is the budget, one event of
//! each run, and a buffer for each, whatever the number of events and users.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::vec;

use deniable::calendar::Timestamp;
use serde::{Deserialize, Serialize};

use super::RawEvent;

/// The most runs that are merged at a time.
const MAX_RUNS: usize = 64;
/// What an event takes in memory beside its user's name and its bytes.
const HELD_BYTES: usize = 96;
/// The bytes of each run that are read at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// An event with its user, and its place in the file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Placed {
    pub(super) user: Box<str>,
    pub(super) place: u64,
    pub(super) event: RawEvent,
}

/// Gathers events in any order.
pub(super) struct Sorter {
    budget_bytes: usize,
    held_bytes: usize,
    held: Vec<Held>,
    runs: Vec<File>,
}

/// An event as it is held and written, with what it is sorted by.
struct Held {
    user: Box<str>,
    at: Timestamp,
    place: u64,
    bytes: Box<[u8]>,
}

impl Held {
    fn key(&self) -> (&str, Timestamp, u64) {
        (&self.user, self.at, self.place)
    }
}

impl Sorter {
    pub(super) fn new(budget_bytes: usize) -> Self {
        Self { budget_bytes, held_bytes: 0, held: Vec::new(), runs: Vec::new() }
    }

    pub(super) fn push(&mut self, placed: Placed) -> io::Result<()> {
        let bytes = postcard::to_allocvec(&placed).map_err(io::Error::other)?.into_boxed_slice();
        let Placed { user, place, event } = placed;
        self.held_bytes += HELD_BYTES + user.len() + bytes.len();
        self.held.push(Held { user, at: event.at.at, place, bytes });
        if self.held_bytes > self.budget_bytes { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        let sorted = self.take_sorted();
        let mut run = BufWriter::new(tempfile::tempfile()?);
        sorted.into_iter().try_for_each(|held| write(&mut run, &held.bytes))?;
        self.runs.push(run.into_inner().map_err(io::IntoInnerError::into_error)?);
        if self.runs.len() > MAX_RUNS {
            let mut one = BufWriter::new(tempfile::tempfile()?);
            for placed in Merged::new(std::mem::take(&mut self.runs), Vec::new())? {
                write(&mut one, &postcard::to_allocvec(&placed?).map_err(io::Error::other)?)?;
            }
            self.runs.push(one.into_inner().map_err(io::IntoInnerError::into_error)?);
        }
        Ok(())
    }

    fn take_sorted(&mut self) -> Vec<Held> {
        self.held_bytes = 0;
        let mut held = std::mem::take(&mut self.held);
        held.sort_unstable_by(|a, b| a.key().cmp(&b.key()));
        held
    }

    /// All events, by user, then by time, those of one time in the order of the file.
    pub(super) fn merge(mut self) -> io::Result<Merged> {
        let held = self.take_sorted();
        Merged::new(self.runs, held)
    }
}

fn write(run: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    run.write_all(&length.to_le_bytes())?;
    run.write_all(bytes)
}

/// Events of sorted runs in one order.
pub(super) struct Merged {
    runs: Vec<Run>,
    heads: BinaryHeap<Head>,
}

enum Run {
    Memory(vec::IntoIter<Held>),
    File(BufReader<File>),
}

impl Run {
    fn next(&mut self) -> io::Result<Option<Placed>> {
        let parse = |bytes: &[u8]| postcard::from_bytes(bytes).map_err(io::Error::other);
        match self {
            Self::Memory(held) => held.next().map(|held| parse(&held.bytes)).transpose(),
            Self::File(file) => {
                let mut length = [0; 4];
                match file.read_exact(&mut length) {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                    other => other?,
                }
                let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
                file.read_exact(&mut bytes)?;
                parse(&bytes).map(Some)
            }
        }
    }
}

/// The next event of a run. The greatest is the one that comes first.
struct Head {
    placed: Placed,
    run: usize,
}

impl Head {
    fn key(&self) -> (&str, Timestamp, u64) {
        (&self.placed.user, self.placed.event.at.at, self.placed.place)
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Head {}

impl Merged {
    fn new(files: Vec<File>, held: Vec<Held>) -> io::Result<Self> {
        let mut runs = Vec::from([Run::Memory(held.into_iter())]);
        for mut file in files {
            file.seek(SeekFrom::Start(0))?;
            runs.push(Run::File(BufReader::with_capacity(BUFFER_BYTES, file)));
        }
        let mut merged = Self { heads: BinaryHeap::with_capacity(runs.len()), runs };
        (0..merged.runs.len()).try_for_each(|run| merged.advance(run))?;
        Ok(merged)
    }

    fn advance(&mut self, run: usize) -> io::Result<()> {
        let next = self.runs[run].next()?;
        self.heads.extend(next.map(|placed| Head { placed, run }));
        Ok(())
    }
}

impl Iterator for Merged {
    type Item = io::Result<Placed>;

    fn next(&mut self) -> Option<Self::Item> {
        let Head { placed, run } = self.heads.pop()?;
        Some(self.advance(run).map(|()| placed))
    }
}

#[cfg(test)]
mod tests {
    use deniable::calendar::Moment;

    use super::*;

    fn placed(place: u64, user: u64, seconds: i64) -> Placed {
        let at = Moment::utc(Timestamp::from_seconds(seconds));
        let event = RawEvent { name: "e".into(), at, properties: Vec::new() };
        Placed { user: format!("u{user}").into(), place, event }
    }

    /// 5000 events in a pseudo-random order. The budgets hold all of them, about 100 and 2: so there is no run, or some, or so
    /// many that they are merged in between.
    #[test]
    fn the_order_does_not_depend_on_the_budget() {
        let events = || (0..5000u64).map(|i| placed(i, i * 7919 % 13, (i * 104_729 % 257) as i64));
        let sorted = |budget_bytes| {
            let mut sorter = Sorter::new(budget_bytes);
            events().for_each(|event| sorter.push(event).unwrap());
            sorter.merge().unwrap().collect::<io::Result<Vec<Placed>>>().unwrap()
        };
        let mut expected: Vec<Placed> = events().collect();
        expected.sort_by_key(|placed| (placed.user.clone(), placed.event.at.at, placed.place));
        for budget_bytes in [usize::MAX, 100 * (HELD_BYTES + 16), 2 * (HELD_BYTES + 12)] {
            assert_eq!(sorted(budget_bytes), expected, "{budget_bytes}");
        }
    }
}
