//! Reading events: every partition at once, from any offset, without a
//! consumer group.
//!
//! One task for each broker asks for all the partitions that it leads and hands
//! over what comes, while the caller reads what came before. At most
//! [`AHEAD`] chunks wait, so memory stays flat however long the log is. When a
//! partition's leader moves, or a broker goes away, the partitions in question
//! are looked up again, and reading goes on behind the last event handed over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::batch::{BadBatch, Batches, Record};
use super::client::{Client, To, about_topic, topic_name};
use super::error::Error;
use super::offsets::{At, Offsets};
use super::wire::Connection;

/// How many chunks may wait for the reader.
const AHEAD: usize = 4;
/// How much a broker sends at once, and how much of it from one partition.
const MOST_BYTES: i32 = 8 * 1024 * 1024;
const MOST_PARTITION_BYTES: i32 = 1024 * 1024;
/// How long a broker holds a request when there is nothing new.
const HOLD: Duration = Duration::from_millis(500);

/// What to read.
#[derive(Debug, Clone)]
pub struct ScanPlan {
    /// Where to begin in each partition.
    pub from: Offsets,
    /// Where to end in each partition; one that is not in it goes on for ever.
    pub until: Offsets,
}

/// Events of one partition, one after the other.
#[derive(Debug)]
pub struct Chunk {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset that the next event of the partition will have.
    pub latest: i64,
    from: i64,
    until: i64,
    bytes: Bytes,
}

impl Chunk {
    /// Shows each event, until `f` returns false. Returns whether it went to
    /// the end.
    pub fn each(&self, mut f: impl FnMut(Record<'_>) -> bool) -> Result<bool, Error> {
        for batch in Batches::new(self.bytes.clone()) {
            let batch = batch.map_err(|bad| self.bad(bad))?;
            if batch.last < self.from {
                continue;
            }
            let unpacked = batch.unpack().map_err(|bad| self.bad(bad))?;
            for record in unpacked.records() {
                let record = record.map_err(|bad| self.bad(bad))?;
                // A broker sends whole batches, so there may be more in front.
                if record.offset < self.from {
                    continue;
                }
                if record.offset >= self.until {
                    return Ok(true);
                }
                if !f(record) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn bad(&self, bad: BadBatch) -> Error {
        Error::Batch {
            topic: self.topic.to_string(),
            partition: self.partition,
            offset: bad.offset,
            what: bad.what,
        }
    }
}

/// Events as they come. Dropping it ends the reading.
#[derive(Debug)]
pub struct Scan {
    chunks: mpsc::Receiver<Result<Chunk, Error>>,
    supervisor: AbortHandle,
}

impl Drop for Scan {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

impl Scan {
    /// The next events of some partition, or `None` when every partition has
    /// come to its end.
    pub async fn next(&mut self) -> Result<Option<Chunk>, Error> {
        self.chunks.recv().await.transpose()
    }
}

/// One partition that is being read.
#[derive(Debug, Clone)]
struct Place {
    topic: Arc<str>,
    partition: i32,
    next: i64,
    until: i64,
}

impl Client {
    /// Begins to read.
    pub fn scan(&self, plan: &ScanPlan) -> Scan {
        let (sender, chunks) = mpsc::channel(AHEAD);
        let mut topics: BTreeMap<&str, Arc<str>> = BTreeMap::new();
        let mut places = Vec::with_capacity(plan.from.len());
        for (key, offset) in &plan.from {
            let (topic, partition) = key;
            let topic = topics.entry(topic).or_insert_with(|| topic.as_str().into());
            let until = plan.until.get(key).copied().unwrap_or(i64::MAX);
            if *offset < until {
                places.push(Place {
                    topic: topic.clone(),
                    partition: *partition,
                    next: *offset,
                    until,
                });
            }
        }
        let supervisor = tokio::spawn(supervise(self.clone(), places, sender)).abort_handle();
        Scan { chunks, supervisor }
    }
}

/// Keeps a worker at each broker that leads one of the places, until all are
/// at their end, the reader is gone, or something will not pass.
async fn supervise(
    client: Client,
    mut idle: Vec<Place>,
    sender: mpsc::Sender<Result<Chunk, Error>>,
) {
    let mut workers: JoinSet<Left> = JoinSet::new();
    let mut attempts = client.attempts();
    loop {
        if !idle.is_empty() {
            match assign(&client, &idle).await {
                Ok(leaders) => {
                    for (leader, places) in leaders {
                        let worker = Worker {
                            client: client.clone(),
                            leader,
                            places,
                            sender: sender.clone(),
                            progress: false,
                        };
                        workers.spawn(worker.run());
                    }
                    idle.clear();
                }
                Err(error) => {
                    if let Err(error) = attempts.after(error).await {
                        let _ = sender.send(Err(error)).await;
                        return;
                    }
                    continue;
                }
            }
        }
        let Some(Ok(left)) = workers.join_next().await else {
            return;
        };
        if left.progress {
            attempts = client.attempts();
        }
        idle = left.places;
        if let Some(error) = left.error
            && let Err(error) = attempts.after(error).await
        {
            let _ = sender.send(Err(error)).await;
            return;
        }
    }
}

/// The places by the broker that leads them now.
async fn assign(client: &Client, idle: &[Place]) -> Result<BTreeMap<i32, Vec<Place>>, Error> {
    let mut names: Vec<&str> = idle.iter().map(|place| &*place.topic).collect();
    names.dedup();
    let attempts = client.attempts();
    let topics = client.topics_once(&names, &attempts.deadline).await?;
    let mut leaders: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
    for place in idle {
        let leaderless = || Error::Leaderless {
            topic: place.topic.to_string(),
            partition: place.partition,
        };
        let topic = topics.iter().find(|topic| *topic.name == *place.topic);
        let partitions = topic.map(|topic| topic.partitions.as_slice());
        let found = partitions.and_then(|all| all.iter().find(|p| p.id == place.partition));
        let leader = found.and_then(|p| p.leader).ok_or_else(leaderless)?;
        leaders.entry(leader).or_default().push(place.clone());
    }
    Ok(leaders)
}

/// What a worker leaves behind.
struct Left {
    places: Vec<Place>,
    error: Option<Error>,
    progress: bool,
}

struct Worker {
    client: Client,
    leader: i32,
    places: Vec<Place>,
    sender: mpsc::Sender<Result<Chunk, Error>>,
    progress: bool,
}

impl Worker {
    async fn run(mut self) -> Left {
        let error = self.read().await.err();
        Left {
            places: self.places,
            error,
            progress: self.progress,
        }
    }

    async fn read(&mut self) -> Result<(), Error> {
        let deadline = self.client.attempts().deadline;
        let mut connection = self
            .client
            .fresh(To::Broker(self.leader), &deadline)
            .await?;
        while !self.places.is_empty() && !self.sender.is_closed() {
            self.fetch(&mut connection).await?;
        }
        self.places.clear();
        self.client.keep(connection).await;
        Ok(())
    }

    async fn fetch(&mut self, connection: &mut Connection) -> Result<(), Error> {
        let clock = &self.client.shared.clock;
        let deadline = clock.deadline(self.client.patience() + HOLD.mul_f64(clock.rate()));
        let answer = connection.call(&self.request(), &deadline).await?;
        if let Some(code) = ResponseError::try_from_code(answer.error_code) {
            return Err(super::client::coded(code, "Fetch".to_owned(), None));
        }
        self.progress = true;
        let mut moved = None;
        for topic in answer.responses {
            for data in topic.partitions {
                if let Err(error) = self.take(&topic.topic.0, data).await {
                    moved.get_or_insert(error);
                }
            }
        }
        self.places.retain(|place| place.next < place.until);
        // The next request begins behind those that stay the longest without
        // an answer, so that none starves behind a busy neighbour.
        if !self.places.is_empty() {
            self.places.rotate_left(1);
        }
        moved.map_or(Ok(()), Err)
    }

    fn request(&self) -> FetchRequest {
        let mut topics: Vec<FetchTopic> = Vec::new();
        for place in &self.places {
            let partition = FetchPartition::default()
                .with_partition(place.partition)
                .with_current_leader_epoch(-1)
                .with_fetch_offset(place.next)
                .with_last_fetched_epoch(-1)
                .with_log_start_offset(-1)
                .with_partition_max_bytes(MOST_PARTITION_BYTES);
            match topics.iter_mut().find(|t| *t.topic.0 == *place.topic) {
                Some(topic) => topic.partitions.push(partition),
                None => topics.push(
                    FetchTopic::default()
                        .with_topic(topic_name(&place.topic))
                        .with_partitions(vec![partition]),
                ),
            }
        }
        FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_wait_ms(i32::try_from(HOLD.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(1)
            .with_max_bytes(MOST_BYTES)
            .with_session_epoch(-1)
            .with_topics(topics)
    }

    /// Hands over what came from one partition.
    async fn take(&mut self, topic: &str, data: PartitionData) -> Result<(), Error> {
        let found = self
            .places
            .iter_mut()
            .find(|place| *place.topic == *topic && place.partition == data.partition_index);
        let Some(place) = found else {
            return Ok(());
        };
        match ResponseError::try_from_code(data.error_code) {
            None => {}
            Some(ResponseError::OffsetOutOfRange) => {
                let place = place.clone();
                return Err(out_of_range(&self.client, self.leader, place).await);
            }
            Some(code) => return Err(about_fetch(topic, code)),
        }
        let bytes = data.records.unwrap_or_default();
        let mut next = place.next;
        for batch in Batches::new(bytes.clone()) {
            let batch = batch.map_err(|bad| Error::Batch {
                topic: topic.to_owned(),
                partition: data.partition_index,
                offset: bad.offset,
                what: bad.what,
            })?;
            next = next.max(batch.last.saturating_add(1));
        }
        if next == place.next {
            return Ok(());
        }
        let chunk = Chunk {
            topic: place.topic.clone(),
            partition: place.partition,
            latest: data.high_watermark,
            from: place.next,
            until: place.until,
            bytes,
        };
        place.next = next;
        // A reader that is gone is noticed by the loop.
        let _ = self.sender.send(Ok(chunk)).await;
        Ok(())
    }
}

/// Says which offsets there are instead.
async fn out_of_range(client: &Client, leader: i32, place: Place) -> Error {
    let partitions = BTreeMap::from([(place.topic.to_string(), vec![place.partition])]);
    let deadline = client.attempts().deadline;
    let mut ends = [0; 2];
    for (end, at) in ends.iter_mut().zip([At::Earliest, At::Latest]) {
        match client.offsets_at(leader, &partitions, at, &deadline).await {
            Ok(offsets) => *end = offsets.values().next().copied().unwrap_or_default(),
            Err(error) => return error,
        }
    }
    let [earliest, latest] = ends;
    Error::OutOfRange {
        topic: place.topic.to_string(),
        partition: place.partition,
        offset: place.next,
        earliest,
        latest,
    }
}

/// A topic that is suddenly unknown to its leader has most likely moved.
fn about_fetch(topic: &str, code: ResponseError) -> Error {
    match code {
        ResponseError::UnknownTopicOrPartition => Error::Broker {
            code,
            about: format!("the topic `{topic}`"),
            said: None,
        },
        code => about_topic(topic, code),
    }
}
