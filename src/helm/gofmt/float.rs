//! Floats as `strconv` writes them.

/// Decimal digits of a positive finite float: `0.d1d2d3… × 10^point`.
struct Digits {
    digits: Vec<u8>,
    point: i32,
}

/// The shortest digits that read back as the same number.
fn shortest(f: f64) -> Digits {
    digits_of(&format!("{:e}", f.abs()))
}

/// Splits text of the form `d.ddde-N`, dropping trailing zeros.
fn digits_of(text: &str) -> Digits {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    while digits.last() == Some(&b'0') {
        digits.pop();
    }
    let point = if digits.is_empty() {
        0
    } else {
        exponent.parse::<i32>().unwrap_or(0) + 1
    };
    Digits { digits, point }
}

fn special(f: f64) -> Option<&'static str> {
    if f.is_nan() {
        Some("NaN")
    } else if f.is_infinite() {
        Some(if f > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

fn sign(f: f64) -> &'static str {
    if f.is_sign_negative() { "-" } else { "" }
}

/// `FormatFloat(f, 'g', -1, 64)`: what `%v` prints.
pub fn float_g(f: f64) -> String {
    if let Some(text) = special(f) {
        return text.to_owned();
    }
    general(f, &shortest(f), 6, false)
}

/// `FormatFloat(f, 'g', -1, 32)`: how a float becomes a map key.
#[expect(clippy::cast_possible_truncation, reason = "the precision asked for")]
pub fn float32_g(f: f64) -> String {
    if let Some(text) = special(f) {
        return text.to_owned();
    }
    let narrow = f as f32;
    if narrow.is_infinite() {
        return if f > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    general(f, &digits_of(&format!("{:e}", narrow.abs())), 6, false)
}

/// `FormatFloat(f, 'g', precision, 64)`; a negative precision is the shortest.
pub(super) fn float_g_precise(f: f64, precision: i32) -> String {
    if precision < 0 {
        return float_g(f);
    }
    if let Some(text) = special(f) {
        return text.to_owned();
    }
    let significant = usize::try_from(precision.max(1)).unwrap_or(1);
    let digits = digits_of(&format!("{:.*e}", significant - 1, f.abs()));
    let count = i32::try_from(digits.digits.len()).unwrap_or(i32::MAX);
    let mut limit = precision.max(1);
    if limit > count && count >= digits.point {
        limit = count;
    }
    general(f, &digits, limit, false)
}

fn general(f: f64, digits: &Digits, exponent_limit: i32, upper: bool) -> String {
    let exponent = digits.point - 1;
    let mut out = sign(f).to_owned();
    if digits.digits.is_empty() {
        out.push('0');
        return out;
    }
    if exponent < -4 || exponent >= exponent_limit {
        let (head, tail) = digits.digits.split_at(1);
        push_ascii(&mut out, head);
        if !tail.is_empty() {
            out.push('.');
            push_ascii(&mut out, tail);
        }
        push_exponent(&mut out, exponent, 2, upper);
        return out;
    }
    push_fixed(&mut out, digits);
    out
}

fn push_ascii(out: &mut String, digits: &[u8]) {
    out.extend(digits.iter().map(|d| char::from(*d)));
}

fn push_exponent(out: &mut String, exponent: i32, width: usize, upper: bool) {
    out.push(if upper { 'E' } else { 'e' });
    out.push(if exponent < 0 { '-' } else { '+' });
    out.push_str(&format!("{:0width$}", exponent.unsigned_abs()));
}

fn push_fixed(out: &mut String, digits: &Digits) {
    let count = i32::try_from(digits.digits.len()).unwrap_or(i32::MAX);
    if digits.point <= 0 {
        out.push_str("0.");
        for _ in digits.point..0 {
            out.push('0');
        }
        push_ascii(out, &digits.digits);
    } else if digits.point >= count {
        push_ascii(out, &digits.digits);
        for _ in count..digits.point {
            out.push('0');
        }
    } else {
        let (whole, part) = digits
            .digits
            .split_at(usize::try_from(digits.point).unwrap_or(0));
        push_ascii(out, whole);
        out.push('.');
        push_ascii(out, part);
    }
}

/// `FormatFloat(f, 'f', precision, 64)`; a negative precision is the shortest.
pub fn float_f(f: f64, precision: i32) -> String {
    if let Some(text) = special(f) {
        return text.to_owned();
    }
    if let Ok(precision) = usize::try_from(precision) {
        format!("{}{:.*}", sign(f), precision, f.abs())
    } else {
        let digits = shortest(f);
        let mut out = sign(f).to_owned();
        if digits.digits.is_empty() {
            out.push('0');
        } else {
            push_fixed(&mut out, &digits);
        }
        out
    }
}

/// `FormatFloat(f, 'e', precision, 64)`; a negative precision is the shortest.
pub fn float_e(f: f64, precision: i32) -> String {
    if let Some(text) = special(f) {
        return text.to_owned();
    }
    let text = match usize::try_from(precision) {
        Ok(precision) => format!("{:.*e}", precision, f.abs()),
        Err(_) => format!("{:e}", f.abs()),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mut out = format!("{}{mantissa}", sign(f));
    push_exponent(&mut out, exponent.parse().unwrap_or(0), 2, false);
    out
}

/// A float as `encoding/json` writes it.
pub fn float_json(f: f64) -> String {
    let size = f.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let digits = shortest(f);
        let mut out = sign(f).to_owned();
        let (head, tail) = digits.digits.split_at(digits.digits.len().min(1));
        push_ascii(&mut out, head);
        if !tail.is_empty() {
            out.push('.');
            push_ascii(&mut out, tail);
        }
        // Only a negative exponent loses the zero in front.
        let exponent = digits.point - 1;
        push_exponent(&mut out, exponent, if exponent < 0 { 1 } else { 2 }, false);
        return out;
    }
    float_f(f, -1)
}

/// `FormatFloat(f, 'b', -1, 64)`: decimal mantissa, binary exponent.
pub(super) fn float_b(f: f64) -> String {
    if let Some(text) = special(f) {
        return text.to_owned();
    }
    let (mantissa, exponent) = parts(f);
    format!("{}{mantissa}p{exponent:+}", sign(f))
}

fn parts(f: f64) -> (u64, i64) {
    let bits = f.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    match (bits >> 52) & 0x7ff {
        0 => (fraction, -1074),
        biased => (
            fraction | 1 << 52,
            i64::try_from(biased).unwrap_or(0) - 1075,
        ),
    }
}

/// `FormatFloat(f, 'x', precision, 64)`: hexadecimal.
pub(super) fn float_x(f: f64, precision: i32) -> String {
    if let Some(text) = special(f) {
        return text.to_owned();
    }
    let (mut mantissa, mut exponent) = parts(f);
    if mantissa == 0 {
        let zeros = usize::try_from(precision).unwrap_or(0);
        let point = if zeros > 0 { "." } else { "" };
        return format!("{}0x0{point}{}p+00", sign(f), "0".repeat(zeros));
    }
    while mantissa < 1 << 52 {
        mantissa <<= 1;
        exponent -= 1;
    }
    exponent += 52;
    let mut digits = usize::try_from(precision).unwrap_or(13).min(13);
    if precision >= 0 && digits < 13 {
        let drop = 4 * (13 - digits);
        let half = 1_u64 << (drop - 1);
        let low = mantissa & ((1 << drop) - 1);
        mantissa >>= drop;
        if low > half || low == half && mantissa & 1 == 1 {
            mantissa += 1;
        }
        mantissa <<= drop;
        if mantissa >= 1 << 53 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let hex = format!("{:013x}", mantissa & ((1 << 52) - 1));
    if precision < 0 {
        digits = hex.trim_end_matches('0').len();
    }
    let shown = hex.get(..digits).unwrap_or("");
    let more = usize::try_from(precision).unwrap_or(0).saturating_sub(13);
    let point = if digits + more > 0 { "." } else { "" };
    let mark = if exponent < 0 { '-' } else { '+' };
    format!(
        "{}0x1{point}{shown}{}p{mark}{:02}",
        sign(f),
        "0".repeat(more),
        exponent.unsigned_abs()
    )
}
