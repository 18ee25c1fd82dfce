//! The Kubernetes cluster, and how long work at its service is waited for.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::access::{Access, AccessStep, NodesStep};
use super::compartment::CompartmentLive;
use super::cx::{Cloud, Cx};
use super::network::Network;
use super::node_pool::NodePoolStep;
use super::owned::{Live, tags_step};
use super::tags;
use crate::names::StepId;
use crate::oci::{
    self, Accepted, Client, Cluster, ClusterEndpointConfig, ClusterOptions,
    ClusterPodNetworkOption, ClusterType, CniType, CreateCluster, KubernetesNetworkConfig,
    OciError, Patience, Resource as _, TaggedConfig, UpdateCluster, WorkKind,
};
use crate::plan::{
    Action, Change, Class, Graph, GraphError, Handle, Inputs, Step, StepCx, StepError,
};

/// Oracle takes 6 to 11 minutes.
const CREATION: Patience = Patience {
    limit: Duration::from_mins(30),
    typical: Some(Duration::from_mins(8)),
};
/// Oracle takes about 5 minutes.
const DELETION: Patience = Patience {
    limit: Duration::from_mins(30),
    typical: Some(Duration::from_mins(5)),
};

/// Adds the cluster's steps.
pub(super) fn add(
    graph: &mut Graph<Cx>,
    compartment: &Handle<CompartmentLive>,
    network: &Network,
) -> Result<(Handle<Access>, StepId), GraphError> {
    let cluster = graph.add(ClusterStep {
        compartment: compartment.clone(),
        vcn: network.vcn.clone(),
        api_subnet: network.api_subnet.clone(),
        lb_subnet: network.lb_subnet.clone(),
        after: network.leftovers.id().clone(),
    })?;
    let pool = graph.add(NodePoolStep {
        compartment: compartment.clone(),
        cluster: cluster.clone(),
        subnet: network.node_subnet.clone(),
    })?;
    let access = graph.add(AccessStep { cluster })?;
    let nodes = graph.add(NodesStep {
        access: access.clone(),
        pool: pool.clone(),
    })?;
    Ok((access, nodes.id().clone()))
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterLive {
    /// Its OCID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its Kubernetes version: `v1.34.1`.
    pub version: String,
    /// Whether it can be used.
    pub active: bool,
    /// `HOST:PORT` of its API.
    pub endpoint: String,
    /// What the profile decides of it, as it is.
    pub spec: Value,
}

/// Finds or creates the cluster.
struct ClusterStep {
    compartment: Handle<CompartmentLive>,
    vcn: Handle<Live>,
    api_subnet: Handle<Live>,
    lb_subnet: Handle<Live>,
    /// What must be swept behind it in a teardown.
    after: StepId,
}

impl ClusterStep {
    fn live(cluster: &Cluster) -> ClusterLive {
        let network = cluster
            .options
            .as_ref()
            .and_then(|o| o.kubernetes_network_config.as_ref());
        ClusterLive {
            id: cluster.id.clone(),
            name: cluster.name.clone(),
            version: cluster.kubernetes_version.clone().unwrap_or_default(),
            endpoint: cluster
                .endpoints
                .as_ref()
                .and_then(|e| e.public_endpoint.clone())
                .unwrap_or_default(),
            active: matches!(
                cluster.lifecycle(),
                oci::Lifecycle::Active | oci::Lifecycle::Updating
            ),
            spec: json!({
                "podsCidr": network.and_then(|n| n.pods_cidr.clone()),
                "servicesCidr": network.and_then(|n| n.services_cidr.clone()),
            }),
        }
    }

    fn wish(cx: &Cx) -> Value {
        let cluster = cx.cloud_if_any().map(|cloud| &cloud.profile.cluster);
        json!({
            "podsCidr": cluster.map(|c| c.pods_cidr.to_string()),
            "servicesCidr": cluster.map(|c| c.services_cidr.to_string()),
        })
    }

    async fn all(&self, cx: &StepCx<Cx>) -> Result<Vec<Cluster>, StepError> {
        let Some(compartment) = cx.known(&self.compartment) else {
            return Ok(Vec::new());
        };
        let cloud = cx.cx.cloud()?;
        let step = Step::id(self);
        let mut all = cloud.client.clusters().list(&compartment.id, None).await?;
        if let Some(remembered) = cx.remembered::<ClusterLive>()
            && !all.iter().any(|c| c.id == remembered.id)
            && let Some(missing) = oci::found(cloud.client.clusters().get(&remembered.id).await)?
        {
            all.push(missing.value);
        }
        all.retain(|c| tags::made_by(c, &cx.cx.deployment, &step));
        Ok(all)
    }

    async fn find(&self, cx: &StepCx<Cx>) -> Result<Option<Cluster>, StepError> {
        let mut live: Vec<_> = self
            .all(cx)
            .await?
            .into_iter()
            .filter(Cluster::is_live)
            .collect();
        if live.len() > 1 {
            let ids: Vec<_> = live.into_iter().map(|c| c.id).collect();
            return Err(StepError::new(
                Class::Conflict,
                format!(
                    "there are {} clusters of this deployment: {}",
                    ids.len(),
                    ids.join(", ")
                ),
            )
            .with_hint("delete all but one"));
        }
        Ok(live.pop())
    }

    /// The newest version on offer that the profile admits.
    async fn version(cx: &StepCx<Cx>, compartment: &str) -> Result<String, StepError> {
        let cloud = cx.cx.cloud()?;
        let wanted = cloud.profile.cluster.kubernetes_version;
        let offered = cloud
            .observed(cx)
            .clusters()
            .options(compartment)
            .await?
            .kubernetes_versions;
        let admitted: Vec<_> = offered
            .iter()
            .filter(|v| wanted.admits(v))
            .cloned()
            .collect();
        oci::newest_version(&admitted, None)
            .map(str::to_owned)
            .ok_or_else(|| {
                StepError::new(
                    Class::Invalid,
                    format!(
                        "Kubernetes {wanted} is not on offer; there is {}",
                        offered.join(", ")
                    ),
                )
                .with_hint("set `cloud.cluster.kubernetes_version` to one of them, or to `latest`")
            })
    }

    /// A cluster whose creation failed stands in the way of the next one.
    async fn clear_failed(&self, cx: &StepCx<Cx>, client: &Client) -> Result<(), StepError> {
        let failed = self.all(cx).await?.into_iter();
        for cluster in failed.filter(|c| *c.lifecycle() == oci::Lifecycle::Failed) {
            cx.progress("deleting what is left of a failed creation");
            self.delete(cx, client, &cluster.id).await?;
        }
        Ok(())
    }

    async fn delete(&self, cx: &StepCx<Cx>, client: &Client, id: &str) -> Result<(), StepError> {
        let Some(accepted) = oci::found(client.clusters().delete(id).await)? else {
            return Ok(());
        };
        let compartment = cx.input(&self.compartment)?.id;
        work(
            cx,
            client,
            &compartment,
            &accepted,
            "delete the cluster",
            DELETION,
        )
        .await
        .map(drop)
    }

    async fn create(&self, cx: &StepCx<Cx>) -> Result<String, StepError> {
        let compartment = cx.input(&self.compartment)?;
        let cloud = cx.cx.cloud()?;
        let client = cloud.creating(cx, &compartment);
        self.clear_failed(cx, &cloud.tearing_down(cx)).await?;
        let body = self.body(cx, &compartment.id, cloud).await?;
        let step = Step::id(self);
        let work_request = cx
            .cx
            .with_token(&step, &compartment.id, &body, async |token| {
                fresh(
                    &client,
                    &compartment.id,
                    client.clusters().create(&body, token).await?,
                )
                .await
            })
            .await?;
        let doing = "create the cluster";
        let done = work(cx, &client, &compartment.id, &work_request, doing, CREATION).await?;
        let id = done.identifier("cluster").map(str::to_owned);
        id.ok_or_else(|| StepError::bug("the work request of a created cluster does not name it"))
    }

    async fn body(
        &self,
        cx: &StepCx<Cx>,
        compartment: &str,
        cloud: &Cloud,
    ) -> Result<CreateCluster, StepError> {
        let profile = &cloud.profile.cluster;
        let tagged = || {
            Some(TaggedConfig {
                freeform_tags: tags::of_deployment(&cx.cx.deployment),
            })
        };
        Ok(CreateCluster {
            name: profile
                .name
                .clone()
                .unwrap_or_else(|| cx.cx.deployment.to_string()),
            compartment_id: compartment.to_owned(),
            vcn_id: cx.input(&self.vcn)?.id,
            kubernetes_version: Self::version(cx, compartment).await?,
            // The console's default is the enhanced type, which costs money.
            cluster_type: ClusterType::Basic,
            endpoint_config: ClusterEndpointConfig {
                subnet_id: Some(cx.input(&self.api_subnet)?.id),
                is_public_ip_enabled: Some(true),
                nsg_ids: Vec::new(),
            },
            cluster_pod_network_options: vec![ClusterPodNetworkOption {
                cni_type: CniType::Flannel,
            }],
            options: ClusterOptions {
                service_lb_subnet_ids: vec![cx.input(&self.lb_subnet)?.id],
                kubernetes_network_config: Some(KubernetesNetworkConfig {
                    pods_cidr: Some(profile.pods_cidr.to_string()),
                    services_cidr: Some(profile.services_cidr.to_string()),
                }),
                // The tags by which a teardown finds what the controllers made.
                service_lb_config: tagged(),
                persistent_volume_config: tagged(),
            },
            freeform_tags: tags::of(&cx.cx.deployment, &Step::id(self)),
        })
    }

    /// Goes on with a creation or a change that somebody began before.
    async fn join(&self, cx: &StepCx<Cx>, id: &str) -> Result<Cluster, StepError> {
        let client = cx.cx.cloud()?.observed(cx);
        let compartment = cx.input(&self.compartment)?.id;
        join_work(
            cx,
            &client,
            &compartment,
            id,
            "create the cluster",
            CREATION,
        )
        .await?;
        Ok(client.clusters().get(id).await?.value)
    }
}

impl Step<Cx> for ClusterStep {
    type Live = ClusterLive;

    fn id(&self) -> StepId {
        tags_step("cluster/cluster")
    }

    fn title(&self) -> String {
        "Kubernetes cluster".to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        [
            self.compartment.id(),
            self.vcn.id(),
            self.api_subnet.id(),
            self.lb_subnet.id(),
            &self.after,
        ]
        .into_iter()
        .cloned()
        .collect()
    }

    fn system(&self) -> &'static str {
        "oci"
    }

    fn quiet_limit(&self) -> Duration {
        // Oracle's log may say nothing for the whole of a creation.
        CREATION.limit + Duration::from_mins(1)
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<ClusterLive>, StepError> {
        let Some(found) = self.find(cx).await? else {
            return Ok(None);
        };
        // A list's rows lack the options that plans compare.
        let client = &cx.cx.cloud()?.client;
        let whole = oci::found(client.clusters().get(&found.id).await)?;
        Ok(whole.map(|cluster| Self::live(&cluster)))
    }

    fn plan(&self, cx: &Cx, _: &Inputs, live: Option<&ClusterLive>) -> Change {
        let wanted = cx
            .cloud_if_any()
            .map(|cloud| cloud.profile.cluster.kubernetes_version);
        let Some(live) = live else {
            let mut spec = Self::wish(cx);
            if let (Some(spec), Some(wanted)) = (spec.as_object_mut(), wanted) {
                spec.insert("type".to_owned(), json!("BASIC_CLUSTER"));
                spec.insert("kubernetesVersion".to_owned(), json!(wanted.to_string()));
            }
            return Change::create(&spec)
                .then_known("id")
                .then_known("endpoint");
        };
        let mut change = Change::update(&live.spec, &Self::wish(cx));
        if change.action == Action::Update {
            change.action = Action::Replace;
            return change.because("the address ranges of a cluster cannot change");
        }
        if let Some(wanted) = wanted.filter(|wanted| !wanted.admits(&live.version)) {
            let (before, after) = (
                json!({"version": live.version}),
                json!({"version": wanted.to_string()}),
            );
            return Change::update(&before, &after);
        }
        if !live.active {
            return Change {
                action: Action::Update,
                ..Change::none()
            }
            .because("an earlier run began it and did not see its end");
        }
        Change::none()
    }

    async fn apply(
        &self,
        cx: &StepCx<Cx>,
        live: Option<ClusterLive>,
    ) -> Result<ClusterLive, StepError> {
        let client = cx.cx.cloud()?.observed(cx);
        let id = match live {
            Some(live) => live.id,
            None => self.create(cx).await?,
        };
        let mut cluster = self.join(cx, &id).await?;
        let wanted = cx.cx.cloud()?.profile.cluster.kubernetes_version;
        let version = cluster.kubernetes_version.clone().unwrap_or_default();
        if !wanted.admits(&version) {
            let compartment = cx.input(&self.compartment)?.id;
            let version = Self::version(cx, &compartment).await?;
            let body = UpdateCluster {
                kubernetes_version: Some(version),
                ..UpdateCluster::default()
            };
            let accepted = client.clusters().update(&id, &body, None).await?;
            work(
                cx,
                &client,
                &compartment,
                &accepted,
                "upgrade the cluster",
                CREATION,
            )
            .await?;
            cluster = client.clusters().get(&id).await?.value;
        }
        if !cluster.lifecycle().is_active() {
            return Err(StepError::new(
                Class::Transient,
                format!(
                    "the cluster is {:?}: {}",
                    cluster.lifecycle(),
                    cluster.lifecycle_details.as_deref().unwrap_or_default()
                ),
            )
            .with_hint("run the same command again; a failed cluster is deleted first"));
        }
        Ok(Self::live(&cluster))
    }

    async fn destroy(&self, cx: &StepCx<Cx>, live: ClusterLive) -> Result<(), StepError> {
        let client = cx.cx.cloud()?.tearing_down(cx);
        self.delete(cx, &client, &live.id).await
    }
}

/// What a create's token brought back: nothing when the token names an
/// earlier attempt that failed, whose remains are gone.
pub(super) async fn fresh(
    client: &Client,
    compartment: &str,
    accepted: Accepted,
) -> Result<Option<Accepted>, OciError> {
    let kind = WorkKind::ContainerEngine { compartment };
    let seen = client.work_requests(kind).get(&accepted.work_request).await;
    match oci::found(seen)? {
        Some(work) if work.status == oci::WorkStatus::Failed => Ok(None),
        _ => Ok(Some(accepted)),
    }
}

/// Waits for a work request, telling what Oracle tells.
pub(super) async fn work(
    cx: &StepCx<Cx>,
    client: &Client,
    compartment: &str,
    accepted: &Accepted,
    doing: &str,
    patience: Patience,
) -> Result<oci::WorkRequest, StepError> {
    let kind = WorkKind::ContainerEngine { compartment };
    let waiting =
        client
            .work_requests(kind)
            .wait(&accepted.work_request, doing, patience, |seen| {
                let message = match &seen.last_log {
                    Some(line) => line.clone(),
                    None => seen.status.to_string(),
                };
                (cx.report)(&message, seen.percent);
            });
    Ok(waiting.await?)
}

/// Waits for whatever work is going on for a thing.
pub(super) async fn join_work(
    cx: &StepCx<Cx>,
    client: &Client,
    compartment: &str,
    id: &str,
    doing: &str,
    patience: Patience,
) -> Result<(), StepError> {
    let kind = WorkKind::ContainerEngine { compartment };
    let running = client.work_requests(kind).list(Some(id)).await?;
    for request in running.into_iter().filter(|work| !work.status.is_final()) {
        let accepted = Accepted {
            work_request: request.id,
            request_id: None,
        };
        work(cx, client, compartment, &accepted, doing, patience).await?;
    }
    Ok(())
}
