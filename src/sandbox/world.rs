//! What all emulated systems share: the store, the clock, the seed, the fault
//! plan and the request log.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::faults::Faults;
use super::http::Request;
use super::store::Store;
use crate::clock::Clock;
use crate::files;

/// The embedded world.
#[derive(Debug)]
pub struct World {
    /// The folder that holds its state.
    /// The folder of its files.
    pub dir: PathBuf,
    /// Everything that exists.
    pub store: Arc<Store>,
    /// How fast time passes here.
    pub clock: Clock,
    /// What latencies and identifiers are drawn from.
    pub seed: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// Who asked what.
    pub requests: RequestLog,
    /// How old the world was when it was opened.
    age_at_open: Duration,
    /// How much of the clock had elapsed when it was opened.
    elapsed_at_open: Duration,
}

const META: &str = "sandbox/world";

impl World {
    /// Opens the world whose state is in `dir`.
    ///
    /// The seed is fixed when a world is made: an existing one keeps its own.
    pub fn open(dir: &Path, clock: Clock, seed: u64) -> std::io::Result<Self> {
        let store = Arc::new(Store::open(dir)?);
        let held = store.get(META, "seed").and_then(|row| row.value.as_u64());
        if held.is_none() {
            store.put(META, "seed", json!(seed));
        }
        let seed = held.unwrap_or(seed);
        let requests = RequestLog::open(&dir.join("requests.jsonl"), clock.clone())?;
        let wall = clock.now().as_millisecond();
        let age_at_open = age_on_opening(&store, wall);
        let anchor = json!({
            "wallMs": wall,
            "ageMs": u64::try_from(age_at_open.as_millis()).unwrap_or(u64::MAX),
            "rate": clock.rate(),
        });
        store.put(META, "clock", anchor);
        Ok(Self {
            dir: dir.to_owned(),
            faults: Faults::new(store.clone()),
            elapsed_at_open: clock.elapsed(),
            age_at_open,
            store,
            clock,
            seed,
            requests,
        })
    }

    /// How long the world has existed, in its own time. It goes on while the
    /// sandbox is not running, as Oracle's data centres do.
    pub fn age(&self) -> Duration {
        self.age_at_open + self.clock.elapsed().saturating_sub(self.elapsed_at_open)
    }

    /// The wall clock's time at an age of the world.
    pub fn wall_at(&self, age: Duration) -> jiff::Timestamp {
        let ago = self.age().as_secs_f64() - age.as_secs_f64();
        let real = jiff::SignedDuration::try_from_secs_f64(ago / self.clock.rate());
        let now = self.clock.now();
        real.ok()
            .and_then(|real| now.checked_sub(real).ok())
            .unwrap_or(now)
    }

    /// A number drawn from the seed and a subject: the same for the same
    /// world and subject, whatever else happens and in which order.
    pub fn draw(&self, subject: &str) -> u64 {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(&self.seed.to_le_bytes());
        context.update(subject.as_bytes());
        let digest = context.finish();
        digest
            .as_ref()
            .iter()
            .take(8)
            .fold(0, |n, byte| n << 8 | u64::from(*byte))
    }

    /// A duration between `low` and `high`, drawn from the seed and a subject.
    pub fn latency(&self, subject: &str, low: Duration, high: Duration) -> Duration {
        let share = u32::try_from(self.draw(subject) % 10_000).unwrap_or(0);
        low + high.saturating_sub(low) * share / 10_000
    }

    /// `length` characters of `[a-z2-7]`, drawn from the seed and a subject.
    pub fn letters(&self, subject: &str, length: usize) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        (0..length.div_ceil(12))
            .flat_map(|block| {
                let bits = self.draw(&format!("{subject}#{block}"));
                (0..12).map(move |i| {
                    char::from(ALPHABET[usize::from((bits >> (5 * i)).to_le_bytes()[0] & 31)])
                })
            })
            .take(length)
            .collect()
    }
}

/// The world's age now: its age when it was last opened, and what passed since
/// at the rate of that time.
fn age_on_opening(store: &Store, wall_ms: i64) -> Duration {
    let Some(row) = store.get(META, "clock") else {
        return Duration::ZERO;
    };
    let then = row.value["wallMs"].as_i64().unwrap_or(wall_ms);
    let rate = row.value["rate"].as_f64().unwrap_or(1.0);
    let age = Duration::from_millis(row.value["ageMs"].as_u64().unwrap_or(0));
    let passed = Duration::from_millis(u64::try_from(wall_ms - then).unwrap_or(0));
    age + passed.mul_f64(rate)
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

/// The log of every request: a file of JSON lines, one when a request starts
/// and one when it is answered.
#[derive(Debug)]
pub struct RequestLog {
    file: Mutex<File>,
    next: AtomicU64,
    clock: Clock,
}

/// A started request's line.
#[derive(Debug)]
pub struct Entry {
    n: u64,
    system: &'static str,
    method: String,
    target: String,
}

/// A line of the log.
#[derive(Serialize)]
struct Line<'a> {
    n: u64,
    time: String,
    system: &'a str,
    method: &'a str,
    target: &'a str,
    status: u16,
    who: Option<&'a str>,
    /// Of the wall clock like `time`, however fast the world runs.
    ms: f64,
    fault: Option<&'a str>,
}

impl RequestLog {
    fn open(path: &Path, clock: Clock) -> std::io::Result<Self> {
        let lines = std::fs::read(path).map_or(0, |text| text.split(|b| *b == b'\n').count() - 1);
        let file = Mutex::new(files::open_append(path)?);
        Ok(Self {
            file,
            next: AtomicU64::new(lines as u64 + 1),
            clock,
        })
    }

    /// How many requests there were in the world's life.
    pub fn count(&self) -> u64 {
        self.next.load(Ordering::Relaxed) - 1
    }

    /// Notes that a request came in.
    pub fn start(&self, system: &'static str, request: &Request) -> Entry {
        self.begin(system, request.method.as_str(), &request.target)
    }

    /// Notes that a request came in that is none of HTTP's.
    pub fn begin(&self, system: &'static str, method: &str, target: &str) -> Entry {
        Entry {
            n: self.next.fetch_add(1, Ordering::Relaxed),
            system,
            method: method.to_owned(),
            target: target.to_owned(),
        }
    }

    /// Notes how it was answered; status 0 means that it was not. Systems
    /// without HTTP's statuses say 200 for success, and their own code
    /// otherwise.
    pub fn finish(
        &self,
        entry: &Entry,
        status: u16,
        who: Option<&str>,
        took: Duration,
        fault: Option<&str>,
    ) {
        let line = Line {
            n: entry.n,
            time: self.clock.now().to_string(),
            system: entry.system,
            method: &entry.method,
            target: &entry.target,
            status,
            who,
            ms: took.as_secs_f64() * 1000.0 / self.clock.rate(),
            fault,
        };
        let Ok(mut line) = serde_json::to_vec(&line) else {
            return;
        };
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not stop the world; the log is for looking at.
        let _ = file.write_all(&line);
    }
}
