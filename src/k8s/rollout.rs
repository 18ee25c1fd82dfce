//! Waiting for many objects at once: batched looks, progress in words, and an
//! early end when waiting cannot help.
//!
//! Each look asks once per kind and namespace of what is still pending, never
//! once per object. Where a workload is not ready, its pods say why.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use serde_json::Value;

use super::judge::Judge;
use super::kstatus::{Readiness, Rules, assess};
use super::object::ObjectRef;
use super::trouble::{self, Kind, Trouble};
use super::{K8sError, Kube};
use crate::clock::{Backoff, Clock, WaitError};
use crate::manifest::Manifest;

/// The pauses between looks: short at first, as definitions and small things
/// are ready at once.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_secs(2);

/// Who hears what a long operation sees.
pub type Progress<'a> = &'a dyn Fn(&str);

/// How to wait.
#[derive(Debug, Clone, Copy)]
pub struct WaitOptions {
    /// For how long.
    pub limit: Duration,
    /// What counts as ready.
    pub rules: Rules,
}

impl WaitOptions {
    /// Waits so long by the usual rules.
    pub fn within(limit: Duration) -> Self {
        Self {
            limit,
            rules: Rules::default(),
        }
    }
}

/// Kinds that are ready as soon as they exist.
const INSTANT: &[&str] = &[
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "CronJob",
    "Endpoints",
    "HorizontalPodAutoscaler",
    "Ingress",
    "IngressClass",
    "LimitRange",
    "MutatingWebhookConfiguration",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PriorityClass",
    "ResourceQuota",
    "Role",
    "RoleBinding",
    "Secret",
    "ServiceAccount",
    "StorageClass",
    "ValidatingWebhookConfiguration",
];

/// A group of the Kubernetes project or none: a custom kind of the same name
/// is not meant.
fn is_instant(object: &ObjectRef, rules: Rules) -> bool {
    let group = object.api_version.split_once('/').map_or("", |(g, _)| g);
    let ours = !group.contains('.') || group.ends_with(".k8s.io");
    let instant = INSTANT.contains(&object.kind.as_str())
        || object.kind == "Service" && group.is_empty() && !rules.load_balancers;
    ours && instant
}

/// An object that is not ready, as it was seen.
struct Pending {
    object: ObjectRef,
    live: Option<Manifest>,
    readiness: Readiness,
}

impl Pending {
    fn words(&self) -> &str {
        match &self.readiness {
            Readiness::InProgress(why) | Readiness::Failed(why) => why,
            Readiness::Current => "it is ready",
        }
    }

    fn has_failed(&self) -> bool {
        matches!(self.readiness, Readiness::Failed(_))
    }
}

/// What a wait remembers from look to look.
struct Memory {
    judge: Judge,
    /// The log's end that was fetched last, and for which container and
    /// restart.
    log: Option<((String, i64), String)>,
    told: String,
}

impl Memory {
    fn new(clock: &Clock) -> Self {
        Self {
            judge: Judge::new(clock),
            log: None,
            told: String::new(),
        }
    }
}

impl Kube {
    /// Waits until all objects are ready by the rules of
    /// [`super::kstatus`]. What a look sees is told to `progress` when it
    /// differs from what was told before. A failure that waiting does not
    /// heal ends it early, with the reason.
    pub async fn wait_ready(
        &self,
        objects: &[ObjectRef],
        options: &WaitOptions,
        progress: Progress<'_>,
    ) -> Result<(), K8sError> {
        let rules = options.rules;
        let deadline = self.clock.deadline(options.limit);
        let mut left: Vec<ObjectRef> = objects
            .iter()
            .filter(|object| !is_instant(object, rules))
            .cloned()
            .collect();
        let total = left.len();
        let mut memory = Memory::new(&self.clock);
        let mut pauses = Backoff::new(FIRST_PAUSE, 2.0, PAUSE);
        loop {
            let pending = self.look(&left, rules).await?;
            if pending.is_empty() {
                return Ok(());
            }
            left = pending.iter().map(|p| p.object.clone()).collect();
            let why = self.reason(&pending, &mut memory).await?;
            let seen = format!("{} of {total} ready; {why}", total - left.len());
            if memory.told != seen {
                progress(&seen);
                memory.told.clone_from(&seen);
            }
            match deadline
                .pause::<K8sError>(seen, pauses.next(&self.clock))
                .await
            {
                Ok(()) => {}
                Err(WaitError::TimedOut { waited, last }) => {
                    return Err(K8sError::NotReady {
                        what: what(&left),
                        waited,
                        last,
                    });
                }
                Err(WaitError::Cancelled(cancelled)) => return Err(cancelled.into()),
                Err(WaitError::Failed(error)) => return Err(error),
            }
        }
    }

    /// One look at all of them; returns those that are not ready.
    async fn look(&self, objects: &[ObjectRef], rules: Rules) -> Result<Vec<Pending>, K8sError> {
        let live = self.live_of(objects).await?;
        let mut pending = Vec::new();
        for object in objects {
            let live = live.get(object).cloned();
            let readiness = match &live {
                Some(live) => assess(live, rules),
                None => Readiness::InProgress("it is not there".to_owned()),
            };
            if readiness != Readiness::Current {
                pending.push(Pending {
                    object: object.clone(),
                    live,
                    readiness,
                });
            }
        }
        Ok(pending)
    }

    /// The live objects of a set: one list for each kind and namespace that
    /// has several of them, a read where it has one. What is not there, or of
    /// a kind that the cluster does not know, is left out.
    pub async fn live_of(
        &self,
        objects: &[ObjectRef],
    ) -> Result<HashMap<ObjectRef, Manifest>, K8sError> {
        let mut groups: BTreeMap<(&str, &str, Option<&str>), Vec<&ObjectRef>> = BTreeMap::new();
        for object in objects {
            let key = (
                object.api_version.as_str(),
                object.kind.as_str(),
                object.namespace.as_deref(),
            );
            groups.entry(key).or_default().push(object);
        }
        let mut looks: FuturesUnordered<LocalBoxFuture<'_, _>> = FuturesUnordered::new();
        for ((api_version, kind, namespace), wanted) in groups {
            looks.push(Box::pin(self.live_of_kind(
                api_version,
                kind,
                namespace,
                wanted,
            )));
        }
        let mut found = HashMap::new();
        while let Some(answer) = looks.next().await {
            match answer {
                Ok(list) => found.extend(list.into_iter().map(|m| (ObjectRef::from(&m), m))),
                Err(K8sError::UnknownKind { .. }) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn live_of_kind(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        wanted: Vec<&ObjectRef>,
    ) -> Result<Vec<Manifest>, K8sError> {
        if let [only] = wanted.as_slice() {
            return Ok(self.get(only).await?.into_iter().collect());
        }
        let mut all = self.list(api_version, kind, namespace, "").await?;
        let wanted: HashSet<&str> = wanted.iter().map(|w| w.name.as_str()).collect();
        all.retain(|live| wanted.contains(live.name()));
        Ok(all)
    }

    /// Why it is not ready, in words; an error when it never will be.
    async fn reason(&self, pending: &[Pending], memory: &mut Memory) -> Result<String, K8sError> {
        let worst = self.worst_pod(pending, memory).await?;
        let failed = pending
            .iter()
            .find(|p| p.has_failed() && memory.judge.is_final(&p.object, p.live.as_ref()));
        let hopeless = |why: String, of: &ObjectRef| K8sError::Hopeless {
            what: of.to_string(),
            why,
        };
        if let Some((object, trouble)) = worst {
            let is_hopeless = memory.judge.is_hopeless(&trouble);
            let mut words = trouble.told();
            let details = self.details(&trouble, memory).await;
            if !details.is_empty() {
                words = format!("{words}; {details}");
            }
            if is_hopeless {
                return Err(hopeless(words, &object));
            }
            if let Some(failed) = failed {
                let words = format!("{}; {words}", failed.words());
                return Err(hopeless(words, &failed.object));
            }
            return Ok(format!("{object}: {words}"));
        }
        if let Some(failed) = failed {
            return Err(hopeless(failed.words().to_owned(), &failed.object));
        }
        let first = pending.first();
        Ok(first.map_or_else(String::new, |p| format!("{}: {}", p.object, p.words())))
    }

    /// What has to be fetched to understand a trouble. Failing to fetch it is
    /// no failure of the wait.
    async fn details(&self, trouble: &Trouble, memory: &mut Memory) -> String {
        let mut parts = Vec::new();
        if matches!(trouble.kind, Kind::Crash | Kind::Restarted) {
            parts.push(self.log_end(trouble, memory).await);
        }
        if matches!(trouble.kind, Kind::NotReady | Kind::Restarted) {
            let event = self.last_event(&trouble.pod).await.unwrap_or_default();
            let told = |event| format!("last event: {event}");
            parts.push(Some(event).filter(|e| !e.is_empty()).map(told));
        }
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join("; ")
    }

    /// The end of a container's log; read once for each of its lives.
    async fn log_end(&self, trouble: &Trouble, memory: &mut Memory) -> Option<String> {
        let life = (trouble.subject(), trouble.restarts);
        if let Some((of, log)) = &memory.log
            && *of == life
        {
            return Some(log.clone());
        }
        memory.log = None;
        let lines = self.last_lines(trouble).await;
        let log = (!lines.is_empty()).then(|| format!("its log ends: {lines}"))?;
        memory.log = Some((life, log.clone()));
        Some(log)
    }

    /// The pod in the worst trouble among those of the pending workloads, and
    /// the workload.
    async fn worst_pod(
        &self,
        pending: &[Pending],
        memory: &mut Memory,
    ) -> Result<Option<(ObjectRef, Trouble)>, K8sError> {
        let judged = |p: &&Pending| has_pods(&p.object) && p.live.as_ref().is_some_and(is_seen);
        let workloads: Vec<&Pending> = pending.iter().filter(judged).collect();
        let mut namespaces: Vec<&str> = workloads
            .iter()
            .filter_map(|p| p.object.namespace.as_deref())
            .collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        let mut found: Vec<(ObjectRef, Trouble)> = Vec::new();
        for namespace in namespaces {
            let here: Vec<_> = workloads
                .iter()
                .filter(|p| p.object.namespace.as_deref() == Some(namespace))
                .collect();
            let pods = self.list("v1", "Pod", Some(namespace), "").await?;
            let sets = match here.iter().any(|p| p.object.kind == "Deployment") {
                true => {
                    self.list("apps/v1", "ReplicaSet", Some(namespace), "")
                        .await?
                }
                false => Vec::new(),
            };
            for workload in here {
                let Some(live) = &workload.live else { continue };
                let its = || pods.iter().filter(|pod| belongs(pod, live, &sets));
                let containers = || its().flat_map(trouble::containers);
                let judge = &mut memory.judge;
                judge.meet(&workload.object, workload.has_failed(), containers);
                let troubles = its().flat_map(trouble::all_of_pod);
                found.extend(troubles.map(|t| (workload.object.clone(), t)));
            }
        }
        memory.judge.hear(found.iter().map(|(_, trouble)| trouble));
        let rank = |trouble: &Trouble| {
            let is_hopeless = memory.judge.is_hopeless(trouble);
            (is_hopeless, trouble.kind, trouble.restarts)
        };
        Ok(found.into_iter().max_by_key(|(_, trouble)| rank(trouble)))
    }
}

fn has_pods(object: &ObjectRef) -> bool {
    matches!(
        (object.api_version.as_str(), object.kind.as_str()),
        (
            "apps/v1",
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet"
        ) | ("batch/v1", "Job")
            | ("v1", "Pod")
    )
}

/// Whether the controller has looked at the workload as it is now. Until then
/// its revision is that of the template before, whose pods say nothing of the
/// one that is waited for.
fn is_seen(workload: &Manifest) -> bool {
    let number = |pointer: &str| workload.body().pointer(pointer).and_then(Value::as_i64);
    let generation = number("/metadata/generation").unwrap_or_default();
    let observed = number("/status/observedGeneration");
    match workload.kind() {
        // These have no such number.
        "Pod" | "Job" => true,
        _ => observed.unwrap_or_default() >= generation,
    }
}

fn text<'a>(object: &'a Manifest, pointer: &str) -> &'a str {
    let value = object.body().pointer(pointer).and_then(Value::as_str);
    value.unwrap_or_default()
}

fn owned_by(object: &Manifest, uid: &str) -> bool {
    let owners = object.body().pointer("/metadata/ownerReferences");
    let mut owners = owners.and_then(Value::as_array).into_iter().flatten();
    !uid.is_empty() && owners.any(|o| o.get("uid").and_then(Value::as_str) == Some(uid))
}

const REVISION: &str = "/metadata/annotations/deployment.kubernetes.io~1revision";

/// Whether a pod is of a workload's latest template: an older one's troubles
/// are over soon.
fn belongs(pod: &Manifest, workload: &Manifest, sets: &[Manifest]) -> bool {
    let uid = text(workload, "/metadata/uid");
    match workload.kind() {
        "Pod" => pod.name() == workload.name(),
        "Deployment" => {
            let revision = text(workload, REVISION);
            sets.iter()
                .filter(|set| owned_by(set, uid) && text(set, REVISION) == revision)
                .any(|set| owned_by(pod, text(set, "/metadata/uid")))
        }
        "StatefulSet" => {
            let update = text(workload, "/status/updateRevision");
            let label = pod.label("controller-revision-hash");
            owned_by(pod, uid) && (update.is_empty() || label.is_none_or(|l| l == update))
        }
        _ => owned_by(pod, uid),
    }
}

/// What is waited for, in few words.
fn what(left: &[ObjectRef]) -> String {
    match left {
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests;
