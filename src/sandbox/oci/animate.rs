//! What connects the two emulators: a cluster gets its Kubernetes API server,
//! and a node that has registered appears in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::cluster::ENDPOINTS;
use super::ledger::{Doc, Kind};
use super::{Oci, auth, options};
use crate::sandbox::kube::{Authenticator, Clusters, NodeSpec, User};
use crate::sandbox::world::World;

/// The nodes that were handed to the Kubernetes emulator, by instance.
const JOINED: &str = "oci/joined";
/// Pods per node with the overlay network.
const PODS: u32 = 110;

/// Checks cluster tokens for the Kubernetes emulator.
#[derive(Debug)]
pub struct Tokens {
    world: Arc<World>,
}

impl Tokens {
    /// Checks tokens against a world's keys.
    pub fn new(world: Arc<World>) -> Self {
        Self { world }
    }
}

impl Authenticator for Tokens {
    fn authenticate(&self, cluster_ocid: &str, bearer: &str) -> Result<User, String> {
        let now = self.world.clock.now();
        let key_id = auth::verify_token(&self.world.store, cluster_ocid, bearer, now)
            .map_err(|why| why.to_string())?;
        let user = key_id.split('/').nth(1).unwrap_or(&key_id);
        // Administrators of the tenancy administer its clusters.
        let groups = ["system:masters", "system:authenticated"];
        Ok(User::new(user, &groups))
    }
}

/// Keeps the Kubernetes emulator in step with the clusters and nodes of this
/// one, until the world's clock is cancelled.
pub async fn run(world: Arc<World>, oci: Arc<Oci>, clusters: Arc<Clusters>) {
    let mut changes = world.store.subscribe();
    loop {
        // A failure here is tried again with the next change or in a while.
        let _ = step(&world, &clusters).await;
        oci.control();
        let mut seen = *changes.borrow_and_update();
        loop {
            // In the world's time, but no more often than a real second: an
            // idle world should cost nothing.
            let pause =
                Duration::from_secs(5).max(Duration::from_secs(1).mul_f64(world.clock.rate()));
            tokio::select! {
                news = changes.changed() => if news.is_err() { return },
                slept = world.clock.sleep(pause) => if slept.is_err() { return } else { break },
            }
            let now = *changes.borrow_and_update();
            if concerns(&world, seen) {
                break;
            }
            seen = now;
        }
    }
}

fn concerns(world: &World, since: u64) -> bool {
    let tables = [Kind::Cluster, Kind::NodePool, Kind::LoadBalancer].map(Kind::table);
    world.store.changes_since(since).map_or(true, |changes| {
        changes
            .iter()
            .any(|c| tables.contains(&&*c.table) || c.table.ends_with("/core/services"))
    })
}

/// One look at the clusters and nodes.
pub async fn step(world: &World, clusters: &Arc<Clusters>) -> io::Result<()> {
    let live: BTreeMap<String, String> = live(world, Kind::Cluster)
        .iter()
        .map(|doc| (doc.id().to_owned(), doc.str("kubernetesVersion").to_owned()))
        .collect();
    for (id, version) in &live {
        let endpoint = clusters.ensure(id).await?;
        clusters.set_version(id, version);
        let address = endpoint.address.to_string();
        let row = json!({
            "address": address,
            "ca": STANDARD.encode(&endpoint.ca_pem),
        });
        let held = world.store.get(ENDPOINTS, id);
        if held.as_ref().is_none_or(|held| *held.value != row) {
            world.store.put(ENDPOINTS, id, row);
            if let Some(held) = held {
                move_endpoint(world, id, &held.value["address"], &address);
            }
        }
    }
    nodes(world, clusters);
    for (id, _) in world.store.list(ENDPOINTS, "").0 {
        if !live.contains_key(&*id) {
            clusters.remove(&id);
            world.store.delete(ENDPOINTS, &id);
        }
    }
    Ok(())
}

/// The port of a cluster was taken while the sandbox was not running.
fn move_endpoint(world: &World, cluster: &str, from: &Value, to: &str) {
    let table = Kind::Cluster.table();
    let Some(row) = world.store.get(table, cluster) else {
        return;
    };
    let mut value = (*row.value).clone();
    for name in ["kubernetes", "publicEndpoint"] {
        if let Some(endpoint) = value.pointer_mut(&format!("/body/endpoints/{name}"))
            && endpoint == from
        {
            *endpoint = json!(to);
        }
    }
    world.store.put(table, cluster, value);
}

fn live(world: &World, kind: Kind) -> Vec<Doc> {
    let rows = world.store.list(kind.table(), "").0;
    rows.iter()
        .filter_map(|(_, row)| Doc::deserialize(&*row.value).ok())
        .filter(Doc::is_live)
        .collect()
}

fn nodes(world: &World, clusters: &Arc<Clusters>) {
    let pools = live(world, Kind::NodePool);
    let mut present = BTreeSet::new();
    for pool in &pools {
        let active =
            |node: &&Value| matches!(node["lifecycleState"].as_str(), Some("ACTIVE" | "DELETING"));
        for node in pool.array("nodes").iter().filter(active) {
            let id = node["id"].as_str().unwrap_or_default();
            present.insert(id.to_owned());
            if world.store.get(JOINED, id).is_none() {
                let spec = spec(pool, node);
                let row = json!({"cluster": pool.str("clusterId"), "name": spec.name});
                clusters.register_node(pool.str("clusterId"), spec);
                world.store.put(JOINED, id, row);
            }
        }
    }
    for (id, row) in world.store.list(JOINED, "").0 {
        if !present.contains(&*id) {
            let text = |field: &str| row.value[field].as_str().unwrap_or_default();
            clusters.remove_node(text("cluster"), text("name"));
            world.store.delete(JOINED, &id);
        }
    }
}

fn spec(pool: &Doc, node: &Value) -> NodeSpec {
    let text = |field: &str| node[field].as_str().unwrap_or_default().to_owned();
    let shape = options::shape(pool.str("nodeShape"));
    let config = pool
        .body
        .get("nodeShapeConfig")
        .cloned()
        .unwrap_or_default();
    let ocpus = config["ocpus"].as_f64().unwrap_or(1.0);
    let memory = config["memoryInGBs"].as_f64().unwrap_or(ocpus * 6.0);
    let arch = shape.map_or("amd64", |shape| shape.arch.kubernetes());
    // An x86 OCPU is two hardware threads, an Arm OCPU is one core.
    let threads = if arch == "arm64" { 1.0 } else { 2.0 };
    let labels: BTreeMap<String, String> = pool
        .array("initialNodeLabels")
        .iter()
        .filter_map(|label| {
            let value = label["value"].as_str().unwrap_or_default();
            Some((label["key"].as_str()?.to_owned(), value.to_owned()))
        })
        .collect();
    NodeSpec {
        name: text("privateIp"),
        provider_id: text("id"),
        internal_ip: text("privateIp"),
        cpus: whole(ocpus * threads),
        memory_gb: whole(memory),
        arch: arch.to_owned(),
        kubelet_version: text("kubernetesVersion"),
        zone: zone_label(&text("availabilityDomain")),
        fault_domain: text("faultDomain"),
        labels,
        pods: PODS,
    }
}

/// An availability domain as nodes are labelled with it: without the prefix of
/// the tenancy, whose colon no label may hold.
fn zone_label(domain: &str) -> String {
    let name = domain.split_once(':').map_or(domain, |(_, name)| name);
    name.to_owned()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range of the target type"
)]
fn whole(number: f64) -> u32 {
    number.round().clamp(1.0, 4096.0) as u32
}
