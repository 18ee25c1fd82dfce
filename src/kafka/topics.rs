//! Making topics, and saying where an existing one differs from what is wanted.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
};
use kafka_protocol::protocol::StrBytes;
use serde::Serialize;

use super::client::{Client, To, Topic, about_topic, coded, topic_name};
use super::error::Error;
use crate::clock::Deadline;

/// A topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many brokers hold each partition; the broker's default if unsaid.
    pub replication: Option<i16>,
    /// Settings that differ from the broker's defaults.
    pub settings: BTreeMap<String, String>,
}

impl TopicSpec {
    /// A topic with the broker's defaults.
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self {
            name: name.into(),
            partitions,
            replication: None,
            settings: BTreeMap::new(),
        }
    }
}

/// How a topic stands to what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// There is none.
    Missing,
    /// It is as wanted.
    Same,
    /// It exists and differs.
    Differs(Vec<Difference>),
}

/// One way in which a topic differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Difference {
    /// Too few partitions. More can be added; then keys move.
    FewerPartitions {
        /// How many there are.
        has: i32,
        /// How many there should be.
        wanted: i32,
    },
    /// Too many partitions. Kafka cannot take any away.
    MorePartitions {
        /// How many there are.
        has: i32,
        /// How many there should be.
        wanted: i32,
    },
    /// Another setting.
    Setting {
        /// Its name.
        name: String,
        /// What it is.
        has: Option<String>,
        /// What it should be.
        wanted: String,
    },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FewerPartitions { has, wanted } => {
                write!(f, "{has} partitions instead of {wanted}; more can be added")
            }
            Self::MorePartitions { has, wanted } => write!(
                f,
                "{has} partitions instead of {wanted}; Kafka cannot take partitions away"
            ),
            Self::Setting { name, has, wanted } => write!(
                f,
                "`{name}` is {} instead of {wanted}",
                has.as_deref().unwrap_or("not set")
            ),
        }
    }
}

/// A setting of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its value; none for secret ones.
    pub value: Option<String>,
    /// Whether it is the broker's default.
    pub default: bool,
}

/// Where a setting comes from, in the protocol's numbers: 1 is the topic.
const FROM_TOPIC: i8 = 1;
/// The protocol's number of topics among resources.
const TOPIC: i8 = 2;

impl Client {
    /// How each topic stands to what is wanted. Only reads.
    pub async fn compare_topics(&self, specs: &[TopicSpec]) -> Result<Vec<Standing>, Error> {
        let mut attempts = self.attempts();
        loop {
            match self.compare_once(specs, &attempts.deadline).await {
                Ok(standings) => return Ok(standings),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    async fn compare_once(
        &self,
        specs: &[TopicSpec],
        deadline: &Deadline,
    ) -> Result<Vec<Standing>, Error> {
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        let (cluster, failures) = self.look(Some(&names), deadline).await?;
        for (topic, code) in failures {
            match about_topic(&topic, code) {
                Error::TopicMissing { .. } => {}
                error => return Err(error),
            }
        }
        let mut standings = Vec::with_capacity(specs.len());
        for spec in specs {
            let standing = match cluster.topics.iter().find(|t| t.name == spec.name) {
                None => Standing::Missing,
                Some(topic) => {
                    let settings = match spec.settings.is_empty() {
                        true => BTreeMap::new(),
                        false => self.settings_once(&spec.name, deadline).await?,
                    };
                    compare(spec, topic, &settings)
                }
            };
            standings.push(standing);
        }
        Ok(standings)
    }

    /// Creates the topics that do not exist, waits until they can be used, and
    /// tells how each stood before. Existing ones are left as they are.
    pub async fn create_topics(&self, specs: &[TopicSpec]) -> Result<Vec<Standing>, Error> {
        let mut attempts = self.attempts();
        loop {
            match self.create_once(specs, &attempts.deadline).await {
                Ok(standings) => return Ok(standings),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    async fn create_once(
        &self,
        specs: &[TopicSpec],
        deadline: &Deadline,
    ) -> Result<Vec<Standing>, Error> {
        let standings = self.compare_once(specs, deadline).await?;
        let missing: Vec<&TopicSpec> = specs
            .iter()
            .zip(&standings)
            .filter(|(_, standing)| **standing == Standing::Missing)
            .map(|(spec, _)| spec)
            .collect();
        if missing.is_empty() {
            return Ok(standings);
        }
        let request = CreateTopicsRequest::default()
            .with_topics(missing.iter().map(|spec| creatable(spec)).collect())
            .with_timeout_ms(millis(deadline));
        let to = self.controller(deadline).await?;
        let answer = self.call(to, &request, deadline).await?;
        for topic in answer.topics {
            match ResponseError::try_from_code(topic.error_code) {
                // Somebody else, or a lost answer of ours, was faster.
                None | Some(ResponseError::TopicAlreadyExists) => {}
                Some(ResponseError::TopicAuthorizationFailed) => {
                    return Err(about_topic(
                        &topic.name.0,
                        ResponseError::TopicAuthorizationFailed,
                    ));
                }
                Some(code) => {
                    let about = format!("creating the topic `{}`", topic.name.0.as_str());
                    let said = topic.error_message.map(|text| text.to_string());
                    return Err(coded(code, about, said));
                }
            }
        }
        for spec in missing {
            self.usable(&spec.name, spec.partitions, deadline).await?;
        }
        Ok(standings)
    }

    /// Waits until a topic has so many partitions, each with a leader.
    async fn usable(&self, name: &str, partitions: i32, deadline: &Deadline) -> Result<(), Error> {
        let mut attempts = self.attempts();
        attempts.deadline = deadline.clone();
        loop {
            let looked = self.topics_once(&[name], deadline).await;
            let error = match looked.map(|topics| led(&topics, partitions)) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                // Brokers learn of a new topic one after the other.
                Err(Error::TopicMissing { topic }) => Error::Leaderless {
                    topic,
                    partition: 0,
                },
                Err(error) => error,
            };
            attempts.after(error).await?;
        }
    }

    /// Adds partitions until there are `partitions`.
    pub async fn grow_topic(&self, name: &str, partitions: i32) -> Result<(), Error> {
        let mut attempts = self.attempts();
        loop {
            match self.grow_once(name, partitions, &attempts.deadline).await {
                Ok(()) => return Ok(()),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    async fn grow_once(
        &self,
        name: &str,
        partitions: i32,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let topics = self.topics_once(&[name], deadline).await?;
        let has: usize = topics.iter().map(|topic| topic.partitions.len()).sum();
        if i32::try_from(has).is_ok_and(|has| has >= partitions) {
            return Ok(());
        }
        let topic = CreatePartitionsTopic::default()
            .with_name(topic_name(name))
            .with_count(partitions)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(millis(deadline));
        let to = self.controller(deadline).await?;
        let answer = self.call(to, &request, deadline).await?;
        for result in answer.results {
            if let Some(code) = ResponseError::try_from_code(result.error_code) {
                let said = result.error_message.map(|text| text.to_string());
                return Err(match about_topic(name, code) {
                    Error::Broker { code, about, .. } => Error::Broker { code, about, said },
                    error => error,
                });
            }
        }
        self.usable(name, partitions, deadline).await
    }

    /// Deletes topics. One that does not exist is gone already.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<(), Error> {
        let mut attempts = self.attempts();
        loop {
            match self.delete_once(names, &attempts.deadline).await {
                Ok(()) => return Ok(()),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    async fn delete_once(&self, names: &[&str], deadline: &Deadline) -> Result<(), Error> {
        let request = DeleteTopicsRequest::default()
            .with_topic_names(names.iter().map(|name| topic_name(name)).collect())
            .with_timeout_ms(millis(deadline));
        let to = self.controller(deadline).await?;
        let answer = self.call(to, &request, deadline).await?;
        for result in answer.responses {
            let name = result
                .name
                .map(|name| name.0.to_string())
                .unwrap_or_default();
            match ResponseError::try_from_code(result.error_code) {
                None | Some(ResponseError::UnknownTopicOrPartition) => {}
                Some(code) => return Err(about_topic(&name, code)),
            }
        }
        Ok(())
    }

    /// The settings of a topic by name.
    pub async fn topic_settings(&self, topic: &str) -> Result<BTreeMap<String, Setting>, Error> {
        let mut attempts = self.attempts();
        loop {
            match self.settings_once(topic, &attempts.deadline).await {
                Ok(settings) => return Ok(settings),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    async fn settings_once(
        &self,
        topic: &str,
        deadline: &Deadline,
    ) -> Result<BTreeMap<String, Setting>, Error> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(StrBytes::from_string(topic.to_owned()))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let answer = self.call(To::Any, &request, deadline).await?;
        let mut settings = BTreeMap::new();
        for result in answer.results {
            if let Some(code) = ResponseError::try_from_code(result.error_code) {
                return Err(about_topic(topic, code));
            }
            for config in result.configs {
                let setting = Setting {
                    value: config.value.map(|value| value.to_string()),
                    default: config.config_source != FROM_TOPIC,
                };
                settings.insert(config.name.to_string(), setting);
            }
        }
        Ok(settings)
    }
}

/// Whether there are so many partitions, each with a leader.
fn led(topics: &[Topic], partitions: i32) -> Result<(), Error> {
    super::offsets::by_leader(topics)?;
    for topic in topics {
        let has = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        if has < partitions {
            return Err(Error::Leaderless {
                topic: topic.name.clone(),
                partition: has,
            });
        }
    }
    Ok(())
}

fn millis(deadline: &Deadline) -> i32 {
    i32::try_from(deadline.remaining().as_millis()).unwrap_or(i32::MAX)
}

fn creatable(spec: &TopicSpec) -> CreatableTopic {
    let config = |(name, value): (&String, &String)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string(name.clone()))
            .with_value(Some(StrBytes::from_string(value.clone())))
    };
    CreatableTopic::default()
        .with_name(topic_name(&spec.name))
        .with_num_partitions(spec.partitions)
        .with_replication_factor(spec.replication.unwrap_or(-1))
        .with_configs(spec.settings.iter().map(config).collect())
}

/// How an existing topic stands to what is wanted.
fn compare(spec: &TopicSpec, topic: &Topic, settings: &BTreeMap<String, Setting>) -> Standing {
    let mut differences = Vec::new();
    let has = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let wanted = spec.partitions;
    match has.cmp(&wanted) {
        std::cmp::Ordering::Less => differences.push(Difference::FewerPartitions { has, wanted }),
        std::cmp::Ordering::Greater => differences.push(Difference::MorePartitions { has, wanted }),
        std::cmp::Ordering::Equal => {}
    }
    for (name, wanted) in &spec.settings {
        let has = settings.get(name).and_then(|setting| setting.value.clone());
        if has.as_ref() != Some(wanted) {
            differences.push(Difference::Setting {
                name: name.clone(),
                has,
                wanted: wanted.clone(),
            });
        }
    }
    match differences.is_empty() {
        true => Standing::Same,
        false => Standing::Differs(differences),
    }
}
