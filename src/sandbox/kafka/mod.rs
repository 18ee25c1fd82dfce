//! A broker that speaks Kafka's protocol: one node that leads every partition,
//! coordinates every group and keeps everything in the world's folder.
//!
//! Clients reach it over TCP ([`Broker::serve`]) with or without TLS and SASL,
//! or, from inside the sandbox, through a [`Client`]. Specified in "Kafka
//! protocol guide" (versions of each API: see `codes`). There are no
//! transactions and no replicas, and nothing here may use a client's code.

pub mod acl;
pub mod answer;
pub mod batch;
pub mod broker;
pub mod client;
pub mod codes;
pub mod crc;
pub mod fleet;
pub mod groups;
pub mod log;
pub mod names;
pub mod scram;
pub mod server;
pub mod topics;
pub mod users;
pub mod wire;

pub use acl::{Acl, Filter, Operation, Pattern, Resource};
pub use batch::Record;
pub use broker::{Broker, FAULT_KINDS, Options};
pub use client::{Client, ClientError, Place};
pub use codes::Code;
pub use fleet::{Addresses, Fleet, Wanted};
pub use names::only_asks;
pub use scram::Mechanism;
pub use server::Listener;
pub use topics::{NewTopic, TopicError};

#[cfg(test)]
mod tests;
