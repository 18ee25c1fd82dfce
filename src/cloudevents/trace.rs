//! W3C trace context (Level 1): `traceparent` and `tracestate`.

use std::fmt;
use std::str::FromStr;

/// A `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace, 32 hexadecimal digits.
    pub trace: String,
    /// The span that sent it, 16 hexadecimal digits.
    pub span: String,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(f, "00-{}-{}-{flags:02x}", self.trace, self.span)
    }
}

/// A text that is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTrace {
    /// It does not look like one.
    #[error("is not 00-<32 hex digits>-<16 hex digits>-<2 hex digits>")]
    Shape,
    /// Its version is the forbidden one.
    #[error("has the invalid version ff")]
    Version,
    /// Its trace or its span consists of zeros: there is no trace.
    #[error("names no trace")]
    Zero,
}

impl FromStr for TraceParent {
    type Err = BadTrace;

    fn from_str(text: &str) -> Result<Self, BadTrace> {
        let mut parts = text.splitn(5, '-');
        let mut part = |length: usize| {
            let digits = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
            parts
                .next()
                .filter(|part| part.len() == length && part.bytes().all(digits))
                .ok_or(BadTrace::Shape)
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        match (version, parts.next()) {
            ("ff", _) => return Err(BadTrace::Version),
            // Later versions may say more; this one may not.
            ("00", Some(_)) => return Err(BadTrace::Shape),
            _ => {}
        }
        let zero = |text: &str| text.bytes().all(|b| b == b'0');
        if zero(trace) || zero(span) {
            return Err(BadTrace::Zero);
        }
        let flags = u8::from_str_radix(flags, 16).map_err(|_| BadTrace::Shape)?;
        Ok(Self {
            trace: trace.to_owned(),
            span: span.to_owned(),
            sampled: flags & 1 == 1,
        })
    }
}

/// What is wrong with a `tracestate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadState {
    /// Too many entries.
    #[error("has more than 32 entries")]
    Entries,
    /// Too long.
    #[error("is longer than 512 characters")]
    Length,
    /// An entry without a value.
    #[error("has an entry that is not key=value")]
    Entry,
}

/// Checks a `tracestate`.
pub fn check_tracestate(text: &str) -> Result<(), BadState> {
    let entries: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .collect();
    let is_pair = |entry: &&str| {
        entry.split_once('=').is_some_and(|(key, value)| {
            let plain =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(&b);
            let printable = |b: u8| (0x20..=0x7e).contains(&b) && b != b'=';
            !key.is_empty()
                && key.bytes().all(plain)
                && !value.is_empty()
                && value.bytes().all(printable)
        })
    };
    if !entries.iter().all(is_pair) {
        return Err(BadState::Entry);
    }
    if entries.len() > 32 {
        return Err(BadState::Entries);
    }
    match text.len() {
        0..=512 => Ok(()),
        _ => Err(BadState::Length),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn parents_are_read() {
        let cases = [
            (format!("00-{TRACE}-{SPAN}-01"), Ok(true)),
            (format!("00-{TRACE}-{SPAN}-00"), Ok(false)),
            (format!("cc-{TRACE}-{SPAN}-03-more-to-come"), Ok(true)),
            (format!("00-{TRACE}-{SPAN}-01-more"), Err(BadTrace::Shape)),
            (format!("ff-{TRACE}-{SPAN}-01"), Err(BadTrace::Version)),
            (
                format!("00-{TRACE}-{}-01", "0".repeat(16)),
                Err(BadTrace::Zero),
            ),
            (
                format!("00-{}-{SPAN}-01", "0".repeat(32)),
                Err(BadTrace::Zero),
            ),
            (
                format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
                Err(BadTrace::Shape),
            ),
            (format!("00-{TRACE}-{SPAN}"), Err(BadTrace::Shape)),
            (format!("00-{TRACE}x-{SPAN}-01"), Err(BadTrace::Shape)),
            (String::new(), Err(BadTrace::Shape)),
        ];
        for (text, expected) in cases {
            let read = text.parse::<TraceParent>().map(|parent| parent.sampled);
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn states_are_checked() {
        let many = (0..33)
            .map(|i| format!("k{i}=v"))
            .collect::<Vec<_>>()
            .join(",");
        let long = format!("k={}", "v".repeat(600));
        let cases = [
            ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", Ok(())),
            ("a@b=c, , d=e", Ok(())),
            ("rojo", Err(BadState::Entry)),
            ("Rojo=1", Err(BadState::Entry)),
            ("=1", Err(BadState::Entry)),
            (&many, Err(BadState::Entries)),
            (&long, Err(BadState::Length)),
        ];
        for (text, expected) in cases {
            assert_eq!(check_tracestate(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_parent_survives_its_text(
            trace in "[0-9a-f]{31}[1-9a-f]",
            span in "[0-9a-f]{15}[1-9a-f]",
            sampled in any::<bool>(),
        ) {
            let parent = TraceParent { trace, span, sampled };
            prop_assert_eq!(parent.to_string().parse(), Ok(parent));
        }

        #[test]
        fn no_text_is_fatal(text in ".{0,80}") {
            let _ = text.parse::<TraceParent>();
            let _ = check_tracestate(&text);
        }
    }
}
