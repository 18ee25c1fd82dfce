//! TOML, written and read as `BurntSushi`'s package does.

use crate::helm::gofmt;
use crate::helm::object::Object;
use crate::helm::value::{List, ListType, MAX_DEPTH, Map, MapType, Value};

/// Writes a map. The error is text.
pub(super) fn write(value: &Value) -> Result<String, String> {
    let mut writer = Writer {
        out: String::new(),
        wrote: false,
    };
    match value {
        Value::Map(map) => writer.table(&[], map)?,
        Value::Nil => return Err("toml: cannot encode a nil value".to_owned()),
        _ => return Err("toml: top-level values must be Go maps or structs".to_owned()),
    }
    Ok(writer.out)
}

struct Writer {
    out: String,
    wrote: bool,
}

/// Whether a value is written as a table or a list of tables.
fn is_table(value: &Value) -> bool {
    match value {
        Value::Map(_) => true,
        Value::List(list) => {
            !list.items().is_empty() && list.items().iter().all(|v| matches!(v, Value::Map(_)))
        }
        _ => false,
    }
}

fn key_text(key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-');
    if bare {
        key.to_owned()
    } else {
        format!("\"{}\"", escaped(key))
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' || c == '\u{7f}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

impl Writer {
    fn indent(&mut self, depth: usize) {
        self.out.push_str(&"  ".repeat(depth));
    }

    /// Scalars first, then tables, each in the order of its keys.
    fn table(&mut self, path: &[String], map: &Map) -> Result<(), String> {
        if path.len() > MAX_DEPTH / 4 {
            return Err("toml: tables nest too deep".to_owned());
        }
        let entries: Vec<(String, Value)> = map
            .entries()
            .into_iter()
            .filter(|(_, value)| !value.is_nil())
            .map(|(key, value)| (String::from_utf8_lossy(&key).into_owned(), value))
            .collect();
        for (key, value) in entries.iter().filter(|(_, value)| !is_table(value)) {
            self.indent(path.len().saturating_sub(1) + usize::from(!path.is_empty()));
            self.out.push_str(&key_text(key));
            self.out.push_str(" = ");
            self.value(value, 0)?;
            self.out.push('\n');
            self.wrote = true;
        }
        for (key, value) in entries.iter().filter(|(_, value)| is_table(value)) {
            let mut inner = path.to_vec();
            inner.push(key.clone());
            match value {
                Value::Map(map) => {
                    if inner.len() == 1 && self.wrote {
                        self.out.push('\n');
                    }
                    self.header(&inner, "[", "]");
                    self.table(&inner, map)?;
                }
                Value::List(list) => {
                    for item in list.items() {
                        if self.wrote {
                            self.out.push('\n');
                        }
                        self.header(&inner, "[[", "]]");
                        if let Value::Map(map) = item {
                            self.table(&inner, map)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn header(&mut self, path: &[String], open: &str, close: &str) {
        self.indent(path.len() - 1);
        let names: Vec<String> = path.iter().map(|key| key_text(key)).collect();
        self.out.push_str(open);
        self.out.push_str(&names.join("."));
        self.out.push_str(close);
        self.out.push('\n');
        self.wrote = true;
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH / 4 {
            return Err("toml: arrays nest too deep".to_owned());
        }
        match value {
            Value::Bool(b) => self.out.push_str(if *b { "true" } else { "false" }),
            Value::Int(n, _) => self.out.push_str(&n.to_string()),
            Value::Uint(n, _) => self.out.push_str(&n.to_string()),
            Value::Float(f) => self.out.push_str(&float_text(*f)),
            Value::Str(s) => {
                let text = String::from_utf8_lossy(s);
                self.out.push('"');
                self.out.push_str(&escaped(&text));
                self.out.push('"');
            }
            Value::List(list) => {
                self.out.push('[');
                for (i, item) in list.items().iter().enumerate() {
                    if item.is_nil() {
                        return Err("toml: cannot encode array with nil element".to_owned());
                    }
                    if i > 0 {
                        self.out.push_str(", ");
                    }
                    self.value(item, depth + 1)?;
                }
                self.out.push(']');
            }
            Value::Map(map) => {
                self.out.push('{');
                let mut first = true;
                for (key, item) in map.entries() {
                    if item.is_nil() {
                        continue;
                    }
                    if !std::mem::take(&mut first) {
                        self.out.push_str(", ");
                    }
                    self.out.push_str(&key_text(&String::from_utf8_lossy(&key)));
                    self.out.push_str(" = ");
                    self.value(&item, depth + 1)?;
                }
                self.out.push('}');
            }
            Value::Obj(Object::Time(time)) => self.out.push_str(&time.to_rfc3339()),
            Value::Obj(Object::Duration(n)) => {
                let text = crate::helm::gotime::duration_text(*n);
                self.out.push_str(&format!("\"{text}\""));
            }
            other => {
                return Err(format!("unsupported type: {}", other.type_name()));
            }
        }
        Ok(())
    }
}

fn float_text(f: f64) -> String {
    if f.is_nan() {
        return "nan".to_owned();
    }
    if f.is_infinite() {
        return if f > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let text = gofmt::float_g(f);
    if text.contains(['.', 'e']) {
        text
    } else {
        format!("{text}.0")
    }
}

/// Reads a document. The error is text.
pub(super) fn parse(text: &str) -> Result<Map, String> {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
    };
    parser.document()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

const MAX_NESTING: usize = 100;

impl Parser<'_> {
    fn error<T>(&self, what: &str) -> Result<T, String> {
        let before = self.text.get(..self.at).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        Err(format!("toml: line {line}: {what}"))
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.at += 1;
        }
    }

    /// Blanks, line ends and comments.
    fn gaps(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r' | '\n') => self.at += 1,
                Some('#') => self.comment(),
                _ => return,
            }
        }
    }

    fn comment(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.bump();
        }
    }

    fn line_end(&mut self) -> Result<(), String> {
        self.blanks();
        if self.peek() == Some('#') {
            self.comment();
        }
        if self.take("\r\n") || self.take("\n") || self.rest().is_empty() {
            return Ok(());
        }
        self.error("expected a top-level item to end with a newline, comment, or EOF")
    }

    fn document(&mut self) -> Result<Map, String> {
        let root = Map::new();
        let mut current = root.clone();
        loop {
            self.gaps();
            match self.peek() {
                None => return Ok(root),
                Some('[') => {
                    let list = self.rest().starts_with("[[");
                    self.at += if list { 2 } else { 1 };
                    self.blanks();
                    let path = self.key_path()?;
                    self.blanks();
                    if !self.take(if list { "]]" } else { "]" }) {
                        return self.error("expected end of table name");
                    }
                    self.line_end()?;
                    current = self.table(&root, &path, list)?;
                }
                Some(_) => {
                    self.pair(&current)?;
                    self.line_end()?;
                }
            }
        }
    }

    /// The table that a header opens.
    fn table(&self, root: &Map, path: &[String], list: bool) -> Result<Map, String> {
        let Some((last, parents)) = path.split_last() else {
            return self.error("empty table name");
        };
        let parent = self.descend(root, parents)?;
        if list {
            let table = Map::new();
            let mut items = match parent.get(last) {
                Some(Value::List(list)) if list.ty() == ListType::Maps => list.items().to_vec(),
                None => Vec::new(),
                Some(_) => return self.error("key has already been defined"),
            };
            items.push(Value::Map(table.clone()));
            parent.set(last, List::typed(ListType::Maps, items));
            return Ok(table);
        }
        self.descend(&parent, std::slice::from_ref(last))
    }

    fn descend(&self, from: &Map, path: &[String]) -> Result<Map, String> {
        let mut current = from.clone();
        for key in path {
            current = match current.get(key) {
                None => {
                    let table = Map::new();
                    current.set(key, table.clone());
                    table
                }
                Some(Value::Map(table)) if table.ty() == MapType::Any => table,
                Some(Value::List(list)) => match list.items().last() {
                    Some(Value::Map(table)) => table.clone(),
                    _ => return self.error("key has already been defined"),
                },
                Some(_) => return self.error("key has already been defined"),
            };
        }
        Ok(current)
    }

    fn pair(&mut self, table: &Map) -> Result<(), String> {
        let path = self.key_path()?;
        self.blanks();
        if !self.take("=") {
            return self.error("expected '=' after a key");
        }
        self.blanks();
        let value = self.value()?;
        let Some((last, parents)) = path.split_last() else {
            return self.error("empty key");
        };
        let parent = self.descend(table, parents)?;
        if parent.contains(last) {
            return self.error(&format!(
                "Key '{}' has already been defined.",
                path.join(".")
            ));
        }
        parent.set(last, value);
        Ok(())
    }

    fn key_path(&mut self) -> Result<Vec<String>, String> {
        let mut path = Vec::new();
        loop {
            self.blanks();
            let key = match self.peek() {
                Some('"') => {
                    self.at += 1;
                    self.basic_string()?
                }
                Some('\'') => {
                    self.at += 1;
                    self.literal_string()?
                }
                _ => {
                    let len = self
                        .rest()
                        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
                        .unwrap_or(self.rest().len());
                    if len == 0 {
                        return self.error("bare keys cannot be empty");
                    }
                    let key = self.rest().get(..len).unwrap_or("").to_owned();
                    self.at += len;
                    key
                }
            };
            path.push(key);
            self.blanks();
            if !self.take(".") {
                return Ok(path);
            }
            if path.len() > MAX_NESTING {
                return self.error("keys nest too deep");
            }
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return self.error("values nest too deep");
        }
        let value = match self.peek() {
            None => self.error("expected value but found end of file"),
            Some('"') if self.take("\"\"\"") => self.multiline("\"\"\"").map(Value::from),
            Some('\'') if self.take("'''") => self.multiline("'''").map(Value::from),
            Some('"') => {
                self.at += 1;
                self.basic_string().map(Value::from)
            }
            Some('\'') => {
                self.at += 1;
                self.literal_string().map(Value::from)
            }
            Some('[') => self.array(),
            Some('{') => self.inline_table(),
            Some(_) => self.scalar(),
        };
        self.depth -= 1;
        value
    }

    fn array(&mut self) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.gaps();
            if self.take("]") {
                return Ok(Value::list(items));
            }
            items.push(self.value()?);
            self.gaps();
            if !self.take(",") && self.peek() != Some(']') {
                return self.error("expected a comma or array terminator ']'");
            }
        }
    }

    fn inline_table(&mut self) -> Result<Value, String> {
        self.at += 1;
        let table = Map::new();
        loop {
            self.gaps();
            if self.take("}") {
                return Ok(Value::Map(table));
            }
            self.pair(&table)?;
            self.gaps();
            if !self.take(",") && self.peek() != Some('}') {
                return self.error("expected a comma or an inline table terminator '}'");
            }
        }
    }

    fn scalar(&mut self) -> Result<Value, String> {
        let len = self
            .rest()
            .find(|c: char| !(c.is_ascii_alphanumeric() || "+-_.:".contains(c)))
            .unwrap_or(self.rest().len());
        let mut word = self.rest().get(..len).unwrap_or("").to_owned();
        self.at += len;
        // A date and a time may stand apart.
        let is_date = word.len() == 10 && word.as_bytes().get(4) == Some(&b'-');
        if is_date && self.rest().starts_with(' ') {
            let tail = self.rest().get(1..).unwrap_or("");
            let len = tail
                .find(|c: char| !(c.is_ascii_digit() || "+-:.Z".contains(c)))
                .unwrap_or(tail.len());
            if tail.get(2..3) == Some(":") {
                word = format!("{word}T{}", tail.get(..len).unwrap_or(""));
                self.at += 1 + len;
            }
        }
        let plain = word.replace('_', "");
        match plain.as_str() {
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            "inf" | "+inf" => return Ok(Value::Float(f64::INFINITY)),
            "-inf" => return Ok(Value::Float(f64::NEG_INFINITY)),
            "nan" | "+nan" | "-nan" => return Ok(Value::Float(f64::NAN)),
            _ => {}
        }
        if let Some(n) = super::convert::parse_int(&plain)
            && !(plain.len() > 1
                && plain.starts_with('0')
                && plain.as_bytes().get(1).is_some_and(u8::is_ascii_digit))
        {
            return Ok(Value::int64(n));
        }
        if plain.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '-')
            && plain.contains(['.', 'e', 'E'])
            && !plain.contains(':')
            && let Ok(f) = plain.parse::<f64>()
        {
            return Ok(Value::Float(f));
        }
        let layouts = [
            "2006-01-02T15:04:05Z07:00",
            "2006-01-02T15:04:05",
            "2006-01-02",
            "15:04:05",
        ];
        for layout in layouts {
            if let Ok(time) = crate::helm::gotime::parse(layout, &word, &jiff::tz::TimeZone::UTC) {
                return Ok(Value::Obj(Object::Time(time.into())));
            }
        }
        self.error(&format!("expected value but found {word:?} instead"))
    }

    fn literal_string(&mut self) -> Result<String, String> {
        let Some(end) = self.rest().find(['\'', '\n']) else {
            return self.error("unexpected end of file");
        };
        let text = self.rest().get(..end).unwrap_or("").to_owned();
        self.at += end;
        if self.bump() != Some('\'') {
            return self.error("strings cannot contain newlines");
        }
        Ok(text)
    }

    fn basic_string(&mut self) -> Result<String, String> {
        let mut out = String::new();
        loop {
            match self.bump() {
                Some('"') => return Ok(out),
                Some('\\') => self.escape(&mut out)?,
                None | Some('\n') => return self.error("strings cannot contain newlines"),
                Some(c) => out.push(c),
            }
        }
    }

    fn multiline(&mut self, close: &str) -> Result<String, String> {
        let _ = self.take("\r\n") || self.take("\n");
        let mut out = String::new();
        loop {
            if self.take(close) {
                // Up to two quotes may stand before the closing ones.
                let quote = close.get(..1).unwrap_or("\"");
                while out.len() < usize::MAX && self.take(quote) {
                    out.push_str(quote);
                }
                return Ok(out);
            }
            match self.bump() {
                None => return self.error("unexpected end of file"),
                Some('\\') if close.starts_with('"') => {
                    let rest = self.rest();
                    let blank = rest.trim_start_matches([' ', '\t', '\r']);
                    if blank.starts_with('\n') {
                        while matches!(self.peek(), Some(' ' | '\t' | '\r' | '\n')) {
                            self.at += 1;
                        }
                    } else {
                        self.escape(&mut out)?;
                    }
                }
                Some('\r') if self.peek() == Some('\n') => {}
                Some(c) => out.push(c),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), String> {
        let c = match self.bump() {
            Some('b') => '\u{8}',
            Some('t') => '\t',
            Some('n') => '\n',
            Some('f') => '\u{c}',
            Some('r') => '\r',
            Some('e') => '\u{1b}',
            Some('"') => '"',
            Some('\\') => '\\',
            Some(kind @ ('u' | 'U' | 'x')) => {
                let len = match kind {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let code = self
                    .rest()
                    .get(..len)
                    .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                    .and_then(char::from_u32);
                match code {
                    Some(c) => {
                        self.at += len;
                        c
                    }
                    None => return self.error("invalid unicode escape"),
                }
            }
            _ => return self.error("invalid escape character"),
        };
        out.push(c);
        Ok(())
    }
}
