//! Lists and maps: shared, typed, and dropped without recursion.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{ListType, MapType, Str, Value};

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

    pub(super) fn copy_at(&self, depth: usize) -> Self {
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
