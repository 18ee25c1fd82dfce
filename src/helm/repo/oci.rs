//! Charts in OCI registries, by the distribution specification 1.1 and the
//! token authentication of the Docker registry.
//!
//! A chart is a manifest whose layer of helm's media type is the archive; its
//! tag is the version with `_` for `+`. Manifests and layers are checked
//! against their digests.

use std::sync::Mutex;

use ::http::header::{ACCEPT, AUTHORIZATION, LINK, WWW_AUTHENTICATE};
use ::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use serde::Deserialize;
use url::Url;

use super::index::choose;
use super::{
    Credentials, Fetch, MAX_CHART, RepoError, Request, Response, digest_of, header, same_digest,
};

const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";
const CHART_LAYERS: [&str; 2] = [
    "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    "application/tar+gzip",
];
/// Manifests, tag lists and tokens are small.
const MAX_DOCUMENT: u64 = 4 * 1024 * 1024;
/// Registries answer in pages.
const MAX_PAGES: usize = 100;

/// Why a registry's answer is of no use.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// No tag fits the range.
    #[error("no tag satisfies {0:?}")]
    NoTag(String),
    /// The answer is not what the specification says.
    #[error("the registry's {what} is not readable")]
    Unreadable {
        /// Which document.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The manifest is not a chart's.
    #[error("the manifest has no chart layer")]
    NoChartLayer,
    /// The registry wants to know who asks, and nothing we have helps.
    #[error("the registry denies access")]
    Denied,
    /// The registry does not know the chart.
    #[error("the registry does not have it")]
    NotFound,
    /// Any other failure.
    #[error("the registry answered {0}")]
    Status(u16),
}

/// The part of a manifest that is the chart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Layer {
    #[serde(rename = "mediaType")]
    media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its size.
    pub size: u64,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

/// One chart's repository in a registry.
pub struct Registry<'a> {
    reference: String,
    base: Url,
    path: String,
    fetch: &'a dyn Fetch,
    credentials: Option<&'a Credentials>,
    /// What the registry accepted last.
    authorization: Mutex<Option<HeaderValue>>,
}

impl<'a> Registry<'a> {
    /// Takes `oci://HOST/PATH`.
    pub fn new(
        reference: &str,
        fetch: &'a dyn Fetch,
        credentials: Option<&'a Credentials>,
        plain_http: bool,
    ) -> Result<Self, RepoError> {
        let address = || RepoError::Address(reference.to_owned());
        let rest = reference.strip_prefix("oci://").ok_or_else(address)?;
        let (host, path) = rest.split_once('/').ok_or_else(address)?;
        let well_formed = path.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'))
        });
        if !well_formed {
            return Err(address());
        }
        let scheme = if plain_http { "http" } else { "https" };
        Ok(Self {
            reference: reference.to_owned(),
            base: Url::parse(&format!("{scheme}://{host}/v2/")).map_err(|_| address())?,
            path: path.to_owned(),
            fetch,
            credentials,
            authorization: Mutex::new(None),
        })
    }

    /// The version that a range picks, and its chart layer. A range that is
    /// `@` and a manifest's digest picks that manifest.
    pub async fn resolve(&self, range: &str) -> Result<(String, Layer), RepoError> {
        let digest = range.strip_prefix('@').map(str::to_owned);
        let version = match digest {
            Some(_) => None,
            None => Some(self.version(range).await?),
        };
        let tag = match (&digest, &version) {
            (Some(digest), _) => digest.clone(),
            (None, version) => version.as_deref().unwrap_or_default().replace('+', "_"),
        };
        let url = self.url(&format!("manifests/{tag}"))?;
        let response = self
            .get(&url, &header(ACCEPT, MANIFEST_TYPES), MAX_DOCUMENT)
            .await?;
        let announced = response.headers.get("docker-content-digest");
        let announced = announced.and_then(|value| value.to_str().ok());
        if let Some(expected) = digest.as_deref().or(announced)
            && expected.starts_with("sha256:")
        {
            same_digest(url.as_str(), expected, &digest_of(&response.body))?;
        }
        let manifest: Manifest = self.json("manifest", &response.body)?;
        let written = manifest.annotations.get("org.opencontainers.image.version");
        let version = version.or_else(|| written.cloned()).unwrap_or(tag);
        let layer = manifest
            .layers
            .into_iter()
            .find(|layer| CHART_LAYERS.contains(&layer.media_type.as_str()));
        layer
            .map(|layer| (version, layer))
            .ok_or_else(|| self.error(OciError::NoChartLayer))
    }

    /// The archive, checked against its digest.
    pub async fn blob(&self, layer: &Layer) -> Result<Bytes, RepoError> {
        let url = self.url(&format!("blobs/{}", layer.digest))?;
        let limit = layer.size.min(MAX_CHART);
        let response = self.get(&url, &HeaderMap::new(), limit).await?;
        same_digest(url.as_str(), &layer.digest, &digest_of(&response.body))?;
        Ok(response.body)
    }

    /// Any document of the repository, such as `manifests/TAG`; whatever it
    /// redirects to is followed.
    pub async fn document(&self, rest: &str, accept: &str) -> Result<Response, RepoError> {
        let url = self.url(rest)?;
        self.get(&url, &header(ACCEPT, accept), MAX_DOCUMENT).await
    }

    /// An exact version needs no list of tags.
    async fn version(&self, range: &str) -> Result<String, RepoError> {
        if semver::Version::parse(range).is_ok() {
            return Ok(range.to_owned());
        }
        let tags = self.tags().await?;
        let versions: Vec<String> = tags.iter().map(|tag| tag.replace('_', "+")).collect();
        choose(versions.iter().map(String::as_str), range)
            .map(str::to_owned)
            .ok_or_else(|| self.error(OciError::NoTag(range.to_owned())))
    }

    async fn tags(&self) -> Result<Vec<String>, RepoError> {
        let mut url = self.url("tags/list")?;
        let mut tags = Vec::new();
        for _ in 0..MAX_PAGES {
            let response = self.get(&url, &HeaderMap::new(), MAX_DOCUMENT).await?;
            let page: Tags = self.json("list of tags", &response.body)?;
            tags.extend(page.tags.unwrap_or_default());
            match next_page(&url, &response.headers) {
                // A page on another host would get our authorization.
                Some(next) if next.origin() == url.origin() => url = next,
                _ => break,
            }
        }
        Ok(tags)
    }

    fn url(&self, rest: &str) -> Result<Url, RepoError> {
        let path = format!("{}/{rest}", self.path);
        self.base
            .join(&path)
            .map_err(|_| RepoError::Address(self.reference.clone()))
    }

    fn error(&self, source: OciError) -> RepoError {
        RepoError::Oci {
            reference: self.reference.clone(),
            source,
        }
    }

    fn json<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        body: &[u8],
    ) -> Result<T, RepoError> {
        serde_json::from_slice(body)
            .map_err(|source| self.error(OciError::Unreadable { what, source }))
    }

    /// One GET, repeated once when the registry challenges us.
    async fn get(&self, url: &Url, headers: &HeaderMap, limit: u64) -> Result<Response, RepoError> {
        let known = self.known_authorization();
        let response = self.send(url, headers, known, limit).await?;
        if response.status != 401 {
            return self.ok(response);
        }
        let challenge = Challenge::find(&response.headers);
        let authorization = match challenge {
            Some(Challenge::Bearer { realm, query }) => self.token(realm, &query).await?,
            Some(Challenge::Basic) => self.credentials.and_then(Credentials::basic),
            None => None,
        };
        let Some(authorization) = authorization else {
            return Err(self.error(OciError::Denied));
        };
        if let Ok(mut slot) = self.authorization.lock() {
            *slot = Some(authorization.clone());
        }
        let response = self.send(url, headers, Some(authorization), limit).await?;
        self.ok(response)
    }

    fn known_authorization(&self) -> Option<HeaderValue> {
        self.authorization.lock().ok().and_then(|slot| slot.clone())
    }

    async fn send(
        &self,
        url: &Url,
        headers: &HeaderMap,
        authorization: Option<HeaderValue>,
        limit: u64,
    ) -> Result<Response, RepoError> {
        let mut headers = headers.clone();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value);
        }
        let request = Request {
            url: url.clone(),
            headers,
            limit: limit.max(MAX_DOCUMENT),
        };
        Ok(self.fetch.get(request).await?)
    }

    fn ok(&self, response: Response) -> Result<Response, RepoError> {
        Err(self.error(match response.status {
            200 => return Ok(response),
            401 | 403 => OciError::Denied,
            404 => OciError::NotFound,
            status => OciError::Status(status),
        }))
    }

    /// Asks the token server that the registry names.
    async fn token(
        &self,
        mut realm: Url,
        query: &[(String, String)],
    ) -> Result<Option<HeaderValue>, RepoError> {
        // A token server without TLS may only serve a registry without it.
        if realm.scheme() != "https" && realm.scheme() != self.base.scheme() {
            return Ok(None);
        }
        realm.query_pairs_mut().extend_pairs(query);
        let mut headers = HeaderMap::new();
        if let Some(value) = self.credentials.and_then(Credentials::basic) {
            headers.insert(AUTHORIZATION, value);
        }
        let request = Request {
            url: realm,
            headers,
            limit: MAX_DOCUMENT,
        };
        let response = self.ok(self.fetch.get(request).await?)?;
        let token: Token = self.json("token", &response.body)?;
        let token = if token.token.is_empty() {
            token.access_token
        } else {
            token.token
        };
        let headers = header(AUTHORIZATION, &format!("Bearer {token}"));
        Ok(headers.get(AUTHORIZATION).cloned())
    }
}

/// What a registry wants to see.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Bearer {
        realm: Url,
        query: Vec<(String, String)>,
    },
    Basic,
}

impl Challenge {
    fn find(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .find_map(Self::parse)
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut realm = None;
        let mut query = Vec::new();
        for (key, value) in parameters(rest) {
            match key.as_str() {
                "realm" => realm = Url::parse(&value).ok(),
                "service" | "scope" => query.push((key, value)),
                _ => {}
            }
        }
        Some(Self::Bearer {
            realm: realm?,
            query,
        })
    }
}

/// `key="value, with commas", key=value`
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let key = key
            .trim_start_matches([',', ' '])
            .trim()
            .to_ascii_lowercase();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((key, value.to_owned()));
        rest = after;
    }
    found
}

/// The address in `Link: </v2/…>; rel="next"`.
fn next_page(url: &Url, headers: &HeaderMap) -> Option<Url> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let (target, rest) = link.strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then(|| url.join(target).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn challenges_are_read() {
        let bearer = Challenge::parse(
            r#"Bearer realm="https://auth.example.com/token",service="reg",scope="repository:a/b:pull,push""#,
        );
        let Some(Challenge::Bearer { realm, query }) = bearer else {
            panic!("a bearer challenge")
        };
        assert_eq!(realm.as_str(), "https://auth.example.com/token");
        assert_eq!(query[1].1, "repository:a/b:pull,push");
        assert_eq!(
            Challenge::parse("Basic realm=\"x\""),
            Some(Challenge::Basic)
        );
        assert_eq!(Challenge::parse("Negotiate"), None);
        assert_eq!(Challenge::parse("Bearer realm=\"::\""), None);
    }

    proptest! {
        #[test]
        fn no_challenge_panics(text in "(Bearer |Basic|realm=|\"|,|=|https://a|x){0,12}") {
            let _ = Challenge::parse(&text);
        }
    }
}
