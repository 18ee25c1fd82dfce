//! An API server that is not ours, animated: this world's controllers and
//! kubelets run against it as clients, so that what is deployed there lives,
//! without a machine behind it.
//!
//! A bare `kube-apiserver` has nobody who clears namespaces, collects garbage,
//! publishes its authority or gives load balancers addresses, and no nodes:
//! that is added here. It reaches kubelets, pods and webhooks through
//! `egress`, as a control plane apart from its nodes does
//! (`EgressSelectorConfiguration`, Kubernetes documentation, "Set up
//! Konnectivity service").

mod balancers;
mod egress;
mod garbage;
mod kubelet;
mod namespaces;
mod nodes;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use super::api::{Api, ApiError};
use super::charts::Charts;
use super::controllers::queue::{self, Controller};
use super::controllers::{self, Ground, Plane};
use super::daemon::lock_file;
use super::http as server;
use super::kafka::fleet::listen;
use super::kube::tls::Certificates;
use super::kubelet::Kubelets;
use super::world::World;
use crate::clock::Clock;
use crate::files::{self, Access, Lock};

use self::egress::Egress;
use self::kubelet::Door;

/// What this world calls the foreign cluster in draws and logs.
const CLUSTER: &str = "foreign";
/// Between two looks at a server that is not ready.
const AGAIN: Duration = Duration::from_millis(500);

/// What to animate, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the world: what pods wrote, ports that stay the same.
    pub state_dir: PathBuf,
    /// What latencies and identifiers are drawn from, for a new world.
    pub seed: u64,
    /// How fast its time passes. The server's own clock stays real.
    pub rate: f64,
    /// The API server, as an administrator who may act in all names.
    pub api: Api,
    /// The certificate of its authority, for pods.
    pub ca_pem: String,
    /// How many nodes there shall be.
    pub nodes: u8,
    /// Their architecture: `arm64` or `amd64`.
    pub arch: String,
}

/// Where things are once the cluster lives.
#[derive(Debug)]
pub struct Animated {
    /// The nodes' names.
    pub nodes: Vec<String>,
    /// The charts that stand in for the official ones.
    pub charts: String,
    /// One process has a world.
    _lock: Lock,
}

/// Why a cluster cannot be animated.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// Machines run its pods already.
    #[error("the cluster has nodes of its own, such as {0}: pods would be run twice")]
    Inhabited(String),
    /// The server refuses what an administrator may do, or is not there.
    #[error("the API server does not do what it is asked")]
    Server(#[from] ApiError),
    /// The state cannot be read or written, or no port can be had.
    #[error("cannot keep the world in {}", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What failed.
        source: io::Error,
    },
}

/// The doors of a cluster that is about to live: open, so that the server can
/// be told of them, but nobody answers yet.
#[derive(Debug)]
pub struct Doors {
    world: Arc<World>,
    kubelet: TcpListener,
    egress: UnixListener,
    charts: TcpListener,
    lock: Lock,
    /// What `kube-apiserver --egress-selector-config-file` wants.
    pub egress_config: PathBuf,
}

impl Doors {
    /// Opens the world and the doors, and writes down where they are.
    pub async fn open(options: &Options, stop: &CancellationToken) -> Result<Self, ForeignError> {
        let fails = |source| ForeignError::Io {
            dir: options.state_dir.clone(),
            source,
        };
        Self::try_open(options, stop).await.map_err(fails)
    }

    async fn try_open(options: &Options, stop: &CancellationToken) -> io::Result<Self> {
        let dir = &options.state_dir;
        let note = format!("pid {}", std::process::id());
        let lock = Lock::take(&lock_file(dir), &note)?;
        let lock = lock.map_err(|holder| {
            let why = format!("it is in use ({holder})");
            io::Error::new(io::ErrorKind::ResourceBusy, why)
        })?;
        let clock = Clock::new(options.rate, stop.clone());
        let world = Arc::new(World::open(dir, clock, options.seed)?);
        let socket = dir.join("egress.sock");
        let egress_config = dir.join("egress.yaml");
        let text = egress::config(&socket);
        files::write_atomic(&egress_config, text.as_bytes(), Access::Private)?;
        Ok(Self {
            kubelet: listen(&world, "kubelet").await?,
            charts: listen(&world, "charts").await?,
            egress: egress::listen(&socket)?,
            egress_config,
            world,
            lock,
        })
    }

    /// Answers at the doors.
    fn serve(self, plane: &Arc<Plane>, kubelets: Arc<Kubelets>) -> io::Result<Lock> {
        let stop = &plane.stop;
        let certificates = Certificates::generate("kubelet").map_err(io::Error::other)?;
        let acceptor = Some(certificates.acceptor()?);
        let egress = Arc::new(Egress {
            net: plane.net.clone(),
            kubelet: self.kubelet.local_addr()?,
        });
        let door = Arc::new(Door::new(plane.clone(), kubelets));
        let (world, charts) = (self.world, Arc::new(Charts));
        tokio::spawn(egress::serve(self.egress, egress, stop.clone()));
        tokio::spawn(server::serve(
            self.kubelet,
            acceptor,
            door,
            world.clone(),
            stop.clone(),
        ));
        tokio::spawn(server::serve(
            self.charts,
            None,
            charts,
            world,
            stop.clone(),
        ));
        Ok(self.lock)
    }
}

/// Waits until the API server is ready. `waits` is called once if that takes a
/// while.
pub async fn ready(
    options: &Options,
    clock: &Clock,
    waits: impl FnOnce(),
) -> Result<(), ForeignError> {
    let mut waits = Some(waits);
    loop {
        // Anybody may ask this; whoever may not is told so by the first call.
        match options.api.get("/version").await {
            Ok(_) => return Ok(()),
            Err(error) if matches!(error, ApiError::Transport(_)) || error.is(503) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(waits) = waits.take() {
            waits();
        }
        if clock.sleep(AGAIN).await.is_err() {
            return Ok(());
        }
    }
}

/// Lets the cluster live until `stop` is cancelled.
pub async fn animate(
    options: &Options,
    doors: Doors,
    stop: &CancellationToken,
) -> Result<Animated, ForeignError> {
    let fails = |source| ForeignError::Io {
        dir: options.state_dir.clone(),
        source,
    };
    nodes::refuse_inhabited(&options.api).await?;
    let charts = doors.charts.local_addr().map_err(fails)?;
    let world = doors.world.clone();
    let plane = Plane::start(world, CLUSTER, options.api.clone(), Ground::default(), stop);
    controllers::run(&plane);
    run_more(&plane, &options.ca_pem);
    let kubelets = Kubelets::start(&plane);
    let lock = doors.serve(&plane, kubelets).map_err(fails)?;
    Ok(Animated {
        nodes: nodes::ensure(options, &plane.now()).await?,
        charts: format!("http://{charts}"),
        _lock: lock,
    })
}

/// Runs what an embedded cluster's API server does by itself.
fn run_more(plane: &Arc<Plane>, ca_pem: &str) {
    let all: [(&'static str, Arc<dyn Controller>); 4] = [
        ("namespaces", Arc::new(namespaces::Emptying::new(plane))),
        (
            "authority",
            Arc::new(namespaces::Authority::new(plane, ca_pem)),
        ),
        ("garbage", Arc::new(garbage::Garbage::new(plane))),
        ("balancers", Arc::new(balancers::Balancers::new(plane))),
    ];
    for (name, controller) in all {
        let plane = plane.clone();
        tokio::spawn(async move {
            plane.cache().synced().await;
            queue::run(plane, controller, name).await;
        });
    }
}
