//! Conversions to numbers: the rules of spf13/cast 1.7.

use super::{Args, Function, Param, Returned, plain};
use crate::helm::engine::Run;
use crate::helm::gofmt;
use crate::helm::object::Object;
use crate::helm::template::number;
use crate::helm::value::Value;

const A: Param = Param::Any;

pub(super) const FUNCTIONS: &[Function] = &[
    plain("int", &[A], |_, v| {
        Ok(Value::int(to_int(&Args::new(v).any())))
    }),
    plain("int64", &[A], |_, v| {
        Ok(Value::int64(to_int(&Args::new(v).any())))
    }),
    plain("float64", &[A], |_, v| {
        Ok(Value::Float(to_float(&Args::new(v).any())))
    }),
    plain("atoi", &[Param::Str], atoi),
    plain("toDecimal", &[A], to_decimal),
];

/// Removes a fraction of zeros: `5.00` is an integer.
fn without_zero_fraction(text: &str) -> &str {
    match text.rsplit_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|c| c == b'0') => whole,
        _ => text,
    }
}

/// `strconv.ParseInt(text, 0, 64)`.
pub(super) fn parse_int(text: &str) -> Option<i64> {
    if let Some(digits) = text.strip_prefix('-') {
        return number::integer(digits).and_then(|n| 0_i64.checked_sub_unsigned(n));
    }
    let n = number::integer(text.strip_prefix('+').unwrap_or(text))?;
    i64::try_from(n).ok()
}

/// Any value as an integer; 0 when it is none.
#[expect(
    clippy::cast_possible_truncation,
    reason = "Go truncates; out of range is clamped"
)]
pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Int(n, _) => *n,
        Value::Uint(n, _) => n.cast_signed(),
        Value::Float(f) if f.is_nan() || *f >= 9_223_372_036_854_775_808.0 => i64::MIN,
        Value::Float(f) => *f as i64,
        Value::Bool(b) => i64::from(*b),
        Value::Str(s) => std::str::from_utf8(s)
            .ok()
            .and_then(|s| parse_int(without_zero_fraction(s)))
            .unwrap_or(0),
        Value::Obj(Object::Month(n) | Object::Weekday(n)) => i64::from(*n),
        _ => 0,
    }
}

/// Any value as a float; 0 when it is none.
#[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
pub(super) fn to_float(value: &Value) -> f64 {
    match value {
        Value::Int(n, _) => *n as f64,
        Value::Uint(n, _) => *n as f64,
        Value::Float(f) => *f,
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Str(s) => std::str::from_utf8(s)
            .ok()
            .and_then(parse_float)
            .unwrap_or(0.0),
        Value::Obj(Object::Month(n) | Object::Weekday(n)) => f64::from(*n),
        _ => 0.0,
    }
}

/// `strconv.ParseFloat(text, 64)`.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let (sign, word) = match lower.strip_prefix('-') {
        Some(word) => (-1.0, word),
        None => (1.0, lower.strip_prefix('+').unwrap_or(&lower)),
    };
    match word {
        "inf" | "infinity" => return Some(sign * f64::INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    if text.contains('_') {
        return None;
    }
    number::float(text)
}

fn atoi(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let text = Args::new(values).text();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let n = if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        0
    } else {
        // Out of range, Go returns the nearest number beside the error.
        text.strip_prefix('+')
            .unwrap_or(&text)
            .parse()
            .unwrap_or(if text.starts_with('-') {
                i64::MIN
            } else {
                i64::MAX
            })
    };
    Ok(Value::int(n))
}

/// Reads the digits of a number as octal.
fn to_decimal(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let text = gofmt::sprint_value(&Args::new(values).any());
    let text = String::from_utf8_lossy(&text);
    Ok(Value::int64(i64::from_str_radix(&text, 8).unwrap_or(0)))
}
