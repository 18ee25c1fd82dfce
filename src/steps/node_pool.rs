//! The worker nodes.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cluster::{ClusterLive, fresh, join_work, work};
use super::compartment::CompartmentLive;
use super::cx::Cx;
use super::owned::{Live, tags_step};
use super::placement::{Move, Place, Strategy};
use super::tags;
use crate::clock::{Deadline, human};
use crate::names::StepId;
use crate::oci::{
    self, Architecture, Client, CniType, CreateNodePool, Drain, Node, NodeConfigDetails,
    NodeEviction, NodePodNetwork, NodePool, NodePoolQuery, NodeShapeConfig, NodeSource,
    NodeSourceDetails, Patience, Resource as _, ShapeAvailability, ShapeConfig, UpdateNodeConfig,
    UpdateNodePool,
};
use crate::plan::{Action, Change, Class, Handle, Inputs, Step, StepCx, StepError};
use crate::profile;

/// Oracle takes 3 to 7 minutes, and gives up on a node after 25.
const CREATION: Patience = Patience {
    limit: Duration::from_mins(35),
    typical: Some(Duration::from_mins(5)),
};
const DELETION: Patience = Patience {
    limit: Duration::from_mins(30),
    typical: Some(Duration::from_mins(3)),
};
/// The pool's name.
const NAME: &str = "nodes";

/// The node pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodePoolLive {
    /// Its OCID.
    pub id: String,
    /// What the profile decides of it, as it is.
    pub spec: Value,
    /// How many nodes work.
    pub ready: usize,
    /// Why others do not.
    pub troubles: Vec<String>,
    /// Whether nothing is going on at Oracle.
    pub settled: bool,
}

/// Finds or creates the node pool, and finds room for its nodes.
pub(super) struct NodePoolStep {
    pub(super) compartment: Handle<CompartmentLive>,
    pub(super) cluster: Handle<ClusterLive>,
    pub(super) subnet: Handle<Live>,
}

impl NodePoolStep {
    fn live(pool: &NodePool) -> NodePoolLive {
        let shape = pool.node_shape_config;
        NodePoolLive {
            id: pool.id.clone(),
            spec: json!({
                "shape": pool.node_shape,
                "count": pool.node_config_details.as_ref().map(|config| config.size),
                "ocpus": shape.and_then(|s| s.ocpus),
                "memoryGb": shape.and_then(|s| s.memory_in_gbs),
            }),
            ready: pool.nodes.iter().filter(|node| node.is_ready()).count(),
            troubles: troubles(&pool.nodes),
            settled: !pool.lifecycle().is_moving(),
        }
    }

    fn wish(nodes: &profile::Nodes) -> Value {
        json!({
            "shape": nodes.shape,
            "count": nodes.count,
            "ocpus": f64::from(nodes.ocpus),
            "memoryGb": f64::from(nodes.memory_gb),
        })
    }

    async fn all(&self, cx: &StepCx<Cx>) -> Result<Vec<NodePool>, StepError> {
        let Some(compartment) = cx.known(&self.compartment) else {
            return Ok(Vec::new());
        };
        if cx.known(&self.cluster).is_none() {
            return Ok(Vec::new());
        }
        let client = &cx.cx.cloud()?.client;
        let mut all = client.clusters().node_pools(&compartment.id, None).await?;
        if let Some(remembered) = cx.remembered::<NodePoolLive>()
            && !all.iter().any(|pool| pool.id == remembered.id)
            && let Some(missing) = oci::found(client.clusters().node_pool(&remembered.id).await)?
        {
            all.push(missing.value);
        }
        let step = Step::id(self);
        all.retain(|pool| tags::made_by(pool, &cx.cx.deployment, &step));
        Ok(all)
    }

    async fn read(client: &Client, id: &str) -> Result<NodePool, StepError> {
        Ok(client.clusters().node_pool(id).await?.value)
    }

    /// The newest worker image for the shape and the cluster's version.
    async fn image(
        cx: &StepCx<Cx>,
        compartment: &str,
        version: &str,
    ) -> Result<NodeSource, StepError> {
        let cloud = cx.cx.cloud()?;
        let architecture = Architecture::of_shape(&cloud.profile.nodes.shape);
        let query = NodePoolQuery {
            compartment: Some(compartment),
            architecture: Some(architecture.as_str()),
            kubernetes_version: Some(version),
        };
        let offered = cloud
            .observed(cx)
            .clusters()
            .node_pool_options(&query)
            .await?;
        offered
            .newest_image(architecture, version)
            .cloned()
            .ok_or_else(|| {
                let architecture = architecture.as_str();
                StepError::new(
                    Class::Invalid,
                    format!("there is no {architecture} image for nodes of Kubernetes {version}"),
                )
                .with_hint("set `cloud.cluster.kubernetes_version` to another version")
            })
    }

    async fn places(cx: &StepCx<Cx>) -> Result<(Vec<String>, Vec<Place>), StepError> {
        let cloud = cx.cx.cloud()?;
        let tenancy = &cloud.settings.tenancy;
        let client = cloud.observed(cx);
        let mut domains = Vec::new();
        let mut places = Vec::new();
        for domain in client.identity().availability_domains(tenancy).await? {
            let faults = client
                .identity()
                .fault_domains(tenancy, &domain.name)
                .await?;
            places.extend(faults.into_iter().map(|fault| Place {
                availability_domain: domain.name.clone(),
                fault_domain: Some(fault.name),
            }));
            domains.push(domain.name);
        }
        Ok((domains, places))
    }

    async fn create(
        &self,
        cx: &StepCx<Cx>,
        client: &Client,
        domains: &[String],
    ) -> Result<String, StepError> {
        let compartment = cx.input(&self.compartment)?;
        let cluster = cx.input(&self.cluster)?;
        let subnet = cx.input(&self.subnet)?.id;
        let nodes = cx.cx.cloud()?.profile.nodes.clone();
        let image = Self::image(cx, &compartment.id, &cluster.version).await?;
        let anywhere = domains
            .iter()
            .map(|domain| Place::anywhere_in(domain).config(&subnet));
        let body = CreateNodePool {
            compartment_id: compartment.id.clone(),
            cluster_id: cluster.id.clone(),
            name: NAME.to_owned(),
            kubernetes_version: cluster.version.clone(),
            node_shape: nodes.shape.clone(),
            node_shape_config: Some(shape_config(&nodes)),
            node_source_details: NodeSourceDetails::image(
                &image.image_id,
                Some(u64::from(nodes.boot_volume_gb)),
            ),
            node_config_details: NodeConfigDetails {
                size: nodes.count,
                placement_configs: anywhere.collect(),
                pod_network: Some(NodePodNetwork {
                    cni_type: CniType::Flannel,
                }),
                freeform_tags: tags::of_deployment(&cx.cx.deployment),
            },
            node_eviction: Some(NodeEviction {
                eviction_grace_duration: Some("PT5M".to_owned()),
                is_force_delete_after_grace_duration: Some(true),
            }),
            initial_node_labels: Vec::new(),
            node_metadata: std::collections::BTreeMap::new(),
            ssh_public_key: None,
            freeform_tags: tags::of(&cx.cx.deployment, &Step::id(self)),
        };
        let accepted = cx
            .cx
            .with_token(&Step::id(self), &cluster.id, &body, async |token| {
                let accepted = client.clusters().create_node_pool(&body, token).await?;
                fresh(client, &compartment.id, accepted).await
            })
            .await?;
        let doing = "create the node pool";
        let done = work(cx, client, &compartment.id, &accepted, doing, CREATION).await;
        match done {
            Ok(work) => work
                .identifier("nodepool")
                .map(str::to_owned)
                .ok_or_else(|| {
                    StepError::bug("the work request of a created node pool does not name it")
                }),
            // The pool is there and lacks nodes: it is kept, and moved.
            Err(error) if error.class() == Class::Capacity => {
                let pool = self
                    .all(cx)
                    .await?
                    .into_iter()
                    .find(|p| p.lifecycle().is_deletable());
                pool.map(|pool| pool.id).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Brings shape, size and version of an existing pool to the profile's.
    async fn reshape(&self, cx: &StepCx<Cx>, client: &Client, id: &str) -> Result<(), StepError> {
        let pool = client.clusters().node_pool(id).await?;
        let nodes = &cx.cx.cloud()?.profile.nodes;
        if Self::live(&pool).spec == Self::wish(nodes) {
            return Ok(());
        }
        let body = UpdateNodePool {
            node_shape: Some(nodes.shape.clone()),
            node_shape_config: Some(shape_config(nodes)),
            node_config_details: Some(UpdateNodeConfig {
                size: Some(nodes.count),
                placement_configs: None,
            }),
            ..UpdateNodePool::default()
        };
        self.update(cx, client, id, &body, pool.etag.as_deref())
            .await
    }

    /// Changes the pool and waits; lack of capacity is no error here, the
    /// pool's nodes tell.
    async fn update(
        &self,
        cx: &StepCx<Cx>,
        client: &Client,
        id: &str,
        body: &UpdateNodePool,
        etag: Option<&str>,
    ) -> Result<(), StepError> {
        let compartment = cx.input(&self.compartment)?.id;
        let accepted = client.clusters().update_node_pool(id, body, etag).await?;
        let doing = "change the node pool";
        match work(cx, client, &compartment, &accepted, doing, CREATION).await {
            Err(error) if error.class() != Class::Capacity => Err(error),
            _ => Ok(()),
        }
    }

    /// Moves the pool around until every node has found room.
    async fn find_room(
        &self,
        cx: &StepCx<Cx>,
        client: &Client,
        id: &str,
        (domains, places): (Vec<String>, Vec<Place>),
        resumed: bool,
    ) -> Result<NodePool, StepError> {
        let nodes = cx.cx.cloud()?.profile.nodes.clone();
        let patience = cx.clock.deadline(nodes.wait_for_capacity.0);
        let mut strategy = Strategy::new(places);
        let mut begun = false;
        // What an earlier run saw fail may work now: ask once before believing it.
        let mut believe = !resumed;
        loop {
            let pool = Self::read(client, id).await?;
            let wanted = nodes.count as usize;
            let ready = pool.nodes.iter().filter(|node| node.is_ready()).count();
            if ready >= wanted {
                return Ok(pool);
            }
            if let Some(error) = broken(&pool.nodes) {
                if believe {
                    return Err(error);
                }
                believe = true;
                cx.progress("asking again for the nodes that failed");
                let anywhere: Vec<_> = domains
                    .iter()
                    .map(|domain| Place::anywhere_in(domain))
                    .collect();
                self.move_to(cx, client, &pool, &anywhere).await?;
                continue;
            }
            if !begun {
                self.ask_reports(cx, client, &domains, &nodes, &mut strategy)
                    .await;
                begun = true;
            }
            if patience.passed() {
                return Err(no_room(&nodes, ready, &patience, &strategy));
            }
            match strategy.next(&cx.clock) {
                Move::Try(place) => {
                    cx.progress(&format!(
                        "{ready} of {wanted} nodes; out of {} capacity, trying {place} (round {} over {} places, giving up in {})",
                        nodes.shape, strategy.round(), strategy.len(), human(patience.remaining()),
                    ));
                    self.move_to(cx, client, &pool, &[place]).await?;
                }
                Move::Wait(wait) => {
                    cx.progress(&format!(
                        "{ready} of {wanted} nodes; no {} capacity anywhere, asking again in {} (giving up in {})",
                        nodes.shape, human(wait), human(patience.remaining()),
                    ));
                    cx.clock.sleep(wait.min(patience.remaining())).await?;
                    begun = false;
                }
            }
        }
    }

    async fn ask_reports(
        &self,
        cx: &StepCx<Cx>,
        client: &Client,
        domains: &[String],
        nodes: &profile::Nodes,
        strategy: &mut Strategy,
    ) {
        let Ok(cloud) = cx.cx.cloud() else { return };
        for domain in domains {
            let ask: Vec<_> = ["FAULT-DOMAIN-1", "FAULT-DOMAIN-2", "FAULT-DOMAIN-3"]
                .into_iter()
                .map(|fault| ShapeAvailability {
                    instance_shape: nodes.shape.clone(),
                    fault_domain: Some(fault.to_owned()),
                    instance_shape_config: Some(ShapeConfig {
                        ocpus: Some(f64::from(nodes.ocpus)),
                        memory_in_gbs: Some(f64::from(nodes.memory_gb)),
                    }),
                })
                .collect();
            // The report is only a hint; without it the order stays as it is.
            let tenancy = &cloud.settings.tenancy;
            if let Ok(reports) = client.compute().capacity(tenancy, domain, &ask).await {
                strategy.consider(domain, &reports);
            }
        }
    }

    /// Lets the pool ask for its missing nodes in another place. Nodes that
    /// work stay where they are.
    async fn move_to(
        &self,
        cx: &StepCx<Cx>,
        client: &Client,
        pool: &NodePool,
        places: &[Place],
    ) -> Result<(), StepError> {
        let subnet = cx.input(&self.subnet)?.id;
        let mut placements: Vec<_> = places.iter().map(|place| place.config(&subnet)).collect();
        let taken: BTreeSet<_> = pool
            .nodes
            .iter()
            .filter(|node| node.is_ready())
            .filter_map(|node| node.availability_domain.clone())
            .filter(|domain| {
                places
                    .iter()
                    .all(|place| place.availability_domain != *domain)
            })
            .collect();
        placements.extend(
            taken
                .iter()
                .map(|domain| Place::anywhere_in(domain).config(&subnet)),
        );
        let body = UpdateNodePool {
            node_config_details: Some(UpdateNodeConfig {
                size: pool.node_config_details.as_ref().map(|config| config.size),
                placement_configs: Some(placements),
            }),
            ..UpdateNodePool::default()
        };
        self.update(cx, client, &pool.id, &body, None).await
    }
}

impl Step<Cx> for NodePoolStep {
    type Live = NodePoolLive;

    fn id(&self) -> StepId {
        tags_step("cluster/node-pool")
    }

    fn title(&self) -> String {
        "node pool".to_owned()
    }

    fn needs(&self) -> Vec<StepId> {
        [self.compartment.id(), self.cluster.id(), self.subnet.id()]
            .into_iter()
            .cloned()
            .collect()
    }

    fn system(&self) -> &'static str {
        "oci"
    }

    fn quiet_limit(&self) -> Duration {
        CREATION.limit + Duration::from_mins(1)
    }

    async fn inspect(&self, cx: &StepCx<Cx>) -> Result<Option<NodePoolLive>, StepError> {
        // A pool whose creation failed for lack of room is the one to go on
        // with; only what is being deleted does not count.
        let found = self
            .all(cx)
            .await?
            .into_iter()
            .find(|p| p.lifecycle().is_deletable());
        let Some(found) = found else { return Ok(None) };
        // A list's rows lack the nodes.
        let client = &cx.cx.cloud()?.client;
        let whole = oci::found(client.clusters().node_pool(&found.id).await)?;
        Ok(whole.map(|pool| Self::live(&pool)))
    }

    fn plan(&self, cx: &Cx, _: &Inputs, live: Option<&NodePoolLive>) -> Change {
        let Some(nodes) = cx.cloud_if_any().map(|cloud| &cloud.profile.nodes) else {
            return Change::none();
        };
        let wish = Self::wish(nodes);
        let Some(live) = live else {
            return Change::create(&wish).then_known("id");
        };
        let change = Change::update(&live.spec, &wish);
        if change.action != Action::None {
            return change;
        }
        if live.settled && live.ready >= nodes.count as usize {
            return Change::none();
        }
        let change = Change::update(
            &json!({"nodes ready": live.ready}),
            &json!({"nodes ready": nodes.count}),
        );
        match live.troubles.first() {
            Some(trouble) => change.because(trouble),
            None => change.because("an earlier run began it and did not see its end"),
        }
    }

    async fn apply(
        &self,
        cx: &StepCx<Cx>,
        live: Option<NodePoolLive>,
    ) -> Result<NodePoolLive, StepError> {
        let compartment = cx.input(&self.compartment)?.id;
        let client = cx.cx.cloud()?.observed(cx);
        let resumed = live.is_some();
        let places = Self::places(cx).await?;
        let id = match live {
            Some(live) => live.id,
            None => self.create(cx, &client, &places.0).await?,
        };
        let doing = "create the node pool";
        match join_work(cx, &client, &compartment, &id, doing, CREATION).await {
            Err(error) if error.class() != Class::Capacity => return Err(error),
            _ => {}
        }
        self.reshape(cx, &client, &id).await?;
        let pool = self.find_room(cx, &client, &id, places, resumed).await?;
        Ok(Self::live(&pool))
    }

    async fn destroy(&self, cx: &StepCx<Cx>, live: NodePoolLive) -> Result<(), StepError> {
        let client = cx.cx.cloud()?.tearing_down(cx);
        let compartment = cx.input(&self.compartment)?.id;
        // Draining is for pods that move elsewhere; here there is no elsewhere.
        let deleted = client
            .clusters()
            .delete_node_pool(&live.id, Drain::Skip)
            .await;
        let Some(accepted) = oci::found(deleted)? else {
            return Ok(());
        };
        work(
            cx,
            &client,
            &compartment,
            &accepted,
            "delete the node pool",
            DELETION,
        )
        .await
        .map(drop)
    }
}

fn shape_config(nodes: &profile::Nodes) -> NodeShapeConfig {
    NodeShapeConfig {
        ocpus: Some(f64::from(nodes.ocpus)),
        memory_in_gbs: Some(f64::from(nodes.memory_gb)),
    }
}

fn troubles(nodes: &[Node]) -> Vec<String> {
    let errors = nodes.iter().filter_map(|node| node.node_error.as_ref());
    errors
        .map(|error| format!("{}: {}", error.code, error.message))
        .collect()
}

/// A node that failed for another reason than lack of room.
fn broken(nodes: &[Node]) -> Option<StepError> {
    let mut errors = nodes
        .iter()
        .filter_map(|node| Some((node, node.node_error.as_ref()?)));
    let (node, error) = errors.find(|(_, error)| !error.is_capacity())?;
    let (class, hint) = match error.code.as_str() {
        "LimitExceeded" | "QuotaExceeded" => (
            Class::Quota,
            "lower `cloud.nodes`, or ask Oracle to raise the limit",
        ),
        _ => (
            Class::Transient,
            "run the same command again; if it persists, check that the node subnet reaches the internet",
        ),
    };
    let message = format!(
        "node {} failed: {}: {}",
        node.name, error.code, error.message
    );
    Some(
        StepError::new(class, message)
            .with_hint(hint)
            .with_request_id(error.request_id.clone()),
    )
}

fn no_room(
    nodes: &profile::Nodes,
    ready: usize,
    patience: &Deadline,
    strategy: &Strategy,
) -> StepError {
    StepError::new(
        Class::Capacity,
        format!(
            "the region has no {} capacity: {ready} of {} nodes after {} and {} rounds over {} places",
            nodes.shape,
            nodes.count,
            human(patience.waited()),
            strategy.round(),
            strategy.len(),
        ),
    )
    .with_hint(
        "run the same command again later, which goes on from here; or raise `cloud.nodes.wait_for_capacity`, \
         take fewer or smaller nodes, or upgrade the tenancy to pay-as-you-go, which is served first",
    )
}
