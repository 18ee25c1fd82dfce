//! `StatefulSets`: pods with names and volumes of their own, in order.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::queue::{Again, Controller};
use super::{Plane, count, pods, revisions};
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::{Client, News};
use crate::sandbox::kind::{Kind, controller_of, is_leaving, items, key, text, uid};

const NAME: &str = "statefulset-controller";

/// The controller.
pub struct StatefulSets {
    plane: Arc<Plane>,
    client: Client,
}

/// A set and what belongs to it at the moment.
struct Set {
    object: Arc<Value>,
    name: String,
    /// By ordinal.
    pods: Vec<(i64, Arc<Value>)>,
    /// The revision to reach, and the one to leave.
    update: Arc<Value>,
    current: Arc<Value>,
}

impl Set {
    fn pod(&self, ordinal: i64) -> Option<&Arc<Value>> {
        self.pods
            .iter()
            .find(|(at, _)| *at == ordinal)
            .map(|(_, pod)| pod)
    }

    fn is_ordered(&self) -> bool {
        text(&self.object, "/spec/podManagementPolicy") != "Parallel"
    }

    fn first(&self) -> i64 {
        count(&self.object, "/spec/ordinals/start", 0)
    }

    fn end(&self) -> i64 {
        self.first() + count(&self.object, "/spec/replicas", 1)
    }

    fn partition(&self) -> i64 {
        count(
            &self.object,
            "/spec/updateStrategy/rollingUpdate/partition",
            0,
        )
    }

    fn is_updated(&self, pod: &Value) -> bool {
        revisions::hash(pod) == text(&self.update, "/metadata/name")
    }
}

/// What a set's next step is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Create(i64),
    Delete(i64),
}

/// The next steps. Pods are looked at as (ordinal, leaving, ended, healthy,
/// updated).
fn steps(
    range: std::ops::Range<i64>,
    ordered: bool,
    partition: Option<i64>,
    pods: &[(i64, bool, bool, bool, bool)],
) -> Vec<Step> {
    let find = |ordinal: i64| pods.iter().find(|pod| pod.0 == ordinal);
    let mut steps = Vec::new();
    for ordinal in range.clone() {
        match find(ordinal) {
            None => steps.push(Step::Create(ordinal)),
            Some((_, leaving, ended, healthy, _)) => {
                if *ended && !leaving {
                    steps.push(Step::Delete(ordinal));
                } else if *healthy && !leaving {
                    continue;
                }
            }
        }
        if ordered {
            return steps;
        }
    }
    let mut surplus: Vec<_> = pods.iter().filter(|pod| !range.contains(&pod.0)).collect();
    surplus.sort_by_key(|pod| std::cmp::Reverse(pod.0));
    for (ordinal, leaving, ..) in surplus {
        if !leaving {
            steps.push(Step::Delete(*ordinal));
        }
        if ordered {
            return steps;
        }
    }
    let Some(partition) = partition else {
        return steps;
    };
    for ordinal in range.rev().take_while(|ordinal| *ordinal >= partition) {
        match find(ordinal) {
            Some((_, false, _, _, false)) => {
                let step = Step::Delete(ordinal);
                if !steps.contains(&step) {
                    steps.push(step);
                }
                return steps;
            }
            // One at a time: the next waits until this one is well again.
            Some((_, false, _, true, true)) => {}
            _ => return steps,
        }
    }
    steps
}

impl StatefulSets {
    /// The controller of a plane.
    pub fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            client: plane.client.as_controller(NAME),
        }
    }

    async fn read(&self, object: Arc<Value>) -> Result<Set, ApiError> {
        let name = text(&object, "/metadata/name").to_owned();
        let namespace = text(&object, "/metadata/namespace");
        let prefix = format!("{name}-");
        let mut own: Vec<_> = self
            .plane
            .cache()
            .list(Kind::Pods, namespace)
            .into_iter()
            .filter(|pod| pods::is_owned_by(pod, uid(&object)))
            .filter_map(|pod| {
                let ordinal = text(&pod, "/metadata/name").strip_prefix(&prefix)?;
                Some((ordinal.parse().ok()?, pod))
            })
            .collect();
        own.sort_by_key(|(ordinal, _)| *ordinal);
        let update = revisions::present(&self.client, Kind::StatefulSets, &object).await?;
        let current = text(&object, "/status/currentRevision");
        let current = self
            .plane
            .cache()
            .get(Kind::Revisions, &key(namespace, current))
            .unwrap_or_else(|| update.clone());
        Ok(Set {
            object,
            name,
            pods: own,
            update,
            current,
        })
    }

    fn is_healthy(&self, set: &Set, pod: &Value) -> bool {
        let seconds = count(&set.object, "/spec/minReadySeconds", 0);
        text(pod, "/status/phase") == "Running"
            && pods::availability(&self.plane, pod, seconds).is_ok()
    }

    fn claim_name(template: &Value, set: &str, ordinal: i64) -> String {
        format!("{}-{set}-{ordinal}", text(template, "/metadata/name"))
    }

    async fn create(&self, set: &Set, ordinal: i64) -> Result<(), ApiError> {
        let object = &set.object;
        let namespace = text(object, "/metadata/namespace");
        let name = format!("{}-{ordinal}", set.name);
        for template in items(object, "/spec/volumeClaimTemplates") {
            let claim_name = Self::claim_name(template, &set.name, ordinal);
            if self
                .plane
                .cache()
                .get(Kind::Claims, &key(namespace, &claim_name))
                .is_some()
            {
                continue;
            }
            let mut claim = json!({
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {
                    "name": claim_name,
                    "namespace": namespace,
                    "labels": object.pointer("/spec/selector/matchLabels").cloned().unwrap_or(json!({})),
                },
                "spec": template["spec"],
            });
            let labels = template
                .pointer("/metadata/labels")
                .and_then(Value::as_object);
            for (key, value) in labels.into_iter().flatten() {
                claim["metadata"]["labels"][key] = value.clone();
            }
            if let Some(annotations) = template.pointer("/metadata/annotations") {
                claim["metadata"]["annotations"] = annotations.clone();
            }
            match self.client.create(Kind::Claims, &claim).await {
                Err(error) if error.is_conflict() => {}
                made => {
                    made?;
                    let message = format!(
                        "create Claim {claim_name} Pod {name} in StatefulSet {} success",
                        set.name
                    );
                    self.plane
                        .events
                        .normal(NAME, object, "SuccessfulCreate", message);
                }
            }
        }
        let revision = if ordinal < set.first() + set.partition() {
            &set.current
        } else {
            &set.update
        };
        let template = revision.pointer("/data/spec/template");
        let template = template.unwrap_or(&object["spec"]["template"]);
        let mut pod = pods::from_template(Kind::StatefulSets, object, template);
        pod["metadata"]["name"] = json!(name);
        let labels = &mut pod["metadata"]["labels"];
        labels[revisions::HASH] = json!(text(revision, "/metadata/name"));
        labels["statefulset.kubernetes.io/pod-name"] = json!(name);
        labels["apps.kubernetes.io/pod-index"] = json!(ordinal.to_string());
        pod["spec"]["hostname"] = json!(name);
        pod["spec"]["subdomain"] = json!(text(object, "/spec/serviceName"));
        let mut volumes: Vec<Value> = items(&pod, "/spec/volumes").to_vec();
        for template in items(object, "/spec/volumeClaimTemplates") {
            let volume = text(template, "/metadata/name");
            volumes.retain(|other| text(other, "/name") != volume);
            volumes.push(json!({
                "name": volume,
                "persistentVolumeClaim": {
                    "claimName": Self::claim_name(template, &set.name, ordinal),
                },
            }));
        }
        if !volumes.is_empty() {
            pod["spec"]["volumes"] = json!(volumes);
        }
        let made = self.client.create(Kind::Pods, &pod).await;
        let (warning, result) = match &made {
            Ok(_) => (false, "successful".to_owned()),
            Err(error) => (true, format!("failed error: {}", error.message())),
        };
        let message = format!("create Pod {name} in StatefulSet {} {result}", set.name);
        if warning {
            self.plane
                .events
                .warning(NAME, object, "FailedCreate", message);
        } else {
            self.plane
                .events
                .normal(NAME, object, "SuccessfulCreate", message);
        }
        made.map(drop)
    }

    async fn delete(&self, set: &Set, ordinal: i64) -> Result<(), ApiError> {
        let Some(pod) = set.pod(ordinal) else {
            return Ok(());
        };
        self.client.delete(Kind::Pods, pod).await?;
        let message = format!(
            "delete Pod {}-{ordinal} in StatefulSet {} successful",
            set.name, set.name
        );
        self.plane
            .events
            .normal(NAME, &set.object, "SuccessfulDelete", message);
        Ok(())
    }

    async fn report(&self, key: &str) -> Result<(), ApiError> {
        let Some(object) = self.plane.cache().get(Kind::StatefulSets, key) else {
            return Ok(());
        };
        let set = self.read(object.clone()).await?;
        let current = text(&set.current, "/metadata/name");
        let own = || set.pods.iter().map(|(_, pod)| pod);
        let number = |is: &dyn Fn(&Value) -> bool| own().filter(|pod| is(pod)).count();
        let alive = |pod: &Value| !is_leaving(pod);
        let replicas = own().count();
        let updated = number(&|pod| alive(pod) && set.is_updated(pod));
        let available = number(&|pod| alive(pod) && self.is_healthy(&set, pod));
        let mut on_current = number(&|pod| alive(pod) && revisions::hash(pod) == current);
        let update = text(&set.update, "/metadata/name");
        let wanted = usize::try_from(count(&object, "/spec/replicas", 1)).unwrap_or_default();
        let ready = number(&|pod| pods::is_ready(pod));
        let done = updated == wanted && replicas == wanted && ready == wanted;
        let current = if done { update } else { current };
        if done {
            on_current = updated;
        }
        let mut status = json!({
            "observedGeneration": count(&object, "/metadata/generation", 1),
            "replicas": replicas,
            "readyReplicas": ready,
            "currentReplicas": on_current,
            "updatedReplicas": updated,
            "currentRevision": current,
            "updateRevision": update,
            "collisionCount": count(&object, "/status/collisionCount", 0),
            "availableReplicas": available,
        });
        if let Some(fields) = status.as_object_mut() {
            for field in ["readyReplicas", "currentReplicas", "updatedReplicas"] {
                if fields.get(field) == Some(&json!(0)) {
                    fields.shift_remove(field);
                }
            }
        }
        self.client
            .set_status(Kind::StatefulSets, &object, status)
            .await?;
        if done {
            let mut used = vec![update.to_owned(), current.to_owned()];
            used.extend(own().map(|pod| revisions::hash(pod).to_owned()));
            revisions::clean(&self.client, &object, &used).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Controller for StatefulSets {
    fn concerns(&self, news: &News) -> Vec<String> {
        let owner = |object: &Value| {
            controller_of(object)
                .filter(|reference| reference["kind"] == "StatefulSet")
                .map(|reference| {
                    key(
                        text(object, "/metadata/namespace"),
                        text(reference, "/name"),
                    )
                })
        };
        match news.kind {
            Kind::StatefulSets => vec![news.key.to_string()],
            Kind::Pods => news.object().and_then(owner).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    async fn look(&self, key: &str) -> Result<Again, ApiError> {
        let Some(object) = self.plane.cache().get(Kind::StatefulSets, key) else {
            return Ok(None);
        };
        if !is_leaving(&object) {
            let set = self.read(object.clone()).await?;
            let seen: Vec<_> = set
                .pods
                .iter()
                .map(|(ordinal, pod)| {
                    (
                        *ordinal,
                        is_leaving(pod),
                        pods::is_finished(pod),
                        self.is_healthy(&set, pod),
                        set.is_updated(pod),
                    )
                })
                .collect();
            let rolls = text(&object, "/spec/updateStrategy/type") != "OnDelete";
            let partition = rolls.then(|| set.first() + set.partition());
            for step in steps(set.first()..set.end(), set.is_ordered(), partition, &seen) {
                match step {
                    Step::Create(ordinal) => self.create(&set, ordinal).await?,
                    Step::Delete(ordinal) => self.delete(&set, ordinal).await?,
                }
            }
        }
        self.report(key).await?;
        let seconds = count(&object, "/spec/minReadySeconds", 0);
        Ok((seconds > 0)
            .then(|| std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: (i64, bool, bool, bool, bool) = (0, false, false, true, true);

    fn at(ordinal: i64, mut pod: (i64, bool, bool, bool, bool)) -> (i64, bool, bool, bool, bool) {
        pod.0 = ordinal;
        pod
    }

    #[test]
    fn pods_come_one_by_one_or_all_at_once() {
        assert_eq!(steps(0..3, true, Some(0), &[]), [Step::Create(0)]);
        assert_eq!(steps(0..2, false, Some(0), &[]).len(), 2);
        let starting = (0, false, false, false, true);
        assert_eq!(steps(0..3, true, Some(0), &[starting]), []);
        assert_eq!(steps(0..3, true, Some(0), &[WELL]), [Step::Create(1)]);
        let failed = (0, false, true, false, true);
        assert_eq!(steps(0..3, true, Some(0), &[failed]), [Step::Delete(0)]);
    }

    #[test]
    fn surplus_goes_from_the_end() {
        let all = [at(0, WELL), at(1, WELL), at(2, WELL)];
        assert_eq!(steps(0..1, true, Some(0), &all), [Step::Delete(2)]);
        let leaving = [at(0, WELL), at(1, (0, true, false, true, true))];
        assert_eq!(steps(0..1, true, Some(0), &leaving), []);
    }

    #[test]
    fn an_update_goes_down_to_the_partition_one_at_a_time() {
        let old = (0, false, false, true, false);
        let all = [at(0, old), at(1, old), at(2, WELL)];
        assert_eq!(steps(0..3, true, Some(0), &all), [Step::Delete(1)]);
        assert_eq!(steps(0..3, true, Some(2), &all), []);
        assert_eq!(steps(0..3, true, None, &all), []);
    }
}
