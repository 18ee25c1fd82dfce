//! Where charts come from: HTTP repositories with an `index.yaml`, and OCI
//! registries. Everything fetched is checked against a digest and kept in a
//! content-addressed cache.
//!
//! The network is reached through [`Fetch`] alone, which [`http`] implements;
//! what a server sends is untrusted and bounded in size. A [`Pin`] (where,
//! name, version, digest) names one archive for ever: with it in the cache no
//! network is used at all.

pub mod cache;
pub mod http;
pub mod index;
pub mod load;
pub mod oci;
pub mod reference;

use std::fmt::{self, Write as _};
use std::io;
use std::sync::Arc;

use ::http::{HeaderMap, HeaderName, HeaderValue};
use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use url::Url;

use self::cache::Cache;
use self::index::{Index, IndexError};
use self::oci::OciError;
use crate::secret::Secret;

/// The largest packed chart that is fetched.
const MAX_CHART: u64 = 64 * 1024 * 1024;

/// The largest index that is fetched.
const MAX_INDEX: u64 = 128 * 1024 * 1024;

/// One GET.
#[derive(Debug, Clone)]
pub struct Request {
    /// What to get.
    pub url: Url,
    /// Headers, authorization included.
    pub headers: HeaderMap,
    /// A longer body is an error.
    pub limit: u64,
}

/// What came back, whatever its status.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// The only way to the network. Redirects are followed, and authorization does
/// not follow to another host.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// Gets one resource.
    async fn get(&self, request: Request) -> Result<Response, FetchError>;
}

/// No answer, or too much of one.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server cannot be reached or broke off.
    #[error("cannot reach {url}")]
    Unreachable {
        /// What was asked for.
        url: Box<Url>,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The body is longer than allowed.
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: Box<Url>,
        /// The limit.
        limit: u64,
    },
}

/// Why a chart cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// An address cannot be read.
    #[error("{0:?} is not the address of a chart repository")]
    Address(String),
    /// The network failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The network failed, or may not be used, and the cache does not help.
    #[error("{chart} is not in the cache and {repository} is out of reach; {cached}")]
    Offline {
        /// The chart asked for.
        chart: String,
        /// Where it comes from.
        repository: String,
        /// What the cache has of it.
        cached: Cached,
        /// Why the network is no help; `None` when it may not be used.
        source: Option<FetchError>,
    },
    /// The server answered with a failure.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked for.
        url: Box<Url>,
        /// The HTTP status.
        status: u16,
    },
    /// The index is no index, or has not what is wanted.
    #[error("{repository}: {source}")]
    Index {
        /// Which.
        repository: String,
        /// Why.
        source: IndexError,
    },
    /// The registry's answer is of no use.
    #[error("{reference}: {source}")]
    Oci {
        /// Which.
        reference: String,
        /// Why.
        source: OciError,
    },
    /// What came is not what was announced.
    #[error("{what} has digest {got} instead of {expected}")]
    Digest {
        /// What was fetched.
        what: String,
        /// What it should be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// What came is not what was pinned.
    #[error(
        "{what} has digest {got} and is pinned to {pinned}; if the new content is meant, \
         pin it with `digest: {got}`"
    )]
    Pinned {
        /// What was fetched or read.
        what: String,
        /// What the user wants it to be.
        pinned: String,
        /// What it is.
        got: String,
    },
    /// The cache cannot be used.
    #[error("cannot use the chart cache")]
    Cache(#[from] io::Error),
}

/// The versions of a chart that the cache has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cached(pub Vec<String>);

impl fmt::Display for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("no version of it is cached")
        } else {
            write!(f, "cached versions of it: {}", self.0.join(", "))
        }
    }
}

/// One archive, named for ever.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pin {
    /// The repository: an `https://` address, or `oci://` and all but the last
    /// part of a chart's path.
    pub repository: String,
    /// The chart's name.
    pub name: String,
    /// Its exact version.
    pub version: String,
    /// The digest of the packed chart, `sha256:` and 64 hex digits.
    pub digest: String,
}

/// What is wanted from a repository.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// As in [`Pin`].
    pub repository: String,
    /// The chart's name.
    pub name: String,
    /// A version or a range; empty is the newest that is no prerelease.
    pub version: String,
    /// The digest that it must have.
    pub digest: Option<String>,
}

/// Who we are to a repository.
#[derive(Clone)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The password or token.
    pub password: Secret,
}

impl Credentials {
    pub(crate) fn basic(&self) -> Option<HeaderValue> {
        let pair = format!("{}:{}", self.username, self.password.expose());
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// A packed chart and its name for ever.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// Which one it is.
    pub pin: Pin,
    /// The archive.
    pub packed: Bytes,
}

/// Gets charts.
pub struct Puller {
    fetch: Arc<dyn Fetch>,
    cache: Cache,
    offline: bool,
    credentials: Option<Credentials>,
    plain_http: bool,
}

impl Puller {
    /// A puller that uses the network and keeps what it gets in `cache`.
    pub fn new(fetch: Arc<dyn Fetch>, cache: Cache) -> Self {
        Self {
            fetch,
            cache,
            offline: false,
            credentials: None,
            plain_http: false,
        }
    }

    /// Never uses the network.
    #[must_use]
    pub fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Says who we are, to the repository's own host alone.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Talks to OCI registries without TLS: for registries on this machine.
    #[must_use]
    pub fn with_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Gets a chart, from the cache when its digest is known and there.
    pub async fn pull(&self, wanted: &Wanted) -> Result<Pulled, RepoError> {
        if let Some(pulled) = self.pinned(wanted)? {
            return Ok(pulled);
        }
        if self.offline {
            return self.pull_cached(wanted, None);
        }
        let found = if wanted.repository.starts_with("oci://") {
            self.pull_registry(wanted).await
        } else {
            self.pull_http(wanted).await
        };
        let pulled = match found {
            Err(RepoError::Fetch(source @ FetchError::Unreachable { .. })) => {
                return self.pull_cached(wanted, Some(source));
            }
            other => other?,
        };
        if let Some(pinned) = &wanted.digest {
            let what = format!("{} {}", wanted.name, pulled.pin.version);
            as_pinned(&what, pinned, &pulled.pin.digest)?;
        }
        self.cache.store(&pulled.pin, &pulled.packed)?;
        Ok(pulled)
    }

    fn pinned(&self, wanted: &Wanted) -> Result<Option<Pulled>, RepoError> {
        let Some(digest) = &wanted.digest else {
            return Ok(None);
        };
        let digest = full_digest(digest);
        let Some(packed) = self.cache.read(&digest)? else {
            return Ok(None);
        };
        let pin = Pin {
            repository: wanted.repository.clone(),
            name: wanted.name.clone(),
            version: wanted.version.clone(),
            digest,
        };
        Ok(Some(Pulled { pin, packed }))
    }

    /// The best cached version, or an error that tells what is cached.
    fn pull_cached(
        &self,
        wanted: &Wanted,
        source: Option<FetchError>,
    ) -> Result<Pulled, RepoError> {
        let versions = self.cache.versions(&wanted.repository, &wanted.name)?;
        let names = versions.iter().map(|pin| pin.version.as_str());
        let chosen = index::choose(names, &wanted.version).and_then(|version| {
            let mut fitting = versions.iter().filter(|pin| pin.version == version);
            fitting.find(|pin| {
                let digest = wanted.digest.as_deref().map(full_digest);
                digest.is_none_or(|digest| digest == pin.digest)
            })
        });
        if let Some(pin) = chosen
            && let Some(packed) = self.cache.read(&pin.digest)?
        {
            return Ok(Pulled {
                pin: pin.clone(),
                packed,
            });
        }
        Err(RepoError::Offline {
            chart: format!("{} {}", wanted.name, wanted.version)
                .trim_end()
                .to_owned(),
            repository: wanted.repository.clone(),
            cached: Cached(versions.into_iter().map(|pin| pin.version).collect()),
            source,
        })
    }

    async fn pull_http(&self, wanted: &Wanted) -> Result<Pulled, RepoError> {
        let address = || RepoError::Address(wanted.repository.clone());
        let base = Url::parse(&wanted.repository).map_err(|_| address())?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(address());
        }
        let index_url = index::url(&base);
        let text = self.ok(index_url, &base, MAX_INDEX).await?;
        let in_index = |source| RepoError::Index {
            repository: wanted.repository.clone(),
            source,
        };
        let entry = Index::new(&text)
            .find(&wanted.name, &wanted.version)
            .map_err(in_index)?;
        let announced = entry.digest.as_deref().map(full_digest);
        let cached = match &announced {
            Some(digest) => self.cache.read(digest)?,
            None => None,
        };
        let packed = if let Some(packed) = cached {
            packed
        } else {
            let url = entry.url(&base).map_err(in_index)?;
            let packed = self.ok(url.clone(), &base, MAX_CHART).await?;
            if let Some(expected) = &announced {
                same_digest(url.as_str(), expected, &digest_of(&packed))?;
            }
            packed
        };
        let pin = Pin {
            repository: wanted.repository.clone(),
            name: wanted.name.clone(),
            version: entry.version,
            digest: digest_of(&packed),
        };
        Ok(Pulled { pin, packed })
    }

    async fn pull_registry(&self, wanted: &Wanted) -> Result<Pulled, RepoError> {
        let reference = format!(
            "{}/{}",
            wanted.repository.trim_end_matches('/'),
            wanted.name
        );
        let registry = oci::Registry::new(
            &reference,
            self.fetch.as_ref(),
            self.credentials.as_ref(),
            self.plain_http,
        )?;
        let (version, layer) = registry.resolve(&wanted.version).await?;
        let packed = match self.cache.read(&layer.digest)? {
            Some(packed) => packed,
            None => registry.blob(&layer).await?,
        };
        let pin = Pin {
            repository: wanted.repository.trim_end_matches('/').to_owned(),
            name: wanted.name.clone(),
            version,
            digest: layer.digest,
        };
        Ok(Pulled { pin, packed })
    }

    /// The body of a successful answer. Credentials go to `home`'s own scheme,
    /// host and port only.
    async fn ok(&self, url: Url, home: &Url, limit: u64) -> Result<Bytes, RepoError> {
        let mut headers = HeaderMap::new();
        if url.origin() == home.origin()
            && let Some(value) = self.credentials.as_ref().and_then(Credentials::basic)
        {
            headers.insert(::http::header::AUTHORIZATION, value);
        }
        let request = Request {
            url: url.clone(),
            headers,
            limit,
        };
        let response = self.fetch.get(request).await?;
        if response.status == 200 {
            Ok(response.body)
        } else {
            Err(RepoError::Status {
                url: Box::new(url),
                status: response.status,
            })
        }
    }
}

impl fmt::Debug for Puller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Puller")
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// The SHA-256 of some bytes, with its prefix.
pub fn digest_of(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut text = String::from("sha256:");
    for byte in digest.as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A digest with its prefix, which indexes leave out.
fn full_digest(digest: &str) -> String {
    let digest = digest.trim().to_ascii_lowercase();
    if digest.starts_with("sha256:") {
        digest
    } else {
        format!("sha256:{digest}")
    }
}

pub(crate) fn same_digest(what: &str, expected: &str, got: &str) -> Result<(), RepoError> {
    let expected = full_digest(expected);
    if expected == got {
        return Ok(());
    }
    Err(RepoError::Digest {
        what: what.to_owned(),
        expected,
        got: got.to_owned(),
    })
}

/// Refuses what the user did not pin.
fn as_pinned(what: &str, pinned: &str, got: &str) -> Result<(), RepoError> {
    let pinned = full_digest(pinned);
    if pinned == got {
        return Ok(());
    }
    Err(RepoError::Pinned {
        what: what.to_owned(),
        pinned,
        got: got.to_owned(),
    })
}

pub(crate) fn header(name: HeaderName, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(mut value) = HeaderValue::from_str(value) {
        value.set_sensitive(name == ::http::header::AUTHORIZATION);
        headers.insert(name, value);
    }
    headers
}

#[cfg(test)]
mod tests;
