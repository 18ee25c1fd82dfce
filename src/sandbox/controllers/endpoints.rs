//! Endpoints and `EndpointSlices`: which pods are behind a Service.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::queue::{Again, Controller};
use super::{Plane, labels, pods};
use crate::sandbox::api::ApiError;
use crate::sandbox::cache::{Client, News};
use crate::sandbox::kind::{Kind, is_leaving, items, key_of, split, text, uid};
use crate::sandbox::kubelet::probe::resolve;

/// The label that ties a slice to its Service.
pub const SERVICE: &str = "kubernetes.io/service-name";
const MANAGED: &str = "endpointslice.kubernetes.io/managed-by";

/// The controller.
pub struct Endpoints {
    plane: Arc<Plane>,
    slices: Client,
    legacy: Client,
}

/// The addresses of the pods with the same ports.
#[derive(Default)]
struct Group {
    ports: Vec<Value>,
    ready: Vec<Value>,
    other: Vec<Value>,
}

/// The Services whose pods a change concerns.
fn services_of(plane: &Plane, pod: &Value) -> Vec<String> {
    plane
        .cache()
        .list(Kind::Services, text(pod, "/metadata/namespace"))
        .iter()
        .filter(|service| is_behind(service, pod))
        .map(|service| key_of(service))
        .collect()
}

/// Whether a Service selects a pod. One without selector selects none.
pub fn is_behind(service: &Value, pod: &Value) -> bool {
    let selector = service.pointer("/spec/selector");
    let labels = pod.pointer("/metadata/labels").unwrap_or(&Value::Null);
    selector
        .and_then(Value::as_object)
        .is_some_and(|selector| !selector.is_empty())
        && labels::matches_all(selector, labels)
}

/// A Service's ports as a pod has them; none if the pod lacks one of them.
fn ports(service: &Value, pod: &Value) -> Vec<Value> {
    let headless = text(service, "/spec/clusterIP") == "None";
    items(service, "/spec/ports")
        .iter()
        .filter_map(|port| {
            let target = port.get("targetPort").unwrap_or(&port["port"]);
            let target = if headless && target.is_null() {
                &port["port"]
            } else {
                target
            };
            let number = items(pod, "/spec/containers")
                .iter()
                .chain(items(pod, "/spec/initContainers"))
                .find_map(|container| resolve(target, container))?;
            let protocol = match text(port, "/protocol") {
                "" => "TCP",
                protocol => protocol,
            };
            let mut shown = json!({
                "name": text(port, "/name"),
                "port": number,
                "protocol": protocol,
            });
            if let Some(app) = port.get("appProtocol") {
                shown["appProtocol"] = app.clone();
            }
            Some(shown)
        })
        .collect()
}

impl Endpoints {
    /// The controller of a plane.
    pub fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: plane.clone(),
            slices: plane.client.as_controller("endpointslice-controller"),
            legacy: plane.client.as_controller("endpoint-controller"),
        }
    }

    fn pods(&self, service: &Value) -> Vec<Arc<Value>> {
        let all = self
            .plane
            .cache()
            .list(Kind::Pods, text(service, "/metadata/namespace"));
        all.into_iter()
            .filter(|pod| is_behind(service, pod))
            .filter(|pod| !pods::is_finished(pod) && !text(pod, "/status/podIP").is_empty())
            .collect()
    }

    fn endpoint(&self, service: &Value, pod: &Value) -> Value {
        let serving = pods::is_ready(pod);
        let leaving = is_leaving(pod);
        let always = service.pointer("/spec/publishNotReadyAddresses") == Some(&json!(true));
        let node = text(pod, "/spec/nodeName");
        let mut endpoint = json!({
            "addresses": [text(pod, "/status/podIP")],
            "conditions": {
                "ready": always || (serving && !leaving),
                "serving": serving,
                "terminating": leaving,
            },
            "nodeName": node,
            "targetRef": {
                "kind": "Pod",
                "name": text(pod, "/metadata/name"),
                "namespace": text(pod, "/metadata/namespace"),
                "uid": uid(pod),
            },
        });
        let hostname = text(pod, "/spec/hostname");
        if !hostname.is_empty() && text(pod, "/spec/subdomain") == text(service, "/metadata/name") {
            endpoint["hostname"] = json!(hostname);
        }
        let node = self.plane.cache().get(Kind::Nodes, node);
        let zone = node
            .as_ref()
            .and_then(|node| node.pointer("/metadata/labels/topology.kubernetes.io~1zone"));
        if let Some(zone) = zone {
            endpoint["zone"] = zone.clone();
        }
        endpoint
    }

    async fn write_slices(&self, service: &Value, pods: &[Arc<Value>]) -> Result<(), ApiError> {
        let name = text(service, "/metadata/name");
        let namespace = text(service, "/metadata/namespace");
        let mut wanted: BTreeMap<String, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
        for pod in pods {
            let ports = ports(service, pod);
            let group = wanted
                .entry(json!(ports).to_string())
                .or_insert_with(|| (ports, Vec::new()));
            group.1.push(self.endpoint(service, pod));
        }
        if wanted.is_empty() {
            wanted.insert(String::new(), (Vec::new(), Vec::new()));
        }
        let mut held: Vec<Arc<Value>> = self
            .plane
            .cache()
            .list(Kind::Slices, namespace)
            .into_iter()
            .filter(|slice| {
                let labels = slice.pointer("/metadata/labels").unwrap_or(&Value::Null);
                labels[SERVICE] == name && labels[MANAGED] == "endpointslice-controller.k8s.io"
            })
            .collect();
        for (ports, mut endpoints) in wanted.into_values() {
            endpoints.sort_by_key(|endpoint| text(endpoint, "/addresses/0").to_owned());
            let ports = json!(ports);
            let at = held.iter().position(|slice| slice["ports"] == ports);
            let at = at.or_else(|| (!held.is_empty()).then_some(0));
            let Some(slice) = at.map(|at| held.remove(at)) else {
                self.make_slice(service, &ports, &endpoints).await?;
                continue;
            };
            if slice["ports"] != ports || *items(&slice, "/endpoints") != *endpoints {
                let mut slice = (*slice).clone();
                slice["ports"] = ports;
                slice["endpoints"] = json!(endpoints);
                self.slices.update(Kind::Slices, &slice).await?;
            }
        }
        for slice in held {
            self.slices.delete(Kind::Slices, &slice).await?;
        }
        Ok(())
    }

    async fn make_slice(
        &self,
        service: &Value,
        ports: &Value,
        endpoints: &[Value],
    ) -> Result<(), ApiError> {
        let name = text(service, "/metadata/name");
        let mut all = service
            .pointer("/metadata/labels")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        if text(service, "/spec/clusterIP") == "None" {
            all.insert("service.kubernetes.io/headless".to_owned(), json!(""));
        }
        all.insert(SERVICE.to_owned(), json!(name));
        all.insert(MANAGED.to_owned(), json!("endpointslice-controller.k8s.io"));
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "generateName": format!("{name}-"),
                "namespace": text(service, "/metadata/namespace"),
                "labels": all,
                "ownerReferences": [pods::reference(Kind::Services, service)],
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": ports,
        });
        self.slices.create(Kind::Slices, &slice).await?;
        Ok(())
    }

    async fn write_endpoints(&self, service: &Value, pods: &[Arc<Value>]) -> Result<(), ApiError> {
        let always = service.pointer("/spec/publishNotReadyAddresses") == Some(&json!(true));
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for pod in pods {
            let ports = ports(service, pod);
            let endpoint = self.endpoint(service, pod);
            let mut address = json!({
                "ip": endpoint["addresses"][0],
                "nodeName": endpoint["nodeName"],
                "targetRef": endpoint["targetRef"],
            });
            if let Some(hostname) = endpoint.get("hostname") {
                address["hostname"] = hostname.clone();
            }
            let group = groups
                .entry(json!(ports).to_string())
                .or_insert_with(|| Group {
                    ports,
                    ..Group::default()
                });
            if is_leaving(pod) && !always {
                continue;
            }
            if always || pods::is_ready(pod) {
                group.ready.push(address);
            } else {
                group.other.push(address);
            }
        }
        let by_ip = |list: &mut Vec<Value>| list.sort_by_key(|a| text(a, "/ip").to_owned());
        let mut subsets = Vec::new();
        for group in groups.into_values() {
            let Group {
                ports,
                mut ready,
                mut other,
            } = group;
            if ready.is_empty() && other.is_empty() {
                continue;
            }
            by_ip(&mut ready);
            by_ip(&mut other);
            let mut subset = json!({});
            if !ready.is_empty() {
                subset["addresses"] = json!(ready);
            }
            if !other.is_empty() {
                subset["notReadyAddresses"] = json!(other);
            }
            subset["ports"] = ports
                .into_iter()
                .map(|mut port| {
                    if port["name"] == ""
                        && let Some(port) = port.as_object_mut()
                    {
                        port.shift_remove("name");
                    }
                    port
                })
                .collect();
            subsets.push(subset);
        }
        let key = key_of(service);
        if let Some(held) = self.plane.cache().get(Kind::Endpoints, &key) {
            if *items(&held, "/subsets") != *subsets {
                let mut object = (*held).clone();
                object["subsets"] = json!(subsets);
                self.legacy.update(Kind::Endpoints, &object).await?;
            }
            return Ok(());
        }
        let mut all = service
            .pointer("/metadata/labels")
            .cloned()
            .unwrap_or(json!({}));
        all["endpoints.kubernetes.io/managed-by"] = json!("endpoint-controller");
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {
                "name": text(service, "/metadata/name"),
                "namespace": text(service, "/metadata/namespace"),
                "labels": all,
            },
        });
        if !subsets.is_empty() {
            object["subsets"] = json!(subsets);
        }
        self.legacy.create(Kind::Endpoints, &object).await?;
        Ok(())
    }
}

#[async_trait]
impl Controller for Endpoints {
    fn concerns(&self, news: &News) -> Vec<String> {
        match news.kind {
            Kind::Services => vec![news.key.to_string()],
            Kind::Pods => {
                let of = |pod: &Option<Arc<Value>>| {
                    pod.as_ref()
                        .map(|pod| services_of(&self.plane, pod))
                        .unwrap_or_default()
                };
                let mut keys = of(&news.before);
                keys.extend(of(&news.after));
                keys
            }
            _ => Vec::new(),
        }
    }

    async fn look(&self, key: &str) -> Result<Again, ApiError> {
        let Some(service) = self.plane.cache().get(Kind::Services, key) else {
            // Slices go with their owner; the older kind has none.
            if let Some(held) = self.plane.cache().get(Kind::Endpoints, key)
                && held
                    .pointer("/metadata/labels/endpoints.kubernetes.io~1managed-by")
                    .is_some()
            {
                self.legacy.delete(Kind::Endpoints, &held).await?;
            }
            return Ok(None);
        };
        let selects = service
            .pointer("/spec/selector")
            .and_then(Value::as_object)
            .is_some_and(|selector| !selector.is_empty());
        if !selects || is_leaving(&service) || split(key).0.is_empty() {
            return Ok(None);
        }
        let pods = self.pods(&service);
        self.write_slices(&service, &pods).await?;
        self.write_endpoints(&service, &pods).await?;
        Ok(None)
    }
}
