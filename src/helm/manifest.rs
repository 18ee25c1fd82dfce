//! From rendered files to a release's manifest: documents, hooks, the order of
//! kinds, and the bytes that `helm template` prints.
//!
//! A file is split at lines that begin with `---`, even inside block scalars
//! and even when the document is glued to it, because charts rely on it.

use std::collections::BTreeMap;

use super::chart::fields::{Fields, WrongType};
use super::chart::glob::{BadPattern, Pattern};
use super::kinds;
use super::value::Value;
use super::yaml11::{self, YamlError};

/// The two ways in which helm cut files into documents over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Generation {
    /// Helm 4.2.4 and later: only leading white space is dropped, so a
    /// document keeps its final newlines.
    #[default]
    Current,
    /// Helm 3: documents are trimmed on both sides, and webhook configurations
    /// have no place in the order of kinds. (Helm 4 before 4.2.4 trims, too,
    /// but has the place.)
    Trimmed,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are helm's and say it")]
pub enum HookEvent {
    PreInstall,
    PostInstall,
    PreDelete,
    PostDelete,
    PreUpgrade,
    PostUpgrade,
    PreRollback,
    PostRollback,
    Test,
}

impl HookEvent {
    /// Reads an annotation's word, in any case.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.trim().to_ascii_lowercase().as_str() {
            "pre-install" => Self::PreInstall,
            "post-install" => Self::PostInstall,
            "pre-delete" => Self::PreDelete,
            "post-delete" => Self::PostDelete,
            "pre-upgrade" => Self::PreUpgrade,
            "post-upgrade" => Self::PostUpgrade,
            "pre-rollback" => Self::PreRollback,
            "post-rollback" => Self::PostRollback,
            // The second is helm 2's name.
            "test" | "test-success" => Self::Test,
            _ => return None,
        })
    }

    /// The word that annotations and release records use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreInstall => "pre-install",
            Self::PostInstall => "post-install",
            Self::PreDelete => "pre-delete",
            Self::PostDelete => "post-delete",
            Self::PreUpgrade => "pre-upgrade",
            Self::PostUpgrade => "post-upgrade",
            Self::PreRollback => "pre-rollback",
            Self::PostRollback => "post-rollback",
            Self::Test => "test",
        }
    }
}

/// A document that is part of the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The template's path, with its chart's.
    pub path: String,
    /// The text.
    pub content: String,
    /// The line of the template's output that it begins on, from 0.
    pub line: usize,
    /// What the document says it is; empty when it is only a comment.
    pub kind: String,
    /// Its API version.
    pub api_version: String,
    /// Its name.
    pub name: String,
}

/// A document that runs at some moment of a release's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The object's name.
    pub name: String,
    /// The object's kind.
    pub kind: String,
    /// The template's path, with its chart's.
    pub path: String,
    /// The text.
    pub manifest: String,
    /// The line of the template's output that it begins on, from 0.
    pub line: usize,
    /// When it runs.
    pub events: Vec<HookEvent>,
    /// Lower ones run first.
    pub weight: i64,
    /// When it is deleted; empty means before the next creation.
    pub delete_policies: Vec<String>,
    /// When its logs are shown.
    pub output_log_policies: Vec<String>,
}

/// What a chart's files come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sorted {
    /// In the order in which they are installed.
    pub documents: Vec<Document>,
    /// By kind, as release records list them.
    pub hooks: Vec<Hook>,
}

/// A rendered file holds something that is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not YAML.
    #[error("YAML parse error on {path}")]
    Yaml {
        /// The template.
        path: String,
        /// Why.
        source: YamlError,
    },
    /// It is YAML, but not of an object's shape.
    #[error("YAML parse error on {path}")]
    Shape {
        /// The template.
        path: String,
        /// Why.
        source: WrongType,
    },
    /// `--show-only` names a template that gave nothing.
    #[error("could not find template {0} in chart")]
    NotFound(String),
    /// `--show-only` has a broken pattern.
    #[error("cannot use the pattern {0:?}")]
    Pattern(String, #[source] BadPattern),
}

/// Cuts rendered files into documents, takes the hooks out, and sorts both.
/// Files whose name begins with `_` are passed over, documents with an unknown
/// hook disappear.
pub fn sort(
    files: &BTreeMap<String, String>,
    generation: Generation,
) -> Result<Sorted, ManifestError> {
    let mut sorted = Sorted::default();
    for (path, text) in files {
        sorted.cut(path, text, generation)?;
    }
    sorted.order(generation);
    Ok(sorted)
}

impl Sorted {
    /// Adds one file's documents. Files come by their paths.
    pub(super) fn cut(
        &mut self,
        path: &str,
        text: &str,
        generation: Generation,
    ) -> Result<(), ManifestError> {
        let base = path.rsplit('/').next().unwrap_or(path);
        if base.starts_with('_') {
            return Ok(());
        }
        for content in split(text, generation) {
            let line = line_of(text, content);
            place(path, content, line, self)?;
        }
        Ok(())
    }

    /// Brings all into helm's order.
    pub(super) fn order(&mut self, generation: Generation) {
        let by_kind = |a: &str, b: &str| match generation {
            Generation::Current => kinds::install(a).cmp(&kinds::install(b)),
            Generation::Trimmed => kinds::install_helm3(a).cmp(&kinds::install_helm3(b)),
        };
        self.documents.sort_by(|a, b| by_kind(&a.kind, &b.kind));
        self.hooks.sort_by(|a, b| by_kind(&a.kind, &b.kind));
    }
}

/// Cuts a text into its documents, blank ones dropped.
pub fn split(text: &str, generation: Generation) -> Vec<&str> {
    match generation {
        Generation::Current => split_current(text),
        Generation::Trimmed => split_trimmed(text),
    }
}

/// `---` at the start of any line separates, with the blanks that follow it.
fn split_current(text: &str) -> Vec<&str> {
    let text = text.trim_start();
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut line = 0;
    while line < text.len() {
        let rest = text.get(line..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix("---") {
            pieces.extend(text.get(start..line));
            start = text.len() - after.trim_start_matches([' ', '\t']).len();
            // The rest of the line is content; it cannot hold another mark.
        }
        line = match rest.find('\n') {
            Some(end) => line + end + 1,
            None => text.len(),
        };
    }
    pieces.extend(text.get(start..));
    pieces
        .into_iter()
        .map(str::trim_start)
        .filter(|piece| !piece.is_empty())
        .collect()
}

/// The older rule: a mark takes the white space before and after it along,
/// and a document is trimmed.
fn split_trimmed(text: &str) -> Vec<&str> {
    let text = text.trim();
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find("---")) {
        let at = from + found;
        let before = text.get(start..at).unwrap_or_default();
        let gap = before
            .trim_end_matches([' ', '\t', '\n', '\r', '\u{c}'])
            .len();
        let at_line_start = before.get(gap..).is_some_and(|gap| gap.ends_with('\n'));
        if at == 0 || at_line_start {
            pieces.extend(before.get(..gap));
            let rest = text.get(at + 3..).unwrap_or_default();
            start = text.len()
                - rest
                    .trim_start_matches([' ', '\t', '\n', '\r', '\u{c}'])
                    .len();
            from = start;
        } else {
            from = at + 3;
        }
    }
    pieces.extend(text.get(start..));
    pieces
        .into_iter()
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
        .collect()
}

/// The line on which a piece of a text begins.
fn line_of(text: &str, piece: &str) -> usize {
    let start = piece.as_ptr().addr() - text.as_ptr().addr();
    text.get(..start)
        .map_or(0, |before| before.matches('\n').count())
}

fn place(path: &str, content: &str, line: usize, sorted: &mut Sorted) -> Result<(), ManifestError> {
    let head = yaml11::parse_fields(content.as_bytes(), &Head::FIELDS).map_err(|source| {
        ManifestError::Yaml {
            path: path.to_owned(),
            source,
        }
    })?;
    let head = Head::read(&head).map_err(|source| ManifestError::Shape {
        path: path.to_owned(),
        source,
    })?;
    let Some(events) = head.annotation("helm.sh/hook") else {
        sorted.documents.push(Document {
            path: path.to_owned(),
            content: content.to_owned(),
            line,
            kind: head.kind,
            api_version: head.api_version,
            name: head.name,
        });
        return Ok(());
    };
    let events: Option<Vec<HookEvent>> = events.split(',').map(HookEvent::parse).collect();
    let Some(events) = events else {
        return Ok(());
    };
    let words = |name: &str| -> Vec<String> {
        let list = head.annotation(name).map(|list| list.split(','));
        let words = list.into_iter().flatten();
        words.map(|word| word.trim().to_lowercase()).collect()
    };
    sorted.hooks.push(Hook {
        path: path.to_owned(),
        manifest: content.to_owned(),
        line,
        events,
        weight: head
            .annotation("helm.sh/hook-weight")
            .and_then(|weight| weight.parse().ok())
            .unwrap_or(0),
        delete_policies: words("helm.sh/hook-delete-policy"),
        output_log_policies: words("helm.sh/hook-output-log-policy"),
        name: head.name,
        kind: head.kind,
    });
    Ok(())
}

/// The part of an object that decides what becomes of it.
struct Head {
    api_version: String,
    kind: String,
    name: String,
    annotations: Vec<(String, String)>,
}

impl Head {
    const FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

    fn read(document: &Value) -> Result<Self, WrongType> {
        let fields = Fields::new(document, "the document")?;
        let meta = Fields::new(&fields.value("metadata"), "metadata")?;
        Ok(Self {
            api_version: fields.text("apiVersion")?,
            kind: fields.text("kind")?,
            name: meta.text("name")?,
            annotations: meta.text_map("annotations")?,
        })
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        let found = self.annotations.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The hooks of one moment in the order in which they run: by weight, then by
/// name, then as listed.
pub fn hooks_for(hooks: &[Hook], event: HookEvent) -> Vec<&Hook> {
    let mut found: Vec<&Hook> = hooks.iter().filter(|h| h.events.contains(&event)).collect();
    found.sort_by(|a, b| (a.weight, &a.name).cmp(&(b.weight, &b.name)));
    found
}

/// Adds one document with the header that names its template.
pub fn push_section(text: &mut String, path: &str, content: &str) {
    text.reserve(path.len() + content.len() + 16);
    for part in ["---\n# Source: ", path, "\n", content, "\n"] {
        text.push_str(part);
    }
}

/// The manifest as a release record stores it.
pub fn release_text(documents: &[Document]) -> String {
    let mut text = String::new();
    for document in documents {
        push_section(&mut text, &document.path, &document.content);
    }
    text
}

/// Picks the documents of `text`, which `helm template` would print, whose
/// template matches a pattern of `--show-only`.
pub fn show_only(
    text: &str,
    patterns: &[String],
    generation: Generation,
) -> Result<String, ManifestError> {
    let documents = split(text, generation);
    let mut shown = String::new();
    for wanted in patterns {
        let pattern =
            Pattern::new(wanted).map_err(|e| ManifestError::Pattern(wanted.clone(), e))?;
        let mut found = false;
        for document in &documents {
            if source_in_chart(document).is_some_and(|path| pattern.matches(path)) {
                found = true;
                shown.push_str("---\n");
                shown.push_str(document);
                shown.push('\n');
            }
        }
        if !found {
            return Err(ManifestError::NotFound(wanted.clone()));
        }
    }
    Ok(shown)
}

/// The path below the chart's name in the first `# Source:` comment.
fn source_in_chart(document: &str) -> Option<&str> {
    document.lines().find_map(|line| {
        let (_, path) = line.split_once("# Source: ")?;
        let (chart, rest) = path.split_once('/')?;
        (!chart.is_empty() && !rest.is_empty()).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn documents_are_cut_as_each_generation_did() {
        let cases: [(&str, &[&str], &[&str]); 9] = [
            (
                "a: 1\n---\nb: 2\n",
                &["a: 1\n", "b: 2\n"],
                &["a: 1", "b: 2"],
            ),
            // The older mark takes the next line's newline along.
            ("---\n\n---\na: 1\n", &["a: 1\n"], &["---\na: 1"]),
            ("---a: 1\n---b: 2", &["a: 1\n", "b: 2"], &["a: 1", "b: 2"]),
            ("--- # c\na: 1", &["# c\na: 1"], &["# c\na: 1"]),
            (
                "a: |\n  ---\n  b\n",
                &["a: |\n  ---\n  b\n"],
                &["a: |\n  ---\n  b"],
            ),
            ("a: |\n---\nb\n", &["a: |\n", "b\n"], &["a: |", "b"]),
            ("a: b---c\n", &["a: b---c\n"], &["a: b---c"]),
            ("# only\n", &["# only\n"], &["# only"]),
            (" \n\t\n", &[], &[]),
        ];
        for (text, current, trimmed) in cases {
            assert_eq!(split(text, Generation::Current), current, "{text:?}");
            assert_eq!(split(text, Generation::Trimmed), trimmed, "{text:?}");
        }
    }

    fn sorted(files: &[(&str, &str)]) -> Sorted {
        let files = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        sort(&files, Generation::Current).unwrap()
    }

    #[test]
    fn files_sort_by_path_documents_by_place_and_all_by_kind() {
        let sorted = sorted(&[
            (
                "c/templates/b.yaml",
                "kind: Service\n---\nkind: Secret\n---\n# note\n",
            ),
            (
                "c/charts/s/templates/z.yaml",
                "kind: Service\nmetadata:\n  name: s\n",
            ),
            ("c/templates/_p.yaml", "kind: Pod"),
        ]);
        let found: Vec<(&str, &str, usize)> = sorted
            .documents
            .iter()
            .map(|d| (d.path.as_str(), d.kind.as_str(), d.line))
            .collect();
        assert_eq!(
            found,
            [
                ("c/templates/b.yaml", "Secret", 2),
                ("c/charts/s/templates/z.yaml", "Service", 0),
                ("c/templates/b.yaml", "Service", 0),
                ("c/templates/b.yaml", "", 4),
            ]
        );
        assert_eq!(sorted.documents[1].name, "s");
    }

    #[test]
    fn hooks_leave_the_manifest_and_unknown_ones_disappear() {
        let object = |annotations: &str| {
            format!("kind: Job\nmetadata:\n  name: j\n  annotations:\n{annotations}")
        };
        let hook = object(
            "    helm.sh/hook: Pre-Install, test-success\n    helm.sh/hook-weight: \"-5\"\n    helm.sh/hook-delete-policy: hook-succeeded, Hook-Failed\n",
        );
        let unknown = object("    helm.sh/hook: crd-install,pre-install\n");
        let plain = object("    other: \"1\"\n    helm.sh/hook-weight: \"3\"\n");
        let sorted = sorted(&[("a", &hook), ("b", &unknown), ("c", &plain)]);
        assert_eq!(sorted.documents.len(), 1);
        assert_eq!(sorted.hooks.len(), 1);
        let hook = &sorted.hooks[0];
        assert_eq!(hook.events, [HookEvent::PreInstall, HookEvent::Test]);
        assert_eq!(hook.weight, -5);
        assert_eq!(hook.delete_policies, ["hook-succeeded", "hook-failed"]);
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_template() {
        for text in ["just text", "- a list", "a: [", "metadata: 3"] {
            let files = [("c/templates/x".to_owned(), text.to_owned())].into();
            let error = sort(&files, Generation::Current).unwrap_err();
            assert_eq!(error.to_string(), "YAML parse error on c/templates/x");
        }
    }

    #[test]
    fn hooks_run_by_weight_then_by_name() {
        let hook = |name: &str, weight: i64| Hook {
            name: name.to_owned(),
            kind: "Job".to_owned(),
            path: String::new(),
            manifest: String::new(),
            line: 0,
            events: vec![HookEvent::PreInstall],
            weight,
            delete_policies: Vec::new(),
            output_log_policies: Vec::new(),
        };
        let hooks = [hook("b", 0), hook("a", 0), hook("z", -5), hook("c", 5)];
        let order: Vec<&str> = hooks_for(&hooks, HookEvent::PreInstall)
            .iter()
            .map(|h| h.name.as_str())
            .collect();
        assert_eq!(order, ["z", "a", "b", "c"]);
        assert!(hooks_for(&hooks, HookEvent::Test).is_empty());
    }

    #[test]
    fn show_only_takes_patterns_below_the_chart() {
        let text = "---\n# Source: c/templates/a.yaml\na: 1\n\n---\n# Source: c/charts/s/templates/b.yaml\nb: 1\n";
        let show = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            show_only(text, &patterns, Generation::Current).map_err(|e| e.to_string())
        };
        assert_eq!(
            show(&["templates/*.yaml"]).unwrap(),
            "---\n# Source: c/templates/a.yaml\na: 1\n\n\n"
        );
        assert!(show(&["charts/s/templates/b.yaml"]).is_ok());
        assert_eq!(
            show(&["nope"]).unwrap_err(),
            "could not find template nope in chart"
        );
    }

    proptest! {
        #[test]
        fn splitting_never_panics_and_loses_no_text(text in "[-a \n\té]{0,60}") {
            for generation in [Generation::Current, Generation::Trimmed] {
                let pieces = split(&text, generation);
                let kept: usize = pieces.iter().map(|p| p.matches(['a', 'é']).count()).sum();
                prop_assert_eq!(kept, text.matches(['a', 'é']).count());
            }
        }
    }
}
