//! How fast todoctl is, against what it promises: `cargo bench` prints a table.
//!
//! A program of its own rather than a harness: what is measured are whole
//! processes, and ratios of one run count, not nanoseconds.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program for the terminal, which has nobody to hand an error to"
)]

mod process;

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use todoctl::clock::Clock;
use todoctl::helm::chart::Chart;
use todoctl::helm::values::Layers;
use todoctl::k8s::{Connect, Kubeconfig, Patience};
use todoctl::release::{Options, Releases, Request};

use process::{cpu_seconds, peak_mib};

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
    rows.extend(installation(dir.path()));
    rows.extend(charts(dir.path()));
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

/// The most memory that `todoctl version` takes.
fn memory(dir: &Path) -> Option<Row> {
    let mib = peak_memory(command(dir, &["version"]))?;
    Some(Row {
        what: "peak memory of `todoctl version`",
        found: format!("{mib:.1} MiB"),
        target: "10 MiB",
    })
}

/// The most memory that a command takes, in MiB. It is looked at while the
/// command waits to write into a full pipe, which is the last that it does.
fn peak_memory(mut command: Command) -> Option<f64> {
    let (reader, mut writer) = std::io::pipe().ok()?;
    writer.write_all(&vec![0; 65536]).ok()?;
    let mut child = command.stdout(writer).spawn().ok()?;
    // Closes this process's end of the pipe.
    drop(command);
    let field = |file: &str, name: &str| -> Option<String> {
        let text = fs::read_to_string(format!("/proc/{}/{file}", child.id())).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1).map(str::to_owned)
    };
    let mut before = None;
    for _ in 0..300 {
        pause(Duration::from_millis(200));
        // It sleeps, and nothing has moved since the last look.
        let now = (field("status", "VmHWM"), field("status", "voluntary"));
        if before.as_ref() == Some(&now) && field("status", "State").as_deref() == Some("S") {
            break;
        }
        before = Some(now);
    }
    let mib = peak_mib(child.id());
    drop(reader);
    // Nobody reads what it says, so it may well fail.
    child.wait().ok()?;
    (mib > 0.0).then_some(mib)
}

/// Rendering charts, beside `helm template` in the same run: this project's
/// own, and those that the environment names. `HELM` is the helm executable,
/// `CHARTS` a list of charts like `PATH`'s, `CHART_CORPUS` a folder of charts.
fn charts(dir: &Path) -> Vec<Row> {
    let Some(helm) = helm() else {
        println!("no helm found (HELM, PATH, target/interop): charts are not compared");
        return Vec::new();
    };
    let mut groups = vec![
        ("the app's chart", vec![root().join("templates/todo-app")]),
        ("Dapr's stand-in", dapr(dir).into_iter().collect()),
        ("the template corpus", corpus(dir)),
    ];
    if let Some(list) = std::env::var_os("CHARTS") {
        let further = std::env::split_paths(&list).collect();
        groups.push(("the charts of CHARTS", further));
    }
    if let Some(folder) = std::env::var_os("CHART_CORPUS") {
        groups.push(("the charts of CHART_CORPUS", charts_in(Path::new(&folder))));
    }
    let ours = |chart: &Path| {
        let mut render = command(dir, &["render", "--chart"]);
        render.arg(chart);
        render
    };
    let theirs = |chart: &Path| {
        let mut template = Command::new(&helm);
        template.args(["template", "release-name"]).arg(chart);
        template.env_clear().env("HOME", dir).stdin(Stdio::null());
        template
    };
    let mut rows = Vec::new();
    for (what, mut charts) in groups {
        charts.retain(|chart| succeeds(ours(chart)) && succeeds(theirs(chart)));
        if charts.is_empty() {
            println!("{what}: none that both render");
            continue;
        }
        let (ours, theirs) = (Cost::of(&charts, ours), Cost::of(&charts, theirs));
        println!(
            "{what}, {}: todoctl {ours:?}, helm {theirs:?}",
            charts.len()
        );
        rows.push(Row {
            what: "CPU time of rendering, helm's being 1",
            found: format!("{:.3} ({what})", ours.cpu / theirs.cpu),
            target: "0.1",
        });
        rows.push(Row {
            what: "peak memory of rendering, helm's being 1",
            found: format!("{:.3} ({what})", ours.memory / theirs.memory),
            target: "0.2",
        });
    }
    rows
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn helm() -> Option<OsString> {
    if let Some(helm) = std::env::var_os("HELM") {
        return Some(helm);
    }
    // Where tests/interop/run keeps them; the newest of helm 4.
    let kept = fs::read_dir(root().join("target/interop/bin"));
    let names = kept
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let is_4 = |path: &PathBuf| path.to_string_lossy().contains("/helm-v4");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = || std::env::split_paths(&path).map(|folder| folder.join("helm"));
    let found = names.filter(is_4).max();
    let found = found.or_else(|| installed().find(|path| path.is_file()));
    found.map(PathBuf::into_os_string)
}

/// The sandbox's chart in Dapr's place, which has its kinds of objects.
fn dapr(dir: &Path) -> Option<PathBuf> {
    todoctl::sandbox::charts::write(dir, "dapr", None).expect("a chart is written")
}

/// The corpus as charts that helm renders.
fn corpus(dir: &Path) -> Vec<PathBuf> {
    let folder = dir.join("corpus");
    let mut wrap = Command::new(root().join("tests/conformance/wrap"));
    wrap.arg(root().join("tests/conformance/corpus"))
        .arg(&folder);
    if !succeeds(wrap) {
        println!("the template corpus cannot be wrapped (is there a python3?)");
    }
    charts_in(&folder)
}

/// The charts in a folder, packed or not.
fn charts_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_chart = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "tgz")
            || path.join("Chart.yaml").is_file()
    };
    let mut charts: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_chart).collect();
    charts.sort();
    charts
}

fn succeeds(mut command: Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What rendering a chart takes, on average over a list of charts.
#[derive(Debug)]
struct Cost {
    /// Seconds of processor time.
    cpu: f64,
    /// The most memory, in MiB.
    memory: f64,
}

impl Cost {
    fn of(charts: &[PathBuf], command: impl Fn(&Path) -> Command) -> Self {
        /// At least as many processes; their time is counted in hundredths.
        const RUNS: usize = 20;
        /// A look at a process's memory takes half a second.
        const LOOKS: usize = 20;
        let times = RUNS.div_ceil(charts.len());
        let before = cpu_seconds(13);
        for chart in charts.iter().cycle().take(charts.len() * times) {
            succeeds(command(chart));
        }
        let cpu = (cpu_seconds(13) - before) / (charts.len() * times) as f64;
        let some = charts.iter().step_by(charts.len().div_ceil(LOOKS));
        let memory: Vec<f64> = some
            .filter_map(|chart| peak_memory(command(chart)))
            .collect();
        Self {
            cpu,
            memory: memory.iter().sum::<f64>() / memory.len() as f64,
        }
    }
}

/// How late every answer of the cluster comes.
const LATENCY: Duration = Duration::from_millis(50);

/// Installing a chart of Dapr's size, without waiting for its pods.
fn installation(dir: &Path) -> [Row; 2] {
    let home = tempfile::tempdir().expect("a temporary folder");
    let rate = "sandbox.clock=600";
    timed(
        home.path(),
        &["up", "--only", "account,network,cluster", "--set", rate],
    );
    let kubeconfig = command(home.path(), &["kubeconfig"]).output();
    let file = home.path().join("kubeconfig");
    let kubeconfig = kubeconfig.expect("todoctl starts").stdout;
    todoctl::files::write_atomic(&file, &kubeconfig, todoctl::files::Access::Private)
        .expect("a file is written");
    let chart = dapr(dir).expect("the sandbox has a chart for Dapr");
    let late = format!("{}ms", LATENCY.as_millis() * 600);
    timed(home.path(), &["sandbox", "fault", "kube", "delay", &late]);
    let log = home.path().join("state/todoctl/sandbox/requests.jsonl");
    let kube = |text: &String| text.lines().filter(|l| l.contains("\"kube\"")).count();
    let requests = || fs::read_to_string(&log).as_ref().map_or(0, kube);
    let before = requests();
    let took = install(file, &chart);
    let sent = requests() - before;
    stop(home.path());
    [
        Row {
            what: "Dapr's installation, answers 50 ms late",
            found: format!("{:.2} s", took.as_secs_f64()),
            target: "0.8 s",
        },
        Row {
            what: "its requests",
            found: sent.to_string(),
            target: "60",
        },
    ]
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
fn install(kubeconfig: PathBuf, chart: &Path) -> Duration {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let connect = Connect {
        kubeconfig: Kubeconfig::File(kubeconfig),
        context: None,
        token: None,
        clock: Clock::default(),
        patience: Patience::default(),
    };
    let request = Request {
        name: "dapr".to_owned(),
        chart: Chart::load(chart).expect("the chart loads"),
        values: Layers::default(),
        options: Options {
            create_namespace: true,
            ..Options::default()
        },
    };
    runtime.block_on(async {
        let kube = connect.connect().await.expect("the cluster is there");
        let releases = Releases::new(kube, "dapr-system");
        let started = Instant::now();
        let done = releases.install_or_upgrade(&request, &|_| {}).await;
        let took = started.elapsed();
        done.expect("the release is installed");
        took
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
    let times: Vec<_> = (0..10).map(|_| timed(dir, &["up"]).0).collect();
    let before = lines();
    timed(dir, &["up", "--no-verify"]);
    let requests = lines() - before;
    [
        Row {
            what: "`up` with nothing to do",
            found: format!("{:.2} s", median(times).as_secs_f64()),
            target: "1 s",
        },
        Row {
            what: "its requests before the proof",
            found: requests.to_string(),
            target: "95",
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
