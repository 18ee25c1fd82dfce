//! Container Engine's clusters.

use serde_json::{Map, Value, json};

use super::call::{Answer, Call, Outcome};
use super::cidr::Cidr;
use super::error::ApiError;
use super::input::Input;
use super::ledger::{Doc, Kind, Ledger, REGION};
use super::network::address::{self, Holder};
use super::work::{self, Failure, Job};
use super::{identity, limits, listing, node_pool, options};

/// Where clusters' API servers listen, by cluster; written by
/// [`super::animate`].
pub(super) const ENDPOINTS: &str = "oci/endpoints";

const CREATE_LOGS: [&str; 4] = [
    "Cluster creation request accepted",
    "Provisioning the control plane",
    "Attaching the control plane to the API endpoint subnet",
    "Waiting for the Kubernetes API server",
];

/// `CreateCluster`.
pub(super) fn create(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let input = call.input();
    let name = input.need("name")?;
    let compartment = input.need("compartmentId")?;
    identity::compartment(books, compartment)?;
    let vcn = books.get_live(Kind::Vcn, input.need("vcnId")?)?;
    let version = input.need("kubernetesVersion")?;
    options::check_version(version)?;
    let kind = input.text("type")?.unwrap_or("BASIC_CLUSTER");
    if !matches!(kind, "BASIC_CLUSTER" | "ENHANCED_CLUSTER") {
        let why = format!("type must be BASIC_CLUSTER or ENHANCED_CLUSTER, not {kind}");
        return Err(ApiError::invalid(why));
    }
    check_options(books, &input, &vcn)?;
    let endpoint = endpoint_config(books, &input, &vcn)?;
    let count = books.live_where(Kind::Cluster, |_| true).len() as u64;
    limits::check(books, "cluster-count", count + 1)?;

    let mut body = Map::new();
    let fields = ["name", "compartmentId", "vcnId", "kubernetesVersion"];
    input.copy(&fields, &mut body);
    input.copy_tags(&mut body)?;
    body.insert("systemTags".into(), json!({}));
    body.insert("type".into(), kind.into());
    body.insert("endpointConfig".into(), endpoint.clone());
    body.insert("options".into(), completed_options(&input));
    let networks = match input.value("clusterPodNetworkOptions") {
        Some(networks) => networks.clone(),
        None => json!([{"cniType": "FLANNEL_OVERLAY"}]),
    };
    body.insert("clusterPodNetworkOptions".into(), networks);
    input.copy(&["kmsKeyId", "imagePolicyConfig"], &mut body);
    body.insert("lifecycleState".into(), "CREATING".into());
    body.insert("lifecycleDetails".into(), "".into());
    body.insert("availableKubernetesUpgrades".into(), json!([]));
    let mut cluster = books.create(Kind::Cluster, &format!("{compartment} {name}"), body);
    let id = cluster.id().to_owned();
    let groups = endpoint["nsgIds"].as_array().cloned().unwrap_or_default();
    let holder = Holder {
        id: &id,
        compartment,
        name: "OKE API endpoint",
        public: endpoint["isPublicIpEnabled"] == true,
        groups: &groups,
    };
    let subnet = endpoint["subnetId"].as_str().unwrap_or_default();
    let vnic = address::attach(books, subnet, holder)?;
    cluster.set_note("privateIp", vnic.str("privateIp"));
    let job = Job {
        operation: "CLUSTER_CREATE",
        kind: Kind::Cluster,
        also: Vec::new(),
        takes: (360_000, 660_000),
        logs: &CREATE_LOGS,
    };
    let request = work::open(books, &mut cluster, &job);
    let created = json!({
        "timeCreated": books.now(),
        "createdByUserId": books.account.user,
        "createdByWorkRequestId": request,
    });
    cluster.set("metadata", created);
    books.put(Kind::Cluster, &mut cluster);
    Ok(Answer::accepted(&request).made(Kind::Cluster, &id))
}

fn endpoint_config(
    books: &Ledger<'_, '_>,
    input: &Input<'_>,
    vcn: &Doc,
) -> Result<Value, ApiError> {
    let config = input.need_object("endpointConfig")?;
    let id = config.need("subnetId")?;
    let subnet = books
        .live(Kind::Subnet, id)
        .filter(|subnet| subnet.str("vcnId") == vcn.id())
        .ok_or_else(|| ApiError::not_found(id))?;
    let public = config.flag("isPublicIpEnabled")?.unwrap_or(false);
    if public && subnet.body.get("prohibitPublicIpOnVnic") == Some(&true.into()) {
        return Err(ApiError::invalid(format!(
            "endpointConfig: subnet {id} prohibits public addresses, and isPublicIpEnabled is true"
        )));
    }
    let groups = config.texts("nsgIds")?;
    for group in &groups {
        books.get_live(Kind::SecurityGroup, group)?;
    }
    Ok(json!({"subnetId": id, "isPublicIpEnabled": public, "nsgIds": groups}))
}

fn check_options(books: &Ledger<'_, '_>, input: &Input<'_>, vcn: &Doc) -> Result<(), ApiError> {
    for network in input.array("clusterPodNetworkOptions")?.unwrap_or_default() {
        let network = Input::within(network, "clusterPodNetworkOptions")?;
        let cni = network.need("cniType")?;
        if !matches!(cni, "FLANNEL_OVERLAY" | "OCI_VCN_IP_NATIVE") {
            let why = format!("clusterPodNetworkOptions.cniType: {cni} is unknown");
            return Err(ApiError::invalid(why));
        }
    }
    let Some(options) = input.object("options")? else {
        return Ok(());
    };
    for id in options.texts("serviceLbSubnetIds")? {
        books
            .live(Kind::Subnet, id)
            .filter(|subnet| subnet.str("vcnId") == vcn.id())
            .ok_or_else(|| ApiError::not_found(id))?;
    }
    let Some(network) = options.object("kubernetesNetworkConfig")? else {
        return Ok(());
    };
    for field in ["podsCidr", "servicesCidr"] {
        let Some(text) = network.text(field)? else {
            continue;
        };
        let block: Cidr = text
            .parse()
            .map_err(|why| ApiError::invalid(format!("{field}: {text} is {why}")))?;
        let overlaps = vcn
            .array("cidrBlocks")
            .iter()
            .filter_map(|outer| outer.as_str()?.parse::<Cidr>().ok())
            .any(|outer| outer.overlaps(block));
        if overlaps {
            let why = format!("{field}: {block} overlaps the VCN");
            return Err(ApiError::invalid(why));
        }
    }
    Ok(())
}

fn completed_options(input: &Input<'_>) -> Value {
    let mut options = input.value("options").cloned().unwrap_or_else(|| json!({}));
    if let Some(fields) = options.as_object_mut() {
        fields.entry("kubernetesNetworkConfig").or_insert_with(
            || json!({"podsCidr": "10.244.0.0/16", "servicesCidr": "10.96.0.0/16"}),
        );
        fields.entry("addOns").or_insert_with(
            || json!({"isKubernetesDashboardEnabled": false, "isTillerEnabled": false}),
        );
        fields
            .entry("admissionControllerOptions")
            .or_insert_with(|| json!({"isPodSecurityPolicyEnabled": false}));
    }
    options
}

/// `GetCluster`.
pub(super) fn get(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let cluster = books.get(Kind::Cluster, call.id())?;
    Ok(Answer::doc(books, &cluster))
}

/// `ListClusters`.
pub(super) fn list(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    listing::list(books, call, Kind::Cluster, &["name"])
}

/// A cluster that a request wants to change.
fn changeable(books: &Ledger<'_, '_>, call: &Call<'_>) -> Result<Doc, ApiError> {
    let cluster = books.get_live(Kind::Cluster, call.id())?;
    call.check_match(books, &cluster)?;
    work::refuse_busy(&cluster)?;
    Ok(cluster)
}

/// Fails while any node pool of the cluster is being changed.
fn refuse_busy_pools(pools: &[Doc]) -> Result<(), ApiError> {
    pools.iter().try_for_each(work::refuse_busy)
}

/// `UpdateCluster`.
pub(super) fn update(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut cluster = changeable(books, call)?;
    refuse_inactive(&cluster)?;
    let input = call.input();
    if let Some(version) = input.text("kubernetesVersion")? {
        options::check_version(version)?;
        if options::number(version) < options::number(cluster.str("kubernetesVersion")) {
            return Err(ApiError::invalid(
                "kubernetesVersion: a cluster cannot be downgraded",
            ));
        }
    }
    if input.text("type")? == Some("BASIC_CLUSTER") && cluster.str("type") == "ENHANCED_CLUSTER" {
        return Err(ApiError::invalid(
            "type: an enhanced cluster cannot become a basic one",
        ));
    }
    input.copy(&["name", "kubernetesVersion", "type"], &mut cluster.body);
    if let (Some(new), Some(Value::Object(held))) =
        (input.object("options")?, cluster.body.get_mut("options"))
    {
        let fields = [
            "serviceLbConfig",
            "persistentVolumeConfig",
            "admissionControllerOptions",
        ];
        new.copy(&fields, held);
    }
    input.copy_tags(&mut cluster.body)?;
    cluster.set("lifecycleState", "UPDATING");
    let job = Job {
        operation: "CLUSTER_UPDATE",
        kind: Kind::Cluster,
        also: Vec::new(),
        takes: (60_000, 150_000),
        logs: &[
            "Cluster update request accepted",
            "Updating the control plane",
        ],
    };
    let request = work::open(books, &mut cluster, &job);
    Ok(Answer::accepted(&request))
}

/// `UpdateClusterEndpointConfig`.
pub(super) fn update_endpoint(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut cluster = changeable(books, call)?;
    refuse_inactive(&cluster)?;
    let input = call.input();
    if let Some(Value::Object(config)) = cluster.body.get_mut("endpointConfig") {
        input.copy(&["nsgIds", "isPublicIpEnabled"], config);
    }
    cluster.set("lifecycleState", "UPDATING");
    let job = Job {
        operation: "CLUSTER_UPDATE",
        kind: Kind::Cluster,
        also: Vec::new(),
        takes: (60_000, 150_000),
        logs: &["Updating the API endpoint"],
    };
    let request = work::open(books, &mut cluster, &job);
    Ok(Answer::accepted(&request))
}

/// `DeleteCluster`, with its node pools, but not with its load balancers and
/// volumes.
pub(super) fn delete(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let mut cluster = changeable(books, call)?;
    let pools = node_pool::of_cluster(books, cluster.id());
    refuse_busy_pools(&pools)?;
    let mut also = Vec::new();
    for mut pool in pools {
        also.push(pool.id().to_owned());
        pool.set("lifecycleState", "DELETING");
        books.put(Kind::NodePool, &mut pool);
    }
    cluster.set("lifecycleState", "DELETING");
    let job = Job {
        operation: "CLUSTER_DELETE",
        kind: Kind::Cluster,
        also,
        takes: (220_000, 330_000),
        logs: &[
            "Cluster deletion request accepted",
            "Deleting node pools",
            "Deleting the control plane",
        ],
    };
    let request = work::open(books, &mut cluster, &job);
    Ok(Answer::accepted(&request))
}

fn refuse_inactive(cluster: &Doc) -> Result<(), ApiError> {
    if cluster.state() == "ACTIVE" {
        return Ok(());
    }
    let why = format!(
        "Cluster {} is {}, not ACTIVE",
        cluster.id(),
        cluster.state()
    );
    Err(ApiError::incorrect_state(why))
}

/// Whether the cluster's API server listens.
pub(super) fn is_served(books: &Ledger<'_, '_>, id: &str) -> bool {
    books.tx.get(ENDPOINTS, id).is_some()
}

/// A cluster's work request ended.
pub(super) fn finished(
    books: &mut Ledger<'_, '_>,
    mut cluster: Doc,
    operation: &str,
    error: Option<Failure>,
) {
    if let Some(error) = error {
        // A failed deletion can be tried again, as a failed creation must be
        // deleted.
        cluster.set("lifecycleState", "FAILED");
        cluster.set("lifecycleDetails", error.message);
        books.put(Kind::Cluster, &mut cluster);
        return;
    }
    if operation == "CLUSTER_DELETE" {
        for pool in node_pool::of_cluster(books, cluster.id()) {
            node_pool::remove(books, pool);
        }
        address::release(books, cluster.id());
        let mut metadata = cluster.body["metadata"].clone();
        metadata["timeDeleted"] = books.now().into();
        cluster.set("metadata", metadata);
        books.bury(Kind::Cluster, &mut cluster);
        return;
    }
    let endpoint = books.tx.get(ENDPOINTS, cluster.id());
    let address = endpoint.and_then(|row| Some(row.value["address"].as_str()?.to_owned()));
    let private = format!("{}:6443", cluster.note("privateIp"));
    let public = cluster.body["endpointConfig"]["isPublicIpEnabled"] == true;
    let endpoints = json!({
        "kubernetes": address,
        "publicEndpoint": address.filter(|_| public),
        "privateEndpoint": private,
        "vcnHostnameEndpoint": null,
        "ipv6Endpoint": null,
    });
    cluster.set("endpoints", endpoints);
    cluster.set("lifecycleState", "ACTIVE");
    let upgrades = options::upgrades(cluster.str("kubernetesVersion"));
    cluster.set("availableKubernetesUpgrades", upgrades);
    books.put(Kind::Cluster, &mut cluster);
}

/// `CreateKubeconfig`: YAML with an empty `kind`, as the real service sends.
pub(super) fn kubeconfig(books: &mut Ledger<'_, '_>, call: &Call<'_>) -> Outcome {
    let cluster = books.get_live(Kind::Cluster, call.id())?;
    if !matches!(cluster.state(), "ACTIVE" | "UPDATING") {
        refuse_inactive(&cluster)?;
    }
    let input = call.input();
    let version = input.text("tokenVersion")?.unwrap_or("2.0.0");
    if version != "2.0.0" {
        let why = format!("tokenVersion {version} is not supported, use 2.0.0");
        return Err(ApiError::invalid(why));
    }
    let endpoint = input.text("endpoint")?.unwrap_or("LEGACY_KUBERNETES");
    let field = match endpoint {
        "LEGACY_KUBERNETES" => "kubernetes",
        "PUBLIC_ENDPOINT" => "publicEndpoint",
        "PRIVATE_ENDPOINT" => "privateEndpoint",
        "VCN_HOSTNAME" => "vcnHostnameEndpoint",
        other => return Err(ApiError::invalid(format!("endpoint {other} is unknown"))),
    };
    let server = cluster.body["endpoints"][field]
        .as_str()
        .ok_or_else(|| ApiError::invalid(format!("The cluster has no {endpoint}")))?;
    let row = books.tx.get(ENDPOINTS, cluster.id());
    let ca = row
        .and_then(|row| Some(row.value["ca"].as_str()?.to_owned()))
        .unwrap_or_default();
    Ok(Answer::text(
        "application/x-yaml",
        kubeconfig_text(cluster.id(), server, &ca),
    ))
}

fn kubeconfig_text(id: &str, server: &str, ca_base64: &str) -> String {
    let name = suffix(id);
    format!(
        r#"---
apiVersion: v1
kind: ""
clusters:
- name: cluster-{name}
  cluster:
    server: https://{server}
    certificate-authority-data: {ca_base64}
users:
- name: user-{name}
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      command: oci
      args:
      - ce
      - cluster
      - generate-token
      - --cluster-id
      - {id}
      - --region
      - {REGION}
      env: []
contexts:
- name: context-{name}
  context:
    cluster: cluster-{name}
    user: user-{name}
current-context: context-{name}
"#
    )
}

/// The last eleven characters of an OCID, by which people know it.
pub(super) fn suffix(id: &str) -> &str {
    id.len()
        .checked_sub(11)
        .and_then(|at| id.get(at..))
        .unwrap_or(id)
}
