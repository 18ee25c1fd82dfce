//! TLS: one provider (ring) and whom to trust.

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::{Certificate, ClientBuilder};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

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
    /// The same, said by the TLS library itself.
    #[error("unusable CA certificates")]
    Refused(#[source] rustls::Error),
}

impl Trust {
    /// The operating system's authorities and those in a PEM file.
    pub fn with_file(path: PathBuf) -> Result<Self, TrustError> {
        match std::fs::read(&path) {
            Ok(pem) => Ok(Self::SystemAnd(pem)),
            Err(source) => Err(TrustError::Read { path, source }),
        }
    }

    /// The configuration of a TLS client that trusts these, for protocols
    /// other than HTTP.
    pub fn client_config(&self) -> Result<ClientConfig, TrustError> {
        install_crypto();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Refused)?;
        let extra = match self {
            Self::Only(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem)? {
                    roots.add(certificate).map_err(TrustError::Refused)?;
                }
                return Ok(builder.with_root_certificates(roots).with_no_client_auth());
            }
            Self::SystemAnd(pem) => certificates(pem)?,
            Self::System => Vec::new(),
        };
        let verifier =
            Verifier::new_with_extra_roots(extra, provider).map_err(TrustError::Refused)?;
        Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth())
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

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(TrustError::Empty),
    }
}
