//! What a program decides when it opens its client.

use std::path::PathBuf;
use std::prelude::v1::*;

use super::clock::Clock;
use super::http::Limits;
use crate::WriteKey;
use crate::client::{self, Consent};

/// Where a client keeps its state, whom it reports to, and what it asks.
///
/// ```no_run
/// use deniable::client::Consent;
/// use deniable::native::{Catalog, NativeClient, Options};
///
/// # let folder = std::path::PathBuf::new();
/// let options = Options::new(folder, "https://reports.example", Catalog::Fetched)
///     .key("7f0c6d7b52ab9a5c0e1a4d1f3b2c9e88".parse()?)
///     .consent(Consent::Given);
/// let client = NativeClient::open(options)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) folder: PathBuf,
    pub(super) endpoint: String,
    pub(super) catalog: Catalog,
    pub(super) client: client::Options,
    pub(super) roots: Option<Vec<u8>>,
    pub(super) plain_http: bool,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
}

/// Where the questions come from.
#[derive(Clone, Debug)]
pub enum Catalog {
    /// The program brings the catalog, in the bytes of [`Registry::catalog`](crate::registry::Registry::catalog), and asks
    /// nothing else.
    BuiltIn(Vec<u8>),
    /// The collector gives the catalog. The last one is kept; only a program that has none yet waits for it when it opens.
    ///
    /// # Privacy
    /// The catalog also sets the caps and the public tags, so who runs the collector decides what is asked, what it may cost and what
    /// is shown, within [`Options::limits`](client::Options::limits). A collector could also give each device a catalog of its own,
    /// whose hash its reports then carry. A catalog that is built in leaves it neither.
    Fetched,
    /// The program brings a catalog, and the collector's takes its place when it comes.
    ///
    /// # Privacy
    /// As of [`Catalog::Fetched`].
    BuiltInThenFetched(Vec<u8>),
}

impl Catalog {
    pub(super) fn is_fetched(&self) -> bool {
        !matches!(self, Self::BuiltIn(_))
    }

    pub(super) fn built_in(&self) -> Option<&[u8]> {
        match self {
            Self::BuiltIn(bytes) | Self::BuiltInThenFetched(bytes) => Some(bytes),
            Self::Fetched => None,
        }
    }
}

impl Options {
    /// A client with its state in `folder`, which it makes and has for itself, that reports to the collector at
    /// `endpoint`.
    pub fn new(folder: impl Into<PathBuf>, endpoint: impl Into<String>, catalog: Catalog) -> Self {
        Self {
            folder: folder.into(),
            endpoint: endpoint.into(),
            catalog,
            client: client::Options::default(),
            roots: None,
            plain_http: false,
            clock: Clock::SYSTEM,
            limits: Limits::default(),
        }
    }

    /// Reports under the key of the collector's project.
    #[must_use]
    pub fn key(mut self, key: WriteKey) -> Self {
        self.client.key = key;
        self
    }

    /// Sets whether the person has agreed, for as long as neither [`opt_in`](super::NativeClient::opt_in) nor
    /// [`opt_out`](super::NativeClient::opt_out) was called.
    #[must_use]
    pub fn consent(mut self, consent: Consent) -> Self {
        self.client.consent = consent;
        self
    }

    /// Sets delays and bounds, and key and consent too.
    #[must_use]
    pub fn client(mut self, options: client::Options) -> Self {
        self.client = options;
        self
    }

    /// Trusts the collectors of these authorities, given as PEM, in place of those that browsers trust.
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = Some(pem.into());
        self
    }

    /// Allows an endpoint that begins with `http://` beyond this machine, for a network of one's own.
    ///
    /// # Privacy
    /// Whoever listens there reads the randomized reports as the collector does, and the write key.
    #[must_use]
    pub fn plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }
}
