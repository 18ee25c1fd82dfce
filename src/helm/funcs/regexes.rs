//! Regular expressions in Go's syntax, run by the `regex` crate.
//!
//! Both are RE2 dialects. The differences are translated: Go's `\d`, `\w`,
//! `\s` and `\b` know ASCII only, `\Q…\E` quotes, and brackets inside a class
//! are literal.

use regex::bytes::{NoExpand, Regex, RegexBuilder};

use super::{Args, FnError, Function, Param, Returned, plain};
use crate::helm::engine::Run;
use crate::helm::value::{List, ListType, Str, Value};

const S: Param = Param::Str;
const I: Param = Param::Int;

pub(super) const FUNCTIONS: &[Function] = &[
    plain("regexMatch", &[S, S], |run, v| {
        Ok(is_match(run, v).unwrap_or(Value::Bool(false)))
    }),
    plain("mustRegexMatch", &[S, S], is_match),
    plain("regexFind", &[S, S], |run, v| find(run, v, true)),
    plain("mustRegexFind", &[S, S], |run, v| find(run, v, false)),
    plain("regexFindAll", &[S, S, I], |run, v| find_all(run, v, true)),
    plain("mustRegexFindAll", &[S, S, I], |run, v| {
        find_all(run, v, false)
    }),
    plain("regexReplaceAll", &[S, S, S], |run, v| {
        replace(run, v, true, false)
    }),
    plain("mustRegexReplaceAll", &[S, S, S], |run, v| {
        replace(run, v, false, false)
    }),
    plain("regexReplaceAllLiteral", &[S, S, S], |run, v| {
        replace(run, v, true, true)
    }),
    plain("mustRegexReplaceAllLiteral", &[S, S, S], |run, v| {
        replace(run, v, false, true)
    }),
    plain("regexSplit", &[S, S, I], |run, v| split(run, v, true)),
    plain("mustRegexSplit", &[S, S, I], |run, v| split(run, v, false)),
    plain("regexQuoteMeta", &[S], |_, v| {
        let text = Args::new(v).text();
        let mut out = String::new();
        for c in text.chars() {
            if "\\.+*?()|[]{}^$".contains(c) {
                out.push('\\');
            }
            out.push(c);
        }
        Ok(Value::from(out))
    }),
];

/// The size of a compiled expression, which bounds compiling as well.
const SIZE_LIMIT: usize = 8 << 20;

fn compiled(run: &mut Run<'_>, pattern: &Str, must: bool) -> Result<Regex, FnError> {
    if let Some(regex) = run.regexes.get(pattern) {
        return Ok(regex.clone());
    }
    let text = String::from_utf8_lossy(pattern);
    let regex = RegexBuilder::new(&translate(&text))
        .size_limit(SIZE_LIMIT)
        .build()
        .map_err(|error| {
            let reason = format!("error parsing regexp: {}", reason(&error, &text));
            FnError::text(if must {
                format!("regexp: Compile({}): {reason}", go_quoted(&text))
            } else {
                reason
            })
        })?;
    run.regexes.insert(pattern.clone(), regex.clone());
    Ok(regex)
}

fn go_quoted(text: &str) -> String {
    if text.contains('`') {
        String::from_utf8_lossy(&crate::helm::gofmt::quote(text.as_bytes())).into_owned()
    } else {
        format!("`{text}`")
    }
}

/// The reason in Go's words, as far as they can be told from the crate's.
fn reason(error: &regex::Error, pattern: &str) -> String {
    let text = error.to_string();
    let has = |what: &str| text.contains(what);
    if has("unclosed group") {
        format!("missing closing ): `{pattern}`")
    } else if has("unopened group") {
        format!("unexpected ): `{pattern}`")
    } else if has("unclosed character class") {
        let from = pattern.find('[').unwrap_or(0);
        format!("missing closing ]: `{}`", pattern.get(from..).unwrap_or(""))
    } else if has("missing expression") {
        let sign = pattern.find(['*', '+', '?']).unwrap_or(0);
        format!(
            "missing argument to repetition operator: `{}`",
            pattern.get(sign..=sign).unwrap_or("")
        )
    } else if has("unrecognized escape") {
        let at = pattern.find('\\').unwrap_or(0);
        let shown: String = pattern.get(at..).unwrap_or("").chars().take(2).collect();
        format!("invalid escape sequence: `{shown}`")
    } else if has("look-around") || has("flag") || has("group name") {
        let at = pattern.find("(?").unwrap_or(0);
        let shown: String = pattern.get(at..).unwrap_or("").chars().take(3).collect();
        format!("invalid or unsupported Perl syntax: `{shown}`")
    } else if has("size limit") {
        "expression too large".to_owned()
    } else {
        format!("invalid expression: `{pattern}`")
    }
}

/// Rewrites Go's syntax as the crate's.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars().peekable();
    let mut class = false;
    let mut class_start = false;
    while let Some(c) = chars.next() {
        let at_start = std::mem::take(&mut class_start);
        match c {
            '\\' => match chars.next() {
                None => out.push('\\'),
                Some('Q') if !class => quote(&mut out, &mut chars),
                Some(c) => escape(&mut out, c, class),
            },
            '[' if !class => {
                class = true;
                class_start = true;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    chars.next();
                    out.push('^');
                }
            }
            '[' if chars.peek() == Some(&':') => {
                // A named class goes through as it is.
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' => out.push_str("\\["),
            ']' if class && at_start => out.push_str("\\]"),
            ']' if class => {
                class = false;
                out.push(']');
            }
            '&' | '~' | '#' if class => {
                out.push('\\');
                out.push(c);
            }
            '-' if class && chars.peek() == Some(&'-') => out.push_str("\\-"),
            // A brace that is no repetition is literal in Go.
            '{' if !class && !repetition(chars.clone()) => out.push_str("\\{"),
            c => out.push(c),
        }
    }
    out
}

/// Whether `2}`, `2,}` or `2,3}` follows an opening brace.
fn repetition(chars: std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let body: String = chars.take_while(|c| *c != '}').take(12).collect();
    let mut parts = body.splitn(2, ',');
    let first = parts.next().unwrap_or("");
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    !first.is_empty() && digits(first) && parts.next().is_none_or(digits)
}

fn quote(out: &mut String, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(c) = chars.next() {
        if c == '\\' && chars.peek() == Some(&'E') {
            chars.next();
            return;
        }
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

fn escape(out: &mut String, c: char, class: bool) {
    let text = match (c, class) {
        ('d', false) => "[0-9]",
        ('d', true) => "0-9",
        ('D', _) => "[^0-9]",
        ('w', false) => "[0-9A-Za-z_]",
        ('w', true) => "0-9A-Za-z_",
        ('W', _) => "[^0-9A-Za-z_]",
        ('s', false) => "[\\t\\n\\f\\r ]",
        ('s', true) => "\\t\\n\\f\\r ",
        ('S', _) => "[^\\t\\n\\f\\r ]",
        ('b', false) => "(?-u:\\b)",
        ('B', false) => "(?-u:\\B)",
        ('C', false) => "(?s-u:.)",
        // A letter that the crate knows and Go does not must stay an error.
        ('<' | '>', _) => return out.push(c),
        ('u' | 'U' | 'h' | 'R' | 'K' | 'Z', _) => "\\y",
        _ => {
            out.push('\\');
            out.push(c);
            return;
        }
    };
    out.push_str(text);
}

fn is_match(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let regex = compiled(run, &args.bytes(), false)?;
    Ok(Value::Bool(regex.is_match(&args.bytes())))
}

fn find(run: &mut Run<'_>, values: Vec<Value>, must: bool) -> Returned {
    let mut args = Args::new(values);
    let regex = compiled(run, &args.bytes(), must)?;
    let text = args.bytes();
    Ok(Value::str(
        regex.find(&text).map_or(&[][..], |found| found.as_bytes()),
    ))
}

fn most(n: i64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn strings(parts: Vec<Value>) -> Value {
    if parts.is_empty() {
        return Value::List(List::nil(ListType::Strings));
    }
    Value::List(List::strings(parts))
}

fn find_all(run: &mut Run<'_>, values: Vec<Value>, must: bool) -> Returned {
    let mut args = Args::new(values);
    let regex = compiled(run, &args.bytes(), must)?;
    let (text, n) = (args.bytes(), args.int());
    run.work(text.len() / 64)?;
    let found = regex
        .find_iter(&text)
        .take(most(n))
        .map(|found| Value::str(found.as_bytes()))
        .collect();
    Ok(strings(found))
}

fn replace(run: &mut Run<'_>, values: Vec<Value>, must: bool, literal: bool) -> Returned {
    let mut args = Args::new(values);
    let regex = compiled(run, &args.bytes(), must)?;
    let (text, replacement) = (args.bytes(), args.bytes());
    let references = replacement.iter().filter(|c| **c == b'$').count();
    let longest = replacement.len() + if literal { 0 } else { references * text.len() };
    let matches = regex.find_iter(&text).count();
    run.afford(matches.saturating_mul(longest))?;
    let out = if literal {
        regex.replace_all(&text, NoExpand(&replacement))
    } else {
        regex.replace_all(&text, &replacement[..])
    };
    Ok(Value::str(out))
}

fn split(run: &mut Run<'_>, values: Vec<Value>, must: bool) -> Returned {
    let mut args = Args::new(values);
    let pattern = args.bytes();
    let regex = compiled(run, &pattern, must)?;
    let (text, n) = (args.bytes(), args.int());
    if n == 0 {
        return Ok(strings(Vec::new()));
    }
    if !pattern.is_empty() && text.is_empty() {
        return Ok(strings(vec![Value::str("")]));
    }
    let mut parts = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for found in regex.find_iter(&text).take(most(n)) {
        if n > 0 && parts.len() + 1 == most(n) {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            parts.push(Value::str(text.get(begin..end).unwrap_or(&[])));
        }
        begin = found.end();
    }
    if end != text.len() {
        parts.push(Value::str(text.get(begin..).unwrap_or(&[])));
    }
    Ok(strings(parts))
}
