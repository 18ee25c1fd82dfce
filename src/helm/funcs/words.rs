//! Words: case conversions, abbreviations, wrapping, random letters.

use super::strings::{simple_lower, simple_upper};
use super::{Args, FnError, Function, Param, Returned, plain};
use crate::helm::engine::Run;
use crate::helm::value::Value;

const S: Param = Param::Str;
const I: Param = Param::Int;

pub(super) const FUNCTIONS: &[Function] = &[
    plain("title", &[S], |_, v| text_of(v, title)),
    plain("untitle", &[S], |_, v| text_of(v, untitle)),
    plain("nospace", &[S], |_, v| {
        text_of(v, |s| s.chars().filter(|c| !c.is_whitespace()).collect())
    }),
    plain("initials", &[S], |_, v| text_of(v, initials)),
    plain("swapcase", &[S], |_, v| text_of(v, swapcase)),
    plain("snakecase", &[S], |_, v| text_of(v, |s| separated(s, '_'))),
    plain("kebabcase", &[S], |_, v| text_of(v, |s| separated(s, '-'))),
    plain("camelcase", &[S], |_, v| text_of(v, pascal)),
    plain("abbrev", &[I, S], |_, v| {
        let mut args = Args::new(v);
        let width = args.int();
        Ok(Value::from(abbreviate(&args.bytes(), 0, width)))
    }),
    plain("abbrevboth", &[I, I, S], |_, v| {
        let mut args = Args::new(v);
        let (left, right) = (args.int(), args.int());
        let s = args.bytes();
        if right < 4 || left > 0 && right < 7 {
            return Ok(Value::Str(s));
        }
        Ok(Value::from(abbreviate(&s, left, right)))
    }),
    plain("wrap", &[I, S], |run, v| {
        let mut args = Args::new(v);
        let (width, s) = (args.int(), args.bytes());
        wrap(run, &s, width, b"\n", false)
    }),
    plain("wrapWith", &[I, S, S], |run, v| {
        let mut args = Args::new(v);
        let (width, sep, s) = (args.int(), args.bytes(), args.bytes());
        let sep: &[u8] = if sep.is_empty() { b"\n" } else { &sep };
        wrap(run, &s, width, sep, true)
    }),
    plain("shuffle", &[S], shuffle),
    plain("randAlphaNum", &[I], |run, v| random(run, v, ALPHANUMERIC)),
    plain("randAlpha", &[I], |run, v| random(run, v, ALPHA)),
    plain("randNumeric", &[I], |run, v| random(run, v, b"0123456789")),
    plain("randAscii", &[I], rand_ascii),
];

const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const ALPHA: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn text_of(values: Vec<Value>, change: impl Fn(&str) -> String) -> Returned {
    Ok(Value::from(change(&Args::new(values).text())))
}

fn separates(c: char) -> bool {
    if c.is_ascii() {
        return !(c.is_ascii_alphanumeric() || c == '_');
    }
    !c.is_alphabetic() && !c.is_numeric() && c.is_whitespace()
}

fn title(text: &str) -> String {
    let mut previous = ' ';
    text.chars()
        .map(|c| {
            let starts = separates(previous);
            previous = c;
            if starts { simple_upper(c) } else { c }
        })
        .collect()
}

fn untitle(text: &str) -> String {
    let mut starts = true;
    text.chars()
        .map(|c| {
            if c.is_whitespace() {
                starts = true;
                c
            } else if std::mem::take(&mut starts) {
                simple_lower(c)
            } else {
                c
            }
        })
        .collect()
}

/// The first byte of each word, read as a character.
fn initials(text: &str) -> String {
    let mut gap = true;
    let mut out = String::new();
    for c in text.bytes().map(char::from) {
        if c.is_whitespace() {
            gap = true;
        } else if std::mem::take(&mut gap) {
            out.push(c);
        }
    }
    out
}

fn swapcase(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_uppercase() {
                simple_lower(c)
            } else if c.is_lowercase() {
                simple_upper(c)
            } else {
                c
            }
        })
        .collect()
}

fn connects(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

fn pascal(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    // Connectors in front stay.
    let mut current = loop {
        match chars.next() {
            None => return out,
            Some(c) if connects(c) => out.push(c),
            Some(c) => break c,
        }
    };
    let mut upper_run = current.is_uppercase();
    current = simple_upper(current);
    for c in chars {
        let previous = current;
        current = c;
        if connects(current) && connects(previous) {
            out.push(previous);
            continue;
        }
        if connects(previous) {
            upper_run = current.is_uppercase();
            current = simple_upper(current);
        } else {
            if upper_run {
                if current.is_uppercase() {
                    current = simple_lower(current);
                } else {
                    upper_run = false;
                }
            }
            out.push(previous);
        }
    }
    out.push(current);
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    Number,
    Upper,
    Alphabet,
    Connector,
    Punctuation,
    Other,
}

fn is_alphabet(c: char) -> bool {
    // Letters of scripts without case stand alone.
    c.is_uppercase() || c.is_lowercase()
}

fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_punctuation() && !"$+<=>^`|~".contains(c);
    }
    !c.is_alphanumeric()
        && !c.is_whitespace()
        && matches!(u32::from(c), 0xa1 | 0xa7 | 0xab | 0xb6 | 0xb7 | 0xbb | 0xbf | 0x2010..=0x2027 | 0x2030..=0x205e | 0x3001..=0x3003 | 0x3008..=0x3011)
}

fn run_len(text: &str, accept: impl Fn(char) -> bool) -> usize {
    text.char_indices()
        .find(|(_, c)| !accept(*c))
        .map_or(text.len(), |(i, _)| i)
}

fn next_word(text: &str) -> (Word, &str, &str) {
    let Some(first) = text.chars().next() else {
        return (Word::None, "", "");
    };
    let (kind, len) = if connects(first) {
        (Word::Connector, run_len(text, connects))
    } else if is_punctuation(first) {
        (Word::Punctuation, run_len(text, is_punctuation))
    } else if first.is_uppercase() {
        (Word::Upper, upper_len(text, first))
    } else if is_alphabet(first) {
        (
            Word::Alphabet,
            run_len(text, |c| is_alphabet(c) && !c.is_uppercase()),
        )
    } else if first.is_numeric() {
        (Word::Number, run_len(text, char::is_numeric))
    } else {
        let other =
            |c: char| !(connects(c) || is_alphabet(c) || c.is_numeric() || is_punctuation(c));
        (Word::Other, run_len(text, other))
    };
    let (word, rest) = text.split_at(len);
    (kind, word, rest)
}

/// `HTTPStatus` is two words: the last capital belongs to the second.
fn upper_len(text: &str, first: char) -> usize {
    let capitals = run_len(text, char::is_uppercase);
    let after = text.get(capitals..).unwrap_or("");
    let lower = run_len(after, |c| is_alphabet(c) && !c.is_uppercase());
    if capitals == first.len_utf8() {
        return capitals + lower;
    }
    if lower > 0 {
        let last = text
            .get(..capitals)
            .and_then(|t| t.chars().last())
            .map_or(0, char::len_utf8);
        return capitals - last;
    }
    capitals
}

fn push_lower(out: &mut String, kind: Word, word: &str, connector: char) {
    if !matches!(kind, Word::Upper | Word::Connector) {
        out.push_str(word);
        return;
    }
    out.extend(word.chars().map(|c| {
        if connects(c) {
            connector
        } else if c.is_uppercase() {
            simple_lower(c)
        } else {
            c
        }
    }));
}

fn separated(text: &str, connector: char) -> String {
    let mut out = String::new();
    let (mut kind, mut word, mut rest) = next_word(text);
    let joins = |kind: Word| matches!(kind, Word::Connector | Word::Punctuation);
    while !rest.is_empty() {
        if kind != Word::Connector {
            push_lower(&mut out, kind, word, connector);
        }
        let (previous, last) = (kind, word);
        (kind, word, rest) = next_word(rest);
        match previous {
            Word::Number => {
                while matches!(kind, Word::Alphabet | Word::Number) {
                    push_lower(&mut out, kind, word, connector);
                    (kind, word, rest) = next_word(rest);
                }
                if kind != Word::None && !joins(kind) {
                    out.push(connector);
                }
            }
            Word::Connector => push_lower(&mut out, previous, last, connector),
            Word::Punctuation => {}
            _ if kind != Word::Number => {
                if !joins(kind) {
                    out.push(connector);
                }
            }
            _ if rest.is_empty() => {}
            _ => {
                let number = word;
                (kind, word, rest) = next_word(rest);
                if kind != Word::Alphabet {
                    push_lower(&mut out, Word::Number, number, connector);
                    if !joins(kind) {
                        out.push(connector);
                    }
                    continue;
                }
                out.push(connector);
                push_lower(&mut out, Word::Number, number, connector);
                while matches!(kind, Word::Alphabet | Word::Number) {
                    push_lower(&mut out, kind, word, connector);
                    (kind, word, rest) = next_word(rest);
                }
                if kind != Word::None && !joins(kind) {
                    out.push(connector);
                }
            }
        }
    }
    push_lower(&mut out, kind, word, connector);
    out
}

/// Cuts to a width with dots, in front as well when the offset asks for it.
fn abbreviate(text: &[u8], offset: i64, width: i64) -> Vec<u8> {
    let Ok(width) = usize::try_from(width) else {
        return text.to_vec();
    };
    if width < 4 || text.len() <= width {
        return text.to_vec();
    }
    let mut offset = usize::try_from(offset).unwrap_or(0).min(text.len());
    if text.len() - offset < width - 3 {
        offset = text.len() - (width - 3);
    }
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or(&[]).to_vec();
    if offset <= 4 {
        return [part(0, width - 3), b"...".to_vec()].concat();
    }
    if width < 7 {
        return Vec::new();
    }
    if offset + width - 3 < text.len() {
        let inner = abbreviate(
            &part(offset, text.len()),
            0,
            i64::try_from(width - 3).unwrap_or(0),
        );
        return [b"...".to_vec(), inner].concat();
    }
    [b"...".to_vec(), part(text.len() - (width - 3), text.len())].concat()
}

fn wrap(run: &mut Run<'_>, text: &[u8], width: i64, sep: &[u8], cut_words: bool) -> Returned {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    run.afford(
        (text.len() / width + 1)
            .saturating_mul(sep.len() + 1)
            .saturating_add(text.len()),
    )?;
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or(&[]);
    let mut out = Vec::new();
    let mut offset = 0;
    while text.len() - offset > width {
        if text.get(offset) == Some(&b' ') {
            offset += 1;
            continue;
        }
        let line = part(offset, offset + width + 1);
        if let Some(at) = line.iter().rposition(|c| *c == b' ') {
            out.extend_from_slice(part(offset, offset + at));
            out.extend_from_slice(sep);
            offset += at + 1;
        } else if cut_words {
            out.extend_from_slice(part(offset, offset + width));
            out.extend_from_slice(sep);
            offset += width;
        } else {
            let rest = part(offset + width, text.len());
            match rest.iter().position(|c| *c == b' ') {
                None => {
                    out.extend_from_slice(part(offset, text.len()));
                    offset = text.len();
                }
                Some(at) => {
                    let end = offset + width + at;
                    out.extend_from_slice(part(offset, end));
                    out.extend_from_slice(sep);
                    offset = end + 1;
                }
            }
        }
    }
    out.extend_from_slice(part(offset, text.len()));
    Ok(Value::from(out))
}

/// A random number below `bound`, without bias.
pub(super) fn below(run: &Run<'_>, bound: u64) -> u64 {
    let bound = bound.max(1);
    let zone = u64::MAX - u64::MAX % bound;
    loop {
        let mut bytes = [0; 8];
        run.random(&mut bytes);
        let n = u64::from_le_bytes(bytes);
        if n < zone {
            return n % bound;
        }
    }
}

fn shuffle(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut chars: Vec<char> = Args::new(values).text().chars().collect();
    for i in (1..chars.len()).rev() {
        let j = usize::try_from(below(run, i as u64 + 1)).unwrap_or(0);
        chars.swap(i, j);
    }
    Ok(Value::from(chars.into_iter().collect::<String>()))
}

fn length(run: &mut Run<'_>, values: Vec<Value>) -> Result<usize, FnError> {
    let n = Args::new(values).int();
    let n = usize::try_from(n).unwrap_or(0);
    run.afford(n)?;
    run.work(n)?;
    Ok(n)
}

fn random(run: &mut Run<'_>, values: Vec<Value>, from: &[u8]) -> Returned {
    let n = length(run, values)?;
    let pick = |_| {
        let at = usize::try_from(below(run, from.len() as u64)).unwrap_or(0);
        from.get(at).copied().unwrap_or(b'0')
    };
    let text: Vec<u8> = (0..n).map(pick).collect();
    Ok(Value::from(text))
}

fn rand_ascii(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let printable: Vec<u8> = (b' '..=b'~').collect();
    random(run, values, &printable)
}
