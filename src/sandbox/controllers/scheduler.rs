//! The scheduler: a node for every pod, or the reason why there is none.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::events::Note;
use super::queue::{Again, Controller};
use super::resources::{Amount, requests};
use super::{Plane, labels, pods, rollout};
use crate::sandbox::api::{Api, ApiError};
use crate::sandbox::cache::News;
use crate::sandbox::kind::{Kind, controller_of, is_leaving, items, key, key_of, text, uid};

const NAME: &str = "default-scheduler";
const SELECTED: &str = "volume.kubernetes.io/selected-node";

/// The scheduler.
pub struct Scheduler {
    plane: Arc<Plane>,
    api: Api,
    /// Held while a pod is placed: one at a time, so that none is placed on
    /// what another has just taken.
    placing: tokio::sync::Mutex<Placed>,
}

#[derive(Debug, Default)]
struct Placed {
    /// Nodes of pods whose binding the cache does not show yet, by uid.
    assumed: HashMap<String, String>,
    /// What was last told about pods that do not fit, by uid.
    told: HashMap<String, String>,
}

/// Why a node does not take a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    text: String,
    /// Whether other pods' leaving could help.
    is_crowded: bool,
}

impl Refusal {
    fn firm(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            is_crowded: false,
        }
    }

    fn crowded(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            is_crowded: true,
        }
    }
}

impl Scheduler {
    /// The scheduler of a plane.
    pub fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            api: plane
                .client
                .api
                .as_user("system:kube-scheduler")
                .by_program("kube-scheduler"),
            placing: tokio::sync::Mutex::default(),
        }
    }

    fn is_mine(pod: &Value) -> bool {
        let scheduler = text(pod, "/spec/schedulerName");
        text(pod, "/spec/nodeName").is_empty()
            && pods::is_active(pod)
            && items(pod, "/spec/schedulingGates").is_empty()
            && matches!(scheduler, "" | "default-scheduler")
    }

    fn waiting(&self) -> Vec<String> {
        let all = self.plane.cache().list(Kind::Pods, "");
        let waiting = all.iter().filter(|pod| Self::is_mine(pod));
        waiting.map(|pod| key_of(pod)).collect()
    }

    /// The pods of each node that still run, with those just placed.
    fn tenants(&self, placed: &mut Placed) -> HashMap<String, Vec<Arc<Value>>> {
        let mut tenants: HashMap<String, Vec<Arc<Value>>> = HashMap::new();
        for pod in self.plane.cache().list(Kind::Pods, "") {
            let mut node = text(&pod, "/spec/nodeName").to_owned();
            if !node.is_empty() {
                placed.assumed.remove(uid(&pod));
            } else if let Some(assumed) = placed.assumed.get(uid(&pod)) {
                node.clone_from(assumed);
            }
            if !node.is_empty() && !pods::is_finished(&pod) {
                tenants.entry(node).or_default().push(pod);
            }
        }
        tenants
    }

    async fn place(&self, pod: &Value) -> Result<(), ApiError> {
        let mut placed = self.placing.lock().await;
        if placed.assumed.contains_key(uid(pod)) {
            return Ok(());
        }
        let tenants = self.tenants(&mut placed);
        let nodes = self.plane.cache().list(Kind::Nodes, "");
        if let Err(why) = self.check_claims(pod) {
            let total = nodes.len();
            let text = format!(
                "0/{total} nodes are available: {why}. no new claims to deallocate, preemption: 0/{total} nodes are available: {total} Preemption is not helpful for scheduling."
            );
            return self.refuse(pod, &mut placed, text).await;
        }
        let mut fitting = Vec::new();
        let mut refusals = Vec::new();
        for node in &nodes {
            let name = text(node, "/metadata/name");
            let others = tenants.get(name).map_or(&[][..], Vec::as_slice);
            match self.fits(pod, node, others, &nodes, &tenants) {
                Ok(()) => fitting.push((rank(pod, node, others), name)),
                Err(why) => refusals.push(why),
            }
        }
        fitting.sort_unstable();
        let Some((_, node)) = fitting.first() else {
            let text = explain(nodes.len(), &refusals);
            return self.refuse(pod, &mut placed, text).await;
        };
        if self.wait_for_claims(pod, node).await? {
            return Ok(());
        }
        self.bind(pod, node).await?;
        placed
            .assumed
            .insert(uid(pod).to_owned(), (*node).to_owned());
        placed.told.remove(uid(pod));
        Ok(())
    }

    async fn bind(&self, pod: &Value, node: &str) -> Result<(), ApiError> {
        let (namespace, name) = (
            text(pod, "/metadata/namespace"),
            text(pod, "/metadata/name"),
        );
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": uid(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let path = format!("{}/binding", Kind::Pods.path(namespace, name));
        self.api.create(&path, &binding).await?;
        let message = format!("Successfully assigned {namespace}/{name} to {node}");
        let mut note = Note::new(NAME, pod, "Scheduled", message);
        note.action = Some("Binding");
        self.plane.events.tell(note);
        Ok(())
    }

    /// Says once why a pod has no node.
    async fn refuse(&self, pod: &Value, placed: &mut Placed, text: String) -> Result<(), ApiError> {
        if placed.told.get(uid(pod)) == Some(&text) {
            return Ok(());
        }
        let mut note = Note::new(NAME, pod, "FailedScheduling", text.clone());
        note.warning = true;
        note.action = Some("Scheduling");
        self.plane.events.tell(note);
        let mut conditions = items(pod, "/status/conditions").to_vec();
        let is = ("False", "Unschedulable", text.as_str());
        conditions.retain(|c| c["type"] != "PodScheduled");
        rollout::set_condition(&mut conditions, &self.plane.now(), "PodScheduled", is);
        for condition in &mut conditions {
            if let Some(fields) = condition.as_object_mut() {
                fields.shift_remove("lastUpdateTime");
            }
        }
        let path = format!("{}/status", Kind::Pods.path_of(pod));
        let patch = json!({"status": {"conditions": conditions}});
        let made = self.api.merge(&path, &patch).await?;
        self.plane.cache().observe(Kind::Pods, made);
        placed.told.insert(uid(pod).to_owned(), text);
        Ok(())
    }

    /// Whether all claims exist, and those that do not wait for pods are bound.
    fn check_claims(&self, pod: &Value) -> Result<(), String> {
        for name in claims(pod) {
            let key = key(text(pod, "/metadata/namespace"), &name);
            let Some(claim) = self.plane.cache().get(Kind::Claims, &key) else {
                return Err(format!("persistentvolumeclaim {name:?} not found"));
            };
            if is_leaving(&claim) {
                return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
            }
            if text(&claim, "/spec/volumeName").is_empty() && !self.waits(&claim) {
                return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
            }
        }
        Ok(())
    }

    fn waits(&self, claim: &Value) -> bool {
        let class = text(claim, "/spec/storageClassName");
        let class = self.plane.cache().get(Kind::StorageClasses, class);
        class.is_some_and(|class| text(&class, "/volumeBindingMode") == "WaitForFirstConsumer")
    }

    /// Tells unbound claims the node; whether the pod has to wait for them.
    async fn wait_for_claims(&self, pod: &Value, node: &str) -> Result<bool, ApiError> {
        let mut waits = false;
        for name in claims(pod) {
            let key = key(text(pod, "/metadata/namespace"), &name);
            let Some(claim) = self.plane.cache().get(Kind::Claims, &key) else {
                continue;
            };
            if !text(&claim, "/spec/volumeName").is_empty() {
                continue;
            }
            waits = true;
            let told = claim
                .pointer("/metadata/annotations")
                .is_some_and(|all| all.get(SELECTED).is_some());
            if !told {
                let patch = json!({"metadata": {"annotations": {SELECTED: node}}});
                let made = self
                    .api
                    .merge(&Kind::Claims.path_of(&claim), &patch)
                    .await?;
                self.plane.cache().observe(Kind::Claims, made);
            }
        }
        Ok(waits)
    }

    fn fits(
        &self,
        pod: &Value,
        node: &Value,
        others: &[Arc<Value>],
        nodes: &[Arc<Value>],
        tenants: &HashMap<String, Vec<Arc<Value>>>,
    ) -> Result<(), Refusal> {
        if node.pointer("/spec/unschedulable") == Some(&json!(true))
            && !tolerates(
                pod,
                &json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}),
            )
        {
            return Err(Refusal::firm("node(s) were unschedulable"));
        }
        let untolerated = items(node, "/spec/taints").iter().find(|taint| {
            matches!(text(taint, "/effect"), "NoSchedule" | "NoExecute") && !tolerates(pod, taint)
        });
        if let Some(taint) = untolerated {
            let (key, value) = (text(taint, "/key"), text(taint, "/value"));
            return Err(Refusal::firm(&format!(
                "node(s) had untolerated taint {{{key}: {value}}}"
            )));
        }
        if !chooses(pod, node) {
            return Err(Refusal::firm(
                "node(s) didn't match Pod's node affinity/selector",
            ));
        }
        if has_taken_port(pod, others) {
            return Err(Refusal::crowded(
                "node(s) didn't have free ports for the requested pod ports",
            ));
        }
        room(pod, node, others)?;
        self.check_volumes(pod, node)?;
        keeps_distance(pod, node, nodes, tenants)
    }

    /// Whether the pod's volumes can be reached from a node.
    fn check_volumes(&self, pod: &Value, node: &Value) -> Result<(), Refusal> {
        for name in claims(pod) {
            let key = key(text(pod, "/metadata/namespace"), &name);
            let claim = self.plane.cache().get(Kind::Claims, &key);
            let volume = claim.and_then(|c| {
                self.plane
                    .cache()
                    .get(Kind::Volumes, text(&c, "/spec/volumeName"))
            });
            let required = volume
                .as_ref()
                .and_then(|v| v.pointer("/spec/nodeAffinity/required"));
            if required.is_some_and(|required| !any_term(required, node)) {
                return Err(Refusal::firm("node(s) had volume node affinity conflict"));
            }
        }
        Ok(())
    }
}

/// The names of the claims that a pod mounts.
fn claims(pod: &Value) -> Vec<String> {
    items(pod, "/spec/volumes")
        .iter()
        .filter_map(|volume| {
            let name = text(volume, "/persistentVolumeClaim/claimName");
            if !name.is_empty() {
                return Some(name.to_owned());
            }
            // An ephemeral volume's claim is named after pod and volume.
            volume
                .get("ephemeral")
                .map(|_| format!("{}-{}", text(pod, "/metadata/name"), text(volume, "/name")))
        })
        .collect()
}

fn tolerates(pod: &Value, taint: &Value) -> bool {
    items(pod, "/spec/tolerations").iter().any(|toleration| {
        let effect = text(toleration, "/effect");
        let key = text(toleration, "/key");
        (effect.is_empty() || effect == text(taint, "/effect"))
            && (key.is_empty() || key == text(taint, "/key"))
            && (text(toleration, "/operator") == "Exists"
                || (!key.is_empty() && text(toleration, "/value") == text(taint, "/value")))
    })
}

/// Whether node selector and required node affinity of a pod take a node.
pub(super) fn chooses(pod: &Value, node: &Value) -> bool {
    let labels = node.pointer("/metadata/labels").unwrap_or(&Value::Null);
    if !labels::matches_all(pod.pointer("/spec/nodeSelector"), labels) {
        return false;
    }
    let required = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    pod.pointer(required)
        .is_none_or(|required| any_term(required, node))
}

/// Whether a pod bears the taints of a node, as a pod of a `DaemonSet` has to.
pub(super) fn is_bearable(pod: &Value, node: &Value) -> bool {
    // A node that is not ready gets its pods; they start when it is.
    items(node, "/spec/taints").iter().all(|taint| {
        text(taint, "/effect") == "PreferNoSchedule"
            || text(taint, "/key") == "node.kubernetes.io/not-ready"
            || tolerates(pod, taint)
    })
}

fn any_term(required: &Value, node: &Value) -> bool {
    let labels = node.pointer("/metadata/labels").unwrap_or(&Value::Null);
    let fields = json!({"metadata.name": text(node, "/metadata/name")});
    items(required, "/nodeSelectorTerms").iter().any(|term| {
        let expressions = items(term, "/matchExpressions");
        let by_field = items(term, "/matchFields");
        !(expressions.is_empty() && by_field.is_empty())
            && expressions.iter().all(|e| labels::holds(e, labels))
            && by_field.iter().all(|e| labels::holds(e, &fields))
    })
}

fn host_ports(pod: &Value) -> Vec<i64> {
    items(pod, "/spec/containers")
        .iter()
        .flat_map(|container| items(container, "/ports"))
        .filter_map(|port| port["hostPort"].as_i64())
        .filter(|port| *port > 0)
        .collect()
}

fn has_taken_port(pod: &Value, others: &[Arc<Value>]) -> bool {
    let wanted = host_ports(pod);
    let mut taken = others.iter().flat_map(|other| host_ports(other));
    taken.any(|port| wanted.contains(&port))
}

fn room(pod: &Value, node: &Value, others: &[Arc<Value>]) -> Result<(), Refusal> {
    let has = Amount::of(node.pointer("/status/allocatable"));
    let most = text(node, "/status/allocatable/pods")
        .parse::<usize>()
        .unwrap_or(110);
    if others.len() >= most {
        return Err(Refusal::crowded("Too many pods"));
    }
    let wanted = requests(pod);
    let used = others
        .iter()
        .fold(Amount::default(), |sum, other| sum.plus(requests(other)));
    let refuse = |what: &str, alone: bool| Refusal {
        text: format!("Insufficient {what}"),
        is_crowded: alone,
    };
    if wanted.cpu > 0 && used.cpu + wanted.cpu > has.cpu {
        return Err(refuse("cpu", wanted.cpu <= has.cpu));
    }
    if wanted.memory > 0 && used.memory + wanted.memory > has.memory {
        return Err(refuse("memory", wanted.memory <= has.memory));
    }
    Ok(())
}

/// Required affinity to other pods, and required distance from them.
fn keeps_distance(
    pod: &Value,
    node: &Value,
    nodes: &[Arc<Value>],
    tenants: &HashMap<String, Vec<Arc<Value>>>,
) -> Result<(), Refusal> {
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let near = |term: &Value| {
        let domain = |node: &Value| {
            node.pointer("/metadata/labels")
                .and_then(|labels| labels.get(text(term, "/topologyKey")))
                .cloned()
        };
        let here = domain(node);
        let namespace = text(pod, "/metadata/namespace");
        nodes
            .iter()
            .filter(|other| here.is_some() && domain(other) == here)
            .filter_map(|other| tenants.get(text(other, "/metadata/name")))
            .flatten()
            .any(|other| {
                text(other, "/metadata/namespace") == namespace
                    && labels::selects(term.get("labelSelector"), other)
            })
    };
    let apart = items(pod, &format!("/spec/affinity/podAntiAffinity/{required}"));
    if apart.iter().any(near) {
        return Err(Refusal::crowded(
            "node(s) didn't match pod anti-affinity rules",
        ));
    }
    let together = items(pod, &format!("/spec/affinity/podAffinity/{required}"));
    // The first of a group may be anywhere.
    let lonely = |term: &Value| labels::selects(term.get("labelSelector"), pod);
    if together.iter().any(|term| !near(term) && !lonely(term)) {
        return Err(Refusal::firm("node(s) didn't match pod affinity rules"));
    }
    Ok(())
}

/// The better node comes first: with fewer pods of the same owner, then with
/// more left.
fn rank(pod: &Value, node: &Value, others: &[Arc<Value>]) -> (usize, i64, usize) {
    let owner = controller_of(pod).map(|reference| text(reference, "/uid"));
    let siblings = others
        .iter()
        .filter(|other| owner.is_some() && controller_of(other).map(|r| text(r, "/uid")) == owner)
        .count();
    let has = Amount::of(node.pointer("/status/allocatable"));
    let used = others
        .iter()
        .fold(Amount::default(), |sum, other| sum.plus(requests(other)));
    let share = |used: i64, has: i64| used * 1000 / has.max(1);
    let fill = share(used.cpu, has.cpu) + share(used.memory, has.memory);
    (siblings, fill, others.len())
}

/// The scheduler's sentence about nodes that do not take a pod.
fn explain(nodes: usize, refusals: &[Refusal]) -> String {
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut helpless, mut victimless) = (0, 0);
    for refusal in refusals {
        *reasons.entry(&refusal.text).or_default() += 1;
        if refusal.is_crowded {
            victimless += 1;
        } else {
            helpless += 1;
        }
    }
    let mut parts: Vec<String> = reasons
        .iter()
        .map(|(text, count)| format!("{count} {text}"))
        .collect();
    parts.sort();
    let mut preemption: Vec<String> = [
        (victimless, "No preemption victims found for incoming pod"),
        (helpless, "Preemption is not helpful for scheduling"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, text)| format!("{count} {text}"))
    .collect();
    preemption.sort();
    format!(
        "0/{nodes} nodes are available: {}. no new claims to deallocate, preemption: 0/{nodes} nodes are available: {}.",
        parts.join(", "),
        preemption.join(", ")
    )
}

#[async_trait]
impl Controller for Scheduler {
    fn concerns(&self, news: &News) -> Vec<String> {
        match (news.kind, &news.after) {
            (Kind::Pods, Some(pod)) if Self::is_mine(pod) => vec![news.key.to_string()],
            // Room may have become free.
            (Kind::Pods, None) | (Kind::Nodes | Kind::Claims | Kind::Volumes, _) => self.waiting(),
            (Kind::Pods, Some(pod)) if pods::is_finished(pod) => self.waiting(),
            _ => Vec::new(),
        }
    }

    async fn look(&self, key: &str) -> Result<Again, ApiError> {
        let Some(pod) = self.plane.cache().get(Kind::Pods, key) else {
            return Ok(None);
        };
        if Self::is_mine(&pod) {
            self.place(&pod).await?;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(cpu: &str) -> Value {
        json!({
            "metadata": {"name": "a", "labels": {"kubernetes.io/arch": "arm64"}},
            "status": {"allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "2"}},
        })
    }

    fn pod(cpu: &str) -> Value {
        json!({"spec": {"containers": [{"resources": {"requests": {"cpu": cpu}}}]}})
    }

    #[test]
    fn a_node_takes_what_it_has_room_for() {
        let tenant = Arc::new(pod("600m"));
        let node = node("1");
        assert!(room(&pod("400m"), &node, std::slice::from_ref(&tenant)).is_ok());
        let why = room(&pod("500m"), &node, std::slice::from_ref(&tenant)).unwrap_err();
        assert_eq!(why, Refusal::crowded("Insufficient cpu"));
        let why = room(&pod("0"), &node, &[tenant.clone(), tenant]).unwrap_err();
        assert_eq!(why, Refusal::crowded("Too many pods"));
    }

    #[test]
    fn the_sentence_counts_the_reasons() {
        assert_eq!(explain(0, &[]), "no nodes available to schedule pods");
        let refusals = [
            Refusal::crowded("Insufficient cpu"),
            Refusal::firm("node(s) were unschedulable"),
            Refusal::crowded("Insufficient cpu"),
        ];
        assert_eq!(
            explain(3, &refusals),
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."
        );
    }

    #[test]
    fn selectors_affinities_and_taints_choose_nodes() {
        let node = node("1");
        let with = |spec: Value| json!({ "spec": spec });
        assert!(chooses(
            &with(json!({"nodeSelector": {"kubernetes.io/arch": "arm64"}})),
            &node
        ));
        assert!(!chooses(
            &with(json!({"nodeSelector": {"kubernetes.io/arch": "amd64"}})),
            &node
        ));
        let named = |name: &str| {
            with(json!({"affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}
                ]}
            }}}))
        };
        assert!(chooses(&named("a"), &node) && !chooses(&named("b"), &node));
        let taint = json!({"key": "k", "value": "v", "effect": "NoSchedule"});
        assert!(!tolerates(&with(json!({})), &taint));
        assert!(tolerates(
            &with(json!({"tolerations": [{"operator": "Exists"}]})),
            &taint
        ));
        assert!(!tolerates(
            &with(json!({"tolerations": [{"key": "k", "value": "x"}]})),
            &taint
        ));
    }
}
