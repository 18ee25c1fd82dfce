//! TLS: one provider (ring) and whom to trust.

use std::path::PathBuf;

use reqwest::{Certificate, ClientBuilder};

/// Makes ring the process's TLS provider. Calling it again does nothing.
pub fn install_crypto() {
    // The error only says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Whose certificates count.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// The operating system's authorities.
    #[default]
    System,
    /// The operating system's, and those in this PEM text.
    SystemAnd(Vec<u8>),
    /// Those in this PEM text only. Empty text trusts nobody, which is right
    /// for a client that speaks plain HTTP on the loopback interface.
    Only(Vec<u8>),
}

/// An unusable file of certificates.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file could not be read.
    #[error("cannot read the CA certificates in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text holds no certificate.
    #[error("no PEM certificate among the CA certificates given")]
    Empty,
    /// A certificate in it is damaged, or the system's store is empty.
    #[error("unusable CA certificates")]
    Unusable(#[source] reqwest::Error),
}

impl Trust {
    /// The operating system's authorities and those in a PEM file.
    pub fn with_file(path: PathBuf) -> Result<Self, TrustError> {
        match std::fs::read(&path) {
            Ok(pem) => Ok(Self::SystemAnd(pem)),
            Err(source) => Err(TrustError::Read { path, source }),
        }
    }

    pub(super) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, TrustError> {
        Ok(match self {
            Self::System => builder,
            Self::SystemAnd(pem) => builder.tls_certs_merge(bundle(pem)?),
            Self::Only(pem) if pem.is_empty() => builder.tls_certs_only([]),
            Self::Only(pem) => builder.tls_certs_only(bundle(pem)?),
        })
    }
}

fn bundle(pem: &[u8]) -> Result<Vec<Certificate>, TrustError> {
    let certificates = Certificate::from_pem_bundle(pem).map_err(TrustError::Unusable)?;
    if certificates.is_empty() {
        return Err(TrustError::Empty);
    }
    Ok(certificates)
}
