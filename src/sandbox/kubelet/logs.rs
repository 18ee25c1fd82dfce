//! Containers' logs: the last lines in memory, and in files that outlive the
//! sandbox's process, one folder a pod and one file a run.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::watch;

use super::LogOptions;
use crate::clock::Clock;
use crate::files::{self, Access};
use crate::sandbox::programs::LogSink;

/// Lines that are kept of a run.
const LINES: usize = 10_000;
/// Bytes that are kept of a run.
const BYTES: usize = 1024 * 1024;

/// One line and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    time: Timestamp,
    text: Arc<str>,
}

#[derive(Debug, Default)]
struct Held {
    lines: VecDeque<Line>,
    bytes: usize,
    /// How many lines were dropped at the front.
    dropped: u64,
    file: Option<File>,
    written: usize,
    closed: bool,
}

impl Held {
    fn push(&mut self, line: Line) {
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > LINES || self.bytes > BYTES {
            let Some(first) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= first.text.len();
            self.dropped += 1;
        }
    }
}

/// The log of one run of a container.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    clock: Clock,
    held: Mutex<Held>,
    news: watch::Sender<u64>,
}

impl Log {
    /// Opens the log of a run, with what an earlier process wrote to it.
    pub fn open(path: PathBuf, clock: Clock) -> Arc<Self> {
        let mut held = Held::default();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for line in text.lines() {
            let Some((time, text)) = line.split_once(' ') else {
                continue;
            };
            if let Ok(time) = time.parse() {
                held.push(Line {
                    time,
                    text: text.into(),
                });
            }
        }
        held.written = text.len();
        Arc::new(Self {
            path,
            clock,
            held: Mutex::new(held),
            news: watch::Sender::new(0),
        })
    }

    /// Ends the log: followers are done.
    pub fn close(&self) {
        let mut held = self.held();
        held.closed = true;
        held.file = None;
        drop(held);
        self.news.send_modify(|n| *n += 1);
    }

    /// The part of the log that is asked for.
    pub fn read(self: &Arc<Self>, options: LogOptions) -> BoxStream<'static, Bytes> {
        let held = self.held();
        let since = options.since.unwrap_or(Timestamp::MIN);
        let all = held.dropped + held.lines.len() as u64;
        let recent = held
            .lines
            .iter()
            .position(|line| line.time >= since)
            .unwrap_or(held.lines.len()) as u64
            + held.dropped;
        let tail = options
            .tail_lines
            .map_or(0, |lines| all.saturating_sub(lines));
        drop(held);
        let reader = Reader {
            log: self.clone(),
            at: recent.max(tail),
            left: options.limit_bytes.unwrap_or(u64::MAX),
            news: self.news.subscribe(),
            options,
        };
        stream::unfold(reader, |mut reader| async move {
            let bytes = reader.next().await?;
            Some((bytes, reader))
        })
        .boxed()
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends to the file; starts it anew when it has become too long.
    fn write(&self, held: &mut Held, line: &Line) -> std::io::Result<()> {
        let text = format!("{} {}\n", line.time, line.text);
        if held.written > 2 * BYTES {
            held.file = None;
            let kept: String = held
                .lines
                .iter()
                .map(|line| format!("{} {}\n", line.time, line.text))
                .collect();
            files::write_atomic(&self.path, kept.as_bytes(), Access::Private)?;
            held.written = kept.len();
            return Ok(());
        }
        if held.file.is_none() {
            if let Some(folder) = self.path.parent() {
                files::create_dir(folder, Access::Private)?;
            }
            held.file = Some(files::open_append(&self.path)?);
        }
        if let Some(file) = &mut held.file {
            file.write_all(text.as_bytes())?;
        }
        held.written += text.len();
        Ok(())
    }
}

impl LogSink for Log {
    fn line(&self, text: &str) {
        let mut held = self.held();
        for text in text.split('\n') {
            let line = Line {
                time: self.clock.now(),
                text: text.into(),
            };
            held.push(line.clone());
            // A full disk must not stop a container.
            let _ = self.write(&mut held, &line);
        }
        drop(held);
        self.news.send_modify(|n| *n += 1);
    }
}

struct Reader {
    log: Arc<Log>,
    at: u64,
    left: u64,
    news: watch::Receiver<u64>,
    options: LogOptions,
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.left == 0 {
                return None;
            }
            let (bytes, closed) = self.collect();
            if !bytes.is_empty() {
                return Some(bytes);
            }
            if closed || !self.options.follow || self.news.changed().await.is_err() {
                return None;
            }
        }
    }

    fn collect(&mut self) -> (Bytes, bool) {
        self.news.borrow_and_update();
        let held = self.log.held();
        let skip = self.at.saturating_sub(held.dropped);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let mut text = String::new();
        for line in held.lines.iter().skip(skip) {
            if self.options.timestamps {
                text.push_str(&format!("{:.9} ", line.time));
            }
            text.push_str(&line.text);
            text.push('\n');
        }
        self.at = held.dropped + held.lines.len() as u64;
        let mut bytes = Bytes::from(text);
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        bytes.truncate(left);
        self.left -= bytes.len() as u64;
        (bytes, held.closed)
    }
}

/// Where the logs of a pod are.
pub fn folder(world: &Path, namespace: &str, pod: &str, uid: &str) -> PathBuf {
    world.join("pods").join(format!("{namespace}_{pod}_{uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(log: &Arc<Log>, options: LogOptions) -> String {
        let parts: Vec<Bytes> = log.read(options).collect().await;
        String::from_utf8(parts.concat()).unwrap()
    }

    #[tokio::test]
    async fn a_log_is_read_in_parts_and_outlives_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pod/app/0.log");
        let log = Log::open(path.clone(), Clock::default());
        for line in ["one", "two", "three"] {
            log.line(line);
        }
        let tail = LogOptions {
            tail_lines: Some(2),
            ..LogOptions::default()
        };
        assert_eq!(text(&log, tail.clone()).await, "two\nthree\n");
        let limited = LogOptions {
            limit_bytes: Some(5),
            ..LogOptions::default()
        };
        assert_eq!(text(&log, limited).await, "one\nt");
        drop(log);
        let log = Log::open(path, Clock::default());
        assert_eq!(text(&log, tail).await, "two\nthree\n");
        let stamped = LogOptions {
            timestamps: true,
            tail_lines: Some(1),
            ..LogOptions::default()
        };
        let stamped = text(&log, stamped).await;
        let (time, rest) = stamped.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.len() == 30, "{time}");
        assert_eq!(rest, "three\n");
    }

    #[tokio::test]
    async fn a_follower_sees_new_lines_until_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path().join("0.log"), Clock::default());
        log.line("one");
        let follow = LogOptions {
            follow: true,
            ..LogOptions::default()
        };
        let mut lines = log.read(follow);
        assert_eq!(lines.next().await.unwrap(), "one\n");
        log.line("two");
        assert_eq!(lines.next().await.unwrap(), "two\n");
        log.close();
        assert_eq!(lines.next().await, None);
    }

    #[test]
    fn old_lines_make_room() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path().join("0.log"), Clock::default());
        for n in 0..LINES + 10 {
            log.line(&n.to_string());
        }
        let held = log.held();
        assert_eq!((held.lines.len(), held.dropped), (LINES, 10));
    }
}
