//! From Ingresses, Services and `EndpointSlices` to a table of routes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::Value;

/// A pod's address and port.
pub(super) type Endpoint = (Ipv4Addr, u16);

/// How a path is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Exact,
    Prefix,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    path: String,
    how: Match,
    endpoints: Vec<Endpoint>,
}

/// Routes by host; the empty host takes what no other does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Table {
    hosts: BTreeMap<String, Vec<Route>>,
}

/// Whether an Ingress is for this controller.
pub(super) fn is_of_class(ingress: &Value, class: &str) -> bool {
    let old = &ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"];
    ingress["spec"]["ingressClassName"] == class || old == class
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"][name].as_str().unwrap_or_default()
}

fn title(ingress: &Value) -> String {
    format!("{}/{}", text(ingress, "namespace"), text(ingress, "name"))
}

impl Table {
    /// The table, and what is wrong with the Ingresses.
    pub(super) fn build(
        ingresses: &[Value],
        services: &[Value],
        slices: &[Value],
        empty_host: bool,
    ) -> (Self, Vec<String>) {
        let mut table = Self::default();
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        let mut warnings = Vec::new();
        // The oldest Ingress has the host.
        let mut ordered: Vec<&Value> = ingresses.iter().collect();
        ordered.sort_by_key(|one| (text(one, "creationTimestamp"), text(one, "uid")));
        for ingress in ordered {
            let merges =
                ingress["metadata"]["annotations"]["nginx.org/mergeable-ingress-type"].is_string();
            for rule in ingress["spec"]["rules"].as_array().into_iter().flatten() {
                let host = rule["host"]
                    .as_str()
                    .unwrap_or_default()
                    .to_ascii_lowercase();
                if host.is_empty() && !empty_host {
                    warnings.push(format!(
                        "Ingress {} was rejected: spec.rules[0].host: Required value",
                        title(ingress)
                    ));
                    continue;
                }
                let owner = owners.entry(host.clone()).or_insert_with(|| title(ingress));
                if *owner != title(ingress) && !merges {
                    warnings.push(format!(
                        "Ingress {}: host \"{host}\" is taken by another resource ({owner})",
                        title(ingress)
                    ));
                    continue;
                }
                let routes = table.hosts.entry(host).or_default();
                for path in rule["http"]["paths"].as_array().into_iter().flatten() {
                    routes.push(route(ingress, path, services, slices));
                }
            }
        }
        (table, warnings)
    }

    /// Where a request goes: none if no route takes it, no endpoints if nobody
    /// is ready.
    pub(super) fn find(&self, host: &str, path: &str) -> Option<&[Endpoint]> {
        let host = host.to_ascii_lowercase();
        let wildcard = host.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let named = self.hosts.get(&host);
        let named = named.or_else(|| self.hosts.get(&wildcard?));
        let routes = named.or_else(|| self.hosts.get(""))?;
        let fits = |route: &&Route| match route.how {
            Match::Exact => route.path == path,
            Match::Prefix => {
                let prefix = route.path.trim_end_matches('/');
                let rest = path.strip_prefix(prefix);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        };
        let best = routes
            .iter()
            .filter(fits)
            .max_by_key(|route| (route.how == Match::Exact, route.path.len()));
        best.map(|route| route.endpoints.as_slice())
    }
}

fn route(ingress: &Value, path: &Value, services: &[Value], slices: &[Value]) -> Route {
    let namespace = text(ingress, "namespace");
    let backend = &path["backend"]["service"];
    let name = backend["name"].as_str().unwrap_or_default();
    let service = services
        .iter()
        .find(|one| text(one, "namespace") == namespace && text(one, "name") == name);
    let port = service.and_then(|service| {
        let mut ports = service["spec"]["ports"].as_array()?.iter();
        ports.find(|port| {
            let wanted = &backend["port"];
            match wanted["number"].as_u64() {
                Some(number) => port["port"] == number,
                None => port["name"] == wanted["name"],
            }
        })
    });
    let endpoints = port.map_or_else(Vec::new, |port| {
        let port_name = port["name"].as_str().unwrap_or_default();
        endpoints(slices, namespace, name, port_name)
    });
    Route {
        path: path["path"].as_str().unwrap_or("/").to_owned(),
        how: match path["pathType"].as_str() {
            Some("Exact") => Match::Exact,
            _ => Match::Prefix,
        },
        endpoints,
    }
}

/// The ready endpoints of a Service's port.
fn endpoints(slices: &[Value], namespace: &str, service: &str, port: &str) -> Vec<Endpoint> {
    let mut found = Vec::new();
    let ours = slices.iter().filter(|slice| {
        let of = &slice["metadata"]["labels"]["kubernetes.io/service-name"];
        text(slice, "namespace") == namespace && of == service
    });
    for slice in ours {
        let mut ports = slice["ports"].as_array().into_iter().flatten();
        let number = ports.find(|one| one["name"].as_str().unwrap_or_default() == port);
        let number = number.and_then(|one| u16::try_from(one["port"].as_u64()?).ok());
        let Some(number) = number else { continue };
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            if endpoint["conditions"]["ready"] == Value::Bool(false) {
                continue;
            }
            let addresses = endpoint["addresses"].as_array().into_iter().flatten();
            let addresses = addresses.filter_map(|one| one.as_str()?.parse().ok());
            found.extend(addresses.map(|address: Ipv4Addr| (address, number)));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ingress(name: &str, host: Option<&str>, paths: &[(&str, &str, &str)]) -> Value {
        let paths: Vec<Value> = paths
            .iter()
            .map(|(path, kind, service)| {
                json!({
                    "path": path, "pathType": kind,
                    "backend": {"service": {"name": service, "port": {"number": 80}}},
                })
            })
            .collect();
        json!({
            "metadata": {"namespace": "todo", "name": name, "creationTimestamp": name},
            "spec": {"rules": [{"host": host, "http": {"paths": paths}}]},
        })
    }

    fn cluster() -> (Vec<Value>, Vec<Value>) {
        let names = [("frontend", 3), ("backend", 4)];
        let services = names.map(|(name, _)| {
            json!({
                "metadata": {"namespace": "todo", "name": name},
                "spec": {"ports": [{"name": "http", "port": 80}]},
            })
        });
        let slices = names.map(|(name, last)| json!({
            "metadata": {"namespace": "todo", "name": name, "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "http", "port": 8000}],
            "endpoints": [
                {"addresses": [format!("10.0.0.{last}")], "conditions": {"ready": true}},
                {"addresses": ["10.0.0.99"], "conditions": {"ready": false}},
            ],
        }));
        (services.to_vec(), slices.to_vec())
    }

    #[test]
    fn the_longest_path_wins_and_only_the_ready_are_asked() {
        let (services, slices) = cluster();
        let paths = [("/", "Prefix", "frontend"), ("/api", "Prefix", "backend")];
        let (table, warnings) =
            Table::build(&[ingress("a", None, &paths)], &services, &slices, true);
        assert!(warnings.is_empty());
        let at = |path: &str| table.find("x.example", path).map(|all| all.to_vec());
        let pod = |last| Some(vec![(Ipv4Addr::new(10, 0, 0, last), 8000)]);
        assert_eq!(at("/"), pod(3));
        assert_eq!(at("/apiary"), pod(3));
        assert_eq!(at("/api"), pod(4));
        assert_eq!(at("/api/tasks"), pod(4));
    }

    #[test]
    fn a_host_belongs_to_the_oldest_ingress() {
        let (services, slices) = cluster();
        let all = [
            ingress("b", Some("todo.example"), &[("/", "Prefix", "backend")]),
            ingress("a", Some("todo.example"), &[("/", "Prefix", "frontend")]),
            ingress("c", None, &[("/", "Prefix", "backend")]),
        ];
        let (table, warnings) = Table::build(&all, &services, &slices, false);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert_eq!(table.find("todo.example", "/").unwrap()[0].0.octets()[3], 3);
        assert_eq!(table.find("other.example", "/"), None);
    }
}
