//! The nodes of a cluster that has no machines.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Options;
use crate::sandbox::api::{Api, ApiError};
use crate::sandbox::kind::{Kind, items, text};
use crate::sandbox::kube::{NodeSpec, bootstrap, node};

use super::ForeignError;

/// Where kubelets listen.
pub(super) const KUBELET_PORT: u16 = 10250;
/// What the providers of this world's nodes are called.
const PROVIDER: &str = "todoctl-sandbox://";
/// The network of the nodes, without the last number.
const NETWORK: &str = "10.0.10.";

/// Whether an address is a node's.
pub(super) fn is_node(host: &str) -> bool {
    host.starts_with(NETWORK)
}

/// Fails if the cluster has a node that somebody else made.
pub(super) async fn refuse_inhabited(api: &Api) -> Result<(), ForeignError> {
    let all = api.get(&Kind::Nodes.collection("")).await?;
    let foreign = |node: &&Value| !text(node, "/spec/providerID").starts_with(PROVIDER);
    match items(&all, "/items").iter().find(foreign) {
        Some(node) => Err(ForeignError::Inhabited(
            text(node, "/metadata/name").to_owned(),
        )),
        None => Ok(()),
    }
}

/// Makes what is missing of the nodes and the storage class; gives the nodes'
/// names.
pub(super) async fn ensure(options: &Options, now: &str) -> Result<Vec<String>, ApiError> {
    let api = &options.api;
    let version = api.get("/version").await?;
    let version = text(&version, "/gitVersion").to_owned();
    let classes = api.get(&Kind::StorageClasses.collection("")).await?;
    if items(&classes, "/items").is_empty() {
        let path = Kind::StorageClasses.collection("");
        api.create(&path, &bootstrap::storage_class()).await?;
    }
    let mut names = Vec::new();
    for n in 0..options.nodes {
        let spec = spec(n, &options.arch, &version);
        join(api, &spec, now).await?;
        names.push(spec.name);
    }
    Ok(names)
}

fn spec(n: u8, arch: &str, version: &str) -> NodeSpec {
    let address = format!("{NETWORK}{}", u16::from(n) + 2);
    NodeSpec {
        provider_id: format!("{PROVIDER}{address}"),
        internal_ip: address.clone(),
        name: address,
        cpus: 2,
        memory_gb: 12,
        arch: arch.to_owned(),
        kubelet_version: version.to_owned(),
        zone: "AD-1".to_owned(),
        fault_domain: format!("FAULT-DOMAIN-{}", n % 3 + 1),
        labels: BTreeMap::new(),
        pods: 110,
    }
}

/// Makes a node, if there is none of its name, and lets it be ready.
async fn join(api: &Api, spec: &NodeSpec, now: &str) -> Result<(), ApiError> {
    let wanted = node::ready(&node::describe(spec, now), now);
    let path = Kind::Nodes.path("", &spec.name);
    let found = match api.find(&path).await? {
        Some(found) => found,
        None => api.create(&Kind::Nodes.collection(""), &wanted).await?,
    };
    let status = json!({ "status": wanted["status"] });
    api.merge(&format!("{path}/status"), &status).await?;
    // The server taints what joins; nobody else would take that back.
    if !items(&found, "/spec/taints").is_empty() {
        api.merge(&path, &json!({"spec": {"taints": null}})).await?;
    }
    Ok(())
}
