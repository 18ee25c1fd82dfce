//! `ReplicaSets`: as many pods as asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use serde_json::{Value, json};

use super::queue::{Again, Controller};
use super::{Plane, count, labels, pods};
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::{Client, News};
use crate::sandbox::kind::{Kind, condition, controller_of, is_leaving, key, text, uid};

const NAME: &str = "replicaset-controller";
/// Pods made or deleted in one go.
const BURST: usize = 500;

/// The controller.
pub struct ReplicaSets {
    plane: Arc<Plane>,
    client: Client,
}

impl ReplicaSets {
    /// The controller of a plane.
    pub fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            client: plane.client.as_controller(NAME),
        }
    }

    /// The pods of a set; orphans that it selects become its own.
    async fn pods(&self, set: &Value) -> Result<Vec<Arc<Value>>, ApiError> {
        let mut own = Vec::new();
        for pod in self
            .plane
            .cache()
            .list(Kind::Pods, text(set, "/metadata/namespace"))
        {
            if pods::is_owned_by(&pod, uid(set)) {
                own.push(pod);
            } else if controller_of(&pod).is_none()
                && pods::is_active(&pod)
                && !is_leaving(set)
                && labels::selects(set.pointer("/spec/selector"), &pod)
            {
                let patch = json!({"metadata": {
                    "uid": uid(&pod),
                    "ownerReferences": [pods::reference(Kind::ReplicaSets, set)],
                }});
                own.push(self.client.merge(Kind::Pods, &pod, &patch).await?);
            }
        }
        Ok(own)
    }

    async fn make(&self, set: &Value, missing: usize) -> Result<(), ApiError> {
        let template = set.pointer("/spec/template").unwrap_or(&Value::Null);
        let mut pod = pods::from_template(Kind::ReplicaSets, set, template);
        pod["metadata"]["generateName"] = json!(format!("{}-", text(set, "/metadata/name")));
        // One at first: what is refused once is refused always.
        let mut batch = 1;
        let mut left = missing.min(BURST);
        while left > 0 {
            let now = batch.min(left);
            let made = join_all((0..now).map(|_| self.client.create(Kind::Pods, &pod))).await;
            for result in made {
                match result {
                    Ok(made) => self.plane.events.normal(
                        NAME,
                        set,
                        "SuccessfulCreate",
                        format!("Created pod: {}", text(&made, "/metadata/name")),
                    ),
                    Err(error) => {
                        self.plane.events.warning(
                            NAME,
                            set,
                            "FailedCreate",
                            format!("Error creating: {}", error.message()),
                        );
                        return Err(error);
                    }
                }
            }
            left -= now;
            batch *= 2;
        }
        Ok(())
    }

    async fn remove(
        &self,
        set: &Value,
        mut active: Vec<Arc<Value>>,
        surplus: usize,
    ) -> Result<(), ApiError> {
        let mut crowds: HashMap<String, usize> = HashMap::new();
        for pod in &active {
            *crowds
                .entry(text(pod, "/spec/nodeName").to_owned())
                .or_default() += 1;
        }
        let crowd = |pod: &Value| {
            crowds
                .get(text(pod, "/spec/nodeName"))
                .copied()
                .unwrap_or_default()
        };
        active.sort_by(|a, b| pods::to_go_first(a, b, crowd));
        active.truncate(surplus.min(BURST));
        let deletes = active.iter().map(|pod| async move {
            self.client.delete(Kind::Pods, pod).await?;
            self.plane.events.normal(
                NAME,
                set,
                "SuccessfulDelete",
                format!("Deleted pod: {}", text(pod, "/metadata/name")),
            );
            Ok::<(), ApiError>(())
        });
        join_all(deletes).await.into_iter().collect()
    }

    async fn report(&self, key: &str, failure: Option<(&str, String)>) -> Result<Again, ApiError> {
        let Some(set) = self.plane.cache().get(Kind::ReplicaSets, key) else {
            return Ok(None);
        };
        let min_ready = count(&set, "/spec/minReadySeconds", 0);
        let template = set.pointer("/spec/template/metadata/labels");
        let (mut replicas, mut labelled, mut ready, mut available) = (0, 0, 0, 0);
        let mut again: Option<Duration> = None;
        for pod in self.pods(&set).await? {
            if !pods::is_active(&pod) {
                continue;
            }
            replicas += 1;
            let labels = pod.pointer("/metadata/labels").unwrap_or(&Value::Null);
            labelled += i64::from(labels::matches_all(template, labels));
            ready += i64::from(pods::is_ready(&pod));
            match pods::availability(&self.plane, &pod, min_ready) {
                Ok(()) => available += 1,
                Err(Some(wait)) => again = Some(again.map_or(wait, |other| other.min(wait))),
                Err(None) => {}
            }
        }
        let mut status = json!({"replicas": replicas});
        for (field, value) in [
            ("fullyLabeledReplicas", labelled),
            ("readyReplicas", ready),
            ("availableReplicas", available),
        ] {
            if value > 0 {
                status[field] = json!(value);
            }
        }
        status["observedGeneration"] = json!(count(&set, "/metadata/generation", 1));
        if let Some((reason, message)) = failure {
            let since = condition(&set, "ReplicaFailure").map_or_else(
                || json!(self.plane.now()),
                |c| c["lastTransitionTime"].clone(),
            );
            status["conditions"] = json!([{
                "type": "ReplicaFailure",
                "status": "True",
                "lastTransitionTime": since,
                "reason": reason,
                "message": message,
            }]);
        }
        self.client
            .set_status(Kind::ReplicaSets, &set, status)
            .await?;
        Ok(again)
    }
}

#[async_trait]
impl Controller for ReplicaSets {
    fn concerns(&self, news: &News) -> Vec<String> {
        match news.kind {
            Kind::ReplicaSets => vec![news.key.to_string()],
            Kind::Pods => news
                .object()
                .map(|pod| owners(&self.plane, pod))
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    async fn look(&self, key: &str) -> Result<Again, ApiError> {
        let Some(set) = self.plane.cache().get(Kind::ReplicaSets, key) else {
            return Ok(None);
        };
        let wanted = usize::try_from(count(&set, "/spec/replicas", 1)).unwrap_or_default();
        let active: Vec<_> = self
            .pods(&set)
            .await?
            .into_iter()
            .filter(|pod| pods::is_active(pod))
            .collect();
        if is_leaving(&set) {
            return self.report(key, None).await;
        }
        let result = if active.len() < wanted {
            self.make(&set, wanted - active.len())
                .await
                .map_err(|error| ("FailedCreate", error))
        } else if active.len() > wanted {
            let surplus = active.len() - wanted;
            self.remove(&set, active, surplus)
                .await
                .map_err(|error| ("FailedDelete", error))
        } else {
            Ok(())
        };
        match result {
            Ok(()) => self.report(key, None).await,
            Err((reason, error)) => {
                self.report(key, Some((reason, error.message()))).await?;
                Err(error)
            }
        }
    }
}

/// The sets that a pod's change concerns: its own, or all that select it.
fn owners(plane: &Plane, pod: &Value) -> Vec<String> {
    let namespace = text(pod, "/metadata/namespace");
    if let Some(reference) = controller_of(pod) {
        return (reference["kind"] == "ReplicaSet")
            .then(|| key(namespace, text(reference, "/name")))
            .into_iter()
            .collect();
    }
    plane
        .cache()
        .list(Kind::ReplicaSets, namespace)
        .iter()
        .filter(|set| labels::selects(set.pointer("/spec/selector"), pod))
        .map(|set| crate::sandbox::kind::key_of(set))
        .collect()
}
