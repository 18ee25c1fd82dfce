//! Go-like values: what templates compute with.
//!
//! Maps are references, as in Go: a clone of a [`Map`] is the same map, and
//! [`Map::deep_copy`] makes a new one. Lists are immutable. Strings are bytes,
//! because Go cuts strings inside a character. Integer kinds stay apart since
//! the argument rules of templates tell `int` from `int64`.
//!
//! Every walk over a value is bounded by [`MAX_DEPTH`], since a map may hold
//! itself.

mod containers;

use std::fmt;
use std::sync::Arc;

use super::object::Object;

pub use self::containers::{IntoKey, List, Map};

/// A Go string: bytes, usually UTF-8.
pub type Str = Arc<[u8]>;

/// How deep walks over values go before they give up.
pub const MAX_DEPTH: usize = 1000;

/// The signed integer types that templates can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntKind {
    /// `int`
    Int,
    /// `int32` (runes)
    Int32,
    /// `int64`
    Int64,
}

/// The unsigned integer types that templates can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UintKind {
    /// `uint8` (bytes)
    Uint8,
    /// `uint32`
    Uint32,
    /// `uint64`
    Uint64,
}

/// The type of a list, as `%T` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListType {
    /// `[]interface {}`
    Any,
    /// `[]string`
    Strings,
    /// `[]int`
    Ints,
    /// `[][]interface {}`
    Lists,
    /// `[]map[string]interface {}`
    Maps,
    /// `common.VersionSet`, a list of strings with a method `Has`
    VersionSet,
}

/// The type of a map, as `%T` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapType {
    /// `map[string]interface {}`
    Any,
    /// `common.Values`: a named type, which `dig` refuses
    Values,
    /// `map[string]string`
    Strings,
    /// `engine.files`: names to contents, with methods
    Files,
}

/// A value of a template.
#[derive(Clone, Default)]
pub enum Value {
    /// Nothing: a literal `nil`, a YAML null, or a missing key.
    #[default]
    Nil,
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    Int(i64, IntKind),
    /// An unsigned integer.
    Uint(u64, UintKind),
    /// A `float64`.
    Float(f64),
    /// A `complex128`, which only literals make.
    Complex(f64, f64),
    /// A string.
    Str(Str),
    /// A byte slice.
    Bytes(Str),
    /// A list.
    List(List),
    /// A map, shared by reference.
    Map(Map),
    /// A value with fields and methods.
    Obj(Object),
}

impl Value {
    /// A string value.
    pub fn str(text: impl AsRef<[u8]>) -> Self {
        Self::Str(text.as_ref().into())
    }

    /// A Go `int`.
    pub fn int(n: i64) -> Self {
        Self::Int(n, IntKind::Int)
    }

    /// A Go `int64`.
    pub fn int64(n: i64) -> Self {
        Self::Int(n, IntKind::Int64)
    }

    /// A list of type `[]interface {}`.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(List::new(items))
    }

    /// Go's truth: false for nil, false, zero and empty.
    pub fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(b) => *b,
            Self::Int(n, _) => *n != 0,
            Self::Uint(n, _) => *n != 0,
            Self::Float(f) => *f != 0.0,
            Self::Complex(re, im) => *re != 0.0 || *im != 0.0,
            Self::Str(s) | Self::Bytes(s) => !s.is_empty(),
            Self::List(list) => !list.items().is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Obj(object) => object.truth(),
        }
    }

    /// Whether this is nil.
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// The text of a string value that is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(s) => std::str::from_utf8(s).ok(),
            _ => None,
        }
    }

    /// The map of a map value.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The items of a list value.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list.items()),
            _ => None,
        }
    }

    /// The Go type, as `%T` prints it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_, IntKind::Int) => "int",
            Self::Int(_, IntKind::Int32) => "int32",
            Self::Int(_, IntKind::Int64) => "int64",
            Self::Uint(_, UintKind::Uint8) => "uint8",
            Self::Uint(_, UintKind::Uint32) => "uint32",
            Self::Uint(_, UintKind::Uint64) => "uint64",
            Self::Float(_) => "float64",
            Self::Complex(..) => "complex128",
            Self::Str(_) => "string",
            Self::Bytes(_) => "[]uint8",
            Self::List(list) => match list.ty() {
                ListType::Any => "[]interface {}",
                ListType::Strings => "[]string",
                ListType::Ints => "[]int",
                ListType::Lists => "[][]interface {}",
                ListType::Maps => "[]map[string]interface {}",
                ListType::VersionSet => "common.VersionSet",
            },
            Self::Map(map) => match map.ty() {
                MapType::Any => "map[string]interface {}",
                MapType::Values => "common.Values",
                MapType::Strings => "map[string]string",
                MapType::Files => "engine.files",
            },
            Self::Obj(object) => object.type_name(),
        }
    }

    /// The Go kind, as `kindOf` prints it.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Nil => "invalid",
            Self::Bytes(_) | Self::List(_) => "slice",
            Self::Map(_) => "map",
            Self::Obj(object) => object.kind_name(),
            other => other.type_name(),
        }
    }

    /// A copy that shares no map with this value.
    #[must_use]
    pub fn deep_copy(&self) -> Self {
        self.copy_at(0)
    }

    fn copy_at(&self, depth: usize) -> Self {
        if depth > MAX_DEPTH {
            return Self::Nil;
        }
        match self {
            Self::Map(map) => Self::Map(map.copy_at(depth)),
            Self::List(list) => Self::List(List::typed(
                list.ty(),
                list.items().iter().map(|v| v.copy_at(depth + 1)).collect(),
            )),
            other => other.clone(),
        }
    }

    /// Go's `reflect.DeepEqual`: types must agree as well as contents.
    pub fn deep_equal(&self, other: &Self) -> bool {
        deep_equal_at(self, other, 0)
    }

    /// How deep maps and lists nest, up to just above [`MAX_DEPTH`].
    pub fn depth(&self) -> usize {
        depth_at(self, 0)
    }

    /// Converts JSON as `encoding/json` does into `any`: every number becomes
    /// a float.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Nil,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => Self::Float(n.as_f64().unwrap_or(0.0)),
            Json::String(s) => Self::str(s),
            Json::Array(items) => Self::list(items.iter().map(Self::from_json).collect()),
            Json::Object(fields) => Self::Map(
                fields
                    .iter()
                    .map(|(k, v)| (Str::from(k.as_bytes()), Self::from_json(v)))
                    .collect(),
            ),
        }
    }
}

fn deep_equal_at(a: &Value, b: &Value, depth: usize) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    match (a, b) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(x), Value::Bool(y)) => x == y,
        (Value::Int(x, kx), Value::Int(y, ky)) => x == y && kx == ky,
        (Value::Uint(x, kx), Value::Uint(y, ky)) => x == y && kx == ky,
        #[expect(clippy::float_cmp, reason = "Go compares floats exactly")]
        (Value::Float(x), Value::Float(y)) => x == y,
        #[expect(clippy::float_cmp, reason = "Go compares floats exactly")]
        (Value::Complex(xr, xi), Value::Complex(yr, yi)) => xr == yr && xi == yi,
        (Value::Str(x), Value::Str(y)) | (Value::Bytes(x), Value::Bytes(y)) => x == y,
        (Value::List(x), Value::List(y)) => {
            x.ty() == y.ty()
                && (x.same(y)
                    || x.items().len() == y.items().len()
                        && x.items()
                            .iter()
                            .zip(y.items())
                            .all(|(x, y)| deep_equal_at(x, y, depth + 1)))
        }
        (Value::Map(x), Value::Map(y)) => {
            if x.ty() != y.ty() {
                return false;
            }
            if x.same(y) {
                return true;
            }
            let (x, y) = (x.entries(), y.entries());
            x.len() == y.len()
                && x.iter()
                    .zip(&y)
                    .all(|((kx, vx), (ky, vy))| kx == ky && deep_equal_at(vx, vy, depth + 1))
        }
        (Value::Obj(x), Value::Obj(y)) => x == y,
        _ => false,
    }
}

fn depth_at(value: &Value, depth: usize) -> usize {
    if depth > MAX_DEPTH {
        return depth;
    }
    match value {
        Value::List(list) => list
            .items()
            .iter()
            .map(|v| depth_at(v, depth + 1))
            .max()
            .unwrap_or(depth),
        Value::Map(map) => map
            .entries()
            .iter()
            .map(|(_, v)| depth_at(v, depth + 1))
            .max()
            .unwrap_or(depth),
        _ => depth,
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&super::gofmt::sprint_value(self)))
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Value::Map(self.clone()), f)
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Value::List(self.clone()), f)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::str(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text.into_bytes().into())
    }
}

impl From<Vec<u8>> for Value {
    /// A string, not a byte slice.
    fn from(text: Vec<u8>) -> Self {
        Self::Str(text.into())
    }
}

impl From<Str> for Value {
    /// A string, not a byte slice.
    fn from(text: Str) -> Self {
        Self::Str(text)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<f64> for Value {
    fn from(f: f64) -> Self {
        Self::Float(f)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl From<List> for Value {
    fn from(list: List) -> Self {
        Self::List(list)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Obj(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_shared_and_deep_copies_are_not() {
        let inner = Map::new();
        let outer = Map::new();
        outer.set("inner", inner.clone());
        let copy = outer.deep_copy();
        inner.set("x", true);
        assert!(outer.get_map("inner").unwrap().contains("x"));
        assert!(!copy.get_map("inner").unwrap().contains("x"));
    }

    #[test]
    fn a_very_deep_chain_is_dropped_without_recursion() {
        let mut value = Value::Nil;
        for _ in 0..300_000 {
            value = Value::list(vec![value]);
        }
        assert!(value.depth() > MAX_DEPTH);
        drop(value);
    }

    #[test]
    fn a_map_that_holds_itself_can_be_compared_and_copied() {
        let map = Map::new();
        map.set("self", map.clone());
        let value = Value::Map(map.clone());
        assert!(value.deep_equal(&value.clone()));
        assert!(value.depth() > MAX_DEPTH);
        map.remove("self");
    }

    #[test]
    fn deep_equality_minds_types() {
        let cases = [
            (Value::int(1), Value::int(1), true),
            (Value::int(1), Value::int64(1), false),
            (Value::int(1), Value::Float(1.0), false),
            (Value::Nil, Value::Nil, true),
            (Value::str("a"), Value::Bytes(b"a"[..].into()), false),
            (
                Value::List(List::strings(["a"])),
                Value::list(vec!["a".into()]),
                false,
            ),
        ];
        for (a, b, equal) in cases {
            assert_eq!(a.deep_equal(&b), equal, "{a:?} {b:?}");
        }
    }

    #[test]
    fn truth_is_go_truth() {
        for v in [
            Value::Nil,
            Value::int(0),
            Value::str(""),
            Value::list(vec![]),
        ] {
            assert!(!v.truth(), "{v:?}");
        }
        for v in [
            Value::int(1),
            Value::str("false"),
            Value::list(vec![Value::Nil]),
        ] {
            assert!(v.truth(), "{v:?}");
        }
    }
}
