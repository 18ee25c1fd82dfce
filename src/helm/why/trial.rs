//! Changing one thing after the other and looking at what differs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::capabilities;
use super::super::chart::Chart;
use super::super::context::{self, Release};
use super::super::engine::{Engine, Options, TemplateSource};
use super::super::manifest::split;
use super::super::object::Capabilities;
use super::super::render::{RenderError, RenderOptions, Rendered};
use super::super::value::{Map, MapType, Value};
use super::super::values::coalesce::{Nulls, coalesce};
use super::super::yaml11::{self, PathPart};
use super::origin::setter;
use super::{Dependence, Object, WhyError, leaf_text, leaves_of, path_text, value_at};

/// More values than that are not tried.
const MAX_TRIALS: usize = 400;

/// Something that can be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// A value, by its path in the root chart's values.
    Value(Vec<PathPart>, String),
    ReleaseName(String),
    Namespace(String),
    ChartName(String),
    ChartVersion(String),
    AppVersion(String),
}

impl Cause {
    /// The cause for a reader; `field` is the text of what depends on it.
    pub(super) fn dependence(
        &self,
        rendered: &Rendered,
        options: &RenderOptions,
        field: Option<&str>,
    ) -> Dependence {
        let (name, text) = match self {
            Self::Value(path, text) => (format!(".Values.{}", path_text(path)), text),
            Self::ReleaseName(text) => (".Release.Name".to_owned(), text),
            Self::Namespace(text) => (".Release.Namespace".to_owned(), text),
            Self::ChartName(text) => (".Chart.Name".to_owned(), text),
            Self::ChartVersion(text) => (".Chart.Version".to_owned(), text),
            Self::AppVersion(text) => (".Chart.AppVersion".to_owned(), text),
        };
        let setter = match self {
            Self::Value(path, _) => Some(setter(rendered, options, path)),
            _ => None,
        };
        Dependence {
            name,
            setter,
            shown: field.is_some_and(|field| !text.is_empty() && field.contains(text.as_str())),
        }
    }
}

/// What the trials found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) fields: BTreeMap<String, Vec<Cause>>,
    pub(super) conditions: Vec<Cause>,
    pub(super) random: BTreeSet<String>,
}

type Fields = BTreeMap<String, String>;

/// One object, ready to be rendered again and again.
pub(super) struct Trial<'a> {
    rendered: &'a Rendered,
    object: &'a Object,
    engine: Engine,
    release: Release,
    capabilities: Arc<Capabilities>,
    /// Whether the other files are needed, too: they may define templates.
    whole: bool,
    base: Fields,
    /// The object's place among the documents of its template.
    index: usize,
}

impl<'a> Trial<'a> {
    pub(super) fn new(
        rendered: &'a Rendered,
        options: &RenderOptions,
        object: &'a Object,
    ) -> Result<Self, WhyError> {
        let capabilities = match &options.capabilities {
            Some(live) => live.clone(),
            None => Arc::new(
                capabilities::offline(options.kube_version.as_deref(), &options.api_versions)
                    .map_err(RenderError::from)?,
            ),
        };
        let output = rendered.files.get(&object.path);
        let output = output.map_or("", String::as_str);
        let documents = split(output, options.generation);
        let index = documents
            .iter()
            .position(|document| is_object(document, object))
            .unwrap_or(0);
        let mut trial = Self {
            rendered,
            object,
            engine: Engine::new(Options::default()),
            release: Release {
                name: options.release_name.clone(),
                namespace: options.namespace.clone(),
                revision: options.revision,
                is_upgrade: options.is_upgrade,
            },
            capabilities,
            whole: false,
            base: Fields::new(),
            index,
        };
        let again = |trial: &Self| trial.fields(&rendered.chart, &rendered.values, &trial.release);
        let base = again(&trial);
        trial.whole = base.is_none();
        trial.base = base.or_else(|| again(&trial)).unwrap_or_default();
        Ok(trial)
    }

    /// Tries everything that may matter.
    pub(super) fn run(&self) -> Found {
        let mut found = Found::default();
        let rendered = self.rendered;
        if let Some(again) = self.fields(&rendered.chart, &rendered.values, &self.release) {
            found.random = self.differing(&again).collect();
        }
        for (path, value) in self.candidates() {
            let text = leaf_text(&value).unwrap_or_default();
            let cause = Cause::Value(path.clone(), text);
            let fields = changes(&value)
                .into_iter()
                .find_map(|changed| self.with_value(&path, changed));
            self.note(&mut found, cause, fields);
        }
        self.try_the_rest(&mut found);
        found
    }

    fn try_the_rest(&self, found: &mut Found) {
        let (chart, values) = (&self.rendered.chart, &self.rendered.values);
        let mut renamed = self.release.clone();
        renamed.name.push_str("-x");
        let fields = self.fields(chart, values, &renamed);
        let cause = Cause::ReleaseName(self.release.name.clone());
        self.note(found, cause, fields);

        let mut moved = self.release.clone();
        moved.namespace.push_str("-x");
        let fields = self.fields(chart, values, &moved);
        let cause = Cause::Namespace(self.release.namespace.clone());
        self.note(found, cause, fields);

        let mut named = chart.clone();
        named.metadata.name.push_str("-x");
        let fields = self.fields(&named, values, &self.release);
        let cause = Cause::ChartName(chart.name().to_owned());
        self.note(found, cause, fields);

        let mut bumped = chart.clone();
        "99.98.97".clone_into(&mut bumped.metadata.version);
        let fields = self.fields(&bumped, values, &self.release);
        let cause = Cause::ChartVersion(chart.metadata.version.clone());
        self.note(found, cause, fields);

        let mut bumped = chart.clone();
        "99.98.97".clone_into(&mut bumped.metadata.app_version);
        let fields = self.fields(&bumped, values, &self.release);
        let cause = Cause::AppVersion(chart.metadata.app_version.clone());
        self.note(found, cause, fields);
    }

    /// Files what a trial showed. `None` means that rendering failed.
    fn note(&self, found: &mut Found, cause: Cause, fields: Option<Fields>) {
        let Some(fields) = fields else {
            return;
        };
        if fields.is_empty() {
            found.conditions.push(cause);
            return;
        }
        let differing: Vec<String> = self.differing(&fields).collect();
        for field in differing {
            if !found.random.contains(&field) {
                found.fields.entry(field).or_default().push(cause.clone());
            }
        }
    }

    fn differing<'b>(&'b self, fields: &'b Fields) -> impl Iterator<Item = String> + 'b {
        self.base
            .iter()
            .filter(|(field, text)| fields.get(*field) != Some(*text))
            .map(|(field, _)| field.clone())
    }

    /// The fields with one value changed. The change goes through the user's
    /// values, so that globals reach the sub-charts.
    fn with_value(&self, path: &[PathPart], value: Value) -> Option<Fields> {
        let user = self.rendered.user_values.deep_copy();
        put(&user, &self.rendered.values, path, value)?;
        let values = coalesce(&self.rendered.chart, &user, Nulls::Apply).ok()?;
        self.fields(&self.rendered.chart, &values, &self.release)
    }

    /// The object's fields; empty when it is gone, `None` when rendering fails.
    fn fields(&self, chart: &Chart, values: &Map, release: &Release) -> Option<Fields> {
        let seen = values.deep_copy().retyped(MapType::Values);
        let mut sources = context::sources(chart, &seen, release, &self.capabilities);
        // The path begins with the chart's name, which a trial may change.
        let (_, inner) = self.object.path.split_once('/')?;
        let path = format!("{}/{inner}", chart.name());
        if !self.whole {
            sources.retain(|source| is_needed(source, &path));
        }
        let files = self.engine.render(&sources).ok()?;
        let output = files.get(&path)?;
        let documents = split(output, super::super::manifest::Generation::Current);
        let same = documents.iter().find(|d| is_object(d, self.object));
        // A name that changed is the same object in the same place.
        let same = same.or_else(|| {
            let here = documents.get(self.index)?;
            kind_of(here)
                .is_some_and(|kind| kind == self.object.kind)
                .then_some(here)
        });
        Some(same.map_or_else(Fields::new, |document| {
            let leaves = leaves_of(document).into_iter();
            leaves.map(|leaf| (leaf.field, leaf.text)).collect()
        }))
    }

    /// The values that templates may have used for the object: those whose
    /// first key some needed template names. What the object's own template
    /// names comes first.
    fn candidates(&self) -> Vec<(Vec<PathPart>, Value)> {
        let chart = &self.rendered.chart;
        let sources = context::sources(
            chart,
            &self.rendered.values,
            &self.release,
            &self.capabilities,
        );
        let (own, others): (Vec<_>, Vec<_>) = sources
            .iter()
            .filter(|source| self.whole || is_needed(source, &self.object.path))
            .partition(|source| source.name == self.object.path);
        let own: String = own.iter().map(|s| &*s.text).collect();
        let others: String = others.iter().map(|s| &*s.text).collect();
        let mut leaves = Vec::new();
        leaves_into(
            &Value::Map(self.rendered.values.clone()),
            &mut Vec::new(),
            &mut leaves,
        );
        let scope = self.scope();
        let mut ranked: Vec<(usize, Vec<PathPart>, Value)> = leaves
            .into_iter()
            .filter_map(|(path, value)| {
                let rank = rank(&path, &scope, &own, &others)?;
                Some((rank, path, value))
            })
            .collect();
        ranked.sort_by_key(|(rank, ..)| *rank);
        ranked.truncate(MAX_TRIALS);
        ranked
            .into_iter()
            .map(|(_, path, value)| (path, value))
            .collect()
    }

    /// The names of the charts from the root to the one that has the template.
    fn scope(&self) -> Vec<&str> {
        let folder = self.object.path.split("/templates/").next();
        folder
            .unwrap_or_default()
            .split("/charts/")
            .skip(1)
            .collect()
    }
}

fn is_needed(source: &TemplateSource, path: &str) -> bool {
    let base = source.name.rsplit('/').next().unwrap_or(&source.name);
    base.starts_with('_') || source.name == path
}

/// How likely a value matters, 0 being the most; `None` when it cannot.
fn rank(path: &[PathPart], scope: &[&str], own: &str, others: &str) -> Option<usize> {
    let keys: Vec<&str> = path
        .iter()
        .map_while(|part| match part {
            PathPart::Key(key) => Some(key.as_str()),
            PathPart::Index(_) => None,
        })
        .collect();
    let inner = keys.strip_prefix(scope);
    // A sub-chart sees its own values and the globals.
    let (key, next) = match (inner, keys.as_slice()) {
        (Some([key, next @ ..]), _) | (None, [key @ "global", next @ ..]) => (key, next.first()),
        _ => return None,
    };
    let named = |text: &str, key: &str| text.contains(key);
    if named(own, key) && next.is_none_or(|next| named(own, next)) {
        Some(0)
    } else if named(own, key) {
        Some(1)
    } else {
        named(others, key).then_some(2)
    }
}

fn leaves_into(value: &Value, path: &mut Vec<PathPart>, found: &mut Vec<(Vec<PathPart>, Value)>) {
    if leaf_text(value).is_some() {
        found.push((path.clone(), value.clone()));
        return;
    }
    match value {
        Value::Map(map) => {
            for (key, inner) in map.entries() {
                path.push(PathPart::Key(String::from_utf8_lossy(&key).into_owned()));
                leaves_into(&inner, path, found);
                path.pop();
            }
        }
        Value::List(list) => {
            for (index, inner) in list.items().iter().enumerate() {
                path.push(PathPart::Index(index));
                leaves_into(inner, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Other values of a similar kind, the first that renders being taken.
fn changes(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(b) => vec![Value::Bool(!b)],
        Value::Float(f) => vec![Value::Float(f + 1.0)],
        Value::Int(n, kind) => vec![Value::Int(n.saturating_add(1), *kind)],
        Value::Str(text) if text.is_empty() => vec![Value::str("todoctl-trial")],
        Value::Str(text) => {
            let mut longer = text.to_vec();
            longer.extend_from_slice(b"9");
            vec![
                Value::from(longer),
                Value::str("todoctl-trial"),
                Value::str(""),
            ]
        }
        Value::List(_) => vec![Value::list(vec![Value::str("todoctl-trial")])],
        Value::Map(_) => {
            let map = Map::new();
            map.set("todoctl-trial", "todoctl-trial");
            vec![Value::Map(map)]
        }
        _ => vec![Value::str("todoctl-trial"), Value::Bool(true)],
    }
}

/// Sets a value at a path. A list is replaced as a whole, its other items
/// taken from `all`.
fn put(target: &Map, all: &Map, path: &[PathPart], value: Value) -> Option<()> {
    let list_at = path
        .iter()
        .position(|part| matches!(part, PathPart::Index(_)));
    let (path, value) = match list_at {
        None => (path, value),
        Some(at) => {
            let (outer, inner) = path.split_at_checked(at)?;
            let list = value_at(&Value::Map(all.clone()), outer)?.deep_copy();
            (outer, replaced(&list, inner, value)?)
        }
    };
    let (last, parents) = path.split_last()?;
    let mut table = target.clone();
    for part in parents {
        let PathPart::Key(key) = part else {
            return None;
        };
        table = table.get_map(key).unwrap_or_else(|| {
            let inner = Map::new();
            table.set(key, inner.clone());
            inner
        });
    }
    let PathPart::Key(key) = last else {
        return None;
    };
    table.set(key, value);
    Some(())
}

/// A copy of `value` with another value at a path below it.
fn replaced(value: &Value, path: &[PathPart], new: Value) -> Option<Value> {
    let Some((first, rest)) = path.split_first() else {
        return Some(new);
    };
    match (first, value) {
        (PathPart::Key(key), Value::Map(map)) => {
            let inner = replaced(&map.get(key)?, rest, new)?;
            map.set(key, inner);
            Some(Value::Map(map.clone()))
        }
        (PathPart::Index(index), Value::List(list)) => {
            let mut items = list.items().to_vec();
            let slot = items.get_mut(*index)?;
            *slot = replaced(slot, rest, new)?;
            Some(Value::list(items))
        }
        _ => None,
    }
}

fn kind_of(document: &str) -> Option<String> {
    let value = yaml11::parse(document.as_bytes()).ok()?;
    let kind = value.as_map()?.get("kind")?;
    kind.as_str().map(str::to_owned)
}

fn is_object(document: &str, object: &Object) -> bool {
    let Ok(value) = yaml11::parse(document.as_bytes()) else {
        return false;
    };
    let text = |path: &[&str]| {
        let path: Vec<PathPart> = path
            .iter()
            .map(|key| PathPart::Key((*key).to_owned()))
            .collect();
        let found = value_at(&value, &path)?;
        found.as_str().map(str::to_owned)
    };
    text(&["kind"]).as_deref() == Some(&object.kind)
        && text(&["metadata", "name"]).as_deref() == Some(&object.name)
}
