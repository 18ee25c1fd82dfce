//! What runs in the cluster: workloads, their pods and images, and the ways to
//! them.

use serde_json::Value;

use crate::manifest::Manifest;
use crate::verify::check::{Found, Verdict};
use crate::verify::scope::{Scope, condition, items, number};

/// How often a container may have restarted before it is worth a word, and
/// before it is a failure.
const RESTARTS: (u64, u64) = (3, 10);

pub(super) fn workloads(scope: &Scope) -> Found {
    let mut all = Vec::new();
    for service in &scope.profile.app.services {
        let name = &service.name;
        let Some(found) = scope.deployment(service)? else {
            let asked = format!("Deployment {}/{name}", scope.namespace());
            all.push(
                Verdict::fail(format!("the Deployment {name} is missing")).saw(asked, "not found"),
            );
            continue;
        };
        let wanted = number(found, "/spec/replicas");
        let [updated, ready, total] = ["updatedReplicas", "readyReplicas", "replicas"]
            .map(|field| number(found, &format!("/status/{field}")));
        let shown =
            format!("{wanted} wanted, {total} there, {updated} of the newest form, {ready} ready");
        let asked = format!("status of Deployment {name}");
        let current =
            number(found, "/status/observedGeneration") >= number(found, "/metadata/generation");
        all.push(
            if current && updated == wanted && ready == wanted && total == wanted {
                Verdict::pass("").saw(asked, shown)
            } else {
                let mend = format!("todoctl logs {name}");
                Verdict::fail(format!("{name}: {shown}"))
                    .saw(asked, shown)
                    .mend(mend)
            },
        );
    }
    let good = format!("{} complete", all.len());
    Ok(Verdict::worst(all, good))
}

/// Containers that count for n/n: all of them, and those of the beginning that
/// go on.
fn counted(pod: &Manifest) -> Vec<(&str, Option<&Value>)> {
    let status = |list: &str, name: &str| -> Option<&Value> {
        let mut all = items(pod, list).iter();
        all.find(|status| status["name"] == name)
    };
    let name = |container: &'_ Value| container["name"].as_str().unwrap_or_default().to_owned();
    let always = |c: &&Value| c["restartPolicy"] == "Always";
    let first = items(pod, "/spec/initContainers").iter().filter(always);
    let first = first.map(|c| {
        (
            c["name"].as_str().unwrap_or_default(),
            status("/status/initContainerStatuses", &name(c)),
        )
    });
    let rest = items(pod, "/spec/containers").iter();
    let rest = rest.map(|c| {
        (
            c["name"].as_str().unwrap_or_default(),
            status("/status/containerStatuses", &name(c)),
        )
    });
    first.chain(rest).collect()
}

/// Why a container is not ready, in a few words.
fn trouble(status: Option<&Value>) -> String {
    let Some(status) = status else {
        return "has not begun".to_owned();
    };
    for (state, word) in [("waiting", "waits"), ("terminated", "has ended")] {
        if let Some(found) = status.pointer(&format!("/state/{state}")) {
            let reason = found["reason"].as_str().unwrap_or_default();
            let message = found["message"].as_str().unwrap_or_default();
            return format!("{word}: {reason} {message}").trim().to_owned();
        }
    }
    "runs, and is not ready".to_owned()
}

pub(super) fn pods(scope: &Scope) -> Found {
    let mut all = Vec::new();
    let mut count = 0;
    for service in &scope.profile.app.services {
        for pod in scope.pods(service)? {
            count += 1;
            let containers = counted(pod);
            let is_ready =
                |(_, status): &(&str, Option<&Value>)| status.is_some_and(|s| s["ready"] == true);
            let ready = containers.iter().filter(|c| is_ready(c)).count();
            let shown = format!("{ready}/{}", containers.len());
            let asked = format!("containers of pod {}", pod.name());
            if ready == containers.len() && ready > 0 {
                all.push(Verdict::pass("").saw(asked, shown));
                continue;
            }
            let behind = containers.iter().filter(|c| !is_ready(c));
            let mut why: Vec<String> = behind
                .map(|(name, status)| format!("{name} {}", trouble(*status)))
                .collect();
            if let Some(unscheduled) =
                condition(pod, "PodScheduled").filter(|c| c["status"] == "False")
            {
                why = vec![
                    unscheduled["message"]
                        .as_str()
                        .unwrap_or("not scheduled")
                        .to_owned(),
                ];
            }
            let mend = format!("todoctl logs {}", service.name);
            all.push(
                Verdict::fail(format!("{} is {shown}: {}", pod.name(), why.join(", ")))
                    .saw(asked, why.join("; "))
                    .mend(mend),
            );
        }
        if scope.pods(service)?.is_empty() && service.replicas > 0 {
            all.push(
                Verdict::fail(format!("{} has no pods", service.name))
                    .saw(format!("pods of {}", service.name), "none"),
            );
        }
    }
    Ok(Verdict::worst(
        all,
        format!("{count} pods, all of them n/n"),
    ))
}

pub(super) fn restarts(scope: &Scope) -> Found {
    let mut all = Vec::new();
    for service in &scope.profile.app.services {
        for pod in scope.pods(service)? {
            for (name, status) in counted(pod) {
                let count = status
                    .and_then(|s| s["restartCount"].as_u64())
                    .unwrap_or_default();
                if count < RESTARTS.0 {
                    continue;
                }
                let last = status
                    .and_then(|s| s.pointer("/lastState/terminated"))
                    .map(Value::to_string);
                let asked = format!("restarts of {name} in pod {}", pod.name());
                let summary = format!("{name} of {} has restarted {count} times", pod.name());
                let verdict = if count < RESTARTS.1 {
                    Verdict::warn(summary)
                } else {
                    Verdict::fail(summary)
                };
                let mend = format!("todoctl logs {}", service.name);
                all.push(
                    verdict
                        .saw(asked, last.unwrap_or_else(|| count.to_string()))
                        .mend(mend),
                );
            }
        }
    }
    Ok(Verdict::worst(all, "none has restarted more than twice"))
}

pub(super) fn images(scope: &Scope) -> Found {
    let mut all = Vec::new();
    for service in &scope.profile.app.services {
        let Some(deployment) = scope.deployment(service)? else {
            return Err(
                Verdict::fail(format!("the Deployment {} is missing", service.name))
                    .saw(format!("Deployment {}", service.name), "not found"),
            );
        };
        let wanted: Vec<(&str, &str)> = items(deployment, "/spec/template/spec/containers")
            .iter()
            .filter_map(|c| Some((c["name"].as_str()?, c["image"].as_str()?)))
            .collect();
        for pod in scope.pods(service)? {
            for (name, image) in &wanted {
                let mut containers = items(pod, "/spec/containers").iter();
                let found = containers
                    .find(|c| c["name"] == *name)
                    .and_then(|c| c["image"].as_str());
                if found != Some(image) {
                    let asked = format!("image of {name} in pod {}", pod.name());
                    let found = found.unwrap_or("no such container");
                    all.push(
                        Verdict::fail(format!("{} runs {found}, not {image}", pod.name()))
                            .saw(asked, found),
                    );
                }
            }
        }
    }
    Ok(Verdict::worst(all, "as the Deployments ask"))
}

/// How many ready endpoints a Service has.
pub(in crate::verify::suites) fn ready_endpoints(slices: &[Manifest], service: &str) -> usize {
    let own = slices
        .iter()
        .filter(|s| s.label("kubernetes.io/service-name") == Some(service));
    let endpoints = own.flat_map(|slice| items(slice, "/endpoints"));
    endpoints
        .filter(|e| e.pointer("/conditions/ready") != Some(&Value::Bool(false)))
        .count()
}

pub(super) fn endpoints(scope: &Scope) -> Found {
    let slices = scope.list("EndpointSlice", scope.namespace())?;
    let mut all = Vec::new();
    for service in scope.profile.app.services.iter().filter(|s| s.replicas > 0) {
        let name = service.name.as_str();
        let asked = format!("endpoints of Service {name}");
        all.push(
            match (
                scope.find("Service", scope.namespace(), name)?,
                ready_endpoints(slices, name),
            ) {
                (None, _) => {
                    Verdict::fail(format!("the Service {name} is missing")).saw(asked, "not found")
                }
                (Some(_), 0) => Verdict::fail(format!("the Service {name} has no ready endpoint"))
                    .saw(asked, "0 ready"),
                (Some(_), n) => Verdict::pass("").saw(asked, format!("{n} ready")),
            },
        );
    }
    let good = format!("{} services with endpoints", all.len());
    Ok(Verdict::worst(all, good))
}

pub(super) fn disruption(scope: &Scope) -> Found {
    let budgets = scope.list("PodDisruptionBudget", scope.namespace())?;
    let stuck = budgets.iter().filter(|budget| {
        let expected = number(budget, "/status/expectedPods");
        expected > 1 && number(budget, "/status/disruptionsAllowed") == 0
    });
    let all = stuck.map(|budget| {
        let asked = format!("status of PodDisruptionBudget {}", budget.name());
        let shown = format!(
            "{} of {} healthy, {} needed",
            number(budget, "/status/currentHealthy"),
            number(budget, "/status/expectedPods"),
            number(budget, "/status/desiredHealthy"),
        );
        Verdict::warn(format!("{} lets no pod go", budget.name())).saw(asked, shown)
    });
    Ok(Verdict::worst(
        all.collect(),
        format!("{} budgets", budgets.len()),
    ))
}
