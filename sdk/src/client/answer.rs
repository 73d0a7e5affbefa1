//! What the answer of a collector means, or of whatever answers in its place.
//!
//! | answer | means | then |
//! |---|---|---|
//! | 2xx with a receipt for as many reports as were sent | the batch is durable there | it is done |
//! | 2xx with anything else | some other program answered, say a captive portal | tried again |
//! | 3xx | the address is wrong, or a portal | tried again; a host follows no redirect with a body |
//! | 413 | too large for the collector, or for a proxy before it | sent in two parts |
//! | 408, 425, 429, 5xx | not now | tried again, after `Retry-After` if it is given |
//! | 4xx with one of the collector's problems that is about the batch | it will never be counted | its reports are dropped and counted by reason |
//! | 401, 403, and any other 4xx | key or address are wrong; an operator can put it right | tried again |
//! | none | unreachable, or too slow | tried again |

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::calendar::{Day, Timestamp};

/// What came of an upload, as the host saw it.
#[derive(Clone, Copy, Debug)]
pub enum Reply<'a> {
    /// There was an answer.
    Answered {
        /// The status code of HTTP.
        status: u16,
        /// The header `Retry-After`, if there is one.
        retry_after: Option<&'a str>,
        /// The body; the first 64 KiB are enough.
        body: &'a [u8],
    },
    /// There was no connection.
    Unreachable,
    /// There was no answer in time.
    TimedOut,
}

/// How the last upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The collector has the batch.
    Delivered,
    /// The collector will never count the batch.
    Refused {
        /// The status code of HTTP.
        status: u16,
    },
    /// The body was too large.
    TooLarge,
    /// There was no connection. Check the network and the address.
    Unreachable,
    /// There was no answer in time.
    TimedOut,
    /// The address sends elsewhere. Give the client the address of the collector itself.
    Redirected {
        /// The status code of HTTP.
        status: u16,
    },
    /// The collector wants it later.
    Limited {
        /// The status code of HTTP.
        status: u16,
    },
    /// The server failed.
    Failed {
        /// The status code of HTTP.
        status: u16,
    },
    /// The write key is not known there, revoked, or for other pages.
    KeyRefused {
        /// The status code of HTTP.
        status: u16,
    },
    /// What answered is no collector. Check the address, and what stands between.
    NotACollector {
        /// The status code of HTTP.
        status: u16,
    },
}

/// What an answer means for the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is counted, now or before.
    Received(Receipt),
    /// It will never be counted, for this reason.
    Never(String),
    /// It has to be smaller.
    TooLarge,
    /// It is to be sent again. `unsure` if it may have been counted.
    Later { asked: Option<Duration>, unsure: bool },
}

/// What a collector says of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) duplicate: bool,
    pub(super) counted: u64,
    pub(super) refused: Vec<(String, u64)>,
}

impl Receipt {
    pub(super) fn refused(&self) -> u64 {
        self.refused.iter().fold(0, |sum, (_, reports)| sum.saturating_add(*reports))
    }
}

const PROBLEM: &str = "urn:deniable:problem:";
/// Problems of the way here, not of the batch.
const PASSING: [&str; 4] = ["truncated-batch", "unreadable-body", "too-slow", "undecodable"];
/// Problems of key or address, which an operator can put right while the batch waits.
const MISDIRECTED: [&str; 3] = ["not-found", "method-not-allowed", "unsupported-media-type"];

/// Judges the reply to a batch of so many reports.
pub(super) fn judge(reply: &Reply<'_>, reports: u64, now: Timestamp) -> (Verdict, Outcome) {
    let later = |asked, unsure| Verdict::Later { asked, unsure };
    let (status, retry_after, body) = match *reply {
        Reply::Unreachable => return (later(None, true), Outcome::Unreachable),
        Reply::TimedOut => return (later(None, true), Outcome::TimedOut),
        Reply::Answered { status, retry_after, body } => (status, retry_after, body),
    };
    let asked = retry_after.and_then(|text| wait(text, now));
    match status {
        200..=299 => match receipt(body) {
            Some(receipt) if receipt.counted.saturating_add(receipt.refused()) == reports => {
                (Verdict::Received(receipt), Outcome::Delivered)
            }
            _ => (later(asked, true), Outcome::NotACollector { status }),
        },
        300..=399 => (later(asked, true), Outcome::Redirected { status }),
        413 => (Verdict::TooLarge, Outcome::TooLarge),
        408 | 425 | 429 => (later(asked, true), Outcome::Limited { status }),
        400..=499 => match problem(body) {
            Some(_) if matches!(status, 401 | 403) => (later(asked, false), Outcome::KeyRefused { status }),
            Some(name) if PASSING.contains(&&*name) => (later(asked, false), Outcome::Failed { status }),
            Some(name) if !MISDIRECTED.contains(&&*name) => {
                (Verdict::Never(name), Outcome::Refused { status })
            }
            _ => (later(asked, true), Outcome::NotACollector { status }),
        },
        _ => (later(asked, true), Outcome::Failed { status }),
    }
}

/// How long `Retry-After` asks to wait: seconds, or a date as RFC 9110 writes it (section 5.6.7).
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let wait = date(text)?.millis_since(now);
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
}

/// An instant like `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_once(", ")?.1.strip_suffix(" GMT")?.split(' ');
    let mut next = || parts.next();
    let (day, month, year, time) = (next()?.parse().ok()?, next()?, next()?.parse().ok()?, next()?);
    let month = MONTHS.iter().position(|name| *name == month)? as u32 + 1;
    let mut clock = time.splitn(3, ':').map(|part| part.parse::<u32>().ok());
    let mut next = |below: u32| clock.next()?.filter(|number| *number < below);
    let (hour, minute, second) = (next(24)?, next(60)?, next(61)?);
    let Day(day) = Day::from_civil(year, month, day)?;
    let seconds = i64::from(day) * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    Some(Timestamp::from_seconds(seconds))
}

/// Reads `{"status":"accepted","reports":3,"refused":{"epoch-closed":1}}`.
fn receipt(body: &[u8]) -> Option<Receipt> {
    let mut json = Json::new(body)?;
    let (mut status, mut counted, mut refused) = (None, None, None);
    json.object(|json, name| {
        match name {
            "status" => status = Some(json.string()?),
            "reports" => counted = Some(json.count()?),
            "refused" => {
                let mut reasons = Vec::new();
                json.object(|json, reason| {
                    reasons.push((reason.to_owned(), json.count()?));
                    Some(())
                })?;
                refused = Some(reasons);
            }
            _ => json.skip()?,
        }
        Some(())
    })?;
    json.end()?;
    let duplicate = match status?.as_str() {
        "accepted" => false,
        "duplicate" => true,
        _ => return None,
    };
    Some(Receipt { duplicate, counted: counted?, refused: refused.unwrap_or_default() })
}

/// The name of one of the collector's problems.
fn problem(body: &[u8]) -> Option<String> {
    let mut json = Json::new(body)?;
    let mut found = None;
    json.object(|json, name| match name {
        "type" => {
            found = json.string()?.strip_prefix(PROBLEM).map(ToOwned::to_owned);
            Some(())
        }
        _ => json.skip(),
    })?;
    json.end()?;
    found
}

/// The little of JSON that a receipt and a problem need. Texts with escapes are passed over, not read.
struct Json<'a> {
    rest: &'a str,
    depth: u32,
}

impl<'a> Json<'a> {
    /// How deep values may lie in each other.
    const MAX_DEPTH: u32 = 16;

    fn new(body: &'a [u8]) -> Option<Self> {
        core::str::from_utf8(body).ok().map(|rest| Self { rest, depth: 0 })
    }

    fn eat(&mut self, token: char) -> Option<()> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    fn end(&mut self) -> Option<()> {
        self.rest.trim_matches([' ', '\t', '\r', '\n']).is_empty().then_some(())
    }

    /// Reads an object, calling `each` to read the value of each name.
    fn object(&mut self, mut each: impl FnMut(&mut Self, &str) -> Option<()>) -> Option<()> {
        self.eat('{')?;
        self.list('}', |json| {
            let name = json.string()?;
            json.eat(':')?;
            each(json, &name)
        })
    }

    fn list(&mut self, close: char, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.depth += 1;
        if self.depth > Self::MAX_DEPTH {
            return None;
        }
        if self.eat(close).is_none() {
            each(self)?;
            while self.eat(',').is_some() {
                each(self)?;
            }
            self.eat(close)?;
        }
        self.depth -= 1;
        Some(())
    }

    /// Reads a text; one with escapes becomes empty, which no name here is.
    fn string(&mut self) -> Option<String> {
        self.eat('"')?;
        let mut escaped = false;
        let mut plain = true;
        let end = self.rest.char_indices().find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            plain &= *c != '\\';
            ends
        });
        let (text, rest) = self.rest.split_at(end?.0);
        self.rest = &rest[1..];
        Some(if plain { text.to_owned() } else { String::new() })
    }

    fn count(&mut self) -> Option<u64> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let digits = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        number.parse().ok()
    }

    fn skip(&mut self) -> Option<()> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        match self.rest.chars().next()? {
            '{' => self.object(|json, _| json.skip()),
            '[' => {
                self.eat('[')?;
                self.list(']', Self::skip)
            }
            '"' => self.string().map(|_| ()),
            _ => {
                let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
                let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.rest = rest;
                (!word.is_empty()).then_some(())
            }
        }
    }
}
