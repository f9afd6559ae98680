//! The server's certificate and key, and whom of the clients' certificates it trusts.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::config::{ClientCertificates, TlsSettings};

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is missing, or no PEM.
    #[error("{path}: {message}")]
    File {
        /// Which one.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("the certificate cannot be used: {0}")]
    Unusable(#[source] rustls::Error),
    /// The trusted certificates cannot be used.
    #[error("the certificates of clients cannot be checked: {0}")]
    Clients(String),
}

/// Which files these are and when they were changed last, as far as the system says.
type Stamps = Vec<Option<(u64, u64, SystemTime)>>;

/// What new connections are served with.
#[derive(Debug)]
pub(crate) struct Certificates {
    settings: TlsSettings,
    current: Mutex<(Arc<ServerConfig>, Stamps)>,
}

impl Certificates {
    /// Loads the files.
    pub(crate) fn load(settings: &TlsSettings) -> Result<Self, TlsError> {
        let stamps = stamps(settings);
        Ok(Self {
            settings: settings.clone(),
            current: Mutex::new((Arc::new(config(settings)?), stamps)),
        })
    }

    /// For a new connection.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Loads the files again.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let stamps = stamps(&self.settings);
        let loaded = config(&self.settings);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Files that are no good are not tried again before they change.
        current.1 = stamps;
        current.0 = Arc::new(loaded?);
        Ok(())
    }

    /// Whether one of the files changed since they were loaded.
    pub(crate) fn has_changed(&self) -> bool {
        let stamps = stamps(&self.settings);
        self.current.lock().unwrap_or_else(PoisonError::into_inner).1 != stamps
    }
}

fn stamps(settings: &TlsSettings) -> Stamps {
    files(settings)
        .map(|path| {
            let data = std::fs::metadata(path).ok()?;
            Some((data.ino(), data.len(), data.modified().ok()?))
        })
        .collect()
}

fn files(settings: &TlsSettings) -> impl Iterator<Item = &PathBuf> {
    [&settings.certificate, &settings.key]
        .into_iter()
        .chain(&settings.client_ca)
}

fn config(settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
    let chain = read_certificates(&settings.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|error| bad_file(&settings.key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?;
    let builder = match client_verifier(settings, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    builder.with_single_cert(chain, key).map_err(TlsError::Unusable)
}

fn client_verifier(
    settings: &TlsSettings,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(path) = &settings.client_ca else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Clients(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match settings.client_certificates {
        ClientCertificates::Optional => builder.allow_unauthenticated(),
        ClientCertificates::Required => builder,
    };
    let verifier = builder
        .build()
        .map_err(|error| TlsError::Clients(error.to_string()))?;
    Ok(Some(verifier))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| bad_file(path, &error))?;
    if certificates.is_empty() {
        return Err(bad_file(path, "no certificate in it"));
    }
    Ok(certificates)
}

fn bad_file(path: &Path, message: &(impl ToString + ?Sized)) -> TlsError {
    TlsError::File {
        path: path.display().to_string(),
        message: message.to_string(),
    }
}

#[cfg(test)]
mod tests;
