//! The nodes themselves: their ranges of pod addresses, their heartbeats.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sandbox::controllers::Plane;
use crate::sandbox::kind::{Kind, items, text, uid};

/// Addresses of pods in one node's range.
const RANGE: u32 = 128;
/// Where ranges are taken from: 10.244.0.0/16.
const FIRST: u32 = u32::from_be_bytes([10, 244, 0, 0]);
/// How often a node says that it lives; on a fast clock no more often than
/// this in real time.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A node's own address.
pub fn address(node: &Value) -> String {
    let all = items(node, "/status/addresses");
    let internal = all.iter().find(|a| a["type"] == "InternalIP");
    internal.map_or_else(
        || text(node, "/metadata/name").to_owned(),
        |a| text(a, "/address").to_owned(),
    )
}

/// Gives a node a range of addresses for its pods.
pub async fn give_range(plane: &Plane, node: &Value) -> Option<String> {
    let nodes = plane.cache().list(Kind::Nodes, "");
    let taken: HashSet<&str> = nodes.iter().map(|n| text(n, "/spec/podCIDR")).collect();
    let range = (0..512)
        .map(|n| format!("{}/25", Ipv4Addr::from(FIRST + n * RANGE)))
        .find(|range| !taken.contains(&**range))?;
    let client = plane.client.as_controller("node-controller");
    let patch = json!({"spec": {"podCIDR": range, "podCIDRs": [range]}});
    match client.merge(Kind::Nodes, node, &patch).await {
        Ok(node) => Some(text(&node, "/spec/podCIDR").to_owned()),
        Err(error) => {
            tracing::debug!(%error, "cannot give a node its range of addresses");
            None
        }
    }
}

/// An address of a range that no pod has.
pub fn free_address(
    range: &str,
    taken: &HashMap<Ipv4Addr, String, impl BuildHasher>,
) -> Option<Ipv4Addr> {
    let (base, bits) = range.split_once('/')?;
    let base = u32::from(base.parse::<Ipv4Addr>().ok()?);
    let size = 1_u32.checked_shl(32 - bits.parse::<u32>().ok()?)?;
    // The first is the network's, the second the bridge's, the last is for
    // broadcasts.
    (2..size.saturating_sub(1))
        .map(|n| Ipv4Addr::from(base + n))
        .find(|address| !taken.contains_key(address))
}

/// Renews the nodes' leases until the plane is stopped.
pub async fn heartbeats(plane: Arc<Plane>) {
    plane.cache().synced().await;
    let clock = plane.clock();
    let pause = HEARTBEAT.mul_f64(clock.rate());
    loop {
        for node in plane.cache().list(Kind::Nodes, "") {
            renew(&plane, &node).await;
        }
        tokio::select! {
            () = plane.stop.cancelled() => return,
            slept = clock.sleep(pause) => if slept.is_err() { return },
        }
    }
}

async fn renew(plane: &Plane, node: &Value) {
    let name = text(node, "/metadata/name");
    let now = plane.clock().now();
    let now = now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    let path = Kind::Leases.path("kube-node-lease", name);
    let api = plane
        .client
        .api
        .as_user(&format!("system:node:{name}"))
        .in_groups(&["system:nodes", "system:masters"])
        .by_program("kubelet");
    let patch = json!({"spec": {"renewTime": now}});
    let known = plane
        .cache()
        .get(Kind::Leases, &format!("kube-node-lease/{name}"));
    let result = if known.is_some() {
        api.merge(&path, &patch).await
    } else {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "namespace": "kube-node-lease",
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Node", "name": name, "uid": uid(node),
                }],
            },
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": 40,
                "renewTime": now,
            },
        });
        let path = Kind::Leases.collection("kube-node-lease");
        api.create(&path, &lease).await
    };
    if let Err(error) = result {
        tracing::debug!(node = name, %error, "cannot renew a node's lease");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_from_the_range_in_order_until_it_is_full() {
        let mut taken = HashMap::new();
        let range = "10.244.1.0/29";
        for last in 2..7 {
            let address = free_address(range, &taken).unwrap();
            assert_eq!(address, Ipv4Addr::new(10, 244, 1, last));
            taken.insert(address, String::new());
        }
        assert_eq!(free_address(range, &taken), None);
    }
}
