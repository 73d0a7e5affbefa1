//! Batches to a collector, and its catalog back, over HTTP.
//!
//! Each call has a connection of its own, so that neither a kept one nor a resumed TLS session tells the collector that two
//! batches come from one program. Redirects are not followed: a batch goes where the program said, or nowhere. Certificates
//! are checked against Mozilla's roots, which the program carries (webpki-roots), so that the answer is the same on every
//! machine; a collector under an authority of one's own is trusted by
//! [`Options::root_certificates`](super::Options::root_certificates). Bodies are not packed: coins do not shrink. The proxies of
//! the environment (`HTTPS_PROXY`, `NO_PROXY`) are used.

use std::format;
use std::io;
use std::prelude::v1::*;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use ureq::http::header::{ETAG, IF_NONE_MATCH, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderName, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::WriteKey;

/// The media type of a catalog as clients read it.
const CATALOG_TYPE: &str = "application/vnd.deniable.catalog";

/// What bounds a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From the name's look-up to the connection.
    pub(super) connect: Duration,
    /// The whole call, to the last byte of the answer.
    pub(super) whole: Duration,
    /// The answer to a batch. A collector's takes a few hundred bytes.
    pub(super) answer_bytes: u64,
    /// A catalog.
    pub(super) catalog_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            whole: Duration::from_secs(60),
            answer_bytes: 64 << 10,
            catalog_bytes: 4 << 20,
        }
    }
}

/// What came of sending a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Somebody answered; whether it is a collector shows from the answer.
    Answered {
        /// The HTTP status.
        status: u16,
        /// How long the other side asks to be left alone, in its words.
        retry_after: Option<String>,
        /// The body; empty if it is longer than an answer can be.
        body: Vec<u8>,
    },
    /// There is no answer.
    Failed(NetworkFault),
}

/// What came of asking for the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fetched {
    /// A body that may be a catalog, and its tag.
    Catalog {
        /// The tag by which the collector knows it; empty if it gave none.
        tag: String,
        /// The body.
        body: Vec<u8>,
    },
    /// It is the one that was had before.
    Same,
    /// Something else was answered.
    Refused(u16),
    /// There is no answer.
    Failed(NetworkFault),
}

/// Why there is no answer. What was sent may have arrived all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NetworkFault {
    /// The name of the collector has no address.
    #[error("the collector's name has no address; check the endpoint and the network")]
    Unresolved,
    /// No connection, or one that broke.
    #[error("the collector cannot be reached; check the endpoint, the network and the collector")]
    Unreachable,
    /// The bound of time has passed.
    #[error("the collector did not answer in time")]
    TimedOut,
    /// The other side could not show that it is the collector.
    #[error(
        "the collector's certificate is not trusted or is for another name; check the endpoint and the certificate"
    )]
    Certificate,
    /// What came back is no HTTP.
    #[error("the endpoint does not speak HTTP; check its address and port")]
    NotHttp,
}

/// Where a collector is.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    base: String,
}

impl Endpoint {
    /// Reads the address of a collector.
    pub(super) fn parse(text: &str, plain_http: bool) -> Result<Self, EndpointError> {
        let wrong = || EndpointError::NoUrl { endpoint: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let clear = match uri.scheme_str() {
            Some("https") => false,
            Some("http") => true,
            _ => return Err(wrong()),
        };
        if uri.query().is_some() || uri.authority().is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(wrong());
        }
        if clear && !plain_http && !is_loopback(host) {
            return Err(EndpointError::PlainHttp { endpoint: text.to_owned() });
        }
        Ok(Self { base: text.trim_end_matches('/').to_owned() })
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|address: core::net::IpAddr| address.is_loopback())
}

/// Calls to one collector.
#[derive(Clone, Debug)]
pub(super) struct Http {
    endpoint: Endpoint,
    key: Option<WriteKey>,
    roots: Option<Arc<Vec<Certificate<'static>>>>,
    limits: Limits,
}

impl Http {
    /// Calls that trust Mozilla's roots, or those of `roots` alone. The key says whose catalog is asked for.
    pub(super) fn new(
        endpoint: Endpoint,
        key: Option<WriteKey>,
        roots: Option<Vec<Certificate<'static>>>,
        limits: Limits,
    ) -> Self {
        Self { endpoint, key, roots: roots.map(Arc::new), limits }
    }

    /// Sends a batch.
    pub(super) fn send(&self, body: &[u8], content_type: &str) -> Sent {
        let request = self.agent().post(self.endpoint.at("/v1/reports")).content_type(content_type);
        let answer = request.send(body).and_then(|response| {
            let (head, body) = response.into_parts();
            let retry_after = text(&head.headers, &RETRY_AFTER).map(str::to_owned);
            let body = read(body, self.limits.answer_bytes)?.unwrap_or_default();
            Ok(Sent::Answered { status: head.status.as_u16(), retry_after, body })
        });
        answer.unwrap_or_else(|error| Sent::Failed(NetworkFault::of(&error)))
    }

    /// Asks for the catalog, unless it is still the one of this tag.
    pub(super) fn catalog(&self, tag: &str) -> Fetched {
        let project = self.key.map_or_else(String::new, |key| format!("?key={key}"));
        let url = self.endpoint.at("/v1/catalog") + &project;
        let mut request = self.agent().get(url).header("accept", CATALOG_TYPE);
        if !tag.is_empty() {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let answer = request.call().and_then(|response| {
            let (head, body) = response.into_parts();
            let status = head.status.as_u16();
            match status {
                200 => Ok(match read(body, self.limits.catalog_bytes)? {
                    Some(body) => Fetched::Catalog {
                        tag: text(&head.headers, &ETAG).unwrap_or_default().to_owned(),
                        body,
                    },
                    None => Fetched::Refused(status),
                }),
                304 => Ok(Fetched::Same),
                _ => Ok(Fetched::Refused(status)),
            }
        });
        answer.unwrap_or_else(|error| Fetched::Failed(NetworkFault::of(&error)))
    }

    fn agent(&self) -> Agent {
        let roots = self.roots.clone().map_or(RootCerts::WebPki, RootCerts::Specific);
        Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .timeout_connect(Some(self.limits.connect))
            .timeout_global(Some(self.limits.whole))
            .user_agent("deniable")
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build()
            .new_agent()
    }
}

/// The whole body, or None if it is over the limit.
fn read(mut body: Body, limit: u64) -> Result<Option<Vec<u8>>, ureq::Error> {
    match body.with_config().limit(limit).read_to_vec() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ureq::Error::BodyExceedsLimit(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl NetworkFault {
    fn of(error: &ureq::Error) -> Self {
        match error {
            ureq::Error::HostNotFound => Self::Unresolved,
            ureq::Error::Timeout(_) => Self::TimedOut,
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) => Self::Certificate,
            ureq::Error::Protocol(_) | ureq::Error::Http(_) | ureq::Error::LargeResponseHeader(..) => {
                Self::NotHttp
            }
            ureq::Error::Io(error) => match error.kind() {
                io::ErrorKind::TimedOut => Self::TimedOut,
                // The handshake fails so.
                io::ErrorKind::InvalidData => Self::Certificate,
                _ => Self::Unreachable,
            },
            _ => Self::Unreachable,
        }
    }
}

/// Reads certificates in the PEM form.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, EndpointError> {
    let wrong = |reason: String| EndpointError::Certificates { reason };
    let items = ureq::tls::parse_pem(pem).map(|item| item.map_err(|error| wrong(error.to_string())));
    let mut certificates = Vec::new();
    for item in items {
        if let ureq::tls::PemItem::Certificate(certificate) = item? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(wrong("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// An address or certificates that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The text is no address of a collector.
    #[error(
        "{endpoint:?} is no endpoint: it has a scheme, a host and perhaps a port and a path, as in https://reports.example"
    )]
    NoUrl {
        /// The text.
        endpoint: String,
    },
    /// Reports would travel in the clear over a network.
    #[error(
        "{endpoint} would send in the clear: use https, or say Options::plain_http where the network is your own"
    )]
    PlainHttp {
        /// The text.
        endpoint: String,
    },
    /// The text holds no certificates.
    #[error("the root certificates cannot be used, as PEM is expected: {reason}")]
    Certificates {
        /// What is wrong.
        reason: String,
    },
}

#[cfg(test)]
pub(super) mod tests;
