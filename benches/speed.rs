//! How fast todoctl is, against what it promises: `cargo bench` prints a table.
//!
//! A program of its own rather than a harness: what is measured are whole
//! processes, and ratios of one run count, not nanoseconds.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program for the terminal, which has nobody to hand an error to"
)]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

#[expect(clippy::disallowed_types, reason = "whole processes are measured")]
type Command = std::process::Command;

/// How fast the emulated clock runs where its latencies are measured: slow
/// enough that this machine's own work does not count.
const REALISTIC: &str = "60";

struct Row {
    what: &'static str,
    found: String,
    target: &'static str,
}

fn main() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut rows = vec![start(dir.path())];
    rows.extend(memory(dir.path()));
    rows.extend(rehearsal(dir.path()));
    rows.extend(nothing_to_do(dir.path()));
    stop(dir.path());
    rows.push(critical_path());
    println!("{:<44} {:>16}   target", "what", "measured");
    for Row {
        what,
        found,
        target,
    } in rows
    {
        println!("{what:<44} {found:>16}   {target}");
    }
}

/// From nothing to the end of `todoctl version`.
fn start(dir: &Path) -> Row {
    let times = (0..100).map(|_| timed(dir, &["version"]).0).collect();
    Row {
        what: "start and end of `todoctl version`",
        found: format!("{:.1} ms", median(times).as_secs_f64() * 1000.0),
        target: "5 ms",
    }
}

/// The most memory that `todoctl version` takes. It is looked at while the
/// command waits to write into a full pipe, which is the last that it does.
fn memory(dir: &Path) -> Option<Row> {
    let (reader, mut writer) = std::io::pipe().ok()?;
    writer.write_all(&vec![0; 65536]).ok()?;
    let mut command = command(dir, &["version"]);
    let mut child = command.stdout(writer).spawn().ok()?;
    // Closes this process's end of the pipe.
    drop(command);
    pause(Duration::from_millis(200));
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok();
    drop(reader);
    child.wait().ok()?;
    let line = status?.lines().find(|l| l.starts_with("VmHWM"))?.to_owned();
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(Row {
        what: "peak memory of `todoctl version`",
        found: format!("{:.1} MiB", kib / 1024.0),
        target: "10 MiB",
    })
}

/// A whole `up` on the default fast clock.
fn rehearsal(dir: &Path) -> [Row; 2] {
    let (wall, report) = timed(dir, &["up", "-o", "json"]);
    let seconds = report["seconds"].as_f64().unwrap_or(0.0);
    [
        Row {
            what: "`up` from nothing, fast clock, wall time",
            found: format!("{:.2} s", wall.as_secs_f64()),
            target: "",
        },
        Row {
            what: "20 emulated minutes on the fast clock",
            found: format!("{:.2} s", wall.as_secs_f64() * 1200.0 / seconds),
            target: "3 s",
        },
    ]
}

/// `up` where nothing is to be done.
fn nothing_to_do(dir: &Path) -> [Row; 2] {
    let log = dir.join("state/todoctl/sandbox/requests.jsonl");
    let lines = || fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    let before = lines();
    let times: Vec<_> = (0..10).map(|_| timed(dir, &["up"]).0).collect();
    let requests = (lines() - before) / times.len();
    [
        Row {
            what: "`up` with nothing to do",
            found: format!("{:.2} s", median(times).as_secs_f64()),
            target: "1 s",
        },
        Row {
            what: "its requests",
            found: requests.to_string(),
            target: "40",
        },
    ]
}

/// How much longer a run takes than its longest chain of steps.
fn critical_path() -> Row {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clock = format!("sandbox.clock={REALISTIC}");
    let (_, report) = timed(dir.path(), &["up", "-o", "json", "--set", &clock]);
    stop(dir.path());
    let seconds = |field: &str| report[field].as_f64().unwrap_or(f64::NAN);
    Row {
        what: "`up` over its critical path",
        found: format!("{:.3}", seconds("seconds") / seconds("criticalSeconds")),
        target: "1.05",
    }
}

fn stop(dir: &Path) {
    timed(dir, &["sandbox", "stop"]);
}

/// Runs a command that must end well; how long it took, and its last line as
/// JSON if it is that.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
fn timed(dir: &Path, args: &[&str]) -> (Duration, Value) {
    let started = Instant::now();
    let output = command(dir, args).output().expect("todoctl starts");
    let took = started.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "todoctl {args:?}: {said}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let last = stdout.lines().last().unwrap_or_default();
    (took, serde_json::from_str(last).unwrap_or_default())
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_todoctl"));
    command
        .args(args)
        .env_clear()
        .env("HOME", dir)
        .env("XDG_STATE_HOME", dir.join("state"))
        .env("XDG_CACHE_HOME", dir.join("cache"))
        .stdin(Stdio::null());
    command
}

#[expect(clippy::disallowed_methods, reason = "waits for another process")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
