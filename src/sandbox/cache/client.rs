//! A client whose deeds the cache knows at once.

use std::sync::Arc;

use serde_json::Value;

use super::Cache;
use crate::sandbox::api::{Api, ApiError};
use crate::sandbox::kind::{Kind, text};
use crate::sandbox::kube::patch::merge;

/// A client whose deeds the cache knows at once.
#[derive(Debug, Clone)]
pub struct Client {
    /// Who acts.
    pub api: Api,
    /// What is known.
    pub cache: Arc<Cache>,
}

impl Client {
    /// The same in a controller's name.
    #[must_use]
    pub fn as_controller(&self, name: &str) -> Self {
        Self {
            api: self.api.as_controller(name),
            cache: self.cache.clone(),
        }
    }

    /// Makes an object.
    pub async fn create(&self, kind: Kind, object: &Value) -> Result<Arc<Value>, ApiError> {
        let path = kind.collection(text(object, "/metadata/namespace"));
        let made = self.api.create(&path, object).await?;
        Ok(self.cache.observe(kind, made))
    }

    /// Replaces an object, if it is still in the version given.
    pub async fn update(&self, kind: Kind, object: &Value) -> Result<Arc<Value>, ApiError> {
        let made = self.api.update(&kind.path_of(object), object).await?;
        Ok(self.cache.observe(kind, made))
    }

    /// Changes an object by a merge patch. The real controllers may patch pods
    /// and nodes, but only replace most of what else they change: then it is
    /// the known version that is changed, or a conflict.
    pub async fn merge(
        &self,
        kind: Kind,
        object: &Value,
        patch: &Value,
    ) -> Result<Arc<Value>, ApiError> {
        if matches!(kind, Kind::Pods | Kind::Nodes) {
            let made = self.api.merge(&kind.path_of(object), patch).await?;
            return Ok(self.cache.observe(kind, made));
        }
        let mut changed = object.clone();
        merge::apply(&mut changed, patch);
        self.update(kind, &changed).await
    }

    /// Replaces an object's status, unless it is so already.
    pub async fn set_status(
        &self,
        kind: Kind,
        object: &Value,
        status: Value,
    ) -> Result<(), ApiError> {
        if object.get("status") == Some(&status) {
            return Ok(());
        }
        let mut object = object.clone();
        object["status"] = status;
        let path = format!("{}/status", kind.path_of(&object));
        let made = self.api.update(&path, &object).await?;
        self.cache.observe(kind, made);
        Ok(())
    }

    /// Deletes an object; one that is gone already is fine.
    pub async fn delete(&self, kind: Kind, object: &Value) -> Result<(), ApiError> {
        self.delete_within(kind, object, None).await
    }

    /// Deletes a pod with this grace period.
    pub async fn delete_within(
        &self,
        kind: Kind,
        object: &Value,
        grace: Option<u64>,
    ) -> Result<(), ApiError> {
        let uid = text(object, "/metadata/uid");
        let answer = match self.api.delete_uid(&kind.path_of(object), uid, grace).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => {
                self.cache.forget(kind, object);
                return Ok(());
            }
            // Another object has the name.
            Err(error) if error.is_conflict() && error.message().contains("UID") => return Ok(()),
            Err(error) => return Err(error),
        };
        let waits = answer
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array)
            .is_some_and(|all| !all.is_empty())
            || answer
                .pointer("/metadata/deletionGracePeriodSeconds")
                .and_then(Value::as_u64)
                .is_some_and(|seconds| seconds > 0);
        if waits {
            self.cache.observe(kind, answer);
        } else {
            self.cache.forget(kind, object);
        }
        Ok(())
    }
}
