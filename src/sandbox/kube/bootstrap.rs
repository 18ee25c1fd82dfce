//! What a new cluster has before anybody asks: its first namespaces, roles,
//! service and storage class, and the task of its controllers.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::cluster::{Cluster, key, text};
use super::{controllers, node};

/// Makes what is missing and starts the controllers.
pub fn start(cluster: &Arc<Cluster>, stop: &CancellationToken) {
    for (group, plural, object) in objects() {
        make(cluster, group, plural, object);
    }
    node::resume(cluster);
    tokio::spawn(controllers::run(cluster.clone(), stop.clone()));
}

fn make(cluster: &Cluster, group: &str, plural: &str, mut object: Value) {
    let table = cluster.table_of(group, plural);
    let key = key(
        text(&object, "/metadata/namespace"),
        text(&object, "/metadata/name"),
    );
    if cluster.world.store.get(&table, &key).is_some() {
        return;
    }
    object["metadata"]["uid"] = json!(cluster.uid(&table, &key));
    object["metadata"]["creationTimestamp"] = json!(cluster.now());
    cluster.put(&table, &key, object, None);
}

fn objects() -> Vec<(&'static str, &'static str, Value)> {
    let mut objects: Vec<_> = ["default", "kube-system", "kube-public", "kube-node-lease"]
        .into_iter()
        .map(|name| {
            let namespace = json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            });
            ("", "namespaces", namespace)
        })
        .collect();
    objects.push(("", "services", kubernetes_service()));
    let rbac = "rbac.authorization.k8s.io";
    let roles = [
        (
            "cluster-admin",
            json!([
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]),
        ),
        ("admin", all_namespaced(&["*"])),
        (
            "edit",
            all_namespaced(&[
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch",
            ]),
        ),
        ("view", all_namespaced(&["get", "list", "watch"])),
    ];
    let labels = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    for (name, rules) in roles {
        let role = json!({
            "apiVersion": format!("{rbac}/v1"),
            "kind": "ClusterRole",
            "metadata": {"name": name, "labels": labels},
            "rules": rules,
        });
        objects.push((rbac, "clusterroles", role));
    }
    let binding = json!({
        "apiVersion": format!("{rbac}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "cluster-admin", "labels": labels},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": rbac, "kind": "Group", "name": "system:masters"}],
    });
    objects.push((rbac, "clusterrolebindings", binding));
    objects.push(("storage.k8s.io", "storageclasses", storage_class()));
    objects.extend(super::roles::objects());
    for (name, value) in [
        ("system-cluster-critical", 2_000_000_000),
        ("system-node-critical", 2_000_001_000),
    ] {
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name, "generation": 1},
            "value": value,
            "preemptionPolicy": "PreemptLowerPriority",
        });
        objects.push(("scheduling.k8s.io", "priorityclasses", class));
    }
    objects
}

/// The rules of the roles for people: everything in the groups of workloads.
fn all_namespaced(verbs: &[&str]) -> Value {
    let groups = [
        "",
        "apps",
        "batch",
        "autoscaling",
        "networking.k8s.io",
        "policy",
    ];
    json!([{"verbs": verbs, "apiGroups": groups, "resources": ["*"]}])
}

fn kubernetes_service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": "10.96.0.1",
            "clusterIPs": ["10.96.0.1"],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
        "status": {"loadBalancer": {}},
    })
}

/// The block volumes that OKE offers by default.
pub fn storage_class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "oci-bv",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "blockvolume.csi.oraclecloud.com",
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": true,
        "volumeBindingMode": "WaitForFirstConsumer",
    })
}
