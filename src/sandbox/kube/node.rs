//! Nodes: what a kubelet tells of itself.

use std::sync::Arc;

use super::NodeSpec;
use super::cluster::Cluster;

/// Lets a node join.
pub fn register(cluster: &Arc<Cluster>, node: NodeSpec) {
    let _ = (cluster, node);
}

/// Takes a node away.
pub fn remove(cluster: &Arc<Cluster>, name: &str) {
    let _ = (cluster, name);
}
