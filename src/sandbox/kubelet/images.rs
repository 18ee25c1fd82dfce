//! Pulling images, by what their tags say: `missing` is in no registry,
//! `amd64-only` does not run on arm64, `never-ready` is never ready; all
//! others are there.

use crate::sandbox::programs::{name, tag};
use crate::sandbox::world::hex;

/// An image's name as the runtime resolves it.
pub fn full_name(image: &str) -> String {
    let path = name(image);
    let registry = image.strip_suffix(image_rest(image, path)).unwrap_or("");
    let registry = registry.trim_end_matches('/');
    let registry = if registry.is_empty() {
        "docker.io"
    } else {
        registry
    };
    let path = if registry == "docker.io" && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    let rest = image.rsplit_once('@').map_or_else(
        || format!(":{}", tag(image)),
        |(_, digest)| format!("@{digest}"),
    );
    format!("{registry}/{path}{rest}")
}

/// The image from its path on.
fn image_rest<'a>(image: &'a str, path: &str) -> &'a str {
    image
        .find(path)
        .and_then(|at| image.get(at..))
        .unwrap_or(image)
}

/// The id of an image: its repository with the digest of its name.
pub fn id(image: &str) -> String {
    let full = full_name(image);
    let repository = full
        .split_once('@')
        .map(|(repository, _)| repository)
        .or_else(|| full.rsplit_once(':').map(|(repository, _)| repository));
    let digest = ring::digest::digest(&ring::digest::SHA256, full.as_bytes());
    format!(
        "{}@sha256:{}",
        repository.unwrap_or(&full),
        hex(digest.as_ref())
    )
}

/// Why an image cannot be pulled, in the runtime's words.
pub fn refusal(image: &str) -> Option<String> {
    if tag(image) != "missing" {
        return None;
    }
    let full = full_name(image);
    let repository = full.rsplit_once(':').map_or(&*full, |(name, _)| name);
    Some(format!(
        "initializing source docker://{image}: reading manifest missing in {repository}: manifest unknown"
    ))
}

/// Whether an image is built for a node's architecture.
pub fn runs_on(image: &str, arch: &str) -> bool {
    tag(image) != "amd64-only" || arch == "amd64"
}

/// Whether an image never becomes ready.
pub fn is_never_ready(image: &str) -> bool {
    tag(image) == "never-ready"
}

/// Whether an image is pulled although it is there.
pub fn is_always_pulled(image: &str, policy: &str) -> bool {
    policy == "Always" || (policy.is_empty() && tag(image) == "latest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_the_runtime_does() {
        for (image, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("dapr/daprd:1", "docker.io/dapr/daprd:1"),
            ("ghcr.io/a/b:1", "ghcr.io/a/b:1"),
            ("localhost:5000/b", "localhost:5000/b:latest"),
            ("ghcr.io/a/b@sha256:12", "ghcr.io/a/b@sha256:12"),
        ] {
            assert_eq!(full_name(image), full);
        }
        assert!(id("nginx").starts_with("docker.io/library/nginx@sha256:"));
    }

    #[test]
    fn tags_say_what_goes_wrong() {
        assert!(refusal("a/b:missing").is_some() && refusal("a/b:1").is_none());
        assert!(!runs_on("a:amd64-only", "arm64") && runs_on("a:amd64-only", "amd64"));
    }
}
