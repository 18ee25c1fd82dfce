//! Tokens to nodes with their anchors and tags.

use std::borrow::Cow;
use std::collections::HashMap;

use super::YamlError;
use super::decode::{Decoder, Located};
use super::scanner::{Kind, MAX_NESTING, Scanner, Token};
use crate::helm::value::Value;

pub(super) type Result<T> = std::result::Result<T, YamlError>;

/// What the core types' tags begin with.
pub(super) const CORE: &str = "tag:yaml.org,2002:";

/// A node of a document. Its texts are parts of the source where they can be.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) line: usize,
    /// Empty without one.
    pub(super) tag: Box<str>,
    pub(super) content: Content<'a>,
}

/// What a node holds; others by their places.
#[derive(Debug)]
pub(super) enum Content<'a> {
    Scalar { text: Cow<'a, str>, implicit: bool },
    Sequence(Vec<usize>),
    Mapping(Vec<(usize, usize)>),
    Alias { name: &'a str, target: usize },
}

/// The first document, or nothing when there is none.
pub(super) fn first(text: &str) -> Result<Option<Value>> {
    let mut composer = Composer::new(text)?;
    match composer.document(true)? {
        Some(root) => Decoder::new(&composer.nodes).root(root).map(Some),
        None => Ok(None),
    }
}

/// Of the first document's root only these fields; the rest is read and must
/// be right.
pub(super) fn first_fields(text: &str, fields: &[&str]) -> Result<Option<Value>> {
    let mut composer = Composer::new(text)?;
    match composer.document(true)? {
        Some(root) => Decoder::of_fields(&composer.nodes, fields)
            .root(root)
            .map(Some),
        None => Ok(None),
    }
}

/// The first document with the line of every value in it.
pub(super) fn first_located(text: &str) -> Result<Option<(Value, Vec<Located>)>> {
    let mut composer = Composer::new(text)?;
    match composer.document(true)? {
        Some(root) => Decoder::located(&composer.nodes, root).map(Some),
        None => Ok(None),
    }
}

/// Every document.
pub(super) fn all(text: &str) -> Result<Vec<Value>> {
    let mut composer = Composer::new(text)?;
    let mut values = Vec::new();
    let mut implicit = true;
    while let Some(root) = composer.document(implicit)? {
        values.push(Decoder::new(&composer.nodes).root(root)?);
        implicit = false;
    }
    Ok(values)
}

struct Composer<'a> {
    scanner: Scanner<'a>,
    token: Token<'a>,
    nodes: Vec<Node<'a>>,
    anchors: HashMap<&'a str, usize>,
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

    fn advance(&mut self) -> Result<Token<'a>> {
        let next = self.scanner.next()?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn at(&self, kind: &Kind<'_>) -> bool {
        self.token.kind == *kind
    }

    fn error<T>(&self, message: &str) -> Result<T> {
        Err(YamlError::new(self.token.line, message))
    }

    fn add(&mut self, line: usize, content: Content<'a>) -> usize {
        self.nodes.push(Node {
            line,
            tag: Box::default(),
            content,
        });
        self.nodes.len() - 1
    }

    fn empty(&mut self, line: usize) -> usize {
        let content = Content::Scalar {
            text: Cow::Borrowed(""),
            implicit: true,
        };
        self.add(line, content)
    }

    /// Composes the next document and returns its root.
    fn document(&mut self, implicit: bool) -> Result<Option<usize>> {
        self.nodes.clear();
        self.anchors.clear();
        self.handles.clear();
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
            match &self.token.kind {
                Kind::VersionDirective(major, minor) => {
                    if seen_version {
                        return self.error("found duplicate %YAML directive");
                    }
                    if (*major, *minor) != (1, 1) {
                        return self.error("found incompatible YAML document");
                    }
                    seen_version = true;
                }
                Kind::TagDirective(tag) => {
                    let handle = tag.handle.clone();
                    let well_known = matches!(&*handle, "!" | "!!");
                    let own = self.handles.insert(handle, tag.rest.clone());
                    if own.is_some() && !well_known {
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
        if let Kind::Alias(name) = self.token.kind {
            self.advance()?;
            let Some(&target) = self.anchors.get(name) else {
                return Err(YamlError::new(
                    0,
                    format!("unknown anchor '{name}' referenced"),
                ));
            };
            return Ok(self.add(line, Content::Alias { name, target }));
        }
        let (anchor, tag) = self.properties()?;
        let decorated = anchor.is_some() || tag.is_some();
        // The place is taken first, so that an anchor is known inside its own
        // node, as an error.
        let place = self.empty(self.token.line);
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, place);
        }
        let content = match &mut self.token.kind {
            Kind::BlockEntry if indentless => self.indentless_sequence()?,
            Kind::Scalar { text, plain } => {
                let implicit = *plain && tag.is_none();
                let text = std::mem::take(text);
                self.advance()?;
                Content::Scalar { text, implicit }
            }
            Kind::FlowSequenceStart => self.flow_sequence()?,
            Kind::FlowMappingStart => self.flow_mapping()?,
            Kind::BlockSequenceStart if block => self.block_sequence()?,
            Kind::BlockMappingStart if block => self.block_mapping()?,
            _ if decorated => Content::Scalar {
                text: Cow::Borrowed(""),
                implicit: tag.is_none(),
            },
            _ => return self.error("did not find expected node content"),
        };
        if let Some(node) = self.nodes.get_mut(place) {
            node.tag = tag.unwrap_or_default();
            node.content = content;
        }
        Ok(place)
    }

    /// An anchor and a tag, in any order.
    fn properties(&mut self) -> Result<(Option<&'a str>, Option<Box<str>>)> {
        let (mut anchor, mut tag) = (None, None);
        loop {
            match &self.token.kind {
                Kind::Anchor(name) if anchor.is_none() => anchor = Some(*name),
                Kind::Tag(found) if tag.is_none() => {
                    let Some(prefix) = self.prefix(&found.handle) else {
                        return self.error("found undefined tag handle");
                    };
                    tag = Some(format!("{prefix}{}", found.rest).into());
                }
                _ => return Ok((anchor, tag)),
            }
            self.advance()?;
        }
    }

    /// What a tag's handle stands for.
    fn prefix(&self, handle: &str) -> Option<&str> {
        match (self.handles.get(handle), handle) {
            (Some(prefix), _) => Some(prefix),
            (None, "") => Some(""),
            (None, "!") => Some("!"),
            (None, "!!") => Some(CORE),
            (None, _) => None,
        }
    }

    fn block_sequence(&mut self) -> Result<Content<'a>> {
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

    fn indentless_sequence(&mut self) -> Result<Content<'a>> {
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

    fn block_mapping(&mut self) -> Result<Content<'a>> {
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

    fn flow_sequence(&mut self) -> Result<Content<'a>> {
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
        Ok(self.add(line, Content::Mapping(vec![(key, value)])))
    }

    fn flow_mapping(&mut self) -> Result<Content<'a>> {
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
}
