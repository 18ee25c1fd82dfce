//! One durable store for the whole world: tables of JSON rows in memory, an
//! append-only log on disk, and the changes since a revision for watchers.
//!
//! A transaction is one line of the log, written before anybody sees its
//! rows. A killed process loses nothing that was acknowledged; a torn last
//! line is dropped on opening.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::files::{self, Access};

/// How many changes are kept for watchers; an older revision is [`Gone`].
const HISTORY: usize = 20_000;
/// The log is rewritten as a snapshot when it is larger than this and more
/// than four times the size of the rows at the last rewrite.
const COMPACT_ABOVE: u64 = 8 * 1024 * 1024;

/// A stored row and the revision that wrote it.
#[derive(Debug, Clone)]
pub struct Row {
    /// The content.
    pub value: Arc<Value>,
    /// The store-wide revision of the last write.
    pub revision: u64,
}

/// One write, as a watcher sees it.
#[derive(Debug, Clone)]
pub struct Change {
    /// The table written to.
    pub table: Arc<str>,
    /// The key of the row.
    pub key: Arc<str>,
    /// The revision of this write.
    pub revision: u64,
    /// The content before, if there was one.
    pub before: Option<Arc<Value>>,
    /// The content after; none for a delete.
    pub after: Option<Arc<Value>>,
}

/// The changes since that revision are no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("revision is too old, the oldest kept is {oldest}")]
pub struct Gone {
    /// The oldest revision that can still be watched from.
    pub oldest: u64,
}

type Table = BTreeMap<Arc<str>, Row>;

#[derive(Debug)]
struct Inner {
    tables: BTreeMap<Arc<str>, Table>,
    revision: u64,
    history: VecDeque<Change>,
    /// For each table with changes that are no longer kept, the last of them.
    forgotten: HashMap<Arc<str>, u64>,
    log: File,
    log_bytes: u64,
    compacted_bytes: u64,
}

/// The store. All methods are short and never await.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    inner: Mutex<Inner>,
    latest: watch::Sender<u64>,
    /// The same for single tables that somebody watches.
    watched: Mutex<HashMap<Arc<str>, watch::Sender<u64>>>,
    /// The revision that the store was opened with: nothing before is kept.
    opened_at: u64,
}

#[derive(Deserialize)]
struct Line {
    /// Table, key, revision, content (null: deleted).
    w: Vec<(String, String, u64, Option<Value>)>,
}

/// A [`Line`] as it is written.
#[derive(Serialize)]
struct Written<'a> {
    w: Vec<(&'a str, &'a str, u64, Option<&'a Value>)>,
}

/// A transaction: reads see its own writes; nothing is kept when it fails.
pub struct Transaction<'a> {
    inner: &'a mut Inner,
    writes: Vec<Change>,
    /// For each write, the revision of the row that it replaced.
    replaced: Vec<u64>,
}

impl Store {
    /// Opens (or creates) the store in a folder.
    pub fn open(dir: &Path) -> io::Result<Self> {
        files::create_dir(dir, Access::Private)?;
        let path = dir.join("world.jsonl");
        let mut tables = BTreeMap::new();
        let mut revision = 0;
        let mut good = 0;
        if path.exists() {
            let mut reader = BufReader::new(File::open(&path)?);
            let mut line = String::new();
            while reader.read_line(&mut line)? > 0 {
                let Some(Ok(entry)) = line.strip_suffix('\n').map(serde_json::from_str::<Line>)
                else {
                    break;
                };
                for (table, key, rev, value) in entry.w {
                    revision = revision.max(rev);
                    put_row(
                        &mut tables,
                        table.into(),
                        key.into(),
                        rev,
                        value.map(Arc::new),
                    );
                }
                good += line.len() as u64;
                line.clear();
            }
        }
        let log = files::open_append(&path)?;
        log.set_len(good)?;
        let inner = Inner {
            tables,
            revision,
            history: VecDeque::new(),
            forgotten: HashMap::new(),
            log,
            log_bytes: good,
            compacted_bytes: good,
        };
        Ok(Self {
            path,
            inner: Mutex::new(inner),
            latest: watch::channel(revision).0,
            watched: Mutex::default(),
            opened_at: revision,
        })
    }

    /// One row.
    pub fn get(&self, table: &str, key: &str) -> Option<Row> {
        self.lock().tables.get(table)?.get(key).cloned()
    }

    /// The rows of a table whose key starts with `prefix`, in key order, and
    /// the revision at which that was true.
    pub fn list(&self, table: &str, prefix: &str) -> (Vec<(Arc<str>, Row)>, u64) {
        let inner = self.lock();
        let rows = inner
            .tables
            .get(table)
            .map(|t| rows_with_prefix(t, prefix))
            .unwrap_or_default();
        (rows, inner.revision)
    }

    /// The row of a table with the smallest key.
    pub fn first(&self, table: &str) -> Option<(Arc<str>, Row)> {
        first_row(&self.lock().tables, table)
    }

    /// Deletes every row of the tables that `doomed` names.
    pub fn clear(&self, doomed: impl Fn(&str) -> bool) {
        let names: Vec<_> = self.tables().into_iter().map(|(name, _)| name).collect();
        let done: Result<(), std::convert::Infallible> = self.write(|tx| {
            for table in names.iter().filter(|name| doomed(name)) {
                for (key, _) in tx.list(table, "") {
                    tx.delete(table, &key);
                }
            }
            Ok(())
        });
        done.unwrap_or_else(|never| match never {});
    }

    /// The names of the tables that hold rows, with their row counts.
    pub fn tables(&self) -> Vec<(Arc<str>, usize)> {
        self.lock()
            .tables
            .iter()
            .map(|(name, rows)| (name.clone(), rows.len()))
            .collect()
    }

    /// The revision of the last write.
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    /// Runs a transaction. On `Err` nothing is written. A failure to write
    /// the log is fatal for the world and panics: the sandbox must not go on
    /// with rows that it would forget.
    pub fn write<R, E>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut inner = self.lock();
        let mut tx = Transaction {
            inner: &mut inner,
            writes: Vec::new(),
            replaced: Vec::new(),
        };
        match change(&mut tx) {
            Ok(result) => {
                let writes = std::mem::take(&mut tx.writes);
                self.commit(&mut inner, writes);
                Ok(result)
            }
            Err(error) => {
                tx.undo();
                Err(error)
            }
        }
    }

    /// Writes one row.
    pub fn put(&self, table: &str, key: &str, value: Value) -> u64 {
        let done: Result<u64, std::convert::Infallible> =
            self.write(|tx| Ok(tx.put(table, key, value)));
        done.unwrap_or_else(|never| match never {})
    }

    /// Deletes one row.
    pub fn delete(&self, table: &str, key: &str) {
        let done: Result<_, std::convert::Infallible> = self.write(|tx| Ok(tx.delete(table, key)));
        match done {
            Ok(_) => {}
            Err(never) => match never {},
        }
    }

    /// The changes after `revision`, oldest first.
    pub fn changes_since(&self, revision: u64) -> Result<Vec<Change>, Gone> {
        let inner = self.lock();
        let oldest = inner
            .history
            .front()
            .map_or(inner.revision, |c| c.revision - 1);
        if revision < oldest {
            return Err(Gone { oldest });
        }
        let start = inner.history.partition_point(|c| c.revision <= revision);
        Ok(inner.history.range(start..).cloned().collect())
    }

    /// The changes of a table's keys with this prefix after `revision`, oldest
    /// first. Only changes of that table count as too old.
    pub fn changes_of(
        &self,
        table: &str,
        prefix: &str,
        revision: u64,
    ) -> Result<(Vec<Change>, u64), Gone> {
        let inner = self.lock();
        let oldest = inner.forgotten.get(table).copied();
        let oldest = oldest.unwrap_or(self.opened_at);
        if revision < oldest {
            return Err(Gone { oldest });
        }
        let start = inner.history.partition_point(|c| c.revision <= revision);
        let changes = inner.history.range(start..);
        let own = changes.filter(|c| *c.table == *table && c.key.starts_with(prefix));
        Ok((own.cloned().collect(), inner.revision))
    }

    /// Tells the latest revision whenever a table changes: who watches one
    /// table sleeps through what happens to others.
    pub fn subscribe_to(&self, table: &str) -> watch::Receiver<u64> {
        // Writers hold the rows before this: never the other way round.
        let now = self.revision();
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = watched.entry(table.into());
        sender.or_insert_with(|| watch::channel(now).0).subscribe()
    }

    /// Tells the latest revision whenever it changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(
        clippy::expect_used,
        reason = "the sandbox must not go on with rows that it would forget"
    )]
    fn commit(&self, inner: &mut Inner, writes: Vec<Change>) {
        if writes.is_empty() {
            return;
        }
        let each = writes.iter();
        let each = each.map(|c| (&*c.table, &*c.key, c.revision, c.after.as_deref()));
        inner
            .append(&Written { w: each.collect() })
            .expect("invariant: the sandbox can write its state");
        let mut tables: Vec<Arc<str>> = writes.iter().map(|c| c.table.clone()).collect();
        tables.dedup();
        inner.history.extend(writes);
        let surplus = inner.history.len().saturating_sub(HISTORY);
        for change in inner.history.drain(..surplus) {
            inner.forgotten.insert(change.table, change.revision);
        }
        if inner.log_bytes > COMPACT_ABOVE.max(4 * inner.compacted_bytes) {
            self.compact(inner)
                .expect("invariant: the sandbox can write its state");
        }
        self.latest.send_replace(inner.revision);
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in tables.iter().filter_map(|table| watched.get(table)) {
            sender.send_replace(inner.revision);
        }
    }

    fn compact(&self, inner: &mut Inner) -> io::Result<()> {
        let mut text = Vec::new();
        for (table, rows) in &inner.tables {
            for (key, row) in rows {
                let line = Written {
                    w: vec![(table, key, row.revision, Some(&row.value))],
                };
                serde_json::to_writer(&mut text, &line)?;
                text.push(b'\n');
            }
        }
        // Deleted rows are gone from the rows, but their revisions are spent.
        let last = Written {
            w: vec![("sandbox/revision", "last", inner.revision, None)],
        };
        serde_json::to_writer(&mut text, &last)?;
        text.push(b'\n');
        files::write_atomic(&self.path, &text, Access::Private)?;
        inner.log = files::open_append(&self.path)?;
        inner.log_bytes = text.len() as u64;
        inner.compacted_bytes = inner.log_bytes;
        Ok(())
    }
}

impl Inner {
    fn append(&mut self, line: &Written<'_>) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.log_bytes += text.len() as u64;
        self.log.write_all(&text)
    }
}

impl Transaction<'_> {
    /// One row, as this transaction left it.
    pub fn get(&self, table: &str, key: &str) -> Option<Row> {
        self.inner.tables.get(table)?.get(key).cloned()
    }

    /// The rows whose key starts with `prefix`, in key order.
    pub fn list(&self, table: &str, prefix: &str) -> Vec<(Arc<str>, Row)> {
        self.inner
            .tables
            .get(table)
            .map(|t| rows_with_prefix(t, prefix))
            .unwrap_or_default()
    }

    /// The row of a table with the smallest key.
    pub fn first(&self, table: &str) -> Option<(Arc<str>, Row)> {
        first_row(&self.inner.tables, table)
    }

    /// The revision that the next write of this transaction will get.
    pub fn next_revision(&self) -> u64 {
        self.inner.revision + 1
    }

    /// Writes a row and returns its revision.
    pub fn put(&mut self, table: &str, key: &str, value: Value) -> u64 {
        self.change(table, key, Some(Arc::new(value)))
    }

    /// Deletes a row and returns what it held.
    pub fn delete(&mut self, table: &str, key: &str) -> Option<Arc<Value>> {
        let held = self.get(table, key)?.value;
        self.change(table, key, None);
        Some(held)
    }

    fn change(&mut self, table: &str, key: &str, after: Option<Arc<Value>>) -> u64 {
        self.inner.revision += 1;
        let revision = self.inner.revision;
        let (table, key): (Arc<str>, Arc<str>) = (table.into(), key.into());
        let tables = &mut self.inner.tables;
        let before = put_row(tables, table.clone(), key.clone(), revision, after.clone());
        self.replaced
            .push(before.as_ref().map_or(0, |row| row.revision));
        self.writes.push(Change {
            table,
            key,
            revision,
            before: before.map(|row| row.value),
            after,
        });
        revision
    }

    fn undo(&mut self) {
        let writes = std::mem::take(&mut self.writes);
        let replaced = std::mem::take(&mut self.replaced);
        for (change, revision) in writes.into_iter().zip(replaced).rev() {
            put_row(
                &mut self.inner.tables,
                change.table,
                change.key,
                revision,
                change.before,
            );
        }
    }
}

fn put_row(
    tables: &mut BTreeMap<Arc<str>, Table>,
    table: Arc<str>,
    key: Arc<str>,
    revision: u64,
    value: Option<Arc<Value>>,
) -> Option<Row> {
    if let Some(value) = value {
        let rows = tables.entry(table).or_default();
        return rows.insert(key, Row { value, revision });
    }
    let rows = tables.get_mut(&table)?;
    let held = rows.remove(&key);
    if rows.is_empty() {
        tables.remove(&table);
    }
    held
}

fn first_row(tables: &BTreeMap<Arc<str>, Table>, table: &str) -> Option<(Arc<str>, Row)> {
    let (key, row) = tables.get(table)?.first_key_value()?;
    Some((key.clone(), row.clone()))
}

fn rows_with_prefix(table: &Table, prefix: &str) -> Vec<(Arc<str>, Row)> {
    table
        .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
        .take_while(|(key, _)| key.starts_with(prefix))
        .map(|(key, row)| (key.clone(), row.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    #[test]
    fn rows_survive_reopening_and_a_torn_line_is_dropped() {
        let (dir, store) = store();
        store.put("vcn", "a", json!({"n": 1}));
        store.put("vcn", "b", json!({"n": 2}));
        store.delete("vcn", "a");
        let revision = store.revision();
        drop(store);
        let mut log = files::open_append(&dir.path().join("world.jsonl")).unwrap();
        log.write_all(b"{\"w\":[[\"vcn\",\"c\"").unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.revision(), revision);
        assert!(store.get("vcn", "a").is_none() && store.get("vcn", "c").is_none());
        assert_eq!(*store.get("vcn", "b").unwrap().value, json!({"n": 2}));
        store.put("vcn", "d", json!(4));
        drop(store);
        assert!(Store::open(dir.path()).unwrap().get("vcn", "d").is_some());
    }

    #[test]
    fn a_failed_transaction_leaves_nothing() {
        let (_dir, store) = store();
        let revision = store.put("t", "k", json!(1));
        let failed: Result<(), &str> = store.write(|tx| {
            tx.put("t", "k", json!(2));
            tx.put("t", "new", json!(3));
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        let row = store.get("t", "k").unwrap();
        assert_eq!((&*row.value, row.revision), (&json!(1), revision));
        assert!(store.get("t", "new").is_none());
    }

    #[test]
    fn watchers_see_each_change_once_and_in_order() {
        let (_dir, store) = store();
        let from = store.revision();
        store.put("t", "a", json!(1));
        store.put("t", "a", json!(2));
        store.delete("t", "a");
        let seen: Vec<_> = store
            .changes_since(from)
            .unwrap()
            .iter()
            .map(|c| (c.before.as_deref().cloned(), c.after.as_deref().cloned()))
            .collect();
        let one = Some(json!(1));
        let two = Some(json!(2));
        assert_eq!(seen, [(None, one.clone()), (one, two.clone()), (two, None)]);
    }

    #[test]
    fn a_quiet_table_is_never_too_old() {
        let (_dir, store) = store();
        store.put("quiet", "a", json!(1));
        let from = store.revision();
        let mut news = store.subscribe_to("quiet");
        for n in 0..=HISTORY {
            store.put("loud", "k", json!(n));
        }
        assert!(!news.has_changed().unwrap());
        assert!(store.changes_since(from).is_err());
        assert!(store.changes_of("loud", "", from).is_err());
        store.put("quiet", "b", json!(2));
        assert!(news.has_changed().unwrap());
        let (changes, at) = store.changes_of("quiet", "", from).unwrap();
        assert_eq!((changes.len(), at), (1, store.revision()));
        assert_eq!(store.changes_of("quiet", "a", from).unwrap().0.len(), 0);
    }

    use proptest::prelude::*;

    /// The rows of a store, with their revisions.
    fn rows(store: &Store) -> Vec<(String, u64, Value)> {
        let rows = store.list("t", "").0;
        rows.into_iter()
            .map(|(key, row)| (key.to_string(), row.revision, row.value.as_ref().clone()))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// A process that is killed while it writes leaves a log that ends
        /// anywhere; what comes back is the world after some transaction.
        #[test]
        fn a_log_cut_anywhere_comes_back_as_after_a_transaction(
            transactions in prop::collection::vec(
                prop::collection::vec((0_u8..6, prop::option::of(0_u8..9)), 1..4), 1..8),
            cut in 0.0_f64..1.0,
        ) {
            let (dir, store) = store();
            let mut states = vec![rows(&store)];
            for writes in &transactions {
                let done: Result<(), std::convert::Infallible> = store.write(|tx| {
                    for (key, value) in writes {
                        match value {
                            Some(value) => {
                                tx.put("t", &key.to_string(), json!(value));
                            }
                            None => {
                                tx.delete("t", &key.to_string());
                            }
                        }
                    }
                    Ok(())
                });
                done.unwrap();
                states.push(rows(&store));
            }
            drop(store);
            let path = dir.path().join("world.jsonl");
            let log = std::fs::read(&path).unwrap();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a small length")]
            let length = (log.len() as f64 * cut) as u64;
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(length).unwrap();
            let back = Store::open(dir.path()).unwrap();
            prop_assert!(states.contains(&rows(&back)));
        }
    }
}
