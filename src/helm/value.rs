//! Go-like values: what templates compute with.
//!
//! Maps are references, as in Go: a clone of a [`Map`] is the same map, and
//! [`Map::deep_copy`] makes a new one. Lists are immutable. Strings are bytes,
//! because Go cuts strings inside a character. Integer kinds stay apart since
//! the argument rules of templates tell `int` from `int64`.
//!
//! Every walk over a value is bounded by [`MAX_DEPTH`], since a map may hold
//! itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::object::Object;

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

/// An immutable list that is cheap to clone.
#[derive(Clone)]
pub struct List(Arc<ListCell>);

struct ListCell {
    ty: ListType,
    items: Vec<Value>,
    nil: bool,
}

/// A map shared by reference.
#[derive(Clone)]
pub struct Map {
    ty: MapType,
    nil: bool,
    cell: Arc<MapCell>,
}

struct MapCell {
    entries: RwLock<BTreeMap<Str, Value>>,
}

impl List {
    /// A list of type `[]interface {}`.
    pub fn new(items: Vec<Value>) -> Self {
        Self::typed(ListType::Any, items)
    }

    /// A list of a given type. The items must fit the type.
    pub fn typed(ty: ListType, items: Vec<Value>) -> Self {
        Self(Arc::new(ListCell {
            ty,
            items,
            nil: false,
        }))
    }

    /// A nil slice: empty, and null in JSON.
    pub fn nil(ty: ListType) -> Self {
        Self(Arc::new(ListCell {
            ty,
            items: Vec::new(),
            nil: true,
        }))
    }

    /// Whether this is a nil slice.
    pub fn is_nil(&self) -> bool {
        self.0.nil
    }

    /// A list of type `[]string`.
    pub fn strings<S: Into<Value>>(items: impl IntoIterator<Item = S>) -> Self {
        Self::typed(
            ListType::Strings,
            items.into_iter().map(Into::into).collect(),
        )
    }

    /// The list's type.
    pub fn ty(&self) -> ListType {
        self.0.ty
    }

    /// The items.
    pub fn items(&self) -> &[Value] {
        &self.0.items
    }

    /// Whether both are the same list in memory.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Default for Map {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<(Str, Value)> for Map {
    fn from_iter<T: IntoIterator<Item = (Str, Value)>>(iter: T) -> Self {
        Self::typed(MapType::Any, iter.into_iter().collect())
    }
}

impl Map {
    /// An empty map of type `map[string]interface {}`.
    pub fn new() -> Self {
        Self::typed(MapType::Any, BTreeMap::new())
    }

    /// A map of a given type. The entries must fit the type.
    pub fn typed(ty: MapType, entries: BTreeMap<Str, Value>) -> Self {
        Self {
            ty,
            nil: false,
            cell: Arc::new(MapCell {
                entries: RwLock::new(entries),
            }),
        }
    }

    /// A nil map: empty, null in JSON, and not to be written to.
    pub fn nil() -> Self {
        Self {
            nil: true,
            ..Self::new()
        }
    }

    /// Whether this is a nil map.
    pub fn is_nil(&self) -> bool {
        self.nil
    }

    /// The map's type.
    pub fn ty(&self) -> MapType {
        self.ty
    }

    /// The same map, seen as `map[string]interface {}`.
    #[must_use]
    pub fn as_any(&self) -> Self {
        self.seen_as(MapType::Any)
    }

    /// The same map, seen as another type: changes are shared.
    #[must_use]
    pub fn seen_as(&self, ty: MapType) -> Self {
        Self {
            ty,
            nil: self.nil,
            cell: self.cell.clone(),
        }
    }

    /// The same entries in a new map of another type; nested maps are shared.
    #[must_use]
    pub fn retyped(&self, ty: MapType) -> Self {
        Self::typed(ty, self.read(Clone::clone))
    }

    /// Calls `f` with the entries. `f` must not change this map.
    pub fn read<R>(&self, f: impl FnOnce(&BTreeMap<Str, Value>) -> R) -> R {
        f(&self
            .cell
            .entries
            .read()
            .unwrap_or_else(PoisonError::into_inner))
    }

    /// The value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Value> {
        self.read(|entries| entries.get(key.as_ref()).cloned())
    }

    /// Whether the key is there, be its value nil or not.
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        self.read(|entries| entries.contains_key(key.as_ref()))
    }

    /// The value of a key when it is a map.
    pub fn get_map(&self, key: impl AsRef<[u8]>) -> Option<Self> {
        match self.get(key) {
            Some(Value::Map(map)) => Some(map),
            _ => None,
        }
    }

    /// Sets a key in this map, which all its clones see.
    pub fn set(&self, key: impl IntoKey, value: impl Into<Value>) {
        let value = value.into();
        let old = self
            .cell
            .entries
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.into_key(), value);
        // Dropped after the lock is released: it may hold this map.
        drop(old);
    }

    /// Removes a key from this map and returns what was there.
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Option<Value> {
        self.cell
            .entries
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key.as_ref())
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.read(BTreeMap::len)
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A snapshot of the entries in the order of their keys.
    pub fn entries(&self) -> Vec<(Str, Value)> {
        self.read(|entries| {
            entries
                .iter()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect()
        })
    }

    /// A snapshot of the keys in order.
    pub fn keys(&self) -> Vec<Str> {
        self.read(|entries| entries.keys().cloned().collect())
    }

    /// Whether both are the same map in memory.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cell, &other.cell)
    }

    /// A copy that shares nothing with this map.
    #[must_use]
    pub fn deep_copy(&self) -> Self {
        self.copy_at(0)
    }

    fn copy_at(&self, depth: usize) -> Self {
        let entries = self.entries();
        let copied = entries
            .into_iter()
            .map(|(k, v)| (k, v.copy_at(depth + 1)))
            .collect();
        Self::typed(self.ty(), copied)
    }
}

/// What can be a map key.
pub trait IntoKey {
    /// The key's bytes.
    fn into_key(self) -> Str;
}

impl IntoKey for &str {
    fn into_key(self) -> Str {
        self.as_bytes().into()
    }
}

impl IntoKey for &String {
    fn into_key(self) -> Str {
        self.as_bytes().into()
    }
}

impl IntoKey for String {
    fn into_key(self) -> Str {
        self.into_bytes().into()
    }
}

impl IntoKey for Str {
    fn into_key(self) -> Str {
        self
    }
}

impl IntoKey for &Str {
    fn into_key(self) -> Str {
        self.clone()
    }
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

thread_local! {
    /// Contents of containers that are being dropped. A long chain of nested
    /// containers is dropped in a loop, not by recursion, which would end in a
    /// stack overflow.
    static DROPPED: RefCell<Option<Vec<Value>>> = const { RefCell::new(None) };
}

fn is_container(value: &Value) -> bool {
    matches!(value, Value::List(_) | Value::Map(_))
}

fn drop_flat(values: impl Iterator<Item = Value>) {
    let outermost = DROPPED.try_with(|slot| {
        let mut slot = slot.borrow_mut();
        let outermost = slot.is_none();
        slot.get_or_insert_with(Vec::new)
            .extend(values.filter(is_container));
        outermost
    });
    if !outermost.unwrap_or(false) {
        return;
    }
    loop {
        let next = DROPPED.with(|slot| slot.borrow_mut().as_mut().and_then(Vec::pop));
        if next.is_none() {
            break;
        }
    }
    DROPPED.with(|slot| *slot.borrow_mut() = None);
}

impl Drop for ListCell {
    fn drop(&mut self) {
        if self.items.iter().any(is_container) {
            drop_flat(std::mem::take(&mut self.items).into_iter());
        }
    }
}

impl Drop for MapCell {
    fn drop(&mut self) {
        let entries = self
            .entries
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if entries.values().any(is_container) {
            drop_flat(std::mem::take(entries).into_values());
        }
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
