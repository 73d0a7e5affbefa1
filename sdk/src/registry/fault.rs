//! What is wrong in a registry: where, what was found and what is allowed.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::domain::DomainError;
use crate::params::ParamsError;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What.
    pub problem: Problem,
}

/// Where something is declared: the keys that lead to it, places in lists as numbers from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(Vec<Box<str>>);

impl Place {
    /// The place at the end of these keys.
    pub fn new<K: Into<Box<str>>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self(keys.into_iter().map(Into::into).collect())
    }

    /// The place one key further.
    pub(crate) fn at(&self, key: &str) -> Self {
        let mut keys = self.0.clone();
        keys.push(key.into());
        Self(keys)
    }

    /// The place of one item of this list.
    pub(crate) fn item(&self, index: usize) -> Self {
        self.at(&alloc::format!("{index}"))
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| &**key)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, key) in self.0.iter().enumerate() {
            match key.parse::<usize>() {
                Ok(index) => write!(f, "[{index}]")?,
                Err(_) if i == 0 => f.write_str(key)?,
                Err(_) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A notation of another version.
    #[error("format {found} is not known; this program reads format 1")]
    Format {
        /// What was given.
        found: u32,
    },
    /// A name that is not declared.
    #[error("{name:?} is no {what}; declared are {declared}")]
    Unknown {
        /// What it should be.
        what: &'static str,
        /// What was given.
        name: String,
        /// What there is.
        declared: String,
    },
    /// A name that two things have.
    #[error("{name:?} is also the name of {other}; give each its own")]
    Overlap {
        /// The name.
        name: String,
        /// What else has it.
        other: String,
    },
    /// A number outside its range.
    #[error("{value} is not allowed; it must be from {low} to {high}")]
    OutOfRange {
        /// What was given.
        value: f64,
        /// The least allowed.
        low: f64,
        /// The most allowed.
        high: f64,
    },
    /// A list without items.
    #[error("the list is empty; it must name at least {least} {what}")]
    TooFew {
        /// Of what.
        what: &'static str,
        /// The least number.
        least: usize,
    },
    /// A field that is needed.
    #[error("the field is missing; {why}")]
    Missing {
        /// Why it is needed, and what may stand there.
        why: &'static str,
    },
    /// A field that has no place.
    #[error("the field has no place here: {why}")]
    Misplaced {
        /// Why.
        why: &'static str,
    },
    /// A reduction, filter or kind over something of another type.
    #[error("{found} cannot be used here; {wanted} is wanted")]
    WrongType {
        /// What was found.
        found: String,
        /// What is wanted.
        wanted: &'static str,
    },
    /// A list of labels that has no end.
    #[error(
        "{found} may be anything, so its labels would have no end; list them with kind = {{ labels = [..] }}, or ask with kind = \"string\""
    )]
    Unbounded {
        /// What was found.
        found: String,
    },
    /// A report whose presence alone tells.
    #[error("{how}, so the presence of a report would reveal the answer; {remedy}")]
    Reveals {
        /// How it tells.
        how: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Something sensitive crossed with something else.
    #[error("{name:?} is sensitive and must not be {with}; ask it alone")]
    Sensitive {
        /// Its name.
        name: String,
        /// With what it is put together.
        with: &'static str,
    },
    /// A metric that costs too much.
    #[error(
        "the metric costs a device ε = {cost:.3} {period}, over the cap of {cap}; lower epsilon, ask less often or raise privacy.{field}"
    )]
    OverCap {
        /// The cost.
        cost: f64,
        /// In which period.
        period: &'static str,
        /// The cap.
        cap: f64,
        /// The field of the cap.
        field: &'static str,
    },
    /// Tags that show too much.
    #[error(
        "the public tags say {bits:.2} bits, over the cap of {cap}; leave one out or raise privacy.public_bits"
    )]
    TooPublic {
        /// What they say.
        bits: f64,
        /// The cap.
        cap: f64,
    },
    /// Cells that could need more room than a device gives them.
    #[error(
        "a device could have to store {total} bytes, over the limit of {}: {cells} reductions of which this is the largest with {largest}, and {kept} for kept events; ask over fewer labels, take out a median, a number of texts or a text, or lookback_days",
        crate::insight::MAX_STATE_BYTES
    )]
    StateTooLarge {
        /// The bytes at worst.
        total: usize,
        /// The number of reductions.
        cells: usize,
        /// The bytes of the largest.
        largest: usize,
        /// The bytes of kept events.
        kept: usize,
    },
    /// A question that looks at others too often.
    #[error(
        "an answer could take a device {steps} steps, over the limit of {}: {} for each condition, question and reduction, as often as it is looked at, and 1 for each item of a list that is searched; name fewer questions that name others, or name them less often",
        super::closed::MAX_STEPS,
        super::closed::LOOK
    )]
    TooManySteps {
        /// The steps at worst.
        steps: usize,
    },
    /// A window that is not that of the report.
    #[error(
        "a window of {window} does not fit a metric answered every {every}; use the same, \"ever\", \"first_session\" or a number of days"
    )]
    Window {
        /// The window.
        window: &'static str,
        /// When it is answered.
        every: &'static str,
    },
    /// An answer that never comes.
    #[error(
        "the window never ends, so an answer once would never be due; use window = {{ days = N }} or \"first_session\""
    )]
    NeverDue,
    /// A precision that no parameters reach.
    #[error(
        "no ε up to {most} gives that precision with {devices} devices; ask for less or wait for more devices"
    )]
    Precision {
        /// The devices.
        devices: u32,
        /// The most ε that was tried.
        most: f64,
    },
    /// Parameters for another list of answers.
    #[error("the parameters are {encoding} with {bits} bits, but the question has {answers}")]
    Shape {
        /// The encoding stated.
        encoding: crate::params::Encoding,
        /// The bits stated.
        bits: usize,
        /// What it has.
        answers: String,
    },
    /// An older version that is not older.
    #[error(
        "{version} is listed among the older versions, but each must be below the current version {current} and be listed once"
    )]
    Older {
        /// The version listed.
        version: u32,
        /// The current version.
        current: u32,
    },
    /// An encoding that changed under one version.
    #[error(
        "the {what} changed, but version {version} did not; reports of both would be counted together: raise the version"
    )]
    Unversioned {
        /// What changed.
        what: &'static str,
        /// The version.
        version: u32,
    },
    /// A list of answers that cannot be.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// Parameters that cannot be.
    #[error(transparent)]
    Params(#[from] ParamsError),
}

/// Everything that is wrong in a registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(i, fault)| {
            if i > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)
        })
    }
}

impl core::error::Error for Faults {}
