//! Node pools and nodes, and the bodies that make and change them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cluster_types::CniType;
use super::types::{null_as_default, resource};
use super::{Lifecycle, Tags};

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
        super::class::is_capacity(&self.message)
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
