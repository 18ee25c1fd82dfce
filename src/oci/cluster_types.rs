//! Clusters, and the bodies that make and change them.

use serde::{Deserialize, Serialize};

use super::types::{null_as_default, resource, words};
use super::{Lifecycle, Tags};

words! {
    /// How a cluster is managed.
    ClusterType {
        /// Free of charge.
        Basic = "BASIC_CLUSTER",
        /// Billed by the hour.
        Enhanced = "ENHANCED_CLUSTER",
    }
}

words! {
    /// How pods get their addresses.
    CniType {
        /// From an overlay network.
        Flannel = "FLANNEL_OVERLAY",
        /// From a subnet.
        Native = "OCI_VCN_IP_NATIVE",
    }
}

words! {
    /// Which address a kubeconfig names.
    KubeconfigEndpoint {
        /// The address that the world can reach.
        Public = "PUBLIC_ENDPOINT",
        /// The address within the network.
        Private = "PRIVATE_ENDPOINT",
        /// The host name within the network.
        VcnHostname = "VCN_HOSTNAME",
    }
}

/// A cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Its OCID.
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// The compartment that it is in.
    #[serde(default)]
    pub compartment_id: String,
    /// The network that it is in.
    #[serde(default)]
    pub vcn_id: Option<String>,
    /// Its version, with a leading `v`.
    #[serde(default)]
    pub kubernetes_version: Option<String>,
    /// How it is managed.
    #[serde(default, rename = "type")]
    pub cluster_type: Option<ClusterType>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// More about that, for people.
    #[serde(default)]
    pub lifecycle_details: Option<String>,
    /// Where its API is.
    #[serde(default)]
    pub endpoints: Option<ClusterEndpoints>,
    /// How its API is reached.
    #[serde(default)]
    pub endpoint_config: Option<ClusterEndpointConfig>,
    /// How pods get their addresses.
    #[serde(default, deserialize_with = "null_as_default")]
    pub cluster_pod_network_options: Vec<ClusterPodNetworkOption>,
    /// Its other settings.
    #[serde(default)]
    pub options: Option<ClusterOptions>,
    /// Who made it and when.
    #[serde(default)]
    pub metadata: Option<ClusterMetadata>,
    /// Versions that it can be upgraded to.
    #[serde(default, deserialize_with = "null_as_default")]
    pub available_kubernetes_upgrades: Vec<String>,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
}
resource!(Cluster, "cluster", name);

/// The addresses of a cluster's API, as `host:port`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterEndpoints {
    /// The oldest field for it.
    #[serde(default)]
    pub kubernetes: Option<String>,
    /// For the world.
    #[serde(default)]
    pub public_endpoint: Option<String>,
    /// Within the network.
    #[serde(default)]
    pub private_endpoint: Option<String>,
    /// Within the network, by name.
    #[serde(default)]
    pub vcn_hostname_endpoint: Option<String>,
}

/// How a cluster's API is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterEndpointConfig {
    /// The subnet of its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
    /// Whether the world can reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_public_ip_enabled: Option<bool>,
    /// Its network security groups.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub nsg_ids: Vec<String>,
}

/// How pods get their addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPodNetworkOption {
    /// How.
    pub cni_type: CniType,
}

/// When and by which work request a cluster was made.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterMetadata {
    /// When it was made.
    #[serde(default)]
    pub time_created: Option<jiff::Timestamp>,
    /// When it was deleted.
    #[serde(default)]
    pub time_deleted: Option<jiff::Timestamp>,
    /// The work request that made it.
    #[serde(default)]
    pub created_by_work_request_id: Option<String>,
}

/// Address ranges of pods and services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesNetworkConfig {
    /// Of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods_cidr: Option<String>,
    /// Of services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services_cidr: Option<String>,
}

/// Tags for what the cluster's controllers make, so that it can be found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaggedConfig {
    /// The tags.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Tags::is_empty"
    )]
    pub freeform_tags: Tags,
}

/// Settings of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterOptions {
    /// The subnets of its load balancers.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub service_lb_subnet_ids: Vec<String>,
    /// Address ranges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_network_config: Option<KubernetesNetworkConfig>,
    /// Tags of load balancers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_lb_config: Option<TaggedConfig>,
    /// Tags of volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_config: Option<TaggedConfig>,
}

/// A cluster to create.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateCluster {
    /// Its name.
    pub name: String,
    /// The compartment.
    pub compartment_id: String,
    /// The network.
    pub vcn_id: String,
    /// Its version, with a leading `v`.
    pub kubernetes_version: String,
    /// How it is managed.
    #[serde(rename = "type")]
    pub cluster_type: ClusterType,
    /// How its API is reached.
    pub endpoint_config: ClusterEndpointConfig,
    /// How pods get their addresses; cannot be changed later.
    pub cluster_pod_network_options: Vec<ClusterPodNetworkOption>,
    /// Its other settings.
    pub options: ClusterOptions,
    /// Its tags.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub freeform_tags: Tags,
}

/// Changes to a cluster.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateCluster {
    /// A new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A newer version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<String>,
    /// All tags from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeform_tags: Option<Tags>,
}

/// What clusters can be made with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterOptionsOffered {
    /// Versions, with a leading `v`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub kubernetes_versions: Vec<String>,
    /// Ways for pods to get their addresses.
    #[serde(default, deserialize_with = "null_as_default")]
    pub cluster_pod_network_options: Vec<ClusterPodNetworkOption>,
}
