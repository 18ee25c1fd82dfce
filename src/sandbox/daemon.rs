//! The sandbox's process: opens the world, serves it on loopback, and tells
//! where in `sandbox.json`.
//!
//! Addresses are kept in the store, so that profiles, kubeconfigs and shells
//! that know them stay right over a restart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::authority;
use super::charts::Charts;
use super::faults::Fault;
use super::http::{self as server, Handler, Reply, Request};
use super::kafka::fleet::{self, Fleet, listen};
use super::kube::Clusters;
use super::oci::account::{self, Account};
use super::oci::{Kind, Oci, animate};
use super::redpanda::Cloud;
use super::world::{World, hex};
use crate::clock::Clock;
use crate::files::{self, Access, Lock};

/// Where a running sandbox is: the content of `sandbox.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sandbox {
    /// The process.
    pub pid: u32,
    /// The version of todoctl that it runs.
    pub version: String,
    /// The base URL of the OCI emulator, for every service.
    pub oci_endpoint: String,
    /// The chart repository's address; empty for an older sandbox.
    #[serde(default)]
    pub charts_endpoint: String,
    /// The base URL of Redpanda Cloud's control plane and token issuer; empty
    /// for an older sandbox. How to get in is in `redpanda.json`.
    #[serde(default)]
    pub redpanda_endpoint: String,
    /// The base URL of the control interface.
    pub control_endpoint: String,
    /// What the control interface asks for as bearer token.
    pub control_token: String,
    /// The OCI configuration file of the emulated account.
    pub oci_config: PathBuf,
    /// The seed of the world.
    pub seed: u64,
    /// How many seconds pass in the world in a real one.
    pub clock_rate: f64,
    /// The folder of the world.
    pub state_dir: PathBuf,
}

/// What to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the world.
    pub state_dir: PathBuf,
    /// The seed, for a world that does not exist yet.
    pub seed: u64,
    /// How fast its time passes.
    pub rate: f64,
    /// The version of todoctl.
    pub version: String,
}

/// Why a sandbox cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another process serves this folder.
    #[error("the sandbox in {} is already being served ({holder})", dir.display())]
    Running {
        /// The folder.
        dir: PathBuf,
        /// What the other process says about itself.
        holder: String,
    },
    /// The state cannot be read or written, or no port can be had.
    #[error("cannot serve the sandbox in {}", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What failed.
        source: io::Error,
    },
}

/// The file that tells where a folder's sandbox is.
pub fn sandbox_file(dir: &Path) -> PathBuf {
    dir.join("sandbox.json")
}

/// The lock that a folder's sandbox holds while it lives.
pub fn lock_file(dir: &Path) -> PathBuf {
    dir.join("sandbox.lock")
}

/// Serves a world until it is told to stop or gets a signal.
pub async fn serve(options: Options) -> Result<(), ServeError> {
    let dir = options.state_dir.clone();
    let fails = |source| ServeError::Io {
        dir: dir.clone(),
        source,
    };
    let _lock = match hold(&dir).await.map_err(fails)? {
        Ok(lock) => lock,
        Err(holder) => return Err(ServeError::Running { dir, holder }),
    };
    let stop = CancellationToken::new();
    stop_at_signals(&stop).map_err(fails)?;
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        ended = run(options, &stop) => ended.map_err(fails)?,
    }
    // The next one to look must not find a stale address.
    match std::fs::remove_file(sandbox_file(&dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fails(error)),
        _ => Ok(()),
    }
}

/// Takes a folder's lock, also from those who only look whether it is free.
async fn hold(dir: &Path) -> io::Result<Result<Lock, String>> {
    let note = format!("pid {}", std::process::id());
    let clock = Clock::default();
    for _ in 0..10 {
        if let Ok(lock) = Lock::take(&lock_file(dir), &note)? {
            return Ok(Ok(lock));
        }
        let pause = std::time::Duration::from_millis(20);
        clock.sleep(pause).await.map_err(io::Error::other)?;
    }
    Lock::take(&lock_file(dir), &note)
}

async fn run(options: Options, stop: &CancellationToken) -> io::Result<()> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = std::path::absolute(&options.state_dir)?;
    let clock = Clock::new(options.rate, stop.clone());
    let world = Arc::new(World::open(&dir, clock, options.seed)?);
    let account = Account::open(&world, &dir)?;
    let oci_listener = listen(&world, "oci").await?;
    let control_listener = listen(&world, "control").await?;
    let charts_listener = listen(&world, "charts").await?;
    let fleet = Fleet::open(&world).await?;
    let (_, redpanda) = Cloud::open(&world, &fleet, stop).await?;
    let tokens = Arc::new(animate::Tokens::new(world.clone()));
    let clusters = Clusters::new(world.clone(), tokens);
    clusters.start_all().await?;
    animate::step(&world, &clusters).await?;

    let sandbox = Sandbox {
        pid: std::process::id(),
        version: options.version,
        oci_endpoint: base_url(&oci_listener)?,
        charts_endpoint: base_url(&charts_listener)?,
        redpanda_endpoint: redpanda.endpoint,
        control_endpoint: base_url(&control_listener)?,
        control_token: random_token()?,
        oci_config: account::config_path(&dir),
        seed: world.seed,
        clock_rate: options.rate,
        state_dir: dir.clone(),
    };
    let oci = Arc::new(Oci::new(world.clone(), account));
    // Nothing else sets them.
    let _ = clusters.disks.set(oci.clone());
    let control = Arc::new(Control {
        world: world.clone(),
        clusters: clusters.clone(),
        fleet,
        sandbox: sandbox.clone(),
        stop: stop.clone(),
    });
    let ticking = oci.clone();
    tokio::spawn(async move { ticking.tick().await });
    tokio::spawn(animate::run(world.clone(), oci.clone(), clusters));
    tokio::spawn(server::serve(
        oci_listener,
        None,
        oci,
        world.clone(),
        stop.clone(),
    ));
    tokio::spawn(server::serve(
        charts_listener,
        None,
        Arc::new(Charts),
        world.clone(),
        stop.clone(),
    ));
    tokio::spawn(server::serve(
        control_listener,
        None,
        control,
        world,
        stop.clone(),
    ));

    let text = serde_json::to_vec_pretty(&sandbox)?;
    files::write_atomic(&sandbox_file(&dir), &text, Access::Private)?;
    stop.cancelled().await;
    Ok(())
}

fn base_url(listener: &TcpListener) -> io::Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

fn random_token() -> io::Result<String> {
    let mut bytes = [0_u8; 24];
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut bytes)
        .map_err(|_| io::Error::other("no randomness"))?;
    Ok(hex(&bytes))
}

/// Stops the world at a signal. A thread of its own waits for it, with a
/// runtime of its own: however busy the world is, the signal is heard. What
/// was acknowledged is on disk already, so nothing is left to write.
fn stop_at_signals(stop: &CancellationToken) -> io::Result<()> {
    let stop = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (armed, is_armed) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(wait_for_signal(&stop, &armed)))?;
    // An error means that the thread ended without a word.
    is_armed.recv().map_err(io::Error::other)?
}

/// A closed terminal ends nothing: the sandbox outlives the command that
/// started it.
#[cfg(unix)]
async fn wait_for_signal(stop: &CancellationToken, armed: &Armed) {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = || {
        Ok((
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        ))
    };
    let (mut terminate, mut interrupt, mut hangup) = match signals() {
        Ok(signals) => signals,
        Err(error) => return drop(armed.send(Err(error))),
    };
    let _ = armed.send(Ok(()));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {}
        }
    }
    stop.cancel();
}

#[cfg(not(unix))]
async fn wait_for_signal(stop: &CancellationToken, armed: &Armed) {
    let _ = armed.send(Ok(()));
    tokio::select! {
        () = stop.cancelled() => {}
        _ = tokio::signal::ctrl_c() => stop.cancel(),
    }
}

/// Says whether signals are being waited for.
type Armed = std::sync::mpsc::Sender<io::Result<()>>;

/// A broker as the control interface is asked for it.
#[derive(Deserialize)]
struct WantedBroker {
    #[serde(flatten)]
    broker: fleet::Wanted,
    #[serde(default)]
    users: Vec<WantedUser>,
}

#[derive(Deserialize)]
struct WantedUser {
    name: String,
    password: String,
}

/// The control interface: what `todoctl sandbox` talks to.
struct Control {
    world: Arc<World>,
    clusters: Arc<Clusters>,
    fleet: Arc<Fleet>,
    sandbox: Sandbox,
    stop: CancellationToken,
}

impl Handler for Control {
    fn system(&self) -> &'static str {
        "control"
    }

    fn is_logged(&self) -> bool {
        false
    }

    async fn handle(&self, request: Request) -> Reply {
        let bearer = format!("Bearer {}", self.sandbox.control_token);
        if request.header("authorization") != Some(&*bearer) {
            return problem(StatusCode::UNAUTHORIZED, "the control token is wrong");
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/status") => Reply::json(StatusCode::OK, &self.status()),
            ("POST", "/stop") => {
                self.stop_soon();
                Reply::json(StatusCode::OK, &json!({"stopping": true}))
            }
            ("GET", "/faults") => Reply::json(StatusCode::OK, &self.world.faults.list()),
            ("POST", "/faults") => self.add_fault(&request),
            ("DELETE", "/faults") => {
                let cleared = self.world.faults.clear();
                Reply::json(StatusCode::OK, &json!({ "cleared": cleared }))
            }
            ("POST", "/kafka") => self.add_broker(&request).await,
            ("POST", "/reset") => match self.reset() {
                Ok(()) => Reply::json(StatusCode::OK, &json!({"reset": true})),
                Err(why) => problem(StatusCode::INTERNAL_SERVER_ERROR, &why.to_string()),
            },
            _ => problem(StatusCode::NOT_FOUND, "no such control command"),
        }
    }

    fn fault(&self, status: StatusCode, _: &Request) -> Reply {
        Reply::empty(status)
    }
}

fn problem(status: StatusCode, why: &str) -> Reply {
    Reply::json(status, &json!({ "error": why }))
}

impl Control {
    fn status(&self) -> Value {
        let world = &self.world;
        let rows: serde_json::Map<String, Value> = live_rows(world)
            .into_iter()
            .map(|(name, count)| (name, count.into()))
            .collect();
        json!({
            "running": true,
            "pid": self.sandbox.pid,
            "version": self.sandbox.version,
            "uptimeSeconds": world.clock.real(world.clock.elapsed()).as_secs(),
            "worldAgeSeconds": world.age().as_secs(),
            "seed": self.sandbox.seed,
            "clockRate": self.sandbox.clock_rate,
            "ociEndpoint": self.sandbox.oci_endpoint,
            "chartsEndpoint": self.sandbox.charts_endpoint,
            "redpandaEndpoint": self.sandbox.redpanda_endpoint,
            "controlEndpoint": self.sandbox.control_endpoint,
            "ociConfig": self.sandbox.oci_config,
            "stateDir": self.sandbox.state_dir,
            "rows": rows,
            "pods": pods(world),
            "requests": world.requests.count(),
            "faults": world.faults.list(),
        })
    }

    /// The answer is sent first: the listeners close with the token.
    fn stop_soon(&self) {
        let stop = self.stop.clone();
        let clock = Clock::default();
        tokio::spawn(async move {
            let _ = clock.sleep(std::time::Duration::from_millis(50)).await;
            stop.cancel();
        });
    }

    fn add_fault(&self, request: &Request) -> Reply {
        match serde_json::from_slice::<Fault>(&request.body) {
            Ok(mut fault) => {
                fault.since_ms = u64::try_from(self.world.age().as_millis()).unwrap_or(0);
                let id = self.world.faults.add(fault);
                Reply::json(StatusCode::OK, &json!({ "id": id }))
            }
            Err(why) => problem(StatusCode::BAD_REQUEST, &why.to_string()),
        }
    }

    /// Starts a broker outside the cluster, or finds it, and sets its users.
    async fn add_broker(&self, request: &Request) -> Reply {
        let wanted = match serde_json::from_slice::<WantedBroker>(&request.body) {
            Ok(wanted) => wanted,
            Err(why) => return problem(StatusCode::BAD_REQUEST, &why.to_string()),
        };
        let (broker, addresses) = match self.fleet.add(wanted.broker).await {
            Ok(found) => found,
            Err(why) => return problem(StatusCode::INTERNAL_SERVER_ERROR, &why.to_string()),
        };
        for user in &wanted.users {
            let mechanisms = &broker.options.mechanisms;
            broker.users.set(&user.name, &user.password, mechanisms);
        }
        let ca = &self.fleet.authority().file;
        Reply::json(StatusCode::OK, &json!({"addresses": addresses, "ca": ca}))
    }

    /// Everything goes but the account, the ports and the world's age.
    fn reset(&self) -> io::Result<()> {
        for name in self.fleet.names() {
            self.fleet.remove(&name);
        }
        for (id, _) in self.world.store.list("oci/endpoints", "").0 {
            self.clusters.remove(&id);
        }
        let kept = [
            "sandbox/ports",
            "sandbox/world",
            authority::TABLE,
            "oci/account",
            account::KEYS,
        ];
        self.world.store.clear(|table| !kept.contains(&table));
        Account::open(&self.world, &self.sandbox.state_dir).map(drop)
    }
}

/// How many things exist of every kind: ghosts, records of what happened and
/// the emulator's own notes are not counted.
pub fn live_rows(world: &World) -> Vec<(String, usize)> {
    let mut counts = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_record()) {
        let rows = world.store.list(kind.table(), "").0;
        let live = |row: &Value| {
            row["gone"].is_null() && row["body"]["id"] != row["body"]["compartmentId"]
        };
        let count = rows.iter().filter(|(_, row)| live(&row.value)).count();
        if count > 0 {
            counts.push((kind.table().to_owned(), count));
        }
    }
    let foreign = |name: &str| !name.starts_with("oci/") && !name.starts_with("sandbox/");
    for (name, count) in world.store.tables() {
        if foreign(&name) {
            counts.push((name.to_string(), count));
        }
    }
    counts
}

/// How many pods there are in all clusters, and which of them should be ready
/// and are not, as namespace and name.
fn pods(world: &World) -> Value {
    let mut all = 0;
    let mut not_ready = Vec::new();
    let tables = world.store.tables();
    for (table, _) in tables.iter().filter(|(t, _)| t.ends_with("/core/pods")) {
        for (key, row) in world.store.list(table, "").0 {
            all += 1;
            let ended = row.value["status"]["phase"] == "Succeeded";
            let mut conditions = row.value["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten();
            let ready = conditions.any(|c| c["type"] == "Ready" && c["status"] == "True");
            if !ended && !ready {
                not_ready.push(key.to_string());
            }
        }
    }
    json!({ "all": all, "notReady": not_ready })
}
