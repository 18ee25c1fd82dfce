//! Pods and the templates of pods.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::at::{At, IP, selector};
use super::container::{self, Around, named};
use super::names;
use crate::sandbox::kube::cluster::text;
use crate::sandbox::kube::status::Cause;

/// A pod.
pub(super) fn check(old: Option<&Value>, new: &Value, out: &mut Vec<Cause>) {
    let at = At::new(&new["spec"], "spec");
    spec(&at, out);
    if old.is_none() && at.has("ephemeralContainers") {
        out.push(Cause::forbidden(
            "spec.ephemeralContainers",
            "cannot be set on create",
        ));
    }
    let Some(old) = old else { return };
    let fixed = |object: &Value| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                container["image"] = Value::Null;
            }
        }
        for field in [
            "activeDeadlineSeconds",
            "tolerations",
            "terminationGracePeriodSeconds",
            "nodeName",
            "ephemeralContainers",
        ] {
            spec[field] = Value::Null;
        }
        spec
    };
    if fixed(old) != fixed(new) {
        out.push(Cause::forbidden("spec", "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"));
    }
}

/// What a pod asks for.
pub(super) fn spec(at: &At<'_>, out: &mut Vec<Cause>) {
    let mut volumes: Vec<&str> = Vec::new();
    for volume in at.list("volumes") {
        let name = volume.text("name");
        named(name, &volume.place("name"), &volumes, out);
        self::volume(&volume, out);
        volumes.push(name);
    }
    let around = |init| Around {
        volumes: volumes.clone(),
        host_network: at.value["hostNetwork"] == true,
        init,
    };
    if at.list("containers").is_empty() {
        out.push(at.missing("containers", ""));
    }
    let main = container::names_of(at, "containers");
    let mut taken = Vec::new();
    for container in at.list("containers") {
        named(
            container.text("name"),
            &container.place("name"),
            &taken,
            out,
        );
        taken.push(container.text("name"));
        container::check(&container, &around(false), out);
    }
    let mut taken = main;
    for container in at.list("initContainers") {
        container::check(&container, &around(true), out);
        named(
            container.text("name"),
            &container.place("name"),
            &taken,
            out,
        );
        taken.push(container.text("name"));
    }
    at.one_of("restartPolicy", &["Always", "OnFailure", "Never"], out);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    at.one_of("dnsPolicy", &policies, out);
    placement(at, out);
    container::security(&at.field("securityContext"), out);
    if !at.text("serviceAccountName").is_empty() {
        at.named("serviceAccountName", names::subdomain, out);
    }
    if !at.text("hostname").is_empty() {
        at.named("hostname", names::label, out);
    }
    if at.number("activeDeadlineSeconds").is_some_and(|n| n < 1) {
        let detail = "must be between 1 and 2147483647, inclusive";
        out.push(at.invalid("activeDeadlineSeconds", detail));
    }
    for alias in at.list("hostAliases") {
        if alias.text("ip").parse::<std::net::IpAddr>().is_err() {
            out.push(alias.invalid("ip", IP));
        }
    }
}

fn placement(at: &At<'_>, out: &mut Vec<Cause>) {
    for (key, value) in at.entries("nodeSelector") {
        let place = at.place("nodeSelector");
        if let Some(wrong) = names::qualified(key) {
            out.push(Cause::invalid(&place, &json!(key), &wrong));
        }
        if let Some(wrong) = names::label_value(value.as_str().unwrap_or_default()) {
            out.push(Cause::invalid(&place, value, &wrong));
        }
    }
    affinity(&at.field("affinity"), out);
    for toleration in at.list("tolerations") {
        self::toleration(&toleration, out);
    }
    for spread in at.list("topologySpreadConstraints") {
        if spread.number("maxSkew").is_none_or(|n| n <= 0) {
            out.push(spread.invalid("maxSkew", "must be greater than zero"));
        }
        if spread.text("topologyKey").is_empty() {
            out.push(spread.missing("topologyKey", "can not be empty"));
        }
        let known = ["DoNotSchedule", "ScheduleAnyway"];
        spread.one_of("whenUnsatisfiable", &known, out);
        selector(&spread.field("labelSelector"), out);
    }
}

fn toleration(at: &At<'_>, out: &mut Vec<Cause>) {
    let (key, operator) = (at.text("key"), at.text("operator"));
    if !key.is_empty() {
        at.named("key", names::qualified, out);
    } else if operator != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        out.push(at.invalid("operator", detail));
    }
    let effect = at.text("effect");
    if at.has("tolerationSeconds") && effect != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        out.push(at.invalid("effect", detail));
    }
    match operator {
        "Exists" if !at.text("value").is_empty() => {
            let detail = "value must be empty when `operator` is 'Exists'";
            let value = json!(at.text("value"));
            out.push(Cause::invalid(at.place("operator"), &value, detail));
        }
        "" | "Exists" | "Equal" => {}
        _ => at.one_of("operator", &["Equal", "Exists"], out),
    }
    if !effect.is_empty() {
        at.one_of(
            "effect",
            &["NoSchedule", "PreferNoSchedule", "NoExecute"],
            out,
        );
    }
}

fn affinity(at: &At<'_>, out: &mut Vec<Cause>) {
    let node = at.field("nodeAffinity");
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    if node.has(required) {
        let wanted = node.field(required);
        let terms = wanted.list("nodeSelectorTerms");
        if terms.is_empty() {
            let detail = "must have at least one node selector term";
            out.push(wanted.missing("nodeSelectorTerms", detail));
        }
        for term in &terms {
            node_term(term, out);
        }
    }
    for term in node.list(preferred) {
        weight(&term, out);
        node_term(&term.field("preference"), out);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let pods = at.field(kind);
        for term in pods.list(required) {
            pod_term(&term, out);
        }
        for term in pods.list(preferred) {
            weight(&term, out);
            pod_term(&term.field("podAffinityTerm"), out);
        }
    }
}

fn weight(at: &At<'_>, out: &mut Vec<Cause>) {
    if at.number("weight").is_none_or(|n| !(1..=100).contains(&n)) {
        out.push(at.invalid("weight", "must be in the range 1-100"));
    }
}

fn node_term(at: &At<'_>, out: &mut Vec<Cause>) {
    let known = ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];
    for expression in at.list("matchExpressions") {
        if !known.contains(&expression.text("operator")) {
            out.push(expression.invalid("operator", "not a valid selector operator"));
        }
        expression.named("key", names::qualified, out);
    }
}

fn pod_term(at: &At<'_>, out: &mut Vec<Cause>) {
    selector(&at.field("labelSelector"), out);
    let key = at.text("topologyKey");
    if key.is_empty() {
        out.push(at.missing("topologyKey", "can not be empty"));
    }
    for wrong in names::all_of_qualified(key) {
        out.push(Cause::invalid(at.place("topologyKey"), &json!(key), &wrong));
    }
}

/// The kinds of volumes with the name that they must state.
const VOLUMES: &[(&str, &str)] = &[
    ("emptyDir", ""),
    ("hostPath", "path"),
    ("secret", "secretName"),
    ("configMap", "name"),
    ("persistentVolumeClaim", "claimName"),
    ("projected", ""),
    ("downwardAPI", ""),
    ("nfs", "path"),
    ("csi", "driver"),
    ("ephemeral", ""),
    ("image", ""),
];

fn volume(at: &At<'_>, out: &mut Vec<Cause>) {
    let mut stated = 0;
    for (kind, name) in VOLUMES.iter().filter(|(kind, _)| at.has(kind)) {
        stated += 1;
        if stated > 1 {
            let detail = "may not specify more than 1 volume type";
            out.push(Cause::forbidden(at.place(kind), detail));
            continue;
        }
        let source = at.field(kind);
        if !name.is_empty() {
            source.required(name, out);
        }
        let mode = source.number("defaultMode");
        if mode.is_some_and(|n| !(0..=0o777).contains(&n)) {
            let detail = "must be a number between 0 and 0777 (octal), both inclusive";
            out.push(source.invalid("defaultMode", detail));
        }
        for item in source.list("items") {
            if item.text("key").is_empty() && *kind != "downwardAPI" {
                out.push(item.missing("key", ""));
            }
            match item.text("path") {
                "" => out.push(item.missing("path", "")),
                path if path.starts_with('/') => {
                    out.push(item.invalid("path", "must be a relative path"));
                }
                path if path.split('/').any(|word| word == "..") => {
                    out.push(item.invalid("path", "must not contain '..'"));
                }
                _ => {}
            }
        }
    }
}

/// The finalizers of an object have qualified names.
pub(super) fn finalizers(object: &Value, out: &mut Vec<Cause>) {
    let at = At::new(&object["metadata"], "metadata");
    let known = BTreeSet::from(["foregroundDeletion", "orphan", "kubernetes"]);
    for finalizer in at.list("finalizers") {
        let name = finalizer.value.as_str().unwrap_or_default();
        if let Some(wrong) = names::qualified(name) {
            out.push(Cause::invalid(finalizer.path, finalizer.value, &wrong));
        } else if !name.contains('/') && !known.contains(name) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            out.push(Cause::invalid(finalizer.path, finalizer.value, detail));
        }
    }
}

/// The restart policy of a template.
pub(super) fn policy(spec: &Value) -> &str {
    text(spec, "/restartPolicy")
}
