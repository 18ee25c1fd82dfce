//! `KafkaTopics`: made, grown, configured and deleted on the broker.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::super::kafka::NewTopic;
use super::super::Process;
use super::super::brokers::Entry;
use super::conditions::{self, NotReady};
use super::meta;

/// The topics that were made for resources, by cluster.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<String, BTreeSet<String>>);

impl Seen {
    /// Brings the topics of a cluster about. Those whose resources are gone
    /// are deleted.
    pub(super) async fn reconcile(
        &mut self,
        process: &Process,
        kafka: &Value,
        topics: &[Value],
        broker: Option<&Entry>,
    ) {
        let Some(entry) = broker else { return };
        let cluster = format!("{}/{}", meta(kafka, "namespace"), meta(kafka, "name"));
        let names: BTreeSet<String> = topics.iter().map(|topic| name(topic).to_owned()).collect();
        let before = self.0.insert(cluster, names.clone()).unwrap_or_default();
        for gone in before.difference(&names) {
            entry.broker.topics.delete(gone);
        }
        for topic in topics {
            let state = one(topic, entry);
            let more = json!({
                "topicName": name(topic),
                "topicId": process.world.letters(&format!("topic/{}", meta(topic, "uid")), 22),
            });
            let state = state.as_ref().map(|()| ());
            if let Err(error) = conditions::write(process, "kafkatopics", topic, state, more).await
            {
                process.log(&format!(
                    "ERROR status of topic {}: {}",
                    name(topic),
                    error.message()
                ));
            }
        }
    }
}

fn name(topic: &Value) -> &str {
    topic["spec"]["topicName"]
        .as_str()
        .unwrap_or_else(|| meta(topic, "name"))
}

fn one(topic: &Value, entry: &Entry) -> Result<(), NotReady> {
    let (name, spec) = (name(topic), &topic["spec"]);
    let number = |field: &str| spec[field].as_i64().unwrap_or(-1);
    let partitions = i32::try_from(number("partitions")).unwrap_or(-1);
    let replicas = i16::try_from(number("replicas")).unwrap_or(-1);
    let kafka_error = |why: String| NotReady::new("KafkaError", why);
    let configs: BTreeMap<String, String> = spec["config"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (key.clone(), text)
        })
        .collect();
    let topics = &entry.broker.topics;
    let Some(held) = topics.get(name) else {
        let brokers = 1;
        if replicas > brokers {
            return Err(kafka_error(format!(
                "org.apache.kafka.common.errors.InvalidReplicationFactorException: Unable to \
                 replicate the partition {replicas} time(s): The target replication factor of \
                 {replicas} cannot be reached because only {brokers} broker(s) are registered."
            )));
        }
        let new = NewTopic {
            name: name.to_owned(),
            partitions,
            replicas,
            configs,
        };
        return topics
            .create(&new, false)
            .map_err(|error| kafka_error(error.to_string()));
    };
    if partitions > 0 && partitions < held.partitions() {
        return Err(NotReady::new(
            "NotSupported",
            format!(
                "Decreasing partitions not supported (from {} to {partitions})",
                held.partitions()
            ),
        ));
    }
    if partitions > held.partitions() {
        topics
            .grow(name, partitions, false)
            .map_err(|error| kafka_error(error.to_string()))?;
    }
    if replicas > 0 && replicas != held.replicas {
        return Err(NotReady::new(
            "NotSupported",
            "Replication factor change not supported, but required for partitions",
        ));
    }
    Ok(())
}
