//! Request signatures: draft-cavage-http-signatures-08 with `rsa-sha256`, in
//! the form Oracle calls version 1.
//!
//! The string to sign is built by a pure function; [`Signer`] adds the key. A
//! request is signed right before each attempt, because its date must be fresh
//! while its retry token stays.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use reqwest::{Request, Url};

use super::Key;
use crate::clock::Clock;
use crate::net::Prepare;
use crate::secret::Secret;

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-content-sha256");

/// Who signs.
#[derive(Debug, Clone)]
pub enum Identity {
    /// A user's API key.
    ApiKey {
        /// The tenancy's OCID.
        tenancy: String,
        /// The user's OCID.
        user: String,
    },
    /// A session token; the key is the session's.
    SessionToken(Secret),
}

/// A private key and whose it is.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Whose.
    pub identity: Identity,
    /// The key.
    pub key: Arc<Key>,
}

/// Signs requests.
#[derive(Debug, Clone)]
pub struct Signer {
    // With a session token in it, the key id is as good as a password.
    key_id: Secret,
    key: Arc<Key>,
}

/// The key refused to sign.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the private key cannot sign")]
pub struct CannotSign;

impl Signer {
    /// A signer with the credentials.
    pub fn new(credentials: &Credentials) -> Self {
        let key_id = match &credentials.identity {
            Identity::ApiKey { tenancy, user } => {
                format!("{tenancy}/{user}/{}", credentials.key.fingerprint())
            }
            Identity::SessionToken(token) => format!("ST${}", token.expose().trim()),
        };
        Self {
            key_id: Secret::new(key_id),
            key: Arc::clone(&credentials.key),
        }
    }

    /// The `authorization` value for a message.
    pub(super) fn authorize(&self, message: &Message<'_>) -> Result<Secret, CannotSign> {
        let signature = self.key.sign(message.signing_string().as_bytes())?;
        Ok(Secret::new(format!(
            "Signature algorithm=\"rsa-sha256\",headers=\"{}\",keyId=\"{}\",signature=\"{}\",version=\"1\"",
            message.header_names(),
            self.key_id.expose(),
            STANDARD.encode(signature),
        )))
    }
}

/// What is signed of a request.
#[derive(Debug, Clone)]
pub(super) struct Message<'a> {
    pub(super) method: &'a Method,
    /// Path and query exactly as sent.
    pub(super) target: String,
    pub(super) host: String,
    pub(super) date: String,
    pub(super) body: Option<Digest>,
}

/// What is signed of a body.
#[derive(Debug, Clone)]
pub(super) struct Digest {
    pub(super) length: usize,
    pub(super) content_type: String,
    pub(super) sha256: String,
}

impl Digest {
    pub(super) fn of(body: &[u8], content_type: &str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, body);
        Self {
            length: body.len(),
            content_type: content_type.to_owned(),
            sha256: STANDARD.encode(digest),
        }
    }
}

impl Message<'_> {
    fn header_names(&self) -> &'static str {
        match self.body {
            None => "date (request-target) host",
            Some(_) => "date (request-target) host content-length content-type x-content-sha256",
        }
    }

    /// One `name: value` line per signed header, without a newline at the end.
    fn signing_string(&self) -> String {
        let method = self.method.as_str().to_ascii_lowercase();
        let head = format!(
            "date: {}\n(request-target): {method} {}\nhost: {}",
            self.date, self.target, self.host
        );
        match &self.body {
            None => head,
            Some(body) => format!(
                "{head}\ncontent-length: {}\ncontent-type: {}\nx-content-sha256: {}",
                body.length, body.content_type, body.sha256
            ),
        }
    }
}

/// A date as HTTP wants it: `Tue, 03 Feb 2026 04:05:06 GMT`.
pub(super) fn http_date(now: Timestamp) -> String {
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The value of a `host` header: the port only when it is not the usual one.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn target_of(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// The layer that signs each attempt.
pub(super) struct Signing {
    pub(super) signer: Signer,
    pub(super) clock: Clock,
}

impl Prepare for Signing {
    fn prepare(
        &self,
        request: &mut Request,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let has_body = matches!(
            *request.method(),
            Method::POST | Method::PUT | Method::PATCH
        );
        let bytes = request.body().and_then(reqwest::Body::as_bytes);
        let message = Message {
            method: request.method(),
            target: target_of(request.url()),
            host: host_of(request.url()),
            date: http_date(self.clock.now()),
            body: has_body.then(|| Digest::of(bytes.unwrap_or_default(), "application/json")),
        };
        let mut authorization = HeaderValue::from_str(self.signer.authorize(&message)?.expose())?;
        authorization.set_sensitive(true);
        let (date, host, body) = (message.date, message.host, message.body);
        let headers = request.headers_mut();
        headers.insert(header::DATE, HeaderValue::from_str(&date)?);
        headers.insert(header::HOST, HeaderValue::from_str(&host)?);
        headers.insert(header::AUTHORIZATION, authorization);
        if let Some(body) = body {
            headers.insert(header::CONTENT_LENGTH, body.length.into());
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_str(&body.content_type)?,
            );
            headers.insert(CONTENT_SHA256, HeaderValue::from_str(&body.sha256)?);
        }
        Ok(())
    }
}
