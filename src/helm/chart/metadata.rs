//! What `Chart.yaml`, `requirements.yaml` and the lock files say.
//!
//! The fields and their validation are those of helm's chart API v1 and v2.

use std::collections::BTreeSet;

use super::super::semver::Version;
use super::super::value::Value;
use super::fields::{Fields, WrongType};

/// Who looks after a chart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintainer {
    /// Their name.
    pub name: String,
    /// Their address.
    pub email: String,
    /// Their page.
    pub url: String,
}

/// One entry of a dependency's `import-values`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Import {
    /// The child's `exports.NAME`, merged at the parent's root.
    Export(String),
    /// A table of the child, merged at a path of the parent.
    Table {
        /// The path in the child's values.
        child: String,
        /// The path in the parent's values; `.` is the root.
        parent: String,
    },
}

/// A chart that another chart needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dependency {
    /// The chart's name, or its alias once dependencies are processed.
    pub name: String,
    /// A version or a range.
    pub version: String,
    /// Where it comes from.
    pub repository: String,
    /// Paths of booleans that switch it on or off.
    pub condition: String,
    /// Names under `tags` that switch it on or off.
    pub tags: Vec<String>,
    /// Whether it is on, once dependencies are processed.
    pub enabled: bool,
    /// Values to import from it.
    pub import_values: Vec<Import>,
    /// Another name for it.
    pub alias: String,
}

/// The content of `Chart.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The chart's name.
    pub name: String,
    /// The project's page.
    pub home: String,
    /// Where the source is.
    pub sources: Vec<String>,
    /// The chart's version.
    pub version: String,
    /// What it is, in a sentence.
    pub description: String,
    /// Words to find it by.
    pub keywords: Vec<String>,
    /// Who looks after it.
    pub maintainers: Vec<Maintainer>,
    /// Its picture.
    pub icon: String,
    /// `v1` or `v2`.
    pub api_version: String,
    /// Unused by helm itself.
    pub condition: String,
    /// Unused by helm itself.
    pub tags: String,
    /// The version of what it installs.
    pub app_version: String,
    /// Whether it should not be used any more.
    pub deprecated: bool,
    /// Free texts, in the order of their names.
    pub annotations: Vec<(String, String)>,
    /// The Kubernetes versions that it works with.
    pub kube_version: String,
    /// What it needs; `None` when nothing was ever said, which leaves every
    /// chart in `charts/` on and untouched.
    pub dependencies: Option<Vec<Dependency>>,
    /// Empty, `application` or `library`.
    pub kind: String,
}

/// What `Chart.lock` holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// When it was made, as written.
    pub generated: String,
    /// A digest of the dependencies as asked for and as locked.
    pub digest: String,
    /// The chosen versions.
    pub dependencies: Vec<Dependency>,
}

/// Why a chart's metadata is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// A required field is absent.
    #[error("chart.metadata.{0} is required")]
    Required(&'static str),
    /// The name is a path.
    #[error("chart.metadata.name {0:?} is invalid")]
    Name(String),
    /// The version is none.
    #[error("chart.metadata.version {0:?} is invalid")]
    Version(String),
    /// The type is unknown.
    #[error("chart.metadata.type must be application or library")]
    Kind,
    /// The chart API is unknown.
    #[error("unsupported chart version {0:?}")]
    ApiVersion(String),
    /// A list has an empty item.
    #[error("{0} must not contain empty or null nodes")]
    NullItem(&'static str),
    /// An alias has characters that a values key should not have.
    #[error("dependency {0:?} has disallowed characters in the alias")]
    Alias(String),
    /// Two dependencies would share one values key.
    #[error("more than one dependency with name or alias {0:?}")]
    Duplicate(String),
    /// A field has the wrong type.
    #[error(transparent)]
    Type(#[from] WrongType),
}

impl Metadata {
    /// Reads `Chart.yaml`. An absent `apiVersion` means `v1`.
    pub fn read(document: &Value) -> Result<Self, MetadataError> {
        let fields = Fields::new(document, "Chart.yaml")?;
        let mut metadata = Self {
            name: fields.text("name")?,
            home: fields.text("home")?,
            sources: fields.texts("sources")?,
            version: fields.text("version")?,
            description: fields.text("description")?,
            keywords: fields.texts("keywords")?,
            maintainers: maintainers(&fields)?,
            icon: fields.text("icon")?,
            api_version: fields.text("apiVersion")?,
            condition: fields.text("condition")?,
            tags: fields.text("tags")?,
            app_version: fields.text("appVersion")?,
            deprecated: fields.flag("deprecated")?,
            annotations: fields.text_map("annotations")?,
            kube_version: fields.text("kubeVersion")?,
            dependencies: dependencies(&fields)?,
            kind: fields.text("type")?,
        };
        if metadata.api_version.is_empty() {
            "v1".clone_into(&mut metadata.api_version);
        }
        Ok(metadata)
    }

    /// Takes the dependencies of a `requirements.yaml`.
    pub fn read_requirements(&mut self, document: &Value) -> Result<(), MetadataError> {
        let fields = Fields::new(document, "requirements.yaml")?;
        if let Some(found) = dependencies(&fields)? {
            self.dependencies = Some(found);
        }
        Ok(())
    }

    /// The dependencies, none when nothing was said.
    pub fn needs(&self) -> &[Dependency] {
        self.dependencies.as_deref().unwrap_or_default()
    }

    /// Whether this chart only defines templates for others.
    pub fn is_library(&self) -> bool {
        self.kind.eq_ignore_ascii_case("library")
    }

    /// Cleans every text of unprintable characters and checks the rules that
    /// helm checks when it loads a chart.
    pub fn validate(&mut self) -> Result<(), MetadataError> {
        self.clean();
        if !matches!(self.api_version.as_str(), "v1" | "v2") {
            return Err(MetadataError::ApiVersion(self.api_version.clone()));
        }
        if self.name.is_empty() {
            return Err(MetadataError::Required("name"));
        }
        if self.name == "." || self.name == ".." || self.name.contains('/') {
            return Err(MetadataError::Name(self.name.clone()));
        }
        if self.version.is_empty() {
            return Err(MetadataError::Required("version"));
        }
        if Version::parse(&self.version).is_err() {
            return Err(MetadataError::Version(self.version.clone()));
        }
        if !matches!(self.kind.as_str(), "" | "application" | "library") {
            return Err(MetadataError::Kind);
        }
        let mut keys = BTreeSet::new();
        for dependency in self.needs() {
            let alias = &dependency.alias;
            if !alias.is_empty() && !alias.bytes().all(is_alias) {
                return Err(MetadataError::Alias(dependency.name.clone()));
            }
            if !keys.insert(dependency.key()) {
                return Err(MetadataError::Duplicate(dependency.key().to_owned()));
            }
        }
        Ok(())
    }

    fn clean(&mut self) {
        let texts = [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ];
        let lists = self.sources.iter_mut().chain(&mut self.keywords);
        for text in texts.into_iter().chain(lists) {
            sanitize(text);
        }
        for who in &mut self.maintainers {
            sanitize(&mut who.name);
            sanitize(&mut who.email);
            sanitize(&mut who.url);
        }
        for dependency in self.dependencies.iter_mut().flatten() {
            sanitize(&mut dependency.name);
            sanitize(&mut dependency.version);
            sanitize(&mut dependency.repository);
            sanitize(&mut dependency.condition);
            dependency.tags.iter_mut().for_each(sanitize);
        }
    }
}

impl Dependency {
    /// The values key of this dependency: its alias or its name.
    pub fn key(&self) -> &str {
        if self.alias.is_empty() {
            &self.name
        } else {
            &self.alias
        }
    }

    fn read(item: &Value) -> Result<Self, MetadataError> {
        if item.is_nil() {
            return Err(MetadataError::NullItem("dependencies"));
        }
        let fields = Fields::new(item, "dependencies")?;
        let imports = fields.list("import-values")?.unwrap_or_default();
        Ok(Self {
            name: fields.text("name")?,
            version: fields.text("version")?,
            repository: fields.text("repository")?,
            condition: fields.text("condition")?,
            tags: fields.texts("tags")?,
            enabled: fields.flag("enabled")?,
            import_values: imports.iter().filter_map(import).collect(),
            alias: fields.text("alias")?,
        })
    }
}

impl Lock {
    /// Reads `Chart.lock` or `requirements.lock`.
    pub fn read(document: &Value) -> Result<Self, MetadataError> {
        let fields = Fields::new(document, "Chart.lock")?;
        Ok(Self {
            generated: fields.text("generated")?,
            digest: fields.text("digest")?,
            dependencies: dependencies(&fields)?.unwrap_or_default(),
        })
    }
}

fn is_alias(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn maintainers(fields: &Fields) -> Result<Vec<Maintainer>, MetadataError> {
    let items = fields.list("maintainers")?.unwrap_or_default();
    items
        .iter()
        .map(|item| {
            if item.is_nil() {
                return Err(MetadataError::NullItem("maintainers"));
            }
            let fields = Fields::new(item, "maintainers")?;
            Ok(Maintainer {
                name: fields.text("name")?,
                email: fields.text("email")?,
                url: fields.text("url")?,
            })
        })
        .collect()
}

fn dependencies(fields: &Fields) -> Result<Option<Vec<Dependency>>, MetadataError> {
    fields
        .list("dependencies")?
        .map(|items| items.iter().map(Dependency::read).collect())
        .transpose()
}

/// An import; what is neither a text nor a mapping is passed over, as in helm.
fn import(item: &Value) -> Option<Import> {
    match item {
        Value::Str(_) => item.as_str().map(|name| Import::Export(name.to_owned())),
        Value::Map(map) => {
            let side = |name: &str| {
                let value = map.get(name).unwrap_or_default();
                String::from_utf8_lossy(&super::super::gofmt::sprint_value(&value)).into_owned()
            };
            Some(Import::Table {
                child: side("child"),
                parent: side("parent"),
            })
        }
        _ => None,
    }
}

/// Turns white space into blanks and drops what cannot be printed.
fn sanitize(text: &mut String) {
    let unprintable = |c: char| {
        c.is_control()
            || matches!(c,
                '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}'
                | '\u{fff9}'..='\u{ffff}' | '\u{e0000}'..='\u{10ffff}')
    };
    if text.chars().any(|c| c.is_whitespace() || unprintable(c)) {
        *text = text
            .chars()
            .filter_map(|c| {
                if c.is_whitespace() {
                    Some(' ')
                } else {
                    (!unprintable(c) || c == '\u{fffd}').then_some(c)
                }
            })
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(document: &serde_json::Value) -> Result<Metadata, MetadataError> {
        let mut metadata = Metadata::read(&Value::from_json(document))?;
        metadata.validate()?;
        Ok(metadata)
    }

    #[test]
    fn scalars_become_text_and_names_match_in_any_case() {
        let metadata = read(&json!({
            "apiVersion": "v2", "Name": "c", "version": 1, "appVersion": 1.10,
            "description": "a\nb\u{7}c", "annotations": {"n": 3, "b": true, "z": null},
            "unknown": [1],
        }))
        .unwrap();
        assert_eq!(metadata.name, "c");
        assert_eq!(metadata.version, "1");
        assert_eq!(metadata.app_version, "1.1");
        assert_eq!(metadata.description, "a bc");
        let annotation = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            metadata.annotations,
            [
                annotation("b", "true"),
                annotation("n", "3"),
                annotation("z", "")
            ]
        );
    }

    #[test]
    fn broken_metadata_is_refused() {
        let cases = [
            (json!({"version": "1.0.0"}), "name is required"),
            (json!({"name": "a"}), "version is required"),
            (json!({"name": "../a", "version": "1"}), "is invalid"),
            (json!({"name": "..", "version": "1"}), "is invalid"),
            (json!({"name": "a", "version": "x"}), "version \"x\""),
            (
                json!({"name": "a", "version": "1", "type": "app"}),
                "application or library",
            ),
            (
                json!({"name": "a", "version": "1", "apiVersion": "v3"}),
                "unsupported chart version",
            ),
            (
                json!({"name": "a", "version": "1", "maintainers": [null]}),
                "maintainers must not contain",
            ),
            (
                json!({"name": "a", "version": "1", "dependencies": [null]}),
                "dependencies must not contain",
            ),
            (
                json!({"name": "a", "version": "1", "dependencies": [{"name": "x"}, {"name": "y", "alias": "x"}]}),
                "more than one dependency",
            ),
            (
                json!({"name": "a", "version": "1", "dependencies": [{"name": "x", "alias": "a b"}]}),
                "disallowed characters",
            ),
            (json!({"name": {"a": 1}}), "cannot use a mapping as name"),
            (json!([1]), "Chart.yaml"),
        ];
        for (document, want) in cases {
            let error = read(&document).unwrap_err().to_string();
            assert!(error.contains(want), "{document}: {error}");
        }
    }
}
