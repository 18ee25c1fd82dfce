//! The rules for the metadata of all objects.

use serde_json::{Value, json};

use super::names;
use crate::sandbox::kube::catalog::Resource;
use crate::sandbox::kube::cluster::text;
use crate::sandbox::kube::status::Cause;

/// Annotations together may not be larger.
const ANNOTATIONS: usize = 256 * 1024;

/// Checks an object's metadata.
pub(super) fn check(resource: &Resource, object: &Value, out: &mut Vec<Cause>) {
    let name = text(object, "/metadata/name");
    if name.is_empty() {
        let detail = "name or generateName is required";
        out.push(Cause::required("metadata.name", detail));
    } else if let Some(wrong) = name_rule(resource)(name) {
        out.push(Cause::invalid("metadata.name", &json!(name), &wrong));
    }
    labels(object, "/metadata", "metadata", out);
    super::pod::finalizers(object, out);
    references(object, out);
}

fn name_rule(resource: &Resource) -> fn(&str) -> Option<String> {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces" | "services") => names::undotted,
        ("rbac.authorization.k8s.io", _) => names::path_segment,
        _ => names::subdomain,
    }
}

/// Checks the labels and annotations of an object or template.
pub(super) fn labels(object: &Value, pointer: &str, field: &str, out: &mut Vec<Cause>) {
    let map = |name: &str| {
        let found = object.pointer(&format!("{pointer}/{name}"));
        found.and_then(Value::as_object).into_iter().flatten()
    };
    for (key, value) in map("labels") {
        let field = format!("{field}.labels");
        if let Some(wrong) = names::qualified(key) {
            out.push(Cause::invalid(&field, &json!(key), &wrong));
        }
        if let Some(wrong) = names::label_value(value.as_str().unwrap_or_default()) {
            out.push(Cause::invalid(&field, value, &wrong));
        }
    }
    let mut size = 0;
    for (key, value) in map("annotations") {
        if let Some(wrong) = names::qualified(&key.to_ascii_lowercase()) {
            out.push(Cause::invalid(
                format!("{field}.annotations"),
                &json!(key),
                &wrong,
            ));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS {
        out.push(Cause::too_long(format!("{field}.annotations"), ANNOTATIONS));
    }
}

fn references(object: &Value, out: &mut Vec<Cause>) {
    let list = object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    for reference in list.into_iter().flatten() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if text(reference, &format!("/{field}")).is_empty() {
                let place = format!("metadata.ownerReferences.{field}");
                let detail = if field == "apiVersion" {
                    "version must not be empty"
                } else {
                    "must not be empty"
                };
                out.push(Cause::invalid(place, &json!(""), detail));
            }
        }
    }
}
