//! Differences between a live object and a desired one, field by field, for
//! plans.
//!
//! [`owned`] needs no write permission: it looks at the fields that the
//! manifest sets, and at those that we own but no longer set. Everything else
//! belongs to the server or to other managers and is not ours to report.

use std::fmt;

use serde_json::{Map, Value};

use crate::manifest::{MANAGER, Manifest};

/// One field that differs.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct FieldChange {
    /// Path of the field, for instance `spec.metadata[brokers].value`.
    pub path: String,
    /// Its live value; none when the field is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Its desired value; none when the field goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// `path: before -> after`.
impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| {
            value
                .as_ref()
                .map_or_else(|| "(none)".to_owned(), ToString::to_string)
        };
        write!(
            f,
            "{}: {} -> {}",
            self.path,
            shown(&self.before),
            shown(&self.after)
        )
    }
}

/// Fields that the server keeps for itself.
const OF_THE_SERVER: &[&str] = &[
    "metadata.managedFields",
    "metadata.resourceVersion",
    "metadata.generation",
    "metadata.creationTimestamp",
    "metadata.uid",
    "metadata.selfLink",
    "status",
];

/// What applying `desired` would change on `live`.
pub fn owned(live: &Manifest, desired: &Manifest) -> Vec<FieldChange> {
    let (before, after) = (live.printable(), desired.printable());
    let mut out = Vec::new();
    set_fields(&before, &after, "", &mut out);
    if let Some(fields) = our_fields(&before) {
        dropped_fields(fields, &before, Some(&after), "", &mut out);
    }
    out
}

/// Every field that differs between two live states of an object.
pub fn between(before: &Manifest, after: &Manifest) -> Vec<FieldChange> {
    let (before, after) = (before.printable(), after.printable());
    let mut out = Vec::new();
    set_fields(&before, &after, "", &mut out);
    // What is gone is what the way back would set.
    let mut back = Vec::new();
    set_fields(&after, &before, "", &mut back);
    let gone = back.into_iter().filter(|change| change.before.is_none());
    out.extend(gone.map(|change| FieldChange {
        path: change.path,
        before: change.after,
        after: None,
    }));
    out
}

/// The fields that `after` sets and `before` has otherwise.
fn set_fields(before: &Value, after: &Value, path: &str, out: &mut Vec<FieldChange>) {
    if OF_THE_SERVER.contains(&path) || before == after {
        return;
    }
    match (before, after) {
        (Value::Object(b), Value::Object(a)) => {
            for (key, after) in a {
                below(b.get(key), after, &join(path, key), out);
            }
        }
        (Value::Array(b), Value::Array(a)) if is_named(a) && is_named(b) => {
            for item in a {
                let name = name_of(item).unwrap_or_default();
                let live = b.iter().find(|live| name_of(live) == Some(name));
                below(live, item, &format!("{path}[{name}]"), out);
            }
        }
        _ => out.push(FieldChange {
            path: path.to_owned(),
            before: Some(before.clone()),
            after: Some(after.clone()),
        }),
    }
}

fn below(before: Option<&Value>, after: &Value, path: &str, out: &mut Vec<FieldChange>) {
    match before {
        Some(before) => set_fields(before, after, path, out),
        // The server drops nulls and empty maps.
        None if after.is_null() || after.as_object().is_some_and(Map::is_empty) => {}
        None if OF_THE_SERVER.contains(&path) => {}
        None => out.push(FieldChange {
            path: path.to_owned(),
            before: None,
            after: Some(after.clone()),
        }),
    }
}

/// A list whose items go by their `name`, as most lists of the API do.
fn is_named(items: &[Value]) -> bool {
    items.iter().all(|item| name_of(item).is_some())
}

fn name_of(item: &Value) -> Option<&str> {
    item.get("name").and_then(Value::as_str)
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// The fields that our applies own, as `fieldsV1`.
fn our_fields(live: &Value) -> Option<&Value> {
    live.pointer("/metadata/managedFields")?
        .as_array()?
        .iter()
        .find(|entry| {
            entry.get("manager").and_then(Value::as_str) == Some(MANAGER)
                && entry.get("operation").and_then(Value::as_str) == Some("Apply")
                && entry.get("subresource").is_none()
        })?
        .get("fieldsV1")
}

/// The fields that we own and the manifest no longer sets: an apply removes
/// them. Keys of `fieldsV1` are `f:NAME` for fields, `k:{...}` for list items
/// by key, `v:...` for items of sets, and `.` for the thing itself.
fn dropped_fields(
    fields: &Value,
    live: &Value,
    desired: Option<&Value>,
    path: &str,
    out: &mut Vec<FieldChange>,
) {
    for (key, inner) in fields.as_object().into_iter().flatten() {
        let (live, desired, path) = if let Some(name) = key.strip_prefix("f:") {
            let desired = desired.and_then(|d| d.get(name));
            (live.get(name), desired, join(path, name))
        } else if let Some(item) = key.strip_prefix("k:") {
            let Ok(keys) = serde_json::from_str::<Map<String, Value>>(item) else {
                continue;
            };
            let find = |list: &'_ Value| -> Option<usize> {
                list.as_array()?
                    .iter()
                    .position(|i| keys.iter().all(|(k, v)| i.get(k) == Some(v)))
            };
            let label = keys
                .values()
                .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(",");
            (
                find(live).and_then(|i| live.get(i)),
                desired.and_then(|d| d.get(find(d)?)),
                format!("{path}[{label}]"),
            )
        } else {
            continue;
        };
        let Some(live) = live else { continue };
        match desired {
            Some(desired) => dropped_fields(inner, live, Some(desired), &path, out),
            None => out.push(FieldChange {
                path,
                before: Some(live.clone()),
                after: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(extra: &Value) -> Manifest {
        let mut body = json!({
            "apiVersion": "dapr.io/v1alpha1", "kind": "Component",
            "metadata": {"name": "c", "namespace": "todo"}
        });
        for (key, value) in extra.as_object().unwrap() {
            body[key] = value.clone();
        }
        Manifest::new(body).unwrap()
    }

    fn told(changes: &[FieldChange]) -> Vec<String> {
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_server_adds_is_no_difference() {
        let desired = object(&json!({"spec": {"type": "a", "empty": {}}}));
        let live = object(&json!({
            "spec": {"type": "a", "defaulted": true},
            "metadata": {"name": "c", "namespace": "todo", "uid": "1", "resourceVersion": "2",
                         "labels": {"theirs": "x"}},
            "status": {"ready": true}
        }));
        assert_eq!(owned(&live, &desired), []);
    }

    #[test]
    fn list_items_go_by_name() {
        let live = object(&json!({"spec": {"metadata": [
            {"name": "brokers", "value": "old:1"}, {"name": "authType", "value": "none"}
        ]}}));
        let desired = object(&json!({"spec": {"metadata": [
            {"name": "authType", "value": "none"}, {"name": "brokers", "value": "new:1"},
            {"name": "extra", "value": "x"}
        ], "scopes": ["a"]}}));
        assert_eq!(
            told(&owned(&live, &desired)),
            [
                "spec.metadata[brokers].value: \"old:1\" -> \"new:1\"",
                "spec.metadata[extra]: (none) -> {\"name\":\"extra\",\"value\":\"x\"}",
                "spec.scopes: (none) -> [\"a\"]",
            ]
        );
    }

    #[test]
    fn a_field_that_we_own_and_no_longer_set_goes() {
        let live = object(&json!({
            "metadata": {"name": "c", "namespace": "todo", "labels": {"ours": "x", "theirs": "y"},
                "managedFields": [
                    {"manager": "kubectl", "operation": "Apply",
                     "fieldsV1": {"f:metadata": {"f:labels": {"f:theirs": {}}}}},
                    {"manager": "todoctl", "operation": "Apply", "fieldsV1": {
                        "f:metadata": {"f:labels": {"f:ours": {}}},
                        "f:spec": {"f:type": {}, "f:ports": {"k:{\"port\":80}": {".": {}, "f:port": {}}}}
                    }}
                ]},
            "spec": {"type": "a", "ports": [{"port": 80}, {"port": 81}]}
        }));
        let desired = object(&json!({"spec": {"type": "a"}}));
        assert_eq!(
            told(&owned(&live, &desired)),
            [
                "metadata.labels: {\"ours\":\"x\",\"theirs\":\"y\"} -> (none)",
                "spec.ports: [{\"port\":80},{\"port\":81}] -> (none)",
            ]
        );
        let desired = object(&json!({
            "metadata": {"name": "c", "namespace": "todo", "labels": {}},
            "spec": {"type": "a", "ports": [{"port": 81}]}
        }));
        let changes = told(&owned(&live, &desired));
        assert!(changes.contains(&"metadata.labels.ours: \"x\" -> (none)".to_owned()));
        assert!(changes.contains(&"spec.ports[80]: {\"port\":80} -> (none)".to_owned()));
    }

    #[test]
    fn two_states_differ_both_ways() {
        let before = object(&json!({"spec": {"a": 1, "b": {"c": 2}}}));
        let after = object(&json!({"spec": {"a": 3, "b": {}}}));
        assert_eq!(
            told(&between(&before, &after)),
            ["spec.a: 1 -> 3", "spec.b.c: 2 -> (none)"]
        );
    }

    #[test]
    fn secret_data_shows_as_fingerprints() {
        let secret = |data: &str| {
            Manifest::new(json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
                "data": {"k": data}
            }))
            .unwrap()
        };
        let changes = owned(&secret("aHVudGVyMg=="), &secret("aHVudGVyMw=="));
        let shown = told(&changes).join("\n");
        assert!(shown.starts_with("data.k: \"[sha256 "), "{shown}");
        assert!(!shown.contains("aHVudGVy"), "{shown}");
        assert_eq!(owned(&secret("aHVudGVyMg=="), &secret("aHVudGVyMg==")), []);
    }
}
