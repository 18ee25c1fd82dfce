//! YAML, JSON and TOML, to and from text.

use super::{Args, FnError, Function, Param, Returned, plain, toml};
use crate::helm::engine::Run;
use crate::helm::json;
use crate::helm::value::{Map, Value};
use crate::helm::yaml11::{self, Plain};

const A: Param = Param::Any;
const S: Param = Param::Str;

pub(super) const FUNCTIONS: &[Function] = &[
    plain("toYaml", &[A], |_, v| {
        Ok(Value::from(to_yaml_text(&Args::new(v).any())))
    }),
    plain("mustToYaml", &[A], |_, v| {
        yaml11::to_yaml(&Args::new(v).any())
            .map(|text| Value::from(without_newline(text)))
            .map_err(|error| FnError::text(format!("error marshaling into JSON: {error}")))
    }),
    plain("toYamlPretty", &[A], |_, v| {
        let text = yaml11::to_yaml_pretty(&Args::new(v).any()).unwrap_or_default();
        Ok(Value::from(without_newline(text)))
    }),
    plain("fromYaml", &[S], from_yaml),
    plain("fromYamlArray", &[S], from_yaml_array),
    plain("toJson", &[A], |_, v| Ok(lenient(v, &json::COMPACT))),
    plain("mustToJson", &[A], |_, v| strict(v, &json::COMPACT)),
    plain("toPrettyJson", &[A], |_, v| Ok(lenient(v, &json::PRETTY))),
    plain("mustToPrettyJson", &[A], |_, v| strict(v, &json::PRETTY)),
    plain("toRawJson", &[A], |_, v| strict(v, &json::RAW)),
    plain("mustToRawJson", &[A], |_, v| strict(v, &json::RAW)),
    plain("fromJson", &[S], |_, v| {
        Ok(map_or_error(json::parse(&Args::new(v).bytes())))
    }),
    plain("fromJsonArray", &[S], |_, v| {
        Ok(list_or_error(json::parse(&Args::new(v).bytes())))
    }),
    plain("mustFromJson", &[S], |_, v| {
        json::parse(&Args::new(v).bytes()).map_err(FnError::text)
    }),
    plain("toToml", &[A], |_, v| {
        Ok(Value::from(
            toml::write(&Args::new(v).any()).unwrap_or_else(|error| error),
        ))
    }),
    plain("mustToToml", &[A], |_, v| {
        toml::write(&Args::new(v).any())
            .map(Value::from)
            .map_err(FnError::text)
    }),
    plain("fromToml", &[S], |_, v| {
        Ok(match toml::parse(&Args::new(v).text()) {
            Ok(map) => Value::Map(map),
            Err(error) => error_map(&error),
        })
    }),
];

fn without_newline(mut text: Vec<u8>) -> Vec<u8> {
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    text
}

/// `toYaml`: the text without its last newline, empty when there is none.
pub(crate) fn to_yaml_text(value: &Value) -> Vec<u8> {
    without_newline(yaml11::to_yaml(value).unwrap_or_default())
}

fn error_map(error: &str) -> Value {
    let map = Map::new();
    map.set("Error", error);
    Value::Map(map)
}

fn mismatch(value: &Value, wanted: &str) -> String {
    let kind = match value {
        Value::Bool(_) => "bool",
        Value::Str(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
        _ => "number",
    };
    format!("json: cannot unmarshal {kind} into Go value of type {wanted}")
}

fn map_or_error(parsed: Result<Value, String>) -> Value {
    match parsed {
        Ok(Value::Map(map)) => Value::Map(map),
        Ok(Value::Nil) => Value::Map(Map::nil()),
        Ok(other) => error_map(&mismatch(&other, "map[string]interface {}")),
        Err(error) => error_map(&error),
    }
}

fn list_or_error(parsed: Result<Value, String>) -> Value {
    match parsed {
        Ok(Value::List(list)) => Value::List(list),
        Ok(Value::Nil) => Value::List(crate::helm::value::List::nil(
            crate::helm::value::ListType::Any,
        )),
        Ok(other) => Value::list(vec![Value::from(mismatch(&other, "[]interface {}"))]),
        Err(error) => Value::list(vec![Value::from(error)]),
    }
}

fn parsed_yaml(values: Vec<Value>) -> Result<Value, String> {
    yaml11::parse(&Args::new(values).bytes())
        .map_err(|error| format!("error converting YAML to JSON: {error}"))
}

const UNMARSHAL: &str = "error unmarshaling JSON: while decoding JSON: ";

fn from_yaml(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    Ok(match parsed_yaml(values) {
        Ok(value @ (Value::Map(_) | Value::Nil)) => map_or_error(Ok(value)),
        Ok(other) => error_map(&format!(
            "{UNMARSHAL}{}",
            mismatch(&other, "map[string]interface {}")
        )),
        Err(error) => error_map(&error),
    })
}

fn from_yaml_array(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    Ok(match parsed_yaml(values) {
        Ok(value @ (Value::List(_) | Value::Nil)) => list_or_error(Ok(value)),
        Ok(other) => Value::list(vec![Value::from(format!(
            "{UNMARSHAL}{}",
            mismatch(&other, "[]interface {}")
        ))]),
        Err(error) => Value::list(vec![Value::from(error)]),
    })
}

fn lenient(values: Vec<Value>, style: &json::Style) -> Value {
    let text = Plain::of(&Args::new(values).any())
        .map(|plain| json::write(&plain, style))
        .unwrap_or_default();
    Value::from(text)
}

fn strict(values: Vec<Value>, style: &json::Style) -> Returned {
    Plain::of(&Args::new(values).any())
        .map(|plain| Value::from(json::write(&plain, style)))
        .map_err(|error| FnError::text(error.to_string()))
}

/// What `lookup` hands over: integers stay integers, as in the Go client.
pub(super) fn from_cluster(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Number(n) => match n.as_i64() {
            Some(n) => Value::int64(n),
            None => Value::Float(n.as_f64().unwrap_or(0.0)),
        },
        Json::Array(items) => Value::list(items.iter().map(from_cluster).collect()),
        Json::Object(fields) => {
            let map = Map::new();
            for (key, value) in fields {
                map.set(key, from_cluster(value));
            }
            Value::Map(map)
        }
        other => Value::from_json(other),
    }
}
