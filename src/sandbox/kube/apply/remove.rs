//! Removing a set of fields from an object.

use serde_json::{Map, Value};

use super::fields::step_of;
use super::set::{Set, Step};
use crate::sandbox::kube::schema::walk::{Fields, Form, form};
use crate::sandbox::kube::schema::{Topology, Type, TypeId, Types};

/// The object without these fields. An object that loses its last field stays,
/// empty, unless it is in the set itself; a list that loses its last item goes.
pub fn remove(types: &Types, id: TypeId, value: &Value, set: &Set) -> Value {
    strip(types, id, value, set).unwrap_or_else(|| Value::Object(Map::new()))
}

fn strip(types: &Types, id: TypeId, value: &Value, set: &Set) -> Option<Value> {
    match form(types, id, [Some(value), None]) {
        Form::Leaf => Some(value.clone()),
        Form::Map(fields) => {
            let map = value.as_object()?;
            let mut out = Map::new();
            for (name, child) in map {
                let step = Step::field(name);
                if set.has(&step) {
                    continue;
                }
                match set.below(&step) {
                    None => out.insert(name.clone(), child.clone()),
                    Some(below) => match strip(types, fields.ty(name), child, below) {
                        Some(rest) => out.insert(name.clone(), rest),
                        None => None,
                    },
                };
            }
            Some(Value::Object(out))
        }
        Form::Items(list) => {
            let items = value.as_array()?;
            let mut out = Vec::with_capacity(items.len());
            for item in items {
                let step = step_of(list, item);
                if step.as_ref().is_some_and(|s| set.has(s)) {
                    continue;
                }
                match step.as_ref().and_then(|s| set.below(s)) {
                    None => out.push(item.clone()),
                    Some(below) => out.extend(strip(types, list.item, item, below)),
                }
            }
            (!out.is_empty() || items.is_empty()).then_some(Value::Array(out))
        }
    }
}

/// The set with every named field on the way to a member added, so that an
/// object whose fields all go is known to go too.
pub fn name_fields(types: &Types, id: TypeId, set: &Set) -> Set {
    let mut out = Set::default();
    for (step, member, below) in set.steps() {
        let (named, ty) = match (types.get(id), step) {
            (Type::Object(object), Step::Field(name)) => {
                let fields = Fields::Known(object);
                (fields.named(name).is_some(), fields.ty(name))
            }
            (Type::List(list), _) if list.topology != Topology::Atomic => (false, list.item),
            _ => (false, TypeId::MAX),
        };
        out.graft(step.clone(), name_fields(types, ty, below));
        if member || (named && !below.is_empty()) {
            out.add(step.clone());
        }
    }
    out
}
