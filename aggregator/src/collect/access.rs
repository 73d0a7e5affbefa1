//! Who may write and who may read.
//!
//! Write keys are public, since every copy of an application holds one: they say which application a batch comes
//! from, and can be revoked. Tokens are secrets of analysts. Both stand in one file, tokens only by their hash:
//!
//! ```toml
//! [[key]]
//! name = "web"
//! key = "7f0c6d7b52ab9a5c0e1a4d1f3b2c9e88"
//! origins = ["https://app.example"]   # the pages that may use it; left out, the key is no page's and any client may
//! # revoked = true                    # its batches are refused
//!
//! [[token]]
//! name = "analyst"
//! sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
//! role = "read"   # or "monitor" or "admin"
//! ```
//!
//! | role | counts | the collector's own figures | reload and backup |
//! |---|---|---|---|
//! | `read`, if none is given | yes | | |
//! | `monitor` | | yes | |
//! | `admin` | yes | yes | yes |
//!
//! A token has 256 random bits, so that its plain hash gives nobody a way to guess it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use deniable::{Entropy, EntropyError, WriteKey};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::problem::{Kind, Problem};
use crate::catalog::LineFault;

/// What tokens begin with, so that one that was leaked is found by who searches for it.
const TOKEN_PREFIX: &str = "dnbl_";

/// Who may write and who may read.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// None if batches of any key are taken.
    keys: Option<HashMap<WriteKey, Key>>,
    tokens: Vec<Grant>,
}

/// What the holder of a token may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Read counts.
    #[default]
    Read,
    /// Read the collector's own figures.
    Monitor,
    /// Do everything.
    Admin,
}

impl Role {
    /// Says whether it may do what `needed` may.
    pub(super) fn covers(self, needed: Self) -> bool {
        self == Self::Admin || self == needed
    }
}

/// A token by its hash, and what it allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) sha256: [u8; 32],
    pub(super) role: Role,
}

#[derive(Clone, Debug)]
struct Key {
    name: Box<str>,
    origins: Option<Vec<Origin>>,
    revoked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAccess {
    #[serde(default)]
    key: Vec<RawKey>,
    #[serde(default)]
    token: Vec<RawToken>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    name: String,
    #[serde(deserialize_with = "write_key")]
    key: WriteKey,
    origins: Option<Vec<Origin>>,
    #[serde(default)]
    revoked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    #[expect(dead_code, reason = "for the reader of the file, who must know which to take out")]
    name: String,
    #[serde(deserialize_with = "hash")]
    sha256: [u8; 32],
    #[serde(default)]
    role: Role,
}

impl Access {
    /// Lets anybody write and nobody read: for a collector that only this machine reaches.
    pub fn open() -> Self {
        Self::default()
    }

    /// Reads the file of keys and tokens.
    ///
    /// # Errors
    /// An [`AccessError`] that names the file, and the line where the file is at fault.
    pub fn load(path: &Path) -> Result<Self, AccessError> {
        let text = fs::read_to_string(path)
            .map_err(|source| AccessError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|fault| AccessError::Invalid { path: path.to_owned(), fault })
    }

    /// Reads the text of a file of keys and tokens.
    ///
    /// # Errors
    /// An [`AccessFault`] that gives what is at fault.
    pub fn parse(text: &str) -> Result<Self, AccessFault> {
        let raw: RawAccess =
            toml::from_str(text).map_err(|error| AccessFault::Text(LineFault::of(text, "", &error)))?;
        let (mut keys, mut names) = (HashMap::new(), HashSet::new());
        for RawKey { name, key, origins, revoked } in raw.key {
            // Reports are counted by the names of their keys, and those without a key by none.
            if name.is_empty() || !names.insert(name.clone()) {
                return Err(AccessFault::Name { name });
            }
            if key == WriteKey::NONE
                || keys.insert(key, Key { name: name.as_str().into(), origins, revoked }).is_some()
            {
                return Err(AccessFault::Key { name });
            }
        }
        let grant = |RawToken { sha256, role, .. }| Grant { sha256, role };
        Ok(Self { keys: Some(keys), tokens: raw.token.into_iter().map(grant).collect() })
    }

    /// Says whether batches of any key are taken.
    pub fn is_open(&self) -> bool {
        self.keys.is_none()
    }

    /// The keys, also those that were revoked.
    pub(super) fn keys(&self) -> impl Iterator<Item = WriteKey> {
        self.keys.iter().flat_map(HashMap::keys).copied()
    }

    /// What tokens allow.
    pub(super) fn grants(&self) -> &[Grant] {
        &self.tokens
    }

    /// The pages that some key is for.
    pub(super) fn origins(&self) -> impl Iterator<Item = &HeaderValue> {
        let keys = self.keys.iter().flat_map(HashMap::values).filter(|key| !key.revoked);
        keys.flat_map(|key| key.origins.iter().flatten()).map(|origin| &origin.0)
    }

    /// Lets a batch in by its key, and by the page that it comes from, if one does. Returns the name of the key; an empty
    /// one where keys are not asked for.
    pub(super) fn check_key(&self, key: WriteKey, headers: &HeaderMap) -> Result<&str, Problem> {
        let Some(keys) = &self.keys else { return Ok("") };
        let refuse = |kind, detail| Err(Problem::new(kind, detail));
        let Some(key) = keys.get(&key) else {
            return refuse(Kind::UnknownKey, "no such write key is known here: ask the operator for one");
        };
        if key.revoked {
            return refuse(Kind::RevokedKey, "the write key was revoked: ask the operator for another");
        }
        match (&key.origins, headers.get(header::ORIGIN)) {
            (Some(origins), Some(origin)) if !origins.iter().any(|known| known.0 == origin) => {
                refuse(Kind::OtherOrigin, "the write key is not for this page: add its origin to the key")
            }
            _ => Ok(&key.name),
        }
    }
}

/// The hash of the token that a request gives; that of nothing if it gives none.
pub(super) fn token_hash(headers: &HeaderMap) -> [u8; 32] {
    let token =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    Sha256::digest(token.unwrap_or_default()).into()
}

/// The secret of an analyst. It is printed once, where it is made.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct Token(String);

impl Token {
    /// Draws a token.
    ///
    /// # Errors
    /// Those of `entropy`.
    pub fn draw(entropy: &mut impl Entropy) -> Result<Self, EntropyError> {
        let mut secret = Zeroizing::new([0; 32]);
        entropy.fill(&mut *secret)?;
        let text = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*secret));
        Ok(Self(format!("{TOKEN_PREFIX}{}", *text)))
    }

    /// The token itself, to be given to the analyst.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the file of tokens holds of it: hexadecimal digits.
    pub fn sha256(&self) -> String {
        Sha256::digest(&self.0).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The origin of a page: scheme, host and perhaps port, as `https://app.example`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(HeaderValue);

impl Origin {
    pub(super) fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl TryFrom<String> for Origin {
    type Error = AccessFault;

    fn try_from(text: String) -> Result<Self, AccessFault> {
        let host = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let good = host.is_some_and(|host| {
            !host.is_empty() && host.bytes().all(|c| c.is_ascii_graphic() && !b"/?#@*".contains(&c))
        });
        match HeaderValue::from_str(&text) {
            Ok(origin) if good => Ok(Self(origin)),
            _ => Err(AccessFault::Origin { origin: text }),
        }
    }
}

impl std::str::FromStr for Origin {
    type Err = AccessFault;

    fn from_str(text: &str) -> Result<Self, AccessFault> {
        Self::try_from(text.to_owned())
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0.to_str().expect("an origin is made of text").to_owned()
    }
}

fn write_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WriteKey, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || serde::de::Error::custom("a hash of SHA-256 has 64 hexadecimal digits");
    let (first, second) = text.split_at_checked(32).ok_or_else(wrong)?;
    // Each half is written as a write key is.
    let half = |text: &str| text.parse::<WriteKey>().map_err(|_| wrong());
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(&half(first)?.0);
    hash[16..].copy_from_slice(&half(second)?.0);
    Ok(hash)
}

/// A file of keys and tokens that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The file cannot be read.
    #[error("cannot read the keys in {}: check the path and its permissions", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not define keys.
    #[error("the keys in {} cannot be used", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        fault: AccessFault,
    },
}

/// What is wrong in the text of a file of keys and tokens.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AccessFault {
    /// A value, a name or the notation is wrong. The message gives the line but not what stands there, which may be a key.
    #[error("{0}")]
    Text(LineFault),
    /// A key that stands twice, or is zero throughout.
    #[error("key {name:?} is zero throughout or the same as another: draw a new one")]
    Key {
        /// Its name.
        name: String,
    },
    /// A name that stands twice, or is empty.
    #[error("the name {name:?} of a key is empty or another's: give each key one of its own")]
    Name {
        /// The name.
        name: String,
    },
    /// A text that is no origin.
    #[error("{origin:?} is no origin: it has a scheme, a host and perhaps a port, as in https://app.example")]
    Origin {
        /// The text.
        origin: String,
    },
}

#[cfg(test)]
mod tests {
    use deniable::SystemEntropy;

    use super::*;

    const WEB: WriteKey = WriteKey([1; 16]);
    const APP: WriteKey = WriteKey([2; 16]);
    const OLD: WriteKey = WriteKey([3; 16]);

    fn access(token: &Token) -> Access {
        let text = format!(
            "[[key]]\nname = \"web\"\nkey = \"{WEB}\"\norigins = [\"https://app.example\"]\n[[key]]\nname = \"app\"\nkey = \"{APP}\"\n[[key]]\nname = \"old\"\nkey = \"{OLD}\"\nrevoked = true\norigins = [\"https://old.example\"]\n[[token]]\nname = \"me\"\nsha256 = \"{}\"\n",
            token.sha256()
        );
        Access::parse(&text).unwrap()
    }

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn keys_are_known_revoked_or_of_other_pages() {
        let access = access(&Token::draw(&mut SystemEntropy).unwrap());
        let check = |key, origin: Option<&str>| {
            let headers = origin.map(|origin| headers(header::ORIGIN, origin)).unwrap_or_default();
            access.check_key(key, &headers).map(str::to_owned).map_err(|problem| problem.kind())
        };
        let (page, other) = (Some("https://app.example"), Some("https://app.example:8443"));
        let name = |name: &str| Ok(name.to_owned());
        assert_eq!(check(WEB, page), name("web"));
        assert_eq!(check(WEB, other), Err(Kind::OtherOrigin));
        assert_eq!(check(WEB, Some("null")), Err(Kind::OtherOrigin));
        assert_eq!(
            (check(WEB, None), check(APP, None), check(APP, other)),
            (name("web"), name("app"), name("app"))
        );
        assert_eq!(check(OLD, Some("https://old.example")), Err(Kind::RevokedKey));
        for unknown in [WriteKey::NONE, WriteKey([4; 16])] {
            assert_eq!(check(unknown, None), Err(Kind::UnknownKey));
        }
        assert_eq!(access.origins().collect::<Vec<_>>(), ["https://app.example"]);
        assert_eq!(Access::open().check_key(WriteKey::NONE, &HeaderMap::new()), Ok(""));
    }

    #[test]
    fn a_token_is_known_by_its_hash_and_never_shown() {
        let token = Token::draw(&mut SystemEntropy).unwrap();
        let [grant] = access(&token).grants().to_vec()[..] else { panic!("one token") };
        assert_eq!(grant.role, Role::Read);
        let hash = |value: &str| token_hash(&headers(header::AUTHORIZATION, value));
        assert_eq!(hash(&format!("Bearer {}", token.reveal())), grant.sha256);
        let other = Token::draw(&mut SystemEntropy).unwrap();
        for wrong in [other.reveal(), &token.reveal()[..47], &token.sha256(), ""] {
            assert_ne!(hash(&format!("Bearer {wrong}")), grant.sha256, "{wrong}");
        }
        assert_ne!(hash(token.reveal()), grant.sha256);
        assert_ne!(token_hash(&HeaderMap::new()), grant.sha256);
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn roles_cover_themselves_and_admin_all() {
        use Role::{Admin, Monitor, Read};
        let covered = |role: Role| [Read, Monitor, Admin].map(|needed| role.covers(needed));
        assert_eq!(covered(Read), [true, false, false]);
        assert_eq!(covered(Monitor), [false, true, false]);
        assert_eq!(covered(Admin), [true; 3]);
    }

    #[test]
    fn faults_are_named() {
        let key =
            |text: &str| Access::parse(&format!("[[key]]\nname = \"web\"\n{text}")).unwrap_err().to_string();
        for (text, said) in [
            (format!("key = \"{}\"", WriteKey::NONE), &["web", "zero"][..]),
            (format!("key = \"{WEB}\"\n[[key]]\nname = \"app\"\nkey = \"{WEB}\""), &["app", "another"]),
            (
                format!("key = \"{APP}\"\n[[key]]\nname = \"web\"\nkey = \"{WEB}\""),
                &["\"web\"", "one of its own"],
            ),
            (format!("key = \"{APP}\"\n[[key]]\nname = \"\"\nkey = \"{WEB}\""), &["empty"]),
            ("key = \"12\"".to_owned(), &["line 3", "32 hexadecimal"]),
            (format!("key = \"{WEB}\"\norigins = [\"app.example\"]"), &["line 4", "app.example", "https://"]),
            (format!("key = \"{WEB}\"\norigins = [\"https://app.example/\"]"), &["line 4"]),
            (format!("key = \"{WEB}\"\norigin = []"), &["line 4", "origin"]),
            (format!("key = \"{WEB}\"\n[[token]]\nname = \"me\"\nsha256 = \"ab\""), &["line 6", "64"]),
            (
                format!(
                    "key = \"{WEB}\"\n[[token]]\nname = \"me\"\nrole = \"root\"\nsha256 = \"{}\"",
                    "0".repeat(64)
                ),
                &["line 6", "root", "`read`, `monitor`, `admin`"],
            ),
        ] {
            let message = key(&text);
            assert!(said.iter().all(|part| message.contains(part)), "{text}: {message}");
        }
    }
}
