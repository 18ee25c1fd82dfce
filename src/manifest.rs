//! Manifests: one Kubernetes object as JSON, and the labels that say whose it
//! is.
//!
//! A manifest may hold secret data, so `Debug` shows its identity only and
//! [`Manifest::printable`] replaces the data by fingerprints. Only the client
//! that sends it reads [`Manifest::body`].

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Map, Value, json};

use crate::secret::Secret;

/// The label that names the deployment that an object belongs to.
pub const OWNER_LABEL: &str = "todoctl/deployment";

/// The label that names the tool that looks after an object.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// The value of [`MANAGED_BY_LABEL`], and the field manager of our applies.
pub const MANAGER: &str = "todoctl";

/// A value that is no Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the manifest lacks `{0}`")]
pub struct ManifestError(&'static str);

/// One Kubernetes object.
#[derive(Clone, PartialEq)]
pub struct Manifest {
    body: Value,
}

impl Manifest {
    /// Wraps an object that has the fields which every object needs.
    pub fn new(body: Value) -> Result<Self, ManifestError> {
        for (pointer, name) in [
            ("/apiVersion", "apiVersion"),
            ("/kind", "kind"),
            ("/metadata/name", "metadata.name"),
        ] {
            let text = body.pointer(pointer).and_then(Value::as_str);
            if text.is_none_or(str::is_empty) {
                return Err(ManifestError(name));
            }
        }
        Ok(Self { body })
    }

    fn text(&self, pointer: &str) -> &str {
        self.body
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// The API group; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version()
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// The version without its group.
    pub fn version(&self) -> &str {
        self.api_version()
            .split_once('/')
            .map_or(self.api_version(), |(_, version)| version)
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// The namespace; none for objects of the whole cluster.
    pub fn namespace(&self) -> Option<&str> {
        Some(self.text("/metadata/namespace")).filter(|ns| !ns.is_empty())
    }

    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.body
            .pointer("/metadata/labels")
            .and_then(|labels| labels.get(key))
            .and_then(Value::as_str)
    }

    /// The object itself, secrets included: for the wire only.
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// The object for people: the data of secrets replaced by fingerprints.
    pub fn printable(&self) -> Value {
        let mut body = self.body.clone();
        hide_secret_data(&mut body);
        body
    }

    /// The same object with the labels that say whose it is.
    #[must_use]
    pub fn owned_by(mut self, deployment: &str) -> Self {
        let metadata = &mut self.body["metadata"];
        if !metadata["labels"].is_object() {
            metadata["labels"] = Value::Object(Map::new());
        }
        metadata["labels"][MANAGED_BY_LABEL] = json!(MANAGER);
        metadata["labels"][OWNER_LABEL] = json!(deployment);
        self
    }

    /// Where the object stands in the order of creation: what others need
    /// comes first.
    pub fn rank(&self) -> u8 {
        match self.kind() {
            "Namespace" => 0,
            "CustomResourceDefinition" => 1,
            "ServiceAccount" | "Secret" | "ConfigMap" => 2,
            "ClusterRole" | "Role" => 3,
            "ClusterRoleBinding" | "RoleBinding" => 4,
            "Service" | "PersistentVolumeClaim" => 5,
            "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => 7,
            "Ingress" => 8,
            _ => 6,
        }
    }
}

/// A change to rendered objects that is no part of the chart they come from:
/// explicit, and named so that its effect can be told.
#[derive(Clone)]
pub struct Edit {
    name: &'static str,
    change: Arc<Change>,
}

type Change = dyn Fn(&mut Value) -> bool + Send + Sync;

impl Edit {
    /// A change by its name, such as `one scheduler`. The function tells
    /// whether it changed the object.
    pub fn new(
        name: &'static str,
        change: impl Fn(&mut Value) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            change: Arc::new(change),
        }
    }

    /// What it is called in progress and reports.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Changes an object; true when it did.
    pub fn apply(&self, object: &mut Value) -> bool {
        (self.change)(object)
    }

    /// Makes all changes to all objects. What was changed comes back as
    /// `name: Kind namespace/name`.
    pub fn apply_all(
        edits: &[Self],
        manifests: Vec<Manifest>,
    ) -> Result<(Vec<Manifest>, Vec<String>), ManifestError> {
        let mut log = Vec::new();
        let mut out = Vec::with_capacity(manifests.len());
        for mut manifest in manifests {
            for edit in edits {
                if edit.apply(&mut manifest.body) {
                    log.push(format!("{}: {manifest}", edit.name));
                }
            }
            out.push(Manifest::new(manifest.body)?);
        }
        Ok((out, log))
    }
}

impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edit({})", self.name)
    }
}

/// `Kind namespace/name`.
impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind())?;
        if let Some(namespace) = self.namespace() {
            write!(f, "{namespace}/")?;
        }
        f.write_str(self.name())
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifest({self})")
    }
}

/// Replaces the values of a Secret's `data` and `stringData` by fingerprints.
/// Other kinds stay as they are.
pub fn hide_secret_data(body: &mut Value) {
    if body.get("kind").and_then(Value::as_str) != Some("Secret") {
        return;
    }
    for field in ["data", "stringData"] {
        let entries = body.get_mut(field).and_then(Value::as_object_mut);
        for value in entries.into_iter().flat_map(Map::values_mut) {
            let text = value.as_str().unwrap_or_default();
            let plain = base64::engine::general_purpose::STANDARD
                .decode(text)
                .ok()
                .filter(|_| field == "data")
                .and_then(|bytes| String::from_utf8(bytes).ok());
            let secret = Secret::new(plain.unwrap_or_else(|| text.to_owned()));
            *value = json!(format!("[sha256 {}]", secret.fingerprint()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Manifest {
        Manifest::new(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "s", "namespace": "todo"},
            "data": {"k": "aHVudGVyMg=="}
        }))
        .unwrap()
    }

    #[test]
    fn secret_data_is_never_printable() {
        let shown = format!("{:?} {} {}", secret(), secret(), secret().printable());
        assert!(!shown.contains("aHVudGVyMg"), "{shown}");
        let fingerprint = Secret::new("hunter2").fingerprint();
        assert!(shown.contains(&fingerprint), "{shown}");
    }

    #[test]
    fn an_object_knows_its_identity_and_owner() {
        let object = secret().owned_by("team");
        assert_eq!(object.to_string(), "Secret todo/s");
        assert_eq!(object.label(OWNER_LABEL), Some("team"));
        assert_eq!(object.label(MANAGED_BY_LABEL), Some("todoctl"));
        let deployment = Manifest::new(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}
        }))
        .unwrap();
        assert_eq!((deployment.group(), deployment.version()), ("apps", "v1"));
        assert_eq!(deployment.namespace(), None);
        assert!(object.rank() < deployment.rank());
    }

    #[test]
    fn an_object_without_a_name_is_refused() {
        let error = Manifest::new(json!({"apiVersion": "v1", "kind": "Pod"})).unwrap_err();
        assert_eq!(error.to_string(), "the manifest lacks `metadata.name`");
    }
}
