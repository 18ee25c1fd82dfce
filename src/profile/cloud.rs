//! The Oracle Cloud side of a profile.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{Cidr, CompartmentRef, KubernetesVersion, Period};

/// The Oracle Cloud side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cloud {
    /// Path of the OCI configuration file with the user's keys.
    pub config_file: String,
    /// Section of that file.
    pub config_profile: String,
    /// Region identifier, for instance `eu-frankfurt-1`. By default the
    /// configuration file's. The free allowance holds in the home region only.
    pub region: Option<String>,
    /// Compartment of everything that todoctl makes: a name directly under the
    /// tenancy, created when absent, or an OCID, used and never deleted.
    pub compartment: CompartmentRef,
    /// The virtual cloud network.
    pub network: Network,
    /// The Kubernetes cluster.
    pub cluster: Cluster,
    /// The worker nodes.
    pub nodes: Nodes,
    /// What the deployment may use before it costs money. `up` refuses to
    /// exceed it without `--accept-cost`.
    pub allowance: Allowance,
    /// The public load balancer in front of the app.
    pub load_balancer: LoadBalancer,
}

impl Default for Cloud {
    fn default() -> Self {
        Self {
            config_file: "~/.oci/config".to_owned(),
            config_profile: "DEFAULT".to_owned(),
            region: None,
            compartment: CompartmentRef::Name("todoctl".to_owned()),
            network: Network::default(),
            cluster: Cluster::default(),
            nodes: Nodes::default(),
            allowance: Allowance::default(),
            load_balancer: LoadBalancer::default(),
        }
    }
}

/// The virtual cloud network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Address range of the network.
    pub vcn_cidr: Cidr,
    /// Subnet of the Kubernetes API endpoint.
    pub api_subnet: Cidr,
    /// Subnet of the worker nodes.
    pub node_subnet: Cidr,
    /// Subnet of the load balancer.
    pub lb_subnet: Cidr,
    /// Nodes without public addresses, behind a NAT and a service gateway.
    /// `false` spares both gateways: the nodes get public addresses and the
    /// security lists are the only fence.
    pub private_nodes: bool,
    /// Who may reach the Kubernetes API.
    pub api_access: Vec<Cidr>,
    /// Who may reach the nodes by SSH.
    pub ssh_access: Vec<Cidr>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            vcn_cidr: range("10.0.0.0/16"),
            api_subnet: range("10.0.0.0/28"),
            node_subnet: range("10.0.10.0/24"),
            lb_subnet: range("10.0.20.0/24"),
            private_nodes: true,
            api_access: vec![range("0.0.0.0/0")],
            ssh_access: Vec::new(),
        }
    }
}

/// The Kubernetes cluster: a basic one, whose control plane is free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Name of the cluster. By default the deployment's.
    pub name: Option<String>,
    /// `latest`, a minor version such as `v1.34`, or an exact one.
    pub kubernetes_version: KubernetesVersion,
    /// Address range of the pods (flannel overlay).
    pub pods_cidr: Cidr,
    /// Address range of the Kubernetes services.
    pub services_cidr: Cidr,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            name: None,
            kubernetes_version: KubernetesVersion::Latest,
            pods_cidr: range("10.244.0.0/16"),
            services_cidr: range("10.96.0.0/16"),
        }
    }
}

/// The worker nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Nodes {
    /// Compute shape. `VM.Standard.A1.Flex` (Arm) is the free one.
    pub shape: String,
    /// Number of nodes.
    #[schemars(range(min = 1, max = 100))]
    pub count: u32,
    /// OCPUs of each node.
    #[schemars(range(min = 1, max = 80))]
    pub ocpus: u32,
    /// Memory of each node in GB, 1 to 64 per OCPU.
    #[schemars(range(min = 1, max = 512))]
    pub memory_gb: u32,
    /// Boot volume of each node in GB.
    #[schemars(range(min = 50, max = 32768))]
    pub boot_volume_gb: u32,
    /// How long to wait for Arm capacity when the region is out of it.
    pub wait_for_capacity: Period,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            shape: "VM.Standard.A1.Flex".to_owned(),
            count: 2,
            ocpus: 1,
            memory_gb: 6,
            boot_volume_gb: 50,
            wait_for_capacity: Period(std::time::Duration::from_hours(2)),
        }
    }
}

impl Nodes {
    /// OCPUs of all nodes together.
    pub fn total_ocpus(&self) -> u32 {
        self.count.saturating_mul(self.ocpus)
    }

    /// Memory of all nodes together, in GB.
    pub fn total_memory_gb(&self) -> u32 {
        self.count.saturating_mul(self.memory_gb)
    }
}

/// What the deployment may use before it costs money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Allowance {
    /// Arm OCPUs.
    pub ocpus: u32,
    /// Memory of Arm instances in GB.
    pub memory_gb: u32,
    /// Boot and block volumes in GB.
    pub block_storage_gb: u32,
    /// Flexible load balancers.
    pub load_balancers: u32,
    /// Bandwidth of the load balancer in Mbit/s.
    pub load_balancer_mbps: u32,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            ocpus: 2,
            memory_gb: 12,
            block_storage_gb: 200,
            load_balancers: 1,
            load_balancer_mbps: 10,
        }
    }
}

/// The public load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoadBalancer {
    /// Guaranteed bandwidth in Mbit/s.
    #[schemars(range(min = 10, max = 8000))]
    pub min_mbps: u32,
    /// Greatest bandwidth in Mbit/s.
    #[schemars(range(min = 10, max = 8000))]
    pub max_mbps: u32,
}

impl Default for LoadBalancer {
    fn default() -> Self {
        Self {
            min_mbps: 10,
            max_mbps: 10,
        }
    }
}

/// A default range, written in this source.
#[expect(clippy::expect_used, reason = "the text is a constant of this file")]
fn range(text: &'static str) -> Cidr {
    text.parse()
        .expect("invariant: default ranges obey the rule of ranges")
}
