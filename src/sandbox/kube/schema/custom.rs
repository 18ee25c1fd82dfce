//! The types of custom resources, from their `OpenAPI` schemas.

use std::sync::Arc;

use serde_json::Value;

use super::builtin::metadata_types;
use super::{Field, List, Object, PatchRule, Scalar, Schema, Topology, Type, TypeId, Types};

/// The types of a version of a custom resource.
pub fn schema(openapi: &Value) -> Schema {
    let mut types = metadata_types();
    let root = convert(&mut types, openapi);
    let text = types.add(Type::Scalar(Scalar::String));
    let metadata = types.named("meta.v1.ObjectMeta").unwrap_or(TypeId::MAX);
    if !matches!(types.get(root), Type::Object(_)) {
        let object = Object {
            open: true,
            ..Object::default()
        };
        if let Some(slot) = types.types.get_mut(root) {
            *slot = Type::Object(object);
        }
    }
    if let Some(Type::Object(object)) = types.types.get_mut(root) {
        object.atomic = false;
        object.kind = true;
        for (name, ty) in [("apiVersion", text), ("kind", text), ("metadata", metadata)] {
            object.fields.insert(name.into(), field(ty, false, None));
        }
    }
    Schema {
        types: Arc::new(types),
        root,
    }
}

fn field(ty: TypeId, required: bool, default: Option<Value>) -> Field {
    Field {
        ty,
        required,
        inline: false,
        pointer: true,
        always: false,
        default,
        proto: Vec::new(),
        patch: PatchRule::default(),
    }
}

fn convert(types: &mut Types, schema: &Value) -> TypeId {
    let text = |name: &str| schema.get(name).and_then(Value::as_str);
    let flag = |name: &str| schema.get(name) == Some(&Value::Bool(true));
    if flag("x-kubernetes-int-or-string") {
        return types.add(Type::Scalar(Scalar::IntOrString));
    }
    let scalar = match text("type") {
        Some("object") => return object(types, schema),
        Some("array") => return list(types, schema),
        Some("string") => Scalar::String,
        Some("boolean") => Scalar::Bool,
        Some("integer") => Scalar::Int64,
        Some("number") => Scalar::Double,
        _ => return types.add(Type::Any),
    };
    types.add(Type::Scalar(scalar))
}

fn object(types: &mut Types, schema: &Value) -> TypeId {
    let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    let required: Vec<_> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut object = Object {
        atomic: schema
            .get("x-kubernetes-map-type")
            .is_some_and(|t| t == "atomic"),
        open,
        ..Object::default()
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let ty = convert(types, property);
        let default = property.get("default").cloned();
        let required = required.contains(&name.as_str());
        object
            .fields
            .insert(name.as_str().into(), field(ty, required, default));
    }
    object.rest = match schema.get("additionalProperties") {
        Some(rest @ Value::Object(_)) => Some(convert(types, rest)),
        Some(Value::Bool(true)) => Some(types.add(Type::Any)),
        _ if open => Some(types.add(Type::Any)),
        _ => None,
    };
    types.add(Type::Object(object))
}

fn list(types: &mut Types, schema: &Value) -> TypeId {
    let items = schema.get("items").cloned().unwrap_or_default();
    let item = convert(types, &items);
    let keys = schema
        .get("x-kubernetes-list-map-keys")
        .and_then(Value::as_array);
    let topology = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => Topology::Set,
        Some("map") => Topology::Map(
            keys.into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(|key| {
                    let default = items.pointer(&format!("/properties/{key}/default"));
                    (key.into(), default.cloned())
                })
                .collect(),
        ),
        _ => Topology::Atomic,
    };
    types.add(Type::List(List { item, topology }))
}
