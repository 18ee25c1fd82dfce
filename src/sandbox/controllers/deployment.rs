//! Deployments: a `ReplicaSet` for each form of the template, and the paced way
//! from one to the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::queue::{Again, Controller};
use super::rollout::{self, Bounds, Size};
use super::{Plane, count, labels, pods};
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::{Client, News};
use crate::sandbox::kind::{Kind, controller_of, is_leaving, items, key, text, uid};

const NAME: &str = "deployment-controller";
const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const HASH: &str = "pod-template-hash";
/// On a fast clock the machine is no faster: no rollout fails earlier than
/// this in real time.
const PATIENCE: Duration = Duration::from_secs(12);

/// The controller.
pub struct Deployments {
    plane: Arc<Plane>,
    client: Client,
    /// When each Deployment, by uid, last made a step.
    steps: Mutex<HashMap<String, Duration>>,
}

/// A Deployment's sets.
struct Sets {
    new: Option<Arc<Value>>,
    /// Oldest first.
    old: Vec<Arc<Value>>,
    /// Whether the new one was made just now.
    is_fresh: bool,
}

impl Sets {
    fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.old.iter().chain(&self.new)
    }

    fn old_sizes(&self) -> Vec<Size> {
        self.old.iter().map(|set| Size::of(set)).collect()
    }
}

fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    object
        .pointer("/metadata/annotations")
        .and_then(|all| all.get(name))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn revision(set: &Value) -> i64 {
    annotation(set, REVISION).parse().unwrap_or_default()
}

/// The template without the label that tells sets apart.
fn essence(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.shift_remove(HASH);
    }
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("creationTimestamp");
    }
    template
}

impl Deployments {
    /// The controller of a plane.
    pub fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            client: plane.client.as_controller(NAME),
            steps: Mutex::default(),
        }
    }

    async fn sets(&self, deployment: &Value) -> Result<Sets, ApiError> {
        let namespace = text(deployment, "/metadata/namespace");
        let mut own = Vec::new();
        for set in self.plane.cache().list(Kind::ReplicaSets, namespace) {
            if pods::is_owned_by(&set, uid(deployment)) {
                own.push(set);
            } else if controller_of(&set).is_none()
                && !is_leaving(&set)
                && labels::selects(deployment.pointer("/spec/selector"), &set)
            {
                let patch = json!({"metadata": {
                    "uid": uid(&set),
                    "ownerReferences": [pods::reference(Kind::Deployments, deployment)],
                }});
                own.push(self.client.merge(Kind::ReplicaSets, &set, &patch).await?);
            }
        }
        own.sort_by_key(|set| {
            (
                text(set, "/metadata/creationTimestamp").to_owned(),
                revision(set),
            )
        });
        let wanted = deployment.pointer("/spec/template").map(essence);
        let at = own
            .iter()
            .position(|set| set.pointer("/spec/template").map(essence) == wanted);
        let new = at.map(|at| own.remove(at));
        Ok(Sets {
            new,
            old: own,
            is_fresh: false,
        })
    }

    /// The annotations of the new set: the Deployment's, and the rollout's.
    fn annotations(deployment: &Value, set: Option<&Value>, next: i64) -> Map<String, Value> {
        let own = |key: &str| key.starts_with("deployment.kubernetes.io/") || key == LAST_APPLIED;
        let given = deployment
            .pointer("/metadata/annotations")
            .and_then(Value::as_object);
        let mut all: Map<String, Value> = given
            .into_iter()
            .flatten()
            .filter(|(key, _)| !own(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let bounds = Bounds::of(deployment);
        let mut put = |key: &str, value: String| all.insert(key.to_owned(), json!(value));
        put(DESIRED, bounds.replicas.to_string());
        put(MOST, bounds.most().to_string());
        let held = set.map(revision).unwrap_or_default();
        put(REVISION, held.max(next).to_string());
        if let Some(set) = set {
            let mut history: Vec<&str> = annotation(set, HISTORY)
                .split(',')
                .filter(|r| !r.is_empty())
                .collect();
            let held = held.to_string();
            if held != "0" && held != next.to_string() && revision(set) < next {
                history.push(&held);
            }
            if !history.is_empty() {
                put(HISTORY, history.join(","));
            }
        }
        all
    }

    /// The set of the present template, made or brought up to date.
    async fn ensure_new(&self, deployment: &Value, sets: &mut Sets) -> Result<(), ApiError> {
        let next = sets.old.iter().map(|set| revision(set)).max().unwrap_or(0) + 1;
        let annotations = Self::annotations(deployment, sets.new.as_deref(), next);
        if let Some(set) = &sets.new {
            let differs = annotations
                .iter()
                .any(|(key, value)| annotation(set, key) != value);
            if differs {
                let patch = json!({"metadata": {"annotations": annotations}});
                sets.new = Some(self.client.merge(Kind::ReplicaSets, set, &patch).await?);
            }
        } else {
            sets.new = Some(self.make(deployment, sets, annotations).await?);
            sets.is_fresh = true;
        }
        if let Some(set) = &sets.new
            && annotation(deployment, REVISION) != annotation(set, REVISION)
        {
            // With the status, which does not count as a change of what is wanted.
            let mut noted = deployment.clone();
            noted["metadata"]["annotations"][REVISION] = json!(annotation(set, REVISION));
            let path = format!("{}/status", Kind::Deployments.path_of(&noted));
            let noted = self.client.api.update(&path, &noted).await?;
            self.client.cache.observe(Kind::Deployments, noted);
        }
        Ok(())
    }

    async fn make(
        &self,
        deployment: &Value,
        sets: &Sets,
        annotations: Map<String, Value>,
    ) -> Result<Arc<Value>, ApiError> {
        let template = deployment.pointer("/spec/template").unwrap_or(&Value::Null);
        let hash = pods::hash(
            &essence(template),
            count(deployment, "/status/collisionCount", 0),
        );
        let mut template = template.clone();
        template["metadata"]["labels"][HASH] = json!(hash);
        let mut selector = deployment
            .pointer("/spec/selector")
            .cloned()
            .unwrap_or_default();
        selector["matchLabels"][HASH] = json!(hash);
        let none = Size {
            wanted: 0,
            available: 0,
        };
        let size = rollout::grow(Bounds::of(deployment), none, &sets.old_sizes());
        let name = format!("{}-{hash}", text(deployment, "/metadata/name"));
        let set = json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": name,
                "namespace": text(deployment, "/metadata/namespace"),
                "labels": template["metadata"]["labels"],
                "annotations": annotations,
                "ownerReferences": [pods::reference(Kind::Deployments, deployment)],
            },
            "spec": {
                "replicas": size,
                "minReadySeconds": count(deployment, "/spec/minReadySeconds", 0),
                "selector": selector,
                "template": template,
            },
        });
        let made = match self.client.create(Kind::ReplicaSets, &set).await {
            Err(error) if error.is_conflict() => {
                // Another template has the same hash: the next try has another.
                let collisions = count(deployment, "/status/collisionCount", 0) + 1;
                let mut status = deployment.get("status").cloned().unwrap_or_default();
                status["collisionCount"] = json!(collisions);
                self.client
                    .set_status(Kind::Deployments, deployment, status)
                    .await?;
                return Err(error);
            }
            made => made?,
        };
        if size > 0 {
            self.plane.events.normal(
                NAME,
                deployment,
                "ScalingReplicaSet",
                format!("Scaled up replica set {name} from 0 to {size}"),
            );
        }
        Ok(made)
    }

    async fn resize(
        &self,
        deployment: &Value,
        set: &mut Arc<Value>,
        size: i64,
    ) -> Result<(), ApiError> {
        let before = count(set, "/spec/replicas", 0);
        let bounds = Bounds::of(deployment);
        let annotations = json!({
            DESIRED: bounds.replicas.to_string(),
            MOST: bounds.most().to_string(),
        });
        let noted = annotation(set, DESIRED) == annotations[DESIRED]
            && annotation(set, MOST) == annotations[MOST];
        if before == size && noted {
            return Ok(());
        }
        let patch = json!({"metadata": {"annotations": annotations}, "spec": {"replicas": size}});
        *set = self.client.merge(Kind::ReplicaSets, set, &patch).await?;
        if before != size {
            let way = if size > before { "up" } else { "down" };
            let name = text(set, "/metadata/name");
            self.plane.events.normal(
                NAME,
                deployment,
                "ScalingReplicaSet",
                format!("Scaled {way} replica set {name} from {before} to {size}"),
            );
        }
        Ok(())
    }

    async fn roll(&self, deployment: &Value, sets: &mut Sets) -> Result<(), ApiError> {
        let bounds = Bounds::of(deployment);
        let old_sizes = sets.old_sizes();
        let Some(new) = &mut sets.new else {
            return Ok(());
        };
        let size = rollout::grow(bounds, Size::of(new), &old_sizes);
        self.resize(deployment, new, size).await?;
        let sizes = rollout::shrink(bounds, Size::of(new), &old_sizes);
        for (set, size) in sets.old.iter_mut().zip(sizes) {
            if count(set, "/spec/replicas", 0) != size {
                self.resize(deployment, set, size).await?;
            }
        }
        Ok(())
    }

    async fn recreate(&self, deployment: &Value, sets: &mut Sets) -> Result<(), ApiError> {
        for set in &mut sets.old {
            if count(set, "/spec/replicas", 0) > 0 {
                self.resize(deployment, set, 0).await?;
            }
        }
        let namespace = text(deployment, "/metadata/namespace");
        let still = self.plane.cache().list(Kind::Pods, namespace);
        let still = still.iter().any(|pod| {
            !pods::is_finished(pod) && sets.old.iter().any(|set| pods::is_owned_by(pod, uid(set)))
        });
        if still {
            return Ok(());
        }
        self.ensure_new(deployment, sets).await?;
        let replicas = Bounds::of(deployment).replicas;
        match &mut sets.new {
            Some(new) => self.resize(deployment, new, replicas).await,
            None => Ok(()),
        }
    }

    /// Changes sizes after a change of the total, without any roll-out.
    async fn scale(&self, deployment: &Value, sets: &mut Sets) -> Result<(), ApiError> {
        let bounds = Bounds::of(deployment);
        let mut active: Vec<&mut Arc<Value>> = sets
            .old
            .iter_mut()
            .chain(&mut sets.new)
            .filter(|set| count(set, "/spec/replicas", 0) > 0)
            .collect();
        if let [only] = active.as_mut_slice() {
            return self.resize(deployment, only, bounds.replicas).await;
        }
        if active.is_empty() {
            let latest = sets.new.as_mut().or(sets.old.last_mut());
            return match latest {
                Some(set) => self.resize(deployment, set, bounds.replicas).await,
                None => Ok(()),
            };
        }
        let sizes: Vec<i64> = active
            .iter()
            .map(|set| count(set, "/spec/replicas", 0))
            .collect();
        for (set, size) in active.into_iter().zip(rollout::spread(bounds, &sizes)) {
            self.resize(deployment, set, size).await?;
        }
        Ok(())
    }

    fn status(&self, deployment: &Value, sets: &Sets) -> (Value, Again) {
        let sum = |field: &str| -> i64 { sets.all().map(|set| count(set, field, 0)).sum() };
        let replicas = sum("/status/replicas");
        let available = sum("/status/availableReplicas");
        let wanted = sets
            .all()
            .map(|set| count(set, "/spec/replicas", 0))
            .sum::<i64>();
        let updated = sets
            .new
            .as_ref()
            .map_or(0, |set| count(set, "/status/replicas", 0));
        let mut status = json!({
            "observedGeneration": count(deployment, "/metadata/generation", 1),
        });
        for (field, value) in [
            ("replicas", replicas),
            ("updatedReplicas", updated),
            ("readyReplicas", sum("/status/readyReplicas")),
            ("availableReplicas", available),
            ("unavailableReplicas", (wanted - available).max(0)),
        ] {
            if value > 0 {
                status[field] = json!(value);
            }
        }
        if let Some(collisions) = deployment.pointer("/status/collisionCount") {
            status["collisionCount"] = collisions.clone();
        }
        let now = self.plane.now();
        let mut conditions = items(deployment, "/status/conditions").to_vec();
        let enough = available >= Bounds::of(deployment).least();
        rollout::set_available(&mut conditions, &now, enough);
        let failure = sets
            .all()
            .find_map(|set| crate::sandbox::kind::condition(set, "ReplicaFailure").cloned());
        match failure {
            Some(failure) => rollout::set_condition(
                &mut conditions,
                &now,
                "ReplicaFailure",
                (
                    "True",
                    text(&failure, "/reason"),
                    text(&failure, "/message"),
                ),
            ),
            None => conditions.retain(|c| c["type"] != "ReplicaFailure"),
        }
        let again = self.progress(deployment, sets, &status, &mut conditions);
        status["conditions"] = json!(conditions);
        (status, again)
    }

    /// The `Progressing` condition, and when it must be looked at again.
    fn progress(
        &self,
        deployment: &Value,
        sets: &Sets,
        status: &Value,
        conditions: &mut Vec<Value>,
    ) -> Again {
        let now = self.plane.now();
        let set = |conditions: &mut Vec<Value>, is: (&str, &str, &str)| {
            rollout::set_condition(conditions, &now, "Progressing", is);
        };
        let reason = rollout::progress_reason(deployment);
        if deployment.pointer("/spec/paused") == Some(&json!(true)) {
            if reason != "DeploymentPaused" {
                set(
                    conditions,
                    ("Unknown", "DeploymentPaused", "Deployment is paused"),
                );
            }
            return None;
        }
        let limit = deployment
            .pointer("/spec/progressDeadlineSeconds")
            .and_then(Value::as_u64)?;
        let name = sets.new.as_ref().map_or("", |s| text(s, "/metadata/name"));
        let counts_match = count(status, "/replicas", 0) == count(status, "/updatedReplicas", 0);
        if counts_match && reason == "NewReplicaSetAvailable" {
            self.stepped(deployment);
            return None;
        }
        let old = deployment.get("status").unwrap_or(&Value::Null);
        let message = |what: &str| {
            if name.is_empty() {
                format!(
                    "Deployment {:?} has {what}",
                    text(deployment, "/metadata/name")
                )
            } else {
                format!("ReplicaSet {name:?} {what}")
            }
        };
        if rollout::is_complete(deployment, status) {
            let done = message("has successfully progressed.");
            set(conditions, ("True", "NewReplicaSetAvailable", &done));
            self.stepped(deployment);
            return None;
        }
        if reason == "NewReplicaSetAvailable" {
            // What was complete has all its time, however long ago that was.
            self.stepped(deployment);
        }
        // Whatever became of the form before: this one has its own time.
        if reason.is_empty() || sets.is_fresh {
            self.stepped(deployment);
            let made = format!("Created new replica set {name:?}");
            set(conditions, ("True", "NewReplicaSetCreated", &made));
        } else if reason == "DeploymentPaused" {
            self.stepped(deployment);
            let resumed = ("Unknown", "DeploymentResumed", "Deployment is resumed");
            set(conditions, resumed);
        } else if rollout::has_progressed(old, status) {
            self.stepped(deployment);
            let going = message("is progressing.");
            // The time of the last step is what kubectl shows.
            if reason == "ReplicaSetUpdated" {
                for condition in conditions.iter_mut().filter(|c| c["type"] == "Progressing") {
                    condition["lastUpdateTime"] = json!(now);
                    condition["message"] = json!(going);
                }
            } else {
                set(conditions, ("True", "ReplicaSetUpdated", &going));
            }
        }
        let limit = Duration::from_secs(limit).max(PATIENCE.mul_f64(self.plane.clock().rate()));
        let passed = self.since_step(deployment);
        if reason == "ProgressDeadlineExceeded" && !sets.is_fresh {
            return None;
        }
        if passed >= limit {
            let late = message("has timed out progressing.");
            set(conditions, ("False", "ProgressDeadlineExceeded", &late));
            return None;
        }
        Some(limit.saturating_sub(passed))
    }

    fn stepped(&self, deployment: &Value) {
        let now = self.plane.clock().elapsed();
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.insert(uid(deployment).to_owned(), now);
    }

    fn since_step(&self, deployment: &Value) -> Duration {
        let now = self.plane.clock().elapsed();
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let step = *steps.entry(uid(deployment).to_owned()).or_insert(now);
        now.saturating_sub(step)
    }

    /// Deletes sets beyond the history limit, oldest first.
    async fn clean(&self, deployment: &Value, sets: &Sets) -> Result<(), ApiError> {
        let kept = usize::try_from(count(deployment, "/spec/revisionHistoryLimit", 10));
        let surplus = sets.old.len().saturating_sub(kept.unwrap_or(10));
        let mut old: Vec<_> = sets.old.iter().collect();
        old.sort_by_key(|set| revision(set));
        for set in old.into_iter().take(surplus) {
            let empty = count(set, "/spec/replicas", 0) == 0
                && count(set, "/status/replicas", 0) == 0
                && !is_leaving(set);
            if empty {
                self.client.delete(Kind::ReplicaSets, set).await?;
            }
        }
        Ok(())
    }

    fn total_changed(deployment: &Value, sets: &Sets) -> bool {
        let wanted = count(deployment, "/spec/replicas", 1).to_string();
        sets.all()
            .filter(|set| count(set, "/spec/replicas", 0) > 0)
            .map(|set| annotation(set, DESIRED))
            .any(|desired| !desired.is_empty() && desired != wanted)
    }
}

#[async_trait]
impl Controller for Deployments {
    fn concerns(&self, news: &News) -> Vec<String> {
        let Some(object) = news.object() else {
            return Vec::new();
        };
        let namespace = text(object, "/metadata/namespace");
        match news.kind {
            Kind::Deployments => vec![news.key.to_string()],
            Kind::ReplicaSets => controller_of(object)
                .filter(|reference| reference["kind"] == "Deployment")
                .map(|reference| key(namespace, text(reference, "/name")))
                .into_iter()
                .collect(),
            // A recreated Deployment waits for the end of its old pods.
            Kind::Pods if news.after.is_none() => {
                let set = controller_of(object)
                    .map(|reference| key(namespace, text(reference, "/name")))
                    .and_then(|key| self.plane.cache().get(Kind::ReplicaSets, &key));
                set.iter()
                    .filter_map(|set| controller_of(set))
                    .map(|reference| key(namespace, text(reference, "/name")))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    async fn look(&self, key: &str) -> Result<Again, ApiError> {
        let Some(deployment) = self.plane.cache().get(Kind::Deployments, key) else {
            return Ok(None);
        };
        let mut sets = self.sets(&deployment).await?;
        let paused = deployment.pointer("/spec/paused") == Some(&json!(true));
        if !is_leaving(&deployment) {
            if paused || Self::total_changed(&deployment, &sets) {
                self.scale(&deployment, &mut sets).await?;
            } else if deployment.pointer("/spec/strategy/type") == Some(&json!("Recreate")) {
                self.recreate(&deployment, &mut sets).await?;
            } else {
                self.ensure_new(&deployment, &mut sets).await?;
                self.roll(&deployment, &mut sets).await?;
            }
        }
        let latest = self.plane.cache().get(Kind::Deployments, key);
        let Some(latest) = latest.filter(|l| uid(l) == uid(&deployment)) else {
            return Ok(None);
        };
        let (mut status, again) = self.status(&latest, &sets);
        // What was looked at is what is answered for.
        status["observedGeneration"] = json!(count(&deployment, "/metadata/generation", 1));
        let complete = rollout::is_complete(&latest, &status);
        self.client
            .set_status(Kind::Deployments, &latest, status)
            .await?;
        if complete && !paused {
            self.clean(&latest, &sets).await?;
        }
        Ok(again)
    }
}
