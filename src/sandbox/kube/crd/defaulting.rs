//! The values that absent fields of custom resources get.

use serde_json::Value;

/// Fills in the schema's defaults.
pub fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                let Some(default) = property.get("default") else {
                    continue;
                };
                let nullable = property.get("nullable") == Some(&Value::Bool(true));
                match map.get(name) {
                    None => {
                        map.insert(name.clone(), default.clone());
                    }
                    Some(Value::Null) if !nullable => {
                        map.insert(name.clone(), default.clone());
                    }
                    Some(_) => {}
                }
            }
            let rest = schema.get("additionalProperties").filter(|r| r.is_object());
            for (name, child) in map.iter_mut() {
                if let Some(schema) = properties.and_then(|p| p.get(name)).or(rest) {
                    fill(schema, child);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for item in items {
                    fill(schema, item);
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
    fn defaults_fill_what_is_there_but_make_no_parents() {
        let schema = json!({"properties": {
            "spec": {"properties": {"n": {"default": 3}, "o": {"default": {}, "properties": {"p": {"default": "x"}}}}},
            "other": {"properties": {"q": {"default": 1}}},
        }});
        let mut object = json!({"spec": {}});
        fill(&schema, &mut object);
        assert_eq!(object, json!({"spec": {"n": 3, "o": {"p": "x"}}}));
    }
}
