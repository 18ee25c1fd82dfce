//! Calls to the container engine: clusters, node pools, kubeconfigs.

use http::Method;
use serde::Serialize;

use super::call::Request;
pub use super::cluster_types::*;
use super::network::short;
pub use super::node_types::*;
use super::{Accepted, Client, OciError, Service, Versioned};

/// Calls to the container engine.
#[derive(Debug, Clone, Copy)]
pub struct Clusters<'c> {
    pub(super) client: &'c Client,
}

/// Which images and versions to ask for. The service takes the filters as
/// hints, so filter the answer too.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodePoolQuery<'a> {
    /// The compartment.
    pub compartment: Option<&'a str>,
    /// `AARCH64` or `X86_64`.
    pub architecture: Option<&'a str>,
    /// A version, with a leading `v`.
    pub kubernetes_version: Option<&'a str>,
}

/// How a pool's nodes are emptied when they are deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Drain {
    /// As the pool says, by default for up to an hour.
    #[default]
    AsConfigured,
    /// Not at all.
    Skip,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AskKubeconfig<'a> {
    token_version: &'a str,
    endpoint: &'a KubeconfigEndpoint,
}

impl<'c> Clusters<'c> {
    fn request(self, method: Method, path: &[&str]) -> Request<'c> {
        self.client.request(method, Service::ContainerEngine, path)
    }

    /// The clusters of a compartment, all or those of one name; also those
    /// that are gone but still shown.
    pub async fn list(
        self,
        compartment: &str,
        name: Option<&str>,
    ) -> Result<Vec<Cluster>, OciError> {
        self.request(Method::GET, &["clusters"])
            .named("ListClusters", "list the clusters")
            .query("compartmentId", compartment)
            .query_opt("name", name)
            .list()
            .await
    }

    /// A cluster.
    pub async fn get(self, id: &str) -> Result<Versioned<Cluster>, OciError> {
        self.request(Method::GET, &["clusters", id])
            .named("GetCluster", format!("read the cluster {}", short(id)))
            .one()
            .await
    }

    /// Starts to create a cluster. Its OCID comes with the work request.
    pub async fn create(self, body: &CreateCluster, token: &str) -> Result<Accepted, OciError> {
        self.request(Method::POST, &["clusters"])
            .named("CreateCluster", format!("create cluster `{}`", body.name))
            .json(body)
            .token(token)
            .accepted()
            .await
    }

    /// Starts to change a cluster, if it still has the entity tag.
    pub async fn update(
        self,
        id: &str,
        body: &UpdateCluster,
        etag: Option<&str>,
    ) -> Result<Accepted, OciError> {
        self.request(Method::PUT, &["clusters", id])
            .named("UpdateCluster", format!("change the cluster {}", short(id)))
            .json(body)
            .if_match(etag)
            .accepted()
            .await
    }

    /// Starts to delete a cluster with its node pools.
    pub async fn delete(self, id: &str) -> Result<Accepted, OciError> {
        self.request(Method::DELETE, &["clusters", id])
            .named("DeleteCluster", format!("delete the cluster {}", short(id)))
            .accepted()
            .await
    }

    /// The kubeconfig that the service writes for the cluster. Read it with
    /// [`super::ClusterAccess::parse`].
    pub async fn kubeconfig(
        self,
        id: &str,
        endpoint: &KubeconfigEndpoint,
    ) -> Result<String, OciError> {
        self.request(Method::POST, &["clusters", id, "kubeconfig", "content"])
            .named(
                "CreateKubeconfig",
                format!("fetch the kubeconfig of cluster {}", short(id)),
            )
            .json(&AskKubeconfig {
                token_version: "2.0.0",
                endpoint,
            })
            .only_reads()
            .text()
            .await
    }

    /// What clusters can be made with.
    pub async fn options(self, compartment: &str) -> Result<ClusterOptionsOffered, OciError> {
        let reply = self
            .request(Method::GET, &["clusterOptions", "all"])
            .named("GetClusterOptions", "read which versions clusters can have")
            .query("compartmentId", compartment)
            .one()
            .await?;
        Ok(reply.value)
    }

    /// The node pools of a compartment, all or those of one cluster. Their
    /// nodes are left out.
    pub async fn node_pools(
        self,
        compartment: &str,
        cluster: Option<&str>,
    ) -> Result<Vec<NodePool>, OciError> {
        self.request(Method::GET, &["nodePools"])
            .named("ListNodePools", "list the node pools")
            .query("compartmentId", compartment)
            .query_opt("clusterId", cluster)
            .list()
            .await
    }

    /// A node pool with its nodes.
    pub async fn node_pool(self, id: &str) -> Result<Versioned<NodePool>, OciError> {
        self.request(Method::GET, &["nodePools", id])
            .named("GetNodePool", format!("read the node pool {}", short(id)))
            .one()
            .await
    }

    /// Starts to create a node pool. Its OCID comes with the work request.
    pub async fn create_node_pool(
        self,
        body: &CreateNodePool,
        token: &str,
    ) -> Result<Accepted, OciError> {
        self.request(Method::POST, &["nodePools"])
            .named(
                "CreateNodePool",
                format!("create node pool `{}`", body.name),
            )
            .json(body)
            .token(token)
            .accepted()
            .await
    }

    /// Starts to change a node pool, if it still has the entity tag. The same
    /// size again makes the nodes that are missing.
    pub async fn update_node_pool(
        self,
        id: &str,
        body: &UpdateNodePool,
        etag: Option<&str>,
    ) -> Result<Accepted, OciError> {
        self.request(Method::PUT, &["nodePools", id])
            .named(
                "UpdateNodePool",
                format!("change the node pool {}", short(id)),
            )
            .json(body)
            .if_match(etag)
            .accepted()
            .await
    }

    /// Starts to delete a node pool.
    pub async fn delete_node_pool(self, id: &str, drain: Drain) -> Result<Accepted, OciError> {
        self.request(Method::DELETE, &["nodePools", id])
            .named(
                "DeleteNodePool",
                format!("delete the node pool {}", short(id)),
            )
            .drain(drain)
            .accepted()
            .await
    }

    /// Starts to delete one node; the pool makes a new one.
    pub async fn delete_node(
        self,
        pool: &str,
        node: &str,
        drain: Drain,
    ) -> Result<Accepted, OciError> {
        self.request(Method::DELETE, &["nodePools", pool, "node", node])
            .named("DeleteNode", format!("delete the node {}", short(node)))
            .query("isDecrementSize", "false")
            .drain(drain)
            .accepted()
            .await
    }

    /// What node pools can be made with.
    pub async fn node_pool_options(
        self,
        query: &NodePoolQuery<'_>,
    ) -> Result<NodePoolOptions, OciError> {
        let reply = self
            .request(Method::GET, &["nodePoolOptions", "all"])
            .named("GetNodePoolOptions", "read which images nodes can have")
            .query_opt("compartmentId", query.compartment)
            .query_opt("nodePoolOsArch", query.architecture)
            .query_opt("nodePoolK8sVersion", query.kubernetes_version)
            .one()
            .await?;
        Ok(reply.value)
    }
}

impl Request<'_> {
    fn drain(self, drain: Drain) -> Self {
        match drain {
            Drain::AsConfigured => self,
            Drain::Skip => self
                .query("overrideEvictionGraceDuration", "PT0M")
                .query("isForceDeletionAfterOverrideGraceDuration", "true"),
        }
    }
}
