//! Shell patterns as Go's `path.Match` has them: `*`, `?`, `[a-z]`, `[^x]` and
//! `\` escapes, none of which crosses a `/`. `.helmignore` and `--show-only`
//! are written in them. It must not touch the file system.

/// The pattern cannot be read, for instance because of an unclosed `[`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Any run of characters but `/`.
    Star,
    /// Any character but `/`.
    Any,
    One(char),
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

impl Pattern {
    /// Reads a pattern.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '*' => Part::Star,
                '?' => Part::Any,
                '\\' => Part::One(chars.next().ok_or(BadPattern)?),
                '[' => class(&mut chars)?,
                _ => Part::One(c),
            });
        }
        parts.dedup_by(|a, b| *a == Part::Star && *b == Part::Star);
        Ok(Self(parts))
    }

    /// Whether the pattern matches all of `text`.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        // The usual two-pointer walk: on a mismatch, the last star takes one
        // character more. Linear in practice, never exponential.
        let (mut p, mut t) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() {
            let c = text.get(t).copied().unwrap_or_default();
            match self.0.get(p) {
                Some(Part::Star) => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(part) if part.takes(c) => {
                    p += 1;
                    t += 1;
                }
                _ => match star {
                    Some((at, from)) if text.get(from) != Some(&'/') => {
                        star = Some((at, from + 1));
                        p = at + 1;
                        t = from + 1;
                    }
                    _ => return false,
                },
            }
        }
        self.0.iter().skip(p).all(|part| *part == Part::Star)
    }
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Star => false,
            Self::Any => c != '/',
            Self::One(one) => *one == c,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(lo, hi)| (*lo..=*hi).contains(&c)) != *negated
            }
        }
    }
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Part, BadPattern> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Ok(Part::Class { negated, ranges });
        }
        let low = class_char(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() {
            class_char(chars)?
        } else {
            low
        };
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, BadPattern> {
    match chars.next() {
        None | Some('-' | ']') => Err(BadPattern),
        Some('\\') => chars.next().ok_or(BadPattern),
        Some(c) => Ok(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_as_in_go() {
        let cases = [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*/b", "a/c/b", false),
            ("a*/b", "abc/b", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[a-e]at", "cat", true),
            ("[^a-e]at", "rat", true),
            ("[^a-e]at", "cat", false),
            ("\\*", "*", true),
            ("templates/.?*", "templates/.x", true),
            ("templates/.?*", "templates/x", false),
            ("*x", "xxx", true),
            ("", "", true),
            ("", "a", false),
            ("**", "ab", true),
        ];
        for (pattern, text, want) in cases {
            let pattern_value = Pattern::new(pattern).unwrap();
            assert_eq!(pattern_value.matches(text), want, "{pattern} on {text}");
        }
    }

    #[test]
    fn broken_patterns_are_refused() {
        for pattern in ["[", "[a", "[]a]", "[-]", "[x-]", "[a-", "\\", "[^]"] {
            assert_eq!(Pattern::new(pattern), Err(BadPattern), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics_or_hangs(pattern in "[a*?\\[\\]^/\\\\-]{0,20}", text in "[a/]{0,60}") {
            if let Ok(pattern) = Pattern::new(&pattern) {
                pattern.matches(&text);
            }
        }
    }
}
