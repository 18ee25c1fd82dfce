//! Template text to tokens, as `text/template/parse` cuts it.

use super::ast::Pos;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    Bool,
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Bar,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Dot,
    Nil,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

impl Kind {
    fn keyword(word: &str) -> Option<Self> {
        Some(match word {
            "block" => Self::Block,
            "break" => Self::Break,
            "continue" => Self::Continue,
            "define" => Self::Define,
            "else" => Self::Else,
            "end" => Self::End,
            "if" => Self::If,
            "range" => Self::Range,
            "nil" => Self::Nil,
            "template" => Self::Template,
            "with" => Self::With,
            "true" | "false" => Self::Bool,
            _ => return None,
        })
    }

    fn is_keyword(self) -> bool {
        matches!(
            self,
            Self::Dot
                | Self::Nil
                | Self::Block
                | Self::Break
                | Self::Continue
                | Self::Define
                | Self::Else
                | Self::End
                | Self::If
                | Self::Range
                | Self::Template
                | Self::With
        )
    }
}

/// A token: its text, or for an error the message.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) pos: Pos,
    pub(super) end: Pos,
    pub(super) error: Option<String>,
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    pos: usize,
    start: usize,
    inside: bool,
    parens: usize,
    failed: bool,
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii() && c.is_alphanumeric()
}

/// A character as `%#U` shows it.
fn shown(c: Option<char>) -> String {
    match c {
        None => "U+FFFFFFFFFFFFFFFF".to_owned(),
        Some(c) if crate::helm::gofmt::is_printable(c) => {
            format!("U+{:04X} '{c}'", u32::from(c))
        }
        Some(c) => format!("U+{:04X}", u32::from(c)),
    }
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            pos: 0,
            start: 0,
            inside: false,
            parens: 0,
            failed: false,
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.pos..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, set: &str) -> bool {
        match self.peek() {
            Some(c) if set.contains(c) => {
                self.bump();
                true
            }
            _ => false,
        }
    }

    fn accept_run(&mut self, set: &str) {
        while self.accept(set) {}
    }

    fn ignore(&mut self) {
        self.start = self.pos;
    }

    fn emit(&mut self, kind: Kind) -> Token {
        let token = Token {
            kind,
            pos: offset(self.start),
            end: offset(self.pos),
            error: None,
        };
        self.start = self.pos;
        token
    }

    fn error(&mut self, message: impl Into<String>) -> Token {
        self.failed = true;
        Token {
            kind: Kind::Error,
            pos: offset(self.start),
            end: offset(self.start),
            error: Some(message.into()),
        }
    }

    /// The next token. After an error or the end, `Eof` forever.
    pub(super) fn next(&mut self) -> Token {
        if self.failed {
            self.start = self.text.len();
            self.pos = self.start;
            return self.emit(Kind::Eof);
        }
        if self.inside {
            self.action()
        } else {
            self.outside()
        }
    }

    fn outside(&mut self) -> Token {
        loop {
            let Some(at) = self.rest().find(LEFT) else {
                self.pos = self.text.len();
                let kind = if self.pos > self.start {
                    Kind::Text
                } else {
                    Kind::Eof
                };
                return self.emit(kind);
            };
            if at > 0 {
                let delim = self.pos + at;
                let text = self.text.get(self.start..delim).unwrap_or("");
                let kept = if left_trim(self.text.get(delim + 2..).unwrap_or("")) {
                    text.trim_end_matches(is_space)
                } else {
                    text
                };
                self.pos = self.start + kept.len();
                let token = self.emit(Kind::Text);
                self.pos = delim;
                self.ignore();
                if !kept.is_empty() {
                    return token;
                }
            }
            let after = self.text.get(self.pos + 2..).unwrap_or("");
            let marker = if left_trim(after) { 4 } else { 2 };
            if self
                .text
                .get(self.pos + marker..)
                .is_some_and(|rest| rest.starts_with("/*"))
            {
                self.pos += marker;
                self.ignore();
                if let Some(error) = self.comment() {
                    return error;
                }
                continue;
            }
            let mut token = self.emit(Kind::LeftDelim);
            token.end = token.pos + 2;
            self.inside = true;
            self.pos += marker;
            self.ignore();
            self.parens = 0;
            return token;
        }
    }

    /// Skips a comment; an error token when it is malformed.
    fn comment(&mut self) -> Option<Token> {
        let body = self.text.get(self.pos + 2..).unwrap_or("");
        let Some(end) = body.find("*/") else {
            return Some(self.error("unclosed comment"));
        };
        self.pos += 2 + end + 2;
        let Some(trim) = self.right_delim() else {
            return Some(self.error("comment ends before closing delimiter"));
        };
        self.pos += RIGHT.len();
        if trim {
            self.pos += 2;
            self.skip_space();
        }
        self.ignore();
        None
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.pos += rest.len() - rest.trim_start_matches(is_space).len();
    }

    /// Whether the closing delimiter is here, and then whether it trims.
    fn right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        let mut chars = rest.chars();
        if chars.next().is_some_and(is_space)
            && chars.next() == Some('-')
            && chars.as_str().starts_with(RIGHT)
        {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn close(&mut self, trim: bool) -> Token {
        if trim {
            self.pos += 2;
            self.ignore();
        }
        self.pos += RIGHT.len();
        let token = self.emit(Kind::RightDelim);
        if trim {
            self.skip_space();
            self.ignore();
        }
        self.inside = false;
        token
    }

    fn action(&mut self) -> Token {
        if let Some(trim) = self.right_delim() {
            if self.parens == 0 {
                return self.close(trim);
            }
            return self.error("unclosed left paren");
        }
        let Some(c) = self.bump() else {
            return self.error("unclosed action");
        };
        match c {
            c if is_space(c) => self.space(),
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.bump() == Some('=') {
                    self.emit(Kind::Declare)
                } else {
                    self.error("expected :=")
                }
            }
            '|' => self.emit(Kind::Bar),
            '"' => self.quoted('"', "unterminated quoted string", Kind::String),
            '\'' => self.quoted('\'', "unterminated character constant", Kind::CharConstant),
            '`' => self.raw(),
            '$' => self.word_after(Kind::Variable, Kind::Variable),
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                if self.pos < self.text.len() {
                    self.word_after(Kind::Field, Kind::Dot)
                } else {
                    self.pos -= 1;
                    self.number()
                }
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.pos -= 1;
                self.number()
            }
            c if is_word(c) => self.identifier(),
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen)
            }
            ')' => {
                if self.parens == 0 {
                    return self.error("unexpected right paren");
                }
                self.parens -= 1;
                self.emit(Kind::RightParen)
            }
            '!'..='~' => self.emit(Kind::Char),
            c => self.error(format!(
                "unrecognized character in action: {}",
                shown(Some(c))
            )),
        }
    }

    fn space(&mut self) -> Token {
        while self.peek().is_some_and(is_space) {
            self.bump();
        }
        // The last blank may belong to a trimming delimiter.
        let last = self.pos - 1;
        let tail = self.text.get(last + 1..).unwrap_or("");
        if tail.starts_with("-}}") {
            self.pos = last;
            if self.pos == self.start {
                return self.close(true);
            }
        }
        self.emit(Kind::Space)
    }

    fn quoted(&mut self, quote: char, message: &str, kind: Kind) -> Token {
        loop {
            match self.bump() {
                Some('\\') => {
                    if matches!(self.bump(), None | Some('\n')) {
                        return self.error(message);
                    }
                }
                None | Some('\n') => return self.error(message),
                Some(c) if c == quote => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn raw(&mut self) -> Token {
        if let Some(len) = self.rest().find('`') {
            self.pos += len + 1;
            self.emit(Kind::RawString)
        } else {
            self.pos = self.text.len();
            self.error("unterminated raw quoted string")
        }
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) if is_space(c) => true,
            Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => self.rest().starts_with(RIGHT),
        }
    }

    /// A field or variable; `alone` when nothing follows the sign.
    fn word_after(&mut self, kind: Kind, alone: Kind) -> Token {
        if self.at_terminator() {
            return self.emit(alone);
        }
        self.word();
        if !self.at_terminator() {
            return self.error(format!("bad character {}", shown(self.peek())));
        }
        self.emit(kind)
    }

    /// Moves to the end of a word.
    fn word(&mut self) {
        let rest = self.rest();
        self.pos += rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    }

    fn identifier(&mut self) -> Token {
        self.word();
        if !self.at_terminator() {
            return self.error(format!("bad character {}", shown(self.peek())));
        }
        let word = self.text.get(self.start..self.pos).unwrap_or("");
        self.emit(Kind::keyword(word).unwrap_or(Kind::Identifier))
    }

    fn number(&mut self) -> Token {
        if !self.scan_number() {
            return self.bad_number();
        }
        if matches!(self.peek(), Some('+' | '-')) {
            if !self.scan_number() || !self.text.get(..self.pos).is_some_and(|t| t.ends_with('i')) {
                return self.bad_number();
            }
            return self.emit(Kind::Complex);
        }
        self.emit(Kind::Number)
    }

    fn bad_number(&mut self) -> Token {
        let text = self.text.get(self.start..self.pos).unwrap_or("");
        let quoted = crate::helm::gofmt::quote(text.as_bytes());
        self.error(format!(
            "bad number syntax: {}",
            String::from_utf8_lossy(&quoted)
        ))
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(is_word) {
            self.bump();
            return false;
        }
        true
    }
}

/// Whether text after `{{` starts with the marker that trims before it.
fn left_trim(after: &str) -> bool {
    let mut chars = after.chars();
    chars.next() == Some('-') && chars.next().is_some_and(is_space)
}

fn offset(pos: usize) -> Pos {
    Pos::try_from(pos).unwrap_or(Pos::MAX)
}

impl Token {
    /// The token's text in its source.
    pub(super) fn text<'s>(&self, source: &'s str) -> &'s str {
        source
            .get(self.pos as usize..self.end as usize)
            .unwrap_or("")
    }

    /// The token as error messages show it.
    pub(super) fn shown(&self, source: &str) -> String {
        if let Some(error) = &self.error {
            return error.clone();
        }
        let text = self.text(source);
        let quote = |text: &str| {
            String::from_utf8_lossy(&crate::helm::gofmt::quote(text.as_bytes())).into_owned()
        };
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            kind if kind.is_keyword() => format!("<{text}>"),
            _ if text.len() > 10 => {
                let cut: String = text.chars().take(10).collect();
                format!("{}...", quote(&cut))
            }
            _ => quote(text),
        }
    }
}
