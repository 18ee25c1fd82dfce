//! The task that follows a cluster's changes and does what Kubernetes'
//! controllers do about them: namespaces, definitions, owners.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::admission::quota;
use super::cluster::{Cluster, text};
use super::gc::Owners;
use super::{crd, namespace, prepare};
use crate::sandbox::store::Change;

/// Follows the changes until stopped.
pub async fn run(cluster: Arc<Cluster>, stop: CancellationToken) {
    let store = cluster.world.store.clone();
    let mut latest = store.subscribe();
    let mut owners = Owners::default();
    let mut revision = resync(&cluster, &mut owners);
    loop {
        latest.borrow_and_update();
        match store.changes_since(revision) {
            Ok(changes) => {
                for change in &changes {
                    revision = change.revision;
                    if let Some(table) = own_table(&cluster, &change.table) {
                        react(&cluster, &table, change, &mut owners);
                    }
                }
            }
            Err(_) => revision = resync(&cluster, &mut owners),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = latest.changed() => if changed.is_err() { return },
        }
    }
}

/// The group and resource of a table of this cluster.
fn own_table(cluster: &Cluster, table: &str) -> Option<(String, String)> {
    let rest = table.strip_prefix(&cluster.prefix())?;
    let (group, plural) = rest.split_once('/')?;
    let group = if group == "core" { "" } else { group };
    Some((group.to_owned(), plural.to_owned()))
}

/// Looks at everything once; gives the revision to go on from.
fn resync(cluster: &Arc<Cluster>, owners: &mut Owners) -> u64 {
    *owners = Owners::default();
    let store = &cluster.world.store;
    let revision = store.revision();
    crd::refresh(cluster);
    let tables: Vec<_> = store.tables();
    for (table, _) in &tables {
        if own_table(cluster, table).is_some() {
            for (key, row) in store.list(table, "").0 {
                owners.learn(table, &key, &row.value);
            }
        }
    }
    for (table, _) in &tables {
        let Some(own) = own_table(cluster, table) else {
            continue;
        };
        for (key, row) in store.list(table, "").0 {
            let change = Change {
                table: table.clone(),
                key,
                revision: row.revision,
                before: None,
                after: Some(row.value),
            };
            react(cluster, &own, &change, owners);
        }
    }
    revision
}

fn react(
    cluster: &Arc<Cluster>,
    (group, plural): &(String, String),
    change: &Change,
    owners: &mut Owners,
) {
    owners.follow(cluster, change);
    match (group.as_str(), plural.as_str()) {
        ("", "namespaces") => namespace::follow(cluster, change),
        ("apiextensions.k8s.io", "customresourcedefinitions") => crd::follow(cluster, change),
        _ => {}
    }
    if let Some((namespace, _)) = change.key.split_once('/') {
        quota::follow(cluster, namespace);
    }
    if change.after.is_none() {
        if let Some((namespace, _)) = change.key.split_once('/') {
            namespace::finish(cluster, namespace);
        }
        crd::finish(cluster, group, plural);
    }
}

/// Changes a row, whoever else does; `change` gives none to leave it.
pub fn modify(cluster: &Cluster, table: &str, key: &str, change: impl Fn(&Value) -> Option<Value>) {
    for _ in 0..8 {
        let Some(row) = cluster.world.store.get(table, key) else {
            return;
        };
        let Some(new) = change(&row.value) else {
            return;
        };
        if new == *row.value {
            return;
        }
        let done = if prepare::is_finished(&new) {
            cluster.delete(table, key, row.revision)
        } else {
            cluster.put(table, key, new, Some(row.revision))
        };
        if done.is_some() {
            return;
        }
    }
}

/// Deletes an object as a controller does: at once, unless something must be
/// finished first.
pub fn delete(cluster: &Cluster, table: &str, key: &str) {
    let now = cluster.now();
    let pods = cluster.table_of("", "pods");
    modify(cluster, table, key, |object| {
        let mut object = object.clone();
        // A pod's kubelet ends it first.
        let runs = table == pods && !text(&object, "/spec/nodeName").is_empty();
        let grace = object
            .pointer("/spec/terminationGracePeriodSeconds")
            .and_then(Value::as_u64)
            .filter(|_| runs);
        let grace = grace.unwrap_or(if runs { 30 } else { 0 });
        let metadata = object.get_mut("metadata")?.as_object_mut()?;
        if metadata.contains_key("deletionTimestamp") {
            return None;
        }
        metadata.insert("deletionTimestamp".to_owned(), json!(now));
        metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
        prepare::raise_generation(&mut object);
        Some(object)
    });
}

/// The object without one of its finalizers.
pub fn without_finalizer(object: &Value, finalizer: &str) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        let left = metadata
            .get_mut("finalizers")
            .and_then(Value::as_array_mut)
            .map(|list| {
                list.retain(|f| f != finalizer);
                list.len()
            });
        if left == Some(0) {
            metadata.shift_remove("finalizers");
        }
    }
    object
}

/// Whether an object has a finalizer.
pub fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .is_some_and(|list| list.iter().any(|f| f == finalizer))
}

/// Whether an object is being deleted.
pub fn is_terminating(object: &Value) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}
