//! `.helmignore`: which files of a chart folder are left out.
//!
//! The rules look like git's but are helm's own: a leading `!` ignores what
//! does *not* match, `**` is refused, and nothing re-includes a file.

use super::glob::Pattern;

/// Why a `.helmignore` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// `**` has no meaning in helm's rules.
    #[error("line {0}: double-star (**) syntax is not supported")]
    DoubleStar(usize),
    /// The pattern is broken.
    #[error("line {0}: syntax error in pattern")]
    Pattern(usize),
}

/// The rules of one chart.
#[derive(Debug, Clone)]
pub struct Rules(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    pattern: Pattern,
    negated: bool,
    only_folders: bool,
    base_name: bool,
}

impl Rules {
    /// Reads a `.helmignore` and adds the rule that always holds: dot files
    /// right below `templates/`.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let text = text.trim_start_matches('\u{feff}');
        let mut rules = Vec::new();
        for (index, line) in text.lines().enumerate() {
            rules.extend(rule(line.trim(), index + 1)?);
        }
        rules.extend(rule("templates/.?*", 0)?);
        Ok(Self(rules))
    }

    /// Whether the file or folder at `path` (relative to the chart, with `/`)
    /// is left out.
    pub fn ignores(&self, path: &str, is_folder: bool) -> bool {
        for rule in &self.0 {
            let hit = rule.matches(path);
            if rule.negated {
                if (rule.only_folders && !is_folder) || !hit {
                    return true;
                }
            } else if hit && (is_folder || !rule.only_folders) {
                return true;
            }
        }
        false
    }
}

impl Rule {
    fn matches(&self, path: &str) -> bool {
        let subject = if self.base_name {
            path.rsplit('/').next().unwrap_or(path)
        } else {
            path
        };
        self.pattern.matches(subject)
    }
}

fn rule(line: &str, number: usize) -> Result<Option<Rule>, IgnoreError> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    if line.contains("**") {
        return Err(IgnoreError::DoubleStar(number));
    }
    let (negated, rest) = strip(line, |l| l.strip_prefix('!'));
    let (only_folders, rest) = strip(rest, |l| l.strip_suffix('/'));
    let (anchored, rest) = strip(rest, |l| l.strip_prefix('/'));
    Ok(Some(Rule {
        pattern: Pattern::new(rest).map_err(|_| IgnoreError::Pattern(number))?,
        negated,
        only_folders,
        base_name: !anchored && !rest.contains('/'),
    }))
}

fn strip<'a>(text: &'a str, cut: impl Fn(&'a str) -> Option<&'a str>) -> (bool, &'a str) {
    match cut(text) {
        Some(rest) => (true, rest),
        None => (false, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_follow_helm() {
        let cases = [
            ("helm.txt", "helm.txt", false, true),
            ("helm.*", "helm.txt", false, true),
            ("helm.*", "rudder.txt", false, false),
            ("*.txt", "cargo/tiller.txt", false, true),
            ("cargo", "cargo", true, true),
            ("cargo/", "cargo", true, true),
            ("cargo/", "mast", false, false),
            ("helm.txt/", "helm.txt", false, false),
            ("/a.txt", "a.txt", false, true),
            ("/a.txt", "cargo/a.txt", false, false),
            ("cargo/*.*", "cargo/a.txt", false, true),
            ("cargo/*.*", "mast/a.txt", false, false),
            ("!helm.txt", "helm.txt", false, false),
            ("!helm.txt", "tiller.txt", false, true),
            ("!cargo/", "cargo", true, false),
            ("!cargo/", "mast/", true, true),
            ("# comment", "# comment", false, false),
            ("", "templates/.dot", false, true),
            ("", ".dot", false, false),
        ];
        for (line, path, folder, want) in cases {
            let rules = Rules::parse(line).unwrap();
            assert_eq!(rules.ignores(path, folder), want, "{line} on {path}");
        }
    }

    #[test]
    fn unreadable_rules_name_their_line() {
        assert_eq!(
            Rules::parse("a\n**/b").unwrap_err(),
            IgnoreError::DoubleStar(2)
        );
        assert_eq!(Rules::parse("[").unwrap_err(), IgnoreError::Pattern(1));
    }
}
