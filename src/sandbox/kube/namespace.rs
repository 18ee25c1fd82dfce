//! Namespaces: what a new one gets, and how one ends.

use std::sync::Arc;

use serde_json::{Value, json};

use super::cluster::{Cluster, key, key_prefix};
use super::controllers::{delete, is_terminating, modify};
use crate::sandbox::store::Change;

/// The table of clusters, whose certificates every namespace is told.
const CLUSTERS: &str = "kube/clusters";

/// Does what a change of a namespace asks for.
pub fn follow(cluster: &Arc<Cluster>, change: &Change) {
    let Some(namespace) = change.after.as_deref() else {
        return;
    };
    if is_terminating(namespace) {
        empty(cluster, &change.key);
        finish(cluster, &change.key);
    } else {
        furnish(cluster, &change.key);
    }
}

/// Gives a namespace its service account and the cluster's authority.
fn furnish(cluster: &Arc<Cluster>, namespace: &str) {
    let make = |plural: &str, kind: &str, name: &str, data: Option<Value>| {
        let table = cluster.table_of("", plural);
        let key = key(namespace, name);
        if cluster.world.store.get(&table, &key).is_some() {
            return;
        }
        let mut object = json!({
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": cluster.uid(&table, &key),
                "creationTimestamp": cluster.now(),
            },
        });
        if let Some(data) = data {
            object["metadata"]["annotations"] = json!({
                "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
            });
            object["data"] = data;
        }
        cluster.put(&table, &key, object, None);
    };
    make("serviceaccounts", "ServiceAccount", "default", None);
    let row = cluster.world.store.get(CLUSTERS, &cluster.ocid);
    let ca = row.and_then(|r| r.value.pointer("/certificates/caPem").cloned());
    let data = json!({"ca.crt": ca.unwrap_or_default()});
    make("configmaps", "ConfigMap", "kube-root-ca.crt", Some(data));
}

/// The tables that hold something of a namespace, with its keys.
fn content(cluster: &Cluster, namespace: &str) -> Vec<(String, Arc<str>)> {
    let store = &cluster.world.store;
    let prefix = cluster.prefix();
    let tables = store.tables();
    let own = tables.iter().filter(|(t, _)| t.starts_with(&prefix));
    own.flat_map(|(table, _)| {
        let rows = store.list(table, &key_prefix(namespace)).0;
        rows.into_iter().map(|(key, _)| (table.to_string(), key))
    })
    .collect()
}

fn empty(cluster: &Cluster, namespace: &str) {
    for (table, key) in content(cluster, namespace) {
        delete(cluster, &table, &key);
    }
}

/// Lets a terminating namespace go once nothing is left in it.
pub fn finish(cluster: &Cluster, namespace: &str) {
    let table = cluster.table_of("", "namespaces");
    let Some(row) = cluster.world.store.get(&table, namespace) else {
        return;
    };
    if !is_terminating(&row.value) || !content(cluster, namespace).is_empty() {
        return;
    }
    modify(cluster, &table, namespace, |object| {
        let mut object = object.clone();
        object
            .get_mut("spec")?
            .as_object_mut()?
            .shift_remove("finalizers");
        Some(object)
    });
}
