//! `todoctl sandbox animate`: a bare Kubernetes API server comes to life.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::error::CliError;
use super::exit::Exit;
use super::settings::Settings;
use crate::clock::Clock;
use crate::k8s::{self, Credentials, Login};
use crate::sandbox::api::{Api, Credential};
use crate::sandbox::foreign::{self, Animated, Doors, ForeignError, Options};
use crate::sandbox::{client, plan};

/// Arguments of `todoctl sandbox animate`.
#[derive(Debug, Args)]
pub(super) struct AnimateArgs {
    /// File with the server's address and an administrator's login [default:
    /// KUBECONFIG, or else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context inside that file [default: the current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// How many nodes there shall be
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=50))]
    nodes: u8,
    /// Their architecture
    #[arg(long, value_name = "ARCH", default_value = "arm64", value_parser = ["arm64", "amd64"])]
    arch: String,
    /// What latencies and identifiers are drawn from
    #[arg(long, value_name = "N", default_value_t = client::SEED)]
    seed: u64,
    /// How fast time passes in the pods: real, fast, or so many times
    #[arg(long, value_name = "real|fast|N", default_value = "real", value_parser = plan::parse_rate)]
    clock: f64,
}

/// Animates the cluster until it is told to stop.
pub(super) async fn run(
    settings: &Settings,
    args: AnimateArgs,
    sandbox: &Path,
    cancel: CancellationToken,
) -> Result<Exit, CliError> {
    let kubeconfig = match &args.kubeconfig {
        Some(path) => k8s::Kubeconfig::File(path.clone()),
        None => k8s::Kubeconfig::Default,
    };
    let credentials = k8s::credentials(&kubeconfig, args.context.as_deref())
        .await
        .map_err(|error| {
            CliError::usage("no API server to animate")
                .caused_by(&error)
                .hint("name one that you administer with --kubeconfig FILE")
        })?;
    let options = Options {
        state_dir: sandbox.join("foreign"),
        seed: args.seed,
        rate: args.clock,
        api: client_of(&credentials)?,
        ca_pem: credentials.ca_pem.clone(),
        nodes: args.nodes,
        arch: args.arch,
    };
    let stop = cancel.child_token();
    let doors = Doors::open(&options, &stop).await?;
    let egress = doors.egress_config.clone();
    let clock = Clock::new(1.0, stop.clone());
    foreign::ready(&options, &clock, || {
        settings.ui.say(&format!(
            "waiting until {} answers; start kube-apiserver with\n\
             --egress-selector-config-file={}",
            credentials.server,
            egress.display()
        ));
    })
    .await?;
    if stop.is_cancelled() {
        return Ok(Exit::Interrupted);
    }
    let animated = foreign::animate(&options, doors, &stop).await?;
    tell(settings, &credentials, &animated, &egress)?;
    stop.cancelled().await;
    Ok(Exit::Done)
}

fn client_of(credentials: &Credentials) -> Result<Api, CliError> {
    let login = match &credentials.login {
        Login::Token(token) => Credential::Token(token.clone()),
        Login::Certificate(pem) => Credential::Certificate(pem.clone()),
    };
    Api::trusting(&credentials.ca_pem, credentials.server.clone(), login)
        .map_err(|error| ForeignError::from(error).into())
}

fn tell(
    settings: &Settings,
    credentials: &Credentials,
    animated: &Animated,
    egress: &Path,
) -> Result<(), CliError> {
    let server = credentials.server.as_str().trim_end_matches('/');
    let document = json!({
        "server": server,
        "nodes": animated.nodes,
        "charts": animated.charts,
        "egressConfig": egress,
    });
    settings.ui.document(&document, || {
        format!(
            "animating   {server}\n\
             nodes       {}\n\
             charts      {} (as `endpoints.charts` of a profile)\n\
             egress      {}\n\
             \x20           kube-apiserver needs --egress-selector-config-file with this\n\
             \x20           file: logs, port-forward and webhooks lead through it\n\
             stop        Ctrl-C; the cluster's objects stay",
            animated.nodes.join(", "),
            animated.charts,
            egress.display(),
        )
    })?;
    Ok(())
}

impl From<ForeignError> for CliError {
    fn from(error: ForeignError) -> Self {
        let this = match &error {
            ForeignError::Inhabited(_) => Self::usage("this cluster lives already")
                .hint("point --kubeconfig at an API server without nodes"),
            _ => Self::failed("the cluster cannot be animated"),
        };
        this.caused_by(&error)
    }
}
