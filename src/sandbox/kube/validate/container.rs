//! Containers: ports, environment, resources, probes, hooks, mounts.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::at::{At, NOT_NEGATIVE};
use super::{content, names};
use crate::sandbox::kube::cluster::text;
use crate::sandbox::kube::status::Cause;

/// What the rules of a container depend on.
pub(super) struct Around<'a> {
    /// The pod's volumes.
    pub(super) volumes: Vec<&'a str>,
    /// Whether the pod is on its host's network.
    pub(super) host_network: bool,
    /// Whether it is an init container.
    pub(super) init: bool,
}

pub(super) fn check(at: &At<'_>, around: &Around<'_>, out: &mut Vec<Cause>) {
    let image = at.text("image");
    if image.is_empty() {
        out.push(at.missing("image", ""));
    } else if image.trim() != image {
        out.push(at.invalid("image", "must not have leading or trailing whitespace"));
    }
    at.one_of(
        "terminationMessagePolicy",
        &["File", "FallbackToLogsOnError"],
        out,
    );
    ports(at, around, out);
    for env in at.list("env") {
        variable(&env, out);
    }
    for from in at.list("envFrom") {
        sources(at, &from, out);
    }
    mounts(at, around, out);
    at.one_of("imagePullPolicy", &["Always", "IfNotPresent", "Never"], out);
    resources(at, out);
    probes(at, around, out);
    security(&at.field("securityContext"), out);
}

fn ports(at: &At<'_>, around: &Around<'_>, out: &mut Vec<Cause>) {
    let mut seen = BTreeSet::new();
    for port in at.list("ports") {
        let name = port.text("name");
        if !name.is_empty() {
            let wrong = names::port(name);
            for wrong in &wrong {
                out.push(port.invalid("name", wrong));
            }
            if wrong.is_empty() && !seen.insert(name) {
                out.push(Cause::duplicate(port.place("name"), &json!(name)));
            }
        }
        match port.number("containerPort") {
            None | Some(0) => out.push(port.missing("containerPort", "")),
            _ => port.port("containerPort", false, out),
        }
        let host = port.number("hostPort").filter(|n| *n != 0);
        if host.is_some() {
            port.port("hostPort", false, out);
        }
        if around.host_network && host.is_some() && host != port.number("containerPort") {
            let detail = "must match `containerPort` when `hostNetwork` is true";
            out.push(port.invalid("hostPort", detail));
        }
        port.one_of("protocol", &["SCTP", "TCP", "UDP"], out);
    }
}

/// The fields of a pod that its containers can be told.
fn is_told(path: &str) -> bool {
    let known = [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "metadata.labels",
        "metadata.annotations",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    ];
    let keyed = ["metadata.labels['", "metadata.annotations['"];
    known.contains(&path)
        || keyed
            .iter()
            .any(|k| path.starts_with(k) && path.ends_with("']"))
}

fn variable(env: &At<'_>, out: &mut Vec<Cause>) {
    let name = env.text("name");
    if name.is_empty() {
        out.push(env.missing("name", ""));
    } else if !name.chars().all(|c| (' '..='~').contains(&c) && c != '=') {
        out.push(env.invalid("name", "a valid environment variable name must consist only of printable ASCII characters other than '='"));
    }
    if !env.has("valueFrom") {
        return;
    }
    let from = env.field("valueFrom");
    let place = from.path.clone();
    let empty = json!("");
    let kinds = [
        "fieldRef",
        "resourceFieldRef",
        "configMapKeyRef",
        "secretKeyRef",
        "fileKeyRef",
    ];
    let stated = kinds.iter().filter(|kind| from.has(kind)).count();
    let field = from.field("fieldRef");
    let path = field.text("fieldPath");
    if from.has("fieldRef") && path.is_empty() {
        out.push(field.missing("fieldPath", ""));
    } else if from.has("fieldRef") && !is_told(path) {
        let detail = format!("error converting fieldPath: field label not supported: {path}");
        out.push(field.invalid("fieldPath", &detail));
    }
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        if from.has(kind) {
            let reference = from.field(kind);
            whole_name(&reference, out);
            if reference.text("key").is_empty() {
                out.push(reference.missing("key", ""));
            } else {
                reference.named("key", names::config_key, out);
            }
        }
    }
    let wrong = match stated {
        0 => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        }
        _ if !env.text("value").is_empty() => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    out.push(Cause::invalid(place, &empty, wrong));
}

/// The name of what is referred to; an empty one is as wrong as a bad one.
fn whole_name(at: &At<'_>, out: &mut Vec<Cause>) {
    let name = at.text("name");
    if let Some(wrong) = names::subdomain(name) {
        out.push(Cause::invalid(at.place("name"), &json!(name), &wrong));
    }
}

fn sources(at: &At<'_>, from: &At<'_>, out: &mut Vec<Cause>) {
    for kind in ["configMapRef", "secretRef"] {
        if from.has(kind) {
            whole_name(&from.field(kind), out);
        }
    }
    let wrong = match (from.has("configMapRef"), from.has("secretRef")) {
        (false, false) => "must specify one of: `configMapRef` or `secretRef`",
        (true, true) => "may not have more than one field specified at a time",
        _ => return,
    };
    out.push(Cause::invalid(at.place("envFrom"), &json!(""), wrong));
}

fn mounts(at: &At<'_>, around: &Around<'_>, out: &mut Vec<Cause>) {
    let mut paths = BTreeSet::new();
    for mount in at.list("volumeMounts") {
        let name = mount.text("name");
        if name.is_empty() {
            out.push(mount.missing("name", ""));
        } else if !around.volumes.contains(&name) {
            let message = format!("Not found: {}", json!(name));
            out.push(Cause::new(
                "FieldValueNotFound",
                message,
                mount.place("name"),
            ));
        }
        let path = mount.text("mountPath");
        if path.is_empty() {
            out.push(mount.missing("mountPath", ""));
        } else if !paths.insert(path) {
            out.push(mount.invalid("mountPath", "must be unique"));
        }
        let part = mount.text("subPath");
        let place = format!("{}.subPath", at.place("volumeMounts"));
        if part.starts_with('/') {
            out.push(Cause::invalid(
                place,
                &json!(part),
                "must be a relative path",
            ));
        } else if part.split('/').any(|word| word == "..") {
            out.push(Cause::invalid(place, &json!(part), "must not contain '..'"));
        }
    }
}

/// The resources that containers ask for by a plain name.
fn is_of_containers(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

fn is_standard(name: &str) -> bool {
    is_of_containers(name) || matches!(name, "pods" | "storage" | "services" | "secrets")
}

fn as_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn resources(at: &At<'_>, out: &mut Vec<Cause>) {
    let resources = at.field("resources");
    for kind in ["limits", "requests"] {
        for (name, value) in resources.entries(kind) {
            let place = format!("{}[{name}]", resources.place(kind));
            if !name.contains('/') {
                if !is_standard(name) {
                    let detail = "must be a standard resource type or fully qualified";
                    out.push(Cause::invalid(&place, &json!(name), detail));
                }
                if !is_of_containers(name) {
                    let detail = "must be a standard resource for containers";
                    out.push(Cause::invalid(&place, &json!(name), detail));
                }
            }
            let text = as_text(value);
            if content::quantity(&text).is_some_and(|n| n < 0.0) {
                out.push(Cause::invalid(&place, &json!(text), NOT_NEGATIVE));
            }
        }
    }
    for (name, request) in resources.entries("requests") {
        let Some(limit) = resources
            .value
            .pointer(&format!("/limits/{}", name.replace('/', "~1")))
        else {
            continue;
        };
        let (limit, request) = (as_text(limit), as_text(request));
        let over = content::quantity(&request)
            .zip(content::quantity(&limit))
            .is_some_and(|(request, limit)| request > limit);
        if over {
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            out.push(Cause::invalid(
                resources.place("requests"),
                &json!(request),
                &detail,
            ));
        }
    }
}

fn probes(at: &At<'_>, around: &Around<'_>, out: &mut Vec<Cause>) {
    let sidecar = at.text("restartPolicy") == "Always";
    let hooks = at.field("lifecycle");
    for hook in ["postStart", "preStop"] {
        if hooks.has(hook) {
            handler(
                &hooks.field(hook),
                &["exec", "httpGet", "tcpSocket", "sleep"],
                out,
            );
        }
    }
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if !at.has(kind) {
            continue;
        }
        if around.init && !sidecar {
            let detail = "may not be set for init containers without restartPolicy=Always";
            out.push(Cause::forbidden(at.place(kind), detail));
            continue;
        }
        let probe = at.field(kind);
        handler(&probe, &["exec", "httpGet", "tcpSocket", "grpc"], out);
        for number in [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ] {
            probe.at_least(number, 0, out);
        }
        if kind != "readinessProbe" && probe.number("successThreshold").is_some_and(|n| n > 1) {
            out.push(probe.invalid("successThreshold", "must be 1"));
        }
    }
}

/// What a probe or hook does: one thing.
fn handler(at: &At<'_>, kinds: &[&str], out: &mut Vec<Cause>) {
    let mut stated = 0;
    for kind in kinds.iter().filter(|kind| at.has(kind)) {
        stated += 1;
        if stated > 1 {
            let detail = "may not specify more than 1 handler type";
            out.push(Cause::forbidden(at.place(kind), detail));
            continue;
        }
        let action = at.field(kind);
        match *kind {
            "exec" if action.list("command").is_empty() => out.push(action.missing("command", "")),
            "httpGet" => {
                if action.text("path").is_empty() {
                    out.push(action.missing("path", ""));
                }
                action.port("port", true, out);
                action.one_of("scheme", &["HTTP", "HTTPS"], out);
            }
            "tcpSocket" | "grpc" => action.port("port", *kind == "tcpSocket", out),
            _ => {}
        }
    }
    if stated == 0 {
        out.push(Cause::required(&at.path, "must specify a handler type"));
    }
}

/// The numbers of users and groups.
pub(super) fn security(at: &At<'_>, out: &mut Vec<Cause>) {
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        let fits = |n: i64| (0..=i64::from(i32::MAX)).contains(&n);
        if at.number(field).is_some_and(|n| !fits(n)) {
            out.push(at.invalid(field, "must be between 0 and 2147483647, inclusive"));
        }
    }
}

/// Containers and volumes have labels as names, each its own.
pub(super) fn named(name: &str, place: &str, taken: &[&str], out: &mut Vec<Cause>) {
    if name.is_empty() {
        out.push(Cause::required(place, ""));
    } else if let Some(wrong) = names::label(name) {
        out.push(Cause::invalid(place, &json!(name), &wrong));
    } else if taken.contains(&name) {
        out.push(Cause::duplicate(place, &json!(name)));
    }
}

/// The names of a pod's containers of a kind.
pub(super) fn names_of<'a>(at: &At<'a>, kind: &str) -> Vec<&'a str> {
    at.list(kind)
        .iter()
        .map(|c| text(c.value, "/name"))
        .collect()
}
