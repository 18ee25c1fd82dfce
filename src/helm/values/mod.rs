//! Values: reading them from files and `--set` arguments, layering them, and
//! bringing them together with the defaults of charts.
//!
//! Layers only merge here; which value wins over a chart's default, and what a
//! null removes, is [`coalesce`]'s part. Nothing here reads the network.

pub mod coalesce;
mod json;
pub mod schema;
pub mod set;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::value::{Map, Value};
use super::yaml11::{self, YamlError};

pub use self::json::{from_json, to_json};
pub use self::set::SetError;

/// Why values cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ValuesError {
    /// The text is not YAML.
    #[error("cannot unmarshal yaml document")]
    Yaml(#[from] YamlError),
    /// A document is a list or a scalar.
    #[error("values must be a mapping, not {0}")]
    NotMapping(&'static str),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold values.
    #[error("failed to parse {}", path.display())]
    InFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<Self>,
    },
    /// An argument cannot be read.
    #[error("failed parsing {option} data {argument:?}")]
    Argument {
        /// Such as `--set`.
        option: &'static str,
        /// As given.
        argument: String,
        /// Why.
        source: SetError,
    },
}

/// Where a user's values come from, in the order of their options; the kinds
/// are applied in helm's order whatever the order on the command line.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// `-f`: files, later ones win.
    pub files: Vec<PathBuf>,
    /// Documents that are in memory already; they come after the files.
    pub documents: Vec<Map>,
    /// `--set-json`
    pub json: Vec<String>,
    /// `--set`
    pub set: Vec<String>,
    /// `--set-string`
    pub strings: Vec<String>,
    /// `--set-file`
    pub file_values: Vec<String>,
    /// `--set-literal`
    pub literals: Vec<String>,
    /// What was fetched of the files that are addresses.
    pub fetched: BTreeMap<PathBuf, Bytes>,
}

impl Layers {
    /// The files that `-f` and `--set-file` name by an address and that are
    /// not fetched yet.
    pub fn addresses(&self) -> Vec<PathBuf> {
        let found = RefCell::new(Vec::new());
        // A layer that cannot be read is told of when all are there.
        let _ = self.merge(&|path| {
            if is_address(path) {
                found.borrow_mut().push(path.to_owned());
            }
            Ok(Vec::new())
        });
        found.into_inner()
    }

    /// Brings all layers together. `read_file` reads the files that `-f` and
    /// `--set-file` name, but for those that are fetched already.
    pub fn merge(
        &self,
        read_file: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
    ) -> Result<Map, ValuesError> {
        let read_file = &|path: &Path| match self.fetched.get(path) {
            Some(content) => Ok(content.to_vec()),
            None => read_file(path),
        };
        let base = Map::new();
        for path in &self.files {
            let text = read_file(path).map_err(|source| ValuesError::File {
                path: path.clone(),
                source,
            })?;
            let layer = read(&text).map_err(|source| ValuesError::InFile {
                path: path.clone(),
                source: Box::new(source),
            })?;
            merge_into(&base, &layer);
        }
        for document in &self.documents {
            merge_into(&base, &document.deep_copy());
        }
        apply(&self.json, "--set-json", |text| set::json(text, &base))?;
        apply(&self.set, "--set", |text| set::typed(text, &base))?;
        apply(&self.strings, "--set-string", |t| set::strings(t, &base))?;
        apply(&self.file_values, "--set-file", |text| {
            set::files(text, &base, read_file)
        })?;
        apply(&self.literals, "--set-literal", |t| set::literal(t, &base))?;
        Ok(base)
    }
}

/// Whether a file is named by an address.
fn is_address(path: &Path) -> bool {
    let text = path.to_string_lossy();
    ["https://", "http://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
}

fn apply(
    arguments: &[String],
    option: &'static str,
    each: impl Fn(&str) -> Result<(), SetError>,
) -> Result<(), ValuesError> {
    for argument in arguments {
        each(argument).map_err(|source| ValuesError::Argument {
            option,
            argument: argument.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Reads a values file, whose documents are merged in order.
pub fn read(text: &[u8]) -> Result<Map, ValuesError> {
    let values = Map::new();
    for document in documents(text) {
        match yaml11::parse(document)? {
            Value::Nil => {}
            Value::Map(map) => merge_into(&values, &map),
            Value::List(_) => return Err(ValuesError::NotMapping("a list")),
            _ => return Err(ValuesError::NotMapping("a scalar")),
        }
    }
    Ok(values)
}

/// Splits at lines that hold `---` and nothing else.
pub(crate) fn documents(text: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut at = 0;
    for line in text.split_inclusive(|b| *b == b'\n') {
        let separator = line
            .strip_prefix(b"---")
            .is_some_and(|rest| rest.trim_ascii().is_empty());
        if separator {
            found.extend(text.get(start..at));
            start = at + line.len();
        }
        at += line.len();
    }
    found.extend(text.get(start..));
    found
}

/// Merges `from` into `base`: maps key by key, everything else is replaced.
/// Nulls are kept.
pub fn merge_into(base: &Map, from: &Map) {
    for (key, value) in from.entries() {
        if let (Value::Map(inner), Some(old)) = (&value, base.get_map(&key)) {
            merge_into(&old, inner);
        } else {
            base.set(key, value);
        }
    }
}

/// The table at a dotted path, when every step of it is a table.
pub fn table(values: &Map, path: &str) -> Option<Map> {
    path.split('.')
        .try_fold(values.clone(), |table, key| table.get_map(key))
}

/// The value at a dotted path, when it is there and no table.
pub fn scalar(values: &Map, path: &str) -> Option<Value> {
    let (parent, key) = match path.rsplit_once('.') {
        Some((parent, key)) => (table(values, parent)?, key),
        None => (values.clone(), path),
    };
    parent.get(key).filter(|v| !matches!(v, Value::Map(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: &serde_json::Value) -> Map {
        Value::from_json(value).as_map().unwrap().clone()
    }

    fn no_files(_: &Path) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    #[test]
    fn layers_come_in_helms_order_whatever_the_order_given() {
        let strings = |items: &[&str]| items.iter().map(ToString::to_string).collect();
        let layers = Layers {
            documents: vec![
                map(&json!({"a": 0, "b": {"x": 1, "y": 1}, "l": [1]})),
                map(&json!({"b": {"y": 2}})),
            ],
            literals: strings(&["a=lit,eral"]),
            strings: strings(&["s=1", "a=2"]),
            set: strings(&["a=1", "l[0]=2", "n=null"]),
            json: strings(&["{\"b\":{\"z\":3}}", "s={\"k\":1}"]),
            ..Layers::default()
        };
        let merged = layers.merge(&no_files).unwrap();
        assert_eq!(
            to_json(&Value::Map(merged)),
            json!({"a": "lit,eral", "b": {"x": 1.0, "y": 2.0, "z": 3.0}, "l": [2], "n": null, "s": "1"})
        );
    }

    #[test]
    fn a_broken_argument_is_named() {
        let layers = Layers {
            set: vec!["a".into()],
            ..Layers::default()
        };
        let error = layers.merge(&no_files).unwrap_err();
        assert_eq!(error.to_string(), "failed parsing --set data \"a\"");
    }

    #[test]
    fn documents_are_split_at_bare_separators_only() {
        let split = |text: &'static str| -> Vec<&str> {
            documents(text.as_bytes())
                .into_iter()
                .map(|d| std::str::from_utf8(d).unwrap())
                .collect()
        };
        assert_eq!(split("a: 1\n---\nb: 2"), ["a: 1\n", "b: 2"]);
        assert_eq!(split("---  \r\na: 1\n"), ["", "a: 1\n"]);
        assert_eq!(split("a: |\n  ---\n"), ["a: |\n  ---\n"]);
        assert_eq!(split("--- # c\na: 1\n"), ["--- # c\na: 1\n"]);
    }

    #[test]
    fn paths_lead_to_tables_or_to_scalars() {
        let values = map(&json!({"a": {"b": {"c": 1}}, "n": null}));
        assert!(table(&values, "a.b").is_some());
        assert!(table(&values, "a.b.c").is_none());
        assert!(scalar(&values, "a.b.c").is_some());
        assert!(scalar(&values, "a.b").is_none());
        assert!(scalar(&values, "n").is_some());
        assert!(scalar(&values, "a.x.c").is_none());
    }
}
