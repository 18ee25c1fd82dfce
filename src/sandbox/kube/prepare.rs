//! What every write does to an object besides what its caller wants: form,
//! identity, generation, and what an endpoint must not touch.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::catalog::{Resource, Sub};
use super::cluster::{Cluster, key, text};
use super::schema::walk::normalise;

/// An object without its revision.
pub fn drop_version(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("resourceVersion");
    }
}

/// The object before there is one: what Go's zero value would be written as.
pub fn blank(resource: &Resource) -> Value {
    let mut blank = json!({
        "apiVersion": resource.api_version(),
        "kind": resource.kind,
        "metadata": {},
    });
    shape(resource, &mut blank);
    blank
}

/// Brings a built-in object into the form that Kubernetes' own types have.
pub fn shape(resource: &Resource, object: &mut Value) {
    if resource.custom.is_none() {
        let schema = &resource.schema;
        normalise(&schema.types, schema.root, object);
    }
}

/// An object in the version that rows are kept in.
pub fn to_storage(resource: &Resource, mut object: Value) -> Value {
    if let Some(map) = object.as_object_mut() {
        let version = if resource.storage_group.is_empty() {
            resource.storage_version.clone()
        } else {
            format!("{}/{}", resource.storage_group, resource.storage_version)
        };
        map.insert("apiVersion".to_owned(), json!(version));
        map.insert("kind".to_owned(), json!(resource.kind));
    }
    drop_version(&mut object);
    object
}

/// What this endpoint does not write.
pub fn ignored(resource: &Resource, sub: Option<Sub>) -> Vec<&'static [&'static str]> {
    match sub {
        Some(Sub::Status) if resource.custom.is_some() => vec![&["metadata"], &["spec"]],
        Some(Sub::Status) => vec![&["spec"]],
        _ if resource.has(Sub::Status) => vec![&["status"]],
        _ => Vec::new(),
    }
}

/// Gives a new object its identity.
pub fn prepare_create(cluster: &Arc<Cluster>, resource: &Resource, object: &mut Value) {
    let name = text(object, "/metadata/name").to_owned();
    let namespace = text(object, "/metadata/namespace").to_owned();
    let uid = cluster.uid(&cluster.table(resource), &key(&namespace, &name));
    let now = cluster.now();
    if resource.has(Sub::Status)
        && let Some(map) = object.as_object_mut()
    {
        map.shift_remove("status");
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    for field in [
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
    ] {
        metadata.shift_remove(field);
    }
    metadata.insert("uid".to_owned(), json!(uid));
    metadata.insert("creationTimestamp".to_owned(), json!(now));
    if has_generation(resource) {
        metadata.insert("generation".to_owned(), json!(1));
    }
}

/// Takes over from the live object what this write must not change.
pub fn prepare_update(resource: &Resource, sub: Option<Sub>, old: &Value, new: &mut Value) {
    match sub {
        Some(Sub::Status) => {
            let status = new.get("status").cloned();
            let metadata = new.get("metadata").cloned();
            new.clone_from(old);
            if let Some(map) = new.as_object_mut() {
                match status {
                    Some(status) => map.insert("status".to_owned(), status),
                    None => map.shift_remove("status"),
                };
                if let (Some(metadata), None) = (metadata, &resource.custom) {
                    map.insert("metadata".to_owned(), metadata);
                }
            }
        }
        _ if resource.has(Sub::Status) => {
            if let Some(map) = new.as_object_mut() {
                match old.get("status") {
                    Some(status) => map.insert("status".to_owned(), status.clone()),
                    None => map.shift_remove("status"),
                };
            }
        }
        _ => {}
    }
    let kept = [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
        "selfLink",
    ];
    let old = old.get("metadata").and_then(Value::as_object);
    if let Some((old, new)) = old.zip(new.get_mut("metadata").and_then(Value::as_object_mut)) {
        for field in kept {
            match old.get(field) {
                Some(value) => new.insert(field.to_owned(), value.clone()),
                None => new.shift_remove(field),
            };
        }
        new.shift_remove("managedFields");
        new.shift_remove("resourceVersion");
    }
}

/// Counts a change of what an object asks for. A Deployment's annotations are
/// part of that, because its replica sets get them.
pub fn bump_generation(resource: &Resource, sub: Option<Sub>, old: &Value, new: &mut Value) {
    if !has_generation(resource) {
        return;
    }
    let noted = |object: &Value| object.pointer("/metadata/annotations").cloned();
    let is_deployment = (&*resource.group, &*resource.plural) == ("apps", "deployments");
    let renoted = is_deployment && sub != Some(Sub::Status) && noted(old) != noted(new);
    let essence = |object: &Value| -> Map<String, Value> {
        let fields = object.as_object().into_iter().flatten();
        fields
            .filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    let marked = |object: &Value| object.pointer("/metadata/deletionTimestamp").is_some();
    if essence(old) != essence(new) || marked(old) != marked(new) || renoted {
        raise_generation(new);
    }
}

/// Counts one more change of what an object asks for.
pub fn raise_generation(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        && let Some(generation) = metadata.get("generation").and_then(Value::as_u64)
    {
        metadata.insert("generation".to_owned(), json!(generation + 1));
    }
}

/// Resources that count changes of what they ask for.
fn has_generation(resource: &Resource) -> bool {
    resource.custom.is_some()
        || matches!(
            (resource.group.as_str(), resource.plural.as_str()),
            ("", "pods" | "replicationcontrollers")
                | (
                    "apps",
                    "deployments" | "daemonsets" | "replicasets" | "statefulsets"
                )
                | (
                    "batch"
                        | "networking.k8s.io"
                        | "policy"
                        | "apiextensions.k8s.io"
                        | "admissionregistration.k8s.io"
                        | "scheduling.k8s.io"
                        | "discovery.k8s.io",
                    _
                )
        )
}

/// Whether an object that was to be deleted has nothing left to wait for.
pub fn is_finished(object: &Value) -> bool {
    let marked = object.pointer("/metadata/deletionTimestamp").is_some();
    let waits = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty())
    };
    let grace = object
        .pointer("/metadata/deletionGracePeriodSeconds")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    marked && grace == 0 && !waits("/metadata/finalizers") && !waits("/spec/finalizers")
}
