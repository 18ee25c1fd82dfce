//! YAML 1.1 text to tokens: block structure from indentation, simple keys
//! recognised after the fact. Accepts and refuses what libyaml does.

mod properties;
mod scalars;

use std::borrow::Cow;
use std::collections::VecDeque;

use super::YamlError;

/// How deep blocks and flow collections may nest.
pub(super) const MAX_NESTING: usize = 200;

/// A token with the line it starts on, counted from 0.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) line: usize,
}

/// What a token is. Texts are parts of the source wherever that is possible.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    StreamEnd,
    VersionDirective(u32, u32),
    TagDirective(Box<Tag>),
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(&'a str),
    Anchor(&'a str),
    Tag(Box<Tag>),
    Scalar { text: Cow<'a, str>, plain: bool },
}

/// A tag, or what a directive says of tags: a handle, and what follows it or
/// what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) handle: String,
    pub(super) rest: String,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    index: usize,
    line: usize,
    column: usize,
}

#[derive(Debug, Clone, Copy)]
struct SimpleKey {
    required: bool,
    token: usize,
    mark: Mark,
}

/// The scanner. [`Scanner::next`] returns one token at a time.
pub(super) struct Scanner<'a> {
    source: &'a str,
    text: &'a [u8],
    mark: Mark,
    tokens: VecDeque<Token<'a>>,
    taken: usize,
    done: bool,
    indent: i64,
    indents: Vec<i64>,
    simple_key_allowed: bool,
    simple_keys: Vec<Option<SimpleKey>>,
    flow_level: usize,
}

type Result<T> = std::result::Result<T, YamlError>;

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            source: text,
            text: text.as_bytes(),
            mark: Mark {
                index: 0,
                line: 0,
                column: 0,
            },
            tokens: VecDeque::new(),
            taken: 0,
            done: false,
            indent: -1,
            indents: Vec::new(),
            simple_key_allowed: true,
            simple_keys: vec![None],
            flow_level: 0,
        }
    }

    /// The next token; after the end of the stream always `StreamEnd`.
    pub(super) fn next(&mut self) -> Result<Token<'a>> {
        self.fetch_more()?;
        if let Some(token) = self.tokens.pop_front() {
            self.taken += 1;
            return Ok(token);
        }
        Ok(self.token(Kind::StreamEnd))
    }

    fn token(&self, kind: Kind<'a>) -> Token<'a> {
        token_at(kind, self.mark)
    }

    /// Scans until the first token is certain: no simple key may still turn
    /// out to start before it.
    fn fetch_more(&mut self) -> Result<()> {
        loop {
            if self.done {
                return Ok(());
            }
            if !self.tokens.is_empty() {
                self.stale_simple_keys()?;
                let first = self.taken;
                let waiting = self.simple_keys.iter().flatten().any(|k| k.token == first);
                if !waiting {
                    return Ok(());
                }
            }
            self.fetch()?;
        }
    }

    fn at(&self, offset: usize) -> u8 {
        self.text
            .get(self.mark.index + offset)
            .copied()
            .unwrap_or(0)
    }

    fn ended(&self) -> bool {
        self.mark.index >= self.text.len()
    }

    fn break_len(&self, offset: usize) -> usize {
        break_len(self.text.get(self.mark.index + offset..).unwrap_or(&[]))
    }

    fn is_break(&self) -> bool {
        self.break_len(0) > 0
    }

    fn is_blank(&self) -> bool {
        matches!(self.at(0), b' ' | b'\t')
    }

    fn is_blankz_at(&self, offset: usize) -> bool {
        self.mark.index + offset >= self.text.len()
            || matches!(self.at(offset), b' ' | b'\t')
            || self.break_len(offset) > 0
    }

    fn is_breakz(&self) -> bool {
        self.ended() || self.is_break()
    }

    /// Moves over one character, which is not a line break.
    fn skip(&mut self) {
        self.mark.index += char_len(self.at(0));
        self.mark.column += 1;
    }

    fn skip_line(&mut self) {
        self.mark.index += self.break_len(0);
        self.mark.column = 0;
        self.mark.line += 1;
    }

    /// Moves over the characters before the next byte that `stop` names, which
    /// is ASCII or begins a character, and over no line break.
    fn skip_until(&mut self, stop: impl Fn(u8) -> bool) {
        let rest = self.text.get(self.mark.index..).unwrap_or(&[]);
        let len = rest.iter().position(|byte| stop(*byte));
        let run = rest.get(..len.unwrap_or(rest.len())).unwrap_or(rest);
        let begins = |byte: &&u8| !matches!(**byte, 0x80..=0xBF);
        self.mark.index += run.len();
        self.mark.column += run.iter().filter(begins).count();
    }

    /// Moves to the end of the line.
    fn skip_to_break(&mut self) {
        loop {
            self.skip_until(begins_break);
            if self.is_breakz() {
                return;
            }
            self.skip();
        }
    }

    /// A part of the source.
    fn part(&self, from: usize, to: usize) -> &'a str {
        self.source.get(from..to).unwrap_or_default()
    }

    /// Moves over a line break, which all read as a newline but for the two
    /// Unicode separators.
    fn read_line(&mut self) -> &'a str {
        let start = self.mark.index;
        let text = match self.break_len(0) {
            0 => return "",
            3 => self.part(start, start + 3),
            _ => "\n",
        };
        self.skip_line();
        text
    }

    /// An error here. The first line is not named, as in go-yaml.
    fn error<T>(&self, message: &str) -> Result<T> {
        let line = match self.mark.line {
            0 => 0,
            line => line + 1,
        };
        Err(YamlError::new(line, message))
    }

    fn document_indicator(&self) -> bool {
        self.mark.column == 0
            && matches!(
                (self.at(0), self.at(1), self.at(2)),
                (b'-', b'-', b'-') | (b'.', b'.', b'.')
            )
            && self.is_blankz_at(3)
    }

    fn fetch(&mut self) -> Result<()> {
        self.skip_to_token();
        self.stale_simple_keys()?;
        self.unroll_indent(i64::try_from(self.mark.column).unwrap_or(i64::MAX));
        if self.ended() {
            return self.fetch_stream_end();
        }
        if self.mark.column == 0 && self.at(0) == b'%' {
            return self.fetch_directive();
        }
        if self.document_indicator() {
            let kind = if self.at(0) == b'-' {
                Kind::DocumentStart
            } else {
                Kind::DocumentEnd
            };
            return self.fetch_document_indicator(kind);
        }
        let in_flow = self.flow_level > 0;
        match self.at(0) {
            b'[' => self.fetch_flow_start(Kind::FlowSequenceStart),
            b'{' => self.fetch_flow_start(Kind::FlowMappingStart),
            b']' => self.fetch_flow_end(Kind::FlowSequenceEnd),
            b'}' => self.fetch_flow_end(Kind::FlowMappingEnd),
            b',' => self.fetch_flow_entry(),
            b'-' if self.is_blankz_at(1) => self.fetch_block_entry(),
            b'?' if in_flow || self.is_blankz_at(1) => self.fetch_key(),
            b':' if in_flow || self.is_blankz_at(1) => self.fetch_value(),
            b'*' => self.fetch_anchor(true),
            b'&' => self.fetch_anchor(false),
            b'!' => self.fetch_tag(),
            b'|' if !in_flow => self.fetch_block_scalar(true),
            b'>' if !in_flow => self.fetch_block_scalar(false),
            b'\'' => self.fetch_quoted(true),
            b'"' => self.fetch_quoted(false),
            b'#' | b'%' | b'@' | b'`' | b'|' | b'>' | b'\t' => self.no_token(),
            _ => self.fetch_plain(),
        }
    }

    fn no_token(&self) -> Result<()> {
        self.error("found character that cannot start any token")
    }

    fn skip_to_token(&mut self) {
        loop {
            if self.mark.index == 0 && self.text.starts_with("\u{feff}".as_bytes()) {
                self.mark.index += 3;
            }
            // A tab may not stand where a simple key could start: it would
            // be indentation.
            while self.at(0) == b' '
                || (self.flow_level > 0 || !self.simple_key_allowed) && self.at(0) == b'\t'
            {
                self.skip();
            }
            if self.at(0) == b'#' {
                self.skip_to_break();
            }
            if self.is_break() {
                self.skip_line();
                if self.flow_level == 0 {
                    self.simple_key_allowed = true;
                }
            } else {
                return;
            }
        }
    }

    fn stale_simple_keys(&mut self) -> Result<()> {
        let mark = self.mark;
        let mut missing = false;
        for slot in &mut self.simple_keys {
            if let Some(key) = slot
                && (key.mark.line < mark.line || key.mark.index + 1024 < mark.index)
            {
                missing |= key.required;
                *slot = None;
            }
        }
        if missing {
            return self.error("could not find expected ':'");
        }
        Ok(())
    }

    fn save_simple_key(&mut self) -> Result<()> {
        let required = self.flow_level == 0
            && self.indent == i64::try_from(self.mark.column).unwrap_or(i64::MAX);
        if self.simple_key_allowed {
            let key = SimpleKey {
                required,
                token: self.taken + self.tokens.len(),
                mark: self.mark,
            };
            self.remove_simple_key()?;
            if let Some(slot) = self.simple_keys.last_mut() {
                *slot = Some(key);
            }
        }
        Ok(())
    }

    fn remove_simple_key(&mut self) -> Result<()> {
        let Some(slot) = self.simple_keys.last_mut() else {
            return Ok(());
        };
        match slot.take() {
            Some(key) if key.required => self.error("could not find expected ':'"),
            _ => Ok(()),
        }
    }

    fn roll_indent(
        &mut self,
        column: i64,
        number: Option<usize>,
        kind: Kind<'a>,
        mark: Mark,
    ) -> Result<()> {
        if self.flow_level > 0 || self.indent >= column {
            return Ok(());
        }
        self.indents.push(self.indent);
        self.indent = column;
        if self.indents.len() > MAX_NESTING {
            return self.error(&format!("exceeded max depth of {MAX_NESTING}"));
        }
        let token = token_at(kind, mark);
        match number {
            Some(number) => {
                let place = number.saturating_sub(self.taken).min(self.tokens.len());
                self.tokens.insert(place, token);
            }
            None => self.tokens.push_back(token),
        }
        Ok(())
    }

    fn unroll_indent(&mut self, column: i64) {
        if self.flow_level > 0 {
            return;
        }
        while self.indent > column {
            let token = self.token(Kind::BlockEnd);
            self.tokens.push_back(token);
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn push(&mut self, kind: Kind<'a>) {
        let token = self.token(kind);
        self.tokens.push_back(token);
    }

    fn fetch_stream_end(&mut self) -> Result<()> {
        if self.mark.column != 0 {
            self.mark.column = 0;
            self.mark.line += 1;
        }
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.push(Kind::StreamEnd);
        self.done = true;
        Ok(())
    }

    fn fetch_document_indicator(&mut self, kind: Kind<'a>) -> Result<()> {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark;
        for _ in 0..3 {
            self.skip();
        }
        self.tokens.push_back(token_at(kind, mark));
        Ok(())
    }

    fn fetch_flow_start(&mut self, kind: Kind<'a>) -> Result<()> {
        self.save_simple_key()?;
        self.simple_keys.push(None);
        self.flow_level += 1;
        if self.flow_level > MAX_NESTING {
            return self.error(&format!("exceeded max depth of {MAX_NESTING}"));
        }
        self.simple_key_allowed = true;
        self.push(kind);
        self.skip();
        Ok(())
    }

    fn fetch_flow_end(&mut self, kind: Kind<'a>) -> Result<()> {
        self.remove_simple_key()?;
        if self.flow_level > 0 {
            self.flow_level -= 1;
            self.simple_keys.pop();
        }
        self.simple_key_allowed = false;
        self.push(kind);
        self.skip();
        Ok(())
    }

    fn fetch_flow_entry(&mut self) -> Result<()> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.push(Kind::FlowEntry);
        self.skip();
        Ok(())
    }

    fn column(&self) -> i64 {
        i64::try_from(self.mark.column).unwrap_or(i64::MAX)
    }

    fn fetch_block_entry(&mut self) -> Result<()> {
        if self.flow_level == 0 {
            if !self.simple_key_allowed {
                return self.error("block sequence entries are not allowed in this context");
            }
            self.roll_indent(self.column(), None, Kind::BlockSequenceStart, self.mark)?;
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.push(Kind::BlockEntry);
        self.skip();
        Ok(())
    }

    fn fetch_key(&mut self) -> Result<()> {
        if self.flow_level == 0 {
            if !self.simple_key_allowed {
                return self.error("mapping keys are not allowed in this context");
            }
            self.roll_indent(self.column(), None, Kind::BlockMappingStart, self.mark)?;
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = self.flow_level == 0;
        self.push(Kind::Key);
        self.skip();
        Ok(())
    }

    fn fetch_value(&mut self) -> Result<()> {
        let key = self.simple_keys.last_mut().and_then(Option::take);
        if let Some(key) = key {
            let place = key.token.saturating_sub(self.taken).min(self.tokens.len());
            self.tokens.insert(place, token_at(Kind::Key, key.mark));
            let column = i64::try_from(key.mark.column).unwrap_or(i64::MAX);
            self.roll_indent(column, Some(key.token), Kind::BlockMappingStart, key.mark)?;
            self.simple_key_allowed = false;
        } else {
            if self.flow_level == 0 {
                if !self.simple_key_allowed {
                    return self.error("mapping values are not allowed in this context");
                }
                self.roll_indent(self.column(), None, Kind::BlockMappingStart, self.mark)?;
            }
            self.simple_key_allowed = self.flow_level == 0;
        }
        self.push(Kind::Value);
        self.skip();
        Ok(())
    }
}

fn token_at(kind: Kind<'_>, mark: Mark) -> Token<'_> {
    Token {
        kind,
        line: mark.line,
    }
}

/// The length of the line break that the text begins with, or 0.
pub(super) fn break_len(text: &[u8]) -> usize {
    match text {
        [b'\r', b'\n', ..] | [0xC2, 0x85, ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        [0xE2, 0x80, 0xA8 | 0xA9, ..] => 3,
        _ => 0,
    }
}

/// Whether a line break may begin with this byte.
fn begins_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0xC2 | 0xE2)
}

fn char_len(first: u8) -> usize {
    match first {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xFF => 4,
        _ => 1,
    }
}
