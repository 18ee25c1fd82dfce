//! Objects: get, list, apply, delete.

use std::fmt;

use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use serde_json::Value;

use super::diff::{self, FieldChange};
use super::{K8sError, Kube};
use crate::manifest::{MANAGER, Manifest, OWNER_LABEL};

/// The identity of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectRef {
    /// API version, with its group.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; none for objects of the whole cluster.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectRef {
    /// An object of a namespace.
    pub fn namespaced(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..Self::cluster(api_version, kind, name)
        }
    }

    /// An object of the whole cluster.
    pub fn cluster(api_version: &str, kind: &str, name: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            name: name.to_owned(),
        }
    }
}

impl From<&Manifest> for ObjectRef {
    fn from(manifest: &Manifest) -> Self {
        Self {
            api_version: manifest.api_version().to_owned(),
            kind: manifest.kind().to_owned(),
            namespace: manifest.namespace().map(str::to_owned),
            name: manifest.name().to_owned(),
        }
    }
}

/// `Kind namespace/name`.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// A live object beside a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The deployment that its owner label names.
    pub owner: Option<String>,
    /// What applying the manifest would change.
    pub changes: Vec<FieldChange>,
}

/// How to apply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Take fields over from other managers.
    pub force: bool,
    /// Let the server work it out without keeping it.
    pub dry_run: bool,
}

impl ApplyOptions {
    fn params(self) -> PatchParams {
        let mut params = PatchParams::apply(MANAGER).validation_strict();
        params.force = self.force;
        params.dry_run = self.dry_run;
        params
    }
}

impl Kube {
    /// The live object, or none.
    pub async fn get(&self, object: &ObjectRef) -> Result<Option<Manifest>, K8sError> {
        let what = format!("read {object}");
        let api = self.api(object).await?(self.client.clone());
        let mut attempts = self.attempts(&what);
        // Not `call`: what this returns may be sent between threads.
        let found = loop {
            match self.attempt(&what, api.get_opt(&object.name)).await {
                Ok(found) => break found,
                Err(error) => attempts.after(error).await?,
            }
        };
        found
            .map(|live| manifest(&what, live, &object.api_version, &object.kind))
            .transpose()
    }

    /// The live object of a manifest, or none. A kind that the cluster does
    /// not know yet has no objects.
    pub async fn live(&self, manifest: &Manifest) -> Result<Option<Manifest>, K8sError> {
        match self.get(&manifest.into()).await {
            Err(K8sError::UnknownKind { .. }) => Ok(None),
            other => other,
        }
    }

    /// Every object of a kind whose labels match the selector, in one
    /// namespace or in all.
    pub async fn list(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        selector: &str,
    ) -> Result<Vec<Manifest>, K8sError> {
        let what = format!("list {kind} objects");
        let template = ObjectRef {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: String::new(),
        };
        let api = self.api(&template).await?;
        let mut params = ListParams::default().labels(selector).limit(500);
        let mut out = Vec::new();
        loop {
            let page = self
                .call(&what, async |client| api(client).list(&params).await)
                .await?;
            for object in page.items {
                out.push(manifest(&what, object, api_version, kind)?);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(out),
            }
        }
    }

    /// Every object of these kinds (API version and kind) that carries the
    /// deployment's owner label. Kinds that the cluster does not know have
    /// none.
    pub async fn list_owned(
        &self,
        kinds: &[(&str, &str)],
        deployment: &str,
    ) -> Result<Vec<Manifest>, K8sError> {
        let selector = format!("{OWNER_LABEL}={deployment}");
        let mut out = Vec::new();
        for (api_version, kind) in kinds {
            match self.list(api_version, kind, None, &selector).await {
                Ok(found) => out.extend(found),
                Err(K8sError::UnknownKind { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(out)
    }

    /// Server-side apply as field manager `todoctl`; returns the object as the
    /// server has it then.
    pub async fn apply(
        &self,
        desired: &Manifest,
        options: ApplyOptions,
    ) -> Result<Manifest, K8sError> {
        let what = format!("apply {desired}");
        let api = self.api(&desired.into()).await?;
        let params = options.params();
        let patch = Patch::Apply(desired.body());
        let api = api(self.client.clone());
        let mut attempts = self.attempts(&what);
        let object = loop {
            let attempt = api.patch(desired.name(), &params, &patch);
            match self.attempt(&what, attempt).await {
                Ok(object) => break object,
                // Its definition is established a moment before it is served.
                Err(error) if error.is_unserved() => {
                    let limit = self.clock.patience(self.patience.retry);
                    attempts.within(limit, error).await?;
                }
                Err(error) => attempts.after(error).await?,
            }
        };
        manifest(&what, object, desired.api_version(), desired.kind())
    }

    /// What an apply would change, found by reading only: the live object
    /// against the fields that the manifest sets and those that it no longer
    /// sets. None when the object is not there.
    pub async fn compare(&self, desired: &Manifest) -> Result<Option<Compared>, K8sError> {
        let live = self.live(desired).await?;
        Ok(live.map(|live| compared(&live, desired)))
    }

    /// What an apply would change, worked out by the server: exact also where
    /// the server rewrites what it gets. None when the object is not there.
    pub async fn preview(
        &self,
        desired: &Manifest,
        force: bool,
    ) -> Result<Option<Vec<FieldChange>>, K8sError> {
        let Some(live) = self.live(desired).await? else {
            return Ok(None);
        };
        let options = ApplyOptions {
            force,
            dry_run: true,
        };
        let after = self.apply(desired, options).await?;
        Ok(Some(diff::between(&live, &after)))
    }

    /// Deletes an object that carries the deployment's owner label. False when
    /// it was not there; what belongs to others is an error and stays.
    pub async fn delete_owned(
        &self,
        object: &ObjectRef,
        deployment: &str,
    ) -> Result<bool, K8sError> {
        let Some(live) = self.get(object).await? else {
            return Ok(false);
        };
        if live.label(OWNER_LABEL) != Some(deployment) {
            return Err(K8sError::NotOurs {
                object: object.to_string(),
                owner: live.label(OWNER_LABEL).map_or_else(
                    || "it has no owner label".to_owned(),
                    |owner| format!("{OWNER_LABEL}={owner}"),
                ),
            });
        }
        // The uid makes sure that a successor of the same name is not hit.
        let uid = live.body().pointer("/metadata/uid").and_then(Value::as_str);
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: uid.map(str::to_owned),
            resource_version: None,
        });
        let what = format!("delete {object}");
        let api = self.api(object).await?;
        let result = self
            .call(&what, async |client| {
                api(client).delete(&object.name, &params).await.map(drop)
            })
            .await;
        match result {
            Err(error) if error.is_not_found() => Ok(true),
            other => other.map(|()| true),
        }
    }
}

/// What an apply would change about an object that was read already.
pub fn compared(live: &Manifest, desired: &Manifest) -> Compared {
    Compared {
        owner: live.label(OWNER_LABEL).map(str::to_owned),
        changes: diff::owned(live, desired),
    }
}

/// A live object as a manifest. Lists leave kind and version out of their
/// items.
pub(super) fn manifest(
    what: &str,
    object: DynamicObject,
    api_version: &str,
    kind: &str,
) -> Result<Manifest, K8sError> {
    let answer = |source: Box<dyn std::error::Error + Send + Sync>| K8sError::Answer {
        what: what.to_owned(),
        source,
    };
    let mut body = serde_json::to_value(object).map_err(|e| answer(e.into()))?;
    body["apiVersion"] = Value::from(api_version);
    body["kind"] = Value::from(kind);
    Manifest::new(body).map_err(|e| answer(e.into()))
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, json_status, ok};
    use super::*;
    use serde_json::json;

    const KINDS: &[(&str, &str, &str, &str, &str)] = &[
        ("", "v1", "ConfigMap", "configmaps", "Namespaced"),
        (
            "dapr.io",
            "v1alpha1",
            "Component",
            "components",
            "Namespaced",
        ),
    ];

    fn config_map(data: &str) -> Manifest {
        Manifest::new(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "namespace": "todo"},
            "data": {"k": data}
        }))
        .unwrap()
        .owned_by("team")
    }

    #[tokio::test]
    async fn a_kind_that_is_not_served_yet_is_applied_again_and_a_missing_namespace_is_not() {
        let map = config_map("v");
        let path = "PATCH /api/v1/namespaces/todo/configmaps/c";
        let unserved = "the server could not find the requested resource";
        let (kube, script) = Script::new()
            .discovery(KINDS)
            .answer(path, json_status(404, "NotFound", unserved))
            .answer(path, ok(map.body()))
            .answer(
                path,
                json_status(404, "NotFound", "namespaces \"todo\" not found"),
            )
            .kube();
        kube.apply(&map, ApplyOptions::default()).await.unwrap();
        let error = kube.apply(&map, ApplyOptions::default()).await.unwrap_err();
        assert!(error.is_not_found(), "{error}");
        let patches = script
            .seen()
            .into_iter()
            .filter(|r| r.request.starts_with("PATCH"));
        assert_eq!(patches.count(), 3);
    }

    #[tokio::test]
    async fn apply_is_server_side_with_our_name_and_without_force() {
        let map = config_map("v");
        let (kube, script) = Script::new()
            .discovery(KINDS)
            .answer("PATCH /api/v1/namespaces/todo/configmaps/c", ok(map.body()))
            .answer("PATCH /api/v1/namespaces/todo/configmaps/c", ok(map.body()))
            .kube();
        let applied = kube.apply(&map, ApplyOptions::default()).await.unwrap();
        assert_eq!(applied.name(), "c");
        let options = ApplyOptions {
            force: true,
            dry_run: true,
        };
        kube.apply(&map, options).await.unwrap();
        let seen = script.seen();
        assert!(seen[2].query.contains("fieldManager=todoctl"), "{seen:?}");
        assert!(seen[2].query.contains("fieldValidation=Strict"));
        assert!(!seen[2].query.contains("force"));
        assert!(!seen[2].query.contains("dryRun"));
        assert_eq!(&seen[2].body, map.body());
        assert!(seen[3].query.contains("force=true") && seen[3].query.contains("dryRun=All"));
    }

    #[tokio::test]
    async fn get_tells_absent_from_forbidden() {
        let object = ObjectRef::namespaced("v1", "ConfigMap", "todo", "c");
        let path = "GET /api/v1/namespaces/todo/configmaps/c";
        let (kube, _) = Script::new()
            .discovery(KINDS)
            .answer(path, json_status(404, "NotFound", "not found"))
            .answer(path, json_status(403, "Forbidden", "no"))
            .kube();
        assert_eq!(kube.get(&object).await.unwrap(), None);
        assert!(kube.get(&object).await.is_err());
    }

    #[tokio::test]
    async fn lists_follow_their_pages() {
        let page = |name: &str, more: &str| {
            ok(&json!({
                "kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"continue": more},
                "items": [{"metadata": {"name": name, "namespace": "todo"}}]
            }))
        };
        let (kube, script) = Script::new()
            .discovery(KINDS)
            .answer("GET /api/v1/configmaps", page("a", "next"))
            .answer("GET /api/v1/configmaps", page("b", ""))
            .discovery(KINDS)
            .kube();
        let kinds = [("v1", "ConfigMap"), ("nothing.io/v1", "Nothing")];
        let found = kube.list_owned(&kinds, "team").await.unwrap();
        let names: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["ConfigMap todo/a", "ConfigMap todo/b"]);
        let seen = script.seen();
        assert!(
            seen[2]
                .query
                .contains("labelSelector=todoctl%2Fdeployment%3Dteam")
        );
        assert!(seen[3].query.contains("continue=next"));
    }

    #[tokio::test]
    async fn only_our_own_objects_are_deleted() {
        let object = ObjectRef::namespaced("v1", "ConfigMap", "todo", "c");
        let path = "/api/v1/namespaces/todo/configmaps/c";
        let get = format!("GET {path}");
        let mut ours = config_map("v").body().clone();
        ours["metadata"]["uid"] = json!("u-1");
        let (kube, script) = Script::new()
            .discovery(KINDS)
            .answer(&get, ok(&ours))
            .answer(&get, ok(&ours))
            .answer(
                &format!("DELETE {path}"),
                json_status(404, "NotFound", "gone"),
            )
            .answer(&get, json_status(404, "NotFound", "gone"))
            .kube();
        let error = kube.delete_owned(&object, "other").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "ConfigMap todo/c exists and does not belong to this deployment (todoctl/deployment=team)"
        );
        assert!(kube.delete_owned(&object, "team").await.unwrap());
        assert_eq!(script.seen()[4].body["preconditions"]["uid"], "u-1");
        assert!(!kube.delete_owned(&object, "team").await.unwrap());
    }

    #[tokio::test]
    async fn compare_reads_and_does_not_write() {
        let (kube, script) = Script::new()
            .discovery(KINDS)
            .answer(
                "GET /api/v1/namespaces/todo/configmaps/c",
                ok(config_map("old").body()),
            )
            .kube();
        let changes = kube
            .compare(&config_map("new"))
            .await
            .unwrap()
            .unwrap()
            .changes;
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].to_string(), "data.k: \"old\" -> \"new\"");
        assert!(script.seen().iter().all(|s| s.request.starts_with("GET")));
    }

    #[tokio::test]
    async fn a_kind_to_come_has_no_live_object() {
        let crd_less = Manifest::new(json!({
            "apiVersion": "nothing.io/v1", "kind": "Nothing", "metadata": {"name": "n"}
        }))
        .unwrap();
        let (kube, _) = Script::new().discovery(KINDS).kube();
        assert_eq!(kube.compare(&crd_less).await.unwrap(), None);
    }
}
