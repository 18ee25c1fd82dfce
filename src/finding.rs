//! Findings: what todoctl has to say about the user's input or world, as a
//! value that knows its place in a file.
//!
//! Findings accumulate, so that one run shows every mistake. This module turns
//! them into plain text; colours are `ui`'s business.

use std::fmt::{self, Write as _};

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot go on like this.
    Error,
    /// It can, but should not.
    Warning,
    /// Worth knowing.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

/// A place in a source text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Name of the file, or of the command line option.
    pub file: String,
    /// Line, from 1; 0 when the source is a single argument.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Length in characters.
    pub len: u32,
    /// The whole line, without what must not be shown.
    pub source_line: String,
}

impl Span {
    /// `file:line:column`, or the name alone when the source is an argument.
    pub fn location(&self) -> String {
        if self.line == 0 {
            return self.file.clone();
        }
        format!("{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Stable code that `todoctl explain` knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What it is, as a lower-case fragment.
    pub summary: String,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<Box<Span>>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    /// A finding of some severity.
    pub fn new(severity: Severity, summary: impl Into<String>) -> Self {
        Self {
            severity,
            code: None,
            summary: summary.into(),
            detail: None,
            span: None,
            hint: None,
        }
    }

    /// An error.
    pub fn error(summary: impl Into<String>) -> Self {
        Self::new(Severity::Error, summary)
    }

    /// A warning.
    pub fn warning(summary: impl Into<String>) -> Self {
        Self::new(Severity::Warning, summary)
    }

    /// With the code that `todoctl explain` knows.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// With more about it.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With its place.
    #[must_use]
    pub fn at(mut self, span: impl Into<Option<Span>>) -> Self {
        self.span = span.into().map(Box::new);
        self
    }

    /// With its place, if it has one, put through `f`.
    #[must_use]
    pub fn map_span(mut self, f: impl FnOnce(Span) -> Span) -> Self {
        self.span = self.span.map(|span| Box::new(f(*span)));
        self
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Several lines: what, where, the line with a caret, and what to do.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.severity)?;
        if let Some(code) = self.code {
            write!(f, "[{code}]")?;
        }
        writeln!(f, ": {}", self.summary)?;
        if let Some(span) = &self.span {
            f.write_str(&snippet(span))?;
        }
        for (label, text) in [("note", &self.detail), ("hint", &self.hint)] {
            if let Some(text) = text {
                writeln!(f, "  {label}: {text}")?;
            }
        }
        Ok(())
    }
}

/// The place, the line, and a caret below what is meant.
fn snippet(span: &Span) -> String {
    let number = if span.line == 0 {
        String::new()
    } else {
        span.line.to_string()
    };
    let gutter = " ".repeat(number.len());
    let mut out = format!("  {gutter}--> {}\n", span.location());
    let line = span.source_line.trim_end();
    if line.is_empty() {
        return out;
    }
    let before = span.column.saturating_sub(1) as usize;
    // A tab stays a tab, so that the caret stands right whatever its width.
    let indent: String = line
        .chars()
        .chain(std::iter::repeat(' '))
        .take(before)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let room = line.chars().count().saturating_sub(before).max(1);
    let carets = "^".repeat((span.len.max(1) as usize).min(room));
    // Writing into a String cannot fail.
    let _ = writeln!(out, "  {gutter} |");
    let _ = writeln!(out, "  {number} | {line}");
    let _ = writeln!(out, "  {gutter} | {indent}{carets}");
    out
}

/// Findings in the order in which they were made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|f| f.severity == Severity::Error)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each in turn.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.0.iter()
    }

    /// Sorts them: errors first, then by file, line and column.
    pub fn sort(&mut self) {
        self.0.sort_by_key(|f| {
            let place = f.span.as_ref().map(|s| (s.file.clone(), s.line, s.column));
            (f.severity, place)
        });
    }

    /// `Ok` with these as warnings when none is an error.
    pub fn into_result(self) -> Result<Self, Self> {
        if self.has_errors() {
            Err(self)
        } else {
            Ok(self)
        }
    }
}

impl From<Finding> for Findings {
    fn from(finding: Finding) -> Self {
        Self(vec![finding])
    }
}

impl Extend<Finding> for Findings {
    fn extend<I: IntoIterator<Item = Finding>>(&mut self, findings: I) {
        self.0.extend(findings);
    }
}

impl FromIterator<Finding> for Findings {
    fn from_iter<I: IntoIterator<Item = Finding>>(findings: I) -> Self {
        Self(findings.into_iter().collect())
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Findings {
    type Item = &'a Finding;
    type IntoIter = std::slice::Iter<'a, Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, finding) in self.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Findings {}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Finding {
        Finding::error("unknown key `replica`")
            .at(Span {
                file: "team.yaml".to_owned(),
                line: 12,
                column: 5,
                len: 7,
                source_line: "    replica: 2".to_owned(),
            })
            .hint("did you mean `replicas`?")
    }

    #[test]
    fn a_finding_shows_the_line_and_a_caret() {
        assert_eq!(
            example().to_string(),
            "error: unknown key `replica`\n\
             \x20   --> team.yaml:12:5\n\
             \x20    |\n\
             \x20 12 |     replica: 2\n\
             \x20    |     ^^^^^^^\n\
             \x20 hint: did you mean `replicas`?\n"
        );
    }

    #[test]
    fn carets_stay_inside_the_line_and_under_tabs() {
        let mut finding = example();
        let span = finding.span.as_mut().unwrap();
        span.source_line = "\tab".to_owned();
        span.column = 2;
        span.len = 90;
        assert!(finding.to_string().contains("| \t^^\n"));
        finding.span.as_mut().unwrap().column = 40;
        assert!(finding.to_string().contains("^\n"));
    }

    #[test]
    fn an_argument_has_no_line_number() {
        let finding = Finding::warning("odd").at(Span {
            file: "--set".to_owned(),
            line: 0,
            column: 1,
            len: 3,
            source_line: "app.x=1".to_owned(),
        });
        assert_eq!(
            finding.to_string(),
            "warning: odd\n  --> --set\n   |\n   | app.x=1\n   | ^^^\n"
        );
    }

    #[test]
    fn json_leaves_out_what_is_absent() {
        assert_eq!(
            serde_json::to_value(Findings::from(Finding::warning("odd"))).unwrap(),
            serde_json::json!([{"severity": "warning", "summary": "odd"}])
        );
    }

    #[test]
    fn errors_come_first() {
        let mut findings = Findings::default();
        findings.push(Finding::warning("w"));
        findings.push(example());
        findings.sort();
        assert_eq!(findings.iter().next().unwrap().severity, Severity::Error);
        assert!(findings.into_result().is_err());
    }
}
