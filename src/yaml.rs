//! YAML: the only place that parses or prints it, so that the options are the
//! same everywhere.
//!
//! Plain `yes`, `0755` and `1_000` are strings here, as in YAML 1.2; and what
//! we print quotes every string that a YAML 1.1 reader would take for
//! something else. Charts have their own dialect: see `helm`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;
pub use serde_yaml::Spanned;

use crate::finding::{Finding, Span};

/// A text that holds YAML: a file, or an argument.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The name to show.
    pub name: String,
    /// The folder that relative paths inside it start from.
    pub folder: PathBuf,
    /// The text.
    pub text: String,
    /// An argument has no line numbers.
    pub is_argument: bool,
}

impl Source {
    /// A file's text.
    pub fn file(name: impl Into<String>, folder: impl Into<PathBuf>, text: String) -> Self {
        Self {
            name: name.into(),
            folder: folder.into(),
            text,
            is_argument: false,
        }
    }

    /// An argument of the command line option `name`.
    pub fn argument(name: impl Into<String>, text: String) -> Self {
        Self {
            name: name.into(),
            folder: PathBuf::from("."),
            text,
            is_argument: true,
        }
    }
}

/// Where something stands in its source.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// The text that it is in.
    pub source: Arc<Source>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Length in characters.
    pub len: u32,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.name, self.line, self.column)
    }
}

impl Place {
    /// The place as a finding shows it.
    pub fn span(&self) -> Span {
        let line = self
            .source
            .text
            .lines()
            .nth(self.line.saturating_sub(1) as usize);
        Span {
            file: self.source.name.clone(),
            line: if self.source.is_argument {
                0
            } else {
                self.line
            },
            column: self.column,
            len: self.len,
            source_line: line.unwrap_or_default().to_owned(),
        }
    }
}

/// A YAML value that knows where each of its parts stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it starts.
    pub place: Place,
}

/// The value of a [`Node`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// What it says.
    pub node: Node,
}

impl Node {
    /// What a mapping says under a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node)
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value without its places.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Number(n) => Json::Number(n.clone()),
            Value::String(s) => Json::String(s.clone()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect(),
        }
    }
}

fn options() -> serde_yaml::Options {
    serde_yaml::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}

/// Reads one document. `file` is the name to show.
pub fn from_str<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, Finding> {
    serde_yaml::from_str_with_options(text, options()).map_err(|e| finding(&e, text, file))
}

/// Reads every document of a stream; empty ones are left out.
pub fn documents<T: DeserializeOwned>(text: &str, file: &str) -> Result<Vec<T>, Finding> {
    serde_yaml::from_multiple_with_options(text, options()).map_err(|e| finding(&e, text, file))
}

/// Reads one document into a tree that knows its places. An empty text is a
/// null.
pub fn tree(source: &Arc<Source>) -> Result<Node, Finding> {
    let raw: Option<Spanned<Raw>> = serde_yaml::from_str_with_options(&source.text, options())
        .map_err(|e| {
            let mut finding = finding(&e, &source.text, &source.name);
            if let Some(span) = finding.span.as_mut().filter(|_| source.is_argument) {
                span.line = 0;
            }
            finding
        })?;
    let start = Place {
        source: Arc::clone(source),
        line: 1,
        column: 1,
        len: 1,
    };
    Ok(raw.map_or(
        Node {
            value: Value::Null,
            place: start,
        },
        |raw| place_tree(raw, source),
    ))
}

/// Prints one document.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, PrintError> {
    serde_yaml::to_string_with_options(value, serde_yaml::SerializerOptions::default())
        .map_err(|e| PrintError(e.to_string()))
}

/// Prints a stream of documents, each after a `---` line.
pub fn documents_to_string<T: Serialize>(values: &[T]) -> Result<String, PrintError> {
    let mut out = String::new();
    for value in values {
        out.push_str("---\n");
        out.push_str(&to_string(value)?);
    }
    Ok(out)
}

/// A value that has no YAML form.
#[derive(Debug, thiserror::Error)]
#[error("the value cannot be written as YAML: {0}")]
pub struct PrintError(String);

fn finding(error: &serde_yaml::Error, text: &str, file: &str) -> Finding {
    let error = error.without_snippet();
    let message = error.to_string();
    let Some(location) = error.location() else {
        return Finding::error(format!("{file}: {message}"));
    };
    let line = u32::try_from(location.line()).unwrap_or(u32::MAX);
    let column = u32::try_from(location.column()).unwrap_or(u32::MAX);
    // The message repeats the position at its end.
    let place = format!(" at line {line}, column {column}");
    let summary = message.replace(&place, "");
    Finding::error(format!("invalid YAML: {summary}")).at(Span {
        file: file.to_owned(),
        line,
        column,
        len: 1,
        source_line: text
            .lines()
            .nth(line.saturating_sub(1) as usize)
            .unwrap_or_default()
            .to_owned(),
    })
}

/// The tree as the parser gives it.
enum Raw {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

fn place_tree(raw: Spanned<Raw>, source: &Arc<Source>) -> Node {
    let place = place_of(&raw, source);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(b) => Value::Bool(b),
        Raw::Number(n) => Value::Number(n),
        Raw::String(s) => Value::String(s),
        Raw::List(items) => Value::List(
            items
                .into_iter()
                .map(|item| place_tree(item, source))
                .collect(),
        ),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, node)| Entry {
                    place: place_of(&key, source),
                    key: key.value,
                    node: place_tree(node, source),
                })
                .collect(),
        ),
    };
    Node { value, place }
}

fn place_of<T>(spanned: &Spanned<T>, source: &Arc<Source>) -> Place {
    let location = spanned.referenced;
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    #[expect(
        clippy::useless_conversion,
        reason = "the width depends on a feature of the parser"
    )]
    let len = narrow(location.span().len().into());
    Place {
        source: Arc::clone(source),
        line: narrow(location.line()),
        column: narrow(location.column()),
        len,
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct RawVisitor;

        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a YAML value")
            }

            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }

            fn visit_none<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }

            fn visit_bool<E>(self, b: bool) -> Result<Raw, E> {
                Ok(Raw::Bool(b))
            }

            fn visit_i64<E>(self, n: i64) -> Result<Raw, E> {
                Ok(Raw::Number(n.into()))
            }

            fn visit_u64<E>(self, n: u64) -> Result<Raw, E> {
                Ok(Raw::Number(n.into()))
            }

            fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Raw, E> {
                Number::from_f64(n)
                    .map(Raw::Number)
                    .ok_or_else(|| E::custom("a number must be finite"))
            }

            fn visit_str<E>(self, s: &str) -> Result<Raw, E> {
                Ok(Raw::String(s.to_owned()))
            }

            fn visit_string<E>(self, s: String) -> Result<Raw, E> {
                Ok(Raw::String(s))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Raw::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(Raw::Map(entries))
            }
        }

        d.deserialize_any(RawVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree_of(text: &str) -> Node {
        tree(&Arc::new(Source::file("t.yaml", ".", text.to_owned()))).unwrap()
    }

    #[test]
    fn every_part_of_a_tree_knows_its_place() {
        let tree = tree_of("a: 1\nlist:\n  - name: \"x y\"\n    n: {deep: yes}\n");
        let at = |p: &Place| (p.line, p.column, p.len);
        let entries = tree.entries();
        assert_eq!(at(&entries[0].place), (1, 1, 1));
        assert_eq!(at(&entries[0].node.place), (1, 4, 1));
        let Value::List(items) = &entries[1].node.value else {
            panic!("not a list")
        };
        let item = items[0].entries();
        assert_eq!(at(&item[0].node.place), (3, 11, 5));
        assert_eq!(at(&item[1].place), (4, 5, 1));
        let deep = item[1].node.get("deep").unwrap();
        assert_eq!(at(&deep.place), (4, 15, 3));
        assert_eq!(deep.as_str(), Some("yes"));
        assert_eq!(
            tree.to_json(),
            serde_json::json!({"a": 1, "list": [{"name": "x y", "n": {"deep": "yes"}}]})
        );
    }

    #[test]
    fn an_empty_text_is_null() {
        assert_eq!(tree_of("").value, Value::Null);
        assert_eq!(tree_of("# only a comment\n").value, Value::Null);
    }

    #[test]
    fn plain_scalars_of_yaml_1_1_are_strings() {
        let value: serde_json::Value =
            from_str("[yes, on, 0755, 1_000, 12:30, ~, 1.5]", "t").unwrap();
        assert_eq!(
            value,
            serde_json::json!(["yes", "on", "0755", "1_000", "12:30", null, 1.5])
        );
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        for (text, line) in [("a: 1\nb: [1, 2\nc: 3\n", 3), ("a: 1\na: 2\n", 2)] {
            let error = from_str::<serde_json::Value>(text, "bad.yaml").unwrap_err();
            let span = error.span.clone().unwrap();
            assert_eq!(
                (span.file.as_str(), span.line),
                ("bad.yaml", line),
                "{error}"
            );
            assert!(!error.summary.contains("line"), "{error}");
        }
    }

    #[test]
    fn a_stream_reads_back() {
        let values = vec![
            serde_json::json!({"a": "yes"}),
            serde_json::json!({"b": [1]}),
        ];
        let text = documents_to_string(&values).unwrap();
        assert_eq!(documents::<serde_json::Value>(&text, "t").unwrap(), values);
    }

    proptest! {
        #[test]
        fn any_string_survives_printing_and_reading(text in "\\PC{0,30}") {
            let printed = to_string(&serde_json::json!({"k": text})).unwrap();
            let back: serde_json::Value = from_str(&printed, "t").unwrap();
            prop_assert_eq!(back["k"].as_str(), Some(text.as_str()));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[ -~\\n]{0,60}") {
            let _ = tree(&Arc::new(Source::file("t", ".", text)));
        }
    }
}
