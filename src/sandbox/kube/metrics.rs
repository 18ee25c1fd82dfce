//! `metrics.k8s.io`: what nodes and pods use now, as the kubelets say. The
//! objects are made when they are asked for and never kept.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use super::cluster::{stamp, text};
use super::objects::{Page, selector};
use super::render::{self, Shown};
use super::request::{Call, Verb};
use super::status::{Outcome, Status};
use crate::sandbox::http::Reply;
use crate::sandbox::kubelet::Usage;

/// The group of these objects.
pub const GROUP: &str = "metrics.k8s.io";
/// What a node uses for itself: its system, container runtime and kubelet.
const OWN_CPU_MILLIS: u64 = 85;
const OWN_MEMORY: u64 = 940 * 1024 * 1024;

/// Answers a read of metrics.
pub fn perform(call: &Call, shown: &Shown) -> Outcome<Reply> {
    let Some(kubelets) = call.cluster.kubelets.get() else {
        return Err(Status::unavailable(
            "the server is currently unable to handle the request",
        ));
    };
    let usage = kubelets.usage();
    let objects = if call.resource.plural == "nodes" {
        nodes(call, &usage)
    } else {
        pods(call, &usage)
    };
    if call.verb == Verb::Get {
        let name = &call.target.name;
        let found = objects
            .into_iter()
            .find(|o| text(o, "/metadata/name") == name);
        let found = found.ok_or_else(|| Status::not_found(&call.resource, name))?;
        return Ok(Reply::json(
            StatusCode::OK,
            &render::one(&call.resource, shown, found),
        ));
    }
    let selector = selector(call)?;
    let page = Page {
        items: objects
            .into_iter()
            .filter(|o| selector.matches(o))
            .collect(),
        revision: call.cluster.world.store.revision(),
        next: None,
        remaining: None,
    };
    let list = render::many(&call.resource, shown, page);
    Ok(Reply::json(StatusCode::OK, &list))
}

fn used(cpu_millis: u64, memory: u64) -> Value {
    json!({"cpu": format!("{cpu_millis}m"), "memory": format!("{}Ki", memory / 1024)})
}

fn start(call: &Call, metadata: &Value) -> Value {
    let now = stamp(call.cluster.world.clock.now());
    json!({
        "kind": call.resource.kind,
        "apiVersion": call.resource.api_version(),
        "metadata": {
            "name": metadata["name"],
            "creationTimestamp": now,
            "labels": metadata["labels"],
        },
        "timestamp": now,
        "window": "15s",
    })
}

fn nodes(call: &Call, usage: &[Usage]) -> Vec<Value> {
    let table = call.cluster.table_of("", "nodes");
    let rows = call.cluster.world.store.list(&table, "").0;
    let nodes = rows.iter().map(|(name, row)| {
        let here = || usage.iter().filter(|u| *u.node == **name);
        let cpu = here().map(|u| u.cpu_millis).sum::<u64>() + OWN_CPU_MILLIS;
        let memory = here().map(|u| u.memory_bytes).sum::<u64>() + OWN_MEMORY;
        let mut node = start(call, &row.value["metadata"]);
        node["usage"] = used(cpu, memory);
        node
    });
    nodes.collect()
}

fn pods(call: &Call, usage: &[Usage]) -> Vec<Value> {
    let mut by_pod: BTreeMap<(&str, &str), Vec<&Usage>> = BTreeMap::new();
    let wanted = &call.target.namespace;
    for used in usage
        .iter()
        .filter(|u| wanted.is_empty() || u.namespace == *wanted)
    {
        let key = (used.namespace.as_str(), used.pod.as_str());
        by_pod.entry(key).or_default().push(used);
    }
    let table = call.cluster.table_of("", "pods");
    let store = &call.cluster.world.store;
    let pods = by_pod
        .into_iter()
        .filter_map(|((namespace, name), containers)| {
            let row = store.get(&table, &format!("{namespace}/{name}"))?;
            let mut pod = start(call, &row.value["metadata"]);
            pod["metadata"]["namespace"] = json!(namespace);
            let containers = containers
                .iter()
                .map(|u| json!({"name": u.container, "usage": used(u.cpu_millis, u.memory_bytes)}));
            pod["containers"] = containers.collect();
            Some(pod)
        });
    pods.collect()
}
