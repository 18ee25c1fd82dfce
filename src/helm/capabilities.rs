//! What charts are told about the cluster when none is asked: the Kubernetes
//! version and the API versions that `helm template` takes for granted.

use std::sync::Arc;

use super::object::{Capabilities, HelmVersion, KubeVersion};

/// The Kubernetes version of helm 4.3 without a cluster.
pub const DEFAULT_KUBE_VERSION: &str = "v1.37.0";

/// A text is no Kubernetes version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid kube version {0:?}")]
pub struct InvalidKubeVersion(pub String);

/// The group versions that the Kubernetes client library registers, in its
/// order of preference, and those of custom resource definitions.
pub const BUILT_IN: &[&str] = &[
    "v1",
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1alpha1",
    "admissionregistration.k8s.io/v1beta1",
    "internal.apiserver.k8s.io/v1alpha1",
    "apps/v1",
    "apps/v1beta1",
    "apps/v1beta2",
    "authentication.k8s.io/v1",
    "authentication.k8s.io/v1alpha1",
    "authentication.k8s.io/v1beta1",
    "authorization.k8s.io/v1",
    "authorization.k8s.io/v1beta1",
    "autoscaling/v1",
    "autoscaling/v2",
    "batch/v1",
    "batch/v1beta1",
    "certificates.k8s.io/v1",
    "certificates.k8s.io/v1beta1",
    "certificates.k8s.io/v1alpha1",
    "coordination.k8s.io/v1alpha2",
    "coordination.k8s.io/v1beta1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "discovery.k8s.io/v1beta1",
    "events.k8s.io/v1",
    "events.k8s.io/v1beta1",
    "extensions/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta2",
    "flowcontrol.apiserver.k8s.io/v1beta3",
    "lifecycle.k8s.io/v1alpha1",
    "networking.k8s.io/v1",
    "networking.k8s.io/v1beta1",
    "node.k8s.io/v1",
    "node.k8s.io/v1alpha1",
    "node.k8s.io/v1beta1",
    "policy/v1",
    "policy/v1beta1",
    "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1",
    "rbac.authorization.k8s.io/v1alpha1",
    "resource.k8s.io/v1",
    "resource.k8s.io/v1beta2",
    "resource.k8s.io/v1beta1",
    "resource.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1beta1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1beta1",
    "storage.k8s.io/v1",
    "storage.k8s.io/v1alpha1",
    "storagemigration.k8s.io/v1",
    "storagemigration.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1",
];

/// The capabilities without a cluster: `kube_version` when one is given, and
/// the built-in API versions followed by `more`, each of which may be a comma
/// list.
pub fn offline(
    kube_version: Option<&str>,
    more: &[String],
) -> Result<Capabilities, InvalidKubeVersion> {
    let kube_version = parse(kube_version.unwrap_or(DEFAULT_KUBE_VERSION))?;
    let more = more
        .iter()
        .flat_map(|list| list.split(','))
        .filter(|version| !version.is_empty())
        .map(str::to_owned);
    let built_in = BUILT_IN.iter().map(|version| (*version).to_owned());
    Ok(Capabilities {
        kube_version: Arc::new(kube_version),
        api_versions: built_in.chain(more).collect(),
        helm_version: Arc::new(helm_version()),
    })
}

/// Reads a Kubernetes version as helm does: the text is kept, and the part
/// without vendor suffix is what constraints see.
pub fn parse(text: &str) -> Result<KubeVersion, InvalidKubeVersion> {
    let invalid = || InvalidKubeVersion(text.to_owned());
    let bare = text.trim().strip_prefix('v').unwrap_or(text.trim());
    // Numbers with dots between; whatever follows is a vendor's.
    let core = bare
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .map_or(bare, |end| bare.get(..end).unwrap_or_default());
    let numbers: Vec<&str> = core.split('.').take_while(|n| !n.is_empty()).collect();
    let zero_prefixed = numbers.iter().any(|n| n.len() > 1 && n.starts_with('0'));
    if numbers.len() < 2 || zero_prefixed {
        return Err(invalid());
    }
    let numbers: Vec<u64> = numbers
        .iter()
        .map(|n| n.parse())
        .collect::<Result<_, _>>()
        .map_err(|_| invalid())?;
    let [major, minor, rest @ ..] = numbers.as_slice() else {
        return Err(invalid());
    };
    let rest: Vec<String> = rest.iter().map(ToString::to_string).collect();
    let rest = if rest.is_empty() {
        "0".to_owned()
    } else {
        rest.join(".")
    };
    Ok(KubeVersion {
        version: if text.starts_with('v') {
            text.to_owned()
        } else {
            format!("v{text}")
        },
        normalized: format!("v{major}.{minor}.{rest}"),
        major: major.to_string(),
        minor: minor.to_string(),
    })
}

/// The helm that charts believe to run under.
pub fn helm_version() -> HelmVersion {
    HelmVersion {
        version: "v4.3".to_owned(),
        git_commit: String::new(),
        git_tree_state: String::new(),
        go_version: "go1.26.8".to_owned(),
        kube_client_version: "v1.37".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_keep_their_text_and_lose_their_suffix_for_constraints() {
        let cases = [
            ("1.30", "v1.30", "v1.30.0"),
            ("v1.30.2", "v1.30.2", "v1.30.2"),
            ("v1.33.4-gke.1245000", "v1.33.4-gke.1245000", "v1.33.4"),
            ("1.31.1+k3s1", "v1.31.1+k3s1", "v1.31.1"),
            ("1.2.x", "v1.2.x", "v1.2.0"),
        ];
        for (text, version, normalized) in cases {
            let parsed = parse(text).unwrap();
            assert_eq!(parsed.version, version);
            assert_eq!(parsed.normalized, normalized, "{text}");
            assert_eq!(parsed.major, "1");
        }
        for text in ["", "v", "1", "abc", "1.", "01.2", "1..2"] {
            assert_eq!(parse(text), Err(InvalidKubeVersion(text.to_owned())));
        }
    }

    #[test]
    fn api_versions_have_no_kinds_and_more_can_be_named() {
        let more = ["a/v1,b/v1/Kind".to_owned(), "c/v1".to_owned()];
        let caps = offline(None, &more).unwrap();
        assert!(caps.api_versions.contains(&"apps/v1".to_owned()));
        assert!(!caps.api_versions.contains(&"apps/v1/Deployment".to_owned()));
        assert!(caps.api_versions.ends_with(&[
            "a/v1".to_owned(),
            "b/v1/Kind".to_owned(),
            "c/v1".to_owned()
        ]));
    }
}
