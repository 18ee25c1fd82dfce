//! `values.schema.json`: each chart's values against its own schema.
//!
//! A schema may refer to others by their addresses. Those are fetched by
//! whoever renders ([`addresses`]); what is not there is taken as satisfied.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{Draft, Retrieve, Uri, ValidationError};
use serde_json::Value as Json;

use super::super::chart::Chart;
use super::super::value::{Map, Value};
use super::to_json;

/// Values break a schema, or a schema is broken. The text lists each chart
/// with its findings, as helm prints them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("values don't meet the specifications of the schema(s) in the following chart(s):\n{0}")]
pub struct SchemaError(pub String);

/// Schemas of elsewhere by their addresses, without fragments.
pub type Fetched = BTreeMap<String, Json>;

/// The addresses of the schemas that a chart's own refer to.
pub fn addresses(chart: &Chart) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let own = chart.schema.as_deref().map(serde_json::from_slice::<Json>);
    if let Some(Ok(schema)) = own {
        found.extend(addresses_in(&schema));
    }
    found.extend(chart.dependencies.iter().flat_map(addresses));
    found
}

/// The addresses that one schema refers to.
pub fn addresses_in(schema: &Json) -> BTreeSet<String> {
    match schema {
        Json::Object(fields) => {
            let own = remote(schema).map(str::to_owned);
            let below = fields.values().flat_map(addresses_in);
            below.chain(own).collect()
        }
        Json::Array(items) => items.iter().flat_map(addresses_in).collect(),
        _ => BTreeSet::new(),
    }
}

/// The address, without its fragment, that a schema refers to.
fn remote(schema: &Json) -> Option<&str> {
    let address = schema.get("$ref")?.as_str()?.split('#').next()?;
    address.contains("://").then_some(address)
}

/// Checks the values of a chart and of every chart below it.
pub fn validate(chart: &Chart, values: &Map, fetched: &Fetched) -> Result<(), SchemaError> {
    let mut findings = String::new();
    chart_into(chart, values, fetched, &mut findings);
    if findings.is_empty() {
        Ok(())
    } else {
        Err(SchemaError(findings))
    }
}

fn chart_into(chart: &Chart, values: &Map, fetched: &Fetched, findings: &mut String) {
    if let Some(schema) = &chart.schema
        && let Err(text) = against(schema, &to_json(&Value::Map(values.clone())), fetched)
    {
        findings.push_str(chart.name());
        findings.push_str(":\n");
        findings.push_str(&text);
        findings.push('\n');
    }
    for child in &chart.dependencies {
        match values.get(child.name()) {
            None | Some(Value::Nil) => {}
            Some(Value::Map(inner)) => chart_into(child, &inner, fetched, findings),
            Some(other) => {
                // Writing to a string cannot fail.
                let _ = writeln!(
                    findings,
                    "{}:\ninvalid type for values: expected object (map), got {}",
                    child.name(),
                    other.type_name()
                );
            }
        }
    }
}

fn against(schema: &[u8], values: &Json, fetched: &Fetched) -> Result<(), String> {
    let mut schema: Json = serde_json::from_slice(schema).map_err(|e| e.to_string())?;
    satisfy_missing(&mut schema, fetched);
    let validator = jsonschema::options()
        .with_draft(draft(&schema))
        .with_base_uri("file:///values.schema.json")
        .with_retriever(Shelf(fetched.clone()))
        .build(&schema)
        .map_err(|e| e.to_string())?;
    let mut lines: Vec<String> = Vec::new();
    let errors: Vec<ValidationError<'_>> = validator.iter_errors(values).collect();
    // A value of the wrong type is told once, whatever else it breaks.
    let mistyped: Vec<String> = errors
        .iter()
        .filter(|error| matches!(error.kind(), Kind::Type { .. }))
        .map(|error| error.instance_path().to_string())
        .collect();
    for error in &errors {
        let is_type = matches!(error.kind(), Kind::Type { .. });
        if is_type || !mistyped.contains(&error.instance_path().to_string()) {
            describe(error, values, 0, &mut lines);
        }
    }
    if lines.is_empty() {
        Ok(())
    } else {
        Err(lines.join("\n"))
    }
}

/// The dialect that `$schema` names; without one, the newest that helm knows.
fn draft(schema: &Json) -> Draft {
    let uri = schema.get("$schema").and_then(Json::as_str).unwrap_or("");
    if uri.contains("draft-04") {
        Draft::Draft4
    } else if uri.contains("draft-06") {
        Draft::Draft6
    } else if uri.contains("draft-07") {
        Draft::Draft7
    } else if uri.contains("2019-09") {
        Draft::Draft201909
    } else {
        Draft::Draft202012
    }
}

/// What a schema that is not there would say is taken as satisfied.
fn satisfy_missing(schema: &mut Json, fetched: &Fetched) {
    if remote(schema).is_some_and(|address| !fetched.contains_key(address)) {
        *schema = Json::Bool(true);
        return;
    }
    match schema {
        Json::Object(fields) => fields
            .values_mut()
            .for_each(|field| satisfy_missing(field, fetched)),
        Json::Array(items) => items
            .iter_mut()
            .for_each(|item| satisfy_missing(item, fetched)),
        _ => {}
    }
}

/// The schemas that were fetched; any other says yes.
struct Shelf(Fetched);

impl Retrieve for Shelf {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Json, Box<dyn std::error::Error + Send + Sync>> {
        let address = uri.as_str().split('#').next().unwrap_or_default();
        Ok(self.0.get(address).cloned().unwrap_or(Json::Bool(true)))
    }
}

/// One finding and, indented below it, those that led to it.
fn describe(error: &ValidationError<'_>, values: &Json, depth: usize, lines: &mut Vec<String>) {
    let at = error.instance_path().to_string();
    let indent = "  ".repeat(depth);
    let line = format!("{indent}- at '{at}': {}", message(error, values));
    if !lines.contains(&line) {
        lines.push(line);
    }
    if let Kind::AnyOf { context } | Kind::OneOfNotValid { context } = error.kind() {
        for inner in context.iter().flatten() {
            describe(inner, values, depth + 1, lines);
        }
    }
}

fn message(error: &ValidationError<'_>, values: &Json) -> String {
    match error.kind() {
        Kind::Required { property } => {
            format!(
                "missing property '{}'",
                property.as_str().unwrap_or_default()
            )
        }
        Kind::Type { kind } => {
            let got = type_of(error.instance());
            format!("got {got}, want {}", wanted(kind))
        }
        Kind::AdditionalProperties { unexpected } => additional(unexpected.iter()),
        Kind::Enum { options } => {
            let options = options.as_array().map_or(&[][..], Vec::as_slice);
            let options: Vec<String> = options.iter().map(quoted).collect();
            format!("value must be one of {}", options.join(", "))
        }
        Kind::Constant { expected_value } => {
            format!("value must be {}", quoted(expected_value))
        }
        Kind::Pattern { pattern } => {
            format!(
                "{} does not match pattern '{pattern}'",
                quoted(error.instance())
            )
        }
        Kind::Minimum { limit } => {
            format!("minimum: got {}, want {limit}", number(error.instance()))
        }
        Kind::Maximum { limit } => {
            format!("maximum: got {}, want {limit}", number(error.instance()))
        }
        Kind::MinLength { limit } => {
            format!("minLength: got {}, want {limit}", length(error.instance()))
        }
        Kind::MaxLength { limit } => {
            format!("maxLength: got {}, want {limit}", length(error.instance()))
        }
        Kind::MinItems { limit } => {
            format!("minItems: got {}, want {limit}", length(error.instance()))
        }
        Kind::MaxItems { limit } => {
            format!("maxItems: got {}, want {limit}", length(error.instance()))
        }
        Kind::AnyOf { .. } => "'anyOf' failed".to_owned(),
        Kind::OneOfNotValid { .. } => "'oneOf' failed, none matched".to_owned(),
        Kind::OneOfMultipleValid { .. } => "'oneOf' failed, more than one matched".to_owned(),
        Kind::Not { .. } => "'not' failed".to_owned(),
        // Without any property of its own, a schema that allows none is false.
        Kind::FalseSchema if at_additional(error) => {
            let object = values.pointer(error.instance_path().as_str());
            let fields = object.and_then(Json::as_object);
            additional(fields.into_iter().flat_map(serde_json::Map::keys))
        }
        Kind::FalseSchema => "false schema".to_owned(),
        _ => error.to_string(),
    }
}

fn at_additional(error: &ValidationError<'_>) -> bool {
    let path = error.schema_path().to_string();
    path.ends_with("/additionalProperties")
}

fn additional<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.map(|name| format!("'{name}'")).collect();
    format!("additional properties {} not allowed", names.join(", "))
}

fn wanted(kind: &jsonschema::error::TypeKind) -> String {
    match kind {
        jsonschema::error::TypeKind::Single(ty) => ty.to_string(),
        jsonschema::error::TypeKind::Multiple(types) => {
            let names: Vec<String> = types.iter().map(|ty| ty.to_string()).collect();
            names.join(" or ")
        }
    }
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn quoted(value: &Json) -> String {
    match value {
        Json::String(s) => format!("'{s}'"),
        Json::Number(_) => number(value),
        other => other.to_string(),
    }
}

/// A number without the `.0` that every whole number of values carries.
fn number(value: &Json) -> String {
    let text = value.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn length(value: &Json) -> usize {
    match value {
        Json::String(s) => s.chars().count(),
        Json::Array(items) => items.len(),
        Json::Object(fields) => fields.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(schema: &Json, values: &Json) -> Result<(), String> {
        against(schema.to_string().as_bytes(), values, &Fetched::new())
    }

    #[test]
    fn findings_read_as_helms() {
        let cases = [
            (
                json!({"required": ["q"]}),
                json!({}),
                "- at '': missing property 'q'",
            ),
            (
                json!({"properties": {"p": {"type": "integer"}}}),
                json!({"p": "x"}),
                "- at '/p': got string, want integer",
            ),
            (
                json!({"properties": {"p": {"type": ["string", "null"]}}}),
                json!({"p": 1.0}),
                "- at '/p': got number, want null or string",
            ),
            (
                json!({"additionalProperties": false}),
                json!({"x": 1}),
                "- at '': additional properties 'x' not allowed",
            ),
            (
                json!({"properties": {"p": {"enum": ["a", "b"]}}}),
                json!({"p": "c"}),
                "- at '/p': value must be one of 'a', 'b'",
            ),
            (
                json!({"properties": {"p": {"minimum": 3}}}),
                json!({"p": 1.0}),
                "- at '/p': minimum: got 1, want 3",
            ),
            (
                json!({"properties": {"p": {"pattern": "^a"}}}),
                json!({"p": "b"}),
                "- at '/p': 'b' does not match pattern '^a'",
            ),
        ];
        for (schema, values, want) in cases {
            assert_eq!(check(&schema, &values), Err(want.to_owned()), "{schema}");
        }
    }

    #[test]
    fn whole_floats_are_integers_and_dialects_are_honoured() {
        let integer = json!({"properties": {"p": {"type": "integer"}}});
        assert_eq!(check(&integer, &json!({"p": 1.0})), Ok(()));
        let old = json!({
            "$schema": "http://json-schema.org/draft-04/schema#",
            "properties": {"p": {"minimum": 3, "exclusiveMinimum": true}},
        });
        assert!(check(&old, &json!({"p": 3.0})).is_err());
        assert!(check(&old, &json!({"p": 4.0})).is_ok());
    }

    #[test]
    fn references_elsewhere_hold_when_they_are_fetched() {
        let address = "https://example.com/s.json";
        let reference = format!("{address}#/$defs/n");
        let schema = json!({"properties": {"p": {"$ref": reference}}});
        assert_eq!(addresses_in(&schema), [address.to_owned()].into());
        assert_eq!(check(&schema, &json!({"p": 1})), Ok(()));
        let elsewhere = json!({"$defs": {"n": {"type": "string"}}});
        let fetched = Fetched::from([(address.to_owned(), elsewhere)]);
        let schema = schema.to_string();
        let with = |values| against(schema.as_bytes(), &values, &fetched);
        assert_eq!(with(json!({"p": "x"})), Ok(()));
        assert_eq!(
            with(json!({"p": 1})),
            Err("- at '/p': got number, want string".to_owned())
        );
    }

    #[test]
    fn a_broken_schema_is_a_finding() {
        assert!(against(b"{", &json!({}), &Fetched::new()).is_err());
        assert!(check(&json!({"type": 3}), &json!({})).is_err());
    }
}
