//! The profile's JSON Schema, and the reference page made from it.

use std::fmt::Write as _;
use std::sync::OnceLock;

use serde_json::Value as Json;

use super::Profile;
use super::check::{alternatives, is_secret, words};
use super::path::join;

/// The JSON Schema (2020-12) of a profile.
pub fn schema() -> Json {
    cached().clone()
}

pub(super) fn cached() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(|| schemars::schema_for!(Profile).to_value())
}

/// The text of `docs/reference/profile.md`.
pub fn reference() -> String {
    let mut out = String::from(
        "# Profile reference\n\n\
         Made from the profile's types; `todoctl schema` prints the same as JSON Schema.\n\n\
         Texts may hold references, which are looked up late: `${env:NAME}`, `${file:PATH}` and, in \
         secret fields, `${secret:NAME}`. Write `$${` for a literal `${`.\n\n\
         | key | type | default | meaning |\n| --- | --- | --- | --- |\n",
    );
    rows(&mut out, cached(), "");
    out
}

fn rows(out: &mut String, schema: &'static Json, path: &str) {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Json::as_array)
        .map(|keys| keys.iter().filter_map(Json::as_str).collect())
        .unwrap_or_default();
    let properties = schema.get("properties").and_then(Json::as_object);
    for (key, field) in properties.into_iter().flatten() {
        let path = join(path, key);
        let (kind, below) = describe(field);
        let default = if required.contains(&key.as_str()) {
            "required".to_owned()
        } else {
            default_of(field)
        };
        let meaning = field
            .get("description")
            .and_then(Json::as_str)
            .unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        // Writing into a String cannot fail.
        let _ = writeln!(out, "| `{path}` | {kind} | {default} | {meaning} |");
        if let Some((schema, suffix)) = below {
            rows(out, schema, &format!("{path}{suffix}"));
        }
    }
}

/// A field's type in words, and the schema of what is below it with the
/// suffix of its path.
fn describe(field: &'static Json) -> (String, Option<(&'static Json, &'static str)>) {
    let schemas = alternatives(cached(), field);
    let names: Vec<String> = schemas.iter().map(|schema| type_name(schema)).collect();
    let below = schemas.first().and_then(|schema| {
        if schema.get("properties").is_some() {
            return Some((*schema, ""));
        }
        let inside = |key: &str, suffix: &'static str| {
            let inner = schema.get(key).filter(|inner| inner.is_object())?;
            let inner = alternatives(cached(), inner).into_iter().next()?;
            inner.get("properties").is_some().then_some((inner, suffix))
        };
        inside("items", "[]").or_else(|| inside("additionalProperties", ".NAME"))
    });
    (names.join(" or "), below)
}

fn type_name(schema: &Json) -> String {
    let words = words(schema);
    if !words.is_empty() {
        let quoted: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
        return quoted.join(", ");
    }
    if is_secret(schema) {
        return "secret".to_owned();
    }
    let kind = match schema.get("type") {
        Some(Json::Array(kinds)) => kinds.first().and_then(Json::as_str),
        other => other.and_then(Json::as_str),
    };
    match (kind, schema.get("format").and_then(Json::as_str)) {
        (Some("string"), Some(format)) => format.replace('-', " "),
        (Some("object"), _) => "map".to_owned(),
        (Some("array"), _) => "list".to_owned(),
        (Some("string"), _) => "text".to_owned(),
        (Some("integer"), _) => "whole number".to_owned(),
        (Some(kind), _) => kind.to_owned(),
        (None, _) => String::new(),
    }
}

fn default_of(field: &Json) -> String {
    match field.get("default") {
        None | Some(Json::Null | Json::Object(_)) => String::new(),
        Some(Json::String(text)) if text.is_empty() => String::new(),
        Some(Json::Array(items)) if items.iter().any(Json::is_object) => String::new(),
        Some(Json::String(text)) => format!("`{text}`"),
        Some(other) => format!("`{other}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every schema in the document, with its path.
    fn walk<'a>(schema: &'a Json, path: &str, out: &mut Vec<(String, &'a Json)>) {
        if let Some(map) = schema.as_object() {
            out.push((path.to_owned(), schema));
            for (key, below) in map {
                walk(below, &format!("{path}/{key}"), out);
            }
        }
    }

    #[test]
    fn every_field_has_a_description() {
        let mut all = Vec::new();
        walk(cached(), "", &mut all);
        let bare: Vec<&str> = all
            .iter()
            .filter(|(path, schema)| {
                let parent = path.rsplit('/').nth(1);
                parent == Some("properties") && schema.get("description").is_none()
            })
            .map(|(path, _)| path.as_str())
            .collect();
        assert!(bare.is_empty(), "{bare:?}");
    }

    #[test]
    fn every_secret_of_the_schema_is_a_secret_field_of_the_profile() {
        let mut all = Vec::new();
        walk(cached(), "", &mut all);
        let of_schema = all.iter().filter(|(_, s)| is_secret(s)).count();
        let mut profile: Profile = serde_json::from_value(serde_json::json!({
            "secrets": {"a": {"value": "x"}},
            "verify": {"login": {"path": "/login", "body": {"password": "x"}}},
            "kafka": {
                "auth": {"password": "x"},
                "redpanda_cloud": {"client_id": "i", "client_secret": "x", "region": "r"}
            }
        }))
        .unwrap();
        assert_eq!(profile.secret_fields_mut().len(), of_schema);
    }

    #[test]
    fn the_reference_page_lists_nested_fields() {
        let page = reference();
        for row in [
            "| `app.services[].port` | whole number | required | Port on which the container listens. |",
            "| `secrets.NAME.value` | secret | required |",
            "| `kafka.provider` | `strimzi`, `redpanda-cloud`, `external` | `strimzi` |",
            "| `sandbox.clock` | `fast`, `real` or number | `fast` |",
            "| `cloud.network.vcn_cidr` | cidr | `10.0.0.0/16` |",
        ] {
            assert!(page.contains(row), "{row}\n{page}");
        }
    }

    #[test]
    fn the_embedded_profiles_pass_the_published_schema() {
        let validator = jsonschema::validator_for(cached()).unwrap();
        for (name, text) in super::super::embedded::PROFILES {
            let value: Json = crate::yaml::from_str(text, name).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(&value)
                .map(|e| format!("{}: {e}", e.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{name}: {errors:?}");
        }
    }
}
