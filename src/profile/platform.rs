//! What the app stands on inside the cluster: Dapr, the ingress controller and
//! Kafka's operator, each a Helm chart that the profile pins.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::chart_source::ChartSource;
use super::model::{Resources, fixed};
use crate::names::{Namespace, ObjectName, SecretName, ServiceName, Topic};

/// The Dapr control plane and components.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dapr {
    /// Dapr's official chart. Its version is that of the control plane and of
    /// the sidecars.
    pub chart: ChartSource,
    /// Namespace of the control plane.
    pub namespace: Namespace,
    /// Three replicas of each control plane service. More than the free
    /// allowance carries.
    pub ha: bool,
    /// Where scheduled jobs are kept.
    pub scheduler: Scheduler,
    /// Names of the components, as the app's code knows them.
    pub components: Components,
    /// Name out of `secrets` that holds the PostgreSQL connection string of
    /// the state store.
    pub state_secret: SecretName,
    /// Deliveries of events to services. An app that tells Dapr its
    /// subscriptions itself needs none here.
    pub subscriptions: Vec<Subscription>,
    /// Files with further Dapr resources of your own, from the profile's
    /// folder. They are checked like the rendered ones.
    pub files: Vec<String>,
}

impl Default for Dapr {
    fn default() -> Self {
        Self {
            chart: ChartSource {
                repo: Some("https://dapr.github.io/helm-charts".to_owned()),
                name: Some("dapr".to_owned()),
                version: Some("1.18.3".to_owned()),
                digest: Some(fixed(
                    "sha256:ace724ac2f5911df9932424fb7664304c28aa5b43714a2324d2b3dc6900d355d",
                )),
                ..ChartSource::default()
            },
            namespace: fixed("dapr-system"),
            ha: false,
            scheduler: Scheduler::default(),
            components: Components::default(),
            state_secret: fixed("database-url"),
            subscriptions: Vec::new(),
            files: Vec::new(),
        }
    }
}

/// Where Dapr keeps scheduled jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scheduler {
    /// Size of the scheduler's volume. Without it jobs live in the pod and are
    /// lost with it. Oracle's volumes have at least 50 GB.
    #[schemars(range(min = 1, max = 1000))]
    pub storage_gb: Option<u32>,
    /// Storage class of the volume; by default the cluster's.
    pub storage_class: Option<ObjectName>,
}

/// Names of the Dapr components, as the app's code knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Components {
    /// The Kafka pub/sub component.
    pub pubsub: ObjectName,
    /// The PostgreSQL state store.
    pub state: ObjectName,
    /// The Kubernetes secret store.
    pub secrets: ObjectName,
}

impl Default for Components {
    fn default() -> Self {
        Self {
            pubsub: fixed("kafka-pubsub"),
            state: fixed("statestore"),
            secrets: fixed("kubernetes-secrets"),
        }
    }
}

/// The delivery of a topic's events to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// The topic.
    pub topic: Topic,
    /// Dapr app ID of the service that gets the events.
    pub app_id: ServiceName,
    /// Path of the service that each event is posted to.
    pub route: String,
    /// Topic that takes events which the service refuses again and again. By
    /// default the topic's name with `-dlq`; todoctl creates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_topic: Option<Topic>,
}

impl Subscription {
    /// The topic that takes events which the service refuses.
    pub fn dead_letter(&self) -> Topic {
        let derived = || format!("{}-dlq", self.topic).parse().ok();
        self.dead_letter_topic
            .clone()
            .or_else(derived)
            // Only a topic of nearly 249 characters has no room for more.
            .unwrap_or_else(|| fixed("dead-letters"))
    }
}

/// The way in from the internet: F5's NGINX Ingress Controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IngressController {
    /// Install the controller. Without it, one that serves the class must
    /// exist.
    pub install: bool,
    /// The controller's official chart.
    pub chart: ChartSource,
    /// Namespace of the controller.
    pub namespace: Namespace,
    /// Name of the ingress class.
    pub class: ObjectName,
    /// Port on which the load balancer listens for HTTP.
    #[schemars(range(min = 1, max = 65535))]
    pub http_port: u16,
    /// Listen for HTTPS, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<Https>,
}

impl Default for IngressController {
    fn default() -> Self {
        Self {
            install: true,
            chart: ChartSource {
                oci: Some("oci://ghcr.io/nginx/charts/nginx-ingress".to_owned()),
                version: Some("2.6.4".to_owned()),
                ..ChartSource::default()
            },
            namespace: fixed("nginx-ingress"),
            class: fixed("nginx"),
            http_port: 80,
            https: None,
        }
    }
}

/// HTTPS at the way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Https {
    /// Name of a `kubernetes.io/tls` secret in the app's namespace.
    pub secret: ObjectName,
    /// Port on which the load balancer listens for HTTPS.
    #[serde(default = "https_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

fn https_port() -> u16 {
    443
}

/// Kafka in the cluster, run by the Strimzi operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Strimzi {
    /// The operator's official chart.
    pub chart: ChartSource,
    /// Namespace of the operator. Kafka itself runs in the app's.
    pub namespace: Namespace,
    /// Name of the Kafka resource. By default the deployment's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ObjectName>,
    /// Name of the user that the app logs in as, when `kafka.auth` asks for a
    /// login.
    pub user: ObjectName,
    /// Version of Kafka.
    pub kafka_version: String,
    /// Number of brokers.
    #[schemars(range(min = 1, max = 9))]
    pub brokers: u32,
    /// Size of each broker's volume. Without it events live in the pod and are
    /// lost with it. Oracle's volumes have at least 50 GB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub storage_gb: Option<u32>,
    /// What each broker asks of its node. Half of the memory is Java's heap.
    pub resources: Resources,
}

impl Default for Strimzi {
    fn default() -> Self {
        Self {
            chart: ChartSource {
                oci: Some("oci://quay.io/strimzi-helm/strimzi-kafka-operator".to_owned()),
                version: Some("1.2.0".to_owned()),
                ..ChartSource::default()
            },
            namespace: fixed("strimzi-system"),
            cluster: None,
            user: fixed("todo-app"),
            kafka_version: "4.3.1".to_owned(),
            brokers: 1,
            storage_gb: None,
            resources: Resources {
                cpu: "150m".to_owned(),
                memory: "1Gi".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_topic_is_named_after_its_topic() {
        let mut subscription = Subscription {
            topic: fixed("task-events"),
            app_id: fixed("backend"),
            route: "/events".to_owned(),
            dead_letter_topic: None,
        };
        assert_eq!(subscription.dead_letter().as_str(), "task-events-dlq");
        subscription.dead_letter_topic = Some(fixed("graveyard"));
        assert_eq!(subscription.dead_letter().as_str(), "graveyard");
        subscription.dead_letter_topic = None;
        subscription.topic = "x".repeat(249).parse().unwrap();
        assert_eq!(subscription.dead_letter().as_str(), "dead-letters");
    }

    #[test]
    fn the_default_charts_have_one_place_each() {
        for source in [
            Dapr::default().chart,
            IngressController::default().chart,
            Strimzi::default().chart,
        ] {
            assert_eq!(source.fault(), None, "{source:?}");
        }
    }
}
