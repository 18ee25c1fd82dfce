//! What a value is, seen through a schema.

use serde_json::{Map, Value};

use super::{Field, List, Object, Scalar, Topology, Type, TypeId, Types};

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

/// Brings an object into the form that Kubernetes' own types would write:
/// without nulls and without zeros that mean nothing, with the structs and
/// zeros that are always written.
pub fn normalise(types: &Types, id: TypeId, value: &mut Value) {
    match (types.get(id), value) {
        (Type::Object(object), Value::Object(map)) => {
            let ty = |name: &str| object.fields.get(name).map(|f| f.ty).or(object.rest);
            for (name, child) in map.iter_mut() {
                if let Some(ty) = ty(name) {
                    normalise(types, ty, child);
                }
            }
            if object.fields.is_empty() {
                let texts = object.rest.map(|rest| types.get(rest));
                if matches!(texts, Some(Type::Scalar(Scalar::String))) {
                    for value in map.values_mut().filter(|v| v.is_null()) {
                        *value = Value::from("");
                    }
                }
                return;
            }
            map.retain(|name, value| {
                let field = object.fields.get(name.as_str());
                !value.is_null() && field.is_none_or(|f| !is_left_out(types, f, value))
            });
            for (name, field) in &object.fields {
                if !map.contains_key(&**name)
                    && let Some(mut zero) = zero(types, field)
                {
                    if !zero.is_null() {
                        normalise(types, field.ty, &mut zero);
                    }
                    map.insert(name.to_string(), zero);
                }
            }
        }
        (Type::List(list), Value::Array(items)) => {
            for item in items {
                normalise(types, list.item, item);
            }
        }
        _ => {}
    }
}

/// Whether Go leaves a value out because it is zero.
fn is_left_out(types: &Types, field: &Field, value: &Value) -> bool {
    if field.always || field.pointer || field.inline {
        return false;
    }
    match (types.get(field.ty), value) {
        (Type::Scalar(Scalar::IntOrString | Scalar::Quantity), _) => false,
        (Type::Scalar(_), Value::String(s)) => s.is_empty(),
        (Type::Scalar(_), Value::Bool(b)) => !b,
        (Type::Scalar(_), Value::Number(n)) => n.as_f64() == Some(0.0),
        (Type::List(_), Value::Array(items)) => items.is_empty(),
        // A map, not a struct behind a pointer.
        (Type::Object(object), Value::Object(map)) => map.is_empty() && object.name.is_none(),
        _ => false,
    }
}

/// What Go writes for an absent field, if anything.
fn zero(types: &Types, field: &Field) -> Option<Value> {
    if field.inline {
        return Some(Value::Object(Map::new()));
    }
    match types.get(field.ty) {
        Type::Scalar(scalar) if field.always => match scalar {
            Scalar::String => Some(Value::from("")),
            Scalar::Bool => Some(Value::from(false)),
            Scalar::Int32 | Scalar::Int64 => Some(Value::from(0)),
            Scalar::Quantity => Some(Value::from("0")),
            _ => Some(Value::Null),
        },
        _ if field.always => Some(Value::Null),
        _ => None,
    }
}
