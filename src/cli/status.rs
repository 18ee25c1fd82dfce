//! `todoctl status`: one screen of what exists.

use std::fmt::Write as _;

use futures::future::join_all;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::error::Result;
use super::exit::Exit;
use super::session::{Purpose, Session};
use super::settings::Settings;
use crate::k8s::Pods;
use crate::plan::{Action, Plan};
use crate::redpanda;
use crate::steps::{Access, AddressLive, ClusterLive, NodePoolLive, ReleaseLive, Scaled};
use crate::ui::paragraph;

/// Where the values begin, and what a line holds.
const INDENT: usize = 14;
const WIDTH: usize = 80;

/// What there is to say.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts {
    schema: &'static str,
    deployment: String,
    profile: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterFacts>,
    namespace: String,
    /// Where the app is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    /// Whether its page answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<bool>,
    /// What has another number of pods than the profile says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scaled: Vec<Scaled>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kafka: Option<redpanda::Cluster>,
    /// The pods of the deployment's namespaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pods: Vec<Pods>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<usize>,
    journal: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterFacts {
    id: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    nodes_ready: usize,
}

/// Looks and tells.
pub(super) async fn run(settings: &Settings, cancel: CancellationToken) -> Result {
    // Without the profile's secrets one can look, but not compare.
    let (session, compares) = match Session::open(settings, cancel.clone(), Purpose::Build).await {
        Ok(session) => (session, true),
        Err(error) if error.exit() == Exit::Usage => {
            let session = Session::open(settings, cancel, Purpose::TearDown).await?;
            (session, false)
        }
        Err(error) => return Err(error),
    };
    let plan = session.plan().await?;
    let mut facts = facts(settings, &session, &plan, Moment::Looked);
    facts.pending = facts.pending.filter(|_| compares);
    if facts.cluster.is_some() || facts.region.is_none() {
        facts.pods = pods(settings, &session).await;
    }
    settings.ui.document(&facts, || text(&facts))?;
    Ok(Exit::Done)
}

/// How the pods are. A namespace that cannot be looked into is told, and does
/// not keep the rest from being shown.
async fn pods(settings: &Settings, session: &Session) -> Vec<Pods> {
    // A cluster that is still being made has none.
    let Ok(kube) = session.kube().await else {
        return Vec::new();
    };
    let namespaces = session.profile.namespaces();
    let looks = namespaces.into_iter().map(|namespace| kube.pods(namespace));
    let mut seen = Vec::new();
    for look in join_all(looks).await {
        match look {
            Ok(pods) => seen.push(pods),
            Err(error) => settings.ui.warn(&error.to_string()),
        }
    }
    seen.retain(|pods| pods.all > 0);
    seen
}

/// When the facts are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// After a plan was made.
    Looked,
    /// After it was carried out, too.
    Ran,
}

/// Collects the facts: from a plan just made and, for what was changed since,
/// from the journal.
pub(super) fn facts(settings: &Settings, session: &Session, plan: &Plan, moment: Moment) -> Facts {
    let read = |id: &str| -> Option<serde_json::Value> {
        let id = id.parse().ok()?;
        let planned = plan.step(&id)?;
        let same = planned.change.action == Action::None && planned.live.is_some();
        match moment == Moment::Looked || same {
            true => planned.live.clone(),
            false => session.journal.record(&id)?.live,
        }
    };
    let cluster: Option<ClusterLive> = typed(read("cluster/cluster"));
    let pool: Option<NodePoolLive> = typed(read("cluster/node-pool"));
    let access: Option<Access> = typed(read("cluster/access"));
    let address: Option<AddressLive> = typed(read("app/address"));
    let release: Option<ReleaseLive> = typed(read("app/release"));
    let wanted = |plan: &Plan| {
        plan.pending()
            .filter(|step| step.change.action != Action::None)
            .count()
    };
    Facts {
        schema: "todoctl/status/v1",
        deployment: session.profile.deployment.to_string(),
        profile: settings.profile.clone(),
        region: session
            .cx
            .cloud_if_any()
            .map(|cloud| cloud.client.region().name().to_owned()),
        cluster: cluster.map(|cluster| ClusterFacts {
            server: access.map(|a| a.server).or_else(|| {
                (!cluster.endpoint.is_empty()).then(|| format!("https://{}", cluster.endpoint))
            }),
            id: cluster.id,
            version: cluster.version,
            nodes_ready: pool.map_or(0, |pool| pool.ready),
        }),
        namespace: session.profile.app.namespace.to_string(),
        kafka: typed(read("kafka/cluster")),
        url: address.as_ref().map(|address| address.url.clone()),
        answers: address.map(|address| address.answers),
        pods: Vec::new(),
        scaled: release.map(|release| release.scaled).unwrap_or_default(),
        pending: (moment == Moment::Looked).then(|| wanted(plan)),
        journal: settings.shown(session.journal.path()),
    }
}

fn typed<T: serde::de::DeserializeOwned>(live: Option<serde_json::Value>) -> Option<T> {
    serde_json::from_value(live?).ok()
}

/// A value that may take more than a line.
fn wrapped(text: &str) -> String {
    paragraph(text, INDENT, WIDTH).trim().to_owned()
}

/// The facts for people.
pub(super) fn text(facts: &Facts) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<11} {value}");
    };
    line(
        "Deployment",
        &format!("{} (profile {})", facts.deployment, facts.profile),
    );
    if let Some(region) = &facts.region {
        line("Region", region);
    }
    match &facts.cluster {
        Some(cluster) => {
            line(
                "Cluster",
                &format!("{}, {} nodes ready", cluster.version, cluster.nodes_ready),
            );
            if let Some(server) = &cluster.server {
                line("API", server);
            }
            line("Namespace", &facts.namespace);
        }
        None if facts.region.is_some() => line("Cluster", "none"),
        None => line("Namespace", &facts.namespace),
    }
    if let Some(kafka) = &facts.kafka {
        let ends = kafka.deletion.as_ref();
        let ends = ends.map_or_else(String::new, |end| {
            format!(", deleted after {} unless it is paid for", end.after)
        });
        let text = format!("Redpanda cluster {} is {}{ends}", kafka.name, kafka.state);
        line("Kafka", &text);
    }
    let ready = |pods: &Pods| format!("{} {} of {}", pods.namespace, pods.ready, pods.all);
    let ready: Vec<String> = facts.pods.iter().map(ready).collect();
    if !ready.is_empty() {
        line("Pods ready", &wrapped(&ready.join(", ")));
    }
    for trouble in facts.pods.iter().flat_map(|pods| &pods.troubles) {
        line("Not ready", &wrapped(trouble));
    }
    if let Some(url) = &facts.url {
        match facts.answers {
            Some(false) => line("URL", &format!("{url} (does not answer)")),
            _ => line("URL", url),
        }
    }
    for scaled in &facts.scaled {
        line(
            "Scaled",
            &format!(
                "{} to {} (the profile says {})",
                scaled.service, scaled.replicas, scaled.profile
            ),
        );
    }
    if let Some(pending) = facts.pending.filter(|n| *n > 0) {
        line(
            "Pending",
            &format!("{pending} change(s), see `todoctl plan`"),
        );
    }
    line("Journal", &facts.journal);
    let next = match facts.cluster.is_some() || facts.region.is_none() {
        true if facts.url.is_some() => {
            "todoctl verify, todoctl logs -f, todoctl kubeconfig --write"
        }
        true => "todoctl kubeconfig --write, then kubectl get nodes",
        false => "todoctl up",
    };
    line("Next", next);
    text
}
