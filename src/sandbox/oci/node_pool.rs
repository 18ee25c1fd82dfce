//! Container Engine's node pools and their nodes.

use serde_json::{Map, Value, json};

use super::call::{Answer, Call, Outcome};
use super::error::ApiError;
use super::events::Event;
use super::input::Input;
use super::ledger::{Doc, Kind, Ledger};
use super::options::{self, Shape};
use super::work::{self, Failure, Job};
use super::{cluster, compute, fence, identity, listing};

const CAPACITY_MS: u64 = 70_000;
const REGISTER_MS: u64 = 1_500_000;
const CREATE_LOGS: [&str; 3] = [
    "Node pool creation request accepted",
    "Launching instances",
    "Waiting for nodes to register",
];

/// The existing node pools of a cluster.
pub(super) fn of_cluster(books: &Ledger<'_, '_>, cluster: &str) -> Vec<Doc> {
    books.live_where(Kind::NodePool, |pool| pool.str("clusterId") == cluster)
}

/// `GetNodePool`.
pub(super) fn get(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let pool = books.get(Kind::NodePool, call.id())?;
    Ok(Answer::doc(books, &pool))
}

/// `ListNodePools`: summaries, without the nodes.
pub(super) fn list(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let pools = listing::select(books, call, Kind::NodePool, &["clusterId", "name"])?;
    let rows = pools
        .into_iter()
        .map(|mut pool| {
            pool.body.remove("nodes");
            pool.body.into()
        })
        .collect();
    listing::page(books, call, rows)
}

/// `CreateNodePool`.
pub(super) fn create(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let input = call.input();
    let compartment = input.need("compartmentId")?;
    identity::compartment(books, compartment)?;
    let cluster_id = input.need("clusterId")?;
    let name = input.need("name")?;
    let shape = shape(&input)?;
    let cluster = books.get_live(Kind::Cluster, cluster_id)?;
    if cluster.state() != "ACTIVE" {
        let why = format!("Cluster {cluster_id} is {}, not ACTIVE", cluster.state());
        return Err(ApiError::incorrect_state(why));
    }
    let version = input
        .text("kubernetesVersion")?
        .unwrap_or(cluster.str("kubernetesVersion"));
    check_version(version, &cluster)?;
    let source = input
        .object("nodeSourceDetails")?
        .ok_or_else(|| ApiError::missing("nodeSourceDetails"))?;
    let image = source_image(books, &source, shape)?;
    let config = input.need_object("nodeConfigDetails")?;
    check_config(books, &config, &cluster)?;

    let mut body = Map::new();
    let fields = ["compartmentId", "clusterId", "name", "nodeShape"];
    input.copy(&fields, &mut body);
    input.copy_tags(&mut body)?;
    body.insert("systemTags".into(), json!({}));
    body.insert("kubernetesVersion".into(), version.into());
    body.insert("nodeImageId".into(), image.id.clone().into());
    body.insert("nodeImageName".into(), image.name.clone().into());
    body.insert("nodeSource".into(), node_source(&image));
    body.insert("quantityPerSubnet".into(), 0.into());
    body.insert("subnetIds".into(), json!([]));
    body.insert("nodes".into(), json!([]));
    body.insert("lifecycleState".into(), "CREATING".into());
    body.insert("lifecycleDetails".into(), "".into());
    input.copy(&SETTINGS, &mut body);
    let mut pool = books.create(Kind::NodePool, &format!("{cluster_id} {name}"), body);
    let id = pool.id().to_owned();
    let job = Job {
        operation: "NODEPOOL_CREATE",
        kind: Kind::NodePool,
        also: Vec::new(),
        takes: (0, 0),
        logs: &CREATE_LOGS,
    };
    let request = work::open(books, &mut pool, &job);
    Ok(Answer::accepted(&request).made(Kind::NodePool, &id))
}

/// What a request may set as it is.
const SETTINGS: [&str; 8] = [
    "nodeShapeConfig",
    "nodeSourceDetails",
    "nodeConfigDetails",
    "nodeMetadata",
    "initialNodeLabels",
    "sshPublicKey",
    "nodeEvictionNodePoolSettings",
    "nodePoolCyclingDetails",
];

fn node_source(image: &options::Image) -> Value {
    json!({"sourceType": "IMAGE", "sourceName": image.name, "imageId": image.id})
}

fn shape(input: &Input<'_>) -> Result<Shape, ApiError> {
    let name = input.need("nodeShape")?;
    let shape = options::shape(name)
        .ok_or_else(|| ApiError::invalid(format!("nodeShape {name} is not available")))?;
    check_shape_config(input, shape)?;
    Ok(shape)
}

fn check_shape_config(input: &Input<'_>, shape: Shape) -> Result<(), ApiError> {
    let flexible = shape.ocpus.0 != shape.ocpus.1;
    let Some(config) = input.object("nodeShapeConfig")? else {
        let missing = || ApiError::missing("nodeShapeConfig");
        return (!flexible).then_some(()).ok_or_else(missing);
    };
    let within = |value: f64, (least, most): (u32, u32)| {
        (f64::from(least)..=f64::from(most)).contains(&value)
    };
    let ocpus = config
        .number("ocpus")?
        .ok_or_else(|| ApiError::missing("nodeShapeConfig.ocpus"))?;
    if !within(ocpus, shape.ocpus) {
        let why = format!(
            "nodeShapeConfig.ocpus: {ocpus} is not available for {}",
            shape.name
        );
        return Err(ApiError::invalid(why));
    }
    if let Some(memory) = config.number("memoryInGBs")? {
        let fits = within(memory, shape.memory) && (ocpus..=ocpus * 64.0).contains(&memory);
        if !fits {
            let why = format!(
                "nodeShapeConfig.memoryInGBs: {memory} is not available for {ocpus} OCPUs of {}",
                shape.name
            );
            return Err(ApiError::invalid(why));
        }
    }
    Ok(())
}

/// Nodes may lag the control plane by up to three minors, and never lead.
fn check_version(version: &str, cluster: &Doc) -> Result<(), ApiError> {
    options::check_version(version)?;
    let node = options::number(version);
    let control = options::number(cluster.str("kubernetesVersion"));
    let minor = |numbers: &[u32]| numbers.get(1).copied().unwrap_or(0);
    if node > control || minor(&control) - minor(&node) > 3 {
        return Err(ApiError::invalid(format!(
            "kubernetesVersion: nodes of {version} do not work with a cluster of {}",
            cluster.str("kubernetesVersion")
        )));
    }
    Ok(())
}

fn source_image(
    books: &Ledger<'_, '_>,
    source: &Input<'_>,
    shape: Shape,
) -> Result<options::Image, ApiError> {
    let kind = source.need("sourceType")?;
    if kind != "IMAGE" {
        let why = format!("nodeSourceDetails.sourceType must be IMAGE, not {kind}");
        return Err(ApiError::invalid(why));
    }
    let id = source.need("imageId")?;
    let image = options::images(books)
        .into_iter()
        .find(|image| image.id == id)
        .ok_or_else(|| ApiError::not_found(id))?;
    if image.arch != shape.arch {
        return Err(ApiError::invalid(format!(
            "nodeSourceDetails: image {} is not compatible with shape {}",
            image.name, shape.name
        )));
    }
    if let Some(size) = source.whole("bootVolumeSizeInGBs")? {
        let fits = (50..=32_768).contains(&size);
        if !fits {
            let why =
                format!("nodeSourceDetails.bootVolumeSizeInGBs: {size} is not within 50 to 32768");
            return Err(ApiError::invalid(why));
        }
    }
    Ok(image)
}

fn check_config(books: &Ledger<'_, '_>, config: &Input<'_>, cluster: &Doc) -> Result<(), ApiError> {
    let size = config
        .whole("size")?
        .ok_or_else(|| ApiError::missing("nodeConfigDetails.size"))?;
    if size > 1000 {
        let why = format!("nodeConfigDetails.size: {size} is more than 1000");
        return Err(ApiError::invalid(why));
    }
    let placements = config.need_array("placementConfigs")?;
    if placements.is_empty() {
        return Err(ApiError::missing("nodeConfigDetails.placementConfigs"));
    }
    for placement in placements {
        let placement = Input::within(placement, "placementConfigs")?;
        identity::check_domain(books, placement.need("availabilityDomain")?)?;
        let id = placement.need("subnetId")?;
        books
            .live(Kind::Subnet, id)
            .filter(|subnet| subnet.str("vcnId") == cluster.str("vcnId"))
            .ok_or_else(|| ApiError::not_found(id))?;
        let known = identity::fault_domain_names();
        for domain in placement.texts("faultDomains")? {
            if !known.iter().any(|name| name == domain) {
                let why = format!("placementConfigs.faultDomains: {domain} does not exist");
                return Err(ApiError::invalid(why));
            }
        }
    }
    Ok(())
}

fn changeable(books: &Ledger<'_, '_>, call: &Call<'_>) -> Result<Doc, ApiError> {
    let pool = books.get_live(Kind::NodePool, call.id())?;
    call.check_match(books, &pool)?;
    work::refuse_busy(&pool)?;
    let cluster = books.get_live(Kind::Cluster, pool.str("clusterId"))?;
    if cluster.state() == "DELETING" {
        let why = format!("Cluster {} is being deleted", cluster.id());
        return Err(ApiError::incorrect_state(why));
    }
    Ok(pool)
}

/// `UpdateNodePool`.
pub(super) fn update(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut pool = changeable(books, call)?;
    let cluster = books.get_live(Kind::Cluster, pool.str("clusterId"))?;
    let input = call.input();
    if let Some(version) = input.text("kubernetesVersion")? {
        check_version(version, &cluster)?;
    }
    let shape_name = input.text("nodeShape")?.unwrap_or(pool.str("nodeShape"));
    let shape = options::shape(shape_name)
        .ok_or_else(|| ApiError::invalid(format!("nodeShape {shape_name} is not available")))?;
    if input.value("nodeShapeConfig").is_some() {
        check_shape_config(&input, shape)?;
    }
    if let Some(source) = input.object("nodeSourceDetails")? {
        let image = source_image(books, &source, shape)?;
        pool.set("nodeSource", node_source(&image));
        pool.set("nodeImageId", image.id);
        pool.set("nodeImageName", image.name);
    }
    if let Some(config) = input.value("nodeConfigDetails") {
        let mut whole = pool.body["nodeConfigDetails"].clone();
        merge(&mut whole, config);
        let checked = Input::within(&whole, "nodeConfigDetails")?;
        check_config(books, &checked, &cluster)?;
        pool.set("nodeConfigDetails", whole);
    }
    input.copy(&["name", "kubernetesVersion", "nodeShape"], &mut pool.body);
    let others = SETTINGS
        .into_iter()
        .filter(|field| *field != "nodeConfigDetails")
        .collect::<Vec<_>>();
    input.copy(&others, &mut pool.body);
    input.copy_tags(&mut pool.body)?;
    pool.set("lifecycleState", "UPDATING");
    let job = Job {
        operation: "NODEPOOL_UPDATE",
        kind: Kind::NodePool,
        also: Vec::new(),
        takes: (0, 0),
        logs: &["Node pool update request accepted", "Reconciling nodes"],
    };
    let request = work::open(books, &mut pool, &job);
    Ok(Answer::accepted(&request))
}

fn merge(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        let given = from.iter().filter(|(_, value)| !value.is_null());
        into.extend(given.map(|(key, value)| (key.clone(), value.clone())));
    }
}

/// How long draining takes: what the request allows, or the pool's setting.
fn drain_ms(call: &Call<'_>, pool: &Doc) -> u64 {
    let settings = pool.body.get("nodeEvictionNodePoolSettings");
    let setting = settings.and_then(|all| all["evictionGraceDuration"].as_str());
    let grace = call
        .request
        .param("overrideEvictionGraceDuration")
        .or(setting)
        .unwrap_or("PT60M");
    let span = grace.parse::<jiff::Span>().ok();
    let seconds = span.and_then(|span| span.total(jiff::Unit::Second).ok());
    // Pods leave in time if they are let; the longest grace is not used up.
    let seconds = seconds.unwrap_or(3600.0).clamp(0.0, 3600.0);
    super::millis(std::time::Duration::from_secs_f64(seconds / 8.0))
}

/// `DeleteNodePool`.
pub(super) fn delete(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut pool = changeable(books, call)?;
    let drain = drain_ms(call, &pool);
    pool.set("lifecycleState", "DELETING");
    for node in nodes_mut(&mut pool) {
        node["lifecycleState"] = "DELETING".into();
    }
    let job = Job {
        operation: "NODEPOOL_DELETE",
        kind: Kind::NodePool,
        also: Vec::new(),
        takes: (drain + 60_000, drain + 120_000),
        logs: &[
            "Node pool deletion request accepted",
            "Draining nodes",
            "Terminating instances",
        ],
    };
    let request = work::open(books, &mut pool, &job);
    Ok(Answer::accepted(&request))
}

/// `DeleteNode`.
pub(super) fn delete_node(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut pool = changeable(books, call)?;
    let node = call.segment(4).to_owned();
    let known = pool.array("nodes").iter().any(|row| row["id"] == *node);
    if !known {
        return Err(ApiError::not_found(&node));
    }
    if call.request.param("isDecrementSize") != Some("false") {
        let size = pool.body["nodeConfigDetails"]["size"].as_u64().unwrap_or(1);
        let mut config = pool.body["nodeConfigDetails"].clone();
        config["size"] = size.saturating_sub(1).into();
        pool.set("nodeConfigDetails", config);
    }
    discard(books, &mut pool, &node);
    pool.set("lifecycleState", "UPDATING");
    let job = Job {
        operation: "NODEPOOL_UPDATE",
        kind: Kind::NodePool,
        also: Vec::new(),
        takes: (0, 0),
        logs: &["Node deletion request accepted", "Terminating the instance"],
    };
    let request = work::open(books, &mut pool, &job);
    Ok(Answer::accepted(&request))
}

/// Launches and terminates instances until the pool has its size; tells how
/// long that takes, and why it fails.
pub(super) fn reconcile(books: &mut Ledger<'_, '_>, id: &str) -> (u64, Option<Failure>) {
    let Some(mut pool) = books.live(Kind::NodePool, id) else {
        return (0, None);
    };
    let wanted = pool.body["nodeConfigDetails"]["size"].as_u64().unwrap_or(0);
    let failed: Vec<_> = node_ids(&pool, |node| !node["nodeError"].is_null());
    for node in failed {
        discard(books, &mut pool, &node);
    }
    while pool.array("nodes").len() as u64 > wanted {
        let last = pool
            .array("nodes")
            .last()
            .and_then(|node| node["id"].as_str());
        let Some(last) = last.map(str::to_owned) else {
            break;
        };
        discard(books, &mut pool, &last);
    }
    let mut takes = books.draw_ms(&format!("reconcile {id}"), 20_000, 40_000);
    let mut failure = None;
    while (pool.array("nodes").len() as u64) < wanted {
        let slot = free_slot(&pool);
        let (ready, error) = launch(books, &mut pool, slot);
        takes = takes.max(ready);
        failure = failure.or(error);
    }
    books.put(Kind::NodePool, &mut pool);
    (takes, failure)
}

fn free_slot(pool: &Doc) -> usize {
    let taken = |slot: usize| {
        let ending = format!("-{slot}");
        let nodes = pool.array("nodes").iter();
        let mut names = nodes.filter_map(|node| node["name"].as_str());
        names.any(|name| name.ends_with(&ending))
    };
    (0..=pool.array("nodes").len())
        .find(|slot| !taken(*slot))
        .unwrap_or(0)
}

/// Launches one node; tells when it will be ready (or given up), and why it
/// fails.
fn launch(books: &mut Ledger<'_, '_>, pool: &mut Doc, slot: usize) -> (u64, Option<Failure>) {
    let placements = pool.body["nodeConfigDetails"]["placementConfigs"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let placement = placements
        .get(slot % placements.len().max(1))
        .cloned()
        .unwrap_or_default();
    let subnet = placement["subnetId"].as_str().unwrap_or_default();
    let name = format!(
        "oke-{}-{}-{}-{slot}",
        cluster::suffix(pool.str("clusterId")),
        cluster::suffix(pool.id()),
        cluster::suffix(subnet),
    );
    let launched = compute::launch(books, pool, &placement, &name);
    let (mut node, error, ready) = match launched {
        Ok(instance) => {
            let reason = fence::why_not_joining(books, pool, subnet);
            let timeout = books.fault("register-timeout", pool.str("name"), |_| true);
            let ready = books.draw_ms(&format!("joins {}", instance.id()), 130_000, 330_000);
            let node = node_row(pool, &instance, &placement);
            if reason.is_some() || timeout.is_some() {
                let failure = Failure {
                    code: "RegisterTimeOut".to_owned(),
                    message: format!("1 node(s) register timeout ({name})"),
                };
                (node, Some(failure), REGISTER_MS)
            } else {
                let event = Event::Join {
                    pool: pool.id().to_owned(),
                    node: instance.id().to_owned(),
                };
                books.after(ready, &event);
                (node, None, ready + 10_000)
            }
        }
        Err(error) => {
            let failure = Failure {
                code: error.code.to_owned(),
                message: format!(
                    "({}, {}, false) {}",
                    error.status.as_u16(),
                    error.code,
                    error.message
                ),
            };
            let row = json!({
                "id": books.new_id(Kind::Instance, &name),
                "name": name,
                "nodePoolId": pool.id(),
                "availabilityDomain": placement["availabilityDomain"],
                "subnetId": subnet,
                "kubernetesVersion": pool.str("kubernetesVersion"),
                "lifecycleState": "FAILING",
                "lifecycleDetails": error.message,
                "nodeError": node_error(books, &failure, &name, error.status.as_u16()),
            });
            (row, Some(failure), CAPACITY_MS)
        }
    };
    if node["lifecycleState"].is_null() {
        node["lifecycleState"] = "CREATING".into();
    }
    let mut nodes = pool.array("nodes").to_vec();
    nodes.push(node);
    pool.set("nodes", nodes);
    (ready, error)
}

fn node_error(books: &Ledger<'_, '_>, failure: &Failure, name: &str, status: u16) -> Value {
    json!({
        "code": failure.code,
        "message": failure.message,
        "status": status.to_string(),
        "opc-request-id": format!("{:032X}", books.world.draw(&format!("node error {name}"))),
    })
}

fn node_row(pool: &Doc, instance: &Doc, placement: &Value) -> Value {
    json!({
        "id": instance.id(),
        "name": instance.str("displayName"),
        "nodePoolId": pool.id(),
        "kubernetesVersion": pool.str("kubernetesVersion"),
        "availabilityDomain": instance.str("availabilityDomain"),
        "faultDomain": instance.str("faultDomain"),
        "subnetId": placement["subnetId"],
        "privateIp": instance.note("privateIp"),
        "publicIp": instance.hidden.get("publicIp"),
        "nodeError": null,
        "lifecycleState": "CREATING",
        "lifecycleDetails": "",
        "freeformTags": instance.body.get("freeformTags"),
        "definedTags": {},
    })
}

/// A node has registered with its cluster.
pub(super) fn join(books: &mut Ledger<'_, '_>, pool: &str, node: &str) {
    let Some(mut pool) = books.live(Kind::NodePool, pool) else {
        return;
    };
    for row in nodes_mut(&mut pool) {
        if row["id"] == node && row["lifecycleState"] == "CREATING" {
            row["lifecycleState"] = "ACTIVE".into();
        }
    }
    books.put(Kind::NodePool, &mut pool);
}

/// Takes a node out of the pool and terminates its instance.
fn discard(books: &mut Ledger<'_, '_>, pool: &mut Doc, node: &str) {
    compute::terminate(books, node);
    let mut nodes = pool.array("nodes").to_vec();
    nodes.retain(|row| row["id"] != node);
    pool.set("nodes", nodes);
}

/// Terminates all nodes and deletes the pool.
pub(super) fn remove(books: &mut Ledger<'_, '_>, mut pool: Doc) {
    for node in node_ids(&pool, |_| true) {
        discard(books, &mut pool, &node);
    }
    books.bury(Kind::NodePool, &mut pool);
}

fn node_ids(pool: &Doc, wanted: impl Fn(&Value) -> bool) -> Vec<String> {
    let nodes = pool.array("nodes").iter().filter(|node| wanted(node));
    nodes
        .filter_map(|node| Some(node["id"].as_str()?.to_owned()))
        .collect()
}

fn nodes_mut(pool: &mut Doc) -> impl Iterator<Item = &mut Value> {
    let nodes = pool.body.get_mut("nodes").and_then(Value::as_array_mut);
    nodes.into_iter().flatten()
}

/// A node pool's work request ended.
pub(super) fn finished(
    books: &mut Ledger<'_, '_>,
    mut pool: Doc,
    operation: &str,
    error: Option<Failure>,
) {
    match error {
        None if operation == "NODEPOOL_DELETE" => {
            remove(books, pool);
            return;
        }
        None => {
            pool.set("lifecycleState", "ACTIVE");
            pool.set("lifecycleDetails", "");
        }
        Some(failure) => {
            let details = failure.message.clone();
            let mut rows = pool.array("nodes").to_vec();
            for row in &mut rows {
                if row["lifecycleState"] == "CREATING" {
                    let name = row["name"].as_str().unwrap_or_default().to_owned();
                    row["nodeError"] = node_error(books, &failure, &name, 504);
                    row["lifecycleState"] = "FAILING".into();
                }
            }
            pool.set("nodes", rows);
            // The pool survives: an update tries its failed nodes again.
            pool.set("lifecycleState", "NEEDS_ATTENTION");
            pool.set("lifecycleDetails", details);
        }
    }
    books.put(Kind::NodePool, &mut pool);
}
