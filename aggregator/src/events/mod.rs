//! Files of raw events, for replaying them through the state machine of each user's device.
//!
//! Two forms, told apart by the file's name: JSON lines, and CSV (`.csv`) with a header. Each event has a name, a time and a
//! user; all else are properties.
//!
//! | | JSON lines | also | CSV |
//! |---|---|---|---|
//! | name | `event` | `_n` | a column of either name |
//! | time | `timestamp` | `_t` | a column of either name |
//! | user | `user_id` | `_p` | a column of either name |
//! | properties | the object `properties` | every other field | every other column; an empty field is none |
//!
//! A time is a date and time as in RFC 3339, or a number of seconds since 1970, or of milliseconds where that would be after
//! the year 5138. A time with an offset is local time there.
//!
//! Users' events may be interleaved and out of order. They are sorted in bounded memory, so a file may be larger than memory;
//! what does not fit is written to temporary files meanwhile.

mod sort;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use deniable::calendar::{Moment, Timestamp};
use deniable::insight;
use deniable::registry::{Property, Registry};
use jiff::fmt::temporal::Pieces;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use self::sort::{Merged, Placed, Sorter};

/// Seconds above this are milliseconds.
const MOST_SECONDS: f64 = 1e11;

/// Bytes of events that are sorted in memory.
const SORT_BYTES: usize = 64 * 1024 * 1024;

/// An event as it stands in a file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct RawEvent {
    /// Its name.
    pub name: Box<str>,
    /// When, and at which offset.
    pub at: Moment,
    /// Its properties.
    pub properties: Vec<(Box<str>, Raw)>,
}

/// A property as it stands in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Raw {
    /// True or false.
    Flag(bool),
    /// A number, in its digits.
    Number(Box<str>),
    /// A text, or the JSON of a list or an object.
    Text(Box<str>),
}

impl Raw {
    /// None for null.
    fn new(value: Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Bool(flag) => Some(Self::Flag(flag)),
            Value::Number(number) => Some(Self::Number(number.to_string().into())),
            Value::String(text) => Some(Self::Text(text.into())),
            value @ (Value::Array(_) | Value::Object(_)) => Some(Self::Text(value.to_string().into())),
        }
    }
}

impl RawEvent {
    /// The properties as their declarations read them: CSV has texts only, and JSON may have a number where a label is declared.
    pub fn fitted(&self, registry: &Registry) -> Vec<(&str, Fitted)> {
        let fit = |name: &str, value: &Raw| match (registry.property(&self.name, name), value) {
            (Some(Property::Number), Raw::Text(text)) => text.trim().parse().ok().map(Fitted::Number),
            (Some(Property::Flag), Raw::Text(text)) => text.trim().parse().ok().map(Fitted::Flag),
            (Some(Property::Labels(_) | Property::Text), Raw::Number(text)) | (_, Raw::Text(text)) => {
                Some(Fitted::Text(text.to_string()))
            }
            (Some(Property::Labels(_) | Property::Text), Raw::Flag(flag)) => {
                Some(Fitted::Text(flag.to_string()))
            }
            (_, Raw::Number(number)) => number.parse().ok().map(Fitted::Number),
            (_, Raw::Flag(flag)) => Some(Fitted::Flag(*flag)),
        };
        self.properties.iter().filter_map(|(name, value)| Some((&**name, fit(name, value)?))).collect()
    }
}

/// A property of the type that its declaration wants, if it can be had.
#[derive(Debug, PartialEq)]
pub enum Fitted {
    /// True or false.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A label or a text.
    Text(String),
}

impl Fitted {
    /// The property as a device takes it.
    pub fn as_property(&self) -> insight::Property<'_> {
        match self {
            Self::Flag(flag) => insight::Property::Flag(*flag),
            Self::Number(number) => insight::Property::Number(*number),
            Self::Text(text) => insight::Property::Text(text),
        }
    }
}

/// The events of a file, user by user in the order of their names, the earliest event of each first.
pub struct Sorted {
    path: PathBuf,
    merged: Merged,
    last: Option<Timestamp>,
}

impl Sorted {
    /// Reads a file of events to its end, and sorts them.
    ///
    /// # Errors
    /// An [`EventsError`] that names the file, and the line that is no event.
    pub fn read(path: &Path) -> Result<Self, EventsError> {
        let mut reader = Reader { path, sorter: Sorter::new(SORT_BYTES), events: 0, last: None };
        let file = BufReader::new(File::open(path).map_err(|source| reader.unreadable(source))?);
        if path.extension().is_some_and(|extension| extension == "csv") {
            reader.csv(file)?;
        } else {
            reader.json(file)?;
        }
        let Reader { sorter, last, .. } = reader;
        let merged = sorter.merge().map_err(|source| EventsError::unsorted(path, source))?;
        Ok(Self { path: path.to_owned(), merged, last })
    }

    /// The latest time of an event; None if there is none.
    pub fn latest(&self) -> Option<Timestamp> {
        self.last
    }
}

impl Iterator for Sorted {
    /// A user with an event.
    type Item = Result<(Box<str>, RawEvent), EventsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let placed = self.merged.next()?;
        Some(match placed {
            Ok(Placed { user, event, .. }) => Ok((user, event)),
            Err(source) => Err(EventsError::unsorted(&self.path, source)),
        })
    }
}

struct Reader<'a> {
    path: &'a Path,
    sorter: Sorter,
    events: u64,
    last: Option<Timestamp>,
}

impl Reader<'_> {
    fn csv(&mut self, file: impl io::Read) -> Result<(), EventsError> {
        let mut csv = csv::Reader::from_reader(file);
        let header = csv.headers().map_err(|error| self.invalid(1, EventFault::Csv(error)))?.clone();
        for record in csv.records() {
            let record = record.map_err(|error| {
                self.invalid(error.position().map_or(0, csv::Position::line), EventFault::Csv(error))
            })?;
            let line = record.position().map_or(0, csv::Position::line);
            let fields = header.iter().zip(&record).filter(|(_, field)| !field.is_empty());
            let fields = fields.map(|(name, field)| (name.to_owned(), Value::String(field.to_owned())));
            self.add(line, fields.collect())?;
        }
        Ok(())
    }

    fn json(&mut self, file: impl BufRead) -> Result<(), EventsError> {
        for (line, text) in (1..).zip(file.lines()) {
            let text = text.map_err(|source| self.unreadable(source))?;
            if !text.trim().is_empty() {
                let fields = serde_json::from_str(&text);
                self.add(line, fields.map_err(|error| self.invalid(line, EventFault::Json(error)))?)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, line: u64, fields: Map<String, Value>) -> Result<(), EventsError> {
        let (user, event) = parse(fields).map_err(|fault| self.invalid(line, fault))?;
        self.last = self.last.max(Some(event.at.at));
        self.events += 1;
        let placed = Placed { user, place: self.events, event };
        self.sorter.push(placed).map_err(|source| EventsError::unsorted(self.path, source))
    }

    fn unreadable(&self, source: io::Error) -> EventsError {
        EventsError::Unreadable { path: self.path.to_owned(), source }
    }

    fn invalid(&self, line: u64, fault: EventFault) -> EventsError {
        EventsError::Invalid { path: self.path.to_owned(), line, fault }
    }
}

/// The user and the event in the fields of a line.
fn parse(mut fields: Map<String, Value>) -> Result<(Box<str>, RawEvent), EventFault> {
    let mut take = |field: &'static str, short: &'static str| {
        fields.remove(field).or_else(|| fields.remove(short)).ok_or(EventFault::Missing { field, short })
    };
    let name = text(&take("event", "_n")?).into();
    let at = moment(&take("timestamp", "_t")?)?;
    let user = text(&take("user_id", "_p")?).into();
    let inner = match fields.remove("properties") {
        Some(Value::Object(properties)) => properties,
        _ => Map::new(),
    };
    let properties = inner.into_iter().chain(fields);
    let properties = properties.filter_map(|(name, value)| Some((name.into(), Raw::new(value)?))).collect();
    Ok((user, RawEvent { name, at, properties }))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn moment(value: &Value) -> Result<Moment, EventFault> {
    let wrong = || EventFault::Time { found: text(value) };
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    if let Some(number) = number.filter(|number| number.is_finite()) {
        let millis = if number.abs() > MOST_SECONDS { number } else { number * 1000.0 };
        return Ok(Moment::utc(Timestamp::from_millis(millis.round() as i64)));
    }
    let text = value.as_str().ok_or_else(wrong)?;
    let pieces = Pieces::parse(text).map_err(|_| wrong())?;
    let offset = pieces.to_numeric_offset().map_or(0, jiff::tz::Offset::seconds);
    let local = pieces.date().to_datetime(pieces.time().ok_or_else(wrong)?);
    let at = jiff::tz::Offset::from_seconds(offset).and_then(|offset| offset.to_timestamp(local));
    let at = Timestamp::from_millis(at.map_err(|_| wrong())?.as_millisecond());
    Ok(Moment { at, offset_minutes: (offset / 60) as i16 })
}

impl EventsError {
    fn unsorted(path: &Path, source: io::Error) -> Self {
        let directory = std::env::temp_dir();
        Self::Unsorted { path: path.to_owned(), directory, source }
    }
}

/// A file that holds no events.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EventsError {
    /// The file cannot be read.
    #[error("cannot read the events in {}: check the path and its permissions", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room to sort the events.
    #[error(
        "cannot sort the events in {}: {} wants room for about as much as the file has; set TMPDIR to a directory that has it",
        .path.display(),
        .directory.display()
    )]
    Unsorted {
        /// The file.
        path: PathBuf,
        /// Where the sorted parts are written.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is no event.
    #[error("{}, line {line}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        fault: EventFault,
    },
}

/// What is wrong with a line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EventFault {
    /// It is no JSON object.
    #[error("the line is no JSON object")]
    Json(#[source] serde_json::Error),
    /// It is no CSV record.
    #[error("the line is no record of the header's columns")]
    Csv(#[source] csv::Error),
    /// A field is missing.
    #[error("the event has no {field:?}; give it under that name or as {short:?}")]
    Missing {
        /// The field.
        field: &'static str,
        /// Its short name.
        short: &'static str,
    },
    /// A time cannot be read.
    #[error("{found:?} is no time; write it like 2024-05-31T12:00:00Z, or as seconds since 1970")]
    Time {
        /// What was found.
        found: String,
    },
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(suffix: &str, text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn read(path: &Path) -> Result<Vec<(Box<str>, RawEvent)>, EventsError> {
        Sorted::read(path)?.collect()
    }

    #[test]
    fn the_three_forms_give_the_same_events() {
        let json = file(
            ".jsonl",
            "{\"event\":\"b\",\"timestamp\":\"1970-01-01T01:00:20+01:00\",\"user_id\":\"u\",\"properties\":{\"x\":\"1.5\"}}\n\n{\"event\":\"a\",\"timestamp\":\"1970-01-01T00:00:10Z\",\"user_id\":\"u\"}\n",
        );
        let short = file(
            ".jsonl",
            "{\"_n\":\"b\",\"_t\":20,\"_p\":\"u\",\"x\":\"1.5\"}\n{\"_n\":\"a\",\"_t\":\"10\",\"_p\":\"u\"}",
        );
        let csv = file(".csv", "_p,event,timestamp,x\nu,b,20,1.5\nu,a,10000000000000,\n");
        let [json, short, csv] = [json, short, csv].map(|file| read(file.path()).unwrap());
        assert!([&json, &short, &csv].iter().all(|events| events.iter().all(|(user, _)| &**user == "u")));
        let times = |events: &[(Box<str>, RawEvent)]| {
            events.iter().map(|(_, e)| e.at.at.as_millis()).collect::<Vec<_>>()
        };
        assert_eq!((times(&json), times(&short)), (vec![10_000, 20_000], vec![10_000, 20_000]));
        assert_eq!(times(&csv), [20_000, 10_000_000_000_000]);
        assert_eq!(json[1].1.at.offset_minutes, 60);
        assert_eq!(json[1].1.properties, short[1].1.properties);
        assert_eq!(short[1].1.properties, csv[0].1.properties);
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let good = "{\"event\":\"a\",\"timestamp\":1,\"user_id\":\"u\"}\n";
        for (line, said) in [
            ("{", "no JSON object"),
            ("[]", "no JSON object"),
            ("{\"timestamp\":1,\"user_id\":1}", "\"event\""),
            ("{\"event\":\"a\",\"user_id\":1}", "\"timestamp\""),
            ("{\"event\":\"a\",\"timestamp\":1}", "\"user_id\""),
            ("{\"event\":\"a\",\"timestamp\":\"noon\",\"user_id\":1}", "\"noon\""),
            ("{\"event\":\"a\",\"timestamp\":\"2024-05-31\",\"user_id\":1}", "\"2024-05-31\""),
        ] {
            let file = file(".jsonl", &format!("{good}{line}"));
            let error = anyhow::Error::from(read(file.path()).unwrap_err());
            let message = format!("{error:#}");
            assert!(message.contains("line 2") && message.contains(said), "{line}: {message}");
        }
        let short = file(".csv", "event,timestamp,user_id\na,1\n");
        let message = format!("{:#}", anyhow::Error::from(read(short.path()).unwrap_err()));
        assert!(message.contains("line 2") && message.contains("columns"), "{message}");
    }
}
