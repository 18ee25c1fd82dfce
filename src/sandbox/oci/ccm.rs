//! The cluster's cloud controller: for every Service of type `LoadBalancer` it
//! makes a load balancer, opens the security lists for it, and writes its
//! address into the Service; with the Service it takes all of that away.
//!
//! It follows oci-cloud-controller-manager's documented behaviour. Services
//! are read and written as rows of the Kubernetes emulator's tables
//! (`kube/CLUSTER/core/services`), in the same transaction as the cloud's.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::ledger::{Doc, Kind, Ledger};
use super::{loadbalancer, rules_of_ccm};

/// Keeps a Service until its load balancer is gone.
const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";
const SHAPE: &str = "service.beta.kubernetes.io/oci-load-balancer-shape";
const INTERNAL: &str = "service.beta.kubernetes.io/oci-load-balancer-internal";
const SUBNET: &str = "service.beta.kubernetes.io/oci-load-balancer-subnet1";
const TAGS: &str = "oci.oraclecloud.com/initial-freeform-tags-override";

/// A Service, and where it is stored.
struct Service<'a> {
    table: &'a str,
    key: Arc<str>,
    object: Value,
}

impl Service<'_> {
    fn uid(&self) -> &str {
        self.object["metadata"]["uid"].as_str().unwrap_or_default()
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.object["metadata"]["annotations"][name].as_str()
    }

    fn is_leaving(&self) -> bool {
        !self.object["metadata"]["deletionTimestamp"].is_null()
    }

    fn wants_balancer(&self) -> bool {
        self.object["spec"]["type"] == "LoadBalancer" && !self.is_leaving()
    }

    fn has_finalizer(&self) -> bool {
        let finalizers = self.object["metadata"]["finalizers"].as_array();
        finalizers.is_some_and(|all| all.iter().any(|name| name == FINALIZER))
    }
}

/// One look at a cluster's Services.
pub(crate) fn reconcile(books: &mut Ledger<'_, '_>, cluster: &Doc) {
    let table = format!("kube/{}/core/services", cluster.id());
    for (key, row) in books.tx.list(&table, "") {
        let mut service = Service {
            table: &table,
            key,
            object: row.value.as_ref().clone(),
        };
        if service.wants_balancer() {
            provide(books, cluster, &mut service);
        } else if service.has_finalizer() {
            withdraw(books, cluster, &mut service);
        }
    }
}

fn balancer_of(books: &Ledger<'_, '_>, service: &Service<'_>) -> Option<Doc> {
    let named = |doc: &Doc| doc.str("displayName") == service.uid();
    books.live_where(Kind::LoadBalancer, named).pop()
}

/// Makes the load balancer, or passes its address on.
fn provide(books: &mut Ledger<'_, '_>, cluster: &Doc, service: &mut Service<'_>) {
    if !service.has_finalizer() {
        let finalizers = &mut service.object["metadata"]["finalizers"];
        match finalizers.as_array_mut() {
            Some(all) => all.push(FINALIZER.into()),
            None => *finalizers = json!([FINALIZER]),
        }
        save(books, service);
    }
    let Some(balancer) = balancer_of(books, service) else {
        let wanted = wanted(books, cluster, service);
        // A limit that is reached is tried again with the next look.
        if let Some(wanted) = wanted.as_object()
            && loadbalancer::make(books, wanted).is_ok()
        {
            rules_of_ccm::open(books, cluster, &service.object);
        }
        return;
    };
    let ingress: Vec<Value> = balancer
        .array("ipAddresses")
        .iter()
        .map(|address| json!({"ip": address["ipAddress"], "ipMode": "VIP"}))
        .collect();
    let status = json!({ "ingress": ingress });
    if !ingress.is_empty() && service.object["status"]["loadBalancer"] != status {
        service.object["status"]["loadBalancer"] = status;
        save(books, service);
    }
}

/// What the Service's annotations ask of its load balancer.
fn wanted(books: &Ledger<'_, '_>, cluster: &Doc, service: &Service<'_>) -> Value {
    let options = &cluster.body["options"];
    let subnet = service
        .annotation(SUBNET)
        .or_else(|| options["serviceLbSubnetIds"][0].as_str());
    let shape = service.annotation(SHAPE).unwrap_or("100Mbps");
    let bound = |which: &str| {
        let name = format!("{SHAPE}-flex-{which}");
        let text = service.annotation(&name).unwrap_or_default();
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(10_u64).clamp(10, 8192)
    };
    let details = (shape == "flexible").then(|| {
        let least = bound("min");
        json!({
            "minimumBandwidthInMbps": least,
            "maximumBandwidthInMbps": bound("max").max(least),
        })
    });
    let tags = service
        .annotation(TAGS)
        .and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok())
        .map(Value::from)
        .or_else(|| Some(options["serviceLbConfig"]["freeformTags"].clone()))
        .filter(Value::is_object);
    let mut listeners = Map::new();
    let mut backends = Map::new();
    for port in service.object["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let name = format!("{protocol}-{}", port["port"]);
        listeners.insert(
            name.clone(),
            json!({
                "name": name,
                "defaultBackendSetName": name,
                "port": port["port"],
                "protocol": protocol,
            }),
        );
        backends.insert(name.clone(), backend_set(books, cluster, &name, port));
    }
    json!({
        "compartmentId": cluster.str("compartmentId"),
        "displayName": service.uid(),
        "shapeName": shape,
        "shapeDetails": details,
        "subnetIds": subnet.into_iter().collect::<Vec<_>>(),
        "isPrivate": service.annotation(INTERNAL) == Some("true"),
        "listeners": listeners,
        "backendSets": backends,
        "freeformTags": tags,
        "systemTags": {"orcl-containerengine": {"Cluster": cluster.id()}},
    })
}

fn backend_set(books: &Ledger<'_, '_>, cluster: &Doc, name: &str, port: &Value) -> Value {
    let pools = super::node_pool::of_cluster(books, cluster.id());
    let backends: Vec<_> = pools
        .iter()
        .flat_map(|pool| pool.array("nodes"))
        .filter(|node| node["lifecycleState"] == "ACTIVE")
        .map(|node| json!({"ipAddress": node["privateIp"], "port": port["nodePort"], "weight": 1}))
        .collect();
    json!({
        "name": name,
        "policy": "ROUND_ROBIN",
        "backends": backends,
        "healthChecker": {
            "protocol": "HTTP",
            "port": rules_of_ccm::HEALTH_PORT,
            "urlPath": "/healthz",
            "returnCode": 200,
        },
    })
}

/// Deletes the load balancer; lets the Service go once it is gone.
fn withdraw(books: &mut Ledger<'_, '_>, cluster: &Doc, service: &mut Service<'_>) {
    if let Some(balancer) = balancer_of(books, service) {
        if balancer.state() == "ACTIVE" && loadbalancer::remove(books, balancer).is_ok() {
            rules_of_ccm::close(books, cluster, &service.object);
        }
        return;
    }
    let finalizers = service.object["metadata"]["finalizers"].as_array_mut();
    if let Some(finalizers) = finalizers {
        finalizers.retain(|name| name != FINALIZER);
    }
    service.object["status"]["loadBalancer"] = json!({});
    save(books, service);
}

/// Writes the Service back; one that is leaving and that nothing holds any
/// longer is gone.
fn save(books: &mut Ledger<'_, '_>, service: &Service<'_>) {
    let finalizers = service.object["metadata"]["finalizers"].as_array();
    if service.is_leaving() && finalizers.is_none_or(Vec::is_empty) {
        books.tx.delete(service.table, &service.key);
    } else {
        let object = service.object.clone();
        books.tx.put(service.table, &service.key, object);
    }
}
