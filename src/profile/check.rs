//! Compares a tree with the JSON Schema and finds every difference at once.
//!
//! The schema comes from the types, so what passes here deserialises. Only the
//! keywords that schemars makes of our types are understood.

use serde_json::Value as Json;

use super::path::join;
use super::resolve::{self, Field};
use super::value::check_format;
use crate::finding::{Finding, Findings};
use crate::names::nearest;
use crate::yaml::{Entry, Node, Place, Value};

/// Every difference between a profile's tree and the schema.
pub(super) fn check(tree: &Node, schema: &Json) -> Findings {
    let mut checker = Checker {
        root: schema,
        findings: Findings::default(),
    };
    checker.node(tree, schema, "");
    checker.findings
}

/// Turns what a `--set` gave to a text field into a text: quotes would have to
/// be quoted for the shell as well.
pub(super) fn texts_of_arguments(node: &mut Node, schema: &Json, root: &Json) {
    let schemas = alternatives(root, schema);
    let is_text = schemas.iter().all(|s| types(s) == ["string"]) && !schemas.is_empty();
    match &mut node.value {
        Value::Bool(_) | Value::Number(_) if is_text && node.place.source.is_argument => {
            let written = node.place.source.text.chars();
            let text = written
                .skip(node.place.column.saturating_sub(1) as usize)
                .take(node.place.len as usize)
                .collect();
            node.value = Value::String(text);
        }
        Value::List(items) => {
            let of_items = schemas.iter().find_map(|s| s.get("items"));
            for (item, schema) in items.iter_mut().zip(of_items.into_iter().cycle()) {
                texts_of_arguments(item, schema, root);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                let of_key = schemas.iter().find_map(|s| {
                    let known = s.get("properties").and_then(|known| known.get(&entry.key));
                    known.or(s.get("additionalProperties"))
                });
                if let Some(schema) = of_key {
                    texts_of_arguments(&mut entry.node, schema, root);
                }
            }
        }
        _ => {}
    }
}

/// Whether the value at a place of the schema is a secret.
pub(super) fn is_secret(schema: &Json) -> bool {
    schema.get("writeOnly").and_then(Json::as_bool) == Some(true)
}

/// The schemas that a value may obey: references followed, alternatives
/// listed, `null` left out.
pub(super) fn alternatives<'a>(root: &'a Json, schema: &'a Json) -> Vec<&'a Json> {
    if let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
        let target = reference.strip_prefix('#').and_then(|p| root.pointer(p));
        return target.map_or_else(Vec::new, |target| alternatives(root, target));
    }
    if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
        return choices
            .iter()
            .filter(|choice| choice.get("type").and_then(Json::as_str) != Some("null"))
            .flat_map(|choice| alternatives(root, choice))
            .collect();
    }
    vec![schema]
}

/// The types that a schema names, without `null`.
fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(several)) => several
            .iter()
            .filter_map(Json::as_str)
            .filter(|t| *t != "null")
            .collect(),
        // An enum: `oneOf` with a constant each.
        _ if schema.get("oneOf").is_some() => vec!["string"],
        _ => Vec::new(),
    }
}

/// Whether a schema lets everything pass.
fn is_free(schema: &Json) -> bool {
    const LIMITS: [&str; 6] = ["type", "oneOf", "anyOf", "enum", "const", "$ref"];
    schema.as_bool() == Some(true)
        || schema
            .as_object()
            .is_some_and(|schema| LIMITS.iter().all(|limit| !schema.contains_key(*limit)))
}

fn accepts(schema: &Json, node: &Node) -> bool {
    let kind = kind(node);
    types(schema)
        .iter()
        .any(|wanted| *wanted == kind || (*wanted == "number" && kind == "integer"))
}

fn kind(node: &Node) -> &'static str {
    match &node.value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
    }
}

/// A type in the words of the people who write profiles.
fn in_words(kind: &str) -> &str {
    match kind {
        "null" => "nothing",
        "boolean" => "`true` or `false`",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "a map",
        other => other,
    }
}

fn subject(path: &str) -> String {
    if path.is_empty() {
        "the profile".to_owned()
    } else {
        format!("`{path}`")
    }
}

struct Checker<'a> {
    root: &'a Json,
    findings: Findings,
}

impl<'a> Checker<'a> {
    fn error(&mut self, place: &Place, summary: String, hint: Option<String>) {
        let mut finding = Finding::error(summary).at(place.span());
        finding.hint = hint;
        self.findings.push(finding);
    }

    fn node(&mut self, node: &Node, schema: &'a Json, path: &str) {
        let schemas = alternatives(self.root, schema);
        if schemas.iter().any(|schema| is_free(schema)) {
            return;
        }
        let Some(schema) = schemas.iter().copied().find(|s| accepts(s, node)) else {
            self.wrong_type(node, &schemas, path);
            return;
        };
        match &node.value {
            Value::Map(entries) => self.map(node, entries, schema, path),
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    if let Some(schema) = schema.get("items") {
                        self.node(item, schema, &format!("{path}[{i}]"));
                    }
                }
            }
            Value::Number(number) => self.number(node, number, schema, path),
            Value::String(text) => self.string(node, text, schema, path),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn wrong_type(&mut self, node: &Node, schemas: &[&Json], path: &str) {
        let wanted: Vec<&str> = schemas.iter().flat_map(|s| types(s)).collect();
        let words: Vec<&str> = wanted.iter().map(|t| in_words(t)).collect();
        let kind = kind(node);
        let hint = match (&node.value, wanted.as_slice()) {
            (Value::String(text), [.., "integer" | "number"]) if text.parse::<f64>().is_ok() => {
                Some("write the number without quotes".to_owned())
            }
            (Value::String(text), [.., "integer" | "number" | "boolean"])
                if text.contains("${") =>
            {
                Some("references work in text fields only; `--set` can give this one".to_owned())
            }
            (Value::String(text), ["boolean"])
                if matches!(text.as_str(), "yes" | "no" | "on" | "off") =>
            {
                Some("YAML 1.2 knows `true` and `false` only".to_owned())
            }
            (Value::Number(_) | Value::Bool(_), ["string"]) => {
                Some("write it in quotes".to_owned())
            }
            _ => None,
        };
        let summary = format!(
            "{} must be {}, not {}",
            subject(path),
            words.join(" or "),
            in_words(kind)
        );
        self.error(&node.place, summary, hint);
    }

    fn map(&mut self, node: &Node, entries: &[Entry], schema: &'a Json, path: &str) {
        let known = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties");
        let others = others.filter(|s| s.is_object() || s.as_bool() == Some(true));
        let key_format = schema
            .pointer("/propertyNames/format")
            .and_then(Json::as_str);
        for entry in entries {
            if let Some(Err(error)) = key_format.map(|format| check_format(format, &entry.key)) {
                self.error(&entry.place, error.to_string(), None);
            }
            let of_key = known.and_then(|known| known.get(&entry.key)).or(others);
            if let Some(schema) = of_key {
                self.node(&entry.node, schema, &join(path, &entry.key));
            } else {
                let keys = known.into_iter().flat_map(|known| known.keys());
                self.unknown_key(entry, keys.map(String::as_str).collect(), path);
            }
        }
        let required = schema.get("required").and_then(Json::as_array);
        for key in required.into_iter().flatten().filter_map(Json::as_str) {
            if node.get(key).is_none() {
                self.error(
                    &node.place,
                    format!("{} lacks `{key}`", subject(path)),
                    None,
                );
            }
        }
    }

    fn unknown_key(&mut self, entry: &Entry, mut keys: Vec<&str>, path: &str) {
        let hint = if let Some(meant) = nearest(&entry.key, keys.iter().copied()) {
            format!("did you mean `{meant}`?")
        } else {
            keys.sort_unstable();
            format!("{} has: {}", subject(path), keys.join(", "))
        };
        let summary = format!("unknown key `{}` in {}", entry.key, subject(path));
        self.error(&entry.place, summary, Some(hint));
    }

    fn number(&mut self, node: &Node, number: &serde_json::Number, schema: &Json, path: &str) {
        let Some(number) = number.as_f64() else {
            return;
        };
        let limit = |key: &str| schema.get(key).and_then(Json::as_f64);
        let mut wrong = None;
        if let Some(least) = limit("minimum").filter(|least| number < *least) {
            wrong = Some(format!("must be at least {least}"));
        }
        if let Some(most) = limit("maximum").filter(|most| number > *most) {
            wrong = Some(format!("must be at most {most}"));
        }
        if let Some(wrong) = wrong {
            self.error(&node.place, format!("{} {wrong}", subject(path)), None);
        }
    }

    fn string(&mut self, node: &Node, text: &str, schema: &Json, path: &str) {
        let field = if is_secret(schema) {
            Field::Secret
        } else {
            Field::Plain
        };
        self.findings.extend(resolve::check(node, text, field));
        let words = words(schema);
        if !words.is_empty() && !words.contains(&text) {
            let hint = match nearest(text, words.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("one of: {}", words.join(", ")),
            };
            let summary = format!("{} cannot be `{text}`", subject(path));
            self.error(&node.place, summary, Some(hint));
        }
        let Some(format) = schema.get("format").and_then(Json::as_str) else {
            return;
        };
        if let Err(error) = check_format(format, text) {
            let hint = text
                .contains("${")
                .then(|| "references do not work in names; `--set` can give this one".to_owned());
            self.error(&node.place, error.to_string(), hint);
        }
    }
}

/// The words that an enum allows; none for any other schema.
pub(super) fn words(schema: &Json) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Json::as_array);
    let constants = schema.get("oneOf").and_then(Json::as_array);
    listed
        .into_iter()
        .flatten()
        .chain(constants.into_iter().flatten().flat_map(|choice| {
            match (choice.get("const"), choice.get("enum")) {
                (Some(constant), _) => vec![constant],
                (None, Some(Json::Array(several))) => several.iter().collect(),
                _ => Vec::new(),
            }
        }))
        .filter_map(Json::as_str)
        .collect()
}
