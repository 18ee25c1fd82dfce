//! Checking custom resources against their schemas, in Kubernetes' words.

use serde_json::{Value, json};

use crate::sandbox::kube::status::Cause;

/// The rules that a value breaks.
pub fn validate(schema: &Value, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    walk(schema, object, "", &mut causes);
    causes
}

fn walk(schema: &Value, value: &Value, path: &str, out: &mut Vec<Cause>) {
    let nullable = schema.get("nullable") == Some(&Value::Bool(true));
    if value.is_null() && nullable {
        return;
    }
    if !has_type(schema, value) {
        let wanted = schema
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or("integer,string");
        let got = type_name(value);
        let detail = format!("{path} in body must be of type {wanted}: \"{got}\"");
        out.push(Cause::type_invalid(place(path), &json!(got), &detail));
        return;
    }
    enumerated(schema, value, path, out);
    match value {
        Value::String(text) => strings(schema, text, path, out),
        Value::Number(_) => numbers(schema, value, path, out),
        Value::Array(items) => arrays(schema, items, path, out),
        Value::Object(map) => objects(schema, map, path, out),
        _ => {}
    }
    combined(schema, value, path, out);
}

fn place(path: &str) -> String {
    if path.is_empty() {
        "<nil>".to_owned()
    } else {
        path.to_owned()
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return value.is_string() || value.is_i64() || value.is_u64();
    }
    let whole = || value.as_f64().is_some_and(|n| n.fract() == 0.0);
    match schema.get("type").and_then(Value::as_str) {
        None | Some("") => true,
        Some("integer") => value.is_i64() || value.is_u64() || whole(),
        Some("number") => value.is_number(),
        Some(wanted) => type_name(value) == wanted,
    }
}

fn enumerated(schema: &Value, value: &Value, path: &str, out: &mut Vec<Cause>) {
    let Some(known) = schema.get("enum").and_then(Value::as_array) else {
        return;
    };
    if !known.contains(value) {
        let known: Vec<_> = known
            .iter()
            .map(|k| k.as_str().map_or_else(|| k.to_string(), str::to_owned))
            .collect();
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        out.push(Cause::unsupported(place(path), value, &known));
    }
}

fn number(schema: &Value, name: &str) -> Option<f64> {
    schema.get(name).and_then(Value::as_f64)
}

fn count(schema: &Value, name: &str) -> Option<usize> {
    schema
        .get(name)
        .and_then(Value::as_u64)
        .and_then(|n| usize::try_from(n).ok())
}

fn strings(schema: &Value, text: &str, path: &str, out: &mut Vec<Cause>) {
    let value = json!(text);
    let length = text.chars().count();
    if let Some(min) = count(schema, "minLength").filter(|min| length < *min) {
        let detail = format!("{path} in body should be at least {min} chars long");
        out.push(Cause::invalid(place(path), &value, &detail));
    }
    if let Some(max) = count(schema, "maxLength").filter(|max| length > *max) {
        out.push(Cause::too_long(place(path), max));
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        let matches = regex::Regex::new(pattern).is_ok_and(|r| r.is_match(text));
        if !matches {
            let detail = format!("{path} in body should match '{pattern}'");
            out.push(Cause::invalid(place(path), &value, &detail));
        }
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str)
        && !has_format(format, text)
    {
        let detail = format!("{path} in body must be of type {format}: {value}");
        out.push(Cause::invalid(place(path), &value, &detail));
    }
}

/// Whether a text has a known format; unknown formats are not checked.
fn has_format(format: &str, text: &str) -> bool {
    use std::net::{Ipv4Addr, Ipv6Addr};
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "uri" => url::Url::parse(text).is_ok(),
        "byte" => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD
                .decode(text)
                .is_ok()
        }
        _ => true,
    }
}

fn numbers(schema: &Value, value: &Value, path: &str, out: &mut Vec<Cause>) {
    let Some(n) = value.as_f64() else { return };
    let exclusive = |name: &str| schema.get(name) == Some(&Value::Bool(true));
    if let Some(min) = number(schema, "minimum") {
        let exclusive = exclusive("exclusiveMinimum");
        if n < min || (exclusive && n <= min) {
            let or_equal = if exclusive { "" } else { " or equal to" };
            let detail = format!("{path} in body should be greater than{or_equal} {min}");
            out.push(Cause::invalid(place(path), value, &detail));
        }
    }
    if let Some(max) = number(schema, "maximum") {
        let exclusive = exclusive("exclusiveMaximum");
        if n > max || (exclusive && n >= max) {
            let or_equal = if exclusive { "" } else { " or equal to" };
            let detail = format!("{path} in body should be less than{or_equal} {max}");
            out.push(Cause::invalid(place(path), value, &detail));
        }
    }
    if let Some(factor) = number(schema, "multipleOf")
        && factor > 0.0
        && (n / factor).fract() != 0.0
    {
        let detail = format!("{path} in body should be a multiple of {factor}");
        out.push(Cause::invalid(place(path), value, &detail));
    }
}

fn arrays(schema: &Value, items: &[Value], path: &str, out: &mut Vec<Cause>) {
    if let Some(min) = count(schema, "minItems").filter(|min| items.len() < *min) {
        let detail = format!("{path} in body should have at least {min} items");
        out.push(Cause::invalid(place(path), &json!(items.len()), &detail));
    }
    if let Some(max) = count(schema, "maxItems").filter(|max| items.len() > *max) {
        let message = format!("Too many: {}: must have at most {max} items", items.len());
        out.push(Cause::new("FieldValueTooMany", message, place(path)));
    }
    duplicates(schema, items, path, out);
    if let Some(schema) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            walk(schema, item, &format!("{path}[{index}]"), out);
        }
    }
}

/// Items of sets and keyed lists must differ.
fn duplicates(schema: &Value, items: &[Value], path: &str, out: &mut Vec<Cause>) {
    let identity = |item: &Value| -> Option<Value> {
        match schema
            .get("x-kubernetes-list-type")
            .and_then(Value::as_str)?
        {
            "set" => Some(item.clone()),
            "map" => {
                let keys = schema.get("x-kubernetes-list-map-keys")?.as_array()?;
                let keys = keys.iter().filter_map(Value::as_str);
                let default =
                    |key: &str| schema.pointer(&format!("/items/properties/{key}/default"));
                keys.map(|key| {
                    let value = item.get(key).or_else(|| default(key))?;
                    Some((key.to_owned(), value.clone()))
                })
                .collect::<Option<serde_json::Map<_, _>>>()
                .map(Value::Object)
            }
            _ => None,
        }
    };
    let mut seen = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(identity) = identity(item) else {
            continue;
        };
        if seen.contains(&identity) {
            out.push(Cause::duplicate(format!("{path}[{index}]"), &identity));
        }
        seen.push(identity);
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn objects(schema: &Value, map: &serde_json::Map<String, Value>, path: &str, out: &mut Vec<Cause>) {
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(name) {
            out.push(Cause::required(join(path, name), ""));
        }
    }
    if let Some(max) = count(schema, "maxProperties").filter(|max| map.len() > *max) {
        let message = format!("Too many: {}: must have at most {max} items", map.len());
        out.push(Cause::new("FieldValueTooMany", message, place(path)));
    }
    if let Some(min) = count(schema, "minProperties").filter(|min| map.len() < *min) {
        let detail = format!("{path} in body should have at least {min} properties");
        out.push(Cause::invalid(place(path), &json!(map.len()), &detail));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let rest = schema.get("additionalProperties").filter(|r| r.is_object());
    for (name, child) in map {
        // Metadata is checked by the rules for all objects.
        if path.is_empty() && name == "metadata" {
            continue;
        }
        if let Some(schema) = properties.and_then(|p| p.get(name)).or(rest) {
            walk(schema, child, &join(path, name), out);
        }
    }
}

fn combined(schema: &Value, value: &Value, path: &str, out: &mut Vec<Cause>) {
    let list = |name: &str| schema.get(name).and_then(Value::as_array);
    let holds = |schema: &Value| {
        let mut broken = Vec::new();
        walk(schema, value, path, &mut broken);
        broken
    };
    let name = if path.is_empty() { "<nil>" } else { path };
    let mut refuse = |text: &str| {
        let detail = format!("\"{name}\" {text}");
        out.push(Cause::invalid(place(path), &Value::Null, &detail));
    };
    if let Some(all) = list("allOf") {
        let failing: Vec<_> = all.iter().flat_map(&holds).collect();
        if !failing.is_empty() {
            refuse("must validate all the schemas (allOf)");
        }
    }
    if let Some(any) = list("anyOf")
        && !any.iter().any(|s| holds(s).is_empty())
    {
        refuse("must validate at least one schema (anyOf)");
    }
    if let Some(one) = list("oneOf") {
        let valid = one.iter().filter(|s| holds(s).is_empty()).count();
        if valid == 0 {
            refuse("must validate one and only one schema (oneOf). Found none valid");
        } else if valid > 1 {
            refuse(&format!(
                "must validate one and only one schema (oneOf). Found {valid} valid alternatives"
            ));
        }
    }
    if let Some(not) = schema.get("not")
        && holds(not).is_empty()
    {
        refuse("must not validate the schema (not)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_rules_are_told_in_the_real_words() {
        let schema = json!({"type": "object", "properties": {"spec": {
        "type": "object", "required": ["size"], "properties": {
            "size": {"type": "integer", "minimum": 1},
            "mode": {"type": "string", "enum": ["a", "b"]},
            "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
            "port": {"x-kubernetes-int-or-string": true},
        }}}});
        let cases = [
            (json!({"spec": {}}), "spec.size", "Required value"),
            (
                json!({"spec": {"size": "x"}}),
                "spec.size",
                "Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
            ),
            (
                json!({"spec": {"size": 0}}),
                "spec.size",
                "Invalid value: 0: spec.size in body should be greater than or equal to 1",
            ),
            (
                json!({"spec": {"size": 1, "mode": "c"}}),
                "spec.mode",
                "Unsupported value: \"c\": supported values: \"a\", \"b\"",
            ),
            (
                json!({"spec": {"size": 1, "name": "A"}}),
                "spec.name",
                "Invalid value: \"A\": spec.name in body should match '^[a-z]+$'",
            ),
            (
                json!({"spec": {"size": 1, "name": "abcdef"}}),
                "spec.name",
                "Too long: may not be more than 5 bytes",
            ),
        ];
        for (object, field, message) in cases {
            let broken = validate(&schema, &object);
            let found: Vec<_> = broken
                .iter()
                .map(|c| (c.field.as_str(), c.message.as_str()))
                .collect();
            assert_eq!(found, [(field, message)]);
        }
        assert!(
            validate(
                &schema,
                &json!({"spec": {"size": 2, "port": "http", "name": "abc"}})
            )
            .is_empty()
        );
    }
}
