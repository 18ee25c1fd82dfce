//! `todoctl scale`: another number of pods for a service.

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::error::{CliError, Result};
use super::exit::Exit;
use super::session::{Purpose, Session};
use super::settings::Settings;
use super::summary::{exit_of, run_error};
use super::up;
use crate::journal::Outcome;
use crate::k8s::{K8sError, Kube, ObjectRef};
use crate::manifest::Manifest;
use crate::names::nearest;
use crate::observe::room::{Asks, room};
use crate::profile::Service;
use crate::steps::Wish;

/// Set a service's number of pods, if they fit onto the nodes
///
/// Later runs of `up` keep the number, until the profile says another one than
/// it does now. Everything else stays as it is deployed.
#[derive(Debug, Clone, Args)]
pub struct ScaleArgs {
    /// The service
    pub service: String,
    /// How many pods it is to have
    #[arg(value_parser = clap::value_parser!(u32).range(0..=100))]
    pub replicas: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Done<'a> {
    schema: &'static str,
    service: &'a str,
    replicas: u32,
    profile: u32,
    changed: bool,
}

/// Scales.
pub(super) async fn run(
    settings: &Settings,
    args: &ScaleArgs,
    cancel: CancellationToken,
) -> Result {
    let session = Session::open(settings, cancel, Purpose::Build).await?;
    let service = service(&session, &args.service)?;
    let _lock = session.lock(settings, "scale")?;
    let kube = session.kube().await?;
    let short = shortage(&session, &kube, service, args.replicas).await;
    if let Some(short) = short.map_err(|e| {
        CliError::failed("cannot look at the nodes; nothing was touched").caused_by(&e)
    })? {
        return Err(short);
    }
    session.cx.wish(Wish {
        service: args.service.clone(),
        replicas: args.replicas,
    });
    let mut plan = session.plan().await?;
    for step in &mut plan.steps {
        step.kept = !step.id.as_str().starts_with("app/");
    }
    let changed = !plan.is_empty();
    if changed {
        let report = up::execute(settings, &session, &plan, "scale").await?;
        if report.outcome != Outcome::Done {
            let what = format!("scale {} to {}", args.service, args.replicas);
            return Err(run_error(&report, &what, "scale"));
        }
        debug_assert_eq!(exit_of(report.outcome), Exit::Done);
    }
    let done = Done {
        schema: "todoctl/scale/v1",
        service: &args.service,
        replicas: args.replicas,
        profile: service.replicas,
        changed,
    };
    settings.ui.document(&done, || text(&done))?;
    Ok(Exit::Done)
}

fn text(done: &Done<'_>) -> String {
    let pods = match done.replicas {
        1 => "1 pod".to_owned(),
        n => format!("{n} pods"),
    };
    let head = match done.changed {
        true => format!("Service {} has {pods}.", done.service),
        false => format!("Service {} has {pods} already.", done.service),
    };
    if done.replicas == done.profile {
        return head;
    }
    format!(
        "{head}\nThe profile says {}. `todoctl up` keeps {} until the profile says another number\n\
         than {}; `todoctl scale {} {}` goes back to it.",
        done.profile, done.replicas, done.profile, done.service, done.profile
    )
}

/// The service of the profile.
fn service<'a>(session: &'a Session, name: &str) -> Result<&'a Service> {
    session.profile.service(name).ok_or_else(|| {
        let services = &session.profile.app.services;
        let names: Vec<&str> = services.iter().map(|s| s.name.as_str()).collect();
        let error = CliError::usage(format!("the profile has no service `{name}`"));
        match nearest(name, names.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("one of: {}", names.join(", "))),
        }
    })
}

/// What is in the way of so many pods: that they do not fit onto the nodes,
/// which are as many as are free. A cluster that shows no nodes is not judged.
async fn shortage(
    session: &Session,
    kube: &Kube,
    service: &Service,
    wanted: u32,
) -> std::result::Result<Option<CliError>, K8sError> {
    let namespace = session.profile.app.namespace.as_str();
    let (apps, name) = ("apps/v1", service.name.as_str());
    let own = ObjectRef::namespaced(apps, "Deployment", namespace, name);
    let release = format!("{}-{name}", session.profile.app.release);
    let named = ObjectRef::namespaced(apps, "Deployment", namespace, &release);
    let workload = match kube.get(&own).await? {
        Some(found) => Some(found),
        None => kube.get(&named).await?,
    };
    // A chart of the user's may name it in its own way.
    let Some(workload) = workload else {
        return Ok(None);
    };
    let (nodes, pods) = futures::try_join!(
        kube.list("v1", "Node", None, ""),
        kube.list("v1", "Pod", None, ""),
    )?;
    if nodes.is_empty() {
        return Ok(None);
    }
    let selector = workload.body().pointer("/spec/selector/matchLabels");
    let selector = selector.and_then(Value::as_object);
    let of_service = |pod: &Manifest| {
        let mut wanted = selector.into_iter().flatten();
        pod.namespace() == Some(namespace)
            && wanted.all(|(key, value)| pod.label(key) == value.as_str())
    };
    let asks = Asks::of_workload(&workload);
    let fits = room(&nodes, &pods, asks, of_service);
    if wanted <= fits {
        return Ok(None);
    }
    let error = CliError::failed(format!(
        "{wanted} pods of {name} do not fit onto the nodes, {fits} do; nothing was touched"
    ))
    .note(format!(
        "each asks for {:.0}m processors and {:.0} MiB of memory, its sidecar included",
        asks.cpu * 1000.0,
        asks.memory / 1_048_576.0
    ));
    Ok(Some(match session.cx.cloud_if_any() {
        Some(_) => error.hint(
            "ask for less in `resources` of the profile; `cloud.nodes` can be larger, and \
             `todoctl plan` then says what goes beyond the free allowance",
        ),
        None => error.hint("ask for less in `resources` of the profile, or add a node"),
    }))
}
