//! Versions and constraints as charts write them: the rules of Masterminds
//! semver 3, which differ from Cargo's. Lenient versions (`v1.2`), constraint
//! groups with `||`, wildcards, `~`, `^` and hyphen ranges; a prerelease
//! matches only a constraint that itself names one.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// A version, with the text it was written as.
#[derive(Debug, Clone)]
pub struct Version {
    /// First number.
    pub major: u64,
    /// Second number.
    pub minor: u64,
    /// Third number.
    pub patch: u64,
    /// What follows `-`, without it.
    pub prerelease: String,
    /// What follows `+`, without it.
    pub metadata: String,
    /// The text that was parsed.
    pub original: String,
}

/// Why a text is not a version or a constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SemverError {
    /// The text has not the form of a version.
    #[error("invalid semantic version")]
    Invalid,
    /// A number does not fit 64 bits.
    #[error("version segment too large: {0}")]
    TooLarge(String),
    /// A number starts with a zero.
    #[error("version segment starts with 0")]
    LeadingZero,
    /// The constraint is too long.
    #[error("constraint string is too long (max 512 bytes)")]
    ConstraintTooLong,
    /// The constraint has too many alternatives.
    #[error("too many constraint groups (max 32)")]
    TooManyGroups,
    /// A version of a constraint is none.
    #[error("constraint parser error")]
    ConstraintParser,
    /// The text is not a constraint.
    #[error("improper constraint: {0:?}")]
    Constraint(String),
}

const LONGEST_VERSION: usize = 256;
const LONGEST_CONSTRAINT: usize = 512;
const MOST_GROUPS: usize = 32;

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal && self.original == other.original
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    /// Precedence by semver 2; metadata does not count.
    fn cmp(&self, other: &Self) -> Ordering {
        (self.major, self.minor, self.patch)
            .cmp(&(other.major, other.minor, other.patch))
            .then_with(|| compare_prerelease(&self.prerelease, &other.prerelease))
    }
}

fn compare_prerelease(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => {
                let order = match (x.parse::<u64>(), y.parse::<u64>()) {
                    (Ok(x), Ok(y)) => x.cmp(&y),
                    (Ok(_), Err(_)) => Ordering::Less,
                    (Err(_), Ok(_)) => Ordering::Greater,
                    (Err(_), Err(_)) => x.cmp(y),
                };
                if order != Ordering::Equal {
                    return order;
                }
            }
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.prerelease.is_empty() {
            write!(f, "-{}", self.prerelease)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

fn identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
}

/// Splits `core-pre+meta`; each part is `None` when its sign is absent.
fn split(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, meta) = match text.split_once('+') {
        Some((rest, meta)) => (rest, Some(meta)),
        None => (text, None),
    };
    match rest.split_once('-') {
        Some((core, pre)) => (core, Some(pre), meta),
        None => (rest, None, meta),
    }
}

fn dotted_identifiers(text: &str) -> bool {
    text.split('.').all(identifier)
}

fn number(text: &str) -> Result<u64, SemverError> {
    if text.is_empty() || !text.bytes().all(|c| c.is_ascii_digit()) {
        return Err(SemverError::Invalid);
    }
    text.parse()
        .map_err(|_| SemverError::TooLarge(text.to_owned()))
}

impl Version {
    /// Parses leniently: an optional `v`, and one to three numbers.
    pub fn parse(text: &str) -> Result<Self, SemverError> {
        if text.len() > LONGEST_VERSION {
            return Err(SemverError::Invalid);
        }
        let (core, pre, meta) = split(text.strip_prefix('v').unwrap_or(text));
        let mut numbers = [0_u64; 3];
        let parts: Vec<&str> = core.split('.').collect();
        if parts.len() > 3 {
            return Err(SemverError::Invalid);
        }
        for (slot, part) in numbers.iter_mut().zip(&parts) {
            *slot = number(part)?;
        }
        let malformed = |part: Option<&str>| part.is_some_and(|text| !dotted_identifiers(text));
        if malformed(pre) || malformed(meta) {
            return Err(SemverError::Invalid);
        }
        let pre = pre.unwrap_or_default();
        let numeric_with_zero = |part: &str| {
            part.len() > 1 && part.starts_with('0') && part.bytes().all(|c| c.is_ascii_digit())
        };
        if pre.split('.').any(numeric_with_zero) {
            return Err(SemverError::LeadingZero);
        }
        let [major, minor, patch] = numbers;
        Ok(Self {
            major,
            minor,
            patch,
            prerelease: pre.to_owned(),
            metadata: meta.unwrap_or_default().to_owned(),
            original: text.to_owned(),
        })
    }

    /// The canonical text, without a leading `v`.
    pub fn to_text(&self) -> String {
        self.to_string()
    }
}

/// A set of alternatives, each a list of conditions that all must hold.
#[derive(Debug, Clone)]
pub struct Constraint {
    groups: Vec<Vec<Condition>>,
}

#[derive(Debug, Clone)]
struct Condition {
    operator: Operator,
    version: Version,
    /// A part is a wildcard or absent.
    dirty: bool,
    minor_dirty: bool,
    patch_dirty: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    TildeOrEqual,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Tilde,
    Caret,
}

impl Operator {
    fn of(sign: &str) -> Self {
        match sign {
            "!=" => Self::NotEqual,
            ">" => Self::Greater,
            "<" => Self::Less,
            ">=" | "=>" => Self::GreaterOrEqual,
            "<=" | "=<" => Self::LessOrEqual,
            "~" | "~>" => Self::Tilde,
            "^" => Self::Caret,
            _ => Self::TildeOrEqual,
        }
    }
}

/// A version in a constraint: its parts may be wildcards.
const PATTERN: &str = r"v?([0-9xX|*]+)(\.[0-9xX|*]+)?(\.[0-9xX|*]+)?(-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?";
/// Longer ones before those that they begin with.
const OPERATORS: [&str; 11] = ["!=", ">=", "=>", "<=", "=<", "~>", "=", ">", "<", "~", "^"];
const BLANK: &str = r"[\t\n\f\r ]";

#[expect(clippy::expect_used, reason = "the pattern is a constant")]
static HYPHENS: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = format!("{BLANK}*(?P<from>{PATTERN}){BLANK}+-{BLANK}+(?P<to>{PATTERN}){BLANK}*");
    Regex::new(&pattern).expect("invariant: constant pattern")
});

fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | 0xC | b'\r' | b' ')
}

/// Writes ranges such as `1.0 - 2.0` as conditions. Few texts hold one.
fn without_hyphens(text: &str) -> Cow<'_, str> {
    let hyphen = |part: &[u8]| matches!(part, [a, b'-', b] if is_blank(*a) && is_blank(*b));
    if text.as_bytes().windows(3).any(hyphen) {
        HYPHENS.replace_all(text, ">= ${from}, <= ${to} ")
    } else {
        Cow::Borrowed(text)
    }
}

impl Constraint {
    /// Parses a constraint such as `>=1.20-0, <2 || ~3.1`.
    pub fn parse(text: &str) -> Result<Self, SemverError> {
        if text.len() > LONGEST_CONSTRAINT {
            return Err(SemverError::ConstraintTooLong);
        }
        let rewritten = without_hyphens(text);
        let groups: Vec<&str> = rewritten.split("||").collect();
        if groups.len() > MOST_GROUPS {
            return Err(SemverError::TooManyGroups);
        }
        let groups = groups
            .into_iter()
            .map(parse_group)
            .collect::<Result<_, _>>()?;
        Ok(Self { groups })
    }

    /// Whether a version satisfies the constraint.
    pub fn matches(&self, version: &Version) -> bool {
        self.groups.iter().any(|group| {
            let prereleases = group.iter().any(|c| !c.version.prerelease.is_empty());
            (prereleases || version.prerelease.is_empty())
                && group.iter().all(|c| c.holds_for(version))
        })
    }
}

/// Conditions with blanks or commas between them.
fn parse_group(group: &str) -> Result<Vec<Condition>, SemverError> {
    let invalid = || SemverError::Constraint(group.to_owned());
    let mut rest = Cursor(group);
    let mut found = Vec::new();
    rest.blanks();
    loop {
        let sign = rest.operator();
        rest.blanks();
        found.push(rest.pattern(sign).ok_or_else(invalid)?);
        let spaced = rest.blanks();
        if rest.0.is_empty() {
            break;
        }
        if rest.sign(',') {
            rest.blanks();
        } else if !spaced {
            return Err(invalid());
        }
    }
    let condition = |[sign, major, minor, patch, prerelease]: [&str; 5]| {
        Condition::new(sign, major, minor, patch, prerelease)
    };
    found.into_iter().map(condition).collect()
}

/// What is left of a text that is being read.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    /// Takes so many bytes, which end a character.
    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.0.split_at_checked(len).unwrap_or((self.0, ""));
        self.0 = rest;
        taken
    }

    fn run(&self, accept: impl Fn(u8) -> bool) -> usize {
        self.0.bytes().take_while(|byte| accept(*byte)).count()
    }

    fn blanks(&mut self) -> bool {
        !self.take(self.run(is_blank)).is_empty()
    }

    fn sign(&mut self, sign: char) -> bool {
        let rest = self.0.strip_prefix(sign);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn operator(&mut self) -> &'a str {
        let here = |operator: &&&str| self.0.starts_with(**operator);
        let found = OPERATORS.iter().find(here);
        self.take(found.map_or(0, |operator| operator.len()))
    }

    /// Takes a version and puts its parts behind the sign of its condition.
    fn pattern(&mut self, sign: &'a str) -> Option<[&'a str; 5]> {
        self.sign('v');
        let number = |byte: u8| byte.is_ascii_digit() || b"xX|*".contains(&byte);
        let major = self.take(self.run(number));
        if major.is_empty() {
            return None;
        }
        let minor = self.dotted(number);
        let patch = self.dotted(number);
        let prerelease = self.words('-');
        self.words('+');
        Some([sign, major, minor, patch, prerelease])
    }

    /// A point and what is accepted after it, or nothing.
    fn dotted(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let after = self.0.strip_prefix('.').map(Cursor);
        match after.map_or(0, |after| after.run(accept)) {
            0 => "",
            len => self.take(len + 1),
        }
    }

    /// A sign and words with points between them, or nothing.
    fn words(&mut self, sign: char) -> &'a str {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let whole = self.0;
        let mut rest = Cursor(whole);
        if !rest.sign(sign) || rest.take(rest.run(word)).is_empty() {
            return "";
        }
        while !rest.dotted(word).is_empty() {}
        self.take(whole.len() - rest.0.len())
    }
}

fn wildcard(part: &str) -> bool {
    matches!(part.trim_start_matches('.'), "" | "x" | "X" | "*")
}

impl Condition {
    fn new(
        sign: &str,
        major: &str,
        minor: &str,
        patch: &str,
        prerelease: &str,
    ) -> Result<Self, SemverError> {
        let any = wildcard(major);
        let minor_dirty = !any && wildcard(minor);
        let patch_dirty = !any && !minor_dirty && wildcard(patch);
        let dirty = any || minor_dirty || patch_dirty;
        let numbers = if any {
            "0.0.0".to_owned()
        } else if minor_dirty {
            format!("{major}.0.0")
        } else if patch_dirty {
            format!("{major}{minor}.0")
        } else {
            format!("{major}{minor}{patch}")
        };
        let version = Version::parse(&format!("{numbers}{prerelease}"))
            .map_err(|_| SemverError::ConstraintParser)?;
        Ok(Self {
            operator: Operator::of(sign),
            version,
            dirty,
            minor_dirty,
            patch_dirty,
        })
    }

    fn holds_for(&self, v: &Version) -> bool {
        let c = &self.version;
        match self.operator {
            Operator::NotEqual => self.differs(v),
            Operator::Greater => self.greater(v),
            Operator::Less => *v < *c,
            Operator::GreaterOrEqual => *v >= *c,
            Operator::LessOrEqual if !self.dirty => *v <= *c,
            Operator::LessOrEqual => {
                v.major < c.major || v.major == c.major && (v.minor <= c.minor || self.minor_dirty)
            }
            Operator::Tilde => self.tilde(v),
            Operator::TildeOrEqual if self.dirty => self.tilde(v),
            Operator::TildeOrEqual => v.cmp(c) == Ordering::Equal,
            Operator::Caret => self.caret(v),
        }
    }

    fn differs(&self, v: &Version) -> bool {
        let c = &self.version;
        if self.dirty {
            if c.major != v.major {
                return true;
            }
            if self.minor_dirty {
                return false;
            }
            if c.minor != v.minor {
                return true;
            }
            if self.patch_dirty {
                return compare_prerelease(&v.prerelease, &c.prerelease) != Ordering::Equal;
            }
        }
        v.cmp(c) != Ordering::Equal
    }

    fn greater(&self, v: &Version) -> bool {
        let c = &self.version;
        if !self.dirty {
            return *v > *c;
        }
        match v.major.cmp(&c.major) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal if self.minor_dirty => false,
            Ordering::Equal if self.patch_dirty => v.minor > c.minor,
            Ordering::Equal => *v > *c,
        }
    }

    fn tilde(&self, v: &Version) -> bool {
        let c = &self.version;
        if *v < *c {
            return false;
        }
        let zero = (c.major, c.minor, c.patch) == (0, 0, 0);
        if zero && !self.minor_dirty && !self.patch_dirty {
            return true;
        }
        v.major == c.major && (v.minor == c.minor || self.minor_dirty)
    }

    fn caret(&self, v: &Version) -> bool {
        let c = &self.version;
        if *v < *c || v.major != c.major {
            return false;
        }
        if c.major > 0 || self.minor_dirty {
            return true;
        }
        if v.minor != c.minor {
            return false;
        }
        c.minor > 0 || self.patch_dirty || v.patch == c.patch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_follow_masterminds() {
        let cases = [
            (">=1.20", "1.33.1-gke.100", false),
            (">=1.20-0", "1.33.1-gke.100", true),
            ("=1.2", "1.2.9", true),
            ("1.2.x", "1.2.9", true),
            ("~1.2", "1.3.0", false),
            ("~1", "1.9.0", true),
            ("^0.2.3", "0.2.9", true),
            ("^0.2.3", "0.3.0", false),
            ("^0.0.3", "0.0.4", false),
            ("^1.2", "1.9.0", true),
            ("1.0 - 2.0", "1.5.0", true),
            ("1.0 - 2.0", "2.0.5", true),
            ("1.0 - 2.0.0", "2.0.5", false),
            ("<1 || >=2, <3", "2.5.0", true),
            ("<1 || >=2 <3", "1.5.0", false),
            ("*", "0.0.1", true),
            ("*", "1.0.0-a", false),
            (">1", "1.9.0", false),
            (">1.2", "1.3.0", true),
            ("<=1.2", "1.2.9", true),
            ("!=1.2.x", "1.2.9", false),
            ("!=1.2.3", "1.2.4", true),
        ];
        for (constraint, version, expected) in cases {
            let parsed = Constraint::parse(constraint).unwrap();
            let version = Version::parse(version).unwrap();
            assert_eq!(parsed.matches(&version), expected, "{constraint} {version}");
        }
    }

    #[test]
    fn malformed_constraints_are_refused() {
        for text in ["", ">=1.2<2", ">=1,", "abc", ">>1", "1.2.3.4", "1 || "] {
            assert!(Constraint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn versions_are_lenient() {
        for (text, expected) in [
            ("1", "1.0.0"),
            ("v1.2", "1.2.0"),
            ("01.2.3-a.1+b", "1.2.3-a.1+b"),
        ] {
            assert_eq!(Version::parse(text).unwrap().to_string(), expected);
        }
        for text in ["", "a", "1.2.3.4", "1.2-", "1.2.3-01", "v"] {
            assert!(Version::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn prereleases_order_as_in_semver_2() {
        let order = [
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-a",
            "1.0.0-a.b",
            "1.0.0",
        ];
        for pair in order.windows(2) {
            assert!(Version::parse(pair[0]).unwrap() < Version::parse(pair[1]).unwrap());
        }
    }
}
