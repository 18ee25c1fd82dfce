//! Definitions themselves: what they default to and which rules they keep.

use serde_json::{Map, Value, json};

use crate::sandbox::kube::cluster::text;
use crate::sandbox::kube::status::Cause;

/// Fills in what a definition leaves out.
pub fn prepare(definition: &mut Value) {
    let kind = text(definition, "/spec/names/kind").to_owned();
    if let Some(names) = definition
        .pointer_mut("/spec/names")
        .and_then(Value::as_object_mut)
    {
        names
            .entry("singular")
            .or_insert_with(|| json!(kind.to_ascii_lowercase()));
        names
            .entry("listKind")
            .or_insert_with(|| json!(format!("{kind}List")));
    }
    if let Some(spec) = definition.get_mut("spec").and_then(Value::as_object_mut) {
        spec.entry("conversion")
            .or_insert_with(|| json!({"strategy": "None"}));
    }
}

/// Gives a new definition its first status.
pub fn start(definition: &mut Value) {
    let Some(map) = definition.as_object_mut() else {
        return;
    };
    let stored: Vec<_> = map
        .get("spec")
        .and_then(|s| s.get("versions"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|v| v["storage"] == true)
        .map(|v| v["name"].clone())
        .collect();
    map.insert(
        "status".to_owned(),
        json!({"conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}),
    );
}

/// The rules that a definition breaks.
pub fn check(old: Option<&Value>, definition: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let plural = text(definition, "/spec/names/plural");
    let group = text(definition, "/spec/group");
    let name = text(definition, "/metadata/name");
    let wanted = format!("{plural}.{group}");
    if name != wanted {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", &json!(name), detail));
    }
    for (pointer, field) in [
        ("/spec/group", "spec.group"),
        ("/spec/names/plural", "spec.names.plural"),
        ("/spec/names/kind", "spec.names.kind"),
        ("/spec/scope", "spec.scope"),
    ] {
        if text(definition, pointer).is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
    let scope = text(definition, "/spec/scope");
    if !scope.is_empty() && !["Cluster", "Namespaced"].contains(&scope) {
        let known = ["Cluster", "Namespaced"];
        causes.push(Cause::unsupported("spec.scope", &json!(scope), &known));
    }
    let versions = definition
        .pointer("/spec/versions")
        .and_then(Value::as_array);
    let versions = versions.map_or(&[][..], Vec::as_slice);
    let storage = versions.iter().filter(|v| v["storage"] == true).count();
    if storage != 1 {
        let detail = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid("spec.versions", &json!(versions), detail));
    }
    for (index, version) in versions.iter().enumerate() {
        let field = format!("spec.versions[{index}].schema.openAPIV3Schema");
        match version.pointer("/schema/openAPIV3Schema") {
            None => causes.push(Cause::required(field, "")),
            Some(schema) => {
                // A single version's schema is told by its old place.
                let field = if versions.len() == 1 {
                    "spec.validation.openAPIV3Schema".to_owned()
                } else {
                    field
                };
                structural(schema, &field, &mut causes);
            }
        }
    }
    if let Some(old) = old {
        for (pointer, field) in [
            ("/spec/group", "spec.group"),
            ("/spec/scope", "spec.scope"),
            ("/spec/names/plural", "spec.names.plural"),
            ("/spec/names/kind", "spec.names.kind"),
        ] {
            let (was, is) = (text(old, pointer), text(definition, pointer));
            if was != is && pointer != "/spec/names/kind" {
                causes.push(Cause::invalid(field, &json!(is), "field is immutable"));
            }
        }
    }
    causes
}

/// A structural schema states a type everywhere.
fn structural(schema: &Value, field: &str, causes: &mut Vec<Cause>) {
    let flag = |name: &str| schema.get(name) == Some(&Value::Bool(true));
    let typed = schema
        .get("type")
        .and_then(Value::as_str)
        .is_some_and(|t| !t.is_empty());
    let free = flag("x-kubernetes-int-or-string") || flag("x-kubernetes-preserve-unknown-fields");
    if !typed && !free {
        let detail = if field.ends_with("openAPIV3Schema") {
            "must not be empty at the root"
        } else {
            "must not be empty for specified object fields"
        };
        causes.push(Cause::required(format!("{field}.type"), detail));
    }
    keyed(schema, field, causes);
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.unwrap_or(&empty) {
        structural(property, &format!("{field}.properties[{name}]"), causes);
    }
    for part in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(part).filter(|s| s.is_object()) {
            structural(inner, &format!("{field}.{part}"), causes);
        }
    }
}

/// The keys of a keyed list are there in every item.
fn keyed(schema: &Value, field: &str, causes: &mut Vec<Cause>) {
    let keys = schema
        .get("x-kubernetes-list-map-keys")
        .and_then(Value::as_array);
    let required = schema.pointer("/items/required").and_then(Value::as_array);
    for key in keys.into_iter().flatten().filter_map(Value::as_str) {
        let stated = required.is_some_and(|r| r.iter().any(|name| name == key));
        let default = schema.pointer(&format!("/items/properties/{key}/default"));
        if !stated && default.is_none() {
            causes.push(Cause::required(
                format!("{field}.items.properties[{key}].default"),
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ));
        }
    }
}
