//! `PodDisruptionBudgets`: how many pods may be disturbed at the moment.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::queue::{Again, Controller};
use super::{Plane, count, labels, pods};
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::{Client, News};
use crate::sandbox::kind::{Kind, condition, controller_of, key, key_of, text};

/// The controller.
pub struct Budgets {
    plane: Arc<Plane>,
    client: Client,
}

impl Budgets {
    /// The controller of a plane.
    pub fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            client: plane.client.as_controller("disruption-controller"),
        }
    }

    /// How many pods there should be, by their controllers.
    fn expected(&self, pods: &[Arc<Value>]) -> i64 {
        let mut owners = Vec::new();
        let mut expected = 0;
        for pod in pods {
            let Some(reference) = controller_of(pod) else {
                expected += 1;
                continue;
            };
            let uid = text(reference, "/uid").to_owned();
            if owners.contains(&uid) {
                continue;
            }
            owners.push(uid);
            let owner = Kind::by_name(text(reference, "/kind")).and_then(|kind| {
                let key = key(text(pod, "/metadata/namespace"), text(reference, "/name"));
                self.plane.cache().get(kind, &key)
            });
            expected += owner.map_or(1, |owner| count(&owner, "/spec/replicas", 1));
        }
        expected
    }
}

/// How many must be healthy.
fn least(budget: &Value, expected: i64) -> i64 {
    if let Some(least) = budget.pointer("/spec/minAvailable") {
        return pods::scaled(Some(least), expected, true);
    }
    let most = pods::scaled(budget.pointer("/spec/maxUnavailable"), expected, true);
    (expected - most).max(0)
}

#[async_trait]
impl Controller for Budgets {
    fn concerns(&self, news: &News) -> Vec<String> {
        match news.kind {
            Kind::Budgets => vec![news.key.to_string()],
            Kind::Pods => {
                let Some(pod) = news.object() else {
                    return Vec::new();
                };
                let all = self
                    .plane
                    .cache()
                    .list(Kind::Budgets, text(pod, "/metadata/namespace"));
                all.iter()
                    .filter(|budget| labels::selects(budget.pointer("/spec/selector"), pod))
                    .map(|budget| key_of(budget))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    async fn look(&self, key: &str) -> Result<Again, ApiError> {
        let Some(budget) = self.plane.cache().get(Kind::Budgets, key) else {
            return Ok(None);
        };
        let selected: Vec<_> = self
            .plane
            .cache()
            .list(Kind::Pods, text(&budget, "/metadata/namespace"))
            .into_iter()
            .filter(|pod| pods::is_active(pod))
            .filter(|pod| labels::selects(budget.pointer("/spec/selector"), pod))
            .collect();
        let healthy = selected.iter().filter(|pod| pods::is_ready(pod)).count();
        let healthy = i64::try_from(healthy).unwrap_or_default();
        let expected = self.expected(&selected);
        let least = least(&budget, expected);
        let allowed = if expected == 0 {
            0
        } else {
            (healthy - least).max(0)
        };
        let (status, reason) = if allowed > 0 {
            ("True", "SufficientPods")
        } else {
            ("False", "InsufficientPods")
        };
        let since = condition(&budget, "DisruptionAllowed")
            .filter(|held| held["status"] == status)
            .map_or_else(
                || json!(self.plane.now()),
                |held| held["lastTransitionTime"].clone(),
            );
        let generation = count(&budget, "/metadata/generation", 1);
        let status = json!({
            "observedGeneration": generation,
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": least,
            "expectedPods": expected,
            "conditions": [{
                "type": "DisruptionAllowed",
                "status": status,
                "observedGeneration": generation,
                "lastTransitionTime": since,
                "reason": reason,
                "message": "",
            }],
        });
        self.client
            .set_status(Kind::Budgets, &budget, status)
            .await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_states_a_least_or_a_most() {
        let with = |spec: Value| json!({ "spec": spec });
        assert_eq!(least(&with(json!({"minAvailable": 1})), 3), 1);
        assert_eq!(least(&with(json!({"minAvailable": "50%"})), 3), 2);
        assert_eq!(least(&with(json!({"maxUnavailable": "25%"})), 3), 2);
        assert_eq!(least(&with(json!({"maxUnavailable": 5})), 3), 0);
    }
}
