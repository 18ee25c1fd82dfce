//! One cluster: its rows in the store and what it serves.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Authenticator;
use super::catalog::Resource;
use super::discovery::VERSION;
use super::registry::{Registry, Served};
use super::watch::Lines;
use crate::sandbox::kubelet::Runtime;
use crate::sandbox::podnet::PodNet;
use crate::sandbox::store::{Row, Transaction};
use crate::sandbox::world::{World, hex};
use crate::secret::Secret;

/// A cluster's shared state.
pub struct Cluster {
    /// The world around it.
    pub world: Arc<World>,
    /// The cluster's OCID.
    pub ocid: String,
    /// Who tells users by their tokens.
    pub auth: Arc<dyn Authenticator>,
    /// Its kubelets, for logs and connections into pods, once they run.
    pub kubelets: OnceLock<Arc<dyn Runtime>>,
    /// The bearer token of the cluster's own components; whoever has it may
    /// act in any name.
    pub component_token: Secret,
    /// The pods' network, through which the server reaches what runs.
    pub net: Arc<PodNet>,
    /// What watchers were told last.
    pub lines: Lines,
    /// What it serves.
    pub served: Served,
    version: RwLock<String>,
}

/// The characters of generated names: no vowels, so no words.
const NAME_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

impl Cluster {
    /// A cluster that serves the built-in resources.
    pub fn new(world: Arc<World>, ocid: &str, auth: Arc<dyn Authenticator>) -> Self {
        Self {
            world,
            ocid: ocid.to_owned(),
            auth,
            kubelets: OnceLock::new(),
            component_token: component_token(),
            net: Arc::default(),
            lines: Lines::default(),
            served: Served::default(),
            version: RwLock::new(VERSION.to_owned()),
        }
    }

    /// The version that the server says it is.
    pub fn version(&self) -> String {
        let held = self.version.read().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    /// Lets the server be of another version, as an upgrade does.
    pub fn set_version(&self, version: &str) {
        let mut held = self.version.write().unwrap_or_else(PoisonError::into_inner);
        version.clone_into(&mut held);
    }

    /// What is served now.
    pub fn registry(&self) -> Arc<Registry> {
        self.served.now()
    }

    /// The prefix of all tables of this cluster.
    pub fn prefix(&self) -> String {
        format!("kube/{}/", self.ocid)
    }

    /// The table of a resource.
    pub fn table(&self, resource: &Resource) -> String {
        self.table_of(&resource.storage_group, &resource.plural)
    }

    /// The table of a resource by name.
    pub fn table_of(&self, group: &str, plural: &str) -> String {
        let group = if group.is_empty() { "core" } else { group };
        format!("kube/{}/{group}/{plural}", self.ocid)
    }

    /// One row.
    pub fn row(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Row> {
        let table = self.table(resource);
        self.world.store.get(&table, &key(namespace, name))
    }

    /// The rows in a namespace, or all.
    pub fn rows(&self, resource: &Resource, namespace: &str) -> (Vec<(Arc<str>, Row)>, u64) {
        let table = self.table(resource);
        self.world.store.list(&table, &key_prefix(namespace))
    }

    /// Writes a row unless it changed since `expected` (none: unless it
    /// exists); gives the new revision.
    pub fn put(&self, table: &str, key: &str, value: Value, expected: Option<u64>) -> Option<u64> {
        let store = &self.world.store;
        let draft = store.draft(value);
        store
            .write(|tx| {
                if revision(tx, table, key) != expected {
                    return Err(());
                }
                Ok(tx.put_draft(table, key, draft))
            })
            .ok()
    }

    /// Deletes a row unless it changed; gives the revision of the delete.
    pub fn delete(&self, table: &str, key: &str, expected: u64) -> Option<u64> {
        self.world
            .store
            .write(|tx| {
                if revision(tx, table, key) != Some(expected) {
                    return Err(());
                }
                let at = tx.next_revision();
                tx.delete(table, key);
                Ok(at)
            })
            .ok()
    }

    /// Now, as objects say it.
    pub fn now(&self) -> String {
        stamp(self.world.clock.now())
    }

    /// A new uid for an object.
    pub fn uid(&self, table: &str, key: &str) -> String {
        let revision = self.world.store.revision();
        let subject = format!("uid/{table}/{key}/{revision}");
        let high = self.world.draw(&subject);
        let low = self.world.draw(&format!("{subject}/low"));
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }

    /// Letters that end a generated name.
    pub fn suffix(&self, subject: &str, attempt: u64) -> String {
        let revision = self.world.store.revision();
        let mut bits = self
            .world
            .draw(&format!("name/{subject}/{revision}/{attempt}"));
        (0..5)
            .map(|_| {
                let at = usize::try_from(bits % 27).unwrap_or_default();
                bits /= 27;
                char::from(NAME_LETTERS.get(at).copied().unwrap_or(b'x'))
            })
            .collect()
    }
}

/// A token that lasts as long as this process. Without a source of randomness
/// it is empty, which opens nothing.
fn component_token() -> Secret {
    let mut bytes = [0_u8; 24];
    let random = ring::rand::SystemRandom::new();
    let filled = ring::rand::SecureRandom::fill(&random, &mut bytes);
    Secret::new(filled.map_or_else(|_| String::new(), |()| hex(&bytes)))
}

/// The revision of a row.
pub fn revision(tx: &Transaction<'_>, table: &str, key: &str) -> Option<u64> {
    tx.get(table, key).map(|row| row.revision)
}

/// The key of an object.
pub fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}

/// What all keys of a namespace begin with.
pub fn key_prefix(namespace: &str) -> String {
    if namespace.is_empty() {
        String::new()
    } else {
        format!("{namespace}/")
    }
}

/// A time with seconds, as objects have it.
pub fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A stored object as it travels: with its revision, in the asked version.
pub fn present(value: &Value, revision: u64, resource: &Resource) -> Value {
    presented(value.clone(), revision, resource)
}

/// The same of an object that is needed in no other form any more.
pub fn presented(mut object: Value, revision: u64, resource: &Resource) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".to_owned(), json!(resource.api_version()));
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), json!(revision.to_string()));
    }
    object
}

/// A text field of an object by its path.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
