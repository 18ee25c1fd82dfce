//! What is there: every place where a deployment could have left something,
//! looked at by direct lists. `down` ends with it, as proof.

use serde::Serialize;

use super::cx::Cloud;
use super::leftovers::Orphans;
use super::tags;
use crate::names::DeploymentName;
use crate::oci::{
    self, InternetGateway, NatGateway, NetworkResource, OciError, Resource, RouteTable,
    SecurityList, ServiceGateway, Subnet, Vcn, VcnScope,
};
use crate::plan::StepError;

/// One kind of thing that was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Looked {
    /// The kind, for people.
    pub kind: &'static str,
    /// Whether what is left of it is billed.
    pub billed: bool,
    /// What is left.
    pub left: Vec<Left>,
}

/// Something that is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Its name.
    pub name: String,
    /// Its OCID.
    pub id: String,
    /// Where it is in its life.
    pub state: String,
}

/// Looks for everything of a deployment in a compartment.
pub async fn survey(
    cloud: &Cloud,
    compartment: &str,
    deployment: &DeploymentName,
) -> Result<Vec<Looked>, StepError> {
    let client = &cloud.client;
    let look = Look {
        cloud,
        compartment,
        deployment,
    };
    let network = async {
        tokio::try_join!(
            look.network::<Vcn>("virtual networks"),
            look.network::<Subnet>("subnets"),
            look.network::<RouteTable>("route tables"),
            look.network::<SecurityList>("security lists"),
            look.network::<InternetGateway>("internet gateways"),
            look.network::<NatGateway>("NAT gateways"),
            look.network::<ServiceGateway>("service gateways"),
        )
    };
    let clusters = async { client.clusters().list(compartment, None).await };
    let pools = async { client.clusters().node_pools(compartment, None).await };
    let instances = async { client.compute().instances(compartment).await };
    let orphans = Orphans::find(client, compartment, deployment.as_str(), &[]);
    let (network, clusters, pools, instances, orphans) = tokio::try_join!(
        network,
        async { none_if_gone(clusters.await) },
        async { none_if_gone(pools.await) },
        async { none_if_gone(instances.await) },
        orphans,
    )?;
    let (vcns, subnets, routes, lists, internet, nat, services) = network;
    let mut all = vec![
        look.kind("clusters", false, &clusters),
        look.kind("node pools", true, &pools),
        look.kind("instances", true, &instances),
        look.kind("load balancers", true, &orphans.balancers),
        look.kind("network load balancers", false, &orphans.network_balancers),
        look.kind("block volumes", true, &orphans.volumes),
        look.kind("boot volumes", true, &orphans.boot_volumes),
        look.kind("reserved addresses", false, &orphans.addresses),
    ];
    all.extend([subnets, routes, lists, services, nat, internet, vcns]);
    Ok(all)
}

struct Look<'a> {
    cloud: &'a Cloud,
    compartment: &'a str,
    deployment: &'a DeploymentName,
}

impl Look<'_> {
    async fn network<R: NetworkResource>(&self, kind: &'static str) -> Result<Looked, OciError> {
        let network = self.cloud.client.network();
        let all = network
            .list::<R>(&VcnScope::compartment(self.compartment))
            .await;
        Ok(self.kind(kind, false, &none_if_gone(all)?))
    }

    fn kind<R: Resource>(&self, kind: &'static str, billed: bool, all: &[R]) -> Looked {
        let left = all
            .iter()
            .filter(|r| !r.lifecycle().is_gone())
            .filter(|r| r.has_tag(tags::DEPLOYMENT, self.deployment.as_str()))
            .map(|r| Left {
                name: r.name().to_owned(),
                id: r.id().to_owned(),
                state: format!("{:?}", r.lifecycle()),
            })
            .collect();
        Looked { kind, billed, left }
    }
}

/// A compartment that is gone holds nothing.
fn none_if_gone<T>(listed: Result<Vec<T>, OciError>) -> Result<Vec<T>, OciError> {
    Ok(oci::found(listed)?.unwrap_or_default())
}
