//! File globs as `.Files.Glob` reads them: `*` within a path segment, `**`
//! across, `?`, classes and alternatives.

/// A parsed pattern.
#[derive(Debug, Clone)]
pub struct Glob(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Literal(char),
    /// `?`
    One,
    /// `*`
    Segment,
    /// `**`
    Everything,
    /// `[a-z]`, negated by `!`
    Class(bool, Vec<(char, char)>),
    /// `{a,b}`
    Either(Vec<Vec<Self>>),
}

/// Alternatives may nest this deep.
const MAX_NESTING: usize = 20;

/// Patterns beyond this length are refused, since alternatives multiply.
const LONGEST: usize = 4096;

/// Tries before a match is given up.
const MOST_TRIES: usize = 200_000;

impl Glob {
    /// Parses a pattern; `None` when it is malformed.
    pub fn parse(pattern: &str) -> Option<Self> {
        if pattern.len() > LONGEST {
            return None;
        }
        let chars: Vec<char> = pattern.chars().collect();
        let mut at = 0;
        let parts = parse(&chars, &mut at, 0)?;
        (at == chars.len()).then_some(Self(parts))
    }

    /// The pattern that matches every name.
    pub fn everything() -> Self {
        Self(vec![Part::Everything])
    }

    /// Whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let parts: Vec<&Part> = self.0.iter().collect();
        matches(&parts, &name, &mut 0)
    }
}

fn parse(chars: &[char], at: &mut usize, depth: usize) -> Option<Vec<Part>> {
    if depth > MAX_NESTING {
        return None;
    }
    let mut parts = Vec::new();
    while let Some(c) = chars.get(*at) {
        match c {
            ',' | '}' if depth > 0 => break,
            '*' => {
                let mut stars = 0;
                while chars.get(*at) == Some(&'*') {
                    stars += 1;
                    *at += 1;
                }
                parts.push(if stars > 1 {
                    Part::Everything
                } else {
                    Part::Segment
                });
                continue;
            }
            '?' => parts.push(Part::One),
            '[' => {
                parts.push(class(chars, at)?);
                continue;
            }
            '{' => {
                parts.push(either(chars, at, depth)?);
                continue;
            }
            '\\' => {
                *at += 1;
                parts.push(Part::Literal(*chars.get(*at)?));
            }
            ']' | '}' if depth == 0 && *c == ']' => return None,
            c => parts.push(Part::Literal(*c)),
        }
        *at += 1;
    }
    Some(parts)
}

fn class(chars: &[char], at: &mut usize) -> Option<Part> {
    *at += 1;
    let negated = chars.get(*at) == Some(&'!');
    *at += usize::from(negated);
    let mut ranges = Vec::new();
    loop {
        let low = *chars.get(*at)?;
        *at += 1;
        if low == ']' && !ranges.is_empty() {
            return Some(Part::Class(negated, ranges));
        }
        let is_range =
            chars.get(*at) == Some(&'-') && chars.get(*at + 1).is_some_and(|c| *c != ']');
        if is_range {
            let high = *chars.get(*at + 1)?;
            if high < low {
                return None;
            }
            ranges.push((low, high));
            *at += 2;
        } else {
            ranges.push((low, low));
        }
    }
}

fn either(chars: &[char], at: &mut usize, depth: usize) -> Option<Part> {
    let mut choices = Vec::new();
    loop {
        *at += 1;
        choices.push(parse(chars, at, depth + 1)?);
        match chars.get(*at) {
            Some(',') => {}
            Some('}') => {
                *at += 1;
                return Some(Part::Either(choices));
            }
            _ => return None,
        }
    }
}

fn matches(parts: &[&Part], name: &[char], tries: &mut usize) -> bool {
    *tries += 1;
    if *tries > MOST_TRIES {
        return false;
    }
    let Some((first, rest)) = parts.split_first() else {
        return name.is_empty();
    };
    let one = |accept: bool, tries: &mut usize| {
        accept && matches(rest, name.get(1..).unwrap_or(&[]), tries)
    };
    match first {
        Part::Literal(c) => one(name.first() == Some(c), tries),
        Part::One => one(name.first().is_some_and(|c| *c != '/'), tries),
        Part::Class(negated, ranges) => {
            let accept = name.first().is_some_and(|c| {
                ranges.iter().any(|(low, high)| (low..=high).contains(&c)) != *negated
            });
            one(accept, tries)
        }
        Part::Segment | Part::Everything => {
            let across = matches!(first, Part::Everything);
            for skip in 0..=name.len() {
                if matches(rest, name.get(skip..).unwrap_or(&[]), tries) {
                    return true;
                }
                if !across && name.get(skip) == Some(&'/') {
                    return false;
                }
            }
            false
        }
        Part::Either(choices) => choices.iter().any(|choice| {
            let joined: Vec<&Part> = choice.iter().chain(rest.iter().copied()).collect();
            matches(&joined, name, tries)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stop_at_slashes_and_double_stars_do_not() {
        let cases = [
            ("*.txt", "a.txt", true),
            ("*.txt", "d/a.txt", false),
            ("**.txt", "d/e/a.txt", true),
            ("d/**", "d/e/a.txt", true),
            ("d/*", "d/e/a.txt", false),
            ("d/?.txt", "d/a.txt", true),
            ("[a-c].txt", "b.txt", true),
            ("[!a-c].txt", "b.txt", false),
            ("{a,b}.{txt,md}", "b.md", true),
            ("{a,b}.{txt,md}", "c.md", false),
            ("a\\*", "a*", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(
                Glob::parse(pattern).unwrap().matches(name),
                expected,
                "{pattern} {name}"
            );
        }
        assert!(Glob::parse("[a").is_none());
        assert!(Glob::parse("{a").is_none());
    }

    #[test]
    fn a_hostile_pattern_ends() {
        let pattern = "*a".repeat(40) + "b";
        assert!(!Glob::parse(&pattern).unwrap().matches(&"a".repeat(60)));
    }
}
