//! Rendering against a live cluster: its version, its kinds, its objects.
//!
//! Templates run on a thread of their own and ask one thing at a time; each
//! `lookup` waits there for the runtime, which goes on with everything else.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::helm::capabilities::helm_version;
use crate::helm::chart::Chart;
use crate::helm::engine::Lookup;
use crate::helm::object::{Capabilities, KubeVersion};
use crate::helm::render::{self, RenderError, RenderOptions, Rendered};
use crate::k8s::{K8sError, Kube, ObjectRef};

/// Why a chart cannot be rendered against a cluster.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The cluster does not say what it is.
    #[error("cannot read what the cluster is able to do")]
    Capabilities(#[source] K8sError),
    /// The chart does not render.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The thread of the templates ended early.
    #[error("the chart engine failed")]
    Engine(#[source] tokio::task::JoinError),
}

/// Renders a chart as it would be deployed to this cluster.
pub async fn render(
    chart: Chart,
    options: RenderOptions,
    kube: &Kube,
) -> Result<Rendered, LiveError> {
    let capabilities = capabilities(kube).await.map_err(LiveError::Capabilities)?;
    let options = RenderOptions {
        capabilities: Some(Arc::new(capabilities)),
        lookup: Some(Arc::new(ClusterLookup::new(kube.clone()))),
        ..options
    };
    let rendering = tokio::task::spawn_blocking(move || render::render(chart, &options));
    Ok(rendering.await.map_err(LiveError::Engine)??)
}

/// What templates learn of a cluster.
pub async fn capabilities(kube: &Kube) -> Result<Capabilities, K8sError> {
    let version = kube.version().await?;
    let discovery = kube.discover().await?;
    let mut api_versions = Vec::new();
    for group in discovery.groups() {
        for version in group.versions() {
            let kinds = group.versioned_resources(version);
            let name = match group.name() {
                "" => version.to_owned(),
                group => format!("{group}/{version}"),
            };
            api_versions.extend(
                kinds
                    .iter()
                    .map(|(resource, _)| format!("{name}/{}", resource.kind)),
            );
            api_versions.push(name);
        }
    }
    api_versions.sort();
    api_versions.dedup();
    Ok(Capabilities {
        kube_version: Arc::new(KubeVersion {
            // Helm compares a live version as it is, vendor suffix included.
            normalized: version.git_version.clone(),
            version: version.git_version,
            major: version.major,
            minor: version.minor,
        }),
        api_versions,
        helm_version: Arc::new(helm_version()),
    })
}

/// Answers `lookup` out of a live cluster. It blocks, so it must not be asked
/// on a thread of the runtime.
pub struct ClusterLookup {
    kube: Kube,
    runtime: Handle,
}

impl ClusterLookup {
    /// A lookup whose requests run on the runtime of the caller.
    pub fn new(kube: Kube) -> Self {
        Self {
            kube,
            runtime: Handle::current(),
        }
    }

    async fn read(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Value, K8sError> {
        if name.is_empty() {
            let within = (!namespace.is_empty()).then_some(namespace);
            let items = self.kube.list(api_version, kind, within, "").await?;
            let items: Vec<Value> = items.into_iter().map(|item| item.body().clone()).collect();
            return Ok(json!({
                "apiVersion": api_version,
                "kind": format!("{kind}List"),
                "metadata": {},
                "items": items,
            }));
        }
        let object = ObjectRef::namespaced(api_version, kind, namespace, name);
        let found = self.kube.get(&object).await?;
        Ok(found.map_or_else(|| json!({}), |object| object.body().clone()))
    }

    /// Whether the cluster serves the version, whatever its kinds.
    async fn serves(&self, api_version: &str) -> bool {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let Ok(discovery) = self.kube.discover().await else {
            return false;
        };
        let mut groups = discovery.groups();
        groups.any(|g| g.name() == group && g.versions().any(|v| v == version))
    }
}

impl Lookup for ClusterLookup {
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Value, String> {
        self.runtime.block_on(async {
            match self.read(api_version, kind, namespace, name).await {
                Ok(found) => Ok(found),
                Err(error) if error.is_not_found() => Ok(json!({})),
                // Of a version that is there, a kind that is not has no objects.
                Err(K8sError::UnknownKind { .. }) if self.serves(api_version).await => {
                    Ok(json!({}))
                }
                Err(K8sError::UnknownKind { .. }) => Err(format!(
                    "unable to get apiresource from discovery for: {api_version}, Kind={kind}: \
                     the server could not find the requested resource"
                )),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helm::chart::ChartFile;
    use crate::k8s::script::{Script, json_status, ok};

    const CONFIG_MAPS: (&str, &str, &str, &str, &str) =
        ("", "v1", "ConfigMap", "configmaps", "Namespaced");

    fn chart(template: &str) -> Chart {
        let file = |name: &str, text: &str| ChartFile {
            name: name.to_owned(),
            data: text.as_bytes().into(),
        };
        Chart::from_files(vec![
            file("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n"),
            file("templates/NOTES.txt", template),
        ])
        .unwrap()
    }

    async fn notes(kube: &Kube, template: &str) -> Result<String, LiveError> {
        let rendered = render(chart(template), RenderOptions::default(), kube).await?;
        Ok(rendered.notes)
    }

    fn version() -> Value {
        json!({
            "major": "1", "minor": "34+", "gitVersion": "v1.34.1-gke.5", "gitCommit": "",
            "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
        })
    }

    #[tokio::test]
    async fn templates_read_objects_lists_and_what_is_not_there() {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "n"}, "data": {"k": "v"},
        });
        let list = json!({
            "apiVersion": "v1", "kind": "ConfigMapList", "metadata": {}, "items": [object],
        });
        let (kube, _) = Script::new()
            .answer("GET /version", ok(&version()))
            .discovery(&[CONFIG_MAPS])
            .answer("GET /api/v1/namespaces/n/configmaps/a", ok(&object))
            .answer(
                "GET /api/v1/namespaces/n/configmaps/b",
                json_status(404, "NotFound", "no b"),
            )
            .answer("GET /api/v1/configmaps", ok(&list))
            .kube();
        let text = notes(
            &kube,
            "{{ (lookup \"v1\" \"ConfigMap\" \"n\" \"a\").data.k }} \
             {{ lookup \"v1\" \"ConfigMap\" \"n\" \"b\" }} \
             {{ range (lookup \"v1\" \"ConfigMap\" \"\" \"\").items }}{{ .kind }}/{{ .metadata.name }}{{ end }} \
             {{ .Capabilities.KubeVersion.Version }} {{ .Capabilities.KubeVersion.Minor }} \
             {{ .Capabilities.APIVersions.Has \"v1/ConfigMap\" }} \
             {{ .Capabilities.APIVersions.Has \"apps/v1\" }}",
        );
        let text = text.await.unwrap();
        assert_eq!(text, "v map[] ConfigMap/a v1.34.1-gke.5 34+ true false");
    }

    #[tokio::test]
    async fn an_unknown_group_is_an_error_and_an_unknown_kind_is_not() {
        let (kube, _) = Script::new()
            .answer("GET /version", ok(&version()))
            .discovery(&[CONFIG_MAPS])
            .discovery(&[CONFIG_MAPS])
            .discovery(&[CONFIG_MAPS])
            .discovery(&[CONFIG_MAPS])
            .discovery(&[CONFIG_MAPS])
            .kube();
        let text = notes(
            &kube,
            "{{ lookup \"v1\" \"Nothing\" \"n\" \"a\" }}{{ lookup \"no.io/v1\" \"X\" \"\" \"\" }}",
        );
        let error = text.await.unwrap_err().to_string();
        assert!(error.contains("no.io/v1, Kind=X"), "{error}");
    }
}
