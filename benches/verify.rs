//! How long `verify` takes: as long as its slowest check, not as all of them
//! together. `cargo bench --bench verify` prints a table.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program for the terminal, which has nobody to hand an error to"
)]

use std::path::Path;

use serde_json::Value;

#[expect(clippy::disallowed_types, reason = "whole processes are measured")]
type Command = std::process::Command;

/// How often; the middle counts.
const TIMES: usize = 21;

/// What one run took, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Run {
    all: f64,
    slowest: f64,
    sum: f64,
}

fn main() {
    let home = tempfile::tempdir().expect("a folder");
    todoctl(home.path(), &["up", "--quiet", "--no-progress"]);
    let mut runs: Vec<Run> = (0..TIMES).map(|_| run(home.path())).collect();
    todoctl(home.path(), &["sandbox", "stop"]);
    runs.sort_by(|a, b| a.all.total_cmp(&b.all));
    let Run { all, slowest, sum } = *runs.get(TIMES / 2).expect("the middle one");
    println!("a healthy sandbox, the middle one of {TIMES} runs");
    println!("  whole run                 {all:>8.0} ms  (target: 5000 ms)");
    println!("  its slowest check         {slowest:>8.0} ms");
    println!("  all checks together       {sum:>8.0} ms");
    println!("  run / slowest check       {:>8.2}", all / slowest);
    println!("  run / all together        {:>8.2}", all / sum);
}

fn run(home: &Path) -> Run {
    let said = todoctl(home, &["verify", "-o", "json"]);
    let report: Value = serde_json::from_slice(&said).expect("a report");
    assert_eq!(report["verdict"], "pass", "a healthy world");
    let checks = report["checks"].as_array().expect("checks");
    let times = checks.iter().filter_map(|check| check["tookMs"].as_f64());
    Run {
        all: report["tookMs"].as_f64().expect("a time"),
        slowest: times.clone().fold(0.0, f64::max),
        sum: times.sum(),
    }
}

/// Runs a command in a home of its own; what it says.
fn todoctl(home: &Path, args: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_todoctl"))
        .args(args)
        .env_clear()
        .env("HOME", home)
        .output()
        .expect("a process");
    assert!(output.status.success(), "{args:?} {output:?}");
    output.stdout
}
