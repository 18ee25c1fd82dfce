//! How the pods of a namespace are, at one look.

use serde::Serialize;
use serde_json::Value;

use super::trouble::{is_over, of_pod};
use super::{K8sError, Kube};
use crate::manifest::Manifest;

/// The pods of a namespace that are meant to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pods {
    /// The namespace.
    pub namespace: String,
    /// How many are ready.
    pub ready: usize,
    /// How many there are.
    pub all: usize,
    /// What keeps the others from it, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
}

impl Kube {
    /// Looks at the pods of a namespace; those that are done, leaving or
    /// replaced do not count.
    pub async fn pods(&self, namespace: &str) -> Result<Pods, K8sError> {
        let mut pods = self.list("v1", "Pod", Some(namespace), "").await?;
        pods.retain(|pod| !is_over(pod) && !is_replaced(pod));
        let troubles = pods.iter().filter_map(of_pod);
        let troubles: Vec<String> = troubles.map(|trouble| trouble.told()).collect();
        Ok(Pods {
            namespace: namespace.to_owned(),
            ready: pods.len() - troubles.len(),
            all: pods.len(),
            troubles,
        })
    }
}

/// Whether a pod has failed and its controller has made another: an evicted
/// one stays for a long time.
fn is_replaced(pod: &Manifest) -> bool {
    let text = |pointer: &str| pod.body().pointer(pointer).and_then(Value::as_str);
    text("/status/phase") == Some("Failed")
        && pod.body().pointer("/metadata/ownerReferences").is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::script::Script;
    use super::*;

    fn pod(name: &str, status: &Value) -> Value {
        json!({"metadata": {"name": name, "namespace": "n"}, "status": status})
    }

    #[tokio::test]
    async fn what_runs_is_counted_and_what_does_not_says_why() {
        let ready =
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        let broken = json!({"phase": "Running", "containerStatuses": [{
            "name": "app", "restartCount": 1,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
        }]});
        let mut leaving = pod("leaving", &ready);
        leaving["metadata"]["deletionTimestamp"] = json!("2026-11-22T02:03:04Z");
        let mut evicted = pod("evicted", &json!({"phase": "Failed", "reason": "Evicted"}));
        evicted["metadata"]["ownerReferences"] = json!([{"kind": "ReplicaSet", "name": "b"}]);
        let list = json!({
            "kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
            "items": [
                pod("a", &ready), pod("b", &broken), leaving, evicted,
                pod("done", &json!({"phase": "Succeeded"})),
            ],
        });
        let (kube, _) = Script::new()
            .discovery(&[("", "v1", "Pod", "pods", "Namespaced")])
            .answer("GET /api/v1/namespaces/n/pods", (200, list))
            .kube();
        let found = kube.pods("n").await.unwrap();
        assert_eq!(
            found,
            Pods {
                namespace: "n".to_owned(),
                ready: 1,
                all: 2,
                troubles: vec![
                    "container app of Pod n/b: ImagePullBackOff: no such image".to_owned()
                ],
            }
        );
    }
}
