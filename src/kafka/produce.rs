//! Storing events, confirmed by all replicas that are in sync.

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::client::{Client, To, Topic, about_topic, coded, topic_name};
use super::error::Error;
use crate::clock::Deadline;

/// An event to store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// Its key: events with the same key keep their order.
    pub key: Option<Bytes>,
    /// Its content.
    pub value: Bytes,
    /// Its headers.
    pub headers: Vec<(String, Bytes)>,
    /// The partition, where the caller wants to choose it.
    pub partition: Option<i32>,
}

/// Where an event was stored.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Stored {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
}

impl Client {
    /// Stores one event and waits until it is confirmed.
    pub async fn produce(&self, topic: &str, record: NewRecord) -> Result<Stored, Error> {
        let mut stored = self.produce_all(topic, vec![record]).await?;
        stored.pop().ok_or_else(|| Error::TopicMissing {
            topic: topic.to_owned(),
        })
    }

    /// Stores events in one request for each partition; tells where each went.
    ///
    /// What was refused because the leader has moved is sent again. A
    /// connection that is lost before the confirmation is an
    /// [`Error::Unconfirmed`]: sending again might store the events twice.
    pub async fn produce_all(
        &self,
        topic: &str,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Stored>, Error> {
        let mut attempts = self.attempts();
        let described = loop {
            match self.topics_once(&[topic], &attempts.deadline).await {
                Ok(topics) => break topics.into_iter().next(),
                Err(error) => attempts.after(error).await?,
            }
        };
        let count = described.as_ref().map_or(0, |topic| topic.partitions.len());
        let mut chosen: Vec<(i32, Vec<usize>)> = Vec::new();
        for (i, record) in records.iter().enumerate() {
            let partition = self.partition(record, count);
            match chosen.iter_mut().find(|(p, _)| *p == partition) {
                Some((_, indices)) => indices.push(i),
                None => chosen.push((partition, vec![i])),
            }
        }
        let mut stored = Vec::with_capacity(records.len());
        for (partition, indices) in chosen {
            let now = self.shared.clock.now().as_millisecond();
            let batch = encode(indices.iter().filter_map(|i| records.get(*i)), now)?;
            let base = loop {
                let sent = self.produce_once(topic, partition, &batch, &attempts.deadline);
                match sent.await {
                    Ok(base) => break base,
                    Err(error) => attempts.after(error).await?,
                }
            };
            for (n, i) in indices.into_iter().enumerate() {
                let offset = base + i64::try_from(n).unwrap_or_default();
                stored.push((i, partition, offset));
            }
        }
        stored.sort_unstable();
        Ok(stored
            .into_iter()
            .map(|(_, partition, offset)| Stored {
                topic: topic.to_owned(),
                partition,
                offset,
            })
            .collect())
    }

    /// The partition of an event: the wanted one, that of its key, or any.
    fn partition(&self, record: &NewRecord, count: usize) -> i32 {
        let count = i32::try_from(count).unwrap_or(i32::MAX).max(1);
        if let Some(partition) = record.partition {
            return partition;
        }
        match &record.key {
            Some(key) => partition_of_key(key, count),
            #[expect(clippy::cast_possible_truncation, reason = "below the count")]
            None => (self.shared.clock.jitter() * f64::from(count)) as i32,
        }
    }

    async fn produce_once(
        &self,
        topic: &str,
        partition: i32,
        batch: &Bytes,
        deadline: &Deadline,
    ) -> Result<i64, Error> {
        let topics = self.topics_once(&[topic], deadline).await?;
        let leader = leader(&topics, topic, partition)?;
        let data = PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(batch.clone()));
        let data = TopicProduceData::default()
            .with_name(topic_name(topic))
            .with_partition_data(vec![data]);
        let wait = i32::try_from(deadline.remaining().as_millis()).unwrap_or(i32::MAX);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(wait)
            .with_topic_data(vec![data]);
        // A connection from before may be dead already; a new one fails before
        // anything is sent.
        let mut connection = self.fresh(To::Broker(leader), deadline).await?;
        let answer = match connection.call(&request, deadline).await {
            Ok(answer) => answer,
            Err(error @ (Error::Closed { .. } | Error::Silent { .. })) => {
                return Err(Error::Unconfirmed(Box::new(error)));
            }
            Err(error) => return Err(error),
        };
        self.keep(connection).await;
        let answered = answer
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses)
            .find(|p| p.index == partition);
        let Some(answered) = answered else {
            return Err(about_topic(topic, ResponseError::UnknownServerError));
        };
        match ResponseError::try_from_code(answered.error_code) {
            None => Ok(answered.base_offset),
            // It may be stored all the same.
            Some(ResponseError::RequestTimedOut) => Err(Error::Unconfirmed(Box::new(about_topic(
                topic,
                ResponseError::RequestTimedOut,
            )))),
            Some(code) => {
                let said = answered.error_message.as_ref().map(ToString::to_string);
                Err(match about_topic(topic, code) {
                    Error::Broker { code, about, .. } => Error::Broker { code, about, said },
                    error => error,
                })
            }
        }
    }
}

fn leader(topics: &[Topic], topic: &str, partition: i32) -> Result<i32, Error> {
    let partitions = topics.iter().flat_map(|topic| &topic.partitions);
    let found = partitions.into_iter().find(|p| p.id == partition);
    let Some(found) = found else {
        let about = format!("partition {partition} of the topic `{topic}`");
        return Err(coded(ResponseError::InvalidPartitions, about, None));
    };
    found.leader.ok_or_else(|| Error::Leaderless {
        topic: topic.to_owned(),
        partition,
    })
}

/// One batch: Kafka takes no more than one for a partition in a request.
fn encode<'a>(
    records: impl Iterator<Item = &'a NewRecord>,
    timestamp: i64,
) -> Result<Bytes, Error> {
    let records: Vec<Record> = (0..)
        .zip(records)
        .map(|(i, r)| whole(r, i, timestamp))
        .collect();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, &records, &options)
        .map_err(|error| coded(ResponseError::InvalidRecord, error.to_string(), None))?;
    Ok(bytes.freeze())
}

fn whole(record: &NewRecord, place: i32, timestamp: i64) -> Record {
    let headers = record.headers.iter();
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(place),
        // The codec begins another batch where this does not count along.
        sequence: NO_SEQUENCE.wrapping_add(place),
        timestamp,
        key: record.key.clone(),
        value: Some(record.value.clone()),
        headers: headers
            .map(|(name, value)| (StrBytes::from_string(name.clone()), Some(value.clone())))
            .collect(),
    }
}

/// The partition of a key as the library inside Dapr picks it (FNV-1a of 32
/// bits, as a signed number without its sign): what is published by hand goes
/// where the app's own events of the same key go.
fn partition_of_key(key: &[u8], count: i32) -> i32 {
    let hash = key.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    (hash.cast_signed() % count).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_partition_are_one_batch() {
        let record = |i: i32| NewRecord {
            key: Some(Bytes::from(i.to_string())),
            ..NewRecord::default()
        };
        let records: Vec<NewRecord> = (0..50).map(record).collect();
        let bytes = encode(records.iter(), 0).unwrap();
        let batches: Vec<_> = super::super::batch::Batches::new(bytes).collect();
        assert_eq!(batches.len(), 1);
        let unpacked = batches[0].clone().unwrap().unpack().unwrap();
        assert_eq!(unpacked.records().count(), 50);
    }

    #[test]
    fn keys_choose_their_partition_by_fnv() {
        // FNV-1a of "" is 0x811c9dc5, of "a" 0xe40c292c, of "foobar" 0xbf9cf968.
        for (key, hash) in [
            ("", 0x811c_9dc5_u32),
            ("a", 0xe40c_292c),
            ("foobar", 0xbf9c_f968),
        ] {
            let expected = (hash.cast_signed() % 7).abs();
            assert_eq!(partition_of_key(key.as_bytes(), 7), expected, "{key}");
        }
        assert!((0..100).all(|i: i32| (0..3).contains(&partition_of_key(&i.to_be_bytes(), 3))));
    }
}
