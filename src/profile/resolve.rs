//! Late interpolation: `${env:NAME}`, `${file:PATH}` and `${secret:NAME}` in
//! text fields, `$${` for a literal `${`.
//!
//! A profile is valid before its references are looked up, so that `plan` and
//! `schema` work without secrets. Looking up happens in [`Loaded::resolve`],
//! through [`Sources`]: this module reads no environment itself.

use std::io;
use std::path::{Path, PathBuf};

use super::load::Loaded;
use super::{Profile, path, rules};
use crate::finding::{Finding, Findings};
use crate::secret::Secret;
use crate::yaml::{Node, Place, Value};

/// Where references find their values.
pub trait Sources {
    /// The environment variable of that name.
    fn env(&self, name: &str) -> Option<String>;
    /// The text of a file.
    fn file(&self, path: &Path) -> io::Result<String>;
    /// A secret that the user keeps elsewhere, or is asked for.
    fn secret(&self, name: &str) -> Option<Secret>;
}

/// What kind of field a text stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// May be printed.
    Plain,
    /// May not.
    Secret,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Literal(&'a str),
    Env(&'a str),
    File(&'a str),
    Secret(&'a str),
}

/// What is wrong with a reference.
#[derive(Debug, PartialEq, Eq)]
struct BadReference {
    /// Where it starts, in characters.
    offset: usize,
    summary: String,
}

fn parse(text: &str) -> Result<Vec<Part<'_>>, BadReference> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let bad = |summary: String| BadReference {
            offset: text.chars().count() - from.chars().count(),
            summary,
        };
        if let Some(kept) = before.strip_suffix('$') {
            parts.push(Part::Literal(kept));
            parts.push(Part::Literal("${"));
            rest = from.strip_prefix("${").unwrap_or_default();
            continue;
        }
        parts.push(Part::Literal(before));
        let inner = from.strip_prefix("${").unwrap_or_default();
        let (reference, after) = inner
            .split_once('}')
            .ok_or_else(|| bad("the reference lacks its `}`".to_owned()))?;
        parts.push(match reference.split_once(':') {
            Some((_, "")) => return Err(bad("the reference names nothing".to_owned())),
            Some(("env", name)) => Part::Env(name),
            Some(("file", path)) => Part::File(path),
            Some(("secret", name)) => Part::Secret(name),
            _ => {
                return Err(bad(
                    "a reference is `${env:NAME}`, `${file:PATH}` or `${secret:NAME}`".to_owned(),
                ));
            }
        });
        rest = after;
    }
    parts.push(Part::Literal(rest));
    parts.retain(|part| *part != Part::Literal(""));
    Ok(parts)
}

/// What is wrong with the references of a text, without looking them up.
pub(super) fn check(node: &Node, text: &str, field: Field) -> Option<Finding> {
    let parts = match parse(text) {
        Ok(parts) => parts,
        Err(bad) => {
            return Some(
                Finding::error(bad.summary)
                    .at(within(&node.place, bad.offset).span())
                    .hint("write `$${` for a literal `${`"),
            );
        }
    };
    let secret = parts.iter().find_map(|part| match part {
        Part::Secret(name) => Some(*name),
        _ => None,
    });
    match (field, secret) {
        (Field::Plain, Some(name)) => Some(
            Finding::error(format!(
                "`${{secret:{name}}}` in a field that may be printed"
            ))
            .at(node.place.span())
            .hint("put the value under `secrets` and name it in the service's `secrets`"),
        ),
        _ => None,
    }
}

/// A place inside a text on one line; quotes and escapes make it approximate.
fn within(place: &Place, offset: usize) -> Place {
    let offset = u32::try_from(offset).unwrap_or(u32::MAX);
    let mut place = place.clone();
    if offset < place.len {
        place.column += offset;
        place.len -= offset;
    }
    place
}

struct Lookup<'a> {
    sources: &'a dyn Sources,
    findings: Findings,
}

impl Lookup<'_> {
    /// The text with its references replaced; what is missing becomes a
    /// finding.
    fn text(&mut self, place: &Place, text: &str, field: &str) -> String {
        let mut out = String::new();
        for part in parse(text).unwrap_or_default() {
            let found = match part {
                Part::Literal(literal) => Ok(literal.to_owned()),
                Part::Env(name) => self.sources.env(name).ok_or_else(|| {
                    Finding::error(format!(
                        "`{field}` needs the environment variable `{name}`, which is not set"
                    ))
                    .hint(format!("export {name}=..."))
                }),
                Part::File(path) => {
                    let path = located(place, path);
                    self.sources
                        .file(&path)
                        .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                        .map_err(|error| {
                            Finding::error(format!(
                                "`{field}` needs the file `{}`: {error}",
                                path.display()
                            ))
                        })
                }
                Part::Secret(name) => self
                    .sources
                    .secret(name)
                    .map(|secret| secret.expose().to_owned())
                    .ok_or_else(|| {
                        Finding::error(format!(
                            "`{field}` needs the secret `{name}`, which is not known"
                        ))
                        .hint(format!("todoctl secrets set {name}"))
                    }),
            };
            match found {
                Ok(found) => out.push_str(&found),
                Err(finding) => self.findings.push(finding.at(place.span())),
            }
        }
        out
    }

    /// Replaces the references of every plain text below a node.
    fn plain(&mut self, node: &mut Node, path: &str, secrets: &[String]) {
        match &mut node.value {
            Value::Map(entries) => {
                for entry in entries {
                    let below = path::join(path, &entry.key);
                    self.plain(&mut entry.node, &below, secrets);
                }
            }
            Value::List(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    self.plain(item, &format!("{path}[{i}]"), secrets);
                }
            }
            Value::String(text) if text.contains("${") && !secrets.iter().any(|s| s == path) => {
                *text = self.text(&node.place, text, path);
            }
            _ => {}
        }
    }
}

/// A path in a profile: from the home folder, or from the profile's.
fn located(place: &Place, path: &str) -> PathBuf {
    let path = crate::files::expand_home(path);
    if path.is_absolute() {
        path
    } else {
        place.source.folder.join(path)
    }
}

impl Loaded {
    /// The profile with every reference looked up. Fails with a finding for
    /// each one that is missing.
    pub fn resolve(&self, sources: &dyn Sources) -> Result<Profile, Findings> {
        self.resolve_with(sources, |_| true)
    }

    /// The same for a teardown, which needs no secret: one that cannot be
    /// looked up is empty.
    pub fn resolve_without_secrets(&self, sources: &dyn Sources) -> Result<Profile, Findings> {
        self.resolve_with(sources, |_| false)
    }

    /// The same for a command that needs one section's secrets and no others.
    pub fn resolve_section(
        &self,
        sources: &dyn Sources,
        section: &str,
    ) -> Result<Profile, Findings> {
        let inside = |path: &str| {
            let rest = path.strip_prefix(section);
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        self.resolve_with(sources, inside)
    }

    fn resolve_with(
        &self,
        sources: &dyn Sources,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Profile, Findings> {
        let mut lookup = Lookup {
            sources,
            findings: Findings::default(),
        };
        let mut secret_paths = Vec::new();
        let mut unresolved = self.profile.clone();
        for (path, _) in unresolved.secret_fields_mut() {
            secret_paths.push(path);
        }
        let mut tree = self.tree.clone();
        lookup.plain(&mut tree, "", &secret_paths);
        let mut profile: Profile = match serde_json::from_value(tree.to_json()) {
            Ok(profile) => profile,
            Err(error) => return Err(Finding::error(error.to_string()).into()),
        };
        for (path, chart) in profile.chart_sources_mut() {
            if let Some(file) = &mut chart.path {
                let place = &path::nearest(&self.tree, &path::join(&path, "path")).place;
                *file = located(place, file).to_string_lossy().into_owned();
            }
        }
        for (path, file) in profile.files_mut() {
            let place = &path::nearest(&self.tree, &path).place;
            *file = located(place, file).to_string_lossy().into_owned();
        }
        for (path, field) in profile.secret_fields_mut() {
            let place = path::nearest(&self.tree, &path).place.clone();
            let template = field.text().clone();
            if !wanted(&path) {
                field.set(Secret::new(String::new()));
                continue;
            }
            let missing = lookup.findings.len();
            let value = lookup.text(&place, template.expose(), &path);
            if value.is_empty() && lookup.findings.len() == missing {
                let finding = Finding::error(format!("`{path}` is empty")).at(place.span());
                lookup.findings.push(finding);
            }
            field.set(Secret::new(value));
        }
        let mut findings = lookup.findings;
        // The types were checked with the references in place; texts stay texts.
        findings.extend(rules::check(&profile, &tree));
        let findings: Findings = findings
            .into_iter()
            .filter(|f| f.severity == crate::finding::Severity::Error)
            .map(|f| self.masked(f))
            .collect();
        findings.into_result().map(|_| profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_split_into_literals_and_references() {
        let cases: &[(&str, &[Part<'_>])] = &[
            ("plain $5 {x}", &[Part::Literal("plain $5 {x}")]),
            ("${env:A}", &[Part::Env("A")]),
            (
                "a-${file:~/x:y}-${secret:s}",
                &[
                    Part::Literal("a-"),
                    Part::File("~/x:y"),
                    Part::Literal("-"),
                    Part::Secret("s"),
                ],
            ),
            ("$${env:A}", &[Part::Literal("${"), Part::Literal("env:A}")]),
        ];
        for (text, parts) in cases {
            assert_eq!(parse(text).unwrap(), *parts, "{text}");
        }
        for (text, offset) in [
            ("x${env:A", 1),
            ("${A}", 0),
            ("ab${env:}", 2),
            ("${vault:x}", 0),
        ] {
            assert_eq!(parse(text).unwrap_err().offset, offset, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "[${}:a-e]{0,20}") {
            let _ = parse(&text);
        }
    }
}
