//! Nodes, versions, workloads, free allowance.

use serde_json::Value;

use crate::manifest::Manifest;
use crate::verify::check::{Check, Found, Probe, Suite, Verdict};
use crate::verify::scope::{Scope, condition, items, releases_of, text};

pub(super) mod workloads;

/// The checks of the suite.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "cluster.api",
        suite: Suite::Cluster,
        title: "the Kubernetes API answers",
        means: "Nothing of the cluster can be looked at: the API server is away, the network is, or the credentials are refused.",
        mend: "todoctl status",
        probe: Probe::Look(api),
    },
    Check {
        code: "cluster.version",
        suite: Suite::Cluster,
        title: "server and nodes have versions that go together",
        means: "A node's kubelet may be up to three minor versions older than the server, and never newer. Beyond that upgrades break workloads in ways that are hard to see.",
        mend: "todoctl plan",
        probe: Probe::Look(version),
    },
    Check {
        code: "cluster.nodes",
        suite: Suite::Cluster,
        title: "every node that the profile asks for is ready",
        means: "A node is missing or says that it is not ready. Its pods are moved only after minutes, and with small nodes there may be no room for them.",
        mend: "todoctl up --only cluster",
        probe: Probe::Look(nodes),
    },
    Check {
        code: "cluster.pressure",
        suite: Suite::Cluster,
        title: "no node is short of memory, disk, processes or network",
        means: "A node under pressure evicts pods, and takes no new ones.",
        mend: "todoctl status",
        probe: Probe::Look(pressure),
    },
    Check {
        code: "cluster.schedulable",
        suite: Suite::Cluster,
        title: "every node takes new pods",
        means: "A node was cordoned, by a person or by an upgrade that did not end. Pods that restart have fewer places to go.",
        mend: "kubectl uncordon NODE",
        probe: Probe::Look(schedulable),
    },
    Check {
        code: "cluster.free-tier",
        suite: Suite::Cluster,
        title: "nodes and volumes are within the free allowance",
        means: "What exists in the cluster exceeds what Oracle gives away, so it is billed, or will be taken away in a tenancy without a payment method.",
        mend: "todoctl plan",
        probe: Probe::Look(free_tier),
    },
    Check {
        code: "cluster.storage",
        suite: Suite::Cluster,
        title: "every volume claim is bound",
        means: "A pod waits for a volume that does not come: there is no storage class, or the quota for block volumes is used up.",
        mend: "kubectl get events -A --field-selector involvedObject.kind=PersistentVolumeClaim",
        probe: Probe::Look(storage),
    },
    Check {
        code: "cluster.namespaces",
        suite: Suite::Cluster,
        title: "the deployment's namespaces are there and stay",
        means: "A namespace is missing or being removed. Nothing new can be made in a namespace that is being removed.",
        mend: "todoctl up",
        probe: Probe::Look(namespaces),
    },
    Check {
        code: "cluster.releases",
        suite: Suite::Cluster,
        title: "every Helm release is deployed",
        means: "The newest revision of a release failed, or a process died in the middle of it. What runs may be a mixture of two revisions.",
        mend: "todoctl up",
        probe: Probe::Look(releases),
    },
    Check {
        code: "cluster.workloads",
        suite: Suite::Cluster,
        title: "every service has all of its replicas, of the newest form",
        means: "A Deployment is missing, or its rollout has not ended.",
        mend: "todoctl logs",
        probe: Probe::Look(workloads::workloads),
    },
    Check {
        code: "cluster.pods",
        suite: Suite::Cluster,
        title: "every pod of the app is n/n",
        means: "A container of the app, or the sidecar beside it, is not ready. The pod gets no requests until it is.",
        mend: "todoctl logs",
        probe: Probe::Look(workloads::pods),
    },
    Check {
        code: "cluster.restarts",
        suite: Suite::Cluster,
        title: "no container keeps restarting",
        means: "A container has ended and was started again, several times. It may look ready in between.",
        mend: "todoctl logs --level error",
        probe: Probe::Look(workloads::restarts),
    },
    Check {
        code: "cluster.images",
        suite: Suite::Cluster,
        title: "every pod runs the image that its Deployment asks for",
        means: "A pod was made from an older form of its Deployment, or somebody changed it.",
        mend: "todoctl history",
        probe: Probe::Look(workloads::images),
    },
    Check {
        code: "cluster.endpoints",
        suite: Suite::Cluster,
        title: "every service has an endpoint",
        means: "The Service selects no ready pod: requests to it are refused.",
        mend: "todoctl up --only app",
        probe: Probe::Look(workloads::endpoints),
    },
    Check {
        code: "cluster.disruption",
        suite: Suite::Cluster,
        title: "disruption budgets let nodes be drained",
        means: "A budget allows no pod to go, so that a node upgrade waits for ever.",
        mend: "kubectl get pdb -A",
        probe: Probe::Look(workloads::disruption),
    },
];

fn api(scope: &Scope) -> Found {
    let away = |error: &String| {
        Verdict::fail("the Kubernetes API does not answer").saw("GET /version", error)
    };
    let version = scope.version.as_ref().map_err(away)?;
    Ok(Verdict::pass(format!("the server is {version}")).saw("GET /version", version))
}

/// The minor number of `v1.34.2`.
fn minor(version: &str) -> Option<u64> {
    version
        .trim_start_matches('v')
        .split('.')
        .nth(1)?
        .parse()
        .ok()
}

fn version(scope: &Scope) -> Found {
    let unknown = |error: &String| {
        Verdict::fail("the server's version is not known").saw("GET /version", error)
    };
    let server = scope.version.as_ref().map_err(unknown)?;
    let Some(newest) = minor(server) else {
        return Err(
            Verdict::fail("the server's version makes no sense").saw("GET /version", server)
        );
    };
    let verdicts = scope.cluster("Node")?.iter().map(|node| {
        let kubelet = text(node, "/status/nodeInfo/kubeletVersion");
        let asked = format!("kubelet of {}", node.name());
        let name = node.name();
        match minor(kubelet) {
            None => Verdict::warn(format!("{name} does not tell its version")).saw(asked, kubelet),
            Some(own) if own > newest => Verdict::fail(format!(
                "{name} has {kubelet}, newer than the server's {server}"
            ))
            .saw(asked, kubelet),
            Some(own) if own + 3 < newest => Verdict::fail(format!(
                "{name} has {kubelet}, too old for the server's {server}"
            ))
            .saw(asked, kubelet),
            Some(_) => Verdict::pass("").saw(asked, kubelet),
        }
    });
    let mut all: Vec<Verdict> = verdicts.collect();
    if newest < 29 {
        all.push(Verdict::warn(format!(
            "the server is {server}; Dapr 1.18 is tested with 1.29 and newer"
        )));
    }
    Ok(Verdict::worst(
        all,
        format!("server {server}, nodes within three minor versions"),
    ))
}

fn nodes(scope: &Scope) -> Found {
    let nodes = scope.cluster("Node")?;
    let wanted = scope
        .profile
        .cloud
        .as_ref()
        .map_or(1, |cloud| cloud.nodes.count as usize);
    let not_ready = nodes.iter().filter_map(|node| {
        let ready = condition(node, "Ready");
        if ready.is_some_and(|c| c["status"] == "True") {
            return None;
        }
        let why = ready.map_or("no word on it", |c| {
            c["message"].as_str().unwrap_or_default()
        });
        let asked = format!("condition Ready of node {}", node.name());
        Some(Verdict::fail(format!("{} is not ready", node.name())).saw(asked, why))
    });
    let mut all: Vec<Verdict> = not_ready.collect();
    if nodes.len() < wanted {
        all.push(
            Verdict::fail(format!("{} of {wanted} nodes are there", nodes.len()))
                .saw("list Node", names(nodes)),
        );
    }
    let good = format!("{} ready", nodes.len());
    Ok(Verdict::worst(all, &good).saw("list Node", names(nodes)))
}

fn names(objects: &[Manifest]) -> String {
    objects
        .iter()
        .map(Manifest::name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn pressure(scope: &Scope) -> Found {
    let kinds = [
        "MemoryPressure",
        "DiskPressure",
        "PIDPressure",
        "NetworkUnavailable",
    ];
    let mut all = Vec::new();
    for node in scope.cluster("Node")? {
        for kind in kinds {
            if let Some(found) = condition(node, kind)
                && found["status"] == "True"
            {
                let why = found["message"].as_str().unwrap_or_default();
                let asked = format!("condition {kind} of node {}", node.name());
                all.push(Verdict::fail(format!("{} says {kind}", node.name())).saw(asked, why));
            }
        }
    }
    Ok(Verdict::worst(all, "no node is short of anything"))
}

fn schedulable(scope: &Scope) -> Found {
    let mut all = Vec::new();
    for node in scope.cluster("Node")? {
        if node.body().pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
            let mend = format!("kubectl uncordon {}", node.name());
            let asked = format!("spec.unschedulable of node {}", node.name());
            all.push(
                Verdict::warn(format!("{} is cordoned", node.name()))
                    .saw(asked, "true")
                    .mend(mend),
            );
        }
        let taints = items(node, "/spec/taints").iter();
        for taint in
            taints.filter(|t| matches!(t["effect"].as_str(), Some("NoSchedule" | "NoExecute")))
        {
            let key = taint["key"].as_str().unwrap_or_default();
            if key == "node.kubernetes.io/unschedulable" || key.contains("control-plane") {
                continue;
            }
            let asked = format!("spec.taints of node {}", node.name());
            all.push(
                Verdict::warn(format!("{} keeps pods away: {key}", node.name()))
                    .saw(asked, taint.to_string()),
            );
        }
    }
    Ok(Verdict::worst(all, "every node takes new pods"))
}

/// A Kubernetes quantity as a number, for the units that nodes and volumes use.
fn quantity(text: &str) -> f64 {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit {
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0_f64.powi(2),
        "Gi" => 1024.0_f64.powi(3),
        "Ti" => 1024.0_f64.powi(4),
        _ => 1.0,
    };
    digits.parse::<f64>().unwrap_or(0.0) * factor
}

fn free_tier(scope: &Scope) -> Found {
    let Some(cloud) = &scope.profile.cloud else {
        return Err(Verdict::skip(
            "the profile has no cloud, so there is no allowance",
        ));
    };
    let nodes = scope.cluster("Node")?;
    let sum = |pointer: &str| {
        nodes
            .iter()
            .map(|node| quantity(text(node, pointer)))
            .sum::<f64>()
    };
    // An Arm OCPU is one core. A node tells a little less memory than it has.
    let ocpus = sum("/status/capacity/cpu");
    let memory = sum("/status/capacity/memory") / 1024.0_f64.powi(3);
    let volumes = scope.cluster("PersistentVolume")?;
    let claimed = volumes
        .iter()
        .map(|v| quantity(text(v, "/spec/capacity/storage")))
        .sum::<f64>();
    let boot = nodes.len() as f64 * f64::from(cloud.nodes.boot_volume_gb);
    let storage = claimed / 1024.0_f64.powi(3) + boot;
    let allowance = &cloud.allowance;
    let uses = [
        ("OCPU", ocpus, f64::from(allowance.ocpus)),
        ("GB of memory", memory, f64::from(allowance.memory_gb)),
        (
            "GB of block storage",
            storage,
            f64::from(allowance.block_storage_gb),
        ),
    ];
    let shown = |(name, used, free): &(&str, f64, f64)| format!("{used:.0} of {free:.0} {name}");
    let all: Vec<String> = uses.iter().map(shown).collect();
    let beyond: Vec<String> = uses
        .iter()
        .filter(|(_, used, free)| *used > free + 0.5)
        .map(shown)
        .collect();
    let verdict = match beyond.is_empty() {
        true => Verdict::pass(all.join(", ")),
        false => Verdict::warn(format!("beyond the free allowance: {}", beyond.join(", "))),
    };
    Ok(verdict.saw("capacity of nodes and volumes", all.join(", ")))
}

fn storage(scope: &Scope) -> Found {
    let profile = &scope.profile;
    let mut all = Vec::new();
    let mut count = 0;
    for namespace in [scope.namespace(), profile.dapr.namespace.as_str()] {
        for claim in scope.list("PersistentVolumeClaim", namespace)? {
            count += 1;
            let phase = text(claim, "/status/phase");
            if phase != "Bound" {
                let asked = format!("phase of volume claim {namespace}/{}", claim.name());
                all.push(
                    Verdict::fail(format!(
                        "volume claim {namespace}/{} is {phase}",
                        claim.name()
                    ))
                    .saw(asked, phase),
                );
            }
        }
    }
    Ok(Verdict::worst(all, format!("{count} bound")))
}

fn namespaces(scope: &Scope) -> Found {
    let known = scope.cluster("Namespace")?;
    let wanted = releases_of(&scope.profile)
        .into_iter()
        .map(|(_, namespace)| namespace);
    let all = wanted.map(|name| {
        let asked = format!("phase of namespace {name}");
        match known
            .iter()
            .find(|n| n.name() == name)
            .map(|n| text(n, "/status/phase"))
        {
            Some("Active") => Verdict::pass("").saw(asked, "Active"),
            Some(phase) => {
                Verdict::fail(format!("the namespace {name} is {phase}")).saw(asked, phase)
            }
            None => {
                Verdict::fail(format!("the namespace {name} is missing")).saw(asked, "not found")
            }
        }
    });
    Ok(Verdict::worst(all.collect(), "all there"))
}

fn releases(scope: &Scope) -> Found {
    let mut all = Vec::new();
    for (name, namespace) in releases_of(&scope.profile) {
        let asked = format!("newest revision of {namespace}/{name}");
        let history = scope.release(&name)?;
        all.push(
            match history.iter().max_by_key(|record| record.revision()) {
                None => Verdict::fail(format!("there is no release {name}")).saw(asked, "none"),
                Some(newest) => {
                    let status = newest.status();
                    let shown = format!(
                        "revision {}: {status}, {}",
                        newest.revision(),
                        newest.description()
                    );
                    match status {
                        crate::release::Status::Deployed => Verdict::pass("").saw(asked, shown),
                        _ => Verdict::fail(format!("the release {name} is {status}"))
                            .saw(asked, shown),
                    }
                }
            },
        );
    }
    let good = format!("{} deployed", all.len());
    Ok(Verdict::worst(all, good))
}
