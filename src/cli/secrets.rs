//! `todoctl secrets`: setting, listing and rotating the values behind the
//! profile's `secrets`. Values come in by the environment, a file or a hidden
//! prompt, and go out as fingerprints only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use clap::{Args, Subcommand};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::args::{Phase, UpArgs};
use super::error::{CliError, Result};
use super::exit::Exit;
use super::session::{self, Purpose, Session};
use super::settings::Settings;
use super::vault::Vault;
use crate::k8s::ObjectRef;
use crate::names::{SecretName, nearest};
use crate::profile::{Loaded, Profile};
use crate::render::APP_SECRETS;
use crate::secret::Secret;
use crate::ui::table;

/// Set, list and rotate the app's secrets
#[derive(Debug, Clone, Args)]
pub struct SecretsArgs {
    #[command(subcommand)]
    command: SecretsCommand,
}

impl SecretsArgs {
    /// Whether it runs steps, as `up` does.
    pub fn rotates(&self) -> bool {
        matches!(self.command, SecretsCommand::Rotate(_))
    }
}

#[derive(Debug, Clone, Subcommand)]
enum SecretsCommand {
    /// Keep a value on this machine, for the next `up`
    Set(SetArgs),
    /// Show names, sources and fingerprints
    List {
        /// Compare with what the cluster has
        #[arg(long)]
        live: bool,
    },
    /// Bring a new value to the cluster and restart what uses it
    Rotate(SetArgs),
}

/// A secret and where its value comes from; by default a hidden prompt, or
/// standard input off a terminal
#[derive(Debug, Clone, Args)]
struct SetArgs {
    /// Name of the secret in the profile
    name: String,
    /// Take the value from this environment variable
    #[arg(long, value_name = "VARIABLE", group = "source")]
    from_env: Option<String>,
    /// Take the value from this file, without its last line break
    #[arg(long, value_name = "FILE", group = "source")]
    from_file: Option<PathBuf>,
    /// Take the value from where the profile says, and forget the one kept here
    #[arg(long, group = "source")]
    from_profile: bool,
}

/// One secret, told without its value.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_cluster: Option<String>,
    used_by: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Listing {
    schema: &'static str,
    secrets: Vec<Row>,
}

/// Runs the command.
pub(super) async fn run(
    settings: &Settings,
    args: SecretsArgs,
    cancel: CancellationToken,
) -> Result {
    match args.command {
        SecretsCommand::Set(args) => {
            let fingerprint = set(settings, &args)?;
            settings.ui.say(&format!(
                "{} is {fingerprint} from the next `todoctl up` on.",
                args.name
            ));
            Ok(Exit::Done)
        }
        SecretsCommand::List { live } => list(settings, live, cancel).await,
        SecretsCommand::Rotate(args) => {
            let fingerprint = set(settings, &args)?;
            settings.ui.say(&format!(
                "{} is {fingerprint} now; what uses it restarts.",
                args.name
            ));
            // The way to the cluster and the pods' restarts are those of `up`:
            // a pod template carries the fingerprints of its secrets.
            let up = UpArgs {
                skip: vec![Phase::Account, Phase::Network, Phase::Cluster],
                ..UpArgs::default()
            };
            Box::pin(super::up::run(settings, &up, cancel)).await
        }
    }
}

/// Keeps a value, and returns what to call it.
fn set(settings: &Settings, args: &SetArgs) -> Result<String> {
    let loaded = session::load(settings)?;
    let name = known(&loaded.profile, &args.name)?;
    let dir = settings.deployment_dir(&loaded.profile.deployment)?;
    let mut vault = open(&dir)?;
    let value = if args.from_profile {
        None
    } else {
        Some(value(settings, args)?)
    };
    let fingerprint = value.as_ref().map_or_else(
        || "what the profile says".to_owned(),
        |value| format!("[sha256 {}]", value.fingerprint()),
    );
    vault.put(name.as_str(), value).map_err(|error| {
        CliError::failed(format!("cannot write to {}", settings.shown(&dir))).caused_by(&error)
    })?;
    Ok(fingerprint)
}

pub(super) fn open(dir: &Path) -> Result<Vault> {
    Vault::open(dir).map_err(|error| {
        CliError::failed("cannot read the secrets that were set on this machine").caused_by(&error)
    })
}

/// The name, if the profile has it.
fn known<'a>(profile: &'a Profile, name: &str) -> Result<&'a SecretName> {
    let names = || profile.secrets.keys();
    if let Some(found) = names().find(|known| known.as_str() == name) {
        if found.as_str().contains('.') {
            let message = format!("`{name}` has a dot, so it can only be set in the profile");
            return Err(CliError::usage(message));
        }
        return Ok(found);
    }
    let hint = match nearest(name, names().map(SecretName::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "add it to `secrets` of the profile first".to_owned(),
    };
    Err(CliError::usage(format!("the profile has no secret `{name}`")).hint(hint))
}

/// The value from where the arguments say.
fn value(settings: &Settings, args: &SetArgs) -> Result<Secret> {
    let (text, source) = if let Some(variable) = &args.from_env {
        let text = settings.env(variable).map(str::to_owned);
        let missing = || CliError::usage(format!("the environment has no `{variable}`"));
        (text.ok_or_else(missing)?, format!("`{variable}`"))
    } else if let Some(path) = &args.from_file {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| CliError::usage(format!("cannot read {shown}")).caused_by(&error))?;
        (text, shown)
    } else {
        let asked = settings.ui.ask_secret(&format!("{}: ", args.name));
        let text = asked.map_err(|error| CliError::failed("cannot ask").caused_by(&error))?;
        (text, "the input".to_owned())
    };
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(CliError::usage(format!("{source} is empty")).hint("nothing was changed"));
    }
    let secret = Secret::new(text);
    settings.ui.learn(&secret);
    Ok(secret)
}

async fn list(settings: &Settings, live: bool, cancel: CancellationToken) -> Result {
    let loaded = session::load(settings)?;
    let in_cluster = if live {
        Some(in_cluster(settings, cancel).await?)
    } else {
        None
    };
    let mut rows = rows(settings, &loaded)?;
    for row in &mut rows {
        let found = in_cluster.as_ref().map(|known| known.get(&row.name));
        row.in_cluster = found.map(|f| f.cloned().unwrap_or_else(|| "absent".to_owned()));
    }
    let listing = Listing {
        schema: "todoctl/secrets/v1",
        secrets: rows,
    };
    settings.ui.document(&listing, || text(&listing, live))?;
    Ok(Exit::Done)
}

fn text(listing: &Listing, live: bool) -> String {
    let mut heading = vec!["name", "sha256", "from", "used by"];
    if live {
        heading.insert(2, "in the cluster");
    }
    let rows: Vec<Vec<String>> = listing
        .secrets
        .iter()
        .map(|row| {
            let print = row
                .fingerprint
                .clone()
                .unwrap_or_else(|| "missing".to_owned());
            let mut cells = vec![row.name.clone(), print];
            if live {
                let same = row.in_cluster == row.fingerprint;
                let shown = row.in_cluster.clone().unwrap_or_default();
                cells.push(if same { "the same".to_owned() } else { shown });
            }
            cells.push(row.source.clone());
            cells.push(row.used_by.join(", "));
            cells
        })
        .collect();
    table(&heading, &rows, 80)
}

/// A row for each secret of the profile. One that is missing is no failure
/// here: to find that out is what a list is for.
fn rows(settings: &Settings, loaded: &Loaded) -> Result<Vec<Row>> {
    let resolved = session::resolve_what_is_there(settings, loaded)?;
    let rows = loaded.profile.secrets.iter().map(|(name, entry)| {
        let source = if entry.value.is_literal() {
            "the profile".to_owned()
        } else {
            let template = serde_json::to_value(&entry.value).unwrap_or_default();
            let template = template.as_str().unwrap_or_default().to_owned();
            if template == session::stored(name.as_str()) {
                "secrets set".to_owned()
            } else {
                template
            }
        };
        let value = resolved.secrets.get(name).and_then(|e| e.value.secret());
        let value = value.filter(|value| !session::is_missing(value));
        if let Some(value) = value {
            settings.ui.learn(value);
        }
        let services = loaded.profile.app.services.iter();
        let users = services.filter(|service| service.secrets.contains(name));
        let mut used_by: Vec<String> = users.map(|service| service.name.to_string()).collect();
        if *name == loaded.profile.dapr.state_secret {
            used_by.push(format!("{} (Dapr)", loaded.profile.dapr.components.state));
        }
        Row {
            name: name.to_string(),
            source,
            fingerprint: value.map(Secret::fingerprint),
            in_cluster: None,
            used_by,
        }
    });
    Ok(rows.collect())
}

/// The fingerprints of what the cluster has.
async fn in_cluster(
    settings: &Settings,
    cancel: CancellationToken,
) -> Result<BTreeMap<String, String>> {
    let session = Session::open(settings, cancel, Purpose::TearDown).await?;
    let kube = session.kube().await?;
    let namespace = session.profile.app.namespace.as_str();
    let object = ObjectRef::namespaced("v1", "Secret", namespace, APP_SECRETS);
    let found = kube
        .get(&object)
        .await
        .map_err(|error| CliError::failed("cannot read the secrets").caused_by(&error))?;
    let Some(found) = found else {
        return Ok(BTreeMap::new());
    };
    let data = found.body().get("data").and_then(|data| data.as_object());
    let prints = data.into_iter().flatten().filter_map(|(key, value)| {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(value.as_str()?)
            .ok()?;
        let secret = Secret::new(String::from_utf8(bytes).ok()?);
        settings.ui.learn(&secret);
        Some((key.clone(), secret.fingerprint()))
    });
    Ok(prints.collect())
}
