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

use super::kstatus::{Readiness, Rules, assess};
use super::object::ObjectRef;
use super::trouble::{self, Before, Kind, LONGEST_REST, Trouble};
use super::{K8sError, Kube};
use crate::clock::{Backoff, WaitError};
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
}

/// What a wait remembers from look to look.
struct Memory {
    /// When it began.
    begun: Duration,
    /// The workloads whose pods were looked at.
    judged: HashSet<ObjectRef>,
    /// Their containers at the first look.
    before: HashMap<String, Before>,
    /// When each trouble was first seen.
    since: HashMap<(String, Kind), Duration>,
    /// The log's end that was fetched last, and for which container and
    /// restart.
    log: Option<(String, i64, String)>,
    told: String,
}

impl Memory {
    fn new(begun: Duration) -> Self {
        Self {
            begun,
            judged: HashSet::new(),
            before: HashMap::new(),
            since: HashMap::new(),
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
        let mut memory = Memory::new(self.clock.elapsed());
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
            .find(|p| matches!(p.readiness, Readiness::Failed(_)) && self.is_final(p, memory));
        let hopeless = |why: String, of: &ObjectRef| K8sError::Hopeless {
            what: of.to_string(),
            why,
        };
        if let Some((object, trouble)) = worst {
            let is_hopeless = self.is_hopeless(&trouble, memory);
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

    /// Whether an object that has failed stays so. A Deployment's deadline may
    /// have run since before this wait, when its pods lacked what is there now,
    /// and it comes back from that as soon as they are ready.
    fn is_final(&self, failed: &Pending, memory: &Memory) -> bool {
        if failed.object.kind != "Deployment" {
            return true;
        }
        let body = failed.live.as_ref().map(Manifest::body);
        let limit = body.and_then(|body| body.pointer("/spec/progressDeadlineSeconds"));
        let limit = limit.and_then(Value::as_u64).map(Duration::from_secs);
        let limit = limit.map_or(LONGEST_REST, |limit| limit.min(LONGEST_REST));
        let waited = self.clock.elapsed().saturating_sub(memory.begun);
        waited >= self.clock.patience(limit)
    }

    /// Whether the trouble will not go away by itself.
    fn is_hopeless(&self, trouble: &Trouble, memory: &Memory) -> bool {
        let now = self.clock.elapsed();
        let since = memory.since.get(&trouble.key()).copied().unwrap_or(now);
        let before = memory.before.get(&trouble.subject());
        trouble.is_hopeless(now.saturating_sub(since), before)
    }

    /// What has to be fetched to understand a trouble. Failing to fetch it is
    /// no failure of the wait.
    async fn details(&self, trouble: &Trouble, memory: &mut Memory) -> String {
        match trouble.kind {
            Kind::Crash => {
                let key = trouble.subject();
                if let Some((of, restarts, log)) = &memory.log
                    && *of == key
                    && *restarts == trouble.restarts
                    && !log.is_empty()
                {
                    return log.clone();
                }
                let log = match self.last_lines(trouble).await {
                    lines if lines.is_empty() => lines,
                    lines => format!("its log ends: {lines}"),
                };
                memory.log = Some((key, trouble.restarts, log.clone()));
                log
            }
            Kind::NotReady => {
                let event = self.last_event(&trouble.pod).await.unwrap_or_default();
                match event.is_empty() {
                    true => event,
                    false => format!("last event: {event}"),
                }
            }
            _ => String::new(),
        }
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
                if memory.judged.insert(workload.object.clone()) {
                    memory.before.extend(its().flat_map(trouble::containers));
                }
                let troubles = its().filter_map(trouble::of_pod);
                found.extend(troubles.map(|t| (workload.object.clone(), t)));
            }
        }
        let now = self.clock.elapsed();
        let keys: Vec<_> = found.iter().map(|(_, trouble)| trouble.key()).collect();
        // A trouble that went away starts anew when it comes back. Pulls
        // alternate between two reasons of one kind.
        memory.since.retain(|key, _| keys.contains(key));
        for key in keys {
            memory.since.entry(key).or_insert(now);
        }
        let rank = |trouble: &Trouble| {
            let is_hopeless = self.is_hopeless(trouble, memory);
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
mod tests {
    use super::super::script::{Script, json_status, ok};
    use super::*;
    use serde_json::json;
    use std::cell::RefCell;

    const KINDS: &[(&str, &str, &str, &str, &str)] = &[
        ("apps", "v1", "Deployment", "deployments", "Namespaced"),
        ("apps", "v1", "ReplicaSet", "replicasets", "Namespaced"),
        ("", "v1", "Pod", "pods", "Namespaced"),
        ("", "v1", "Event", "events", "Namespaced"),
    ];
    const DEPLOYMENTS: &str = "GET /apis/apps/v1/namespaces/n/deployments";
    const ONLY: &str = "GET /apis/apps/v1/namespaces/n/deployments/b";
    const SETS: &str = "GET /apis/apps/v1/namespaces/n/replicasets";
    const PODS: &str = "GET /api/v1/namespaces/n/pods";

    fn deployment(name: &str, available: i64) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "n", "uid": name, "generation": 1,
                         "annotations": {"deployment.kubernetes.io/revision": "2"}},
            "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1,
                       "availableReplicas": available, "readyReplicas": available}
        })
    }

    /// The answer where one Deployment is left to ask for.
    fn only(mut deployment: Value) -> (u16, Value) {
        deployment["apiVersion"] = json!("apps/v1");
        deployment["kind"] = json!("Deployment");
        ok(&deployment)
    }

    fn sets() -> (u16, Value) {
        list(&[set("set-1", "b", "1"), set("set-2", "b", "2")])
    }

    fn set(name: &str, of: &str, revision: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "n", "uid": name,
               "annotations": {"deployment.kubernetes.io/revision": revision},
               "ownerReferences": [{"uid": of}]}})
    }

    fn pod(name: &str, of: &str, reason: &str, restarts: i64) -> Value {
        json!({"metadata": {"name": name, "namespace": "n", "uid": name,
                            "ownerReferences": [{"uid": of}]},
               "status": {"phase": "Running", "containerStatuses": [
                   {"name": "app", "restartCount": restarts, "state": {"waiting": {"reason": reason}},
                    "lastState": {"terminated": {"exitCode": 7}}}]}})
    }

    fn list(items: &[Value]) -> (u16, Value) {
        ok(&json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}))
    }

    fn objects() -> Vec<ObjectRef> {
        let deployment = |name| ObjectRef::namespaced("apps/v1", "Deployment", "n", name);
        let settings = ObjectRef::namespaced("v1", "ConfigMap", "n", "settings");
        vec![deployment("a"), deployment("b"), settings]
    }

    async fn wait(script: Script) -> (Result<(), K8sError>, Vec<String>) {
        let (kube, script) = script.kube();
        let told = RefCell::new(Vec::new());
        let options = WaitOptions::within(Duration::from_mins(10));
        let say = |text: &str| told.borrow_mut().push(text.to_owned());
        let result = kube.wait_ready(&objects(), &options, &say).await;
        assert_eq!(script.left(), 0, "requests that did not come");
        (result, told.into_inner())
    }

    #[tokio::test]
    async fn many_objects_take_one_list_a_look() {
        let script = Script::new()
            .discovery(KINDS)
            .answer(DEPLOYMENTS, list(&[deployment("a", 1), deployment("b", 0)]))
            .answer(PODS, list(&[]))
            .answer(SETS, list(&[]))
            .answer(ONLY, only(deployment("b", 1)));
        let (result, told) = wait(script).await;
        result.unwrap();
        assert_eq!(
            told,
            ["1 of 2 ready; Deployment n/b: 0 of 1 pods are available"]
        );
    }

    #[tokio::test]
    async fn pods_are_not_judged_before_the_controller_has_seen_the_change() {
        let mut unseen = deployment("b", 0);
        unseen["metadata"]["generation"] = json!(2);
        let script = Script::new()
            .discovery(KINDS)
            .answer(DEPLOYMENTS, list(&[deployment("a", 1), unseen]))
            .answer(ONLY, only(deployment("b", 1)));
        let (result, _) = wait(script).await;
        result.unwrap();
    }

    #[tokio::test]
    async fn a_crash_loop_ends_the_wait_with_the_end_of_the_log() {
        let script = Script::new()
            .discovery(KINDS)
            .answer(DEPLOYMENTS, list(&[deployment("a", 1), deployment("b", 0)]))
            .answer(
                PODS,
                list(&[
                    // One of the revision before: it is going anyway.
                    pod("old", "set-1", "CrashLoopBackOff", 50),
                    pod("new", "set-2", "ContainerCreating", 0),
                ]),
            )
            .answer(SETS, sets())
            .answer("GET /api/v1/namespaces/n/events", list(&[]))
            .answer(ONLY, only(deployment("b", 0)))
            .answer(PODS, list(&[pod("new", "set-2", "CrashLoopBackOff", 3)]))
            .answer(SETS, sets())
            .answer(
                "GET /api/v1/namespaces/n/pods/new/log",
                json_status(404, "NotFound", "no such log"),
            )
            .answer(
                "GET /api/v1/namespaces/n/pods/new/log",
                (200, json!("boom")),
            );
        let (result, _) = wait(script).await;
        let error = result.unwrap_err().to_string();
        assert_eq!(
            error,
            "Deployment n/b cannot become ready: container app of Pod n/new: it ended with exit \
             code 7; CrashLoopBackOff; its log ends: \"boom\""
        );
    }

    #[tokio::test]
    async fn what_failed_before_the_wait_has_another_try() {
        let crash = |restarts| list(&[pod("p", "set-2", "CrashLoopBackOff", restarts)]);
        let mut late = deployment("b", 0);
        late["status"]["conditions"] = json!([{"type": "Progressing", "status": "False",
            "reason": "ProgressDeadlineExceeded", "message": "it has timed out"}]);
        let script = Script::new()
            .discovery(KINDS)
            .answer(DEPLOYMENTS, list(&[deployment("a", 1), late]))
            .answer(PODS, crash(9))
            .answer(SETS, sets())
            .answer(
                "GET /api/v1/namespaces/n/pods/p/log",
                (200, json!("no configuration")),
            )
            .answer(ONLY, only(deployment("b", 1)));
        let (result, told) = wait(script).await;
        result.unwrap();
        let [told] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert!(told.contains("no configuration"), "{told}");
    }

    #[tokio::test]
    async fn a_deadline_that_passes_during_the_wait_ends_it() {
        let mut late = deployment("b", 0);
        late["spec"]["progressDeadlineSeconds"] = json!(0);
        late["status"]["conditions"] = json!([{"type": "Progressing", "status": "False",
            "reason": "ProgressDeadlineExceeded", "message": "it has timed out"}]);
        let script = Script::new()
            .discovery(KINDS)
            .answer(DEPLOYMENTS, list(&[deployment("a", 1), late]))
            .answer(PODS, list(&[]))
            .answer(SETS, sets());
        let (result, _) = wait(script).await;
        assert_eq!(
            result.unwrap_err().to_string(),
            "Deployment n/b cannot become ready: ProgressDeadlineExceeded: it has timed out"
        );
    }
}
