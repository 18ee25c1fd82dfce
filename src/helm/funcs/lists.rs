//! Lists.

use super::{Args, FnError, Function, Param, Returned, plain, variadic};
use crate::helm::engine::Run;
use crate::helm::value::{List, ListType, UintKind, Value};

const A: Param = Param::Any;
const I: Param = Param::Int;

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("list", &[], A, |_, v| Ok(Value::list(v))),
    variadic("tuple", &[], A, |_, v| Ok(Value::list(v))),
    plain("append", &[A, A], push),
    plain("push", &[A, A], push),
    plain("mustAppend", &[A, A], push),
    plain("mustPush", &[A, A], push),
    plain("prepend", &[A, A], prepend),
    plain("mustPrepend", &[A, A], prepend),
    plain("first", &[A], first),
    plain("mustFirst", &[A], first),
    plain("last", &[A], last),
    plain("mustLast", &[A], last),
    plain("rest", &[A], rest),
    plain("mustRest", &[A], rest),
    plain("initial", &[A], initial),
    plain("mustInitial", &[A], initial),
    plain("reverse", &[A], reverse),
    plain("mustReverse", &[A], reverse),
    plain("compact", &[A], compact),
    plain("mustCompact", &[A], compact),
    plain("uniq", &[A], uniq),
    plain("mustUniq", &[A], uniq),
    variadic("without", &[A], A, without),
    variadic("mustWithout", &[A], A, without),
    plain("has", &[A, A], has),
    plain("mustHas", &[A, A], has),
    variadic("slice", &[A], A, slice),
    variadic("mustSlice", &[A], A, slice),
    variadic("concat", &[], A, concat),
    plain("chunk", &[I, A], chunk),
    plain("mustChunk", &[I, A], chunk),
];

/// What Go says when a nil is asked for its kind.
pub(crate) const NIL_PANIC: &str =
    "runtime error: invalid memory address or nil pointer dereference";

/// The items of a list value; `what` names the operation in the error.
fn items(value: &Value, what: &str) -> Result<Vec<Value>, FnError> {
    match value {
        Value::List(list) => Ok(list.items().to_vec()),
        Value::Bytes(bytes) => Ok(bytes
            .iter()
            .map(|b| Value::Uint(u64::from(*b), UintKind::Uint8))
            .collect()),
        Value::Nil => Err(FnError::text(NIL_PANIC)),
        other => Err(FnError::text(format!("{what} {}", other.kind_name()))),
    }
}

fn push(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let mut items = items(&args.any(), "Cannot push on type")?;
    run.work(items.len() / 8)?;
    items.push(args.any());
    Ok(Value::list(items))
}

fn prepend(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let mut items = items(&args.any(), "Cannot prepend on type")?;
    run.work(items.len() / 8)?;
    items.insert(0, args.any());
    Ok(Value::list(items))
}

fn first(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let items = items(&Args::new(values).any(), "Cannot find first on type")?;
    Ok(items.into_iter().next().unwrap_or_default())
}

fn last(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let items = items(&Args::new(values).any(), "Cannot find last on type")?;
    Ok(items.into_iter().next_back().unwrap_or_default())
}

fn nil_list() -> Value {
    Value::List(List::nil(ListType::Any))
}

fn rest(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut items = items(&Args::new(values).any(), "Cannot find rest on type")?;
    if items.is_empty() {
        return Ok(nil_list());
    }
    items.remove(0);
    Ok(Value::list(items))
}

fn initial(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut items = items(&Args::new(values).any(), "Cannot find initial on type")?;
    if items.pop().is_none() {
        return Ok(nil_list());
    }
    Ok(Value::list(items))
}

fn reverse(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut items = items(&Args::new(values).any(), "Cannot find reverse on type")?;
    items.reverse();
    Ok(Value::list(items))
}

fn compact(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut items = items(&Args::new(values).any(), "Cannot compact on type")?;
    items.retain(|item| !super::maps::empty(item));
    Ok(Value::list(items))
}

fn uniq(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let items = items(&Args::new(values).any(), "Cannot find uniq on type")?;
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        run.work(kept.len() / 4)?;
        if !kept.iter().any(|k| k.deep_equal(&item)) {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

fn without(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let mut items = items(&args.any(), "Cannot find without on type")?;
    let omit = args.rest();
    run.work(items.len().saturating_mul(omit.len()) / 4)?;
    items.retain(|item| !omit.iter().any(|o| o.deep_equal(item)));
    Ok(Value::list(items))
}

fn has(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (needle, haystack) = (args.any(), args.any());
    if haystack.is_nil() {
        return Ok(Value::Bool(false));
    }
    let items = items(&haystack, "Cannot find has on type")?;
    Ok(Value::Bool(
        items.iter().any(|item| item.deep_equal(&needle)),
    ))
}

fn slice(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let value = args.any();
    let all = items(&value, "list should be type of slice or array but")?;
    if all.is_empty() {
        return Ok(Value::Nil);
    }
    let len = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let bounds = args.rest();
    let start = bounds.first().map_or(0, super::convert::to_int);
    let end = bounds.get(1).map_or(len, super::convert::to_int);
    let part = usize::try_from(start)
        .ok()
        .zip(usize::try_from(end).ok())
        .and_then(|(start, end)| all.get(start..end));
    let Some(part) = part else {
        return Err(FnError::text(
            "reflect.Value.Slice: slice index out of bounds",
        ));
    };
    Ok(match &value {
        Value::Bytes(bytes) => {
            let start = usize::try_from(start).unwrap_or(0);
            let part = bytes.get(start..start + part.len()).unwrap_or(&[]);
            Value::Bytes(part.into())
        }
        Value::List(list) => Value::List(List::typed(list.ty(), part.to_vec())),
        _ => Value::Nil,
    })
}

fn concat(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut out = Vec::new();
    for list in &values {
        match list {
            Value::List(_) | Value::Bytes(_) => out.extend(items(list, "")?),
            Value::Nil => return Err(FnError::text(NIL_PANIC)),
            other => {
                return Err(FnError::text(format!(
                    "Cannot concat type {} as list",
                    other.kind_name()
                )));
            }
        }
        run.work(out.len() / 8)?;
    }
    if out.is_empty() {
        return Ok(nil_list());
    }
    Ok(Value::list(out))
}

fn chunk(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let size = args.int();
    let items = items(&args.any(), "Cannot chunk type")?;
    let Some(size) = usize::try_from(size).ok().filter(|n| *n > 0) else {
        if size < 0 && items.is_empty() {
            return Ok(Value::List(List::typed(ListType::Lists, Vec::new())));
        }
        return Err(FnError::text("runtime error: makeslice: len out of range"));
    };
    let chunks = items
        .chunks(size)
        .map(|part| Value::list(part.to_vec()))
        .collect();
    Ok(Value::List(List::typed(ListType::Lists, chunks)))
}
