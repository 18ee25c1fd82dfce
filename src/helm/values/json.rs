//! Values as JSON and back, for schemas and release records.

use serde_json::Value as Json;

use super::super::value::{Map, Str, Value};

/// Deeper values than that become null: they hold themselves.
const MAX_DEPTH: usize = 500;

/// A value as JSON. Bytes that are not UTF-8 are replaced; functions and
/// objects, which values never hold, become null.
pub fn to_json(value: &Value) -> Json {
    at(value, 0)
}

fn at(value: &Value, depth: usize) -> Json {
    if depth > MAX_DEPTH {
        return Json::Null;
    }
    match value {
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(n, _) => Json::from(*n),
        Value::Uint(n, _) => Json::from(*n),
        Value::Float(f) => serde_json::Number::from_f64(*f).map_or(Json::Null, Json::Number),
        Value::Str(s) => Json::String(String::from_utf8_lossy(s).into_owned()),
        Value::List(list) => list.items().iter().map(|v| at(v, depth + 1)).collect(),
        Value::Map(map) => map
            .entries()
            .iter()
            .map(|(k, v)| (String::from_utf8_lossy(k).into_owned(), at(v, depth + 1)))
            .collect(),
        _ => Json::Null,
    }
}

/// JSON as a value; whole numbers stay integers, unlike [`Value::from_json`].
pub fn from_json(json: &Json) -> Value {
    match json {
        Json::Number(n) => n
            .as_i64()
            .map_or_else(|| Value::from_json(json), Value::int64),
        Json::Array(items) => Value::list(items.iter().map(from_json).collect()),
        Json::Object(fields) => {
            let entries = fields.iter();
            let map: Map = entries
                .map(|(k, v)| (Str::from(k.as_bytes()), from_json(v)))
                .collect();
            Value::Map(map)
        }
        other => Value::from_json(other),
    }
}
