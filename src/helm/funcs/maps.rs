//! Maps, and the choice among values: `dict`, `get`, `dig`, `default`, …

use super::strings::strval;
use super::{Args, FnError, Function, Param, Returned, plain, variadic};
use crate::helm::engine::Run;
use crate::helm::value::{List, Map, MapType, Value};

const A: Param = Param::Any;
const M: Param = Param::Map;
const S: Param = Param::Str;

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("dict", &[], A, dict),
    plain("get", &[M, S], get),
    plain("set", &[M, S, A], set),
    plain("unset", &[M, S], unset),
    plain("hasKey", &[M, S], has_key),
    variadic("pluck", &[S], M, pluck),
    variadic("keys", &[], M, keys),
    plain("values", &[M], values),
    variadic("pick", &[M], S, pick),
    variadic("omit", &[M], S, omit),
    variadic("dig", &[], A, dig),
    plain("deepCopy", &[A], deep_copy),
    plain("mustDeepCopy", &[A], must_deep_copy),
    variadic("default", &[A], A, default),
    plain("empty", &[A], |_, v| {
        Ok(Value::Bool(empty(&Args::new(v).any())))
    }),
    variadic("coalesce", &[], A, |_, v| {
        Ok(v.into_iter().find(|v| !empty(v)).unwrap_or_default())
    }),
    variadic("all", &[], A, |_, v| Ok(Value::Bool(!v.iter().any(empty)))),
    variadic("any", &[], A, |_, v| {
        Ok(Value::Bool(v.iter().any(|v| !empty(v))))
    }),
    plain("ternary", &[A, A, Param::Bool], |_, v| {
        let mut args = Args::new(v);
        let (yes, no) = (args.any(), args.any());
        Ok(if args.bool() { yes } else { no })
    }),
];

/// sprig's `empty`, which is the opposite of Go's truth.
pub(super) fn empty(value: &Value) -> bool {
    !value.truth()
}

fn dict(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let map = Map::new();
    let mut values = values.into_iter();
    while let Some(key) = values.next() {
        let value = values.next().unwrap_or_else(|| Value::str(""));
        map.set(strval(&key), value);
    }
    Ok(Value::Map(map))
}

fn get(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (map, key) = (args.map(), args.bytes());
    Ok(map
        .and_then(|map| map.get(key))
        .unwrap_or_else(|| Value::str("")))
}

/// What the map parameters of sprig return: the map without its named type.
fn returned(map: &Map) -> Value {
    Value::Map(map.as_any())
}

fn set(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (map, key, value) = (args.map(), args.bytes(), args.any());
    let Some(map) = map.filter(|map| !map.is_nil()) else {
        return Err(FnError::text("assignment to entry in nil map"));
    };
    map.set(key, value);
    Ok(returned(&map))
}

fn unset(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (map, key) = (args.map(), args.bytes());
    Ok(map.map_or(Value::Nil, |map| {
        map.remove(key);
        returned(&map)
    }))
}

fn has_key(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (map, key) = (args.map(), args.bytes());
    Ok(Value::Bool(map.is_some_and(|map| map.contains(key))))
}

fn pluck(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let key = args.bytes();
    let found = args
        .rest()
        .iter()
        .filter_map(|map| map.as_map()?.get(&key))
        .collect();
    Ok(Value::list(found))
}

fn keys(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let keys = values.iter().filter_map(Value::as_map).flat_map(Map::keys);
    Ok(Value::List(List::strings(keys)))
}

fn values(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let map = Args::new(values).map();
    let entries = map.map(|map| map.entries()).unwrap_or_default();
    Ok(Value::list(entries.into_iter().map(|(_, v)| v).collect()))
}

fn pick(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let map = args.map().unwrap_or_default();
    let out = Map::new();
    for key in args.rest() {
        if let Value::Str(key) = key
            && let Some(value) = map.get(&key)
        {
            out.set(key, value);
        }
    }
    Ok(Value::Map(out))
}

fn omit(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let map = args.map().unwrap_or_default();
    let entries: Map = map.entries().into_iter().collect();
    for key in args.rest() {
        if let Value::Str(key) = key {
            entries.remove(key);
        }
    }
    Ok(Value::Map(entries))
}

/// The step of `dig` into a map: only the plain map type will do.
fn dig_map(value: Value) -> Result<Map, FnError> {
    match value {
        Value::Map(map) if map.ty() == MapType::Any => Ok(map),
        Value::Nil => Err(FnError::text(
            "interface conversion: interface {} is nil, not map[string]interface {}",
        )),
        other => Err(FnError::text(format!(
            "interface conversion: interface {{}} is {}, not map[string]interface {{}}",
            other.type_name()
        ))),
    }
}

fn dig(_: &mut Run<'_>, mut values: Vec<Value>) -> Returned {
    if values.len() < 3 {
        return Err(FnError::text("dig needs at least three arguments"));
    }
    let mut map = dig_map(values.pop().unwrap_or_default())?;
    let default = values.pop().unwrap_or_default();
    for key in &values {
        if !matches!(key, Value::Str(_)) {
            return Err(FnError::text(match key {
                Value::Nil => "interface conversion: interface {} is nil, not string".to_owned(),
                other => format!(
                    "interface conversion: interface {{}} is {}, not string",
                    other.type_name()
                ),
            }));
        }
    }
    let last = values.len() - 1;
    for (i, key) in values.iter().enumerate() {
        let Value::Str(key) = key else { continue };
        let Some(step) = map.get(key) else {
            return Ok(default);
        };
        if i == last {
            return Ok(step);
        }
        map = dig_map(step)?;
    }
    Ok(default)
}

fn deep_copy(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    must_deep_copy(run, values)
}

fn must_deep_copy(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    Ok(Args::new(values).any().deep_copy())
}

fn default(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let fallback = args.any();
    Ok(match args.rest().into_iter().next() {
        Some(given) if !empty(&given) => given,
        _ => fallback,
    })
}
