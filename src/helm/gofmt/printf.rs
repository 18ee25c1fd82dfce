//! `fmt.Sprintf`: reading formats.

mod printer;

use self::printer::{Flags, Printer};
use crate::helm::object::Object;
use crate::helm::value::Value;

pub(super) use self::printer::write_plain;

/// Widths and precisions beyond this are refused, as in Go.
const WIDEST: i64 = 1_000_000;

/// `fmt.Sprintf`. `None` when the text would be longer than `limit`.
pub fn sprintf(format: &[u8], args: &[Value], limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut run = Run {
        format,
        at: 0,
        args,
        next: 0,
        reordered: false,
        good: true,
    };
    while run.at < format.len() {
        let rest = format.get(run.at..).unwrap_or(&[]);
        let text = rest.iter().position(|c| *c == b'%').unwrap_or(rest.len());
        out.extend_from_slice(rest.get(..text).unwrap_or(rest));
        run.at += text;
        if run.at < format.len() {
            run.at += 1;
            run.verb(&mut out);
        }
        if out.len() > limit {
            return None;
        }
    }
    if !run.reordered && run.next < args.len() {
        out.extend_from_slice(b"%!(EXTRA ");
        for (i, arg) in args.iter().skip(run.next).enumerate() {
            if i > 0 {
                out.extend_from_slice(b", ");
            }
            if arg.is_nil() {
                out.extend_from_slice(b"<nil>");
            } else {
                out.extend_from_slice(arg.type_name().as_bytes());
                out.push(b'=');
                write_plain(&mut out, arg);
            }
        }
        out.push(b')');
    }
    Some(out)
}

struct Run<'a> {
    format: &'a [u8],
    at: usize,
    args: &'a [Value],
    next: usize,
    reordered: bool,
    good: bool,
}

impl Run<'_> {
    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    fn verb(&mut self, out: &mut Vec<u8>) {
        let mut flags = Flags::default();
        self.good = true;
        while let Some(c) = self.peek() {
            match c {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => break,
            }
            self.at += 1;
        }
        let mut after_index = self.index();
        if self.peek() == Some(b'*') {
            self.at += 1;
            match self.star() {
                Some(n) => {
                    if n < 0 {
                        flags.minus = true;
                        flags.zero = false;
                    }
                    flags.width = usize::try_from(n.unsigned_abs()).ok();
                }
                None => out.extend_from_slice(b"%!(BADWIDTH)"),
            }
            after_index = false;
        } else {
            match self.number() {
                Number::None => {}
                Number::TooLarge => {}
                Number::Is(n) => {
                    flags.width = Some(n);
                    if after_index {
                        self.good = false;
                    }
                }
            }
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if after_index {
                self.good = false;
            }
            after_index = self.index();
            if self.peek() == Some(b'*') {
                self.at += 1;
                match self.star() {
                    Some(n) if n >= 0 => flags.precision = usize::try_from(n).ok(),
                    Some(_) | None => {
                        flags.precision = None;
                        out.extend_from_slice(b"%!(BADPREC)");
                    }
                }
                after_index = false;
            } else {
                flags.precision = match self.number() {
                    Number::Is(n) => Some(n),
                    Number::None | Number::TooLarge => Some(0),
                };
            }
        }
        if !after_index {
            self.index();
        }
        self.finish(flags, out);
    }

    fn finish(&mut self, mut flags: Flags, out: &mut Vec<u8>) {
        let rest = self.format.get(self.at..).unwrap_or(&[]);
        let Some(first) = rest.utf8_chunks().next() else {
            out.extend_from_slice(b"%!(NOVERB)");
            return;
        };
        let verb = if let Some(c) = first.valid().chars().next() {
            self.at += c.len_utf8();
            c
        } else {
            self.at += 1;
            '\u{fffd}'
        };
        if verb == '%' {
            out.push(b'%');
            return;
        }
        let mut complain = |what: &str| {
            out.extend_from_slice(format!("%!{verb}({what})").as_bytes());
        };
        if !self.good {
            complain("BADINDEX");
            return;
        }
        let Some(arg) = self.args.get(self.next) else {
            complain("MISSING");
            return;
        };
        self.next += 1;
        if verb == 'v' {
            flags.sharp_v = std::mem::take(&mut flags.sharp);
            flags.plus_v = std::mem::take(&mut flags.plus);
        }
        Printer { out, flags }.arg(arg, verb);
    }

    fn number(&mut self) -> Number {
        let mut n: i64 = 0;
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            n = n * 10 + i64::from(digit - b'0');
            self.at += 1;
            if n > WIDEST {
                return Number::TooLarge;
            }
        }
        match usize::try_from(n) {
            Ok(n) if self.at > start => Number::Is(n),
            _ => Number::None,
        }
    }

    /// Reads an argument index such as `[2]`. Returns whether there was one.
    fn index(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let rest = self.format.get(self.at + 1..).unwrap_or(&[]);
        let Some(end) = rest.iter().position(|c| *c == b']') else {
            self.good = false;
            self.at += 1;
            return false;
        };
        let number = rest
            .get(..end)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse::<usize>().ok());
        self.at += end + 2;
        match number {
            Some(n) if n >= 1 && n <= self.args.len() => {
                self.next = n - 1;
                true
            }
            _ => {
                self.good = false;
                true
            }
        }
    }

    fn star(&mut self) -> Option<i64> {
        let n = match self.args.get(self.next) {
            Some(Value::Int(n, _)) => Some(*n),
            Some(Value::Uint(n, _)) => i64::try_from(*n).ok(),
            Some(Value::Obj(Object::Duration(n))) => Some(*n),
            _ => None,
        };
        if self.next < self.args.len() {
            self.next += 1;
        }
        n.filter(|n| (-WIDEST..=WIDEST).contains(n))
    }
}

enum Number {
    None,
    Is(usize),
    TooLarge,
}
