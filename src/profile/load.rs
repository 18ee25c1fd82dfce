//! Layering: a profile, what it extends, and `--set` on top.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mask::{self, Mask};
use super::path::{self, Key};
use super::{Profile, check, embedded, rules, schema};
use crate::finding::{Finding, Findings, Span};
use crate::names::nearest;
use crate::yaml::{self, Entry, Node, Place, Source, Value};

/// A valid profile, and where each of its values came from.
#[derive(Debug)]
pub struct Loaded {
    /// The profile; its references are not looked up yet.
    pub profile: Profile,
    /// What is allowed but should not be.
    pub warnings: Findings,
    pub(super) tree: Node,
    mask: Mask,
}

/// One effective value and its origin.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Effective {
    /// Path of the value.
    pub path: String,
    /// The value as JSON; secrets are redacted.
    pub value: String,
    /// `file:line:column`, or the option that set it.
    pub from: String,
}

/// Loads a profile by name or path, with what it extends, and puts the
/// `--set` arguments on top. All mistakes are reported at once.
pub fn load(reference: &str, sets: &[String]) -> Result<Loaded, Findings> {
    let mut mask = Mask::default();
    let mut layers = Vec::new();
    collect(reference, None, &mut layers, &mut mask)?;
    let mut findings = Findings::default();
    // The last layer collected is the base of all.
    let mut tree = layers.pop().map_or_else(empty, |layer| layer.tree);
    while let Some(layer) = layers.pop() {
        tree = merge(tree, layer.tree);
    }
    for argument in sets {
        if let Err(finding) = set(&mut tree, argument, &mut mask) {
            findings.push(finding);
        }
    }
    strip_nulls(&mut tree);
    check::texts_of_arguments(&mut tree, schema::cached(), schema::cached());
    finish(tree, mask, findings)
}

fn finish(tree: Node, mask: Mask, mut findings: Findings) -> Result<Loaded, Findings> {
    findings.extend(check::check(&tree, schema::cached()));
    let profile = if findings.has_errors() {
        None
    } else {
        match serde_json::from_value::<Profile>(tree.to_json()) {
            Ok(profile) => {
                findings.extend(rules::check(&profile, &tree));
                Some(profile)
            }
            Err(error) => {
                findings.push(Finding::error(error.to_string()).at(tree.place.span()));
                None
            }
        }
    };
    let mut findings: Findings = findings
        .into_iter()
        .map(|finding| masked(&mask, finding))
        .collect();
    findings.sort();
    let warnings = findings.into_result()?;
    let Some(profile) = profile else {
        return Err(warnings);
    };
    Ok(Loaded {
        profile,
        warnings,
        tree,
        mask,
    })
}

fn masked(mask: &Mask, finding: Finding) -> Finding {
    finding.map_span(|span| mask.apply(span))
}

struct Layer {
    name: String,
    id: PathBuf,
    tree: Node,
}

/// Reads a profile and, after it, the one that it extends.
fn collect(
    reference: &str,
    from: Option<&Place>,
    layers: &mut Vec<Layer>,
    mask: &mut Mask,
) -> Result<(), Findings> {
    let at = |finding: Finding| match from {
        Some(place) => finding.at(place.span()),
        None => finding,
    };
    let (source, id) = open(reference, from).map_err(at)?;
    let source = Arc::new(source);
    if let Some(start) = layers.iter().position(|layer| layer.id == id) {
        let chain: Vec<&str> = layers
            .iter()
            .skip(start)
            .map(|layer| layer.name.as_str())
            .chain([source.name.as_str()])
            .collect();
        return Err(at(Finding::error(format!(
            "profiles extend each other in a circle: {}",
            chain.join(" -> ")
        )))
        .into());
    }
    let tree = yaml::tree(&source).map_err(|finding| finding.map_span(mask::unparsed))?;
    let tree = match tree.value {
        Value::Null => Node {
            value: Value::Map(Vec::new()),
            place: tree.place,
        },
        _ => tree,
    };
    mask.learn(&tree);
    let parent = tree.get("extends").cloned();
    layers.push(Layer {
        name: source.name.clone(),
        id,
        tree: without(tree, "extends"),
    });
    match parent {
        Some(Node {
            value: Value::String(parent),
            place,
        }) => collect(&parent, Some(&place), layers, mask),
        Some(Node {
            value: Value::Null, ..
        })
        | None => Ok(()),
        Some(other) => Err(
            Finding::error("`extends` must be the name or the path of a profile")
                .at(other.place.span())
                .into(),
        ),
    }
}

/// The text of a profile by name or path, and what tells it from every other:
/// different paths may lead to one file.
fn open(reference: &str, from: Option<&Place>) -> Result<(Source, PathBuf), Finding> {
    let is_path = reference.contains('/')
        || Path::new(reference)
            .extension()
            .is_some_and(|e| e == "yaml" || e == "yml");
    if !is_path {
        let text = embedded::text(reference).ok_or_else(|| no_such_profile(reference))?;
        let name = format!("builtin/{reference}.yaml");
        let id = PathBuf::from(&name);
        return Ok((Source::file(name, ".", text.to_owned()), id));
    }
    let path = crate::files::expand_home(reference);
    let path = match from {
        Some(place) if path.is_relative() => place.source.folder.join(path),
        _ => path,
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Finding::error(format!(
            "cannot read the profile {}: {error}",
            path.display()
        ))
    })?;
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    let id = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    let source = Source::file(path.display().to_string(), folder, text);
    Ok((source, id))
}

fn no_such_profile(name: &str) -> Finding {
    let names = embedded::PROFILES.iter().map(|(name, _)| *name);
    let hint = match nearest(name, names.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!(
            "there are {}; a path has a `/` or ends in .yaml",
            names.collect::<Vec<_>>().join(", ")
        ),
    };
    Finding::error(format!("there is no profile `{name}`")).hint(hint)
}

fn empty() -> Node {
    let source = Arc::new(Source::file("profile", ".", String::new()));
    Node {
        value: Value::Map(Vec::new()),
        place: Place {
            source,
            line: 1,
            column: 1,
            len: 1,
        },
    }
}

fn without(mut tree: Node, key: &str) -> Node {
    if let Value::Map(entries) = &mut tree.value {
        entries.retain(|entry| entry.key != key);
    }
    tree
}

/// Puts one tree over another: maps merge key by key, everything else
/// replaces. The places are those of the values that stay.
fn merge(base: Node, over: Node) -> Node {
    match (base.value, over.value) {
        (Value::Map(mut entries), Value::Map(overs)) => {
            for over in overs {
                let found = entries.iter_mut().find(|entry| entry.key == over.key);
                match found {
                    Some(entry) => {
                        let below = std::mem::replace(&mut entry.node, empty());
                        entry.node = merge(below, over.node);
                        entry.place = over.place;
                    }
                    None => entries.push(over),
                }
            }
            Node {
                value: Value::Map(entries),
                place: over.place,
            }
        }
        (_, value) => Node {
            value,
            place: over.place,
        },
    }
}

/// Removes every key whose value is null: it says "as if it were not there".
fn strip_nulls(node: &mut Node) {
    match &mut node.value {
        Value::Map(entries) => {
            entries.retain(|entry| entry.node.value != Value::Null);
            for entry in entries {
                strip_nulls(&mut entry.node);
            }
        }
        Value::List(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

/// Puts one `--set path=value` into the tree.
fn set(tree: &mut Node, argument: &str, mask: &mut Mask) -> Result<(), Finding> {
    let source = Arc::new(Source::argument("--set", argument.to_owned()));
    let place = |column: u32, len: u32| Place {
        source: Arc::clone(&source),
        line: 1,
        column,
        len,
    };
    let Some((path, value)) = argument.split_once('=') else {
        return Err(Finding::error("`--set` takes `path=value`").at(whole(argument)));
    };
    let steps = path::parse(path).map_err(|column| {
        Finding::error("the path of `--set` does not parse")
            .at(place(column, 1).span())
            .hint("for instance `app.services[0].replicas=2` or `app.services.backend.replicas=2`")
    })?;
    let value = set_value(&source, path, value)?;
    let mut node = &mut *tree;
    for (i, step) in steps.iter().enumerate() {
        let here = place(step.column, step.len);
        let rest = steps.get(i + 1..).unwrap_or_default();
        node = descend(node, step.key, &here, rest.first().map(|next| next.key))?;
    }
    // Lists and maps replace as in a file; a map merges.
    let below = std::mem::replace(node, empty());
    *node = merge(below, value);
    mask.learn(tree);
    Ok(())
}

/// The value of a `--set`, placed inside the whole argument.
fn set_value(source: &Arc<Source>, path: &str, value: &str) -> Result<Node, Finding> {
    let padding = " ".repeat(path.chars().count() + 1);
    let padded = Arc::new(Source::argument("--set", format!("{padding}{value}")));
    let mut node = yaml::tree(&padded).map_err(|finding| {
        finding.map_span(|span| {
            mask::unparsed(Span {
                source_line: source.text.clone(),
                ..span
            })
        })
    })?;
    re_source(&mut node, source);
    Ok(node)
}

/// Moves a tree to another source of the same shape.
fn re_source(node: &mut Node, source: &Arc<Source>) {
    node.place.source = Arc::clone(source);
    match &mut node.value {
        Value::Map(entries) => {
            for entry in entries {
                entry.place.source = Arc::clone(source);
                re_source(&mut entry.node, source);
            }
        }
        Value::List(items) => {
            for item in items {
                re_source(item, source);
            }
        }
        _ => {}
    }
}

fn whole(argument: &str) -> Span {
    mask::unparsed(Span {
        file: "--set".to_owned(),
        line: 0,
        column: 1,
        len: u32::try_from(argument.chars().count()).unwrap_or(u32::MAX),
        source_line: argument.to_owned(),
    })
}

/// The node below a step, made when a map lacks it.
fn descend<'n>(
    node: &'n mut Node,
    key: Key<'_>,
    place: &Place,
    next: Option<Key<'_>>,
) -> Result<&'n mut Node, Finding> {
    if node.value == Value::Null {
        node.value = Value::Map(Vec::new());
    }
    match (&mut node.value, key) {
        (Value::Map(entries), Key::Name(name)) => {
            let at = entries.iter().position(|entry| entry.key == name);
            let at = at.unwrap_or_else(|| {
                entries.push(Entry {
                    key: name.to_owned(),
                    place: place.clone(),
                    node: Node {
                        value: if matches!(next, Some(Key::Index(_))) {
                            Value::List(Vec::new())
                        } else {
                            Value::Null
                        },
                        place: place.clone(),
                    },
                });
                entries.len() - 1
            });
            entries
                .get_mut(at)
                .map(|entry| &mut entry.node)
                .ok_or_else(|| Finding::error("the key is gone"))
        }
        (Value::List(items), key) => list_item(items, key, place),
        (Value::Map(_), Key::Index(_)) => {
            Err(Finding::error("this is a map, not a list").at(place.span()))
        }
        _ => Err(Finding::error("there is nothing below this value").at(place.span())),
    }
}

fn list_item<'n>(
    items: &'n mut [Node],
    key: Key<'_>,
    place: &Place,
) -> Result<&'n mut Node, Finding> {
    let names: Vec<String> = items
        .iter()
        .filter_map(|item| item.get("name").and_then(Node::as_str))
        .map(str::to_owned)
        .collect();
    let count = items.len();
    let at = match key {
        Key::Index(i) => i,
        Key::Name(name) => items
            .iter()
            .position(|item| item.get("name").and_then(Node::as_str) == Some(name))
            .unwrap_or(count),
    };
    items.get_mut(at).ok_or_else(|| match key {
        Key::Index(i) => Finding::error(format!("the list has no entry {i}"))
            .at(place.span())
            .hint(format!("it has {count}, counted from 0")),
        Key::Name(name) => {
            let hint = match nearest(name, names.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if names.is_empty() => "its entries have no names".to_owned(),
                None => format!("there are: {}", names.join(", ")),
            };
            Finding::error(format!("the list has no entry named `{name}`"))
                .at(place.span())
                .hint(hint)
        }
    })
}

impl Loaded {
    /// Where the value at a path came from, or the nearest one above it.
    pub fn span(&self, path: &str) -> Span {
        self.mask
            .apply(path::nearest(&self.tree, path).place.span())
    }

    pub(super) fn masked(&self, finding: Finding) -> Finding {
        masked(&self.mask, finding)
    }

    /// Every value that a file or an option gave, with its origin.
    pub fn explain(&self) -> Vec<Effective> {
        let shown = serde_json::to_value(&self.profile).unwrap_or_default();
        let mut out = Vec::new();
        explain(&self.tree, &shown, "", &mut out);
        out
    }
}

/// Walks the tree for the places and the profile for the values: the profile
/// redacts its secrets.
fn explain(node: &Node, shown: &serde_json::Value, path: &str, out: &mut Vec<Effective>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                let below = shown.get(&entry.key).unwrap_or(&serde_json::Value::Null);
                explain(&entry.node, below, &path::join(path, &entry.key), out);
            }
        }
        Value::List(items) => {
            for (i, item) in items.iter().enumerate() {
                let below = shown.get(i).unwrap_or(&serde_json::Value::Null);
                explain(item, below, &format!("{path}[{i}]"), out);
            }
        }
        _ => out.push(Effective {
            path: path.to_owned(),
            value: shown.to_string(),
            from: node.place.span().location(),
        }),
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
