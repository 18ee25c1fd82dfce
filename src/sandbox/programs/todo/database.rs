//! The app's database, as if behind `DATABASE_URL`: tasks, the outbox of
//! events that are not published yet, and what was received. It lives in the
//! world's store, so tasks outlive the pods and the deployment.

use std::convert::Infallible;
use std::sync::Arc;

use serde_json::Value;

use super::super::super::store::{Store, Transaction};
use super::super::Process;

/// One database.
#[derive(Debug, Clone)]
pub(super) struct Database {
    store: Arc<Store>,
    name: String,
}

impl Database {
    /// The database of a process: by host and name of its URL, so that a
    /// changed password leads to the same tasks. Without a URL every namespace
    /// has its own.
    pub(super) fn of(process: &Process) -> Self {
        let told = process.env.get("DATABASE_URL");
        let name = told
            .and_then(|url| url::Url::parse(url).ok())
            .and_then(|url| Some(format!("{}{}", url.host_str()?, url.path())))
            .unwrap_or_else(|| format!("local/{}", process.namespace));
        Self {
            store: process.world.store.clone(),
            name,
        }
    }

    fn table(&self, what: &str) -> String {
        format!("database/{}/{what}", self.name)
    }

    /// All rows of a table, by key.
    pub(super) fn rows(&self, table: &str) -> Vec<(String, Value)> {
        let rows = self.store.list(&self.table(table), "").0;
        rows.into_iter()
            .map(|(key, row)| (key.to_string(), row.value.as_ref().clone()))
            .collect()
    }

    /// One row.
    pub(super) fn row(&self, table: &str, key: &str) -> Option<Value> {
        let row = self.store.get(&self.table(table), key)?;
        Some(row.value.as_ref().clone())
    }

    /// Deletes one row.
    pub(super) fn delete(&self, table: &str, key: &str) {
        self.store.delete(&self.table(table), key);
    }

    /// Several reads and writes at once.
    pub(super) fn transaction<R>(&self, change: impl FnOnce(&mut Rows<'_, '_>) -> R) -> R {
        let done: Result<R, Infallible> = self
            .store
            .write(|tx| Ok(change(&mut Rows { database: self, tx })));
        done.unwrap_or_else(|never| match never {})
    }
}

/// The rows of a database inside a transaction.
pub(super) struct Rows<'a, 'b> {
    database: &'a Database,
    tx: &'a mut Transaction<'b>,
}

impl Rows<'_, '_> {
    pub(super) fn get(&self, table: &str, key: &str) -> Option<Value> {
        let row = self.tx.get(&self.database.table(table), key)?;
        Some(row.value.as_ref().clone())
    }

    pub(super) fn put(&mut self, table: &str, key: &str, value: Value) {
        self.tx.put(&self.database.table(table), key, value);
    }

    pub(super) fn delete(&mut self, table: &str, key: &str) {
        self.tx.delete(&self.database.table(table), key);
    }

    /// The next number of a sequence, starting with 1.
    pub(super) fn next(&mut self, sequence: &str) -> u64 {
        let held = self.get("sequences", sequence);
        let next = held.and_then(|n| n.as_u64()).unwrap_or(0) + 1;
        self.put("sequences", sequence, next.into());
        next
    }
}
