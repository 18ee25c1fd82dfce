//! What changed between two objects, as sets of fields.

use serde_json::Value;

use super::fields::step_of;
use super::set::{Set, Step};
use crate::sandbox::kube::schema::walk::{Form, form};
use crate::sandbox::kube::schema::{List, TypeId, Types};

/// The fields that changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Only in the new object.
    pub added: Set,
    /// In both, with another value.
    pub modified: Set,
    /// Only in the old object.
    pub removed: Set,
}

impl Comparison {
    /// Whether nothing changed.
    pub fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// Drops a path and everything below it.
    pub fn cut(&mut self, path: &[Step]) {
        for set in [&mut self.added, &mut self.modified, &mut self.removed] {
            set.cut(path);
        }
    }
}

/// Compares two objects.
pub fn compare(types: &Types, id: TypeId, old: &Value, new: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    walk(
        types,
        id,
        Some(old),
        Some(new),
        &mut Vec::new(),
        &mut comparison,
    );
    comparison
}

fn walk(
    types: &Types,
    id: TypeId,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<Step>,
    out: &mut Comparison,
) {
    // Where the kind of a value changed, both are taken apart on their own.
    if let (Some(a), Some(b)) = (old, new)
        && !a.is_null()
        && !b.is_null()
        && (a.is_object() != b.is_object() || a.is_array() != b.is_array())
    {
        walk(types, id, Some(a), None, path, out);
        walk(types, id, None, Some(b), path, out);
        return;
    }
    let leaf = match form(types, id, [old, new]) {
        Form::Leaf => true,
        Form::Map(fields) => {
            let old = old.and_then(Value::as_object).filter(|m| !m.is_empty());
            let new = new.and_then(Value::as_object).filter(|m| !m.is_empty());
            for (name, was) in old.into_iter().flatten() {
                let is = new.and_then(|m| m.get(name));
                if is == Some(was) {
                    continue;
                }
                path.push(Step::field(name));
                walk(types, fields.ty(name), Some(was), is, path, out);
                path.pop();
            }
            for (name, is) in new.into_iter().flatten() {
                if old.is_none_or(|m| !m.contains_key(name)) {
                    path.push(Step::field(name));
                    walk(types, fields.ty(name), None, Some(is), path, out);
                    path.pop();
                }
            }
            old.is_none() && new.is_none()
        }
        Form::Items(list) => {
            let old = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let new = new.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            items(types, list, old, new, path, out);
            old.is_empty() && new.is_empty()
        }
    };
    match (old, new) {
        (None, Some(_)) => out.added.insert(path),
        (Some(_), None) => out.removed.insert(path),
        (Some(was), Some(is)) if leaf && was != is => out.modified.insert(path),
        _ => {}
    }
}

fn items(
    types: &Types,
    list: &List,
    old: &[Value],
    new: &[Value],
    path: &mut Vec<Step>,
    out: &mut Comparison,
) {
    if old == new {
        return;
    }
    let olds: Vec<_> = old.iter().map(|v| (step_of(list, v), v)).collect();
    let news: Vec<_> = new.iter().map(|v| (step_of(list, v), v)).collect();
    let mut steps: Vec<&Step> = Vec::with_capacity(olds.len().max(news.len()));
    for step in olds.iter().chain(&news).filter_map(|(s, _)| s.as_ref()) {
        if !steps.contains(&step) {
            steps.push(step);
        }
    }
    for step in steps {
        let (was, is) = (with_step(&olds, step), with_step(&news, step));
        path.push(step.clone());
        match (was.as_slice(), is.as_slice()) {
            ([] | [_], [] | [_]) => {
                walk(
                    types,
                    list.item,
                    was.first().copied(),
                    is.first().copied(),
                    path,
                    out,
                );
            }
            // Items that share a key cannot be told apart: they are one field.
            ([_, _, ..], [_, _, ..]) => {
                if was != is {
                    out.modified.insert(path);
                }
            }
            ([_, _, ..], _) => {
                if let Some(one) = is.first() {
                    walk(types, list.item, None, Some(one), path, out);
                }
                out.removed.insert(path);
            }
            (_, _) => {
                if let Some(one) = was.first() {
                    walk(types, list.item, Some(one), None, path, out);
                }
                out.added.insert(path);
            }
        }
        path.pop();
    }
}

/// The items of one side that a step leads to.
fn with_step<'a>(side: &[(Option<Step>, &'a Value)], step: &Step) -> Vec<&'a Value> {
    let items = side.iter().filter(|(s, _)| s.as_ref() == Some(step));
    items.map(|(_, item)| *item).collect()
}
