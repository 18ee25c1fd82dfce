//! `todoctl render --chart`: any chart, as `helm template` would print it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use url::Url;

use crate::charts::{self, LiveError};
use crate::clock::Clock;
use crate::files::{self, Access};
use crate::helm::chart::Chart;
use crate::helm::manifest::{Generation, ManifestError};
use crate::helm::render::{PrintOptions, RenderError, RenderOptions, Rendered, render};
use crate::helm::repo::cache::Cache;
use crate::helm::repo::http::Http;
use crate::helm::repo::load::{self, LoadError};
use crate::helm::repo::reference::{ChartRef, Hints, ReferenceError};
use crate::helm::repo::{Fetch as _, FetchError, Puller, RepoError, Request};
use crate::helm::values::Layers;
use crate::helm::values::schema::Fetched;
use crate::helm::why::{Answer, Question, WhyError, explain};
use crate::k8s::Kube;
use crate::net::TrustError;
use crate::profile::ChartDigest;

/// The largest values file that is fetched.
const MAX_VALUES: u64 = 16 * 1024 * 1024;

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
    /// The SHA-256 that the packed chart must have
    #[arg(long, value_name = "SHA256", value_parser = digest)]
    pub digest: Option<String>,
    /// The repository that --chart NAME is looked up in
    #[arg(long, value_name = "URL")]
    pub repo: Option<String>,
    /// Whether templates may ask the profile's cluster for its versions and for
    /// what `lookup` finds
    #[arg(long, value_name = "WHERE", default_value = "client")]
    pub dry_run: DryRun,
}

impl RenderArgs {
    /// What of the result is printed.
    pub(super) fn print(&self) -> PrintOptions {
        PrintOptions {
            include_crds: self.include_crds,
            skip_tests: self.skip_tests,
            no_hooks: self.no_hooks,
            show_only: self.show_only.clone(),
        }
    }
}

/// Where a rendering takes place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DryRun {
    /// On this machine alone.
    #[default]
    Client,
    /// With a look at the cluster.
    Server,
}

/// The text of a digest, with its prefix.
fn digest(text: &str) -> Result<String, crate::names::NameError> {
    text.parse::<ChartDigest>().map(|digest| digest.to_string())
}

/// What rendering needs besides its arguments.
#[derive(Clone, Default)]
pub struct RenderCx {
    /// The short names that REPO/NAME may use.
    pub repositories: BTreeMap<String, String>,
    /// The clock that waits go by.
    pub clock: Clock,
    /// The cluster that templates may ask.
    pub cluster: Option<Kube>,
}

/// Values as helm takes them
#[derive(Debug, Clone, Default, Args)]
pub struct ValueArgs {
    /// A values file, or its https:// address; later ones win
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
            fetched: BTreeMap::new(),
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
    /// The chart cannot be had.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client")]
    Client(#[from] TrustError),
    /// A values file cannot be fetched.
    #[error("cannot fetch {0}")]
    Values(String, #[source] FetchError),
    /// A values file's server has not got it.
    #[error("{url} answered {status}")]
    Status {
        /// The file's address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The chart cannot be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The chart cannot be rendered against the cluster.
    #[error(transparent)]
    Live(#[from] LiveError),
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

/// Renders the chart of the arguments.
pub async fn run(args: &RenderArgs, cx: &RenderCx) -> Result<Output, RenderCommandError> {
    let result = render_chart(args, cx).await?;
    let print = args.print();
    match &args.output_dir {
        None => Ok(Output::Text(result.text(&print)?)),
        Some(folder) => write(&result.output_files(&print), folder).map(Output::Files),
    }
}

/// Fetches, loads and renders the chart of the arguments.
pub async fn render_chart(
    args: &RenderArgs,
    cx: &RenderCx,
) -> Result<Rendered, RenderCommandError> {
    let chart = load(args, cx).await?;
    let options = options(args, cx, &chart).await?;
    match &cx.cluster {
        Some(kube) => Ok(charts::render(chart, options, kube).await?),
        None => Ok(render(chart, &options)?),
    }
}

/// Explains an object of the arguments' chart.
pub async fn why(
    args: &RenderArgs,
    cx: &RenderCx,
    question: &Question,
) -> Result<Answer, WhyCommandError> {
    let chart = load(args, cx).await?;
    let options = options(args, cx, &chart).await?;
    Ok(explain(chart, &options, question)?)
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

async fn options(
    args: &RenderArgs,
    cx: &RenderCx,
    chart: &Chart,
) -> Result<RenderOptions, RenderCommandError> {
    let schemas = match args.skip_schema_validation {
        true => Fetched::new(),
        false => charts::fetch_schemas(chart, &cx.clock).await?,
    };
    Ok(RenderOptions {
        schemas,
        release_name: args.release.clone(),
        namespace: args.namespace.clone(),
        is_upgrade: args.is_upgrade,
        values: with_fetched(args.values.layers(), cx).await?,
        kube_version: args.kube_version.clone(),
        api_versions: args.api_versions.clone(),
        skip_schema: args.skip_schema_validation,
        generation: if args.trim_documents {
            Generation::Trimmed
        } else {
            Generation::Current
        },
        ..RenderOptions::default()
    })
}

/// Fetches the values files that are named by an address.
async fn with_fetched(mut layers: Layers, cx: &RenderCx) -> Result<Layers, RenderCommandError> {
    let addresses = layers.addresses();
    if addresses.is_empty() {
        return Ok(layers);
    }
    let http = Http::new(cx.clock.clone())?;
    for address in addresses {
        let text = address.to_string_lossy().into_owned();
        let url = Url::parse(&text).map_err(|_| RepoError::Address(text.clone()));
        let request = Request {
            url: url.map_err(LoadError::Repo)?,
            headers: http::HeaderMap::new(),
            limit: MAX_VALUES,
        };
        let answer = http.get(request).await;
        let answer = answer.map_err(|error| RenderCommandError::Values(text.clone(), error))?;
        if answer.status != 200 {
            return Err(RenderCommandError::Status {
                url: text,
                status: answer.status,
            });
        }
        layers.fetched.insert(address, answer.body);
    }
    Ok(layers)
}

async fn load(args: &RenderArgs, cx: &RenderCx) -> Result<Chart, RenderCommandError> {
    let name = args.chart.as_deref().ok_or(RenderCommandError::NoChart)?;
    let hints = Hints {
        version: args.version.clone(),
        repository: args.repo.clone(),
        known: cx.repositories.clone(),
    };
    match ChartRef::parse(name, &hints)? {
        ChartRef::Path(path) => {
            let digest = args.digest.as_deref();
            Ok(load::from_path(&path, &args.version, digest)?)
        }
        ChartRef::Repository(mut wanted) => {
            wanted.digest.clone_from(&args.digest);
            let cache = Cache::standard().map_err(|error| LoadError::Repo(error.into()))?;
            let puller = Puller::new(Arc::new(Http::new(cx.clock.clone())?), cache);
            Ok(load::from_repository(&puller, &wanted).await?)
        }
    }
}

/// Writes files below a folder; their names come from a chart.
pub(super) fn write(
    contents: &BTreeMap<String, String>,
    folder: &Path,
) -> Result<Vec<PathBuf>, RenderCommandError> {
    let mut written = Vec::new();
    for (name, text) in contents {
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
