//! Looking at what runs: the logs of all replicas and sidecars as one stream,
//! and the [`room`] on the nodes.
//!
//! [`follow`] finds the containers and reads their logs, across restarts and
//! new pods; [`merge`] puts the lanes in order of time; [`record`] understands
//! a line and says whether it is wanted. Between them are bounded channels:
//! whoever reads slowly slows the cluster's answers down, and memory stays
//! flat.

pub mod follow;
pub mod merge;
pub mod record;
pub mod room;
mod seen;

use std::sync::Arc;

/// Where a line comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Source {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// The service that the pod belongs to, as the app names it.
    pub service: String,
}

impl Source {
    /// Whether it is the Dapr sidecar beside the app.
    pub fn is_sidecar(&self) -> bool {
        self.container == "daprd"
    }

    /// The pod's name without what all pods of the service share.
    pub fn short_pod(&self) -> &str {
        let rest = self.pod.strip_prefix(self.service.as_str());
        rest.map_or(self.pod.as_str(), |rest| rest.trim_start_matches('-'))
    }
}

/// One of the streams that are merged.
pub type SourceRef = Arc<Source>;
