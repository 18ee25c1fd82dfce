//! Who may log in: names and what is kept of their passwords, in the store.

use std::sync::Arc;

use serde::Deserialize as _;
use serde_json::json;

use super::super::store::Store;
use super::scram::{Credential, Mechanism};

/// The users of a broker.
#[derive(Debug)]
pub struct Users {
    store: Arc<Store>,
    table: String,
}

impl Users {
    /// The users in a table of the store.
    pub fn new(store: Arc<Store>, table: String) -> Self {
        Self { store, table }
    }

    /// Sets a user's password, for these mechanisms only.
    pub fn set(&self, name: &str, password: &str, mechanisms: &[Mechanism]) {
        let salt = salt();
        let kept: Vec<_> = mechanisms
            .iter()
            .map(|mechanism| Credential::derive(*mechanism, password, &salt))
            .collect();
        self.store.put(&self.table, name, json!(kept));
    }

    /// Removes a user; whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        let was = self.store.get(&self.table, name).is_some();
        self.store.delete(&self.table, name);
        was
    }

    /// All users with the mechanisms that they can use.
    pub fn list(&self) -> Vec<(String, Vec<Mechanism>)> {
        let rows = self.store.list(&self.table, "").0;
        rows.iter()
            .map(|(name, _)| {
                let kept = self.credentials(name);
                let mechanisms = kept.iter().map(Credential::mechanism).collect();
                (name.to_string(), mechanisms)
            })
            .collect()
    }

    /// What is kept of a user's password for a mechanism.
    pub fn credential(&self, name: &str, mechanism: Mechanism) -> Option<Credential> {
        let mut kept = self.credentials(name).into_iter();
        kept.find(|credential| credential.mechanism() == mechanism)
    }

    fn credentials(&self, name: &str) -> Vec<Credential> {
        let row = self.store.get(&self.table, name);
        row.and_then(|row| Vec::deserialize(&*row.value).ok())
            .unwrap_or_default()
    }
}

/// Bytes that nobody can guess, for salts and nonces.
pub fn salt() -> [u8; 18] {
    let mut bytes = [0; 18];
    // Without randomness every salt is the same, which only a rehearsal may.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    bytes
}
