//! Redpanda Cloud Serverless as its REST APIs show it: tokens, resource
//! groups, clusters with their operations, and each cluster's own API for
//! users, rules and topics. Behind every cluster stands a broker of the world.
//!
//! Specified by the OpenAPI files of the control plane and data plane, both
//! v1, read in 2026. The organisation has one service account, on trial.

pub mod control;
pub mod data;
pub mod error;

/// The faults that only Redpanda Cloud has, and what their arguments mean.
pub const FAULT_KINDS: [(&str, &str); 3] = [
    ("trial-ended", "the clusters are suspended"),
    ("create-fails", "the operation that makes a cluster fails"),
    ("no-quota", "no cluster can be made"),
];

/// The system's name in faults and in the request log.
pub const SYSTEM: &str = "redpanda";
