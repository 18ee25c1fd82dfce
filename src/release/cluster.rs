//! What a chart may learn about the cluster while it is rendered: its version,
//! its kinds, and its objects through `lookup`.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::error::ReleaseError;
use crate::helm::capabilities;
use crate::helm::engine::Lookup;
use crate::helm::object::{Capabilities, KubeVersion};
use crate::k8s::{K8sError, Kube, ObjectRef};

/// The cluster's version.
pub(super) async fn version(kube: &Kube) -> Result<KubeVersion, ReleaseError> {
    let version = capabilities::parse(&kube.version().await?.git_version);
    Ok(version.map_err(|source| K8sError::Answer {
        what: "read the version".to_owned(),
        source: source.into(),
    })?)
}

/// What the cluster says of itself. Its kinds are asked for at most once.
pub(super) async fn capabilities(
    kube: &Kube,
    version: KubeVersion,
) -> Result<Capabilities, ReleaseError> {
    let kinds = kube.kinds().await?;
    let mut api_versions: Vec<String> = Vec::new();
    for (api_version, kind) in kinds {
        if !api_versions.contains(&api_version) {
            api_versions.push(api_version.clone());
        }
        api_versions.push(format!("{api_version}/{kind}"));
    }
    Ok(Capabilities {
        kube_version: Arc::new(version),
        api_versions,
        helm_version: Arc::new(capabilities::helm_version()),
    })
}

/// Answers `lookup` from the cluster. Rendering happens on a thread of its
/// own, which may wait.
pub(super) struct Live {
    pub(super) kube: Kube,
    pub(super) runtime: Handle,
}

impl Lookup for Live {
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Value, String> {
        let namespace = Some(namespace).filter(|ns| !ns.is_empty());
        let found = self
            .runtime
            .block_on(look(&self.kube, api_version, kind, namespace, name));
        found.map_err(|error| error.to_string())
    }
}

async fn look(
    kube: &Kube,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> Result<Value, K8sError> {
    if name.is_empty() {
        let items = match kube.list(api_version, kind, namespace, "").await {
            // A kind whose definition is not served yet.
            Err(error) if error.is_not_found() => return Ok(json!({})),
            items => items?,
        };
        let items: Vec<&Value> = items.iter().map(crate::manifest::Manifest::body).collect();
        return Ok(json!({
            "apiVersion": api_version,
            "kind": format!("{kind}List"),
            "metadata": {},
            "items": items,
        }));
    }
    let object = ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    };
    let found = kube.get(&object).await?;
    Ok(found.map_or_else(|| json!({}), |live| live.body().clone()))
}
