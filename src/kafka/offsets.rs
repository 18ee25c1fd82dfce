//! Where a partition begins and ends, and where a time is in it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use super::client::{Client, To, Topic, about_topic, topic_name};
use super::error::Error;
use crate::clock::Deadline;

/// A place in a partition, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The first event that is still there.
    Earliest,
    /// Behind the last event.
    Latest,
    /// The first event of that time or later; behind the last if there is
    /// none.
    Time(Timestamp),
}

impl At {
    fn code(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::Time(time) => time.as_millisecond(),
        }
    }
}

/// Offsets by topic and partition.
pub type Offsets = BTreeMap<(String, i32), i64>;

impl Client {
    /// The offset of a place in every partition of these topics.
    pub async fn offsets(&self, topics: &[&str], at: At) -> Result<Offsets, Error> {
        let mut attempts = self.attempts();
        loop {
            match self.offsets_once(topics, at, &attempts.deadline).await {
                Ok(offsets) => return Ok(offsets),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    async fn offsets_once(
        &self,
        topics: &[&str],
        at: At,
        deadline: &Deadline,
    ) -> Result<Offsets, Error> {
        let topics = self.topics_once(topics, deadline).await?;
        let mut found = Offsets::new();
        for (leader, partitions) in by_leader(&topics)? {
            let asked = self.offsets_at(leader, &partitions, at, deadline).await?;
            found.extend(asked);
        }
        let beyond: Vec<(String, i32)> = found
            .iter()
            .filter(|(_, offset)| **offset < 0)
            .map(|(partition, _)| partition.clone())
            .collect();
        if !beyond.is_empty() {
            // No event is that young.
            for (leader, partitions) in by_leader(&topics)? {
                let latest = self
                    .offsets_at(leader, &partitions, At::Latest, deadline)
                    .await?;
                for (partition, offset) in latest {
                    if beyond.contains(&partition) {
                        found.insert(partition, offset);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Asks one broker about partitions that it leads.
    pub(super) async fn offsets_at(
        &self,
        leader: i32,
        partitions: &BTreeMap<String, Vec<i32>>,
        at: At,
        deadline: &Deadline,
    ) -> Result<Offsets, Error> {
        let topics = partitions
            .iter()
            .map(|(name, ids)| {
                let partition = |id: &i32| {
                    ListOffsetsPartition::default()
                        .with_partition_index(*id)
                        .with_current_leader_epoch(-1)
                        .with_timestamp(at.code())
                };
                ListOffsetsTopic::default()
                    .with_name(topic_name(name))
                    .with_partitions(ids.iter().map(partition).collect())
            })
            .collect();
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_topics(topics);
        let answer = self.call(To::Broker(leader), &request, deadline).await?;
        let mut found = Offsets::new();
        for topic in answer.topics {
            for p in topic.partitions {
                if let Some(code) = ResponseError::try_from_code(p.error_code) {
                    return Err(about_topic(&topic.name.0, code));
                }
                found.insert((topic.name.0.to_string(), p.partition_index), p.offset);
            }
        }
        Ok(found)
    }
}

/// Partitions by topic, by the broker that leads them.
pub(super) fn by_leader(
    topics: &[Topic],
) -> Result<BTreeMap<i32, BTreeMap<String, Vec<i32>>>, Error> {
    let mut leaders: BTreeMap<i32, BTreeMap<String, Vec<i32>>> = BTreeMap::new();
    for topic in topics {
        for partition in &topic.partitions {
            let leader = partition.leader.ok_or_else(|| Error::Leaderless {
                topic: topic.name.clone(),
                partition: partition.id,
            })?;
            let led = leaders.entry(leader).or_default();
            led.entry(topic.name.clone())
                .or_default()
                .push(partition.id);
        }
    }
    Ok(leaders)
}
