//! Owners and what they own: deleting the one deletes the other.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::cluster::{Cluster, text};
use super::controllers::{delete, has_finalizer, is_terminating, modify, without_finalizer};
use crate::sandbox::store::Change;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Table and key of an object.
type Place = (Arc<str>, Arc<str>);

/// Who owns what, by uid.
#[derive(Debug, Default)]
pub struct Owners {
    alive: HashSet<String>,
    owned: HashMap<String, BTreeSet<Place>>,
    places: HashMap<String, Place>,
}

fn owner_uids(object: &Value) -> Vec<String> {
    let references = object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    references
        .into_iter()
        .flatten()
        .map(|r| text(r, "/uid").to_owned())
        .collect()
}

impl Owners {
    /// Notes an object.
    pub fn learn(&mut self, table: &Arc<str>, key: &Arc<str>, object: &Value) {
        let uid = text(object, "/metadata/uid").to_owned();
        self.alive.insert(uid.clone());
        self.places.insert(uid, (table.clone(), key.clone()));
        for owner in owner_uids(object) {
            let place = (table.clone(), key.clone());
            self.owned.entry(owner).or_default().insert(place);
        }
    }

    fn forget(&mut self, change: &Change, object: &Value) {
        for owner in owner_uids(object) {
            if let Some(owned) = self.owned.get_mut(&owner) {
                owned.remove(&(change.table.clone(), change.key.clone()));
            }
        }
    }

    /// Does what a change asks for.
    pub fn follow(&mut self, cluster: &Cluster, change: &Change) {
        if let Some(before) = change.before.as_deref() {
            self.forget(change, before);
        }
        if let Some(after) = change.after.as_deref() {
            self.learn(&change.table, &change.key, after);
            self.end(cluster, change, after);
            let owners = owner_uids(after);
            let orphaned = !owners.is_empty() && owners.iter().all(|o| !self.alive.contains(o));
            if orphaned {
                delete(cluster, &change.table, &change.key);
            }
        } else if let Some(before) = change.before.as_deref() {
            let uid = text(before, "/metadata/uid");
            self.alive.remove(uid);
            self.places.remove(uid);
            for (table, key) in self.owned.remove(uid).unwrap_or_default() {
                self.release(cluster, &table, &key, uid);
            }
            for owner in owner_uids(before) {
                self.finish_foreground(cluster, &owner);
            }
        }
    }

    /// What a dependent does when its owner is gone: it goes too, unless
    /// another owner is left.
    fn release(&self, cluster: &Cluster, table: &str, key: &str, owner: &str) {
        let Some(row) = cluster.world.store.get(table, key) else {
            return;
        };
        let others = owner_uids(&row.value)
            .into_iter()
            .any(|uid| uid != owner && self.alive.contains(&uid));
        if others {
            modify(cluster, table, key, |object| Some(disown(object, owner)));
        } else {
            delete(cluster, table, key);
        }
    }

    /// Goes on with an owner that waits for its dependents.
    fn end(&mut self, cluster: &Cluster, change: &Change, object: &Value) {
        if !is_terminating(object) {
            return;
        }
        let uid = text(object, "/metadata/uid");
        if has_finalizer(object, ORPHAN) {
            for (table, key) in self.owned.remove(uid).unwrap_or_default() {
                modify(cluster, &table, &key, |object| Some(disown(object, uid)));
            }
            modify(cluster, &change.table, &change.key, |object| {
                Some(without_finalizer(object, ORPHAN))
            });
        } else if has_finalizer(object, FOREGROUND) {
            for (table, key) in self.owned.get(uid).cloned().unwrap_or_default() {
                delete(cluster, &table, &key);
            }
            self.finish_foreground(cluster, uid);
        }
    }

    fn finish_foreground(&self, cluster: &Cluster, uid: &str) {
        let left = self.owned.get(uid).into_iter().flatten();
        let left = left.filter(|(table, key)| cluster.world.store.get(table, key).is_some());
        if left.count() > 0 {
            return;
        }
        if let Some((table, key)) = self.places.get(uid) {
            modify(cluster, table, key, |object| {
                (is_terminating(object) && has_finalizer(object, FOREGROUND))
                    .then(|| without_finalizer(object, FOREGROUND))
            });
        }
    }
}

/// The object without its reference to an owner.
fn disown(object: &Value, uid: &str) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        let left = metadata
            .get_mut("ownerReferences")
            .and_then(Value::as_array_mut)
            .map(|list| {
                list.retain(|r| text(r, "/uid") != uid);
                list.len()
            });
        if left == Some(0) {
            metadata.shift_remove("ownerReferences");
        }
    }
    object
}
