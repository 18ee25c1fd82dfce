//! One value under one verb, as Go's `fmt` prints it.

use super::super::float;
use super::super::quote::{can_backquote, quote_into, quote_rune};
use super::super::{fields, is_printable, stringer, too_deep};
use crate::helm::object::Object;
use crate::helm::value::{ListType, Map, Value};

/// Flags, width and precision of a verb.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of a verb")]
pub(super) struct Flags {
    pub(super) sharp: bool,
    pub(super) zero: bool,
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) space: bool,
    /// `%#v`
    pub(super) sharp_v: bool,
    /// `%+v`
    pub(super) plus_v: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

pub(super) struct Printer<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) flags: Flags,
}

/// Appends a value as `%v` does.
pub(in crate::helm::gofmt) fn write_plain(out: &mut Vec<u8>, value: &Value) {
    let mut printer = Printer {
        out,
        flags: Flags::default(),
    };
    printer.value(value, 'v', 0);
}

impl Printer<'_> {
    pub(super) fn arg(&mut self, arg: &Value, verb: char) {
        match (arg, verb) {
            (Value::Nil, 'T' | 'v') => self.pad(b"<nil>"),
            (_, 'T') => self.string(arg.type_name().as_bytes(), 's'),
            (Value::Map(_) | Value::List(_) | Value::Bytes(_), 'p') => {
                self.unsigned(0xc0_0000_0000, 16, 'p', true);
            }
            _ => self.value(arg, verb, 0),
        }
    }

    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        if too_deep(depth) {
            self.out.extend_from_slice(b"...");
            return;
        }
        match value {
            Value::Nil if depth > 0 || verb == 'v' => {
                self.out.extend_from_slice(if self.flags.sharp_v {
                    b"interface {}(nil)"
                } else {
                    b"<nil>"
                });
            }
            Value::Nil => self.bad_verb(value, verb, depth),
            Value::Bool(b) => match verb {
                't' | 'v' => self.pad(if *b { b"true" } else { b"false" }),
                _ => self.bad_verb(value, verb, depth),
            },
            Value::Int(n, _) => self.integer(n.unsigned_abs(), *n < 0, value, verb, depth),
            Value::Uint(n, _) => {
                if verb == 'v' && self.flags.sharp_v {
                    let sharp = std::mem::replace(&mut self.flags.sharp, true);
                    self.unsigned(*n, 16, 'v', false);
                    self.flags.sharp = sharp;
                } else {
                    self.integer(*n, false, value, verb, depth);
                }
            }
            Value::Float(f) => self.float(*f, value, verb, depth),
            Value::Complex(re, im) => self.complex(*re, *im, value, verb, depth),
            Value::Str(s) => match verb {
                'v' | 's' | 'x' | 'X' | 'q' => self.string(s, verb),
                _ => self.bad_verb(value, verb, depth),
            },
            Value::Bytes(bytes) => self.bytes(bytes, value, verb, depth),
            Value::List(list) => self.list(list.items(), list.ty(), value, verb, depth),
            Value::Map(_) => self.map(value, verb, depth),
            Value::Obj(object) => self.object(object, value, verb, depth),
        }
    }

    fn bad_verb(&mut self, value: &Value, verb: char, depth: usize) {
        self.out.extend_from_slice(format!("%!{verb}(").as_bytes());
        if value.is_nil() {
            self.out.extend_from_slice(b"<nil>");
        } else {
            self.out.extend_from_slice(value.type_name().as_bytes());
            self.out.push(b'=');
            let flags = std::mem::take(&mut self.flags);
            self.value(value, 'v', depth + 1);
            self.flags = flags;
        }
        self.out.push(b')');
    }

    /// Pads to the width, counted in characters.
    fn pad(&mut self, text: &[u8]) {
        let Some(width) = self.flags.width else {
            self.out.extend_from_slice(text);
            return;
        };
        let missing = width.saturating_sub(char_count(text));
        if self.flags.minus {
            self.out.extend_from_slice(text);
            self.out.resize(self.out.len() + missing, b' ');
        } else {
            let fill = if self.flags.zero { b'0' } else { b' ' };
            self.out.resize(self.out.len() + missing, fill);
            self.out.extend_from_slice(text);
        }
    }

    fn pad_blank(&mut self, text: &[u8]) {
        let zero = std::mem::replace(&mut self.flags.zero, false);
        self.pad(text);
        self.flags.zero = zero;
    }

    fn string(&mut self, text: &[u8], verb: char) {
        match verb {
            'x' | 'X' => self.hex(text, verb == 'X'),
            'q' => self.quoted(text),
            'v' if self.flags.sharp_v => self.quoted(text),
            _ => {
                let text = self.cut(text);
                self.pad(text);
            }
        }
    }

    /// Cuts to the precision, counted in characters.
    fn cut<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let Some(precision) = self.flags.precision else {
            return text;
        };
        let end = char_offset(text, precision);
        text.get(..end).unwrap_or(text)
    }

    fn quoted(&mut self, text: &[u8]) {
        let text = self.cut(text);
        let mut out = Vec::new();
        if self.flags.sharp && can_backquote(text) {
            out.push(b'`');
            out.extend_from_slice(text);
            out.push(b'`');
        } else {
            quote_into(&mut out, text, self.flags.plus);
        }
        self.pad(&out);
    }

    fn hex(&mut self, text: &[u8], upper: bool) {
        let text = match self.flags.precision {
            Some(n) => text.get(..n).unwrap_or(text),
            None => text,
        };
        let mut out = String::new();
        for (i, byte) in text.iter().enumerate() {
            if i > 0 && self.flags.space {
                out.push(' ');
            }
            if self.flags.sharp && (self.flags.space || i == 0) {
                out.push_str(if upper { "0X" } else { "0x" });
            }
            if upper {
                out.push_str(&format!("{byte:02X}"));
            } else {
                out.push_str(&format!("{byte:02x}"));
            }
        }
        self.pad(out.as_bytes());
    }

    fn integer(&mut self, n: u64, negative: bool, value: &Value, verb: char, depth: usize) {
        match verb {
            'v' | 'd' => self.signed(n, negative, 10, verb),
            'b' => self.signed(n, negative, 2, verb),
            'o' | 'O' => self.signed(n, negative, 8, verb),
            'x' | 'X' => self.signed(n, negative, 16, verb),
            'c' => {
                let c = rune(n, negative);
                self.pad(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            'q' => {
                let text = quote_rune(rune(n, negative), self.flags.plus);
                self.pad(&text);
            }
            'U' => {
                let n = if negative { n.wrapping_neg() } else { n };
                let digits = self.flags.precision.unwrap_or(4).max(4);
                let mut text = format!("U+{n:0digits$X}");
                if self.flags.sharp
                    && let Some(c) = u32::try_from(n).ok().and_then(char::from_u32)
                    && is_printable(c)
                {
                    text.push_str(&format!(" '{c}'"));
                }
                self.pad_blank(text.as_bytes());
            }
            _ => self.bad_verb(value, verb, depth),
        }
    }

    fn unsigned(&mut self, n: u64, base: u32, verb: char, sharp: bool) {
        let before = self.flags.sharp;
        self.flags.sharp |= sharp;
        self.signed(n, false, base, verb);
        self.flags.sharp = before;
    }

    fn signed(&mut self, n: u64, negative: bool, base: u32, verb: char) {
        let mut least = 0;
        if let Some(precision) = self.flags.precision {
            least = precision;
            if precision == 0 && n == 0 {
                self.pad_blank(b"");
                return;
            }
        } else if self.flags.zero && !self.flags.minus {
            least = self.flags.width.unwrap_or(0);
            if negative || self.flags.plus || self.flags.space {
                least = least.saturating_sub(1);
            }
        }
        let digits = match (base, verb) {
            (2, _) => format!("{n:b}"),
            (8, _) => format!("{n:o}"),
            (16, 'X') => format!("{n:X}"),
            (16, _) => format!("{n:x}"),
            _ => n.to_string(),
        };
        let mut text = String::new();
        if negative {
            text.push('-');
        } else if self.flags.plus {
            text.push('+');
        } else if self.flags.space {
            text.push(' ');
        }
        let zeros = least.saturating_sub(digits.len());
        if verb == 'O' {
            text.push_str("0o");
        }
        if self.flags.sharp {
            match base {
                2 => text.push_str("0b"),
                8 if zeros == 0 && !digits.starts_with('0') => text.push('0'),
                16 => text.push_str(if verb == 'X' { "0X" } else { "0x" }),
                _ => {}
            }
        }
        text.push_str(&"0".repeat(zeros));
        text.push_str(&digits);
        self.pad_blank(text.as_bytes());
    }

    fn float(&mut self, f: f64, value: &Value, verb: char, depth: usize) {
        match verb {
            'v' => self.number(f, 'g', -1),
            'b' | 'g' | 'G' | 'x' | 'X' => self.number(f, verb, -1),
            'f' | 'e' | 'E' => self.number(f, verb, 6),
            'F' => self.number(f, 'f', 6),
            _ => self.bad_verb(value, verb, depth),
        }
    }

    fn number(&mut self, f: f64, verb: char, precision: i32) {
        let precision = match self.flags.precision {
            Some(n) => i32::try_from(n).unwrap_or(i32::MAX),
            None => precision,
        };
        let mut text = match verb {
            'f' => float::float_f(f, precision),
            'e' | 'E' => float::float_e(f, precision),
            'b' => float::float_b(f),
            'x' | 'X' => float::float_x(f, precision),
            _ => float::float_g_precise(f, precision),
        };
        if verb.is_ascii_uppercase() && f.is_finite() {
            text.make_ascii_uppercase();
        }
        if !text.starts_with(['+', '-']) {
            text.insert(0, '+');
        }
        if self.flags.space && text.starts_with('+') && !self.flags.plus {
            text.replace_range(..1, " ");
        }
        if !f.is_finite() {
            let shown = if f.is_nan() && !self.flags.space && !self.flags.plus {
                "NaN".to_owned()
            } else {
                text
            };
            self.pad_blank(shown.as_bytes());
            return;
        }
        if self.flags.sharp && verb != 'b' {
            text = sharpened(&text, verb, precision);
        }
        if self.flags.plus || !text.starts_with('+') {
            let wide = self.flags.width.unwrap_or(0);
            if self.flags.zero && !self.flags.minus && wide > text.len() {
                let (sign, digits) = text.split_at(1);
                let zeros = "0".repeat(wide - text.len());
                self.out
                    .extend_from_slice(format!("{sign}{zeros}{digits}").as_bytes());
                return;
            }
            self.pad(text.as_bytes());
            return;
        }
        self.pad(text.get(1..).unwrap_or("").as_bytes());
    }

    fn complex(&mut self, re: f64, im: f64, value: &Value, verb: char, depth: usize) {
        if !matches!(
            verb,
            'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E'
        ) {
            self.bad_verb(value, verb, depth);
            return;
        }
        self.out.push(b'(');
        self.float(re, value, verb, depth);
        let plus = std::mem::replace(&mut self.flags.plus, true);
        self.float(im, value, verb, depth);
        self.flags.plus = plus;
        self.out.extend_from_slice(b"i)");
    }

    fn bytes(&mut self, bytes: &[u8], value: &Value, verb: char, depth: usize) {
        match verb {
            'v' | 'd' => {
                let sharp = self.flags.sharp_v;
                self.out
                    .extend_from_slice(if sharp { b"[]byte{" } else { b"[" });
                for (i, byte) in bytes.iter().enumerate() {
                    if i > 0 {
                        self.out.extend_from_slice(if sharp { b", " } else { b" " });
                    }
                    if sharp {
                        self.unsigned(u64::from(*byte), 16, 'v', true);
                    } else {
                        self.signed(u64::from(*byte), false, 10, verb);
                    }
                }
                self.out.push(if sharp { b'}' } else { b']' });
            }
            's' | 'x' | 'X' | 'q' => self.string(bytes, verb),
            _ => {
                let items: Vec<Value> = bytes
                    .iter()
                    .map(|b| Value::Uint(u64::from(*b), crate::helm::value::UintKind::Uint8))
                    .collect();
                self.list(&items, ListType::Any, value, verb, depth);
            }
        }
    }

    fn list(&mut self, items: &[Value], _ty: ListType, value: &Value, verb: char, depth: usize) {
        let sharp = self.flags.sharp_v;
        if sharp {
            self.out.extend_from_slice(value.type_name().as_bytes());
        }
        self.out.push(if sharp { b'{' } else { b'[' });
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.extend_from_slice(if sharp { b", " } else { b" " });
            }
            self.value(item, verb, depth + 1);
        }
        self.out.push(if sharp { b'}' } else { b']' });
    }

    fn map(&mut self, value: &Value, verb: char, depth: usize) {
        let sharp = self.flags.sharp_v;
        self.out.extend_from_slice(if sharp {
            value.type_name().as_bytes()
        } else {
            b"map"
        });
        self.out.push(if sharp { b'{' } else { b'[' });
        let entries = value.as_map().map(Map::entries).unwrap_or_default();
        for (i, (key, item)) in entries.iter().enumerate() {
            if i > 0 {
                self.out.extend_from_slice(if sharp { b", " } else { b" " });
            }
            self.value(&Value::Str(key.clone()), verb, depth + 1);
            self.out.push(b':');
            self.value(item, verb, depth + 1);
        }
        self.out.push(if sharp { b'}' } else { b']' });
    }

    fn object(&mut self, object: &Object, value: &Value, verb: char, depth: usize) {
        if !self.flags.sharp_v
            && matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
            && let Some(text) = stringer(object)
        {
            self.string(text.as_bytes(), verb);
            return;
        }
        match object {
            Object::Duration(n) => self.integer(n.unsigned_abs(), *n < 0, value, verb, depth),
            Object::Month(n) | Object::Weekday(n) => {
                self.integer(u64::from(*n), false, value, verb, depth);
            }
            _ => {
                if matches!(object, Object::Capabilities(_)) && depth == 0 {
                    self.out.push(b'&');
                }
                self.out.push(b'{');
                for (i, (name, field)) in fields(object).iter().enumerate() {
                    if i > 0 {
                        self.out.push(b' ');
                    }
                    if self.flags.plus_v {
                        self.out.extend_from_slice(name.as_bytes());
                        self.out.push(b':');
                    }
                    self.value(field, verb, depth + 1);
                }
                self.out.push(b'}');
            }
        }
    }
}

/// The `#` flag on floats: a decimal point always, and trailing zeros.
fn sharpened(text: &str, verb: char, precision: i32) -> String {
    let mut digits = match verb {
        'g' | 'G' | 'x' if precision < 0 => 6,
        'g' | 'G' | 'x' => precision,
        _ => 0,
    };
    let hex = matches!(verb, 'x' | 'X');
    let tail_at = text
        .find(['p', 'P'])
        .or_else(|| (!hex).then(|| text.find(['e', 'E'])).flatten())
        .unwrap_or(text.len());
    let (head, tail) = text.split_at(tail_at);
    let mut seen = false;
    for c in head.bytes().skip(1).filter(|c| *c != b'.') {
        seen |= c != b'0';
        if seen {
            digits -= 1;
        }
    }
    let mut out = head.to_owned();
    if !head.contains('.') {
        if head.len() == 2 && head.ends_with('0') {
            digits -= 1;
        }
        out.push('.');
    }
    out.push_str(&"0".repeat(usize::try_from(digits).unwrap_or(0)));
    out.push_str(tail);
    out
}

fn rune(n: u64, negative: bool) -> char {
    if negative {
        return '\u{fffd}';
    }
    u32::try_from(n)
        .ok()
        .and_then(char::from_u32)
        .unwrap_or('\u{fffd}')
}

/// `utf8.RuneCount`: an invalid byte counts as one character.
pub(crate) fn char_count(text: &[u8]) -> usize {
    text.utf8_chunks()
        .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
        .sum()
}

/// The byte offset of the n-th character.
fn char_offset(text: &[u8], n: usize) -> usize {
    let mut left = n;
    let mut offset = 0;
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if left == 0 {
                return offset;
            }
            left -= 1;
            offset += c.len_utf8();
        }
        for _ in chunk.invalid() {
            if left == 0 {
                return offset;
            }
            left -= 1;
            offset += 1;
        }
    }
    offset
}
