//! Oracle Cloud Infrastructure: a client for the calls that provisioning, the
//! free-tier guard and the teardown need.
//!
//! It owns credentials and signing, endpoints, the meaning of the service's
//! errors and which of them pass with time, pages, and waiting for work
//! requests. It decides nothing about *what* to create, keeps no state on
//! disk, and prints nothing. The protocol is Oracle's "REST APIs" and "Request
//! Signatures" documentation (signature version 1); a base URL can be replaced
//! for one service or for all, so the same code talks to any server that
//! speaks it.
//!
//! ```no_run
//! use todoctl::clock::Clock;
//! use todoctl::oci::{self, CreateVcn, Settings, Vcn, VcnScope};
//!
//! # async fn example(env: &dyn oci::Env) -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::load(&oci::Selection::default(), env)?;
//! let client = oci::Client::connect(&settings, Clock::default())?;
//!
//! // Reads.
//! let tenancy = settings.tenancy.as_str();
//! let homes = client.identity().region_subscriptions(tenancy).await?;
//! let vcns: Vec<Vcn> = client.network().list(&VcnScope::compartment(tenancy)).await?;
//!
//! // A create: the same token and body never make a second one.
//! let token = oci::retry_token(&["run-7", "network/vcn", "1"]);
//! let body = CreateVcn {
//!     compartment_id: tenancy.into(),
//!     cidr_blocks: vec!["10.0.0.0/16".into()],
//!     display_name: Some("todo-vcn".into()),
//!     ..CreateVcn::default()
//! };
//! let vcn = client.network().create(&body, &token).await?;
//!
//! // A delete during teardown: conflicts pass, and "not there" is success.
//! oci::gone(client.tearing_down().network().delete::<Vcn>(&vcn.id, None).await)?;
//! # let _ = (homes, vcns);
//! # Ok(())
//! # }
//! ```

mod balancer;
mod call;
mod class;
mod client;
mod cluster;
mod cluster_types;
mod compute;
mod config;
mod endpoint;
mod error;
mod identity;
mod image;
mod ini;
mod key;
mod limits;
mod network;
mod network_rules;
mod network_types;
mod node_types;
mod policy;
mod region;
mod search;
mod sign;
mod sources;
mod storage;
#[cfg(test)]
mod testing;
mod token;
mod types;
mod work_request;

pub use balancer::{
    Balancers, IpAddress, LbShapeDetails, LoadBalancer, NetworkBalancers, NetworkLoadBalancer,
};
pub use class::Class;
pub use client::{Client, ConnectError, Options, retry_token};
pub use cluster::{
    Cluster, ClusterEndpointConfig, ClusterEndpoints, ClusterMetadata, ClusterOptions,
    ClusterOptionsOffered, ClusterPodNetworkOption, ClusterType, Clusters, CniType, CreateCluster,
    CreateNodePool, Drain, KeyValue, KubeconfigEndpoint, KubernetesNetworkConfig, Node,
    NodeConfigDetails, NodeError, NodeEviction, NodePlacement, NodePodNetwork, NodePool,
    NodePoolOptions, NodePoolQuery, NodeShapeConfig, NodeSource, NodeSourceDetails, TaggedConfig,
    UpdateCluster, UpdateNodeConfig, UpdateNodePool,
};
pub use compute::{
    AvailabilityStatus, BillingType, CapacityReport, Compute, Instance, RangeOptions, Shape,
    ShapeAvailability, ShapeConfig, ShapeQuery, VnicAttachment,
};
pub use config::{
    ConfigError, CredentialSource, Env, Given, Place, ProcessEnv, Selection, Settings,
};
pub use endpoint::{Endpoints, Service};
pub use error::{Details, OciError, found, gone};
pub use identity::{
    AvailabilityDomain, Compartment, CreateCompartment, FaultDomain, Identity, RegionName,
    RegionSubscription, Tenancy,
};
pub use image::{Architecture, newest_version};
pub use key::{Key, KeyError};
pub use limits::{LimitScope, LimitValue, Limits, ResourceAvailability};
pub use network::{Network, NetworkCreate, NetworkResource, VcnScope};
pub use network_rules::*;
pub use network_types::*;
pub use policy::{CREATION_WINDOW, Mode};
pub use region::{Region, UnknownRegion};
pub use search::{Found, Search};
pub use sign::{CannotSign, Credentials, Identity as Signatory, Signer};
pub use storage::{BootVolume, BootVolumeAttachment, Storage, Volume, VolumeAttachment};
pub use token::{ClusterAccess, ClusterToken, ClusterTokens, KubeconfigError};
pub use types::{Lifecycle, Resource, Tags, Versioned};
pub use work_request::{
    Accepted, Affected, Patience, Progress, WorkError, WorkKind, WorkLog, WorkRequest,
    WorkRequests, WorkStatus,
};
