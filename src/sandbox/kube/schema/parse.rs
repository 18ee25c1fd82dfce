//! Reads the tables of types.
//!
//! A line without indent starts a type: its name, then `kind` (has
//! `apiVersion` and `kind`), `atomic` (one manager owns it all) or `any`
//! (fields are not known). An indented line is a field:
//!
//! ```text
//!   name#1.2! type ptr always map(key,…) set atomic struct default(json) patch(rule)
//! ```
//!
//! with the protobuf numbers on the way to it, `!` when required, and the type
//! a scalar, a type's name, `[item]` or `{value}`. `ptr` is a scalar whose
//! zero differs from its absence, `always` a field that is written even when
//! it is zero. `patch` holds `merge`, `retainKeys` and the merge key after a
//! colon.

use std::sync::Arc;

use serde_json::Value;

use super::{Field, List, Object, PatchRule, Scalar, Topology, Type, TypeId, Types};

/// Adds a table's types.
pub(super) fn table(types: &mut Types, text: &str) {
    let mut current = None;
    for line in text.lines().filter(|l| !l.is_empty()) {
        if let Some(field) = line.strip_prefix("  ") {
            let (name, field) = parse_field(types, field);
            if let Some(Type::Object(object)) =
                current.and_then(|id: TypeId| types.types.get_mut(id))
            {
                object.fields.insert(name, field);
            }
        } else {
            current = Some(start(types, line));
        }
    }
}

/// Gives list keys the defaults of the fields that they name.
pub(super) fn finish(types: &mut Types) {
    for id in 0..types.types.len() {
        let Type::List(List {
            item,
            topology: Topology::Map(keys),
        }) = types.get(id)
        else {
            continue;
        };
        let Type::Object(object) = types.get(*item) else {
            continue;
        };
        let keys = keys
            .iter()
            .map(|(key, _)| {
                let field = object.fields.get(key);
                let stated = field.and_then(|f| f.default.clone());
                let zero = || match types.get(field.filter(|f| f.always)?.ty) {
                    Type::Scalar(Scalar::String) => Some(Value::from("")),
                    Type::Scalar(Scalar::Int32 | Scalar::Int64) => Some(Value::from(0)),
                    _ => None,
                };
                (key.clone(), stated.or_else(zero))
            })
            .collect();
        if let Some(Type::List(list)) = types.types.get_mut(id) {
            list.topology = Topology::Map(keys);
        }
    }
}

fn start(types: &mut Types, line: &str) -> TypeId {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let flags: Vec<_> = words.collect();
    let mut object = Object {
        name: Some(name.into()),
        atomic: flags.contains(&"atomic"),
        open: flags.contains(&"any"),
        kind: flags.contains(&"kind"),
        ..Object::default()
    };
    if object.kind {
        for field in ["apiVersion", "kind"] {
            let (name, field) = parse_field(types, &format!("{field} string"));
            object.fields.insert(name, field);
        }
    }
    let id = reference(types, name);
    if let Some(slot) = types.types.get_mut(id) {
        *slot = Type::Object(object);
    }
    id
}

fn parse_field(types: &mut Types, line: &str) -> (Arc<str>, Field) {
    let mut words = line.split(' ');
    let head = words.next().unwrap_or_default();
    let ty = words.next().unwrap_or_default();
    let flags: Vec<_> = words.collect();
    let required = head.ends_with('!');
    let head = head.trim_end_matches('!');
    let (name, proto) = head.split_once('#').unwrap_or((head, ""));
    let argument = |flag: &str| {
        flags
            .iter()
            .find_map(|f| f.strip_prefix(flag)?.strip_prefix('(')?.strip_suffix(')'))
    };
    let topology = match argument("map") {
        Some(keys) => Topology::Map(keys.split(',').map(|k| (k.into(), None)).collect()),
        None if flags.contains(&"set") => Topology::Set,
        None => Topology::Atomic,
    };
    let mut ty = parse_type(types, ty, &topology);
    if flags.contains(&"atomic") {
        ty = atomic(types, ty);
    }
    let patch = argument("patch").map(parse_patch).unwrap_or_default();
    let field = Field {
        ty,
        required,
        inline: flags.contains(&"struct"),
        pointer: flags.contains(&"ptr"),
        always: flags.contains(&"always"),
        default: argument("default").and_then(|d| serde_json::from_str::<Value>(d).ok()),
        proto: proto.split('.').filter_map(|n| n.parse().ok()).collect(),
        patch,
    };
    (name.into(), field)
}

fn parse_patch(text: &str) -> PatchRule {
    let (rules, key) = text.split_once(':').unwrap_or((text, ""));
    PatchRule {
        merge: rules.split(',').any(|r| r == "merge"),
        key: (!key.is_empty()).then(|| key.into()),
        retain_keys: rules.split(',').any(|r| r == "retainKeys"),
    }
}

fn parse_type(types: &mut Types, text: &str, topology: &Topology) -> TypeId {
    if let Some(item) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        let item = parse_type(types, item, &Topology::Atomic);
        return types.add(Type::List(List {
            item,
            topology: topology.clone(),
        }));
    }
    if let Some(value) = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
        let rest = Some(parse_type(types, value, &Topology::Atomic));
        return types.add(Type::Object(Object {
            rest,
            ..Object::default()
        }));
    }
    let scalar = match text {
        "string" => Scalar::String,
        "bool" => Scalar::Bool,
        "int32" => Scalar::Int32,
        "int64" => Scalar::Int64,
        "double" => Scalar::Double,
        "bytes" => Scalar::Bytes,
        "time" => Scalar::Time,
        "microtime" => Scalar::MicroTime,
        "duration" => Scalar::Duration,
        "quantity" => Scalar::Quantity,
        "intorstring" => Scalar::IntOrString,
        name if name.contains('.') => return reference(types, name),
        _ => return types.add(Type::Any),
    };
    types.add(Type::Scalar(scalar))
}

/// The index of a named type, which may be defined later.
fn reference(types: &mut Types, name: &str) -> TypeId {
    if let Some(id) = types.named(name) {
        return id;
    }
    let id = types.add(Type::Any);
    types.names.insert(name.to_owned(), id);
    id
}

/// The same type, owned by one manager as a whole.
fn atomic(types: &mut Types, id: TypeId) -> TypeId {
    match types.get(id).clone() {
        Type::Object(object) => types.add(Type::Object(Object {
            atomic: true,
            ..object
        })),
        _ => id,
    }
}
