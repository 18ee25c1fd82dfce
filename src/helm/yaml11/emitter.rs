//! Values to YAML text, byte for byte as go-yaml 2 emits them (and, for the
//! pretty form, go-yaml 3).

use std::cmp::Ordering;

use super::plain::{Plain, PlainError, readable, reread};
use super::resolve::{Scalar, resolve};
use crate::helm::gofmt;
use crate::helm::value::Value;

/// Lines are folded at the first blank beyond this column.
const FOLD_AT: usize = 80;
const INDENT: usize = 2;
/// A longer key is written with `?`.
const LONGEST_KEY: usize = 128;

/// Why a value has no YAML form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ToYamlError {
    /// It has no JSON form.
    #[error(transparent)]
    Json(#[from] PlainError),
    /// A string has characters that the reader refuses.
    #[error("yaml: control characters are not allowed")]
    ControlCharacter,
}

/// Writes a value as `toYaml` does, with its final newline.
pub fn to_yaml(value: &Value) -> Result<Vec<u8>, ToYamlError> {
    let mut plain = Plain::of(value)?;
    through_json(&mut plain)?;
    Ok(emit(&plain, false))
}

/// Writes a value as `toYamlPretty` does, with its final newline.
pub fn to_yaml_pretty(value: &Value) -> Result<Vec<u8>, ToYamlError> {
    let mut plain = Plain::of(value)?;
    order(&mut plain, true);
    Ok(emit(&plain, true))
}

fn emit(plain: &Plain, pretty: bool) -> Vec<u8> {
    let mut emitter = Emitter {
        out: Vec::new(),
        column: 0,
        indent: -1,
        whitespace: true,
        indention: true,
        fold_at: if pretty { usize::MAX } else { FOLD_AT },
        pretty,
    };
    emitter.node(plain, Place::Root);
    emitter.write_indent();
    emitter.out
}

/// What the way over JSON text changes: floats that are whole become
/// integers, unreadable characters are an error, keys are sorted.
fn through_json(plain: &mut Plain) -> Result<(), ToYamlError> {
    match plain {
        Plain::Float(f) => *plain = reread(*f),
        Plain::Str(text) if !readable(text) => return Err(ToYamlError::ControlCharacter),
        Plain::List(items) => items.iter_mut().try_for_each(through_json)?,
        Plain::Map(pairs) => {
            for (key, item) in pairs.iter_mut() {
                if !readable(key) {
                    return Err(ToYamlError::ControlCharacter);
                }
                through_json(item)?;
            }
            pairs.sort_by(|(a, _), (b, _)| natural(a, b, false));
        }
        _ => {}
    }
    Ok(())
}

fn order(plain: &mut Plain, pretty: bool) {
    match plain {
        Plain::List(items) => {
            for item in items {
                order(item, pretty);
            }
        }
        Plain::Map(pairs) => {
            for (_, item) in pairs.iter_mut() {
                order(item, pretty);
            }
            pairs.sort_by(|(a, _), (b, _)| natural(a, b, pretty));
        }
        _ => {}
    }
}

/// go-yaml's order of keys: digits by their number, letters after the rest.
fn natural(a: &str, b: &str, pretty: bool) -> Ordering {
    let at = a
        .bytes()
        .zip(b.bytes())
        .position(|(x, y)| x != y)
        .unwrap_or(a.len().min(b.len()));
    // The first difference may lie inside a character: go back to its start.
    let at = (0..=at)
        .rev()
        .find(|i| a.is_char_boundary(*i) && b.is_char_boundary(*i))
        .unwrap_or(0);
    let (common, rest_a) = a.split_at(at);
    let rest_b = b.get(at..).unwrap_or("");
    let (Some(x), Some(y)) = (rest_a.chars().next(), rest_b.chars().next()) else {
        return a.chars().count().cmp(&b.chars().count());
    };
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (false, false) => {}
        (letter, _) => {
            let after_digit = pretty && common.ends_with(|c: char| c.is_ascii_digit());
            return if letter == after_digit {
                Ordering::Less
            } else {
                Ordering::Greater
            };
        }
    }
    let mut start = 0;
    if x == '0' || y == '0' {
        let digits = common.bytes().rev().take_while(u8::is_ascii_digit);
        start = i64::from(digits.into_iter().any(|c| c != b'0'));
    }
    let (number_a, len_a) = leading_number(rest_a, start);
    let (number_b, len_b) = leading_number(rest_b, start);
    number_a
        .cmp(&number_b)
        .then(len_a.cmp(&len_b))
        .then(x.cmp(&y))
}

fn leading_number(text: &str, start: i64) -> (i64, usize) {
    let mut number = start;
    let mut len = 0;
    for digit in text.bytes().take_while(u8::is_ascii_digit) {
        number = number
            .wrapping_mul(10)
            .wrapping_add(i64::from(digit - b'0'));
        len += 1;
    }
    (number, len)
}

/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`
fn base_60(text: &str) -> bool {
    let Some((head, groups)) = text.split_once(':') else {
        return false;
    };
    let number = |text: &str| text.bytes().all(|c| c.is_ascii_digit() || c == b'_');
    let head = head.strip_prefix(['+', '-']).unwrap_or(head);
    let (groups, fraction) = groups.split_once('.').unwrap_or((groups, ""));
    let group = |text: &str| matches!(text.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    head.starts_with(|c: char| c.is_ascii_digit())
        && number(head)
        && number(fraction)
        && groups.split(':').all(group)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Item,
    Key,
    /// The value of a key; a simple one stands on the key's line.
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

struct Emitter {
    out: Vec<u8>,
    /// Counted in characters.
    column: usize,
    indent: i64,
    whitespace: bool,
    indention: bool,
    fold_at: usize,
    pretty: bool,
}

impl Emitter {
    fn put(&mut self, c: char) {
        self.out
            .extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        self.column += 1;
    }

    /// Writes text without line breaks.
    fn put_text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
        self.column += text.chars().count();
    }

    fn put_break(&mut self) {
        self.out.push(b'\n');
        self.column = 0;
    }

    /// Copies a line break of a scalar.
    fn copy_break(&mut self, c: char) {
        if c == '\n' {
            self.put_break();
        } else {
            self.put(c);
            self.column = 0;
        }
    }

    fn write_indent(&mut self) {
        let indent = usize::try_from(self.indent).unwrap_or(0);
        if !self.indention || self.column > indent || self.column == indent && !self.whitespace {
            self.put_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn indicator(&mut self, text: &str, spaced: bool, whitespace: bool, indention: bool) {
        if spaced && !self.whitespace {
            self.put(' ');
        }
        self.put_text(text);
        self.whitespace = whitespace;
        self.indention = self.indention && indention;
    }

    fn node(&mut self, plain: &Plain, place: Place) {
        match plain {
            Plain::Null => self.scalar("null", Some(Style::Plain), place),
            Plain::Bool(b) => {
                self.scalar(if *b { "true" } else { "false" }, Some(Style::Plain), place);
            }
            Plain::Int(n) => self.scalar(&n.to_string(), Some(Style::Plain), place),
            Plain::Uint(n) => self.scalar(&n.to_string(), Some(Style::Plain), place),
            Plain::Float(f) => self.scalar(&gofmt::float_g(*f), Some(Style::Plain), place),
            Plain::Str(text) => self.scalar(text, None, place),
            Plain::List(items) if items.is_empty() => {
                self.indicator("[", true, true, false);
                self.indicator("]", false, false, false);
            }
            Plain::Map(pairs) if pairs.is_empty() => {
                self.indicator("{", true, true, false);
                self.indicator("}", false, false, false);
            }
            Plain::List(items) => self.sequence(items, place),
            Plain::Map(pairs) => self.mapping(pairs),
        }
    }

    /// Deepens the indentation and returns the one before.
    fn deepen(&mut self, root: usize, indentless: bool) -> i64 {
        let before = self.indent;
        let step = |n: usize| i64::try_from(n).unwrap_or(0);
        if self.indent < 0 {
            self.indent = step(root);
        } else if !indentless {
            self.indent += step(INDENT);
        }
        before
    }

    fn sequence(&mut self, items: &[Plain], place: Place) {
        let in_mapping = place == Place::Value && !self.indention;
        let before = self.deepen(0, in_mapping && !self.pretty);
        for item in items {
            self.write_indent();
            self.indicator("-", true, false, true);
            self.node(item, Place::Item);
        }
        self.indent = before;
    }

    fn mapping(&mut self, pairs: &[(String, Plain)]) {
        let before = self.deepen(0, false);
        for (key, value) in pairs {
            self.write_indent();
            let simple = key.len() <= LONGEST_KEY && !key.chars().any(is_break);
            if simple {
                self.scalar(key, None, Place::Key);
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, true);
                self.scalar(key, None, Place::Value);
                self.write_indent();
                self.indicator(":", true, false, true);
            }
            self.node(value, Place::Value);
        }
        self.indent = before;
    }

    fn scalar(&mut self, text: &str, style: Option<Style>, place: Place) {
        let simple_key = place == Place::Key;
        let allowed = analyze(text, self.pretty);
        let mut style = style.unwrap_or_else(|| wanted_style(text));
        if simple_key && allowed.multiline {
            style = Style::Double;
        }
        if style == Style::Plain && (!allowed.plain || text.is_empty() && simple_key) {
            style = Style::Single;
        }
        if style == Style::Single && !allowed.single {
            style = Style::Double;
        }
        if style == Style::Literal && (!allowed.block || simple_key) {
            style = Style::Double;
        }
        let before = self.deepen(INDENT, false);
        match style {
            Style::Plain => self.plain(text, !simple_key),
            Style::Single => self.single(text, !simple_key),
            Style::Double => self.double(text, !simple_key),
            Style::Literal => self.literal(text),
        }
        self.indent = before;
    }

    fn folds_here(&self, allowed: bool, spaces: bool) -> bool {
        allowed && !spaces && self.column > self.fold_at
    }

    fn plain(&mut self, text: &str, foldable: bool) {
        if !self.whitespace {
            self.put(' ');
        }
        let fits = self.column + text.len() <= self.fold_at;
        if fits || !foldable || !text.contains(' ') {
            self.put_text(text);
            self.whitespace = false;
            self.indention = false;
            return;
        }
        let mut spaces = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c == ' ' && self.folds_here(foldable, spaces) && chars.peek() != Some(&' ') {
                self.write_indent();
                spaces = true;
                continue;
            }
            self.put(c);
            spaces = c == ' ';
            if !spaces {
                self.indention = false;
            }
        }
        self.whitespace = false;
        self.indention = false;
    }

    fn single(&mut self, text: &str, foldable: bool) {
        self.indicator("'", true, false, false);
        let (mut spaces, mut breaks) = (false, false);
        let mut chars = text.char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            if c == ' ' {
                let next = chars.peek().map(|(_, c)| *c);
                if self.folds_here(foldable, spaces) && i > 0 && next.is_some() && next != Some(' ')
                {
                    self.write_indent();
                } else {
                    self.put(c);
                }
                spaces = true;
            } else if is_break(c) {
                if !breaks && c == '\n' {
                    self.put_break();
                }
                self.copy_break(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                if c == '\'' {
                    self.put(c);
                }
                self.put(c);
                self.indention = false;
                spaces = false;
                breaks = false;
            }
        }
        self.indicator("'", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn double(&mut self, text: &str, foldable: bool) {
        self.indicator("\"", true, false, false);
        let mut spaces = false;
        let mut chars = text.char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            if !printable(c) || is_break(c) || c == '"' || c == '\\' {
                escape(c).chars().for_each(|c| self.put(c));
                spaces = false;
            } else if c == ' ' {
                let next = chars.peek().map(|(_, c)| *c);
                if self.folds_here(foldable, spaces) && i > 0 && next.is_some() {
                    self.write_indent();
                    if next == Some(' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                spaces = false;
            }
        }
        self.indicator("\"", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn literal(&mut self, text: &str) {
        self.indicator("|", true, false, false);
        if text.starts_with(' ') || text.starts_with(is_break) {
            self.indicator("2", false, false, false);
        }
        let mut ends = text.chars().rev();
        match (
            ends.next().is_some_and(is_break),
            ends.next().is_none_or(is_break),
        ) {
            (false, _) => self.indicator("-", false, false, false),
            (true, true) => self.indicator("+", false, false, false),
            (true, false) => {}
        }
        self.put_break();
        self.indention = true;
        self.whitespace = true;
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(is_break).unwrap_or(rest.len());
            let (line, after) = rest.split_at(end);
            if !line.is_empty() {
                self.write_indent();
                self.put_text(line);
                self.indention = false;
            }
            let mut after = after.chars();
            if let Some(c) = after.next() {
                self.copy_break(c);
                self.indention = true;
            }
            rest = after.as_str();
        }
    }
}

/// What the encoder asks for, before the emitter looks at the characters.
fn wanted_style(text: &str) -> Style {
    if text.contains('\n') {
        return Style::Literal;
    }
    if resolve(text) == Scalar::Str && !base_60(text) {
        Style::Plain
    } else {
        Style::Double
    }
}

struct Allowed {
    multiline: bool,
    plain: bool,
    single: bool,
    block: bool,
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// Whether nothing in a text is of any meaning, as in most texts.
fn is_tame(text: &str) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'/');
    text.bytes().next().is_some_and(word)
        && text.bytes().all(|c| word(c) || matches!(c, b'.' | b'-'))
}

fn analyze(text: &str, pretty: bool) -> Allowed {
    if text.is_empty() {
        return Allowed {
            multiline: false,
            plain: true,
            single: true,
            block: false,
        };
    }
    if is_tame(text) {
        return Allowed {
            multiline: false,
            plain: true,
            single: true,
            block: true,
        };
    }
    let mut indicators = text.starts_with("---") || text.starts_with("...");
    let (mut breaks, mut special, mut tabs) = (false, false, false);
    let (mut break_space, mut space_break) = (false, false);
    let mut previous = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let blank_follows = chars.peek().is_none_or(|c| matches!(c, ' ' | '\t'));
        let first = previous.is_none();
        let after_blank =
            previous.is_none_or(|p: char| matches!(p, ' ' | '\t' | '\0') || is_break(p));
        indicators |= match c {
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`' => first,
            '#' => after_blank,
            ':' => blank_follows,
            '?' | '-' => first && blank_follows,
            _ => false,
        };
        if c == '\t' && pretty {
            tabs = true;
        } else if !printable(c) {
            special = true;
        }
        if c == ' ' {
            break_space |= previous.is_some_and(is_break);
        } else if is_break(c) {
            breaks = true;
            space_break |= previous == Some(' ');
        }
        previous = Some(c);
    }
    let ends = |test: fn(char) -> bool| text.starts_with(test) || text.ends_with(test);
    let fringe = ends(|c| c == ' ' || is_break(c));
    let odd = space_break || special;
    Allowed {
        multiline: breaks,
        plain: !(fringe || break_space || odd || tabs || breaks || indicators),
        single: !(break_space || odd || tabs),
        block: !(text.ends_with(' ') || odd),
    }
}

fn escape(c: char) -> String {
    match c {
        '\0' => "\\0".to_owned(),
        '\u{7}' => "\\a".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\t' => "\\t".to_owned(),
        '\n' => "\\n".to_owned(),
        '\u{b}' => "\\v".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\r' => "\\r".to_owned(),
        '\u{1b}' => "\\e".to_owned(),
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\u{85}' => "\\N".to_owned(),
        '\u{a0}' => "\\_".to_owned(),
        '\u{2028}' => "\\L".to_owned(),
        '\u{2029}' => "\\P".to_owned(),
        c => match u32::from(c) {
            code @ 0..=0xff => format!("\\x{code:02X}"),
            code @ 0x100..=0xffff => format!("\\u{code:04X}"),
            code => format!("\\U{code:08X}"),
        },
    }
}
