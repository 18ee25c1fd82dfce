//! The other end of a sandbox's control interface: starting, finding and
//! stopping its process, and its fault plan.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::daemon::{Sandbox, lock_file, sandbox_file};
use super::faults::Fault;
use super::kafka::Addresses;
use super::redpanda::{self, CloudAccess};
use crate::clock::{Clock, Deadline};
use crate::files::{self, Access, Lock};

/// How fast time passes in a sandbox that nobody asked for another rate.
pub const FAST: f64 = 1000.0;

/// The seed of a world when nobody names one: the one of the `sandbox`
/// profile, so that `sandbox start` and `up` mean the same world.
pub const SEED: u64 = 7;
/// How long a sandbox may take to start or stop.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(20);

/// What sandbox somebody wants.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The folder of the world.
    pub state_dir: PathBuf,
    /// The seed; none: the world's own, or 1 for a new one.
    pub seed: Option<u64>,
    /// How fast its time passes; none: as it does, or [`FAST`].
    pub rate: Option<f64>,
    /// The version of todoctl; another one that runs is replaced.
    pub version: String,
}

/// Why there is no sandbox to talk to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No sandbox is running there.
    #[error("no sandbox is running in {}", .0.display())]
    NotRunning(PathBuf),
    /// The process ended before it was ready.
    #[error("the sandbox did not start{log}")]
    DidNotStart {
        /// The end of its log, on lines of its own.
        log: String,
    },
    /// The process does not become ready, or does not end.
    #[error("the sandbox (pid {pid}) is {state} for more than {} s{log}", PATIENCE.as_secs())]
    Slow {
        /// The process.
        pid: u32,
        /// What it is doing.
        state: &'static str,
        /// The end of its log, on lines of its own.
        log: String,
    },
    /// A process holds the folder and does not answer.
    #[error("the sandbox ({holder}) has not answered for {} s", PATIENCE.as_secs())]
    Stuck {
        /// What it says about itself.
        holder: String,
    },
    /// The world there was made with another seed.
    #[error("the sandbox in {} was made with seed {held}, not {asked}", dir.display())]
    OtherSeed {
        /// The folder.
        dir: PathBuf,
        /// The world's seed.
        held: u64,
        /// What was asked for.
        asked: u64,
    },
    /// The sandbox refuses what it was told.
    #[error("the sandbox refuses: {0}")]
    Refused(String),
    /// Files, processes or sockets fail.
    #[error("cannot reach the sandbox")]
    Io(#[from] io::Error),
}

/// Finds the sandbox of a folder, or starts it; two callers at once get the
/// same one.
pub async fn ensure_running(wanted: &Wanted) -> Result<Sandbox, ClientError> {
    let dir = std::path::absolute(&wanted.state_dir)?;
    files::create_dir(&dir, Access::Private)?;
    let _one_starter = lock_patiently(&dir.join("start.lock"), "starting").await?;
    if let Some(sandbox) = settled(&dir).await? {
        if let Some(asked) = wanted.seed.filter(|seed| *seed != sandbox.seed) {
            let held = sandbox.seed;
            return Err(ClientError::OtherSeed { dir, held, asked });
        }
        #[expect(clippy::float_cmp, reason = "the rate is passed on, never computed")]
        let same_rate = wanted.rate.is_none_or(|rate| rate == sandbox.clock_rate);
        if same_rate && sandbox.version == wanted.version {
            return Ok(sandbox);
        }
        stop(&dir).await?;
    }
    start(&dir, wanted).await
}

/// The sandbox that runs in a folder and its status, if there is one.
pub async fn running(dir: &Path) -> Result<Option<(Sandbox, Value)>, ClientError> {
    let Some(sandbox) = read_file(dir)? else {
        return Ok(None);
    };
    match ask(&sandbox, "GET", "/status", None).await {
        Ok(status) => Ok(Some((sandbox, status))),
        Err(ClientError::Io(_) | ClientError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The same once it is clear: a process that another command started, and did
/// not wait for, is on its way, and one that was told to end may still hold the
/// folder.
async fn settled(dir: &Path) -> Result<Option<Sandbox>, ClientError> {
    let clock = Clock::default();
    let deadline = clock.deadline(PATIENCE);
    loop {
        if let Some((sandbox, _)) = running(dir).await? {
            return Ok(Some(sandbox));
        }
        if !dir.exists() {
            return Ok(None);
        }
        match Lock::take(&lock_file(dir), "")? {
            Ok(_) => return Ok(None),
            Err(holder) if deadline.passed() => return Err(ClientError::Stuck { holder }),
            Err(_) => clock.sleep(PAUSE).await.map_err(io::Error::other)?,
        }
    }
}

/// What a folder's sandbox says about itself.
pub async fn status(dir: &Path) -> Result<Value, ClientError> {
    match running(dir).await? {
        Some((_, status)) => Ok(status),
        None => Ok(json!({"running": false, "stateDir": dir})),
    }
}

/// Stops a folder's sandbox; says whether there was one.
pub async fn stop(dir: &Path) -> Result<bool, ClientError> {
    let Some(sandbox) = settled(dir).await? else {
        return Ok(false);
    };
    ask(&sandbox, "POST", "/stop", None).await?;
    let clock = Clock::default();
    let deadline = clock.deadline(PATIENCE);
    // The process holds this lock as long as it lives.
    while Lock::take(&lock_file(dir), "")?.is_err() {
        pause_until(&clock, &deadline, &sandbox, dir).await?;
    }
    Ok(true)
}

/// The fault plan of a folder's sandbox.
pub async fn faults(dir: &Path) -> Result<Vec<Fault>, ClientError> {
    let answer = command(dir, "GET", "/faults", None).await?;
    serde_json::from_value(answer).map_err(|why| ClientError::Refused(why.to_string()))
}

/// Adds a fault to the plan and returns its number.
pub async fn add_fault(dir: &Path, fault: &Fault) -> Result<u64, ClientError> {
    let answer = command(dir, "POST", "/faults", Some(json!(fault))).await?;
    Ok(answer["id"].as_u64().unwrap_or_default())
}

/// Empties the fault plan; says how many faults there were.
pub async fn clear_faults(dir: &Path) -> Result<u64, ClientError> {
    let answer = command(dir, "DELETE", "/faults", None).await?;
    Ok(answer["cleared"].as_u64().unwrap_or_default())
}

/// Where a broker outside the cluster can be reached, and the file of the
/// authority that signed its certificate. It is started if need be.
pub async fn broker(
    dir: &Path,
    name: &str,
    user: Option<(&str, &str)>,
) -> Result<(Addresses, PathBuf), ClientError> {
    let users: Vec<Value> = user
        .map(|(name, password)| json!({"name": name, "password": password}))
        .into_iter()
        .collect();
    let wanted = json!({"name": name, "users": users});
    let answer = command(dir, "POST", "/kafka", Some(wanted)).await?;
    let odd = |error: serde_json::Error| ClientError::Io(error.into());
    let addresses = Addresses::deserialize(&answer["addresses"]).map_err(odd)?;
    let ca = PathBuf::deserialize(&answer["ca"]).map_err(odd)?;
    Ok((addresses, ca))
}

/// How to get into the world's Redpanda Cloud, and its authority as PEM text.
pub fn redpanda(dir: &Path) -> Result<(CloudAccess, String), ClientError> {
    let text = std::fs::read(dir.join(redpanda::ACCESS_FILE))?;
    let access: CloudAccess = serde_json::from_slice(&text).map_err(io::Error::from)?;
    let ca = std::fs::read_to_string(&access.ca)?;
    Ok((access, ca))
}

/// Wipes the world but for the account.
pub async fn reset(dir: &Path) -> Result<(), ClientError> {
    command(dir, "POST", "/reset", None).await.map(drop)
}

async fn command(
    dir: &Path,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Result<Value, ClientError> {
    let sandbox = read_file(dir)?.ok_or_else(|| ClientError::NotRunning(dir.to_owned()))?;
    match ask(&sandbox, method, path, body).await {
        Err(ClientError::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err(ClientError::NotRunning(dir.to_owned()))
        }
        answer => answer,
    }
}

fn read_file(dir: &Path) -> Result<Option<Sandbox>, ClientError> {
    match std::fs::read(sandbox_file(dir)) {
        // A file that cannot be read as one is as good as none.
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn start(dir: &Path, wanted: &Wanted) -> Result<Sandbox, ClientError> {
    let log_path = dir.join("sandbox.log");
    let mut child = spawn(dir, wanted, &log_path)?;
    let pid = child.id();
    let clock = Clock::default();
    let deadline = clock.deadline(PATIENCE);
    loop {
        if let Some((sandbox, _)) = running(dir).await?.filter(|(found, _)| found.pid == pid) {
            return match wanted.seed {
                Some(asked) if asked != sandbox.seed => Err(ClientError::OtherSeed {
                    dir: dir.to_owned(),
                    held: sandbox.seed,
                    asked,
                }),
                _ => Ok(sandbox),
            };
        }
        let log = || tail(&log_path);
        if child.try_wait()?.is_some() {
            return Err(ClientError::DidNotStart { log: log() });
        }
        if deadline.passed() {
            let state = "starting";
            let log = log();
            return Err(ClientError::Slow { pid, state, log });
        }
        clock.sleep(PAUSE).await.map_err(io::Error::other)?;
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "the one process that todoctl starts: its own sandbox"
)]
fn spawn(dir: &Path, wanted: &Wanted, log: &Path) -> io::Result<Child> {
    let log = files::open_append(log)?;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command
        .args(["sandbox", "serve", "--state-dir"])
        .arg(dir)
        .args(["--seed", &wanted.seed.unwrap_or(SEED).to_string()])
        .args(["--clock", &wanted.rate.unwrap_or(FAST).to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    // Of its own process group, so that Ctrl-C in the terminal passes it by.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn()
}

async fn lock_patiently(path: &Path, note: &str) -> Result<Lock, ClientError> {
    let clock = Clock::default();
    let deadline = clock.deadline(PATIENCE * 2);
    loop {
        match Lock::take(path, note)? {
            Ok(lock) => return Ok(lock),
            Err(_) if deadline.passed() => {
                let error = format!(
                    "another todoctl is starting the sandbox ({})",
                    path.display()
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, error).into());
            }
            Err(_) => clock.sleep(PAUSE).await.map_err(io::Error::other)?,
        }
    }
}

async fn pause_until(
    clock: &Clock,
    deadline: &Deadline,
    sandbox: &Sandbox,
    dir: &Path,
) -> Result<(), ClientError> {
    if deadline.passed() {
        return Err(ClientError::Slow {
            pid: sandbox.pid,
            state: "stopping",
            log: tail(&dir.join("sandbox.log")),
        });
    }
    clock
        .sleep(PAUSE)
        .await
        .map_err(|c| io::Error::other(c).into())
}

/// The last lines of a log, each on a line of its own.
fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(10);
    let last = lines.get(from..).unwrap_or_default();
    last.iter().flat_map(|line| ["\n  ", line]).collect()
}

/// One request to the control interface. It is ours at both ends, so a
/// connection per request and a body that ends with it will do.
async fn ask(
    sandbox: &Sandbox,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Result<Value, ClientError> {
    let address = sandbox.control_endpoint.trim_start_matches("http://");
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        sandbox.control_token,
        body.len(),
    );
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = tokio::time::timeout(PATIENCE, exchange)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let ok = head.split(' ').nth(1) == Some("200");
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    if ok {
        return Ok(value);
    }
    let why = value["error"].as_str().unwrap_or("no readable answer");
    Err(ClientError::Refused(why.to_owned()))
}
