//! The JSON detour of the writer: what a value is once `encoding/json` wrote
//! it and the YAML reader read it back.

use base64::Engine as _;

use crate::helm::gofmt;
use crate::helm::object::Object;
use crate::helm::value::{MAX_DEPTH, Value};

/// A value as plain data: what JSON can hold.
#[derive(Debug, Clone)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Str(String),
    List(Vec<Self>),
    /// Pairs in the order of the bytes of their keys.
    Map(Vec<(String, Self)>),
}

/// Why a value has no JSON form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlainError {
    /// An infinite float or none at all.
    #[error("json: unsupported value: {0}")]
    Float(String),
    /// A map that holds itself.
    #[error("json: unsupported value: encountered a cycle")]
    Cycle,
    /// A complex number.
    #[error("json: unsupported type: complex128")]
    Complex,
}

impl Plain {
    /// Converts as `encoding/json` would.
    pub(crate) fn of(value: &Value) -> Result<Self, PlainError> {
        Self::at(value, 0)
    }

    fn at(value: &Value, depth: usize) -> Result<Self, PlainError> {
        if depth > MAX_DEPTH {
            return Err(PlainError::Cycle);
        }
        Ok(match value {
            Value::Nil => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(n, _) => Self::Int(*n),
            Value::Uint(n, _) => Self::Uint(*n),
            Value::Float(f) if f.is_finite() => Self::Float(*f),
            Value::Float(f) => return Err(PlainError::Float(gofmt::float_g(*f))),
            Value::Complex(..) => return Err(PlainError::Complex),
            Value::Str(s) => Self::Str(go_utf8(s)),
            Value::Bytes(bytes) => {
                Self::Str(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            Value::List(list) if list.is_nil() => Self::Null,
            Value::List(list) => Self::List(
                list.items()
                    .iter()
                    .map(|item| Self::at(item, depth + 1))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Map(map) if map.is_nil() => Self::Null,
            Value::Map(map) => Self::Map(
                map.entries()
                    .iter()
                    .map(|(key, item)| Ok((go_utf8(key), Self::at(item, depth + 1)?)))
                    .collect::<Result<_, PlainError>>()?,
            ),
            Value::Obj(object) => object_plain(object, depth)?,
        })
    }
}

/// Text with every invalid byte replaced, as Go does.
fn go_utf8(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes
            .utf8_chunks()
            .flat_map(|chunk| {
                let bad = "\u{fffd}".repeat(chunk.invalid().len());
                [chunk.valid().to_owned(), bad]
            })
            .collect(),
    }
}

fn object_plain(object: &Object, depth: usize) -> Result<Plain, PlainError> {
    let text = |s: &str| Plain::Str(s.to_owned());
    let map = |pairs: Vec<(&str, Plain)>| {
        Plain::Map(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    };
    Ok(match object {
        Object::Time(time) => Plain::Str(time.to_rfc3339()),
        Object::Duration(n) => Plain::Int(*n),
        Object::Month(n) | Object::Weekday(n) => Plain::Int(i64::from(*n)),
        Object::Semver(version) => Plain::Str(version.to_text()),
        Object::Certificate(pair) => {
            map(vec![("Cert", text(&pair.cert)), ("Key", text(&pair.key))])
        }
        Object::Capabilities(caps) => map(vec![
            (
                "KubeVersion",
                object_plain(&Object::KubeVersion(caps.kube_version.clone()), depth)?,
            ),
            ("APIVersions", Plain::at(&caps.api_version_list(), depth)?),
            (
                "HelmVersion",
                object_plain(&Object::HelmVersion(caps.helm_version.clone()), depth)?,
            ),
        ]),
        Object::KubeVersion(v) => map(vec![
            ("Version", text(&v.version)),
            ("Major", text(&v.major)),
            ("Minor", text(&v.minor)),
        ]),
        Object::HelmVersion(v) => {
            let named = [
                ("version", &v.version),
                ("git_commit", &v.git_commit),
                ("git_tree_state", &v.git_tree_state),
                ("go_version", &v.go_version),
                ("kube_client_version", &v.kube_client_version),
            ];
            map(named
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name, text(value)))
                .collect())
        }
    })
}

/// The integer that a float is once it went over JSON text, if any.
pub(super) fn reread(f: f64) -> Plain {
    let text = gofmt::float_json(f);
    if let Ok(n) = text.parse::<i64>() {
        Plain::Int(n)
    } else if let Ok(n) = text.parse::<u64>() {
        Plain::Uint(n)
    } else {
        Plain::Float(f)
    }
}

/// Whether the YAML reader would take a JSON text with this string in it.
pub(super) fn readable(text: &str) -> bool {
    text.chars().all(|c| {
        matches!(c, '\u{0}'..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}'
            | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
    })
}
