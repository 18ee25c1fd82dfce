//! How soon `events tail` shows a task's event, and how fast a long topic is
//! read beside librdkafka: `cargo bench --bench events` prints two tables.
//!
//! Whole processes are measured, each reader in one of its own, against the
//! sandbox's broker. The peer is `tests/interop/kafka/scan.c`, compiled here and
//! linked to the library that `LIBRDKAFKA` names or that `tests/interop/run kafka`
//! keeps in `target/interop`; without one that part is left out, and says so.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a program for the terminal, which has nobody to hand an error to"
)]

mod process;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use todoctl::clock::Clock;
use todoctl::kafka::{
    At, Client, KafkaAccess, Mechanism, NewRecord, Sasl, ScanPlan, Tcp, TopicSpec,
};
use todoctl::net::Trust;
use todoctl::sandbox::client;
use todoctl::secret::Secret;

use process::{cpu_seconds, peak_mib};

#[expect(clippy::disallowed_types, reason = "whole processes are measured")]
type Command = std::process::Command;

/// How many tasks are made while the tail watches.
const TASKS: usize = 100;
const PROMISED: Duration = Duration::from_millis(100);
/// What is read, and how it lies in its partitions.
const TOPIC: &str = "scan";
const PARTITIONS: i32 = 3;
const EVENTS: i32 = 1_000_000;
const BATCH: i32 = 1000;
/// How often each reads it; the middle counts.
const TIMES: usize = 5;
const USER: &str = "bench";
const PASSWORD: &str = "rehearsal";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, broker, ca @ ..] = args.as_slice()
        && mode == "scan"
    {
        return tokio::runtime::Runtime::new()
            .expect("a runtime")
            .block_on(scan(broker, ca.first()));
    }
    let home = tempfile::tempdir().expect("a folder");
    todoctl(home.path(), &["up", "--quiet", "--no-progress"]);
    latency(home.path());
    scans(home.path());
    todoctl(home.path(), &["sandbox", "stop"]);
}

/// From a request for a new task to the line with its event.
fn latency(home: &Path) {
    let report = todoctl(home, &["verify", "-o", "json"]);
    let report: Value = serde_json::from_slice(&report).expect("a report");
    let app = report["topology"]["nodes"][0]["detail"]
        .as_str()
        .expect("the app's address")
        .to_owned();
    let mut tail = command(home, &["events", "tail", "-o", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let lines = lines_of(tail.stdout.take().expect("a pipe"));
    // The tail begins where the topics end when it begins.
    while lines.recv_timeout(PROMISED).is_err() {
        post(&app, "is it there yet");
    }
    let mut shown = Vec::new();
    let mut answered = Vec::new();
    for n in 0..TASKS {
        let title = format!("task {n} of the bench");
        let begun = Instant::now();
        post(&app, &title);
        answered.push(begun.elapsed());
        loop {
            let patience = Duration::from_secs(10);
            let (at, line) = lines.recv_timeout(patience).expect("the event shows");
            if line.contains(&title) {
                shown.push(at - begun);
                break;
            }
        }
    }
    tail.kill().expect("it runs");
    tail.wait().expect("it ends");
    println!("from the request to ...            median      p95    worst");
    for (what, mut times) in [("its answer", answered), ("the line of its event", shown)] {
        times.sort();
        let at = |share: usize| {
            let time = times.get((times.len() - 1) * share / 100);
            time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
        };
        println!(
            "  {what:<30} {:>5.1} ms {:>5.1} ms {:>5.1} ms",
            at(50),
            at(95),
            at(100)
        );
    }
    println!("  promised for the line: {} ms\n", PROMISED.as_millis());
}

/// Each line of a process, and when it came.
fn lines_of(pipe: std::process::ChildStdout) -> Receiver<(Instant, String)> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send((Instant::now(), line)).is_err() {
                return;
            }
        }
    });
    lines
}

/// Makes a task as a user does.
fn post(app: &str, title: &str) {
    let body = json!({ "title": title }).to_string();
    let mut stream = TcpStream::connect(app).expect("the app answers");
    write!(
        stream,
        "POST /api/tasks HTTP/1.1\r\nhost: {app}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

/// What one reading of the topic took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    cpu: f64,
    wall: f64,
    mib: f64,
}

type Measure = fn(&Cost) -> f64;

/// Both readers in turn, without and with encryption.
fn scans(home: &Path) {
    let Some(peer) = peer(home) else {
        println!("no librdkafka (LIBRDKAFKA, target/interop) or no cc: nothing to compare with");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let world = home.join(".local/state/todoctl/sandbox");
    let broker = client::broker(&world, "bench", Some((USER, PASSWORD)));
    let (addresses, ca) = runtime.block_on(broker).expect("a broker");
    runtime.block_on(fill(&addresses.plain));
    println!("{EVENTS} events, {BATCH} a batch    todoctl  librdkafka   share");
    let ca = ca.display().to_string();
    let tls = format!(
        "security.protocol=SASL_SSL sasl.mechanism=SCRAM-SHA-256 sasl.username={USER} \
         sasl.password={PASSWORD} ssl.ca.location={ca}"
    );
    let ways = [
        ("plaintext", addresses.plain, None, String::new()),
        ("SCRAM over TLS", addresses.sasl_tls, Some(ca), tls),
    ];
    let this = std::env::current_exe().expect("this program");
    for (way, address, ca, settings) in ways {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let mut command = Command::new(&this);
            ours.push(cost(command.args(["scan", &address]).args(&ca)));
            let mut command = Command::new(&peer);
            let command = command.args([&address, TOPIC]);
            theirs.push(cost(command.args(settings.split_whitespace())));
        }
        let rows: [(&str, Measure); 3] = [
            ("CPU s", |cost| cost.cpu),
            ("wall s", |cost| cost.wall),
            ("peak MiB", |cost| cost.mib),
        ];
        for (what, of) in rows {
            let (a, b) = (middle(&ours, of), middle(&theirs, of));
            println!("  {way:<16} {what:<10} {a:>8.2} {b:>11.2} {:>7.2}", a / b);
        }
    }
}

fn middle(costs: &[Cost], of: Measure) -> f64 {
    let mut found: Vec<f64> = costs.iter().map(of).collect();
    found.sort_by(f64::total_cmp);
    found.get(found.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs a reader, which says what it took.
fn cost(command: &mut Command) -> Cost {
    let output = command.output().expect("a process");
    assert!(output.status.success(), "{command:?} {output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<f64> = said
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [events, _, wall, cpu, kib] = numbers[..] else {
        unreachable!("{said}");
    };
    assert!((events - f64::from(EVENTS)).abs() < 0.5, "{said}");
    Cost {
        cpu,
        wall,
        mib: kib / 1024.0,
    }
}

/// The reader in C, made for the librdkafka that is there.
fn peer(home: &Path) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = match std::env::var_os("LIBRDKAFKA") {
        Some(path) => PathBuf::from(path),
        None => installed(&root.join("target/interop/kafka/lib"))?,
    };
    let program = home.join("scan");
    let built = Command::new("cc")
        .arg("-O2")
        .arg("-o")
        .arg(&program)
        .arg(root.join("tests/interop/kafka/scan.c"))
        .arg(&library)
        .arg(format!("-Wl,-rpath,{}", library.parent()?.display()))
        .status()
        .ok()?;
    built.success().then_some(program)
}

/// The library inside a virtual environment of Python.
fn installed(lib: &Path) -> Option<PathBuf> {
    let python = fs::read_dir(lib).ok()?.next()?.ok()?.path();
    let libraries = python.join("site-packages/confluent_kafka.libs");
    let found = fs::read_dir(libraries).ok()?.filter_map(Result::ok);
    let mut paths = found.map(|entry| entry.path());
    paths.find(|path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("librdkafka")
    })
}

fn reader(broker: &str, ca: Option<&String>) -> Client {
    let access = KafkaAccess {
        brokers: vec![broker.parse().expect("an address")],
        tls: ca.map(|ca| Trust::Only(fs::read(ca).expect("the authority"))),
        sasl: ca.map(|_| Sasl {
            mechanism: Mechanism::ScramSha256,
            username: USER.to_owned(),
            password: Secret::new(PASSWORD),
        }),
        connector: Arc::new(Tcp),
    };
    let client = Client::new(access, Clock::default()).expect("a client");
    client.with_patience(Duration::from_mins(1))
}

/// Fills the topic with events as Dapr writes them.
async fn fill(broker: &str) {
    let kafka = reader(broker, None);
    let topics = [TopicSpec::new(TOPIC, PARTITIONS)];
    kafka.create_topics(&topics).await.expect("a topic");
    for batch in 0..EVENTS / BATCH {
        let record = |n: i32| NewRecord {
            key: Some(format!("task-{n}").into()),
            value: event(n).into(),
            partition: Some(batch % PARTITIONS),
            ..NewRecord::default()
        };
        let records = (batch * BATCH..(batch + 1) * BATCH).map(record);
        let stored = kafka.produce_all(TOPIC, records.collect());
        stored.await.expect("a batch is stored");
    }
}

fn event(n: i32) -> String {
    json!({
        "specversion": "1.0", "id": format!("e-{n}"), "source": "todo-backend",
        "type": "com.dapr.event.sent", "datacontenttype": "application/json",
        "time": "2026-11-22T02:00:00Z", "topic": "task-events", "pubsubname": "kafka-pubsub",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate": "",
        "data": {"task_id": n, "user_id": "u-1", "title": "buy milk", "completed": false},
    })
    .to_string()
}

/// Reads the topic from its beginning to its end, and says what that took in
/// the words of the reader in C.
async fn scan(broker: &str, ca: Option<&String>) {
    let begun = Instant::now();
    let kafka = reader(broker, ca);
    let offsets = async |at| kafka.offsets(&[TOPIC], at).await.expect("offsets");
    let from = offsets(At::Earliest).await;
    let until = offsets(At::Latest).await;
    let mut scan = kafka.scan(&ScanPlan { from, until });
    let (mut events, mut bytes) = (0, 0);
    while let Some(chunk) = scan.next().await.expect("events") {
        let each = |record: todoctl::kafka::Record<'_>| {
            events += 1;
            bytes += record.value.map_or(0, <[u8]>::len) + record.key.map_or(0, <[u8]>::len);
            true
        };
        chunk.each(each).expect("events that can be read");
    }
    let wall = begun.elapsed().as_secs_f64();
    let (cpu, kib) = (cpu_seconds(11), peak_mib(std::process::id()) * 1024.0);
    println!("{events} {bytes} {wall:.4} {cpu:.4} {kib:.0}");
}

/// Runs a command in a home of its own; what it says.
fn todoctl(home: &Path, args: &[&str]) -> Vec<u8> {
    let output = command(home, args).output().expect("a process");
    assert!(output.status.success(), "{args:?} {output:?}");
    output.stdout
}

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_todoctl"));
    command.args(args).env_clear().env("HOME", home);
    command
}
