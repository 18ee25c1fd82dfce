//! Pods, and what makes them.

use serde_json::{Value, json};

use super::{content, metadata, names};
use crate::sandbox::kube::cluster::text;
use crate::sandbox::kube::status::Cause;

/// Deployments, stateful sets, daemon sets and replica sets.
pub(super) fn check(plural: &str, old: Option<&Value>, new: &Value, out: &mut Vec<Cause>) {
    if new
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .is_some_and(|n| n < 0)
    {
        let detail = "must be greater than or equal to 0";
        out.push(Cause::invalid(
            "spec.replicas",
            &new["spec"]["replicas"],
            detail,
        ));
    }
    let selector = new.pointer("/spec/selector").filter(|s| !s.is_null());
    let labels = new.pointer("/spec/template/metadata/labels");
    let is_empty = selector.is_some_and(|s| s.as_object().is_none_or(serde_json::Map::is_empty));
    match selector {
        None => out.push(Cause::required("spec.selector", "")),
        Some(selector) if is_empty => {
            let detail = format!("empty selector is invalid for {}", singular(plural));
            out.push(Cause::invalid("spec.selector", selector, &detail));
        }
        Some(_) => {}
    }
    if !selector.is_some_and(|s| !is_empty && selects(s, labels)) {
        let labels = labels.cloned().unwrap_or_default();
        let detail = "`selector` does not match template `labels`";
        out.push(Cause::invalid(
            "spec.template.metadata.labels",
            &labels,
            detail,
        ));
    }
    template(new, out);
    let Some(old) = old else { return };
    if old.pointer("/spec/selector") != new.pointer("/spec/selector") && plural != "statefulsets" {
        let selector = selector.cloned().unwrap_or_default();
        out.push(Cause::invalid(
            "spec.selector",
            &selector,
            "field is immutable",
        ));
    }
    if plural == "statefulsets" {
        let fixed = |object: &Value| {
            [
                "selector",
                "serviceName",
                "podManagementPolicy",
                "volumeClaimTemplates",
            ]
            .map(|field| object["spec"][field].clone())
        };
        if fixed(old) != fixed(new) {
            out.push(Cause::forbidden("spec", "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"));
        }
    }
}

fn singular(plural: &str) -> &'static str {
    match plural {
        "statefulsets" => "statefulset",
        "daemonsets" => "daemonset",
        _ => "deployment",
    }
}

/// Whether a selector's plain labels are among these.
fn selects(selector: &Value, labels: Option<&Value>) -> bool {
    let wanted = selector.get("matchLabels").and_then(Value::as_object);
    wanted
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.and_then(|l| l.get(key)) == Some(value))
}

fn template(object: &Value, out: &mut Vec<Cause>) {
    metadata::labels(
        object,
        "/spec/template/metadata",
        "spec.template.metadata",
        out,
    );
    if let Some(spec) = object.pointer("/spec/template/spec") {
        pod_spec(spec, "spec.template.spec", out);
        let policy = text(spec, "/restartPolicy");
        if policy != "Always" {
            let message = format!(
                "Unsupported value: {}: supported values: \"Always\"",
                json!(policy)
            );
            out.push(Cause::new(
                "FieldValueNotSupported",
                message,
                "spec.template.spec.restartPolicy",
            ));
        }
    }
}

/// Jobs.
pub(super) fn job(new: &Value, out: &mut Vec<Cause>) {
    let Some(spec) = new.pointer("/spec/template/spec") else {
        return;
    };
    pod_spec(spec, "spec.template.spec", out);
    let policy = text(spec, "/restartPolicy");
    if policy == "Always" {
        let detail = "valid values: \"OnFailure\", \"Never\"";
        out.push(Cause::required("spec.template.spec.restartPolicy", detail));
    }
}

/// Pods.
pub(super) fn pod(old: Option<&Value>, new: &Value, out: &mut Vec<Cause>) {
    if let Some(spec) = new.get("spec") {
        pod_spec(spec, "spec", out);
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
        ] {
            spec[field] = Value::Null;
        }
        spec
    };
    if fixed(old) != fixed(new) {
        out.push(Cause::forbidden("spec", "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"));
    }
}

fn pod_spec(spec: &Value, field: &str, out: &mut Vec<Cause>) {
    let list = |name: &str| {
        spec.get(name)
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice)
    };
    let mut volumes: Vec<&str> = Vec::new();
    for (index, volume) in list("volumes").iter().enumerate() {
        let place = format!("{field}.volumes[{index}].name");
        let name = text(volume, "/name");
        named(name, &place, &volumes, out);
        volumes.push(name);
    }
    if list("containers").is_empty() {
        out.push(Cause::required(format!("{field}.containers"), ""));
    }
    let mut names: Vec<&str> = Vec::new();
    for kind in ["containers", "initContainers"] {
        for (index, container) in list(kind).iter().enumerate() {
            let place = format!("{field}.{kind}[{index}]");
            let name = text(container, "/name");
            named(name, &format!("{place}.name"), &names, out);
            names.push(name);
            self::container(container, &place, &volumes, out);
        }
    }
}

fn named(name: &str, place: &str, taken: &[&str], out: &mut Vec<Cause>) {
    if name.is_empty() {
        out.push(Cause::required(place, ""));
    } else if let Some(wrong) = names::label(name) {
        out.push(Cause::invalid(place, &json!(name), &wrong));
    } else if taken.contains(&name) {
        out.push(Cause::duplicate(place, &json!(name)));
    }
}

fn container(container: &Value, place: &str, volumes: &[&str], out: &mut Vec<Cause>) {
    if text(container, "/image").is_empty() {
        out.push(Cause::required(format!("{place}.image"), ""));
    }
    let list = |name: &str| {
        let list = container.get(name).and_then(Value::as_array);
        list.map_or(&[][..], Vec::as_slice)
    };
    for (index, port) in list("ports").iter().enumerate() {
        let number = port
            .get("containerPort")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        let place = format!("{place}.ports[{index}].containerPort");
        if number == 0 {
            out.push(Cause::required(place, ""));
        } else if !(1..=65535).contains(&number) {
            let detail = "must be between 1 and 65535, inclusive";
            out.push(Cause::invalid(place, &json!(number), detail));
        }
    }
    for (index, env) in list("env").iter().enumerate() {
        if text(env, "/name").is_empty() {
            out.push(Cause::required(format!("{place}.env[{index}].name"), ""));
        }
    }
    for (index, mount) in list("volumeMounts").iter().enumerate() {
        let name = text(mount, "/name");
        let place = format!("{place}.volumeMounts[{index}]");
        if !volumes.contains(&name) {
            let message = format!("Not found: {}", json!(name));
            out.push(Cause::new(
                "FieldValueNotFound",
                message,
                format!("{place}.name"),
            ));
        }
        if text(mount, "/mountPath").is_empty() {
            out.push(Cause::required(format!("{place}.mountPath"), ""));
        }
    }
    let number = |name: &str, of: &str| {
        let value = container.pointer(&format!("/resources/{of}/{name}"))?;
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        Some((content::quantity(&text)?, text))
    };
    for name in ["cpu", "memory"] {
        if let (Some((limit, limit_text)), Some((request, text))) =
            (number(name, "limits"), number(name, "requests"))
            && request > limit
        {
            let detail = format!("must be less than or equal to {name} limit of {limit_text}");
            out.push(Cause::invalid(
                format!("{place}.resources.requests"),
                &json!(text),
                &detail,
            ));
        }
    }
}
