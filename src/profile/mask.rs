//! Keeps secrets out of the source lines that findings show.
//!
//! A secret field may hold its value written out. Its line can be shown for
//! another mistake on it, so every such value is replaced in every span.

use crate::finding::Span;
use crate::secret::REDACTED;
use crate::yaml::{Node, Place, Value};

use super::secret_text::SecretText;

/// Keys whose value is taken for a secret wherever they stand, even where the
/// profile has no such key.
const TELLTALE: &[&str] = &[
    "password",
    "secret",
    "token",
    "private_key",
    "value",
    "api_key",
];

/// The places of secret values written out in a tree.
#[derive(Debug, Default)]
pub(super) struct Mask(Vec<Place>);

impl Mask {
    /// Learns the secret values of one layer.
    pub(super) fn learn(&mut self, tree: &Node) {
        for entry in tree.entries() {
            self.walk(&entry.node, entry.key == "secrets");
        }
    }

    fn walk(&mut self, node: &Node, secret: bool) {
        match &node.value {
            Value::Map(entries) => {
                for entry in entries {
                    self.walk(&entry.node, secret || tells(&entry.key));
                }
            }
            Value::List(items) => items.iter().for_each(|item| self.walk(item, secret)),
            Value::Null | Value::Bool(_) => {}
            Value::Number(_) => {
                if secret {
                    self.0.push(node.place.clone());
                }
            }
            Value::String(text) => {
                if secret && SecretText::template(text.as_str()).is_literal() {
                    self.0.push(node.place.clone());
                }
            }
        }
    }

    /// The span with every secret on its line replaced.
    pub(super) fn apply(&self, mut span: Span) -> Span {
        let mut on_line: Vec<&Place> = self
            .0
            .iter()
            .filter(|place| {
                let line = if place.source.is_argument {
                    0
                } else {
                    place.line
                };
                place.source.name == span.file
                    && line == span.line
                    && (line > 0 || place.source.text == span.source_line)
            })
            .collect();
        on_line.sort_by_key(|place| std::cmp::Reverse(place.column));
        for place in on_line {
            replace(&mut span, place.column, place.len);
        }
        span
    }
}

/// Whether a key's name says that a secret follows.
fn tells(key: &str) -> bool {
    let key = key.to_lowercase();
    TELLTALE
        .iter()
        .any(|word| key == *word || key.ends_with(&format!("_{word}")))
}

/// Replaces characters of the span's line; what comes after moves.
fn replace(span: &mut Span, column: u32, len: u32) {
    let start = column.saturating_sub(1) as usize;
    let end = start + len as usize;
    let masked: String = span
        .source_line
        .chars()
        .take(start)
        .chain(REDACTED.chars())
        .chain(span.source_line.chars().skip(end))
        .collect();
    let new_len = u32::try_from(REDACTED.len()).unwrap_or(u32::MAX);
    if span.column == column {
        span.len = new_len;
    } else if span.column > column {
        span.column = (span.column + new_len).saturating_sub(len);
    }
    span.source_line = masked;
}

/// A line of a file that does not parse: everything after a key that tells of
/// a secret goes.
pub(super) fn unparsed(mut span: Span) -> Span {
    let Some((before, after)) = span.source_line.split_once([':', '=']) else {
        // A line without a key may continue a secret of several lines.
        if span.line > 0 && !span.source_line.trim().is_empty() {
            REDACTED.clone_into(&mut span.source_line);
            span.column = 1;
        }
        return span;
    };
    let secret = before.split(['.', ' ', '{', ',']).any(tells) || before.contains("secrets");
    let nested = after
        .split_once(':')
        .is_some_and(|(key, _)| key.split(['.', ' ', '{', ',']).any(tells));
    if (secret || nested) && !after.trim().is_empty() && !after.trim().starts_with("${") {
        let kept = before.chars().count() + 1;
        span.source_line = format!(
            "{} {REDACTED}",
            span.source_line.chars().take(kept).collect::<String>()
        );
        span.column = span.column.min(u32::try_from(kept + 2).unwrap_or(u32::MAX));
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{self, Source};
    use std::sync::Arc;

    #[test]
    fn a_secret_on_the_line_of_another_mistake_is_replaced() {
        let text = "secrets:\n  a: {value: hunter2, valeu: x}\n".to_owned();
        let source = Arc::new(Source::file("t.yaml", ".", text));
        let tree = yaml::tree(&source).unwrap();
        let mut mask = Mask::default();
        mask.learn(&tree);
        let entry = &tree.get("secrets").unwrap().get("a").unwrap().entries()[1];
        let span = mask.apply(entry.place.span());
        assert_eq!(
            span.source_line,
            "  a: {value: [redacted], valeu: [redacted]}"
        );
        assert_eq!(span.column, 26);
    }

    #[test]
    fn references_stay_readable() {
        let text = "secrets:\n  a: {value: \"${env:A}\"}\n".to_owned();
        let tree = yaml::tree(&Arc::new(Source::file("t.yaml", ".", text))).unwrap();
        let mut mask = Mask::default();
        mask.learn(&tree);
        assert!(mask.0.is_empty());
    }

    #[test]
    fn a_line_that_does_not_parse_keeps_its_secret() {
        let shown = |line: &str| {
            unparsed(Span {
                file: "t".to_owned(),
                line: 1,
                column: 30,
                len: 1,
                source_line: line.to_owned(),
            })
            .source_line
        };
        assert_eq!(shown("    value: \"hunter2"), "    value: [redacted]");
        assert_eq!(shown("  a: {value: \"hunter2"), "  a: [redacted]");
        assert_eq!(shown("  port: [1"), "  port: [1");
        assert_eq!(shown("   MIIEvQ"), "[redacted]");
        assert_eq!(shown("secrets.a.value=\"x"), "secrets.a.value= [redacted]");
    }
}
