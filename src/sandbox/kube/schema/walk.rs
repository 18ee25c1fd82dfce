//! What a value is, seen through a schema.

use serde_json::{Map, Value};

use super::{Field, List, Object, Topology, Type, TypeId, Types};

/// A value's form, by which it is merged and owned.
#[derive(Debug)]
pub enum Form<'a> {
    /// One value, or something owned as a whole.
    Leaf,
    /// An object whose fields are owned one by one.
    Map(Fields<'a>),
    /// A list whose items are owned one by one.
    Items(&'a List),
}

/// The types of an object's fields.
#[derive(Debug, Clone, Copy)]
pub enum Fields<'a> {
    /// As the schema says.
    Known(&'a Object),
    /// Any, of this type.
    Free(TypeId),
}

impl<'a> Fields<'a> {
    /// The type of a field; fields that the schema does not know are anything.
    pub fn ty(self, name: &str) -> TypeId {
        match self {
            Self::Known(object) => object
                .fields
                .get(name)
                .map(|f| f.ty)
                .or(object.rest)
                .unwrap_or(TypeId::MAX),
            Self::Free(id) => id,
        }
    }

    /// The field, when the schema names it.
    pub fn named(self, name: &str) -> Option<&'a Field> {
        match self {
            Self::Known(object) => object.fields.get(name),
            Self::Free(_) => None,
        }
    }
}

/// The form that either of two values takes; a value of the wrong kind is
/// owned as a whole.
pub fn form<'a>(types: &'a Types, id: TypeId, values: [Option<&Value>; 2]) -> Form<'a> {
    let present = || values.iter().flatten().filter(|v| !v.is_null());
    let objects = || present().next().is_some() && present().all(|v| v.is_object());
    let arrays = || present().next().is_some() && present().all(|v| v.is_array());
    match types.get(id) {
        Type::Any if objects() => Form::Map(Fields::Free(id)),
        Type::Object(object) if !object.atomic && objects() => {
            if object.open && object.fields.is_empty() && object.rest.is_none() {
                Form::Map(Fields::Free(TypeId::MAX))
            } else {
                Form::Map(Fields::Known(object))
            }
        }
        Type::List(list) if list.topology != Topology::Atomic && arrays() => Form::Items(list),
        _ => Form::Leaf,
    }
}

/// Writes the inline structs that Go always writes, so that a stored object
/// looks like one that went through Kubernetes' own types.
pub fn write_inline_structs(types: &Types, id: TypeId, value: &mut Value) {
    match (types.get(id), value) {
        (Type::Object(object), Value::Object(map)) => {
            for (name, _) in object.fields.iter().filter(|(_, f)| f.inline) {
                if map.get(&**name).is_none_or(Value::is_null) {
                    map.insert(name.to_string(), Value::Object(Map::new()));
                }
            }
            for (name, child) in map.iter_mut() {
                if let Some(ty) = object
                    .fields
                    .get(name.as_str())
                    .map(|f| f.ty)
                    .or(object.rest)
                {
                    write_inline_structs(types, ty, child);
                }
            }
        }
        (Type::List(list), Value::Array(items)) => {
            for item in items {
                write_inline_structs(types, list.item, item);
            }
        }
        _ => {}
    }
}

/// Drops what Go leaves out of a built-in object: nulls, empty strings, zero
/// numbers and empty lists of optional fields stay only where they mean
/// something (inside free-form values and maps of text).
pub fn drop_nulls(types: &Types, id: TypeId, value: &mut Value) {
    match (types.get(id), value) {
        (Type::Object(object), Value::Object(map)) => {
            if !object.fields.is_empty() {
                map.retain(|_, v| !v.is_null());
            }
            for (name, child) in map.iter_mut() {
                if let Some(ty) = object
                    .fields
                    .get(name.as_str())
                    .map(|f| f.ty)
                    .or(object.rest)
                {
                    drop_nulls(types, ty, child);
                }
            }
        }
        (Type::List(list), Value::Array(items)) => {
            for item in items {
                drop_nulls(types, list.item, item);
            }
        }
        _ => {}
    }
}
