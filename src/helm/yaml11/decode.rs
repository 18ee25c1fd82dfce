//! Nodes to values: merge keys, and the detour over JSON that turns keys into
//! strings and numbers into floats.

use std::borrow::Cow;

use base64::Engine as _;

use super::YamlError;
use super::compose::{CORE, Content, Node, Result};
use super::resolve::{Scalar, resolve, resolve_hinted};
use super::scanner::MAX_NESTING;
use crate::helm::gofmt;
use crate::helm::value::{Map, Value};

/// Where a value stands in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The way from the root.
    pub path: Vec<PathPart>,
    /// The line of the value, counted from 1.
    pub line: usize,
}

/// A step on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPart {
    /// A key of a map.
    Key(String),
    /// A place in a list.
    Index(usize),
}

/// Where values were found, for those who ask. Paths are long, and most do
/// not.
#[derive(Default)]
struct Trail {
    path: Vec<PathPart>,
    located: Vec<Located>,
}

/// One walk over a document's nodes.
pub(super) struct Decoder<'a> {
    nodes: &'a [Node<'a>],
    /// The fields of the root that are wanted, if not all.
    fields: Option<&'a [&'a str]>,
    /// Nothing is made of what is being walked over; it is only checked.
    checking: bool,
    /// Aliases being followed, to find one that contains itself.
    active: Vec<usize>,
    depth: usize,
    trail: Option<Trail>,
    decoded: u64,
    aliased: u64,
}

fn fail<T>(message: impl Into<String>) -> Result<T> {
    Err(YamlError::new(0, message))
}

/// The share of decoding steps that may come from aliases, as in go-yaml.
#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn allowed_alias_ratio(decoded: u64) -> f64 {
    const LOW: u64 = 400_000;
    const HIGH: u64 = 4_000_000;
    match decoded {
        ..=LOW => 0.99,
        HIGH.. => 0.10,
        n => 0.99 - 0.89 * ((n - LOW) as f64 / (HIGH - LOW) as f64),
    }
}

impl<'a> Decoder<'a> {
    /// For all values.
    pub(super) fn new(nodes: &'a [Node<'a>]) -> Self {
        Self {
            nodes,
            fields: None,
            checking: false,
            active: Vec::new(),
            depth: 0,
            trail: None,
            decoded: 0,
            aliased: 0,
        }
    }

    /// For some fields of the root; the other ones are only checked.
    pub(super) fn of_fields(nodes: &'a [Node<'a>], fields: &'a [&'a str]) -> Self {
        Self {
            fields: Some(fields),
            ..Self::new(nodes)
        }
    }

    /// All values with their lines.
    pub(super) fn located(nodes: &'a [Node<'a>], root: usize) -> Result<(Value, Vec<Located>)> {
        let mut decoder = Self {
            trail: Some(Trail::default()),
            ..Self::new(nodes)
        };
        let value = decoder.value(root)?;
        Ok((value, decoder.trail.unwrap_or_default().located))
    }

    /// The value of a document.
    pub(super) fn root(mut self, root: usize) -> Result<Value> {
        self.value(root)
    }

    /// The value below a step.
    fn below(&mut self, index: usize, step: impl FnOnce() -> PathPart) -> Result<Value> {
        self.depth += 1;
        if let Some(trail) = &mut self.trail {
            trail.path.push(step());
        }
        let value = self.value(index);
        self.depth -= 1;
        if let Some(trail) = &mut self.trail {
            trail.path.pop();
        }
        value
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    fn value(&mut self, index: usize) -> Result<Value> {
        self.decoded += 1;
        if !self.active.is_empty() {
            self.aliased += 1;
        }
        let ratio = self.aliased as f64 / self.decoded as f64;
        if self.aliased > 100 && self.decoded > 1000 && ratio > allowed_alias_ratio(self.decoded) {
            return fail("document contains excessive aliasing");
        }
        if self.depth + self.active.len() > 2 * MAX_NESTING {
            return fail(format!("exceeded max depth of {MAX_NESTING}"));
        }
        let nodes = self.nodes;
        let Some(node) = nodes.get(index) else {
            return Ok(Value::Nil);
        };
        if let Some(trail) = &mut self.trail
            && self.active.is_empty()
        {
            trail.located.push(Located {
                path: trail.path.clone(),
                line: node.line + 1,
            });
        }
        match &node.content {
            Content::Alias { name, target } => self.alias(index, name, *target),
            Content::Scalar { text, .. } if self.checking && !may_fail(&node.tag, text) => {
                Ok(Value::Nil)
            }
            Content::Scalar { text, implicit } => scalar(&node.tag, text, *implicit),
            Content::Sequence(items) if self.checking => {
                for item in items {
                    self.below(*item, || PathPart::Index(0))?;
                }
                Ok(Value::Nil)
            }
            Content::Mapping(pairs) if self.checking => {
                self.fill(None, pairs)?;
                Ok(Value::Nil)
            }
            Content::Sequence(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    values.push(self.below(*item, || PathPart::Index(i))?);
                }
                Ok(Value::list(values))
            }
            Content::Mapping(pairs) => {
                let map = Map::new();
                self.fill(Some(&map), pairs)?;
                Ok(Value::Map(map))
            }
        }
    }

    fn alias(&mut self, index: usize, name: &str, target: usize) -> Result<Value> {
        if self.active.contains(&index) {
            return fail(format!("anchor '{name}' value contains itself"));
        }
        self.active.push(index);
        let value = self.value(target);
        self.active.pop();
        value
    }

    /// Sets the pairs in their order: a merge overwrites what stands before
    /// it, and is overwritten by what follows.
    fn fill(&mut self, map: Option<&Map>, pairs: &[(usize, usize)]) -> Result<()> {
        for (key, value) in pairs {
            if self.is_merge(*key) {
                self.merge(map, *value)?;
                continue;
            }
            let key = self.key(*key)?;
            let unwanted =
                self.depth == 0 && self.fields.is_some_and(|fields| !fields.contains(&&*key));
            let around = self.checking;
            self.checking |= unwanted;
            let value = self.below(*value, || PathPart::Key(key.clone().into_owned()));
            self.checking = around;
            let value = value?;
            if let Some(map) = map
                && !unwanted
            {
                map.set(&*key, value);
            }
        }
        Ok(())
    }

    fn is_merge(&self, index: usize) -> bool {
        self.nodes.get(index).is_some_and(|node| {
            matches!(&node.content, Content::Scalar { text, implicit } if text == "<<"
                && (*implicit || &*node.tag == "tag:yaml.org,2002:merge"))
        })
    }

    fn merge(&mut self, map: Option<&Map>, index: usize) -> Result<()> {
        let nodes = self.nodes;
        match nodes.get(index).map(|n| &n.content) {
            Some(Content::Mapping(pairs)) => self.fill(map, pairs),
            Some(Content::Alias { target, name }) => match nodes.get(*target).map(|n| &n.content) {
                Some(Content::Mapping(pairs)) => {
                    if self.active.contains(&index) {
                        return fail(format!("anchor '{name}' value contains itself"));
                    }
                    self.active.push(index);
                    let filled = self.fill(map, pairs);
                    self.active.pop();
                    filled
                }
                _ => fail(WANT_MAP),
            },
            Some(Content::Sequence(items)) => {
                for item in items.iter().rev() {
                    match nodes.get(*item).map(|n| &n.content) {
                        Some(Content::Mapping(_) | Content::Alias { .. }) => {
                            self.merge(map, *item)?;
                        }
                        _ => return fail(WANT_MAP),
                    }
                }
                Ok(())
            }
            _ => fail(WANT_MAP),
        }
    }

    fn key(&mut self, index: usize) -> Result<Cow<'a, str>> {
        let nodes = self.nodes;
        let mut node = nodes.get(index);
        if let Some(Node {
            content: Content::Alias { target, .. },
            ..
        }) = node
        {
            node = nodes.get(*target);
        }
        let Some(node) = node else {
            return fail("invalid map key");
        };
        let Content::Scalar { text, implicit } = &node.content else {
            // The error shows all of it.
            (self.checking, self.fields) = (false, None);
            let value = self.value(index)?;
            return fail(format!("invalid map key: {value:?}"));
        };
        if node.tag.is_empty() && !implicit {
            return Ok(Cow::Borrowed(text));
        }
        let key = match resolve_tagged(&node.tag, text)? {
            Scalar::Null => {
                return fail("json: unsupported map key of type: %!s(<nil>), key: <nil>");
            }
            Scalar::Uint(_) => return fail("json: unsupported map key of type: uint64"),
            Scalar::Bool(b) => b.to_string(),
            Scalar::Int(n) => n.to_string(),
            Scalar::Float(f) if f.is_nan() => ".nan".to_owned(),
            Scalar::Float(f) if f.is_infinite() => {
                if f > 0.0 { ".inf" } else { "-.inf" }.to_owned()
            }
            Scalar::Float(f) => gofmt::float32_g(f),
            Scalar::Timestamp | Scalar::Str => match binary(&node.tag, text)? {
                Some(text) => text,
                None => return Ok(Cow::Borrowed(text)),
            },
        };
        Ok(Cow::Owned(key))
    }
}

const WANT_MAP: &str = "map merge requires map or sequence of maps as the value";

/// Whether there may be no value for a scalar: the wrong one for its tag, or an
/// infinite one.
fn may_fail(tag: &str, text: &str) -> bool {
    !tag.is_empty() || text.starts_with(['.', '+', '-'])
}

fn scalar(tag: &str, text: &str, implicit: bool) -> Result<Value> {
    if tag.is_empty() && !implicit {
        return Ok(Value::str(text));
    }
    #[expect(clippy::cast_precision_loss, reason = "JSON numbers become floats")]
    Ok(match resolve_tagged(tag, text)? {
        Scalar::Null => Value::Nil,
        Scalar::Bool(b) => Value::Bool(b),
        Scalar::Int(n) => Value::Float(n as f64),
        Scalar::Uint(n) => Value::Float(n as f64),
        Scalar::Float(f) if !f.is_finite() => {
            let shown = gofmt::float_g(f);
            return fail(format!("json: unsupported value: {shown}"));
        }
        Scalar::Float(f) => Value::Float(f),
        Scalar::Timestamp | Scalar::Str => match binary(tag, text)? {
            Some(text) => Value::from(text),
            None => Value::str(text),
        },
    })
}

fn binary(tag: &str, text: &str) -> Result<Option<String>> {
    if tag.strip_prefix(CORE) != Some("binary") {
        return Ok(None);
    }
    let packed: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    match base64::engine::general_purpose::STANDARD.decode(packed) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(_) => fail("!!binary value contains invalid base64 data"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "an integer asked for as float")]
fn resolve_tagged(tag: &str, text: &str) -> Result<Scalar> {
    let short = match tag.strip_prefix(CORE) {
        None if tag.is_empty() => return Ok(resolve(text)),
        None => return Ok(Scalar::Str),
        Some(short) => short,
    };
    let resolved = resolve_hinted(text, short == "timestamp");
    let found = match resolved {
        Scalar::Null => "null",
        Scalar::Bool(_) => "bool",
        Scalar::Int(_) | Scalar::Uint(_) => "int",
        Scalar::Float(_) => "float",
        Scalar::Timestamp => "timestamp",
        Scalar::Str => "str",
    };
    match (short, &resolved) {
        ("str", _) => Ok(Scalar::Str),
        ("float", Scalar::Int(n)) => Ok(Scalar::Float(*n as f64)),
        ("bool" | "int" | "float" | "null" | "timestamp", _) if found != short => {
            fail(format!("cannot decode !!{found} `{text}` as a !!{short}"))
        }
        ("bool" | "int" | "float" | "null" | "timestamp", _) => Ok(resolved),
        _ => Ok(Scalar::Str),
    }
}
