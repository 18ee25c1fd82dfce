//! The client: which broker is asked what, connections kept open, and second
//! attempts within a time limit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Mutex;

use super::access::{Address, KafkaAccess};
use super::api::Api;
use super::error::{Error, Guarded};
use super::wire::{Connection, Shared};
use crate::clock::{Backoff, Clock, Deadline};

/// How long an operation may take unless the caller says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A Kafka client, cheap to clone. Nothing is connected before the first call.
#[derive(Clone)]
pub struct Client {
    pub(super) shared: Arc<Shared>,
    state: Arc<State>,
    patience: Duration,
}

struct State {
    /// Addresses by broker, as they were advertised last.
    brokers: Mutex<BTreeMap<i32, Address>>,
    /// Connections by address. A call takes one out and puts it back.
    idle: Mutex<HashMap<Address, Vec<Connection>>>,
    /// Whether any broker has ever been reached: before that a closed port is
    /// a mistake, after that it is weather.
    met: AtomicBool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("brokers", &self.shared.access.brokers)
            .finish_non_exhaustive()
    }
}

/// Which broker is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// Any one.
    Any,
    /// This one.
    Broker(i32),
}

/// A cluster as its brokers describe it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Cluster {
    /// Its name.
    pub id: Option<String>,
    /// The broker that changes topics, if there is one at the moment.
    pub controller: Option<i32>,
    /// Addresses by broker.
    #[serde(serialize_with = "addresses")]
    pub brokers: BTreeMap<i32, Address>,
    /// The topics that were asked for and exist.
    pub topics: Vec<Topic>,
}

/// A topic as the brokers describe it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Whether Kafka made it for itself.
    pub internal: bool,
    /// Its partitions in order.
    pub partitions: Vec<Partition>,
}

/// A partition as the brokers describe it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Partition {
    /// Its number.
    pub id: i32,
    /// The broker that serves it, if there is one at the moment.
    pub leader: Option<i32>,
    /// The brokers that should hold it.
    pub replicas: Vec<i32>,
    /// Those of them that are up to date.
    pub in_sync: Vec<i32>,
}

fn addresses<S: serde::Serializer>(
    brokers: &BTreeMap<i32, Address>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        brokers
            .iter()
            .map(|(id, address)| (id, address.to_string())),
    )
}

/// What is left of an operation's time, and how long to wait before the next
/// attempt.
pub(super) struct Attempts<'a> {
    client: &'a Client,
    pub(super) deadline: Deadline,
    backoff: Backoff,
}

impl Attempts<'_> {
    /// Waits after a failure that may pass, or returns it.
    pub(super) async fn after(&mut self, error: Error) -> Result<(), Error> {
        let met = self.client.state.met.load(Ordering::Relaxed);
        let again = error.is_passing() || (met && error.is_about_the_way());
        if !again || self.deadline.passed() {
            return Err(error);
        }
        let clock = &self.client.shared.clock;
        let wait = self.backoff.next(clock).min(self.deadline.remaining());
        clock.sleep(wait).await?;
        if self.deadline.passed() {
            Err(error)
        } else {
            Ok(())
        }
    }
}

impl Client {
    /// A client of that Kafka. Fails only when the authorities cannot be used.
    ///
    /// Brokers live in real time: a fast clock needs a floor for its limits.
    pub fn new(access: KafkaAccess, clock: Clock) -> Result<Self, Error> {
        Ok(Self {
            shared: Arc::new(Shared::new(access, clock)?),
            state: Arc::new(State {
                brokers: Mutex::default(),
                idle: Mutex::default(),
                met: AtomicBool::new(false),
            }),
            patience: PATIENCE,
        })
    }

    /// The same client with another time limit for each operation.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self {
            patience,
            ..self.clone()
        }
    }

    /// The time limit of each operation.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts {
            client: self,
            deadline: self.shared.clock.deadline(self.patience),
            backoff: Backoff::new(Duration::from_millis(50), 2.0, Duration::from_secs(1)),
        }
    }

    /// Sends a request to a broker, over a connection kept from before or a
    /// new one.
    pub(super) async fn call<R: Api>(
        &self,
        to: To,
        request: &R,
        deadline: &Deadline,
    ) -> Result<R::Response, Error> {
        let mut connection = self.connection(to, deadline).await?;
        let answer = connection.call(request, deadline).await;
        if let Ok(answer) = answer {
            self.keep(connection).await;
            return Ok(answer);
        }
        answer
    }

    /// A connection to a broker, for the caller alone.
    pub(super) async fn connection(
        &self,
        to: To,
        deadline: &Deadline,
    ) -> Result<Connection, Error> {
        let address = match to {
            To::Any => return self.any(deadline).await,
            To::Broker(id) => self.address_of(id, deadline).await?,
        };
        match self.take(&address).await {
            Some(connection) => Ok(connection),
            None => self.open(&address, deadline).await,
        }
    }

    /// A new connection to a broker, for the caller alone.
    pub(super) async fn fresh(&self, to: To, deadline: &Deadline) -> Result<Connection, Error> {
        match to {
            To::Any => self.any(deadline).await,
            To::Broker(id) => {
                let address = self.address_of(id, deadline).await?;
                self.open(&address, deadline).await
            }
        }
    }

    async fn any(&self, deadline: &Deadline) -> Result<Connection, Error> {
        if let Some(connection) = self.take_any().await {
            return Ok(connection);
        }
        let known: Vec<Address> = self.state.brokers.lock().await.values().cloned().collect();
        let all = known.iter().chain(&self.shared.access.brokers);
        let mut failure = None;
        for address in all {
            match self.open(address, deadline).await {
                Ok(connection) => return Ok(connection),
                Err(error) if error.is_about_the_way() && !deadline.passed() => {
                    failure.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(failure.unwrap_or_else(|| Error::Unreachable {
            address: Address::new("", 0),
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, "no brokers are given"),
            advice: None,
        }))
    }

    async fn open(&self, address: &Address, deadline: &Deadline) -> Result<Connection, Error> {
        let connection = Connection::open(&self.shared, address, deadline).await?;
        self.state.met.store(true, Ordering::Relaxed);
        Ok(connection)
    }

    async fn address_of(&self, id: i32, deadline: &Deadline) -> Result<Address, Error> {
        if let Some(address) = self.state.brokers.lock().await.get(&id) {
            return Ok(address.clone());
        }
        // Boxed, because looking asks any broker, and so comes back to here.
        Box::pin(self.look(Some(&[]), deadline)).await?;
        let brokers = self.state.brokers.lock().await;
        brokers.get(&id).cloned().ok_or(Error::Broker {
            code: ResponseError::BrokerNotAvailable,
            about: format!("finding broker {id}"),
            said: None,
        })
    }

    /// Puts a connection back for the next call.
    pub(super) async fn keep(&self, connection: Connection) {
        let mut idle = self.state.idle.lock().await;
        let address = connection.address().clone();
        idle.entry(address).or_default().push(connection);
    }

    async fn take(&self, address: &Address) -> Option<Connection> {
        self.state.idle.lock().await.get_mut(address)?.pop()
    }

    async fn take_any(&self) -> Option<Connection> {
        let mut idle = self.state.idle.lock().await;
        idle.values_mut().find_map(Vec::pop)
    }

    /// One look at the cluster, without a second attempt. `None` asks for all
    /// topics.
    pub(super) async fn look(
        &self,
        topics: Option<&[&str]>,
        deadline: &Deadline,
    ) -> Result<(Cluster, Vec<(String, ResponseError)>), Error> {
        let topics = topics.map(|names| names.iter().map(|name| asked(name)).collect());
        let request = MetadataRequest::default()
            .with_topics(topics)
            .with_allow_auto_topic_creation(false);
        let answer = self.call(To::Any, &request, deadline).await?;
        let mut failures = Vec::new();
        let mut found = Vec::new();
        for topic in answer.topics {
            let name = topic
                .name
                .map(|name| name.0.to_string())
                .unwrap_or_default();
            // A topic with a partition in trouble is still described.
            match ResponseError::try_from_code(topic.error_code) {
                None | Some(ResponseError::LeaderNotAvailable) => {}
                Some(code) => {
                    failures.push((name, code));
                    continue;
                }
            }
            let mut partitions: Vec<Partition> =
                topic.partitions.into_iter().map(partition).collect();
            partitions.sort_by_key(|p| p.id);
            found.push(Topic {
                name,
                internal: topic.is_internal,
                partitions,
            });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let brokers: BTreeMap<i32, Address> = answer
            .brokers
            .into_iter()
            .filter_map(|b| {
                let port = u16::try_from(b.port).ok()?;
                Some((b.node_id.0, Address::new(b.host.to_string(), port)))
            })
            .collect();
        if !brokers.is_empty() {
            self.state.brokers.lock().await.clone_from(&brokers);
        }
        let cluster = Cluster {
            id: answer.cluster_id.map(|id| id.to_string()),
            controller: Some(answer.controller_id.0).filter(|id| *id >= 0),
            brokers,
            topics: found,
        };
        Ok((cluster, failures))
    }

    /// The cluster with all its topics.
    pub async fn cluster(&self) -> Result<Cluster, Error> {
        let mut attempts = self.attempts();
        loop {
            match self.look(None, &attempts.deadline).await {
                Ok((cluster, _)) => return Ok(cluster),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    /// The topics of these names. A missing one is an error.
    pub async fn topics(&self, names: &[&str]) -> Result<Vec<Topic>, Error> {
        let mut attempts = self.attempts();
        loop {
            match self.topics_once(names, &attempts.deadline).await {
                Ok(topics) => return Ok(topics),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    pub(super) async fn topics_once(
        &self,
        names: &[&str],
        deadline: &Deadline,
    ) -> Result<Vec<Topic>, Error> {
        let (cluster, failures) = self.look(Some(names), deadline).await?;
        match failures.into_iter().next() {
            Some((topic, code)) => Err(about_topic(&topic, code)),
            None => Ok(cluster.topics),
        }
    }

    /// The broker that looks after a consumer group.
    pub(super) async fn coordinator(&self, group: &str, deadline: &Deadline) -> Result<To, Error> {
        let request = FindCoordinatorRequest::default()
            .with_key(StrBytes::from_string(group.to_owned()))
            .with_key_type(0);
        let answer = self.call(To::Any, &request, deadline).await?;
        match ResponseError::try_from_code(answer.error_code) {
            None => Ok(To::Broker(answer.node_id.0)),
            Some(code) => Err(about_group(group, code)),
        }
    }

    /// The broker that changes topics. Brokers of today
    /// pass such requests on, so where none is known any will do.
    pub(super) async fn controller(&self, deadline: &Deadline) -> Result<To, Error> {
        let (cluster, _) = self.look(Some(&[]), deadline).await?;
        let known = cluster
            .controller
            .filter(|id| cluster.brokers.contains_key(id));
        Ok(known.map_or(To::Any, To::Broker))
    }
}

fn asked(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(topic_name(name)))
}

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn partition(
    p: kafka_protocol::messages::metadata_response::MetadataResponsePartition,
) -> Partition {
    let ids = |brokers: Vec<kafka_protocol::messages::BrokerId>| {
        brokers.into_iter().map(|broker| broker.0).collect()
    };
    Partition {
        id: p.partition_index,
        leader: Some(p.leader_id.0).filter(|id| *id >= 0),
        replicas: ids(p.replica_nodes),
        in_sync: ids(p.isr_nodes),
    }
}

/// A broker's error code about a topic, in words.
pub(super) fn about_topic(topic: &str, code: ResponseError) -> Error {
    match code {
        ResponseError::UnknownTopicOrPartition | ResponseError::InvalidTopicException => {
            Error::TopicMissing {
                topic: topic.to_owned(),
            }
        }
        ResponseError::TopicAuthorizationFailed => Error::NotAuthorised {
            what: Guarded::Topic(topic.to_owned()),
        },
        code => coded(code, format!("the topic `{topic}`"), None),
    }
}

/// A broker's error code about a consumer group, in words.
pub(super) fn about_group(group: &str, code: ResponseError) -> Error {
    match code {
        ResponseError::GroupAuthorizationFailed => Error::NotAuthorised {
            what: Guarded::Group(group.to_owned()),
        },
        code => coded(code, format!("the consumer group `{group}`"), None),
    }
}

/// Any other error code.
pub(super) fn coded(code: ResponseError, about: String, said: Option<String>) -> Error {
    match code {
        ResponseError::ClusterAuthorizationFailed => Error::NotAuthorised {
            what: Guarded::Cluster,
        },
        code => Error::Broker { code, about, said },
    }
}
