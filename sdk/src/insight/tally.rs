//! What a cell remembers of the events it has seen: bounded, whatever their number.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::binary::binary;
use crate::calendar::{Day, Timestamp};
use crate::identity::place;
use crate::registry::{Order, Reduction};

/// The most different texts that are told apart.
pub(super) const MAX_DISTINCT: usize = 256;
/// The most different magnitudes that a median tells apart; 32 for each doubling.
pub(super) const MAX_MAGNITUDES: usize = 1024;

/// A property of an event, as its declaration reads it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Got<'a> {
    Flag(bool),
    Number(f64),
    Label(u16),
    Text(&'a str),
}

/// A property that is kept.
#[derive(Zeroize)]
pub(super) enum Held {
    Flag(bool),
    Number(f64),
    Label(u16),
    Text(String),
}

binary!(enum Held { 0 Flag(flag), 1 Number(number), 2 Label(label), 3 Text(text) });

impl From<Got<'_>> for Held {
    fn from(got: Got<'_>) -> Self {
        match got {
            Got::Flag(flag) => Self::Flag(flag),
            Got::Number(number) => Self::Number(number),
            Got::Label(label) => Self::Label(label),
            Got::Text(text) => Self::Text(text.to_owned()),
        }
    }
}

/// What a cell remembers. It is overwritten when it is dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) enum Tally {
    Empty,
    Seen,
    Held(Held),
    Counts(Vec<u32>),
    Count(u64),
    Number(f64),
    /// How often each magnitude came, in their order.
    Magnitudes(Vec<(i32, u32)>),
    /// A bit for each label.
    Labels(u64),
    Texts {
        /// A mark for each, in their order.
        seen: Vec<u64>,
        overflowed: bool,
    },
    Minutes {
        from: Timestamp,
        took_ms: Option<i64>,
    },
    Times {
        latest: Vec<Timestamp>,
        session: Option<u32>,
    },
    Step {
        position: u16,
        passed: u16,
        found: Option<u16>,
    },
    Moves {
        seed: u64,
        last: Option<u16>,
        moves: u32,
        kept: u32,
    },
    Presence {
        before: Option<Day>,
        today: Option<u16>,
    },
    /// The deepest step, from 1.
    Deepest(u16),
    /// A bit for each step.
    Steps(u64),
}

binary!(enum Tally {
    0 Empty,
    1 Seen,
    2 Held(held),
    3 Counts(counts),
    4 Count(count),
    5 Number(number),
    6 Magnitudes(counts),
    7 Labels(labels),
    8 Texts { seen, overflowed },
    9 Minutes { from, took_ms },
    10 Times { latest, session },
    11 Step { position, passed, found },
    12 Moves { seed, last, moves, kept },
    13 Presence { before, today },
    14 Deepest(step),
    15 Steps(steps),
});

/// What a cell finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found<'a> {
    Nothing,
    Flag(bool),
    Number(f64),
    Label(usize),
    Labels(u64),
    Text(&'a str),
}

/// When and where an event happened.
#[derive(Clone, Copy)]
pub(super) struct Occasion {
    pub(super) at: Timestamp,
    pub(super) day: Day,
    pub(super) session: u32,
}

impl Tally {
    /// Takes up an event. `draw` gives the cell's own random number for the window's instance.
    pub(super) fn add(
        &mut self,
        reduction: &Reduction,
        role: u16,
        got: Option<Got<'_>>,
        occasion: &Occasion,
        draw: impl FnOnce() -> u64,
    ) {
        match (reduction, got) {
            (Reduction::Any, _) => *self = Self::Seen,
            (Reduction::Count, _) => *self = Self::Count(self.count() + 1),
            (Reduction::First, Some(got)) if matches!(self, Self::Empty) => *self = Self::Held(got.into()),
            (Reduction::Last, Some(got)) => self.hold(got),
            (Reduction::MostCommon(labels), Some(Got::Label(label))) => self.count_label(*labels, label),
            (Reduction::Sum, Some(Got::Number(x))) => self.fold(x, |sum| sum + x),
            (Reduction::Min, Some(Got::Number(x))) => self.fold(x, |least| least.min(x)),
            (Reduction::Max, Some(Got::Number(x))) => self.fold(x, |most| most.max(x)),
            (Reduction::Median, Some(Got::Number(x))) => self.count_magnitude(x),
            (Reduction::Distinct, Some(Got::Label(label))) => self.add_label(label),
            (Reduction::DistinctCount, Some(got)) => self.add_text(got),
            (Reduction::Minutes, _) => self.measure(role, occasion.at),
            (Reduction::Reached { times, within_ms }, _) => self.reach(*times, *within_ms, occasion),
            (Reduction::Step { positions, .. }, _) => self.step(role, *positions, draw),
            (Reduction::Move { events }, _) => self.go(role, *events, draw),
            (Reduction::Presence, _) => self.appear(occasion.day),
            (Reduction::Funnel { optional, order: Order::Sequence }, _) => self.deepen(role, optional),
            (Reduction::Funnel { order: Order::Any, .. }, _) => {
                let Self::Steps(steps) = self else { return *self = Self::Steps(1 << role) };
                *steps |= 1 << role;
            }
            // The event has no such property.
            _ => {}
        }
    }

    fn count(&self) -> u64 {
        if let Self::Count(count) = self { *count } else { 0 }
    }

    /// Keeps a property, in the place of the last one if both are texts.
    fn hold(&mut self, got: Got<'_>) {
        match (&mut *self, got) {
            (Self::Held(Held::Text(held)), Got::Text(text)) => {
                // Should the text need more room, nothing is left in the old one.
                held.zeroize();
                held.push_str(text);
            }
            _ => *self = Self::Held(got.into()),
        }
    }

    fn count_label(&mut self, labels: usize, label: u16) {
        if matches!(self, Self::Empty) {
            *self = Self::Counts(vec![0; labels]);
        }
        if let Self::Counts(counts) = self
            && let Some(count) = counts.get_mut(usize::from(label))
        {
            *count = count.saturating_add(1);
        }
    }

    fn fold(&mut self, first: f64, next: impl FnOnce(f64) -> f64) {
        *self = Self::Number(if let Self::Number(held) = self { next(*held) } else { first });
    }

    fn count_magnitude(&mut self, x: f64) {
        if matches!(self, Self::Empty) {
            *self = Self::Magnitudes(Vec::new());
        }
        let Self::Magnitudes(counts) = self else { return };
        let magnitude = magnitude(x);
        let place = match counts.binary_search_by_key(&magnitude, |(known, _)| *known) {
            Ok(place) => place,
            Err(place) if counts.len() < MAX_MAGNITUDES => {
                insert(counts, place, (magnitude, 0));
                place
            }
            // The next above, or the last.
            Err(place) => place.min(counts.len() - 1),
        };
        counts[place].1 = counts[place].1.saturating_add(1);
    }

    fn add_label(&mut self, label: u16) {
        let bit = 1u64.checked_shl(u32::from(label)).unwrap_or(0);
        *self = Self::Labels(if let Self::Labels(labels) = self { *labels | bit } else { bit });
    }

    fn add_text(&mut self, got: Got<'_>) {
        let mark = match got {
            Got::Text(text) => {
                let digest = Sha256::digest(text.as_bytes());
                u64::from_be_bytes(core::array::from_fn(|i| digest[i]))
            }
            Got::Label(label) => u64::from(label),
            Got::Flag(_) | Got::Number(_) => return,
        };
        if matches!(self, Self::Empty) {
            *self = Self::Texts { seen: Vec::new(), overflowed: false };
        }
        let Self::Texts { seen, overflowed } = self else { return };
        match seen.binary_search(&mark) {
            Ok(_) => {}
            Err(place) if seen.len() < MAX_DISTINCT => insert(seen, place, mark),
            Err(_) => *overflowed = true,
        }
    }

    fn measure(&mut self, role: u16, at: Timestamp) {
        match self {
            Self::Minutes { from, took_ms } if role == 1 => {
                took_ms.get_or_insert(at.millis_since(*from));
            }
            Self::Empty if role == 0 => *self = Self::Minutes { from: at, took_ms: None },
            _ => {}
        }
    }

    fn reach(&mut self, times: u16, within_ms: i64, occasion: &Occasion) {
        if matches!(self, Self::Empty) {
            *self = Self::Times { latest: Vec::new(), session: None };
        }
        let Self::Times { latest, session: session @ None } = self else { return };
        latest.push(occasion.at);
        if latest.len() < usize::from(times) {
            return;
        }
        if occasion.at.millis_since(latest[0]) <= within_ms {
            *session = Some(occasion.session);
            latest.clear();
        } else {
            latest.remove(0);
        }
    }

    fn step(&mut self, role: u16, positions: u16, draw: impl FnOnce() -> u64) {
        if matches!(self, Self::Empty) {
            *self = Self::Step { position: position(draw(), positions), passed: 0, found: None };
        }
        let Self::Step { position, passed, found: found @ None } = self else { return };
        *passed += 1;
        if passed == position {
            *found = Some(role);
        }
    }

    fn go(&mut self, role: u16, events: u16, draw: impl FnOnce() -> u64) {
        if matches!(self, Self::Empty) {
            *self = Self::Moves { seed: draw(), last: None, moves: 0, kept: 0 };
        }
        let Self::Moves { seed, last, moves, kept } = self else { return };
        let from = last.map_or(0, |last| u32::from(last) + 1);
        *moves = moves.saturating_add(1);
        // The n-th of n moves is kept with probability 1/n, so that each has the same chance (Vitter 1985, algorithm R).
        if place(scatter(*seed, *moves), (*moves).into()) == 0 {
            *kept = from * u32::from(events) + u32::from(role);
        }
        *last = Some(role);
    }

    fn appear(&mut self, day: Day) {
        let (before, today) = match self {
            Self::Presence { before, today } => (*before, *today),
            _ => (None, None),
        };
        let first = || match before {
            None => 5,
            Some(before) => match (before.week() < day.week(), before.month() < day.month()) {
                (false, false) => 1,
                (true, false) => 2,
                (false, true) => 3,
                (true, true) => 4,
            },
        };
        *self = Self::Presence { before: before.max(Some(day)), today: Some(today.unwrap_or_else(first)) };
    }

    fn deepen(&mut self, role: u16, optional: &[bool]) {
        let deepest = if let Self::Deepest(deepest) = self { usize::from(*deepest) } else { 0 };
        let step = usize::from(role);
        let reached = step >= deepest && optional[deepest..step].iter().all(|optional| *optional);
        if reached {
            *self = Self::Deepest(role + 1);
        }
    }

    /// Forgets what belongs to a window that ended.
    pub(super) fn restart(&mut self) {
        match self {
            Self::Presence { today, .. } => *today = None,
            _ => *self = Self::Empty,
        }
    }

    /// Forgets times that cannot be compared with those of a clock which was set back.
    pub(super) fn forget_after(&mut self, now: Timestamp, today: Day) {
        match self {
            Self::Minutes { from, took_ms: None } if *from > now => *self = Self::Empty,
            Self::Times { latest, .. } => latest.clear(),
            Self::Presence { before, .. } => *before = before.map(|day| day.min(today)),
            _ => {}
        }
    }

    /// Whether there were more different texts than it tells apart.
    pub(super) fn overflowed(&self) -> bool {
        matches!(self, Self::Texts { overflowed: true, .. })
    }

    /// What the cell finds.
    pub(super) fn find(&self, reduction: &Reduction, draw: impl FnOnce() -> u64) -> Found<'_> {
        match (reduction, self) {
            (Reduction::Any, tally) => Found::Flag(matches!(tally, Self::Seen)),
            (Reduction::Count, tally) => Found::Number(tally.count() as f64),
            (Reduction::DistinctCount, Self::Texts { seen, .. }) => Found::Number(seen.len() as f64),
            (Reduction::DistinctCount, _) => Found::Number(0.0),
            (Reduction::Distinct, Self::Labels(labels)) => Found::Labels(*labels),
            (Reduction::Distinct, _) => Found::Labels(0),
            (Reduction::Presence, Self::Presence { today: Some(flags), .. }) => {
                Found::Label(usize::from(*flags))
            }
            (Reduction::Presence, _) => Found::Label(0),
            (Reduction::Funnel { order: Order::Sequence, .. }, Self::Deepest(step)) => {
                Found::Label(usize::from(*step))
            }
            (Reduction::Funnel { optional, .. }, Self::Steps(steps)) => {
                Found::Label(deepest(*steps, optional))
            }
            (Reduction::Funnel { .. }, _) => Found::Label(0),
            (Reduction::Step { events, positions }, tally) => {
                let (position, found) = match tally {
                    Self::Step { position, found, .. } => (*position, *found),
                    _ => (position(draw(), *positions), None),
                };
                let (position, events) = (usize::from(position) - 1, usize::from(*events));
                Found::Label(match found {
                    Some(role) => position * events + usize::from(role),
                    None => usize::from(*positions) * events + position,
                })
            }
            (_, Self::Held(Held::Flag(flag))) => Found::Flag(*flag),
            (_, Self::Held(Held::Number(number)) | Self::Number(number)) => Found::Number(*number),
            (_, Self::Held(Held::Label(label))) => Found::Label(usize::from(*label)),
            (_, Self::Held(Held::Text(text))) => Found::Text(text),
            (_, Self::Counts(counts)) => most_common(counts).map_or(Found::Nothing, Found::Label),
            (_, Self::Magnitudes(counts)) => median(counts).map_or(Found::Nothing, Found::Number),
            (_, Self::Minutes { took_ms: Some(took), .. }) => Found::Number(*took as f64 / 60_000.0),
            (_, Self::Times { session: Some(session), .. }) => Found::Number(f64::from(*session)),
            (_, Self::Moves { kept, .. }) => Found::Label(*kept as usize),
            _ => Found::Nothing,
        }
    }
}

/// Inserts into a list, and leaves nothing behind where the list needs more room.
fn insert<T: Copy + Zeroize>(list: &mut Vec<T>, place: usize, item: T) {
    if list.len() == list.capacity() {
        let mut wider = Vec::with_capacity((2 * list.len()).max(8));
        wider.extend_from_slice(list);
        list.zeroize();
        *list = wider;
    }
    list.insert(place, item);
}

/// A position from 1.
fn position(draw: u64, positions: u16) -> u16 {
    1 + place(draw, positions.into()) as u16
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014) at step `n` of a seed.
fn scatter(seed: u64, n: u32) -> u64 {
    let z = seed.wrapping_add(u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The deepest of the steps before the first that is missing, from 1.
fn deepest(steps: u64, optional: &[bool]) -> usize {
    let mut deepest = 0;
    for (step, optional) in optional.iter().enumerate() {
        if steps >> step & 1 == 1 {
            deepest = step + 1;
        } else if !optional {
            break;
        }
    }
    deepest
}

fn most_common(counts: &[u32]) -> Option<usize> {
    let most = counts.iter().max().filter(|most| **most > 0)?;
    counts.iter().position(|count| count == most)
}

/// The sign, the exponent and the first five bits after the point, in the order of the numbers.
fn magnitude(x: f64) -> i32 {
    let bits = (x.abs().to_bits() >> 47) as i32;
    if x.is_sign_negative() { -bits } else { bits }
}

/// The number of least absolute value in a magnitude.
fn least_of(magnitude: i32) -> f64 {
    let x = f64::from_bits(u64::from(magnitude.unsigned_abs()) << 47);
    if magnitude < 0 { -x } else { x }
}

fn median(counts: &[(i32, u32)]) -> Option<f64> {
    let total: u64 = counts.iter().map(|(_, count)| u64::from(*count)).sum();
    let mut before = 0;
    counts.iter().find_map(|(magnitude, count)| {
        before += u64::from(*count);
        (2 * before >= total).then(|| least_of(*magnitude))
    })
}
