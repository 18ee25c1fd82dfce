//! Discovery: which kinds the server has, and where. Asked once, and again
//! when a kind is missing: a resource definition may have come since.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::version::Info;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::{Discovery, Scope};
use serde_json::Value;

use super::object::ObjectRef;
use super::{K8sError, Kube};
use crate::manifest::Manifest;

impl Kube {
    /// Where objects of this kind live.
    pub(super) async fn resolve(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<(ApiResource, Scope), K8sError> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        if let Some(found) = self.known(&gvk).await {
            return Ok(found);
        }
        // Many ask at once at the start of a run: one asks the server, the
        // others profit.
        let _turn = self.discovering.lock().await;
        if let Some(found) = self.known(&gvk).await {
            return Ok(found);
        }
        self.discover()
            .await?
            .resolve_gvk(&gvk)
            .map(|(resource, capabilities)| (resource, capabilities.scope))
            .ok_or_else(|| K8sError::UnknownKind {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
            })
    }

    async fn known(&self, gvk: &GroupVersionKind) -> Option<(ApiResource, Scope)> {
        let known = self.discovery.read().await.clone();
        if let Some((resource, capabilities)) = known.and_then(|all| all.resolve_gvk(gvk)) {
            return Some((resource, capabilities.scope));
        }
        let learned = self.learned.read().await;
        learned
            .iter()
            .find(|(resource, _)| {
                resource.group == gvk.group
                    && resource.version == gvk.version
                    && resource.kind == gvk.kind
            })
            .cloned()
    }

    /// What the server says it is; asked once.
    pub async fn version(&self) -> Result<Info, K8sError> {
        let ask = async || {
            self.call("read the version", async |client| {
                client.apiserver_version().await
            })
            .await
        };
        self.version.get_or_try_init(ask).await.cloned()
    }

    /// Every API version and kind that the server is known to have.
    pub async fn kinds(&self) -> Result<Vec<(String, String)>, K8sError> {
        let _turn = self.discovering.lock().await;
        let known = self.discovery.read().await.clone();
        let known = match known {
            Some(known) => known,
            None => self.discover().await?,
        };
        let mut kinds: Vec<(String, String)> = Vec::new();
        for group in known.groups() {
            for version in group.versions() {
                let resources = group.versioned_resources(version);
                let all = resources.into_iter().map(|(r, _)| (r.api_version, r.kind));
                kinds.extend(all);
            }
        }
        let learned = self.learned.read().await;
        let all = learned.iter();
        kinds.extend(all.map(|(r, _)| (r.api_version.clone(), r.kind.clone())));
        kinds.sort();
        kinds.dedup();
        Ok(kinds)
    }

    /// Whether objects of this kind live in namespaces.
    pub async fn is_namespaced(&self, api_version: &str, kind: &str) -> Result<bool, K8sError> {
        let (_, scope) = self.resolve(api_version, kind).await?;
        Ok(scope == Scope::Namespaced)
    }

    /// Remembers the kinds that a resource definition brings, so that the
    /// server need not be asked for all its kinds once more.
    pub async fn learn(&self, definition: &Manifest) {
        let text = |pointer: &str| {
            let found = definition.body().pointer(pointer).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let (group, kind) = (text("/spec/group"), text("/spec/names/kind"));
        let scope = match text("/spec/scope").as_str() {
            "Cluster" => Scope::Cluster,
            _ => Scope::Namespaced,
        };
        let versions = definition.body().pointer("/spec/versions");
        let mut learned = self.learned.write().await;
        for version in versions.and_then(Value::as_array).into_iter().flatten() {
            let name = version.get("name").and_then(Value::as_str);
            let served = version.get("served").and_then(Value::as_bool);
            if let (Some(name), Some(true)) = (name, served) {
                let gvk = GroupVersionKind::gvk(&group, name, &kind);
                let resource = ApiResource::from_gvk_with_plural(&gvk, &text("/spec/names/plural"));
                learned.push((resource, scope.clone()));
            }
        }
    }

    /// Asks the server for its kinds, and remembers them.
    pub async fn discover(&self) -> Result<Arc<Discovery>, K8sError> {
        let what = "discover the API";
        let aggregated = self
            .call(what, async |client| {
                Discovery::new(client).run_aggregated().await
            })
            .await;
        let found = match aggregated {
            Ok(found) if found.groups().next().is_some() => found,
            // A server older than 1.26, or a proxy that strips the Accept
            // header, answers with lists of another shape, which read as empty.
            Ok(_)
            | Err(
                K8sError::Answer { .. }
                | K8sError::Api {
                    code: 404 | 406, ..
                },
            ) => {
                self.call(what, async |client| Discovery::new(client).run().await)
                    .await?
            }
            Err(error) => return Err(error),
        };
        let found = Arc::new(found);
        *self.discovery.write().await = Some(Arc::clone(&found));
        Ok(found)
    }

    /// The API of an object's kind, in its namespace.
    pub(super) async fn api(
        &self,
        object: &ObjectRef,
    ) -> Result<impl Fn(kube::Client) -> Api<DynamicObject> + use<>, K8sError> {
        let (resource, scope) = self.resolve(&object.api_version, &object.kind).await?;
        let namespace = object.namespace.clone().unwrap_or_default();
        Ok(move |client| Api::dynamic(client, &resource, &scope).constrain(&namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, ok};
    use serde_json::json;

    #[tokio::test]
    async fn discovery_is_asked_once_and_again_for_a_missing_kind() {
        let namespaces = ("", "v1", "Namespace", "namespaces", "Cluster");
        let component = (
            "dapr.io",
            "v1alpha1",
            "Component",
            "components",
            "Namespaced",
        );
        let (kube, script) = Script::new()
            .discovery(&[namespaces])
            .discovery(&[namespaces, component])
            .discovery(&[namespaces, component])
            .kube();
        kube.resolve("v1", "Namespace").await.unwrap();
        kube.resolve("v1", "Namespace").await.unwrap();
        assert_eq!(script.seen().len(), 2);
        let (resource, _) = kube.resolve("dapr.io/v1alpha1", "Component").await.unwrap();
        assert_eq!(resource.plural, "components");
        let error = kube
            .resolve("dapr.io/v1alpha1", "Nothing")
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the cluster does not know the kind Nothing of dapr.io/v1alpha1"
        );
    }

    #[tokio::test]
    async fn a_server_without_aggregated_discovery_is_asked_the_old_way() {
        let groups = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []});
        let versions = json!({
            "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []
        });
        let (kube, _) = Script::new()
            .answer("GET /apis", ok(&groups))
            .answer("GET /api", ok(&versions))
            .answer("GET /apis", ok(&groups))
            .answer("GET /api", ok(&versions))
            .answer(
                "GET /api/v1",
                ok(&json!({
                    "kind": "APIResourceList", "groupVersion": "v1", "resources": [{
                        "name": "namespaces", "singularName": "", "namespaced": false,
                        "kind": "Namespace", "verbs": ["get"]
                    }]
                })),
            )
            .kube();
        let (resource, _) = kube.resolve("v1", "Namespace").await.unwrap();
        assert_eq!(resource.plural, "namespaces");
    }
}
