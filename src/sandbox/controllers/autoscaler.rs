//! `HorizontalPodAutoscalers`: the load of this world is constant and as high
//! as the targets say, so a scale changes only to stay within its bounds.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::queue::{Again, Controller};
use super::{Plane, count};
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::{Client, News};
use crate::sandbox::kind::{Kind, condition, is_leaving, items, key_of, text};

const NAME: &str = "horizontal-pod-autoscaler";

/// The controller.
pub struct Autoscalers {
    plane: Arc<Plane>,
    client: Client,
}

impl Autoscalers {
    /// The controller of a plane.
    pub fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            client: plane.client.as_controller(NAME),
        }
    }

    fn target(scaler: &Value) -> Option<(Kind, String)> {
        let kind = Kind::by_name(text(scaler, "/spec/scaleTargetRef/kind"))?;
        let name = text(scaler, "/spec/scaleTargetRef/name");
        Some((kind, kind.path(text(scaler, "/metadata/namespace"), name)))
    }

    fn conditions(&self, scaler: &Value, all: &[(&str, &str, &str, &str)]) -> Value {
        let now = self.plane.now();
        all.iter()
            .map(|(kind, status, reason, message)| {
                let since = condition(scaler, kind)
                    .filter(|held| held["status"] == *status)
                    .map_or_else(|| json!(now), |held| held["lastTransitionTime"].clone());
                json!({
                    "type": kind, "status": status, "lastTransitionTime": since,
                    "reason": reason, "message": message,
                })
            })
            .collect()
    }
}

/// What the metrics are: what the targets ask for.
fn current(metrics: &[Value]) -> Vec<Value> {
    metrics
        .iter()
        .filter(|metric| text(metric, "/type") == "Resource")
        .map(|metric| {
            let target = metric.pointer("/resource/target").unwrap_or(&Value::Null);
            let mut now = json!({});
            if let Some(share) = target.get("averageUtilization") {
                now["averageUtilization"] = share.clone();
                now["averageValue"] = json!("10m");
            }
            if let Some(value) = target.get("averageValue") {
                now["averageValue"] = value.clone();
            }
            json!({"type": "Resource", "resource": {
                "name": text(metric, "/resource/name"), "current": now,
            }})
        })
        .collect()
}

#[async_trait]
impl Controller for Autoscalers {
    fn concerns(&self, news: &News) -> Vec<String> {
        match news.kind {
            Kind::Autoscalers => vec![news.key.to_string()],
            Kind::Deployments | Kind::StatefulSets | Kind::ReplicaSets => {
                let Some(object) = news.object() else {
                    return Vec::new();
                };
                let all = self
                    .plane
                    .cache()
                    .list(Kind::Autoscalers, text(object, "/metadata/namespace"));
                all.iter()
                    .filter(|scaler| {
                        text(scaler, "/spec/scaleTargetRef/kind") == news.kind.name()
                            && text(scaler, "/spec/scaleTargetRef/name")
                                == text(object, "/metadata/name")
                    })
                    .map(|scaler| key_of(scaler))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    async fn look(&self, key: &str) -> Result<Again, ApiError> {
        let Some(scaler) = self.plane.cache().get(Kind::Autoscalers, key) else {
            return Ok(None);
        };
        let Some((_, path)) = Self::target(&scaler).filter(|_| !is_leaving(&scaler)) else {
            return Ok(None);
        };
        let path = format!("{path}/scale");
        let Some(scale) = self.client.api.find(&path).await? else {
            let message = "the HPA controller was unable to get the target's current scale";
            let status = json!({
                "desiredReplicas": 0,
                "currentMetrics": null,
                "conditions": self.conditions(
                    &scaler,
                    &[("AbleToScale", "False", "FailedGetScale", message)],
                ),
            });
            self.client
                .set_status(Kind::Autoscalers, &scaler, status)
                .await?;
            return Ok(None);
        };
        let asked = count(&scale, "/spec/replicas", 0);
        let low = count(&scaler, "/spec/minReplicas", 1);
        let high = count(&scaler, "/spec/maxReplicas", 1).max(low);
        let wanted = if asked == 0 {
            0
        } else {
            asked.clamp(low, high)
        };
        if wanted != asked {
            let mut changed = scale.clone();
            changed["spec"]["replicas"] = json!(wanted);
            self.client.api.update(&path, &changed).await?;
            let why = if wanted < asked {
                "Current number of replicas above Spec.MaxReplicas"
            } else {
                "Current number of replicas below Spec.MinReplicas"
            };
            self.plane.events.normal(
                NAME,
                &scaler,
                "SuccessfulRescale",
                format!("New size: {wanted}; reason: {why}"),
            );
        }
        let conditions = [
            (
                "AbleToScale",
                "True",
                "ReadyForNewScale",
                "recommended size matches current size",
            ),
            (
                "ScalingActive",
                "True",
                "ValidMetricFound",
                "the HPA was able to successfully calculate a replica count from its metrics",
            ),
            (
                "ScalingLimited",
                "False",
                "DesiredWithinRange",
                "the desired count is within the acceptable range",
            ),
        ];
        let mut status = json!({
            "currentReplicas": count(&scale, "/status/replicas", 0),
            "desiredReplicas": wanted,
            "currentMetrics": current(items(&scaler, "/spec/metrics")),
            "conditions": self.conditions(&scaler, &conditions),
        });
        if wanted != asked {
            status["lastScaleTime"] = json!(self.plane.now());
        } else if let Some(last) = scaler.pointer("/status/lastScaleTime") {
            status["lastScaleTime"] = last.clone();
        }
        self.client
            .set_status(Kind::Autoscalers, &scaler, status)
            .await?;
        Ok(None)
    }
}
