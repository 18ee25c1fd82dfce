//! `DaemonSets`: a pod on every node that fits.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::queue::{Again, Controller};
use super::{Plane, count, pods, revisions, scheduler};
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::{Client, News};
use crate::sandbox::kind::{Kind, is_leaving, items, key_of, text, uid};

const NAME: &str = "daemon-set-controller";
const SOURCE: &str = "daemonset-controller";

/// What the pods of `DaemonSets` bear, in addition to what they say.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// The controller.
pub struct DaemonSets {
    plane: Arc<Plane>,
    client: Client,
}

impl DaemonSets {
    /// The controller of a plane.
    pub fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            client: plane.client.as_controller(NAME),
        }
    }

    fn pods(&self, set: &Value) -> Vec<Arc<Value>> {
        self.plane
            .cache()
            .list(Kind::Pods, text(set, "/metadata/namespace"))
            .into_iter()
            .filter(|pod| pods::is_owned_by(pod, uid(set)))
            .collect()
    }

    /// The nodes that shall have a pod.
    fn nodes(&self, template: &Value) -> Vec<String> {
        let pod = json!({"spec": template["spec"]});
        self.plane
            .cache()
            .list(Kind::Nodes, "")
            .iter()
            .filter(|node| scheduler::chooses(&pod, node))
            .filter(|node| scheduler::is_bearable(&pod, node))
            .map(|node| text(node, "/metadata/name").to_owned())
            .collect()
    }

    async fn create(
        &self,
        set: &Value,
        template: &Value,
        hash: &str,
        node: &str,
    ) -> Result<(), ApiError> {
        let mut pod = pods::from_template(Kind::DaemonSets, set, template);
        pod["metadata"]["generateName"] = json!(format!("{}-", text(set, "/metadata/name")));
        pod["metadata"]["labels"][revisions::HASH] = json!(hash);
        pod["metadata"]["labels"]["pod-template-generation"] =
            json!(count(set, "/metadata/generation", 1).to_string());
        pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
            "nodeSelectorTerms": [{
                "matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}],
            }],
        });
        let made = self.client.create(Kind::Pods, &pod).await;
        match &made {
            Ok(pod) => {
                let message = format!("Created pod: {}", text(pod, "/metadata/name"));
                self.plane
                    .events
                    .normal(SOURCE, set, "SuccessfulCreate", message);
            }
            Err(error) => {
                let message = format!("Error creating: {}", error.message());
                self.plane
                    .events
                    .warning(SOURCE, set, "FailedCreate", message);
            }
        }
        made.map(drop)
    }

    async fn delete(&self, set: &Value, pod: &Value) -> Result<(), ApiError> {
        self.client.delete(Kind::Pods, pod).await?;
        let message = format!("Deleted pod: {}", text(pod, "/metadata/name"));
        self.plane
            .events
            .normal(SOURCE, set, "SuccessfulDelete", message);
        Ok(())
    }

    /// Deletes as many outdated pods as may be missing.
    async fn roll(&self, set: &Value, wanted: usize, hash: &str) -> Result<(), ApiError> {
        if text(set, "/spec/updateStrategy/type") == "OnDelete" {
            return Ok(());
        }
        let limit = set.pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable");
        let total = i64::try_from(wanted).unwrap_or(i64::MAX);
        let limit = pods::scaled(limit.or(Some(&json!(1))), total, true).max(1);
        let all = self.pods(set);
        let seconds = count(set, "/spec/minReadySeconds", 0);
        let available = all
            .iter()
            .filter(|pod| !is_leaving(pod))
            .filter(|pod| pods::availability(&self.plane, pod, seconds).is_ok())
            .count();
        let mut may_go = limit - (total - i64::try_from(available).unwrap_or_default());
        for pod in all {
            if is_leaving(&pod) || revisions::hash(&pod) == hash {
                continue;
            }
            // What does not serve is no loss.
            if pods::availability(&self.plane, &pod, seconds).is_ok() {
                if may_go <= 0 {
                    continue;
                }
                may_go -= 1;
            }
            self.delete(set, &pod).await?;
        }
        Ok(())
    }

    async fn report(&self, key: &str, nodes: &[String], hash: &str) -> Result<(), ApiError> {
        let Some(set) = self.plane.cache().get(Kind::DaemonSets, key) else {
            return Ok(());
        };
        let seconds = count(&set, "/spec/minReadySeconds", 0);
        let (mut scheduled, mut misplaced, mut ready, mut available, mut updated) = (0, 0, 0, 0, 0);
        for pod in self.pods(&set) {
            if !pods::is_active(&pod) {
                continue;
            }
            if !nodes.iter().any(|node| node == target(&pod)) {
                misplaced += 1;
                continue;
            }
            scheduled += 1;
            ready += i64::from(pods::is_ready(&pod));
            available += i64::from(pods::availability(&self.plane, &pod, seconds).is_ok());
            updated += i64::from(revisions::hash(&pod) == hash);
        }
        let desired = i64::try_from(nodes.len()).unwrap_or_default();
        let mut status = json!({
            "currentNumberScheduled": scheduled,
            "numberMisscheduled": misplaced,
            "desiredNumberScheduled": desired,
            "numberReady": ready,
            "observedGeneration": count(&set, "/metadata/generation", 1),
        });
        for (field, value) in [
            ("updatedNumberScheduled", updated),
            ("numberAvailable", available),
            ("numberUnavailable", desired - available),
        ] {
            if value > 0 {
                status[field] = json!(value);
            }
        }
        self.client.set_status(Kind::DaemonSets, &set, status).await
    }
}

/// The node that a pod is for, before it is bound to it.
fn target(pod: &Value) -> &str {
    match text(pod, "/spec/nodeName") {
        "" => text(
            pod,
            "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0",
        ),
        name => name,
    }
}

#[async_trait]
impl Controller for DaemonSets {
    fn concerns(&self, news: &News) -> Vec<String> {
        match news.kind {
            Kind::DaemonSets => vec![news.key.to_string()],
            Kind::Nodes => {
                let all = self.plane.cache().list(Kind::DaemonSets, "");
                all.iter().map(|set| key_of(set)).collect()
            }
            Kind::Pods => pods::key_of_owner(news, "DaemonSet").into_iter().collect(),
            _ => Vec::new(),
        }
    }

    async fn look(&self, key: &str) -> Result<Again, ApiError> {
        let Some(set) = self.plane.cache().get(Kind::DaemonSets, key) else {
            return Ok(None);
        };
        if is_leaving(&set) {
            return Ok(None);
        }
        let mut template = set.pointer("/spec/template").cloned().unwrap_or_default();
        let mut tolerations = items(&template, "/spec/tolerations").to_vec();
        for (key, effect) in TOLERATED {
            tolerations.push(json!({"key": key, "operator": "Exists", "effect": effect}));
        }
        template["spec"]["tolerations"] = json!(tolerations);
        let revision = revisions::present(&self.client, Kind::DaemonSets, &set).await?;
        let hash = revisions::hash(&revision).to_owned();
        let nodes = self.nodes(&template);
        let mut by_node: BTreeMap<String, Vec<Arc<Value>>> = BTreeMap::new();
        for pod in self.pods(&set) {
            by_node
                .entry(target(&pod).to_owned())
                .or_default()
                .push(pod);
        }
        for node in &nodes {
            let held = by_node.remove(node).unwrap_or_default();
            let mut active = 0;
            for pod in held {
                if pods::is_finished(&pod) && !is_leaving(&pod) {
                    self.delete(&set, &pod).await?;
                } else {
                    active += 1;
                }
            }
            if active == 0 {
                self.create(&set, &template, &hash, node).await?;
            }
        }
        for pod in by_node.into_values().flatten() {
            if !is_leaving(&pod) {
                self.delete(&set, &pod).await?;
            }
        }
        self.roll(&set, nodes.len(), &hash).await?;
        self.report(key, &nodes, &hash).await?;
        Ok(None)
    }
}
