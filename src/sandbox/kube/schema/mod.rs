//! What objects look like: one arena of types for the built-in kinds, one for
//! each version of a custom resource.
//!
//! Everything that must know an object's shape reads it from here: server-side
//! apply (list keys, atomic parts), strategic merge patch, strict field
//! validation, protobuf decoding and the `OpenAPI` documents.

mod builtin;
pub mod custom;
mod parse;
pub mod walk;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

pub use builtin::builtin;

/// Index of a type in its arena.
pub type TypeId = usize;

/// An arena of types.
#[derive(Debug, Default)]
pub struct Types {
    types: Vec<Type>,
    names: HashMap<String, TypeId>,
}

/// The shape of a value.
#[derive(Debug, Clone)]
pub enum Type {
    /// Anything: objects merge field by field, arrays are atomic.
    Any,
    /// A single value.
    Scalar(Scalar),
    /// An object with known fields, or a map.
    Object(Object),
    /// An array.
    List(List),
}

/// What a single value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// Text.
    String,
    /// `true` or `false`.
    Bool,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// Any number.
    Double,
    /// Base64 text.
    Bytes,
    /// RFC 3339, seconds.
    Time,
    /// RFC 3339, microseconds.
    MicroTime,
    /// A Go duration.
    Duration,
    /// A number with a unit: `100m`, `1Gi`.
    Quantity,
    /// A port number or name, a count or percentage.
    IntOrString,
}

/// An object's fields.
#[derive(Debug, Clone, Default)]
pub struct Object {
    /// The type's name, e.g. `core.v1.Container`.
    pub name: Option<Arc<str>>,
    /// The known fields.
    pub fields: BTreeMap<Arc<str>, Field>,
    /// The type of every other field; none: there are no others.
    pub rest: Option<TypeId>,
    /// Whether one manager owns it all.
    pub atomic: bool,
    /// Whether fields beyond `fields` and `rest` are kept.
    pub open: bool,
    /// Whether it is a top-level object with `apiVersion` and `kind`.
    pub kind: bool,
}

/// A field of an object.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are facts about Go's field, each on its own"
)]
pub struct Field {
    /// Its type.
    pub ty: TypeId,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it is an inline struct, which is always written, even empty.
    pub inline: bool,
    /// Whether a zero differs from absence.
    pub pointer: bool,
    /// Whether it is written even when zero.
    pub always: bool,
    /// Its value when absent.
    pub default: Option<Value>,
    /// Where protobuf has it: the field numbers on the way to it.
    pub proto: Vec<u32>,
    /// How a strategic merge patch treats it.
    pub patch: PatchRule,
}

/// How a strategic merge patch treats a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatchRule {
    /// Lists merge, by this key or (without one) as sets.
    pub merge: bool,
    /// The key that tells a list's items apart.
    pub key: Option<Arc<str>>,
    /// Fields that the patch does not name go.
    pub retain_keys: bool,
}

/// An array's items.
#[derive(Debug, Clone)]
pub struct List {
    /// The type of each item.
    pub item: TypeId,
    /// How items are told apart.
    pub topology: Topology,
}

/// How a list's items are told apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Topology {
    /// Not at all: one manager owns the list.
    Atomic,
    /// By their value.
    Set,
    /// By these fields, with the values that absent ones stand for.
    Map(Vec<(Arc<str>, Option<Value>)>),
}

/// A type with its arena.
#[derive(Debug, Clone)]
pub struct Schema {
    /// The arena.
    pub types: Arc<Types>,
    /// The type of the whole object.
    pub root: TypeId,
}

impl Types {
    /// The type with this index.
    pub fn get(&self, id: TypeId) -> &Type {
        self.types.get(id).unwrap_or(&Type::Any)
    }

    /// The index of a named type.
    pub fn named(&self, name: &str) -> Option<TypeId> {
        self.names.get(name).copied()
    }

    /// All named types, in no order.
    pub fn names(&self) -> impl Iterator<Item = (&str, TypeId)> {
        self.names.iter().map(|(name, id)| (name.as_str(), *id))
    }

    /// Adds a type.
    pub fn add(&mut self, ty: Type) -> TypeId {
        self.types.push(ty);
        self.types.len() - 1
    }

    /// The type of a field of this type; none when it has no such field.
    pub fn field(&self, id: TypeId, name: &str) -> Option<TypeId> {
        match self.get(id) {
            Type::Any => Some(id),
            Type::Object(object) => object.fields.get(name).map(|f| f.ty).or(object.rest),
            Type::Scalar(_) | Type::List(_) => None,
        }
    }
}

impl Schema {
    /// The schema of a built-in kind, e.g. `apps.v1.Deployment`.
    pub fn builtin(name: &str) -> Option<Self> {
        let types = builtin();
        let root = types.named(name)?;
        Some(Self { types, root })
    }
}
