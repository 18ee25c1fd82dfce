//! Go string literals: `strconv.Quote` and its kin.

/// Whether Go's `unicode.IsPrint` says so.
pub fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // The standard library escapes exactly what it holds unprintable; the
    // letter in front keeps it from escaping combining marks.
    let mut text = String::with_capacity(5);
    text.push('a');
    text.push(c);
    text.escape_debug().nth(1) == Some(c)
}

/// `strconv.Quote`.
pub fn quote(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    quote_into(&mut out, text, false);
    out
}

/// Appends a quoted string; `ascii` escapes everything else.
pub fn quote_into(out: &mut Vec<u8>, text: &[u8], ascii: bool) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            escape_into(out, c, '"', ascii);
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
    out.push(b'"');
}

/// `strconv.QuoteRune`.
pub fn quote_rune(c: char, ascii: bool) -> Vec<u8> {
    let mut out = vec![b'\''];
    escape_into(&mut out, c, '\'', ascii);
    out.push(b'\'');
    out
}

fn escape_into(out: &mut Vec<u8>, c: char, quote: char, ascii: bool) {
    let simple = match c {
        '\u{7}' => Some('a'),
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\u{b}' => Some('v'),
        '\\' => Some('\\'),
        _ if c == quote => Some(c),
        _ => None,
    };
    if let Some(letter) = simple {
        out.extend_from_slice(format!("\\{letter}").as_bytes());
    } else if is_printable(c) && (c.is_ascii() || !ascii) {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        let code = u32::from(c);
        let text = match code {
            0..=0x1f | 0x7f => format!("\\x{code:02x}"),
            0..=0xffff => format!("\\u{code:04x}"),
            _ => format!("\\U{code:08x}"),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// `strconv.CanBackquote`.
pub(super) fn can_backquote(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| {
        text.chars()
            .all(|c| c != '`' && c != '\u{feff}' && c != '\u{7f}' && (c >= ' ' || c == '\t'))
    })
}
