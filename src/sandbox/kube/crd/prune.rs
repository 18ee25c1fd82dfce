//! Dropping what a structural schema does not know.

use serde_json::Value;

/// Removes unknown fields, and notes them.
pub fn prune(schema: &Value, object: &mut Value, unknown: &mut Vec<String>) {
    walk(schema, object, "", true, unknown);
}

fn walk(schema: &Value, value: &mut Value, path: &str, root: bool, unknown: &mut Vec<String>) {
    let flag = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
    let keeps = flag("x-kubernetes-preserve-unknown-fields");
    let embedded = flag("x-kubernetes-embedded-resource");
    match value {
        Value::Object(map) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let rest = schema.get("additionalProperties");
            let open = keeps || rest.is_some_and(|r| r != &Value::Bool(false));
            let join = |name: &str| {
                if path.is_empty() {
                    name.to_owned()
                } else {
                    format!("{path}.{name}")
                }
            };
            map.retain(|name, _| {
                let meta = (root || embedded)
                    && matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
                let known = open || meta || properties.is_some_and(|p| p.contains_key(name));
                if !known {
                    unknown.push(format!("unknown field \"{}\"", join(name)));
                }
                known
            });
            for (name, child) in map.iter_mut() {
                if (root || embedded) && name == "metadata" {
                    continue;
                }
                let schema = properties
                    .and_then(|p| p.get(name))
                    .or(rest.filter(|r| r.is_object()));
                if let Some(schema) = schema {
                    walk(schema, child, &join(name), false, unknown);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter_mut().enumerate() {
                    walk(schema, item, &format!("{path}[{index}]"), false, unknown);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_known_fields_stay() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "string"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "string"}}}},
        }}}});
        let mut object = json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"}, "other": 1,
            "spec": {"a": "1", "b": 2, "free": {"y": 1}, "list": [{"x": "1", "z": 2}]}});
        let mut unknown = Vec::new();
        prune(&schema, &mut object, &mut unknown);
        assert_eq!(
            object,
            json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"},
            "spec": {"a": "1", "free": {"y": 1}, "list": [{"x": "1"}]}})
        );
        assert_eq!(
            unknown,
            [
                "unknown field \"other\"",
                "unknown field \"spec.b\"",
                "unknown field \"spec.list[0].z\""
            ]
        );
    }
}
