//! What the cluster's controllers made on their own: load balancers and block
//! volumes. Deleting a cluster does not delete them, and they cost money.
//!
//! The step makes nothing. In a teardown it runs between the cluster and its
//! subnets, and sweeps what carries the deployment's tag, the cluster's system
//! tag, or an address in one of our subnets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::compartment::CompartmentLive;
use super::cx::Cx;
use super::owned::{Live, tags_step};
use super::{fault, tags};
use crate::clock::{Look, wait_until};
use crate::names::StepId;
use crate::oci::{
    self, BootVolume, Client, LoadBalancer, NetworkLoadBalancer, OciError, Patience, PublicIp,
    Resource as _, Volume, WorkKind,
};
use crate::plan::{Change, Handle, Inputs, Step, StepCx, StepError};

const BALANCER: Patience = Patience {
    limit: Duration::from_mins(15),
    typical: Some(Duration::from_secs(40)),
};
/// A volume that is still attached cannot go yet.
const VOLUME_WITHIN: Duration = Duration::from_mins(15);

/// Nothing of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct None {}

pub(super) struct Leftovers {
    pub(super) compartment: Handle<CompartmentLive>,
    pub(super) subnets: Vec<Handle<Live>>,
}

/// Orphans of the deployment.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    pub(super) balancers: Vec<LoadBalancer>,
    pub(super) network_balancers: Vec<NetworkLoadBalancer>,
    pub(super) volumes: Vec<Volume>,
    pub(super) boot_volumes: Vec<BootVolume>,
    pub(super) addresses: Vec<PublicIp>,
}

impl Orphans {
    fn is_empty(&self) -> bool {
        self.balancers.is_empty()
            && self.network_balancers.is_empty()
            && self.volumes.is_empty()
            && self.boot_volumes.is_empty()
            && self.addresses.is_empty()
    }

    /// Looks for orphans in a compartment: what carries our tag, and balancers
    /// in our subnets, whatever their tags.
    pub(super) async fn find(
        client: &Client,
        compartment: &str,
        deployment: &str,
        subnets: &[String],
    ) -> Result<Self, OciError> {
        let tagged = |tags: &oci::Tags| tags.get(tags::DEPLOYMENT).is_some_and(|d| d == deployment);
        let (lb, nlb) = (client.balancers(), client.network_balancers());
        let storage = client.storage();
        let (balancers, network_balancers, volumes, boot_volumes, addresses) = tokio::try_join!(
            async { nothing(lb.list(compartment).await) },
            async { nothing(nlb.list(compartment).await) },
            async { nothing(storage.volumes(compartment).await) },
            boot_volumes(client, compartment),
            async { nothing(client.network().public_ips(compartment).await) },
        )?;
        let ours = |ids: &[String]| ids.iter().any(|id| subnets.contains(id));
        Ok(Self {
            balancers: balancers
                .into_iter()
                .filter(|b| b.lifecycle().is_deletable())
                .filter(|b| tagged(b.tags()) || ours(&b.subnet_ids))
                .collect(),
            network_balancers: network_balancers
                .into_iter()
                .filter(|b| b.lifecycle().is_deletable())
                .filter(|b| tagged(b.tags()) || subnets.contains(&b.subnet_id))
                .collect(),
            volumes: volumes
                .into_iter()
                .filter(|v| v.lifecycle().is_deletable() && tagged(v.tags()))
                .collect(),
            boot_volumes: boot_volumes
                .into_iter()
                .filter(|v| v.lifecycle().is_deletable() && tagged(v.tags()))
                .collect(),
            addresses: addresses
                .into_iter()
                .filter(|a| a.lifecycle().is_deletable() && tagged(a.tags()))
                .collect(),
        })
    }
}

/// All boot volumes of a compartment; Oracle lists them by availability domain.
pub(super) async fn boot_volumes(
    client: &Client,
    compartment: &str,
) -> Result<Vec<BootVolume>, OciError> {
    let mut all = Vec::new();
    for domain in nothing(client.identity().availability_domains(compartment).await)? {
        all.extend(nothing(
            client
                .storage()
                .boot_volumes(compartment, &domain.name)
                .await,
        )?);
    }
    Ok(all)
}

/// A compartment that is gone holds nothing.
fn nothing<T>(listed: Result<Vec<T>, OciError>) -> Result<Vec<T>, OciError> {
    Ok(oci::found(listed)?.unwrap_or_default())
}

impl Leftovers {
    async fn orphans(&self, cx: &StepCx<Cx>) -> Result<Orphans, StepError> {
        let compartment = cx.input(&self.compartment)?.id;
        let subnets: Vec<_> = self
            .subnets
            .iter()
            .filter_map(|s| cx.known(s))
            .map(|subnet| subnet.id)
            .collect();
        let client = cx.cx.cloud()?.tearing_down(cx);
        let found = Orphans::find(&client, &compartment, cx.cx.deployment.as_str(), &subnets);
        Ok(Box::pin(found).await?)
    }
}

impl Step<Cx> for Leftovers {
    type Live = None;

    fn id(&self) -> StepId {
        tags_step("network/leftovers")
    }

    fn title(&self) -> String {
        "what the controllers left".to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        let mut needs = vec![self.compartment.id().clone()];
        needs.extend(self.subnets.iter().map(|subnet| subnet.id().clone()));
        needs
    }

    fn system(&self) -> &'static str {
        "oci"
    }

    fn quiet_limit(&self) -> Duration {
        BALANCER.limit + VOLUME_WITHIN
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<None>, StepError> {
        // Only a teardown sweeps, and only where there is something to find.
        let there = cx.cx.teardown && cx.known(&self.compartment).is_some();
        Ok(there.then_some(None {}))
    }

    fn plan(&self, _: &Cx, _: &Inputs, _: Option<&None>) -> Change {
        Change::none()
    }

    async fn apply(&self, _: &StepCx<Cx>, _: Option<None>) -> Result<None, StepError> {
        Ok(None {})
    }

    async fn destroy(&self, cx: &StepCx<Cx>, _: None) -> Result<(), StepError> {
        let client = cx.cx.cloud()?.tearing_down(cx);
        let orphans = self.orphans(cx).await?;
        if orphans.is_empty() {
            return Ok(());
        }
        let compartment = cx.input(&self.compartment)?.id;
        let compartment = compartment.as_str();
        for balancer in &orphans.balancers {
            cx.progress(&format!("deleting load balancer {}", balancer.display_name));
            if balancer.is_delete_protection_enabled == Some(true)
                && let Some(work) = client.balancers().unprotect(&balancer.id).await?
            {
                let requests = client.work_requests(WorkKind::LoadBalancer);
                requests
                    .wait(&work.work_request, "unprotect it", BALANCER, |_| {})
                    .await?;
            }
            let deleted = oci::found(client.balancers().delete(&balancer.id).await)?;
            if let Some(work) = deleted {
                let requests = client.work_requests(WorkKind::LoadBalancer);
                let doing = "delete the load balancer";
                requests
                    .wait(&work.work_request, doing, BALANCER, |_| {})
                    .await?;
            }
        }
        for balancer in &orphans.network_balancers {
            cx.progress(&format!(
                "deleting network load balancer {}",
                balancer.display_name
            ));
            let deleted = oci::found(client.network_balancers().delete(&balancer.id).await)?;
            if let Some(work) = deleted {
                let requests = client.work_requests(WorkKind::NetworkLoadBalancer { compartment });
                let doing = "delete the network load balancer";
                requests
                    .wait(&work.work_request, doing, BALANCER, |_| {})
                    .await?;
            }
        }
        for address in &orphans.addresses {
            cx.progress("releasing a reserved public address");
            oci::gone(client.network().delete_public_ip(&address.id).await)?;
        }
        for volume in &orphans.volumes {
            cx.progress(&format!("deleting block volume {}", volume.display_name));
            oci::gone(client.storage().delete_volume(&volume.id).await)?;
        }
        for volume in &orphans.boot_volumes {
            cx.progress(&format!("deleting boot volume {}", volume.display_name));
            oci::gone(client.storage().delete_boot_volume(&volume.id).await)?;
        }
        let wait = wait_until(&cx.clock, VOLUME_WITHIN, async || {
            Ok::<_, StepError>(match self.orphans(cx).await?.is_empty() {
                true => Look::Done(()),
                false => Look::Wait("volumes are going".to_owned(), Duration::from_secs(5)),
            })
        });
        wait.await
            .map_err(|error| fault::waited("the volumes' deletion", error))
    }
}
