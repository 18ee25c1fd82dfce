//! Whether more pods fit onto the nodes: what the nodes have, less what the
//! pods there have asked for. It is the scheduler's first question and not its
//! last: affinities and taints are not looked at, but for nodes that take no
//! pods at all.

use serde_json::Value;

use crate::manifest::Manifest;

/// What a pod asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Asks {
    /// Processors.
    pub cpu: f64,
    /// Bytes.
    pub memory: f64,
}

impl Asks {
    fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            memory: self.memory + other.memory,
        }
    }

    /// What a container of a pod asks for: its requests, or else its limits.
    fn of_container(container: &Value) -> Self {
        let amount = |what: &str| {
            let of = |list: &str| container.pointer(&format!("/resources/{list}/{what}"));
            let found = of("requests").or_else(|| of("limits"));
            found.and_then(quantity).unwrap_or_default()
        };
        Self {
            cpu: amount("cpu"),
            memory: amount("memory"),
        }
    }

    /// What all containers of a pod ask for.
    fn of_pod(pod: &Value) -> Self {
        let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
        let all = containers.into_iter().flatten().map(Self::of_container);
        all.fold(Self::default(), Self::plus)
    }

    /// What each pod of a workload will ask for, the sidecar that Dapr adds
    /// included.
    pub fn of_workload(workload: &Manifest) -> Self {
        let template = workload.body().pointer("/spec/template");
        let template = template.unwrap_or(&Value::Null);
        let annotation = |name: &str| template["metadata"]["annotations"].get(name);
        let own = Self::of_pod(template);
        if annotation("dapr.io/enabled").and_then(Value::as_str) != Some("true") {
            return own;
        }
        let amount = |what: &str| {
            let found = annotation(&format!("dapr.io/sidecar-{what}-request"));
            found.and_then(quantity).unwrap_or_default()
        };
        own.plus(Self {
            cpu: amount("cpu"),
            memory: amount("memory"),
        })
    }
}

/// The suffixes of a Kubernetes quantity, the longer ones first.
const UNITS: [(&str, f64); 14] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("", 1.0),
];

/// A Kubernetes quantity as a number.
fn quantity(value: &Value) -> Option<f64> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (number, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    number.parse::<f64>().ok().map(|number| number * factor)
}

/// How many pods that ask for so much fit onto the nodes. `gone` says which of
/// the pods there do not count.
pub fn room(
    nodes: &[Manifest],
    pods: &[Manifest],
    asks: Asks,
    gone: impl Fn(&Manifest) -> bool,
) -> u32 {
    let fits = |node: &Manifest| -> u32 {
        let has = |what: &str| {
            let found = node.body().pointer(&format!("/status/allocatable/{what}"));
            found.and_then(quantity).unwrap_or_default()
        };
        let there = pods.iter().filter(|pod| {
            let text = |pointer: &str| pod.body().pointer(pointer).and_then(Value::as_str);
            let over = matches!(text("/status/phase"), Some("Succeeded" | "Failed"));
            text("/spec/nodeName") == Some(node.name()) && !over && !gone(pod)
        });
        let (used, count) = there.fold((Asks::default(), 0.0), |(used, count), pod| {
            (used.plus(Asks::of_pod(pod.body())), count + 1.0)
        });
        let times = |free: f64, each: f64| if each > 0.0 { free / each } else { f64::MAX };
        // A little over, because sums of thousandths are not exact.
        let fits = times(has("cpu") - used.cpu, asks.cpu)
            .min(times(has("memory") - used.memory, asks.memory))
            .min(has("pods") - count)
            + 1e-6;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a node takes some hundred pods, and never less than none"
        )]
        let fits = fits.clamp(0.0, 10_000.0) as u32;
        fits
    };
    nodes.iter().filter(|node| takes_pods(node)).map(fits).sum()
}

fn takes_pods(node: &Manifest) -> bool {
    let body = node.body();
    let conditions = body.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|c| c["type"] == "Ready" && c["status"] == "True");
    ready && body.pointer("/spec/unschedulable") != Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, cpu: &str, memory: &str) -> Manifest {
        Manifest::new(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {
                "allocatable": {"cpu": cpu, "memory": memory, "pods": "110"},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }))
        .unwrap()
    }

    fn pod(node: &str, phase: &str, cpu: &str) -> Manifest {
        let requests = json!({"cpu": cpu, "memory": "256Mi"});
        Manifest::new(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"nodeName": node, "containers": [{"resources": {"requests": requests}}]},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[test]
    fn pods_fit_by_what_is_left_on_each_node() {
        let nodes = [node("a", "1", "2Gi"), node("b", "1800m", "1Gi")];
        let asks = Asks {
            cpu: 0.5,
            memory: 512.0 * 1_048_576.0,
        };
        let never = |_: &Manifest| false;
        // Two by processors on one, two by memory on the other.
        assert_eq!(room(&nodes, &[], asks, never), 4);
        let busy = [pod("a", "Running", "600m"), pod("b", "Succeeded", "1")];
        assert_eq!(room(&nodes, &busy, asks, never), 2);
        assert_eq!(room(&nodes, &busy, asks, |_| true), 4);
    }

    #[test]
    fn nodes_that_take_no_pods_have_no_room() {
        let mut closed = node("a", "4", "8Gi").body().clone();
        closed["spec"] = json!({"unschedulable": true});
        let mut down = node("b", "4", "8Gi").body().clone();
        down["status"]["conditions"][0]["status"] = json!("Unknown");
        let nodes = [closed, down].map(|body| Manifest::new(body).unwrap());
        let asks = Asks {
            cpu: 0.1,
            memory: 1.0,
        };
        assert_eq!(room(&nodes, &[], asks, |_| false), 0);
    }

    #[test]
    fn a_sidecar_asks_for_its_own() {
        let workload = Manifest::new(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
            "spec": {"template": {
                "metadata": {"annotations": {
                    "dapr.io/enabled": "true",
                    "dapr.io/sidecar-cpu-request": "50m",
                    "dapr.io/sidecar-memory-request": "64Mi",
                }},
                "spec": {"containers": [{"resources": {"limits": {"cpu": 1, "memory": "64Mi"}}}]},
            }},
        }));
        let asks = Asks::of_workload(&workload.unwrap());
        assert!((asks.cpu - 1.05).abs() < 1e-9);
        assert!((asks.memory - 128.0 * 1_048_576.0).abs() < 1.0);
    }

    #[test]
    fn quantities_are_numbers() {
        for (text, number) in [
            ("100m", 0.1),
            ("1.5", 1.5),
            ("1Gi", 1_073_741_824.0),
            ("128M", 128e6),
            ("1e3", 1000.0),
        ] {
            let found = quantity(&json!(text)).unwrap();
            assert!((found - number).abs() < 1e-6 * number, "{text}: {found}");
        }
        assert_eq!(quantity(&json!("lots")), None);
    }
}
