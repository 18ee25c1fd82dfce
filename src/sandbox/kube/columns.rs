//! The columns of tables and what they show of each object.

use serde_json::{Value, json};

use super::age::age;
use super::catalog::Resource;
use super::cluster::text;
use super::jsonpath::json_path;
use super::policy_columns;
use super::table::Column;

/// The columns of a built-in kind besides its name: heading, type, and `+` for
/// wide tables only.
fn builtin(resource: &Resource) -> &'static [(&'static str, &'static str)] {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "configmaps") => &[("Data", "integer"), ("Age", "string")],
        ("", "secrets") => &[("Type", "string"), ("Data", "integer"), ("Age", "string")],
        ("", "namespaces") => &[("Status", "string"), ("Age", "string")],
        ("", "nodes") => &[
            ("Status", "string"),
            ("Roles", "string"),
            ("Age", "string"),
            ("Version", "string"),
            ("Internal-IP+", "string"),
            ("External-IP+", "string"),
            ("OS-Image+", "string"),
            ("Kernel-Version+", "string"),
            ("Container-Runtime+", "string"),
        ],
        ("", "pods") => &[
            ("Ready", "string"),
            ("Status", "string"),
            ("Restarts", "string"),
            ("Age", "string"),
            ("IP+", "string"),
            ("Node+", "string"),
            ("Nominated Node+", "string"),
            ("Readiness Gates+", "string"),
        ],
        ("", "services") => &[
            ("Type", "string"),
            ("Cluster-IP", "string"),
            ("External-IP", "string"),
            ("Port(s)", "string"),
            ("Age", "string"),
            ("Selector+", "string"),
        ],
        ("", "serviceaccounts") => &[("Age", "string")],
        ("", "endpoints") => &[("Endpoints", "string"), ("Age", "string")],
        ("", "persistentvolumeclaims") => &[
            ("Status", "string"),
            ("Volume", "string"),
            ("Capacity", "string"),
            ("Access Modes", "string"),
            ("StorageClass", "string"),
            ("VolumeAttributesClass", "string"),
            ("Age", "string"),
            ("VolumeMode+", "string"),
        ],
        ("", "events") => &[
            ("Last Seen", "string"),
            ("Type", "string"),
            ("Reason", "string"),
            ("Object", "string"),
            ("Message", "string"),
        ],
        ("apps", "deployments") => &[
            ("Ready", "string"),
            ("Up-to-date", "string"),
            ("Available", "string"),
            ("Age", "string"),
            ("Containers+", "string"),
            ("Images+", "string"),
            ("Selector+", "string"),
        ],
        ("apps", "statefulsets") => &[
            ("Ready", "string"),
            ("Age", "string"),
            ("Containers+", "string"),
            ("Images+", "string"),
        ],
        ("apps", "daemonsets") => &[
            ("Desired", "integer"),
            ("Current", "integer"),
            ("Ready", "integer"),
            ("Up-to-date", "integer"),
            ("Available", "integer"),
            ("Node Selector", "string"),
            ("Age", "string"),
            ("Containers+", "string"),
            ("Images+", "string"),
            ("Selector+", "string"),
        ],
        ("apps", "replicasets") => &[
            ("Desired", "integer"),
            ("Current", "integer"),
            ("Ready", "integer"),
            ("Age", "string"),
            ("Containers+", "string"),
            ("Images+", "string"),
            ("Selector+", "string"),
        ],
        ("batch", "jobs") => &[
            ("Status", "string"),
            ("Completions", "string"),
            ("Duration", "string"),
            ("Age", "string"),
            ("Containers+", "string"),
            ("Images+", "string"),
            ("Selector+", "string"),
        ],
        ("networking.k8s.io", "ingresses") => &[
            ("Class", "string"),
            ("Hosts", "string"),
            ("Address", "string"),
            ("Ports", "string"),
            ("Age", "string"),
        ],
        ("networking.k8s.io", "ingressclasses") => &[
            ("Controller", "string"),
            ("Parameters", "string"),
            ("Age", "string"),
        ],
        ("rbac.authorization.k8s.io", "clusterroles" | "roles") => &[("Created At", "date")],
        ("rbac.authorization.k8s.io", _) => &[
            ("Role", "string"),
            ("Age", "string"),
            ("Users+", "string"),
            ("Groups+", "string"),
            ("ServiceAccounts+", "string"),
        ],
        ("storage.k8s.io", "storageclasses") => &[
            ("Provisioner", "string"),
            ("ReclaimPolicy", "string"),
            ("VolumeBindingMode", "string"),
            ("AllowVolumeExpansion", "string"),
            ("Age", "string"),
        ],
        ("coordination.k8s.io", _) => &[("Holder", "string"), ("Age", "string")],
        (group, plural) => policy_columns::columns(group, plural),
    }
}

/// The columns of a resource.
pub fn of(resource: &Resource) -> Vec<Column> {
    let column = |name: &str, kind: &str, priority: i64| Column {
        name: name.to_owned(),
        kind: kind.to_owned(),
        priority,
    };
    let mut columns = vec![column("Name", "string", 0)];
    match &resource.custom {
        None => columns.extend(builtin(resource).iter().map(|(name, kind)| {
            column(
                name.trim_end_matches('+'),
                kind,
                i64::from(name.ends_with('+')),
            )
        })),
        Some(custom) if custom.columns.is_empty() => columns.push(column("Age", "date", 0)),
        Some(custom) => columns.extend(custom.columns.iter().map(|c| {
            let priority = c
                .get("priority")
                .and_then(Value::as_i64)
                .unwrap_or_default();
            column(text(c, "/name"), text(c, "/type"), priority)
        })),
    }
    columns
}

/// The cells of an object's row.
pub fn cells(resource: &Resource, object: &Value) -> Vec<Value> {
    let mut cells = vec![json!(text(object, "/metadata/name"))];
    match &resource.custom {
        None => cells.extend(
            of(resource)
                .iter()
                .skip(1)
                .map(|c| cell(resource, &c.name, object)),
        ),
        Some(custom) if custom.columns.is_empty() => {
            cells.push(json!(age(text(object, "/metadata/creationTimestamp"))));
        }
        Some(custom) => cells.extend(custom.columns.iter().map(|column| {
            let found = json_path(object, text(column, "/jsonPath"));
            match (text(column, "/type"), found) {
                ("date", Some(Value::String(time))) => json!(age(time)),
                (_, Some(value)) => value.clone(),
                (_, None) => Value::Null,
            }
        })),
    }
    cells
}

fn cell(resource: &Resource, column: &str, object: &Value) -> Value {
    let number = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_i64)
            .unwrap_or_default()
    };
    let or_none = |pointer: &str| {
        let text = text(object, pointer);
        json!(if text.is_empty() { "<none>" } else { text })
    };
    let size = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_object)
            .map_or(0, serde_json::Map::len)
    };
    match (resource.plural.as_str(), column) {
        (_, "Age") => json!(age(text(object, "/metadata/creationTimestamp"))),
        (_, "Created At") => json!(text(object, "/metadata/creationTimestamp")),
        (_, "Containers" | "Images") => json!(containers(object, column)),
        (_, "Selector") => json!(selector(object)),
        (_, "Node Selector") => json!(pairs(object.pointer("/spec/template/spec/nodeSelector"))),
        ("configmaps", "Data") => json!(size("data") + size("binaryData")),
        ("secrets", "Data") => json!(size("data")),
        ("namespaces" | "persistentvolumeclaims", "Status") => json!(text(object, "/status/phase")),
        ("nodes", _) => node(column, object),
        ("pods", _) => pod(column, object),
        ("services", _) => service(column, object),
        ("deployments" | "statefulsets", "Ready") => json!(format!(
            "{}/{}",
            number("/status/readyReplicas"),
            number("/spec/replicas")
        )),
        ("deployments", "Up-to-date") => json!(number("/status/updatedReplicas").to_string()),
        ("deployments", "Available") => json!(number("/status/availableReplicas").to_string()),
        ("replicasets", "Desired") => json!(number("/spec/replicas")),
        ("replicasets", "Current") => json!(number("/status/replicas")),
        ("replicasets", "Ready") => json!(number("/status/readyReplicas")),
        ("daemonsets", "Desired") => json!(number("/status/desiredNumberScheduled")),
        ("daemonsets", "Current") => json!(number("/status/currentNumberScheduled")),
        ("daemonsets", "Ready") => json!(number("/status/numberReady")),
        ("daemonsets", "Up-to-date") => json!(number("/status/updatedNumberScheduled")),
        ("daemonsets", "Available") => json!(number("/status/numberAvailable")),
        ("jobs", "Status") => json!(job_status(object)),
        ("jobs", "Completions") => json!(format!(
            "{}/{}",
            number("/status/succeeded"),
            number("/spec/completions")
        )),
        ("ingresses", "Class") => or_none("/spec/ingressClassName"),
        ("ingresses", "Hosts") => json!(hosts(object)),
        ("ingresses", "Address") => json!(addresses(object)),
        ("ingresses", "Ports") => {
            let tls = object.pointer("/spec/tls").is_some();
            json!(if tls { "80, 443" } else { "80" })
        }
        ("ingressclasses", "Controller") => json!(text(object, "/spec/controller")),
        ("rolebindings" | "clusterrolebindings", "Role") => {
            json!(format!(
                "{}/{}",
                text(object, "/roleRef/kind"),
                text(object, "/roleRef/name")
            ))
        }
        ("rolebindings" | "clusterrolebindings", _) => json!(subjects(column, object)),
        ("storageclasses", "Provisioner") => json!(text(object, "/provisioner")),
        ("storageclasses", "ReclaimPolicy") => json!(text(object, "/reclaimPolicy")),
        ("storageclasses", "VolumeBindingMode") => json!(text(object, "/volumeBindingMode")),
        ("storageclasses", "AllowVolumeExpansion") => json!(object["allowVolumeExpansion"] == true),
        ("persistentvolumeclaims", "Volume") => json!(text(object, "/spec/volumeName")),
        ("persistentvolumeclaims", "Capacity") => json!(text(object, "/status/capacity/storage")),
        ("persistentvolumeclaims", "StorageClass") => json!(text(object, "/spec/storageClassName")),
        ("persistentvolumeclaims", "VolumeAttributesClass") => json!("<unset>"),
        ("persistentvolumeclaims", "VolumeMode") => json!(text(object, "/spec/volumeMode")),
        ("events", "Last Seen") => json!(age(text(object, "/lastTimestamp"))),
        ("events" | "secrets", "Type") => json!(text(object, "/type")),
        ("events", "Reason") => json!(text(object, "/reason")),
        ("events", "Message") => json!(text(object, "/message")),
        ("events", "Object") => json!(format!(
            "{}/{}",
            text(object, "/involvedObject/kind").to_ascii_lowercase(),
            text(object, "/involvedObject/name")
        )),
        ("leases", "Holder") => json!(text(object, "/spec/holderIdentity")),
        ("endpoints", "Endpoints") | ("ingressclasses", "Parameters") => json!("<none>"),
        (plural, column) => policy_columns::cell(plural, column, object),
    }
}

fn pairs(map: Option<&Value>) -> String {
    let pairs: Vec<_> = map
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() {
        "<none>".to_owned()
    } else {
        pairs.join(",")
    }
}

fn selector(object: &Value) -> String {
    let labels = object.pointer("/spec/selector/matchLabels");
    pairs(labels.or_else(|| object.pointer("/spec/selector")))
}

fn containers(object: &Value, column: &str) -> String {
    let list = object.pointer("/spec/template/spec/containers");
    let field = if column == "Images" {
        "/image"
    } else {
        "/name"
    };
    let names: Vec<_> = list
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|c| text(c, field))
        .collect();
    names.join(",")
}

fn node(column: &str, node: &Value) -> Value {
    let address = |kind: &str| {
        let list = node.pointer("/status/addresses").and_then(Value::as_array);
        let found = list.into_iter().flatten().find(|a| a["type"] == kind);
        json!(found.map_or("<none>", |a| text(a, "/address")))
    };
    match column {
        "Status" => {
            let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
            let ready = conditions
                .into_iter()
                .flatten()
                .any(|c| c["type"] == "Ready" && c["status"] == "True");
            let mut status = if ready { "Ready" } else { "NotReady" }.to_owned();
            if node["spec"]["unschedulable"] == true {
                status.push_str(",SchedulingDisabled");
            }
            json!(status)
        }
        "Roles" => {
            let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
            let roles: Vec<_> = labels
                .into_iter()
                .flatten()
                .filter_map(|(k, _)| k.strip_prefix("node-role.kubernetes.io/"))
                .collect();
            json!(if roles.is_empty() {
                "<none>".to_owned()
            } else {
                roles.join(",")
            })
        }
        "Version" => json!(text(node, "/status/nodeInfo/kubeletVersion")),
        "Internal-IP" => address("InternalIP"),
        "External-IP" => address("ExternalIP"),
        "OS-Image" => json!(text(node, "/status/nodeInfo/osImage")),
        "Kernel-Version" => json!(text(node, "/status/nodeInfo/kernelVersion")),
        _ => json!(text(node, "/status/nodeInfo/containerRuntimeVersion")),
    }
}

fn pod(column: &str, pod: &Value) -> Value {
    let list = |pointer: &str| {
        pod.pointer(pointer)
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice)
    };
    let statuses = list("/status/containerStatuses");
    let field = |pointer: &str| {
        let text = text(pod, pointer);
        json!(if text.is_empty() { "<none>" } else { text })
    };
    match column {
        "Ready" => {
            let ready = statuses.iter().filter(|s| s["ready"] == true).count();
            json!(format!("{ready}/{}", list("/spec/containers").len()))
        }
        "Status" => {
            if pod.pointer("/metadata/deletionTimestamp").is_some() {
                return json!("Terminating");
            }
            let waiting = statuses
                .iter()
                .find_map(|s| s.pointer("/state/waiting/reason"));
            let reason = pod.pointer("/status/reason");
            waiting
                .or(reason)
                .cloned()
                .unwrap_or_else(|| json!(text(pod, "/status/phase")))
        }
        "Restarts" => {
            let restarts: i64 = statuses
                .iter()
                .filter_map(|s| s["restartCount"].as_i64())
                .sum();
            json!(restarts.to_string())
        }
        "IP" => field("/status/podIP"),
        "Node" => field("/spec/nodeName"),
        _ => json!("<none>"),
    }
}

fn service(column: &str, service: &Value) -> Value {
    match column {
        "Type" => json!(text(service, "/spec/type")),
        "Cluster-IP" => {
            let ip = text(service, "/spec/clusterIP");
            json!(if ip.is_empty() { "<none>" } else { ip })
        }
        "External-IP" => {
            let address = addresses(service);
            let kind = text(service, "/spec/type");
            json!(match kind {
                "ExternalName" => text(service, "/spec/externalName").to_owned(),
                "LoadBalancer" if address.is_empty() => "<pending>".to_owned(),
                "LoadBalancer" => address,
                _ => "<none>".to_owned(),
            })
        }
        _ => {
            let ports = service.pointer("/spec/ports").and_then(Value::as_array);
            let ports: Vec<_> = ports
                .into_iter()
                .flatten()
                .map(|p| {
                    let node = p["nodePort"]
                        .as_i64()
                        .map_or_else(String::new, |n| format!(":{n}"));
                    format!("{}{node}/{}", p["port"], text(p, "/protocol"))
                })
                .collect();
            json!(if ports.is_empty() {
                "<none>".to_owned()
            } else {
                ports.join(",")
            })
        }
    }
}

fn addresses(object: &Value) -> String {
    let list = object
        .pointer("/status/loadBalancer/ingress")
        .and_then(Value::as_array);
    let addresses: Vec<_> = list
        .into_iter()
        .flatten()
        .map(|i| match text(i, "/ip") {
            "" => text(i, "/hostname"),
            ip => ip,
        })
        .collect();
    addresses.join(",")
}

fn hosts(ingress: &Value) -> String {
    let rules = ingress.pointer("/spec/rules").and_then(Value::as_array);
    let hosts: Vec<_> = rules
        .into_iter()
        .flatten()
        .map(|r| text(r, "/host"))
        .filter(|h| !h.is_empty())
        .collect();
    if hosts.is_empty() {
        "*".to_owned()
    } else {
        hosts.join(",")
    }
}

fn subjects(column: &str, binding: &Value) -> String {
    let kind = match column {
        "Users" => "User",
        "Groups" => "Group",
        "ServiceAccounts" => "ServiceAccount",
        _ => return String::new(),
    };
    let list = binding.get("subjects").and_then(Value::as_array);
    let names: Vec<_> = list
        .into_iter()
        .flatten()
        .filter(|s| s["kind"] == kind)
        .map(|s| match text(s, "/namespace") {
            "" => text(s, "/name").to_owned(),
            namespace => format!("{namespace}/{}", text(s, "/name")),
        })
        .collect();
    names.join(", ")
}

fn job_status(job: &Value) -> &'static str {
    let conditions = job.pointer("/status/conditions").and_then(Value::as_array);
    let holds = |kind: &str| {
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|c| c["type"] == kind && c["status"] == "True")
    };
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if holds("Suspended") {
        "Suspended"
    } else {
        "Running"
    }
}
