//! What there is: versions, groups and resources, in the old lists and in the
//! aggregated form.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::catalog::Resource;
use super::cluster::Cluster;
use super::registry::Registry;
use super::request::no_deletecollection;
use super::status::{Outcome, Status};
use crate::sandbox::http::{Reply, Request};

/// The version that the server says it is, unless the cluster has its own.
pub const VERSION: &str = "v1.36.2";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/version` of a server of this version, e.g. `v1.34.1`.
pub fn version(of: &str) -> Value {
    let minor: u32 = of
        .split('.')
        .nth(1)
        .and_then(|m| m.parse().ok())
        .unwrap_or(36);
    json!({
        "major": "1",
        "minor": minor.to_string(),
        "emulationMajor": "1",
        "emulationMinor": minor.to_string(),
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": minor.saturating_sub(1).to_string(),
        "gitVersion": of,
        "gitCommit": "93248f9ae092f571eb870b7664c534bfc7d00f03",
        "gitTreeState": "clean",
        "buildDate": "2025-09-09T19:38:36Z",
        "goVersion": "go1.24.6",
        "compiler": "gc",
        "platform": "linux/amd64",
    })
}

/// The paths that there are.
pub fn root(cluster: &Cluster) -> Reply {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for (group, versions) in cluster.registry().groups() {
        if !group.is_empty() {
            paths.push(format!("/apis/{group}"));
            paths.extend(versions.iter().map(|v| format!("/apis/{group}/{v}")));
        }
    }
    for path in [
        "/healthz",
        "/livez",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ] {
        paths.push(path.to_owned());
    }
    Reply::json(StatusCode::OK, &json!({"paths": paths}))
}

/// Whether the aggregated form comes before plain lists in `Accept`.
fn wants_aggregated(request: &Request) -> bool {
    let accept = request.header("accept").unwrap_or_default();
    accept
        .split(',')
        .map(str::trim)
        .find(|choice| {
            choice.contains("as=APIGroupDiscoveryList") && choice.contains("v=v2;")
                || choice.contains("as=APIGroupDiscoveryList") && choice.ends_with("v=v2")
                || !choice.contains("as=") && choice.starts_with("application/json")
        })
        .is_some_and(|choice| choice.contains("as="))
}

/// `/api`.
pub fn api(cluster: &Cluster, request: &Request) -> Outcome<Reply> {
    let registry = cluster.registry();
    if wants_aggregated(request) {
        let groups = vec![(String::new(), vec!["v1".to_owned()])];
        return Ok(aggregated(&registry, &groups));
    }
    Ok(Reply::json(
        StatusCode::OK,
        &json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }),
    ))
}

/// `/apis`.
pub fn apis(cluster: &Cluster, request: &Request) -> Outcome<Reply> {
    let registry = cluster.registry();
    let mut groups = registry.groups();
    groups.retain(|(group, _)| !group.is_empty());
    if wants_aggregated(request) {
        return Ok(aggregated(&registry, &groups));
    }
    let groups: Vec<_> = groups.iter().map(|(g, v)| group_value(g, v)).collect();
    Ok(Reply::json(
        StatusCode::OK,
        &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
    ))
}

fn group_value(group: &str, versions: &[String]) -> Value {
    let versions: Vec<_> = versions
        .iter()
        .map(|v| json!({"groupVersion": format!("{group}/{v}"), "version": v}))
        .collect();
    json!({
        "name": group,
        "preferredVersion": versions.first(),
        "versions": versions,
    })
}

/// `/apis/{group}`.
pub fn group(cluster: &Cluster, group: &str) -> Outcome<Reply> {
    let groups = cluster.registry().groups();
    let (name, versions) = groups
        .iter()
        .find(|(g, _)| g == group)
        .ok_or_else(Status::no_such_resource)?;
    let mut value = group_value(name, versions);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    Ok(Reply::json(StatusCode::OK, &value))
}

/// `/api/v1` and `/apis/{group}/{version}`.
pub fn resources(cluster: &Cluster, group: &str, version: &str) -> Outcome<Reply> {
    let registry = cluster.registry();
    let found = registry.of(group, version);
    let Some(first) = found.first() else {
        return Err(Status::no_such_resource());
    };
    let mut list = Vec::new();
    for resource in &found {
        let mut entry = json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": verbs(resource),
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        list.push(entry);
        for sub in &resource.subresources {
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, sub.name()),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": sub.kind().map_or(resource.kind.as_str(), |(.., kind)| kind),
                "verbs": sub.verbs(),
            });
            if let Some((group, version, _)) = sub.kind() {
                entry["group"] = json!(group);
                entry["version"] = json!(version);
            }
            list.push(entry);
        }
    }
    Ok(Reply::json(
        StatusCode::OK,
        &json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": first.api_version(),
            "resources": list,
        }),
    ))
}

fn verbs(resource: &Resource) -> Vec<&'static str> {
    let mut verbs = resource.verbs.names().to_vec();
    if no_deletecollection(resource) {
        verbs.retain(|v| *v != "deletecollection");
    }
    verbs
}

fn aggregated(registry: &Registry, groups: &[(String, Vec<String>)]) -> Reply {
    let items: Vec<_> = groups
        .iter()
        .map(|(group, versions)| {
            let versions: Vec<_> = versions
                .iter()
                .map(|version| {
                    let resources = registry.of(group, version);
                    let resources: Vec<_> = resources.iter().map(aggregated_resource).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            json!({"metadata": {"name": group}, "versions": versions})
        })
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    });
    Reply::json(StatusCode::OK, &list).with("content-type", AGGREGATED)
}

fn aggregated_resource(resource: &Arc<Resource>) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let own = kind(&resource.group, &resource.version, &resource.kind);
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": own,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": verbs(resource),
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let subs: Vec<_> = resource
        .subresources
        .iter()
        .map(|sub| {
            let response = sub.kind().map_or(own.clone(), |(g, v, k)| kind(g, v, k));
            json!({"subresource": sub.name(), "responseKind": response, "verbs": sub.verbs()})
        })
        .collect();
    if !subs.is_empty() {
        entry["subresources"] = json!(subs);
    }
    entry
}
