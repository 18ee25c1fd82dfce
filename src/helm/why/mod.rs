//! Where a field of a rendered object comes from: the template line that wrote
//! it, and the values, release or chart data that it depends on.
//!
//! The template line is read from the engine's source map. What a field
//! depends on is found out by trying: one value after the other is changed,
//! the template is rendered again, and the fields that differ depend on it.
//! That needs no knowledge of how the template computes them.

mod origin;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::chart::Chart;
use super::error::TemplateError;
use super::render::{RenderError, RenderOptions, Rendered, render};
use super::value::Value;
use super::yaml11::{self, PathPart};

use self::trial::Trial;

/// Which field of which object.
#[derive(Debug, Clone)]
pub struct Question {
    /// The object's kind, in any case.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// A field such as `spec.replicas`; with it, only that and what is below.
    pub field: Option<String>,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// What set a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setter {
    /// A file given with `-f`.
    File {
        /// Which.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An argument such as `--set a=1`.
    Argument {
        /// The option.
        option: &'static str,
        /// As given.
        text: String,
    },
    /// Values that were handed over in memory.
    Document,
    /// A chart's `values.yaml`.
    Default(Place),
    /// A sub-chart's values that another chart exports, or nothing at all.
    Unknown,
}

/// Something that a field depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependence {
    /// Such as `.Values.image.tag` or `.Release.Name`.
    pub name: String,
    /// What set it; `None` for what is no value.
    pub setter: Option<Setter>,
    /// Whether the field shows it, instead of only being decided by it.
    pub shown: bool,
}

/// Where one field comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The field's path, such as `spec.template.spec.containers[0].image`.
    pub field: String,
    /// Its value as text.
    pub value: String,
    /// The template line that wrote it.
    pub template: Option<Place>,
    /// What it depends on, what it shows first.
    pub depends_on: Vec<Dependence>,
    /// Whether it differs from one rendering to the next.
    pub random: bool,
}

/// All that is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its fields in the order of the text.
    pub fields: Vec<Explanation>,
    /// What decides whether the object is there at all.
    pub conditions: Vec<Dependence>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    /// The chart cannot be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The chart cannot be rendered a second time.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The chart gives no such object.
    #[error("the chart renders no {kind} named {name:?}; it renders {}", near.join(", "))]
    NoObject {
        /// The kind asked for.
        kind: String,
        /// The name asked for.
        name: String,
        /// Objects of that kind or, without any, all kinds.
        near: Vec<String>,
    },
    /// The object has no such field.
    #[error("the object has no field {0:?}")]
    NoField(String),
}

/// Explains the fields of an object that a chart renders to.
pub fn explain(
    chart: Chart,
    options: &RenderOptions,
    question: &Question,
) -> Result<Answer, WhyError> {
    let options = RenderOptions {
        source_map: true,
        ..options.clone()
    };
    let rendered = render(chart, &options)?;
    let object = find(&rendered, question)?;
    let wanted = question.field.as_deref();
    let leaves: Vec<&Leaf> = object
        .leaves
        .iter()
        .filter(|leaf| wanted.is_none_or(|wanted| is_below(&leaf.field, wanted)))
        .collect();
    if leaves.is_empty() {
        return Err(WhyError::NoField(wanted.unwrap_or_default().to_owned()));
    }
    let trial = Trial::new(&rendered, &options, &object)?;
    let found = trial.run();
    let lines = Lines::new(&rendered, &object.path);
    let fields = leaves
        .into_iter()
        .map(|leaf| {
            let names = found.fields.get(&leaf.field);
            let mut depends_on: Vec<Dependence> = names
                .into_iter()
                .flatten()
                .map(|cause| cause.dependence(&rendered, &options, Some(&leaf.text)))
                .collect();
            depends_on.sort_by_key(|dependence| !dependence.shown);
            Explanation {
                field: leaf.field.clone(),
                value: leaf.text.clone(),
                template: lines.place(object.line + leaf.line),
                depends_on,
                random: found.random.contains(&leaf.field),
            }
        })
        .collect();
    let conditions = found.conditions.iter();
    let conditions = conditions.map(|cause| cause.dependence(&rendered, &options, None));
    Ok(Answer {
        fields,
        conditions: conditions.collect(),
    })
}

/// A field that holds a scalar or nothing.
#[derive(Debug, Clone)]
struct Leaf {
    field: String,
    text: String,
    /// Its line in the document, from 0.
    line: usize,
}

/// The object that is asked for.
#[derive(Debug, Clone)]
struct Object {
    kind: String,
    name: String,
    /// Its template.
    path: String,
    /// Its first line in the template's output, from 0.
    line: usize,
    leaves: Vec<Leaf>,
}

fn find(rendered: &Rendered, question: &Question) -> Result<Object, WhyError> {
    let documents = rendered.documents.iter();
    let documents = documents.map(|d| (&d.kind, &d.name, &d.path, d.line, &d.content));
    let hooks = rendered.hooks.iter();
    let hooks = hooks.map(|h| (&h.kind, &h.name, &h.path, h.line, &h.manifest));
    let mut near = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    for (kind, name, path, line, content) in documents.chain(hooks) {
        let same_kind = kind.eq_ignore_ascii_case(&question.kind);
        if same_kind && *name == question.name {
            return Ok(Object {
                kind: kind.clone(),
                name: name.clone(),
                path: path.clone(),
                line,
                leaves: leaves_of(content),
            });
        }
        if same_kind {
            near.insert(format!("{kind}/{name}"));
        }
        kinds.insert(kind.clone());
    }
    if near.is_empty() {
        near = kinds;
    }
    Err(WhyError::NoObject {
        kind: question.kind.clone(),
        name: question.name.clone(),
        near: near.into_iter().collect(),
    })
}

/// The leaves of a document in the order of the text.
fn leaves_of(content: &str) -> Vec<Leaf> {
    let Ok((value, located)) = yaml11::parse_located(content.as_bytes()) else {
        return Vec::new();
    };
    let mut leaves: Vec<Leaf> = located
        .into_iter()
        .filter_map(|at| {
            let text = leaf_text(&value_at(&value, &at.path)?)?;
            Some(Leaf {
                field: path_text(&at.path),
                text,
                line: at.line.saturating_sub(1),
            })
        })
        .collect();
    leaves.sort_by_key(|leaf| leaf.line);
    leaves
}

/// A scalar's text; `None` for maps and lists that hold something.
fn leaf_text(value: &Value) -> Option<String> {
    match value {
        Value::Map(map) if !map.is_empty() => None,
        Value::List(list) if !list.items().is_empty() => None,
        Value::Map(_) => Some("{}".to_owned()),
        Value::List(_) => Some("[]".to_owned()),
        Value::Nil => Some("null".to_owned()),
        other => {
            let text = super::gofmt::sprint_value(other);
            Some(String::from_utf8_lossy(&text).into_owned())
        }
    }
}

fn value_at(value: &Value, path: &[PathPart]) -> Option<Value> {
    path.iter()
        .try_fold(value.clone(), |value, part| match (part, &value) {
            (PathPart::Key(key), Value::Map(map)) => map.get(key),
            (PathPart::Index(index), Value::List(list)) => list.items().get(*index).cloned(),
            _ => None,
        })
}

/// `a.b[0].c`; keys with dots are quoted.
fn path_text(path: &[PathPart]) -> String {
    let mut text = String::new();
    for part in path {
        match part {
            PathPart::Index(index) => text.push_str(&["[", &index.to_string(), "]"].concat()),
            PathPart::Key(key) if key.contains(['.', '[', '"']) => {
                text.push_str(&["[\"", key, "\"]"].concat());
            }
            PathPart::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
        }
    }
    text
}

fn is_below(field: &str, wanted: &str) -> bool {
    field
        .strip_prefix(wanted)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Finds template lines for lines of a template's output.
struct Lines<'a> {
    output: &'a str,
    marks: &'a [super::engine::SourceMark],
    templates: BTreeMap<String, String>,
}

impl<'a> Lines<'a> {
    fn new(rendered: &'a Rendered, path: &str) -> Self {
        let mut templates = BTreeMap::new();
        texts_into(&rendered.chart, rendered.chart.name(), &mut templates);
        Self {
            output: rendered.files.get(path).map_or("", String::as_str),
            marks: rendered
                .source_marks
                .get(path)
                .map_or(&[][..], Vec::as_slice),
            templates,
        }
    }

    /// The template line that wrote the end of an output line.
    fn place(&self, line: usize) -> Option<Place> {
        let (start, end) = self.span(line)?;
        let mark = self.marks.iter().rev().find(|mark| mark.offset < end)?;
        let from = mark.offset.max(start);
        let piece = self.output.get(from..end)?.trim();
        let breaks = self.output.get(mark.offset..from)?.matches('\n').count();
        // A text of the template is found again some lines below its start; the
        // output of an action stands where the action is.
        let template = self.templates.get(&*mark.file);
        let below = template.and_then(|text| text.lines().nth(mark.line - 1 + breaks));
        let line = match below {
            Some(text) if text.contains(piece) => mark.line + breaks,
            _ => mark.line,
        };
        Some(Place {
            file: mark.file.to_string(),
            line,
        })
    }

    /// Where a line of the output begins and where its last visible character
    /// ends.
    fn span(&self, line: usize) -> Option<(usize, usize)> {
        let mut start = 0;
        for (index, text) in self.output.split_inclusive('\n').enumerate() {
            if index == line {
                return Some((start, start + text.trim_end().len()));
            }
            start += text.len();
        }
        None
    }
}

fn texts_into(chart: &Chart, path: &str, found: &mut BTreeMap<String, String>) {
    for file in &chart.templates {
        let text = String::from_utf8_lossy(&file.data).into_owned();
        found.insert(format!("{path}/{}", file.name), text);
    }
    for child in &chart.dependencies {
        texts_into(child, &format!("{path}/charts/{}", child.name()), found);
    }
}

#[cfg(test)]
mod tests;
