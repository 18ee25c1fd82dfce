//! Kafka by its own protocol: topics, events, consumer groups.
//!
//! This module owns every byte that goes to a broker: encryption and
//! authentication of a connection, versions of requests, which broker is asked,
//! what is tried again and for how long. It knows neither the profile nor
//! Kubernetes; how a broker's socket is reached is the caller's [`Connector`].
//! What an event means is `cloudevents`' business.
//!
//! Every operation ends within the client's patience, with an answer or with
//! an [`Error`] that names the likely mend. Specified by the Kafka protocol
//! guide (kafka.apache.org/protocol) and KIP-98 (record batches), KIP-152
//! (authentication), KIP-511 (versions).
//!
//! Deliberately absent: consumer groups of our own (reading never moves
//! anybody's offsets), transactions, and idempotent producing, because every
//! producer identifier counts against the limits of a serverless cluster.

mod access;
mod api;
mod batch;
mod client;
mod error;
mod groups;
mod offsets;
mod produce;
mod sasl;
mod scan;
mod scram;
mod topics;
mod wire;

pub use access::{
    Address, AddressError, BoxedStream, Connector, KafkaAccess, Mechanism, Sasl, Stream, Tcp,
};
pub use batch::{Headers, Record};
pub use client::{Client, Cluster, PATIENCE, Partition, Topic};
pub use error::{Error, Guarded, Stage};
pub use groups::{Group, Lag, Member};
pub use offsets::{At, Offsets};
pub use produce::{NewRecord, Stored};
pub use scan::{Chunk, Scan, ScanPlan};
pub use topics::{Difference, Setting, Standing, TopicSpec};

#[cfg(test)]
mod tests;
