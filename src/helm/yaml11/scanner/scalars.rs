//! Scalars: block, quoted and plain, with their folding of lines.

use super::{Kind, Mark, Result, Scanner, token_at};

impl Scanner<'_> {
    fn push_scalar(&mut self, text: &[u8], plain: bool, mark: Mark) {
        let text = String::from_utf8_lossy(text).into_owned();
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

    pub(super) fn fetch_quoted(&mut self, single: bool) -> Result<()> {
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

    pub(super) fn fetch_plain(&mut self) -> Result<()> {
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
