//! Number and string literals of Go.

use super::ast::Number;

/// Parses a number or character literal; the error is a message.
pub(super) fn number(text: &str) -> Result<Number, String> {
    let illegal = || format!("illegal number syntax: {}", quoted(text));
    let mut out = Number {
        text: text.into(),
        int: None,
        uint: None,
        float: None,
        complex: None,
    };
    if text.starts_with('\'') {
        let c = character(text).ok_or_else(|| format!("malformed character constant: {text}"))?;
        out.int = Some(i64::from(c));
        out.uint = Some(u64::from(c));
        out.float = Some(f64::from(c));
        return Ok(out);
    }
    if let Some(body) = text.strip_suffix('i') {
        out.complex = Some(complex(body).ok_or_else(illegal)?);
        simplify(&mut out);
        return Ok(out);
    }
    // Between two numbers a sign means a complex literal, which ends in i.
    if text.char_indices().skip(1).any(|(i, c)| {
        matches!(c, '+' | '-')
            && !text
                .get(..i)
                .is_some_and(|t| t.ends_with(['e', 'E', 'p', 'P']))
    }) {
        return Err(illegal());
    }
    let magnitude = integer(text.strip_prefix('+').unwrap_or(text));
    if !text.starts_with(['+', '-']) {
        out.uint = magnitude;
    }
    out.int = match text.strip_prefix('-') {
        Some(digits) => integer(digits).and_then(|n| 0_i64.checked_sub_unsigned(n)),
        None => magnitude.and_then(|n| i64::try_from(n).ok()),
    };
    if text.starts_with('-') && out.int == Some(0) {
        out.uint = Some(0);
    }
    #[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
    if let Some(n) = out.int {
        out.float = Some(n as f64);
        return Ok(out);
    } else if let Some(n) = out.uint {
        out.float = Some(n as f64);
        return Ok(out);
    }
    let f = float(text).ok_or_else(illegal)?;
    if !text.contains(['.', 'e', 'E', 'p', 'P']) {
        return Err(format!("integer overflow: {}", quoted(text)));
    }
    out.float = Some(f);
    out.int = whole(f);
    out.uint = whole_unsigned(f);
    Ok(out)
}

fn quoted(text: &str) -> String {
    String::from_utf8_lossy(&crate::helm::gofmt::quote(text.as_bytes())).into_owned()
}

#[expect(clippy::cast_possible_truncation, reason = "checked by the way back")]
#[expect(clippy::cast_precision_loss, reason = "the check itself")]
#[expect(clippy::float_cmp, reason = "exactness is the question")]
fn whole(f: f64) -> Option<i64> {
    let n = f as i64;
    (n as f64 == f && f.abs() < 9.3e18).then_some(n)
}

#[expect(clippy::cast_possible_truncation, reason = "checked by the way back")]
#[expect(clippy::cast_sign_loss, reason = "checked before")]
#[expect(clippy::cast_precision_loss, reason = "the check itself")]
#[expect(clippy::float_cmp, reason = "exactness is the question")]
fn whole_unsigned(f: f64) -> Option<u64> {
    if f < 0.0 {
        return None;
    }
    let n = f as u64;
    (n as f64 == f && f < 1.9e19).then_some(n)
}

/// A complex number whose imaginary part is zero is a real number as well.
fn simplify(number: &mut Number) {
    if let Some((re, im)) = number.complex
        && im == 0.0
    {
        number.float = Some(re);
        number.int = whole(re);
        number.uint = whole_unsigned(re);
    }
}

fn complex(text: &str) -> Option<(f64, f64)> {
    let split = text
        .char_indices()
        .skip(1)
        .filter(|(i, c)| {
            matches!(c, '+' | '-')
                && !text
                    .get(..*i)
                    .is_some_and(|t| t.ends_with(['e', 'E', 'p', 'P']))
        })
        .map(|(i, _)| i)
        .last();
    match split {
        Some(at) => {
            let (re, im) = text.split_at(at);
            Some((float(re)?, float(im)?))
        }
        None => Some((0.0, float(text)?)),
    }
}

/// `ParseUint(text, 0, 64)`: base prefixes and underscores between digits.
pub(crate) fn integer(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let (digits, radix, prefixed) = match bytes {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16, true),
        [b'0', b'b' | b'B', ..] => (text.get(2..)?, 2, true),
        [b'0', b'o' | b'O', ..] => (text.get(2..)?, 8, true),
        [b'0', _, ..] => (text.get(1..)?, 8, true),
        _ => (text, 10, false),
    };
    let digits = without_underscores(digits, prefixed)?;
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    u64::from_str_radix(&digits, radix).ok()
}

/// Underscores must stand between digits, or after a base prefix.
fn without_underscores(digits: &str, prefixed: bool) -> Option<String> {
    if !digits.contains('_') {
        return Some(digits.to_owned());
    }
    let bad =
        digits.ends_with('_') || digits.contains("__") || digits.starts_with('_') && !prefixed;
    (!bad).then(|| digits.replace('_', ""))
}

/// `ParseFloat` on a literal.
pub(crate) fn float(text: &str) -> Option<f64> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1.0, text.get(1..)?),
        b'+' => (1.0, text.get(1..)?),
        _ => (1.0, text),
    };
    if body.starts_with("0x") || body.starts_with("0X") {
        return hex_float(body.get(2..)?).map(|f| sign * f);
    }
    let body = without_underscores(body, false)?;
    if !body
        .bytes()
        .all(|c| c.is_ascii_digit() || b".eE+-".contains(&c))
    {
        return None;
    }
    body.parse::<f64>()
        .ok()
        .filter(|f| f.is_finite())
        .map(|f| sign * f)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "literals of that size are rounded"
)]
fn hex_float(text: &str) -> Option<f64> {
    let text = without_underscores(text, true)?;
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{part}");
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let value = u64::from_str_radix(&digits, 16).ok()? as f64;
    let shift = exponent.checked_sub(i32::try_from(part.len()).ok()?.checked_mul(4)?)?;
    let result = value * 2_f64.powi(shift);
    result.is_finite().then_some(result)
}

/// The code of a character literal.
fn character(text: &str) -> Option<u32> {
    let body = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let (units, rest) = unit(body, '\'')?;
    if !rest.is_empty() {
        return None;
    }
    match units {
        Unit::Char(c) => Some(u32::from(c)),
        Unit::Byte(b) => Some(u32::from(b)),
    }
}

enum Unit {
    Char(char),
    Byte(u8),
}

/// Reads one character or escape.
fn unit(text: &str, quote: char) -> Option<(Unit, &str)> {
    let mut chars = text.chars();
    let c = chars.next()?;
    if c == quote {
        return None;
    }
    if c != '\\' {
        return Some((Unit::Char(c), chars.as_str()));
    }
    let c = chars.next()?;
    let rest = chars.as_str();
    let simple = match c {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' => '\\',
        '\'' | '"' if c == quote => c,
        'x' => {
            let byte = u8::from_str_radix(hex(rest, 2)?, 16).ok()?;
            return Some((Unit::Byte(byte), rest.get(2..)?));
        }
        'u' => {
            let code = u32::from_str_radix(hex(rest, 4)?, 16).ok()?;
            return Some((Unit::Char(char::from_u32(code)?), rest.get(4..)?));
        }
        'U' => {
            let code = u32::from_str_radix(hex(rest, 8)?, 16).ok()?;
            return Some((Unit::Char(char::from_u32(code)?), rest.get(8..)?));
        }
        '0'..='7' => {
            let digits = text.get(1..4)?;
            let byte = u8::from_str_radix(digits, 8).ok()?;
            return Some((Unit::Byte(byte), text.get(4..)?));
        }
        _ => return None,
    };
    Some((Unit::Char(simple), rest))
}

fn hex(text: &str, len: usize) -> Option<&str> {
    text.get(..len)
        .filter(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit()))
}

/// `strconv.Unquote` of a string literal.
pub(super) fn unquote(text: &str) -> Option<Vec<u8>> {
    if let Some(raw) = text.strip_prefix('`') {
        let raw = raw.strip_suffix('`')?;
        return Some(raw.bytes().filter(|c| *c != b'\r').collect());
    }
    let mut rest = text.strip_prefix('"')?.strip_suffix('"')?;
    if !rest.contains('\\') {
        return Some(rest.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (one, after) = unit(rest, '"')?;
        match one {
            Unit::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Unit::Byte(b) => out.push(b),
        }
        rest = after;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_all_the_numbers_they_can_be() {
        let cases = [
            ("3", Some(3), Some(3.0)),
            ("3.0", Some(3), Some(3.0)),
            ("3.5", None, Some(3.5)),
            ("-7", Some(-7), Some(-7.0)),
            ("0x10", Some(16), Some(16.0)),
            ("0b11", Some(3), Some(3.0)),
            ("0o17", Some(15), Some(15.0)),
            ("017", Some(15), Some(15.0)),
            ("1_000", Some(1000), Some(1000.0)),
            ("1e3", Some(1000), Some(1000.0)),
            ("0x1p20", Some(1_048_576), Some(1_048_576.0)),
            ("0x1p-2", None, Some(0.25)),
            ("'a'", Some(97), Some(97.0)),
            ("'\\n'", Some(10), Some(10.0)),
        ];
        for (text, int, float) in cases {
            let number = number(text).unwrap();
            assert_eq!((number.int, number.float), (int, float), "{text}");
        }
        assert!(number("1_").is_err());
        assert!(number("99999999999999999999").is_err());
        assert_eq!(number("2i").unwrap().complex, Some((0.0, 2.0)));
        assert_eq!(number("1+2i").unwrap().complex, Some((1.0, 2.0)));
    }

    #[test]
    fn strings_unquote_as_in_go() {
        assert_eq!(
            unquote(r#""a\n\x41\u00e9\101""#).unwrap(),
            "a\nA\u{e9}A".as_bytes()
        );
        assert_eq!(unquote("`a\\n\r`").unwrap(), b"a\\n");
        assert!(unquote(r#""\q""#).is_none());
    }
}
