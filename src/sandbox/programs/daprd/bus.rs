//! What a pub/sub component does for the sidecar, whatever is behind it.

use std::time::Duration;

use async_trait::async_trait;

/// A record to publish, or one that came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    /// Its place in the partition, for one that came.
    pub(super) offset: i64,
    /// Milliseconds since 1970.
    pub(super) time: i64,
}

/// Why a broker did not do it, in the words of Dapr's Kafka client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct BusError {
    pub(super) text: String,
    /// Whether the same may succeed later.
    pub(super) passes: bool,
}

/// The right to read a partition, given back when it is dropped.
pub(super) type Claim = Box<dyn std::any::Any + Send>;

/// A message bus.
#[async_trait]
pub(super) trait Bus: Send + Sync + 'static {
    /// Writes a record; its partition and offset.
    async fn publish(
        &self,
        topic: &str,
        partition: Option<i32>,
        message: Message,
    ) -> Result<(i32, i64), BusError>;

    /// The first offset and the one behind the last, of each partition.
    async fn bounds(&self, topic: &str) -> Result<Vec<(i64, i64)>, BusError>;

    /// The records from an offset on, and where to go on. Waits for some.
    async fn fetch(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        wait: Duration,
    ) -> Result<(Vec<Message>, i64), BusError>;

    /// How far the group has come.
    async fn committed(&self, topic: &str, partition: i32) -> Result<Option<i64>, BusError>;

    /// Notes how far the group has come.
    async fn commit(&self, topic: &str, partition: i32, offset: i64) -> Result<(), BusError>;

    /// Waits for the right to read a partition for the group.
    async fn claim(&self, topic: &str, partition: i32) -> Claim;

    /// Whether a group that is new reads what was there before it.
    fn starts_at_oldest(&self) -> bool;
}
