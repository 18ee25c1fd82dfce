//! `todoctl kubeconfig` and `todoctl token`: access to the cluster for other
//! tools, without any other tool.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{KubeconfigArgs, TokenArgs};
use super::error::{CliError, Result};
use super::exit::Exit;
use super::session::{Purpose, Session};
use super::settings::Settings;
use crate::clock::Clock;
use crate::files::{self, Access as FileAccess};
use crate::oci;
use crate::steps::Access;

/// Prints a kubeconfig, or merges it into the user's.
pub(super) async fn run(
    settings: &Settings,
    args: &KubeconfigArgs,
    cancel: CancellationToken,
) -> Result {
    let session = Session::open(settings, cancel, Purpose::TearDown).await?;
    if session.cx.cloud_if_any().is_none() {
        return Err(
            CliError::usage("the profile uses a kubeconfig of yours already")
                .hint("this command is for profiles with a `cloud`"),
        );
    }
    let plan = session.plan().await?;
    let access = plan
        .steps
        .iter()
        .find(|step| step.id.as_str() == "cluster/access");
    let access: Option<Access> = access
        .and_then(|step| step.live.clone())
        .and_then(|live| serde_json::from_value(live).ok());
    let Some(access) = access else {
        return Err(CliError::failed("there is no cluster yet").hint("todoctl up"));
    };
    let fresh = kubeconfig(settings, &session, &access)?;
    if !args.write {
        settings.ui.document(&fresh, || {
            crate::yaml::to_string(&fresh).unwrap_or_default()
        })?;
        return Ok(Exit::Done);
    }
    let path = user_kubeconfig(settings);
    let merged = merge(read(&path)?, &fresh);
    let text = crate::yaml::to_string(&merged)
        .map_err(|error| CliError::failed("cannot print the kubeconfig").caused_by(&error))?;
    files::write_atomic(&path, text.as_bytes(), FileAccess::Private).map_err(|error| {
        CliError::failed(format!("cannot write {}", path.display())).caused_by(&error)
    })?;
    let context = context_name(&session);
    settings.ui.say(&format!(
        "Context {context} is current in {} now.",
        path.display()
    ));
    Ok(Exit::Done)
}

fn context_name(session: &Session) -> String {
    format!("todoctl-{}", session.profile.deployment)
}

/// A kubeconfig whose credential plugin is todoctl itself.
fn kubeconfig(settings: &Settings, session: &Session, access: &Access) -> Result<Value> {
    let cloud = session
        .cx
        .cloud_if_any()
        .ok_or_else(|| CliError::failed("no cloud"))?;
    let program = std::env::current_exe()
        .map_err(|error| CliError::failed("cannot tell where todoctl is").caused_by(&error))?;
    let mut args = vec![
        "token".to_owned(),
        "--cluster-id".to_owned(),
        access.cluster.clone(),
        "--region".to_owned(),
        cloud.client.region().name().to_owned(),
    ];
    let config = session.profile.cloud.as_ref();
    if let Some(config) = config {
        let file = files::expand_home(&config.config_file);
        args.extend(["--config-file".to_owned(), file.display().to_string()]);
        args.extend(["--config-profile".to_owned(), config.config_profile.clone()]);
    }
    let _ = settings;
    let name = context_name(session);
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {
            "server": access.server,
            "certificate-authority-data": STANDARD.encode(&access.ca_pem),
        }}],
        "users": [{"name": name, "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": program.display().to_string(),
            "args": args,
            "interactiveMode": "Never",
            "provideClusterInfo": false,
        }}}],
        "contexts": [{"name": name, "context": {
            "cluster": name,
            "user": name,
            "namespace": session.profile.app.namespace,
        }}],
        "current-context": name,
    }))
}

/// The first file that kubectl would read.
fn user_kubeconfig(settings: &Settings) -> PathBuf {
    let named = settings
        .env("KUBECONFIG")
        .and_then(|list| std::env::split_paths(list).next());
    named
        .filter(|path| !path.as_os_str().is_empty())
        .unwrap_or_else(|| files::expand_home("~/.kube/config"))
}

fn read(path: &Path) -> Result<Option<Value>> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => crate::yaml::from_str(&text, &path.display().to_string())
            .map(Some)
            .map_err(|finding| {
                CliError::failed(format!(
                    "{} is no kubeconfig; it was left alone",
                    path.display()
                ))
                .findings([finding])
            }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(CliError::failed(format!("cannot read {}", path.display())).caused_by(&error))
        }
    }
}

/// Replaces entries of the same name, adds the others, keeps the rest.
fn merge(existing: Option<Value>, fresh: &Value) -> Value {
    let mut merged = match existing {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    for (key, value) in fresh.as_object().into_iter().flatten() {
        let Value::Array(entries) = value else {
            merged.insert(key.clone(), value.clone());
            continue;
        };
        let mut all = match merged.remove(key) {
            Some(Value::Array(all)) => all,
            _ => Vec::new(),
        };
        let named = |name: &Value| entries.iter().any(|entry| entry.get("name") == Some(name));
        all.retain(|entry| !entry.get("name").is_some_and(named));
        all.extend(entries.iter().cloned());
        merged.insert(key.clone(), Value::Array(all));
    }
    Value::Object(merged)
}

/// Prints an `ExecCredential` with a cluster token. Works offline.
pub(super) async fn token(settings: &Settings, args: &TokenArgs) -> Result {
    let (cluster, selection) = match &args.cluster_id {
        Some(cluster) => (cluster.clone(), oci::Selection::default()),
        None => of_deployment(settings).await?,
    };
    let selection = oci::Selection {
        config_file: args.config_file.clone().or(selection.config_file),
        profile: args.config_profile.clone().or(selection.profile),
        region: args.region.clone().or(selection.region),
    };
    let config = |error: oci::ConfigError| CliError::from(crate::steps::CxError::Config(error));
    let identity = oci::Settings::load(&selection, settings).map_err(config)?;
    let signer = oci::Signer::new(&identity.credentials().map_err(config)?);
    let tokens = oci::ClusterTokens::new(signer, identity.region.name(), Clock::default());
    let token = tokens
        .mint(&cluster)
        .map_err(|error| CliError::failed("cannot make a token").caused_by(&error))?;
    // Past the redactor on purpose: the token is what was asked for.
    settings.ui.raw(&(token.exec_credential() + "\n"))?;
    Ok(Exit::Done)
}

/// The cluster of the profile's deployment, and the credentials for it.
async fn of_deployment(settings: &Settings) -> Result<(String, oci::Selection)> {
    let session = Session::open(settings, CancellationToken::new(), Purpose::TearDown).await?;
    let record = session
        .journal
        .records()
        .into_iter()
        .find(|(id, _)| id.as_str() == "cluster/cluster");
    let cluster = record
        .and_then(|(_, record)| record.live?.get("id")?.as_str().map(str::to_owned))
        .ok_or_else(|| {
            CliError::failed("this machine does not know the deployment's cluster")
                .hint("name it with --cluster-id, or run `todoctl up`")
        })?;
    let selection = session.profile.cloud.as_ref().map(|cloud| oci::Selection {
        config_file: Some(files::expand_home(&cloud.config_file)),
        profile: Some(cloud.config_profile.clone()),
        region: cloud.region.clone(),
    });
    Ok((cluster, selection.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_other_clusters_and_replaces_our_own() {
        let existing = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "other"}, {"name": "ours", "cluster": {"server": "old"}}],
            "preferences": {"colors": true},
            "current-context": "other",
        });
        let fresh = json!({
            "clusters": [{"name": "ours", "cluster": {"server": "new"}}],
            "current-context": "ours",
        });
        assert_eq!(
            merge(Some(existing), &fresh),
            json!({
                "apiVersion": "v1",
                "kind": "Config",
                "preferences": {"colors": true},
                "clusters": [{"name": "other"}, {"name": "ours", "cluster": {"server": "new"}}],
                "current-context": "ours",
            })
        );
    }
}
