//! What a plain scalar means: the YAML 1.1 rules as go-yaml 2 applies them.

use std::borrow::Cow;

/// A resolved scalar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    /// A timestamp, which stays text.
    Timestamp,
    Str,
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let unsigned = |text: &str| text.strip_prefix(['-', '+']).unwrap_or(text).len();
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = |text, from| str::get(text, from..).unwrap_or_default();
    let text = rest(text, text.len() - unsigned(text));
    let whole = digits(text);
    let mut text = rest(text, whole);
    if let Some(fraction) = text.strip_prefix('.') {
        let len = digits(fraction);
        if whole + len == 0 {
            return false;
        }
        text = rest(fraction, len);
    } else if whole == 0 {
        return false;
    }
    match text.strip_prefix(['e', 'E']) {
        None => text.is_empty(),
        Some(exponent) => {
            let exponent = rest(exponent, exponent.len() - unsigned(exponent));
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
    }
}

/// Resolves a scalar without a tag.
pub(super) fn resolve(text: &str) -> Scalar {
    resolve_hinted(text, true)
}

/// Resolves; a timestamp is looked for only when `timestamps`.
pub(super) fn resolve_hinted(text: &str, timestamps: bool) -> Scalar {
    let Some(&first) = text.as_bytes().first() else {
        return Scalar::Null;
    };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => {
            word(text).unwrap_or(Scalar::Str)
        }
        b'.' => word(text).unwrap_or_else(|| go_float(text).map_or(Scalar::Str, Scalar::Float)),
        b'+' | b'-' | b'0'..=b'9' => word(text).unwrap_or_else(|| number(text, timestamps)),
        _ => Scalar::Str,
    }
}

fn word(text: &str) -> Option<Scalar> {
    Some(match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Scalar::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Scalar::Bool(false)
        }
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

fn number(text: &str, timestamps: bool) -> Scalar {
    if timestamps && is_timestamp(text) {
        return Scalar::Timestamp;
    }
    let plain = match text.contains('_') {
        true => Cow::Owned(text.replace('_', "")),
        false => Cow::Borrowed(text),
    };
    if let Some(n) = parse_int(&plain) {
        return Scalar::Int(n);
    }
    if let Some(n) = parse_uint(&plain) {
        return Scalar::Uint(n);
    }
    if is_float(&plain)
        && let Ok(f) = plain.parse::<f64>()
        && f.is_finite()
    {
        return Scalar::Float(f);
    }
    Scalar::Str
}

/// A float that starts with a point, in Go's syntax with its underscores.
fn go_float(text: &str) -> Option<f64> {
    if !is_float(text) {
        return None;
    }
    text.parse::<f64>().ok().filter(|f| f.is_finite())
}

fn magnitude(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let (digits, radix) = match bytes {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', b'b' | b'B', ..] => (text.get(2..)?, 2),
        [b'0', b'o' | b'O', ..] => (text.get(2..)?, 8),
        [b'0', _, ..] => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

fn parse_int(text: &str) -> Option<i64> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let n = magnitude(rest)?;
    if negative {
        0_i64.checked_sub_unsigned(n)
    } else {
        i64::try_from(n).ok()
    }
}

fn parse_uint(text: &str) -> Option<u64> {
    magnitude(text)
}

/// Whether the text is one of the timestamp forms that go-yaml reads.
fn is_timestamp(text: &str) -> bool {
    let Some((year, rest)) = text.split_once('-') else {
        return false;
    };
    if year.len() != 4 || !year.bytes().all(|c| c.is_ascii_digit()) {
        return false;
    }
    let Some((month, rest)) = rest.split_once('-') else {
        return false;
    };
    let day_len = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (day, rest) = rest.split_at(day_len);
    let (Some(year), Some(month), Some(day)) = (
        year.parse::<u32>().ok(),
        bounded(month, 1, 12),
        bounded(day, 1, 31),
    ) else {
        return false;
    };
    if day > days_in(year, month) {
        return false;
    }
    match rest.as_bytes().first() {
        None => true,
        Some(b'T' | b't') => clock(rest.get(1..).unwrap_or("")).is_some_and(zone),
        Some(b' ') => clock(rest.get(1..).unwrap_or("")).is_some_and(str::is_empty),
        _ => false,
    }
}

fn bounded(text: &str, low: u32, high: u32) -> Option<u32> {
    if text.is_empty() || text.len() > 2 || !text.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n| (low..=high).contains(n))
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

/// Reads `15:4:5.999` and returns what follows.
fn clock(text: &str) -> Option<&str> {
    let (hour, rest) = text.split_once(':')?;
    let (minute, rest) = rest.split_once(':')?;
    let len = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (second, mut rest) = rest.split_at(len);
    bounded(hour, 0, 23)?;
    bounded(minute, 0, 59)?;
    bounded(second, 0, 59)?;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if len == 0 {
            return None;
        }
        rest = fraction.get(len..)?;
    }
    Some(rest)
}

fn zone(text: &str) -> bool {
    if text == "Z" {
        return true;
    }
    let Some(rest) = text.strip_prefix(['+', '-']) else {
        return false;
    };
    match rest.split_once(':') {
        Some((h, m)) => {
            h.len() == 2
                && m.len() == 2
                && bounded(h, 0, 24).is_some()
                && bounded(m, 0, 60).is_some()
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_resolve_as_yaml_1_1() {
        let cases = [
            ("0777", Scalar::Int(511)),
            ("0o17", Scalar::Int(15)),
            ("0x1f", Scalar::Int(31)),
            ("0b11", Scalar::Int(3)),
            ("1_000", Scalar::Int(1000)),
            ("08", Scalar::Float(8.0)),
            ("+1", Scalar::Int(1)),
            ("1.", Scalar::Float(1.0)),
            (".5", Scalar::Float(0.5)),
            ("1e3", Scalar::Float(1000.0)),
            ("1:30", Scalar::Str),
            ("0x1p3", Scalar::Str),
            ("1e400", Scalar::Str),
            ("_1", Scalar::Str),
            (
                "12345678901234567890",
                Scalar::Uint(12_345_678_901_234_567_890),
            ),
            ("yes", Scalar::Bool(true)),
            ("yEs", Scalar::Str),
            ("off", Scalar::Bool(false)),
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("2001-12-14", Scalar::Timestamp),
            ("2001-1-1", Scalar::Timestamp),
            ("2001-02-30", Scalar::Str),
            ("2001-12-14 01:02:03", Scalar::Timestamp),
            ("2001-12-14 21:59:43.10 -5", Scalar::Str),
            ("1.2.3", Scalar::Str),
            ("0b", Scalar::Str),
            ("1e", Scalar::Str),
        ];
        for (text, expected) in cases {
            assert_eq!(resolve(text), expected, "{text}");
        }
    }
}
