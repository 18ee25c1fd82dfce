//! What all emulated systems share: the store, the clock, the seed, the fault
//! plan and the request log.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::faults::Faults;
use super::http::Request;
use super::store::Store;
use crate::clock::Clock;
use crate::files;

/// The embedded world.
#[derive(Debug)]
pub struct World {
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
}

impl World {
    /// Opens the world whose state is in `dir`.
    pub fn open(dir: &Path, clock: Clock, seed: u64) -> std::io::Result<Self> {
        let store = Arc::new(Store::open(dir)?);
        let requests = RequestLog::open(&dir.join("requests.jsonl"), clock.clone())?;
        Ok(Self {
            faults: Faults::new(store.clone()),
            store,
            clock,
            seed,
            requests,
        })
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
        let share = (self.draw(subject) % 10_000) as f64 / 10_000.0;
        low + high.saturating_sub(low).mul_f64(share)
    }

    /// `length` characters of `[a-z2-7]`, drawn from the seed and a subject.
    pub fn letters(&self, subject: &str, length: usize) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        (0..length.div_ceil(12))
            .flat_map(|block| {
                let bits = self.draw(&format!("{subject}#{block}"));
                (0..12).map(move |i| char::from(ALPHABET[(bits >> (5 * i)) as usize & 31]))
            })
            .take(length)
            .collect()
    }
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

impl RequestLog {
    fn open(path: &Path, clock: Clock) -> std::io::Result<Self> {
        let lines =
            std::fs::read(path).map_or(0, |text| text.iter().filter(|b| **b == b'\n').count());
        let file = Mutex::new(files::open_append(path)?);
        Ok(Self {
            file,
            next: AtomicU64::new(lines as u64 + 1),
            clock,
        })
    }

    /// Notes that a request came in.
    pub fn start(&self, system: &'static str, request: &Request) -> Entry {
        Entry {
            n: self.next.fetch_add(1, Ordering::Relaxed),
            system,
            method: request.method.to_string(),
            target: request.target.clone(),
        }
    }

    /// Notes how it was answered; status 0 means that it was not.
    pub fn finish(
        &self,
        entry: Entry,
        status: u16,
        who: Option<String>,
        took: Duration,
        fault: Option<&str>,
    ) {
        let line = json!({
            "n": entry.n,
            "time": self.clock.now().to_string(),
            "system": entry.system,
            "method": entry.method,
            "target": entry.target,
            "status": status,
            "who": who,
            "ms": took.as_secs_f64() * 1000.0,
            "fault": fault,
        });
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not stop the world; the log is for looking at.
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}
