//! `ResourceQuota`s: how much a namespace uses, kept in their status, and the
//! refusal of what would go beyond.
//!
//! Use is always counted from what exists, so that it cannot drift.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::cluster::{Cluster, key_prefix, text};
use super::super::controllers::modify;
use super::super::request::Call;
use super::super::status::{Outcome, Status};
use crate::sandbox::controllers::resources::millis;
use crate::sandbox::kind::items;

/// What each container must say under a quota for it.
const STATED: [&str; 6] = [
    "cpu",
    "memory",
    "requests.cpu",
    "requests.memory",
    "limits.cpu",
    "limits.memory",
];

/// Amounts in thousandths, by the quota's names.
type Amounts = BTreeMap<String, i64>;

/// Refuses a new object that a quota of its namespace has no room for.
pub(super) fn check(call: &Call, object: &Value, old: Option<&Value>) -> Outcome<()> {
    let cluster = &call.cluster;
    let table = cluster.table_of("", "resourcequotas");
    let prefix = key_prefix(&call.target.namespace);
    if call.target.namespace.is_empty() {
        return Ok(());
    }
    let (group, plural) = (&*call.resource.group, &*call.resource.plural);
    let refuse = |why: &str| {
        let name = text(object, "/metadata/name");
        Err(Status::forbidden(&call.resource, name, why))
    };
    for (_, row) in cluster.world.store.list(&table, &prefix).0 {
        let quota = &*row.value;
        let name = text(quota, "/metadata/name");
        let hard = hard(quota);
        let before = old
            .map(|old| of(quota, group, plural, old))
            .unwrap_or_default();
        let mut more = of(quota, group, plural, object);
        more.retain(|resource, amount| {
            *amount -= before.get(resource).copied().unwrap_or_default();
            *amount > 0 && hard.contains_key(resource)
        });
        if old.is_none() && plural == "pods" && applies(quota, object) {
            let missing = unstated(&hard, object);
            if !missing.is_empty() {
                let missing = missing.join("; ");
                return refuse(&format!("failed quota: {name}: must specify {missing}"));
            }
        }
        if more.is_empty() {
            continue;
        }
        let used = used(cluster, &call.target.namespace, quota);
        let beyond: Vec<&String> = more
            .iter()
            .filter(|(resource, amount)| {
                let taken = used.get(*resource).copied().unwrap_or_default();
                taken + **amount > hard.get(*resource).copied().unwrap_or(i64::MAX)
            })
            .map(|(resource, _)| resource)
            .collect();
        if !beyond.is_empty() {
            let list = |amounts: &Amounts| {
                let each = beyond.iter().map(|resource| {
                    let amount = amounts.get(*resource).copied().unwrap_or_default();
                    format!("{resource}={}", shown(resource, amount))
                });
                each.collect::<Vec<_>>().join(",")
            };
            return refuse(&format!(
                "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
                list(&more),
                list(&used),
                list(&hard)
            ));
        }
    }
    Ok(())
}

/// Brings the status of a namespace's quotas up to date.
pub fn follow(cluster: &Cluster, namespace: &str) {
    let table = cluster.table_of("", "resourcequotas");
    for (key, _) in cluster.world.store.list(&table, &key_prefix(namespace)).0 {
        modify(cluster, &table, &key, |quota| {
            let used = used(cluster, namespace, quota);
            let hard = quota.pointer("/spec/hard").cloned().unwrap_or(json!({}));
            let names = hard.as_object().into_iter().flatten();
            let used: Map<String, Value> = names
                .map(|(resource, _)| {
                    let amount = used.get(resource).copied().unwrap_or_default();
                    (resource.clone(), json!(shown(resource, amount)))
                })
                .collect();
            let mut quota = quota.clone();
            quota["status"] = json!({"hard": hard, "used": used});
            Some(quota)
        });
    }
}

fn hard(quota: &Value) -> Amounts {
    let hard = quota.pointer("/spec/hard").and_then(Value::as_object);
    let hard = hard.into_iter().flatten();
    hard.map(|(name, quantity)| (name.clone(), millis(quantity)))
        .collect()
}

/// What exists of what a quota counts.
fn used(cluster: &Cluster, namespace: &str, quota: &Value) -> Amounts {
    let mut used = Amounts::new();
    let mut tables: Vec<(String, String)> = Vec::new();
    for resource in hard(quota).keys() {
        let table = table_of(resource);
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    for (group, plural) in tables {
        let table = cluster.table_of(&group, &plural);
        for (_, row) in cluster.world.store.list(&table, &key_prefix(namespace)).0 {
            for (resource, amount) in of(quota, &group, &plural, &row.value) {
                *used.entry(resource).or_default() += amount;
            }
        }
    }
    used
}

/// Where the objects are that a name of a quota counts.
fn table_of(resource: &str) -> (String, String) {
    if let Some(counted) = resource.strip_prefix("count/") {
        let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
        return (group.to_owned(), plural.to_owned());
    }
    let plural = match resource {
        "configmaps"
        | "secrets"
        | "services"
        | "replicationcontrollers"
        | "resourcequotas"
        | "persistentvolumeclaims" => resource,
        "services.loadbalancers" | "services.nodeports" => "services",
        _ if resource.contains("storage") && !resource.contains("ephemeral") => {
            "persistentvolumeclaims"
        }
        _ if resource.contains(".storageclass.storage.k8s.io/") => "persistentvolumeclaims",
        _ => "pods",
    };
    (String::new(), plural.to_owned())
}

/// What one object counts for.
fn of(quota: &Value, group: &str, plural: &str, object: &Value) -> Amounts {
    const ONE: i64 = 1000;
    let mut amounts = Amounts::new();
    let counted = if group.is_empty() {
        format!("count/{plural}")
    } else {
        format!("count/{plural}.{group}")
    };
    amounts.insert(counted, ONE);
    if !group.is_empty() {
        return amounts;
    }
    match plural {
        "pods" => {
            if !applies(quota, object) {
                return Amounts::new();
            }
            if matches!(text(object, "/status/phase"), "Succeeded" | "Failed") {
                return amounts;
            }
            amounts.insert("pods".to_owned(), ONE);
            for part in ["requests", "limits"] {
                for resource in ["cpu", "memory", "ephemeral-storage"] {
                    let Some(sum) = asked(object, part, resource) else {
                        continue;
                    };
                    amounts.insert(format!("{part}.{resource}"), sum);
                    if part == "requests" {
                        amounts.insert(resource.to_owned(), sum);
                    }
                }
            }
        }
        "services" => {
            amounts.insert(plural.to_owned(), ONE);
            let ports = i64::try_from(items(object, "/spec/ports").len()).unwrap_or_default();
            let (balanced, on_nodes) = match text(object, "/spec/type") {
                "LoadBalancer" => (1, ports),
                "NodePort" => (0, ports),
                _ => (0, 0),
            };
            amounts.insert("services.loadbalancers".to_owned(), balanced * ONE);
            amounts.insert("services.nodeports".to_owned(), on_nodes * ONE);
        }
        "persistentvolumeclaims" => {
            amounts.insert(plural.to_owned(), ONE);
            let storage = object.pointer("/spec/resources/requests/storage");
            let storage = storage.map_or(0, millis);
            amounts.insert("requests.storage".to_owned(), storage);
            let class = text(object, "/spec/storageClassName");
            if !class.is_empty() {
                let of_class = format!("{class}.storageclass.storage.k8s.io");
                amounts.insert(format!("{of_class}/requests.storage"), storage);
                amounts.insert(format!("{of_class}/persistentvolumeclaims"), ONE);
            }
        }
        "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas" => {
            amounts.insert(plural.to_owned(), ONE);
        }
        _ => {}
    }
    amounts
}

/// Whether a quota's scopes take a pod in.
fn applies(quota: &Value, pod: &Value) -> bool {
    let ends = pod.pointer("/spec/activeDeadlineSeconds").is_some();
    let bare = ["requests", "limits"].iter().all(|part| {
        let resources = ["cpu", "memory"];
        resources
            .iter()
            .all(|name| asked(pod, part, name).is_none())
    });
    items(quota, "/spec/scopes")
        .iter()
        .all(|scope| match scope.as_str() {
            Some("Terminating") => ends,
            Some("NotTerminating") => !ends,
            Some("BestEffort") => bare,
            Some("NotBestEffort") => !bare,
            _ => true,
        })
}

/// What a pod's containers ask for together, or its largest init container;
/// none if nobody asks.
pub(super) fn asked(pod: &Value, part: &str, resource: &str) -> Option<i64> {
    let pointer = format!("/resources/{part}/{resource}");
    let each = |list: &str| {
        let containers = items(pod, list).iter();
        containers
            .filter_map(|c| c.pointer(&pointer).map(millis))
            .collect::<Vec<_>>()
    };
    let (running, first) = (each("/spec/containers"), each("/spec/initContainers"));
    if running.is_empty() && first.is_empty() {
        return None;
    }
    let most = first.into_iter().max().unwrap_or_default();
    Some(running.iter().sum::<i64>().max(most))
}

/// What containers do not say although a quota counts it.
fn unstated(hard: &Amounts, pod: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    for name in STATED.iter().filter(|name| hard.contains_key(**name)) {
        let (part, resource) = name.split_once('.').unwrap_or(("requests", name));
        let lists = ["/spec/containers", "/spec/initContainers"];
        let containers = lists.iter().flat_map(|list| items(pod, list));
        let without: Vec<&str> = containers
            .filter(|c| {
                c.pointer(&format!("/resources/{part}/{resource}"))
                    .is_none()
            })
            .map(|c| text(c, "/name"))
            .collect();
        if !without.is_empty() {
            missing.push(format!("{name} for: {}", without.join(",")));
        }
    }
    missing.sort();
    missing
}

/// An amount as quantities are written.
pub(super) fn shown(resource: &str, amount: i64) -> String {
    let bytes = resource.contains("memory") || resource.contains("storage");
    if amount % 1000 != 0 {
        return format!("{amount}m");
    }
    let whole = amount / 1000;
    if bytes && !resource.ends_with("persistentvolumeclaims") {
        for (unit, shift) in [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)] {
            if whole != 0 && whole % (1 << shift) == 0 {
                return format!("{}{unit}", whole >> shift);
            }
        }
    }
    whole.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_quantities() {
        for (resource, amount, text) in [
            ("pods", 3000, "3"),
            ("cpu", 250, "250m"),
            ("limits.cpu", 2000, "2"),
            ("requests.memory", 1_073_741_824_000, "1Gi"),
            ("memory", 1_000_000_000, "1000000"),
            ("memory", 0, "0"),
        ] {
            assert_eq!(shown(resource, amount), text, "{resource}");
        }
    }

    #[test]
    fn a_pod_counts_by_what_it_asks_for_unless_it_is_over() {
        let container = json!({"name": "c", "resources": {"requests": {"cpu": "100m"}}});
        let mut pod = json!({"spec": {"containers": [container, container]}});
        let amounts = of(&json!({}), "", "pods", &pod);
        assert_eq!((amounts["pods"], amounts["requests.cpu"]), (1000, 200));
        pod["status"]["phase"] = json!("Succeeded");
        let amounts = of(&json!({}), "", "pods", &pod);
        assert_eq!(amounts.keys().collect::<Vec<_>>(), ["count/pods"]);
        let best = json!({"spec": {"scopes": ["BestEffort"]}});
        assert!(of(&best, "", "pods", &pod).is_empty());
    }

    #[test]
    fn containers_must_say_what_is_counted() {
        let hard = Amounts::from([("limits.cpu".to_owned(), 1), ("cpu".to_owned(), 1)]);
        let pod = json!({"spec": {"containers": [
            {"name": "a", "resources": {"requests": {"cpu": "1"}}}, {"name": "b"},
        ]}});
        assert_eq!(unstated(&hard, &pod), ["cpu for: b", "limits.cpu for: a,b"]);
    }
}
