//! TLS: the certificate and its key, from PEM files, which may be replaced while the collector serves.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

/// What a collector proves itself with.
#[derive(Clone)]
pub struct Tls {
    pub(super) acceptor: TlsAcceptor,
    identity: Arc<Identity>,
}

/// The certificate as it is now, and where it is read.
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl Tls {
    /// Reads a certificate, with those that it depends on, and its private key.
    ///
    /// # Errors
    /// A [`TlsError`] that names the file at fault.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(read(certificate, key)?));
        let identity =
            Arc::new(Identity { certificate: certificate.to_owned(), key: key.to_owned(), current });
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|source| TlsError::Unfit { certificate: certificate.to_owned(), source })?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&identity) as Arc<dyn ResolvesServerCert>);
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), identity })
    }

    /// Reads the files again, as certificates are renewed. Connections that have begun go on with what they have.
    ///
    /// # Errors
    /// As [`Tls::load`]; what was read before stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let Identity { certificate, key, current } = &*self.identity;
        let fresh = Arc::new(read(certificate, key)?);
        *current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Unreadable { path, source }
    };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(at(certificate))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(at(key))?;
    CertifiedKey::from_der(chain, private, &ring::default_provider())
        .map_err(|source| TlsError::Unfit { certificate: certificate.to_owned(), source })
}

/// A certificate or key that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {} as PEM: check the path, its permissions and that it holds what it should", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// Certificate and key do not make a server.
    #[error("the certificate {} cannot be used with its key", .certificate.display())]
    Unfit {
        /// The file of the certificate.
        certificate: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
}
