//! The values that absent fields get: of built-in kinds by the rules below,
//! of custom resources by their schemas.

use serde_json::{Map, Value, json};

use super::admission::limits;
use super::catalog::Resource;
use super::crd;

type Fields = Map<String, Value>;

/// Fills in what is absent.
pub fn fill(resource: &Resource, object: &mut Value) {
    if let Some(custom) = &resource.custom {
        crd::fill(&custom.schema, object);
        return;
    }
    let plural = resource.plural.as_str();
    match (resource.group.as_str(), plural) {
        ("", "pods") => {
            within(object, &["spec"], |spec| {
                pod_spec(spec);
                set(spec, "enableServiceLinks", json!(true));
                each(spec, "containers", requests_from_limits);
                each(spec, "initContainers", requests_from_limits);
            });
        }
        ("", "replicationcontrollers") => within(object, &["spec"], |spec| {
            set(spec, "replicas", json!(1));
            template(spec);
        }),
        ("", "secrets") => {
            if let Some(map) = object.as_object_mut() {
                set(map, "type", json!("Opaque"));
            }
        }
        ("", "services") => within(object, &["spec"], service),
        ("", "endpoints") => {
            if let Some(map) = object.as_object_mut() {
                each(map, "subsets", |subset| {
                    each(subset, "ports", |p| set(p, "protocol", json!("TCP")));
                });
            }
        }
        ("", "persistentvolumeclaims") => within(object, &["spec"], |spec| {
            set(spec, "volumeMode", json!("Filesystem"));
        }),
        ("", "limitranges") => within(object, &["spec"], |spec| {
            each(spec, "limits", limits::complete);
        }),
        ("", "persistentvolumes") => within(object, &["spec"], |spec| {
            set(spec, "persistentVolumeReclaimPolicy", json!("Retain"));
            set(spec, "volumeMode", json!("Filesystem"));
        }),
        ("apps", _) => within(object, &["spec"], |spec| workload(plural, spec)),
        ("batch", "jobs") => within(object, &["spec"], |spec| {
            job(spec);
            template(spec);
        }),
        ("batch", "cronjobs") => within(object, &["spec"], |spec| {
            set(spec, "concurrencyPolicy", json!("Allow"));
            set(spec, "suspend", json!(false));
            set(spec, "successfulJobsHistoryLimit", json!(3));
            set(spec, "failedJobsHistoryLimit", json!(1));
            inner(spec, "jobTemplate", |t| inner(t, "spec", template));
        }),
        ("autoscaling", _) => within(object, &["spec"], autoscaler),
        ("networking.k8s.io", "networkpolicies") => within(object, &["spec"], network_policy),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => binding(object),
        ("storage.k8s.io", "storageclasses") => {
            if let Some(map) = object.as_object_mut() {
                set(map, "reclaimPolicy", json!("Delete"));
                set(map, "volumeBindingMode", json!("Immediate"));
            }
        }
        ("scheduling.k8s.io", _) => {
            if let Some(map) = object.as_object_mut() {
                set(map, "preemptionPolicy", json!("PreemptLowerPriority"));
            }
        }
        ("discovery.k8s.io", _) => {
            if let Some(map) = object.as_object_mut() {
                each(map, "ports", |port| {
                    set(port, "name", json!(""));
                    set(port, "protocol", json!("TCP"));
                });
            }
        }
        ("admissionregistration.k8s.io", p) if p.ends_with("webhookconfigurations") => {
            if let Some(map) = object.as_object_mut() {
                each(map, "webhooks", |hook| {
                    webhook(hook, p.starts_with("mutating"));
                });
            }
        }
        ("apiextensions.k8s.io", _) => within(object, &["spec"], |spec| {
            set(spec, "conversion", json!({"strategy": "None"}));
        }),
        _ => {}
    }
}

/// Sets a field that is absent.
fn set(map: &mut Fields, name: &str, value: Value) {
    if map.get(name).is_none_or(Value::is_null) {
        map.insert(name.to_owned(), value);
    }
}

/// Sets a field that is absent or empty text.
fn set_text(map: &mut Fields, name: &str, value: &str) {
    if map.get(name).is_none_or(|v| v.is_null() || v == "") {
        map.insert(name.to_owned(), json!(value));
    }
}

fn within(object: &mut Value, path: &[&str], change: impl FnOnce(&mut Fields)) {
    let place = path.iter().try_fold(object, |v, name| v.get_mut(name));
    if let Some(map) = place.and_then(Value::as_object_mut) {
        change(map);
    }
}

fn inner(map: &mut Fields, name: &str, change: impl FnOnce(&mut Fields)) {
    if let Some(map) = map.get_mut(name).and_then(Value::as_object_mut) {
        change(map);
    }
}

fn each(map: &mut Fields, name: &str, mut change: impl FnMut(&mut Fields)) {
    let items = map.get_mut(name).and_then(Value::as_array_mut);
    for item in items.into_iter().flatten() {
        if let Some(item) = item.as_object_mut() {
            change(item);
        }
    }
}

fn text<'a>(map: &'a Fields, name: &str) -> &'a str {
    map.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn workload(plural: &str, spec: &mut Fields) {
    match plural {
        "deployments" => {
            set(spec, "replicas", json!(1));
            set(spec, "revisionHistoryLimit", json!(10));
            set(spec, "progressDeadlineSeconds", json!(600));
            set(spec, "strategy", json!({}));
            inner(spec, "strategy", |strategy| {
                set_text(strategy, "type", "RollingUpdate");
                if text(strategy, "type") == "RollingUpdate" {
                    set(strategy, "rollingUpdate", json!({}));
                    inner(strategy, "rollingUpdate", |rolling| {
                        set(rolling, "maxUnavailable", json!("25%"));
                        set(rolling, "maxSurge", json!("25%"));
                    });
                }
            });
        }
        "statefulsets" => {
            set(spec, "replicas", json!(1));
            set(spec, "revisionHistoryLimit", json!(10));
            set_text(spec, "podManagementPolicy", "OrderedReady");
            set(spec, "updateStrategy", json!({}));
            inner(spec, "updateStrategy", |strategy| {
                set_text(strategy, "type", "RollingUpdate");
                if text(strategy, "type") == "RollingUpdate" {
                    set(strategy, "rollingUpdate", json!({}));
                    inner(strategy, "rollingUpdate", |r| set(r, "partition", json!(0)));
                }
            });
            set(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
            inner(spec, "persistentVolumeClaimRetentionPolicy", |policy| {
                set_text(policy, "whenDeleted", "Retain");
                set_text(policy, "whenScaled", "Retain");
            });
            each(spec, "volumeClaimTemplates", |claim| {
                claim.insert("apiVersion".to_owned(), json!("v1"));
                claim.insert("kind".to_owned(), json!("PersistentVolumeClaim"));
                inner(claim, "spec", |spec| {
                    set(spec, "volumeMode", json!("Filesystem"));
                });
                set(claim, "status", json!({}));
                inner(claim, "status", |status| {
                    set(status, "phase", json!("Pending"));
                });
            });
        }
        "daemonsets" => {
            set(spec, "revisionHistoryLimit", json!(10));
            set(spec, "updateStrategy", json!({}));
            inner(spec, "updateStrategy", |strategy| {
                set_text(strategy, "type", "RollingUpdate");
                if text(strategy, "type") == "RollingUpdate" {
                    set(strategy, "rollingUpdate", json!({}));
                    inner(strategy, "rollingUpdate", |rolling| {
                        set(rolling, "maxUnavailable", json!(1));
                        set(rolling, "maxSurge", json!(0));
                    });
                }
            });
        }
        "replicasets" => set(spec, "replicas", json!(1)),
        _ => {}
    }
    template(spec);
}

fn template(spec: &mut Fields) {
    inner(spec, "template", |template| {
        inner(template, "spec", pod_spec);
    });
}

fn job(spec: &mut Fields) {
    let work_queue = spec.get("completions").is_none() && spec.get("parallelism").is_some();
    if !work_queue {
        set(spec, "completions", json!(1));
    }
    set(spec, "parallelism", json!(1));
    set(spec, "backoffLimit", json!(6));
    set(spec, "completionMode", json!("NonIndexed"));
    set(spec, "suspend", json!(false));
    set(spec, "manualSelector", json!(false));
    set(spec, "podReplacementPolicy", json!("TerminatingOrFailed"));
}

fn pod_spec(spec: &mut Fields) {
    set_text(spec, "restartPolicy", "Always");
    set(spec, "terminationGracePeriodSeconds", json!(30));
    set_text(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "securityContext", json!({}));
    set_text(spec, "schedulerName", "default-scheduler");
    for (name, alias) in [
        ("serviceAccountName", "serviceAccount"),
        ("serviceAccount", "serviceAccountName"),
    ] {
        if let Some(value) = spec.get(name).filter(|v| **v != "").cloned() {
            set(spec, alias, value);
        }
    }
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        each(spec, list, |c| container(c, host_network));
    }
    each(spec, "volumes", volume);
}

fn container(container: &mut Fields, host_network: bool) {
    set_text(container, "terminationMessagePath", "/dev/termination-log");
    set_text(container, "terminationMessagePolicy", "File");
    let image = text(container, "image").to_owned();
    let last = image.rsplit('/').next().unwrap_or_default();
    let latest = !last.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest");
    let policy = if latest { "Always" } else { "IfNotPresent" };
    set_text(container, "imagePullPolicy", policy);
    each(container, "ports", |port| {
        set_text(port, "protocol", "TCP");
        if host_network && let Some(number) = port.get("containerPort").cloned() {
            set(port, "hostPort", number);
        }
    });
    each(container, "env", |env| {
        inner(env, "valueFrom", |from| inner(from, "fieldRef", field_ref));
    });
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        inner(container, probe, |probe| {
            for (name, value) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                set(probe, name, json!(value));
            }
            handler(probe);
        });
    }
    inner(container, "lifecycle", |lifecycle| {
        inner(lifecycle, "postStart", handler);
        inner(lifecycle, "preStop", handler);
    });
}

fn handler(handler: &mut Fields) {
    inner(handler, "httpGet", |get| {
        set_text(get, "path", "/");
        set_text(get, "scheme", "HTTP");
    });
    inner(handler, "grpc", |grpc| set(grpc, "service", json!("")));
}

fn field_ref(field: &mut Fields) {
    set_text(field, "apiVersion", "v1");
}

fn requests_from_limits(container: &mut Fields) {
    inner(container, "resources", |resources| {
        let Some(Value::Object(limits)) = resources.get("limits").cloned() else {
            return;
        };
        set(resources, "requests", json!({}));
        inner(resources, "requests", |requests| {
            for (name, value) in limits {
                set(requests, &name, value);
            }
        });
    });
}

fn volume(volume: &mut Fields) {
    if volume.keys().all(|k| k == "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap", "projected", "downwardAPI"] {
        inner(volume, source, |source| {
            set(source, "defaultMode", json!(420));
        });
    }
    inner(volume, "hostPath", |path| set(path, "type", json!("")));
    inner(volume, "downwardAPI", downward);
    inner(volume, "projected", |projected| {
        each(projected, "sources", |source| {
            inner(source, "serviceAccountToken", |token| {
                set(token, "expirationSeconds", json!(3600));
            });
            inner(source, "downwardAPI", downward);
        });
    });
    inner(volume, "ephemeral", |ephemeral| {
        inner(ephemeral, "volumeClaimTemplate", |template| {
            inner(template, "spec", |spec| {
                set(spec, "volumeMode", json!("Filesystem"));
            });
        });
    });
}

fn downward(source: &mut Fields) {
    each(source, "items", |item| inner(item, "fieldRef", field_ref));
}

fn service(spec: &mut Fields) {
    set_text(spec, "sessionAffinity", "None");
    if text(spec, "sessionAffinity") == "ClientIP" {
        set(
            spec,
            "sessionAffinityConfig",
            json!({"clientIP": {"timeoutSeconds": 10800}}),
        );
    }
    set_text(spec, "type", "ClusterIP");
    let kind = text(spec, "type").to_owned();
    each(spec, "ports", |port| {
        set_text(port, "protocol", "TCP");
        if port.get("targetPort").is_none_or(|p| *p == 0 || *p == "")
            && let Some(number) = port.get("port").cloned()
        {
            port.insert("targetPort".to_owned(), number);
        }
    });
    if kind != "ExternalName" {
        set_text(spec, "internalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        set_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
}

fn autoscaler(spec: &mut Fields) {
    set(spec, "minReplicas", json!(1));
    let bare = spec
        .get("metrics")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty);
    if bare && !spec.contains_key("targetCPUUtilizationPercentage") {
        let cpu = json!([{
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
        }]);
        spec.insert("metrics".to_owned(), cpu);
    }
}

fn network_policy(spec: &mut Fields) {
    let egress = spec
        .get("egress")
        .and_then(Value::as_array)
        .is_some_and(|e| !e.is_empty());
    let types = if egress {
        json!(["Ingress", "Egress"])
    } else {
        json!(["Ingress"])
    };
    set(spec, "policyTypes", types);
    for direction in ["ingress", "egress"] {
        each(spec, direction, |rule| {
            each(rule, "ports", |p| set_text(p, "protocol", "TCP"));
        });
    }
}

fn binding(object: &mut Value) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    within(object, &["roleRef"], |role| {
        set_text(role, "apiGroup", GROUP);
    });
    if let Some(map) = object.as_object_mut() {
        each(map, "subjects", |subject| {
            if matches!(text(subject, "kind"), "User" | "Group") {
                set_text(subject, "apiGroup", GROUP);
            }
        });
    }
}

fn webhook(hook: &mut Fields, mutating: bool) {
    set(hook, "failurePolicy", json!("Fail"));
    set(hook, "matchPolicy", json!("Equivalent"));
    set(hook, "namespaceSelector", json!({}));
    set(hook, "objectSelector", json!({}));
    set(hook, "timeoutSeconds", json!(10));
    if mutating {
        set(hook, "reinvocationPolicy", json!("Never"));
    }
    each(hook, "rules", |rule| set(rule, "scope", json!("*")));
    inner(hook, "clientConfig", |client| {
        inner(client, "service", |service| {
            set(service, "port", json!(443));
        });
    });
}
