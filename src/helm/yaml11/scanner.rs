//! YAML 1.1 text to tokens: block structure from indentation, simple keys
//! recognised after the fact. Accepts and refuses what libyaml does.

use std::collections::VecDeque;

use super::YamlError;

/// How deep blocks and flow collections may nest.
pub(super) const MAX_NESTING: usize = 200;

/// A token with the line it starts on, counted from 0.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    StreamEnd,
    VersionDirective(u32, u32),
    TagDirective(String, String),
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
    Alias(String),
    Anchor(String),
    Tag(String, String),
    Scalar { text: String, plain: bool },
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
    text: &'a [u8],
    mark: Mark,
    tokens: VecDeque<Token>,
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
    pub(super) fn next(&mut self) -> Result<Token> {
        self.fetch_more()?;
        if let Some(token) = self.tokens.pop_front() {
            self.taken += 1;
            return Ok(token);
        }
        Ok(self.token(Kind::StreamEnd))
    }

    fn token(&self, kind: Kind) -> Token {
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

    fn read(&mut self, out: &mut Vec<u8>) {
        let len = char_len(self.at(0));
        let end = (self.mark.index + len).min(self.text.len());
        out.extend_from_slice(self.text.get(self.mark.index..end).unwrap_or(&[]));
        self.skip();
    }

    /// Moves over a line break, which all read as a newline but for the two
    /// Unicode separators.
    fn read_line(&mut self, out: &mut Vec<u8>) {
        if self.at(0) == 0xE2 {
            let end = self.mark.index + 3;
            out.extend_from_slice(self.text.get(self.mark.index..end).unwrap_or(&[]));
        } else if self.is_break() {
            out.push(b'\n');
        }
        if self.is_break() {
            self.skip_line();
        }
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
                while !self.is_breakz() {
                    self.skip();
                }
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
        kind: Kind,
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

    fn push(&mut self, kind: Kind) {
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

    fn fetch_directive(&mut self) -> Result<()> {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark;
        self.skip();
        let name = self.word(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-');
        if name.is_empty() {
            return self.error("could not find expected directive name");
        }
        if !self.is_blankz_at(0) {
            return self.error("found unexpected non-alphabetical character");
        }
        let kind = match name.as_str() {
            "YAML" => self.version_directive()?,
            "TAG" => self.tag_directive()?,
            _ => return self.error("found unknown directive name"),
        };
        self.skip_blanks();
        if self.at(0) == b'#' {
            while !self.is_breakz() {
                self.skip();
            }
        }
        if !self.is_breakz() {
            return self.error("did not find expected comment or line break");
        }
        if self.is_break() {
            self.skip_line();
        }
        self.tokens.push_back(token_at(kind, mark));
        Ok(())
    }

    fn skip_blanks(&mut self) {
        while self.is_blank() {
            self.skip();
        }
    }

    fn word(&mut self, accept: impl Fn(u8) -> bool) -> String {
        let mut out = Vec::new();
        while !self.ended() && accept(self.at(0)) {
            self.read(&mut out);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn version_directive(&mut self) -> Result<Kind> {
        self.skip_blanks();
        let major = self.version_number()?;
        if self.at(0) != b'.' {
            return self.error("did not find expected digit or '.' character");
        }
        self.skip();
        let minor = self.version_number()?;
        Ok(Kind::VersionDirective(major, minor))
    }

    fn version_number(&mut self) -> Result<u32> {
        let digits = self.word(|c| c.is_ascii_digit());
        if digits.len() > 2 {
            return self.error("found extremely long version number");
        }
        match digits.parse() {
            Ok(n) => Ok(n),
            Err(_) => self.error("did not find expected version number"),
        }
    }

    fn tag_directive(&mut self) -> Result<Kind> {
        self.skip_blanks();
        let handle = self.tag_handle(true)?;
        if !self.is_blank() {
            return self.error("did not find expected whitespace");
        }
        self.skip_blanks();
        let prefix = self.tag_uri("")?;
        if !self.is_blankz_at(0) {
            return self.error("did not find expected whitespace or line break");
        }
        Ok(Kind::TagDirective(handle, prefix))
    }

    fn fetch_document_indicator(&mut self, kind: Kind) -> Result<()> {
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

    fn fetch_flow_start(&mut self, kind: Kind) -> Result<()> {
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

    fn fetch_flow_end(&mut self, kind: Kind) -> Result<()> {
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

    fn fetch_anchor(&mut self, alias: bool) -> Result<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark;
        self.skip();
        let name = self.word(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-');
        let follows = self.is_blankz_at(0)
            || matches!(
                self.at(0),
                b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`'
            );
        if name.is_empty() || !follows {
            return self.error("did not find expected alphabetic or numeric character");
        }
        let kind = if alias {
            Kind::Alias(name)
        } else {
            Kind::Anchor(name)
        };
        self.tokens.push_back(token_at(kind, mark));
        Ok(())
    }

    fn fetch_tag(&mut self) -> Result<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark;
        let (handle, suffix) = if self.at(1) == b'<' {
            self.skip();
            self.skip();
            let uri = self.tag_uri("")?;
            if self.at(0) != b'>' {
                return self.error("did not find the expected '>'");
            }
            self.skip();
            (String::new(), uri)
        } else {
            let handle = self.tag_handle(false)?;
            if handle.len() > 1 && handle.ends_with('!') {
                let suffix = self.tag_uri("")?;
                (handle, suffix)
            } else {
                let suffix = self.tag_uri(&handle)?;
                if suffix.is_empty() {
                    (String::new(), "!".to_owned())
                } else {
                    ("!".to_owned(), suffix)
                }
            }
        };
        if !self.is_blankz_at(0) {
            return self.error("did not find expected whitespace or line break");
        }
        self.tokens
            .push_back(token_at(Kind::Tag(handle, suffix), mark));
        Ok(())
    }

    fn tag_handle(&mut self, directive: bool) -> Result<String> {
        if self.at(0) != b'!' {
            return self.error("did not find expected '!'");
        }
        self.skip();
        let mut handle = "!".to_owned();
        handle.push_str(&self.word(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-'));
        if self.at(0) == b'!' {
            self.skip();
            handle.push('!');
        } else if directive && handle != "!" {
            return self.error("did not find expected '!'");
        }
        Ok(handle)
    }

    /// A tag's URI. `head` is a handle that turned out to be part of it.
    fn tag_uri(&mut self, head: &str) -> Result<String> {
        let mut out: Vec<u8> = head.bytes().skip(1).collect();
        let had_head = !head.is_empty();
        while !self.ended()
            && (self.at(0).is_ascii_alphanumeric()
                || b"_-;/?:@&=+$,.!~*'()[]%".contains(&self.at(0)))
        {
            if self.at(0) == b'%' {
                let digits = [self.at(1), self.at(2)];
                let byte = std::str::from_utf8(&digits)
                    .ok()
                    .and_then(|d| u8::from_str_radix(d, 16).ok());
                let Some(byte) = byte else {
                    return self.error("did not find URI escaped octet");
                };
                out.push(byte);
                for _ in 0..3 {
                    self.skip();
                }
            } else {
                self.read(&mut out);
            }
        }
        if out.is_empty() && !had_head {
            return self.error("did not find expected tag URI");
        }
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn push_scalar(&mut self, text: &[u8], plain: bool, mark: Mark) {
        let text = String::from_utf8_lossy(text).into_owned();
        self.tokens
            .push_back(token_at(Kind::Scalar { text, plain }, mark));
    }

    fn fetch_block_scalar(&mut self, literal: bool) -> Result<()> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        let mark = self.mark;
        self.skip();
        let (chomp, increment) = self.block_header()?;
        let mut indent = match increment {
            0 => 0,
            n => n + self.indent.max(0),
        };
        let (mut out, mut lead, mut trail) = (Vec::new(), Vec::new(), Vec::new());
        self.block_breaks(&mut indent, &mut trail)?;
        let mut lead_blank = false;
        while self.column() == indent && !self.ended() {
            let trail_blank = self.is_blank();
            let foldable = lead.first() == Some(&b'\n');
            if !literal && !lead_blank && !trail_blank && foldable {
                if trail.is_empty() {
                    out.push(b' ');
                }
            } else {
                out.extend_from_slice(&lead);
            }
            lead.clear();
            out.append(&mut trail);
            lead_blank = self.is_blank();
            while !self.is_breakz() {
                self.read(&mut out);
            }
            self.read_line(&mut lead);
            self.block_breaks(&mut indent, &mut trail)?;
        }
        if chomp != Chomp::Strip {
            out.extend_from_slice(&lead);
        }
        if chomp == Chomp::Keep {
            out.extend_from_slice(&trail);
        }
        self.push_scalar(&out, false, mark);
        Ok(())
    }

    fn block_header(&mut self) -> Result<(Chomp, i64)> {
        let (mut chomp, mut increment) = (Chomp::Clip, 0);
        for _ in 0..2 {
            match self.at(0) {
                sign @ (b'+' | b'-') if chomp == Chomp::Clip => {
                    chomp = if sign == b'+' {
                        Chomp::Keep
                    } else {
                        Chomp::Strip
                    };
                    self.skip();
                }
                b'0' if increment == 0 => {
                    return self.error("found an indentation indicator equal to 0");
                }
                digit @ b'1'..=b'9' if increment == 0 => {
                    increment = i64::from(digit - b'0');
                    self.skip();
                }
                _ => {}
            }
        }
        self.skip_blanks();
        if self.at(0) == b'#' {
            while !self.is_breakz() {
                self.skip();
            }
        }
        if !self.is_breakz() {
            return self.error("did not find expected comment or line break");
        }
        if self.is_break() {
            self.skip_line();
        }
        Ok((chomp, increment))
    }

    fn block_breaks(&mut self, indent: &mut i64, breaks: &mut Vec<u8>) -> Result<()> {
        let mut widest = 0;
        loop {
            while (*indent == 0 || self.column() < *indent) && self.at(0) == b' ' {
                self.skip();
            }
            widest = widest.max(self.column());
            if (*indent == 0 || self.column() < *indent) && self.at(0) == b'\t' {
                return self.error("found a tab character where an indentation space is expected");
            }
            if !self.is_break() {
                break;
            }
            self.read_line(breaks);
        }
        if *indent == 0 {
            *indent = widest.max(self.indent + 1).max(1);
        }
        Ok(())
    }

    fn fetch_quoted(&mut self, single: bool) -> Result<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark;
        self.skip();
        let mut out = Vec::new();
        loop {
            if self.document_indicator() {
                return self.error("found unexpected document indicator");
            }
            if self.ended() {
                return self.error("found unexpected end of stream");
            }
            let escaped_break = self.quoted_run(single, &mut out)?;
            let quote = if single { b'\'' } else { b'"' };
            if !escaped_break && self.at(0) == quote {
                break;
            }
            self.quoted_blanks(escaped_break, &mut out);
        }
        self.skip();
        self.push_scalar(&out, false, mark);
        Ok(())
    }

    /// Reads up to a blank, a break or the closing quote. Returns whether an
    /// escaped line break ended the run.
    fn quoted_run(&mut self, single: bool, out: &mut Vec<u8>) -> Result<bool> {
        while !self.is_blankz_at(0) {
            match (single, self.at(0), self.at(1)) {
                (true, b'\'', b'\'') => {
                    out.push(b'\'');
                    self.skip();
                    self.skip();
                }
                (true, b'\'', _) | (false, b'"', _) => return Ok(false),
                (false, b'\\', _) => {
                    if self.break_len(1) > 0 {
                        self.skip();
                        self.skip_line();
                        return Ok(true);
                    }
                    self.escape(out)?;
                }
                _ => self.read(out),
            }
        }
        Ok(false)
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let digits = match self.at(1) {
            b'0' => return self.escaped(out, "\0"),
            b'a' => return self.escaped(out, "\u{7}"),
            b'b' => return self.escaped(out, "\u{8}"),
            b't' | b'\t' => return self.escaped(out, "\t"),
            b'n' => return self.escaped(out, "\n"),
            b'v' => return self.escaped(out, "\u{b}"),
            b'f' => return self.escaped(out, "\u{c}"),
            b'r' => return self.escaped(out, "\r"),
            b'e' => return self.escaped(out, "\u{1b}"),
            b' ' => return self.escaped(out, " "),
            b'"' => return self.escaped(out, "\""),
            b'\'' => return self.escaped(out, "'"),
            b'\\' => return self.escaped(out, "\\"),
            b'N' => return self.escaped(out, "\u{85}"),
            b'_' => return self.escaped(out, "\u{a0}"),
            b'L' => return self.escaped(out, "\u{2028}"),
            b'P' => return self.escaped(out, "\u{2029}"),
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            _ => return self.error("found unknown escape character"),
        };
        self.skip();
        self.skip();
        let mut code = 0_u32;
        for _ in 0..digits {
            let Some(digit) = char::from(self.at(0)).to_digit(16) else {
                return self.error("did not find expected hexdecimal number");
            };
            code = code.wrapping_mul(16).wrapping_add(digit);
            self.skip();
        }
        let Some(c) = char::from_u32(code) else {
            return self.error("found invalid Unicode character escape code");
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "each arm of escape() returns it")]
    fn escaped(&mut self, out: &mut Vec<u8>, text: &str) -> Result<()> {
        out.extend_from_slice(text.as_bytes());
        self.skip();
        self.skip();
        Ok(())
    }

    fn quoted_blanks(&mut self, escaped_break: bool, out: &mut Vec<u8>) {
        let mut leading = escaped_break;
        let (mut blanks, mut first, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        while self.is_blank() || self.is_break() {
            if self.is_blank() {
                if leading {
                    self.skip();
                } else {
                    self.read(&mut blanks);
                }
            } else if leading {
                self.read_line(&mut rest);
            } else {
                blanks.clear();
                self.read_line(&mut first);
                leading = true;
            }
        }
        if leading {
            join_lines(out, &first, &rest);
        } else {
            out.extend_from_slice(&blanks);
        }
    }

    fn fetch_plain(&mut self) -> Result<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark;
        let indent = self.indent + 1;
        let mut out = Vec::new();
        let (mut blanks, mut first, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        let mut leading = false;
        loop {
            if self.document_indicator() || self.at(0) == b'#' {
                break;
            }
            while !self.is_blankz_at(0) && !self.plain_ends() {
                if leading {
                    join_lines(&mut out, &first, &rest);
                    first.clear();
                    rest.clear();
                    leading = false;
                }
                out.append(&mut blanks);
                self.read(&mut out);
            }
            if !(self.is_blank() || self.is_break()) {
                break;
            }
            while self.is_blank() || self.is_break() {
                if self.is_blank() {
                    if leading && self.column() < indent && self.at(0) == b'\t' {
                        return self.error("found a tab character that violates indentation");
                    }
                    if leading {
                        self.skip();
                    } else {
                        self.read(&mut blanks);
                    }
                } else if leading {
                    self.read_line(&mut rest);
                } else {
                    blanks.clear();
                    self.read_line(&mut first);
                    leading = true;
                }
            }
            if self.flow_level == 0 && self.column() < indent {
                break;
            }
        }
        self.push_scalar(&out, true, mark);
        if leading {
            self.simple_key_allowed = true;
        }
        Ok(())
    }

    fn plain_ends(&self) -> bool {
        match self.at(0) {
            b':' => self.is_blankz_at(1),
            b',' | b'?' | b'[' | b']' | b'{' | b'}' => self.flow_level > 0,
            _ => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chomp {
    Clip,
    Strip,
    Keep,
}

fn token_at(kind: Kind, mark: Mark) -> Token {
    Token {
        kind,
        line: mark.line,
    }
}

/// Joins two lines of a scalar: one break is a blank, more are themselves.
fn join_lines(out: &mut Vec<u8>, first: &[u8], rest: &[u8]) {
    if first.first() == Some(&b'\n') {
        if rest.is_empty() {
            out.push(b' ');
        } else {
            out.extend_from_slice(rest);
        }
    } else {
        out.extend_from_slice(first);
        out.extend_from_slice(rest);
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

fn char_len(first: u8) -> usize {
    match first {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xFF => 4,
        _ => 1,
    }
}
