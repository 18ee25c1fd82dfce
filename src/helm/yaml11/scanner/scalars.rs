//! Scalars: block, quoted and plain, with their folding of lines.

use std::borrow::Cow;
use std::ops::Range;

use super::{Kind, Mark, Result, Scanner, begins_break, token_at};

impl<'a> Scanner<'a> {
    fn push_scalar(&mut self, text: Cow<'a, str>, plain: bool, mark: Mark) {
        self.tokens
            .push_back(token_at(Kind::Scalar { text, plain }, mark));
    }

    pub(super) fn fetch_block_scalar(&mut self, literal: bool) -> Result<()> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        let mark = self.mark;
        self.skip();
        let (chomp, increment) = self.block_header()?;
        let mut indent = match increment {
            0 => 0,
            n => n + self.indent.max(0),
        };
        let (mut out, mut lead, mut trail) = (String::new(), "", String::new());
        self.block_breaks(&mut indent, &mut trail)?;
        let mut lead_blank = false;
        while self.column() == indent && !self.ended() {
            let trail_blank = self.is_blank();
            let foldable = lead.starts_with('\n');
            if !literal && !lead_blank && !trail_blank && foldable {
                if trail.is_empty() {
                    out.push(' ');
                }
            } else {
                out.push_str(lead);
            }
            out.push_str(&trail);
            trail.clear();
            lead_blank = trail_blank;
            let start = self.mark.index;
            self.skip_to_break();
            out.push_str(self.part(start, self.mark.index));
            lead = self.read_line();
            self.block_breaks(&mut indent, &mut trail)?;
        }
        if chomp != Chomp::Strip {
            out.push_str(lead);
        }
        if chomp == Chomp::Keep {
            out.push_str(&trail);
        }
        self.push_scalar(Cow::Owned(out), false, mark);
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
            self.skip_to_break();
        }
        if !self.is_breakz() {
            return self.error("did not find expected comment or line break");
        }
        if self.is_break() {
            self.skip_line();
        }
        Ok((chomp, increment))
    }

    fn block_breaks(&mut self, indent: &mut i64, breaks: &mut String) -> Result<()> {
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
            breaks.push_str(self.read_line());
        }
        if *indent == 0 {
            *indent = widest.max(self.indent + 1).max(1);
        }
        Ok(())
    }

    pub(super) fn fetch_quoted(&mut self, single: bool) -> Result<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark;
        self.skip();
        let mut out = Gathered::of(self.source);
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
            let gap = self.gap(escaped_break, None)?;
            out.join(&gap);
        }
        self.skip();
        self.push_scalar(out.finish(), false, mark);
        Ok(())
    }

    /// Reads up to a blank, a break or the closing quote. Returns whether an
    /// escaped line break ended the run.
    fn quoted_run(&mut self, single: bool, out: &mut Gathered<'a>) -> Result<bool> {
        loop {
            let start = self.mark.index;
            self.skip_until(|byte| {
                matches!(byte, b' ' | b'\t' | b'\'' | b'"' | b'\\') || begins_break(byte)
            });
            out.run(start..self.mark.index);
            if self.is_blankz_at(0) {
                return Ok(false);
            }
            let start = self.mark.index;
            match (single, self.at(0), self.at(1)) {
                (true, b'\'', b'\'') => {
                    out.run(start..start + 1);
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
                    let c = self.escape()?;
                    out.push(c.encode_utf8(&mut [0; 4]));
                }
                _ => {
                    self.skip();
                    out.run(start..self.mark.index);
                }
            }
        }
    }

    /// The character that an escape stands for.
    fn escape(&mut self) -> Result<char> {
        let (digits, c) = match self.at(1) {
            b'0' => (0, '\0'),
            b'a' => (0, '\u{7}'),
            b'b' => (0, '\u{8}'),
            b't' | b'\t' => (0, '\t'),
            b'n' => (0, '\n'),
            b'v' => (0, '\u{b}'),
            b'f' => (0, '\u{c}'),
            b'r' => (0, '\r'),
            b'e' => (0, '\u{1b}'),
            b' ' => (0, ' '),
            b'"' => (0, '"'),
            b'\'' => (0, '\''),
            b'\\' => (0, '\\'),
            b'N' => (0, '\u{85}'),
            b'_' => (0, '\u{a0}'),
            b'L' => (0, '\u{2028}'),
            b'P' => (0, '\u{2029}'),
            b'x' => (2, '\0'),
            b'u' => (4, '\0'),
            b'U' => (8, '\0'),
            _ => return self.error("found unknown escape character"),
        };
        self.skip();
        self.skip();
        if digits == 0 {
            return Ok(c);
        }
        let mut code = 0_u32;
        for _ in 0..digits {
            let Some(digit) = char::from(self.at(0)).to_digit(16) else {
                return self.error("did not find expected hexdecimal number");
            };
            code = code.wrapping_mul(16).wrapping_add(digit);
            self.skip();
        }
        match char::from_u32(code) {
            Some(c) => Ok(c),
            None => self.error("found invalid Unicode character escape code"),
        }
    }

    pub(super) fn fetch_plain(&mut self) -> Result<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark;
        let indent = self.indent + 1;
        let mut out = Gathered::of(self.source);
        let mut gap = Gap::default();
        loop {
            if self.document_indicator() || self.at(0) == b'#' {
                break;
            }
            let start = self.mark.index;
            self.skip_plain();
            if self.mark.index > start {
                out.join(&gap);
                out.run(start..self.mark.index);
                gap = Gap::default();
            }
            if !(self.is_blank() || self.is_break()) {
                break;
            }
            gap = self.gap(false, Some(indent))?;
            if self.flow_level == 0 && self.column() < indent {
                break;
            }
        }
        self.push_scalar(out.finish(), true, mark);
        if gap.breaks {
            self.simple_key_allowed = true;
        }
        Ok(())
    }

    /// Moves over the part of a plain scalar before a blank or a break.
    fn skip_plain(&mut self) {
        loop {
            self.skip_until(|byte| {
                matches!(
                    byte,
                    b' ' | b'\t' | b':' | b',' | b'?' | b'[' | b']' | b'{' | b'}'
                ) || begins_break(byte)
            });
            if self.is_blankz_at(0) || self.plain_ends() {
                return;
            }
            self.skip();
        }
    }

    fn plain_ends(&self) -> bool {
        match self.at(0) {
            b':' => self.is_blankz_at(1),
            b',' | b'?' | b'[' | b']' | b'{' | b'}' => self.flow_level > 0,
            _ => false,
        }
    }

    /// Moves over blanks and breaks inside a scalar. `breaks`: a break came
    /// before. With `indent`, a tab may not stand before that column.
    fn gap(&mut self, breaks: bool, indent: Option<i64>) -> Result<Gap<'a>> {
        let start = self.mark.index;
        let mut gap = Gap {
            blanks: start..start,
            breaks,
            first: "",
            rest: String::new(),
        };
        loop {
            if self.is_blank() {
                let early = indent.is_some_and(|indent| self.column() < indent);
                if gap.breaks && early && self.at(0) == b'\t' {
                    return self.error("found a tab character that violates indentation");
                }
                self.skip();
                if !gap.breaks {
                    gap.blanks.end = self.mark.index;
                }
            } else if !self.is_break() {
                return Ok(gap);
            } else if gap.breaks {
                gap.rest.push_str(self.read_line());
            } else {
                gap.first = self.read_line();
                gap.breaks = true;
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chomp {
    Clip,
    Strip,
    Keep,
}

/// The white space between two runs of a scalar.
#[derive(Debug, Default)]
struct Gap<'a> {
    /// Where the blanks before any break stand in the source.
    blanks: Range<usize>,
    breaks: bool,
    first: &'a str,
    rest: String,
}

/// A scalar's text: a part of the source as long as it is one piece.
struct Gathered<'a> {
    source: &'a str,
    piece: Range<usize>,
    own: Option<String>,
}

impl<'a> Gathered<'a> {
    fn of(source: &'a str) -> Self {
        Self {
            source,
            piece: 0..0,
            own: None,
        }
    }

    /// Adds a part of the source.
    fn run(&mut self, part: Range<usize>) {
        match &mut self.own {
            None if self.piece.is_empty() => self.piece = part,
            None if self.piece.end == part.start => self.piece.end = part.end,
            _ => self.push(self.source.get(part).unwrap_or_default()),
        }
    }

    /// Adds text that is not in the source.
    fn push(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let piece = || self.source.get(self.piece.clone()).unwrap_or_default();
        self.own
            .get_or_insert_with(|| piece().to_owned())
            .push_str(text);
    }

    /// Joins what follows with what is there: one break is a blank, more are
    /// themselves.
    fn join(&mut self, gap: &Gap<'_>) {
        if !gap.breaks {
            self.run(gap.blanks.clone());
        } else if gap.first != "\n" {
            self.push(gap.first);
            self.push(&gap.rest);
        } else if gap.rest.is_empty() {
            self.push(" ");
        } else {
            self.push(&gap.rest);
        }
    }

    fn finish(self) -> Cow<'a, str> {
        match self.own {
            Some(own) => Cow::Owned(own),
            None => Cow::Borrowed(self.source.get(self.piece).unwrap_or_default()),
        }
    }
}
