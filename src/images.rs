//! Whether the images of a deployment exist for the nodes' platform, asked
//! before anything is applied: an absent tag and an image for another
//! processor show up in the cluster minutes later, and as something else.
//!
//! Asks each image's registry by the OCI distribution specification 1.1, over
//! the client of `helm::repo`. It pulls no layers and decides nothing: what it
//! cannot tell, it says so.

use std::collections::BTreeSet;

use serde::Deserialize;
use url::Url;

use crate::finding::Finding;
use crate::helm::repo::oci::{OciError, Registry};
use crate::helm::repo::{Credentials, Fetch, RepoError};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// What images are looked up with.
pub struct Registries<'a> {
    /// The way to the network.
    pub fetch: &'a dyn Fetch,
    /// A registry that answers for all others, such as a mirror or an
    /// emulator. It is told the image's own registry as `ns`, as container
    /// runtimes do.
    pub mirror: Option<Url>,
    /// The login for a registry, by its host.
    pub credentials: &'a (dyn Fn(&str) -> Option<Credentials> + Sync),
}

impl std::fmt::Debug for Registries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registries")
            .field("mirror", &self.mirror)
            .finish_non_exhaustive()
    }
}

/// An image reference, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference {
    /// As written: `docker.io`.
    registry: String,
    /// `library/nginx`
    path: String,
    /// A tag, or a digest, which goes before a tag.
    version: String,
}

impl Reference {
    fn parse(image: &str) -> Option<Self> {
        let (registry, rest) = image.split_once('/')?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        let name = rest.rsplit('/').next()?;
        let tag = name.split_once(':').map(|(_, tag)| tag);
        let path = tag.map_or(rest, |tag| {
            rest.strip_suffix(tag)
                .and_then(|rest| rest.strip_suffix(':'))
                .unwrap_or(rest)
        });
        // Docker's own images have no owner.
        let path = if registry == "docker.io" && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        Some(Self {
            registry: registry.to_owned(),
            path,
            version: digest.or(tag)?.to_owned(),
        })
    }

    /// Where the registry really is.
    fn host(&self) -> &str {
        match self.registry.as_str() {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        }
    }

    /// Loopback registries have no certificate.
    fn is_local(&self) -> bool {
        let host = self.registry.split(':').next().unwrap_or_default();
        host == "localhost" || host.starts_with("127.")
    }
}

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It exists for the platform.
    Exists {
        /// The digest that its tag leads to today.
        digest: Option<String>,
    },
    /// The registry does not have it.
    Missing,
    /// It exists, but for other platforms.
    WrongPlatform {
        /// For which, such as `linux/amd64`.
        found: Vec<String>,
    },
    /// It could not be found out.
    Unknown {
        /// Why.
        why: String,
    },
}

/// An image and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The image as written.
    pub image: String,
    /// What is known.
    pub verdict: Verdict,
}

impl Checked {
    /// An image of which nobody knows, and why.
    pub fn unknown(image: &str, why: &str) -> Self {
        Self {
            image: image.to_owned(),
            verdict: Verdict::Unknown {
                why: why.to_owned(),
            },
        }
    }

    /// What to tell about it: an error for an image that cannot run, a warning
    /// for one that nobody knows about.
    pub fn finding(&self, platform: &str) -> Option<Finding> {
        let image = &self.image;
        Some(match &self.verdict {
            Verdict::Exists { .. } => return None,
            Verdict::Missing => Finding::error(format!("the image {image} does not exist"))
                .hint("push it, or name another with `--image SERVICE=REF`"),
            Verdict::WrongPlatform { found } => Finding::error(format!(
                "the image {image} is not for {platform}, but for {}",
                found.join(", ")
            ))
            .hint(format!(
                "build it for the nodes: `docker buildx build --platform {platform} -t {image} --push .`"
            )),
            Verdict::Unknown { why } => {
                Finding::warning(format!("cannot tell whether the image {image} exists"))
                    .hint(why.clone())
            }
        })
    }
}

/// Looks images up, each once, for a platform such as `linux/arm64`.
pub async fn look(
    images: impl IntoIterator<Item = &str>,
    platform: &str,
    registries: &Registries<'_>,
) -> Vec<Checked> {
    let unique: BTreeSet<&str> = images.into_iter().collect();
    let looking = unique.into_iter().map(async |image| Checked {
        image: image.to_owned(),
        verdict: verdict(image, platform, registries).await,
    });
    futures::future::join_all(looking).await
}

/// What an image's tag stands for in a rehearsal without a registry.
pub fn rehearse(image: &str, platform: &str) -> Checked {
    let tag = Reference::parse(image).map(|reference| reference.version);
    let verdict = match tag.as_deref() {
        Some("missing") => Verdict::Missing,
        Some("amd64-only") if platform != "linux/amd64" => Verdict::WrongPlatform {
            found: vec!["linux/amd64".to_owned()],
        },
        _ => Verdict::Exists { digest: None },
    };
    Checked {
        image: image.to_owned(),
        verdict,
    }
}

async fn verdict(image: &str, platform: &str, registries: &Registries<'_>) -> Verdict {
    let Some(reference) = Reference::parse(image) else {
        return Verdict::Unknown {
            why: "it has no registry, or neither a tag nor a digest".to_owned(),
        };
    };
    match ask(&reference, platform, registries).await {
        Ok(verdict) => verdict,
        Err(error) => match &error {
            RepoError::Oci {
                source: OciError::NotFound,
                ..
            } => Verdict::Missing,
            RepoError::Oci {
                source: OciError::Denied,
                ..
            } => Verdict::Unknown {
                why: format!(
                    "{} denies access: the image is private, or does not exist",
                    reference.registry
                ),
            },
            other => Verdict::Unknown { why: chain(other) },
        },
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default, rename = "mediaType")]
    media_type: String,
    #[serde(default)]
    manifests: Vec<Entry>,
    #[serde(default)]
    config: Option<Config>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Config {
    digest: String,
}

/// Of an index's entry, and the beginning of an image's configuration.
#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

impl Platform {
    fn text(&self) -> String {
        format!("{}/{}", self.os, self.architecture)
    }

    /// Attestations of where an image comes from stand in the index, too.
    fn is_known(&self) -> bool {
        self.os != "unknown" && !self.os.is_empty()
    }
}

async fn ask(
    reference: &Reference,
    platform: &str,
    registries: &Registries<'_>,
) -> Result<Verdict, RepoError> {
    let credentials = (registries.credentials)(&reference.registry);
    let (host, plain, ns) = match &registries.mirror {
        Some(mirror) => {
            let port = mirror.port().map(|port| format!(":{port}"));
            let host = mirror.host_str().unwrap_or_default();
            let host = format!("{host}{}", port.unwrap_or_default());
            let ns = format!("?ns={}", reference.registry);
            (host, mirror.scheme() == "http", ns)
        }
        None => (
            reference.host().to_owned(),
            reference.is_local(),
            String::new(),
        ),
    };
    let address = format!("oci://{host}/{}", reference.path);
    let registry = Registry::new(&address, registries.fetch, credentials.as_ref(), plain)?;
    let rest = format!("manifests/{}{ns}", reference.version);
    let response = registry.document(&rest, ACCEPTED).await?;
    let digest = response.headers.get("docker-content-digest");
    let digest = digest
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let unreadable = |what, source| RepoError::Oci {
        reference: address.clone(),
        source: OciError::Unreadable { what, source },
    };
    let manifest: Manifest =
        serde_json::from_slice(&response.body).map_err(|e| unreadable("manifest", e))?;
    let found: Vec<String> = if manifest.media_type == INDEX || !manifest.manifests.is_empty() {
        let entries = manifest.manifests.iter();
        let known = entries.filter_map(|e| e.platform.as_ref().filter(|p| p.is_known()));
        known.map(Platform::text).collect()
    } else if let Some(config) = manifest.config {
        let rest = format!("blobs/{}{ns}", config.digest);
        let response = registry.document(&rest, "*/*").await?;
        let of: Platform = serde_json::from_slice(&response.body)
            .map_err(|e| unreadable("image configuration", e))?;
        vec![of.text()]
    } else {
        Vec::new()
    };
    if found.iter().any(|of| of == platform) {
        return Ok(Verdict::Exists { digest });
    }
    if found.is_empty() {
        let why = "the registry does not say for which platform it is".to_owned();
        return Ok(Verdict::Unknown { why });
    }
    Ok(Verdict::WrongPlatform { found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helm::repo::{FetchError, Request, Response};
    use ::http::{HeaderMap, HeaderValue};
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    /// A registry whose documents need a token.
    struct Fake {
        documents: BTreeMap<&'static str, Value>,
    }

    #[async_trait::async_trait]
    impl Fetch for Fake {
        async fn get(&self, request: Request) -> Result<Response, FetchError> {
            let mut headers = HeaderMap::new();
            let mut path = request.url.path().to_owned();
            if let Some(query) = request.url.query().filter(|q| q.starts_with("ns=")) {
                path = format!("{path}?{query}");
            }
            let (status, body) = if path == "/token" {
                (200, json!({"token": "t"}))
            } else if request.headers.get("authorization")
                != Some(&HeaderValue::from_static("Bearer t"))
            {
                let challenge = format!(
                    "Bearer realm=\"https://{}/token\"",
                    request.url.host_str().unwrap()
                );
                headers.insert("www-authenticate", challenge.parse().unwrap());
                (401, Value::Null)
            } else if let Some(document) = self.documents.get(path.as_str()) {
                headers.insert(
                    "docker-content-digest",
                    HeaderValue::from_static("sha256:ab"),
                );
                (200, document.clone())
            } else if path.contains("/private/") {
                (403, Value::Null)
            } else if path.contains("/broken/") {
                (500, Value::Null)
            } else {
                (404, Value::Null)
            };
            Ok(Response {
                status,
                headers,
                body: body.to_string().into(),
            })
        }
    }

    fn fake() -> Fake {
        let entry = |arch: &str| json!({"platform": {"os": if arch == "unknown" { "unknown" } else { "linux" }, "architecture": arch}});
        let index = |archs: &[&str]| {
            let manifests: Vec<Value> = archs.iter().map(|arch| entry(arch)).collect();
            json!({"mediaType": INDEX, "manifests": manifests})
        };
        Fake {
            documents: BTreeMap::from([
                (
                    "/v2/a/multi/manifests/1",
                    index(&["amd64", "arm64", "unknown"]),
                ),
                ("/v2/a/amd/manifests/1", index(&["amd64", "unknown"])),
                (
                    "/v2/a/single/manifests/sha256:cd",
                    json!({"config": {"digest": "sha256:ef"}}),
                ),
                (
                    "/v2/a/single/blobs/sha256:ef",
                    json!({"os": "linux", "architecture": "arm64"}),
                ),
                ("/v2/library/nginx/manifests/1.29", index(&["arm64"])),
                ("/v2/a/multi/manifests/1?ns=ghcr.io", index(&["s390x"])),
            ]),
        }
    }

    async fn verdict_of(image: &str, mirror: Option<&str>) -> Verdict {
        let fetch = fake();
        let registries = Registries {
            fetch: &fetch,
            mirror: mirror.map(|url| url.parse().unwrap()),
            credentials: &|_| None,
        };
        look([image], "linux/arm64", &registries)
            .await
            .remove(0)
            .verdict
    }

    #[tokio::test]
    async fn each_image_gets_its_verdict() {
        let exists = Verdict::Exists {
            digest: Some("sha256:ab".to_owned()),
        };
        let wrong = |found: &str| Verdict::WrongPlatform {
            found: vec![found.to_owned()],
        };
        for (image, wanted) in [
            ("ghcr.io/a/multi:1", exists.clone()),
            ("ghcr.io/a/amd:1", wrong("linux/amd64")),
            ("ghcr.io/a/single:9@sha256:cd", exists.clone()),
            ("docker.io/nginx:1.29", exists.clone()),
            ("ghcr.io/a/multi:2", Verdict::Missing),
        ] {
            assert_eq!(verdict_of(image, None).await, wanted, "{image}");
        }
        let mirrored = verdict_of("ghcr.io/a/multi:1", Some("https://mirror.example:5000")).await;
        assert_eq!(mirrored, wrong("linux/s390x"));
    }

    #[tokio::test]
    async fn what_cannot_be_told_is_a_warning_with_a_reason() {
        for (image, part) in [
            ("ghcr.io/private/x:1", "private, or does not exist"),
            ("ghcr.io/broken/x:1", "answered 500"),
            ("nginx", "no registry"),
        ] {
            let verdict = verdict_of(image, None).await;
            let Verdict::Unknown { why } = &verdict else {
                panic!("{image}: {verdict:?}")
            };
            assert!(why.contains(part), "{image}: {why}");
            let checked = Checked {
                image: image.to_owned(),
                verdict,
            };
            let finding = checked.finding("linux/arm64").unwrap();
            assert_eq!(finding.severity, crate::finding::Severity::Warning);
        }
    }

    #[test]
    fn tags_behave_as_they_say_in_a_rehearsal() {
        let of = |tag: &str| rehearse(&format!("ghcr.io/example/app:{tag}"), "linux/arm64").verdict;
        assert_eq!(of("missing"), Verdict::Missing);
        assert!(matches!(of("amd64-only"), Verdict::WrongPlatform { .. }));
        assert_eq!(of("crash"), Verdict::Exists { digest: None });
    }

    #[test]
    fn references_are_taken_apart() {
        let of = |image: &str| {
            let r = Reference::parse(image)?;
            Some(format!("{} {} {}", r.host(), r.path, r.version))
        };
        for (image, wanted) in [
            (
                "docker.io/nginx:1",
                Some("registry-1.docker.io library/nginx 1"),
            ),
            ("127.0.0.1:5000/a/b/c:2", Some("127.0.0.1:5000 a/b/c 2")),
            ("ghcr.io/a/b@sha256:x", Some("ghcr.io a/b sha256:x")),
            ("ghcr.io/a/b", None),
            ("a:1", None),
        ] {
            assert_eq!(of(image).as_deref(), wanted, "{image}");
        }
    }
}
