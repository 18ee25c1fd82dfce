//! The world's own certificate authority. It stands for the public ones that
//! a cloud's hosts have certificates of; clients trust `ca.pem` in the
//! world's folder.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio_rustls::TlsAcceptor;

use super::world::World;
use crate::files::{self, Access};

/// The table that keeps it; a reset of the world leaves it alone.
pub const TABLE: &str = "sandbox/authority";

/// What signs certificates of the world's servers.
#[derive(Debug)]
pub struct Authority {
    /// The certificate that clients trust.
    pub pem: String,
    /// Where it is on disk.
    pub file: PathBuf,
    key_pem: String,
}

impl Authority {
    /// The world's authority; made when there is none.
    pub fn open(world: &World) -> io::Result<Self> {
        let text = |key: &str| {
            let row = world.store.get(TABLE, key)?;
            row.value.as_str().map(str::to_owned)
        };
        let held = text("certificate").zip(text("key"));
        let (pem, key_pem) = if let Some(held) = held {
            held
        } else {
            let made = generate().map_err(io::Error::other)?;
            world.store.put(TABLE, "certificate", json!(made.0));
            world.store.put(TABLE, "key", json!(made.1));
            made
        };
        let file = world.dir.join("ca.pem");
        if std::fs::read_to_string(&file).ok().as_ref() != Some(&pem) {
            files::write_atomic(&file, pem.as_bytes(), Access::Shared)?;
        }
        Ok(Self { pem, file, key_pem })
    }

    /// What accepts TLS connections under these names and addresses.
    pub fn acceptor(&self, names: &[&str]) -> io::Result<TlsAcceptor> {
        let (chain, key) = self.issue(names).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(chain.as_bytes()).map_err(io::Error::other)?],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(io::Error::other)?,
            )
            .map_err(io::Error::other)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// A certificate and its key, as PEM.
    pub fn issue(&self, names: &[&str]) -> Result<(String, String), rcgen::Error> {
        // The same description and key make the same issuer.
        let issuer = Issuer::new(description()?, KeyPair::from_pem(&self.key_pem)?);
        let key = KeyPair::generate()?;
        let mut server = CertificateParams::default();
        for name in names {
            server.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*name).try_into()?),
            });
        }
        let subject = names.first().copied().unwrap_or("sandbox");
        server.distinguished_name.push(DnType::CommonName, subject);
        server.use_authority_key_identifier_extension = true;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = server.signed_by(&key, &issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

fn generate() -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let certificate = description()?.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn description() -> Result<CertificateParams, rcgen::Error> {
    let mut ca = CertificateParams::new(Vec::<String>::new())?;
    ca.distinguished_name
        .push(DnType::CommonName, "todoctl sandbox");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(ca)
}
