//! The journal's file and the lock of a deployment.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::event::{Entry, Event, IllegalTransition, Record, next_status};
use crate::clock::Clock;
use crate::files;
use crate::names::StepId;

/// A journal that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file.
    #[error("cannot use the journal {}", path.display())]
    Io {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line in the middle is no event. (A torn last line is what a crash
    /// leaves, and is dropped.)
    #[error("line {line} of the journal {} is damaged", path.display())]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The journal of one deployment.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    run: String,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// Whether a torn last line was looked for. Only a writer may cut it off:
    /// it holds the deployment's lock, and a mere reader's view may be old.
    trimmed: bool,
    records: BTreeMap<StepId, Record>,
}

impl Journal {
    /// Opens the journal in a deployment's folder, for a run.
    pub fn open(dir: &Path, run: &str, clock: Clock) -> Result<Self, JournalError> {
        let path = dir.join("journal.jsonl");
        let io_error = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(io_error(error)),
        };
        // A crash can tear the last line: what lacks its line end never was.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let records = fold(&path, text.get(..whole).unwrap_or_default())?;
        let file = files::open_append(&path).map_err(io_error)?;
        let state = Mutex::new(State {
            file,
            trimmed: false,
            records,
        });
        Ok(Self {
            path,
            run: run.to_owned(),
            clock,
            state,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes an event; it is on disk when this returns.
    pub fn write(&self, event: Event) -> Result<(), JournalError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = Entry {
            at: self.clock.now().to_string(),
            run: self.run.clone(),
            event,
        };
        let io_error = |source| JournalError::Io {
            path: self.path.clone(),
            source,
        };
        if !state.trimmed {
            self.trim(&state.file).map_err(io_error)?;
            state.trimmed = true;
        }
        let mut line = serde_json::to_vec(&entry).map_err(|e| io_error(e.into()))?;
        line.push(b'\n');
        state.file.write_all(&line).map_err(io_error)?;
        state.file.sync_data().map_err(io_error)?;
        // An illegal transition here would be the engine's bug; the reader
        // reports it, and losing the event would be worse.
        let _ = apply(&mut state.records, entry);
        Ok(())
    }

    fn trim(&self, file: &File) -> io::Result<()> {
        let text = fs::read(&self.path)?;
        let whole = text
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64)?;
        }
        Ok(())
    }

    /// What is known of a step.
    pub fn record(&self, step: &StepId) -> Option<Record> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .records
            .get(step)
            .cloned()
    }

    /// What is known of all steps.
    pub fn records(&self) -> BTreeMap<StepId, Record> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .records
            .clone()
    }
}

fn fold(path: &Path, text: &str) -> Result<BTreeMap<StepId, Record>, JournalError> {
    let mut records = BTreeMap::new();
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
    {
        let damaged = |source: Box<dyn std::error::Error + Send + Sync>| JournalError::Damaged {
            path: path.to_owned(),
            line: index + 1,
            source,
        };
        let entry: Entry = serde_json::from_str(line).map_err(|e| damaged(e.into()))?;
        apply(&mut records, entry).map_err(|e| damaged(e.into()))?;
    }
    Ok(records)
}

fn apply(records: &mut BTreeMap<StepId, Record>, entry: Entry) -> Result<(), IllegalTransition> {
    let Some(step) = entry.event.step().cloned() else {
        return Ok(());
    };
    let record = records.entry(step).or_default();
    record.status = next_status(record.status, &entry.event)?;
    record.at = entry.at;
    record.run = entry.run;
    match entry.event {
        Event::Succeeded { live, .. } => record.live = Some(live),
        Event::Destroyed { .. } => record.live = None,
        _ => {}
    }
    Ok(())
}

/// Who holds the lock of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The command: `up`, `down`, …
    pub command: String,
    /// The process.
    pub pid: u32,
    /// The user, as far as known.
    pub user: String,
    /// The machine, as far as known.
    pub host: String,
    /// Since when, RFC 3339 in UTC.
    pub since: String,
    /// The run.
    pub run: String,
}

/// The lock of a deployment: one run at a time. It goes with the process, so
/// a killed run leaves none behind.
#[derive(Debug)]
pub struct RunLock {
    _lock: files::Lock,
}

impl RunLock {
    /// Takes the lock, or says who has it.
    pub fn take(dir: &Path, holder: &Holder) -> Result<Result<Self, Option<Holder>>, JournalError> {
        let path = dir.join("lock");
        let note = serde_json::to_string(holder).unwrap_or_default();
        match files::Lock::take(&path, &note) {
            Ok(Ok(lock)) => Ok(Ok(Self { _lock: lock })),
            // The holder may be between taking the lock and writing its note.
            Ok(Err(note)) => Ok(Err(serde_json::from_str(&note).ok())),
            Err(source) => Err(JournalError::Io { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Status;
    use crate::plan::Action;
    use serde_json::json;

    fn id() -> StepId {
        "network/vcn".parse().unwrap()
    }

    #[test]
    fn a_torn_last_line_is_dropped_and_the_journal_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Journal::open(dir.path(), "r", Clock::default()).unwrap();
        open()
            .write(Event::Started {
                step: id(),
                action: Action::Create,
            })
            .unwrap();
        let mut file = files::open_append(&dir.path().join("journal.jsonl")).unwrap();
        file.write_all(b"{\"at\":\"20").unwrap();
        let journal = open();
        assert_eq!(journal.record(&id()).unwrap().status, Status::Started);
        journal
            .write(Event::Succeeded {
                step: id(),
                live: json!({"id": 1}),
            })
            .unwrap();
        let record = open().record(&id()).unwrap();
        assert_eq!(
            (record.status, record.live),
            (Status::Present, Some(json!({"id": 1})))
        );
    }

    #[test]
    fn a_reader_with_an_old_view_cuts_nothing_off() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Journal::open(dir.path(), "r", Clock::default()).unwrap();
        let started = || Event::Started {
            step: id(),
            action: Action::Create,
        };
        let (writer, reader) = (open(), open());
        writer.write(started()).unwrap();
        reader.write(started()).unwrap();
        let lines = fs::read_to_string(writer.path()).unwrap().lines().count();
        assert_eq!(lines, 2);
    }

    #[test]
    fn a_damaged_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        files::write_atomic(
            &dir.path().join("journal.jsonl"),
            b"{\"at\":\"t\",\"run\":\"r\",\"event\":\"run-finished\",\"outcome\":\"done\"}\nnot json\n",
            files::Access::Private,
        )
        .unwrap();
        let error = Journal::open(dir.path(), "r", Clock::default()).unwrap_err();
        assert!(
            error.to_string().starts_with("line 2 of the journal"),
            "{error}"
        );
    }
}
