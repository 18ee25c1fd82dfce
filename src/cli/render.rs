//! `todoctl render --chart`: any chart, as `helm template` would print it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::files::{self, Access};
use crate::helm::chart::{Chart, ChartError};
use crate::helm::manifest::{Generation, ManifestError};
use crate::helm::render::{PrintOptions, RenderError, RenderOptions, Rendered, render};
use crate::helm::repo::cache::Cache;
use crate::helm::repo::http::Http;
use crate::helm::repo::reference::{ChartRef, Hints, ReferenceError};
use crate::helm::repo::{Puller, RepoError};
use crate::helm::values::Layers;
use crate::helm::why::{Answer, Question, WhyError, explain};

/// Print what a chart renders to
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own on the command line"
)]
#[derive(Debug, Clone, Default, Args)]
pub struct RenderArgs {
    /// A folder, a .tgz, REPO/NAME or oci://… instead of the profile's releases
    #[arg(long, value_name = "CHART")]
    pub chart: Option<String>,
    /// The release's name
    #[arg(long, value_name = "NAME", default_value = "release-name")]
    pub release: String,
    /// The release's namespace
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    pub namespace: String,
    #[command(flatten)]
    /// Where values come from
    pub values: ValueArgs,
    /// The Kubernetes version that templates see
    #[arg(long, value_name = "VERSION")]
    pub kube_version: Option<String>,
    /// A further API version that templates see
    #[arg(short, long, value_name = "API", value_delimiter = ',')]
    pub api_versions: Vec<String>,
    /// Print the files of crds/, too
    #[arg(long)]
    pub include_crds: bool,
    /// Print only what this template gives, for instance templates/service.yaml
    #[arg(short, long, value_name = "TEMPLATE")]
    pub show_only: Vec<String>,
    /// Leave hooks that are tests out
    #[arg(long)]
    pub skip_tests: bool,
    /// Leave all hooks out
    #[arg(long)]
    pub no_hooks: bool,
    /// Render as for an upgrade
    #[arg(long)]
    pub is_upgrade: bool,
    /// Do without values.schema.json
    #[arg(long)]
    pub skip_schema_validation: bool,
    /// Trim documents as helm 3 and helm before 4.2.4 do
    #[arg(long)]
    pub trim_documents: bool,
    /// Write files below this folder instead of printing
    #[arg(long, value_name = "FOLDER")]
    pub output_dir: Option<PathBuf>,
    /// A version or range of the chart
    #[arg(long, value_name = "RANGE", default_value = "")]
    pub version: String,
    /// The repository that --chart NAME is looked up in
    #[arg(long, value_name = "URL")]
    pub repo: Option<String>,
}

/// Values as helm takes them
#[derive(Debug, Clone, Default, Args)]
pub struct ValueArgs {
    /// A values file; later ones win
    #[arg(short = 'f', long = "values", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The global `--set`, which names the chart's values here.
    #[arg(skip)]
    pub set: Vec<String>,
    /// A value that is text whatever it looks like
    #[arg(long, value_name = "PATH=TEXT")]
    pub set_string: Vec<String>,
    /// A value in JSON
    #[arg(long, value_name = "PATH=JSON")]
    pub set_json: Vec<String>,
    /// A value that is a file's content
    #[arg(long, value_name = "PATH=FILE")]
    pub set_file: Vec<String>,
    /// A value that is text to its end, commas included
    #[arg(long, value_name = "PATH=TEXT")]
    pub set_literal: Vec<String>,
}

impl ValueArgs {
    /// The layers that the arguments name.
    pub fn layers(&self) -> Layers {
        Layers {
            files: self.files.clone(),
            documents: Vec::new(),
            json: self.set_json.clone(),
            set: self.set.clone(),
            strings: self.set_string.clone(),
            file_values: self.set_file.clone(),
            literals: self.set_literal.clone(),
        }
    }
}

/// What a rendering came to.
#[derive(Debug, Clone)]
pub enum Output {
    /// Text for stdout.
    Text(String),
    /// The files that were written.
    Files(Vec<PathBuf>),
}

/// Why a chart was not rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderCommandError {
    /// There is no `--chart`.
    #[error("no chart is named")]
    NoChart,
    /// The chart's name leads nowhere.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The chart cannot be fetched.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client")]
    Client(#[from] reqwest::Error),
    /// The chart cannot be loaded.
    #[error(transparent)]
    Chart(#[from] ChartError),
    /// The chart cannot be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// What was rendered cannot be printed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A template's path would lead out of the output folder.
    #[error("{0:?} leads out of the output folder")]
    Outside(String),
}

/// Renders the chart of the arguments. `repositories` are the short names that
/// REPO/NAME may use.
pub async fn run(
    args: &RenderArgs,
    repositories: BTreeMap<String, String>,
) -> Result<Output, RenderCommandError> {
    let result = render_chart(args, repositories).await?;
    let print = PrintOptions {
        include_crds: args.include_crds,
        skip_tests: args.skip_tests,
        no_hooks: args.no_hooks,
        show_only: args.show_only.clone(),
    };
    match &args.output_dir {
        None => Ok(Output::Text(result.text(&print)?)),
        Some(folder) => write(&result.output_files(&print), folder).map(Output::Files),
    }
}

/// Fetches, loads and renders the chart of the arguments.
pub async fn render_chart(
    args: &RenderArgs,
    repositories: BTreeMap<String, String>,
) -> Result<Rendered, RenderCommandError> {
    let chart = load(args, repositories).await?;
    Ok(render(chart, &options(args))?)
}

/// Explains an object of the arguments' chart.
pub async fn why(
    args: &RenderArgs,
    repositories: BTreeMap<String, String>,
    question: &Question,
) -> Result<Answer, WhyCommandError> {
    let chart = load(args, repositories).await?;
    Ok(explain(chart, &options(args), question)?)
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum WhyCommandError {
    /// The chart cannot be had.
    #[error(transparent)]
    Chart(#[from] RenderCommandError),
    /// The chart does not say.
    #[error(transparent)]
    Why(#[from] WhyError),
}

fn options(args: &RenderArgs) -> RenderOptions {
    RenderOptions {
        release_name: args.release.clone(),
        namespace: args.namespace.clone(),
        is_upgrade: args.is_upgrade,
        values: args.values.layers(),
        kube_version: args.kube_version.clone(),
        api_versions: args.api_versions.clone(),
        skip_schema: args.skip_schema_validation,
        generation: if args.trim_documents {
            Generation::Trimmed
        } else {
            Generation::Current
        },
        ..RenderOptions::default()
    }
}

async fn load(
    args: &RenderArgs,
    repositories: BTreeMap<String, String>,
) -> Result<Chart, RenderCommandError> {
    let name = args.chart.as_deref().ok_or(RenderCommandError::NoChart)?;
    let hints = Hints {
        version: args.version.clone(),
        repository: args.repo.clone(),
        known: repositories,
    };
    match ChartRef::parse(name, &hints)? {
        ChartRef::Path(path) => Ok(Chart::load(&path)?),
        ChartRef::Repository(wanted) => {
            let cache = Cache::standard().map_err(RepoError::Cache)?;
            let puller = Puller::new(Arc::new(Http::new()?), cache);
            let archive = puller.pull(&wanted).await?.packed;
            Ok(Chart::from_archive(&archive)?)
        }
    }
}

fn write(
    contents: &BTreeMap<String, String>,
    folder: &Path,
) -> Result<Vec<PathBuf>, RenderCommandError> {
    let mut written = Vec::new();
    for (name, text) in contents {
        // Template names come from the chart.
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(RenderCommandError::Outside(name.clone()));
        }
        let path = folder.join(name);
        let done = files::write_atomic(&path, text.as_bytes(), Access::Shared);
        done.map_err(|source| RenderCommandError::Write {
            path: path.clone(),
            source,
        })?;
        written.push(path);
    }
    Ok(written)
}
