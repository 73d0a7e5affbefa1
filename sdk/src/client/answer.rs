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
pub(super) enum Verdict<'a> {
    /// It is counted, now or before.
    Received(Receipt<'a>),
    /// It will never be counted, for this reason.
    Never(&'a str),
    /// It has to be smaller.
    TooLarge,
    /// It is to be sent again. `unsure` if it may have been counted.
    Later { asked: Option<Duration>, unsure: bool },
}

/// What a collector says of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Receipt<'a> {
    pub(super) duplicate: bool,
    pub(super) counted: u64,
    pub(super) refused: Vec<(&'a str, u64)>,
}

impl Receipt<'_> {
    /// The reports that are not counted.
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
pub(super) fn judge<'a>(reply: &Reply<'a>, reports: u64, now: Timestamp) -> (Verdict<'a>, Outcome) {
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
            Some(name) if PASSING.contains(&name) => (later(asked, false), Outcome::Failed { status }),
            Some(name) if !MISDIRECTED.contains(&name) => (Verdict::Never(name), Outcome::Refused { status }),
            _ => (later(asked, true), Outcome::NotACollector { status }),
        },
        _ => (later(asked, true), Outcome::Failed { status }),
    }
}

/// How long `Retry-After` asks to wait: seconds, or a date as RFC 9110 writes it (section 5.6.7).
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.as_bytes().trim_ascii();
    if let Some(seconds) = number(text) {
        return u32::try_from(seconds).ok().map(|seconds| Duration::from_secs(seconds.into()));
    }
    let wait = date(text)?.millis_since(now);
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
}

/// An instant like `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(text: &[u8]) -> Option<Timestamp> {
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    const FORM: &[u8; 29] = b"___, __ ___ ____ __:__:__ GMT";
    let text: &[u8; 29] = text.try_into().ok()?;
    if FORM.iter().zip(text).any(|(form, byte)| *form != b'_' && form != byte) {
        return None;
    }
    let field = |place: usize, size: usize| number(&text[place..place + size]).map(|field| field as u32);
    let month = MONTHS.chunks(3).position(|name| *name == text[8..11])? as u32 + 1;
    let Day(day) = Day::from_civil(field(12, 4)?, month, field(5, 2)?)?;
    let (hour, minute, second) = (field(17, 2)?, field(20, 2)?, field(23, 2)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = i64::from(day) * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    Some(Timestamp::from_seconds(seconds))
}

/// A number of decimal digits.
fn number(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

/// Reads `{"status":"accepted","reports":3,"refused":{"epoch-closed":1}}`.
fn receipt(body: &[u8]) -> Option<Receipt<'_>> {
    let mut json = Json::new(body);
    let (mut status, mut counted, mut refused) = (None, None, Vec::new());
    json.object(&mut |json, name| {
        match name {
            "status" => status = Some(json.string()?),
            "reports" => counted = Some(json.count()?),
            "refused" => {
                refused.clear();
                json.object(&mut |json, reason| {
                    refused.push((reason, json.count()?));
                    Some(())
                })?;
            }
            _ => json.skip()?,
        }
        Some(())
    })?;
    json.end()?;
    let duplicate = match status? {
        "accepted" => false,
        "duplicate" => true,
        _ => return None,
    };
    Some(Receipt { duplicate, counted: counted?, refused })
}

/// The name of one of the collector's problems.
fn problem(body: &[u8]) -> Option<&str> {
    let mut json = Json::new(body);
    let mut found = None;
    json.object(&mut |json, name| match name {
        "type" => {
            found = json.string()?.strip_prefix(PROBLEM);
            Some(())
        }
        _ => json.skip(),
    })?;
    json.end()?;
    found
}

/// The little of JSON that a receipt and a problem need. Texts with escapes are passed over, not read.
struct Json<'a> {
    rest: &'a [u8],
    depth: u32,
}

impl<'a> Json<'a> {
    /// How deep values may lie in each other.
    const MAX_DEPTH: u32 = 16;

    fn new(body: &'a [u8]) -> Self {
        Self { rest: body, depth: 0 }
    }

    /// The next token's first byte.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    fn eat(&mut self, token: u8) -> Option<()> {
        (self.peek()? == token).then(|| self.rest = &self.rest[1..])
    }

    fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// Reads an object, calling `each` to read the value of each name.
    fn object(&mut self, each: &mut dyn FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.list(b'{', b'}', &mut |json| {
            let name = json.string()?;
            json.eat(b':')?;
            each(json, name)
        })
    }

    fn list(&mut self, open: u8, close: u8, each: &mut dyn FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.eat(open)?;
        self.depth += 1;
        if self.depth > Self::MAX_DEPTH {
            return None;
        }
        if self.eat(close).is_none() {
            each(self)?;
            while self.eat(b',').is_some() {
                each(self)?;
            }
            self.eat(close)?;
        }
        self.depth -= 1;
        Some(())
    }

    /// Takes the bytes before the first that is not `of` a word.
    fn word(&mut self, of: fn(u8) -> bool) -> &'a [u8] {
        self.peek();
        let end = self.rest.iter().position(|byte| !of(*byte)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Reads a text; one with escapes becomes empty, which no name here is.
    fn string(&mut self) -> Option<&'a str> {
        self.eat(b'"')?;
        let (mut end, mut plain) = (0, true);
        loop {
            match self.rest.get(end)? {
                b'"' => break,
                b'\\' => (end, plain) = (end + 2, false),
                _ => end += 1,
            }
        }
        let text = core::str::from_utf8(&self.rest[..end]).ok()?;
        self.rest = &self.rest[end + 1..];
        Some(if plain { text } else { "" })
    }

    fn count(&mut self) -> Option<u64> {
        number(self.word(|byte| byte.is_ascii_digit()))
    }

    fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(&mut |json, _| json.skip()),
            b'[' => self.list(b'[', b']', &mut Self::skip),
            b'"' => self.string().map(|_| ()),
            _ => {
                let word = self.word(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
                (!word.is_empty()).then_some(())
            }
        }
    }
}
