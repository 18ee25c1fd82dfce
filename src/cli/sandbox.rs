//! `todoctl sandbox`: the embedded rehearsal world on its own.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

#[cfg(unix)]
use super::animate::{self, AnimateArgs};
use super::error::CliError;
use super::exit::Exit;
use super::settings::Settings;
use crate::files;
use crate::profile::{ChartPlace, ChartSource, KafkaProvider, Profile, SaslMechanism, SecretText};
use crate::sandbox::charts;
use crate::sandbox::client::{self, ClientError, Wanted};
use crate::sandbox::daemon::{self, ServeError};
use crate::sandbox::plan::{self, FaultError};
use crate::secret::Secret;

/// Arguments of `todoctl sandbox`.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// Folder of the world [default: sandbox in todoctl's state folder]
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

impl SandboxArgs {
    /// Whether being interrupted is how the command ends.
    pub(super) fn follows(&self) -> bool {
        #[cfg(unix)]
        return matches!(self.command, Command::Animate(_));
        #[cfg(not(unix))]
        return false;
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the sandbox, unless it runs
    Start(StartArgs),
    /// Stop the sandbox; its world stays
    Stop,
    /// Show where the sandbox is and what is in it
    Status,
    /// Make something go wrong
    Fault(FaultArgs),
    /// Empty the world
    Reset,
    #[cfg(unix)]
    /// Bring a bare Kubernetes API server to life, in the foreground
    ///
    /// A kube-apiserver and etcd alone run nothing. This adds nodes, and runs the
    /// controllers and kubelets of the sandbox against it, with programs in the place
    /// of images: a deployment with the profile `local` then works as on a cluster.
    Animate(AnimateArgs),
    /// Serve a world in the foreground
    #[command(hide = true)]
    Serve(StartArgs),
}

#[derive(Debug, Args)]
struct StartArgs {
    /// What latencies and identifiers are drawn from [default: 7]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How fast time passes: real, fast, or so many times [default: fast]
    #[arg(long, value_name = "real|fast|N", value_parser = plan::parse_rate)]
    clock: Option<f64>,
}

#[derive(Debug, Args)]
#[command(after_help = plan::help())]
struct FaultArgs {
    /// oci, kube, kafka, redpanda or '*'; or list, or clear
    system: String,
    /// What happens
    kind: Option<String>,
    /// Its argument
    arg: Vec<String>,
    /// Only requests with this method and path, e.g. 'POST /20160918/vcns'; WRITE
    /// stands for every method that may change something
    #[arg(long = "match", value_name = "METHOD PATH-GLOB")]
    matching: Option<String>,
    /// From the n-th match on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    nth: u64,
    /// For so many matches [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    times: Option<u64>,
}

/// The version that a world is served by.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why `todoctl sandbox` fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum SandboxError {
    /// The sandbox cannot be reached or started.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The sandbox cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The fault makes no sense.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// There is no folder to keep the world in.
    #[error("no folder to keep the world in")]
    NoFolder(#[source] std::io::Error),
}

/// What the command has to say.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    /// For people, line by line.
    pub lines: Vec<String>,
    /// For programs.
    pub json: Value,
}

impl Said {
    fn new(line: impl Into<String>, json: Value) -> Self {
        Self {
            lines: vec![line.into()],
            json,
        }
    }
}

/// Where the sandbox lives when nobody says otherwise.
pub(super) fn default_state_dir() -> std::io::Result<PathBuf> {
    Ok(files::state_dir()?.join("sandbox"))
}

fn folder(wanted: Option<PathBuf>) -> Result<PathBuf, SandboxError> {
    let dir = match wanted {
        Some(dir) => dir,
        None => default_state_dir().map_err(SandboxError::NoFolder)?,
    };
    std::path::absolute(dir).map_err(SandboxError::NoFolder)
}

async fn start(dir: &Path, args: &StartArgs) -> Result<Said, SandboxError> {
    let wanted = Wanted {
        state_dir: dir.to_owned(),
        seed: args.seed,
        rate: args.clock,
        version: VERSION.to_owned(),
    };
    client::ensure_running(&wanted).await?;
    status(dir).await
}

async fn serve(dir: PathBuf, args: &StartArgs) -> Result<Said, SandboxError> {
    let options = daemon::Options {
        state_dir: dir,
        seed: args.seed.unwrap_or(client::SEED),
        rate: args.clock.unwrap_or(client::FAST),
        version: VERSION.to_owned(),
    };
    daemon::serve(options).await?;
    Ok(Said::new("sandbox stopped", json!({"running": false})))
}

async fn stop(dir: &Path) -> Result<Said, SandboxError> {
    let stopped = client::stop(dir).await?;
    let line = if stopped {
        "sandbox stopped"
    } else {
        "no sandbox is running"
    };
    Ok(Said::new(line, json!({ "stopped": stopped })))
}

async fn reset(dir: &Path) -> Result<Said, SandboxError> {
    client::reset(dir).await?;
    Ok(Said::new("the world is empty", json!({"reset": true})))
}

async fn status(dir: &Path) -> Result<Said, SandboxError> {
    let status = client::status(dir).await?;
    if status["running"] != true {
        let line = format!("no sandbox is running in {}", dir.display());
        return Ok(Said::new(line, status));
    }
    let text = |field: &str| match &status[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut lines = vec![
        format!(
            "sandbox     running, pid {}, for {} s",
            text("pid"),
            text("uptimeSeconds")
        ),
        format!("OCI         {}", text("ociEndpoint")),
        format!("OCI config  {}", text("ociConfig")),
        format!("state       {}", text("stateDir")),
        format!(
            "seed        {}, clock {} times real",
            text("seed"),
            text("clockRate")
        ),
        format!("requests    {}", text("requests")),
    ];
    for (name, count) in status["rows"].as_object().into_iter().flatten() {
        lines.push(format!("{:>6}  {}", count.to_string(), short(name)));
    }
    let pods = &status["pods"];
    let late = pods["notReady"].as_array().into_iter().flatten();
    let late: Vec<_> = late.filter_map(Value::as_str).collect();
    if pods["all"] != 0 {
        lines.push(format!(
            "pods        {}, {} not ready",
            pods["all"],
            late.len()
        ));
        lines.extend(late.iter().map(|pod| format!("            {pod}")));
    }
    let count = status["faults"].as_array().map_or(0, Vec::len);
    lines.push(format!("faults      {count}"));
    Ok(Said {
        lines,
        json: status,
    })
}

/// A table's name without the length of the identifiers in it.
fn short(table: &str) -> String {
    let words = table
        .split('/')
        .map(|word| match word.strip_prefix("ocid1.") {
            Some(id) => {
                let end = id.get(id.len().saturating_sub(6)..);
                format!("…{}", end.unwrap_or(id))
            }
            None => word.to_owned(),
        });
    words.collect::<Vec<_>>().join("/")
}

async fn faults(dir: &Path, args: FaultArgs) -> Result<Said, SandboxError> {
    match (args.system.as_str(), args.kind) {
        ("list", None) => {
            let faults = client::faults(dir).await?;
            let mut lines: Vec<_> = faults.iter().map(plan::describe).collect();
            if lines.is_empty() {
                lines.push("no faults".to_owned());
            }
            Ok(Said {
                lines,
                json: json!(faults),
            })
        }
        ("clear", None) => {
            let cleared = client::clear_faults(dir).await?;
            let line = format!("{cleared} faults cleared");
            Ok(Said::new(line, json!({ "cleared": cleared })))
        }
        (system, kind) => {
            let mut fault = plan::check(system, kind.as_deref(), &args.arg.join(" "))?;
            (fault.method, fault.path) = plan::parse_match(args.matching.as_deref())?;
            fault.nth = args.nth;
            fault.times = args.times;
            fault.id = client::add_fault(dir, &fault).await?;
            Ok(Said::new(plan::describe(&fault), json!(fault)))
        }
    }
}

/// The command, with its data printed.
pub(super) async fn command(
    settings: &Settings,
    args: SandboxArgs,
    cancel: CancellationToken,
) -> Result<Exit, CliError> {
    let dir = folder(args.state_dir)?;
    let said = match args.command {
        #[cfg(unix)]
        Command::Animate(args) => return animate::run(settings, args, &dir, cancel).await,
        Command::Start(args) => start(&dir, &args).await?,
        Command::Serve(args) => serve(dir, &args).await?,
        Command::Stop => stop(&dir).await?,
        Command::Status => status(&dir).await?,
        Command::Reset => reset(&dir).await?,
        Command::Fault(args) => faults(&dir, args).await?,
    };
    settings.ui.document(&said.json, || said.lines.join("\n"))?;
    Ok(Exit::Done)
}

/// Where the stand-ins of the official charts lie for as long as this lives.
pub(super) struct StandIns {
    _folder: Option<tempfile::TempDir>,
}

/// Puts the embedded world's charts into a profile that wants that world,
/// without starting it.
pub(super) fn stand_ins(profile: &mut Profile) -> Result<StandIns, CliError> {
    if profile.sandbox.is_none() || profile.endpoints.charts.is_some() {
        return Ok(StandIns { _folder: None });
    }
    let unwritable =
        |error| CliError::failed("cannot unpack the sandbox's charts").caused_by(&error);
    let folder = tempfile::tempdir().map_err(unwritable)?;
    for source in official_charts(profile) {
        let Ok(ChartPlace::Repo { name, .. } | ChartPlace::Oci { name, .. }) = source.place()
        else {
            continue;
        };
        let version = source.version.as_deref();
        let Some(path) = charts::write(folder.path(), name, version).map_err(unwritable)? else {
            continue;
        };
        *source = ChartSource {
            path: Some(path.display().to_string()),
            version: source.version.take(),
            ..ChartSource::default()
        };
    }
    Ok(StandIns {
        _folder: Some(folder),
    })
}

/// The charts that the embedded world has stand-ins for.
fn official_charts(profile: &mut Profile) -> [&mut ChartSource; 3] {
    [
        &mut profile.dapr.chart,
        &mut profile.ingress.chart,
        &mut profile.kafka.strimzi.chart,
    ]
}

/// Starts the embedded world when the profile asks for it, and points the
/// profile's endpoints and credentials at it. Below this line nothing knows
/// that Oracle is not Oracle.
pub(super) async fn prepare(profile: &mut Profile) -> Result<(), CliError> {
    let Some(sandbox) = profile.sandbox else {
        return Ok(());
    };
    let state_dir = Settings::state_dir()?.join("sandbox");
    let wanted = Wanted {
        state_dir: state_dir.clone(),
        seed: Some(sandbox.seed),
        rate: Some(sandbox.clock.rate()),
        version: VERSION.to_owned(),
    };
    let world = client::ensure_running(&wanted)
        .await
        .map_err(SandboxError::from)?;
    profile.endpoints.oci = Some(world.oci_endpoint);
    profile.endpoints.clock_rate = world.clock_rate;
    if profile.endpoints.charts.is_none() {
        profile.endpoints.charts = Some(world.charts_endpoint);
        // The stand-ins are not the official archives.
        for chart in official_charts(profile) {
            chart.digest = None;
        }
    }
    if let Some(cloud) = &mut profile.cloud {
        cloud.config_file = world.oci_config.display().to_string();
        "DEFAULT".clone_into(&mut cloud.config_profile);
        cloud.region = None;
    }
    kafka(profile, &state_dir)
        .await
        .map_err(SandboxError::from)?;
    Ok(())
}

/// Brokers with a name below this one are the world's own.
const INVALID: &str = ".sandbox.invalid";

/// Points Kafka's section at what the world has outside of the cluster.
async fn kafka(profile: &mut Profile, world: &Path) -> Result<(), ClientError> {
    let kafka = &mut profile.kafka;
    match kafka.provider {
        KafkaProvider::Strimzi => {}
        KafkaProvider::RedpandaCloud => {
            let (access, ca) = client::redpanda(world)?;
            profile.endpoints.redpanda = Some(access.endpoint);
            profile.endpoints.redpanda_ca = Some(ca);
            if let Some(account) = &mut kafka.redpanda_cloud {
                account.client_id = access.client_id;
                account.client_secret = SecretText::resolved(Secret::new(access.client_secret));
            }
        }
        KafkaProvider::External => {
            let host = |broker: &String| {
                let host = broker.rsplit_once(':').map(|(host, _)| host);
                host.is_some_and(|host| host.ends_with(INVALID))
            };
            if !kafka.brokers.iter().any(host) {
                return Ok(());
            }
            let auth = &kafka.auth;
            let password = auth.password.as_ref().and_then(SecretText::secret);
            let user = auth.username.as_deref().zip(password.map(Secret::expose));
            let (addresses, ca) = client::broker(world, "external", user).await?;
            kafka.brokers = vec![match (kafka.tls, auth.mechanism) {
                (true, _) => addresses.sasl_tls,
                (false, SaslMechanism::None) => addresses.plain,
                (false, _) => addresses.sasl,
            }];
            if kafka.tls {
                kafka.ca = Some(std::fs::read_to_string(ca)?);
            }
        }
    }
    Ok(())
}

impl From<SandboxError> for CliError {
    fn from(error: SandboxError) -> Self {
        let this = match &error {
            SandboxError::Fault(_) => Self::usage("no such fault"),
            _ => Self::failed("the sandbox does not do it"),
        };
        this.caused_by(&error)
    }
}
