//! `merge` and `mergeOverwrite`: the rules of mergo 1.0, sharing included.

use super::maps::empty;
use super::{FnError, Function, Param, Returned, variadic};
use crate::helm::value::{MAX_DEPTH, Map, Value};

const M: Param = Param::Map;

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("merge", &[M], M, |_, v| merge_all(v, false)),
    variadic("mustMerge", &[M], M, |_, v| merge_all(v, false)),
    variadic("mergeOverwrite", &[M], M, |_, v| merge_all(v, true)),
    variadic("mustMergeOverwrite", &[M], M, |_, v| merge_all(v, true)),
];

/// Merges the other arguments into the first, which is changed.
fn merge_all(values: Vec<Value>, overwrite: bool) -> Returned {
    let mut values = values.into_iter();
    let target = match values.next() {
        Some(Value::Map(map)) if !map.is_nil() => map,
        _ => Map::new(),
    };
    for source in values {
        if let Value::Map(source) = source {
            merge(&target, &source, overwrite, 0)?;
        }
    }
    Ok(Value::Map(target.as_any()))
}

fn merge(target: &Map, source: &Map, overwrite: bool, depth: usize) -> Result<(), FnError> {
    if depth > MAX_DEPTH {
        return Err(FnError::text("merge of maps that nest too deep"));
    }
    if target.same(source) {
        return Ok(());
    }
    for (key, value) in source.entries() {
        let current = target.get(&key);
        if value.is_nil() {
            if overwrite {
                target.set(key, Value::Nil);
            }
            continue;
        }
        if let (Value::Map(from), Some(Value::Map(into))) = (&value, &current) {
            merge(into, from, overwrite, depth + 1)?;
        }
        // Asked after the merge: a map that was empty may have become fuller.
        let filled = current.as_ref().is_some_and(|current| !empty(current));
        match (&value, &current) {
            (Value::List(_) | Value::Bytes(_), _) if filled && overwrite => {
                target.set(key, value);
            }
            (Value::Map(_), Some(Value::Map(_))) if filled => {}
            _ if overwrite || !filled => target.set(key, value),
            _ => {}
        }
    }
    Ok(())
}
