//! Identifiers as programs make them: UUIDs, and trace contexts after the W3C
//! recommendation.

use ring::rand::{SecureRandom as _, SystemRandom};

use super::super::world::hex;

/// Random bytes; all zero if the system has none, which no system lacks.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let _ = SystemRandom::new().fill(&mut bytes);
    bytes
}

/// A random UUID, version 4.
pub fn uuid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    let parts = [
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..],
    ];
    parts.join("-")
}

/// Whether a text has the form of a UUID.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        })
}

/// A number below `bound`, which is not zero.
pub fn below(bound: u64) -> u64 {
    u64::from_le_bytes(random()) % bound.max(1)
}

/// A trace context, `00-<trace>-<span>-<flags>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// Two hexadecimal digits; bit 0 is "sampled".
    pub flags: String,
}

impl Trace {
    /// A trace of its own.
    pub fn start() -> Self {
        Self {
            trace_id: hex(&random::<16>()),
            span_id: hex(&random::<8>()),
            flags: "01".to_owned(),
        }
    }

    /// Reads a `traceparent`; none if it is malformed or says nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = |part: &str| {
            part.bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let zero = |part: &str| part.bytes().all(|b| b == b'0');
        let mut parts = text.splitn(4, '-');
        let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
        let flags = parts.next()?.split('-').next()?;
        let sized = version.len() == 2 && trace.len() == 32 && span.len() == 16 && flags.len() == 2;
        let good = sized && [version, trace, span, flags].into_iter().all(lower);
        let longer = text.len() > 55;
        if !good || version == "ff" || (version == "00" && longer) || zero(trace) || zero(span) {
            return None;
        }
        Some(Self {
            trace_id: trace.to_owned(),
            span_id: span.to_owned(),
            flags: flags.to_owned(),
        })
    }

    /// The next span of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            span_id: hex(&random::<8>()),
            ..self.clone()
        }
    }

    /// The header's text.
    pub fn header(&self) -> String {
        format!("00-{}-{}-{}", self.trace_id, self.span_id, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_of_version_4() {
        let id = uuid();
        assert!(is_uuid(&id), "{id}");
        assert_eq!(&id[14..15], "4");
        assert!(!is_uuid("not-a-uuid"));
    }

    #[test]
    fn trace_contexts_are_read_as_the_recommendation_says() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = Trace::parse(good).unwrap();
        assert_eq!(trace.header(), good);
        assert_eq!(trace.child().trace_id, trace.trace_id);
        assert_ne!(trace.child().span_id, trace.span_id);
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(Trace::parse(bad), None, "{bad}");
        }
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x";
        assert!(Trace::parse(later).is_some());
    }
}
