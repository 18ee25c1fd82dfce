//! The set of all fields that an object states.

use serde_json::Value;

use super::set::{Set, Step};
use crate::sandbox::kube::schema::walk::{Form, form};
use crate::sandbox::kube::schema::{List, Topology, TypeId, Types};

/// The fields of an object.
pub fn field_set(types: &Types, id: TypeId, value: &Value) -> Set {
    let mut set = Set::default();
    match form(types, id, [Some(value), None]) {
        Form::Leaf => {}
        Form::Map(fields) => {
            for (name, child) in value.as_object().into_iter().flatten() {
                let step = Step::field(name);
                let ty = fields.ty(name);
                let below = field_set(types, ty, child);
                let leaf = matches!(form(types, ty, [Some(child), None]), Form::Leaf);
                let empty = child.as_object().is_some_and(serde_json::Map::is_empty);
                let null = child.is_null();
                let empty_list = child.as_array().is_some_and(Vec::is_empty) && !leaf;
                set.graft(step.clone(), below);
                if (leaf && !empty_list) || empty || null || fields.named(name).is_none() {
                    set.add(step);
                }
            }
        }
        Form::Items(list) => {
            for item in value.as_array().into_iter().flatten() {
                let Some(step) = step_of(list, item) else {
                    continue;
                };
                let below = field_set(types, list.item, item);
                set.graft(step.clone(), below);
                set.add(step);
            }
        }
    }
    set
}

/// The step to an item of a keyed list or set.
pub fn step_of(list: &List, item: &Value) -> Option<Step> {
    match &list.topology {
        Topology::Atomic => None,
        Topology::Set => Some(Step::Item(item.into())),
        Topology::Map(keys) => {
            let item = item.as_object()?;
            let mut found: Vec<_> = keys
                .iter()
                .filter_map(|(key, default)| {
                    let value = item.get(&**key).or(default.as_ref())?;
                    Some(((**key).into(), value.into()))
                })
                .collect();
            if found.is_empty() {
                return None;
            }
            found.sort();
            Some(Step::Key(found))
        }
    }
}
