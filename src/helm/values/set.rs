//! The little language of `--set`, `--set-string`, `--set-json`, `--set-file`
//! and `--set-literal`.
//!
//! ```text
//! pairs := pair { "," pair }        path  := key { "." key | "[" int "]" }
//! pair  := path "=" value           value := "{" item { "," item } "}" | text
//! ```
//!
//! A backslash takes the next character as it is. Literals know neither
//! commas, lists nor escapes. Odd inputs (`=1`, `a.b=`, `a[0]`) end as they do
//! in helm, silently or with its error, and keep what was set before.

use std::io;
use std::path::Path;

use super::super::value::{Map, Value};
use super::merge_into;

/// The highest list index.
const MAX_INDEX: usize = 65_536;

/// The deepest path.
const MAX_NESTING: usize = 30;

/// Why a `--set` argument cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The argument ends before a value.
    #[error("key {0:?} has no value")]
    NoValue(String),
    /// A comma follows a key.
    #[error("key {0:?} has no value (cannot end with ,)")]
    Comma(String),
    /// A path ends with a dot.
    #[error("key map {0:?} has no value")]
    NoMapValue(String),
    /// A list is not closed.
    #[error("list must terminate with '}}'")]
    OpenList,
    /// An index is not a number.
    #[error("error parsing index {0:?}")]
    Index(String),
    /// An index is negative.
    #[error("negative {0} index not allowed")]
    NegativeIndex(i64),
    /// An index is too high.
    #[error("index of {0} is greater than maximum supported index of {MAX_INDEX}")]
    HighIndex(i64),
    /// Characters between `]` and what may follow.
    #[error("unexpected data at end of array index: {0:?}")]
    AfterIndex(String),
    /// The path is too deep.
    #[error(
        "value name nested level is greater than maximum supported nested level of {MAX_NESTING}"
    )]
    TooDeep,
    /// A path goes through something that is no table or list.
    #[error("{key:?} holds {holds} and cannot be used as {wanted}")]
    Clash {
        /// The key.
        key: String,
        /// What is there.
        holds: &'static str,
        /// What the path needs.
        wanted: &'static str,
    },
    /// The value of `--set-json` is not JSON.
    #[error("invalid JSON")]
    Json(#[source] serde_json::Error),
    /// The file of `--set-file` cannot be read.
    #[error("cannot read {path}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Applies `--set`.
pub fn typed(text: &str, base: &Map) -> Result<(), SetError> {
    Parser::new(text, Mode::Text(&|v| Ok(typed_value(&v)))).run(base)
}

/// Applies `--set-string`.
pub fn strings(text: &str, base: &Map) -> Result<(), SetError> {
    Parser::new(text, Mode::Text(&|v| Ok(Value::from(v)))).run(base)
}

/// Applies `--set-json`: pairs of path and JSON, or one JSON object to merge.
pub fn json(text: &str, base: &Map) -> Result<(), SetError> {
    if text.trim_start().starts_with('{') {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text.trim()).map_err(SetError::Json)?;
        if let Value::Map(map) = Value::from_json(&serde_json::Value::Object(object)) {
            merge_into(base, &map);
        }
        return Ok(());
    }
    Parser::new(text, Mode::Json).run(base)
}

/// Applies `--set-file`: values are paths, whose content is the string.
pub fn files(
    text: &str,
    base: &Map,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<(), SetError> {
    let load = |path: String| match read(Path::new(&path)) {
        Ok(content) => Ok(Value::from(content)),
        Err(source) => Err(SetError::File { path, source }),
    };
    Parser::new(text, Mode::Text(&load)).run(base)
}

/// Applies `--set-literal`: one path, and all the rest is the string.
pub fn literal(text: &str, base: &Map) -> Result<(), SetError> {
    Parser::new(text, Mode::Literal).run(base)
}

fn typed_value(text: &str) -> Value {
    if text.eq_ignore_ascii_case("true") {
        return Value::Bool(true);
    }
    if text.eq_ignore_ascii_case("false") {
        return Value::Bool(false);
    }
    if text.eq_ignore_ascii_case("null") {
        return Value::Nil;
    }
    if text == "0" {
        return Value::int64(0);
    }
    // A leading zero keeps phone numbers and the like as text.
    if !text.starts_with('0')
        && let Ok(n) = text.parse()
    {
        return Value::int64(n);
    }
    Value::str(text)
}

/// How values are read.
#[derive(Clone, Copy)]
enum Mode<'a> {
    Text(&'a dyn Fn(String) -> Result<Value, SetError>),
    Json,
    Literal,
}

/// Whether the argument goes on.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Flow {
    More,
    End,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    mode: Mode<'a>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, mode: Mode<'a>) -> Self {
        Self { text, at: 0, mode }
    }

    fn run(mut self, base: &Map) -> Result<(), SetError> {
        while self.key(base, 0)? == Flow::More {}
        Ok(())
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Reads up to one of `stops`, which is consumed; `None` at the end.
    fn until(&mut self, stops: &[char]) -> (String, Option<char>) {
        let escapes = !matches!(self.mode, Mode::Literal);
        let mut text = String::new();
        while let Some(c) = self.next() {
            if stops.contains(&c) {
                return (text, Some(c));
            }
            if c != '\\' || !escapes {
                text.push(c);
            } else if let Some(next) = self.next() {
                text.push(next);
            }
        }
        (text, None)
    }

    fn key(&mut self, data: &Map, depth: usize) -> Result<Flow, SetError> {
        let stops: &[char] = if matches!(self.mode, Mode::Literal) {
            &['=', '[', '.']
        } else {
            &['=', '[', ',', '.']
        };
        let (key, stop) = self.until(stops);
        match stop {
            Some('=') => {
                let (value, flow) = self.value()?;
                put(data, key, value);
                Ok(flow)
            }
            Some('.') => self.nested_key(data, &key, depth),
            Some('[') => self.indexed_key(data, key, depth),
            Some(_) => Err(SetError::Comma(key)),
            None if key.is_empty() => Ok(Flow::End),
            None => Err(SetError::NoValue(key)),
        }
    }

    fn nested_key(&mut self, data: &Map, key: &str, depth: usize) -> Result<Flow, SetError> {
        if depth == MAX_NESTING {
            return Err(SetError::TooDeep);
        }
        let inner = match data.get(key) {
            None => Map::new(),
            Some(Value::Map(map)) => map,
            Some(other) => return Err(clash(key, &other, "a mapping")),
        };
        let flow = self.key(&inner, depth + 1)?;
        if !inner.is_empty() {
            put(data, key.to_owned(), Value::Map(inner));
        } else if flow == Flow::More {
            return Err(SetError::NoMapValue(key.to_owned()));
        }
        Ok(flow)
    }

    fn indexed_key(&mut self, data: &Map, key: String, depth: usize) -> Result<Flow, SetError> {
        let index = self.index()?;
        let mut list = match data.get(&key) {
            None => Vec::new(),
            Some(Value::List(list)) => list.items().to_vec(),
            Some(other) => return Err(clash(&key, &other, "a list")),
        };
        let flow = self.item(&mut list, index, depth)?;
        put(data, key, Value::list(list));
        Ok(flow)
    }

    fn index(&mut self) -> Result<i64, SetError> {
        let (digits, stop) = self.until(&[']']);
        match digits.parse() {
            Ok(index) if stop.is_some() => Ok(index),
            _ => Err(SetError::Index(digits)),
        }
    }

    fn item(&mut self, list: &mut Vec<Value>, index: i64, depth: usize) -> Result<Flow, SetError> {
        let index = usize::try_from(index).map_err(|_| SetError::NegativeIndex(index))?;
        let (extra, stop) = self.until(&['[', '.', '=']);
        if !extra.is_empty() {
            return Err(SetError::AfterIndex(extra));
        }
        match stop {
            None => Ok(Flow::End),
            Some('=') => {
                let (value, _) = self.value()?;
                put_at(list, index, value)?;
                Ok(Flow::More)
            }
            Some('[') => {
                let inner_index = self.index()?;
                let mut inner = match list.get(index) {
                    None | Some(Value::Nil) => Vec::new(),
                    Some(Value::List(list)) => list.items().to_vec(),
                    Some(other) => return Err(clash("list item", other, "a list")),
                };
                let flow = self.item(&mut inner, inner_index, depth)?;
                if flow == Flow::More {
                    put_at(list, index, Value::list(inner))?;
                }
                Ok(flow)
            }
            Some(_) => {
                let inner = match list.get_mut(index) {
                    None => Map::new(),
                    Some(Value::Map(map)) => map.clone(),
                    Some(slot) => {
                        let map = Map::new();
                        *slot = Value::Map(map.clone());
                        map
                    }
                };
                let flow = self.key(&inner, depth)?;
                if flow == Flow::More {
                    put_at(list, index, Value::Map(inner))?;
                }
                Ok(flow)
            }
        }
    }

    fn value(&mut self) -> Result<(Value, Flow), SetError> {
        match self.mode {
            Mode::Literal => {
                let (text, _) = self.until(&[]);
                Ok((Value::from(text), Flow::More))
            }
            Mode::Json => Ok((self.json_value()?, Flow::More)),
            Mode::Text(read) => match self.peek() {
                None => Ok((Value::str(""), Flow::End)),
                Some('{') => Ok((self.list(read)?, Flow::More)),
                Some(_) => {
                    let (text, _) = self.until(&[',']);
                    Ok((read(text)?, Flow::More))
                }
            },
        }
    }

    fn list(
        &mut self,
        read: &dyn Fn(String) -> Result<Value, SetError>,
    ) -> Result<Value, SetError> {
        self.next();
        let mut items = Vec::new();
        loop {
            let (text, stop) = self.until(&[',', '}']);
            if stop.is_none() {
                return Err(SetError::OpenList);
            }
            items.push(read(text)?);
            if stop == Some('}') {
                if self.peek() == Some(',') {
                    self.next();
                }
                return Ok(Value::list(items));
            }
        }
    }

    /// One JSON value, then blanks and a comma. Nothing at all is null.
    fn json_value(&mut self) -> Result<Value, SetError> {
        if self.skip_blanks() {
            return Ok(Value::Nil);
        }
        let mut stream =
            serde_json::Deserializer::from_str(self.rest()).into_iter::<serde_json::Value>();
        let value = match stream.next() {
            Some(Ok(value)) => value,
            Some(Err(error)) => return Err(SetError::Json(error)),
            None => return Ok(Value::Nil),
        };
        self.at += stream.byte_offset();
        self.skip_blanks();
        Ok(Value::from_json(&value))
    }

    /// Skips white space and a comma; whether the value is empty, that is,
    /// whether a comma or the end came.
    fn skip_blanks(&mut self) -> bool {
        loop {
            match self.peek() {
                None => return true,
                Some(c) if c == ',' || c.is_whitespace() => {
                    self.next();
                    if c == ',' {
                        return true;
                    }
                }
                Some(_) => return false,
            }
        }
    }
}

/// Sets a key; an empty one is passed over.
fn put(data: &Map, key: String, value: Value) {
    if !key.is_empty() {
        data.set(key, value);
    }
}

fn put_at(list: &mut Vec<Value>, index: usize, value: Value) -> Result<(), SetError> {
    if index > MAX_INDEX {
        return Err(SetError::HighIndex(
            i64::try_from(index).unwrap_or(i64::MAX),
        ));
    }
    if list.len() <= index {
        list.resize(index + 1, Value::Nil);
    }
    if let Some(slot) = list.get_mut(index) {
        *slot = value;
    }
    Ok(())
}

fn clash(key: &str, holds: &Value, wanted: &'static str) -> SetError {
    SetError::Clash {
        key: key.to_owned(),
        holds: match holds {
            Value::Map(_) => "a mapping",
            Value::List(_) => "a list",
            Value::Nil => "null",
            _ => "a scalar",
        },
        wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::super::to_json;
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    fn set(text: &str) -> Result<Json, String> {
        with(text, typed)
    }

    fn with(text: &str, f: impl Fn(&str, &Map) -> Result<(), SetError>) -> Result<Json, String> {
        let base = Map::new();
        f(text, &base).map_err(|e| e.to_string())?;
        Ok(to_json(&Value::Map(base)))
    }

    #[test]
    fn set_reads_values_as_helm_does() {
        let cases = [
            ("a=1", json!({"a": 1})),
            ("b=true,c=FALSE", json!({"b": true, "c": false})),
            ("c=null,d=Null", json!({"c": null, "d": null})),
            ("d=0,h=-3,p=+5", json!({"d": 0, "h": -3, "p": 5})),
            (
                "e=007,z=00,f=1.5",
                json!({"e": "007", "z": "00", "f": "1.5"}),
            ),
            (
                "e=1e3,x=0x10,u=1_000",
                json!({"e": "1e3", "x": "0x10", "u": "1_000"}),
            ),
            ("n=nil,t=~", json!({"n": "nil", "t": "~"})),
            (
                "big=9223372036854775808",
                json!({"big": "9223372036854775808"}),
            ),
            ("k=", json!({"k": ""})),
            ("k=,l=1", json!({"k": "", "l": 1})),
            ("a={}", json!({"a": [""]})),
            ("a={1,b,true}", json!({"a": [1, "b", true]})),
            ("a=b=c", json!({"a": "b=c"})),
            ("a=b\\,c", json!({"a": "b,c"})),
            ("a\\.b=c", json!({"a.b": "c"})),
            ("a[0]=x,a[2]=z", json!({"a": ["x", null, "z"]})),
            ("a[0].b=1,a[0].c=2", json!({"a": [{"b": 1, "c": 2}]})),
            ("a[1][0]=1", json!({"a": [null, [1]]})),
            ("a={a,b}c=d", json!({"a": ["a", "b"], "c": "d"})),
            ("a={a,b},c=d", json!({"a": ["a", "b"], "c": "d"})),
            ("=1", json!({})),
            (".a=1", json!({})),
            ("", json!({})),
            (" a = b ", json!({" a ": " b "})),
            ("a.b.c=1,a.b.d=2", json!({"a": {"b": {"c": 1, "d": 2}}})),
            ("a[0]", json!({"a": []})),
            ("a.", json!({})),
            ("a.b=", json!({"a": {"b": ""}})),
            ("a[0]=", json!({"a": [""]})),
        ];
        for (text, want) in cases {
            assert_eq!(set(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn set_refuses_what_helm_refuses() {
        let deep = format!("{}=1", vec!["a"; 32].join("."));
        let cases = [
            ("a", "key \"a\" has no value"),
            ("a=1,b", "key \"b\" has no value"),
            ("a=1,,b=2", "cannot end with ,"),
            ("a.=1", "key map \"a\" has no value"),
            ("a=x,a.b=y", "holds a scalar"),
            ("a=x,a[0]=y", "holds a scalar"),
            ("a={1", "list must terminate"),
            ("a[x]=1", "error parsing index"),
            ("a[-1]=1", "negative -1 index"),
            ("a[65537]=1", "greater than maximum"),
            ("a[0]b=1", "unexpected data"),
            (&deep, "nested level"),
        ];
        for (text, want) in cases {
            let error = set(text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
        assert!(set(&format!("{}=1", vec!["a"; 31].join("."))).is_ok());
    }

    #[test]
    fn strings_stay_strings_in_lists_too() {
        let got = with("a=1,b={true,2},c=null", strings);
        assert_eq!(got, Ok(json!({"a": "1", "b": ["true", "2"], "c": "null"})));
    }

    #[test]
    fn json_takes_pairs_and_whole_objects() {
        let cases = [
            (
                r#"a={"b":[1,"x"]},c=null"#,
                json!({"a": {"b": [1.0, "x"]}, "c": null}),
            ),
            (
                r#"a.b[1]="x" ,c=2"#,
                json!({"a": {"b": [null, "x"]}, "c": 2.0}),
            ),
            ("a=,b=1", json!({"a": null, "b": 1.0})),
            ("a=", json!({"a": null})),
            (r#" {"a":{"b":1}} "#, json!({"a": {"b": 1.0}})),
        ];
        for (text, want) in cases {
            assert_eq!(with(text, json), Ok(want), "{text}");
        }
        assert!(with("a={", json).is_err());
        assert!(with("{\"a\":", json).is_err());
    }

    #[test]
    fn literals_are_taken_whole() {
        let cases = [
            ("a=b,c={d}\\,e", json!({"a": "b,c={d}\\,e"})),
            ("a.b[1]=x=y", json!({"a": {"b": [null, "x=y"]}})),
            ("a=", json!({"a": ""})),
            ("a,b=1", json!({"a,b": "1"})),
        ];
        for (text, want) in cases {
            assert_eq!(with(text, literal), Ok(want), "{text}");
        }
        assert!(with("a", literal).is_err());
    }

    #[test]
    fn file_values_hold_the_files_content() {
        let read = |path: &Path| {
            if path == Path::new("f.txt") {
                Ok(b"1\n".to_vec())
            } else {
                Err(io::ErrorKind::NotFound.into())
            }
        };
        let got = with("a=f.txt,b={f.txt}", |t, m| files(t, m, &read));
        assert_eq!(got, Ok(json!({"a": "1\n", "b": ["1\n"]})));
        let missing = with("a=g.txt", |t, m| files(t, m, &read));
        assert_eq!(missing, Err("cannot read g.txt".to_owned()));
    }

    proptest! {
        #[test]
        fn no_argument_panics(text in "[ab0-9=,.\\[\\]{}\\\\\" é-]{0,40}") {
            let base = Map::new();
            let _ = typed(&text, &base);
            let _ = strings(&text, &base);
            let _ = json(&text, &base);
            let _ = literal(&text, &base);
        }

        #[test]
        fn a_literal_comes_back_as_given(value in "\\PC{0,40}") {
            let base = Map::new();
            literal(&format!("k={value}"), &base).unwrap();
            let got = base.get("k").unwrap();
            prop_assert_eq!(got.as_str(), Some(value.as_str()));
        }
    }
}
