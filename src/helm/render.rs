//! The whole way from a chart and a user's values to a release: dependencies,
//! values, schema, templates, documents, hooks, and the text that
//! `helm template` prints.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use super::capabilities::{self, InvalidKubeVersion};
use super::chart::{Chart, CrdFile};
use super::context::{self, Release};
use super::dependency::{self, Missing};
use super::engine::{Engine, Lookup, Options, SourceMark};
use super::error::TemplateError;
use super::manifest::{self, Document, Generation, Hook, HookEvent, ManifestError, Sorted};
use super::object::Capabilities;
use super::value::{Map, MapType};
use super::values::coalesce::{CoalesceError, Nulls, coalesce};
use super::values::schema::{self, SchemaError};
use super::values::{Layers, ValuesError};

/// What a chart is rendered for.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, as in helm"
)]
#[derive(Clone)]
pub struct RenderOptions {
    /// The release's name.
    pub release_name: String,
    /// The release's namespace.
    pub namespace: String,
    /// The release's number.
    pub revision: i64,
    /// Whether `.Release.IsUpgrade` is set instead of `.Release.IsInstall`.
    pub is_upgrade: bool,
    /// The user's values.
    pub values: Layers,
    /// The Kubernetes version, when no cluster is asked.
    pub kube_version: Option<String>,
    /// API versions in addition to the built-in ones.
    pub api_versions: Vec<String>,
    /// What a live cluster said of itself; replaces both of the above.
    pub capabilities: Option<Arc<Capabilities>>,
    /// Reads objects of a live cluster for `lookup`.
    pub lookup: Option<Arc<dyn Lookup>>,
    /// Does without `values.schema.json`.
    pub skip_schema: bool,
    /// What was fetched of the schemas that charts refer to.
    pub schemas: schema::Fetched,
    /// Takes the notes of sub-charts, too.
    pub sub_chart_notes: bool,
    /// How files are cut into documents.
    pub generation: Generation,
    /// Keeps track of the template line of every part of the output.
    pub source_map: bool,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            release_name: "release-name".to_owned(),
            namespace: "default".to_owned(),
            revision: 1,
            is_upgrade: false,
            values: Layers::default(),
            kube_version: None,
            api_versions: Vec::new(),
            capabilities: None,
            lookup: None,
            skip_schema: false,
            schemas: schema::Fetched::new(),
            sub_chart_notes: false,
            generation: Generation::Current,
            source_map: false,
        }
    }
}

/// A chart, rendered.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The chart as it took part: disabled charts are gone, aliases applied.
    pub chart: Chart,
    /// The user's values, without defaults.
    pub user_values: Map,
    /// The values that templates saw.
    pub values: Map,
    /// The release's documents in the order of installation.
    pub documents: Vec<Document>,
    /// The release's hooks.
    pub hooks: Vec<Hook>,
    /// The text of `NOTES.txt`.
    pub notes: String,
    /// The files of `crds/`.
    pub crds: Vec<CrdFile>,
    /// With [`RenderOptions::source_map`]: what each template gave, before it
    /// was cut and sorted.
    pub files: BTreeMap<String, String>,
    /// Where the parts of each file come from, when asked for.
    pub source_marks: BTreeMap<String, Vec<SourceMark>>,
    generation: Generation,
}

/// Why a chart cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The release's name is none.
    #[error(
        "release name {0:?} is invalid: it must be at most 53 lower-case letters, digits, - and ."
    )]
    ReleaseName(String),
    /// A library chart has nothing to install.
    #[error("library charts are not installable")]
    Library,
    /// A dependency is not there.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The Kubernetes version is none.
    #[error(transparent)]
    InvalidKubeVersion(#[from] InvalidKubeVersion),
    /// The chart does not work with the Kubernetes version.
    #[error("chart requires kubeVersion: {wanted} which is incompatible with Kubernetes {got}")]
    KubeVersion {
        /// The chart's constraint.
        wanted: String,
        /// The cluster's version.
        got: String,
    },
    /// The user's values cannot be read.
    #[error(transparent)]
    Values(#[from] ValuesError),
    /// The values do not fit the charts.
    #[error(transparent)]
    Coalesce(#[from] CoalesceError),
    /// The values break a schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A template failed.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// What a template gave is no manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Renders a chart. Files that the values name are read from the disk; `-` is
/// the standard input.
pub fn render(chart: Chart, options: &RenderOptions) -> Result<Rendered, RenderError> {
    let user_values = options.values.merge(&read_file)?;
    render_with(chart, user_values, options)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if path != Path::new("-") {
        return std::fs::read(path);
    }
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    Ok(text)
}

/// Renders a chart with values that are brought together already; those of
/// `options` are passed over.
pub fn render_with(
    mut chart: Chart,
    user_values: Map,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    check_release_name(&options.release_name)?;
    if chart.metadata.is_library() {
        return Err(RenderError::Library);
    }
    dependency::check(&chart)?;
    let capabilities = match &options.capabilities {
        Some(live) => live.clone(),
        None => Arc::new(capabilities::offline(
            options.kube_version.as_deref(),
            &options.api_versions,
        )?),
    };
    dependency::process(&mut chart, &user_values)?;
    let values = coalesce(&chart, &user_values, Nulls::Apply)?;
    if !options.skip_schema {
        schema::validate(&chart, &values, &options.schemas)?;
    }
    check_kube_version(&chart, &capabilities)?;
    let release = Release {
        name: options.release_name.clone(),
        namespace: options.namespace.clone(),
        revision: options.revision,
        is_upgrade: options.is_upgrade,
    };
    let seen = values.deep_copy().retyped(MapType::Values);
    let sources = context::sources(&chart, &seen, &release, &capabilities);
    let engine = Engine::new(Options {
        lookup: options
            .lookup
            .clone()
            .map(|lookup| Box::new(Shared(lookup)) as _),
        source_map: options.source_map,
        ..Options::default()
    });
    let output = engine.render_mapped(&sources)?;
    let mut files = output.files;
    let notes = take_notes(&mut files, chart.name(), options.sub_chart_notes);
    let mut sorted = Sorted::default();
    let mut kept = BTreeMap::new();
    for (path, text) in files {
        sorted.cut(&path, &text, options.generation)?;
        if options.source_map {
            kept.insert(path, text);
        }
    }
    sorted.order(options.generation);
    let Sorted { documents, hooks } = sorted;
    Ok(Rendered {
        crds: chart.crds(chart.name()),
        chart,
        user_values,
        values,
        documents,
        hooks,
        notes,
        files: kept,
        source_marks: output.sources,
        generation: options.generation,
    })
}

/// The engine wants a hook of its own.
struct Shared(Arc<dyn Lookup>);

impl Lookup for Shared {
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<serde_json::Value, String> {
        self.0.lookup(api_version, kind, namespace, name)
    }
}

fn check_release_name(name: &str) -> Result<(), RenderError> {
    let part = |part: &str| {
        let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.bytes().all(|c| inner(c) || c == b'-')
            && part.bytes().next().is_some_and(inner)
            && part.bytes().last().is_some_and(inner)
    };
    if name.len() <= 53 && name.split('.').all(part) {
        Ok(())
    } else {
        Err(RenderError::ReleaseName(name.to_owned()))
    }
}

fn check_kube_version(chart: &Chart, capabilities: &Capabilities) -> Result<(), RenderError> {
    let wanted = &chart.metadata.kube_version;
    let got = &capabilities.kube_version;
    if wanted.is_empty() || dependency::satisfies(wanted, &got.normalized) {
        return Ok(());
    }
    Err(RenderError::KubeVersion {
        wanted: wanted.clone(),
        got: got.version.clone(),
    })
}

/// Takes every `NOTES.txt` out of the files and returns the root chart's, or
/// all of them.
fn take_notes(files: &mut BTreeMap<String, String>, root: &str, of_sub_charts: bool) -> String {
    let own = format!("{root}/templates/NOTES.txt");
    let mut notes: Vec<String> = Vec::new();
    let names: Vec<String> = files
        .keys()
        .filter(|name| name.ends_with("NOTES.txt"))
        .cloned()
        .collect();
    for name in names {
        if let Some(text) = files.remove(&name)
            && (of_sub_charts || name == own)
        {
            notes.push(text);
        }
    }
    notes.retain(|text| !text.is_empty());
    notes.join("\n")
}

/// What of a rendered chart is printed.
#[derive(Debug, Clone, Default)]
pub struct PrintOptions {
    /// The files of `crds/`, too.
    pub include_crds: bool,
    /// No hooks that are tests.
    pub skip_tests: bool,
    /// No hooks at all.
    pub no_hooks: bool,
    /// Only what these templates gave.
    pub show_only: Vec<String>,
}

impl Rendered {
    /// The text that `helm template` prints.
    pub fn text(&self, options: &PrintOptions) -> Result<String, ManifestError> {
        let mut text = String::new();
        for (path, content) in self.main_sections(options) {
            manifest::push_section(&mut text, path, &content);
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        for hook in self.printed_hooks(options) {
            manifest::push_section(&mut text, &hook.path, &hook.manifest);
        }
        if options.show_only.is_empty() {
            return Ok(text);
        }
        manifest::show_only(&text, &options.show_only, self.generation)
    }

    /// The files that `helm template --output-dir` writes, by their paths.
    pub fn output_files(&self, options: &PrintOptions) -> BTreeMap<String, String> {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        let mut add = |path: &str, content: &str| {
            let file = files.entry(path.to_owned()).or_default();
            manifest::push_section(file, path, content);
        };
        for (path, content) in self.main_sections(options) {
            add(path, &content);
        }
        for hook in self.printed_hooks(options) {
            add(&hook.path, &hook.manifest);
        }
        files
    }

    /// The manifest as a release record stores it.
    pub fn release_manifest(&self) -> String {
        manifest::release_text(&self.documents)
    }

    fn main_sections(&self, options: &PrintOptions) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let crds = self.crds.iter().filter(|_| options.include_crds);
        let crds = crds.map(|crd| (crd.name.as_str(), String::from_utf8_lossy(&crd.data)));
        let documents = self.documents.iter();
        crds.chain(documents.map(|d| (d.path.as_str(), Cow::Borrowed(d.content.as_str()))))
    }

    fn printed_hooks(&self, options: &PrintOptions) -> impl Iterator<Item = &Hook> {
        let (skip_tests, no_hooks) = (options.skip_tests, options.no_hooks);
        self.hooks
            .iter()
            .filter(move |hook| !(no_hooks || skip_tests && hook.events.contains(&HookEvent::Test)))
    }
}

impl std::fmt::Debug for RenderOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RenderOptions")
            .field("release_name", &self.release_name)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
