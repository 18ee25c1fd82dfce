//! Typed reading of `Chart.yaml` and its kin, with the leniency of helm's own
//! decoder: names match in any case when no exact one is there, numbers and
//! booleans become text where text is wanted, null leaves a field as it is.

use super::super::value::{Map, Value};

/// A field has a type that cannot be turned into the wanted one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot use {got} as {field} of type {want}")]
pub struct WrongType {
    /// Which field.
    pub field: String,
    /// What it holds.
    pub got: &'static str,
    /// What it should hold.
    pub want: &'static str,
}

/// A mapping whose fields are read by name.
#[derive(Debug, Clone)]
pub struct Fields(Map);

impl Fields {
    /// Takes a whole document or a list item; nil is an empty mapping.
    pub fn new(value: &Value, field: &str) -> Result<Self, WrongType> {
        match value {
            Value::Nil => Ok(Self(Map::new())),
            Value::Map(map) => Ok(Self(map.clone())),
            other => Err(wrong(field, other, "mapping")),
        }
    }

    /// Any value, nil when absent.
    pub fn value(&self, name: &str) -> Value {
        self.get(name)
    }

    fn get(&self, name: &str) -> Value {
        if let Some(value) = self.0.get(name) {
            return value;
        }
        self.0.read(|entries| {
            entries
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
                .map_or(Value::Nil, |(_, value)| value.clone())
        })
    }

    /// A text, empty when absent.
    pub fn text(&self, name: &str) -> Result<String, WrongType> {
        text(&self.get(name), name)
    }

    /// A boolean, false when absent.
    pub fn flag(&self, name: &str) -> Result<bool, WrongType> {
        match self.get(name) {
            Value::Nil => Ok(false),
            Value::Bool(b) => Ok(b),
            other => Err(wrong(name, &other, "bool")),
        }
    }

    /// A list of any values; `None` when absent.
    pub fn list(&self, name: &str) -> Result<Option<Vec<Value>>, WrongType> {
        match self.get(name) {
            Value::Nil => Ok(None),
            Value::List(list) => Ok(Some(list.items().to_vec())),
            other => Err(wrong(name, &other, "list")),
        }
    }

    /// A list of texts, empty when absent.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, WrongType> {
        let items = self.list(name)?.unwrap_or_default();
        items.iter().map(|item| text(item, name)).collect()
    }

    /// A mapping of texts, empty when absent.
    pub fn text_map(&self, name: &str) -> Result<Vec<(String, String)>, WrongType> {
        let map = match self.get(name) {
            Value::Nil => return Ok(Vec::new()),
            Value::Map(map) => map,
            other => return Err(wrong(name, &other, "mapping of strings")),
        };
        map.entries()
            .iter()
            .map(|(key, value)| Ok((lossy(key), text(value, name)?)))
            .collect()
    }
}

fn text(value: &Value, field: &str) -> Result<String, WrongType> {
    match value {
        Value::Nil => Ok(String::new()),
        Value::Str(s) => Ok(lossy(s)),
        Value::Bool(b) => Ok(b.to_string()),
        Value::Int(n, _) => Ok(n.to_string()),
        Value::Float(f) => Ok(float(*f)),
        other => Err(wrong(field, other, "string")),
    }
}

/// The text of a number: whole numbers in full, as YAML integers print.
fn float(f: f64) -> String {
    if f.fract() == 0.0 && f.abs() < 1e15 {
        return format!("{f:.0}");
    }
    String::from_utf8_lossy(&super::super::gofmt::sprint_value(&Value::Float(f))).into_owned()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn wrong(field: &str, got: &Value, want: &'static str) -> WrongType {
    let got = match got {
        Value::Map(_) => "a mapping",
        Value::List(_) => "a list",
        Value::Str(_) => "a string",
        Value::Bool(_) => "a boolean",
        _ => "a number",
    };
    WrongType {
        field: field.to_owned(),
        got,
        want,
    }
}
