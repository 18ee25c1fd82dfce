//! The objects of the container engine, and the bodies that make and change
//! them.

use std::collections::BTreeMap;

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

/// A node pool.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePool {
    /// Its OCID.
    pub id: String,
    /// The cluster that it belongs to.
    #[serde(default)]
    pub cluster_id: String,
    /// The compartment that it is in.
    #[serde(default)]
    pub compartment_id: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// Where it is in its life. An active pool can have failed nodes.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// More about that, for people.
    #[serde(default)]
    pub lifecycle_details: Option<String>,
    /// The version of its nodes.
    #[serde(default)]
    pub kubernetes_version: Option<String>,
    /// The shape of its nodes.
    #[serde(default)]
    pub node_shape: Option<String>,
    /// OCPUs and memory of that shape.
    #[serde(default)]
    pub node_shape_config: Option<NodeShapeConfig>,
    /// The image of its nodes, as it was resolved.
    #[serde(default)]
    pub node_source: Option<NodeSource>,
    /// The image of its nodes, as it was asked for.
    #[serde(default)]
    pub node_source_details: Option<NodeSourceDetails>,
    /// How many nodes and where.
    #[serde(default)]
    pub node_config_details: Option<NodeConfigDetails>,
    /// Labels that nodes begin with.
    #[serde(default, deserialize_with = "null_as_default")]
    pub initial_node_labels: Vec<KeyValue>,
    /// Its nodes; empty in lists, which leave them out.
    #[serde(default, deserialize_with = "null_as_default")]
    pub nodes: Vec<Node>,
    /// Its tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub freeform_tags: Tags,
}
resource!(NodePool, "node pool", name);

/// A node.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The OCID of its instance, once there is one.
    #[serde(default, deserialize_with = "null_as_default")]
    pub id: String,
    /// Its name in Compute.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// The availability domain that it is in.
    #[serde(default)]
    pub availability_domain: Option<String>,
    /// The fault domain that it is in.
    #[serde(default)]
    pub fault_domain: Option<String>,
    /// The subnet that it is in.
    #[serde(default)]
    pub subnet_id: Option<String>,
    /// Its private address, which is its name in Kubernetes.
    #[serde(default)]
    pub private_ip: Option<String>,
    /// Its public address.
    #[serde(default)]
    pub public_ip: Option<String>,
    /// Its version.
    #[serde(default)]
    pub kubernetes_version: Option<String>,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle_state: Lifecycle,
    /// More about that, for people.
    #[serde(default)]
    pub lifecycle_details: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub node_error: Option<NodeError>,
}

impl Node {
    /// Whether the cloud has done its part for it.
    pub fn is_ready(&self) -> bool {
        self.lifecycle_state.is_active() && self.node_error.is_none()
    }
}

/// Why a node failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct NodeError {
    /// The code.
    #[serde(default, deserialize_with = "null_as_default")]
    pub code: String,
    /// The message.
    #[serde(default, deserialize_with = "null_as_default")]
    pub message: String,
    /// The status, as text.
    #[serde(default)]
    pub status: Option<String>,
    /// The request that failed.
    #[serde(default, rename = "opc-request-id")]
    pub request_id: Option<String>,
}

impl NodeError {
    /// Whether no host had room for it.
    pub fn is_capacity(&self) -> bool {
        super::error::is_capacity(&self.message)
    }
}

/// OCPUs and memory of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeShapeConfig {
    /// OCPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocpus: Option<f64>,
    /// Memory.
    #[serde(
        default,
        rename = "memoryInGBs",
        skip_serializing_if = "Option::is_none"
    )]
    pub memory_in_gbs: Option<f64>,
}

/// An image that nodes can start from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSource {
    /// `IMAGE`.
    #[serde(default)]
    pub source_type: String,
    /// Its name: `Oracle-Linux-8.10-aarch64-2025.09.16-0-OKE-1.34.1-1191`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub source_name: String,
    /// Its OCID.
    #[serde(default, deserialize_with = "null_as_default")]
    pub image_id: String,
}

/// The image to start nodes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSourceDetails {
    /// `IMAGE`.
    pub source_type: String,
    /// The image's OCID.
    #[serde(default)]
    pub image_id: String,
    /// The size of boot volumes.
    #[serde(
        default,
        rename = "bootVolumeSizeInGBs",
        skip_serializing_if = "Option::is_none"
    )]
    pub boot_volume_size_in_gbs: Option<u64>,
}

impl NodeSourceDetails {
    /// An image and the size of boot volumes.
    pub fn image(id: &str, boot_volume_size_in_gbs: Option<u64>) -> Self {
        Self {
            source_type: "IMAGE".into(),
            image_id: id.to_owned(),
            boot_volume_size_in_gbs,
        }
    }
}

/// Where nodes go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePlacement {
    /// The availability domain.
    pub availability_domain: String,
    /// The subnet.
    pub subnet_id: String,
    /// The fault domains; empty lets the service choose.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub fault_domains: Vec<String>,
}

/// How the pods of a pool get their addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePodNetwork {
    /// How; the same as the cluster's.
    pub cni_type: CniType,
}

/// How many nodes and where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeConfigDetails {
    /// How many.
    #[serde(default)]
    pub size: u32,
    /// Where, one per availability domain.
    #[serde(default, deserialize_with = "null_as_default")]
    pub placement_configs: Vec<NodePlacement>,
    /// How pods get their addresses.
    #[serde(
        default,
        rename = "nodePoolPodNetworkOptionDetails",
        skip_serializing_if = "Option::is_none"
    )]
    pub pod_network: Option<NodePodNetwork>,
    /// Tags of the instances.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Tags::is_empty"
    )]
    pub freeform_tags: Tags,
}

/// How nodes are emptied before they go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeEviction {
    /// For how long, as an ISO 8601 duration up to `PT60M`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction_grace_duration: Option<String>,
    /// Whether they go even if they are not empty by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_force_delete_after_grace_duration: Option<bool>,
}

/// A label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// Its key.
    pub key: String,
    /// Its value.
    #[serde(default, deserialize_with = "null_as_default")]
    pub value: String,
}

/// A node pool to create.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateNodePool {
    /// The compartment.
    pub compartment_id: String,
    /// The cluster, which must be active.
    pub cluster_id: String,
    /// Its name.
    pub name: String,
    /// The version of its nodes: not newer than the cluster's.
    pub kubernetes_version: String,
    /// The shape of its nodes.
    pub node_shape: String,
    /// OCPUs and memory of a flexible shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_shape_config: Option<NodeShapeConfig>,
    /// The image of its nodes.
    pub node_source_details: NodeSourceDetails,
    /// How many nodes and where.
    pub node_config_details: NodeConfigDetails,
    /// How nodes are emptied before they go.
    #[serde(
        rename = "nodeEvictionNodePoolSettings",
        skip_serializing_if = "Option::is_none"
    )]
    pub node_eviction: Option<NodeEviction>,
    /// Labels that nodes begin with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub initial_node_labels: Vec<KeyValue>,
    /// For instance cloud-init as `user_data`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_metadata: BTreeMap<String, String>,
    /// Who may log in to nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_public_key: Option<String>,
    /// Its tags.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub freeform_tags: Tags,
}

/// Changes to how many nodes and where.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateNodeConfig {
    /// How many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Where, one per availability domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement_configs: Option<Vec<NodePlacement>>,
}

/// Changes to a node pool.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateNodePool {
    /// A new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Another version, for new nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<String>,
    /// Another shape, for new nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_shape: Option<String>,
    /// Other OCPUs and memory, for new nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_shape_config: Option<NodeShapeConfig>,
    /// Another image, for new nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_source_details: Option<NodeSourceDetails>,
    /// How many nodes and where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_config_details: Option<UpdateNodeConfig>,
    /// All tags from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeform_tags: Option<Tags>,
}

/// What node pools can be made with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePoolOptions {
    /// Versions, with a leading `v`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub kubernetes_versions: Vec<String>,
    /// Shapes.
    #[serde(default, deserialize_with = "null_as_default")]
    pub shapes: Vec<String>,
    /// Images.
    #[serde(default, deserialize_with = "null_as_default")]
    pub sources: Vec<NodeSource>,
}
