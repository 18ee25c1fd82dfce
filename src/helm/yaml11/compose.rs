//! Tokens to values: nodes with anchors and tags, merge keys, and the detour
//! over JSON that turns keys into strings and numbers into floats.

use std::collections::HashMap;

use base64::Engine as _;

use super::YamlError;
use super::resolve::{Scalar, resolve, resolve_hinted};
use super::scanner::{Kind, MAX_NESTING, Scanner, Token};
use crate::helm::gofmt;
use crate::helm::value::{Map, Value};

type Result<T> = std::result::Result<T, YamlError>;

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

const CORE: &str = "tag:yaml.org,2002:";

#[derive(Debug)]
struct Node {
    line: usize,
    tag: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Scalar { text: String, implicit: bool },
    Sequence(Vec<usize>),
    Mapping(Vec<(usize, usize)>),
    Alias { name: String, target: usize },
}

/// The first document, or nothing when there is none.
pub(super) fn first(text: &str) -> Result<Option<Value>> {
    let mut composer = Composer::new(text)?;
    match composer.document(true)? {
        Some(root) => composer.decode(root).map(Some),
        None => Ok(None),
    }
}

/// The first document with the line of every value in it.
pub(super) fn first_located(text: &str) -> Result<Option<(Value, Vec<Located>)>> {
    let mut composer = Composer::new(text)?;
    match composer.document(true)? {
        Some(root) => composer.decode_located(root).map(Some),
        None => Ok(None),
    }
}

/// Every document.
pub(super) fn all(text: &str) -> Result<Vec<Value>> {
    let mut composer = Composer::new(text)?;
    let mut values = Vec::new();
    let mut implicit = true;
    while let Some(root) = composer.document(implicit)? {
        values.push(composer.decode(root)?);
        implicit = false;
    }
    Ok(values)
}

struct Composer<'a> {
    scanner: Scanner<'a>,
    token: Token,
    nodes: Vec<Node>,
    anchors: HashMap<String, usize>,
    handles: HashMap<String, String>,
    depth: usize,
}

impl<'a> Composer<'a> {
    fn new(text: &'a str) -> Result<Self> {
        let mut scanner = Scanner::new(text);
        let token = scanner.next()?;
        Ok(Self {
            scanner,
            token,
            nodes: Vec::new(),
            anchors: HashMap::new(),
            handles: HashMap::new(),
            depth: 0,
        })
    }

    fn advance(&mut self) -> Result<Token> {
        let next = self.scanner.next()?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn at(&self, kind: &Kind) -> bool {
        self.token.kind == *kind
    }

    fn error<T>(&self, message: &str) -> Result<T> {
        Err(YamlError::new(self.token.line, message))
    }

    fn add(&mut self, line: usize, tag: String, content: Content) -> usize {
        self.nodes.push(Node { line, tag, content });
        self.nodes.len() - 1
    }

    fn empty(&mut self, line: usize) -> usize {
        let content = Content::Scalar {
            text: String::new(),
            implicit: true,
        };
        self.add(line, String::new(), content)
    }

    /// Composes the next document and returns its root.
    fn document(&mut self, implicit: bool) -> Result<Option<usize>> {
        self.nodes.clear();
        self.anchors.clear();
        self.handles = HashMap::from([
            ("!".to_owned(), "!".to_owned()),
            ("!!".to_owned(), CORE.to_owned()),
        ]);
        if !implicit {
            while self.at(&Kind::DocumentEnd) {
                self.advance()?;
            }
        }
        if self.at(&Kind::StreamEnd) {
            return Ok(None);
        }
        self.directives()?;
        if self.at(&Kind::DocumentStart) {
            self.advance()?;
        } else if !implicit {
            return self.error("did not find expected <document start>");
        }
        let empty = matches!(
            self.token.kind,
            Kind::VersionDirective(..)
                | Kind::TagDirective(..)
                | Kind::DocumentStart
                | Kind::DocumentEnd
                | Kind::StreamEnd
        );
        let root = if empty {
            self.empty(self.token.line)
        } else {
            self.node(true, false)?
        };
        if self.at(&Kind::DocumentEnd) {
            self.advance()?;
        }
        Ok(Some(root))
    }

    fn directives(&mut self) -> Result<()> {
        let mut seen_version = false;
        let mut any = false;
        loop {
            match self.token.kind.clone() {
                Kind::VersionDirective(major, minor) => {
                    if seen_version {
                        return self.error("found duplicate %YAML directive");
                    }
                    if (major, minor) != (1, 1) {
                        return self.error("found incompatible YAML document");
                    }
                    seen_version = true;
                }
                Kind::TagDirective(handle, prefix) => {
                    let own = self.handles.insert(handle.clone(), prefix);
                    if own.is_some() && handle != "!" && handle != "!!" {
                        return self.error("found duplicate %TAG directive");
                    }
                }
                _ => break,
            }
            any = true;
            self.advance()?;
        }
        if any && !self.at(&Kind::DocumentStart) {
            return self.error("did not find expected <document start>");
        }
        Ok(())
    }

    fn node(&mut self, block: bool, indentless: bool) -> Result<usize> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return self.error(&format!("exceeded max depth of {MAX_NESTING}"));
        }
        let node = self.node_inner(block, indentless);
        self.depth -= 1;
        node
    }

    fn node_inner(&mut self, block: bool, indentless: bool) -> Result<usize> {
        let line = self.token.line;
        if let Kind::Alias(name) = &self.token.kind {
            let name = name.clone();
            self.advance()?;
            let Some(&target) = self.anchors.get(&name) else {
                return Err(YamlError::new(
                    0,
                    format!("unknown anchor '{name}' referenced"),
                ));
            };
            return Ok(self.add(line, String::new(), Content::Alias { name, target }));
        }
        let (anchor, tag) = self.properties()?;
        let decorated = anchor.is_some() || tag.is_some();
        let plain_tag = tag.clone().unwrap_or_default();
        // The place is taken first, so that an anchor is known inside its own
        // node, as an error.
        let place = self.empty(self.token.line);
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, place);
        }
        let content = match &self.token.kind {
            Kind::BlockEntry if indentless => self.indentless_sequence()?,
            Kind::Scalar { text, plain } => {
                let implicit = *plain && tag.is_none();
                let text = text.clone();
                self.advance()?;
                Content::Scalar { text, implicit }
            }
            Kind::FlowSequenceStart => self.flow_sequence()?,
            Kind::FlowMappingStart => self.flow_mapping()?,
            Kind::BlockSequenceStart if block => self.block_sequence()?,
            Kind::BlockMappingStart if block => self.block_mapping()?,
            _ if decorated => Content::Scalar {
                text: String::new(),
                implicit: tag.is_none(),
            },
            _ => return self.error("did not find expected node content"),
        };
        if let Some(node) = self.nodes.get_mut(place) {
            node.tag = plain_tag;
            node.content = content;
        }
        Ok(place)
    }

    fn properties(&mut self) -> Result<(Option<String>, Option<String>)> {
        let (mut anchor, mut tag) = (None, None);
        loop {
            match self.token.kind.clone() {
                Kind::Anchor(name) if anchor.is_none() => anchor = Some(name),
                Kind::Tag(handle, suffix) if tag.is_none() => {
                    if handle.is_empty() {
                        tag = Some(suffix);
                    } else {
                        let Some(prefix) = self.handles.get(&handle) else {
                            return self.error("found undefined tag handle");
                        };
                        tag = Some(format!("{prefix}{suffix}"));
                    }
                }
                _ => return Ok((anchor, tag)),
            }
            self.advance()?;
        }
    }

    fn block_sequence(&mut self) -> Result<Content> {
        self.advance()?;
        let mut items = Vec::new();
        while self.at(&Kind::BlockEntry) {
            self.advance()?;
            let absent = matches!(self.token.kind, Kind::BlockEntry | Kind::BlockEnd);
            items.push(self.node_unless(absent, true, false)?);
        }
        if !self.at(&Kind::BlockEnd) {
            return self.error("did not find expected '-' indicator");
        }
        self.advance()?;
        Ok(Content::Sequence(items))
    }

    fn indentless_sequence(&mut self) -> Result<Content> {
        let mut items = Vec::new();
        while self.at(&Kind::BlockEntry) {
            self.advance()?;
            let absent = matches!(
                self.token.kind,
                Kind::BlockEntry | Kind::Key | Kind::Value | Kind::BlockEnd
            );
            items.push(self.node_unless(absent, true, false)?);
        }
        Ok(Content::Sequence(items))
    }

    fn node_unless(&mut self, absent: bool, block: bool, indentless: bool) -> Result<usize> {
        if absent {
            Ok(self.empty(self.token.line))
        } else {
            self.node(block, indentless)
        }
    }

    fn block_mapping(&mut self) -> Result<Content> {
        self.advance()?;
        let mut pairs = Vec::new();
        while self.at(&Kind::Key) {
            self.advance()?;
            let key = self.block_mapping_part()?;
            let value = if self.at(&Kind::Value) {
                self.advance()?;
                self.block_mapping_part()?
            } else {
                self.empty(self.token.line)
            };
            pairs.push((key, value));
        }
        if !self.at(&Kind::BlockEnd) {
            return self.error("did not find expected key");
        }
        self.advance()?;
        Ok(Content::Mapping(pairs))
    }

    fn block_mapping_part(&mut self) -> Result<usize> {
        let absent = matches!(self.token.kind, Kind::Key | Kind::Value | Kind::BlockEnd);
        self.node_unless(absent, true, true)
    }

    fn flow_sequence(&mut self) -> Result<Content> {
        self.advance()?;
        let mut items = Vec::new();
        while !self.at(&Kind::FlowSequenceEnd) {
            if !items.is_empty() {
                if !self.at(&Kind::FlowEntry) {
                    return self.error("did not find expected ',' or ']'");
                }
                self.advance()?;
                if self.at(&Kind::FlowSequenceEnd) {
                    break;
                }
            }
            let item = if self.at(&Kind::Key) {
                self.single_pair()?
            } else {
                self.node(false, false)?
            };
            items.push(item);
        }
        self.advance()?;
        Ok(Content::Sequence(items))
    }

    fn single_pair(&mut self) -> Result<usize> {
        let line = self.token.line;
        self.advance()?;
        let absent = matches!(
            self.token.kind,
            Kind::Value | Kind::FlowEntry | Kind::FlowSequenceEnd
        );
        let key = self.node_unless(absent, false, false)?;
        let value = if self.at(&Kind::Value) {
            self.advance()?;
            let absent = matches!(self.token.kind, Kind::FlowEntry | Kind::FlowSequenceEnd);
            self.node_unless(absent, false, false)?
        } else {
            self.empty(line)
        };
        Ok(self.add(line, String::new(), Content::Mapping(vec![(key, value)])))
    }

    fn flow_mapping(&mut self) -> Result<Content> {
        self.advance()?;
        let mut pairs = Vec::new();
        while !self.at(&Kind::FlowMappingEnd) {
            if !pairs.is_empty() {
                if !self.at(&Kind::FlowEntry) {
                    return self.error("did not find expected ',' or '}'");
                }
                self.advance()?;
                if self.at(&Kind::FlowMappingEnd) {
                    break;
                }
            }
            let line = self.token.line;
            if !self.at(&Kind::Key) {
                let key = self.node(false, false)?;
                let value = self.empty(line);
                pairs.push((key, value));
                continue;
            }
            self.advance()?;
            let absent = matches!(
                self.token.kind,
                Kind::Value | Kind::FlowEntry | Kind::FlowMappingEnd
            );
            let key = self.node_unless(absent, false, false)?;
            let value = if self.at(&Kind::Value) {
                self.advance()?;
                let absent = matches!(self.token.kind, Kind::FlowEntry | Kind::FlowMappingEnd);
                self.node_unless(absent, false, false)?
            } else {
                self.empty(line)
            };
            pairs.push((key, value));
        }
        self.advance()?;
        Ok(Content::Mapping(pairs))
    }

    fn decode(&self, root: usize) -> Result<Value> {
        Decoder::new(&self.nodes, None).value(root)
    }

    fn decode_located(&self, root: usize) -> Result<(Value, Vec<Located>)> {
        let mut decoder = Decoder::new(&self.nodes, Some(Trail::default()));
        let value = decoder.value(root)?;
        Ok((value, decoder.trail.unwrap_or_default().located))
    }
}

/// Where values were found, for those who ask. Paths are long, and most do
/// not.
#[derive(Default)]
struct Trail {
    path: Vec<PathPart>,
    located: Vec<Located>,
}

struct Decoder<'a> {
    nodes: &'a [Node],
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
    fn new(nodes: &'a [Node], trail: Option<Trail>) -> Self {
        Self {
            nodes,
            active: Vec::new(),
            depth: 0,
            trail,
            decoded: 0,
            aliased: 0,
        }
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
            Content::Scalar { text, implicit } => scalar(&node.tag, text, *implicit),
            Content::Sequence(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    values.push(self.below(*item, || PathPart::Index(i))?);
                }
                Ok(Value::list(values))
            }
            Content::Mapping(pairs) => {
                let map = Map::new();
                self.fill(&map, pairs)?;
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
    fn fill(&mut self, map: &Map, pairs: &[(usize, usize)]) -> Result<()> {
        for (key, value) in pairs {
            if self.is_merge(*key) {
                self.merge(map, *value)?;
                continue;
            }
            let key = self.key(*key)?;
            let value = self.below(*value, || PathPart::Key(key.clone()))?;
            map.set(key, value);
        }
        Ok(())
    }

    fn is_merge(&self, index: usize) -> bool {
        self.nodes.get(index).is_some_and(|node| {
            matches!(&node.content, Content::Scalar { text, implicit } if text == "<<"
                && (*implicit || node.tag == "tag:yaml.org,2002:merge"))
        })
    }

    fn merge(&mut self, map: &Map, index: usize) -> Result<()> {
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

    fn key(&mut self, index: usize) -> Result<String> {
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
            let value = self.value(index)?;
            return fail(format!("invalid map key: {value:?}"));
        };
        if node.tag.is_empty() && !implicit {
            return Ok(text.clone());
        }
        match resolve_tagged(&node.tag, text)? {
            Scalar::Null => Err(YamlError::new(
                0,
                "json: unsupported map key of type: %!s(<nil>), key: <nil>",
            )),
            Scalar::Uint(_) => Err(YamlError::new(
                0,
                "json: unsupported map key of type: uint64",
            )),
            Scalar::Bool(b) => Ok(b.to_string()),
            Scalar::Int(n) => Ok(n.to_string()),
            Scalar::Float(f) if f.is_nan() => Ok(".nan".to_owned()),
            Scalar::Float(f) if f.is_infinite() => {
                Ok(if f > 0.0 { ".inf" } else { "-.inf" }.to_owned())
            }
            Scalar::Float(f) => Ok(gofmt::float32_g(f)),
            Scalar::Timestamp | Scalar::Str => {
                Ok(binary(&node.tag, text)?.unwrap_or_else(|| text.clone()))
            }
        }
    }
}

const WANT_MAP: &str = "map merge requires map or sequence of maps as the value";

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
        Scalar::Timestamp | Scalar::Str => {
            Value::from(binary(tag, text)?.unwrap_or_else(|| text.to_owned()))
        }
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
