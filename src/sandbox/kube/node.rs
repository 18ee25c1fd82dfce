//! Nodes: what a kubelet tells of its machine, first not ready, then ready.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::NodeSpec;
use super::cluster::Cluster;
use super::controllers::{delete, modify};

/// How long a kubelet takes from joining to being ready.
const READY_AFTER: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(40));

/// Lets a node join; it is ready after a drawn while.
pub fn register(cluster: &Arc<Cluster>, spec: &NodeSpec) {
    let table = cluster.table_of("", "nodes");
    let name = spec.name.clone();
    if cluster.world.store.get(&table, &name).is_none() {
        let now = cluster.now();
        let mut object = describe(spec, &now);
        object["metadata"]["uid"] = cluster.uid(&table, &name).into();
        object["metadata"]["creationTimestamp"] = now.into();
        cluster.put(&table, &name, object, None);
    }
    let (low, high) = READY_AFTER;
    let wait = cluster
        .world
        .latency(&format!("node-ready/{}/{name}", cluster.ocid), low, high);
    let cluster = cluster.clone();
    tokio::spawn(async move {
        if cluster.world.clock.sleep(wait).await.is_ok() {
            let now = cluster.now();
            modify(&cluster, &table, &name, |object| Some(ready(object, &now)));
        }
    });
}

/// Takes a node away.
pub fn remove(cluster: &Arc<Cluster>, name: &str) {
    delete(cluster, &cluster.table_of("", "nodes"), name);
}

/// Lets nodes that were not ready when the sandbox stopped become ready.
pub fn resume(cluster: &Arc<Cluster>) {
    let table = cluster.table_of("", "nodes");
    let now = cluster.now();
    for (name, _) in cluster.world.store.list(&table, "").0 {
        modify(cluster, &table, &name, |object| Some(ready(object, &now)));
    }
}

/// Memory that the system keeps, in Ki, and the fraction of a cpu in m.
fn allocatable(spec: &NodeSpec) -> (String, String) {
    let memory = u64::from(spec.memory_gb) * 1024 * 1024;
    let kept = 100 * 1024 + memory / 16;
    let cpu = u64::from(spec.cpus) * 1000;
    (
        format!("{}m", cpu.saturating_sub(100)),
        format!("{}Ki", memory.saturating_sub(kept)),
    )
}

/// A node that has just joined, as its kubelet describes it.
pub fn describe(spec: &NodeSpec, now: &str) -> Value {
    let mut labels: Map<String, Value> = spec
        .labels
        .iter()
        .map(|(k, v)| (k.clone(), json!(v)))
        .collect();
    let hostname = spec.name.clone();
    for (key, value) in [
        ("beta.kubernetes.io/arch", spec.arch.as_str()),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", &spec.arch),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/hostname", &hostname),
        ("topology.kubernetes.io/zone", &spec.zone),
        ("failure-domain.beta.kubernetes.io/zone", &spec.zone),
        ("oci.oraclecloud.com/fault-domain", &spec.fault_domain),
        (
            "node.info/kubeletVersion",
            spec.kubelet_version.rsplit_once('.').map_or("", |v| v.0),
        ),
    ] {
        labels.entry(key).or_insert_with(|| json!(value));
    }
    let (cpu, memory) = allocatable(spec);
    let resources = |cpu: &str, memory: &str| {
        json!({
            "cpu": cpu,
            "ephemeral-storage": "37206272Ki",
            "hugepages-2Mi": "0",
            "memory": memory,
            "pods": spec.pods.to_string(),
        })
    };
    let full_memory = format!("{}Ki", u64::from(spec.memory_gb) * 1024 * 1024);
    let conditions: Vec<_> = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "False", "KubeletNotReady", "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"),
    ]
    .into_iter()
    .map(|(kind, status, reason, message)| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    })
    .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": spec.name,
            "labels": labels,
        },
        "spec": {
            "providerID": spec.provider_id,
            "taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}],
        },
        "status": {
            "capacity": resources(&spec.cpus.to_string(), &full_memory),
            "allocatable": resources(&cpu, &memory),
            "conditions": conditions,
            "addresses": [
                {"type": "InternalIP", "address": spec.internal_ip},
                {"type": "Hostname", "address": spec.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "architecture": spec.arch,
                "bootID": "", "machineID": "", "systemUUID": "",
                "containerRuntimeVersion": "cri-o://1.34.0",
                "kernelVersion": "5.15.0-310.184.5.3.el8uek",
                "kubeProxyVersion": "",
                "kubeletVersion": spec.kubelet_version,
                "operatingSystem": "linux",
                "osImage": "Oracle Linux Server 8.10",
            },
        },
    })
}

/// The node once its network is there.
pub fn ready(object: &Value, now: &str) -> Value {
    let mut object = object.clone();
    let conditions = object
        .pointer_mut("/status/conditions")
        .and_then(Value::as_array_mut);
    let condition = conditions
        .into_iter()
        .flatten()
        .find(|c| c["type"] == "Ready" && c["status"] != "True");
    let Some(condition) = condition else {
        return object;
    };
    condition["status"] = json!("True");
    condition["reason"] = json!("KubeletReady");
    condition["message"] = json!("kubelet is posting ready status");
    condition["lastHeartbeatTime"] = json!(now);
    condition["lastTransitionTime"] = json!(now);
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        let taints = spec.get_mut("taints").and_then(Value::as_array_mut);
        let left = taints.map(|taints| {
            taints.retain(|t| t["key"] != "node.kubernetes.io/not-ready");
            taints.len()
        });
        if left == Some(0) {
            spec.shift_remove("taints");
        }
    }
    object
}
