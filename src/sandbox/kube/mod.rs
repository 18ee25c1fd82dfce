//! The embedded Kubernetes: one API server per cluster, on loopback over TLS,
//! with every object in the world's store.
//!
//! The OCI emulator makes and removes clusters and nodes through [`Clusters`];
//! everybody else speaks the Kubernetes API. This module implements the API
//! from its documentation and must never use the `kube` or `k8s-openapi`
//! crates: a mistake of theirs, or ours in using them, must show here.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::world::World;

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's name, e.g. a user OCID.
    pub name: String,
    /// The groups; members of `system:masters` may do everything.
    pub groups: Vec<String>,
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

/// All clusters of the world.
pub struct Clusters {
    world: Arc<World>,
    auth: Arc<dyn Authenticator>,
}

impl Clusters {
    /// Prepares the clusters of a world; none is served before
    /// [`Clusters::ensure`] or [`Clusters::start_all`].
    pub fn new(world: Arc<World>, auth: Arc<dyn Authenticator>) -> Arc<Self> {
        Arc::new(Self { world, auth })
    }

    /// Serves a cluster, making it first if need be. Its port and authority
    /// are kept in the store, so kubeconfigs outlive the sandbox's process.
    pub async fn ensure(self: &Arc<Self>, cluster_ocid: &str) -> io::Result<Endpoint> {
        let _ = (&self.world, &self.auth, cluster_ocid);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Serves every cluster that the store knows, after a restart.
    pub async fn start_all(self: &Arc<Self>) -> io::Result<()> {
        Ok(())
    }

    /// Stops a cluster and deletes everything in it.
    pub fn remove(&self, cluster_ocid: &str) {
        let _ = cluster_ocid;
    }

    /// Lets a node join: it exists at once and is Ready after a while.
    pub fn register_node(self: &Arc<Self>, cluster_ocid: &str, node: NodeSpec) {
        let _ = (cluster_ocid, node);
    }

    /// Takes a node away.
    pub fn remove_node(&self, cluster_ocid: &str, name: &str) {
        let _ = (cluster_ocid, name);
    }
}
