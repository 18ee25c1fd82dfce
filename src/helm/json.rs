//! JSON as `encoding/json` writes and reads it.

use super::gofmt;
use super::value::{MAX_DEPTH, Map, Str, Value};
use super::yaml11::Plain;

/// How JSON is laid out.
pub(super) struct Style {
    /// Blanks per level; `None` is all on one line.
    indent: Option<usize>,
    /// Whether `<`, `>` and `&` are escaped.
    html: bool,
}

pub(super) const COMPACT: Style = Style {
    indent: None,
    html: true,
};
pub(super) const PRETTY: Style = Style {
    indent: Some(2),
    html: true,
};
pub(super) const RAW: Style = Style {
    indent: None,
    html: false,
};

/// Writes plain data.
pub(super) fn write(plain: &Plain, style: &Style) -> Vec<u8> {
    let mut out = Vec::new();
    write_at(&mut out, plain, style, 0);
    out
}

fn new_line(out: &mut Vec<u8>, style: &Style, depth: usize) {
    if let Some(indent) = style.indent {
        out.push(b'\n');
        out.resize(out.len() + indent * depth, b' ');
    }
}

fn write_at(out: &mut Vec<u8>, plain: &Plain, style: &Style, depth: usize) {
    match plain {
        Plain::Null => out.extend_from_slice(b"null"),
        Plain::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Plain::Int(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Plain::Uint(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Plain::Float(f) => out.extend_from_slice(gofmt::float_json(*f).as_bytes()),
        Plain::Str(text) => write_string(out, text, style),
        Plain::List(items) if items.is_empty() => out.extend_from_slice(b"[]"),
        Plain::Map(pairs) if pairs.is_empty() => out.extend_from_slice(b"{}"),
        Plain::List(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                new_line(out, style, depth + 1);
                write_at(out, item, style, depth + 1);
            }
            new_line(out, style, depth);
            out.push(b']');
        }
        Plain::Map(pairs) => {
            out.push(b'{');
            for (i, (key, item)) in pairs.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                new_line(out, style, depth + 1);
                write_string(out, key, style);
                out.push(b':');
                if style.indent.is_some() {
                    out.push(b' ');
                }
                write_at(out, item, style, depth + 1);
            }
            new_line(out, style, depth);
            out.push(b'}');
        }
    }
}

fn write_string(out: &mut Vec<u8>, text: &str, style: &Style) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            c if c < ' '
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffd}')
                || style.html && matches!(c, '<' | '>' | '&') =>
            {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// Reads JSON into Go's `any`; the error is Go's text.
pub(super) fn parse(text: &[u8]) -> Result<Value, String> {
    let text = String::from_utf8_lossy(text);
    let mut parser = Parser {
        text: &text,
        at: 0,
        depth: 0,
    };
    parser.blanks();
    let value = parser.value("looking for beginning of value")?;
    parser.blanks();
    match parser.peek() {
        None => Ok(value),
        Some(c) => Err(invalid(c, "after top-level value")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

const END: &str = "unexpected end of JSON input";

/// JSON may nest this deep in Go; the stack of a chart loader bears less.
const MAX_NESTING: usize = if MAX_DEPTH < 400 { MAX_DEPTH } else { 400 };

fn invalid(c: char, context: &str) -> String {
    let shown = match c {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c => {
            let quoted = gofmt::quote(c.encode_utf8(&mut [0; 4]).as_bytes());
            let inner = String::from_utf8_lossy(&quoted).into_owned();
            format!("'{}'", inner.trim_matches('"'))
        }
    };
    format!("invalid character {shown} {context}")
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\r' | '\n')) {
            self.at += 1;
        }
    }

    fn value(&mut self, context: &str) -> Result<Value, String> {
        match self.peek() {
            None => Err(END.to_owned()),
            Some('{') => self.nested(Self::object),
            Some('[') => self.nested(Self::array),
            Some('"') => self.string().map(Value::from),
            Some('t') => self.word("true", Value::Bool(true)),
            Some('f') => self.word("false", Value::Bool(false)),
            Some('n') => self.word("null", Value::Nil),
            Some('-' | '0'..='9') => self.number(),
            Some(c) => Err(invalid(c, context)),
        }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Value, String>,
    ) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err("exceeded max depth".to_owned());
        }
        self.at += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, String> {
        for expected in word.chars() {
            // Go reads a blank at the end.
            let c = self.bump().unwrap_or(' ');
            if c != expected {
                let context = format!("in literal {word} (expecting '{expected}')");
                return Err(invalid(c, &context));
            }
        }
        Ok(value)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some('0'..='9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        let missing =
            |parser: &Self, context: &str| Err(invalid(parser.peek().unwrap_or(' '), context));
        if self.peek() == Some('-') {
            self.at += 1;
        }
        if self.peek() == Some('0') {
            self.at += 1;
        } else if self.digits() == 0 {
            return missing(self, "in numeric literal");
        }
        if self.peek() == Some('.') {
            self.at += 1;
            if self.digits() == 0 {
                return missing(self, "after decimal point in numeric literal");
            }
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.at += 1;
            if matches!(self.peek(), Some('+' | '-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return missing(self, "in exponent of numeric literal");
            }
        }
        let text = self.text.get(start..self.at).unwrap_or("");
        match text.parse::<f64>() {
            Ok(f) if f.is_finite() => Ok(Value::Float(f)),
            _ => Err(format!(
                "json: cannot unmarshal number {text} into Go value of type float64"
            )),
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            match self.bump() {
                None => return Err(END.to_owned()),
                Some('"') => return Ok(out),
                Some('\\') => self.escape(&mut out)?,
                Some(c) if c < ' ' => return Err(invalid(c, "in string literal")),
                Some(c) => out.push(c),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), String> {
        let c = match self.bump() {
            None => return Err(END.to_owned()),
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let high = self.hex()?;
                if (0xd800..0xdc00).contains(&high)
                    && self
                        .text
                        .get(self.at..)
                        .is_some_and(|t| t.starts_with("\\u"))
                {
                    let before = self.at;
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xdc00..0xe000).contains(&low) {
                        let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                        out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                        return Ok(());
                    }
                    self.at = before;
                }
                char::from_u32(high).unwrap_or('\u{fffd}')
            }
            Some(c) => return Err(invalid(c, "in string escape code")),
        };
        out.push(c);
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            match self.bump() {
                None => return Err(END.to_owned()),
                Some(c) => match c.to_digit(16) {
                    Some(digit) => code = code * 16 + digit,
                    None => return Err(invalid(c, "in \\u hexadecimal character escape")),
                },
            }
        }
        Ok(code)
    }

    fn array(&mut self) -> Result<Value, String> {
        let mut items = Vec::new();
        self.blanks();
        if self.peek() == Some(']') {
            self.at += 1;
            return Ok(Value::list(items));
        }
        loop {
            self.blanks();
            items.push(self.value("looking for beginning of value")?);
            self.blanks();
            match self.bump() {
                Some(',') => {}
                Some(']') => return Ok(Value::list(items)),
                Some(c) => return Err(invalid(c, "after array element")),
                None => return Err(END.to_owned()),
            }
        }
    }

    fn object(&mut self) -> Result<Value, String> {
        let map = Map::new();
        self.blanks();
        if self.peek() == Some('}') {
            self.at += 1;
            return Ok(Value::Map(map));
        }
        loop {
            self.blanks();
            match self.peek() {
                Some('"') => {}
                Some(c) => return Err(invalid(c, "looking for beginning of object key string")),
                None => return Err(END.to_owned()),
            }
            let key = self.string()?;
            self.blanks();
            match self.bump() {
                Some(':') => {}
                Some(c) => return Err(invalid(c, "after object key")),
                None => return Err(END.to_owned()),
            }
            self.blanks();
            let value = self.value("looking for beginning of value")?;
            map.set(Str::from(key.into_bytes()), value);
            self.blanks();
            match self.bump() {
                Some(',') => {}
                Some('}') => return Ok(Value::Map(map)),
                Some(c) => return Err(invalid(c, "after object key:value pair")),
                None => return Err(END.to_owned()),
            }
        }
    }
}
