//! Load balancers and network load balancers: made by the cluster's cloud
//! controller, swept by a teardown.

use http::Method;
use serde::{Deserialize, Serialize};

use super::call::Request;
use super::network::short;
use super::types::{null_as_default, resource};
use super::{Accepted, Client, Lifecycle, OciError, Service, Tags};

/// An address of a load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IpAddress {
    /// The address.
    pub ip_address: String,
    /// Whether the world can reach it.
    #[serde(default)]
    pub is_public: Option<bool>,
}

/// The bandwidth of a flexible load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LbShapeDetails {
    /// Always there, and billed.
    #[serde(default)]
    pub minimum_bandwidth_in_mbps: u32,
    /// At most.
    #[serde(default)]
    pub maximum_bandwidth_in_mbps: u32,
}

/// A load balancer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// Its OCID.
    pub id: String,
    /// The compartment that it is in.
    #[serde(default)]
    pub compartment_id: String,
    /// Its name: the UID of the Kubernetes service that it serves.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
    /// Its addresses.
    #[serde(default, deserialize_with = "null_as_default")]
    pub ip_addresses: Vec<IpAddress>,
    /// Its shape: `flexible` or a fixed bandwidth.
    #[serde(default, deserialize_with = "null_as_default")]
    pub shape_name: String,
    /// The bandwidth of a flexible one.
    #[serde(default)]
    pub shape_details: Option<LbShapeDetails>,
    /// The subnets that it is in.
    #[serde(default, deserialize_with = "null_as_default")]
    pub subnet_ids: Vec<String>,
    /// Whether it refuses to be deleted.
    #[serde(default)]
    pub is_delete_protection_enabled: Option<bool>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
    /// Oracle's own tags; `orcl-containerengine` names the cluster.
    #[serde(default)]
    pub system_tags: serde_json::Value,
}
resource!(LoadBalancer, "load balancer", display_name);

/// A network load balancer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkLoadBalancer {
    /// Its OCID.
    pub id: String,
    /// The compartment that it is in.
    #[serde(default)]
    pub compartment_id: String,
    /// Its name: `namespace/name/uid` of the service that it serves.
    #[serde(default, deserialize_with = "null_as_default")]
    pub display_name: String,
    /// Its addresses.
    #[serde(default, deserialize_with = "null_as_default")]
    pub ip_addresses: Vec<IpAddress>,
    /// The subnet that it is in.
    #[serde(default, deserialize_with = "null_as_default")]
    pub subnet_id: String,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
    /// Oracle's own tags; `orcl-containerengine` names the cluster.
    #[serde(default)]
    pub system_tags: serde_json::Value,
}
resource!(NetworkLoadBalancer, "network load balancer", display_name);

/// The cluster that Oracle's own tags name.
fn cluster_of(system_tags: &serde_json::Value) -> Option<&str> {
    system_tags
        .get("orcl-containerengine")?
        .get("Cluster")?
        .as_str()
}

impl LoadBalancer {
    /// The OCID of the cluster that it was made for.
    pub fn cluster(&self) -> Option<&str> {
        cluster_of(&self.system_tags)
    }
}

impl NetworkLoadBalancer {
    /// The OCID of the cluster that it was made for.
    pub fn cluster(&self) -> Option<&str> {
        cluster_of(&self.system_tags)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Protection {
    is_delete_protection_enabled: bool,
}

/// Calls to the load balancer service.
#[derive(Debug, Clone, Copy)]
pub struct Balancers<'c> {
    pub(super) client: &'c Client,
}

impl<'c> Balancers<'c> {
    fn request(self, method: Method, path: &[&str]) -> Request<'c> {
        self.client.request(method, Service::LoadBalancer, path)
    }

    /// The load balancers of a compartment.
    pub async fn list(self, compartment: &str) -> Result<Vec<LoadBalancer>, OciError> {
        self.request(Method::GET, &["loadBalancers"])
            .named("ListLoadBalancers", "list the load balancers")
            .query("compartmentId", compartment)
            .list()
            .await
    }

    /// A load balancer.
    pub async fn get(self, id: &str) -> Result<LoadBalancer, OciError> {
        let request = self.request(Method::GET, &["loadBalancers", id]);
        let doing = format!("read the load balancer {}", short(id));
        Ok(request.named("GetLoadBalancer", doing).one().await?.value)
    }

    /// Lets a load balancer be deleted. The service may do it at once or by a
    /// work request.
    pub async fn unprotect(self, id: &str) -> Result<Option<Accepted>, OciError> {
        self.request(Method::PUT, &["loadBalancers", id])
            .named(
                "UpdateLoadBalancer",
                format!("clear the delete protection of load balancer {}", short(id)),
            )
            .json(&Protection {
                is_delete_protection_enabled: false,
            })
            .maybe_accepted()
            .await
    }

    /// Starts to delete a load balancer.
    pub async fn delete(self, id: &str) -> Result<Accepted, OciError> {
        self.request(Method::DELETE, &["loadBalancers", id])
            .named(
                "DeleteLoadBalancer",
                format!("delete the load balancer {}", short(id)),
            )
            .accepted()
            .await
    }
}

/// Calls to the network load balancer service.
#[derive(Debug, Clone, Copy)]
pub struct NetworkBalancers<'c> {
    pub(super) client: &'c Client,
}

impl<'c> NetworkBalancers<'c> {
    fn request(self, method: Method, path: &[&str]) -> Request<'c> {
        self.client
            .request(method, Service::NetworkLoadBalancer, path)
    }

    /// The network load balancers of a compartment.
    pub async fn list(self, compartment: &str) -> Result<Vec<NetworkLoadBalancer>, OciError> {
        self.request(Method::GET, &["networkLoadBalancers"])
            .named(
                "ListNetworkLoadBalancers",
                "list the network load balancers",
            )
            .query("compartmentId", compartment)
            .items()
            .await
    }

    /// A network load balancer.
    pub async fn get(self, id: &str) -> Result<NetworkLoadBalancer, OciError> {
        let request = self.request(Method::GET, &["networkLoadBalancers", id]);
        let doing = format!("read the network load balancer {}", short(id));
        let reply = request.named("GetNetworkLoadBalancer", doing).one().await?;
        Ok(reply.value)
    }

    /// Starts to delete a network load balancer.
    pub async fn delete(self, id: &str) -> Result<Accepted, OciError> {
        self.request(Method::DELETE, &["networkLoadBalancers", id])
            .named(
                "DeleteNetworkLoadBalancer",
                format!("delete the network load balancer {}", short(id)),
            )
            .accepted()
            .await
    }
}
