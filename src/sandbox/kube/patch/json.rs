//! JSON patch (RFC 6902).

use serde::Deserialize;
use serde_json::Value;

use crate::sandbox::kube::status::{Outcome, Status};

/// One operation.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Put a value somewhere.
    Add {
        /// Where.
        path: String,
        /// What.
        #[serde(default)]
        value: Value,
    },
    /// Take a value away.
    Remove {
        /// Where.
        path: String,
    },
    /// Put a value in place of another.
    Replace {
        /// Where.
        path: String,
        /// What.
        #[serde(default)]
        value: Value,
    },
    /// Move a value.
    Move {
        /// From where.
        from: String,
        /// To where.
        path: String,
    },
    /// Copy a value.
    Copy {
        /// From where.
        from: String,
        /// To where.
        path: String,
    },
    /// Go on only if a value is as stated.
    Test {
        /// Where.
        path: String,
        /// What.
        #[serde(default)]
        value: Value,
    },
}

/// Reads a patch.
pub fn parse(bytes: &[u8]) -> Outcome<Vec<Operation>> {
    serde_json::from_slice(bytes).map_err(|_| {
        Status::bad_request("error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp")
    })
}

/// The object with all operations done.
pub(super) fn apply(operations: &[Operation], object: &Value) -> Outcome<Value> {
    try_apply(operations, object).map_err(|_| {
        // The reason stays in the real server's log.
        Status::unprocessable("the server rejected our request due to an error in our request")
    })
}

/// The same, with the reason if one does not fit.
pub fn try_apply(operations: &[Operation], object: &Value) -> Result<Value, String> {
    let mut object = object.clone();
    for operation in operations {
        step(&mut object, operation)?;
    }
    Ok(object)
}

fn step(object: &mut Value, operation: &Operation) -> Result<(), String> {
    match operation {
        Operation::Add { path, value } => add(object, path, value.clone()),
        Operation::Remove { path } => remove(object, path).map(drop),
        Operation::Replace { path, value } => replace(object, path, value),
        Operation::Move { from, path } => {
            let value = remove(object, from)?;
            add(object, path, value)
        }
        Operation::Copy { from, path } => {
            let value = object.pointer(from).cloned().ok_or_else(|| {
                format!(
                    "copy operation does not apply: doc is missing from path: {from}: missing value"
                )
            })?;
            add(object, path, value)
        }
        Operation::Test { path, value } => {
            let held = object.pointer(path).unwrap_or(&Value::Null);
            if held == value {
                Ok(())
            } else {
                Err(format!("testing value {path} failed"))
            }
        }
    }
}

/// As the library of the real server does it: a key that an object lacks is
/// set, whatever RFC 6902 says.
fn replace(object: &mut Value, path: &str, value: &Value) -> Result<(), String> {
    if let Some(held) = object.pointer_mut(path) {
        *held = value.clone();
        return Ok(());
    }
    let (parent, last) = split(path)?;
    match object.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.insert(last, value.clone());
            Ok(())
        }
        _ => Err(format!(
            "replace operation does not apply: doc is missing key: {path}: missing value"
        )),
    }
}

fn split(path: &str) -> Result<(&str, String), String> {
    let (parent, last) = path
        .rsplit_once('/')
        .ok_or_else(|| format!("unable to use path {path:?}"))?;
    Ok((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(object: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *object = value;
        return Ok(());
    }
    let (parent, last) = split(path)?;
    let missing =
        || format!("add operation does not apply: doc is missing path: \"{path}\": missing value");
    match object.pointer_mut(parent).ok_or_else(missing)? {
        Value::Object(map) => {
            map.insert(last, value);
            Ok(())
        }
        Value::Array(items) => {
            let at = if last == "-" {
                items.len()
            } else {
                last.parse().map_err(|_| missing())?
            };
            if at > items.len() {
                return Err(format!(
                    "add operation does not apply: doc is missing path: \"{path}\": Unable to access invalid index: {at}: unable to use index"
                ));
            }
            items.insert(at, value);
            Ok(())
        }
        _ => Err(missing()),
    }
}

fn remove(object: &mut Value, path: &str) -> Result<Value, String> {
    let (parent, last) = split(path)?;
    let missing = || {
        format!("remove operation does not apply: doc is missing path: \"{path}\": missing value")
    };
    match object.pointer_mut(parent).ok_or_else(missing)? {
        Value::Object(map) => map.shift_remove(&last).ok_or_else(|| {
            format!("remove operation does not apply: unable to remove nonexistent key: {last}: missing value")
        }),
        Value::Array(items) => {
            let at: usize = last.parse().map_err(|_| missing())?;
            if at < items.len() {
                Ok(items.remove(at))
            } else {
                Err(missing())
            }
        }
        _ => Err(missing()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operations_do_what_they_say() {
        let object = json!({"a": {"b/c": 1}, "l": [1, 2]});
        let cases = [
            (
                json!([{"op": "add", "path": "/l/-", "value": 3}]),
                json!({"a": {"b/c": 1}, "l": [1, 2, 3]}),
            ),
            (
                json!([{"op": "remove", "path": "/a/b~1c"}]),
                json!({"a": {}, "l": [1, 2]}),
            ),
            (
                json!([{"op": "move", "from": "/l", "path": "/m"}]),
                json!({"a": {"b/c": 1}, "m": [1, 2]}),
            ),
            (
                json!([{"op": "test", "path": "/l/0", "value": 1}, {"op": "replace", "path": "/l/0", "value": 9}]),
                json!({"a": {"b/c": 1}, "l": [9, 2]}),
            ),
        ];
        for (patch, expected) in cases {
            let operations = parse(patch.to_string().as_bytes()).unwrap();
            assert_eq!(apply(&operations, &object).unwrap(), expected);
        }
        let lacking = parse(br#"[{"op":"replace","path":"/a/new","value":1}]"#).unwrap();
        assert_eq!(apply(&lacking, &object).unwrap()["a"]["new"], 1);
        let failing = parse(br#"[{"op":"test","path":"/l/0","value":2}]"#).unwrap();
        assert_eq!(apply(&failing, &object).unwrap_err().code, 422);
    }
}
