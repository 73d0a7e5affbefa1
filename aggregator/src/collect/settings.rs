//! What an operator can set about the collector.

use std::time::Duration;

use super::access::Origin;
use super::clock::{DEFAULT_OPEN_DAYS, Window};
use super::rates::Rates;
use super::tls::Tls;

/// How a collector behaves. The defaults suit a small machine on the open internet.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The epochs that take reports.
    pub window: Window,
    /// The bounds on what strangers may hold.
    pub limits: Limits,
    /// How often who may send and read.
    pub rates: Rates,
    /// The pages that may read answers, beside those of the write keys.
    pub origins: Origins,
    /// TLS; without it, a proxy has to give it.
    pub tls: Option<Tls>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Window::new(DEFAULT_OPEN_DAYS),
            limits: Limits::default(),
            rates: Rates::default(),
            origins: Origins::Listed(Vec::new()),
            tls: None,
        }
    }
}

/// Bounds on what strangers may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more wait to be taken. A connection takes about 10 kB.
    pub connections: usize,
    /// Bytes of bodies that arrive or wait for their commit; more are refused until later.
    pub memory_bytes: usize,
    /// For the head of a request to arrive, and for a connection without request to be kept.
    pub head_timeout: Duration,
    /// For the body of a request to arrive.
    pub body_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            memory_bytes: 64 << 20,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
        }
    }
}

/// Pages, by origin: scheme, host and port.
#[derive(Clone, Debug)]
pub enum Origins {
    /// These.
    Listed(Vec<Origin>),
    /// All.
    Any,
}
