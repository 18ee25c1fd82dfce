//! The second day's bulk: many objects that are applied, many lines that are
//! read. `cargo bench --bench day2` prints a table, with `kubectl` beside
//! todoctl where there is one (`KUBECTL`, or what `tests/interop/run` built).
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a program for the terminal, which has nobody to hand an error to, and which measures"
)]

mod process;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use todoctl::clock::Clock;
use todoctl::helm::chart::{Chart, ChartFile};
use todoctl::helm::values::Layers;
use todoctl::k8s::{Connect, Kube, Kubeconfig, Patience};
use todoctl::release::{Options, Releases, Request as Release};
use tokio::net::TcpListener;

use process::{cpu_seconds, peak_mib};

#[expect(clippy::disallowed_types, reason = "whole processes are measured")]
type Command = std::process::Command;

/// Emulated seconds in a real one.
const RATE: u64 = 1000;
/// How late answers come.
const LATENCY: Duration = Duration::from_millis(50);
/// Lines in a chunk, and chunks.
const LINES: usize = 1000;
const CHUNKS: usize = 1000;

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    applies();
    logs();
}

/// Objects that are installed as a release, and by kubectl.
fn applies() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    todoctl(home, &["up", "--only", "account,network,cluster"]);
    let kubeconfig = home.join("kubeconfig");
    fs::write(&kubeconfig, todoctl(home, &["kubeconfig"])).expect("a file");
    let requests = || {
        let log = home.join(".local/state/todoctl/sandbox/requests.jsonl");
        let log = fs::read_to_string(log).unwrap_or_default();
        log.lines().filter(|l| l.contains("\"kube\"")).count()
    };
    let late = format!("{}ms", LATENCY.as_millis() * u128::from(RATE));
    todoctl(home, &["sandbox", "fault", "kube", "delay", &late]);
    println!("200 objects, answers 50 ms late");
    let runtime = runtime();
    let before = requests();
    let started = Instant::now();
    let kube = runtime.block_on(connect(&kubeconfig));
    runtime.block_on(install(&kube, 200));
    println!(
        "  todoctl, new connection   {:>8.2} s",
        started.elapsed().as_secs_f64()
    );
    println!("  its requests              {:>8}", requests() - before);
    let before = requests();
    let took = runtime.block_on(install(&kube, 201));
    println!(
        "  todoctl, again            {:>8.2} s   (target: 1.2 s)",
        took.as_secs_f64()
    );
    println!(
        "  its requests              {:>8}     (target: 205)",
        // The one object more.
        requests() - before - 1
    );
    if let Some(kubectl) = kubectl() {
        let file = home.join("objects.yaml");
        fs::write(&file, objects(200)).expect("a file");
        let mut command = Command::new(kubectl);
        command.args(["apply", "--server-side", "-f"]).arg(&file);
        command.env("KUBECONFIG", &kubeconfig).env("HOME", home);
        let path = Path::new(env!("CARGO_BIN_EXE_todoctl")).parent();
        command.env("PATH", path.expect("a folder"));
        let before = requests();
        let started = Instant::now();
        let output = command.output().expect("kubectl starts");
        assert!(output.status.success(), "{output:?}");
        println!(
            "  kubectl                   {:>8.2} s",
            started.elapsed().as_secs_f64()
        );
        println!("  its requests              {:>8}", requests() - before);
    }
    todoctl(home, &["sandbox", "fault", "clear"]);

    println!("objects installed as one release, without waiting for them");
    let mut each = Vec::new();
    // The last one is put beside all others.
    for count in [500, 5000, 4999] {
        let took = runtime.block_on(install(&kube, count)).as_secs_f64();
        each.push(took / f64::from(count));
        println!("  {count:>5} objects             {took:>8.2} s");
    }
    println!(
        "  an object of 5000 over 500 {:>7.2}     (linear: 1)",
        each[1] / each[0]
    );
    println!("  beside 5700 others        {:>8.2}", each[2] / each[0]);
    todoctl(home, &["sandbox", "stop"]);
}

async fn connect(kubeconfig: &Path) -> Kube {
    let connect = Connect {
        kubeconfig: Kubeconfig::File(kubeconfig.to_owned()),
        context: None,
        token: None,
        clock: Clock::default(),
        patience: Patience::default(),
    };
    connect.connect().await.expect("the cluster is there")
}

fn objects(count: u32) -> String {
    (0..count).fold(String::new(), |mut all, n| {
        let _ = write!(
            all,
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: by-kubectl-{n}, namespace: default}}\n\
             data: {{key: value-{n}}}\n"
        );
        all
    })
}

/// Installs a chart of so many objects.
async fn install(kube: &Kube, count: u32) -> Duration {
    const TEMPLATE: &str = "{{ range until (int .Values.count) }}\n---\napiVersion: v1\nkind: ConfigMap\n\
        metadata: {name: \"many-{{ $.Values.count }}-{{ . }}\"}\ndata: {key: \"value-{{ . }}\"}\n{{ end }}\n";
    let values = format!("count: {count}\n");
    let files = [
        ("Chart.yaml", "apiVersion: v2\nname: many\nversion: 1.0.0\n"),
        ("values.yaml", &values),
        ("templates/many.yaml", TEMPLATE),
    ];
    let files = files.map(|(name, text)| ChartFile {
        name: name.to_owned(),
        data: text.as_bytes().into(),
    });
    let request = Release {
        name: format!("many-{count}"),
        chart: Chart::from_files(files.into()).expect("a chart"),
        values: Layers::default(),
        options: Options::default(),
    };
    let releases = Releases::new(kube.clone(), "default");
    let started = Instant::now();
    let done = releases.install_or_upgrade(&request, &|_| {}).await;
    let took = started.elapsed();
    done.expect("the release is installed");
    took
}

/// A million lines of one container, from a server that only has those.
fn logs() {
    let runtime = runtime();
    let address = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(serve(listener));
        address
    });
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    let (kubeconfig, profile) = (home.join("kubeconfig"), home.join("todo.yaml"));
    fs::write(&kubeconfig, access(address)).expect("a file");
    fs::write(&profile, profile_of(&kubeconfig)).expect("a file");
    println!("{} lines of JSON, {LINES} a piece", LINES * CHUNKS);
    let mut ours = Command::new(env!("CARGO_BIN_EXE_todoctl"));
    ours.args(["logs", "backend", "-p"])
        .arg(&profile)
        .env_clear()
        .env("HOME", home);
    for secret in ["DATABASE_URL", "COHERE_API_KEY", "BETTER_AUTH_SECRET"] {
        // They are looked for in every line.
        ours.env(
            secret,
            format!("postgresql://user:of-some-length-{secret}@host/db"),
        );
    }
    report("todoctl logs", &cost(&mut ours));
    if let Some(kubectl) = kubectl() {
        let mut theirs = Command::new(kubectl);
        theirs.args(["logs", "--timestamps", "-n", "todo", "backend-0"]);
        theirs.env("KUBECONFIG", &kubeconfig).env("HOME", home);
        report("kubectl logs", &cost(&mut theirs));
    }
}

struct Cost {
    cpu: f64,
    wall: f64,
    mib: f64,
    lines: usize,
}

fn report(what: &str, cost: &Cost) {
    let rate = (LINES * CHUNKS) as f64 / cost.cpu;
    println!(
        "  {what}: {} lines, {:.2} s, {:.2} CPU s, {rate:.0} lines a CPU second, {:.0} MiB",
        cost.lines, cost.wall, cost.cpu, cost.mib
    );
}

/// Runs a process and reads what it prints; what that took.
fn cost(command: &mut Command) -> Cost {
    use std::io::Read as _;
    let before = cpu_seconds(13);
    let started = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().expect("a process");
    let id = child.id();
    let mut pipe = child.stdout.take().expect("its output");
    let (mut lines, mut mib, mut buffer) = (0, 0.0_f64, vec![0; 1 << 20]);
    let mut looked = Instant::now();
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        let new = buffer.get(..read).unwrap_or_default();
        lines += new.iter().filter(|byte| **byte == b'\n').count();
        if looked.elapsed() > Duration::from_millis(50) {
            looked = Instant::now();
            mib = mib.max(peak_mib(id));
        }
    }
    let ended = child.wait().expect("it ends");
    assert!(ended.success(), "{command:?}");
    Cost {
        cpu: cpu_seconds(13) - before,
        wall: started.elapsed().as_secs_f64(),
        mib,
        lines,
    }
}

fn access(server: SocketAddr) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": format!("http://{server}")}}],
        "users": [{"name": "bench", "user": {"token": "bench"}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    })
    .to_string()
}

fn profile_of(kubeconfig: &Path) -> String {
    let kubeconfig = kubeconfig.display();
    format!(
        "extends: local\nkubernetes: {{kubeconfig: {kubeconfig}}}\n\
         app:\n  services:\n    - {{name: backend, image: docker.io/library/backend:1, port: 8000}}\n"
    )
}

/// Serves one pod and its log; nothing else is there.
async fn serve(listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        tokio::spawn(async move {
            let service =
                service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

type Body = BoxBody<Bytes, Infallible>;

fn answer(request: &Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let pods = "/api/v1/namespaces/todo/pods";
    let document = match path {
        "/version" => json!({
            "major": "1", "minor": "34", "gitVersion": "v1.34.1", "gitCommit": "", "gitTreeState": "",
            "buildDate": "", "goVersion": "", "compiler": "", "platform": "linux/arm64",
        }),
        "/api" => json!({"kind": "APIVersions", "versions": ["v1"]}),
        "/apis" => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}),
        "/api/v1" => json!({
            "kind": "APIResourceList", "groupVersion": "v1", "resources": [{
                "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod",
                "verbs": ["get", "list", "watch"],
            }],
        }),
        path if path == pods => json!({
            "kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
            "items": [pod()],
        }),
        path if path == format!("{pods}/backend-0") => pod(),
        path if path == format!("{pods}/backend-0/log") => {
            let pieces = stream::iter((0..CHUNKS).map(|n| Ok(Frame::data(piece(n)))));
            return Response::new(BodyExt::boxed(StreamBody::new(pieces)));
        }
        _ => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound",
                "message": "the server could not find the requested resource", "code": 404,
            });
            return reply(StatusCode::NOT_FOUND, &status);
        }
    };
    reply(StatusCode::OK, &document)
}

fn reply(status: StatusCode, document: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(document.to_string()));
    let mut response = Response::new(body.boxed());
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    response
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "backend-0", "namespace": "todo", "uid": "1",
            "labels": {"app.kubernetes.io/instance": "todo-app", "app.kubernetes.io/name": "backend"},
        },
        "spec": {"nodeName": "n", "containers": [{"name": "backend", "image": "backend:1"}]},
        "status": {"phase": "Running", "containerStatuses": [{
            "name": "backend", "image": "backend:1", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        }]},
    })
}

/// Lines as an app in Python writes them, each at a time of its own.
fn piece(n: usize) -> Bytes {
    let mut text = String::with_capacity(LINES * 240);
    for line in 0..LINES {
        let at = n * LINES + line;
        let (second, rest) = (at / 100_000 % 60, at % 100_000 * 10_000);
        let _ = writeln!(
            text,
            "2026-01-01T00:00:{second:02}.{rest:09}Z {{\"timestamp\":\"2026-01-01T00:00:{second:02}.{:06}Z\",\
             \"level\":\"INFO\",\"logger\":\"todo-backend\",\"message\":\"request\",\"method\":\"GET\",\
             \"path\":\"/api/tasks\",\"status\":200,\"duration_ms\":3,\"correlation_id\":\"{at:032x}\"}}",
            rest / 1000
        );
    }
    text.into()
}

fn kubectl() -> Option<PathBuf> {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/target/interop/bin/kubectl");
    let found = std::env::var_os("KUBECTL").map_or_else(|| built.into(), PathBuf::from);
    found.is_file().then_some(found)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

/// Runs a command in a home of its own; what it says.
fn todoctl(home: &Path, args: &[&str]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_todoctl"));
    let output = command.args(args).env_clear().env("HOME", home).output();
    let output = output.expect("a process");
    assert!(output.status.success(), "{args:?} {output:?}");
    output.stdout
}
