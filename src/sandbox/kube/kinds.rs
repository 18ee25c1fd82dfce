//! What is special about single kinds: what the server fills in by itself.

use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::catalog::{Resource, Sub};
use super::cluster::text;
use super::crd;
use super::objects::DeleteOptions;
use super::request::Call;
use super::status::{Outcome, Status};

/// Brings an object into its stored form, as decoding it does.
pub fn convert(resource: &Resource, object: &mut Value) {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "secrets") => fold_string_data(object),
        ("", "namespaces") => label_namespace(object),
        ("apps", "daemonsets") => {
            let key = "deprecated.daemonset.template.generation";
            if object["metadata"]["annotations"].get(key).is_none() {
                object["metadata"]["annotations"][key] = json!("1");
            }
        }
        ("batch", "jobs") => copy_labels(object),
        ("apiextensions.k8s.io", _) => crd::prepare_definition(object),
        _ => {}
    }
}

/// A job without labels has those of its pods.
fn copy_labels(job: &mut Value) {
    let own = job.pointer("/metadata/labels").and_then(Value::as_object);
    if own.is_none_or(serde_json::Map::is_empty)
        && let Some(labels) = job.pointer("/spec/template/metadata/labels").cloned()
    {
        job["metadata"]["labels"] = labels;
    }
}

/// Readies a new object of a kind.
pub fn prepare_create(call: &Call, object: &mut Value) -> Outcome<()> {
    match (call.resource.group.as_str(), call.resource.plural.as_str()) {
        ("", "namespaces") => new_namespace(object),
        ("", "services") => allocate(call, None, object),
        ("", "pods") => {
            prioritise(call, object)?;
            new_pod(object);
        }
        ("", "persistentvolumeclaims") => {
            classify(call, object);
            object["status"] = json!({"phase": "Pending"});
            object["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
        }
        ("", "persistentvolumes") => object["status"] = json!({"phase": "Pending"}),
        ("batch", "jobs") => new_job(object),
        ("apiextensions.k8s.io", _) => crd::start_definition(object),
        _ => {}
    }
    Ok(())
}

/// Readies a changed object of a kind.
pub fn prepare_update(call: &Call, old: &Value, new: &mut Value) -> Outcome<()> {
    match (call.resource.group.as_str(), call.resource.plural.as_str()) {
        ("", "namespaces") if call.sub != Some(Sub::Finalize) => {
            new["spec"] = old["spec"].clone();
            label_namespace(new);
        }
        ("", "services") if call.sub.is_none() => allocate(call, Some(old), new),
        _ => {}
    }
    Ok(())
}

fn new_namespace(object: &mut Value) {
    let finalizers = object
        .pointer_mut("/spec/finalizers")
        .and_then(Value::as_array_mut);
    match finalizers {
        Some(list) if list.iter().any(|f| f == "kubernetes") => {}
        Some(list) => list.push(json!("kubernetes")),
        None => object["spec"]["finalizers"] = json!(["kubernetes"]),
    }
    object["status"] = json!({"phase": "Active"});
    label_namespace(object);
}

fn label_namespace(object: &mut Value) {
    let name = text(object, "/metadata/name").to_owned();
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
}

fn fold_string_data(object: &mut Value) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    let Some(Value::Object(plain)) = map.shift_remove("stringData") else {
        return;
    };
    let data = map.entry("data").or_insert_with(|| json!({}));
    for (name, value) in plain {
        let bytes = value.as_str().unwrap_or_default();
        data[name] = json!(STANDARD.encode(bytes));
    }
}

/// Gives a pod the priority of its class, or of the default class.
fn prioritise(call: &Call, pod: &mut Value) -> Outcome<()> {
    let table = call
        .cluster
        .table_of("scheduling.k8s.io", "priorityclasses");
    let store = &call.cluster.world.store;
    let name = text(pod, "/spec/priorityClassName").to_owned();
    let class = if name.is_empty() {
        let classes = store
            .list(&table, "")
            .0
            .into_iter()
            .map(|(_, row)| row.value);
        let defaults = classes.filter(|class| class["globalDefault"] == true);
        defaults.max_by_key(|class| class["value"].as_i64())
    } else {
        let Some(row) = store.get(&table, &name) else {
            let why = format!("no PriorityClass with name {name} was found");
            let pod = text(pod, "/metadata/name");
            return Err(Status::forbidden(&call.resource, pod, &why));
        };
        Some(row.value)
    };
    if let Some(class) = class {
        pod["spec"]["priorityClassName"] = class["metadata"]["name"].clone();
        pod["spec"]["priority"] = class["value"].clone();
        if let Some(policy) = class.get("preemptionPolicy") {
            pod["spec"]["preemptionPolicy"] = policy.clone();
        }
    }
    Ok(())
}

/// Gives a claim that names no storage class the default one; the newest, if
/// there are several. An empty name is a choice as well.
fn classify(call: &Call, claim: &mut Value) {
    if claim.pointer("/spec/storageClassName").is_some() {
        return;
    }
    let table = call.cluster.table_of("storage.k8s.io", "storageclasses");
    let classes = call.cluster.world.store.list(&table, "").0.into_iter();
    let chosen = classes
        .map(|(_, row)| row.value)
        .filter(|class| {
            let marks = &class["metadata"]["annotations"];
            marks["storageclass.kubernetes.io/is-default-class"] == "true"
        })
        .max_by_key(|class| text(class, "/metadata/creationTimestamp").to_owned());
    if let Some(class) = chosen {
        claim["spec"]["storageClassName"] = class["metadata"]["name"].clone();
    }
}

fn new_pod(object: &mut Value) {
    object["status"] = json!({"phase": "Pending", "qosClass": quality(object)});
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    spec.entry("priority").or_insert_with(|| json!(0));
    spec.entry("preemptionPolicy")
        .or_insert_with(|| json!("PreemptLowerPriority"));
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    for key in ["not-ready", "unreachable"] {
        let key = format!("node.kubernetes.io/{key}");
        if let Some(list) = tolerations.as_array_mut()
            && !list.iter().any(|t| t["key"] == key.as_str())
        {
            list.push(json!({
                "effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": 300,
            }));
        }
    }
}

/// A pod's quality of service: by its requests and limits.
fn quality(pod: &Value) -> &'static str {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let containers = containers.map_or(&[][..], Vec::as_slice);
    let part = |c: &Value, part: &str| c.pointer(&format!("/resources/{part}")).cloned();
    let bare = |c: &Value| {
        let empty = |v: Option<Value>| {
            v.is_none_or(|v| v.as_object().is_none_or(serde_json::Map::is_empty))
        };
        empty(part(c, "requests")) && empty(part(c, "limits"))
    };
    let full = |c: &Value| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = c.pointer(&format!("/resources/limits/{name}"));
            let request = c.pointer(&format!("/resources/requests/{name}"));
            limit.is_some() && (request.is_none() || request == limit)
        })
    };
    if containers.iter().all(bare) {
        "BestEffort"
    } else if containers.iter().all(full) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// A job selects its pods by its own uid.
fn new_job(object: &mut Value) {
    if object.pointer("/spec/selector").is_some() || object["spec"]["manualSelector"] == true {
        return;
    }
    let uid = text(object, "/metadata/uid").to_owned();
    let name = text(object, "/metadata/name").to_owned();
    object["spec"]["selector"] =
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    let labels = &mut object["spec"]["template"]["metadata"]["labels"];
    for prefix in ["", "batch.kubernetes.io/"] {
        labels[format!("{prefix}controller-uid")] = json!(uid);
        labels[format!("{prefix}job-name")] = json!(name);
    }
    copy_labels(object);
}

/// Gives a service its addresses and node ports.
fn allocate(call: &Call, old: Option<&Value>, service: &mut Value) {
    let kind = text(service, "/spec/type").to_owned();
    if kind == "ExternalName" {
        return;
    }
    let spec = |object: &Value, field: &str| object.pointer(&format!("/spec/{field}")).cloned();
    if let Some(old) = old {
        for field in [
            "clusterIP",
            "clusterIPs",
            "ipFamilies",
            "ipFamilyPolicy",
            "healthCheckNodePort",
        ] {
            if let Some(held) = spec(old, field)
                && spec(service, field).is_none_or(|v| v == "")
            {
                service["spec"][field] = held;
            }
        }
    }
    let taken = taken(call);
    if text(service, "/spec/clusterIP").is_empty() {
        let subject = format!("ip/{}", text(service, "/metadata/uid"));
        let start = call.cluster.world.draw(&subject);
        let free = (0..u64::from(u16::MAX))
            .map(|n| {
                let host = u32::try_from((start + n) % 65_024 + 256).unwrap_or(256);
                Ipv4Addr::from_bits(Ipv4Addr::new(10, 96, 0, 0).to_bits() + host).to_string()
            })
            .find(|ip| !taken.iter().any(|t| t == ip));
        service["spec"]["clusterIP"] = json!(free.unwrap_or_default());
    }
    let ip = text(service, "/spec/clusterIP").to_owned();
    service["spec"]["clusterIPs"] = json!([ip]);
    if service.pointer("/spec/ipFamilies").is_none() {
        service["spec"]["ipFamilies"] = json!(["IPv4"]);
    }
    if service.pointer("/spec/ipFamilyPolicy").is_none() {
        service["spec"]["ipFamilyPolicy"] = json!("SingleStack");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        node_ports(call, old, service, &taken);
    }
}

/// The addresses and node ports that other services have.
fn taken(call: &Call) -> Vec<String> {
    let (rows, _) = call.cluster.rows(&call.resource, "");
    rows.iter()
        .filter(|(key, _)| **key != *super::cluster::key(&call.target.namespace, &call.target.name))
        .flat_map(|(_, row)| {
            let ports = row.value.pointer("/spec/ports").and_then(Value::as_array);
            let ports: Vec<_> = ports
                .into_iter()
                .flatten()
                .filter_map(|p| p.get("nodePort").map(ToString::to_string))
                .collect();
            let ip = text(&row.value, "/spec/clusterIP").to_owned();
            ports.into_iter().chain([ip])
        })
        .collect()
}

fn node_ports(call: &Call, old: Option<&Value>, service: &mut Value, taken: &[String]) {
    let held = |port: &Value| {
        let ports = old?.pointer("/spec/ports")?.as_array()?;
        let same = ports
            .iter()
            .find(|p| p["port"] == port["port"] && p["protocol"] == port["protocol"])?;
        same.get("nodePort").cloned()
    };
    let uid = text(service, "/metadata/uid").to_owned();
    let ports = service
        .pointer_mut("/spec/ports")
        .and_then(Value::as_array_mut);
    let mut used: Vec<String> = taken.to_vec();
    for port in ports.into_iter().flatten() {
        if port.get("nodePort").is_some_and(|p| p != 0) {
            continue;
        }
        let start = call
            .cluster
            .world
            .draw(&format!("port/{uid}/{}", port["port"]));
        let number = held(port).or_else(|| {
            (0..2768_u64)
                .map(|n| 30_000 + (start + n) % 2768)
                .find(|p| !used.contains(&p.to_string()))
                .map(Value::from)
        });
        if let Some(number) = number {
            used.push(number.to_string());
            port["nodePort"] = number;
        }
    }
}

/// Whether an object may be deleted.
pub fn check_delete(call: &Call, object: &Value) -> Outcome<()> {
    let name = text(object, "/metadata/name");
    let kept = ["default", "kube-system", "kube-public"];
    if call.resource.is("", "namespaces") && kept.contains(&name) {
        return Err(Status::forbidden(
            &call.resource,
            name,
            "this namespace may not be deleted",
        ));
    }
    Ok(())
}

/// How long an object gets before it is gone.
pub fn grace(call: &Call, options: &DeleteOptions, object: &Value) -> u64 {
    let scheduled = !text(object, "/spec/nodeName").is_empty();
    if !call.resource.is("", "pods") || !scheduled {
        return 0;
    }
    let own = object
        .pointer("/spec/terminationGracePeriodSeconds")
        .and_then(Value::as_u64);
    options.grace.or(own).unwrap_or(30)
}

/// What happens to an object when its delete begins.
pub fn start_delete(call: &Call, object: &mut Value) {
    if call.resource.is("", "namespaces") {
        object["status"]["phase"] = json!("Terminating");
    }
    if call
        .resource
        .is("apiextensions.k8s.io", "customresourcedefinitions")
    {
        // It stays until its objects are gone.
        object["metadata"]["finalizers"] = match object["metadata"]["finalizers"].take() {
            Value::Array(mut list) => {
                if !list.iter().any(|f| f == crd::CLEANUP) {
                    list.push(json!(crd::CLEANUP));
                }
                Value::Array(list)
            }
            _ => json!([crd::CLEANUP]),
        };
    }
}
