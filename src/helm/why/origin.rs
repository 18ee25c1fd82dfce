//! What set a value: the layers from the last to the first, then the charts
//! from the root down.

use std::path::Path;

use super::super::chart::Chart;
use super::super::render::{RenderOptions, Rendered};
use super::super::value::{Map, Value};
use super::super::values::{SetError, documents, set};
use super::super::yaml11::{self, PathPart};
use super::{Place, Setter, value_at};

/// What set the value at a path of the root chart's values.
pub(super) fn setter(rendered: &Rendered, options: &RenderOptions, path: &[PathPart]) -> Setter {
    // A global of a sub-chart is its parent's, where that has it.
    if let [PathPart::Key(_), rest @ ..] = path
        && let [PathPart::Key(global), ..] = rest
        && global == "global"
    {
        let above = setter(rendered, options, rest);
        if above != Setter::Unknown {
            return above;
        }
    }
    by_user(options, path)
        .or_else(|| by_chart(&rendered.chart, rendered.chart.name(), path))
        .unwrap_or(Setter::Unknown)
}

type Apply = fn(&str, &Map) -> Result<(), SetError>;

fn by_user(options: &RenderOptions, path: &[PathPart]) -> Option<Setter> {
    let layers = &options.values;
    let by_argument = |option: &'static str, arguments: &[String], apply: Apply| {
        let mut last_first = arguments.iter().rev();
        let found = last_first.find(|text| argument_sets(text, apply, path))?;
        Some(Setter::Argument {
            option,
            text: found.clone(),
        })
    };
    by_argument("--set-literal", &layers.literals, set::literal)
        // The path alone matters here, not the file's content.
        .or_else(|| by_argument("--set-file", &layers.file_values, set::strings))
        .or_else(|| by_argument("--set-string", &layers.strings, set::strings))
        .or_else(|| by_argument("--set", &layers.set, set::typed))
        .or_else(|| by_argument("--set-json", &layers.json, set::json))
        .or_else(|| {
            let mut documents = layers.documents.iter();
            let sets = |map: &Map| value_at(&Value::Map(map.clone()), path).is_some();
            documents.any(sets).then_some(Setter::Document)
        })
        .or_else(|| {
            layers.files.iter().rev().find_map(|file| {
                let text = match layers.fetched.get(file) {
                    Some(fetched) => fetched.to_vec(),
                    None => std::fs::read(file).ok()?,
                };
                let line = line_in(&text, path)?;
                Some(Setter::File {
                    path: file.clone(),
                    line,
                })
            })
        })
}

fn argument_sets(text: &str, apply: Apply, path: &[PathPart]) -> bool {
    let base = Map::new();
    if apply(text, &base).is_err() {
        return false;
    }
    match value_at(&Value::Map(base), path) {
        // A place before the index that is set holds null.
        Some(Value::Nil) => !matches!(path.last(), Some(PathPart::Index(_))),
        found => found.is_some(),
    }
}

fn by_chart(chart: &Chart, name: &str, path: &[PathPart]) -> Option<Setter> {
    let text = chart.values_text.as_deref();
    if let Some(line) = text.and_then(|text| line_in(text, path)) {
        let file = Path::new(name).join("values.yaml");
        return Some(Setter::Default(Place {
            file: file.to_string_lossy().into_owned(),
            line,
        }));
    }
    let [PathPart::Key(key), rest @ ..] = path else {
        return None;
    };
    let child = chart.dependencies.iter().find(|c| c.name() == key)?;
    by_chart(child, &format!("{name}/charts/{key}"), rest)
}

/// The line of the value at a path in a values file; of several documents the
/// last one that has it.
fn line_in(text: &[u8], path: &[PathPart]) -> Option<usize> {
    let mut found = None;
    for document in documents(text) {
        let start = document.as_ptr().addr() - text.as_ptr().addr();
        let before = text.get(..start).unwrap_or_default();
        let offset = before.split(|b| *b == b'\n').count().saturating_sub(1);
        let Ok((_, located)) = yaml11::parse_located(document) else {
            continue;
        };
        if let Some(at) = located.iter().find(|at| at.path == path) {
            found = Some(offset + at.line);
        }
    }
    found
}
