//! The embedded Kubernetes: one API server per cluster, on loopback over TLS,
//! with every object in the world's store.
//!
//! The OCI emulator makes and removes clusters and nodes through [`Clusters`];
//! everybody else speaks the Kubernetes API. This module implements the API
//! from its documentation and must never use the `kube` or `k8s-openapi`
//! crates: a mistake of theirs, or ours in using them, must show here.

pub mod access;
pub mod admission;
pub mod age;
pub mod animate;
pub mod apply;
pub mod body;
pub mod bootstrap;
pub mod catalog;
pub mod cluster;
pub mod columns;
pub mod connect;
pub mod controllers;
pub mod crd;
pub mod defaults;
pub mod describe;
pub mod discovery;
pub mod gc;
pub mod impersonate;
pub mod jsonpath;
pub mod kinds;
pub mod metrics;
pub mod namespace;
pub mod node;
pub mod objects;
pub mod openapi;
pub mod patch;
mod policy_columns;
pub mod prepare;
pub mod proto;
pub mod registry;
pub mod render;
pub mod request;
pub mod roles;
pub mod schema;
pub mod select;
pub mod server;
pub mod status;
pub mod subresources;
pub mod table;
#[cfg(test)]
pub(crate) mod tests;
pub mod tls;
pub mod validate;
pub mod watch;
pub mod write;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::animate::Components;
use self::cluster::Cluster;
use self::server::Server;
use self::tls::Certificates;
use super::controllers::claims::Disks;
use super::podnet::PodNet;
use super::world::World;

/// Who a request comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The user's name, e.g. a user OCID.
    pub name: String,
    /// The groups; members of `system:masters` may do everything.
    pub groups: Vec<String>,
    /// What tells this user from an earlier one of the same name.
    pub uid: String,
    /// What else is known, by key.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Somebody in these groups.
    pub fn new(name: impl Into<String>, groups: &[&str]) -> Self {
        Self {
            name: name.into(),
            groups: groups.iter().map(|&g| g.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// The user as reviews say it.
    pub fn info(&self) -> serde_json::Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = json!(self.uid);
        }
        if !self.extra.is_empty() {
            info["extra"] = json!(self.extra);
        }
        info
    }
}

/// Tells who a bearer token belongs to.
pub trait Authenticator: Send + Sync + 'static {
    /// The user behind a token for this cluster, or why there is none (for the
    /// request log; the client is only told "Unauthorized").
    fn authenticate(&self, cluster_ocid: &str, bearer: &str) -> Result<User, String>;
}

/// Where a cluster's API server listens and what to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The loopback address.
    pub address: SocketAddr,
    /// The certificate of the cluster's own authority.
    pub ca_pem: String,
}

/// A machine that joins a cluster, as its kubelet would describe it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSpec {
    /// The node's name: its private address, on OKE.
    pub name: String,
    /// The instance's OCID.
    pub provider_id: String,
    /// The private address.
    pub internal_ip: String,
    /// OCPUs times threads: what `kubectl` shows as cpu.
    pub cpus: u32,
    /// Memory in GB.
    pub memory_gb: u32,
    /// `arm64` or `amd64`.
    pub arch: String,
    /// E.g. `v1.34.1`.
    pub kubelet_version: String,
    /// The availability domain, as in the zone label.
    pub zone: String,
    /// The fault domain, e.g. `FAULT-DOMAIN-1`.
    pub fault_domain: String,
    /// Further labels, from the node pool.
    pub labels: BTreeMap<String, String>,
    /// How many pods fit.
    pub pods: u32,
}

/// The table of clusters: port and certificates by OCID.
const CLUSTERS: &str = "kube/clusters";

/// All clusters of the world.
pub struct Clusters {
    world: Arc<World>,
    auth: Arc<dyn Authenticator>,
    running: Mutex<HashMap<String, Running>>,
    /// Where the clusters' block volumes come from, once the cloud is there.
    pub disks: Arc<OnceLock<Arc<dyn Disks>>>,
    /// Held while a cluster starts, so that it starts once.
    starting: tokio::sync::Mutex<()>,
    /// Whether clusters have no controllers and kubelets: only an API server.
    #[cfg(test)]
    still: bool,
}

struct Running {
    cluster: Arc<Cluster>,
    endpoint: Endpoint,
    stop: CancellationToken,
}

impl Clusters {
    /// Prepares the clusters of a world; none is served before
    /// [`Clusters::ensure`] or [`Clusters::start_all`].
    pub fn new(world: Arc<World>, auth: Arc<dyn Authenticator>) -> Arc<Self> {
        Arc::new(Self {
            world,
            auth,
            running: Mutex::default(),
            disks: Arc::default(),
            starting: tokio::sync::Mutex::default(),
            #[cfg(test)]
            still: false,
        })
    }

    /// Clusters in which nothing acts by itself, for tests that take the part
    /// of a controller or a kubelet.
    #[cfg(test)]
    fn still(world: Arc<World>, auth: Arc<dyn Authenticator>) -> Arc<Self> {
        let mut clusters = Self::new(world, auth);
        if let Some(alone) = Arc::get_mut(&mut clusters) {
            alone.still = true;
        }
        clusters
    }

    /// Serves a cluster, making it first if need be. Its port and authority
    /// are kept in the store, so kubeconfigs outlive the sandbox's process.
    pub async fn ensure(self: &Arc<Self>, cluster_ocid: &str) -> io::Result<Endpoint> {
        let _alone = self.starting.lock().await;
        if let Some(running) = self.running().get(cluster_ocid) {
            return Ok(running.endpoint.clone());
        }
        let held = self.world.store.get(CLUSTERS, cluster_ocid);
        let port = held
            .as_ref()
            .and_then(|row| u16::try_from(row.value.get("port")?.as_u64()?).ok());
        let certificates = held
            .as_ref()
            .and_then(|row| serde_json::from_value(row.value.get("certificates")?.clone()).ok());
        let certificates: Certificates = match certificates {
            Some(certificates) => certificates,
            None => Certificates::generate("kubernetes").map_err(io::Error::other)?,
        };
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = match bind(port.unwrap_or(0)).await {
            Ok(listener) => listener,
            // Somebody else took the port meanwhile.
            Err(_) => bind(0).await?,
        };
        let address = listener.local_addr()?;
        let row = json!({"port": address.port(), "certificates": certificates});
        if held.is_none_or(|h| *h.value != row) {
            self.world.store.put(CLUSTERS, cluster_ocid, row);
        }
        let endpoint = Endpoint {
            address,
            ca_pem: certificates.ca_pem.clone(),
        };
        let cluster = Arc::new(Cluster::new(
            self.world.clone(),
            cluster_ocid,
            self.auth.clone(),
        ));
        let stop = self.world.clock.cancellation().child_token();
        bootstrap::start(&cluster, &stop);
        self.animate(&cluster, &certificates, &stop).await?;
        tokio::spawn(super::http::serve(
            listener,
            Some(certificates.acceptor()?),
            Arc::new(Server(cluster.clone())),
            self.world.clone(),
            stop.clone(),
        ));
        let running = Running {
            cluster,
            endpoint: endpoint.clone(),
            stop,
        };
        self.running().insert(cluster_ocid.to_owned(), running);
        Ok(endpoint)
    }

    /// Starts what acts in a cluster, and the door that it comes in by.
    async fn animate(
        &self,
        cluster: &Arc<Cluster>,
        certificates: &Certificates,
        stop: &CancellationToken,
    ) -> io::Result<()> {
        #[cfg(test)]
        if self.still {
            return Ok(());
        }
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = door.local_addr()?;
        animate::start(cluster, self.disks.clone(), address, certificates, stop)?;
        tokio::spawn(super::http::serve(
            door,
            Some(certificates.acceptor()?),
            Arc::new(Components(Server(cluster.clone()))),
            self.world.clone(),
            stop.clone(),
        ));
        Ok(())
    }

    /// Serves every cluster that the store knows, after a restart.
    pub async fn start_all(self: &Arc<Self>) -> io::Result<()> {
        for (ocid, _) in self.world.store.list(CLUSTERS, "").0 {
            self.ensure(&ocid).await?;
        }
        Ok(())
    }

    /// Stops serving; everything stays in the store.
    pub fn stop_all(&self) {
        for (_, running) in self.running().drain() {
            running.stop.cancel();
        }
    }

    /// Stops a cluster and deletes everything in it.
    pub fn remove(&self, cluster_ocid: &str) {
        if let Some(running) = self.running().remove(cluster_ocid) {
            running.stop.cancel();
        }
        let store = &self.world.store;
        let own = [
            format!("kube/{cluster_ocid}/"),
            format!("kubelet/{cluster_ocid}/"),
        ];
        for (table, _) in store.tables() {
            if own.iter().any(|prefix| table.starts_with(prefix)) {
                for (key, _) in store.list(&table, "").0 {
                    store.delete(&table, &key);
                }
            }
        }
        store.delete(CLUSTERS, cluster_ocid);
        if self.running().is_empty() {
            crate::sandbox::kafka::fleet::forget_clusters_brokers(&self.world);
        }
    }

    /// Lets a node join: it exists at once and is Ready after a while.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the caller has no more use for it"
    )]
    pub fn register_node(self: &Arc<Self>, cluster_ocid: &str, node: NodeSpec) {
        if let Some(cluster) = self.cluster(cluster_ocid) {
            node::register(&cluster, &node);
        }
    }

    /// The version that a cluster's server says it is.
    pub fn set_version(&self, cluster_ocid: &str, version: &str) {
        if let Some(cluster) = self.cluster(cluster_ocid) {
            cluster.set_version(version);
        }
    }

    /// The pods' network of a cluster that is served.
    pub fn net(&self, cluster_ocid: &str) -> Option<Arc<PodNet>> {
        self.cluster(cluster_ocid).map(|c| c.net.clone())
    }

    /// Takes a node away.
    pub fn remove_node(&self, cluster_ocid: &str, name: &str) {
        if let Some(cluster) = self.cluster(cluster_ocid) {
            node::remove(&cluster, name);
        }
    }

    fn cluster(&self, ocid: &str) -> Option<Arc<Cluster>> {
        self.running().get(ocid).map(|r| r.cluster.clone())
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
