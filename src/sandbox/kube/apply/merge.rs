//! Merging an applied configuration into the live object.

use serde_json::{Map, Value};

use super::fields::step_of;
use super::set::{Step, path_text};
use crate::sandbox::kube::schema::walk::{Form, form};
use crate::sandbox::kube::schema::{List, Topology, TypeId, Types};

/// The configuration cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// A keyed list has an item without its key.
    #[error(
        "{path}: element {index}: associative list with keys has an element that omits key field {key:?} (and doesn't have default value)"
    )]
    MissingKey {
        /// The list.
        path: String,
        /// Which item.
        index: usize,
        /// Which key.
        key: String,
    },
    /// A keyed list has two items with the same key.
    #[error("{path}: duplicate entries for key {key}")]
    Duplicate {
        /// The list.
        path: String,
        /// The key.
        key: String,
    },
}

/// The live object with the configuration's fields put over it.
pub fn merge(types: &Types, id: TypeId, live: &Value, config: &Value) -> Result<Value, MergeError> {
    let merged = both(types, id, Some(live), Some(config), &mut Vec::new())?;
    Ok(merged.unwrap_or_default())
}

fn both(
    types: &Types,
    id: TypeId,
    live: Option<&Value>,
    config: Option<&Value>,
    path: &mut Vec<Step>,
) -> Result<Option<Value>, MergeError> {
    let Some(config) = config else {
        return Ok(live.cloned());
    };
    if config.is_null() {
        return Ok(Some(Value::Null));
    }
    // A live value of another kind gives way.
    let live =
        live.filter(|l| l.is_object() == config.is_object() && l.is_array() == config.is_array());
    match form(types, id, [live, Some(config)]) {
        Form::Leaf => Ok(Some(config.clone())),
        Form::Map(fields) => {
            let empty = Map::new();
            let live = live.and_then(Value::as_object).unwrap_or(&empty);
            let config = config.as_object().unwrap_or(&empty);
            let mut out = live.clone();
            for (name, wanted) in config {
                path.push(Step::field(name));
                let merged = both(types, fields.ty(name), live.get(name), Some(wanted), path)?;
                path.pop();
                if let Some(merged) = merged {
                    out.insert(name.clone(), merged);
                }
            }
            Ok(Some(Value::Object(out)))
        }
        Form::Items(list) => {
            let live = live
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            let config = config.as_array().map_or(&[][..], Vec::as_slice);
            items(types, list, live, config, path).map(|out| Some(Value::Array(out)))
        }
    }
}

/// Merges keyed lists: the configuration's order rules where both have an
/// item; items that only the live list has stay where they are.
fn items(
    types: &Types,
    list: &List,
    live: &[Value],
    config: &[Value],
    path: &mut Vec<Step>,
) -> Result<Vec<Value>, MergeError> {
    let wanted = index(list, config, path)?;
    let have: Vec<Option<Step>> = live.iter().map(|v| step_of(list, v)).collect();
    let mut shared = wanted
        .iter()
        .filter(|step| have.iter().any(|s| s.as_ref() == Some(*step)))
        .peekable();
    let mut out = Vec::with_capacity(live.len().max(config.len()));
    let (mut l, mut c) = (0, 0);
    while l < live.len() || c < config.len() {
        let mine = have.get(l).map(Option::as_ref);
        let theirs = wanted.get(c);
        if let Some(mine) = mine {
            let only_live = mine.is_none_or(|m| !wanted.contains(m));
            let merged_before = mine.is_some_and(|m| wanted.iter().take(c).any(|w| w == m));
            let not_its_turn = mine != theirs && shared.peek().copied() != mine;
            if only_live {
                out.extend(live.get(l).cloned());
            }
            if only_live || merged_before || (theirs.is_some() && not_its_turn) {
                l += 1;
                continue;
            }
        }
        let (Some(step), Some(value)) = (theirs, config.get(c)) else {
            l += 1;
            continue;
        };
        let at = have.iter().position(|s| s.as_ref() == Some(step));
        path.push(step.clone());
        out.extend(both(
            types,
            list.item,
            at.and_then(|at| live.get(at)),
            Some(value),
            path,
        )?);
        path.pop();
        if shared.peek() == Some(&step) {
            shared.next();
        }
        if mine == Some(Some(step)) {
            l += 1;
        }
        c += 1;
    }
    Ok(out)
}

/// The steps to a configuration's items, which must differ.
fn index(list: &List, items: &[Value], path: &[Step]) -> Result<Vec<Step>, MergeError> {
    let mut steps: Vec<Step> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        if let Topology::Map(keys) = &list.topology
            && let Some((key, _)) = keys
                .iter()
                .find(|(key, default)| item.get(&**key).is_none() && default.is_none())
        {
            return Err(MergeError::MissingKey {
                path: path_text(path),
                index,
                key: key.to_string(),
            });
        }
        let Some(step) = step_of(list, item) else {
            continue;
        };
        if steps.contains(&step) {
            return Err(MergeError::Duplicate {
                path: path_text(path),
                key: step.to_string(),
            });
        }
        steps.push(step);
    }
    Ok(steps)
}
