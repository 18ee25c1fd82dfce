//! Writes of a kind that the deployment's own objects do not need: under
//! another manager's name, plain creation and replacement, unowned deletion.
//!
//! Releases are shared with other tools, so these take the manager and the
//! expectations as arguments instead of having opinions.

use kube::api::{
    DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use serde_json::{Value, json};

use super::object::manifest;
use super::{ApplyOptions, K8sError, Kube, ObjectRef};
use crate::manifest::Manifest;

/// How to delete an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Only the object with this uid: a successor of the same name is spared.
    pub uid: Option<String>,
    /// Return only when the dependents are gone, too, as far as the server
    /// says so.
    pub foreground: bool,
}

impl Kube {
    /// Server-side apply as any field manager.
    pub async fn apply_as(
        &self,
        desired: &Manifest,
        manager: &str,
        options: ApplyOptions,
    ) -> Result<Manifest, K8sError> {
        let what = format!("apply {desired}");
        let api = self.api(&desired.into()).await?;
        let mut params = PatchParams::apply(manager).validation_strict();
        params.force = options.force;
        params.dry_run = options.dry_run;
        let patch = Patch::Apply(desired.body());
        let object = self
            .call(&what, async |client| {
                api(client).patch(desired.name(), &params, &patch).await
            })
            .await?;
        manifest(&what, object, desired.api_version(), desired.kind())
    }

    /// Creates an object. A repeated attempt whose first answer was lost ends
    /// in `AlreadyExists`; the caller can tell its own object.
    pub async fn create(&self, new: &Manifest, manager: &str) -> Result<Manifest, K8sError> {
        let what = format!("create {new}");
        let api = self.api(&new.into()).await?;
        let params = PostParams {
            field_manager: Some(manager.to_owned()),
            ..PostParams::default()
        };
        let object = dynamic(&what, new)?;
        let created = self
            .call(&what, async |client| {
                api(client).create(&params, &object).await
            })
            .await?;
        manifest(&what, created, new.api_version(), new.kind())
    }

    /// Puts an object in the place of the one of its name.
    pub async fn replace(&self, new: &Manifest, manager: &str) -> Result<Manifest, K8sError> {
        let what = format!("update {new}");
        let api = self.api(&new.into()).await?;
        let params = PostParams {
            field_manager: Some(manager.to_owned()),
            ..PostParams::default()
        };
        let object = dynamic(&what, new)?;
        let replaced = self
            .call(&what, async |client| {
                api(client).replace(new.name(), &params, &object).await
            })
            .await?;
        manifest(&what, replaced, new.api_version(), new.kind())
    }

    /// Deletes an object whoever owns it. False when it was not there.
    pub async fn delete(
        &self,
        object: &ObjectRef,
        options: &DeleteOptions,
    ) -> Result<bool, K8sError> {
        let what = format!("delete {object}");
        let api = match self.api(object).await {
            Err(K8sError::UnknownKind { .. }) => return Ok(false),
            other => other?,
        };
        let mut params = DeleteParams {
            propagation_policy: Some(if options.foreground {
                PropagationPolicy::Foreground
            } else {
                PropagationPolicy::Background
            }),
            ..DeleteParams::default()
        };
        if options.uid.is_some() {
            params = params.preconditions(Preconditions {
                uid: options.uid.clone(),
                resource_version: None,
            });
        }
        let result = self
            .call(&what, async |client| {
                api(client).delete(&object.name, &params).await.map(drop)
            })
            .await;
        match result {
            Ok(()) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            // Another object has taken the name since: ours is gone.
            Err(K8sError::Api { code: 409, .. }) if options.uid.is_some() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Replaces the list of field managers of an object as it was seen; a
    /// change in between is a conflict.
    pub async fn set_managed_fields(
        &self,
        live: &Manifest,
        managed_fields: &Value,
    ) -> Result<(), K8sError> {
        let what = format!("hand over the fields of {live}");
        let api = self.api(&live.into()).await?;
        let version = live.body().pointer("/metadata/resourceVersion");
        let operations = json!([
            {"op": "replace", "path": "/metadata/managedFields", "value": managed_fields},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
        ]);
        let patch: Patch<Value> =
            Patch::Json(
                serde_json::from_value(operations).map_err(|e| K8sError::Answer {
                    what: what.clone(),
                    source: e.into(),
                })?,
            );
        let params = PatchParams::default();
        self.call(&what, async |client| {
            api(client)
                .patch(live.name(), &params, &patch)
                .await
                .map(drop)
        })
        .await
    }
}

fn dynamic(what: &str, object: &Manifest) -> Result<DynamicObject, K8sError> {
    serde_json::from_value(object.body().clone()).map_err(|source| K8sError::Answer {
        what: what.to_owned(),
        source: source.into(),
    })
}
