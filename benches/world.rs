//! How fast the embedded Kubernetes is, against what it promises:
//! `cargo bench --bench world` prints a table.
//!
//! The server is a process of its own, this same program with `serve`, so that
//! its memory is its own. Clients share the machine with it, as they do in a
//! rehearsal, and speak the wire protocol themselves, so that little of what is
//! measured is theirs.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a program for the terminal, which has nobody to hand an error to"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use todoctl::clock::Clock;
use todoctl::sandbox::kube::{Authenticator, Clusters, User};
use todoctl::sandbox::world::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[expect(clippy::disallowed_types, reason = "whole processes are measured")]
type Command = std::process::Command;

const CLUSTER: &str = "ocid1.cluster.oc1..bench";

struct Row {
    what: &'static str,
    found: String,
    target: &'static str,
}

impl Row {
    fn new(what: &'static str, found: String, target: &'static str) -> Self {
        Self {
            what,
            found,
            target,
        }
    }
}

/// Everybody may do everything.
struct Open;

impl Authenticator for Open {
    fn authenticate(&self, _: &str, _: &str) -> Result<User, String> {
        let groups = ["system:masters", "system:authenticated"];
        Ok(User::new("bench", &groups))
    }
}

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, verb, dir] = arguments.as_slice()
        && verb == "serve"
    {
        return runtime().block_on(serve(Path::new(dir)));
    }
    let rows = runtime().block_on(measure());
    println!("{:<52} {:>16}   target", "what", "measured");
    for row in rows {
        println!("{:<52} {:>16}   {}", row.what, row.found, row.target);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Serves one cluster until the standard input ends.
async fn serve(dir: &Path) {
    let stop = tokio_util::sync::CancellationToken::new();
    let clock = Clock::new(1.0, stop.clone());
    let world = Arc::new(World::open(dir, clock, 7).expect("a world"));
    let clusters = Clusters::new(world, Arc::new(Open));
    let endpoint = clusters.ensure(CLUSTER).await.expect("a cluster");
    fs::write(dir.join("ca.pem"), &endpoint.ca_pem).expect("a file");
    println!("{}", endpoint.address);
    let end = || std::io::stdin().read_to_end(&mut Vec::new());
    let _ = tokio::task::spawn_blocking(end).await;
    stop.cancel();
}

/// The server's process.
struct Server {
    process: Child,
    address: SocketAddr,
    tls: TlsConnector,
}

impl Server {
    fn start(dir: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .arg("serve")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("its output"))
            .read_line(&mut line)
            .expect("its address");
        let address = line.trim().parse().expect("an address");
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(dir.join("ca.pem")).expect("a certificate");
        roots.add(ca).expect("an authority");
        let config = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            process,
            address,
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    async fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address)
            .await
            .expect("a connection");
        stream.set_nodelay(true).expect("an option");
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = self.tls.connect(name, stream).await.expect("a TLS session");
        Client {
            stream,
            held: Vec::new(),
        }
    }

    fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let kib = status.unwrap_or_default().lines().find_map(|line| {
            let rest = line.strip_prefix("VmRSS:")?;
            rest.trim().trim_end_matches(" kB").parse::<f64>().ok()
        });
        kib.unwrap_or_default() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// A connection to the server.
struct Client {
    stream: TlsStream<TcpStream>,
    held: Vec<u8>,
}

impl Client {
    /// Asks, and reads the whole answer; gives its status.
    async fn ask(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> u16 {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer b\r\n\
             user-agent: bench\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).await.expect("a request");
        let end = loop {
            if let Some(at) = find(&self.held, b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more().await, "the server closed the connection");
        };
        let head = String::from_utf8_lossy(self.held.get(..end).unwrap_or_default()).into_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        let length = length.unwrap_or_default();
        while self.held.len() < end + length {
            assert!(self.more().await, "the server closed the connection");
        }
        self.held.drain(..end + length);
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        status.unwrap_or_default()
    }

    /// Applies a change of an object.
    async fn apply(&mut self, path: &str, object: &Value) -> u16 {
        let path = format!("{path}?fieldManager=bench&force=true");
        let kind = "application/apply-patch+yaml";
        self.ask("PATCH", &path, kind, object.to_string().as_bytes())
            .await
    }

    async fn more(&mut self) -> bool {
        self.stream.read_buf(&mut self.held).await.expect("bytes") > 0
    }

    /// Begins to watch, and waits for the answer's head.
    async fn watch(&mut self, path: &str) {
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer b\r\nuser-agent: bench\r\n\r\n"
        );
        self.stream
            .write_all(head.as_bytes())
            .await
            .expect("a request");
        while find(&self.held, b"\r\n\r\n").is_none() {
            assert!(self.more().await, "the server closed the connection");
        }
    }

    /// Waits until this text arrives.
    async fn until(&mut self, text: &str) {
        while find(&self.held, text.as_bytes()).is_none() {
            assert!(self.more().await, "the server closed the connection");
        }
        self.held.clear();
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|part| part == what)
}

fn config_map(name: &str, round: usize) -> (String, Value) {
    let text = "the settings of one part of an application, about as long as such lines are";
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": name, "namespace": "default",
            "labels": {"app.kubernetes.io/name": "bench", "app.kubernetes.io/instance": name},
        },
        "data": {
            "a.conf": text, "b.conf": text, "c.conf": text, "d.conf": text,
            "round": format!("round-{round}-"),
        },
    });
    (
        format!("/api/v1/namespaces/default/configmaps/{name}"),
        object,
    )
}

fn deployment(name: &str, round: usize) -> (String, Value) {
    let container = |name: &str| {
        json!({
            "name": name, "image": format!("registry.example/{name}:1"),
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        })
    };
    let labels = json!({"app.kubernetes.io/name": name});
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": name, "namespace": "default", "labels": labels,
            "annotations": {"round": format!("round-{round}-")},
        },
        "spec": {
            "replicas": 0, "paused": true,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container("web"), container("log")]},
            },
        },
    });
    (
        format!("/apis/apps/v1/namespaces/default/deployments/{name}"),
        object,
    )
}

type Make = fn(&str, usize) -> (String, Value);

async fn measure() -> Vec<Row> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = Arc::new(Server::start(dir.path()));
    let mut rows = vec![start(dir.path()).await];
    for (what, target, make, clients) in [
        (
            "applies of a ConfigMap, 1 client",
            "",
            config_map as Make,
            1,
        ),
        (
            "applies of a ConfigMap, 16 clients",
            "5000/s, p99 5 ms",
            config_map,
            16,
        ),
        ("applies of a Deployment, 1 client", "", deployment, 1),
        (
            "applies of a Deployment, 16 clients",
            "p99 5 ms",
            deployment,
            16,
        ),
    ] {
        let (rate, p99) = applies(&server, make, clients).await;
        rows.push(Row::new(what, format!("{rate:.0}/s, {p99:.1} ms"), target));
    }
    let late = fan_out(&server, 100).await;
    rows.push(Row::new(
        "a change to the last of 100 watchers, p99",
        format!("{late:.1} ms"),
        "20 ms",
    ));
    drop(server);
    rows.push(memory().await);
    rows
}

/// Applies that change something: how many in a second, and how long 99 of
/// 100 take at most, in milliseconds.
async fn applies(server: &Arc<Server>, make: Make, clients: usize) -> (f64, f64) {
    const ROUNDS: usize = 100;
    let each = 6400 / clients / ROUNDS;
    let mut tasks = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for client in 0..clients {
        let server = server.clone();
        tasks.spawn(async move {
            let mut connection = server.client().await;
            let mut times = Vec::new();
            for round in 0..ROUNDS {
                for object in 0..each {
                    let name = format!("bench-{clients}-{client}-{object}");
                    let (path, object) = make(&name, round);
                    let begun = Instant::now();
                    let status = connection.apply(&path, &object).await;
                    times.push(begun.elapsed());
                    assert!(matches!(status, 200 | 201), "the apply got {status}");
                }
            }
            times
        });
    }
    let times = tasks.join_all().await.concat();
    let took = begun.elapsed();
    (
        times.len() as f64 / took.as_secs_f64(),
        millis(share(times, 0.99)),
    )
}

/// From sending a change until the last watcher has it: what 99 of 100 take at
/// most, in milliseconds.
async fn fan_out(server: &Arc<Server>, watchers: usize) -> f64 {
    const CHANGES: usize = 100;
    let (seen, mut counts) = tokio::sync::mpsc::channel(watchers);
    for _ in 0..watchers {
        let (server, seen) = (server.clone(), seen.clone());
        tokio::spawn(async move {
            let mut connection = server.client().await;
            let path = "/api/v1/namespaces/default/configmaps?watch=1&fieldSelector=metadata.name%3Dwatched";
            connection.watch(path).await;
            let _ = seen.send(()).await;
            for round in 0..CHANGES {
                connection.until(&format!("round-{round}-")).await;
                let _ = seen.send(()).await;
            }
        });
    }
    for _ in 0..watchers {
        counts.recv().await.expect("a watcher");
    }
    let mut writer = server.client().await;
    let mut times = Vec::new();
    for round in 0..CHANGES {
        let (path, object) = config_map("watched", round);
        let begun = Instant::now();
        writer.apply(&path, &object).await;
        for _ in 0..watchers {
            counts.recv().await.expect("a watcher");
        }
        times.push(begun.elapsed());
    }
    millis(share(times, 0.99))
}

/// What the server's process holds with 10,000 objects in the cluster.
async fn memory() -> Row {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(dir.path());
    let empty = server.memory();
    let mut connection = server.client().await;
    for n in 0..10_000 {
        let (path, object) = config_map(&format!("object-{n}"), 0);
        connection.apply(&path, &object).await;
    }
    Row::new(
        "memory with 10,000 ConfigMaps of 1 KiB",
        format!("{:.0} MiB ({empty:.0})", server.memory()),
        "64 MiB",
    )
}

/// From starting the process of a world with a cluster to its first answers.
async fn start(dir: &Path) -> Row {
    let world = dir.join("start");
    drop(Server::start(&world));
    let mut times = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_todoctl"))
            .args(["sandbox", "serve", "--clock", "real", "--state-dir"])
            .arg(&world)
            .stdout(Stdio::null())
            .spawn()
            .expect("a process");
        times.push(until_served(&world, begun).await);
        stop(&world).await;
        process.wait().expect("its end");
    }
    Row::new(
        "start to serving, median",
        format!("{:.0} ms", millis(share(times, 0.5))),
        "50 ms",
    )
}

/// The time until the sandbox of a folder answers, and its cluster, too.
async fn until_served(world: &Path, begun: Instant) -> Duration {
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    loop {
        if let Ok(file) = serde_json::from_str::<Value>(&text(&world.join("sandbox.json"))) {
            let control = file["controlEndpoint"].as_str().unwrap_or_default();
            let address = control.trim_start_matches("http://");
            let clusters = text(&world.join("world.jsonl"));
            let port = clusters.split("\"port\":").nth(1).and_then(|rest| {
                rest.split(|c: char| !c.is_ascii_digit())
                    .next()?
                    .parse::<u16>()
                    .ok()
            });
            let port = port.expect("the cluster's port");
            TcpStream::connect(address).await.expect("a connection");
            TcpStream::connect(("127.0.0.1", port))
                .await
                .expect("a connection");
            return begun.elapsed();
        }
        tokio::task::yield_now().await;
    }
}

async fn stop(world: &Path) {
    todoctl::sandbox::client::stop(world).await.expect("an end");
}

fn share(mut times: Vec<Duration>, share: f64) -> Duration {
    times.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a small length"
    )]
    let at = (times.len() as f64 * share) as usize;
    times.get(at).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
