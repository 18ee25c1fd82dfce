//! Kafka in the cluster: the values of Strimzi's chart, and the resources that
//! its operator turns into brokers, topics and a user.
//!
//! Specified by Strimzi 1.2, whose resources have the version `v1` only.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::engine::Engine;
use super::{Manifest, RenderError};
use crate::profile::{Profile, SaslMechanism};

/// Name of the operator's release.
pub const RELEASE: &str = "strimzi";

/// Name of the node pool.
const POOL: &str = "dual";

/// Name of the Kafka resource.
pub fn cluster(profile: &Profile) -> &str {
    let named = profile.kafka.strimzi.cluster.as_ref();
    named.map_or(profile.deployment.as_str(), |name| name.as_str())
}

/// `HOST:PORT` of the brokers inside the cluster. Strimzi names the service
/// after its Kafka resource.
pub(super) fn bootstrap(profile: &Profile) -> String {
    let (cluster, namespace) = (cluster(profile), &profile.app.namespace);
    format!(
        "{cluster}-kafka-bootstrap.{namespace}.svc:{}",
        port(profile)
    )
}

/// Name of the secret with the certificate authority of the brokers.
pub fn ca_secret(profile: &Profile) -> String {
    format!("{}-cluster-ca-cert", cluster(profile))
}

/// The port of the brokers' listener.
pub fn port(profile: &Profile) -> u16 {
    if profile.kafka.tls { 9093 } else { 9092 }
}

/// The values of the operator's chart.
pub fn operator_values(profile: &Profile) -> Value {
    let mut values = json!({
        "watchNamespaces": [profile.app.namespace],
        "replicas": 1,
        // One operator has nobody to compete with.
        "leaderElection": {"enable": false},
        "resources": {
            "requests": {"cpu": "100m", "memory": "384Mi"},
            "limits": {"memory": "384Mi"},
        },
    });
    // The chart always watches its own namespace.
    if profile.app.namespace == profile.kafka.strimzi.namespace {
        values["watchNamespaces"] = json!([]);
    }
    values
}

#[derive(Serialize)]
struct ClusterContext<'a> {
    namespace: &'a str,
    cluster: &'a str,
    pool: &'static str,
    brokers: u32,
    storage_gb: Option<u32>,
    storage_size: String,
    cpu: &'a str,
    memory: &'a str,
    heap: String,
    version: &'a str,
    tls: bool,
    port: u16,
    scram: bool,
    replication: u32,
    in_sync: u32,
}

#[derive(Serialize)]
struct TopicContext<'a> {
    object: String,
    namespace: &'a str,
    cluster: &'a str,
    topic: &'a str,
    partitions: u32,
    replication: u32,
}

#[derive(Serialize)]
struct UserContext<'a> {
    user: &'a str,
    namespace: &'a str,
    cluster: &'a str,
    topics: Vec<&'a str>,
    groups: BTreeSet<&'a str>,
}

/// The cluster, its topics, and the app's user when there is a login.
pub(super) fn resources(engine: &Engine, profile: &Profile) -> Result<Vec<Manifest>, RenderError> {
    let strimzi = &profile.kafka.strimzi;
    let (namespace, cluster) = (profile.app.namespace.as_str(), cluster(profile));
    let replication = strimzi.brokers.min(3);
    let scram = profile.kafka.auth.mechanism == SaslMechanism::ScramSha512;
    let mut out = engine.manifests(
        "kafka/cluster",
        &ClusterContext {
            namespace,
            cluster,
            pool: POOL,
            brokers: strimzi.brokers,
            storage_gb: strimzi.storage_gb,
            storage_size: format!("{}Gi", strimzi.storage_gb.unwrap_or_default()),
            cpu: &strimzi.resources.cpu,
            memory: &strimzi.resources.memory,
            heap: heap(&strimzi.resources.memory),
            version: &strimzi.kafka_version,
            tls: profile.kafka.tls,
            port: port(profile),
            scram,
            replication,
            // One broker of three may be away.
            in_sync: replication.saturating_sub(1).max(1),
        },
    )?;
    let topics = profile.topics();
    for topic in &topics {
        out.extend(engine.manifests(
            "kafka/topic",
            &TopicContext {
                object: object_name(topic.name.as_str()),
                namespace,
                cluster,
                topic: topic.name.as_str(),
                partitions: topic.partitions,
                replication,
            },
        )?);
    }
    if scram {
        // Dapr's consumer groups are named after the apps.
        let services = profile.app.services.iter();
        let groups = services.filter_map(|s| Some(s.dapr.as_ref()?.app_id.as_str()));
        out.extend(engine.manifests(
            "kafka/user",
            &UserContext {
                user: strimzi.user.as_str(),
                namespace,
                cluster,
                topics: topics.iter().map(|t| t.name.as_str()).collect(),
                groups: groups.collect(),
            },
        )?);
    }
    Ok(out)
}

/// A topic's name as a Kubernetes name: lower-case letters, digits, `-`, `.`.
pub(super) fn object_name(topic: &str) -> String {
    let mapped: String = topic
        .chars()
        .map(|c| match c {
            'A'..='Z' => c.to_ascii_lowercase(),
            'a'..='z' | '0'..='9' | '.' => c,
            _ => '-',
        })
        .collect();
    let labels = mapped.split('.').map(|label| label.trim_matches('-'));
    let labels: Vec<&str> = labels.filter(|label| !label.is_empty()).collect();
    labels.join(".")
}

/// Half of a memory quantity, in the JVM's words.
fn heap(memory: &str) -> String {
    let digits = memory
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(memory.len());
    let (number, unit) = memory.split_at(digits);
    let mebibytes = match unit {
        "Ki" => 1.0 / 1024.0,
        "Mi" => 1.0,
        "Gi" => 1024.0,
        "Ti" => 1024.0 * 1024.0,
        "k" => 1e3 / 1_048_576.0,
        "M" => 1e6 / 1_048_576.0,
        "G" => 1e9 / 1_048_576.0,
        "T" => 1e12 / 1_048_576.0,
        _ => 1.0 / 1_048_576.0,
    };
    let half = number.parse::<f64>().unwrap_or(1024.0) * mebibytes / 2.0;
    format!("{:.0}m", half.floor().max(128.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::kafka_resources;

    fn profile(sets: &[&str]) -> Profile {
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        crate::profile::load("sandbox", &sets).unwrap().profile
    }

    fn printed(profile: &Profile) -> String {
        let manifests = kafka_resources(profile).unwrap();
        let values: Vec<_> = manifests.iter().map(Manifest::printable).collect();
        crate::yaml::documents_to_string(&values).unwrap()
    }

    #[test]
    fn kafka_of_the_sandbox() {
        insta::assert_snapshot!(printed(&profile(&[])));
    }

    #[test]
    fn a_login_brings_a_user_with_just_the_rights_of_the_app() {
        let text = printed(&profile(&[
            "kafka.auth.mechanism=scram-sha-512",
            "kafka.tls=true",
            "kafka.strimzi.brokers=3",
            "dapr.subscriptions=[{topic: task-events, app_id: backend, route: /events}]",
        ]));
        for part in [
            "kind: KafkaUser",
            "name: task-events-dlq",
            "port: 9093",
            "type: simple",
            "min.insync.replicas: 2",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let other = profile(&["kafka.provider=external", "kafka.brokers=[b:1]"]);
        assert_eq!(kafka_resources(&other).unwrap(), Vec::new());
    }

    #[test]
    fn the_heap_is_half_of_the_memory() {
        for (memory, wanted) in [
            ("1Gi", "512m"),
            ("1536Mi", "768m"),
            ("2G", "953m"),
            ("64Mi", "128m"),
        ] {
            assert_eq!(heap(memory), wanted, "{memory}");
        }
    }

    #[test]
    fn topics_become_object_names() {
        for (topic, wanted) in [
            ("task-events", "task-events"),
            ("Task_Events", "task-events"),
            ("a.._b", "a.b"),
        ] {
            assert_eq!(object_name(topic), wanted);
        }
    }
}
