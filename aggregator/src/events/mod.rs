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

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use deniable::calendar::{Moment, Timestamp};
use deniable::insight;
use deniable::registry::{Property, Registry};
use jiff::fmt::temporal::Pieces;
use serde_json::{Map, Value};
use thiserror::Error;

/// Seconds above this are milliseconds.
const MOST_SECONDS: f64 = 1e11;

/// The events of one user, the earliest first.
#[derive(Debug)]
pub struct User {
    /// Its name in the file.
    pub id: String,
    /// What happened.
    pub events: Vec<RawEvent>,
}

/// An event as it stands in a file.
#[derive(Debug, PartialEq)]
pub struct RawEvent {
    /// Its name.
    pub name: Box<str>,
    /// When, and at which offset.
    pub at: Moment,
    /// Its properties.
    pub properties: Vec<(Box<str>, Value)>,
}

impl RawEvent {
    /// The properties as their declarations read them: CSV has texts only, and JSON may have a number where a label is declared.
    pub fn fitted(&self, registry: &Registry) -> Vec<(&str, Fitted)> {
        let fit = |name: &str, value: &Value| match (registry.property(&self.name, name), value) {
            (Some(Property::Number), Value::String(text)) => text.trim().parse().ok().map(Fitted::Number),
            (Some(Property::Flag), Value::String(text)) => text.trim().parse().ok().map(Fitted::Flag),
            (_, Value::String(text)) => Some(Fitted::Text(text.clone())),
            (Some(Property::Labels(_) | Property::Text), value @ (Value::Number(_) | Value::Bool(_))) => {
                Some(Fitted::Text(value.to_string()))
            }
            (_, Value::Number(number)) => number.as_f64().map(Fitted::Number),
            (_, Value::Bool(flag)) => Some(Fitted::Flag(*flag)),
            (_, Value::Null) => None,
            (_, value @ (Value::Array(_) | Value::Object(_))) => Some(Fitted::Text(value.to_string())),
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

/// Reads a file of events, user by user in the order in which they first appear.
///
/// # Errors
/// An [`EventsError`] that names the file, and the line that is no event.
pub fn read(path: &Path) -> Result<Vec<User>, EventsError> {
    let unreadable = |source| EventsError::Unreadable { path: path.to_owned(), source };
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut users = Users::default();
    let invalid = |line, fault| EventsError::Invalid { path: path.to_owned(), line, fault };
    if path.extension().is_some_and(|extension| extension == "csv") {
        let mut csv = csv::Reader::from_reader(file);
        let header = csv.headers().map_err(|error| invalid(1, EventFault::Csv(error)))?.clone();
        for record in csv.records() {
            let record = record.map_err(|error| {
                invalid(error.position().map_or(0, csv::Position::line), EventFault::Csv(error))
            })?;
            let line = record.position().map_or(0, csv::Position::line);
            let fields = header.iter().zip(&record).filter(|(_, field)| !field.is_empty());
            let fields = fields.map(|(name, field)| (name.to_owned(), Value::String(field.to_owned())));
            users.add(fields.collect()).map_err(|fault| invalid(line, fault))?;
        }
    } else {
        for (line, text) in (1..).zip(file.lines()) {
            let text = text.map_err(unreadable)?;
            if text.trim().is_empty() {
                continue;
            }
            let fields =
                serde_json::from_str(&text).map_err(|error| invalid(line, EventFault::Json(error)))?;
            users.add(fields).map_err(|fault| invalid(line, fault))?;
        }
    }
    Ok(users.sorted())
}

#[derive(Default)]
struct Users {
    places: HashMap<String, usize>,
    users: Vec<User>,
}

impl Users {
    fn add(&mut self, mut fields: Map<String, Value>) -> Result<(), EventFault> {
        let mut take = |field: &'static str, short: &'static str| {
            fields.remove(field).or_else(|| fields.remove(short)).ok_or(EventFault::Missing { field, short })
        };
        let name = text(&take("event", "_n")?);
        let at = moment(&take("timestamp", "_t")?)?;
        let id = text(&take("user_id", "_p")?);
        let mut properties: Vec<(Box<str>, Value)> = match fields.remove("properties") {
            Some(Value::Object(properties)) => properties.into_iter().map(|(k, v)| (k.into(), v)).collect(),
            _ => Vec::new(),
        };
        properties.extend(fields.into_iter().map(|(name, value)| (name.into(), value)));
        let place = *self.places.entry(id).or_insert_with_key(|id| {
            self.users.push(User { id: id.clone(), events: Vec::new() });
            self.users.len() - 1
        });
        self.users[place].events.push(RawEvent { name: name.into(), at, properties });
        Ok(())
    }

    fn sorted(mut self) -> Vec<User> {
        for user in &mut self.users {
            user.events.sort_by_key(|event| event.at.at);
        }
        self.users
    }
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
        assert_eq!((json.len(), &*json[0].id), (1, "u"));
        let times = |users: &[User]| users[0].events.iter().map(|e| e.at.at.as_millis()).collect::<Vec<_>>();
        assert_eq!((times(&json), times(&short)), (vec![10_000, 20_000], vec![10_000, 20_000]));
        assert_eq!(times(&csv), [20_000, 10_000_000_000_000]);
        assert_eq!(json[0].events[1].at.offset_minutes, 60);
        assert_eq!(json[0].events[1].properties, short[0].events[1].properties);
        assert_eq!(short[0].events[1].properties, csv[0].events[0].properties);
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
