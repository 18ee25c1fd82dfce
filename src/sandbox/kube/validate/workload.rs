//! Deployments, stateful sets, daemon sets and replica sets.

use serde_json::{Value, json};

use super::at::{At, is_selector, selector as check_selector};
use super::{metadata, names, pod, policy};
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
    let at = At::new(&new["spec"], "spec");
    selected(plural, &at, out);
    match plural {
        "deployments" => deployment(&at, out),
        "statefulsets" => stateful_set(&at, out),
        "daemonsets" => at.at_least("revisionHistoryLimit", 0, out),
        _ => {}
    }
    at.at_least("minReadySeconds", 0, out);
    template(plural, new, out);
    let selector = new.pointer("/spec/selector");
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

/// A selector is there and selects what the template makes.
fn selected(plural: &str, at: &At<'_>, out: &mut Vec<Cause>) {
    let labels = at.value.pointer("/template/metadata/labels");
    let mismatch = |out: &mut Vec<Cause>| {
        let labels = labels.cloned().unwrap_or_default();
        let detail = "`selector` does not match template `labels`";
        out.push(Cause::invalid(
            "spec.template.metadata.labels",
            &labels,
            detail,
        ));
    };
    let selector = at.field("selector");
    if !at.has("selector") {
        if plural != "daemonsets" {
            out.push(at.missing("selector", ""));
        }
        mismatch(out);
        return;
    }
    if selector
        .value
        .as_object()
        .is_none_or(serde_json::Map::is_empty)
    {
        let detail = format!("empty selector is invalid for {}", singular(plural));
        out.push(at.invalid("selector", &detail));
        return;
    }
    check_selector(&selector, out);
    if is_selector(&selector) {
        if !selects(selector.value, labels) {
            mismatch(out);
        }
        return;
    }
    match plural {
        "deployments" | "replicasets" => {
            out.push(at.invalid("selector", "invalid label selector"));
        }
        "statefulsets" => out.push(Cause::new(
            "FieldValueInvalid",
            format!("Invalid value: {}", selector.value),
            selector.path,
        )),
        _ => {}
    }
}

fn deployment(at: &At<'_>, out: &mut Vec<Cause>) {
    let strategy = at.field("strategy");
    let rolling = strategy.field("rollingUpdate");
    match strategy.text("type") {
        "Recreate" => {
            if strategy.has("rollingUpdate") {
                let detail = "may not be specified when strategy `type` is 'Recreate'";
                out.push(Cause::forbidden(rolling.path, detail));
            }
        }
        "RollingUpdate" => {
            rolling.share("maxUnavailable", out);
            rolling.share("maxSurge", out);
            let zero = |name: &str| matches!(rolling.field(name).value, v if v == 0 || v == "0%");
            if zero("maxUnavailable") && zero("maxSurge") {
                let detail = "may not be 0 when `maxSurge` is 0";
                out.push(rolling.invalid("maxUnavailable", detail));
            }
        }
        kind => {
            let shown = json!({"Type": kind, "RollingUpdate": null});
            let known = ["Recreate", "RollingUpdate"];
            out.push(Cause::unsupported("spec.strategy", &shown, &known));
        }
    }
    at.at_least("revisionHistoryLimit", 0, out);
    let (limit, ready) = (
        at.number("progressDeadlineSeconds"),
        at.number("minReadySeconds"),
    );
    at.at_least("progressDeadlineSeconds", 0, out);
    if limit.is_some_and(|limit| limit <= ready.unwrap_or_default()) {
        let detail = "must be greater than minReadySeconds";
        out.push(at.invalid("progressDeadlineSeconds", detail));
    }
}

fn stateful_set(at: &At<'_>, out: &mut Vec<Cause>) {
    if !["OrderedReady", "Parallel"].contains(&at.text("podManagementPolicy")) {
        out.push(at.invalid(
            "podManagementPolicy",
            "must be 'OrderedReady' or 'Parallel'",
        ));
    }
    let strategy = at.field("updateStrategy");
    match strategy.text("type") {
        "RollingUpdate" => strategy
            .field("rollingUpdate")
            .at_least("partition", 0, out),
        "OnDelete" => {}
        kind => {
            let shown = json!({"Type": kind, "RollingUpdate": null});
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            out.push(Cause::invalid("spec.updateStrategy", &shown, detail));
        }
    }
    at.field("ordinals").at_least("start", 0, out);
    if !at.text("serviceName").is_empty() {
        at.named("serviceName", names::label, out);
    }
    for template in at.list("volumeClaimTemplates") {
        policy::claim_spec(&template.field("spec"), out);
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

fn template(plural: &str, object: &Value, out: &mut Vec<Cause>) {
    metadata::labels(object, "/spec/template/metadata", "spec.template", out);
    let Some(spec) = object.pointer("/spec/template/spec") else {
        return;
    };
    if plural == "statefulsets" {
        metadata::labels(object, "/spec/template/metadata", "spec.template", out);
    }
    let at = At::new(spec, "spec.template.spec");
    // A stateful set's claims are volumes of its pods.
    let mut with_claims = spec.clone();
    let claims = object.pointer("/spec/volumeClaimTemplates");
    for claim in claims.and_then(Value::as_array).into_iter().flatten() {
        let volume = json!({"name": text(claim, "/metadata/name"), "emptyDir": {}});
        match with_claims["volumes"].as_array_mut() {
            Some(volumes) if volumes.iter().all(|v| v["name"] != volume["name"]) => {
                volumes.push(volume);
            }
            Some(_) => {}
            None => with_claims["volumes"] = json!([volume]),
        }
    }
    pod::spec(&At::new(&with_claims, "spec.template.spec"), out);
    if pod::policy(spec) != "Always" {
        let shown = json!(pod::policy(spec));
        out.push(Cause::unsupported(
            at.place("restartPolicy"),
            &shown,
            &["Always"],
        ));
    }
    if at.has("activeDeadlineSeconds") {
        let owner = match plural {
            "statefulsets" => "StatefulSet",
            "daemonsets" => "DaemonSet",
            _ => "ReplicaSet",
        };
        let detail = format!("activeDeadlineSeconds in {owner} is not Supported");
        out.push(Cause::forbidden(at.place("activeDeadlineSeconds"), &detail));
    }
}
