//! Disruption budgets, autoscalers, claims, roles, classes and quotas.

use serde_json::{Value, json};

use super::at::{At, NOT_NEGATIVE, selector};
use super::{content, names};
use crate::sandbox::kube::status::Cause;

pub(super) fn budget(new: &Value, out: &mut Vec<Cause>) {
    let at = At::new(&new["spec"], "spec");
    if at.has("minAvailable") && at.has("maxUnavailable") {
        let shown = json!({
            "MinAvailable": at.field("minAvailable").value,
            "Selector": at.field("selector").value,
            "MaxUnavailable": at.field("maxUnavailable").value,
            "UnhealthyPodEvictionPolicy": at.field("unhealthyPodEvictionPolicy").value,
        });
        let detail = "minAvailable and maxUnavailable cannot be both set";
        out.push(Cause::invalid("spec", &shown, detail));
    }
    at.share("minAvailable", out);
    at.share("maxUnavailable", out);
    let known = ["AlwaysAllow", "IfHealthyBudget"];
    at.one_of("unhealthyPodEvictionPolicy", &known, out);
    selector(&at.field("selector"), out);
}

pub(super) fn autoscaler(new: &Value, out: &mut Vec<Cause>) {
    let at = At::new(&new["spec"], "spec");
    let least = at.number("minReplicas").unwrap_or(1);
    at.at_least("minReplicas", 1, out);
    let most = at.number("maxReplicas").unwrap_or_default();
    if most < 1 {
        out.push(at.missing("maxReplicas", "must be set and greater than 0"));
    }
    if most < least {
        let detail = "must be greater than or equal to `minReplicas`";
        out.push(at.invalid("maxReplicas", detail));
    }
    let target = at.field("scaleTargetRef");
    target.required("kind", out);
    target.required("name", out);
    if target.text("apiVersion").is_empty() {
        let detail = "apiVersion must specify API group";
        let empty = json!("");
        out.push(Cause::invalid(target.place("apiVersion"), &empty, detail));
    }
    let known = [
        "ContainerResource",
        "External",
        "Object",
        "Pods",
        "Resource",
    ];
    let metrics = at.list("metrics");
    for metric in &metrics {
        let kind = metric.text("type");
        if !known.contains(&kind) {
            // Told once for the type and once for the missing source.
            metric.one_of("type", &known, out);
            metric.one_of("type", &known, out);
            continue;
        }
        let (first, rest) = kind.split_at(1);
        let source = format!("{}{rest}", first.to_ascii_lowercase());
        if !metric.has(&source) {
            let detail = "must populate information for the given metric source";
            out.push(metric.missing(&source, detail));
        } else if kind == "Resource" {
            resource_metric(&metric.field("resource"), out);
        }
    }
    let outside = |m: &At<'_>| matches!(m.text("type"), "Object" | "External");
    if least == 0 && !metrics.iter().any(outside) {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        out.push(Cause::forbidden("spec.metrics", detail));
    }
}

fn resource_metric(at: &At<'_>, out: &mut Vec<Cause>) {
    if at.text("name").is_empty() {
        out.push(at.missing("name", "must specify a resource name"));
    }
    let target = at.field("target");
    if !["Utilization", "Value", "AverageValue"].contains(&target.text("type")) {
        let detail = "must be either Utilization, Value, or AverageValue";
        out.push(target.invalid("type", detail));
    }
    if target.number("averageUtilization").is_some_and(|n| n < 1) {
        out.push(target.invalid("averageUtilization", "must be greater than 0"));
    }
    if !target.has("averageUtilization") && !target.has("averageValue") {
        let detail = "must set either a target raw value or a target utilization";
        out.push(target.missing("averageUtilization", detail));
    }
}

pub(super) fn claim(old: Option<&Value>, new: &Value, out: &mut Vec<Cause>) {
    let at = At::new(&new["spec"], "spec");
    claim_spec(&at, out);
    let bound = old
        .and_then(|old| old.pointer("/status/phase"))
        .is_some_and(|phase| phase == "Bound");
    let fixed = |object: &Value| {
        let mut spec = object["spec"].clone();
        if bound {
            spec["resources"]["requests"] = Value::Null;
            spec["volumeAttributesClassName"] = Value::Null;
        }
        // Binding gives a claim its volume.
        spec["volumeName"] = Value::Null;
        spec
    };
    if old.is_some_and(|old| fixed(old) != fixed(new)) {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        out.push(Cause::forbidden("spec", detail));
    }
}

/// What a claim, or the template of one, asks for.
pub(super) fn claim_spec(at: &At<'_>, out: &mut Vec<Cause>) {
    let modes = at.list("accessModes");
    if modes.is_empty() {
        let detail = "at least 1 access mode is required";
        out.push(at.missing("accessModes", detail));
    }
    let known = [
        "ReadOnlyMany",
        "ReadWriteMany",
        "ReadWriteOnce",
        "ReadWriteOncePod",
    ];
    for mode in &modes {
        if !mode.value.as_str().is_some_and(|m| known.contains(&m)) {
            out.push(Cause::unsupported(
                at.place("accessModes"),
                mode.value,
                &known,
            ));
        }
    }
    if modes.len() > 1 && modes.iter().any(|m| m.value == "ReadWriteOncePod") {
        let detail = "may not use ReadWriteOncePod with other access modes";
        out.push(Cause::forbidden(at.place("accessModes"), detail));
    }
    let place = format!("{}[storage]", at.place("resources"));
    match at.value.pointer("/resources/requests/storage") {
        None | Some(Value::Null) => out.push(Cause::required(place, "")),
        Some(size) => {
            let text = size
                .as_str()
                .map_or_else(|| size.to_string(), str::to_owned);
            if content::quantity(&text).is_some_and(|n| n <= 0.0) {
                out.push(Cause::invalid(
                    place,
                    &json!(text),
                    "must be greater than zero",
                ));
            }
        }
    }
    if !at.text("storageClassName").is_empty() {
        at.named("storageClassName", names::subdomain, out);
    }
    at.one_of("volumeMode", &["Block", "Filesystem"], out);
}

pub(super) fn role(new: &Value, namespaced: bool, out: &mut Vec<Cause>) {
    for rule in At::new(new, "").list("rules") {
        let lacks = |field: &str| rule.list(field).is_empty();
        if lacks("verbs") {
            out.push(rule.missing("verbs", "verbs must contain at least one value"));
        }
        if !lacks("nonResourceURLs") {
            if namespaced {
                let detail = "namespaced rules cannot apply to non-resource URLs";
                out.push(rule.invalid("nonResourceURLs", detail));
            }
            continue;
        }
        if lacks("apiGroups") {
            let detail = "resource rules must supply at least one api group";
            out.push(rule.missing("apiGroups", detail));
        }
        if lacks("resources") {
            let detail = "resource rules must supply at least one resource";
            out.push(rule.missing("resources", detail));
        }
    }
}

pub(super) fn binding(old: Option<&Value>, new: &Value, namespaced: bool, out: &mut Vec<Cause>) {
    let group = "rbac.authorization.k8s.io";
    let reference = At::new(&new["roleRef"], "roleRef");
    if reference.text("apiGroup") != group {
        let value = json!(reference.text("apiGroup"));
        out.push(Cause::unsupported("roleRef.apiGroup", &value, &[group]));
    }
    let known: &[&str] = if namespaced {
        &["Role", "ClusterRole"]
    } else {
        &["ClusterRole"]
    };
    if !known.contains(&reference.text("kind")) {
        let value = json!(reference.text("kind"));
        out.push(Cause::unsupported("roleRef.kind", &value, known));
    }
    reference.required("name", out);
    for subject in At::new(new, "").list("subjects") {
        subject.required("name", out);
        match subject.text("kind") {
            "ServiceAccount" => {
                if !namespaced && subject.text("namespace").is_empty() {
                    out.push(subject.missing("namespace", ""));
                }
            }
            "User" | "Group" => {}
            _ => subject.one_of("kind", &["ServiceAccount", "User", "Group"], out),
        }
    }
    if let Some(old) = old
        && old.get("roleRef") != new.get("roleRef")
    {
        let shown = json!({
            "APIGroup": reference.text("apiGroup"),
            "Kind": reference.text("kind"),
            "Name": reference.text("name"),
        });
        out.push(Cause::invalid("roleRef", &shown, "cannot change roleRef"));
    }
}

pub(super) fn priority(new: &Value, out: &mut Vec<Cause>) {
    let at = At::new(new, "");
    let system = at.field("metadata").text("name").starts_with("system-");
    if !system && at.number("value").is_some_and(|n| n > 1_000_000_000) {
        let detail = "maximum allowed value of a user defined priority is 1000000000";
        out.push(Cause::forbidden("value", detail));
    }
    at.one_of("preemptionPolicy", &["PreemptLowerPriority", "Never"], out);
}

pub(super) fn storage_class(new: &Value, out: &mut Vec<Cause>) {
    let at = At::new(new, "");
    at.required("provisioner", out);
    at.one_of("reclaimPolicy", &["Delete", "Retain"], out);
    at.one_of(
        "volumeBindingMode",
        &["Immediate", "WaitForFirstConsumer"],
        out,
    );
}

/// The plain names that quotas limit.
fn is_quota(name: &str) -> bool {
    let known = [
        "configmaps",
        "cpu",
        "ephemeral-storage",
        "memory",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
        "storage",
    ];
    known.contains(&name) || name.starts_with("requests.") || name.starts_with("limits.")
}

pub(super) fn quota(new: &Value, out: &mut Vec<Cause>) {
    let at = At::new(&new["spec"], "spec");
    for (name, value) in at.entries("hard") {
        let place = format!("spec.hard[{name}]");
        if !name.contains('/') && !is_quota(name) {
            for detail in [
                "must be a standard resource type or fully qualified",
                "must be a standard resource for quota",
            ] {
                out.push(Cause::invalid(&place, &json!(name), detail));
            }
        }
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        if content::quantity(&text).is_some_and(|n| n < 0.0) {
            out.push(Cause::invalid(&place, &json!(text), NOT_NEGATIVE));
        }
    }
}
