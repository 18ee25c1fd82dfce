//! Go's own template functions, and those of Helm that reach into the engine.

use super::{Args, Call, FnError, Function, Param, Returned, plain, scoped, variadic};
use crate::helm::engine::Run;
use crate::helm::error::Cause;
use crate::helm::gofmt;
use crate::helm::object::Object;
use crate::helm::template::exec::Scope;
use crate::helm::value::{Map, MapType, UintKind, Value};

const R: Param = Param::Reflect;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "and",
        params: &[R],
        rest: Some(R),
        call: Call::Logic(false),
    },
    Function {
        name: "or",
        params: &[R],
        rest: Some(R),
        call: Call::Logic(true),
    },
    plain("not", &[R], |_, v| {
        Ok(Value::Bool(!Args::new(v).any().truth()))
    }),
    variadic("eq", &[R], R, |_, v| eq(&v).map(Value::Bool)),
    plain("ne", &[R, R], |_, v| eq(&v).map(|e| Value::Bool(!e))),
    plain("lt", &[R, R], |_, v| less(&v).map(Value::Bool)),
    plain("le", &[R, R], |_, v| at_most(&v).map(Value::Bool)),
    plain("gt", &[R, R], |_, v| at_most(&v).map(|b| Value::Bool(!b))),
    plain("ge", &[R, R], |_, v| less(&v).map(|b| Value::Bool(!b))),
    plain("len", &[R], len),
    variadic("index", &[R], R, index),
    variadic("print", &[], Param::Any, |_, v| {
        Ok(Value::from(gofmt::sprint(&v)))
    }),
    variadic("println", &[], Param::Any, |_, v| {
        Ok(Value::from(gofmt::sprintln(&v)))
    }),
    variadic("printf", &[Param::Str], Param::Any, printf),
    variadic("html", &[], Param::Any, |_, v| {
        Ok(Value::from(html(&joined(&v))))
    }),
    variadic("js", &[], Param::Any, |_, v| {
        Ok(Value::from(js(&joined(&v))))
    }),
    variadic("urlquery", &[], Param::Any, |_, v| {
        Ok(Value::from(super::paths::query_escape(&joined(&v))))
    }),
    variadic("call", &[R], R, call),
    scoped("include", &[Param::Str, Param::Any], include),
    scoped("tpl", &[Param::Str, Param::Any], tpl),
    plain("required", &[Param::Str, Param::Any], required),
    plain("fail", &[Param::Str], fail),
    plain("lookup", &[Param::Str; 4], lookup),
    plain("getHostByName", &[Param::Str], |_, _| Ok(Value::str(""))),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Basic<'v> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Complex(f64, f64),
    Str(&'v [u8]),
}

impl Basic<'_> {
    fn kind(self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Int(_) => 1,
            Self::Uint(_) => 2,
            Self::Float(_) => 3,
            Self::Complex(..) => 4,
            Self::Str(_) => 5,
        }
    }
}

fn basic(value: &Value) -> Option<Basic<'_>> {
    Some(match value {
        Value::Bool(b) => Basic::Bool(*b),
        Value::Int(n, _) | Value::Obj(Object::Duration(n)) => Basic::Int(*n),
        Value::Obj(Object::Month(n) | Object::Weekday(n)) => Basic::Int(i64::from(*n)),
        Value::Uint(n, _) => Basic::Uint(*n),
        Value::Float(f) => Basic::Float(*f),
        Value::Complex(re, im) => Basic::Complex(*re, *im),
        Value::Str(s) => Basic::Str(s),
        _ => return None,
    })
}

fn incompatible(a: &Value, b: &Value) -> FnError {
    FnError::text(format!(
        "incompatible types for comparison: {} and {}",
        a.type_name(),
        b.type_name()
    ))
}

fn is_nil(value: &Value) -> bool {
    match value {
        Value::Nil => true,
        Value::List(list) => list.is_nil(),
        Value::Map(map) => map.is_nil(),
        _ => false,
    }
}

fn eq(values: &[Value]) -> Result<bool, FnError> {
    let Some((first, others)) = values.split_first() else {
        return Ok(false);
    };
    if others.is_empty() {
        return Err(FnError::text("missing argument for comparison"));
    }
    for other in others {
        if eq_one(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn eq_one(a: &Value, b: &Value) -> Result<bool, FnError> {
    match (basic(a), basic(b)) {
        (Some(Basic::Int(x)), Some(Basic::Uint(y)))
        | (Some(Basic::Uint(y)), Some(Basic::Int(x))) => Ok(u64::try_from(x).is_ok_and(|x| x == y)),
        (Some(x), Some(y)) if x.kind() == y.kind() => Ok(x == y),
        (Some(_), Some(_)) => Err(incompatible(a, b)),
        (Some(_), None) | (None, Some(_)) if !a.is_nil() && !b.is_nil() => Err(incompatible(a, b)),
        (Some(_), None) | (None, Some(_)) => Ok(false),
        (None, None) => eq_others(a, b),
    }
}

fn eq_others(a: &Value, b: &Value) -> Result<bool, FnError> {
    // Go prints the value with the verb for strings.
    let text = |v: &Value| {
        let shown = gofmt::sprintf(b"%s", std::slice::from_ref(v), 4096);
        String::from_utf8_lossy(&shown.unwrap_or_default()).into_owned()
    };
    if !a.is_nil() && !b.is_nil() && a.kind_name() != b.kind_name() {
        return Err(FnError::text(format!(
            "non-comparable types {}: {}, {}: {}",
            text(a),
            a.type_name(),
            b.type_name(),
            text(b)
        )));
    }
    if is_nil(a) || is_nil(b) {
        return Ok(is_nil(a) == is_nil(b));
    }
    match b {
        Value::Obj(_) => Ok(a.deep_equal(b)),
        _ => Err(FnError::text(format!(
            "non-comparable type {}: {}",
            text(b),
            b.type_name()
        ))),
    }
}

fn less(values: &[Value]) -> Result<bool, FnError> {
    let (Some(a), Some(b)) = (values.first(), values.get(1)) else {
        return Ok(false);
    };
    let bad = || FnError::text("invalid type for comparison");
    let (x, y) = (basic(a).ok_or_else(bad)?, basic(b).ok_or_else(bad)?);
    match (x, y) {
        (Basic::Int(x), Basic::Uint(y)) => Ok(u64::try_from(x).map_or(true, |x| x < y)),
        (Basic::Uint(x), Basic::Int(y)) => Ok(u64::try_from(y).is_ok_and(|y| x < y)),
        (Basic::Int(x), Basic::Int(y)) => Ok(x < y),
        (Basic::Uint(x), Basic::Uint(y)) => Ok(x < y),
        (Basic::Float(x), Basic::Float(y)) => Ok(x < y),
        (Basic::Str(x), Basic::Str(y)) => Ok(x < y),
        (x, y) if x.kind() == y.kind() => Err(bad()),
        _ => Err(incompatible(a, b)),
    }
}

fn at_most(values: &[Value]) -> Result<bool, FnError> {
    if less(values)? {
        return Ok(true);
    }
    eq(values)
}

fn count(n: usize) -> Value {
    Value::int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn len(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    match Args::new(values).any() {
        Value::Str(s) | Value::Bytes(s) => Ok(count(s.len())),
        Value::List(list) => Ok(count(list.items().len())),
        Value::Map(map) => Ok(count(map.len())),
        Value::Nil => Err(FnError::text(
            "reflect: call of reflect.Value.Type on zero Value",
        )),
        other => Err(FnError::text(format!("len of type {}", other.type_name()))),
    }
}

fn place(index: &Value, len: usize) -> Result<usize, FnError> {
    let n = match index {
        Value::Int(n, _) | Value::Obj(Object::Duration(n)) => *n,
        Value::Uint(n, _) => i64::try_from(*n).unwrap_or(-1),
        Value::Nil => return Err(FnError::text("cannot index slice/array with nil")),
        other => {
            return Err(FnError::text(format!(
                "cannot index slice/array with type {}",
                other.type_name()
            )));
        }
    };
    match usize::try_from(n) {
        Ok(at) if at < len => Ok(at),
        // Go's own check lets the length pass, and then panics.
        Ok(at) if at == len => Err(FnError::text("reflect: slice index out of range")),
        _ => Err(FnError::text(format!("index out of range: {n}"))),
    }
}

fn index(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let mut item = args.any();
    if item.is_nil() {
        return Err(FnError::text("index of untyped nil"));
    }
    for index in args.rest() {
        item = match &item {
            Value::Nil => return Err(FnError::text("index of nil pointer")),
            Value::List(list) => {
                let at = place(&index, list.items().len())?;
                list.items().get(at).cloned().unwrap_or_default()
            }
            Value::Str(s) | Value::Bytes(s) => match place(&index, s.len()) {
                Ok(at) => Value::Uint(u64::from(s.get(at).copied().unwrap_or(0)), UintKind::Uint8),
                Err(FnError::Cause(Cause::Text(text))) if text.starts_with("reflect") => {
                    return Err(FnError::text("reflect: string index out of range"));
                }
                Err(error) => return Err(error),
            },
            Value::Map(map) => match &index {
                Value::Str(key) => map.get(key).unwrap_or_else(|| zero_of(map)),
                Value::Nil => {
                    return Err(FnError::text("value is nil; should be of type string"));
                }
                other => {
                    return Err(FnError::text(format!(
                        "value has type {}; should be string",
                        other.type_name()
                    )));
                }
            },
            other => {
                return Err(FnError::text(format!(
                    "can't index item of type {}",
                    other.type_name()
                )));
            }
        };
    }
    Ok(item)
}

/// What a missing key of that map reads as.
pub(crate) fn zero_of(map: &Map) -> Value {
    match map.ty() {
        MapType::Any | MapType::Values => Value::Nil,
        MapType::Strings => Value::str(""),
        MapType::Files => Value::Bytes(Vec::new().into()),
    }
}

fn printf(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let limit = run.options.limits.output;
    let mut args = Args::new(values);
    let format = args.bytes();
    match gofmt::sprintf(&format, &args.rest(), limit) {
        Some(text) => Ok(Value::from(text)),
        None => Err(FnError::Limit(format!(
            "a value is larger than {limit} bytes"
        ))),
    }
}

/// One string as it is, anything else as `print` does.
fn joined(values: &[Value]) -> Vec<u8> {
    match values {
        [Value::Str(s)] => s.to_vec(),
        values => gofmt::sprint(values),
    }
}

fn html(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            other => out.push(*other),
        }
    }
    out
}

fn js(text: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' => out.push_str("\\u003C"),
            '>' => out.push_str("\\u003E"),
            '&' => out.push_str("\\u0026"),
            '=' => out.push_str("\\u003D"),
            c if c < ' ' || !c.is_ascii() && !gofmt::is_printable(c) => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.into_bytes()
}

/// No value of a template is a function, so this always fails.
fn call(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    match Args::new(values).any() {
        Value::Nil => Err(FnError::text("call of nil")),
        // The evaluator names the expression in its own error.
        _ => Err(FnError::text("call of a value that is no function")),
    }
}

fn include(run: &mut Run<'_>, scope: &Scope<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let name = args.bytes();
    run.include(scope, &name, args.any()).map(Value::from)
}

fn tpl(run: &mut Run<'_>, scope: &Scope<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let text = args.bytes();
    run.tpl(scope, &text, args.any()).map(Value::from)
}

fn raise(run: &Run<'_>, message: String) -> Returned {
    if run.options.lint {
        return Ok(Value::str(""));
    }
    Err(FnError::Cause(Cause::Raised(message)))
}

fn required(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let message = args.text();
    match args.any() {
        Value::Nil => raise(run, message),
        Value::Str(s) if s.is_empty() => raise(run, message),
        value => Ok(value),
    }
}

fn fail(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    raise(run, Args::new(values).text())
}

fn lookup(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (api_version, kind, namespace, name) = (args.text(), args.text(), args.text(), args.text());
    match &run.options.lookup {
        Some(lookup) if !run.options.lint => {
            let found = lookup
                .lookup(&api_version, &kind, &namespace, &name)
                .map_err(FnError::text)?;
            Ok(match super::serial::from_cluster(&found) {
                Value::Nil => Value::Map(Map::new()),
                value => value,
            })
        }
        _ => Ok(Value::Map(Map::new())),
    }
}
