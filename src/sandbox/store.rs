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

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use self::content::{Recent, Text};
use crate::files::{self, Access};

mod content;

pub use self::content::Content;

/// How many changes are kept for watchers; an older revision is [`Gone`].
const HISTORY: usize = 20_000;
/// The log is rewritten as a snapshot when it is larger than this and more
/// than four times the size of the rows at the last rewrite.
const COMPACT_ABOVE: u64 = 8 * 1024 * 1024;

/// A stored row and the revision that wrote it.
#[derive(Debug, Clone)]
pub struct Row {
    /// The content.
    pub value: Content,
    /// The store-wide revision of the last write.
    pub revision: u64,
}

/// A content that is ready to be written, made while nobody waits for it.
#[derive(Debug)]
pub struct Draft(Arc<Text>);

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
    pub before: Option<Content>,
    /// The content after; none for a delete.
    pub after: Option<Content>,
}

/// The changes since that revision are no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("revision is too old, the oldest kept is {oldest}")]
pub struct Gone {
    /// The oldest revision that can still be watched from.
    pub oldest: u64,
}

type Table = BTreeMap<Arc<str>, Kept>;

/// A [`Row`] as it is kept.
#[derive(Debug)]
struct Kept {
    text: Arc<Text>,
    revision: u64,
}

impl Kept {
    fn row(&self) -> Row {
        let value = Content::from(&self.text);
        let revision = self.revision;
        Row { value, revision }
    }
}

/// A [`Change`] as it is kept.
#[derive(Debug)]
struct Past {
    table: Arc<str>,
    key: Arc<str>,
    revision: u64,
    before: Option<Arc<Text>>,
    after: Option<Arc<Text>>,
}

impl Past {
    fn change(&self) -> Change {
        Change {
            table: self.table.clone(),
            key: self.key.clone(),
            revision: self.revision,
            before: self.before.as_ref().map(Content::from),
            after: self.after.as_ref().map(Content::from),
        }
    }
}

#[derive(Debug)]
struct Inner {
    tables: BTreeMap<Arc<str>, Table>,
    revision: u64,
    history: VecDeque<Past>,
    recent: Arc<Recent>,
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
    recent: Arc<Recent>,
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

/// A [`Line`] that is being written.
struct Written(Vec<u8>);

impl Written {
    fn new() -> Self {
        Self(b"{\"w\":[".to_vec())
    }

    fn add(&mut self, table: &str, key: &str, revision: u64, text: Option<&Text>) {
        let text = text.map_or("null", Text::json);
        let (table, key) = (Value::from(table), Value::from(key));
        let comma = if self.0.ends_with(b"[") { "" } else { "," };
        // Writing to memory does not fail.
        let _ = write!(self.0, "{comma}[{table},{key},{revision},{text}]");
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"]}\n");
        self.0
    }
}

/// A transaction: reads see its own writes; nothing is kept when it fails.
pub struct Transaction<'a> {
    inner: &'a mut Inner,
    writes: Vec<Past>,
    /// For each write, the revision of the row that it replaced.
    replaced: Vec<u64>,
}

impl Store {
    /// Opens (or creates) the store in a folder.
    pub fn open(dir: &Path) -> io::Result<Self> {
        files::create_dir(dir, Access::Private)?;
        let path = dir.join("world.jsonl");
        let recent = Arc::new(Recent::default());
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
                    let text = value.map(|value| Text::resting(&value, &recent));
                    put_row(&mut tables, table.into(), key.into(), rev, text);
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
            recent: recent.clone(),
            forgotten: HashMap::new(),
            log,
            log_bytes: good,
            compacted_bytes: good,
        };
        Ok(Self {
            path,
            inner: Mutex::new(inner),
            recent,
            latest: watch::channel(revision).0,
            watched: Mutex::default(),
            opened_at: revision,
        })
    }

    /// Makes a content ready for [`Transaction::put_draft`].
    pub fn draft(&self, value: Value) -> Draft {
        Draft(Text::new(value, &self.recent))
    }

    /// One row.
    pub fn get(&self, table: &str, key: &str) -> Option<Row> {
        Some(self.lock().tables.get(table)?.get(key)?.row())
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
        let draft = self.draft(value);
        let done: Result<u64, std::convert::Infallible> =
            self.write(|tx| Ok(tx.put_draft(table, key, draft)));
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
        let changes = inner.history.range(start..);
        Ok(changes.map(Past::change).collect())
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
        Ok((own.map(Past::change).collect(), inner.revision))
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
    fn commit(&self, inner: &mut Inner, writes: Vec<Past>) {
        if writes.is_empty() {
            return;
        }
        let mut line = Written::new();
        for write in &writes {
            let after = write.after.as_deref();
            line.add(&write.table, &write.key, write.revision, after);
        }
        inner
            .append(&line.end())
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
                let mut line = Written::new();
                line.add(table, key, row.revision, Some(&row.text));
                text.extend(line.end());
            }
        }
        // Deleted rows are gone from the rows, but their revisions are spent.
        let mut last = Written::new();
        last.add("sandbox/revision", "last", inner.revision, None);
        text.extend(last.end());
        files::write_atomic(&self.path, &text, Access::Private)?;
        inner.log = files::open_append(&self.path)?;
        inner.log_bytes = text.len() as u64;
        inner.compacted_bytes = inner.log_bytes;
        Ok(())
    }
}

impl Inner {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.log_bytes += line.len() as u64;
        self.log.write_all(line)
    }
}

impl Transaction<'_> {
    /// One row, as this transaction left it.
    pub fn get(&self, table: &str, key: &str) -> Option<Row> {
        Some(self.inner.tables.get(table)?.get(key)?.row())
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
        let text = Text::new(value, &self.inner.recent);
        self.change(table, key, Some(text))
    }

    /// Writes a row that is ready, and returns its revision.
    pub fn put_draft(&mut self, table: &str, key: &str, draft: Draft) -> u64 {
        self.change(table, key, Some(draft.0))
    }

    /// Deletes a row and returns what it held.
    pub fn delete(&mut self, table: &str, key: &str) -> Option<Content> {
        let held = self.get(table, key)?.value;
        self.change(table, key, None);
        Some(held)
    }

    fn change(&mut self, table: &str, key: &str, after: Option<Arc<Text>>) -> u64 {
        self.inner.revision += 1;
        let revision = self.inner.revision;
        let (table, key): (Arc<str>, Arc<str>) = (table.into(), key.into());
        let tables = &mut self.inner.tables;
        let before = put_row(tables, table.clone(), key.clone(), revision, after.clone());
        self.replaced
            .push(before.as_ref().map_or(0, |row| row.revision));
        self.writes.push(Past {
            table,
            key,
            revision,
            before: before.map(|row| row.text),
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
    text: Option<Arc<Text>>,
) -> Option<Kept> {
    if let Some(text) = text {
        let rows = tables.entry(table).or_default();
        return rows.insert(key, Kept { text, revision });
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
    Some((key.clone(), row.row()))
}

fn rows_with_prefix(table: &Table, prefix: &str) -> Vec<(Arc<str>, Row)> {
    table
        .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
        .take_while(|(key, _)| key.starts_with(prefix))
        .map(|(key, row)| (key.clone(), row.row()))
        .collect()
}

#[cfg(test)]
mod tests;
