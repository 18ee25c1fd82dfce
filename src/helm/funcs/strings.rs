//! Strings: cutting, searching, padding, quoting.

use super::{Args, FnError, Function, Param, Returned, plain, variadic};
use crate::helm::engine::Run;
use crate::helm::gofmt;
use crate::helm::value::{List, Map, MapType, Str, Value};

const S: Param = Param::Str;
const I: Param = Param::Int;
const A: Param = Param::Any;

pub(super) const FUNCTIONS: &[Function] = &[
    plain("trim", &[S], |_, v| text_of(v, |s| s.trim().to_owned())),
    plain("upper", &[S], |_, v| text_of(v, upper)),
    plain("lower", &[S], |_, v| text_of(v, lower)),
    plain("trunc", &[I, S], trunc),
    plain("substr", &[I, I, S], substr),
    plain("repeat", &[I, S], repeat),
    plain("trimAll", &[S, S], trim_all),
    plain("trimall", &[S, S], trim_all),
    plain("trimSuffix", &[S, S], |_, v| {
        pair(v, |cut, s| Value::str(s.strip_suffix(cut).unwrap_or(s)))
    }),
    plain("trimPrefix", &[S, S], |_, v| {
        pair(v, |cut, s| Value::str(s.strip_prefix(cut).unwrap_or(s)))
    }),
    plain("contains", &[S, S], |_, v| {
        pair(v, |sub, s| Value::Bool(find(s, sub).is_some()))
    }),
    plain("hasPrefix", &[S, S], |_, v| {
        pair(v, |sub, s| Value::Bool(s.starts_with(sub)))
    }),
    plain("hasSuffix", &[S, S], |_, v| {
        pair(v, |sub, s| Value::Bool(s.ends_with(sub)))
    }),
    variadic("quote", &[], A, |_, v| Ok(quote(&v))),
    variadic("squote", &[], A, |_, v| Ok(squote(&v))),
    variadic("cat", &[], A, |_, v| Ok(cat(&v))),
    plain("indent", &[I, S], |run, v| indent(run, v, "")),
    plain("nindent", &[I, S], |run, v| indent(run, v, "\n")),
    plain("replace", &[S, S, S], replace),
    plain("plural", &[S, S, I], plural),
    plain("toString", &[A], |_, v| {
        Ok(Value::from(strval(&Args::new(v).any())))
    }),
    plain("toStrings", &[A], |_, v| {
        Ok(string_list(&Args::new(v).any()))
    }),
    plain("join", &[S, A], join),
    plain("split", &[S, S], |_, v| {
        pair(v, |sep, s| numbered(split(s, sep, usize::MAX)))
    }),
    plain("splitList", &[S, S], |_, v| {
        pair(v, |sep, s| {
            Value::List(List::strings(split(s, sep, usize::MAX)))
        })
    }),
    plain("splitn", &[S, I, S], splitn),
    plain("sortAlpha", &[A], sort_alpha),
    plain("hello", &[], |_, _| Ok(Value::str("Hello!"))),
];

fn text_of(values: Vec<Value>, change: impl Fn(&str) -> String) -> Returned {
    Ok(Value::from(change(&Args::new(values).text())))
}

fn pair(values: Vec<Value>, f: impl Fn(&[u8], &[u8]) -> Value) -> Returned {
    let mut args = Args::new(values);
    let (a, b) = (args.bytes(), args.bytes());
    Ok(f(&a, &b))
}

/// Go maps character by character.
fn upper(text: &str) -> String {
    text.chars().map(simple_upper).collect()
}

fn lower(text: &str) -> String {
    text.chars().map(simple_lower).collect()
}

/// The upper-case form where it is one character.
pub(super) fn simple_upper(c: char) -> char {
    let mut forms = c.to_uppercase();
    match (forms.next(), forms.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// The lower-case form where it is one character.
pub(super) fn simple_lower(c: char) -> char {
    let mut forms = c.to_lowercase();
    match (forms.next(), forms.next()) {
        (Some(one), None) => one,
        (Some(one), Some(_)) if c == '\u{130}' => one,
        _ => c,
    }
}

/// sprig's `strval`: the text of any value.
pub(super) fn strval(value: &Value) -> Str {
    match value {
        Value::Str(s) | Value::Bytes(s) => s.clone(),
        other => gofmt::sprint_value(other).into(),
    }
}

/// sprig's `strslice`: the texts of a list without nils, or of one value.
pub(super) fn strslice(value: &Value) -> Vec<Str> {
    match value {
        Value::Nil => Vec::new(),
        Value::List(list) => list
            .items()
            .iter()
            .filter(|item| !item.is_nil())
            .map(strval)
            .collect(),
        Value::Bytes(bytes) => bytes
            .iter()
            .map(|byte| byte.to_string().into_bytes().into())
            .collect(),
        other => vec![strval(other)],
    }
}

fn string_list(value: &Value) -> Value {
    Value::List(List::strings(strslice(value)))
}

/// Where a text first occurs.
pub(super) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    match what {
        [] => Some(0),
        [one] => text.iter().position(|c| c == one),
        [first, ..] => {
            let mut from = 0;
            while let Some(at) = text.get(from..)?.iter().position(|c| c == first) {
                let at = from + at;
                if text.get(at..)?.starts_with(what) {
                    return Some(at);
                }
                from = at + 1;
            }
            None
        }
    }
}

fn size(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

fn trunc(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (n, s) = (args.int(), args.bytes());
    if n < 0 {
        let keep = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
        if s.len() > keep {
            return Ok(Value::str(s.get(s.len() - keep..).unwrap_or(&[])));
        }
    } else if s.len() > size(n) {
        return Ok(Value::str(s.get(..size(n)).unwrap_or(&[])));
    }
    Ok(Value::Str(s))
}

fn substr(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (start, end, s) = (args.int(), args.int(), args.bytes());
    let len = s.len();
    let out_of_range = |text: String| {
        Err(FnError::text(format!(
            "runtime error: slice bounds out of range {text}"
        )))
    };
    if start < 0 {
        if end < 0 {
            return out_of_range(format!("[:{end}]"));
        }
        return match s.get(..size(end)) {
            Some(part) => Ok(Value::str(part)),
            None => out_of_range(format!("[:{end}] with length {len}")),
        };
    }
    if end < 0 || size(end) > len {
        return match s.get(size(start)..) {
            Some(part) => Ok(Value::str(part)),
            None => out_of_range(format!("[{start}:{len}]")),
        };
    }
    match s.get(size(start)..size(end)) {
        Some(part) => Ok(Value::str(part)),
        None => out_of_range(format!("[{start}:{end}]")),
    }
}

fn repeat(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (n, s) = (args.int(), args.bytes());
    if n < 0 {
        return Err(FnError::text("strings: negative Repeat count"));
    }
    run.afford(s.len().saturating_mul(size(n)))?;
    Ok(Value::from(s.repeat(size(n))))
}

fn trim_all(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (set, s) = (args.text(), args.text());
    Ok(Value::str(s.trim_matches(|c| set.contains(c))))
}

fn joined_texts(parts: Vec<Vec<u8>>) -> Value {
    Value::from(parts.join(&b' '))
}

fn quote(values: &[Value]) -> Value {
    joined_texts(
        values
            .iter()
            .filter(|v| !v.is_nil())
            .map(|v| gofmt::quote(&strval(v)))
            .collect(),
    )
}

fn squote(values: &[Value]) -> Value {
    joined_texts(
        values
            .iter()
            .filter(|v| !v.is_nil())
            .map(|v| [b"'", gofmt::sprint_value(v).as_slice(), b"'"].concat())
            .collect(),
    )
}

fn cat(values: &[Value]) -> Value {
    joined_texts(
        values
            .iter()
            .filter(|v| !v.is_nil())
            .map(gofmt::sprint_value)
            .collect(),
    )
}

fn indent(run: &mut Run<'_>, values: Vec<Value>, before: &str) -> Returned {
    let mut args = Args::new(values);
    let (n, s) = (args.int(), args.bytes());
    if n < 0 {
        return Err(FnError::text("strings: negative Repeat count"));
    }
    let n = size(n);
    let lines = 1 + s.iter().filter(|c| **c == b'\n').count();
    let total = lines
        .saturating_mul(n)
        .saturating_add(s.len() + before.len());
    run.afford(total)?;
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(before.as_bytes());
    out.resize(out.len() + n, b' ');
    for line in s.split_inclusive(|c| *c == b'\n') {
        out.extend_from_slice(line);
        if line.ends_with(b"\n") {
            out.resize(out.len() + n, b' ');
        }
    }
    Ok(Value::from(out))
}

fn replace(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (old, new, s) = (args.bytes(), args.bytes(), args.bytes());
    if old.is_empty() {
        let text = String::from_utf8_lossy(&s);
        run.afford((text.len() + 1).saturating_mul(new.len() + 1))?;
        let mut out = new.to_vec();
        for c in text.chars() {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            out.extend_from_slice(&new);
        }
        return Ok(Value::from(out));
    }
    let most = s.len() / old.len() + 1;
    run.afford(most.saturating_mul(new.len()).saturating_add(s.len()))?;
    let mut out = Vec::with_capacity(s.len());
    let mut rest: &[u8] = &s;
    while let Some(at) = find(rest, &old) {
        out.extend_from_slice(rest.get(..at).unwrap_or(&[]));
        out.extend_from_slice(&new);
        rest = rest.get(at + old.len()..).unwrap_or(&[]);
    }
    out.extend_from_slice(rest);
    Ok(Value::from(out))
}

fn plural(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (one, many, n) = (args.bytes(), args.bytes(), args.int());
    Ok(Value::Str(if n == 1 { one } else { many }))
}

fn join(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let sep = args.bytes();
    let parts = strslice(&args.any());
    let total: usize = parts.iter().map(|p| p.len() + sep.len()).sum();
    run.afford(total)?;
    let mut out = Vec::with_capacity(total);
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(&sep);
        }
        out.extend_from_slice(part);
    }
    Ok(Value::from(out))
}

/// `strings.SplitN`: at most `n` parts; an empty separator cuts characters.
pub(super) fn split(text: &[u8], sep: &[u8], n: usize) -> Vec<Value> {
    let mut parts = Vec::new();
    let mut rest = text;
    if sep.is_empty() {
        while !rest.is_empty() && parts.len() + 1 < n {
            let len = rest
                .utf8_chunks()
                .next()
                .and_then(|chunk| chunk.valid().chars().next())
                .map_or(1, char::len_utf8);
            let (one, after) = rest.split_at(len.min(rest.len()));
            parts.push(Value::str(one));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Value::str(rest));
        }
        return parts;
    }
    while parts.len() + 1 < n
        && let Some(at) = find(rest, sep)
    {
        parts.push(Value::str(rest.get(..at).unwrap_or(&[])));
        rest = rest.get(at + sep.len()..).unwrap_or(&[]);
    }
    parts.push(Value::str(rest));
    parts
}

/// The parts as a map `_0`, `_1`, …
fn numbered(parts: Vec<Value>) -> Value {
    let entries = parts
        .into_iter()
        .enumerate()
        .map(|(i, part)| (Str::from(format!("_{i}").into_bytes()), part))
        .collect();
    Value::Map(Map::typed(MapType::Strings, entries))
}

fn splitn(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (sep, n, s) = (args.bytes(), args.int(), args.bytes());
    let parts = match n {
        0 => Vec::new(),
        n => split(&s, &sep, usize::try_from(n).unwrap_or(usize::MAX)),
    };
    Ok(numbered(parts))
}

fn sort_alpha(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let value = Args::new(values).any();
    let mut parts = match &value {
        Value::List(_) | Value::Bytes(_) => strslice(&value),
        other => vec![strval(other)],
    };
    parts.sort();
    Ok(Value::List(List::strings(parts)))
}
