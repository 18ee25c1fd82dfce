//! Waiting until things are usable.

use std::time::Duration;

use serde_json::Value;

use super::object::ObjectRef;
use super::{K8sError, Kube};
use crate::clock::{Look, WaitError, wait_until};
use crate::manifest::Manifest;

/// A node, as far as waiting for it goes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NodeState {
    /// Name of the node.
    pub name: String,
    /// Whether it takes pods.
    pub ready: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What its images are for, such as `linux/arm64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

/// A condition's status and message.
fn condition<'a>(object: &'a Manifest, kind: &str) -> Option<(&'a str, &'a str)> {
    let conditions = object.body().pointer("/status/conditions")?.as_array()?;
    let text = |condition: &'a Value, key: &str| {
        condition
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    conditions
        .iter()
        .find(|condition| text(condition, "type") == kind)
        .map(|condition| (text(condition, "status"), text(condition, "message")))
}

impl Kube {
    /// The cluster's nodes.
    pub async fn nodes(&self) -> Result<Vec<NodeState>, K8sError> {
        let nodes = self.list("v1", "Node", None, "").await?;
        Ok(nodes.iter().map(node_state).collect())
    }

    /// Waits until at least `count` nodes are ready. `progress` hears what is
    /// seen meanwhile.
    pub async fn wait_for_nodes(
        &self,
        count: usize,
        limit: Duration,
        mut progress: impl FnMut(&str),
    ) -> Result<Vec<NodeState>, K8sError> {
        let what = format!("{count} ready nodes");
        self.wait(&what, limit, async || {
            let nodes = self.nodes().await?;
            let ready = nodes.iter().filter(|node| node.ready).count();
            if ready >= count {
                return Ok(Look::Done(nodes));
            }
            let waiting = nodes.iter().find_map(|node| node.reason.as_deref());
            let mut seen = format!("{ready} of {count} nodes are ready");
            if let Some(reason) = waiting.filter(|reason| !reason.is_empty()) {
                seen = format!("{seen} ({reason})");
            }
            progress(&seen);
            Ok(Look::Wait(seen, Duration::from_secs(5)))
        })
        .await
    }

    /// Waits until a resource definition is established, so that objects of
    /// its kind can be made.
    pub async fn wait_for_crd(&self, name: &str, limit: Duration) -> Result<(), K8sError> {
        let object =
            ObjectRef::cluster("apiextensions.k8s.io/v1", "CustomResourceDefinition", name);
        let what = format!("the resource definition {name}");
        self.wait(&what, limit, async || {
            let live = self.get(&object).await?;
            let state = live.as_ref().and_then(|crd| condition(crd, "Established"));
            if matches!(state, Some(("True", _))) {
                return Ok(Look::Done(()));
            }
            let seen = match &live {
                None => "it does not exist".to_owned(),
                Some(crd) => match condition(crd, "NamesAccepted") {
                    Some(("False", message)) => message.to_owned(),
                    _ => "it is not established".to_owned(),
                },
            };
            Ok(Look::Wait(seen, Duration::from_secs(1)))
        })
        .await?;
        // Its kind is new to the discovery that was cached.
        self.discover().await.map(drop)
    }

    /// Waits until an object is gone.
    pub async fn wait_until_gone(
        &self,
        object: &ObjectRef,
        limit: Duration,
    ) -> Result<(), K8sError> {
        let what = format!("{object} to go");
        self.wait(&what, limit, async || {
            let Some(live) = self.get(object).await? else {
                return Ok(Look::Done(()));
            };
            let finalizers = live.body().pointer("/metadata/finalizers");
            let seen = match finalizers.and_then(Value::as_array) {
                Some(held) if !held.is_empty() => {
                    format!("held by {}", Value::from(held.clone()))
                }
                _ => "it is still there".to_owned(),
            };
            Ok(Look::Wait(seen, Duration::from_secs(2)))
        })
        .await
    }

    async fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        look: impl AsyncFnMut() -> Result<Look<T>, K8sError>,
    ) -> Result<T, K8sError> {
        wait_until(&self.clock, limit, look)
            .await
            .map_err(|error| match error {
                WaitError::TimedOut { waited, last } => K8sError::NotReady {
                    what: what.to_owned(),
                    waited,
                    last,
                },
                WaitError::Cancelled(cancelled) => cancelled.into(),
                WaitError::Failed(error) => error,
            })
    }
}

fn node_state(node: &Manifest) -> NodeState {
    let state = condition(node, "Ready");
    let ready = matches!(state, Some(("True", _)));
    let info = |key: &str| {
        let found = node.body().pointer(&format!("/status/nodeInfo/{key}"));
        found.and_then(Value::as_str)
    };
    let platform = info("operatingSystem").zip(info("architecture"));
    NodeState {
        platform: platform.map(|(os, architecture)| format!("{os}/{architecture}")),
        name: node.name().to_owned(),
        ready,
        reason: (!ready).then(|| state.map_or("", |(_, message)| message).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, json_status, ok};
    use super::*;
    use serde_json::json;

    const KINDS: &[(&str, &str, &str, &str, &str)] = &[
        ("", "v1", "Node", "nodes", "Cluster"),
        (
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            "Cluster",
        ),
    ];

    fn nodes(states: &[&str]) -> (u16, Value) {
        let items: Vec<Value> = states
            .iter()
            .enumerate()
            .map(|(i, status)| {
                json!({"metadata": {"name": format!("n{i}")}, "status": {"conditions": [
                    {"type": "MemoryPressure", "status": "False"},
                    {"type": "Ready", "status": status, "message": "container network is not ready"}
                ]}})
            })
            .collect();
        ok(&json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": items}))
    }

    #[tokio::test]
    async fn nodes_are_waited_for_and_progress_is_told() {
        let (kube, _) = Script::new()
            .discovery(KINDS)
            .answer("GET /api/v1/nodes", nodes(&[]))
            .answer("GET /api/v1/nodes", nodes(&["True", "False"]))
            .answer("GET /api/v1/nodes", nodes(&["True", "True"]))
            .kube();
        let mut told = Vec::new();
        let limit = Duration::from_mins(10);
        let ready = kube
            .wait_for_nodes(2, limit, |seen| told.push(seen.to_owned()))
            .await
            .unwrap();
        assert_eq!(ready.len(), 2);
        assert_eq!(
            told,
            [
                "0 of 2 nodes are ready",
                "1 of 2 nodes are ready (container network is not ready)"
            ]
        );
    }

    #[tokio::test]
    async fn a_wait_that_ends_says_what_it_saw_last() {
        let (kube, _) = Script::new()
            .discovery(KINDS)
            .answer("GET /api/v1/nodes", nodes(&["False"]))
            .kube();
        let error = kube
            .wait_for_nodes(1, Duration::ZERO, |_| {})
            .await
            .unwrap_err();
        assert!(
            error.to_string().ends_with(
                "for 1 ready nodes: 0 of 1 nodes are ready (container network is not ready)"
            ),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_resource_definition_is_established_before_it_is_used() {
        let path = "GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/components.dapr.io";
        let crd = |conditions: Value| {
            ok(&json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": "components.dapr.io"}, "status": {"conditions": conditions}
            }))
        };
        let (kube, script) = Script::new()
            .discovery(KINDS)
            .answer(path, json_status(404, "NotFound", "not found"))
            .answer(path, crd(json!([])))
            .answer(
                path,
                crd(json!([{"type": "Established", "status": "True"}])),
            )
            .discovery(KINDS)
            .kube();
        kube.wait_for_crd("components.dapr.io", Duration::from_mins(1))
            .await
            .unwrap();
        assert_eq!(script.seen().len(), 7);
    }
}
